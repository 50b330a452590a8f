//! From one part of a rule to its regimes: the effect in each, its intervals and its decision.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::mem::discriminant;

use record::cell::Outcome;
use record::definition::{BudgetKind, Combine, Part, Scale, Side};
use record::metric::{chosen_by, is_accuracy, larger_is_better};
use record::verdict::{Regime as Row, RegimeDecision};

use crate::statistics::{
    self, Concordance, Decision, Estimate, Interval, Refutation, Regime, Scored, StatisticsError,
    clopper_pearson, mean, proportion_standard_error, seeds_and_blocks, shortfall, welch, wilson,
};
use crate::tables::{Place, Query, Tables, place_name, places};

/// Clean repeats that a comparison of times needs.
pub(crate) const MINIMUM_REPEATS: usize = 15;

/// A regime as it is printed, with its place in the order of regimes and what it lacks, if anything.
pub(crate) struct Effect {
    pub(crate) row: Row,
    pub(crate) order: Option<f64>,
    pub(crate) note: String,
}

impl Effect {
    /// The regime as the table of verdicts reads it.
    pub(crate) fn regime(&self) -> Regime {
        let decision = match self.row.decision {
            RegimeDecision::Supported => Decision::Supported,
            RegimeDecision::Equivalent => Decision::Refuted(Refutation::Equivalent),
            RegimeDecision::Reversed => Decision::Refuted(Refutation::Reversed),
            RegimeDecision::TooSmall => Decision::Refuted(Refutation::TooSmall),
            RegimeDecision::Inconclusive => Decision::Inconclusive,
        };
        Regime { name: self.row.name.clone(), order: self.order, decision }
    }
}

/// The effects of a part in all its regimes, decided at `level`.
///
/// # Errors
/// A reason why the part cannot be judged: rows that are missing, or too few of them.
pub(crate) fn effects(part: &Part, tables: &Tables, level: f64) -> Result<Vec<Effect>, String> {
    let mut effects = Vec::new();
    let places = places(part.at());
    for place in &places {
        match part {
            Part::SolveRate { task, models, combine, metric, side, rate, .. } => {
                for group in groups(models, *combine) {
                    let query = |model| Query { task, model, metric, split: "test", place };
                    let mut effect = solve_rate(tables, query, group, *side, *rate, level)?;
                    name_group(&mut effect, models, *combine, place);
                    effects.push(effect);
                }
            }
            Part::Difference { models, combine, budgets, .. } => {
                let budgets: Vec<Option<BudgetKind>> =
                    if budgets.is_empty() { vec![None] } else { budgets.iter().copied().map(Some).collect() };
                for group in groups(models, *combine) {
                    for budget in &budgets {
                        let mut effect = difference(tables, part, group, place, *budget, level)?;
                        name_group(&mut effect, models, *combine, place);
                        if let Some(budget) = budget {
                            let budget = format!("budget={}", budget_name(*budget));
                            let name = join(&effect.row.name, &budget);
                            effect.row.name = name;
                        }
                        effects.push(effect);
                    }
                }
            }
            Part::Identity { models, .. } => {
                for model in models {
                    let mut effect = identity(tables, part, model, place)?;
                    name_group(&mut effect, models, Combine::Each, place);
                    effects.push(effect);
                }
            }
            Part::Discrimination { .. } => effects.push(discrimination(tables, part, place, level)?),
            Part::StepTime { task, model, against, margin, .. } => {
                effects.push(step_time(tables, task, model, against, place, *margin, level)?);
            }
        }
    }
    // Regimes are ordered when they differ in one number and in nothing else.
    let varying: Vec<&Vec<serde_json::Value>> =
        part.at().values().filter(|values| values.len() > 1).collect();
    if effects.len() == places.len()
        && let [_] = varying.as_slice()
    {
        let key = part.at().iter().find(|(_, values)| values.len() > 1).map(|(key, _)| key.as_str());
        for (effect, place) in effects.iter_mut().zip(&places) {
            let value = place.iter().find(|(name, _)| Some(name.as_str()) == key);
            effect.order = value.and_then(|(_, value)| value.parse().ok());
        }
    }
    settle_seconds(&mut effects);
    Ok(effects)
}

