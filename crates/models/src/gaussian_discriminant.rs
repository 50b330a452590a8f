//! Gaussian discriminant analysis: the class from how likely it makes what is seen, each class a multivariate normal.
//!
//! ```text
//! P(class | x)  is proportional to  P(class) N(x; mean_class, covariance)
//! ```
//!
//! With one covariance for all classes the boundary is a plane (linear discriminant analysis, Fisher 1936), with one each
//! it is a quadric. Means, covariances and class shares are those of maximum likelihood; `ridge` times the mean variance is added to the
//! diagonal, so that a factor exists.
//!
//! A missing value is integrated out: what is known of an example is normal with the known rows and columns of the covariance. The
//! parameters are then found by expectation maximisation (Little and Rubin 2002, section 11.2), in which every missing
//! value counts as its expectation given the others, and its conditional covariance is added to the moments. That is maximum
//! likelihood if values are missing at random; if being missing says something about the value, it is wrong.
//!
//! With `unlabelled = "learn"`, examples whose class is not told take part in the same way (Nigam et al. 2000; of normal classes, a
//! mixture of which some members are known): from the labelled examples alone at first, each counts in every class with the
//! probability that the model gives the class, times `unlabelled-weight`.

use hashbrown::HashMap;
use sequence::{
    Batch, Column, Dataset, Fit, Generative, LearnError, Learner, LogDensities, Predictions, Predictor,
    Random, Run, Samples,
};
use serde::{Deserialize, Serialize};

use crate::cholesky::Cholesky;
use crate::examples::{
    ExampleInputs, Examples, Rows, Unlabelled, answers, check_weight, log_normalised, log_sum, predictions,
    sampled, values,
};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::{Counting, Offers, Reads};

const NAME: &str = "gaussian-discriminant";

/// Iterations of expectation maximisation at most, and the change of a parameter, in deviations, at which it ends.
const ITERATIONS: usize = 500;
const CHANGE: f64 = 1e-6;

/// Settings of Gaussian discriminant analysis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct GaussianDiscriminantConfig {
    /// Whether classes share one covariance.
    covariance: Covariance,
    /// Of the mean variance, what is added to each variance.
    ridge: f64,
    /// Whether examples with a missing value are left out of fitting, in place of expectation maximisation.
    complete_cases: bool,
    /// What becomes of examples whose class is not told.
    unlabelled: Unlabelled,
    /// What such an example counts, where the model learns from it; one whose class is told counts 1.
    unlabelled_weight: f64,
}

impl Default for GaussianDiscriminantConfig {
    fn default() -> Self {
        Self {
            covariance: Covariance::Shared,
            ridge: 1e-6,
            complete_cases: false,
            unlabelled: Unlabelled::Refuse,
            unlabelled_weight: 1.0,
        }
    }
}

/// Whose covariance it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Covariance {
    /// One for all classes.
    Shared,
    /// One a class.
    Own,
}

impl Counting for GaussianDiscriminantConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "Gaussian discriminant analysis: a normal distribution a class; missing values are integrated out";
    const CITATION: &'static str = "Fisher 1936; Little and Rubin 1987";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::TrainingSet;
    const OFFERS: Offers = Offers { log_density: true, samples: true, completes: true, ..Offers::NOTHING };

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        if !(self.ridge.is_finite() && self.ridge > 0.0) {
            let reason = format!("`ridge` is {}, it must be more than 0", self.ridge);
            return Err(LearnError::Setting { model: NAME, reason });
        }
        check_weight(NAME, self.unlabelled_weight)?;
        Ok(Box::new(GaussianDiscriminant { config: self }))
    }
}

struct GaussianDiscriminant {
    config: GaussianDiscriminantConfig,
}

/// A row in a class, and what it counts there.
type Member<'a> = (&'a [f64], usize, f64);

impl GaussianDiscriminant {
    /// Whether a row takes part in fitting.
    fn counts(&self, row: &[f64]) -> bool {
        !self.config.complete_cases || row.iter().all(|value| !value.is_nan())
    }

