//! How training and validation part: the gap between them, and whether and when a detector says so.
//!
//! A model trains for all its updates. At every evaluation it is asked about validation and about training examples as they are, without
//! dropout, so that both losses mean the same. The gap is validation less training: at the best validation score, at the end, and
//! where the training loss first falls below `matched`, because a faster optimiser would look overfitted for being ahead.
//!
//! The detector goes by the definition: in a window of `window` evaluations the validation score gets worse and the training score
//! better, both slopes with a 95% interval on their side of 0. It looks at losses, and once more at errors (1 - accuracy), where the
//! task has an accuracy.

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Budget, CurvePoint, Outcome as Ending, Predictor, StopRule, Task};
use serde::{Deserialize, Serialize};

use super::{
    CellContext, Costs, FIT, MeasurementEntry, Schedule, TEST, VALIDATION, Yield, Yielded, counted, curve,
    row, scores, test_scores,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "overfitting",
    summary: "the gap between training and validation, and when a detector says that they part",
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
    /// Updates, all of which are made.
    updates: u64,
    /// Evaluations every so many updates.
    evaluate_every: u64,
    /// Training sequences that are asked about at each evaluation.
    sequences: usize,
    /// Evaluations of which the detector fits a slope.
    window: usize,
    /// Training loss at which the gap is read for comparison, in nats; 0 reads none.
    matched: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { updates: 2000, evaluate_every: 100, sequences: 64, window: 5, matched: 0.0 }
    }
}

/// Student's t at 0.975, by degrees of freedom from 1 (Abramowitz and Stegun 1964, table 26.10).
const T_975: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

/// Batches far beyond those that a model trains on, though drawn from the same training set.
const ASKED: u64 = 1 << 40;

const GAP_AT_BEST: &str = "gap-at-best";
const GAP_AT_END: &str = "gap-at-end";
const GAP_AT_MATCHED: &str = "gap-at-matched-loss";
const BEST: &str = "best-validation";
const LAST: &str = "last-validation";
const TRAINING: &str = "last-training";
const ERROR_GAP: &str = "error-gap-at-end";
const DETECTED: &str = "overfitting-detected";
const DETECTED_BY_ERROR: &str = "overfitting-detected-by-error";
const ONSET: &str = "updates-to-overfitting";
const ONSET_BY_ERROR: &str = "updates-to-overfitting-by-error";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.updates == 0 || config.evaluate_every == 0 || config.sequences == 0 {
        return Err("`updates`, `evaluate-every` and `sequences` must be at least 1".to_owned());
    }
    if !(3..=T_975.len() + 2).contains(&config.window) {
        return Err(format!("`window` must be from 3 to {}", T_975.len() + 2));
    }
    if config.updates / config.evaluate_every < config.window as u64 {
        return Err("there must be at least `window` evaluations, `updates` over `evaluate-every`".to_owned());
    }
    if facts.larger_is_better {
        return Err("it needs a task whose primary metric is a loss".to_owned());
    }
    Ok(())
}

fn has_accuracy(facts: &Facts) -> bool {
    facts.metrics.contains(&"accuracy")
}

fn yields(settings: &Settings, facts: &Facts) -> Vec<Yielded> {
    let config: Config = parse(settings).unwrap_or_default();
    let mut test = vec![GAP_AT_BEST, GAP_AT_END, BEST, LAST, TRAINING, ONSET, DETECTED];
    if config.matched > 0.0 {
        test.push(GAP_AT_MATCHED);
    }
    if has_accuracy(facts) {
        test.extend([ERROR_GAP, ONSET_BY_ERROR, DETECTED_BY_ERROR]);
    }
    let mut all: Vec<Yielded> = test.into_iter().map(|metric| Yielded::new(TEST, metric)).collect();
    all.extend(["body-parameters", "total-parameters"].map(|metric| Yielded::new(FIT, metric)));
    for metric in &facts.metrics {
        all.push(Yielded::new(VALIDATION, *metric));
        all.extend(facts.test_sets.iter().map(|set| Yielded::new(set, *metric)));
    }
    all
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let cost = cost(&Settings::new());
    let evaluations = (config.updates / config.evaluate_every.max(1)) as f64 + 2.0;
    config.updates as f64 * cost.update + 2.0 * evaluations * cost.validation + cost.test
}