/// All models as one side, or each model by itself.
fn groups(models: &[String], combine: Combine) -> Vec<&[String]> {
    match combine {
        Combine::Any => vec![models],
        Combine::Each => models.chunks(1).collect(),
    }
}

fn name_group(effect: &mut Effect, models: &[String], combine: Combine, place: &Place) {
    let place = place_name(place);
    effect.row.name = match combine {
        Combine::Each if models.len() > 1 => join(&effect.row.model, &place),
        _ => place,
    };
}

fn join(first: &str, second: &str) -> String {
    format!("{first} {second}").trim().to_owned()
}

fn budget_name(budget: BudgetKind) -> &'static str {
    match budget {
        BudgetKind::Updates => "updates",
        BudgetKind::MultiplyAdds => "multiply-adds",
        BudgetKind::Seconds => "seconds",
        BudgetKind::PytorchSeconds => "pytorch-seconds",
    }
}

/// A verdict on seconds holds only where our kernels and PyTorch's give the same one.
fn settle_seconds(effects: &mut [Effect]) {
    for index in 0..effects.len() {
        let name = effects[index].row.name.clone();
        let Some(stem) = name.strip_suffix("budget=seconds") else { continue };
        let twin =
            effects.iter().position(|effect| effect.row.name == format!("{stem}budget=pytorch-seconds"));
        if let Some(twin) = twin
            && discriminant(&effects[index].regime().decision)
                != discriminant(&effects[twin].regime().decision)
        {
            for which in [index, twin] {
                effects[which].row.decision = RegimeDecision::Inconclusive;
                "depends on the implementation: our step times and PyTorch's decide differently"
                    .clone_into(&mut effects[which].note);
            }
        }
    }
}

/// The fraction of seeds that solve a task, against a rate.
fn solve_rate<'a>(
    tables: &Tables,
    query: impl Fn(&'a str) -> Query<'a>,
    models: &'a [String],
    side: Side,
    rate: f64,
    level: f64,
) -> Result<Effect, String> {
    let solved = |model: &'a String| -> Result<Vec<bool>, String> {
        let query = query(model);
        let values = tables.by_seed(&query);
        if values.is_empty() {
            let Query { task, metric, place, .. } = query;
            return Err(format!("no rows `{metric}` for {model} on {task} at {}", place_name(place)));
        }
        Ok(values.into_values().map(|(value, _)| value > 0.5).collect())
    };
    let mut best: Option<(&String, Vec<bool>)> = None;
    for model in models {
        let seeds = solved(model)?;
        let wins = |seeds: &[bool]| seeds.iter().filter(|&&won| won).count();
        if best.as_ref().is_none_or(|(_, other)| wins(&seeds) > wins(other)) {
            best = Some((model, seeds));
        }
    }
    let (model, seeds) = best.ok_or("a part that names no model")?;
    // Choosing the best of k arms by the very rate that is judged costs a factor k in the level.
    let level = 1.0 - (1.0 - level) / models.len() as f64;
    let decide = |seeds: &[bool]| -> Result<(Estimate, Decision), StatisticsError> {
        let wins = seeds.iter().filter(|&&won| won).count();
        let estimate = statistics::rate(wins, seeds.len(), level)?;
        let decision = Decision::of(oriented(estimate.relative_to(rate), side).decision, 0.0);
        Ok((estimate, decision))
    };
    let (estimate, decision) = decide(&seeds).map_err(|error| error.to_string())?;
    let fragile = is_fragile(&seeds, decision, |rest| {
        // One seed fewer than the minimum still shows whether that seed alone carries the decision.
        let wins = rest.iter().filter(|&&won| won).count();
        let interval = clopper_pearson(wins, rest.len(), level).relative_to(rate);
        Decision::of(if side == Side::Above { interval } else { interval.reversed() }, 0.0)
    });
    let wins = seeds.iter().filter(|&&won| won).count();
    let not_tried = tables.rows(&query(model)).filter(|row| row.outcome == Outcome::NotAttempted).count();
    let shown = wilson(wins, seeds.len(), statistics::SHOWN_LEVEL);
    Ok(Effect {
        row: Row {
            name: String::new(),
            model: model.clone(),
            against: record::spelled::spell(rate),
            effect: estimate.value,
            low: shown.low,
            high: shown.high,
            decision_low: estimate.decision.low,
            decision_high: estimate.decision.high,
            smallest_detectable: smallest_rate(seeds.len(), rate, side, level),
            units: seeds.len(),
            decision: shown_decision(decision),
            fragile,
            left: estimate.value,
            right: rate,
            times: 1.0,
        },
        order: None,
        note: [
            (decision == Decision::Inconclusive)
                .then(|| format!("{wins} of {} seeds do not tell a rate from {rate}", seeds.len())),
            (not_tried > 0).then(|| {
                format!(
                    "{not_tried} of {} seeds were not tried here, having failed two easier settings",
                    seeds.len()
                )
            }),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; "),
    })
}

