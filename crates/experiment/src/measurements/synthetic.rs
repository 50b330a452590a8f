//! What examples that a model draws are worth to another model that learns from them.
//!
//! The cell's model is fitted to the training set and nothing else. It draws `samples` examples with their classes, and a second model, the
//! `classifier`, learns from five training sets in turn: the real examples, the drawn ones, both together, and for comparison as many copies of real examples as were
//! drawn (a bootstrap), alone and with the real ones. All are tested on the same new real examples. An excess is the error less that after
//! the real examples: above 0 drawn examples are worth less. Beside it stands the error of the drawing model itself, where it classifies.
//!
//! Whatever is drawn was in the real examples or in what the drawing model assumes; copies have no assumption.

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Inputs, Learner, Random, Stream, Targets};
use serde::{Deserialize, Serialize};

use super::part::{Part, error, joined, rows, training_rows};
use super::{
    CellContext, Costs, MeasurementEntry, Schedule, TEST, Yield, Yielded, counted, model_entry, row,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse, table};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "synthetic",
    summary: "the error of a second model that learns from examples which the first draws",
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
    /// The model that learns from what is drawn: one that fits a whole training set.
    classifier: String,
    /// Its version, for which the definition was written.
    classifier_version: u32,
    /// Its settings that differ from the defaults.
    with: Settings,
    /// Examples drawn.
    samples: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { classifier: String::new(), classifier_version: 0, with: Settings::new(), samples: 2000 }
    }
}

/// The training sets, the real one first.
const SETS: [&str; 5] = ["real", "synthetic", "both", "copies", "both-copies"];
const ERROR: &str = "error-";
const EXCESS: &str = "excess-";
/// Of the model that draws.
const OWN: &str = "error-own";
/// By how much drawn examples beside the real ones leave a lower error than copies do.
const OVER_COPIES: &str = "both-over-both-copies";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.classifier.is_empty() {
        return Err("`classifier` must name the model that learns from what is drawn".to_owned());
    }
    if config.samples == 0 {
        return Err("`samples` must be at least 1".to_owned());
    }
    if facts.time != 1 || facts.outputs < 2 {
        return Err("it needs a task of rows in classes, and this is another one".to_owned());
    }
    learner(&config, 8).map(|_| ())
}

/// The model that learns from what is drawn.
fn learner(config: &Config, width: usize) -> Result<Box<dyn Learner>, String> {
    let entry = model_entry(&config.classifier).map_err(|error| format!("`classifier`: {error}"))?;
    if entry.reads != models::Reads::TrainingSet {
        return Err(format!(
            "`classifier`: `{}` does not fit a whole training set, which is what is drawn",
            entry.name
        ));
    }
    if entry.version != config.classifier_version {
        return Err(format!(
            "`classifier`: `{}` is version {} now: see what changed, then set `classifier-version = {}`",
            entry.name, entry.version, entry.version
        ));
    }
    let size = models::Size { width, body_parameters: None };
    (entry.build)(&table(&config.with), &training::TrainingConfig::default(), &size)
        .map_err(|error| format!("`with`: {error}"))
}

fn yields(_: &Settings, _: &Facts) -> Vec<Yielded> {
    let of_set = |set: &&str| [format!("{ERROR}{set}"), format!("{EXCESS}{set}")];
    let metrics = SETS.iter().flat_map(of_set).chain([OWN.to_owned(), OVER_COPIES.to_owned()]);
    metrics.map(|metric| Yielded::new(TEST, metric)).collect()
}

fn seconds(_: &Settings, cost: &Costs) -> f64 {
    let cost = cost(&Settings::new());
    6.0 * (cost.validation + cost.test)
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let seed = context.cell.seed;
    let task = context.task(&none)?;
    let task = task.as_ref();
    let real = training_rows(task, seed)?;
    let drawing = context.learner(&none, None)?;
    let drawing = context.fit_to(&Part::new(task, real.clone(), None), drawing.as_ref(), seed)?;
    let drawn = drawing.predictor.generative().and_then(|generative| {
        let samples = generative.sample(config.samples, &mut Random::new(seed, Stream::Sampling));
        Some(with_classes(&real, samples.values, samples.classes?))
    });
    let drawn = drawn.ok_or_else(|| {
        let message =
            format!("model `{}` does not draw examples with their classes", context.cell.model.name);
        ExperimentError::Cell(message)
    })?;
    let mut order = Random::new(seed, Stream::Order);
    let copied: Vec<usize> = (0..config.samples).map(|_| order.index(real.size)).collect();
    let copies = rows(&real, &copied, None);
    let tests: Vec<Batch> =
        task.test(seed).into_iter().filter(|set| set.name == TEST).flat_map(|set| set.batches).collect();

    let classifier = learner(&config, context.cell.size.width).map_err(ExperimentError::Cell)?;
    let both = |other: &Batch| joined(&[real.clone(), other.clone()]).unwrap_or_else(|| real.clone());
    let sets = [real.clone(), drawn.clone(), both(&drawn), copies.clone(), both(&copies)];
    let mut errors = Vec::new();
    for set in sets {
        let fit = context.fit_to(&Part::new(task, set, None), classifier.as_ref(), seed)?;
        errors.push(error(task, fit.predictor.as_ref(), &tests));
    }
    let mut found = Vec::new();
    for (set, &(value, count)) in SETS.iter().zip(&errors) {
        found.push(counted(&none, TEST, &format!("{ERROR}{set}"), Outcome::Ok, value, count));
        found.push(row(&none, TEST, &format!("{EXCESS}{set}"), Outcome::Ok, value - errors[0].0));
    }
    let (own, count) = error(task, drawing.predictor.as_ref(), &tests);
    found.push(counted(&none, TEST, OWN, Outcome::Ok, own, count));
    found.push(row(&none, TEST, OVER_COPIES, Outcome::Ok, errors[4].0 - errors[2].0));
    Ok(Yield {
        outcome: Outcome::Ok,
        message: None,
        rows: found,
        curve: Vec::new(),
        step_seconds: Vec::new(),
    })
}

