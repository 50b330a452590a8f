//! From a definition and its tables to verdicts.

use record::claims::Register;
use record::definition::{ClaimKind, ClaimRule, Combine, Definition, Part, Scale, Side};
use record::verdict::{ClaimVerdict, ControlOutcome, Ending, PartVerdict, Regime, Verdicts};

use crate::controls;
use crate::effects::{Effect, effects};
use crate::statistics::{Crossing, Verdict, bonferroni, conjunction, counter_example, verdict};
use crate::tables::Tables;

/// Why an experiment cannot be judged at all. A claim that cannot be judged is not an error but an ending.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// A definition judges a claim that nobody registered.
    #[error("{definition}: claim {message} (claims are registered in experiments/claims.toml)")]
    Claim {
        /// The definition.
        definition: String,
        /// The id, with the nearest known one.
        message: String,
    },
}

/// Judges every claim of a definition.
///
/// # Errors
/// When a claim is not registered.
pub fn judge(
    definition: &Definition,
    register: &Register,
    tables: &Tables,
) -> Result<Verdicts, AnalysisError> {
    let ids: Vec<&str> = register.claims.iter().map(|claim| claim.id.as_str()).collect();
    for claim in &definition.claims {
        if !ids.contains(&claim.id.as_str()) {
            let message = record::definition::unknown("id", &claim.id, &ids);
            return Err(AnalysisError::Claim { definition: definition.path.display().to_string(), message });
        }
    }
    Ok(judge_tables(definition, tables))
}

/// Judges every claim of a definition, registered or not.
#[must_use]
pub fn judge_tables(definition: &Definition, tables: &Tables) -> Verdicts {
    let level = bonferroni(definition.claims.iter().filter(|claim| !claim.parts.is_empty()).count().max(1));
    let controls: Vec<ControlOutcome> =
        definition.controls.iter().map(|control| controls::check(control, tables)).collect();
    Verdicts {
        experiment: definition.name.clone(),
        version: definition.version,
        level,
        claims: definition.claims.iter().map(|rule| claim(rule, tables, &controls, level)).collect(),
        controls: controls
            .into_iter()
            .filter(|control| definition.claims.iter().all(|rule| !rule.controls.contains(&control.name)))
            .collect(),
    }
}

fn claim(rule: &ClaimRule, tables: &Tables, controls: &[ControlOutcome], level: f64) -> ClaimVerdict {
    let controls: Vec<ControlOutcome> =
        controls.iter().filter(|control| rule.controls.contains(&control.name)).cloned().collect();
    let mut parts = Vec::new();
    let mut read = Vec::new();
    let mut missing = Vec::new();
    for part in &rule.parts {
        match effects(part, tables, level) {
            Ok(effects) => {
                let outcome = verdict(&effects.iter().map(Effect::regime).collect::<Vec<_>>());
                parts.push(part_verdict(part, &outcome, effects));
                read.push((part.name().to_owned(), outcome));
            }
            Err(reason) => {
                parts.push(PartVerdict {
                    name: part.name().to_owned(),
                    unit: unit(part),
                    margin: margin(part),
                    ending: Ending::NotJudged,
                    note: reason.clone(),
                    regimes: Vec::new(),
                });
                missing.push(reason);
            }
        }
    }
    let failed: Vec<&ControlOutcome> = controls.iter().filter(|control| !control.holds).collect();
    let (ending, because) = if let Some(reason) = rule.not_judged.as_ref().or(missing.first()) {
        (Ending::NotJudged, reason.clone())
    } else if let Some(control) = failed.first() {
        (Ending::Void, format!("control `{}` failed: {}", control.name, control.detail))
    } else {
        let whole = match rule.kind {
            ClaimKind::All => conjunction(&read),
            ClaimKind::Exists => counter_example(&read),
        };
        match (&whole, rule.kind, &rule.at_most_qualified) {
            (Verdict::Supported, _, Some(ceiling)) => (Ending::Qualified, ceiling.clone()),
            (Verdict::Refuted, ClaimKind::Exists, _) => (Ending::Refuted, counter_examples(&parts)),
            _ => (ending(&whole), because(&parts, &whole)),
        }
    };
    let answer = if matches!(ending, Ending::NotJudged) { String::new() } else { fill(&rule.answer, &parts) };
    ClaimVerdict {
        id: rule.id.clone(),
        version: rule.version,
        rule_digest: rule.digest(),
        ending,
        because,
        answer,
        prediction: rule.prediction,
        informed_by: rule.informed_by,
        partly_judged: !rule.differs_from_ledger.is_empty(),
        parts,
        controls,
    }
}

