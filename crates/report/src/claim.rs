//! What cards, citations and explanations say about a claim.

use record::claims::{Claim, Register};
use record::definition::{InformedBy, Part, Prediction, Scale, Side};
use record::verdict::{ClaimVerdict, Ending, PartVerdict, Regime, RegimeDecision};

use crate::ReportError;
use crate::grid::Grid;
use crate::number::{estimate, interval, number, short};

/// A plain mark beside the word for how a claim ended.
pub(crate) fn mark(ending: Ending) -> &'static str {
    match ending {
        Ending::Supported => "✓",
        Ending::Qualified => "◐",
        Ending::Refuted => "✗",
        Ending::Inconclusive => "?",
        Ending::Void => "∅",
        Ending::NotJudged => "–",
    }
}

/// The answer with its numbers, or why there is none.
pub(crate) fn line(verdict: &ClaimVerdict) -> &str {
    if answered(verdict) { verdict.answer.trim() } else { &verdict.because }
}

/// Whether the verdict has an answer that may be repeated.
pub(crate) fn answered(verdict: &ClaimVerdict) -> bool {
    !verdict.answer.is_empty() && !matches!(verdict.ending, Ending::Void | Ending::NotJudged)
}

/// The registered claim with this id.
pub(crate) fn registered<'a>(register: &'a Register, id: &str) -> Result<&'a Claim, ReportError> {
    register.get(id).ok_or_else(|| {
        let hint = match record::nearest(id, register.claims.iter().map(|claim| claim.id.as_str())) {
            Some(near) => format!(", did you mean `{near}`?"),
            None => "; `seqlab list claims` shows all of them".to_owned(),
        };
        ReportError::UnknownClaim { id: id.to_owned(), hint }
    })
}

/// The regimes of a part with their numbers. `code` wraps names of models.
pub(crate) fn regimes(verdict: &PartVerdict, part: Option<&Part>, code: &str) -> Grid {
    let units = units(part);
    let mut grid =
        Grid::new(["regime", "compared", "effect [95% interval]", "decision", units, "smallest detectable"]);
    for regime in &verdict.regimes {
        let mut effect = estimate(regime.effect, regime.low, regime.high);
        if part.is_some_and(|part| intervals_disagree(regime, part)) {
            effect = format!("{effect}, decided by {}", interval(regime.decision_low, regime.decision_high));
        }
        let fragile = if regime.fragile { ", fragile" } else { "" };
        grid.push(vec![
            if regime.name.is_empty() { "the only one".to_owned() } else { regime.name.clone() },
            compared(regime, code),
            effect,
            format!("{}{fragile}", regime.decision.name()),
            regime.units.to_string(),
            short(regime.smallest_detectable),
        ]);
    }
    grid
}

/// What is counted behind an effect.
pub(crate) fn units(part: Option<&Part>) -> &'static str {
    match part {
        Some(Part::StepTime { .. }) => "repeats",
        Some(Part::Discrimination { .. }) => "models",
        _ => "seeds",
    }
}

/// Both sides with their values: `lstm 0.56 against transformer 1.00`.
fn compared(regime: &Regime, code: &str) -> String {
    let left = format!("{code}{}{code} {}", regime.model, number(regime.left));
    let times = multiple(regime);
    // A constant is its own value.
    if regime.against.parse::<f64>().is_ok() {
        format!("{left} against {times}{}", regime.against)
    } else {
        format!("{left} against {times}{code}{}{code} {}", regime.against, number(regime.right))
    }
}

/// What the right is multiplied by before it is compared: `0.1 × `, or nothing.
pub(crate) fn multiple(regime: &Regime) -> String {
    if regime.times == 1.0 { String::new() } else { format!("{} × ", number(regime.times)) }
}

/// The effect at which a part turns from refuted to supported.
fn boundary(part: &Part) -> f64 {
    match part {
        Part::SolveRate { rate, .. } => *rate,
        Part::Difference { margin, side: Side::Above, .. } | Part::StepTime { margin, .. } => *margin,
        Part::Difference { margin, side: Side::Below, scale: Scale::Difference, .. } => -margin,
        Part::Difference { margin, side: Side::Below, scale: Scale::Ratio, .. } => margin.recip(),
        Part::Identity { tolerance, .. } => *tolerance,
        Part::Discrimination { area, .. } => *area,
    }
}

