//! Multi-query associative recall: many bindings held at once (Arora et al. 2023, "Zoology").
//!
//! ```text
//! position   0   1   2   3  ..  2P-2  2P-1   2P .. 3P-1
//! input      k1  v1  k2  v2 ..  kP    vP     a key shown, drawn with replacement
//! target                                     its value
//! ```
//!
//! Keys are distinct, and so are values, so the value belonging to a key cannot be told from counts. All
//! queries are supervised. Unlike Zoology's, the queries follow the pairs without gaps, and values are not
//! given again after a query.
//!
//! Tokens: the keys, then the values. Every sequence has 3P positions, so there is no padding.

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{TokenSequence, collate, evaluation};
use crate::metrics::Classification;
use crate::{DataError, settings};

const NAME: &str = "multi-query-recall";

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say the values of queried keys after a list of key-value pairs",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(MultiQueryRecall::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Pairs shown, and queries asked.
    pairs: usize,
    /// Number of different keys.
    keys: usize,
    /// Number of different values.
    values: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { pairs: 8, keys: 24, values: 24 }
    }
}

struct MultiQueryRecall {
    config: Config,
    /// Token of the first value.
    first_value: u32,
}

impl MultiQueryRecall {
    fn new(config: Config) -> Result<Self, DataError> {
        let Config { pairs, keys, values } = config;
        settings::within(NAME, "keys", &keys, 2..=100_000)?;
        settings::within(NAME, "values", &values, 2..=100_000)?;
        settings::within(NAME, "pairs", &pairs, 2..=100_000)?;
        for (name, available) in [("keys", keys), ("values", values)] {
            if pairs > available {
                let reason =
                    format!("{pairs} pairs need as many different {name}, but `{name}` = {available}");
                return Err(settings::wrong(NAME, "pairs", reason));
            }
        }
        let first_value = u32::try_from(keys).expect("at most 100,000 keys");
        Ok(Self { config, first_value })
    }

    fn sequence(&self, random: &mut Random) -> TokenSequence {
        let Config { pairs, keys, values } = self.config;
        let shown_keys = random.distinct(pairs, keys);
        let shown_values = random.distinct(pairs, values);
        let time = 3 * pairs;
        let (mut inputs, mut targets) = (Vec::with_capacity(time), vec![0; 2 * pairs]);
        for (&key, &value) in shown_keys.iter().zip(&shown_values) {
            inputs.extend([key, self.first_value + value]);
        }
        for _ in 0..pairs {
            let pair = random.index(pairs);
            inputs.push(shown_keys[pair]);
            targets.push(shown_values[pair]);
        }
        let counts = (0..time).map(|position| position >= 2 * pairs).collect();
        TokenSequence { inputs, targets, counts }
    }

    fn batch(&self, random: &mut Random, size: usize) -> Batch {
        let sequences: Vec<_> = (0..size).map(|_| self.sequence(random)).collect();
        // All sequences have the same length, so the padding token is never used.
        collate(&sequences, 0)
    }

    fn evaluation(&self, seed: u64, stream: Stream) -> Vec<Batch> {
        let mut random = Random::new(seed, stream);
        evaluation(|size| self.batch(&mut random, size))
    }
}

