//! An experiment definition: the TOML file that a person reads and writes.
//!
//! This module checks its shape. Whether names and settings exist is for the registries to say, and whether a
//! claim can be judged from what the cells yield is for the plan; both happen before anything runs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{RecordError, Settings, nearest};

/// A definition as read from `experiments/NAME.toml`.
#[derive(Clone, Debug, Serialize)]
pub struct Definition {
    /// The file's name without `.toml`.
    pub name: String,
    /// The file.
    #[serde(skip)]
    pub path: PathBuf,
    /// blake3 of the file.
    pub digest: String,
    /// One line for lists.
    pub title: String,
    /// What the experiment asks.
    pub question: String,
    /// What interviewers ask, what the literature says, what is left out and why.
    pub why: String,
    /// What the reader must keep in mind; printed on the card.
    pub limits: Vec<String>,
    /// Raised whenever a claim or setting changes after a run; draws fresh seeds.
    pub version: u32,
    /// Evaluation seeds of each cell, unless the task says otherwise.
    pub seeds: u32,
    /// Which of the version's seeds are drawn for evaluation.
    #[serde(skip)]
    pub seed_range: SeedRange,
    /// Processor time that the full profile may take, in seconds.
    pub core_seconds: f64,
    /// Width of embedding and read-out, shared by all models.
    pub width: usize,
    /// Training settings shared by all models.
    pub training: Settings,
    /// How rates are tuned.
    pub tuning: Tuning,
    /// What the quick profile does instead.
    pub quick: Quick,
    /// Tasks.
    pub tasks: Vec<TaskArm>,
    /// Models.
    pub models: Vec<ModelArm>,
    /// Controls that must hold for the claims to count.
    pub controls: Vec<Control>,
    /// Claims that this experiment judges.
    pub claims: Vec<ClaimRule>,
    /// Figures of the card.
    pub figures: Vec<Figure>,
}

/// The seeds of a version of an experiment, apart from each other by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedRange {
    /// What is judged.
    Evaluation,
    /// The quick profile, so that nobody sees what will be judged before the rules are final.
    Quick,
    /// Choosing rates.
    Tuning,
}

impl SeedRange {
    /// Its seeds, by index within the version.
    #[must_use]
    pub fn indices(self) -> std::ops::Range<u64> {
        match self {
            Self::Evaluation => 0..800,
            Self::Quick => 800..900,
            Self::Tuning => 900..1000,
        }
    }
}

/// How learning rates are chosen: the same trials for every arm, on validation data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Tuning {
    /// Rates that every arm tries, ascending.
    pub rates: Vec<f64>,
    /// Tuning seeds, never used for evaluation.
    pub seeds: u32,
    /// The rate at which all arms are shown beside their tuned one.
    pub common_rate: f64,
    /// How many rates may be added at each end when a winner lies at the edge.
    pub extensions: u32,
}

/// What a definition gets that says nothing else. Models without a rate are not tuned.
impl Default for Tuning {
    fn default() -> Self {
        Self { rates: vec![3e-4, 1e-3, 3e-3, 1e-2, 3e-2], seeds: 2, common_rate: 3e-3, extensions: 2 }
    }
}

/// What the quick profile changes. It is a smoke test: it never yields a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quick {
    /// Evaluation seeds.
    #[serde(default = "one")]
    pub seeds: u32,
    /// Labels of the models that run; all if empty.
    #[serde(default)]
    pub models: Vec<String>,
    /// Overrides of task keys, by task label.
    #[serde(default)]
    pub tasks: std::collections::BTreeMap<String, toml::Table>,
}

impl Default for Quick {
    fn default() -> Self {
        Self { seeds: one(), models: Vec::new(), tasks: std::collections::BTreeMap::new() }
    }
}

/// Seeds that a version of an experiment has.
const SEEDS_A_VERSION: u64 = 1000;

fn one() -> u32 {
    1
}

/// One task with its settings, a list where it is run at several values.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TaskArm {
    /// Name within this experiment.
    pub label: String,
    /// Registered name.
    pub name: String,
    /// Version that the definition was written for.
    pub version: u32,
    /// Settings; a list where the default is a single value means a grid.
    pub settings: Settings,
    /// What is measured.
    pub measure: Measure,
    /// Body parameters that the models are built to.
    pub parameters: Option<usize>,
    /// Sequences a batch.
    pub batch: usize,
    /// Evaluation seeds, if not the experiment's.
    pub seeds: Option<u32>,
    /// The setting at which rates are tuned.
    pub tune_at: Settings,
}

/// A measurement and its settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measure {
    /// Registered name.
    pub kind: String,
    /// Settings.
    pub settings: Settings,
}

/// What part an arm plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A contender.
    #[default]
    Arm,
    /// Built without care on purpose, to show what care is worth.
    Careless,
    /// Crippled in one named way; it must fail.
    NegativeControl,
    /// A simple method that a network should beat.
    Baseline,
}

/// One model with its settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelArm {
    /// Name within this experiment.
    pub label: String,
    /// Registered name.
    pub name: String,
    /// Settings. A table `{ times = 2, of = "lag" }` means twice the task's lag.
    pub settings: Settings,
    /// Labels of the tasks it is run on.
    pub tasks: Vec<String>,
    /// What part it plays.
    pub role: Role,
    /// What is measured of this model beyond the others, by kind of measurement.
    pub measure: std::collections::BTreeMap<String, Settings>,
    /// Training settings of this arm in place of the shared ones, where a claim is about them.
    pub training: Settings,
}

