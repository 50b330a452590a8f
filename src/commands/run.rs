//! `seqlab run EXPERIMENT`: plans, computes, judges, reports.

use std::path::Path;

use ::report::{Mode, experiment_report};
use analysis::Tables;
use anyhow::Context;
use experiment::{Comparison, EstimateRow, Plan, PlanOptions, Profile, RunOptions, Summary, Workspace};
use record::claims::Register;
use record::definition::Definition;
use record::verdict::{ClaimVerdict, Ending as Verdict, Verdicts};
use serde_json::{Value, json};

use super::report;
use crate::arguments::{self, DeviceName, RunArguments};
use crate::failure::{Ending, Failure, OrUsage};
use crate::progress::{self, Cells, Course};
use crate::project::Project;
use crate::{environment, output, workers};

/// Runs the command.
pub(crate) fn run(arguments: &RunArguments) -> Result<Ending, Failure> {
    training::device(arguments.device.name()).or_usage()?;
    let project = Project::find()?;
    let mut workspace = project.workspace()?;
    // A mistake in any definition is to be seen before the training and not when the index is written.
    project.definitions(None)?;
    let definition = project.definition(&arguments.experiment)?;
    let code = &mut workspace.code;
    code.dirty |= code.revision != "unknown" && !environment::is_committed(&project.root, &definition.path);
    let mut set = arguments.set.clone();
    if arguments.device != DeviceName::Flex {
        // It goes into the keys of cells, from where workers know it.
        set.push(("training.device".to_owned(), arguments.device.name().to_owned()));
    }
    let options = PlanOptions {
        profile: match arguments.profile {
            arguments::Profile::Quick => Profile::Quick,
            arguments::Profile::Full => Profile::Full,
        },
        seeds: arguments.seeds.clone(),
        filter: arguments.filter.clone().unwrap_or_default(),
        set,
        // The name of a text goes into the keys of cells, and workers may run elsewhere.
        corpus: arguments.corpus.as_ref().map(std::path::absolute).transpose().context("no such path")?,
    };
    let jobs = arguments.jobs.map_or(workspace.host.cores, usize::from);
    if arguments.dry_run {
        // Where the time goes is to be seen even when it is too much.
        let unlimited = Definition { core_seconds: f64::INFINITY, ..definition.clone() };
        let plan = Plan::new(&unlimited, &options, &workspace)?;
        dry_run(&plan, definition.core_seconds, jobs, arguments.json);
        return Ok(Ending::Success);
    }
    let plan = Plan::new(&definition, &options, &workspace)?;
    if workspace.code.revision == "unknown" && plan.profile == Profile::Full {
        output::warning(
            "this is not a git repository, so the result cannot name the revision that it comes from",
        );
    }
    let committed = project.committed()?.into_iter().find(|results| results.name == definition.name);
    let Some(summary) = compute(&plan, &workspace, arguments, jobs)? else { return Ok(Ending::Interrupted) };
    let standing = Standing::of(arguments, &plan, &summary);
    let card = summary.folder.join("README.md");
    let verdicts = match &standing {
        Standing::Evidence | Standing::WithoutSomeTasks => {
            Some(report::judged(&plan.definition, &workspace.claims, &summary.folder)?)
        }
        Standing::Partial(watermark) => {
            let mode = Mode::Quick { watermark: watermark.clone() };
            let tables = Tables::read(&summary.folder)?;
            experiment_report(&plan.definition, &workspace.claims, &summary.folder, tables, &mode)?;
            None
        }
    };
    if summary.complete {
        report::publish(&project, &workspace.claims)?;
    }
    let before = committed.map(|results| results.verdicts);
    let outcome =
        Outcome { plan: &plan, summary: &summary, standing: &standing, verdicts: verdicts.as_ref(), before };
    if arguments.json {
        output::json(&outcome.json(&card));
    } else {
        outcome.print(&project, &workspace.claims, &card);
    }
    Ok(if summary.failed() > 0 { Ending::Incomplete } else { Ending::Success })
}

