//! A recurrent layer over whole sequences in one operation.
//!
//! # Equations
//!
//! Row vectors, `x_t` `[inputs]`, `h_t` and `c_t` `[hidden]`; `W_x` the input weights, `W_h` the recurrent
//! ones, `b` the bias, `s(z) = 1 / (1 + exp(-z))`, `*` element by element. As in PyTorch's `nn.RNN`,
//! `nn.LSTM`, `nn.GRU`, with its two biases added up wherever only their sum matters:
//!
//! | kind | columns | forward |
//! |---|---|---|
//! | `Tanh`, `Relu`, `Linear` | `z` | `h_t = f(z)`, `z = x_t W_x + h_(t-1) W_h + b`; linear: `f(z) = z` |
//! | `Lstm` | `i, f, g, o` | `c_t = s(f) * c_(t-1) + s(i) * tanh(g)`, `h_t = s(o) * tanh(c_t)` |
//! | `Gru` | `r, z, n` | `h_t = (1 - s(z)) * n_t + s(z) * h_(t-1)`, `n_t = tanh(a + s(r) * m)` |
//!
//! where the GRU's candidate keeps its input term `a = x_t W_x + b` apart from its recurrent term
//! `m = h_(t-1) W_h + b_h`.
//!
//! Backward, `dv` is the gradient of the loss by `v`. From the last position to the first, `dh_t` is the
//! gradient that arrives for the output at `t` plus what the step after sends back. With `i, f, ..` now the
//! activated gates:
//!
//! - simple: `dz = dh * (1 - h * h)`, or `dz = dh` where `h > 0` and else 0, or `dz = dh`;
//! - LSTM: `dc += dh * o * (1 - tanh(c)^2)`, `do = dh * tanh(c) * o * (1 - o)`, `di = dc * g * i * (1 - i)`,
//!   `df = dc * c_(t-1) * f * (1 - f)`, `dg = dc * i * (1 - g^2)`, and `dc * f` goes to the step before;
//! - GRU: `da = dh * (1 - z) * (1 - n^2)`, `dm = da * r`, `dr = da * m * r * (1 - r)`,
//!   `dz = dh * (h_(t-1) - n) * z * (1 - z)`, and `dh * z` goes to the step before;
//! - all: `dx_t = dz W_x'`, `dh_(t-1) = dz W_h' + ..`, and summed over positions and sequences
//!   `dW_x = x_t' dz`, `dW_h = h_(t-1)' dz`, `db = dz`.
//!
//! # Why one operation
//!
//! A step of a layer of 64 units is some ten microseconds of arithmetic. Composed of a dozen tensor
//! operations it takes ten times as long, and its graph keeps a dozen tensors a position. Here a step is one
//! product and one pass over its result, both held in the first cache; the graph holds one node a layer, and
//! the tape a few blocks of memory. How is told where it is done: `sequence.rs` (layout and order),
//! `product.rs` (the two matrix products), `cell.rs` (the equations), `vector.rs` (lanes and squashing
//! functions).
//!
//! Sequences of different lengths are padded at the end: a causal layer needs no mask, since a loss that
//! leaves padded positions out sends no gradient into them.

#![expect(
    clippy::inline_always,
    reason = "vector code takes on the features of the function it is inlined into"
)]

mod buffer;
mod cell;
mod composed;
mod operation;
mod product;
mod sequence;
mod vector;

pub use cell::CellKind;
pub use composed::{recurrent_sequence_composed, recurrent_step};

use crate::device::is_fused;
use burn::backend::Dispatch;
use burn::tensor::Tensor;
use operation::RecurrentBackend;

/// The parameters of one layer; columns are the gates one after the other, in the order of the
/// [module](self).
#[derive(Clone, Debug)]
pub struct RecurrentWeights {
    /// `[inputs, gates * hidden]`.
    pub input: Tensor<2>,
    /// `[hidden, gates * hidden]`.
    pub recurrent: Tensor<2>,
    /// `[gates * hidden]`.
    pub bias: Tensor<1>,
    /// `[hidden]`, GRU only: the bias of the candidate's recurrent term, inside `r * (..)`. `None` is zero.
    pub recurrent_bias: Option<Tensor<1>>,
}

/// The state before the first position.
#[derive(Clone, Debug)]
pub struct RecurrentState {
    /// `[batch, hidden]`.
    pub hidden: Tensor<2>,
    /// `[batch, hidden]`, LSTM only. `None` is zero.
    pub cell: Option<Tensor<2>>,
}

