//! From finished cells to the long tables.
//!
//! A cell knows nothing of the experiment; here its rows get the labels of the task and model that asked for it. What
//! a budget smaller than the whole run would have given is read off the course of training, which is the same up to
//! there, because the rate is constant after warm-up.

use std::collections::{BTreeMap, BTreeSet};

use record::cell::{CellRecord, CurveRow, Outcome};
use record::pytorch::PytorchStep;
use record::spelled::spell;
use record::table::{CurveTableRow, RunRow, TimingRow};
use record::{Settings, label};

use crate::measurements::{FIT, RATE, TEST, VALIDATION};
use crate::plan::{Plan, PlannedCell, Stage};

/// Phases of `runs.csv`.
pub(crate) const TUNING: &str = "tuning";
const EVALUATION: &str = "evaluation";
const COMMON_RATE: &str = "common-rate";
const FLOOR: &str = "floor";

/// Points of the course of training that a cell keeps in the table.
const CURVE_POINTS: usize = 40;

/// All tables of an experiment.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// `runs.csv`: the same on every run.
    pub(crate) runs: Vec<RunRow>,
    /// `seconds.csv`: scores at equal seconds, and metrics that are seconds or made of them, which depend on the machine.
    pub(crate) seconds: Vec<RunRow>,
    /// `curves.csv`.
    pub(crate) curves: Vec<CurveTableRow>,
    /// `timing.csv`.
    pub(crate) timing: Vec<TimingRow>,
}

/// Finished cells by key.
pub(crate) type Records = BTreeMap<String, CellRecord>;

/// A planned cell with its record.
type Finished<'a> = (&'a PlannedCell, &'a CellRecord);

impl Tables {
    pub(crate) fn new(
        plan: &Plan,
        planned: &[PlannedCell],
        records: &Records,
        pytorch: &[PytorchStep],
    ) -> Self {
        let finished: Vec<Finished> =
            planned.iter().filter_map(|cell| Some((cell, records.get(&cell.key)?))).collect();
        let mut tables = Self::default();
        for &(cell, record) in &finished {
            let rows = run_rows(cell, record, plan.definition.tuning.common_rate);
            // What a clock said is not the same on every run.
            let (seconds, runs): (Vec<RunRow>, Vec<RunRow>) =
                rows.into_iter().partition(|row| row.metric.ends_with("seconds"));
            tables.runs.extend(runs);
            tables.seconds.extend(seconds);
            if cell.stage != Stage::Tuning {
                tables.curves.extend(curve_rows(cell, record));
                tables.timing.extend(timing_rows(cell, record));
            }
        }
        tables.runs.extend(floor_rows(plan));
        for group in compared(&finished) {
            let multiply_adds =
                |(_, record): &Finished| record.curve.last().map(|row| row.multiply_adds as f64);
            tables
                .runs
                .extend(at_budget(&group, "multiply-adds", multiply_adds, |_, row| row.multiply_adds as f64));
            let ours = |cell: &PlannedCell| step_seconds(cell, &finished);
            tables.seconds.extend(at_seconds(&group, "seconds", ours));
            let theirs = |cell: &PlannedCell| pytorch_seconds(cell, pytorch);
            tables.seconds.extend(at_seconds(&group, "pytorch-seconds", theirs));
        }
        tables
    }
}

fn joined(one: &Settings, other: &Settings) -> Settings {
    let mut joined = one.clone();
    joined.extend(other.clone());
    joined
}

