//! How averaging lowers variance: B fits of one model that differ by what they draw themselves, over many training sets.
//!
//! ```text
//! Var mean of B fits  =  rho s^2 + (1 - rho) s^2 / B,   s^2 the variance of one fit, rho the correlation of two to the same training set
//! ```
//!
//! (Breiman 2001; Hastie, Tibshirani and Friedman 2009, section 15.4.) The model, such as a forest of one tree, is fitted to `resamples` training sets,
//! to each from as many seeds as the largest of `members`. What varies is the probability of the last class at `points` test points; variances and
//! covariances over training sets are averaged over the points. s^2 and rho come from the first half of the training sets, and what they
//! predict is held against the variance of averages in the other half: `law-fit` is the share of the variance between numbers of members that the law
//! explains, R^2.

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, LossKind};
use serde::{Deserialize, Serialize};

use super::part::{Part, training_rows};
use super::{CellContext, Costs, MeasurementEntry, Schedule, TEST, VALIDATION, Yield, Yielded, first, row};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "ensemble-variance",
    summary: "how the variance over training sets falls when fits from several seeds are averaged",
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
    /// Training sets.
    resamples: u64,
    /// Numbers of fits that are averaged, rising from 1.
    members: Vec<usize>,
    /// Test points.
    points: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { resamples: 40, members: vec![1, 2, 5, 10, 20, 50, 100, 200], points: 300 }
    }
}

const VARIANCE: &str = "variance";
const PREDICTED: &str = "predicted-variance";
const OF_ONE: &str = "variance-of-one";
const CORRELATION: &str = "correlation";
const FIT: &str = "law-fit";
/// Variance of the largest average over that of one fit.
const KEPT: &str = "variance-kept";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    let rising = config.members.windows(2).all(|pair| pair[0] < pair[1]);
    if config.members.len() < 3 || config.members.first() != Some(&1) || !rising {
        return Err("`members` must be three rising numbers or more, the first of them 1".to_owned());
    }
    if config.resamples < 4 || config.points == 0 {
        return Err("`resamples` must be at least 4 and `points` at least 1".to_owned());
    }
    if facts.time != 1 || facts.outputs < 2 {
        return Err("it needs a task of rows of features with classes".to_owned());
    }
    Ok(())
}

fn yields(settings: &Settings, _: &Facts) -> Vec<Yielded> {
    let config: Config = parse(settings).unwrap_or_default();
    let mut all: Vec<Yielded> =
        [OF_ONE, CORRELATION, FIT, KEPT].map(|metric| Yielded::new(TEST, metric)).into();
    for metric in [VARIANCE, PREDICTED] {
        all.extend(config.members.iter().map(|members| Yielded::new(&split(*members), metric)));
    }
    all.push(Yielded::new(VALIDATION, VARIANCE));
    all
}

fn split(members: usize) -> String {
    format!("{TEST}@{members}")
}