/// Something that must hold, or the claims that lean on it are void.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Control {
    /// Name that claims refer to.
    pub name: String,
    /// What kind.
    pub kind: ControlKind,
    /// Label of the task.
    pub task: String,
    /// Labels of the models.
    pub models: Vec<String>,
    /// Where it is checked, such as `{ lag = [50] }`.
    #[serde(default)]
    pub at: std::collections::BTreeMap<String, Vec<Value>>,
    /// Metric; `accuracy` unless said.
    #[serde(default = "accuracy")]
    pub metric: String,
    /// Split; `test` unless said.
    #[serde(default = "test", skip_serializing_if = "is_test")]
    pub split: String,
    /// Expected value under ignorance, for a negative control; a probability. What must be exceeded, for a control that says
    /// `above`, and what must not be reached, for one that says `below`.
    #[serde(default)]
    pub floor: f64,
}

fn accuracy() -> String {
    "accuracy".to_owned()
}

/// The kinds of control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlKind {
    /// Must land within its binomial 99.9% band of the floor.
    Negative,
    /// Must be solved by every seed.
    Positive,
    /// Its metric must lie above the floor on every seed.
    Above,
    /// Its metric must lie below the floor on every seed.
    Below,
}

/// How a claim is judged, written before the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClaimRule {
    /// Id in the register of claims.
    pub id: String,
    /// Raised when the rule changes.
    pub version: u32,
    /// The rule in words, in full.
    pub rule: String,
    /// How the parts make a verdict.
    #[serde(default)]
    pub kind: ClaimKind,
    /// What the ledger of claims asks and this rule leaves out; empty if nothing.
    #[serde(default)]
    pub differs_from_ledger: String,
    /// The outcome that was expected.
    pub prediction: Prediction,
    /// What the expectation rested on.
    pub informed_by: InformedBy,
    /// A sentence for the reader, with `{part}` placeholders filled from the tables.
    #[serde(default)]
    pub answer: String,
    /// Literature.
    #[serde(default)]
    pub cites: Vec<String>,
    /// Names of controls.
    #[serde(default)]
    pub controls: Vec<String>,
    /// A ceiling on the verdict, with its reason.
    #[serde(default)]
    pub at_most_qualified: Option<String>,
    /// Why the claim is not judged, in place of parts: what stands in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_judged: Option<String>,
    /// Parts, all of which must hold.
    #[serde(rename = "part", default)]
    pub parts: Vec<Part>,
}

impl ClaimRule {
    /// blake3 of the rule: what is stored beside a result, so that a later change of the rule shows. The sentence for the
    /// reader, which the numbers are put into, decides nothing and is not part of it.
    ///
    /// # Panics
    /// Never: a rule holds plain values.
    #[must_use]
    pub fn digest(&self) -> String {
        let rule = Self { answer: String::new(), ..self.clone() };
        let value = serde_json::to_value(rule).expect("a rule holds plain values");
        crate::digest(value.to_string().as_bytes())
    }
}

/// How the parts of a rule make a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimKind {
    /// All parts must hold.
    #[default]
    All,
    /// The claim says "cannot": one part that is refuted, in one regime, is a counter-example and refutes it.
    Exists,
}

/// An expected verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prediction {
    /// Supported in every regime.
    Supported,
    /// Supported in some, refuted in others.
    Qualified,
    /// Refuted in every regime.
    Refuted,
    /// Undecided.
    Inconclusive,
}

/// What a prediction rested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InformedBy {
    /// Nothing.
    None,
    /// Published results.
    Literature,
    /// Trial runs on other seeds.
    Pilot,
}

/// Which side of the margin the claim says the effect lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Above.
    Above,
    /// Below.
    Below,
}

/// The scale on which the effect is computed for each seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Plain difference.
    #[default]
    Difference,
    /// Natural logarithm of the ratio; the margin is then a ratio.
    Ratio,
}

/// How several models of one side are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combine {
    /// The best stands for all: of solve rates the largest, with the level corrected for the choice; of other metrics the
    /// best on validation.
    #[default]
    Any,
    /// Each is a regime of its own.
    Each,
}

/// A budget at which compared models are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BudgetKind {
    /// The same number of updates, and so of tokens.
    Updates,
    /// The same number of multiply-adds.
    MultiplyAdds,
    /// The same processor seconds, by our step times.
    Seconds,
    /// The same processor seconds, by PyTorch's step times.
    PytorchSeconds,
}

