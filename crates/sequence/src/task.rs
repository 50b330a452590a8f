//! What is asked: the task, and the dataset through which every learner sees it.

use crate::{Batch, Predictions};

/// What a model reads at each position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Symbols below `vocabulary`.
    Tokens {
        /// Number of symbols.
        vocabulary: usize,
    },
    /// Real vectors of `width` values.
    Features {
        /// Values a position.
        width: usize,
    },
    /// Symbols below `vocabulary`, with another sequence, the batch's source, to condition on.
    Conditioned {
        /// Number of symbols of the source.
        source: usize,
        /// Number of symbols read at each position.
        vocabulary: usize,
    },
}

/// What one column of features holds. A value that is missing is `NaN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// A real number.
    Real,
    /// One of so many categories, by its number.
    Category {
        /// Number of categories.
        levels: usize,
    },
}

/// Which loss training minimises, averaged over the supervised positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossKind {
    /// Cross-entropy over the classes, in nats.
    CrossEntropy,
    /// Mean squared error.
    MeanSquaredError,
    /// What a model of the inputs themselves descends: the negative logarithm of their density, or what stands in its place. There
    /// is nothing to answer; targets are 0, and a prediction is one value an example, the larger the likelier.
    Density,
}

/// The shape of a task as a model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// What is read.
    pub inputs: InputKind,
    /// Values answered at each position: classes, or 1 for a regression or a density.
    pub outputs: usize,
    /// What training minimises.
    pub loss: LossKind,
    /// No sequence of any split, sources included, is longer than this, padding included.
    pub maximum_time: usize,
}

/// Which examples: for fitting, for choosing, for the one final score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Examples for fitting.
    Training,
    /// Examples for choosing rates, checkpoints and when to stop.
    Validation,
    /// Examples for the final score.
    Test,
}

/// One number measured on a set of examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Name of the metric, such as `accuracy`.
    pub metric: &'static str,
    /// Its value.
    pub value: f64,
    /// How many independent observations it averages; bounds the standard error from below.
    pub count: usize,
}

/// The exact score of a predictor that ignores what the task is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Floor {
    /// Metric it is a floor of.
    pub metric: &'static str,
    /// What the predictor does, such as `chance` or `constant`.
    pub name: &'static str,
    /// Its expected score.
    pub value: f64,
}

/// How what a model wrote is read back as its input, for tasks that have a target written one symbol after the other. The class c
/// is read as the token c + `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writing {
    /// The token that every input starts with.
    pub start: u32,
    /// The class that ends a target.
    pub end: u32,
    /// The class that stands for what has none, and that nobody writes.
    pub unknown: Option<u32>,
    /// The token of a class less that class.
    pub offset: u32,
}

/// The groups that examples were drawn from, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Of each example its group.
    pub drawn: Vec<u32>,
    /// Of each example the group that is likeliest given its features, which is the best that anyone can say who sees no more.
    pub likeliest: Vec<u32>,
}

/// What decides the answers of a batch, and what only goes along with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// Of each sequence the one position whose input decides its answer.
    pub causes: Vec<usize>,
    /// Of each sequence a position whose input often agrees with the answer and decides nothing.
    pub bystanders: Vec<usize>,
    /// A symbol that says nothing, to put in the place of another.
    pub neutral: u32,
}

/// One example with the symbols of its source and its target in words, the ends among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Spelled {
    /// The example: a batch of one.
    pub batch: Batch,
    /// Each position of the source.
    pub source: Vec<String>,
    /// Each position of the target.
    pub target: Vec<String>,
}

/// A named set of test examples; most tasks have one, named `test`.
#[derive(Clone, Debug)]
pub struct TestSet {
    /// `test`, or a name that says how it differs, such as `test@96`.
    pub name: String,
    /// The examples.
    pub batches: Vec<Batch>,
}

/// What is asked of a model. Owns sampling, targets, loss kind, mask, metrics, floors and version.
pub trait Task: Send + Sync {
    /// Registered name.
    fn name(&self) -> &'static str;

    /// Raised whenever the same settings and seed would give other examples or scores.
    fn version(&self) -> u32;

    /// Shapes and loss.
    fn interface(&self) -> Interface;

    /// The training batch of one update: a pure function of its arguments.
    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch;

    /// Examples for choosing, fixed by the seed.
    fn validation(&self, seed: u64) -> Vec<Batch>;

    /// Examples for the final score, fixed by the seed.
    fn test(&self, seed: u64) -> Vec<TestSet>;

    /// Scores of predictions; the first is the primary metric. Metrics are averaged over batches here.
    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score>;

    /// Whether a larger primary metric is better.
    fn larger_is_better(&self) -> bool;

    /// The primary metric at which the task counts as solved, if it can be.
    fn solved_at(&self) -> Option<f64>;