/// The distance from `rate` of the observed rate nearest to it that would have decided for the claim.
fn smallest_rate(trials: usize, rate: f64, side: Side, level: f64) -> f64 {
    (0..=trials)
        .filter(|&wins| {
            let interval = clopper_pearson(wins, trials, level);
            match side {
                Side::Above => interval.low > rate,
                Side::Below => interval.high < rate,
            }
        })
        .map(|wins| (wins as f64 / trials as f64 - rate).abs())
        .fold(f64::NAN, f64::min)
}

/// An estimate over units, and whether one unit carries what is decided by it.
fn estimated<U: Clone>(
    units: &[U],
    estimate: impl Fn(&[U]) -> Result<Estimate, StatisticsError>,
    decide: impl Fn(Estimate) -> Decision,
) -> Result<(Estimate, bool), StatisticsError> {
    let whole = estimate(units)?;
    let fragile =
        is_fragile(units, decide(whole), |rest| estimate(rest).map_or(Decision::Inconclusive, &decide));
    Ok((whole, fragile))
}

/// Left minus right, seed by seed.
fn difference(
    tables: &Tables,
    part: &Part,
    group: &[String],
    place: &Place,
    budget: Option<BudgetKind>,
    level: f64,
) -> Result<Effect, String> {
    let Part::Difference {
        task,
        metric,
        split,
        against,
        against_task,
        against_at,
        constant,
        times,
        side,
        margin,
        scale,
        ..
    } = part
    else {
        unreachable!("only differences come here")
    };
    let at_budget = match budget {
        None | Some(BudgetKind::Updates) => metric.clone(),
        Some(budget) => format!("{metric}@{}", budget_name(budget)),
    };
    let left = best_on_validation(tables, task, metric, group, place)?;
    let right_task = against_task.as_ref().unwrap_or(task);
    // Settings of one task say nothing of another.
    let mut right_place = if against_task.is_some() { Place::new() } else { place.clone() };
    for (key, value) in against_at {
        right_place.retain(|(other, _)| other != key);
        right_place.push((key.clone(), record::plain(value)));
    }
    let right = if against.is_empty() {
        None
    } else {
        Some(best_on_validation(tables, right_task, metric, against, &right_place)?)
    };
    let query = |task, model, place| Query { task, model, metric: &at_budget, split, place };

    let transform = |value: f64| if *scale == Scale::Ratio { value.ln() } else { value };
    let left_values = Measured::of(tables, &query(task, left, place), split);
    let right_values = match right {
        Some(model) => Measured::of(tables, &query(right_task, model, &right_place), split),
        None => Measured::Constant(*constant),
    };
    if *scale == Scale::Ratio && !(left_values.all_positive() && right_values.all_positive()) {
        return Err(format!("`{at_budget}` is not positive everywhere, and has no ratio there"));
    }
    let multiplied = right_values.clone().times(*times);
    let pairs = left_values.pair(&multiplied, transform).map_err(|missing| {
        let sides = right.map_or(left.to_owned(), |right| format!("{left} and {right}"));
        format!("{missing} of `{at_budget}` on {task} for {sides} at {} (split {split})", place_name(place))
    })?;
    // Only of a fraction of answers does the size of the evaluation set tell the error.
    let floor = if is_accuracy(metric) {
        left_values.standard_error_floor(*scale).hypot(multiplied.standard_error_floor(*scale))
    } else {
        0.0
    };
    let margin = if *scale == Scale::Ratio { margin.ln() } else { *margin };
    let decide = |estimate: Estimate| Decision::of(oriented(estimate, *side).decision, margin);
    let singles: Option<Vec<f64>> =
        pairs.iter().map(|blocks| if let [value] = blocks[..] { Some(value) } else { None }).collect();
    let (whole, fragile) = if let Some(values) = &singles {
        estimated(values, |values| mean(values, level, floor), decide)
    } else {
        // Borrowed, so that leaving one out copies no blocks.
        let pairs: Vec<&[f64]> = pairs.iter().map(Vec::as_slice).collect();
        estimated(&pairs, |pairs| seeds_and_blocks(pairs, level), decide)
    }
    .map_err(|error| error.to_string())?;
    let decision = decide(whole);
    let shown = if *scale == Scale::Ratio { whole.from_scale(statistics::Scale::Log) } else { whole };
    let note = match decision {
        // More seeds do not change how much stretches of the text differ.
        Decision::Inconclusive if singles.is_none() => {
            let Interval { low, high } = whole.decision;
            format!("the interval is {:.3} wide and contains the margin", high - low)
        }
        Decision::Inconclusive => lacking(&oriented(whole, *side), margin),
        _ => String::new(),
    };
    Ok(Effect {
        row: Row {
            name: String::new(),
            model: left.to_owned(),
            against: match right {
                Some(model) => {
                    let task = against_task.as_ref().map(|task| format!("on {task}"));
                    let place = (!against_at.is_empty()).then(|| format!("at {}", place_name(&right_place)));
                    [Some(model.to_owned()), task, place].into_iter().flatten().collect::<Vec<_>>().join(" ")
                }
                None => record::spelled::spell(*constant),
            },
            effect: shown.value,
            low: shown.interval95.low,
            high: shown.interval95.high,
            decision_low: shown.decision.low,
            decision_high: shown.decision.high,
            smallest_detectable: if *scale == Scale::Ratio {
                whole.smallest_detectable.exp()
            } else {
                whole.smallest_detectable
            },
            units: pairs.len(),
            decision: shown_decision(decision),
            fragile,
            left: left_values.mean(),
            right: right_values.mean(),
            times: *times,
        },
        order: None,
        note,
    })
}

