//! Principal component analysis: the directions in which examples vary most (Pearson 1901; Hotelling 1933).
//!
//! ```text
//! minimise   sum over examples of |x_i - m - U U' (x_i - m)|^2,    U [width, components] orthonormal
//! ```
//!
//! U holds the eigenvectors of the covariance with the largest eigenvalues. An example is said again from its coordinates U' (x - m), and what that leaves out is its
//! squared distance from the subspace. No distribution is said of the coordinates or of what is left out: nothing can be drawn, and an example has no density. The
//! model with both is `probabilistic_pca.rs`.
//!
//! It is written here because all it needs is the eigenvectors of a small matrix, which the probabilistic kind shares.

use sequence::{Batch, Dataset, Fit, LearnError, Learner, Predictions, Predictor, Run};
use serde::{Deserialize, Serialize};

use crate::eigen::Eigen;
use crate::examples::{Rows, density_rows, predictions, values};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::{Counting, Offers, Reads};

const NAME: &str = "pca";

/// Settings of principal component analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct PcaConfig {
    /// Directions that are kept.
    components: usize,
}

impl Default for PcaConfig {
    fn default() -> Self {
        Self { components: 1 }
    }
}

impl Counting for PcaConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "principal component analysis: the directions of most variance, without a distribution";
    const CITATION: &'static str = "Pearson 1901; Hotelling 1933";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::Examples;
    const OFFERS: Offers = Offers { directions: true, ..Offers::NOTHING };

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        check(NAME, self.components)?;
        Ok(Box::new(Pca { config: self }))
    }
}

/// Checks how many directions are kept.
pub(crate) fn check(model: &'static str, components: usize) -> Result<(), LearnError> {
    if components > 0 {
        return Ok(());
    }
    Err(LearnError::Setting { model, reason: "`components` must be at least 1".to_owned() })
}

/// The training rows, of which fewer directions are kept than there are.
pub(crate) fn reducible(data: &Dataset, model: &'static str, components: usize) -> Result<Rows, LearnError> {
    let rows = density_rows(data, model)?;
    if components < rows.width {
        return Ok(rows);
    }
    let reason = format!("`components` is {components}, and this task has {} columns", rows.width);
    Err(LearnError::Unsuitable { model, reason })
}

struct Pca {
    config: PcaConfig,
}

impl Learner for Pca {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let rows = reducible(data, NAME, self.config.components)?;
        let multiply_adds = (rows.values.len() * rows.width) as u64;
        let principal = Principal::of(&rows, self.config.components);
        Ok(Fit { multiply_adds, ..fit_without_updates(Box::new(principal), data, run) })
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        2 * crate::examples::bytes(data) + validation_bytes(data)
    }
}

/// A mean and the principal directions around it.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) mean: Vec<f64>,
    /// Those that are kept, `[components, width]`.
    pub(crate) directions: Vec<f64>,
    /// The variances along all directions, the largest first, `[width]`.
    pub(crate) variances: Vec<f64>,
}

impl Principal {
    pub(crate) fn of(rows: &Rows, components: usize) -> Self {
        let mean = rows.means();
        let Eigen { values, mut vectors } = Eigen::of(&rows.covariance(&mean), rows.width);
        vectors.truncate(components * rows.width);
        Self { mean, directions: vectors, variances: values }
    }

    /// The squared distance of a row from the subspace.
    pub(crate) fn left_out(&self, row: &[f64]) -> f64 {
        let off: Vec<f64> = row.iter().zip(&self.mean).map(|(value, mean)| value - mean).collect();
        outside(&off, &self.directions).iter().map(|entry| entry * entry).sum()
    }
}

impl Predictor for Principal {
    /// The negative squared distance from the subspace.
    fn predict(&self, batch: &Batch) -> Predictions {
        let rows = Rows { width: self.mean.len(), values: values(batch) };
        let mut left_out = rows.iter().map(|row| -self.left_out(row));
        predictions(batch, 1, |_| left_out.next().into_iter().collect())
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.mean.len() + self.directions.len()
    }

