//! The long tables `runs.csv`, `curves.csv` and `timing.csv`, read and written through Polars.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;

use polars::prelude::*;

use crate::cell::Outcome;
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

/// Rows of `runs.csv`, found without looking at every one of them.
///
/// Rows with the same task, setting, model, phase, split and metric are of one kind. There are few kinds, and each has
/// a row for every seed.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    rows: Vec<RunRow>,
    /// Places of the rows of each kind, in the order of their first.
    kinds: Vec<Vec<usize>>,
}

impl Runs {
    /// The first row of each kind, in the order of the table.
    pub fn kinds(&self) -> impl Iterator<Item = &RunRow> {
        self.kinds.iter().map(|places| &self.rows[places[0]])
    }

    /// The rows of all kinds that `accepts` accepts, kind by kind. It must look at nothing but what makes the kind.
    pub fn select<'a>(&'a self, accepts: impl Fn(&RunRow) -> bool + 'a) -> impl Iterator<Item = &'a RunRow> {
        let kinds = self.kinds.iter().filter(move |places| accepts(&self.rows[places[0]]));
        kinds.flatten().map(|&place| &self.rows[place])
    }
}

impl From<Vec<RunRow>> for Runs {
    fn from(rows: Vec<RunRow>) -> Self {
        let mut kinds: Vec<Vec<usize>> = Vec::new();
        let mut arms = BTreeMap::new();
        let mut place = 0;
        // Neighbours are of one arm mostly, so that it is looked up once for all of them.
        for neighbours in rows.chunk_by(|one, other| {
            one.task == other.task
                && one.model == other.model
                && one.setting == other.setting
                && one.phase == other.phase
        }) {
            let RunRow { task, model, setting, phase, .. } = &neighbours[0];
            let arm: &mut BTreeMap<(&str, &str), usize> =
                arms.entry((task, model, setting, phase)).or_default();
            for row in neighbours {
                let kind = *arm.entry((&row.split, &row.metric)).or_insert(kinds.len());
                if kind == kinds.len() {
                    kinds.push(Vec::new());
                }
                kinds[kind].push(place);
                place += 1;
            }
        }
        Self { rows, kinds }
    }
}

impl Deref for Runs {
    type Target = [RunRow];

    fn deref(&self) -> &[RunRow] {
        &self.rows
    }
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

/// Reads a table with every column as text, so that numbers keep the spelling they were written in.
fn read_csv(path: &Path) -> Result<DataFrame, RecordError> {
    if !path.exists() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(RecordError::file(path, missing));
    }
    CsvReadOptions::default()
        .with_infer_schema_length(Some(0))
        .try_into_reader_with_file_path(Some(path.to_owned()))
        .and_then(CsvReader::finish)
        .map_err(|error| RecordError::format(path, error.to_string()))
}

struct Reader<'a> {
    path: &'a Path,
    frame: DataFrame,
}

impl<'a> Reader<'a> {
    fn open(path: &'a Path) -> Result<Self, RecordError> {
        Ok(Self { path, frame: read_csv(path)? })
    }

    /// The fields of a column. Empty fields are empty text.
    fn fields(&self, name: &str) -> Result<impl Iterator<Item = &str>, RecordError> {
        let column = self.frame.column(name).map_err(|_| {
            let names: Vec<&str> =
                self.frame.get_column_names().into_iter().map(PlSmallStr::as_str).collect();
            RecordError::format(self.path, format!("no column `{name}`; it has {}", names.join(", ")))
        })?;
        let text = column.str().map_err(|error| RecordError::format(self.path, error.to_string()))?;
        Ok(text.iter().map(Option::unwrap_or_default))
    }

