//! Whole definitions judged from small tables written by hand.

use std::path::Path;

use record::cell::Outcome;
use record::definition::Definition;
use record::pytorch::PytorchStep;
use record::table::{RunRow, TimingRow};
use record::verdict::{ClaimVerdict, Ending, RegimeDecision};

use crate::{Tables, judge_tables};

const HEAD: &str = r#"
title = "t"
question = "q"
why = "w"
version = 1
seeds = 10
budget = { core-seconds = 10 }
width = 8
tuning = { rates = [0.001], seeds = 2, common-rate = 0.001 }
[[task]]
name = "recall"
version = 1
measure = { kind = "train" }
batch = 4
[[model]]
name = "a"
tasks = ["recall"]
[[model]]
name = "b"
tasks = ["recall"]
"#;

const CLAIM: &str = r#"
[[claim]]
id = "c"
version = 1
rule = "r"
prediction = "supported"
informed-by = "none"
answer = "{1/1/percent} at {1/1/regime}, {1/9/left}"
"#;

fn judged(rest: &str, tables: &Tables) -> ClaimVerdict {
    let text = format!("{HEAD}{rest}");
    let definition = Definition::parse(Path::new("test.toml"), &text).unwrap();
    judge_tables(&definition, tables).claims.remove(0)
}

fn row(model: &str, setting: &str, seed: u64, split: &str, metric: &str, value: f64) -> RunRow {
    RunRow {
        cell: "0".into(),
        task: "recall".into(),
        setting: setting.into(),
        model: model.into(),
        rate: 0.001,
        phase: "evaluation".into(),
        seed,
        split: split.into(),
        metric: metric.into(),
        outcome: Outcome::Ok,
        value,
        count: 1000,
    }
}

/// `solved` of ten seeds at one lag, the first `wins` of which solve it.
fn solved(model: &str, lag: u32, wins: u64) -> Vec<RunRow> {
    let value = |seed| if seed < wins { 1.0 } else { 0.0 };
    (0..10).map(|seed| row(model, &format!("lag={lag}"), seed, "test", "solved", value(seed))).collect()
}

fn runs(rows: &[Vec<RunRow>]) -> Tables {
    Tables { runs: rows.concat().into_iter().collect(), ..Tables::default() }
}

const SOLVE: &str = r#"
[[claim.part]]
kind = "solve-rate"
name = "solves it"
task = "recall"
models = ["a"]
at = { lag = [10, 100] }
side = "above"
rate = 0.5
"#;

#[test]
fn all_seeds_support_and_none_refute() {
    let part = format!("{CLAIM}{SOLVE}");
    let verdict = judged(&part, &runs(&[solved("a", 10, 10), solved("a", 100, 10)]));
    assert_eq!(verdict.ending, Ending::Supported);
    assert_eq!(verdict.answer, "100% at lag=10, {1/9/left}");
    let verdict = judged(&part, &runs(&[solved("a", 10, 0), solved("a", 100, 0)]));
    assert_eq!(verdict.ending, Ending::Refuted);
}

#[test]
fn a_turn_between_regimes_qualifies_and_names_the_bracket() {
    let verdict = judged(&format!("{CLAIM}{SOLVE}"), &runs(&[solved("a", 10, 10), solved("a", 100, 0)]));
    assert_eq!(verdict.ending, Ending::Qualified);
    assert!(verdict.parts[0].note.contains("holds at lag=10, fails at lag=100"), "{}", verdict.parts[0].note);
}

#[test]
fn seven_of_ten_decide_nothing() {
    // Clopper-Pearson for 7 of 10 at 95%: 0.348 to 0.933.
    let verdict = judged(&format!("{CLAIM}{SOLVE}"), &runs(&[solved("a", 10, 10), solved("a", 100, 7)]));
    assert_eq!(verdict.ending, Ending::Inconclusive);
    assert_eq!(verdict.parts[0].regimes[1].decision, RegimeDecision::Inconclusive);
}

#[test]
fn missing_rows_are_not_judged_rather_than_refuted() {
    let verdict = judged(&format!("{CLAIM}{SOLVE}"), &runs(&[solved("a", 10, 10)]));
    assert_eq!(verdict.ending, Ending::NotJudged);
    assert!(verdict.because.contains("lag=100"), "{}", verdict.because);
}

