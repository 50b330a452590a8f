//! The scores of additive attention, in one operation that keeps nothing of the size of its inner sum.
//!
//! ```text
//! s_tj = sum over a of v_a tanh(q_ta + k_ja)
//! with e_tja = tanh(q_ta + k_ja):  dv_a = sum_tj ds_tj e_tja,  dq_ta = v_a sum_j ds_tj (1 - e_tja^2),
//!                                  dk_ja = v_a sum_t ds_tj (1 - e_tja^2)
//! q [time, width], k [source, width], v [width], s [time, source], for each sequence of the batch
//! ```
//!
//! Bahdanau, Cho and Bengio 2015, section A.1.2. Composed of ordinary operations, the tensor `[batch, time, source,
//! width]` is written and read some ten times. Here its tangents are computed where they are used, and once more for
//! the gradient; keys are transposed first, so that neighbours in memory are neighbours in the source and no sum runs
//! across a register. Each instruction set adds in the same order and rounds every product, so that all give the same bits.

#![expect(
    clippy::inline_always,
    reason = "vector code takes on the features of the function it is inlined into"
)]

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward as BackwardStep, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Shape, Tensor};

use crate::cost;
use crate::device::is_fused;
use crate::flex::{tensor, values};
use crate::instruction_set::instruction_set;
use crate::vector::{Kernel, Simd, dispatch};

/// The scores `[batch, time, source]` of `queries` `[batch, time, width]` with `keys` `[batch, source, width]`, by `weight`
/// `[width]`.
///
/// # Panics
/// When the shapes do not fit together.
#[must_use]
pub fn additive_scores(queries: Tensor<3>, keys: Tensor<3>, weight: Tensor<1>) -> Tensor<3> {
    let ([batch, time, width], [sources, source, compared]) = (queries.dims(), keys.dims());
    assert_eq!((batch, width, [width]), (sources, compared, weight.dims()), "shapes of an additive score");
    cost::count(batch * time * source * width);
    if !is_fused(&queries) {
        return composed(queries, keys, weight);
    }
    Tensor::from_dispatch(<Dispatch as AdditiveBackend>::fused_additive_scores(
        queries.into_dispatch(),
        keys.into_dispatch(),
        weight.into_dispatch(),
    ))
}

/// The same of ordinary operations.
fn composed(queries: Tensor<3>, keys: Tensor<3>, weight: Tensor<1>) -> Tensor<3> {
    let ([batch, time, width], [_, source, _]) = (queries.dims(), keys.dims());
    let sum: Tensor<4> = queries.unsqueeze_dim::<4>(2) + keys.unsqueeze_dim::<4>(1);
    let compared = sum.tanh().reshape([batch * time * source, width]);
    compared.matmul(weight.reshape([width, 1])).reshape([batch, time, source])
}

/// Backends with the operation.
#[backend_extension(Autodiff, Flex)]
trait AdditiveBackend: Backend {
    /// See [`additive_scores`].
    fn fused_additive_scores(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        weight: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl AdditiveBackend for Flex {
    fn fused_additive_scores(queries: FlexTensor, keys: FlexTensor, weight: FlexTensor) -> FlexTensor {
        forward(&[queries, keys, weight].map(|tensor| tensor.to_contiguous()))
    }
}

impl<C: CheckpointStrategy> AdditiveBackend for Autodiff<Flex, C> {
    fn fused_additive_scores(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        weight: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let parents = [queries.node(), keys.node(), weight.node()];
        let operands = [&queries, &keys, &weight].map(|tensor| tensor.primitive().to_contiguous());
        let output = forward(&operands);
        match AdditiveScores.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => preparation.finish(operands, output),
            OpsKind::UnTracked(preparation) => preparation.finish(output),
        }
    }
}

/// The backward step.
#[derive(Debug)]
struct AdditiveScores;

impl BackwardStep<Flex, 3> for AdditiveScores {
    /// Queries, keys and weight.
    type State = [FlexTensor; 3];

