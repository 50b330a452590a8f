//! How well a position can be read off a model's state there, by a straight line through its values.
//!
//! A linear probe with a ridge is fitted to the states ([`sequence::Predictor::states`]) at positions 1 to N of some sequences, and
//! asked for the position on others: its share of explained variance, and its mean error at the end of that range. Of an
//! untrained model, or after training.

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Budget, Outcome as Ending, Predictor, StopRule};
use serde::{Deserialize, Serialize};

use super::ridge::{Ridge, predicted};
use super::{
    CellContext, Costs, MeasurementEntry, Schedule, VALIDATION, Yield, Yielded, counted, curve, row, scores,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "position-probe",
    summary: "how well a position can be read off a state by a linear probe, before or after training",
    version: 1,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::OwnRates,
    check,
    over: |_| None,
    yields,
    seconds,
    run,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Updates before the states are read; 0 reads those of an untrained model.
    updates: u64,
    /// Validation every so many updates.
    evaluate_every: u64,
    /// Rate at which it trains.
    rate: f64,
    /// Sequences that the probe is fitted to, and as many others that it is asked about.
    sequences: usize,
    /// The last position of each range, counted from 1.
    ranges: Vec<usize>,
    /// What is added to the diagonal of the mean product of values.
    ridge: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            updates: 0,
            evaluate_every: 100,
            rate: 0.003,
            sequences: 64,
            ranges: vec![20, 50, 200],
            ridge: 1e-6,
        }
    }
}

/// The share of the variance of positions that the probe explains on other sequences.
const EXPLAINED: &str = "position-explained";
/// The mean distance of its answers, in positions, over the last tenth of the range.
const ERROR: &str = "position-error";
/// Batches far beyond those that a model trains on.
const PROBED: u64 = 1 << 40;

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if let Some(range) = config.ranges.iter().find(|range| !(10..=facts.time).contains(range)) {
        return Err(format!("`ranges`: {range} is outside 10 to the task's {} positions", facts.time));
    }
    if config.ranges.is_empty() || config.sequences == 0 || config.evaluate_every == 0 {
        return Err(
            "`ranges` must name one at least, `sequences` and `evaluate-every` be 1 at least".to_owned()
        );
    }
    if !(config.ridge > 0.0 && config.ridge.is_finite() && config.rate > 0.0) {
        return Err("`ridge` and `rate` must be more than 0".to_owned());
    }
    Ok(())
}

fn yields(settings: &Settings, facts: &Facts) -> Vec<Yielded> {
    let config: Config = parse(settings).unwrap_or_default();
    let ranges = config.ranges.iter();
    let mut all: Vec<Yielded> = ranges
        .flat_map(|&range| [EXPLAINED, ERROR].map(|metric| Yielded::new(&split(range), metric)))
        .collect();
    all.extend(facts.metrics.iter().map(|metric| Yielded::new(VALIDATION, *metric)));
    all
}

/// Where a range is found among the splits.
fn split(range: usize) -> String {
    format!("test@{range}")
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let cost = cost(&Settings::new());
    let evaluations = config.updates as f64 / config.evaluate_every.max(1) as f64;
    config.updates as f64 * cost.update + (evaluations + 3.0) * cost.validation
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let learner = context.learner(&none, Some(config.rate))?;
    let budget = Budget { updates: config.updates, evaluate_every: config.evaluate_every };
    let fit = context.fit(task.as_ref(), learner.as_ref(), budget, StopRule::Budget, None)?;
    let outcome = match fit.outcome {
        Ending::Diverged { .. } => Outcome::Diverged,
        Ending::Finished | Ending::Solved { .. } => Outcome::Ok,
    };
    let seed = context.cell.seed;
    let states = |update: u64| {
        let batch = task.training_batch(seed, update, config.sequences);
        States::of(fit.predictor.as_ref(), &batch).ok_or_else(|| {
            ExperimentError::Cell(format!("model `{}` has no states to read", context.cell.model.name))
        })
    };
    let (fitted, asked) = (states(PROBED)?, states(PROBED + 1)?);

    let mut rows = Vec::new();
    for &range in &config.ranges {
        let mut ridge = Ridge::new(fitted.width + 1);
        for (position, state) in fitted.within(range) {
            ridge.add(&state, position as f64);
        }
        let weights = ridge.solve(config.ridge);
        let mut distances = vec![(0.0, 0_usize); range + 1];
        let (mut squares, mut count) = (0.0, 0.0);
        for (position, state) in asked.within(range) {
            let distance = predicted(&weights, &state) - position as f64;
            squares += distance * distance;
            count += 1.0;
            let (sum, seen) = &mut distances[position];
            *sum += distance.abs();
            *seen += 1;
        }
        // Positions 1 to N, all as often: variance (N^2 - 1) / 12.
        let variance = (range * range - 1) as f64 / 12.0;
        rows.push(row(&none, &split(range), EXPLAINED, outcome, 1.0 - squares / count / variance));
        let end = &distances[range + 1 - (range / 10).max(1)..];
        let (sum, seen) =
            end.iter().fold((0.0, 0), |(sum, seen), (more, others)| (sum + more, seen + others));
        let error = sum / seen.max(1) as f64;
        rows.push(row(&none, &split(range), ERROR, outcome, error));
    }
    for score in scores(task.as_ref(), fit.predictor.as_ref(), &task.validation(seed)) {
        rows.push(counted(&none, VALIDATION, score.metric, outcome, score.value, score.count));
    }
    Ok(Yield { outcome, message: None, rows, curve: curve(&none, &fit), step_seconds: Vec::new() })
}

/// The states of some sequences, `[size, time, width]`.
struct States {
    time: usize,
    width: usize,
    lengths: Vec<usize>,
    values: Vec<f32>,
}

impl States {
    fn of(predictor: &dyn Predictor, batch: &Batch) -> Option<Self> {
        let values = predictor.states(batch)?;
        let width = values.len() / (batch.size * batch.time);
        Some(Self { time: batch.time, width, lengths: batch.lengths.clone(), values })
    }

    /// Positions from 1 to `range` with the state there, and a 1 behind it for the constant.
    fn within(&self, range: usize) -> impl Iterator<Item = (usize, Vec<f64>)> + '_ {
        (0..).zip(&self.lengths).flat_map(move |(sequence, &length)| {
            (0..length.min(range)).map(move |position: usize| {
                let start = (sequence * self.time + position) * self.width;
                let state = &self.values[start..start + self.width];
                (position + 1, state.iter().map(|&value| f64::from(value)).chain([1.0]).collect())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lie_within_the_sequences() {
        let facts = crate::testing::facts();
        let settings = |range: usize| Settings::from([("ranges".to_owned(), vec![range].into())]);
        assert!(check(&settings(facts.time), &facts).is_ok());
        for wrong in [9, facts.time + 1] {
            assert!(check(&settings(wrong), &facts).unwrap_err().contains("`ranges`"));
        }
    }

    #[test]
    fn states_come_with_their_position_and_without_padding() {
        let states = States { time: 2, width: 1, lengths: vec![2, 1], values: vec![5.0, 6.0, 7.0, 8.0] };
        let found: Vec<_> = states.within(2).collect();
        assert_eq!(found, [(1, vec![5.0, 1.0]), (2, vec![6.0, 1.0]), (1, vec![7.0, 1.0])]);
        assert_eq!(states.within(1).count(), 2);
    }
}
