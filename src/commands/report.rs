//! `seqlab report`: verdicts, cards, index and headline, from tables alone.

use std::path::Path;

use ::report::{Mode, experiment_report, headline, index};
use analysis::Tables;
use anyhow::anyhow;
use record::claims::Register;
use record::definition::Definition;
use record::provenance::Provenance;
use record::verdict::Verdicts;

use crate::failure::{Ending, Failure};
use crate::output;
use crate::project::Project;

/// Runs the command.
pub(crate) fn run(experiment: Option<&str>) -> Result<Ending, Failure> {
    let project = Project::find()?;
    let register = project.register()?;
    for definition in project.definitions(experiment)? {
        let folder = project.results().join(&definition.name);
        if !folder.join("runs.csv").exists() {
            let missing =
                format!("{0}: no results yet; `make experiment-{0}` computes them", definition.name);
            if experiment.is_some() {
                return Err(Failure::usage(missing));
            }
            output::note(missing);
            continue;
        }
        let provenance = Provenance::read(&folder.join("provenance.json"))?;
        check_table(&folder.join("runs.csv"), &provenance, &definition.name)?;
        // Tables answer the rules of their own version.
        let version = provenance.version;
        if version != definition.version {
            let stale = format!(
                "{0}: the tables are of version {version}, the definition is version {1}; `make experiment-{0}` computes \
                 them anew",
                definition.name, definition.version
            );
            if experiment.is_some() {
                return Err(Failure::usage(stale));
            }
            output::warning(stale);
            continue;
        }
        let verdicts = judged(&definition, &register, &folder)?;
        print(&verdicts, &register);
        output::line(format_args!("{}", project.relative(&folder.join("README.md")).display()));
    }
    publish(&project, &register)?;
    Ok(Ending::Success)
}

/// A table that is not the one of the run says nothing.
fn check_table(runs: &Path, provenance: &Provenance, experiment: &str) -> Result<(), Failure> {
    let found = record::digest_of_file(runs)?;
    if found == provenance.runs {
        return Ok(());
    }
    Err(Failure::from(anyhow!(
        "{0} is not the table of the run: its blake3 is {found}, and provenance.json says {1}; restore it (`git checkout {0}`), \
         or compute it anew (`make experiment-{experiment}`)",
        runs.display(),
        provenance.runs
    )))
}

/// Judges the tables in `folder`, and writes the verdicts and the card there.
pub(crate) fn judged(
    definition: &Definition,
    register: &Register,
    folder: &Path,
) -> Result<Verdicts, Failure> {
    let tables = Tables::read(folder)?;
    let verdicts = analysis::judge(definition, register, &tables)?;
    verdicts.write(&folder.join("verdicts.json"))?;
    experiment_report(definition, register, folder, tables, &Mode::Full)?;
    Ok(verdicts)
}

/// Writes the index of all results and the headline of the README.
pub(crate) fn publish(project: &Project, register: &Register) -> Result<(), Failure> {
    let definitions = project.definitions(None)?;
    index(&definitions, register, &project.results())?;
    let readme = project.root.join("README.md");
    if readme.exists() {
        headline(&definitions, register, &project.results(), &readme)?;
    }
    Ok(())
}

/// One paragraph a claim: how it ended, the answer with its numbers, and why.
pub(crate) fn print(verdicts: &Verdicts, register: &Register) {
    for verdict in &verdicts.claims {
        let claim = register.get(&verdict.id).map_or("", |claim| claim.claim.as_str());
        output::line(format_args!("{}: {claim} ({})", verdict.ending.name().to_uppercase(), verdict.id));
        for text in [&verdict.answer, &verdict.because] {
            if !text.is_empty() {
                output::line(format_args!("    {text}"));
            }
        }
    }
}
