//! One suite for every registered network that reads a source and writes a target, over its defaults and the variants
//! named here.

use sequence::{
    Batch, Budget, Dataset, Fit, Floor, InputKind, Inputs, Interface, LearnError, LossKind, Predictions,
    Predictor, Random, Run, Score, StopRule, Stopwatch, Stream, Targets, Task, TestSet,
};
use serde_json::{Value, json};
use training::TrainingConfig;

use crate::{MODELS, ModelEntry, Reads, Size, model};

const SYMBOLS: u32 = 5;
const TIME: usize = 8;
const SOURCE_TIME: usize = 6;
const WIDTH: usize = 8;

/// A target in which each symbol is, with probability 0.9, the one before plus a step that the source says: 1 or 2. Of the
/// source, some symbols 0, the last one within its length is the step.
struct Steps {
    interface: Interface,
    /// Whether what is trained on has symbols in place of targets that have nothing to do with the inputs.
    shuffled: bool,
}

impl Steps {
    fn new() -> Self {
        let symbols = SYMBOLS as usize;
        let interface = Interface {
            inputs: InputKind::Conditioned { source: 3, vocabulary: symbols },
            outputs: symbols,
            loss: LossKind::CrossEntropy,
            maximum_time: TIME,
        };
        Self { interface, shuffled: false }
    }

    fn batch(random: &mut Random, size: usize) -> Batch {
        let (mut from, mut inputs, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        let (mut loss_mask, mut lengths, mut source_lengths) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..size {
            let length = TIME - random.index(TIME / 2);
            let source_length = SOURCE_TIME - random.index(SOURCE_TIME / 2);
            let step = 1 + random.below(2);
            from.extend(
                (0..SOURCE_TIME).map(|position| if position + 1 == source_length { step } else { 0 }),
            );
            let mut symbol = random.below(SYMBOLS);
            for position in 0..TIME {
                let counts = position < length;
                inputs.push(if counts { symbol } else { 0 });
                symbol = if random.below(10) > 0 { symbol + step } else { random.below(SYMBOLS) } % SYMBOLS;
                targets.push(if counts { symbol } else { 0 });
                loss_mask.push(counts);
            }
            lengths.push(length);
            source_lengths.push(source_length);
        }
        let source = Batch {
            size,
            time: SOURCE_TIME,
            inputs: Inputs::Tokens(from),
            source: None,
            targets: Targets::Classes(vec![0; size * SOURCE_TIME]),
            loss_mask: vec![false; size * SOURCE_TIME],
            lengths: source_lengths,
        };
        let batch = Batch {
            size,
            time: TIME,
            inputs: Inputs::Tokens(inputs),
            source: Some(Box::new(source)),
            targets: Targets::Classes(targets),
            loss_mask,
            lengths,
        };
        batch.assert_consistent();
        batch
    }
}

impl Task for Steps {
    fn name(&self) -> &'static str {
        "steps"
    }

    fn version(&self) -> u32 {
        1
    }

