//! `seqlab data list | fetch | verify`.

use ::data::{CORPORA, Corpora, CorpusEntry, CorpusStatus, corpus};
use serde_json::json;

use crate::arguments::DataCommand;
use crate::environment;
use crate::failure::{Ending, Failure};
use crate::{output, progress};

/// Runs the command.
pub(crate) fn run(command: &DataCommand) -> Result<Ending, Failure> {
    let corpora = environment::corpora();
    match command {
        DataCommand::List { json } => list(&corpora, *json),
        DataCommand::Fetch { name } => fetch(&corpora, &chosen(name.as_deref())?),
        DataCommand::Verify { name } => verify(&corpora, &chosen(name.as_deref())?),
    }
}

fn chosen(name: Option<&str>) -> Result<Vec<&'static CorpusEntry>, Failure> {
    match name {
        Some(name) => Ok(vec![corpus(name)?]),
        None => Ok(CORPORA.iter().collect()),
    }
}

fn list(corpora: &Corpora, json: bool) -> Result<Ending, Failure> {
    let mut described = Vec::new();
    for entry in CORPORA {
        let (state, path) = match corpora.verify(entry)? {
            CorpusStatus::Present { path } => ("present", Some(path)),
            CorpusStatus::Missing => ("missing", None),
            CorpusStatus::Damaged { path, .. } => ("damaged", Some(path)),
        };
        if json {
            described.push(json!({
                "name": entry.name, "state": state, "path": path, "url": entry.url, "sha256": entry.sha256,
                "bytes": entry.bytes, "licence": entry.licence, "source": entry.source, "split": entry.split, "note": entry.note,
            }));
            continue;
        }
        output::line(format_args!("{}  ({state})", entry.name));
        output::line(format_args!("    {}", entry.note));
        output::line(format_args!("    {}", entry.split));
        output::line(format_args!("    {}; {}", entry.licence, entry.source));
        output::line(format_args!("    {} bytes, sha256 {}", entry.bytes, entry.sha256));
        output::line(format_args!("    {}", entry.url));
        if let Some(path) = path {
            output::line(format_args!("    {}", path.display()));
        }
    }
    if json {
        output::json(&described.into());
    }
    Ok(Ending::Success)
}

fn fetch(corpora: &Corpora, entries: &[&'static CorpusEntry]) -> Result<Ending, Failure> {
    for entry in entries {
        let mut bar = None;
        let path = corpora.fetch(entry, &mut |done, total| {
            bar.get_or_insert_with(|| progress::Bytes::new(entry.name, total)).reached(done);
        })?;
        drop(bar);
        output::line(format_args!("{}: {}", entry.name, path.display()));
    }
    Ok(Ending::Success)
}

fn verify(corpora: &Corpora, entries: &[&'static CorpusEntry]) -> Result<Ending, Failure> {
    let mut ending = Ending::Success;
    for entry in entries {
        match corpora.verify(entry)? {
            CorpusStatus::Present { path } => {
                output::line(format_args!("{}: intact, {}", entry.name, path.display()));
            }
            CorpusStatus::Missing => {
                output::line(format_args!("{0}: missing, get it with `seqlab data fetch {0}`", entry.name));
                ending = Ending::Incomplete;
            }
            CorpusStatus::Damaged { path, found } => {
                output::line(format_args!(
                    "{0}: damaged, {1} has sha256 {found} instead of {2}; get an intact copy with `seqlab data fetch {0}`",
                    entry.name,
                    path.display(),
                    entry.sha256
                ));
                ending = Ending::Incomplete;
            }
        }
    }
    Ok(ending)
}
