//! The command line: what it prints, what it refuses, and how it ends.

use serde_json::Value;

use crate::support::{self, Ended, Project, TINY};

/// The likeliest mistakes in a definition: what is written instead of what.
const DEFINITION_MISTAKES: &[(&str, &str)] = &[
    ("seeds = 3", "seed = 3"),
    ("width = 8\n", ""),
    ("title = \"Tiny\"", "title = \"Tiny"),
    ("core-seconds = 600", "core-seconds = 1"),
    ("rates = [3e-3, 1e-2]", "rates = [1e-2, 3e-3]"),
    ("name = \"running-parity\"", "name = \"runing-parity\"\nlabel = \"running-parity\""),
    ("version = 1\nlag", "version = 2\nlag"),
    ("train-minimum", "train-minimun"),
    ("lag = [2, 5]", "lag = [0, 5]"),
    ("lag = [2, 5]", "lag = [\"two\"]"),
    ("tune-at = { lag = 2 }", ""),
    ("kind = \"train\"", "kind = \"trian\""),
    ("evaluate-every", "evaluate-evry"),
    ("parameters = 600", "parameters = 3"),
    ("name = \"gru\"", "name = \"gruu\"\nlabel = \"gru\""),
    ("name = \"gru\"", "name = \"gru\"\nhiden = 4"),
    ("tasks = [\"running-parity\"]", "tasks = [\"parity\"]"),
    ("role = \"baseline\"", "role = \"base-line\""),
    ("id = \"gru-knows-parity\"", "id = \"gru-knows-pairty\""),
    ("models = [\"gru\"]", "models = [\"lstm\"]"),
    ("metric = \"accuracy\"", "metric = \"acuracy\""),
    ("split = \"test@10\"", "split = \"test@12\""),
    ("side = \"above\"", "side = \"over\""),
    ("models = [\"gru\"]", "models = []"),
    ("models = [\"gru\"]", "models = [\"gru\"]\nat = { lag = [] }"),
    (
        "margin = 0.4",
        "margin = 0.4\n\n[[figure]]\nname = \"../f\"\ntitle = \"F\"\nkind = \"line\"\ntask = \"running-parity\"\n\
         metric = \"accuracy\"\nx = \"split\"\nx-label = \"x\"\ny-label = \"y\"",
    ),
    ("name = \"gru\"", "name = \"gru\"\nhidden = \"two\""),
    ("name = \"gru\"", "name = \"gru\"\ntraining = { clip-norm = inf }"),
    ("core-seconds = 600", "core-seconds = nan"),
    ("common-rate = 3e-3", "common-rate = -0.5"),
];

/// The likeliest mistakes on the command line.
const COMMAND_MISTAKES: &[&[&str]] = &[
    &["run", "tinny"],
    &["runn", "tiny"],
    &["run", "tiny", "--profile", "fast"],
    &["run", "tiny", "--jobs", "0"],
    &["run", "tiny", "--seeds", "5"],
    &["run", "tiny", "--filter", "model=lstm"],
    &["run", "tiny", "--filter", "lags=2"],
    &["run", "tiny", "--set", "training.droput=0.1"],
    &["run", "tiny", "--corpus", "my.txt"],
    &["run", "tiny", "--device", "cuda"],
    &["show", "missing.toml"],
    &["explain", "gru-knows"],
    &["cite", "gru-knows-pairty"],
    &["sample", "lsmt", "--corpus", "tiny-shakespeare"],
    &["sample", "lstm", "--corpus", "shakespeare"],
    &["data", "fetch", "shakespeare"],
];

/// What is said, with the folder of the test and estimates left out.
fn errors(project: &Project, ended: &Ended) -> String {
    let folder = project.path("").canonicalize().unwrap();
    let folder = folder.display().to_string();
    let folder = folder.trim_end_matches('/');
    let text = ended.errors.replace(&format!("{folder}/"), "").replace(folder, "FOLDER");
    // Estimates follow the speed of the code.
    match text.split_once("takes about ") {
        Some((before, after)) => {
            format!("{before}takes about N{}", after.trim_start_matches(|digit: char| digit.is_ascii_digit()))
        }
        None => text,
    }
}

