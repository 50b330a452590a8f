//! From the interval of an effect to the verdict of a claim.
//!
//! | regimes | verdict |
//! |---|---|
//! | all supported | supported |
//! | all refuted | refuted |
//! | at least one of each | qualified, with the crossing between them |
//! | supported and inconclusive, refuted and inconclusive, all inconclusive | inconclusive |
//!
//! In other words: a claim has the verdict that no outcome of its undecided regimes could change.

use std::fmt;
use std::mem::discriminant;

use serde::{Deserialize, Serialize};

use super::estimate::{t_quantile, two_sided};
use super::{Estimate, Interval};

/// What one regime says about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The whole interval lies above the margin.
    Supported,
    /// The whole interval lies below the margin.
    Refuted(Refutation),
    /// The interval contains the margin.
    Inconclusive,
}

/// How an effect falls short of its margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refutation {
    /// The interval lies inside ± margin: no difference worth naming.
    Equivalent,
    /// The interval lies below -margin: the opposite holds.
    Reversed,
    /// The interval lies below the margin and contains -margin.
    TooSmall,
}

impl Decision {
    /// Decides by the simultaneous interval of an effect that is positive on the claimed side. A negative margin claims that
    /// the effect is not much on the other side.
    #[must_use]
    pub fn of(effect: Interval, margin: f64) -> Self {
        if effect.low > margin {
            Self::Supported
        } else if effect.high >= margin {
            Self::Inconclusive
        } else if effect.high < -margin {
            Self::Refuted(Refutation::Reversed)
        } else if effect.low > -margin {
            Self::Refuted(Refutation::Equivalent)
        } else {
            Self::Refuted(Refutation::TooSmall)
        }
    }

    /// Decides by the p-value of an exact two-sided test at `level`, where `effect` tells the side.
    ///
    /// A test never says `equivalent`: what it does not reject stays open.
    #[must_use]
    pub fn of_test(p_value: f64, effect: f64, level: f64) -> Self {
        if p_value >= 1.0 - level || effect == 0.0 {
            Self::Inconclusive
        } else if effect > 0.0 {
            Self::Supported
        } else {
            Self::Refuted(Refutation::Reversed)
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Supported => "supported",
            Self::Refuted(Refutation::Equivalent) => "equivalent",
            Self::Refuted(Refutation::Reversed) => "reversed",
            Self::Refuted(Refutation::TooSmall) => "too small",
            Self::Inconclusive => "inconclusive",
        })
    }
}

/// One of the settings that a claim names beforehand, decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Regime {
    /// Name, such as `lag = 50`.
    pub name: String,
    /// Its place among the regimes, such as 50; `None` where they have no order.
    pub order: Option<f64>,
    /// What it says.
    pub decision: Decision,
}

/// What all regimes, or all parts, of a claim say together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Verdict {
    /// It holds everywhere.
    Supported,
    /// It holds nowhere.
    Refuted,
    /// It holds here and fails there.
    Qualified {
        /// Regimes or parts that hold.
        holds: Vec<String>,
        /// Regimes or parts that fail.
        fails: Vec<String>,
        /// Where the one turns into the other.
        crossing: Crossing,
    },
    /// The data leave it open.
    Inconclusive {
        /// Regimes or parts that are decided, all to the same side.
        decided: Vec<String>,
    },
}

/// Where a qualified claim turns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Crossing {
    /// Somewhere between two neighbouring decided regimes: a bracket, never a point.
    Between {
        /// The last regime that supports the claim, towards those that refute it.
        supported: String,
        /// The first regime that refutes it.
        refuted: String,
    },
    /// There is no single crossing.
    NotMonotone,
    /// The regimes, or parts, have no order.
    Unordered,
}

impl Verdict {
    /// Whether both are supported, both refuted, both qualified or both inconclusive.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        discriminant(self) == discriminant(other)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Supported => "supported",
            Self::Refuted => "refuted",
            Self::Qualified { .. } => "qualified",
            Self::Inconclusive { .. } => "inconclusive",
        })
    }
}

/// The verdict of a claim over its regimes, by the table at the top of this file.
#[must_use]
pub fn verdict(regimes: &[Regime]) -> Verdict {
    let names = |wanted: fn(Decision) -> bool| -> Vec<String> {
        regimes.iter().filter(|regime| wanted(regime.decision)).map(|regime| regime.name.clone()).collect()
    };
    let holds = names(|decision| decision == Decision::Supported);
    let fails = names(|decision| matches!(decision, Decision::Refuted(_)));
    let open = holds.len() + fails.len() < regimes.len();
    combine(holds, fails, open, || crossing(regimes))
}

