//! Logistic regression: the class from a weighted sum of what is seen.
//!
//! ```text
//! P(c | x) = exp(w_c x + b_c) / sum_k exp(w_k x + b_k)
//! minimise  (1/n) [ sum_i -log P(y_i | x_i) + penalty R(w) ],   R = sum_c |w_c|^2 / 2  (l2)  or  sum_c |w_c|_1  (l1)
//! ```
//!
//! For two classes the first has weights and intercept 0, so that one weighted sum remains. The intercepts b are not penalised. `penalty` is 1/C of
//! scikit-learn. Minimised by L-BFGS until no entry of the gradient exceeds `tolerance`. With `norm = "l1"` weights that tell little
//! are exactly 0 (Tibshirani 1996).
//!
//! With `cross-validate`, the penalty is the one on the path from 10^3 down to 10^-3, by factors of ten, with the least log-loss over five folds of
//! the training set; test examples have no part in it.
//!
//! With `unlabelled = "learn"`, it teaches itself (Yarowsky 1995): of the examples whose class is not told, those of which it is surer than
//! `confidence` count as if their likeliest class had been told, and it is fitted again, until these no longer change or 20 times. The
//! penalty is chosen by the labelled examples alone, since cross-validation believes the classes it is given.
//!
//! Symbols become bags of n-grams. Of features, real numbers are standardised and categories become one indicator each. A weighted
//! sum needs every value: `missing` says what stands for those that are not there.

use sequence::{
    Batch, Dataset, Explanation, Fit, LearnError, Learner, LossKind, Predictions, Predictor, Run,
};
use serde::{Deserialize, Serialize};

use crate::architecture::NOTHING_TO_ANSWER;
use crate::design::{Features, Missing};
use crate::examples::{ExampleInputs, Examples, Rows, Unlabelled, check_prior, log_normalised, predictions};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::minimise::{Absolute, minimise};
use crate::n_gram_bag::{BagConfig, GRADIENT_TIMES_INPUT, SparseRows};
use crate::{Counting, Reads};

const NAME: &str = "logistic-regression";

/// Penalties that cross-validation tries, from the strongest, whose minimum is where the next search starts.
const PENALTIES: [f64; 7] = [1e3, 1e2, 1e1, 1e0, 1e-1, 1e-2, 1e-3];

/// Rounds in which it teaches itself, at most.
const ROUNDS: usize = 20;

/// Folds of cross-validation.
const FOLDS: usize = 5;

/// What the penalty measures of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Norm {
    /// Half the sum of their squares.
    L2,
    /// The sum of their absolute values.
    L1,
}

/// Settings of logistic regression.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct LogisticRegressionConfig {
    /// Strength of the penalty, 1/C; 0 is maximum likelihood.
    penalty: f64,
    /// What it measures of the weights.
    norm: Norm,
    /// Whether the penalty is chosen by cross-validation on the training set, in place of the one given.
    cross_validate: bool,
    /// Of two classes, the share of the second that answers assume; 0 keeps that of the training set. The intercept is moved by
    /// the difference of the log-odds (Elkan 2001), and nothing is fitted again.
    prior: f64,
    /// For symbols: the longest n-gram.
    order: usize,
    /// For symbols: whether repeats count.
    counts: bool,
    /// What stands for a missing value.
    missing: Missing,
    /// The largest entry of the gradient at which the search ends.
    tolerance: f64,
    /// What becomes of rows whose class is not told.
    unlabelled: Unlabelled,
    /// How probable the likeliest class of such a row must be to count as told, where the model teaches itself.
    confidence: f64,
    /// Iterations at most; without a penalty, weights of separable classes grow without end.
    iterations: usize,
}

impl Default for LogisticRegressionConfig {
    fn default() -> Self {
        Self {
            penalty: 1.0,
            norm: Norm::L2,
            cross_validate: false,
            prior: 0.0,
            order: 1,
            counts: false,
            missing: Missing::Mean,
            tolerance: 1e-7,
            unlabelled: Unlabelled::Refuse,
            confidence: 0.9,
            iterations: 1000,
        }
    }
}

