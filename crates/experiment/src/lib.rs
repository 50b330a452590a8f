//! From a definition to finished tables: definition -> plan -> cells -> tables.
//!
//! - [`Plan`] checks a definition against all registries and lists what must be computed, before anything runs.
//! - A measurement says what one cell yields; [`MEASUREMENTS`] lists them.
//! - [`run`](fn@run) computes the cells that are not finished, in worker processes that call [`worker`](fn@worker),
//!   and makes the tables; [`status`](fn@status) says what is finished.
//!
//! Nothing here judges a claim or draws a figure: that happens from the tables.

pub mod machine;

mod compute;
mod error;
mod facts;
mod measurements;
mod plan;
mod run;
mod schedule;
mod settings;
mod status;
mod tables;
mod tuning;
mod verify;
mod worker;
mod workspace;

#[cfg(test)]
mod testing;

pub use compute::compute;
pub use error::ExperimentError;
pub use facts::Facts;
pub use machine::Machine;
pub use measurements::{
    CellContext, Costs, MEASUREMENTS, MeasurementEntry, Schedule, StepCost, Yield, Yielded, measurement,
};
pub use plan::{Arm, EstimateRow, Plan, PlanOptions, PlannedCell, Profile, Stage, takes_rate};
pub use run::{Event, RunOptions, Summary, run};
pub use schedule::Executor;
pub use status::{CellCounts, status};
pub use tables::Comparison;
pub use verify::{CommittedCells, verify};
pub use worker::{Answer, worker};
pub use workspace::{Code, Host, Workspace};
