//! How quality changes with the length of sequences, where a network trains on the length that it is tested on.
//!
//! Three budgets, and in each the slope of the primary metric on the binary logarithm of the length: points a doubling. At equal
//! updates every length gets the same number of updates, so that computation grows with the length. At equal tokens and at
//! equal multiply-adds it gets as many as have the tokens, or the multiply-adds, of all updates at the shortest length. The
//! rate is chosen at each length by the first: the rates are tried in turn, the middle one first, until one solves the task.

use record::Settings;
use record::cell::{Outcome, Row};
use sequence::{Budget, Fit, Outcome as Ending, StopRule};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::slope::slope;
use super::staircase::nearest_first;
use super::{
    CellContext, Costs, FIT, MeasurementEntry, RATE, SOLVED_EVALUATIONS, Schedule, TEST, VALIDATION, Yield,
    Yielded, counted, curve, row, test_scores,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "quality-by-length",
    summary: "train at each length within three budgets, and how quality changes with a doubling of the length",
    version: 1,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::OwnRates,
    check,
    over: |settings| parse::<Config>(settings).ok().map(|config| config.over),
    yields,
    seconds,
    run,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// The task setting that is the length.
    over: String,
    /// Its values, shortest first.
    ladder: Vec<Value>,
    /// Rates at which it trains, until one solves the task.
    rates: Vec<f64>,
    /// Updates at each length, and those at the shortest from which the other budgets follow.
    updates: u64,
    /// Validation every so many updates.
    evaluate_every: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            over: "length".to_owned(),
            ladder: Vec::new(),
            rates: Vec::new(),
            updates: 1000,
            evaluate_every: 50,
        }
    }
}

/// The budgets, by the ending of what is measured within them.
const BUDGETS: [&str; 3] = ["equal-updates", "equal-tokens", "equal-multiply-adds"];

/// The metrics of a budget: at a length, and its slope.
fn metrics(primary: &str, budget: &str) -> [String; 2] {
    [format!("{primary}-at-{budget}"), format!("slope-at-{budget}")]
}

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.updates == 0 || config.evaluate_every == 0 {
        return Err("`updates` and `evaluate-every` must be at least 1".to_owned());
    }
    if config.rates.iter().any(|rate| !(*rate > 0.0 && rate.is_finite())) || config.rates.is_empty() {
        return Err("`rates` must be one positive number or more".to_owned());
    }
    if !facts.solvable {
        return Err("training ends when a task is solved, and this one cannot be".to_owned());
    }
    let lengths: Vec<f64> = config.ladder.iter().filter_map(Value::as_f64).collect();
    let ascending = lengths.windows(2).all(|pair| pair[0] < pair[1])
        && lengths.first().is_some_and(|length| *length > 0.0);
    if lengths.len() < config.ladder.len().max(3) || !ascending {
        return Err(format!("`{}` must be a list of three lengths or more, shortest first", config.over));
    }
    Ok(())
}

fn yields(_: &Settings, facts: &Facts) -> Vec<Yielded> {
    let mut all = vec![Yielded::new(TEST, "solved"), Yielded::new(VALIDATION, facts.primary())];
    for budget in BUDGETS {
        all.extend(metrics(facts.primary(), budget).map(|metric| Yielded::new(TEST, metric)));
        all.push(Yielded::new(FIT, format!("updates-at-{budget}")));
    }
    all.push(Yielded::new(TEST, "updates-to-solve"));
    let fit = [RATE, "updates", "multiply-adds", "body-parameters", "total-parameters"];
    all.extend(fit.map(|metric| Yielded::new(FIT, metric)));
    all
}

