//! When labels that follow a rule are known, when those that follow none, and what the latter costs on fresh items.
//!
//! A model trains for all its updates on items of which some have a random label, and is asked at every evaluation about the clean ones, the
//! noisy ones and fresh ones. A set counts as fitted from the first evaluation at which `fitted` of it is known. The scores are those of the
//! model as it is at the end of training, not of the best checkpoint.

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Budget, CurvePoint, Outcome as Ending, Predictor, StopRule, Task};
use serde::{Deserialize, Serialize};

use super::{
    CellContext, Costs, FIT, MeasurementEntry, Schedule, TEST, VALIDATION, Yield, Yielded, counted, curve,
    row, scores,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "memorisation",
    summary: "how soon clean and noisy labels are known, and what knowing the latter costs",
    version: 1,
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
struct Config {
    /// Updates, all of which are made.
    updates: u64,
    /// Evaluations every so many updates.
    evaluate_every: u64,
    /// Accuracy from which a set counts as fitted.
    fitted: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { updates: 2000, evaluate_every: 50, fitted: 0.95 }
    }
}

/// The test sets of items that were trained on.
const SETS: [&str; 2] = ["clean", "noisy"];
const UPDATES_TO_FIT: [&str; 2] = ["updates-to-clean", "updates-to-noisy"];
const LAST: [&str; 2] = ["last-clean", "last-noisy"];
/// Updates to fit the noisy labels over those to fit the clean ones.
const RATIO: &str = "noisy-over-clean";
const BEST_FRESH: &str = "best-fresh";
const LAST_FRESH: &str = "last-fresh";
/// The best accuracy on fresh items less the last.
const LOST: &str = "fresh-lost";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.updates == 0 || config.evaluate_every == 0 {
        return Err("`updates` and `evaluate-every` must be at least 1".to_owned());
    }
    if !(config.fitted > 0.0 && config.fitted <= 1.0) {
        return Err(format!("`fitted` is {}, it must be above 0 and at most 1", config.fitted));
    }
    if !SETS.iter().all(|set| facts.test_sets.iter().any(|named| named == set)) {
        return Err("it needs a task with test sets named `clean` and `noisy`; \
                    of `random-labels`, set `corrupted` between 0 and 1"
            .to_owned());
    }
    if facts.primary() != "accuracy" {
        return Err("it needs a task whose primary metric is an accuracy".to_owned());
    }
    Ok(())
}

fn yields(_: &Settings, facts: &Facts) -> Vec<Yielded> {
    let test = UPDATES_TO_FIT.into_iter().chain(LAST).chain([RATIO, BEST_FRESH, LAST_FRESH, LOST]);
    let mut all: Vec<Yielded> = test.map(|metric| Yielded::new(TEST, metric)).collect();
    all.extend(["body-parameters", "total-parameters"].map(|metric| Yielded::new(FIT, metric)));
    all.extend(facts.metrics.iter().map(|metric| Yielded::new(VALIDATION, *metric)));
    all
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let cost = cost(&Settings::new());
    let evaluations = (config.updates / config.evaluate_every.max(1)) as f64 + 2.0;
    config.updates as f64 * cost.update + evaluations * (cost.validation + cost.test)
}

/// What an evaluation found: accuracy on clean, noisy and fresh items.
#[derive(Clone, Copy, Debug)]
struct Look {
    updates: f64,
    known: [f64; 2],
    fresh: f64,
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let learner = context.learner(&none, None)?;
    let seed = context.cell.seed;
    let tests = task.test(seed);
    let set = |name: &str| -> Result<&[Batch], ExperimentError> {
        let found = tests.iter().find(|set| set.name == name);
        found.map(|set| set.batches.as_slice()).ok_or_else(|| {
            ExperimentError::Cell(format!("task `{}` has no test set `{name}`", context.cell.task.name))
        })
    };
    let (known, fresh) = ([set(SETS[0])?, set(SETS[1])?], set(TEST)?);
    let mut looks = Vec::new();
    let mut observe = |point: &CurvePoint, predictor: &dyn Predictor| {
        looks.push(Look {
            updates: point.updates as f64,
            known: known.map(|batches| primary(task.as_ref(), predictor, batches)),
            fresh: primary(task.as_ref(), predictor, fresh),
        });
    };
    let budget = Budget { updates: config.updates, evaluate_every: config.evaluate_every };
    let fit = context.fit(task.as_ref(), learner.as_ref(), budget, StopRule::Budget, Some(&mut observe))?;
    let outcome = match fit.outcome {
        Ending::Diverged { .. } => Outcome::Diverged,
        Ending::Finished | Ending::Solved { .. } => Outcome::Ok,
    };

