//! Six questions about the same rows, put to one model that was fitted once, or to a specialist that was fitted for the question.
//!
//! | question | what is scored |
//! |---|---|
//! | classify | the error on test rows |
//! | prior | the cross-entropy where the second class has a tenth of its former share: answers are moved by the difference of the log-odds, and nothing is fitted again |
//! | draw | how well a classifier of nearest neighbours tells drawn rows from test rows (area under the curve, 0.5 is not at all) |
//! | complete | the root of the mean squared error of a value of a test row, the others known, averaged over the columns |
//! | outliers | how well test rows are told from rows whose values come from test rows of their own each (area under the curve, 1 is always) |
//! | density | nats a test row, the negative log-likelihood |
//!
//! With `fitted-for = "everything"` the model is fitted once, to rows and classes, and answers what it can; the others read not attempted, and
//! `answered` counts. With the name of one question it is fitted for that alone: a regression of each column on the others to complete, a
//! classifier of training rows and rows so mixed to find outliers, a density without classes to tell it or to draw.

use record::Settings;
use record::cell::{Outcome, Row};
use sequence::{
    Batch, Column, Dataset, Floor, InputKind, Inputs, Interface, LogDensities, LossKind, Predictions,
    Predictor, Random, Run, Score, StopRule, Stream, Targets, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::generation::{auc, two_sample_auc};
use super::part::{error, rows, training_rows};
use super::{CellContext, Costs, MeasurementEntry, Schedule, TEST, Yield, Yielded, counted, first, row};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "queries",
    summary: "six questions to a model that was fitted once, or one to a specialist",
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

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// What the model is fitted for.
    fitted_for: Purpose,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Purpose {
    /// One fit to rows and classes, and all questions.
    #[default]
    Everything,
    /// Classes, and their probabilities where the shares of the classes are others.
    Classify,
    /// Drawing rows, and telling their density.
    Density,
    /// Each value from the others.
    Complete,
    /// Rows whose values do not belong together.
    Outliers,
}

const CLASSIFY: &str = "classification-error";
const PRIOR: &str = "cross-entropy-other-shares";
const DRAW: &str = "draw-auc";
const COMPLETE: &str = "completion-error";
const OUTLIERS: &str = "mixed-row-auc";
const DENSITY: &str = "nats-a-row";
const QUESTIONS: [&str; 6] = [CLASSIFY, PRIOR, DRAW, COMPLETE, OUTLIERS, DENSITY];
/// How many of them have an answer.
const ANSWERED: &str = "answered";

/// Test rows of each side that are looked at where every one is compared with every other.
const COMPARED: usize = 1000;
/// Of the rows of the second class one in so many is kept where the shares are others.
const KEPT: usize = 10;

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let _: Config = parse(settings)?;
    if facts.outputs != 2 || facts.time != 1 {
        return Err("it needs a task of rows in two classes, and this is another one".to_owned());
    }
    Ok(())
}

fn yields(_: &Settings, _: &Facts) -> Vec<Yielded> {
    QUESTIONS.into_iter().chain([ANSWERED]).map(|metric| Yielded::new(TEST, metric)).collect()
}

