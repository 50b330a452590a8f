//! Committed numbers, computed again: cells of a result, trained anew and compared row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use record::provenance::Provenance;
use record::table::RunRow;

use crate::plan::{Plan, PlannedCell, Stage};
use crate::run::{Computer, Event, RunOptions};
use crate::tables::{Comparison, TUNING, run_rows};
use crate::tuning::Grid;
use crate::{ExperimentError, Workspace};

/// The cells of a plan, at the rates that its tuning chose, by whether a committed table has their numbers.
#[derive(Clone, Debug, Default)]
pub struct CommittedCells {
    /// Those that it has, in the order of the plan.
    pub known: Vec<PlannedCell>,
    /// How many it has not: the definition or a version of the code has changed since.
    pub unknown: usize,
}

impl CommittedCells {
    /// Looks the cells of `plan` up in the table `committed`, which `provenance` comes with.
    #[must_use]
    pub fn new(plan: &Plan, provenance: &Provenance, committed: &[RunRow]) -> Self {
        let mut grids: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for row in committed.iter().filter(|row| row.phase == TUNING) {
            let rates = grids.entry(row.task.clone()).or_default();
            if !rates.contains(&row.rate) {
                rates.push(row.rate);
            }
        }
        let grids = grids.into_iter().map(|(task, rates)| (task, Grid::new(&rates))).collect();
        let keys: BTreeSet<&str> = committed.iter().map(|row| row.cell.as_str()).collect();
        let stages =
            [plan.tuning_cells(&grids), plan.evaluation_cells(&provenance.rates), plan.timing_cells()];
        let mut cells = Self::default();
        for cell in stages.into_iter().flatten() {
            if keys.contains(cell.key.as_str()) {
                cells.known.push(cell);
            } else {
                cells.unknown += 1;
            }
        }
        cells
    }
}

/// Computes `cells` and compares the rows of each with those of the table `committed`. What a clock says is left out, and so are scores
/// at a budget that the arms of a comparison share, because they depend on more than one cell.
///
/// Finished cells in the workspace's store are not computed again: give it an empty one.
///
/// # Errors
/// As [`run`](fn@crate::run).
pub fn verify(
    plan: &Plan,
    workspace: &Workspace,
    options: &RunOptions,
    cells: &[PlannedCell],
    committed: &[RunRow],
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(Event),
) -> Result<Vec<Comparison>, ExperimentError> {
    let mut computer = Computer::new(plan, workspace, options, cancel, progress);
    for stage in [Stage::Tuning, Stage::Evaluation, Stage::Timing] {
        let of_stage: Vec<PlannedCell> = cells.iter().filter(|cell| cell.stage == stage).cloned().collect();
        computer.finish(stage, &of_stage)?;
    }
    let comparable = |row: &&RunRow| !row.metric.contains('@') && !row.metric.ends_with("seconds");
    let mut rows: BTreeMap<&str, Vec<&RunRow>> = BTreeMap::new();
    for row in committed.iter().filter(comparable) {
        rows.entry(row.cell.as_str()).or_default().push(row);
    }
    let compared = cells.iter().map(|cell| {
        let asked = |row: &&&RunRow| row.task == cell.task && row.model == cell.model;
        let committed: Vec<RunRow> = rows
            .get(cell.key.as_str())
            .into_iter()
            .flatten()
            .filter(asked)
            .map(|row| (*row).clone())
            .collect();
        let now = run_rows(cell, &computer.records[&cell.key], plan.definition.tuning.common_rate);
        let now: Vec<RunRow> = now.iter().filter(comparable).cloned().collect();
        Comparison::new(&committed, &now)
    });
    Ok(compared.collect())
}

#[cfg(test)]
mod tests {
    use record::table::{read_runs, write_runs};

    use super::*;
    use crate::testing::{TINY, definition, workspace};
    use crate::{Executor, PlanOptions, Summary, run};

    fn options() -> RunOptions {
        RunOptions {
            jobs: Some(1),
            force: false,
            allow_dirty: false,
            executor: Executor::Threads,
            shuffle: None,
        }
    }

    /// A finished run of the tiny experiment, its plan and its table.
    fn committed(folder: &std::path::Path, text: &str) -> (Plan, Summary, Vec<RunRow>) {
        let workspace = workspace(folder);
        let plan = Plan::new(&definition(text), &PlanOptions::default(), &workspace).unwrap();
        let summary = run(&plan, &workspace, &options(), &AtomicBool::new(false), &mut |_| {}).unwrap();
        let rows = read_runs(&summary.folder.join("runs.csv")).unwrap();
        (plan, summary, rows)
    }

    #[test]
    fn every_cell_is_found_and_comes_out_identical_and_a_changed_number_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (plan, summary, mut rows) = committed(folder.path(), TINY);
        let cells = CommittedCells::new(&plan, &summary.provenance, &rows);
        assert_eq!((cells.known.len(), cells.unknown), (summary.computed, 0));

        let fresh = tempfile::tempdir().unwrap();
        let elsewhere = workspace(fresh.path());
        let again = |rows: &[RunRow]| {
            let cancel = AtomicBool::new(false);
            verify(&plan, &elsewhere, &options(), &cells.known, rows, &cancel, &mut |_| {}).unwrap()
        };
        let same = |compared: &Comparison| {
            compared.committed > 0 && compared.identical == compared.committed && compared.added == 0
        };
        assert!(again(&rows).iter().all(same));

        let is_evaluated = |row: &RunRow| row.phase == "evaluation" && row.metric == "accuracy";
        let changed = rows.iter().position(is_evaluated).unwrap();
        rows[changed].value += 1e-9;
        write_runs(&fresh.path().join("runs.csv"), &rows).unwrap();
        let rows = read_runs(&fresh.path().join("runs.csv")).unwrap();
        let different: Vec<usize> =
            again(&rows).iter().enumerate().filter(|(_, one)| !same(one)).map(|(index, _)| index).collect();
        let [index] = different[..] else { panic!("{different:?}") };
        assert_eq!(cells.known[index].key, rows[changed].cell);
        let deviation = again(&rows)[index].largest_deviation["accuracy"];
        assert!((deviation - 1e-9).abs() < 1e-12, "{deviation}");
    }

    #[test]
    fn a_cell_whose_setting_has_changed_is_not_taken_for_the_committed_one() {
        let folder = tempfile::tempdir().unwrap();
        let (_, summary, rows) = committed(folder.path(), TINY);
        let changed =
            TINY.replace("cues = 4\nmeasure = { kind = \"train\"", "cues = 3\nmeasure = { kind = \"train\"");
        assert_ne!(changed, TINY);
        let plan =
            Plan::new(&definition(&changed), &PlanOptions::default(), &workspace(folder.path())).unwrap();
        let cells = CommittedCells::new(&plan, &summary.provenance, &rows);
        assert!(cells.known.iter().all(|cell| cell.task != "recall"));
        assert!(cells.known.iter().any(|cell| cell.task == "climb") && cells.unknown > 0);
    }
}
