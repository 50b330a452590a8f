//! How much gradient arrives from a distance before training, and whether training then solves the task.
//!
//! Both in one cell, so that one can be held against the other. The gradient is that of the last hidden state in a random direction
//! by the embedded input so many positions back, in double precision ([`sequence::Predictor::input_gradients`]), of the same
//! first parameters that training starts from; its median over sequences counts. Training tries the rates in turn, the middle
//! one first, until one solves the task. The test is read once, of the predictor that solved it or was best on validation.

use record::Settings;
use record::cell::Outcome;
use sequence::{Budget, Fit, Outcome as Ending, StopRule};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::gradient_by_lag::{LOG_GRADIENT, norms_at, quantile};
use super::staircase::nearest_first;
use super::trained::{first_examples, test_rows};
use super::untrained::untrained;
use super::{
    CellContext, Costs, FIT, MeasurementEntry, RATE, SOLVED_EVALUATIONS, Schedule, TEST, VALIDATION, Yield,
    Yielded, curve, row, task_entry,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{complete, defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "gradient-and-training",
    summary: "the gradient from a distance before training, and whether training at any rate solves the task",
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

/// The key that names a setting of the task, which a plan checks.
pub(crate) const DISTANCE: &str = "distance";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// The task setting that says how many positions back the gradient is taken.
    distance: String,
    /// Rates at which it trains, until one solves the task.
    rates: Vec<f64>,
    /// Updates at most, at each rate.
    updates: u64,
    /// Validation every so many updates.
    evaluate_every: u64,
    /// Sequences that the median is taken over.
    sequences: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            distance: "lag".to_owned(),
            rates: vec![0.001, 0.003, 0.01],
            updates: 1000,
            evaluate_every: 50,
            sequences: 16,
        }
    }
}

/// What is left of the gradient by the last input, in powers of ten.
const LOG_SHARE: &str = "log10-gradient-share";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.updates == 0 || config.evaluate_every == 0 || config.sequences == 0 {
        return Err("`updates`, `evaluate-every` and `sequences` must be at least 1".to_owned());
    }
    if config.rates.is_empty() || !config.rates.iter().all(|rate| *rate > 0.0 && rate.is_finite()) {
        return Err("`rates` must be one positive number or more".to_owned());
    }
    if !facts.solvable {
        return Err(
            "whether training solves a task needs one that can be solved, and this one cannot".to_owned()
        );
    }
    Ok(())
}

fn yields(_: &Settings, facts: &Facts) -> Vec<Yielded> {
    let mut all: Vec<Yielded> =
        [LOG_GRADIENT, LOG_SHARE, "solved"].map(|metric| Yielded::new(TEST, metric)).into();
    all.push(Yielded::new(VALIDATION, facts.primary()));
    let fit = ["updates-to-solve", RATE, "updates", "multiply-adds", "body-parameters", "total-parameters"];
    all.extend(fit.map(|metric| Yielded::new(FIT, metric)));
    for metric in &facts.metrics {
        all.extend(facts.test_sets.iter().map(|set| Yielded::new(set, *metric)));
    }
    all
}

/// The probe costs about a sixth of a test of the whole task. Whether a cell solves its task is not known: as measured, a
/// try that does takes a quarter of its updates, and half of the cells solve theirs.
fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let cost = cost(&Settings::new());
    let one_try =
        config.updates as f64 * (cost.update + cost.validation / config.evaluate_every.max(1) as f64);
    0.5 * (config.rates.len() as f64 + 0.25) * one_try + cost.test * (1.0 + 1.0 / 6.0)
}

