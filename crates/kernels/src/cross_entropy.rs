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
        let classes: Vec<i64> = classes.into_iter().map(i64::from).collect();
        let classes = TensorData::new(classes, [rows, 1]);
        let classes = Tensor::<2, Int>::from_data(classes, &logits.device());
        return log_softmax(logits, 1).gather(1, classes).mean().neg();
    }
    Tensor::from_dispatch(<Dispatch as CrossEntropyBackend>::fused_cross_entropy(
        logits.into_dispatch(),
        classes,
    ))
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
