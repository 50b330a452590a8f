//! Copying the symbol a fixed number of places away: which side of a position a model reads.
//!
//! ```text
//! input                s0   s1   s2   s3   ..   independent, equally likely
//! target, offset -1         s0   s1   s2   ..
//! target, offset 1     s1   s2   s3   s4   ..
//! ```
//!
//! Position t answers with the symbol at t + offset, and nothing is asked where that lies outside the sequence. The symbols are
//! independent, so a model that does not read the one asked for can only guess. Lengths are uniform in [minimum, maximum].
//!
//! Tokens: 0 padding, then the symbols.

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{TokenSequence, collate, evaluation};
use crate::metrics::Classification;
use crate::{DataError, settings};

const NAME: &str = "shifted-copy";
const PADDING: u32 = 0;
const FIRST_SYMBOL: u32 = 1;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say at every position which symbol stands a fixed number of places before or after it",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(ShiftedCopy::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Places from the position that is asked to the symbol that it answers with; negative before, positive after it.
    offset: i32,
    /// Number of different symbols.
    symbols: u32,
    /// Shortest sequence.
    minimum: usize,
    /// Longest sequence.
    maximum: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { offset: -1, symbols: 4, minimum: 16, maximum: 24 }
    }
}

struct ShiftedCopy {
    config: Config,
}

impl ShiftedCopy {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "offset", &config.offset, -10_000..=10_000)?;
        settings::within(NAME, "symbols", &config.symbols, 2..=10_000)?;
        // Every sequence asks something.
        let shortest = config.offset.unsigned_abs() as usize + 1;
        settings::within(NAME, "minimum", &config.minimum, shortest..=100_000)?;
        settings::within(NAME, "maximum", &config.maximum, config.minimum..=100_000)?;
        Ok(Self { config })
    }

    fn sequence(&self, random: &mut Random) -> TokenSequence {
        let Config { offset, symbols, minimum, maximum } = self.config;
        let time = minimum + random.index(maximum - minimum + 1);
        let drawn: Vec<u32> = (0..time).map(|_| random.below(symbols)).collect();
        let distance = offset.unsigned_abs() as usize;
        let away = |position: usize| -> Option<u32> {
            let place = if offset < 0 { position.checked_sub(distance)? } else { position + distance };
            drawn.get(place).copied()
        };
        TokenSequence {
            inputs: drawn.iter().map(|symbol| FIRST_SYMBOL + symbol).collect(),
            targets: (0..time).map(|position| away(position).unwrap_or(0)).collect(),
            counts: (0..time).map(|position| away(position).is_some()).collect(),
        }
    }

    fn batch(&self, random: &mut Random, size: usize) -> Batch {
        let sequences: Vec<_> = (0..size).map(|_| self.sequence(random)).collect();
        collate(&sequences, PADDING)
    }

    fn evaluation(&self, seed: u64, stream: Stream) -> Vec<Batch> {
        let mut random = Random::new(seed, stream);
        evaluation(|size| self.batch(&mut random, size))
    }
}

