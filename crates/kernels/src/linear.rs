//! A linear map of the last dimension, in one operation.
//!
//! With rows `x` of `inputs` values, weights `W` `[inputs, outputs]` and a bias `b`,
//!
//! ```text
//! y = f(x W + b),  f(z) = z or max(z, 0)
//! dz = dy where f passed it on,  dx = dz W',  dW = sum over rows of x' dz,  db = sum over rows of dz
//! ```
//!
//! The three products are those of the `gemm` crate. What one operation saves is around them: the bias is what the product
//! is added to, the rectifier works on rows that are still in the cache, and no result is cleared or copied before it is
//! written. Kept for the backward pass: input and weights, shared and not copied, and for the rectifier the output, whose
//! positive entries are those that it passed on.

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
use burn::tensor::activation::relu;

use crate::cost;
use crate::device::is_fused;
use crate::flex::{tensor, values, values_mut};
use crate::instruction_set::instruction_set;
use crate::vector::{Kernel, Simd, dispatch};

/// What is applied to the result of a linear map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(z, 0)`.
    Relu,
}

/// `activation(inputs weight + bias)`: `[.., inputs]` -> `[.., outputs]`, with `weight` `[inputs, outputs]` and `bias`
/// `[outputs]`.
///
/// # Panics
/// When the sizes do not fit.
#[must_use]
pub fn linear<const D: usize>(
    inputs: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    activation: Activation,
) -> Tensor<D> {
    let (width, [rows, columns]) = (inputs.dims()[D - 1], weight.dims());
    assert_eq!(
        (width, bias.dims()),
        (rows, [columns]),
        "width of the inputs and of the bias of a linear map"
    );
    if !is_fused(&inputs) || inputs.shape().num_elements() * columns == 0 {
        let output = burn::tensor::module::linear(inputs, weight, Some(bias));
        return if activation == Activation::Relu { relu(output) } else { output };
    }
    Tensor::from_dispatch(<Dispatch as LinearBackend>::fused_linear(
        inputs.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        activation,
    ))
}

/// Backends with the operation.
#[backend_extension(Autodiff, Flex)]
trait LinearBackend: Backend {
    /// See [`linear`].
    fn fused_linear(
        inputs: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

impl LinearBackend for Flex {
    fn fused_linear(
        inputs: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        activation: Activation,
    ) -> FlexTensor {
        forward(&inputs.to_contiguous(), &weight.to_contiguous(), &bias.to_contiguous(), activation)
    }
}

impl<C: CheckpointStrategy> LinearBackend for Autodiff<Flex, C> {
    fn fused_linear(
        inputs: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let parents = [inputs.node(), weight.node(), bias.node()];
        let [inputs, weight, bias] =
            [&inputs, &weight, &bias].map(|tensor| tensor.primitive().to_contiguous());
        let output = forward(&inputs, &weight, &bias, activation);
        match Linear.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => {
                let rectified = (activation == Activation::Relu).then(|| output.clone());
                preparation.finish(Saved { inputs, weight, bias, rectified }, output)
            }
            OpsKind::UnTracked(preparation) => preparation.finish(output),
        }
    }
}

/// The backward step.
#[derive(Debug)]
struct Linear;

/// What the backward step reads.
#[derive(Debug, Clone)]
struct Saved {
    inputs: FlexTensor,
    weight: FlexTensor,
    /// For its shape.
    bias: FlexTensor,
    /// The output, if it was rectified.
    rectified: Option<FlexTensor>,
}

impl BackwardStep<Flex, 3> for Linear {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let mut gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let Saved { inputs, weight, bias, rectified } = &ops.state;
        let (inputs_values, columns) = (values(inputs), values(bias).len());
        let width = values(weight).len() / columns;
        let mut d_bias = vec![0.0; columns];
        if let Some(output) = rectified {
            let kernel = Rectified { gradient: values_mut(&mut gradient), output: values(output) };
            dispatch(instruction_set(), kernel);
        }
        let gradient = values(&gradient);
        dispatch(instruction_set(), SumOverRows { rows: gradient, sum: &mut d_bias });
        let rows = gradient.len() / columns;
        let [of_inputs, of_weight, of_bias] = ops.parents;
        if let Some(parent) = of_inputs {
            let weight = Matrix::new(values(weight), columns).transposed();
            let d_inputs = product([rows, columns, width], Matrix::new(gradient, columns), weight);
            gradients.register::<Flex>(parent.id, tensor(d_inputs, inputs.layout().shape().clone()));
        }
        if let Some(parent) = of_weight {
            let inputs = Matrix::new(inputs_values, width).transposed();
            let d_weight = product([width, rows, columns], inputs, Matrix::new(gradient, columns));
            gradients.register::<Flex>(parent.id, tensor(d_weight, weight.layout().shape().clone()));
        }
        if let Some(parent) = of_bias {
            gradients.register::<Flex>(parent.id, tensor(d_bias, bias.layout().shape().clone()));
        }
    }
}

