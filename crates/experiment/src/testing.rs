//! What the tests of this crate share: a clock that stands still, a tiny experiment, and parts made by hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use data::Corpora;
use record::Settings;
use record::cell::{Cell, CellRecord, Component, Cost, Outcome, SCHEMA, Size};
use record::claims::{Claim, Register};
use record::definition::Definition;
use sequence::{Floor, Stopwatch};

use crate::machine::{Load, Machine};
use crate::{Code, Facts, Host, PlannedCell, Stage, Workspace};

/// A clock that stands still, on a machine of which nothing is known.
pub(crate) struct Still;

impl Stopwatch for Still {
    fn wall_seconds(&self) -> f64 {
        0.0
    }

    fn processor_seconds(&self) -> f64 {
        0.0
    }
}

impl Machine for Still {
    fn peak_bytes(&self) -> u64 {
        0
    }

    fn load(&self) -> Option<Load> {
        None
    }
}

/// A clock that stands still, on a machine that others keep busy: a second more whenever it is asked.
#[derive(Default)]
pub(crate) struct Busy(AtomicU32);

impl Stopwatch for Busy {
    fn wall_seconds(&self) -> f64 {
        0.0
    }

    fn processor_seconds(&self) -> f64 {
        0.0
    }
}

impl Machine for Busy {
    fn load(&self) -> Option<Load> {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        Some(Load { busy_seconds: f64::from(asked), idle_seconds: 0.0 })
    }
}

/// A workspace whose folders all lie in `folder`.
pub(crate) fn workspace(folder: &Path) -> Workspace {
    let claim = Claim {
        id: "recall-is-learnt".to_owned(),
        theme: "T2 Long-range dependencies".to_owned(),
        priority: 1,
        claim: "recall is learnt".to_owned(),
        question: "is recall learnt?".to_owned(),
    };
    Workspace {
        definitions: folder.join("experiments"),
        results: folder.join("results"),
        state: folder.join(".seqlab"),
        pytorch_steps: folder.join("pytorch-steps.csv"),
        corpora: Corpora { search: Vec::new(), cache: folder.join("data") },
        claims: Register { claims: vec![claim], tables: Vec::new() },
        code: Code { version: "0.1.0".to_owned(), revision: "abc".to_owned(), dirty: false },
        host: Host {
            processor: "test".to_owned(),
            caches: String::new(),
            instruction_set: "portable".to_owned(),
            cores: 2,
            memory_bytes: 0,
        },
        machine: Box::new(Still),
    }
}

/// Recall of a cue at small lags by two small networks and a floor: one task that trains, one staircase, one timing.
pub(crate) const TINY: &str = r#"
title = "Tiny"
question = "Does everything run?"
why = "For tests."
version = 1
seeds = 2
budget = { core-seconds = 100 }
width = 8

[tuning]
rates = [0.003, 0.01]
seeds = 1
common-rate = 0.003
extensions = 1

[quick]
seeds = 1
models = ["rnn"]
tasks.recall = { lag = 2, updates = 4 }
tasks.climb = { measure = { kind = "staircase", updates = 4 } }

[[task]]
label = "recall"
name = "first-cue-recall"
version = 1
lag = [2, 5]
cues = 4
measure = { kind = "train", updates = 20, evaluate-every = 10, trace-test = true }
parameters = 320
batch = 4
tune-at = { lag = 2 }

[[task]]
label = "climb"
name = "first-cue-recall"
version = 1
lag = [2, 3, 4]
cues = 2
measure = { kind = "staircase", updates = 20, evaluate-every = 10 }
parameters = 320
batch = 4

[[task]]
label = "steps"
name = "first-cue-recall"
version = 1
lag = [2, 5]
cues = 4
measure = { kind = "step-time", warm-up = 1, steps = 2 }
parameters = 320
batch = 4

[[model]]
name = "rnn"
tasks = ["recall", "climb", "steps"]

[[model]]
name = "lstm"
forget-bias = "chrono"
time-scale = { times = 2, of = "lag" }
tasks = ["recall", "climb", "steps"]

[[model]]
name = "constant"
tasks = ["recall"]
role = "baseline"

[[control]]
name = "recall-can-be-solved"
kind = "positive"
task = "recall"
models = ["lstm"]
at = { lag = [2] }

[[claim]]
id = "recall-is-learnt"
version = 1
rule = "accuracy of the lstm exceeds that of the rnn by 0.1"
prediction = "supported"
informed-by = "none"
answer = "yes"
controls = ["recall-can-be-solved"]

[[claim.part]]
kind = "difference"
name = "lstm against rnn"
task = "recall"
metric = "accuracy"
models = ["lstm"]
against = ["rnn"]
at = { lag = [2, 5] }
budgets = ["updates", "multiply-adds"]
side = "above"
margin = 0.1

[[figure]]
name = "recall"
title = "Recall"
kind = "line"
task = "recall"
metric = "accuracy"
x = "lag"
x-label = "lag (positions)"
y-label = "accuracy"
floor = "chance"
"#;

/// A definition from text, as if it stood in `experiments/tiny.toml`.
pub(crate) fn definition(text: &str) -> Definition {
    Definition::parse(Path::new("experiments/tiny.toml"), text).unwrap()
}

/// Facts of a task like first-cue-recall.
pub(crate) fn facts() -> Facts {
    Facts {
        metrics: vec!["accuracy", "cross-entropy"],
        test_sets: vec!["test".to_owned()],
        larger_is_better: true,
        solvable: true,
        decisive: false,
        grounds: false,
        written_metrics: Vec::new(),
        groups: false,
        directions: false,
        spelled: false,
        floors: vec![Floor { metric: "accuracy", name: "chance", value: 0.125 }],
        time: 20,
        outputs: 8,
        supervised: 0.05,
        validation_positions: 20_000,
        test_positions: 20_000,
    }
}

/// A planned cell of a task and a model that do not exist.
pub(crate) fn planned_cell(seed: u64) -> PlannedCell {
    let component = |name: &str| Component { name: name.to_owned(), version: 1, settings: Settings::new() };
    let cell = Cell {
        schema: SCHEMA,
        task: component("task"),
        data: None,
        model: component("model"),
        size: Size { width: 8, body_parameters: Some(320) },
        training: BTreeMap::from([("batch".to_owned(), 4.into())]),
        measurement: component("train"),
        seed,
    };
    PlannedCell {
        task: "task".to_owned(),
        setting: Settings::new(),
        model: "model".to_owned(),
        rate: None,
        stage: Stage::Evaluation,
        trains: false,
        key: cell.key(),
        cell,
        time: 20,
        seconds: 1.0,
        peak_bytes: 0,
    }
}

/// A finished cell without numbers.
pub(crate) fn record(cell: &Cell) -> CellRecord {
    CellRecord {
        key: cell.key(),
        cell: cell.clone(),
        outcome: Outcome::Ok,
        message: None,
        rows: Vec::new(),
        curve: Vec::new(),
        cost: Cost::default(),
        revision: "abc".to_owned(),
        dirty: false,
    }
}