    fn directions(&self) -> Option<Vec<f64>> {
        Some(self.directions.clone())
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What of a vector is not in the span of orthonormal directions.
fn outside(vector: &[f64], directions: &[f64]) -> Vec<f64> {
    let mut rest = vector.to_vec();
    for direction in directions.chunks_exact(vector.len()) {
        let along = dot(vector, direction);
        rest.iter_mut().zip(direction).for_each(|(entry, unit)| *entry -= along * unit);
    }
    rest
}

/// Orthonormal directions with the span of these vectors, `[vectors, width]`, which are independent; twice, so that rounding does not
/// matter (Gram and Schmidt).
#[must_use]
pub fn orthonormal(vectors: &[f64], width: usize) -> Vec<f64> {
    let mut directions = Vec::with_capacity(vectors.len());
    for vector in vectors.chunks_exact(width) {
        let rest = outside(&outside(vector, &directions), &directions);
        let length = dot(&rest, &rest).sqrt();
        directions.extend(rest.iter().map(|entry| entry / length));
    }
    directions
}

/// The first principal directions of rows, `[components, width]`, row-major.
#[must_use]
pub fn principal_directions(rows: &[f32], width: usize, components: usize) -> Vec<f64> {
    let values = rows.iter().copied().map(f64::from).collect();
    Principal::of(&Rows { width, values }, components).directions
}

/// The largest principal angle between the spans of two sets of orthonormal directions, `[directions, width]` each, in degrees: the
/// largest angle that a vector of the smaller span has to the larger one, by its sine, which is exact where angles are small (Björck
/// and Golub 1973).
#[must_use]
pub fn principal_angle(one: &[f64], other: &[f64], width: usize) -> f64 {
    let (small, large) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let rests: Vec<Vec<f64>> = small.chunks_exact(width).map(|vector| outside(vector, large)).collect();
    let products = rests.iter().flat_map(|a| rests.iter().map(|b| dot(a, b)));
    let squared = Eigen::of(&products.collect::<Vec<f64>>(), rests.len()).values;
    squared.first().map_or(0.0, |squared| squared.clamp(0.0, 1.0).sqrt().asin().to_degrees())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_what_it_leaves_out() {
        // On y = 2 x + 1, moved off it by (-2, 1) and back: the mean is (0, 1), the direction (1, 2) / sqrt 5.
        let rows = Rows { width: 2, values: vec![-10.0, -19.0, 10.0, 21.0, -2.0, 2.0, 2.0, 0.0] };
        let principal = Principal::of(&rows, 1);
        assert_eq!(principal.mean, [0.0, 1.0]);
        let fifth = 0.2_f64.sqrt();
        assert!((principal.directions[0] - fifth).abs() < 1e-12, "{:?}", principal.directions);
        assert!((principal.directions[1] - 2.0 * fifth).abs() < 1e-12, "{:?}", principal.directions);
        // (100 + 400) * 2 / 4 along, (4 + 1) * 2 / 4 across.
        assert!((principal.variances[0] - 250.0).abs() < 1e-9, "{:?}", principal.variances);
        assert!((principal.variances[1] - 2.5).abs() < 1e-9, "{:?}", principal.variances);
        assert!((principal.left_out(&[-2.0, 2.0]) - 5.0).abs() < 1e-12);
        assert!(principal.left_out(&[1.0, 3.0]) < 1e-12);
    }

    #[test]
    fn angles_are_by_hand() {
        let (x, y, z) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]);
        assert_eq!(principal_angle(&x, &y, 3), 90.0);
        assert_eq!(principal_angle(&x, &[x, y].concat(), 3), 0.0);
        assert_eq!(principal_angle(&[x, z].concat(), &[x, y].concat(), 3), 90.0);
        // A millionth of a degree, which by the cosine would be lost.
        let small = 1e-6_f64.to_radians();
        let angle = principal_angle(&x, &[small.cos(), small.sin(), 0.0], 3);
        assert!((angle - 1e-6).abs() < 1e-12, "{angle}");
        let basis = orthonormal(&[3.0, 4.0, 0.0, 1.0, 0.0, 0.0], 3);
        assert!((basis[0] - 0.6).abs() < 1e-15 && (basis[3] - 0.8).abs() < 1e-15, "{basis:?}");
    }
}
