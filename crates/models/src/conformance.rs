//! One suite for every registered model that reads one sequence, over its defaults and the variants named here.

use sequence::{
    Batch, Budget, Dataset, Fit, Floor, InputKind, Inputs, Interface, LearnError, LossKind, Pass,
    Predictions, Predictor, Random, Run, Score, StopRule, Stopwatch, Stream, Targets, Task, TestSet,
};
use serde_json::{Value, json};
use training::TrainingConfig;

use crate::{MODELS, ModelEntry, Reads, Size, model};

const SYMBOLS: u32 = 5;
const TIME: usize = 10;
const WIDTH: usize = 8;

/// Text in which a symbol is followed by its successor with probability 0.9, and by the one after otherwise.
struct Text {
    interface: Interface,
    stream: Vec<u32>,
    /// Whether what is trained on has symbols in place of targets that have nothing to do with the inputs.
    shuffled: bool,
}

impl Text {
    fn new() -> Self {
        let symbols = SYMBOLS as usize;
        let interface = Interface {
            inputs: InputKind::Tokens { vocabulary: symbols },
            outputs: symbols,
            loss: LossKind::CrossEntropy,
            maximum_time: TIME,
        };
        let stream = chain(&mut Random::new(0, Stream::Order), 30_000);
        Self { interface, stream, shuffled: false }
    }

    fn shuffled() -> Self {
        let mut random = Random::new(0, Stream::Order);
        let stream = (0..30_000).map(|_| random.below(SYMBOLS)).collect();
        Self { stream, shuffled: true, ..Self::new() }
    }

    fn batch(random: &mut Random, size: usize, time: usize) -> Batch {
        let mut batch = Batch {
            size,
            time,
            inputs: Inputs::Tokens(Vec::new()),
            source: None,
            targets: Targets::Classes(Vec::new()),
            loss_mask: Vec::new(),
            lengths: Vec::new(),
        };
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..size {
            let length = time - random.index(time.div_ceil(2));
            let symbols = chain(random, length + 1);
            let padding = vec![0; time - length];
            inputs.extend([&symbols[..length], &padding].concat());
            targets.extend([&symbols[1..], &padding].concat());
            batch.loss_mask.extend((0..time).map(|position| position < length));
            batch.lengths.push(length);
        }
        batch.inputs = Inputs::Tokens(inputs);
        batch.targets = Targets::Classes(targets);
        batch
    }
}

fn chain(random: &mut Random, length: usize) -> Vec<u32> {
    let mut symbol = random.below(SYMBOLS);
    (0..length)
        .map(|_| {
            symbol = (symbol + if random.below(10) > 0 { 1 } else { 2 }) % SYMBOLS;
            symbol
        })
        .collect()
}

impl Task for Text {
    fn name(&self) -> &'static str {
        "successor-text"
    }

    fn version(&self) -> u32 {
        1
    }

    fn interface(&self) -> Interface {
        self.interface
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let mut random = Random::new(seed, Stream::Training(update));
        let mut batch = Self::batch(&mut random, size, TIME);
        if self.shuffled {
            let other = (0..size * TIME).map(|_| random.below(SYMBOLS)).collect();
            batch.targets = Targets::Classes(other);
        }
        batch
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![Self::batch(&mut Random::new(seed, Stream::Validation), 60, TIME)]
    }

    fn test(&self, _: u64) -> Vec<TestSet> {
        Vec::new()
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        let (mut sum, mut count) = (0.0, 0_usize);
        for (batch, prediction) in batches.iter().zip(predictions) {
            let Targets::Classes(classes) = &batch.targets else { unreachable!() };
            for position in (0..classes.len()).filter(|&position| batch.loss_mask[position]) {
                sum -= f64::from(prediction.at(position)[classes[position] as usize]);
                count += 1;
            }
        }
        vec![Score { metric: "loss", value: sum / count as f64, count }]
    }

    fn larger_is_better(&self) -> bool {
        false
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    fn floors(&self) -> Vec<Floor> {
        Vec::new()
    }

    fn training_text(&self) -> Option<&[u32]> {
        Some(&self.stream)
    }
}

struct Still;

impl Stopwatch for Still {
    fn wall_seconds(&self) -> f64 {
        0.0
    }

