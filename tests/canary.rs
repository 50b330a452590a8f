//! Canaries: what each model makes of each task in 20 updates.
//!
//! A stored cell is reused as long as the versions of its task, model and measurement are the same. If the code
//! changes what a cell yields and no version was raised, a canary moves, and this test fails.

use std::collections::BTreeMap;
use std::fmt::Write;

use data::{Corpora, TASKS, TaskEntry};
use experiment::{Code, Host, Machine, Workspace, compute};
use models::{MODELS, ModelEntry};
use record::Settings;
use record::cell::{Cell, Component, Outcome, SCHEMA, Size};
use record::claims::Register;
use record::spelled::spell;
use sequence::Stopwatch;
use serde_json::json;

use crate::support;

const HEADER: &str = "model,model_version,task,task_version,value";
/// Another processor may round differently, and 20 updates amplify that a little.
const TOLERANCE: f64 = 1e-4;

struct Stopped;

impl Stopwatch for Stopped {
    fn wall_seconds(&self) -> f64 {
        0.0
    }
    fn processor_seconds(&self) -> f64 {
        0.0
    }
}

impl Machine for Stopped {}

fn workspace() -> Workspace {
    let nowhere = || support::root().join("nowhere");
    Workspace {
        definitions: nowhere(),
        results: nowhere(),
        state: nowhere(),
        pytorch_steps: nowhere(),
        corpora: Corpora { search: Vec::new(), cache: nowhere() },
        claims: Register { claims: Vec::new() },
        code: Code { version: String::new(), revision: String::new(), dirty: false },
        host: Host {
            processor: String::new(),
            caches: String::new(),
            instruction_set: String::new(),
            device: "flex".to_owned(),
            cores: 1,
            memory_bytes: 0,
        },
        machine: Box::new(Stopped),
    }
}

/// The training loss of updates 11 to 20 if the model suits the task, or the primary validation score of a model that
/// counts.
fn canary(model: &ModelEntry, task: &TaskEntry, workspace: &Workspace) -> Option<f64> {
    let component = |name: &str, version, settings| Component { name: name.to_owned(), version, settings };
    let train = experiment::measurement("train").unwrap();
    let settings =
        Settings::from([("updates".to_owned(), json!(20)), ("evaluate-every".to_owned(), json!(10))]);
    let cell = Cell {
        schema: SCHEMA,
        task: component(task.name, task.version, Settings::new()),
        data: None,
        model: component(model.name, model.version, Settings::new()),
        size: Size { width: 8, body_parameters: None },
        training: Settings::from([("batch".to_owned(), json!(4))]),
        measurement: component(train.name, train.version, settings),
        seed: 7,
    };
    let record = compute(&cell, workspace);
    let score = record.rows.iter().find(|row| row.split == "validation").map(|row| row.value);
    let unsuitable = record.outcome == Outcome::Failed;
    assert_eq!(score.is_none(), unsuitable, "{} on {}: {:?}", model.name, task.name, record.message);
    let loss = record.curve.last().map(|point| point.training_loss).filter(|loss| loss.is_finite());
    loss.or(score)
}

/// Canaries by model and task, with versions.
type Canaries = BTreeMap<(String, u32, String, u32), f64>;

fn read(text: &str) -> Canaries {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let version = |field: &str| field.parse().unwrap();
        let key = (fields[0].to_owned(), version(fields[1]), fields[2].to_owned(), version(fields[3]));
        (key, fields[4].parse().unwrap())
    };
    text.lines().skip(1).map(row).collect()
}

/// Canaries that moved although the versions stayed. New ones and those of new versions did not move.
fn moved(before: &Canaries, now: &Canaries) -> Vec<String> {
    let far = |one: f64, other: f64| (one - other).abs() > TOLERANCE * one.abs().max(1.0);
    before
        .iter()
        .filter_map(|(key, value)| Some((key, *value, *now.get(key)?)))
        .filter(|&(_, before, now)| far(before, now) || before.is_nan() != now.is_nan())
        .map(|((model, _, task, _), before, now)| format!("{model} on {task}: {before} became {now}"))
        .collect()
}

#[test]
fn no_canary_moves_without_a_new_version() {
    let workspace = workspace();
    let mut now = Canaries::new();
    for task in TASKS.iter().filter(|task| (task.corpus)(&(task.defaults)()).is_none()) {
        for model in MODELS {
            if let Some(value) = canary(model, task, &workspace) {
                now.insert((model.name.to_owned(), model.version, task.name.to_owned(), task.version), value);
            }
        }
    }
    let mut text = format!("{HEADER}\n");
    for ((model, model_version, task, task_version), value) in &now {
        writeln!(text, "{model},{model_version},{task},{task_version},{}", spell(*value)).unwrap();
    }
    let path = support::root().join("tests/canary.csv");
    if support::bless() {
        std::fs::write(&path, &text).unwrap();
    }
    let before = read(&std::fs::read_to_string(&path).unwrap_or_default());
    let moved = moved(&before, &now);
    assert!(moved.is_empty(), "raise a version, then run with SEQLAB_BLESS=1:\n{}\n", moved.join("\n"));
    let missing: Vec<_> = now.keys().filter(|key| !before.contains_key(*key)).collect();
    assert!(missing.is_empty(), "not in tests/canary.csv, run with SEQLAB_BLESS=1: {missing:?}");
}

#[test]
fn a_canary_that_moves_is_found() {
    let key = |version| ("lstm".to_owned(), version, "adding".to_owned(), 1);
    let before = Canaries::from([(key(1), 0.5)]);
    assert_eq!(moved(&before, &Canaries::from([(key(1), 0.500_01)])), [""; 0]);
    assert_eq!(moved(&before, &Canaries::from([(key(1), 0.501)])).len(), 1);
    assert_eq!(moved(&before, &Canaries::from([(key(1), f64::NAN)])).len(), 1);
    assert_eq!(moved(&before, &Canaries::from([(key(2), 0.9)])), [""; 0]);
}
