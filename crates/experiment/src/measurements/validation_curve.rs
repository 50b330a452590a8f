//! Training and test error of a model at several values of one of its settings, and what choosing by validation would take.
//!
//! The model is fitted once at each of the rising `values` of its `setting`, to the same training set from the same seed. At each value, as the splits
//! `test@VALUE`: error, training error, and the gap, their difference; with `weights` also the norms of a linear model's weights and how many of these are
//! exactly 0. The value with the least error on validation is the chosen one; its test error beside those of the first and of the last
//! value says whether the ends are too much. An error is 1 less the primary metric where more of that is better.

use record::Settings;
use record::cell::Outcome;
use sequence::{Budget, Predictor, StopRule};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::part::error;
use super::slope::slope;
use super::{
    CellContext, Costs, MeasurementEntry, Schedule, TEST, VALIDATION, Yield, Yielded, build_learner, counted,
    row,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "validation-curve",
    summary: "training and test error at several values of one setting of the model",
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

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// The setting of the model that varies.
    setting: String,
    /// Its values, rising.
    values: Vec<Value>,
    /// Whether the norms of a linear model's weights are measured.
    weights: bool,
}

const ERROR: &str = "error";
const TRAINING: &str = "training-error";
const GAP: &str = "gap";
const OF_VALUES: [&str; 3] = [ERROR, TRAINING, GAP];
const ABSOLUTE: &str = "absolute-norm";
const EUCLIDEAN: &str = "euclidean-norm";
const ZEROS: &str = "zero-weights";
const OF_WEIGHTS: [&str; 3] = [ABSOLUTE, EUCLIDEAN, ZEROS];
/// How often a norm rises from one value to the next.
const RISES: [&str; 2] = ["rises-of-absolute-norm", "rises-of-euclidean-norm"];
const MOST_ZEROS: &str = "most-zero-weights";
const BEST: &str = "best-value";
/// Of the error and the gap, least-squares slopes on the natural logarithm of the values above 0.
const GAP_SLOPE: &str = "gap-slope";
const ERROR_SLOPE: &str = "error-slope";
/// How much more the ends err than the chosen value.
const EXCESS: [&str; 2] = ["excess-at-first", "excess-at-last"];
/// How much wider the gap is at the ends than at the chosen value.
const WIDER: [&str; 2] = ["wider-gap-at-first", "wider-gap-at-last"];
const PLACES: [&str; 3] = ["first", "best", "last"];

fn at(metric: &str, place: &str) -> String {
    format!("{metric}-at-{place}")
}

fn numbers(values: &[Value]) -> Vec<f64> {
    values.iter().filter_map(Value::as_f64).collect()
}

/// Checks the values of a setting that is to vary.
pub(super) fn check_values(setting: &str, values: &[Value]) -> Result<(), String> {
    if setting.is_empty() {
        return Err("`setting` must name a setting of the model".to_owned());
    }
    let numbers = numbers(values);
    let rising = numbers.len() == values.len() && numbers.windows(2).all(|pair| pair[0] < pair[1]);
    if numbers.len() < 2 || !rising {
        return Err("`values` must be two rising numbers or more".to_owned());
    }
    Ok(())
}

fn check(settings: &Settings, _: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    check_values(&config.setting, &config.values)
}

fn split(value: &Value) -> String {
    format!("{TEST}@{value}")
}

fn yields(settings: &Settings, _: &Facts) -> Vec<Yielded> {
    let config: Config = parse(settings).unwrap_or_default();
    let mut of_values = OF_VALUES.to_vec();
    let mut all: Vec<Yielded> = [BEST, GAP_SLOPE, ERROR_SLOPE]
        .into_iter()
        .chain(EXCESS)
        .chain(WIDER)
        .map(|metric| Yielded::new(TEST, metric))
        .collect();
    if config.weights {
        of_values.extend(OF_WEIGHTS);
        all.extend(RISES.into_iter().chain([MOST_ZEROS]).map(|metric| Yielded::new(TEST, metric)));
    }
    for metric in of_values {
        all.extend(config.values.iter().map(|value| Yielded::new(&split(value), metric)));
        all.extend(PLACES.map(|place| Yielded::new(TEST, at(metric, place))));
    }
    all.push(Yielded::new(VALIDATION, at(ERROR, "best")));
    all
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let cost = cost(&Settings::new());
    config.values.len() as f64 * (cost.update + 2.0 * cost.validation + cost.test)
}

