//! A made-up experiment, complete with tables and verdicts, for the tests of this crate. Its numbers are invented:
//! they look like what the real experiment could yield, and stand for nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use record::cell::Outcome;
use record::claims::{Claim, Register, TaughtRow, TaughtTable};
use record::definition::{Definition, InformedBy, Prediction};
use record::provenance::Provenance;
use record::table::{CurveTableRow, RunRow, TimingRow, write_curves, write_runs, write_timing};
use record::verdict::{ClaimVerdict, ControlOutcome, Ending, PartVerdict, Regime, RegimeDecision, Verdicts};
use tempfile::TempDir;

use crate::tables::{COMMON_RATE, EVALUATION, FLOOR, TUNING, Tables};
use crate::{Mode, ReportError, experiment_report};

const LADDER: [u32; 7] = [2, 5, 10, 20, 50, 100, 200];
const RATES: [f64; 5] = [0.0003, 0.001, 0.003, 0.01, 0.03];

/// A folder with the results of the made-up experiment and what they belong to.
pub(crate) struct World {
    pub(crate) home: TempDir,
    pub(crate) results: PathBuf,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) register: Register,
}

impl World {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let results = home.path().join("results");
        let definition = definition();
        let folder = results.join(&definition.name);
        write_tables(&folder);
        verdicts(&definition).write(&folder.join("verdicts.json")).unwrap();
        provenance(&definition).write(&folder.join("provenance.json")).unwrap();
        Self { home, results, definitions: vec![definition], register: register() }
    }

    pub(crate) fn definition(&self) -> &Definition {
        &self.definitions[0]
    }

    /// The results folder of the experiment.
    pub(crate) fn folder(&self) -> PathBuf {
        self.results.join(&self.definition().name)
    }

    pub(crate) fn tables(&self) -> Tables {
        Tables::new(analysis::Tables::read(&self.folder()).unwrap(), &self.folder()).unwrap()
    }

    /// Writes the card and the figures.
    pub(crate) fn report(&self, mode: &Mode) -> Result<Vec<PathBuf>, ReportError> {
        let tables = analysis::Tables::read(&self.folder()).unwrap();
        experiment_report(self.definition(), &self.register, &self.folder(), tables, mode)
    }
}

pub(crate) fn definition() -> Definition {
    Definition::parse(Path::new("experiments/lstm-vs-transformer.toml"), DEFINITION).unwrap()
}

pub(crate) fn register() -> Register {
    let claim = |id: &str, theme: &str, claim: &str, question: &str| Claim {
        id: id.into(),
        theme: theme.into(),
        priority: 1,
        claim: claim.into(),
        question: question.into(),
    };
    let (gradients, range, cost) = (
        "T1 Vanishing and exploding gradients",
        "T2 Long-range dependencies",
        "T4 Quadratic attention cost, speed and parallelism",
    );
    Register {
        claims: vec![
            claim(
                "vanishing-causes-forgetting",
                gradients,
                "The reason RNN/LSTM fail on long sequences is the vanishing gradient.",
                "Why do recurrent networks forget?",
            ),
            claim(
                "rnn-forgets-start",
                range,
                "By the end of a long sequence an RNN has lost the first tokens.",
                "What goes wrong when an RNN reads a long text?",
            ),
            claim(
                "lstm-cannot-long-range",
                range,
                "LSTMs are unable to capture long-range dependencies.",
                "Why were LSTMs replaced?",
            ),
            claim(
                "associative-recall-needs-attention",
                range,
                "Matching a query to its key is what attention is for; recurrent state models struggle.",
                "What can attention do that a recurrent state cannot?",
            ),
            claim(
                "lstm-vs-transformer-equal-budget",
                range,
                "Transformers perform better than LSTMs/GRUs.",
                "Would you still use an LSTM?",
            ),
            claim(
                "transformer-trains-faster",
                cost,
                "Transformers train faster than RNN/LSTM because they process all positions in parallel.",
                "Why are Transformers faster to train?",
            ),
        ],
        tables: vec![TaughtTable {
            title: "Recurrence against attention".into(),
            columns: ["LSTM".into(), "Transformer".into()],
            rows: vec![TaughtRow {
                name: "Long range".into(),
                says: ["forgets".into(), "remembers".into()],
                claims: vec!["lstm-cannot-long-range".into(), "associative-recall-needs-attention".into()],
            }],
        }],
    }
}

