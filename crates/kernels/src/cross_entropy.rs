//! The cross-entropy of a softmax, averaged over rows, in one operation.
//!
//! For rows of logits `z` and the class `c` of each, with `n` rows and `log` natural,
//!
//! ```text
//! loss = mean over rows of log sum exp(z) - z_c,  dz_i = (exp(z_i) / sum exp(z) - [i = c]) / n
//! ```
//!
//! The exponentials that the loss needs are those of its gradient, so the forward pass leaves the gradient behind, and
//! the backward pass only scales it. burn composes the loss of a dozen operations, and its exponential takes one number at
//! a time.

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
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Shape, Tensor, TensorData};

use crate::device::is_fused;
use crate::flex::{tensor, values};
use crate::instruction_set::instruction_set;
use crate::vector::{Kernel, Simd, dispatch};

/// The mean negative log-likelihood of `classes`, one for each row of `logits` `[rows, classes]`, in nats: `[1]`.
///
/// # Panics
/// When there are no rows, not as many classes as rows, or a class beyond the logits.
#[must_use]
pub fn cross_entropy(logits: Tensor<2>, classes: Vec<u32>) -> Tensor<1> {
    let [rows, width] = logits.dims();
    assert!(rows > 0 && rows == classes.len(), "{} classes for {rows} rows of logits", classes.len());
    let largest = classes.iter().max().map_or(0, |&class| class as usize);
    assert!(largest < width, "class {largest} of {width} logits");
    if !is_fused(&logits) {
        return composed(logits, classes);
    }
    Tensor::from_dispatch(<Dispatch as CrossEntropyBackend>::fused_cross_entropy(
        logits.into_dispatch(),
        classes,
    ))
}

/// The same of ordinary operations.
fn composed(logits: Tensor<2>, classes: Vec<u32>) -> Tensor<1> {
    let shape = [classes.len(), 1];
    let classes: Vec<i64> = classes.into_iter().map(i64::from).collect();
    let classes = Tensor::<2, Int>::from_data(TensorData::new(classes, shape), &logits.device());
    log_softmax(logits, 1).gather(1, classes).mean().neg()
}

/// Backends with the operation.
#[backend_extension(Autodiff, Flex)]
trait CrossEntropyBackend: Backend {
    /// See [`cross_entropy`].
    fn fused_cross_entropy(logits: FloatTensor<Self>, classes: Vec<u32>) -> FloatTensor<Self>;
}

impl CrossEntropyBackend for Flex {
    fn fused_cross_entropy(logits: FlexTensor, classes: Vec<u32>) -> FlexTensor {
        forward(&logits.to_contiguous(), &classes).0
    }
}

impl<C: CheckpointStrategy> CrossEntropyBackend for Autodiff<Flex, C> {
    fn fused_cross_entropy(logits: FloatTensor<Self>, classes: Vec<u32>) -> FloatTensor<Self> {
        let parents = [logits.node()];
        let logits = logits.primitive().to_contiguous();
        let (loss, gradient) = forward(&logits, &classes);
        match CrossEntropy.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => {
                preparation.finish(Saved { gradient, shape: logits.layout().shape().clone() }, loss)
            }
            OpsKind::UnTracked(preparation) => preparation.finish(loss),
        }
    }
}

/// The backward step.
#[derive(Debug)]
struct CrossEntropy;

/// What the backward step reads.
#[derive(Debug, Clone)]
struct Saved {
    /// Of the logits, for a loss that counts once.
    gradient: Vec<f32>,
    shape: Shape,
}

impl BackwardStep<Flex, 1> for CrossEntropy {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let factor = values(&gradients.consume::<Flex>(&ops.node).to_contiguous())[0];
        let Saved { mut gradient, shape } = ops.state;
        let [Some(parent)] = ops.parents else { return };
        if factor != 1.0 {
            for d in &mut gradient {
                *d *= factor;
            }
        }
        gradients.register::<Flex>(parent.id, tensor(gradient, shape));
    }
}

/// The loss, and its gradient by the logits.
fn forward(logits: &FlexTensor, classes: &[u32]) -> (FlexTensor, Vec<f32>) {
    let mut gradient = values(logits).to_vec();
    let mut loss = 0.0;
    dispatch(instruction_set(), Forward { logits: &mut gradient, classes, loss: &mut loss });
    #[expect(clippy::cast_possible_truncation, reason = "the result is single precision")]
    let loss = tensor(vec![loss as f32], Shape::new([1]));
    (loss, gradient)
}

