//! Climb a ladder of task settings, such as longer and longer lags, until two in a row fail.
//!
//! A value is solved when one rate of the grid solves it; it fails only after every rate was tried at it. The rate that
//! won last is tried first, then the others, nearest first. The test score of each value is read once, from the
//! predictor that solved it, or else from the one that was best on validation.

use record::Settings;
use record::cell::{CurveRow, Outcome, Row};
use sequence::{Budget, Fit, Outcome as Ending, Score, StopRule};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    CellContext, Costs, FIT, MeasurementEntry, RATE, SOLVED_EVALUATIONS, Schedule, TEST, VALIDATION, Yield,
    Yielded, counted, curve, row, test_scores,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "staircase",
    summary: "climb a ladder of settings until two in a row stay unsolved at every rate",
    version: 1,
    defaults: defaults::<Config>,
    of_one_model: &["extended-updates"],
    schedule: Schedule::OwnRates,
    check,
    over: |settings| parse::<Config>(settings).ok().map(|config| config.over),
    yields,
    seconds,
    run,
};

/// The keys that a plan fills in: the ladder from the task's list, the rates from the tuning grid.
pub(crate) const LADDER: &str = "ladder";
pub(crate) const RATES: &str = "rates";

/// Values in a row that end the climb.
const FAILURES: usize = 2;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// The task setting that the ladder varies.
    over: String,
    /// Its values, easiest first.
    ladder: Vec<Value>,
    /// Rates tried at each value; empty for models that have none.
    rates: Vec<f64>,
    /// Updates at most, at each value and rate.
    updates: u64,
    /// Validation every so many updates.
    evaluate_every: u64,
    /// Updates at most of one more try at the first failed value, at its best rate; 0 for none.
    extended_updates: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            over: "lag".to_owned(),
            ladder: Vec::new(),
            rates: Vec::new(),
            updates: 1500,
            evaluate_every: 50,
            extended_updates: 0,
        }
    }
}

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.updates == 0 || config.evaluate_every == 0 {
        return Err("`updates` and `evaluate-every` must be at least 1".to_owned());
    }
    if !facts.solvable {
        return Err("a staircase needs a task that can be solved, and this one cannot".to_owned());
    }
    let heights: Vec<f64> = config.ladder.iter().filter_map(Value::as_f64).collect();
    if heights.is_empty() || heights.len() < config.ladder.len() || !heights.is_sorted() {
        return Err(format!("`{}` must be a list of numbers, easiest (smallest) first", config.over));
    }
    Ok(())
}

fn yields(settings: &Settings, facts: &Facts) -> Vec<Yielded> {
    let mut all = vec![
        Yielded::new(TEST, "solved"),
        Yielded::new(FIT, "longest"),
        Yielded::new(VALIDATION, facts.primary()),
    ];
    let fit = ["updates-to-solve", RATE, "updates", "multiply-adds", "body-parameters", "total-parameters"];
    all.extend(fit.map(|metric| Yielded::new(FIT, metric)));
    for metric in &facts.metrics {
        all.extend(facts.test_sets.iter().map(|set| Yielded::new(set, *metric)));
    }
    if parse(settings).is_ok_and(|config: Config| config.extended_updates > 0) {
        all.push(Yielded::new(TEST, "solved-extended"));
        for metric in &facts.metrics {
            let metric = format!("{metric}-extended");
            all.extend(facts.test_sets.iter().map(|set| Yielded::new(set, metric.clone())));
        }
    }
    all
}

/// Where a climb ends is not known: the mean over all places where it may. A solved value takes a quarter of its updates
/// at one rate, as measured over the arms of `lstm-vs-transformer`, a failed one all of them at every rate.
fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let tries = config.rates.len().max(1) as f64;
    let one_try: Vec<(f64, f64)> = config
        .ladder
        .iter()
        .map(|value| {
            let cost = cost(&place(&config.over, value));
            let step = cost.update + cost.validation / config.evaluate_every.max(1) as f64;
            (config.updates as f64 * step + cost.test, config.extended_updates as f64 * step)
        })
        .collect();
    let ending_at = |first: usize| -> f64 {
        let solved: f64 = one_try[..first].iter().map(|(whole, _)| whole / 4.0).sum();
        let failed: f64 = one_try[first..].iter().take(FAILURES).map(|(whole, _)| whole * tries).sum();
        solved + failed + one_try.get(first).map_or(0.0, |(_, extended)| *extended)
    };
    let ends = one_try.len() + 1;
    (0..ends).map(ending_at).sum::<f64>() / ends as f64
}