/// The verdict of a claim that says "this and that": its parts are read as the regimes of a claim are.
///
/// All parts supported: supported. All refuted: refuted. At least one supported and one refuted, or any part
/// qualified: qualified, whatever the others turn out to be; a part that is itself qualified is named among those
/// that hold and among those that fail. Everything else is inconclusive.
#[must_use]
pub fn conjunction(parts: &[(String, Verdict)]) -> Verdict {
    let names = |wanted: fn(&Verdict) -> bool| -> Vec<String> {
        parts.iter().filter(|(_, part)| wanted(part)).map(|(name, _)| name.clone()).collect()
    };
    let holds = names(|part| matches!(part, Verdict::Supported | Verdict::Qualified { .. }));
    let fails = names(|part| matches!(part, Verdict::Refuted | Verdict::Qualified { .. }));
    let open = parts.iter().any(|(_, part)| matches!(part, Verdict::Inconclusive { .. }));
    combine(holds, fails, open, || Crossing::Unordered)
}

/// The verdict of a claim that says "none can": one part refuted in one regime is a counter-example and refutes it,
/// whatever the other parts turned out to be. All parts supported: supported. Everything else is inconclusive.
#[must_use]
pub fn counter_example(parts: &[(String, Verdict)]) -> Verdict {
    if parts.iter().any(|(_, part)| matches!(part, Verdict::Refuted | Verdict::Qualified { .. })) {
        return Verdict::Refuted;
    }
    conjunction(parts)
}

fn combine(
    holds: Vec<String>,
    fails: Vec<String>,
    open: bool,
    crossing: impl FnOnce() -> Crossing,
) -> Verdict {
    match (holds.is_empty(), fails.is_empty(), open) {
        (false, false, _) => Verdict::Qualified { holds, fails, crossing: crossing() },
        (false, true, false) => Verdict::Supported,
        (true, false, false) => Verdict::Refuted,
        (false, true, true) => Verdict::Inconclusive { decided: holds },
        (true, _, _) => Verdict::Inconclusive { decided: fails },
    }
}

/// The bracket around the one change from support to refutation, or back, along the order of the regimes.
/// Undecided regimes inside it only make it wider.
fn crossing(regimes: &[Regime]) -> Crossing {
    let decided = regimes.iter().filter(|regime| regime.decision != Decision::Inconclusive);
    let placed: Option<Vec<(f64, &Regime)>> =
        decided.map(|regime| regime.order.map(|order| (order, regime))).collect();
    let Some(mut placed) = placed else { return Crossing::Unordered };
    placed.sort_by(|(first, _), (second, _)| first.total_cmp(second));
    let supports = |regime: &Regime| regime.decision == Decision::Supported;
    let mut changes = placed.windows(2).filter(|pair| supports(pair[0].1) != supports(pair[1].1));
    match (changes.next(), changes.next()) {
        (Some([(low, before), (high, after)]), None) if low < high => {
            let (supported, refuted) = if supports(before) { (before, after) } else { (after, before) };
            Crossing::Between { supported: supported.name.clone(), refuted: refuted.name.clone() }
        }
        _ => Crossing::NotMonotone,
    }
}

/// Whether leaving out some one unit, mostly a seed, gives another verdict.
#[must_use]
pub fn is_fragile<U: Clone>(units: &[U], decide: impl Fn(&[U]) -> Verdict) -> bool {
    let all = decide(units);
    (0..units.len()).any(|left_out| {
        let others = [&units[..left_out], &units[left_out + 1..]].concat();
        !decide(&others).agrees_with(&all)
    })
}

/// What an inconclusive regime lacks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortfall {
    /// Width of the interval that did not decide.
    pub width: f64,
    /// Width below which it would have, had the estimate stayed where it is.
    pub width_needed: f64,
    /// Units at which a t interval gets there with the same spread; `None` above 10,000.
    pub units_needed: Option<usize>,
}

