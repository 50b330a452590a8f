//! From a cell to its record.

use record::cell::{Cell, CellRecord, Cost, Outcome, SCHEMA};
use serde_json::Value;

use crate::measurements::{CellContext, Yield, measurement_entry, same_version, task_entry};
use crate::settings::table;
use crate::{ExperimentError, Workspace};

/// Computes a cell. What goes wrong becomes a record that says so.
#[must_use]
pub fn compute(cell: &Cell, workspace: &Workspace) -> CellRecord {
    let machine = workspace.machine.as_ref();
    let (wall, processor) = (machine.wall_seconds(), machine.processor_seconds());
    let (outcome, message, yielded) = match measure(cell, workspace) {
        Ok(yielded) => (yielded.outcome, yielded.message.clone(), Some(yielded)),
        Err(error) => (Outcome::Failed, Some(error.to_string()), None),
    };
    let Yield { rows, curve, step_seconds, .. } = yielded.unwrap_or_else(nothing);
    let cost = Cost {
        wall_seconds: machine.wall_seconds() - wall,
        processor_seconds: machine.processor_seconds() - processor,
        peak_bytes: machine.peak_bytes(),
        step_seconds,
    };
    CellRecord { rows, curve, cost, ..record(cell, outcome, message, workspace) }
}

/// The record of a cell whose process died.
pub(crate) fn failed(cell: &Cell, message: String, workspace: &Workspace) -> CellRecord {
    record(cell, Outcome::Failed, Some(message), workspace)
}

fn record(cell: &Cell, outcome: Outcome, message: Option<String>, workspace: &Workspace) -> CellRecord {
    CellRecord {
        key: cell.key(),
        cell: cell.clone(),
        outcome,
        message,
        rows: Vec::new(),
        curve: Vec::new(),
        cost: Cost::default(),
        revision: workspace.code.revision.clone(),
        dirty: workspace.code.dirty,
    }
}

fn nothing() -> Yield {
    Yield {
        outcome: Outcome::Failed,
        message: None,
        rows: Vec::new(),
        curve: Vec::new(),
        step_seconds: Vec::new(),
    }
}

fn measure(cell: &Cell, workspace: &Workspace) -> Result<Yield, ExperimentError> {
    if cell.schema != SCHEMA {
        return Err(ExperimentError::Cell(format!(
            "the cell has schema {}, this program writes {SCHEMA}",
            cell.schema
        )));
    }
    let entry = measurement_entry(&cell.measurement.name)?;
    same_version("measurement", entry.name, entry.version, cell.measurement.version)?;
    check_data(cell, workspace)?;
    (entry.run)(&CellContext { cell, corpora: &workspace.corpora, machine: workspace.machine.as_ref() })
}

/// A text that has changed since the cell was planned would be stored under the wrong key.
fn check_data(cell: &Cell, workspace: &Workspace) -> Result<(), ExperimentError> {
    let settings: Value = table(&cell.task.settings);
    let found = workspace.corpora.digest_of_all(&(task_entry(&cell.task.name)?.corpora)(&settings))?;
    if found == cell.data {
        return Ok(());
    }
    let name = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "no text".to_owned());
    let message =
        format!("the text has sha256 {}, the cell was planned for {}", name(&found), name(&cell.data));
    Err(ExperimentError::Cell(message))
}