    fn interface(&self) -> Interface {
        self.interface
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let mut random = Random::new(seed, Stream::Training(update));
        let mut batch = Self::batch(&mut random, size);
        if self.shuffled {
            let other = (0..size * TIME).map(|_| random.below(SYMBOLS)).collect();
            batch.targets = Targets::Classes(other);
        }
        batch
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![Self::batch(&mut Random::new(seed, Stream::Validation), 100)]
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

/// A registered network with some settings.
struct Arm {
    entry: &'static ModelEntry,
    settings: Value,
}

impl Arm {
    fn fit(&self, task: &dyn Task, seed: u64, updates: u64) -> Result<Fit, LearnError> {
        self.fit_sized(task, seed, updates, 5000)
    }

    fn fit_sized(
        &self,
        task: &dyn Task,
        seed: u64,
        updates: u64,
        parameters: usize,
    ) -> Result<Fit, LearnError> {
        let size = Size { width: WIDTH, body_parameters: Some(parameters) };
        let learner = (self.entry.build)(&self.settings, &training(), &size)?;
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
        self.fit(&Steps::new(), 1, 60).unwrap().predictor
    }

    fn label(&self) -> String {
        format!("{} {}", self.entry.name, self.settings)
    }
}

fn training() -> TrainingConfig {
    TrainingConfig { rate: 0.01, warmup_updates: 10, ..TrainingConfig::default() }
}

/// Every registered network that reads a source as it comes, then the variants whose code differs.
fn arms() -> Vec<Arm> {
    let pairs = MODELS.iter().filter(|entry| entry.reads == Reads::SourceAndTarget);
    let defaults = pairs.map(|entry| Arm { entry, settings: json!({}) });
    let variants = [
        ("lstm-encoder-decoder", json!({"attention": "additive", "attention-width": 4})),
        ("lstm-encoder-decoder", json!({"attention": "additive", "bidirectional": true})),
        ("lstm-encoder-decoder", json!({"bidirectional": true})),
        ("transformer-encoder-decoder", json!({"layers": 1, "heads": 1})),
    ];
    let variants = variants.map(|(name, settings)| Arm { entry: model(name).unwrap(), settings });
    defaults.chain(variants).collect()
}

/// Sequences without padding.
fn full_batch(size: usize) -> Batch {
    let mut batch = Steps::batch(&mut Random::new(9, Stream::Test), size);
    batch.lengths = vec![TIME; size];
    batch.loss_mask = vec![true; size * TIME];
    let source = batch.source.as_mut().unwrap();
    source.lengths = vec![SOURCE_TIME; size];
    batch
}

fn with_other_symbol(batch: &Batch, position: usize, symbols: u32) -> Batch {
    let mut other = batch.clone();
    let Inputs::Tokens(tokens) = &mut other.inputs else { unreachable!() };
    for sequence in tokens.chunks_mut(batch.time) {
        sequence[position] = (sequence[position] + 1) % symbols;
    }
    other
}

fn with_other_source(batch: &Batch, position: usize) -> Batch {
    let source = with_other_symbol(batch.source.as_ref().unwrap(), position, 3);
    Batch { source: Some(Box::new(source)), ..batch.clone() }
}

/// Whether the predictions of two batches differ at each position of any sequence.
fn changed(predictor: &dyn Predictor, batch: &Batch, other: &Batch) -> Vec<bool> {
    let (a, b) = (predictor.predict(batch), predictor.predict(other));
    let at = |time: usize| (0..batch.size).any(|row| a.at(row * TIME + time) != b.at(row * TIME + time));
    (0..TIME).map(at).collect()
}

#[test]
fn a_changed_symbol_of_the_target_changes_later_outputs_and_no_earlier_one() {
    for arm in arms() {
        let batch = full_batch(3);
        let changed = changed(arm.trained().as_ref(), &batch, &with_other_symbol(&batch, 4, SYMBOLS));
        assert!(!changed[..4].contains(&true), "{} sees the future", arm.label());
        assert!(changed[5..].contains(&true), "{} does not see the past", arm.label());
    }
}

#[test]
fn a_changed_symbol_of_the_source_changes_every_output() {
    for arm in arms() {
        let (predictor, batch) = (arm.trained(), full_batch(3));
        for position in 0..SOURCE_TIME {
            let changed = changed(predictor.as_ref(), &batch, &with_other_source(&batch, position));
            assert_eq!(changed, [true; TIME], "{} at {position}", arm.label());
        }
    }
}

#[test]
fn padding_of_source_and_target_does_not_change_outputs_at_real_positions() {
    for arm in arms() {
        let predictor = arm.trained();
        let full = full_batch(3);
        let mut batch = full.clone();
        batch.lengths = vec![5, TIME, 6];
        batch.source.as_mut().unwrap().lengths = vec![4, SOURCE_TIME, 3];
        let source = with_other_source(&with_other_source(&batch, 4), 5);
        let target = with_other_symbol(&with_other_symbol(&batch, 6, SYMBOLS), 7, SYMBOLS);
        let differs = |full: &Batch, other: &Batch, row: usize, until: usize| {
            let (a, b) = (predictor.predict(full), predictor.predict(other));
            (0..until).any(|time| a.at(row * TIME + time) != b.at(row * TIME + time))
        };
        for (row, length) in [(0, 5), (2, 6)] {
            assert!(!differs(&batch, &source, row, TIME), "{} reads padding of the source", arm.label());
            assert!(!differs(&batch, &target, row, length), "{} reads padding of the target", arm.label());
        }
        // Twin: the second source is not padded there, and neither is any where lengths do not say so.
        assert!(differs(&batch, &source, 1, TIME), "{}", arm.label());
        let undeclared = with_other_source(&full, 5);
        assert!(differs(&full, &undeclared, 0, TIME), "{}", arm.label());
    }
}

#[test]
fn weights_of_attention_are_shares_of_the_source_without_its_padding() {
    let mut attends = 0;
    for arm in arms() {
        let (predictor, batch) = (arm.trained(), Steps::batch(&mut Random::new(4, Stream::Test), 12));
        let source = batch.source.as_ref().unwrap();
        let Some(weights) = predictor.alignment(&batch) else {
            assert!(!arm.settings.to_string().contains("additive"), "{}", arm.label());
            continue;
        };
        attends += 1;
        assert_eq!(weights.len(), batch.size * TIME * SOURCE_TIME);
        for (place, row) in weights.chunks(SOURCE_TIME).enumerate() {
            let (within, padding) = row.split_at(source.lengths[place / TIME]);
            assert!((within.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{}: {row:?}", arm.label());
            assert!(
                within.iter().all(|&weight| weight >= 0.0) && padding.iter().all(|&weight| weight == 0.0)
            );
        }
        // They are of this source and of this target.
        let other = |batch: &Batch| predictor.alignment(batch).unwrap() != weights;
        assert!(other(&with_other_source(&batch, 0)) && other(&with_other_symbol(&batch, 0, SYMBOLS)));
    }
    assert_eq!(attends, 4);
}

/// What is padded to the longest of a batch is answered as it would be alone.
#[test]
fn company_in_a_batch_changes_no_answer() {
    for arm in arms() {
        let predictor = arm.trained();
        let batch = Steps::batch(&mut Random::new(4, Stream::Test), 12);
        let together = predictor.predict(&batch);
        for row in 0..batch.size {
            let source = batch.source.as_ref().unwrap();
            let (length, from) = (batch.lengths[row], source.lengths[row]);
            let cut = |batch: &Batch, length: usize| {
                let Inputs::Tokens(tokens) = &batch.inputs else { unreachable!() };
                Batch {
                    size: 1,
                    time: length,
                    inputs: Inputs::Tokens(tokens[row * batch.time..][..length].to_vec()),
                    source: None,
                    targets: Targets::Classes(vec![0; length]),
                    loss_mask: vec![true; length],
                    lengths: vec![length],
                }
            };
            let alone = Batch { source: Some(Box::new(cut(source, from))), ..cut(&batch, length) };
            let alone = predictor.predict(&alone);
            for time in 0..length {
                for (a, b) in alone.at(time).iter().zip(together.at(row * TIME + time)) {
                    assert!((a - b).abs() < 1e-5, "{}: {a} {b}", arm.label());
                }
            }
        }
    }
}

#[test]
fn bodies_have_the_requested_size() {
    for arm in arms() {
        for parameters in [5_000, 10_000, 30_000] {
            let fit = arm.fit_sized(&Steps::new(), 1, 0, parameters).unwrap();
            let counted = fit.predictor.body_parameters();
            let off = counted.abs_diff(parameters) * 20;
            assert!(off <= parameters, "{}: {counted} for {parameters}", arm.label());
            // Embeddings of 3 and 5 symbols, read-out of 8 x 5 weights and 5 biases.
            assert_eq!(fit.predictor.total_parameters(), counted + 8 * WIDTH + 8 * 5 + 5);
        }
        let error = arm.fit_sized(&Steps::new(), 1, 0, 7).err().unwrap();
        assert!(matches!(error, LearnError::Size { requested: 7, .. }), "{error}");
    }
}

#[test]
fn the_seed_decides_every_bit() {
    let batch = full_batch(3);
    for arm in arms() {
        let values = |seed| arm.fit(&Steps::new(), seed, 5).unwrap().predictor.predict(&batch).values;
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(values(1)), bits(values(1)), "{}", arm.label());
        assert_ne!(values(1), values(2), "{}", arm.label());
    }
}

#[test]
fn networks_learn_what_only_source_and_past_together_say() {
    for arm in arms() {
        let loss = arm.fit(&Steps::new(), 1, 300).unwrap().best_validation;
        // By hand: probabilities 0.92 and four times 0.02 have an entropy of 0.39 nats; who does not read the source
        // knows two symbols of 0.47 and three of 0.02, which is 0.94 at the first position and less where the past tells
        // the step.
        assert!((0.3..0.6).contains(&loss), "{} has {loss}", arm.label());
    }
}

/// The twin of the test above: what could still be learnt would have leaked.
#[test]
fn nothing_is_learnt_from_shuffled_labels() {
    for arm in arms() {
        let task = Steps { shuffled: true, ..Steps::new() };
        // Validation has true labels, so that the best of several evaluations is a little below ln 5.
        let loss = arm.fit(&task, 1, 150).unwrap().best_validation;
        assert!(loss > 5_f64.ln() - 0.1, "{} has {loss}", arm.label());
    }
}

#[test]
fn an_unsuitable_task_is_an_error() {
    for arm in arms() {
        let message = |change: fn(&mut Interface)| {
            let mut task = Steps::new();
            change(&mut task.interface);
            arm.fit(&task, 1, 1).err().unwrap().to_string()
        };
        let one = message(|interface| interface.inputs = InputKind::Tokens { vocabulary: 5 });
        assert!(one.contains("it has no source sequence"), "{one}");
        let value = message(|interface| interface.loss = LossKind::MeanSquaredError);
        assert!(value.contains("asks for a value"), "{value}");
        let empty = message(|interface| {
            interface.inputs = InputKind::Conditioned { source: 0, vocabulary: 5 };
        });
        assert!(empty.contains("vocabulary is empty"), "{empty}");
    }
}

#[test]
fn settings_are_checked() {
    let size = Size { width: WIDTH, body_parameters: None };
    for (name, settings, part) in [
        ("lstm-encoder-decoder", json!({"hidden": 0}), "`hidden` must be at least 1"),
        ("lstm-encoder-decoder", json!({"hidden": 1, "bidirectional": true}), "at least 2"),
        ("lstm-encoder-decoder", json!({"attention": "dot"}), "unknown variant `dot`"),
        ("lstm-encoder-decoder", json!({"attention-width": 0}), "`attention-width` must be at least 1"),
        ("transformer-encoder-decoder", json!({"heads": 3}), "must be a multiple of `heads` = 3"),
    ] {
        let error = (model(name).unwrap().build)(&settings, &training(), &size).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains(part), "{error}");
    }
}
