//! The Transformer encoder, causal by default.
//!
//! ```text
//! pre-norm:  x = x + A(norm(x)),  x = x + F(norm(x))       a block; and norm(x) after the last one
//! post-norm: x = norm(x + A(x)),  x = norm(x + F(x))
//! A(x) = concat over heads of softmax(Q K' / sqrt(d / heads)) V, times W_O     Q, K, V = x W_Q, x W_K, x W_V
//! without norms: x = x + A(x), x = x + F(x); without residuals, the same without `x +`
//! linear:   row i of A's part is sum_j f(Q_i) . f(K_j) V_j over sum_j f(Q_i) . f(K_j), f(z) = elu(z) + 1
//! additive: softmax of v . tanh(Q_i + K_j) in place of Q_i . K_j / sqrt(d / heads), with v a head
//! F(x) = relu(x W_1 + b_1) W_2 + b_2
//! x [time, d], W_Q, W_K, W_V, W_O [d, d], W_1 [d, feed-forward], W_2 [feed-forward, d]
//! ```
//!
//! Vaswani et al. 2017; pre-norm: Xiong et al. 2020; linear attention: Katharopoulos et al. 2020; additive scores: Bahdanau, Cho
//! and Bengio 2015. Linear maps lead from the width of
//! the embedding to d and back where they differ.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::Tensor;
use kernels::attention::{
    AttentionOptions, additive_attention, attention_of_last, attention_with_weights, linear_attention,
    linear_attention_of_last, self_attention,
};
use kernels::layer_norm::{layer_norm, rms_norm};
use kernels::linear::Activation;
use sequence::Interface;
use serde::{Deserialize, Serialize};
use training::{Body, BodyContext, Initialiser, LAYER_NORM_EPSILON, Memory, Rewrite, mapped};

use crate::Architecture;
use crate::architecture::nearest_widths;
use crate::positions::with_sinusoids;

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
    /// How positions weigh each other.
    pub attention: AttentionKind,
    /// What the normalisation takes out.
    pub normalisation: Normalisation,
}

/// What a normalisation takes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// Mean and variance, with a learned scale and shift (Ba, Kiros and Hinton 2016).
    Layer,
    /// The root mean square, with a learned scale (Zhang and Sennrich 2019).
    RootMeanSquare,
}

/// How positions weigh each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionKind {
    /// By the softmax of scaled products, tile by tile, which never holds all weights.
    Tiled,
    /// The same, holding scores and weights of all pairs.
    Explicit,
    /// By products of positive features, whose sums over earlier positions are kept instead of these.
    Linear,
    /// By the softmax of a layer of hyperbolic tangents, holding it for all pairs.
    Additive,
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
            attention: AttentionKind::Tiled,
            normalisation: Normalisation::Layer,
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

    fn reads_ahead(&self) -> bool {
        !self.causal
    }

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
        if self.attention == AttentionKind::Linear
            && (self.window > 0 || self.position == PositionEncoding::Alibi)
        {
            return Err(
                "`attention = \"linear\"` has no scores that a `window` or ALiBi could change".to_owned()
            );
        }
        Ok(())
    }

    fn body_parameters(&self, width: usize) -> usize {
        let (d, feed_forward) = (self.inner_width, self.feed_forward);
        let direction = if self.attention == AttentionKind::Additive { d } else { 0 };
        let attention = d * 3 * d + 3 * d + d * d + d + direction;
        let feed_forward = d * feed_forward + feed_forward + feed_forward * d + d;
        let norm = if self.normalisation == Normalisation::Layer { 2 * d } else { d };
        let norms = if self.norm == NormPlacement::None { 0 } else { 2 * norm };
        let final_norm = if self.norm == NormPlacement::Pre { norm } else { 0 };
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
            (self.norm != NormPlacement::None).then(|| self.new_norm(initialiser))
        };
        TransformerBody {
            input: differs.then(|| initialiser.linear(width, d)),
            positions: (self.position == PositionEncoding::Learned)
                .then(|| initialiser.normal([interface.maximum_time, d], 0.02)),
            blocks: (0..self.layers)
                .map(|_| {
                    let block = Block::new(d, self.feed_forward, norm, initialiser);
                    let direction = (self.attention == AttentionKind::Additive).then(|| {
                        let width = d / self.heads;
                        initialiser.uniform([self.heads, width], 1.0 / (width as f32).sqrt())
                    });
                    Block { direction, ..block }
                })
                .collect(),
            final_norm: (self.norm == NormPlacement::Pre).then(|| self.new_norm(initialiser)),
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
    /// `[heads, d / heads]`, of additive scores.
    direction: Option<Param<Tensor<2>>>,
}

