//! Naive Bayes: the class from what is seen, as if its parts were independent of each other within a class.
//!
//! ```text
//! P(class | x)  is proportional to  P(class) prod_i P(x_i | class)
//! ```
//!
//! Everything is counted; `smoothing` (a) is added to every count, so that no probability is 0 (Laplace 1814). With n
//! of N examples in a class, and k classes, P(class) = (n + prior-smoothing) / (N + k prior-smoothing). What is counted
//! depends on what an example is:
//!
//! | example | P(part given class) |
//! |---|---|
//! | symbols, `event = "multinomial"` | each n-gram is a draw: (m + a) / (M + a V), m its values in the class, M those of all V n-grams |
//! | symbols, `event = "bernoulli"` | each of the V n-grams is there or not: (m + a) / (n + 2 a), m the examples of the class that have it |
//! | a category of L | (m + a) / (n + a L), m the examples of the class that have it |
//! | a real number | normal, with mean and variance of the class; 1e-9 of the largest variance is added to each |
//! | a real number, `intervals = k` | that of the interval that it lies in, one of k with equal shares of the training values, counted like a category |
//!
//! Both events are those of McCallum and Nigam (1998). A missing value is left out of the product and of the counts: for a
//! model of the joint distribution that is its exact marginal, if the values are missing for no reason that matters.
//!
//! Smoothing is a prior: of a column of L categories, a L draws that were never made, as many of each (a flat Dirichlet prior of
//! strength a L), or in the shares that `towards` names. The smoothed frequencies are the expectation under the posterior, and the
//! probability of the next draw.
//!
//! With `unlabelled = "learn"`, examples whose class is not told are learnt from by expectation maximisation (Nigam et al. 2000): each counts in
//! every class with the probability that the model gives the class, times `unlabelled-weight`, and the model is counted again,
//! from the labelled examples alone at first, until no probability moves by more than 1e-4 or 500 times. No iteration lowers
//! the log-posterior, in which each of these examples has its weight.

use sequence::{
    Batch, Column, Dataset, Explanation, Fit, Generative, LearnError, Learner, LogDensities, Predictions,
    Predictor, Random, Run, Samples, Targets,
};
use serde::{Deserialize, Serialize};

use crate::examples::{
    ExampleInputs, Examples, Rows, Unlabelled, answers, check_prior, check_weight, drawn_from,
    log_normalised, log_sum, predictions, sampled, symbols, values,
};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::n_gram_bag::{BagConfig, GRADIENT_TIMES_INPUT, NGramBag, SparseRows};
use crate::{Counting, Offers, Reads};

const NAME: &str = "naive-bayes";

/// Of the largest variance of a column, what is added to each variance, so that none is 0.
const VARIANCE_SMOOTHING: f64 = 1e-9;

/// Iterations of expectation maximisation at most, and the change of a probability of a class at which it ends.
const ITERATIONS: usize = 500;
const CHANGE: f64 = 1e-4;

/// Settings of naive Bayes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct NaiveBayesConfig {
    /// Added to every count of a value within a class.
    pub(crate) smoothing: f64,
    /// For columns of categories: the share of the smoothing that each category gets; all the same where none are named.
    pub(crate) towards: Vec<f64>,
    /// Added to every count of a class.
    pub(crate) prior_smoothing: f64,
    /// Of two classes, the share of the second that answers assume; 0 keeps that of the training set.
    pub(crate) prior: f64,
    /// For columns of real numbers: intervals with equal shares of the training values, which are counted like categories
    /// (Dougherty, Kohavi and Sahami 1995); 0 takes a normal distribution a class.
    pub(crate) intervals: usize,
    /// For symbols: whether an n-gram is drawn, or is there or not.
    pub(crate) event: Event,
    /// For symbols: the longest n-gram.
    pub(crate) order: usize,
    /// For symbols drawn: whether repeats count.
    pub(crate) counts: bool,
    /// What becomes of rows whose class is not told.
    pub(crate) unlabelled: Unlabelled,
    /// What such a row counts, where the model learns from it; one whose class is told counts 1.
    pub(crate) unlabelled_weight: f64,
}

impl Default for NaiveBayesConfig {
    fn default() -> Self {
        Self {
            smoothing: 1.0,
            towards: Vec::new(),
            intervals: 0,
            prior_smoothing: 1.0,
            prior: 0.0,
            event: Event::Multinomial,
            order: 1,
            counts: false,
            unlabelled: Unlabelled::Refuse,
            unlabelled_weight: 1.0,
        }
    }
}

