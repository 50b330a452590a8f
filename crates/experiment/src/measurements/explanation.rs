//! Whether what a model says of its answers points at what decides them, and whether it is what the model goes by.
//!
//! Train or fit, score, then ask the model of each of the first test sequences how much each position speaks for the class that it
//! answers ([`sequence::Predictor::explanations`]); the first of its ways is called its `native` one. Beside them stands one that every
//! model has: `occlusion`, by how much the log-probability of that class falls where a neutral symbol takes the position's place. Of each:
//!
//! | metric | |
//! |---|---|
//! | `auroc-WAY` | the cause ranked among the other positions before the last: the area under the ROC curve, ties half |
//! | `bystander-above-WAY` | share of the sequences in which the bystander ranks above the cause, ties half |
//! | `deletion-WAY` | positions are replaced by the neutral symbol one after the other, the most relevant first: the mean probability of the class, before the first, between and after the last |
//!
//! The first two ask for the truth about the task, which a model that is wrong cannot tell; deletion asks for the truth about the model, and the less is
//! left, the better. `deletion-random` is that of a random order, and `auroc-at-random` the area of a position drawn at random, which is 0.5 whatever the
//! relevance. Of positions that are equally relevant a random one is deleted first.
//!
//! `permuted-attention` is the test of Jain and Wallace (2019): the weights of the last position in random order, in all layers and heads, twenty
//! times; by how much the probabilities of the classes move (total variation), the median of the twenty, the mean over sequences. Little says that the answer
//! does not need these weights.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use record::Settings;
use sequence::{Batch, Budget, Explanation, Grounds, Inputs, Predictor, Random, Stream};
use serde::{Deserialize, Serialize};

use super::importance::mean_area;
use super::trained::{self, Trained};
use super::{CellContext, Costs, MeasurementEntry, Schedule, TEST, Yield, Yielded, counted, curve};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "explanation",
    summary: "train or fit, then hold what the model says of its answers against what decides them",
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
    /// Updates at most; 0 measures at initialisation.
    updates: u64,
    /// Validation every so many updates; training ends when the task is solved.
    evaluate_every: u64,
    /// Test sequences whose answers are explained.
    sequences: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { updates: 1000, evaluate_every: 50, sequences: 64 }
    }
}

/// Ways to explain that some model has by itself, and those that all have.
const WAYS: [&str; 6] = [NATIVE, OCCLUSION, "gradient-times-input", "attention", "attention-rollout", "path"];
const NATIVE: &str = "native";
const OCCLUSION: &str = "occlusion";
const AT_RANDOM: &str = "auroc-at-random";
const DELETION_RANDOM: &str = "deletion-random";
const PERMUTED: &str = "permuted-attention";
const PERMUTATIONS: usize = 20;

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.sequences == 0 || config.evaluate_every == 0 {
        return Err("`sequences` and `evaluate-every` must be at least 1".to_owned());
    }
    if !facts.grounds {
        return Err(
            "explanation needs a task that knows what decides its answers, and what does not".to_owned()
        );
    }
    Ok(())
}

fn yields(_: &Settings, facts: &Facts) -> Vec<Yielded> {
    let of_ways = ["auroc", "bystander-above", "deletion"]
        .into_iter()
        .flat_map(|what| WAYS.map(|way| Yielded::new(TEST, format!("{what}-{way}"))));
    let mut all: Vec<Yielded> = of_ways.collect();
    all.extend([AT_RANDOM, DELETION_RANDOM, PERMUTED].map(|metric| Yielded::new(TEST, metric)));
    all.extend(trained::yields(facts));
    all
}