    fn members<'a>(&self, rows: &'a Rows, labels: &[usize]) -> Vec<Member<'a>> {
        let members = rows.iter().zip(labels).map(|(row, &class)| (row, class, 1.0));
        members.filter(|(row, _, _)| self.counts(row)).collect()
    }

    /// Expectation maximisation with rows whose class is not told.
    fn learn_from(&self, rows: &Rows, labels: &[usize], classes: usize, others: &Rows) -> Normals {
        let told = self.members(rows, labels);
        let mut normals = self.maximise(rows, labels, classes);
        let deviations = normals.deviations();
        for _ in 0..ITERATIONS {
            let next = self.step(&normals, &self.with_others(&normals, &told, others));
            let change = normals.change(&next, &deviations);
            normals = next;
            if change <= CHANGE {
                break;
            }
        }
        normals
    }

    /// The members, and each of the others in every class, with the probability of the class times its weight.
    fn with_others<'a>(&self, old: &Normals, told: &[Member<'a>], others: &'a Rows) -> Vec<Member<'a>> {
        let mut members = told.to_vec();
        let weight = self.config.unlabelled_weight;
        for (row, joint) in others.iter().zip(old.log_joints(others)).filter(|(row, _)| self.counts(row)) {
            let shares = log_normalised(joint).into_iter().map(|log| weight * log.exp());
            members.extend(shares.enumerate().map(|(class, share)| (row, class, share)));
        }
        members
    }

    fn maximise(&self, rows: &Rows, labels: &[usize], classes: usize) -> Normals {
        let width = rows.width;
        let examples = self.members(rows, labels);
        let mut normals = Self::start(&examples, width, classes);
        let deviations = normals.deviations();
        for _ in 0..ITERATIONS {
            let next = self.step(&normals, &examples);
            let change = normals.change(&next, &deviations);
            normals = next;
            if change <= CHANGE {
                break;
            }
        }
        normals
    }

    /// Means and variances of what is known, without covariances.
    fn start(examples: &[Member], width: usize, classes: usize) -> Normals {
        let mut normals = Normals::empty(width, classes);
        for column in 0..width {
            let known = || {
                let of_column = examples.iter().map(|(row, class, _)| (row[column], *class));
                of_column.filter(|(value, _)| !value.is_nan())
            };
            let mut counts = vec![0.0; classes];
            let (mut total, mut count) = (0.0, 0.0);
            for (value, class) in known() {
                normals.means[class][column] += value;
                counts[class] += 1.0;
                (total, count) = (total + value, count + 1.0);
            }
            for (mean, count_of_class) in normals.means.iter_mut().zip(&counts) {
                // A class of which nothing is known has the mean of all.
                mean[column] = if *count_of_class > 0.0 {
                    mean[column] / count_of_class
                } else {
                    total / f64::max(count, 1.0)
                };
            }
            let squares: f64 =
                known().map(|(value, class)| (value - normals.means[class][column]).powi(2)).sum();
            let variance = if squares > 0.0 { squares / count } else { 1.0 };
            normals
                .covariances
                .iter_mut()
                .for_each(|covariance| covariance[column * width + column] = variance);
        }
        normals.weigh(examples);
        normals
    }

    /// One iteration: expectations of what is missing under the old parameters, and the parameters of most likelihood with them.
    fn step(&self, old: &Normals, examples: &[Member]) -> Normals {
        let (width, classes) = (old.width, old.means.len());
        let mut new = Normals::empty(width, classes);
        let mut counts = vec![0.0; classes];
        let mut filled: Vec<Vec<f64>> = Vec::with_capacity(examples.len());
        let mut patterns = Patterns::default();
        for (row, class, share) in examples {
            let pattern = patterns.of(row, *class, old);
            let row = pattern.filled(row, &old.means[*class]);
            new.means[*class].iter_mut().zip(&row).for_each(|(sum, value)| *sum += share * value);
            counts[*class] += share;
            filled.push(row);
        }
        for ((mean, count), old) in new.means.iter_mut().zip(&counts).zip(&old.means) {
            for (entry, old) in mean.iter_mut().zip(old) {
                *entry = if *count > 0.0 { *entry / count } else { *old };
            }
        }
        for ((row, class, share), filled) in examples.iter().zip(&filled) {
            let covariance = &mut new.covariances[*class];
            let off: Vec<f64> =
                filled.iter().zip(&new.means[*class]).map(|(value, mean)| value - mean).collect();
            for (sums, a) in covariance.chunks_exact_mut(width).zip(&off) {
                sums.iter_mut().zip(&off).for_each(|(sum, b)| *sum += share * (a * b));
            }
            patterns.of(row, *class, old).add_conditional_covariance(covariance, width, *share);
        }
        if self.config.covariance == Covariance::Shared {
            let mut shared = vec![0.0; width * width];
            for covariance in &new.covariances {
                shared.iter_mut().zip(covariance).for_each(|(sum, entry)| *sum += entry);
            }
            new.covariances.fill(shared);
            counts = vec![examples.iter().map(|(_, _, share)| share).sum(); classes];
        }
        for (covariance, count) in new.covariances.iter_mut().zip(counts) {
            for entry in covariance.iter_mut() {
                *entry /= if count > 0.0 { count } else { 1.0 };
            }
            let trace: f64 = (0..width).map(|entry| covariance[entry * (width + 1)]).sum();
            let ridge = self.config.ridge * if trace > 0.0 { trace / width as f64 } else { 1.0 };
            for entry in covariance.iter_mut().step_by(width + 1) {
                *entry += ridge;
            }
        }
        new.weigh(examples);
        new
    }
}

