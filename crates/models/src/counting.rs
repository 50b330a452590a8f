//! How the models that count instead of descending a gradient are registered.

use sequence::{LearnError, Learner};
use serde::Serialize;
use serde::de::DeserializeOwned;
use training::TrainingConfig;

use crate::architecture::parse;
use crate::floors::{CONSTANT, Constant, ConstantConfig, UNIFORM, Uniform, UniformConfig};
use crate::n_gram::{self, NGram, NGramConfig};
use crate::{Offers, Reads, Size};

/// The settings of a model that counts.
pub trait Counting: Default + Serialize + DeserializeOwned {
    /// Name in definitions and tables.
    const NAME: &'static str;
    /// What it is, in one line.
    const SUMMARY: &'static str;
    /// Who described it.
    const CITATION: &'static str;
    /// Raised whenever the same settings would count something else.
    const VERSION: u32;

    /// Which inputs it reads.
    const READS: Reads = Reads::Anything;

    /// What it says of the examples themselves.
    const OFFERS: Offers = Offers::NOTHING;

    /// Whether an answer that is asked for at each position may depend on what comes after it.
    fn reads_ahead(&self) -> bool {
        false
    }

    /// The unfitted model.
    ///
    /// # Errors
    /// When a setting makes no sense.
    fn learner(self) -> Result<Box<dyn Learner>, LearnError>;
}

pub(crate) fn build<C: Counting>(
    settings: &serde_json::Value,
    _: &TrainingConfig,
    size: &Size,
) -> Result<Box<dyn Learner>, LearnError> {
    if let Some(requested) = size.body_parameters {
        let reason =
            format!("it counts, so it cannot be given {requested} body parameters; leave the size out");
        return Err(LearnError::Setting { model: C::NAME, reason });
    }
    parse::<C>(C::NAME, settings)?.learner()
}

pub(crate) fn reads_ahead<C: Counting>(settings: &serde_json::Value) -> Result<bool, LearnError> {
    Ok(parse::<C>(C::NAME, settings)?.reads_ahead())
}

impl Counting for NGramConfig {
    const NAME: &'static str = n_gram::NAME;
    const SUMMARY: &'static str = "n-gram: the next symbol from counts of what followed the last few";
    const CITATION: &'static str = "Witten and Bell 1991; Kneser and Ney 1995";
    const VERSION: u32 = 1;

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        Ok(Box::new(NGram::new(self)?))
    }
}

impl Counting for ConstantConfig {
    const NAME: &'static str = CONSTANT;
    const SUMMARY: &'static str =
        "floor: the mean answer, or the frequency of each class, whatever the input";
    const CITATION: &'static str = "Laplace 1814";
    const VERSION: u32 = 1;

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        Ok(Box::new(Constant::new(self)?))
    }
}

impl Counting for UniformConfig {
    const NAME: &'static str = UNIFORM;
    const SUMMARY: &'static str = "floor: every class is equally likely";
    const CITATION: &'static str = "Laplace 1814";
    const VERSION: u32 = 1;

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        Ok(Box::new(Uniform))
    }
}
