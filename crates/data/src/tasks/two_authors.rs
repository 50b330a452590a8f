//! Whose text is it: texts of two authors who use all symbols equally often, and differ in what they write after what.
//!
//! ```text
//! input    0  1  3  4  ...  6        symbol t + 1 = symbol t + step, modulo the number of symbols
//! target   -  -  -  -  ...  author   0 or 1
//! ```
//!
//! The first symbol is uniform, and each further one is its predecessor plus a step, so that a text is a first-order Markov chain:
//!
//! | step | author 0 | author 1 |
//! |---|---|---|
//! | 1 or 2 | `telling` (1 + `difference`) / 4 each | `telling` (1 - `difference`) / 4 each |
//! | 3 or 4 | `telling` (1 - `difference`) / 4 each | `telling` (1 + `difference`) / 4 each |
//! | any other | the rest, evenly | the rest, evenly |
//!
//! Every symbol is as likely at every position, whoever writes, so that counts of symbols say nothing; and a step speaks for its author
//! by ln ((1 + `difference`) / (1 - `difference`)), against him by as much, or not at all, so that the least possible error is the sum of a
//! distribution of whole numbers and known exactly. Half of the texts of each split are by either author. Training has `examples` texts, of
//! which a smaller set has the first; test has 2,000 fresh ones.

use sequence::{
    Batch, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Score, Stream, Targets, Task,
    TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{EVALUATION_BATCH, TokenSequence, collate};
use crate::metrics::classification_scores;
use crate::{DataError, settings};

const NAME: &str = "two-authors";
const TEST_TEXTS: usize = 2000;
const VALIDATION_TEXTS: usize = 500;

/// Steps that speak for an author, two each; from 1.
const TELLING_STEPS: u32 = 4;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say which of two authors wrote a text, from what each writes after what",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(TwoAuthors::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training texts.
    examples: usize,
    /// Symbols of the alphabet.
    symbols: u32,
    /// Symbols of a text.
    length: usize,
    /// Probability of a step that is not as likely for both authors.
    telling: f32,
    /// How much likelier such a step is for the author that it speaks for: 0 not at all, 1 it is his alone.
    difference: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { examples: 512, symbols: 8, length: 16, telling: 0.6, difference: 0.5 }
    }
}

struct TwoAuthors {
    config: Config,
}

/// For whom a step speaks, if for anyone.
fn speaks_for(step: u32) -> Option<u32> {
    (1..=TELLING_STEPS).contains(&step).then(|| (step - 1) / 2)
}