/// The rows of a cell in `runs.csv`.
///
/// A tuning cell shows what its rate is chosen by: validation scores and updates until solved; and at the common rate all of its scores. Within a staircase, the tries at
/// each rate are tuning, too.
pub(crate) fn run_rows(cell: &PlannedCell, record: &CellRecord, common_rate: f64) -> Vec<RunRow> {
    let base = RunRow {
        cell: cell.key.clone(),
        task: cell.task.clone(),
        setting: label(&cell.setting),
        model: cell.model.clone(),
        rate: cell.rate.unwrap_or(f64::NAN),
        phase: if cell.stage == Stage::Tuning { TUNING } else { EVALUATION }.to_owned(),
        seed: cell.cell.seed,
        split: FIT.to_owned(),
        metric: "cell".to_owned(),
        outcome: record.outcome,
        value: f64::NAN,
        count: 0,
    };
    if record.outcome == Outcome::Failed {
        return vec![base];
    }
    let mut rows = Vec::new();
    for row in &record.rows {
        let mut setting = joined(&cell.setting, &row.setting);
        let tried = setting.remove(RATE).and_then(|rate| rate.as_f64());
        let phase = match (cell.stage, row.split == VALIDATION, tried) {
            (Stage::Tuning, true, _) | (_, _, Some(_)) => TUNING,
            (Stage::Tuning, false, None) if row.metric == "updates-to-solve" => TUNING,
            (Stage::Tuning, false, None) if cell.rate == Some(common_rate) => COMMON_RATE,
            // The other test scores of tuning are nobody's business.
            (Stage::Tuning, false, None) => continue,
            (Stage::Evaluation | Stage::Timing, _, None) => EVALUATION,
        };
        rows.push(RunRow {
            setting: label(&setting),
            rate: tried.unwrap_or(base.rate),
            phase: phase.to_owned(),
            split: row.split.clone(),
            metric: row.metric.clone(),
            outcome: row.outcome,
            value: row.value,
            count: row.count as u64,
            ..base.clone()
        });
    }
    rows
}

fn floor_rows(plan: &Plan) -> Vec<RunRow> {
    let runs: BTreeSet<&str> = plan.evaluation.iter().map(|arm| arm.task.as_str()).collect();
    let mut rows = Vec::new();
    for floors in plan.floors.iter().filter(|floors| runs.contains(floors.task.as_str())) {
        rows.extend(floors.scores.iter().map(|floor| RunRow {
            cell: String::new(),
            task: floors.task.clone(),
            setting: label(&floors.setting),
            model: floor.name.to_owned(),
            rate: f64::NAN,
            phase: FLOOR.to_owned(),
            seed: 0,
            split: TEST.to_owned(),
            metric: floor.metric.to_owned(),
            outcome: Outcome::Ok,
            value: floor.value,
            count: 0,
        }));
    }
    rows
}

fn curve_rows(cell: &PlannedCell, record: &CellRecord) -> Vec<CurveTableRow> {
    let mut courses: Vec<(&Settings, Vec<&CurveRow>)> = Vec::new();
    for row in &record.curve {
        match courses.last_mut() {
            Some((setting, rows)) if *setting == &row.setting => rows.push(row),
            _ => courses.push((&row.setting, vec![row])),
        }
    }
    let most = CURVE_POINTS / courses.len().max(1);
    let mut table = Vec::new();
    for (setting, rows) in &courses {
        table.extend(log_spaced(rows.len(), most).into_iter().map(|index| CurveTableRow {
            cell: cell.key.clone(),
            task: cell.task.clone(),
            setting: label(&joined(&cell.setting, setting)),
            model: cell.model.clone(),
            seed: cell.cell.seed,
            updates: rows[index].updates,
            multiply_adds: rows[index].multiply_adds,
            training_loss: rows[index].training_loss,
            validation: rows[index].validation,
        }));
    }
    table
}

/// At most `most` of `count` indices, the first and the last among them, evenly spaced on a logarithmic axis.
fn log_spaced(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    if most < 2 {
        return vec![count - 1];
    }
    let index = |point: usize| {
        let place = (count as f64).powf(point as f64 / (most - 1) as f64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and the count"
        )]
        let place = place.round() as usize;
        place.clamp(1, count) - 1
    };
    let mut indices: Vec<usize> = (0..most).map(index).collect();
    indices.dedup();
    indices
}