/// Training as elsewhere; each sequence is predicted some 150 times as a whole, where a test predicts a thousand once.
fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let cost = cost(&Settings::new());
    let evaluations = config.updates as f64 / config.evaluate_every.max(1) as f64 + 2.0;
    let explained = cost.test * config.sequences as f64 * 0.15;
    config.updates as f64 * cost.update + evaluations * cost.validation + cost.test + explained
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let budget = Budget { updates: config.updates, evaluate_every: config.evaluate_every };
    let trained = Trained::new(context, budget)?;
    let batch = trained.examples(config.sequences);
    let Trained { task, fit, outcome, mut rows, .. } = trained;
    let (none, seed) = (Settings::new(), context.cell.seed);

    let grounds = task.grounds(&batch).ok_or_else(|| {
        ExperimentError::Cell(format!("what decides an answer of `{}` is not known", task.name()))
    })?;
    let mut random = Random::new(seed, Stream::Sampling);
    for (metric, value) in measured(fit.predictor.as_ref(), &batch, &grounds, &mut random) {
        rows.push(counted(&none, TEST, &metric, outcome, value, batch.size));
    }
    Ok(Yield { outcome, message: None, rows, curve: curve(&none, &fit), step_seconds: Vec::new() })
}

/// Every metric of every way that the model has.
fn measured(
    predictor: &dyn Predictor,
    batch: &Batch,
    grounds: &Grounds,
    random: &mut Random,
) -> BTreeMap<String, f64> {
    let before = answers(predictor, batch);
    let classes: Vec<u32> = before.iter().map(|answer| likeliest(answer)).collect();
    let occlusion =
        Explanation { name: OCCLUSION, relevance: occlusion(predictor, batch, grounds.neutral, &classes) };
    let own = predictor.explanations(batch, &classes);
    let drawn: Vec<usize> = batch.lengths.iter().map(|&length| random.index(length - 1)).collect();
    let mut found = BTreeMap::from([(AT_RANDOM.to_owned(), mean_area(batch, &occlusion.relevance, &drawn))]);
    for (place, Explanation { name, relevance }) in own.iter().chain([&occlusion]).enumerate() {
        let area = mean_area(batch, relevance, &grounds.causes);
        let above = share_above(batch, relevance, &grounds.bystanders, &grounds.causes);
        let left = deletion(predictor, batch, grounds.neutral, &classes, relevance, random);
        let native = (place == 0 && !own.is_empty()).then_some(NATIVE);
        for name in native.into_iter().chain([*name]) {
            found.insert(format!("auroc-{name}"), area);
            found.insert(format!("bystander-above-{name}"), above);
            found.insert(format!("deletion-{name}"), left);
        }
    }
    let nothing = vec![0.0; batch.size * batch.time];
    let left = deletion(predictor, batch, grounds.neutral, &classes, &nothing, random);
    found.insert(DELETION_RANDOM.to_owned(), left);
    if let Some(distance) = permuted(predictor, batch, &before, random) {
        found.insert(PERMUTED.to_owned(), distance);
    }
    found
}

/// The log-probabilities of the classes at the supervised position of each sequence.
fn answers(predictor: &dyn Predictor, batch: &Batch) -> Vec<Vec<f32>> {
    let predictions = predictor.predict_supervised(batch);
    let asked = (0..batch.size * batch.time).filter(|&position| batch.loss_mask[position]);
    asked.map(|position| predictions.at(position).to_vec()).collect()
}

/// The class with the largest log-probability, of several the first.
fn likeliest(answer: &[f32]) -> u32 {
    let better =
        |best: u32, class: u32| if answer[class as usize] > answer[best as usize] { class } else { best };
    (0..u32::try_from(answer.len()).expect("classes are few")).fold(0, better)
}

/// The batch with the neutral symbol at one position of each sequence, where there is one.
fn without(batch: &Batch, neutral: u32, positions: impl Iterator<Item = Option<usize>>) -> Batch {
    let mut changed = batch.clone();
    let Inputs::Tokens(tokens) = &mut changed.inputs else { unreachable!("a task with grounds has symbols") };
    for (sequence, position) in positions.enumerate() {
        if let Some(position) = position {
            tokens[sequence * batch.time + position] = neutral;
        }
    }
    changed
}