    fn backward(
        self,
        ops: Ops<[FlexTensor; 3], 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let d_scores = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let [queries, keys, weight] = &ops.state;
        let mut sums = [queries, keys, weight].map(|operand| vec![0.0; values(operand).len()]);
        let [d_queries, d_keys, d_weight] = &mut sums;
        let kernel = BackwardPass {
            operands: Operands::of(&ops.state),
            d_scores: values(&d_scores),
            d_queries,
            d_keys,
            d_weight,
        };
        dispatch(instruction_set(), kernel);
        for ((parent, sum), operand) in ops.parents.into_iter().zip(sums).zip([queries, keys, weight]) {
            if let Some(parent) = parent {
                gradients.register::<Flex>(parent.id, tensor(sum, operand.layout().shape().clone()));
            }
        }
    }
}

fn forward(operands: &[FlexTensor; 3]) -> FlexTensor {
    let operands = Operands::of(operands);
    let shape = Shape::new([operands.batch, operands.time, operands.source]);
    let mut scores = vec![0.0; shape.num_elements()];
    dispatch(instruction_set(), ForwardPass { operands, scores: &mut scores });
    tensor(scores, shape)
}

/// Numbers that are computed side by side.
const LANES: usize = 16;

/// Queries, keys and weight, row-major, and their sizes.
struct Operands<'a> {
    queries: &'a [f32],
    keys: &'a [f32],
    weight: &'a [f32],
    batch: usize,
    time: usize,
    source: usize,
}

impl<'a> Operands<'a> {
    fn of([queries, keys, weight]: &'a [FlexTensor; 3]) -> Self {
        let (of_queries, of_keys) = (queries.layout().shape(), keys.layout().shape());
        Self {
            batch: of_queries[0],
            time: of_queries[1],
            source: of_keys[1],
            queries: values(queries),
            keys: values(keys),
            weight: values(weight),
        }
    }

    /// Positions of the source, up to whole [`LANES`].
    fn padded(&self) -> usize {
        self.source.next_multiple_of(LANES)
    }

    /// The keys of one sequence transposed, `[width, padded source]`.
    fn keys_by_value(&self, sequence: usize, to: &mut [f32]) {
        let (width, padded) = (self.weight.len(), self.padded());
        let keys = &self.keys[sequence * self.source * width..][..self.source * width];
        for (position, key) in keys.chunks_exact(width).enumerate() {
            for (value, key) in key.iter().enumerate() {
                to[value * padded + position] = *key;
            }
        }
    }
}

struct ForwardPass<'a> {
    operands: Operands<'a>,
    scores: &'a mut [f32],
}

impl Kernel for ForwardPass<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, _: S) {
        let Self { operands, scores } = self;
        let (width, padded) = (operands.weight.len(), operands.padded());
        let mut keys = vec![0.0; width * padded];
        let mut row = vec![0.0; padded];
        for sequence in 0..operands.batch {
            operands.keys_by_value(sequence, &mut keys);
            for time in sequence * operands.time..(sequence + 1) * operands.time {
                row.fill(0.0);
                let query = &operands.queries[time * width..][..width];
                for ((q, v), keys) in query.iter().zip(operands.weight).zip(keys.chunks_exact(padded)) {
                    for (score, key) in row.iter_mut().zip(keys) {
                        *score += v * tanh(q + key);
                    }
                }
                scores[time * operands.source..][..operands.source].copy_from_slice(&row[..operands.source]);
            }
        }
    }
}

struct BackwardPass<'a> {
    operands: Operands<'a>,
    d_scores: &'a [f32],
    d_queries: &'a mut [f32],
    d_keys: &'a mut [f32],
    d_weight: &'a mut [f32],
}

impl Kernel for BackwardPass<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, _: S) {
        let Self { operands, d_scores, d_queries, d_keys, d_weight } = self;
        let (width, padded, source) = (operands.weight.len(), operands.padded(), operands.source);
        let mut keys = vec![0.0; width * padded];
        let mut d_keys_by_value = vec![0.0; width * padded];
        // Beyond the source it stays 0, so that what is there adds nothing.
        let mut d_row = vec![0.0; padded];
        for sequence in 0..operands.batch {
            operands.keys_by_value(sequence, &mut keys);
            d_keys_by_value.fill(0.0);
            for time in sequence * operands.time..(sequence + 1) * operands.time {
                d_row[..source].copy_from_slice(&d_scores[time * source..][..source]);
                for value in 0..width {
                    let (q, v) = (operands.queries[time * width + value], operands.weight[value]);
                    let keys = &keys[value * padded..][..padded];
                    let d_keys = &mut d_keys_by_value[value * padded..][..padded];
                    let (mut of_query, mut of_weight) = ([0.0; LANES], [0.0; LANES]);
                    let chunks = keys.chunks_exact(LANES).zip(d_row.chunks_exact(LANES));
                    for ((keys, d_scores), d_keys) in chunks.zip(d_keys.chunks_exact_mut(LANES)) {
                        for lane in 0..LANES {
                            let e = tanh(q + keys[lane]);
                            let d = d_scores[lane];
                            of_weight[lane] += d * e;
                            let inner = d * (1.0 - e * e);
                            of_query[lane] += inner;
                            d_keys[lane] += v * inner;
                        }
                    }
                    d_queries[time * width + value] = v * of_query.iter().sum::<f32>();
                    d_weight[value] += of_weight.iter().sum::<f32>();
                }
            }
            let d_keys = &mut d_keys[sequence * source * width..][..source * width];
            for (position, d_key) in d_keys.chunks_exact_mut(width).enumerate() {
                for (value, d_key) in d_key.iter_mut().enumerate() {
                    *d_key = d_keys_by_value[value * padded + position];
                }
            }
        }
    }
}

