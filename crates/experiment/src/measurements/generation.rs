//! What a model of examples is worth: how likely it finds new ones, and how what it draws compares with them.
//!
//! | metric | |
//! |---|---|
//! | `negative-log-likelihood` | nats a test example, of a model that can tell it |
//! | `likelihood-bound` | nats a test example that it is at most, of a model that can tell a bound |
//! | `exact-likelihood` | 1 if it can tell the likelihood, 0 if a bound or nothing |
//! | `energy-distance` | of samples and test examples (Szekely and Rizzo 2013): 0 for the same distribution |
//! | `two-sample-auc` | how well a classifier of nearest neighbours tells samples from test examples (Lopez-Paz and Oquab 2017): 0.5 if not at all |
//! | `nearer-than-new` | how often a sample is nearer to its nearest training example than a test example is to its own: 0.5 as new as those, 1 copies |
//! | `modes` | clusters of the task with at least [`COVERED`] samples within three deviations |
//! | `all-modes` | 1 if that is all of them |
//! | `quality` | share of samples within three deviations of a cluster |
//! | `mode-imbalance` | Kullback-Leibler divergence of the shares of those from even ones, in nats |
//! | `outlier-auc` | for each other test set, how well the density (of a model without one, what it is trained by) tells its examples from those of `test`; 0.5 if not at all |
//!
//! As many samples are drawn as there are test examples. The split `real` holds the same numbers for the validation examples in their place:
//! what a perfect model would have. What a model cannot tell reads not attempted.

use record::Settings;
use record::cell::{Outcome, Row};
use sequence::{
    Batch, Budget, Generative, InputKind, Inputs, LogDensities, Outcome as Ending, Predictor, Random,
    StopRule, Stream, Task,
};
use serde::{Deserialize, Serialize};

use super::{
    CellContext, Costs, FIT, MeasurementEntry, Schedule, TEST, VALIDATION, Yield, Yielded, counted, curve,
    row, scores,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "generation",
    summary: "train a model of examples, then compare what it draws with new ones",
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
    /// Updates, of a model that descends.
    updates: u64,
    /// Validation every so many updates.
    evaluate_every: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { updates: 5000, evaluate_every: 250 }
    }
}

/// The split of what real examples score in the place of drawn ones.
const REAL: &str = "real";
const LIKELIHOOD: &str = "negative-log-likelihood";
const BOUND: &str = "likelihood-bound";
const EXACT: &str = "exact-likelihood";
const OUTLIERS: &str = "outlier-auc";
const COMPARED: [&str; 7] = [
    "energy-distance",
    "two-sample-auc",
    "nearer-than-new",
    "modes",
    "all-modes",
    "quality",
    "mode-imbalance",
];
const OF_FIT: [&str; 3] = ["updates", "multiply-adds", "total-parameters"];

/// Samples that make a cluster count as covered, and how many deviations from it they are at most.
const COVERED: usize = 20;
const WITHIN: f32 = 3.0;

/// Neighbours of the classifier of samples and examples.
const NEIGHBOURS: usize = 15;

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.updates == 0 || config.evaluate_every == 0 {
        return Err("`updates` and `evaluate-every` must be at least 1".to_owned());
    }
    if facts.primary() != "own-loss" {
        return Err(
            "it needs a task that asks for a model of its examples, and this one asks for answers".to_owned()
        );
    }
    Ok(())
}