/// Verdicts as the tables below would roughly give them.
pub(crate) fn verdicts(definition: &Definition) -> Verdicts {
    use RegimeDecision::{Equivalent, Inconclusive, Reversed, Supported, TooSmall};

    struct Numbers<'a>(&'a str, &'a str, &'a str, [f64; 5], [f64; 3], usize, RegimeDecision, bool);
    let regime = |numbers: Numbers| {
        let Numbers(
            name,
            model,
            against,
            [effect, low, high, decision_low, decision_high],
            rest,
            units,
            decision,
            fragile,
        ) = numbers;
        let [left, right, smallest_detectable] = rest;
        Regime {
            name: name.into(),
            model: model.into(),
            against: against.into(),
            effect,
            low,
            high,
            decision_low,
            decision_high,
            smallest_detectable,
            units,
            decision,
            fragile,
            left,
            right,
            times: 1.0,
        }
    };
    let part =
        |claim: usize, index: usize, unit: &str, margin: &str, ending, note: &str, regimes: Vec<Numbers>| {
            PartVerdict {
                name: definition.claims[claim].parts[index].name().to_owned(),
                unit: unit.into(),
                margin: margin.into(),
                ending,
                note: note.into(),
                regimes: regimes.into_iter().map(regime).collect(),
            }
        };
    let window = ControlOutcome {
        name: "window-shorter-than-lag".into(),
        holds: true,
        detail: "transformer-window at lag=50: accuracy 0.1262 within 0.1250 ± 0.0109".into(),
    };
    let short = ControlOutcome {
        name: "everybody-solves-lag-2".into(),
        holds: true,
        detail: "lstm at lag=2: 10 of 10 seeds solve it".into(),
    };
    let (solve, faster) = ("fraction of seeds that solve the task", "times faster a training step");
    let claim = |index: usize, ending, because: &str, answer: &str, parts, controls| {
        let rule = &definition.claims[index];
        ClaimVerdict {
            id: rule.id.clone(),
            version: rule.version,
            rule_digest: rule.digest(),
            ending,
            because: because.into(),
            answer: answer.into(),
            prediction: rule.prediction,
            informed_by: rule.informed_by,
            partly_judged: !rule.differs_from_ledger.is_empty(),
            parts,
            controls,
        }
    };
    let claims = vec![
        claim(
            0,
            Ending::Supported,
            "holds in every regime: few seeds of a plain RNN recall the cue; a Transformer recalls it",
            "At lag 200 none of 10 plain RNNs recalls the first cue (95% interval 0% to 28%); 10 of 10 Transformers do.",
            vec![
                part(
                    0,
                    0,
                    solve,
                    "below 80%, best of the models",
                    Ending::Supported,
                    "",
                    vec![
                        Numbers(
                            "lag=50",
                            "rnn-identity",
                            "0.8",
                            [0.1, 0.018, 0.404, 0.0003, 0.566],
                            [0.1, 0.8, 0.4],
                            10,
                            Supported,
                            false,
                        ),
                        Numbers(
                            "lag=200",
                            "rnn",
                            "0.8",
                            [0.0, 0.0, 0.278, 0.0, 0.43],
                            [0.0, 0.8, 0.4],
                            10,
                            Supported,
                            false,
                        ),
                    ],
                ),
                part(
                    0,
                    1,
                    solve,
                    "above 50%",
                    Ending::Supported,
                    "",
                    vec![Numbers(
                        "lag=200",
                        "transformer",
                        "0.5",
                        [1.0, 0.722, 1.0, 0.588, 1.0],
                        [1.0, 0.5, 0.5],
                        10,
                        Supported,
                        false,
                    )],
                ),
            ],
            vec![short.clone(), window.clone()],
        ),
        claim(
            1,
            Ending::Refuted,
            "fails in every regime: no honestly initialised LSTM recalls the cue",
            "Given its time scale at initialisation (chrono), an LSTM of 10,000 parameters recalls a cue over lag 100 in 100% of 10 seeds (95% interval 72% to 100%).",
            vec![part(
                1,
                0,
                solve,
                "below 50%, best of the models",
                Ending::Refuted,
                "",
                vec![
                    Numbers(
                        "lag=50",
                        "lstm-chrono-2x",
                        "0.5",
                        [1.0, 0.722, 1.0, 0.557, 1.0],
                        [1.0, 0.5, 0.5],
                        10,
                        Reversed,
                        false,
                    ),
                    Numbers(
                        "lag=100",
                        "lstm-chrono-2x",
                        "0.5",
                        [1.0, 0.722, 1.0, 0.557, 1.0],
                        [1.0, 0.5, 0.5],
                        10,
                        Reversed,
                        false,
                    ),
                ],
            )],
            vec![short.clone(), window],
        ),
        claim(
            2,
            Ending::Qualified,
            "holds: two layers of attention recall more pairs than any recurrent net. fails: the gap is there at 4 pairs already",
            "With 16 pairs the Transformer recalls 94.0% and the best recurrent net 31.1%; with 4 pairs the gap is 0.25.",
            vec![
                part(
                    2,
                    0,
                    "difference in accuracy",
                    "above 0.1",
                    Ending::Supported,
                    "",
                    vec![
                        Numbers(
                            "pairs=4",
                            "transformer",
                            "lstm",
                            [0.249, 0.231, 0.267, 0.221, 0.277],
                            [0.998, 0.749, 0.03],
                            8,
                            Supported,
                            false,
                        ),
                        Numbers(
                            "pairs=16",
                            "transformer",
                            "lstm",
                            [0.629, 0.610, 0.648, 0.601, 0.657],
                            [0.940, 0.311, 0.03],
                            8,
                            Supported,
                            false,
                        ),
                    ],
                ),
                part(
                    2,
                    1,
                    "difference in accuracy",
                    "below -0.3",
                    Ending::Qualified,
                    "holds at pairs=16, fails at pairs=4",
                    vec![
                        Numbers(
                            "pairs=4",
                            "lstm",
                            "transformer",
                            [-0.249, -0.267, -0.231, -0.277, -0.221],
                            [0.749, 0.998, 0.03],
                            8,
                            TooSmall,
                            true,
                        ),
                        Numbers(
                            "pairs=16",
                            "lstm",
                            "transformer",
                            [-0.629, -0.648, -0.610, -0.657, -0.601],
                            [0.311, 0.940, 0.03],
                            8,
                            Supported,
                            false,
                        ),
                    ],
                ),
            ],
            vec![],
        ),
        claim(
            3,
            Ending::Inconclusive,
            "undecided: lower loss on text at equal budgets (characters=1000000 budget=seconds: depends on the implementation: our step times and PyTorch's decide differently)",
            "On Shakespeare at 1,000,000 characters and equal updates the Transformer's loss is 0.05 nats above the LSTM's (95% interval 0.04 to 0.06).",
            vec![part(
                3,
                0,
                "difference in cross-entropy",
                "below -0.02",
                Ending::Inconclusive,
                "decided only for characters=50000 budget=updates, characters=1000000 budget=updates; characters=1000000 budget=seconds: depends on the implementation: our step times and PyTorch's decide differently",
                vec![
                    Numbers(
                        "characters=50000 budget=updates",
                        "transformer",
                        "gru",
                        [0.008, -0.008, 0.024, -0.016, 0.032],
                        [2.118, 2.110, 0.03],
                        8,
                        Equivalent,
                        true,
                    ),
                    Numbers(
                        "characters=1000000 budget=updates",
                        "transformer",
                        "lstm",
                        [0.052, 0.041, 0.063, 0.036, 0.068],
                        [1.894, 1.842, 0.02],
                        8,
                        Reversed,
                        false,
                    ),
                    Numbers(
                        "characters=1000000 budget=seconds",
                        "transformer",
                        "lstm",
                        [-0.030, -0.049, -0.011, -0.059, -0.001],
                        [1.92, 1.95, 0.03],
                        8,
                        Inconclusive,
                        true,
                    ),
                ],
            )],
            vec![],
        ),
        claim(
            4,
            Ending::NotJudged,
            "14 clean repeats, 15 are needed",
            "",
            vec![part(
                4,
                0,
                faster,
                "above 1.00",
                Ending::NotJudged,
                "14 clean repeats, 15 are needed",
                vec![],
            )],
            vec![],
        ),
    ];
    assert_eq!(
        (definition.claims[3].prediction, definition.claims[3].informed_by),
        (Prediction::Qualified, InformedBy::Pilot)
    );
    Verdicts {
        experiment: definition.name.clone(),
        version: definition.version,
        level: 0.99,
        claims,
        controls: Vec::new(),
    }
}

