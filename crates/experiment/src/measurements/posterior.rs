//! How much nearer to the truth a model is after it has seen so many examples than before it saw any.
//!
//! ```text
//! KL(P || Q_n) = sum over x of P(x) log (P(x) / Q_n(x)),    Q_n what the model holds for the next example after n
//! ```
//!
//! For tasks of one category whose probabilities are known: the sum goes over all of them and is exact. The model is fitted to the first n
//! examples of each of `sets` training sets, and once to none, which is its prior. At each n: the mean divergence, that mean over the divergence of the
//! prior (below 1, examples have helped), and the share of single sets after which the model is further from the truth than its prior. With
//! the last n stands the slope of the logarithm of the mean divergence on that of n, from n = `from` on.

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Budget, Column, Dataset, Inputs, Learner, Predictor, Run, StopRule, Targets, Task};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::growth::check_lengths;
use super::slope::slope;
use super::{CellContext, Costs, MeasurementEntry, Schedule, TEST, Yield, Yielded, counted, row};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "posterior",
    summary: "how far a model is from the truth after so many examples, and whether its prior was nearer",
    version: 1,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::OwnRates,
    check,
    over: |settings| Some(parse::<Config>(settings).unwrap_or_default().over),
    yields,
    seconds,
    run,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// The task setting that is the number of examples.
    over: String,
    /// Its values, which a plan fills in.
    ladder: Vec<Value>,
    /// Training sets that the model is fitted to.
    sets: u64,
    /// The number of examples from which on the slope is fitted.
    from: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { over: "examples".to_owned(), ladder: Vec::new(), sets: 1000, from: 100 }
    }
}

const DIVERGENCE: &str = "divergence";
/// The mean divergence over that of the prior.
const OVER_PRIOR: &str = "divergence-over-prior";
/// The share of training sets after which the prior was nearer.
const WORSE: &str = "worse-than-prior";
const SLOPE: &str = "divergence-slope";

/// Seconds of one fit to few examples, and of each million more.
const FIT_SECONDS: f64 = 1e-4;
const MILLION_SECONDS: f64 = 0.1;

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    check_lengths(&config.over, &config.ladder)?;
    if config.sets < 2 {
        return Err("`sets` must be 2 at least".to_owned());
    }
    let fitted = numbers(&config).into_iter().filter(|&value| value > 0 && value >= config.from).count();
    if fitted < 3 {
        let reason = format!(
            "a slope needs three values of `{}` or more from `from` on, which is {}",
            config.over, config.from
        );
        return Err(reason);
    }
    if facts.outputs != 1 || facts.time != 1 {
        return Err(
            "it needs a task of one category of which nothing is asked, and this is another one".to_owned()
        );
    }
    Ok(())
}

fn numbers(config: &Config) -> Vec<u64> {
    config.ladder.iter().filter_map(Value::as_u64).collect()
}

fn yields(_: &Settings, _: &Facts) -> Vec<Yielded> {
    [DIVERGENCE, OVER_PRIOR, WORSE, SLOPE].map(|metric| Yielded::new(TEST, metric)).into()
}