/// One part of a rule. Regimes are the cross product of `at`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Part {
    /// The fraction of seeds that solve the task lies above or below a rate.
    SolveRate {
        /// What this part says, in words.
        name: String,
        /// Label of the task.
        task: String,
        /// Labels of the models.
        models: Vec<String>,
        /// How several models are read.
        #[serde(default)]
        combine: Combine,
        /// What is 1 for a seed that counts and 0 for one that does not; `solved` unless said.
        #[serde(default = "solved", skip_serializing_if = "is_solved")]
        metric: String,
        /// Regimes, such as `{ lag = [100, 200] }`.
        #[serde(default)]
        at: std::collections::BTreeMap<String, Vec<Value>>,
        /// Claimed side.
        side: Side,
        /// The rate, in 0..1.
        rate: f64,
    },
    /// The paired difference between two models, or a model and a constant, exceeds a margin.
    Difference {
        /// What this part says, in words.
        name: String,
        /// Label of the task.
        task: String,
        /// Metric.
        metric: String,
        /// Split; `test` unless said.
        #[serde(default = "test")]
        split: String,
        /// Labels of the models on the left; the best on validation stands for them.
        models: Vec<String>,
        /// How several models on the left are read.
        #[serde(default)]
        combine: Combine,
        /// Labels of the models on the right; the best on validation stands for them.
        #[serde(default)]
        against: Vec<String>,
        /// A constant on the right, where there are no models.
        #[serde(default)]
        constant: f64,
        /// What the right is multiplied by: with 3 on a scale of ratios, the left is compared with three times the right.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: f64,
        /// Regimes.
        #[serde(default)]
        at: std::collections::BTreeMap<String, Vec<Value>>,
        /// The task at which the right is read, if it is another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        against_task: Option<String>,
        /// Where the right is read, if elsewhere than the left: settings that take the place of those in `at`, and at another
        /// task all of them.
        #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
        against_at: std::collections::BTreeMap<String, Value>,
        /// Budgets at which both are read; each is a regime. Empty means the end of training.
        #[serde(default)]
        budgets: Vec<BudgetKind>,
        /// Claimed side of left minus right.
        side: Side,
        /// Margin, in units of the metric, or a ratio. A negative one, or a ratio below 1, claims that the effect is not worse than that.
        margin: f64,
        /// Scale.
        #[serde(default)]
        scale: Scale,
    },
    /// An identity: on every seed the left is the right, within a tolerance. Exact, so it has no interval.
    Identity {
        /// What this part says, in words.
        name: String,
        /// Label of the task.
        task: String,
        /// Metric.
        metric: String,
        /// Split; `test` unless said.
        #[serde(default = "test")]
        split: String,
        /// Labels of the models on the left, each a regime.
        models: Vec<String>,
        /// Label of the model on the right, if it is not a constant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        against: Option<String>,
        /// A constant on the right, where there is no model.
        #[serde(default)]
        constant: f64,
        /// What the right is multiplied by.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: f64,
        /// Regimes.
        #[serde(default)]
        at: std::collections::BTreeMap<String, Vec<Value>>,
        /// How far both sides may lie apart, in units of the metric.
        tolerance: f64,
    },
    /// A metric tells runs that succeed from runs that do not: the area under the ROC curve, models resampled whole.
    Discrimination {
        /// What this part says, in words.
        name: String,
        /// Label of the task.
        task: String,
        /// The metric that should be larger where a run succeeds.
        metric: String,
        /// Split; `test` unless said.
        #[serde(default = "test")]
        split: String,
        /// What is 1 for a run that succeeds and 0 for one that does not, on the split `test`; `solved` unless said.
        #[serde(default = "solved", skip_serializing_if = "is_solved")]
        outcome: String,
        /// Labels of the models, which are what is resampled.
        models: Vec<String>,
        /// Settings whose runs are taken together, such as `{ lag = [10, 20] }`.
        #[serde(default)]
        over: std::collections::BTreeMap<String, Vec<Value>>,
        /// A setting in `over`: runs are compared at the same value of it only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        same: Option<String>,
        /// Regimes.
        #[serde(default)]
        at: std::collections::BTreeMap<String, Vec<Value>>,
        /// The area that must be exceeded, between 0.5 (chance) and 1.
        area: f64,
    },
    /// The time of a training step, by our kernels and by PyTorch's.
    StepTime {
        /// What this part says, in words.
        name: String,
        /// Label of the timing task.
        task: String,
        /// Label of the model that is claimed to be faster.
        model: String,
        /// Label of the other.
        against: String,
        /// Regimes, such as `{ time = [64, 256] }`.
        at: std::collections::BTreeMap<String, Vec<Value>>,
        /// How many times faster, at least.
        margin: f64,
    },
}

pub(crate) fn once() -> f64 {
    1.0
}

fn solved() -> String {
    "solved".to_owned()
}

