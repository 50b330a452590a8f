//! Least squares with a small ridge: what polynomials, random features and linear regression share.
//!
//! ```text
//! f(x) = sum_j w_j phi_j(x),   w least of |y - Phi w|^2 + r |w|^2,   Phi [n, p]
//! ```
//!
//! With fewer functions than points w = (Phi' Phi + r I)^-1 Phi' y, otherwise w = Phi' (Phi Phi' + r I)^-1 y, the same by
//! algebra. As r goes to 0 this is least squares, and where the points can be passed through exactly, of all such w the
//! shortest. r is never quite 0: a billionth of the mean square of a row keeps the equations solvable.

use sequence::{
    Batch, Dataset, Fit, InputKind, Inputs, LearnError, LossKind, Predictions, Predictor, Run, Targets,
};

use crate::cholesky::Cholesky;
use crate::floors::{fit_without_updates, validation_bytes};

/// Of the mean diagonal entry, what is added to it at least.
const SMALLEST_RIDGE: f64 = 1e-9;

/// # Errors
/// When the ridge is negative or no number.
pub(crate) fn check(model: &'static str, ridge: f64) -> Result<(), LearnError> {
    if ridge.is_finite() && ridge >= 0.0 {
        return Ok(());
    }
    Err(LearnError::Setting { model, reason: format!("`ridge` is {ridge}, it must be 0 or more") })
}

/// Functions of one number.
pub(crate) trait Basis: Clone + 'static {
    /// The value of each function.
    fn functions(&self, x: f64) -> Vec<f64>;
}

/// Points of a training set.
pub(crate) struct Points {
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
}

impl Points {
    /// The training set of a regression on one number.
    ///
    /// # Errors
    /// When the task is another one.
    pub(crate) fn of(data: &Dataset, model: &'static str) -> Result<Self, LearnError> {
        let unsuitable = |reason: &str| LearnError::Unsuitable { model, reason: reason.to_owned() };
        let interface = data.interface();
        let one_number = interface.inputs == InputKind::Features { width: 1 } && interface.maximum_time == 1;
        if interface.loss != LossKind::MeanSquaredError || !one_number {
            return Err(unsuitable(
                "it predicts a value from one number, and this task asks for something else",
            ));
        }
        let batches = data.training_set().ok_or_else(|| {
            unsuitable("it fits all points at once, and this task is an endless stream of them")
        })?;
        let mut points = Self { x: Vec::new(), y: Vec::new() };
        for batch in &batches {
            points.x.extend(places(batch));
            if let Targets::Values(values) = &batch.targets {
                points.y.extend(values.iter().copied().map(f64::from));
            }
        }
        Ok(points)
    }
}

fn places(batch: &Batch) -> impl Iterator<Item = f64> {
    let values = match &batch.inputs {
        Inputs::Features { values, .. } => values.as_slice(),
        Inputs::Tokens(_) => &[],
    };
    values.iter().copied().map(f64::from)
}

/// Fits the weights of `basis`; `ridge` is a multiple of the number of points.
pub(crate) fn fit<B: Basis>(basis: B, points: &Points, ridge: f64, data: &Dataset, run: &mut Run) -> Fit {
    let weights = weights(&basis, points, ridge);
    let size = points.x.len().min(weights.len()) as u64;
    // The products of rows or of columns, whichever are fewer; the factor is counted with them.
    let multiply_adds = size * size * (points.x.len().max(weights.len()) as u64) + size * size * size / 6;
    Fit { multiply_adds, ..fit_without_updates(Box::new(Line { basis, weights }), data, run) }
}

fn weights<B: Basis>(basis: &B, points: &Points, penalty: f64) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = points.x.iter().map(|&x| basis.functions(x)).collect();
    ridge(&rows, &points.y, penalty)
}