/// What happens when a sequence of symbols is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event {
    /// Each n-gram is a draw from the vocabulary.
    Multinomial,
    /// Each n-gram of the vocabulary is there or not.
    Bernoulli,
}

impl Counting for NaiveBayesConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "naive Bayes: counts of each feature within each class, as if features were independent";
    const CITATION: &'static str = "Maron 1961; McCallum and Nigam 1998";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::TrainingSet;
    const OFFERS: Offers = Offers { log_density: true, samples: true, completes: true, ..Offers::NOTHING };

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        BagConfig { order: self.order, counts: self.counts }.check(NAME)?;
        for (key, value) in [("smoothing", self.smoothing), ("prior-smoothing", self.prior_smoothing)] {
            if !(value.is_finite() && value >= 0.0) {
                let reason = format!("`{key}` is {value}, it must be 0 or more");
                return Err(LearnError::Setting { model: NAME, reason });
            }
        }
        check_prior(NAME, self.prior)?;
        check_shares(&self.towards)?;
        check_weight(NAME, self.unlabelled_weight)?;
        if self.intervals == 1 || self.intervals > 1_000 {
            let reason = format!("`intervals` is {}, it must be 0 or from 2 to 1000", self.intervals);
            return Err(LearnError::Setting { model: NAME, reason });
        }
        if self.event == Event::Bernoulli && self.counts {
            let reason = "`counts` has no meaning where an n-gram is there or not; leave it out".to_owned();
            return Err(LearnError::Setting { model: NAME, reason });
        }
        Ok(Box::new(NaiveBayes { config: self }))
    }
}

/// Checks shares of the smoothing.
fn check_shares(shares: &[f64]) -> Result<(), LearnError> {
    let sum: f64 = shares.iter().sum();
    if shares.is_empty() || (shares.iter().all(|share| *share > 0.0) && (sum - 1.0).abs() < 1e-6) {
        return Ok(());
    }
    let reason = format!("`towards` is {shares:?}, it must hold shares above 0 that sum to 1");
    Err(LearnError::Setting { model: NAME, reason })
}

pub(crate) struct NaiveBayes {
    pub(crate) config: NaiveBayesConfig,
}

impl NaiveBayes {
    pub(crate) fn count(&self, examples: &Examples) -> Counted {
        let nothing = Rows { width: 0, values: Vec::new() };
        self.count_both(examples, &nothing, &[])
    }

    /// Counts the examples, and rows that belong to each class by a share of their own.
    fn count_both(&self, examples: &Examples, others: &Rows, shares: &[Vec<f64>]) -> Counted {
        let NaiveBayesConfig { smoothing, prior_smoothing, prior, intervals, event, order, counts, .. } =
            self.config;
        let mut class_counts: Vec<f64> =
            examples.class_counts().into_iter().map(|count| count as f64).collect();
        for of_row in shares {
            class_counts.iter_mut().zip(of_row).for_each(|(count, share)| *count += share);
        }
        let all = class_counts.iter().sum::<f64>() + prior_smoothing * examples.classes as f64;
        let log_priors = match (examples.classes, prior > 0.0) {
            (2, true) => vec![(1.0 - prior).ln(), prior.ln()],
            _ => class_counts.iter().map(|count| ((count + prior_smoothing) / all).ln()).collect(),
        };
        let (likelihood, additions) = match &examples.inputs {
            ExampleInputs::Symbols(sequences) => {
                let (bag, rows) = NGramBag::fit(BagConfig { order, counts }, sequences);
                let additions = rows.features.len();
                let weights = match event {
                    Event::Multinomial => multinomial(&rows, examples, bag.len(), smoothing),
                    Event::Bernoulli => bernoulli(&rows, examples, bag.len(), smoothing),
                };
                (Likelihood::Bag { bag, weights }, additions)
            }
            ExampleInputs::Rows(rows) => {
                let columns = examples.columns.iter().enumerate().map(|(column, holds)| {
                    let told = rows.iter().map(|row| row[column]).zip(&examples.labels);
                    let told = told.map(|(value, &class)| (value, class, 1.0));
                    let shared = others.iter().zip(shares).flat_map(|(row, shares)| {
                        shares.iter().enumerate().map(|(class, &share)| (row[column], class, share))
                    });
                    let seen = told.chain(shared).filter(|(value, _, _)| !value.is_nan());
                    match *holds {
                        Column::Category { levels } => ColumnLikelihood::Category(log_shares(
                            seen,
                            &self.before(levels),
                            examples.classes,
                        )),
                        Column::Real if intervals > 0 => {
                            counted_by_interval(seen, intervals, smoothing, examples.classes)
                        }
                        Column::Real => normal(seen, examples.classes),
                    }
                });
                let mut columns: Vec<ColumnLikelihood> = columns.collect();
                floor_variances(&mut columns);
                (Likelihood::Columns(columns), rows.values.len())
            }
        };
        let additions = additions + others.values.len() * examples.classes;
        Counted { classes: examples.classes, log_priors, likelihood, additions: additions as u64 }
    }

