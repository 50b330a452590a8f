use serde_json::json;

use super::*;
use crate::testing::{TINY, definition, workspace};

fn plan_with(text: &str, options: &PlanOptions) -> Result<Plan, ExperimentError> {
    Plan::new(&definition(text), options, &workspace(tempfile::tempdir().unwrap().path()))
}

fn plan(text: &str) -> Result<Plan, ExperimentError> {
    plan_with(text, &PlanOptions::default())
}

/// The message with which the tiny definition is refused after one change.
fn refusal(from: &str, to: &str) -> String {
    assert!(TINY.contains(from), "the tiny definition has no `{from}`");
    plan(&TINY.replacen(from, to, 1)).unwrap_err().to_string()
}

fn option_refusal(options: &PlanOptions) -> String {
    plan_with(TINY, options).unwrap_err().to_string()
}

#[test]
fn a_list_is_a_grid_and_a_staircase_takes_it_as_its_ladder() {
    let plan = plan(TINY).unwrap();
    assert!(plan.complete && plan.left_out.is_empty());
    let evaluated: Vec<String> = plan
        .evaluation
        .iter()
        .map(|arm| format!("{} [{}] {}", arm.task, label(&arm.setting), arm.model))
        .collect();
    assert_eq!(
        evaluated,
        [
            "recall [lag=2] rnn",
            "recall [lag=2] lstm",
            "recall [lag=2] constant",
            "recall [lag=5] rnn",
            "recall [lag=5] lstm",
            "recall [lag=5] constant",
            "climb [] rnn",
            "climb [] lstm",
        ]
    );
    let climb = &plan.evaluation[7].cell;
    assert_eq!(climb.task.settings, serde_json::from_value(json!({"cues": 2})).unwrap());
    assert_eq!(climb.measurement.settings["ladder"], json!([2, 3, 4]));
    assert_eq!(climb.measurement.settings["rates"], json!([0.003, 0.01]));
    // A multiple of what varies within the cell stays one; elsewhere it is resolved.
    assert_eq!(climb.model.settings["time-scale"], json!({"times": 2, "of": "lag"}));
    assert_eq!(plan.evaluation[4].cell.model.settings["time-scale"], json!(10));
    assert_eq!(plan.timing.len(), 4);
    assert_eq!(plan.evaluation[0].seeds, [1000, 1001]);
    assert_eq!(plan.tuning.iter().map(|arm| arm.seeds.clone()).collect::<Vec<_>>(), [[1900], [1900]]);
}

#[test]
fn models_that_count_have_neither_rate_nor_size() {
    let plan = plan(TINY).unwrap();
    assert!(plan.tuning.iter().all(|arm| arm.model != "constant"));
    let cells = plan.evaluation_cells(&Rates::new());
    let constant = cells.iter().find(|cell| cell.model == "constant").unwrap();
    assert_eq!((constant.rate, constant.cell.size.body_parameters), (None, None));
    assert_eq!(constant.cell.training, serde_json::from_value(json!({"batch": 4})).unwrap());
    let rnn = cells.iter().find(|cell| cell.model == "rnn").unwrap();
    assert_eq!((rnn.rate, rnn.cell.size.body_parameters), (Some(0.003), Some(320)));
}

#[test]
fn what_equals_a_default_does_not_change_a_key() {
    let spelled = TINY.replacen("cues = 4", "cues = 4\nfillers = 8", 1).replacen(
        "updates = 20, evaluate-every = 10, trace",
        "updates = 20, evaluate-every = 10, stop = \"budget\", trace",
        1,
    );
    let keys = |text: &str| -> Vec<String> {
        plan(text).unwrap().evaluation_cells(&Rates::new()).into_iter().map(|cell| cell.key).collect()
    };
    assert_eq!(keys(TINY), keys(&spelled));
    assert_ne!(keys(TINY), keys(&TINY.replacen("cues = 4", "cues = 3", 1)));
    // The rate 0.001 is the default of training, and so is not written into the cell.
    let arm = &plan(TINY).unwrap().evaluation[0];
    assert!(!arm.planned(Stage::Evaluation, Some(0.001), 0).cell.training.contains_key(RATE));
    assert!(arm.planned(Stage::Evaluation, Some(0.003), 0).cell.training.contains_key(RATE));
}