fn yields(_: &Settings, facts: &Facts) -> Vec<Yielded> {
    let mut all: Vec<Yielded> = [LIKELIHOOD, BOUND, EXACT].map(|metric| Yielded::new(TEST, metric)).into();
    for split in [TEST, REAL] {
        all.extend(COMPARED.map(|metric| Yielded::new(split, metric)));
    }
    let others = facts.test_sets.iter().filter(|set| *set != TEST);
    all.extend(others.map(|set| Yielded::new(set, OUTLIERS)));
    all.extend(facts.metrics.iter().map(|metric| Yielded::new(VALIDATION, *metric)));
    all.extend(OF_FIT.map(|metric| Yielded::new(FIT, metric)));
    all
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let cost = cost(&Settings::new());
    let evaluations = if cost.update == 0.0 { 0 } else { config.updates / config.evaluate_every.max(1) };
    // The comparisons take about a second.
    config.updates as f64 * cost.update + (evaluations + 2) as f64 * cost.validation + cost.test + 1.0
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let seed = context.cell.seed;
    let task = context.task(&none)?;
    let learner = context.learner(&none, None)?;
    let budget = Budget { updates: config.updates, evaluate_every: config.evaluate_every };
    let fit = context.fit(task.as_ref(), learner.as_ref(), budget, StopRule::Budget, None)?;
    let wrong = |message: String| ExperimentError::Cell(message);
    let generative = fit.predictor.generative().ok_or_else(|| {
        wrong(format!("model `{}` is no model of the examples themselves", context.cell.model.name))
    })?;
    let training = task
        .training_set(seed)
        .ok_or_else(|| wrong(format!("task `{}` has no training set", context.cell.task.name)))?;
    let InputKind::Features { width } = task.interface().inputs else {
        return Err(wrong(format!("task `{}` has no rows of features", context.cell.task.name)));
    };
    let outcome = match fit.outcome {
        Ending::Diverged { .. } => Outcome::Diverged,
        Ending::Finished | Ending::Solved { .. } => Outcome::Ok,
    };
    let tests = task.test(seed);
    let of_test = tests
        .iter()
        .find(|set| set.name == TEST)
        .ok_or_else(|| wrong(format!("task `{}` has no test set named `{TEST}`", context.cell.task.name)))?;

    let maybe = |split: &str, metric: &str, value: Option<f64>| match value {
        Some(value) => row(&none, split, metric, outcome, value),
        None => row(&none, split, metric, Outcome::NotAttempted, f64::NAN),
    };
    let mut rows = likelihoods(generative, &of_test.batches, &maybe);
    let real = flat(&of_test.batches);
    let ground = Ground { width, training: &flat(&training), real: &real, task: task.as_ref() };
    let mut random = Random::new(seed, Stream::Sampling);
    let samples = generative.sample(real.len() / width, &mut random).values;
    let fresh = flat(&task.validation(seed));
    for (split, samples) in [(TEST, &samples), (REAL, &fresh)] {
        let compared = ground.compare(samples);
        rows.extend(COMPARED.iter().zip(compared).map(|(metric, value)| maybe(split, metric, value)));
    }
    let inside = likeliness(fit.predictor.as_ref(), generative, &of_test.batches);
    for set in tests.iter().filter(|set| set.name != TEST) {
        let outside = likeliness(fit.predictor.as_ref(), generative, &set.batches);
        rows.push(maybe(&set.name, OUTLIERS, Some(auc(&inside, &outside))));
    }
    for score in scores(task.as_ref(), fit.predictor.as_ref(), &task.validation(seed)) {
        rows.push(counted(&none, VALIDATION, score.metric, outcome, score.value, score.count));
    }
    let of_fit = [fit.updates as f64, fit.multiply_adds as f64, fit.predictor.total_parameters() as f64];
    rows.extend(OF_FIT.iter().zip(of_fit).map(|(metric, value)| row(&none, FIT, metric, Outcome::Ok, value)));
    let curve = curve(&none, &fit);
    Ok(Yield { outcome, message: None, rows, curve, step_seconds: Vec::new() })
}

fn likelihoods(
    generative: &dyn Generative,
    batches: &[Batch],
    maybe: &dyn Fn(&str, &str, Option<f64>) -> Row,
) -> Vec<Row> {
    let told: Vec<LogDensities> = batches.iter().map(|batch| generative.log_densities(batch)).collect();
    let mean = |wanted: fn(&LogDensities) -> Option<&[f64]>| {
        let values: Option<Vec<&[f64]>> = told.iter().map(wanted).collect();
        values.map(|values| {
            let values = values.concat();
            -values.iter().sum::<f64>() / values.len() as f64
        })
    };
    let exact = mean(|told| match told {
        LogDensities::Exact(values) => Some(values),
        _ => None,
    });
    let bound = mean(|told| match told {
        LogDensities::LowerBound(values) => Some(values),
        _ => None,
    });
    let told = f64::from(u8::from(exact.is_some()));
    vec![maybe(TEST, LIKELIHOOD, exact), maybe(TEST, BOUND, bound), maybe(TEST, EXACT, Some(told))]
}

/// Examples that samples are compared with, where that is not what a measurement is about: comparing costs their square.
const COMPARED_WITH: usize = 1000;

/// What a model offers as one of the examples.
pub(super) const OFFERED: [&str; 5] = ["generative", EXACT, "draws", LIKELIHOOD, COMPARED[1]];

