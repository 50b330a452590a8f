//! A cell: the smallest thing that is computed, stored and reused.

use serde::{Deserialize, Serialize};

use crate::{Settings, spelled};

/// Raised when the meaning of a stored cell changes.
pub const SCHEMA: u32 = 1;

/// A task, model or measurement with the version of its code and its settings.
///
/// Settings equal to their defaults are left out, so that a new setting does not disturb old cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Registered name.
    pub name: String,
    /// Version of its code.
    pub version: u32,
    /// What differs from the defaults.
    pub settings: Settings,
}

/// The sizes that models are built to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Width of embedding and read-out, shared by all models.
    pub width: usize,
    /// Body parameters asked for; none for models without a body.
    pub body_parameters: Option<usize>,
}

/// One computation: a task setting, a model setting, a measurement, a budget and a seed.
///
/// It names no experiment, so that two experiments share it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// [`SCHEMA`] when it was made.
    pub schema: u32,
    /// What is asked.
    pub task: Component,
    /// sha256 of the corpus, for tasks over one.
    pub data: Option<String>,
    /// Who answers.
    pub model: Component,
    /// How large.
    pub size: Size,
    /// Optimiser, rate, batch and so on, where they differ from the defaults.
    pub training: Settings,
    /// What is measured, and its budget.
    pub measurement: Component,
    /// Seed of data, initialisation and dropout.
    pub seed: u64,
}

impl Cell {
    /// blake3 of the canonical JSON: keys sorted, no spaces.
    ///
    /// # Panics
    /// Never: a cell holds plain values.
    #[must_use]
    pub fn key(&self) -> String {
        // Through `Value`, whose maps are sorted, so that the order of fields does not matter.
        let value = serde_json::to_value(self).expect("a cell holds plain values");
        blake3::hash(value.to_string().as_bytes()).to_hex()[..32].to_owned()
    }
}

/// How one number came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Measured.
    Ok,
    /// Trained to the end of its budget without solving the task.
    NotSolved,
    /// Not tried, because easier settings had failed.
    NotAttempted,
    /// Training produced a number that is not finite.
    Diverged,
    /// The cell could not be computed.
    Failed,
}

impl Outcome {
    /// As written in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotSolved => "not-solved",
            Self::NotAttempted => "not-attempted",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
        }
    }

    /// The outcome that [`name`](Self::name) wrote.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ok, Self::NotSolved, Self::NotAttempted, Self::Diverged, Self::Failed]
            .into_iter()
            .find(|outcome| outcome.name() == name)
    }
}

/// One number that a cell yields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Settings that this number adds to the task's, such as the lag within a staircase.
    pub setting: Settings,
    /// `validation`, `test`, `test@96`, `fit`.
    pub split: String,
    /// Name of the metric.
    pub metric: String,
    /// How it came about.
    pub outcome: Outcome,
    /// The number.
    #[serde(with = "spelled")]
    pub value: f64,
    /// Independent observations that it averages, 0 where that means nothing.
    pub count: usize,
}

/// The state of training at one evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurveRow {
    /// Settings that this curve adds to the task's.
    pub setting: Settings,
    /// Updates so far.
    pub updates: u64,
    /// Training multiply-adds so far.
    pub multiply_adds: u64,
    /// Mean training loss since the evaluation before.
    #[serde(with = "spelled")]
    pub training_loss: f64,
    /// Primary metric on validation.
    #[serde(with = "spelled")]
    pub validation: f64,
    /// Test scores of the checkpoint that is best so far, one a block, where the measurement traces them.
    pub test_blocks: Vec<f64>,
}

/// What a finished cell cost. Kept apart from the rows, because it differs from run to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Wall time, in seconds.
    pub wall_seconds: f64,
    /// Processor time, in seconds.
    pub processor_seconds: f64,
    /// Largest resident memory, in bytes; 0 where unknown.
    pub peak_bytes: u64,
    /// Repeated timings of one training step, in seconds, for the timing measurement.
    pub step_seconds: Vec<f64>,
}

/// A finished cell as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellRecord {
    /// [`Cell::key`] of `cell`.
    pub key: String,
    /// What was computed.
    pub cell: Cell,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, if it did.
    pub message: Option<String>,
    /// Numbers.
    pub rows: Vec<Row>,
    /// Course of training.
    pub curve: Vec<CurveRow>,
    /// What it cost.
    pub cost: Cost,
    /// Revision of the code, or `unknown`.
    pub revision: String,
    /// Whether the code had changes that no revision holds.
    pub dirty: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell() -> Cell {
        let component = |name: &str| Component { name: name.into(), version: 1, settings: Settings::new() };
        Cell {
            schema: SCHEMA,
            task: component("first-cue-recall"),
            data: None,
            model: component("lstm"),
            size: Size { width: 32, body_parameters: Some(10_000) },
            training: Settings::new(),
            measurement: component("train"),
            seed: 1000,
        }
    }

    #[test]
    fn the_key_depends_on_every_part() {
        let base = cell();
        let mut variants = vec![base.clone(); 7];
        variants[0].task.version = 2;
        variants[1].data = Some("ab".into());
        variants[2].model.settings.insert("forget-bias".into(), 1.into());
        variants[3].size.body_parameters = None;
        variants[4].training.insert("rate".into(), 0.01.into());
        variants[5].measurement.name = "staircase".into();
        variants[6].seed = 1001;
        let mut keys: Vec<String> = variants.iter().chain([&base]).map(Cell::key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 8);
        assert_eq!(base.key(), cell().key());
    }
}