fn timing_rows(cell: &PlannedCell, record: &CellRecord) -> Vec<TimingRow> {
    let cost = &record.cost;
    let row = |metric: &str, repeat: u64, value: f64| TimingRow {
        cell: cell.key.clone(),
        task: cell.task.clone(),
        setting: label(&cell.setting),
        model: cell.model.clone(),
        seed: cell.cell.seed,
        metric: metric.to_owned(),
        repeat,
        value,
    };
    let mut rows = vec![
        row("wall-seconds", 0, cost.wall_seconds),
        row("processor-seconds", 0, cost.processor_seconds),
        row("peak-bytes", 0, cost.peak_bytes as f64),
    ];
    rows.extend((0..).zip(&cost.step_seconds).map(|(repeat, &seconds)| row("step-seconds", repeat, seconds)));
    rows
}

/// Networks whose tests were traced, by task, setting and seed: those that a budget compares.
fn compared<'a>(finished: &[Finished<'a>]) -> Vec<Vec<Finished<'a>>> {
    let mut groups: BTreeMap<(&str, String, u64), Vec<Finished>> = BTreeMap::new();
    for &(cell, record) in finished {
        let traced = record.curve.iter().any(|row| !row.test_blocks.is_empty());
        if cell.stage == Stage::Evaluation && cell.trains && traced {
            groups
                .entry((&cell.task, label(&cell.setting), cell.cell.seed))
                .or_default()
                .push((cell, record));
        }
    }
    groups.into_values().collect()
}

/// Test scores at the smallest total cost of the group, as metric `METRIC@budget`. Arms without a cost are left out.
fn at_budget(
    group: &[Finished],
    budget: &str,
    total: impl Fn(&Finished) -> Option<f64>,
    spent: impl Fn(&PlannedCell, &CurveRow) -> f64,
) -> Vec<RunRow> {
    let survived = |arm: &&Finished| arm.1.outcome == Outcome::Ok;
    let Some(smallest) = group.iter().filter(survived).filter_map(&total).min_by(f64::total_cmp) else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    for arm @ &(cell, record) in group {
        if total(arm).is_none() {
            continue;
        }
        let within = record.curve.iter().take_while(|row| spent(cell, row) <= smallest);
        let Some(last) = within.last() else { continue };
        for ((split, metric), &value) in traced_sets(record).into_iter().zip(&last.test_blocks) {
            rows.push(RunRow {
                cell: cell.key.clone(),
                task: cell.task.clone(),
                setting: label(&cell.setting),
                model: cell.model.clone(),
                rate: cell.rate.unwrap_or(f64::NAN),
                phase: EVALUATION.to_owned(),
                seed: cell.cell.seed,
                split: split.to_owned(),
                metric: format!("{metric}@{budget}"),
                outcome: record.outcome,
                value,
                count: 0,
            });
        }
    }
    rows
}

/// [`at_budget`] where the cost of an update is known in seconds.
fn at_seconds(group: &[Finished], budget: &str, step: impl Fn(&PlannedCell) -> Option<f64>) -> Vec<RunRow> {
    let total = |(cell, record): &Finished| Some(step(cell)? * record.curve.last()?.updates as f64);
    at_budget(group, budget, total, |cell, row| step(cell).unwrap_or(f64::NAN) * row.updates as f64)
}

/// The test sets of a cell with their primary metric, which is the first of each, in order.
fn traced_sets(record: &CellRecord) -> Vec<(&str, &str)> {
    let mut sets: Vec<(&str, &str)> = Vec::new();
    for row in record.rows.iter().filter(|row| row.split.starts_with(TEST) && row.metric != "solved") {
        if !sets.iter().any(|(split, _)| *split == row.split) {
            sets.push((&row.split, &row.metric));
        }
    }
    sets
}

