//! The bidirectional LSTM: two layers, one of which reads the sequence from its end.
//!
//! ```text
//! forwards = LSTM(x),  backwards = R(LSTM'(R(x)))
//! y_t = concat(forwards_t, backwards_t) P + p
//! R(x)_t = x_(length-1-t) where t < length, x_t in the padding
//! x, y [time, width], forwards, backwards [time, hidden], P [2 hidden, width]
//! ```
//!
//! Both layers are those of `lstm.rs`, with weights of their own. The reversal stays within the length of each sequence, so
//! that the layer that reads from the end starts at the last symbol and meets the padding after it has answered.
//!
//! Schuster and Paliwal 1997, with LSTM cells as in Graves and Schmidhuber 2005.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use kernels::linear::Activation;
use kernels::recurrent::CellKind;
use kernels::rows::rows;
use sequence::Interface;
use serde::{Deserialize, Serialize};
use training::{Body, BodyContext, Initialiser, mapped};

use crate::Architecture;
use crate::architecture::nearest;
use crate::lstm::{constant_biases, layer};
use crate::recurrent::{RecurrentLayer, check};

/// Settings of the bidirectional LSTM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct BidirectionalLstm {
    /// Units in each direction, unless a number of parameters is requested.
    pub(crate) hidden: usize,
    /// Initial bias of the forget gate.
    pub(crate) forget_bias: f32,
}

impl Default for BidirectionalLstm {
    fn default() -> Self {
        Self { hidden: 48, forget_bias: 1.0 }
    }
}

impl Architecture for BidirectionalLstm {
    const NAME: &'static str = "bidirectional-lstm";
    const SUMMARY: &'static str = "two LSTMs, one from the start and one from the end of the sequence";
    const CITATION: &'static str = "Schuster and Paliwal 1997; Graves and Schmidhuber 2005";
    const VERSION: u32 = 1;
    type Body = BidirectionalLstmBody;

    fn reads_ahead(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        check(self.hidden, 1)?;
        if self.forget_bias.is_finite() { Ok(()) } else { Err("`forget-bias` must be finite".to_owned()) }
    }

    fn body_parameters(&self, width: usize) -> usize {
        let hidden = self.hidden;
        let layer = 4 * hidden * (width + hidden) + 4 * hidden;
        2 * layer + 2 * hidden * width + width
    }

    fn resized(self, width: usize, parameters: usize) -> Self {
        let hidden = nearest(parameters, |hidden| Self { hidden, ..self.clone() }.body_parameters(width));
        Self { hidden, ..self }
    }

    fn init(&self, width: usize, _: &Interface, initialiser: &mut Initialiser) -> BidirectionalLstmBody {
        let mut direction =
            || layer(width, self.hidden, initialiser, |_| constant_biases(self.hidden, self.forget_bias));
        let (forwards, backwards) = (direction(), direction());
        BidirectionalLstmBody { forwards, backwards, projection: initialiser.linear(2 * self.hidden, width) }
    }
}

/// One layer in each direction, and the projection of both to the width of the read-out.
#[derive(Module, Debug)]
pub(crate) struct BidirectionalLstmBody {
    forwards: RecurrentLayer,
    backwards: RecurrentLayer,
    projection: Linear,
}

impl Body for BidirectionalLstmBody {
    fn forward(&self, inputs: Tensor<3>, context: &BodyContext) -> Tensor<3> {
        let inputs = context.dropout(inputs); // [batch, time, width]
        let backwards = reversed(inputs.clone(), context.lengths);
        let backwards = reversed(self.backwards.forward(CellKind::Lstm, backwards), context.lengths);
        let forwards = self.forwards.forward(CellKind::Lstm, inputs);
        let both = context.dropout(Tensor::cat(vec![forwards, backwards], 2)); // [batch, time, 2 hidden]
        mapped(&self.projection, both, Activation::None)
    }

    fn multiply_adds(&self, time: usize) -> u64 {
        let projection = self.projection.weight.shape().num_elements();
        (time * (self.forwards.products() + self.backwards.products() + projection)) as u64
    }
}