/// The parameters: a share, a mean and a covariance a class.
#[derive(Clone, Debug)]
struct Normals {
    width: usize,
    log_priors: Vec<f64>,
    means: Vec<Vec<f64>>,
    /// `[width, width]` each.
    covariances: Vec<Vec<f64>>,
}

impl Normals {
    fn empty(width: usize, classes: usize) -> Self {
        Self {
            width,
            log_priors: vec![0.0; classes],
            means: vec![vec![0.0; width]; classes],
            covariances: vec![vec![0.0; width * width]; classes],
        }
    }

    /// The share of each class, every class counted once more than it was seen.
    fn weigh(&mut self, examples: &[Member]) {
        let mut counts = vec![1.0; self.means.len()];
        for (_, class, share) in examples {
            counts[*class] += share;
        }
        let total: f64 = counts.iter().sum();
        self.log_priors = counts.into_iter().map(|count| f64::ln(count / total)).collect();
    }

    /// The deviation of each column in the first class.
    fn deviations(&self) -> Vec<f64> {
        (0..self.width).map(|column| self.covariances[0][column * self.width + column].sqrt()).collect()
    }

    /// The largest change of a parameter, in deviations of its columns.
    fn change(&self, other: &Self, deviations: &[f64]) -> f64 {
        let mut largest = 0.0_f64;
        for class in 0..self.means.len() {
            for (row, deviation) in deviations.iter().enumerate() {
                largest = largest.max((self.means[class][row] - other.means[class][row]).abs() / deviation);
                for (column, of_column) in deviations.iter().enumerate() {
                    let place = row * self.width + column;
                    let change = (self.covariances[class][place] - other.covariances[class][place]).abs();
                    largest = largest.max(change / (deviation * of_column));
                }
            }
        }
        largest
    }

    /// For each example and class the natural logarithm of the density of what is known and of the class.
    fn log_joints(&self, rows: &Rows) -> Vec<Vec<f64>> {
        let mut patterns = Patterns::default();
        let mut joint = |row: &[f64]| {
            let score = |class: usize| {
                self.log_priors[class] + patterns.of(row, class, self).log_density(row, &self.means[class])
            };
            (0..self.means.len()).map(score).collect()
        };
        rows.iter().map(&mut joint).collect()
    }

    fn rows(&self, batch: &Batch) -> Rows {
        Rows { width: self.width, values: values(batch) }
    }
}

/// What is shared by all examples of a class that lack the same values.
#[derive(Debug, Default)]
struct Patterns(HashMap<(usize, Vec<bool>), Pattern>);

impl Patterns {
    fn of(&mut self, row: &[f64], class: usize, normals: &Normals) -> &Pattern {
        let missing: Vec<bool> = row.iter().map(|value| value.is_nan()).collect();
        self.0.entry((class, missing)).or_insert_with_key(|(class, missing)| {
            Pattern::new(missing, &normals.covariances[*class], normals.width)
        })
    }
}

/// Which values are known, and what they say about the others.
#[derive(Debug)]
struct Pattern {
    known: Vec<usize>,
    missing: Vec<usize>,
    /// Of the covariance of what is known; none for a matrix that rounding has made singular.
    factor: Option<Cholesky>,
    /// What a deviation of each known value adds to the expectation of each missing one, `[missing, known]`.
    regression: Vec<f64>,
    /// Covariance of what is missing given what is known, `[missing, missing]`.
    conditional: Vec<f64>,
}