fn seconds(settings: &Settings, _: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let of_fit = |examples: &u64| FIT_SECONDS + MILLION_SECONDS * *examples as f64 / 1e6;
    config.sets as f64 * numbers(&config).iter().map(of_fit).sum::<f64>()
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let setting = |examples: u64| Settings::from([(config.over.clone(), examples.into())]);
    let fit = |task: &dyn Task, learner: &dyn Learner, seed: u64| {
        let budget = Budget { updates: 1, evaluate_every: 1 };
        let data = Dataset::new(task, seed, context.batch_size());
        let mut run = Run {
            budget,
            stop: StopRule::Budget,
            seed: context.cell.seed,
            stopwatch: context.machine,
            observer: None,
        };
        learner.fit(&data, &mut run)
    };
    let nothing = setting(0);
    let task = context.task(&nothing)?;
    let truth = Truth::of(task.as_ref())?;
    let prior = fit(task.as_ref(), context.learner(&nothing, None)?.as_ref(), context.cell.seed)?;
    let prior = truth.divergence(prior.predictor.as_ref(), context)?;

    let mut rows = Vec::new();
    let mut points = Vec::new();
    for examples in numbers(&config) {
        let setting = setting(examples);
        let task = context.task(&setting)?;
        let learner = context.learner(&setting, None)?;
        let (mut sum, mut worse) = (0.0, 0_u32);
        for set in 0..config.sets {
            // Seeds of experiments are small numbers, so that these are met nowhere else.
            let fit = fit(task.as_ref(), learner.as_ref(), (context.cell.seed << 32) | (set + 1))?;
            let divergence = truth.divergence(fit.predictor.as_ref(), context)?;
            sum += divergence;
            worse += u32::from(divergence > prior);
        }
        let sets = config.sets as f64;
        let mean = sum / sets;
        let count = usize::try_from(config.sets).unwrap_or(usize::MAX);
        rows.push(row(&setting, TEST, DIVERGENCE, Outcome::Ok, mean));
        rows.push(row(&setting, TEST, OVER_PRIOR, Outcome::Ok, mean / prior));
        rows.push(counted(&setting, TEST, WORSE, Outcome::Ok, f64::from(worse) / sets, count));
        if examples > 0 && examples >= config.from {
            points.push(((examples as f64).ln(), mean.ln()));
            rows.extend(
                slope(&points)
                    .filter(|_| Some(&examples) == numbers(&config).last())
                    .map(|slope| row(&setting, TEST, SLOPE, Outcome::Ok, slope)),
            );
        }
    }
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

/// Every category in one batch, and the logarithms of their probabilities.
struct Truth {
    every: Batch,
    logs: Vec<f64>,
}

impl Truth {
    fn of(task: &dyn Task) -> Result<Self, ExperimentError> {
        let wrong = |message: &str| ExperimentError::Cell(format!("task `{}` {message}", task.name()));
        let levels = match task.columns().as_deref() {
            Some([Column::Category { levels }]) => *levels,
            _ => return Err(wrong("has not one category an example")),
        };
        let every = Batch {
            size: levels,
            time: 1,
            inputs: Inputs::Features { width: 1, values: (0..levels).map(|level| level as f32).collect() },
            source: None,
            targets: Targets::Classes(vec![0; levels]),
            loss_mask: vec![true; levels],
            lengths: vec![1; levels],
        };
        let logs =
            task.log_joint(&every).ok_or_else(|| wrong("does not know the probabilities of its examples"))?;
        Ok(Self { every, logs })
    }

    /// The Kullback-Leibler divergence of a model from the truth, in nats.
    fn divergence(&self, predictor: &dyn Predictor, context: &CellContext) -> Result<f64, ExperimentError> {
        let model = predictor.log_joint(&self.every).ok_or_else(|| {
            ExperimentError::Cell(format!(
                "model `{}` cannot tell the probability of an example",
                context.cell.model.name
            ))
        })?;
        let pairs = self.logs.iter().zip(&model).filter(|(log, _)| **log > f64::NEG_INFINITY);
        Ok(pairs.map(|(log, model)| log.exp() * (log - model)).sum())
    }
}

#[cfg(test)]
mod tests {
    use record::cell::Component;
    use serde_json::json;

    use super::*;

    fn of(ladder: &[u64]) -> Settings {
        Settings::from([("ladder".to_owned(), json!(ladder))])
    }

    #[test]
    fn mean_divergences_are_those_of_the_binomial_distribution() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = crate::testing::workspace(folder.path());
        let mut cell = crate::testing::planned_cell(5).cell;
        let component = |name: &str, settings: Value| Component {
            name: name.to_owned(),
            version: 1,
            settings: serde_json::from_value(settings).unwrap(),
        };
        cell.task = component("category-draws", json!({"probabilities": [0.7, 0.3]}));
        cell.model = component("naive-bayes", json!({"smoothing": 10.0, "towards": [0.75, 0.25]}));
        cell.size.body_parameters = None;
        let sizes = json!({"ladder": [3, 10, 30], "from": 3, "sets": 2000});
        cell.measurement = component("posterior", sizes);
        let record = crate::compute(&cell, &workspace);
        assert_eq!(record.message, None);
        let found = |metric: &str, examples: u64| {
            let of = |row: &&record::cell::Row| {
                row.metric == metric && row.setting["examples"].as_u64() == Some(examples)
            };
            record.rows.iter().find(of).unwrap().value
        };
        let divergence = |p: f64| 0.7 * (0.7 / p).ln() + 0.3 * (0.3 / (1.0 - p)).ln();
        let prior = divergence(0.75);
        for examples in [3_u32, 10, 30] {
            // By the definition: after k of n draws of the first category the prediction is (15 + k) / (20 + n).
            let (mut mean, mut square, mut worse, mut chance) =
                (0.0, 0.0, 0.0, 0.3_f64.powf(f64::from(examples)));
            for k in 0..=examples {
                let after = divergence((15.0 + f64::from(k)) / (20.0 + f64::from(examples)));
                mean += chance * after;
                square += chance * after * after;
                worse += if after > prior { chance } else { 0.0 };
                chance *= f64::from(examples - k) / f64::from(k + 1) * 0.7 / 0.3;
            }
            // Four standard errors of 2,000 sets.
            let error = 4.0 * ((square - mean * mean) / 2000.0_f64).sqrt();
            let ours = found(DIVERGENCE, u64::from(examples));
            assert!((ours - mean).abs() < error, "{examples}: {ours}, by the sum {mean}");
            assert!((found(OVER_PRIOR, u64::from(examples)) - ours / prior).abs() < 1e-12);
            let share = found(WORSE, u64::from(examples));
            assert!(
                (share - worse).abs() < 4.0 * (worse * (1.0 - worse) / 2000.0).sqrt(),
                "{examples}: {share}"
            );
        }
        assert!(found(SLOPE, 30).is_finite());
    }

    #[test]
    fn a_slope_needs_three_sizes() {
        let facts = Facts { outputs: 1, time: 1, ..crate::testing::facts() };
        assert!(check(&of(&[1, 100, 300, 1000]), &facts).is_ok());
        let message = check(&of(&[1, 10, 100, 300]), &facts).unwrap_err();
        assert!(message.contains("three values of `examples`"), "{message}");
        assert!(check(&of(&[300, 200, 400]), &facts).unwrap_err().contains("rising"));
        let asked = Facts { outputs: 2, ..facts };
        assert!(check(&of(&[100, 200, 300]), &asked).unwrap_err().contains("nothing is asked"));
    }
}
