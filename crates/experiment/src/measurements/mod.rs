//! Measurements: what one cell yields. One file each, one line in [`MEASUREMENTS`].

use record::Settings;
use record::cell::{Cell, CurveRow, Outcome, Row};
use record::definition::unknown;
use sequence::{
    Batch, Budget, CurvePoint, Dataset, Fit, Inputs, Learner, Observer, Predictor, Run, Score, StopRule,
    Targets, Task, TestSet,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use training::TrainingConfig;

use crate::ExperimentError;
use crate::facts::Facts;
use crate::machine::Machine;
use crate::settings::{complete, parse, resolve, table};

mod bias_variance;
mod clustering;
mod cross_validation;
mod decoding_cost;
mod ensemble_variance;
mod explanation;
mod generation;
mod gradient_and_training;
mod gradient_by_depth;
mod gradient_by_lag;
mod growth;
mod importance;
mod joint;
mod memorisation;
mod overfitting;
mod part;
mod pass_cost;
mod position_probe;
mod posterior;
mod quality_by_length;
mod queries;
mod rate_sensitivity;
mod repeat;
mod ridge;
mod sampling;
mod slope;
mod staircase;
mod step_time;
mod subset_selection;
mod subspace;
mod synthetic;
mod train;
mod trained;
mod trend;
mod untrained;
mod update_sizes;
mod validation_curve;
mod writing;

pub(crate) use gradient_and_training::DISTANCE;
pub(crate) use staircase::{LADDER, RATES};

/// All measurements.
pub static MEASUREMENTS: &[MeasurementEntry] = &[
    train::ENTRY,
    writing::ENTRY,
    staircase::ENTRY,
    gradient_by_lag::ENTRY,
    gradient_by_depth::ENTRY,
    gradient_and_training::ENTRY,
    update_sizes::ENTRY,
    position_probe::ENTRY,
    quality_by_length::ENTRY,
    importance::ENTRY,
    explanation::ENTRY,
    step_time::ENTRY,
    pass_cost::ENTRY,
    decoding_cost::ENTRY,
    bias_variance::ENTRY,
    joint::ENTRY,
    posterior::ENTRY,
    trend::ENTRY,
    generation::ENTRY,
    clustering::ENTRY,
    subspace::ENTRY,
    overfitting::ENTRY,
    validation_curve::ENTRY,
    cross_validation::ENTRY,
    subset_selection::ENTRY,
    ensemble_variance::ENTRY,
    sampling::ENTRY,
    synthetic::ENTRY,
    queries::ENTRY,
    memorisation::ENTRY,
    rate_sensitivity::ENTRY,
];

/// The measurement of that name.
#[must_use]
pub fn measurement(name: &str) -> Option<&'static MeasurementEntry> {
    MEASUREMENTS.iter().find(|entry| entry.name == name)
}

/// A measurement as the registry knows it.
pub struct MeasurementEntry {
    /// Name in definitions.
    pub name: &'static str,
    /// What a cell yields, in one line.
    pub summary: &'static str,
    /// Raised whenever the same cell would yield something else.
    pub version: u32,
    /// Every setting with its default.
    pub defaults: fn() -> Value,
    /// Settings that one model may have and another not, because they add rows and change no other. What compared
    /// models share must not be among them.
    pub of_one_model: &'static [&'static str],
    /// When its cells run, and at which rate.
    pub schedule: Schedule,
    /// Says what is wrong with the settings, if anything is.
    pub check: fn(&Settings, &Facts) -> Result<(), String>,
    /// The task setting that varies within one cell, if one does.
    pub over: fn(&Settings) -> Option<String>,
    /// The numbers that a cell yields.
    pub yields: fn(&Settings, &Facts) -> Vec<Yielded>,
    /// Expected processor seconds of a cell, from the cost at each task setting that it adds.
    pub seconds: fn(&Settings, &Costs) -> f64,
    /// Computes a cell.
    pub run: fn(&CellContext) -> Result<Yield, ExperimentError>,
}

/// The cost at a task setting with settings added.
pub type Costs<'a> = dyn Fn(&Settings) -> StepCost + 'a;

/// When the cells of a measurement run, and at which learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// After tuning, at the tuned rate.
    Tuned,
    /// At any time, because a cell tries the rates itself.
    OwnRates,
    /// Last, one at a time, at the default rate.
    Alone,
}

/// A number that the cells of a measurement yield.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yielded {
    /// Split, such as `test`.
    pub split: String,
    /// Metric.
    pub metric: String,
}

