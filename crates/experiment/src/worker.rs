//! The entry of a worker process: cells in, one JSON line each; answers out, one JSON line each.

use std::io::{self, BufRead, Write};

use record::cell::{Cell, Outcome};
use serde::{Deserialize, Serialize};

use crate::{Workspace, compute};

/// What a worker says when a cell is done and stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Key of the cell.
    pub key: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, if it did.
    pub message: Option<String>,
    /// Processor time that it took.
    pub processor_seconds: f64,
}

/// Computes and stores the cells that `reader` lists, and answers each when its file is in place, until `reader` ends.
///
/// # Errors
/// When a line is not a cell, a cell cannot be stored, or nobody listens any more.
pub fn worker(reader: impl BufRead, mut writer: impl Write, workspace: &Workspace) -> io::Result<()> {
    for line in reader.lines() {
        let cell: Cell = serde_json::from_str(&line?)?;
        let answer = compute_and_store(&cell, workspace).map_err(io::Error::other)?;
        serde_json::to_writer(&mut writer, &answer)?;
        writer.write_all(b"\n")?;
        writer.flush()?;
    }
    Ok(())
}

pub(crate) fn compute_and_store(cell: &Cell, workspace: &Workspace) -> Result<Answer, record::RecordError> {
    let record = compute(cell, workspace);
    workspace.store().store(&record)?;
    Ok(Answer {
        key: record.key,
        outcome: record.outcome,
        message: record.message,
        processor_seconds: record.cost.processor_seconds,
    })
}
