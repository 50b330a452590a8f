//! `seqlab cell`: the entry of a worker process.

use std::path::Path;

use anyhow::Context;

use crate::failure::{Ending, Failure};
use crate::project::Project;

/// Computes the cells that standard input lists, until it ends, and stores them in `state` or else in the project's own folder.
pub(crate) fn run(state: Option<&Path>) -> Result<Ending, Failure> {
    // The interrupt of a terminal reaches all its processes. It is the parent that ends its workers.
    ctrlc::set_handler(|| {}).context("no handler for interrupts")?;
    // Where the system can: whatever ends the parent, at once or by a second interrupt, ends its workers.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("no signal at the end of the parent")?;
    // Matrix products then run here, under this thread's float mode, and not in a pool thread of their own.
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build_global()
        .context("no pool of one thread")?;
    let mut workspace = Project::find()?.workspace()?;
    if let Some(folder) = state {
        folder.clone_into(&mut workspace.state);
    }
    let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
    experiment::worker(input, output, &workspace).context("the worker stops")?;
    Ok(Ending::Success)
}