fn place(over: &str, value: &Value) -> Settings {
    Settings::from([(over.to_owned(), value.clone())])
}

/// One try at one value and rate.
struct Trial {
    rate: f64,
    fit: Fit,
}

impl Trial {
    fn solved(&self) -> Option<u64> {
        if let Ending::Solved { updates } = self.fit.outcome { Some(updates) } else { None }
    }

    fn outcome(&self) -> Outcome {
        match self.fit.outcome {
            Ending::Solved { .. } => Outcome::Ok,
            Ending::Finished => Outcome::NotSolved,
            Ending::Diverged { .. } => Outcome::Diverged,
        }
    }
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    // Models without a rate have one try.
    let rates: Vec<f64> = if config.rates.is_empty() { vec![f64::NAN] } else { config.rates.clone() };
    let none = Settings::new();
    let (mut rows, mut updates, mut multiply_adds) = (Vec::new(), 0_u64, 0_u64);

    let mut attempt = |value: &Value, rate: f64, most: u64| -> Result<Trial, ExperimentError> {
        let at = place(&config.over, value);
        let task = context.task(&at)?;
        let learner = context.learner(&at, rate.is_finite().then_some(rate))?;
        let budget = Budget { updates: most, evaluate_every: config.evaluate_every };
        let stop = StopRule::Solved { evaluations: SOLVED_EVALUATIONS };
        let fit = context.fit(task.as_ref(), learner.as_ref(), budget, stop, None)?;
        updates += fit.updates;
        multiply_adds += fit.multiply_adds;
        Ok(Trial { rate, fit })
    };

    let primary = {
        let first =
            config.ladder.first().ok_or_else(|| ExperimentError::Cell("the ladder is empty".to_owned()))?;
        let task = context.task(&place(&config.over, first))?;
        (Facts::of(task.as_ref(), context.cell.seed, 1).primary(), task.larger_is_better())
    };
    let (primary, larger_is_better) = primary;
    let steps = climb(config.ladder.len(), rates.len(), larger_is_better, |value, rate| {
        let trial = attempt(&config.ladder[value], rates[rate], config.updates)?;
        if trial.rate.is_finite() {
            let mut at = place(&config.over, &config.ladder[value]);
            at.insert(RATE.to_owned(), trial.rate.into());
            rows.push(row(&at, VALIDATION, primary, trial.outcome(), trial.fit.best_validation));
        }
        let shown = Shown { solved: trial.solved().is_some(), validation: trial.fit.best_validation };
        Ok::<_, ExperimentError>((trial, shown))
    })?;

    let mut course: Vec<CurveRow> = Vec::new();
    let mut extended = None;
    for (value, step) in config.ladder.iter().zip(&steps) {
        let at = place(&config.over, value);
        let (Step::Solved(trial) | Step::Failed(trial)) = step else {
            rows.push(row(&at, TEST, "solved", Outcome::NotAttempted, 0.0));
            rows.push(row(&at, TEST, primary, Outcome::NotAttempted, f64::NAN));
            continue;
        };
        let outcome = trial.outcome();
        let solved = trial.solved();
        rows.push(row(&at, TEST, "solved", outcome, f64::from(u8::from(solved.is_some()))));
        rows.push(row(&at, VALIDATION, primary, outcome, trial.fit.best_validation));
        rows.push(row(&at, FIT, "updates-to-solve", outcome, solved.unwrap_or(config.updates) as f64));
        rows.push(row(&at, FIT, RATE, outcome, trial.rate));
        rows.extend(test_rows(context, &at, trial, outcome, "")?);
        course.extend(curve(&at, &trial.fit));
        if matches!(step, Step::Failed(_)) && extended.is_none() {
            extended = Some((value, trial.rate));
        }
    }
    if let (Some((value, rate)), true) = (extended, config.extended_updates > 0) {
        let at = place(&config.over, value);
        let trial = attempt(value, rate, config.extended_updates)?;
        let outcome = trial.outcome();
        rows.push(row(&at, TEST, "solved-extended", outcome, f64::from(u8::from(trial.solved().is_some()))));
        rows.extend(test_rows(context, &at, &trial, outcome, "-extended")?);
    }

