//! Attention from ordinary burn operations, for every device.

use super::AttentionOptions;
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
    let [batch, heads, time, width] = query.dims();
    let scale = 1.0 / (width as f64).sqrt();
    let mut scores = (query * scale).matmul(key.swap_dims(2, 3)); // [batch, heads, time, time]
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
    (weights.clone().matmul(value), weights)
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
