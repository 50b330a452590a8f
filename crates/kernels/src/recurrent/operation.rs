//! The fused layer as one operation of burn's flex backend, with its own backward pass.

use super::CellKind;
use super::sequence::{self, Data, Layer, Parameters, Tape};
use crate::instruction_set::instruction_set;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::TensorData;
use std::sync::Arc;

/// Backends that run a recurrent layer over a sequence in one operation.
#[backend_extension(Autodiff, Flex)]
pub(super) trait RecurrentBackend: Backend {
    /// Hidden states `[batch, time, hidden]`. Tensors are as in [`super::recurrent_sequence`]; cells that
    /// have no use for `recurrent_bias` or `cell` take any tensor there and give it no gradient.
    fn recurrent_layer(
        kind: CellKind,
        inputs: FloatTensor<Self>,
        input_weights: FloatTensor<Self>,
        recurrent_weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        recurrent_bias: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        cell: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl RecurrentBackend for Flex {
    fn recurrent_layer(
        kind: CellKind,
        inputs: FloatTensor<Self>,
        input_weights: FloatTensor<Self>,
        recurrent_weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        recurrent_bias: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        cell: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let tensors = [inputs, input_weights, recurrent_weights, bias, recurrent_bias, hidden, cell];
        forward(kind, &tensors, false).0
    }
}

impl<C: CheckpointStrategy> RecurrentBackend for Autodiff<Flex, C> {
    fn recurrent_layer(
        kind: CellKind,
        inputs: FloatTensor<Self>,
        input_weights: FloatTensor<Self>,
        recurrent_weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        recurrent_bias: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        cell: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let tracked = [inputs, input_weights, recurrent_weights, bias, recurrent_bias, hidden, cell];
        let nodes = tracked.each_ref().map(FloatTensor::<Self>::node);
        let tensors = tracked.map(FloatTensor::<Self>::into_primitive);
        match ThroughTime.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => {
                let (output, tape) = forward(kind, &tensors, true);
                preparation.finish(Arc::new(tape), output)
            }
            OpsKind::UnTracked(preparation) => preparation.finish(forward(kind, &tensors, false).0),
        }
    }
}

/// The backward pass: back-propagation through time.
#[derive(Debug)]
struct ThroughTime;

impl Backward<Flex, 7> for ThroughTime {
    type State = Arc<Tape>;

    fn backward(self, ops: Ops<Self::State, 7>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let tape = ops.state;
        let d_output = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let found = sequence::backward(&tape, d_output.storage(), ops.parents[0].is_some());
        let Layer { kind, batch, time, inputs, hidden } = tape.layer();
        let columns = kind.gates() * hidden;
        let found = [
            found.inputs.map(|values| tensor(values, &[batch, time, inputs])),
            Some(tensor(found.input_weights, &[inputs, columns])),
            Some(tensor(found.recurrent_weights, &[hidden, columns])),
            Some(tensor(found.bias, &[columns])),
            (kind == CellKind::Gru).then(|| tensor(found.recurrent_bias, &[hidden])),
            Some(tensor(found.hidden, &[batch, hidden])),
            (kind == CellKind::Lstm).then(|| tensor(found.cell, &[batch, hidden])),
        ];
        for (parent, gradient) in ops.parents.iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// Runs the layer over contiguous copies of what is not contiguous.
fn forward(kind: CellKind, tensors: &[FlexTensor; 7], keep: bool) -> (FlexTensor, Tape) {
    let contiguous = tensors.each_ref().map(FlexTensor::to_contiguous);
    let [inputs, input_weights, recurrent_weights, bias, recurrent_bias, hidden, cell] =
        contiguous.each_ref().map(FlexTensor::storage::<f32>);
    let shape = contiguous[0].shape();
    let layer =
        Layer { kind, batch: shape[0], time: shape[1], inputs: shape[2], hidden: contiguous[2].shape()[0] };
    let parameters = Parameters { input: input_weights, recurrent: recurrent_weights, bias, recurrent_bias };
    let data = Data { inputs, hidden, cell };
    let (output, tape) = sequence::forward(instruction_set(), layer, parameters, data, keep);
    (tensor(output, &[layer.batch, layer.time, layer.hidden]), tape)
}

fn tensor(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
}