    /// Exact scores of ignorant predictors, by which every table is read.
    fn floors(&self) -> Vec<Floor>;

    /// The one position of each sequence whose input decides its answer, for tasks that have one.
    fn decisive_positions(&self, _batch: &Batch) -> Option<Vec<usize>> {
        None
    }

    /// What decides each answer and what only goes along with it, for tasks over symbols that know both.
    fn grounds(&self, _batch: &Batch) -> Option<Grounds> {
        None
    }

    /// The training text as one stream of tokens, for models that count instead of descending.
    fn training_text(&self) -> Option<&[u32]> {
        None
    }

    /// All training examples under a seed, for tasks that have finitely many; for models that fit them as a whole. A
    /// training batch of such a task draws from them.
    fn training_set(&self, _seed: u64) -> Option<Vec<Batch>> {
        None
    }

    /// What the columns of features hold, for tasks whose features are not all real numbers.
    fn columns(&self) -> Option<Vec<Column>> {
        None
    }

    /// The natural logarithm of the probability of each example of a batch together with its class, for tasks that know it.
    fn log_joint(&self, _batch: &Batch) -> Option<Vec<f64>> {
        None
    }

    /// The centres of the clusters that examples are drawn around, `[clusters, width]`, and the deviation around them, for tasks
    /// that know them.
    fn clusters(&self) -> Option<(Vec<f32>, f32)> {
        None
    }

    /// The groups of the examples of the test set `test` under a seed, for tasks that draw from groups without showing them.
    fn groups(&self, _seed: u64) -> Option<Groups> {
        None
    }

    /// Orthonormal directions that span what examples have in common under a seed, `[directions, width]`, row-major, for tasks
    /// that know them.
    fn directions(&self, _seed: u64) -> Option<Vec<f64>> {
        None
    }

    /// How what was written is read back in, for tasks with a target to write.
    fn writing(&self) -> Option<Writing> {
        None
    }

    /// Scores of targets that a model wrote by itself, each without its end: `written` has those of each batch, `[batch, size, length]`.
    /// None of them for a task without a target to write.
    fn written_scores(&self, _batches: &[Batch], _written: &[Vec<Vec<u32>>]) -> Vec<Score> {
        Vec::new()
    }

    /// An example that is in no split, in words, for tasks that have one to look at.
    fn spelled(&self, _seed: u64) -> Option<Spelled> {
        None
    }

    /// The symbols of the vocabulary in token order, for tasks over text.
    fn symbols(&self) -> Option<&[char]> {
        None
    }
}

/// A task with a seed and a batch size: what a learner is given. It cannot reach the test examples.
pub struct Dataset<'a> {
    task: &'a dyn Task,
    seed: u64,
    batch_size: usize,
    validation: Vec<Batch>,
}

impl<'a> Dataset<'a> {
    /// The training stream and validation examples of `task` under `seed`.
    #[must_use]
    pub fn new(task: &'a dyn Task, seed: u64, batch_size: usize) -> Self {
        Self { task, seed, batch_size, validation: task.validation(seed) }
    }

    /// Shapes and loss of the task.
    #[must_use]
    pub fn interface(&self) -> Interface {
        self.task.interface()
    }

    /// Sequences in a training batch.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The training batch of one update, the same for every learner.
    #[must_use]
    pub fn training_batch(&self, update: u64) -> Batch {
        self.task.training_batch(self.seed, update, self.batch_size)
    }

    /// Examples for choosing.
    #[must_use]
    pub fn validation(&self) -> &[Batch] {
        &self.validation
    }

    /// Scores of predictions for the validation examples, primary metric first.
    #[must_use]
    pub fn validation_scores(&self, predictions: &[Predictions]) -> Vec<Score> {
        self.task.scores(&self.validation, predictions)
    }

    /// Whether a larger primary metric is better.
    #[must_use]
    pub fn larger_is_better(&self) -> bool {
        self.task.larger_is_better()
    }

    /// The primary metric at which the task counts as solved.
    #[must_use]
    pub fn solved_at(&self) -> Option<f64> {
        self.task.solved_at()
    }

    /// The training text, for models that count.
    #[must_use]
    pub fn training_text(&self) -> Option<&'a [u32]> {
        self.task.training_text()
    }

    /// All training examples, for models that fit them as a whole; `None` for an endless stream.
    #[must_use]
    pub fn training_set(&self) -> Option<Vec<Batch>> {
        self.task.training_set(self.seed)
    }

    /// What each column of features holds: none for symbols.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        match (self.task.columns(), self.task.interface().inputs) {
            (Some(columns), _) => columns,
            (None, InputKind::Features { width }) => vec![Column::Real; width],
            (None, InputKind::Tokens { .. } | InputKind::Conditioned { .. }) => Vec::new(),
        }
    }
}
