//! What cross-validation does to a model: nothing when it estimates, something when it selects.
//!
//! The model is fitted to all training rows. Then its error is estimated by k-fold cross-validation (Stone 1974), and it is fitted to all rows
//! once more: `predictions-changed` counts the answers for test examples that are not bit for bit what they were. Then cross-validation
//! selects among the rising `values` of a `setting` of the model, and the selected one is fitted to all rows: its test error beside that of the model
//! as the definition sets it is what selecting gained, and its own estimate, the least of several, shows how far that flatters.

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Predictor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::part::{Part, error, fold_random, folds, training_rows};
use super::validation_curve::check_values;
use super::{
    CellContext, Costs, MeasurementEntry, Schedule, TEST, VALIDATION, Yield, Yielded, build_learner, counted,
    row,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "cross-validation",
    summary: "what a model is before and after cross-validation estimates its error, and after it selects a setting",
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

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Folds.
    folds: usize,
    /// The setting of the model that is selected.
    setting: String,
    /// Its values, rising.
    values: Vec<Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self { folds: 10, setting: String::new(), values: Vec::new() }
    }
}

const ERROR: &str = "error";
const TRAINING: &str = "training-error";
/// Test error after estimating less that before.
const CHANGE: &str = "error-change";
const CHANGED: &str = "predictions-changed";
const ESTIMATE: &str = "estimate";
/// Estimate less test error.
const OFF: &str = "estimate-less-error";
const SELECTED: &str = "error-when-selected";
const GAIN: &str = "gain-of-selection";
const SELECTED_ESTIMATE: &str = "estimate-when-selected";
const FLATTERED: &str = "estimate-less-error-when-selected";
const VALUE: &str = "selected-value";
const METRICS: [&str; 11] =
    [ERROR, TRAINING, CHANGE, CHANGED, ESTIMATE, OFF, SELECTED, GAIN, SELECTED_ESTIMATE, FLATTERED, VALUE];

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.folds < 2 {
        return Err("`folds` must be 2 at least".to_owned());
    }
    if facts.time != 1 {
        return Err("it needs a task whose examples are rows of features".to_owned());
    }
    check_values(&config.setting, &config.values)
}

fn yields(_: &Settings, _: &Facts) -> Vec<Yielded> {
    let mut all: Vec<Yielded> = METRICS.map(|metric| Yielded::new(TEST, metric)).into();
    all.push(Yielded::new(VALIDATION, ERROR));
    all
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let fits = (config.values.len() + 1) * config.folds + 3;
    fits as f64 * cost(&Settings::new()).validation
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let task = task.as_ref();
    let seed = context.cell.seed;
    let training = training_rows(task, seed)?;
    if training.size < config.folds {
        let message = format!("{} examples cannot be cut into {} folds", training.size, config.folds);
        return Err(ExperimentError::Cell(message));
    }
    let tests: Vec<Batch> =
        task.test(seed).into_iter().filter(|set| set.name == TEST).flat_map(|set| set.batches).collect();
    let folds = folds(training.size, config.folds, &mut fold_random(seed));
    let whole = Part::new(task, training.clone(), None);
    let learner = context.learner(&none, None)?;

    let before = context.fit_to(&whole, learner.as_ref(), seed)?.predictor;
    let estimate = context.cross_validated(task, learner.as_ref(), &training, &folds, None)?;
    let after = context.fit_to(&whole, learner.as_ref(), seed)?.predictor;
    let (error_before, examples) = error(task, before.as_ref(), &tests);
    let error_after = error(task, after.as_ref(), &tests).0;

    let mut best: Option<(f64, f64, Box<dyn Predictor>)> = None;
    for value in &config.values {
        let mut cell = context.cell.clone();
        cell.model.settings.insert(config.setting.clone(), value.clone());
        let learner = build_learner(&cell, &none, None)?;
        let estimate = context.cross_validated(task, learner.as_ref(), &training, &folds, None)?;
        if best.as_ref().is_none_or(|best| estimate < best.0) {
            let fit = context.fit_to(&whole, learner.as_ref(), seed)?;
            best = Some((estimate, value.as_f64().unwrap_or(f64::NAN), fit.predictor));
        }
    }
    let (least, value, selected) =
        best.ok_or_else(|| ExperimentError::Cell("`values` is empty".to_owned()))?;
    let error_selected = error(task, selected.as_ref(), &tests).0;

    let numbers = [
        error_before,
        error(task, before.as_ref(), &[training]).0,
        error_after - error_before,
        changed(before.as_ref(), after.as_ref(), &tests) as f64,
        estimate,
        estimate - error_before,
        error_selected,
        error_before - error_selected,
        least,
        least - error_selected,
        value,
    ];
    let of_examples = [ERROR, SELECTED];
    let mut rows: Vec<_> = METRICS
        .iter()
        .zip(numbers)
        .map(|(metric, value)| {
            let examples = if of_examples.contains(metric) { examples } else { 0 };
            counted(&none, TEST, metric, Outcome::Ok, value, examples)
        })
        .collect();
    let validated = error(task, before.as_ref(), &task.validation(seed)).0;
    rows.push(row(&none, VALIDATION, ERROR, Outcome::Ok, validated));
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

/// For how many examples two predictors do not give the same bits.
fn changed(one: &dyn Predictor, other: &dyn Predictor, batches: &[Batch]) -> usize {
    let differing = |batch: &Batch| {
        let (one, other) = (one.predict(batch), other.predict(batch));
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let pairs = one.values.chunks(one.outputs).zip(other.values.chunks(other.outputs));
        pairs.filter(|(one, other)| bits(one) != bits(other)).count()
    };
    batches.iter().map(differing).sum()
}

#[cfg(test)]
mod tests {
    use sequence::{Inputs, Predictions, Targets};

    use super::*;

    /// Answers a number for the first example and 0 for all others.
    struct First(f32);

    impl Predictor for First {
        fn predict(&self, batch: &Batch) -> Predictions {
            let values = (0..batch.size).map(|row| if row == 0 { self.0 } else { 0.0 }).collect();
            Predictions { outputs: 1, values }
        }

        fn body_parameters(&self) -> usize {
            0
        }

        fn total_parameters(&self) -> usize {
            0
        }
    }

    #[test]
    fn changed_answers_are_counted() {
        let batch = Batch {
            size: 3,
            time: 1,
            inputs: Inputs::Features { width: 1, values: vec![0.0; 3] },
            source: None,
            targets: Targets::Values(vec![0.0; 3]),
            loss_mask: vec![true; 3],
            lengths: vec![1; 3],
        };
        let batches = [batch.clone(), batch];
        assert_eq!(changed(&First(1.0), &First(1.0), &batches), 0);
        assert_eq!(changed(&First(1.0), &First(1.0 + f32::EPSILON), &batches), 2);
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let facts = Facts { time: 1, ..crate::testing::facts() };
        let of = |folds: u64| {
            Settings::from([
                ("folds".to_owned(), folds.into()),
                ("setting".to_owned(), "depth".into()),
                ("values".to_owned(), vec![1, 2].into()),
            ])
        };
        assert!(check(&of(5), &facts).is_ok());
        assert!(check(&of(1), &facts).unwrap_err().contains("`folds`"));
        assert!(check(&of(5), &Facts { time: 2, ..facts }).unwrap_err().contains("rows of features"));
    }
}
