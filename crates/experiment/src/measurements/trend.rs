//! The error of a model at several values of one setting of its task, and whether it falls or rises with the logarithm of that.
//!
//! The model is fitted anew at each of the rising values, from the same seed, so that a training set is the beginning of the next where the task says
//! so. At each: the error, which is 1 less the primary metric where more of that is better, on test and on validation examples, and by how
//! much it differs from the error at the first value. With the last value stands the slope of the least-squares line of the error on the
//! natural logarithm of the values above 0: what each factor e adds.

use record::Settings;
use record::cell::Outcome;
use sequence::{Budget, StopRule};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::growth::check_lengths;
use super::part::error;
use super::slope::slope;
use super::{
    CellContext, Costs, FIT, MeasurementEntry, Schedule, TEST, VALIDATION, Yield, Yielded, counted, row,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "trend",
    summary: "the error at several values of one setting of the task, and its slope on their logarithm",
    version: 1,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::OwnRates,
    check,
    over: |settings| Some(parse::<Config>(settings).unwrap_or_default().over),
    yields,
    seconds,
    run,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// The task setting that varies, a whole number.
    over: String,
    /// Its values, which a plan fills in.
    ladder: Vec<Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self { over: "examples".to_owned(), ladder: Vec::new() }
    }
}

const ERROR: &str = "error";
/// The error less that at the first value.
const CHANGE: &str = "error-change";
const SLOPE: &str = "error-slope";
const MULTIPLY_ADDS: &str = "multiply-adds";

fn check(settings: &Settings, _: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    check_lengths(&config.over, &config.ladder)?;
    if numbers(&config).into_iter().filter(|&value| value > 0).count() < 3 {
        return Err(format!("a slope needs three values of `{}` above 0, or more", config.over));
    }
    Ok(())
}

fn numbers(config: &Config) -> Vec<u64> {
    config.ladder.iter().filter_map(Value::as_u64).collect()
}

fn yields(_: &Settings, _: &Facts) -> Vec<Yielded> {
    let mut all: Vec<Yielded> = [ERROR, CHANGE, SLOPE].map(|metric| Yielded::new(TEST, metric)).into();
    all.push(Yielded::new(VALIDATION, ERROR));
    all.push(Yielded::new(FIT, MULTIPLY_ADDS));
    all
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let at = |value: &Value| cost(&Settings::from([(config.over.clone(), value.clone())]));
    config.ladder.iter().map(at).map(|cost| cost.update + 2.0 * cost.validation + cost.test).sum()
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let seed = context.cell.seed;
    let budget = Budget { updates: 1, evaluate_every: 1 };
    let mut rows = Vec::new();
    let mut found: Vec<(u64, f64)> = Vec::new();
    for value in numbers(&config) {
        let setting = Settings::from([(config.over.clone(), value.into())]);
        let task = context.task(&setting)?;
        let learner = context.learner(&setting, None)?;
        let fit = context.fit(task.as_ref(), learner.as_ref(), budget, StopRule::Budget, None)?;
        let predictor = fit.predictor.as_ref();
        let tests: Vec<_> =
            task.test(seed).into_iter().filter(|set| set.name == TEST).flat_map(|set| set.batches).collect();
        let (tested, examples) = error(task.as_ref(), predictor, &tests);
        let (validated, chosen_by) = error(task.as_ref(), predictor, &task.validation(seed));
        found.push((value, tested));
        let change = tested - found[0].1;
        rows.push(counted(&setting, TEST, ERROR, Outcome::Ok, tested, examples));
        rows.push(row(&setting, TEST, CHANGE, Outcome::Ok, change));
        rows.push(counted(&setting, VALIDATION, ERROR, Outcome::Ok, validated, chosen_by));
        rows.push(row(&setting, FIT, MULTIPLY_ADDS, Outcome::Ok, fit.multiply_adds as f64));
        if Some(&value) == numbers(&config).last() {
            let slope = slope(&logarithmic(&found));
            rows.extend(slope.map(|slope| row(&setting, TEST, SLOPE, Outcome::Ok, slope)));
        }
    }
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

/// Errors over the logarithms of the values above 0.
fn logarithmic(found: &[(u64, f64)]) -> Vec<(f64, f64)> {
    let positive = found.iter().filter(|(value, _)| *value > 0);
    positive.map(|&(value, error)| ((value as f64).ln(), error)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slope_needs_three_values_above_0() {
        let of = |ladder: &[u64]| Settings::from([("ladder".to_owned(), json!(ladder))]);
        let facts = crate::testing::facts();
        assert!(check(&of(&[0, 10, 100, 1000]), &facts).is_ok());
        let message = check(&of(&[0, 10, 100]), &facts).unwrap_err();
        assert!(message.contains("three values of `examples` above 0"), "{message}");
        assert!(check(&of(&[10, 10, 100]), &facts).unwrap_err().contains("rising"));
    }

    #[test]
    fn the_slope_leaves_out_what_has_no_logarithm() {
        // By hand: 0.3 less 0.02 for each factor e, and something else at 0.
        let error = |value: u64| 0.3 - 0.02 * (value as f64).ln();
        let found: Vec<(u64, f64)> =
            [(0, 9.0)].into_iter().chain([10, 100, 1000].map(|value| (value, error(value)))).collect();
        assert!((slope(&logarithmic(&found)).unwrap() + 0.02).abs() < 1e-12);
    }
}