    fn processor_seconds(&self) -> f64 {
        0.0
    }
}

/// A registered model with some settings.
#[derive(Clone)]
struct Arm {
    entry: &'static ModelEntry,
    settings: Value,
}

impl Arm {
    fn new(name: &str, settings: Value) -> Self {
        Self { entry: model(name).unwrap(), settings }
    }

    /// A counting model cannot be given a size.
    fn counts(&self) -> bool {
        let size = Size { width: WIDTH, body_parameters: Some(2000) };
        matches!((self.entry.build)(&json!({}), &training(), &size), Err(LearnError::Setting { .. }))
    }

    /// Whether the model declares that an output may depend on later symbols.
    fn reads_ahead(&self) -> bool {
        (self.entry.reads_ahead)(&self.settings).unwrap()
    }

    fn size(&self, parameters: usize) -> Size {
        Size { width: WIDTH, body_parameters: (!self.counts()).then_some(parameters) }
    }

    fn fit(&self, task: &Text, seed: u64, updates: u64) -> Result<Fit, LearnError> {
        let learner = (self.entry.build)(&self.settings, &training(), &self.size(2000))?;
        let mut run = Run {
            budget: Budget { updates, evaluate_every: 50 },
            stop: StopRule::Budget,
            seed,
            stopwatch: &Still,
            observer: None,
        };
        let data = Dataset::new(task, seed, 16);
        assert!(learner.peak_bytes(&data) > 0);
        learner.fit(&data, &mut run)
    }

    fn trained(&self) -> Box<dyn Predictor> {
        self.fit(&Text::new(), 1, 60).unwrap().predictor
    }

    fn label(&self) -> String {
        format!("{} {}", self.entry.name, self.settings)
    }
}

fn training() -> TrainingConfig {
    TrainingConfig { rate: 0.01, warmup_updates: 10, ..TrainingConfig::default() }
}

/// Every registered model that reads one sequence as it comes, then the variants whose code differs.
fn arms() -> Vec<Arm> {
    let readers = MODELS.iter().filter(|entry| matches!(entry.reads, Reads::OneSequence | Reads::Anything));
    let defaults = readers.map(|entry| Arm { entry, settings: json!({}) });
    let variants = [
        ("rnn", json!({"initialisation": "uniform", "layers": 2})),
        ("rnn", json!({"initialisation": "identity-relu"})),
        ("rnn", json!({"initialisation": "rotation", "activation": "linear", "radius": 0.9, "hidden": 6})),
        ("lstm", json!({"forget-bias": 0, "layers": 2})),
        ("lstm", json!({"forget-bias": "chrono", "time-scale": 20})),
        ("gru", json!({"layers": 2, "position": "sinusoidal"})),
        ("transformer", json!({"norm": "post", "position": "learned"})),
        ("transformer", json!({"norm": "none", "position": "none"})),
        ("transformer", json!({"norm": "post", "residual": false, "layers": 1})),
        ("transformer", json!({"position": "alibi", "heads": 4, "layers": 1})),
        ("transformer", json!({"position": "none", "window": 3})),
        ("transformer", json!({"attention": "explicit", "position": "alibi", "heads": 1})),
        ("transformer", json!({"attention": "linear", "normalisation": "root-mean-square"})),
        ("transformer", json!({"attention": "additive", "layers": 1})),
        ("transformer", json!({"causal": false})),
        ("transformer", json!({"causal": false, "window": 3})),
        ("n-gram", json!({"smoothing": "witten-bell", "order": 3})),
    ];
    defaults.chain(variants.map(|(name, settings)| Arm::new(name, settings))).collect()
}

/// The arms that declare that they read ahead.
fn ahead() -> Vec<Arm> {
    let ahead: Vec<Arm> = arms().into_iter().filter(Arm::reads_ahead).collect();
    assert!(!ahead.is_empty());
    ahead
}

fn full_batch(size: usize, time: usize) -> Batch {
    let mut batch = Text::batch(&mut Random::new(9, Stream::Test), size, time);
    batch.lengths = vec![time; size];
    batch.loss_mask = vec![true; size * time];
    batch
}