impl Body for TransformerBody {
    fn forward(&self, inputs: Tensor<3>, context: &BodyContext) -> Tensor<3> {
        self.forward_weighing(inputs, context, &mut |block, packed, options| {
            block.weigh(packed, &self.settings, options)
        })
    }

    /// Of linear attention, which has no weights, nothing.
    fn forward_attending(
        &self,
        inputs: Tensor<3>,
        context: &BodyContext,
        rewrite: &mut Rewrite,
    ) -> Option<Tensor<3>> {
        let settings = &self.settings;
        let weighted = settings.attention != AttentionKind::Linear;
        weighted.then(|| {
            self.forward_weighing(inputs, context, &mut |block, packed, options| {
                let [query, key, value] = split_heads(&packed, settings.heads);
                let (_, weights) = block.weights_of(query, key, value.clone(), options);
                merge_heads(rewrite(weights).matmul(value))
            })
        })
    }

    fn parameters(&self) -> usize {
        let table = self.positions.as_ref().map_or(0, |positions| positions.shape().num_elements());
        Module::num_params(self) - table
    }

    fn multiply_adds(&self, time: usize) -> u64 {
        let blocks: usize = self.blocks.iter().map(Block::weights).sum();
        let projections = self.input.as_ref().map_or(0, weights) + self.output.as_ref().map_or(0, weights);
        let attention = self.blocks.len() * self.settings.attention_multiply_adds(time);
        (time * (blocks + projections) + attention) as u64
    }

    /// Attention of the first block, with the inputs as queries, keys and values.
    fn mix(&self, inputs: Tensor<3>) -> Option<Tensor<3>> {
        let block = self.blocks.first()?;
        let packed = Tensor::cat(vec![inputs; 3], 2);
        Some(block.weigh(packed, &self.settings, &self.settings.options(None)))
    }

    /// Remembers keys and values of each block (the cache), those within the window if there is one; with linear attention
    /// their sums.
    fn step(&self, input: Tensor<3>, memory: &mut Memory) -> Option<Tensor<3>> {
        if !self.settings.causal || self.settings.attention == AttentionKind::Additive {
            return None;
        }
        let mut before = std::mem::take(&mut memory.tensors).into_iter();
        let mut hidden = self.positions_added(apply(self.input.as_ref(), input), memory.position);
        for block in &self.blocks {
            hidden = self.sub_layer(hidden, block.attention_norm.as_ref(), |inputs| {
                let packed = mapped(&block.query_key_value, inputs, Activation::None);
                let attended = self.settings.attend_last(&packed, &mut before, &mut memory.tensors);
                mapped(&block.attention_output, attended, Activation::None)
            });
            hidden =
                self.sub_layer(hidden, block.feed_forward_norm.as_ref(), |inputs| block.feed_forward(inputs));
        }
        if let Some(norm) = &self.final_norm {
            hidden = normalised(norm, hidden);
        }
        memory.position += 1;
        Some(apply(self.output.as_ref(), hidden))
    }
}

