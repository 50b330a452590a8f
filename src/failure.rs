//! How the program ends: the exit codes, and the errors that lead to them.

use std::process::ExitCode;

/// How a command ended when nothing went wrong with the command itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Exit code 0.
    Success,
    /// Exit code 1: it ran to its end, but some cells failed or some file is damaged.
    Incomplete,
    /// Exit code 130: the user stopped it.
    Interrupted,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Success => Self::SUCCESS,
            Ending::Incomplete => Self::from(1),
            // What a shell reports for a program that SIGINT ended: 128 + 2.
            Ending::Interrupted => Self::from(130),
        }
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 2: the command line or a definition is wrong.
    Usage(anyhow::Error),
    /// Exit code 1: the surroundings are wrong, such as a full disk or a missing network.
    Other(anyhow::Error),
}

impl Failure {
    /// What a library says. Its message includes those of its causes, which are left out here.
    fn other(error: &impl std::error::Error) -> Self {
        Self::Other(anyhow::Error::msg(error.to_string()))
    }

    /// A wrong command line or definition, in words.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(anyhow::Error::msg(message.into()))
    }

    /// Its exit code.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Other(_) => ExitCode::from(1),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            // `{:#}` joins an error and its contexts by colons.
            Self::Usage(error) | Self::Other(error) => write!(formatter, "{error:#}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<record::RecordError> for Failure {
    fn from(error: record::RecordError) -> Self {
        Self::other(&error)
    }
}

impl From<data::DataError> for Failure {
    /// A wrong name or setting is the user's to correct; a missing file or network is not.
    fn from(error: data::DataError) -> Self {
        use data::DataError as E;
        match error {
            E::Setting { .. } | E::NotATable { .. } | E::UnknownCorpus { .. } | E::ShortText { .. } => {
                Self::usage(error.to_string())
            }
            _ => Self::other(&error),
        }
    }
}

impl From<experiment::ExperimentError> for Failure {
    fn from(error: experiment::ExperimentError) -> Self {
        if error.is_usage() { Self::usage(error.to_string()) } else { Self::other(&error) }
    }
}

impl From<analysis::AnalysisError> for Failure {
    fn from(error: analysis::AnalysisError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<report::ReportError> for Failure {
    fn from(error: report::ReportError) -> Self {
        use report::ReportError as E;
        match error {
            E::UnknownClaim { .. } | E::Figure { .. } => Self::usage(error.to_string()),
            E::Record(_) | E::Markers { .. } | E::Template(_) => Self::other(&error),
        }
    }
}

/// Marks an error as the fault of the command line or of a definition.
pub(crate) trait OrUsage<T> {
    /// The value, or a [`Failure::Usage`].
    fn or_usage(self) -> Result<T, Failure>;
}

impl<T, E: std::error::Error> OrUsage<T> for Result<T, E> {
    fn or_usage(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::usage(error.to_string()))
    }
}