/// Left minus right on the seed where it is largest; the range over seeds stands in place of an interval.
fn identity(tables: &Tables, part: &Part, model: &str, place: &Place) -> Result<Effect, String> {
    let Part::Identity { task, metric, split, against, constant, times, tolerance, .. } = part else {
        unreachable!("only identities come here")
    };
    let values = |model| Measured::of(tables, &Query { task, model, metric, split, place }, split);
    let left = values(model);
    let right = against.as_deref().map_or(Measured::Constant(*constant), values);
    let pairs = left.pair(&right.clone().times(*times), |value| value).map_err(|missing| {
        format!("{missing} of `{metric}` on {task} for {model} at {} (split {split})", place_name(place))
    })?;
    let differences = || pairs.iter().flatten().copied();
    let largest = differences().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
    let (low, high) =
        differences().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), b| (low.min(b), high.max(b)));
    let holds = differences().all(|difference| difference.abs() <= *tolerance);
    Ok(Effect {
        row: Row {
            name: String::new(),
            model: model.to_owned(),
            against: against.clone().unwrap_or_else(|| record::spelled::spell(*constant)),
            effect: largest,
            low,
            high,
            decision_low: low,
            decision_high: high,
            smallest_detectable: *tolerance,
            units: pairs.len(),
            decision: if holds { RegimeDecision::Supported } else { RegimeDecision::Reversed },
            fragile: false,
            left: left.mean(),
            right: right.mean(),
            times: *times,
        },
        order: None,
        note: String::new(),
    })
}

