//! The order of the house, as `crates/README.md` states it.
//!
//! A rule is a function from a file's path and text to complaints. Each has a twin, a bad sample that it must
//! complain about; a rule that cannot fail keeps nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support;

/// What each crate may use of the workspace: the arrows of `crates/README.md`.
const DIRECTION: &[(&str, &[&str])] = &[
    ("sequence", &[]),
    ("data", &["sequence"]),
    ("kernels", &["sequence"]),
    ("training", &["sequence", "kernels"]),
    ("models", &["sequence", "kernels", "training"]),
    ("record", &["sequence"]),
    ("experiment", &["sequence", "data", "kernels", "training", "models", "record"]),
    ("analysis", &["sequence", "record"]),
    ("report", &["sequence", "record", "analysis"]),
    (
        "seqlab",
        &["sequence", "data", "kernels", "training", "models", "record", "experiment", "analysis", "report"],
    ),
];

/// Who may name a library that would otherwise spread.
const CONFINED: &[(&str, &[&str])] = &[
    ("burn", &["kernels", "training", "models"]),
    ("polars", &["record"]),
    ("clap", &["seqlab"]),
    ("indicatif", &["seqlab"]),
    ("anyhow", &["seqlab"]),
];

/// Words that product code may hold only in these places, and why. Tests, benchmarks and examples are programs of their
/// own.
const WORDS: &[(&[&str], &[&str], &str)] = &[
    (
        &["println!", "eprintln!", "print!", "eprint!"],
        &["src/", "tests/", "bench/", "/examples/"],
        "only the binary prints",
    ),
    (&["env::"], &["src/", "tests/", "bench/", "/examples/"], "only the binary reads its surroundings"),
    (
        &["Instant", "SystemTime"],
        &["src/", "tests/", "bench/", "/examples/"],
        "a clock reaches libraries only through `Run`",
    ),
    (
        &["Tensor::random", "thread_rng", "rand::rng", "StdRng", "SmallRng", "RandomState"],
        &["tests/", "/examples/"],
        "chance comes from the seed, through `Random`",
    ),
    (&["unsafe"], &["crates/kernels/"], "only the kernels need unsafe code"),
    (&["#[allow(", "#![allow("], &[], "write #[expect(lint, reason = \"...\")]"),
    (&["serde(flatten", "serde(untagged"], &[], "neither can deny unknown fields"),
    (&["todo!", "unimplemented!", "dbg!"], &[], "unfinished code"),
];

/// Complaints about a manifest: `path` is `crates/NAME/Cargo.toml` or `Cargo.toml`.
fn manifest(path: &str, text: &str) -> Vec<String> {
    let parsed: toml::Table = toml::from_str(text).expect("a manifest is TOML");
    let name = parsed["package"]["name"].as_str().expect("a package has a name");
    let Some((_, allowed)) = DIRECTION.iter().find(|(package, _)| *package == name) else {
        return vec![format!("{path}: crate `{name}` has no place in the direction of dependencies")];
    };
    let dependencies = parsed.get("dependencies").and_then(toml::Value::as_table);
    let names = dependencies.into_iter().flat_map(toml::Table::keys);
    let mut complaints = Vec::new();
    for dependency in names {
        let ours = DIRECTION.iter().any(|(package, _)| package == dependency);
        if ours && !allowed.contains(&dependency.as_str()) {
            complaints.push(format!("{path}: `{name}` must not use `{dependency}`"));
        }
        for (library, users) in CONFINED {
            let is_library = dependency == library || dependency.starts_with(&format!("{library}-"));
            if is_library && !users.contains(&name) {
                complaints.push(format!("{path}: `{dependency}` belongs in {}", users.join(", ")));
            }
        }
    }
    complaints
}

/// Complaints about words in product code: what stands before the tests of a file, comments left out.
fn words(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in product(text) {
        for (forbidden, places, reason) in WORDS {
            let inside =
                |place: &&str| path.starts_with(*place) || place.starts_with('/') && path.contains(*place);
            let allowed = places.iter().any(inside);
            for word in forbidden.iter().filter(|word| !allowed && holds(line, word)) {
                complaints.push(format!("{path}:{number}: `{word}`: {reason}"));
            }
        }
    }
    complaints
}