fn seconds(_: &Settings, cost: &Costs) -> f64 {
    let cost = cost(&Settings::new());
    10.0 * cost.validation + 10.0 * cost.test
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let seed = context.cell.seed;
    let task = context.task(&none)?;
    let wrong = |message: &str| ExperimentError::Cell(format!("task `{}` {message}", task.name()));
    if task.columns().is_some_and(|columns| columns.iter().any(|column| *column != Column::Real)) {
        return Err(wrong("has columns that are not real numbers"));
    }
    let training = training_rows(task.as_ref(), seed)?;
    let validation =
        task.validation(seed).into_iter().next().ok_or_else(|| wrong("has no validation rows"))?;
    let test = task.test(seed).into_iter().find(|set| set.name == TEST);
    let test =
        test.and_then(|set| set.batches.into_iter().next()).ok_or_else(|| wrong("has no test rows"))?;
    let known = |batch: &Batch| values(batch).iter().all(|value| value.is_finite());
    if ![&training, &validation, &test].into_iter().all(known) {
        return Err(wrong("has missing values, which only one of the questions is about"));
    }
    let learner = context.learner(&none, None)?;
    let fit = |task: &dyn Task| -> Result<Box<dyn Predictor>, ExperimentError> {
        let data = Dataset::new(task, seed, context.batch_size());
        let budget = sequence::Budget { updates: 1, evaluate_every: 1 };
        let mut run =
            Run { budget, stop: StopRule::Budget, seed, stopwatch: context.machine, observer: None };
        Ok(learner.fit(&data, &mut run)?.predictor)
    };
    let mut random = Random::new(seed, Stream::Order);
    let answers = match config.fitted_for {
        Purpose::Everything => {
            let model = fit(task.as_ref())?;
            let mut answers = of_classes(task.as_ref(), model.as_ref(), &training, &test);
            answers.extend(of_density(model.as_ref(), &test, seed));
            if let Some(generative) = model.generative() {
                let columns = 0..width(&test);
                let completed: Option<Vec<f64>> = columns
                    .map(|column| Some(off(&generative.completed(&without(&test, column))?, &test, column)))
                    .collect();
                answers.extend(completed.map(|errors| (COMPLETE, root_of_mean(&errors))));
                let likely = |batch: &Batch| densities(model.as_ref(), batch);
                let mixed = mixed(&test, &mut random);
                let both = likely(&test).zip(likely(&mixed));
                answers.extend(both.map(|(inside, outside)| (OUTLIERS, auc(&inside, &outside))));
            }
            answers
        }
        Purpose::Classify => of_classes(task.as_ref(), fit(task.as_ref())?.as_ref(), &training, &test),
        Purpose::Density => {
            let derived = Derived::density(&training, &validation);
            of_density(fit(&derived)?.as_ref(), &test, seed)
        }
        Purpose::Complete => {
            let mut errors = Vec::new();
            for column in 0..width(&test) {
                let model = fit(&Derived::completion(&training, &validation, column))?;
                let expected = model.predict(&Derived::one_column(&test, column)).values;
                errors.push(mean_square(expected.iter().zip(column_of(&test, column))));
            }
            vec![(COMPLETE, root_of_mean(&errors))]
        }
        Purpose::Outliers => {
            let model = fit(&Derived::outliers(&training, &validation, &mut random))?;
            let belongs = |batch: &Batch| -> Vec<f64> {
                model.predict(batch).values.chunks_exact(2).map(|logs| f64::from(logs[0] - logs[1])).collect()
            };
            let mixed = mixed(&test, &mut random);
            vec![(OUTLIERS, auc(&belongs(&test), &belongs(&mixed)))]
        }
    };
    let of_question = |question: &&'static str| -> Row {
        match answers.iter().find(|(name, _)| name == question) {
            Some((_, value)) if *question == CLASSIFY => {
                counted(&none, TEST, question, Outcome::Ok, *value, test.size)
            }
            Some((_, value)) => row(&none, TEST, question, Outcome::Ok, *value),
            None => row(&none, TEST, question, Outcome::NotAttempted, f64::NAN),
        }
    };
    let mut found: Vec<Row> = QUESTIONS.iter().map(of_question).collect();
    found.push(row(&none, TEST, ANSWERED, Outcome::Ok, answers.len() as f64));
    Ok(Yield {
        outcome: Outcome::Ok,
        message: None,
        rows: found,
        curve: Vec::new(),
        step_seconds: Vec::new(),
    })
}

