//! `seqlab explain CLAIM`.

use crate::failure::{Ending, Failure};
use crate::output;
use crate::project::Project;

/// Runs the command.
pub(crate) fn run(claim: &str) -> Result<Ending, Failure> {
    let project = Project::find()?;
    let definitions = project.definitions(None)?;
    let text = report::explain(claim, &definitions, &project.register()?, &project.results())?;
    output::line(text.trim_end());
    Ok(Ending::Success)
}
