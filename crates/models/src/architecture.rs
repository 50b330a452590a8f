//! What the file of a network gives, and the learner made of it.

use sequence::{
    Batch, Column, Dataset, Fit, InputKind, Inputs, Interface, LearnError, Learner, LossKind, Run,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use training::{Body, Initialiser, SequenceNetwork, TrainingConfig, device, fit};

use crate::{Reads, Size};

/// The settings of a network whose body stands between the shared embedding and the shared read-out.
pub trait Architecture: Clone + Default + Serialize + DeserializeOwned + Send + 'static {
    /// Name in definitions and tables.
    const NAME: &'static str;
    /// What it is, in one line.
    const SUMMARY: &'static str;
    /// Who described it.
    const CITATION: &'static str;
    /// Raised whenever the same settings and seed would train to something else.
    const VERSION: u32;
    /// Whether each position looks at those before it, so that its cost grows with the length.
    const ATTENDS: bool = false;

    /// The map from embedded inputs to hidden states.
    type Body: Body;

    /// Whether an output may depend on inputs after its own position.
    fn reads_ahead(&self) -> bool {
        false
    }

    /// Says what is wrong with the settings and what would be right, if anything is.
    ///
    /// # Errors
    /// One sentence that names the setting.
    fn check(&self) -> Result<(), String>;

    /// Parameters of the body between an embedding and a read-out of `width` values.
    fn body_parameters(&self, width: usize) -> usize;

    /// The same settings at the size whose body has nearest to `parameters` parameters.
    #[must_use]
    fn resized(self, width: usize, parameters: usize) -> Self;

    /// The initial body.
    fn init(&self, width: usize, interface: &Interface, initialiser: &mut Initialiser) -> Self::Body;
}

/// The whole number from 1 whose `count` is nearest to `target`, for a `count` that rises.
#[must_use]
pub fn nearest(target: usize, count: impl Fn(usize) -> usize) -> usize {
    let mut above = 1;
    while count(above) < target {
        above *= 2;
    }
    let mut below = above / 2;
    while above - below > 1 {
        let middle = below.midpoint(above);
        if count(middle) < target { below = middle } else { above = middle }
    }
    if below > 0 && target - count(below) <= count(above).abs_diff(target) { below } else { above }
}

/// For each inner width d of a Transformer, the feed-forward width in [2d, 6d] that comes nearest to the request; of
/// these, one that is off by the fewest whole per cent, then the shared width itself, which needs no projections, and then
/// the one nearest to the usual ratio of 4. Returns d, a multiple of `heads`, and the feed-forward width.
pub(crate) fn nearest_widths(
    width: usize,
    parameters: usize,
    heads: usize,
    count: impl Fn(usize, usize) -> usize,
) -> (usize, usize) {
    let fitted = |d: usize| {
        let feed_forward = nearest(parameters, |feed_forward| count(d, feed_forward));
        (d, feed_forward.clamp(2 * d, 6 * d))
    };
    let per_cent_off =
        |(d, feed_forward)| count(d, feed_forward).abs_diff(parameters) * 100 / parameters.max(1);
    let skew = |(d, feed_forward): (usize, usize)| (feed_forward as f64 / (4 * d) as f64).ln().abs();
    let larger = (2..).map(|multiple| multiple * heads);
    larger.take_while(|&d| count(d, 2 * d) <= parameters + parameters / 20).map(fitted).fold(
        fitted(heads),
        |best, size| {
            let off = per_cent_off(size).cmp(&per_cent_off(best));
            let order = off.then((size.0 != width).cmp(&(best.0 != width)));
            if order.then(skew(size).total_cmp(&skew(best))).is_lt() { size } else { best }
        },
    )
}

/// The default settings, all of them.
pub(crate) fn defaults<S: Default + Serialize>() -> serde_json::Value {
    serde_json::to_value(S::default()).expect("settings are plain values")
}

/// The settings of `model`, of which `settings` gives those that differ from the defaults.
pub(crate) fn parse<S: DeserializeOwned>(
    model: &'static str,
    settings: &serde_json::Value,
) -> Result<S, LearnError> {
    S::deserialize(settings).map_err(|error| {
        // An error of serde does not say which key has the wrong type, but a key that fails alone does.
        let fails = |(key, value): &(&String, &serde_json::Value)| {
            S::deserialize(&serde_json::json!({ key.as_str(): value })).is_err()
        };
        let reason = match settings.as_object().into_iter().flatten().find(fails) {
            Some((key, _)) if error.to_string().starts_with("invalid") => format!("setting `{key}`: {error}"),
            _ => error.to_string(),
        };
        LearnError::Setting { model, reason }
    })
}

/// Whether the network of these settings reads ahead.
pub(crate) fn reads_ahead<A: Architecture>(settings: &serde_json::Value) -> Result<bool, LearnError> {
    parse::<A>(A::NAME, settings).map(|architecture| architecture.reads_ahead())
}

