//! Running parity: one bit of state, carried as far as the test sequences reach.
//!
//! ```text
//! input    b1   b2        b3             ..   each 0 or 1, equally likely
//! target   b1   b1 + b2   b1 + b2 + b3   ..   modulo 2
//! ```
//!
//! Training and validation lengths are uniform in [train-minimum, train-maximum]; each test set has one
//! length, so that it shows what was learnt beyond them. The primary metric looks at the last 8 positions
//! only, since the first ones are easy at every length.
//!
//! Tokens: 0 padding, 1 a zero, 2 a one.

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{TokenSequence, collate, evaluation};
use crate::metrics::Classification;
use crate::{DataError, settings};

const NAME: &str = "running-parity";
const PADDING: u32 = 0;
const FIRST_BIT: u32 = 1;
/// Positions at the end of a sequence that the primary metric looks at.
const SCORED: usize = 8;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say at every position whether the ones so far are odd in number",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(RunningParity::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Shortest sequence of training and validation.
    train_minimum: usize,
    /// Longest sequence of training and validation.
    train_maximum: usize,
    /// Length of the sequences of each test set.
    test: Vec<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self { train_minimum: 8, train_maximum: 24, test: vec![24, 48, 96, 192] }
    }
}

struct RunningParity {
    config: Config,
}

impl RunningParity {
    fn new(config: Config) -> Result<Self, DataError> {
        let lengths = SCORED..=100_000;
        settings::within(NAME, "train-minimum", &config.train_minimum, lengths.clone())?;
        settings::within(NAME, "train-maximum", &config.train_maximum, config.train_minimum..=100_000)?;
        for (index, length) in config.test.iter().enumerate() {
            settings::within(NAME, "test", length, lengths.clone())?;
            if config.test[..index].contains(length) {
                return Err(settings::wrong(NAME, "test", format!("length {length} is given twice")));
            }
        }
        if config.test.is_empty() {
            return Err(settings::wrong(NAME, "test", "at least one length is needed"));
        }
        Ok(Self { config })
    }

    /// Sequences of lengths uniform in [shortest, longest].
    fn batch(random: &mut Random, size: usize, shortest: usize, longest: usize) -> Batch {
        let sequences: Vec<_> = (0..size)
            .map(|_| {
                let time = shortest + random.index(longest - shortest + 1);
                let bits: Vec<u32> = (0..time).map(|_| random.below(2)).collect();
                let parity = bits.iter().scan(0, |parity, bit| {
                    *parity ^= bit;
                    Some(*parity)
                });
                TokenSequence {
                    targets: parity.collect(),
                    inputs: bits.iter().map(|bit| FIRST_BIT + bit).collect(),
                    counts: vec![true; time],
                }
            })
            .collect();
        collate(&sequences, PADDING)
    }

    fn training_lengths(&self, random: &mut Random, size: usize) -> Batch {
        Self::batch(random, size, self.config.train_minimum, self.config.train_maximum)
    }
}

