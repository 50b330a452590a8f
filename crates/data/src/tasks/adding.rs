//! The adding problem: two real numbers kept and added (Hochreiter and Schmidhuber 1997).
//!
//! ```text
//! position   0 .. length-1
//! input      (value, marker): value uniform, marker 1 at two positions and 0 elsewhere
//! target     at the last position only: the sum of the two marked values
//! ```
//!
//! One marker lies in the first half of the sequence and one in the second, each place equally likely, as
//! in Arjovsky et al. 2016. Published numbers differ in the range of the values, so it is a setting:
//!
//! | range | values | constant predictor (its mean) |
//! |---|---|---|
//! | `unit` | U[0, 1), as in Arjovsky et al. 2016, Bai et al. 2018 | 2/12 = 1/6 |
//! | `symmetric` | U[-1, 1), the range of Hochreiter and Schmidhuber | 2 (4/12) = 2/3 |
//!
//! The 1997 version also rescales the sum, marks the ends with -1, places both markers early and draws the
//! length at random; none of these is done here.

use sequence::{
    Batch, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Score, Stream, Targets, Task,
    TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::evaluation;
use crate::metrics::mean_squared_error;
use crate::{DataError, settings};

const NAME: &str = "adding";
/// Features a position: value and marker.
const WIDTH: usize = 2;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "add two marked numbers among many, one in each half of the sequence",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(Adding::new(settings::parse(NAME, given)?)?)),
};

/// Where the values are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Range {
    /// U[0, 1).
    Unit,
    /// U[-1, 1).
    Symmetric,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Positions a sequence.
    length: usize,
    /// Where the values are drawn from.
    range: Range,
}

impl Default for Config {
    fn default() -> Self {
        Self { length: 100, range: Range::Unit }
    }
}

struct Adding {
    config: Config,
}

impl Adding {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "length", &config.length, 2..=100_000)?;
        Ok(Self { config })
    }

    fn batch(&self, random: &mut Random, size: usize) -> Batch {
        let Config { length, range } = self.config;
        let half = length / 2;
        let mut features = Vec::with_capacity(size * length * WIDTH);
        let mut targets = vec![0.0; size * length];
        let mut loss_mask = vec![false; size * length];
        for row in 0..size {
            let markers = [random.index(half), half + random.index(length - half)];
            let mut sum = 0.0;
            for position in 0..length {
                let unit = random.unit();
                let value = if range == Range::Unit { unit } else { 2.0 * unit - 1.0 };
                let marked = markers.contains(&position);
                features.extend([value, f32::from(u8::from(marked))]);
                if marked {
                    sum += value;
                }
            }
            let last = (row + 1) * length - 1;
            targets[last] = sum;
            loss_mask[last] = true;
        }
        let batch = Batch {
            size,
            time: length,
            inputs: Inputs::Features { width: WIDTH, values: features },
            source: None,
            targets: Targets::Values(targets),
            loss_mask,
            lengths: vec![length; size],
        };
        batch.assert_consistent();
        batch
    }

    fn evaluation(&self, seed: u64, stream: Stream) -> Vec<Batch> {
        let mut random = Random::new(seed, stream);
        evaluation(|size| self.batch(&mut random, size))
    }
}

impl Task for Adding {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Features { width: WIDTH },
            outputs: 1,
            loss: LossKind::MeanSquaredError,
            maximum_time: self.config.length,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        self.batch(&mut Random::new(seed, Stream::Training(update)), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        self.evaluation(seed, Stream::Validation)
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        vec![TestSet { name: "test".to_owned(), batches: self.evaluation(seed, Stream::Test) }]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        vec![mean_squared_error(batches, predictions)]
    }

    fn larger_is_better(&self) -> bool {
        false
    }

    /// An order of magnitude below the floor: 0.01 for `unit`, and for `symmetric`, whose values spread twice
    /// as far, four times that.
    fn solved_at(&self) -> Option<f64> {
        Some(match self.config.range {
            Range::Unit => 0.01,
            Range::Symmetric => 0.04,
        })
    }

