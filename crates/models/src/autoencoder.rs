//! Autoencoder: a network that must say an example again from a few numbers (Rumelhart, Hinton and Williams 1986).
//!
//! ```text
//! z = encoder(x) [latent],   minimise |x - decoder(z)|^2
//! ```
//!
//! Nothing says which z are likely, so that it is no model of the examples. To draw from it all the same, z must come from somewhere: `draw-from`
//! names the standard normal distribution that a variational autoencoder would have, or a Gaussian mixture
//! fitted to the codes of the training set afterwards (Ghosh et al. 2020). What is drawn has no density that could be told.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use sequence::{
    Batch, Dataset, Fit, Generative, LogDensities, LossKind, Predictions, Predictor, Random, Run, Samples,
    Stream,
};
use serde::{Deserialize, Serialize};
use training::{BodyContext, Initialiser, Network, Positions, TrainingConfig, fit_keeping};

use crate::Offers;
use crate::examples::Rows;
use crate::gaussian_mixture::{GaussianMixtureConfig, Mixture};
use crate::generator::{Generator, Perceptron, tensor, vector};

/// Components of the mixture of codes.
const MIXED: usize = 8;

/// Settings of an autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Autoencoder {
    /// Numbers in the middle.
    latent: usize,
    /// Units of each of two hidden layers, before the middle and after it.
    hidden: usize,
    /// Where the numbers in the middle come from when an example is drawn.
    draw_from: DrawFrom,
}

impl Default for Autoencoder {
    fn default() -> Self {
        Self { latent: 2, hidden: 64, draw_from: DrawFrom::StandardNormal }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DrawFrom {
    StandardNormal,
    /// Of eight components.
    Mixture,
}

impl Generator for Autoencoder {
    const NAME: &'static str = "autoencoder";
    const SUMMARY: &'static str = "autoencoder: an example said again from a few numbers";
    const CITATION: &'static str = "Rumelhart, Hinton and Williams 1986; Ghosh et al. 2020";
    const VERSION: u32 = 1;
    const OFFERS: Offers = Offers { samples: true, ..Offers::NOTHING };

    fn check(&self) -> Result<(), String> {
        match (self.latent, self.hidden) {
            (0, _) => Err("`latent` must be at least 1".to_owned()),
            (_, 0) => Err("`hidden` must be at least 1".to_owned()),
            _ => Ok(()),
        }
    }

    fn parameters(&self, features: usize) -> usize {
        Perceptron::parameters([features, self.hidden, self.latent])
            + Perceptron::parameters([self.latent, self.hidden, features])
    }

    fn fit(
        &self,
        features: usize,
        device: &Device,
        training: &TrainingConfig,
        data: &Dataset,
        run: &mut Run,
    ) -> Fit {
        let seed = run.seed;
        let mut initialiser = Initialiser::new(seed, device);
        let network = Bottleneck {
            encoder: Perceptron::new([features, self.hidden, self.latent], &mut initialiser),
            decoder: Perceptron::new([self.latent, self.hidden, features], &mut initialiser),
        };
        let (fit, network) = fit_keeping(network, training, data, run);
        let codes = (self.draw_from == DrawFrom::Mixture).then(|| {
            let batches = data.training_set().unwrap_or_else(|| vec![data.training_batch(0)]);
            let coded =
                |batch: &Batch| vector(network.encoder.forward(tensor(batch, &network.encoder.device())));
            let values = batches.iter().flat_map(coded).map(f64::from).collect();
            let rows = Rows { width: self.latent, values };
            let components = rows.len().min(MIXED);
            let config = GaussianMixtureConfig { components, ..GaussianMixtureConfig::default() };
            config.fit(&rows, &mut Random::new(seed, Stream::Sampling)).0
        });
        let predictor = Coded { network, codes, latent: self.latent, answers: fit.predictor };
        Fit { predictor: Box::new(predictor), ..fit }
    }
}

/// Encoder and decoder.
#[derive(Module, Debug)]
struct Bottleneck {
    encoder: Perceptron,
    decoder: Perceptron,
}

impl Network for Bottleneck {
    /// The negative squared error of each example.
    fn outputs(&self, batch: &Batch, _: Positions, _: &BodyContext) -> Tensor<2> {
        let rows = tensor(batch, &self.encoder.device());
        let again = self.decoder.forward(self.encoder.forward(rows.clone()));
        (rows - again).square().sum_dim(1).neg()
    }

    fn loss(&self, batch: &Batch, _: LossKind, context: &BodyContext) -> Tensor<1> {
        self.outputs(batch, Positions::All, context).mean().neg()
    }

    fn body_parameters(&self) -> usize {
        Module::num_params(self)
    }

    fn multiply_adds(&self, batch: &Batch) -> u64 {
        (batch.size * (self.encoder.multiply_adds() + self.decoder.multiply_adds())) as u64
    }
}

/// A trained autoencoder with a distribution in its middle.
struct Coded {
    network: Bottleneck,
    /// `None` for the standard normal distribution.
    codes: Option<Mixture>,
    latent: usize,
    answers: Box<dyn Predictor>,
}

impl Predictor for Coded {
    fn predict(&self, batch: &Batch) -> Predictions {
        self.answers.predict(batch)
    }

    fn body_parameters(&self) -> usize {
        self.answers.body_parameters()
    }

    fn total_parameters(&self) -> usize {
        self.answers.total_parameters()
    }

    fn generative(&self) -> Option<&dyn Generative> {
        Some(self)
    }
}

impl Generative for Coded {
    fn log_densities(&self, _: &Batch) -> LogDensities {
        LogDensities::Unknown
    }

    #[expect(clippy::cast_possible_truncation, reason = "networks compute in single precision")]
    fn sample(&self, size: usize, random: &mut Random) -> Samples {
        let codes: Vec<f32> = match &self.codes {
            Some(mixture) => (0..size).flat_map(|_| mixture.draw(random)).map(|value| value as f32).collect(),
            None => (0..size * self.latent).map(|_| random.normal()).collect(),
        };
        let codes = TensorData::new(codes, [size, self.latent]);
        let device = self.network.decoder.device();
        let values = vector(self.network.decoder.forward(Tensor::from_data(codes, &device)));
        Samples { values, classes: None }
    }
}
