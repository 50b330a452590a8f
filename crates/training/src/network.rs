//! What a network is: a body between a shared embedding and a shared read-out, or anything that maps batches to
//! outputs.

use std::cell::RefCell;
use std::rc::Rc;

use burn::module::{Module, ModuleDisplay};
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use kernels::linear::{Activation, linear};
use kernels::rows::rows;
use sequence::{
    Batch, Explanation, Generative, InputKind, Inputs, Interface, LossKind, Pass, PassCost, Random, Stepwise,
    Stopwatch, Stream,
};

use crate::explanation::{self, Rewrite};
use crate::loss::mean_loss;
use crate::probe::{input_gradients, loss_gradients};
use crate::{Initialiser, TrainingConfig, cost};

/// A map from embedded inputs to hidden states, the part in which models differ.
pub trait Body: Module + ModuleDisplay + 'static {
    /// `[batch, time, width]` -> `[batch, time, width]`.
    ///
    /// The content of positions from `context.lengths` on must not change the others.
    fn forward(&self, inputs: Tensor<3>, context: &BodyContext) -> Tensor<3>;

    /// Parameters that count in the comparison of sizes.
    fn parameters(&self) -> usize {
        Module::num_params(self)
    }

    /// Multiply-adds of the matrix products in one forward pass over one sequence of `time` positions, as executed:
    /// causal attention counts the visible pairs only.
    fn multiply_adds(&self, time: usize) -> u64;

    /// What lets positions see each other, by itself and on the inputs as they are, `[batch, time, width]` of any width that
    /// the body reads inside: of attention the scores, their softmax and the weighted sum. `None` where it cannot be taken apart.
    fn mix(&self, _inputs: Tensor<3>) -> Option<Tensor<3>> {
        None
    }

    /// [`forward`](Self::forward) where `rewrite` is shown the weights of attention of each layer in order, `[batch, heads, time, time]`, and says
    /// which are used. `None` for a body without attention, or without weights.
    fn forward_attending(
        &self,
        _inputs: Tensor<3>,
        _context: &BodyContext,
        _rewrite: &mut Rewrite,
    ) -> Option<Tensor<3>> {
        None
    }

    /// The output `[batch, 1, width]` at one position more, `[batch, 1, width]`, given what `memory` holds of those before, which
    /// are those of [`forward`](Self::forward) in evaluation. `None` for a body that needs all positions at once.
    fn step(&self, _input: Tensor<3>, _memory: &mut Memory) -> Option<Tensor<3>> {
        None
    }
}

/// What a body remembers of the positions that it has read one by one.
#[derive(Debug, Default)]
pub struct Memory {
    /// Positions read.
    pub position: usize,
    /// Tensors in an order of the body's own; none before the first position.
    pub tensors: Vec<Tensor<4>>,
}

impl Memory {
    /// Bytes of the tensors, in single precision.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| 4 * tensor.shape().num_elements() as u64).sum()
    }
}

/// What a forward pass depends on beside inputs and parameters.
#[derive(Debug)]
pub struct BodyContext<'a> {
    /// Positions before the padding starts, one a sequence.
    pub lengths: &'a [usize],
    /// The probability of dropping a value.
    dropout: f32,
    /// The source of masks and noise of this update; absent in evaluation.
    random: Option<Rc<RefCell<Random>>>,
}

impl<'a> BodyContext<'a> {
    /// For evaluation: nothing is dropped.
    #[must_use]
    pub fn evaluation(lengths: &'a [usize]) -> Self {
        Self { lengths, dropout: 0.0, random: None }
    }

    /// For one training update, whose dropout masks and noise are a function of the run's seed and the update.
    #[must_use]
    pub fn training(lengths: &'a [usize], config: &TrainingConfig, seed: u64, update: u64) -> Self {
        let random = Random::new(seed, Stream::Dropout(update));
        Self { lengths, dropout: config.dropout, random: Some(Rc::new(RefCell::new(random))) }
    }

