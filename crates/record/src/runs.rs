//! The rows of `runs.csv` by kind: what verdicts and cards are read from, however large the table is.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::RecordError;
use crate::cell::Outcome;
use crate::table::{RunRow, each_run};

/// What the rows of one number have in common over cells and seeds. A table has few kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Label of the task in the experiment.
    pub task: String,
    /// Settings that vary, such as `lag=20`.
    pub setting: String,
    /// Label of the model in the experiment.
    pub model: String,
    /// `tuning`, `evaluation` or `common-rate`.
    pub phase: String,
    /// Split, such as `test`.
    pub split: String,
    /// Metric.
    pub metric: String,
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
    kinds: IndexMap<Kind, Vec<Run>>,
}

impl Runs {
    /// Reads `runs.csv`, a row at a time.
    ///
    /// # Errors
    /// As [`read_runs`](crate::table::read_runs).
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        each_run(path)?.collect()
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
        let mut kinds: IndexMap<Kind, Vec<Run>> = IndexMap::new();
        for (kind, run) in rows {
            kinds.entry(kind).or_default().push(run);
        }
        Self { kinds }
    }
}

impl FromIterator<RunRow> for Runs {
    fn from_iter<T: IntoIterator<Item = RunRow>>(rows: T) -> Self {
        let mut shared: Arc<str> = Arc::default();
        let halves = |row: RunRow| {
            let RunRow { task, setting, model, phase, split, metric, .. } = row;
            let RunRow { cell, rate, seed, outcome, value, count, .. } = row;
            if *shared != *cell {
                shared = cell.into();
            }
            let run = Run { cell: Arc::clone(&shared), rate, seed, outcome, value, count };
            (Kind { task, setting, model, phase, split, metric }, run)
        };
        rows.into_iter().map(halves).collect()
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
