//! Layer normalisation over the last dimension, in one operation (Ba, Kiros and Hinton 2016).
//!
//! For each row `x` of `n` values, with `*` element by element,
//!
//! ```text
//! m = sum x / n,  s = 1 / sqrt(sum (x - m)^2 / n + epsilon),  z = (x - m) s,  y = z * gamma + beta
//! ```
//!
//! and backward, from the gradient `dy` and with `g = dy * gamma`,
//!
//! ```text
//! dx = s (g - sum g / n - z sum (g * z) / n),  dgamma = sum over rows of dy * z,  dbeta = sum over rows of dy
//! ```
//!
//! Root-mean-square normalisation (Zhang and Sennrich 2019) leaves out the mean and the shift: `m = 0` and no `beta`, and the term
//! `sum g / n` of the backward pass with it. Both are the same loops, with and without these terms.
//!
//! Kept for the backward pass: the input (shared, not copied) and `m` and `s`, two numbers a row. burn composes the
//! backward pass of some fifteen operations, each a walk over the whole tensor.

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
use burn::tensor::Tensor;

use crate::device::is_fused;
use crate::flex::{tensor, values};
use crate::instruction_set::instruction_set;
use crate::vector::{Kernel, Simd, dispatch};

/// `inputs` `[.., width]` normalised over the last dimension, then scaled by `gamma` and shifted by `beta`, both
/// `[width]`.
///
/// # Panics
/// When the widths differ.
#[must_use]
pub fn layer_norm<const D: usize>(
    inputs: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let width = inputs.dims()[D - 1];
    assert_eq!(
        (gamma.dims(), beta.dims()),
        ([width], [width]),
        "scale and shift of a layer of width {width}"
    );
    if !is_fused(&inputs) {
        return burn::tensor::module::layer_norm(inputs, gamma, Some(beta), epsilon);
    }
    Tensor::from_dispatch(<Dispatch as LayerNormBackend>::fused_layer_norm(
        inputs.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
    ))
}

/// `inputs` `[.., width]` over the root of their mean square in the last dimension, then scaled by `gamma` `[width]`.
///
/// # Panics
/// When the widths differ.
#[must_use]
pub fn rms_norm<const D: usize>(inputs: Tensor<D>, gamma: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let width = inputs.dims()[D - 1];
    assert_eq!(gamma.dims(), [width], "scale of a layer of width {width}");
    if !is_fused(&inputs) {
        let scale = (inputs.clone().square().mean_dim(D - 1) + epsilon).sqrt().recip();
        return inputs * scale * gamma.unsqueeze();
    }
    Tensor::from_dispatch(<Dispatch as LayerNormBackend>::fused_rms_norm(
        inputs.into_dispatch(),
        gamma.into_dispatch(),
        epsilon,
    ))
}

/// Backends with the operations.
#[backend_extension(Autodiff, Flex)]
trait LayerNormBackend: Backend {
    /// See [`layer_norm`].
    fn fused_layer_norm(
        inputs: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// See [`rms_norm`].
    fn fused_rms_norm(inputs: FloatTensor<Self>, gamma: FloatTensor<Self>, epsilon: f64)
    -> FloatTensor<Self>;
}

impl LayerNormBackend for Flex {
    fn fused_layer_norm(inputs: FlexTensor, gamma: FlexTensor, beta: FlexTensor, epsilon: f64) -> FlexTensor {
        forward(&inputs.to_contiguous(), &gamma.to_contiguous(), Some(&beta.to_contiguous()), epsilon).0
    }

