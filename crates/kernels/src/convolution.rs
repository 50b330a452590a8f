//! A causal convolution over time, in one operation.
//!
//! With inputs `x` `[time, inputs]` of each sequence, a weight `W_i` `[inputs, outputs]` for each tap and a bias `b`,
//!
//! ```text
//! y[t] = f(b + sum over taps i of x[t - i dilation] W_i),  f(z) = z or max(z, 0),  x[t] = 0 where t < 0
//! dz = dy where f passed it on,  s_i[t] = dz[t + i dilation],  s_i[t] = 0 where t + i dilation >= time
//! dx = sum over taps i of s_i W_i',  dW_i = sum over positions of x' s_i,  db = sum over positions of dz
//! ```
//!
//! A tap is one matrix product of all positions of many sequences: their inputs are copied `i dilation` positions later,
//! which costs one store for as many multiply-adds as there are outputs, and the product is added to the result. As
//! shifted and summed products of ordinary operations the same takes several times as long, because each product is written,
//! padded, and read again. Taps are added in the order in which those would be, so that both give the same bits.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward as BackwardStep, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::activation::relu;
use burn::tensor::{Shape, Tensor};

use crate::cost;
use crate::device::is_fused;
use crate::flex::{tensor, values, values_mut};
use crate::instruction_set::instruction_set;
use crate::linear::{Activation, Matrix, Rectified, SumOverRows, add_product, product, rectify};
use crate::vector::dispatch;

/// A causal convolution: `[batch, time, inputs]` -> `[batch, time, outputs]`, with `weight` `[taps, inputs, outputs]`, whose
/// tap `i` reads `i * dilation` positions back, and `bias` `[outputs]`.
///
/// # Panics
/// When the sizes do not fit, or there is no tap.
#[must_use]
pub fn causal_convolution(
    inputs: Tensor<3>,
    weight: Tensor<3>,
    bias: Tensor<1>,
    dilation: usize,
    activation: Activation,
) -> Tensor<3> {
    let (width, [taps, rows, columns]) = (inputs.dims()[2], weight.dims());
    assert_eq!(
        (width, bias.dims()),
        (rows, [columns]),
        "width of the inputs and of the bias of a convolution"
    );
    assert!(taps > 0, "a convolution without taps");
    if !is_fused(&inputs) || inputs.shape().num_elements() * columns == 0 {
        return composed(inputs, &weight, bias, dilation, activation);
    }
    Tensor::from_dispatch(<Dispatch as ConvolutionBackend>::fused_causal_convolution(
        inputs.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        dilation,
        activation,
    ))
}

/// The same of ordinary operations: the product of each tap, shifted.
fn composed(
    inputs: Tensor<3>,
    weight: &Tensor<3>,
    bias: Tensor<1>,
    dilation: usize,
    activation: Activation,
) -> Tensor<3> {
    let ([batch, time, width], [taps, _, columns]) = (inputs.dims(), weight.dims());
    let inputs = inputs.reshape([batch * time, width]);
    let product = |tap: usize, bias: Option<Tensor<1>>| {
        cost::count(batch * time * width * columns);
        let weight = weight.clone().narrow(0, tap, 1).squeeze_dim::<2>(0);
        burn::tensor::module::linear(inputs.clone(), weight, bias).reshape([batch, time, columns])
    };
    let mut sum = product(0, Some(bias));
    for tap in 1..reading(taps, dilation, time) {
        let product = product(tap, None);
        let delay = tap * dilation;
        let zeros = Tensor::zeros([batch, delay, columns], (&product.device(), product.dtype()));
        sum = sum + Tensor::cat(vec![zeros, product.narrow(1, 0, time - delay)], 1);
    }
    if activation == Activation::Relu { relu(sum) } else { sum }
}

/// How many of the taps read anything in sequences of `time` positions; the others lie before all of them.
fn reading(taps: usize, dilation: usize, time: usize) -> usize {
    (0..taps).take_while(|tap| tap.saturating_mul(dilation) < time).count()
}

