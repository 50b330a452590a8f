//! The rows of `runs.csv` by kind: what verdicts and cards are read from, however large the table is.

use std::path::Path;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use indexmap::{Equivalent, IndexMap};

use crate::RecordError;
use crate::cell::Outcome;
use crate::table::{RunLine, RunRow, each_run};

/// What the rows of one number have in common over cells and seeds. A table has few kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind<T = String> {
    /// Label of the task in the experiment.
    pub task: T,
    /// Settings that vary, such as `lag=20`.
    pub setting: T,
    /// Label of the model in the experiment.
    pub model: T,
    /// `tuning`, `evaluation` or `common-rate`.
    pub phase: T,
    /// Split, such as `test`.
    pub split: T,
    /// Metric.
    pub metric: T,
}

impl Kind<&str> {
    fn owned(self) -> Kind {
        let Self { task, setting, model, phase, split, metric } = self;
        let [task, setting, model, phase, split, metric] =
            [task, setting, model, phase, split, metric].map(str::to_owned);
        Kind { task, setting, model, phase, split, metric }
    }
}

impl Equivalent<Kind> for Kind<&str> {
    fn equivalent(&self, kind: &Kind) -> bool {
        // What differs between neighbours comes first.
        self.metric == kind.metric
            && self.split == kind.split
            && self.setting == kind.setting
            && self.model == kind.model
            && self.task == kind.task
            && self.phase == kind.phase
    }
}

/// What a row says beyond its kind, as in [`RunRow`].
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Key of the cell. Rows of a cell are neighbours and share it.
    pub cell: Arc<str>,
    /// Learning rate, or `NaN` where there is none or several.
    pub rate: f64,
    /// Seed.
    pub seed: u64,
    /// How the number came about.
    pub outcome: Outcome,
    /// The number.
    pub value: f64,
    /// Independent observations that it averages.
    pub count: u64,
}

/// Rows of `runs.csv` by kind: kinds in the order of their first row, rows of a kind in the order of the table.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    kinds: IndexMap<Kind, Vec<Run>, DefaultHashBuilder>,
}

impl Runs {
    /// Reads `runs.csv`, a row at a time.
    ///
    /// # Errors
    /// As [`read_runs`](crate::table::read_runs).
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let mut runs = Self::default();
        let mut cell = Arc::default();
        each_run(path, |line| runs.push(&line, &mut cell))?.collect::<Result<(), _>>()?;
        Ok(runs)
    }

    /// Adds a row, whose cell is mostly that of the row before.
    fn push(&mut self, line: &RunLine, before: &mut Arc<str>) {
        if **before != *line.cell {
            *before = line.cell.into();
        }
        let &RunLine { kind, rate, seed, outcome, value, count, .. } = line;
        let run = Run { cell: Arc::clone(before), rate, seed, outcome, value, count };
        if let Some(runs) = self.kinds.get_mut(&kind) {
            runs.push(run);
        } else {
            self.kinds.insert(kind.owned(), vec![run]);
        }
    }

    /// The kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.keys()
    }

    /// The rows of all kinds that `accepts` accepts, kind by kind.
    pub fn select<'a>(
        &'a self,
        accepts: impl Fn(&Kind) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a Kind, &'a Run)> {
        let kinds = self.kinds.iter().filter(move |(kind, _)| accepts(kind));
        kinds.flat_map(|(kind, runs)| runs.iter().map(move |run| (kind, run)))
    }

    /// Adds the rows of another table behind these.
    pub fn append(&mut self, other: Self) {
        for (kind, runs) in other.kinds {
            self.kinds.entry(kind).or_default().extend(runs);
        }
    }
}

impl FromIterator<(Kind, Run)> for Runs {
    fn from_iter<T: IntoIterator<Item = (Kind, Run)>>(rows: T) -> Self {
        let mut runs = Self::default();
        for (kind, run) in rows {
            runs.kinds.entry(kind).or_default().push(run);
        }
        runs
    }
}

impl FromIterator<RunRow> for Runs {
    fn from_iter<T: IntoIterator<Item = RunRow>>(rows: T) -> Self {
        let mut runs = Self::default();
        let mut cell = Arc::default();
        for row in rows {
            runs.push(&row.line(), &mut cell);
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_kind_and_share_the_key_of_their_cell() {
        let row = |cell: &str, seed: u64, metric: &str| RunRow {
            cell: cell.into(),
            task: "recall".into(),
            setting: String::new(),
            model: "lstm".into(),
            rate: 0.003,
            phase: "evaluation".into(),
            seed,
            split: "test".into(),
            metric: metric.into(),
            outcome: Outcome::Ok,
            value: 0.5,
            count: 10,
        };
        let table = [row("a", 1, "solved"), row("a", 1, "accuracy"), row("b", 2, "solved")];
        let mut runs: Runs = table.into_iter().collect();
        runs.append([row("c", 3, "solved")].into_iter().collect());
        let metrics: Vec<&str> = runs.kinds().map(|kind| kind.metric.as_str()).collect();
        assert_eq!(metrics, ["solved", "accuracy"]);
        let all: Vec<(&str, u64)> = runs.select(|_| true).map(|(_, run)| (&*run.cell, run.seed)).collect();
        assert_eq!(all, [("a", 1), ("b", 2), ("c", 3), ("a", 1)]);
        let cells: Vec<&Arc<str>> = runs.select(|_| true).map(|(_, run)| &run.cell).collect();
        assert!(Arc::ptr_eq(cells[0], cells[3]));
        let accuracies = runs.select(|kind| kind.metric == "accuracy");
        assert_eq!(accuracies.map(|(_, run)| run.seed).collect::<Vec<_>>(), [1]);
    }
}
