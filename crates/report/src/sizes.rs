//! What each model is made of, and what a run of it costs.

use std::collections::{BTreeMap, HashSet};

use record::definition::Definition;
use record::runs::Kind;

use crate::figure::name_with_role;
use crate::grid::Grid;
use crate::number::{count, duration, large};
use crate::tables::{EVALUATION, Tables, distinct};

/// One row for each task and model: parameters, updates, multiply-adds, processor time and memory.
pub(crate) fn sizes(definition: &Definition, tables: &Tables) -> Grid {
    let mut grid = Grid::new([
        "task",
        "model",
        "body parameters",
        "all parameters",
        "updates a run",
        "multiply-adds a run",
        "processor time a run",
        "peak memory",
    ]);
    for task in &definition.tasks {
        for arm in definition.models_on(&task.label) {
            let of_arm =
                |kind: &Kind| kind.task == task.label && kind.model == arm.label && kind.phase == EVALUATION;
            let cells: HashSet<&str> = tables.runs.select(of_arm).map(|(_, run)| &*run.cell).collect();
            if cells.is_empty() {
                continue;
            }
            let fitted = |metric: &'static str| {
                let of_metric =
                    move |kind: &Kind| of_arm(kind) && kind.split == "fit" && kind.metric == metric;
                tables.runs.select(of_metric).filter(|(_, run)| run.value.is_finite())
            };
            let values = |metric| fitted(metric).map(|(_, run)| run.value);
            let of_cells = |metric| {
                let mut cells: BTreeMap<&str, Vec<(&str, f64)>> = BTreeMap::new();
                for (kind, run) in fitted(metric) {
                    cells.entry(&run.cell).or_default().push((&kind.setting, run.value));
                }
                per_cell(cells)
            };
            // A cell that two arms share is timed for both.
            let timed = |metric: &str| -> Vec<f64> {
                let of_metric = tables.timing.iter().filter(|row| row.metric == metric);
                of_metric.filter(|row| cells.contains(row.cell.as_str())).map(|row| row.value).collect()
            };
            let peak = timed("peak-bytes").into_iter().fold(f64::NAN, f64::max);
            grid.push(vec![
                task.label.clone(),
                name_with_role(arm),
                range(values("body-parameters")),
                range(values("total-parameters")),
                mean(&of_cells("updates"), count),
                mean(&of_cells("multiply-adds"), large),
                mean(&timed("processor-seconds"), duration),
                if peak > 0.0 { format!("{} MiB", count(peak / f64::from(1 << 20))) } else { "-".to_owned() },
            ]);
        }
    }
    grid
}

/// One value a cell. A staircase reports each step: its total where it states one, otherwise the sum of the steps.
fn per_cell(values: BTreeMap<&str, Vec<(&str, f64)>>) -> Vec<f64> {
    values
        .into_values()
        .map(|rows| {
            let whole = rows.iter().find(|(setting, _)| setting.is_empty());
            whole.map_or_else(|| rows.iter().map(|(_, value)| value).sum(), |(_, value)| *value)
        })
        .collect()
}

/// One number, or the least and the largest where settings differ.
fn range(values: impl Iterator<Item = f64>) -> String {
    let mut values = distinct(values);
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => "-".to_owned(),
        [one] => count(*one),
        [first, .., last] => format!("{} to {}", count(*first), count(*last)),
    }
}

fn mean(values: &[f64], text: impl Fn(f64) -> String) -> String {
    if values.is_empty() { "-".to_owned() } else { text(values.iter().sum::<f64>() / values.len() as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staircase_costs_the_sum_of_its_steps_unless_it_states_a_total() {
        let steps = BTreeMap::from([("a", vec![("lag=2", 100.0), ("lag=5", 300.0)])]);
        assert_eq!(per_cell(steps), [400.0]);
        let total = BTreeMap::from([("a", vec![("", 450.0), ("lag=2", 100.0)])]);
        assert_eq!(per_cell(total), [450.0]);
    }

    #[test]
    fn sizes_that_differ_show_their_range() {
        assert_eq!(range([9980.0, 10_020.0, 9980.0].into_iter()), "9,980 to 10,020");
        assert_eq!(range([9980.0; 3].into_iter()), "9,980");
        assert_eq!(range(std::iter::empty()), "-");
    }
}
