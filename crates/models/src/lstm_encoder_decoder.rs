//! An LSTM that reads the source and an LSTM that writes the target, with or without attention.
//!
//! ```text
//! e_1 .. e_n = LSTM(source),  z = e_n                                        one direction
//! e_j = [f_j; g_j],  z = [f_n; g_1],  f = LSTM(source),  g = LSTM(source from back to front)     both
//! h_0 = tanh(z A + a),  c_0 = z C + c                                        what the decoder starts with
//! d_1 .. d_m = LSTM(inputs) from h_0, c_0
//! none:        y_t = d_t P + p
//! additive:    s_tj = v' tanh(d_t Q + q + e_j K + k),  w_t = softmax over j of s_tj,  y_t = [d_t; sum_j w_tj e_j] P + p
//! e, z, d [hidden], f and g [hidden / 2], A and C [hidden, hidden], Q and K [hidden, attention], v, q and k [attention], P [hidden or 2 hidden, width]
//! ```
//!
//! Without attention everything that the decoder knows of the source is in `z`: `hidden` numbers, whatever n is
//! (Sutskever, Vinyals and Le 2014; the learnt map from the last state to the decoder's first is that of Cho et al. 2014,
//! here for the cell as well). The additive score and the encoder of both directions are those of Bahdanau, Cho and
//! Bengio 2015. The score is computed from the decoder's state after its step, as in Luong, Pham and Manning 2015, and
//! what was attended to goes to the read-out and not into the next step: no "input feeding", so that the decoder runs in
//! one operation.
//!
//! The forget gates start with bias 1 (Gers, Schmidhuber and Cummins 2000).

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use kernels::additive_scores::additive_scores;
use kernels::linear::Activation;
use kernels::recurrent::{CellKind, RecurrentState, RecurrentWeights, recurrent_sequence};
use kernels::rows::rows;
use serde::{Deserialize, Serialize};
use training::{BodyContext, Initialiser, mapped};

use crate::architecture::nearest;
use crate::encoder_decoder::{EncoderDecoder, PairBody, hide_padding};
use crate::recurrent::RecurrentLayer;
use crate::transformer::weights;

/// Settings of the LSTM encoder-decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct LstmEncoderDecoder {
    /// Units of the encoder and as many of the decoder, unless a number of parameters is requested.
    hidden: usize,
    /// Whether half of the encoder's units, rounded down, read the source from back to front.
    bidirectional: bool,
    /// How the decoder looks at the encoder's states.
    attention: Attention,
    /// Values in which states are compared; only with `attention = "additive"`.
    attention_width: usize,
}

/// How the decoder looks at the encoder's states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Attention {
    /// Not at all, but for the last one, with which it starts.
    None,
    /// At all of them, by the additive score.
    Additive,
}

impl Default for LstmEncoderDecoder {
    fn default() -> Self {
        Self { hidden: 64, bidirectional: false, attention: Attention::None, attention_width: 32 }
    }
}

impl EncoderDecoder for LstmEncoderDecoder {
    const NAME: &'static str = "lstm-encoder-decoder";
    const SUMMARY: &'static str = "an LSTM reads the source, an LSTM writes the target from its last state, with attention to all of them if wanted";
    const CITATION: &'static str =
        "Sutskever, Vinyals and Le 2014; Cho et al. 2014; Bahdanau, Cho and Bengio 2015";
    const VERSION: u32 = 1;
    type Body = LstmPair;

    fn check(&self) -> Result<(), String> {
        match (self.hidden, self.attention_width) {
            (0, _) => Err("`hidden` must be at least 1".to_owned()),
            (1, _) if self.bidirectional => {
                Err("`hidden` must be at least 2 with `bidirectional = true`".to_owned())
            }
            (_, 0) => Err("`attention-width` must be at least 1".to_owned()),
            _ => Ok(()),
        }
    }

