//! LibTorch beside flex: both train to the same losses from the same seed, and what LibTorch computes is kept apart.
//!
//! Compiled with the feature `tch` alone, because a build without it has no LibTorch to compare with: `make test DEVICE=tch`.

use std::path::Path;

use data::Corpora;
use models::Size;
use sequence::{Budget, Dataset, Run, StopRule};
use serde_json::{Value, json};
use training::TrainingConfig;

use crate::support::{Project, Stopped};

const UPDATES: u64 = 20;
/// Updates whose mean loss is compared.
const APART: u64 = 5;
/// Of a loss. LibTorch sums in another order, and updates amplify its rounding; differences of 1e-7 were found.
const TOLERANCE: f64 = 1e-5;
const FLEX: &str = "flex";
const TCH: &str = "tch";

/// Training losses on recall over 20 positions, without dropout.
fn losses(model: &str, settings: &Value, device: &str, seed: u64) -> Vec<f64> {
    let nowhere = Corpora { search: Vec::new(), cache: "nowhere".into() };
    let recall = data::task("first-cue-recall").unwrap();
    let task = (recall.build)(&json!({"lag": 20}), &nowhere).unwrap();
    let data = Dataset::new(task.as_ref(), seed, 8);
    let config = TrainingConfig {
        rate: 3e-3,
        warmup_updates: 0,
        device: device.to_owned(),
        ..TrainingConfig::default()
    };
    let size = Size { width: 16, body_parameters: Some(4000) };
    let learner = (models::model(model).unwrap().build)(settings, &config, &size).unwrap();
    let mut run = Run {
        budget: Budget { updates: UPDATES, evaluate_every: APART },
        stop: StopRule::Budget,
        seed,
        stopwatch: &Stopped,
        observer: None,
    };
    let fit = learner.fit(&data, &mut run).unwrap();
    // The first point lies before any update.
    fit.curve[1..].iter().map(|point| point.training_loss).collect()
}

/// The largest relative difference of two courses of training.
fn deviation(one: &[f64], other: &[f64]) -> f64 {
    assert_eq!([one.len() as u64, other.len() as u64], [UPDATES / APART; 2]);
    one.iter().zip(other).map(|(one, other)| (one - other).abs() / one.abs()).fold(0.0, f64::max)
}

#[test]
fn flex_and_libtorch_train_to_the_same_losses() {
    for (model, settings) in [
        ("rnn", json!({})),
        ("rnn", json!({"initialisation": "identity-relu", "layers": 2})),
        ("lstm", json!({})),
        ("gru", json!({})),
        ("causal-convolution", json!({})),
        ("transformer", json!({})),
        ("transformer", json!({"position": "alibi", "window": 8})),
    ] {
        let [flex, tch] = [FLEX, TCH].map(|device| losses(model, &settings, device, 1));
        let found = deviation(&flex, &tch);
        println!("{model} {settings}: largest relative difference {found:.1e}");
        assert!(found < TOLERANCE, "{model} {settings}: {found}\nflex {flex:?}\ntch  {tch:?}");
        // The comparison can fail: another seed trains to other losses.
        let other = deviation(&flex, &losses(model, &settings, TCH, 2));
        assert!(other > 100.0 * TOLERANCE, "{model} {settings}: seeds 1 and 2 differ by {other} only");
    }
}

#[test]
fn what_libtorch_computes_is_kept_apart_and_yields_no_verdict() {
    let project = Project::new();
    let run = |arguments: &[&str]| {
        let ended = project.seqlab(&[&["run", "tiny"], arguments].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
        ended
    };
    run(&[]);
    let (cells, table) = (project.cells(), project.runs());

    let ended = run(&["--device", TCH]);
    assert!(ended.output.contains("run on tch, not evidence: it yields no verdict"), "{}", ended.output);
    // Only what trains no network is shared: the guesses at parity, one a seed.
    assert!(ended.errors.contains(" 3 reused, 0 failed"), "{}", ended.errors);
    assert!(project.cells().len() > cells.len() && project.runs() == table);
    let of = |folder: &Path| {
        let text = std::fs::read_to_string(folder.join("provenance.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["device"].clone()
    };
    assert_eq!(of(&project.path(".seqlab/runs/tiny-partial-tch")), TCH);
    assert_eq!(of(&project.path("results/tiny")), FLEX);
    // A definition that asks for LibTorch is no evidence either.
    project.define(&crate::support::TINY.replacen("[tuning]", "[training]\ndevice = \"tch\"\n\n[tuning]", 1));
    let ended = run(&[]);
    assert!(ended.output.contains("run on tch, not evidence"), "{}", ended.output);
    assert!(ended.errors.contains("0 cells computed") && project.runs() == table, "{}", ended.errors);
}
