//! The tables of one experiment, and the samples that figures and result tables are made of.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use analysis::statistics::{
    Interval, SHOWN_LEVEL, mean, proportion_standard_error, standard_error_of_mean, wilson,
};
use record::cell::Outcome;
use record::metric::{is_accuracy, is_solved};
use record::pytorch::PytorchStep;
use record::runs::{Kind, Run, Runs};
use record::table::{CurveTableRow, TimingRow, read_curves};

use crate::ReportError;

/// Phases of `runs.csv`.
pub(crate) const TUNING: &str = "tuning";
pub(crate) const EVALUATION: &str = "evaluation";
pub(crate) const COMMON_RATE: &str = "common-rate";
pub(crate) const FLOOR: &str = "floor";

/// Everything that a results folder holds in tables.
pub(crate) struct Tables {
    pub(crate) runs: Runs,
    pub(crate) curves: Vec<CurveTableRow>,
    pub(crate) timing: Vec<TimingRow>,
    pub(crate) pytorch: Vec<PytorchStep>,
}

impl Tables {
    /// The tables that verdicts are read from, and `curves.csv` in `folder` where it is.
    pub(crate) fn new(tables: analysis::Tables, folder: &Path) -> Result<Self, ReportError> {
        let analysis::Tables { mut runs, seconds, timing, pytorch } = tables;
        runs.append(seconds);
        runs.append(means_over_blocks(&runs));
        let curves = folder.join("curves.csv");
        let curves = if curves.exists() { read_curves(&curves)? } else { Vec::new() };
        Ok(Self { runs, curves, timing, pytorch })
    }

    /// Rows that agree with a query.
    pub(crate) fn rows<'a>(&'a self, query: &'a Query<'a>) -> impl Iterator<Item = &'a Run> {
        self.runs.select(|kind| query.accepts(kind)).map(|(_, run)| run)
    }

    /// Seeds of the rows whose kind is accepted.
    pub(crate) fn seeds(&self, accepts: impl Fn(&Kind) -> bool) -> BTreeSet<u64> {
        self.runs.select(accepts).map(|(_, run)| run.seed).collect()
    }

    /// What the seeds say at one place, sorted by seed.
    pub(crate) fn sample(&self, query: &Query) -> Sample {
        let mut seeds: Vec<Seed> = self
            .rows(query)
            .map(|run| Seed { number: run.seed, value: run.value, outcome: run.outcome, count: run.count })
            .collect();
        seeds.sort_by_key(|seed| seed.number);
        Sample::of(query.metric, seeds)
    }

    /// The floor of a metric at a setting; floors that hold at every setting have an empty one.
    pub(crate) fn floor(&self, task: &str, name: &str, metric: &str, setting: &str) -> Option<f64> {
        let floors = || {
            self.runs.select(|kind| {
                kind.phase == FLOOR && kind.task == task && kind.model == name && kind.metric == base(metric)
            })
        };
        let exact = floors().find(|(kind, _)| kind.setting == setting);
        exact.or_else(|| floors().find(|(kind, _)| kind.setting.is_empty())).map(|(_, run)| run.value)
    }

    /// Names of the floors of a metric, in the order of the table.
    pub(crate) fn floors(&self, task: &str, metric: &str) -> Vec<&str> {
        let rows = self.runs.kinds().filter(|row| row.phase == FLOOR && row.task == task);
        distinct(rows.filter(|row| row.metric == base(metric)).map(|row| row.model.as_str()))
    }
}

/// Whether what stands among the floors of a task is no floor but what nobody surpasses.
pub(crate) fn is_ceiling(floor: &str) -> bool {
    floor.starts_with("best") || ["noise", "oracle"].contains(&floor)
}

/// Which rows are meant.
#[derive(Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) task: &'a str,
    pub(crate) model: &'a str,
    pub(crate) setting: &'a str,
    pub(crate) phase: &'a str,
    pub(crate) split: &'a str,
    pub(crate) metric: &'a str,
}

impl Query<'_> {
    fn accepts(&self, kind: &Kind) -> bool {
        kind.task == self.task
            && kind.model == self.model
            && kind.setting == self.setting
            && kind.phase == self.phase
            && kind.split == self.split
            && kind.metric == self.metric
    }
}

/// The number of one seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed {
    pub(crate) number: u64,
    pub(crate) value: f64,
    pub(crate) outcome: Outcome,
    pub(crate) count: u64,
}

/// The numbers of one model at one place, one a seed.
pub(crate) struct Sample {
    metric: String,
    pub(crate) seeds: Vec<Seed>,
}

/// A mean over seeds with its 95% interval, which a single seed does not have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    pub(crate) value: f64,
    pub(crate) interval: Option<Interval>,
}

impl Sample {
    /// The numbers of some seeds.
    pub(crate) fn of(metric: &str, seeds: Vec<Seed>) -> Self {
        Self { metric: metric.to_owned(), seeds }
    }

