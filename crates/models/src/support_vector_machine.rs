//! Linear support vector machine: the class by the side of the widest margin.
//!
//! ```text
//! minimise  |(w, b)|^2 / 2 + cost sum_i max(0, 1 - y_i (w x_i + b))^2,    y_i = 1 for the class, -1 for the rest
//! ```
//!
//! (Cortes and Vapnik 1995.) The squared loss, with the intercept b penalised like a weight, is that of LIBLINEAR (Fan et al. 2008), smooth enough for
//! L-BFGS. Two classes take one such machine, more of them one each against the rest. An example beyond the margin on its own side has no
//! loss and no part in where the boundary lies.
//!
//! It has no probabilities: what is answered are the scores w x + b (for two classes 0 and the score) as if they were log-odds, so that the likeliest class is the machine's and its
//! cross-entropy and calibration are what such a reading is worth.
//!
//! Written here because it is a page beside the search that logistic regression needs anyway. Examples become features as there.

use sequence::{Batch, Dataset, Fit, LearnError, Learner, LossKind, Predictions, Predictor, Run};
use serde::{Deserialize, Serialize};

use crate::architecture::NOTHING_TO_ANSWER;
use crate::design::{Features, Missing};
use crate::examples::{Examples, log_normalised, predictions};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::minimise::{Absolute, minimise};
use crate::n_gram_bag::{BagConfig, SparseRows};
use crate::{Counting, Reads};

const NAME: &str = "support-vector-machine";

/// Settings of a linear support vector machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct SupportVectorMachineConfig {
    /// Weight of the losses against the width of the margin, C.
    cost: f64,
    /// For symbols: the longest n-gram.
    order: usize,
    /// For symbols: whether repeats count.
    counts: bool,
    /// What stands for a missing value.
    missing: Missing,
    /// The largest entry of the gradient at which the search ends.
    tolerance: f64,
    /// Iterations at most.
    iterations: usize,
}

impl Default for SupportVectorMachineConfig {
    fn default() -> Self {
        Self { cost: 1.0, order: 1, counts: false, missing: Missing::Mean, tolerance: 1e-5, iterations: 1000 }
    }
}

impl Counting for SupportVectorMachineConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str = "linear support vector machine: the class by the side of the widest margin";
    const CITATION: &'static str = "Cortes and Vapnik 1995; Fan et al. 2008";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::TrainingSet;

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        BagConfig { order: self.order, counts: self.counts }.check(NAME)?;
        let wrong = |reason: String| Err(LearnError::Setting { model: NAME, reason });
        if !(self.cost.is_finite() && self.cost > 0.0) {
            return wrong(format!("`cost` is {}, it must be more than 0", self.cost));
        }
        if !(self.tolerance.is_finite() && self.tolerance > 0.0) {
            return wrong(format!("`tolerance` is {}, it must be more than 0", self.tolerance));
        }
        if self.iterations == 0 {
            return wrong("`iterations` is 0, it must be at least 1".to_owned());
        }
        if self.missing == Missing::CompleteCases {
            return wrong(
                "`missing` cannot be \"complete-cases\" here; logistic regression drops examples".to_owned(),
            );
        }
        Ok(Box::new(SupportVectorMachine { config: self }))
    }
}

struct SupportVectorMachine {
    config: SupportVectorMachineConfig,
}

impl SupportVectorMachine {
    fn separate(&self, examples: &Examples) -> Fitted {
        let SupportVectorMachineConfig { cost, order, counts, missing, tolerance, iterations } = self.config;
        let (features, rows) = Features::fit(examples, BagConfig { order, counts }, missing);
        let mut multiply_adds = 0;
        // Of two classes the second is the one with y = 1.
        let classes = if examples.classes == 2 { 1..2 } else { 0..examples.classes };
        let machine = |class: usize| {
            let signs =
                examples.labels.iter().map(|&label| if label == class { 1.0 } else { -1.0 }).collect();
            let problem = Problem { rows: &rows, signs, cost };
            let start = vec![0.0; features.width() + 1];
            let found = minimise(start, Absolute::NONE, tolerance, iterations, |at, gradient| {
                problem.loss(at, gradient)
            });
            // Every value meets the weights twice: in the score, and in the gradient.
            multiply_adds += found.evaluations * 2 * rows.values.len() as u64;
            found.point
        };
        let machines = classes.map(machine).collect();
        Fitted { classes: examples.classes, features, machines, multiply_adds }
    }
}

/// What one machine minimises, by its weights and then its intercept.
struct Problem<'a> {
    rows: &'a SparseRows,
    /// 1 for the class, -1 for the rest.
    signs: Vec<f64>,
    cost: f64,
}

impl Problem<'_> {
    fn loss(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.copy_from_slice(weights);
        let mut total = 0.5 * weights.iter().map(|weight| weight * weight).sum::<f64>();
        for (row, &sign) in self.signs.iter().enumerate() {
            let short = 1.0 - sign * score(self.rows, row, weights);
            if short <= 0.0 {
                continue;
            }
            total += self.cost * short * short;
            let slope = -2.0 * self.cost * short * sign;
            for (feature, value) in self.rows.row(row) {
                gradient[feature] += slope * value;
            }
            gradient[weights.len() - 1] += slope;
        }
        total
    }
}