    /// What each of so many categories counts before any is seen.
    fn before(&self, levels: usize) -> Vec<f64> {
        let strength = self.config.smoothing;
        match self.config.towards.len() {
            0 => vec![strength; levels],
            _ => self.config.towards.iter().map(|share| strength * levels as f64 * share).collect(),
        }
    }

    /// One iteration: what the classes of the others are under a model, and the model that is counted with them.
    fn step(&self, old: &Counted, examples: &Examples, others: &Rows) -> (Counted, Vec<Vec<f64>>) {
        let weight = self.config.unlabelled_weight;
        let of_row = |joint: Vec<f64>| -> Vec<f64> {
            log_normalised(joint).into_iter().map(|log| weight * log.exp()).collect()
        };
        let shares: Vec<Vec<f64>> = old.joints_of_rows(others).into_iter().map(of_row).collect();
        (self.count_both(examples, others, &shares), shares)
    }

    /// Expectation maximisation with rows whose class is not told.
    fn learn_from(&self, examples: &Examples, others: &Rows) -> Counted {
        let mut counted = self.count(examples);
        let mut additions = counted.additions;
        let mut before: Vec<Vec<f64>> = Vec::new();
        for _ in 0..ITERATIONS {
            let (next, shares) = self.step(&counted, examples, others);
            additions += next.additions;
            counted = next;
            let pairs = shares.iter().flatten().zip(before.iter().flatten());
            let change = pairs.map(|(now, before)| (now - before).abs()).fold(0.0, f64::max);
            if !before.is_empty() && change <= CHANGE * self.config.unlabelled_weight {
                break;
            }
            before = shares;
        }
        Counted { additions, ..counted }
    }
}

/// Log-weights of each feature and class, and what each class starts from.
#[derive(Clone, Debug)]
struct Weights {
    /// `[features, classes]`.
    weights: Vec<f64>,
    /// One a class.
    starts: Vec<f64>,
}

/// The sum of the values of each feature in each class, `[features, classes]`.
fn sums(rows: &SparseRows, examples: &Examples, features: usize) -> Vec<f64> {
    let mut sums = vec![0.0; features * examples.classes];
    for (row, &class) in examples.labels.iter().enumerate() {
        for (feature, value) in rows.row(row) {
            sums[feature * examples.classes + class] += value;
        }
    }
    sums
}

fn multinomial(rows: &SparseRows, examples: &Examples, features: usize, smoothing: f64) -> Weights {
    let classes = examples.classes;
    let mut weights = sums(rows, examples, features);
    let mut totals = vec![smoothing * features as f64; classes];
    for of_feature in weights.chunks_exact(classes) {
        totals.iter_mut().zip(of_feature).for_each(|(total, sum)| *total += sum);
    }
    for of_feature in weights.chunks_exact_mut(classes) {
        for (weight, total) in of_feature.iter_mut().zip(&totals) {
            *weight = ((*weight + smoothing) / total).ln();
        }
    }
    Weights { weights, starts: vec![0.0; classes] }
}

/// A feature that is there adds log p - log (1 - p) to the sum of log (1 - p) over all features.
fn bernoulli(rows: &SparseRows, examples: &Examples, features: usize, smoothing: f64) -> Weights {
    let classes = examples.classes;
    let class_counts = examples.class_counts();
    let mut weights = sums(rows, examples, features);
    let mut starts = vec![0.0; classes];
    for of_feature in weights.chunks_exact_mut(classes) {
        for (class, weight) in of_feature.iter_mut().enumerate() {
            let there = (*weight + smoothing) / (class_counts[class] as f64 + 2.0 * smoothing);
            let absent = (1.0 - there).ln();
            starts[class] += absent;
            *weight = there.ln() - absent;
        }
    }
    Weights { weights, starts }
}