/// The weights of rows [n, p] that are least of |y - Phi w|^2 + n r |w|^2.
pub(crate) fn ridge(rows: &[Vec<f64>], y: &[f64], ridge: f64) -> Vec<f64> {
    let (n, p) = (rows.len(), rows.first().map_or(0, Vec::len));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let against_points = |of_points: &[f64]| -> Vec<f64> {
        (0..p).map(|j| rows.iter().zip(of_points).map(|(row, value)| row[j] * value).sum()).collect()
    };
    let dual = p > n;
    let size = if dual { n } else { p };
    let mut products = vec![0.0; size * size];
    for a in 0..size {
        for b in 0..=a {
            products[a * size + b] =
                if dual { dot(&rows[a], &rows[b]) } else { rows.iter().map(|row| row[a] * row[b]).sum() };
        }
    }
    let trace: f64 = (0..size).map(|entry| products[entry * (size + 1)]).sum();
    let mut added = (ridge * n as f64).max(SMALLEST_RIDGE * trace / size.max(1) as f64);
    loop {
        let mut penalised = products.clone();
        (0..size).for_each(|entry| penalised[entry * (size + 1)] += added);
        let Some(factor) = Cholesky::of(&penalised, size) else {
            // Rounding made it singular: more of the ridge mends that.
            added *= 10.0;
            if !added.is_finite() || added == 0.0 {
                return vec![0.0; p];
            }
            continue;
        };
        let mut solution = if dual { y.to_vec() } else { against_points(y) };
        factor.solve(&mut solution);
        return if dual { against_points(&solution) } else { solution };
    }
}

/// Bytes of fitting.
pub(crate) fn bytes(data: &Dataset, functions: usize) -> u64 {
    let points: usize = data.training_set().iter().flatten().map(|batch| batch.size).sum();
    (8 * (points * functions + 2 * points.min(functions).pow(2))) as u64 + validation_bytes(data)
}

/// A fitted function.
struct Line<B> {
    basis: B,
    weights: Vec<f64>,
}

impl<B: Basis> Predictor for Line<B> {
    #[expect(clippy::cast_possible_truncation, reason = "predictions are f32")]
    fn predict(&self, batch: &Batch) -> Predictions {
        let value = |x| {
            self.basis
                .functions(x)
                .iter()
                .zip(&self.weights)
                .map(|(value, weight)| value * weight)
                .sum::<f64>() as f32
        };
        Predictions { outputs: 1, values: places(batch).map(value).collect() }
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.weights.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1, x, x^2.
    #[derive(Clone)]
    struct Quadratic;

    impl Basis for Quadratic {
        fn functions(&self, x: f64) -> Vec<f64> {
            vec![1.0, x, x * x]
        }
    }

    fn of(x: &[f64], y: &[f64], ridge: f64) -> Vec<f64> {
        weights(&Quadratic, &Points { x: x.to_vec(), y: y.to_vec() }, ridge)
    }

    #[test]
    fn a_parabola_is_found() {
        let x = [-2.0, -1.0, 0.0, 1.0, 2.0];
        let y = x.map(|x| 3.0 - 2.0 * x + 0.5 * x * x);
        for (weight, exact) in of(&x, &y, 0.0).iter().zip([3.0, -2.0, 0.5]) {
            assert!((weight - exact).abs() < 1e-6, "{weight} {exact}");
        }
    }

    #[test]
    fn of_many_curves_through_the_points_it_is_the_shortest() {
        // One point (1, 3) and three functions, all 1 there: by hand w = (1, 1, 1).
        for weight in of(&[1.0], &[3.0], 0.0) {
            assert!((weight - 1.0).abs() < 1e-6, "{weight}");
        }
        // With a ridge of 3 times one point: w = 3 / (3 + 3) of each.
        for weight in of(&[1.0], &[3.0], 3.0) {
            assert!((weight - 0.5).abs() < 1e-9, "{weight}");
        }
    }

    #[test]
    fn a_ridge_is_that_of_numpy() {
        // By numpy:
        // numpy.linalg.solve(P.T @ P + 0.3 * numpy.eye(3), P.T @ y), P of x = 0, 1, 2 and y = 1, 0, 2, ridge 0.1 a point.
        let expected = [0.495_988_756_807, -0.582_069_450_138, 0.621_889_090_590];
        for (weight, exact) in of(&[0.0, 1.0, 2.0], &[1.0, 0.0, 2.0], 0.1).iter().zip(expected) {
            assert!((weight - exact).abs() < 1e-9, "{weight} {exact}");
        }
    }
}
