//! What of an experiment is finished, by task and model, without computing anything.

use std::collections::BTreeMap;

use record::RecordError;
use record::cell::{CellRecord, Outcome};

use crate::plan::{Plan, PlannedCell};
use crate::tables::Records;
use crate::tuning::{scores, tune};
use crate::{ExperimentError, Workspace};

/// Cells of one task and model by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellCounts {
    /// Finished by this very revision of the code.
    pub fresh: usize,
    /// Finished by another revision, whose versions are the same: a canary test vouches for them.
    pub older_code: usize,
    /// Not computed, or only by a version of task, model or measurement that has been replaced.
    pub missing: usize,
    /// Could not be computed.
    pub failed: usize,
}

/// Counts the cells of a plan by task and model. Where tuning is not finished, the cells at the rates that it will
/// choose count as missing.
///
/// # Errors
/// When a stored cell cannot be read.
pub fn status(
    plan: &Plan,
    workspace: &Workspace,
) -> Result<BTreeMap<(String, String), CellCounts>, ExperimentError> {
    let mut records = Records::new();
    let mut cells = plan.timing_cells();
    load(&cells, workspace, &mut records)?;
    let mut tuning = Vec::new();
    let rates = tune(plan, |planned| {
        load(planned, workspace, &mut records)?;
        tuning = planned.to_vec();
        let finished = planned.iter().all(|cell| records.contains_key(&cell.key));
        Ok(finished.then(|| scores(planned, &records)))
    })?;
    cells.extend(tuning);
    let evaluation = plan.evaluation_cells(&rates.clone().unwrap_or_default());
    load(&evaluation, workspace, &mut records)?;

    let mut counts: BTreeMap<(String, String), CellCounts> = BTreeMap::new();
    for cell in &cells {
        let entry = counts.entry((cell.task.clone(), cell.model.clone())).or_default();
        count(entry, records.get(&cell.key), workspace);
    }
    for cell in &evaluation {
        let entry = counts.entry((cell.task.clone(), cell.model.clone())).or_default();
        // Before tuning is finished, the cell at the common rate stands for the one that will be computed.
        let is_known = rates.is_some() || cell.rate.is_none();
        count(entry, records.get(&cell.key).filter(|_| is_known), workspace);
    }
    Ok(counts)
}

/// Loads what is stored. A damaged cell is set aside, and so is missing.
fn load(cells: &[PlannedCell], workspace: &Workspace, records: &mut Records) -> Result<(), ExperimentError> {
    let store = workspace.store();
    for cell in cells {
        match store.load(&cell.cell) {
            Ok(Some(record)) => {
                records.insert(cell.key.clone(), record);
            }
            Ok(None) => {}
            Err(error @ RecordError::Damaged { .. }) => tracing::warn!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn count(counts: &mut CellCounts, record: Option<&CellRecord>, workspace: &Workspace) {
    match record {
        None => counts.missing += 1,
        Some(record) if record.outcome == Outcome::Failed => counts.failed += 1,
        Some(record)
            if record.revision == workspace.code.revision && record.dirty == workspace.code.dirty =>
        {
            counts.fresh += 1;
        }
        Some(_) => counts.older_code += 1,
    }
}
