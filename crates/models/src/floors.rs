//! Predictors that do not look at the input. A model that is not better than these has learnt nothing.

use sequence::{
    Batch, CurvePoint, Dataset, Density, Fit, InputKind, LearnError, Learner, LossKind, Outcome, Predictions,
    Predictor, Run, Targets,
};
use serde::{Deserialize, Serialize};

use crate::architecture::NOTHING_TO_ANSWER;

/// Registered name of [`Uniform`].
pub(crate) const UNIFORM: &str = "uniform";

/// Registered name of [`Constant`].
pub(crate) const CONSTANT: &str = "constant";

/// Settings of the uniform floor: there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniformConfig {}

/// The same probability for every class: a loss of ln(classes).
#[derive(Clone, Copy, Debug, Default)]
pub struct Uniform;

impl Learner for Uniform {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let interface = data.interface();
        if interface.loss != LossKind::CrossEntropy {
            let reason =
                "it spreads probability over classes, and this task asks for a value: use `constant`";
            return Err(LearnError::Unsuitable { model: UNIFORM, reason: reason.into() });
        }
        #[expect(clippy::cast_possible_truncation, reason = "predictions are f32")]
        let log_probability = -(interface.outputs as f64).ln() as f32;
        let outputs = vec![log_probability; interface.outputs];
        let same = SameEverywhere { outputs, parameters: 0, is_density: predicts_next_symbol(data) };
        Ok(fit_without_updates(Box::new(same), data, run))
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        validation_bytes(data)
    }
}

/// Settings of the constant floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ConstantConfig {
    /// Training batches from which the answers are counted.
    pub batches: u64,
}

impl Default for ConstantConfig {
    fn default() -> Self {
        Self { batches: 64 }
    }
}

/// What the training answers are on average: the mean value, or the frequency of each class.
///
/// It is the majority rate for accuracy and the unigram for text. Every class is counted once more than it was
/// seen (Laplace), so that no probability is 0.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    config: ConstantConfig,
}

impl Constant {
    /// The floor with these settings.
    ///
    /// # Errors
    /// When it should count no batch at all.
    pub fn new(config: ConstantConfig) -> Result<Self, LearnError> {
        if config.batches == 0 {
            let reason = "`batches` is 0, it must be at least 1".into();
            return Err(LearnError::Setting { model: CONSTANT, reason });
        }
        Ok(Self { config })
    }
}

impl Learner for Constant {
    #[expect(clippy::cast_possible_truncation, reason = "predictions are f32")]
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        if data.interface().loss == LossKind::Density {
            let reason = NOTHING_TO_ANSWER.to_owned();
            return Err(LearnError::Unsuitable { model: CONSTANT, reason });
        }
        let mut counts = vec![1.0_f64; data.interface().outputs];
        let (mut sum, mut supervised) = (0.0_f64, 0_usize);
        for update in 0..self.config.batches {
            let batch = data.training_batch(update);
            supervised += batch.supervised();
            match &batch.targets {
                Targets::Classes(classes) => {
                    for class in where_supervised(&batch, classes) {
                        counts[class as usize] += 1.0;
                    }
                }
                Targets::Values(values) => {
                    sum += where_supervised(&batch, values).map(f64::from).sum::<f64>();
                }
            }
        }
        let outputs: Vec<f32> = match data.interface().loss {
            LossKind::CrossEntropy => {
                let total: f64 = counts.iter().sum();
                counts.into_iter().map(|count| (count / total).ln() as f32).collect()
            }
            LossKind::MeanSquaredError | LossKind::Density => {
                vec![(sum / supervised.max(1) as f64) as f32; data.interface().outputs]
            }
        };
        let parameters = outputs.len();
        let same = SameEverywhere { outputs, parameters, is_density: predicts_next_symbol(data) };
        Ok(fit_without_updates(Box::new(same), data, run))
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        // One batch at a time: at each position a symbol or a vector, an answer and a mask.
        let interface = data.interface();
        let width = match interface.inputs {
            InputKind::Tokens { .. } | InputKind::Conditioned { .. } => 1,
            InputKind::Features { width } => width,
        };
        let positions = data.batch_size() * interface.maximum_time;
        (positions * (4 * width + 5) + 12 * interface.outputs) as u64 + validation_bytes(data)
    }
}