/// A solved length takes, as measured, half of its updates at one rate. Each of the other budgets costs about what the shortest
/// length does.
fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let costs: Vec<_> = config
        .ladder
        .iter()
        .map(|value| cost(&Settings::from([(config.over.clone(), value.clone())])))
        .collect();
    let updates = config.updates as f64;
    let shortest = costs.first().map_or(0.0, |cost| updates * cost.update);
    let of_one = |cost: &super::StepCost| {
        let step = cost.update + cost.validation / config.evaluate_every.max(1) as f64;
        0.5 * updates * step + 2.0 * shortest + 4.0 * cost.validation + 3.0 * cost.test
    };
    costs.iter().map(of_one).sum()
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let seed = context.cell.seed;
    let (mut rows, mut course) = (Vec::new(), Vec::new());
    let (mut updates, mut multiply_adds) = (0, 0);
    let mut points: [Vec<(f64, f64)>; 3] = Default::default();
    // Tokens and multiply-adds of an update at the shortest length.
    let mut shortest: Option<(f64, f64)> = None;
    let mut worst = Outcome::Ok;

    for value in &config.ladder {
        let at = Settings::from([(config.over.clone(), value.clone())]);
        let task = context.task(&at)?;
        let length = value.as_f64().unwrap_or(f64::NAN);
        let facts = Facts::of(task.as_ref(), seed, context.batch_size());
        let primary = facts.primary();
        let mut train = |rate: f64, most: u64, every: u64| -> Result<Fit, ExperimentError> {
            let learner = context.learner(&at, Some(rate))?;
            let budget = Budget { updates: most, evaluate_every: every };
            let stop = StopRule::Solved { evaluations: SOLVED_EVALUATIONS };
            let fit = context.fit(task.as_ref(), learner.as_ref(), budget, stop, None)?;
            updates += fit.updates;
            multiply_adds += fit.multiply_adds;
            Ok(fit)
        };
        let score = |fit: &Fit, metric: &str| -> Option<Row> {
            let tests = task.test(seed);
            let scores = test_scores(task.as_ref(), fit.predictor.as_ref(), &tests);
            let score = scores.into_iter().next()?.into_iter().next()?;
            Some(counted(&at, TEST, metric, outcome_of(fit), score.value, score.count))
        };

        let mut best: Option<(Fit, f64)> = None;
        for index in nearest_first((config.rates.len() - 1) / 2, config.rates.len()) {
            let fit = train(config.rates[index], config.updates, config.evaluate_every)?;
            let solved = solved(&fit).is_some();
            let better = |other: f64| {
                let this = fit.best_validation;
                other.is_nan() || if task.larger_is_better() { this > other } else { this < other }
            };
            if solved || best.as_ref().is_none_or(|(other, _)| better(other.best_validation)) {
                best = Some((fit, config.rates[index]));
            }
            if solved {
                break;
            }
        }
        let (fit, rate) = best.expect("a definition names a rate or more");
        let outcome = outcome_of(&fit);
        let ending =
            if solved(&fit).is_none() && outcome == Outcome::Ok { Outcome::NotSolved } else { outcome };
        rows.push(row(&at, TEST, "solved", ending, f64::from(u8::from(solved(&fit).is_some()))));
        rows.push(row(&at, VALIDATION, primary, outcome, fit.best_validation));
        rows.push(row(&at, TEST, "updates-to-solve", ending, solved(&fit).unwrap_or(config.updates) as f64));
        rows.push(row(&at, FIT, RATE, outcome, rate));
        course.extend(curve(&at, &fit));

        let an_update = (facts.time as f64, fit.multiply_adds as f64 / fit.updates.max(1) as f64);
        let (tokens, products) = *shortest.get_or_insert(an_update);
        let budgets = [
            config.updates,
            within(config.updates, tokens / an_update.0),
            within(config.updates, products / an_update.1),
        ];
        for (index, most) in budgets.into_iter().enumerate() {
            let [metric, _] = metrics(primary, BUDGETS[index]);
            rows.push(row(&at, FIT, &format!("updates-at-{}", BUDGETS[index]), Outcome::Ok, most as f64));
            // What all updates gave is known; fewer are another run, as far as it gets.
            let shown = if most == config.updates || solved(&fit).is_some_and(|updates| updates <= most) {
                score(&fit, &metric)
            } else {
                score(&train(rate, most, config.evaluate_every.min(most))?, &metric)
            };
            if let Some(shown) = shown {
                if shown.outcome != Outcome::Ok {
                    worst = shown.outcome;
                }
                points[index].push((length.log2(), shown.value));
                rows.push(shown);
            }
        }
        if shortest == Some(an_update) {
            let predictor = fit.predictor.as_ref();
            rows.push(row(&none, FIT, "body-parameters", Outcome::Ok, predictor.body_parameters() as f64));
            rows.push(row(&none, FIT, "total-parameters", Outcome::Ok, predictor.total_parameters() as f64));
        }
    }
    for (budget, points) in BUDGETS.iter().zip(&points) {
        if let Some(slope) = slope(points) {
            let [_, metric] = metrics("", budget);
            rows.push(row(&none, TEST, &metric, worst, slope));
        }
    }
    rows.push(row(&none, FIT, "updates", Outcome::Ok, updates as f64));
    rows.push(row(&none, FIT, "multiply-adds", Outcome::Ok, multiply_adds as f64));
    Ok(Yield { outcome: worst, message: None, rows, curve: course, step_seconds: Vec::new() })
}