/// Whether a line holds a word that is not part of a longer one.
fn holds(line: &str, word: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        let open = word.ends_with(|last: char| !part(last));
        !before.is_some_and(part) && (open || !after.is_some_and(part))
    })
}

/// Numbered lines of code before the tests of a file.
fn product(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let is_test = |line: &str| line.trim_start().starts_with("#[cfg(test)]") || line.starts_with("mod tests");
    let test_file = text.starts_with("//! Test") || text.contains("\n#![cfg(test)]");
    let end = if test_file {
        0
    } else {
        // `#[cfg(test)] mod conformance;` in a list of modules does not end the file's code.
        let all: Vec<&str> = text.lines().collect();
        (0..all.len())
            .find(|&index| is_test(all[index]) && all.get(index + 1).is_some_and(|next| next.ends_with('{')))
            .unwrap_or(all.len())
    };
    lines.take(end).map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
}

/// Complaints about places that exist on one machine only.
fn places(path: &str, text: &str) -> Vec<String> {
    // Put together here, so that this file does not complain about itself.
    let roots = ["home", "root", "Users", "work", "mnt"].map(|root| format!("/{root}/"));
    let mut complaints = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for root in &roots {
            let starts = line.match_indices(root.as_str()).any(|(start, _)| {
                let before = line[..start].chars().next_back();
                // After a letter it is a part of a relative path or an address.
                before.is_none_or(|before| before.is_whitespace() || "\"'`(=:".contains(before))
            });
            if starts {
                complaints.push(format!("{path}:{}: a path of one machine: {root}", index + 1));
            }
        }
    }
    complaints
}

/// Complaints about a generated text that does not say what generates it.
///
/// Tables and JSON records have a format that leaves no room for it.
fn generated(path: &str, text: &str) -> Vec<String> {
    let written_by_code = (path.starts_with("results/") && !is_data(path)) || path.ends_with(".schema.json");
    let first = text.lines().next().unwrap_or_default();
    if written_by_code && !first.to_lowercase().contains("generated by `seqlab ") {
        return vec![format!("{path}:1: does not say `generated by `seqlab ...``")];
    }
    Vec::new()
}

fn is_data(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "csv" || extension == "json")
}