impl TwoAuthors {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "examples", &config.examples, 2..=1_000_000)?;
        // One step at least that tells nothing.
        settings::within(NAME, "symbols", &config.symbols, TELLING_STEPS + 1..=1000)?;
        settings::within(NAME, "length", &config.length, 2..=10_000)?;
        settings::within(NAME, "telling", &config.telling, 0.0..=1.0)?;
        settings::within(NAME, "difference", &config.difference, 0.0..=1.0)?;
        Ok(Self { config })
    }

    /// The probability that an author takes a step that speaks for him, or for the other.
    fn telling(&self) -> [f64; 2] {
        let [telling, difference] = [self.config.telling, self.config.difference].map(f64::from);
        [telling * 1.0_f64.midpoint(difference), telling * (1.0 - difference) / 2.0]
    }

    /// The probability of one step of an author.
    fn probability(&self, author: u32, step: u32) -> f64 {
        let [own, other] = self.telling();
        match speaks_for(step) {
            Some(for_whom) => (if for_whom == author { own } else { other }) / 2.0,
            None => (1.0 - own - other) / f64::from(self.config.symbols - TELLING_STEPS),
        }
    }

    fn draw_step(&self, author: u32, random: &mut Random) -> u32 {
        let Config { symbols, telling, difference, .. } = self.config;
        if random.unit() >= telling {
            // 0, and those after the telling ones.
            let step = random.below(symbols - TELLING_STEPS);
            return if step == 0 { 0 } else { step + TELLING_STEPS };
        }
        let own = random.unit() < 1.0_f32.midpoint(difference);
        let for_whom = if own { author } else { 1 - author };
        1 + 2 * for_whom + random.below(2)
    }

    /// `count` texts, every other by author 1.
    fn texts(&self, random: &mut Random, count: usize) -> Vec<TokenSequence> {
        let Config { symbols, length, .. } = self.config;
        let text = |author| {
            let mut inputs = Vec::with_capacity(length);
            let mut symbol = random.below(symbols);
            inputs.push(symbol);
            for _ in 1..length {
                symbol = (symbol + self.draw_step(author, random)) % symbols;
                inputs.push(symbol);
            }
            let mut targets = vec![0; length];
            targets[length - 1] = author;
            let mut counts = vec![false; length];
            counts[length - 1] = true;
            TokenSequence { inputs, targets, counts }
        };
        [0, 1].into_iter().cycle().take(count).map(text).collect()
    }

    fn training(&self, seed: u64) -> Vec<TokenSequence> {
        self.texts(&mut Random::new(seed, Stream::Training(0)), self.config.examples)
    }

    fn batches(&self, seed: u64, stream: Stream, count: usize) -> Vec<Batch> {
        let texts = self.texts(&mut Random::new(seed, stream), count);
        texts.chunks(EVALUATION_BATCH).map(|texts| collate(texts, 0)).collect()
    }

    /// What who knows both authors scores: accuracy and cross-entropy. With S the steps of a text that speak for its author less
    /// those that speak against him, he is right where S > 0 and half of the time where S = 0, and gives the author the log-odds
    /// S ln ((1 + difference) / (1 - difference)).
    fn best(&self) -> (f64, f64) {
        let [own, other] = self.telling();
        let steps = self.config.length - 1;
        // Probabilities of S from -steps to steps.
        let mut sums = vec![0.0; 2 * steps + 1];
        sums[steps] = 1.0;
        for _ in 0..steps {
            let before = sums.clone();
            for (place, sum) in sums.iter_mut().enumerate() {
                let below = place.checked_sub(1).map_or(0.0, |below| before[below]);
                let above = before.get(place + 1).copied().unwrap_or(0.0);
                *sum = own * below + other * above + (1.0 - own - other) * before[place];
            }
        }
        let difference = f64::from(self.config.difference);
        let weight = libm::log((1.0 + difference) / (1.0 - difference));
        let (mut right, mut nats) = (sums[steps] / 2.0, sums[steps] * std::f64::consts::LN_2);
        for (place, probability) in sums.into_iter().enumerate().filter(|(place, _)| *place != steps) {
            if place > steps {
                right += probability;
            }
            if probability > 0.0 {
                let odds = (place as f64 - steps as f64) * weight;
                nats += probability * libm::log1p(libm::exp(-odds));
            }
        }
        (right, nats)
    }
}

impl Task for TwoAuthors {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Tokens { vocabulary: self.config.symbols as usize },
            outputs: 2,
            loss: LossKind::CrossEntropy,
            maximum_time: self.config.length,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let texts = self.training(seed);
        let mut random = Random::new(seed, Stream::Training(update + 1));
        let drawn: Vec<TokenSequence> = (0..size)
            .map(|_| {
                let TokenSequence { inputs, targets, counts } = &texts[random.index(texts.len())];
                TokenSequence { inputs: inputs.clone(), targets: targets.clone(), counts: counts.clone() }
            })
            .collect();
        collate(&drawn, 0)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        self.batches(seed, Stream::Validation, VALIDATION_TEXTS)
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        vec![TestSet { name: "test".to_owned(), batches: self.batches(seed, Stream::Test, TEST_TEXTS) }]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        classification_scores(batches, predictions)
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    /// `best` is a ceiling: what is reached by who knows both authors.
    fn floors(&self) -> Vec<Floor> {
        let (accuracy, cross_entropy) = self.best();
        vec![
            Floor { metric: "accuracy", name: "chance", value: 0.5 },
            Floor { metric: "accuracy", name: "best", value: accuracy },
            Floor { metric: "cross-entropy", name: "chance", value: std::f64::consts::LN_2 },
            Floor { metric: "cross-entropy", name: "best", value: cross_entropy },
        ]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(self.training(seed).chunks(EVALUATION_BATCH).map(|texts| collate(texts, 0)).collect())
    }

