//! The data pipeline: tasks that draw or cut examples, and the corpora that some of them read.
//!
//! A task is one file under `tasks/` and one line in [`TASKS`]; a corpus is one entry of [`CORPORA`].
//! Generators use integers and IEEE arithmetic only, so a seed gives the same examples on every machine.

mod batches;
mod bleu;
mod corpora;
mod error;
mod labelled;
mod metrics;
mod separated;
mod settings;
mod tasks;
#[cfg(test)]
mod testing;
mod words;

pub use corpora::{
    CORPORA, ClassColumn, Corpora, CorpusEntry, CorpusStatus, Download, Preparation, RawTable, corpus,
};
pub use error::DataError;
pub use tasks::character_language_model::CharacterLanguageModel;
pub use tasks::{Build, TASKS, TaskEntry, task};
