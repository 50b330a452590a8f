//! What a measurement of a trained model begins with: train or fit at the cell's rate, score, and say whether the task was solved.

use record::Settings;
use record::cell::{Outcome, Row};
use sequence::{Batch, Budget, Fit, Outcome as Ending, Predictor, StopRule, Task, TestSet};

use super::{
    CellContext, FIT, SOLVED_EVALUATIONS, TEST, VALIDATION, Yielded, counted, first, row, scores, test_scores,
};
use crate::ExperimentError;
use crate::facts::Facts;

/// A trained model with its scores.
pub(super) struct Trained {
    pub(super) task: Box<dyn Task>,
    pub(super) fit: Fit,
    /// Whether it diverged; that it did not solve its task is said by the row `solved`.
    pub(super) outcome: Outcome,
    /// What [`yields`] names.
    pub(super) rows: Vec<Row>,
    tests: Vec<TestSet>,
}

impl Trained {
    /// Trains until the task is solved, where it can be, or the budget is spent. What is counted or solved is fitted once, takes no
    /// updates, and so never counts as having solved its task.
    pub(super) fn new(context: &CellContext, budget: Budget) -> Result<Self, ExperimentError> {
        let none = Settings::new();
        let task = context.task(&none)?;
        let learner = context.learner(&none, None)?;
        let stop = match task.solved_at() {
            Some(_) => StopRule::Solved { evaluations: SOLVED_EVALUATIONS },
            None => StopRule::Budget,
        };
        let fit = context.fit(task.as_ref(), learner.as_ref(), budget, stop, None)?;
        let (outcome, solved) = match fit.outcome {
            Ending::Diverged { .. } => (Outcome::Diverged, None),
            Ending::Finished => (Outcome::Ok, None),
            Ending::Solved { updates } => (Outcome::Ok, Some(updates)),
        };

        let seed = context.cell.seed;
        let predictor = fit.predictor.as_ref();
        let mut rows = Vec::new();
        for score in scores(task.as_ref(), predictor, &task.validation(seed)) {
            rows.push(counted(&none, VALIDATION, score.metric, outcome, score.value, score.count));
        }
        let tests = task.test(seed);
        rows.extend(test_rows(task.as_ref(), predictor, &tests, outcome));
        rows.push(row(&none, FIT, "updates", outcome, fit.updates as f64));
        rows.push(row(&none, FIT, "body-parameters", Outcome::Ok, predictor.body_parameters() as f64));
        rows.push(row(&none, FIT, "total-parameters", Outcome::Ok, predictor.total_parameters() as f64));
        if task.solved_at().is_some() {
            let ending = match (solved, outcome) {
                (Some(_), _) => Outcome::Ok,
                (None, Outcome::Diverged) => Outcome::Diverged,
                (None, _) => Outcome::NotSolved,
            };
            rows.push(row(&none, TEST, "solved", ending, f64::from(u8::from(solved.is_some()))));
            // A run that did not solve the task took at least its whole budget.
            let updates = solved.unwrap_or(budget.updates);
            rows.push(row(&none, FIT, "updates-to-solve", ending, updates as f64));
        }
        Ok(Self { task, fit, outcome, rows, tests })
    }

    /// The first test sequences.
    pub(super) fn examples(&self, sequences: usize) -> Batch {
        first_examples(&self.tests, sequences)
    }
}

/// The numbers of [`Trained::rows`].
pub(super) fn yields(facts: &Facts) -> Vec<Yielded> {
    let mut all = Vec::new();
    for metric in &facts.metrics {
        all.push(Yielded::new(VALIDATION, *metric));
        all.extend(facts.test_sets.iter().map(|set| Yielded::new(set, *metric)));
    }
    all.extend(["updates", "body-parameters", "total-parameters"].map(|metric| Yielded::new(FIT, metric)));
    if facts.solvable {
        all.push(Yielded::new(TEST, "solved"));
        all.push(Yielded::new(FIT, "updates-to-solve"));
    }
    all
}

/// The scores of each test set.
pub(super) fn test_rows(
    task: &dyn Task,
    predictor: &dyn Predictor,
    tests: &[TestSet],
    outcome: Outcome,
) -> Vec<Row> {
    let none = Settings::new();
    let mut rows = Vec::new();
    for (set, scores) in tests.iter().zip(test_scores(task, predictor, tests)) {
        for score in scores {
            rows.push(counted(&none, &set.name, score.metric, outcome, score.value, score.count));
        }
    }
    rows
}

/// The first sequences of the first test set.
pub(super) fn first_examples(tests: &[TestSet], sequences: usize) -> Batch {
    let examples = tests.first().and_then(|set| set.batches.first());
    first(examples.expect("a task has test examples"), sequences)
}
