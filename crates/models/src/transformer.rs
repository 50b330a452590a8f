//! The Transformer encoder, causal by default.
//!
//! ```text
//! pre-norm:  x = x + A(norm(x)),  x = x + F(norm(x))       a block; and norm(x) after the last one
//! post-norm: x = norm(x + A(x)),  x = norm(x + F(x))
//! A(x) = concat over heads of softmax(Q K' / sqrt(d / heads)) V, times W_O     Q, K, V = x W_Q, x W_K, x W_V
//! without norms: x = x + A(x), x = x + F(x); without residuals, the same without `x +`
//! F(x) = relu(x W_1 + b_1) W_2 + b_2
//! x [time, d], W_Q, W_K, W_V, W_O [d, d], W_1 [d, feed-forward], W_2 [feed-forward, d]
//! ```
//!
//! Vaswani et al. 2017; pre-norm: Xiong et al. 2020. Linear maps lead from the width of
//! the embedding to d and back where they differ.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::{Tensor, TensorData};
use kernels::attention::{AttentionOptions, self_attention};
use kernels::layer_norm::layer_norm;
use kernels::linear::Activation;
use sequence::Interface;
use serde::{Deserialize, Serialize};
use training::{Body, BodyContext, Initialiser, LAYER_NORM_EPSILON, mapped};

use crate::Architecture;
use crate::architecture::nearest_widths;

/// Settings of the Transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Transformer {
    /// Values a position inside the blocks (d), a multiple of `heads`, unless a number of parameters is requested.
    pub inner_width: usize,
    /// Hidden units of the feed-forward layers, unless a number of parameters is requested.
    pub feed_forward: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads a block.
    pub heads: usize,
    /// Where the layer normalisation stands.
    pub norm: NormPlacement,
    /// Whether what a sub-layer reads is added to what it makes of it.
    pub residual: bool,
    /// How attention learns about order.
    pub position: PositionEncoding,
    /// Whether a position sees only itself and earlier ones.
    pub causal: bool,
    /// How many positions are visible, itself included; 0 means all.
    pub window: usize,
}

/// Where the layer normalisation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormPlacement {
    /// Before each sub-layer, and once at the end.
    Pre,
    /// After each residual sum.
    Post,
    /// Nowhere.
    None,
}

/// How attention learns about order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PositionEncoding {
    /// Sines and cosines are added to the inputs (Vaswani et al. 2017).
    Sinusoidal,
    /// A learned vector a position, up to the task's longest sequence, is added. It counts as embedding.
    Learned,
    /// Not at all, but for the causal mask.
    None,
    /// Scores fall linearly with distance (Press, Smith and Lewis 2022).
    Alibi,
}

impl Default for Transformer {
    fn default() -> Self {
        Self {
            inner_width: 32,
            feed_forward: 128,
            layers: 2,
            heads: 2,
            norm: NormPlacement::Pre,
            residual: true,
            position: PositionEncoding::Sinusoidal,
            causal: true,
            window: 0,
        }
    }
}

impl Architecture for Transformer {
    const NAME: &'static str = "transformer";
    const SUMMARY: &'static str = "Transformer encoder: every position attends to the ones it may see";
    const CITATION: &'static str = "Vaswani et al. 2017";
    const VERSION: u32 = 1;
    const ATTENDS: bool = true;
    type Body = TransformerBody;

    fn check(&self) -> Result<(), String> {
        for (key, value) in [
            ("inner-width", self.inner_width),
            ("feed-forward", self.feed_forward),
            ("layers", self.layers),
            ("heads", self.heads),
        ] {
            if value == 0 {
                return Err(format!("`{key}` must be at least 1"));
            }
        }
        if !self.inner_width.is_multiple_of(self.heads) {
            return Err(format!(
                "`inner-width` = {} must be a multiple of `heads` = {}",
                self.inner_width, self.heads
            ));
        }
        Ok(())
    }

