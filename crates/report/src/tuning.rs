//! How learning rates were chosen: validation scores at every rate, and test scores at the tuned and the common one.

use std::collections::BTreeMap;

use record::cell::Outcome;
use record::definition::Definition;
use record::metric::{is_accuracy, larger_is_better};
use record::provenance::Provenance;
use record::runs::Kind;
use record::spelled::spell;
use serde::Serialize;

use crate::figure::name_with_role;
use crate::grid::Grid;
use crate::number::{count, number};
use crate::scores::{mean_in_words, metrics_in_use};
use crate::tables::{COMMON_RATE, EVALUATION, Query, TUNING, Tables, distinct, natural};

/// The tuning of one task.
#[derive(Serialize)]
pub(crate) struct TaskTuning {
    task: String,
    /// What was compared, where and over how many seeds.
    heading: String,
    validation: String,
    /// Arms whose best rate might lie beyond those that were tried; empty where there are none.
    edges: String,
    /// Test scores at both rates; empty where the common rate was not run apart.
    comparison: String,
}

/// The tuning of every task that was tuned, in the order of the definition.
pub(crate) fn tuning(definition: &Definition, tables: &Tables, provenance: &Provenance) -> Vec<TaskTuning> {
    definition
        .tasks
        .iter()
        .filter_map(|task| {
            // A staircase tries its rates where it stands; they are not tuned.
            let chosen = provenance.rates.get(&task.label)?;
            of_task(definition, tables, &task.label, chosen)
        })
        .collect()
}

fn of_task(
    definition: &Definition,
    tables: &Tables,
    task: &str,
    chosen: &BTreeMap<String, f64>,
) -> Option<TaskTuning> {
    let is_tuning =
        move |kind: &Kind| kind.task == task && kind.phase == TUNING && kind.split == "validation";
    let kinds = tables.runs.kinds().filter(|kind| is_tuning(kind));
    let metrics = distinct(kinds.map(|kind| kind.metric.as_str()));
    let in_use = metrics_in_use(definition, task);
    let used = |metric: &&str| in_use.iter().any(|name| name == metric);
    let mut metrics = metrics.iter().copied();
    let metric = metrics
        .clone()
        .find(used)
        .or_else(|| metrics.clone().find(|metric| is_accuracy(metric)))
        .or(metrics.next())?;
    let of_metric = move |kind: &Kind| is_tuning(kind) && kind.metric == metric;
    let runs = tables.runs.select(of_metric).map(|(_, run)| run);
    let mut rates = distinct(runs.map(|run| run.rate).filter(|rate| rate.is_finite()));
    rates.sort_by(f64::total_cmp);

    let common = definition.tuning.common_rate;
    let head = rates
        .iter()
        .map(|&rate| if rate == common { format!("{} (common)", spell(rate)) } else { spell(rate) });
    let mut grid = Grid::new(["model".to_owned()].into_iter().chain(head));
    let mut edges = Vec::new();
    for arm in definition.models_on(task) {
        let mut means = Vec::new();
        let cells: Vec<String> = rates
            .iter()
            .map(|&rate| {
                let of_arm = tables.runs.select(|kind| of_metric(kind) && kind.model == arm.label);
                let at_rate = of_arm.filter(|(_, run)| run.rate == rate);
                let values: Vec<f64> = at_rate.map(|(_, run)| run.value).collect();
                let measured: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
                let lost = values.len() - measured.len();
                let mean = measured.iter().sum::<f64>() / measured.len() as f64;
                means.push(mean);
                let text = match (measured.is_empty(), lost) {
                    (true, 0) => return "-".to_owned(),
                    (true, _) => "diverged".to_owned(),
                    (false, 0) => format!("{}{}", number(mean), solved_after(tables, task, &arm.label, rate)),
                    (false, _) => format!("{} ({lost} diverged)", number(mean)),
                };
                if chosen.get(&arm.label) == Some(&rate) { format!("**{text}**") } else { text }
            })
            .collect();
        if let (Some(&rate), [first, .., last]) = (chosen.get(&arm.label), &rates[..])
            && (rate == *first || rate == *last)
            && means.iter().any(|mean| *mean != means[0])
        {
            edges.push(format!("{} ({})", arm.label, spell(rate)));
        }
        if cells.iter().any(|cell| cell != "-") {
            grid.push([name_with_role(arm)].into_iter().chain(cells).collect());
        }
    }
    let kinds = tables.runs.kinds().filter(|kind| of_metric(kind));
    let mut settings =
        distinct(kinds.map(|kind| kind.setting.as_str()).filter(|setting| !setting.is_empty()));
    settings.sort_by(|a, b| natural(a, b));
    let at = if settings.is_empty() { String::new() } else { format!(" at {}", settings.join("; ")) };
    let seeds = tables.seeds(of_metric).len();
    let better = if larger_is_better(metric) { "more" } else { "less" };
    (!grid.is_empty()).then(|| TaskTuning {
        task: task.to_owned(),
        heading: format!(
            "validation {metric}{at}, mean over {seeds} tuning {} ({better} is better)",
            if seeds == 1 { "seed" } else { "seeds" }
        ),
        validation: grid.markdown(),
        edges: edges.join(", "),
        comparison: comparison(definition, tables, task, metric, chosen),
    })
}

