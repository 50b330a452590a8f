//! Gaussian mixture: every example comes from one of several normal distributions, and nobody says from which.
//!
//! ```text
//! p(x | class) = sum over k of w_k N(x; m_k, S_k)
//! ```
//!
//! Weights, means and covariances maximise the likelihood by expectation maximisation (Dempster, Laird and Rubin 1977): responsibilities
//! `r_ik = w_k N(x_i; m_k, S_k) / p(x_i)`, then the moments of the examples weighted by them. Each of `restarts` fits starts from centres drawn
//! by k-means++ (Arthur and Vassilvitskii 2007), and the likeliest is kept. `ridge` times the mean variance of the
//! columns is added to every variance, without which a component could sit on one example with any likelihood.
//!
//! With `choose-components` their number is the one, of 1 to `components`, with the least Bayesian information criterion (Schwarz 1978): the free
//! parameters times the logarithm of the number of examples, less twice the log-likelihood.
//!
//! Of a task with classes there is one mixture a class (Hastie and Tibshirani 1996); of a task of density, one.

use sequence::{
    Batch, Column, Dataset, Fit, Generative, LearnError, Learner, LogDensities, Predictions, Predictor,
    Random, Run, Samples, Stream,
};
use serde::{Deserialize, Serialize};

use crate::cholesky::Cholesky;
use crate::examples::{
    ExampleInputs, Examples, Rows, answers, drawn_from, log_sum, predictions, sampled, values,
};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::{Counting, Offers, Reads};

const NAME: &str = "gaussian-mixture";

/// Iterations of expectation maximisation at most, and the gain of log-likelihood an example at which it ends.
const ITERATIONS: usize = 1000;
const GAIN: f64 = 1e-7;

/// Settings of a Gaussian mixture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct GaussianMixtureConfig {
    /// Normal distributions a class, or the most of them where their number is chosen.
    pub(crate) components: usize,
    /// Whether the number of normal distributions is chosen.
    pub(crate) choose_components: bool,
    /// The shape of each.
    pub(crate) covariance: Shape,
    /// Fits from other starts, of which the likeliest is kept.
    pub(crate) restarts: usize,
    /// Of the mean variance of the columns, what is added to each variance.
    pub(crate) ridge: f64,
}

impl Default for GaussianMixtureConfig {
    fn default() -> Self {
        Self { components: 8, choose_components: false, covariance: Shape::Full, restarts: 10, ridge: 1e-6 }
    }
}

/// The shape of a normal distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shape {
    /// Any covariance.
    Full,
    /// A variance a column, and no covariance.
    Diagonal,
    /// One variance.
    Spherical,
}

impl Counting for GaussianMixtureConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "Gaussian mixture: several normal distributions, fitted by expectation maximisation";
    const CITATION: &'static str = "Dempster, Laird and Rubin 1977";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::TrainingSet;
    const OFFERS: Offers = Offers { log_density: true, samples: true, groups: true, ..Offers::NOTHING };

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        let wrong = |reason: String| Err(LearnError::Setting { model: NAME, reason });
        if self.components == 0 || self.restarts == 0 {
            return wrong("`components` and `restarts` must be at least 1".to_owned());
        }
        if !(self.ridge.is_finite() && self.ridge > 0.0) {
            return wrong(format!("`ridge` is {}, it must be more than 0", self.ridge));
        }
        Ok(Box::new(GaussianMixture { config: self }))
    }
}

struct GaussianMixture {
    config: GaussianMixtureConfig,
}

