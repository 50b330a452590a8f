//! Tables to statistics to verdicts.
//!
//! [`statistics`] holds the pure functions; [`judge`] reads the tables of one experiment and applies the rules that
//! its definition wrote down before the run. Nothing here trains, draws or prints.

mod controls;
mod effects;
mod judge;
pub mod statistics;
mod tables;
#[cfg(test)]
mod tests;

pub use judge::{AnalysisError, judge, judge_tables};
pub use tables::Tables;
