//! Of the error of a regression, what is bias, what is variance and what is noise.
//!
//! ```text
//! E (f_D(x) - y)^2  =  (E f_D(x) - f(x))^2  +  E (f_D(x) - E f_D(x))^2  +  noise
//!                          bias squared               variance
//! ```
//!
//! (Geman, Bienenstock and Doursat 1992.) E goes over training sets D and over the noise in y. The model is fitted to `resamples` training
//! sets of its task and asked about the points of the test set `truth`, whose targets are without noise; whatever it draws itself, such as
//! random features, is drawn once a cell. The mean over fits stands for the expectation; its own variance is taken off the bias. What the sum should
//! come to is measured beside it, on test points with fresh noise.

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Budget, Dataset, Predictor, Run, StopRule, Targets};
use serde::{Deserialize, Serialize};

use super::{
    CellContext, Costs, MeasurementEntry, Schedule, TEST, VALIDATION, Yield, Yielded, counted, row, scores,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "bias-variance",
    summary: "of the error of a regression, what is bias, what is variance and what is noise",
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

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training sets that the model is fitted to.
    resamples: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { resamples: 200 }
    }
}

/// The set of test points whose targets have no noise.
const TRUTH: &str = "truth";
/// The floor that is the noise.
const NOISE: &str = "noise";
const BIAS_SQUARED: &str = "bias-squared";
const VARIANCE: &str = "variance";
/// Of bias squared and variance, the share of the former.
const BIAS_SHARE: &str = "bias-share";
/// Bias squared, variance and noise together.
const EXPECTED: &str = "expected-error";
/// The error on noisy test points over that of training points.
const GAP: &str = "error-over-training-error";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.resamples < 2 {
        return Err("`resamples` must be 2 at least".to_owned());
    }
    if !facts.test_sets.iter().any(|set| set == TRUTH)
        || !facts.floors.iter().any(|floor| floor.name == NOISE)
    {
        return Err("it needs a task whose test points are known without their noise, and this one has none"
            .to_owned());
    }
    Ok(())
}

fn yields(_: &Settings, facts: &Facts) -> Vec<Yielded> {
    let metrics = [BIAS_SQUARED, VARIANCE, BIAS_SHARE, EXPECTED, GAP];
    let mut all: Vec<Yielded> = metrics.into_iter().map(|metric| Yielded::new(TEST, metric)).collect();
    all.extend([TEST, VALIDATION].map(|split| Yielded::new(split, facts.primary())));
    all
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    config.resamples as f64 * cost(&Settings::new()).test
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let learner = context.learner(&none, None)?;
    let seed = context.cell.seed;
    let budget = Budget { updates: 1, evaluate_every: 1 };
    let missing =
        |what: &str| ExperimentError::Cell(format!("task `{}` has no {what}", context.cell.task.name));
    let floor = task.floors().into_iter().find(|floor| floor.name == NOISE);
    let noise = floor.ok_or_else(|| missing("floor `noise`"))?.value;

    let mut spread = Spread::default();
    let mut truth = Vec::new();
    let (mut tested, mut trained, mut validated) = (0.0, 0.0, 0.0);
    let mut metric = "";
    for resample in 0..config.resamples {
        // Seeds of experiments are small numbers, so that these are met nowhere else.
        let of_set = (seed << 32) | (resample + 1);
        let data = Dataset::new(task.as_ref(), of_set, context.batch_size());
        let mut run =
            Run { budget, stop: StopRule::Budget, seed, stopwatch: context.machine, observer: None };
        let fit = learner.fit(&data, &mut run)?;
        let predictor: &dyn Predictor = fit.predictor.as_ref();
        let error = |batches: &[Batch]| {
            scores(task.as_ref(), predictor, batches).first().map_or(f64::NAN, |score| score.value)
        };
        for set in task.test(of_set) {
            if set.name == TRUTH {
                spread.add(set.batches.iter().flat_map(|batch| predictor.predict(batch).values));
                if truth.is_empty() {
                    truth = set.batches.iter().flat_map(values).collect();
                }
            } else {
                tested += error(&set.batches);
            }
        }
        for score in scores(task.as_ref(), predictor, data.validation()).iter().take(1) {
            (metric, validated) = (score.metric, validated + score.value);
        }
        trained += error(&data.training_set().ok_or_else(|| missing("finite training set"))?);
    }
    let resamples = config.resamples as f64;
    let (tested, trained, validated) = (tested / resamples, trained / resamples, validated / resamples);
    let (bias, variance) = spread.about(&truth);
    let count = truth.len();
    let rows = vec![
        row(&none, TEST, BIAS_SQUARED, Outcome::Ok, bias),
        row(&none, TEST, VARIANCE, Outcome::Ok, variance),
        row(&none, TEST, BIAS_SHARE, Outcome::Ok, bias / (bias + variance)),
        row(&none, TEST, EXPECTED, Outcome::Ok, bias + variance + noise),
        row(&none, TEST, GAP, Outcome::Ok, tested / trained),
        counted(&none, TEST, metric, Outcome::Ok, tested, count),
        counted(&none, VALIDATION, metric, Outcome::Ok, validated, count),
    ];
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

fn values(batch: &Batch) -> Vec<f64> {
    match &batch.targets {
        Targets::Values(values) => values.iter().copied().map(f64::from).collect(),
        Targets::Classes(_) => Vec::new(),
    }
}

/// Predictions at the same points by many fits.
#[derive(Default)]
struct Spread {
    fits: f64,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl Spread {
    fn add(&mut self, predictions: impl Iterator<Item = f32>) {
        let predictions: Vec<f64> = predictions.map(f64::from).collect();
        self.sums.resize(predictions.len(), 0.0);
        self.squares.resize(predictions.len(), 0.0);
        for ((sum, square), value) in self.sums.iter_mut().zip(&mut self.squares).zip(predictions) {
            *sum += value;
            *square += value * value;
        }
        self.fits += 1.0;
    }

    /// Bias squared and variance, averaged over the points.
    fn about(&self, truth: &[f64]) -> (f64, f64) {
        let (mut bias, mut variance) = (0.0, 0.0);
        for ((sum, square), truth) in self.sums.iter().zip(&self.squares).zip(truth) {
            let mean = sum / self.fits;
            // Of a sample of fits, so that one less than there are divides.
            let spread = ((square / self.fits - mean * mean) * self.fits / (self.fits - 1.0)).max(0.0);
            variance += spread;
            // The mean of the fits varies itself, with the variance over their number.
            bias += (mean - truth).powi(2) - spread / self.fits;
        }
        let points = truth.len().max(1) as f64;
        (bias / points, variance / points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bias_and_variance_are_told_apart() {
        let mut spread = Spread::default();
        // Two points, of truth 1 and 0. At the first the fits say 2 and 4: mean 3, variance 2, bias squared 4 - 1; at the second they say
        // -1 and 1: mean 0, variance 2, bias squared 0 - 1. By hand.
        spread.add([2.0, -1.0].into_iter());
        spread.add([4.0, 1.0].into_iter());
        assert_eq!(spread.about(&[1.0, 0.0]), (1.0, 2.0));
    }

    #[test]
    fn it_needs_a_truth() {
        let message = check(&Settings::new(), &crate::testing::facts()).unwrap_err();
        assert!(message.contains("known without their noise"), "{message}");
        let one = Settings::from([("resamples".to_owned(), 1.into())]);
        assert!(check(&one, &crate::testing::facts()).unwrap_err().contains("2 at least"));
    }
}