impl Pattern {
    fn new(missing: &[bool], covariance: &[f64], width: usize) -> Self {
        let (missing, known): (Vec<usize>, Vec<usize>) = (0..width).partition(|&column| missing[column]);
        let block = |rows: &[usize], columns: &[usize]| -> Vec<f64> {
            rows.iter()
                .flat_map(|row| columns.iter().map(move |column| covariance[row * width + column]))
                .collect()
        };
        let factor = Cholesky::of(&block(&known, &known), known.len());
        let mut regression = block(&missing, &known);
        let mut conditional = block(&missing, &missing);
        for (row, weights) in regression.chunks_exact_mut(known.len().max(1)).enumerate() {
            match &factor {
                Some(factor) => factor.solve(weights),
                None => weights.fill(0.0),
            }
            for (column, other) in missing.iter().enumerate() {
                let explained: f64 = weights
                    .iter()
                    .zip(&known)
                    .map(|(weight, known)| weight * covariance[known * width + other])
                    .sum();
                conditional[row * missing.len() + column] -= explained;
            }
        }
        Self { known, missing, factor, regression, conditional }
    }

    /// The row with the expectations of what is missing.
    fn filled(&self, row: &[f64], mean: &[f64]) -> Vec<f64> {
        let mut filled = row.to_vec();
        for (place, &column) in self.missing.iter().enumerate() {
            let weights = &self.regression[place * self.known.len()..][..self.known.len()];
            let deviation: f64 = weights
                .iter()
                .zip(&self.known)
                .map(|(weight, &known)| weight * (row[known] - mean[known]))
                .sum();
            filled[column] = mean[column] + deviation;
        }
        filled
    }

    fn add_conditional_covariance(&self, covariance: &mut [f64], width: usize, share: f64) {
        for (a, row) in self.missing.iter().enumerate() {
            for (b, column) in self.missing.iter().enumerate() {
                covariance[row * width + column] += share * self.conditional[a * self.missing.len() + b];
            }
        }
    }

    /// The log-density of what is known.
    fn log_density(&self, row: &[f64], mean: &[f64]) -> f64 {
        let Some(factor) = &self.factor else { return 0.0 };
        let mut off: Vec<f64> = self.known.iter().map(|&column| row[column] - mean[column]).collect();
        factor.forward(&mut off);
        let distance: f64 = off.iter().map(|entry| entry * entry).sum();
        -0.5 * (distance + factor.log_determinant() + off.len() as f64 * std::f64::consts::TAU.ln())
    }
}

impl Learner for GaussianDiscriminant {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let unsuitable = |reason: &str| LearnError::Unsuitable { model: NAME, reason: reason.to_owned() };
        let (examples, others) = Examples::told_and_others(data, NAME, self.config.unlabelled)?;
        let ExampleInputs::Rows(rows) = &examples.inputs else {
            return Err(unsuitable("it reads rows of real numbers, and this task has symbols"));
        };
        if examples.columns.iter().any(|column| *column != Column::Real) {
            return Err(unsuitable("it reads real numbers, and this task has categories"));
        }
        let (labels, classes) = (&examples.labels, examples.classes);
        let normals = match &others {
            Some(others) => self.learn_from(rows, labels, classes, others),
            None => self.maximise(rows, labels, classes),
        };
        // Each example meets the covariance once, where no value and no class is missing.
        let multiply_adds = (labels.len() * rows.width * rows.width) as u64;
        Ok(Fit { multiply_adds, ..fit_without_updates(Box::new(normals), data, run) })
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        3 * crate::examples::bytes(data) + validation_bytes(data)
    }
}

impl Predictor for Normals {
    fn predict(&self, batch: &Batch) -> Predictions {
        let mut joints = self.log_joints(&self.rows(batch)).into_iter().map(answers);
        predictions(batch, self.means.len(), |_| joints.next().unwrap_or_default())
    }

    fn body_parameters(&self) -> usize {
        0
    }

    /// Of a covariance, one triangle.
    fn total_parameters(&self) -> usize {
        let classes = self.means.len();
        let different = if self.covariances.windows(2).all(|pair| pair[0] == pair[1]) { 1 } else { classes };
        classes + classes * self.width + different * self.width * (self.width + 1) / 2
    }

    fn generative(&self) -> Option<&dyn Generative> {
        Some(self)
    }
}

impl Generative for Normals {
    fn log_densities(&self, batch: &Batch) -> LogDensities {
        let joints = self.log_joints(&self.rows(batch));
        LogDensities::Exact(joints.iter().map(|joint| log_sum(joint)).collect())
    }

