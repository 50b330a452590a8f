//! Whether what a definition judges, controls and draws can be read from what its cells yield.

use std::collections::BTreeMap;

use record::claims::Register;
use record::definition::{BudgetKind, Control, ControlKind, Definition, Figure, FigureKind, Part, unknown};
use record::{Settings, plain};
use serde_json::Value;

use super::planner::TaskCheck;
use crate::facts::Facts;
use crate::measurements::{Schedule, TEST, Yielded};
use crate::settings::same;

pub(super) fn check(definition: &Definition, register: &Register, tasks: &[TaskCheck]) -> Result<(), String> {
    for claim in &definition.claims {
        let ids: Vec<&str> = register.claims.iter().map(|claim| claim.id.as_str()).collect();
        if !ids.contains(&claim.id.as_str()) {
            let message = unknown("claim", &claim.id, &ids);
            return Err(format!("{message} (claims are registered in claims.toml)"));
        }
        for part in &claim.parts {
            check_part(part, tasks)
                .map_err(|message| format!("claim `{}`, part `{}`: {message}", claim.id, part.name()))?;
        }
    }
    for control in &definition.controls {
        check_control(control, tasks).map_err(|message| format!("control `{}`: {message}", control.name))?;
    }
    for figure in &definition.figures {
        check_figure(figure, tasks).map_err(|message| format!("figure `{}`: {message}", figure.name))?;
    }
    Ok(())
}

fn check_part(part: &Part, tasks: &[TaskCheck]) -> Result<(), String> {
    let task = find(part.task(), tasks)?;
    let read = match part {
        Part::Difference { metric, .. } | Part::Identity { metric, .. } => metric.as_str(),
        Part::SolveRate { .. } | Part::Discrimination { .. } | Part::StepTime { .. } => "",
    };
    if let Part::Discrimination { over, .. } = part {
        let mut places = part.at().clone();
        if let Some(key) = over.keys().find(|key| places.contains_key(*key)) {
            return Err(format!("`{key}` stands in `at` and in `over`; take it out of one"));
        }
        places.extend(over.clone());
        check_regimes(&places, task, read)?;
    } else {
        check_regimes(part.at(), task, read)?;
    }
    match part {
        Part::SolveRate { metric, .. } => check_metric(TEST, metric, task),
        Part::Difference { metric, split, budgets, against_task, against_at, .. } => {
            let right = against_task.as_ref().map_or(Ok(task), |label| find(label, tasks))?;
            check_metric(split, metric, right)?;
            let mut places = if against_task.is_some() { BTreeMap::new() } else { part.at().clone() };
            places.extend(against_at.iter().map(|(key, value)| (key.clone(), vec![value.clone()])));
            check_regimes(&places, right, read).map_err(|message| message.replace("`at`", "`against-at`"))?;
            if budgets.is_empty() {
                check_metric(split, metric, task)?;
            }
            for budget in budgets {
                match budget_suffix(*budget) {
                    None => check_metric(split, metric, task)?,
                    Some(suffix) => check_metric(split, &format!("{metric}@{suffix}"), task).map_err(|message| {
                        format!("{message}; budgets other than `updates` need `trace-test = true` in `measure`, and the primary metric")
                    })?,
                }
            }
            Ok(())
        }
        Part::Identity { split, metric, .. } => check_metric(split, metric, task),
        Part::Discrimination { split, metric, outcome, .. } => {
            check_metric(split, metric, task)?;
            check_metric(TEST, outcome, task)
        }
        Part::StepTime { .. } => {
            if task.measurement.schedule != Schedule::Alone {
                return Err(format!(
                    "task `{}` measures `{}`, which times nothing",
                    task.task.label, task.measurement.name
                ));
            }
            Ok(())
        }
    }
}

fn budget_suffix(budget: BudgetKind) -> Option<&'static str> {
    match budget {
        BudgetKind::Updates => None,
        BudgetKind::MultiplyAdds => Some("multiply-adds"),
        BudgetKind::Seconds => Some("seconds"),
        BudgetKind::PytorchSeconds => Some("pytorch-seconds"),
    }
}

fn check_control(control: &Control, tasks: &[TaskCheck]) -> Result<(), String> {
    let task = find(&control.task, tasks)?;
    check_regimes(&control.at, task, "")?;
    match control.kind {
        ControlKind::Positive => check_metric(TEST, "solved", task),
        ControlKind::Negative | ControlKind::Above | ControlKind::Below => {
            check_metric(&control.split, &control.metric, task)
        }
    }
}

