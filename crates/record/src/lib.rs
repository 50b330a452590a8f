//! What is on disk: definitions, cells, tables, verdicts and provenance.
//!
//! Everything that crosses from one crate to another through a file has its format here, and nothing else:
//! this crate knows no model, no task and no statistic.

pub mod cell;
pub mod claims;
pub mod definition;
pub mod metric;
pub mod provenance;
pub mod pytorch;
pub mod runs;
pub mod spelled;
pub mod store;
pub mod table;
pub mod verdict;

mod error;
mod nearest;

pub use error::RecordError;
pub use nearest::nearest;

/// Settings of a component: keys to plain JSON values, in sorted order.
pub type Settings = std::collections::BTreeMap<String, serde_json::Value>;

/// Settings as a short label such as `lag=20, pairs=8`; empty settings give an empty label.
#[must_use]
pub fn label(settings: &Settings) -> String {
    let parts: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
    parts.join(" ")
}

/// A JSON value as a person would write it: strings without quotes.
#[must_use]
pub fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// blake3 of a file, in hexadecimal. A table of millions of rows is not held at once.
///
/// # Errors
/// When the file cannot be read.
pub fn digest_of_file(path: &std::path::Path) -> Result<String, RecordError> {
    let mut hasher = blake3::Hasher::new();
    std::fs::File::open(path)
        .and_then(|file| hasher.update_reader(file).map(drop))
        .map_err(|error| RecordError::file(path, error))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// blake3 of some bytes, in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
