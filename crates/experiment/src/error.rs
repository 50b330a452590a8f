use std::path::{Path, PathBuf};

use data::DataError;
use record::RecordError;
use sequence::LearnError;

/// Why an experiment was refused, stopped, or could not compute a cell.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// The definition asks for something that does not exist or makes no sense.
    #[error("{path}: {message}", path = path.display())]
    Definition {
        /// The file.
        path: PathBuf,
        /// Which key is wrong and what would be right.
        message: String,
    },
    /// An option of the run makes no sense for this definition.
    #[error("option {option}: {message}")]
    Option {
        /// As written on the command line, such as `--filter lag=3`.
        option: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// The full profile would take longer than its definition allows.
    #[error(
        "{path}: the full profile takes about {estimate:.0} core-seconds, its `budget.core-seconds` is {budget:.0}; \
         `--dry-run` shows where they go", path = path.display()
    )]
    OverBudget {
        /// The file.
        path: PathBuf,
        /// Estimated processor time, in seconds.
        estimate: f64,
        /// Allowed processor time, in seconds.
        budget: f64,
    },
    /// A full run would judge claims with code or definitions that no revision holds.
    #[error(
        "the definition, or `experiments/`, `crates/`, `src/` or `Cargo.lock`, has changes that are not committed, and a full run is \
         evidence only for a revision: commit them, or add --allow-dirty, which marks the result"
    )]
    Dirty,
    /// The run was told to stop.
    #[error("interrupted; finished cells are kept, and the same command continues with the others")]
    Interrupted,
    /// The worker program could not be started.
    #[error("cannot start a worker ({program}): {source}")]
    Worker {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A cell asks for what this program does not know.
    #[error("{0}")]
    Cell(String),
    /// A file of the record is wrong.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A task could not be built.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model could not be fitted.
    #[error(transparent)]
    Learn(#[from] LearnError),
}

impl ExperimentError {
    pub(crate) fn definition(path: &Path, message: impl Into<String>) -> Self {
        Self::Definition { path: path.to_owned(), message: message.into() }
    }

    pub(crate) fn option(option: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Option { option: option.into(), message: message.into() }
    }

    /// Whether the user must change the definition or the command, as opposed to something having failed.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Definition { .. }
                | Self::Option { .. }
                | Self::OverBudget { .. }
                | Self::Dirty
                | Self::Record(RecordError::Format { .. })
        )
    }
}