fn check_figure(figure: &Figure, tasks: &[TaskCheck]) -> Result<(), String> {
    let task = find(&figure.task, tasks)?;
    let places: BTreeMap<String, Vec<Value>> =
        figure.at.iter().map(|(key, value)| (key.clone(), vec![value.clone()])).collect();
    check_places(&places, task)?;
    let Some(facts) = &task.facts else { return Ok(()) };
    let yielded = yields(task, facts);
    let metrics: Vec<&str> = yielded.iter().map(|yielded| yielded.metric.as_str()).collect();
    for metric in [&figure.metric].into_iter().chain(&figure.metrics) {
        if !metrics.contains(&metric.as_str()) {
            return Err(no_metric(metric, metrics, task));
        }
    }
    let mut axes: Vec<&str> = task.varying.keys().map(String::as_str).collect();
    axes.extend(["updates", "split", "models"]);
    if figure.kind == FigureKind::Against {
        axes = metrics;
    }
    if figure.kind == FigureKind::Alignment {
        axes = vec!["read"];
    }
    if !axes.contains(&figure.x.as_str()) {
        return Err(unknown("`x`", &figure.x, &axes));
    }
    let floors = distinct(facts.floors.iter().map(|floor| floor.name).collect());
    match &figure.floor {
        Some(floor) if !floors.contains(&floor.as_str()) => Err(unknown("floor", floor, &floors)),
        _ => Ok(()),
    }
}

fn find<'a>(label: &str, tasks: &'a [TaskCheck<'a>]) -> Result<&'a TaskCheck<'a>, String> {
    let labels: Vec<&str> = tasks.iter().map(|task| task.task.label.as_str()).collect();
    tasks.iter().find(|task| task.task.label == label).ok_or_else(|| unknown("task", label, &labels))
}

/// Whether a metric is of a whole ladder, and not of one of its values.
fn of_whole_ladder(metric: &str) -> bool {
    metric == "longest" || metric.starts_with("slope-at-")
}

/// A regime must say where it is: at one value of everything that varies, but for the ladder of a climb of which the whole is read.
fn check_regimes(at: &BTreeMap<String, Vec<Value>>, task: &TaskCheck, metric: &str) -> Result<(), String> {
    check_places(at, task)?;
    let ladder = (task.measurement.over)(&task.measure).filter(|_| of_whole_ladder(metric));
    if let Some(key) = ladder.as_ref().filter(|key| at.contains_key(*key)) {
        return Err(format!("`at`: `{metric}` is read of all {key} together; leave `{key}` out"));
    }
    let several = task
        .varying
        .iter()
        .find(|(key, values)| values.len() > 1 && !at.contains_key(*key) && ladder.as_ref() != Some(*key));
    let Some((key, values)) = several else { return Ok(()) };
    let values: Vec<String> = values.iter().map(plain).collect();
    let label = &task.task.label;
    Err(format!("`at`: task `{label}` is run at several {key}; say which of {}", values.join(", ")))
}

/// Every place must be a setting that is run.
fn check_places(at: &BTreeMap<String, Vec<Value>>, task: &TaskCheck) -> Result<(), String> {
    for (key, values) in at {
        let Some(run) = task.varying.get(key) else {
            let keys: Vec<&str> = task.varying.keys().map(String::as_str).collect();
            return Err(format!(
                "`at`: {} (settings of task `{}` that vary)",
                unknown("setting", key, &keys),
                task.task.label
            ));
        };
        if let Some(missing) = values.iter().find(|value| !run.iter().any(|other| same(value, other))) {
            let run: Vec<String> = run.iter().map(plain).collect();
            return Err(format!(
                "`at`: task `{}` is not run at {key} = {}, only at {}",
                task.task.label,
                plain(missing),
                run.join(", ")
            ));
        }
    }
    Ok(())
}

/// Some cell must yield the metric. A task that is left out for want of its corpus cannot be asked.
fn check_metric(split: &str, metric: &str, task: &TaskCheck) -> Result<(), String> {
    let Some(facts) = &task.facts else { return Ok(()) };
    let yielded = yields(task, facts);
    // A text is tested block by block, and its blocks together are `test`.
    let in_split = |yielded: &&Yielded| {
        yielded.split == split || (split == TEST && yielded.split.starts_with("test-block@"))
    };
    let metrics: Vec<&str> = yielded.iter().filter(in_split).map(|yielded| yielded.metric.as_str()).collect();
    if metrics.is_empty() {
        let splits: Vec<&str> = yielded.iter().map(|yielded| yielded.split.as_str()).collect();
        return Err(format!("{} on task `{}`", unknown("split", split, &distinct(splits)), task.task.label));
    }
    if metrics.contains(&metric) { Ok(()) } else { Err(no_metric(metric, metrics, task)) }
}

fn no_metric(metric: &str, metrics: Vec<&str>, task: &TaskCheck) -> String {
    format!(
        "no cell of task `{}`, which measures `{}`, yields it: {}",
        task.task.label,
        task.measurement.name,
        unknown("metric", metric, &distinct(metrics))
    )
}

fn yields(task: &TaskCheck, facts: &Facts) -> Vec<Yielded> {
    let measure: &Settings = &task.measure;
    (task.measurement.yields)(measure, facts)
}

fn distinct(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names.dedup();
    names
}
