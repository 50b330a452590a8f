use std::path::PathBuf;

/// What can be wrong with a file. Every message names the file and, where there is one, the key.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what its format asks for.
    #[error("{path}: {message}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line or key, and what would be right.
        message: String,
    },
    /// A stored cell cannot be trusted; it was set aside.
    #[error("{path}: damaged cell ({message}); set aside as {aside}, it will be computed again", path = path.display(), aside = aside.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it was moved.
        aside: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl RecordError {
    pub(crate) fn file(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    pub(crate) fn format(path: &std::path::Path, message: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), message: message.into() }
    }
}