    fn sample(&self, size: usize, random: &mut Random) -> Samples {
        let factors: Vec<Option<Cholesky>> =
            self.covariances.iter().map(|covariance| Cholesky::of(covariance, self.width)).collect();
        sampled(&self.log_priors, size, random, |class, random| {
            let normal: Vec<f64> = (0..self.width).map(|_| f64::from(random.normal())).collect();
            // Of a covariance that rounding has made singular, the mean alone is known.
            let off = factors[class].as_ref().map_or(vec![0.0; self.width], |factor| factor.times(&normal));
            self.means[class].iter().zip(off).map(|(mean, off)| mean + off).collect()
        })
    }

    /// The expectation under each class, weighted by how likely the class is given what is known.
    #[expect(clippy::cast_possible_truncation, reason = "examples are f32")]
    fn completed(&self, batch: &Batch) -> Option<Vec<f32>> {
        let rows = self.rows(batch);
        let mut patterns = Patterns::default();
        let mut completed = Vec::with_capacity(rows.values.len());
        for (row, joint) in rows.iter().zip(self.log_joints(&rows)) {
            let mut expected = vec![0.0; self.width];
            let all = log_sum(&joint);
            for (class, log) in joint.iter().enumerate() {
                let filled = patterns.of(row, class, self).filled(row, &self.means[class]);
                let share = (log - all).exp();
                expected.iter_mut().zip(filled).for_each(|(sum, value)| *sum += share * value);
            }
            let kept = row.iter().zip(expected);
            completed
                .extend(kept.map(|(&value, expected)| if value.is_nan() { expected } else { value } as f32));
        }
        Some(completed)
    }
}

#[cfg(test)]
mod tests {
    use sequence::{Random, Stream};

    use super::*;

    const COLUMNS: usize = 3;

    /// Rows of two classes with correlated values, of which a third is missing.
    fn incomplete(count: usize) -> (Rows, Vec<usize>) {
        let mut random = Random::new(4, Stream::Sampling);
        let mut values = Vec::new();
        let mut labels = Vec::new();
        for _ in 0..count {
            let class = random.index(2);
            labels.push(class);
            let common = f64::from(random.normal());
            for column in 0..COLUMNS {
                let value = common + 0.5 * f64::from(random.normal()) + (class * column) as f64;
                values.push(if random.below(3) == 0 { f64::NAN } else { value });
            }
        }
        (Rows { width: COLUMNS, values }, labels)
    }

    /// The log-likelihood of what is known, each class with its own share.
    fn log_likelihood(normals: &Normals, rows: &Rows, labels: &[usize]) -> f64 {
        let mut patterns = Patterns::default();
        let of_row = |(row, &class): (&[f64], &usize)| {
            patterns.of(row, class, normals).log_density(row, &normals.means[class])
        };
        rows.iter().zip(labels).map(of_row).sum()
    }

    #[test]
    fn expectation_maximisation_never_lowers_the_likelihood() {
        for covariance in [Covariance::Shared, Covariance::Own] {
            let (rows, labels) = incomplete(80);
            let standard = GaussianDiscriminantConfig::default();
            let config = GaussianDiscriminantConfig { covariance, ridge: 1e-12, ..standard };
            let learner = GaussianDiscriminant { config };
            let examples = learner.members(&rows, &labels);
            let mut normals = GaussianDiscriminant::start(&examples, COLUMNS, 2);
            let mut before = log_likelihood(&normals, &rows, &labels);
            let first = before;
            for iteration in 0..60 {
                normals = learner.step(&normals, &examples);
                let now = log_likelihood(&normals, &rows, &labels);
                assert!(
                    now >= before - 1e-9 * before.abs(),
                    "{covariance:?} {iteration}: {before} became {now}"
                );
                before = now;
            }
            assert!(before > first + 1.0, "{first} {before}");
        }
    }