/// The batch with the symbol at one position of every sequence replaced by another.
fn with_other_symbol(batch: &Batch, position: usize) -> Batch {
    let mut other = batch.clone();
    let Inputs::Tokens(tokens) = &mut other.inputs else { unreachable!() };
    for sequence in tokens.chunks_mut(batch.time) {
        sequence[position] = (sequence[position] + 2) % SYMBOLS;
    }
    other
}

/// For each position, the largest difference between two predictions over all sequences and outputs.
fn differences(batch: &Batch, a: &Predictions, b: &Predictions) -> Vec<f32> {
    let mut largest = vec![0.0_f32; batch.time];
    for position in 0..batch.size * batch.time {
        for (a, b) in a.at(position).iter().zip(b.at(position)) {
            let slot = &mut largest[position % batch.time];
            *slot = slot.max((a - b).abs());
        }
    }
    largest
}

/// Whether changing the symbol at `position` changes an output before it, and whether it changes one after it.
fn influence(predictor: &dyn Predictor, position: usize) -> (bool, bool) {
    let batch = full_batch(3, TIME);
    let other = with_other_symbol(&batch, position);
    let changed = differences(&batch, &predictor.predict(&batch), &predictor.predict(&other));
    let any = |differences: &[f32]| differences.iter().any(|&difference| difference > 0.0);
    (any(&changed[..position]), any(&changed[position + 1..]))
}

#[test]
fn a_changed_symbol_changes_later_outputs_and_no_earlier_one() {
    for arm in arms() {
        let predictor = arm.trained();
        let (before, after) = influence(predictor.as_ref(), 4);
        // A model that declares that it reads ahead is the twin: the future that it sees is found.
        assert_eq!(before, arm.reads_ahead(), "{}: is what it declares about the future so?", arm.label());
        let memoryless = ["multilayer-perceptron", "constant", "uniform"].contains(&arm.entry.name);
        assert_eq!(after, !memoryless, "{}: does the past matter?", arm.label());
    }
}

#[test]
fn padding_does_not_change_outputs_at_real_positions() {
    let spills = |predictor: &dyn Predictor, length: usize| {
        let mut batch = full_batch(3, TIME);
        batch.lengths = vec![length; 3];
        let other = with_other_symbol(&with_other_symbol(&batch, 7), 9);
        let changed = differences(&batch, &predictor.predict(&batch), &predictor.predict(&other));
        changed[..7].iter().any(|&difference| difference > 0.0)
    };
    for arm in arms() {
        assert!(!spills(arm.trained().as_ref(), 7), "{} reads the padding", arm.label());
    }
    // Twin: where the batch does not say that it is padding, a network that reads ahead reads it.
    for arm in ahead() {
        assert!(spills(arm.trained().as_ref(), TIME), "{}", arm.label());
    }
}

#[test]
fn bodies_have_the_requested_size() {
    for arm in arms().into_iter().filter(|arm| !arm.counts()) {
        for parameters in [10_000, 30_000] {
            let learner = (arm.entry.build)(&arm.settings, &training(), &arm.size(parameters)).unwrap();
            let text = Text::new();
            let mut run = Run {
                budget: Budget { updates: 0, evaluate_every: 1 },
                stop: StopRule::Budget,
                seed: 1,
                stopwatch: &Still,
                observer: None,
            };
            let fit = learner.fit(&Dataset::new(&text, 1, 2), &mut run).unwrap();
            // The count of the parameters that exist, which the solver has only predicted.
            let counted = fit.predictor.body_parameters();
            assert!(
                counted.abs_diff(parameters) * 20 <= parameters,
                "{}: {counted} for {parameters}",
                arm.label()
            );
            let shared = WIDTH * SYMBOLS as usize + WIDTH * SYMBOLS as usize + SYMBOLS as usize;
            assert!(fit.predictor.total_parameters() >= counted + shared);
        }
    }
}

#[test]
fn a_size_that_no_settings_have_is_an_error_that_names_the_nearest() {
    for arm in arms().into_iter().filter(|arm| !arm.counts()) {
        let Err(error) = (arm.entry.build)(&arm.settings, &training(), &arm.size(7)) else {
            panic!("{} has 7 parameters", arm.label())
        };
        assert!(matches!(error, LearnError::Size { requested: 7, .. }), "{error}");
    }
}

