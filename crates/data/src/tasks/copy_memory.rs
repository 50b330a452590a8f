//! Copy memory: repeat the symbols of the start after a long silence (Hochreiter and Schmidhuber 1997; Arjovsky, Shah and Bengio 2016).
//!
//! ```text
//! input    s1  s2  ..  sn   -   -  ..   -   go   -   -  ..   -
//! target    -   -  ..   -   -   -  ..   -    -  s1  s2  ..  sn
//!         |    items     |   lag - 1    |   1  |    items     |
//! ```
//!
//! Symbols are independent and equally likely, so that nothing but memory tells them. As in the literature the loss is over all `lag + 2
//! items` positions, and a predictor without memory, which is silent and then guesses evenly, has items ln symbols / (lag + 2 items) nats a
//! position: 10 ln 8 / (T + 20) with the usual ten items of eight symbols. `accuracy` is over the last `items` positions alone.
//!
//! Tokens: 0 silence, 1 go, then the symbols. Classes: 0 silence, then the symbols.

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{TokenSequence, collate, evaluation};
use crate::metrics::Classification;
use crate::{DataError, settings};

const NAME: &str = "copy-memory";
const SILENCE: u32 = 0;
const GO: u32 = 1;
const FIRST_SYMBOL: u32 = 2;
/// The class of symbol s is s + 1.
const FIRST_CLASS: u32 = 1;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "repeat the symbols of the start after a long silence",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(CopyMemory::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Positions from the last symbol that is shown to the signal to repeat them.
    lag: usize,
    /// Symbols to remember.
    items: usize,
    /// Number of different symbols.
    symbols: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { lag: 100, items: 10, symbols: 8 }
    }
}

struct CopyMemory {
    config: Config,
}

impl CopyMemory {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "lag", &config.lag, 1..=100_000)?;
        settings::within(NAME, "items", &config.items, 1..=1_000)?;
        settings::within(NAME, "symbols", &config.symbols, 2..=10_000)?;
        Ok(Self { config })
    }

    fn time(&self) -> usize {
        self.config.lag + 2 * self.config.items
    }

    fn sequence(&self, random: &mut Random) -> TokenSequence {
        let Config { lag, items, symbols } = self.config;
        let drawn: Vec<u32> = (0..items).map(|_| random.below(symbols)).collect();
        let silent = |count: usize| std::iter::repeat_n(0, count);
        let shown = drawn.iter().map(|symbol| FIRST_SYMBOL + symbol);
        let answers = drawn.iter().map(|symbol| FIRST_CLASS + symbol);
        TokenSequence {
            inputs: shown.chain(silent(lag - 1)).chain([GO]).chain(silent(items)).collect(),
            targets: silent(items + lag).chain(answers).collect(),
            counts: vec![true; self.time()],
        }
    }

    fn batch(&self, random: &mut Random, size: usize) -> Batch {
        let sequences: Vec<_> = (0..size).map(|_| self.sequence(random)).collect();
        collate(&sequences, SILENCE)
    }

    fn evaluation(&self, seed: u64, stream: Stream) -> Vec<Batch> {
        let mut random = Random::new(seed, stream);
        evaluation(|size| self.batch(&mut random, size))
    }
}