#[test]
fn a_failed_control_voids_the_claim() {
    let control = |floor: f64| {
        let claim = CLAIM.replace("version = 1", "version = 1\ncontrols = [\"cue hidden\"]");
        format!(
            "[[control]]\nname = \"cue hidden\"\nkind = \"negative\"\ntask = \"recall\"\nmodels = [\"b\"]\n\
             at = {{ lag = [10] }}\nfloor = {floor}\n{claim}{SOLVE}"
        )
    };
    let accuracy = (0..10).map(|seed| row("b", "lag=10", seed, "test", "accuracy", 0.125)).collect();
    let tables = runs(&[solved("a", 10, 10), solved("a", 100, 10), accuracy]);
    assert_eq!(judged(&control(0.125), &tables).ending, Ending::Supported);
    // The band of 10,000 answers around 0.14 is 0.0114 wide on each side.
    let verdict = judged(&control(0.14), &tables);
    assert_eq!(verdict.ending, Ending::Void);
    assert!(verdict.because.contains("OUTSIDE"), "{}", verdict.because);
}

#[test]
fn a_control_holds_on_its_side_of_the_floor_on_every_seed_or_not_at_all() {
    let control = |kind: &str, floor: f64| {
        format!(
            "[[control]]\nname = \"premise\"\nkind = \"{kind}\"\ntask = \"recall\"\nmodels = [\"b\"]\nmetric = \"share\"\n\
             floor = {floor:?}\n{}{SOLVE}",
            CLAIM.replace("answer", "controls = [\"premise\"]\nanswer")
        )
    };
    let shares: Vec<RunRow> = (0..10)
        .map(|seed| row("b", "lag=10", seed, "test", "share", if seed == 7 { -0.9 } else { -0.1 }))
        .collect();
    let tables = runs(&[solved("a", 10, 10), solved("a", 100, 10), shares]);
    let held = judged(&control("above", -1.0), &tables);
    assert_eq!(held.ending, Ending::Supported);
    assert_eq!(held.controls[0].detail, "b: share -0.9000 or more on 10 seeds, above -1");
    // The seventh seed lies below, and what has no rows holds nothing.
    assert_eq!(judged(&control("above", -0.5), &tables).ending, Ending::Void);
    let nothing = control("above", -1.0).replace("metric = \"share\"", "metric = \"other\"");
    assert_eq!(judged(&nothing, &tables).ending, Ending::Void);
    let held = judged(&control("below", 0.0), &tables);
    assert_eq!(held.ending, Ending::Supported);
    assert_eq!(held.controls[0].detail, "b: share -0.1000 or less on 10 seeds, below 0");
    assert_eq!(judged(&control("below", -0.5), &tables).ending, Ending::Void);
}

#[test]
fn a_control_that_no_claim_leans_on_is_checked_all_the_same() {
    let control = "[[control]]\nname = \"solves the easy lag\"\nkind = \"positive\"\ntask = \"recall\"\nmodels = [\"a\"]\n\
                   at = { lag = [10] }\n";
    let definition = |claim| Definition::parse(Path::new("test.toml"), &format!("{HEAD}{control}{claim}"));
    let tables = runs(&[solved("a", 10, 9), solved("a", 100, 10)]);
    let verdicts = judge_tables(&definition(String::new()).unwrap(), &tables);
    assert!(!verdicts.controls[0].holds);
    let leaning = CLAIM.replace("version = 1", "version = 1\ncontrols = [\"solves the easy lag\"]");
    let verdicts = judge_tables(&definition(format!("{leaning}{SOLVE}")).unwrap(), &tables);
    assert_eq!((verdicts.controls.len(), verdicts.claims[0].controls.len()), (0, 1));
}

#[test]
fn a_positive_control_that_one_seed_does_not_solve_voids_the_claim() {
    let claim = CLAIM.replace("version = 1", "version = 1\ncontrols = [\"solves the easy lag\"]");
    let text = format!(
        "[[control]]\nname = \"solves the easy lag\"\nkind = \"positive\"\ntask = \"recall\"\nmodels = [\"a\", \"b\"]\n\
         at = {{ lag = [10] }}\n{claim}{SOLVE}"
    );
    let with = |wins| runs(&[solved("a", 10, 10), solved("a", 100, 10), solved("b", 10, wins)]);
    let held = judged(&text, &with(10));
    assert_eq!(held.ending, Ending::Supported);
    assert_eq!(held.controls[0].detail, "a, b at lag=10: 10 of 10 seeds solve it");
    let verdict = judged(&text, &with(9));
    assert_eq!(verdict.ending, Ending::Void);
    assert!(verdict.because.contains("9 of 10 seeds solve it"), "{}", verdict.because);
}