    /// The same pass over other sequences, such as the source of a batch. Masks are drawn from one stream.
    #[must_use]
    pub fn over<'b>(&self, lengths: &'b [usize]) -> BodyContext<'b> {
        BodyContext { lengths, dropout: self.dropout, random: self.random.clone() }
    }

    /// Drops each value with the configured probability p and scales the others by 1 / (1 - p), in training
    /// (Srivastava et al. 2014, inverted); the identity in evaluation.
    #[must_use]
    pub fn dropout<const D: usize>(&self, values: Tensor<D>) -> Tensor<D> {
        let Some(random) = self.random.as_ref().filter(|_| self.dropout > 0.0) else {
            return values;
        };
        let mut random = random.borrow_mut();
        let kept = 1.0 / (1.0 - self.dropout);
        let shape = values.dims();
        let mask: Vec<f32> = (0..shape.iter().product::<usize>())
            .map(|_| if random.unit() < self.dropout { 0.0 } else { kept })
            .collect();
        let mask = Tensor::from_data(TensorData::new(mask, shape), &values.device());
        values * mask
    }

    /// Standard normal values, in training new ones at each update, and in every evaluation the same.
    #[must_use]
    pub fn noise<const D: usize>(&self, shape: [usize; D], device: &Device) -> Tensor<D> {
        let values = |random: &mut Random| -> Vec<f32> {
            (0..shape.iter().product::<usize>()).map(|_| random.normal()).collect()
        };
        let values = match &self.random {
            Some(random) => values(&mut random.borrow_mut()),
            None => values(&mut Random::new(0, Stream::Sampling)),
        };
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// What `layer` makes of `inputs`, `[.., inputs]` -> `[.., outputs]`, then activated, in one fused operation.
///
/// # Panics
/// When the layer has no bias; those of an [`Initialiser`] have one.
#[must_use]
pub fn mapped<const D: usize>(layer: &Linear, inputs: Tensor<D>, activation: Activation) -> Tensor<D> {
    let bias = layer.bias.as_ref().expect("an initialiser's linear layer has a bias");
    linear(inputs, layer.weight.val(), bias.val(), activation)
}

/// At which positions of a batch outputs are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// At every position, padding included.
    All,
    /// At those that count in the loss, in order.
    Supervised,
}

/// Anything that maps a batch to outputs and is trained by descending a loss.
pub trait Network: Module + 'static {
    /// Outputs at the wanted positions of the flattened `[batch, time]` axis: `[positions, outputs]`; before the
    /// softmax if there is one.
    fn outputs(&self, batch: &Batch, positions: Positions, context: &BodyContext) -> Tensor<2>;

    /// The loss to descend, `[1]`: by default the mean over the supervised positions. A network with a loss of its own
    /// (a variational bound, say) replaces it.
    fn loss(&self, batch: &Batch, kind: LossKind, context: &BodyContext) -> Tensor<1> {
        mean_loss(kind, self.outputs(batch, Positions::Supervised, context), batch)
    }

    /// See [`sequence::Predictor::input_gradients`].
    fn input_gradients(&self, _batch: &Batch, _scale: f64, _direction: &Random) -> Option<Vec<f64>> {
        None
    }

    /// See [`sequence::Predictor::loss_gradients`].
    fn loss_gradients(&self, _batch: &Batch, _kind: LossKind) -> Option<Vec<f64>> {
        None
    }

    /// See [`sequence::Predictor::states`].
    fn states(&self, _batch: &Batch, _context: &BodyContext) -> Option<Tensor<3>> {
        None
    }

    /// See [`sequence::Predictor::alignment`].
    fn alignment(&self, _batch: &Batch, _context: &BodyContext) -> Option<Tensor<3>> {
        None
    }

    /// See [`sequence::Predictor::explanations`].
    fn explanations(&self, _batch: &Batch, _classes: &[u32]) -> Vec<Explanation> {
        Vec::new()
    }

    /// Outputs at all positions of the flattened `[batch, time]` axis, `[positions, outputs]`; see
    /// [`sequence::Predictor::predict_permuted`].
    fn outputs_permuted(&self, _batch: &Batch, _random: &mut Random) -> Option<Tensor<2>> {
        None
    }

    /// See [`sequence::Predictor::pass`].
    fn pass(&self, _batch: &Batch, _pass: Pass, _stopwatch: &dyn Stopwatch) -> Option<PassCost> {
        None
    }

    /// See [`sequence::Predictor::steps`].
    fn steps(&self, _batch: &Batch, _stopwatch: &dyn Stopwatch) -> Option<Stepwise> {
        None
    }

    /// See [`sequence::Predictor::generative`].
    fn generative(&self) -> Option<&dyn Generative> {
        None
    }

    /// See [`sequence::Predictor::log_joint`].
    fn log_joint(&self, _batch: &Batch) -> Option<Vec<f64>> {
        None
    }

    /// Parameters of the body, embedding and read-out excluded.
    fn body_parameters(&self) -> usize;

    /// Multiply-adds of the matrix products in the forward pass of one training update on `batch`.
    fn multiply_adds(&self, batch: &Batch) -> u64;
}