    /// The variance of the sum of two independent values.
    fn floors(&self) -> Vec<Floor> {
        let value = match self.config.range {
            Range::Unit => 1.0 / 6.0,
            Range::Symmetric => 2.0 / 3.0,
        };
        vec![Floor { metric: "mean-squared-error", name: "constant", value }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn of(length: usize, range: Range) -> Adding {
        Adding::new(Config { length, range }).unwrap()
    }

    /// The positions and values of a sequence that are marked.
    fn marked(batch: &Batch, row: usize) -> Vec<(usize, f32)> {
        let Inputs::Features { width: 2, values } = &batch.inputs else { panic!("two features") };
        let pairs = values[row * batch.time * 2..][..batch.time * 2].chunks(2).enumerate();
        pairs.filter(|(_, pair)| pair[1] == 1.0).map(|(position, pair)| (position, pair[0])).collect()
    }

    #[test]
    fn one_marker_lies_in_each_half_and_the_target_is_the_sum() {
        for (length, range) in [(2, Range::Unit), (7, Range::Symmetric), (100, Range::Unit)] {
            for batch in of(length, range).validation(2) {
                let Inputs::Features { values, .. } = &batch.inputs else { panic!("features") };
                let Targets::Values(targets) = &batch.targets else { panic!("values") };
                assert!(values.iter().skip(1).step_by(2).all(|&marker| marker == 0.0 || marker == 1.0));
                let low = if range == Range::Unit { 0.0 } else { -1.0 };
                assert!(values.iter().step_by(2).all(|value| (low..1.0).contains(value)));
                for row in 0..batch.size {
                    let marked = marked(&batch, row);
                    assert_eq!(marked.len(), 2);
                    assert!(marked[0].0 < length / 2 && marked[1].0 >= length / 2, "{marked:?}");
                    let last = (row + 1) * length - 1;
                    assert_eq!(targets[last], marked[0].1 + marked[1].1);
                    assert!(batch.loss_mask[last]);
                }
                assert_eq!(batch.supervised(), batch.size);
            }
        }
    }

    #[test]
    fn floors_are_those_of_a_constant() {
        for (range, mean) in [(Range::Unit, 1.0), (Range::Symmetric, 0.0)] {
            let task = of(10, range);
            let batches: Vec<_> = (0..100).map(|update| task.training_batch(1, update, 1000)).collect();
            let constant: Vec<_> =
                batches.iter().map(|batch| testing::predict(batch, 1, |_, _| vec![mean])).collect();
            let score = &task.scores(&batches, &constant)[0];
            let floor = task.floors()[0].value;
            // The square of a triangular deviate has standard deviation sqrt(7/5) times its mean: 0.0037 of
            // the floor over 100,000 sequences; four of them either way.
            assert!((score.value / floor - 1.0).abs() < 0.015, "{score:?}");
            // Any other constant is worse.
            let off: Vec<_> =
                batches.iter().map(|batch| testing::predict(batch, 1, |_, _| vec![mean + 0.1])).collect();
            assert!(task.scores(&batches, &off)[0].value > score.value);
            assert!(task.solved_at().unwrap() < floor / 10.0);
        }
    }

    #[test]
    fn the_rule_solves_it() {
        let task = of(50, Range::Symmetric);
        let batches = &task.test(3)[0].batches;
        let oracle = |batch: &Batch| {
            testing::predict(batch, 1, |row, _| vec![marked(batch, row).iter().map(|pair| pair.1).sum()])
        };
        let answers: Vec<_> = batches.iter().map(oracle).collect();
        let exact = Score { metric: "mean-squared-error", value: 0.0, count: 1000 };
        assert_eq!(task.scores(batches, &answers), [exact]);
    }

    #[test]
    fn no_example_is_shared_between_splits() {
        let task = of(20, Range::Unit);
        let training: Vec<_> = (0..500).map(|update| task.training_batch(1, update, 16)).collect();
        let (validation, test) = (task.validation(1), task.test(1).remove(0).batches);
        assert_eq!(testing::shared(&training, &validation), 0);
        assert_eq!(testing::shared(&training, &test), 0);
        assert_eq!(testing::shared(&validation, &test), 0);
        assert_eq!(testing::shared(&training, &training[3..4]), 16);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&of(100, Range::Unit)), "3e0c9367681f082e");
        assert_eq!(testing::digest(&of(100, Range::Symmetric)), "04c0f8d2bd4b9ffd");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = Adding::new(Config { length: 1, ..Config::default() }).err().unwrap().to_string();
        assert_eq!(refusal, "task `adding`, setting `length`: 1 is outside the allowed 2 to 100000");
        let range = settings::parse::<Config>(NAME, &serde_json::json!({"range": "unitt"}));
        let message = range.unwrap_err().to_string();
        assert!(message.contains("setting `range`: unknown variant `unitt`, expected `unit` or `symmetric`"));
    }
}
