//! Autoregressive network: a density as a product of conditional ones, all by one masked network (Germain et al. 2015).
//!
//! ```text
//! p(x) = product over j of p(x_j given x_1 ... x_{j-1})
//! p(x_j given those before) = sum_k softmax(a_j)_k N(x_j; m_jk, s_jk^2),   a, m and log s [features, components] by the network
//! ```
//!
//! Each unit of a hidden layer has a degree from 1 to features - 1. It reads features up to its degree and units of degrees up to its own, and what is
//! said of feature j reads units of degrees below j: then the conditionals of j read what comes before j alone, and all of them cost one
//! pass. The likelihood is exact. A sample is drawn one feature after the other, a pass for each. Mixtures of normal distributions as conditionals
//! are those of Uria, Murray and Larochelle (2013); their deviations are at least `least-deviation`, or one training example that
//! repeats would have a density without bound. Training begins with the means at training examples and the deviations of all examples: components that
//! begin alike stay alike for long.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use sequence::{Batch, Dataset, Fit, Generative, LogDensities, LossKind, Random, Run, Samples};
use serde::{Deserialize, Serialize};
use training::{BodyContext, Initialiser, Network, Positions, TrainingConfig, fit};

use crate::Offers;
use crate::generator::{Generator, Perceptron, tensor, values, vector};

/// Settings of an autoregressive network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Autoregressive {
    /// Units of each of two hidden layers.
    hidden: usize,
    /// Normal distributions of a conditional.
    components: usize,
    /// The smallest deviation of one.
    least_deviation: f32,
}

impl Default for Autoregressive {
    fn default() -> Self {
        Self { hidden: 64, components: 8, least_deviation: 0.01 }
    }
}

impl Generator for Autoregressive {
    const NAME: &'static str = "autoregressive";
    const SUMMARY: &'static str =
        "autoregressive network: the likelihood of each feature given those before it, by one masked network";
    const CITATION: &'static str =
        "Bengio and Bengio 1999; Uria, Murray and Larochelle 2013; Germain et al. 2015";
    const VERSION: u32 = 1;
    const OFFERS: Offers = Offers { log_density: true, samples: true, ..Offers::NOTHING };

    fn check(&self) -> Result<(), String> {
        if self.hidden == 0 || self.components == 0 {
            return Err("`hidden` and `components` must be at least 1".to_owned());
        }
        if !(self.least_deviation.is_finite() && self.least_deviation > 0.0) {
            return Err(format!("`least-deviation` is {}, it must be more than 0", self.least_deviation));
        }
        Ok(())
    }

    fn parameters(&self, features: usize) -> usize {
        Perceptron::parameters([features, self.hidden, OF_A_COMPONENT * features * self.components])
    }

    fn fit(
        &self,
        features: usize,
        device: &Device,
        training: &TrainingConfig,
        data: &Dataset,
        run: &mut Run,
    ) -> Fit {
        let mut network = Masked::new(*self, features, &mut Initialiser::new(run.seed, device));
        network.begin_at(values(&data.training_batch(0)));
        fit(network, training, data, run)
    }
}

/// Numbers that the network says of a component: the log-odds of its weight, its mean, and the logarithm of its deviation.
const OF_A_COMPONENT: usize = 3;

#[derive(Module, Debug)]
struct Masked {
    network: Perceptron,
    /// What each layer may read, 1 or 0 in the shape of its weights.
    #[module(skip)]
    masks: [TensorData; 3],
    #[module(skip)]
    features: usize,
    #[module(skip)]
    components: usize,
    #[module(skip)]
    least_deviation: f32,
}

impl Masked {
    fn new(settings: Autoregressive, features: usize, initialiser: &mut Initialiser) -> Self {
        let Autoregressive { hidden, components, least_deviation } = settings;
        let outputs = OF_A_COMPONENT * features * components;
        let network = Perceptron::new([features, hidden, outputs], initialiser);
        let inputs: Vec<usize> = (1..=features).collect();
        let units: Vec<usize> = (0..hidden).map(|unit| 1 + unit % (features - 1).max(1)).collect();
        // A conditional reads degrees below its feature, which counts from 1.
        let said: Vec<usize> = (0..outputs).map(|output| output / components % features).collect();
        let masks = [mask(&inputs, &units), mask(&units, &units), mask(&units, &said)];
        Self { network, masks, features, components, least_deviation }
    }

