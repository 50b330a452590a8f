//! A curve through noise: the regression on which bias and variance are shown.
//!
//! ```text
//! x_i uniform in [i / n, (i + 1) / n),   i = 0 .. n - 1,   y = sin(2 pi x) + noise * standard normal
//! ```
//!
//! Training has n = `examples` points, one in each of as many equal parts, so that no draw leaves a wide gap. Test set `test` has 200 points at equal distances with fresh noise, and `truth` the same points
//! without any, so that what a model is on average and how it varies can be told apart from the noise.

use sequence::{
    Batch, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Score, Stream, Targets, Task,
    TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::metrics::mean_squared_error;
use crate::{DataError, settings};

const NAME: &str = "noisy-sine";
const TEST_POINTS: usize = 200;
const VALIDATION_POINTS: usize = 1000;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "predict a sine from a few noisy points",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(NoisySine::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training points.
    examples: usize,
    /// Standard deviation of the noise.
    noise: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { examples: 30, noise: 0.3 }
    }
}

struct NoisySine {
    config: Config,
}

/// Points as sequences of one position.
fn points(places: Vec<f32>, targets: Vec<f32>) -> Batch {
    let size = places.len();
    let batch = Batch {
        size,
        time: 1,
        inputs: Inputs::Features { width: 1, values: places },
        source: None,
        targets: Targets::Values(targets),
        loss_mask: vec![true; size],
        lengths: vec![1; size],
    };
    batch.assert_consistent();
    batch
}

fn sine(place: f32) -> f32 {
    libm::sinf(core::f32::consts::TAU * place)
}

impl NoisySine {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "examples", &config.examples, 1..=1_000_000)?;
        settings::within(NAME, "noise", &config.noise, 0.0..=100.0)?;
        Ok(Self { config })
    }

    fn noisy(&self, random: &mut Random, places: Vec<f32>) -> Batch {
        let targets = places.iter().map(|&place| sine(place) + self.config.noise * random.normal()).collect();
        points(places, targets)
    }

    fn drawn(&self, seed: u64, stream: Stream, count: usize) -> Batch {
        let mut random = Random::new(seed, stream);
        let places = (0..count).map(|part| (part as f32 + random.unit()) / count as f32).collect();
        self.noisy(&mut random, places)
    }
}

/// Points at equal distances, none of them at an end.
fn grid() -> Vec<f32> {
    (0..TEST_POINTS).map(|point| (point as f32 + 0.5) / TEST_POINTS as f32).collect()
}

impl Task for NoisySine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Features { width: 1 },
            outputs: 1,
            loss: LossKind::MeanSquaredError,
            maximum_time: 1,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let all = self.drawn(seed, Stream::Training(0), self.config.examples);
        let (Inputs::Features { values, .. }, Targets::Values(targets)) = (&all.inputs, &all.targets) else {
            unreachable!("points are features and values");
        };
        let mut random = Random::new(seed, Stream::Training(update + 1));
        let drawn: Vec<usize> = (0..size).map(|_| random.index(all.size)).collect();
        points(
            drawn.iter().map(|&point| values[point]).collect(),
            drawn.iter().map(|&point| targets[point]).collect(),
        )
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![self.drawn(seed, Stream::Validation, VALIDATION_POINTS)]
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        let noisy = self.noisy(&mut Random::new(seed, Stream::Test), grid());
        let truth = points(grid(), grid().into_iter().map(sine).collect());
        let set = |name: &str, batch| TestSet { name: name.to_owned(), batches: vec![batch] };
        vec![set("test", noisy), set("truth", truth)]
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

    /// `constant` predicts 0, the mean of the sine, whose square is 1/2 on average; `noise` is what the truth itself scores.
    fn floors(&self) -> Vec<Floor> {
        let noise = f64::from(self.config.noise).powi(2);
        vec![
            Floor { metric: "mean-squared-error", name: "constant", value: 0.5 + noise },
            Floor { metric: "mean-squared-error", name: "noise", value: noise },
        ]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(vec![self.drawn(seed, Stream::Training(0), self.config.examples)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_floors_are_exact() {
        let task = NoisySine::new(Config { noise: 0.3, ..Config::default() }).unwrap();
        let (mut truth, mut constant) = (0.0, 0.0);
        for seed in 0..50 {
            let set = task.test(seed).remove(0);
            let answer = |answer: fn(f32) -> f32| {
                let values = grid().into_iter().map(answer).collect();
                task.scores(&set.batches, &[Predictions { outputs: 1, values }])[0].value / 50.0
            };
            truth += answer(sine);
            constant += answer(|_| 0.0);
        }
        // Over 10,000 points a squared deviate of deviation 0.3 has a standard error of 0.0013, and 0.006 beside the sine.
        assert!((truth - 0.09).abs() < 0.0052, "{truth}");
        assert!((constant - 0.59).abs() < 0.024, "{constant}");
        // Without noise the truth is exact.
        let set = task.test(1).remove(1);
        let values = grid().into_iter().map(sine).collect();
        assert_eq!(
            (set.name.as_str(), task.scores(&set.batches, &[Predictions { outputs: 1, values }])[0].value),
            ("truth", 0.0)
        );
    }

    #[test]
    fn batches_draw_from_the_training_set() {
        let task = NoisySine::new(Config::default()).unwrap();
        let set = task.training_set(1).unwrap();
        assert_eq!(set[0].size, 30);
        assert_eq!(testing::shared(&set, &[task.training_batch(1, 3, 100)]), 100);
        assert_eq!(testing::shared(&set, &task.test(1)[0].batches), 0);
        assert_eq!(testing::shared(&set, &task.validation(1)), 0);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // Sines and normal deviates come from `libm`, which computes them alike everywhere. A change needs a new version.
        assert_eq!(testing::digest(&NoisySine::new(Config::default()).unwrap()), "4a4b60f1cba6bf16");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| NoisySine::new(config).err().unwrap().to_string();
        assert!(refusal(Config { examples: 0, ..Config::default() }).contains("`examples`: 0 is outside"));
        assert!(refusal(Config { noise: -1.0, ..Config::default() }).contains("`noise`: -1 is outside"));
    }
}
