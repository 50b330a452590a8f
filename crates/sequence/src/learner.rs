//! How a task is answered: an unfitted learner, the run that limits it, the predictor it returns.

use crate::{Batch, Dataset, Generative, Predictions, Random};

/// Why a learner could not be fitted at all. Divergence is not an error but an [`Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The learner cannot answer this kind of task.
    #[error("model `{model}` cannot learn this task: {reason}")]
    Unsuitable {
        /// Registered name.
        model: &'static str,
        /// What is missing.
        reason: String,
    },
    /// The requested size cannot be met.
    #[error("model `{model}` cannot have {requested} body parameters within 5%: nearest is {nearest}")]
    Size {
        /// Registered name.
        model: &'static str,
        /// Requested body parameters.
        requested: usize,
        /// Nearest count that the architecture allows.
        nearest: usize,
    },
    /// A setting has a value that makes no sense.
    #[error("model `{model}`: {reason}")]
    Setting {
        /// Registered name.
        model: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
}

/// How long a learner may train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Gradient updates at most. Counting models ignore it.
    pub updates: u64,
    /// Validation every so many updates.
    pub evaluate_every: u64,
}

/// When training ends before its budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StopRule {
    /// Never.
    Budget,
    /// When the task's solved score is reached at this many consecutive evaluations.
    Solved {
        /// Consecutive evaluations.
        evaluations: u32,
    },
    /// When validation has not improved for this many evaluations.
    Patience {
        /// Evaluations without improvement.
        evaluations: u32,
    },
}

/// How a fit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The budget was used, or patience ran out.
    Finished,
    /// The task's solved score was reached.
    Solved {
        /// Updates made when the first of the deciding evaluations took place.
        updates: u64,
    },
    /// The loss or a gradient was not finite.
    Diverged {
        /// Updates made before that.
        updates: u64,
    },
}

/// The state of training at one evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Updates made so far.
    pub updates: u64,
    /// Multiply-adds of training so far: forward counted once, backward twice.
    pub multiply_adds: u64,
    /// Mean training loss since the evaluation before, or `NaN` at update 0.
    pub training_loss: f64,
    /// Primary metric on validation.
    pub validation: f64,
}

/// Tells how much processor and wall time has passed. The only clock that libraries see.
pub trait Stopwatch {
    /// Seconds of wall time since some fixed moment.
    fn wall_seconds(&self) -> f64;
    /// Seconds of processor time of this process.
    fn processor_seconds(&self) -> f64;
}

/// Called with the predictor at every evaluation, update 0 included.
pub type Observer<'a> = dyn FnMut(&CurvePoint, &dyn Predictor) + 'a;

/// Everything a fit depends on beside the data.
pub struct Run<'a> {
    /// How long.
    pub budget: Budget,
    /// When to stop early.
    pub stop: StopRule,
    /// Seed of initialisation and dropout.
    pub seed: u64,
    /// The clock.
    pub stopwatch: &'a dyn Stopwatch,
    /// Who looks on, if anyone.
    pub observer: Option<&'a mut Observer<'a>>,
}

/// What a fit returns.
pub struct Fit {
    /// The fitted model at its best validation score (at the deciding evaluation when solved).
    pub predictor: Box<dyn Predictor>,
    /// How it ended.
    pub outcome: Outcome,
    /// Updates made.
    pub updates: u64,
    /// Multiply-adds of training.
    pub multiply_adds: u64,
    /// Best primary metric on validation.
    pub best_validation: f64,
    /// One point an evaluation.
    pub curve: Vec<CurvePoint>,
}

/// A model that has not seen data yet.
pub trait Learner: Send {
    /// Fits the model to the training stream, choosing by validation.
    ///
    /// # Errors
    /// When the model cannot answer this task or its settings make no sense.
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError>;

    /// Bytes that fitting needs at most, for the scheduler.
    fn peak_bytes(&self, data: &Dataset) -> u64;
}

/// What is passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The body, between embedding and read-out.
    Body,
    /// Of the body only what lets positions see each other: in attention scores, softmax and weighted sum.
    Mixing,
}

/// What a pass cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PassCost {
    /// Multiply-adds of the matrix products in the forward pass, counted where they ran.
    pub multiply_adds: u64,
    /// Steps along the sequence in the forward pass that had to wait for each other, whatever the number of processors.
    pub waits: u64,
    /// The most bytes that forward and backward pass held at once; `None` where the program does not count them.
    pub peak_bytes: Option<u64>,
    /// Processor seconds of the forward pass.
    pub forward_seconds: f64,
    /// Processor seconds of both.
    pub seconds: f64,
}

/// What reading one position more cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PositionCost {
    /// Multiply-adds of the matrix products, counted where they ran.
    pub multiply_adds: u64,
    /// Bytes that are remembered for the positions to come.
    pub memory_bytes: u64,
    /// Processor seconds.
    pub seconds: f64,
}