    fn fused_rms_norm(inputs: FlexTensor, gamma: FlexTensor, epsilon: f64) -> FlexTensor {
        forward(&inputs.to_contiguous(), &gamma.to_contiguous(), None, epsilon).0
    }
}

impl<C: CheckpointStrategy> LayerNormBackend for Autodiff<Flex, C> {
    fn fused_layer_norm(
        inputs: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let parents = [inputs.node(), gamma.node(), beta.node()];
        let [inputs, gamma, beta] = [&inputs, &gamma, &beta].map(|tensor| tensor.primitive().to_contiguous());
        let (output, statistics) = forward(&inputs, &gamma, Some(&beta), epsilon);
        match LayerNorm.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => preparation.finish(Saved { inputs, gamma, statistics }, output),
            OpsKind::UnTracked(preparation) => preparation.finish(output),
        }
    }

    fn fused_rms_norm(
        inputs: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let parents = [inputs.node(), gamma.node()];
        let [inputs, gamma] = [&inputs, &gamma].map(|tensor| tensor.primitive().to_contiguous());
        let (output, statistics) = forward(&inputs, &gamma, None, epsilon);
        match RmsNorm.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => preparation.finish(Saved { inputs, gamma, statistics }, output),
            OpsKind::UnTracked(preparation) => preparation.finish(output),
        }
    }
}

/// The backward step of [`layer_norm`].
#[derive(Debug)]
struct LayerNorm;

/// The backward step of [`rms_norm`].
#[derive(Debug)]
struct RmsNorm;

/// What the backward step reads.
#[derive(Debug, Clone)]
struct Saved {
    inputs: FlexTensor,
    gamma: FlexTensor,
    statistics: Vec<Statistics>,
}

/// Mean and reciprocal standard deviation of a row.
#[derive(Debug, Clone, Copy, Default)]
struct Statistics {
    mean: f32,
    scale: f32,
}