/// The standard network: an embedding to `width` values a position, a body, and a linear read-out.
#[derive(Module, Debug)]
pub struct SequenceNetwork<B: Module> {
    input: InputLayer,
    body: B,
    read_out: Linear,
}

/// The first layer: a table for tokens, a linear map for features.
#[derive(Module, Debug)]
enum InputLayer {
    Tokens(Embedding),
    Features(Linear),
}

impl<B: Body> SequenceNetwork<B> {
    /// The network for a task's `interface`. Embedding and read-out are drawn before the body, so that bodies compared
    /// under one seed start with the same ones.
    pub fn new(
        interface: &Interface,
        width: usize,
        initialiser: &mut Initialiser,
        body: impl FnOnce(&mut Initialiser) -> B,
    ) -> Self {
        let input = match interface.inputs {
            InputKind::Tokens { vocabulary } => InputLayer::Tokens(initialiser.embedding(vocabulary, width)),
            InputKind::Features { width: values } => InputLayer::Features(initialiser.linear(values, width)),
            InputKind::Conditioned { .. } => unreachable!("a network of one sequence is given no source"),
        };
        let read_out = initialiser.linear(width, interface.outputs);
        Self { input, body: body(initialiser), read_out }
    }

    /// The body.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// The embedded inputs, `[batch, time, width]`.
    pub fn embed(&self, batch: &Batch) -> Tensor<3> {
        match (&self.input, &batch.inputs) {
            (InputLayer::Tokens(table), Inputs::Tokens(tokens)) => {
                let width = table.weight.dims()[1];
                rows(table.weight.val(), tokens.clone()).reshape([batch.size, batch.time, width])
            }
            (InputLayer::Features(linear), Inputs::Features { width, values }) => {
                let data = TensorData::new(values.clone(), [batch.size, batch.time, *width]);
                let weight = linear.weight.val();
                let inputs = Tensor::<3>::from_data(data, &weight.device()).cast(weight.dtype());
                mapped(linear, inputs, Activation::None)
            }
            _ => unreachable!("a task's batches have the kind of inputs that its interface says"),
        }
    }

    /// Outputs at the wanted positions for embedded inputs `[batch, time, width]`: `[positions, outputs]`.
    pub(crate) fn outputs_of(
        &self,
        inputs: Tensor<3>,
        batch: &Batch,
        positions: Positions,
        context: &BodyContext,
    ) -> Tensor<2> {
        self.read(self.body.forward(inputs, context), batch, positions)
    }

    /// Outputs at the wanted positions for hidden states `[batch, time, width]`: `[positions, outputs]`.
    pub(crate) fn read(&self, hidden: Tensor<3>, batch: &Batch, positions: Positions) -> Tensor<2> {
        let [size, time, width] = hidden.dims();
        let mut hidden = hidden.reshape([size * time, width]);
        if positions == Positions::Supervised && batch.supervised() < size * time {
            let supervised = (0..).zip(&batch.loss_mask).filter(|(_, counts)| **counts);
            hidden = rows(hidden, supervised.map(|(at, _)| at).collect());
        }
        mapped(&self.read_out, hidden, Activation::None)
    }
}

