//! What committed results say, by experiment.

use std::path::Path;

use record::claims::Register;
use record::definition::{ClaimRule, Definition};
use record::provenance::Provenance;
use record::verdict::{ClaimVerdict, Verdicts};

use crate::ReportError;

/// The verdicts of one experiment and where they come from.
pub(crate) struct Results<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) verdicts: Verdicts,
    pub(crate) provenance: Provenance,
}

impl<'a> Results<'a> {
    /// The results of every experiment that has some in `folder`, in the order of the definitions.
    pub(crate) fn read_all(definitions: &'a [Definition], folder: &Path) -> Result<Vec<Self>, ReportError> {
        definitions
            .iter()
            .map(|definition| (definition, folder.join(&definition.name)))
            .filter(|(_, folder)| folder.join("verdicts.json").exists())
            .map(|(definition, folder)| {
                Ok(Self {
                    definition,
                    verdicts: Verdicts::read(&folder.join("verdicts.json"))?,
                    provenance: Provenance::read(&folder.join("provenance.json"))?,
                })
            })
            .collect()
    }

    /// The verdict on a claim.
    pub(crate) fn verdict(&self, id: &str) -> Option<&ClaimVerdict> {
        self.verdicts.claims.iter().find(|claim| claim.id == id)
    }

    /// `lstm-vs-transformer version 1, commit 1a2b3c4`.
    pub(crate) fn source(&self) -> String {
        let Verdicts { experiment, version, .. } = &self.verdicts;
        format!("{experiment} version {version}, {}", commit(&self.provenance))
    }
}

/// The rule of a claim as the definition has it now.
pub(crate) fn rule<'a>(definition: &'a Definition, id: &str) -> Option<&'a ClaimRule> {
    definition.claims.iter().find(|rule| rule.id == id)
}

/// Whether the rule has changed since the claim was judged by it.
pub(crate) fn changed_after_the_run(
    rule: Option<&ClaimRule>,
    verdict: &ClaimVerdict,
    provenance: &Provenance,
) -> bool {
    let at_the_run = provenance.rules.get(&verdict.id).unwrap_or(&verdict.rule_digest);
    *at_the_run != verdict.rule_digest || rule.is_none_or(|rule| rule.digest() != *at_the_run)
}

/// `commit 1a2b3c4`, and whether there was more than that commit holds.
pub(crate) fn commit(provenance: &Provenance) -> String {
    let short: String = provenance.revision.chars().take(7).collect();
    let dirty = if provenance.dirty { " with uncommitted changes" } else { "" };
    format!("commit {short}{dirty}")
}

/// The experiments that hold a rule for a claim.
pub(crate) fn experiments_with<'a>(definitions: &'a [Definition], id: &str) -> Vec<&'a Definition> {
    definitions.iter().filter(|definition| rule(definition, id).is_some()).collect()
}

/// Every claim of a register has an entry, judged or not.
pub(crate) fn by_theme(register: &Register) -> Vec<(&str, Vec<&record::claims::Claim>)> {
    let themes = crate::tables::distinct(register.claims.iter().map(|claim| claim.theme.as_str()));
    themes
        .into_iter()
        .map(|theme| (theme, register.claims.iter().filter(|claim| claim.theme == theme).collect()))
        .collect()
}
