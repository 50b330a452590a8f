//! How far a model's distribution is from the true one, over everything that can be seen.
//!
//! ```text
//! KL(P || Q) = sum over x, y of P(x, y) log (P(x, y) / Q(x, y))  =  KL of the marginal of x  +  KL of y given x
//! ```
//!
//! For tasks of few binary features whose probabilities are known ([`sequence::Task::log_joint`]): every row and class is enumerated. A model
//! that has no joint distribution, because it says nothing of x, has the last part alone; its other two rows read not attempted.

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Budget, InputKind, Inputs, StopRule, Targets, Task};
use serde::{Deserialize, Serialize};

use super::{
    CellContext, Costs, MeasurementEntry, Schedule, TEST, VALIDATION, Yield, Yielded, counted, row, scores,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "joint",
    summary: "how far a model's distribution of examples and classes is from the true one",
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

/// There are no settings.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {}

/// Features of a row at most, so that there are few rows.
const MOST_FEATURES: usize = 16;
const JOINT: &str = "kl-joint";
const MARGINAL: &str = "kl-marginal";
const CONDITIONAL: &str = "kl-conditional";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let _: Config = parse(settings)?;
    if facts.outputs != 2 || facts.time != 1 {
        return Err("it needs a task of two classes and binary features, and this is another one".to_owned());
    }
    Ok(())
}

fn yields(_: &Settings, facts: &Facts) -> Vec<Yielded> {
    let mut all: Vec<Yielded> =
        [JOINT, MARGINAL, CONDITIONAL].map(|metric| Yielded::new(TEST, metric)).into();
    all.extend(facts.metrics.iter().map(|metric| Yielded::new(VALIDATION, *metric)));
    all
}

fn seconds(_: &Settings, cost: &Costs) -> f64 {
    let cost = cost(&Settings::new());
    cost.update + 2.0 * cost.validation
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let none = Settings::new();
    let task = context.task(&none)?;
    let learner = context.learner(&none, None)?;
    let budget = Budget { updates: 1, evaluate_every: 1 };
    let fit = context.fit(task.as_ref(), learner.as_ref(), budget, StopRule::Budget, None)?;
    let every = [every_row(task.as_ref(), 0)?, every_row(task.as_ref(), 1)?];
    let wrong = |message: &str| ExperimentError::Cell(format!("task `{}` {message}", context.cell.task.name));
    let truth = every.iter().map(|batch| task.log_joint(batch)).collect::<Option<Vec<_>>>();
    let truth = truth.ok_or_else(|| wrong("does not know the probabilities of its examples"))?;
    let joint = every.iter().map(|batch| fit.predictor.log_joint(batch)).collect::<Option<Vec<_>>>();
    let answers = fit.predictor.predict(&every[0]);
    let answers: Vec<[f64; 2]> =
        answers.values.chunks_exact(2).map(|pair| [pair[0], pair[1]].map(f64::from)).collect();
    let divergence = Divergence::of(&truth, joint.as_deref(), &answers);

    let maybe = |metric, value: Option<f64>| match value {
        Some(value) => row(&none, TEST, metric, Outcome::Ok, value),
        None => row(&none, TEST, metric, Outcome::NotAttempted, f64::NAN),
    };
    let mut rows = vec![
        maybe(JOINT, divergence.joint),
        maybe(MARGINAL, divergence.marginal),
        row(&none, TEST, CONDITIONAL, Outcome::Ok, divergence.conditional),
    ];
    for score in scores(task.as_ref(), fit.predictor.as_ref(), &task.validation(context.cell.seed)) {
        rows.push(counted(&none, VALIDATION, score.metric, Outcome::Ok, score.value, score.count));
    }
    Ok(Yield { outcome: Outcome::Ok, message: None, rows, curve: Vec::new(), step_seconds: Vec::new() })
}

