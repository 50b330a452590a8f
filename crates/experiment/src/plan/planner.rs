//! From one task of a definition to its cells: every name is looked up, every task and model built once.

use std::collections::{BTreeMap, BTreeSet};

use data::DataError;
use record::cell::{Cell, Component, SCHEMA, Size};
use record::definition::{Definition, ModelArm, TaskArm, unknown};
use record::{Settings, label};
use sequence::Dataset;
use serde_json::Value;
use training::TrainingConfig;

use super::grid::{Varied, product, tune_at, varied};
use super::{Arm, Profile, Stage, estimate};
use crate::facts::{Facts, Floors};
use crate::measurements::{
    BATCH, DISTANCE, LADDER, MeasurementEntry, RATE, RATES, Schedule, build_learner, build_task,
    measurement_entry, model_entry, task_entry,
};
use crate::settings::{canonical, complete, keys, parse, resolve, table};
use crate::{ExperimentError, Workspace};

/// Sequences of a batch, at most: more fit no memory, and are a slip of the finger.
const MOST_SEQUENCES: usize = 65_536;

/// What claims and figures can be checked against, of one task.
pub(crate) struct TaskCheck<'a> {
    pub(crate) task: &'a TaskArm,
    pub(crate) measurement: &'static MeasurementEntry,
    pub(crate) measure: Settings,
    /// Values of each setting that varies, the ladder of a staircase included.
    pub(crate) varying: BTreeMap<String, Vec<Value>>,
    /// Facts, unless the corpus is missing.
    pub(crate) facts: Option<Facts>,
}

/// A plan in the making.
pub(super) struct Planner<'a> {
    pub(super) definition: &'a Definition,
    pub(super) profile: Profile,
    pub(super) workspace: &'a Workspace,
    pub(super) left_out: BTreeMap<String, String>,
    pub(super) corpora: BTreeMap<String, String>,
    pub(super) facts: BTreeMap<String, Facts>,
    pub(super) tuning: Vec<Arm>,
    pub(super) evaluation: Vec<Arm>,
    pub(super) timing: Vec<Arm>,
    pub(super) floors: Vec<Floors>,
}

/// A model of a task, resolved against the registry.
struct ModelOnTask<'a> {
    arm: &'a ModelArm,
    entry: &'static models::ModelEntry,
    trains: bool,
}

impl<'a> Planner<'a> {
    fn wrong(&self, message: impl Into<String>) -> ExperimentError {
        ExperimentError::definition(&self.definition.path, message)
    }

    /// The training settings that all models share, checked.
    pub(super) fn training(&self) -> Result<TrainingConfig, ExperimentError> {
        let shared = self.check_training("[training]", &self.definition.training)?;
        for model in self.definition.models.iter().filter(|model| !model.training.is_empty()) {
            let place = format!("model `{}`: training", model.label);
            if self.check_training(&place, &self.training_of(model))?.device != shared.device {
                return Err(self.wrong(format!("{place}: `device` is the same for all models")));
            }
        }
        Ok(shared)
    }

    /// The shared training settings with those of one model in their place.
    fn training_of(&self, model: &ModelArm) -> Settings {
        let mut training = self.definition.training.clone();
        training.extend(model.training.clone());
        training
    }

    fn check_training(&self, place: &str, settings: &Settings) -> Result<TrainingConfig, ExperimentError> {
        let wrong = |message: String| self.wrong(format!("{place}: {message}"));
        for (key, instead) in [(RATE, "[tuning]"), (BATCH, "[[task]]")] {
            if settings.contains_key(key) {
                return Err(wrong(format!("`{key}` is set in {instead}")));
            }
        }
        let config: TrainingConfig = parse(settings).map_err(&wrong)?;
        config.check().map_err(|error| wrong(error.to_string()))?;
        Ok(config)
    }

