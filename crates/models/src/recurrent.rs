//! What the recurrent networks share: a stack of layers and a projection to the read-out width.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use kernels::linear::Activation;
use kernels::recurrent::{CellKind, RecurrentWeights, recurrent_sequence};
use training::{Body, BodyContext, Initialiser, mapped};

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
        let weights = RecurrentWeights {
            input: self.input.val(),
            recurrent: self.recurrent.val(),
            bias: self.bias.val(),
            recurrent_bias: self.recurrent_bias.as_ref().map(Param::val),
        };
        recurrent_sequence(kind, inputs, &weights, None)
    }

    /// Weights of the matrix products, each of which a position uses once.
    pub(crate) fn weights(&self) -> usize {
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
        Self { layers, projection: initialiser.linear(hidden, width), kind }
    }
}

impl Body for RecurrentBody {
    fn forward(&self, inputs: Tensor<3>, context: &BodyContext) -> Tensor<3> {
        let mut hidden = context.dropout(inputs); // [batch, time, width], then [batch, time, hidden]
        for layer in &self.layers {
            hidden = context.dropout(layer.forward(self.kind, hidden));
        }
        mapped(&self.projection, hidden, Activation::None)
    }

    fn multiply_adds(&self, time: usize) -> u64 {
        let layers: usize = self.layers.iter().map(RecurrentLayer::weights).sum();
        (time * (layers + self.projection.weight.shape().num_elements())) as u64
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