/// The same outputs at every position of every sequence.
#[derive(Clone, Debug)]
struct SameEverywhere {
    outputs: Vec<f32>,
    parameters: usize,
    is_density: bool,
}

impl Predictor for SameEverywhere {
    fn predict(&self, batch: &Batch) -> Predictions {
        Predictions { outputs: self.outputs.len(), values: self.outputs.repeat(batch.size * batch.time) }
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.parameters
    }

    fn density(&self) -> Option<&dyn Density> {
        self.is_density.then_some(self)
    }
}

impl Density for SameEverywhere {
    fn next_log_probabilities(&self, _context: &[u32]) -> Vec<f32> {
        self.outputs.clone()
    }
}

fn predicts_next_symbol(data: &Dataset) -> bool {
    let interface = data.interface();
    data.training_text().is_some()
        && interface.loss == LossKind::CrossEntropy
        && interface.inputs == (InputKind::Tokens { vocabulary: interface.outputs })
}

fn where_supervised<'a, T: Copy>(batch: &'a Batch, targets: &'a [T]) -> impl Iterator<Item = T> + 'a {
    targets.iter().zip(&batch.loss_mask).filter(|&(_, &counts)| counts).map(|(&target, _)| target)
}

/// The fit of a model that needs no gradient: one evaluation, at update 0.
pub(crate) fn fit_without_updates(predictor: Box<dyn Predictor>, data: &Dataset, run: &mut Run) -> Fit {
    let predictions: Vec<Predictions> =
        data.validation().iter().map(|batch| predictor.predict(batch)).collect();
    let best_validation = data.validation_scores(&predictions).first().map_or(f64::NAN, |score| score.value);
    let point =
        CurvePoint { updates: 0, multiply_adds: 0, training_loss: f64::NAN, validation: best_validation };
    if let Some(observer) = run.observer.as_deref_mut() {
        observer(&point, predictor.as_ref());
    }
    Fit {
        predictor,
        outcome: Outcome::Finished,
        updates: 0,
        multiply_adds: 0,
        best_validation,
        curve: vec![point],
    }
}

/// Bytes that the predictions of [`fit_without_updates`] need.
pub(crate) fn validation_bytes(data: &Dataset) -> u64 {
    let positions: usize = data.validation().iter().map(|batch| batch.size * batch.time).sum();
    4 * (positions * data.interface().outputs) as u64
}

#[cfg(test)]
mod tests {
    use sequence::{Budget, Floor, Inputs, Interface, Score, StopRule, Stopwatch, Task, TestSet};

    use super::*;
    use crate::n_gram::{NGram, NGramConfig, Smoothing};

    /// Reads "a b b b" over and over; the first position does not count.
    struct Repeat {
        loss: LossKind,
        text: Vec<u32>,
    }

    impl Repeat {
        fn new(loss: LossKind) -> Self {
            Self { loss, text: [0, 1, 1, 1].repeat(20) }
        }
    }