#[test]
fn one_counter_example_refutes_what_says_cannot() {
    let cannot = SOLVE.replace("side = \"above\"", "side = \"below\"");
    let part = |lag: u32| cannot.replace("lag = [10, 100]", &format!("lag = [{lag}]"));
    let text = |kind: &str| {
        let claim = CLAIM.replace("version = 1", &format!("version = 1\nkind = \"{kind}\""));
        format!("{claim}{}{}", part(10), part(100))
    };
    // All ten solve lag 10; seven of ten decide nothing at lag 100.
    let tables = runs(&[solved("a", 10, 10), solved("a", 100, 7)]);
    assert_eq!(judged(&text("exists"), &tables).ending, Ending::Refuted);
    assert_eq!(judged(&text("all"), &tables).ending, Ending::Inconclusive);
    // None solves either; and nothing is decided.
    let ending =
        |wins| judged(&text("exists"), &runs(&[solved("a", 10, wins), solved("a", 100, wins)])).ending;
    assert_eq!((ending(0), ending(7)), (Ending::Supported, Ending::Inconclusive));
}

#[test]
fn a_setting_that_was_not_tried_is_said_to_be_so() {
    let mut untried = solved("a", 100, 0);
    untried[0].outcome = Outcome::NotAttempted;
    let verdict = judged(&format!("{CLAIM}{SOLVE}"), &runs(&[solved("a", 10, 0), untried]));
    assert!(
        verdict.parts[0].note.contains("lag=100: 1 of 10 seeds were not tried"),
        "{}",
        verdict.parts[0].note
    );
}

const DIFFERENCE: &str = r#"
[[claim.part]]
kind = "difference"
name = "a beats b"
task = "recall"
metric = "accuracy"
models = ["a"]
against = ["b"]
side = "above"
margin = 0.1
"#;

/// Accuracies of ten seeds around a mean, spread by a fixed pattern.
fn accuracies(model: &str, mean: f64) -> Vec<RunRow> {
    (0..10).map(|seed| row(model, "", seed, "test", "accuracy", mean + 0.01 * (seed % 3) as f64)).collect()
}

#[test]
fn differences_are_paired_and_oriented() {
    let part = format!("{CLAIM}{DIFFERENCE}");
    let ending = |a: f64, b: f64| {
        let verdict = judged(&part, &runs(&[accuracies("a", a), accuracies("b", b)]));
        (verdict.ending, verdict.parts[0].regimes[0].decision)
    };
    assert_eq!(ending(0.9, 0.5), (Ending::Supported, RegimeDecision::Supported));
    assert_eq!(ending(0.5, 0.5), (Ending::Refuted, RegimeDecision::Equivalent));
    assert_eq!(ending(0.5, 0.9), (Ending::Refuted, RegimeDecision::Reversed));
    assert_eq!(ending(0.6, 0.5), (Ending::Inconclusive, RegimeDecision::Inconclusive));
    let below = part.replace("side = \"above\"", "side = \"below\"");
    let verdict = judged(&below, &runs(&[accuracies("a", 0.5), accuracies("b", 0.9)]));
    assert_eq!(verdict.ending, Ending::Supported);
    assert_eq!(verdict.parts[0].margin, "below -0.100");
}

#[test]
fn the_right_can_be_multiplied_before_it_is_compared() {
    let part = format!("{CLAIM}{DIFFERENCE}").replace("margin = 0.1", "margin = 0.1\ntimes = 3.0");
    let ending = |part: &str, a: f64, b: f64| {
        judged(part, &runs(&[accuracies("a", a), accuracies("b", b)])).parts[0].ending
    };
    // By hand: 0.9 - 3 x 0.2 is 0.3 and 0.9 - 3 x 0.4 is -0.3; the spread of 0.02 is tripled with it.
    assert_eq!((ending(&part, 0.9, 0.2), ending(&part, 0.9, 0.4)), (Ending::Supported, Ending::Refuted));
    let ratio = part.replace("margin = 0.1", "margin = 1.2\nscale = \"ratio\"");
    assert_eq!((ending(&ratio, 0.9, 0.2), ending(&ratio, 0.9, 0.4)), (Ending::Supported, Ending::Refuted));
    let verdict = judged(&ratio, &runs(&[accuracies("a", 0.9), accuracies("b", 0.2)]));
    assert_eq!(verdict.parts[0].unit, "ratio of accuracy to 3.00 times the other");
    // By hand: the ten seeds of b have the mean 0.209, which is shown as it was measured.
    let regime = &verdict.parts[0].regimes[0];
    assert!((regime.right - 0.209).abs() < 1e-9 && regime.times == 3.0);
}

