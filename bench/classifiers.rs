//! Fits a classifier to the film reviews as words and pairs; `bench/classifiers.py` times it beside scikit-learn.
//!
//! ```sh
//! cargo run --release --example classifiers -- examples FOLDER             # writes what both sides read
//! cargo run --release --example classifiers -- naive-bayes '{"order": 2}'  # fits and answers
//! ```
//!
//! The second form prints the processor seconds from sequences of words to a fitted model, those of answering for the test examples, and
//! the accuracy there. The corpora are looked for where seqlab looks for them.
#![expect(clippy::print_stdout, reason = "the numbers are the purpose")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use data::Corpora;
use experiment::machine::processor_seconds;
use models::Size;
use sequence::{Batch, Budget, Dataset, Inputs, Run, StopRule, Stopwatch, Targets, Task};
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

fn reviews() -> Box<dyn Task> {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("seqlab");
    let search = std::env::var_os("SEQLAB_DATA").map(PathBuf::from).into_iter().collect();
    let corpora = Corpora { search, cache };
    let settings = json!({"corpus": "movie-reviews", "words": "spaces", "train-on-validation": true});
    let entry = data::task("text-classification").expect("the task is registered");
    (entry.build)(&settings, &corpora).expect("the reviews can be read")
}

/// A line an example: its class, a tab, and its words by number.
fn write(path: &Path, batches: &[Batch]) {
    let mut text = String::new();
    for batch in batches {
        let (Inputs::Tokens(tokens), Targets::Classes(classes)) = (&batch.inputs, &batch.targets) else {
            panic!("texts are symbols with classes")
        };
        for (row, &length) in batch.lengths.iter().enumerate() {
            let words = &tokens[row * batch.time..][..length];
            write!(text, "{}\t", classes[row * batch.time + length - 1]).expect("memory can be written");
            for word in words {
                write!(text, "{word} ").expect("memory can be written");
            }
            text.push('\n');
        }
    }
    std::fs::write(path, text).expect("the folder can be written");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, argument] = arguments.as_slice() else { panic!("examples FOLDER, or MODEL SETTINGS") };
    let task = reviews();
    let test = task.test(SEED).remove(0).batches;
    if what == "examples" {
        let training = task.training_set(SEED).expect("the training set is finite");
        write(&Path::new(argument).join("training.tsv"), &training);
        write(&Path::new(argument).join("test.tsv"), &test);
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
