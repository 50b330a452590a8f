//! The minimal gated recurrent unit, whose recurrence is linear in the state.
//!
//! ```text
//! z_t = sigmoid(x_t W_z + b_z),  c_t = x_t W_c + b_c
//! h_t = (1 - z_t) * h_{t-1} + z_t * c_t,  h_0 = 0
//! x [inputs], z, c and h [hidden], W_z and W_c [inputs, hidden] beside each other
//! ```
//!
//! Gate and candidate do not look at the state before, as the GRU's do. So all of them are computed at once, and the states in a
//! number of rounds that grows with the logarithm of the length ([`kernels::scan`]).
//!
//! Feng, Tung, Ahmed, Bengio and Hajimirsadeghi 2024 ("Were RNNs all we needed?"), without the form in logarithms.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use kernels::linear::Activation;
use kernels::scan::linear_recurrence;
use sequence::Interface;
use serde::{Deserialize, Serialize};
use training::{Body, BodyContext, Initialiser, Memory, mapped};

use crate::Architecture;
use crate::architecture::nearest;
use crate::recurrent::check;

/// Settings of the minimal gated recurrent unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct MinGru {
    /// Units a layer, unless a number of parameters is requested.
    pub(crate) hidden: usize,
    /// Layers.
    pub(crate) layers: usize,
}

impl Default for MinGru {
    fn default() -> Self {
        Self { hidden: 64, layers: 1 }
    }
}

impl Architecture for MinGru {
    const NAME: &'static str = "min-gru";
    const SUMMARY: &'static str = "minimal gated recurrent unit: gates that do not look at the state, so that all positions are computed at once";
    const CITATION: &'static str = "Feng et al. 2024";
    const VERSION: u32 = 1;
    type Body = MinGruBody;

    fn check(&self) -> Result<(), String> {
        check(self.hidden, self.layers)
    }

    fn body_parameters(&self, width: usize) -> usize {
        let layer = |inputs: usize| 2 * self.hidden * (inputs + 1);
        layer(width) + (self.layers - 1) * layer(self.hidden) + self.hidden * width + width
    }

    fn resized(self, width: usize, parameters: usize) -> Self {
        let hidden = nearest(parameters, |hidden| Self { hidden, ..self.clone() }.body_parameters(width));
        Self { hidden, ..self }
    }

    fn init(&self, width: usize, _: &Interface, initialiser: &mut Initialiser) -> MinGruBody {
        let inputs = |layer: usize| if layer == 0 { width } else { self.hidden };
        MinGruBody {
            layers: (0..self.layers)
                .map(|layer| initialiser.linear(inputs(layer), 2 * self.hidden))
                .collect(),
            projection: initialiser.linear(self.hidden, width),
        }
    }
}

/// Layers, each a map to gates and candidates, and a linear projection to the width of the read-out.
#[derive(Module, Debug)]
pub(crate) struct MinGruBody {
    layers: Vec<Linear>,
    projection: Linear,
}

impl Body for MinGruBody {
    fn forward(&self, inputs: Tensor<3>, context: &BodyContext) -> Tensor<3> {
        let mut hidden = context.dropout(inputs);
        for layer in &self.layers {
            let (kept, added) = terms(layer, hidden);
            hidden = context.dropout(linear_recurrence(kept, added));
        }
        mapped(&self.projection, hidden, Activation::None)
    }

    fn multiply_adds(&self, time: usize) -> u64 {
        let maps = self.layers.iter().chain([&self.projection]);
        (time * maps.map(|map| map.weight.shape().num_elements()).sum::<usize>()) as u64
    }

    /// Remembers the state of each layer.
    fn step(&self, input: Tensor<3>, memory: &mut Memory) -> Option<Tensor<3>> {
        let mut before = std::mem::take(&mut memory.tensors).into_iter();
        let mut hidden = input; // [batch, 1, width], then [batch, 1, hidden]
        for layer in &self.layers {
            let (kept, added) = terms(layer, hidden);
            hidden = match before.next() {
                Some(state) => kept * state.squeeze_dim::<3>(1) + added,
                None => added,
            };
            memory.tensors.push(hidden.clone().unsqueeze_dim(1));
        }
        memory.position += 1;
        Some(mapped(&self.projection, hidden, Activation::None))
    }
}

/// What a layer keeps of the state, `1 - z`, and what it adds to it, `z * c`: `[batch, time, hidden]` each.
fn terms(layer: &Linear, inputs: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
    let both = mapped(layer, inputs, Activation::None);
    let hidden = both.dims()[2] / 2;
    let gate = sigmoid(both.clone().narrow(2, 0, hidden));
    let candidate = both.narrow(2, hidden, hidden);
    (-gate.clone() + 1.0, gate * candidate)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use sequence::{InputKind, LossKind};

    use super::*;

    #[test]
    fn two_positions_by_hand() {
        // One unit, all weights 0: z = sigmoid(b_z) = 1/2 and c = 3, and the projection doubles.
        let device = Device::flex();
        let map = |weights: Vec<f32>, shape: [usize; 2], bias: Vec<f32>| {
            let initialiser = Initialiser::new(0, &device);
            Linear {
                bias: Some(initialiser.parameter([bias.len()], bias)),
                weight: initialiser.parameter(shape, weights),
            }
        };
        let body = MinGruBody {
            layers: vec![map(vec![0.0, 0.0], [1, 2], vec![0.0, 3.0])],
            projection: map(vec![2.0], [1, 1], vec![0.0]),
        };
        let inputs = Tensor::<3>::from_data(TensorData::new(vec![5.0_f32, 7.0], [1, 2, 1]), &device);
        let outputs = body.forward(inputs, &BodyContext::evaluation(&[2]));
        // h = 3/2, then 3/4 + 3/2.
        assert_eq!(outputs.into_data().try_into_vec::<f32>().unwrap(), [3.0, 4.5]);
    }

    #[test]
    fn multiply_adds_by_hand() {
        let settings = MinGru { hidden: 4, layers: 2 };
        let interface = Interface {
            inputs: InputKind::Features { width: 1 },
            outputs: 1,
            loss: LossKind::MeanSquaredError,
            maximum_time: 3,
        };
        let body = settings.init(6, &interface, &mut Initialiser::new(0, &Device::flex()));
        // 3 positions through 6 x 8, 4 x 8 and 4 x 6 weights.
        assert_eq!(body.multiply_adds(3), 3 * (48 + 32 + 24));
        assert_eq!(body.parameters(), settings.body_parameters(6));
    }
}