impl Yielded {
    fn new(split: &str, metric: impl Into<String>) -> Self {
        Self { split: split.to_owned(), metric: metric.into() }
    }
}

/// Expected processor seconds at one task setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepCost {
    /// Of one update.
    pub update: f64,
    /// Of one validation.
    pub validation: f64,
    /// Of one test.
    pub test: f64,
}

/// What a cell yielded.
#[derive(Clone, Debug, PartialEq)]
pub struct Yield {
    /// How it ended.
    pub outcome: Outcome,
    /// What should be known beside the numbers.
    pub message: Option<String>,
    /// Numbers.
    pub rows: Vec<Row>,
    /// Course of training.
    pub curve: Vec<CurveRow>,
    /// Seconds of one training step, where that is what was measured.
    pub step_seconds: Vec<f64>,
}

/// Splits that are not examples.
pub(crate) const VALIDATION: &str = "validation";
pub(crate) const FIT: &str = "fit";
pub(crate) const TEST: &str = "test";

/// Consecutive evaluations at which the task must be solved (PROTOCOL: staircases).
const SOLVED_EVALUATIONS: u32 = 2;

/// A cell with all that computing it needs.
pub struct CellContext<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// Where texts are found.
    pub corpora: &'a data::Corpora,
    /// The clock.
    pub machine: &'a dyn Machine,
}

impl CellContext<'_> {
    fn settings<C: Default + Serialize + DeserializeOwned>(&self) -> Result<C, ExperimentError> {
        parse(&self.cell.measurement.settings).map_err(|message| {
            ExperimentError::Cell(format!("measurement `{}`: {message}", self.cell.measurement.name))
        })
    }

    /// The task with settings added to the cell's.
    fn task(&self, added: &Settings) -> Result<Box<dyn Task>, ExperimentError> {
        build_task(self.cell, added, self.corpora)
    }

    /// The model for the task with settings added to the cell's, at a rate other than the cell's if one is given.
    fn learner(&self, added: &Settings, rate: Option<f64>) -> Result<Box<dyn Learner>, ExperimentError> {
        build_learner(self.cell, added, rate)
    }

    fn batch_size(&self) -> usize {
        batch_size(self.cell)
    }

    fn fit(
        &self,
        task: &dyn Task,
        learner: &dyn Learner,
        budget: Budget,
        stop: StopRule,
        observer: Option<&mut Observer>,
    ) -> Result<Fit, ExperimentError> {
        let data = Dataset::new(task, self.cell.seed, self.batch_size());
        let stopwatch: &dyn sequence::Stopwatch = self.machine;
        Ok(match observer {
            Some(observer) => {
                // A closure of its own, because an observer must live as long as the run that it looks on.
                let mut look = |point: &CurvePoint, predictor: &dyn Predictor| observer(point, predictor);
                let observer: Option<&mut Observer> = Some(&mut look);
                learner.fit(&data, &mut Run { budget, stop, seed: self.cell.seed, stopwatch, observer })?
            }
            None => learner
                .fit(&data, &mut Run { budget, stop, seed: self.cell.seed, stopwatch, observer: None })?,
        })
    }
}

/// The key of the batch size among a cell's training settings.
pub(crate) const BATCH: &str = "batch";
/// The key of the learning rate among a cell's training settings.
pub(crate) const RATE: &str = "rate";

/// Sequences in a training batch of a cell.
pub(crate) fn batch_size(cell: &Cell) -> usize {
    let size = cell.training.get(BATCH).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    size.unwrap_or(1)
}

/// The task of a cell, with settings added.
pub(crate) fn build_task(
    cell: &Cell,
    added: &Settings,
    corpora: &data::Corpora,
) -> Result<Box<dyn Task>, ExperimentError> {
    let entry = task_entry(&cell.task.name)?;
    same_version("task", &cell.task.name, entry.version, cell.task.version)?;
    let mut settings = cell.task.settings.clone();
    settings.extend(added.clone());
    Ok((entry.build)(&table(&settings), corpora)?)
}

