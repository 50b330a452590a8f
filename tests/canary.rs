//! Canaries: what each model makes of each task in 20 updates, and each of its variants of one task.
//!
//! A stored cell is reused as long as the versions of its task, model and measurement are the same. If the code
//! changes what a cell yields and no version was raised, a canary moves, and this test fails.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use data::{Corpora, TASKS, TaskEntry};
use experiment::{Code, Host, Workspace, compute};
use models::{MODELS, ModelEntry, Reads};
use record::Settings;
use record::cell::{Cell, Component, Outcome, SCHEMA, Size};
use record::claims::Register;
use record::spelled::spell;
use sequence::{Random, Stream};
use serde_json::{Value, json};

use crate::support::{self, Stopped};

const HEADER: &str = "cell,value";
/// Another processor may round differently, and 20 updates amplify that a little.
const TOLERANCE: f64 = 1e-4;

fn corpora() -> Corpora {
    Corpora { search: Vec::new(), cache: support::root().join("nowhere") }
}

fn workspace() -> Workspace {
    let nowhere = || support::root().join("nowhere");
    Workspace {
        definitions: nowhere(),
        results: nowhere(),
        state: nowhere(),
        pytorch_steps: nowhere(),
        corpora: corpora(),
        claims: Register::default(),
        code: Code { version: String::new(), revision: String::new(), dirty: false },
        host: Host {
            processor: String::new(),
            caches: String::new(),
            instruction_set: String::new(),
            cores: 1,
            memory_bytes: 0,
        },
        machine: Box::new(Stopped),
    }
}

/// Settings beside the defaults that experiments use.
fn variants() -> Vec<(&'static str, &'static str, Value)> {
    let recall = "first-cue-recall";
    let text = "character-language-model";
    let (gaussian, texts) = ("gaussian-classes", "text-classification");
    vec![
        ("rnn", recall, json!({"initialisation": "uniform"})),
        ("rnn", recall, json!({"initialisation": "identity-relu"})),
        ("rnn", recall, json!({"layers": 2})),
        ("lstm", recall, json!({"forget-bias": 0})),
        ("lstm", recall, json!({"forget-bias": "chrono", "time-scale": 40})),
        ("transformer", recall, json!({"window": 8})),
        ("transformer", recall, json!({"layers": 1, "heads": 1})),
        ("transformer", recall, json!({"position": "none"})),
        ("transformer", recall, json!({"position": "learned"})),
        ("transformer", recall, json!({"position": "alibi"})),
        ("transformer", recall, json!({"norm": "post"})),
        ("transformer", recall, json!({"causal": false})),
        ("lstm-encoder-decoder", "sequence-copying", json!({"attention": "additive"})),
        ("lstm-encoder-decoder", "sequence-copying", json!({"attention": "additive", "bidirectional": true})),
        ("lstm-encoder-decoder", "sequence-copying", json!({"bidirectional": true})),
        ("lstm-encoder-decoder", "translation", json!({"attention": "additive", "bidirectional": true})),
        ("gaussian-discriminant", gaussian, json!({"covariance": "own"})),
        ("gaussian-discriminant", gaussian, json!({"complete-cases": true})),
        ("gaussian-mixture", "gaussian-clusters", json!({"choose-components": true})),
        ("k-means", "gaussian-clusters", json!({"groups": 6, "choose-groups": true})),
        ("probabilistic-pca", "linear-factors", json!({"components": 3, "fit": "expectation-maximisation"})),
        ("linear-regression", "sparse-regression", json!({"l1": 0.1})),
        ("random-forest", gaussian, json!({"bootstrap": false, "leaf": 5})),
        ("logistic-regression", gaussian, json!({"missing": "zero"})),
        ("logistic-regression", gaussian, json!({"norm": "l1", "penalty": 3})),
        ("logistic-regression", gaussian, json!({"missing": "indicator"})),
        ("logistic-regression", gaussian, json!({"missing": "complete-cases"})),
        ("logistic-regression", "dependent-features", json!({"cross-validate": true})),
        ("logistic-regression", texts, json!({"order": 2, "counts": true})),
        ("naive-bayes", texts, json!({"order": 2, "counts": true})),
        ("naive-bayes", "category-draws", json!({"smoothing": 10.0, "towards": [0.75, 0.25]})),
        ("naive-bayes", texts, json!({"event": "bernoulli"})),
        ("hidden-markov", "hidden-states", json!({"states": 5, "restarts": 2})),
        ("n-gram", text, json!({"order": 3, "smoothing": "kneser-ney"})),
        ("n-gram", text, json!({"order": 3, "smoothing": "witten-bell"})),
    ]
}

