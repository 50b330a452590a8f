//! The simple recurrent network.
//!
//! ```text
//! h_t = tanh(x_t W + h_{t-1} U + b),  h_0 = 0
//! x [inputs], h [hidden], W [inputs, hidden], U [hidden, hidden]
//! ```
//!
//! Elman 1990. With `identity-relu`, max(0, .) takes the place of tanh and U starts as the identity (Le, Jaitly and Hinton
//! 2015).

use kernels::recurrent::CellKind;
use sequence::Interface;
use serde::{Deserialize, Serialize};
use training::Initialiser;

use crate::Architecture;
use crate::architecture::nearest;
use crate::recurrent::{RecurrentBody, RecurrentLayer, body_parameters, check};

/// Settings of the simple recurrent network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Rnn {
    /// Units a layer, unless a number of parameters is requested.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// How the recurrent weights start.
    pub initialisation: RnnInitialisation,
}

/// How the recurrent weights start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RnnInitialisation {
    /// All weights and biases uniform over ±1/sqrt(hidden), as PyTorch does.
    Uniform,
    /// Recurrent weights orthogonal, biases 0, the rest as in `Uniform` (Saxe et al. 2014).
    Orthogonal,
    /// Rectified units; recurrent weights the identity, biases 0, input weights normal with standard deviation 0.001 (Le,
    /// Jaitly and Hinton 2015).
    IdentityRelu,
}

impl Default for Rnn {
    fn default() -> Self {
        Self { hidden: 64, layers: 1, initialisation: RnnInitialisation::Orthogonal }
    }
}

impl Architecture for Rnn {
    const NAME: &'static str = "rnn";
    const SUMMARY: &'static str =
        "simple recurrent network: the next state is a squashed linear map of input and state";
    const CITATION: &'static str = "Elman 1990";
    const VERSION: u32 = 1;
    type Body = RecurrentBody;

    fn check(&self) -> Result<(), String> {
        check(self.hidden, self.layers)
    }

    fn body_parameters(&self, width: usize) -> usize {
        body_parameters(width, self.hidden, self.layers, 1, 1)
    }

    fn resized(self, width: usize, parameters: usize) -> Self {
        let hidden = nearest(parameters, |hidden| Self { hidden, ..self.clone() }.body_parameters(width));
        Self { hidden, ..self }
    }

    fn init(&self, width: usize, _: &Interface, initialiser: &mut Initialiser) -> RecurrentBody {
        let hidden = self.hidden;
        let bound = 1.0 / (hidden as f32).sqrt();
        let kind = match self.initialisation {
            RnnInitialisation::Uniform | RnnInitialisation::Orthogonal => CellKind::Tanh,
            RnnInitialisation::IdentityRelu => CellKind::Relu,
        };
        RecurrentBody::new(kind, width, hidden, self.layers, initialiser, |inputs, initialiser| {
            let (input, recurrent, bias) = match self.initialisation {
                RnnInitialisation::Uniform => (
                    initialiser.uniform([inputs, hidden], bound),
                    initialiser.uniform([hidden, hidden], bound),
                    initialiser.uniform([hidden], bound),
                ),
                RnnInitialisation::Orthogonal => (
                    initialiser.uniform([inputs, hidden], bound),
                    initialiser.orthogonal_blocks(hidden, 1),
                    initialiser.constant([hidden], 0.0),
                ),
                RnnInitialisation::IdentityRelu => (
                    initialiser.normal([inputs, hidden], 0.001),
                    initialiser.identity(hidden),
                    initialiser.constant([hidden], 0.0),
                ),
            };
            RecurrentLayer { input, recurrent, bias, recurrent_bias: None }
        })
    }
}