/// What an evaluation found: a loss, and an error where there is one.
#[derive(Clone, Copy, Debug)]
struct Look {
    updates: f64,
    training: [f64; 2],
    validation: [f64; 2],
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let learner = context.learner(&none, None)?;
    let seed = context.cell.seed;
    let seen = [task.training_batch(seed, ASKED, config.sequences)];
    let unseen = task.validation(seed);
    let mut looks = Vec::new();
    let mut observe = |point: &CurvePoint, predictor: &dyn Predictor| {
        looks.push(Look {
            updates: point.updates as f64,
            training: loss_and_error(task.as_ref(), predictor, &seen),
            validation: loss_and_error(task.as_ref(), predictor, &unseen),
        });
    };
    let budget = Budget { updates: config.updates, evaluate_every: config.evaluate_every };
    let fit = context.fit(task.as_ref(), learner.as_ref(), budget, StopRule::Budget, Some(&mut observe))?;
    let outcome = match fit.outcome {
        Ending::Diverged { .. } => Outcome::Diverged,
        Ending::Finished | Ending::Solved { .. } => Outcome::Ok,
    };

    let mut rows = Vec::new();
    let gap = |look: &Look| look.validation[0] - look.training[0];
    let best = looks.iter().min_by(|a, b| a.validation[0].total_cmp(&b.validation[0]));
    if let (Some(best), Some(last)) = (best, looks.last()) {
        rows.push(row(&none, TEST, GAP_AT_BEST, outcome, gap(best)));
        rows.push(row(&none, TEST, GAP_AT_END, outcome, gap(last)));
        rows.push(row(&none, TEST, BEST, outcome, best.validation[0]));
        rows.push(row(&none, TEST, LAST, outcome, last.validation[0]));
        rows.push(row(&none, TEST, TRAINING, outcome, last.training[0]));
        if config.matched > 0.0 {
            rows.push(match looks.iter().find(|look| look.training[0] <= config.matched) {
                Some(look) => row(&none, TEST, GAP_AT_MATCHED, outcome, gap(look)),
                None => row(&none, TEST, GAP_AT_MATCHED, Outcome::NotAttempted, f64::NAN),
            });
        }
        let mut detectors = vec![(0, DETECTED, ONSET)];
        if !last.validation[1].is_nan() {
            rows.push(row(&none, TEST, ERROR_GAP, outcome, last.validation[1] - last.training[1]));
            detectors.push((1, DETECTED_BY_ERROR, ONSET_BY_ERROR));
        }
        for (which, detected, onset) in detectors {
            let found = onset_of(&looks, which, config.window);
            rows.push(row(&none, TEST, detected, outcome, f64::from(u8::from(found.is_some()))));
            // A run in which nothing is detected would take longer than it lasted.
            let ending = if found.is_some() { outcome } else { Outcome::NotSolved };
            rows.push(row(&none, TEST, onset, ending, found.unwrap_or(config.updates as f64)));
        }
    }
    for score in scores(task.as_ref(), fit.predictor.as_ref(), &unseen) {
        rows.push(counted(&none, VALIDATION, score.metric, outcome, score.value, score.count));
    }
    let tests = task.test(seed);
    for (set, scores) in tests.iter().zip(test_scores(task.as_ref(), fit.predictor.as_ref(), &tests)) {
        for score in scores {
            rows.push(counted(&none, &set.name, score.metric, outcome, score.value, score.count));
        }
    }
    rows.push(row(&none, FIT, "body-parameters", Outcome::Ok, fit.predictor.body_parameters() as f64));
    rows.push(row(&none, FIT, "total-parameters", Outcome::Ok, fit.predictor.total_parameters() as f64));
    Ok(Yield { outcome, message: None, rows, curve: curve(&none, &fit), step_seconds: Vec::new() })
}