    fn body_parameters(&self, width: usize) -> usize {
        let (d, feed_forward) = (self.inner_width, self.feed_forward);
        let attention = d * 3 * d + 3 * d + d * d + d;
        let feed_forward = d * feed_forward + feed_forward + feed_forward * d + d;
        let norms = if self.norm == NormPlacement::None { 0 } else { 2 * 2 * d };
        let final_norm = if self.norm == NormPlacement::Pre { 2 * d } else { 0 };
        let projections = if d == width { 0 } else { width * d + d + d * width + width };
        self.layers * (attention + feed_forward + norms) + final_norm + projections
    }

    fn resized(self, width: usize, parameters: usize) -> Self {
        let (inner_width, feed_forward) = nearest_widths(width, parameters, self.heads, |d, feed_forward| {
            Self { inner_width: d, feed_forward, ..self.clone() }.body_parameters(width)
        });
        Self { inner_width, feed_forward, ..self }
    }

    fn init(&self, width: usize, interface: &Interface, initialiser: &mut Initialiser) -> TransformerBody {
        let d = self.inner_width;
        let differs = d != width;
        let norm = |initialiser: &mut Initialiser| {
            (self.norm != NormPlacement::None).then(|| initialiser.layer_norm(d))
        };
        TransformerBody {
            input: differs.then(|| initialiser.linear(width, d)),
            positions: (self.position == PositionEncoding::Learned)
                .then(|| initialiser.normal([interface.maximum_time, d], 0.02)),
            blocks: (0..self.layers).map(|_| Block::new(d, self.feed_forward, norm, initialiser)).collect(),
            final_norm: (self.norm == NormPlacement::Pre).then(|| initialiser.layer_norm(d)),
            output: differs.then(|| initialiser.linear(d, width)),
            settings: self.clone(),
        }
    }
}

/// The blocks, between linear maps where the inner width differs from the embedding's.
#[derive(Module, Debug)]
pub struct TransformerBody {
    input: Option<Linear>,
    positions: Option<Param<Tensor<2>>>,
    blocks: Vec<Block>,
    final_norm: Option<LayerNorm>,
    output: Option<Linear>,
    #[module(skip)]
    settings: Transformer,
}

/// Attention and feed-forward layer with their norms.
#[derive(Module, Debug)]
pub(crate) struct Block {
    pub(crate) attention_norm: Option<LayerNorm>,
    query_key_value: Linear,
    attention_output: Linear,
    pub(crate) feed_forward_norm: Option<LayerNorm>,
    expansion: Linear,
    contraction: Linear,
}

impl Body for TransformerBody {
    fn forward(&self, inputs: Tensor<3>, context: &BodyContext) -> Tensor<3> {
        let hidden = apply(self.input.as_ref(), inputs); // [batch, time, d]
        let mut hidden = context.dropout(self.add_positions(hidden));
        let [_, time, _] = hidden.dims();
        // A causal mask already hides the padding, which comes last, from every real position.
        let padded = !self.settings.causal && context.lengths.iter().any(|&length| length < time);
        let options = AttentionOptions {
            causal: self.settings.causal,
            window: (self.settings.window > 0).then_some(self.settings.window),
            alibi: self.settings.position == PositionEncoding::Alibi,
            lengths: padded.then(|| context.lengths.to_vec()),
        };
        for block in &self.blocks {
            hidden = self.sub_layer(hidden, block.attention_norm.as_ref(), |inputs| {
                context.dropout(block.attend(inputs, self.settings.heads, &options))
            });
            hidden = self.sub_layer(hidden, block.feed_forward_norm.as_ref(), |inputs| {
                context.dropout(block.feed_forward(inputs))
            });
        }
        if let Some(norm) = &self.final_norm {
            hidden = normalised(norm, hidden);
        }
        apply(self.output.as_ref(), hidden)
    }

    fn parameters(&self) -> usize {
        let table = self.positions.as_ref().map_or(0, |positions| positions.shape().num_elements());
        Module::num_params(self) - table
    }

    fn multiply_adds(&self, time: usize) -> u64 {
        let blocks: usize = self.blocks.iter().map(Block::weights).sum();
        let projections = self.input.as_ref().map_or(0, weights) + self.output.as_ref().map_or(0, weights);
        // Scores and weighted values cost d multiply-adds each for a visible pair, over all heads.
        let attention = self.blocks.len() * 2 * self.settings.inner_width * self.settings.visible_pairs(time);
        (time * (blocks + projections) + attention) as u64
    }
}