#[test]
fn the_right_may_be_read_elsewhere() {
    let at = |model: &str, lag: u32, value: f64| -> Vec<RunRow> {
        accuracies(model, value)
            .into_iter()
            .map(|row| RunRow { setting: format!("lag={lag}"), ..row })
            .collect()
    };
    let elsewhere = "margin = 0.1\nat = { lag = [10] }\nagainst-at = { lag = 100 }";
    let part = format!("{CLAIM}{DIFFERENCE}")
        .replace("margin = 0.1", elsewhere)
        .replace("against = [\"b\"]", "against = [\"a\"]");
    let verdict = judged(&part, &runs(&[at("a", 10, 0.9), at("a", 100, 0.5)]));
    assert_eq!(
        (verdict.ending, verdict.parts[0].regimes[0].against.as_str()),
        (Ending::Supported, "a at lag=100")
    );
    // Without it a model is compared with itself.
    let same = judged(
        &part.replace("\nagainst-at = { lag = 100 }", ""),
        &runs(&[at("a", 10, 0.9), at("a", 100, 0.5)]),
    );
    assert_eq!(same.ending, Ending::Refuted);
}

#[test]
fn a_negative_margin_claims_that_it_is_not_much_worse() {
    let ending = |from: &str, a: f64, b: f64| {
        let part = format!("{CLAIM}{DIFFERENCE}").replace("margin = 0.1", from);
        judged(&part, &runs(&[accuracies("a", a), accuracies("b", b)])).parts[0].ending
    };
    // By hand: differences of -0.05 and -0.15 on either side of -0.1, and ratios of 0.9 and 0.5 on either side of 1 / 1.5.
    assert_eq!(ending("margin = -0.1", 0.50, 0.55), Ending::Supported);
    assert_eq!(ending("margin = -0.1", 0.50, 0.65), Ending::Refuted);
    let ratio = "margin = 0.6666666666666666\nscale = \"ratio\"";
    assert_eq!((ending(ratio, 0.45, 0.5), ending(ratio, 0.25, 0.5)), (Ending::Supported, Ending::Refuted));
}

#[test]
fn an_identity_holds_on_every_seed_or_not_at_all() {
    let verdict = |tolerance: f64, against: &str| {
        let part = format!(
            "{CLAIM}[[claim.part]]\nkind = \"identity\"\nname = \"a is half of b\"\ntask = \"recall\"\n\
             metric = \"accuracy\"\nmodels = [\"a\"]\n{against}\ntimes = 0.5\ntolerance = {tolerance}\n"
        );
        let exact = |model: &str, value: f64| -> Vec<RunRow> {
            let of_seed = |seed| value + if model == "a" && seed == 7 { 0.001 } else { 0.0 };
            (0..10).map(|seed| row(model, "", seed, "test", "accuracy", of_seed(seed))).collect()
        };
        judged(&part, &runs(&[exact("a", 0.25), exact("b", 0.5)]))
    };
    // One seed of ten is off by 0.001.
    for against in ["against = \"b\"", "constant = 0.5"] {
        assert_eq!(verdict(0.002, against).ending, Ending::Supported);
        let off = verdict(0.0005, against);
        assert_eq!(off.ending, Ending::Refuted);
        let regime = &off.parts[0].regimes[0];
        assert!((regime.effect - 0.001).abs() < 1e-12 && regime.low == 0.0, "{regime:?}");
        assert_eq!(off.parts[0].margin, "within 0.0005");
    }
}

const DISCRIMINATION: &str = r#"
[[claim.part]]
kind = "discrimination"
name = "the margin tells"
task = "recall"
metric = "margin"
models = ["a", "b"]
over = { lag = [10, 20] }
area = 0.9
"#;