/// The primary metric, and 1 less the accuracy, if there is one.
fn loss_and_error(task: &dyn Task, predictor: &dyn Predictor, batches: &[Batch]) -> [f64; 2] {
    let scores = scores(task, predictor, batches);
    let accuracy = scores.iter().find(|score| score.metric == "accuracy");
    [
        scores.first().map_or(f64::NAN, |score| score.value),
        accuracy.map_or(f64::NAN, |score| 1.0 - score.value),
    ]
}

/// The updates at the end of the first window in which validation gets worse while training gets better.
fn onset_of(looks: &[Look], which: usize, window: usize) -> Option<f64> {
    let parts = |looks: &[Look]| {
        let line = |of: fn(&Look) -> [f64; 2]| {
            let points: Vec<(f64, f64)> = looks.iter().map(|look| (look.updates, of(look)[which])).collect();
            slope_interval(&points)
        };
        line(|look| look.validation)[0] > 0.0 && line(|look| look.training)[1] < 0.0
    };
    looks.windows(window).find(|looks| parts(looks)).map(|looks| looks[window - 1].updates)
}

/// The 95% interval of the slope of a straight line through points.
fn slope_interval(points: &[(f64, f64)]) -> [f64; 2] {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let squares: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / squares;
    let residuals: f64 = points.iter().map(|point| (point.1 - y - slope * (point.0 - x)).powi(2)).sum();
    let error = T_975[points.len() - 3] * (residuals / (n - 2.0) / squares).sqrt();
    [slope - error, slope + error]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(training: &[f64], validation: &[f64]) -> Vec<Look> {
        let look = |(index, (&training, &validation)): (usize, (&f64, &f64))| Look {
            updates: 100.0 * index as f64,
            training: [training, f64::NAN],
            validation: [validation, f64::NAN],
        };
        training.iter().zip(validation).enumerate().map(look).collect()
    }

    #[test]
    fn the_interval_of_a_slope_is_that_of_least_squares() {
        // By hand: y = 0, 1, 3 at x = 0, 1, 2 has slope 1.5, residuals 1/6, -1/3, 1/6, so a standard error of sqrt((1/6) / 2).
        let [low, high] = slope_interval(&[(0.0, 0.0), (1.0, 1.0), (2.0, 3.0)]);
        let error = 12.706 * (1.0_f64 / 12.0).sqrt();
        assert!((low - 1.5 + error).abs() < 1e-9 && (high - 1.5 - error).abs() < 1e-9, "{low} {high}");
    }

    #[test]
    fn the_detector_fires_where_the_curves_part_and_nowhere_else() {
        let falling: Vec<f64> = (0..12).map(|index| 3.0 - 0.2 * f64::from(index)).collect();
        let turning: Vec<f64> = (0..12).map(|index| 2.0 + 0.05 * f64::from((index - 5_i32).pow(2))).collect();
        // Least at the sixth evaluation; five evaluations later all of a window rise.
        let found = onset_of(&looks(&falling, &turning), 0, 5).unwrap();
        assert!((700.0..=900.0).contains(&found), "{found}");
        // Both falling, or both rising, is no overfitting.
        assert_eq!(onset_of(&looks(&falling, &falling), 0, 5), None);
        assert_eq!(onset_of(&looks(&turning, &turning), 0, 5), None);
        // Neither is noise around a level.
        let noise: Vec<f64> = (0..12).map(|index| 2.0 + 0.1 * f64::from(index * 7 % 5 - 2)).collect();
        assert_eq!(onset_of(&looks(&falling, &noise), 0, 5), None);
    }

    #[test]
    fn it_needs_a_loss_and_enough_evaluations() {
        let facts = crate::testing::facts();
        assert!(check(&Settings::new(), &Facts { larger_is_better: true, ..facts.clone() }).is_err());
        let loss = Facts { larger_is_better: false, ..facts };
        assert!(check(&Settings::new(), &loss).is_ok());
        let few = Settings::from([("updates".to_owned(), 300.into())]);
        assert!(check(&few, &loss).unwrap_err().contains("at least `window` evaluations"));
        let wide = Settings::from([("window".to_owned(), 13.into())]);
        assert!(check(&wide, &loss).unwrap_err().contains("from 3 to 12"));
    }
}
