//! Everything that is read from the surroundings: variables, folders, the revision of the code.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow};
use data::Corpora;
use experiment::{Code, Host};
use kernels::instruction_set::{InstructionSet, instruction_set, set_instruction_set};

use crate::failure::Failure;
use crate::processor;

/// The folder of definitions below the root of a project.
pub(crate) const EXPERIMENTS: &str = "experiments";

/// The nearest folder, from the current one upwards, that holds `experiments/`; relative, so that messages are short.
pub(crate) fn root() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().context("the current folder cannot be read")?;
    match here.ancestors().position(|folder| folder.join(EXPERIMENTS).is_dir()) {
        Some(levels) => Ok((0..levels).map(|_| "..").collect()),
        None => Err(Failure::usage(format!(
            "no folder `{EXPERIMENTS}` in {} or above it: run seqlab inside a clone of its repository",
            here.display()
        ))),
    }
}

/// Where corpora are looked for: `$SEQLAB_DATA`, then the user's cache folder, where downloads go.
pub(crate) fn corpora() -> Corpora {
    let folder = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| PathBuf::from(".seqlab"));
    Corpora { search: folder("SEQLAB_DATA").into_iter().collect(), cache: cache.join("seqlab") }
}

/// Obeys `$SEQLAB_ISA`, which forces the vector instructions of the kernels.
pub(crate) fn force_instruction_set() -> Result<(), Failure> {
    let Some(value) = std::env::var_os("SEQLAB_ISA").filter(|value| !value.is_empty()) else {
        return Ok(());
    };
    let set = match value.to_str() {
        Some("portable") => InstructionSet::Portable,
        Some("avx2") => InstructionSet::Avx2,
        Some("avx512") => InstructionSet::Avx512,
        _ => {
            let given = value.to_string_lossy();
            return Err(Failure::usage(format!(
                "SEQLAB_ISA is `{given}`; it can be portable, avx2 or avx512"
            )));
        }
    };
    if !set.is_supported() {
        let given = value.to_string_lossy();
        return Err(Failure::usage(format!(
            "SEQLAB_ISA is `{given}`, which this processor does not have; unset it or choose portable"
        )));
    }
    set_instruction_set(Some(set));
    Ok(())
}

/// What decides a result: a change to any of these makes it one that no revision holds.
const DECISIVE: [&str; 4] = [EXPERIMENTS, "crates", "src", "Cargo.lock"];

/// The code of the project in `root`; outside a repository its revision is `unknown`.
pub(crate) fn code(root: &Path) -> Code {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let Ok(revision) = git(root, &["rev-parse", "HEAD"]) else {
        return Code { version, revision: "unknown".to_owned(), dirty: false };
    };
    let status = git(root, &[&["status", "--porcelain", "--"], DECISIVE.as_slice()].concat());
    Code { version, revision, dirty: status.map_or(true, |changes| !changes.is_empty()) }
}

/// Whether the revision holds a definition as it is.
pub(crate) fn is_committed(root: &Path, definition: &Path) -> bool {
    let Ok(path) = std::fs::canonicalize(definition) else { return false };
    let path = path.to_string_lossy();
    git(root, &["ls-files", "--error-unmatch", "--", &path]).is_ok()
        && git(root, &["status", "--porcelain", "--", &path]).is_ok_and(|changes| changes.is_empty())
}

fn git(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    // An empty path is the current folder.
    let output = Command::new("git").current_dir(Path::new(".").join(root)).args(arguments).output()?;
    if !output.status.success() {
        return Err(anyhow!("git {}: {}", arguments.join(" "), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The machine, as far as the system describes it.
pub(crate) fn host() -> Host {
    Host {
        processor: processor::name(),
        caches: caches(),
        instruction_set: processor::spelled(instruction_set()).to_owned(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_bytes: memory().unwrap_or(0),
    }
}

/// Such as `L1d 32K, L2 1024K, L3 33792K`; empty where the system does not tell.
fn caches() -> String {
    let folder = Path::new("/sys/devices/system/cpu/cpu0/cache");
    let read = |index: u32, name: &str| {
        let text = std::fs::read_to_string(folder.join(format!("index{index}")).join(name)).ok()?;
        Some(text.trim().to_owned())
    };
    let described = (0..8).filter_map(|index| {
        let letter = match read(index, "type")?.as_str() {
            "Data" => "d",
            "Instruction" => return None,
            _ => "",
        };
        Some(format!("L{}{letter} {}", read(index, "level")?, read(index, "size")?))
    });
    described.collect::<Vec<_>>().join(", ")
}

/// Bytes of memory that are free for use.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::{code, host};

    #[test]
    fn outside_a_repository_the_revision_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let code = code(folder.path());
        assert_eq!((code.revision.as_str(), code.dirty), ("unknown", false));
    }

    #[test]
    fn the_machine_has_a_name_and_a_core() {
        let host = host();
        assert!(!host.processor.is_empty() && host.cores > 0);
    }
}
