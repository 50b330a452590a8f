//! Probabilistic principal component analysis: examples are a linear map of fewer normal factors, with the same noise in every column (Tipping and Bishop 1999).
//!
//! ```text
//! x = W z + m + e,    z ~ N(0, I) [components],    e ~ N(0, s^2 I) [width],    so that x ~ N(m, C) with C = W W' + s^2 I
//! ```
//!
//! The likelihood is largest where W spans the principal directions: with eigenvalues `l_j` and eigenvectors `u_j` of the covariance (divisor n), `s^2` is the mean of the
//! eigenvalues that are not kept, and column j of W is `sqrt(l_j - s^2) u_j`. That is the closed form. Expectation maximisation comes to
//! the same span from a random start, knowing nothing of eigenvectors: with S the covariance and M = W' W + s^2 I,
//!
//! ```text
//! W~ = S W (s^2 M + W' S W)^-1 M,    s~^2 = trace(S - S W M^-1 W~') / width
//! ```
//!
//! With a distribution come a density, new examples, and missing values: their expectation given the others.

use sequence::{
    Batch, Dataset, Fit, Generative, LearnError, Learner, LogDensities, Predictions, Predictor, Random, Run,
    Samples, Stream,
};
use serde::{Deserialize, Serialize};

use crate::cholesky::Cholesky;
use crate::examples::{Rows, predictions, sampled, values};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::pca::{Principal, check, orthonormal, reducible};
use crate::{Counting, Offers, Reads};

const NAME: &str = "probabilistic-pca";

/// Iterations of expectation maximisation at most, and the change of W relative to its largest entry at which it ends.
const ITERATIONS: usize = 100_000;
const CHANGE: f64 = 1e-13;
/// Of the mean variance, the least noise: without any the density of a training set on a plane would be infinite.
const LEAST_NOISE: f64 = 1e-12;

/// Settings of probabilistic principal component analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ProbabilisticPcaConfig {
    /// Factors.
    pub(crate) components: usize,
    /// How the likelihood is maximised.
    pub(crate) fit: Way,
}

impl Default for ProbabilisticPcaConfig {
    fn default() -> Self {
        Self { components: 1, fit: Way::ClosedForm }
    }
}

/// How the likelihood is maximised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// By eigenvectors.
    ClosedForm,
    /// Step by step from a random start.
    ExpectationMaximisation,
}

impl Counting for ProbabilisticPcaConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "probabilistic principal component analysis: a linear map of fewer normal factors, and noise";
    const CITATION: &'static str = "Tipping and Bishop 1999";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::Examples;
    const OFFERS: Offers =
        Offers { log_density: true, samples: true, completes: true, directions: true, ..Offers::NOTHING };

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        check(NAME, self.components)?;
        Ok(Box::new(ProbabilisticPca { config: self }))
    }
}

struct ProbabilisticPca {
    config: ProbabilisticPcaConfig,
}

impl Learner for ProbabilisticPca {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let rows = reducible(data, NAME, self.config.components)?;
        let multiply_adds = (rows.values.len() * rows.width) as u64;
        let mut random = Random::new(run.seed, Stream::Initialisation);
        let factors = self.config.fit(&rows, &mut random);
        Ok(Fit { multiply_adds, ..fit_without_updates(Box::new(factors), data, run) })
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        2 * crate::examples::bytes(data) + validation_bytes(data)
    }
}

impl ProbabilisticPcaConfig {
    pub(crate) fn fit(self, rows: &Rows, random: &mut Random) -> Factors {
        let (width, components) = (rows.width, self.components);
        match self.fit {
            Way::ClosedForm => {
                let Principal { mean, directions, variances } = Principal::of(rows, components);
                let (kept, others) = variances.split_at(components);
                let least = LEAST_NOISE * variances.iter().sum::<f64>() / width as f64;
                let noise = others.iter().sum::<f64>() / others.len() as f64;
                let noise = noise.max(least).max(f64::MIN_POSITIVE);
                let weights = directions.chunks_exact(width).zip(kept).flat_map(|(direction, variance)| {
                    let scale = (variance - noise).max(0.0).sqrt();
                    direction.iter().map(move |entry| scale * entry)
                });
                Factors::new(mean, &weights.collect::<Vec<f64>>(), noise, directions)
            }
            Way::ExpectationMaximisation => {
                let mean = rows.means();
                let covariance = rows.covariance(&mean);
                let (weights, noise) = maximised(&covariance, width, components, random);
                let directions = orthonormal(&weights, width);
                Factors::new(mean, &weights, noise, directions)
            }
        }
    }
}