/// `before` is what each category counts in every class before any is seen.
fn log_shares(seen: impl Iterator<Item = (f64, usize, f64)>, before: &[f64], classes: usize) -> Vec<f64> {
    let mut weights: Vec<f64> = before.iter().flat_map(|&count| vec![count; classes]).collect();
    let mut totals = vec![before.iter().sum::<f64>(); classes];
    for (value, class, share) in seen {
        weights[level(value) * classes + class] += share;
        totals[class] += share;
    }
    for of_level in weights.chunks_exact_mut(classes) {
        of_level.iter_mut().zip(&totals).for_each(|(weight, total)| *weight = (*weight / total).ln());
    }
    weights
}

/// Counts how often the values of each class fall into each of so many intervals with equal shares of all values, or fewer where values
/// are equal.
fn counted_by_interval(
    seen: impl Iterator<Item = (f64, usize, f64)> + Clone,
    intervals: usize,
    smoothing: f64,
    classes: usize,
) -> ColumnLikelihood {
    let mut values: Vec<f64> = seen.clone().map(|(value, _, _)| value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> =
        (1..intervals).filter_map(|edge| values.get(edge * values.len() / intervals).copied()).collect();
    edges.dedup();
    let counted = seen.map(|(value, class, share)| (interval(&edges, value) as f64, class, share));
    let weights = log_shares(counted, &vec![smoothing; edges.len() + 1], classes);
    ColumnLikelihood::Interval { edges, weights }
}

/// The number of the interval of a value, from 0; an edge belongs to what lies above it.
fn interval(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|edge| *edge <= value)
}

/// The number of a category.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a category is a small whole number"
)]
fn level(value: f64) -> usize {
    value as usize
}

fn normal(seen: impl Iterator<Item = (f64, usize, f64)> + Clone, classes: usize) -> ColumnLikelihood {
    let mut counts = vec![0.0; classes];
    let mut means = vec![0.0; classes];
    for (value, class, share) in seen.clone() {
        counts[class] += share;
        means[class] += share * value;
    }
    means.iter_mut().zip(&counts).for_each(|(mean, count)| *mean /= divisor(*count));
    let mut variances = vec![0.0; classes];
    let (mut all, mut square, mut sum) = (0.0, 0.0, 0.0);
    for (value, class, share) in seen {
        variances[class] += share * (value - means[class]).powi(2);
        (all, square, sum) = (all + share, square + share * (value * value), sum + share * value);
    }
    variances.iter_mut().zip(&counts).for_each(|(variance, count)| *variance /= divisor(*count));
    let all = f64::max(all, 1.0);
    let of_column = (square / all - (sum / all).powi(2)).max(0.0);
    ColumnLikelihood::Normal { means, variances, of_column }
}

/// What sums over so much are divided by: 1 where there is nothing.
fn divisor(count: f64) -> f64 {
    if count > 0.0 { count } else { 1.0 }
}

/// Adds [`VARIANCE_SMOOTHING`] of the largest variance of a column to each variance.
fn floor_variances(columns: &mut [ColumnLikelihood]) {
    let of_column = |column: &ColumnLikelihood| match column {
        ColumnLikelihood::Normal { of_column, .. } => *of_column,
        ColumnLikelihood::Category(_) | ColumnLikelihood::Interval { .. } => 0.0,
    };
    let floor = VARIANCE_SMOOTHING * columns.iter().map(of_column).fold(0.0, f64::max);
    for column in columns {
        if let ColumnLikelihood::Normal { variances, .. } = column {
            for variance in variances {
                *variance = (*variance + floor).max(f64::MIN_POSITIVE);
            }
        }
    }
}

impl Learner for NaiveBayes {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let (examples, others) = Examples::told_and_others(data, NAME, self.config.unlabelled)?;
        if self.config.prior > 0.0 && examples.classes != 2 {
            let reason = format!(
                "`prior` is the share of the second of two classes, and here are {}",
                examples.classes
            );
            return Err(LearnError::Unsuitable { model: NAME, reason });
        }
        let named = self.config.towards.len();
        let differs = |column: &Column| *column != Column::Category { levels: named };
        if named > 0 && (examples.columns.is_empty() || examples.columns.iter().any(differs)) {
            let reason = format!(
                "`towards` names {named} shares, and only columns of {named} categories can be smoothed so"
            );
            return Err(LearnError::Unsuitable { model: NAME, reason });
        }
        let counted = match &others {
            Some(others) => self.learn_from(&examples, others),
            None => self.count(&examples),
        };
        let additions = counted.additions;
        Ok(Fit { multiply_adds: additions, ..fit_without_updates(Box::new(counted), data, run) })
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        crate::examples::bytes(data) + validation_bytes(data)
    }
}

/// Fitted naive Bayes.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    classes: usize,
    log_priors: Vec<f64>,
    likelihood: Likelihood,
    /// Values that were added up.
    additions: u64,
}

