//! Two classes and binary features that repeat each other: what independence is worth.
//!
//! ```text
//! class       y, 0 or 1, equally likely
//! base i      1 with probability p_i if y = 1, with probability 1 - p_i otherwise;  p = .60 .60 .62 .65 .68 .70
//! feature     base i itself, or a copy of it: with probability `agreement` what the base is, otherwise drawn anew like the base
//! ```
//!
//! `copies` counts the features of each base, itself included. With an agreement of 0 all features are independent within a class, as
//! naive Bayes assumes; with 1 they are the base over and over. Each feature alone says the same about the class
//! whatever the agreement. Training has `examples` examples, test 20,000 fresh ones, of which class 1 has the share `positive`.
//! After those come `unlabelled` further ones of which the class is not told: they do not count in the loss.

use sequence::{
    Batch, Column, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Score, Stream,
    Targets, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{draw_rows, feature_rows, tell_first};
use crate::metrics::classification_scores;
use crate::{DataError, settings};

const NAME: &str = "dependent-features";

/// P(base = 1 given class 1), and P(base = 0 given class 0).
const BASES: [f32; 6] = [0.60, 0.60, 0.62, 0.65, 0.68, 0.70];

const TEST_EXAMPLES: usize = 20_000;
const VALIDATION_EXAMPLES: usize = 1000;

/// Terms of the sum that is the exact floor, at most.
const MOST_OUTCOMES: usize = 10_000_000;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "tell two classes apart by binary features that repeat each other",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(DependentFeatures::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training examples.
    examples: usize,
    /// Training examples beside those, of which the class is not told.
    unlabelled: usize,
    /// Probability that a copy is what its base is, instead of a fresh draw.
    agreement: f32,
    /// Features of each of the six bases, the base included.
    copies: [usize; BASES.len()],
    /// Share of class 1 among the test examples; among all others it is one half.
    positive: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { examples: 320, unlabelled: 0, agreement: 0.0, copies: [10, 8, 4, 2, 2, 2], positive: 0.5 }
    }
}

struct DependentFeatures {
    config: Config,
}

