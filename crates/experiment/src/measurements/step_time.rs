//! The time of one training step: forward, backward and update, at the task's batch and length.
//!
//! Seconds are those of the processor. One cell is one repeat, so that repeats of all arms can run in random order. A
//! repeat is clean if this process had its processor to itself and the rest of the machine was nearly idle; one that is
//! not is tried again, and if none is, the cell has no time. Drawing the batch is not part of the step.

use std::sync::Mutex;

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Budget, Floor, Interface, Predictions, Score, StopRule, Task, TestSet};
use serde::{Deserialize, Serialize};

use super::repeat::{Reading, Repeat, median};
use super::{CellContext, Costs, FIT, MeasurementEntry, Schedule, Yield, Yielded, row};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::machine::Machine;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "step-time",
    summary: "processor seconds of one training step, alone on the machine",
    // 2: processor time, as PyTorch is timed; it was wall time.
    version: 2,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::Alone,
    check,
    over: |_| None,
    yields: |_, _| {
        ["step-seconds", "multiply-adds", "body-parameters"].map(|metric| Yielded::new(FIT, metric)).to_vec()
    },
    seconds,
    run,
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Steps before the clock starts.
    warm_up: u64,
    /// Steps whose median is the repeat.
    steps: u64,
    /// Repeats tried until one is clean.
    tries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { warm_up: 3, steps: 5, tries: 4 }
    }
}

fn check(settings: &Settings, _: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.steps == 0 || config.tries == 0 {
        return Err("`steps` and `tries` must be at least 1".to_owned());
    }
    Ok(())
}

/// One clean try, with a validation at either end.
fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    (config.warm_up + config.steps + 1) as f64 * cost(&Settings::new()).update
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let learner = context.learner(&none, None)?;
    // The end of a step shows when the next batch is asked for, so one step more is made.
    let updates = config.warm_up + config.steps + 1;
    let batches: Vec<Batch> = (0..updates)
        .map(|update| task.training_batch(context.cell.seed, update, context.batch_size()))
        .collect();

    let (mut rows, mut unclean) = (Vec::new(), Vec::new());
    for _ in 0..config.tries {
        let timed = Timed {
            task: task.as_ref(),
            machine: context.machine,
            batches: &batches,
            asked: Mutex::new(Vec::new()),
        };
        let budget = Budget { updates, evaluate_every: u64::MAX };
        let fit = context.fit(&timed, learner.as_ref(), budget, StopRule::Budget, None)?;
        if fit.updates < updates {
            return Err(ExperimentError::Cell(format!(
                "model `{}` made {} of {updates} updates: a step can be timed only of a model that trains and does \
                 not diverge",
                context.cell.model.name, fit.updates
            )));
        }
        rows = vec![
            row(&none, FIT, "multiply-adds", Outcome::Ok, (fit.multiply_adds / fit.updates) as f64),
            row(&none, FIT, "body-parameters", Outcome::Ok, fit.predictor.body_parameters() as f64),
        ];
        let asked = timed.asked.into_inner().expect("nobody panicked while holding the lock");
        let warm_up = usize::try_from(config.warm_up).expect("a few steps");
        let (times, repeat) = timed_steps(&asked[warm_up..]);
        match repeat.unclean() {
            None => {
                let step_seconds = vec![median(times)];
                return Ok(Yield {
                    outcome: Outcome::Ok,
                    message: None,
                    rows,
                    curve: Vec::new(),
                    step_seconds,
                });
            }
            Some(reason) => unclean.push(reason),
        }
    }
    let message = format!("no clean repeat: {}", unclean.join("; "));
    tracing::warn!(model = context.cell.model.name, message, "step time");
    Ok(Yield {
        outcome: Outcome::Ok,
        message: Some(message),
        rows,
        curve: Vec::new(),
        step_seconds: Vec::new(),
    })
}

/// The readings of the clocks when a batch was asked for and when it was given.
#[derive(Clone, Copy, Debug)]
struct Asked {
    before: Reading,
    after: Reading,
}

/// Seconds of each step, and the repeat as a whole: a step lasts from one batch given until the next is asked for.
fn timed_steps(asked: &[Asked]) -> (Vec<f64>, Repeat) {
    let times = asked.windows(2).map(|pair| pair[1].before.processor - pair[0].after.processor).collect();
    let (first, last) = (asked[0].after, asked[asked.len() - 1].before);
    (times, Repeat::between(first, last))
}

/// A task that reads the clocks whenever a training batch is asked for. Its batches are drawn beforehand, and it
/// validates on one batch only.
struct Timed<'a> {
    task: &'a dyn Task,
    machine: &'a dyn Machine,
    batches: &'a [Batch],
    asked: Mutex<Vec<Asked>>,
}

impl Task for Timed<'_> {
    fn name(&self) -> &'static str {
        self.task.name()
    }

    fn version(&self) -> u32 {
        self.task.version()
    }

    fn interface(&self) -> Interface {
        self.task.interface()
    }

    fn training_batch(&self, _seed: u64, update: u64, _size: usize) -> Batch {
        let before = Reading::of(self.machine);
        let update = usize::try_from(update).expect("a few steps");
        let batch = self.batches[update % self.batches.len()].clone();
        let after = Reading::of(self.machine);
        self.asked.lock().expect("nobody panicked while holding the lock").push(Asked { before, after });
        batch
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        self.task.validation(seed).into_iter().take(1).collect()
    }

    fn test(&self, _seed: u64) -> Vec<TestSet> {
        Vec::new()
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        self.task.scores(batches, predictions)
    }

    fn larger_is_better(&self) -> bool {
        self.task.larger_is_better()
    }

    fn solved_at(&self) -> Option<f64> {
        self.task.solved_at()
    }

    fn floors(&self) -> Vec<Floor> {
        Vec::new()
    }

    fn training_text(&self) -> Option<&[u32]> {
        self.task.training_text()
    }

    fn symbols(&self) -> Option<&[char]> {
        self.task.symbols()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_lasts_from_one_batch_to_the_next() {
        let at = |wall: f64| Reading { wall, processor: 0.5 * wall, load: None };
        let asked = [(0.0, 1.0), (4.0, 6.0), (7.0, 7.5)]
            .map(|(before, after)| Asked { before: at(before), after: at(after) });
        let (times, repeat) = timed_steps(&asked);
        // By hand: half of 4 - 1 and of 7 - 6; the whole from 1 to 7.
        assert_eq!(times, [1.5, 0.5]);
        // Half of the 6 seconds from 1 to 7.
        assert_eq!(repeat.unclean().unwrap(), "the process ran for 50% of the time");
    }
}