impl TransformerBody {
    /// A sub-layer between its norm and its residual sum, as the settings place them.
    fn sub_layer(
        &self,
        hidden: Tensor<3>,
        norm: Option<&LayerNorm>,
        layer: impl FnOnce(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let Transformer { norm: placement, residual, .. } = self.settings;
        let normalise_at = |here: NormPlacement, values: Tensor<3>| match norm {
            Some(norm) if placement == here => normalised(norm, values),
            _ => values,
        };
        let outputs = layer(normalise_at(NormPlacement::Pre, hidden.clone()));
        let sum = if residual { hidden + outputs } else { outputs };
        normalise_at(NormPlacement::Post, sum)
    }

    fn add_positions(&self, hidden: Tensor<3>) -> Tensor<3> {
        let [_, time, _] = hidden.dims();
        match (self.settings.position, &self.positions) {
            (PositionEncoding::Sinusoidal, _) => with_sinusoids(hidden),
            (PositionEncoding::Learned, Some(table)) => {
                let table = table.val();
                let table = if table.dims()[0] == time { table } else { table.narrow(0, 0, time) };
                hidden + table.unsqueeze()
            }
            _ => hidden,
        }
    }
}

impl Transformer {
    /// Pairs of a query and a key that it may see, in a sequence of `time` positions.
    fn visible_pairs(&self, time: usize) -> usize {
        let window = if self.window == 0 { time } else { self.window };
        let before = |position: usize| (position + 1).min(window);
        let after = |position: usize| if self.causal { 0 } else { (time - 1 - position).min(window - 1) };
        (0..time).map(|position| before(position) + after(position)).sum()
    }
}

impl Block {
    /// A block of inner width `d`, with the norms that `norm` gives.
    pub(crate) fn new(
        d: usize,
        feed_forward: usize,
        norm: impl Fn(&mut Initialiser) -> Option<LayerNorm>,
        initialiser: &mut Initialiser,
    ) -> Self {
        Self {
            attention_norm: norm(initialiser),
            query_key_value: initialiser.linear(d, 3 * d),
            attention_output: initialiser.linear(d, d),
            feed_forward_norm: norm(initialiser),
            expansion: initialiser.linear(d, feed_forward),
            contraction: initialiser.linear(feed_forward, d),
        }
    }

    /// Parameters of the linear maps' weights: multiply-adds of one position.
    pub(crate) fn weights(&self) -> usize {
        let maps = [&self.query_key_value, &self.attention_output, &self.expansion, &self.contraction];
        maps.into_iter().map(weights).sum()
    }

    /// `[batch, time, d]` -> `[batch, time, d]`.
    pub(crate) fn attend(&self, inputs: Tensor<3>, heads: usize, options: &AttentionOptions) -> Tensor<3> {
        let attended =
            self_attention(mapped(&self.query_key_value, inputs, Activation::None), heads, options);
        mapped(&self.attention_output, attended, Activation::None)
    }