type Answers = Vec<(&'static str, f64)>;

/// What a classifier answers.
fn of_classes(task: &dyn Task, model: &dyn Predictor, training: &Batch, test: &Batch) -> Answers {
    let answers = model.predict(test);
    if answers.outputs != 2 {
        return Vec::new();
    }
    let ones = |batch: &Batch| classes(batch).iter().filter(|class| **class == 1).count() as f64;
    let trained = (ones(training) + 1.0) / (training.size as f64 - ones(training) + 1.0);
    // One in ten of the second class is kept, by which its odds fall.
    let mut second = 0;
    let kept: Vec<usize> = (0..test.size)
        .filter(|&row| {
            second += usize::from(classes(test)[row] == 1);
            classes(test)[row] == 0 || second % KEPT == 1
        })
        .collect();
    let fewer = kept.iter().filter(|&&row| classes(test)[row] == 1).count() as f64;
    let odds = fewer / (kept.len() as f64 - fewer);
    let moved = (odds / trained).ln();
    let nats = |&row: &usize| {
        let logs = answers.at(row);
        let difference = f64::from(logs[1]) - f64::from(logs[0]) + moved;
        let signed = if classes(test)[row] == 1 { difference } else { -difference };
        (-signed.abs()).exp().ln_1p() + (-signed).max(0.0)
    };
    let cross_entropy = kept.iter().map(nats).sum::<f64>() / kept.len() as f64;
    vec![(CLASSIFY, error(task, model, std::slice::from_ref(test)).0), (PRIOR, cross_entropy)]
}

/// What a model of the rows answers.
fn of_density(model: &dyn Predictor, test: &Batch, seed: u64) -> Answers {
    let Some(generative) = model.generative() else { return Vec::new() };
    let some = first(test, 2 * COMPARED);
    let drawn = generative.sample(some.size, &mut Random::new(seed, Stream::Sampling)).values;
    let mut answers = vec![(DRAW, two_sample_auc(values(&some), &drawn, width(test)))];
    if let Some(logs) = densities(model, test) {
        answers.push((DENSITY, -logs.iter().sum::<f64>() / logs.len() as f64));
    }
    answers
}

/// The exact logarithms of the densities of rows.
fn densities(model: &dyn Predictor, batch: &Batch) -> Option<Vec<f64>> {
    match model.generative()?.log_densities(batch) {
        LogDensities::Exact(values) => Some(values),
        LogDensities::LowerBound(_) | LogDensities::Unknown => None,
    }
}

fn values(batch: &Batch) -> &[f32] {
    match &batch.inputs {
        Inputs::Features { values, .. } => values,
        Inputs::Tokens(_) => &[],
    }
}

fn width(batch: &Batch) -> usize {
    match &batch.inputs {
        Inputs::Features { width, .. } => *width,
        Inputs::Tokens(_) => 1,
    }
}

fn classes(batch: &Batch) -> &[u32] {
    match &batch.targets {
        Targets::Classes(classes) => classes,
        Targets::Values(_) => &[],
    }
}

fn column_of(batch: &Batch, column: usize) -> impl Iterator<Item = &f32> {
    values(batch).iter().skip(column).step_by(width(batch))
}

/// The rows, one value of which is missing.
fn without(batch: &Batch, column: usize) -> Batch {
    let mut hidden = batch.clone();
    if let Inputs::Features { width, values } = &mut hidden.inputs {
        values.iter_mut().skip(column).step_by(*width).for_each(|value| *value = f32::NAN);
    }
    hidden
}

/// Rows of values that each stand in a row of the batch, in the same column, but not together.
fn mixed(batch: &Batch, random: &mut Random) -> Batch {
    let mut mixed = batch.clone();
    let of_rows = width(batch);
    for column in 0..of_rows {
        let mut of_column: Vec<f32> = column_of(batch, column).copied().collect();
        random.shuffle(&mut of_column);
        if let Inputs::Features { values, .. } = &mut mixed.inputs {
            values
                .iter_mut()
                .skip(column)
                .step_by(of_rows)
                .zip(of_column)
                .for_each(|(value, other)| *value = other);
        }
    }
    mixed
}

/// The mean square of what a column was completed with less what it is.
fn off(completed: &[f32], truth: &Batch, column: usize) -> f64 {
    mean_square(completed.iter().skip(column).step_by(width(truth)).zip(column_of(truth, column)))
}

fn mean_square<'a>(pairs: impl Iterator<Item = (&'a f32, &'a f32)>) -> f64 {
    let squares: Vec<f64> = pairs.map(|(a, b)| f64::from(a - b).powi(2)).collect();
    squares.iter().sum::<f64>() / squares.len().max(1) as f64
}

