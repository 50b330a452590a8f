//! How gradients and states change from block to block of a deep network, at initialisation.
//!
//! The gradient of the training loss on one batch, in double precision ([`sequence::Predictor::parameter_gradients`]): its
//! norm over all parameters of the first block and of the last. And how alike the positions of a sequence have become: the mean
//! cosine of the angle between the states of two of them, which is 1 where a deep network has made all positions the same
//! (Dong, Cordonnier and Loukas 2021).

use std::collections::BTreeMap;

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Budget, StopRule};
use serde::{Deserialize, Serialize};

use super::{CellContext, Costs, MeasurementEntry, Schedule, TEST, Yield, Yielded, row};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "gradient-by-depth",
    summary: "gradients of the first and last block, and how alike positions have become, at initialisation",
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
    /// Blocks whose gradients are reported, the first being 1, of those that a model has.
    blocks: Vec<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self { blocks: vec![1, 2, 4, 6, 8, 12, 16, 20, 24] }
    }
}

const FIRST: &str = "log10-first-block";
const LAST: &str = "log10-last-block";
const RATIO: &str = "log10-first-over-last";
const COSINE: &str = "token-cosine";
const BLOCK: &str = "log10-block";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.blocks.contains(&0) {
        return Err("`blocks` are counted from 1".to_owned());
    }
    if facts.time < 2 {
        return Err("how alike positions are needs sequences of two at least".to_owned());
    }
    Ok(())
}

fn yields(settings: &Settings, _: &Facts) -> Vec<Yielded> {
    let config: Config = parse(settings).unwrap_or_default();
    let blocks = config.blocks.into_iter().map(|block| Yielded::new(&split(block), BLOCK));
    [FIRST, LAST, RATIO, COSINE].map(|metric| Yielded::new(TEST, metric)).into_iter().chain(blocks).collect()
}

/// Where the gradient of a block is found among the splits.
fn split(block: usize) -> String {
    format!("test@{block}")
}

/// One backward pass in double precision takes about as long as ten updates.
fn seconds(_: &Settings, cost: &Costs) -> f64 {
    let cost = cost(&Settings::new());
    10.0 * cost.update + 2.0 * cost.validation
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let learner = context.learner(&none, None)?;
    let budget = Budget { updates: 0, evaluate_every: 1 };
    let fit = context.fit(task.as_ref(), learner.as_ref(), budget, StopRule::Budget, None)?;
    let batch = task.training_batch(context.cell.seed, 0, context.batch_size());
    let without = |what: &str| {
        ExperimentError::Cell(format!("model `{}` has no {what} to measure", context.cell.model.name))
    };
    let gradients = fit.predictor.parameter_gradients(&batch).ok_or_else(|| without("gradients"))?;
    let blocks = by_block(&gradients);
    let (Some(first), Some(last)) = (blocks.values().next(), blocks.values().next_back()) else {
        return Err(without("blocks"));
    };
    let states = fit.predictor.states(&batch).ok_or_else(|| without("states"))?;
    let values = [
        (FIRST, first.log10()),
        (LAST, last.log10()),
        (RATIO, (first / last).log10()),
        (COSINE, mean_cosine(&states, &batch)),
    ];
    // A gradient or state beyond the range of its numbers has no logarithm.
    let finite = |value: f64| if value.is_finite() { Outcome::Ok } else { Outcome::Diverged };
    let reported = blocks.values().enumerate().filter(|(index, _)| config.blocks.contains(&(index + 1)));
    let rows = values
        .into_iter()
        .map(|(metric, value)| (TEST.to_owned(), metric, value))
        .chain(reported.map(|(index, norm)| (split(index + 1), BLOCK, norm.log10())))
        .map(|(split, metric, value)| row(&none, &split, metric, finite(value), value))
        .collect();
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

/// Norms over all parameters of a block, by its number: the first number in the parameter's path.
fn by_block(gradients: &[(String, f64)]) -> BTreeMap<usize, f64> {
    let mut squares: BTreeMap<usize, f64> = BTreeMap::new();
    for (path, norm) in gradients {
        if let Some(block) = path.split('.').find_map(|part| part.parse().ok()) {
            *squares.entry(block).or_default() += norm * norm;
        }
    }
    squares.into_iter().map(|(block, sum)| (block, sum.sqrt())).collect()
}

/// The mean cosine of the angle between the states of two different positions of a sequence, padding left out.
fn mean_cosine(states: &[f32], batch: &Batch) -> f64 {
    let width = states.len() / (batch.size * batch.time);
    let (mut sum, mut pairs) = (0.0, 0_usize);
    for (sequence, &length) in states.chunks_exact(batch.time * width).zip(&batch.lengths) {
        let directions: Vec<Vec<f64>> = sequence.chunks_exact(width).take(length).map(direction).collect();
        for (index, one) in directions.iter().enumerate() {
            for other in &directions[..index] {
                sum += one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
                pairs += 1;
            }
        }
    }
    sum / pairs as f64
}

/// A vector scaled to length 1.
fn direction(vector: &[f32]) -> Vec<f64> {
    let norm = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    vector.iter().map(|&value| f64::from(value) / norm).collect()
}

#[cfg(test)]
mod tests {
    use sequence::{Inputs, Targets};

    use super::*;

    #[test]
    fn blocks_are_numbered_by_the_first_number_of_a_path() {
        let gradients = [
            ("read_out.weight", 7.0),
            ("body.blocks.0.expansion.weight", 3.0),
            ("body.blocks.0.expansion.bias", 4.0),
            ("body.blocks.11.heads.2.weight", 2.0),
        ];
        let gradients = gradients.map(|(path, norm)| (path.to_owned(), norm));
        assert_eq!(by_block(&gradients), BTreeMap::from([(0, 5.0), (11, 2.0)]));
    }

    #[test]
    fn cosines_by_hand_and_without_padding() {
        let batch = Batch {
            size: 1,
            time: 4,
            inputs: Inputs::Tokens(vec![0; 4]),
            source: None,
            targets: Targets::Classes(vec![0; 4]),
            loss_mask: vec![true; 4],
            lengths: vec![3],
        };
        // Along x, along y and half between them; the fourth is padding.
        let states = [2.0, 0.0, 0.0, 5.0, 1.0, 1.0, -9.0, 0.0];
        let expected = (0.0 + 2.0 * std::f64::consts::FRAC_1_SQRT_2) / 3.0;
        assert!((mean_cosine(&states, &batch) - expected).abs() < 1e-12);
    }
}
