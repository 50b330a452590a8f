//! The Transformer as it was first described: an encoder that reads the source, a decoder that writes the target.
//!
//! ```text
//! encoder    x = x + A(norm(x)),  x = x + F(norm(x))                        a block; norm(x) after the last one: memory z
//! decoder    y = y + A(norm(y)),  y = y + C(norm(y), z),  y = y + F(norm(y))     a block; norm(y) after the last one
//! A, F as in the Transformer encoder, A causal in the decoder
//! C(y, z) = concat over heads of softmax(Q K' / sqrt(d / heads)) V, times W_O     Q = y W_Q;  K, V = z W_K, z W_V
//! x [source time, d], y [time, d], z [source time, width]
//! ```
//!
//! Vaswani et al. 2017, with the norm before each sub-layer (Xiong et al. 2020) and sines and cosines for positions. Linear
//! maps lead from the width of the embedding to d and back where they differ.

use burn::module::Module;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use kernels::attention::{AttentionOptions, attention};
use kernels::linear::Activation;
use sequence::{InputKind, Interface, LossKind};
use serde::{Deserialize, Serialize};
use training::{Body, BodyContext, Initialiser, mapped};

use crate::Architecture;
use crate::architecture::nearest_widths;
use crate::encoder_decoder::{EncoderDecoder, PairBody, hide_padding};
use crate::positions::with_sinusoids;
use crate::transformer::{Block, Transformer, TransformerBody, apply, normalised, weights};

/// Settings of the Transformer encoder-decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct TransformerEncoderDecoder {
    /// Values a position inside the blocks (d), a multiple of `heads`, unless a number of parameters is requested.
    inner_width: usize,
    /// Hidden units of the feed-forward layers, unless a number of parameters is requested.
    feed_forward: usize,
    /// Blocks of the encoder, and as many of the decoder.
    layers: usize,
    /// Attention heads a block.
    heads: usize,
}

impl Default for TransformerEncoderDecoder {
    fn default() -> Self {
        Self { inner_width: 32, feed_forward: 128, layers: 2, heads: 2 }
    }
}

impl TransformerEncoderDecoder {
    fn encoder(&self) -> Transformer {
        let Self { inner_width, feed_forward, layers, heads } = *self;
        Transformer { inner_width, feed_forward, layers, heads, causal: false, ..Transformer::default() }
    }
}

impl EncoderDecoder for TransformerEncoderDecoder {
    const NAME: &'static str = "transformer-encoder-decoder";
    const SUMMARY: &'static str =
        "Transformer encoder-decoder: every position of the target attends to all of the source";
    const CITATION: &'static str = "Vaswani et al. 2017";
    const VERSION: u32 = 1;
    const ATTENDS: bool = true;
    type Body = TransformerPair;

    fn check(&self) -> Result<(), String> {
        self.encoder().check()
    }

    fn body_parameters(&self, width: usize) -> usize {
        let d = self.inner_width;
        let encoder = self.encoder().body_parameters(width);
        // A decoder is an encoder with one more sub-layer a block: its norm, query, keys and values, and output.
        let cross = 2 * d + (d * d + d) + (width * 2 * d + 2 * d) + (d * d + d);
        2 * encoder + self.layers * cross
    }

    fn resized(self, width: usize, parameters: usize) -> Self {
        let (inner_width, feed_forward) = nearest_widths(width, parameters, self.heads, |d, feed_forward| {
            Self { inner_width: d, feed_forward, ..self.clone() }.body_parameters(width)
        });
        Self { inner_width, feed_forward, ..self }
    }

