//! Gradients of a body's inputs, and of a network's parameters, in double precision.
//!
//! In single precision the gradient of a plain recurrent network underflows after some fifty positions, and what is then
//! fitted is the rounding. Here parameters and inputs are widened first, and the body runs on the ordinary operations that
//! every fused one is tested against, without flushing anything to zero: gradients down to 1e-300 are what they are.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Gradients, Tensor, TensorData};
use sequence::{Batch, LossKind, Random};

use crate::loss::mean_loss;
use crate::{Body, BodyContext, Network, Positions, SequenceNetwork};

/// Euclidean norms, `[batch, time]`, of the gradient by each of `inputs` `[batch, time, width]` of the product of each
/// sequence's last hidden state with a random unit vector; the body reads `scale` times the inputs.
pub(crate) fn input_gradients<B: Body>(
    body: &B,
    inputs: Tensor<3>,
    scale: f64,
    lengths: &[usize],
    mut random: Random,
) -> Vec<f64> {
    let [batch, time, width] = inputs.dims();
    let body = body.valid().map(&mut Widen { track: false });
    let inputs = inputs.inner().cast(DType::F64).mul_scalar(scale).autodiff().require_grad();
    let states = body.forward(inputs.clone(), &BodyContext::evaluation(lengths));

    let direction: Vec<f64> = (0..width).map(|_| f64::from(random.normal())).collect();
    let norm = direction.iter().map(|value| value * value).sum::<f64>().sqrt();
    let mut directions = vec![0.0; batch * time * width];
    for (sequence, &length) in lengths.iter().enumerate() {
        let last = &mut directions[(sequence * time + length - 1) * width..][..width];
        last.iter_mut().zip(&direction).for_each(|(slot, value)| *slot = value / norm);
    }
    let directions = Tensor::<3>::from_data(
        TensorData::new(directions, [batch, time, width]),
        (&states.device(), DType::F64),
    );
    norms(&inputs, &(states * directions).sum().backward())
}

/// Euclidean norms, `[batch, time]`, of the gradient of the loss on a batch by each embedded input.
pub(crate) fn loss_gradients<B: Body>(
    network: &SequenceNetwork<B>,
    batch: &Batch,
    kind: LossKind,
) -> Vec<f64> {
    let inputs = network.embed(batch).inner().cast(DType::F64).autodiff().require_grad();
    let network = network.valid().map(&mut Widen { track: false });
    let context = BodyContext::evaluation(&batch.lengths);
    let outputs = network.outputs_of(inputs.clone(), batch, Positions::Supervised, &context);
    norms(&inputs, &mean_loss(kind, outputs, batch).backward())
}

/// Euclidean norms, `[batch, time]`, of the gradient by each of `inputs` `[batch, time, width]`.
fn norms(inputs: &Tensor<3>, gradients: &Gradients) -> Vec<f64> {
    let [_, _, width] = inputs.dims();
    let gradient = inputs.grad(gradients).expect("what was descended depends on the inputs").into_data();
    let values = gradient.as_slice::<f64>().expect("double precision, as the inputs");
    values.chunks_exact(width).map(|row| row.iter().map(|value| value * value).sum::<f64>().sqrt()).collect()
}

/// The Euclidean norm of each parameter's gradient of the loss on a batch, by the parameter's path.
pub(crate) fn parameter_gradients<N: Network>(
    network: &N,
    batch: &Batch,
    kind: LossKind,
) -> Vec<(String, f64)> {
    let network = network.valid().map(&mut Widen { track: true });
    let gradients = network.loss(batch, kind, &BodyContext::evaluation(&batch.lengths)).backward();
    let mut norms = Norms { gradients: &gradients, path: Vec::new(), found: Vec::new() };
    network.visit(&mut norms);
    norms.found
}

/// Puts parameters into double precision where gradients can pass.
pub(crate) struct Widen {
    /// Whether parameters get gradients of their own.
    pub(crate) track: bool,
}

impl ModuleMapper for Widen {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        parameter.map(|value| value.cast(DType::F64).autodiff().set_require_grad(self.track))
    }
}

/// The values of each matrix of a network, by its path.
pub(crate) fn weights<N: Network>(network: &N) -> Vec<(String, Vec<f32>)> {
    let mut matrices = Matrices::default();
    network.visit(&mut matrices);
    matrices.found
}

/// Collects matrices.
#[derive(Default)]
struct Matrices {
    path: Vec<String>,
    found: Vec<(String, Vec<f32>)>,
}

impl ModuleVisitor for Matrices {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if D == 2 {
            let values = parameter.val().into_data().try_into_vec().expect("parameters are single precision");
            self.found.push((self.path.join("."), values));
        }
    }
}

/// Collects the norms of gradients.
struct Norms<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: Vec<(String, f64)>,
}

impl ModuleVisitor for Norms<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let Some(gradient) = parameter.val().grad(self.gradients) else { return };
        let data = gradient.into_data();
        let values = data.as_slice::<f64>().expect("double precision, as the parameters");
        let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        self.found.push((self.path.join("."), norm));
    }
}