fn seconds(settings: &Settings, _: &Costs) -> f64 {
    const FIT: f64 = 5e-4;
    let config: Config = parse(settings).unwrap_or_default();
    FIT * config.resamples as f64 * config.members.last().copied().unwrap_or(0) as f64
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    if task.interface().loss != LossKind::CrossEntropy {
        return Err(ExperimentError::Cell(format!("task `{}` has no classes", task.name())));
    }
    let learner = context.learner(&none, None)?;
    let seed = context.cell.seed;
    let points = points(task.test(seed).into_iter().flat_map(|set| set.batches), config.points)?;
    let most = config.members.last().copied().unwrap_or(1);

    let mut halves = [Half::default(), Half::default()];
    for resample in 0..config.resamples {
        // Seeds of experiments are small numbers, so that these are met nowhere else.
        let of_set = (seed << 32) | (resample + 1);
        let part = Part::new(task.as_ref(), training_rows(task.as_ref(), of_set)?, None);
        let mut answers = Vec::with_capacity(most);
        for member in 0..most as u64 {
            let fit = context.fit_to(&part, learner.as_ref(), (of_set << 20) ^ (member + 1))?;
            let predictions = fit.predictor.predict(&points);
            let last = |values: &[f32]| values.last().map_or(f64::NAN, |value| f64::from(*value).exp());
            answers.push(predictions.values.chunks(predictions.outputs).map(last).collect());
        }
        let half = usize::from(resample >= config.resamples / 2);
        halves[half].add(answers, &config.members);
    }
    let [known, held_out] = halves;
    let (of_one, together) = known.moments();
    let measured: Vec<f64> = held_out.averages.iter().map(|sets| variance(sets)).collect();
    let predicted: Vec<f64> =
        config.members.iter().map(|&members| together + (of_one - together) / members as f64).collect();

    let one = |metric: &str, value: f64| row(&none, TEST, metric, Outcome::Ok, value);
    let mut rows = vec![
        one(OF_ONE, of_one),
        one(CORRELATION, together / of_one),
        one(FIT, explained(&measured, &predicted)),
        one(KEPT, measured[measured.len() - 1] / measured[0]),
    ];
    for ((members, measured), predicted) in config.members.iter().zip(&measured).zip(&predicted) {
        rows.push(row(&none, &split(*members), VARIANCE, Outcome::Ok, *measured));
        rows.push(row(&none, &split(*members), PREDICTED, Outcome::Ok, *predicted));
    }
    rows.push(row(&none, VALIDATION, VARIANCE, Outcome::Ok, of_one));
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

/// The first so many rows of a test set.
fn points(mut batches: impl Iterator<Item = Batch>, count: usize) -> Result<Batch, ExperimentError> {
    let batch = batches.next().ok_or_else(|| ExperimentError::Cell("there is no test set".to_owned()))?;
    Ok(first(&batch, count))
}

/// What half of the training sets gave.
#[derive(Default)]
struct Half {
    /// Answers of single fits: `[training set][fit][point]`.
    single: Vec<Vec<Vec<f64>>>,
    /// Means of the first B fits: `[number of members][training set][point]`.
    averages: Vec<Vec<Vec<f64>>>,
}

impl Half {
    fn add(&mut self, answers: Vec<Vec<f64>>, members: &[usize]) {
        self.averages.resize(members.len(), Vec::new());
        let mut sums = vec![0.0; answers.first().map_or(0, Vec::len)];
        let mut place = 0;
        for (index, answer) in answers.iter().enumerate() {
            sums.iter_mut().zip(answer).for_each(|(sum, value)| *sum += value);
            if members.get(place) == Some(&(index + 1)) {
                self.averages[place].push(sums.iter().map(|sum| sum / (index + 1) as f64).collect());
                place += 1;
            }
        }
        self.single.push(answers);
    }

    /// The variance over training sets of one fit, and the covariance of two fits to the same one, both averaged over points.
    ///
    /// Of B fits the variance of the sum is B variances and B (B - 1) covariances, so that one follows from the other two.
    fn moments(&self) -> (f64, f64) {
        let fits = self.single.first().map_or(0, Vec::len);
        let of_fit =
            |fit: usize| variance(&self.single.iter().map(|set| set[fit].as_slice()).collect::<Vec<_>>());
        let of_one = (0..fits).map(of_fit).sum::<f64>() / fits as f64;
        let mean = |set: &Vec<Vec<f64>>| -> Vec<f64> {
            let points = set.first().map_or(0, Vec::len);
            (0..points).map(|point| set.iter().map(|fit| fit[point]).sum::<f64>() / fits as f64).collect()
        };
        let of_mean = variance(&self.single.iter().map(mean).collect::<Vec<_>>());
        let count = fits as f64;
        (of_one, (count * of_mean - of_one) / (count - 1.0))
    }
}

/// The variance over training sets, averaged over points.
fn variance<S: AsRef<[f64]>>(sets: &[S]) -> f64 {
    let count = sets.len() as f64;
    let points = sets.first().map_or(0, |set| set.as_ref().len());
    let at = |point: usize| {
        let mean = sets.iter().map(|set| set.as_ref()[point]).sum::<f64>() / count;
        sets.iter().map(|set| (set.as_ref()[point] - mean).powi(2)).sum::<f64>() / (count - 1.0)
    };
    (0..points).map(at).sum::<f64>() / points.max(1) as f64
}

/// Of the squared deviations of numbers from their mean, the share that predictions explain.
fn explained(measured: &[f64], predicted: &[f64]) -> f64 {
    let mean = measured.iter().sum::<f64>() / measured.len() as f64;
    let total: f64 = measured.iter().map(|value| (value - mean).powi(2)).sum();
    let left: f64 =
        measured.iter().zip(predicted).map(|(value, predicted)| (value - predicted).powi(2)).sum();
    1.0 - left / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_by_hand() {
        // One point, two training sets, two fits: 0 and 2, then 4 and 4. Of the first fits the variance is 8, of the second 2, of the means (1 and 4)
        // 4.5; the covariance of the fits is 4 = (2 * 4.5 - 5).
        let mut half = Half::default();
        half.add(vec![vec![0.0], vec![2.0]], &[1, 2]);
        half.add(vec![vec![4.0], vec![4.0]], &[1, 2]);
        assert_eq!(half.moments(), (5.0, 4.0));
        assert_eq!(variance(&half.averages[0]), 8.0);
        assert_eq!(variance(&half.averages[1]), 4.5);
    }

    #[test]
    fn what_is_explained_is_r_squared() {
        assert_eq!(explained(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), 1.0);
        assert_eq!(explained(&[1.0, 2.0, 3.0], &[2.0, 2.0, 2.0]), 0.0);
        // By hand: 1 - (1 + 0 + 1) / 2.
        assert_eq!(explained(&[1.0, 2.0, 3.0], &[2.0, 2.0, 4.0]), 0.0);
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let facts = Facts { time: 1, outputs: 2, ..crate::testing::facts() };
        assert!(check(&Settings::new(), &facts).is_ok());
        let from_two = Settings::from([("members".to_owned(), vec![2, 3, 4].into())]);
        assert!(check(&from_two, &facts).unwrap_err().contains("`members`"));
        let few = Settings::from([("resamples".to_owned(), 3.into())]);
        assert!(check(&few, &facts).unwrap_err().contains("`resamples`"));
    }
}