    fn body_parameters(&self, width: usize) -> usize {
        let (hidden, compared) = (self.hidden, self.attention_width);
        let layer = |hidden: usize| 4 * hidden * (width + hidden) + 4 * hidden;
        let encoder = self.halves(hidden).map(layer).iter().sum::<usize>();
        let bridge = 2 * hidden * hidden + 2 * hidden;
        let (attention, read) = match self.attention {
            Attention::None => (0, hidden),
            Attention::Additive => (2 * (hidden * compared + compared) + compared, 2 * hidden),
        };
        encoder + layer(hidden) + bridge + attention + read * width + width
    }

    fn resized(self, width: usize, parameters: usize) -> Self {
        let hidden = nearest(parameters, |hidden| Self { hidden, ..self.clone() }.body_parameters(width));
        Self { hidden: hidden.max(if self.bidirectional { 2 } else { 1 }), ..self }
    }

    fn init(&self, width: usize, initialiser: &mut Initialiser) -> LstmPair {
        let (hidden, compared) = (self.hidden, self.attention_width);
        let [forward, backward] = self.halves(hidden);
        let encoder = layer(width, forward, initialiser);
        let backward = self.bidirectional.then(|| layer(width, backward, initialiser));
        let decoder = layer(width, hidden, initialiser);
        let bridge = initialiser.linear(hidden, 2 * hidden);
        let attention = (self.attention == Attention::Additive).then(|| AdditiveAttention {
            query: initialiser.linear(hidden, compared),
            key: initialiser.linear(hidden, compared),
            score: initialiser.uniform([compared], 1.0 / (compared as f32).sqrt()),
        });
        let read = if attention.is_some() { 2 * hidden } else { hidden };
        LstmPair {
            encoder,
            backward,
            decoder,
            bridge,
            attention,
            projection: initialiser.linear(read, width),
        }
    }

    fn values_a_pair(&self) -> usize {
        if self.attention == Attention::None { 0 } else { self.attention_width }
    }
}

impl LstmEncoderDecoder {
    /// Units of the encoder that read from front to back, and from back to front.
    fn halves(&self, hidden: usize) -> [usize; 2] {
        let backward = if self.bidirectional { hidden / 2 } else { 0 };
        [hidden - backward, backward]
    }
}

fn layer(inputs: usize, hidden: usize, initialiser: &mut Initialiser) -> RecurrentLayer {
    let mut biases = vec![0.0; 4 * hidden];
    biases[hidden..2 * hidden].fill(1.0);
    RecurrentLayer {
        input: initialiser.uniform([inputs, 4 * hidden], 1.0 / (hidden as f32).sqrt()),
        recurrent: initialiser.orthogonal_blocks(hidden, 4),
        bias: initialiser.parameter([4 * hidden], biases),
        recurrent_bias: None,
    }
}

/// Encoder, decoder, and what lies between.
#[derive(Module, Debug)]
pub(crate) struct LstmPair {
    encoder: RecurrentLayer,
    /// The half of the encoder that reads from back to front.
    backward: Option<RecurrentLayer>,
    decoder: RecurrentLayer,
    /// From the encoder's last state to the decoder's first hidden state and cell.
    bridge: Linear,
    attention: Option<AdditiveAttention>,
    projection: Linear,
}

/// The additive score and the mixture by it.
#[derive(Module, Debug)]
struct AdditiveAttention {
    query: Linear,
    key: Linear,
    /// `[attention]`.
    score: Param<Tensor<1>>,
}

impl PairBody for LstmPair {
    fn forward(
        &self,
        source: Tensor<3>,
        inputs: Tensor<3>,
        lengths: &[usize],
        context: &BodyContext,
    ) -> Tensor<3> {
        let (encoded, decoded) = self.encoded_and_decoded(source, inputs, lengths, context);
        let read = match &self.attention {
            Some(attention) => {
                let attended = attention.attend(decoded.clone(), encoded, lengths);
                Tensor::cat(vec![decoded, attended], 2) // [batch, time, 2 hidden]
            }
            None => decoded,
        };
        mapped(&self.projection, read, Activation::None)
    }