    let mut rows = Vec::new();
    let fitted = [0, 1].map(|which| updates_to_fit(&looks, which, config.fitted));
    for (metric, fitted) in UPDATES_TO_FIT.into_iter().zip(fitted) {
        // What is never fitted would take longer than there were updates.
        let ending = if fitted.is_some() { outcome } else { Outcome::NotSolved };
        rows.push(row(&none, TEST, metric, ending, fitted.unwrap_or(config.updates as f64)));
    }
    rows.push(match fitted {
        [Some(clean), Some(noisy)] => row(&none, TEST, RATIO, outcome, noisy / clean),
        // At least so much, as long as the rule itself was found.
        [Some(clean), None] => row(&none, TEST, RATIO, Outcome::NotSolved, config.updates as f64 / clean),
        [None, _] => row(&none, TEST, RATIO, Outcome::NotAttempted, f64::NAN),
    });
    if let Some(last) = looks.last() {
        let best = looks.iter().map(|look| look.fresh).fold(f64::NEG_INFINITY, f64::max);
        for (metric, value) in LAST.into_iter().zip(last.known) {
            rows.push(row(&none, TEST, metric, outcome, value));
        }
        rows.push(row(&none, TEST, BEST_FRESH, outcome, best));
        rows.push(row(&none, TEST, LAST_FRESH, outcome, last.fresh));
        rows.push(row(&none, TEST, LOST, outcome, best - last.fresh));
    }
    for score in scores(task.as_ref(), fit.predictor.as_ref(), &task.validation(seed)) {
        rows.push(counted(&none, VALIDATION, score.metric, outcome, score.value, score.count));
    }
    rows.push(row(&none, FIT, "body-parameters", Outcome::Ok, fit.predictor.body_parameters() as f64));
    rows.push(row(&none, FIT, "total-parameters", Outcome::Ok, fit.predictor.total_parameters() as f64));
    Ok(Yield { outcome, message: None, rows, curve: curve(&none, &fit), step_seconds: Vec::new() })
}

fn primary(task: &dyn Task, predictor: &dyn Predictor, batches: &[Batch]) -> f64 {
    scores(task, predictor, batches).first().map_or(f64::NAN, |score| score.value)
}

/// The updates at the first evaluation that knows so much of a set; one at least, so that a ratio has a meaning.
fn updates_to_fit(looks: &[Look], which: usize, fitted: f64) -> Option<f64> {
    looks.iter().find(|look| look.known[which] >= fitted).map(|look| look.updates.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_fitted_from_the_first_evaluation_that_knows_enough_of_it() {
        let look = |updates, clean, noisy| Look { updates, known: [clean, noisy], fresh: 0.5 };
        let looks =
            [look(0.0, 0.1, 0.1), look(50.0, 0.96, 0.2), look(100.0, 0.9, 0.95), look(150.0, 1.0, 0.9)];
        assert_eq!([0, 1].map(|which| updates_to_fit(&looks, which, 0.95)), [Some(50.0), Some(100.0)]);
        assert_eq!(updates_to_fit(&looks, 1, 0.99), None);
        assert_eq!(updates_to_fit(&looks, 0, 0.05), Some(1.0));
    }

    #[test]
    fn it_needs_clean_and_noisy_items() {
        let facts = crate::testing::facts();
        assert!(check(&Settings::new(), &facts).unwrap_err().contains("`clean` and `noisy`"));
        let sets = ["test", "clean", "noisy"].map(str::to_owned).to_vec();
        let facts = Facts { test_sets: sets, ..facts };
        assert!(check(&Settings::new(), &facts).is_ok());
        let all = Settings::from([("fitted".to_owned(), 1.5.into())]);
        assert!(check(&all, &facts).unwrap_err().contains("`fitted` is 1.5"));
    }
}