/// Whether a model tells the density of test examples and draws new ones, 1 or 0; whether each; and how good both are, where it does.
pub(super) fn offered(predictor: &dyn Predictor, test: &[Batch], width: usize, seed: u64) -> Vec<Row> {
    let none = Settings::new();
    let real = flat(test);
    let generative = predictor.generative();
    let tell = |generative: &dyn Generative| -> Option<Vec<f64>> {
        let told = test.iter().map(|batch| match generative.log_densities(batch) {
            LogDensities::Exact(values) => Some(values),
            LogDensities::LowerBound(_) | LogDensities::Unknown => None,
        });
        told.collect::<Option<Vec<_>>>().map(|values| values.concat())
    };
    let told = generative.and_then(tell);
    let real = &real[..real.len().min(COMPARED_WITH * width)];
    let draw = |generative: &dyn Generative| {
        generative.sample(real.len() / width, &mut Random::new(seed, Stream::Sampling)).values
    };
    let drawn = generative.map(draw);
    let yes = |holds: bool| Some(f64::from(u8::from(holds)));
    let values = [
        yes(told.is_some() && drawn.is_some()),
        yes(told.is_some()),
        yes(drawn.is_some()),
        told.map(|logs| -logs.iter().sum::<f64>() / logs.len() as f64),
        drawn.map(|drawn| two_sample_auc(real, &drawn, width)),
    ];
    let named = OFFERED.iter().zip(values).map(|(metric, value)| match value {
        Some(value) => row(&none, TEST, metric, Outcome::Ok, value),
        None => row(&none, TEST, metric, Outcome::NotAttempted, f64::NAN),
    });
    named.collect()
}

/// How likely the model finds each example, by its density or by what it is trained with in its place.
fn likeliness(predictor: &dyn Predictor, generative: &dyn Generative, batches: &[Batch]) -> Vec<f64> {
    let of_batch = |batch: &Batch| match generative.log_densities(batch) {
        LogDensities::Exact(values) | LogDensities::LowerBound(values) => values,
        LogDensities::Unknown => predictor.predict(batch).values.into_iter().map(f64::from).collect(),
    };
    batches.iter().flat_map(of_batch).collect()
}

/// All rows of batches, one after the other.
pub(super) fn flat(batches: &[Batch]) -> Vec<f32> {
    let values = batches.iter().flat_map(|batch| match &batch.inputs {
        Inputs::Features { values, .. } => values.as_slice(),
        Inputs::Tokens(_) => &[],
    });
    values.copied().collect()
}

/// What samples are compared with.
struct Ground<'a> {
    width: usize,
    training: &'a [f32],
    real: &'a [f32],
    task: &'a dyn Task,
}

impl Ground<'_> {
    /// The numbers of [`COMPARED`]; none for samples that are not finite, and none of clusters where the task has none.
    fn compare(&self, samples: &[f32]) -> [Option<f64>; COMPARED.len()] {
        if samples.iter().any(|value| !value.is_finite()) {
            return [None; COMPARED.len()];
        }
        let modes = self
            .task
            .clusters()
            .map(|(centres, deviation)| Modes::of(samples, &centres, deviation * WITHIN, self.width));
        let nearest = |rows: &[f32]| -> Vec<f64> {
            rows.chunks_exact(self.width).map(|row| neighbours(row, self.training, 1)[0].0).collect()
        };
        let covered = modes.as_ref().map(Modes::covered);
        [
            Some(models::energy_distance(self.real, samples, self.width)),
            Some(two_sample_auc(self.real, samples, self.width)),
            Some(auc(&nearest(self.real), &nearest(samples))),
            covered.map(|covered| covered as f64),
            modes
                .as_ref()
                .zip(covered)
                .map(|(modes, covered)| f64::from(u8::from(covered == modes.counts.len()))),
            modes.as_ref().map(|modes| modes.within() as f64 / (samples.len() / self.width) as f64),
            modes.as_ref().map(Modes::imbalance),
        ]
    }
}