fn root_of_mean(squares: &[f64]) -> f64 {
    (squares.iter().sum::<f64>() / squares.len().max(1) as f64).sqrt()
}

/// Another task about the same rows, for a specialist.
struct Derived {
    interface: Interface,
    training: Batch,
    validation: Batch,
}

impl Derived {
    /// Of which nothing is asked.
    fn density(training: &Batch, validation: &Batch) -> Self {
        let of = |batch: &Batch| Batch { targets: Targets::Classes(vec![0; batch.size]), ..batch.clone() };
        Self::of(of(training), of(validation), 1, LossKind::Density)
    }

    /// Of which one value is asked.
    fn completion(training: &Batch, validation: &Batch, column: usize) -> Self {
        let of = |batch: &Batch| Self::one_column(batch, column);
        Self::of(of(training), of(validation), 1, LossKind::MeanSquaredError)
    }

    /// Rows, and as many mixed ones.
    fn outliers(training: &Batch, validation: &Batch, random: &mut Random) -> Self {
        let mut of = |batch: &Batch| {
            let mut both = batch.clone();
            let other = mixed(batch, random);
            if let Inputs::Features { values: of_both, .. } = &mut both.inputs {
                of_both.extend_from_slice(values(&other));
            }
            both.targets = Targets::Classes([vec![0; batch.size], vec![1; batch.size]].concat());
            both.size *= 2;
            both.loss_mask = vec![true; both.size];
            both.lengths = vec![1; both.size];
            both
        };
        Self::of(of(training), of(validation), 2, LossKind::CrossEntropy)
    }

    fn of(training: Batch, validation: Batch, outputs: usize, loss: LossKind) -> Self {
        let inputs = InputKind::Features { width: width(&training) };
        Self { interface: Interface { inputs, outputs, loss, maximum_time: 1 }, training, validation }
    }

    /// The other columns, and this one as what is asked.
    fn one_column(batch: &Batch, column: usize) -> Batch {
        let others: Vec<usize> = (0..width(batch)).filter(|&other| other != column).collect();
        let all: Vec<usize> = (0..batch.size).collect();
        let targets = Targets::Values(column_of(batch, column).copied().collect());
        Batch { targets, ..rows(batch, &all, Some(&others)) }
    }
}

impl Task for Derived {
    fn name(&self) -> &'static str {
        "derived"
    }

    fn version(&self) -> u32 {
        1
    }

    fn interface(&self) -> Interface {
        self.interface
    }

    fn training_batch(&self, _: u64, _: u64, _: usize) -> Batch {
        self.training.clone()
    }

    fn validation(&self, _: u64) -> Vec<Batch> {
        vec![self.validation.clone()]
    }

    fn test(&self, _: u64) -> Vec<TestSet> {
        Vec::new()
    }

    /// Nobody asks: a specialist is scored by its answer to the question.
    fn scores(&self, _: &[Batch], _: &[Predictions]) -> Vec<Score> {
        vec![Score { metric: "none", value: 0.0, count: 0 }]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    fn floors(&self) -> Vec<Floor> {
        Vec::new()
    }

    fn training_set(&self, _: u64) -> Option<Vec<Batch>> {
        Some(vec![self.training.clone()])
    }
}

#[cfg(test)]
mod tests {
    use record::cell::Component;
    use serde_json::{Value, json};

    use super::*;

    fn computed(model: &str, fitted_for: &str) -> record::cell::CellRecord {
        let folder = tempfile::tempdir().unwrap();
        let workspace = crate::testing::workspace(folder.path());
        let mut cell = crate::testing::planned_cell(5).cell;
        let component = |name: &str, settings: Value| Component {
            name: name.to_owned(),
            version: 1,
            settings: serde_json::from_value(settings).unwrap(),
        };
        let rows =
            json!({"examples": 2000, "missing": 0.0, "features": 2, "informative": 1, "correlation": 0.8});
        cell.task = component("gaussian-classes", rows);
        cell.model = component(model, json!({}));
        cell.size.body_parameters = None;
        cell.measurement = component("queries", json!({"fitted-for": fitted_for}));
        crate::compute(&cell, &workspace)
    }