impl Counting for LogisticRegressionConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "logistic regression: the class from a weighted sum of features, fitted by L-BFGS";
    const CITATION: &'static str = "Cox 1958";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::TrainingSet;

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        BagConfig { order: self.order, counts: self.counts }.check(NAME)?;
        check_prior(NAME, self.prior)?;
        let wrong = |reason: String| Err(LearnError::Setting { model: NAME, reason });
        if !(self.penalty.is_finite() && self.penalty >= 0.0) {
            return wrong(format!("`penalty` is {}, it must be 0 or more", self.penalty));
        }
        if !(self.tolerance.is_finite() && self.tolerance > 0.0) {
            return wrong(format!("`tolerance` is {}, it must be more than 0", self.tolerance));
        }
        if !(0.0..1.0).contains(&self.confidence) {
            return wrong(format!(
                "`confidence` is {}, it must be 0 or more and less than 1",
                self.confidence
            ));
        }
        if self.iterations == 0 {
            return wrong("`iterations` is 0, it must be at least 1".to_owned());
        }
        Ok(Box::new(LogisticRegression { config: self }))
    }
}

struct LogisticRegression {
    config: LogisticRegressionConfig,
}

impl LogisticRegression {
    fn descend(&self, examples: &Examples, others: Option<&Rows>) -> Fitted {
        let LogisticRegressionConfig { order, counts, missing, cross_validate, penalty, .. } = self.config;
        let (features, rows) = Features::fit(examples, BagConfig { order, counts }, missing);
        let width = features.width();
        let problem = Problem { rows, labels: examples.labels.clone(), classes: examples.classes, width };
        // What is not complete has no part in fitting.
        let problem = match (&examples.inputs, missing) {
            (ExampleInputs::Rows(rows), Missing::CompleteCases) => {
                let complete = |row: &[f64]| row.iter().all(|value| !value.is_nan());
                let kept: Vec<usize> = rows
                    .iter()
                    .enumerate()
                    .filter(|(_, row)| complete(row))
                    .map(|(index, _)| index)
                    .collect();
                problem.subset(&kept)
            }
            _ => problem,
        };
        let mut multiply_adds = 0;
        let penalty = if cross_validate { self.choose(&problem, &mut multiply_adds) } else { penalty };
        let start = vec![0.0; problem.parameters()];
        let mut weights = self.minimum(&problem, penalty, start, &mut multiply_adds);
        if let (Some(others), Features::Columns(scales)) = (others, &features) {
            let others = scales.rows(others);
            weights = self.teach(&problem, &others, penalty, weights, &mut multiply_adds);
        }
        if let (2, true, Some(intercept)) = (examples.classes, self.config.prior > 0.0, weights.last_mut()) {
            let counts = examples.class_counts();
            let trained = ((counts[1] as f64 + 1.0) / (counts[0] as f64 + 1.0)).ln();
            *intercept += (self.config.prior / (1.0 - self.config.prior)).ln() - trained;
        }
        Fitted { classes: examples.classes, width, features, weights, multiply_adds }
    }

    fn minimum(&self, problem: &Problem, penalty: f64, start: Vec<f64>, multiply_adds: &mut u64) -> Vec<f64> {
        if problem.labels.is_empty() {
            return start;
        }
        let LogisticRegressionConfig { tolerance, iterations, norm, .. } = self.config;
        let (squares, absolute) = match norm {
            Norm::L2 => (penalty, Absolute::NONE),
            Norm::L1 => {
                let strength = penalty / problem.labels.len() as f64;
                (0.0, Absolute { strength, entries: problem.width * problem.outputs() })
            }
        };
        let found = minimise(start, absolute, tolerance, iterations, |at, gradient| {
            problem.loss(squares, at, gradient)
        });
        // Every value meets every weighted sum twice: forward, and in the gradient.
        let once = 2 * (problem.rows.values.len() * problem.outputs()) as u64;
        *multiply_adds += found.evaluations * once;
        found.point
    }

