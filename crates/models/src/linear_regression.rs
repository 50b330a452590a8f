//! Linear regression with a penalty: a value from a weighted sum of features, the weights kept small.
//!
//! ```text
//! least of  |y - b - X w|^2 / 2n  +  l1 |w|_1  +  l2 |w|^2 / 2,   X [n, p]
//! ```
//!
//! `l1` alone is the lasso (Tibshirani 1996), `l2` alone ridge regression (Hoerl and Kennard 1970), both the elastic net (Zou and Hastie
//! 2005), neither least squares, of which the shortest where there are more features than examples. The intercept b is not penalised. Without
//! `l1` the equations are solved at once; with it each weight in turn is put where it is best given the others, which is exactly 0 where
//! its correlation with what is left unexplained is at most `l1` (coordinate descent; Friedman, Hastie and Tibshirani 2010).

use sequence::{
    Batch, Column, Dataset, Fit, InputKind, LearnError, Learner, LossKind, Predictions, Predictor, Run,
    Targets,
};
use serde::{Deserialize, Serialize};

use crate::examples::values;
use crate::floors::{fit_without_updates, validation_bytes};
use crate::least_squares::ridge;
use crate::{Counting, Reads};

const NAME: &str = "linear-regression";

/// Rounds over all weights at most, and the change of a prediction, in deviations of the target, at which they end.
const ROUNDS: usize = 100_000;
const CHANGE: f64 = 1e-9;

/// Settings of linear regression.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct LinearRegressionConfig {
    /// Penalty on the absolute weights.
    l1: f64,
    /// Penalty on the squared weights.
    l2: f64,
}

impl Default for LinearRegressionConfig {
    fn default() -> Self {
        Self { l1: 0.0, l2: 0.0 }
    }
}

impl Counting for LinearRegressionConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "linear regression: a weighted sum of features, by least squares with a penalty (lasso, ridge)";
    const CITATION: &'static str = "Hoerl and Kennard 1970; Tibshirani 1996";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::TrainingSet;

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        for (name, value) in [("l1", self.l1), ("l2", self.l2)] {
            if !(value.is_finite() && value >= 0.0) {
                let reason = format!("`{name}` is {value}, it must be 0 or more");
                return Err(LearnError::Setting { model: NAME, reason });
            }
        }
        Ok(Box::new(LinearRegression { config: self }))
    }
}

struct LinearRegression {
    config: LinearRegressionConfig,
}

/// A training set, row-major.
struct Points {
    width: usize,
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Points {
    fn of(data: &Dataset) -> Result<Self, LearnError> {
        let unsuitable = |reason: &str| LearnError::Unsuitable { model: NAME, reason: reason.to_owned() };
        let interface = data.interface();
        let InputKind::Features { width } = interface.inputs else {
            return Err(unsuitable("it reads real numbers, and this task has symbols"));
        };
        if interface.loss != LossKind::MeanSquaredError || interface.maximum_time != 1 {
            return Err(unsuitable(
                "it predicts one value from one row, and this task asks for something else",
            ));
        }
        if data.columns().iter().any(|column| *column != Column::Real) {
            return Err(unsuitable("it reads real numbers, and this task has categories"));
        }
        let batches = data.training_set().ok_or_else(|| {
            unsuitable("it fits all examples at once, and this task is an endless stream of them")
        })?;
        let mut points = Self { width, x: Vec::new(), y: Vec::new() };
        for batch in &batches {
            points.x.extend(values(batch));
            if let Targets::Values(values) = &batch.targets {
                points.y.extend(values.iter().copied().map(f64::from));
            }
        }
        if points.x.iter().any(|value| value.is_nan()) {
            return Err(unsuitable("it needs every value, and this task has missing ones"));
        }
        Ok(points)
    }

    /// Features and targets less their means, and these.
    fn centred(&self) -> (Vec<Vec<f64>>, Vec<f64>, Vec<f64>, f64) {
        let n = self.y.len().max(1) as f64;
        let mut means = vec![0.0; self.width];
        for row in self.x.chunks_exact(self.width) {
            means.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / n);
        }
        let target = self.y.iter().sum::<f64>() / n;
        let off = |row: &[f64]| row.iter().zip(&means).map(|(value, mean)| value - mean).collect();
        let rows = self.x.chunks_exact(self.width).map(off).collect();
        (rows, self.y.iter().map(|value| value - target).collect(), means, target)
    }
}