fn solved(fit: &Fit) -> Option<u64> {
    if let Ending::Solved { updates } = fit.outcome { Some(updates) } else { None }
}

fn outcome_of(fit: &Fit) -> Outcome {
    if matches!(fit.outcome, Ending::Diverged { .. }) { Outcome::Diverged } else { Outcome::Ok }
}

/// So many updates as a share of them allows, one at least.
fn within(updates: u64, share: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of updates")]
    let allowed = (updates as f64 * share + 1e-9).floor() as u64;
    allowed.clamp(1, updates)
}

#[cfg(test)]
mod tests {
    use record::cell::{Cell, Component};
    use serde_json::json;

    use super::*;

    #[test]
    fn every_length_is_measured_within_three_budgets() {
        let component = |name: &str, settings: Value| Component {
            name: name.to_owned(),
            version: 1,
            settings: serde_json::from_value(settings).unwrap(),
        };
        let measure = json!({"ladder": [3, 7, 15], "rates": [0.003], "updates": 8, "evaluate-every": 4});
        let cell = Cell {
            task: component("needle", json!({})),
            model: component("rnn", json!({})),
            measurement: component("quality-by-length", measure),
            ..crate::testing::planned_cell(3).cell
        };
        let folder = tempfile::tempdir().unwrap();
        let record = crate::compute(&cell, &crate::testing::workspace(folder.path()));
        let values = |metric: &str| -> Vec<f64> {
            record.rows.iter().filter(|row| row.metric == metric).map(|row| row.value).collect()
        };
        // By hand: 4, 8 and 16 positions, the query included, in the same tokens: 8, 4 and 2 updates; all of them beside the
        // first 8, 8 and 8, since nothing is solved.
        assert_eq!(values("updates-at-equal-tokens"), [8.0, 4.0, 2.0], "{:?}", record.message);
        assert_eq!(values("updates-at-equal-updates"), [8.0; 3]);
        // The read-out of the one supervised position does not grow with the length.
        assert_eq!(values("updates-at-equal-multiply-adds")[0], 8.0);
        for budget in BUDGETS {
            let [at_length, slope_of] = metrics("accuracy", budget);
            let scores = values(&at_length);
            let points: Vec<(f64, f64)> =
                [3_f64, 7.0, 15.0].iter().zip(&scores).map(|(x, y)| (x.log2(), *y)).collect();
            assert_eq!(values(&slope_of), [slope(&points).unwrap()]);
        }
    }

    #[test]
    fn a_budget_is_a_share_of_the_updates() {
        // By hand: sequences of 65 instead of 17 positions leave 17/65 of 1,000 updates.
        assert_eq!(within(1000, 17.0 / 65.0), 261);
        assert_eq!((within(1000, 1.0), within(1000, 1.5), within(10, 0.01)), (1000, 1000, 1));
    }

    #[test]
    fn a_slope_needs_three_lengths() {
        let facts = crate::testing::facts();
        let refusal = |lengths: Value| {
            let key = |name: &str, value: Value| (name.to_owned(), value);
            let rates = serde_json::json!([0.003]);
            check(&Settings::from([key("ladder", lengths), key("rates", rates)]), &facts)
        };
        assert!(refusal(serde_json::json!([16, 32, 64])).is_ok());
        for lengths in
            [serde_json::json!([16, 32]), serde_json::json!([32, 16, 64]), serde_json::json!([0, 1, 2])]
        {
            let message = refusal(lengths).unwrap_err();
            assert!(
                message.contains("`length` must be a list of three lengths or more, shortest first"),
                "{message}"
            );
        }
    }
}