fn forward(
    inputs: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    activation: Activation,
) -> FlexTensor {
    let (columns, width) = (values(bias).len(), values(weight).len() / values(bias).len());
    let rows = values(inputs).len() / width;
    let mut output = Vec::with_capacity(rows * columns);
    // A block of rows is still in the cache when the product is added to the bias, and when it is rectified.
    for inputs in values(inputs).chunks(BLOCK_ROWS * width) {
        let start = output.len();
        for _ in 0..inputs.len() / width {
            output.extend_from_slice(values(bias));
        }
        let output = &mut output[start..];
        let sizes = [output.len() / columns, width, columns];
        add_product(sizes, Matrix::new(inputs, width), Matrix::new(values(weight), columns), output);
        if activation == Activation::Relu {
            rectify(output);
        }
    }
    let mut shape = inputs.layout().shape().clone();
    let last = shape.num_dims() - 1;
    shape[last] = columns;
    tensor(output, shape)
}

/// Rows of the result that are computed at a time.
const BLOCK_ROWS: usize = 256;

/// The rectifier, in place. Not a number stays.
pub(crate) fn rectify(output: &mut [f32]) {
    for y in output {
        *y = if *y < 0.0 { 0.0 } else { *y };
    }
}

/// The gradient before the rectifier, in place of that after it.
pub(crate) struct Rectified<'a> {
    pub(crate) gradient: &'a mut [f32],
    /// What the rectifier returned.
    pub(crate) output: &'a [f32],
}

impl Kernel for Rectified<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, _: S) {
        for (d, y) in self.gradient.iter_mut().zip(self.output) {
            *d = if *y > 0.0 { *d } else { 0.0 };
        }
    }
}

pub(crate) struct SumOverRows<'a> {
    pub(crate) rows: &'a [f32],
    pub(crate) sum: &'a mut [f32],
}

impl Kernel for SumOverRows<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(self, _: S) {
        for row in self.rows.chunks_exact(self.sum.len()) {
            for (sum, number) in self.sum.iter_mut().zip(row) {
                *sum += number;
            }
        }
    }
}

/// A matrix, or the transposed one of a matrix, whose rows are `stride` numbers apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    stride: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// The matrix with these rows, `columns` numbers each.
    pub(crate) fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, stride: columns, transposed: false }
    }

    /// The transposed matrix, of the same numbers.
    pub(crate) fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Distances of neighbours in a column and in a row.
    fn strides(&self) -> [isize; 2] {
        let stride = self.stride.cast_signed();
        if self.transposed { [1, stride] } else { [stride, 1] }
    }

    /// Whether it has room for so many rows and columns.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        let (lines, length) = if self.transposed { (columns, rows) } else { (rows, columns) };
        length <= self.stride && lines * self.stride <= self.values.len()
    }
}

/// `left [rows, depth] right [depth, columns]`, for `sizes = [rows, depth, columns]`.
#[expect(unsafe_code, reason = "clearing the result first would cost as much as a small product")]
pub(crate) fn product(sizes: [usize; 3], left: Matrix, right: Matrix) -> Vec<f32> {
    let length = sizes[0] * sizes[2];
    let mut output = Vec::with_capacity(length);
    // SAFETY: there is room for `length` numbers, and the product writes them all.
    unsafe {
        multiply(sizes, left, right, output.as_mut_ptr(), false);
        output.set_len(length);
    }
    output
}