    fn init(&self, width: usize, initialiser: &mut Initialiser) -> TransformerPair {
        let (d, differs) = (self.inner_width, self.inner_width != width);
        // The encoder's body looks at the interface for a table of learnt positions only, and has none.
        let interface = Interface {
            inputs: InputKind::Tokens { vocabulary: 1 },
            outputs: 1,
            loss: LossKind::CrossEntropy,
            maximum_time: 1,
        };
        TransformerPair {
            encoder: self.encoder().init(width, &interface, initialiser),
            input: differs.then(|| initialiser.linear(width, d)),
            blocks: (0..self.layers)
                .map(|_| DecoderBlock {
                    block: Block::new(
                        d,
                        self.feed_forward,
                        |initialiser| Some(initialiser.layer_norm(d)),
                        initialiser,
                    ),
                    cross_norm: initialiser.layer_norm(d),
                    query: initialiser.linear(d, d),
                    key_value: initialiser.linear(width, 2 * d),
                    cross_output: initialiser.linear(d, d),
                })
                .collect(),
            final_norm: initialiser.layer_norm(d),
            output: differs.then(|| initialiser.linear(d, width)),
            heads: self.heads,
        }
    }
}

/// Encoder and decoder.
#[derive(Module, Debug)]
pub(crate) struct TransformerPair {
    encoder: TransformerBody,
    input: Option<Linear>,
    blocks: Vec<DecoderBlock>,
    final_norm: LayerNorm,
    output: Option<Linear>,
    #[module(skip)]
    heads: usize,
}

/// A block of the decoder: one of the encoder, and attention to the encoder's states between its two sub-layers.
#[derive(Module, Debug)]
struct DecoderBlock {
    block: Block,
    cross_norm: LayerNorm,
    query: Linear,
    key_value: Linear,
    cross_output: Linear,
}

impl PairBody for TransformerPair {
    fn forward(
        &self,
        source: Tensor<3>,
        inputs: Tensor<3>,
        lengths: &[usize],
        context: &BodyContext,
    ) -> Tensor<3> {
        let hidden = self.decoded(source, inputs, lengths, context, |_, _| {});
        apply(self.output.as_ref(), normalised(&self.final_norm, hidden))
    }

    fn alignment(
        &self,
        source: Tensor<3>,
        inputs: Tensor<3>,
        lengths: &[usize],
        context: &BodyContext,
    ) -> Option<Tensor<3>> {
        let mut last = None;
        self.decoded(source, inputs, lengths, context, |query, key_value| {
            last = Some((query.clone(), key_value.clone()));
        });
        let (query, key_value) = last?;
        Some(cross_weights(query, key_value, self.heads, lengths))
    }

    fn multiply_adds(&self, source: usize, time: usize) -> u64 {
        let decoder: usize = self.blocks.iter().map(|block| block.block.weights()).sum();
        let cross = |block: &DecoderBlock| {
            time * (weights(&block.query) + weights(&block.cross_output)) + source * weights(&block.key_value)
        };
        let cross: usize = self.blocks.iter().map(cross).sum();
        let projections = self.input.as_ref().map_or(0, weights) + self.output.as_ref().map_or(0, weights);
        // Scores and weighted values cost d multiply-adds each for a visible pair, over all heads.
        let d = self.final_norm.gamma.shape().num_elements();
        let pairs = self.blocks.len() * 2 * d * (time * (time + 1) / 2 + time * source);
        self.encoder.multiply_adds(source) + (time * (decoder + projections) + cross + pairs) as u64
    }
}