impl Task for CopyMemory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let symbols = self.config.symbols;
        Interface {
            inputs: InputKind::Tokens { vocabulary: (FIRST_SYMBOL + symbols) as usize },
            outputs: (FIRST_CLASS + symbols) as usize,
            loss: LossKind::CrossEntropy,
            maximum_time: self.time(),
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
        let items = self.config.items;
        let repeated = Classification::over(batches, predictions, |length, time| time + items >= length);
        let all = Classification::over(batches, predictions, |_, _| true);
        vec![repeated.accuracy("accuracy"), all.cross_entropy()]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        Some(0.95)
    }

    fn floors(&self) -> Vec<Floor> {
        let Config { items, symbols, .. } = self.config;
        let symbols = f64::from(symbols);
        let without_memory = items as f64 * symbols.ln() / self.time() as f64;
        vec![
            Floor { metric: "accuracy", name: "chance", value: 1.0 / symbols },
            Floor { metric: "cross-entropy", name: "without-memory", value: without_memory },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};

    fn of(lag: usize, items: usize) -> CopyMemory {
        CopyMemory::new(Config { lag, items, symbols: 8 }).unwrap()
    }

    #[test]
    fn symbols_come_back_after_the_signal() {
        for (lag, items) in [(1, 1), (5, 10), (20, 3)] {
            let task = of(lag, items);
            for batch in task.validation(6) {
                let time = lag + 2 * items;
                assert_eq!(batch.time, time);
                for (index, row) in rows(&batch).iter().enumerate() {
                    let (shown, rest) = row.split_at(items);
                    assert!(shown.iter().all(|token| (2..10).contains(token)));
                    assert_eq!(rest.iter().position(|&token| token == GO), Some(lag - 1));
                    assert_eq!(rest.iter().sum::<u32>(), GO);
                    let targets = &classes(&batch)[index * time..][..time];
                    assert!(targets[..items + lag].iter().all(|&class| class == 0));
                    let answers: Vec<u32> = targets[items + lag..].iter().map(|class| class + 1).collect();
                    assert_eq!(answers, shown);
                }
                assert!(batch.loss_mask.iter().all(|&counts| counts));
            }
        }
    }

    #[test]
    fn the_rule_solves_it_and_the_floors_are_those_of_one_without_memory() {
        let task = of(12, 4);
        let batches = &task.test(3)[0].batches;
        let oracle = |batch: &Batch| {
            let rows = rows(batch);
            testing::predict(batch, 9, |row, time| {
                testing::certain(9, time.checked_sub(16).map_or(0, |place| rows[row][place] - 1))
            })
        };
        let answers: Vec<_> = batches.iter().map(oracle).collect();
        assert_eq!(task.scores(batches, &answers)[0], Score { metric: "accuracy", value: 1.0, count: 1000 });
        let shuffled: Vec<_> = batches
            .iter()
            .map(|batch| {
                let mut shuffled = batch.clone();
                for place in 0..shuffled.loss_mask.len() {
                    shuffled.loss_mask[place] = place % batch.time >= 16;
                }
                testing::shuffle_labels(&shuffled)
            })
            .collect();
        let accuracy = task.scores(&shuffled, &answers)[0].value;
        // Floor 1/8 with a standard error of 0.0052 over 4,000 positions; four of them either way.
        assert!((accuracy - task.floors()[0].value).abs() < 0.021, "{accuracy}");
        let silent = |_, time| if time < 16 { testing::certain(9, 0) } else { testing::even(9, 1..9) };
        let guesses: Vec<_> = batches.iter().map(|batch| testing::predict(batch, 9, silent)).collect();
        let nats = task.scores(batches, &guesses)[1].value;
        assert!((nats - task.floors()[1].value).abs() < 1e-6, "{nats}");
        // Published for ten items of eight symbols: 10 ln 8 / (T + 20).
        assert!((of(100, 10).floors()[1].value - 0.1733).abs() < 5e-5);
        assert!((of(500, 10).floors()[1].value - 0.0400).abs() < 5e-5);
    }

    #[test]
    fn no_example_is_shared_between_splits() {
        let task = of(10, 10);
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
        assert_eq!(testing::digest(&of(100, 10)), "03436ee65c254fde");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| CopyMemory::new(config).err().unwrap().to_string();
        let standard = Config::default();
        assert!(refusal(Config { lag: 0, ..standard }).contains("`lag`: 0 is outside"));
        assert!(refusal(Config { items: 0, ..standard }).contains("`items`: 0 is outside"));
        assert!(refusal(Config { symbols: 1, ..standard }).contains("`symbols`: 1 is outside"));
    }
}