/// The weights, and the intercept.
fn fitted(points: &Points, config: LinearRegressionConfig) -> Line {
    let (rows, y, means, target) = points.centred();
    let weights =
        if config.l1 > 0.0 { coordinate_descent(&rows, &y, config) } else { ridge(&rows, &y, config.l2) };
    let intercept = target - dot(&weights, &means);
    Line { weights, intercept }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn coordinate_descent(rows: &[Vec<f64>], y: &[f64], config: LinearRegressionConfig) -> Vec<f64> {
    let n = y.len() as f64;
    let width = rows.first().map_or(0, Vec::len);
    let columns: Vec<Vec<f64>> =
        (0..width).map(|column| rows.iter().map(|row| row[column]).collect()).collect();
    let squares: Vec<f64> = columns.iter().map(|column| dot(column, column) / n).collect();
    let enough = CHANGE * (dot(y, y) / n).sqrt();
    let mut weights = vec![0.0; width];
    let mut left = y.to_vec();
    // Weights that are 0 mostly stay 0: rounds over the others in between save most of the work.
    let mut all = true;
    for _ in 0..ROUNDS {
        let mut largest = 0.0_f64;
        for (column, (weight, square)) in columns.iter().zip(weights.iter_mut().zip(&squares)) {
            if *square == 0.0 || (!all && *weight == 0.0) {
                continue;
            }
            let pull = dot(column, &left) / n + square * *weight;
            let new = pull.signum() * (pull.abs() - config.l1).max(0.0) / (square + config.l2);
            let change = new - *weight;
            if change != 0.0 {
                left.iter_mut().zip(column).for_each(|(left, value)| *left -= change * value);
                *weight = new;
                largest = largest.max(change.abs() * square.sqrt());
            }
        }
        match (largest <= enough, all) {
            (true, true) => break,
            (settled, _) => all = settled,
        }
    }
    weights
}

impl Learner for LinearRegression {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let points = Points::of(data)?;
        let (n, p) = (points.y.len() as u64, points.width as u64);
        let line = fitted(&points, self.config);
        // The products of rows or of columns, whichever are fewer.
        let multiply_adds = n.min(p) * n * p;
        Ok(Fit { multiply_adds, ..fit_without_updates(Box::new(line), data, run) })
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        let examples: usize = data.training_set().iter().flatten().map(|batch| batch.size).sum();
        let InputKind::Features { width } = data.interface().inputs else { return validation_bytes(data) };
        (8 * (4 * examples * width + 3 * examples.min(width).pow(2))) as u64 + validation_bytes(data)
    }
}

#[derive(Clone, Debug)]
struct Line {
    weights: Vec<f64>,
    intercept: f64,
}

impl Predictor for Line {
    #[expect(clippy::cast_possible_truncation, reason = "predictions are f32")]
    fn predict(&self, batch: &Batch) -> Predictions {
        let values = values(batch);
        let value = |row: &[f64]| (self.intercept + dot(&self.weights, row)) as f32;
        Predictions {
            outputs: 1,
            values: values.chunks_exact(self.weights.len().max(1)).map(value).collect(),
        }
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.weights.len() + 1
    }

    #[expect(clippy::cast_possible_truncation, reason = "weights are given in f32")]
    fn weights(&self) -> Vec<(String, Vec<f32>)> {
        vec![("weights".to_owned(), self.weights.iter().map(|weight| *weight as f32).collect())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(width: usize, x: &[f64], y: &[f64], l1: f64, l2: f64) -> Line {
        fitted(&Points { width, x: x.to_vec(), y: y.to_vec() }, LinearRegressionConfig { l1, l2 })
    }

    #[test]
    fn a_line_is_found_with_its_intercept() {
        let line = of(1, &[0.0, 1.0, 2.0], &[1.0, 3.0, 5.0], 0.0, 0.0);
        assert!((line.weights[0] - 2.0).abs() < 1e-6 && (line.intercept - 1.0).abs() < 1e-6, "{line:?}");
    }

    #[test]
    fn one_feature_is_shrunk_as_by_hand() {
        // x = -1, 1 and y = 2x + 5: mean of x^2 is 1, of xy 2. By hand: l1 takes off 0.5, l2 divides by 1 + 1, both do both.
        let (x, y) = ([-1.0, 1.0], [3.0, 7.0]);
        for (l1, l2, weight) in
            [(0.5, 0.0, 1.5), (0.0, 1.0, 1.0), (0.5, 1.0, 0.75), (2.0, 0.0, 0.0), (3.0, 0.0, 0.0)]
        {
            let line = of(1, &x, &y, l1, l2);
            assert!((line.weights[0] - weight).abs() < 1e-9, "{l1} {l2}: {line:?}");
            assert!((line.intercept - 5.0).abs() < 1e-9, "{line:?}");
        }
        // Exactly 0, not nearly.
        assert_eq!(of(1, &x, &y, 2.5, 0.0).weights[0].abs(), 0.0);
    }

    #[test]
    fn a_column_that_never_changes_has_no_weight() {
        let line = of(2, &[-1.0, 4.0, 1.0, 4.0], &[-1.0, 1.0], 0.1, 0.0);
        assert!((line.weights[0] - 0.9).abs() < 1e-9 && line.weights[1] == 0.0, "{line:?}");
    }

    #[test]
    fn weights_are_those_of_scikit_learn() {
        // From `fixtures/penalties.py`.
        let cases: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../fixtures/penalties.json")).unwrap();
        assert_eq!(cases.len(), 9);
        for (index, case) in cases.iter().enumerate() {
            let flat = |key: &str| -> Vec<f64> { serde_json::from_value(case[key].clone()).unwrap() };
            let number = |key: &str| case[key].as_f64().unwrap();
            let theirs = flat("weights");
            let line = of(theirs.len(), &flat("training"), &flat("targets"), number("l1"), number("l2"));
            for (place, (ours, theirs)) in line.weights.iter().zip(&theirs).enumerate() {
                assert!((ours - theirs).abs() < 1e-4, "case {index}, {place}: {ours}, theirs {theirs}");
                // The same ones are exactly 0.
                assert_eq!(*ours == 0.0, *theirs == 0.0, "case {index}, {place}: {ours}, theirs {theirs}");
            }
            assert!((line.intercept - number("intercept")).abs() < 1e-4, "case {index}: {line:?}");
        }
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let refusal = |l1, l2| LinearRegressionConfig { l1, l2 }.learner().err().unwrap().to_string();
        assert!(refusal(-1.0, 0.0).contains("`l1` is -1"));
        assert!(refusal(0.0, f64::NAN).contains("`l2` is NaN"));
    }
}
