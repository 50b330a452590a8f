//! How the gradient that reaches an input shrinks or grows with its distance from the end.
//!
//! The gradient by each embedded input of a random projection of the last hidden state, in double precision
//! ([`sequence::Predictor::input_gradients`]), on the first test sequences of the task. The median over sequences is read
//! at each lag, and a straight line through its decimal logarithm gives the slope in decades a step: -0.3 means that half
//! of the gradient is lost at every step. Measured at initialisation, or after training at the task's own or another
//! setting.

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Budget, Outcome as Ending, StopRule};
use serde::{Deserialize, Serialize};

use super::slope::slope;
use super::{
    CellContext, Costs, FIT, MeasurementEntry, SOLVED_EVALUATIONS, Schedule, TEST, VALIDATION, Yield,
    Yielded, counted, curve, first, row, scores,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "gradient-by-lag",
    summary: "the gradient that reaches inputs further and further back, at initialisation or after training",
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
    /// Updates before the gradient is measured; 0 measures at initialisation.
    updates: u64,
    /// Validation every so many updates; training ends when the task is solved.
    evaluate_every: u64,
    /// Rate at which it trains.
    rate: f64,
    /// Task settings at which it trains, where they differ from those at which the gradient is measured.
    train_at: Settings,
    /// What the embedded inputs are multiplied by before the body reads them.
    input_scale: f64,
    /// Sequences that the median is taken over.
    sequences: usize,
    /// The smallest lag that the slope is fitted to.
    from: usize,
    /// The largest lag that the slope is fitted to.
    to: usize,
    /// Lags whose gradients are reported.
    lags: Vec<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            updates: 0,
            evaluate_every: 50,
            rate: 0.003,
            train_at: Settings::new(),
            input_scale: 1.0,
            sequences: 16,
            from: 5,
            to: 100,
            lags: vec![0, 5, 10, 20, 40, 60, 80, 100],
        }
    }
}

/// The decimal logarithm of the gradient at a lag, median over sequences.
pub(super) const LOG_GRADIENT: &str = "log10-gradient";
/// The same of the gradient that one sequence in twenty exceeds: a mean can look healthy while the median is dead.
const LOG_GRADIENT_95: &str = "log10-gradient-95";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.from + 2 > config.to {
        return Err(format!("`from` = {} and `to` = {} leave no line to fit", config.from, config.to));
    }
    for (key, lag) in config.lags.iter().map(|lag| ("lags", *lag)).chain([("to", config.to)]) {
        if lag >= facts.time {
            return Err(format!(
                "`{key}`: {lag} lies beyond the task's sequences of {} positions",
                facts.time
            ));
        }
    }
    if config.sequences == 0 || config.evaluate_every == 0 {
        return Err("`sequences` and `evaluate-every` must be at least 1".to_owned());
    }
    if !(config.input_scale > 0.0 && config.input_scale.is_finite() && config.rate > 0.0) {
        return Err("`input-scale` and `rate` must be more than 0".to_owned());
    }
    if config.updates == 0 && !config.train_at.is_empty() {
        return Err("`train-at` is for training, and `updates` is 0".to_owned());
    }
    Ok(())
}

fn yields(settings: &Settings, facts: &Facts) -> Vec<Yielded> {
    let config: Config = parse(settings).unwrap_or_default();
    let mut all: Vec<Yielded> =
        ["slope", "half-life", "reach"].map(|metric| Yielded::new(TEST, metric)).into();
    all.push(Yielded::new(FIT, "updates"));
    all.extend(facts.metrics.iter().map(|metric| Yielded::new(VALIDATION, *metric)));
    for lag in config.lags {
        all.extend([LOG_GRADIENT, LOG_GRADIENT_95].map(|metric| Yielded::new(&split(lag), metric)));
    }
    all
}

/// Where the gradient at a lag is found among the splits.
fn split(lag: usize) -> String {
    format!("test@{lag}")
}