    impl Task for Repeat {
        fn name(&self) -> &'static str {
            "repeat"
        }
        fn version(&self) -> u32 {
            1
        }
        fn interface(&self) -> Interface {
            let outputs = if self.loss == LossKind::CrossEntropy { 2 } else { 1 };
            Interface {
                inputs: InputKind::Tokens { vocabulary: 2 },
                outputs,
                loss: self.loss,
                maximum_time: 4,
            }
        }
        fn training_batch(&self, _seed: u64, _update: u64, size: usize) -> Batch {
            let targets = match self.loss {
                LossKind::CrossEntropy => Targets::Classes([0, 1, 1, 0].repeat(size)),
                LossKind::MeanSquaredError | LossKind::Density => {
                    Targets::Values([9.0, 1.0, 2.0, 6.0].repeat(size))
                }
            };
            Batch {
                size,
                time: 4,
                inputs: Inputs::Tokens([0, 1, 1, 1].repeat(size)),
                source: None,
                targets,
                loss_mask: [false, true, true, true].repeat(size),
                lengths: vec![4; size],
            }
        }
        fn validation(&self, seed: u64) -> Vec<Batch> {
            vec![self.training_batch(seed, 0, 3)]
        }
        fn test(&self, _seed: u64) -> Vec<TestSet> {
            Vec::new()
        }
        fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
            assert_eq!(
                predictions[0].values.len(),
                batches[0].size * batches[0].time * predictions[0].outputs
            );
            vec![Score { metric: "first", value: f64::from(predictions[0].values[0]), count: 9 }]
        }
        fn larger_is_better(&self) -> bool {
            true
        }
        fn solved_at(&self) -> Option<f64> {
            None
        }
        fn floors(&self) -> Vec<Floor> {
            Vec::new()
        }
        fn training_text(&self) -> Option<&[u32]> {
            (self.loss == LossKind::CrossEntropy).then_some(&self.text)
        }
    }

    struct Stopped;

    impl Stopwatch for Stopped {
        fn wall_seconds(&self) -> f64 {
            0.0
        }
        fn processor_seconds(&self) -> f64 {
            0.0
        }
    }

    fn fit(learner: &dyn Learner, loss: LossKind) -> Result<Fit, LearnError> {
        let task = Repeat::new(loss);
        let data = Dataset::new(&task, 1, 2);
        assert!(learner.peak_bytes(&data) > 0);
        let mut seen = Vec::new();
        let mut observer = |point: &CurvePoint, _: &dyn Predictor| seen.push(point.updates);
        let fit = learner.fit(
            &data,
            &mut Run {
                budget: Budget { updates: 100, evaluate_every: 10 },
                stop: StopRule::Budget,
                seed: 1,
                stopwatch: &Stopped,
                observer: Some(&mut observer),
            },
        );
        assert_eq!(seen, if fit.is_ok() { vec![0] } else { vec![] });
        fit
    }

    fn constant() -> Constant {
        Constant::new(ConstantConfig { batches: 10 }).unwrap()
    }

    #[test]
    fn uniform_gives_every_class_the_same() {
        let fit = fit(&Uniform, LossKind::CrossEntropy).unwrap();
        assert!((fit.best_validation + std::f64::consts::LN_2).abs() < 1e-7);
        assert_eq!((fit.updates, fit.outcome, fit.predictor.total_parameters()), (0, Outcome::Finished, 0));
    }

    #[test]
    fn constant_counts_the_supervised_answers() {
        // 10 batches of 2 sequences, each with the answers 1 1 0 that count: class 1 has (40 + 1) / 62.
        let fit = fit(&constant(), LossKind::CrossEntropy).unwrap();
        let density = fit.predictor.density().expect("a constant answer to a text is its unigram");
        let probabilities: Vec<f32> =
            density.next_log_probabilities(&[0]).iter().map(|log| log.exp()).collect();
        assert!((probabilities[1] - 41.0 / 62.0).abs() < 1e-6, "{probabilities:?}");
    }

    #[test]
    fn constant_is_the_mean_of_values() {
        // The answers that count are 1, 2 and 6.
        let fit = fit(&constant(), LossKind::MeanSquaredError).unwrap();
        assert_eq!(fit.best_validation, 3.0);
        assert!(fit.predictor.density().is_none());
        assert_eq!(fit.predictor.total_parameters(), 1);
    }

    #[test]
    fn unsuitable_tasks_and_settings_are_refused() {
        let message =
            |result: Result<Fit, LearnError>| result.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message(fit(&Uniform, LossKind::MeanSquaredError)).contains("use `constant`"));
        let n_gram = NGram::new(NGramConfig::default()).unwrap();
        assert!(message(fit(&n_gram, LossKind::MeanSquaredError)).contains("this task has none"));
        assert!(Constant::new(ConstantConfig { batches: 0 }).is_err());
    }

    #[test]
    fn an_n_gram_fits_through_the_same_door() {
        // After a, b follows 20 times of 20, so with Witten-Bell its probability exceeds 20 / 21.
        let config = NGramConfig { smoothing: Smoothing::WittenBell, ..NGramConfig::default() };
        let n_gram = NGram::new(config).unwrap();
        let fit = fit(&n_gram, LossKind::CrossEntropy).unwrap();
        let density = fit.predictor.density().expect("an n-gram is a density");
        assert!(density.next_log_probabilities(&[0])[1] > 0.95_f32.ln());
        assert!(fit.best_validation < -3.0);
    }
}
