//! Train once, then score every test set once.

use record::Settings;
use record::cell::Outcome;
use sequence::{Budget, CurvePoint, Fit, Outcome as Ending, Predictor, StopRule, Task};
use serde::{Deserialize, Serialize};

use super::slope::slope;
use super::{
    CellContext, Costs, FIT, MeasurementEntry, SOLVED_EVALUATIONS, Schedule, TEST, VALIDATION, Yield,
    Yielded, counted, curve, row, scores, test_scores,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "train",
    summary: "train at the tuned rate, then score every test set once",
    version: 2,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::Tuned,
    check,
    over: |_| None,
    yields,
    seconds,
    run,
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Config {
    /// Updates at most.
    pub(super) updates: u64,
    /// Validation every so many updates.
    pub(super) evaluate_every: u64,
    /// What ends training before its budget.
    pub(super) stop: Stop,
    /// Evaluations without improvement that end training, where `stop = "patience"`.
    pub(super) patience: u32,
    /// Also scores the test sets at every best checkpoint, so that smaller budgets can be read off one run.
    pub(super) trace_test: bool,
    /// Also yields the slope of the primary metric over the lengths of the test sets, such as `test@8` and `test@64`.
    pub(super) slope: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stop {
    Budget,
    Solved,
    Patience,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            updates: 1000,
            evaluate_every: 50,
            stop: Stop::Budget,
            patience: 10,
            trace_test: false,
            slope: false,
        }
    }
}

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    check_config(&parse(settings)?, facts)
}

pub(super) fn check_config(config: &Config, facts: &Facts) -> Result<(), String> {
    if config.updates == 0 || config.evaluate_every == 0 {
        return Err("`updates` and `evaluate-every` must be at least 1".to_owned());
    }
    if config.stop == Stop::Solved && !facts.solvable {
        return Err("`stop = \"solved\"` needs a task that can be solved, and this one cannot".to_owned());
    }
    if config.stop == Stop::Patience && config.patience == 0 {
        return Err("`patience` must be at least 1".to_owned());
    }
    let lengths = facts.test_sets.iter().filter_map(|set| length_of(set)).count();
    if config.slope && lengths < 3 {
        return Err("`slope` needs test sets of three lengths or more".to_owned());
    }
    Ok(())
}

fn yields(settings: &Settings, facts: &Facts) -> Vec<Yielded> {
    yields_of(&parse(settings).unwrap_or_default(), facts)
}

pub(super) fn yields_of(config: &Config, facts: &Facts) -> Vec<Yielded> {
    let mut all = Vec::new();
    for metric in &facts.metrics {
        all.push(Yielded::new(VALIDATION, *metric));
        all.extend(facts.test_sets.iter().map(|set| Yielded::new(set, *metric)));
    }
    let fit = ["updates", "multiply-adds", "body-parameters", "total-parameters"];
    all.extend(fit.map(|metric| Yielded::new(FIT, metric)));
    if facts.solvable {
        all.push(Yielded::new(TEST, "solved"));
        all.push(Yielded::new(FIT, "updates-to-solve"));
    }
    if config.slope {
        all.push(Yielded::new(TEST, slope_of(facts.primary())));
    }
    if config.trace_test {
        for budget in ["multiply-adds", "seconds", "pytorch-seconds"] {
            let metric = format!("{}@{budget}", facts.primary());
            all.extend(facts.test_sets.iter().map(|set| Yielded::new(set, metric.clone())));
        }
    }
    all
}

/// All updates, although a run may stop before.
fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    seconds_of(&parse(settings).unwrap_or_default(), cost)
}

pub(super) fn seconds_of(config: &Config, cost: &Costs) -> f64 {
    let cost = cost(&Settings::new());
    // One at the start and one of the predictor that is returned; a model that does not train has no others.
    let during = if cost.update == 0.0 { 0 } else { config.updates / config.evaluate_every.max(1) };
    let evaluations = during as f64 + 2.0;
    let tests = if config.trace_test { evaluations } else { 1.0 };
    config.updates as f64 * cost.update + evaluations * cost.validation + tests * cost.test
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let task = context.task(&Settings::new())?;
    Ok(trained(context, &config, task.as_ref())?.0)
}

