//! Copying a sequence, or reversing it, from a source to a target: what has to pass from one to the other is all of it.
//!
//! ```text
//! source    x1     x2     ..   xn    end
//! input     start  y1     ..         yn        y = x, or x from back to front
//! target    y1     y2     ..   yn    end
//! ```
//!
//! Symbols are drawn independently, so that a target says nothing about the next one: n symbols of V are n log2 V bits
//! that only the source has. Training and validation lengths n are uniform in [train-minimum, train-maximum]. The
//! sequences of one training batch share their length, so that no time goes into padding; those of validation have a
//! length each. Each test set has one length.
//!
//! A model reads the target so far as its input ("teacher forcing"). `sequence-accuracy` is the share of sequences all of
//! whose answers, the end included, are right under teacher forcing. It equals the share that free-running greedy
//! decoding gets right from start to end: as long as a greedy decoder has made no mistake it has read exactly the
//! true prefix, so it makes its first mistake where teacher forcing sees the first one.
//!
//! Tokens of source and input: 0 padding, 1 the start or the end, then the symbols. Classes: 0 the end, then the symbols.

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Targets, Task, TestSet,
    Writing,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{TokenSequence, collate, evaluation, with_sources};
use crate::metrics::{Classification, sequence_accuracy};
use crate::{DataError, settings};

const NAME: &str = "sequence-copying";
const PADDING: u32 = 0;
/// The start of an input and the end of a source.
const MARK: u32 = 1;
const FIRST_SYMBOL: u32 = 2;
/// The class of the end; that of symbol s is s + 1.
const END: u32 = 0;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "write a source sequence out again, in its order or from back to front",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(SequenceCopying::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// In which order the target has the symbols of the source.
    order: Order,
    /// Whether the source shows its length only: all of its symbols are the first. Nothing is left to copy.
    blank: bool,
    /// Number of symbols (V).
    symbols: u32,
    /// Fewest symbols in a sequence of training and validation.
    train_minimum: usize,
    /// Most symbols in a sequence of training and validation.
    train_maximum: usize,
    /// Symbols in the sequences of each test set.
    test: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Order {
    /// That of the source.
    Same,
    /// From back to front.
    Reverse,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            order: Order::Same,
            blank: false,
            symbols: 16,
            train_minimum: 4,
            train_maximum: 64,
            test: vec![8, 16, 32, 48, 64],
        }
    }
}

struct SequenceCopying {
    config: Config,
}

impl SequenceCopying {
    fn new(config: Config) -> Result<Self, DataError> {
        let lengths = 1..=100_000;
        settings::within(NAME, "symbols", &config.symbols, 2..=100_000)?;
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

    fn length(&self, random: &mut Random) -> usize {
        let Config { train_minimum, train_maximum, .. } = self.config;
        train_minimum + random.index(train_maximum - train_minimum + 1)
    }

    /// Sequences whose numbers of symbols `length` gives, one after the other.
    fn batch(&self, random: &mut Random, size: usize, mut length: impl FnMut(&mut Random) -> usize) -> Batch {
        let (sources, targets): (Vec<_>, Vec<_>) = (0..size)
            .map(|_| {
                let length = length(random);
                let symbols: Vec<u32> = (0..length).map(|_| random.below(self.config.symbols)).collect();
                let mut written = symbols.clone();
                let symbols = if self.config.blank { vec![0; length] } else { symbols };
                if self.config.order == Order::Reverse {
                    written.reverse();
                }
                let tokens = |symbols: &[u32]| symbols.iter().map(|symbol| FIRST_SYMBOL + symbol).collect();
                let source = TokenSequence {
                    inputs: [tokens(&symbols), vec![MARK]].concat(),
                    targets: vec![0; length + 1],
                    counts: vec![false; length + 1],
                };
                let target = TokenSequence {
                    inputs: [vec![MARK], tokens(&written)].concat(),
                    targets: written.iter().map(|symbol| symbol + 1).chain([END]).collect(),
                    counts: vec![true; length + 1],
                };
                (source, target)
            })
            .unzip();
        with_sources(collate(&targets, PADDING), collate(&sources, PADDING))
    }
}

impl Task for SequenceCopying {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let tokens = (FIRST_SYMBOL + self.config.symbols) as usize;
        let longest_test = self.config.test.iter().copied().max().unwrap_or(0);
        Interface {
            inputs: InputKind::Conditioned { source: tokens, vocabulary: tokens },
            outputs: self.config.symbols as usize + 1,
            loss: LossKind::CrossEntropy,
            maximum_time: self.config.train_maximum.max(longest_test) + 1,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let mut random = Random::new(seed, Stream::Training(update));
        let length = self.length(&mut random);
        self.batch(&mut random, size, |_| length)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        let mut random = Random::new(seed, Stream::Validation);
        evaluation(|size| self.batch(&mut random, size, |random| self.length(random)))
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        // Each length has a seed of its own, so that adding a length leaves the other test sets as they were.
        let base = Random::new(seed, Stream::Test).bits();
        let set = |&length: &usize| {
            let mut random = Random::new(base.wrapping_add(length as u64), Stream::Test);
            TestSet {
                name: format!("test@{length}"),
                batches: evaluation(|size| self.batch(&mut random, size, |_| length)),
            }
        };
        self.config.test.iter().map(set).collect()
    }