/// Computes the plan's cells with progress on standard error; `None` when the user stopped it.
fn compute(
    plan: &Plan,
    workspace: &Workspace,
    arguments: &RunArguments,
    jobs: usize,
) -> Result<Option<Summary>, Failure> {
    let cancel = workers::interrupt()?;
    let options = RunOptions {
        jobs: Some(jobs),
        force: arguments.force,
        allow_dirty: arguments.allow_dirty,
        executor: workers::executor(None)?,
        shuffle: arguments.shuffle,
    };
    let mut cells = Cells::new(&plan.definition.name, jobs);
    let mut course = Course::new(&plan.estimate());
    let finished = experiment::run(plan, workspace, &options, &cancel, &mut |event| {
        progress::tell(&event);
        course.follow(&event);
        cells.reached(&course.tally(), &event);
    });
    drop(cells);
    match finished {
        Ok(summary) => Ok(Some(summary)),
        Err(error @ experiment::ExperimentError::Interrupted) => {
            output::note(error);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// What a run may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Everything was computed: its verdicts stand.
    Evidence,
    /// Everything was asked for, but a corpus is missing: claims that need it keep their committed verdicts.
    WithoutSomeTasks,
    /// Less or something else was asked for; the text says what on every figure.
    Partial(String),
}

impl Standing {
    fn of(arguments: &RunArguments, plan: &Plan, summary: &Summary) -> Self {
        if summary.complete {
            return Self::Evidence;
        }
        let device = plan.other_device().map(|device| format!(" on {device}")).unwrap_or_default();
        if arguments.profile == arguments::Profile::Quick {
            return Self::Partial(format!("quick run{device}, not evidence"));
        }
        let asks_for_all = arguments.seeds.is_none()
            && arguments.filter.is_none()
            && arguments.set.is_empty()
            && arguments.corpus.is_none();
        match (asks_for_all, device.is_empty()) {
            (true, true) => Self::WithoutSomeTasks,
            (true, false) => Self::Partial(format!("run{device}, not evidence")),
            (false, _) => Self::Partial(format!("partial run{device}, not evidence")),
        }
    }
}

/// All that there is to say at the end.
struct Outcome<'a> {
    plan: &'a Plan,
    summary: &'a Summary,
    standing: &'a Standing,
    verdicts: Option<&'a Verdicts>,
    /// The verdicts that were committed before this run.
    before: Option<Verdicts>,
}

impl Outcome<'_> {
    fn print(&self, project: &Project, register: &Register, card: &Path) {
        let Summary { computed, reused, .. } = self.summary;
        let failed = self.summary.failed();
        output::note(format_args!("{computed} cells computed, {reused} reused, {failed} failed"));
        if let Some(verdicts) = self.verdicts {
            report::print(&self.without_kept(verdicts), register);
        }
        for kept in self.kept() {
            let ending = kept.ending.name().to_uppercase();
            output::line(format_args!("{ending}, not re-run here: {}", kept.id));
        }
        if let Standing::Partial(what) = self.standing {
            output::line(format_args!("{what}: it yields no verdict"));
        }
        for (task, reason) in &self.plan.left_out {
            output::line(format_args!("left out: {task}: {reason}"));
        }
        if let Some(comparison) = &self.summary.comparison {
            output::line(compared(comparison));
            if let Some((unchanged, all)) = self.unchanged() {
                output::line(format_args!("verdicts unchanged: {unchanged} of {all}"));
            }
        }
        output::line(format_args!("card: {}", project.relative(card).display()));
    }

    fn json(&self, card: &Path) -> Value {
        let comparison = self.summary.comparison.as_ref().map(|comparison| {
            json!({
                "rows": comparison.committed, "identical": comparison.identical, "missing": comparison.missing,
                "added": comparison.added, "largest-deviation": comparison.largest_deviation,
                "verdicts-unchanged": self.unchanged().map(|(unchanged, _)| unchanged),
            })
        });
        let verdicts = self.verdicts.map(|verdicts| {
            let kept = self.kept();
            let one = |claim: &ClaimVerdict| {
                let kept = kept.iter().find(|kept| kept.id == claim.id);
                json!({
                    "id": claim.id, "verdict": kept.unwrap_or(&claim).ending.name(), "re-run": kept.is_none(),
                    "because": claim.because, "answer": claim.answer,
                })
            };
            verdicts.claims.iter().map(one).collect::<Vec<Value>>()
        });
        json!({
            "experiment": self.plan.definition.name,
            "version": self.plan.definition.version,
            "complete": self.summary.complete,
            "cells": {
                "computed": self.summary.computed, "reused": self.summary.reused, "failed": self.summary.failed(),
            },
            "left-out": self.plan.left_out,
            "runs": self.summary.provenance.runs,
            "comparison": comparison,
            "verdicts": verdicts,
            "folder": self.summary.folder,
            "card": card,
        })
    }

    /// Committed verdicts on claims that this run could not judge, because a task was left out.
    fn kept(&self) -> Vec<&ClaimVerdict> {
        let (Standing::WithoutSomeTasks, Some(verdicts)) = (self.standing, self.verdicts) else {
            return Vec::new();
        };
        let not_judged = |id: &str| {
            verdicts.claims.iter().any(|claim| claim.id == id && claim.ending == Verdict::NotJudged)
        };
        self.before.iter().flat_map(|before| &before.claims).filter(|claim| not_judged(&claim.id)).collect()
    }

    fn without_kept(&self, verdicts: &Verdicts) -> Verdicts {
        let kept = self.kept();
        let mut verdicts = verdicts.clone();
        verdicts.claims.retain(|claim| !kept.iter().any(|kept| kept.id == claim.id));
        verdicts
    }

    /// How many of the committed verdicts came out again, of those that were judged now.
    fn unchanged(&self) -> Option<(usize, usize)> {
        let (now, before) = (self.verdicts?, self.before.as_ref()?);
        let now = self.without_kept(now);
        let pairs: Vec<(Verdict, Verdict)> = now
            .claims
            .iter()
            .filter_map(|claim| {
                let other = before.claims.iter().find(|other| other.id == claim.id)?;
                Some((claim.ending, other.ending))
            })
            .collect();
        Some((pairs.iter().filter(|(now, before)| now == before).count(), pairs.len()))
    }
}