/// The columns of W as rows, `[components, width]`, and the variance of the noise, by expectation maximisation.
fn maximised(covariance: &[f64], width: usize, components: usize, random: &mut Random) -> (Vec<f64>, f64) {
    let trace: f64 = covariance.iter().step_by(width + 1).sum();
    let least = (LEAST_NOISE * trace / width as f64).max(f64::MIN_POSITIVE);
    let mut noise = (trace / width as f64).max(least);
    let mut weights: Vec<f64> =
        (0..components * width).map(|_| f64::from(random.normal()) * noise.sqrt()).collect();
    for _ in 0..ITERATIONS {
        let spread = times(&weights, covariance, width); // W' S [components, width]
        let mut inner = products(&weights, &weights, width); // M [components, components]
        inner.iter_mut().step_by(components + 1).for_each(|entry| *entry += noise);
        let mut outer = products(&spread, &weights, width);
        outer.iter_mut().zip(&inner).for_each(|(entry, inner)| *entry += noise * inner);
        let (Some(outer), Some(factor)) =
            (Cholesky::of(&outer, components), Cholesky::of(&inner, components))
        else {
            break;
        };
        let mut next = vec![0.0; components * width];
        let mut explained = 0.0;
        for column in 0..width {
            let mut of_column: Vec<f64> = (0..components).map(|k| spread[k * width + column]).collect();
            let before = of_column.clone();
            outer.solve(&mut of_column);
            let mut row: Vec<f64> = (0..components)
                .map(|k| (0..components).map(|l| inner[k * components + l] * of_column[l]).sum())
                .collect();
            (0..components).for_each(|k| next[k * width + column] = row[k]);
            factor.solve(&mut row);
            explained += before.iter().zip(&row).map(|(a, b)| a * b).sum::<f64>();
        }
        let largest = next.iter().fold(0.0, |most: f64, entry| most.max(entry.abs()));
        let change =
            next.iter().zip(&weights).fold(0.0, |most: f64, (one, other)| most.max((one - other).abs()));
        noise = ((trace - explained) / width as f64).max(least);
        weights = next;
        if change <= CHANGE * largest {
            break;
        }
    }
    (weights, noise)
}

/// A B of rows `[rows, width]` and a matrix `[width, width]`.
fn times(rows: &[f64], matrix: &[f64], width: usize) -> Vec<f64> {
    let of_row = |row: &[f64]| -> Vec<f64> {
        (0..width).map(|column| (0..width).map(|k| row[k] * matrix[k * width + column]).sum()).collect()
    };
    rows.chunks_exact(width).flat_map(of_row).collect()
}

/// A B' of rows `[rows, width]` each.
fn products(one: &[f64], other: &[f64], width: usize) -> Vec<f64> {
    let of_pair = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
    one.chunks_exact(width).flat_map(|a| other.chunks_exact(width).map(move |b| of_pair(a, b))).collect()
}

/// Normal factors behind normal rows.
#[derive(Clone, Debug)]
pub(crate) struct Factors {
    mean: Vec<f64>,
    /// C, `[width, width]`.
    covariance: Vec<f64>,
    factor: Cholesky,
    directions: Vec<f64>,
}

impl Factors {
    /// `weights` are the columns of W as rows, `[components, width]`.
    fn new(mean: Vec<f64>, weights: &[f64], noise: f64, directions: Vec<f64>) -> Self {
        let width = mean.len();
        let mut covariance = vec![0.0; width * width];
        for row in weights.chunks_exact(width) {
            for (a, one) in row.iter().enumerate() {
                for (b, other) in row.iter().enumerate() {
                    covariance[a * width + b] += one * other;
                }
            }
        }
        covariance.iter_mut().step_by(width + 1).for_each(|variance| *variance += noise);
        let factor = Cholesky::of(&covariance, width).expect("noise makes the covariance positive definite");
        Self { mean, covariance, factor, directions }
    }

    /// The logarithm of the density of a row.
    pub(crate) fn log_density(&self, row: &[f64]) -> f64 {
        let mut off: Vec<f64> = row.iter().zip(&self.mean).map(|(value, mean)| value - mean).collect();
        self.factor.forward(&mut off);
        let constant = self.factor.log_determinant() + self.mean.len() as f64 * std::f64::consts::TAU.ln();
        -0.5 * (constant + off.iter().map(|entry| entry * entry).sum::<f64>())
    }

    /// A row with each missing value replaced by its expectation given the others: `m_a + C_ab C_bb^-1 (x_b - m_b)`.
    fn filled(&self, row: &[f64]) -> Vec<f64> {
        let width = self.mean.len();
        let known: Vec<usize> = (0..width).filter(|&column| !row[column].is_nan()).collect();
        let among = known.iter().flat_map(|a| known.iter().map(move |b| self.covariance[a * width + b]));
        let among = Cholesky::of(&among.collect::<Vec<f64>>(), known.len());
        let among = among.expect("a part of a positive definite matrix is one");
        let mut off: Vec<f64> = known.iter().map(|&column| row[column] - self.mean[column]).collect();
        among.solve(&mut off);
        let expected = |column: usize| {
            let shift = known.iter().zip(&off).map(|(b, off)| self.covariance[column * width + b] * off);
            self.mean[column] + shift.sum::<f64>()
        };
        (0..width).map(|column| if row[column].is_nan() { expected(column) } else { row[column] }).collect()
    }