    /// The weights after it has taught itself from rows whose class is not told.
    fn teach(
        &self,
        told: &Problem,
        others: &SparseRows,
        penalty: f64,
        mut weights: Vec<f64>,
        multiply_adds: &mut u64,
    ) -> Vec<f64> {
        let mut before: Vec<Option<usize>> = Vec::new();
        for _ in 0..ROUNDS {
            let named: Vec<Option<usize>> =
                (0..others.len()).map(|row| self.named(told, others, row, &weights)).collect();
            if named == before {
                break;
            }
            let mut problem = told.subset(&(0..told.labels.len()).collect::<Vec<usize>>());
            for (row, class) in named.iter().enumerate() {
                if let Some(class) = class {
                    problem.rows.push(others.row(row));
                    problem.labels.push(*class);
                }
            }
            weights = self.minimum(&problem, penalty, weights, multiply_adds);
            before = named;
        }
        weights
    }

    /// The likeliest class of a row, if its probability is more than `confidence`.
    fn named(&self, told: &Problem, others: &SparseRows, row: usize, weights: &[f64]) -> Option<usize> {
        let mut sums = vec![0.0; told.outputs()];
        weighted_sums(others, row, told.width, weights, &mut sums);
        let scores = if told.classes == 2 { vec![0.0, sums[0]] } else { sums };
        let logs = log_normalised(scores);
        let likeliest = (0..logs.len()).max_by(|&a, &b| logs[a].total_cmp(&logs[b]))?;
        (logs[likeliest].exp() > self.config.confidence).then_some(likeliest)
    }

    /// The penalty with the least log-loss on the folds.
    fn choose(&self, problem: &Problem, multiply_adds: &mut u64) -> f64 {
        let mut losses = [0.0; PENALTIES.len()];
        let folds = problem.folds();
        for fold in 0..FOLDS {
            let (held_out, kept): (Vec<usize>, Vec<usize>) =
                (0..problem.labels.len()).partition(|&example| folds[example] == fold);
            let (held_out, kept) = (problem.subset(&held_out), problem.subset(&kept));
            let mut start = vec![0.0; problem.parameters()];
            for (loss, &penalty) in losses.iter_mut().zip(&PENALTIES) {
                start = self.minimum(&kept, penalty, start, multiply_adds);
                *loss += held_out.log_loss(&start);
            }
        }
        let best = losses.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(1.0, |(index, _)| PENALTIES[index])
    }
}

/// What is minimised. Weights are `[features, outputs]`, then the intercepts, `[outputs]`.
struct Problem {
    rows: SparseRows,
    labels: Vec<usize>,
    classes: usize,
    /// Number of features.
    width: usize,
}

impl Problem {
    /// Weighted sums an example: one for two classes, otherwise one a class.
    fn outputs(&self) -> usize {
        outputs(self.classes)
    }

    fn parameters(&self) -> usize {
        (self.width + 1) * self.outputs()
    }

    /// The fold of each example: the members of a class are dealt out in order, one class after the other.
    fn folds(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        order.sort_by_key(|&example| self.labels[example]);
        let mut folds = vec![0; order.len()];
        for (place, example) in order.into_iter().enumerate() {
            folds[example] = place % FOLDS;
        }
        folds
    }

    fn subset(&self, examples: &[usize]) -> Self {
        let labels = examples.iter().map(|&example| self.labels[example]).collect();
        Self { rows: self.rows.subset(examples), labels, classes: self.classes, width: self.width }
    }