/// Sixteen models at two lags, three seeds each: model `k` succeeds if its place is high enough for the lag. At the same lag
/// `margin` is the place; over both it says less, and the lag alone some of it.
fn sixteen_models(margin: impl Fn(u64, u64) -> f64) -> (String, Tables) {
    let names: Vec<String> = (0..16).map(|model| format!("m{model}")).collect();
    let mut rows = Vec::new();
    for (place, name) in (0..).zip(&names) {
        for (lag, enough) in [(10, 4), (20, 12)] {
            let setting = format!("lag={lag}");
            for seed in 0..3 {
                let success = f64::from(u8::from(place >= enough));
                rows.push(row(name, &setting, seed, "test", "solved", success));
                rows.push(row(name, &setting, seed, "test", "margin", margin(place, lag)));
            }
        }
    }
    let models: Vec<String> =
        names.iter().map(|name| format!("[[model]]\nname = \"{name}\"\ntasks = [\"recall\"]\n")).collect();
    let list = format!("[\"{}\"]", names.join("\", \""));
    let part = DISCRIMINATION.replace("[\"a\", \"b\"]", &list);
    (format!("{}{CLAIM}{part}", models.concat()), runs(&[rows]))
}

#[test]
fn a_metric_that_tells_success_is_judged_over_models() {
    let (text, tables) = sixteen_models(|place, lag| place as f64 - lag as f64);
    let verdict = judged(&text, &tables);
    let regime = &verdict.parts[0].regimes[0];
    assert_eq!(
        (verdict.ending, regime.decision, regime.units),
        (Ending::Supported, RegimeDecision::Supported, 16)
    );
    // By hand: successes lie at -6 to 5 and -8 to -5, failures at -10 to -7 and -20 to -9. Of 16 x 16 pairs of models those are
    // wrong or ties in which -8 or -7 or -6 meets what is larger: -8 meets -7 and -8, -7 meets -7.
    assert_eq!(regime.left, (256.0 - 1.0 - 0.5 - 0.5) / 256.0);
    // The lag alone: of 256 pairs 12 x 12 have the shorter lag at the success, 4 x 4 at the failure, and the rest tie.
    assert_eq!((regime.against.as_str(), regime.right), ("lag alone", (144.0 + 0.5 * 96.0) / 256.0));
    assert_eq!(verdict.parts[0].note, "48 of 96 runs of 16 models with `solved`");

    // Taken over both lags a place alone says less; at the same lag it says all.
    let (text, tables) = sixteen_models(|place, _| place as f64);
    assert_ne!(judged(&text, &tables).ending, Ending::Supported);
    let same = judged(&text.replace("area = 0.9", "same = \"lag\"\narea = 0.9"), &tables);
    assert_eq!((same.ending, same.parts[0].regimes[0].left), (Ending::Supported, 1.0));
    assert_eq!(same.parts[0].unit, "area under the ROC curve of margin for solved, at the same lag");

    // A metric that points the other way is refuted, and one that nothing yields leaves the claim unjudged.
    let (text, tables) = sixteen_models(|place, lag| lag as f64 - place as f64);
    assert_eq!(judged(&text, &tables).ending, Ending::Refuted);
    let missing = judged(&text.replace("\"margin\"", "\"nothing\""), &tables);
    assert_eq!(missing.ending, Ending::NotJudged);
    assert!(missing.because.contains("no rows `nothing` and `solved` for m0"), "{}", missing.because);
}

#[test]
fn few_models_do_not_decide_what_tells() {
    let rows = |model: &str| [solved(model, 10, 10), solved(model, 20, 0)].concat();
    let text = format!("{CLAIM}{}", DISCRIMINATION.replace("\"margin\"", "\"solved\""));
    let verdict = judged(&text, &runs(&[rows("a"), rows("b")]));
    assert_eq!(verdict.ending, Ending::NotJudged);
    assert!(verdict.because.contains("at least 12 models, found 2"), "{}", verdict.because);
}

#[test]
fn a_claim_says_why_it_is_not_judged_and_costs_the_others_nothing() {
    let unjudged = CLAIM.replace("id = \"c\"", "id = \"d\"") + "not-judged = \"no grid\"\n";
    let definition = |rest: &str| Definition::parse(Path::new("test.toml"), &format!("{HEAD}{rest}"));
    let both = definition(&format!("{CLAIM}{SOLVE}{unjudged}")).unwrap();
    let verdicts = judge_tables(&both, &runs(&[solved("a", 10, 10), solved("a", 100, 10)]));
    assert_eq!(verdicts.level, 0.95);
    assert_eq!(
        (verdicts.claims[1].ending, verdicts.claims[1].because.as_str()),
        (Ending::NotJudged, "no grid")
    );
    // The twins: a claim with neither, and one with both.
    for wrong in [CLAIM.to_owned(), format!("{CLAIM}not-judged = \"no grid\"\n{SOLVE}")] {
        let message = definition(&wrong).unwrap_err().to_string();
        assert!(message.contains("claim `c`") && message.contains("`not-judged`"), "{message}");
    }
}

