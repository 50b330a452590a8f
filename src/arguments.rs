//! The command line.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Claims about sequence models, turned into measured evidence.
#[derive(Debug, Parser)]
#[command(
    name = "seqlab",
    version,
    after_help = "Exit codes: 0 done, 1 some cells failed or differ, 2 wrong usage or definition, 130 interrupted.\n\
                  Start with: seqlab list experiments",
    disable_help_subcommand = true
)]
pub(crate) struct Arguments {
    /// Say on standard error what happens underneath.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what is registered.
    List {
        /// What to list.
        what: Listed,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show an experiment: its question, arms, claims and what it costs.
    Show {
        /// Name, or path of a definition.
        experiment: String,
    },
    /// Run an experiment, judge its claims and write its card.
    Run(RunArguments),
    /// Compute cells that arrive on standard input.
    #[command(hide = true)]
    Cell {
        /// Where they are stored; the project's own folder if left out.
        #[arg(long, value_name = "FOLDER")]
        state: Option<PathBuf>,
    },
    /// Train cells of a committed result again, drawn at random, and compare every number.
    Verify(VerifyArguments),
    /// Say which cells are finished, by this code or an older one, failed or missing.
    Status {
        /// Name, or path of a definition; all experiments if left out.
        experiment: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Judge and write the cards again from the committed tables. Trains nothing.
    Report {
        /// Name, or path of a definition; all experiments if left out.
        experiment: Option<String>,
    },
    /// Explain a verdict: rule, regimes, controls, and why it ended so.
    Explain {
        /// Id, as `seqlab list claims` shows it.
        claim: String,
    },
    /// One sentence to cite: effect, interval, seeds, setting, commit.
    Cite {
        /// Id, as `seqlab list claims` shows it.
        claim: String,
    },
    /// Train a model on a text and let it write.
    Sample(SampleArguments),
    /// Find, download and check the corpora.
    Data {
        /// What to do with them.
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Print the JSON schema of experiment definitions, for editors.
    Schema,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    /// Models, with their settings.
    Models,
    /// Tasks, with their settings.
    Tasks,
    /// Experiments.
    Experiments,
    /// Claims, judged or not.
    Claims,
}

/// How much of an experiment runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// A smoke test of a minute or two; yields no verdict.
    Quick,
    /// Everything that the verdicts need.
    Full,
}

/// Where networks train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// The processor, in pure Rust.
    Flex,
    /// The processor, by LibTorch. Yields no verdict.
    Tch,
    /// A graphics card, by LibTorch. Yields no verdict.
    TchCuda,
}

impl DeviceName {
    /// As the training crate knows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Tch => "tch",
            Self::TchCuda => "tch-cuda",
        }
    }
}

/// How an experiment runs.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct RunArguments {
    /// Name, or path of a definition.
    pub(crate) experiment: String,
    /// How much of it.
    #[arg(long, value_enum, default_value = "full")]
    pub(crate) profile: Profile,
    /// Cells at the same time; one a core, within memory, if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Only the evaluation seeds number A up to, not including, B, counted from 0. Yields no verdict.
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    pub(crate) seeds: Option<Range<u64>>,
    /// Only cells with these values, such as task=adding,model=lstm,lag=20. Yields no verdict.
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = pairs)]
    pub(crate) filter: Option<Pairs>,
    /// Change a setting for this run, such as training.dropout=0.1. Yields no verdict.
    #[arg(long, value_name = "KEY=VALUE", value_parser = dotted_pair)]
    pub(crate) set: Vec<(String, String)>,
    /// A text of your own in place of every corpus. Yields no verdict.
    #[arg(long, value_name = "FILE")]
    pub(crate) corpus: Option<PathBuf>,
    /// Where networks train.
    #[arg(long, value_enum, default_value = "flex")]
    pub(crate) device: DeviceName,
    /// Print cells and core-seconds by task and model, and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Compute finished cells again.
    #[arg(long)]
    pub(crate) force: bool,
    /// Accept uncommitted changes of definitions or code. The result says so.
    #[arg(long)]
    pub(crate) allow_dirty: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Start cells in a random order of this seed, to show that order does not matter.
    #[arg(long, value_name = "SEED", hide = true)]
    pub(crate) shuffle: Option<u64>,
}

