//! The classifiers that count against scikit-learn, by the fixtures that `fixtures/classifiers.py` wrote: log-probabilities of naive
//! Bayes and of discriminant analysis to 1e-8 and 1e-4, of logistic regression, which both sides minimise, to 1e-4,
//! and the scores of the support vector machine to 1e-5.

use std::collections::BTreeMap;

use sequence::{
    Batch, Column, Dataset, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Score, Stopwatch,
    Targets, Task, TestSet,
};
use sequence::{Budget, Run, StopRule};
use serde_json::{Value, json};
use training::TrainingConfig;

use crate::examples::{ExampleInputs, Examples, Rows};
use crate::naive_bayes::{Event, NaiveBayes, NaiveBayesConfig};
use crate::{Size, model};

/// A fixture as a task: what is learnt is its training set, what is answered its test examples.
struct Case {
    columns: Vec<Column>,
    training: Batch,
    classes: usize,
}

/// Padded at the end; a row of features is one position.
fn batch(examples: &Value, labels: &[u32], columns: usize) -> Batch {
    if columns > 0 {
        let flat = |value: &Value| match value.as_array() {
            Some(row) => row.iter().map(|entry| entry.as_f64().unwrap()).collect(),
            None => vec![value.as_f64().unwrap()],
        };
        let values: Vec<f64> = examples.as_array().unwrap().iter().flat_map(flat).collect();
        let size = values.chunks(columns).count();
        #[expect(clippy::cast_possible_truncation, reason = "features are f32")]
        return Batch {
            size,
            time: 1,
            inputs: Inputs::Features {
                width: columns,
                values: values.iter().map(|value| *value as f32).collect(),
            },
            source: None,
            targets: Targets::Classes(labels.to_vec()),
            loss_mask: vec![true; size],
            lengths: vec![1; size],
        };
    }
    let sequences: Vec<Vec<u32>> = serde_json::from_value(examples.clone()).unwrap();
    let time = sequences.iter().map(Vec::len).max().unwrap();
    let mut tokens = vec![0; sequences.len() * time];
    let mut classes = vec![0; tokens.len()];
    let mut loss_mask = vec![false; tokens.len()];
    for (row, sequence) in sequences.iter().enumerate() {
        tokens[row * time..][..sequence.len()].copy_from_slice(sequence);
        let last = row * time + sequence.len() - 1;
        classes[last] = labels[row];
        loss_mask[last] = true;
    }
    Batch {
        size: sequences.len(),
        time,
        inputs: Inputs::Tokens(tokens),
        source: None,
        targets: Targets::Classes(classes),
        loss_mask,
        lengths: sequences.iter().map(Vec::len).collect(),
    }
}

impl Task for Case {
    fn name(&self) -> &'static str {
        "case"
    }
    fn version(&self) -> u32 {
        1
    }
    fn interface(&self) -> Interface {
        let inputs = match &self.training.inputs {
            Inputs::Tokens(_) => InputKind::Tokens { vocabulary: 12 },
            Inputs::Features { width, .. } => InputKind::Features { width: *width },
        };
        let maximum_time = self.training.time;
        Interface { inputs, outputs: self.classes, loss: LossKind::CrossEntropy, maximum_time }
    }
    fn training_batch(&self, _: u64, _: u64, _: usize) -> Batch {
        self.training.clone()
    }
    fn validation(&self, _: u64) -> Vec<Batch> {
        vec![self.training.clone()]
    }
    fn test(&self, _: u64) -> Vec<TestSet> {
        Vec::new()
    }
    fn scores(&self, _: &[Batch], _: &[Predictions]) -> Vec<Score> {
        vec![Score { metric: "none", value: 0.0, count: 1 }]
    }
    fn larger_is_better(&self) -> bool {
        true
    }
    fn solved_at(&self) -> Option<f64> {
        None
    }
    fn floors(&self) -> Vec<Floor> {
        Vec::new()
    }
    fn training_set(&self, _: u64) -> Option<Vec<Batch>> {
        Some(vec![self.training.clone()])
    }
    fn columns(&self) -> Option<Vec<Column>> {
        Some(self.columns.clone())
    }
}

struct NoClock;

impl Stopwatch for NoClock {
    fn wall_seconds(&self) -> f64 {
        0.0
    }
    fn processor_seconds(&self) -> f64 {
        0.0
    }
}

/// What the columns of a case hold: three of categories, four of real numbers, or none where it has symbols.
fn columns_of(case: &Value) -> Vec<Column> {
    if case.get("categorical").is_some() {
        vec![Column::Category { levels: 4 }; 3]
    } else if case.get("gaussian").is_some() {
        vec![Column::Real; 4]
    } else {
        Vec::new()
    }
}