#[test]
fn what_is_not_positive_has_no_ratio() {
    let part = format!("{CLAIM}{DIFFERENCE}").replace("margin = 0.1", "margin = 1.2\nscale = \"ratio\"");
    let verdict = judged(&part, &runs(&[accuracies("a", 0.9), accuracies("b", -0.01)]));
    assert_eq!(verdict.ending, Ending::NotJudged);
    assert!(verdict.because.contains("not positive everywhere"), "{}", verdict.because);
}

#[test]
fn the_best_of_several_is_chosen_on_validation_never_on_test() {
    let part = format!("{CLAIM}{DIFFERENCE}")
        .replace("models = [\"a\"]", "models = [\"a\", \"b\"]")
        .replace("against = [\"b\"]", "constant = 0.3");
    let validation = |model: &str, value: f64| -> Vec<RunRow> {
        (0..10).map(|seed| row(model, "", seed, "validation", "accuracy", value)).collect()
    };
    let tables =
        runs(&[accuracies("a", 0.5), accuracies("b", 0.9), validation("a", 0.8), validation("b", 0.7)]);
    assert_eq!(judged(&part, &tables).parts[0].regimes[0].model, "a");
}

#[test]
fn seconds_that_disagree_with_pytorch_decide_nothing() {
    let part = format!(
        "{CLAIM}[[claim.part]]\nkind = \"step-time\"\nname = \"a is faster\"\ntask = \"recall\"\nmodel = \"a\"\n\
         against = \"b\"\nat = {{ time = [64] }}\nmargin = 1.0\n"
    );
    let timing = |model: &str, seconds: f64| -> Vec<TimingRow> {
        (0..15)
            .map(|seed| TimingRow {
                cell: "0".into(),
                task: "recall".into(),
                setting: "time=64".into(),
                model: model.into(),
                seed,
                metric: "step-seconds".into(),
                repeat: 0,
                value: seconds * (1.0 + 0.01 * (seed % 4) as f64),
            })
            .collect()
    };
    let pytorch = |model: &str, seconds: f64| -> Vec<PytorchStep> {
        (0..15)
            .map(|repeat| PytorchStep {
                model: model.into(),
                time: 64,
                seconds: seconds * (1.0 + 0.01 * f64::from(repeat % 3)),
            })
            .collect()
    };
    let tables = |theirs: f64| Tables {
        timing: [timing("a", 1.0), timing("b", 2.0)].concat(),
        pytorch: [pytorch("a", 1.0), pytorch("b", theirs)].concat(),
        ..Tables::default()
    };
    assert_eq!(judged(&part, &tables(3.0)).ending, Ending::Supported);
    let verdict = judged(&part, &tables(0.5));
    assert_eq!(verdict.ending, Ending::Inconclusive);
    assert!(verdict.because.contains("depends on the implementation"), "{}", verdict.because);
    // The benchmark's table is sorted; an interval that paired its rows would change with their order.
    let sorted = tables(3.0);
    let mut turned = sorted.clone();
    turned.pytorch[..15].reverse();
    assert_eq!(judged(&part, &sorted), judged(&part, &turned));
    let alone = Tables { pytorch: Vec::new(), ..tables(3.0) };
    assert_eq!(judged(&part, &alone).ending, Ending::Inconclusive);
}

#[test]
fn blocks_of_a_text_widen_the_interval() {
    let part = format!("{CLAIM}{DIFFERENCE}").replace("\"accuracy\"", "\"cross-entropy\"");
    let blocks = |model: &str, base: f64, spread: f64| -> Vec<RunRow> {
        (0..10)
            .flat_map(|seed| {
                (0..20).map(move |block| {
                    let value = base + spread * f64::from(block % 5) + 0.001 * (seed % 3) as f64;
                    row(model, "", seed, &format!("test-block@{block:02}"), "cross-entropy", value)
                })
            })
            .collect()
    };
    let width = |spread: f64| {
        let tables = runs(&[blocks("a", 2.0, spread), blocks("b", 1.0, 0.0)]);
        let regime = judged(&part, &tables).parts[0].regimes[0].clone();
        assert!((regime.effect - (1.0 + 2.0 * spread)).abs() < 1e-9, "{}", regime.effect);
        regime.high - regime.low
    };
    assert!(width(0.1) > 5.0 * width(0.0));
}
