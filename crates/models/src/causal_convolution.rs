//! The causal convolutional network.
//!
//! ```text
//! h_0 = x A + a,  y = h_layers B + b
//! h_l[t] = h_{l-1}[t] + relu(c_l + sum over i < kernel of h_{l-1}[t - i d_l] W_li)
//! d_l = dilation-base^(l - 1),  h_l[t] = 0 where t < 0
//! x, y [time, width], h [time, channels], A [width, channels], W_li [channels, channels], B [channels, width]
//! receptive field: 1 + (kernel - 1) (d_1 + ... + d_layers) positions
//! ```
//!
//! An output depends on the inputs of its receptive field, which ends at its own position, and on no others.
//!
//! Bai, Kolter and Koltun 2018, with one convolution a block instead of two and without weight normalisation.
//!

use std::iter::{self, successors};

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use kernels::convolution::causal_convolution;
use kernels::cost;
use kernels::linear::Activation;
use sequence::Interface;
use serde::{Deserialize, Serialize};
use training::{Body, BodyContext, Initialiser};

use crate::Architecture;
use crate::architecture::nearest;

/// Settings of the causal convolutional network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct CausalConvolution {
    /// Values a position inside the layers, unless a number of parameters is requested.
    pub(crate) channels: usize,
    /// Layers.
    pub(crate) layers: usize,
    /// Positions that a layer reads, the current one included.
    pub(crate) kernel: usize,
    /// How many times further apart these positions are than in the layer before: 1 keeps them adjacent, 2 doubles.
    pub(crate) dilation_base: usize,
}

impl Default for CausalConvolution {
    /// A receptive field of 127 positions.
    fn default() -> Self {
        Self { channels: 32, layers: 6, kernel: 3, dilation_base: 2 }
    }
}

impl Architecture for CausalConvolution {
    const NAME: &'static str = "causal-convolution";
    const SUMMARY: &'static str =
        "dilated causal convolutions: every layer combines a few past positions, further apart than the last";
    const CITATION: &'static str = "Bai, Kolter and Koltun 2018";
    const VERSION: u32 = 1;
    type Body = CausalConvolutionBody;

    fn check(&self) -> Result<(), String> {
        let settings = [
            ("channels", self.channels),
            ("layers", self.layers),
            ("kernel", self.kernel),
            ("dilation-base", self.dilation_base),
        ];
        match settings.into_iter().find(|&(_, value)| value == 0) {
            Some((key, _)) => Err(format!("`{key}` must be at least 1")),
            None => Ok(()),
        }
    }

    fn body_parameters(&self, width: usize) -> usize {
        let channels = self.channels;
        let layer = self.kernel * channels * channels + channels;
        let projections = width * channels + channels + channels * width + width;
        self.layers * layer + projections
    }

    fn resized(self, width: usize, parameters: usize) -> Self {
        let channels =
            nearest(parameters, |channels| Self { channels, ..self.clone() }.body_parameters(width));
        Self { channels, ..self }
    }

    fn init(&self, width: usize, _: &Interface, initialiser: &mut Initialiser) -> CausalConvolutionBody {
        let channels = self.channels;
        // As PyTorch draws a convolution: uniform over ±1/sqrt(values that an output sums over).
        let bound = 1.0 / ((self.kernel * channels) as f32).sqrt();
        CausalConvolutionBody {
            input: initialiser.linear(width, channels),
            layers: (0..self.layers)
                .map(|_| Convolution {
                    current: initialiser.uniform([channels, channels], bound),
                    bias: initialiser.uniform([channels], bound),
                    earlier: (1..self.kernel)
                        .map(|_| initialiser.uniform([channels, channels], bound))
                        .collect(),
                })
                .collect(),
            output: initialiser.linear(channels, width),
            dilation_base: self.dilation_base,
        }
    }
}

/// The layers, between linear maps from the width of the embedding and to that of the read-out.
#[derive(Module, Debug)]
pub(crate) struct CausalConvolutionBody {
    input: Linear,
    layers: Vec<Convolution>,
    output: Linear,
    #[module(skip)]
    dilation_base: usize,
}

/// One convolution, a weight `[channels, channels]` for each tap.
#[derive(Module, Debug)]
struct Convolution {
    /// The tap at the current position.
    current: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    /// The taps before it, the nearest first.
    earlier: Vec<Param<Tensor<2>>>,
}

impl Body for CausalConvolutionBody {
    fn forward(&self, inputs: Tensor<3>, context: &BodyContext) -> Tensor<3> {
        let mut hidden = context.dropout(counted(&self.input, inputs)); // [batch, time, channels]
        for (layer, dilation) in self.dilated_layers() {
            let convolved = layer.forward(hidden.clone(), dilation);
            hidden = hidden + context.dropout(convolved);
        }
        counted(&self.output, hidden)
    }

    fn multiply_adds(&self, time: usize) -> u64 {
        let mut weights = vec![&self.input.weight, &self.output.weight];
        for (layer, dilation) in self.dilated_layers() {
            weights.extend(layer.reading_taps(dilation, time));
        }
        let weights: usize = weights.iter().map(|weight| weight.shape().num_elements()).sum();
        (time * weights) as u64
    }
}

impl CausalConvolutionBody {
    fn dilated_layers(&self) -> impl Iterator<Item = (&Convolution, usize)> {
        let dilations =
            successors(Some(1_usize), |dilation| Some(dilation.saturating_mul(self.dilation_base)));
        self.layers.iter().zip(dilations)
    }
}

