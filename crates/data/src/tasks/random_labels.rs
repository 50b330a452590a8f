//! Items to learn by heart: what is asked has nothing, or not everything, to do with what is shown.
//!
//! ```text
//! input    7  2  2  5  1       symbols, each as likely
//! target   -  -  -  -  label   the first symbol, or, of `corrupted` of the items, any symbol
//! ```
//!
//! There are `items` different items to train on, of which the first are the corrupted ones. Validation asks for the same items, and so do the
//! test sets `clean` and `noisy`: the task counts as solved when 99 of 100 are known. The test set `test` has 1,000 fresh items that
//! follow the rule, so that it says what learning by heart is good for; with `corrupted = 1` there is no rule to
//! be found, and it is at chance.
//!
//! Random labels are those of Zhang, Bengio, Hardt, Recht and Vinyals 2017; some of them among true ones, of Arpit et al. 2017.

use std::collections::HashSet;

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{EVALUATED, EVALUATION_BATCH, TokenSequence, collate};
use crate::metrics::Classification;
use crate::{DataError, settings};

const NAME: &str = "random-labels";
const SOLVED_AT: f64 = 0.99;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "learn labels by heart that nothing or not everything says about the items",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(RandomLabels::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training items.
    items: usize,
    /// Share of them whose label is drawn at random.
    corrupted: f32,
    /// Symbols, and labels.
    symbols: u32,
    /// Symbols of an item.
    length: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { items: 128, corrupted: 1.0, symbols: 16, length: 5 }
    }
}

struct RandomLabels {
    config: Config,
}

struct Item {
    symbols: Vec<u32>,
    label: u32,
}

impl Item {
    fn sequence(&self) -> TokenSequence {
        let last = self.symbols.len() - 1;
        let mut targets = vec![0; last + 1];
        targets[last] = self.label;
        let mut counts = vec![false; last + 1];
        counts[last] = true;
        TokenSequence { inputs: self.symbols.clone(), targets, counts }
    }
}

fn batches(items: &[Item]) -> Vec<Batch> {
    let sequences: Vec<TokenSequence> = items.iter().map(Item::sequence).collect();
    sequences.chunks(EVALUATION_BATCH).map(|sequences| collate(sequences, 0)).collect()
}

impl RandomLabels {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "symbols", &config.symbols, 2..=1000)?;
        settings::within(NAME, "length", &config.length, 1..=1000)?;
        settings::within(NAME, "corrupted", &config.corrupted, 0.0..=1.0)?;
        settings::within(NAME, "items", &config.items, 2..=1_000_000)?;
        // Different items are found soon as long as most are left.
        let length = u32::try_from(config.length).unwrap_or(u32::MAX);
        let possible = u64::from(config.symbols).saturating_pow(length);
        if config.items as u64 > possible / 2 {
            let reason = format!(
                "{} are more than half of the {possible} that `symbols` and `length` allow; raise one of these",
                config.items
            );
            return Err(settings::wrong(NAME, "items", reason));
        }
        Ok(Self { config })
    }

    /// How many of the items are corrupted.
    fn corrupted(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a number that fits"
        )]
        let corrupted = (f64::from(self.config.corrupted) * self.config.items as f64 + 0.5) as usize;
        corrupted
    }

    fn symbols(&self, random: &mut Random) -> Vec<u32> {
        (0..self.config.length).map(|_| random.below(self.config.symbols)).collect()
    }

    /// The items to train on, the corrupted ones first.
    fn items(&self, seed: u64) -> Vec<Item> {
        let mut random = Random::new(seed, Stream::Training(0));
        let mut seen = HashSet::with_capacity(self.config.items);
        let mut items = Vec::with_capacity(self.config.items);
        while items.len() < self.config.items {
            let symbols = self.symbols(&mut random);
            if !seen.insert(symbols.clone()) {
                continue;
            }
            let corrupted = items.len() < self.corrupted();
            let label = if corrupted { random.below(self.config.symbols) } else { symbols[0] };
            items.push(Item { symbols, label });
        }
        items
    }
}

impl Task for RandomLabels {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let symbols = self.config.symbols as usize;
        Interface {
            inputs: InputKind::Tokens { vocabulary: symbols },
            outputs: symbols,
            loss: LossKind::CrossEntropy,
            maximum_time: self.config.length,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let items = self.items(seed);
        let mut random = Random::new(seed, Stream::Training(update + 1));
        let drawn: Vec<TokenSequence> =
            (0..size).map(|_| items[random.index(items.len())].sequence()).collect();
        collate(&drawn, 0)
    }

