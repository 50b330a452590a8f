//! Fits a classifier to the film reviews as words and pairs, or to the census table; `bench/classifiers.py` times it beside scikit-learn.
//!
//! ```sh
//! cargo run --release --example classifiers -- reviews examples FOLDER             # writes what both sides read
//! cargo run --release --example classifiers -- reviews naive-bayes '{"order": 2}'  # fits and answers
//! ```
//!
//! The second form prints the processor seconds from sequences of words, or rows of values, to a fitted model, those of answering for
//! the test examples, and the accuracy there. The corpora are looked for where seqlab looks for them.
#![expect(clippy::print_stdout, reason = "the numbers are the purpose")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use data::Corpora;
use experiment::machine::processor_seconds;
use models::Size;
use sequence::{Batch, Budget, Column, Dataset, Inputs, Run, StopRule, Stopwatch, Targets, Task};
use serde_json::{Value, json};
use training::TrainingConfig;

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The fold that is tested.
const SEED: u64 = 0;

struct Still;

impl Stopwatch for Still {
    fn wall_seconds(&self) -> f64 {
        0.0
    }

    fn processor_seconds(&self) -> f64 {
        0.0
    }
}

/// The task of that name, with all that is not tested for training.
fn task(name: &str) -> Box<dyn Task> {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("seqlab");
    let search = std::env::var_os("SEQLAB_DATA").map(PathBuf::from).into_iter().collect();
    let corpora = Corpora { search, cache };
    let (entry, settings) = match name {
        "reviews" => (
            "text-classification",
            json!({"corpus": "movie-reviews", "words": "spaces", "train-on-validation": true}),
        ),
        // Nothing stands for a missing value, so that `?` is a category like any other: scikit-learn has no other way.
        "census" => (
            "tabular-classification",
            json!({"corpus": "adult", "missing": "none", "train-on-validation": true}),
        ),
        other => panic!("no data is named {other}; there are reviews and census"),
    };
    let entry = data::task(entry).expect("the task is registered");
    (entry.build)(&settings, &corpora).expect("the corpus can be read")
}

/// A line an example: its class, a tab, and its words by number, or its values.
fn write(path: &Path, batches: &[Batch]) {
    let mut text = String::new();
    for batch in batches {
        let Targets::Classes(classes) = &batch.targets else { panic!("examples have classes") };
        for (row, &length) in batch.lengths.iter().enumerate() {
            write!(text, "{}\t", classes[row * batch.time + length - 1]).expect("memory can be written");
            let values: Vec<String> = match &batch.inputs {
                Inputs::Tokens(tokens) => {
                    tokens[row * batch.time..][..length].iter().map(u32::to_string).collect()
                }
                Inputs::Features { width, values } => {
                    values[row * width..][..*width].iter().map(f32::to_string).collect()
                }
            };
            text += &(values.join(" ") + "\n");
        }
    }
    std::fs::write(path, text).expect("the folder can be written");
}

/// The number of categories of each column, 0 for real numbers.
fn levels(columns: &[Column]) -> String {
    let levels = |column: &Column| match column {
        Column::Category { levels } => levels.to_string(),
        Column::Real => "0".to_owned(),
    };
    columns.iter().map(levels).collect::<Vec<_>>().join(" ")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, what, argument] = arguments.as_slice() else {
        panic!("DATA examples FOLDER, or DATA MODEL SETTINGS")
    };
    let task = task(name);
    let test = task.test(SEED).remove(0).batches;
    if what == "examples" {
        let training = task.training_set(SEED).expect("the training set is finite");
        write(&Path::new(argument).join("training.tsv"), &training);
        write(&Path::new(argument).join("test.tsv"), &test);
        let columns = task.columns().unwrap_or_default();
        std::fs::write(Path::new(argument).join("columns.txt"), levels(&columns))
            .expect("the folder can be written");
        return;
    }
    let settings: Value = serde_json::from_str(argument).expect("settings are JSON");
    let size = Size { width: 8, body_parameters: None };
    let model = models::model(what).expect("the model is registered");
    let learner =
        (model.build)(&settings, &TrainingConfig::default(), &size).expect("the settings make sense");
    let data = Dataset::new(task.as_ref(), SEED, 16);
    let budget = Budget { updates: 1, evaluate_every: 1 };
    let mut run = Run { budget, stop: StopRule::Budget, seed: SEED, stopwatch: &Still, observer: None };
    let seconds = || processor_seconds().expect("the system tells processor time");
    let start = seconds();
    let fit = learner.fit(&data, &mut run).expect("the task can be learnt");
    let fitted = seconds();
    let answers: Vec<_> = test.iter().map(|batch| fit.predictor.predict(batch)).collect();
    let answered = seconds();
    let accuracy = task.scores(&test, &answers)[0].value;
    println!("{:.6} {:.6} {accuracy:.6}", fitted - start, answered - fitted);
}