    /// The penalised mean loss, and its gradient.
    fn loss(&self, penalty: f64, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let outputs = self.outputs();
        gradient.fill(0.0);
        let mut sums = vec![0.0; outputs];
        let mut total = 0.0;
        for (row, &label) in self.labels.iter().enumerate() {
            weighted_sums(&self.rows, row, self.width, weights, &mut sums);
            total -= residuals(&mut sums, self.classes, label);
            for (feature, value) in self.rows.row(row) {
                let of_feature = &mut gradient[feature * outputs..][..outputs];
                of_feature.iter_mut().zip(&sums).for_each(|(entry, residual)| *entry += value * residual);
            }
            let intercepts = &mut gradient[self.width * outputs..];
            intercepts.iter_mut().zip(&sums).for_each(|(entry, residual)| *entry += residual);
        }
        let penalised = ..self.width * outputs;
        let squares: f64 = weights[penalised].iter().map(|weight| weight * weight).sum();
        for (entry, weight) in gradient[penalised].iter_mut().zip(&weights[penalised]) {
            *entry += penalty * weight;
        }
        let n = self.labels.len().max(1) as f64;
        for entry in gradient.iter_mut() {
            *entry /= n;
        }
        (total + 0.5 * penalty * squares) / n
    }

    /// The sum of the losses, without a penalty.
    fn log_loss(&self, weights: &[f64]) -> f64 {
        let mut sums = vec![0.0; self.outputs()];
        let of_example = |(row, &label): (usize, &usize)| {
            weighted_sums(&self.rows, row, self.width, weights, &mut sums);
            -residuals(&mut sums, self.classes, label)
        };
        self.labels.iter().enumerate().map(of_example).sum()
    }
}

fn outputs(classes: usize) -> usize {
    if classes == 2 { 1 } else { classes }
}

/// w x + b of an example.
fn weighted_sums(rows: &SparseRows, row: usize, width: usize, weights: &[f64], sums: &mut [f64]) {
    let outputs = sums.len();
    sums.copy_from_slice(&weights[width * outputs..]);
    if let [sum] = sums {
        *sum += rows.row(row).map(|(feature, value)| value * weights[feature]).sum::<f64>();
    } else {
        for (feature, value) in rows.row(row) {
            let of_feature = &weights[feature * outputs..][..outputs];
            sums.iter_mut().zip(of_feature).for_each(|(sum, weight)| *sum += value * weight);
        }
    }
}

/// Turns weighted sums into the derivatives of the loss by them, and returns the log-probability of the label.
fn residuals(sums: &mut [f64], classes: usize, label: usize) -> f64 {
    if let ([sum], 2) = (&mut *sums, classes) {
        // log P(1) = -ln(1 + e^-z), without overflow whatever the sign.
        let signed = if label == 1 { *sum } else { -*sum };
        let small = (-signed.abs()).exp();
        let log_probability = -(small.ln_1p() + (-signed).max(0.0));
        let inverse_odds = if *sum >= 0.0 { small } else { (-*sum).exp() };
        *sum = 1.0 / (1.0 + inverse_odds) - label as f64;
        return log_probability;
    }
    let largest = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let of_label = sums[label] - largest;
    let mut total = 0.0;
    for sum in sums.iter_mut() {
        *sum = (*sum - largest).exp();
        total += *sum;
    }
    for sum in sums.iter_mut() {
        *sum /= total;
    }
    sums[label] -= 1.0;
    of_label - total.ln()
}

impl Learner for LogisticRegression {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        if data.interface().loss == LossKind::Density {
            return Err(LearnError::Unsuitable { model: NAME, reason: NOTHING_TO_ANSWER.to_owned() });
        }
        let (examples, others) = Examples::told_and_others(data, NAME, self.config.unlabelled)?;
        if self.config.prior > 0.0 && examples.classes != 2 {
            let reason = format!(
                "`prior` is the share of the second of two classes, and here are {}",
                examples.classes
            );
            return Err(LearnError::Unsuitable { model: NAME, reason });
        }
        let fitted = self.descend(&examples, others.as_ref());
        let multiply_adds = fitted.multiply_adds;
        Ok(Fit { multiply_adds, ..fit_without_updates(Box::new(fitted), data, run) })
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        // The examples, twice in cross-validation, and what is remembered of some twenty steps.
        3 * crate::examples::bytes(data) + validation_bytes(data)
    }
}