impl DependentFeatures {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "examples", &config.examples, 2..=1_000_000)?;
        settings::within(NAME, "unlabelled", &config.unlabelled, 0..=1_000_000)?;
        settings::within(NAME, "agreement", &config.agreement, 0.0..=1.0)?;
        settings::within(NAME, "positive", &config.positive, 0.0..=1.0)?;
        for copies in &config.copies {
            settings::within(NAME, "copies", copies, 1..=1000)?;
        }
        // Copies that always agree are told by their base.
        let of_base = |copies: usize| if config.agreement < 1.0 { 2 * copies } else { 2 };
        let outcomes =
            config.copies.iter().fold(1_usize, |product, &copies| product.saturating_mul(of_base(copies)));
        if outcomes > MOST_OUTCOMES {
            let reason = format!(
                "the exact floor would be a sum of {outcomes} terms, more than {MOST_OUTCOMES}; use fewer"
            );
            return Err(settings::wrong(NAME, "copies", reason));
        }
        Ok(Self { config })
    }

    fn width(&self) -> usize {
        self.config.copies.iter().sum()
    }

    /// `count` examples in one batch, of which class 1 has a share.
    fn batch(&self, random: &mut Random, count: usize, positive: f32) -> Batch {
        let mut values = Vec::with_capacity(count * self.width());
        let mut classes = Vec::with_capacity(count);
        for _ in 0..count {
            let class = if positive == 0.5 { random.below(2) } else { u32::from(random.unit() < positive) };
            classes.push(class);
            for (&p, &copies) in BASES.iter().zip(&self.config.copies) {
                let p = if class == 1 { p } else { 1.0 - p };
                let base = random.unit() < p;
                values.push(f32::from(u8::from(base)));
                for _ in 1..copies {
                    let agrees = random.unit() < self.config.agreement;
                    let copy = if agrees { base } else { random.unit() < p };
                    values.push(f32::from(u8::from(copy)));
                }
            }
        }
        feature_rows(self.width(), values, classes)
    }

    /// The probabilities of the features of a row under class 0 and class 1, natural logarithms.
    fn log_likelihoods(&self, row: &[f32]) -> [f64; 2] {
        let agreement = f64::from(self.config.agreement);
        let mut sums = [0.0; 2];
        let mut first = 0;
        for (&p, &copies) in BASES.iter().zip(&self.config.copies) {
            let p = f64::from(p);
            for (sum, p) in sums.iter_mut().zip([1.0 - p, p]) {
                let log = |value: f32, p: f64| libm::log(if value == 1.0 { p } else { 1.0 - p });
                let copy = agreement * f64::from(row[first]) + (1.0 - agreement) * p;
                *sum += log(row[first], p);
                *sum += row[first + 1..first + copies].iter().map(|&value| log(value, copy)).sum::<f64>();
            }
            first += copies;
        }
        sums
    }

    /// The error of the best possible classifier where classes are equally likely, by summing over all that a classifier can be told: of each base, its value
    /// and how many of its copies are 1.
    fn least_error(&self) -> f64 {
        let agreement = f64::from(self.config.agreement);
        // Of what was told so far, the probabilities together with each class.
        let mut told = vec![[0.5_f64, 0.5]];
        for (&p, &copies) in BASES.iter().zip(&self.config.copies) {
            let copies = copies - 1;
            let mut outcomes = Vec::new();
            for base in [0.0, 1.0] {
                for ones in 0..=copies {
                    let of_class = |p: f64| {
                        let copy = agreement * base + (1.0 - agreement) * p;
                        let of_base = if base == 1.0 { p } else { 1.0 - p };
                        of_base * binomial(copies, ones, copy)
                    };
                    let both = [of_class(1.0 - f64::from(p)), of_class(f64::from(p))];
                    outcomes.extend((both[0] + both[1] > 0.0).then_some(both));
                }
            }
            let pair = |sum: &[f64; 2], outcome: &[f64; 2]| [sum[0] * outcome[0], sum[1] * outcome[1]];
            told =
                told.iter().flat_map(|sum| outcomes.iter().map(move |outcome| pair(sum, outcome))).collect();
        }
        told.iter().map(|both| f64::min(both[0], both[1])).sum()
    }
}

/// The probability of `ones` of `count` draws that are 1 with probability `p`.
fn binomial(count: usize, ones: usize, p: f64) -> f64 {
    (0..count).fold(1.0, |product, draw| {
        // Each draw that is 1 brings its factor of the binomial coefficient along.
        product * if draw < ones { p * (count - draw) as f64 / (ones - draw) as f64 } else { 1.0 - p }
    })
}