/// What a cell yields that trains on a task, and the fit.
pub(super) fn trained(
    context: &CellContext,
    config: &Config,
    task: &dyn Task,
) -> Result<(Yield, Fit), ExperimentError> {
    let none = Settings::new();
    let learner = context.learner(&none, None)?;
    let stop = match config.stop {
        Stop::Budget => StopRule::Budget,
        Stop::Solved => StopRule::Solved { evaluations: SOLVED_EVALUATIONS },
        Stop::Patience => StopRule::Patience { evaluations: config.patience },
    };
    let budget = Budget { updates: config.updates, evaluate_every: config.evaluate_every };
    let tests = task.test(context.cell.seed);

    let mut trace = Trace { larger_is_better: task.larger_is_better(), best: None, blocks: Vec::new() };
    let mut look = |point: &CurvePoint, predictor: &dyn Predictor| {
        trace.follow(point.validation, || {
            let primary = |scores: Vec<sequence::Score>| scores.first().map_or(f64::NAN, |score| score.value);
            test_scores(task, predictor, &tests).into_iter().map(primary).collect()
        });
    };
    let observer: Option<&mut sequence::Observer> = if config.trace_test { Some(&mut look) } else { None };
    let fit = context.fit(task, learner.as_ref(), budget, stop, observer)?;

    let outcome = match fit.outcome {
        Ending::Diverged { .. } => Outcome::Diverged,
        Ending::Finished | Ending::Solved { .. } => Outcome::Ok,
    };
    let mut rows = Vec::new();
    let mut by_length = Vec::new();
    let data = task.validation(context.cell.seed);
    for score in scores(task, fit.predictor.as_ref(), &data) {
        rows.push(counted(&none, VALIDATION, score.metric, outcome, score.value, score.count));
    }
    for (set, scores) in tests.iter().zip(test_scores(task, fit.predictor.as_ref(), &tests)) {
        for score in &scores {
            rows.push(counted(&none, &set.name, score.metric, outcome, score.value, score.count));
        }
        by_length.extend(length_of(&set.name).zip(scores.into_iter().next()));
    }
    if let (true, Some((_, score))) = (config.slope, by_length.first()) {
        let points: Vec<_> = by_length.iter().map(|(length, score)| (*length, score.value)).collect();
        if let Some(slope) = slope(&points) {
            rows.push(row(&none, TEST, &slope_of(score.metric), outcome, slope));
        }
    }
    rows.push(row(&none, FIT, "updates", outcome, fit.updates as f64));
    rows.push(row(&none, FIT, "multiply-adds", outcome, fit.multiply_adds as f64));
    rows.push(row(&none, FIT, "body-parameters", Outcome::Ok, fit.predictor.body_parameters() as f64));
    rows.push(row(&none, FIT, "total-parameters", Outcome::Ok, fit.predictor.total_parameters() as f64));
    if let Some(threshold) = task.solved_at() {
        let reached =
            |value: f64| if task.larger_is_better() { value >= threshold } else { value <= threshold };
        let solved = solved_updates(fit.outcome, &fit.curve, reached);
        let ending = match (solved, outcome) {
            (Some(_), _) => Outcome::Ok,
            (None, Outcome::Diverged) => Outcome::Diverged,
            (None, _) => Outcome::NotSolved,
        };
        rows.push(row(&none, TEST, "solved", ending, f64::from(u8::from(solved.is_some()))));
        // A run that did not solve the task took at least its whole budget.
        let updates = solved.unwrap_or(config.updates);
        rows.push(row(&none, FIT, "updates-to-solve", ending, updates as f64));
    }
    let mut curve = curve(&none, &fit);
    for (row, blocks) in curve.iter_mut().zip(trace.blocks) {
        row.test_blocks = blocks;
    }
    Ok((Yield { outcome, message: None, rows, curve, step_seconds: Vec::new() }, fit))
}