/// By how much the log-probability of each sequence's class falls without each position before the last: `[size, time]`.
fn occlusion(predictor: &dyn Predictor, batch: &Batch, neutral: u32, classes: &[u32]) -> Vec<f64> {
    let of_classes = |batch: &Batch| -> Vec<f64> {
        let all = answers(predictor, batch);
        all.iter().zip(classes).map(|(answer, &class)| f64::from(answer[class as usize])).collect()
    };
    let before = of_classes(batch);
    let mut falls = vec![0.0; batch.size * batch.time];
    for position in 0..batch.time {
        let inside = |length: &usize| (position + 1 < *length).then_some(position);
        let after = of_classes(&without(batch, neutral, batch.lengths.iter().map(inside)));
        for (sequence, (before, after)) in before.iter().zip(&after).enumerate() {
            falls[sequence * batch.time + position] = before - after;
        }
    }
    falls
}

/// The mean probability of each sequence's class while its positions before the last are taken away, the most relevant first.
fn deletion(
    predictor: &dyn Predictor,
    batch: &Batch,
    neutral: u32,
    classes: &[u32],
    relevance: &[f64],
    random: &mut Random,
) -> f64 {
    let orders: Vec<Vec<usize>> = batch
        .lengths
        .iter()
        .enumerate()
        .map(|(sequence, &length)| {
            let mut order: Vec<usize> = (0..length - 1).collect();
            random.shuffle(&mut order);
            let of = |position: usize| relevance[sequence * batch.time + position];
            order.sort_by(|&a, &b| of(b).total_cmp(&of(a)));
            order
        })
        .collect();
    let mut left = batch.clone();
    let (mut sum, mut count) = (0.0, 0);
    for step in 0..batch.time {
        for (answer, &class) in answers(predictor, &left).iter().zip(classes) {
            sum += f64::from(answer[class as usize]).exp();
            count += 1;
        }
        left = without(&left, neutral, orders.iter().map(|order| order.get(step).copied()));
    }
    sum / f64::from(count)
}

/// The mean over sequences of the median over permutations of half the sum of the changes of the classes' probabilities; `None` of a model without attention.
fn permuted(
    predictor: &dyn Predictor,
    batch: &Batch,
    before: &[Vec<f32>],
    random: &mut Random,
) -> Option<f64> {
    let mut distances = vec![Vec::with_capacity(PERMUTATIONS); batch.size];
    let asked: Vec<usize> =
        (0..batch.size * batch.time).filter(|&position| batch.loss_mask[position]).collect();
    for _ in 0..PERMUTATIONS {
        let predictions = predictor.predict_permuted(batch, random)?;
        for ((of_sequence, before), &position) in distances.iter_mut().zip(before).zip(&asked) {
            let pairs = before.iter().zip(predictions.at(position));
            let moved =
                pairs.map(|(before, after)| (f64::from(*before).exp() - f64::from(*after).exp()).abs());
            of_sequence.push(0.5 * moved.sum::<f64>());
        }
    }
    Some(distances.into_iter().map(median).sum::<f64>() / batch.size as f64)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { values[middle - 1].midpoint(values[middle]) } else { values[middle] }
}

/// What one value is worth against another that it should exceed.
fn points(own: f64, other: f64) -> f64 {
    match own.total_cmp(&other) {
        Ordering::Greater => 1.0,
        Ordering::Equal => 0.5,
        Ordering::Less => 0.0,
    }
}

/// The share of sequences in which the first position is more relevant than the second, ties half.
fn share_above(batch: &Batch, relevance: &[f64], of: &[usize], over: &[usize]) -> f64 {
    let of_sequence = |(sequence, (&of, &over)): (usize, (&usize, &usize))| {
        let values = &relevance[sequence * batch.time..][..batch.time];
        points(values[of], values[over])
    };
    of.iter().zip(over).enumerate().map(of_sequence).sum::<f64>() / batch.size as f64
}

#[cfg(test)]
mod tests {
    use sequence::{Predictions, Targets};

    use super::*;

    /// A weighted sum of three symbols of weights 0, 1 and 3, as the log-odds of the second class.
    struct Sum;

    const WEIGHTS: [f64; 3] = [0.0, 1.0, 3.0];

    impl Predictor for Sum {
        #[expect(clippy::cast_possible_truncation, reason = "predictions are f32")]
        fn predict(&self, batch: &Batch) -> Predictions {
            let Inputs::Tokens(tokens) = &batch.inputs else { unreachable!() };
            let answer = |row: &[u32]| {
                let odds: f64 = row.iter().map(|&token| WEIGHTS[token as usize]).sum();
                let first = -odds.exp().ln_1p();
                [first as f32, (first + odds) as f32].repeat(batch.time)
            };
            Predictions { outputs: 2, values: tokens.chunks(batch.time).flat_map(answer).collect() }
        }