fn ending(verdict: &Verdict) -> Ending {
    match verdict {
        Verdict::Supported => Ending::Supported,
        Verdict::Refuted => Ending::Refuted,
        Verdict::Qualified { .. } => Ending::Qualified,
        Verdict::Inconclusive { .. } => Ending::Inconclusive,
    }
}

fn part_verdict(part: &Part, outcome: &Verdict, effects: Vec<Effect>) -> PartVerdict {
    let mut notes = Vec::new();
    match outcome {
        Verdict::Qualified { crossing: Crossing::Between { supported, refuted }, .. } => {
            notes.push(format!("holds at {supported}, fails at {refuted}"));
        }
        Verdict::Qualified { crossing: Crossing::NotMonotone, .. } => {
            notes.push("no single crossing".to_owned());
        }
        Verdict::Qualified { holds, fails, .. } => {
            notes.push(format!("holds for {}; fails for {}", holds.join(", "), fails.join(", ")));
        }
        Verdict::Inconclusive { decided } if !decided.is_empty() => {
            notes.push(format!("decided only for {}", decided.join(", ")));
        }
        _ => {}
    }
    let open = effects.iter().filter(|effect| !effect.note.is_empty());
    notes.extend(open.map(|effect| match effect.row.name.as_str() {
        "" => effect.note.clone(),
        name => format!("{name}: {}", effect.note),
    }));
    PartVerdict {
        name: part.name().to_owned(),
        unit: unit(part),
        margin: margin(part),
        ending: ending(outcome),
        note: notes.join("; "),
        regimes: effects.into_iter().map(|effect| effect.row).collect(),
    }
}

/// Which parts of a claim that says "cannot" are refuted.
fn counter_examples(parts: &[PartVerdict]) -> String {
    let refuted = parts.iter().filter(|part| matches!(part.ending, Ending::Refuted | Ending::Qualified));
    let names: Vec<String> = refuted
        .map(|part| {
            if part.ending == Ending::Qualified {
                format!("{} ({})", part.name, part.note)
            } else {
                part.name.clone()
            }
        })
        .collect();
    format!("a counter-example refutes it. Fails: {}", names.join("; "))
}

fn because(parts: &[PartVerdict], whole: &Verdict) -> String {
    let named = |ending: Ending| -> Vec<&str> {
        parts.iter().filter(|part| part.ending == ending).map(|part| part.name.as_str()).collect()
    };
    let list = |verb: &str, names: &[&str]| format!("{verb}: {}", names.join("; "));
    match whole {
        Verdict::Supported => list("holds in every regime", &named(Ending::Supported)),
        Verdict::Refuted => list("fails in every regime", &named(Ending::Refuted)),
        Verdict::Qualified { .. } => {
            let mut lists = Vec::new();
            for (verb, ending) in [
                ("holds", Ending::Supported),
                ("fails", Ending::Refuted),
                ("undecided", Ending::Inconclusive),
            ] {
                let names = named(ending);
                if !names.is_empty() {
                    lists.push(list(verb, &names));
                }
            }
            let turning = parts.iter().filter(|part| part.ending == Ending::Qualified);
            let turning: Vec<String> = turning.map(|part| format!("{} ({})", part.name, part.note)).collect();
            if !turning.is_empty() {
                lists.push(format!("depends: {}", turning.join("; ")));
            }
            lists.join("; ")
        }
        Verdict::Inconclusive { .. } => {
            let open = parts.iter().filter(|part| part.ending == Ending::Inconclusive);
            let lists: Vec<String> = open.map(|part| format!("{} ({})", part.name, part.note)).collect();
            format!("undecided: {}", lists.join("; "))
        }
    }
}