impl BackwardStep<Flex, 3> for LayerNorm {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        for (parent, gradient) in ops.parents.into_iter().zip(backward::<true>(&ops.state, &gradient)) {
            if let Some(parent) = parent {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

impl BackwardStep<Flex, 2> for RmsNorm {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        for (parent, gradient) in ops.parents.into_iter().zip(backward::<false>(&ops.state, &gradient)) {
            if let Some(parent) = parent {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// The gradients of inputs, scale and shift; the last is zeros where nothing is `CENTRED`.
fn backward<const CENTRED: bool>(saved: &Saved, gradient: &FlexTensor) -> [FlexTensor; 3] {
    let Saved { inputs, gamma, statistics } = saved;
    let width = statistics_width(inputs, statistics);
    let mut of_inputs = vec![0.0; values(inputs).len()];
    let (mut of_gamma, mut of_beta) = (vec![0.0; width], vec![0.0; width]);
    let kernel = Backward::<CENTRED> {
        inputs: values(inputs),
        gamma: values(gamma),
        gradient: values(gradient),
        statistics,
        of_inputs: &mut of_inputs,
        of_gamma: &mut of_gamma,
        of_beta: &mut of_beta,
    };
    dispatch(instruction_set(), kernel);
    let like = |gradient, like: &FlexTensor| tensor(gradient, like.layout().shape().clone());
    [like(of_inputs, inputs), like(of_gamma, gamma), like(of_beta, gamma)]
}

fn statistics_width(inputs: &FlexTensor, statistics: &[Statistics]) -> usize {
    values(inputs).len() / statistics.len().max(1)
}

/// The output, and each row's statistics; without a shift nothing is centred.
fn forward(
    inputs: &FlexTensor,
    gamma: &FlexTensor,
    beta: Option<&FlexTensor>,
    epsilon: f64,
) -> (FlexTensor, Vec<Statistics>) {
    let width = values(gamma).len();
    let mut output = vec![0.0; values(inputs).len()];
    let mut statistics = vec![Statistics::default(); output.len() / width.max(1)];
    #[expect(clippy::cast_possible_truncation, reason = "the values are single precision")]
    let kernel = Forward {
        inputs: values(inputs),
        gamma: values(gamma),
        beta: beta.map(values),
        epsilon: epsilon as f32,
        output: &mut output,
        statistics: &mut statistics,
    };
    dispatch(instruction_set(), kernel);
    (tensor(output, inputs.layout().shape().clone()), statistics)
}

struct Forward<'a> {
    inputs: &'a [f32],
    gamma: &'a [f32],
    /// Absent where nothing is centred.
    beta: Option<&'a [f32]>,
    epsilon: f32,
    output: &'a mut [f32],
    statistics: &'a mut [Statistics],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let width = self.gamma.len();
        let rows = self.inputs.chunks_exact(width).zip(self.output.chunks_exact_mut(width));
        let Some(beta) = self.beta else {
            for ((x, y), statistics) in rows.zip(self.statistics) {
                let scale = (dot(simd, x, x) / width as f32 + self.epsilon).sqrt().recip();
                for ((y, x), gamma) in y.iter_mut().zip(x).zip(self.gamma) {
                    *y = x * scale * gamma;
                }
                *statistics = Statistics { mean: 0.0, scale };
            }
            return;
        };
        for ((x, y), statistics) in rows.zip(self.statistics) {
            let mean = sum(simd, x) / width as f32;
            for (y, x) in y.iter_mut().zip(x) {
                *y = x - mean;
            }
            let scale = (dot(simd, y, y) / width as f32 + self.epsilon).sqrt().recip();
            for ((y, gamma), beta) in y.iter_mut().zip(self.gamma).zip(beta) {
                *y = *y * scale * gamma + beta;
            }
            *statistics = Statistics { mean, scale };
        }
    }
}

struct Backward<'a, const CENTRED: bool> {
    inputs: &'a [f32],
    gamma: &'a [f32],
    gradient: &'a [f32],
    statistics: &'a [Statistics],
    of_inputs: &'a mut [f32],
    of_gamma: &'a mut [f32],
    of_beta: &'a mut [f32],
}

impl<const CENTRED: bool> Kernel for Backward<'_, CENTRED> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, simd: S) {
        let width = self.gamma.len();
        let mut normalised = vec![0.0; width];
        let rows = self.inputs.chunks_exact(width).zip(self.gradient.chunks_exact(width));
        for (((x, dy), dx), statistics) in
            rows.zip(self.of_inputs.chunks_exact_mut(width)).zip(self.statistics)
        {
            let Statistics { mean, scale } = *statistics;
            for (z, x) in normalised.iter_mut().zip(x) {
                *z = if CENTRED { (x - mean) * scale } else { x * scale };
            }
            for ((dx, dy), gamma) in dx.iter_mut().zip(dy).zip(self.gamma) {
                *dx = dy * gamma;
            }
            let mean = if CENTRED { sum(simd, dx) / width as f32 } else { 0.0 };
            let slope = dot(simd, dx, &normalised) / width as f32;
            for (dx, z) in dx.iter_mut().zip(&normalised) {
                *dx = scale * (*dx - mean - z * slope);
            }
            for ((of_gamma, dy), z) in self.of_gamma.iter_mut().zip(dy).zip(&normalised) {
                *of_gamma += dy * z;
            }
            if CENTRED {
                for (of_beta, dy) in self.of_beta.iter_mut().zip(dy) {
                    *of_beta += dy;
                }
            }
        }
    }
}

#[inline(always)]
fn sum<S: Simd>(simd: S, a: &[f32]) -> f32 {
    let mut sums = simd.splat(0.0);
    let mut vectors = a.chunks_exact(S::LANES);
    for vector in &mut vectors {
        sums = simd.add(sums, simd.load(vector));
    }
    simd.sum(sums) + vectors.remainder().iter().sum::<f32>()
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let mut sums = simd.splat(0.0);
    let (mut vectors, mut others) = (a.chunks_exact(S::LANES), b.chunks_exact(S::LANES));
    for (vector, other) in (&mut vectors).zip(&mut others) {
        sums = simd.mul_add(simd.load(vector), simd.load(other), sums);
    }
    let rest = vectors.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b);
    simd.sum(sums) + rest.sum::<f32>()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use serde_json::Value;

