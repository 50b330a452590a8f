//! Computes what a plan asks for and makes the tables: tuning, then evaluation, then timing, alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use record::RecordError;
use record::cell::{CellRecord, Outcome};
use record::provenance::Provenance;
use record::pytorch::{PYTORCH_STEPS, read_pytorch};
use record::table::{RunRow, read_runs, write_curves, write_runs, write_timing};
use sequence::{Random, Stream};

use crate::plan::{Plan, PlannedCell, Profile, Rates, Stage};
use crate::schedule::{Limits, Message, schedule};
use crate::tables::{Records, Tables};
use crate::tuning::{scores, tune};
use crate::{Answer, Comparison, Executor, ExperimentError, Workspace};

/// How a plan is run. None of it changes a number in `runs.csv`.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Cells at a time; one a core if none is given. Memory may hold fewer.
    pub jobs: Option<usize>,
    /// Computes finished cells again.
    pub force: bool,
    /// Lets a full run go ahead with code that no revision holds.
    pub allow_dirty: bool,
    /// Where cells are computed.
    pub executor: Executor,
    /// Starts cells in a random order of this seed instead of the longest first, for tests.
    pub shuffle: Option<u64>,
}

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// A task is left out.
    LeftOut {
        /// Its label.
        task: &'a str,
        /// Why, and what would help.
        reason: &'a str,
    },
    /// A stage begins, or goes on with more cells.
    Stage {
        /// Which.
        stage: Stage,
        /// All of its cells that are known now.
        cells: usize,
        /// Those that are finished already.
        finished: usize,
        /// Expected processor seconds of the others.
        core_seconds: f64,
    },
    /// A stored cell cannot be trusted. It was set aside and will be computed again.
    Damaged {
        /// Which file, and what is wrong with it.
        message: String,
    },
    /// A worker has a cell.
    Started(&'a PlannedCell),
    /// The worker of a cell died; another gets it.
    Retried {
        /// The cell.
        cell: &'a PlannedCell,
        /// The worker's last words.
        message: String,
    },
    /// A cell is stored.
    Done {
        /// The cell.
        cell: &'a PlannedCell,
        /// How it ended.
        answer: &'a Answer,
    },
    /// The rate of an arm is chosen.
    Tuned {
        /// Label of the task.
        task: &'a str,
        /// Label of the model.
        model: &'a str,
        /// The rate.
        rate: f64,
    },
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Where the tables are.
    pub folder: PathBuf,
    /// Whether it is a complete full profile, and so evidence.
    pub complete: bool,
    /// Cells computed in this run.
    pub computed: usize,
    /// Cells that had been computed before.
    pub reused: usize,
    /// Where the results come from.
    pub provenance: Provenance,
    /// How the table differs from the committed one, if there was one.
    pub comparison: Option<Comparison>,
}

impl Summary {
    /// Cells that could not be computed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.provenance.failures.len()
    }
}

/// Computes all cells of a plan that are not finished, and writes the tables.
///
/// A complete full profile goes to the results folder, all else to `runs/` in the state folder.
///
/// # Errors
/// When the code is not committed, a file cannot be read or written, a worker cannot be started, or `cancel` was set;
/// finished cells are kept in any case.
pub fn run(
    plan: &Plan,
    workspace: &Workspace,
    options: &RunOptions,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(Event),
) -> Result<Summary, ExperimentError> {
    if plan.complete && workspace.code.dirty && !options.allow_dirty {
        return Err(ExperimentError::Dirty);
    }
    // That the committed table cannot be compared with is to be known before the training.
    committed_runs(plan, workspace)?;
    for (task, reason) in &plan.left_out {
        progress(Event::LeftOut { task, reason });
    }
    let mut computer = Computer::new(plan, workspace, options, cancel, progress);
    let mut planned = Vec::new();
    let rates = tune(plan, |cells| {
        computer.finish(Stage::Tuning, cells)?;
        planned = cells.to_vec();
        Ok(Some(scores(cells, &computer.records)))
    })?
    .unwrap_or_default();
    for (task, models) in &rates {
        for (model, &rate) in models {
            (computer.progress)(Event::Tuned { task, model, rate });
        }
    }
    for (stage, cells) in
        [(Stage::Evaluation, plan.evaluation_cells(&rates)), (Stage::Timing, plan.timing_cells())]
    {
        computer.finish(stage, &cells)?;
        planned.extend(cells);
    }
    let Computer { records, computed, .. } = computer;
    let tables = Tables::new(plan, &planned, &records, &read_pytorch(&workspace.pytorch_steps)?);
    write(plan, workspace, &tables, &records, computed.len(), rates)
}

