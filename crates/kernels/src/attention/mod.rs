//! Scaled dot-product attention, tiled: one operation that never stores the `time x time` matrix.
//!
//! # What it computes
//!
//! For each sequence and head, with queries, keys and values `Q`, `K`, `V` [time, width] (Vaswani et al. 2017,
//! "Attention is all you need", equation 1) and the bias `B` below,
//!
//! ```text
//! S = Q K^T / sqrt(width) + B          scores    [time, time]
//! P = softmax of each row of S         weights   [time, time]
//! O = P V                              output    [time, width]
//! ```
//!
//! `B[i, j]` is minus infinity where query `i` does not see key `j` (causal mask, window, padding), and otherwise
//! 0 or, with `ALiBi`, `-slope |i - j|` with the slope `2^(-8 (h + 1) / heads)` of head `h` (Press et al. 2022,
//! "Train short, test long"). A query that sees no key has the output 0.
//!
//! # Forward: the softmax in one pass
//!
//! A row's softmax needs its maximum `m` (so that no exponential overflows) and its sum `l`, and both seem to need
//! the whole row first. They do not (Milakov and Gimelshein 2018). Keys come in tiles; when a tile raises the maximum
//! from `m` to `m'`, what was summed so far is multiplied by `exp(m - m')`:
//!
//! ```text
//! m' = max(m, max_j S[i, j])
//! l  = exp(m - m') l + sum_j exp(S[i, j] - m')
//! O  = exp(m - m') O + sum_j exp(S[i, j] - m') V[j]         over the keys j of the tile
//! ```
//!
//! After the last tile `O / l` is the output. Beside it one number a row is kept, `L = m + log l`.
//!
//! # Backward: the weights once more
//!
//! From the gradient `dO` of the output, the chain rule gives
//!
//! ```text
//! dV = P^T dO
//! dP = dO V^T
//! dS = P * (dP - D)        with D[i] = sum_j P[i, j] dP[i, j]
//! dQ = dS K / sqrt(width)
//! dK = dS^T Q / sqrt(width)
//! ```
//!
//! (the third line is the Jacobian of the softmax). Two observations of Dao (2023, "FlashAttention-2") remove every
//! `time x time` matrix: `P[i, j] = exp(S[i, j] - L[i])` can be computed again, tile by tile, from what is at hand; and
//! `D[i] = sum_c dO[i, c] O[i, c]`, since `O = P V`. The second pass costs one more product `Q K^T`, and saves storing
//! and reading back a matrix that outgrows the cache at a few hundred positions.
//!
//! Tiles that no query of a block sees, above the diagonal or outside the window, are left out: a causal mask halves
//! the work, and a window makes it linear in time.
//!
//! # Memory
//!
//! Kept for the backward pass: the storage of query, key, value and output (shared, not copied), and `L`, one number
//! for each query and head. The composed operations keep at least two matrices [batch, heads, time, time].
//!
//! The kernels run on the calling thread. On one machine and instruction set the same inputs give the same bits.

mod composed;
mod kernel;
mod linear;
mod operation;

pub use composed::{additive_attention, attention_of_last, attention_with_weights};
pub use linear::{LinearState, linear_attention, linear_attention_of_last};

use crate::device::is_fused;
use burn::tensor::Tensor;
use kernel::Visibility;

/// Which keys each query sees, and how distance counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttentionOptions {
    /// A query sees no later key.
    pub causal: bool,
    /// How many positions a query sees: with a window `w >= 1`, query `i` sees the keys `i - w + 1..=i` when causal,
    /// and those with `|i - j| < w` otherwise.
    pub window: Option<usize>,
    /// Scores fall linearly with distance, by the slope `2^(-8 (h + 1) / heads)` a position in head `h`.
    pub alibi: bool,
    /// Keys at or beyond `lengths[b]` of sequence `b` are not seen (padding). One length for each sequence.
    pub lengths: Option<Vec<usize>>,
}

impl AttentionOptions {
    /// What queries see in one sequence of the batch.
    fn visibility(&self, element: usize, time: usize) -> Visibility {
        let reach = self.window.map(|window| window - 1);
        Visibility {
            behind: reach,
            ahead: if self.causal { Some(0) } else { reach },
            keys: self.lengths.as_ref().map_or(time, |lengths| lengths[element].min(time)),
        }
    }

    /// The slope of each head's distance penalty; empty without `ALiBi`.
    fn slopes(&self, heads: usize) -> Vec<f32> {
        let heads = if self.alibi { heads } else { 0 };
        (1..=heads).map(|head| (-8.0 * head as f32 / heads as f32).exp2()).collect()
    }

