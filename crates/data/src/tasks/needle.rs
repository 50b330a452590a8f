//! A needle among fillers: one position decides the answer, and it may be any.
//!
//! ```text
//! position   0 .. p-1   p        p+1 .. length-1   length
//! input      filler     needle   filler            query
//! target                                           which needle
//! ```
//!
//! The place p is uniform over all `length` places, so that no position tells more than another beforehand. Fillers are symbols
//! of their own, never a needle.
//!
//! Tokens: 0 padding, 1 query, then the needles, then the fillers.

use sequence::{
    Batch, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{TokenSequence, collate, evaluation};
use crate::metrics::Classification;
use crate::{DataError, settings};

const NAME: &str = "needle";
const PADDING: u32 = 0;
const QUERY: u32 = 1;
const FIRST_NEEDLE: u32 = 2;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say at the end which needle stood among the fillers, at any place",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(Needle::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Positions before the query, of which one holds the needle.
    length: usize,
    /// Number of different needles.
    needles: u32,
    /// Number of different fillers.
    fillers: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { length: 16, needles: 8, fillers: 8 }
    }
}

struct Needle {
    config: Config,
}

impl Needle {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "length", &config.length, 2..=100_000)?;
        settings::within(NAME, "needles", &config.needles, 2..=10_000)?;
        settings::within(NAME, "fillers", &config.fillers, 1..=10_000)?;
        Ok(Self { config })
    }

    fn sequence(&self, random: &mut Random) -> TokenSequence {
        let Config { length, needles, fillers } = self.config;
        let place = random.index(length);
        let needle = random.below(needles);
        let filler = FIRST_NEEDLE + needles;
        let mut inputs: Vec<u32> = (0..length).map(|_| filler + random.below(fillers)).collect();
        inputs[place] = FIRST_NEEDLE + needle;
        inputs.push(QUERY);
        let mut targets = vec![0; length];
        targets.push(needle);
        let mut counts = vec![false; length];
        counts.push(true);
        TokenSequence { inputs, targets, counts }
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

impl Task for Needle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let Config { length, needles, fillers } = self.config;
        Interface {
            inputs: InputKind::Tokens { vocabulary: (FIRST_NEEDLE + needles + fillers) as usize },
            outputs: needles as usize,
            loss: LossKind::CrossEntropy,
            maximum_time: length + 1,
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
        Some(0.95)
    }

    fn floors(&self) -> Vec<Floor> {
        let needles = f64::from(self.config.needles);
        vec![
            Floor { metric: "accuracy", name: "chance", value: 1.0 / needles },
            Floor { metric: "cross-entropy", name: "chance", value: needles.ln() },
        ]
    }

    /// The place of the needle.
    fn decisive_positions(&self, batch: &Batch) -> Option<Vec<usize>> {
        let Inputs::Tokens(tokens) = &batch.inputs else { return None };
        let needles = FIRST_NEEDLE..FIRST_NEEDLE + self.config.needles;
        tokens.chunks(batch.time).map(|row| row.iter().position(|token| needles.contains(token))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};

    fn of(length: usize) -> Needle {
        Needle::new(Config { length, ..Config::default() }).unwrap()
    }

    #[test]
    fn one_needle_stands_anywhere_and_is_the_answer() {
        let task = of(16);
        let mut places = [0; 16];
        for batch in task.validation(4) {
            let decisive = task.decisive_positions(&batch).unwrap();
            for (index, row) in rows(&batch).iter().enumerate() {
                let is_needle = |token: &u32| (FIRST_NEEDLE..FIRST_NEEDLE + 8).contains(token);
                assert_eq!(row.iter().filter(|token| is_needle(token)).count(), 1);
                assert_eq!((row.len(), row[16]), (17, QUERY));
                let place = decisive[index];
                assert!(is_needle(&row[place]));
                assert_eq!(classes(&batch)[index * 17 + 16], row[place] - FIRST_NEEDLE);
                places[place] += 1;
            }
            assert_eq!(batch.supervised(), batch.size);
        }
        // 1,000 draws over 16 places: mean 62.5, standard deviation 7.7; four of them either way.
        assert!(places.iter().all(|&count| (31..94).contains(&count)), "{places:?}");
    }

    #[test]
    fn the_rule_solves_it_and_shuffled_labels_bring_it_to_the_floor() {
        let task = of(16);
        let batches = &task.test(3)[0].batches;
        let oracle = |batch: &Batch| {
            let (rows, places) = (rows(batch), task.decisive_positions(batch).unwrap());
            testing::predict(batch, 8, |row, _| testing::certain(8, rows[row][places[row]] - FIRST_NEEDLE))
        };
        let answers: Vec<_> = batches.iter().map(oracle).collect();
        assert_eq!(task.scores(batches, &answers)[0], Score { metric: "accuracy", value: 1.0, count: 1000 });
        let shuffled: Vec<_> = batches.iter().map(testing::shuffle_labels).collect();
        let accuracy = task.scores(&shuffled, &answers)[0].value;
        // Floor 1/8 with a standard error of 0.0105 over 1,000 sequences; four of them either way.
        assert!((accuracy - task.floors()[0].value).abs() < 0.042, "{accuracy}");
        let even: Vec<_> =
            batches.iter().map(|batch| testing::predict(batch, 8, |_, _| testing::even(8, 0..8))).collect();
        let nats = task.scores(batches, &even)[1].value;
        assert!((nats - task.floors()[1].value).abs() < 1e-6, "{nats}");
    }

    #[test]
    fn no_example_is_shared_between_splits() {
        let task = of(16);
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
        assert_eq!(testing::digest(&of(16)), "c3860047f1f2443c");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| Needle::new(config).err().unwrap().to_string();
        let standard = Config::default();
        let short = refusal(Config { length: 1, ..standard });
        assert_eq!(short, "task `needle`, setting `length`: 1 is outside the allowed 2 to 100000");
        assert!(refusal(Config { needles: 1, ..standard }).contains("`needles`: 1 is outside"));
        assert!(refusal(Config { fillers: 0, ..standard }).contains("`fillers`: 0 is outside"));
    }
}
