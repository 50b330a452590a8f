//! How much the learning rate matters: of a grid of rates, how many lead to nearly the best loss.
//!
//! A model trains once at each rate, from the same start and on the same batches. A rate is good if its best validation loss lies within
//! `within` of the best of all rates, as a share of it. The band is the good rates next to each other around the best one; its width is counted
//! in decades, a rate reaching half-way to its neighbours on a logarithmic scale. A run that diverges counts with the best it
//! had before, as any other does.

use record::Settings;
use record::cell::{Outcome, Row};
use sequence::{Budget, Outcome as Ending, StopRule};
use serde::{Deserialize, Serialize};

use super::{
    CellContext, Costs, FIT, MeasurementEntry, RATE, Schedule, TEST, VALIDATION, Yield, Yielded, row,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "rate-sensitivity",
    summary: "of a grid of learning rates, how many lead to nearly the best loss",
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
    /// Rates that are tried, ascending.
    grid: Vec<f64>,
    /// Updates at each.
    updates: u64,
    /// Validation every so many updates.
    evaluate_every: u64,
    /// How far above the best loss a good one lies at most, as a share of it.
    within: f64,
}

impl Default for Config {
    /// Half a decade apart, from 1e-4 to 0.0316.
    fn default() -> Self {
        Self {
            grid: vec![0.0001, 0.000_316, 0.001, 0.003_16, 0.01, 0.0316],
            updates: 300,
            evaluate_every: 100,
            within: 0.05,
        }
    }
}

const FRACTION: &str = "good-fraction";
const DECADES: &str = "good-decades";
const BEST: &str = "best-loss";
const BEST_RATE: &str = "best-rate";
/// The loss in the middle of all rates.
const MEDIAN: &str = "median-loss";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.updates == 0 || config.evaluate_every == 0 {
        return Err("`updates` and `evaluate-every` must be at least 1".to_owned());
    }
    let ascending = config.grid.windows(2).all(|pair| pair[0] < pair[1]);
    if config.grid.len() < 3 || !ascending || config.grid[0] <= 0.0 {
        return Err("`grid` must be three positive rates or more, the smallest first".to_owned());
    }
    if !(config.within > 0.0 && config.within.is_finite()) {
        return Err(format!("`within` is {}, it must be positive, such as 0.05", config.within));
    }
    if facts.larger_is_better {
        return Err("it needs a task whose primary metric is a loss".to_owned());
    }
    Ok(())
}