/// Each sequence of `[batch, time, width]` from its last position to its first, with the padding where it was.
fn reversed(values: Tensor<3>, lengths: &[usize]) -> Tensor<3> {
    let [batch, time, width] = values.dims();
    let mirrored = |(sequence, &length): (usize, &usize)| {
        (0..time).map(move |t| sequence * time + if t < length { length - 1 - t } else { t })
    };
    let order = lengths.iter().enumerate().flat_map(mirrored);
    let order = order.map(|row| u32::try_from(row).expect("a batch has fewer than 2^32 positions"));
    rows(values.reshape([batch * time, width]), order.collect()).reshape([batch, time, width])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use sequence::Random;

    use super::*;

    fn tensor(values: Vec<f32>, shape: [usize; 3]) -> Tensor<3> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn values(tensor: Tensor<3>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn a_reversal_stays_within_the_length_and_undoes_itself() {
        let batch = tensor((1..=8).map(|value| value as f32).collect(), [2, 4, 1]);
        let turned = reversed(batch.clone(), &[3, 4]);
        // By hand: 1 2 3 | 4 is padding, and 5 6 7 8 has none.
        assert_eq!(values(turned.clone()), [3.0, 2.0, 1.0, 4.0, 8.0, 7.0, 6.0, 5.0]);
        assert_eq!(values(reversed(turned, &[3, 4])), values(batch));
    }

    /// The body with the identity as projection, so that its output is both layers' states side by side.
    fn body(width: usize, hidden: usize) -> BidirectionalLstmBody {
        assert_eq!(width, 2 * hidden);
        let settings = BidirectionalLstm { hidden, ..BidirectionalLstm::default() };
        let mut initialiser = Initialiser::new(4, &Device::flex());
        let mut body = settings.init(width, &interface(), &mut initialiser);
        body.projection = Linear {
            weight: initialiser.identity([width, width]),
            bias: Some(initialiser.constant([width], 0.0)),
        };
        body
    }

    fn interface() -> Interface {
        Interface {
            inputs: sequence::InputKind::Features { width: 1 },
            outputs: 1,
            loss: sequence::LossKind::MeanSquaredError,
            maximum_time: 5,
        }
    }

    #[test]
    fn each_half_is_a_layer_on_the_sequence_read_its_way() {
        let (width, hidden, time, length) = (4, 2, 5, 3);
        let body = body(width, hidden);
        let mut random = Random::new(3, sequence::Stream::Test);
        let inputs: Vec<f32> = (0..time * width).map(|_| random.normal()).collect();
        let outputs = values(
            body.forward(tensor(inputs.clone(), [1, time, width]), &BodyContext::evaluation(&[length])),
        );
        // The three real positions by hand, and nothing after them.
        let real: Vec<&[f32]> = inputs.chunks(width).take(length).collect();
        let from_the_end: Vec<f32> = real.iter().rev().flat_map(|row| row.iter().copied()).collect();
        let forwards =
            values(body.forwards.forward(CellKind::Lstm, tensor(real.concat(), [1, length, width])));
        let backwards =
            values(body.backwards.forward(CellKind::Lstm, tensor(from_the_end, [1, length, width])));
        for t in 0..length {
            let position = &outputs[t * width..][..width];
            assert_eq!(position[..hidden], forwards[t * hidden..][..hidden], "forwards at {t}");
            assert_eq!(
                position[hidden..],
                backwards[(length - 1 - t) * hidden..][..hidden],
                "backwards at {t}"
            );
        }
    }

    #[test]
    fn the_first_output_depends_on_the_last_real_symbol_and_on_no_padding() {
        let body = body(4, 2);
        let first = |changed: Option<usize>, length: usize| {
            let mut inputs = vec![0.5; 5 * 4];
            if let Some(position) = changed {
                inputs[position * 4] = -1.0;
            }
            let outputs = body.forward(tensor(inputs, [1, 5, 4]), &BodyContext::evaluation(&[length]));
            values(outputs)[..4].to_vec()
        };
        assert_ne!(first(Some(2), 3), first(None, 3));
        assert_eq!(first(Some(3), 3), first(None, 3));
        // Twin: the same position matters where it is no padding.
        assert_ne!(first(Some(3), 4), first(None, 4));
    }

    #[test]
    fn multiply_adds_and_parameters_by_hand() {
        let settings = BidirectionalLstm { hidden: 3, ..BidirectionalLstm::default() };
        let body = settings.init(6, &interface(), &mut Initialiser::new(0, &Device::flex()));
        // In each direction 6x12 and 3x12 weights; 6x6 of the projection. Biases: 2 x 12 and 6.
        let weights = 2 * (72 + 36) + 36;
        assert_eq!(body.multiply_adds(5), 5 * weights);
        assert_eq!(body.parameters() as u64, weights + 24 + 6);
        assert_eq!(body.parameters(), settings.body_parameters(6));
    }
}