fn is_solved(metric: &str) -> bool {
    metric == "solved"
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_once(times: &f64) -> bool {
    *times == 1.0
}

fn test() -> String {
    "test".to_owned()
}

fn is_test(split: &str) -> bool {
    split == "test"
}

impl Part {
    /// What the part says, in words.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::SolveRate { name, .. }
            | Self::Difference { name, .. }
            | Self::Identity { name, .. }
            | Self::Discrimination { name, .. }
            | Self::StepTime { name, .. } => name,
        }
    }

    /// Label of its task.
    #[must_use]
    pub fn task(&self) -> &str {
        match self {
            Self::SolveRate { task, .. }
            | Self::Difference { task, .. }
            | Self::Identity { task, .. }
            | Self::Discrimination { task, .. }
            | Self::StepTime { task, .. } => task,
        }
    }

    /// Labels of all models it reads.
    #[must_use]
    pub fn models(&self) -> Vec<&str> {
        match self {
            Self::SolveRate { models, .. } | Self::Discrimination { models, .. } => {
                models.iter().map(String::as_str).collect()
            }
            Self::Difference { models, against, .. } => {
                models.iter().chain(against).map(String::as_str).collect()
            }
            Self::Identity { models, against, .. } => {
                models.iter().chain(against).map(String::as_str).collect()
            }
            Self::StepTime { model, against, .. } => vec![model, against],
        }
    }

    /// Refuses margins and rates that no effect could be held against.
    fn check_numbers(&self) -> Result<(), String> {
        let (key, value, sound) = match self {
            Self::SolveRate { rate, .. } => ("rate", *rate, *rate > 0.0 && *rate < 1.0),
            Self::Difference { times, .. } if !(*times > 0.0 && times.is_finite()) => {
                return Err(format!("`times` = {times}: must be more than 0"));
            }
            Self::Difference { scale: Scale::Ratio, margin, .. } => ("margin", *margin, *margin > 0.0),
            Self::StepTime { margin, .. } => ("margin", *margin, *margin >= 1.0),
            Self::Difference { margin, .. } => ("margin", *margin, true),
            Self::Identity { tolerance, .. } => ("tolerance", *tolerance, *tolerance >= 0.0),
            Self::Discrimination { over, same: Some(same), .. } if !over.contains_key(same) => {
                let known: Vec<&str> = over.keys().map(String::as_str).collect();
                return Err(format!("`same`: {}", unknown("setting in `over`", same, &known)));
            }
            Self::Discrimination { area, .. } => ("area", *area, *area >= 0.5 && *area < 1.0),
        };
        let wanted = match (key, self) {
            ("rate", _) => "lies between 0 and 1",
            ("area", _) => "lies between 0.5, which is chance, and 1",
            (_, Self::Difference { scale: Scale::Difference, .. }) => {
                "is a number, on the side that `side` says; a negative one allows that much of the other"
            }
            (_, Self::Difference { scale: Scale::Ratio, .. }) => {
                "is a ratio above 0, on the side that `side` says; one below 1 allows that much of the other"
            }
            (_, Self::Identity { .. }) => "is 0 or more",
            _ => "is a ratio of 1 or more",
        };
        if sound && value.is_finite() {
            Ok(())
        } else {
            let article = if key == "area" { "an" } else { "a" };
            Err(format!("`{key}` = {value}: {article} {key} here {wanted}"))
        }
    }

    /// Its regimes by setting.
    #[must_use]
    pub fn at(&self) -> &std::collections::BTreeMap<String, Vec<Value>> {
        match self {
            Self::SolveRate { at, .. }
            | Self::Difference { at, .. }
            | Self::Identity { at, .. }
            | Self::Discrimination { at, .. }
            | Self::StepTime { at, .. } => at,
        }
    }
}

/// A figure of the card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Figure {
    /// File name without `.svg`.
    pub name: String,
    /// Title.
    pub title: String,
    /// What is drawn.
    pub kind: FigureKind,
    /// Label of the task.
    pub task: String,
    /// Metric.
    pub metric: String,
    /// More metrics, each a line of its own; where models are side by side.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// Setting on the horizontal axis, `updates` for a course of training, `split` for `test@N`, `models` where these are side
    /// by side, the other metric where one is drawn against another, or `read` for an alignment.
    pub x: String,
    /// Where the horizontal axis begins, if what lies before it is to be drawn at its edge.
    #[serde(default)]
    pub x_from: Option<f64>,
    /// Labels of the models; all if empty.
    #[serde(default)]
    pub models: Vec<String>,
    /// Other settings held fixed.
    #[serde(default)]
    pub at: Settings,
    /// Label of the horizontal axis, with unit.
    pub x_label: String,
    /// Label of the vertical axis, with unit.
    pub y_label: String,
    /// Logarithmic horizontal axis.
    #[serde(default)]
    pub log_x: bool,
    /// Logarithmic vertical axis.
    #[serde(default)]
    pub log_y: bool,
    /// Name of a floor to draw, as the tables name it.
    #[serde(default)]
    pub floor: Option<String>,
}

/// Kinds of figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FigureKind {
    /// Mean over seeds against a setting, with a 95% band.
    Line,
    /// Each seed's longest solved setting, one row a model.
    Dots,
    /// Course of training, with a 95% band.
    Curve,
    /// Models side by side in the order named, a line a metric.
    Models,
    /// Models under each other, a dot for each seed.
    Seeds,
    /// One metric against another: a point for each model and setting, means over seeds.
    Against,
    /// How much each symbol that is written looks at each that is read: models side by side, darker for more, the mean over seeds.
    Alignment,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    title: String,
    question: String,
    why: String,
    #[serde(default)]
    limits: Vec<String>,
    version: u32,
    seeds: u32,
    budget: Budget,
    width: usize,
    #[serde(default)]
    training: Settings,
    #[serde(default)]
    tuning: Tuning,
    #[serde(default)]
    quick: Quick,
    task: Vec<toml::Spanned<toml::Table>>,
    model: Vec<toml::Spanned<toml::Table>>,
    #[serde(default)]
    control: Vec<Control>,
    #[serde(default)]
    claim: Vec<ClaimRule>,
    #[serde(default)]
    figure: Vec<Figure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Budget {
    core_seconds: f64,
}

/// The keys of a `[[task]]` that are not settings of the task itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TaskKeys {
    name: String,
    version: u32,
    label: Option<String>,
    measure: Settings,
    parameters: Option<usize>,
    batch: usize,
    seeds: Option<u32>,
    #[serde(default)]
    tune_at: Settings,
}

