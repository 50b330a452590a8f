//! The long tables `runs.csv`, `curves.csv` and `timing.csv`: sorted and written through Polars, read a row at a time, because
//! a table as a whole may be larger than what is kept of it.

use std::path::Path;
use std::str::FromStr;

use polars::prelude::*;

use crate::cell::Outcome;
use crate::runs::Kind;
use crate::{RecordError, spelled, store};

/// One row of `runs.csv`: one number of one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Key of the cell.
    pub cell: String,
    /// Label of the task in the experiment.
    pub task: String,
    /// Settings that vary, such as `lag=20`.
    pub setting: String,
    /// Label of the model in the experiment.
    pub model: String,
    /// Learning rate, or `NaN` where there is none or several.
    pub rate: f64,
    /// `tuning`, `evaluation` or `common-rate`.
    pub phase: String,
    /// Seed.
    pub seed: u64,
    /// Split, such as `test`.
    pub split: String,
    /// Metric.
    pub metric: String,
    /// How the number came about.
    pub outcome: Outcome,
    /// The number.
    pub value: f64,
    /// Independent observations that it averages.
    pub count: u64,
}

/// One row of `curves.csv`: the state of training at one evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveTableRow {
    /// Key of the cell.
    pub cell: String,
    /// Label of the task.
    pub task: String,
    /// Settings that vary.
    pub setting: String,
    /// Label of the model.
    pub model: String,
    /// Seed.
    pub seed: u64,
    /// Updates so far.
    pub updates: u64,
    /// Training multiply-adds so far.
    pub multiply_adds: u64,
    /// Mean training loss since the evaluation before.
    pub training_loss: f64,
    /// Primary metric on validation.
    pub validation: f64,
}

/// One row of `timing.csv`: seconds, bytes and what depends on them.
#[derive(Clone, Debug, PartialEq)]
pub struct TimingRow {
    /// Key of the cell.
    pub cell: String,
    /// Label of the task.
    pub task: String,
    /// Settings that vary.
    pub setting: String,
    /// Label of the model.
    pub model: String,
    /// Seed.
    pub seed: u64,
    /// What was measured, with its unit: `wall-seconds`, `processor-seconds`, `peak-bytes`, `step-seconds`.
    pub metric: String,
    /// Which repeat.
    pub repeat: u64,
    /// The number.
    pub value: f64,
}

macro_rules! text {
    ($rows:expr, $field:ident) => {
        Column::new(
            stringify!($field).into(),
            $rows.iter().map(|row| row.$field.as_str()).collect::<Vec<_>>(),
        )
    };
}

macro_rules! number {
    ($rows:expr, $field:ident) => {
        Column::new(
            stringify!($field).into(),
            $rows.iter().map(|row| spelled::spell(row.$field)).collect::<Vec<_>>(),
        )
    };
}

macro_rules! whole {
    ($rows:expr, $field:ident) => {
        Column::new(stringify!($field).into(), $rows.iter().map(|row| row.$field).collect::<Vec<u64>>())
    };
}

/// `runs.csv` as a frame.
///
/// # Panics
/// Never: all columns have one length.
#[must_use]
pub fn runs_frame(rows: &[RunRow]) -> DataFrame {
    let outcome = rows.iter().map(|row| row.outcome.name()).collect::<Vec<_>>();
    frame(
        rows.len(),
        vec![
            text!(rows, cell),
            text!(rows, task),
            text!(rows, setting),
            text!(rows, model),
            number!(rows, rate),
            text!(rows, phase),
            whole!(rows, seed),
            text!(rows, split),
            text!(rows, metric),
            Column::new("outcome".into(), outcome),
            number!(rows, value),
            whole!(rows, count),
        ],
    )
}

fn frame(height: usize, columns: Vec<Column>) -> DataFrame {
    DataFrame::new(height, columns).expect("all columns have one length")
}

/// Writes `runs.csv`, sorted.
///
/// # Errors
/// When the file cannot be written.
pub fn write_runs(path: &Path, rows: &[RunRow]) -> Result<(), RecordError> {
    let sorted = runs_frame(rows)
        .sort(
            ["task", "model", "setting", "phase", "seed", "rate", "split", "metric", "cell"],
            SortMultipleOptions::default(),
        )
        .map_err(|error| RecordError::format(path, error.to_string()))?;
    write_csv(path, sorted)
}

