//! Runs that are spread, shuffled, killed and damaged end in the same table, to the byte.

use std::time::Duration;

use sequence::{Random, Stream};

use crate::support::{Ended, Project, TINY};

const FULL: [&str; 2] = ["run", "tiny"];

fn finish(project: &Project, more: &[&str]) -> Ended {
    let ended = project.seqlab(&[&FULL[..], more].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    ended
}

/// The table of an undisturbed run, one cell at a time.
fn reference(definition: &str) -> String {
    let project = Project::with(definition);
    finish(&project, &["--jobs", "1"]);
    project.runs()
}

#[test]
fn jobs_and_order_do_not_matter() {
    let expected = reference(TINY);
    assert!(expected.lines().count() > 30, "{expected}");
    let project = Project::new();
    finish(&project, &["--jobs", "2"]);
    assert_eq!(project.runs(), expected);

    for seed in ["1", "2"] {
        let shuffled = Project::new();
        finish(&shuffled, &["--shuffle", seed]);
        assert_eq!(shuffled.runs(), expected, "shuffled by {seed}");
    }

    // Parts of the experiment, run one after another, are reused by the whole.
    let shuffled = Project::new();
    for filter in ["model=gru,task=first-cue-recall", "model=constant", "model=gru", "task=first-cue-recall"]
    {
        finish(&shuffled, &["--filter", filter]);
    }
    let before = shuffled.cells().len();
    assert!(before > 0);
    finish(&shuffled, &["--jobs", "2"]);
    assert_eq!(shuffled.runs(), expected);
}

/// Instruction sets round differently, and 20 updates do not make much of that.
#[test]
fn the_portable_path_can_be_forced_and_comes_to_nearly_the_same() {
    let project = Project::new();
    let ended = crate::support::run(project.command(&FULL).env("SEQLAB_ISA", "portable"));
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let provenance = std::fs::read_to_string(project.path("results/tiny/provenance.json")).unwrap();
    let provenance: serde_json::Value = serde_json::from_str(&provenance).unwrap();
    assert_eq!(provenance["instruction_set"], "portable");

    let (portable, widest) = (project.runs(), reference(TINY));
    let value = |line: &str| -> f64 { line.rsplit(',').nth(1).unwrap().parse().unwrap_or(f64::NAN) };
    let mut compared = 0;
    for (line, other) in portable.lines().zip(widest.lines()).skip(1) {
        if line.contains(",cross-entropy,") {
            compared += 1;
            assert!((value(line) - value(other)).abs() < 1e-3, "{line}\n{other}");
        }
    }
    assert!(compared > 0, "{portable}");
}

#[test]
#[cfg(target_os = "linux")]
fn kills_do_not_matter() {
    // Long enough to be killed 20 times before it is done.
    let longer = TINY.replace("updates = 20", "updates = 800");
    let expected = reference(&longer);
    let project = Project::with(&longer);
    let mut random = Random::new(17, Stream::Order);
    let mut moment = |at_most: u32| {
        std::thread::sleep(Duration::from_millis(20 + u64::from(random.below(at_most))));
    };
    let (mut parents, mut workers) = (0, 0);
    for _ in 0..100 {
        if parents >= 10 && workers >= 10 {
            break;
        }
        let mut parent = quiet(&project, &["--jobs", "2"]);
        // On a busy machine it takes its time to start one.
        while children(parent.id()).is_empty() && parent.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        moment(300);
        // A worker first, whose cell the parent tries again, and then the parent.
        let worker = children(parent.id()).first().copied();
        workers += usize::from(worker.is_some_and(kill));
        moment(300);
        if parent.try_wait().unwrap().is_none() {
            parents += usize::from(kill(parent.id()));
        } else {
            // It was done; there must be something left to kill.
            project.cells().iter().for_each(|cell| std::fs::remove_file(cell).unwrap());
        }
        parent.wait().unwrap();
        for cell in project.cells() {
            let text = std::fs::read_to_string(&cell).unwrap();
            assert!(text.ends_with("}\n"), "{} is cut off", cell.display());
        }
    }
    assert!(parents >= 10 && workers >= 10, "killed {parents} parents and {workers} workers");
    finish(&project, &["--jobs", "2"]);
    assert_eq!(project.runs(), expected);
}

#[test]
#[cfg(target_os = "linux")]
fn a_cell_whose_worker_always_dies_fails_and_what_lacks_it_is_no_result() {
    let slow = TINY.replace("updates = 20", "updates = 800");
    let project = Project::with(&slow);
    let mut parent = quiet(&project, &["--jobs", "1"]);
    let code = loop {
        if let Some(status) = parent.try_wait().unwrap() {
            break status.code();
        }
        for worker in children(parent.id()) {
            kill(worker);
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert_eq!(code, Some(1));
    assert!(!project.path("results/tiny/runs.csv").exists());
    // The next run tries again what failed.
    finish(&project, &["--jobs", "2"]);
    assert_eq!(project.runs(), reference(&slow));
}

/// The full run without its output, still running.
#[cfg(target_os = "linux")]
fn quiet(project: &Project, more: &[&str]) -> std::process::Child {
    let mut command = project.command(&[&FULL[..], more].concat());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
}

/// Whether it was there to be killed.
#[cfg(target_os = "linux")]
fn kill(process: u32) -> bool {
    let mut command = std::process::Command::new("kill");
    command.args(["-9", &process.to_string()]).stderr(std::process::Stdio::null()).status().unwrap().success()
}

#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let mut all: Vec<u32> = lists
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn a_damaged_cell_is_computed_again() {
    let project = Project::new();
    finish(&project, &[]);
    let expected = project.runs();
    let cells = project.cells();
    let path = &cells[cells.len() / 2];
    let intact = std::fs::read_to_string(path).unwrap();
    let damages = [
        intact[..intact.len() / 2].to_owned(),
        intact.replacen("\"seed\":", "\"seed\": ", 1),
        String::new(),
        std::fs::read_to_string(&cells[0]).unwrap(),
    ];
    for damage in damages {
        std::fs::write(path, &damage).unwrap();
        let ended = finish(&project, &[]);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(ended.errors.contains(&name) && ended.errors.contains("set aside"), "{}", ended.errors);
        assert_eq!(project.runs(), expected);
        assert_eq!(project.cells(), cells, "nothing else is lost");
        assert!(path.with_extension("json.damaged").exists());
    }
}

#[test]
fn a_finished_run_is_reused_and_force_computes_again() {
    let project = Project::new();
    finish(&project, &[]);
    let cells = project.cells();
    let written = |project: &Project| -> Vec<std::time::SystemTime> {
        project.cells().iter().map(|cell| cell.metadata().unwrap().modified().unwrap()).collect()
    };
    let (before, table) = (written(&project), project.runs());
    finish(&project, &[]);
    assert_eq!(written(&project), before);
    finish(&project, &["--force"]);
    assert!(written(&project).iter().zip(&before).all(|(after, before)| after > before));
    assert_eq!((project.cells(), project.runs()), (cells, table));
}

#[test]
fn a_run_leaves_definitions_alone() {
    let project = Project::new();
    let read = || {
        ["tiny.toml", "claims.toml"]
            .map(|name| std::fs::read_to_string(project.path("experiments").join(name)).unwrap())
    };
    let before = read();
    finish(&project, &[]);
    assert_eq!(project.seqlab(&["report"]).code, Some(0));
    assert_eq!(read(), before);
    let files = std::fs::read_dir(project.path("experiments")).unwrap();
    assert_eq!(files.count(), 2);
}

#[test]
fn only_a_complete_full_run_writes_results() {
    let project = Project::new();
    for partial in [
        ["--profile", "quick"],
        ["--seeds", "0..1"],
        ["--filter", "model=rnn"],
        ["--set", "training.dropout=0.1"],
    ] {
        let ended = finish(&project, &partial);
        assert!(!project.path("results/tiny").exists(), "{partial:?}");
        let said = ended.output.clone() + &ended.errors;
        assert!(said.contains("no verdict"), "{partial:?}: {said}");
    }
    finish(&project, &[]);
    for file in ["runs.csv", "timing.csv", "verdicts.json", "provenance.json", "README.md"] {
        assert!(project.path("results/tiny").join(file).exists(), "{file}");
    }
}

#[test]
fn a_report_needs_no_cells() {
    let project = Project::new();
    finish(&project, &[]);
    let read = |name: &str| std::fs::read_to_string(project.path("results/tiny").join(name)).unwrap();
    let before = ["README.md", "verdicts.json", "runs.csv"].map(read);
    std::fs::remove_dir_all(project.path(".seqlab")).unwrap();
    std::fs::remove_file(project.path("results/tiny/README.md")).unwrap();
    std::fs::remove_file(project.path("results/tiny/verdicts.json")).unwrap();
    let ended = project.seqlab(&["report", "tiny"]);
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    assert_eq!(["README.md", "verdicts.json", "runs.csv"].map(read), before);
    assert!(!project.path(".seqlab/cells").exists(), "a report trains nothing");
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupted_run_says_so_and_goes_on() {
    let slow = TINY.replace("updates = 20", "updates = 4000");
    let project = Project::with(&slow);
    let mut command = project.command(&[&FULL[..], &["--jobs", "2"]].concat());
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let workers = children(child.id());
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert!(errors.contains("finished cells are kept"), "{errors}");
    assert!(!workers.is_empty());
    for worker in workers {
        let state = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "worker {worker} goes on");
    }
}
