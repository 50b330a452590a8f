//! `provenance.json`: where a result comes from.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::RecordError;
use crate::verdict::{read_json, write_json};

/// Where a committed result comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name of the experiment.
    pub experiment: String,
    /// Version of the experiment.
    pub version: u32,
    /// Revision of the code that planned the cells and made the tables.
    pub revision: String,
    /// Cells by the revision that computed them: cells of an earlier one are reused while no version was raised.
    #[serde(default)]
    pub revisions: BTreeMap<String, usize>,
    /// Whether definitions or code had changes that no revision holds.
    pub dirty: bool,
    /// blake3 of the definition.
    pub definition: String,
    /// blake3 of each claim's rule.
    pub rules: BTreeMap<String, String>,
    /// blake3 of `runs.csv`.
    pub runs: String,
    /// sha256 of each corpus.
    pub corpora: BTreeMap<String, String>,
    /// Tasks that were left out, with the reason.
    pub left_out: BTreeMap<String, String>,
    /// Cells by outcome.
    pub cells: BTreeMap<String, usize>,
    /// Processor seconds of all cells.
    pub core_seconds: f64,
    /// Processor, as the system names it.
    pub processor: String,
    /// Cache sizes, where the system tells.
    pub caches: String,
    /// Instruction path of the kernels.
    pub instruction_set: String,
    /// Device.
    pub device: String,
    /// Version of seqlab.
    pub seqlab: String,
    /// Tuned rates: task, then model.
    pub rates: BTreeMap<String, BTreeMap<String, f64>>,
    /// Failure messages by cell key.
    pub failures: BTreeMap<String, String>,
}

impl Provenance {
    /// Reads `provenance.json`.
    ///
    /// # Errors
    /// When the file is missing or malformed.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        read_json(path)
    }

    /// Writes `provenance.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        write_json(path, self)
    }
}