/// `, solved after 150` where every tuning seed solved the task: the mean of the updates that it took.
fn solved_after(tables: &Tables, task: &str, model: &str, rate: f64) -> String {
    let runs = tables.runs.select(|kind| {
        kind.task == task && kind.phase == TUNING && kind.model == model && kind.metric == "updates-to-solve"
    });
    let runs = runs.map(|(_, run)| run).filter(|run| run.rate == rate);
    let updates: Vec<f64> =
        runs.map(|run| if run.outcome == Outcome::Ok { run.value } else { f64::NAN }).collect();
    let mean = updates.iter().sum::<f64>() / updates.len() as f64;
    if mean.is_finite() { format!(", solved after {}", count(mean)) } else { String::new() }
}

/// Test scores at the tuned and at the common rate, where both were run.
fn comparison(
    definition: &Definition,
    tables: &Tables,
    task: &str,
    metric: &str,
    chosen: &BTreeMap<String, f64>,
) -> String {
    let rows = tables.runs.kinds().filter(|row| {
        row.task == task && row.phase == COMMON_RATE && row.metric == metric && row.split.starts_with("test")
    });
    let rows = rows.filter(|row| !row.split.starts_with("test-block@"));
    let mut places = distinct(rows.map(|row| (row.setting.as_str(), row.split.as_str())));
    places.sort_by(|a, b| natural(a.0, b.0).then_with(|| natural(a.1, b.1)));
    let common = format!("test {metric} at the common rate {}", spell(definition.tuning.common_rate));
    let tuned = format!("test {metric} at the tuned rate");
    let mut grid =
        Grid::new(["model".to_owned(), "tuned rate".to_owned(), "setting".to_owned(), tuned, common]);
    for arm in definition.models_on(task) {
        for (setting, split) in &places {
            let at = |phase: &str| {
                let query = Query { task, model: &arm.label, setting, phase, split, metric };
                tables.sample(&query).mean().map(|mean| mean_in_words(mean, metric))
            };
            let Some(common) = at(COMMON_RATE) else { continue };
            let place: Vec<&str> =
                [*setting, *split].into_iter().filter(|part| !part.is_empty() && *part != "test").collect();
            grid.push(vec![
                name_with_role(arm),
                chosen.get(&arm.label).map_or_else(|| "-".to_owned(), |&rate| spell(rate)),
                if place.is_empty() { "test".to_owned() } else { place.join(", ") },
                at(EVALUATION).unwrap_or_else(|| "-".to_owned()),
                common,
            ]);
        }
    }
    grid.markdown()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, provenance};

    #[test]
    fn a_rate_that_was_chosen_at_an_end_of_the_grid_is_named() {
        let world = World::new();
        let tables = world.tables();
        let mut provenance = provenance(world.definition());
        let edges = |provenance: &Provenance| {
            let tasks = tuning(world.definition(), &tables, provenance);
            tasks.into_iter().find(|task| task.task == "pairs").unwrap().edges
        };
        assert_eq!(edges(&provenance), "");
        let rates = provenance.rates.get_mut("pairs").unwrap();
        rates.insert("lstm".to_owned(), 0.03);
        rates.insert("gru".to_owned(), 0.0003);
        assert_eq!(edges(&provenance), "lstm (0.03), gru (0.0003)");
    }
}
