//! Variational autoencoder: every example comes from a few normal numbers (Kingma and Welling 2014).
//!
//! ```text
//! z ~ N(0, 1) [latent],   x given z ~ N(decoder(z), s^2),   q(z given x) = N(m(x), diag v(x)),  m and v by the encoder
//! log p(x) >= E_q log p(x given z) - KL(q(z given x) || N(0, 1))          the evidence lower bound, which is maximised
//! log p(x) >= E log mean over k of p(x, z_k) / q(z_k given x)             the importance-weighted bound, which is reported
//! ```
//!
//! The first is estimated with one draw of q, as m + sqrt(v) e with e standard normal. The deviation s is learnt, one for all
//! features. `beta` weighs the divergence (Higgins et al. 2017); with 1 the bound is one of the likelihood. The second bound (Burda, Grosse and
//! Salakhutdinov 2016) has 500 draws, and is the tighter the more there are.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use sequence::{Batch, Dataset, Fit, Generative, LogDensities, LossKind, Random, Run, Samples, Stream};
use serde::{Deserialize, Serialize};
use training::{BodyContext, Initialiser, Network, Positions, TrainingConfig, fit};

use crate::Offers;
use crate::examples::log_sum;
use crate::generator::{Generator, Perceptron, tensor, values, vector};

/// Draws of the importance-weighted bound.
const IMPORTANCE_DRAWS: usize = 500;

/// Rows that one forward pass of the bound holds.
const ROWS_AT_ONCE: usize = 25_000;

/// Settings of a variational autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct VariationalAutoencoder {
    /// Normal numbers that an example comes from.
    latent: usize,
    /// Units of each of two hidden layers of encoder and decoder.
    hidden: usize,
    /// The weight of the divergence.
    beta: f32,
}

impl Default for VariationalAutoencoder {
    fn default() -> Self {
        Self { latent: 2, hidden: 64, beta: 1.0 }
    }
}

impl Generator for VariationalAutoencoder {
    const NAME: &'static str = "variational-autoencoder";
    const SUMMARY: &'static str =
        "variational autoencoder: examples from a few normal numbers, by a bound of their likelihood";
    const CITATION: &'static str = "Kingma and Welling 2014; Burda, Grosse and Salakhutdinov 2016";
    const VERSION: u32 = 1;
    const OFFERS: Offers = Offers { log_density: true, samples: true, ..Offers::NOTHING };

    fn check(&self) -> Result<(), String> {
        if self.latent == 0 || self.hidden == 0 {
            return Err("`latent` and `hidden` must be at least 1".to_owned());
        }
        if !(self.beta.is_finite() && self.beta >= 0.0) {
            return Err(format!("`beta` is {}, it must be 0 or more", self.beta));
        }
        Ok(())
    }

    fn parameters(&self, features: usize) -> usize {
        Perceptron::parameters([features, self.hidden, 2 * self.latent])
            + Perceptron::parameters([self.latent, self.hidden, features])
            + 1
    }

    fn fit(
        &self,
        features: usize,
        device: &Device,
        training: &TrainingConfig,
        data: &Dataset,
        run: &mut Run,
    ) -> Fit {
        let mut initialiser = Initialiser::new(run.seed, device);
        let network = Bounded {
            encoder: Perceptron::new([features, self.hidden, 2 * self.latent], &mut initialiser),
            decoder: Perceptron::new([self.latent, self.hidden, features], &mut initialiser),
            log_deviation: initialiser.constant([1, 1], 0.0),
            latent: self.latent,
            beta: self.beta,
        };
        fit(network, training, data, run)
    }
}

/// Encoder, decoder and the deviation around what the latter says.
#[derive(Module, Debug)]
struct Bounded {
    encoder: Perceptron,
    decoder: Perceptron,
    log_deviation: Param<Tensor<2>>,
    latent: usize,
    beta: f32,
}

impl Bounded {
    /// Mean and log-variance of q, `[rows, latent]` each.
    fn encoded(&self, rows: Tensor<2>) -> [Tensor<2>; 2] {
        let both = self.encoder.forward(rows);
        let size = both.dims()[0];
        let part = |from: usize| both.clone().slice([0..size, from..from + self.latent]);
        [part(0), part(self.latent)]
    }

    /// log p(x given z), `[rows, 1]`.
    fn log_likelihood(&self, rows: Tensor<2>, codes: Tensor<2>) -> Tensor<2> {
        let features = rows.dims()[1] as f32;
        let squared = (rows - self.decoder.forward(codes)).square().sum_dim(1);
        let log_deviation = self.log_deviation.val();
        let precision = log_deviation.clone().mul_scalar(-2.0).exp();
        let constant =
            log_deviation.mul_scalar(features).add_scalar(0.5 * features * std::f32::consts::TAU.ln());
        (squared * precision).mul_scalar(-0.5) - constant
    }

    /// The evidence lower bound of each row by one draw of q, `[rows, 1]`.
    fn bound(&self, rows: Tensor<2>, context: &BodyContext) -> Tensor<2> {
        let [mean, log_variance] = self.encoded(rows.clone());
        let noise = context.noise(mean.dims(), &mean.device());
        let codes = mean.clone() + log_variance.clone().mul_scalar(0.5).exp() * noise;
        // KL of a normal distribution from the standard one, summed over the numbers.
        let divergence = (mean.square() + log_variance.clone().exp() - log_variance).sum_dim(1);
        let divergence = divergence.sub_scalar(self.latent as f32).mul_scalar(0.5 * self.beta);
        self.log_likelihood(rows, codes) - divergence
    }