/// Finishes cells, stage by stage.
pub(crate) struct Computer<'a> {
    plan: &'a Plan,
    workspace: &'a Workspace,
    options: &'a RunOptions,
    cancel: &'a AtomicBool,
    progress: &'a mut dyn FnMut(Event),
    /// Finished cells by key.
    pub(crate) records: Records,
    /// Keys of the cells that this run computed.
    computed: BTreeSet<String>,
}

impl<'a> Computer<'a> {
    /// Nothing is finished so far.
    pub(crate) fn new(
        plan: &'a Plan,
        workspace: &'a Workspace,
        options: &'a RunOptions,
        cancel: &'a AtomicBool,
        progress: &'a mut dyn FnMut(Event),
    ) -> Self {
        Self {
            plan,
            workspace,
            options,
            cancel,
            progress,
            records: Records::new(),
            computed: BTreeSet::new(),
        }
    }

    /// Loads what is stored of `cells` and computes the rest.
    pub(crate) fn finish(&mut self, stage: Stage, cells: &[PlannedCell]) -> Result<(), ExperimentError> {
        let store = self.workspace.store();
        let mut todo: BTreeMap<&str, PlannedCell> = BTreeMap::new();
        let mut stored = BTreeMap::new();
        for cell in cells {
            if self.records.contains_key(&cell.key) || stored.contains_key(cell.key.as_str()) {
                continue;
            }
            let record = match store.load(&cell.cell) {
                Ok(record) => record,
                Err(error @ RecordError::Damaged { .. }) => {
                    (self.progress)(Event::Damaged { message: error.to_string() });
                    None
                }
                Err(error) => return Err(error.into()),
            };
            stored.insert(cell.key.as_str(), (cell, record));
        }
        // Repeats are compared within one sitting. Where the machine disturbed some so often that they have no time, which
        // their message says, the next run times all of them anew.
        let disturbed = stage == Stage::Timing
            && stored
                .values()
                .any(|(_, record)| record.as_ref().is_some_and(|record| record.message.is_some()));
        for (key, (cell, record)) in stored {
            // A failure is not a result: what failed is tried again by the next run. Nor is what uncommitted code
            // computed, once the code is committed.
            let counts = |record: &CellRecord| {
                record.outcome != Outcome::Failed
                    && !disturbed
                    && (!record.dirty || self.workspace.code.dirty)
            };
            match record.filter(|record| !self.options.force && counts(record)) {
                Some(record) => {
                    self.records.insert(cell.key.clone(), record);
                }
                None => {
                    todo.insert(key, cell.clone());
                }
            }
        }
        let todo = self.ordered(stage, todo.into_values().collect());
        let keys: BTreeSet<&str> = cells.iter().map(|cell| cell.key.as_str()).collect();
        if !keys.is_empty() {
            let core_seconds = todo.iter().map(|cell| cell.seconds).sum();
            let finished = keys.len() - todo.len();
            (self.progress)(Event::Stage { stage, cells: keys.len(), finished, core_seconds });
        }
        if todo.is_empty() {
            return Ok(());
        }

        let host = &self.workspace.host;
        // Nothing may run beside what is timed.
        let jobs = if stage == Stage::Timing { 1 } else { self.options.jobs.unwrap_or(host.cores).max(1) };
        let limits = Limits { jobs, memory_bytes: host.memory_bytes };
        let progress = &mut self.progress;
        schedule(&todo, limits, &self.options.executor, self.workspace, self.cancel, &mut |message| {
            match message {
                Message::Started(cell) => progress(Event::Started(cell)),
                Message::Retried(cell, message) => progress(Event::Retried { cell, message }),
                Message::Done(cell, answer) => progress(Event::Done { cell, answer: &answer }),
            }
        })?;
        for cell in todo {
            let record = store.load(&cell.cell)?.ok_or_else(|| {
                ExperimentError::Cell(format!("{}: its worker answered but stored nothing", cell.name()))
            })?;
            self.records.insert(cell.key.clone(), record);
            self.computed.insert(cell.key);
        }
        Ok(())
    }

