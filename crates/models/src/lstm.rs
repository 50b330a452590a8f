//! Long short-term memory.
//!
//! ```text
//! i_t, f_t, o_t = sigmoid(x_t W + h_{t-1} U + b)           a block of W, U and b each
//! g_t = tanh(x_t W + h_{t-1} U + b)
//! c_t = f_t * c_{t-1} + i_t * g_t,  h_t = o_t * tanh(c_t),  h_0 = c_0 = 0
//! x [inputs], h and c [hidden], W [inputs, 4 hidden], U [hidden, 4 hidden], blocks in the order i, f, g, o
//! ```
//!
//! Hochreiter and Schmidhuber 1997, with the forget gate of Gers, Schmidhuber and Cummins 2000.

use kernels::recurrent::CellKind;
use sequence::Interface;
use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use training::Initialiser;

use crate::Architecture;
use crate::architecture::nearest;
use crate::positions::AddedPositions;
use crate::recurrent::{RecurrentBody, RecurrentLayer, body_parameters, check};

/// Settings of the LSTM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Lstm {
    /// Units a layer, unless a number of parameters is requested.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// What is added to the inputs to tell positions apart.
    pub position: AddedPositions,
    /// Initial bias of the forget gate.
    pub forget_bias: ForgetBias,
    /// The longest dependency in positions that a chrono initialisation expects; only with `forget-bias = "chrono"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_scale: Option<u32>,
}

/// The initial bias of the forget gate: a number, or `"chrono"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ForgetBias {
    /// The same for every unit; the biases of the other gates are 0.
    Constant(f32),
    /// ln U(1, T - 1) with the time scale T, and its negative for the input gate (Tallec and Ollivier 2018).
    Chrono,
}

impl Default for Lstm {
    fn default() -> Self {
        Self {
            hidden: 64,
            layers: 1,
            position: AddedPositions::None,
            forget_bias: ForgetBias::Constant(1.0),
            time_scale: None,
        }
    }
}

impl Architecture for Lstm {
    const NAME: &'static str = "lstm";
    const SUMMARY: &'static str =
        "long short-term memory: gates decide what a cell keeps, takes in and shows";
    const CITATION: &'static str = "Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000";
    const VERSION: u32 = 1;
    type Body = RecurrentBody;

    fn check(&self) -> Result<(), String> {
        check(self.hidden, self.layers)?;
        match (self.forget_bias, self.time_scale) {
            (ForgetBias::Chrono, None) => {
                Err("`forget-bias = \"chrono\"` needs `time-scale`, the longest dependency in positions"
                    .to_owned())
            }
            (ForgetBias::Chrono, Some(scale)) if scale < 3 => {
                Err(format!("`time-scale` = {scale} must be at least 3"))
            }
            (ForgetBias::Constant(_), Some(_)) => {
                Err("`time-scale` is only used with `forget-bias = \"chrono\"`".to_owned())
            }
            (ForgetBias::Constant(bias), None) if !bias.is_finite() => {
                Err("`forget-bias` must be finite".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn body_parameters(&self, width: usize) -> usize {
        body_parameters(width, self.hidden, self.layers, 4, 4)
    }

    fn resized(self, width: usize, parameters: usize) -> Self {
        let hidden = nearest(parameters, |hidden| Self { hidden, ..self.clone() }.body_parameters(width));
        Self { hidden, ..self }
    }

    fn init(&self, width: usize, _: &Interface, initialiser: &mut Initialiser) -> RecurrentBody {
        let hidden = self.hidden;
        RecurrentBody::new(CellKind::Lstm, width, hidden, self.layers, initialiser, |inputs, initialiser| {
            layer(inputs, hidden, initialiser, |initialiser| self.biases(initialiser))
        })
        .told(self.position)
    }
}

/// A new layer of `hidden` units; its biases are drawn last.
pub(crate) fn layer(
    inputs: usize,
    hidden: usize,
    initialiser: &mut Initialiser,
    biases: impl FnOnce(&mut Initialiser) -> Vec<f32>,
) -> RecurrentLayer {
    let bound = 1.0 / (hidden as f32).sqrt();
    RecurrentLayer {
        input: initialiser.uniform([inputs, 4 * hidden], bound),
        recurrent: initialiser.orthogonal_blocks(hidden, 4),
        bias: {
            let biases = biases(initialiser);
            initialiser.parameter([4 * hidden], biases)
        },
        recurrent_bias: None,
    }
}

/// Biases `[4 * hidden]` that are 0 but for those of the forget gate.
pub(crate) fn constant_biases(hidden: usize, forget: f32) -> Vec<f32> {
    let mut biases = vec![0.0; 4 * hidden];
    biases[hidden..2 * hidden].fill(forget);
    biases
}

impl Lstm {
    /// The initial biases of one layer, `[4 * hidden]`.
    fn biases(&self, initialiser: &mut Initialiser) -> Vec<f32> {
        let hidden = self.hidden;
        match (self.forget_bias, self.time_scale) {
            (ForgetBias::Chrono, Some(scale)) => {
                let mut biases = constant_biases(hidden, 0.0);
                for unit in 0..hidden {
                    let bias = initialiser.random().uniform(1.0, scale as f32 - 1.0).ln();
                    biases[unit] = -bias;
                    biases[hidden + unit] = bias;
                }
                biases
            }
            (ForgetBias::Constant(bias), _) => constant_biases(hidden, bias),
            (ForgetBias::Chrono, None) => {
                unreachable!("`check` refuses a chrono initialisation without a time scale")
            }
        }
    }
}

impl Serialize for ForgetBias {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ForgetBias::Constant(bias) => serializer.serialize_f32(*bias),
            ForgetBias::Chrono => serializer.serialize_str("chrono"),
        }
    }
}

impl<'de> Deserialize<'de> for ForgetBias {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrChrono;

        impl Visitor<'_> for NumberOrChrono {
            type Value = ForgetBias;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("a number or \"chrono\" as `forget-bias`")
            }

            #[expect(clippy::cast_possible_truncation, reason = "biases are single precision")]
            fn visit_f64<E: Error>(self, bias: f64) -> Result<ForgetBias, E> {
                Ok(ForgetBias::Constant(bias as f32))
            }

            fn visit_i64<E: Error>(self, bias: i64) -> Result<ForgetBias, E> {
                self.visit_f64(bias as f64)
            }

            fn visit_u64<E: Error>(self, bias: u64) -> Result<ForgetBias, E> {
                self.visit_f64(bias as f64)
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<ForgetBias, E> {
                match name {
                    "chrono" => Ok(ForgetBias::Chrono),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(name), &self)),
                }
            }
        }

        deserializer.deserialize_any(NumberOrChrono)
    }
}
