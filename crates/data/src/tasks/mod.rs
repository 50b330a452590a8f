//! The tasks, one file each, and the list that registers them.

use sequence::Task;
use serde_json::Value;

use crate::{Corpora, DataError};

mod adding;
mod category_draws;
mod cause_and_bystander;
pub(crate) mod character_language_model;
mod copy_memory;
mod dependent_features;
mod digits;
mod first_cue_recall;
mod gaussian_classes;
mod gaussian_clusters;
mod gaussian_ring;
mod hidden_states;
mod indexed_recall;
mod linear_factors;
mod multi_query_recall;
mod needle;
mod noisy_sine;
mod noisy_xor;
mod random_labels;
mod running_parity;
mod sequence_copying;
mod shifted_copy;
mod sparse_regression;
mod t_maze;
mod tabular_classification;
mod text_classification;
mod translation;
mod two_authors;

/// A task as the registry knows it.
pub struct TaskEntry {
    /// Name in definitions and tables.
    pub name: &'static str,
    /// Raised whenever the same settings and seed would give other examples or scores.
    pub version: u32,
    /// What is asked, in one line.
    pub summary: &'static str,
    /// Every setting with its default.
    pub defaults: fn() -> Value,
    /// The corpora that these settings (partial ones too) read.
    pub corpora: fn(&Value) -> Vec<String>,
    /// Builds the task from settings; a missing key keeps its default.
    pub build: Build,
}

/// From settings and the folders of corpora to a task.
pub type Build = fn(&Value, &Corpora) -> Result<Box<dyn Task>, DataError>;

/// All tasks.
pub static TASKS: &[TaskEntry] = &[
    first_cue_recall::ENTRY,
    multi_query_recall::ENTRY,
    running_parity::ENTRY,
    indexed_recall::ENTRY,
    adding::ENTRY,
    shifted_copy::ENTRY,
    copy_memory::ENTRY,
    needle::ENTRY,
    cause_and_bystander::ENTRY,
    t_maze::ENTRY,
    sequence_copying::ENTRY,
    translation::ENTRY,
    character_language_model::ENTRY,
    hidden_states::ENTRY,
    dependent_features::ENTRY,
    gaussian_classes::ENTRY,
    gaussian_ring::ENTRY,
    gaussian_clusters::ENTRY,
    linear_factors::ENTRY,
    category_draws::ENTRY,
    noisy_sine::ENTRY,
    noisy_xor::ENTRY,
    sparse_regression::ENTRY,
    text_classification::ENTRY,
    two_authors::ENTRY,
    random_labels::ENTRY,
    tabular_classification::ENTRY,
    digits::ENTRY,
];

/// The task of that name.
#[must_use]
pub fn task(name: &str) -> Option<&'static TaskEntry> {
    TASKS.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_defaults_are_tables() {
        for (index, entry) in TASKS.iter().enumerate() {
            assert!(TASKS[..index].iter().all(|other| other.name != entry.name), "{} twice", entry.name);
            assert!((entry.defaults)().is_object(), "{}", entry.name);
            assert!(std::ptr::eq(task(entry.name).unwrap(), entry));
            // Keys that a definition or a table gives another meaning.
            let taken =
                ["name", "version", "label", "measure", "parameters", "batch", "seeds", "tune-at", "rate"];
            let defaults = (entry.defaults)();
            assert!(taken.iter().all(|key| defaults.get(*key).is_none()), "{}", entry.name);
        }
        assert!(task("first-cue-recal").is_none());
    }

    #[test]
    fn tasks_without_a_corpus_build_from_their_defaults() {
        let corpora = Corpora { search: Vec::new(), cache: "nowhere".into() };
        for entry in TASKS.iter().filter(|entry| (entry.corpora)(&(entry.defaults)()).is_empty()) {
            let built = (entry.build)(&(entry.defaults)(), &corpora).unwrap();
            assert_eq!((built.name(), built.version()), (entry.name, entry.version));
            let partial = (entry.build)(&serde_json::json!({}), &corpora).unwrap();
            // As text, because a missing value is not equal to itself.
            let drawn = |task: &dyn Task| format!("{:?}", task.training_batch(1, 2, 3));
            assert_eq!(drawn(partial.as_ref()), drawn(built.as_ref()));
        }
    }
}
