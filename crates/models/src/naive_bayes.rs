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
//!
//! Both events are those of McCallum and Nigam (1998). A missing value is left out of the product and of the counts: for a
//! model of the joint distribution that is its exact marginal, if the values are missing for no reason that matters.

use sequence::{
    Batch, Column, Dataset, Fit, Generative, LearnError, Learner, LogDensities, Predictions, Predictor,
    Random, Run, Samples, Targets,
};
use serde::{Deserialize, Serialize};

use crate::examples::{
    ExampleInputs, Examples, Rows, answers, check_prior, drawn_from, log_sum, predictions, sampled, symbols,
    values,
};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::n_gram_bag::{BagConfig, NGramBag, SparseRows};
use crate::{Counting, Offers, Reads};

const NAME: &str = "naive-bayes";

/// Of the largest variance of a column, what is added to each variance, so that none is 0.
const VARIANCE_SMOOTHING: f64 = 1e-9;

/// Settings of naive Bayes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct NaiveBayesConfig {
    /// Added to every count of a value within a class.
    pub(crate) smoothing: f64,
    /// Added to every count of a class.
    pub(crate) prior_smoothing: f64,
    /// Of two classes, the share of the second that answers assume; 0 keeps that of the training set.
    pub(crate) prior: f64,
    /// For symbols: whether an n-gram is drawn, or is there or not.
    pub(crate) event: Event,
    /// For symbols: the longest n-gram.
    pub(crate) order: usize,
    /// For symbols drawn: whether repeats count.
    pub(crate) counts: bool,
}

impl Default for NaiveBayesConfig {
    fn default() -> Self {
        Self {
            smoothing: 1.0,
            prior_smoothing: 1.0,
            prior: 0.0,
            event: Event::Multinomial,
            order: 1,
            counts: false,
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
    const OFFERS: Offers = Offers { log_density: true, samples: true, completes: true };

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        BagConfig { order: self.order, counts: self.counts }.check(NAME)?;
        for (key, value) in [("smoothing", self.smoothing), ("prior-smoothing", self.prior_smoothing)] {
            if !(value.is_finite() && value >= 0.0) {
                let reason = format!("`{key}` is {value}, it must be 0 or more");
                return Err(LearnError::Setting { model: NAME, reason });
            }
        }
        check_prior(NAME, self.prior)?;
        if self.event == Event::Bernoulli && self.counts {
            let reason = "`counts` has no meaning where an n-gram is there or not; leave it out".to_owned();
            return Err(LearnError::Setting { model: NAME, reason });
        }
        Ok(Box::new(NaiveBayes { config: self }))
    }
}

pub(crate) struct NaiveBayes {
    pub(crate) config: NaiveBayesConfig,
}

impl NaiveBayes {
    pub(crate) fn count(&self, examples: &Examples) -> Counted {
        let NaiveBayesConfig { smoothing, prior_smoothing, prior, event, order, counts } = self.config;
        let class_counts = examples.class_counts();
        let all = examples.labels.len() as f64 + prior_smoothing * examples.classes as f64;
        let log_priors = match (examples.classes, prior > 0.0) {
            (2, true) => vec![(1.0 - prior).ln(), prior.ln()],
            _ => class_counts.iter().map(|&count| ((count as f64 + prior_smoothing) / all).ln()).collect(),
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
                    let seen = rows.iter().map(|row| row[column]).zip(&examples.labels);
                    let seen =
                        seen.filter(|(value, _)| !value.is_nan()).map(|(value, &class)| (value, class));
                    match *holds {
                        Column::Category { levels } => category(seen, levels, examples.classes, smoothing),
                        Column::Real => normal(seen, examples.classes),
                    }
                });
                let mut columns: Vec<ColumnLikelihood> = columns.collect();
                floor_variances(&mut columns);
                (Likelihood::Columns(columns), rows.values.len())
            }
        };
        Counted { classes: examples.classes, log_priors, likelihood, additions: additions as u64 }
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