impl Task for MultiQueryRecall {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let Config { pairs, keys, values } = self.config;
        Interface {
            inputs: InputKind::Tokens { vocabulary: keys + values },
            outputs: values,
            loss: LossKind::CrossEntropy,
            maximum_time: 3 * pairs,
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

    /// `shown-values` knows which values were shown but not which key goes with which: no such predictor
    /// does better.
    fn floors(&self) -> Vec<Floor> {
        let (pairs, values) = (self.config.pairs as f64, self.config.values as f64);
        vec![
            Floor { metric: "accuracy", name: "chance", value: 1.0 / values },
            Floor { metric: "accuracy", name: "shown-values", value: 1.0 / pairs },
            Floor { metric: "cross-entropy", name: "chance", value: values.ln() },
            Floor { metric: "cross-entropy", name: "shown-values", value: pairs.ln() },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};

    fn of(pairs: usize) -> MultiQueryRecall {
        MultiQueryRecall::new(Config { pairs, ..Config::default() }).unwrap()
    }

    /// The values shown in a sequence, as classes.
    fn shown(row: &[u32]) -> Vec<usize> {
        (0..8).map(|pair| row[2 * pair + 1] as usize - 24).collect()
    }

    #[test]
    fn every_query_is_answered_by_exactly_one_pair() {
        for pairs in [2, 4, 8, 16, 24] {
            for batch in of(pairs).validation(2) {
                let (rows, targets) = (rows(&batch), classes(&batch));
                for (index, row) in rows.iter().enumerate() {
                    assert_eq!(row.len(), 3 * pairs);
                    let (shown, queries) = row.split_at(2 * pairs);
                    for (place, query) in queries.iter().enumerate() {
                        let answers: Vec<u32> =
                            shown.chunks(2).filter(|pair| pair[0] == *query).map(|pair| pair[1]).collect();
                        let position = index * batch.time + 2 * pairs + place;
                        assert_eq!(answers, [targets[position] + 24]);
                        assert!(batch.loss_mask[position]);
                    }
                    let mut values: Vec<u32> = shown.iter().skip(1).step_by(2).copied().collect();
                    values.sort_unstable();
                    values.dedup();
                    assert_eq!(values.len(), pairs, "values are distinct");
                    assert!(shown.iter().step_by(2).all(|&key| key < 24), "keys and values are disjoint");
                    assert!(values.iter().all(|value| (24..48).contains(value)));
                }
                assert_eq!(batch.supervised(), batch.size * pairs);
            }
        }
    }

    #[test]
    fn the_rule_solves_it_and_shuffled_labels_bring_it_to_the_floor() {
        let task = of(8);
        let batches = &task.test(3)[0].batches;
        let oracle = |batch: &Batch| {
            let rows = rows(batch);
            testing::predict(batch, 24, |row, time| {
                let pair = rows[row][..16].chunks(2).find(|pair| pair[0] == rows[row][time]);
                testing::certain(24, pair.map_or(0, |pair| pair[1] - 24))
            })
        };
        let answers: Vec<_> = batches.iter().map(oracle).collect();
        assert_eq!(task.scores(batches, &answers)[0], Score { metric: "accuracy", value: 1.0, count: 1000 });
        let shuffled: Vec<_> = batches.iter().map(testing::shuffle_labels).collect();
        let accuracy = task.scores(&shuffled, &answers)[0].value;
        // Chance 1/24; standard error at most 0.2 / sqrt(1000) = 0.0063 even if queries of a sequence agreed.
        assert!((accuracy - 1.0 / 24.0).abs() < 0.025, "{accuracy}");
    }

    #[test]
    fn floors_are_those_of_one_who_knows_the_values_but_not_the_binding() {
        let task = of(8);
        let batches = &task.test(5)[0].batches;
        let mut random = Random::new(9, Stream::Sampling);
        let mut guess = |batch: &Batch| {
            let rows = rows(batch);
            testing::predict(batch, 24, |row, _| {
                let value = shown(&rows[row])[random.index(8)];
                testing::certain(24, u32::try_from(value).unwrap())
            })
        };
        let guesses: Vec<_> = batches.iter().map(&mut guess).collect();
        let accuracy = task.scores(batches, &guesses)[0].value;
        // 1/8 over 8,000 independent guesses: standard error 0.0037; four of them either way.
        assert!((accuracy - 1.0 / 8.0).abs() < 0.015, "{accuracy}");
        let even = |batch: &Batch| {
            let rows = rows(batch);
            testing::predict(batch, 24, |row, _| testing::even(24, shown(&rows[row])))
        };
        let evens: Vec<_> = batches.iter().map(even).collect();
        let nats = task.scores(batches, &evens)[1].value;
        let floors = task.floors();
        assert!((nats - floors[3].value).abs() < 1e-6, "{nats}");
        assert_eq!((floors[1].value, floors[0].value), (0.125, 1.0 / 24.0));
    }

    #[test]
    fn no_example_is_shared_between_splits() {
        let task = of(4);
        let training: Vec<_> = (0..1500).map(|update| task.training_batch(1, update, 16)).collect();
        let (validation, test) = (task.validation(1), task.test(1).remove(0).batches);
        assert_eq!(testing::shared(&training, &validation), 0);
        assert_eq!(testing::shared(&training, &test), 0);
        assert_eq!(testing::shared(&validation, &test), 0);
        assert_eq!(testing::shared(&test, &[test[3].clone()]), 100);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&of(8)), "2fbbed7dee78cf27");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| MultiQueryRecall::new(config).err().unwrap().to_string();
        let standard = Config::default();
        let keys = refusal(Config { pairs: 25, values: 50, ..standard });
        assert_eq!(
            keys,
            "task `multi-query-recall`, setting `pairs`: 25 pairs need as many different keys, but `keys` = 24"
        );
        assert!(refusal(Config { pairs: 25, keys: 50, ..standard }).contains("`values` = 24"));
        assert!(refusal(Config { pairs: 1, ..standard }).contains("`pairs`: 1 is outside"));
        assert!(refusal(Config { keys: 0, ..standard }).contains("`keys`: 0 is outside"));
    }
}
