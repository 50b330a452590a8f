//! Polynomial regression: a value from the powers of a number, by least squares.
//!
//! ```text
//! f(x) = sum_{j=0}^{degree} w_j P_j(2 (x - low) / (high - low) - 1)
//! ```
//!
//! P are the Legendre polynomials, of which each follows from the two before it (`Legendre::functions`): the same curves as those of plain powers, but
//! equations that double precision can solve. low and high are the ends of the training points.

use sequence::{Dataset, Fit, LearnError, Learner, Run};
use serde::{Deserialize, Serialize};

use crate::least_squares::{self, Basis, Points};
use crate::{Counting, Reads};

const NAME: &str = "polynomial-regression";
const MAXIMUM_DEGREE: usize = 100;

/// Settings of polynomial regression.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct PolynomialRegressionConfig {
    /// The highest power.
    degree: usize,
    /// Penalty on the squared weights, a point.
    ridge: f64,
}

impl Default for PolynomialRegressionConfig {
    fn default() -> Self {
        Self { degree: 3, ridge: 0.0 }
    }
}

impl Counting for PolynomialRegressionConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "polynomial regression: a value from the powers of a number, by least squares";
    const CITATION: &'static str = "Gergonne 1815; Hoerl and Kennard 1970";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::TrainingSet;

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        if self.degree > MAXIMUM_DEGREE {
            let reason = format!("`degree` is {}, it must be {MAXIMUM_DEGREE} or less", self.degree);
            return Err(LearnError::Setting { model: NAME, reason });
        }
        least_squares::check(NAME, self.ridge)?;
        Ok(Box::new(PolynomialRegression { config: self }))
    }
}

struct PolynomialRegression {
    config: PolynomialRegressionConfig,
}

#[derive(Clone, Debug)]
struct Legendre {
    degree: usize,
    low: f64,
    high: f64,
}

impl Basis for Legendre {
    fn functions(&self, x: f64) -> Vec<f64> {
        let span = self.high - self.low;
        let t = if span > 0.0 { 2.0 * (x - self.low) / span - 1.0 } else { 0.0 };
        let mut values = vec![1.0, t];
        for j in 2..=self.degree {
            let order = j as f64;
            values.push(((2.0 * order - 1.0) * t * values[j - 1] - (order - 1.0) * values[j - 2]) / order);
        }
        values.truncate(self.degree + 1);
        values
    }
}

impl Learner for PolynomialRegression {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let points = Points::of(data, NAME)?;
        let low = points.x.iter().copied().fold(f64::INFINITY, f64::min);
        let high = points.x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let basis = Legendre { degree: self.config.degree, low, high };
        Ok(least_squares::fit(basis, &points, self.config.ridge, data, run))
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        least_squares::bytes(data, self.config.degree + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_are_those_of_legendre() {
        let of = |degree, x| Legendre { degree, low: -1.0, high: 1.0 }.functions(x);
        // By hand: P_2(0.5) = (3 / 4 - 1) / 2, P_3(0.5) = (5 / 8 - 3 / 2) / 2.
        assert_eq!(of(3, 0.5), [1.0, 0.5, -0.125, -0.4375]);
        assert_eq!(of(0, 0.5), [1.0]);
        assert_eq!(Legendre { degree: 1, low: 2.0, high: 4.0 }.functions(4.0), [1.0, 1.0]);
        assert_eq!(Legendre { degree: 1, low: 2.0, high: 2.0 }.functions(2.0), [1.0, 0.0]);
    }
}