impl Task for ShiftedCopy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let Config { symbols, maximum, .. } = self.config;
        Interface {
            inputs: InputKind::Tokens { vocabulary: (FIRST_SYMBOL + symbols) as usize },
            outputs: symbols as usize,
            loss: LossKind::CrossEntropy,
            maximum_time: maximum,
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
        let answers = Classification::over(batches, predictions, |_, _| true);
        vec![answers.accuracy("accuracy"), answers.cross_entropy()]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        Some(0.99)
    }

    fn floors(&self) -> Vec<Floor> {
        let symbols = f64::from(self.config.symbols);
        vec![
            Floor { metric: "accuracy", name: "chance", value: 1.0 / symbols },
            Floor { metric: "cross-entropy", name: "chance", value: symbols.ln() },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};

    fn of(offset: i32) -> ShiftedCopy {
        ShiftedCopy::new(Config { offset, ..Config::default() }).unwrap()
    }

    #[test]
    fn targets_are_the_symbols_that_far_away_and_nothing_is_asked_beyond_the_ends() {
        for offset in [-8, -1, 0, 1, 4] {
            let mut lengths = [0; 25];
            for batch in of(offset).validation(6) {
                for (index, row) in rows(&batch).iter().enumerate() {
                    lengths[row.len()] += 1;
                    for position in 0..batch.time {
                        let asked = index * batch.time + position;
                        let place = i32::try_from(position).unwrap() + offset;
                        let symbol = usize::try_from(place).ok().and_then(|place| row.get(place));
                        let inside = position < row.len() && symbol.is_some();
                        assert_eq!(batch.loss_mask[asked], inside, "{position} of {}", row.len());
                        if inside {
                            assert_eq!(classes(&batch)[asked] + FIRST_SYMBOL, *symbol.unwrap());
                        }
                    }
                }
            }
            // 1,000 draws over 9 lengths: mean 111, standard deviation 9.9.
            assert!(lengths[..16].iter().all(|&count| count == 0));
            assert!(lengths[16..].iter().all(|&count| (70..155).contains(&count)), "{lengths:?}");
        }
    }

    #[test]
    fn the_rule_solves_it_and_shuffled_labels_bring_it_to_the_floor() {
        let task = of(4);
        let batches = &task.test(3)[0].batches;
        let oracle = |batch: &Batch| {
            let rows = rows(batch);
            testing::predict(batch, 4, |row, position| {
                testing::certain(4, rows[row].get(position + 4).map_or(0, |symbol| symbol - FIRST_SYMBOL))
            })
        };
        let answers: Vec<_> = batches.iter().map(oracle).collect();
        assert_eq!(task.scores(batches, &answers)[0], Score { metric: "accuracy", value: 1.0, count: 1000 });
        let shuffled: Vec<_> = batches.iter().map(testing::shuffle_labels).collect();
        let accuracy = task.scores(&shuffled, &answers)[0].value;
        // Floor 1/4 with a standard error of 0.0035 over about 16,000 positions; four of them either way.
        assert!((accuracy - task.floors()[0].value).abs() < 0.014, "{accuracy}");
    }

    #[test]
    fn the_floor_is_that_of_a_predictor_that_reads_the_other_side() {
        let task = of(4);
        let batches = &task.test(3)[0].batches;
        let other_side = |batch: &Batch| {
            let rows = rows(batch);
            testing::predict(batch, 4, |row, position| {
                let symbol = position.checked_sub(4).and_then(|place| rows[row].get(place));
                testing::certain(4, symbol.map_or(0, |symbol| symbol - FIRST_SYMBOL))
            })
        };
        let guesses: Vec<_> = batches.iter().map(other_side).collect();
        let accuracy = task.scores(batches, &guesses)[0].value;
        assert!((accuracy - task.floors()[0].value).abs() < 0.014, "{accuracy}");
        let even: Vec<_> =
            batches.iter().map(|batch| testing::predict(batch, 4, |_, _| testing::even(4, 0..4))).collect();
        let nats = task.scores(batches, &even)[1].value;
        assert!((nats - task.floors()[1].value).abs() < 1e-6, "{nats}");
    }

    #[test]
    fn no_example_is_shared_between_splits() {
        let task = of(1);
        let training: Vec<_> = (0..1500).map(|update| task.training_batch(1, update, 16)).collect();
        let (validation, test) = (task.validation(1), task.test(1).remove(0).batches);
        assert_eq!(testing::shared(&training, &validation), 0);
        assert_eq!(testing::shared(&training, &test), 0);
        assert_eq!(testing::shared(&validation, &test), 0);
        // The check does find an example that leaks.
        assert_eq!(testing::shared(&training, &training[7..8]), 16);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&of(-4)), "2c7a75cbc68d4259");
        assert_eq!(testing::digest(&of(4)), "f166f80a3c686c68");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| ShiftedCopy::new(config).err().unwrap().to_string();
        let standard = Config::default();
        let short = refusal(Config { offset: -16, ..standard });
        assert_eq!(short, "task `shifted-copy`, setting `minimum`: 16 is outside the allowed 17 to 100000");
        assert!(refusal(Config { symbols: 1, ..standard }).contains("`symbols`: 1 is outside"));
        assert!(refusal(Config { maximum: 15, ..standard }).contains("`maximum`: 15 is outside"));
        assert!(refusal(Config { offset: i32::MIN, ..standard }).contains("`offset`"));
    }
}