/// Fitted logistic regression.
#[derive(Clone, Debug)]
struct Fitted {
    classes: usize,
    width: usize,
    features: Features,
    weights: Vec<f64>,
    multiply_adds: u64,
}

impl Fitted {
    /// Natural log-probabilities of the classes for each example.
    fn log_probabilities(&self, rows: &SparseRows) -> Vec<Vec<f64>> {
        let mut sums = vec![0.0; outputs(self.classes)];
        let of_row = |row| {
            weighted_sums(rows, row, self.width, &self.weights, &mut sums);
            let mut scores = sums.clone();
            if self.classes == 2 {
                scores.insert(0, 0.0);
            }
            log_normalised(scores)
        };
        (0..rows.len()).map(of_row).collect()
    }
}

impl Predictor for Fitted {
    fn predict(&self, batch: &Batch) -> Predictions {
        let rows = self.features.rows(batch);
        let mut answers = self.log_probabilities(&rows).into_iter();
        predictions(batch, self.classes, |_| answers.next().unwrap_or_default())
    }

    /// Weight times value, which with the intercept is, of two classes, the log-odds.
    fn explanations(&self, batch: &Batch, classes: &[u32]) -> Vec<Explanation> {
        let Features::Bag(bag) = &self.features else { return Vec::new() };
        let outputs = outputs(self.classes);
        let weight = |feature: usize, class: usize| match (self.classes, class) {
            (2, 0) => 0.0,
            (2, _) => self.weights[feature],
            _ => self.weights[feature * outputs + class],
        };
        let relevance = bag.relevance_for(batch, classes, self.classes, weight);
        vec![Explanation { name: GRADIENT_TIMES_INPUT, relevance }]
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.weights.len()
    }
}

#[cfg(test)]
mod tests {
    use sequence::Column;

    use super::*;

    fn problem(classes: usize) -> Problem {
        let mut rows = SparseRows::new();
        for row in [[1.0, 0.0, 2.0], [0.0, -1.0, 0.5], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]] {
            rows.push(row.into_iter().enumerate());
        }
        Problem { rows, labels: vec![0, 1, classes - 1, 0], classes, width: 3 }
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        for classes in [2, 3] {
            let problem = problem(classes);
            let weights: Vec<f64> =
                (0..problem.parameters()).map(|index| 0.3 * (index as f64).sin()).collect();
            let mut gradient = vec![0.0; weights.len()];
            problem.loss(0.7, &weights, &mut gradient);
            for index in 0..weights.len() {
                let at = |step: f64| {
                    let mut moved = weights.clone();
                    moved[index] += step;
                    problem.loss(0.7, &moved, &mut vec![0.0; moved.len()])
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!(
                    (difference - gradient[index]).abs() < 1e-9,
                    "{classes} classes, {index}: {difference}"
                );
            }
        }
    }

    #[test]
    fn every_fold_has_its_share_of_the_classes() {
        let labels: Vec<usize> = (0..50).map(|example| example % 5).collect();
        let problem = Problem { rows: SparseRows::new(), labels, classes: 5, width: 0 };
        let folds = problem.folds();
        for fold in 0..FOLDS {
            for class in 0..5 {
                let members = (0..50).filter(|&example| folds[example] == fold && example % 5 == class);
                assert_eq!(members.count(), 2, "class {class} in fold {fold}");
            }
        }
    }

    fn rows(values: &[f64]) -> Rows {
        Rows { width: 2, values: values.to_vec() }
    }