/// Keys of a `[[task]]` beside the task's own settings.
pub const TASK_KEYS: &[&str] =
    &["name", "version", "label", "measure", "parameters", "batch", "seeds", "tune-at"];

/// The keys of a `[[model]]` that are not settings of the model itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ModelKeys {
    name: String,
    label: Option<String>,
    tasks: Vec<String>,
    #[serde(default)]
    role: Role,
    #[serde(default)]
    measure: std::collections::BTreeMap<String, Settings>,
    #[serde(default)]
    training: Settings,
}

/// Keys of a `[[model]]` beside the model's own settings.
pub const MODEL_KEYS: &[&str] = &["name", "label", "tasks", "role", "measure", "training"];

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// When the file is missing or malformed; the message names file, line and key.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let text = std::fs::read_to_string(path).map_err(|error| RecordError::file(path, error))?;
        Self::parse(path, &text)
    }

    /// Reads a definition from text that came from `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(path: &Path, text: &str) -> Result<Self, RecordError> {
        let wrong = |message: String| RecordError::format(path, message);
        let file: File = toml::from_str(text).map_err(|error| wrong(toml_message(&error)))?;
        let line = |offset: usize| 1 + text[..offset].matches('\n').count();
        let mut tasks = Vec::new();
        for table in file.task {
            let place = format!("[[task]] at line {}", line(table.span().start));
            tasks.push(task_arm(table.into_inner()).map_err(|message| wrong(format!("{place}: {message}")))?);
        }
        let mut models = Vec::new();
        for table in file.model {
            let place = format!("[[model]] at line {}", line(table.span().start));
            models
                .push(model_arm(table.into_inner()).map_err(|message| wrong(format!("{place}: {message}")))?);
        }
        let definition = Self {
            name: path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
            path: path.to_owned(),
            digest: crate::digest(text.as_bytes()),
            title: file.title,
            question: file.question,
            why: file.why,
            limits: file.limits,
            version: file.version,
            seeds: file.seeds,
            seed_range: SeedRange::Evaluation,
            core_seconds: file.budget.core_seconds,
            width: file.width,
            training: file.training,
            tuning: file.tuning,
            quick: file.quick,
            tasks,
            models,
            controls: file.control,
            claims: file.claim,
            figures: file.figure,
        };
        definition.check_references().map_err(wrong)?;
        Ok(definition)
    }

    /// The task with this label.
    #[must_use]
    pub fn task(&self, label: &str) -> Option<&TaskArm> {
        self.tasks.iter().find(|task| task.label == label)
    }

    /// The models that run on a task, in the order of the file.
    pub fn models_on<'a>(&'a self, task: &'a str) -> impl Iterator<Item = &'a ModelArm> + 'a {
        self.models.iter().filter(move |model| model.tasks.iter().any(|label| label == task))
    }

    /// Evaluation seeds of a task, drawn from the version so that a new version judges on fresh ones.
    #[must_use]
    pub fn evaluation_seeds(&self, task: &TaskArm) -> Vec<u64> {
        self.seeds_of(self.seed_range, 0..u64::from(task.seeds.unwrap_or(self.seeds)))
    }

    /// Tuning seeds, apart from all evaluation seeds.
    #[must_use]
    pub fn tuning_seeds(&self) -> Vec<u64> {
        self.seeds_of(SeedRange::Tuning, 0..u64::from(self.tuning.seeds))
    }

    /// Seeds of this version by purpose and index.
    #[must_use]
    pub fn seeds_of(&self, range: SeedRange, indices: std::ops::Range<u64>) -> Vec<u64> {
        let first = u64::from(self.version) * SEEDS_A_VERSION + range.indices().start;
        indices.map(|index| first + index).collect()
    }

    fn check_references(&self) -> Result<(), String> {
        if self.tuning.rates.is_empty() {
            return Err("`tuning.rates` must not be empty".to_owned());
        }
        let tasks = self.tasks.iter().map(|task| (format!("[[task]] `{}`", task.label), task.seeds));
        let counts = [
            ("top".to_owned(), SeedRange::Evaluation, Some(self.seeds)),
            ("[quick]".to_owned(), SeedRange::Quick, Some(self.quick.seeds)),
            ("[tuning]".to_owned(), SeedRange::Tuning, Some(self.tuning.seeds)),
        ];
        let counts =
            counts.into_iter().chain(tasks.map(|(place, count)| (place, SeedRange::Evaluation, count)));
        for (place, range, count) in counts {
            let most = range.indices().end - range.indices().start;
            if count.is_some_and(|count| count == 0 || u64::from(count) > most) {
                return Err(format!("{place}: `seeds` must be from 1 to {most}"));
            }
        }
        if self.core_seconds.is_nan() || self.core_seconds <= 0.0 {
            return Err("`budget.core-seconds` must be above 0".to_owned());
        }
        if !(self.tuning.common_rate > 0.0 && self.tuning.common_rate.is_finite()) {
            return Err("`tuning.common-rate` must be above 0".to_owned());
        }
        if !self.tuning.rates.is_sorted() || self.tuning.rates.iter().any(|&rate| rate <= 0.0) {
            return Err("`tuning.rates` must be positive and ascending".to_owned());
        }
        let tables = std::iter::once(("[training]".to_owned(), &self.training))
            .chain(
                self.models
                    .iter()
                    .map(|model| (format!("model `{}`: training", model.label), &model.training)),
            )
            .chain(
                self.tasks
                    .iter()
                    .map(|task| (format!("task `{}`: measure", task.label), &task.measure.settings)),
            );
        for (place, settings) in tables {
            // Which is what `inf` and `nan` become.
            if let Some((key, _)) = settings.iter().find(|(_, value)| value.is_null()) {
                return Err(format!("{place}: `{key}`: {}", not_finite("`inf` or `nan`")));
            }
        }
        let tasks: Vec<&str> = self.tasks.iter().map(|task| task.label.as_str()).collect();
        distinct("task label", &tasks)?;
        for model in &self.models {
            for task in &model.tasks {
                known("task", task, &tasks).map_err(|text| format!("model `{}`: {text}", model.label))?;
            }
        }
        for task in &tasks {
            let labels: Vec<&str> = self.models_on(task).map(|model| model.label.as_str()).collect();
            distinct("model label", &labels).map_err(|text| format!("task `{task}`: {text}"))?;
        }
        for label in self.quick.tasks.keys() {
            known("task", label, &tasks).map_err(|text| format!("[quick.tasks]: {text}"))?;
        }
        let labels: Vec<&str> = self.models.iter().map(|model| model.label.as_str()).collect();
        for label in &self.quick.models {
            known("model", label, &labels).map_err(|text| format!("[quick]: {text}"))?;
        }
        let check = |place: String, task: &str, models: &[&str]| -> Result<(), String> {
            known("task", task, &tasks).map_err(|text| format!("{place}: {text}"))?;
            let on_task: Vec<&str> = self.models_on(task).map(|model| model.label.as_str()).collect();
            for model in models {
                known(&format!("model on task `{task}`"), model, &on_task)
                    .map_err(|text| format!("{place}: {text}"))?;
            }
            Ok(())
        };
        let settings = |place: &str, at: &std::collections::BTreeMap<String, Vec<Value>>| match at
            .iter()
            .find(|(_, values)| values.is_empty())
        {
            Some((key, _)) => Err(format!("{place}: `at` names no value of `{key}`")),
            None => Ok(()),
        };
        for control in &self.controls {
            let place = format!("control `{}`", control.name);
            settings(&place, &control.at)?;
            if control.models.is_empty() {
                return Err(format!("{place}: `models` is empty"));
            }
            let models: Vec<&str> = control.models.iter().map(String::as_str).collect();
            check(format!("control `{}`", control.name), &control.task, &models)?;
        }
        let controls: Vec<&str> = self.controls.iter().map(|control| control.name.as_str()).collect();
        distinct("control", &controls)?;
        distinct("claim", &self.claims.iter().map(|claim| claim.id.as_str()).collect::<Vec<_>>())?;
        for claim in &self.claims {
            for control in &claim.controls {
                known("control", control, &controls)
                    .map_err(|text| format!("claim `{}`: {text}", claim.id))?;
            }
            if claim.parts.is_empty() != claim.not_judged.is_some() {
                return Err(format!(
                    "claim `{}`: a claim has a [[claim.part]] at least, or says in `not-judged` why it has none",
                    claim.id
                ));
            }
            if !claim.parts.is_empty() && claim.answer.is_empty() {
                return Err(format!(
                    "claim `{}`: `answer` is missing, the sentence for the reader",
                    claim.id
                ));
            }
            if !claim.parts.is_empty() {
                check_answer(&claim.answer, claim.parts.len())
                    .map_err(|text| format!("claim `{}`, `answer`: {text}", claim.id))?;
            }
            for part in &claim.parts {
                let place = format!("claim `{}`, part `{}`", claim.id, part.name());
                part.check_numbers().map_err(|text| format!("{place}: {text}"))?;
                settings(&place, part.at())?;
                if let Part::SolveRate { models, .. }
                | Part::Difference { models, .. }
                | Part::Identity { models, .. } = part
                    && models.is_empty()
                {
                    return Err(format!("{place}: `models` is empty"));
                }
                match part {
                    Part::Difference { models, against, against_task: Some(elsewhere), .. } => {
                        let left: Vec<&str> = models.iter().map(String::as_str).collect();
                        let right: Vec<&str> = against.iter().map(String::as_str).collect();
                        check(place.clone(), part.task(), &left)?;
                        check(place, elsewhere, &right)?;
                    }
                    _ => check(place, part.task(), &part.models())?,
                }
            }
        }
        distinct("figure", &self.figures.iter().map(|figure| figure.name.as_str()).collect::<Vec<_>>())?;
        for figure in &self.figures {
            // It becomes the name of a file.
            let plain = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
            if figure.name.is_empty() || !figure.name.chars().all(plain) {
                let name = &figure.name;
                return Err(format!("figure `{name}`: a `name` has letters, digits, `-` and `_` alone"));
            }
            let models: Vec<&str> = figure.models.iter().map(String::as_str).collect();
            check(format!("figure `{}`", figure.name), &figure.task, &models)?;
        }
        Ok(())
    }
}