/// A batch of drawn rows, of the shape of another.
fn with_classes(like: &Batch, values: Vec<f32>, classes: Vec<u32>) -> Batch {
    let width = if let Inputs::Features { width, .. } = &like.inputs { *width } else { 1 };
    let size = classes.len();
    let batch = Batch {
        size,
        time: 1,
        inputs: Inputs::Features { width, values },
        source: None,
        targets: Targets::Classes(classes),
        loss_mask: vec![true; size],
        lengths: vec![1; size],
    };
    batch.assert_consistent();
    batch
}

#[cfg(test)]
mod tests {
    use record::cell::Component;
    use serde_json::{Value, json};

    use super::*;

    fn component(name: &str, settings: Value) -> Component {
        Component { name: name.to_owned(), version: 1, settings: serde_json::from_value(settings).unwrap() }
    }

    fn computed(model: &str, settings: Value) -> record::cell::CellRecord {
        let folder = tempfile::tempdir().unwrap();
        let workspace = crate::testing::workspace(folder.path());
        let mut cell = crate::testing::planned_cell(5).cell;
        cell.task = component(
            "gaussian-classes",
            json!({"examples": 40, "missing": 0.0, "features": 3, "informative": 3}),
        );
        cell.model = component(model, settings);
        cell.size.body_parameters = None;
        let classifier =
            json!({"classifier": "logistic-regression", "classifier-version": 1, "samples": 4000});
        cell.measurement = component("synthetic", classifier);
        crate::compute(&cell, &workspace)
    }

    #[test]
    fn what_is_learnt_from_drawn_examples_is_what_the_drawing_model_knows() {
        let record = computed("gaussian-discriminant", json!({}));
        assert_eq!(record.message, None);
        let found = |metric: &str| record.rows.iter().find(|row| row.metric == metric).unwrap().value;
        // From 4,000 examples of two normal classes logistic regression learns the boundary between them, up to about sqrt(3 / 4000).
        assert!((found("error-synthetic") - found("error-own")).abs() < 0.02);
        assert_eq!(found("excess-real"), 0.0);
        let excess = found("error-both") - found("error-real");
        assert!((found("excess-both") - excess).abs() < 1e-15);
        let over = found("error-both-copies") - found("error-both");
        assert!((found("both-over-both-copies") - over).abs() < 1e-15);
        // Forty examples say less than their distribution; the best error of three features a deviation apart is 0.193.
        assert!(found("error-real") > 0.17 && found("error-real") < 0.35, "{}", found("error-real"));
    }

    #[test]
    fn a_model_that_draws_nothing_is_named() {
        let record = computed("logistic-regression", json!({}));
        assert!(record.message.unwrap().contains("`logistic-regression` does not draw examples"));
    }

    #[test]
    fn a_classifier_that_cannot_learn_from_rows_is_refused() {
        let facts = Facts { outputs: 2, time: 1, ..crate::testing::facts() };
        let refusal = |settings: Value| {
            let settings: Settings = serde_json::from_value(settings).unwrap();
            check(&settings, &facts).unwrap_err()
        };
        assert!(refusal(json!({})).contains("`classifier` must name"));
        assert!(refusal(json!({"classifier": "lstm"})).contains("does not fit a whole training set"));
        assert!(refusal(json!({"classifier": "naive-bays"})).contains("naive-bayes"));
        let old = json!({"classifier": "naive-bayes", "classifier-version": 0});
        assert!(refusal(old).contains("set `classifier-version = 1`"));
        let wrong = json!({"classifier": "naive-bayes", "classifier-version": 1, "with": {"smooth": 1}});
        assert!(refusal(wrong).contains("`with`"));
        let none = json!({"classifier": "naive-bayes", "classifier-version": 1, "samples": 0});
        assert!(refusal(none).contains("`samples`"));
    }
}
