//! What the recurrent networks share: a stack of layers and a projection to the read-out width.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use kernels::linear::Activation;
use kernels::recurrent::{CellKind, RecurrentState, RecurrentWeights, recurrent_sequence, recurrent_step};
use training::{Body, BodyContext, Initialiser, Memory, mapped};

use crate::positions::{AddedPositions, with_sinusoids};

/// One recurrent layer over whole sequences.
#[derive(Module, Debug)]
pub(crate) struct RecurrentLayer {
    /// `[inputs, gates * hidden]`.
    pub(crate) input: Param<Tensor<2>>,
    /// `[hidden, gates * hidden]`.
    pub(crate) recurrent: Param<Tensor<2>>,
    /// `[gates * hidden]`.
    pub(crate) bias: Param<Tensor<1>>,
    /// `[hidden]`, in a GRU: the bias of the candidate's recurrent part, inside the reset.
    pub(crate) recurrent_bias: Option<Param<Tensor<1>>>,
}

impl RecurrentLayer {
    /// The hidden states `[batch, time, hidden]` of a layer that starts at zero.
    pub(crate) fn forward(&self, kind: CellKind, inputs: Tensor<3>) -> Tensor<3> {
        recurrent_sequence(kind, inputs, &self.weights(), None)
    }

    fn weights(&self) -> RecurrentWeights {
        RecurrentWeights {
            input: self.input.val(),
            recurrent: self.recurrent.val(),
            bias: self.bias.val(),
            recurrent_bias: self.recurrent_bias.as_ref().map(Param::val),
        }
    }

    /// Weights of the matrix products, each of which a position uses once.
    pub(crate) fn products(&self) -> usize {
        self.input.shape().num_elements() + self.recurrent.shape().num_elements()
    }
}

/// Layers of one kind, each reading the hidden states of the one before, and a linear projection to the width of the
/// read-out.
#[derive(Module, Debug)]
pub struct RecurrentBody {
    layers: Vec<RecurrentLayer>,
    projection: Linear,
    #[module(skip)]
    kind: CellKind,
    #[module(skip)]
    positions: AddedPositions,
}

impl RecurrentBody {
    /// `count` layers of `hidden` units, each drawn by `layer` for its number of inputs.
    pub(crate) fn new(
        kind: CellKind,
        width: usize,
        hidden: usize,
        count: usize,
        initialiser: &mut Initialiser,
        layer: impl Fn(usize, &mut Initialiser) -> RecurrentLayer,
    ) -> Self {
        let layers =
            (0..count).map(|index| layer(if index == 0 { width } else { hidden }, initialiser)).collect();
        Self { layers, projection: initialiser.linear(hidden, width), kind, positions: AddedPositions::None }
    }

    /// The same body, told of positions.
    pub(crate) fn told(self, positions: AddedPositions) -> Self {
        Self { positions, ..self }
    }

    /// The inputs `[batch, time, width]` of the positions from `first`, as the first layer reads them.
    fn read(&self, inputs: Tensor<3>, first: usize) -> Tensor<3> {
        match self.positions {
            AddedPositions::None => inputs,
            AddedPositions::Sinusoidal => with_sinusoids(&inputs, first),
        }
    }
}

impl Body for RecurrentBody {
    fn forward(&self, inputs: Tensor<3>, context: &BodyContext) -> Tensor<3> {
        let mut hidden = context.dropout(self.read(inputs, 0)); // [batch, time, width], then [batch, time, hidden]
        for layer in &self.layers {
            hidden = context.dropout(layer.forward(self.kind, hidden));
        }
        mapped(&self.projection, hidden, Activation::None)
    }

    fn multiply_adds(&self, time: usize) -> u64 {
        let layers: usize = self.layers.iter().map(RecurrentLayer::products).sum();
        (time * (layers + self.projection.weight.shape().num_elements())) as u64
    }

    /// Remembers the hidden state of each layer, and the cell state where there is one.
    fn step(&self, input: Tensor<3>, memory: &mut Memory) -> Option<Tensor<3>> {
        let [batch, _, _] = input.dims();
        let mut before = std::mem::take(&mut memory.tensors).into_iter();
        let mut hidden = self.read(input, memory.position).squeeze_dim::<2>(1);
        for layer in &self.layers {
            let mut next = || before.next().map(|state| state.flatten::<2>(1, 3));
            let state = next().map(|hidden| {
                let cell = if self.kind == CellKind::Lstm { next() } else { None };
                RecurrentState { hidden, cell }
            });
            let state = recurrent_step(self.kind, hidden, &layer.weights(), state);
            let kept = |state: &Tensor<2>| {
                let [_, units] = state.dims();
                state.clone().reshape([batch, 1, 1, units])
            };
            memory.tensors.push(kept(&state.hidden));
            memory.tensors.extend(state.cell.as_ref().map(kept));
            hidden = state.hidden;
        }
        memory.position += 1;
        Some(mapped(&self.projection, hidden.unsqueeze_dim(1), Activation::None))
    }
}

/// Parameters of a [`RecurrentBody`] whose cell has `gates` blocks and `biases` biases for each hidden unit.
pub(crate) fn body_parameters(
    width: usize,
    hidden: usize,
    layers: usize,
    gates: usize,
    biases: usize,
) -> usize {
    let layer = |inputs: usize| gates * hidden * (inputs + hidden) + biases * hidden;
    let projection = hidden * width + width;
    layer(width) + (layers - 1) * layer(hidden) + projection
}

/// The check of the settings that all recurrent networks have.
pub(crate) fn check(hidden: usize, layers: usize) -> Result<(), String> {
    match (hidden, layers) {
        (0, _) => Err("`hidden` must be at least 1".to_owned()),
        (_, 0) => Err("`layers` must be at least 1".to_owned()),
        _ => Ok(()),
    }
}