/// How well a metric tells runs that succeed from others, the models being what is resampled. Beside it stands how well the setting
/// tells that they are taken over: a metric that falls with it might do no more.
fn discrimination(tables: &Tables, part: &Part, place: &Place, level: f64) -> Result<Effect, String> {
    let Part::Discrimination { task, metric, split, outcome, models, over, same, area, .. } = part else {
        unreachable!("only discriminations come here")
    };
    // A setting by itself can be ranked where it is the only one that varies, and a number.
    let ladder = match over.iter().collect::<Vec<_>>().as_slice() {
        [(key, values)] if same.is_none() && values.iter().all(serde_json::Value::is_number) => Some(*key),
        _ => None,
    };
    let (mut by_metric, mut by_setting) = (Vec::new(), Vec::new());
    for model in models {
        let (mut runs, mut settings) = (Vec::new(), Vec::new());
        for pooled in places(over) {
            let at: Place = place.iter().chain(&pooled).cloned().collect();
            let query = |metric, split| Query { task, model, metric, split, place: &at };
            let scores = tables.by_seed(&query(metric.as_str(), split.as_str()));
            let outcomes = tables.by_seed(&query(outcome.as_str(), "test"));
            let of_setting =
                |key: &String| pooled.iter().find(|(name, _)| name == key).map(|(_, value)| value);
            let values = same.as_ref().and_then(|key| over.get(key).zip(of_setting(key)));
            let stratum =
                values.and_then(|(all, value)| all.iter().position(|other| record::plain(other) == *value));
            let before = runs.len();
            for (seed, (score, _)) in &scores {
                let Some((success, _)) = outcomes.get(seed) else { continue };
                let run = Scored { score: *score, success: *success > 0.5, stratum: stratum.unwrap_or(0) };
                runs.push(run);
                let number = ladder.and_then(of_setting).and_then(|value| value.parse().ok());
                settings.push(Scored { score: number.unwrap_or(0.0), ..run });
            }
            if runs.len() == before {
                return Err(format!(
                    "no rows `{metric}` and `{outcome}` for {model} on {task} at {}",
                    place_name(&at)
                ));
            }
        }
        by_metric.push(runs);
        by_setting.push(settings);
    }
    let concordance = Concordance::of(&by_metric);
    let decide = |estimate: Estimate| Decision::of(estimate.relative_to(*area).decision, 0.0);
    let estimate = concordance.estimate(level).map_err(|error| error.to_string())?;
    let decision = decide(estimate);
    // One model fewer than the minimum still shows whether that model alone carries the decision.
    let fragile = models.len() > statistics::MINIMUM_CLUSTERS
        && (0..models.len()).any(|left_out| {
            let rest = concordance.without(left_out).estimate(level).map_or(Decision::Inconclusive, decide);
            discriminant(&rest) != discriminant(&decision)
        });
    // Which way the setting tells is not asked.
    let alone = Concordance::of(&by_setting).area().map_or(0.5, |area| area.max(1.0 - area));
    let all = by_metric.iter().flatten();
    let (successes, count) = (all.clone().filter(|run| run.success).count(), all.count());
    let mut note = format!("{successes} of {count} runs of {} models with `{outcome}`", models.len());
    if decision == Decision::Inconclusive {
        let _ = write!(note, "; the interval is {:.3} wide and contains {area}", estimate.decision.width());
    }
    Ok(Effect {
        row: Row {
            name: place_name(place),
            model: metric.clone(),
            against: ladder.map_or_else(|| "0.5".to_owned(), |key| format!("{key} alone")),
            effect: estimate.value,
            low: estimate.interval95.low,
            high: estimate.interval95.high,
            decision_low: estimate.decision.low,
            decision_high: estimate.decision.high,
            smallest_detectable: estimate.smallest_detectable,
            units: estimate.units,
            decision: shown_decision(decision),
            fragile,
            left: estimate.value,
            right: alone,
            times: 1.0,
        },
        order: None,
        note,
    })
}

