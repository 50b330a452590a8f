//! `verdicts.json`: what the tables say about each claim.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::definition::{InformedBy, Prediction, is_once, once};
use crate::{RecordError, spelled, store};

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Supported in every regime.
    Supported,
    /// Supported in some regimes, refuted in others.
    Qualified,
    /// Refuted in every regime.
    Refuted,
    /// At least one regime is undecided.
    Inconclusive,
    /// A control failed, so that the numbers are no evidence.
    Void,
    /// Not judged, with the reason.
    NotJudged,
}

impl Ending {
    /// As printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Qualified => "qualified",
            Self::Refuted => "refuted",
            Self::Inconclusive => "inconclusive",
            Self::Void => "void",
            Self::NotJudged => "not judged",
        }
    }
}

/// How one regime was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegimeDecision {
    /// The interval lies beyond the margin on the claimed side.
    Supported,
    /// The interval lies within the margins: no difference that matters.
    Equivalent,
    /// The interval lies beyond the margin on the other side.
    Reversed,
    /// The interval lies below the margin, but reaches beyond it on the other side.
    TooSmall,
    /// The interval contains the margin.
    Inconclusive,
}

impl RegimeDecision {
    /// As printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Equivalent => "refuted (equivalent)",
            Self::Reversed => "refuted (reversed)",
            Self::TooSmall => "refuted (too small)",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// The effect in one regime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regime {
    /// Such as `lag=100` or `characters=50000 budget=updates`.
    pub name: String,
    /// Model that stood on the left, after choosing the best on validation.
    pub model: String,
    /// Model or constant on the right.
    pub against: String,
    /// The effect, in the unit of `unit`, not oriented.
    #[serde(with = "spelled")]
    pub effect: f64,
    /// Low end of the 95% interval.
    #[serde(with = "spelled")]
    pub low: f64,
    /// High end of the 95% interval.
    #[serde(with = "spelled")]
    pub high: f64,
    /// Low end of the interval that decides.
    #[serde(with = "spelled")]
    pub decision_low: f64,
    /// High end of the interval that decides.
    #[serde(with = "spelled")]
    pub decision_high: f64,
    /// How far from the margin an effect must lie for this design to tell the two apart.
    #[serde(with = "spelled")]
    pub smallest_detectable: f64,
    /// Seeds.
    pub units: usize,
    /// How it was decided.
    pub decision: RegimeDecision,
    /// Leaving one seed out would change the decision.
    pub fragile: bool,
    /// The value on the left, averaged over seeds, for the sentence that cites it.
    #[serde(with = "spelled")]
    pub left: f64,
    /// The value on the right, averaged over seeds, before it is multiplied.
    #[serde(with = "spelled")]
    pub right: f64,
    /// What the value on the right is multiplied by before the two are compared.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: f64,
}

/// One part of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartVerdict {
    /// What the part says.
    pub name: String,
    /// Kind of effect and unit, such as `difference in accuracy`.
    pub unit: String,
    /// The margin in words, such as `above 0.1`.
    pub margin: String,
    /// How the part ended.
    pub ending: Ending,
    /// Where a qualified part turns, or why it is undecided.
    pub note: String,
    /// Its regimes.
    pub regimes: Vec<Regime>,
}

/// What became of a control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlOutcome {
    /// Name in the definition.
    pub name: String,
    /// Whether it held.
    pub holds: bool,
    /// Numbers.
    pub detail: String,
}

/// The verdict on one claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimVerdict {
    /// Id in the register.
    pub id: String,
    /// Version of the rule.
    pub version: u32,
    /// blake3 of the rule as it stood.
    pub rule_digest: String,
    /// How it ended.
    pub ending: Ending,
    /// In one sentence, why.
    pub because: String,
    /// The answer a person would give, numbers filled in.
    pub answer: String,
    /// What had been predicted.
    pub prediction: Prediction,
    /// What the prediction rested on.
    pub informed_by: InformedBy,
    /// The ledger asks for more than this rule judges.
    pub partly_judged: bool,
    /// Parts.
    pub parts: Vec<PartVerdict>,
    /// Controls that it leans on.
    pub controls: Vec<ControlOutcome>,
}

/// All verdicts of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdicts {
    /// Name of the experiment.
    pub experiment: String,
    /// Its version.
    pub version: u32,
    /// Level of the deciding intervals.
    pub level: f64,
    /// One a claim.
    pub claims: Vec<ClaimVerdict>,
    /// Controls that no claim leans on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlOutcome>,
}

impl Verdicts {
    /// Reads `verdicts.json`.
    ///
    /// # Errors
    /// When the file is missing or malformed.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        read_json(path)
    }

    /// Writes `verdicts.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        write_json(path, self)
    }
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, RecordError> {
    let text = std::fs::read_to_string(path).map_err(|error| RecordError::file(path, error))?;
    serde_json::from_str(&text).map_err(|error| RecordError::format(path, error.to_string()))
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), RecordError> {
    let mut text = serde_json::to_string_pretty(value).expect("plain values serialise");
    text.push('\n');
    store::write_whole(path, text.as_bytes())
}