impl TransformerBody {
    /// The forward pass, in which `weigh` leads from queries, keys and values beside each other, `[batch, time, 3 d]`, to `[batch, time, d]`.
    fn forward_weighing(
        &self,
        inputs: Tensor<3>,
        context: &BodyContext,
        weigh: &mut dyn FnMut(&Block, Tensor<3>, &AttentionOptions) -> Tensor<3>,
    ) -> Tensor<3> {
        let hidden = apply(self.input.as_ref(), inputs); // [batch, time, d]
        let mut hidden = context.dropout(self.positions_added(hidden, 0));
        let [_, time, _] = hidden.dims();
        // A causal mask already hides the padding, which comes last, from every real position.
        let padded = !self.settings.causal && context.lengths.iter().any(|&length| length < time);
        let options = self.settings.options(padded.then(|| context.lengths.to_vec()));
        for block in &self.blocks {
            hidden = self.sub_layer(hidden, block.attention_norm.as_ref(), |inputs| {
                let packed = mapped(&block.query_key_value, inputs, Activation::None);
                let attended = weigh(block, packed, &options);
                context.dropout(mapped(&block.attention_output, attended, Activation::None))
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

    /// Adds the vectors of the positions from `first`.
    fn positions_added(&self, hidden: Tensor<3>, first: usize) -> Tensor<3> {
        let [_, time, _] = hidden.dims();
        match (self.settings.position, &self.positions) {
            (PositionEncoding::Sinusoidal, _) => with_sinusoids(&hidden, first),
            (PositionEncoding::Learned, Some(table)) => {
                let table = table.val();
                let table = if table.dims()[0] == time { table } else { table.narrow(0, first, time) };
                hidden + table.unsqueeze()
            }
            _ => hidden,
        }
    }
}

impl Transformer {
    fn new_norm(&self, initialiser: &Initialiser) -> LayerNorm {
        let mut norm = initialiser.layer_norm(self.inner_width);
        if self.normalisation == Normalisation::RootMeanSquare {
            norm.beta = None;
        }
        norm
    }

    /// What a query sees.
    fn options(&self, lengths: Option<Vec<usize>>) -> AttentionOptions {
        AttentionOptions {
            causal: self.causal,
            window: (self.window > 0).then_some(self.window),
            alibi: self.position == PositionEncoding::Alibi,
            lengths,
        }
    }

    /// Attention at one position more, `[batch, 1, 3 d]` to `[batch, 1, d]`, given in `before` what was remembered of the
    /// others; `after` gets what includes it.
    fn attend_last(
        &self,
        packed: &Tensor<3>,
        before: &mut impl Iterator<Item = Tensor<4>>,
        after: &mut Vec<Tensor<4>>,
    ) -> Tensor<3> {
        let [query, key, value] = split_heads(packed, self.heads);
        if self.attention == AttentionKind::Linear {
            let (output, state) = linear_attention_of_last(query, key, value, before.next());
            after.push(state);
            return merge_heads(output);
        }
        let [key, value] = [key, value].map(|new| {
            let all = match before.next() {
                Some(past) => Tensor::cat(vec![past, new], 2), // [batch, heads, time, d / heads]
                None => new,
            };
            let time = all.dims()[2];
            match self.window {
                window if window > 0 && time > window => all.narrow(2, time - window, window),
                _ => all,
            }
        });
        after.extend([key.clone(), value.clone()]);
        merge_heads(attention_of_last(query, key, value, self.position == PositionEncoding::Alibi))
    }

    /// Multiply-adds of the attention of one block. Scores and weighted values cost d each for a pair, over all heads, be it
    /// visible or, where all are held, hidden. Linear attention adds each position to the sums and reads these; its
    /// blocks of pairs within causal sums are left out.
    fn attention_multiply_adds(&self, time: usize) -> usize {
        let d = self.inner_width;
        match self.attention {
            AttentionKind::Tiled => 2 * d * self.visible_pairs(time),
            AttentionKind::Explicit | AttentionKind::Additive => 2 * d * time * time,
            AttentionKind::Linear => 2 * d * (d / self.heads + 1) * time,
        }
    }

    /// Pairs of a query and a key that it may see, in a sequence of `time` positions.
    fn visible_pairs(&self, time: usize) -> usize {
        let window = if self.window == 0 { time } else { self.window };
        let before = |position: usize| (position + 1).min(window);
        let after = |position: usize| if self.causal { 0 } else { (time - 1 - position).min(window - 1) };
        (0..time).map(|position| before(position) + after(position)).sum()
    }
}

impl Block {
    /// From queries, keys and values beside each other, `[batch, time, 3 d]`, to `[batch, time, d]`.
    fn weigh(&self, packed: Tensor<3>, settings: &Transformer, options: &AttentionOptions) -> Tensor<3> {
        if settings.attention == AttentionKind::Tiled {
            return self_attention(packed, settings.heads, options);
        }
        let [query, key, value] = split_heads(&packed, settings.heads);
        merge_heads(match settings.attention {
            AttentionKind::Linear => linear_attention(query, key, value, options),
            _ => self.weights_of(query, key, value, options).0,
        })
    }

    /// What attention makes of queries, keys and values, `[batch, heads, time, d / heads]`, and its weights.
    fn weights_of(
        &self,
        query: Tensor<4>,
        key: Tensor<4>,
        value: Tensor<4>,
        options: &AttentionOptions,
    ) -> (Tensor<4>, Tensor<4>) {
        match &self.direction {
            Some(direction) => additive_attention(&query, &key, value, &direction.val(), options),
            None => attention_with_weights(query, key, value, options),
        }
    }

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
            direction: None,
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

/// Queries, keys and values beside each other, `[batch, time, 3 d]`, each as `[batch, heads, time, d / heads]`.
fn split_heads(packed: &Tensor<3>, heads: usize) -> [Tensor<4>; 3] {
    let [batch, time, all] = packed.dims();
    let d = all / 3;
    [0, 1, 2].map(|part| {
        packed.clone().narrow(2, part * d, d).reshape([batch, time, heads, d / heads]).swap_dims(1, 2)
    })
}

/// `[batch, heads, time, d / heads]` as `[batch, time, d]`.
fn merge_heads(output: Tensor<4>) -> Tensor<3> {
    let [batch, heads, time, width] = output.dims();
    output.swap_dims(1, 2).reshape([batch, time, heads * width])
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

/// `[batch, time, d]`, normalised over the last dimension; without a shift nothing is centred either.
pub(crate) fn normalised(norm: &LayerNorm, inputs: Tensor<3>) -> Tensor<3> {
    let gamma = norm.gamma.val();
    match &norm.beta {
        Some(beta) => layer_norm(inputs, gamma, beta.val(), LAYER_NORM_EPSILON),
        None => rms_norm(inputs, gamma, LAYER_NORM_EPSILON),
    }
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
    fn attention_whose_weights_are_kept_gives_the_same_states() {
        let interface = Interface {
            inputs: sequence::InputKind::Features { width: 1 },
            outputs: 1,
            loss: sequence::LossKind::MeanSquaredError,
            maximum_time: 5,
        };
        let device = burn::tensor::Device::flex();
        let wave: Vec<f32> = (0..2 * 5 * 8).map(|place| (place as f32).sin()).collect();
        let inputs = Tensor::<3>::from_data(burn::tensor::TensorData::new(wave, [2, 5, 8]), &device);
        let context = BodyContext::evaluation(&[5, 5]);
        let numbers = |states: Tensor<3>| -> Vec<f32> { states.into_data().try_into_vec().unwrap() };
        for attention in [AttentionKind::Tiled, AttentionKind::Explicit, AttentionKind::Additive] {
            let settings = Transformer { inner_width: 8, attention, ..Transformer::default() };
            let body = settings.init(8, &interface, &mut Initialiser::new(1, &device));
            let forward = numbers(body.forward(inputs.clone(), &context));
            let mut layers = 0;
            let mut count = |weights: Tensor<4>| {
                layers += 1;
                assert_eq!(weights.dims(), [2, 2, 5, 5]);
                weights
            };
            let attending = body.forward_attending(inputs.clone(), &context, &mut count).unwrap();
            for (ours, theirs) in numbers(attending).iter().zip(&forward) {
                assert!((ours - theirs).abs() < 1e-5, "{attention:?}: {ours} {theirs}");
            }
            assert_eq!(layers, 2);
            // Weights that are used are those that come back.
            let mut nothing = |weights: Tensor<4>| weights.zeros_like();
            let without = body.forward_attending(inputs.clone(), &context, &mut nothing).unwrap();
            assert_ne!(numbers(without), forward);
        }
        let linear =
            Transformer { inner_width: 8, attention: AttentionKind::Linear, ..Transformer::default() };
        let body = linear.init(8, &interface, &mut Initialiser::new(1, &device));
        assert!(body.forward_attending(inputs, &context, &mut |weights| weights).is_none());
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