    use super::*;
    use crate::instruction_set::on_every_instruction_set;

    const NAMES: [&str; 4] = ["output", "inputs", "gamma", "beta"];
    const EPSILON: f64 = 1e-5;

    /// Inputs, gamma, beta and the gradient of the output.
    #[derive(Clone)]
    struct Case {
        rows: usize,
        width: usize,
        values: [Vec<f32>; 4],
    }

    impl Case {
        fn new(rows: usize, width: usize) -> Self {
            let counts = [rows * width, width, width, rows * width];
            let values = std::array::from_fn(|part| {
                (0..counts[part]).map(|i| ((7 * i + 31 * part) as f32 * 0.61).sin() * 2.0 + 0.3).collect()
            });
            Self { rows, width, values }
        }
    }

    type Norm = fn(Tensor<2>, Tensor<1>, Tensor<1>, f64) -> Tensor<2>;
    const COMPOSED: Norm =
        |inputs, gamma, beta, epsilon| burn::tensor::module::layer_norm(inputs, gamma, Some(beta), epsilon);

    /// Root-mean-square normalisation behind the same signature.
    const RMS: Norm = |inputs, gamma, beta, epsilon| rms_norm(inputs, gamma, epsilon) + beta.unsqueeze();
    const RMS_COMPOSED: Norm = |inputs, gamma, beta, epsilon| {
        let scale = (inputs.clone().square().mean_dim(1) + epsilon).sqrt().recip();
        inputs * scale * gamma.unsqueeze() + beta.unsqueeze()
    };
    /// Each fused operation with the composed one and the fixture's name.
    const PAIRS: [(Norm, Norm, &str); 2] =
        [(layer_norm, COMPOSED, "expected"), (RMS, RMS_COMPOSED, "expected_rms")];

    /// The output, and the gradients of inputs, gamma and beta.
    fn run(case: &Case, norm: Norm) -> [Vec<f32>; 4] {
        let device = Device::flex().autodiff();
        let row = |part: usize| Tensor::<1>::from_data(case.values[part].as_slice(), &device).require_grad();
        let matrix = |part: usize| {
            let data = TensorData::new(case.values[part].clone(), [case.rows, case.width]);
            Tensor::<2>::from_data(data, &device).require_grad()
        };
        let (inputs, gamma, beta) = (matrix(0), row(1), row(2));
        let output = norm(inputs.clone(), gamma.clone(), beta.clone(), EPSILON);
        let gradients = (output.clone() * matrix(3)).sum().backward();
        let numbers = |data: TensorData| data.try_into_vec().unwrap();
        [
            numbers(output.into_data()),
            numbers(inputs.grad(&gradients).unwrap().into_data()),
            numbers(gamma.grad(&gradients).unwrap().into_data()),
            numbers(beta.grad(&gradients).unwrap().into_data()),
        ]
    }

    fn assert_close(actual: &[Vec<f32>; 4], expected: &[Vec<f32>; 4], what: &str) {
        for (name, (actual, expected)) in NAMES.iter().zip(actual.iter().zip(expected)) {
            assert_eq!(actual.len(), expected.len());
            for (i, (a, b)) in actual.iter().zip(expected).enumerate() {
                assert!((a - b).abs() <= 1e-5 + 1e-4 * b.abs(), "{what}, {name}[{i}]: {a}, expected {b}");
            }
        }
    }

    #[test]
    fn outputs_and_gradients_equal_pytorch() {
        // fixtures/layer_norm/make.py, PyTorch 2.9.0.
        let record: Value =
            serde_json::from_str(include_str!("../fixtures/layer_norm/layer_norm.json")).unwrap();
        let list = |value: &Value| -> Vec<f32> { serde_json::from_value(value.clone()).unwrap() };
        let [rows, width]: [usize; 2] = serde_json::from_value(record["shape"].clone()).unwrap();
        let values = ["inputs", "gamma", "beta", "gradient"].map(|name| list(&record[name]));
        let case = Case { rows, width, values };
        for (fused, composed, what) in PAIRS {
            let expected = NAMES.map(|name| list(&record[what][name]));
            on_every_instruction_set(|| assert_close(&run(&case, fused), &expected, what));
            assert_close(&run(&case, composed), &expected, what);
        }
    }

