//! The simple recurrent network.
//!
//! ```text
//! h_t = tanh(x_t W + h_{t-1} U + b),  h_0 = 0
//! x [inputs], h [hidden], W [inputs, hidden], U [hidden, hidden]
//! ```
//!
//! Elman 1990. With `identity-relu`, max(0, .) takes the place of tanh and U starts as the identity (Le, Jaitly and Hinton
//! 2015). Without a squashing function and with a rotation for U it is the network of the closed forms.

use burn::module::Param;
use burn::tensor::Tensor;
use kernels::recurrent::CellKind;
use sequence::Interface;
use serde::{Deserialize, Serialize};
use training::Initialiser;

use crate::Architecture;
use crate::architecture::nearest;
use crate::positions::AddedPositions;
use crate::recurrent::{RecurrentBody, RecurrentLayer, body_parameters, check};

/// Settings of the simple recurrent network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Rnn {
    /// Units a layer, unless a number of parameters is requested.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// What is added to the inputs to tell positions apart.
    pub position: AddedPositions,
    /// How the recurrent weights start.
    pub initialisation: RnnInitialisation,
    /// What the initial recurrent weights are multiplied by: their spectral radius where they are orthogonal.
    pub radius: f32,
    /// What squashes the state, if not what goes with the initialisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<RnnActivation>,
}

/// What squashes the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RnnActivation {
    /// The hyperbolic tangent.
    Tanh,
    /// max(0, .).
    Relu,
    /// Nothing: a network whose gradients have a closed form, and which cannot learn anything that is not linear.
    Linear,
}

/// How the recurrent weights start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RnnInitialisation {
    /// All weights and biases uniform over ±1/sqrt(hidden), as PyTorch does.
    Uniform,
    /// Recurrent weights orthogonal, biases 0, the rest as in `Uniform` (Saxe et al. 2014).
    Orthogonal,
    /// Recurrent weights orthogonal, input weights the identity, biases 0: with as many units as inputs, a linear network of
    /// radius r hands back over n steps exactly r^n of a gradient.
    Rotation,
    /// Rectified units; recurrent weights the identity, biases 0, input weights normal with standard deviation 0.001 (Le,
    /// Jaitly and Hinton 2015).
    IdentityRelu,
}

impl Default for Rnn {
    fn default() -> Self {
        Self {
            hidden: 64,
            layers: 1,
            position: AddedPositions::None,
            initialisation: RnnInitialisation::Orthogonal,
            radius: 1.0,
            activation: None,
        }
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
        check(self.hidden, self.layers)?;
        if self.radius.is_finite() && self.radius >= 0.0 {
            Ok(())
        } else {
            Err(format!("`radius` = {} must be a number from 0", self.radius))
        }
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
        let kind = match (self.activation, self.initialisation) {
            (Some(RnnActivation::Linear), _) => CellKind::Linear,
            (Some(RnnActivation::Relu), _) | (None, RnnInitialisation::IdentityRelu) => CellKind::Relu,
            _ => CellKind::Tanh,
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
                RnnInitialisation::Rotation => (
                    initialiser.identity([inputs, hidden]),
                    initialiser.orthogonal_blocks(hidden, 1),
                    initialiser.constant([hidden], 0.0),
                ),
                RnnInitialisation::IdentityRelu => (
                    initialiser.normal([inputs, hidden], 0.001),
                    initialiser.identity([hidden, hidden]),
                    initialiser.constant([hidden], 0.0),
                ),
            };
            let recurrent =
                if self.radius == 1.0 { recurrent } else { scaled(&recurrent, self.radius, initialiser) };
            RecurrentLayer { input, recurrent, bias, recurrent_bias: None }
        })
        .told(self.position)
    }
}

/// A parameter of its own with `factor` times the values; the product of a parameter would be a result, not a parameter.
fn scaled(parameter: &Param<Tensor<2>>, factor: f32, initialiser: &Initialiser) -> Param<Tensor<2>> {
    let values: Vec<f32> =
        parameter.val().into_data().try_into_vec().expect("parameters are single precision");
    initialiser.parameter(parameter.dims(), values.into_iter().map(|value| value * factor).collect())
}
