//! Why a claim has its verdict, for the terminal.

use std::path::Path;

use record::claims::{Claim, Register};
use record::definition::Definition;
use serde::Serialize;

use crate::ReportError;
use crate::card::ClaimView;
use crate::claim::{informed_by, predicted, registered};
use crate::results::{Results, experiments_with, rule};
use crate::template;

#[derive(Serialize)]
struct Explanation<'a> {
    claim: &'a Claim,
    experiments: Vec<ClaimView>,
    waiting: Vec<Waiting<'a>>,
}

/// A rule that waits for its run.
#[derive(Serialize)]
struct Waiting<'a> {
    experiment: &'a str,
    version: u32,
    rule: &'a str,
    differs: &'a str,
    predicted: &'static str,
    informed_by: &'static str,
}

/// The rule, every regime with its numbers, the controls, why this verdict, and what it leaves of the ledger.
///
/// # Errors
/// When the claim is not registered, or a result cannot be read.
pub fn explain(
    id: &str,
    definitions: &[Definition],
    register: &Register,
    results: &Path,
) -> Result<String, ReportError> {
    let claim = registered(register, id)?;
    let results = Results::read_all(definitions, results)?;
    let judged: Vec<&Results> = results.iter().filter(|results| results.verdict(id).is_some()).collect();
    let experiments = judged
        .iter()
        .filter_map(|results| {
            Some(ClaimView::plain(claim, results.verdict(id)?, results.definition, &results.provenance))
        })
        .collect();
    let ran =
        |definition: &Definition| judged.iter().any(|results| results.definition.name == definition.name);
    let waiting = experiments_with(definitions, id)
        .into_iter()
        .filter(|definition| !ran(definition))
        .filter_map(|definition| {
            let rule = rule(definition, id)?;
            Some(Waiting {
                experiment: &definition.name,
                version: rule.version,
                rule: rule.rule.trim(),
                differs: rule.differs_from_ledger.trim(),
                predicted: predicted(rule.prediction).name(),
                informed_by: informed_by(rule.informed_by),
            })
        })
        .collect();
    template::fill("explain", &Explanation { claim, experiments, waiting })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[test]
    fn a_judged_claim_shows_rule_regimes_controls_and_reasons() {
        let world = World::new();
        let text = explain("rnn-forgets-start", &world.definitions, &world.register, &world.results).unwrap();
        insta::assert_snapshot!("explain", text);
    }

    #[test]
    fn a_claim_without_a_result_says_how_to_get_one() {
        let world = World::new();
        let text =
            explain("vanishing-causes-forgetting", &world.definitions, &world.register, &world.results)
                .unwrap();
        assert!(text.contains("no experiment holds a rule"), "{text}");
        let empty = tempfile::tempdir().unwrap();
        let text = explain("rnn-forgets-start", &world.definitions, &world.register, empty.path()).unwrap();
        assert!(text.contains("not judged yet: `make experiment-lstm-vs-transformer` runs it"), "{text}");
        assert!(text.contains(world.definition().claims[0].rule.trim()), "{text}");
    }
}