    fn alignment(
        &self,
        source: Tensor<3>,
        inputs: Tensor<3>,
        lengths: &[usize],
        context: &BodyContext,
    ) -> Option<Tensor<3>> {
        let attention = self.attention.as_ref()?;
        let (encoded, decoded) = self.encoded_and_decoded(source, inputs, lengths, context);
        Some(attention.weights(decoded, encoded, lengths))
    }

    fn multiply_adds(&self, source: usize, time: usize) -> u64 {
        let layer = |layer: &RecurrentLayer| {
            layer.input.shape().num_elements() + layer.recurrent.shape().num_elements()
        };
        let encoder = layer(&self.encoder) + self.backward.as_ref().map_or(0, layer);
        let recurrent = source * encoder + time * layer(&self.decoder);
        let attention = self.attention.as_ref().map_or(0, |attention| {
            let [hidden, compared] = attention.query.weight.dims();
            // Score and mixture cost a multiply-add for each value of a pair.
            (source + time) * hidden * compared + source * time * (compared + hidden)
        });
        (recurrent + weights(&self.bridge) + attention + time * weights(&self.projection)) as u64
    }
}

impl LstmPair {
    /// The states of the encoder, `[batch, source time, hidden]`, and of the decoder, `[batch, time, hidden]`.
    fn encoded_and_decoded(
        &self,
        source: Tensor<3>,
        inputs: Tensor<3>,
        lengths: &[usize],
        context: &BodyContext,
    ) -> (Tensor<3>, Tensor<3>) {
        let (encoded, last) = self.encode(context.dropout(source), lengths, context);
        let hidden = last.dims()[1];
        let first = mapped(&self.bridge, last, Activation::None); // [batch, 2 hidden]
        let initial = RecurrentState {
            hidden: first.clone().narrow(1, 0, hidden).tanh(),
            cell: Some(first.narrow(1, hidden, hidden)),
        };
        let decoded = states(&self.decoder, context.dropout(inputs), Some(initial));
        (encoded, context.dropout(decoded))
    }

    /// The states of the encoder, `[batch, time, hidden]`, and the one after all of each source, `[batch, hidden]`.
    fn encode(&self, source: Tensor<3>, lengths: &[usize], context: &BodyContext) -> (Tensor<3>, Tensor<2>) {
        let time = source.dims()[1];
        let ends = || chosen(lengths, time, 1, |_, length| length - 1);
        let forward = context.dropout(states(&self.encoder, source.clone(), None));
        let last = picked(forward.clone(), ends());
        let Some(backward) = &self.backward else { return (forward, last) };
        // Each source from back to front, its padding left in place; twice is where it was.
        let turned = || {
            chosen(
                lengths,
                time,
                time,
                |position, length| {
                    if position < length { length - 1 - position } else { position }
                },
            )
        };
        let shape = |tensor: Tensor<2>| {
            let [positions, width] = tensor.dims();
            tensor.reshape([positions / time, time, width])
        };
        let back = context.dropout(states(backward, shape(picked(source, turned())), None));
        let last = Tensor::cat(vec![last, picked(back.clone(), ends())], 1);
        (Tensor::cat(vec![forward, shape(picked(back, turned()))], 2), last)
    }
}

/// For each sequence `count` of the positions of a flattened batch, as `place` gives them from a number and the length.
fn chosen(lengths: &[usize], time: usize, count: usize, place: impl Fn(usize, usize) -> usize) -> Vec<u32> {
    let place = &place;
    let all = lengths
        .iter()
        .enumerate()
        .flat_map(|(row, &length)| (0..count).map(move |number| row * time + place(number, length)));
    all.map(|position| u32::try_from(position).expect("a batch has fewer than 2^32 positions")).collect()
}

/// Positions of a flattened batch: `[batch, time, width]` -> `[positions, width]`.
fn picked(sequence: Tensor<3>, positions: Vec<u32>) -> Tensor<2> {
    let [batch, time, width] = sequence.dims();
    rows(sequence.reshape([batch * time, width]), positions)
}

