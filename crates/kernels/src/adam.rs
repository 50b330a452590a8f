//! One update of Adam with weight decay apart from the gradient (Kingma and Ba 2015; Loshchilov and Hutter 2019).
//!
//! For each parameter `p` with gradient `g`, element by element, at update `t` = 1, 2, ..
//!
//! ```text
//! m = b1 m + (1 - b1) g            v = b2 v + (1 - b2) g^2
//! p = (1 - rate decay) p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
//! ```
//!
//! One walk over four arrays, in place. burn's own update is the same arithmetic as some twelve operations, each of which reads
//! and writes whole tensors; for a network of 30,000 parameters on short sequences that was a tenth of the step. Nothing is summed, and
//! every operation rounds as burn's does: the results are the same to the last bit.

#![expect(
    clippy::inline_always,
    reason = "vector code takes on the features of the function it is inlined into"
)]

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use crate::device::is_fused;
use crate::flex::{values, values_mut};
use crate::instruction_set::instruction_set;
use crate::vector::{Kernel, Simd, dispatch};

/// What all parameters of one update share.
#[derive(Clone, Copy, Debug)]
pub struct AdamUpdate {
    /// The learning rate.
    pub rate: f64,
    /// The part of a parameter that it loses at a rate of 1.
    pub decay: f32,
    /// How much of the first and of the second moment stays.
    pub betas: [f32; 2],
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// The number of this update, from 1.
    pub time: i32,
}

impl AdamUpdate {
    /// What is left of a parameter before it moves.
    fn kept(&self) -> f64 {
        1.0 - self.rate * f64::from(self.decay)
    }

    /// What the zeros that the moments started from leave of them.
    fn corrections(&self) -> [f32; 2] {
        self.betas.map(|beta| 1.0 - beta.powi(self.time))
    }
}

/// The parameter and both moments after the update. All tensors have one shape; none of them tracks gradients.
#[must_use]
pub fn adam<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: [Tensor<D>; 2],
    update: AdamUpdate,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    if !is_fused(&parameter) {
        return composed(parameter, gradient, moments, update);
    }
    let [first, second] = moments.map(Tensor::into_dispatch);
    let (parameter, first, second) =
        Dispatch::fused_adam(parameter.into_dispatch(), gradient.into_dispatch(), first, second, update);
    (Tensor::from_dispatch(parameter), [first, second].map(Tensor::from_dispatch))
}

/// The same of ordinary operations.
fn composed<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    [first, second]: [Tensor<D>; 2],
    update: AdamUpdate,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let (betas, corrections) = (update.betas, update.corrections());
    let first = first * betas[0] + gradient.clone() * (1.0 - betas[0]);
    let second = second * betas[1] + gradient.square() * (1.0 - betas[1]);
    let direction =
        first.clone() / corrections[0] / ((second.clone() / corrections[1]).sqrt() + update.epsilon);
    (parameter * update.kept() - direction * update.rate, [first, second])
}

/// Backends with the operation.
#[backend_extension(Flex)]
trait AdamBackend: Backend {
    /// See [`adam`].
    fn fused_adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        update: AdamUpdate,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl AdamBackend for Flex {
    fn fused_adam(
        parameter: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        update: AdamUpdate,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let gradient = gradient.to_contiguous();
        let [mut parameter, mut first, mut second] =
            [parameter, first, second].map(|tensor| tensor.to_contiguous());
        let kernel = Walk {
            parameter: values_mut(&mut parameter),
            gradient: values(&gradient),
            first: values_mut(&mut first),
            second: values_mut(&mut second),
            update,
        };
        dispatch(instruction_set(), kernel);
        (parameter, first, second)
    }
}

struct Walk<'a> {
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    update: AdamUpdate,
}

impl Kernel for Walk<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, _simd: S) {
        let AdamUpdate { rate, betas, epsilon, .. } = self.update;
        let (corrections, new) = (self.update.corrections(), betas.map(|beta| 1.0 - beta));
        #[expect(clippy::cast_possible_truncation, reason = "the parameters are single precision")]
        let (rate, kept) = (rate as f32, self.update.kept() as f32);
        let moments = self.first.iter_mut().zip(self.second);
        for ((p, g), (m, v)) in self.parameter.iter_mut().zip(self.gradient).zip(moments) {
            *m = *m * betas[0] + g * new[0];
            *v = *v * betas[1] + g * g * new[1];
            *p = *p * kept - *m / corrections[0] / ((*v / corrections[1]).sqrt() + epsilon) * rate;
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::instruction_set::on_every_instruction_set;

    fn matrix(part: usize, rows: usize, columns: usize) -> Tensor<2> {
        let values: Vec<f32> =
            (0..rows * columns).map(|i| ((7 * i + 31 * part) as f32 * 0.61).sin() * 0.7).collect();
        Tensor::from_data(TensorData::new(values, [rows, columns]), &Device::flex())
    }

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn both_ways_agree_to_the_last_bit_on_every_instruction_set() {
        for (rows, columns, decay) in [(1, 1, 0.0), (1, 7, 0.01), (33, 1, 0.0), (9, 100, 0.1), (0, 4, 0.0)] {
            let run = |step: fn(Tensor<2>, Tensor<2>, [Tensor<2>; 2], AdamUpdate) -> _| {
                let zeros = || Tensor::zeros([rows, columns], &Device::flex());
                let mut state: (Tensor<2>, [Tensor<2>; 2]) = (matrix(0, rows, columns), [zeros(), zeros()]);
                for time in 1..=5_u8 {
                    let update = AdamUpdate {
                        rate: 3e-3,
                        decay,
                        betas: [0.9, 0.999],
                        epsilon: 1e-8,
                        time: time.into(),
                    };
                    // Every other gradient lies across memory.
                    let gradient = if time % 2 == 0 {
                        matrix(time.into(), columns, rows).transpose()
                    } else {
                        matrix(time.into(), rows, columns)
                    };
                    state = step(state.0, gradient, state.1, update);
                }
                let (parameter, [first, second]) = state;
                [parameter, first, second].map(numbers)
            };
            let expected = run(composed);
            on_every_instruction_set(|| assert_eq!(run(adam), expected, "{rows} x {columns}"));
        }
    }

    #[test]
    fn what_others_hold_is_left_alone() {
        let before = matrix(0, 2, 3);
        let kept = before.clone();
        let zeros = || Tensor::zeros([2, 3], &Device::flex());
        let update = AdamUpdate { rate: 0.1, decay: 0.0, betas: [0.9, 0.999], epsilon: 1e-8, time: 1 };
        let (after, _) = adam(before, matrix(1, 2, 3), [zeros(), zeros()], update);
        assert_eq!(numbers(kept), numbers(matrix(0, 2, 3)));
        // The first update moves every parameter by the rate, against the gradient.
        for ((after, before), gradient) in
            numbers(after).iter().zip(numbers(matrix(0, 2, 3))).zip(numbers(matrix(1, 2, 3)))
        {
            assert!((after - (before - 0.1 * gradient.signum())).abs() < 1e-6, "{after} {before} {gradient}");
        }
    }
}
