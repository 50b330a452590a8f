//! A model as it is before training.

use record::Settings;
use sequence::{Batch, Budget, Floor, Interface, Predictions, Predictor, Score, StopRule, Task, TestSet};

use super::CellContext;
use crate::ExperimentError;

/// The untrained model of a cell, for the task with settings added.
pub(super) fn untrained(
    context: &CellContext,
    added: &Settings,
) -> Result<Box<dyn Predictor>, ExperimentError> {
    let task = context.task(added)?;
    let learner = context.learner(added, None)?;
    let budget = Budget { updates: 0, evaluate_every: 1 };
    let fit = context.fit(&Brief(task.as_ref()), learner.as_ref(), budget, StopRule::Budget, None)?;
    Ok(fit.predictor)
}

/// A task whose validation is one sequence, because nobody reads its score.
pub(super) struct Brief<'a>(pub(super) &'a dyn Task);

impl Task for Brief<'_> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn interface(&self) -> Interface {
        self.0.interface()
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        self.0.training_batch(seed, update, size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![self.0.training_batch(seed, 0, 1)]
    }

    fn test(&self, _seed: u64) -> Vec<TestSet> {
        Vec::new()
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        self.0.scores(batches, predictions)
    }

    fn larger_is_better(&self) -> bool {
        self.0.larger_is_better()
    }

    fn solved_at(&self) -> Option<f64> {
        self.0.solved_at()
    }

    fn floors(&self) -> Vec<Floor> {
        Vec::new()
    }
}