#[test]
fn the_seed_decides_every_bit() {
    let batch = full_batch(3, TIME);
    for arm in arms() {
        let values = |seed| arm.fit(&Text::new(), seed, 5).unwrap().predictor.predict(&batch).values;
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(values(1)), bits(values(1)), "{}", arm.label());
        if !arm.counts() {
            assert_ne!(values(1), values(2), "{}", arm.label());
        }
    }
}

#[test]
fn models_learn_and_floors_stay_at_ln_5() {
    for arm in arms() {
        let loss = arm.fit(&Text::new(), 1, 150).unwrap().best_validation;
        match arm.entry.name {
            "uniform" => assert!((loss - 5_f64.ln()).abs() < 1e-6),
            "constant" => assert!((loss - 5_f64.ln()).abs() < 0.02, "{loss}"),
            // The next symbol is in the input, but at the last of 6 to 10 positions.
            _ if arm.reads_ahead() => assert!(loss < 0.25, "{} has {loss}", arm.label()),
            // By hand: probabilities 0.9 and 0.1 have an entropy of 0.325 nats. Kneser-Ney pays at the first positions,
            // where only the counts of different contexts are at hand.
            _ => assert!((0.25..0.6).contains(&loss), "{} has {loss}", arm.label()),
        }
    }
}

/// The twin of the test above: what could still be learnt would have leaked.
#[test]
fn nothing_is_learnt_from_shuffled_labels() {
    for arm in arms() {
        let loss = arm.fit(&Text::shuffled(), 1, 150).unwrap().best_validation;
        assert!(loss > 5_f64.ln() - 0.05, "{} has {loss}", arm.label());
    }
}

#[test]
fn the_order_of_sequences_does_not_matter() {
    let batch = full_batch(20, TIME);
    let mut reversed = batch.clone();
    let (Inputs::Tokens(tokens), Inputs::Tokens(to)) = (&batch.inputs, &mut reversed.inputs) else {
        unreachable!()
    };
    *to = tokens.chunks(TIME).rev().flatten().copied().collect();
    for arm in arms() {
        let predictor = arm.trained();
        let (forwards, backwards) = (predictor.predict(&batch), predictor.predict(&reversed));
        let row = TIME * SYMBOLS as usize;
        let restored = backwards.values.chunks(row).rev().flatten();
        let largest = forwards.values.iter().zip(restored).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-5, "{}: {largest}", arm.label());
    }
}