/// Kind of effect and unit, in words.
fn unit(part: &Part) -> String {
    match part {
        Part::SolveRate { metric, .. } if metric == "solved" => {
            "fraction of seeds that solve the task".to_owned()
        }
        Part::SolveRate { metric, .. } => format!("fraction of seeds with {metric}"),
        Part::Difference { metric, split, scale, against, times, .. } => {
            let on = if split == "test" { String::new() } else { format!(" on {split}") };
            match (scale, against.is_empty()) {
                (Scale::Difference, true) => format!("{metric}{on} above the constant"),
                (Scale::Difference, false) => format!("difference in {metric}{on}"),
                (Scale::Ratio, _) if *times != 1.0 => {
                    format!("ratio of {metric}{on} to {} times the other", significant(*times))
                }
                (Scale::Ratio, _) => format!("ratio of {metric}{on}"),
            }
        }
        Part::Identity { metric, .. } => format!("largest difference in {metric}"),
        Part::Discrimination { metric, outcome, same, .. } => {
            let within = same.as_ref().map_or_else(String::new, |key| format!(", at the same {key}"));
            format!("area under the ROC curve of {metric} for {outcome}{within}")
        }
        Part::StepTime { .. } => "times faster a training step".to_owned(),
    }
}

/// The margin, in words.
fn margin(part: &Part) -> String {
    match part {
        Part::SolveRate { side, rate, combine, models, .. } => {
            let who = match combine {
                Combine::Any if models.len() > 1 => ", best of the models",
                _ => "",
            };
            format!("{} {:.0}%{who}", side_name(*side), rate * 100.0)
        }
        Part::Difference { side, margin, scale, .. } => {
            // The margin lies on the claimed side of zero, or of a ratio of 1.
            let signed = match (side, scale) {
                (Side::Above, _) => *margin,
                // Not its negative, which of 0 prints as -0.
                (Side::Below, Scale::Difference) => 0.0 - *margin,
                (Side::Below, Scale::Ratio) => 1.0 / *margin,
            };
            format!("{} {}", side_name(*side), significant(signed))
        }
        Part::Identity { tolerance, .. } => format!("within {}", record::spelled::spell(*tolerance)),
        Part::Discrimination { area, .. } => format!("above {}", record::spelled::spell(*area)),
        Part::StepTime { margin, .. } => format!("above {}", significant(*margin)),
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Above => "above",
        Side::Below => "below",
    }
}

/// Fills `{part/regime/field}`, both counted from 1. A placeholder that names nothing stays, so that it shows.
fn fill(template: &str, parts: &[PartVerdict]) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((placeholder, tail)) = after.split_once('}') else { break };
        text.push_str(before);
        match value_of(placeholder, parts) {
            Some(value) => text.push_str(&value),
            None => text.extend(["{", placeholder, "}"]),
        }
        rest = tail;
    }
    text.push_str(rest);
    text
}

fn value_of(placeholder: &str, parts: &[PartVerdict]) -> Option<String> {
    let mut path = placeholder.split('/');
    let mut index = || path.next()?.parse::<usize>().ok()?.checked_sub(1);
    let regime: &Regime = parts.get(index()?)?.regimes.get(index()?)?;
    // Adding 0 takes the sign off a 0.
    let percent = |value: f64| format!("{:.0}%", (value * 100.0).round() + 0.0);
    Some(match path.next()? {
        "effect" => significant(regime.effect),
        "interval" => format!("95% interval {} to {}", significant(regime.low), significant(regime.high)),
        "left" => significant(regime.left),
        "right" => significant(regime.right),
        "percent" => percent(regime.effect),
        "percent-left" => percent(regime.left),
        "percent-right" => percent(regime.right),
        "percent-interval" => format!("95% interval {} to {}", percent(regime.low), percent(regime.high)),
        "model" => regime.model.clone(),
        "against" => regime.against.clone(),
        "regime" => regime.name.clone(),
        "units" => regime.units.to_string(),
        _ => return None,
    })
}

/// Three significant digits, without an exponent.
fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a double fits")]
    let exponent = value.abs().log10().floor() as i32;
    let decimals = usize::try_from((2 - exponent).clamp(0, 8)).unwrap_or(0);
    format!("{value:.decimals$}")
}