/// What an answer may say of a regime.
const ANSWERS: [&str; 12] = [
    "effect",
    "interval",
    "left",
    "right",
    "percent",
    "percent-left",
    "percent-right",
    "percent-interval",
    "model",
    "against",
    "regime",
    "units",
];

/// Each `{part/regime/field}` of an answer, counted from 1, must name a part and a field.
fn check_answer(answer: &str, parts: usize) -> Result<(), String> {
    for placeholder in
        answer.split('{').skip(1).filter_map(|after| after.split_once('}')).map(|(inside, _)| inside)
    {
        let mut path = placeholder.split('/');
        let mut number = || path.next().and_then(|number| number.parse::<usize>().ok());
        let (Some(part), Some(1..)) = (number(), number()) else {
            return Err(format!(
                "`{{{placeholder}}}` is not of the form {{part/regime/field}}, both counted from 1"
            ));
        };
        if !(1..=parts).contains(&part) {
            return Err(format!("`{{{placeholder}}}` names part {part}, and the claim has {parts}"));
        }
        known("field of an answer", path.next().unwrap_or_default(), &ANSWERS)
            .map_err(|text| format!("`{{{placeholder}}}`: {text}"))?;
    }
    Ok(())
}

/// `Ok` if `name` is one of `names`; otherwise an error with the nearest.
fn known(what: &str, name: &str, names: &[&str]) -> Result<(), String> {
    if names.contains(&name) {
        return Ok(());
    }
    Err(unknown(what, name, names))
}