pub(crate) fn provenance(definition: &Definition) -> Provenance {
    let rates =
        |rates: &[(&str, f64)]| rates.iter().map(|(model, rate)| ((*model).to_owned(), *rate)).collect();
    Provenance {
        experiment: definition.name.clone(),
        version: definition.version,
        revision: "4f0c2d1e9b8a7766554433221100ffeeddccbbaa".into(),
        revisions: BTreeMap::from([
            ("0123456789abcdef0123456789abcdef01234567".into(), 300),
            ("4f0c2d1e9b8a7766554433221100ffeeddccbbaa".into(), 12),
        ]),
        dirty: false,
        definition: definition.digest.clone(),
        rules: definition.claims.iter().map(|rule| (rule.id.clone(), rule.digest())).collect(),
        runs: "00".repeat(32),
        corpora: BTreeMap::from([("tiny-shakespeare".into(), "ab".repeat(32))]),
        left_out: BTreeMap::from([(
            "names".into(),
            "corpus `names` is not here; `seqlab data fetch names` downloads it (228 kB)".into(),
        )]),
        cells: BTreeMap::from([("ok".into(), 311), ("failed".into(), 1)]),
        core_seconds: 2287.4,
        processor: "Example CPU 3.0 GHz".into(),
        caches: "L1 32 KiB, L2 1 MiB, L3 32 MiB".into(),
        instruction_set: "avx512".into(),
        device: "flex".into(),
        seqlab: "0.1.0".into(),
        rates: BTreeMap::from([
            (
                "pairs".into(),
                rates(&[
                    ("transformer", 0.003),
                    ("lstm", 0.01),
                    ("gru", 0.01),
                    ("transformer-1-layer", 0.001),
                ]),
            ),
            ("language".into(), rates(&[("transformer", 0.001), ("lstm", 0.003), ("gru", 0.003)])),
        ]),
        failures: BTreeMap::from([(
            "0123456789abcdef0123456789abcdef".into(),
            "the worker was killed: out of memory".into(),
        )]),
    }
}