/// Backends with the operation.
#[backend_extension(Autodiff, Flex)]
trait ConvolutionBackend: Backend {
    /// See [`causal_convolution`].
    fn fused_causal_convolution(
        inputs: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        dilation: usize,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

impl ConvolutionBackend for Flex {
    fn fused_causal_convolution(
        inputs: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        dilation: usize,
        activation: Activation,
    ) -> FlexTensor {
        let operands = [inputs, weight, bias].map(|tensor| tensor.to_contiguous());
        forward(&operands, dilation, activation)
    }
}

impl<C: CheckpointStrategy> ConvolutionBackend for Autodiff<Flex, C> {
    fn fused_causal_convolution(
        inputs: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        dilation: usize,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let parents = [inputs.node(), weight.node(), bias.node()];
        let operands = [&inputs, &weight, &bias].map(|tensor| tensor.primitive().to_contiguous());
        let output = forward(&operands, dilation, activation);
        match Convolution.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => {
                let rectified = (activation == Activation::Relu).then(|| output.clone());
                preparation.finish(Saved { operands, dilation, rectified }, output)
            }
            OpsKind::UnTracked(preparation) => preparation.finish(output),
        }
    }
}

/// The backward step.
#[derive(Debug)]
struct Convolution;

/// What the backward step reads.
#[derive(Debug, Clone)]
struct Saved {
    /// Inputs, weight and bias.
    operands: [FlexTensor; 3],
    dilation: usize,
    /// The output, if it was rectified.
    rectified: Option<FlexTensor>,
}

impl BackwardStep<Flex, 3> for Convolution {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let mut gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let Saved { operands, dilation, rectified } = &ops.state;
        if let Some(output) = rectified {
            let kernel = Rectified { gradient: values_mut(&mut gradient), output: values(output) };
            dispatch(instruction_set(), kernel);
        }
        let gradient = values(&gradient);
        let sizes = Sizes::of(operands, *dilation);
        let Sizes { width, columns, rows, .. } = sizes;
        let [inputs, weight, bias] = operands;
        let mut d_inputs = Vec::new();
        let mut d_weight = vec![vec![0.0; width * columns]; sizes.taps];
        let mut shifted = Vec::new();
        // The sum over taps begins with the last one, as in the composed operation.
        for tap in (0..sizes.reading()).rev() {
            let gradient = sizes.earlier(gradient, columns, tap, &mut shifted);
            let gradient = Matrix::new(gradient, columns);
            if ops.parents[0].is_some() {
                let weight = Matrix::new(sizes.tap(values(weight), tap), columns).transposed();
                if d_inputs.is_empty() {
                    d_inputs = product([rows, columns, width], gradient, weight);
                } else {
                    add_product([rows, columns, width], gradient, weight, &mut d_inputs);
                }
            }
            if ops.parents[1].is_some() {
                let inputs = Matrix::new(values(inputs), width).transposed();
                d_weight[tap] = product([width, rows, columns], inputs, gradient);
            }
        }
        let [of_inputs, of_weight, of_bias] = ops.parents;
        if let Some(parent) = of_inputs {
            gradients.register::<Flex>(parent.id, tensor(d_inputs, inputs.layout().shape().clone()));
        }
        if let Some(parent) = of_weight {
            let shape = weight.layout().shape().clone();
            gradients.register::<Flex>(parent.id, tensor(d_weight.concat(), shape));
        }
        if let Some(parent) = of_bias {
            let mut d_bias = vec![0.0; columns];
            dispatch(instruction_set(), SumOverRows { rows: gradient, sum: &mut d_bias });
            gradients.register::<Flex>(parent.id, tensor(d_bias, bias.layout().shape().clone()));
        }
    }
}

fn forward(operands: &[FlexTensor; 3], dilation: usize, activation: Activation) -> FlexTensor {
    let sizes = Sizes::of(operands, dilation);
    let Sizes { time, width, columns, rows, .. } = sizes;
    let [inputs, weight, bias] = operands.each_ref().map(values);
    let mut output = Vec::with_capacity(rows * columns);
    let mut shifted = Vec::new();
    // Whole sequences whose rows are still in the cache when the next tap adds to them.
    let block = time * BLOCK_ROWS.div_ceil(time);
    for inputs in inputs.chunks(block * width) {
        let start = output.len();
        for _ in 0..inputs.len() / width {
            output.extend_from_slice(bias);
        }
        let output = &mut output[start..];
        for tap in 0..sizes.reading() {
            let inputs = sizes.later(inputs, width, tap, &mut shifted);
            let weight = Matrix::new(sizes.tap(weight, tap), columns);
            add_product([output.len() / columns, width, columns], Matrix::new(inputs, width), weight, output);
        }
        if activation == Activation::Relu {
            rectify(output);
        }
    }
    let mut shape = operands[0].layout().shape().clone();
    shape[2] = columns;
    tensor(output, shape)
}

/// Rows of the result that are computed at a time, at least.
const BLOCK_ROWS: usize = 256;