    /// The longest first, so that no long cell runs on alone at the end; what is timed in random order, so that drift
    /// of the machine meets all arms alike.
    fn ordered(&self, stage: Stage, mut cells: Vec<PlannedCell>) -> Vec<PlannedCell> {
        match (stage, self.options.shuffle) {
            (Stage::Timing, None) => {
                Random::new(u64::from(self.plan.definition.version), Stream::Order).shuffle(&mut cells);
            }
            (_, Some(seed)) => Random::new(seed, Stream::Order).shuffle(&mut cells),
            (_, None) => cells.sort_by(|one, other| other.seconds.total_cmp(&one.seconds)),
        }
        cells
    }
}

/// The table that a full run is compared with, if there is one.
fn committed_runs(plan: &Plan, workspace: &Workspace) -> Result<Option<Vec<RunRow>>, ExperimentError> {
    let path = workspace.results.join(&plan.definition.name).join("runs.csv");
    if plan.profile != Profile::Full || !path.exists() {
        return Ok(None);
    }
    Ok(Some(read_runs(&path)?))
}

fn write(
    plan: &Plan,
    workspace: &Workspace,
    tables: &Tables,
    records: &Records,
    computed: usize,
    rates: Rates,
) -> Result<Summary, ExperimentError> {
    let name = &plan.definition.name;
    // What lacks some of its cells is not a result.
    let complete = plan.complete && records.values().all(|record| record.outcome != Outcome::Failed);
    let device = plan.other_device().map(|device| format!("-{device}")).unwrap_or_default();
    let folder = match (complete, plan.profile) {
        (true, _) => workspace.results.join(name),
        (false, Profile::Quick) => workspace.state.join("runs").join(format!("{name}-quick{device}")),
        (false, Profile::Full) => workspace.state.join("runs").join(format!("{name}-partial{device}")),
    };
    let comparison =
        committed_runs(plan, workspace)?.map(|committed| Comparison::new(&committed, &tables.runs));
    let runs = folder.join("runs.csv");
    write_runs(&runs, &tables.runs)?;
    write_runs(&folder.join("seconds.csv"), &tables.seconds)?;
    write_curves(&folder.join("curves.csv"), &tables.curves)?;
    write_timing(&folder.join("timing.csv"), &tables.timing)?;
    // The result keeps the times that it was made with, whatever the benchmark says later.
    // Those of an earlier run, perhaps on another processor, say nothing of this one.
    let kept = folder.join(PYTORCH_STEPS);
    let copied = if workspace.pytorch_steps.exists() {
        std::fs::copy(&workspace.pytorch_steps, &kept).map(drop)
    } else if kept.exists() {
        std::fs::remove_file(&kept)
    } else {
        Ok(())
    };
    copied.map_err(|source| RecordError::File { path: kept, source })?;
    let bytes = std::fs::read(&runs).map_err(|source| RecordError::File { path: runs, source })?;
    let provenance = provenance(plan, workspace, records, rates, record::digest(&bytes));
    provenance.write(&folder.join("provenance.json"))?;
    Ok(Summary { folder, complete, computed, reused: records.len() - computed, provenance, comparison })
}

