//! Tests of the whole: the command line, interrupted runs, committed results, and the order of the house.
//!
//! They are one binary, because linking is what takes long.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod canary;
mod command_line;
mod corpora;
#[cfg(feature = "tch")]
mod libtorch;
mod results;
mod resume;
mod support;
mod tidy;