/// Hyperbolic tangent, by the approximation of Eigen that the recurrent layers use as well
/// (`generic_fast_tanh_float`): relative error below `4e-7`.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    // NaN stays, so that a diverging network is seen to diverge.
    let x = x.clamp(-7.905_311, 7.905_311);
    let square = x * x;
    let mut numerator = -2.760_768_4e-16;
    for coefficient in
        [2.000_188e-13, -8.604_672e-11, 5.122_297_3e-8, 1.485_722_35e-5, 6.372_619_5e-4, 4.893_524_6e-3]
    {
        numerator = numerator * square + coefficient;
    }
    let mut denominator = 1.198_258_4e-6;
    for coefficient in [1.185_347_1e-4, 2.268_434_7e-3, 4.893_525e-3] {
        denominator = denominator * square + coefficient;
    }
    x * numerator / denominator
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use serde_json::Value;

    use super::*;
    use crate::instruction_set::on_every_instruction_set;

    type Scores = fn(Tensor<3>, Tensor<3>, Tensor<1>) -> Tensor<3>;

    fn noise(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| 2.0 * ((i + 100 * seed) as f32 * 0.73).sin()).collect()
    }

    /// Scores, and the gradients of queries, keys and weight for a given gradient of the scores.
    fn run([batch, time, source, width]: [usize; 4], parts: &[Vec<f32>; 3], scores: Scores) -> [Vec<f32>; 4] {
        let device = Device::flex().autodiff();
        let three = |values: &[f32], shape: [usize; 3]| {
            Tensor::<3>::from_data(TensorData::new(values.to_vec(), shape), &device)
        };
        let queries = three(&parts[0], [batch, time, width]).require_grad();
        // A transposed view of memory.
        let keys = three(&parts[1], [batch, width, source]).require_grad();
        let weight =
            Tensor::<1>::from_data(TensorData::new(parts[2].clone(), [width]), &device).require_grad();
        let output = scores(queries.clone(), keys.clone().swap_dims(1, 2), weight.clone());
        let d = three(&noise(batch * time * source, 4), [batch, time, source]);
        let gradients = (output.clone() * d).sum().backward();
        let list = |data: TensorData| data.try_into_vec::<f32>().unwrap();
        [
            list(output.into_data()),
            list(queries.grad(&gradients).unwrap().into_data()),
            list(keys.grad(&gradients).unwrap().into_data()),
            list(weight.grad(&gradients).unwrap().into_data()),
        ]
    }

    fn parts([batch, time, source, width]: [usize; 4]) -> [Vec<f32>; 3] {
        [noise(batch * time * width, 1), noise(batch * source * width, 2), noise(width, 3)]
    }

    #[test]
    fn a_score_by_hand() {
        let device = Device::flex();
        let queries = Tensor::<3>::from_data([[[0.25_f32, -1.0]]], &device);
        let keys = Tensor::<3>::from_data([[[0.5_f32, 1.0], [-0.25, 0.0]]], &device);
        let weight = Tensor::<1>::from_data([2.0_f32, 3.0], &device);
        let scores: Vec<f32> = additive_scores(queries, keys, weight).into_data().try_into_vec().unwrap();
        // 2 tanh(0.75) + 3 tanh(0) = 1.270_298 and 2 tanh(0) + 3 tanh(-1) = -2.284_782.
        assert!((scores[0] - 1.270_298).abs() < 1e-5 && (scores[1] + 2.284_782).abs() < 1e-5, "{scores:?}");
    }

    #[test]
    fn scores_and_gradients_equal_pytorch() {
        // fixtures/additive_scores/make.py, PyTorch 2.9.0.
        let record = include_str!("../fixtures/additive_scores/additive_scores.json");
        let record: Value = serde_json::from_str(record).unwrap();
        let list = |value: &Value| -> Vec<f32> { serde_json::from_value(value.clone()).unwrap() };
        let [batch, time, source, width] = serde_json::from_value(record["sizes"].clone()).unwrap();
        let device = Device::flex().autodiff();
        let three = |name: &str, shape: [usize; 3]| {
            Tensor::<3>::from_data(TensorData::new(list(&record[name]), shape), &device).require_grad()
        };
        on_every_instruction_set(|| {
            let (queries, keys) =
                (three("queries", [batch, time, width]), three("keys", [batch, source, width]));
            let weight = Tensor::<1>::from_data(list(&record["weight"]).as_slice(), &device).require_grad();
            let scores = additive_scores(queries.clone(), keys.clone(), weight.clone());
            let gradients = (scores.clone() * three("gradient", [batch, time, source])).sum().backward();
            let found = [
                scores.into_data(),
                queries.grad(&gradients).unwrap().into_data(),
                keys.grad(&gradients).unwrap().into_data(),
                weight.grad(&gradients).unwrap().into_data(),
            ];
            for (part, found) in found.into_iter().enumerate() {
                let (found, expected) =
                    (found.try_into_vec::<f32>().unwrap(), list(&record["expected"][part]));
                assert_eq!(found.len(), expected.len());
                for (a, b) in found.iter().zip(&expected) {
                    assert!((a - b).abs() <= 1e-5 + 1e-5 * b.abs(), "{part}: {a}, expected {b}");
                }
            }
        });
    }

    #[test]
    fn fused_equals_composed_at_every_awkward_size() {
        on_every_instruction_set(|| {
            for sizes in [[1, 1, 1, 1], [2, 3, 17, 5], [3, 16, 16, 16], [1, 33, 7, 20]] {
                let parts = parts(sizes);
                let fused = run(sizes, &parts, additive_scores);
                let expected = run(sizes, &parts, composed);
                // Sums of up to 768 products of sizes up to 2, in another order.
                for (a, b) in fused.iter().flatten().zip(expected.iter().flatten()) {
                    assert!((a - b).abs() <= 1e-4 + 1e-4 * b.abs(), "{sizes:?}: {a}, not {b}");
                }
            }
        });
    }

    #[test]
    fn the_gradient_equals_finite_differences_and_a_wrong_one_does_not() {
        let sizes = [2, 3, 5, 4];
        let given = parts(sizes);
        let [_, gradients @ ..] = run(sizes, &given, additive_scores);
        let largest = |gradients: &[Vec<f32>; 3]| {
            let mut largest: f32 = 0.0;
            for (part, gradient) in gradients.iter().enumerate() {
                for (place, d) in gradient.iter().enumerate() {
                    let at = |moved: f32| -> f64 {
                        let mut parts = given.clone();
                        parts[part][place] += moved;
                        let [scores, ..] = run(sizes, &parts, additive_scores);
                        let d = noise(scores.len(), 4);
                        scores.iter().zip(&d).map(|(s, d)| f64::from(*s) * f64::from(*d)).sum()
                    };
                    #[expect(clippy::cast_possible_truncation, reason = "a difference of single precision")]
                    let difference = ((at(0.01) - at(-0.01)) / 0.02) as f32;
                    largest = largest.max((difference - d).abs());
                }
            }
            largest
        };
        // The third derivative of the tangent is at most 2: an error of 0.01^2 / 3 a term, and rounding.
        assert!(largest(&gradients) < 5e-3, "{}", largest(&gradients));
        let mut wrong = gradients;
        wrong[1][3] += 0.05;
        assert!(largest(&wrong) > 1e-2);
    }

    #[test]
    #[should_panic(expected = "shapes of an additive score")]
    fn keys_of_another_width_are_refused() {
        let zeros = |width| Tensor::<3>::zeros([1, 2, width], &Device::flex());
        let _ = additive_scores(zeros(3), zeros(4), Tensor::zeros([3], &Device::flex()));
    }
}
