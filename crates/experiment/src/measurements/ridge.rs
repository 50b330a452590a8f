//! Linear regression with a ridge, for probes.
//!
//! ```text
//! w = (X' X / n + r I)^-1 X' y / n,   X [n, values], y [n]
//! ```
//!
//! Solved by Cholesky's factorisation in double precision (Golub and Van Loan 2013, section 4.2).

/// The sums that the weights are computed of.
pub(super) struct Ridge {
    size: usize,
    count: f64,
    /// X' X, [size, size].
    products: Vec<f64>,
    /// X' y.
    targets: Vec<f64>,
}

impl Ridge {
    pub(super) fn new(size: usize) -> Self {
        Self { size, count: 0.0, products: vec![0.0; size * size], targets: vec![0.0; size] }
    }

    /// One example.
    pub(super) fn add(&mut self, values: &[f64], target: f64) {
        for (row, a) in values.iter().enumerate() {
            for (product, b) in self.products[row * self.size..].iter_mut().zip(values) {
                *product += a * b;
            }
            self.targets[row] += a * target;
        }
        self.count += 1.0;
    }

    /// The weights with this ridge, which is more than 0, so that they exist.
    pub(super) fn solve(mut self, ridge: f64) -> Vec<f64> {
        let (size, count) = (self.size, self.count.max(1.0));
        self.products.iter_mut().chain(&mut self.targets).for_each(|sum| *sum /= count);
        let a = &mut self.products;
        for row in 0..size {
            a[row * size + row] += ridge;
            for column in 0..=row {
                let known: f64 = (0..column).map(|k| a[row * size + k] * a[column * size + k]).sum();
                let rest = a[row * size + column] - known;
                a[row * size + column] = if row == column {
                    rest.max(f64::MIN_POSITIVE).sqrt()
                } else {
                    rest / a[column * size + column]
                };
            }
        }
        let mut weights = self.targets;
        for row in 0..size {
            let known: f64 = (0..row).map(|k| a[row * size + k] * weights[k]).sum();
            weights[row] = (weights[row] - known) / a[row * size + row];
        }
        for row in (0..size).rev() {
            let known: f64 = (row + 1..size).map(|k| a[k * size + row] * weights[k]).sum();
            weights[row] = (weights[row] - known) / a[row * size + row];
        }
        weights
    }
}

/// What the weights make of an example.
pub(super) fn predicted(weights: &[f64], values: &[f64]) -> f64 {
    weights.iter().zip(values).map(|(weight, value)| weight * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_line_is_found_and_a_ridge_shrinks_it() {
        let examples: Vec<[f64; 3]> =
            (0..20).map(|i| [f64::from(i).sin(), f64::from(i * i % 7), 1.0]).collect();
        let truth = [2.0, -0.5, 3.0];
        let fitted = |ridge: f64| {
            let mut sums = Ridge::new(3);
            for example in &examples {
                sums.add(example, predicted(&truth, example));
            }
            sums.solve(ridge)
        };
        for (weight, exact) in fitted(1e-12).iter().zip(truth) {
            assert!((weight - exact).abs() < 1e-8, "{weight} {exact}");
        }
        // By hand: one value, always 1, target 1: w = 1 / (1 + r).
        let mut one = Ridge::new(1);
        one.add(&[1.0], 1.0);
        assert!((one.solve(0.25)[0] - 0.8).abs() < 1e-12);
    }

    #[test]
    fn values_that_repeat_each_other_are_no_obstacle() {
        let mut sums = Ridge::new(2);
        for target in [1.0, 2.0] {
            sums.add(&[target, target], target);
        }
        let weights = sums.solve(1e-9);
        assert!((weights[0] - 0.5).abs() < 1e-6 && (weights[1] - 0.5).abs() < 1e-6, "{weights:?}");
    }
}