#[derive(Clone, Debug)]
enum Likelihood {
    Bag { bag: NGramBag, weights: Weights },
    Columns(Vec<ColumnLikelihood>),
}

/// Of one column, what it adds to the log-probability of each class.
#[derive(Clone, Debug)]
enum ColumnLikelihood {
    /// `[levels, classes]`.
    Category(Vec<f64>),
    /// Where one interval ends and the next begins, and `[intervals, classes]`.
    Interval { edges: Vec<f64>, weights: Vec<f64> },
    /// One a class; of the column, whatever the class, the variance.
    Normal { means: Vec<f64>, variances: Vec<f64>, of_column: f64 },
}

impl ColumnLikelihood {
    /// The probability of each level in a class; none for real numbers.
    fn levels(&self, class: usize, classes: usize) -> Vec<f64> {
        match self {
            Self::Category(weights) => {
                weights.iter().skip(class).step_by(classes).map(|log| log.exp()).collect()
            }
            Self::Interval { .. } | Self::Normal { .. } => Vec::new(),
        }
    }

    fn add(&self, value: f64, scores: &mut [f64]) {
        if value.is_nan() {
            return;
        }
        match self {
            Self::Category(weights) => {
                let of_level = weights.chunks_exact(scores.len()).nth(level(value)).unwrap_or_default();
                scores.iter_mut().zip(of_level).for_each(|(score, weight)| *score += weight);
            }
            Self::Interval { edges, weights } => {
                let of_interval = &weights[interval(edges, value) * scores.len()..];
                scores.iter_mut().zip(of_interval).for_each(|(score, weight)| *score += weight);
            }
            Self::Normal { means, variances, .. } => {
                for (score, (mean, variance)) in scores.iter_mut().zip(means.iter().zip(variances)) {
                    let log_scale = (std::f64::consts::TAU * variance).ln();
                    *score -= 0.5 * (log_scale + (value - mean).powi(2) / variance);
                }
            }
        }
    }
}

impl Counted {
    /// Natural log-probabilities of the classes for each example.
    pub(crate) fn log_probabilities(&self, inputs: &ExampleInputs) -> Vec<Vec<f64>> {
        self.log_joints(inputs).into_iter().map(answers).collect()
    }

    /// For each example and class the natural logarithm of the probability of both; for a bag that is drawn, up to a constant of
    /// the bag.
    fn log_joints(&self, inputs: &ExampleInputs) -> Vec<Vec<f64>> {
        match (&self.likelihood, inputs) {
            (Likelihood::Bag { bag, weights }, ExampleInputs::Symbols(sequences)) => {
                let rows = bag.rows(sequences);
                let of_row = |row| {
                    let mut scores: Vec<f64> = self
                        .log_priors
                        .iter()
                        .zip(&weights.starts)
                        .map(|(prior, start)| prior + start)
                        .collect();
                    for (feature, value) in rows.row(row) {
                        let of_feature = &weights.weights[feature * self.classes..][..self.classes];
                        scores
                            .iter_mut()
                            .zip(of_feature)
                            .for_each(|(score, weight)| *score += value * weight);
                    }
                    scores
                };
                (0..rows.len()).map(of_row).collect()
            }
            (Likelihood::Columns(_), ExampleInputs::Rows(rows)) => self.joints_of_rows(rows),
            _ => unreachable!("what is predicted is of the kind that was fitted"),
        }
    }

    fn joints_of_rows(&self, rows: &Rows) -> Vec<Vec<f64>> {
        let of_row = |row: &[f64]| {
            let mut scores = self.log_priors.clone();
            self.columns().iter().zip(row).for_each(|(column, &value)| column.add(value, &mut scores));
            scores
        };
        rows.iter().map(of_row).collect()
    }
}

impl Predictor for Counted {
    fn predict(&self, batch: &Batch) -> Predictions {
        let inputs = match &self.likelihood {
            Likelihood::Bag { .. } => ExampleInputs::Symbols(symbols(batch)),
            Likelihood::Columns(columns) => {
                ExampleInputs::Rows(Rows { width: columns.len(), values: values(batch) })
            }
        };
        let mut answers = self.log_probabilities(&inputs).into_iter();
        predictions(batch, self.classes, |_| answers.next().unwrap_or_default())
    }