/// `unknown WHAT `NAME`, did you mean ...` with the nearest known name, or all of them.
#[must_use]
pub fn unknown(what: &str, name: &str, names: &[&str]) -> String {
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("unknown {what} `{name}`, did you mean `{near}`?"),
        None => format!("unknown {what} `{name}`; known: {}", names.join(", ")),
    }
}

fn distinct(what: &str, names: &[&str]) -> Result<(), String> {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some([name, _]) => Err(format!("{what} `{name}` is used twice")),
        _ => Ok(()),
    }
}

fn task_arm(mut table: toml::Table) -> Result<TaskArm, String> {
    let settings = split_settings(&mut table, TASK_KEYS)?;
    let keys: TaskKeys = table.try_into().map_err(|error| toml_message(&error))?;
    let mut measure = keys.measure;
    let Some(Value::String(kind)) = measure.remove("kind") else {
        return Err("`measure` needs a `kind`, such as { kind = \"train\" }".to_owned());
    };
    Ok(TaskArm {
        label: keys.label.unwrap_or_else(|| keys.name.clone()),
        name: keys.name,
        version: keys.version,
        settings,
        measure: Measure { kind, settings: measure },
        parameters: keys.parameters,
        batch: keys.batch,
        seeds: keys.seeds,
        tune_at: keys.tune_at,
    })
}

fn model_arm(mut table: toml::Table) -> Result<ModelArm, String> {
    let settings = split_settings(&mut table, MODEL_KEYS)?;
    let keys: ModelKeys = table.try_into().map_err(|error| toml_message(&error))?;
    Ok(ModelArm {
        label: keys.label.unwrap_or_else(|| keys.name.clone()),
        name: keys.name,
        settings,
        tasks: keys.tasks,
        role: keys.role,
        measure: keys.measure,
        training: keys.training,
    })
}

/// Takes every key that is not reserved out of `table`, as settings.
fn split_settings(table: &mut toml::Table, reserved: &[&str]) -> Result<Settings, String> {
    let own: Vec<String> = table.keys().filter(|key| !reserved.contains(&key.as_str())).cloned().collect();
    let mut settings = Settings::new();
    for key in own {
        let value = table.remove(&key).expect("the key was just listed");
        settings.insert(key.clone(), json(&value).map_err(|text| format!("key `{key}`: {text}"))?);
    }
    Ok(settings)
}

/// A TOML value as JSON; dates, `inf` and `nan` have no place in a definition.
///
/// # Errors
/// When the value holds one of them.
pub fn json(value: &toml::Value) -> Result<Value, String> {
    match value {
        toml::Value::Datetime(date) => return Err(format!("a date ({date}) is not a setting")),
        toml::Value::Float(number) if !number.is_finite() => return Err(not_finite(&number.to_string())),
        _ => {}
    }
    serde_json::to_value(value).map_err(|error| error.to_string())
}

fn not_finite(given: &str) -> String {
    format!("{given} is not a setting; write a number, such as 1e30")
}

