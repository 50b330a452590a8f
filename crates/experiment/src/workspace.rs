//! The folders, the code and the machine that an experiment runs in. The binary fills it in; nothing here looks at
//! the environment.

use std::path::PathBuf;

use data::Corpora;
use record::claims::Register;
use record::definition::{Definition, unknown};
use record::store::CellStore;

use crate::{ExperimentError, Machine};

/// Where an experiment runs.
pub struct Workspace {
    /// Definitions, `NAME.toml`, and the register of claims.
    pub definitions: PathBuf,
    /// Committed results, one folder an experiment.
    pub results: PathBuf,
    /// Cells and tables that git ignores.
    pub state: PathBuf,
    /// Step times of PyTorch on this kind of processor: columns `model,time,seconds`. The file may be missing.
    pub pytorch_steps: PathBuf,
    /// Where texts are found.
    pub corpora: Corpora,
    /// All claims.
    pub claims: Register,
    /// The code.
    pub code: Code,
    /// The machine, as provenance names it.
    pub host: Host,
    /// The machine, as a clock.
    pub machine: Box<dyn Machine>,
}

/// The code that computes.
#[derive(Clone, Debug)]
pub struct Code {
    /// Version of seqlab.
    pub version: String,
    /// Revision, or `unknown`.
    pub revision: String,
    /// Whether `experiments/` or `crates/` has changes that the revision does not hold.
    pub dirty: bool,
}

/// The machine that computes.
#[derive(Clone, Debug)]
pub struct Host {
    /// Processor, as the system names it.
    pub processor: String,
    /// Cache sizes, where the system tells.
    pub caches: String,
    /// Instruction path of the kernels.
    pub instruction_set: String,
    /// Processor cores.
    pub cores: usize,
    /// Memory that cells may use together, in bytes; 0 where unknown.
    pub memory_bytes: u64,
}

impl Workspace {
    /// The finished cells.
    #[must_use]
    pub fn store(&self) -> CellStore {
        CellStore::new(self.state.join("cells"))
    }

    /// Names of all definitions, sorted.
    #[must_use]
    pub fn definition_names(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.definitions).into_iter().flatten().filter_map(Result::ok);
        let mut names: Vec<String> = files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .filter(|name| name != "claims")
            .collect();
        names.sort();
        names
    }

    /// Reads the definition of that name.
    ///
    /// # Errors
    /// When there is none, with the nearest name, or it is malformed.
    pub fn definition(&self, name: &str) -> Result<Definition, ExperimentError> {
        let names = self.definition_names();
        if !names.iter().any(|known| known == name) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            return Err(ExperimentError::definition(&self.definitions, unknown("experiment", name, &names)));
        }
        Ok(Definition::read(&self.definitions.join(format!("{name}.toml")))?)
    }
}