    /// `accuracy` a symbol, the end left out, under teacher forcing; `sequence-accuracy`, the end included; and the mean
    /// cross-entropy in nats.
    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        let symbols = Classification::over(batches, predictions, |length, time| time + 1 < length);
        let all = Classification::over(batches, predictions, |_, _| true);
        vec![symbols.accuracy("accuracy"), sequence_accuracy(batches, predictions), all.cross_entropy()]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        Some(0.99)
    }

    fn writing(&self) -> Option<Writing> {
        Some(Writing { start: MARK, end: END, unknown: None, offset: FIRST_SYMBOL - 1 })
    }

    /// The share of the symbols of the targets at whose place the same symbol was written.
    fn written_scores(&self, batches: &[Batch], written: &[Vec<Vec<u32>>]) -> Vec<Score> {
        let (mut right, mut symbols, mut sequences) = (0, 0, 0);
        for (batch, written) in batches.iter().zip(written) {
            let Targets::Classes(classes) = &batch.targets else { unreachable!("the targets are classes") };
            for (row, written) in written.iter().enumerate() {
                let target = &classes[row * batch.time..][..batch.lengths[row] - 1];
                right += target.iter().zip(written).filter(|(target, written)| target == written).count();
                symbols += target.len();
                sequences += 1;
            }
        }
        let value = right as f64 / symbols as f64;
        vec![Score { metric: "accuracy-free-running", value, count: sequences }]
    }

