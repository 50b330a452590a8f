//! One sentence to cite.

use std::path::Path;

use record::claims::Register;
use record::definition::{Definition, Part};
use record::verdict::{ClaimVerdict, Ending, PartVerdict, Regime};

use crate::ReportError;
use crate::claim::{ending_of, least_clear, multiple, registered, units};
use crate::number::estimate_in_words;
use crate::results::{Results, experiments_with, rule};

/// One sentence a judged claim: verdict, effect, 95% interval, seeds, setting, experiment, version and commit.
///
/// Of several regimes it cites the least clear one, so that nobody quotes the strongest by accident. A claim that
/// several experiments judge has a sentence for each.
///
/// # Errors
/// When the claim is not registered, or a result cannot be read.
pub fn cite(
    id: &str,
    definitions: &[Definition],
    register: &Register,
    results: &Path,
) -> Result<String, ReportError> {
    let claim = registered(register, id)?;
    let results = Results::read_all(definitions, results)?;
    let sentences: Vec<String> = results
        .iter()
        .filter_map(|results| Some((results, results.verdict(id)?)))
        .map(|(results, verdict)| sentence(&claim.claim, results, verdict))
        .collect();
    if !sentences.is_empty() {
        return Ok(sentences.join("\n"));
    }
    let said = claim.claim.trim_end_matches('.');
    Ok(match experiments_with(definitions, id).first() {
        Some(definition) => {
            format!("\"{said}\" is not judged yet: `make experiment-{}` runs it.", definition.name)
        }
        None => format!("\"{said}\" is not judged yet: no experiment holds a rule for it."),
    })
}

fn sentence(claim: &str, results: &Results, verdict: &ClaimVerdict) -> String {
    let said = claim.trim_end_matches('.');
    let source = results.source();
    let partly = if verdict.partly_judged { " as far as it is judged" } else { "" };
    if matches!(verdict.ending, Ending::Void | Ending::NotJudged) {
        let because = verdict.because.trim_end_matches('.');
        return format!("\"{said}\" is {} ({source}): {because}.", verdict.ending.name());
    }
    let rule = rule(results.definition, &verdict.id);
    let parts: Vec<String> = verdict
        .parts
        .iter()
        .map(|verdict| {
            let part = rule.and_then(|rule| rule.parts.iter().find(|part| part.name() == verdict.name));
            part_in_words(verdict, part)
        })
        .collect();
    format!("\"{said}\" is {}{partly} ({source}): {}.", verdict.ending.name(), parts.join("; "))
}

/// What a part says, and the regimes that show it: two of a qualified part, one of any other.
fn part_in_words(verdict: &PartVerdict, part: Option<&Part>) -> String {
    let shown: Vec<Ending> = match verdict.ending {
        Ending::Qualified => vec![Ending::Supported, Ending::Refuted],
        other => vec![other],
    };
    let phrases: Vec<String> = shown
        .into_iter()
        .filter_map(|ending| {
            let regimes: Vec<&Regime> =
                verdict.regimes.iter().filter(|regime| ending_of(regime.decision) == ending).collect();
            let regime = least_clear(regimes.iter().copied(), part)?;
            let verb = match ending {
                Ending::Supported => "holds",
                Ending::Refuted => "fails",
                _ => "is undecided",
            };
            Some(format!("{verb} {}", regime_in_words(regime, regimes.len(), verdict, part)))
        })
        .collect();
    if phrases.is_empty() {
        return format!("\"{}\" is {}", verdict.name, verdict.ending.name());
    }
    format!("\"{}\" {}", verdict.name, phrases.join(" and "))
}

fn regime_in_words(regime: &Regime, of: usize, verdict: &PartVerdict, part: Option<&Part>) -> String {
    let mut place = part.map_or_else(String::new, |part| format!("on {}", part.task()));
    if !regime.name.is_empty() {
        place = format!("{place} at {}", regime.name);
    }
    if of > 1 {
        place = format!("{place}, the least clear of {of} regimes");
    }
    let units = units(part);
    let fragile = if regime.fragile { ", fragile" } else { "" };
    format!(
        "{} ({} against {}{}, {} {}, {} {units}{fragile})",
        place.trim(),
        regime.model,
        multiple(regime),
        regime.against,
        verdict.unit,
        estimate_in_words(regime.effect, regime.low, regime.high),
        regime.units
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[test]
    fn sentences_carry_effect_interval_seeds_setting_and_commit() {
        let world = World::new();
        let all: Vec<String> = world
            .register
            .claims
            .iter()
            .map(|claim| cite(&claim.id, &world.definitions, &world.register, &world.results).unwrap())
            .collect();
        insta::assert_snapshot!("cite", all.join("\n\n"));
    }

    #[test]
    fn a_claim_nobody_registered_is_an_error() {
        let world = World::new();
        let error = cite("nonsense", &world.definitions, &world.register, &world.results).unwrap_err();
        assert!(matches!(error, ReportError::UnknownClaim { .. }), "{error}");
    }
}
