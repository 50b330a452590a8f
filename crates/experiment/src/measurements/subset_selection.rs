//! How far cross-validation flatters the best of many tries: random subsets of features, of which the one with the best estimate is kept.
//!
//! ```text
//! for T in `subsets`:   best of the first T subsets = the one with the highest k-fold cross-validated score on the training rows
//!                       inflation                  = that score less the score of the same subset on fresh test examples
//! nested:               the outer fold is held out, the best of T is selected on the other folds, and scored on the outer fold
//! ```
//!
//! Where labels are noise every subset is at chance, and whatever the winner shows beyond is the luck of having been tried often enough
//! (Cawley and Talbot 2010). The nested estimate holds the selection out, too. Subsets and folds are
//! drawn once a cell, so that more subsets contain the fewer ones.

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Random, Stream, Task};
use serde::{Deserialize, Serialize};

use super::part::{Part, error, fold_random, folds, others, rows as rows_of, training_rows};
use super::slope::slope;
use super::{CellContext, Costs, MeasurementEntry, Schedule, TEST, VALIDATION, Yield, Yielded, counted, row};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "subset-selection",
    summary: "how far cross-validation flatters the best of many subsets of features",
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
    /// Numbers of subsets tried, rising.
    subsets: Vec<usize>,
    /// Features a subset.
    features: usize,
    /// Folds.
    folds: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { subsets: vec![1, 3, 10, 30, 100, 300, 1000], features: 5, folds: 5 }
    }
}

const ESTIMATE: &str = "cross-validated-accuracy";
const TESTED: &str = "accuracy";
const INFLATION: &str = "inflation";
const NESTED: &str = "nested-accuracy";
/// Nested estimate less the test accuracy of what is selected on all training rows.
const NESTED_INFLATION: &str = "nested-inflation";
const METRICS: [&str; 5] = [ESTIMATE, TESTED, INFLATION, NESTED, NESTED_INFLATION];
/// Least-squares slopes on the common logarithm of the number of subsets.
const SLOPE: &str = "inflation-slope";
const NESTED_SLOPE: &str = "nested-inflation-slope";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    let rising = config.subsets.windows(2).all(|pair| pair[0] < pair[1]);
    if config.subsets.len() < 3 || !rising || config.subsets[0] == 0 {
        return Err("`subsets` must be three rising numbers or more, from 1".to_owned());
    }
    if config.features == 0 || config.folds < 2 {
        return Err("`features` must be at least 1 and `folds` at least 2".to_owned());
    }
    if facts.time != 1 || facts.primary() != TESTED {
        return Err("it needs a task of rows of features that is scored by accuracy".to_owned());
    }
    Ok(())
}

fn yields(settings: &Settings, _: &Facts) -> Vec<Yielded> {
    let config: Config = parse(settings).unwrap_or_default();
    let mut all =
        vec![Yielded::new(TEST, SLOPE), Yielded::new(TEST, NESTED_SLOPE), Yielded::new(VALIDATION, TESTED)];
    for metric in METRICS {
        all.extend(config.subsets.iter().map(|tried| Yielded::new(&split(*tried), metric)));
    }
    all
}

fn split(tried: usize) -> String {
    format!("{TEST}@{tried}")
}