    #[test]
    fn examples_without_a_class_never_lower_the_posterior() {
        let arms = [(Covariance::Shared, 1.0), (Covariance::Own, 1.0), (Covariance::Shared, 0.1)];
        for (covariance, unlabelled_weight) in arms {
            let (rows, labels) = incomplete(120);
            let part = |from: usize, to: usize| Rows {
                width: COLUMNS,
                values: rows.values[COLUMNS * from..COLUMNS * to].to_vec(),
            };
            let (told, others, labels) = (part(0, 30), part(30, 120), &labels[..30]);
            let standard = GaussianDiscriminantConfig::default();
            let config =
                GaussianDiscriminantConfig { covariance, ridge: 1e-12, unlabelled_weight, ..standard };
            let learner = GaussianDiscriminant { config };
            let members = learner.members(&told, labels);
            // Labelled examples, others by their weight, and each class counted once more.
            let posterior = |normals: &Normals| {
                let joints = normals.log_joints(&told);
                let known: f64 = joints.iter().zip(labels).map(|(joint, class)| joint[*class]).sum();
                let unknown: f64 = normals.log_joints(&others).iter().map(|joint| log_sum(joint)).sum();
                known + unlabelled_weight * unknown + normals.log_priors.iter().sum::<f64>()
            };
            let mut normals = learner.maximise(&told, labels, 2);
            let first = posterior(&normals);
            let mut before = first;
            for iteration in 0..60 {
                normals = learner.step(&normals, &learner.with_others(&normals, &members, &others));
                let now = posterior(&normals);
                assert!(now >= before - 1e-7, "{covariance:?} {iteration}: {before} became {now}");
                before = now;
            }
            assert!(before > first + 0.1, "{covariance:?}: {first} {before}");
            // Where there are no others, nothing changes.
            let nothing = Rows { width: COLUMNS, values: Vec::new() };
            let without = learner.learn_from(&told, labels, 2, &nothing);
            assert!(without.change(&learner.maximise(&told, labels, 2), &without.deviations()) < 1e-4);
        }
    }

    #[test]
    fn of_complete_rows_one_step_finds_the_moments() {
        // By hand: class 0 at (0, 0) and (2, 2), class 1 at (4, 0) and (4, 2): means (1, 1) and (4, 1), shared covariance
        // [2 2; 2 4] / 4 of the four deviations (-1, -1), (1, 1), (0, -1), (0, 1).
        let rows = Rows { width: 2, values: vec![0.0, 0.0, 2.0, 2.0, 4.0, 0.0, 4.0, 2.0] };
        let config = GaussianDiscriminantConfig { ridge: 1e-15, ..GaussianDiscriminantConfig::default() };
        let normals = GaussianDiscriminant { config }.maximise(&rows, &[0, 0, 1, 1], 2);
        assert_eq!(normals.means, [[1.0, 1.0], [4.0, 1.0]]);
        for (entry, exact) in normals.covariances[0].iter().zip([0.5, 0.5, 0.5, 1.0]) {
            assert!((entry - exact).abs() < 1e-12, "{:?}", normals.covariances);
        }
    }

    #[test]
    fn what_is_missing_is_integrated_out() {
        // Mean 0, variances 1, correlation 0.8. A row of which one value is known has the density of that value alone.
        let normals = Normals {
            width: 2,
            log_priors: vec![0.0],
            means: vec![vec![0.0, 0.0]],
            covariances: vec![vec![1.0, 0.8, 0.8, 1.0]],
        };
        let row = [1.5, f64::NAN];
        let mut patterns = Patterns::default();
        let pattern = patterns.of(&row, 0, &normals);
        let density = pattern.log_density(&row, &normals.means[0]);
        // By hand: -(1.5^2 + ln 2 pi) / 2.
        assert!((density + 0.5 * (2.25 + std::f64::consts::TAU.ln())).abs() < 1e-12, "{density}");
        // The other is expected at 0.8 times 1.5, with a variance of 1 - 0.64.
        assert!((pattern.filled(&row, &normals.means[0])[1] - 1.2).abs() < 1e-12);
        assert!((pattern.conditional[0] - 0.36).abs() < 1e-12);
        // Of a row of which nothing is known, nothing is said.
        let nothing = [f64::NAN, f64::NAN];
        assert_eq!(patterns.of(&nothing, 0, &normals).log_density(&nothing, &normals.means[0]), 0.0);
    }

    #[test]
    fn complete_examples_alone_may_be_none() {
        let (mut rows, labels) = incomplete(30);
        rows.values.iter_mut().step_by(COLUMNS).for_each(|value| *value = f64::NAN);
        let config =
            GaussianDiscriminantConfig { complete_cases: true, ..GaussianDiscriminantConfig::default() };
        let normals = GaussianDiscriminant { config }.maximise(&rows, &labels, 2);
        for answer in normals.log_joints(&rows).into_iter().map(answers) {
            // Of normals of hardly any variance, whose log-densities are large.
            assert!(answer.iter().all(|value| (value - 0.5_f64.ln()).abs() < 1e-6), "{answer:?}");
        }
    }
}