/// What a model answers for the test examples of a fixture, at the last position of each.
fn answers(name: &str, settings: &Value, case: &Value) -> Vec<f32> {
    let labels: Vec<u32> = serde_json::from_value(case["labels"].clone()).unwrap();
    let classes = *labels.iter().max().unwrap() as usize + 1;
    let columns = columns_of(case);
    let width = columns.len();
    let task = Case { columns, training: batch(&case["training"], &labels, width), classes };
    let size = Size { width: 8, body_parameters: None };
    let learner = (model(name).unwrap().build)(settings, &TrainingConfig::default(), &size).unwrap();
    let budget = Budget { updates: 1, evaluate_every: 1 };
    let mut run = Run { budget, stop: StopRule::Budget, seed: 1, stopwatch: &NoClock, observer: None };
    let fit = learner.fit(&Dataset::new(&task, 1, 4), &mut run).unwrap();
    let test = batch(&case["test"], &labels, width);
    let predictions = fit.predictor.predict(&test);
    (0..test.size).flat_map(|row| predictions.at((row + 1) * test.time - 1).to_vec()).collect()
}

#[test]
fn log_probabilities_are_those_of_scikit_learn() {
    let cases: BTreeMap<String, Value> =
        serde_json::from_str(include_str!("../fixtures/classifiers.json")).unwrap();
    let naive = |event: &str| json!({"smoothing": 0.5, "prior-smoothing": 0.0, "event": event, "counts": event == "multinomial"});
    let logistic = |penalty: f64| json!({"penalty": penalty, "counts": true, "tolerance": 1e-9});
    let lasso = json!({"penalty": 1.0, "norm": "l1", "counts": true, "tolerance": 1e-9});
    let models: &[(&str, &str, Value, f32)] = &[
        // Answers are rounded to f32; the next test looks at naive Bayes before that.
        ("multinomial", "naive-bayes", naive("multinomial"), 1e-6),
        ("bernoulli", "naive-bayes", naive("bernoulli"), 1e-6),
        ("categorical", "naive-bayes", naive("multinomial"), 1e-6),
        ("gaussian", "naive-bayes", naive("multinomial"), 1e-6),
        ("shared covariance", "gaussian-discriminant", json!({"ridge": 1e-12}), 1e-5),
        ("logistic 1", "logistic-regression", logistic(1.0), 1e-4),
        ("logistic 0.01", "logistic-regression", logistic(0.01), 1e-4),
        ("logistic 0", "logistic-regression", logistic(0.0), 1e-4),
        ("logistic l1 1", "logistic-regression", lasso, 1e-4),
        (
            "support vector machine",
            "support-vector-machine",
            json!({"cost": 0.5, "counts": true, "tolerance": 1e-9}),
            1e-5,
        ),
    ];
    let mut compared = 0;
    for (name, case) in &cases {
        for (expected, model, settings, tolerance) in models {
            let Some(theirs) = case.get(*expected) else { continue };
            let mut settings = settings.clone();
            if *expected == "categorical" || *expected == "gaussian" {
                settings["counts"] = false.into();
            }
            let theirs: Vec<f32> = serde_json::from_value(theirs.clone()).unwrap();
            let ours = answers(model, &settings, case);
            assert_eq!(ours.len(), theirs.len(), "{name}: {expected}");
            for (index, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                assert!(
                    (a - b).abs() <= tolerance * (1.0 + b.abs()),
                    "{name}: {expected}[{index}]: {a}, theirs {b}"
                );
            }
            compared += 1;
        }
    }
    // Six classifiers on each of two sets of symbols and of real numbers, and two on categories.
    assert_eq!(compared, 26);
}

#[test]
fn naive_bayes_is_that_of_scikit_learn_to_eight_places() {
    let cases: BTreeMap<String, Value> =
        serde_json::from_str(include_str!("../fixtures/classifiers.json")).unwrap();
    let mut compared = 0;
    for (name, case) in &cases {
        let labels: Vec<usize> = serde_json::from_value(case["labels"].clone()).unwrap();
        let classes = labels.iter().max().unwrap() + 1;
        let flat = |value: &Value| -> Vec<f64> {
            let entries = value.as_array().unwrap().iter();
            entries
                .flat_map(|entry| entry.as_array().cloned().unwrap_or_else(|| vec![entry.clone()]))
                .map(|entry| entry.as_f64().unwrap())
                .collect()
        };
        let columns = columns_of(case);
        let inputs = |value: &Value| match columns.len() {
            0 => ExampleInputs::Symbols(serde_json::from_value(value.clone()).unwrap()),
            width => ExampleInputs::Rows(Rows { width, values: flat(value) }),
        };
        let examples =
            Examples { inputs: inputs(&case["training"]), columns: columns.clone(), labels, classes };
        for expected in ["multinomial", "bernoulli", "categorical", "gaussian"] {
            let Some(theirs) = case.get(expected) else { continue };
            let theirs: Vec<f64> = serde_json::from_value(theirs.clone()).unwrap();
            let (event, counts) = match expected {
                "multinomial" => (Event::Multinomial, true),
                _ => (Event::Bernoulli, false),
            };
            let config = NaiveBayesConfig {
                smoothing: 0.5,
                prior_smoothing: 0.0,
                event,
                counts,
                ..NaiveBayesConfig::default()
            };
            let ours =
                NaiveBayes { config }.count(&examples).log_probabilities(&inputs(&case["test"])).concat();
            assert_eq!(ours.len(), theirs.len(), "{name}: {expected}");
            for (a, b) in ours.iter().zip(&theirs) {
                assert!((a - b).abs() <= 1e-8, "{name}: {expected}: {a}, theirs {b}");
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 7);
}