        fn explanations(&self, batch: &Batch, classes: &[u32]) -> Vec<Explanation> {
            let Inputs::Tokens(tokens) = &batch.inputs else { unreachable!() };
            assert_eq!(classes, [1, 1]);
            let relevance = tokens.iter().map(|&token| WEIGHTS[token as usize]).collect();
            vec![Explanation { name: "path", relevance }]
        }

        fn body_parameters(&self) -> usize {
            0
        }

        fn total_parameters(&self) -> usize {
            3
        }
    }

    /// Two sequences of four positions, of which the last counts.
    fn batch() -> Batch {
        Batch {
            size: 2,
            time: 4,
            inputs: Inputs::Tokens(vec![0, 2, 1, 0, 1, 0, 2, 0]),
            source: None,
            targets: Targets::Classes(vec![0; 8]),
            loss_mask: [false, false, false, true].repeat(2),
            lengths: vec![4, 4],
        }
    }

    fn found(causes: [usize; 2], bystanders: [usize; 2]) -> BTreeMap<String, f64> {
        let grounds = Grounds { causes: causes.to_vec(), bystanders: bystanders.to_vec(), neutral: 0 };
        measured(&Sum, &batch(), &grounds, &mut Random::new(1, Stream::Sampling))
    }

    fn probability(odds: f64) -> f64 {
        1.0 / (1.0 + (-odds).exp())
    }

    #[test]
    fn the_heaviest_symbol_is_found_and_its_deletion_leaves_least() {
        let right = found([1, 2], [2, 0]);
        for way in ["native", "occlusion", "path"] {
            assert_eq!(right[&format!("auroc-{way}")], 1.0, "{way}");
            assert_eq!(right[&format!("bystander-above-{way}")], 0.0, "{way}");
            // By hand: log-odds 4, then 1 without the heaviest, then 0, then still 0.
            let by_hand = (probability(4.0) + probability(1.0) + 0.5 + 0.5) / 4.0;
            assert!((right[&format!("deletion-{way}")] - by_hand).abs() < 1e-6, "{way}");
        }
        assert!(right["deletion-random"] > right["deletion-native"]);
        assert!(!right.contains_key("permuted-attention") && !right.contains_key("auroc-attention"));
        // The other way round.
        let wrong = found([2, 0], [1, 2]);
        assert_eq!((wrong["auroc-native"], wrong["bystander-above-native"]), (0.5, 1.0));
    }

    #[test]
    fn what_is_neutral_already_has_no_occlusion() {
        let falls = occlusion(&Sum, &batch(), 0, &[1, 1]);
        assert_eq!((falls[0], falls[5]), (0.0, 0.0));
        // By hand: from log-odds 4 to 1. The last position is left alone.
        assert!((falls[1] - (probability(4.0) / probability(1.0)).ln()).abs() < 1e-6);
        assert_eq!((falls[3], falls[7]), (0.0, 0.0));
    }

    #[test]
    fn a_position_at_random_has_an_area_of_one_half() {
        let batch = batch();
        let relevance = [0.1, 0.5, 0.3, 9.0, 0.2, 0.2, 0.2, 9.0];
        let mean: f64 = (0..3).map(|place| mean_area(&batch, &relevance, &[place, place])).sum::<f64>() / 3.0;
        assert!((mean - 0.5).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn medians_by_hand() {
        assert_eq!((median(vec![3.0, 1.0, 2.0]), median(vec![4.0, 1.0, 3.0, 2.0])), (2.0, 2.5));
    }

    #[test]
    fn a_task_without_grounds_is_refused() {
        let facts = crate::testing::facts();
        let message = check(&Settings::new(), &facts).unwrap_err();
        assert!(message.contains("knows what decides"), "{message}");
        assert!(check(&Settings::new(), &Facts { grounds: true, ..facts }).is_ok());
    }
}