/// What reading a batch position by position cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepwise {
    /// Each position, in order.
    pub positions: Vec<PositionCost>,
    /// The largest difference of an output value from the same in one pass over all positions.
    pub largest_difference: f64,
}

/// How much each position of a batch speaks for an answer, by one way to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The way, such as `gradient-times-input`.
    pub name: &'static str,
    /// The more, the more a position speaks for the answer: `[size, time]`.
    pub relevance: Vec<f64>,
}

/// A fitted model.
pub trait Predictor {
    /// Outputs for a batch, padding included.
    fn predict(&self, batch: &Batch) -> Predictions;

    /// The same at the supervised positions, which may take less time; what stands elsewhere means nothing.
    fn predict_supervised(&self, batch: &Batch) -> Predictions {
        self.predict(batch)
    }

    /// Parameters of the body, embedding and read-out excluded.
    fn body_parameters(&self) -> usize;

    /// All parameters. For a counting model, the stored counts.
    fn total_parameters(&self) -> usize;

    /// How much each embedded input moves the last state: Euclidean norms of the gradient by the inputs, `[size, time]`, of
    /// the product of each sequence's last hidden state with one random direction drawn from `seed`. The inputs are
    /// multiplied by `scale` before the body reads them. All in double precision, so that no gradient underflows. `None` for
    /// a model without gradients.
    fn input_gradients(&self, _batch: &Batch, _scale: f64, _seed: u64) -> Option<Vec<f64>> {
        None
    }

    /// How much each embedded input moves the answers: Euclidean norms of the gradient by the inputs, `[size, time]`, of the
    /// training loss on a batch. In double precision. `None` for a model without gradients.
    fn loss_gradients(&self, _batch: &Batch) -> Option<Vec<f64>> {
        None
    }

    /// The Euclidean norm of each parameter's gradient of the training loss on a batch, by the parameter's path in the model,
    /// such as `body.blocks.0.expansion.weight`. In double precision. `None` for a model without gradients.
    fn parameter_gradients(&self, _batch: &Batch) -> Option<Vec<(String, f64)>> {
        None
    }

    /// The values of each matrix of weights, by its path in the model. None of them for a model without such.
    fn weights(&self) -> Vec<(String, Vec<f32>)> {
        Vec::new()
    }

    /// The hidden states that the read-out reads, `[size, time, width]`. `None` for a model without them.
    fn states(&self, _batch: &Batch) -> Option<Vec<f32>> {
        None
    }

    /// How much each position of the target looks at each of the source: the weights of attention, `[size, time, source time]`, those
    /// of one position summing to 1 over the source; of several heads the mean, of several layers the last. `None` for a model
    /// without such attention.
    fn alignment(&self, _batch: &Batch) -> Option<Vec<f32>> {
        None
    }

    /// How much each position speaks for one class of each sequence, `classes` `[size]`, at its supervised position, which must be one: every way to
    /// tell that the model has by itself, the one usual for it first. None of them for a model that has no such way.
    fn explanations(&self, _batch: &Batch, _classes: &[u32]) -> Vec<Explanation> {
        Vec::new()
    }

    /// Outputs for a batch where the weights by which the last position of each sequence attends to all up to itself are put in random
    /// order, in each layer and head by itself. `None` for a model without attention to its own positions.
    fn predict_permuted(&self, _batch: &Batch, _random: &mut Random) -> Option<Predictions> {
        None
    }

    /// What a forward and backward pass of the body, or of what lets positions see each other alone, costs on a batch. `None`
    /// for a model without such a part.
    fn pass(&self, _batch: &Batch, _pass: Pass, _stopwatch: &dyn Stopwatch) -> Option<PassCost> {
        None
    }

    /// What the body costs when it reads a batch one position after the other, as generating text needs. `None` for a model
    /// that needs all positions at once.
    fn steps(&self, _batch: &Batch, _stopwatch: &dyn Stopwatch) -> Option<Stepwise> {
        None
    }

    /// The natural logarithm of the probability of each example of a batch together with its class. `None` for a model that says
    /// how likely a class is given the example, and nothing of the example.
    fn log_joint(&self, _batch: &Batch) -> Option<Vec<f64>> {
        None
    }

    /// The model as one of the examples' features, if it is one.
    fn generative(&self) -> Option<&dyn Generative> {
        None
    }

    /// The group that each example of a batch is put into, by its number. `None` for a model that makes no groups.
    fn groups(&self, _batch: &Batch) -> Option<Vec<u32>> {
        None
    }

    /// Orthonormal directions in which examples differ most by the model, `[directions, width]`, row-major. `None` for a model
    /// without such.
    fn directions(&self) -> Option<Vec<f64>> {
        None
    }

    /// The model as a density over text, if it is one.
    fn density(&self) -> Option<&dyn Density> {
        None
    }
}

/// A model of text: the probability of the next symbol.
pub trait Density {
    /// Natural log-probabilities of every symbol after `context`.
    fn next_log_probabilities(&self, context: &[u32]) -> Vec<f32>;
}
