//! Whether a network's gradient points at the one position that decides the answer.
//!
//! Train, score, then take the gradient of the loss by each embedded input, in double precision
//! ([`sequence::Predictor::loss_gradients`]). In each of the first test sequences, the decisive position is ranked by its
//! gradient's norm among all positions before the last: the area under the ROC curve is the fraction of the others
//! whose gradient is smaller, ties counting half. 1 is a gradient that always points there, 0.5 one that does not tell. Beside
//! it stands the same of the gradient of the last hidden state in a random direction
//! ([`sequence::Predictor::input_gradients`]), which an answer need not read.
//!
//! The area of a position drawn at random checks the ruler: whatever the gradients are, its expected area is 0.5. The last
//! position is left out, because the last state reads it at once.

use record::Settings;
use sequence::{Batch, Budget, Random, Stream};
use serde::{Deserialize, Serialize};

use super::trained::{self, Trained};
use super::{CellContext, Costs, MeasurementEntry, Schedule, TEST, Yield, Yielded, counted, curve};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "importance",
    summary: "train at the tuned rate, then rank the decisive position by its gradient among the others",
    version: 1,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::Tuned,
    check,
    over: |_| None,
    yields,
    seconds,
    run,
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Updates at most; 0 measures at initialisation.
    updates: u64,
    /// Validation every so many updates; training ends when the task is solved.
    evaluate_every: u64,
    /// Test sequences in which the decisive position is ranked.
    sequences: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { updates: 1000, evaluate_every: 50, sequences: 64 }
    }
}

/// The mean over sequences of the area under the ROC curve.
const AUROC: &str = "auroc";
/// The same by the gradient of the last hidden state in a random direction.
const AUROC_OF_STATE: &str = "auroc-of-state";
/// The same by the gradient of the loss, of a position drawn at random.
const AUROC_AT_RANDOM: &str = "auroc-at-random";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.sequences == 0 || config.evaluate_every == 0 {
        return Err("`sequences` and `evaluate-every` must be at least 1".to_owned());
    }
    if !facts.decisive {
        return Err("importance needs a task in which one position decides the answer".to_owned());
    }
    if facts.time < 4 {
        return Err(format!("sequences of {} positions leave nothing to rank", facts.time));
    }
    Ok(())
}

fn yields(_: &Settings, facts: &Facts) -> Vec<Yielded> {
    let mut all: Vec<Yielded> =
        [AUROC, AUROC_OF_STATE, AUROC_AT_RANDOM].map(|metric| Yielded::new(TEST, metric)).into();
    all.extend(trained::yields(facts));
    all
}

/// Training as elsewhere; the probe composes its operations in double precision, as measured about a sixth of a test of the
/// whole task for every 16 sequences.
fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let cost = cost(&Settings::new());
    let evaluations = config.updates as f64 / config.evaluate_every.max(1) as f64 + 2.0;
    let probe = cost.test / 6.0 * config.sequences as f64 / 16.0;
    config.updates as f64 * cost.update + evaluations * cost.validation + cost.test + probe
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let budget = Budget { updates: config.updates, evaluate_every: config.evaluate_every };
    let trained = Trained::new(context, budget)?;
    let batch = trained.examples(config.sequences);
    let Trained { task, fit, outcome, mut rows, .. } = trained;
    let (none, seed) = (Settings::new(), context.cell.seed);

    let failed = |reason: &str| {
        ExperimentError::Cell(format!("model `{}` on `{}`: {reason}", context.cell.model.name, task.name()))
    };
    let decisive = task
        .decisive_positions(&batch)
        .ok_or_else(|| failed("no position of a sequence is known to decide its answer"))?;
    let no_gradients = || failed("it has no gradients to measure");
    let of_loss = fit.predictor.loss_gradients(&batch).ok_or_else(no_gradients)?;
    let of_state = fit.predictor.input_gradients(&batch, 1.0, seed).ok_or_else(no_gradients)?;
    let mut random = Random::new(seed, Stream::Sampling);
    let drawn: Vec<usize> = batch.lengths.iter().map(|&length| random.index(length - 1)).collect();
    for (metric, norms, positions) in [
        (AUROC, &of_loss, &decisive),
        (AUROC_OF_STATE, &of_state, &decisive),
        (AUROC_AT_RANDOM, &of_loss, &drawn),
    ] {
        let mean = mean_area(&batch, norms, positions);
        rows.push(counted(&none, TEST, metric, outcome, mean, batch.size));
    }
    Ok(Yield { outcome, message: None, rows, curve: curve(&none, &fit), step_seconds: Vec::new() })
}