impl Learner for GaussianMixture {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let unsuitable = |reason: &str| LearnError::Unsuitable { model: NAME, reason: reason.to_owned() };
        let examples = Examples::of_any(data, NAME)?;
        let ExampleInputs::Rows(rows) = &examples.inputs else {
            return Err(unsuitable("it reads rows of real numbers, and this task has symbols"));
        };
        if examples.columns.iter().any(|column| *column != Column::Real) {
            return Err(unsuitable("it reads real numbers, and this task has categories"));
        }
        if rows.values.iter().any(|value| value.is_nan()) {
            return Err(unsuitable("it needs every value, and in this task some are missing"));
        }
        let counts = examples.class_counts();
        if counts.iter().any(|&count| count < self.config.components) {
            let reason = format!(
                "`components` is {}, and a class has {} training examples",
                self.config.components,
                counts.iter().min().copied().unwrap_or_default()
            );
            return Err(LearnError::Unsuitable { model: NAME, reason });
        }
        let mut random = Random::new(run.seed, Stream::Initialisation);
        let mut multiply_adds = 0;
        let mut fitted = Fitted { log_priors: Vec::new(), mixtures: Vec::new() };
        for (class, count) in counts.iter().enumerate() {
            let of_class = rows.iter().zip(&examples.labels).filter(|(_, label)| **label == class);
            let of_class: Vec<f64> = of_class.flat_map(|(row, _)| row.iter().copied()).collect();
            let of_class = Rows { width: rows.width, values: of_class };
            let (mixture, iterations) = self.config.fit(&of_class, &mut random);
            multiply_adds += (iterations * count * self.config.components * rows.width * rows.width) as u64;
            fitted.mixtures.push(mixture);
            fitted.log_priors.push((*count as f64 / examples.labels.len() as f64).ln());
        }
        Ok(Fit { multiply_adds, ..fit_without_updates(Box::new(fitted), data, run) })
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        let examples: usize = data.training_set().iter().flatten().map(|batch| batch.size).sum();
        let responsibilities = (8 * examples * self.config.components) as u64;
        2 * crate::examples::bytes(data) + responsibilities + validation_bytes(data)
    }
}

impl GaussianMixtureConfig {
    /// The likeliest of several fits, of the number of components that is chosen, and the iterations of all of them.
    pub(crate) fn fit(self, rows: &Rows, random: &mut Random) -> (Mixture, usize) {
        let fewest = if self.choose_components { 1 } else { self.components };
        let mut iterations = 0;
        let mut best: Option<(f64, Mixture)> = None;
        for components in fewest..=self.components {
            let (likelihood, mixture, of_fit) = Self { components, ..self }.likeliest(rows, random);
            iterations += of_fit;
            let criterion = mixture.criterion(likelihood, rows.len());
            if best.as_ref().is_none_or(|(least, _)| criterion < *least) {
                best = Some((criterion, mixture));
            }
        }
        (best.expect("there is one number of components at least").1, iterations)
    }

    /// The log-likelihood of the likeliest of several fits, the fit itself, and the iterations of all of them.
    fn likeliest(self, rows: &Rows, random: &mut Random) -> (f64, Mixture, usize) {
        let mut iterations = 0;
        let mut best: Option<(f64, Mixture)> = None;
        for _ in 0..self.restarts {
            let responsibilities = nearest(rows, &centres(rows, self.components, random));
            let mut mixture = self.maximise(rows, &responsibilities);
            let mut likelihood = f64::NEG_INFINITY;
            for _ in 0..ITERATIONS {
                let (found, responsibilities) = mixture.expectations(rows);
                iterations += 1;
                let gained = found - likelihood;
                likelihood = found;
                if gained <= GAIN * rows.len() as f64 {
                    break;
                }
                mixture = self.maximise(rows, &responsibilities);
            }
            if best.as_ref().is_none_or(|(most, _)| likelihood > *most) {
                best = Some((likelihood, mixture));
            }
        }
        let (likelihood, mixture) = best.expect("there is one fit at least");
        (likelihood, mixture, iterations)
    }