#[test]
fn one_position_and_one_sequence_are_enough() {
    for arm in arms() {
        let predictions = arm.trained().predict(&full_batch(1, 1));
        let sum: f32 = predictions.values.iter().map(|value| value.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{}: {sum}", arm.label());
    }
}

#[test]
fn an_unsuitable_task_is_an_error() {
    let mut two_values = Text::new();
    two_values.interface.loss = LossKind::MeanSquaredError;
    let mut with_source = Text::new();
    with_source.interface.inputs = InputKind::Conditioned { source: 5, vocabulary: 5 };
    for arm in arms() {
        if !arm.counts() || arm.entry.name != "constant" {
            let error = arm.fit(&two_values, 1, 1).err().map(|error| error.to_string());
            assert!(
                error.is_some_and(|message| message.contains("cannot learn this task")),
                "{}",
                arm.label()
            );
        }
        if !arm.counts() {
            let error = arm.fit(&with_source, 1, 1).err().map(|error| error.to_string());
            assert!(error.is_some_and(|message| message.contains("source sequence")), "{}", arm.label());
        }
    }
}

/// Exactly the outputs of one pass, as generation with remembered keys, values and states needs.
#[test]
fn reading_position_by_position_gives_the_outputs_of_one_pass() {
    let batch = full_batch(3, TIME);
    let steps = |arm: &Arm, batch: &Batch| arm.trained().steps(batch, &Still);
    let mut stepped = 0;
    for arm in arms() {
        let Some(stepwise) = steps(&arm, &batch) else { continue };
        stepped += 1;
        assert!(stepwise.largest_difference < 1e-4, "{}: {}", arm.label(), stepwise.largest_difference);
        assert_eq!(stepwise.positions.len(), TIME);
        // What is remembered of a whole sequence is there, and a position costs something.
        assert!(stepwise.positions.iter().all(|cost| cost.memory_bytes > 0 && cost.multiply_adds > 0));
    }
    // Of those above: recurrent nets and all causal Transformers but the additive one.
    assert!(stepped >= 15, "{stepped}");
    // Twin: a network that looks ahead cannot be read so.
    assert_eq!(steps(&Arm::new("transformer", json!({"causal": false})), &batch), None);
}

#[test]
fn the_formula_of_multiply_adds_is_what_runs() {
    let batch = full_batch(3, TIME);
    for arm in arms().into_iter().filter(|arm| !arm.counts()) {
        let fit = arm.fit(&Text::new(), 1, 1).unwrap();
        let pass = fit.predictor.pass(&batch, Pass::Body, &Still).unwrap();
        // Training counts a forward pass three times, over 16 sequences of which some end early, and the read-out of the
        // positions that count.
        let trained = Text::new().training_batch(1, 0, 16);
        let read_out = trained.supervised() as u64 * WIDTH as u64 * u64::from(SYMBOLS);
        let formula = (fit.multiply_adds / 3 - read_out) / 16;
        let counted = pass.multiply_adds / 3;
        if arm.entry.attends {
            // Pairs within a tile count where they run, hidden ones too, and not all of them are in the formula.
            assert!(counted >= formula && counted < formula * 3 / 2, "{}: {counted} {formula}", arm.label());
        } else {
            assert_eq!(counted, formula, "{}", arm.label());
        }
    }
}

#[test]
fn a_density_continues_the_text() {
    // What reads ahead has copied the next symbol, and knows none where there is none.
    for arm in arms().into_iter().filter(|arm| !arm.reads_ahead()) {
        let predictor = arm.fit(&Text::new(), 1, 150).unwrap().predictor;
        let density = predictor.density().unwrap();
        let next = density.next_log_probabilities(&[2, 3, 4, 0, 1, 2, 3]);
        assert_eq!(next.len(), SYMBOLS as usize);
        let sum: f32 = next.iter().map(|value| value.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{}: {sum}", arm.label());
        if !["constant", "uniform"].contains(&arm.entry.name) {
            assert!(next[4] > 0.7_f32.ln(), "{}: {next:?}", arm.label());
        }
    }
}

#[test]
fn settings_are_checked() {
    let size = Size { width: WIDTH, body_parameters: None };
    for (name, settings, part) in [
        ("lstm", json!({"hiden": 3}), "unknown field `hiden`"),
        ("lstm", json!({"forget-bias": "chrono"}), "needs `time-scale`"),
        ("lstm", json!({"forget-bias": "chrono", "time-scale": 2}), "at least 3"),
        ("lstm", json!({"forget-bias": 1, "time-scale": 20}), "only used with"),
        ("lstm", json!({"forget-bias": "high"}), "a number or \"chrono\""),
        ("rnn", json!({"initialisation": "zero"}), "unknown variant `zero`"),
        ("bidirectional-lstm", json!({"hidden": 0}), "`hidden` must be at least 1"),
        ("gru", json!({"hidden": 0}), "`hidden` must be at least 1"),
        ("transformer", json!({"heads": 3}), "`inner-width` = 32 must be a multiple of `heads` = 3"),
        ("transformer", json!({"layers": 0}), "`layers` must be at least 1"),
    ] {
        let error = (model(name).unwrap().build)(&settings, &training(), &size).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains(part), "{error}");
    }
    let wrong_rate = TrainingConfig { rate: -1.0, ..training() };
    let error = (model("gru").unwrap().build)(&json!({}), &wrong_rate, &size).err().unwrap().to_string();
    assert!(error.contains("`rate` = -1"), "{error}");
}

#[test]
fn names_are_unique_defaults_are_complete_and_a_wrong_name_is_helped() {
    let mut names: Vec<&str> = MODELS.iter().map(|entry| entry.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), MODELS.len());
    let size = Size { width: WIDTH, body_parameters: None };
    for entry in MODELS {
        assert!((entry.build)(&(entry.defaults)(), &training(), &size).is_ok(), "{}", entry.name);
        assert!(!entry.summary.is_empty() && !entry.citation.is_empty() && entry.version > 0);
    }
    let message = model("lsmt").unwrap_err().to_string();
    assert_eq!(message, "unknown model `lsmt`; did you mean `lstm`?");
}
