//! The register of claims: `experiments/claims.toml`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::RecordError;

/// One claim that people repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Claim {
    /// Identifier, as in `seqlab cite ID`.
    pub id: String,
    /// Theme, such as `T2 Long-range dependencies`.
    pub theme: String,
    /// 1 = pillar, 2 = component, 3 = other.
    pub priority: u8,
    /// The claim in one sentence, as people say it.
    pub claim: String,
    /// The interview question that it answers.
    pub question: String,
}

/// All claims, judged or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// In order of theme.
    #[serde(rename = "claim")]
    pub claims: Vec<Claim>,
}

impl Register {
    /// Reads `claims.toml`.
    ///
    /// # Errors
    /// When the file is missing, is not TOML of this shape, or names an id twice.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let text = std::fs::read_to_string(path).map_err(|error| RecordError::file(path, error))?;
        let register: Self =
            toml::from_str(&text).map_err(|error| RecordError::format(path, error.to_string()))?;
        let mut ids: Vec<&str> = register.claims.iter().map(|claim| claim.id.as_str()).collect();
        ids.sort_unstable();
        if let Some([id, _]) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(RecordError::format(path, format!("claim `{id}` is registered twice")));
        }
        Ok(register)
    }

    /// The claim with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.id == id)
    }
}
