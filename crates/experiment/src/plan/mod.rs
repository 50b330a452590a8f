//! A plan: what a definition asks for, checked against all registries, as a list of cells.
//!
//! Everything that can be refused is refused here, before anything is computed: unknown names and keys, values of the
//! wrong type, tasks and models that cannot be built, and claims that no cell could decide.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use measured::Measured;
use planner::Planner;
pub use planner::takes_rate;
use record::cell::Cell;
use record::definition::{Definition, Role, unknown};
use record::{Settings, label, plain};
use training::TrainingConfig;

use crate::facts::{Facts, Floors};
use crate::measurements::{RATE, Schedule};
use crate::settings::canonical;
use crate::tuning::Grid;
use crate::{ExperimentError, Workspace};

mod claims;
mod estimate;
mod grid;
mod measured;
mod overrides;
mod planner;

/// How much is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// A smoke test in a minute or so; it yields no verdict.
    Quick,
    /// What the definition says.
    #[default]
    Full,
}

/// What the command line asks of a definition.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// How much.
    pub profile: Profile,
    /// Evaluation seeds by index, instead of all.
    pub seeds: Option<Range<u64>>,
    /// Only cells with these values of `task`, `model` or a setting; several values of one key are alternatives.
    pub filter: Vec<(String, String)>,
    /// Other values for keys of the definition.
    pub set: Vec<(String, String)>,
    /// A text in place of every corpus.
    pub corpus: Option<PathBuf>,
}

/// Why a cell is computed, in the order of computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// To choose a rate.
    Tuning,
    /// To be judged.
    Evaluation,
    /// To be timed, alone.
    Timing,
}

impl Stage {
    /// As printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tuning => "tuning",
            Self::Evaluation => "evaluation",
            Self::Timing => "timing",
        }
    }
}

/// A model on a task at one setting, over all seeds.
#[derive(Clone, Debug)]
pub struct Arm {
    /// Label of the task.
    pub task: String,
    /// Settings of the task that vary.
    pub setting: Settings,
    /// Label of the model.
    pub model: String,
    /// What part the model plays.
    pub role: Role,
    /// Whether the model descends a gradient, and so has a rate and a course of training.
    pub trains: bool,
    /// When its cells run, and at which rate.
    pub schedule: Schedule,
    /// Its cells, but for rate and seed.
    pub cell: Cell,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Positions of a training sequence; at the first value, where it varies within a cell.
    pub time: usize,
    /// Expected processor seconds of one cell.
    pub seconds: f64,
    /// Largest memory of one cell, in bytes.
    pub peak_bytes: u64,
}

/// A cell with its place in the experiment.
#[derive(Clone, Debug)]
pub struct PlannedCell {
    /// Label of the task.
    pub task: String,
    /// Settings of the task that vary.
    pub setting: Settings,
    /// Label of the model.
    pub model: String,
    /// Learning rate, where there is one.
    pub rate: Option<f64>,
    /// Why it is computed.
    pub stage: Stage,
    /// Whether the model descends a gradient.
    pub trains: bool,
    /// The cell.
    pub cell: Cell,
    /// [`Cell::key`].
    pub key: String,
    /// Positions of a training sequence; at the first value, where it varies within a cell.
    pub time: usize,
    /// Expected processor seconds.
    pub seconds: f64,
    /// Largest memory, in bytes.
    pub peak_bytes: u64,
}

impl PlannedCell {
    /// Such as `recall lag=20 lstm, rate 0.003, seed 1000`.
    #[must_use]
    pub fn name(&self) -> String {
        let place = [self.task.as_str(), &label(&self.setting), &self.model]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(" ");
        let rate = self.rate.map(|rate| format!(", rate {rate}")).unwrap_or_default();
        format!("{place}{rate}, seed {}", self.cell.seed)
    }
}

impl Arm {
    pub(crate) fn planned(&self, stage: Stage, rate: Option<f64>, seed: u64) -> PlannedCell {
        let mut cell = Cell { seed, ..self.cell.clone() };
        if let Some(rate) = rate {
            cell.training.insert(RATE.to_owned(), rate.into());
            let defaults = crate::settings::defaults::<TrainingConfig>();
            cell.training = canonical(&cell.training, &defaults);
        }
        PlannedCell {
            task: self.task.clone(),
            setting: self.setting.clone(),
            model: self.model.clone(),
            rate,
            stage,
            trains: self.trains,
            key: cell.key(),
            cell,
            time: self.time,
            seconds: self.seconds,
            peak_bytes: self.peak_bytes,
        }
    }
}

/// Estimated cost of a task and model.
#[derive(Clone, Debug, PartialEq)]
pub struct EstimateRow {
    /// Label of the task.
    pub task: String,
    /// Label of the model.
    pub model: String,
    /// Why.
    pub stage: Stage,
    /// Number of cells.
    pub cells: usize,
    /// Processor seconds of all of them.
    pub core_seconds: f64,
}