    fn floors(&self) -> Vec<Floor> {
        vec![Floor { metric: "accuracy", name: "chance", value: 1.0 / f64::from(self.config.symbols) }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};

    fn of(order: Order) -> SequenceCopying {
        SequenceCopying::new(Config { order, ..Config::default() }).unwrap()
    }

    fn source(batch: &Batch) -> Vec<Vec<u32>> {
        rows(batch.source.as_ref().unwrap())
    }

    /// The classes of each sequence, the end included.
    fn targets(batch: &Batch) -> Vec<Vec<u32>> {
        let of = |(row, &length): (usize, &usize)| classes(batch)[row * batch.time..][..length].to_vec();
        batch.lengths.iter().enumerate().map(of).collect()
    }

    /// The answers of one who reads the source.
    fn oracle(batch: &Batch, order: Order) -> Predictions {
        let sources = source(batch);
        testing::predict(batch, 17, |row, time| {
            let symbols = &sources[row][..sources[row].len() - 1];
            let place = match order {
                Order::Same => Some(time),
                Order::Reverse => (symbols.len() - 1).checked_sub(time),
            };
            let symbol = place.and_then(|place| symbols.get(place));
            testing::certain(17, symbol.map_or(END, |token| token - FIRST_SYMBOL + 1))
        })
    }

    #[test]
    fn targets_are_the_source_and_inputs_are_one_step_behind() {
        let mut lengths = vec![0; 65];
        for order in [Order::Same, Order::Reverse] {
            for batch in of(order).validation(4) {
                batch.assert_consistent();
                for ((mut source, target), input) in
                    source(&batch).into_iter().zip(targets(&batch)).zip(rows(&batch))
                {
                    assert_eq!((source.pop(), input[0]), (Some(MARK), MARK));
                    if order == Order::Reverse {
                        source.reverse();
                    }
                    lengths[source.len()] += 1;
                    let written: Vec<u32> = source.iter().map(|token| token - FIRST_SYMBOL + 1).collect();
                    assert_eq!(target, [written, vec![END]].concat());
                    assert_eq!(input[1..], source);
                }
                assert_eq!(batch.supervised(), batch.lengths.iter().sum::<usize>());
            }
        }
        // 2,000 draws over the 61 lengths from 4 to 64: mean 33, standard deviation 5.7.
        assert!(lengths[..4].iter().all(|&count| count == 0));
        assert!(lengths[4..].iter().all(|&count| (10..60).contains(&count)), "{lengths:?}");
    }

    #[test]
    fn training_batches_have_one_length_and_test_sets_the_length_they_name() {
        let task = of(Order::Same);
        let mut different = std::collections::BTreeSet::new();
        for update in 0..50 {
            let batch = task.training_batch(1, update, 8);
            assert!(batch.lengths.iter().all(|&length| length == batch.time));
            different.insert(batch.time);
        }
        assert!(different.len() > 20, "{different:?}");
        let sets = task.test(6);
        for (set, length) in sets.iter().zip([8, 16, 32, 48, 64]) {
            assert_eq!(set.name, format!("test@{length}"));
            assert!(set.batches.iter().flat_map(|batch| &batch.lengths).all(|&found| found == length + 1));
            assert_eq!(set.batches.iter().map(|batch| batch.size).sum::<usize>(), 1000);
        }
        let only = SequenceCopying::new(Config { test: vec![32], ..Config::default() }).unwrap();
        assert_eq!(only.test(6)[0].batches, sets[2].batches);
        assert_ne!(only.test(7)[0].batches, sets[2].batches);
    }

    #[test]
    fn reading_the_source_solves_it_and_shuffled_labels_bring_it_to_the_floor() {
        for order in [Order::Same, Order::Reverse] {
            let task = of(order);
            let batches = task.validation(3);
            let answers: Vec<_> = batches.iter().map(|batch| oracle(batch, order)).collect();
            let scores = task.scores(&batches, &answers);
            assert_eq!((scores[0].value, scores[1].value, scores[2].value), (1.0, 1.0, 0.0));
            let shuffled: Vec<_> = batches.iter().map(testing::shuffle_labels).collect();
            let scores = task.scores(&shuffled, &answers);
            // Ends among the shuffled labels, one in 35 or so, are never right: (1 - 1/35) / 16 = 0.061. Some 34,000
            // symbols: standard error 0.0013; four of them and the share of ends either way.
            assert!((scores[0].value - task.floors()[0].value).abs() < 0.008, "{scores:?}");
            assert_eq!(scores[1].value, 0.0);
        }
        // The twin: who copies fails to reverse.
        let task = of(Order::Reverse);
        let batches = task.validation(3);
        let answers: Vec<_> = batches.iter().map(|batch| oracle(batch, Order::Same)).collect();
        assert!(task.scores(&batches, &answers)[0].value < 0.2);
    }

    /// A decoder that is wrong after one of the symbols, and from its first mistake on if left to itself: greedy decoding
    /// and teacher forcing give the same share of sequences without a mistake.
    #[test]
    fn sequence_accuracy_is_that_of_greedy_decoding() {
        let task = SequenceCopying::new(Config { train_maximum: 6, ..Config::default() }).unwrap();
        let batch = &task.validation(2)[0];
        let sources = source(batch);
        let next = |row: usize, prefix: &[u32]| {
            let truth = sources[row].get(prefix.len() - 1).filter(|&&token| token != MARK);
            let truth = truth.map_or(END, |token| token - FIRST_SYMBOL + 1);
            let last = prefix[prefix.len() - 1];
            if last == 4 || prefix.contains(&99) { (truth + 1) % 17 } else { truth }
        };
        let inputs = rows(batch);
        let forced = testing::predict(batch, 17, |row, time| {
            let length = inputs[row].len();
            testing::certain(17, next(row, &inputs[row][..=time.min(length - 1)]))
        });
        let score = sequence_accuracy(std::slice::from_ref(batch), std::slice::from_ref(&forced)).value;
        let targets = targets(batch);
        let greedy = |row: usize| {
            let mut prefix = vec![MARK];
            let mut written = Vec::new();
            for target in &targets[row] {
                let class = next(row, &prefix);
                written.push(class);
                // 99 stands for a symbol that the truth does not have here.
                prefix.push(if class == *target { class + FIRST_SYMBOL - 1 } else { 99 });
            }
            written == targets[row]
        };
        let right = (0..batch.size).filter(|&row| greedy(row)).count();
        assert_eq!(score, right as f64 / batch.size as f64);
        assert!((0.2..0.95).contains(&score), "{score}");
    }

    #[test]
    fn what_was_written_is_scored_by_its_place() {
        let task = of(Order::Same);
        let batch = &task.validation(2)[0];
        let whole: Vec<Vec<u32>> =
            targets(batch).into_iter().map(|target| target[..target.len() - 1].to_vec()).collect();
        let score =
            |written: Vec<Vec<u32>>| task.written_scores(std::slice::from_ref(batch), &[written])[0].value;
        assert_eq!(score(whole.clone()), 1.0);
        assert_eq!(score(vec![Vec::new(); 100]), 0.0);
        // Half of each, rounded down: of lengths from 4 to 64 nearly a half in all.
        let half = score(whole.iter().map(|row| row[..row.len() / 2].to_vec()).collect());
        assert!((0.48..0.5).contains(&half), "{half}");
        // Moved by one place, as many are right as by chance: 3,400 symbols, standard error 0.004.
        let moved = score(whole.iter().map(|row| [&row[..1], row].concat()).collect());
        assert!((moved - 1.0 / 16.0).abs() < 0.06, "{moved}");
    }

    #[test]
    fn a_blank_source_shows_its_length_and_nothing_else() {
        let standard = of(Order::Same);
        let blank = SequenceCopying::new(Config { blank: true, ..Config::default() }).unwrap();
        for (batch, shown) in blank.validation(3).iter().zip(standard.validation(3)) {
            assert_eq!((targets(batch), rows(batch)), (targets(&shown), rows(&shown)));
            for (row, length) in source(batch).iter().zip(&batch.lengths) {
                assert_eq!(*row, [vec![FIRST_SYMBOL; length - 1], vec![MARK]].concat());
            }
            let score = blank.scores(std::slice::from_ref(batch), &[oracle(batch, Order::Same)])[0].value;
            // 100 sequences, 3,400 symbols: standard error 0.004.
            assert!((score - blank.floors()[0].value).abs() < 0.02, "{score}");
        }
    }

    #[test]
    fn no_test_example_is_trained_on() {
        let task = of(Order::Reverse);
        let training: Vec<_> = (0..1500).map(|update| task.training_batch(1, update, 16)).collect();
        for set in &task.test(1) {
            assert_eq!(testing::shared(&training, &set.batches), 0, "{}", set.name);
        }
        // The check does find an example that leaks.
        assert_eq!(testing::shared(&training, &training[7..8]), 16);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&of(Order::Same)), "8e55630bc7dd6d73");
        assert_eq!(testing::digest(&of(Order::Reverse)), "33e7ce63ea2fdcb8");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| SequenceCopying::new(config).err().unwrap().to_string();
        let standard = Config::default;
        let one = refusal(Config { symbols: 1, ..standard() });
        assert_eq!(one, "task `sequence-copying`, setting `symbols`: 1 is outside the allowed 2 to 100000");
        assert!(refusal(Config { train_minimum: 0, ..standard() }).contains("`train-minimum`: 0 is outside"));
        assert!(refusal(Config { train_maximum: 3, ..standard() }).contains("`train-maximum`: 3 is outside"));
        assert!(
            refusal(Config { test: vec![8, 8], ..standard() }).contains("`test`: length 8 is given twice")
        );
        assert!(refusal(Config { test: vec![], ..standard() }).contains("at least one length"));
    }
}