impl TransformerPair {
    /// The decoder's states before the last norm, `[batch, time, d]`; `look` is shown the query and the keys and values of each block's
    /// attention to the source.
    fn decoded(
        &self,
        source: Tensor<3>,
        inputs: Tensor<3>,
        lengths: &[usize],
        context: &BodyContext,
        mut look: impl FnMut(&Tensor<3>, &Tensor<3>),
    ) -> Tensor<3> {
        let memory = self.encoder.forward(source, &context.over(lengths)); // [batch, source time, width]
        let hidden = apply(self.input.as_ref(), inputs); // [batch, time, d]
        let mut hidden = context.dropout(with_sinusoids(&hidden, 0));
        let causal = AttentionOptions { causal: true, ..AttentionOptions::default() };
        for DecoderBlock { block, cross_norm, query, key_value, cross_output } in &self.blocks {
            let attended =
                block.attend(norm(block.attention_norm.as_ref(), hidden.clone()), self.heads, &causal);
            hidden = hidden + context.dropout(attended);
            let query = mapped(query, normalised(cross_norm, hidden.clone()), Activation::None);
            let key_value = mapped(key_value, memory.clone(), Activation::None);
            look(&query, &key_value);
            let attended = cross_attention(query, key_value, self.heads, lengths);
            hidden = hidden + context.dropout(mapped(cross_output, attended, Activation::None));
            let fed = block.feed_forward(norm(block.feed_forward_norm.as_ref(), hidden.clone()));
            hidden = hidden + context.dropout(fed);
        }
        hidden
    }
}

fn norm(norm: Option<&LayerNorm>, inputs: Tensor<3>) -> Tensor<3> {
    match norm {
        Some(norm) => normalised(norm, inputs),
        None => inputs,
    }
}

/// Attention of queries `[batch, time, d]` to keys and values `[batch, source time, 2 d]`, keys first, within `lengths`:
/// `[batch, time, d]`.
///
/// The tiled operation wants as many queries as keys: the fewer are padded, which nobody sees.
fn cross_attention(query: Tensor<3>, key_value: Tensor<3>, heads: usize, lengths: &[usize]) -> Tensor<3> {
    let [batch, time, d] = query.dims();
    let [_, source, _] = key_value.dims();
    let longer = time.max(source);
    let split = |sequence: Tensor<3>| {
        padded(sequence, longer).reshape([batch, longer, heads, d / heads]).swap_dims(1, 2)
    };
    let hides = lengths.iter().any(|&length| length < longer);
    let options =
        AttentionOptions { lengths: hides.then(|| lengths.to_vec()), ..AttentionOptions::default() };
    let key = split(key_value.clone().narrow(2, 0, d));
    let value = split(key_value.narrow(2, d, d));
    let attended = attention(split(query), key, value, &options).swap_dims(1, 2);
    let attended = attended.reshape([batch, longer, d]);
    if longer == time { attended } else { attended.narrow(1, 0, time) }
}

/// The weights of [`cross_attention`], the mean over heads: `[batch, time, source time]`.
fn cross_weights(query: Tensor<3>, key_value: Tensor<3>, heads: usize, lengths: &[usize]) -> Tensor<3> {
    let [batch, _, d] = query.dims();
    let split = |sequence: Tensor<3>| {
        let time = sequence.dims()[1];
        sequence.reshape([batch, time, heads, d / heads]).swap_dims(1, 2)
    };
    let (query, key) = (split(query), split(key_value.narrow(2, 0, d)));
    let scores = query.matmul(key.swap_dims(2, 3)) / ((d / heads) as f64).sqrt(); // [batch, heads, time, source time]
    let [_, _, time, source] = scores.dims();
    let scores = hide_padding(scores.reshape([batch, heads * time, source]), lengths);
    softmax(scores, 2).reshape([batch, heads, time, source]).mean_dim(1).reshape([batch, time, source])
}