/// Writes `curves.csv`, sorted.
///
/// # Errors
/// When the file cannot be written.
pub fn write_curves(path: &Path, rows: &[CurveTableRow]) -> Result<(), RecordError> {
    let sorted = frame(
        rows.len(),
        vec![
            text!(rows, cell),
            text!(rows, task),
            text!(rows, setting),
            text!(rows, model),
            whole!(rows, seed),
            whole!(rows, updates),
            whole!(rows, multiply_adds),
            number!(rows, training_loss),
            number!(rows, validation),
        ],
    )
    .sort(["task", "model", "setting", "seed", "cell", "updates"], SortMultipleOptions::default())
    .map_err(|error| RecordError::format(path, error.to_string()))?;
    write_csv(path, sorted)
}

/// Writes `timing.csv`, sorted.
///
/// # Errors
/// When the file cannot be written.
pub fn write_timing(path: &Path, rows: &[TimingRow]) -> Result<(), RecordError> {
    let sorted = frame(
        rows.len(),
        vec![
            text!(rows, cell),
            text!(rows, task),
            text!(rows, setting),
            text!(rows, model),
            whole!(rows, seed),
            text!(rows, metric),
            whole!(rows, repeat),
            number!(rows, value),
        ],
    )
    .sort(["task", "model", "setting", "seed", "cell", "metric", "repeat"], SortMultipleOptions::default())
    .map_err(|error| RecordError::format(path, error.to_string()))?;
    write_csv(path, sorted)
}

fn write_csv(path: &Path, mut frame: DataFrame) -> Result<(), RecordError> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes)
        .finish(&mut frame)
        .map_err(|error| RecordError::format(path, error.to_string()))?;
    store::write_whole(path, &bytes)
}

/// Reads a table, each row made by `row` from its fields in the columns `names`. What `row` finds wrong gets the line.
fn each<'a, const N: usize, T>(
    path: &'a Path,
    names: [&str; N],
    mut row: impl FnMut([&str; N]) -> Result<T, String> + 'a,
) -> Result<impl Iterator<Item = Result<T, RecordError>> + 'a, RecordError> {
    let file = std::fs::File::open(path).map_err(|error| RecordError::file(path, error))?;
    let damaged = |error: csv::Error| RecordError::format(path, error.to_string());
    let mut reader = csv::Reader::from_reader(file);
    let header = reader.headers().map_err(damaged)?;
    let mut places = [0; N];
    for (place, name) in places.iter_mut().zip(names) {
        *place = header.iter().position(|column| column == name).ok_or_else(|| {
            let columns: Vec<&str> = header.iter().collect();
            let has = if columns.is_empty() { "nothing".to_owned() } else { columns.join(", ") };
            let message =
                format!("no column `{name}`; it has {has}: restore the table from git, or remove it");
            RecordError::format(path, message)
        })?;
    }
    let mut record = csv::StringRecord::new();
    Ok(std::iter::from_fn(move || match reader.read_record(&mut record) {
        Ok(true) => Some(row(places.map(|place| &record[place])).map_err(|message| {
            let line = record.position().map_or(0, csv::Position::line);
            RecordError::format(path, format!("line {line}: {message}"))
        })),
        Ok(false) => None,
        Err(error) => Some(Err(damaged(error))),
    }))
}

fn parsed<T: FromStr>(name: &str, field: &str, what: &str) -> Result<T, String> {
    field.parse().map_err(|_| format!("`{field}` in column `{name}` is not {what}"))
}

/// Reads `runs.csv`. [`Runs::read`](crate::runs::Runs::read) takes a fraction of the memory.
///
/// # Errors
/// When the file is missing, lacks a column, or a field does not parse; the message names the line.
pub fn read_runs(path: &Path) -> Result<Vec<RunRow>, RecordError> {
    each_run(path, |line| line.row())?.collect()
}

/// A row of `runs.csv` as it stands in the file.
pub(crate) struct RunLine<'a> {
    pub(crate) kind: Kind<&'a str>,
    pub(crate) cell: &'a str,
    pub(crate) rate: f64,
    pub(crate) seed: u64,
    pub(crate) outcome: Outcome,
    pub(crate) value: f64,
    pub(crate) count: u64,
}

impl RunLine<'_> {
    fn row(&self) -> RunRow {
        let &Self { kind, cell, rate, seed, outcome, value, count } = self;
        let Kind { task, setting, model, phase, split, metric } = kind;
        let [cell, task, setting, model, phase, split, metric] =
            [cell, task, setting, model, phase, split, metric].map(str::to_owned);
        RunRow { cell, task, setting, model, rate, phase, seed, split, metric, outcome, value, count }
    }
}

