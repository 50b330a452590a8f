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

/// A table that people are taught, whose rows claims stand for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TaughtTable {
    /// What it sets side by side.
    pub title: String,
    /// Headings of its two columns.
    pub columns: [String; 2],
    /// Its rows.
    #[serde(rename = "row")]
    pub rows: Vec<TaughtRow>,
}

/// One row of a table that people are taught.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TaughtRow {
    /// What is compared.
    pub name: String,
    /// What is said of either side.
    pub says: [String; 2],
    /// Ids of the claims that decide it.
    pub claims: Vec<String>,
}

/// All claims, judged or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// In order of theme.
    #[serde(rename = "claim")]
    pub claims: Vec<Claim>,
    /// Tables that people are taught.
    #[serde(default, rename = "table")]
    pub tables: Vec<TaughtTable>,
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
        let of_tables = register.tables.iter().flat_map(|table| &table.rows).flat_map(|row| &row.claims);
        if let Some(id) = of_tables.into_iter().find(|id| register.get(id).is_none()) {
            return Err(RecordError::format(
                path,
                format!("a row of a [[table]] names claim `{id}`, which is not registered"),
            ));
        }
        Ok(register)
    }

    /// The claim with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_a_table_names_registered_claims() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claims.toml");
        let claim =
            "[[claim]]\nid = \"a\"\ntheme = \"T0\"\npriority = 1\nclaim = \"A.\"\nquestion = \"A?\"\n";
        let table = "[[table]]\ntitle = \"T\"\ncolumns = [\"one\", \"other\"]\n\
                     [[table.row]]\nname = \"r\"\nsays = [\"x\", \"y\"]\nclaims = [\"a\"]\n";
        std::fs::write(&path, format!("{claim}{table}")).unwrap();
        assert_eq!(Register::read(&path).unwrap().tables[0].rows[0].claims, ["a"]);
        std::fs::write(&path, format!("{claim}{}", table.replace("[\"a\"]", "[\"b\"]"))).unwrap();
        let message = Register::read(&path).unwrap_err().to_string();
        assert!(message.contains("names claim `b`, which is not registered"), "{message}");
    }
}
