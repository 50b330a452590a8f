//! Models of the examples themselves, not of answers about them.

use crate::{Batch, Random};

/// A fitted model of features, from which examples can be drawn.
pub trait Generative {
    /// How likely each example of a batch is, whatever its class.
    fn log_densities(&self, batch: &Batch) -> LogDensities;

    /// New examples.
    fn sample(&self, size: usize, random: &mut Random) -> Samples;

    /// The features of a batch, row-major, each missing value replaced by its expectation given the others, and
    /// a missing category by the likeliest. `None` for a model
    /// that cannot condition on a part of an example.
    fn completed(&self, _batch: &Batch) -> Option<Vec<f32>> {
        None
    }
}

/// The natural logarithm of a density of real features, of a probability of categories, one an example.
#[derive(Clone, Debug, PartialEq)]
pub enum LogDensities {
    /// As they are.
    Exact(Vec<f64>),
    /// At most as large as they are.
    LowerBound(Vec<f64>),
    /// There is none: examples can be drawn, and their density cannot be told.
    Unknown,
}

impl LogDensities {
    /// The values, exact or bounds.
    #[must_use]
    pub fn values(&self) -> Option<&[f64]> {
        match self {
            Self::Exact(values) | Self::LowerBound(values) => Some(values),
            Self::Unknown => None,
        }
    }
}

/// Drawn examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    /// Features, `[examples, width]`.
    pub values: Vec<f32>,
    /// The class of each, from a model of examples and classes.
    pub classes: Option<Vec<u32>>,
}