/// Complaints about the map: a crate without a paragraph, an invariant whose test does not exist.
fn map(readme: &str, crates: &[String], tests: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for name in crates {
        if !readme.contains(&format!("**{name}**")) {
            complaints.push(format!("crates/README.md: no paragraph on **{name}**"));
        }
    }
    let invariants = readme.split("## Invariants").nth(1).unwrap_or_default();
    let named: Vec<&str> = invariants
        .lines()
        .filter(|line| line.starts_with('|') && line.contains("::"))
        .flat_map(|line| line.rsplit('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .collect();
    if named.is_empty() {
        complaints.push("crates/README.md: no invariant names its test".to_owned());
    }
    for name in named {
        let function = name.rsplit("::").next().unwrap_or_default();
        if !tests.contains(function) {
            complaints.push(format!("crates/README.md: no test is named `{name}`"));
        }
    }
    complaints
}

/// Names of all test functions.
fn test_names(sources: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for text in sources.values() {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(3).filter(|pair| pair[0].starts_with("#[test]")) {
            let function = pair[1..].iter().find_map(|line| line.strip_prefix("fn "));
            names.extend(function.and_then(|rest| rest.split('(').next()).map(str::to_owned));
        }
    }
    names
}

fn assert_clean(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn check(extensions: &[&str], rule: fn(&str, &str) -> Vec<String>) {
    let files = support::project_files(extensions);
    assert!(!files.is_empty(), "no file ends in {extensions:?}");
    let complaints: Vec<String> = files.iter().flat_map(|(path, text)| rule(path, text)).collect();
    assert_clean(&complaints);
}

#[test]
fn dependencies_point_one_way() {
    let manifests = support::project_files(&["Cargo.toml"]);
    assert_eq!(manifests.len(), DIRECTION.len(), "a crate is missing from the direction of dependencies");
    check(&["Cargo.toml"], manifest);
}

#[test]
fn a_dependency_against_the_direction_is_found() {
    let sample = |name: &str, dependency: &str| {
        manifest(
            "Cargo.toml",
            &format!("[package]\nname = \"{name}\"\n[dependencies]\n{dependency}.workspace = true"),
        )
    };
    for (name, dependency) in [
        ("training", "data"),
        ("report", "experiment"),
        ("experiment", "report"),
        ("analysis", "models"),
        ("record", "burn"),
        ("data", "burn-flex"),
        ("experiment", "polars"),
        ("report", "clap"),
        ("stranger", "serde"),
    ] {
        assert_eq!(sample(name, dependency).len(), 1, "{name} with {dependency}");
    }
    assert_eq!(sample("models", "burn"), [""; 0]);
}

#[test]
fn words_stay_where_they_belong() {
    let mut sources = support::project_files(&[".rs"]);
    // This file names the words.
    sources.remove("tests/tidy.rs").expect("this file is one of them");
    assert_clean(&sources.iter().flat_map(|(path, text)| words(path, text)).collect::<Vec<String>>());
}

#[test]
fn a_word_out_of_place_is_found() {
    for sample in [
        "println!(\"{x}\");",
        "let home = std::env::var(\"HOME\");",
        "unsafe { read() }",
        "let start = Instant::now();",
        "let noise = Tensor::random([2], uniform, &device);",
        "#[allow(dead_code)]",
        "#[serde(flatten)]",
        "fn later() { todo!() }",
    ] {
        assert_eq!(words("crates/data/src/lib.rs", sample).len(), 1, "{sample}");
        let in_tests = format!("#[cfg(test)]\nmod tests {{\n    {sample}\n}}");
        assert_eq!(words("crates/data/src/lib.rs", &in_tests), [""; 0]);
        assert_eq!(words("crates/data/src/lib.rs", &format!("// {sample}")), [""; 0]);
    }
    // A module list that includes test modules goes on being product code.
    assert_eq!(words("crates/data/src/lib.rs", "#[cfg(test)]\nmod testing;\nunsafe fn f();").len(), 1);
    for path in ["src/main.rs", "tests/main.rs", "crates/kernels/examples/speed.rs"] {
        assert_eq!(words(path, "println!(\"{x}\");"), [""; 0]);
    }
    assert_eq!(words("crates/data/src/lib.rs", "let unsafely = Instantaneous;"), [""; 0]);
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    check(&[".rs", ".toml", ".md", ".py", ".csv", ".json", ".svg", "Makefile", "run"], places);
}

#[test]
fn a_path_of_one_machine_is_found() {
    let sample = ["", "home", "ada", "seqlab"].join("/");
    assert_eq!(places("README.md", &format!("see `{sample}`")).len(), 1);
    assert_eq!(places("README.md", "see crates/home/ada and https://example.org/work/x"), [""; 0]);
}

#[test]
fn generated_files_say_so() {
    let mut files = support::project_files(&[".md", ".svg", ".schema.json"]);
    files.retain(|path, _| path.starts_with("results/") || path.ends_with(".schema.json"));
    assert!(files.keys().any(|path| path.ends_with(".schema.json")));
    let complaints: Vec<String> = files.iter().flat_map(|(path, text)| generated(path, text)).collect();
    assert_clean(&complaints);
}

#[test]
fn a_generated_file_that_does_not_say_so_is_found() {
    assert_eq!(generated("results/x/README.md", "# Card").len(), 1);
    assert_eq!(
        generated("results/x/README.md", "<!-- Generated by `seqlab report`; do not edit. -->"),
        [""; 0]
    );
    assert_eq!(generated("results/x/runs.csv", "cell,task"), [""; 0]);
    assert_eq!(generated("README.md", "# seqlab"), [""; 0]);
}

#[test]
fn the_map_is_complete() {
    let sources = support::project_files(&[".rs"]);
    let readme = &support::project_files(&["crates/README.md"])["crates/README.md"];
    let crates: Vec<String> =
        DIRECTION.iter().map(|(name, _)| (*name).to_owned()).filter(|name| name != "seqlab").collect();
    assert_clean(&map(readme, &crates, &test_names(&sources)));
}

#[test]
fn a_hole_in_the_map_is_found() {
    let tests = BTreeSet::from(["kept".to_owned()]);
    let crates = ["data".to_owned()];
    let good = "**data** tasks\n## Invariants\n| it holds | `tidy::kept` |";
    assert_eq!(map(good, &crates, &tests), [""; 0]);
    assert_eq!(map(&good.replace("**data**", "data"), &crates, &tests).len(), 1);
    assert_eq!(map(&good.replace("kept", "forgotten"), &crates, &tests).len(), 1);
    assert_eq!(map("**data**", &crates, &tests).len(), 1);
}

/// Files that name the constructors of the deprecated LibTorch device.
fn libtorch_users(sources: &BTreeMap<String, String>) -> Vec<&String> {
    let word = ["Device::", "libtorch"].concat();
    sources.iter().filter(|(_, text)| text.contains(&word)).map(|(path, _)| path).collect()
}

#[test]
fn deprecated_constructors_stand_in_one_file_at_most() {
    let sources = support::project_files(&[".rs"]);
    let users = libtorch_users(&sources);
    assert!(users.len() <= 1, "{users:?}");
}

#[test]
fn a_second_file_of_deprecated_constructors_is_found() {
    let text = ["let device = Device::", "libtorch();"].concat();
    let sources = ["a.rs", "b.rs"].map(|path| (path.to_owned(), text.clone()));
    assert_eq!(libtorch_users(&sources.into()).len(), 2);
}

/// Complaints about a component whose name stands in the product code of more than its own file.
fn scattered(components: &[&str], sources: &BTreeMap<String, String>) -> Vec<String> {
    let tests = test_files(sources);
    let crates = || sources.iter().filter(|(path, _)| path.starts_with("crates/") && !tests.contains(*path));
    let mut complaints = Vec::new();
    for name in components {
        let word = format!("\"{name}\"");
        let named = crates().filter(|(_, text)| product(text).any(|(_, line)| line.contains(&word)));
        let files: Vec<&str> = named.map(|(path, _)| path.as_str()).collect();
        if files.len() != 1 {
            complaints.push(format!("`{name}` is named in {files:?}, which should be its own file alone"));
        }
    }
    complaints
}

/// Files that are compiled in tests only.
fn test_files(sources: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for (path, text) in sources {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            let name = pair[1].rsplit(' ').next().and_then(|word| word.strip_suffix(';'));
            files.extend(name.map(|name| format!("{folder}/{name}.rs")));
        }
    }
    files
}

/// Floors are left out: tasks and tables name them too.
#[test]
fn a_component_is_one_file() {
    let floors = ["constant", "uniform"];
    let models = models::MODELS.iter().map(|entry| entry.name).filter(|name| !floors.contains(name));
    let tasks = data::TASKS.iter().map(|entry| entry.name);
    let measurements = experiment::MEASUREMENTS.iter().map(|entry| entry.name);
    let components: Vec<&str> = models.chain(tasks).chain(measurements).collect();
    assert_clean(&scattered(&components, &support::project_files(&[".rs"])));
}

#[test]
fn a_component_that_others_name_is_found() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let own = file("crates/models/src/lstm.rs", "const NAME: &str = \"lstm\";");
    let list = file("crates/models/src/lib.rs", "#[cfg(test)]\nmod conformance;");
    let test = file("crates/models/src/conformance.rs", "let arm = model(\"lstm\");");
    let other = file("crates/experiment/src/cost.rs", "if model == \"lstm\" { 2 } else { 1 }");
    let good = [own.clone(), list.clone(), test.clone()];
    assert_eq!(scattered(&["lstm"], &good.into()), [""; 0]);
    assert_eq!(scattered(&["lstm"], &[own, list, test, other].into()).len(), 1);
    assert_eq!(scattered(&["gru"], &BTreeMap::new()).len(), 1);
}