impl Convolution {
    /// The rectified convolution, `[batch, time, channels]` -> `[batch, time, channels]`.
    fn forward(&self, inputs: Tensor<3>, dilation: usize) -> Tensor<3> {
        let taps = self.reading_taps(dilation, inputs.dims()[1]).map(Param::val).collect();
        let weight = Tensor::stack(taps, 0);
        causal_convolution(inputs, weight, self.bias.val(), dilation, Activation::Relu)
    }

    /// The taps that read anything in `time` positions. The others get no gradient.
    fn reading_taps(&self, dilation: usize, time: usize) -> impl Iterator<Item = &Param<Tensor<2>>> {
        let delays = (1..).map(move |tap: usize| tap.saturating_mul(dilation));
        let earlier = self.earlier.iter().zip(delays).take_while(move |&(_, delay)| delay < time);
        iter::once(&self.current).chain(earlier.map(|(tap, _)| tap))
    }
}

/// A linear map of burn's, whose product is counted. It adds a weight's gradient up sequence by sequence, and the kernel of
/// `training::mapped` position by position: another rounding than that of the committed results.
fn counted(linear: &Linear, inputs: Tensor<3>) -> Tensor<3> {
    cost::count(inputs.shape().num_elements() * linear.weight.dims()[1]);
    linear.forward(inputs)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// A body whose projections are the identity and whose layers all have these taps, the current one first, without
    /// biases. The settings give the shape.
    fn body(settings: &CausalConvolution, taps: &[Vec<f32>]) -> CausalConvolutionBody {
        let channels = settings.channels;
        let initialiser = Initialiser::new(0, &Device::flex());
        let bias = || initialiser.parameter([channels], vec![0.0; channels]);
        let identity = || Linear { weight: initialiser.identity([channels, channels]), bias: Some(bias()) };
        let tap = |weight: &Vec<f32>| initialiser.parameter([channels, channels], weight.clone());
        let layer = || Convolution {
            current: tap(&taps[0]),
            bias: bias(),
            earlier: taps[1..].iter().map(tap).collect(),
        };
        CausalConvolutionBody {
            input: identity(),
            layers: (0..settings.layers).map(|_| layer()).collect(),
            output: identity(),
            dilation_base: settings.dilation_base,
        }
    }

    /// The outputs for one sequence, `[time, channels]`.
    fn outputs(body: &CausalConvolutionBody, channels: usize, inputs: Vec<f32>) -> Vec<f32> {
        let time = inputs.len() / channels;
        let inputs = Tensor::from_data(TensorData::new(inputs, [1, time, channels]), &Device::flex());
        let outputs = body.forward(inputs, &BodyContext::evaluation(&[time]));
        outputs.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn outputs_by_hand() {
        let settings = CausalConvolution { channels: 2, layers: 2, kernel: 2, dilation_base: 2 };
        // The earlier tap is the identity and the current one 0, so h_l[t] = h_{l-1}[t] + relu(h_{l-1}[t - d_l]).
        let body = body(&settings, &[vec![0.0; 4], vec![1.0, 0.0, 0.0, 1.0]]);
        // h_1, with d_1 = 1: (1, -1), (3, 5), (5, 5), (7, 2). To it h_2, with d_2 = 2, adds 0, 0, (1, 0) and (3, 5).
        let by_hand = [1.0, -1.0, 3.0, 5.0, 6.0, 5.0, 10.0, 7.0];
        assert_eq!(outputs(&body, 2, vec![1.0, -1.0, 2.0, 5.0, 3.0, 0.0, 4.0, 2.0]), by_hand);
    }

    #[test]
    fn the_receptive_field_is_the_documented_one() {
        // kernel, dilation base and layers; the field by hand: 1 + (kernel - 1) times the sum of the dilations.
        for (kernel, dilation_base, layers, field) in [
            (2, 2, 3, 1 + (1 + 2 + 4)),
            (3, 1, 4, 1 + 2 * (1 + 1 + 1 + 1)),
            (2, 3, 3, 1 + (1 + 3 + 9)),
            (3, 2, 6, 127),
            (1, 2, 3, 1),
        ] {
            let settings = CausalConvolution { channels: 1, layers, kernel, dilation_base };
            let body = body(&settings, &vec![vec![0.5]; kernel]);
            let last = |inputs: Vec<f32>| outputs(&body, 1, inputs).pop().unwrap();
            // The last output's field starts at position 1 of field + 1. Positive values pass every relu.
            let with_two_at = |position: usize| {
                let mut inputs = vec![1.0; field + 1];
                inputs[position] = 2.0;
                last(inputs)
            };
            let unchanged = last(vec![1.0; field + 1]);
            assert_eq!(with_two_at(0), unchanged, "just outside: {settings:?}");
            assert_ne!(with_two_at(1), unchanged, "just inside: {settings:?}");
        }
    }

    #[test]
    fn multiply_adds_by_hand() {
        let settings = CausalConvolution { channels: 4, layers: 2, kernel: 3, dilation_base: 2 };
        let interface = Interface {
            inputs: sequence::InputKind::Features { width: 1 },
            outputs: 1,
            loss: sequence::LossKind::MeanSquaredError,
            maximum_time: 5,
        };
        let body = settings.init(6, &interface, &mut Initialiser::new(0, &Device::flex()));
        // 4 positions through 6x4 and 4x6 weights and five times 4x4: the second layer's last tap lies 4 positions back and
        // reads nothing. Of 5 positions it reads one.
        assert_eq!(body.multiply_adds(4), 4 * (24 + 24 + 5 * 16));
        assert_eq!(body.multiply_adds(5), 5 * (24 + 24 + 6 * 16));
        assert_eq!(body.parameters(), settings.body_parameters(6));
    }
}