/// Times of a training step: how many times faster `model` is than `against`.
fn step_time(
    tables: &Tables,
    task: &str,
    model: &str,
    against: &str,
    place: &Place,
    margin: f64,
    level: f64,
) -> Result<Effect, String> {
    let (ours, theirs) = (tables.step_seconds(task, model, place), tables.step_seconds(task, against, place));
    let logs: Vec<f64> = ours.iter().filter_map(|(seed, a)| theirs.get(seed).map(|b| (b / a).ln())).collect();
    if logs.is_empty() {
        return Err(format!("no step times of {model} and {against} at {}", place_name(place)));
    }
    let estimate = mean(&logs, level, 0.0).map_err(|error| error.to_string())?;
    let decide = |estimate: Estimate| Decision::of(estimate.decision, margin.ln());
    let mut decision = decide(estimate);
    let fragile =
        is_fragile(&logs, decision, |rest| mean(rest, level, 0.0).map_or(Decision::Inconclusive, decide));
    let mut notes = Vec::new();
    let too_few = logs.len() < MINIMUM_REPEATS;
    if too_few {
        notes.push(format!(
            "{} clean repeats of both, {MINIMUM_REPEATS} are needed; run again on an idle machine",
            logs.len()
        ));
    }
    // Repeats of two models have nothing in common but their number, so they are not paired.
    let pytorch =
        |model| -> Vec<f64> { tables.pytorch_seconds(model, place).into_iter().map(f64::ln).collect() };
    let (slow, fast) = (pytorch(against), pytorch(model));
    let enough = slow.len().min(fast.len()) >= MINIMUM_REPEATS;
    if let (true, Ok(theirs)) = (enough, welch(&slow, &fast, level, 0.0)) {
        let ratio = theirs.from_scale(statistics::Scale::Log);
        let said = format!(
            "with PyTorch's step times {:.2} [{:.2}, {:.2}]",
            ratio.value, ratio.interval95.low, ratio.interval95.high
        );
        notes.push(said);
        if !too_few && discriminant(&decide(theirs)) != discriminant(&decision) {
            decision = Decision::Inconclusive;
            notes.push("depends on the implementation".to_owned());
        }
    } else {
        decision = Decision::Inconclusive;
        notes.push(format!("fewer than {MINIMUM_REPEATS} step times of PyTorch to judge beside ours"));
    }
    if too_few {
        decision = Decision::Inconclusive;
    }
    let shown = estimate.from_scale(statistics::Scale::Log);
    let mean_of = |values: &BTreeMap<u64, f64>| values.values().sum::<f64>() / values.len() as f64;
    Ok(Effect {
        row: Row {
            name: place_name(place),
            model: model.to_owned(),
            against: against.to_owned(),
            effect: shown.value,
            low: shown.interval95.low,
            high: shown.interval95.high,
            decision_low: shown.decision.low,
            decision_high: shown.decision.high,
            smallest_detectable: estimate.smallest_detectable.exp(),
            units: logs.len(),
            decision: shown_decision(decision),
            fragile,
            left: mean_of(&ours),
            right: mean_of(&theirs),
            times: 1.0,
        },
        order: None,
        note: notes.join("; "),
    })
}

/// The values of one side.
#[derive(Clone)]
enum Measured {
    /// A value a seed, with the observations behind it.
    Seeds(BTreeMap<u64, (f64, u64)>),
    /// Values a seed and block.
    Blocks(BTreeMap<u64, BTreeMap<String, f64>>),
    /// A number that a rule names.
    Constant(f64),
}

impl Measured {
    /// Whole test scores where there are any, blocks of the test text otherwise.
    fn of(tables: &Tables, query: &Query, split: &str) -> Self {
        let seeds = tables.by_seed(query);
        if seeds.is_empty() && split == "test" {
            Self::Blocks(tables.by_seed_and_block(query))
        } else {
            Self::Seeds(seeds)
        }
    }

    fn values(&self) -> Vec<f64> {
        match self {
            Self::Seeds(seeds) => seeds.values().map(|(value, _)| *value).collect(),
            Self::Blocks(seeds) => seeds.values().flat_map(BTreeMap::values).copied().collect(),
            Self::Constant(value) => vec![*value],
        }
    }

    fn all_positive(&self) -> bool {
        self.values().into_iter().all(|value| value > 0.0)
    }

    /// All values times a factor.
    fn times(mut self, factor: f64) -> Self {
        match &mut self {
            Self::Seeds(seeds) => seeds.values_mut().for_each(|(value, _)| *value *= factor),
            Self::Blocks(seeds) => {
                seeds.values_mut().flat_map(BTreeMap::values_mut).for_each(|value| *value *= factor);
            }
            Self::Constant(value) => *value *= factor,
        }
        self
    }

