//! The command line of seqlab: arguments, progress, exit codes. Nothing else in the workspace prints.

mod arguments;
mod clock;
mod commands;
mod environment;
mod failure;
mod output;
mod processor;
mod progress;
mod project;
mod workers;

use std::process::ExitCode;

use clap::Parser;
use kernels::cost::CountingAllocator;

use crate::arguments::{Arguments, Command};
use crate::failure::{Ending, Failure};

// Training frees and takes large blocks at every step, which glibc returns to the system each time.
#[global_allocator]
static ALLOCATOR: CountingAllocator<mimalloc::MiMalloc> = CountingAllocator(mimalloc::MiMalloc);

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(report_bug));
    // clap prints help on standard output and mistakes on standard error, and ends with 0 or 2.
    let arguments = Arguments::parse();
    let level = if arguments.verbose { tracing::Level::DEBUG } else { tracing::Level::WARN };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| progress::Above)
        .with_ansi(progress::on_terminal())
        .with_target(arguments.verbose)
        .without_time()
        .init();
    match run(&arguments.command) {
        Ok(ending) => ending.into(),
        Err(failure) => {
            output::error(&failure);
            failure.code()
        }
    }
}

fn run(command: &Command) -> Result<Ending, Failure> {
    match command {
        Command::List { what, json } => commands::list::run(*what, *json),
        Command::Show { experiment } => commands::show::run(experiment),
        Command::Run(arguments) => commands::run::run(arguments),
        Command::Cell { state } => commands::cell::run(state.as_deref()),
        Command::Verify(arguments) => commands::verify::run(arguments),
        Command::Status { experiment, json } => commands::status::run(experiment.as_deref(), *json),
        Command::Report { experiment } => commands::report::run(experiment.as_deref()),
        Command::Explain { claim } => commands::explain::run(claim),
        Command::Cite { claim } => commands::cite::run(claim),
        Command::Sample(arguments) => commands::sample::run(arguments),
        Command::Data { command } => commands::data::run(command),
        Command::Schema => {
            commands::schema::run();
            Ok(Ending::Success)
        }
    }
}

/// Says that a panic is a bug, and what to send.
fn report_bug(panic: &std::panic::PanicHookInfo) {
    let place = panic.location().map_or_else(String::new, |location| format!(" at {location}"));
    let message = panic.payload_as_str().unwrap_or("no message");
    output::error(format_args!(
        "this is a bug in seqlab {}{place}: {message}\n\
         please report this line together with the command that you ran; finished cells are kept",
        env!("CARGO_PKG_VERSION")
    ));
}
