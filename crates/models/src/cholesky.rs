//! Systems of linear equations with a symmetric positive definite matrix, by its factor: A = L L' (Golub and Van Loan 2013, 4.2).

/// The lower triangle L, row-major `[size, size]`; above the diagonal are zeros.
#[derive(Clone, Debug)]
pub(crate) struct Cholesky {
    size: usize,
    lower: Vec<f64>,
}

impl Cholesky {
    /// The factor of a matrix `[size, size]`, of which the lower triangle is read; `None` if it is not positive definite.
    pub(crate) fn of(matrix: &[f64], size: usize) -> Option<Self> {
        let mut lower = vec![0.0; size * size];
        for row in 0..size {
            for column in 0..=row {
                let known: f64 = (0..column).map(|k| lower[row * size + k] * lower[column * size + k]).sum();
                let rest = matrix[row * size + column] - known;
                lower[row * size + column] = if row > column {
                    rest / lower[column * size + column]
                } else if rest > 0.0 {
                    rest.sqrt()
                } else {
                    return None;
                };
            }
        }
        Some(Self { size, lower })
    }

    /// Solves L z = b in place, so that z' z = b' A^-1 b.
    pub(crate) fn forward(&self, b: &mut [f64]) {
        for row in 0..self.size {
            let known: f64 = (0..row).map(|k| self.lower[row * self.size + k] * b[k]).sum();
            b[row] = (b[row] - known) / self.lower[row * self.size + row];
        }
    }

    /// Solves A x = b in place.
    pub(crate) fn solve(&self, b: &mut [f64]) {
        self.forward(b);
        for row in (0..self.size).rev() {
            let known: f64 = (row + 1..self.size).map(|k| self.lower[k * self.size + row] * b[k]).sum();
            b[row] = (b[row] - known) / self.lower[row * self.size + row];
        }
    }

    /// L z: values of covariance A, if those of z are independent and of variance 1.
    pub(crate) fn times(&self, z: &[f64]) -> Vec<f64> {
        (0..self.size).map(|row| (0..=row).map(|k| self.lower[row * self.size + k] * z[k]).sum()).collect()
    }

    /// The natural logarithm of the determinant of A.
    pub(crate) fn log_determinant(&self) -> f64 {
        (0..self.size).map(|row| 2.0 * self.lower[row * self.size + row].ln()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        // By hand: [4 2; 2 5] has determinant 16 and inverse [5 -2; -2 4] / 16.
        let factor = Cholesky::of(&[4.0, 2.0, 2.0, 5.0], 2).unwrap();
        let mut x = [8.0, 4.0];
        factor.solve(&mut x);
        assert!((x[0] - 2.0).abs() < 1e-12 && x[1].abs() < 1e-12, "{x:?}");
        assert!((factor.log_determinant() - 16.0_f64.ln()).abs() < 1e-12);
        let mut z = [8.0, 4.0];
        factor.forward(&mut z);
        // b' A^-1 b = 8 * 2 + 4 * 0.
        assert!((z[0] * z[0] + z[1] * z[1] - 16.0).abs() < 1e-12);
        // L is [2 0; 1 2].
        assert_eq!(factor.times(&[1.0, 3.0]), [2.0, 7.0]);
        assert!(Cholesky::of(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
        assert_eq!(Cholesky::of(&[], 0).unwrap().log_determinant(), 0.0);
    }
}