    /// The mixture of most likelihood when each example counts for each component by its responsibilities, `[examples, components]`.
    fn maximise(self, rows: &Rows, responsibilities: &[f64]) -> Mixture {
        let (width, count) = (rows.width, rows.len() as f64);
        let ridge = self.ridge * mean_variance(rows);
        let components = (0..self.components).map(|component| {
            let weights = responsibilities.iter().skip(component).step_by(self.components);
            let share: f64 = weights.clone().sum::<f64>().max(f64::MIN_POSITIVE);
            let mut mean = vec![0.0; width];
            for (row, weight) in rows.iter().zip(weights.clone()) {
                mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
            for sum in &mut mean {
                *sum /= share;
            }
            let mut covariance = vec![0.0; width * width];
            for (row, weight) in rows.iter().zip(weights) {
                for (a, (value, centre)) in row.iter().zip(&mean).enumerate() {
                    let scaled = weight * (value - centre);
                    // Of other shapes the diagonal alone is wanted.
                    let from = if self.covariance == Shape::Full { 0 } else { a };
                    for b in from..=a {
                        covariance[a * width + b] += scaled * (row[b] - mean[b]);
                    }
                }
            }
            for sum in &mut covariance {
                *sum /= share;
            }
            if self.covariance == Shape::Spherical {
                let trace: f64 = covariance.iter().step_by(width + 1).sum();
                covariance
                    .iter_mut()
                    .step_by(width + 1)
                    .for_each(|variance| *variance = trace / width as f64);
            }
            covariance.iter_mut().step_by(width + 1).for_each(|variance| *variance += ridge);
            Component::new((share / count).ln(), mean, &covariance)
        });
        Mixture { width, shape: self.covariance, components: components.collect() }
    }
}

/// The mean over columns of their variances, or 1 where all examples are equal.
fn mean_variance(rows: &Rows) -> f64 {
    let mean = rows.variances().iter().sum::<f64>() / rows.width as f64;
    if mean > 0.0 { mean } else { 1.0 }
}

pub(crate) fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// Examples drawn as centres, each with a probability that rises with the squared distance from those drawn before.
pub(crate) fn centres(rows: &Rows, count: usize, random: &mut Random) -> Vec<Vec<f64>> {
    let all: Vec<&[f64]> = rows.iter().collect();
    let mut centres = vec![all[random.index(all.len())].to_vec()];
    let mut distances = vec![f64::INFINITY; all.len()];
    while centres.len() < count {
        let last = &centres[centres.len() - 1];
        for (distance, row) in distances.iter_mut().zip(&all) {
            *distance = distance.min(squared_distance(row, last));
        }
        centres.push(all[drawn_from(&distances, random)].to_vec());
    }
    centres
}

/// For each example 1 at its nearest centre and 0 elsewhere, `[examples, centres]`.
fn nearest(rows: &Rows, centres: &[Vec<f64>]) -> Vec<f64> {
    let mut responsibilities = vec![0.0; rows.len() * centres.len()];
    for (row, of_row) in rows.iter().zip(responsibilities.chunks_exact_mut(centres.len())) {
        let distances = centres.iter().map(|centre| squared_distance(row, centre));
        let nearest = distances.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
        of_row[nearest.expect("there is a centre").0] = 1.0;
    }
    responsibilities
}

/// One normal distribution with its weight.
#[derive(Clone, Debug)]
struct Component {
    log_weight: f64,
    mean: Vec<f64>,
    factor: Cholesky,
    /// The logarithm of the density at the mean, the weight included.
    peak: f64,
}

impl Component {
    fn new(log_weight: f64, mean: Vec<f64>, covariance: &[f64]) -> Self {
        let width = mean.len();
        let factor = Cholesky::of(covariance, width).unwrap_or_else(|| {
            // Rounding made it singular: its diagonal alone is positive.
            let mut diagonal = vec![0.0; width * width];
            for entry in (0..width * width).step_by(width + 1) {
                diagonal[entry] = covariance[entry].max(f64::MIN_POSITIVE);
            }
            Cholesky::of(&diagonal, width).expect("a positive diagonal has a factor")
        });
        let constant = factor.log_determinant() + width as f64 * std::f64::consts::TAU.ln();
        Self { log_weight, peak: log_weight - 0.5 * constant, mean, factor }
    }

    /// The logarithm of weight times density.
    fn log_density(&self, row: &[f64], scratch: &mut [f64]) -> f64 {
        for ((off, value), mean) in scratch.iter_mut().zip(row).zip(&self.mean) {
            *off = value - mean;
        }
        self.factor.forward(scratch);
        self.peak - 0.5 * scratch.iter().map(|entry| entry * entry).sum::<f64>()
    }
}

/// Several normal distributions of rows.
#[derive(Clone, Debug)]
pub(crate) struct Mixture {
    width: usize,
    shape: Shape,
    components: Vec<Component>,
}

impl Mixture {
    /// The log-likelihood of all examples, and how far each component is responsible for each, `[examples, components]`.
    fn expectations(&self, rows: &Rows) -> (f64, Vec<f64>) {
        let mut scratch = vec![0.0; self.width];
        let mut responsibilities = Vec::with_capacity(rows.len() * self.components.len());
        let mut likelihood = 0.0;
        for row in rows.iter() {
            let first = responsibilities.len();
            let of_component = |component: &Component| component.log_density(row, &mut scratch);
            responsibilities.extend(self.components.iter().map(of_component));
            let total = log_sum(&responsibilities[first..]);
            likelihood += total;
            responsibilities[first..].iter_mut().for_each(|log| *log = (*log - total).exp());
        }
        (likelihood, responsibilities)
    }

    /// The logarithm of the density of a row.
    pub(crate) fn log_density(&self, row: &[f64]) -> f64 {
        let mut scratch = vec![0.0; self.width];
        let of_component = |component: &Component| component.log_density(row, &mut scratch);
        log_sum(&self.components.iter().map(of_component).collect::<Vec<f64>>())
    }