fn succeed(project: &Project, arguments: &[&str]) -> String {
    let ended = project.seqlab(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.errors);
    ended.output
}

#[test]
fn mistakes_are_explained() {
    let mut text =
        String::from("What seqlab says to the likeliest mistakes. `tests/command_line.rs` makes them.\n");
    for (from, to) in DEFINITION_MISTAKES {
        assert!(TINY.contains(from), "`{from}` is not in the tiny definition");
        let project = Project::with(&TINY.replacen(from, to, 1));
        let ended = project.seqlab(&["run", "tiny"]);
        let message = errors(&project, &ended);
        assert_eq!(ended.code, Some(2), "{to}: {message}");
        assert_eq!(ended.output, "", "{to}: results on standard output");
        assert!(message.starts_with("error: ") && !message.contains("panicked"), "{to}: {message}");
        assert!(message.contains("experiments/tiny.toml"), "{to}: the file is not named: {message}");
        assert!(!project.path(".seqlab").exists(), "{to}: something ran");
        text.extend(["\n--- ", from.trim(), " -> ", to.trim(), "\n", &message]);
    }
    for arguments in COMMAND_MISTAKES {
        let project = Project::new();
        let ended = project.seqlab(arguments);
        let message = errors(&project, &ended);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {message}");
        assert!(message.starts_with("error: ") && !message.contains("panicked"), "{arguments:?}: {message}");
        assert!(!project.path(".seqlab").exists(), "{arguments:?}: something ran");
        text.extend(["\n--- seqlab ", &arguments.join(" "), "\n", &message]);
    }
    support::golden("mistakes.txt", &text);
}

#[test]
fn a_wrong_instruction_set_is_refused() {
    let project = Project::new();
    let ended = support::run(project.command(&["run", "tiny"]).env("SEQLAB_ISA", "sse"));
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.errors, "error: SEQLAB_ISA is `sse`; it can be portable, avx2 or avx512\n");
}

#[cfg(not(feature = "tch"))]
#[test]
fn a_device_that_is_not_compiled_in_is_refused() {
    for (arguments, place) in [
        (["--device", "tch"], ""),
        (["--device", "tch-cuda"], ""),
        (["--set", "training.device=tch"], "experiments/tiny.toml: [training]: "),
    ] {
        let project = Project::new();
        let ended = project.seqlab(&[&["run", "tiny"], arguments.as_slice()].concat());
        let device = arguments[1].trim_start_matches("training.device=");
        let needs = "needs a build with `--features tch`; run `make setup-tch` first";
        assert_eq!(ended.code, Some(2));
        assert_eq!(ended.errors, format!("error: {place}device `{device}` {needs}\n"));
        assert!(!project.path(".seqlab").exists(), "{arguments:?}: something ran");
    }
}

#[test]
fn outside_a_project_the_way_in_is_told() {
    let project = Project::new();
    let folder = tempfile::tempdir().unwrap();
    let ended = support::run(project.command(&["list", "experiments"]).current_dir(folder.path()));
    assert_eq!(ended.code, Some(2));
    assert!(ended.errors.contains("run seqlab inside a clone"), "{}", ended.errors);
    // What is compiled in can be listed anywhere.
    let models = support::run(project.command(&["list", "models"]).current_dir(folder.path()));
    assert_eq!(models.code, Some(0), "{}", models.errors);
}