    fn check(&self, query: &Tensor<4>, key: &Tensor<4>, value: &Tensor<4>) {
        let shape = query.dims();
        assert_eq!(key.dims(), shape, "the key has another shape than the query");
        assert_eq!(value.dims(), shape, "the value has another shape than the query");
        self.check_shape(shape);
    }

    fn check_shape(&self, shape: [usize; 4]) {
        assert_ne!(self.window, Some(0), "a window of 0 sees nothing; 1 is a query's own position");
        if let Some(lengths) = &self.lengths {
            assert_eq!(lengths.len(), shape[0], "there must be one length for each sequence of the batch");
        }
    }
}

/// Scaled dot-product attention; scores are divided by `sqrt(width)`.
///
/// Query, key, value and the output are [batch, heads, time, width]. A query that sees no key has output 0 and gets
/// gradient 0. In single precision on the flex device this is the tiled operation, which reads heads split off by
/// `swap_dims` without a copy, and returns its output in the query's order of dimensions; elsewhere it is
/// [`attention_with_weights`].
///
/// # Panics
/// When the shapes differ, the window is 0, or there is not one length for each sequence.
#[must_use]
pub fn attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    options: &AttentionOptions,
) -> Tensor<4> {
    options.check(&query, &key, &value);
    if is_fused(&query) {
        operation::tiled_attention(query, key, value, options)
    } else {
        attention_with_weights(query, key, value, options).0
    }
}

/// [`attention`] of a layer whose queries, keys and values were computed in one product: from
/// [batch, time, 3 * heads * width], all queries first, to [batch, time, heads * width].
///
/// In single precision on the flex device nothing is copied on the way in, and the gradient is written in one pass;
/// taking the parts apart with tensor operations costs a zero-filled copy of the whole for each part.
///
/// # Panics
/// As [`attention`], and when the last dimension is not `3 * heads * width` for any width.
#[must_use]
pub fn self_attention(packed: Tensor<3>, heads: usize, options: &AttentionOptions) -> Tensor<3> {
    let [batch, time, all] = packed.dims();
    assert!(all.is_multiple_of(3 * heads), "{all} values a position are not three parts of {heads} heads");
    options.check_shape([batch, heads, time, all / 3 / heads]);
    if is_fused(&packed) {
        return operation::packed_attention(packed, heads, options);
    }
    let [query, key, value] = [0, 1, 2].map(|part| {
        let part = packed.clone().narrow(2, part * all / 3, all / 3);
        part.reshape([batch, time, heads, all / 3 / heads]).swap_dims(1, 2)
    });
    attention(query, key, value, options).swap_dims(1, 2).reshape([batch, time, all / 3])
}

#[cfg(test)]
mod tests {
    use super::{AttentionOptions, attention, attention_with_weights, self_attention};
    use crate::instruction_set::on_every_instruction_set;
    use burn::tensor::{Device, Tensor, TensorData};
    use serde_json::Value;

    /// Query, key, value, and the gradient of the output.
    #[derive(Clone)]
    struct Case {
        shape: [usize; 4],
        values: [Vec<f32>; 4],
    }

    impl Case {
        /// Numbers in [-2, 2), spread by a multiplicative congruential generator (L'Ecuyer 1999, table 4).
        fn new(shape: [usize; 4]) -> Self {
            let mut state: u64 = 1;
            let mut draw = || {
                state = state.wrapping_mul(3_935_559_000_370_003_845).wrapping_add(1);
                (state >> 40) as f32 / (1 << 22) as f32 - 2.0
            };
            let count = shape.iter().product();
            Self { shape, values: std::array::from_fn(|_| (0..count).map(|_| draw()).collect()) }
        }
    }

    type Attention = fn(Tensor<4>, Tensor<4>, Tensor<4>, &AttentionOptions) -> Tensor<4>;
    const COMPOSED: Attention =
        |query, key, value, options| attention_with_weights(query, key, value, options).0;
    const NAMES: [&str; 4] = ["output", "query", "key", "value"];