    /// Seeds that ended in one way.
    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        self.seeds.iter().filter(|seed| seed.outcome == outcome).count()
    }

    /// Seeds that solved the task, for the metric `solved`. What was not tried was not solved.
    pub(crate) fn solved(&self) -> usize {
        self.seeds.iter().filter(|seed| seed.value > 0.5).count()
    }

    /// The largest value that at least half of the seeds reach; 0 stands for seeds without a number.
    pub(crate) fn reached_by_half(&self) -> f64 {
        let mut values: Vec<f64> =
            self.seeds.iter().map(|seed| if seed.value.is_finite() { seed.value } else { 0.0 }).collect();
        values.sort_by(|a, b| b.total_cmp(a));
        values.get(values.len().div_ceil(2).saturating_sub(1)).copied().unwrap_or(0.0)
    }

    /// The mean over the seeds that yielded a number: Wilson's interval for the rate `solved`, a t interval
    /// otherwise, whose standard error is at least that of the test set for accuracies.
    pub(crate) fn mean(&self) -> Option<Mean> {
        if is_solved(&self.metric) {
            let (solved, seeds) = (self.solved(), self.seeds.len());
            return (seeds > 0).then(|| Mean {
                value: solved as f64 / seeds as f64,
                interval: Some(wilson(solved, seeds, SHOWN_LEVEL)),
            });
        }
        let measured: Vec<&Seed> = self.measured().collect();
        let values: Vec<f64> = measured.iter().map(|seed| seed.value).collect();
        let value = values.iter().sum::<f64>() / values.len() as f64;
        let errors: Vec<f64> = measured
            .iter()
            .filter_map(|seed| {
                usize::try_from(seed.count).ok().filter(|&count| count > 0).map(|n| (seed.value, n))
            })
            .map(|(value, count)| proportion_standard_error(value, count))
            .collect();
        let floor = if is_accuracy(&self.metric) && errors.len() == values.len() && !errors.is_empty() {
            standard_error_of_mean(&errors)
        } else {
            0.0
        };
        let interval = mean(&values, SHOWN_LEVEL, floor).ok().map(|estimate| match estimate.interval95 {
            // No accuracy lies outside 0..1, whatever a symmetric interval says.
            Interval { low, high } if is_accuracy(&self.metric) => {
                Interval { low: low.max(0.0), high: high.min(1.0) }
            }
            interval => interval,
        });
        (!values.is_empty()).then_some(Mean { value, interval })
    }

    /// Seeds that yielded a number; that of a diverged run is its best before it diverged.
    pub(crate) fn measured(&self) -> impl Iterator<Item = &Seed> {
        self.seeds.iter().filter(|seed| {
            !matches!(seed.outcome, Outcome::Failed | Outcome::NotAttempted) && seed.value.is_finite()
        })
    }
}

/// A metric without the budget at which it was read: `cross-entropy` of `cross-entropy@multiply-adds`.
pub(crate) fn base(metric: &str) -> &str {
    metric.split('@').next().unwrap_or(metric)
}

/// The value of one key of a setting such as `lag=20 time=64`.
pub(crate) fn setting_value<'a>(setting: &'a str, key: &str) -> Option<&'a str> {
    setting
        .split(' ')
        .find_map(|part| part.split_once('=').filter(|(name, _)| *name == key).map(|(_, value)| value))
}

/// A setting without one of its keys.
pub(crate) fn setting_without(setting: &str, key: &str) -> String {
    let rest: Vec<&str> =
        setting.split(' ').filter(|part| part.split_once('=').is_none_or(|(name, _)| name != key)).collect();
    rest.join(" ")
}

/// The different values, in the order in which they first come.
pub(crate) fn distinct<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

