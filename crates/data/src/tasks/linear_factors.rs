//! Rows that few hidden factors explain, with noise: what is there to find is the subspace that the factors span.
//!
//! ```text
//! x         U diag(strength) z + noise,    U [features, factors] orthonormal, z standard normal
//! strength  from `strongest` to `weakest` in equal ratios
//! noise     normal, with deviations from 1 / sqrt(uneven) in the first feature to sqrt(uneven) in the last, in equal ratios
//! ```
//!
//! U is drawn anew for each seed. With `uneven` of 1 the noise is the same in all features, as probabilistic principal component analysis takes it to
//! be (Tipping and Bishop 1999); above 1 it is that of a factor analysis. Nothing is asked of a row.

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{draw_rows, feature_rows};
use crate::metrics::own_loss;
use crate::{DataError, settings};

const NAME: &str = "linear-factors";
const EVALUATED: usize = 2000;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "find the subspace of a few factors behind noisy rows",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(LinearFactors::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training rows.
    examples: usize,
    /// Values a row.
    features: usize,
    /// Factors behind them.
    factors: usize,
    /// Deviation along the strongest factor.
    strongest: f32,
    /// Deviation along the weakest factor.
    weakest: f32,
    /// The largest deviation of the noise over the smallest.
    uneven: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { examples: 1000, features: 10, factors: 3, strongest: 4.0, weakest: 2.0, uneven: 1.0 }
    }
}

struct LinearFactors {
    config: Config,
}

/// Values from `first` to `last` in equal ratios.
fn ratios(first: f32, last: f32, count: usize) -> Vec<f32> {
    let steps = count.saturating_sub(1).max(1) as f32;
    (0..count).map(|step| first * libm::powf(last / first, step as f32 / steps)).collect()
}

impl LinearFactors {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "examples", &config.examples, 1..=1_000_000)?;
        settings::within(NAME, "features", &config.features, 2..=1000)?;
        settings::within(NAME, "factors", &config.factors, 1..=config.features - 1)?;
        settings::within(NAME, "strongest", &config.strongest, 1e-3..=1e3)?;
        settings::within(NAME, "weakest", &config.weakest, 1e-3..=config.strongest)?;
        settings::within(NAME, "uneven", &config.uneven, 1.0..=1e3)?;
        Ok(Self { config })
    }

    /// The columns of U as rows: normal vectors, each made orthogonal to those before, twice against rounding, and of length 1.
    fn span(&self, seed: u64) -> Vec<f64> {
        let width = self.config.features;
        let bits = Random::new(seed, Stream::Order).bits();
        let mut random = Random::new(bits, Stream::Order);
        let mut span: Vec<f64> = Vec::with_capacity(self.config.factors * width);
        for _ in 0..self.config.factors {
            let mut vector: Vec<f64> = (0..width).map(|_| f64::from(random.normal())).collect();
            for _ in 0..2 {
                for other in span.chunks_exact(width) {
                    let along: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                    vector.iter_mut().zip(other).for_each(|(entry, unit)| *entry -= along * unit);
                }
            }
            let length = libm::sqrt(vector.iter().map(|entry| entry * entry).sum());
            span.extend(vector.iter().map(|entry| entry / length));
        }
        span
    }

    #[expect(clippy::cast_possible_truncation, reason = "features are f32")]
    fn batch(&self, seed: u64, stream: Stream, count: usize) -> Batch {
        let Config { features, factors, strongest, weakest, uneven, .. } = self.config;
        let strengths = ratios(strongest, weakest, factors);
        let weights: Vec<f32> = self
            .span(seed)
            .chunks_exact(features)
            .zip(&strengths)
            .flat_map(|(direction, strength)| direction.iter().map(move |entry| *entry as f32 * strength))
            .collect();
        let root = libm::sqrtf(uneven);
        let noises = ratios(1.0 / root, root, features);
        let mut random = Random::new(seed, stream);
        let mut values = Vec::with_capacity(count * features);
        for _ in 0..count {
            let first = values.len();
            values.extend(noises.iter().map(|deviation| deviation * random.normal()));
            for direction in weights.chunks_exact(features) {
                let factor = random.normal();
                values[first..]
                    .iter_mut()
                    .zip(direction)
                    .for_each(|(value, weight)| *value += factor * weight);
            }
        }
        feature_rows(features, values, vec![0; count])
    }
}

impl Task for LinearFactors {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Features { width: self.config.features },
            outputs: 1,
            loss: LossKind::Density,
            maximum_time: 1,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let all = self.batch(seed, Stream::Training(0), self.config.examples);
        draw_rows(&all, &mut Random::new(seed, Stream::Training(update + 1)), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![self.batch(seed, Stream::Validation, EVALUATED)]
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        vec![TestSet { name: "test".to_owned(), batches: vec![self.batch(seed, Stream::Test, EVALUATED)] }]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        vec![own_loss(batches, predictions)]
    }