/// A text of 20,000 characters, each of which depends on the one before.
fn write_text(path: &Path) {
    let mut random = Random::new(5, Stream::Test);
    let mut last = 0;
    let character = |_| {
        last = (3 * last + random.below(4)) % 26;
        char::from(b'a' + u8::try_from(last).unwrap())
    };
    std::fs::write(path, (0..20_000).map(character).collect::<String>()).unwrap();
}

/// 120 labelled texts, whose words say the class three times of four, as a table of text and class.
fn write_texts(path: &Path) {
    let mut random = Random::new(6, Stream::Test);
    let mut text = "text\tclass\n".to_owned();
    for number in 0..120 {
        let class = random.below(2);
        let word = |_| if random.below(4) == 0 { random.below(10) } else { 5 * class + random.below(5) };
        let words: Vec<String> = (0..6).map(word).map(|word| format!("word{word}")).collect();
        writeln!(text, "{} number{number}\tclass{class}", words.join(" ")).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

/// 400 sentences of 2 to 4 words, each translated from back to front, as pairs of translation and sentence.
fn write_pairs(path: &Path) {
    let mut random = Random::new(8, Stream::Test);
    let mut text = String::new();
    for _ in 0..400 {
        let words: Vec<u32> = (0..2 + random.below(3)).map(|_| random.below(20)).collect();
        let of = |letter: char, words: &mut dyn Iterator<Item = &u32>| {
            words.map(|word| format!("{letter}{word}")).collect::<Vec<_>>().join(" ")
        };
        writeln!(text, "{}\t{}", of('b', &mut words.iter().rev()), of('a', &mut words.iter())).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

/// 120 rows of two numbers and a category, of which some are missing.
fn write_table(path: &Path) {
    let mut random = Random::new(7, Stream::Test);
    let mut text = "height,colour,weight,class\n".to_owned();
    for _ in 0..120 {
        let class = random.below(2);
        let height = random.normal() + class as f32;
        let colour = ["red", "green", "blue", "?"][random.index(3 + class as usize)];
        let weight = if random.below(5) == 0 { "?".to_owned() } else { random.unit().to_string() };
        writeln!(text, "{height},{colour},{weight},class{class}").unwrap();
    }
    std::fs::write(path, text).unwrap();
}

/// 120 images of 8 x 8 pixels, in which the digit is the row and column that are brightest.
fn write_digits(path: &Path) {
    let mut random = Random::new(9, Stream::Test);
    let mut text = String::new();
    for number in 0..120 {
        let digit = number % 10;
        for pixel in 0..64 {
            let bright = pixel / 8 == digit % 5 || pixel % 8 == digit / 5;
            write!(text, "{},", random.below(if bright { 17 } else { 5 })).unwrap();
        }
        writeln!(text, "{digit}").unwrap();
    }
    std::fs::write(path, text).unwrap();
}

/// A small cell; what corpora stand for lies in a folder.
fn cell(model: &ModelEntry, given: Value, task: &TaskEntry, measurement: &str, folder: &Path) -> Cell {
    let component = |name: &str, version, settings: Value| Component {
        name: name.to_owned(),
        version,
        settings: serde_json::from_value(settings).unwrap(),
    };
    let over_text = !(task.corpora)(&(task.defaults)()).is_empty();
    let file = match task.name {
        "text-classification" => "texts.tsv",
        "tabular-classification" => "table.csv",
        "translation" => "pairs.tsv",
        "digits" => "digits.csv",
        _ => "text.txt",
    };
    let source = format!("file:{}", folder.join(file).display());
    let of_task = match task.name {
        "character-language-model" => json!({"corpus": source, "time": 16}),
        "text-classification" | "tabular-classification" => json!({"corpus": source, "folds": 5}),
        "digits" => json!({"corpus": source, "folds": 5, "reading": "rows"}),
        "translation" => json!({
            "corpus": source, "folds": 2, "test": [2, 4], "example-source": "a1 a1 a1 a1", "example-target": "b1 b1 b1 b1"
        }),
        _ => json!({}),
    };
    let measurement = experiment::measurement(measurement).unwrap();
    let measured = match measurement.name {
        "staircase" => json!({"ladder": [2], "rates": [0.003], "updates": 20, "evaluate-every": 10}),
        _ => json!({"updates": 20, "evaluate-every": 10}),
    };
    Cell {
        schema: SCHEMA,
        task: component(task.name, task.version, of_task),
        data: over_text.then(|| corpora().digest(&source).unwrap()),
        model: component(model.name, model.version, given),
        size: Size { width: 8, body_parameters: None },
        training: Settings::from([("batch".to_owned(), json!(4))]),
        measurement: component(measurement.name, measurement.version, measured),
        seed: 7,
    }
}

/// The training loss of updates 11 to 20 if the model suits the task, or the primary validation score of a model that
/// counts.
fn canary(cell: &Cell, workspace: &Workspace) -> Option<f64> {
    let record = compute(cell, workspace);
    let mut validation = record.rows.iter().filter(|row| row.split == "validation");
    // An accuracy moves in steps, so that of models whose answers are exact the probabilities are looked at.
    let exact = models::model(&cell.model.name).unwrap().reads == Reads::TrainingSet;
    let score = validation.clone().find(|row| exact && row.metric == "cross-entropy").or(validation.next());
    let score = score.map(|row| row.value);
    let unsuitable = record.outcome == Outcome::Failed;
    assert_eq!(
        score.is_none(),
        unsuitable,
        "{} on {}: {:?}",
        cell.model.name,
        cell.task.name,
        record.message
    );
    let loss = record.curve.last().map(|point| point.training_loss).filter(|loss| loss.is_finite());
    loss.or(score)
}

/// Canaries by what was computed, with versions.
type Canaries = BTreeMap<String, f64>;

fn name(cell: &Cell) -> String {
    let mut words = vec![format!("{} {}", cell.model.name, cell.model.version)];
    words.extend(cell.model.settings.iter().map(|(key, value)| format!("{key}={value}").replace('"', "")));
    words.push(format!("on {} {}", cell.task.name, cell.task.version));
    words.push(format!("by {} {}", cell.measurement.name, cell.measurement.version));
    words.join(" ")
}

fn read(text: &str) -> Canaries {
    let row = |line: &str| {
        let (cell, value) = line.rsplit_once(',').unwrap();
        (cell.to_owned(), value.parse().unwrap())
    };
    text.lines().skip(1).map(row).collect()
}

/// Canaries that moved although the versions stayed. New ones and those of new versions did not move.
fn moved(before: &Canaries, now: &Canaries) -> Vec<String> {
    let far = |one: f64, other: f64| (one - other).abs() > TOLERANCE * one.abs().max(1.0);
    before
        .iter()
        .filter_map(|(cell, value)| Some((cell, *value, *now.get(cell)?)))
        .filter(|&(_, before, now)| far(before, now) || before.is_nan() != now.is_nan())
        .map(|(cell, before, now)| format!("{cell}: {before} became {now}"))
        .collect()
}

#[test]
fn no_canary_moves_without_a_new_version() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_text(&folder.join("text.txt"));
    write_texts(&folder.join("texts.tsv"));
    write_table(&folder.join("table.csv"));
    write_pairs(&folder.join("pairs.tsv"));
    write_digits(&folder.join("digits.csv"));
    let mut cells = Vec::new();
    for task in TASKS {
        cells.extend(MODELS.iter().map(|model| cell(model, json!({}), task, "train", folder)));
    }
    let recall = data::task("first-cue-recall").unwrap();
    cells.push(cell(models::model("gru").unwrap(), json!({}), recall, "staircase", folder));
    for (model, task, given) in variants() {
        let (model, task) = (models::model(model).unwrap(), data::task(task).unwrap());
        cells.push(cell(model, given, task, "train", folder));
    }

    let workspace = workspace();
    let canary = |cell: &Cell| Some((name(cell), canary(cell, &workspace)?));
    let now: Canaries = cells.iter().filter_map(canary).collect();
    let mut table = format!("{HEADER}\n");
    for (cell, value) in &now {
        writeln!(table, "{cell},{}", spell(*value)).unwrap();
    }
    let path = support::root().join("tests/canary.csv");
    if support::bless() {
        std::fs::write(&path, &table).unwrap();
    }
    let before = read(&std::fs::read_to_string(&path).unwrap_or_default());
    let moved = moved(&before, &now);
    assert!(moved.is_empty(), "raise a version, then run with SEQLAB_BLESS=1:\n{}\n", moved.join("\n"));
    let missing: Vec<_> = now.keys().filter(|cell| !before.contains_key(*cell)).collect();
    assert!(missing.is_empty(), "not in tests/canary.csv, run with SEQLAB_BLESS=1: {missing:?}");
}

#[test]
fn a_canary_that_moves_is_found() {
    let of =
        |version: u32, value| Canaries::from([(format!("lstm {version} on adding 1 by train 2"), value)]);
    let before = of(1, 0.5);
    assert_eq!(moved(&before, &of(1, 0.500_01)), [""; 0]);
    assert_eq!(moved(&before, &of(1, 0.501)).len(), 1);
    assert_eq!(moved(&before, &of(1, f64::NAN)).len(), 1);
    assert_eq!(moved(&before, &of(2, 0.9)), [""; 0]);
}