#[derive(Clone, Copy)]
struct Sizes {
    time: usize,
    /// Values of an input.
    width: usize,
    /// Values of an output.
    columns: usize,
    taps: usize,
    /// Positions of all sequences.
    rows: usize,
    dilation: usize,
}

impl Sizes {
    fn of([inputs, weight, _]: &[FlexTensor; 3], dilation: usize) -> Self {
        let (inputs, weight): (&Shape, &Shape) = (inputs.layout().shape(), weight.layout().shape());
        let [rows, time] = [inputs[0] * inputs[1], inputs[1]];
        Self { time, width: weight[1], columns: weight[2], taps: weight[0], rows, dilation }
    }

    /// The weight `[inputs, outputs]` of a tap.
    fn tap<'a>(&self, weight: &'a [f32], tap: usize) -> &'a [f32] {
        let length = self.width * self.columns;
        &weight[tap * length..][..length]
    }

    /// The first so many taps read something.
    fn reading(&self) -> usize {
        reading(self.taps, self.dilation, self.time)
    }

    /// Whole sequences, of `width` numbers a position, moved to where a tap reads them, with zeros before.
    fn later<'a>(&self, from: &'a [f32], width: usize, tap: usize, to: &'a mut Vec<f32>) -> &'a [f32] {
        let behind = tap * self.dilation * width;
        if behind == 0 {
            return from;
        }
        to.clear();
        for sequence in from.chunks_exact(self.time * width) {
            to.resize(to.len() + behind, 0.0);
            to.extend_from_slice(&sequence[..sequence.len() - behind]);
        }
        to
    }

    /// The other way, with zeros after.
    fn earlier<'a>(&self, from: &'a [f32], width: usize, tap: usize, to: &'a mut Vec<f32>) -> &'a [f32] {
        let behind = tap * self.dilation * width;
        if behind == 0 {
            return from;
        }
        to.clear();
        for sequence in from.chunks_exact(self.time * width) {
            to.extend_from_slice(&sequence[behind..]);
            to.resize(to.len() + behind, 0.0);
        }
        to
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
        /// Batch, time, inputs, outputs, taps, dilation.
        sizes: [usize; 6],
        values: [Vec<f32>; 4],
    }

    impl Case {
        fn new(sizes @ [batch, time, inputs, outputs, taps, _]: [usize; 6]) -> Self {
            let counts = [batch * time * inputs, taps * inputs * outputs, outputs, batch * time * outputs];
            let values = std::array::from_fn(|part| {
                (0..counts[part]).map(|i| ((7 * i + 31 * part) as f32 * 0.61).sin()).collect()
            });
            Self { sizes, values }
        }
    }

    type Map = fn(Tensor<3>, Tensor<3>, Tensor<1>, usize, Activation) -> Tensor<3>;

    /// The output, and the gradients of inputs, weight and bias.
    fn run(case: &Case, activation: Activation, map: Map) -> [Vec<f32>; 4] {
        let device = Device::flex().autodiff();
        let [batch, time, inputs, outputs, taps, dilation] = case.sizes;
        let three = |part: usize, shape: [usize; 3]| {
            Tensor::<3>::from_data(TensorData::new(case.values[part].clone(), shape), &device).require_grad()
        };
        let (x, weight) = (three(0, [batch, time, inputs]), three(1, [taps, inputs, outputs]));
        let bias = Tensor::<1>::from_data(case.values[2].as_slice(), &device).require_grad();
        let output = map(x.clone(), weight.clone(), bias.clone(), dilation, activation);
        let gradients = (output.clone() * three(3, [batch, time, outputs])).sum().backward();
        let numbers = |data: TensorData| data.try_into_vec().unwrap();
        [
            numbers(output.into_data()),
            numbers(x.grad(&gradients).unwrap().into_data()),
            numbers(weight.grad(&gradients).unwrap().into_data()),
            numbers(bias.grad(&gradients).unwrap().into_data()),
        ]
    }

    #[test]
    fn outputs_and_gradients_equal_pytorch() {
        // fixtures/convolution/make.py, PyTorch 2.9.0.
        let record: Value =
            serde_json::from_str(include_str!("../fixtures/convolution/convolution.json")).unwrap();
        let list = |value: &Value| -> Vec<f32> { serde_json::from_value(value.clone()).unwrap() };
        let sizes = serde_json::from_value(record["sizes"].clone()).unwrap();
        let values = ["inputs", "weight", "bias", "gradient"].map(|name| list(&record[name]));
        let case = Case { sizes, values };
        for (activation, name) in ACTIVATIONS.into_iter().zip(["none", "relu"]) {
            on_every_instruction_set(|| {
                let found = run(&case, activation, causal_convolution);
                for (part, found) in found.iter().enumerate() {
                    let expected = list(&record[name][part]);
                    assert_eq!(found.len(), expected.len());
                    for (a, b) in found.iter().zip(&expected) {
                        assert!((a - b).abs() <= 1e-5 + 1e-5 * b.abs(), "{name}, {}: {a}, {b}", NAMES[part]);
                    }
                }
            });
        }
    }

    #[test]
    fn fused_equals_composed_at_every_awkward_size_and_products_of_matrices_to_the_last_bit() {
        // One position, batch, input, output and tap; taps that read nothing; more rows than a block; an experiment's sizes.
        for sizes in [
            [1, 1, 1, 1, 1, 1],
            [1, 1, 7, 33, 3, 1],
            [2, 5, 33, 7, 4, 2],
            [3, 4, 5, 6, 2, usize::MAX],
            [40, 7, 16, 1, 3, 3],
            [2, 300, 3, 100, 2, 1],
            [32, 100, 22, 22, 3, 16],
        ] {
            let case = Case::new(sizes);
            // A product with a vector begins with what it is added to, and a sum rounds otherwise.
            let [batch, time, _, outputs, ..] = sizes;
            let tolerance = if batch * time == 1 || outputs == 1 { 1e-5 } else { 0.0 };
            for activation in ACTIVATIONS {
                let expected = run(&case, activation, |inputs, weight, bias, dilation, activation| {
                    composed(inputs, &weight, bias, dilation, activation)
                });
                on_every_instruction_set(|| {
                    let found = run(&case, activation, causal_convolution);
                    for (name, (found, expected)) in NAMES.iter().zip(found.iter().zip(&expected)) {
                        assert_eq!(found.len(), expected.len());
                        for (a, b) in found.iter().zip(expected) {
                            assert!(
                                (a - b).abs() <= tolerance,
                                "{sizes:?}, {activation:?}, {name}: {a}, {b}"
                            );
                        }
                    }
                });
            }
        }
    }

    /// The largest difference between a gradient and central differences of step 1/1024, relative to 1 + its size.
    fn largest_difference(case: &Case, activation: Activation, gradients: &[Vec<f32>]) -> f64 {
        let loss = |case: &Case| -> f64 {
            let output = &run(case, activation, causal_convolution)[0];
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
        let case = Case::new([2, 5, 3, 4, 3, 2]);
        for activation in ACTIVATIONS {
            let [_, inputs, weight, bias] = run(&case, activation, causal_convolution);
            let mut gradients = [inputs, weight, bias];
            let difference = largest_difference(&case, activation, &gradients);
            assert!(difference < 2e-3, "{activation:?}: {difference}");
            gradients[0].iter_mut().for_each(|x| *x += 0.05);
            assert!(largest_difference(&case, activation, &gradients) > 1e-2);
        }
    }

    #[test]
    fn an_output_by_hand_of_inputs_that_are_not_contiguous() {
        let device = Device::flex();
        // [1, 3 positions, 2 values]: (1, -1), (2, 5), (3, 0).
        let inputs =
            Tensor::<3>::from_data([[[1.0_f32, 2.0, 3.0], [-1.0, 5.0, 0.0]]], &device).swap_dims(1, 2);
        // The current position's first value, and twice the second value of two positions before.
        let weight = Tensor::<3>::from_data([[[1.0_f32], [0.0]], [[0.0], [2.0]]], &device);
        let bias = Tensor::<1>::from_data([-1.5_f32], &device);
        let output = causal_convolution(inputs, weight, bias, 2, Activation::Relu);
        let output: Vec<f32> = output.into_data().try_into_vec().unwrap();
        // max(1 - 1.5, 0), 2 - 1.5, max(3 - 2 - 1.5, 0).
        assert_eq!(output, [0.0, 0.5, 0.0]);
    }

    #[test]
    #[should_panic(expected = "width of the inputs and of the bias of a convolution")]
    fn another_width_is_refused() {
        let device = Device::flex();
        let three = |shape: [usize; 3]| Tensor::<3>::zeros(shape, &device);
        let (inputs, weight) = (three([1, 2, 4]), three([2, 3, 5]));
        let _ = causal_convolution(inputs, weight, Tensor::zeros([5], &device), 1, Activation::None);
    }
}