/// Order of text with numbers in it, by the numbers' size: `lag=5` before `lag=20`.
pub(crate) fn natural(left: &str, right: &str) -> Ordering {
    let (left, right) = (pieces(left), pieces(right));
    for (a, b) in left.iter().zip(&right) {
        let order = match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => a.total_cmp(&b),
            _ => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

/// Runs of digits, and what stands between them.
fn pieces(text: &str) -> Vec<&str> {
    let digit = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let bytes = text.as_bytes();
    let starts =
        (0..bytes.len()).filter(|&index| index == 0 || digit(bytes[index]) != digit(bytes[index - 1]));
    let starts: Vec<usize> = starts.filter(|&index| text.is_char_boundary(index)).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &text[start..end]).collect()
}

/// Scores recorded by block of the test text, averaged to one row a seed with split `test`.
fn means_over_blocks(runs: &Runs) -> Runs {
    let mut blocks: BTreeMap<(&str, &str), Vec<(&Kind, &Run)>> = BTreeMap::new();
    for (kind, run) in runs.select(|kind| kind.split.starts_with("test-block@")) {
        blocks.entry((&run.cell, &kind.metric)).or_default().push((kind, run));
    }
    for (kind, run) in runs.select(|kind| kind.split == "test") {
        blocks.remove(&(&*run.cell, kind.metric.as_str()));
    }
    let mean = |rows: Vec<(&Kind, &Run)>| {
        let (kind, run) = rows[0];
        let value = rows.iter().map(|(_, run)| run.value).sum::<f64>() / rows.len() as f64;
        (Kind { split: "test".to_owned(), ..kind.clone() }, Run { value, count: 0, ..run.clone() })
    };
    blocks.into_values().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use record::table::RunRow;

    use super::*;

    fn row(split: &str, value: f64) -> RunRow {
        RunRow {
            cell: "c".into(),
            task: "language".into(),
            setting: "characters=50000".into(),
            model: "lstm".into(),
            rate: 0.003,
            phase: EVALUATION.into(),
            seed: 1000,
            split: split.into(),
            metric: "cross-entropy".into(),
            outcome: Outcome::Ok,
            value,
            count: 100,
        }
    }

    fn sample(metric: &str, values: &[f64]) -> Sample {
        let seeds = values.iter().zip(1000..);
        let seeds = seeds.map(|(&value, number)| Seed { number, value, outcome: Outcome::Ok, count: 1000 });
        Sample::of(metric, seeds.collect())
    }

    #[test]
    fn tables_without_rows_and_absent_tables_are_empty() {
        let folder = tempfile::tempdir().unwrap();
        let read = |folder: &Path| Tables::new(analysis::Tables::read(folder)?, folder);
        assert!(read(folder.path()).err().unwrap().to_string().contains("runs.csv"));
        record::table::write_runs(&folder.path().join("runs.csv"), &[row("test", 1.0)]).unwrap();
        record::table::write_curves(&folder.path().join("curves.csv"), &[]).unwrap();
        let tables = read(folder.path()).unwrap();
        assert_eq!((tables.runs.kinds().count(), tables.curves.len(), tables.timing.len()), (1, 0, 0));
    }

    #[test]
    fn settings_sort_by_their_numbers() {
        let mut settings =
            ["lag=100", "lag=5", "lag=20 pairs=16", "lag=20 pairs=4", "lag=20", "rate=0.1", ""];
        settings.sort_by(|a, b| natural(a, b));
        assert_eq!(
            settings,
            ["", "lag=5", "lag=20", "lag=20 pairs=4", "lag=20 pairs=16", "lag=100", "rate=0.1"]
        );
        assert_eq!(setting_value("lag=20 pairs=4", "pairs"), Some("4"));
        assert_eq!(setting_without("lag=20 pairs=4", "lag"), "pairs=4");
    }

    #[test]
    fn blocks_of_a_text_become_one_score_unless_there_is_one() {
        let blocks = [row("test-block@00", 1.0), row("test-block@01", 3.0)];
        let means = |rows: &[RunRow]| means_over_blocks(&rows.iter().cloned().collect());
        let values = |runs: Runs| -> Vec<(String, f64)> {
            runs.select(|_| true).map(|(kind, run)| (kind.split.clone(), run.value)).collect()
        };
        assert_eq!(values(means(&blocks)), [("test".to_owned(), 2.0)]);
        let with_whole = [blocks[0].clone(), blocks[1].clone(), row("test", 2.5)];
        assert_eq!(values(means(&with_whole)), []);
    }

    #[test]
    fn rates_and_means_have_their_own_intervals() {
        // Wilson for 10 of 10: low end 0.7225 (scipy 1.17, binomtest(10, 10).proportion_ci(method="wilson")).
        let rate = sample("solved", &[1.0; 10]).mean().unwrap();
        assert!((rate.interval.unwrap().low - 0.722_467).abs() < 1e-6 && rate.value == 1.0);
        // Perfect accuracies on 1,000 examples have a width; a perfect loss does not.
        assert!(sample("accuracy", &[1.0; 8]).mean().unwrap().interval.unwrap().width() > 0.0);
        assert_eq!(sample("cross-entropy", &[1.0; 8]).mean().unwrap().interval.unwrap().width(), 0.0);
        // One seed has a value and no interval, none has nothing.
        assert!(sample("accuracy", &[0.5]).mean().unwrap().interval.is_none());
        assert!(sample("accuracy", &[]).mean().is_none());
    }

    #[test]
    fn what_was_not_tried_is_no_score_and_no_success() {
        let mut tried = sample("accuracy", &[0.9, 0.8, f64::NAN]);
        tried.seeds[2].outcome = Outcome::NotAttempted;
        assert_eq!(tried.measured().count(), 2);
        let mut solved = sample("solved", &[1.0, 0.0, f64::NAN]);
        solved.seeds[2].outcome = Outcome::NotAttempted;
        assert_eq!((solved.solved(), solved.mean().unwrap().value), (1, 1.0 / 3.0));
    }

    #[test]
    fn half_of_the_seeds_reach_a_value_that_was_run() {
        assert_eq!(sample("longest", &[20.0, 50.0, 20.0, 50.0]).reached_by_half(), 50.0);
        assert_eq!(sample("longest", &[20.0, 50.0, 20.0]).reached_by_half(), 20.0);
        assert_eq!(sample("longest", &[]).reached_by_half(), 0.0);
    }
}