/// The probe composes its operations in double precision, one position after the other: as measured, about a sixth of a test
/// of the whole task.
fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let (training, probe) = (cost(&config.train_at), cost(&Settings::new()));
    let evaluations = config.updates as f64 / config.evaluate_every.max(1) as f64;
    config.updates as f64 * training.update + (evaluations + 2.0) * training.validation + probe.test / 6.0
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let training = context.task(&config.train_at)?;
    let learner = context.learner(&config.train_at, Some(config.rate))?;
    let budget = Budget { updates: config.updates, evaluate_every: config.evaluate_every };
    let stop = match training.solved_at() {
        Some(_) => StopRule::Solved { evaluations: SOLVED_EVALUATIONS },
        None => StopRule::Budget,
    };
    let fit = context.fit(training.as_ref(), learner.as_ref(), budget, stop, None)?;
    let outcome = match fit.outcome {
        Ending::Diverged { .. } => Outcome::Diverged,
        Ending::Finished | Ending::Solved { .. } => Outcome::Ok,
    };

    let task = context.task(&none)?;
    let seed = context.cell.seed;
    let tests = task.test(seed);
    let examples = tests.first().and_then(|set| set.batches.first());
    let batch = first(examples.expect("a task has test examples"), config.sequences);
    let norms = fit.predictor.input_gradients(&batch, config.input_scale, seed).ok_or_else(|| {
        ExperimentError::Cell(format!("model `{}` has no gradients to measure", context.cell.model.name))
    })?;

    let mut rows = Vec::new();
    let mut line = Vec::new();
    let mut reach = 0;
    let largest = config.lags.iter().copied().fold(config.to, usize::max);
    for lag in 0..=largest {
        let at_lag = norms_at(&batch, &norms, lag);
        if at_lag.last().is_some_and(|&largest| largest > 0.0) {
            reach = lag;
        }
        // A gradient of exactly nothing has no logarithm: beyond the reach of a model there are no rows.
        let log = |fraction: f64| quantile(&at_lag, fraction).filter(|value| *value > 0.0).map(f64::log10);
        for (metric, fraction) in [(LOG_GRADIENT, 0.5), (LOG_GRADIENT_95, 0.95)] {
            if let Some(value) = log(fraction).filter(|_| config.lags.contains(&lag)) {
                rows.push(row(&none, &split(lag), metric, outcome, value));
            }
        }
        if let Some(value) = log(0.5)
            && (config.from..=config.to).contains(&lag)
        {
            line.push((lag as f64, value));
        }
    }
    if let Some(slope) = slope(&line) {
        rows.push(row(&none, TEST, "slope", outcome, slope));
        if slope < 0.0 {
            rows.push(row(&none, TEST, "half-life", outcome, std::f64::consts::LOG10_2 / -slope));
        }
    }
    rows.push(row(&none, TEST, "reach", outcome, reach as f64));
    rows.push(row(&none, FIT, "updates", outcome, fit.updates as f64));
    let validation = training.validation(seed);
    for score in scores(training.as_ref(), fit.predictor.as_ref(), &validation) {
        rows.push(counted(&none, VALIDATION, score.metric, outcome, score.value, score.count));
    }
    Ok(Yield { outcome, message: None, rows, curve: curve(&none, &fit), step_seconds: Vec::new() })
}

/// The norms `[batch, time]` so many positions before each sequence's last, ascending, of the sequences that are long enough.
pub(super) fn norms_at(batch: &Batch, norms: &[f64], lag: usize) -> Vec<f64> {
    let mut at_lag: Vec<f64> = (0..batch.size)
        .filter(|&sequence| batch.lengths[sequence] > lag)
        .map(|sequence| norms[sequence * batch.time + batch.lengths[sequence] - 1 - lag])
        .collect();
    at_lag.sort_by(f64::total_cmp);
    at_lag
}

/// The value below which a fraction of ascending values lies, between neighbours in proportion.
pub(super) fn quantile(ascending: &[f64], fraction: f64) -> Option<f64> {
    let place = fraction * ascending.len().checked_sub(1)? as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
    let below = place as usize;
    let above = (below + 1).min(ascending.len() - 1);
    Some(ascending[below] + (place - below as f64) * (ascending[above] - ascending[below]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_by_hand() {
        let values = [1.0, 2.0, 3.0, 10.0];
        assert_eq!(quantile(&values, 0.5), Some(2.5));
        assert!((quantile(&values, 0.95).unwrap() - 8.95).abs() < 1e-12);
        assert_eq!(quantile(&values[..1], 0.5), Some(1.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_line_needs_lags_within_the_sequences() {
        let facts = crate::testing::facts();
        let settings = |from: usize, to: usize, lag: usize| {
            let key = |name: &str, value: serde_json::Value| (name.to_owned(), value);
            Settings::from([key("from", from.into()), key("to", to.into()), key("lags", vec![lag].into())])
        };
        let last = facts.time - 1;
        assert!(check(&settings(1, last, last), &facts).is_ok());
        for (settings, expected) in [
            (settings(1, last + 1, 1), "`to`: 20 lies beyond the task's sequences of 20 positions"),
            (settings(1, last, last + 1), "`lags`: 20 lies beyond"),
            (settings(4, 5, 1), "leave no line to fit"),
        ] {
            let message = check(&settings, &facts).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
