//! The tables of one experiment, and the questions that rules ask of them.

use std::collections::BTreeMap;
use std::path::Path;

use record::RecordError;
use record::cell::Outcome;
use record::pytorch::{PYTORCH_STEPS, PytorchStep, read_pytorch};
use record::runs::{Kind, Run, Runs};
use record::table::{TimingRow, read_timing};
use serde_json::Value;

/// What a verdict is read from.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// `runs.csv`.
    pub runs: Runs,
    /// `seconds.csv`: scores at equal seconds, which differ from machine to machine.
    pub seconds: Runs,
    /// `timing.csv`.
    pub timing: Vec<TimingRow>,
    /// Step times of PyTorch on the same models; empty where they were never measured.
    pub pytorch: Vec<PytorchStep>,
}

/// Fixed settings, such as `lag=100`.
pub(crate) type Place = Vec<(String, String)>;

impl Tables {
    /// Reads the tables in `folder`.
    ///
    /// # Errors
    /// When `runs.csv` is missing or a table is damaged.
    pub fn read(folder: &Path) -> Result<Self, RecordError> {
        let optional = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
        Ok(Self {
            runs: Runs::read(&folder.join("runs.csv"))?,
            seconds: optional("seconds.csv").map_or(Ok(Runs::default()), |path| Runs::read(&path))?,
            timing: optional("timing.csv").map_or(Ok(Vec::new()), |path| read_timing(&path))?,
            pytorch: read_pytorch(&folder.join(PYTORCH_STEPS))?,
        })
    }

    /// One value a seed of a metric, and the observations behind each.
    pub(crate) fn by_seed(&self, query: &Query) -> BTreeMap<u64, (f64, u64)> {
        self.rows(query).map(|run| (run.seed, (run.value, run.count))).collect()
    }

    /// Values a seed and block, for metrics that are recorded by block of the test text.
    pub(crate) fn by_seed_and_block(&self, query: &Query) -> BTreeMap<u64, BTreeMap<String, f64>> {
        let mut values: BTreeMap<u64, BTreeMap<String, f64>> = BTreeMap::new();
        let blocks = |kind: &Kind| query.accepts(kind) && kind.split.starts_with("test-block@");
        for (kind, run) in self.source(query.metric).select(blocks).filter(|(_, run)| is_measured(run)) {
            values.entry(run.seed).or_default().insert(kind.split.clone(), run.value);
        }
        values
    }

    pub(crate) fn rows<'a>(&'a self, query: &'a Query<'a>) -> impl Iterator<Item = &'a Run> + 'a {
        let kinds = move |kind: &Kind| query.accepts(kind) && kind.split == query.split;
        self.source(query.metric).select(kinds).map(|(_, run)| run).filter(|run| is_measured(run))
    }

    /// Scores at equal seconds live in a table of their own.
    fn source(&self, metric: &str) -> &Runs {
        if metric.ends_with("seconds") { &self.seconds } else { &self.runs }
    }

    /// Mean over seeds of the primary metric on validation.
    pub(crate) fn validation(&self, task: &str, model: &str, metric: &str, place: &Place) -> Option<f64> {
        let query = Query { task, model, metric, split: "validation", place };
        let values: Vec<f64> = self.by_seed(&query).into_values().map(|(value, _)| value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Seconds a step of our kernels, one value a repeat.
    pub(crate) fn step_seconds(&self, task: &str, model: &str, place: &Place) -> BTreeMap<u64, f64> {
        self.timing
            .iter()
            .filter(|row| row.task == task && row.model == model && row.metric == "step-seconds")
            .filter(|row| matches(&row.setting, place))
            .map(|row| (row.seed, row.value))
            .collect()
    }

    /// Seconds a step of PyTorch, in the order they were measured.
    pub(crate) fn pytorch_seconds(&self, model: &str, place: &Place) -> Vec<f64> {
        let time =
            place.iter().find(|(key, _)| key == "time").and_then(|(_, value)| value.parse::<usize>().ok());
        self.pytorch
            .iter()
            .filter(|step| step.model == model && Some(step.time) == time)
            .map(|step| step.seconds)
            .collect()
    }
}

/// Which rows of `runs.csv` are meant. Only evaluation rows ever are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) task: &'a str,
    pub(crate) model: &'a str,
    pub(crate) metric: &'a str,
    pub(crate) split: &'a str,
    pub(crate) place: &'a Place,
}

impl Query<'_> {
    fn accepts(&self, kind: &Kind) -> bool {
        kind.phase == "evaluation"
            && kind.task == self.task
            && kind.model == self.model
            && kind.metric == self.metric
            && matches(&kind.setting, self.place)
    }
}

/// Whether the row's cell could be computed.
fn is_measured(run: &Run) -> bool {
    run.outcome != Outcome::Failed
}

/// Whether a setting such as `characters=50000 time=64` agrees with every part of a place.
pub(crate) fn matches(setting: &str, place: &Place) -> bool {
    place.iter().all(|(key, value)| {
        setting.split(' ').any(|part| part.split_once('=').is_some_and(|(k, v)| k == key && v == value))
    })
}

/// The cross product of `{ lag = [50, 100], ... }`, in the order of the keys and values.
pub(crate) fn places(at: &BTreeMap<String, Vec<Value>>) -> Vec<Place> {
    at.iter().fold(vec![Place::new()], |places, (key, values)| {
        places
            .iter()
            .flat_map(|place| {
                values.iter().map(move |value| {
                    let mut longer = place.clone();
                    longer.push((key.clone(), record::plain(value)));
                    longer
                })
            })
            .collect()
    })
}

/// `lag=100`, or an empty text for the only place there is.
pub(crate) fn place_name(place: &Place) -> String {
    let parts: Vec<String> = place.iter().map(|(key, value)| format!("{key}={value}")).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_agrees_with_whole_values_only() {
        let place = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        assert!(matches("lag=20 time=64", &place("lag", "20")));
        assert!(!matches("lag=200", &place("lag", "20")));
        assert!(!matches("flag=20", &place("lag", "20")));
        assert!(matches("anything", &Place::new()));
    }

    #[test]
    fn places_are_the_cross_product() {
        let at = BTreeMap::from([
            ("characters".to_owned(), vec![Value::from(50), Value::from(100)]),
            ("time".to_owned(), vec![Value::from(64)]),
        ]);
        let names: Vec<String> = places(&at).iter().map(place_name).collect();
        assert_eq!(names, ["characters=50 time=64", "characters=100 time=64"]);
        assert_eq!(places(&BTreeMap::new()), vec![Place::new()]);
    }
}
