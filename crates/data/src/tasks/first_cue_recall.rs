//! Recall of cues over a fixed lag: how long a model can remember, and how much.
//!
//! ```text
//! position   0 .. p-1   p     p+1 .. p+lag-1   p+lag
//! input      filler     cue   filler           query
//! target                                       which cue
//! ```
//!
//! The place p is uniform over the places that lie in the first quarter of the sequence (4p < p + lag + 1),
//! so neither the position of the cue nor the length tells anything; the distance from cue to query is
//! `lag` exactly. Fillers are symbols of their own, never a cue. At small lags there are few sequences,
//! and training meets those of the test: from lag 10 on, with the default symbols, it does not.
//!
//! With more `items` than one, as many cues follow each other, and each is asked for `lag` positions after it was shown:
//!
//! ```text
//! position   0 .. p-1   p      p+1    p+2      p+3 .. p+lag-1   p+lag   p+lag+1   p+lag+2
//! input      filler     cue    cue    cue      filler           query   query     query
//! target                                                        1st     2nd       3rd
//! ```
//!
//! So the distance stays and the load grows. No cue is asked for before the last was shown, so all of them are held at once.
//!
//! Tokens: 0 padding, 1 query, then the cues, then the fillers.

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{TokenSequence, collate, evaluation};
use crate::metrics::Classification;
use crate::{DataError, settings};

const NAME: &str = "first-cue-recall";
const PADDING: u32 = 0;
const QUERY: u32 = 1;
const FIRST_CUE: u32 = 2;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say at the end which cue, or which cues in their order, were shown a fixed lag ago",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(FirstCueRecall::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Positions from the cue to the query.
    lag: usize,
    /// Number of different cues.
    cues: u32,
    /// Number of different fillers.
    fillers: u32,
    /// Cues that are shown, one after the other.
    items: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { lag: 20, cues: 8, fillers: 8, items: 1 }
    }
}

struct FirstCueRecall {
    config: Config,
}