fn yields(_: &Settings, facts: &Facts) -> Vec<Yielded> {
    let mut all: Vec<Yielded> =
        [FRACTION, DECADES, BEST, BEST_RATE, MEDIAN].map(|metric| Yielded::new(TEST, metric)).into();
    all.push(Yielded::new(VALIDATION, facts.primary()));
    all.extend(["body-parameters", "total-parameters"].map(|metric| Yielded::new(FIT, metric)));
    all
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let cost = cost(&Settings::new());
    let evaluations = (config.updates / config.evaluate_every.max(1)) as f64 + 1.0;
    config.grid.len() as f64 * (config.updates as f64 * cost.update + evaluations * cost.validation)
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let budget = Budget { updates: config.updates, evaluate_every: config.evaluate_every };
    let primary = Facts::of(task.as_ref(), context.cell.seed, 1).primary();
    let mut rows: Vec<Row> = Vec::new();
    let mut losses = Vec::with_capacity(config.grid.len());
    for &rate in &config.grid {
        let learner = context.learner(&none, Some(rate))?;
        let fit = context.fit(task.as_ref(), learner.as_ref(), budget, StopRule::Budget, None)?;
        let outcome = match fit.outcome {
            Ending::Diverged { .. } => Outcome::Diverged,
            Ending::Finished | Ending::Solved { .. } => Outcome::Ok,
        };
        if losses.is_empty() {
            let predictor = fit.predictor.as_ref();
            rows.push(row(&none, FIT, "body-parameters", Outcome::Ok, predictor.body_parameters() as f64));
            rows.push(row(&none, FIT, "total-parameters", Outcome::Ok, predictor.total_parameters() as f64));
        }
        let at = Settings::from([(RATE.to_owned(), rate.into())]);
        rows.push(row(&at, VALIDATION, primary, outcome, fit.best_validation));
        losses.push(fit.best_validation);
    }
    let sensitivity = Sensitivity::of(&config.grid, &losses, config.within);
    let values = [
        (FRACTION, sensitivity.fraction),
        (DECADES, sensitivity.decades),
        (BEST, sensitivity.best),
        (BEST_RATE, sensitivity.best_rate),
        (MEDIAN, sensitivity.median),
    ];
    rows.extend(values.map(|(metric, value)| row(&none, TEST, metric, Outcome::Ok, value)));
    rows.push(row(&none, VALIDATION, primary, Outcome::Ok, sensitivity.best));
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

/// What the losses at a grid of rates say.
#[derive(Debug, PartialEq)]
struct Sensitivity {
    fraction: f64,
    decades: f64,
    best: f64,
    best_rate: f64,
    median: f64,
}

impl Sensitivity {
    fn of(rates: &[f64], losses: &[f64], within: f64) -> Self {
        // A loss that is no number is worse than any.
        let known: Vec<f64> =
            losses.iter().map(|&loss| if loss.is_nan() { f64::INFINITY } else { loss }).collect();
        let place = (0..known.len()).min_by(|&a, &b| known[a].total_cmp(&known[b])).unwrap_or(0);
        let best = known[place];
        let good: Vec<bool> = known.iter().map(|&loss| loss <= best * (1.0 + within)).collect();
        let first = (0..place).rev().take_while(|&rate| good[rate]).last().unwrap_or(place);
        let last = (place..rates.len()).take_while(|&rate| good[rate]).last().unwrap_or(place);
        // The ends of the grid reach no further than they are.
        let edge = |a: usize, b: usize| (rates[a] * rates[b]).sqrt();
        let low = edge(first, first.saturating_sub(1));
        let high = edge(last, (last + 1).min(rates.len() - 1));
        let mut sorted = known;
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        let count = good.iter().filter(|&&good| good).count();
        Self {
            fraction: count as f64 / good.len() as f64,
            decades: (high / low).log10(),
            best,
            best_rate: rates[place],
            median,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_is_the_good_rates_around_the_best_one() {
        let rates = [0.0001, 0.001, 0.01, 0.1, 1.0];
        // By hand: 2.0 is the best, up to 2.1 is good; the first rate is good, but a bad one lies between.
        let found = Sensitivity::of(&rates, &[2.05, 3.0, 2.1, 2.0, f64::NAN], 0.05);
        assert_eq!((found.fraction, found.best, found.best_rate, found.median), (0.6, 2.0, 0.1, 2.1));
        // From half-way below 0.01 to half-way above 0.1.
        assert!((found.decades - 2.0).abs() < 1e-9, "{found:?}");
        // At an end of the grid, half a step.
        let found = Sensitivity::of(&rates, &[1.0, 3.0, 3.0, 3.0, 3.0], 0.05);
        assert!((found.decades - 0.5).abs() < 1e-9 && found.fraction == 0.2, "{found:?}");
        let all = Sensitivity::of(&rates, &[1.0; 5], 0.05);
        assert!((all.decades - 4.0).abs() < 1e-9 && all.fraction == 1.0, "{all:?}");
    }

    #[test]
    fn it_needs_a_loss_and_rates_that_rise() {
        let facts = crate::testing::facts();
        assert!(check(&Settings::new(), &Facts { larger_is_better: true, ..facts.clone() }).is_err());
        let loss = Facts { larger_is_better: false, ..facts };
        assert!(check(&Settings::new(), &loss).is_ok());
        let falling = Settings::from([("grid".to_owned(), serde_json::json!([0.1, 0.01, 0.001]))]);
        assert!(check(&falling, &loss).unwrap_err().contains("`grid`"));
    }
}
