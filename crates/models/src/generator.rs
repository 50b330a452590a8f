//! Networks that model their inputs instead of answering: what the file of one gives, and the learner made of it.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};
use kernels::linear::{Activation, linear};
use sequence::{Batch, Dataset, Fit, InputKind, Inputs, LearnError, Learner, LossKind, Run};
use serde::Serialize;
use serde::de::DeserializeOwned;
use training::{Initialiser, TrainingConfig, device, mapped};

use crate::architecture::{check_training, parse};
use crate::{Offers, Size};

/// The settings of a network that models rows of features.
pub trait Generator: Clone + Default + Serialize + DeserializeOwned + Send + 'static {
    /// Name in definitions and tables.
    const NAME: &'static str;
    /// What it is, in one line.
    const SUMMARY: &'static str;
    /// Who described it.
    const CITATION: &'static str;
    /// Raised whenever the same settings and seed would train to something else.
    const VERSION: u32;
    /// What it says of the examples.
    const OFFERS: Offers;

    /// Says what is wrong with the settings and what would be right, if anything is.
    ///
    /// # Errors
    /// One sentence that names the setting.
    fn check(&self) -> Result<(), String>;

    /// Parameters of the networks for rows of `features` values.
    fn parameters(&self, features: usize) -> usize;

    /// The networks trained on the rows, whose parameters get gradients on `device`.
    fn fit(
        &self,
        features: usize,
        device: &Device,
        training: &TrainingConfig,
        data: &Dataset,
        run: &mut Run,
    ) -> Fit;
}

pub(crate) fn build<G: Generator>(
    settings: &serde_json::Value,
    training: &TrainingConfig,
    size: &Size,
) -> Result<Box<dyn Learner>, LearnError> {
    let settings: G = parse(G::NAME, settings)?;
    let wrong = |reason: String| LearnError::Setting { model: G::NAME, reason };
    settings.check().map_err(wrong)?;
    check_training(G::NAME, training, size)?;
    if let Some(requested) = size.body_parameters {
        let reason =
            format!("its size is its own setting, so it cannot be given {requested} body parameters");
        return Err(wrong(reason));
    }
    Ok(Box::new(GeneratorLearner { settings, training: training.clone() }))
}

struct GeneratorLearner<G> {
    settings: G,
    training: TrainingConfig,
}

impl<G: Generator> GeneratorLearner<G> {
    fn features(data: &Dataset) -> Result<usize, LearnError> {
        let unsuitable =
            |reason: &str| Err(LearnError::Unsuitable { model: G::NAME, reason: reason.to_owned() });
        let interface = data.interface();
        let InputKind::Features { width: features @ 1.. } = interface.inputs else {
            return unsuitable("it models rows of real numbers, and this task has none");
        };
        if interface.loss != LossKind::Density || interface.maximum_time != 1 {
            return unsuitable("it models its examples and answers nothing, and this task asks for answers");
        }
        if data.validation().iter().flat_map(values).any(|value| value.is_nan()) {
            return unsuitable("it needs every value, and in this task some are missing");
        }
        Ok(features)
    }
}

impl<G: Generator> Learner for GeneratorLearner<G> {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let features = Self::features(data)?;
        let device = device(&self.training.device)
            .map_err(|error| LearnError::Setting { model: G::NAME, reason: error.to_string() })?
            .autodiff();
        Ok(self.settings.fit(features, &device, &self.training, data, run))
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        let InputKind::Features { width } = data.interface().inputs else { return 0 };
        let validation = data.validation().iter().map(|batch| batch.size).max().unwrap_or_default();
        training::peak_bytes(self.settings.parameters(width), data.batch_size(), validation)
    }
}

/// The features of a batch.
pub(crate) fn values(batch: &Batch) -> &[f32] {
    match &batch.inputs {
        Inputs::Features { values, .. } => values,
        Inputs::Tokens(_) => &[],
    }
}

/// The features of a batch, `[examples, features]`.
pub(crate) fn tensor(batch: &Batch, device: &Device) -> Tensor<2> {
    let values = values(batch).to_vec();
    let features = values.len() / batch.size.max(1);
    Tensor::from_data(TensorData::new(values, [batch.size, features]), device)
}

/// The values of a tensor.
pub(crate) fn vector<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("networks compute in single precision")
}

/// A network of two hidden layers of rectified units: `[rows, inputs]` -> `[rows, outputs]`.
#[derive(Module, Debug)]
pub(crate) struct Perceptron {
    first: Linear,
    second: Linear,
    last: Linear,
}

impl Perceptron {
    pub(crate) fn new([inputs, hidden, outputs]: [usize; 3], initialiser: &mut Initialiser) -> Self {
        Self {
            first: initialiser.linear(inputs, hidden),
            second: initialiser.linear(hidden, hidden),
            last: initialiser.linear(hidden, outputs),
        }
    }

    pub(crate) fn parameters([inputs, hidden, outputs]: [usize; 3]) -> usize {
        (inputs + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * outputs
    }

    pub(crate) fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        let hidden = mapped(&self.first, rows, Activation::Relu);
        mapped(&self.last, mapped(&self.second, hidden, Activation::Relu), Activation::None)
    }

    /// Replaces the biases of the last layer.
    pub(crate) fn set_last_bias(&mut self, biases: Vec<f32>) {
        let size = [biases.len()];
        self.last.bias = Some(Param::from_data(TensorData::new(biases, size), &self.device()));
    }

    /// As [`forward`](Self::forward), with weights times `masks`, which have their shapes.
    pub(crate) fn forward_masked(&self, rows: Tensor<2>, masks: [Tensor<2>; 3]) -> Tensor<2> {
        let layers = [
            (&self.first, Activation::Relu),
            (&self.second, Activation::Relu),
            (&self.last, Activation::None),
        ];
        layers.into_iter().zip(masks).fold(rows, |rows, ((layer, activation), mask)| {
            let bias = layer.bias.as_ref().expect("an initialiser's linear layer has a bias");
            linear(rows, layer.weight.val() * mask, bias.val(), activation)
        })
    }

    /// Multiply-adds of one row.
    pub(crate) fn multiply_adds(&self) -> usize {
        [&self.first, &self.second, &self.last].map(|layer| layer.weight.shape().num_elements()).iter().sum()
    }

    pub(crate) fn device(&self) -> Device {
        self.first.weight.val().device()
    }
}

#[cfg(test)]
impl Perceptron {
    /// Sets every weight and bias to 0.
    pub(crate) fn silence(&mut self) {
        for layer in [&mut self.first, &mut self.second, &mut self.last] {
            layer.weight = Param::from_tensor(layer.weight.val().zeros_like());
            layer.bias = layer.bias.take().map(|bias| Param::from_tensor(bias.val().zeros_like()));
        }
    }
}