#[test]
fn unknown_names_and_keys_are_refused_with_the_nearest() {
    let near = |from: &str, to: &str, message: &str| {
        let refused = refusal(from, to);
        assert!(refused.starts_with("experiments/tiny.toml: "), "{refused}");
        assert!(refused.contains(message), "{refused}");
    };
    near(
        "name = \"first-cue-recall\"",
        "name = \"first-cue-recal\"",
        "unknown task `first-cue-recal`, did you mean `first-cue-recall`?",
    );
    near(
        "name = \"lstm\"",
        "name = \"ltsm\"\nlabel = \"lstm\"",
        "model `lstm`: unknown model `ltsm`, did you mean `lstm`?",
    );
    near(
        "kind = \"train\"",
        "kind = \"trian\"",
        "task `recall`: unknown measurement `trian`, did you mean `train`?",
    );
    near("cues = 4", "cuse = 4", "task `recall`: unknown setting `cuse`, did you mean `cues`?");
    near(
        "evaluate-every = 10, trace",
        "evaluate-evry = 10, trace",
        "unknown setting of `measure` `evaluate-evry`, did you mean `evaluate-every`?",
    );
    near(
        "{ kind = \"step-time\", warm-up = 1, steps = 2 }",
        "{ kind = \"gradient-and-training\", distance = \"lug\" }",
        "task `steps`: `measure.distance`: unknown setting of `first-cue-recall` `lug`, did you mean `lag`?",
    );
    near(
        "forget-bias = \"chrono\"",
        "forget-bais = \"chrono\"",
        "model `lstm`: unknown setting `forget-bais`, did you mean `forget-bias`?",
    );
    near("[tuning]", "[training]\nwarmup = 3\n\n[tuning]", "[training]: unknown setting `warmup`");
    near("of = \"lag\"", "of = \"lags\"", "unknown setting of the task `lags`, did you mean `lag`?");
    near(
        "tune-at = { lag = 2 }",
        "tune-at = { lug = 2 }",
        "tune-at: unknown setting `lug`, did you mean `lag`?",
    );
    near(
        "id = \"recall-is-learnt\"",
        "id = \"recall-is-learned\"",
        "unknown claim `recall-is-learned`, did you mean `recall-is-learnt`?",
    );
}

#[test]
fn values_that_make_no_sense_are_refused() {
    let says = |from: &str, to: &str, message: &str| {
        let refused = refusal(from, to);
        assert!(refused.contains(message), "{refused}");
    };
    says(
        "lag = [2, 5]",
        "lag = [2, 0]",
        "task `recall` at lag=0: task `first-cue-recall`, setting `lag`: 0 is outside",
    );
    says("lag = [2, 5]", "lag = [2, \"five\"]", "setting `lag`: invalid type");
    says(
        "updates = 20, evaluate-every = 10, trace",
        "updates = \"many\", evaluate-every = 10, trace",
        "setting `updates`: invalid type",
    );
    says("lag = [2, 3, 4]", "lag = [4, 3]", "`lag` must be a list of numbers, easiest (smallest) first");
    says("lag = [2, 3, 4]", "lag = 3", "`lag` must be a list, easiest or shortest first");
    says("tune-at = { lag = 2 }", "", "`lag` varies, so `tune-at` must say where rates are tuned");
    says(
        "version = 1\nlag",
        "version = 7\nlag",
        "`first-cue-recall` is version 1 now, the definition was written for version 7",
    );
    says("parameters = 320", "parameters = 3", "lag=2: model `rnn` cannot have 3 body parameters");
    says(
        "tasks = [\"recall\"]",
        "tasks = [\"recall\", \"steps\"]",
        "model `constant` makes no training steps",
    );
    says(
        "name = \"rnn\"",
        "name = \"lstm-encoder-decoder\"\nlabel = \"rnn\"",
        "cannot learn this task: it has no source sequence, and this network reads a source and a target",
    );
    says("[tuning]", "[training]\nrate = 0.1\n\n[tuning]", "[training]: `rate` is set in [tuning]");
    says("core-seconds = 100", "core-seconds = 0.001", "the full profile takes about");
}