/// Every row of binary features, all of one class.
fn every_row(task: &dyn Task, class: u32) -> Result<Batch, ExperimentError> {
    let InputKind::Features { width } = task.interface().inputs else {
        return Err(ExperimentError::Cell(format!("task `{}` has no features", task.name())));
    };
    if width > MOST_FEATURES {
        let message =
            format!("task `{}` has {width} features, at most {MOST_FEATURES} can be enumerated", task.name());
        return Err(ExperimentError::Cell(message));
    }
    let size = 1_usize << width;
    let value = |row: usize, feature: usize| f32::from(u8::from(row >> feature & 1 == 1));
    Ok(Batch {
        size,
        time: 1,
        inputs: Inputs::Features {
            width,
            values: (0..size).flat_map(|row| (0..width).map(move |feature| value(row, feature))).collect(),
        },
        source: None,
        targets: Targets::Classes(vec![class; size]),
        loss_mask: vec![true; size],
        lengths: vec![1; size],
    })
}

/// Kullback-Leibler divergences from the truth, in nats.
#[derive(Debug, PartialEq)]
struct Divergence {
    joint: Option<f64>,
    marginal: Option<f64>,
    conditional: f64,
}

impl Divergence {
    /// From log-probabilities of every row with class 0 and with class 1, the model's if it has them, and of its answers.
    fn of(truth: &[Vec<f64>], model: Option<&[Vec<f64>]>, answers: &[[f64; 2]]) -> Self {
        let both = |a: f64, b: f64| a.max(b) + (-(a - b).abs()).exp().ln_1p();
        let (mut joint, mut marginal, mut conditional) = (0.0, 0.0, 0.0);
        for (row, answer) in answers.iter().enumerate() {
            let of_row = [truth[0][row], truth[1][row]];
            let seen = both(of_row[0], of_row[1]);
            for (class, &log) in of_row.iter().enumerate().filter(|(_, log)| **log > f64::NEG_INFINITY) {
                let probability = log.exp();
                conditional += probability * (log - seen - answer[class]);
                if let Some(model) = model {
                    joint += probability * (log - model[class][row]);
                    marginal += probability * (seen - both(model[0][row], model[1][row]));
                }
            }
        }
        Self { joint: model.map(|_| joint), marginal: model.map(|_| marginal), conditional }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_joint_is_the_marginal_and_the_conditional() {
        let log = |values: [f64; 2]| values.map(f64::ln).to_vec();
        // Two rows. Truth: P(x=0, y=0) = .4, P(x=1, y=0) = .1, P(x=0, y=1) = .2, P(x=1, y=1) = .3.
        let truth = [log([0.4, 0.1]), log([0.2, 0.3])];
        assert_eq!(
            Divergence::of(
                &truth,
                Some(&truth),
                &[[(4.0_f64 / 6.0).ln(), (2.0_f64 / 6.0).ln()], [0.25_f64.ln(), 0.75_f64.ln()]]
            )
            .joint,
            Some(0.0)
        );
        // A model for which all four are equally likely: KL = ln 4 - H, by hand .4 ln 1.6 + .1 ln .4 + .2 ln .8 + .3 ln 1.2.
        let even = [log([0.25, 0.25]), log([0.25, 0.25])];
        let found = Divergence::of(&truth, Some(&even), &[[0.5_f64.ln(); 2]; 2]);
        let expected = 0.4 * 1.6_f64.ln() + 0.1 * 0.4_f64.ln() + 0.2 * 0.8_f64.ln() + 0.3 * 1.2_f64.ln();
        assert!((found.joint.unwrap() - expected).abs() < 1e-12, "{found:?}");
        assert!(
            (found.joint.unwrap() - found.marginal.unwrap() - found.conditional).abs() < 1e-12,
            "{found:?}"
        );
        // Without a joint distribution the conditional part alone is known, and it is the same.
        let alone = Divergence::of(&truth, None, &[[0.5_f64.ln(); 2]; 2]);
        assert_eq!((alone.joint, alone.marginal, alone.conditional), (None, None, found.conditional));
    }
}
