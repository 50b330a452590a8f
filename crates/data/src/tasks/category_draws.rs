//! Draws of a category whose probabilities are known: what there is to learn is how likely each is.
//!
//! ```text
//! x     category k with probability p_k,   k = 0, 1 ... as many as `probabilities` names
//! ```
//!
//! The plainest problem of all: a coin with two probabilities, a die with six. Nothing is asked of a draw. Training has `examples`
//! draws, which may be none, so that a model can be asked what it held before it saw any; those of fewer are the first of more.

use sequence::{
    Batch, Column, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Score, Stream, Task,
    TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::feature_rows;
use crate::metrics::own_loss;
use crate::{DataError, settings};

const NAME: &str = "category-draws";

/// Draws for choosing, which nobody needs to do here, and for the score.
const VALIDATION_DRAWS: usize = 100;
const TEST_DRAWS: usize = 1000;

/// How far the probabilities may be from a sum of 1.
const ROUNDING: f64 = 1e-6;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "learn how likely each category is from draws of them",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(CategoryDraws::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training draws.
    examples: usize,
    /// The probability of each category.
    probabilities: Vec<f64>,
}

impl Default for Config {
    fn default() -> Self {
        Self { examples: 100, probabilities: vec![0.7, 0.3] }
    }
}

struct CategoryDraws {
    config: Config,
}

impl CategoryDraws {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "examples", &config.examples, 0..=1_000_000)?;
        let wrong = |reason: String| Err(settings::wrong(NAME, "probabilities", reason));
        let probabilities = &config.probabilities;
        if !(2..=1000).contains(&probabilities.len()) {
            return wrong(format!("there are {}, and 2 to 1000 are needed", probabilities.len()));
        }
        if let Some(p) = probabilities.iter().find(|p| !(**p > 0.0 && **p < 1.0)) {
            return wrong(format!("{p} is outside 0 to 1, ends excluded"));
        }
        let sum: f64 = probabilities.iter().sum();
        if (sum - 1.0).abs() > ROUNDING {
            return wrong(format!("they sum to {sum}, and must sum to 1"));
        }
        Ok(Self { config })
    }

    fn batch(&self, random: &mut Random, count: usize) -> Batch {
        let probabilities = &self.config.probabilities;
        let mut draw = |_| {
            let unit = f64::from(random.unit());
            let mut sum = 0.0;
            let within = probabilities.iter().position(|p| {
                sum += p;
                unit < sum
            });
            // The last takes what rounding leaves.
            within.unwrap_or(probabilities.len() - 1) as f32
        };
        feature_rows(1, (0..count).map(&mut draw).collect(), vec![0; count])
    }

    fn entropy(&self) -> f64 {
        -self.config.probabilities.iter().map(|p| p * libm::log(*p)).sum::<f64>()
    }
}

impl Task for CategoryDraws {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Features { width: 1 },
            outputs: 1,
            loss: LossKind::Density,
            maximum_time: 1,
        }
    }

    /// Draws of their own, since the training set may be empty.
    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        self.batch(&mut Random::new(seed, Stream::Training(update + 1)), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![self.batch(&mut Random::new(seed, Stream::Validation), VALIDATION_DRAWS)]
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        let batches = vec![self.batch(&mut Random::new(seed, Stream::Test), TEST_DRAWS)];
        vec![TestSet { name: "test".to_owned(), batches }]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        vec![own_loss(batches, predictions)]
    }

    fn larger_is_better(&self) -> bool {
        false
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    /// The entropy of a draw, which no model goes below on average.
    fn floors(&self) -> Vec<Floor> {
        vec![Floor { metric: "negative-log-likelihood", name: "best", value: self.entropy() }]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(vec![self.batch(&mut Random::new(seed, Stream::Training(0)), self.config.examples)])
    }

    fn columns(&self) -> Option<Vec<Column>> {
        Some(vec![Column::Category { levels: self.config.probabilities.len() }])
    }

    /// There is one class, so that this is the probability of the draw.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a category's number")]
    fn log_joint(&self, batch: &Batch) -> Option<Vec<f64>> {
        let Inputs::Features { values, .. } = &batch.inputs else { return None };
        let of_draw = |value: &f32| {
            self.config.probabilities.get(*value as usize).map_or(f64::NEG_INFINITY, |p| libm::log(*p))
        };
        Some(values.iter().map(of_draw).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn of(examples: usize, probabilities: &[f64]) -> CategoryDraws {
        CategoryDraws::new(Config { examples, probabilities: probabilities.to_vec() }).unwrap()
    }

    fn values(batch: &Batch) -> &[f32] {
        let Inputs::Features { values, .. } = &batch.inputs else { panic!("the inputs are features") };
        values
    }

    #[test]
    fn categories_come_as_often_as_they_are_likely() {
        let probabilities = [0.5, 0.3, 0.15, 0.05];
        let batch = of(100_000, &probabilities).training_set(3).unwrap().remove(0);
        for (category, p) in probabilities.iter().enumerate() {
            let count = values(&batch).iter().filter(|value| **value == category as f32).count();
            // Four standard errors.
            let allowed = 4.0 * (p * (1.0 - p) / 100_000.0_f64).sqrt();
            assert!((count as f64 / 100_000.0 - p).abs() < allowed, "{category}: {count}");
        }
    }

    #[test]
    fn fewer_draws_are_the_first_of_more_and_may_be_none() {
        let set = |examples| of(examples, &[0.7, 0.3]).training_set(5).unwrap().remove(0);
        assert_eq!(values(&set(10)), &values(&set(1000))[..10]);
        assert_eq!(set(0).size, 0);
        assert_eq!(of(0, &[0.7, 0.3]).training_batch(5, 0, 8).size, 8);
        assert_ne!(values(&set(1000)), values(&of(1000, &[0.7, 0.3]).training_set(6).unwrap()[0]));
    }

    #[test]
    fn the_truth_and_its_entropy_are_told() {
        let task = of(10, &[0.25, 0.75]);
        let told = task.log_joint(&feature_rows(1, vec![0.0, 1.0], vec![0, 0])).unwrap();
        assert!((told[0].exp() - 0.25).abs() < 1e-15 && (told[1].exp() - 0.75).abs() < 1e-15);
        // By hand: ln 4 / 4 + 3/4 ln (4/3).
        let by_hand = 0.25 * 4.0_f64.ln() + 0.75 * (4.0_f64 / 3.0).ln();
        assert!((task.floors()[0].value - by_hand).abs() < 1e-12);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&of(100, &[0.7, 0.3])), "017e7945a942ce44");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |probabilities: &[f64]| {
            let config = Config { examples: 10, probabilities: probabilities.to_vec() };
            CategoryDraws::new(config).err().unwrap().to_string()
        };
        assert!(refusal(&[1.0]).contains("`probabilities`: there are 1"), "{}", refusal(&[1.0]));
        assert!(refusal(&[0.5, 0.4]).contains("sum to 0.9"), "{}", refusal(&[0.5, 0.4]));
        assert!(refusal(&[1.0, 0.0]).contains("outside 0 to 1"));
        let many = Config { examples: 2_000_000, ..Config::default() };
        assert!(
            CategoryDraws::new(many).err().unwrap().to_string().contains("`examples`: 2000000 is outside")
        );
    }
}