#[test]
fn claims_that_no_cell_could_decide_are_refused() {
    let says = |from: &str, to: &str, message: &str| {
        let refused = refusal(from, to);
        assert!(refused.contains(message), "{refused}");
    };
    let claim = "metric = \"accuracy\"\nmodels";
    says(
        claim,
        "metric = \"acuracy\"\nmodels",
        "claim `recall-is-learnt`, part `lstm against rnn`: no cell of task `recall`, which measures `train`, yields it: unknown \
         metric `acuracy`, did you mean `accuracy`?",
    );
    says(
        "at = { lag = [2, 5] }",
        "at = { lag = [2, 9] }",
        "task `recall` is not run at lag = 9, only at 2, 5",
    );
    says("at = { lag = [2, 5] }", "at = { cues = [4] }", "`at`: unknown setting `cues`");
    says(", trace-test = true", "", "need `trace-test = true`");
    says(
        "against = [\"rnn\"]",
        "against = [\"rnn\"]\nsplit = \"tset\"",
        "unknown split `tset`, did you mean `test`?",
    );
    says(
        "at = { lag = [2] }",
        "at = { lag = [3] }",
        "control `recall-can-be-solved`: `at`: task `recall` is not run at lag = 3",
    );
    says("x = \"lag\"", "x = \"lug\"", "figure `recall`: unknown `x` `lug`, did you mean `lag`?");
    says("kind = \"line\"", "kind = \"alignment\"", "figure `recall`: unknown `x` `lag`");
    says("floor = \"chance\"", "floor = \"chanse\"", "unknown floor `chanse`, did you mean `chance`?");
    let start = TINY.find("kind = \"difference\"").unwrap();
    let end = TINY.find("[[figure]]").unwrap();
    for (rest, expected) in [
        ("over = { lag = [2, 5] }", None),
        ("", Some("task `recall` is run at several lag; say which of 2, 5")),
        ("over = { lag = [2, 9] }", Some("task `recall` is not run at lag = 9")),
        ("over = { lag = [2, 5] }\nat = { lag = [2] }", Some("`lag` stands in `at` and in `over`")),
        (
            "over = { lag = [2, 5] }\noutcome = \"slved\"",
            Some("unknown metric `slved`, did you mean `solved`?"),
        ),
    ] {
        let part = format!(
            "kind = \"discrimination\"\nname = \"p\"\ntask = \"recall\"\nmetric = \"accuracy\"\nmodels = [\"lstm\", \"rnn\"]\n\
             area = 0.9\n{rest}\n"
        );
        let planned = plan(&format!("{}{part}\n{}", &TINY[..start], &TINY[end..]));
        match (planned, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (planned, _) => panic!("{rest}: {:?}", planned.map(|_| ()).map_err(|error| error.to_string())),
        }
    }
    let step_time = "kind = \"step-time\"\nname = \"lstm against rnn\"\ntask = \"recall\"\nmodel = \"lstm\"\nagainst = \"rnn\"\n\
                     at = { lag = [2] }\nmargin = 2.0\n";
    let start = TINY.find("kind = \"difference\"").unwrap();
    let end = TINY.find("[[figure]]").unwrap();
    let text = format!("{}{step_time}\n{}", &TINY[..start], &TINY[end..]);
    let refused = plan(&text).unwrap_err().to_string();
    assert!(refused.contains("task `recall` measures `train`, which times nothing"), "{refused}");
    plan(&text.replace("\ntask = \"recall\"\nmodel = \"lstm\"", "\ntask = \"steps\"\nmodel = \"lstm\""))
        .unwrap();
}

#[test]
fn the_quick_profile_is_small_and_never_complete() {
    let plan = plan_with(TINY, &PlanOptions { profile: Profile::Quick, ..PlanOptions::default() }).unwrap();
    assert!(!plan.complete && plan.tuning.is_empty());
    assert!(plan.evaluation.iter().chain(&plan.timing).all(|arm| arm.model == "rnn" && arm.seeds == [1800]));
    let recall = &plan.evaluation[0];
    assert_eq!((recall.task.as_str(), label(&recall.setting).as_str()), ("recall", "lag=2"));
    assert_eq!(recall.cell.measurement.settings["updates"], json!(4));
    assert_eq!(plan.evaluation_cells(&Rates::new())[0].rate, Some(0.003));
    assert_eq!(plan.evaluation[1].cell.measurement.settings["updates"], json!(4));
}