    #[test]
    fn without_a_complete_example_nothing_is_known() {
        let config = LogisticRegressionConfig {
            missing: Missing::CompleteCases,
            ..LogisticRegressionConfig::default()
        };
        let examples = Examples {
            inputs: ExampleInputs::Rows(rows(&[f64::NAN, 0.0, 3.0, f64::NAN])),
            columns: vec![Column::Real, Column::Category { levels: 2 }],
            labels: vec![0, 1],
            classes: 2,
        };
        let fitted = LogisticRegression { config }.descend(&examples, None);
        assert!(fitted.weights.iter().all(|&weight| weight == 0.0));
    }

    #[test]
    fn it_teaches_itself_what_it_is_sure_of() {
        // Two classes at -2 and 2; of the others, those far out are sure, and one in the middle is not.
        let examples = Examples {
            inputs: ExampleInputs::Rows(Rows { width: 1, values: vec![-2.0, -2.2, 2.0, 2.2] }),
            columns: vec![Column::Real],
            labels: vec![0, 0, 1, 1],
            classes: 2,
        };
        let others = Rows { width: 1, values: vec![-3.0, -3.1, 3.0, 3.1, 0.05] };
        let config = LogisticRegressionConfig { penalty: 0.1, ..LogisticRegressionConfig::default() };
        let learner = LogisticRegression { config };
        let alone = learner.descend(&examples, None);
        let taught = learner.descend(&examples, Some(&others));
        // As if those that are sure had been told, on the scale of the labelled examples.
        let Features::Columns(scales) = &alone.features else { panic!("rows are columns") };
        let values = vec![-2.0, -2.2, 2.0, 2.2, -3.0, -3.1, 3.0, 3.1];
        let labels = vec![0, 0, 1, 1, 0, 0, 1, 1];
        let problem = Problem { rows: scales.rows(&Rows { width: 1, values }), labels, classes: 2, width: 1 };
        let told = learner.minimum(&problem, 0.1, vec![0.0; 2], &mut 0);
        for (a, b) in taught.weights.iter().zip(&told) {
            assert!((a - b).abs() < 1e-4, "{:?} {told:?}", taught.weights);
        }
        assert!((alone.weights[0] - told[0]).abs() > 1e-2);
        // Where nothing is sure enough, nothing is learnt.
        let config = LogisticRegressionConfig { confidence: 0.999_999, ..config };
        let careful = LogisticRegression { config }.descend(&examples, Some(&others));
        assert!((careful.weights[0] - alone.weights[0]).abs() < 1e-6);
    }

    #[test]
    fn a_moved_intercept_changes_the_odds_by_as_much() {
        let examples = Examples {
            inputs: ExampleInputs::Symbols(vec![vec![1], vec![2], vec![1, 2], vec![2]]),
            columns: Vec::new(),
            labels: vec![0, 1, 0, 1],
            classes: 2,
        };
        let odds = |prior| {
            let config = LogisticRegressionConfig { prior, ..LogisticRegressionConfig::default() };
            let fitted = LogisticRegression { config }.descend(&examples, None);
            let Features::Bag(bag) = &fitted.features else { panic!("symbols are bags") };
            let answer = fitted.log_probabilities(&bag.rows(&[vec![1]])).remove(0);
            answer[1] - answer[0]
        };
        // Both classes had the same share, so that all of ln 4 is added.
        assert!((odds(0.8) - odds(0.0) - 4.0_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config: LogisticRegressionConfig| config.learner().err().unwrap().to_string();
        let standard = LogisticRegressionConfig::default();
        assert!(refusal(LogisticRegressionConfig { penalty: -1.0, ..standard }).contains("`penalty` is -1"));
        assert!(
            refusal(LogisticRegressionConfig { tolerance: 0.0, ..standard }).contains("`tolerance` is 0")
        );
        let sure = LogisticRegressionConfig { confidence: 1.0, ..standard };
        assert!(refusal(sure).contains("`confidence` is 1"));
        assert!(
            refusal(LogisticRegressionConfig { iterations: 0, ..standard }).contains("`iterations` is 0")
        );
    }
}
