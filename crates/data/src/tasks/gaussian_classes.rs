//! Two normal classes of which some values are missing, for one of three reasons.
//!
//! ```text
//! class        y, 0 or 1, equally likely
//! feature j    separation (y - 1/2) for the first `informative` features, 0 for the others,
//!              + sqrt(correlation) common + sqrt(1 - correlation) own,    common and own standard normal
//! ```
//!
//! | `mechanism` | a value is missing |
//! |---|---|
//! | `completely-at-random` | with probability `missing`, whatever it is |
//! | `at-random` | by what is known: the first feature never is, the others with probability 3/2 `missing` where it is above 0, and 1/2 `missing` elsewhere |
//! | `not-at-random` | by what it is: with probability `missing` if it is above 0, never otherwise |
//!
//! With `far` above 0, one training example of class 1 in ten is moved by so many deviations in every informative feature, to the side
//! where its class is anyway: nothing about the boundary between the classes changes.
//!
//! (Rubin 1976.) `missing-in` says whether training examples lack values, too. Training has `examples` examples, test 10,000 fresh ones.
//! After the former come `unlabelled` further ones of which the class is not told: they do not count in the loss.

use sequence::{
    Batch, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Score, Stream, Targets, Task,
    TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{draw_rows, feature_rows, tell_first};
use crate::metrics::classification_scores;
use crate::{DataError, settings};

const NAME: &str = "gaussian-classes";
const TEST_EXAMPLES: usize = 10_000;
const VALIDATION_EXAMPLES: usize = 1000;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "tell two normal classes apart when values are missing",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(GaussianClasses::new(settings::parse(NAME, given)?)?)),
};

/// Why values are missing.
#[expect(clippy::enum_variant_names, reason = "the terms of Rubin (1976)")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mechanism {
    CompletelyAtRandom,
    AtRandom,
    NotAtRandom,
}

/// Where values are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MissingIn {
    Test,
    Both,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training examples.
    examples: usize,
    /// Training examples beside those, of which the class is not told.
    unlabelled: usize,
    /// Features.
    features: usize,
    /// Features whose mean differs between the classes.
    informative: usize,
    /// By how many deviations it differs.
    separation: f32,
    /// Correlation of any two features within a class.
    correlation: f32,
    /// Why values are missing.
    mechanism: Mechanism,
    /// How often, as the mechanism reads it.
    missing: f32,
    /// Whether training examples lack values, too.
    missing_in: MissingIn,
    /// By how many deviations a tenth of the training examples of class 1 is moved away from class 0.
    far: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            examples: 500,
            unlabelled: 0,
            features: 10,
            informative: 10,
            separation: 1.0,
            correlation: 0.0,
            mechanism: Mechanism::CompletelyAtRandom,
            missing: 0.5,
            missing_in: MissingIn::Both,
            far: 0.0,
        }
    }
}

struct GaussianClasses {
    config: Config,
}

impl GaussianClasses {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "examples", &config.examples, 2..=1_000_000)?;
        settings::within(NAME, "unlabelled", &config.unlabelled, 0..=1_000_000)?;
        settings::within(NAME, "features", &config.features, 2..=1000)?;
        settings::within(NAME, "informative", &config.informative, 1..=config.features)?;
        settings::within(NAME, "separation", &config.separation, 0.0..=100.0)?;
        settings::within(NAME, "far", &config.far, 0.0..=1000.0)?;
        settings::within(NAME, "correlation", &config.correlation, 0.0..=0.99)?;
        // Otherwise 3/2 of it would be more than 1.
        let most = if config.mechanism == Mechanism::AtRandom { 2.0 / 3.0 } else { 1.0 };
        settings::within(NAME, "missing", &config.missing, 0.0..=most)?;
        Ok(Self { config })
    }

    /// `count` examples in one batch; what is missing has a stream of its own, so that the values are the same whatever is.
    fn batch(&self, seed: u64, stream: Stream, count: usize, hidden: bool) -> Batch {
        let Config { features, informative, separation, correlation, mechanism, missing: rate, .. } =
            self.config;
        let mut random = Random::new(seed, stream);
        let mut hide = Random::new(random.bits(), Stream::Order);
        let (together, alone) = (libm::sqrtf(correlation), libm::sqrtf(1.0 - correlation));
        let mut values = Vec::with_capacity(count * features);
        let mut classes = Vec::with_capacity(count);
        for _ in 0..count {
            let class = random.below(2);
            classes.push(class);
            let common = together * random.normal();
            let shift = separation * (class as f32 - 0.5);
            let first = values.len();
            for feature in 0..features {
                let mean = if feature < informative { shift } else { 0.0 };
                values.push(mean + common + alone * random.normal());
            }
            let known = values[first];
            for (feature, value) in values[first..].iter_mut().enumerate() {
                let probability = match mechanism {
                    Mechanism::CompletelyAtRandom => rate,
                    Mechanism::AtRandom if feature == 0 => 0.0,
                    Mechanism::AtRandom => rate * if known > 0.0 { 1.5 } else { 0.5 },
                    Mechanism::NotAtRandom => rate * f32::from(u8::from(*value > 0.0)),
                };
                let lost = hide.unit() < probability;
                if hidden && lost {
                    *value = f32::NAN;
                }
            }
        }
        feature_rows(features, values, classes)
    }

    /// The training examples whose class is told, and so many others.
    fn training(&self, seed: u64, unlabelled: usize) -> Batch {
        let missing = self.config.missing_in == MissingIn::Both;
        let told = self.config.examples;
        let mut batch = self.batch(seed, Stream::Training(0), told + unlabelled, missing);
        let Config { features, informative, far, .. } = self.config;
        if let (Inputs::Features { values, .. }, Targets::Classes(classes)) =
            (&mut batch.inputs, &batch.targets)
        {
            let of_class_1 = values.chunks_exact_mut(features).zip(classes).filter(|(_, class)| **class == 1);
            for (row, _) in of_class_1.step_by(10) {
                row[..informative].iter_mut().for_each(|value| *value += far);
            }
        }
        tell_first(batch, told)
    }

    /// The accuracy of the best classifier where nothing is missing: with D^2 = d' S^-1 d the squared distance of the class means,
    /// S having 1 on and r off the diagonal, it is P(standard normal < D / 2).
    fn best_of_complete(&self) -> f64 {
        let Config { features, informative, separation, correlation, .. } = self.config;
        let (r, n, k) = (f64::from(correlation), features as f64, informative as f64);
        let squared = f64::from(separation).powi(2) * (k - r * k * k / (1.0 + (n - 1.0) * r)) / (1.0 - r);
        0.5 * libm::erfc(-libm::sqrt(squared) / 2.0 / std::f64::consts::SQRT_2)
    }
}