    /// A row drawn from the mixture.
    pub(crate) fn draw(&self, random: &mut Random) -> Vec<f64> {
        let weights: Vec<f64> = self.components.iter().map(|component| component.log_weight.exp()).collect();
        let component = &self.components[drawn_from(&weights, random)];
        let normal: Vec<f64> = (0..self.width).map(|_| f64::from(random.normal())).collect();
        let off = component.factor.times(&normal);
        component.mean.iter().zip(off).map(|(mean, off)| mean + off).collect()
    }

    /// The component that is likeliest to have drawn a row.
    fn component(&self, row: &[f64]) -> usize {
        let mut scratch = vec![0.0; self.width];
        let densities = self.components.iter().map(|component| component.log_density(row, &mut scratch));
        let likeliest = densities.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        likeliest.expect("there is a component").0
    }

    /// The Bayesian information criterion of so many rows of that log-likelihood. Weights sum to 1, so that one of them is not free.
    fn criterion(&self, likelihood: f64, rows: usize) -> f64 {
        (self.parameters() - 1) as f64 * (rows as f64).ln() - 2.0 * likelihood
    }

    fn parameters(&self) -> usize {
        let of_covariance = match self.shape {
            Shape::Full => self.width * (self.width + 1) / 2,
            Shape::Diagonal => self.width,
            Shape::Spherical => 1,
        };
        self.components.len() * (1 + self.width + of_covariance)
    }
}

/// A mixture a class.
#[derive(Clone, Debug)]
struct Fitted {
    log_priors: Vec<f64>,
    mixtures: Vec<Mixture>,
}

impl Fitted {
    /// For each example and class the natural logarithm of the density of both.
    fn log_joints(&self, batch: &Batch) -> Vec<Vec<f64>> {
        let rows = Rows { width: self.mixtures[0].width, values: values(batch) };
        let of_row = |row: &[f64]| {
            let classes = self.mixtures.iter().zip(&self.log_priors);
            classes.map(|(mixture, prior)| prior + mixture.log_density(row)).collect()
        };
        rows.iter().map(of_row).collect()
    }
}

impl Predictor for Fitted {
    fn predict(&self, batch: &Batch) -> Predictions {
        let mut joints = self.log_joints(batch).into_iter().map(answers);
        predictions(batch, self.mixtures.len(), |_| joints.next().unwrap_or_default())
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.log_priors.len() + self.mixtures.iter().map(Mixture::parameters).sum::<usize>()
    }

    fn generative(&self) -> Option<&dyn Generative> {
        Some(self)
    }

    /// Of a task of density the likeliest component; components of different classes are no groups.
    #[expect(clippy::cast_possible_truncation, reason = "components are few")]
    fn groups(&self, batch: &Batch) -> Option<Vec<u32>> {
        let [mixture] = self.mixtures.as_slice() else { return None };
        let rows = Rows { width: mixture.width, values: values(batch) };
        Some(rows.iter().map(|row| mixture.component(row) as u32).collect())
    }
}

impl Generative for Fitted {
    fn log_densities(&self, batch: &Batch) -> LogDensities {
        LogDensities::Exact(self.log_joints(batch).iter().map(|joint| log_sum(joint)).collect())
    }