impl<B: Body> Network for SequenceNetwork<B> {
    fn outputs(&self, batch: &Batch, positions: Positions, context: &BodyContext) -> Tensor<2> {
        self.outputs_of(self.embed(batch), batch, positions, context)
    }

    fn input_gradients(&self, batch: &Batch, scale: f64, direction: &Random) -> Option<Vec<f64>> {
        Some(input_gradients(&self.body, self.embed(batch), scale, &batch.lengths, direction.clone()))
    }

    fn loss_gradients(&self, batch: &Batch, kind: LossKind) -> Option<Vec<f64>> {
        Some(loss_gradients(self, batch, kind))
    }

    fn states(&self, batch: &Batch, context: &BodyContext) -> Option<Tensor<3>> {
        Some(self.body.forward(self.embed(batch), context))
    }

    fn explanations(&self, batch: &Batch, classes: &[u32]) -> Vec<Explanation> {
        explanation::explanations(self, batch, classes)
    }

    fn outputs_permuted(&self, batch: &Batch, random: &mut Random) -> Option<Tensor<2>> {
        explanation::outputs_permuted(self, batch, random)
    }

    fn pass(&self, batch: &Batch, pass: Pass, stopwatch: &dyn Stopwatch) -> Option<PassCost> {
        cost::pass(&self.body, self.embed(batch), pass, &batch.lengths, stopwatch)
    }

    fn steps(&self, batch: &Batch, stopwatch: &dyn Stopwatch) -> Option<Stepwise> {
        cost::steps(&self.body, self.embed(batch), &batch.lengths, stopwatch)
    }

    fn body_parameters(&self) -> usize {
        self.body.parameters()
    }

