//! Networks that read a source and write a target: what the file of one gives, and the learner made of it.
//!
//! ```text
//! outputs = B(E_s[source], E_t[input]) W + b
//! source [source time], input [time], E_s and E_t [symbols, width], B [time, width], W [width, outputs], b [outputs]
//! ```
//!
//! The input is the target one step late, after a start symbol ("teacher forcing", Williams and Zipser 1989). Embeddings
//! of source and target and the read-out are shared by all of these networks, and drawn before the body B.

use burn::module::{Module, ModuleDisplay};
use burn::nn::{Embedding, Linear};
use burn::tensor::{Bool, Tensor, TensorData};
use kernels::linear::Activation;
use kernels::rows::rows;
use sequence::{Batch, Dataset, Fit, InputKind, Inputs, LearnError, Learner, LossKind, Run};
use serde::Serialize;
use serde::de::DeserializeOwned;
use training::{BodyContext, Initialiser, Network, Positions, TrainingConfig, device, fit, mapped};

use crate::architecture::{NOTHING_TO_ANSWER, check_size, check_training, parse};
use crate::{Reads, Size};

/// The settings of a network that reads a source and writes a target.
pub trait EncoderDecoder: Clone + Default + Serialize + DeserializeOwned + Send + 'static {
    /// Name in definitions and tables.
    const NAME: &'static str;
    /// What it is, in one line.
    const SUMMARY: &'static str;
    /// Who described it.
    const CITATION: &'static str;
    /// Raised whenever the same settings and seed would train to something else.
    const VERSION: u32;
    /// Whether positions look at others one by one, so that the cost of a position grows with the length.
    const ATTENDS: bool = false;

    /// The map from embedded source and input to hidden states.
    type Body: PairBody;

    /// Says what is wrong with the settings and what would be right, if anything is.
    ///
    /// # Errors
    /// One sentence that names the setting.
    fn check(&self) -> Result<(), String>;

    /// Parameters of the body between embeddings and a read-out of `width` values.
    fn body_parameters(&self, width: usize) -> usize;

    /// The same settings at the size whose body has nearest to `parameters` parameters.
    #[must_use]
    fn resized(self, width: usize, parameters: usize) -> Self;

    /// The initial body.
    fn init(&self, width: usize, initialiser: &mut Initialiser) -> Self::Body;

    /// Values that training keeps for each pair of a source and a target position.
    fn values_a_pair(&self) -> usize {
        0
    }
}

/// A map from an embedded source and an embedded input to hidden states, the part in which these networks differ.
pub trait PairBody: Module + ModuleDisplay + 'static {
    /// Source `[batch, source time, width]` and input `[batch, time, width]` -> `[batch, time, width]`.
    ///
    /// A position must not see later ones of the input. The content of source positions from `lengths`, one a sequence,
    /// on must not change anything.
    fn forward(
        &self,
        source: Tensor<3>,
        inputs: Tensor<3>,
        lengths: &[usize],
        context: &BodyContext,
    ) -> Tensor<3>;

    /// How much each position of the input looks at each of the source, `[batch, time, source time]`, in evaluation; of several heads
    /// the mean, of several layers the last. `None` for a body without attention to the source.
    fn alignment(
        &self,
        _source: Tensor<3>,
        _inputs: Tensor<3>,
        _lengths: &[usize],
        _context: &BodyContext,
    ) -> Option<Tensor<3>> {
        None
    }

    /// Multiply-adds of the matrix products in one forward pass over one pair of sequences, as executed.
    fn multiply_adds(&self, source: usize, time: usize) -> u64;
}

/// Embeddings of source and input, a body, and a linear read-out.
#[derive(Module, Debug)]
pub struct PairNetwork<B: Module> {
    source: Embedding,
    input: Embedding,
    body: B,
    read_out: Linear,
}

impl<B: PairBody> PairNetwork<B> {
    fn new(
        [source, vocabulary, outputs]: [usize; 3],
        width: usize,
        initialiser: &mut Initialiser,
        body: impl FnOnce(&mut Initialiser) -> B,
    ) -> Self {
        let source = initialiser.embedding(source, width);
        let input = initialiser.embedding(vocabulary, width);
        let read_out = initialiser.linear(width, outputs);
        Self { source, input, body: body(initialiser), read_out }
    }
}

/// `[batch, time, width]`.
fn embedded(table: &Embedding, batch: &Batch) -> Tensor<3> {
    let Inputs::Tokens(tokens) = &batch.inputs else {
        unreachable!("a task with a source has symbols as inputs")
    };
    let width = table.weight.dims()[1];
    rows(table.weight.val(), tokens.clone()).reshape([batch.size, batch.time, width])
}

fn source(batch: &Batch) -> &Batch {
    batch.source.as_ref().expect("the batches of a task with a source have one")
}