    fn sample(&self, size: usize, random: &mut Random) -> Samples {
        sampled(&self.log_priors, size, random, |class, random| self.mixtures[class].draw(random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two round clusters of 100 around (0, 0) and (6, 0), with deviation 1.
    fn clusters() -> Rows {
        let mut random = Random::new(4, Stream::Sampling);
        let values = (0..200)
            .flat_map(|row| {
                let centre = if row % 2 == 0 { 0.0 } else { 6.0 };
                [centre + f64::from(random.normal()), f64::from(random.normal())]
            })
            .collect();
        Rows { width: 2, values }
    }

    fn config(covariance: Shape, components: usize) -> GaussianMixtureConfig {
        GaussianMixtureConfig { components, choose_components: false, covariance, restarts: 3, ridge: 1e-9 }
    }

    #[test]
    fn expectation_maximisation_never_lowers_the_likelihood() {
        let rows = clusters();
        for shape in [Shape::Full, Shape::Diagonal, Shape::Spherical] {
            let config = config(shape, 4);
            let mut random = Random::new(1, Stream::Initialisation);
            let mut mixture = config.maximise(&rows, &nearest(&rows, &centres(&rows, 4, &mut random)));
            let (first, mut responsibilities) = mixture.expectations(&rows);
            let mut before = first;
            for iteration in 0..50 {
                mixture = config.maximise(&rows, &responsibilities);
                let (now, next) = mixture.expectations(&rows);
                assert!(now >= before - 1e-6, "{shape:?} {iteration}: {before} became {now}");
                (before, responsibilities) = (now, next);
            }
            assert!(before > first + 1.0, "{shape:?}: {first} {before}");
        }
    }

    /// From the same responsibilities and over the same iterations as scikit-learn, to 1e-8.
    #[test]
    fn log_densities_are_those_of_scikit_learn() {
        let fixture: serde_json::Value =
            serde_json::from_str(include_str!("../fixtures/mixtures.json")).unwrap();
        let numbers =
            |value: &serde_json::Value| -> Vec<f64> { serde_json::from_value(value.clone()).unwrap() };
        let whole = |value: &serde_json::Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        let cases = fixture["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 5);
        for case in cases {
            let width = whole(&case["width"]);
            let rows = |key: &str| Rows { width, values: numbers(&case[key]) };
            let covariance = serde_json::from_value(case["covariance"].clone()).unwrap();
            let components = whole(&case["components"]);
            let config = GaussianMixtureConfig { ridge: 1e-300, ..config(covariance, components) };
            let training = rows("rows");
            let mut start = vec![0.0; training.len() * components];
            for (row, assigned) in case["assigned"].as_array().unwrap().iter().enumerate() {
                start[row * components + whole(assigned)] = 1.0;
            }
            let mut mixture = config.maximise(&training, &start);
            for _ in 0..whole(&case["iterations"]) {
                mixture = config.maximise(&training, &mixture.expectations(&training).1);
            }
            let likelihood = mixture.expectations(&training).0;
            let criterion = mixture.criterion(likelihood, training.len());
            let expected = case["bayesian_information_criterion"].as_f64().unwrap();
            assert!((criterion - expected).abs() < 1e-8 * expected, "{criterion} {expected}");
            for (row, expected) in rows("test").iter().zip(numbers(&case["log_densities"])) {
                let found = mixture.log_density(row);
                assert!((found - expected).abs() < 1e-8 * expected.abs().max(1.0), "{found} {expected}");
            }
        }
    }

    #[test]
    fn clusters_are_found() {
        let (mixture, _) =
            config(Shape::Spherical, 2).fit(&clusters(), &mut Random::new(1, Stream::Initialisation));
        let mut found: Vec<f64> = mixture.components.iter().map(|component| component.mean[0]).collect();
        found.sort_by(f64::total_cmp);
        // The standard error of a mean of 100 is 0.1; four of them.
        assert!(found[0].abs() < 0.4 && (found[1] - 6.0).abs() < 0.4, "{found:?}");
    }

    #[test]
    fn the_number_of_clusters_is_found() {
        let choosing = GaussianMixtureConfig { choose_components: true, ..config(Shape::Full, 5) };
        let (mixture, _) = choosing.fit(&clusters(), &mut Random::new(1, Stream::Initialisation));
        assert_eq!(mixture.components.len(), 2);
        let [left, right] = [[0.0, 0.0], [6.0, 0.0]].map(|centre| mixture.component(&centre));
        assert_ne!(left, right);
    }

    #[test]
    fn the_density_of_two_components_is_by_hand() {
        // 1/4 N(0, 1) + 3/4 N(2, 4) at 1: 0.25 * 0.241970725 + 0.75 * 0.176032663 = 0.192517179.
        let mixture = Mixture {
            width: 1,
            shape: Shape::Full,
            components: vec![
                Component::new(0.25_f64.ln(), vec![0.0], &[1.0]),
                Component::new(0.75_f64.ln(), vec![2.0], &[4.0]),
            ],
        };
        assert!((mixture.log_density(&[1.0]).exp() - 0.192_517_179).abs() < 1e-9);
        // Weight, mean and variance of each.
        assert_eq!(mixture.parameters(), 6);
    }

    #[test]
    fn examples_on_one_spot_have_a_mixture() {
        let rows = Rows { width: 2, values: vec![1.5; 20] };
        let (mixture, _) = config(Shape::Full, 2).fit(&rows, &mut Random::new(1, Stream::Initialisation));
        assert!(mixture.log_density(&[1.5, 1.5]).is_finite());
        assert!(mixture.draw(&mut Random::new(2, Stream::Sampling)).iter().all(|value| value.is_finite()));
    }
}