    let solved_first = steps.iter().take_while(|step| matches!(step, Step::Solved(_))).count();
    let longest = solved_first.checked_sub(1).and_then(|last| config.ladder[last].as_f64()).unwrap_or(0.0);
    rows.push(row(&none, FIT, "longest", Outcome::Ok, longest));
    rows.push(row(&none, FIT, "updates", Outcome::Ok, updates as f64));
    rows.push(row(&none, FIT, "multiply-adds", Outcome::Ok, multiply_adds as f64));
    if let Some(Step::Solved(trial) | Step::Failed(trial)) = steps.first() {
        let predictor = trial.fit.predictor.as_ref();
        rows.push(row(&none, FIT, "body-parameters", Outcome::Ok, predictor.body_parameters() as f64));
        rows.push(row(&none, FIT, "total-parameters", Outcome::Ok, predictor.total_parameters() as f64));
    }
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: course, step_seconds: Vec::new() })
}

fn test_rows(
    context: &CellContext,
    at: &Settings,
    trial: &Trial,
    outcome: Outcome,
    suffix: &str,
) -> Result<Vec<Row>, ExperimentError> {
    let task = context.task(at)?;
    let tests = task.test(context.cell.seed);
    let scores = test_scores(task.as_ref(), trial.fit.predictor.as_ref(), &tests);
    let of_set = |(set, scores): (&sequence::TestSet, Vec<Score>)| {
        let of_score = |score: Score| {
            let metric = format!("{}{suffix}", score.metric);
            counted(at, &set.name, &metric, outcome, score.value, score.count)
        };
        scores.into_iter().map(of_score).collect::<Vec<_>>()
    };
    Ok(tests.iter().zip(scores).flat_map(of_set).collect())
}

/// What a climb needs to see of a try.
#[derive(Clone, Copy, Debug)]
struct Shown {
    solved: bool,
    validation: f64,
}

/// What became of a value of the ladder.
#[derive(Debug, PartialEq)]
enum Step<T> {
    /// By this try.
    Solved(T),
    /// By no rate; the try that was best on validation.
    Failed(T),
    /// Two values before it had failed.
    NotAttempted,
}

/// Tries the values in order, each at the rates, both by index, until [`FAILURES`] values in a row fail.
fn climb<T, E>(
    values: usize,
    rates: usize,
    larger_is_better: bool,
    mut attempt: impl FnMut(usize, usize) -> Result<(T, Shown), E>,
) -> Result<Vec<Step<T>>, E> {
    let mut steps = Vec::with_capacity(values);
    let mut winner = (rates - 1) / 2;
    let mut failures = 0;
    for value in 0..values {
        if failures == FAILURES {
            steps.push(Step::NotAttempted);
            continue;
        }
        let mut solved = None;
        let mut best: Option<(T, f64)> = None;
        for rate in nearest_first(winner, rates) {
            let (trial, shown) = attempt(value, rate)?;
            if shown.solved {
                solved = Some((rate, trial));
                break;
            }
            let better = |best: f64| {
                best.is_nan()
                    || if larger_is_better { shown.validation > best } else { shown.validation < best }
            };
            if best.as_ref().is_none_or(|(_, validation)| better(*validation)) {
                best = Some((trial, shown.validation));
            }
        }
        match (solved, best) {
            (Some((rate, trial)), _) => {
                winner = rate;
                failures = 0;
                steps.push(Step::Solved(trial));
            }
            (None, Some((trial, _))) => {
                failures += 1;
                steps.push(Step::Failed(trial));
            }
            (None, None) => steps.push(Step::NotAttempted),
        }
    }
    Ok(steps)
}

/// All indices below `count`, those nearest to `start` first, the smaller of two as near.
pub(super) fn nearest_first(start: usize, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&index| (index.abs_diff(start), index));
    order
}

#[cfg(test)]
mod tests {
    use super::super::StepCost;
    use super::*;