/// What is computed again.
#[derive(Args, Debug)]
pub(crate) struct VerifyArguments {
    /// Name, or path of a definition.
    pub(crate) experiment: String,
    /// How many cells.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) cells: u16,
    /// Every cell of the result.
    #[arg(long, conflicts_with_all = ["cells", "seed"])]
    pub(crate) all: bool,
    /// Seed of the draw; another one each time if left out.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Cells at the same time; one a core, within memory, if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is trained, and how much it writes.
#[derive(Args, Debug)]
pub(crate) struct SampleArguments {
    /// Name, as `seqlab list models` shows it.
    pub(crate) model: String,
    /// Name of a corpus, or a text file.
    #[arg(long, value_name = "NAME")]
    pub(crate) corpus: String,
    /// Updates of training.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) updates: u64,
    /// Characters to write.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) characters: usize,
    /// Text to go on from.
    #[arg(long, value_name = "TEXT", default_value = "\n", hide_default_value = true)]
    pub(crate) prompt: String,
    /// Below 1 the likely characters become likelier; 0 always takes the likeliest.
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = temperature)]
    pub(crate) temperature: f32,
    /// Learning rate.
    #[arg(long, value_name = "RATE", default_value_t = 3e-3)]
    pub(crate) rate: f64,
    /// Body parameters of a network; its default settings decide if left out.
    #[arg(long, value_name = "N", value_parser = parameters)]
    pub(crate) parameters: Option<usize>,
    /// Seed of training and writing.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// What to do with the corpora.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// List them, and whether they are here.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Download them to the cache folder.
    Fetch {
        /// Name; all if left out.
        name: Option<String>,
    },
    /// Check their digests.
    Verify {
        /// Name; all if left out.
        name: Option<String>,
    },
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    match parsed {
        Some(range) if range.start < range.end => Ok(range),
        _ => Err("write two numbers such as 0..4, the first below the second".to_owned()),
    }
}

/// Keys with their values.
pub(crate) type Pairs = Vec<(String, String)>;

/// Pairs between commas. What follows a comma and is no pair belongs to the value before: labels of models hold commas.
fn pairs(text: &str) -> Result<Pairs, String> {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split(',') {
        match parts.last_mut() {
            Some(last) if !part.contains('=') => {
                last.push(',');
                last.push_str(part);
            }
            _ => parts.push(part.to_owned()),
        }
    }
    parts.iter().map(|part| pair(part)).collect()
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write key=value".to_owned()),
    }
}

/// A label before the first dot may hold an equals sign itself, as in `LSTM b=1.layers=2`.
fn dotted_pair(text: &str) -> Result<(String, String), String> {
    let owner = text.find('.').filter(|&dot| text[dot..].contains('=')).unwrap_or(0);
    let (name, value) = pair(&text[owner..])?;
    Ok((format!("{}{name}", &text[..owner]), value))
}

fn parameters(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(value) if (1..=100_000_000).contains(&value) => Ok(value),
        _ => Err("write a number from 1 to 100000000".to_owned()),
    }
}

fn temperature(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("write a number from 0 to 100".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn ranges_and_pairs_are_read_or_refused() {
        assert_eq!(seeds("0..4"), Ok(0..4));
        assert!(seeds("4..0").is_err() && seeds("4").is_err() && seeds("a..b").is_err());
        assert_eq!(pair("lag=20"), Ok(("lag".to_owned(), "20".to_owned())));
        let read = |text| dotted_pair(text).map(|(key, value)| [key, value].join(" -> "));
        assert_eq!(read("LSTM b=1.layers=2").as_deref(), Ok("LSTM b=1.layers -> 2"));
        assert_eq!(read("training.dropout=0.1").as_deref(), Ok("training.dropout -> 0.1"));
        assert_eq!(read("width=1.5").as_deref(), Ok("width -> 1.5"));
        assert!(pair("lag").is_err() && pair("=20").is_err() && pair("lag=").is_err());
        assert!(temperature("-1").is_err() && temperature("warm").is_err());
    }
}