    fn text(&self, name: &str) -> Result<Vec<String>, RecordError> {
        Ok(self.fields(name)?.map(str::to_owned).collect())
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<Vec<T>, RecordError> {
        self.fields(name)?
            .enumerate()
            .map(|(row, field)| {
                field.parse().map_err(|_| {
                    // Line 1 is the header.
                    let line = row + 2;
                    RecordError::format(
                        self.path,
                        format!("line {line}: `{field}` in column `{name}` is not {what}"),
                    )
                })
            })
            .collect()
    }
}

/// Reads `runs.csv`.
///
/// # Errors
/// When the file is missing, lacks a column, or a field does not parse; the message names the line.
pub fn read_runs(path: &Path) -> Result<Vec<RunRow>, RecordError> {
    let reader = Reader::open(path)?;
    // Field by field instead of column by column: the table may be large.
    let (mut cell, mut task, mut setting, mut model, mut phase, mut split, mut metric) = (
        reader.fields("cell")?,
        reader.fields("task")?,
        reader.fields("setting")?,
        reader.fields("model")?,
        reader.fields("phase")?,
        reader.fields("split")?,
        reader.fields("metric")?,
    );
    let (seed, count) = (reader.parsed::<u64>("seed", "a seed")?, reader.parsed::<u64>("count", "a count")?);
    let (rate, value) =
        (reader.parsed::<f64>("rate", "a number")?, reader.parsed::<f64>("value", "a number")?);
    reader
        .fields("outcome")?
        .enumerate()
        .map(|(row, outcome)| {
            let outcome = Outcome::from_name(outcome).ok_or_else(|| {
                RecordError::format(path, format!("line {}: unknown outcome `{outcome}`", row + 2))
            })?;
            Ok(RunRow {
                cell: next(&mut cell),
                task: next(&mut task),
                setting: next(&mut setting),
                model: next(&mut model),
                rate: rate[row],
                phase: next(&mut phase),
                seed: seed[row],
                split: next(&mut split),
                metric: next(&mut metric),
                outcome,
                value: value[row],
                count: count[row],
            })
        })
        .collect()
}

fn next<'a>(column: &mut impl Iterator<Item = &'a str>) -> String {
    column.next().expect("all columns have one length").to_owned()
}

/// Reads `curves.csv`.
///
/// # Errors
/// As [`read_runs`].
pub fn read_curves(path: &Path) -> Result<Vec<CurveTableRow>, RecordError> {
    let reader = Reader::open(path)?;
    let (cell, task, setting, model) =
        (reader.text("cell")?, reader.text("task")?, reader.text("setting")?, reader.text("model")?);
    let (seed, updates) = (reader.parsed("seed", "a seed")?, reader.parsed("updates", "a count")?);
    let multiply_adds = reader.parsed("multiply_adds", "a count")?;
    let (loss, validation) =
        (reader.parsed("training_loss", "a number")?, reader.parsed("validation", "a number")?);
    Ok((0..cell.len())
        .map(|row| CurveTableRow {
            cell: cell[row].clone(),
            task: task[row].clone(),
            setting: setting[row].clone(),
            model: model[row].clone(),
            seed: seed[row],
            updates: updates[row],
            multiply_adds: multiply_adds[row],
            training_loss: loss[row],
            validation: validation[row],
        })
        .collect())
}

/// Reads `timing.csv`.
///
/// # Errors
/// As [`read_runs`].
pub fn read_timing(path: &Path) -> Result<Vec<TimingRow>, RecordError> {
    let reader = Reader::open(path)?;
    let (cell, task, setting, model, metric) = (
        reader.text("cell")?,
        reader.text("task")?,
        reader.text("setting")?,
        reader.text("model")?,
        reader.text("metric")?,
    );
    let (seed, repeat) = (reader.parsed("seed", "a seed")?, reader.parsed("repeat", "a count")?);
    let value = reader.parsed("value", "a number")?;
    Ok((0..cell.len())
        .map(|row| TimingRow {
            cell: cell[row].clone(),
            task: task[row].clone(),
            setting: setting[row].clone(),
            model: model[row].clone(),
            seed: seed[row],
            metric: metric[row].clone(),
            repeat: repeat[row],
            value: value[row],
        })
        .collect())
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
