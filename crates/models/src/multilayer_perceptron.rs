//! The multilayer perceptron, a feed-forward network.
//!
//! ```text
//! h_0 = x,  h_l = relu(h_{l-1} W_l + b_l),  y = h_layers A + a
//! x, y [time, width], W_1 [width, hidden], other W_l [hidden, hidden], b_l [hidden], A [hidden, width]
//! ```
//!
//! An output depends on the input of its own position alone: it reads what a task shows at one position, and of a longer sequence the last.
//!
//! Rosenblatt 1958; trained by backpropagation in Rumelhart, Hinton and Williams 1986.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use kernels::linear::Activation;
use sequence::Interface;
use serde::{Deserialize, Serialize};
use training::{Body, BodyContext, Initialiser, mapped};

use crate::Architecture;
use crate::architecture::nearest;

/// Settings of the multilayer perceptron.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct MultilayerPerceptron {
    /// Units of a layer, unless a number of parameters is requested.
    pub(crate) hidden: usize,
    /// Hidden layers.
    pub(crate) layers: usize,
}

impl Default for MultilayerPerceptron {
    fn default() -> Self {
        Self { hidden: 100, layers: 2 }
    }
}

impl Architecture for MultilayerPerceptron {
    const NAME: &'static str = "multilayer-perceptron";
    const SUMMARY: &'static str =
        "multilayer perceptron, a feed-forward network: layers of rectified units, each position by itself";
    const CITATION: &'static str = "Rosenblatt 1958; Rumelhart, Hinton and Williams 1986";
    const VERSION: u32 = 1;
    type Body = MultilayerPerceptronBody;

    fn check(&self) -> Result<(), String> {
        match [("hidden", self.hidden), ("layers", self.layers)].into_iter().find(|&(_, value)| value == 0) {
            Some((key, _)) => Err(format!("`{key}` must be at least 1")),
            None => Ok(()),
        }
    }

    fn body_parameters(&self, width: usize) -> usize {
        let Self { hidden, layers } = *self;
        (width + 1) * hidden + (layers - 1) * (hidden + 1) * hidden + (hidden + 1) * width
    }

    fn resized(self, width: usize, parameters: usize) -> Self {
        let hidden = nearest(parameters, |hidden| Self { hidden, ..self }.body_parameters(width));
        Self { hidden, ..self }
    }

    fn init(&self, width: usize, _: &Interface, initialiser: &mut Initialiser) -> MultilayerPerceptronBody {
        let inputs = |layer: usize| if layer == 0 { width } else { self.hidden };
        MultilayerPerceptronBody {
            layers: (0..self.layers).map(|layer| initialiser.linear(inputs(layer), self.hidden)).collect(),
            output: initialiser.linear(self.hidden, width),
        }
    }
}

/// The layers, and a linear map to the width of the read-out.
#[derive(Module, Debug)]
pub(crate) struct MultilayerPerceptronBody {
    layers: Vec<Linear>,
    output: Linear,
}

impl Body for MultilayerPerceptronBody {
    fn forward(&self, inputs: Tensor<3>, context: &BodyContext) -> Tensor<3> {
        let hidden = self
            .layers
            .iter()
            .fold(inputs, |hidden, layer| context.dropout(mapped(layer, hidden, Activation::Relu)));
        mapped(&self.output, hidden, Activation::None)
    }

    fn multiply_adds(&self, time: usize) -> u64 {
        let weights =
            self.layers.iter().chain([&self.output]).map(|layer| layer.weight.shape().num_elements());
        (time * weights.sum::<usize>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use sequence::{InputKind, LossKind};

    use super::*;

    #[test]
    fn outputs_sizes_and_costs_by_hand() {
        let initialiser = Initialiser::new(0, &Device::flex());
        let linear = |shape: [usize; 2], weight: &[f32], bias: &[f32]| Linear {
            weight: initialiser.parameter(shape, weight.to_vec()),
            bias: Some(initialiser.parameter([shape[1]], bias.to_vec())),
        };
        let body = MultilayerPerceptronBody {
            layers: vec![
                linear([1, 2], &[1.0, -1.0], &[0.0, 1.0]),
                linear([2, 2], &[1.0, 2.0, 3.0, -4.0], &[0.5, 0.0]),
            ],
            output: linear([2, 1], &[2.0, 1.0], &[-1.0]),
        };
        let settings = MultilayerPerceptron { hidden: 2, layers: 2 };
        assert_eq!(body.parameters(), settings.body_parameters(1));
        assert_eq!(body.multiply_adds(3), 3 * (2 + 4 + 2));
        // x = 2: (2, 0), then (2.5, 4), then 8. x = -1: (0, 2), then (6.5, 0), then 12.
        let inputs = Tensor::from_data(TensorData::new(vec![2.0f32, -1.0], [1, 2, 1]), &Device::flex());
        let outputs = body.forward(inputs, &BodyContext::evaluation(&[2]));
        assert_eq!(outputs.into_data().try_into_vec::<f32>().unwrap(), [8.0, 12.0]);
    }

    #[test]
    fn it_has_the_requested_size() {
        let interface = Interface {
            inputs: InputKind::Features { width: 1 },
            outputs: 1,
            loss: LossKind::MeanSquaredError,
            maximum_time: 1,
        };
        for layers in [1, 3] {
            let settings =
                MultilayerPerceptron { layers, ..MultilayerPerceptron::default() }.resized(32, 5000);
            let body = settings.init(32, &interface, &mut Initialiser::new(0, &Device::flex()));
            assert_eq!(body.parameters(), settings.body_parameters(32));
            assert!(body.parameters().abs_diff(5000) <= 250, "{}", body.parameters());
        }
    }
}