fn provenance(
    plan: &Plan,
    workspace: &Workspace,
    records: &Records,
    rates: Rates,
    runs: String,
) -> Provenance {
    let mut cells: BTreeMap<String, usize> = BTreeMap::new();
    let mut revisions: BTreeMap<String, usize> = BTreeMap::new();
    let mut failures = BTreeMap::new();
    for record in records.values() {
        *cells.entry(record.outcome.name().to_owned()).or_default() += 1;
        *revisions.entry(record.revision.clone()).or_default() += 1;
        if record.outcome == Outcome::Failed {
            failures.insert(record.key.clone(), record.message.clone().unwrap_or_default());
        }
    }
    let definition = &plan.definition;
    let rules = definition.claims.iter().map(|rule| (rule.id.clone(), rule.digest()));
    let (code, host) = (&workspace.code, &workspace.host);
    Provenance {
        experiment: definition.name.clone(),
        version: definition.version,
        revision: code.revision.clone(),
        revisions,
        dirty: code.dirty,
        definition: definition.digest.clone(),
        rules: rules.collect(),
        runs,
        corpora: plan.corpora.clone(),
        left_out: plan.left_out.clone(),
        cells,
        core_seconds: records.values().map(|record| record.cost.processor_seconds).sum(),
        processor: host.processor.clone(),
        caches: host.caches.clone(),
        instruction_set: host.instruction_set.clone(),
        device: plan.device.clone(),
        seqlab: code.version.clone(),
        rates,
        failures,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::Ordering;

    use record::table::{read_curves, read_timing};

    use super::*;
    use crate::testing::{TINY, definition, workspace};
    use crate::{PlanOptions, status};

    fn options() -> RunOptions {
        RunOptions {
            jobs: Some(1),
            force: false,
            allow_dirty: false,
            executor: Executor::Threads,
            shuffle: None,
        }
    }

    fn tiny(folder: &Path) -> (Plan, Workspace) {
        let workspace = workspace(folder);
        (Plan::new(&definition(TINY), &PlanOptions::default(), &workspace).unwrap(), workspace)
    }

    fn run_in(folder: &Path, options: &RunOptions) -> Summary {
        let (plan, workspace) = tiny(folder);
        run(&plan, &workspace, options, &AtomicBool::new(false), &mut |_| {}).unwrap()
    }

    fn table(summary: &Summary) -> Vec<u8> {
        std::fs::read(summary.folder.join("runs.csv")).unwrap()
    }

    fn rows<'a>(rows: &'a [RunRow], task: &str, model: &str, metric: &str) -> Vec<&'a RunRow> {
        rows.iter().filter(|row| row.task == task && row.model == model && row.metric == metric).collect()
    }

    #[test]
    fn a_full_run_fills_the_tables_and_any_order_gives_the_same_rows() {
        let first = tempfile::tempdir().unwrap();
        let summary = run_in(first.path(), &options());
        assert!(summary.complete && summary.folder == first.path().join("results/tiny"));
        assert_eq!((summary.failed(), summary.reused), (0, 0));
        let runs = read_runs(&summary.folder.join("runs.csv")).unwrap();

        // Two lags, two seeds, one test set each; the same at equal multiply-adds.
        let evaluated = |metric: &str| {
            let rows = rows(&runs, "recall", "lstm", metric);
            rows.iter().filter(|row| row.phase == "evaluation" && row.split == "test").count()
        };
        assert_eq!(
            (evaluated("accuracy"), evaluated("accuracy@multiply-adds"), evaluated("solved")),
            (4, 4, 4)
        );
        // Rates 0.003 and 0.01, and whatever the grid was extended by; one tuning seed, on validation alone.
        let tuning: Vec<f64> = rows(&runs, "recall", "rnn", "accuracy")
            .iter()
            .filter(|row| row.phase == "tuning")
            .map(|row| row.rate)
            .collect();
        assert!(tuning.contains(&0.003) && tuning.contains(&0.01) && tuning.len() >= 3, "{tuning:?}");
        let common: Vec<&RunRow> = runs.iter().filter(|row| row.phase == "common-rate").collect();
        assert!(
            !common.is_empty() && common.iter().all(|row| row.rate == 0.003 && row.split != "validation")
        );
        // Every value of the ladder has a row for each seed, tried or not.
        assert_eq!(rows(&runs, "climb", "rnn", "solved").len(), 6);
        assert_eq!(rows(&runs, "climb", "rnn", "longest").len(), 2);
        // The floor of recall is 1 / 4 at both lags, that of the staircase 1 / 2 at all three.
        let chance: Vec<f64> = runs
            .iter()
            .filter(|row| row.phase == "floor" && row.model == "chance" && row.metric == "accuracy")
            .map(|row| row.value)
            .collect();
        assert_eq!(chance, [0.5, 0.5, 0.5, 0.25, 0.25]);
        // Seconds never stand in `runs.csv`, but step times reach the tables of seconds.
        assert!(runs.iter().all(|row| !row.metric.contains("seconds")));
        let timing = read_timing(&summary.folder.join("timing.csv")).unwrap();
        assert_eq!(timing.iter().filter(|row| row.metric == "step-seconds").count(), 8);
        let seconds = read_runs(&summary.folder.join("seconds.csv")).unwrap();
        assert_eq!(rows(&seconds, "recall", "lstm", "accuracy@seconds").len(), 4);
        let curves = read_curves(&summary.folder.join("curves.csv")).unwrap();
        let course: Vec<u64> = curves
            .iter()
            .filter(|row| {
                row.task == "recall" && row.model == "lstm" && row.setting == "lag=2" && row.seed == 1000
            })
            .map(|row| row.updates)
            .collect();
        assert_eq!(course, [0, 10, 20]);

        for (jobs, shuffle) in [(2, None), (1, Some(1)), (2, Some(2))] {
            let folder = tempfile::tempdir().unwrap();
            let other = run_in(folder.path(), &RunOptions { jobs: Some(jobs), shuffle, ..options() });
            assert!(table(&summary) == table(&other), "jobs {jobs}, shuffle {shuffle:?}");
        }
    }

    #[test]
    fn step_times_of_another_processor_do_not_stay_with_a_result() {
        let folder = tempfile::tempdir().unwrap();
        let steps = workspace(folder.path()).pytorch_steps;
        std::fs::write(&steps, "model,time,seconds\nlstm,64,0.5\n").unwrap();
        let kept = run_in(folder.path(), &options()).folder.join(PYTORCH_STEPS);
        assert!(kept.exists());
        std::fs::remove_file(&steps).unwrap();
        run_in(folder.path(), &options());
        assert!(!kept.exists());
    }

    #[test]
    fn more_updates_where_an_arm_first_fails_add_rows_and_change_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let plain = run_in(folder.path(), &options());
        let at = TINY.find("[[model]]").unwrap() + "[[model]]".len();
        let measure = "\nmeasure = { staircase = { extended-updates = 30 } }";
        let text = format!("{}{measure}{}", &TINY[..at], &TINY[at..]);
        let longer = tempfile::tempdir().unwrap();
        let workspace = workspace(longer.path());
        let plan = Plan::new(&definition(&text), &PlanOptions::default(), &workspace).unwrap();
        let extended = run(&plan, &workspace, &options(), &AtomicBool::new(false), &mut |_| {}).unwrap();

        let read = |summary: &Summary| read_runs(&summary.folder.join("runs.csv")).unwrap();
        let is_extended = |row: &&RunRow| row.metric.ends_with("-extended");
        let (plain, all) = (read(&plain), read(&extended));
        let added: Vec<&RunRow> = all.iter().filter(is_extended).collect();
        let solved = rows(&all, "climb", "rnn", "solved");
        let first_failures: Vec<(u64, &str)> = [1000, 1001]
            .into_iter()
            .filter_map(|seed| {
                let failed = |row: &&&RunRow| row.seed == seed && row.outcome == Outcome::NotSolved;
                solved.iter().find(failed).map(|row| (seed, row.setting.as_str()))
            })
            .collect();
        assert!(!first_failures.is_empty(), "20 updates were enough: {solved:?}");
        let mut places: Vec<(u64, &str)> = added
            .iter()
            .filter(|row| row.metric == "solved-extended")
            .map(|row| (row.seed, row.setting.as_str()))
            .collect();
        places.sort_unstable();
        assert_eq!(places, first_failures);
        assert!(added.iter().any(|row| row.metric == "accuracy-extended"));
        // Cells are other ones, and so are the sums over all that was trained.
        let sums = ["updates", "multiply-adds"];
        let shared = |rows: &[RunRow]| -> Vec<String> {
            let rows = rows.iter().filter(|row| !is_extended(row) && !sums.contains(&row.metric.as_str()));
            rows.map(|row| format!("{:?}", RunRow { cell: String::new(), ..row.clone() })).collect()
        };
        assert_eq!(shared(&plain), shared(&all));
    }

    #[test]
    fn finished_cells_are_reused_and_damaged_ones_named_and_computed_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = run_in(folder.path(), &options());
        let (plan, workspace) = tiny(folder.path());
        let again = run_in(folder.path(), &options());
        assert_eq!((again.computed, again.reused), (0, first.computed));
        let comparison = again.comparison.unwrap();
        assert_eq!(
            (comparison.identical, comparison.missing, comparison.added),
            (comparison.committed, 0, 0)
        );

        let cell = &plan.evaluation_cells(&first.provenance.rates)[0];
        let path = workspace.store().path(&cell.key);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        let mut damaged = Vec::new();
        let healed = run(&plan, &workspace, &options(), &AtomicBool::new(false), &mut |event| {
            if let Event::Damaged { message } = event {
                damaged.push(message);
            }
        })
        .unwrap();
        assert_eq!((healed.computed, damaged.len()), (1, 1));
        assert!(
            damaged[0].contains("set aside") && path.with_extension("json.damaged").exists(),
            "{damaged:?}"
        );
        assert!(table(&first) == table(&healed));

        let counts = status(&plan, &workspace).unwrap();
        assert!(counts.values().all(|count| count.fresh > 0 && count.missing == 0 && count.failed == 0));
    }

    #[test]
    fn what_uncommitted_code_computed_is_computed_again_once_it_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let (plan, mut workspace) = tiny(folder.path());
        workspace.code.dirty = true;
        let (never, allowed) = (AtomicBool::new(false), RunOptions { allow_dirty: true, ..options() });
        let first = run(&plan, &workspace, &allowed, &never, &mut |_| {}).unwrap();
        assert_eq!(run(&plan, &workspace, &allowed, &never, &mut |_| {}).unwrap().computed, 0);
        workspace.code.dirty = false;
        let committed = run(&plan, &workspace, &options(), &never, &mut |_| {}).unwrap();
        assert_eq!((committed.computed, committed.reused), (first.computed, 0));
        // Cells of another revision are reused, and provenance names it.
        workspace.code.revision = "def".to_owned();
        let later = run(&plan, &workspace, &options(), &never, &mut |_| {}).unwrap();
        assert_eq!(later.provenance.revision, "def");
        assert_eq!(later.provenance.revisions, BTreeMap::from([("abc".to_owned(), first.computed)]));
    }

    #[test]
    fn after_a_sitting_that_the_machine_disturbed_all_repeats_are_timed_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (plan, mut workspace) = tiny(folder.path());
        workspace.machine = Box::new(crate::testing::Busy::default());
        let never = AtomicBool::new(false);
        let disturbed = run(&plan, &workspace, &options(), &never, &mut |_| {}).unwrap();
        assert!(disturbed.complete, "a busy machine loses nothing else");
        let step_times = |summary: &Summary| {
            let rows = read_timing(&summary.folder.join("timing.csv")).unwrap();
            rows.iter().filter(|row| row.metric == "step-seconds").count()
        };
        assert_eq!(step_times(&disturbed), 0);
        workspace.machine = Box::new(crate::testing::Still);
        let idle = run(&plan, &workspace, &options(), &never, &mut |_| {}).unwrap();
        assert_eq!((idle.computed, step_times(&idle)), (8, 8));
        assert_eq!(run(&plan, &workspace, &options(), &never, &mut |_| {}).unwrap().computed, 0);
        assert!(table(&disturbed) == table(&idle));
    }

    #[test]
    fn an_interrupted_run_keeps_what_is_finished_and_continues() {
        let folder = tempfile::tempdir().unwrap();
        let (plan, workspace) = tiny(folder.path());
        let counts = status(&plan, &workspace).unwrap();
        assert!(counts.values().all(|count| count.fresh == 0 && count.missing > 0));
        let cancel = AtomicBool::new(false);
        let mut done = 0;
        let interrupted = run(&plan, &workspace, &options(), &cancel, &mut |event| {
            if let Event::Done { .. } = event {
                done += 1;
                cancel.store(true, Ordering::Relaxed);
            }
        });
        assert!(matches!(interrupted, Err(ExperimentError::Interrupted)));
        let continued = run_in(folder.path(), &options());
        assert!(continued.reused >= done, "{} {done}", continued.reused);
        let whole = tempfile::tempdir().unwrap();
        assert!(table(&continued) == table(&run_in(whole.path(), &options())));
    }

    #[test]
    fn a_full_run_of_code_that_is_not_committed_is_refused_or_marked() {
        let folder = tempfile::tempdir().unwrap();
        let (plan, mut workspace) = tiny(folder.path());
        workspace.code.dirty = true;
        let never = AtomicBool::new(false);
        let refused = run(&plan, &workspace, &options(), &never, &mut |_| {});
        assert!(matches!(refused, Err(ExperimentError::Dirty)));
        let allowed = RunOptions { allow_dirty: true, ..options() };
        assert!(run(&plan, &workspace, &allowed, &never, &mut |_| {}).unwrap().provenance.dirty);
        // Anything less than complete is no evidence, and so may be run; it goes elsewhere.
        let quick = PlanOptions { profile: Profile::Quick, ..PlanOptions::default() };
        let quick = Plan::new(&definition(TINY), &quick, &workspace).unwrap();
        let summary = run(&quick, &workspace, &options(), &never, &mut |_| {}).unwrap();
        assert!(summary.folder.ends_with(".seqlab/runs/tiny-quick") && !summary.complete);
    }
}