/// How far the interval of an inconclusive effect is from deciding against `margin`.
#[must_use]
pub fn shortfall(effect: &Estimate, margin: f64) -> Shortfall {
    let distance = (effect.value - margin).abs();
    let spread = effect.standard_error * (effect.units as f64).sqrt();
    let decides = |units: usize| {
        let units = units as f64;
        t_quantile(two_sided(effect.level), units - 1.0) * spread / units.sqrt() < distance
    };
    let most = 10_000;
    let units_needed = decides(most).then(|| {
        // The half-width falls as units grow, so the first that decides is found by halving.
        let (mut too_few, mut enough) = (1, most);
        while enough - too_few > 1 {
            let middle = usize::midpoint(too_few, enough);
            if decides(middle) { enough = middle } else { too_few = middle }
        }
        enough
    });
    Shortfall { width: effect.decision.width(), width_needed: 2.0 * distance, units_needed }
}

#[cfg(test)]
mod tests {
    use super::super::mean;
    use super::*;

    const S: Decision = Decision::Supported;
    const R: Decision = Decision::Refuted(Refutation::Reversed);
    const I: Decision = Decision::Inconclusive;

    fn decide(low: f64, high: f64) -> Decision {
        Decision::of(Interval { low, high }, 1.0)
    }

    #[test]
    fn an_interval_decides_against_its_margin() {
        assert_eq!(decide(1.1, 9.0), Decision::Supported);
        assert_eq!(decide(-0.9, 0.9), Decision::Refuted(Refutation::Equivalent));
        assert_eq!(decide(0.2, 0.9), Decision::Refuted(Refutation::Equivalent));
        assert_eq!(decide(-9.0, -1.1), Decision::Refuted(Refutation::Reversed));
        assert_eq!(decide(-1.1, 0.9), Decision::Refuted(Refutation::TooSmall));
        assert_eq!(decide(-1.1, -0.9), Decision::Refuted(Refutation::TooSmall));
        assert_eq!(decide(0.9, 1.1), Decision::Inconclusive);
        assert_eq!(decide(-9.0, 9.0), Decision::Inconclusive);
        // Touching the margin decides nothing.
        assert_eq!(decide(1.0, 2.0), Decision::Inconclusive);
        assert_eq!(decide(0.0, 1.0), Decision::Inconclusive);
        // Without a margin an effect is either there, or reversed, or open.
        assert_eq!(Decision::of(Interval { low: 0.1, high: 0.2 }, 0.0), S);
        assert_eq!(Decision::of(Interval { low: -0.2, high: -0.1 }, 0.0), R);
        assert_eq!(Decision::of(Interval { low: -0.1, high: 0.1 }, 0.0), I);
    }

    #[test]
    fn an_exact_test_decides_by_its_side() {
        assert_eq!(Decision::of_test(0.007, 8.0, 0.99), S);
        assert_eq!(Decision::of_test(0.007, -8.0, 0.99), R);
        assert_eq!(Decision::of_test(0.02, 8.0, 0.99), I);
        assert_eq!(Decision::of_test(0.02, 8.0, 0.95), S);
    }

    fn regimes(decisions: &[Decision]) -> Vec<Regime> {
        let regime = |(place, &decision): (u32, &Decision)| Regime {
            name: format!("lag {place}"),
            order: Some(f64::from(place)),
            decision,
        };
        (1..).zip(decisions).map(regime).collect()
    }

    fn turn(decisions: &[Decision]) -> Crossing {
        match verdict(&regimes(decisions)) {
            Verdict::Qualified { crossing, .. } => crossing,
            other => panic!("{other:?}"),
        }
    }

    fn between(supported: &str, refuted: &str) -> Crossing {
        Crossing::Between { supported: supported.into(), refuted: refuted.into() }
    }