/// How the table differs from the committed one, in one sentence.
fn compared(comparison: &Comparison) -> String {
    let Comparison { committed, identical, missing, added, largest_deviation } = comparison;
    let mut parts = vec![format!("{identical} of {committed} committed rows came out identical")];
    if *missing + *added > 0 {
        parts.push(format!("{missing} are missing and {added} new"));
    }
    if !largest_deviation.is_empty() {
        let by_metric: Vec<String> =
            largest_deviation.iter().map(|(metric, deviation)| format!("{metric} {deviation:.2e}")).collect();
        parts.push(format!("largest deviations: {}", by_metric.join(", ")));
    }
    parts.join("; ")
}

/// Prints where the processor time would go.
fn dry_run(plan: &Plan, budget: f64, jobs: usize, json: bool) {
    let estimate = plan.estimate();
    let cells: usize = estimate.iter().map(|row| row.cells).sum();
    let seconds = estimate.iter().map(|row| row.core_seconds).fold(0.0, |sum, seconds| sum + seconds);
    let name = &plan.definition.name;
    if json {
        let rows = estimate.iter().map(|row| {
            json!({
                "stage": row.stage.name(), "task": row.task, "model": row.model, "cells": row.cells,
                "core-seconds": row.core_seconds,
            })
        });
        output::json(&json!({
            "experiment": name, "cells": cells, "core-seconds": seconds, "budget-core-seconds": budget,
            "complete": plan.complete, "left-out": plan.left_out, "rows": rows.collect::<Vec<_>>(),
        }));
        return;
    }
    let row = |row: &EstimateRow| {
        let (cells, seconds) = (row.cells.to_string(), format!("{:.1}", row.core_seconds));
        vec![row.task.clone(), row.model.clone(), row.stage.name().to_owned(), cells, seconds]
    };
    let header = ["task", "model", "stage", "cells", "core-seconds"].map(str::to_owned).to_vec();
    output::table(&std::iter::once(header).chain(estimate.iter().map(row)).collect::<Vec<_>>());
    let wall = std::time::Duration::try_from_secs_f64(seconds / jobs.max(1) as f64).unwrap_or_default();
    output::line(format_args!(
        "{name}: {cells} cells, about {seconds:.0} core-seconds, {} on {jobs} cores",
        progress::clock_face(wall)
    ));
    if plan.complete && plan.estimated_seconds > budget {
        output::line(format_args!(
            "its estimate of {:.0} is over its `budget.core-seconds` of {budget:.0}, so it would be refused",
            plan.estimated_seconds
        ));
    }
    for (task, reason) in &plan.left_out {
        output::line(format_args!("left out: {task}: {reason}"));
    }
}