/// The same, added to `output`.
#[expect(unsafe_code, reason = "the product takes pointers")]
pub(crate) fn add_product(sizes: [usize; 3], left: Matrix, right: Matrix, output: &mut [f32]) {
    assert_eq!(output.len(), sizes[0] * sizes[2], "result of a product");
    // SAFETY: there is room for all numbers of the product, and they are there to be added to.
    unsafe { multiply(sizes, left, right, output.as_mut_ptr(), true) }
}

/// Multiply-adds above which a product is worth sharing between threads.
const SHARED: usize = 192 * 192 * 192;

/// # Safety
/// `output` has room for `rows * columns` numbers, which nobody else reads or writes; with `add` they are there already.
#[expect(unsafe_code, reason = "the product takes pointers")]
unsafe fn multiply(
    [rows, depth, columns]: [usize; 3],
    left: Matrix,
    right: Matrix,
    output: *mut f32,
    add: bool,
) {
    assert!(left.holds(rows, depth) && right.holds(depth, columns), "operands of a product");
    assert!(depth > 0, "a product over nothing writes nothing");
    cost::count(rows * depth * columns);
    let ([left_row, left_column], [right_row, right_column]) = (left.strides(), right.strides());
    let shared = rows * depth * columns >= SHARED;
    let parallelism = if shared { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    // SAFETY: the strides stay within the two operands, as was just asserted; the caller vouches for the result.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            output,
            1,
            columns.cast_signed(),
            add,
            left.values.as_ptr(),
            left_column,
            left_row,
            right.values.as_ptr(),
            right_column,
            right_row,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use serde_json::Value;

    use super::*;
    use crate::instruction_set::on_every_instruction_set;

    const NAMES: [&str; 4] = ["output", "inputs", "weight", "bias"];
    const ACTIVATIONS: [Activation; 2] = [Activation::None, Activation::Relu];

    /// Inputs, weight, bias and the gradient of the output.
    #[derive(Clone)]
    struct Case {
        /// Rows, inputs, outputs.
        sizes: [usize; 3],
        values: [Vec<f32>; 4],
    }

    impl Case {
        fn new(sizes @ [rows, inputs, outputs]: [usize; 3]) -> Self {
            let counts = [rows * inputs, inputs * outputs, outputs, rows * outputs];
            let values = std::array::from_fn(|part| {
                (0..counts[part]).map(|i| ((7 * i + 31 * part) as f32 * 0.61).sin()).collect()
            });
            Self { sizes, values }
        }
    }

    type Map = fn(Tensor<2>, Tensor<2>, Tensor<1>, Activation) -> Tensor<2>;
    const COMPOSED: Map = |inputs, weight, bias, activation| {
        let output = burn::tensor::module::linear(inputs, weight, Some(bias));
        if activation == Activation::Relu { relu(output) } else { output }
    };

    /// The output, and the gradients of inputs, weight and bias.
    fn run(case: &Case, activation: Activation, map: Map) -> [Vec<f32>; 4] {
        let device = Device::flex().autodiff();
        let [rows, inputs, outputs] = case.sizes;
        let matrix = |part: usize, shape: [usize; 2]| {
            let data = TensorData::new(case.values[part].clone(), shape);
            Tensor::<2>::from_data(data, &device).require_grad()
        };
        let (x, weight) = (matrix(0, [rows, inputs]), matrix(1, [inputs, outputs]));
        let bias = Tensor::<1>::from_data(case.values[2].as_slice(), &device).require_grad();
        let output = map(x.clone(), weight.clone(), bias.clone(), activation);
        let gradients = (output.clone() * matrix(3, [rows, outputs])).sum().backward();
        let numbers = |data: TensorData| data.try_into_vec().unwrap();
        [
            numbers(output.into_data()),
            numbers(x.grad(&gradients).unwrap().into_data()),
            numbers(weight.grad(&gradients).unwrap().into_data()),
            numbers(bias.grad(&gradients).unwrap().into_data()),
        ]
    }

    fn assert_close(actual: &[Vec<f32>; 4], expected: &[Vec<f32>; 4], what: &str) {
        for (name, (actual, expected)) in NAMES.iter().zip(actual.iter().zip(expected)) {
            assert_eq!(actual.len(), expected.len());
            for (i, (a, b)) in actual.iter().zip(expected).enumerate() {
                assert!((a - b).abs() <= 1e-5 + 1e-5 * b.abs(), "{what}, {name}[{i}]: {a}, expected {b}");
            }
        }
    }

    #[test]
    fn outputs_and_gradients_equal_pytorch() {
        // fixtures/linear/make.py, PyTorch 2.9.0.
        let record: Value = serde_json::from_str(include_str!("../fixtures/linear/linear.json")).unwrap();
        let list = |value: &Value| -> Vec<f32> { serde_json::from_value(value.clone()).unwrap() };
        let sizes = serde_json::from_value(record["shape"].clone()).unwrap();
        let values = ["inputs", "weight", "bias", "gradient"].map(|name| list(&record[name]));
        let case = Case { sizes, values };
        for (activation, name) in ACTIVATIONS.into_iter().zip(["none", "relu"]) {
            let expected = std::array::from_fn(|part| list(&record[name][part]));
            on_every_instruction_set(|| assert_close(&run(&case, activation, linear), &expected, name));
            assert_close(&run(&case, activation, COMPOSED), &expected, "composed");
        }
    }

    #[test]
    fn fused_equals_composed_at_every_awkward_size() {
        // The last two have more rows than a block, and products that threads share.
        for sizes in [[1, 1, 1], [1, 7, 33], [3, 33, 7], [5, 1, 100], [300, 16, 1], [257, 200, 140]] {
            let case = Case::new(sizes);
            for activation in ACTIVATIONS {
                let expected = run(&case, activation, COMPOSED);
                on_every_instruction_set(|| {
                    // Sums of up to 257 terms, so relative to that many roundings.
                    let found = run(&case, activation, linear);
                    for (a, b) in found.iter().flatten().zip(expected.iter().flatten()) {
                        assert!((a - b).abs() <= 1e-4 + 1e-5 * b.abs(), "{sizes:?}: {a}, expected {b}");
                    }
                });
            }
        }
    }

    /// The largest difference between a gradient and central differences of step 1/1024, relative to 1 + its size.
    fn largest_difference(case: &Case, activation: Activation, gradients: &[Vec<f32>]) -> f64 {
        let loss = |case: &Case| -> f64 {
            let output = &run(case, activation, linear)[0];
            output.iter().zip(&case.values[3]).map(|(o, g)| f64::from(*o) * f64::from(*g)).sum()
        };
        let step = 1.0 / 1024.0;
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
        let case = Case::new([3, 5, 4]);
        for activation in ACTIVATIONS {
            let [_, inputs, weight, bias] = run(&case, activation, linear);
            let mut gradients = [inputs, weight, bias];
            let difference = largest_difference(&case, activation, &gradients);
            assert!(difference < 2e-3, "{activation:?}: {difference}");
            gradients[0].iter_mut().for_each(|x| *x += 0.05);
            assert!(largest_difference(&case, activation, &gradients) > 1e-2);
        }
    }

    #[test]
    fn transposed_inputs_are_read_and_not_a_number_stays() {
        let device = Device::flex();
        let inputs = Tensor::<2>::from_data([[1.0, 4.0], [2.0, f32::NAN]], &device).swap_dims(0, 1);
        let weight = Tensor::<2>::from_data([[1.0, 0.0], [10.0, 0.0]], &device).swap_dims(0, 1);
        let bias = Tensor::<1>::from_data([0.5, -100.0], &device);
        let output: Vec<f32> =
            linear(inputs, weight, bias, Activation::Relu).into_data().try_into_vec().unwrap();
        // By hand: (1, 2) is mapped to (1 + 0.5, max(10 - 100, 0)); the weights of the second input are 0, and 0 times not a
        // number is none.
        assert_eq!(output[..2], [1.5, 0.0]);
        assert!(output[2..].iter().all(|y| y.is_nan()), "{output:?}");
    }

    #[test]
    #[should_panic(expected = "width of the inputs and of the bias of a linear map")]
    fn another_width_is_refused() {
        let device = Device::flex();
        let matrix = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &device);
        let _ = linear(matrix([2, 4]), matrix([3, 5]), Tensor::zeros([5], &device), Activation::None);
    }
}
