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

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward as BackwardStep, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::device::is_fused;
use crate::flex::{tensor, values};

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
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let Saved { inputs, weight, bias, rectified } = &ops.state;
        let (inputs_values, columns) = (values(inputs), values(bias).len());
        let width = values(weight).len() / columns;
        let passed: Vec<f32>;
        let gradient = match rectified {
            None => values(&gradient),
            Some(output) => {
                let pass = |(&d, &y): (&f32, &f32)| if y > 0.0 { d } else { 0.0 };
                passed = values(&gradient).iter().zip(values(output)).map(pass).collect();
                &passed
            }
        };
        let rows = gradient.len() / columns;
        let by_rows = |values, columns| Matrix { values, stride: columns, transposed: false };
        let [of_inputs, of_weight, of_bias] = ops.parents;
        if let Some(parent) = of_inputs {
            let transposed = Matrix { transposed: true, ..by_rows(values(weight), columns) };
            let d_inputs = product([rows, columns, width], by_rows(gradient, columns), transposed);
            gradients.register::<Flex>(parent.id, tensor(d_inputs, inputs.layout().shape().clone()));
        }
        if let Some(parent) = of_weight {
            let transposed = Matrix { transposed: true, ..by_rows(inputs_values, width) };
            let d_weight = product([width, rows, columns], transposed, by_rows(gradient, columns));
            gradients.register::<Flex>(parent.id, tensor(d_weight, weight.layout().shape().clone()));
        }
        if let Some(parent) = of_bias {
            let mut d_bias = vec![0.0; columns];
            for row in gradient.chunks_exact(columns) {
                for (sum, d) in d_bias.iter_mut().zip(row) {
                    *sum += d;
                }
            }
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
    for _ in 0..rows {
        output.extend_from_slice(values(bias));
    }
    let by_rows = |values, columns| Matrix { values, stride: columns, transposed: false };
    // Blocks of rows that are still in the cache when they are rectified.
    let block = if activation == Activation::Relu { BLOCK_ROWS } else { rows };
    for (output, inputs) in output.chunks_mut(block * columns).zip(values(inputs).chunks(block * width)) {
        let sizes = [output.len() / columns, width, columns];
        add_product(sizes, by_rows(inputs, width), by_rows(values(weight), columns), output);
        if activation == Activation::Relu {
            for y in output {
                *y = y.max(0.0);
            }
        }
    }
    let mut shape = inputs.layout().shape().clone();
    let last = shape.num_dims() - 1;
    shape[last] = columns;
    tensor(output, shape)
}

/// Rows of a rectified product that are computed at a time.
const BLOCK_ROWS: usize = 256;

/// A matrix, or the transposed one of a matrix, whose rows are `stride` numbers apart.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    stride: usize,
    transposed: bool,
}

impl Matrix<'_> {
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
fn product(sizes: [usize; 3], left: Matrix, right: Matrix) -> Vec<f32> {
    let mut output = vec![0.0; sizes[0] * sizes[2]];
    multiply(sizes, left, right, &mut output, false);
    output
}

/// The same, added to `output`.
fn add_product(sizes: [usize; 3], left: Matrix, right: Matrix, output: &mut [f32]) {
    multiply(sizes, left, right, output, true);
}

/// Multiply-adds above which a product is worth sharing between threads.
const SHARED: usize = 192 * 192 * 192;

#[expect(unsafe_code, reason = "the product takes pointers")]
fn multiply([rows, depth, columns]: [usize; 3], left: Matrix, right: Matrix, output: &mut [f32], add: bool) {
    assert!(left.holds(rows, depth) && right.holds(depth, columns), "operands of a product");
    assert_eq!(output.len(), rows * columns, "result of a product");
    let ([left_row, left_column], [right_row, right_column]) = (left.strides(), right.strides());
    let shared = rows * depth * columns >= SHARED;
    let parallelism = if shared { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    // SAFETY: the strides stay within the two operands and the result, as was just asserted; the result is borrowed alone.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            output.as_mut_ptr(),
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
