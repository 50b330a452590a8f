//! How well the groups that a model makes are those that the examples were drawn from, and what else it says of examples.
//!
//! | metric | |
//! |---|---|
//! | `adjusted-rand-index` | agreement of two groupings of the test examples by pairs (Hubert and Arabie 1985): 1 for the same, 0 on average for chance |
//! | `rand-index-of-truth` | the index of the group that is likeliest given the example, by the true distribution: the ceiling |
//! | `rand-index-at-random` | the index of the model's groups dealt out to the examples at random: the floor |
//! | `groups` | how many groups test examples were put into |
//! | `generative` | 1 if the model tells the density of an example and draws new ones |
//! | `exact-likelihood`, `draws` | 1 if it does the one, the other |
//! | `negative-log-likelihood` | nats a test example, of a model that can tell it |
//! | `two-sample-auc` | how well a classifier of nearest neighbours tells drawn examples from test examples, of a model that draws: 0.5 if not at all |
//!
//! The model is fitted to the training set, groups unseen, and groups the test examples.

use std::collections::BTreeMap;

use record::Settings;
use record::cell::Outcome;
use sequence::{InputKind, Random, Stream};
use serde::{Deserialize, Serialize};

use super::generation::{OFFERED, offered};
use super::{CellContext, Costs, MeasurementEntry, Schedule, TEST, Yield, Yielded, row};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "clustering",
    summary: "how well the groups that a model makes are those that examples were drawn from",
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

/// There is nothing to set.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {}

const INDEX: &str = "adjusted-rand-index";
const GROUPS: &str = "groups";
const OF_TRUTH: &str = "rand-index-of-truth";
const AT_RANDOM: &str = "rand-index-at-random";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let _: Config = parse(settings)?;
    if facts.groups {
        return Ok(());
    }
    Err("it needs a task that draws its examples from groups and knows them, and this one does not"
        .to_owned())
}

fn yields(_: &Settings, _: &Facts) -> Vec<Yielded> {
    let metrics = [INDEX, OF_TRUTH, AT_RANDOM, GROUPS].into_iter().chain(OFFERED);
    metrics.map(|metric| Yielded::new(TEST, metric)).collect()
}

fn seconds(_: &Settings, cost: &Costs) -> f64 {
    let cost = cost(&Settings::new());
    // The comparison of samples and examples takes the most.
    cost.validation + cost.test + 0.2
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let _: Config = context.settings()?;
    let none = Settings::new();
    let seed = context.cell.seed;
    let task = context.task(&none)?;
    let wrong = |what: &str| ExperimentError::Cell(format!("task `{}` {what}", task.name()));
    let groups = task.groups(seed).ok_or_else(|| wrong("does not know its groups"))?;
    let InputKind::Features { width } = task.interface().inputs else {
        return Err(wrong("has no rows of features"));
    };
    let test = task.test(seed).into_iter().find(|set| set.name == TEST);
    let test = test.ok_or_else(|| wrong("has no test examples"))?.batches;
    let learner = context.learner(&none, None)?;
    let predictor = context.fit_to(task.as_ref(), learner.as_ref(), seed)?.predictor;
    let found: Option<Vec<Vec<u32>>> = test.iter().map(|batch| predictor.groups(batch)).collect();
    let mut found = found.map(|found| found.concat()).ok_or_else(|| {
        ExperimentError::Cell(format!("model `{}` makes no groups of examples", context.cell.model.name))
    })?;

    let of = |metric: &str, value: f64| row(&none, TEST, metric, Outcome::Ok, value);
    let mut rows = vec![
        of(INDEX, adjusted_rand_index(&groups.drawn, &found)),
        of(OF_TRUTH, adjusted_rand_index(&groups.drawn, &groups.likeliest)),
        of(GROUPS, counted(&found).len() as f64),
    ];
    Random::new(seed, Stream::Order).shuffle(&mut found);
    rows.push(of(AT_RANDOM, adjusted_rand_index(&groups.drawn, &found)));
    rows.extend(offered(predictor.as_ref(), &test, width, seed));
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

/// How often each value occurs.
fn counted<T: Ord + Copy>(values: &[T]) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for &value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}

/// The pairs within all counts.
fn pairs<T>(counts: &BTreeMap<T, usize>) -> f64 {
    counts.values().map(|&count| (count * count.saturating_sub(1) / 2) as f64).sum()
}

/// Agreement of two groupings of the same examples. With a the pairs together in both, b and c those together in the one and in the
/// other, and n all pairs, chance has b c / n, and the index is (a - b c / n) / ((b + c) / 2 - b c / n).
fn adjusted_rand_index(one: &[u32], other: &[u32]) -> f64 {
    let both: Vec<(u32, u32)> = one.iter().copied().zip(other.iter().copied()).collect();
    let (together, of_one, of_other) = (pairs(&counted(&both)), pairs(&counted(one)), pairs(&counted(other)));
    let all = (both.len() * both.len().saturating_sub(1) / 2) as f64;
    let chance = of_one * of_other / all.max(1.0);
    let most = 0.5 * (of_one + of_other);
    // All in one group on both sides, or each in its own on both.
    if most <= chance { 1.0 } else { (together - chance) / (most - chance) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `crates/models/fixtures/structure.py`, from `sklearn.metrics.adjusted_rand_score`.
    #[test]
    fn the_index_is_that_of_scikit_learn() {
        let one = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2];
        for (other, expected) in [
            ([5, 5, 5, 3, 3, 3, 4, 4, 4, 4], 1.0),
            ([0, 0, 1, 1, 1, 1, 2, 2, 2, 0], 0.431_818_181_818_181_8),
            ([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], -0.25),
            ([0; 10], 0.0),
            ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0.0),
        ] {
            let found = adjusted_rand_index(&one, &other);
            assert!((found - expected).abs() < 1e-15, "{other:?}: {found} {expected}");
        }
        assert_eq!(adjusted_rand_index(&[1, 1], &[2, 2]), 1.0);
        assert_eq!(adjusted_rand_index(&[1, 2], &[2, 1]), 1.0);
    }

    #[test]
    fn a_task_without_groups_is_refused() {
        let message = check(&Settings::new(), &crate::testing::facts()).unwrap_err();
        assert!(message.contains("from groups"), "{message}");
    }
}