impl Task for DependentFeatures {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Features { width: self.width() },
            outputs: 2,
            loss: LossKind::CrossEntropy,
            maximum_time: 1,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let all = self.batch(&mut Random::new(seed, Stream::Training(0)), self.config.examples, 0.5);
        draw_rows(&all, &mut Random::new(seed, Stream::Training(update + 1)), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![self.batch(&mut Random::new(seed, Stream::Validation), VALIDATION_EXAMPLES, 0.5)]
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        let batches =
            vec![self.batch(&mut Random::new(seed, Stream::Test), TEST_EXAMPLES, self.config.positive)];
        vec![TestSet { name: "test".to_owned(), batches }]
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

    /// `best` is no floor but the ceiling: what a classifier reaches that knows the probabilities, where classes are equally likely.
    fn floors(&self) -> Vec<Floor> {
        let chance = Floor { metric: "cross-entropy", name: "chance", value: std::f64::consts::LN_2 };
        if self.config.positive != 0.5 {
            return vec![chance];
        }
        vec![
            Floor { metric: "accuracy", name: "chance", value: 0.5 },
            Floor { metric: "accuracy", name: "best", value: 1.0 - self.least_error() },
            chance,
        ]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        let Config { examples, unlabelled, .. } = self.config;
        let all = self.batch(&mut Random::new(seed, Stream::Training(0)), examples + unlabelled, 0.5);
        Some(vec![tell_first(all, examples)])
    }

    fn log_joint(&self, batch: &Batch) -> Option<Vec<f64>> {
        let (Inputs::Features { width, values }, Targets::Classes(classes)) = (&batch.inputs, &batch.targets)
        else {
            return None;
        };
        let rows = values.chunks_exact(*width).zip(classes);
        Some(
            rows.map(|(row, &class)| self.log_likelihoods(row)[class as usize] - std::f64::consts::LN_2)
                .collect(),
        )
    }

    fn columns(&self) -> Option<Vec<Column>> {
        Some(vec![Column::Category { levels: 2 }; self.width()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes};

    fn of(config: Config) -> DependentFeatures {
        DependentFeatures::new(config).unwrap()
    }

    fn rows(batch: &Batch) -> Vec<&[f32]> {
        let Inputs::Features { width, values } = &batch.inputs else { panic!("the inputs are features") };
        values.chunks(*width).collect()
    }

    #[test]
    fn each_feature_has_its_probability_and_copies_agree_as_often_as_asked() {
        for agreement in [0.0, 0.5, 1.0] {
            let task = of(Config { agreement, ..Config::default() });
            let batch = task.test(3).remove(0).batches.remove(0);
            let rows = rows(&batch);
            let share = |holds: &dyn Fn(usize) -> bool| {
                (0..rows.len()).filter(|&row| holds(row)).count() as f32 / rows.len() as f32
            };
            let mut first = 0;
            for (&p, copies) in BASES.iter().zip(Config::default().copies) {
                for feature in first..first + copies {
                    // A feature says the class with probability p, whatever the agreement; four standard errors of 0.0035.
                    let right = share(&|row| rows[row][feature] == classes(&batch)[row] as f32);
                    assert!((right - p).abs() < 0.014, "{feature} at {agreement}: {right}");
                    if feature > first {
                        // Two draws agree by chance with p^2 + (1 - p)^2.
                        let expected = agreement + (1.0 - agreement) * (p * p + (1.0 - p) * (1.0 - p));
                        let agree = share(&|row| rows[row][feature] == rows[row][first]);
                        assert!((agree - expected).abs() < 0.014, "{feature} at {agreement}: {agree}");
                    }
                }
                first += copies;
            }
        }
    }

    #[test]
    fn the_least_error_is_exact() {
        // One copy each of two equally good bases would err as often as one; six single bases, by enumeration in Python:
        // sum over the 64 outcomes of min(prod p_i^x (1-p_i)^(1-x), prod (1-p_i)^x p_i^(1-x)) / 2 ...
        let single = of(Config { copies: [1; 6], ..Config::default() }).least_error();
        assert!((single - LEAST_OF_SINGLE).abs() < 1e-7, "{single}");
        // Copies that always agree say nothing new.
        let repeated = of(Config { agreement: 1.0, ..Config::default() }).least_error();
        assert!((repeated - single).abs() < 1e-12);
        // Independent copies help, the more the fewer of them agree.
        let error = |agreement| of(Config { agreement, ..Config::default() }).least_error();
        assert!(error(0.0) < error(0.3) && error(0.3) < error(0.8) && error(0.8) < single);
        // And the classifier that knows the probabilities errs just so: within four standard errors of 0.0023.
        let task = of(Config { agreement: 0.5, ..Config::default() });
        let batch = task.test(3).remove(0).batches.remove(0);
        let knowing = |row: &[f32]| u32::from(task.log_likelihoods(row)[1] > task.log_likelihoods(row)[0]);
        let wrong =
            rows(&batch).iter().zip(classes(&batch)).filter(|(row, class)| knowing(row) != **class).count();
        let error = wrong as f64 / 20_000.0;
        assert!((error - task.least_error()).abs() < 0.0112, "{error} {}", task.least_error());
    }

    /// By Python: sum of min over the 64 outcomes.
    const LEAST_OF_SINGLE: f64 = 0.225_480_802_621_888_9;

    #[test]
    fn the_joint_probabilities_sum_to_one() {
        let task = of(Config { copies: [2, 1, 1, 1, 1, 1], agreement: 0.8, ..Config::default() });
        let outcomes = 1 << 7;
        let value = |outcome: u32, feature: u32| (outcome >> feature & 1) as f32;
        let rows: Vec<f32> =
            (0..outcomes).flat_map(|outcome| (0..7).map(move |feature| value(outcome, feature))).collect();
        let sum: f64 = [0, 1]
            .into_iter()
            .flat_map(|class| task.log_joint(&feature_rows(7, rows.clone(), vec![class; 128])).unwrap())
            .map(f64::exp)
            .sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    }

    #[test]
    fn the_test_may_have_another_share_of_the_classes() {
        let task = of(Config { positive: 0.05, ..Config::default() });
        let share = |batch: &Batch| classes(batch).iter().sum::<u32>() as f32 / batch.size as f32;
        // Four standard errors of 0.0015, and of 0.016 for 1,000 examples.
        assert!((share(&task.test(3)[0].batches[0]) - 0.05).abs() < 0.0062);
        assert!((share(&task.validation(3)[0]) - 0.5).abs() < 0.064);
    }

    #[test]
    fn batches_draw_from_the_training_set_and_no_part_follows_another() {
        let task = of(Config { examples: 50, ..Config::default() });
        let set = task.training_set(1).unwrap();
        assert_eq!(set[0].size, 50);
        let drawn = task.training_batch(1, 3, 200);
        assert_eq!(testing::shared(&set, &[drawn]), 200);
        // 28 features: an example of one part can be in another by chance only.
        assert!(testing::shared(&set, &task.test(1)[0].batches) < 200);
        assert_ne!(set, task.training_set(2).unwrap());
        // Examples without a class are further ones, and no training batch draws them.
        let more = of(Config { examples: 50, unlabelled: 30, ..Config::default() });
        let with = more.training_set(1).unwrap().remove(0);
        assert_eq!((with.size, with.supervised()), (80, 50));
        assert_eq!(rows(&with)[..50], rows(&set[0])[..]);
        assert_eq!(classes(&with)[..50], classes(&set[0])[..]);
        assert!(classes(&with)[50..].iter().all(|class| *class == 0) && !with.loss_mask[50]);
        assert_eq!(more.training_batch(1, 3, 200), task.training_batch(1, 3, 200));
        // Fewer examples are the first of more.
        let few = of(Config { examples: 10, ..Config::default() }).training_set(1).unwrap();
        assert_eq!(rows(&few[0]), rows(&set[0])[..10]);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&of(Config { agreement: 0.5, ..Config::default() })), "20dfe3255e201ced");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| DependentFeatures::new(config).err().unwrap().to_string();
        let standard = Config::default();
        assert!(refusal(Config { examples: 1, ..standard.clone() }).contains("`examples`: 1 is outside"));
        let many = Config { unlabelled: 2_000_000, ..standard.clone() };
        assert!(refusal(many).contains("`unlabelled`: 2000000 is outside"));
        assert!(
            refusal(Config { agreement: 1.5, ..standard.clone() }).contains("`agreement`: 1.5 is outside")
        );
        assert!(refusal(Config { copies: [0; 6], ..standard.clone() }).contains("`copies`: 0 is outside"));
        assert!(refusal(Config { copies: [100; 6], ..standard }).contains("a sum of 64000000000000 terms"));
    }
}