/// The parser's message, with the nearest known key where a key is unknown.
fn toml_message(error: &toml::de::Error) -> String {
    let message = error.to_string();
    let message = message.trim_end();
    let names: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
    match names.split_first() {
        Some((unknown, known)) if error.message().starts_with("unknown field") => {
            match nearest(unknown, known.iter().copied()) {
                Some(near) => format!("{message}\ndid you mean `{near}`?"),
                None => message.to_owned(),
            }
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
title = "t"
question = "q"
why = "w"
version = 3
seeds = 2
budget = { core-seconds = 10 }
width = 8

[tuning]
rates = [0.001, 0.01]
seeds = 2
common-rate = 0.01

[[task]]
label = "recall"
name = "first-cue-recall"
version = 1
lag = [2, 5]
measure = { kind = "staircase", over = "lag", updates = 10 }
batch = 4

[[model]]
label = "LSTM"
name = "lstm"
forget-bias = 1
tasks = ["recall"]

[[claim]]
id = "c"
version = 1
rule = "r"
prediction = "supported"
informed-by = "none"
answer = "a"

[[claim.part]]
kind = "solve-rate"
name = "p"
task = "recall"
models = ["LSTM"]
at = { lag = [5] }
side = "above"
rate = 0.5
"#;

    fn parse(text: &str) -> Result<Definition, String> {
        Definition::parse(Path::new("experiments/x.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_told_from_reserved_keys() {
        let definition = parse(GOOD).unwrap();
        assert_eq!(definition.name, "x");
        assert_eq!(definition.tasks[0].settings.keys().collect::<Vec<_>>(), ["lag"]);
        assert_eq!(definition.tasks[0].measure.kind, "staircase");
        assert_eq!(definition.models[0].settings["forget-bias"], 1);
    }

    #[test]
    fn seeds_come_from_the_version_and_every_purpose_has_its_own() {
        let mut definition = parse(GOOD).unwrap();
        assert_eq!(definition.evaluation_seeds(&definition.tasks[0]), [3000, 3001]);
        assert_eq!(definition.tuning_seeds(), [3900, 3901]);
        definition.seed_range = SeedRange::Quick;
        assert_eq!(definition.evaluation_seeds(&definition.tasks[0]), [3800, 3801]);
    }

    #[test]
    fn tuning_may_be_left_out_in_whole_or_in_part() {
        let tuning = |text: &str| {
            let given = "[tuning]\nrates = [0.001, 0.01]\nseeds = 2\ncommon-rate = 0.01\n";
            assert!(GOOD.contains(given));
            parse(&GOOD.replace(given, text)).unwrap().tuning
        };
        assert_eq!(tuning(""), Tuning::default());
        assert_eq!(tuning("[tuning]\nseeds = 3\n"), Tuning { seeds: 3, ..Tuning::default() });
    }

    #[test]
    fn mistakes_are_named_with_file_key_and_nearest_name() {
        let cases = [
            ("seeds = 2\nbudget", "seads = 2\nbudget", "did you mean `seeds`?"),
            (
                "models = [\"LSTM\"]",
                "models = [\"LSTN\"]",
                "claim `c`, part `p`: unknown model on task `recall` `LSTN`, did you mean `LSTM`?",
            ),
            (
                "tasks = [\"recall\"]",
                "tasks = [\"recal\"]",
                "model `LSTM`: unknown task `recal`, did you mean `recall`?",
            ),
            ("kind = \"staircase\", ", "", "`measure` needs a `kind`"),
            ("rates = [0.001, 0.01]", "rates = [0.01, 0.001]", "ascending"),
            ("seeds = 2\nbudget", "seeds = 801\nbudget", "top: `seeds` must be from 1 to 800"),
            ("seeds = 2\ncommon", "seeds = 0\ncommon", "[tuning]: `seeds` must be from 1 to 100"),
            ("batch = 4", "", "missing field `batch`"),
            ("side = \"above\"", "side = \"over\"", "unknown variant `over`"),
            (
                "kind = \"solve-rate\"\nname = \"p\"\ntask = \"recall\"\nmodels = [\"LSTM\"]\nat = { lag = [5] }\nside = \"above\"\nrate = 0.5",
                "kind = \"difference\"\nname = \"p\"\ntask = \"recall\"\nmetric = \"m\"\nmodels = [\"LSTM\"]\nside = \"above\"\nmargin = 0\ntimes = 0",
                "claim `c`, part `p`: `times` = 0: must be more than 0",
            ),
            (
                "kind = \"solve-rate\"\nname = \"p\"\ntask = \"recall\"\nmodels = [\"LSTM\"]\nat = { lag = [5] }\nside = \"above\"\nrate = 0.5",
                "kind = \"discrimination\"\nname = \"p\"\ntask = \"recall\"\nmetric = \"m\"\nmodels = [\"LSTM\"]\nover = { lag = [2, 5] }\narea = 1",
                "claim `c`, part `p`: `area` = 1: an area here lies between 0.5, which is chance, and 1",
            ),
            (
                "kind = \"solve-rate\"\nname = \"p\"\ntask = \"recall\"\nmodels = [\"LSTM\"]\nat = { lag = [5] }\nside = \"above\"\nrate = 0.5",
                "kind = \"discrimination\"\nname = \"p\"\ntask = \"recall\"\nmetric = \"m\"\nmodels = [\"LSTM\"]\nover = { lag = [2, 5] }\nsame = \"lagg\"\narea = 0.9",
                "claim `c`, part `p`: `same`: unknown setting in `over` `lagg`, did you mean `lag`?",
            ),
            (
                "rate = 0.5",
                "rate = 1.5",
                "claim `c`, part `p`: `rate` = 1.5: a rate here lies between 0 and 1",
            ),
            ("version = 3", "version = ", "experiments/x.toml"),
        ];
        for (from, to, expected) in cases {
            assert!(GOOD.contains(from), "{from}");
            let message = parse(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(message.starts_with("experiments/x.toml: "), "{message}");
            assert!(message.contains(expected), "`{expected}` is not in: {message}");
        }
    }

    #[test]
    fn an_answer_names_parts_and_fields() {
        assert!(check_answer("{1/1/percent-left} of {2/3/against}, with {nothing", 2).is_ok());
        let refusal = |answer: &str| check_answer(answer, 2).unwrap_err();
        assert!(
            refusal("{1/1/percnt-left}").contains("did you mean `percent-left`?"),
            "{}",
            refusal("{1/1/percnt-left}")
        );
        assert!(refusal("{3/1/left}").contains("names part 3, and the claim has 2"));
        assert!(
            refusal("{1/0/left}").contains("both counted from 1")
                && refusal("{left}").contains("both counted from 1")
        );
    }
}