/// The length that the sequences of a test set have, by its name.
fn length_of(set: &str) -> Option<f64> {
    set.strip_prefix("test@")?.parse().ok()
}

/// The metric that is the slope of another over lengths.
fn slope_of(metric: &str) -> String {
    format!("{metric}-slope")
}

/// The updates after which the task counted as solved: by the stop rule, or else from the evaluation since which every
/// one, the last included, reached the threshold, if these are as many as the stop rule asks for.
fn solved_updates(ending: Ending, curve: &[CurvePoint], reached: impl Fn(f64) -> bool) -> Option<u64> {
    match ending {
        Ending::Solved { updates } => Some(updates),
        Ending::Diverged { .. } => None,
        Ending::Finished => {
            let last = curve.iter().rev().take_while(|point| reached(point.validation));
            last.skip(SOLVED_EVALUATIONS as usize - 1).last().map(|point| point.updates)
        }
    }
}

/// Test scores of the checkpoint that is best on validation so far, one entry an evaluation.
struct Trace {
    larger_is_better: bool,
    best: Option<f64>,
    blocks: Vec<Vec<f64>>,
}

impl Trace {
    /// The same choice of the best as in training: a later evaluation must be better, not as good.
    fn follow(&mut self, validation: f64, test: impl FnOnce() -> Vec<f64>) {
        let better = |best: f64| {
            best.is_nan() || if self.larger_is_better { validation > best } else { validation < best }
        };
        if self.best.is_none_or(better) {
            self.best = Some(validation);
            self.blocks.push(test());
        } else {
            self.blocks.push(self.blocks.last().cloned().unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_carries_the_best_forward() {
        let mut trace = Trace { larger_is_better: false, best: None, blocks: Vec::new() };
        let mut tests = 0;
        for (validation, block) in [(3.0, 30.0), (2.0, 20.0), (2.5, 25.0), (2.0, 21.0), (1.0, 10.0)] {
            trace.follow(validation, || {
                tests += 1;
                vec![block]
            });
        }
        // By hand: 2.5 is worse than 2, the second 2 only as good.
        assert_eq!(trace.blocks, [[30.0], [20.0], [20.0], [20.0], [10.0]]);
        assert_eq!(tests, 3);
    }

    #[test]
    fn one_evaluation_alone_solves_nothing() {
        let solved = |scores: &[f64]| {
            let point = |(index, &validation): (usize, &f64)| CurvePoint {
                updates: 50 * (index as u64 + 1),
                multiply_adds: 0,
                training_loss: 0.0,
                validation,
            };
            let curve: Vec<_> = scores.iter().enumerate().map(point).collect();
            solved_updates(Ending::Finished, &curve, |value| value >= 0.95)
        };
        assert_eq!(solved(&[0.2, 0.96]), None);
        assert_eq!(solved(&[0.96, 0.2, 0.95, 0.97]), Some(150));
        assert_eq!(solved(&[0.96, 0.96, 0.2]), None);
    }

    #[test]
    fn a_slope_needs_test_sets_of_several_lengths() {
        assert_eq!((length_of("test@48"), length_of("test")), (Some(48.0), None));
        let asked = Settings::from([("slope".to_owned(), true.into())]);
        let message = check(&asked, &crate::testing::facts()).unwrap_err();
        assert!(message.contains("three lengths"), "{message}");
    }

    #[test]
    fn an_unsolvable_task_cannot_stop_when_solved() {
        let facts = crate::testing::facts();
        let solved = Settings::from([("stop".to_owned(), "solved".into())]);
        assert!(check(&solved, &facts).is_ok());
        let message = check(&solved, &Facts { solvable: false, ..facts.clone() }).unwrap_err();
        assert!(message.contains("needs a task that can be solved"), "{message}");
        let none = Settings::from([("updates".to_owned(), 0.into())]);
        assert!(check(&none, &facts).unwrap_err().contains("at least 1"));
    }
}