    fn multiply_adds(&self, batch: &Batch) -> u64 {
        let [width, outputs] = self.read_out.weight.dims();
        let embedding = match &self.input {
            InputLayer::Tokens(_) => 0,
            InputLayer::Features(linear) => batch.size * batch.time * linear.weight.shape().num_elements(),
        };
        let read_out = batch.supervised() * width * outputs;
        batch.size as u64 * self.body.multiply_adds(batch.time) + (embedding + read_out) as u64
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Int;
    use sequence::{Dataset, StopRule, Targets, Task};

    use super::*;
    use crate::test_support::{Labels, Successor, brisk, network, run};

    const TASK: Successor = Successor { labels: Labels::True };

    fn loss(batch: &Batch) -> f32 {
        let context = BodyContext::evaluation(&batch.lengths);
        network(1, &TASK.interface()).loss(batch, LossKind::CrossEntropy, &context).into_scalar()
    }

    #[test]
    fn a_masked_target_changes_nothing_and_a_supervised_one_does() {
        let batch = TASK.training_batch(1, 0, 4);
        let with_other_target = |counts: bool| {
            let mut other = batch.clone();
            let position = batch.loss_mask.iter().position(|&mask| mask == counts).unwrap();
            let Targets::Classes(classes) = &mut other.targets else { unreachable!() };
            classes[position] = (classes[position] + 1) % 5;
            other
        };
        assert_eq!(loss(&batch).to_bits(), loss(&with_other_target(false)).to_bits());
        assert_ne!(loss(&batch).to_bits(), loss(&with_other_target(true)).to_bits());
    }

    #[test]
    fn supervised_outputs_are_a_selection_of_all_outputs() {
        let batch = TASK.training_batch(1, 0, 4);
        let network = network(1, &TASK.interface());
        let context = BodyContext::evaluation(&batch.lengths);
        let values = |positions| {
            let outputs = network.outputs(&batch, positions, &context);
            outputs.into_data().try_into_vec::<f32>().unwrap()
        };
        let all = values(Positions::All);
        let selected: Vec<f32> = all
            .chunks(5)
            .zip(&batch.loss_mask)
            .filter(|(_, counts)| **counts)
            .flat_map(|(row, _)| row)
            .copied()
            .collect();
        assert_eq!(values(Positions::Supervised), selected);
    }

    #[test]
    fn features_go_through_a_linear_layer() {
        let interface = Interface {
            inputs: InputKind::Features { width: 2 },
            outputs: 1,
            loss: LossKind::MeanSquaredError,
            maximum_time: 3,
        };
        let batch = Batch {
            size: 2,
            time: 3,
            inputs: Inputs::Features { width: 2, values: vec![0.5; 12] },
            source: None,
            targets: Targets::Values(vec![0.0; 6]),
            loss_mask: vec![true; 6],
            lengths: vec![3; 2],
        };
        let network = network(1, &interface);
        let outputs = network.outputs(&batch, Positions::All, &BodyContext::evaluation(&batch.lengths));
        assert_eq!(outputs.dims(), [6, 1]);
        // By hand: 6 positions through 2 x 8, 8 x 8 and 8 x 1 weights.
        assert_eq!(network.multiply_adds(&batch), 6 * (16 + 64 + 8));
    }

    #[test]
    fn dropout_scales_what_it_keeps_and_is_fixed_by_seed_and_update() {
        let config = TrainingConfig { dropout: 0.25, ..TrainingConfig::default() };
        let ones = Tensor::<2>::ones([100, 100], &burn::tensor::Device::flex());
        let dropped = |seed, update| -> Vec<f32> {
            let context = BodyContext::training(&[], &config, seed, update);
            context.dropout(ones.clone()).into_data().try_into_vec().unwrap()
        };
        let values = dropped(1, 0);
        assert!(values.iter().all(|&value| value == 0.0 || (value - 4.0 / 3.0).abs() < 1e-6));
        let zeros = values.iter().filter(|&&value| value == 0.0).count();
        // 2,500 of 10,000 expected, standard deviation 43.
        assert!(zeros.abs_diff(2500) < 200, "{zeros}");
        assert_eq!(values, dropped(1, 0));
        assert_ne!(values, dropped(1, 1));
        assert_ne!(values, dropped(2, 0));
        let context = BodyContext::evaluation(&[]);
        assert!(context.dropout(ones.clone()).equal(ones).all().into_scalar::<bool>());
    }

    /// A network that is no body between shared layers, and has a loss of its own: a table of logits with a penalty.
    #[derive(Module, Debug)]
    struct PenalisedTable {
        logits: Embedding,
    }

    impl Network for PenalisedTable {
        fn outputs(&self, batch: &Batch, _: Positions, _: &BodyContext) -> Tensor<2> {
            let Inputs::Tokens(tokens) = &batch.inputs else { unreachable!() };
            let supervised = tokens.iter().zip(&batch.loss_mask).filter(|(_, counts)| **counts);
            let tokens: Vec<i64> = supervised.map(|(&token, _)| i64::from(token)).collect();
            let tokens = TensorData::new(tokens, [1, batch.supervised()]);
            let device = self.logits.weight.device();
            self.logits.forward(Tensor::<2, Int>::from_data(tokens, &device)).squeeze_dim(0)
        }

        fn loss(&self, batch: &Batch, kind: LossKind, context: &BodyContext) -> Tensor<1> {
            let fit = mean_loss(kind, self.outputs(batch, Positions::Supervised, context), batch);
            fit + self.logits.weight.val().square().mean() * 0.01
        }

        fn body_parameters(&self) -> usize {
            Module::num_params(self)
        }

        fn multiply_adds(&self, _: &Batch) -> u64 {
            0
        }
    }

    #[test]
    fn the_network_door_takes_a_network_with_a_loss_of_its_own() {
        let data = Dataset::new(&TASK, 1, 16);
        let device = burn::tensor::Device::flex().autodiff();
        let network = PenalisedTable { logits: Initialiser::new(1, &device).embedding(5, 5) };
        let fit = crate::fit(network, &brisk(), &data, &mut run(200, 50, StopRule::Budget, 1));
        assert_eq!(fit.best_validation, 1.0);
    }
}