/// The hidden states `[batch, time, hidden]` of a layer at every position of `inputs` `[batch, time,
/// inputs]`.
///
/// Without an initial state the layer starts from zeros. All tensors are on one device; on a flex device
/// with 32-bit floats the fused operation runs, elsewhere [`recurrent_sequence_composed`].
///
/// # Panics
/// When the shapes do not fit together, the sequence has no position, or a bias or a cell state is given to
/// a kind without one.
#[must_use]
pub fn recurrent_sequence(
    kind: CellKind,
    inputs: Tensor<3>,
    weights: &RecurrentWeights,
    initial: Option<RecurrentState>,
) -> Tensor<3> {
    if !is_fused(&inputs) {
        return recurrent_sequence_composed(kind, inputs, weights, initial);
    }
    assert_shapes(kind, &inputs, weights, initial.as_ref());
    let device = inputs.device();
    let [batch, _, _] = inputs.dims();
    let [size, _] = weights.recurrent.dims();
    let zeros = || Tensor::<2>::zeros([batch, size], &device);
    let (hidden, cell) = initial.map_or((None, None), |state| (Some(state.hidden), state.cell));
    let recurrent_bias = weights.recurrent_bias.clone();
    Tensor::from_dispatch(<Dispatch as RecurrentBackend>::recurrent_layer(
        kind,
        inputs.into_dispatch(),
        weights.input.clone().into_dispatch(),
        weights.recurrent.clone().into_dispatch(),
        weights.bias.clone().into_dispatch(),
        recurrent_bias.unwrap_or_else(|| Tensor::zeros([size], &device)).into_dispatch(),
        hidden.unwrap_or_else(zeros).into_dispatch(),
        cell.unwrap_or_else(zeros).into_dispatch(),
    ))
}

fn assert_shapes(
    kind: CellKind,
    inputs: &Tensor<3>,
    weights: &RecurrentWeights,
    initial: Option<&RecurrentState>,
) {
    let [batch, time, width] = inputs.dims();
    let [size, columns] = weights.recurrent.dims();
    assert!(batch > 0 && time > 0, "a recurrent layer needs at least one sequence of at least one position");
    assert_eq!(columns, kind.gates() * size, "columns of the recurrent weights of {kind:?}");
    assert_eq!(weights.input.dims(), [width, columns], "shape of the input weights of {kind:?}");
    assert_eq!(weights.bias.dims(), [columns], "shape of the bias of {kind:?}");
    if let Some(bias) = &weights.recurrent_bias {
        assert_eq!(kind, CellKind::Gru, "only the GRU has a recurrent bias");
        assert_eq!(bias.dims(), [size], "shape of the recurrent bias");
    }
    if let Some(state) = initial {
        assert_eq!(state.hidden.dims(), [batch, size], "shape of the initial hidden state");
        if let Some(cell) = &state.cell {
            assert_eq!(kind, CellKind::Lstm, "only the LSTM has a cell state");
            assert_eq!(cell.dims(), [batch, size], "shape of the initial cell state");
        }
    }
}

