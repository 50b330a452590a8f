//! Generative adversarial network: one network draws examples, and another tells them from real ones (Goodfellow et al. 2014).
//!
//! ```text
//! discriminator D:  minimise  -log D(x) - log (1 - D(G(z)))        x from training, z standard normal [latent]
//! generator G:      minimise  -log D(G(z))                         the form that does not saturate
//! ```
//!
//! Both descend by Adam with a first beta of 0.5 (Radford, Metz and Chintala 2016), the discriminator `discriminator-steps` times an update and at
//! `rate-ratio` times the rate of the generator. Nothing here is a likelihood: examples can be drawn, and no density can be told. The
//! network that is kept is the one of the best energy score on validation examples, so that it is not judged at an unlucky moment of the game.

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::softplus;
use burn::tensor::{Device, Tensor, TensorData};
use sequence::{
    Batch, CurvePoint, Dataset, Fit, Generative, LogDensities, Outcome, Predictions, Predictor, Random, Run,
    Samples, Stream,
};
use serde::{Deserialize, Serialize};
use training::{Initialiser, TrainingConfig};

use crate::Offers;
use crate::energy::energy_scores;
use crate::examples::predictions;
use crate::generator::{Generator, Perceptron, tensor, values, vector};

/// Examples that an energy score is estimated with.
const SCORED_SAMPLES: usize = 500;

/// Settings of a generative adversarial network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct GenerativeAdversarialNetwork {
    /// Normal numbers that an example is made of.
    latent: usize,
    /// Units of each of two hidden layers of both networks.
    hidden: usize,
    /// Steps of the discriminator an update.
    discriminator_steps: u32,
    /// The rate of the discriminator, as a multiple of the generator's.
    rate_ratio: f64,
}

impl Default for GenerativeAdversarialNetwork {
    fn default() -> Self {
        Self { latent: 2, hidden: 64, discriminator_steps: 1, rate_ratio: 1.0 }
    }
}

impl Generator for GenerativeAdversarialNetwork {
    const NAME: &'static str = "generative-adversarial-network";
    const SUMMARY: &'static str =
        "generative adversarial network: examples that a second network cannot tell from real ones";
    const CITATION: &'static str = "Goodfellow et al. 2014; Radford, Metz and Chintala 2016";
    const VERSION: u32 = 1;
    const OFFERS: Offers = Offers { samples: true, ..Offers::NOTHING };

    fn check(&self) -> Result<(), String> {
        if self.latent == 0 || self.hidden == 0 || self.discriminator_steps == 0 {
            return Err("`latent`, `hidden` and `discriminator-steps` must be at least 1".to_owned());
        }
        if !(self.rate_ratio.is_finite() && self.rate_ratio > 0.0) {
            return Err(format!("`rate-ratio` is {}, it must be more than 0", self.rate_ratio));
        }
        Ok(())
    }

    fn parameters(&self, features: usize) -> usize {
        Perceptron::parameters([self.latent, self.hidden, features])
            + Perceptron::parameters([features, self.hidden, 1])
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
        let generator = Perceptron::new([self.latent, self.hidden, features], &mut initialiser);
        let discriminator = Perceptron::new([features, self.hidden, 1], &mut initialiser);
        let parameters = self.parameters(features);
        let mut game = Game {
            latent: self.latent,
            parameters,
            optimisers: [optimiser(), optimiser()],
            generator,
            discriminator,
            curve: Vec::new(),
            multiply_adds: 0,
            best: None,
        };
        let mut outcome = Outcome::Finished;
        let mut losses = (0.0, 0.0);
        game.evaluate(0, f64::NAN, data, run);
        for update in 0..run.budget.updates {
            let mut random = Random::new(run.seed, Stream::Dropout(update));
            let rate = training.rate_at(update);
            for step in 0..u64::from(self.discriminator_steps) {
                let batch = data.training_batch(update * u64::from(self.discriminator_steps) + step);
                game.tell_apart(&batch, rate * self.rate_ratio, &mut random);
            }
            let loss = game.deceive(data.batch_size(), rate, &mut random);
            losses = (losses.0 + loss, losses.1 + 1.0);
            if !loss.is_finite() {
                outcome = Outcome::Diverged { updates: update };
                break;
            }
            let made = update + 1;
            if made.is_multiple_of(run.budget.evaluate_every) || made == run.budget.updates {
                game.evaluate(made, losses.0 / losses.1, data, run);
                losses = (0.0, 0.0);
            }
        }
        let (best_validation, drawer) = game.best.expect("update 0 was evaluated");
        let updates = game.curve.last().map_or(0, |point| point.updates);
        Fit {
            predictor: Box::new(drawer),
            outcome,
            updates,
            multiply_adds: game.multiply_adds,
            best_validation,
            curve: game.curve,
        }
    }
}

