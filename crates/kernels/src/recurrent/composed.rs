//! The same layer from ordinary burn operations, for every device without the fused one.

use super::{CellKind, RecurrentState, RecurrentWeights, assert_shapes};
use crate::cost::{self, product};
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};

/// [`super::recurrent_sequence`] composed of ordinary burn operations, on any device.
///
/// # Panics
/// When the shapes do not fit together.
#[must_use]
pub fn recurrent_sequence_composed(
    kind: CellKind,
    inputs: Tensor<3>,
    weights: &RecurrentWeights,
    initial: Option<RecurrentState>,
) -> Tensor<3> {
    assert_shapes(kind, &inputs, weights, initial.as_ref());
    let [batch, time, width] = inputs.dims();
    let [_, columns] = weights.recurrent.dims();
    let projected = product(inputs.reshape([batch * time, width]), weights.input.clone())
        + weights.bias.clone().unsqueeze();
    let mut terms = Vec::with_capacity(time);
    positions(projected.reshape([batch, time, columns]), &mut terms);
    let mut state = initial;
    let mut hidden = Vec::with_capacity(time);
    for term in terms {
        cost::wait(1);
        let next = advanced(kind, term, weights, state);
        hidden.push(next.hidden.clone());
        state = Some(next);
    }
    Tensor::stack(hidden, 1)
}

/// The state after one position more, `inputs` `[batch, inputs]`, as [`recurrent_sequence_composed`] would reach it.
///
/// # Panics
/// When the shapes do not fit together.
#[must_use]
pub fn recurrent_step(
    kind: CellKind,
    inputs: Tensor<2>,
    weights: &RecurrentWeights,
    state: Option<RecurrentState>,
) -> RecurrentState {
    assert_shapes(kind, &inputs.clone().unsqueeze_dim(1), weights, state.as_ref());
    let term = product(inputs, weights.input.clone()) + weights.bias.clone().unsqueeze();
    advanced(kind, term, weights, state)
}

/// The state after a position whose inputs contribute `term` `[batch, gates * hidden]`, bias included.
fn advanced(
    kind: CellKind,
    term: Tensor<2>,
    weights: &RecurrentWeights,
    state: Option<RecurrentState>,
) -> RecurrentState {
    let [batch, _] = term.dims();
    let [size, _] = weights.recurrent.dims();
    let options = (&term.device(), term.dtype());
    let zeros = || Tensor::<2>::zeros([batch, size], options);
    let (hidden, cell) = state.map_or((None, None), |state| (Some(state.hidden), state.cell));
    let hidden = hidden.unwrap_or_else(zeros);
    let product = product(hidden.clone(), weights.recurrent.clone()); // [batch, gates * hidden]
    let gate = |sum: &Tensor<2>, index: usize| sum.clone().narrow(1, index * size, size);
    let mut next_cell = None;
    let hidden = match kind {
        CellKind::Tanh => (term + product).tanh(),
        CellKind::Relu => relu(term + product),
        CellKind::Linear => term + product,
        CellKind::Lstm => {
            let sum = term + product;
            let (input, forget) = (sigmoid(gate(&sum, 0)), sigmoid(gate(&sum, 1)));
            let (candidate, output) = (gate(&sum, 2).tanh(), sigmoid(gate(&sum, 3)));
            let cell = forget * cell.unwrap_or_else(zeros) + input * candidate;
            next_cell = Some(cell.clone());
            output * cell.tanh()
        }
        CellKind::Gru => {
            let reset = sigmoid(gate(&term, 0) + gate(&product, 0));
            let update = sigmoid(gate(&term, 1) + gate(&product, 1));
            let bias = weights.recurrent_bias.clone().unwrap_or_else(|| Tensor::zeros([size], options));
            let recurrent = gate(&product, 2) + bias.unsqueeze();
            let candidate = (gate(&term, 2) + reset * recurrent).tanh();
            candidate.clone() + update * (hidden - candidate)
        }
    };
    RecurrentState { hidden, cell: next_cell }
}