/// How well samples are told from real rows. The classifier sees one half of each side, and tells the other halves apart by the share of samples
/// among the neighbours.
pub(super) fn two_sample_auc(real: &[f32], samples: &[f32], width: usize) -> f64 {
    let half = |rows: &[f32]| rows.len() / width / 2 * width;
    let (of_real, of_samples) = (half(real), half(samples));
    let seen = [&real[..of_real], &samples[..of_samples]].concat();
    let first_sample = of_real / width;
    let share = |row: &[f32]| {
        let near = neighbours(row, &seen, NEIGHBOURS);
        near.iter().filter(|(_, index)| *index >= first_sample).count() as f64 / near.len() as f64
    };
    let shares = |rows: &[f32]| -> Vec<f64> { rows.chunks_exact(width).map(share).collect() };
    auc(&shares(&samples[of_samples..]), &shares(&real[of_real..]))
}

/// The nearest rows, by their squared distance and index.
fn neighbours(row: &[f32], rows: &[f32], count: usize) -> Vec<(f64, usize)> {
    let squared =
        |other: &[f32]| f64::from(row.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f32>());
    let mut all: Vec<(f64, usize)> =
        rows.chunks_exact(row.len()).enumerate().map(|(index, other)| (squared(other), index)).collect();
    let count = count.min(all.len());
    let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    if count < all.len() {
        all.select_nth_unstable_by(count, order);
        all.truncate(count);
    }
    all
}

/// The probability that a value of `large` exceeds one of `small`, ties counting half (Mann and Whitney 1947).
pub(super) fn auc(large: &[f64], small: &[f64]) -> f64 {
    let mut sorted = small.to_vec();
    sorted.sort_by(f64::total_cmp);
    let above = |value: &f64| {
        let below = sorted.partition_point(|other| other < value);
        let up_to = sorted.partition_point(|other| other <= value);
        0.5 * (below + up_to) as f64
    };
    large.iter().map(above).sum::<f64>() / (large.len() * small.len()) as f64
}

/// How many samples each cluster has.
struct Modes {
    counts: Vec<usize>,
}

impl Modes {
    fn of(samples: &[f32], centres: &[f32], within: f32, width: usize) -> Self {
        let mut counts = vec![0; centres.len() / width];
        for sample in samples.chunks_exact(width) {
            let (squared, mode) = neighbours(sample, centres, 1)[0];
            if squared <= f64::from(within * within) {
                counts[mode] += 1;
            }
        }
        Self { counts }
    }

    fn covered(&self) -> usize {
        self.counts.iter().filter(|&&count| count >= COVERED).count()
    }

    fn within(&self) -> usize {
        self.counts.iter().sum()
    }

    fn imbalance(&self) -> f64 {
        let (all, modes) = (self.within().max(1) as f64, self.counts.len() as f64);
        let shares = self.counts.iter().filter(|count| **count > 0).map(|&count| count as f64 / all);
        shares.map(|share| share * (share * modes).ln()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_under_the_curve_is_the_probability_of_the_right_order() {
        assert_eq!(auc(&[2.0, 3.0], &[0.0, 1.0]), 1.0);
        assert_eq!(auc(&[0.0], &[1.0, 2.0]), 0.0);
        // By hand: of the pairs (1, 1), (1, 2), (3, 1), (3, 2) one is a tie and two are right.
        assert_eq!(auc(&[1.0, 3.0], &[1.0, 2.0]), 0.625);
    }

    #[test]
    fn modes_are_counted_where_samples_are_near() {
        // Around 0 and 10 on a line, within 1: 30 at 0.5, 10 at 9.5 and 5 that are at neither.
        let samples: Vec<f32> = [vec![0.5; 30], vec![9.5; 10], vec![5.0; 5]].concat();
        let modes = Modes::of(&samples, &[0.0, 10.0], 1.0, 1);
        assert_eq!((modes.counts.clone(), modes.covered(), modes.within()), (vec![30, 10], 1, 40));
        // By hand: 3/4 ln 3/2 + 1/4 ln 1/2.
        assert!((modes.imbalance() - (0.75 * 1.5_f64.ln() + 0.25 * 0.5_f64.ln())).abs() < 1e-12);
    }

    #[test]
    fn the_nearest_rows_are_found() {
        let near = neighbours(&[0.0, 0.0], &[3.0, 4.0, 1.0, 0.0, 0.0, 2.0], 2);
        let mut indices: Vec<usize> = near.iter().map(|(_, index)| *index).collect();
        indices.sort_unstable();
        assert_eq!(indices, [1, 2]);
        assert_eq!(neighbours(&[0.0, 0.0], &[3.0, 4.0], 1), [(25.0, 0)]);
    }
}
