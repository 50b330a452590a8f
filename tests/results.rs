//! What is committed under `results/` belongs together, and published numbers come out again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use data::{CharacterLanguageModel, Corpora};
use models::{NGram, NGramConfig, Smoothing};
use record::definition::Definition;
use record::provenance::Provenance;
use record::verdict::Verdicts;
use sequence::Task;

use crate::support;

/// Folders of committed results.
fn committed() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(support::root().join("results")).into_iter().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("provenance.json").exists())
        .collect();
    folders.sort();
    folders
}

/// What does not fit between a results folder and its definition.
fn complaints(folder: &Path, definition: &Definition) -> Vec<String> {
    let name = folder.display();
    let provenance = Provenance::read(&folder.join("provenance.json")).unwrap();
    let verdicts = Verdicts::read(&folder.join("verdicts.json")).unwrap();
    let card = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut complaints = Vec::new();
    let mut check = |holds: bool, complaint: &str| {
        if !holds {
            complaints.push(format!("{name}: {complaint}"));
        }
    };
    let runs = std::fs::read(folder.join("runs.csv")).unwrap();
    check(record::digest(&runs) == provenance.runs, "runs.csv is not the table of provenance.json");
    check(!provenance.dirty, "it was computed with uncommitted changes");
    check(provenance.experiment == definition.name, "provenance.json is of another experiment");
    check(verdicts.version == provenance.version, "verdicts.json is of another version");
    let mut changed = 0;
    for verdict in &verdicts.claims {
        let at_the_run = provenance.rules.get(&verdict.id);
        let rule = definition.claims.iter().find(|rule| rule.id == verdict.id);
        let unchanged = rule.is_some_and(|rule| at_the_run == Some(&rule.digest()));
        let shown = card.matches("changed after the run").count() > changed;
        changed += usize::from(!unchanged);
        check(
            unchanged || shown,
            &format!("claim `{}` changed after the run and the card hides it", verdict.id),
        );
    }
    let bytes: u64 = files(folder).values().sum();
    check(bytes < 5_000_000, "it holds more than 5 MB");
    complaints
}

/// Sizes of the files in a folder and its subfolders.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), path.metadata().unwrap().len());
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

fn definition(folder: &Path) -> Definition {
    let name = folder.file_name().unwrap().to_string_lossy();
    Definition::read(&support::root().join(format!("experiments/{name}.toml"))).unwrap()
}

#[test]
fn committed_results_are_consistent() {
    let complaints: Vec<String> =
        committed().iter().flat_map(|folder| complaints(folder, &definition(folder))).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn a_result_that_was_touched_is_found() {
    let project = support::Project::new();
    assert_eq!(project.seqlab(&["run", "tiny"]).code, Some(0));
    let folder = project.path("results/tiny");
    let definition = || Definition::read(&project.path("experiments/tiny.toml")).unwrap();
    assert_eq!(complaints(&folder, &definition()), [""; 0]);
    project.define(&support::TINY.replace("margin = 0.4", "margin = 0.3"));
    assert_eq!(complaints(&folder, &definition()).len(), 1, "a rule that was changed later");
    project.define(support::TINY);
    let runs = std::fs::read_to_string(folder.join("runs.csv")).unwrap();
    std::fs::write(folder.join("runs.csv"), runs.replace("0.5", "0.6")).unwrap();
    assert_eq!(complaints(&folder, &definition()).len(), 1, "a table that was changed by hand");
}

#[test]
fn committed_revisions_are_part_of_the_history() {
    for folder in committed() {
        let provenance = Provenance::read(&folder.join("provenance.json")).unwrap();
        for revision in provenance.revisions.keys().chain([&provenance.revision]) {
            let ancestor = Command::new("git")
                .args(["merge-base", "--is-ancestor", revision, "HEAD"])
                .current_dir(support::root())
                .output();
            match ancestor.map(|output| output.status.code()) {
                Ok(Some(0)) => {}
                Ok(Some(1)) => panic!("{}: revision {revision} is not an ancestor", folder.display()),
                _ => eprintln!("skipped: no git, or a history without {revision}"),
            }
        }
    }
}

#[test]
fn cards_and_figures_are_what_the_tables_give() {
    if committed().is_empty() {
        eprintln!("skipped: no committed results");
        return;
    }
    let project = tempfile::tempdir().unwrap();
    for folder in ["experiments", "results", "bench"] {
        copy(&support::root().join(folder), &project.path().join(folder));
    }
    std::fs::copy(support::root().join("README.md"), project.path().join("README.md")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_seqlab"));
    let ended = support::run(command.arg("report").current_dir(project.path()));
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let committed_files = files(&support::root().join("results"));
    for path in committed_files.keys().chain([&support::root().join("README.md")]) {
        let relative = path.strip_prefix(support::root()).unwrap();
        let again = std::fs::read(project.path().join(relative)).unwrap();
        let same = std::fs::read(path).unwrap() == again;
        assert!(same, "{} is not what `make report` writes; run it and commit", relative.display());
    }
}

/// Nats a character on the last 10% of tiny-shakespeare, the first position with an empty context. The numbers were
/// measured beforehand, apart from this code, by the definitions that `n_gram.rs` states.
#[test]
fn n_grams_score_what_they_should() {
    let Some(folder) = support::corpora_folder() else {
        eprintln!("skipped: SEQLAB_DATA names no folder with tiny-shakespeare");
        return;
    };
    let corpora = Corpora { search: vec![folder.clone()], cache: folder };
    let settings = serde_json::json!({ "corpus": "tiny-shakespeare", "characters": 0, "held-out": "whole" });
    let task = match CharacterLanguageModel::from_settings(&settings, &corpora) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("skipped: {error}");
            return;
        }
    };
    let vocabulary = task.interface().outputs;
    assert_eq!(vocabulary, 65);
    let training = task.training_text().unwrap();
    let score = |smoothing, order| {
        let counts = NGram::new(NGramConfig { order, smoothing }).unwrap().count(training, vocabulary);
        -counts.log_probabilities(task.test_text()).sum::<f64>() / task.test_text().len() as f64
    };
    let witten_bell = [3.347, 2.486, 2.049, 1.774, 1.669, 1.698, 1.779, 1.876];
    let kneser_ney = [2.045, 1.729, 1.579, 1.558, 1.565, 1.574];
    for (order, expected) in (1..).zip(witten_bell) {
        let found = score(Smoothing::WittenBell, order);
        assert!(
            (found - expected).abs() < 0.0005,
            "Witten-Bell, order {order}: {found} instead of {expected}"
        );
    }
    for (order, expected) in (3..).zip(kneser_ney) {
        let found = score(Smoothing::KneserNey, order);
        assert!(
            (found - expected).abs() < 0.0005,
            "Kneser-Ney, order {order}: {found} instead of {expected}"
        );
    }
}