    /// Of rows; the probability of a bag of words depends on how it is drawn, and that of a value on where in its interval it lies.
    fn log_joint(&self, batch: &Batch) -> Option<Vec<f64>> {
        let (Likelihood::Columns(columns), Targets::Classes(classes)) = (&self.likelihood, &batch.targets)
        else {
            return None;
        };
        self.generative()?;
        let inputs = ExampleInputs::Rows(Rows { width: columns.len(), values: values(batch) });
        let of_class = |(joints, &class): (Vec<f64>, &u32)| joints[class as usize];
        Some(self.log_joints(&inputs).into_iter().zip(classes).map(of_class).collect())
    }

    /// The log-likelihood ratio of each n-gram, which with the prior is, of two classes and drawn n-grams, the log-odds.
    fn explanations(&self, batch: &Batch, classes: &[u32]) -> Vec<Explanation> {
        let Likelihood::Bag { bag, weights } = &self.likelihood else { return Vec::new() };
        let weight = |feature: usize, class: usize| weights.weights[feature * self.classes + class];
        let relevance = bag.relevance_for(batch, classes, self.classes, weight);
        vec![Explanation { name: GRADIENT_TIMES_INPUT, relevance }]
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        let of_column = |column: &ColumnLikelihood| match column {
            ColumnLikelihood::Category(weights) => weights.len(),
            ColumnLikelihood::Interval { edges, weights } => edges.len() + weights.len(),
            ColumnLikelihood::Normal { means, .. } => 2 * means.len(),
        };
        self.classes
            + match &self.likelihood {
                Likelihood::Bag { weights, .. } => weights.weights.len(),
                Likelihood::Columns(columns) => columns.iter().map(of_column).sum(),
            }
    }

    /// Of rows; how a bag of words was drawn is not known, nor where in an interval a value lies.
    fn generative(&self) -> Option<&dyn Generative> {
        let Likelihood::Columns(columns) = &self.likelihood else { return None };
        let has_intervals = columns.iter().any(|column| matches!(column, ColumnLikelihood::Interval { .. }));
        (!has_intervals).then_some(self)
    }
}

impl Counted {
    fn columns(&self) -> &[ColumnLikelihood] {
        match &self.likelihood {
            Likelihood::Columns(columns) => columns,
            Likelihood::Bag { .. } => &[],
        }
    }

    fn rows(&self, batch: &Batch) -> Rows {
        Rows { width: self.columns().len(), values: values(batch) }
    }
}

impl Generative for Counted {
    fn log_densities(&self, batch: &Batch) -> LogDensities {
        let joints = self.log_joints(&ExampleInputs::Rows(self.rows(batch)));
        LogDensities::Exact(joints.iter().map(|joint| log_sum(joint)).collect())
    }

    fn sample(&self, size: usize, random: &mut Random) -> Samples {
        sampled(&self.log_priors, size, random, |class, random| {
            let mut draw = |column: &ColumnLikelihood| match column {
                ColumnLikelihood::Category(_) => {
                    drawn_from(&column.levels(class, self.classes), random) as f64
                }
                ColumnLikelihood::Interval { .. } => unreachable!("with intervals it is not generative"),
                ColumnLikelihood::Normal { means, variances, .. } => {
                    means[class] + variances[class].sqrt() * f64::from(random.normal())
                }
            };
            self.columns().iter().map(&mut draw).collect()
        })
    }