    /// The importance-weighted bound of the rows of `values`, each with as many draws.
    fn importance_weighted(
        &self,
        values: &[f32],
        features: usize,
        draws: usize,
        random: &mut Random,
    ) -> Vec<f64> {
        let device = self.encoder.device();
        let mut bounds = Vec::with_capacity(values.len() / features);
        for block in values.chunks(features * (ROWS_AT_ONCE / draws).max(1)) {
            let repeated: Vec<f32> = block.chunks_exact(features).flat_map(|row| row.repeat(draws)).collect();
            let size = repeated.len() / features;
            let rows = Tensor::<2>::from_data(TensorData::new(repeated, [size, features]), &device);
            let [mean, log_variance] = self.encoded(rows.clone());
            let noise: Vec<f32> = (0..size * self.latent).map(|_| random.normal()).collect();
            let noise = Tensor::<2>::from_data(TensorData::new(noise, [size, self.latent]), &device);
            let codes = mean + log_variance.clone().mul_scalar(0.5).exp() * noise.clone();
            // log N(z; 0, 1) - log q(z given x): the constants of both are the same.
            let prior = codes.clone().square().sum_dim(1).mul_scalar(-0.5);
            let proposal = (noise.square() + log_variance).sum_dim(1).mul_scalar(-0.5);
            let weights = vector(self.log_likelihood(rows, codes) + prior - proposal);
            bounds.extend(weights.chunks_exact(draws).map(|weights| {
                let weights: Vec<f64> = weights.iter().copied().map(f64::from).collect();
                log_sum(&weights) - (draws as f64).ln()
            }));
        }
        bounds
    }
}

impl Network for Bounded {
    fn outputs(&self, batch: &Batch, _: Positions, context: &BodyContext) -> Tensor<2> {
        self.bound(tensor(batch, &self.encoder.device()), context)
    }

    fn loss(&self, batch: &Batch, _: LossKind, context: &BodyContext) -> Tensor<1> {
        self.outputs(batch, Positions::All, context).mean().neg()
    }

    fn generative(&self) -> Option<&dyn Generative> {
        Some(self)
    }

    fn body_parameters(&self) -> usize {
        Module::num_params(self)
    }

    fn multiply_adds(&self, batch: &Batch) -> u64 {
        (batch.size * (self.encoder.multiply_adds() + self.decoder.multiply_adds())) as u64
    }
}

impl Generative for Bounded {
    /// The importance-weighted bound, with the same draws whenever it is asked for.
    fn log_densities(&self, batch: &Batch) -> LogDensities {
        let values = values(batch);
        let features = values.len() / batch.size.max(1);
        let mut random = Random::new(0, Stream::Probe);
        LogDensities::LowerBound(self.importance_weighted(values, features, IMPORTANCE_DRAWS, &mut random))
    }

    fn sample(&self, size: usize, random: &mut Random) -> Samples {
        let codes: Vec<f32> = (0..size * self.latent).map(|_| random.normal()).collect();
        let codes = TensorData::new(codes, [size, self.latent]);
        let mut values = vector(self.decoder.forward(Tensor::from_data(codes, &self.decoder.device())));
        let deviation = vector(self.log_deviation.val().exp())[0];
        for value in &mut values {
            *value += deviation * random.normal();
        }
        Samples { values, classes: None }
    }
}

#[cfg(test)]
mod tests {
    use training::device;

    use super::*;

    /// With weights of 0 the encoder says N(0, 1) and the decoder 0, whatever they read.
    fn silent(log_deviation: f32) -> Bounded {
        let device = device("flex").unwrap();
        let mut initialiser = Initialiser::new(1, &device);
        let mut perceptron = |sizes: [usize; 3]| {
            let mut silent = Perceptron::new(sizes, &mut initialiser);
            silent.silence();
            silent
        };
        let (encoder, decoder) = (perceptron([2, 3, 2]), perceptron([1, 3, 2]));
        let initialiser = Initialiser::new(1, &device);
        Bounded {
            encoder,
            decoder,
            log_deviation: initialiser.constant([1, 1], log_deviation),
            latent: 1,
            beta: 1.0,
        }
    }

    #[test]
    fn the_bounds_of_a_silent_network_are_those_of_a_normal_distribution() {
        // x given z is N(0, 4) in each of two features whatever z, and q is the prior: both bounds are exact.
        let network = silent(2.0_f32.ln());
        let rows = [1.0, -2.0, 0.0, 3.0];
        let by_hand = |squares: f64| -0.5 * squares / 4.0 - 2.0 * 2.0_f64.ln() - std::f64::consts::TAU.ln();
        let expected = [by_hand(5.0), by_hand(9.0)];
        let tensor = Tensor::from_data(TensorData::new(rows.to_vec(), [2, 2]), &network.encoder.device());
        let bound = vector(network.bound(tensor, &BodyContext::evaluation(&[1, 1])));
        let weighted = network.importance_weighted(&rows, 2, 7, &mut Random::new(1, Stream::Probe));
        for (row, expected) in expected.into_iter().enumerate() {
            assert!((f64::from(bound[row]) - expected).abs() < 1e-5, "{bound:?}");
            assert!((weighted[row] - expected).abs() < 1e-5, "{weighted:?}");
        }
    }

    #[test]
    fn samples_spread_by_the_learnt_deviation() {
        let samples = silent(2.0_f32.ln()).sample(4000, &mut Random::new(3, Stream::Sampling)).values;
        let variance = samples.iter().map(|value| value * value).sum::<f32>() / samples.len() as f32;
        // 4, with a standard error of 4 sqrt(2 / 8000) = 0.063; four of them.
        assert!((variance - 4.0).abs() < 0.25, "{variance}");
    }
}