/// The model of a cell, for the task with settings added, at a rate other than the cell's if one is given.
pub(crate) fn build_learner(
    cell: &Cell,
    added: &Settings,
    rate: Option<f64>,
) -> Result<Box<dyn Learner>, ExperimentError> {
    let entry = model_entry(&cell.model.name)?;
    same_version("model", &cell.model.name, entry.version, cell.model.version)?;
    let mut task = complete(&(task_entry(&cell.task.name)?.defaults)(), &cell.task.settings);
    task.extend(added.clone());
    let wrong = |message| ExperimentError::Cell(format!("model `{}`: {message}", cell.model.name));
    let settings = resolve(&cell.model.settings, &task).map_err(wrong)?;
    let mut training = cell.training.clone();
    training.remove(BATCH);
    if let Some(rate) = rate {
        training.insert(RATE.to_owned(), rate.into());
    }
    let training: TrainingConfig =
        parse(&training).map_err(|message| ExperimentError::Cell(format!("training: {message}")))?;
    let size = models::Size { width: cell.size.width, body_parameters: cell.size.body_parameters };
    Ok((entry.build)(&table(&settings), &training, &size)?)
}

pub(crate) fn task_entry(name: &str) -> Result<&'static data::TaskEntry, ExperimentError> {
    data::task(name).ok_or_else(|| {
        let names: Vec<&str> = data::TASKS.iter().map(|entry| entry.name).collect();
        ExperimentError::Cell(unknown("task", name, &names))
    })
}

pub(crate) fn model_entry(name: &str) -> Result<&'static models::ModelEntry, ExperimentError> {
    models::MODELS.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<&str> = models::MODELS.iter().map(|entry| entry.name).collect();
        ExperimentError::Cell(unknown("model", name, &names))
    })
}

pub(crate) fn measurement_entry(name: &str) -> Result<&'static MeasurementEntry, ExperimentError> {
    measurement(name).ok_or_else(|| {
        let names: Vec<&str> = MEASUREMENTS.iter().map(|entry| entry.name).collect();
        ExperimentError::Cell(unknown("measurement", name, &names))
    })
}

/// Refuses a cell that another version of the code planned.
pub(crate) fn same_version(what: &str, name: &str, here: u32, asked: u32) -> Result<(), ExperimentError> {
    if here == asked {
        return Ok(());
    }
    Err(ExperimentError::Cell(format!(
        "{what} `{name}` is version {here} here, the cell asks for version {asked}"
    )))
}

/// Scores of a predictor on each test set.
fn test_scores(task: &dyn Task, predictor: &dyn Predictor, tests: &[TestSet]) -> Vec<Vec<Score>> {
    tests.iter().map(|set| scores(task, predictor, &set.batches)).collect()
}

fn scores(task: &dyn Task, predictor: &dyn Predictor, batches: &[sequence::Batch]) -> Vec<Score> {
    let predictions: Vec<_> = batches.iter().map(|batch| predictor.predict(batch)).collect();
    task.scores(batches, &predictions)
}

/// A number of a cell without observations behind it.
fn row(setting: &Settings, split: &str, metric: &str, outcome: Outcome, value: f64) -> Row {
    counted(setting, split, metric, outcome, value, 0)
}

fn counted(setting: &Settings, split: &str, metric: &str, outcome: Outcome, value: f64, count: usize) -> Row {
    Row {
        setting: setting.clone(),
        split: split.to_owned(),
        metric: metric.to_owned(),
        outcome,
        value,
        count,
    }
}

/// The first sequences of a batch.
fn first(batch: &Batch, sequences: usize) -> Batch {
    let size = sequences.min(batch.size);
    let positions = size * batch.time;
    let mut first = batch.clone();
    first.size = size;
    match &mut first.inputs {
        Inputs::Tokens(tokens) => tokens.truncate(positions),
        Inputs::Features { width, values } => values.truncate(positions * *width),
    }
    match &mut first.targets {
        Targets::Classes(classes) => classes.truncate(positions),
        Targets::Values(values) => values.truncate(positions),
    }
    first.loss_mask.truncate(positions);
    first.lengths.truncate(size);
    first.source = first.source.map(|source| Box::new(self::first(&source, size)));
    first
}

/// The course of a fit as rows.
fn curve(setting: &Settings, fit: &Fit) -> Vec<CurveRow> {
    let row = |point: &CurvePoint| CurveRow {
        setting: setting.clone(),
        updates: point.updates,
        multiply_adds: point.multiply_adds,
        training_loss: point.training_loss,
        validation: point.validation,
        test_blocks: Vec::new(),
    };
    fit.curve.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_defaults_pass_their_own_check() {
        for (index, entry) in MEASUREMENTS.iter().enumerate() {
            assert!(
                MEASUREMENTS[..index].iter().all(|other| other.name != entry.name),
                "{} twice",
                entry.name
            );
            assert!((entry.defaults)().is_object());
        }
        assert!(measurement("trian").is_none());
    }
}
