//! Kernel density: a little of every training example (Rosenblatt 1956; Parzen 1962).
//!
//! ```text
//! p(x) = (1 / n) sum over training examples of N(x; x_i, h^2)
//! ```
//!
//! The bandwidth h is the one of the likeliest validation examples among sixteen, from a thousandth of the deviation of the columns to
//! all of it, in equal ratios. A draw is a training example with normal noise of deviation h. With `copies` there is no noise: a machine that copies, of
//! perfect quality and without anything new, by which measures of both can be checked. A copy has no density.

use sequence::{
    Batch, Dataset, Fit, Generative, LearnError, Learner, LogDensities, Predictions, Predictor, Random, Run,
    Samples,
};
use serde::{Deserialize, Serialize};

use crate::examples::{Rows, density_rows, log_sum, predictions, values};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::{Counting, Offers, Reads};

const NAME: &str = "kernel-density";

/// Bandwidths that are tried.
const BANDWIDTHS: u32 = 16;

/// Settings of a kernel density.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct KernelDensityConfig {
    /// Whether training examples are drawn as they are.
    copies: bool,
}

impl Counting for KernelDensityConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str = "kernel density: a normal distribution around every training example";
    const CITATION: &'static str = "Rosenblatt 1956; Parzen 1962";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::Examples;
    const OFFERS: Offers = Offers { log_density: true, samples: true, ..Offers::NOTHING };

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        Ok(Box::new(KernelDensity { config: self }))
    }
}

struct KernelDensity {
    config: KernelDensityConfig,
}

impl Learner for KernelDensity {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let rows = density_rows(data, NAME)?;
        let largest = deviation(&rows);
        let held_out: Vec<Rows> =
            data.validation().iter().map(|batch| Rows { width: rows.width, values: values(batch) }).collect();
        let mut kernels = Kernels { rows, bandwidth: largest, copies: self.config.copies };
        let likelihood = |kernels: &Kernels| -> f64 {
            held_out.iter().flat_map(|held_out| held_out.iter().map(|row| kernels.log_density(row))).sum()
        };
        let mut best = (f64::NEG_INFINITY, largest);
        for step in 0..BANDWIDTHS {
            kernels.bandwidth = largest * 10_f64.powf(-3.0 * f64::from(step) / f64::from(BANDWIDTHS - 1));
            let found = likelihood(&kernels);
            if found > best.0 {
                best = (found, kernels.bandwidth);
            }
        }
        kernels.bandwidth = best.1;
        let multiply_adds = held_out.iter().map(Rows::len).sum::<usize>() * kernels.rows.values.len();
        let multiply_adds = multiply_adds as u64 * u64::from(BANDWIDTHS);
        Ok(Fit { multiply_adds, ..fit_without_updates(Box::new(kernels), data, run) })
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        2 * crate::examples::bytes(data) + validation_bytes(data)
    }
}

/// The mean over columns of their deviations, or 1 where all examples are equal.
fn deviation(rows: &Rows) -> f64 {
    let mean = rows.variances().into_iter().map(f64::sqrt).sum::<f64>() / rows.width as f64;
    if mean > 0.0 { mean } else { 1.0 }
}

/// Training examples and the bandwidth around them.
struct Kernels {
    rows: Rows,
    bandwidth: f64,
    copies: bool,
}

impl Kernels {
    fn log_density(&self, row: &[f64]) -> f64 {
        let scale = -0.5 / self.bandwidth.powi(2);
        let squared = |other: &[f64]| row.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let logs: Vec<f64> = self.rows.iter().map(|other| scale * squared(other)).collect();
        let log_scale = 0.5 * std::f64::consts::TAU.ln() + self.bandwidth.ln();
        log_sum(&logs) - (self.rows.len() as f64).ln() - self.rows.width as f64 * log_scale
    }

    fn of_batch(&self, batch: &Batch) -> Vec<f64> {
        let rows = Rows { width: self.rows.width, values: values(batch) };
        rows.iter().map(|row| self.log_density(row)).collect()
    }
}

impl Predictor for Kernels {
    fn predict(&self, batch: &Batch) -> Predictions {
        let mut densities = self.of_batch(batch).into_iter();
        predictions(batch, 1, |_| densities.next().into_iter().collect())
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.rows.values.len() + 1
    }

    fn generative(&self) -> Option<&dyn Generative> {
        Some(self)
    }
}

impl Generative for Kernels {
    fn log_densities(&self, batch: &Batch) -> LogDensities {
        if self.copies { LogDensities::Unknown } else { LogDensities::Exact(self.of_batch(batch)) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "examples are f32")]
    fn sample(&self, size: usize, random: &mut Random) -> Samples {
        let bandwidth = if self.copies { 0.0 } else { self.bandwidth };
        let mut values = Vec::with_capacity(size * self.rows.width);
        for _ in 0..size {
            let row = self.rows.iter().nth(random.index(self.rows.len())).unwrap_or_default();
            values.extend(row.iter().map(|value| (value + bandwidth * f64::from(random.normal())) as f32));
        }
        Samples { values, classes: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_density_of_two_kernels_is_by_hand() {
        // Half of N(0, 4) and half of N(3, 4) at 1: (0.176032663 + 0.120985362) / 2.
        let rows = Rows { width: 1, values: vec![0.0, 3.0] };
        let kernels = Kernels { rows, bandwidth: 2.0, copies: false };
        assert!((kernels.log_density(&[1.0]).exp() - 0.148_509_013).abs() < 1e-9);
    }

    #[test]
    fn copies_are_training_examples() {
        let rows = Rows { width: 2, values: vec![0.0, 1.0, 2.0, 3.0] };
        let copied = Kernels { rows, bandwidth: 2.0, copies: true };
        let samples = copied.sample(20, &mut Random::new(1, sequence::Stream::Sampling)).values;
        assert!(samples.chunks(2).all(|row| row == [0.0, 1.0] || row == [2.0, 3.0]), "{samples:?}");
        assert!(samples.chunks(2).any(|row| row == [0.0, 1.0]));
    }
}