/// A number in -1..1 that depends on its arguments and nothing else.
fn wobble(a: u64, b: u64) -> f64 {
    let mixed = (a.wrapping_mul(2_654_435_761) ^ b.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 7;
    (mixed % 2001) as f64 / 1000.0 - 1.0
}

struct Rows(Vec<RunRow>);

impl Rows {
    fn push(
        &mut self,
        at: (&str, &str, &str),
        phase: &str,
        rate: f64,
        seed: u64,
        split: &str,
        metric: &str,
        outcome: Outcome,
        value: f64,
        count: u64,
    ) {
        let (task, model, setting) = at;
        // A staircase is one cell, every other setting is its own.
        let place = if task == "recall" { "" } else { setting };
        self.0.push(RunRow {
            cell: format!("{task} {model} {place} {phase} {seed} {rate}"),
            task: task.into(),
            setting: setting.into(),
            model: model.into(),
            rate,
            phase: phase.into(),
            seed,
            split: split.into(),
            metric: metric.into(),
            outcome,
            value,
            count,
        });
    }

    fn score(&mut self, at: (&str, &str, &str), seed: u64, split: &str, metric: &str, value: f64) {
        self.push(at, EVALUATION, 0.003, seed, split, metric, Outcome::Ok, value, 1000);
    }

    fn floor(&mut self, task: &str, name: &str, setting: &str, metric: &str, value: f64) {
        self.push((task, name, setting), FLOOR, f64::NAN, 0, "test", metric, Outcome::Ok, value, 0);
    }

    fn size(&mut self, at: (&str, &str, &str), seed: u64, parameters: f64, updates: f64, adds: f64) {
        for (metric, value) in [
            ("updates", updates),
            ("multiply-adds", adds),
            ("body-parameters", parameters),
            ("total-parameters", parameters + 1100.0),
        ] {
            self.push(at, EVALUATION, 0.003, seed, "fit", metric, Outcome::Ok, value, 0);
        }
    }
}

fn write_tables(folder: &Path) {
    let mut rows = Rows(Vec::new());
    recall(&mut rows);
    pairs(&mut rows);
    parity(&mut rows);
    let (curves, seconds) = language(&mut rows);
    write_runs(&folder.join("runs.csv"), &rows.0).unwrap();
    write_runs(&folder.join("seconds.csv"), &seconds.0).unwrap();
    write_curves(&folder.join("curves.csv"), &curves).unwrap();
    write_timing(&folder.join("timing.csv"), &timing(&rows)).unwrap();
}

/// A staircase: lags until two in a row fail.
fn recall(rows: &mut Rows) {
    let longest: [(&str, &[u32]); 11] = [
        ("rnn", &[5, 10, 10, 5, 2]),
        ("rnn-orthogonal", &[10, 10, 20, 10, 0]),
        ("rnn-identity", &[20, 50, 20, 20, 20, 20, 20]),
        ("lstm-careless", &[10, 20, 10, 10, 20]),
        ("lstm", &[20, 50, 50, 20, 20]),
        ("lstm-chrono-2x", &[100, 200, 100, 200, 200]),
        ("lstm-chrono-10x", &[100, 50, 100, 100, 200]),
        ("gru", &[20, 20, 50, 20, 10]),
        ("transformer", &[200]),
        ("transformer-alibi", &[200, 200, 200, 100]),
        ("transformer-window", &[10]),
    ];
    for (index, (model, reached)) in (0_u64..).zip(longest) {
        for seed in 1000..1010_u64 {
            let longest = reached[usize::try_from(seed + index).unwrap() % reached.len()];
            let mut failures = 0;
            for lag in LADDER {
                let setting = format!("lag={lag}");
                let at = ("recall", model, setting.as_str());
                let noise = wobble(seed * 31 + u64::from(lag), index);
                let scores = if lag <= longest {
                    let updates = 100.0 + 50.0 * (f64::from(lag).sqrt() + 2.0 * (noise + 1.0)).round();
                    (Outcome::Ok, 1.0, 0.985 + 0.012 * noise, updates)
                } else if failures < 2 {
                    failures += 1;
                    (Outcome::NotSolved, 0.0, 0.14 + 0.02 * noise, 1500.0)
                } else {
                    (Outcome::NotAttempted, f64::NAN, f64::NAN, f64::NAN)
                };
                // One arm is given more updates where it first fails.
                if model == "lstm" && scores.0 == Outcome::NotSolved && failures == 1 {
                    let outcome = if noise > 0.0 { Outcome::Ok } else { Outcome::NotSolved };
                    let solved = f64::from(u8::from(outcome == Outcome::Ok));
                    rows.push(at, EVALUATION, f64::NAN, seed, "test", "solved-extended", outcome, solved, 1);
                }
                let (outcome, solved, accuracy, updates) = scores;
                for (metric, value, count) in
                    [("solved", solved, 1), ("accuracy", accuracy, 1000), ("updates-to-solve", updates, 0)]
                {
                    rows.push(at, EVALUATION, f64::NAN, seed, "test", metric, outcome, value, count);
                }
            }
            let at = ("recall", model, "");
            rows.push(at, EVALUATION, f64::NAN, seed, "fit", "longest", Outcome::Ok, f64::from(longest), 0);
            rows.push(
                at,
                EVALUATION,
                f64::NAN,
                seed,
                "fit",
                "updates",
                Outcome::Ok,
                900.0 + f64::from(longest),
                0,
            );
            rows.push(
                at,
                EVALUATION,
                f64::NAN,
                seed,
                "fit",
                "multiply-adds",
                Outcome::Ok,
                4.1e9 + 1e7 * f64::from(longest),
                0,
            );
            rows.push(
                at,
                EVALUATION,
                f64::NAN,
                seed,
                "fit",
                "body-parameters",
                Outcome::Ok,
                9_950.0 + 10.0 * index as f64,
                0,
            );
            rows.push(
                at,
                EVALUATION,
                f64::NAN,
                seed,
                "fit",
                "total-parameters",
                Outcome::Ok,
                10_900.0 + 10.0 * index as f64,
                0,
            );
        }
    }
    rows.floor("recall", "chance", "", "accuracy", 0.125);
}

fn pairs(rows: &mut Rows) {
    let accuracies = [
        ("lstm", 0.01, [0.75, 0.50, 0.31]),
        ("gru", 0.01, [0.61, 0.41, 0.26]),
        ("transformer", 0.003, [0.998, 0.985, 0.94]),
        ("transformer-1-layer", 0.001, [0.27, 0.13, 0.064]),
    ];
    for (index, (model, tuned, by_pairs)) in (0_u64..).zip(accuracies) {
        for (pairs, accuracy) in [4_u32, 8, 16].into_iter().zip(by_pairs) {
            let setting = format!("pairs={pairs}");
            let at = ("pairs", model, setting.as_str());
            for seed in 1000..1008 {
                let noise = wobble(seed + 7 * u64::from(pairs), index);
                let accuracy = (accuracy + 0.02 * noise).min(1.0);
                // One run diverged.
                if (model, pairs, seed) == ("gru", 16, 1003) {
                    rows.push(
                        at,
                        EVALUATION,
                        tuned,
                        seed,
                        "test",
                        "accuracy",
                        Outcome::Diverged,
                        f64::NAN,
                        0,
                    );
                    continue;
                }
                rows.push(at, EVALUATION, tuned, seed, "test", "accuracy", Outcome::Ok, accuracy, 1000);
                rows.push(
                    at,
                    EVALUATION,
                    tuned,
                    seed,
                    "test",
                    "cross-entropy",
                    Outcome::Ok,
                    2.7 * (1.0 - accuracy),
                    1000,
                );
                rows.push(at, EVALUATION, tuned, seed, "validation", "accuracy", Outcome::Ok, accuracy, 500);
                rows.push(
                    at,
                    COMMON_RATE,
                    0.003,
                    seed,
                    "test",
                    "accuracy",
                    Outcome::Ok,
                    accuracy - 0.03,
                    1000,
                );
                rows.size(at, seed, 10_010.0 - 7.0 * index as f64, 3000.0, 2.4e10);
            }
        }
        for rate in RATES {
            for seed in 1900..1902 {
                let distance = (rate / tuned).ln().abs();
                let (outcome, value) = if distance > 3.0 {
                    (Outcome::Diverged, f64::NAN)
                } else {
                    (Outcome::Ok, by_pairs[1] / (1.0 + 0.3 * distance) + 0.005 * wobble(seed, index))
                };
                rows.push(
                    ("pairs", model, "pairs=8"),
                    TUNING,
                    rate,
                    seed,
                    "validation",
                    "accuracy",
                    outcome,
                    value,
                    500,
                );
            }
        }
    }
    for pairs in [4_u32, 8, 16] {
        let setting = format!("pairs={pairs}");
        rows.floor("pairs", "shown-values", &setting, "accuracy", 1.0 / f64::from(pairs));
        rows.floor("pairs", "chance", &setting, "accuracy", 0.0625);
        rows.floor("pairs", "chance", &setting, "cross-entropy", 16_f64.ln());
    }
}

fn parity(rows: &mut Rows) {
    let models = [
        ("lstm", [1.0, 1.0, 0.999, 0.998]),
        ("gru", [1.0, 1.0, 1.0, 0.96]),
        ("transformer", [0.72, 0.51, 0.50, 0.50]),
        ("transformer-alibi", [0.66, 0.502, 0.499, 0.501]),
    ];
    for (index, (model, accuracies)) in (0_u64..).zip(models) {
        for seed in 1000..1008 {
            let at = ("parity", model, "");
            for (length, accuracy) in [24_u64, 48, 96, 192].into_iter().zip(accuracies) {
                let split = format!("test@{length}");
                let spread = if accuracy < 0.99 { 0.02 } else { 0.001 };
                let value = f64::min(accuracy + spread * wobble(seed * 13 + length, index), 1.0);
                rows.score(at, seed, &split, "accuracy", value);
                rows.score(at, seed, &split, "accuracy-all", f64::midpoint(value, 0.9));
            }
            rows.size(at, seed, 10_000.0, 1500.0, 1.1e10);
        }
    }
    rows.floor("parity", "chance", "", "accuracy", 0.5);
    rows.floor("parity", "chance", "", "accuracy-all", 0.5);
}

/// Curves, and scores at equal seconds, beside the rows.
fn language(rows: &mut Rows) -> (Vec<CurveTableRow>, Rows) {
    let models = [
        ("lstm", 8, [2.131, 1.842], 0.6),
        ("gru", 8, [2.110, 1.861], 0.62),
        ("transformer", 8, [2.118, 1.894], 0.8),
        ("6-gram", 1, [2.05, 1.561], 0.0),
    ];
    let (mut curves, mut seconds) = (Vec::new(), Rows(Vec::new()));
    for (index, (model, seeds, losses, speed)) in (0_u64..).zip(models) {
        for (characters, loss) in [50_000_u64, 1_000_000].into_iter().zip(losses) {
            let setting = format!("characters={characters}");
            let at = ("language", model, setting.as_str());
            for seed in 1000..1000 + seeds {
                let loss = loss + 0.012 * wobble(seed + characters, index);
                for block in 0..4 {
                    let split = format!("test-block@{block:02}");
                    let value = loss + 0.05 * (f64::from(block) - 1.5);
                    rows.score(at, seed, &split, "cross-entropy", value);
                }
                if seeds == 1 {
                    continue;
                }
                rows.score(at, seed, "test", "cross-entropy@multiply-adds", loss + 0.03);
                seconds.score(at, seed, "test", "cross-entropy@seconds", loss + 0.06 * speed);
                rows.size(at, seed, 30_020.0 - 11.0 * index as f64, 1000.0, 3.3e10);
                let last = if index == 0 && seed == 1002 { 400 } else { 1000 };
                for updates in [0, 10, 20, 40, 70, 100, 150, 200, 300, 400, 500, 600, 700, 800, 900, 1000] {
                    if updates > last {
                        break;
                    }
                    let fall = (-(updates as f64) / (120.0 + 200.0 * speed)).exp();
                    let noise = 0.02 * wobble(seed + updates, index);
                    curves.push(CurveTableRow {
                        cell: format!("{model} {characters} {seed}"),
                        task: "language".into(),
                        setting: setting.clone(),
                        model: model.into(),
                        seed,
                        updates,
                        multiply_adds: updates * 33_000_000,
                        training_loss: if updates == 0 { f64::NAN } else { loss + 2.2 * fall - 0.05 },
                        validation: loss + 2.3 * fall + noise,
                    });
                }
            }
            rows.floor("language", "unigram", &setting, "cross-entropy", 3.318);
            rows.floor("language", "uniform", &setting, "cross-entropy", 65_f64.ln());
        }
        if seeds > 1 {
            for rate in RATES {
                for seed in 1900..1902 {
                    let value = losses[1] + 0.1 * (rate / 0.003).ln().abs();
                    let at = ("language", model, "characters=1000000");
                    rows.push(at, TUNING, rate, seed, "validation", "cross-entropy", Outcome::Ok, value, 100);
                }
            }
        }
    }
    (curves, seconds)
}

fn timing(rows: &Rows) -> Vec<TimingRow> {
    let mut timing = Vec::new();
    let mut cells: Vec<&RunRow> = rows.0.iter().filter(|row| row.metric == "updates").collect();
    cells.dedup_by(|a, b| a.cell == b.cell);
    for row in cells {
        for (metric, value) in [("processor-seconds", row.value / 150.0), ("peak-bytes", 3.1e7)] {
            timing.push(TimingRow {
                cell: row.cell.clone(),
                task: row.task.clone(),
                setting: String::new(),
                model: row.model.clone(),
                seed: row.seed,
                metric: metric.into(),
                repeat: 0,
                value,
            });
        }
    }
    for (model, milliseconds) in [("lstm", 2.0), ("transformer", 3.0)] {
        for (time, factor) in [(64, 1.0), (256, 4.6)] {
            for repeat in 0..14 {
                timing.push(TimingRow {
                    cell: format!("steps {model} {time}"),
                    task: "steps".into(),
                    setting: format!("time={time}"),
                    model: model.into(),
                    seed: repeat,
                    metric: "step-seconds".into(),
                    repeat,
                    value: factor * milliseconds * (1.0 + 0.03 * wobble(repeat, time)) / 1000.0,
                });
            }
        }
    }
    timing
}

const DEFINITION: &str = include_str!("../fixtures/lstm-vs-transformer.toml");