    /// Climbs a ladder on which value `v` is solved at exactly the rates `solving(v)`; a try is written `(value, rate)`.
    type Tries = Vec<(usize, usize)>;

    fn climbed(
        values: usize,
        rates: usize,
        solving: impl Fn(usize) -> Vec<usize>,
    ) -> (Vec<Step<(usize, usize)>>, Tries) {
        let mut tries = Vec::new();
        let steps = climb(values, rates, true, |value, rate| {
            tries.push((value, rate));
            // Validation falls with the rate's distance from 3.
            let validation = 0.9 - 0.1 * rate.abs_diff(3) as f64;
            Ok::<_, ()>(((value, rate), Shown { solved: solving(value).contains(&rate), validation }))
        });
        (steps.unwrap(), tries)
    }

    #[test]
    fn the_rate_that_won_is_tried_first() {
        let (steps, tries) = climbed(3, 5, |value| if value == 0 { vec![4] } else { vec![3, 4] });
        // From the middle rate outwards to 4, which then wins at once.
        assert_eq!(tries, [(0, 2), (0, 1), (0, 3), (0, 0), (0, 4), (1, 4), (2, 4)]);
        assert!(steps.iter().all(|step| matches!(step, Step::Solved(_))));
    }

    #[test]
    fn a_value_fails_only_after_every_rate_and_two_failures_end_the_climb() {
        let (steps, tries) = climbed(5, 3, |value| if value == 0 { vec![1] } else { vec![] });
        let failed = |value| Step::Failed((value, 2));
        assert_eq!(
            steps,
            [Step::Solved((0, 1)), failed(1), failed(2), Step::NotAttempted, Step::NotAttempted]
        );
        assert_eq!(tries, [(0, 1), (1, 1), (1, 0), (1, 2), (2, 1), (2, 0), (2, 2)]);
    }

    #[test]
    fn a_single_failure_does_not_end_the_climb() {
        let (steps, _) = climbed(4, 2, |value| if value == 1 { vec![] } else { vec![0] });
        let kinds: Vec<bool> = steps.iter().map(|step| matches!(step, Step::Solved(_))).collect();
        assert_eq!(kinds, [true, false, true, true]);
    }

    #[test]
    fn a_failed_value_keeps_the_try_that_was_best_and_not_one_that_diverged_at_once() {
        let steps = climb(1, 3, false, |_, rate| {
            let validation = [f64::NAN, 0.2, 0.3][rate];
            Ok::<_, ()>((rate, Shown { solved: false, validation }))
        });
        assert_eq!(steps.unwrap(), [Step::Failed(1)]);
    }

    #[test]
    fn an_error_ends_the_climb() {
        let steps: Result<Vec<Step<()>>, &str> = climb(3, 1, true, |_, _| Err("no such task"));
        assert_eq!(steps.unwrap_err(), "no such task");
    }

    #[test]
    fn the_order_of_rates_is_by_distance() {
        assert_eq!(nearest_first(1, 5), [1, 0, 2, 3, 4]);
        assert_eq!(nearest_first(4, 5), [4, 3, 2, 1, 0]);
    }

    #[test]
    fn the_estimate_is_the_mean_over_where_the_climb_ends() {
        let settings: Settings = serde_json::from_value(serde_json::json!({
            "ladder": [2, 4], "rates": [0.1, 0.2, 0.3], "updates": 10, "evaluate-every": 10
        }))
        .unwrap();
        let cost =
            |at: &Settings| StepCost { update: at["lag"].as_f64().unwrap(), validation: 0.0, test: 0.0 };
        // One try costs 20 and 40. Ending at the first value: 60 + 120; at the second: 5 + 120; never: 5 + 10.
        assert_eq!(seconds(&settings, &cost), (180.0 + 125.0 + 15.0) / 3.0);
    }

    #[test]
    fn a_ladder_that_is_no_ladder_is_refused() {
        let check = |ladder: serde_json::Value| {
            check(&Settings::from([(LADDER.to_owned(), ladder)]), &crate::testing::facts())
        };
        assert!(check(serde_json::json!([2, 5])).is_ok());
        for wrong in [serde_json::json!([]), serde_json::json!([5, 2]), serde_json::json!(["a"])] {
            assert!(check(wrong).unwrap_err().contains("smallest) first"));
        }
    }
}