fn category(
    seen: impl Iterator<Item = (f64, usize)>,
    levels: usize,
    classes: usize,
    smoothing: f64,
) -> ColumnLikelihood {
    let mut weights = vec![smoothing; levels * classes];
    let mut totals = vec![smoothing * levels as f64; classes];
    for (value, class) in seen {
        weights[level(value) * classes + class] += 1.0;
        totals[class] += 1.0;
    }
    for of_level in weights.chunks_exact_mut(classes) {
        of_level.iter_mut().zip(&totals).for_each(|(weight, total)| *weight = (*weight / total).ln());
    }
    ColumnLikelihood::Category(weights)
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

fn normal(seen: impl Iterator<Item = (f64, usize)> + Clone, classes: usize) -> ColumnLikelihood {
    let mut counts = vec![0.0; classes];
    let mut means = vec![0.0; classes];
    for (value, class) in seen.clone() {
        counts[class] += 1.0;
        means[class] += value;
    }
    means.iter_mut().zip(&counts).for_each(|(mean, count)| *mean /= f64::max(*count, 1.0));
    let mut variances = vec![0.0; classes];
    let (mut all, mut square, mut sum) = (0.0, 0.0, 0.0);
    for (value, class) in seen {
        variances[class] += (value - means[class]).powi(2);
        (all, square, sum) = (all + 1.0, square + value * value, sum + value);
    }
    variances.iter_mut().zip(&counts).for_each(|(variance, count)| *variance /= f64::max(*count, 1.0));
    let all = f64::max(all, 1.0);
    let of_column = (square / all - (sum / all).powi(2)).max(0.0);
    ColumnLikelihood::Normal { means, variances, of_column }
}

/// Adds [`VARIANCE_SMOOTHING`] of the largest variance of a column to each variance.
fn floor_variances(columns: &mut [ColumnLikelihood]) {
    let of_column = |column: &ColumnLikelihood| match column {
        ColumnLikelihood::Normal { of_column, .. } => *of_column,
        ColumnLikelihood::Category(_) => 0.0,
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
        let examples = Examples::of_any(data, NAME)?;
        if self.config.prior > 0.0 && examples.classes != 2 {
            let reason = format!(
                "`prior` is the share of the second of two classes, and here are {}",
                examples.classes
            );
            return Err(LearnError::Unsuitable { model: NAME, reason });
        }
        let counted = self.count(&examples);
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
            Self::Normal { .. } => Vec::new(),
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
            (Likelihood::Columns(columns), ExampleInputs::Rows(rows)) => {
                let of_row = |row: &[f64]| {
                    let mut scores = self.log_priors.clone();
                    columns.iter().zip(row).for_each(|(column, &value)| column.add(value, &mut scores));
                    scores
                };
                rows.iter().map(of_row).collect()
            }
            _ => unreachable!("what is predicted is of the kind that was fitted"),
        }
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

    /// Of rows; the probability of a bag of words depends on how it is drawn.
    fn log_joint(&self, batch: &Batch) -> Option<Vec<f64>> {
        let (Likelihood::Columns(columns), Targets::Classes(classes)) = (&self.likelihood, &batch.targets)
        else {
            return None;
        };
        let inputs = ExampleInputs::Rows(Rows { width: columns.len(), values: values(batch) });
        let of_class = |(joints, &class): (Vec<f64>, &u32)| joints[class as usize];
        Some(self.log_joints(&inputs).into_iter().zip(classes).map(of_class).collect())
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        let of_column = |column: &ColumnLikelihood| match column {
            ColumnLikelihood::Category(weights) => weights.len(),
            ColumnLikelihood::Normal { means, .. } => 2 * means.len(),
        };
        self.classes
            + match &self.likelihood {
                Likelihood::Bag { weights, .. } => weights.weights.len(),
                Likelihood::Columns(columns) => columns.iter().map(of_column).sum(),
            }
    }

    /// Of rows; how a bag of words was drawn is not known.
    fn generative(&self) -> Option<&dyn Generative> {
        matches!(self.likelihood, Likelihood::Columns(_)).then_some(self)
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
    fn impossible_settings_are_refused() {
        let refusal = |config: NaiveBayesConfig| config.learner().err().unwrap().to_string();
        let standard = NaiveBayesConfig::default();
        assert!(refusal(NaiveBayesConfig { smoothing: -1.0, ..standard }).contains("`smoothing` is -1"));
        assert!(refusal(NaiveBayesConfig { order: 9, ..standard }).contains("`order` is 9"));
        let both = NaiveBayesConfig { event: Event::Bernoulli, counts: true, ..standard };
        assert!(refusal(both).contains("`counts` has no meaning"));
    }
}