/// The distance as the cell's task has it.
fn distance(context: &CellContext, key: &str) -> Result<usize, ExperimentError> {
    let task = &context.cell.task;
    let settings = complete(&(task_entry(&task.name)?.defaults)(), &task.settings);
    let found = settings.get(key).and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok());
    found.ok_or_else(|| {
        let known: Vec<&str> = settings.keys().map(String::as_str).collect();
        let message = match settings.get(key) {
            Some(value) => format!("setting `{key}` is {value}, and not a number of positions"),
            None => record::definition::unknown("setting", key, &known),
        };
        ExperimentError::Cell(format!("`{DISTANCE}`: task `{}`: {message}", task.name))
    })
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let seed = context.cell.seed;
    let tests = task.test(seed);
    let mut rows = Vec::new();

    let lag = distance(context, &config.distance)?;
    let batch = first_examples(&tests, config.sequences);
    let norms = untrained(context, &none)?.input_gradients(&batch, 1.0, seed).ok_or_else(|| {
        ExperimentError::Cell(format!("model `{}` has no gradients to measure", context.cell.model.name))
    })?;
    let median = |lag| {
        quantile(&norms_at(&batch, &norms, lag), 0.5).ok_or_else(|| {
            ExperimentError::Cell(format!("`{DISTANCE}`: no test sequence reaches {lag} positions back"))
        })
    };
    // What is smaller than a double can be counts as the smallest.
    let log = |value: f64| value.max(f64::MIN_POSITIVE).log10();
    let (far, near) = (log(median(lag)?), log(median(0)?));
    rows.push(row(&none, TEST, LOG_GRADIENT, Outcome::Ok, far));
    rows.push(row(&none, TEST, LOG_SHARE, Outcome::Ok, far - near));

    let larger_is_better = task.larger_is_better();
    let (mut updates, mut multiply_adds) = (0, 0);
    let mut best: Option<(Fit, f64)> = None;
    for index in nearest_first((config.rates.len() - 1) / 2, config.rates.len()) {
        let rate = config.rates[index];
        let learner = context.learner(&none, Some(rate))?;
        let budget = Budget { updates: config.updates, evaluate_every: config.evaluate_every };
        let stop = StopRule::Solved { evaluations: SOLVED_EVALUATIONS };
        let fit = context.fit(task.as_ref(), learner.as_ref(), budget, stop, None)?;
        updates += fit.updates;
        multiply_adds += fit.multiply_adds;
        let solved = matches!(fit.outcome, Ending::Solved { .. });
        let better = |other: f64| {
            let this = fit.best_validation;
            other.is_nan() || if larger_is_better { this > other } else { this < other }
        };
        if solved || best.as_ref().is_none_or(|(other, _)| better(other.best_validation)) {
            best = Some((fit, rate));
        }
        if solved {
            break;
        }
    }
    let (fit, rate) = best.expect("a definition names a rate or more");

    let (outcome, solved) = match fit.outcome {
        Ending::Solved { updates } => (Outcome::Ok, Some(updates)),
        Ending::Finished => (Outcome::NotSolved, None),
        Ending::Diverged { .. } => (Outcome::Diverged, None),
    };
    let primary = Facts::of(task.as_ref(), seed, 1).primary();
    rows.push(row(&none, TEST, "solved", outcome, f64::from(u8::from(solved.is_some()))));
    rows.push(row(&none, VALIDATION, primary, outcome, fit.best_validation));
    // A run that did not solve the task took at least its whole budget.
    rows.push(row(&none, FIT, "updates-to-solve", outcome, solved.unwrap_or(config.updates) as f64));
    rows.push(row(&none, FIT, RATE, outcome, rate));
    rows.extend(test_rows(task.as_ref(), fit.predictor.as_ref(), &tests, outcome));
    rows.push(row(&none, FIT, "updates", Outcome::Ok, updates as f64));
    rows.push(row(&none, FIT, "multiply-adds", Outcome::Ok, multiply_adds as f64));
    rows.push(row(&none, FIT, "body-parameters", Outcome::Ok, fit.predictor.body_parameters() as f64));
    rows.push(row(&none, FIT, "total-parameters", Outcome::Ok, fit.predictor.total_parameters() as f64));
    let outcome = if outcome == Outcome::NotSolved { Outcome::Ok } else { outcome };
    Ok(Yield { outcome, message: None, rows, curve: curve(&none, &fit), step_seconds: Vec::new() })
}

#[cfg(test)]
mod tests {
    use record::cell::{Cell, CellRecord, Component};
    use serde_json::json;

    use super::*;

    /// What a cell of a small RNN on recall over 5 steps yields by a measurement.
    fn computed(measurement: &str, settings: &Value) -> CellRecord {
        let entry = super::super::measurement(measurement).unwrap();
        let component = |name: &str, version, settings: &Value| Component {
            name: name.to_owned(),
            version,
            settings: serde_json::from_value(settings.clone()).unwrap(),
        };
        let cell = Cell {
            task: component("first-cue-recall", 1, &json!({"lag": 5})),
            model: component("rnn", 1, &json!({})),
            measurement: component(entry.name, entry.version, settings),
            ..crate::testing::planned_cell(3).cell
        };
        let folder = tempfile::tempdir().unwrap();
        crate::compute(&cell, &crate::testing::workspace(folder.path()))
    }

    fn value(record: &CellRecord, split: &str, metric: &str) -> f64 {
        let found = record.rows.iter().find(|row| row.split == split && row.metric == metric);
        found.unwrap_or_else(|| panic!("{metric} on {split}: {:?}", record.message)).value
    }

    #[test]
    fn the_gradient_is_that_of_the_untrained_network_and_training_tries_every_rate() {
        let both = computed("gradient-and-training", &json!({"updates": 3, "evaluate-every": 1}));
        let alone = computed("gradient-by-lag", &json!({"from": 1, "to": 5, "lags": [0, 5]}));
        let far = value(&alone, "test@5", LOG_GRADIENT);
        assert_eq!(value(&both, TEST, LOG_GRADIENT), far);
        assert_eq!(value(&both, TEST, LOG_SHARE), far - value(&alone, "test@0", LOG_GRADIENT));
        // Three updates solve nothing at any of three rates.
        assert_eq!((value(&both, TEST, "solved"), value(&both, FIT, "updates")), (0.0, 9.0));
        assert_eq!(both.outcome, Outcome::Ok);
        let wrong = computed("gradient-and-training", &json!({"distance": "lags"}));
        let message = wrong.message.unwrap_or_default();
        assert!(message.contains("unknown setting `lags`, did you mean `lag`?"), "{message}");
    }

    #[test]
    fn what_cannot_be_tried_is_refused() {
        let facts = crate::testing::facts();
        let refusal = |key: &str, value: Value, facts: &Facts| {
            check(&Settings::from([(key.to_owned(), value)]), facts).unwrap_err()
        };
        assert!(check(&Settings::new(), &facts).is_ok());
        assert!(
            refusal("rates", serde_json::json!([]), &facts).contains("`rates` must be one positive number")
        );
        assert!(refusal("rates", serde_json::json!([0.0]), &facts).contains("`rates` must be"));
        assert!(refusal("updates", 0.into(), &facts).contains("at least 1"));
        let unsolvable = Facts { solvable: false, ..facts.clone() };
        assert!(refusal("updates", 5.into(), &unsolvable).contains("can be solved"));
    }
}
