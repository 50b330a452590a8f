//! The commands, one file each.

pub(crate) mod cell;
pub(crate) mod cite;
pub(crate) mod data;
pub(crate) mod explain;
pub(crate) mod list;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod sample;
pub(crate) mod schema;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod verify;
