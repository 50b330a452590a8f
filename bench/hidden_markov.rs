//! Fits a hidden Markov model and answers with it; `bench/hidden_markov.py` times it beside hmmlearn.
//!
//! ```sh
//! cargo run --release --example hidden_markov -- FILE     # as `hidden_markov.py` writes it
//! ```
//!
//! Prints the processor seconds of Baum-Welch, of the probability of all sequences and of their likeliest paths, then the log-probability
//! and how often each state is on a path.
#![expect(clippy::print_stdout, reason = "the numbers are the purpose")]

use experiment::machine::processor_seconds;
use models::{HiddenMarkov, HiddenMarkovConfig, Observed};
use serde_json::Value;

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An entry of the file: matrices are row-major.
fn numbers(given: &Value, name: &str) -> Vec<f64> {
    serde_json::from_value(given[name].clone()).expect("the file is as the script writes it")
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let seconds = || processor_seconds().expect("the system tells processor time");
    let start = seconds();
    let result = work();
    (seconds() - start, result)
}

fn main() {
    let path = std::env::args().nth(1).expect("the file that holds sequences and a start");
    let text = std::fs::read_to_string(path).expect("the file can be read");
    let given: Value = serde_json::from_str(&text).expect("the file is as the script writes it");
    let sequences: Vec<Vec<u32>> =
        serde_json::from_value(given["sequences"].clone()).expect("sequences are lists of symbols");
    let iterations = given["iterations"].as_u64().and_then(|count| usize::try_from(count).ok());
    let (start, emissions) = (numbers(&given, "start"), numbers(&given, "emissions"));
    let (states, symbols) = (start.len(), emissions.len() / start.len());
    let transitions = numbers(&given, "transitions");
    let start = HiddenMarkov { states, symbols, start, transitions, emissions };
    let all: Vec<Observed> = sequences.iter().map(|sequence| Observed::of(sequence, symbols)).collect();
    let config = HiddenMarkovConfig {
        iterations: iterations.expect("a number of iterations"),
        tolerance: 0.0,
        smoothing: 0.0,
        ..HiddenMarkovConfig::default()
    };
    let (fit, (model, _)) = timed(|| start.baum_welch(&all, &config));
    let (score, log_probability) =
        timed(|| all.iter().map(|sequence| model.log_probability(sequence)).sum::<f64>());
    let (decode, paths) =
        timed(|| all.iter().map(|sequence| model.viterbi(sequence).0).collect::<Vec<_>>().concat());
    let visits = (0..states).map(|state| paths.iter().filter(|&&other| other == state).count().to_string());
    let visits: Vec<String> = visits.collect();
    println!("{fit:.6} {score:.6} {decode:.6} {log_probability:.9} {}", visits.join(","));
}