    /// Refuses measurements of one model that would not be comparable with those of the others.
    pub(super) fn check_own_measurements(&self) -> Result<(), ExperimentError> {
        for model in &self.definition.models {
            let kinds: Vec<&str> = (self.definition.tasks.iter())
                .filter(|task| model.tasks.contains(&task.label))
                .map(|task| task.measure.kind.as_str())
                .collect();
            let fail = |message| self.wrong(format!("model `{}`: measure: {message}", model.label));
            for (kind, settings) in &model.measure {
                if !kinds.contains(&kind.as_str()) {
                    return Err(fail(unknown("measurement of its tasks", kind, &kinds)));
                }
                let entry = measurement_entry(kind).map_err(|error| fail(error.to_string()))?;
                let (known, own) = ((entry.defaults)(), entry.of_one_model);
                for key in settings.keys() {
                    if !keys(&known).contains(&key.as_str()) {
                        return Err(fail(unknown(&format!("setting of `{kind}`"), key, &keys(&known))));
                    }
                    if !own.contains(&key.as_str()) {
                        let may = if own.is_empty() { "nothing".to_owned() } else { own.join(", ") };
                        return Err(fail(format!(
                            "`{key}` must be the same for all models, so it is set in the task; what may differ: {may}"
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// Plans all cells of a task.
    pub(super) fn task(&mut self, task: &'a TaskArm) -> Result<TaskCheck<'a>, ExperimentError> {
        let place = format!("task `{}`", task.label);
        let definition = self.definition;
        let fail =
            |message: String| ExperimentError::definition(&definition.path, format!("{place}: {message}"));
        let entry = task_entry(&task.name).map_err(|error| fail(error.to_string()))?;
        if entry.version != task.version {
            return Err(fail(format!(
                "`{}` is version {} now, the definition was written for version {}: see what changed, then set \
                 `version = {}`",
                task.name, entry.version, task.version, entry.version
            )));
        }
        let measurement = measurement_entry(&task.measure.kind).map_err(|error| fail(error.to_string()))?;
        if !(1..=MOST_SEQUENCES).contains(&task.batch) {
            return Err(fail(format!("`batch` must be from 1 to {MOST_SEQUENCES}")));
        }

        let defaults = (entry.defaults)();
        let mut measure = task.measure.settings.clone();
        let known_keys = (measurement.defaults)();
        for key in measure.keys() {
            if !keys(&known_keys).contains(&key.as_str()) {
                return Err(fail(unknown("setting of `measure`", key, &keys(&known_keys))));
            }
        }
        if let Some(Value::String(named)) = complete(&known_keys, &measure).get(DISTANCE)
            && !keys(&defaults).contains(&named.as_str())
        {
            let message = unknown(&format!("setting of `{}`", task.name), named, &keys(&defaults));
            return Err(fail(format!("`measure.{DISTANCE}`: {message}")));
        }
        let over = (measurement.over)(&measure);
        let Varied { fixed, grid, ladder } = varied(task, &defaults, over.as_deref()).map_err(fail)?;
        if let Some(ladder) = &ladder {
            if measure.contains_key(LADDER) {
                let over = over.as_deref().unwrap_or_default();
                return Err(fail(format!("`measure.ladder` is the task's list `{over}`; leave it out")));
            }
            measure.insert(LADDER.to_owned(), Value::Array(ladder.clone()));
            if keys(&known_keys).contains(&RATES) {
                measure.entry(RATES.to_owned()).or_insert_with(|| definition.tuning.rates.clone().into());
            }
        }
        let mut varying: BTreeMap<String, Vec<Value>> = grid.clone();
        if let (Some(over), Some(ladder)) = (&over, &ladder) {
            varying.insert(over.clone(), ladder.clone());
        }
        let mut check =
            TaskCheck { task, measurement, measure: canonical(&measure, &known_keys), varying, facts: None };

        let models = self.models(&task.label)?;
        if !self.has_corpora(entry, &fixed, &grid, &task.label)? {
            return Ok(check);
        }
        let counting = models.iter().find(|model| !model.trains);
        if let (Schedule::Alone, Some(model)) = (measurement.schedule, counting) {
            return Err(fail(format!(
                "model `{}` makes no training steps that could be timed",
                model.arm.label
            )));
        }
        let template = Cell {
            schema: SCHEMA,
            task: Component { name: task.name.clone(), version: entry.version, settings: Settings::new() },
            data: None,
            model: Component { name: String::new(), version: 0, settings: Settings::new() },
            size: Size { width: self.definition.width, body_parameters: None },
            training: Settings::new(),
            measurement: Component {
                name: measurement.name.to_owned(),
                version: measurement.version,
                settings: check.measure.clone(),
            },
            seed: 0,
        };
        let point = |setting: Settings, stage| Point {
            task,
            setting,
            fixed: &fixed,
            ladder: ladder.as_deref(),
            over: over.as_deref(),
            stage,
        };
        let stage = if measurement.schedule == Schedule::Alone { Stage::Timing } else { Stage::Evaluation };
        for setting in product(&grid) {
            let facts = self.point(&point(setting, stage), &template, &models, measurement)?;
            check.facts.get_or_insert(facts);
        }
        // The quick profile trains at the common rate.
        let tuned = self.profile == Profile::Full && measurement.schedule == Schedule::Tuned;
        if tuned && models.iter().any(|model| model.trains) {
            let setting = tune_at(task, &defaults, &grid).map_err(fail)?;
            self.point(&point(setting, Stage::Tuning), &template, &models, measurement)?;
        }
        if let Some(facts) = &check.facts {
            self.facts.insert(task.label.clone(), facts.clone());
        }
        Ok(check)
    }

    /// Whether all corpora that a task reads at any of its settings are at hand; otherwise the task is left out, with a note.
    fn has_corpora(
        &mut self,
        entry: &data::TaskEntry,
        fixed: &Settings,
        grid: &BTreeMap<String, Vec<Value>>,
        task: &str,
    ) -> Result<bool, ExperimentError> {
        let mut names = BTreeSet::new();
        for setting in product(grid) {
            let mut settings = fixed.clone();
            settings.extend(setting);
            names.extend((entry.corpora)(&table(&settings)));
        }
        let corpora = &self.workspace.corpora;
        for name in names {
            match corpora.locate(&name).and_then(|_| corpora.digest(&name)) {
                Ok(digest) => {
                    self.corpora.insert(name, digest);
                }
                Err(error @ (DataError::MissingCorpus { .. } | DataError::DamagedCorpus { .. })) => {
                    self.left_out.insert(task.to_owned(), error.to_string());
                    return Ok(false);
                }
                Err(error) => return Err(self.wrong(format!("task `{task}`: {error}"))),
            }
        }
        Ok(true)
    }

    fn models(&self, task: &str) -> Result<Vec<ModelOnTask<'a>>, ExperimentError> {
        let resolve = |arm: &'a ModelArm| {
            let entry = model_entry(&arm.name)
                .map_err(|error| self.wrong(format!("model `{}`: {error}", arm.label)))?;
            Ok(ModelOnTask { arm, entry, trains: takes_rate(entry) })
        };
        let definition = self.definition;
        definition
            .models
            .iter()
            .filter(|model| model.tasks.iter().any(|label| label == task))
            .map(resolve)
            .collect()
    }

    /// Plans the cells of all models at one setting of a task, and builds each task and model once.
    fn point(
        &mut self,
        point: &Point,
        template: &Cell,
        models: &[ModelOnTask],
        measurement: &MeasurementEntry,
    ) -> Result<Facts, ExperimentError> {
        let (task, definition) = (point.task, self.definition);
        let fail = |message: String| {
            let place = format!("task `{}`{}", task.label, at(&point.setting));
            ExperimentError::definition(&definition.path, format!("{place}: {message}"))
        };
        let entry = task_entry(&task.name)?;
        let defaults = (entry.defaults)();
        let mut settings = point.fixed.clone();
        settings.extend(point.setting.clone());
        let mut template = template.clone();
        template.data = (self.workspace.corpora.digest_of_all(&(entry.corpora)(&table(&settings))))
            .map_err(|error| fail(error.to_string()))?;
        template.task.settings = canonical(&settings, &defaults);

        // One task setting, or one for each value of the ladder.
        let added: Vec<Settings> = match (point.over, point.ladder) {
            (Some(over), Some(ladder)) => {
                ladder.iter().map(|value| Settings::from([(over.to_owned(), value.clone())])).collect()
            }
            _ => vec![Settings::new()],
        };
        let mut built = Vec::new();
        for added in added {
            let task = build_task(&template, &added, &self.workspace.corpora).map_err(|error| {
                let given = template.task.settings.keys().chain(added.keys());
                fail(with_nearest(&error.to_string(), given, &defaults))
            })?;
            let facts = Facts::of(task.as_ref(), 0, point.task.batch);
            (measurement.check)(&template.measurement.settings, &facts)
                .map_err(|message| fail(format!("measure: {message}")))?;
            if point.stage != Stage::Tuning {
                let mut setting = point.setting.clone();
                setting.extend(added.clone());
                self.floors.push(Floors {
                    task: point.task.label.clone(),
                    setting,
                    scores: facts.floors.clone(),
                });
            }
            built.push((added, task, facts));
        }
        let seeds = match point.stage {
            Stage::Tuning => self.definition.tuning_seeds(),
            Stage::Evaluation | Stage::Timing => self.definition.evaluation_seeds(task),
        };

        let datasets: Vec<Dataset> =
            built.iter().map(|(_, task, _)| Dataset::new(task.as_ref(), 0, point.task.batch)).collect();
        let next_symbol = built[0].1.training_batch(0, 0, 1).asks_for_the_next_symbol();
        for model in models {
            if point.stage == Stage::Tuning && !model.trains {
                continue;
            }
            let mut cell = self.with_model(&template, point, model, measurement).map_err(&fail)?;
            (measurement.check)(&cell.measurement.settings, &built[0].2)
                .map_err(|message| fail(format!("model `{}`: measure: {message}", model.arm.label)))?;
            let inputs = built[0].1.interface().inputs;
            if let Some(reason) = model.entry.reads.misfit(inputs) {
                return Err(fail(format!("model `{}` cannot learn this task: {reason}", model.arm.label)));
            }
            let ahead = (model.entry.reads_ahead)(&serde_json::json!(model.arm.settings));
            if model.trains && ahead.unwrap_or(false) && next_symbol {
                return Err(fail(format!(
                    "model `{}` reads ahead, and the task asks for the next symbol, which it would see",
                    model.arm.label
                )));
            }
            let mut peak_bytes = 0;
            for ((added, _, _), data) in built.iter().zip(&datasets) {
                let learner = build_learner(&cell, added, None).map_err(|error| {
                    let message = with_nearest(
                        &error.to_string(),
                        model.arm.settings.keys(),
                        &(model.entry.defaults)(),
                    );
                    fail(of_model(&model.arm.label, message))
                })?;
                peak_bytes = peak_bytes.max(learner.peak_bytes(data));
            }
            let cost = |added: &Settings| {
                let found = built.iter().find(|(other, _, _)| other == added).or(built.first());
                let (_, _, facts) = found.expect("a task has at least one setting");
                let (batch, width) = (task.batch, definition.width);
                let models::ModelEntry { attends, reads, .. } = *model.entry;
                let (trains, body_parameters) = (model.trains, cell.size.body_parameters);
                estimate::Work { facts, attends, trains, reads, body_parameters, width, batch }.cost()
            };
            let seconds = (measurement.seconds)(&cell.measurement.settings, &cost);
            cell.seed = 0;
            let arm = Arm {
                task: task.label.clone(),
                setting: point.setting.clone(),
                model: model.arm.label.clone(),
                role: model.arm.role,
                trains: model.trains,
                schedule: measurement.schedule,
                cell,
                seeds: seeds.clone(),
                time: built[0].2.time,
                seconds,
                peak_bytes,
            };
            match point.stage {
                Stage::Tuning => self.tuning.push(arm),
                Stage::Evaluation => self.evaluation.push(arm),
                Stage::Timing => self.timing.push(arm),
            }
        }
        Ok(built.swap_remove(0).2)
    }

    /// The cell of a model at one setting of a task.
    fn with_model(
        &self,
        template: &Cell,
        point: &Point,
        model: &ModelOnTask,
        measurement: &MeasurementEntry,
    ) -> Result<Cell, String> {
        let mut cell = template.clone();
        let task = complete(
            &(task_entry(&cell.task.name).map_err(|error| error.to_string())?.defaults)(),
            &cell.task.settings,
        );
        // Within a staircase, multiples of the task's settings are resolved at each value of the ladder.
        let settings = if point.ladder.is_some() {
            model.arm.settings.clone()
        } else {
            resolve(&model.arm.settings, &task)
                .map_err(|message| format!("model `{}`: {message}", model.arm.label))?
        };
        cell.model = Component {
            name: model.arm.name.clone(),
            version: model.entry.version,
            settings: canonical(&settings, &(model.entry.defaults)()),
        };
        if let Some(own) = model.arm.measure.get(measurement.name) {
            let mut measure = cell.measurement.settings.clone();
            measure.extend(own.clone());
            cell.measurement.settings = canonical(&measure, &(measurement.defaults)());
        }
        if model.trains {
            let training = self.training_of(model.arm);
            cell.training = canonical(&training, &crate::settings::defaults::<TrainingConfig>());
            cell.size.body_parameters = point.task.parameters;
        } else {
            cell.measurement.settings.remove(RATES);
        }
        cell.training.insert(BATCH.to_owned(), point.task.batch.into());
        Ok(cell)
    }
}

/// One setting of a task, for one stage.
struct Point<'a> {
    task: &'a TaskArm,
    setting: Settings,
    fixed: &'a Settings,
    ladder: Option<&'a [Value]>,
    over: Option<&'a str>,
    stage: Stage,
}

/// The message of a builder, or, where it complains about an unknown key, the nearest known one.
fn with_nearest<'k>(message: &str, given: impl Iterator<Item = &'k String>, defaults: &Value) -> String {
    let known = keys(defaults);
    let mut strangers = given.filter(|key| !known.contains(&key.as_str()));
    match strangers.next() {
        Some(stranger) if message.contains("unknown field") => unknown("setting", stranger, &known),
        _ => message.to_owned(),
    }
}

/// Puts the label of a model before a message that does not start with it.
fn of_model(label: &str, message: String) -> String {
    let place = format!("model `{label}`");
    if message.starts_with(&place) { message } else { format!("{place}: {message}") }
}

fn at(setting: &Settings) -> String {
    if setting.is_empty() { String::new() } else { format!(" at {}", label(setting)) }
}

/// Whether a model descends a gradient: one that does refuses a rate that makes no sense, others ignore it.
#[must_use]
pub fn takes_rate(entry: &models::ModelEntry) -> bool {
    let impossible = TrainingConfig { rate: -1.0, ..TrainingConfig::default() };
    let size = models::Size { width: 8, body_parameters: None };
    (entry.build)(&(entry.defaults)(), &impossible, &size).is_err()
}
