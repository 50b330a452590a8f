//! A value that depends on few of many features: the regression on which penalties on weights are compared.
//!
//! ```text
//! x_j standard normal, independent,   y = sum of the first `nonzero` x_j, each with a random sign, + noise * standard normal
//! ```
//!
//! Signs come from the seed. Training has `examples` examples, fewer than features unless said otherwise, so that without a penalty every training
//! value can be met exactly. Test has 2,000 fresh ones.

use sequence::{
    Batch, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Score, Stream, Targets, Task,
    TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::metrics::mean_squared_error;
use crate::{DataError, settings};

const NAME: &str = "sparse-regression";
const TEST_EXAMPLES: usize = 2000;
const VALIDATION_EXAMPLES: usize = 1000;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "predict a value that depends on few of many features",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(SparseRegression::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training examples.
    examples: usize,
    /// Features.
    features: usize,
    /// Features that matter.
    nonzero: usize,
    /// Standard deviation of the noise.
    noise: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { examples: 100, features: 200, nonzero: 10, noise: 1.0 }
    }
}

struct SparseRegression {
    config: Config,
}

impl SparseRegression {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "features", &config.features, 1..=10_000)?;
        settings::within(NAME, "nonzero", &config.nonzero, 0..=config.features)?;
        // So that least squares on the features that matter has an expected error.
        settings::within(NAME, "examples", &config.examples, config.nonzero + 3..=1_000_000)?;
        settings::within(NAME, "noise", &config.noise, 0.0..=100.0)?;
        Ok(Self { config })
    }

    fn batch(&self, seed: u64, stream: Stream, size: usize) -> Batch {
        let Config { features, nonzero, noise, .. } = self.config;
        let mut signs = Random::new(seed, Stream::Probe);
        let signs: Vec<f32> = (0..nonzero).map(|_| if signs.below(2) == 0 { -1.0 } else { 1.0 }).collect();
        let mut random = Random::new(seed, stream);
        let mut values: Vec<f32> = Vec::with_capacity(size * features);
        let mut targets = Vec::with_capacity(size);
        for _ in 0..size {
            let first = values.len();
            values.extend((0..features).map(|_| random.normal()));
            let exact: f32 = signs.iter().zip(&values[first..]).map(|(sign, value)| sign * value).sum();
            targets.push(exact + noise * random.normal());
        }
        rows(features, values, targets)
    }

    /// The expected test error of least squares with an intercept on k features that matter, n examples, all features normal:
    /// noise^2 (1 + 1 / n) (n - 2) / (n - k - 2) (Stein 1960).
    fn oracle(&self) -> f64 {
        let (n, k) = (self.config.examples as f64, self.config.nonzero as f64);
        f64::from(self.config.noise).powi(2) * (1.0 + 1.0 / n) * (n - 2.0) / (n - k - 2.0)
    }
}

/// Rows with one value each, as sequences of one position.
fn rows(width: usize, values: Vec<f32>, targets: Vec<f32>) -> Batch {
    let size = targets.len();
    let batch = Batch {
        size,
        time: 1,
        inputs: Inputs::Features { width, values },
        source: None,
        targets: Targets::Values(targets),
        loss_mask: vec![true; size],
        lengths: vec![1; size],
    };
    batch.assert_consistent();
    batch
}

impl Task for SparseRegression {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Features { width: self.config.features },
            outputs: 1,
            loss: LossKind::MeanSquaredError,
            maximum_time: 1,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let all = self.batch(seed, Stream::Training(0), self.config.examples);
        let (Inputs::Features { width, values }, Targets::Values(targets)) = (&all.inputs, &all.targets)
        else {
            unreachable!("rows are features and values");
        };
        let mut random = Random::new(seed, Stream::Training(update + 1));
        let drawn: Vec<usize> = (0..size).map(|_| random.index(all.size)).collect();
        rows(
            *width,
            drawn.iter().flat_map(|&row| values[row * width..][..*width].iter().copied()).collect(),
            drawn.iter().map(|&row| targets[row]).collect(),
        )
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![self.batch(seed, Stream::Validation, VALIDATION_EXAMPLES)]
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        let batches = vec![self.batch(seed, Stream::Test, TEST_EXAMPLES)];
        vec![TestSet { name: "test".to_owned(), batches }]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        vec![mean_squared_error(batches, predictions)]
    }

    fn larger_is_better(&self) -> bool {
        false
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    /// `constant` predicts the mean, `oracle` fits the features that matter by least squares, `noise` knows their weights.
    fn floors(&self) -> Vec<Floor> {
        let noise = f64::from(self.config.noise).powi(2);
        let constant = self.config.nonzero as f64 + noise;
        let floor = |name, value| Floor { metric: "mean-squared-error", name, value };
        vec![floor("constant", constant), floor("oracle", self.oracle()), floor("noise", noise)]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(vec![self.batch(seed, Stream::Training(0), self.config.examples)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn of(config: Config) -> SparseRegression {
        SparseRegression::new(config).unwrap()
    }

    #[test]
    fn the_floors_are_exact() {
        let task = of(Config { nonzero: 3, features: 5, ..Config::default() });
        let test = task.test(3).remove(0).batches;
        let score = |values: Vec<f32>| task.scores(&test, &[Predictions { outputs: 1, values }])[0].value;
        // y^2 has mean 3 + 1 and deviation sqrt(2) * 4, so a standard error of 0.13 over 2,000; of the noise it is 0.032. Four of them.
        assert!((score(vec![0.0; 2000]) - 4.0).abs() < 0.51);
        let Inputs::Features { values, .. } = &test[0].inputs else { panic!("the inputs are features") };
        let mut signs = Random::new(3, Stream::Probe);
        let signs: Vec<f32> = (0..3).map(|_| if signs.below(2) == 0 { -1.0 } else { 1.0 }).collect();
        let truth =
            values.chunks(5).map(|row| row.iter().zip(&signs).map(|(value, sign)| value * sign).sum());
        let truth = score(truth.collect());
        assert!((truth - 1.0).abs() < 0.127, "{truth}");
        // Simulated with numpy.linalg.lstsq, 100,000 training sets of 100 examples and 10 features: 1.1248.
        let oracle = of(Config::default()).oracle();
        assert!((oracle - 1.1248).abs() < 0.001, "{oracle}");
    }

    #[test]
    fn batches_draw_from_the_training_set() {
        let task = of(Config::default());
        let set = task.training_set(1).unwrap();
        assert_eq!(set[0].size, 100);
        assert_eq!(testing::shared(&set, &[task.training_batch(1, 3, 100)]), 100);
        assert_eq!(testing::shared(&set, &task.test(1)[0].batches), 0);
        assert_eq!(testing::shared(&set, &task.validation(1)), 0);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // Normal deviates come from `libm`, which computes them alike everywhere. A change needs a new version.
        assert_eq!(testing::digest(&of(Config::default())), "e08893bd4a496892");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| SparseRegression::new(config).err().unwrap().to_string();
        let few = refusal(Config { examples: 12, ..Config::default() });
        assert!(few.contains("`examples`: 12 is outside the allowed 13 to"), "{few}");
        assert!(refusal(Config { nonzero: 201, ..Config::default() }).contains("`nonzero`: 201 is outside"));
    }
}