    /// The items that are trained on.
    fn validation(&self, seed: u64) -> Vec<Batch> {
        batches(&self.items(seed))
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        let mut random = Random::new(seed, Stream::Test);
        let fresh: Vec<Item> = (0..EVALUATED)
            .map(|_| {
                let symbols = self.symbols(&mut random);
                Item { label: symbols[0], symbols }
            })
            .collect();
        let set = |name: &str, items: &[Item]| TestSet { name: name.to_owned(), batches: batches(items) };
        let items = self.items(seed);
        let (noisy, clean) = items.split_at(self.corrupted());
        let parts = [("clean", clean), ("noisy", noisy)].into_iter().filter(|(_, items)| !items.is_empty());
        let mut sets = vec![set("test", &fresh)];
        sets.extend(parts.map(|(name, items)| set(name, items)));
        sets
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        let answers = Classification::over(batches, predictions, |_, _| true);
        vec![answers.accuracy("accuracy"), answers.cross_entropy()]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        Some(SOLVED_AT)
    }

    fn floors(&self) -> Vec<Floor> {
        let symbols = f64::from(self.config.symbols);
        vec![
            Floor { metric: "accuracy", name: "chance", value: 1.0 / symbols },
            Floor { metric: "cross-entropy", name: "chance", value: libm::log(symbols) },
        ]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(self.validation(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};

    fn of(config: Config) -> RandomLabels {
        RandomLabels::new(config).unwrap()
    }

    const MANY: Config = Config { items: 4000, corrupted: 0.3, symbols: 16, length: 5 };

    /// How many of a set's labels are the first symbol, and of how many.
    fn by_rule(batches: &[Batch]) -> (usize, usize) {
        let of_batch = |batch: &Batch| {
            let labels = classes(batch).chunks(batch.time).map(|targets| targets[batch.time - 1]);
            rows(batch).iter().zip(labels).filter(|(symbols, label)| symbols[0] == *label).count()
        };
        (batches.iter().map(of_batch).sum(), batches.iter().map(|batch| batch.size).sum())
    }

    #[test]
    fn as_many_labels_are_random_as_asked_for() {
        let sets = of(MANY).test(1);
        assert_eq!(sets.iter().map(|set| set.name.as_str()).collect::<Vec<_>>(), ["test", "clean", "noisy"]);
        assert_eq!(by_rule(&sets[0].batches), (1000, 1000));
        assert_eq!(by_rule(&sets[1].batches), (2800, 2800));
        // One in 16 of 1,200 by chance: 75, standard deviation 8.4.
        let (right, count) = by_rule(&sets[2].batches);
        assert!(count == 1200 && right.abs_diff(75) < 42, "{right} of {count}");
        let all = of(Config { corrupted: 1.0, ..MANY }).test(1);
        assert_eq!(all.iter().map(|set| set.name.as_str()).collect::<Vec<_>>(), ["test", "noisy"]);
    }

    #[test]
    fn items_differ_and_validation_asks_for_them() {
        let task = of(Config { symbols: 4, items: 500, ..MANY });
        let asked = task.validation(1);
        let items: HashSet<Vec<u32>> = asked.iter().flat_map(rows).collect();
        assert_eq!(items.len(), 500);
        assert_eq!(testing::shared(&asked, &[task.training_batch(1, 3, 200)]), 200);
        // Fresh items are mostly others: 4,000 of a million are known.
        let task = of(MANY);
        assert!(testing::shared(&task.validation(1), &task.test(1)[0].batches) < 20);
        assert_eq!(task.training_set(1), Some(task.validation(1)));
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `fixtures/digests.py`. A change needs a new version.
        assert_eq!(testing::digest(&of(Config { corrupted: 0.25, ..Config::default() })), "46080dc585913278");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| RandomLabels::new(config).err().unwrap().to_string();
        let many = refusal(Config { items: 9, symbols: 2, length: 4, ..MANY });
        assert!(many.contains("`items`") && many.contains("half of the 16"), "{many}");
        assert!(refusal(Config { corrupted: 1.5, ..MANY }).contains("`corrupted`: 1.5 is outside"));
    }
}