    /// Differences `[seed][block]` on a scale, over the seeds and blocks that both sides have.
    fn pair(&self, other: &Self, scale: impl Fn(f64) -> f64) -> Result<Vec<Vec<f64>>, &'static str> {
        let pairs: Vec<Vec<f64>> = match (self, other) {
            (Self::Seeds(left), Self::Seeds(right)) => left
                .iter()
                .filter_map(|(seed, (a, _))| right.get(seed).map(|(b, _)| vec![scale(*a) - scale(*b)]))
                .collect(),
            (Self::Seeds(left), Self::Constant(c)) => {
                left.values().map(|(value, _)| vec![scale(*value) - scale(*c)]).collect()
            }
            (Self::Blocks(left), Self::Blocks(right)) => left
                .iter()
                .filter_map(|(seed, blocks)| right.get(seed).map(|others| (blocks, others)))
                .map(|(blocks, others)| {
                    blocks
                        .iter()
                        .filter_map(|(block, a)| others.get(block).map(|b| scale(*a) - scale(*b)))
                        .collect()
                })
                .collect(),
            (Self::Blocks(left), Self::Constant(c)) => left
                .values()
                .map(|blocks| blocks.values().map(|value| scale(*value) - scale(*c)).collect())
                .collect(),
            _ => return Err("no comparable rows"),
        };
        if pairs.is_empty() { Err("no rows") } else { Ok(pairs) }
    }

    fn mean(&self) -> f64 {
        let average = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        match self {
            Self::Seeds(seeds) => average(seeds.values().map(|(value, _)| *value).collect()),
            Self::Blocks(seeds) => average(seeds.values().flat_map(BTreeMap::values).copied().collect()),
            Self::Constant(value) => *value,
        }
    }

    /// What the size of the evaluation set alone leaves, for scores that are rates.
    fn standard_error_floor(&self, scale: Scale) -> f64 {
        let Self::Seeds(seeds) = self else { return 0.0 };
        let count: u64 = seeds.values().map(|(_, count)| count).sum();
        let rate = self.mean();
        if count == 0 {
            return 0.0;
        }
        let error = proportion_standard_error(rate, usize::try_from(count).unwrap_or(usize::MAX));
        // To first order, the error of a logarithm is the relative error.
        if scale == Scale::Ratio { error / rate.max(f64::MIN_POSITIVE) } else { error }
    }
}

/// The arm that stands for several: the best on validation, never on test.
fn best_on_validation<'a>(
    tables: &Tables,
    task: &str,
    metric: &str,
    models: &'a [String],
    place: &Place,
) -> Result<&'a str, String> {
    if let [model] = models {
        return Ok(model);
    }
    let metric = chosen_by(metric);
    let mut best: Option<(&str, f64)> = None;
    for model in models {
        let score = tables.validation(task, model, metric, place).ok_or_else(|| {
            format!("no validation `{metric}` for {model} on {task} at {}", place_name(place))
        })?;
        let score = if larger_is_better(metric) { score } else { -score };
        if best.is_none_or(|(_, other)| score > other) {
            best = Some((model, score));
        }
    }
    best.map(|(model, _)| model).ok_or_else(|| "a part that names no model".to_owned())
}

fn oriented(estimate: Estimate, side: Side) -> Estimate {
    match side {
        Side::Above => estimate,
        Side::Below => estimate.reversed(),
    }
}

fn shown_decision(decision: Decision) -> RegimeDecision {
    match decision {
        Decision::Supported => RegimeDecision::Supported,
        Decision::Refuted(Refutation::Equivalent) => RegimeDecision::Equivalent,
        Decision::Refuted(Refutation::Reversed) => RegimeDecision::Reversed,
        Decision::Refuted(Refutation::TooSmall) => RegimeDecision::TooSmall,
        Decision::Inconclusive => RegimeDecision::Inconclusive,
    }
}

/// What an undecided interval lacks, in words.
fn lacking(estimate: &Estimate, margin: f64) -> String {
    let lack = shortfall(estimate, margin);
    match lack.units_needed {
        Some(units) => format!(
            "the interval is {:.3} wide, {:.3} and about {units} seeds would decide",
            lack.width, lack.width_needed
        ),
        None => format!("the interval is {:.3} wide and lies on the margin", lack.width),
    }
}

/// Whether leaving out some one unit gives another decision; refutations of any kind count as one.
fn is_fragile<U: Clone>(units: &[U], decision: Decision, decide: impl Fn(&[U]) -> Decision) -> bool {
    (0..units.len()).any(|left_out| {
        let rest = [&units[..left_out], &units[left_out + 1..]].concat();
        discriminant(&decide(&rest)) != discriminant(&decision)
    })
}