/// Splits `[batch, time, width]` into its positions `[batch, width]`, in order, by halving.
///
/// The gradient of a slice is a tensor of zeros as large as what was sliced, so that taking positions one by
/// one would cost `time^2`; by halves it costs `time * log(time)`.
fn positions(sequence: Tensor<3>, into: &mut Vec<Tensor<2>>) {
    let time = sequence.dims()[1];
    if time == 1 {
        into.push(sequence.squeeze_dim(1));
    } else {
        let half = time / 2;
        positions(sequence.clone().narrow(1, 0, half), into);
        positions(sequence.narrow(1, half, time - half), into);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CellKind, RecurrentState, RecurrentWeights, noise, recurrent_sequence};
    use super::{positions, recurrent_sequence_composed};
    use burn::tensor::{DType, Device, Tensor, TensorData};

    type Layer = fn(CellKind, Tensor<3>, &RecurrentWeights, Option<RecurrentState>) -> Tensor<3>;

    /// Hidden states and all gradients of a layer; with `views`, inputs and weights are transposed views of
    /// memory.
    fn solve(
        layer: Layer,
        kind: CellKind,
        [batch, time, inputs, size]: [usize; 4],
        optional: bool,
        views: bool,
    ) -> Vec<Vec<f32>> {
        let device = Device::flex().autodiff();
        let columns = kind.gates() * size;
        let matrix = |rows: usize, columns: usize, seed: u64| {
            let shape = if views { [columns, rows] } else { [rows, columns] };
            let data = TensorData::new(noise(rows * columns, seed), shape);
            let tensor = Tensor::<2>::from_data(data, &device).require_grad();
            (tensor.clone(), if views { tensor.transpose() } else { tensor })
        };
        let row = |count: usize, seed: u64| {
            Tensor::<1>::from_data(TensorData::new(noise(count, seed), [count]), &device).require_grad()
        };
        let shape = if views { [time, batch, inputs] } else { [batch, time, inputs] };
        let x = TensorData::new(noise(batch * time * inputs, 1), shape);
        let x = Tensor::<3>::from_data(x, &device).require_grad();
        let (w, input) = matrix(inputs, columns, 2);
        let (u, recurrent) = matrix(size, columns, 3);
        let (h, hidden) = matrix(batch, size, 4);
        let (c, cell) = matrix(batch, size, 5);
        let (b, m) = (row(columns, 6), row(size, 7));
        let (gru, lstm) = (optional && kind == CellKind::Gru, optional && kind == CellKind::Lstm);
        let weights =
            RecurrentWeights { input, recurrent, bias: b.clone(), recurrent_bias: gru.then(|| m.clone()) };
        let initial = optional.then(|| RecurrentState { hidden, cell: lstm.then_some(cell) });
        let output =
            layer(kind, if views { x.clone().swap_dims(0, 1) } else { x.clone() }, &weights, initial);
        let target = Tensor::<3>::from_data(
            TensorData::new(noise(batch * time * size, 8), [batch, time, size]),
            &device,
        );
        let loss = (output.clone() - target).powi_scalar(2).mean();
        let gradients = loss.backward();
        let numbers = |data: TensorData| data.try_to_vec::<f32>().expect("32-bit floats");
        let mut found = vec![numbers(output.into_data())];
        found.extend(x.grad(&gradients).map(|gradient| numbers(gradient.into_data())));
        for tensor in [w, u, h, c] {
            found.extend(tensor.grad(&gradients).map(|gradient| numbers(gradient.into_data())));
        }
        for tensor in [b, m] {
            found.extend(tensor.grad(&gradients).map(|gradient| numbers(gradient.into_data())));
        }
        found
    }

    #[test]
    fn fused_and_composed_agree() {
        for kind in [CellKind::Tanh, CellKind::Relu, CellKind::Linear, CellKind::Lstm, CellKind::Gru] {
            for sizes in [[1, 1, 1, 1], [1, 4, 2, 7], [5, 1, 3, 33], [17, 9, 4, 7]] {
                for (optional, views) in [(false, false), (true, false), (true, true)] {
                    let composed = solve(recurrent_sequence_composed, kind, sizes, optional, views);
                    let fused = solve(recurrent_sequence, kind, sizes, optional, views);
                    // Output, inputs, three parameters; then the optional ones.
                    let gated = matches!(kind, CellKind::Lstm | CellKind::Gru);
                    assert_eq!(fused.len(), if optional { 6 + usize::from(gated) } else { 5 });
                    assert_eq!(fused.len(), composed.len());
                    for (a, b) in fused.iter().flatten().zip(composed.iter().flatten()) {
                        assert!((a - b).abs() <= 1e-5 + 1e-4 * b.abs(), "{kind:?} {sizes:?}: {a}, not {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn wider_floats_take_the_composed_road() {
        let device = Device::flex();
        let tensor = |shape: [usize; 2], seed| {
            let data = TensorData::new(noise(shape[0] * shape[1], seed), shape);
            Tensor::<2>::from_data(data, &device)
        };
        let weights = RecurrentWeights {
            input: tensor([3, 8], 1),
            recurrent: tensor([2, 8], 2),
            bias: tensor([1, 8], 3).squeeze_dim(0),
            recurrent_bias: None,
        };
        let inputs = tensor([4, 15], 4).reshape([4, 5, 3]);
        let narrow = recurrent_sequence(CellKind::Lstm, inputs.clone(), &weights, None);
        let wide = RecurrentWeights {
            input: weights.input.cast(DType::F64),
            recurrent: weights.recurrent.cast(DType::F64),
            bias: weights.bias.cast(DType::F64),
            recurrent_bias: None,
        };
        let wide = recurrent_sequence(CellKind::Lstm, inputs.cast(DType::F64), &wide, None);
        assert_eq!(wide.dtype(), DType::F64);
        let distance = (wide.cast(DType::F32) - narrow).abs().max().into_scalar::<f32>();
        assert!(distance < 1e-6, "{distance}");
    }

    #[test]
    fn positions_come_in_order() {
        let sequence = Tensor::<3>::from_data([[[0.0], [1.0], [2.0], [3.0], [4.0]]], &Device::flex());
        let mut found = Vec::new();
        positions(sequence, &mut found);
        let found: Vec<f32> = found.into_iter().map(Tensor::into_scalar::<f32>).collect();
        assert_eq!(found, [0.0, 1.0, 2.0, 3.0, 4.0]);
    }
}
