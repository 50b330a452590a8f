//! Worker processes of this program, and the interrupt that ends them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use experiment::Executor;

use crate::failure::Failure;

/// Cells are computed in processes of this program, which store them in `state` or else in the project's own folder.
pub(crate) fn executor(state: Option<&Path>) -> Result<Executor, Failure> {
    let program = std::env::current_exe().context("the path of this program is unknown")?;
    let mut command = vec![program.into(), "cell".into()];
    if let Some(folder) = state {
        command.extend(["--state".into(), folder.into()]);
    }
    Ok(Executor::Processes(command))
}

/// Set when the user interrupts the program; a second interrupt ends it at once.
pub(crate) fn interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let cancel = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&cancel);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            // Asked twice: the user does not want to wait for the workers to end.
            std::process::exit(130);
        }
    })
    .context("no handler for interrupts")?;
    Ok(cancel)
}