/// What was found at one value.
struct Found {
    validation: f64,
    /// Error, training error and gap, then the norms and zeros of the weights.
    values: Vec<f64>,
    examples: usize,
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let seed = context.cell.seed;
    let training = task.training_set(seed).ok_or_else(|| {
        ExperimentError::Cell(format!("task `{}` has no finite training set", context.cell.task.name))
    })?;
    let tests: Vec<_> =
        task.test(seed).into_iter().filter(|set| set.name == TEST).flat_map(|set| set.batches).collect();
    let validation = task.validation(seed);
    let budget = Budget { updates: 1, evaluate_every: 1 };
    let mut found = Vec::new();
    for value in &config.values {
        let mut cell = context.cell.clone();
        cell.model.settings.insert(config.setting.clone(), value.clone());
        let learner = build_learner(&cell, &none, None)?;
        let fit = context.fit(task.as_ref(), learner.as_ref(), budget, StopRule::Budget, None)?;
        let predictor = fit.predictor.as_ref();
        let (test, examples) = error(task.as_ref(), predictor, &tests);
        let (trained, _) = error(task.as_ref(), predictor, &training);
        let mut values = vec![test, trained, test - trained];
        if config.weights {
            values.extend(sizes(predictor).ok_or_else(|| {
                ExperimentError::Cell(format!(
                    "model `{}` has no weights: leave `weights` out",
                    cell.model.name
                ))
            })?);
        }
        found.push(Found { validation: error(task.as_ref(), predictor, &validation).0, values, examples });
    }

    let metrics = OF_VALUES.iter().chain(&OF_WEIGHTS);
    let mut rows = Vec::new();
    for (value, found) in config.values.iter().zip(&found) {
        for (metric, &number) in metrics.clone().zip(&found.values) {
            // Errors are means over examples; norms and counts are not.
            let examples = if *metric == ERROR { found.examples } else { 0 };
            rows.push(counted(&none, &split(value), metric, Outcome::Ok, number, examples));
        }
    }
    let numbers = numbers(&config.values);
    // The first of equals, which is the smallest value.
    let best =
        (0..found.len()).min_by(|&a, &b| found[a].validation.total_cmp(&found[b].validation)).unwrap_or(0);
    let last = found.len() - 1;
    let mut rows_without = Vec::new();
    let mut one = |metric: &str, value: f64| rows.push(row(&none, TEST, metric, Outcome::Ok, value));
    one(BEST, numbers[best]);
    for (place, index) in PLACES.iter().zip([0, best, last]) {
        for (metric, &number) in metrics.clone().zip(&found[index].values) {
            one(&at(metric, place), number);
        }
    }
    for (which, metrics) in [(0, EXCESS), (2, WIDER)] {
        for (metric, index) in metrics.iter().zip([0, last]) {
            one(metric, found[index].values[which] - found[best].values[which]);
        }
    }
    let positive = || numbers.iter().zip(&found).filter(|(value, _)| **value > 0.0);
    for (metric, which) in [(ERROR_SLOPE, 0), (GAP_SLOPE, 2)] {
        let points: Vec<_> = positive().map(|(value, found)| (value.ln(), found.values[which])).collect();
        match slope(&points) {
            Some(slope) => one(metric, slope),
            None => rows_without.push(metric),
        }
    }
    if config.weights {
        for (metric, which) in RISES.iter().zip([3, 4]) {
            let norms: Vec<f64> = found.iter().map(|found| found.values[which]).collect();
            one(metric, rises(&norms));
        }
        one(MOST_ZEROS, found.iter().map(|found| found.values[5]).fold(0.0, f64::max));
    }
    // Fewer than three values have no slope.
    rows.extend(
        rows_without.into_iter().map(|metric| row(&none, TEST, metric, Outcome::NotAttempted, f64::NAN)),
    );
    let chosen = &found[best];
    rows.push(row(&none, VALIDATION, &at(ERROR, "best"), Outcome::Ok, chosen.validation));
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

/// Sum of absolute weights, root of the sum of squared ones, and how many are 0.
fn sizes(predictor: &dyn Predictor) -> Option<[f64; 3]> {
    let weights: Vec<f64> =
        predictor.weights().into_iter().flat_map(|(_, values)| values).map(f64::from).collect();
    if weights.is_empty() {
        return None;
    }
    let absolute = weights.iter().map(|weight| weight.abs()).sum();
    let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
    Some([absolute, squares.sqrt(), weights.iter().filter(|weight| **weight == 0.0).count() as f64])
}

/// How many of the numbers are larger than the one before, by more than the rounding of weights to single precision.
fn rises(numbers: &[f64]) -> f64 {
    let larger = |pair: &&[f64]| pair[1] > pair[0] * (1.0 + 1e-6);
    numbers.windows(2).filter(larger).count() as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_rise_and_belong_to_a_setting() {
        assert!(check_values("depth", &[json!(1), json!(2.5)]).is_ok());
        assert!(check_values("", &[json!(1), json!(2)]).unwrap_err().contains("`setting`"));
        for wrong in [vec![json!(1)], vec![json!(2), json!(2)], vec![json!("a"), json!("b")]] {
            assert!(check_values("depth", &wrong).unwrap_err().contains("`values`"));
        }
    }

    #[test]
    fn rises_are_counted() {
        // By hand: from 3 to 2 it falls, to 2.5 it rises, to 2.5 it stays, to 2.5 and a billionth it does as good as stay.
        assert_eq!(rises(&[3.0, 2.0, 2.5, 2.5, 2.5 + 2.5e-9]), 1.0);
        assert_eq!(rises(&[0.0, 0.0]), 0.0);
    }
}