#[test]
fn uncommitted_changes_are_refused_unless_allowed() {
    let project = Project::new();
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args([
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@localhost",
            "-c",
            "init.defaultBranch=main",
        ]);
        let ended = support::run(command.args(arguments).current_dir(project.path("")));
        assert_eq!(ended.code, Some(0), "git {arguments:?}: {}", ended.errors);
        ended.output.trim().to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["add", "experiments"]);
    git(&["commit", "--quiet", "--message", "define"]);
    succeed(&project, &["run", "tiny"]);
    let provenance = || -> Value {
        let text = std::fs::read_to_string(project.path("results/tiny/provenance.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(provenance()["revision"], git(&["rev-parse", "HEAD"]));
    assert_eq!(provenance()["dirty"], false);
    // The results themselves are not what decides a result.
    succeed(&project, &["run", "tiny"]);

    project.define(&TINY.replace("margin = 0.4", "margin = 0.3"));
    let refused = project.seqlab(&["run", "tiny"]);
    assert_eq!(refused.code, Some(2), "{}", refused.errors);
    assert!(refused.errors.contains("--allow-dirty"), "{}", refused.errors);
    succeed(&project, &["run", "tiny", "--profile", "quick"]);
    succeed(&project, &["run", "tiny", "--allow-dirty"]);
    assert_eq!(provenance()["dirty"], true);
    let card = std::fs::read_to_string(project.path("results/tiny/README.md")).unwrap();
    assert!(card.contains("uncommitted"), "the card must say so");

    // No revision holds a definition that lies elsewhere, and one of the same name would overwrite results.
    project.define(TINY);
    let elsewhere = tempfile::tempdir().unwrap();
    for (name, says) in [("other.toml", "--allow-dirty"), ("tiny.toml", "give the file another name")] {
        let path = elsewhere.path().join(name);
        std::fs::write(&path, TINY).unwrap();
        let refused = project.seqlab(&["run", path.to_str().unwrap()]);
        assert_eq!(refused.code, Some(2), "{}", refused.errors);
        assert!(refused.errors.contains(says), "{}", refused.errors);
    }
}

#[test]
fn registries_are_listed() {
    let project = Project::new();
    let (models_listed, tasks) =
        (succeed(&project, &["list", "models"]), succeed(&project, &["list", "tasks"]));
    for entry in models::MODELS {
        assert!(models_listed.contains(&format!("{}: ", entry.name)), "{models_listed}");
    }
    for entry in data::TASKS {
        assert!(tasks.contains(&format!("{}: ", entry.name)), "{tasks}");
    }
    for what in ["models", "tasks", "experiments", "claims"] {
        let entries: Value = serde_json::from_str(&succeed(&project, &["list", what, "--json"])).unwrap();
        assert!(entries.as_array().is_some_and(|entries| !entries.is_empty()), "{what}");
    }
    assert_eq!(
        succeed(&project, &["list", "claims"]),
        "gru-knows-parity  not judged  A GRU knows parity after 20 updates.\n\
         nobody-asked      not judged  Nobody asked.\n"
    );
    assert_eq!(
        succeed(&project, &["list", "experiments"]),
        "tiny: Tiny\n    1 claim, at most 10 core-minutes\n"
    );
}

#[test]
fn a_dry_run_says_what_it_would_cost_and_computes_nothing() {
    let project = Project::new();
    let text = succeed(&project, &["run", "tiny", "--dry-run"]);
    for part in [
        "running-parity",
        "first-cue-recall",
        "rnn",
        "gru",
        "constant",
        "tuning",
        "evaluation",
        "core-seconds",
    ] {
        assert!(text.contains(part), "no {part}: {text}");
    }
    let json: Value =
        serde_json::from_str(&succeed(&project, &["run", "tiny", "--dry-run", "--json"])).unwrap();
    // Tuning: 2 tasks x 2 networks x 2 rates x 1 seed. Evaluation: 3 networks' settings x 2 networks x 3 seeds, and
    // the constant on 3 seeds.
    assert_eq!(json["cells"], 8 + 18 + 3);
    // A run that is refused for its cost can still be looked at.
    project.define(&TINY.replace("core-seconds = 600", "core-seconds = 1"));
    assert!(succeed(&project, &["run", "tiny", "--dry-run"]).contains("it would be refused"));
    assert!(!project.path(".seqlab").exists());
}

#[test]
fn a_run_ends_with_verdicts_and_the_place_of_the_card() {
    let project = Project::new();
    let text = succeed(&project, &["run", "tiny"]);
    assert!(text.contains("gru-knows-parity"), "{text}");
    assert!(text.contains("results/tiny/README.md"), "{text}");
    let json: Value = serde_json::from_str(&succeed(&project, &["run", "tiny", "--json"])).unwrap();
    assert_eq!(json["cells"]["reused"], 29);
    assert_eq!(json["verdicts"][0]["id"], "gru-knows-parity");
    assert!(succeed(&project, &["list", "claims"]).contains("gru-knows-parity  refuted"));

    for command in ["explain", "cite"] {
        let text = succeed(&project, &[command, "gru-knows-parity"]);
        assert!(text.contains("refuted"), "{text}");
    }
    assert!(succeed(&project, &["cite", "nobody-asked"]).contains("not judged"));
}

#[test]
fn a_status_follows_the_cells() {
    let project = Project::new();
    let json = |project: &Project| -> Value {
        serde_json::from_str(&succeed(project, &["status", "tiny", "--json"])).unwrap()
    };
    assert_eq!(json(&project)["tiny"]["missing"], 29);
    succeed(&project, &["run", "tiny"]);
    assert_eq!(json(&project)["tiny"]["missing"], 0);
    assert!(succeed(&project, &["status"]).contains("tiny"));
}

#[test]
fn a_result_is_verified_by_training_its_cells_again() {
    let project = Project::new();
    let nothing = project.seqlab(&["verify", "tiny"]);
    assert_eq!(nothing.code, Some(2));
    assert!(nothing.errors.contains("results/tiny/runs.csv does not exist"), "{}", nothing.errors);
    succeed(&project, &["run", "tiny"]);
    let text = succeed(&project, &["verify", "tiny", "--cells", "3", "--seed", "1"]);
    assert!(text.contains("tiny: 3 of 3 cells came out identical"), "{text}");
    let all = succeed(&project, &["verify", "tiny", "--all"]);
    assert!(all.contains("29 of 29 cells came out identical"), "{all}");

    // A digit of one score is another than training gives.
    let path = project.path("results/tiny/runs.csv");
    let table = std::fs::read_to_string(&path).unwrap();
    let score =
        table.lines().find(|line| line.contains(",evaluation,") && line.contains("accuracy")).unwrap();
    let (start, count) = score.rsplit_once(',').unwrap();
    let (start, _) = start.rsplit_once(',').unwrap();
    std::fs::write(&path, table.replacen(score, &format!("{start},0.123456,{count}"), 1)).unwrap();
    let verdicts = std::fs::read_to_string(project.path("results/tiny/verdicts.json")).unwrap();
    let refused = project.seqlab(&["report", "tiny"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.errors.contains("runs.csv is not the table of the run"), "{}", refused.errors);
    assert_eq!(std::fs::read_to_string(project.path("results/tiny/verdicts.json")).unwrap(), verdicts);
    let tampered = project.seqlab(&["verify", "tiny", "--all"]);
    assert_eq!(tampered.code, Some(1));
    assert!(tampered.errors.contains("rounding is no excuse"), "{}", tampered.errors);
    assert!(
        tampered.output.contains("rows DIFFER: ") && tampered.output.contains("28 of 29"),
        "{}",
        tampered.output
    );
}

#[test]
fn a_text_of_ones_own_trains_a_model_that_writes() {
    let project = Project::new();
    let lines: Vec<String> =
        (0..4000).map(|number| format!("{number} times {number} is {}", number * number)).collect();
    std::fs::write(project.path("my.txt"), lines.join("\n")).unwrap();
    let sample = ["sample", "n-gram", "--corpus", "my.txt", "--characters", "80", "--seed", "3"];
    let written = succeed(&project, &sample);
    assert_eq!(written.chars().count(), 1 + 80 + 1, "{written}");
    assert!(written.contains("times"), "{written}");
    assert_eq!(succeed(&project, &sample), written, "the seed decides");
    let network = ["sample", "gru", "--corpus", "my.txt", "--characters", "20", "--updates", "20"];
    // The prompt is a line feed, and another ends the output.
    assert_eq!(succeed(&project, &network).chars().count(), 1 + 20 + 1);
    let ahead = project.seqlab(&["sample", "bidirectional-lstm", "--corpus", "my.txt"]);
    assert_eq!(ahead.code, Some(2));
    assert!(ahead.errors.contains("reads ahead"), "{}", ahead.errors);
    let stranger = project.seqlab(&[&sample[..], &["--prompt", "é"]].concat());
    assert_eq!(stranger.code, Some(2));
    assert!(stranger.errors.contains("'é'"), "{}", stranger.errors);
}

#[test]
fn an_experiment_is_shown_and_runs_on_a_text_of_ones_own() {
    let task = "\n[[task]]\nname = \"character-language-model\"\nversion = 1\ncorpus = \"names\"\n\
                measure = { kind = \"train\", updates = 5, evaluate-every = 5 }\nparameters = 600\nbatch = 2\n";
    let definition = TINY
        .replace("\n[[model]]\nname = \"constant\"", &format!("{task}\n[[model]]\nname = \"constant\""))
        .replace(
            "tasks = [\"running-parity\"]",
            "tasks = [\"running-parity\", \"character-language-model\"]",
        );
    let project = Project::with(&definition);
    let shown = succeed(&project, &["show", "tiny"]);
    assert!(shown.contains("Does the harness hold?") && shown.contains("gru-knows-parity"), "{shown}");
    std::fs::write(project.path("my.txt"), "to be or not to be, that is the question. ".repeat(2000))
        .unwrap();
    let ran = succeed(&project, &["run", "tiny", "--corpus", "my.txt"]);
    assert!(ran.contains("it yields no verdict") && !ran.contains("left out"), "{ran}");
    let runs = std::fs::read_to_string(project.path(".seqlab/runs/tiny-partial/runs.csv")).unwrap();
    assert!(runs.contains(",character-language-model,"));
    assert!(!project.path("results/tiny").exists());
}

#[test]
fn tables_of_another_version_are_not_judged_by_this_one() {
    let project = Project::new();
    succeed(&project, &["run", "tiny"]);
    project.define(&TINY.replacen("version = 1", "version = 2", 1));
    let refused = project.seqlab(&["report", "tiny"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.errors.contains("the tables are of version 1, the definition is version 2"),
        "{}",
        refused.errors
    );
    let warned = project.seqlab(&["report"]);
    assert_eq!(warned.code, Some(0), "{}", warned.errors);
    assert!(warned.errors.contains("make experiment-tiny"), "{}", warned.errors);
}

#[test]
fn corpora_are_found_checked_and_named_when_damaged() {
    let project = Project::new();
    let verify = project.seqlab(&["data", "verify"]);
    assert_eq!(verify.code, Some(1));
    assert!(verify.output.contains("seqlab data fetch names"), "{}", verify.output);
    let entry = data::corpus("names").unwrap();
    let path = project.path("cache/seqlab").join(entry.file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "emma\n").unwrap();
    let verify = project.seqlab(&["data", "verify", "names"]);
    assert_eq!(verify.code, Some(1));
    assert!(verify.output.contains("names.txt has sha256"), "{}", verify.output);
    assert!(succeed(&project, &["data", "list"]).contains("names  (damaged)"));
    let json: Value = serde_json::from_str(&succeed(&project, &["data", "list", "--json"])).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(data::CORPORA.len()));
}

#[test]
fn a_missing_or_damaged_corpus_leaves_the_rest_running() {
    let task = "\n[[task]]\nname = \"character-language-model\"\nversion = 1\ncorpus = \"names\"\n\
                measure = { kind = \"train\", updates = 5, evaluate-every = 5 }\nparameters = 600\nbatch = 2\n";
    let definition =
        TINY.replace("\n[[model]]\nname = \"constant\"", &format!("{task}\n[[model]]\nname = \"constant\""));
    let definition = definition.replace(
        "tasks = [\"running-parity\"]",
        "tasks = [\"running-parity\", \"character-language-model\"]",
    );
    let project = Project::with(&definition);
    let ended = project.seqlab(&["run", "tiny"]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    assert!(ended.errors.contains("seqlab data fetch names"), "{}", ended.errors);

    let path = project.path("cache/seqlab").join(data::corpus("names").unwrap().file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "emma\n").unwrap();
    let ended = project.seqlab(&["run", "tiny"]);
    assert!(ended.errors.contains("damaged") && ended.errors.contains("names.txt"), "{}", ended.errors);
}

#[test]
fn a_claim_about_a_missing_corpus_keeps_its_committed_verdict() {
    let Some(corpora) = support::corpora_folder() else {
        eprintln!("skipped: SEQLAB_DATA names no folder with names");
        return;
    };
    let definition = TINY
        .replace(
            "name = \"running-parity\"\nversion = 1\ntrain-minimum = 8\ntrain-maximum = 10\ntest = [10, 16]",
            "name = \"character-language-model\"\nversion = 1\ncorpus = \"names\"\ntime = 16",
        )
        .replace("running-parity", "character-language-model")
        .replace("metric = \"accuracy\"\nsplit = \"test@10\"", "metric = \"cross-entropy\"")
        .replace("constant = 0.5\nside = \"above\"", "constant = 9.0\nside = \"below\"");
    let project = Project::with(&definition);
    let ended = support::run(project.command(&["run", "tiny"]).env("SEQLAB_DATA", corpora));
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let verdicts = || std::fs::read_to_string(project.path("results/tiny/verdicts.json")).unwrap();
    let committed = verdicts();
    assert!(committed.contains("\"supported\""), "{committed}");

    let ended = project.seqlab(&["run", "tiny"]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    assert!(ended.output.contains("SUPPORTED, not re-run here: gru-knows-parity"), "{}", ended.output);
    assert!(ended.output.contains("left out: character-language-model"), "{}", ended.output);
    assert_eq!(verdicts(), committed);
}

#[test]
fn without_a_terminal_progress_is_plain_lines() {
    let project = Project::new();
    let ended = project.seqlab(&["run", "tiny"]);
    let last = ended.errors.lines().rfind(|line| line.starts_with("tiny: ")).unwrap_or_default();
    let cells = project.cells().len();
    assert!(
        last.starts_with(&format!("tiny: {cells}/{cells} cells, ")) && last.ends_with(" left"),
        "{}",
        ended.errors
    );
    assert!(!ended.errors.contains(['\u{1b}', '\r']) && !ended.output.contains("cells, "));
}

#[test]
fn the_reader_of_a_list_may_stop() {
    let project = Project::new();
    let mut command = project.command(&["list", "models", "--json"]);
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_committed_schema_is_in_step() {
    let text = succeed(&Project::new(), &["schema"]);
    let committed = support::project_files(&["definition.schema.json"]);
    let committed = committed.values().next().map(String::as_str).unwrap_or_default();
    assert!(
        text == committed,
        "run `cargo run --release -- schema > experiments/definition.schema.json` and commit it"
    );
}

/// The schema is written by hand where a registry does not fill it, so its keys are held against the parser's.
#[test]
fn the_schema_knows_the_keys_that_the_parser_knows() {
    let schema: Value = serde_json::from_str(&succeed(&Project::new(), &["schema"])).unwrap();
    let keys =
        |value: &Value| -> Vec<String> { value["properties"].as_object().unwrap().keys().cloned().collect() };
    let item = |name: &str| &schema["properties"][name]["items"];
    let places: [(&str, Vec<String>); 7] = [
        ("title = \"Tiny\"", keys(&schema)),
        ("[tuning]", keys(&schema["properties"]["tuning"])),
        ("[quick]", keys(&schema["properties"]["quick"])),
        ("[[claim]]", keys(item("claim"))),
        (
            "[[claim.part]]\nkind = \"difference\"",
            keys(&item("claim")["properties"]["part"]["items"]["oneOf"][1]),
        ),
        ("[[control]]", keys(item("control"))),
        ("[[figure]]", keys(item("figure"))),
    ];
    for (place, mut known) in places {
        // An unknown key makes the parser list the keys that it knows.
        let definition = if TINY.contains(place) {
            TINY.replacen(place, &format!("{place}\nzzz = 1"), 1)
        } else {
            format!("{TINY}\n{place}\nzzz = 1\n")
        };
        let project = Project::with(&definition);
        let message = project.seqlab(&["show", "tiny"]).errors;
        let listed = message.split("expected").nth(1).unwrap_or_else(|| panic!("{place}: {message}"));
        let listed = listed.lines().next().unwrap_or_default();
        let mut expected: Vec<String> = listed.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        expected.sort();
        known.retain(|key| key != "kind" || expected.contains(key));
        known.sort();
        assert_eq!(known, expected, "{place}");
    }
}

/// The definition that `experiments/README.md` shows, over a file as somebody has it.
#[test]
fn the_definition_for_ones_own_data_runs_as_it_is_shown() {
    let readme = std::fs::read_to_string(support::root().join("experiments/README.md")).unwrap();
    let shown = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let project = Project::new();
    std::fs::write(project.path("experiments/my-spam.toml"), shown).unwrap();
    let message = |number: usize| match number % 3 {
        0 => format!("win prize {number} now\tspam\n"),
        _ => format!("see you at {number}, \"ok\"?\tham\n"),
    };
    let messages: String = (0..1200).map(message).collect();
    std::fs::write(project.path("spam.tsv"), format!("message\tlabel\n{messages}")).unwrap();
    succeed(&project, &["run", "my-spam"]);
    let card = std::fs::read_to_string(project.path("results/my-spam/README.md")).unwrap();
    assert!(
        card.contains("figures/accuracy.svg")
            && project.path("results/my-spam/figures/accuracy.svg").exists(),
        "{card}"
    );
    let table = std::fs::read_to_string(project.path("results/my-spam/runs.csv")).unwrap();
    let accuracies = table
        .lines()
        .filter(|line| line.contains("evaluation") && line.contains(",test,accuracy,ok,"))
        .collect::<Vec<_>>();
    // Two models, three training sizes and ten folds; every message has a word that tells its class.
    assert_eq!(accuracies.len(), 60);
    assert!(
        accuracies.iter().filter(|line| line.contains("examples=800")).all(|line| line.contains(",ok,1,")),
        "{table}"
    );
    // A file that is cut short names its line.
    std::fs::write(project.path("spam.tsv"), "message\tlabel\nhello\n").unwrap();
    let ended = project.seqlab(&["run", "my-spam"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.errors.contains("spam.tsv, line 2: 1 values where the header has 2 columns"),
        "{}",
        ended.errors
    );
}

#[test]
fn a_task_over_several_corpora_reads_each() {
    let task = "\n[[task]]\nlabel = \"tables\"\nname = \"tabular-classification\"\nversion = 1\n\
                corpus = [\"file:a.csv\", \"file:b.csv\"]\nfolds = 2\n\
                measure = { kind = \"train\", updates = 1, evaluate-every = 1 }\nbatch = 2\n\
                \n[[model]]\nname = \"naive-bayes\"\ntasks = [\"tables\"]\n";
    let project = Project::with(&format!("{TINY}{task}"));
    for (name, other) in [("a.csv", "green"), ("b.csv", "blue")] {
        let mut table = "size,colour,class\n".to_owned();
        for row in 0..40 {
            let (colour, class) = (["red", other][row % 2], ["no", "yes"][row % 2]);
            table += &[row.to_string().as_str(), colour, class].join(",");
            table += "\n";
        }
        std::fs::write(project.path(name), table).unwrap();
    }
    let ended = project.seqlab(&["run", "tiny"]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let runs = std::fs::read_to_string(project.path("results/tiny/runs.csv")).unwrap();
    for corpus in ["corpus=file:a.csv", "corpus=file:b.csv"] {
        let found = runs.lines().filter(|line| line.contains(corpus) && line.contains(",naive-bayes,"));
        assert!(found.clone().count() > 0, "{corpus}");
        assert!(found.into_iter().all(|line| line.contains(",ok,")), "{corpus}");
    }
}