impl RunRow {
    pub(crate) fn line(&self) -> RunLine<'_> {
        let Self { cell, task, setting, model, phase, split, metric, .. } = self;
        let &Self { rate, seed, outcome, value, count, .. } = self;
        RunLine {
            kind: Kind { task, setting, model, phase, split, metric },
            cell,
            rate,
            seed,
            outcome,
            value,
            count,
        }
    }
}

/// What `take` makes of each row of `runs.csv`.
pub(crate) fn each_run<'a, T>(
    path: &'a Path,
    mut take: impl FnMut(RunLine) -> T + 'a,
) -> Result<impl Iterator<Item = Result<T, RecordError>> + 'a, RecordError> {
    let names = [
        "cell", "task", "setting", "model", "rate", "phase", "seed", "split", "metric", "outcome", "value",
        "count",
    ];
    each(
        path,
        names,
        move |[cell, task, setting, model, rate, phase, seed, split, metric, outcome, value, count]| {
            Ok(take(RunLine {
                kind: Kind { task, setting, model, phase, split, metric },
                cell,
                rate: parsed("rate", rate, "a number")?,
                seed: parsed("seed", seed, "a seed")?,
                outcome: Outcome::from_name(outcome).ok_or_else(|| format!("unknown outcome `{outcome}`"))?,
                value: parsed("value", value, "a number")?,
                count: parsed("count", count, "a count")?,
            }))
        },
    )
}

/// Reads `curves.csv`.
///
/// # Errors
/// As [`read_runs`].
pub fn read_curves(path: &Path) -> Result<Vec<CurveTableRow>, RecordError> {
    let names = [
        "cell",
        "task",
        "setting",
        "model",
        "seed",
        "updates",
        "multiply_adds",
        "training_loss",
        "validation",
    ];
    let row = |[cell, task, setting, model, seed, updates, multiply_adds, loss, validation]: [&str; 9]| {
        Ok(CurveTableRow {
            cell: cell.to_owned(),
            task: task.to_owned(),
            setting: setting.to_owned(),
            model: model.to_owned(),
            seed: parsed("seed", seed, "a seed")?,
            updates: parsed("updates", updates, "a count")?,
            multiply_adds: parsed("multiply_adds", multiply_adds, "a count")?,
            training_loss: parsed("training_loss", loss, "a number")?,
            validation: parsed("validation", validation, "a number")?,
        })
    };
    each(path, names, row)?.collect()
}

/// Reads `timing.csv`.
///
/// # Errors
/// As [`read_runs`].
pub fn read_timing(path: &Path) -> Result<Vec<TimingRow>, RecordError> {
    let names = ["cell", "task", "setting", "model", "seed", "metric", "repeat", "value"];
    let row = |[cell, task, setting, model, seed, metric, repeat, value]: [&str; 8]| {
        Ok(TimingRow {
            cell: cell.to_owned(),
            task: task.to_owned(),
            setting: setting.to_owned(),
            model: model.to_owned(),
            seed: parsed("seed", seed, "a seed")?,
            metric: metric.to_owned(),
            repeat: parsed("repeat", repeat, "a count")?,
            value: parsed("value", value, "a number")?,
        })
    };
    each(path, names, row)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seed: u64, value: f64) -> RunRow {
        RunRow {
            cell: "ab".into(),
            task: "recall, far".into(),
            setting: String::new(),
            model: "LSTM \"b\"=1".into(),
            rate: 0.001,
            phase: "evaluation".into(),
            seed,
            split: "test".into(),
            metric: "accuracy".into(),
            outcome: Outcome::NotSolved,
            value,
            count: 1000,
        }
    }

    #[test]
    fn runs_come_back_sorted_and_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.csv");
        let rows = [row(2, 1.0 / 3.0), row(1, f64::INFINITY), row(3, 1e-300)];
        write_runs(&path, &rows).unwrap();
        let read = read_runs(&path).unwrap();
        assert_eq!(read, [rows[1].clone(), rows[0].clone(), rows[2].clone()]);
        let shuffled = folder.path().join("shuffled.csv");
        write_runs(&shuffled, &[rows[2].clone(), rows[0].clone(), rows[1].clone()]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&shuffled).unwrap());
    }

    #[test]
    fn a_damaged_field_is_named_by_line_and_column() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.csv");
        write_runs(&path, &[row(1, 0.5), row(2, 0.25)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("0.25", "a quarter")).unwrap();
        let message = read_runs(&path).unwrap_err().to_string();
        assert!(message.contains("line 3: `a quarter` in column `value` is not a number"), "{message}");
        std::fs::write(&path, text.replacen("metric", "metrik", 1)).unwrap();
        let message = read_runs(&path).unwrap_err().to_string();
        assert!(message.contains("no column `metric`"), "{message}");
    }
}