/// Whether the interval that is shown and the one that decides lie differently about the margin.
fn intervals_disagree(regime: &Regime, part: &Part) -> bool {
    if matches!(part, Part::Identity { .. }) {
        return false;
    }
    let boundary = boundary(part);
    (regime.low > boundary, regime.high < boundary)
        != (regime.decision_low > boundary, regime.decision_high < boundary)
}

/// The least clear of some regimes: the one whose effect lies nearest to the margin.
pub(crate) fn least_clear<'a>(
    regimes: impl Iterator<Item = &'a Regime>,
    part: Option<&Part>,
) -> Option<&'a Regime> {
    let distance = |regime: &Regime| match part {
        Some(part @ (Part::StepTime { .. } | Part::Difference { scale: Scale::Ratio, .. })) => {
            (regime.effect / boundary(part)).ln().abs()
        }
        Some(part) => (regime.effect - boundary(part)).abs(),
        None => 0.0,
    };
    regimes.min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

/// Whether a decision counts for the claim, against it, or for neither.
pub(crate) fn ending_of(decision: RegimeDecision) -> Ending {
    match decision {
        RegimeDecision::Supported => Ending::Supported,
        RegimeDecision::Inconclusive => Ending::Inconclusive,
        RegimeDecision::Equivalent | RegimeDecision::Reversed | RegimeDecision::TooSmall => Ending::Refuted,
    }
}

/// A predicted ending, as printed.
pub(crate) fn predicted(prediction: Prediction) -> Ending {
    match prediction {
        Prediction::Supported => Ending::Supported,
        Prediction::Qualified => Ending::Qualified,
        Prediction::Refuted => Ending::Refuted,
        Prediction::Inconclusive => Ending::Inconclusive,
    }
}

/// What a prediction rested on, as printed.
pub(crate) fn informed_by(source: InformedBy) -> &'static str {
    match source {
        InformedBy::None => "nothing",
        InformedBy::Literature => "literature",
        InformedBy::Pilot => "a pilot",
    }
}

/// Whether a prediction came true; nothing can be said where nothing was judged.
pub(crate) fn came_true(prediction: Prediction, ending: Ending) -> Option<bool> {
    (!matches!(ending, Ending::Void | Ending::NotJudged)).then(|| predicted(prediction) == ending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_least_clear_regime_lies_nearest_to_the_margin() {
        let definition = testing::definition();
        let verdicts = testing::verdicts(&definition);
        let (rule, verdict) = (&definition.claims[0], &verdicts.claims[0]);
        let chosen = least_clear(verdict.parts[0].regimes.iter(), Some(&rule.parts[0])).unwrap();
        // The effects are 0.1 at lag 50 and 0 at lag 200, claimed to lie below 0.8.
        assert_eq!(chosen.name, "lag=50");
    }

    #[test]
    fn a_decision_by_another_interval_than_the_one_shown_is_printed_with_it() {
        let definition = testing::definition();
        let mut verdicts = testing::verdicts(&definition);
        let part = &definition.claims[0].parts[0];
        let verdict = &mut verdicts.claims[0].parts[0];
        assert!(!regimes(verdict, Some(part), "").plain().contains("decided by"));
        verdict.regimes[0].decision_high = 0.85;
        assert!(regimes(verdict, Some(part), "").plain().contains("decided by [0.00, 0.85]"));
    }

    #[test]
    fn an_unknown_claim_finds_its_nearest() {
        let register = testing::register();
        let message = |id: &str| registered(&register, id).unwrap_err().to_string();
        assert_eq!(
            message("lstm-cannot-longrange"),
            "unknown claim `lstm-cannot-longrange`, did you mean `lstm-cannot-long-range`?"
        );
        assert_eq!(message("x"), "unknown claim `x`; `seqlab list claims` shows all of them");
    }
}
