//! Attention from ordinary burn operations, for every device.

use super::AttentionOptions;
use crate::additive_scores::additive_scores;
use crate::cost::product;
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Tensor, TensorData};

/// [`attention`](super::attention) from ordinary burn operations, with the weights.
///
/// Returns the output [batch, heads, time, width] and the weights [batch, heads, time, time], whose rows (queries)
/// sum to 1, or are 0 where the query sees no key. Memory grows with the square of time.
///
/// # Panics
/// As [`attention`](super::attention).
#[must_use]
pub fn attention_with_weights(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    options: &AttentionOptions,
) -> (Tensor<4>, Tensor<4>) {
    options.check(&query, &key, &value);
    let [_, _, _, width] = query.dims();
    let scale = 1.0 / (width as f64).sqrt();
    weighted(product(query * scale, key.swap_dims(2, 3)), value, options)
}

/// What the last position attends to: [`attention`](super::attention) with a causal mask, at its last query alone.
///
/// `query` is [batch, heads, 1, width], `key` and `value` are [batch, heads, time, width], the last of which is the query's
/// own; with a window these are the keys within it. The output is [batch, heads, 1, width].
///
/// # Panics
/// When the shapes differ elsewhere.
#[must_use]
pub fn attention_of_last(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, alibi: bool) -> Tensor<4> {
    let [_, heads, time, width] = key.dims();
    let scale = 1.0 / (width as f64).sqrt();
    let mut scores = product(query * scale, key.swap_dims(2, 3)); // [batch, heads, 1, time]
    if alibi {
        let options = AttentionOptions { alibi, ..AttentionOptions::default() };
        scores = scores.clone() - distance_penalty(&options, heads, time, &scores).narrow(2, time - 1, 1);
    }
    product(softmax(scores, 3), value)
}

/// Attention whose score of a query `q` and a key `k` is `v tanh(q + k)`, with a direction `v` a head (Bahdanau, Cho and
/// Bengio 2015, where `q` and `k` are the projected ones); output and weights as of [`attention_with_weights`].
///
/// A score takes as many multiply-adds as a scaled product, but also a hyperbolic tangent for each of the `width` values of
/// each pair, forward and once more backward.
///
/// # Panics
/// As [`attention`](super::attention), and when `direction` is not [heads, width].
#[must_use]
pub fn additive_attention(
    query: &Tensor<4>,
    key: &Tensor<4>,
    value: Tensor<4>,
    direction: &Tensor<2>,
    options: &AttentionOptions,
) -> (Tensor<4>, Tensor<4>) {
    options.check(query, key, &value);
    let [_, heads, _, width] = query.dims();
    assert_eq!(direction.dims(), [heads, width], "one direction a head");
    let of_head = |head: usize| {
        let [query, key] = [query, key].map(|all| all.clone().narrow(1, head, 1).squeeze_dim::<3>(1));
        let direction = direction.clone().narrow(0, head, 1).reshape([width]);
        additive_scores(query, key, direction).unsqueeze_dim::<4>(1)
    };
    let scores = Tensor::cat((0..heads).map(of_head).collect(), 1); // [batch, heads, time, time]
    weighted(scores, value, options)
}

/// What the softmax of `scores` [batch, heads, time, time] makes of the values, and the weights.
fn weighted(scores: Tensor<4>, value: Tensor<4>, options: &AttentionOptions) -> (Tensor<4>, Tensor<4>) {
    let [batch, heads, time, _] = scores.dims();
    let mut scores = scores;
    if options.alibi {
        scores = scores.clone() - distance_penalty(options, heads, time, &scores);
    }
    let weights = match hidden_keys(options, batch, time, &scores) {
        None => softmax(scores, 3),
        Some(hidden) => {
            // Filling twice keeps a row without keys at 0, where the softmax alone would spread it evenly.
            let hidden = hidden.expand([batch, heads, time, time]);
            softmax(scores.mask_fill(hidden.clone(), -1e30), 3).mask_fill(hidden, 0.0)
        }
    };
    (product(weights.clone(), value), weights)
}