/// The sequences, with zeros up to `time` positions.
fn padded(sequence: Tensor<3>, time: usize) -> Tensor<3> {
    let [batch, length, width] = sequence.dims();
    if length == time {
        return sequence;
    }
    let zeros = Tensor::<3>::zeros([batch, time - length, width], &sequence.device()).cast(sequence.dtype());
    Tensor::cat(vec![sequence, zeros], 1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn counts_by_hand() {
        let settings = TransformerEncoderDecoder { inner_width: 4, feed_forward: 8, layers: 1, heads: 2 };
        let body = settings.init(6, &mut Initialiser::new(0, &Device::flex()));
        assert_eq!(settings.body_parameters(6), Module::num_params(&body));
        // Source 5, target 3. Encoder: 5 positions through 6x4, 4x12, 4x4, 4x8, 8x4, 4x6 weights, 25 pairs of 2x4.
        let encoder = 5 * (24 + 48 + 16 + 32 + 32 + 24) + 25 * 8;
        // Decoder: the same weights for 3 positions with 6 pairs; 3 through 4x4 twice, 5 through 6x8, and 15 pairs.
        let decoder = 3 * (24 + 48 + 16 + 32 + 32 + 24) + 6 * 8 + 3 * 32 + 5 * 48 + 15 * 8;
        assert_eq!(body.multiply_adds(5, 3), encoder + decoder);
    }

    /// By hand: one head, width 1, scores q k, so that weights are exp(q k) over their sum.
    #[test]
    fn cross_attention_by_hand_with_sources_shorter_and_longer_than_the_target() {
        let device = Device::flex();
        let of = |values: &[f32], width: usize| {
            let shape = [1, values.len() / width, width];
            Tensor::<3>::from_data(TensorData::new(values.to_vec(), shape), &device)
        };
        let mixture = |query: f32, pairs: &[(f32, f32)]| {
            let sum: f32 = pairs.iter().map(|(key, _)| (query * key).exp()).sum();
            pairs.iter().map(|(key, value)| (query * key).exp() * value).sum::<f32>() / sum
        };
        let close = |found: Tensor<3>, expected: &[f32]| {
            let found: Vec<f32> = found.into_data().try_into_vec().unwrap();
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {expected:?}");
        };
        let pairs = [(0.5, 1.0), (-0.3, 2.0)];
        let short = cross_attention(of(&[0.2, -1.0, 0.7], 1), of(&[0.5, 1.0, -0.3, 2.0], 2), 1, &[2]);
        close(short, &[mixture(0.2, &pairs), mixture(-1.0, &pairs), mixture(0.7, &pairs)]);
        // The third source position is padding.
        let long = cross_attention(of(&[0.2], 1), of(&[0.5, 1.0, -0.3, 2.0, 9.0, 9.0], 2), 1, &[2]);
        close(long, &[mixture(0.2, &pairs)]);
    }

    /// The mixture by the weights that are told is the one that attention makes, of the one head that there is.
    #[test]
    fn the_weights_that_are_told_are_those_of_attention() {
        let device = Device::flex();
        let of = |values: &[f32], shape: [usize; 3]| {
            Tensor::<3>::from_data(TensorData::new(values.to_vec(), shape), &device)
        };
        // Keys, then values; the third source position is padding.
        let key_value = of(&[0.5, 0.1, 1.0, 2.0, -0.3, 0.4, 3.0, -1.0, 9.0, 9.0, 9.0, 9.0], [1, 3, 4]);
        let query = of(&[0.2, -1.0, 0.7, 0.3], [1, 2, 2]);
        let mixed = cross_weights(query.clone(), key_value.clone(), 1, &[2])
            .matmul(key_value.clone().narrow(2, 2, 2));
        let attended = cross_attention(query.clone(), key_value.clone(), 1, &[2]);
        let values = |tensor: Tensor<3>| tensor.into_data().try_into_vec::<f32>().unwrap();
        let (mixed, attended) = (values(mixed), values(attended));
        assert!(mixed.iter().zip(&attended).all(|(a, b)| (a - b).abs() < 1e-5), "{mixed:?} {attended:?}");
        // Of two heads of one value each, by hand: the mean of both softmaxes.
        let weights = values(cross_weights(query, key_value, 2, &[2]));
        let share = |query: f32, one: f32, other: f32| 1.0 / (1.0 + (query * (other - one)).exp());
        let first = f32::midpoint(share(0.2, 0.5, -0.3), share(-1.0, 0.1, 0.4));
        assert!((weights[0] - first).abs() < 1e-5 && weights[2] == 0.0, "{weights:?}");
    }
}