/// Numbers between -1 and 1 for the tests, from the linear congruential generator of Knuth's MMIX.
#[cfg(test)]
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut number = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| number()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};
    use serde_json::Value;

    type Forward = fn(CellKind, Tensor<3>, &RecurrentWeights, Option<RecurrentState>) -> Tensor<3>;

    const HIDDEN: usize = 5;
    const INPUTS: usize = 3;
    const BATCH: usize = 3;
    const TIME: usize = 20;

    fn fixture(kind: CellKind) -> Value {
        let text = match kind {
            CellKind::Tanh => include_str!("../../fixtures/recurrent/tanh.json"),
            CellKind::Relu => include_str!("../../fixtures/recurrent/relu.json"),
            CellKind::Linear => include_str!("../../fixtures/recurrent/linear.json"),
            CellKind::Lstm => include_str!("../../fixtures/recurrent/lstm.json"),
            CellKind::Gru => include_str!("../../fixtures/recurrent/gru.json"),
        };
        serde_json::from_str(text).unwrap()
    }

    fn numbers(value: &Value) -> Vec<f32> {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn tensor<const D: usize>(value: &Value, shape: [usize; D], device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(numbers(value), shape), device).require_grad()
    }

    #[track_caller]
    fn assert_close(name: &str, found: &TensorData, expected: &Value) {
        let (found, expected) = (found.try_to_vec::<f32>().unwrap(), numbers(expected));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (index, (a, b)) in found.iter().zip(&expected).enumerate() {
            assert!((a - b).abs() <= 1e-5 + 1e-4 * b.abs(), "{name}[{index}] is {a}, not {b}");
        }
    }

    /// Two stacked layers over padded sequences against PyTorch; `fixtures/recurrent/make.py` says how the
    /// numbers were made.
    fn compare_with_pytorch(forward: Forward, kind: CellKind) {
        let fixture = fixture(kind);
        let device = Device::flex().autodiff();
        let columns = kind.gates() * HIDDEN;
        let inputs = tensor(&fixture["inputs"], [BATCH, TIME, INPUTS], &device);
        let mut hidden = inputs.clone();
        let mut layers = Vec::new();
        for (layer, width) in fixture["layers"].as_array().unwrap().iter().zip([INPUTS, HIDDEN]) {
            let (gru, lstm) = (kind == CellKind::Gru, kind == CellKind::Lstm);
            let weights = RecurrentWeights {
                input: tensor(&layer["input"], [width, columns], &device),
                recurrent: tensor(&layer["recurrent"], [HIDDEN, columns], &device),
                bias: tensor(&layer["bias"], [columns], &device),
                recurrent_bias: gru.then(|| tensor(&layer["recurrent_bias"], [HIDDEN], &device)),
            };
            let state = RecurrentState {
                hidden: tensor(&layer["hidden"], [BATCH, HIDDEN], &device),
                cell: lstm.then(|| tensor(&layer["cell"], [BATCH, HIDDEN], &device)),
            };
            hidden = forward(kind, hidden, &weights, Some(state.clone()));
            layers.push((layer, weights, state));
        }
        assert_close("output", &hidden.to_data(), &fixture["output"]);

        let lengths: Vec<usize> = serde_json::from_value(fixture["lengths"].clone()).unwrap();
        let mask = lengths.iter().flat_map(|&length| (0..TIME).map(move |t| f32::from(u8::from(t < length))));
        let mask = Tensor::<3>::from_data(TensorData::new(mask.collect(), [BATCH, TIME, 1]), &device);
        let target = tensor(&fixture["target"], [BATCH, TIME, HIDDEN], &device);
        let supervised = (lengths.iter().sum::<usize>() * HIDDEN) as f32;
        let loss = ((hidden - target).powi_scalar(2) * mask).sum() / supervised;
        assert!(
            (f64::from(loss.to_data().try_to_vec::<f32>().unwrap()[0]) - fixture["loss"].as_f64().unwrap())
                .abs()
                < 1e-5
        );

        let gradients = loss.backward();
        let d_inputs = inputs.grad(&gradients).unwrap();
        let padding = d_inputs.clone().slice([2..3, lengths[2]..TIME, 0..INPUTS]);
        assert_eq!(padding.abs().max().into_scalar::<f32>(), 0.0, "gradient of the padding");
        assert_close("inputs", &d_inputs.into_data(), &fixture["d_inputs"]);
        for (layer, weights, state) in layers {
            let matrix = |name: &str, tensor: &Tensor<2>| {
                assert_close(name, &tensor.grad(&gradients).unwrap().into_data(), &layer[name]);
            };
            let row = |name: &str, tensor: &Tensor<1>| {
                assert_close(name, &tensor.grad(&gradients).unwrap().into_data(), &layer[name]);
            };
            matrix("d_input", &weights.input);
            matrix("d_recurrent", &weights.recurrent);
            row("d_bias", &weights.bias);
            matrix("d_hidden", &state.hidden);
            if let Some(bias) = &weights.recurrent_bias {
                row("d_recurrent_bias", bias);
            }
            if let Some(cell) = &state.cell {
                matrix("d_cell", cell);
            }
        }
    }

    #[test]
    fn every_kind_equals_pytorch() {
        for kind in [CellKind::Tanh, CellKind::Relu, CellKind::Linear, CellKind::Lstm, CellKind::Gru] {
            compare_with_pytorch(recurrent_sequence, kind);
            compare_with_pytorch(recurrent_sequence_composed, kind);
        }
    }

    /// The twin: the comparison above notices gates in the wrong order.
    #[test]
    #[should_panic(expected = "output[")]
    fn gates_in_another_order_are_noticed() {
        let swapped: Forward = |kind, inputs, weights, initial| {
            let [_, columns] = weights.recurrent.dims();
            let half = columns / 2;
            let swap = |tensor: Tensor<2>| {
                let [first, second] = [0, half].map(|start| tensor.clone().narrow(1, start, half));
                Tensor::cat(vec![second, first], 1)
            };
            let weights = RecurrentWeights {
                input: swap(weights.input.clone()),
                recurrent: swap(weights.recurrent.clone()),
                ..weights.clone()
            };
            recurrent_sequence(kind, inputs, &weights, initial)
        };
        compare_with_pytorch(swapped, CellKind::Lstm);
    }

    #[test]
    fn one_operation_takes_gradients_for_what_is_tracked_only() {
        let device = Device::flex().autodiff();
        let tensor = |rows: usize, columns: usize, seed| {
            Tensor::<2>::from_data(TensorData::new(noise(rows * columns, seed), [rows, columns]), &device)
        };
        let weights = RecurrentWeights {
            input: tensor(2, 3, 1),
            recurrent: tensor(3, 3, 2).require_grad(),
            bias: tensor(1, 3, 3).squeeze_dim(0),
            recurrent_bias: None,
        };
        let inputs = tensor(4, 10, 4).reshape([4, 5, 2]);
        let gradients = recurrent_sequence(CellKind::Tanh, inputs.clone(), &weights, None).sum().backward();
        assert!(weights.recurrent.grad(&gradients).is_some());
        assert!(weights.input.grad(&gradients).is_none() && inputs.grad(&gradients).is_none());
    }

    #[test]
    #[should_panic(expected = "columns of the recurrent weights of Lstm")]
    fn weights_of_another_kind_are_refused() {
        let device = Device::flex();
        let weights = RecurrentWeights {
            input: Tensor::zeros([2, 9], &device),
            recurrent: Tensor::zeros([3, 9], &device),
            bias: Tensor::zeros([9], &device),
            recurrent_bias: None,
        };
        let _ = recurrent_sequence(CellKind::Lstm, Tensor::zeros([1, 1, 2], &device), &weights, None);
    }
}