impl Task for GaussianClasses {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Features { width: self.config.features },
            outputs: 2,
            loss: LossKind::CrossEntropy,
            maximum_time: 1,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        draw_rows(&self.training(seed, 0), &mut Random::new(seed, Stream::Training(update + 1)), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![self.batch(seed, Stream::Validation, VALIDATION_EXAMPLES, true)]
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        let batches = vec![self.batch(seed, Stream::Test, TEST_EXAMPLES, true)];
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

    /// `best-of-complete` is a ceiling: what can be reached where nothing is missing.
    fn floors(&self) -> Vec<Floor> {
        vec![
            Floor { metric: "accuracy", name: "chance", value: 0.5 },
            Floor { metric: "accuracy", name: "best-of-complete", value: self.best_of_complete() },
            Floor { metric: "cross-entropy", name: "chance", value: std::f64::consts::LN_2 },
        ]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(vec![self.training(seed, self.config.unlabelled)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes};

    fn of(config: Config) -> GaussianClasses {
        GaussianClasses::new(config).unwrap()
    }

    fn tested(config: Config) -> Batch {
        of(config).test(3).remove(0).batches.remove(0)
    }

    fn rows(batch: &Batch) -> Vec<&[f32]> {
        let Inputs::Features { width, values } = &batch.inputs else { panic!("the inputs are features") };
        values.chunks(*width).collect()
    }

    const COMPLETE: Config = Config {
        examples: 500,
        unlabelled: 0,
        features: 10,
        informative: 5,
        separation: 1.0,
        correlation: 0.7,
        mechanism: Mechanism::CompletelyAtRandom,
        missing: 0.0,
        missing_in: MissingIn::Both,
        far: 0.0,
    };

    #[test]
    fn means_and_correlations_are_those_asked_for() {
        let batch = tested(COMPLETE);
        let rows = rows(&batch);
        let n = rows.len() as f32;
        let centred = |row: usize, feature: usize| {
            let mean = if feature < 5 { classes(&batch)[row] as f32 - 0.5 } else { 0.0 };
            rows[row][feature] - mean
        };
        for feature in 0..10 {
            let mean = (0..rows.len()).map(|row| centred(row, feature)).sum::<f32>() / n;
            let variance = (0..rows.len()).map(|row| centred(row, feature).powi(2)).sum::<f32>() / n;
            let product = (0..rows.len())
                .map(|row| centred(row, feature) * centred(row, (feature + 3) % 10))
                .sum::<f32>()
                / n;
            // Four standard errors: 0.01 of a mean, 0.014 of a variance, 0.012 of a covariance.
            assert!(
                mean.abs() < 0.04 && (variance - 1.0).abs() < 0.057 && (product - 0.7).abs() < 0.05,
                "{feature}: {mean} {variance} {product}"
            );
        }
    }

    #[test]
    fn the_best_accuracy_is_exact_where_nothing_is_missing() {
        // Independent: D = 1 * sqrt(10), and P(z < sqrt(10) / 2) = 0.943 077 (scipy.stats.norm.cdf(10 ** 0.5 / 2)).
        let independent = of(Config { correlation: 0.0, informative: 10, ..COMPLETE });
        assert!(
            (independent.best_of_complete() - 0.943_076_8).abs() < 1e-6,
            "{}",
            independent.best_of_complete()
        );
        // Correlated, by numpy: d' inv(S) d = 8.675 799 for d = (1 x 5, 0 x 5), and norm.cdf(sqrt(8.675799) / 2) = 0.929 588 8.
        let correlated = of(COMPLETE).best_of_complete();
        assert!((correlated - 0.929_588_8).abs() < 1e-6, "{correlated}");
    }

    #[test]
    fn each_mechanism_hides_what_it_says() {
        let missing = |config: Config| -> (f32, f32, f32) {
            let complete = tested(Config { missing: 0.0, ..config });
            let batch = tested(config);
            let (mut of_high, mut of_low, mut of_first) = ((0.0, 0.0), (0.0, 0.0), 0.0);
            for (row, whole) in rows(&batch).iter().zip(rows(&complete)) {
                of_first += f32::from(u8::from(row[0].is_nan()));
                for (value, whole) in row.iter().zip(whole).skip(1) {
                    assert!(value.is_nan() || value == whole, "what is not hidden is not changed");
                    // By the value itself, or by the first feature.
                    let deciding = if config.mechanism == Mechanism::AtRandom { row[0] } else { *whole };
                    let high = deciding > 0.0;
                    let side = if high { &mut of_high } else { &mut of_low };
                    side.0 += f32::from(u8::from(value.is_nan()));
                    side.1 += 1.0;
                }
            }
            (of_high.0 / of_high.1, of_low.0 / of_low.1, of_first / batch.size as f32)
        };
        let near = |(high, low, first): (f32, f32, f32), expected: [f32; 3]| {
            // Four standard errors over some 45,000 values, and 10,000 first ones.
            assert!(
                (high - expected[0]).abs() < 0.01
                    && (low - expected[1]).abs() < 0.01
                    && (first - expected[2]).abs() < 0.02,
                "{high} {low} {first}"
            );
        };
        let config = |mechanism, rate| Config { mechanism, missing: rate, ..COMPLETE };
        near(missing(config(Mechanism::CompletelyAtRandom, 0.5)), [0.5, 0.5, 0.5]);
        near(missing(config(Mechanism::AtRandom, 0.4)), [0.6, 0.2, 0.0]);
        // Half of the values of the first feature are above 0.
        near(missing(config(Mechanism::NotAtRandom, 1.0)), [1.0, 0.0, 0.5]);
    }

    #[test]
    fn training_examples_may_be_complete() {
        let test_only = of(Config { missing: 0.8, missing_in: MissingIn::Test, ..COMPLETE });
        let set = test_only.training_set(1).unwrap();
        assert!(rows(&set[0]).iter().all(|row| row.iter().all(|value| !value.is_nan())));
        assert!(rows(&test_only.validation(1)[0]).iter().any(|row| row.iter().any(|value| value.is_nan())));
        let drawn = test_only.training_batch(1, 3, 200);
        assert_eq!(testing::shared(&set, &[drawn]), 200);
        assert_eq!(testing::shared(&set, &test_only.test(1)[0].batches), 0);
    }

    #[test]
    fn a_tenth_of_a_class_may_lie_far_inside_it() {
        let config = Config { correlation: 0.0, ..COMPLETE };
        let (near, far) = (of(config).training(1, 0), of(Config { far: 20.0, ..config }).training(1, 0));
        let moved: Vec<bool> = rows(&near).iter().zip(rows(&far)).map(|(a, b)| a[0] != b[0]).collect();
        let ones: Vec<bool> = classes(&near).iter().map(|&class| class == 1).collect();
        let count = |flags: &[bool]| flags.iter().filter(|&&flag| flag).count();
        assert_eq!(count(&moved), count(&ones).div_ceil(10));
        for ((moved, one), (a, b)) in moved.iter().zip(ones).zip(rows(&near).iter().zip(rows(&far))) {
            assert!(one || !moved);
            // Five features are informative; the others stay.
            assert!(a[5..] == b[5..] && (!moved || (b[4] - a[4] - 20.0).abs() < 1e-5));
        }
        assert_eq!(of(config).test(1)[0].batches, of(Config { far: 20.0, ..config }).test(1)[0].batches);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // Normal deviates come from `libm`, which computes them alike everywhere. A change needs a new version.
        assert_eq!(testing::digest(&of(Config::default())), "7a09c155eff07788");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| GaussianClasses::new(config).err().unwrap().to_string();
        assert!(
            refusal(Config { informative: 11, ..COMPLETE })
                .contains("`informative`: 11 is outside the allowed 1 to 10")
        );
        assert!(
            refusal(Config { missing: 0.8, mechanism: Mechanism::AtRandom, ..COMPLETE })
                .contains("`missing`: 0.8 is outside")
        );
        assert!(refusal(Config { correlation: 1.0, ..COMPLETE }).contains("`correlation`: 1 is outside"));
    }
}
