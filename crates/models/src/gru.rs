//! The gated recurrent unit.
//!
//! ```text
//! r_t, z_t = sigmoid(x_t W + h_{t-1} U + b)                a block of W, U and b each
//! n_t = tanh(x_t W + b + r_t * (h_{t-1} U + b'))           the third block
//! h_t = (1 - z_t) * n_t + z_t * h_{t-1},  h_0 = 0
//! x [inputs], h [hidden], W [inputs, 3 hidden], U [hidden, 3 hidden], blocks in the order r, z, n
//! ```
//!
//! Cho et al. 2014; the reset acts after the product, as in version 3 of the paper, in cuDNN and in PyTorch.

use kernels::recurrent::CellKind;
use sequence::Interface;
use serde::{Deserialize, Serialize};
use training::Initialiser;

use crate::Architecture;
use crate::architecture::nearest;
use crate::positions::AddedPositions;
use crate::recurrent::{RecurrentBody, RecurrentLayer, body_parameters, check};

/// Settings of the GRU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Gru {
    /// Units a layer, unless a number of parameters is requested.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// What is added to the inputs to tell positions apart.
    pub position: AddedPositions,
}

impl Default for Gru {
    fn default() -> Self {
        Self { hidden: 64, layers: 1, position: AddedPositions::None }
    }
}

impl Architecture for Gru {
    const NAME: &'static str = "gru";
    const SUMMARY: &'static str = "gated recurrent unit: one gate blends the old state with a candidate";
    const CITATION: &'static str = "Cho et al. 2014";
    const VERSION: u32 = 1;
    type Body = RecurrentBody;

    fn check(&self) -> Result<(), String> {
        check(self.hidden, self.layers)
    }

    fn body_parameters(&self, width: usize) -> usize {
        body_parameters(width, self.hidden, self.layers, 3, 4)
    }

    fn resized(self, width: usize, parameters: usize) -> Self {
        let hidden = nearest(parameters, |hidden| Self { hidden, ..self.clone() }.body_parameters(width));
        Self { hidden, ..self }
    }

    fn init(&self, width: usize, _: &Interface, initialiser: &mut Initialiser) -> RecurrentBody {
        let hidden = self.hidden;
        let bound = 1.0 / (hidden as f32).sqrt();
        RecurrentBody::new(CellKind::Gru, width, hidden, self.layers, initialiser, |inputs, initialiser| {
            RecurrentLayer {
                input: initialiser.uniform([inputs, 3 * hidden], bound),
                recurrent: initialiser.orthogonal_blocks(hidden, 3),
                bias: initialiser.constant([3 * hidden], 0.0),
                recurrent_bias: Some(initialiser.constant([hidden], 0.0)),
            }
        })
        .told(self.position)
    }
}
