//! How large the updates of a network's weights are beside the weights, and how much that varies.
//!
//! After each update, for every matrix of weights `W` the ratio `|dW| / |W|` of Euclidean norms. Their coefficient of variation
//! (standard deviation over mean) is taken over all matrices and updates: 0 would be weight changes of constant size.
//! Updates of the warm-up, whose rate still rises, are left out.

use std::cell::RefCell;
use std::collections::BTreeMap;

use record::Settings;
use record::cell::Outcome;
use sequence::{Budget, CurvePoint, Outcome as Ending, Predictor, StopRule};
use serde::{Deserialize, Serialize};

use super::untrained::Brief;
use super::{CellContext, Costs, FIT, MeasurementEntry, Schedule, TEST, Yield, Yielded, curve, row};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "update-sizes",
    summary: "how large the updates of weights are beside the weights, and how much that varies",
    version: 1,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::OwnRates,
    check,
    over: |_| None,
    yields: |_, _| {
        let test = [SIZE, VARIATION].map(|metric| Yielded::new(TEST, metric));
        test.into_iter().chain([Yielded::new(FIT, "training-loss")]).collect()
    },
    seconds,
    run,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Updates.
    updates: u64,
    /// Updates at the beginning that are left out, while the rate rises.
    warm_up: u64,
    /// Learning rate.
    rate: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { updates: 500, warm_up: 100, rate: 0.003 }
    }
}

/// The mean of the ratios.
const SIZE: &str = "update-size";
/// Their coefficient of variation.
const VARIATION: &str = "update-size-variation";

fn check(settings: &Settings, _: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.updates <= config.warm_up {
        return Err(format!(
            "`updates` = {} must be more than `warm-up` = {}",
            config.updates, config.warm_up
        ));
    }
    if config.rate > 0.0 { Ok(()) } else { Err("`rate` must be more than 0".to_owned()) }
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    2.0 * config.updates as f64 * cost(&Settings::new()).update
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let learner = context.learner(&none, Some(config.rate))?;
    let budget = Budget { updates: config.updates, evaluate_every: 1 };
    let seen: RefCell<Seen> = RefCell::default();
    let mut observer = |point: &CurvePoint, predictor: &dyn Predictor| {
        seen.borrow_mut().weights(predictor.weights(), point.updates > config.warm_up);
    };
    let brief = Brief(task.as_ref());
    let fit = context.fit(&brief, learner.as_ref(), budget, StopRule::Budget, Some(&mut observer))?;
    let outcome = match fit.outcome {
        Ending::Diverged { .. } => Outcome::Diverged,
        Ending::Finished | Ending::Solved { .. } => Outcome::Ok,
    };
    let Some((mean, variation)) = spread(&seen.into_inner().ratios) else {
        return Err(ExperimentError::Cell(format!(
            "model `{}` has no matrices of weights that were updated after the warm-up",
            context.cell.model.name
        )));
    };
    let last = fit.curve.iter().rev().take(50).map(|point| point.training_loss);
    let loss = last.clone().sum::<f64>() / last.count() as f64;
    let rows = vec![
        row(&none, TEST, SIZE, outcome, mean),
        row(&none, TEST, VARIATION, outcome, variation),
        row(&none, FIT, "training-loss", outcome, loss),
    ];
    Ok(Yield { outcome, message: None, rows, curve: curve(&none, &fit), step_seconds: Vec::new() })
}

/// What the observer has seen.
#[derive(Default)]
struct Seen {
    before: BTreeMap<String, Vec<f32>>,
    ratios: Vec<f64>,
}

impl Seen {
    /// The weights after one update more; their ratios count or do not.
    fn weights(&mut self, weights: Vec<(String, Vec<f32>)>, counts: bool) {
        let norm =
            |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        let weights: BTreeMap<String, Vec<f32>> = weights.into_iter().collect();
        for (path, after) in weights.iter().filter(|_| counts) {
            let Some(before) = self.before.get(path) else { continue };
            let pairs = after.iter().zip(before);
            let change = norm(&mut pairs.map(|(after, before)| f64::from(*after) - f64::from(*before)));
            let size = norm(&mut before.iter().map(|&value| f64::from(value)));
            if size > 0.0 {
                self.ratios.push(change / size);
            }
        }
        self.before = weights;
    }
}

/// Mean and coefficient of variation; `None` of nothing, and where nothing changed.
fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean > 0.0).then(|| (mean, variance.sqrt() / mean))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_and_their_variation_by_hand() {
        let mut seen = Seen::default();
        let weights = |a: f32, b: f32| vec![("a".to_owned(), vec![3.0, a]), ("b".to_owned(), vec![b])];
        seen.weights(weights(4.0, 2.0), true);
        // |(0, 1)| / |(3, 4)| = 0.2 and 1 / 2.
        seen.weights(weights(5.0, 3.0), true);
        assert_eq!(seen.ratios, [0.2, 0.5]);
        // One that does not count is still what the next is measured from.
        seen.weights(weights(0.0, 1.0), false);
        seen.weights(weights(0.0, 1.5), true);
        assert_eq!(seen.ratios[2..], [0.0, 0.5]);
        let (mean, variation) = spread(&[1.0, 3.0]).unwrap();
        assert_eq!((mean, variation), (2.0, 0.5));
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[0.0, 0.0]), None);
    }
}