    #[test]
    fn fused_equals_composed_at_every_awkward_width() {
        for (rows, width) in [(1, 1), (1, 2), (3, 15), (5, 16), (2, 17), (7, 33), (4, 100)] {
            let case = Case::new(rows, width);
            for (fused, composed, what) in PAIRS {
                let expected = run(&case, composed);
                on_every_instruction_set(|| {
                    assert_close(&run(&case, fused), &expected, &format!("{what}, {rows} x {width}"));
                });
            }
        }
    }

    /// The largest difference between a gradient and central differences of step 1/64, relative to 1 + its size.
    fn largest_difference(norm: Norm, case: &Case, gradients: &[Vec<f32>]) -> f64 {
        let loss = |case: &Case| -> f64 {
            let output = &run(case, norm)[0];
            output.iter().zip(&case.values[3]).map(|(o, g)| f64::from(*o) * f64::from(*g)).sum()
        };
        let step = 1.0 / 64.0;
        let mut largest: f64 = 0.0;
        for (part, gradient) in gradients.iter().enumerate() {
            for (i, gradient) in gradient.iter().enumerate() {
                let mut moved = [case.clone(), case.clone()];
                moved[0].values[part][i] += step;
                moved[1].values[part][i] -= step;
                let slope = (loss(&moved[0]) - loss(&moved[1])) / f64::from(2.0 * step);
                largest = largest.max((slope - f64::from(*gradient)).abs() / (1.0 + slope.abs()));
            }
        }
        largest
    }

    #[test]
    fn gradients_equal_finite_differences_and_a_wrong_gradient_does_not() {
        let case = Case::new(3, 19);
        for norm in [layer_norm as Norm, RMS] {
            let [_, inputs, gamma, beta] = run(&case, norm);
            let mut gradients = [inputs, gamma, beta];
            let difference = largest_difference(norm, &case, &gradients);
            assert!(difference < 2e-3, "{difference}");
            // The twin: the gradient of the inputs without the mean's share.
            gradients[0].iter_mut().for_each(|x| *x += 0.05);
            assert!(largest_difference(norm, &case, &gradients) > 1e-2);
        }
    }

    #[test]
    fn a_constant_row_becomes_the_shift_and_a_row_that_is_not_contiguous_is_read() {
        let device = Device::flex();
        let [gamma, beta] =
            [[2.0, 2.0, 2.0], [0.5, 1.0, 1.5]].map(|row| Tensor::<1>::from_data(row, &device));
        let inputs = Tensor::<2>::from_data([[7.0, 1.0], [7.0, 2.0], [7.0, 3.0]], &device).swap_dims(0, 1);
        let output: Vec<f32> = layer_norm(inputs, gamma, beta, EPSILON).into_data().try_into_vec().unwrap();
        assert_eq!(output[..3], [0.5, 1.0, 1.5]);
        // By hand: (1, 2, 3) has mean 2 and variance 2/3.
        let step = 2.0 / (2.0_f32 / 3.0 + 1e-5).sqrt();
        for (found, by_hand) in output[3..].iter().zip([0.5 - step, 1.0, 1.5 + step]) {
            assert!((found - by_hand).abs() < 1e-5, "{found} {by_hand}");
        }
    }

    #[test]
    #[should_panic(expected = "scale and shift of a layer of width 4")]
    fn another_width_is_refused() {
        let device = Device::flex();
        let row = |width| Tensor::<1>::zeros([width], &device);
        let _ = layer_norm(Tensor::<2>::zeros([2, 4], &device), row(4), row(3), EPSILON);
    }
}