    fn larger_is_better(&self) -> bool {
        false
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    /// The entropy of the rows, which no model goes below on average, where the noise is even: the covariance then has the eigenvalues strength^2 + 1 and
    /// 1, and half the sum of ln(2 pi e eigenvalue) is the entropy. Where it is not, it depends on U.
    #[expect(clippy::float_cmp, reason = "even noise is said by exactly 1")]
    fn floors(&self) -> Vec<Floor> {
        let Config { features, factors, strongest, weakest, uneven, .. } = self.config;
        if uneven != 1.0 {
            return Vec::new();
        }
        let of_noise = features as f64 * libm::log(std::f64::consts::TAU * std::f64::consts::E);
        let strengths = ratios(strongest, weakest, factors);
        let of_factors = strengths.iter().map(|strength| libm::log1p(f64::from(strength * strength)));
        let value = 0.5 * (of_noise + of_factors.sum::<f64>());
        vec![Floor { metric: "negative-log-likelihood", name: "best", value }]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(vec![self.batch(seed, Stream::Training(0), self.config.examples)])
    }

    fn directions(&self, seed: u64) -> Option<Vec<f64>> {
        Some(self.span(seed))
    }
}

#[cfg(test)]
mod tests {
    use sequence::Inputs;

    use super::*;
    use crate::testing;

    fn task(examples: usize, uneven: f32) -> LinearFactors {
        LinearFactors::new(Config { examples, uneven, ..Config::default() }).unwrap()
    }

    fn rows(batch: &Batch) -> Vec<&[f32]> {
        let Inputs::Features { width, values } = &batch.inputs else { panic!("the inputs are features") };
        values.chunks(*width).collect()
    }

    #[test]
    fn variances_are_those_of_factors_and_noise() {
        let task = task(50_000, 4.0);
        let span = task.directions(3).unwrap();
        let set = task.training_set(3).unwrap();
        let variance = |direction: &dyn Fn(usize) -> f64| {
            let along = |row: &&[f32]| -> f64 {
                row.iter().enumerate().map(|(at, value)| f64::from(*value) * direction(at)).sum()
            };
            rows(&set[0]).iter().map(|row| along(row).powi(2)).sum::<f64>() / 50_000.0
        };
        let noise = |at: usize| 4.0_f64.powf(at as f64 / 9.0 - 0.5).powi(2);
        // Along the factors strength^2, 16, 8 and 4, and the noise as the direction sees it; the standard error is 0.6%.
        for (direction, strength) in span.chunks(10).zip([16.0, 8.0, 4.0]) {
            let of_noise: f64 = direction.iter().enumerate().map(|(at, unit)| unit * unit * noise(at)).sum();
            let found = variance(&|at| direction[at]);
            assert!((found / (strength + of_noise) - 1.0).abs() < 0.026, "{found} {strength} {of_noise}");
        }
        // Of one feature: what each factor gives to it, and its noise.
        for feature in [0, 9] {
            let of_factors = span.chunks(10).zip([16.0, 8.0, 4.0]);
            let expected = noise(feature)
                + of_factors.map(|(row, strength)| strength * row[feature].powi(2)).sum::<f64>();
            let found = variance(&|at| f64::from(u8::from(at == feature)));
            assert!((found / expected - 1.0).abs() < 0.026, "{feature}: {found} {expected}");
        }
    }

    #[test]
    fn the_span_is_orthonormal_and_of_its_seed() {
        let task = task(10, 1.0);
        let span = task.directions(1).unwrap();
        for (a, one) in span.chunks(10).enumerate() {
            for (b, other) in span.chunks(10).enumerate() {
                let product: f64 = one.iter().zip(other).map(|(a, b)| a * b).sum();
                assert!((product - f64::from(u8::from(a == b))).abs() < 1e-14, "{a} {b}: {product}");
            }
        }
        assert_ne!(span, task.directions(2).unwrap());
    }

    #[test]
    fn the_entropy_is_by_hand() {
        // numpy: 0.5 * (10 * log(2 * pi * e) + log(17) + log(9) + log(5)) = 17.509 323.
        let value = task(10, 1.0).floors()[0].value;
        assert!((value - 17.509_323).abs() < 1e-5, "{value}");
        assert_eq!(task(10, 2.0).floors(), []);
    }

    #[test]
    fn training_draws_from_a_finite_set_that_no_other_split_shares() {
        let task = task(500, 1.0);
        let set = task.training_set(1).unwrap();
        assert_eq!(testing::shared(&set, &[task.training_batch(1, 3, 200)]), 200);
        assert_eq!(testing::shared(&set, &task.validation(1)), 0);
        assert_eq!(testing::shared(&set, &task.test(1)[0].batches), 0);
    }

    #[test]
    fn samples_are_the_same_on_every_machine() {
        // A record of what was drawn first. A change needs a new version.
        assert_eq!(testing::digest(&task(100, 3.0)), "5cf7408bf423e1d3");
    }
}