fn optimiser() -> ModuleOptimizer {
    AdamConfig::new().with_beta_1(0.5).with_epsilon(1e-8).init()
}

/// Both networks and how far they have come.
struct Game {
    latent: usize,
    parameters: usize,
    /// Of generator and discriminator.
    optimisers: [ModuleOptimizer; 2],
    generator: Perceptron,
    discriminator: Perceptron,
    curve: Vec<CurvePoint>,
    multiply_adds: u64,
    best: Option<(f64, Drawer)>,
}

impl Game {
    /// One step of the discriminator on real and on drawn examples.
    fn tell_apart(&mut self, batch: &Batch, rate: f64, random: &mut Random) {
        let device = self.discriminator.device();
        let drawn = self.generator.forward(normal(batch.size, self.latent, random, &device)).detach();
        // -log sigmoid(u) is softplus(-u), and -log (1 - sigmoid(u)) softplus(u).
        let real = softplus(self.discriminator.forward(tensor(batch, &device)).neg(), 1.0).mean();
        let false_ones = softplus(self.discriminator.forward(drawn), 1.0).mean();
        let gradients = GradientsParams::from_grads((real + false_ones).backward(), &self.discriminator);
        self.discriminator = self.optimisers[1].step(rate, self.discriminator.clone(), gradients);
        let forward = self.generator.multiply_adds() + 3 * 2 * self.discriminator.multiply_adds();
        self.multiply_adds += (batch.size * forward) as u64;
    }

    /// One step of the generator; returns its loss.
    fn deceive(&mut self, size: usize, rate: f64, random: &mut Random) -> f64 {
        let codes = normal(size, self.latent, random, &self.generator.device());
        let judged = self.discriminator.forward(self.generator.forward(codes));
        let loss = softplus(judged.neg(), 1.0).mean();
        let value = f64::from(loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), &self.generator);
        self.generator = self.optimisers[0].step(rate, self.generator.clone(), gradients);
        let both = self.generator.multiply_adds() + self.discriminator.multiply_adds();
        self.multiply_adds += (3 * size * both) as u64;
        value
    }

    fn evaluate(&mut self, updates: u64, training_loss: f64, data: &Dataset, run: &mut Run) {
        let drawer =
            Drawer { generator: self.generator.valid(), latent: self.latent, parameters: self.parameters };
        let answers: Vec<_> = data.validation().iter().map(|batch| drawer.predict(batch)).collect();
        let validation = data.validation_scores(&answers).first().map_or(f64::NAN, |score| score.value);
        let point = CurvePoint { updates, multiply_adds: self.multiply_adds, training_loss, validation };
        self.curve.push(point);
        if let Some(observer) = run.observer.as_mut() {
            observer(&point, &drawer);
        }
        let better = |than: f64| {
            if data.larger_is_better() { validation > than } else { validation < than }
        };
        if self.best.as_ref().is_none_or(|(best, _)| better(*best) || best.is_nan()) {
            self.best = Some((validation, drawer));
        }
    }
}

/// `[size, latent]` standard normal values.
fn normal(size: usize, latent: usize, random: &mut Random, device: &Device) -> Tensor<2> {
    let codes: Vec<f32> = (0..size * latent).map(|_| random.normal()).collect();
    Tensor::from_data(TensorData::new(codes, [size, latent]), device)
}

/// A trained generator.
struct Drawer {
    generator: Perceptron,
    latent: usize,
    parameters: usize,
}

impl Predictor for Drawer {
    /// The negative energy score of each example.
    fn predict(&self, batch: &Batch) -> Predictions {
        let rows = values(batch);
        let samples = self.sample(SCORED_SAMPLES, &mut Random::new(0, Stream::Sampling)).values;
        let mut scores = energy_scores(rows, &samples, rows.len() / batch.size.max(1)).into_iter();
        predictions(batch, 1, |_| scores.next().map(|score| -score).into_iter().collect())
    }

    fn body_parameters(&self) -> usize {
        self.parameters
    }

    fn total_parameters(&self) -> usize {
        self.parameters
    }

    fn generative(&self) -> Option<&dyn Generative> {
        Some(self)
    }
}

impl Generative for Drawer {
    fn log_densities(&self, _: &Batch) -> LogDensities {
        LogDensities::Unknown
    }

    fn sample(&self, size: usize, random: &mut Random) -> Samples {
        let codes = normal(size, self.latent, random, &self.generator.device());
        Samples { values: vector(self.generator.forward(codes)), classes: None }
    }
}
