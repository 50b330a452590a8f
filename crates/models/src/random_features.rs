//! Random Fourier features: a value from waves of random frequency, of which only the weights are fitted.
//!
//! ```text
//! f(x) = sum_{j=1}^{features} w_j sqrt(2 / features) cos(frequency_j x + phase_j),   frequency_j normal of deviation `scale`
//! ```
//!
//! (Rahimi and Recht 2007.) A network with one hidden layer that is not trained, and the simplest model whose test error rises to
//! a peak where it has as many features as there are points and falls again beyond (Belkin et al. 2019). Frequencies and
//! phases come from the seed of the run.

use sequence::{Dataset, Fit, LearnError, Learner, Random, Run, Stream};
use serde::{Deserialize, Serialize};

use crate::least_squares::{self, Basis, Points};
use crate::{Counting, Reads};

const NAME: &str = "random-features";
const MOST_FEATURES: usize = 10_000;

/// Settings of random features.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct RandomFeaturesConfig {
    /// Number of waves.
    features: usize,
    /// Standard deviation of their frequencies, in radians.
    scale: f64,
    /// Penalty on the squared weights, a point.
    ridge: f64,
}

impl Default for RandomFeaturesConfig {
    fn default() -> Self {
        Self { features: 100, scale: 10.0, ridge: 0.0 }
    }
}

impl Counting for RandomFeaturesConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "random features: a value from waves of random frequency, whose weights are fitted by least squares";
    const CITATION: &'static str = "Rahimi and Recht 2007";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::TrainingSet;

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        let wrong = |reason: String| Err(LearnError::Setting { model: NAME, reason });
        if !(1..=MOST_FEATURES).contains(&self.features) {
            return wrong(format!("`features` is {}, it must be from 1 to {MOST_FEATURES}", self.features));
        }
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return wrong(format!("`scale` is {}, it must be more than 0", self.scale));
        }
        least_squares::check(NAME, self.ridge)?;
        Ok(Box::new(RandomFeatures { config: self }))
    }
}

struct RandomFeatures {
    config: RandomFeaturesConfig,
}

#[derive(Clone, Debug)]
struct Waves {
    /// Frequency and phase of each.
    waves: Vec<(f64, f64)>,
}

impl Waves {
    fn draw(config: RandomFeaturesConfig, seed: u64) -> Self {
        let mut random = Random::new(seed, Stream::Initialisation);
        let wave =
            |_| (config.scale * f64::from(random.normal()), std::f64::consts::TAU * f64::from(random.unit()));
        Self { waves: (0..config.features).map(wave).collect() }
    }
}

impl Basis for Waves {
    fn functions(&self, x: f64) -> Vec<f64> {
        let height = (2.0 / self.waves.len() as f64).sqrt();
        self.waves.iter().map(|(frequency, phase)| height * (frequency * x + phase).cos()).collect()
    }
}

impl Learner for RandomFeatures {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let points = Points::of(data, NAME)?;
        Ok(least_squares::fit(Waves::draw(self.config, run.seed), &points, self.config.ridge, data, run))
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        least_squares::bytes(data, self.config.features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_features_approach_the_kernel() {
        let waves =
            Waves::draw(RandomFeaturesConfig { features: 10_000, ..RandomFeaturesConfig::default() }, 3);
        let (a, b) = (waves.functions(0.1), waves.functions(0.2));
        let product: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        // Rahimi and Recht: exp(-(scale difference)^2 / 2) = exp(-1/2), with a standard error of 0.01.
        assert!((product - (-0.5_f64).exp()).abs() < 0.04, "{product}");
    }
}