    fn undecided(decided: &[&str]) -> Verdict {
        Verdict::Inconclusive { decided: decided.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn the_table_of_verdicts() {
        let verdict = |decisions: &[Decision]| verdict(&regimes(decisions));
        assert_eq!(verdict(&[S, S]), Verdict::Supported);
        assert_eq!(verdict(&[R, Decision::Refuted(Refutation::Equivalent)]), Verdict::Refuted);
        assert_eq!(verdict(&[S, I, S]), undecided(&["lag 1", "lag 3"]));
        assert_eq!(verdict(&[I, R]), undecided(&["lag 2"]));
        assert_eq!(verdict(&[I, I]), undecided(&[]));
        assert_eq!(verdict(&[]), undecided(&[]));
        let qualified = verdict(&[S, I, R]);
        assert!(matches!(&qualified, Verdict::Qualified { holds, fails, .. }
            if *holds == ["lag 1"] && *fails == ["lag 3"]));
        assert!(qualified.agrees_with(&verdict(&[R, S])) && !qualified.agrees_with(&Verdict::Refuted));
    }

    #[test]
    fn a_crossing_is_the_bracket_of_one_change() {
        assert_eq!(turn(&[S, S, R, R]), between("lag 2", "lag 3"));
        assert_eq!(turn(&[R, S]), between("lag 2", "lag 1"));
        assert_eq!(turn(&[S, I, I, R]), between("lag 1", "lag 4"));
        assert_eq!(turn(&[S, R, S]), Crossing::NotMonotone);
        // The order of the regimes counts, not that of the list.
        let mut shuffled = regimes(&[S, S, R, R]);
        shuffled.swap(0, 3);
        assert!(
            matches!(verdict(&shuffled), Verdict::Qualified { crossing, .. } if crossing == between("lag 2", "lag 3"))
        );
        // Two answers at one place are no crossing, and regimes without places have none.
        let mut tied = regimes(&[S, R]);
        tied[1].order = tied[0].order;
        assert!(matches!(verdict(&tied), Verdict::Qualified { crossing: Crossing::NotMonotone, .. }));
        tied[1].order = None;
        assert!(matches!(verdict(&tied), Verdict::Qualified { crossing: Crossing::Unordered, .. }));
    }

    #[test]
    fn a_conjunction_reads_its_parts_like_regimes() {
        let together = |parts: &[Verdict]| {
            let named: Vec<_> =
                (1..).zip(parts).map(|(i, part)| (format!("part {i}"), part.clone())).collect();
            conjunction(&named)
        };
        let mixed = verdict(&regimes(&[S, R]));
        let (yes, no, open) = (Verdict::Supported, Verdict::Refuted, undecided(&[]));
        assert_eq!(together(&[yes.clone(), yes.clone()]), yes);
        assert_eq!(together(&[no.clone(), no.clone()]), no);
        assert_eq!(together(&[yes.clone(), open.clone()]), undecided(&["part 1"]));
        assert_eq!(together(&[no.clone(), open.clone()]), undecided(&["part 1"]));
        let qualified = |holds: &[&str], fails: &[&str]| Verdict::Qualified {
            holds: holds.iter().map(ToString::to_string).collect(),
            fails: fails.iter().map(ToString::to_string).collect(),
            crossing: Crossing::Unordered,
        };
        assert_eq!(together(&[no, yes.clone(), open.clone()]), qualified(&["part 2"], &["part 1"]));
        assert_eq!(together(&[mixed.clone(), yes]), qualified(&["part 1", "part 2"], &["part 1"]));
        assert_eq!(together(&[mixed, open]), qualified(&["part 1"], &["part 1"]));
    }

    fn by_mean(values: &[f64]) -> Verdict {
        let estimate = mean(values, 0.95, 0.0).unwrap();
        verdict(&[Regime { name: "all".into(), order: None, decision: Decision::of(estimate.decision, 0.1) }])
    }

    #[test]
    fn one_seed_that_carries_the_verdict_makes_it_fragile() {
        let firm = [1.0, 1.1, 0.9, 1.05, 0.95];
        assert_eq!(by_mean(&firm), Verdict::Supported);
        assert!(!is_fragile(&firm, by_mean));
        // By hand: 0.52 ± 2.776 * 0.1356 = [0.14, 0.90]; without 0.9 it is 0.425 ± 3.182 * 0.125 = [0.03, 0.82],
        // which contains the margin.
        let edge = [0.1, 0.4, 0.5, 0.7, 0.9];
        assert_eq!(by_mean(&edge), Verdict::Supported);
        assert!(is_fragile(&edge, by_mean));
    }

    #[test]
    fn a_shortfall_says_how_many_seeds_would_have_decided() {
        let values = [0.5, 1.5, 1.0, 0.2, 1.8];
        let effect = mean(&values, 0.95, 0.0).unwrap();
        assert_eq!(Decision::of(effect.decision, 0.7), I);
        let lacking = shortfall(&effect, 0.7);
        // By hand: spread 0.6671, distance 0.3: 21 seeds give 2.0860 * 0.6671 / sqrt(21) = 0.3037, 22 give 0.2958.
        assert_eq!(lacking.units_needed, Some(22));
        assert!((lacking.width_needed - 0.6).abs() < 1e-12 && lacking.width > lacking.width_needed);
        assert_eq!(shortfall(&effect, effect.value).units_needed, None);
    }
}