/// Every subset is fitted once a fold, and once a pair of folds for the nested estimate.
fn seconds(settings: &Settings, _: &Costs) -> f64 {
    const FIT: f64 = 1e-4;
    let config: Config = parse(settings).unwrap_or_default();
    let tried = config.subsets.last().copied().unwrap_or(0);
    FIT * (tried * config.folds * (config.folds + 1)) as f64
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let seed = context.cell.seed;
    let training = training_rows(task.as_ref(), seed)?;
    let sequence::Inputs::Features { width, .. } = training.inputs else {
        return Err(ExperimentError::Cell(format!("task `{}` has no features", task.name())));
    };
    if config.features > width {
        let message = format!("`features` is {}, and task `{}` has {width}", config.features, task.name());
        return Err(ExperimentError::Cell(message));
    }
    let tests: Vec<Batch> =
        task.test(seed).into_iter().filter(|set| set.name == TEST).flat_map(|set| set.batches).collect();
    let most = config.subsets.last().copied().unwrap_or(0);
    let mut random = Random::new(seed, Stream::Sampling);
    let subsets: Vec<Vec<usize>> = (0..most)
        .map(|_| random.distinct(config.features, width).into_iter().map(|column| column as usize).collect())
        .collect();

    let mut fold_random = fold_random(seed);
    let estimates = estimates(context, task.as_ref(), &training, &subsets, config.folds, &mut fold_random)?;
    let winners = winners(&estimates, &config.subsets);
    let outer = folds(training.size, config.folds, &mut fold_random);
    let mut nested = vec![0.0; config.subsets.len()];
    for (fold, members) in outer.iter().enumerate() {
        let kept = rows_of(&training, &others(&outer, fold), None);
        let held_out = rows_of(&training, members, None);
        let inner = self::estimates(context, task.as_ref(), &kept, &subsets, config.folds, &mut fold_random)?;
        for (sum, winner) in nested.iter_mut().zip(self::winners(&inner, &config.subsets)) {
            let right =
                accuracy(context, task.as_ref(), &kept, &subsets[winner], std::slice::from_ref(&held_out))?.0;
            *sum += right * members.len() as f64 / training.size as f64;
        }
    }

    let mut rows = Vec::new();
    let (mut inflations, mut nested_inflations) = (Vec::new(), Vec::new());
    for ((&tried, &winner), nested) in config.subsets.iter().zip(&winners).zip(nested) {
        let (tested, examples) = accuracy(context, task.as_ref(), &training, &subsets[winner], &tests)?;
        let estimate = estimates[winner];
        let place = split(tried);
        let values = [estimate, tested, estimate - tested, nested, nested - tested];
        for (metric, value) in METRICS.iter().zip(values) {
            let count = if *metric == TESTED { examples } else { 0 };
            rows.push(counted(&none, &place, metric, Outcome::Ok, value, count));
        }
        let x = (tried as f64).log10();
        inflations.push((x, estimate - tested));
        nested_inflations.push((x, nested - tested));
    }
    for (metric, points) in [(SLOPE, &inflations), (NESTED_SLOPE, &nested_inflations)] {
        rows.push(row(&none, TEST, metric, Outcome::Ok, slope(points).unwrap_or(f64::NAN)));
    }
    let validation = task.validation(seed);
    let last = winners.last().copied().unwrap_or(0);
    let validated = accuracy(context, task.as_ref(), &training, &subsets[last], &validation)?.0;
    rows.push(row(&none, VALIDATION, TESTED, Outcome::Ok, validated));
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

/// The cross-validated accuracy of the model on each subset, over the same folds.
fn estimates(
    context: &CellContext,
    task: &dyn Task,
    training: &Batch,
    subsets: &[Vec<usize>],
    count: usize,
    random: &mut Random,
) -> Result<Vec<f64>, ExperimentError> {
    let learner = context.learner(&Settings::new(), None)?;
    let folds = folds(training.size, count, random);
    let of = |subset: &Vec<usize>| {
        let error = context.cross_validated(task, learner.as_ref(), training, &folds, Some(subset))?;
        Ok(1.0 - error)
    };
    subsets.iter().map(of).collect()
}

/// The accuracy on other rows of a fit to the training rows, both with the columns of a subset, and on how many.
fn accuracy(
    context: &CellContext,
    task: &dyn Task,
    training: &Batch,
    subset: &[usize],
    batches: &[Batch],
) -> Result<(f64, usize), ExperimentError> {
    let all: Vec<usize> = (0..training.size).collect();
    let part = Part::new(task, rows_of(training, &all, Some(subset)), Some(subset));
    let learner = context.learner(&Settings::new(), None)?;
    let fit = context.fit_to(&part, learner.as_ref(), context.cell.seed)?;
    let chosen: Vec<Batch> = batches
        .iter()
        .map(|batch| rows_of(batch, &(0..batch.size).collect::<Vec<_>>(), Some(subset)))
        .collect();
    let (error, examples) = error(&part, fit.predictor.as_ref(), &chosen);
    Ok((1.0 - error, examples))
}

/// For each number of tries the first of the best among so many.
fn winners(estimates: &[f64], tries: &[usize]) -> Vec<usize> {
    let best = |&tried: &usize| {
        (0..tried.min(estimates.len()))
            .fold(0, |best, next| if estimates[next] > estimates[best] { next } else { best })
    };
    tries.iter().map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_winner_is_the_first_of_the_best_so_far() {
        // By hand.
        assert_eq!(winners(&[0.5, 0.6, 0.6, 0.4, 0.9], &[1, 3, 4, 5]), [0, 1, 1, 4]);
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let facts = Facts { time: 1, metrics: vec!["accuracy"], ..crate::testing::facts() };
        assert!(check(&Settings::new(), &facts).is_ok());
        let falling = Settings::from([("subsets".to_owned(), vec![3, 2, 1].into())]);
        assert!(check(&falling, &facts).unwrap_err().contains("`subsets`"));
        let one = Settings::from([("folds".to_owned(), 1.into())]);
        assert!(check(&one, &facts).unwrap_err().contains("`folds`"));
        let loss = Facts { metrics: vec!["mean-squared-error"], ..facts };
        assert!(check(&Settings::new(), &loss).unwrap_err().contains("accuracy"));
    }
}
