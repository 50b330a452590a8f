//! Indexed recall: say which symbol stood at a place that is asked for by its number.
//!
//! ```text
//! input    s1  s2  ..  sn  k      n symbols, each equally likely, then the number of a place
//! target   -   -   ..  -   sk
//! ```
//!
//! The place is uniform in 1..=n. All sequences have the same length, so that the place can be counted from either end.
//!
//! Tokens: 0 padding, then the symbols, then the places.

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{TokenSequence, collate, evaluation};
use crate::metrics::Classification;
use crate::{DataError, settings};

const NAME: &str = "indexed-recall";
const PADDING: u32 = 0;
const FIRST_SYMBOL: u32 = 1;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say which symbol stood at the place whose number is asked for",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(IndexedRecall::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Symbols before the question.
    length: usize,
    /// Different symbols.
    symbols: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { length: 10, symbols: 4 }
    }
}

struct IndexedRecall {
    config: Config,
}

impl IndexedRecall {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "length", &config.length, 1..=10_000)?;
        settings::within(NAME, "symbols", &config.symbols, 2..=10_000)?;
        Ok(Self { config })
    }

    fn batch(&self, random: &mut Random, size: usize) -> Batch {
        let Config { length, symbols } = self.config;
        let sequences: Vec<_> = (0..size)
            .map(|_| {
                let drawn: Vec<u32> = (0..length).map(|_| random.below(symbols)).collect();
                let place = random.index(length);
                let mut inputs: Vec<u32> = drawn.iter().map(|symbol| FIRST_SYMBOL + symbol).collect();
                #[expect(clippy::cast_possible_truncation, reason = "a length is at most 10,000")]
                inputs.push(FIRST_SYMBOL + symbols + place as u32);
                let mut targets = vec![0; length];
                targets.push(drawn[place]);
                let counts = (0..=length).map(|time| time == length).collect();
                TokenSequence { inputs, targets, counts }
            })
            .collect();
        collate(&sequences, PADDING)
    }
}

impl Task for IndexedRecall {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let Config { length, symbols } = self.config;
        Interface {
            inputs: InputKind::Tokens { vocabulary: 1 + symbols as usize + length },
            outputs: symbols as usize,
            loss: LossKind::CrossEntropy,
            maximum_time: length + 1,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        self.batch(&mut Random::new(seed, Stream::Training(update)), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        let mut random = Random::new(seed, Stream::Validation);
        evaluation(|size| self.batch(&mut random, size))
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        let mut random = Random::new(seed, Stream::Test);
        vec![TestSet { name: "test".to_owned(), batches: evaluation(|size| self.batch(&mut random, size)) }]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        vec![Classification::over(batches, predictions, |_, _| true).accuracy("accuracy")]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        Some(0.95)
    }

    fn floors(&self) -> Vec<Floor> {
        vec![Floor { metric: "accuracy", name: "chance", value: 1.0 / f64::from(self.config.symbols) }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};

    fn standard() -> IndexedRecall {
        IndexedRecall::new(Config::default()).unwrap()
    }

    #[test]
    fn the_answer_stands_at_the_place_that_is_asked_for() {
        let mut asked = [0; 10];
        for batch in standard().validation(6) {
            assert_eq!(batch.supervised(), batch.size);
            for (index, row) in rows(&batch).iter().enumerate() {
                let place = (row[10] - FIRST_SYMBOL - 4) as usize;
                assert_eq!(row[place] - FIRST_SYMBOL, classes(&batch)[index * batch.time + 10]);
                assert!(batch.loss_mask[index * batch.time + 10]);
                asked[place] += 1;
            }
        }
        // 1,000 draws of 10 places: mean 100, standard deviation 9.5.
        assert!(asked.iter().all(|&count| (60..140).contains(&count)), "{asked:?}");
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (config, key) in [
            (Config { length: 0, ..Config::default() }, "`length`"),
            (Config { symbols: 1, ..Config::default() }, "`symbols`"),
        ] {
            assert!(IndexedRecall::new(config).err().unwrap().to_string().contains(key));
        }
    }

    #[test]
    fn the_rule_solves_it_and_shuffled_labels_bring_it_to_the_floor() {
        let task = standard();
        let batches = &task.test(3)[0].batches;
        let oracle = |batch: &Batch| {
            let rows = rows(batch);
            testing::predict(batch, 4, |row, time| {
                let asked = rows[row][10] - FIRST_SYMBOL - 4;
                let answer = if time == 10 { rows[row][asked as usize] - FIRST_SYMBOL } else { 0 };
                testing::certain(4, answer)
            })
        };
        let answers: Vec<_> = batches.iter().map(oracle).collect();
        assert_eq!(task.scores(batches, &answers), [Score { metric: "accuracy", value: 1.0, count: 1000 }]);
        let shuffled: Vec<_> = batches.iter().map(testing::shuffle_labels).collect();
        // 1,000 answers: standard error 0.014; four of them either way.
        let score = task.scores(&shuffled, &answers)[0].value;
        assert!((score - task.floors()[0].value).abs() < 0.055, "{score}");
    }

    #[test]
    fn no_test_example_is_trained_on() {
        // Long enough that no sequence is drawn twice; at the default length there are 4^10 of them and some are.
        let task = IndexedRecall::new(Config { length: 20, symbols: 8 }).unwrap();
        let training: Vec<_> = (0..1500).map(|update| task.training_batch(1, update, 16)).collect();
        let tests = &task.test(1)[0].batches;
        assert_eq!(testing::shared(&training, tests), 0);
        assert_eq!(testing::shared(tests, &tests[..1]), 100);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&standard()), "364297f7c5364314");
    }
}
