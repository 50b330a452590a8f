//! How near the directions that a model keeps are to those that the examples have in common, and what else it says of examples.
//!
//! | metric | |
//! |---|---|
//! | `angle-to-truth` | the largest principal angle to the true subspace, in degrees (Björck and Golub 1973); between subspaces of different dimension, of the smaller to the larger |
//! | `angle-to-principal` | the same to as many principal directions of the training set |
//! | `angle-at-random` | the angle to the truth of as many directions at random |
//! | `generative` | 1 if the model tells the density of an example and draws new ones |
//! | `exact-likelihood`, `draws` | 1 if it does the one, the other |
//! | `negative-log-likelihood` | nats a test example, of a model that can tell it |
//! | `two-sample-auc` | how well a classifier of nearest neighbours tells drawn examples from test examples, of a model that draws: 0.5 if not at all |

use record::Settings;
use record::cell::Outcome;
use sequence::{InputKind, Random, Stream};
use serde::{Deserialize, Serialize};

use super::generation::{OFFERED, flat, offered};
use super::part::training_rows;
use super::{CellContext, Costs, MeasurementEntry, Schedule, TEST, Yield, Yielded, row};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "subspace",
    summary: "the angle between the directions that a model keeps and the true ones",
    version: 1,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::OwnRates,
    check,
    over: |_| None,
    yields,
    seconds,
    run,
};

/// There is nothing to set.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {}

const TRUTH: &str = "angle-to-truth";
const PRINCIPAL: &str = "angle-to-principal";
const AT_RANDOM: &str = "angle-at-random";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let _: Config = parse(settings)?;
    if facts.directions {
        return Ok(());
    }
    Err("it needs a task that knows the directions that its examples have in common, and this one does not"
        .to_owned())
}

fn yields(_: &Settings, _: &Facts) -> Vec<Yielded> {
    let metrics = [TRUTH, PRINCIPAL, AT_RANDOM].into_iter().chain(OFFERED);
    metrics.map(|metric| Yielded::new(TEST, metric)).collect()
}

fn seconds(_: &Settings, cost: &Costs) -> f64 {
    let cost = cost(&Settings::new());
    // The comparison of samples and examples takes the most.
    cost.validation + cost.test + 0.2
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let _: Config = context.settings()?;
    let none = Settings::new();
    let seed = context.cell.seed;
    let task = context.task(&none)?;
    let wrong = |what: &str| ExperimentError::Cell(format!("task `{}` {what}", task.name()));
    let truth = task.directions(seed).ok_or_else(|| wrong("does not know its directions"))?;
    let InputKind::Features { width } = task.interface().inputs else {
        return Err(wrong("has no rows of features"));
    };
    let test = task.test(seed).into_iter().find(|set| set.name == TEST);
    let test = test.ok_or_else(|| wrong("has no test examples"))?.batches;
    let learner = context.learner(&none, None)?;
    let predictor = context.fit_to(task.as_ref(), learner.as_ref(), seed)?.predictor;
    let kept = predictor.directions().ok_or_else(|| {
        ExperimentError::Cell(format!("model `{}` keeps no directions", context.cell.model.name))
    })?;
    let training = flat(&[training_rows(task.as_ref(), seed)?]);
    let principal = models::principal_directions(&training, width, kept.len() / width);
    let mut random = Random::new(seed, Stream::Probe);
    let by_chance: Vec<f64> = kept.iter().map(|_| f64::from(random.normal())).collect();
    let by_chance = models::orthonormal(&by_chance, width);

    let angle = |metric: &str, one: &[f64], other: &[f64]| {
        row(&none, TEST, metric, Outcome::Ok, models::principal_angle(one, other, width))
    };
    let mut rows = vec![
        angle(TRUTH, &kept, &truth),
        angle(PRINCIPAL, &kept, &principal),
        angle(AT_RANDOM, &by_chance, &truth),
    ];
    rows.extend(offered(predictor.as_ref(), &test, width, seed));
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_without_directions_is_refused() {
        let message = check(&Settings::new(), &crate::testing::facts()).unwrap_err();
        assert!(message.contains("directions"), "{message}");
    }
}