    /// Given the others, a class has a probability and a column depends on the class alone.
    #[expect(clippy::cast_possible_truncation, reason = "examples are f32")]
    fn completed(&self, batch: &Batch) -> Option<Vec<f32>> {
        let rows = self.rows(batch);
        let joints = self.log_joints(&ExampleInputs::Rows(self.rows(batch)));
        let mut completed = Vec::with_capacity(rows.values.len());
        for (row, joint) in rows.iter().zip(joints) {
            let all = log_sum(&joint);
            let shares: Vec<f64> = joint.iter().map(|log| (log - all).exp()).collect();
            for (column, &value) in self.columns().iter().zip(row) {
                let expected = || match column {
                    ColumnLikelihood::Category(_) => {
                        let of_class = |class| column.levels(class, self.classes);
                        let mut levels = vec![0.0; of_class(0).len()];
                        for (class, share) in shares.iter().enumerate() {
                            let of_class = of_class(class).into_iter();
                            levels.iter_mut().zip(of_class).for_each(|(sum, level)| *sum += share * level);
                        }
                        let likeliest = (0..levels.len()).max_by(|&a, &b| levels[a].total_cmp(&levels[b]));
                        likeliest.unwrap_or_default() as f64
                    }
                    ColumnLikelihood::Interval { .. } => unreachable!("with intervals it is not generative"),
                    ColumnLikelihood::Normal { means, .. } => {
                        means.iter().zip(&shares).map(|(mean, share)| mean * share).sum()
                    }
                };
                completed.push(if value.is_nan() { expected() } else { value } as f32);
            }
        }
        Some(completed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary() -> Vec<Column> {
        vec![Column::Category { levels: 2 }; 2]
    }

    fn rows(values: &[f64]) -> ExampleInputs {
        ExampleInputs::Rows(Rows { width: 2, values: values.to_vec() })
    }

    #[test]
    fn leaving_a_value_out_is_summing_over_it() {
        let examples = Examples {
            inputs: rows(&[0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0]),
            columns: binary(),
            labels: vec![0, 0, 1, 1, 1],
            classes: 2,
        };
        let counted = NaiveBayes { config: NaiveBayesConfig::default() }.count(&examples);
        let missing = &counted.log_joints(&rows(&[1.0, f64::NAN]))[0];
        let both = counted.log_joints(&rows(&[1.0, 0.0, 1.0, 1.0]));
        for class in 0..2 {
            let sum = both[0][class].exp() + both[1][class].exp();
            assert!((missing[class].exp() - sum).abs() < 1e-15, "{class}");
        }
        // By hand, smoothed by one: P(class 0) = 3 / 7, and within it the first value is 1 with 2 / 4, the second with 3 / 4.
        assert!((both[1][0].exp() - 3.0 / 7.0 * 0.5 * 0.75).abs() < 1e-15);
        // Everything that can be seen, with its class, sums to one.
        let all = counted.log_joints(&rows(&[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]));
        let sum: f64 = all.iter().flatten().map(|log| log.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-15, "{sum}");
    }

    #[test]
    fn real_numbers_may_be_counted_by_interval() {
        // By hand: a third of 1, 2, 3, 4, 5, 6 is below 3 and two thirds below 5; in class 0, smoothed by one, 3, 2 and 1 of 6.
        let examples = Examples {
            inputs: rows(&[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0, 5.0, 0.0, 6.0, 0.0]),
            columns: vec![Column::Real; 2],
            labels: vec![0, 0, 0, 1, 1, 1],
            classes: 2,
        };
        let config = NaiveBayesConfig { intervals: 3, ..NaiveBayesConfig::default() };
        let counted = NaiveBayes { config }.count(&examples);
        // The second column is 0 always: whatever edges there are, it says the same about both classes.
        for (value, shares) in
            [(-7.0, [3.0, 1.0]), (2.9, [3.0, 1.0]), (3.0, [2.0, 2.0]), (5.0, [1.0, 3.0]), (99.0, [1.0, 3.0])]
        {
            let answer = &counted.log_probabilities(&rows(&[value, 0.0]))[0];
            let expected = shares[0] / (shares[0] + shares[1]);
            assert!((answer[0].exp() - expected).abs() < 1e-12, "{value}: {answer:?}");
        }
        assert!(counted.generative().is_none());
        let wrong = NaiveBayesConfig { intervals: 1, ..NaiveBayesConfig::default() }.learner().err().unwrap();
        assert!(wrong.to_string().contains("`intervals` is 1"), "{wrong}");
    }

    #[test]
    fn the_prior_may_be_replaced() {
        let examples = Examples {
            inputs: rows(&[0.0, 1.0, 1.0, 0.0]),
            columns: binary(),
            labels: vec![0, 1],
            classes: 2,
        };
        let config = NaiveBayesConfig { prior: 0.2, ..NaiveBayesConfig::default() };
        let answer =
            &NaiveBayes { config }.count(&examples).log_probabilities(&rows(&[f64::NAN, f64::NAN]))[0];
        assert!((answer[1].exp() - 0.2).abs() < 1e-15, "{answer:?}");
        let wrong = NaiveBayesConfig { prior: 1.0, ..NaiveBayesConfig::default() }.learner().err().unwrap();
        assert!(wrong.to_string().contains("`prior` is 1"), "{wrong}");
    }

    #[test]
    fn smoothing_is_a_dirichlet_prior() {
        // By hand: strength 10 with shares 0.25 and 0.75; of 5 draws 4 are category 0: (2.5 + 4) / 15.
        let examples = Examples {
            inputs: ExampleInputs::Rows(Rows { width: 1, values: vec![0.0, 0.0, 1.0, 0.0, 0.0] }),
            columns: vec![Column::Category { levels: 2 }],
            labels: vec![0; 5],
            classes: 1,
        };
        let config =
            NaiveBayesConfig { smoothing: 5.0, towards: vec![0.25, 0.75], ..NaiveBayesConfig::default() };
        let counted = NaiveBayes { config }.count(&examples);
        let next = counted.joints_of_rows(&Rows { width: 1, values: vec![0.0, 1.0] });
        assert!((next[0][0].exp() - 6.5 / 15.0).abs() < 1e-15, "{next:?}");
        assert!((next[1][0].exp() - 8.5 / 15.0).abs() < 1e-15, "{next:?}");
    }

    /// Rows of a category and a real number of two classes, and their labels.
    fn mixed(count: usize, seed: u64) -> (Rows, Vec<usize>) {
        let mut random = Random::new(seed, sequence::Stream::Sampling);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let class = random.index(2);
            labels.push(class);
            let says = random.below(4) > 0;
            values.push(f64::from(u8::from((class == 1) == says)));
            values.push(class as f64 + f64::from(random.normal()));
        }
        (Rows { width: 2, values }, labels)
    }

    #[test]
    fn expectation_maximisation_never_lowers_the_posterior() {
        let (told, labels) = mixed(8, 1);
        let (others, _) = mixed(200, 2);
        let columns = vec![Column::Category { levels: 2 }, Column::Real];
        let examples = Examples { inputs: ExampleInputs::Rows(told), columns, labels, classes: 2 };
        for weight in [1.0, 0.1] {
            let config = NaiveBayesConfig { unlabelled_weight: weight, ..NaiveBayesConfig::default() };
            let learner = NaiveBayes { config };
            // Labelled examples, others by their weight, and the prior: one draw of each category and class.
            let posterior = |counted: &Counted| {
                let ExampleInputs::Rows(told) = &examples.inputs else { unreachable!() };
                let of_class = counted.joints_of_rows(told);
                let known: f64 =
                    of_class.iter().zip(&examples.labels).map(|(joint, class)| joint[*class]).sum();
                let unknown: f64 = counted.joints_of_rows(&others).iter().map(|joint| log_sum(joint)).sum();
                let ColumnLikelihood::Category(logs) = &counted.columns()[0] else { unreachable!() };
                let prior: f64 = counted.log_priors.iter().chain(logs).sum();
                known + weight * unknown + prior
            };
            let mut counted = learner.count(&examples);
            let first = posterior(&counted);
            let mut before = first;
            for iteration in 0..100 {
                counted = learner.step(&counted, &examples, &others).0;
                let now = posterior(&counted);
                assert!(now >= before - 1e-7, "{weight} {iteration}: {before} became {now}");
                before = now;
            }
            assert!(before > first + 0.1, "{first} {before}");
        }
    }

    #[test]
    fn rows_that_belong_to_one_class_for_certain_count_as_if_told() {
        let (rows, labels) = mixed(40, 3);
        let certain: Vec<Vec<f64>> =
            labels[10..].iter().map(|&class| vec![1.0 - class as f64, class as f64]).collect();
        let columns = vec![Column::Category { levels: 2 }, Column::Real];
        let part = |from: usize, to: usize| Rows { width: 2, values: rows.values[2 * from..2 * to].to_vec() };
        let examples = |to: usize| Examples {
            inputs: ExampleInputs::Rows(part(0, to)),
            columns: columns.clone(),
            labels: labels[..to].to_vec(),
            classes: 2,
        };
        let learner = NaiveBayes { config: NaiveBayesConfig::default() };
        let told = learner.count(&examples(40)).joints_of_rows(&rows);
        let shared = learner.count_both(&examples(10), &part(10, 40), &certain).joints_of_rows(&rows);
        for (a, b) in told.iter().flatten().zip(shared.iter().flatten()) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config: NaiveBayesConfig| config.learner().err().unwrap().to_string();
        let standard = NaiveBayesConfig::default();
        let negative = NaiveBayesConfig { smoothing: -1.0, ..standard.clone() };
        assert!(refusal(negative).contains("`smoothing` is -1"));
        assert!(refusal(NaiveBayesConfig { order: 9, ..standard.clone() }).contains("`order` is 9"));
        let shares = NaiveBayesConfig { towards: vec![0.5, 0.4], ..standard.clone() };
        assert!(refusal(shares).contains("`towards` is [0.5, 0.4]"));
        let weight = NaiveBayesConfig { unlabelled_weight: 0.0, ..standard.clone() };
        assert!(refusal(weight).contains("`unlabelled-weight` is 0"));
        let both = NaiveBayesConfig { event: Event::Bernoulli, counts: true, ..standard };
        assert!(refusal(both).contains("`counts` has no meaning"));
    }
}