/// The median step time of the same model on the same task, at the timed setting most like the cell's.
fn step_seconds(cell: &PlannedCell, finished: &[Finished]) -> Option<f64> {
    let same_model = |other: &PlannedCell| {
        let (one, two) = (&cell.cell, &other.cell);
        one.task.name == two.task.name
            && one.model == two.model
            && one.size == two.size
            && one.training.get("batch") == two.training.get("batch")
            && cell.time == other.time
    };
    let timed: Vec<&Finished> = finished
        .iter()
        .filter(|(other, record)| {
            other.stage == Stage::Timing && same_model(other) && !record.cost.step_seconds.is_empty()
        })
        .collect();
    let differences = |other: &PlannedCell| {
        let (one, two) = (&cell.cell.task.settings, &other.cell.task.settings);
        let keys: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
        keys.into_iter().filter(|key| one.get(*key) != two.get(*key)).count()
    };
    let fewest = timed.iter().map(|(other, _)| differences(other)).min()?;
    let nearest = timed.iter().filter(|(other, _)| differences(other) == fewest);
    median(nearest.flat_map(|(_, record)| record.cost.step_seconds.clone()).collect())
}

fn pytorch_seconds(cell: &PlannedCell, steps: &[PytorchStep]) -> Option<f64> {
    let same = |step: &&PytorchStep| step.model == cell.model && step.time == cell.time;
    median(steps.iter().filter(same).map(|step| step.seconds).collect())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(values[middle - 1].midpoint(values[middle])),
    }
}

/// How a table differs from the one that is committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Rows of the committed table.
    pub committed: usize,
    /// Rows that are the same to the last bit.
    pub identical: usize,
    /// Committed rows that this run has not.
    pub missing: usize,
    /// Rows of this run that are not committed.
    pub added: usize,
    /// Largest absolute deviation by metric, where it is not 0; infinite where only one side is a number.
    pub largest_deviation: BTreeMap<String, f64>,
}

impl Comparison {
    pub(crate) fn new(committed: &[RunRow], now: &[RunRow]) -> Self {
        let key = |row: &RunRow| {
            let text =
                [&row.task, &row.setting, &row.model, &row.phase, &row.split, &row.metric].map(String::clone);
            (text, row.seed, spell(row.rate))
        };
        let mut new: BTreeMap<_, &RunRow> = now.iter().map(|row| (key(row), row)).collect();
        let mut comparison = Self { committed: committed.len(), ..Self::default() };
        for row in committed {
            let Some(other) = new.remove(&key(row)) else {
                comparison.missing += 1;
                continue;
            };
            if spell(row.value) == spell(other.value)
                && (row.outcome, row.count) == (other.outcome, other.count)
            {
                comparison.identical += 1;
                continue;
            }
            let deviation = (row.value - other.value).abs();
            let deviation = if deviation.is_nan() { f64::INFINITY } else { deviation };
            let largest = comparison.largest_deviation.entry(row.metric.clone()).or_default();
            *largest = largest.max(deviation);
        }
        comparison.added = new.len();
        comparison
    }
}

#[cfg(test)]
mod tests {
    use record::cell::Row;
    use serde_json::json;

    use super::*;
    use crate::testing::{planned_cell, record};

    fn traced(multiply_adds_an_update: u64, blocks: [f64; 3]) -> CellRecord {
        let curve = (0..3_u64).zip(blocks).map(|(index, block)| CurveRow {
            setting: Settings::new(),
            updates: 10 * index,
            multiply_adds: 10 * index * multiply_adds_an_update,
            training_loss: 0.0,
            validation: 0.0,
            test_blocks: vec![block, block + 100.0],
        });
        let test = |split: &str, metric: &str| Row {
            setting: Settings::new(),
            split: split.to_owned(),
            metric: metric.to_owned(),
            outcome: Outcome::Ok,
            value: 9.0,
            count: 1,
        };
        let rows = ["test-block@00", "test-block@01"]
            .into_iter()
            .flat_map(|split| [test(split, "cross-entropy"), test(split, "accuracy")])
            .collect();
        CellRecord { curve: curve.collect(), rows, ..record(&planned_cell(0).cell) }
    }

