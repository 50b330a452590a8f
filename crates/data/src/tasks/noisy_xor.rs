//! An exclusive or with wrong labels: what a classifier learns by heart, and what it learns.
//!
//! ```text
//! x_j uniform in [-1, 1),   class = (x_1 > 0) xor (x_2 > 0),   flipped with probability `flipped`
//! ```
//!
//! The first two of `features` features decide, the others say nothing. Labels are flipped in every split alike, so that nobody is right more often than
//! 1 - `flipped`, and who is right about every training example has learnt the flips. Training has `examples` examples, test 10,000
//! fresh ones.

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{draw_rows, feature_rows};
use crate::metrics::classification_scores;
use crate::{DataError, settings};

const NAME: &str = "noisy-xor";
const TEST_EXAMPLES: usize = 10_000;
const VALIDATION_EXAMPLES: usize = 1000;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say whether two features differ in sign, from examples some of whose labels are wrong",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(NoisyXor::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training examples.
    examples: usize,
    /// Features, of which two decide.
    features: usize,
    /// Share of wrong labels.
    flipped: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { examples: 500, features: 2, flipped: 0.1 }
    }
}

struct NoisyXor {
    config: Config,
}

impl NoisyXor {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "examples", &config.examples, 2..=1_000_000)?;
        settings::within(NAME, "features", &config.features, 2..=1000)?;
        settings::within(NAME, "flipped", &config.flipped, 0.0..=0.5)?;
        Ok(Self { config })
    }

    fn batch(&self, seed: u64, stream: Stream, count: usize) -> Batch {
        let Config { features, flipped, .. } = self.config;
        let mut random = Random::new(seed, stream);
        // A stream of its own, so that the rows are the same whatever share is flipped.
        let mut flip = Random::new(random.bits(), Stream::Order);
        let mut values = Vec::with_capacity(count * features);
        let mut classes = Vec::with_capacity(count);
        for _ in 0..count {
            let first = values.len();
            values.extend((0..features).map(|_| random.uniform(-1.0, 1.0)));
            let differ = (values[first] > 0.0) != (values[first + 1] > 0.0);
            classes.push(u32::from(differ != (flip.unit() < flipped)));
        }
        feature_rows(features, values, classes)
    }
}

impl Task for NoisyXor {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Features { width: self.config.features },
            outputs: 2,
            loss: LossKind::CrossEntropy,
            maximum_time: 1,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let all = self.batch(seed, Stream::Training(0), self.config.examples);
        draw_rows(&all, &mut Random::new(seed, Stream::Training(update + 1)), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![self.batch(seed, Stream::Validation, VALIDATION_EXAMPLES)]
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        let batches = vec![self.batch(seed, Stream::Test, TEST_EXAMPLES)];
        vec![TestSet { name: "test".to_owned(), batches }]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        classification_scores(batches, predictions)
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    /// `best` is a ceiling: the class before it was flipped.
    fn floors(&self) -> Vec<Floor> {
        vec![
            Floor { metric: "accuracy", name: "chance", value: 0.5 },
            Floor { metric: "accuracy", name: "best", value: 1.0 - f64::from(self.config.flipped) },
            Floor { metric: "cross-entropy", name: "chance", value: std::f64::consts::LN_2 },
        ]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(vec![self.batch(seed, Stream::Training(0), self.config.examples)])
    }
}

#[cfg(test)]
mod tests {
    use sequence::Inputs;

    use super::*;
    use crate::testing::{self, classes};

    fn of(config: Config) -> NoisyXor {
        NoisyXor::new(config).unwrap()
    }

    /// How often the class is that of the signs of the features `a` and `b`.
    fn agreement(batch: &Batch, a: usize, b: usize) -> f64 {
        let Inputs::Features { width, values } = &batch.inputs else { panic!("the inputs are features") };
        let right = |(row, class): &(&[f32], &u32)| u32::from((row[a] > 0.0) != (row[b] > 0.0)) == **class;
        values.chunks(*width).zip(classes(batch)).filter(right).count() as f64 / batch.size as f64
    }

    #[test]
    fn two_features_decide_and_the_share_asked_for_is_flipped() {
        let tested =
            |flipped| of(Config { features: 4, flipped, ..Config::default() }).test(3).remove(0).batches;
        assert_eq!(agreement(&tested(0.0)[0], 0, 1), 1.0);
        // Of 10,000 a share has a standard error of 0.004 at 0.2 and of 0.005 at 0.5; four of them.
        assert!((agreement(&tested(0.2)[0], 0, 1) - 0.8).abs() < 0.016);
        assert!((agreement(&tested(0.2)[0], 0, 2) - 0.5).abs() < 0.02);
        assert!((agreement(&tested(0.2)[0], 2, 3) - 0.5).abs() < 0.02);
        // Flips change no row.
        assert_eq!(tested(0.0)[0].inputs, tested(0.2)[0].inputs);
    }

    #[test]
    fn batches_draw_from_the_training_set() {
        let task = of(Config::default());
        let set = task.training_set(1).unwrap();
        assert_eq!(set[0].size, 500);
        assert_eq!(testing::shared(&set, &[task.training_batch(1, 3, 100)]), 100);
        assert_eq!(testing::shared(&set, &task.test(1)[0].batches), 0);
        assert_eq!(testing::shared(&set, &task.validation(1)), 0);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `fixtures/digests.py`. A change needs a new version.
        assert_eq!(testing::digest(&of(Config::default())), "f67a594d1f01d219");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| NoisyXor::new(config).err().unwrap().to_string();
        assert!(refusal(Config { features: 1, ..Config::default() }).contains("`features`: 1 is outside"));
        assert!(refusal(Config { flipped: 0.6, ..Config::default() }).contains("`flipped`: 0.6 is outside"));
    }
}