    fn of(record: &record::cell::CellRecord, metric: &str) -> f64 {
        assert_eq!(record.message, None);
        record.rows.iter().find(|row| row.metric == metric).unwrap().value
    }

    #[test]
    fn one_fit_answers_six_questions_and_a_specialist_its_own() {
        let all = computed("gaussian-discriminant", "everything");
        assert_eq!(of(&all, ANSWERED), 6.0);
        // Two columns with a correlation of 0.8 within a class: classes a deviation apart in the first only have D^2 = 1 / (1 - 0.64), and
        // the error is P(standard normal > D / 2) = P(> 0.833) = 0.202.
        assert!((of(&all, CLASSIFY) - 0.202).abs() < 0.02, "{}", of(&all, CLASSIFY));
        // Drawn rows are those of the true distribution, nearly.
        assert!((of(&all, DRAW) - 0.5).abs() < 0.06, "{}", of(&all, DRAW));
        // The least squares of each column on the other: over both classes the first has variance 1.25, the second 1, and they covary by
        // 0.8, so that 1.25 - 0.64 and 1 - 0.512 are left; knowing of classes makes it a little less.
        let complete = computed("linear-regression", "complete");
        let by_hand = f64::midpoint(0.61, 0.488).sqrt();
        assert!((of(&complete, COMPLETE) - by_hand).abs() < 0.02, "{}", of(&complete, COMPLETE));
        assert!((of(&all, COMPLETE) - by_hand).abs() < 0.03 && of(&complete, ANSWERED) == 1.0);
        // The entropy of a normal distribution with that covariance bounds that of the rows: ln(2 pi e) + ln(1.25 - 0.64) / 2.
        let bound = (std::f64::consts::TAU * std::f64::consts::E).ln() + 0.5 * 0.61_f64.ln();
        let density = computed("kernel-density", "density");
        assert!((of(&all, DENSITY) - bound).abs() < 0.05 && of(&density, DENSITY) > of(&all, DENSITY) - 0.02);
        assert_eq!(of(&density, ANSWERED), 2.0);
        let forest = computed("random-forest", "outliers");
        assert!(of(&all, OUTLIERS) > 0.6 && of(&forest, OUTLIERS) > 0.6);
        let classifier = computed("logistic-regression", "everything");
        assert_eq!(of(&classifier, ANSWERED), 2.0);
        assert!((of(&classifier, PRIOR) - of(&all, PRIOR)).abs() < 0.01);
        assert!(of(&classifier, PRIOR) < 0.4, "{}", of(&classifier, PRIOR));
    }

    #[test]
    fn mixed_rows_hold_the_same_values() {
        let batch = Batch {
            size: 4,
            time: 1,
            inputs: Inputs::Features { width: 2, values: vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0] },
            source: None,
            targets: Targets::Classes(vec![0, 1, 0, 1]),
            loss_mask: vec![true; 4],
            lengths: vec![1; 4],
        };
        let mixed = mixed(&batch, &mut Random::new(2, Stream::Order));
        for column in 0..2 {
            let sorted = |batch: &Batch| {
                let mut all: Vec<f32> = column_of(batch, column).copied().collect();
                all.sort_by(f32::total_cmp);
                all
            };
            assert_eq!(sorted(&mixed), sorted(&batch));
        }
        assert_ne!(mixed.inputs, batch.inputs);
        let asked = Derived::one_column(&batch, 0);
        assert_eq!(values(&asked), [10.0, 20.0, 30.0, 40.0]);
        assert_eq!(asked.targets, Targets::Values(vec![1.0, 2.0, 3.0, 4.0]));
        assert!(column_of(&without(&batch, 1), 1).all(|value| value.is_nan()));
    }

    #[test]
    fn two_classes_are_needed() {
        let message = check(&Settings::new(), &Facts { outputs: 3, ..crate::testing::facts() }).unwrap_err();
        assert!(message.contains("two classes"), "{message}");
        let wrong = Settings::from([("fitted-for".to_owned(), json!("dancing"))]);
        assert!(check(&wrong, &crate::testing::facts()).is_err());
    }
}