impl Task for RunningParity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let longest_test = self.config.test.iter().copied().max().unwrap_or(0);
        Interface {
            inputs: InputKind::Tokens { vocabulary: 3 },
            outputs: 2,
            loss: LossKind::CrossEntropy,
            maximum_time: self.config.train_maximum.max(longest_test),
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        self.training_lengths(&mut Random::new(seed, Stream::Training(update)), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        let mut random = Random::new(seed, Stream::Validation);
        evaluation(|size| self.training_lengths(&mut random, size))
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        // Each length has a seed of its own, so that adding a length leaves the other test sets as they were.
        let base = Random::new(seed, Stream::Test).bits();
        let set = |&length: &usize| {
            let mut random = Random::new(base.wrapping_add(length as u64), Stream::Test);
            TestSet {
                name: format!("test@{length}"),
                batches: evaluation(|size| Self::batch(&mut random, size, length, length)),
            }
        };
        self.config.test.iter().map(set).collect()
    }

    /// `accuracy` over the last 8 positions of each sequence, `accuracy-all` over every position.
    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        let end = Classification::over(batches, predictions, |length, time| time + SCORED >= length);
        let all = Classification::over(batches, predictions, |_, _| true);
        vec![end.accuracy("accuracy"), all.accuracy("accuracy-all")]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        Some(0.995)
    }

    fn floors(&self) -> Vec<Floor> {
        let chance = |metric| Floor { metric, name: "chance", value: 0.5 };
        vec![chance("accuracy"), chance("accuracy-all")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};

    fn standard() -> RunningParity {
        RunningParity::new(Config::default()).unwrap()
    }

    #[test]
    fn targets_are_the_parity_so_far() {
        let mut lengths = [0; 25];
        for batch in standard().validation(6) {
            for (index, row) in rows(&batch).iter().enumerate() {
                for (time, parity) in classes(&batch)[index * batch.time..][..row.len()].iter().enumerate() {
                    let ones = row[..=time].iter().filter(|&&token| token == FIRST_BIT + 1).count();
                    assert_eq!(*parity as usize, ones % 2);
                }
                lengths[row.len()] += 1;
            }
            assert_eq!(batch.supervised(), batch.lengths.iter().sum::<usize>());
        }
        // 1,000 draws over 17 lengths: mean 59, standard deviation 7.4.
        assert!(lengths[..8].iter().all(|&count| count == 0));
        assert!(lengths[8..].iter().all(|&count| (25..95).contains(&count)), "{lengths:?}");
    }

    #[test]
    fn test_sets_have_one_length_each_and_do_not_depend_on_each_other() {
        let sets = standard().test(6);
        let names: Vec<_> = sets.iter().map(|set| set.name.as_str()).collect();
        assert_eq!(names, ["test@24", "test@48", "test@96", "test@192"]);
        for (set, length) in sets.iter().zip([24, 48, 96, 192]) {
            assert!(set.batches.iter().flat_map(|batch| &batch.lengths).all(|&found| found == length));
            assert_eq!(set.batches.iter().map(|batch| batch.size).sum::<usize>(), 1000);
        }
        let only = RunningParity::new(Config { test: vec![96], ..Config::default() }).unwrap();
        assert_eq!(only.test(6)[0].batches, sets[2].batches);
        assert_ne!(only.test(7)[0].batches, sets[2].batches);
    }

    #[test]
    fn the_rule_solves_it_and_shuffled_labels_bring_it_to_the_floor() {
        let task = standard();
        let batches = &task.test(3)[1].batches;
        let oracle = |batch: &Batch| {
            let rows = rows(batch);
            testing::predict(batch, 2, |row, time| {
                testing::certain(2, rows[row][..=time].iter().map(|token| token - FIRST_BIT).sum::<u32>() % 2)
            })
        };
        let answers: Vec<_> = batches.iter().map(oracle).collect();
        let right = |metric| Score { metric, value: 1.0, count: 1000 };
        assert_eq!(task.scores(batches, &answers), [right("accuracy"), right("accuracy-all")]);
        let shuffled: Vec<_> = batches.iter().map(testing::shuffle_labels).collect();
        for (score, floor) in task.scores(&shuffled, &answers).iter().zip(task.floors()) {
            // 8,000 positions or more: standard error at most 0.0056; four of them either way.
            assert!((score.value - floor.value).abs() < 0.023, "{score:?}");
        }
    }

    #[test]
    fn the_primary_metric_looks_at_the_last_eight_positions() {
        let task = standard();
        let batches = task.validation(1);
        let early = |batch: &Batch| {
            let targets = classes(batch);
            testing::predict(batch, 2, |row, time| {
                let target = targets[row * batch.time + time];
                let late = time + 8 >= batch.lengths[row];
                testing::certain(2, if late { 1 - target } else { target })
            })
        };
        let answers: Vec<_> = batches.iter().map(early).collect();
        let scores = task.scores(&batches, &answers);
        assert_eq!(scores[0].value, 0.0);
        let positions: usize = batches.iter().map(Batch::supervised).sum();
        assert_eq!(scores[1].value, 1.0 - 8000.0 / positions as f64);
    }

    #[test]
    fn no_test_example_is_trained_on() {
        let task = standard();
        let training: Vec<_> = (0..1500).map(|update| task.training_batch(1, update, 16)).collect();
        let sets = task.test(1);
        for set in &sets {
            assert_eq!(testing::shared(&training, &set.batches), 0, "{}", set.name);
        }
        // Validation has the lengths of training, and there are only 256 sequences of 8 bits.
        assert!(testing::shared(&training, &task.validation(1)) > 0);
        assert_eq!(testing::shared(&sets[1].batches, &sets[1].batches[..1]), 100);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&standard()), "12ab3e9151e0dbc6");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| RunningParity::new(config).err().unwrap().to_string();
        let standard = Config::default;
        let short = refusal(Config { train_minimum: 7, ..standard() });
        assert_eq!(
            short,
            "task `running-parity`, setting `train-minimum`: 7 is outside the allowed 8 to 100000"
        );
        assert!(
            refusal(Config { train_minimum: 30, ..standard() }).contains("`train-maximum`: 24 is outside")
        );
        assert!(refusal(Config { test: vec![48, 4], ..standard() }).contains("`test`: 4 is outside"));
        assert!(
            refusal(Config { test: vec![48, 48], ..standard() }).contains("`test`: length 48 is given twice")
        );
        assert!(refusal(Config { test: vec![], ..standard() }).contains("at least one length"));
    }
}
