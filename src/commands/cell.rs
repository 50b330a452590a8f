//! `seqlab cell`: the entry of a worker process.

use anyhow::Context;

use crate::arguments::DeviceName;
use crate::failure::{Ending, Failure};
use crate::project::Project;

/// Computes the cells that standard input lists, until it ends.
pub(crate) fn run() -> Result<Ending, Failure> {
    // The interrupt of a terminal reaches all its processes. It is the parent that ends its workers.
    ctrlc::set_handler(|| {}).context("no handler for interrupts")?;
    let workspace = Project::find()?.workspace(DeviceName::Flex.name())?;
    let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
    experiment::worker(input, output, &workspace).context("the worker stops")?;
    Ok(Ending::Success)
}