impl FirstCueRecall {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "lag", &config.lag, 1..=100_000)?;
        settings::within(NAME, "cues", &config.cues, 2..=10_000)?;
        settings::within(NAME, "fillers", &config.fillers, 1..=10_000)?;
        // The last cue is shown before the first is asked for.
        settings::within(NAME, "items", &config.items, 1..=config.lag)?;
        Ok(Self { config })
    }

    /// Number of places p with 4p < p + lag + 1.
    fn places(&self) -> usize {
        (self.config.lag + 1).div_ceil(3)
    }

    fn sequence(&self, random: &mut Random) -> TokenSequence {
        let Config { lag, cues, fillers, items } = self.config;
        let place = random.index(self.places());
        let shown: Vec<u32> = (0..items).map(|_| random.below(cues)).collect();
        let time = place + lag + items;
        let mut inputs: Vec<u32> = (0..time).map(|_| FIRST_CUE + cues + random.below(fillers)).collect();
        let mut targets = vec![0; time];
        let mut counts = vec![false; time];
        for (item, &cue) in shown.iter().enumerate() {
            inputs[place + item] = FIRST_CUE + cue;
            inputs[place + lag + item] = QUERY;
            targets[place + lag + item] = cue;
            counts[place + lag + item] = true;
        }
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

impl Task for FirstCueRecall {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let Config { lag, cues, fillers, items } = self.config;
        Interface {
            inputs: InputKind::Tokens { vocabulary: (FIRST_CUE + cues + fillers) as usize },
            outputs: cues as usize,
            loss: LossKind::CrossEntropy,
            maximum_time: self.places() - 1 + lag + items,
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
        let cues = f64::from(self.config.cues);
        vec![
            Floor { metric: "accuracy", name: "chance", value: 1.0 / cues },
            Floor { metric: "cross-entropy", name: "chance", value: cues.ln() },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, rows};

    fn of(lag: usize) -> FirstCueRecall {
        FirstCueRecall::new(Config { lag, ..Config::default() }).unwrap()
    }

    /// What the rule of the task answers, read from the inputs alone.
    fn oracle(batch: &Batch) -> Predictions {
        let cues = FIRST_CUE..FIRST_CUE + Config::default().cues;
        let tokens = rows(batch);
        testing::predict(batch, 8, |row, _| {
            let cue = tokens[row].iter().find(|token| cues.contains(token)).unwrap();
            testing::certain(8, cue - FIRST_CUE)
        })
    }

    #[test]
    fn the_cue_lies_in_the_first_quarter_and_exactly_lag_before_the_query() {
        for lag in [1, 2, 3, 5, 20, 50, 200] {
            let task = of(lag);
            let mut places = vec![0; task.places()];
            for row in task.validation(4).iter().flat_map(rows) {
                let is_cue = |token: &u32| (FIRST_CUE..FIRST_CUE + 8).contains(token);
                assert_eq!(row.iter().filter(|token| is_cue(token)).count(), 1);
                let cue = row.iter().position(is_cue).unwrap();
                let query = row.iter().position(|&token| token == QUERY).unwrap();
                assert_eq!(query, row.len() - 1);
                assert_eq!(query - cue, lag);
                assert!(4 * cue < row.len(), "cue at {cue} of {}", row.len());
                assert!(row.len() <= task.interface().maximum_time);
                places[cue] += 1;
            }
            // Every place of the first quarter occurs (1,000 draws over at most 67 places).
            assert!(places.iter().all(|&count| count > 0), "{places:?}");
            // The next place would lie outside: 4p < p + lag + 1 fails.
            assert!(3 * places.len() > lag);
        }
    }

    #[test]
    fn each_of_several_cues_is_asked_for_exactly_lag_later() {
        let task = FirstCueRecall::new(Config { lag: 8, items: 4, ..Config::default() }).unwrap();
        for batch in task.validation(4) {
            let targets = testing::classes(&batch);
            for (row, inputs) in rows(&batch).iter().enumerate() {
                let asked: Vec<usize> = (0..inputs.len()).filter(|&at| inputs[at] == QUERY).collect();
                assert_eq!(asked.len(), 4);
                // They end the sequence, one after the other.
                assert_eq!(asked, (inputs.len() - 4..inputs.len()).collect::<Vec<_>>());
                for at in asked {
                    assert!(batch.loss_mask[row * batch.time + at]);
                    assert_eq!(inputs[at - 8], FIRST_CUE + targets[row * batch.time + at]);
                }
                assert!(inputs.len() <= task.interface().maximum_time);
            }
            assert_eq!(batch.supervised(), 4 * batch.size);
        }
    }

    #[test]
    fn the_rule_solves_it_and_shuffled_labels_bring_it_to_the_floor() {
        let task = of(20);
        let batches = &task.test(3)[0].batches;
        assert_eq!(batches.iter().map(|batch| batch.size).sum::<usize>(), 1000);
        let answers: Vec<_> = batches.iter().map(oracle).collect();
        assert_eq!(task.scores(batches, &answers)[0], Score { metric: "accuracy", value: 1.0, count: 1000 });
        let shuffled: Vec<_> = batches.iter().map(testing::shuffle_labels).collect();
        let accuracy = task.scores(&shuffled, &answers)[0].value;
        // Floor 1/8 with a standard error of 0.0105 over 1,000 sequences; four of them either way.
        assert!((accuracy - task.floors()[0].value).abs() < 0.042, "{accuracy}");
    }

    #[test]
    fn floors_are_those_of_a_predictor_that_knows_nothing() {
        let task = of(20);
        let batches = &task.test(3)[0].batches;
        let mut random = Random::new(9, Stream::Sampling);
        let guesses: Vec<_> = batches
            .iter()
            .map(|batch| testing::predict(batch, 8, |_, _| testing::certain(8, random.below(8))))
            .collect();
        let accuracy = task.scores(batches, &guesses)[0].value;
        assert!((accuracy - task.floors()[0].value).abs() < 0.042, "{accuracy}");
        let even: Vec<_> =
            batches.iter().map(|batch| testing::predict(batch, 8, |_, _| testing::even(8, 0..8))).collect();
        let nats = task.scores(batches, &even)[1].value;
        assert!((nats - task.floors()[1].value).abs() < 1e-6, "{nats}");
    }

    #[test]
    fn no_example_is_shared_between_splits() {
        let task = of(10);
        let training: Vec<_> = (0..1500).map(|update| task.training_batch(1, update, 16)).collect();
        let (validation, test) = (task.validation(1), task.test(1).remove(0).batches);
        assert_eq!(testing::shared(&training, &validation), 0);
        assert_eq!(testing::shared(&training, &test), 0);
        assert_eq!(testing::shared(&validation, &test), 0);
        // The check does find an example that leaks.
        assert_eq!(testing::shared(&training, &training[7..8]), 16);
        // At lag 2 there are 64 sequences, so every test sequence is also a training one.
        let short: Vec<_> = (0..1500).map(|update| of(2).training_batch(1, update, 16)).collect();
        assert_eq!(testing::shared(&short, &of(2).validation(1)), 1000);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&of(20)), "0cdf5f6123cb58ae");
        let four = FirstCueRecall::new(Config { items: 4, ..Config::default() }).unwrap();
        assert_eq!(testing::digest(&four), "c0a3c2b7d02b1bb9");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| FirstCueRecall::new(config).err().unwrap().to_string();
        let standard = Config::default();
        let lag = refusal(Config { lag: 0, ..standard });
        assert_eq!(lag, "task `first-cue-recall`, setting `lag`: 0 is outside the allowed 1 to 100000");
        assert!(refusal(Config { cues: 1, ..standard }).contains("`cues`: 1 is outside"));
        assert!(refusal(Config { fillers: 0, ..standard }).contains("`fillers`: 0 is outside"));
        let items = refusal(Config { lag: 8, items: 9, ..standard });
        assert_eq!(items, "task `first-cue-recall`, setting `items`: 9 is outside the allowed 1 to 8");
    }
}