struct Forward<'a> {
    /// Replaced by their gradient.
    logits: &'a mut [f32],
    classes: &'a [u32],
    loss: &'a mut f64,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let (rows, width) = (self.classes.len(), self.logits.len() / self.classes.len());
        // A row in whole vectors; lanes beyond it hold the lowest number, whose exponential is 0.
        let mut row = vec![simd.splat(f32::MIN); width.div_ceil(S::LANES)];
        let share = 1.0 / rows as f32;
        let to_base_2 = simd.splat(std::f32::consts::LOG2_E);
        for (logits, &class) in self.logits.chunks_exact_mut(width).zip(self.classes) {
            simd.floats_mut(&mut row)[..width].copy_from_slice(logits);
            let mut largest = row[0];
            for vector in &row[1..] {
                largest = simd.max(largest, *vector);
            }
            let largest = simd.largest(largest);
            let mut sum = simd.splat(0.0);
            for vector in &mut row {
                *vector = simd.exp2(simd.mul(simd.sub(*vector, simd.splat(largest)), to_base_2));
                sum = simd.add(sum, *vector);
            }
            let sum = simd.sum(sum);
            let of_class = &mut logits[class as usize];
            *self.loss += f64::from(largest - *of_class) + f64::from(sum).ln();
            let factor = simd.splat(share / sum);
            for vector in &mut row {
                *vector = simd.mul(*vector, factor);
            }
            logits.copy_from_slice(&simd.floats(&row)[..width]);
            logits[class as usize] -= share;
            // The lanes beyond the row again.
            simd.floats_mut(&mut row)[width..].fill(f32::MIN);
        }
        *self.loss /= rows as f64;
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use serde_json::Value;

    use super::*;
    use crate::instruction_set::on_every_instruction_set;

    type Loss = fn(Tensor<2>, Vec<u32>) -> Tensor<1>;

    /// The loss, and its gradient times `factor`.
    fn run(logits: &[f32], classes: &[u32], factor: f32, loss: Loss) -> (f32, Vec<f32>) {
        let data = TensorData::new(logits.to_vec(), [classes.len(), logits.len() / classes.len()]);
        let logits = Tensor::<2>::from_data(data, &Device::flex().autodiff()).require_grad();
        let loss = loss(logits.clone(), classes.to_vec());
        let gradients = (loss.clone() * factor).backward();
        (loss.into_scalar(), logits.grad(&gradients).unwrap().into_data().try_into_vec().unwrap())
    }

    fn noise(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.61).sin() * 4.0).collect()
    }

    fn assert_close((loss, gradient): &(f32, Vec<f32>), (other_loss, other): &(f32, Vec<f32>), what: &str) {
        assert!(
            (loss - other_loss).abs() <= 1e-6 + 1e-6 * other_loss.abs(),
            "{what}: {loss}, not {other_loss}"
        );
        for (i, (a, b)) in gradient.iter().zip(other).enumerate() {
            assert!((a - b).abs() <= 1e-7 + 2e-6 * b.abs(), "{what}, {i}: {a}, not {b}");
        }
    }

    #[test]
    fn loss_and_gradient_equal_pytorch() {
        // fixtures/cross_entropy/make.py, PyTorch 2.9.0.
        let record: Value =
            serde_json::from_str(include_str!("../fixtures/cross_entropy/cross_entropy.json")).unwrap();
        let list = |name: &str| -> Vec<f32> { serde_json::from_value(record[name].clone()).unwrap() };
        let classes: Vec<u32> = serde_json::from_value(record["classes"].clone()).unwrap();
        let loss: f32 = serde_json::from_value(record["loss"].clone()).unwrap();
        let expected = (loss, list("gradient"));
        on_every_instruction_set(|| {
            assert_close(&run(&list("logits"), &classes, 1.0, cross_entropy), &expected, "fused");
        });
        assert_close(&run(&list("logits"), &classes, 1.0, composed), &expected, "composed");
    }

    #[test]
    fn fused_equals_composed_at_every_awkward_width_and_in_a_sum() {
        for (rows, width) in [(1_u32, 1_u32), (1, 2), (3, 15), (5, 16), (2, 17), (7, 33), (4, 65), (2, 100)] {
            let classes: Vec<u32> = (0..rows).map(|row| (5 * row + 1) % width).collect();
            let logits = noise((rows * width) as usize);
            let expected = run(&logits, &classes, 3.0, composed);
            on_every_instruction_set(|| {
                let found = run(&logits, &classes, 3.0, cross_entropy);
                assert_close(&found, &expected, &format!("{rows} x {width}"));
            });
        }
    }

    #[test]
    fn the_gradient_equals_finite_differences_and_a_wrong_one_does_not() {
        let (logits, classes) = (noise(3 * 19), [0, 18, 7]);
        let difference = |gradient: &[f32]| {
            let step = 1.0 / 64.0;
            let mut largest: f32 = 0.0;
            for (i, d) in gradient.iter().enumerate() {
                let at = |moved: f32| {
                    let mut logits = logits.clone();
                    logits[i] += moved;
                    run(&logits, &classes, 1.0, cross_entropy).0
                };
                largest = largest.max(((at(step) - at(-step)) / (2.0 * step) - d).abs());
            }
            largest
        };
        let (_, mut gradient) = run(&logits, &classes, 1.0, cross_entropy);
        assert!(difference(&gradient) < 1e-4, "{}", difference(&gradient));
        gradient[30] += 0.003;
        assert!(difference(&gradient) > 1e-3);
    }

    #[test]
    fn large_logits_do_not_overflow_and_not_a_number_is_seen() {
        on_every_instruction_set(|| {
            // By hand: exp(-2000) is 0, so the first row costs 2000 and the second nothing.
            let (loss, gradient) = run(&[1000.0, -1000.0, 1000.0, -1000.0], &[1, 0], 1.0, cross_entropy);
            assert_eq!((loss, gradient.as_slice()), (1000.0, [0.5, -0.5, 0.0, 0.0].as_slice()));
            let mut logits = noise(40);
            logits[33] = f32::NAN;
            assert!(run(&logits, &[0, 1], 1.0, cross_entropy).0.is_nan());
            logits[33] = f32::INFINITY;
            assert!(!run(&logits, &[0, 1], 1.0, cross_entropy).0.is_finite());
        });
    }

    #[test]
    #[should_panic(expected = "class 4 of 4 logits")]
    fn a_class_beyond_the_logits_is_refused() {
        let _ = cross_entropy(Tensor::zeros([2, 4], &Device::flex()), vec![0, 4]);
    }
}