    /// `[batch, time, d]` -> `[batch, time, d]`.
    pub(crate) fn feed_forward(&self, inputs: Tensor<3>) -> Tensor<3> {
        let expanded = mapped(&self.expansion, inputs, Activation::Relu);
        mapped(&self.contraction, expanded, Activation::None)
    }
}

/// Elements of a linear map's weight.
pub(crate) fn weights(linear: &Linear) -> usize {
    linear.weight.shape().num_elements()
}

pub(crate) fn apply(linear: Option<&Linear>, inputs: Tensor<3>) -> Tensor<3> {
    match linear {
        Some(linear) => mapped(linear, inputs, Activation::None),
        None => inputs,
    }
}

/// `[batch, time, d]`, normalised over the last dimension.
pub(crate) fn normalised(norm: &LayerNorm, inputs: Tensor<3>) -> Tensor<3> {
    let gamma = norm.gamma.val();
    let beta = norm.beta.as_ref().map_or_else(|| gamma.zeros_like(), Param::val);
    layer_norm(inputs, gamma, beta, LAYER_NORM_EPSILON)
}

/// `[batch, time, d]` with the [`sinusoids`] of each position added.
pub(crate) fn with_sinusoids(hidden: Tensor<3>) -> Tensor<3> {
    let [_, time, d] = hidden.dims();
    let table = TensorData::new(sinusoids(time, d), [1, time, d]);
    let table = Tensor::<3>::from_data(table, &hidden.device()).cast(hidden.dtype());
    hidden + table
}

/// `[time, d]`: sin(t / 10000^(2i/d)) at even values 2i, cos of the same at odd ones (Vaswani et al. 2017, section 3.5).
fn sinusoids(time: usize, d: usize) -> Vec<f32> {
    let frequencies: Vec<f64> =
        (0..d).map(|value| 10_000_f64.powf(-((value / 2 * 2) as f64) / d as f64)).collect();
    #[expect(clippy::cast_possible_truncation, reason = "hidden values are single precision")]
    (0..time)
        .flat_map(|t| {
            frequencies.iter().enumerate().map(move |(value, frequency)| {
                let angle = t as f64 * frequency;
                (if value % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_solver_keeps_the_usual_shape() {
        // Sizes of the experiments. A size is met within 1%, with a feed-forward layer of 2 to 6 times the inner width; the
        // inner width is the shared one where that is possible, by hand: at d = 32, 8,832 + 130 f parameters.
        for (parameters, width, inner_width) in [
            (10_000, 32, None),
            (20_000, 32, Some(32)),
            (30_000, 32, Some(32)),
            (100_000, 64, Some(64)),
            (1_000_000, 128, None),
        ] {
            let size = Transformer::default().resized(width, parameters);
            assert!(size.body_parameters(width).abs_diff(parameters) * 100 <= parameters, "{size:?}");
            let ratio = size.feed_forward as f64 / size.inner_width as f64;
            assert!((2.0..=6.0).contains(&ratio), "{parameters}: {size:?}");
            assert!(inner_width.is_none_or(|inner_width| size.inner_width == inner_width), "{size:?}");
            assert!(size.inner_width.is_multiple_of(size.heads));
        }
    }

    #[test]
    fn visible_pairs_by_hand() {
        let pairs =
            |causal, window| Transformer { causal, window, ..Transformer::default() }.visible_pairs(4);
        assert_eq!(pairs(true, 0), 4 + 3 + 2 + 1);
        assert_eq!(pairs(true, 2), 1 + 2 + 2 + 2);
        assert_eq!(pairs(false, 0), 16);
        assert_eq!(pairs(false, 2), 2 + 3 + 3 + 2);
    }

    #[test]
    fn sinusoids_by_hand() {
        // Position 1 of width 4: sin 1, cos 1, sin 0.01, cos 0.01.
        let table = sinusoids(2, 4);
        assert_eq!(table[..4], [0.0, 1.0, 0.0, 1.0]);
        for (value, by_hand) in table[4..].iter().zip([0.841_471, 0.540_302_3, 0.009_999_833, 0.999_95]) {
            assert!((value - by_hand).abs() < 1e-6, "{value} {by_hand}");
        }
    }

    #[test]
    fn multiply_adds_by_hand() {
        let settings =
            Transformer { inner_width: 4, feed_forward: 8, layers: 1, heads: 2, ..Transformer::default() };
        let interface = Interface {
            inputs: sequence::InputKind::Features { width: 1 },
            outputs: 1,
            loss: sequence::LossKind::MeanSquaredError,
            maximum_time: 3,
        };
        let body = settings.init(6, &interface, &mut Initialiser::new(0, &burn::tensor::Device::flex()));
        // 3 positions through 6x4, 4x12, 4x4, 4x8, 8x4 and 4x6 weights; 6 visible pairs cost 2 x 4 each.
        assert_eq!(body.multiply_adds(3), 3 * (24 + 48 + 16 + 32 + 32 + 24) + 6 * 8);
        assert_eq!(body.parameters(), settings.body_parameters(6));
    }
}