/// Scores `[batch, time, source time]`, far below all others where the source is padding.
pub(crate) fn hide_padding(scores: Tensor<3>, lengths: &[usize]) -> Tensor<3> {
    let [batch, _, source] = scores.dims();
    if lengths.iter().all(|&length| length == source) {
        return scores;
    }
    let hidden = lengths.iter().flat_map(|&length| (0..source).map(move |position| position >= length));
    let hidden = TensorData::new(hidden.collect::<Vec<bool>>(), [batch, 1, source]);
    let device = scores.device();
    let shape = scores.dims();
    scores.mask_fill(Tensor::<3, Bool>::from_data(hidden, &device).expand(shape), -1e30)
}

impl<B: PairBody> Network for PairNetwork<B> {
    fn outputs(&self, batch: &Batch, positions: Positions, context: &BodyContext) -> Tensor<2> {
        let from = source(batch);
        let (source, inputs) = (embedded(&self.source, from), embedded(&self.input, batch));
        let hidden = self.body.forward(source, inputs, &from.lengths, context); // [batch, time, width]
        let [size, time, width] = hidden.dims();
        let mut hidden = hidden.reshape([size * time, width]);
        if positions == Positions::Supervised && batch.supervised() < size * time {
            let supervised = (0..).zip(&batch.loss_mask).filter(|(_, counts)| **counts);
            hidden = rows(hidden, supervised.map(|(at, _)| at).collect());
        }
        mapped(&self.read_out, hidden, Activation::None)
    }

    fn alignment(&self, batch: &Batch, context: &BodyContext) -> Option<Tensor<3>> {
        let from = source(batch);
        self.body.alignment(
            embedded(&self.source, from),
            embedded(&self.input, batch),
            &from.lengths,
            context,
        )
    }

    fn body_parameters(&self) -> usize {
        Module::num_params(&self.body)
    }

    fn multiply_adds(&self, batch: &Batch) -> u64 {
        let read_out = batch.supervised() * self.read_out.weight.shape().num_elements();
        batch.size as u64 * self.body.multiply_adds(source(batch).time, batch.time) + read_out as u64
    }
}

pub(crate) fn build<E: EncoderDecoder>(
    settings: &serde_json::Value,
    training: &TrainingConfig,
    size: &Size,
) -> Result<Box<dyn Learner>, LearnError> {
    let settings: E = parse(E::NAME, settings)?;
    settings.check().map_err(|reason| LearnError::Setting { model: E::NAME, reason })?;
    check_training(E::NAME, training, size)?;
    let settings = match size.body_parameters {
        Some(requested) => settings.resized(size.width, requested),
        None => settings,
    };
    check_size(E::NAME, settings.body_parameters(size.width), size)?;
    Ok(Box::new(PairLearner { settings, training: training.clone(), width: size.width }))
}

/// A network that has not seen data yet.
struct PairLearner<E> {
    settings: E,
    training: TrainingConfig,
    width: usize,
}

impl<E: EncoderDecoder> PairLearner<E> {
    /// Symbols of source and input, and classes, of a task that such a network can answer.
    fn sizes(data: &Dataset) -> Result<[usize; 3], LearnError> {
        let unsuitable =
            |reason: &str| Err(LearnError::Unsuitable { model: E::NAME, reason: reason.to_owned() });
        let interface = data.interface();
        if let Some(reason) = Reads::SourceAndTarget.misfit(interface.inputs) {
            return unsuitable(reason);
        }
        match (interface.inputs, interface.loss, interface.outputs) {
            (InputKind::Conditioned { source: 0, .. } | InputKind::Conditioned { vocabulary: 0, .. }, ..) => {
                unsuitable("a vocabulary is empty")
            }
            (_, LossKind::MeanSquaredError, _) => unsuitable("it asks for a value, and this network writes"),
            (_, LossKind::Density, _) => unsuitable(NOTHING_TO_ANSWER),
            (_, LossKind::CrossEntropy, 0 | 1) => unsuitable("cross-entropy needs two classes or more"),
            (InputKind::Conditioned { source, vocabulary }, _, outputs) => Ok([source, vocabulary, outputs]),
            _ => unreachable!("other inputs were refused as a misfit"),
        }
    }
}

impl<E: EncoderDecoder> Learner for PairLearner<E> {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let sizes = Self::sizes(data)?;
        let device = device(&self.training.device)
            .map_err(|error| LearnError::Setting { model: E::NAME, reason: error.to_string() })?
            .autodiff();
        let mut initialiser = Initialiser::new(run.seed, &device);
        let network = PairNetwork::new(sizes, self.width, &mut initialiser, |initialiser| {
            self.settings.init(self.width, initialiser)
        });
        Ok(fit(network, &self.training, data, run))
    }

    /// As for one sequence of the length of both, and what is kept for pairs: once computed, once as a gradient, and
    /// twice on the way.
    fn peak_bytes(&self, data: &Dataset) -> u64 {
        let time = data.interface().maximum_time;
        let validation = data.validation().iter().map(|batch| batch.size).max().unwrap_or_default();
        let sequences = data.batch_size().max(validation);
        let parameters = self.settings.body_parameters(self.width);
        let positions = training::peak_bytes(parameters, 2 * time * data.batch_size(), 2 * time * validation);
        positions + (4 * 4 * sequences * time * time * self.settings.values_a_pair()) as u64
    }
}