    fn rows(&self, batch: &Batch) -> Rows {
        Rows { width: self.mean.len(), values: values(batch) }
    }
}

impl Predictor for Factors {
    fn predict(&self, batch: &Batch) -> Predictions {
        let rows = self.rows(batch);
        let mut densities = rows.iter().map(|row| self.log_density(row));
        predictions(batch, 1, |_| densities.next().into_iter().collect())
    }

    fn body_parameters(&self) -> usize {
        0
    }

    /// Mean, W and the noise.
    fn total_parameters(&self) -> usize {
        self.mean.len() + self.directions.len() + 1
    }

    fn generative(&self) -> Option<&dyn Generative> {
        Some(self)
    }

    fn directions(&self) -> Option<Vec<f64>> {
        Some(self.directions.clone())
    }
}

impl Generative for Factors {
    fn log_densities(&self, batch: &Batch) -> LogDensities {
        LogDensities::Exact(self.rows(batch).iter().map(|row| self.log_density(row)).collect())
    }

    fn sample(&self, size: usize, random: &mut Random) -> Samples {
        sampled(&[0.0], size, random, |_, random| {
            let normal: Vec<f64> = (0..self.mean.len()).map(|_| f64::from(random.normal())).collect();
            let off = self.factor.times(&normal);
            self.mean.iter().zip(off).map(|(mean, off)| mean + off).collect()
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "examples are f32")]
    fn completed(&self, batch: &Batch) -> Option<Vec<f32>> {
        let rows = self.rows(batch);
        Some(rows.iter().flat_map(|row| self.filled(row)).map(|value| value as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eigen::Eigen;
    use crate::pca::principal_angle;

    /// Rows of five columns with two strong factors.
    fn rows() -> Rows {
        let mut random = Random::new(2, Stream::Sampling);
        let values = (0..400).flat_map(|_| {
            let [a, b] = [0, 1].map(|_| f64::from(random.normal()));
            let clean = [2.0 * a, a + b, 1.0 - 2.0 * b, b, a - b];
            clean.map(|value| value + 0.5 * f64::from(random.normal()))
        });
        Rows { width: 5, values: values.collect() }
    }

    fn fitted(fit: Way) -> Factors {
        let config = ProbabilisticPcaConfig { components: 2, fit };
        config.fit(&rows(), &mut Random::new(1, Stream::Initialisation))
    }

    #[test]
    fn expectation_maximisation_ends_in_the_closed_form() {
        let (closed, stepwise) = (fitted(Way::ClosedForm), fitted(Way::ExpectationMaximisation));
        let angle = principal_angle(&closed.directions, &stepwise.directions, 5);
        assert!(angle < 1e-8, "{angle}");
        let noise = |factors: &Factors| Eigen::of(&factors.covariance, 5).values[4];
        assert!((noise(&closed) - noise(&stepwise)).abs() < 1e-10, "{}", noise(&stepwise));
        for row in rows().iter().take(20) {
            let (one, other) = (closed.log_density(row), stepwise.log_density(row));
            assert!((one - other).abs() < 1e-9, "{one} {other}");
        }
        // The noise that was drawn has variance 1/4; of 400 rows and three directions its standard error is 0.01.
        assert!((noise(&closed) - 0.25).abs() < 0.04, "{}", noise(&closed));
    }

    #[test]
    fn missing_values_are_their_expectation_by_hand() {
        // W = (1, 2)', noise 1: C = [2 2; 2 5], so that given 7 in the second column, whose mean is 2, the first is 1 + 2/5 * 5.
        let factors = Factors::new(vec![1.0, 2.0], &[1.0, 2.0], 1.0, vec![0.2_f64.sqrt(), 0.8_f64.sqrt()]);
        let filled = factors.filled(&[f64::NAN, 7.0]);
        assert!((filled[0] - 3.0).abs() < 1e-12 && filled[1] == 7.0, "{filled:?}");
        assert_eq!(factors.filled(&[f64::NAN, f64::NAN]), [1.0, 2.0]);
        // |C| = 6, and (1, 0) C^-1 (1, 0)' = 5/6 at (2, 2).
        let expected = -0.5 * (2.0 * std::f64::consts::TAU.ln() + 6.0_f64.ln() + 5.0 / 6.0);
        assert!((factors.log_density(&[2.0, 2.0]) - expected).abs() < 1e-12);
    }

    #[test]
    fn examples_on_a_plane_have_a_density() {
        let rows =
            Rows { width: 3, values: vec![0.0, 0.0, 1.0, 1.0, 2.0, 1.0, 2.0, 4.0, 1.0, 3.0, 6.0, 1.0] };
        for fit in [Way::ClosedForm, Way::ExpectationMaximisation] {
            let config = ProbabilisticPcaConfig { components: 1, fit };
            let factors = config.fit(&rows, &mut Random::new(1, Stream::Initialisation));
            assert!(factors.log_density(&[1.0, 2.0, 1.0]).is_finite(), "{fit:?}");
        }
    }
}