    /// Puts the mean of each component at one of the rows, and its deviation at that of all of them.
    fn begin_at(&mut self, rows: &[f32]) {
        let Self { features, components, least_deviation, .. } = *self;
        let rows: Vec<&[f32]> = rows.chunks_exact(features).collect();
        let mut biases = vec![0.0; OF_A_COMPONENT * features * components];
        let (_, said) = biases.split_at_mut(features * components);
        let (means, log_deviations) = said.split_at_mut(features * components);
        for feature in 0..features {
            let column = || rows.iter().map(|row| row[feature]);
            let mean = column().sum::<f32>() / rows.len() as f32;
            let variance = column().map(|value| (value - mean).powi(2)).sum::<f32>() / rows.len() as f32;
            for component in 0..components {
                let entry = feature * components + component;
                means[entry] = rows[component % rows.len()][feature];
                log_deviations[entry] = variance.sqrt().max(least_deviation).ln();
            }
        }
        self.network.set_last_bias(biases);
    }

    /// Log-odds, means and log-deviations of the components, `[rows, features, components]` each.
    fn conditionals(&self, rows: Tensor<2>) -> [Tensor<3>; OF_A_COMPONENT] {
        let size = rows.dims()[0];
        let device = self.network.device();
        let masks = self.masks.clone().map(|mask| Tensor::from_data(mask, &device));
        let outputs = self.network.forward_masked(rows, masks);
        let each = self.features * self.components;
        let part = |index: usize| {
            let part = outputs.clone().slice([0..size, index * each..(index + 1) * each]);
            part.reshape([size, self.features, self.components])
        };
        [part(0), part(1), part(2).clamp_min(self.least_deviation.ln())]
    }

    /// log p(x), `[rows, 1]`.
    fn log_density(&self, rows: Tensor<2>) -> Tensor<2> {
        let size = rows.dims()[0];
        let [odds, means, log_deviations] = self.conditionals(rows.clone());
        let values = rows.reshape([size, self.features, 1]);
        let distances = (values - means) * log_deviations.clone().neg().exp();
        let constant = 0.5 * std::f32::consts::TAU.ln();
        let of_components =
            odds.clone() - distances.square().mul_scalar(0.5) - log_deviations.add_scalar(constant);
        let of_features = log_sum(of_components) - log_sum(odds);
        of_features.sum_dim(1).reshape([size, 1])
    }
}

/// 1 where a unit of degree `to` may read one of degree `from`, `[from, to]`.
fn mask(from: &[usize], to: &[usize]) -> TensorData {
    let entries = from.iter().flat_map(|from| to.iter().map(move |to| f32::from(u8::from(from <= to))));
    TensorData::new(entries.collect::<Vec<f32>>(), [from.len(), to.len()])
}

/// The logarithm of the sum of exponentials over the last axis, which remains as 1.
fn log_sum(values: Tensor<3>) -> Tensor<3> {
    let largest = values.clone().max_dim(2).detach();
    (values - largest.clone()).exp().sum_dim(2).log() + largest
}

impl Network for Masked {
    fn outputs(&self, batch: &Batch, _: Positions, _: &BodyContext) -> Tensor<2> {
        self.log_density(tensor(batch, &self.network.device()))
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

    /// Of all weights, masked or not, since all are multiplied.
    fn multiply_adds(&self, batch: &Batch) -> u64 {
        (batch.size * self.network.multiply_adds()) as u64
    }
}

impl Generative for Masked {
    fn log_densities(&self, batch: &Batch) -> LogDensities {
        let told = vector(self.log_density(tensor(batch, &self.network.device())));
        LogDensities::Exact(told.into_iter().map(f64::from).collect())
    }

    fn sample(&self, size: usize, random: &mut Random) -> Samples {
        let device = self.network.device();
        let mut values = vec![0.0; size * self.features];
        for feature in 0..self.features {
            let rows = TensorData::new(values.clone(), [size, self.features]);
            let said = self.conditionals(Tensor::from_data(rows, &device));
            let of_feature = |said: Tensor<3>| vector(said.slice([0..size, feature..feature + 1]));
            let [odds, means, log_deviations] = said.map(of_feature);
            for row in 0..size {
                let components = row * self.components..(row + 1) * self.components;
                let drawn = components.start + draw(&odds[components], random);
                values[row * self.features + feature] =
                    means[drawn] + log_deviations[drawn].exp() * random.normal();
            }
        }
        Samples { values, classes: None }
    }
}

/// One of several, by their log-odds.
fn draw(odds: &[f32], random: &mut Random) -> usize {
    let largest = odds.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = odds.iter().map(|odds| (odds - largest).exp());
    let mut left = random.unit() * weights.clone().sum::<f32>();
    for (index, weight) in weights.enumerate() {
        left -= weight;
        if left < 0.0 {
            return index;
        }
    }
    odds.len() - 1
}

#[cfg(test)]
mod tests {
    use sequence::Stream;
    use training::device;