    fn network(model: &str) -> PlannedCell {
        PlannedCell { model: model.to_owned(), trains: true, ..planned_cell(0) }
    }

    #[test]
    fn budgets_are_read_off_the_prefix_by_hand() {
        let (cheap, dear) = (network("cheap"), network("dear"));
        let (cheap_record, dear_record) = (traced(2, [3.0, 2.0, 1.0]), traced(3, [6.0, 5.0, 4.0]));
        let group = [(&cheap, &cheap_record), (&dear, &dear_record)];
        let multiply_adds = |(_, record): &Finished| record.curve.last().map(|row| row.multiply_adds as f64);
        let rows = at_budget(&group, "multiply-adds", multiply_adds, |_, row| row.multiply_adds as f64);
        // The cheap arm spends 40 in all, so the dear one is read at 30, which is update 10.
        let read: Vec<(&str, &str, &str, f64)> = rows
            .iter()
            .map(|row| (row.model.as_str(), row.split.as_str(), row.metric.as_str(), row.value))
            .collect();
        let metric = "cross-entropy@multiply-adds";
        assert_eq!(
            read,
            [
                ("cheap", "test-block@00", metric, 1.0),
                ("cheap", "test-block@01", metric, 101.0),
                ("dear", "test-block@00", metric, 5.0),
                ("dear", "test-block@01", metric, 105.0),
            ]
        );
        // In seconds the order turns: the cheap arm takes 4 s an update, 80 s in all; the other 1 s, 20 s in all.
        let step = |cell: &PlannedCell| Some(if cell.model == "cheap" { 4.0 } else { 1.0 });
        let values: Vec<f64> = at_seconds(&group, "seconds", step).iter().map(|row| row.value).collect();
        assert_eq!(values, [3.0, 103.0, 4.0, 104.0]);
        // An arm whose time is not known is not compared.
        let one = |cell: &PlannedCell| (cell.model == "dear").then_some(1.0);
        assert!(at_seconds(&group, "seconds", one).iter().all(|row| row.model == "dear"));
    }

    #[test]
    fn an_arm_that_diverged_does_not_set_the_budget() {
        let (cheap, dear) = (network("cheap"), network("dear"));
        let cheap_record = CellRecord { outcome: Outcome::Diverged, ..traced(1, [3.0, 2.0, 1.0]) };
        let dear_record = traced(3, [6.0, 5.0, 4.0]);
        let group = [(&cheap, &cheap_record), (&dear, &dear_record)];
        let multiply_adds = |(_, record): &Finished| record.curve.last().map(|row| row.multiply_adds as f64);
        let rows = at_budget(&group, "multiply-adds", multiply_adds, |_, row| row.multiply_adds as f64);
        assert_eq!(rows[0].outcome, Outcome::Diverged);
        assert_eq!(rows[2].value, 4.0);
    }

    #[test]
    fn tuning_shows_validation_and_the_common_rate_all() {
        let row = |split: &str, setting: serde_json::Value| Row {
            setting: serde_json::from_value(setting).unwrap(),
            split: split.to_owned(),
            metric: "accuracy".to_owned(),
            outcome: Outcome::Ok,
            value: 0.5,
            count: 10,
        };
        let rows = vec![row("validation", json!({})), row("test", json!({}))];
        let record = CellRecord { rows, ..record(&planned_cell(0).cell) };
        let phases = |stage, rate| -> Vec<String> {
            let cell = PlannedCell { stage, rate: Some(rate), ..planned_cell(0) };
            run_rows(&cell, &record, 0.003).iter().map(|row| format!("{} {}", row.phase, row.split)).collect()
        };
        assert_eq!(phases(Stage::Tuning, 0.01), ["tuning validation"]);
        assert_eq!(phases(Stage::Tuning, 0.003), ["tuning validation", "common-rate test"]);
        assert_eq!(phases(Stage::Evaluation, 0.01), ["evaluation validation", "evaluation test"]);
        // A try within a staircase.
        let rows = vec![row("validation", json!({"lag": 5, "rate": 0.03}))];
        let tried = &run_rows(&planned_cell(0), &CellRecord { rows, ..record }, 0.003)[0];
        assert_eq!((tried.setting.as_str(), tried.rate, tried.phase.as_str()), ("lag=5", 0.03, "tuning"));
    }