/// The mean over sequences of the [`area`] of one position in each, among those before the last. `values` `[size, time]`.
pub(super) fn mean_area(batch: &Batch, values: &[f64], positions: &[usize]) -> f64 {
    let of_sequence = |(sequence, &position): (usize, &usize)| {
        let before_last = &values[sequence * batch.time..][..batch.lengths[sequence] - 1];
        area(before_last, position)
    };
    positions.iter().enumerate().map(of_sequence).sum::<f64>() / positions.len() as f64
}

/// The fraction of the other values that are smaller than the one at `position`, ties counting half: the area under the ROC
/// curve where one item is to be found (Hanley and `McNeil` 1982).
fn area(values: &[f64], position: usize) -> f64 {
    let own = values[position];
    let points = |(other, &value): (usize, &f64)| match value.total_cmp(&own) {
        _ if other == position => 0.0,
        std::cmp::Ordering::Less => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 0.0,
    };
    values.iter().enumerate().map(points).sum::<f64>() / (values.len() - 1) as f64
}

#[cfg(test)]
mod tests {
    use sequence::{Inputs, Targets};

    use super::*;

    #[test]
    fn areas_by_hand() {
        let values = [0.1, 0.5, 0.3, 0.3, 0.0];
        assert_eq!(area(&values, 1), 1.0);
        assert_eq!(area(&values, 4), 0.0);
        // Of the four others two are smaller and one is equal.
        assert_eq!(area(&values, 2), 2.5 / 4.0);
        // A gradient of nothing everywhere does not tell.
        assert_eq!(area(&[0.0; 5], 3), 0.5);
    }

    #[test]
    fn each_sequence_is_ranked_before_its_own_last_position() {
        // Two sequences of four and three positions; the last real one is the largest and is left out.
        let batch = Batch {
            size: 2,
            time: 4,
            inputs: Inputs::Tokens(vec![0; 8]),
            source: None,
            targets: Targets::Classes(vec![0; 8]),
            loss_mask: vec![true; 8],
            lengths: vec![4, 3],
        };
        let norms = [0.2, 0.9, 0.1, 9.0, 0.4, 0.3, 9.0, 0.0];
        // By hand: 2 of 2 others are smaller in the first sequence, 0 of 1 in the second.
        assert_eq!(mean_area(&batch, &norms, &[1, 1]), 0.5);
        assert_eq!(mean_area(&batch, &norms, &[1, 0]), 1.0);
    }

    #[test]
    fn a_position_at_random_has_an_area_of_one_half_whatever_the_values() {
        let values = [0.1, 0.5, 0.3, 0.3, 0.0];
        let mean = (0..values.len()).map(|position| area(&values, position)).sum::<f64>() / 5.0;
        assert!((mean - 0.5).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn a_task_without_a_decisive_position_is_refused() {
        let facts = crate::testing::facts();
        let message = check(&Settings::new(), &facts).unwrap_err();
        assert!(message.contains("one position decides the answer"), "{message}");
        let decisive = Facts { decisive: true, ..facts };
        assert!(check(&Settings::new(), &decisive).is_ok());
        let short = check(&Settings::new(), &Facts { time: 3, ..decisive }).unwrap_err();
        assert!(short.contains("nothing to rank"), "{short}");
    }
}