    fn log_joint(&self, batch: &Batch) -> Option<Vec<f64>> {
        let (Inputs::Tokens(tokens), Targets::Classes(classes)) = (&batch.inputs, &batch.targets) else {
            return None;
        };
        let symbols = self.config.symbols;
        let of_row = |row: usize| {
            let positions = row * batch.time..row * batch.time + batch.lengths[row];
            let author =
                positions.clone().find(|&position| batch.loss_mask[position]).map(|at| classes[at])?;
            let start = -libm::log(2.0 * f64::from(symbols));
            let step =
                |pair: &[u32]| libm::log(self.probability(author, (pair[1] + symbols - pair[0]) % symbols));
            Some(start + tokens[positions].windows(2).map(step).sum::<f64>())
        };
        (0..batch.size).map(of_row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};

    fn of(config: Config) -> TwoAuthors {
        TwoAuthors::new(config).unwrap()
    }

    fn tested() -> Vec<Batch> {
        of(Config::default()).test(3).remove(0).batches
    }

    fn author(batch: &Batch, row: usize) -> usize {
        classes(batch)[(row + 1) * batch.time - 1] as usize
    }

    #[test]
    fn steps_have_the_probabilities_of_the_table_and_symbols_tell_nothing() {
        let mut steps = [[0.0_f64; 8]; 2];
        let mut symbols = [[0.0_f64; 8]; 2];
        for batch in tested() {
            for (row, text) in rows(&batch).iter().enumerate() {
                let author = author(&batch, row);
                for &symbol in text {
                    symbols[author][symbol as usize] += 1.0;
                }
                text.windows(2).for_each(|pair| steps[author][((pair[1] + 8 - pair[0]) % 8) as usize] += 1.0);
            }
        }
        // By hand: 0.6 * 1.5 / 4, 0.6 * 0.5 / 4, and 0.4 / 4.
        let (own, other, any) = (0.225, 0.075, 0.1);
        let expected =
            [[any, own, own, other, other, any, any, any], [any, other, other, own, own, any, any, any]];
        for (author, expected) in expected.iter().enumerate() {
            for (step, expected) in expected.iter().enumerate() {
                // 15,000 steps: four standard errors are 0.014 at most; 16,000 symbols, 0.011.
                let found = steps[author][step] / steps[author].iter().sum::<f64>();
                assert!((found - expected).abs() < 0.014, "{author} {step}: {found}");
                let found = symbols[author][step] / symbols[author].iter().sum::<f64>();
                assert!((found - 0.125).abs() < 0.012, "{author} {step}: {found}");
            }
        }
    }

    #[test]
    fn the_best_scores_are_exact() {
        // By hand: one step speaks for its author with probability 0.45, against him with 0.15 and else not at all, so that he is
        // right with 0.45 + 0.4 / 2; the odds are 3 to 1, so that the cross-entropy is .45 ln(4/3) + .15 ln 4 + .4 ln 2.
        let (right, nats) = of(Config { length: 2, ..Config::default() }).best();
        assert!((right - 0.65).abs() < 1e-7, "{right}");
        let by_hand = 0.45 * (4.0_f64 / 3.0).ln() + 0.15 * 4.0_f64.ln() + 0.4 * 2.0_f64.ln();
        assert!((nats - by_hand).abs() < 1e-6, "{nats} {by_hand}");
        // Two steps: S is 2, 1, 0 with probabilities .45^2, 2 * .45 * .4, .4^2 + 2 * .45 * .15.
        let (right, _) = of(Config { length: 3, ..Config::default() }).best();
        assert!((right - (0.2025 + 0.36 + f64::midpoint(0.16, 0.135))).abs() < 1e-7, "{right}");
        // Authors that do not differ, and authors that share no telling step.
        let same = of(Config { difference: 0.0, ..Config::default() }).best();
        assert!((same.0 - 0.5).abs() < 1e-12 && (same.1 - 2.0_f64.ln()).abs() < 1e-12, "{same:?}");
        let apart = of(Config { difference: 1.0, telling: 1.0, ..Config::default() }).best();
        assert!((apart.0 - 1.0).abs() < 1e-12 && apart.1.abs() < 1e-12, "{apart:?}");
    }

    #[test]
    fn the_likelier_author_is_right_as_often_as_the_floor_says() {
        let task = of(Config::default());
        let (mut right, mut count) = (0.0, 0.0);
        for batch in tested() {
            let of_author = |author: u32| {
                let mut asked = batch.clone();
                asked.targets = Targets::Classes(vec![author; batch.size * batch.time]);
                task.log_joint(&asked).unwrap()
            };
            let (zero, one) = (of_author(0), of_author(1));
            for row in 0..batch.size {
                let margin = [zero[row] - one[row], one[row] - zero[row]][author(&batch, row)];
                right += if margin.abs() < 1e-9 { 0.5 } else { f64::from(u8::from(margin > 0.0)) };
                count += 1.0;
            }
        }
        // Four standard errors of 2,000 texts at 0.94 are 0.021.
        assert!((right / count - task.best().0).abs() < 0.021, "{} {}", right / count, task.best().0);
    }

    #[test]
    fn texts_have_probabilities_that_sum_to_one() {
        let task = of(Config { symbols: 5, length: 3, ..Config::default() });
        let texts: Vec<u32> = (0..125).flat_map(|text| [text / 25, text / 5 % 5, text % 5]).collect();
        let sum: f64 = [0, 1]
            .into_iter()
            .map(|author| {
                let batch = Batch {
                    size: 125,
                    time: 3,
                    inputs: Inputs::Tokens(texts.clone()),
                    source: None,
                    targets: Targets::Classes(vec![author; 375]),
                    loss_mask: [false, false, true].repeat(125),
                    lengths: vec![3; 125],
                };
                task.log_joint(&batch).unwrap().into_iter().map(f64::exp).sum::<f64>()
            })
            .sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    }

    #[test]
    fn a_smaller_training_set_is_the_start_of_a_larger_one_and_test_texts_are_others() {
        let long = Config { length: 24, ..Config::default() };
        let sets: Vec<Vec<Vec<u32>>> = [20, 200]
            .map(|examples| {
                of(Config { examples, ..long }).training_set(1).unwrap().iter().flat_map(rows).collect()
            })
            .into();
        assert_eq!(sets[0], sets[1][..20]);
        let task = of(long);
        let set = task.training_set(1).unwrap();
        assert_eq!(testing::shared(&set, &[task.training_batch(1, 3, 200)]), 200);
        assert_eq!(testing::shared(&set, &task.test(1)[0].batches), 0);
        let ones: usize =
            set.iter().map(|batch| (0..batch.size).map(|row| author(batch, row)).sum::<usize>()).sum();
        assert_eq!(ones, 256);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `fixtures/digests.py`. A change needs a new version.
        assert_eq!(testing::digest(&of(Config::default())), "7aa6a83de777d1f1");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| TwoAuthors::new(config).err().unwrap().to_string();
        assert!(
            refusal(Config { symbols: 4, ..Config::default() })
                .contains("`symbols`: 4 is outside the allowed 5 to 1000")
        );
        assert!(refusal(Config { length: 1, ..Config::default() }).contains("`length`: 1 is outside"));
        assert!(
            refusal(Config { difference: 1.5, ..Config::default() }).contains("`difference`: 1.5 is outside")
        );
    }
}