    fn numbers(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// The output, and the gradients of query, key and value.
    fn run(case: &Case, options: &AttentionOptions, attention: Attention) -> [Vec<f32>; 4] {
        let device = Device::flex().autodiff();
        let [query, key, value, gradient] = case.values.clone().map(|values| {
            Tensor::<4>::from_data(TensorData::new(values, case.shape), &device).require_grad()
        });
        let output = attention(query.clone(), key.clone(), value.clone(), options);
        let gradients = (output.clone() * gradient).sum().backward();
        let [query, key, value] = [query, key, value].map(|input| numbers(input.grad(&gradients).unwrap()));
        [numbers(output), query, key, value]
    }

    /// Panics where |a - b| exceeds 1e-5 + 1e-4 |b|.
    fn assert_close(actual: &[Vec<f32>; 4], expected: &[Vec<f32>; 4], what: &str) {
        for (name, (actual, expected)) in NAMES.iter().zip(actual.iter().zip(expected)) {
            assert_eq!(actual.len(), expected.len());
            for (i, (a, b)) in actual.iter().zip(expected).enumerate() {
                assert!((a - b).abs() <= 1e-5 + 1e-4 * b.abs(), "{what}, {name}[{i}]: {a}, expected {b}");
            }
        }
    }

    fn causal() -> AttentionOptions {
        AttentionOptions { causal: true, ..AttentionOptions::default() }
    }

    #[test]
    fn outputs_and_gradients_equal_pytorch() {
        // fixtures/attention/make.py, PyTorch 2.9.0.
        let record: Value =
            serde_json::from_str(include_str!("../../fixtures/attention/attention.json")).unwrap();
        let list = |value: &Value| -> Vec<f32> { serde_json::from_value(value.clone()).unwrap() };
        let case = Case {
            shape: serde_json::from_value(record["shape"].clone()).unwrap(),
            values: ["query", "key", "value", "gradient"].map(|name| list(&record[name])),
        };
        let cases = record["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 5);
        for fixture in cases {
            let set = &fixture["options"];
            let options = AttentionOptions {
                causal: set["causal"] == true,
                window: serde_json::from_value(set["window"].clone()).unwrap(),
                alibi: set["alibi"] == true,
                lengths: serde_json::from_value(set["lengths"].clone()).unwrap(),
            };
            let expected = NAMES.map(|name| list(&fixture["expected"][name]));
            on_every_instruction_set(|| {
                assert_close(&run(&case, &options, attention), &expected, &fixture["name"].to_string());
            });
            assert_close(&run(&case, &options, COMPOSED), &expected, &fixture["name"].to_string());
        }
    }

    #[test]
    fn tiled_equals_composed_at_every_awkward_size() {
        let masks = |batch: usize, time: usize| {
            let lengths = Some((0..batch).map(|b| [time, time / 2, 0][b % 3]).collect::<Vec<_>>());
            let all = AttentionOptions::default();
            [
                all.clone(),
                causal(),
                AttentionOptions { lengths: lengths.clone(), ..all.clone() },
                AttentionOptions { lengths: lengths.clone(), ..causal() },
                AttentionOptions { window: Some(1), ..all.clone() },
                AttentionOptions { window: Some(5), ..causal() },
                AttentionOptions { window: Some(70), alibi: true, ..causal() },
                AttentionOptions { window: Some(9), alibi: true, lengths, ..all },
            ]
        };
        for shape in [
            [1, 1, 1, 1],
            [3, 2, 1, 8],
            [1, 3, 7, 7],
            [3, 1, 33, 33],
            [3, 2, 65, 8],
            [1, 2, 130, 16],
            [1, 1, 97, 1],
        ] {
            let case = Case::new(shape);
            for options in masks(shape[0], shape[2]) {
                let expected = run(&case, &options, COMPOSED);
                on_every_instruction_set(|| {
                    let what = format!("{shape:?}, {options:?}");
                    assert_close(&run(&case, &options, attention), &expected, &what);
                });
            }
        }
    }

    /// [`self_attention`] behind the signature of [`attention`].
    const PACKED: Attention = |query, key, value, options| {
        let [batch, heads, time, width] = query.dims();
        let merge = |tensor: Tensor<4>| tensor.swap_dims(1, 2).reshape([batch, time, heads * width]);
        let packed = Tensor::cat(vec![merge(query), merge(key), merge(value)], 2);
        let output = self_attention(packed, heads, options);
        output.reshape([batch, time, heads, width]).swap_dims(1, 2)
    };

    #[test]
    fn packed_queries_keys_and_values_give_the_same_bits() {
        for shape in [[1, 1, 1, 1], [3, 2, 1, 8], [2, 1, 9, 4], [3, 2, 65, 8], [2, 5, 33, 3]] {
            let case = Case::new(shape);
            let lengths = Some((0..shape[0]).map(|b| [shape[2], shape[2] / 2, 0][b]).collect());
            for options in [causal(), AttentionOptions { lengths, ..AttentionOptions::default() }] {
                on_every_instruction_set(|| {
                    assert_eq!(run(&case, &options, PACKED), run(&case, &options, attention), "{shape:?}");
                });
            }
        }
    }

    #[test]
    #[should_panic(expected = "20 values a position are not three parts of 2 heads")]
    fn parts_that_do_not_divide_are_refused() {
        let _ = self_attention(Tensor::zeros([1, 4, 20], &Device::flex()), 2, &causal());
    }

    #[test]
    fn a_query_without_keys_has_output_and_gradient_zero() {
        let case = Case::new([2, 1, 5, 3]);
        let options = AttentionOptions { lengths: Some(vec![5, 0]), ..AttentionOptions::default() };
        on_every_instruction_set(|| {
            for numbers in run(&case, &options, attention) {
                assert!(numbers[..15].iter().all(|x| *x != 0.0));
                assert!(numbers[15..].iter().all(|x| *x == 0.0));
            }
        });
    }

    /// The largest difference between a gradient and central differences of step 1/64, relative to 1 + its size.
    fn largest_difference(case: &Case, options: &AttentionOptions, gradients: &[Vec<f32>; 3]) -> f64 {
        let loss = |case: &Case| -> f64 {
            let output = &run(case, options, attention)[0];
            output.iter().zip(&case.values[3]).map(|(o, g)| f64::from(*o) * f64::from(*g)).sum()
        };
        let step = 1.0 / 64.0;
        let mut largest: f64 = 0.0;
        for (input, gradient) in gradients.iter().enumerate() {
            for (i, gradient) in gradient.iter().enumerate() {
                let mut moved = [case.clone(), case.clone()];
                moved[0].values[input][i] += step;
                moved[1].values[input][i] -= step;
                let slope = (loss(&moved[0]) - loss(&moved[1])) / f64::from(2.0 * step);
                largest = largest.max((slope - f64::from(*gradient)).abs() / (1.0 + slope.abs()));
            }
        }
        largest
    }

    #[test]
    fn gradients_equal_finite_differences_and_a_wrong_gradient_does_not() {
        let case = Case::new([1, 2, 9, 3]);
        let options = AttentionOptions { window: Some(6), alibi: true, lengths: Some(vec![8]), ..causal() };
        let [_, query, key, value] = run(&case, &options, attention);
        let gradients = [query, key, value];
        let difference = largest_difference(&case, &options, &gradients);
        assert!(difference < 1e-3, "{difference}");
        // The twin: a key gradient without the factor 1 / sqrt(width).
        let mut wrong = gradients;
        wrong[1].iter_mut().for_each(|x| *x *= 3.0_f32.sqrt());
        assert!(largest_difference(&case, &options, &wrong) > 1e-2);
    }

    #[test]
    fn the_future_does_not_leak_into_the_past_and_does_without_the_mask() {
        let shape @ [_, _, time, width] = [1, 1, 75, 8];
        let before = Case::new(shape);
        let mut after = before.clone();
        for changed in &mut after.values[..3] {
            changed[50 * width..].iter_mut().for_each(|x| *x += 1.0);
        }
        let past_is_unchanged = |options: &AttentionOptions| {
            let [before, after] = [&before, &after].map(|case| run(case, options, attention)[0].clone());
            assert_ne!(before[50 * width..time * width], after[50 * width..time * width]);
            before[..50 * width] == after[..50 * width]
        };
        on_every_instruction_set(|| {
            assert!(past_is_unchanged(&causal()));
            assert!(past_is_unchanged(&AttentionOptions { window: Some(20), alibi: true, ..causal() }));
            assert!(!past_is_unchanged(&AttentionOptions::default()));
        });
    }

    #[test]
    fn a_key_outside_every_window_gets_no_gradient() {
        // Only query 40 has a gradient, and it sees the keys 31 to 40.
        let mut case = Case::new([1, 1, 80, 4]);
        for (i, gradient) in case.values[3].iter_mut().enumerate() {
            *gradient *= if i / 4 == 40 { 1.0 } else { 0.0 };
        }
        let options = AttentionOptions { window: Some(10), ..causal() };
        on_every_instruction_set(|| {
            let [_, query, key, value] = run(&case, &options, attention);
            let touched = |gradient: &[f32]| -> Vec<usize> {
                (0..80).filter(|i| gradient[i * 4..i * 4 + 4].iter().any(|x| *x != 0.0)).collect()
            };
            assert_eq!(touched(&query), [40]);
            assert_eq!(touched(&key), (31..=40).collect::<Vec<_>>());
            assert_eq!(touched(&value), (31..=40).collect::<Vec<_>>());
        });
    }

    #[test]
    fn any_layout_gives_the_same_bits_and_merging_heads_is_free() {
        let [batch, heads, time, width] = [2, 3, 37, 8];
        let case = Case::new([batch, heads, time, width]);
        // The same tensors, stored as [batch, time, heads, width].
        let by_time: Attention = |query, key, value, options| {
            let [query, key, value] = [query, key, value].map(|x| (x.swap_dims(1, 2) * 1.0).swap_dims(1, 2));
            attention(query, key, value, options)
        };
        // The same tensors, stored with the width outermost, and as a part of a larger one.
        let by_width: Attention = |query, key, value, options| {
            let query = (query.swap_dims(0, 3) * 1.0).swap_dims(0, 3);
            let value = Tensor::cat(vec![key.clone(), value], 2);
            attention(query, key, value.slice([0..2, 0..3, 37..74, 0..8]), options)
        };
        on_every_instruction_set(|| {
            let expected = run(&case, &causal(), attention);
            assert_eq!(run(&case, &causal(), by_time), expected);
            assert_eq!(run(&case, &causal(), by_width), expected);
        });
    }

    #[test]
    fn the_same_inputs_give_the_same_bits() {
        let case = Case::new([2, 2, 70, 16]);
        on_every_instruction_set(|| {
            assert_eq!(run(&case, &causal(), attention), run(&case, &causal(), attention));
        });
    }

    #[test]
    fn gradients_reach_a_single_tracked_input() {
        let case = Case::new([1, 2, 12, 4]);
        let device = Device::flex().autodiff();
        let tensor =
            |i: usize| Tensor::<4>::from_data(TensorData::new(case.values[i].clone(), case.shape), &device);
        on_every_instruction_set(|| {
            let value = tensor(2).require_grad();
            let output = attention(tensor(0), tensor(1), value.clone(), &causal());
            let gradients = (output * tensor(3)).sum().backward();
            let [.., expected] = run(&case, &causal(), attention);
            assert_eq!(numbers(value.grad(&gradients).unwrap()), expected);
        });
    }

    #[test]
    fn an_overflow_shows_as_not_a_number() {
        let mut case = Case::new([1, 1, 20, 4]);
        case.values[0][9 * 4] = f32::NAN;
        on_every_instruction_set(|| {
            let output = run(&case, &causal(), attention)[0].clone();
            for (i, row) in output.chunks(4).enumerate() {
                assert_eq!(row.iter().all(|x| x.is_nan()), i == 9, "query {i}: {row:?}");
            }
        });
    }

    #[test]
    fn weights_are_rows_of_probabilities() {
        let case = Case::new([2, 1, 6, 3]);
        let tensor = |i: usize| {
            Tensor::<4>::from_data(TensorData::new(case.values[i].clone(), case.shape), &Device::flex())
        };
        let options = AttentionOptions { lengths: Some(vec![4, 0]), ..causal() };
        let (output, weights) = attention_with_weights(tensor(0), tensor(1), tensor(2), &options);
        let tiled = attention(tensor(0), tensor(1), tensor(2), &options);
        assert!((output - tiled).abs().max().into_scalar::<f32>() < 1e-5);
        let weights = numbers(weights);
        for (i, row) in weights.chunks(6).enumerate() {
            let (element, i) = (i / 6, i % 6);
            let sum: f32 = row.iter().sum();
            assert!((sum - if element == 0 { 1.0 } else { 0.0 }).abs() < 1e-6);
            assert!(
                row.iter()
                    .enumerate()
                    .all(|(j, weight)| (*weight > 0.0) == (element == 0 && j <= i && j < 4))
            );
        }
    }

    #[test]
    fn alibi_slopes_are_those_of_press() {
        // Press et al. 2022, section 3: for 8 heads 1/2, 1/4, ..., 1/256; for 4, by the same formula, 1/4 ... 1/256.
        let options = AttentionOptions { alibi: true, ..AttentionOptions::default() };
        assert_eq!(options.slopes(8), [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0].map(|x| 1.0 / x));
        assert_eq!(options.slopes(4), [4.0, 16.0, 64.0, 256.0].map(|x| 1.0 / x));
        assert!(causal().slopes(4).is_empty());
    }

    #[test]
    #[should_panic(expected = "one length for each sequence")]
    fn a_missing_length_is_refused() {
        let tensor = Tensor::<4>::zeros([2, 1, 3, 4], &Device::flex());
        let options = AttentionOptions { lengths: Some(vec![3]), ..AttentionOptions::default() };
        let _output = attention(tensor.clone(), tensor.clone(), tensor, &options);
    }
}