/// What a definition asks for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The definition, as profile and options changed it.
    pub definition: Definition,
    /// How much.
    pub profile: Profile,
    /// Name of the device that networks train on.
    pub device: String,
    /// Whether it is all that the definition asks for, on the texts that it names and on the default device.
    pub complete: bool,
    /// Tasks that are left out, with the reason.
    pub left_out: BTreeMap<String, String>,
    /// sha256 of each corpus.
    pub corpora: BTreeMap<String, String>,
    /// Facts about each task, at its first setting.
    pub facts: BTreeMap<String, Facts>,
    /// Arms whose rate is tuned, at the setting where it is.
    pub tuning: Vec<Arm>,
    /// Arms that are judged.
    pub evaluation: Vec<Arm>,
    /// Arms that are timed.
    pub timing: Vec<Arm>,
    /// Scores of ignorant predictors.
    pub(crate) floors: Vec<Floors>,
    /// Processor seconds of all cells by estimate alone, which the budget of the definition limits.
    pub estimated_seconds: f64,
}

/// Tuned rates: task, then model.
pub(crate) type Rates = BTreeMap<String, BTreeMap<String, f64>>;

impl Plan {
    /// Checks a definition and lists what it asks for.
    ///
    /// # Errors
    /// When the definition or an option is wrong, or the full profile exceeds its budget.
    pub fn new(
        definition: &Definition,
        options: &PlanOptions,
        workspace: &Workspace,
    ) -> Result<Self, ExperimentError> {
        if options.profile == Profile::Quick || !options.set.is_empty() {
            // What is wrong with the definition as it is written is said whatever is run of it.
            let whole = Definition { core_seconds: f64::INFINITY, ..definition.clone() };
            Self::new(&whole, &PlanOptions::default(), workspace)?;
        }
        let mut definition = definition.clone();
        let mut complete = options.profile == Profile::Full
            && options.seeds.is_none()
            && options.filter.is_empty()
            && options.set.is_empty()
            && options.corpus.is_none();
        if options.profile == Profile::Quick {
            overrides::quick(&mut definition)?;
        }
        for (key, value) in &options.set {
            overrides::set(&mut definition, key, value)?;
        }
        if let Some(file) = &options.corpus {
            overrides::corpus(&mut definition, file)?;
        }

        let mut planner = Planner {
            definition: &definition,
            profile: options.profile,
            workspace,
            left_out: BTreeMap::new(),
            corpora: BTreeMap::new(),
            facts: BTreeMap::new(),
            tuning: Vec::new(),
            evaluation: Vec::new(),
            timing: Vec::new(),
            floors: Vec::new(),
        };
        let device = planner.training()?.device;
        planner.check_own_measurements()?;
        let mut checks = Vec::new();
        for task in &definition.tasks {
            checks.push(planner.task(task)?);
        }
        let Planner { left_out, corpora, facts, tuning, evaluation, timing, floors, .. } = planner;
        // The quick profile does not judge, and may leave out regimes that claims need.
        if options.profile == Profile::Full && options.set.is_empty() {
            claims::check(&definition, &workspace.claims, &checks)
                .map_err(|message| ExperimentError::definition(&definition.path, message))?;
        }
        complete &= left_out.is_empty();
        let mut plan = Self {
            definition,
            profile: options.profile,
            device,
            complete,
            left_out,
            corpora,
            facts,
            tuning,
            evaluation,
            timing,
            floors,
            estimated_seconds: 0.0,
        };
        plan.complete &= plan.other_device().is_none();
        plan.keep_seeds(options)?;
        plan.keep_filtered(&options.filter)?;
        plan.estimated_seconds = plan.estimate().iter().map(|row| row.core_seconds).sum();
        if plan.complete && plan.estimated_seconds > plan.definition.core_seconds {
            let (path, budget) = (plan.definition.path, plan.definition.core_seconds);
            return Err(ExperimentError::OverBudget { path, estimate: plan.estimated_seconds, budget });
        }
        if options.profile == Profile::Full && options.set.is_empty() && options.corpus.is_none() {
            let measured = Measured::read(&plan.definition, workspace);
            for arm in plan.tuning.iter_mut().chain(&mut plan.evaluation).chain(&mut plan.timing) {
                arm.seconds = measured.seconds(arm).unwrap_or(arm.seconds);
            }
        }
        Ok(plan)
    }

    /// The device, where it is not the default one. Another one rounds otherwise, so what it computes is no evidence.
    #[must_use]
    pub fn other_device(&self) -> Option<&str> {
        (self.device != TrainingConfig::default().device).then_some(&self.device)
    }

    /// Cells that choose the rate of `task`, at every rate of its grid.
    pub(crate) fn tuning_cells(&self, grids: &BTreeMap<String, Grid>) -> Vec<PlannedCell> {
        let mut cells = Vec::new();
        for arm in &self.tuning {
            for &rate in grids.get(&arm.task).iter().flat_map(|grid| &grid.rates) {
                cells.extend(arm.seeds.iter().map(|&seed| arm.planned(Stage::Tuning, Some(rate), seed)));
            }
        }
        cells
    }