    #[test]
    fn a_failed_cell_is_one_row_that_says_so() {
        let record = CellRecord { outcome: Outcome::Failed, ..record(&planned_cell(0).cell) };
        let rows = run_rows(&planned_cell(0), &record, 0.003);
        assert_eq!((rows.len(), rows[0].outcome, rows[0].value.is_nan()), (1, Outcome::Failed, true));
    }

    #[test]
    fn curves_are_thinned_on_a_logarithmic_axis() {
        assert_eq!(log_spaced(3, 40), [0, 1, 2]);
        // By hand: 100^(k/4) is 1, 3.2, 10, 31.6, 100.
        assert_eq!(log_spaced(100, 5), [0, 2, 9, 31, 99]);
        let thinned = log_spaced(10_000, 40);
        assert!(thinned.len() <= 40 && thinned.ends_with(&[9_999]));
    }

    #[test]
    fn step_times_come_from_the_same_model_at_the_nearest_setting() {
        let settings = |value: serde_json::Value| -> Settings { serde_json::from_value(value).unwrap() };
        let cell = |setting: serde_json::Value, stage, seed| {
            let mut cell = PlannedCell { stage, ..planned_cell(seed) };
            cell.cell.task.settings = settings(setting);
            cell
        };
        let timed = |cell: &PlannedCell, seconds: f64| {
            let mut record = record(&cell.cell);
            record.cost.step_seconds = vec![seconds];
            record
        };
        let near: Vec<PlannedCell> =
            (0..3).map(|seed| cell(json!({"lag": 5}), Stage::Timing, seed)).collect();
        let far = cell(json!({"lag": 9, "cues": 4}), Stage::Timing, 3);
        let mut other_size = near[0].clone();
        other_size.cell.size.width += 1;
        let records: Vec<CellRecord> =
            near.iter().zip([3.0, 1.0, 2.0]).map(|(cell, seconds)| timed(cell, seconds)).collect();
        let (far_record, other_record) = (timed(&far, 50.0), timed(&other_size, 70.0));
        let mut finished: Vec<Finished> = near.iter().zip(&records).collect();
        finished.extend([(&far, &far_record), (&other_size, &other_record)]);
        let asked = cell(json!({"lag": 6}), Stage::Evaluation, 0);
        assert_eq!(step_seconds(&asked, &finished), Some(2.0));
        let mut longer = asked;
        longer.time += 1;
        assert_eq!(step_seconds(&longer, &finished), None);
    }

    #[test]
    fn a_comparison_counts_and_measures() {
        let failed = CellRecord { outcome: Outcome::Failed, ..record(&planned_cell(0).cell) };
        let row = |seed: u64, value: f64| RunRow {
            seed,
            value,
            ..run_rows(&planned_cell(0), &failed, 0.0)[0].clone()
        };
        let committed = [row(1, 0.5), row(2, f64::NAN), row(3, 0.25), row(4, 1.0)];
        let now = [row(1, 0.5), row(2, f64::NAN), row(3, 0.75), row(5, 1.0)];
        let comparison = Comparison::new(&committed, &now);
        assert_eq!(
            (comparison.committed, comparison.identical, comparison.missing, comparison.added),
            (4, 2, 1, 1)
        );
        assert_eq!(comparison.largest_deviation, BTreeMap::from([("cell".to_owned(), 0.5)]));
    }
}
