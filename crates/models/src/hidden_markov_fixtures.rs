//! The hidden Markov model against hmmlearn, by the fixtures that `fixtures/hidden_markov.py` wrote: probabilities and the parameters that
//! Baum-Welch comes to within 1e-8, the likeliest paths exactly.

use serde::Deserialize;
use serde_json::Value;

use crate::hidden_markov::{HiddenMarkov, HiddenMarkovConfig, Observed};

#[derive(Deserialize)]
struct Parameters {
    start: Vec<f64>,
    transitions: Vec<f64>,
    emissions: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    states: usize,
    symbols: usize,
    sequences: Vec<Vec<u32>>,
    #[serde(rename = "log-probabilities")]
    log_probabilities: Vec<f64>,
    paths: Vec<Vec<usize>>,
    #[serde(rename = "path log-probabilities")]
    path_log_probabilities: Vec<f64>,
    smoothed: Vec<Vec<f64>>,
    before: Parameters,
    after: Parameters,
    #[serde(rename = "log-probability after")]
    log_probability_after: f64,
}

fn cases() -> Vec<(String, Case, Parameters)> {
    let all: Value = serde_json::from_str(include_str!("../fixtures/hidden_markov.json")).unwrap();
    let of = |(name, case): (&String, &Value)| {
        let parameters = serde_json::from_value(case.clone()).unwrap();
        (name.clone(), serde_json::from_value(case.clone()).unwrap(), parameters)
    };
    all.as_object().unwrap().iter().map(of).collect()
}

fn model(case: &Case, of: &Parameters) -> HiddenMarkov {
    HiddenMarkov {
        states: case.states,
        symbols: case.symbols,
        start: of.start.clone(),
        transitions: of.transitions.clone(),
        emissions: of.emissions.clone(),
    }
}

fn close(name: &str, ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len(), "{name}");
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() < 1e-8, "{name}: {a} is not {b}");
    }
}

#[test]
fn probabilities_and_paths_are_those_of_hmmlearn() {
    let cases = cases();
    assert_eq!(cases.len(), 4);
    for (name, case, parameters) in &cases {
        let model = model(case, parameters);
        for (row, sequence) in case.sequences.iter().enumerate() {
            let observed = Observed::of(sequence, case.symbols);
            close(name, &[model.log_probability(&observed)], &[case.log_probabilities[row]]);
            let (path, log_probability) = model.viterbi(&observed);
            assert_eq!(path, case.paths[row], "{name}");
            close(name, &[log_probability], &[case.path_log_probabilities[row]]);
            close(name, &model.smoothed(&observed), &case.smoothed[row]);
        }
    }
}

#[test]
fn ten_iterations_come_to_the_parameters_of_hmmlearn() {
    let config = HiddenMarkovConfig {
        iterations: 10,
        tolerance: 0.0,
        smoothing: 0.0,
        ..HiddenMarkovConfig::default()
    };
    for (name, case, _) in &cases() {
        let all: Vec<Observed> =
            case.sequences.iter().map(|sequence| Observed::of(sequence, case.symbols)).collect();
        let (model, course) = model(case, &case.before).baum_welch(&all, &config);
        // One state is where it ends after the first.
        assert!(course.len() == 10 || case.states == 1, "{name} took {}", course.len());
        close(name, &model.start, &case.after.start);
        close(name, &model.transitions, &case.after.transitions);
        close(name, &model.emissions, &case.after.emissions);
        let sum: f64 = all.iter().map(|sequence| model.log_probability(sequence)).sum();
        close(name, &[sum], &[case.log_probability_after]);
    }
}
