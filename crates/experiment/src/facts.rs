//! What can be said about a task before any model has seen it.

use record::Settings;
use sequence::{Batch, Floor, LossKind, Predictions, Task};

/// The facts about one task setting that plans and tables need.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each answers a question of its own about the task")]
pub struct Facts {
    /// Names of the metrics, primary first.
    pub metrics: Vec<&'static str>,
    /// Names of the test sets, in order.
    pub test_sets: Vec<String>,
    /// Whether more of the primary metric is better.
    pub larger_is_better: bool,
    /// Whether the task has a score at which it counts as solved.
    pub solvable: bool,
    /// Whether one position of each sequence decides its answer.
    pub decisive: bool,
    /// Whether the task knows what decides each answer and what only goes along with it.
    pub grounds: bool,
    /// Names of the metrics of what a model writes by itself; none for a task without a target to write.
    pub written_metrics: Vec<&'static str>,
    /// Whether the task knows the groups that its examples come from.
    pub groups: bool,
    /// Whether the task knows the directions that its examples have in common.
    pub directions: bool,
    /// Whether the task has an example in words to look at.
    pub spelled: bool,
    /// Exact scores of ignorant predictors.
    pub floors: Vec<Floor>,
    /// Positions of a training sequence, padding included.
    pub time: usize,
    /// Values answered at a position.
    pub outputs: usize,
    /// Fraction of the positions of a training batch that are supervised.
    pub supervised: f64,
    /// Positions of all validation examples.
    pub validation_positions: usize,
    /// Positions of all test examples.
    pub test_positions: usize,
}

impl Facts {
    /// Asks the task for its examples under one seed, and for its scores of an even guess.
    #[must_use]
    pub fn of(task: &dyn Task, seed: u64, batch_size: usize) -> Self {
        let interface = task.interface();
        let training = task.training_batch(seed, 0, batch_size);
        let validation = task.validation(seed);
        let tests = task.test(seed);
        let positions =
            |batches: &[Batch]| -> usize { batches.iter().map(|batch| batch.size * batch.time).sum() };
        let guess = match interface.loss {
            LossKind::CrossEntropy => -(interface.outputs as f32).ln(),
            LossKind::MeanSquaredError | LossKind::Density => 0.0,
        };
        let first = &validation[..validation.len().min(1)];
        let guesses: Vec<Predictions> = first
            .iter()
            .map(|batch| Predictions {
                outputs: interface.outputs,
                values: vec![guess; batch.size * batch.time * interface.outputs],
            })
            .collect();
        let nothing: Vec<Vec<Vec<u32>>> = first.iter().map(|batch| vec![Vec::new(); batch.size]).collect();
        Self {
            metrics: task.scores(first, &guesses).iter().map(|score| score.metric).collect(),
            larger_is_better: task.larger_is_better(),
            solvable: task.solved_at().is_some(),
            decisive: task.decisive_positions(&training).is_some(),
            grounds: task.grounds(&training).is_some(),
            written_metrics: task.written_scores(first, &nothing).iter().map(|score| score.metric).collect(),
            groups: task.groups(seed).is_some(),
            directions: task.directions(seed).is_some(),
            spelled: task.spelled(seed).is_some(),
            floors: task.floors(),
            time: training.time,
            outputs: interface.outputs,
            supervised: training.supervised() as f64 / (training.size * training.time).max(1) as f64,
            validation_positions: positions(&validation),
            test_positions: tests.iter().map(|set| positions(&set.batches)).sum(),
            test_sets: tests.into_iter().map(|set| set.name).collect(),
        }
    }

    /// The metric that chooses and solves.
    ///
    /// # Panics
    /// When a task scores nothing, which is a bug in that task.
    #[must_use]
    pub fn primary(&self) -> &'static str {
        self.metrics.first().expect("a task has a primary metric")
    }
}

/// The floors of one task setting.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Floors {
    pub(crate) task: String,
    pub(crate) setting: Settings,
    pub(crate) scores: Vec<Floor>,
}