/// `slope |i - j|`, [1, heads, time, time].
fn distance_penalty(options: &AttentionOptions, heads: usize, time: usize, like: &Tensor<4>) -> Tensor<4> {
    let slopes = options.slopes(heads);
    let penalties: Vec<f32> = slopes
        .iter()
        .flat_map(|slope| (0..time).flat_map(move |i| (0..time).map(move |j| slope * i.abs_diff(j) as f32)))
        .collect();
    let penalties = TensorData::new(penalties, [1, heads, time, time]);
    Tensor::<4>::from_data(penalties, &like.device()).cast(like.dtype())
}

/// The keys that queries do not see, [batch or 1, 1, time, time]; `None` when they see all.
fn hidden_keys(
    options: &AttentionOptions,
    batch: usize,
    time: usize,
    like: &Tensor<4>,
) -> Option<Tensor<4, Bool>> {
    if !options.causal && options.window.is_none() && options.lengths.is_none() {
        return None;
    }
    let masks = if options.lengths.is_some() { batch } else { 1 };
    let mut hidden = Vec::with_capacity(masks * time * time);
    for element in 0..masks {
        let visibility = options.visibility(element, time);
        hidden.extend((0..time).flat_map(|i| (0..time).map(move |j| !visibility.sees(i, j))));
    }
    Some(Tensor::from_data(TensorData::new(hidden, [masks, 1, time, time]), &like.device()))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::{AttentionOptions, additive_attention, attention_of_last, attention_with_weights};

    fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    fn numbers(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn additive_weights_by_hand() {
        // Two heads of one value and two positions; head 1 has direction 0 and weighs all alike.
        let query = tensor(&[0.5, -1.0, 0.3, 0.2], [1, 2, 2, 1]);
        let key = tensor(&[1.0, 0.25, 0.7, -0.4], [1, 2, 2, 1]);
        let value = tensor(&[1.0, 2.0, 3.0, 5.0], [1, 2, 2, 1]);
        let direction = tensor(&[2.0, 0.0], [2, 1]);
        let causal = AttentionOptions { causal: true, ..AttentionOptions::default() };
        let (output, weights) = additive_attention(&query, &key, value, &direction, &causal);
        let scores = [-1.0_f32 + 1.0, -1.0 + 0.25].map(|sum| (2.0 * sum.tanh()).exp());
        let first = scores[0] / (scores[0] + scores[1]);
        let by_hand = [1.0, 0.0, first, 1.0 - first, 1.0, 0.0, 0.5, 0.5];
        for (weight, by_hand) in numbers(weights).iter().zip(by_hand) {
            assert!((weight - by_hand).abs() < 1e-6, "{weight} {by_hand}");
        }
        for (output, by_hand) in numbers(output).iter().zip([1.0, 2.0 - first, 3.0, 4.0]) {
            assert!((output - by_hand).abs() < 1e-5, "{output} {by_hand}");
        }
    }

    #[test]
    fn the_last_query_alone_gives_the_last_output() {
        let wave =
            |phase: f32| -> Vec<f32> { (0..2 * 2 * 5 * 3).map(|i| (i as f32 + phase).sin()).collect() };
        let [query, key, value] = [0.0, 1.0, 2.0].map(|phase| tensor(&wave(phase), [2, 2, 5, 3]));
        for alibi in [false, true] {
            let options = AttentionOptions { causal: true, alibi, ..AttentionOptions::default() };
            let all = attention_with_weights(query.clone(), key.clone(), value.clone(), &options).0;
            let last = attention_of_last(query.clone().narrow(2, 4, 1), key.clone(), value.clone(), alibi);
            for (a, b) in numbers(last).iter().zip(numbers(all.narrow(2, 4, 1))) {
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
    }
}
