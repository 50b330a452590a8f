//! Linear attention: the softmax replaced by a product of features, so that the sum over keys can be taken first.
//!
//! For each sequence and head, with `f(x) = elu(x) + 1` element by element (Katharopoulos et al. 2020, "Transformers are
//! RNNs", equations 4 and 7),
//!
//! ```text
//! O[i] = f(Q[i]) S / (f(Q[i]) . z),   S = sum_j f(K[j])^T V[j],   z = sum_j f(K[j])      over the keys that i sees
//! O, Q, K, V [time, width], S [width, width], z [width]
//! ```
//!
//! Work is `2 time width^2` instead of `2 time^2 width`, and what a later position needs to know of all earlier ones is `S` and
//! `z`, whatever their number. With a causal mask `S` and `z` of a block of positions are those of the blocks before it, and
//! within the block pairs are taken one by one.

use burn::tensor::activation::relu;
use burn::tensor::{Tensor, TensorData};

use super::AttentionOptions;
use crate::cost::product;

/// Positions in a block of causal attention.
const BLOCK: usize = 64;

/// Linear attention, all [batch, heads, time, width]; of the options `causal` and `lengths` have a meaning.
///
/// # Panics
/// As [`attention`](super::attention), and with a window or distance penalty.
#[must_use]
pub fn linear_attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    options: &AttentionOptions,
) -> Tensor<4> {
    options.check(&query, &key, &value);
    assert!(options.window.is_none() && !options.alibi, "linear attention has no window and no penalty");
    let [batch, _, time, _] = query.dims();
    let device = query.device();
    let (query, mut key) = (features(query), features(key));
    if let Some(lengths) = &options.lengths {
        let seen = lengths.iter().flat_map(|&length| (0..time).map(move |j| f32::from(u8::from(j < length))));
        let seen = TensorData::new(seen.collect::<Vec<f32>>(), [batch, 1, time, 1]);
        key = key.clone() * Tensor::<4>::from_data(seen, &device).cast(key.dtype());
    }
    // A last column of ones sums the features beside the values.
    let ones = value.clone().narrow(3, 0, 1).ones_like();
    let value = Tensor::cat(vec![value, ones], 3); // [batch, heads, time, width + 1]
    let sums = if options.causal {
        let mut outputs = Vec::with_capacity(time.div_ceil(BLOCK));
        let mut state: Option<Tensor<4>> = None; // [batch, heads, width, width + 1]
        for start in (0..time).step_by(BLOCK) {
            let length = BLOCK.min(time - start);
            let [query, key, value] =
                [&query, &key, &value].map(|whole| whole.clone().narrow(2, start, length));
            let key = key.swap_dims(2, 3);
            let pairs = product(query.clone(), key.clone()).tril(0); // [batch, heads, length, length]
            let mut output = product(pairs, value.clone());
            if let Some(state) = &state {
                output = output + product(query, state.clone());
            }
            outputs.push(output);
            if start + length < time {
                let added = product(key, value);
                state = Some(state.map_or(added.clone(), |state| state + added));
            }
        }
        Tensor::cat(outputs, 2)
    } else {
        product(query, product(key.swap_dims(2, 3), value))
    };
    averages(sums)
}

/// What linear attention remembers of the positions so far: `[S, z]` side by side, [batch, heads, width, width + 1].
pub type LinearState = Tensor<4>;

/// The output [batch, heads, 1, width] of [`linear_attention`] with a causal mask at one position more, whose query, key and
/// value are [batch, heads, 1, width], and the state that includes it.
#[must_use]
pub fn linear_attention_of_last(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    state: Option<LinearState>,
) -> (Tensor<4>, LinearState) {
    let ones = value.clone().narrow(3, 0, 1).ones_like();
    let added = product(features(key).swap_dims(2, 3), Tensor::cat(vec![value, ones], 3));
    let state = state.map_or(added.clone(), |state| state + added);
    (averages(product(features(query), state.clone())), state)
}

/// Weighted sums [.., width + 1], of which the last is that of the weights, as weighted means [.., width].
fn averages(sums: Tensor<4>) -> Tensor<4> {
    let [batch, heads, time, columns] = sums.dims();
    let weights = sums.clone().narrow(3, columns - 1, 1);
    let values = sums.narrow(3, 0, columns - 1);
    // The features are positive, so only a query without keys has no weight, and its values are 0.
    values / weights.clamp_min(f32::MIN_POSITIVE).expand([batch, heads, time, columns - 1])
}

/// `elu(x) + 1`: `x + 1` above 0 and `exp(x)` below, positive everywhere.
fn features(values: Tensor<4>) -> Tensor<4> {
    relu(values.clone()) + values.clamp_max(0.0).exp()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::{AttentionOptions, BLOCK, linear_attention};

    const SHAPE: [usize; 4] = [2, 2, BLOCK + 9, 3];

    fn wave(phase: f32) -> Tensor<4> {
        let count = SHAPE.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| 2.0 * (i as f32 * 0.37 + phase).sin()).collect();
        Tensor::from_data(TensorData::new(values, SHAPE), &Device::flex())
    }

    /// The definition, pair by pair, in double precision.
    fn by_definition(inputs: &[Vec<f32>; 3], options: &AttentionOptions) -> Vec<f64> {
        let [batch, heads, time, width] = SHAPE;
        let feature = |x: f32| f64::from(x).max(0.0) + f64::from(x).min(0.0).exp();
        let mut output = Vec::new();
        for row in 0..batch * heads * time {
            let (sequence, i) = (row / time, row % time);
            let length = options.lengths.as_ref().map_or(time, |lengths| lengths[sequence / heads]);
            let seen = if options.causal { length.min(i + 1) } else { length };
            let (mut sums, mut weights) = (vec![0.0; width], 0.0);
            for j in 0..seen {
                let at = |which: usize, row: usize| &inputs[which][row * width..][..width];
                let pair = at(0, row).iter().zip(at(1, sequence * time + j));
                let weight: f64 = pair.map(|(&q, &k)| feature(q) * feature(k)).sum();
                weights += weight;
                for (sum, &v) in sums.iter_mut().zip(at(2, sequence * time + j)) {
                    *sum += weight * f64::from(v);
                }
            }
            output.extend(sums.into_iter().map(|sum| if weights > 0.0 { sum / weights } else { 0.0 }));
        }
        output
    }

    #[test]
    fn blocks_and_states_give_what_all_pairs_give() {
        let inputs = [0.0, 1.0, 2.0].map(wave);
        let numbers = inputs.clone().map(|tensor| tensor.into_data().try_to_vec::<f32>().unwrap());
        let lengths = Some(vec![SHAPE[2], 5]);
        for options in [
            AttentionOptions::default(),
            AttentionOptions { causal: true, ..AttentionOptions::default() },
            AttentionOptions { lengths, ..AttentionOptions::default() },
            AttentionOptions { lengths: Some(vec![0, 0]), ..AttentionOptions::default() },
        ] {
            let [query, key, value] = inputs.clone();
            let output = linear_attention(query, key, value, &options);
            let output = output.into_data().try_to_vec::<f32>().unwrap();
            for (ours, exact) in output.iter().zip(by_definition(&numbers, &options)) {
                assert!((f64::from(*ours) - exact).abs() < 1e-4, "{ours} {exact} {options:?}");
            }
        }
    }
}
