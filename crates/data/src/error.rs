//! What can go wrong with settings and corpora.

use std::io;
use std::path::PathBuf;

/// Why a task cannot be built or a corpus cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A setting is unknown, of the wrong type or outside its range.
    #[error("task `{task}`, setting `{key}`: {reason}")]
    Setting {
        /// Registered name of the task.
        task: &'static str,
        /// The setting.
        key: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// The settings are not a table of keys and values.
    #[error("task `{task}`: settings must be a table of keys and values, not `{found}`")]
    NotATable {
        /// Registered name of the task.
        task: &'static str,
        /// What was given.
        found: String,
    },
    /// No corpus has this name.
    #[error("no corpus is named `{name}`; known are {known}, or `file:PATH` for a text of your own")]
    UnknownCorpus {
        /// The name asked for.
        name: String,
        /// Registered names, separated by commas.
        known: String,
    },
    /// A registered corpus is in none of the folders.
    #[error(
        "corpus `{name}` is not on this machine (looked for {looked}): get it with `seqlab data fetch {name}` \
         ({bytes} bytes), or set SEQLAB_DATA to a folder that holds {file}"
    )]
    MissingCorpus {
        /// Registered name.
        name: String,
        /// Paths that were tried, separated by commas.
        looked: String,
        /// Its place below a data folder.
        file: &'static str,
        /// Its size.
        bytes: u64,
    },
    /// A corpus file is not the registered one.
    #[error(
        "corpus `{name}`: {} is damaged (sha256 {found}, expected {expected}): get an intact copy with \
         `seqlab data fetch {name}`", path.display()
    )]
    DamagedCorpus {
        /// Registered name.
        name: String,
        /// The file.
        path: PathBuf,
        /// The registered digest.
        expected: String,
        /// The digest of the file.
        found: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, such as `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A text is not UTF-8.
    #[error(
        "{} is not UTF-8 text: the first wrong byte is at offset {offset}; convert the file to UTF-8",
        path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Bytes before the first wrong one.
        offset: usize,
    },
    /// A table of one's own cannot be used.
    #[error("{}, line {line}: {reason}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A text is too short to be cut into training, validation and test blocks.
    #[error("corpus `{corpus}` has {found} characters, but at least {minimum} are needed: {reason}")]
    ShortText {
        /// Name of the corpus.
        corpus: String,
        /// Its length in characters.
        found: usize,
        /// The smallest length that works.
        minimum: usize,
        /// What needs that many, and what else would help.
        reason: String,
    },
    /// The server of a corpus could not be reached.
    #[error("cannot reach {url}: {reason}; check the network, or copy the file by hand to {}", path.display())]
    Unreachable {
        /// Address of the download.
        url: String,
        /// What the network said.
        reason: String,
        /// Where the file belongs.
        path: PathBuf,
    },
    /// The server of a corpus refused.
    #[error("{url} answered with status {status}: the file may have moved; copy it by hand to {}", path.display())]
    Refused {
        /// Address of the download.
        url: String,
        /// HTTP status.
        status: u16,
        /// Where the file belongs.
        path: PathBuf,
    },
    /// A download ended early.
    #[error(
        "the download of {url} was cut after {received} of {expected} bytes; nothing was kept, try again"
    )]
    CutDownload {
        /// Address of the download.
        url: String,
        /// Bytes that came.
        received: u64,
        /// Bytes of the registered file.
        expected: u64,
    },
    /// A download is not the registered file.
    #[error("{url} sent another file than the registered one ({reason}); nothing was kept")]
    WrongDownload {
        /// Address of the download.
        url: String,
        /// How it differs.
        reason: String,
    },
}