    /// The rates that every task starts tuning with.
    pub(crate) fn first_grids(&self) -> BTreeMap<String, Grid> {
        self.tuning.iter().map(|arm| (arm.task.clone(), Grid::new(&self.definition.tuning.rates))).collect()
    }

    /// Cells that are judged, at the tuned rates or else at the common one.
    pub(crate) fn evaluation_cells(&self, rates: &Rates) -> Vec<PlannedCell> {
        let mut cells = Vec::new();
        for arm in &self.evaluation {
            let tuned = rates.get(&arm.task).and_then(|models| models.get(&arm.model)).copied();
            let rate = (arm.trains && arm.schedule == Schedule::Tuned)
                .then(|| tuned.unwrap_or(self.definition.tuning.common_rate));
            cells.extend(arm.seeds.iter().map(|&seed| arm.planned(Stage::Evaluation, rate, seed)));
        }
        cells
    }

    /// Cells that are timed.
    pub(crate) fn timing_cells(&self) -> Vec<PlannedCell> {
        let cells = |arm: &Arm| -> Vec<PlannedCell> {
            arm.seeds.iter().map(|&seed| arm.planned(Stage::Timing, None, seed)).collect()
        };
        self.timing.iter().flat_map(cells).collect()
    }

    /// Expected cost by stage, task and model, without extensions of a grid of rates: what the committed result took, if there is
    /// one of this definition, or else an estimate.
    #[must_use]
    pub fn estimate(&self) -> Vec<EstimateRow> {
        let rates = self.definition.tuning.rates.len();
        let arms = (self.tuning.iter().map(|arm| (Stage::Tuning, arm, rates)))
            .chain(self.evaluation.iter().map(|arm| (Stage::Evaluation, arm, 1)))
            .chain(self.timing.iter().map(|arm| (Stage::Timing, arm, 1)));
        let mut rows: Vec<EstimateRow> = Vec::new();
        for (stage, arm, times) in arms {
            let cells = arm.seeds.len() * times;
            let core_seconds = cells as f64 * arm.seconds;
            let same =
                |row: &&mut EstimateRow| row.stage == stage && row.task == arm.task && row.model == arm.model;
            if let Some(row) = rows.iter_mut().find(same) {
                row.cells += cells;
                row.core_seconds += core_seconds;
            } else {
                let (task, model) = (arm.task.clone(), arm.model.clone());
                rows.push(EstimateRow { task, model, stage, cells, core_seconds });
            }
        }
        rows
    }

    fn keep_seeds(&mut self, options: &PlanOptions) -> Result<(), ExperimentError> {
        let Some(range) = &options.seeds else { return Ok(()) };
        let of = self.definition.seed_range;
        let most = of.indices().end - of.indices().start;
        if range.is_empty() || range.end > most {
            let option = format!("--seeds {}..{}", range.start, range.end);
            let message = format!("give indices A..B with A below B and B at most {most}, such as 0..4");
            return Err(ExperimentError::option(option, message));
        }
        let seeds = self.definition.seeds_of(of, range.clone());
        for arm in self.evaluation.iter_mut().chain(&mut self.timing) {
            arm.seeds.clone_from(&seeds);
        }
        Ok(())
    }

    fn keep_filtered(&mut self, filter: &[(String, String)]) -> Result<(), ExperimentError> {
        if filter.is_empty() {
            return Ok(());
        }
        let value = |arm: &Arm, key: &str| match key {
            "task" => Some(arm.task.clone()),
            "model" => Some(arm.model.clone()),
            _ => arm.setting.get(key).map(plain),
        };
        for (key, wanted) in filter {
            let option = || format!("--filter {key}={wanted}");
            let arms = || self.evaluation.iter().chain(&self.timing);
            let mut known: Vec<String> = arms().filter_map(|arm| value(arm, key)).collect();
            known.sort();
            known.dedup();
            let mut keys: Vec<&str> = arms().flat_map(|arm| arm.setting.keys().map(String::as_str)).collect();
            keys.extend(["task", "model"]);
            keys.sort_unstable();
            keys.dedup();
            if known.is_empty() {
                return Err(ExperimentError::option(option(), unknown("key", key, &keys)));
            }
            if !known.contains(wanted) {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                return Err(ExperimentError::option(option(), unknown(key, wanted, &known)));
            }
        }
        let keeps = |arm: &Arm| {
            filter.iter().all(|(key, _)| {
                let mut alternatives = filter.iter().filter(|(other, _)| other == key);
                value(arm, key).is_some_and(|value| alternatives.any(|(_, wanted)| *wanted == value))
            })
        };
        self.evaluation.retain(keeps);
        self.timing.retain(keeps);
        let kept = |arm: &Arm| {
            self.evaluation.iter().any(|other| other.task == arm.task && other.model == arm.model)
        };
        self.tuning.retain(kept);
        if self.evaluation.is_empty() && self.timing.is_empty() {
            return Err(ExperimentError::option("--filter", "no cell has all of these values"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
