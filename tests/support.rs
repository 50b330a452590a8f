//! What the tests share: the project's files, a project of their own, and the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use experiment::Machine;
use sequence::Stopwatch;
use tempfile::TempDir;

/// A clock that stands still.
pub(crate) struct Stopped;

impl Stopwatch for Stopped {
    fn wall_seconds(&self) -> f64 {
        0.0
    }
    fn processor_seconds(&self) -> f64 {
        0.0
    }
}

impl Machine for Stopped {}

/// The folder of this repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The repository's files whose path ends in one of `endings`, by path relative to its root.
///
/// What git ignores is left out.
pub(crate) fn project_files(endings: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", ".seqlab"].contains(&name.as_str()) {
                    folders.push(path);
                }
                continue;
            }
            let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            if endings.iter().any(|ending| relative.ends_with(ending)) {
                found.insert(relative, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// The folder of corpora, if the surroundings name one.
pub(crate) fn corpora_folder() -> Option<PathBuf> {
    std::env::var_os("SEQLAB_DATA").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// An experiment that takes a second: two tasks, four models, a staircase, tuning and a claim.
pub(crate) const TINY: &str = include_str!("tiny.toml");

/// The claims that [`TINY`] judges.
const CLAIMS: &str = r#"[[claim]]
id = "gru-knows-parity"
theme = "T0 Tests"
priority = 3
claim = "A GRU knows parity after 20 updates."
question = "Does it?"

[[claim]]
id = "nobody-asked"
theme = "T0 Tests"
priority = 3
claim = "Nobody asked."
question = "Why?"
"#;

/// A folder with a register of claims and one experiment, `tiny`.
pub(crate) struct Project {
    folder: TempDir,
}

/// How the program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    pub(crate) errors: String,
}

impl Project {
    /// A project whose experiment is [`TINY`].
    pub(crate) fn new() -> Self {
        Self::with(TINY)
    }

    /// A project with this definition.
    pub(crate) fn with(definition: &str) -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(project.path("experiments")).unwrap();
        std::fs::write(project.path("experiments/claims.toml"), CLAIMS).unwrap();
        project.define(definition);
        project
    }

    /// Replaces the definition.
    pub(crate) fn define(&self, definition: &str) {
        std::fs::write(self.path("experiments/tiny.toml"), definition).unwrap();
    }

    /// A path in the project.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// The program in this project, with nothing of the surroundings but what it needs to start.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seqlab"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("SEQLAB_DATA")
            .env_remove("SEQLAB_ISA")
            .env("XDG_CACHE_HOME", self.path("cache"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn seqlab(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(arguments))
    }

    /// `runs.csv` of the last full run.
    pub(crate) fn runs(&self) -> String {
        std::fs::read_to_string(self.path("results/tiny/runs.csv")).expect("a full run writes runs.csv")
    }

    /// Files of finished cells, sorted.
    pub(crate) fn cells(&self) -> Vec<PathBuf> {
        let mut cells = Vec::new();
        for folder in std::fs::read_dir(self.path(".seqlab/cells")).into_iter().flatten() {
            for file in std::fs::read_dir(folder.unwrap().path()).into_iter().flatten() {
                let path = file.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "json") {
                    cells.push(path);
                }
            }
        }
        cells.sort();
        cells
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let output = command.output().expect("the program starts");
    Ended {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Whether what is expected is to be written down instead of compared.
pub(crate) fn bless() -> bool {
    std::env::var_os("SEQLAB_BLESS").is_some()
}

/// Compares a text with the committed one in `tests/golden/`. With `SEQLAB_BLESS` set it is written instead.
pub(crate) fn golden(name: &str, text: &str) {
    let path = root().join("tests/golden").join(name);
    if bless() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if committed == text {
        return;
    }
    let pairs = committed.lines().zip(text.lines());
    let line = 1 + pairs.take_while(|(one, other)| one == other).count();
    panic!(
        "tests/golden/{name} differs from line {line}:\n  now: {}\n  was: {}\nlook at the change, then run with SEQLAB_BLESS=1",
        text.lines().nth(line - 1).unwrap_or("(end)"),
        committed.lines().nth(line - 1).unwrap_or("(end)"),
    );
}
