use std::path::PathBuf;

use record::RecordError;

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A claim that nobody registered.
    #[error("unknown claim `{id}`{hint}")]
    UnknownClaim {
        /// As it was asked for.
        id: String,
        /// The nearest known id, or how to list them.
        hint: String,
    },
    /// A figure that the tables cannot fill.
    #[error("{path}: figure `{name}`: {message}", path = path.display())]
    Figure {
        /// The definition.
        path: PathBuf,
        /// Name of the figure.
        name: String,
        /// What is wrong, and the likely fix.
        message: String,
    },
    /// The README has no place for the headline.
    #[error(
        "{path}: no `{begin}` line followed by a `{end}` line; add both where the headline should stand",
        path = path.display()
    )]
    Markers {
        /// The file.
        path: PathBuf,
        /// The line before the headline.
        begin: &'static str,
        /// The line after it.
        end: &'static str,
    },
    /// A template that does not fit its values.
    #[error("template: {0:#}")]
    Template(#[from] minijinja::Error),
}