#[test]
fn options_narrow_and_change_a_plan() {
    let options = |filter: &[(&str, &str)], set: &[(&str, &str)]| {
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        PlanOptions { filter: owned(filter), set: owned(set), ..PlanOptions::default() }
    };
    let plan = plan_with(
        TINY,
        &options(&[("model", "lstm"), ("model", "rnn"), ("lag", "5"), ("task", "recall")], &[]),
    )
    .unwrap();
    assert!(!plan.complete);
    assert_eq!((plan.evaluation.len(), plan.timing.len(), plan.tuning.len()), (2, 0, 2));

    let plan = plan_with(
        TINY,
        &options(&[], &[("recall.updates", "7"), ("lstm.time-scale", "9"), ("training.clip-norm", "0.5")]),
    )
    .unwrap();
    let cell = &plan.evaluation[1].cell;
    assert_eq!(cell.measurement.settings["updates"], json!(7));
    assert_eq!(cell.model.settings["time-scale"], json!(9));
    assert_eq!(cell.training["clip-norm"], json!(0.5));

    let plan = plan_with(TINY, &PlanOptions { seeds: Some(1..3), ..PlanOptions::default() }).unwrap();
    assert_eq!(plan.evaluation[0].seeds, [1001, 1002]);

    for (refused, message) in [
        (options(&[("lug", "5")], &[]), "option --filter lug=5: unknown key `lug`, did you mean `lag`?"),
        (options(&[("lag", "7")], &[]), "option --filter lag=7: unknown lag `7`"),
        (options(&[("model", "constant"), ("task", "climb")], &[]), "no cell has all of these values"),
        (options(&[], &[("recal.updates", "7")]), "unknown task or model `recal`, did you mean `recall`?"),
        (options(&[], &[("updates", "7")]), "a key is `TASK.key`"),
        (
            PlanOptions { seeds: Some(5..5), ..PlanOptions::default() },
            "option --seeds 5..5: give indices A..B",
        ),
        (
            PlanOptions { corpus: Some("/no/such/text".into()), ..PlanOptions::default() },
            "there is no such file",
        ),
    ] {
        let found = option_refusal(&refused);
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn a_model_may_be_measured_beyond_the_others_and_in_nothing_shared() {
    let with = |measure: &str| {
        let at = TINY.find("[[model]]").unwrap() + "[[model]]".len();
        plan(&format!("{}\nmeasure = {measure}{}", &TINY[..at], &TINY[at..]))
    };
    let plan = with("{ staircase = { extended-updates = 50 } }").unwrap();
    let extended: Vec<&str> = plan
        .evaluation
        .iter()
        .filter(|arm| arm.cell.measurement.settings.get("extended-updates") == Some(&json!(50)))
        .map(|arm| arm.task.as_str())
        .collect();
    assert_eq!(extended, ["climb"]);
    for (measure, message) in [
        ("{ staircase = { updates = 50 } }", "`updates` must be the same for all models"),
        ("{ staircase = { extended-update = 50 } }", "did you mean `extended-updates`?"),
        ("{ staircases = { extended-updates = 50 } }", "did you mean `staircase`?"),
        ("{ staircase = { extended-updates = \"many\" } }", "extended-updates"),
    ] {
        let refused = with(measure).unwrap_err().to_string();
        assert!(refused.contains(message), "{refused}");
    }
}

#[test]
fn a_model_may_train_by_settings_of_its_own_but_for_rate_batch_and_device() {
    let with = |training: &str| {
        let at = TINY.find("[[model]]").unwrap() + "[[model]]".len();
        plan(&format!("{}\ntraining = {training}{}", &TINY[..at], &TINY[at..]))
    };
    let planned = with("{ clip-norm = 5 }").unwrap();
    let first = &planned.definition.models[0].label;
    for arm in planned.evaluation.iter().chain(&planned.tuning).filter(|arm| arm.trains) {
        let own = (&arm.model == first).then_some(5.0);
        assert_eq!(
            arm.cell.training.get("clip-norm").and_then(serde_json::Value::as_f64),
            own,
            "{}",
            arm.model
        );
    }
    for (training, message) in [
        ("{ clip-nrm = 5 }", "training: unknown setting `clip-nrm`, did you mean `clip-norm`?"),
        ("{ clip-norm = 0 }", "a norm is positive"),
        ("{ rate = 0.1 }", "training: `rate` is set in [tuning]"),
        ("{ batch = 2 }", "training: `batch` is set in [[task]]"),
        ("{ device = \"abacus\" }", "abacus"),
    ] {
        let refused = with(training).unwrap_err().to_string();
        assert!(refused.contains(message), "{refused}");
    }
}

#[test]
fn a_mistake_is_found_whatever_is_run() {
    let wrong = TINY.replacen("metric = \"accuracy\"", "metric = \"acuracy\"", 1);
    assert_ne!(wrong, TINY);
    for options in [
        PlanOptions { profile: Profile::Quick, ..PlanOptions::default() },
        PlanOptions { set: vec![("recall.updates".to_owned(), "7".to_owned())], ..PlanOptions::default() },
    ] {
        let refused = plan_with(&wrong, &options).unwrap_err().to_string();
        assert!(refused.contains("did you mean `accuracy`?"), "{refused}");
    }
}

#[test]
fn a_regime_says_where_it_is() {
    let at = TINY.find("at = { lag = [2, 5] }").unwrap();
    let end = at + TINY[at..].find('\n').unwrap();
    let refused = plan(&format!("{}{}", &TINY[..at], &TINY[end..])).unwrap_err().to_string();
    assert!(refused.contains("is run at several lag; say which of 2, 5"), "{refused}");
}

#[test]
fn a_climb_is_read_as_a_whole() {
    let start = TINY.find("task = \"recall\"\nmetric = \"accuracy\"\nmodels").unwrap();
    let end = start + TINY[start..].find("side =").unwrap();
    let with = |read: &str| {
        let read = format!("task = \"climb\"\nmodels = [\"lstm\"]\nagainst = [\"rnn\"]\n{read}\n");
        plan(&format!("{}{read}{}", &TINY[..start], &TINY[end..]))
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let whole = "metric = \"longest\"\nsplit = \"fit\"";
    assert_eq!(with(whole), Ok(()));
    let refused = with(&format!("{whole}\nat = {{ lag = [2] }}")).unwrap_err();
    assert!(refused.contains("read of all lag together; leave `lag` out"), "{refused}");
    // Any other number of a climb belongs to one value of its ladder.
    let refused = with("metric = \"accuracy\"").unwrap_err();
    assert!(refused.contains("is run at several lag; say which of 2, 3, 4"), "{refused}");
}

#[test]
fn a_task_without_its_corpus_is_left_out_with_the_reason() {
    let text = TINY.to_owned()
        + "\n[[task]]\nlabel = \"text\"\nname = \"character-language-model\"\nversion = 1\nbatch = 4\n\
           measure = { kind = \"train\", updates = 4 }\nparameters = 320\n"
        + "\n[[model]]\nname = \"gru\"\ntasks = [\"text\"]\n";
    let plan = plan(&text).unwrap();
    assert!(!plan.complete);
    assert!(plan.left_out["text"].contains("seqlab data fetch tiny-shakespeare"), "{:?}", plan.left_out);
    assert!(plan.evaluation.iter().all(|arm| arm.task != "text"));
    // A text of one's own takes its place; it must be long enough for 50 test blocks.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.txt");
    std::fs::write(&file, "to be or not to be, that is the question. ".repeat(2000)).unwrap();
    let plan = plan_with(&text, &PlanOptions { corpus: Some(file), ..PlanOptions::default() }).unwrap();
    let arm = plan.evaluation.iter().find(|arm| arm.task == "text").unwrap();
    assert!(arm.cell.data.is_some() && !plan.complete);
}

#[test]
fn the_estimate_adds_up_by_stage_task_and_model() {
    let plan = plan(TINY).unwrap();
    let rows = plan.estimate();
    let row = |stage, task: &str, model: &str| {
        rows.iter().find(|row| row.stage == stage && row.task == task && row.model == model).unwrap()
    };
    // Two rates, one tuning seed; two lags, two seeds.
    assert_eq!(row(Stage::Tuning, "recall", "rnn").cells, 2);
    assert_eq!(row(Stage::Evaluation, "recall", "rnn").cells, 4);
    let by_hand: f64 = plan
        .evaluation
        .iter()
        .filter(|arm| arm.task == "recall" && arm.model == "rnn")
        .map(|arm| 2.0 * arm.seconds)
        .sum();
    assert!((row(Stage::Evaluation, "recall", "rnn").core_seconds - by_hand).abs() < 1e-12);
    assert!(rows.iter().all(|row| row.core_seconds > 0.0));
}
