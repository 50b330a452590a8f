//! `seqlab verify EXPERIMENT`: trains cells of a committed result anew and compares every number.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use experiment::{
    CommittedCells, Comparison, EstimateRow, Plan, PlanOptions, PlannedCell, RunOptions, Workspace, verify,
};
use record::provenance::Provenance;
use record::table::read_runs;
use sequence::{Random, Stream};
use serde_json::json;

use crate::arguments::VerifyArguments;
use crate::failure::{Ending, Failure};
use crate::progress::{self, Cells, Course};
use crate::project::Project;
use crate::{output, workers};

/// Metrics that a line names at most.
const METRICS: usize = 2;

/// Runs the command.
pub(crate) fn run(arguments: &VerifyArguments) -> Result<Ending, Failure> {
    let project = Project::find()?;
    let mut workspace = project.workspace()?;
    let definition = project.definition(&arguments.experiment)?;
    let name = &definition.name;
    let folder = workspace.results.join(name);
    if !folder.join("runs.csv").exists() {
        return Err(Failure::usage(format!(
            "{} does not exist: nothing is committed that could be verified; `seqlab run {name}` makes it",
            project.relative(&folder.join("runs.csv")).display()
        )));
    }
    let committed = read_runs(&folder.join("runs.csv"))?;
    let provenance = Provenance::read(&folder.join("provenance.json"))?;
    let plan = Plan::new(&definition, &PlanOptions::default(), &workspace)?;
    let CommittedCells { mut known, unknown } = CommittedCells::new(&plan, &provenance, &committed);
    let all = known.len();
    let seed = arguments.seed.unwrap_or_else(seed_of_now);
    if !arguments.all {
        Random::new(seed, Stream::Order).shuffle(&mut known);
        known.truncate(usize::from(arguments.cells));
    }
    if known.is_empty() {
        return Err(Failure::usage(format!(
            "no cell of {name} has its numbers in {}: the definition or the code has another version; `seqlab run {name}` \
             computes them",
            project.relative(&folder).display()
        )));
    }

    let jobs = arguments.jobs.map_or(workspace.host.cores, usize::from);
    // Finished cells would be reused.
    let store = tempfile::tempdir().context("no temporary folder")?;
    store.path().clone_into(&mut workspace.state);
    let comparisons = compute(&plan, &workspace, jobs, &known, &committed)?;
    let Some(comparisons) = comparisons else { return Ok(Ending::Interrupted) };

    let total = comparisons.iter().fold(Comparison::default(), sum);
    let same = comparisons.iter().filter(|one| is_same(one)).count();
    if arguments.json {
        let cells = known.iter().zip(&comparisons).map(|(cell, one)| {
            json!({
                "cell": cell.key, "name": cell.name(), "rows": one.committed, "identical": one.identical,
                "missing": one.missing, "added": one.added, "largest-deviation": one.largest_deviation,
            })
        });
        output::json(&json!({
            "experiment": name, "cells": known.len(), "identical-cells": same, "of": all, "not-committed": unknown,
            "seed": (!arguments.all).then_some(seed), "rows": total.committed, "identical-rows": total.identical,
            "compared": cells.collect::<Vec<_>>(),
        }));
    } else {
        let row =
            |(cell, one): (&PlannedCell, &Comparison)| vec![format!("  {}", cell.name()), sentence(one)];
        output::table(&known.iter().zip(&comparisons).map(row).collect::<Vec<_>>());
        let drawn = if arguments.all { String::new() } else { format!(", drawn with --seed {seed}") };
        output::line(format_args!(
            "{name}: {same} of {} cells came out identical, {} rows to the last bit ({} of {all} committed cells{drawn})",
            known.len(),
            total.identical,
            known.len()
        ));
    }
    if unknown > 0 {
        output::note(format_args!(
            "{unknown} cells of the definition are not in the committed table: its version or that of the code has changed since"
        ));
    }
    if same == known.len() {
        return Ok(Ending::Success);
    }
    let (here, there) = (&workspace.host, &provenance);
    if (&here.processor, &here.instruction_set, &here.caches)
        == (&there.processor, &there.instruction_set, &there.caches)
    {
        output::note(format_args!(
            "the table comes from a processor of this kind, so that rounding is no excuse: it was changed, or the code computes \
             something else than at {}",
            &provenance.revision[..provenance.revision.len().min(7)]
        ));
        return Ok(Ending::Incomplete);
    }
    output::note(format_args!(
        "the table comes from {} with {} kernels, this is {} with {}: where these differ, sums round otherwise, training \
         magnifies it, and tiles of attention hold other numbers of positions; what has to agree then is the verdict, which `seqlab run {name}` gives",
        provenance.processor,
        provenance.instruction_set,
        workspace.host.processor,
        workspace.host.instruction_set
    ));
    Ok(Ending::Incomplete)
}

/// How each cell compares, with progress on standard error; `None` when the user stopped it.
fn compute(
    plan: &Plan,
    workspace: &Workspace,
    jobs: usize,
    cells: &[PlannedCell],
    committed: &[record::table::RunRow],
) -> Result<Option<Vec<Comparison>>, Failure> {
    let cancel = workers::interrupt()?;
    let options = RunOptions {
        jobs: Some(jobs),
        force: false,
        allow_dirty: true,
        executor: workers::executor(Some(&workspace.state))?,
        shuffle: None,
    };
    let estimate = |cell: &PlannedCell| EstimateRow {
        task: cell.task.clone(),
        model: cell.model.clone(),
        stage: cell.stage,
        cells: 1,
        core_seconds: cell.seconds,
    };
    let mut bar = Cells::new(&plan.definition.name, jobs);
    let mut course = Course::new(&cells.iter().map(estimate).collect::<Vec<_>>());
    let finished = verify(plan, workspace, &options, cells, committed, &cancel, &mut |event| {
        progress::tell(&event);
        course.follow(&event);
        bar.reached(&course.tally(), &event);
    });
    drop(bar);
    match finished {
        Ok(comparisons) => Ok(Some(comparisons)),
        Err(experiment::ExperimentError::Interrupted) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether there is something to compare, and all of it is the same.
fn is_same(comparison: &Comparison) -> bool {
    comparison.committed > 0 && comparison.identical == comparison.committed && comparison.added == 0
}

/// Such as `8 rows identical`, or which metrics differ by how much.
fn sentence(comparison: &Comparison) -> String {
    let Comparison { committed, identical, missing, added, largest_deviation } = comparison;
    if is_same(comparison) {
        return format!("{identical} rows identical");
    }
    let mut parts: Vec<String> = largest_deviation
        .iter()
        .take(METRICS)
        .map(|(metric, deviation)| format!("{metric} by up to {deviation:.1e}"))
        .collect();
    if largest_deviation.len() > METRICS {
        parts.push(format!("{} more metrics", largest_deviation.len() - METRICS));
    }
    if *missing + *added > 0 {
        parts.push(format!("{missing} rows missing and {added} new"));
    }
    format!("{} of {committed} rows DIFFER: {}", committed - identical, parts.join(", "))
}

fn sum(mut sum: Comparison, one: &Comparison) -> Comparison {
    sum.committed += one.committed;
    sum.identical += one.identical;
    sum
}

/// Another draw each time, so that nobody knows beforehand which cells will be asked for.
fn seed_of_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() % 1_000_000
}