/// The hidden states `[batch, time, hidden]` of a layer.
fn states(layer: &RecurrentLayer, inputs: Tensor<3>, initial: Option<RecurrentState>) -> Tensor<3> {
    let weights = RecurrentWeights {
        input: layer.input.val(),
        recurrent: layer.recurrent.val(),
        bias: layer.bias.val(),
        recurrent_bias: None,
    };
    recurrent_sequence(CellKind::Lstm, inputs, &weights, initial)
}

impl AdditiveAttention {
    /// Mixtures `[batch, time, hidden]` of the `encoded` states `[batch, source time, hidden]` within `lengths`, one for
    /// each of the `decoded` states `[batch, time, hidden]`.
    fn attend(&self, decoded: Tensor<3>, encoded: Tensor<3>, lengths: &[usize]) -> Tensor<3> {
        self.weights(decoded, encoded.clone(), lengths).matmul(encoded)
    }

    /// Weights `[batch, time, source time]` whose rows sum to 1.
    fn weights(&self, decoded: Tensor<3>, encoded: Tensor<3>, lengths: &[usize]) -> Tensor<3> {
        let queries = mapped(&self.query, decoded, Activation::None); // [batch, time, attention]
        let keys = mapped(&self.key, encoded, Activation::None); // [batch, source, attention]
        let scores = additive_scores(queries, keys, self.score.val()); // [batch, time, source]
        softmax(hide_padding(scores, lengths), 2)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn additive_weights_by_hand() {
        let device = Device::flex();
        let vector = |value: f32| Param::from_data(TensorData::new(vec![value], [1]), &device);
        let map = |weight: f32, bias: f32| Linear {
            weight: Param::from_data(TensorData::new(vec![weight], [1, 1]), &device),
            bias: Some(vector(bias)),
        };
        let attention = AdditiveAttention { query: map(1.0, 0.0), key: map(2.0, 0.5), score: vector(3.0) };
        let decoded = Tensor::<3>::from_data([[[0.25_f32]]], &device);
        let encoded = Tensor::<3>::from_data([[[0.1_f32], [-0.4], [9.0]]], &device);
        let weights = values(attention.weights(decoded.clone(), encoded.clone(), &[2]));
        // By hand: scores 3 tanh(0.25 + 0.2 + 0.5) = 2.219_34 and 3 tanh(0.25 - 0.8 + 0.5) = -0.149_88; the third is padding.
        let first = 1.0 / (1.0 + (-0.149_88_f32 - 2.219_34).exp());
        assert!(
            (weights[0] - first).abs() < 1e-5 && (weights[1] - (1.0 - first)).abs() < 1e-5,
            "{weights:?}"
        );
        assert_eq!(weights[2], 0.0);
        let mixture = values(attention.attend(decoded, encoded, &[2]));
        assert!((mixture[0] - (0.1 * first - 0.4 * (1.0 - first))).abs() < 1e-5, "{mixture:?}");
    }

    fn body(attention: Attention) -> (LstmEncoderDecoder, LstmPair) {
        of(LstmEncoderDecoder { hidden: 4, bidirectional: false, attention, attention_width: 3 })
    }

    fn of(settings: LstmEncoderDecoder) -> (LstmEncoderDecoder, LstmPair) {
        let body = settings.init(6, &mut Initialiser::new(0, &Device::flex()));
        (settings, body)
    }

    #[test]
    fn counts_by_hand() {
        // Two layers of 6x16 and 4x16 weights and 16 biases, a bridge of 4x8 and 8, a projection of 4x6 and 6.
        let (settings, plain) = body(Attention::None);
        let parameters = 2 * (96 + 64 + 16) + (32 + 8);
        assert_eq!(
            (settings.body_parameters(6), Module::num_params(&plain)),
            (parameters + 30, parameters + 30)
        );
        // A source of 5 positions, a target of 2.
        assert_eq!(plain.multiply_adds(5, 2), 7 * 160 + 32 + 2 * 24);
        // Attention: 4x3 and 3 for queries, and for keys, 3 for scores; the projection reads 8 values.
        let (settings, additive) = body(Attention::Additive);
        let parameters = parameters + 2 * (12 + 3) + 3 + 54;
        assert_eq!((settings.body_parameters(6), Module::num_params(&additive)), (parameters, parameters));
        assert_eq!(additive.multiply_adds(5, 2), 7 * 160 + 32 + 7 * 12 + 10 * (3 + 4) + 2 * 48);
        // Both directions: two layers of 6x8 and 2x8 weights and 8 biases in place of one of 6x16, 4x16 and 16.
        let (settings, both) = of(LstmEncoderDecoder { bidirectional: true, ..settings });
        let parameters = parameters - 176 + 2 * (48 + 16 + 8);
        assert_eq!((settings.body_parameters(6), Module::num_params(&both)), (parameters, parameters));
        assert_eq!(both.multiply_adds(5, 2), 5 * 128 + 2 * 160 + 32 + 7 * 12 + 10 * (3 + 4) + 2 * 48);
    }

    #[test]
    fn without_attention_the_decoder_knows_of_the_source_what_its_last_state_says() {
        let device = Device::flex();
        let inputs = |time: usize, value: f32| Tensor::<3>::full([1, time, 6], value, &device);
        let context = BodyContext::evaluation(&[2]);
        let (_, body) = body(Attention::None);
        let out = |source: Tensor<3>, lengths: &[usize]| {
            values(body.forward(source, inputs(2, 0.3), lengths, &context))
        };
        // The same by parts: encoder, its last state, bridge, decoder.
        let last = states(&body.encoder, inputs(3, 0.5), None).narrow(1, 2, 1).squeeze_dim::<2>(1);
        let first = mapped(&body.bridge, last, Activation::None);
        let (hidden, cell) = (first.clone().narrow(1, 0, 4).tanh(), first.narrow(1, 4, 4));
        let initial = RecurrentState { hidden, cell: Some(cell) };
        let decoded = states(&body.decoder, inputs(2, 0.3), Some(initial));
        assert_eq!(values(mapped(&body.projection, decoded, Activation::None)), out(inputs(3, 0.5), &[3]));
        // The last state is that of the last position within the length.
        let padded = Tensor::cat(vec![inputs(3, 0.5), inputs(1, -2.0)], 1);
        assert_eq!(out(padded.clone(), &[3]), out(inputs(3, 0.5), &[3]));
        assert_ne!(out(padded.clone(), &[4]), out(padded, &[3]));
    }

    /// With the same weights in both directions, what one half says of a source the other says of the source turned round.
    #[test]
    fn the_second_half_reads_from_back_to_front() {
        let device = Device::flex();
        let context = BodyContext::evaluation(&[3]);
        let settings = LstmEncoderDecoder { hidden: 4, bidirectional: true, ..LstmEncoderDecoder::default() };
        let (_, mut body) = of(settings);
        body.backward = Some(body.encoder.clone());
        let step = |value: f32| Tensor::<3>::full([1, 1, 6], value, &device);
        let of = |values: [f32; 4]| Tensor::cat(values.map(step).to_vec(), 1);
        // The fourth position is padding.
        let (states, last) = body.encode(of([0.1, 0.2, 0.3, 9.0]), &[3], &context);
        let (turned, turned_last) = body.encode(of([0.3, 0.2, 0.1, -9.0]), &[3], &context);
        for position in 0..3 {
            let half = |states: &Tensor<3>, position: usize, from: usize| {
                values(states.clone().narrow(1, position, 1).narrow(2, from, 2))
            };
            assert_eq!(half(&states, position, 2), half(&turned, 2 - position, 0));
            assert_ne!(half(&states, position, 2), half(&states, position, 0));
        }
        assert_eq!(values(last.clone().narrow(1, 2, 2)), values(turned_last.narrow(1, 0, 2)));
        // The last state is the last one of each half's reading.
        assert_eq!(
            values(last.clone().narrow(1, 0, 2)),
            values(states.clone().narrow(1, 2, 1).narrow(2, 0, 2))
        );
        assert_eq!(values(last.narrow(1, 2, 2)), values(states.narrow(1, 0, 1).narrow(2, 2, 2)));
    }
}