    use super::*;

    const FEATURES: usize = 4;

    fn network(settings: Autoregressive) -> Masked {
        let device = device("flex").unwrap();
        Masked::new(settings, FEATURES, &mut Initialiser::new(1, &device))
    }

    #[test]
    fn a_conditional_reads_what_comes_before_it_and_nothing_else() {
        let network = network(Autoregressive::default());
        let said = |rows: [f32; FEATURES]| {
            let rows = TensorData::new(rows.to_vec(), [1, FEATURES]);
            let said = network.conditionals(Tensor::from_data(rows, &network.network.device())).map(vector);
            let each = |feature: usize| {
                let of_feature = feature * network.components..(feature + 1) * network.components;
                said.iter().flat_map(|values| values[of_feature.clone()].to_vec()).collect::<Vec<f32>>()
            };
            (0..FEATURES).map(each).collect::<Vec<Vec<f32>>>()
        };
        let before = said([0.3, -1.0, 0.5, 2.0]);
        for moved in 0..FEATURES {
            let mut rows = [0.3, -1.0, 0.5, 2.0];
            rows[moved] += 1.0;
            let after = said(rows);
            for feature in 0..FEATURES {
                assert_eq!(before[feature] != after[feature], moved < feature, "{moved} {feature}");
            }
        }
    }

    #[test]
    fn a_silent_network_is_a_standard_normal_distribution() {
        let mut silent = network(Autoregressive::default());
        silent.network.silence();
        let rows = TensorData::new(vec![1.0f32, -2.0, 0.0, 3.0], [1, FEATURES]);
        let told = vector(silent.log_density(Tensor::from_data(rows, &silent.network.device())))[0];
        let by_hand = -0.5 * 14.0 - 2.0 * std::f32::consts::TAU.ln();
        assert!((told - by_hand).abs() < 1e-5, "{told} {by_hand}");
        let drawn = silent.sample(2000, &mut Random::new(1, Stream::Sampling)).values;
        let square = drawn.iter().map(|value| value * value).sum::<f32>() / drawn.len() as f32;
        // 1, with a standard error of sqrt(2 / 8000) = 0.016; four of them.
        assert!((square - 1.0).abs() < 0.063, "{square}");
    }

    #[test]
    fn training_begins_at_examples() {
        let settings = Autoregressive { components: 2, ..Autoregressive::default() };
        let mut network = network(settings);
        network.network.silence();
        // Of both examples the mean is in the middle and the deviation 1, but in the last feature, which does not vary.
        network.begin_at(&[0.0, 1.0, 2.0, 5.0, 2.0, 3.0, 4.0, 5.0]);
        let rows = TensorData::new(vec![9.0f32; FEATURES], [1, FEATURES]);
        let rows = Tensor::from_data(rows, &network.network.device());
        let [odds, means, log_deviations] = network.conditionals(rows).map(vector);
        assert_eq!(odds, [0.0; 2 * FEATURES]);
        assert_eq!(means, [0.0, 2.0, 1.0, 3.0, 2.0, 4.0, 5.0, 5.0]);
        assert_eq!(log_deviations[..6], [0.0; 6]);
        assert_eq!(log_deviations[6..], [0.01_f32.ln(); 2]);
    }

    #[test]
    fn deviations_have_a_least_one() {
        let settings = Autoregressive { least_deviation: 3.0, ..Autoregressive::default() };
        let mut wide = network(settings);
        wide.network.silence();
        let rows = TensorData::new(vec![0.0f32; FEATURES], [1, FEATURES]);
        let told = vector(wide.log_density(Tensor::from_data(rows, &wide.network.device())))[0];
        let by_hand = -2.0 * std::f32::consts::TAU.ln() - 4.0 * 3.0_f32.ln();
        assert!((told - by_hand).abs() < 1e-5, "{told} {by_hand}");
    }
}