pub(crate) fn build<A: Architecture>(
    settings: &serde_json::Value,
    training: &TrainingConfig,
    size: &Size,
) -> Result<Box<dyn Learner>, LearnError> {
    let architecture: A = parse(A::NAME, settings)?;
    architecture.check().map_err(|reason| LearnError::Setting { model: A::NAME, reason })?;
    check_training(A::NAME, training, size)?;
    let architecture = match size.body_parameters {
        Some(requested) => architecture.resized(size.width, requested),
        None => architecture,
    };
    check_size(A::NAME, architecture.body_parameters(size.width), size)?;
    Ok(Box::new(NetworkLearner { architecture, training: training.clone(), width: size.width }))
}

/// Checks what all networks are given alike.
pub(crate) fn check_training(
    model: &'static str,
    training: &TrainingConfig,
    size: &Size,
) -> Result<(), LearnError> {
    let wrong = |reason: String| LearnError::Setting { model, reason };
    training.check().map_err(|error| wrong(error.to_string()))?;
    match size.width {
        0 => Err(wrong("the width of embedding and read-out must be at least 1".to_owned())),
        _ => Ok(()),
    }
}

/// Checks that a body of the parameters nearest to those requested has them within 5%.
pub(crate) fn check_size(model: &'static str, nearest: usize, size: &Size) -> Result<(), LearnError> {
    match size.body_parameters {
        Some(requested) if nearest.abs_diff(requested) * 20 > requested => {
            Err(LearnError::Size { model, requested, nearest })
        }
        _ => Ok(()),
    }
}

/// Why a model that answers cannot learn a task of density.
pub(crate) const NOTHING_TO_ANSWER: &str =
    "it answers, and this task asks for nothing but a model of its examples";

fn has_missing_values(batch: &Batch) -> bool {
    matches!(&batch.inputs, Inputs::Features { values, .. } if values.iter().any(|value| value.is_nan()))
}

/// A network that has not seen data yet.
struct NetworkLearner<A> {
    architecture: A,
    training: TrainingConfig,
    width: usize,
}

impl<A: Architecture> NetworkLearner<A> {
    /// Says why a network cannot answer this task, if it cannot.
    fn check_task(data: &Dataset) -> Result<(), LearnError> {
        let unsuitable =
            |reason: &str| Err(LearnError::Unsuitable { model: A::NAME, reason: reason.to_owned() });
        let interface = data.interface();
        if let Some(reason) = Reads::OneSequence.misfit(interface.inputs) {
            return unsuitable(reason);
        }
        match interface.inputs {
            InputKind::Tokens { vocabulary: 0 } => return unsuitable("its vocabulary is empty"),
            InputKind::Features { width: 0 } => return unsuitable("its inputs have no features"),
            _ => {}
        }
        let many = |column: &Column| matches!(column, Column::Category { levels } if *levels > 2);
        if data.columns().iter().any(many) {
            return unsuitable("it reads real numbers, and this task has categories");
        }
        if data.validation().iter().any(has_missing_values) {
            return unsuitable("it needs every value, and in this task some are missing");
        }
        match interface.loss {
            LossKind::CrossEntropy if interface.outputs < 2 => {
                unsuitable("cross-entropy needs two classes or more")
            }
            LossKind::MeanSquaredError if interface.outputs != 1 => unsuitable("a regression has one output"),
            LossKind::Density => unsuitable(NOTHING_TO_ANSWER),
            _ => Ok(()),
        }
    }
}

impl<A: Architecture> Learner for NetworkLearner<A> {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        Self::check_task(data)?;
        let device = device(&self.training.device)
            .map_err(|error| LearnError::Setting { model: A::NAME, reason: error.to_string() })?
            .autodiff();
        let interface = data.interface();
        let mut initialiser = Initialiser::new(run.seed, &device);
        let network = SequenceNetwork::new(&interface, self.width, &mut initialiser, |initialiser| {
            self.architecture.init(self.width, &interface, initialiser)
        });
        Ok(fit(network, &self.training, data, run))
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        let training = data.batch_size() * data.interface().maximum_time;
        let validation =
            data.validation().iter().map(|batch| batch.size * batch.time).max().unwrap_or_default();
        training::peak_bytes(self.architecture.body_parameters(self.width), training, validation)
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_size_lies_on_either_side() {
        // Squares: 9 and 16 around 12 and 13; ties go down.
        let square = |number: usize| number * number;
        let found: Vec<usize> =
            [0, 1, 2, 3, 12, 13, 16, 10_000].map(|target| nearest(target, square)).to_vec();
        assert_eq!(found, [1, 1, 1, 2, 3, 4, 4, 100]);
    }
}