/// w x + b of an example.
fn score(rows: &SparseRows, row: usize, weights: &[f64]) -> f64 {
    weights[weights.len() - 1] + rows.row(row).map(|(feature, value)| value * weights[feature]).sum::<f64>()
}

impl Learner for SupportVectorMachine {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        if data.interface().loss == LossKind::Density {
            return Err(LearnError::Unsuitable { model: NAME, reason: NOTHING_TO_ANSWER.to_owned() });
        }
        let fitted = self.separate(&Examples::of(data, NAME)?);
        let multiply_adds = fitted.multiply_adds;
        Ok(Fit { multiply_adds, ..fit_without_updates(Box::new(fitted), data, run) })
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        // The examples, and what is remembered of some twenty steps.
        3 * crate::examples::bytes(data) + validation_bytes(data)
    }
}

/// Fitted machines.
#[derive(Clone, Debug)]
struct Fitted {
    classes: usize,
    features: Features,
    /// Weights and intercept of each.
    machines: Vec<Vec<f64>>,
    multiply_adds: u64,
}

impl Predictor for Fitted {
    fn predict(&self, batch: &Batch) -> Predictions {
        let rows = self.features.rows(batch);
        let of_row = |row: usize| {
            let mut scores: Vec<f64> =
                self.machines.iter().map(|weights| score(&rows, row, weights)).collect();
            if self.classes == 2 {
                scores.insert(0, 0.0);
            }
            log_normalised(scores)
        };
        let mut answers = (0..rows.len()).map(of_row);
        predictions(batch, self.classes, |_| answers.next().unwrap_or_default())
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.machines.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use sequence::Column;

    use super::*;
    use crate::examples::{ExampleInputs, Rows};

    fn examples(values: Vec<f64>, labels: Vec<usize>) -> Examples {
        let columns = vec![Column::Category { levels: 2 }, Column::Real];
        Examples { inputs: ExampleInputs::Rows(Rows { width: 2, values }), columns, labels, classes: 2 }
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let mut rows = SparseRows::new();
        for row in [[1.0, 0.0, 2.0], [0.0, -1.0, 0.5], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]] {
            rows.push(row.into_iter().enumerate());
        }
        let problem = Problem { rows: &rows, signs: vec![1.0, -1.0, 1.0, -1.0], cost: 0.7 };
        let weights = [0.3, -0.2, 0.5, 0.1];
        let mut gradient = [0.0; 4];
        problem.loss(&weights, &mut gradient);
        for index in 0..4 {
            let at = |step: f64| {
                let mut moved = weights;
                moved[index] += step;
                problem.loss(&moved, &mut [0.0; 4])
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((difference - gradient[index]).abs() < 1e-9, "{index}: {difference} {gradient:?}");
        }
    }

    #[test]
    fn an_example_far_on_its_own_side_does_not_move_the_boundary() {
        // Features as they are, without a scale that the far example would change.
        let mut near = SparseRows::new();
        let mut far = SparseRows::new();
        for (index, row) in
            [[-1.0, 0.2], [-1.2, -0.3], [1.1, 0.1], [1.0, -0.4], [9.0, 3.0]].into_iter().enumerate()
        {
            near.push(row.into_iter().enumerate());
            let row = if index == 4 { [900.0, 300.0] } else { row };
            far.push(row.into_iter().enumerate());
        }
        let separate = |rows: &SparseRows| {
            let problem = Problem { rows, signs: vec![-1.0, -1.0, 1.0, 1.0, 1.0], cost: 10.0 };
            minimise(vec![0.0; 3], Absolute::NONE, 1e-9, 1000, |at, gradient| problem.loss(at, gradient))
                .point
        };
        let (one, other) = (separate(&near), separate(&far));
        for (a, b) in one.iter().zip(&other) {
            assert!((a - b).abs() < 1e-7, "{one:?} {other:?}");
        }
        assert!(score(&near, 2, &one) > 0.9 && score(&near, 0, &one) < -0.9, "{one:?}");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config: SupportVectorMachineConfig| config.learner().err().unwrap().to_string();
        let standard = SupportVectorMachineConfig::default();
        assert!(refusal(SupportVectorMachineConfig { cost: 0.0, ..standard }).contains("`cost` is 0"));
        assert!(
            refusal(SupportVectorMachineConfig { tolerance: -1.0, ..standard }).contains("`tolerance` is -1")
        );
        assert!(
            refusal(SupportVectorMachineConfig { iterations: 0, ..standard }).contains("`iterations` is 0")
        );
        let dropping = SupportVectorMachineConfig { missing: Missing::CompleteCases, ..standard };
        assert!(refusal(dropping).contains("complete-cases"));
        // One example a class is enough.
        let fitted = SupportVectorMachine { config: standard }
            .separate(&examples(vec![0.0, -1.0, 1.0, 1.0], vec![0, 1]));
        assert_eq!((fitted.machines.len(), fitted.total_parameters()), (1, 4));
    }
}
