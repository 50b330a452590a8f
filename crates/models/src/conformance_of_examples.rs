//! What every model that fits a finite training set at once must do, whatever it is: taken from the list, on four small tasks of one
//! kind each. A model refuses the kinds that it does not read, and answers one at least.

use sequence::{
    Batch, Budget, Column, Dataset, Fit, Floor, InputKind, Inputs, Interface, LearnError, LossKind,
    Predictions, Random, Run, Score, StopRule, Stopwatch, Stream, Targets, Task, TestSet,
};
use serde_json::json;
use training::TrainingConfig;

use crate::{MODELS, ModelEntry, Reads, Size};

const EXAMPLES: usize = 300;

/// What an example is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Five symbols below 8; class 1 has more of the upper half.
    Symbols,
    /// Three real numbers, of which the first is larger in class 1, and some are missing.
    Rows,
    /// The same, of which none is missing.
    CompleteRows,
    /// One number, and as target its double.
    Curve,
}

const KINDS: [Kind; 4] = [Kind::Symbols, Kind::Rows, Kind::CompleteRows, Kind::Curve];

pub(crate) struct Small {
    pub(crate) kind: Kind,
    /// Whether labels have nothing to do with the examples.
    pub(crate) shuffled: bool,
    /// Whether there is a training set.
    pub(crate) finite: bool,
}

impl Small {
    pub(crate) fn of(kind: Kind) -> Self {
        Self { kind, shuffled: false, finite: true }
    }

    fn batch(&self, seed: u64, stream: Stream, size: usize) -> Batch {
        let mut random = Random::new(seed, stream);
        let mut shuffled = Random::new(seed, Stream::Sampling);
        let classes: Vec<u32> = (0..size).map(|_| random.below(2)).collect();
        let shown = |class: u32| if self.shuffled { shuffled.below(2) } else { class };
        let (time, inputs, targets) = match self.kind {
            Kind::Symbols => {
                let symbol = |class: u32| {
                    if random.below(4) == 0 && self.kind == Kind::Rows {
                        random.below(8)
                    } else {
                        4 * class + random.below(4)
                    }
                };
                let tokens = classes.iter().flat_map(|&class| [class; 5]).map(symbol).collect();
                let targets =
                    classes.iter().copied().map(shown).flat_map(|class| [0, 0, 0, 0, class]).collect();
                (5, Inputs::Tokens(tokens), Targets::Classes(targets))
            }
            Kind::Rows | Kind::CompleteRows => {
                let mut values = Vec::new();
                for &class in &classes {
                    values.extend([2.0 * class as f32 + random.normal(), random.normal(), random.normal()]);
                    if random.below(4) == 0 && self.kind == Kind::Rows {
                        let last = values.len() - 1;
                        values[last] = f32::NAN;
                    }
                }
                let targets = classes.iter().copied().map(shown).collect();
                (1, Inputs::Features { width: 3, values }, Targets::Classes(targets))
            }
            Kind::Curve => {
                let values: Vec<f32> = classes.iter().map(|_| random.unit()).collect();
                let target = |value: &f32| if self.shuffled { 2.0 * shuffled.unit() } else { 2.0 * value };
                let targets = values.iter().map(target).collect();
                (1, Inputs::Features { width: 1, values }, Targets::Values(targets))
            }
        };
        let loss_mask = (0..size * time).map(|position| position % time == time - 1).collect();
        Batch { size, time, inputs, source: None, targets, loss_mask, lengths: vec![time; size] }
    }
}

impl Task for Small {
    fn name(&self) -> &'static str {
        "small"
    }

    fn version(&self) -> u32 {
        1
    }

    fn interface(&self) -> Interface {
        let (inputs, outputs, loss, maximum_time) = match self.kind {
            Kind::Symbols => (InputKind::Tokens { vocabulary: 8 }, 2, LossKind::CrossEntropy, 5),
            Kind::Rows | Kind::CompleteRows => {
                (InputKind::Features { width: 3 }, 2, LossKind::CrossEntropy, 1)
            }
            Kind::Curve => (InputKind::Features { width: 1 }, 1, LossKind::MeanSquaredError, 1),
        };
        Interface { inputs, outputs, loss, maximum_time }
    }

    fn training_batch(&self, seed: u64, _: u64, size: usize) -> Batch {
        self.batch(seed, Stream::Training(0), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![self.batch(seed, Stream::Validation, EXAMPLES)]
    }

    fn test(&self, _: u64) -> Vec<TestSet> {
        Vec::new()
    }

    /// The loss: cross-entropy or squared error.
    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        let (mut sum, mut count) = (0.0, 0);
        for (batch, predictions) in batches.iter().zip(predictions) {
            for position in (0..batch.size * batch.time).filter(|&position| batch.loss_mask[position]) {
                sum += match &batch.targets {
                    Targets::Classes(classes) => {
                        -f64::from(predictions.at(position)[classes[position] as usize])
                    }
                    Targets::Values(values) => {
                        f64::from(predictions.at(position)[0] - values[position]).powi(2)
                    }
                };
                count += 1;
            }
        }
        vec![Score { metric: "loss", value: sum / f64::from(count), count: EXAMPLES }]
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

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        self.finite.then(|| vec![self.batch(seed, Stream::Training(0), EXAMPLES)])
    }

    fn columns(&self) -> Option<Vec<Column>> {
        None
    }
}

pub(crate) struct Still;

impl Stopwatch for Still {
    fn wall_seconds(&self) -> f64 {
        0.0
    }

    fn processor_seconds(&self) -> f64 {
        0.0
    }
}

fn fit(entry: &ModelEntry, task: &Small, seed: u64) -> Result<Fit, LearnError> {
    let size = Size { width: 8, body_parameters: None };
    let learner = (entry.build)(&json!({}), &TrainingConfig::default(), &size)?;
    let data = Dataset::new(task, seed, 16);
    assert!(learner.peak_bytes(&data) > 0, "{}", entry.name);
    let budget = Budget { updates: 1, evaluate_every: 1 };
    learner.fit(&data, &mut Run { budget, stop: StopRule::Budget, seed, stopwatch: &Still, observer: None })
}

/// Every model with each kind of task that it answers.
fn pairs() -> Vec<(&'static ModelEntry, Kind)> {
    let mut pairs = Vec::new();
    for entry in MODELS.iter().filter(|entry| entry.reads == Reads::TrainingSet) {
        let before = pairs.len();
        for kind in KINDS {
            match fit(entry, &Small::of(kind), 1) {
                Ok(_) => pairs.push((entry, kind)),
                Err(LearnError::Unsuitable { model, .. }) => assert_eq!(model, entry.name),
                Err(error) => panic!("{} on {kind:?}: {error}", entry.name),
            }
        }
        assert!(pairs.len() > before, "{} answers nothing", entry.name);
    }
    pairs
}

/// What is scored by one who knows nothing of the example: ln 2 of two classes, and of a target uniform in 0..2 its variance, 1/3.
fn ignorance(kind: Kind) -> f64 {
    if kind == Kind::Curve { 1.0 / 3.0 } else { std::f64::consts::LN_2 }
}

#[test]
fn models_learn_and_nothing_is_learnt_from_shuffled_labels() {
    for (entry, kind) in pairs() {
        let loss = fit(entry, &Small::of(kind), 1).unwrap().best_validation;
        assert!(loss < 0.8 * ignorance(kind), "{} on {kind:?} has {loss}", entry.name);
        let shuffled = fit(entry, &Small { shuffled: true, ..Small::of(kind) }, 1).unwrap().best_validation;
        assert!(shuffled > 0.95 * ignorance(kind), "{} on {kind:?} has {shuffled}", entry.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    for (entry, kind) in pairs() {
        let task = Small::of(kind);
        let bits = || -> Vec<u32> {
            let predictor = fit(entry, &task, 3).unwrap().predictor;
            predictor.predict(&task.validation(3)[0]).values.into_iter().map(f32::to_bits).collect()
        };
        assert_eq!(bits(), bits(), "{} on {kind:?}", entry.name);
    }
}

#[test]
fn an_answer_does_not_depend_on_the_rest_of_the_batch() {
    for (entry, kind) in pairs() {
        let task = Small::of(kind);
        let predictor = fit(entry, &task, 3).unwrap().predictor;
        let all = predictor.predict(&task.batch(5, Stream::Test, 40));
        let outputs = task.interface().outputs;
        assert_eq!(
            all.values.len(),
            40 * task.interface().maximum_time * outputs,
            "{} on {kind:?}",
            entry.name
        );
        // The first examples are the same in a smaller batch, classes being drawn first.
        let mut few = task.batch(5, Stream::Test, 40);
        few.size = 3;
        few.lengths.truncate(3);
        few.loss_mask.truncate(3 * few.time);
        match &mut few.inputs {
            Inputs::Tokens(tokens) => tokens.truncate(3 * few.time),
            Inputs::Features { width, values } => values.truncate(3 * *width),
        }
        match &mut few.targets {
            Targets::Classes(classes) => classes.truncate(3 * few.time),
            Targets::Values(values) => values.truncate(3),
        }
        let alone = predictor.predict(&few);
        assert_eq!(alone.values, all.values[..alone.values.len()], "{} on {kind:?}", entry.name);
    }
}

#[test]
fn classes_have_probabilities_that_sum_to_one() {
    for (entry, kind) in pairs().into_iter().filter(|(_, kind)| *kind != Kind::Curve) {
        let task = Small::of(kind);
        let answers = fit(entry, &task, 3).unwrap().predictor.predict(&task.validation(3)[0]);
        for answer in answers.values.chunks(2) {
            let sum: f32 = answer.iter().map(|value| value.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{} on {kind:?}: {answer:?}", entry.name);
        }
    }
}

/// The log-odds of the second class of each example.
fn log_odds(predictor: &dyn sequence::Predictor, batch: &Batch) -> Vec<f64> {
    let answers = predictor.predict(batch);
    let last = (0..batch.size).map(|row| answers.at(row * batch.time + batch.time - 1));
    last.map(|answer| f64::from(answer[1]) - f64::from(answer[0])).collect()
}

#[test]
fn what_positions_say_and_nothing_else_tells_answers_of_weighted_sums_apart() {
    let mut sums = 0;
    for (entry, kind) in pairs().into_iter().filter(|(_, kind)| *kind == Kind::Symbols) {
        let task = Small::of(kind);
        let predictor = fit(entry, &task, 3).unwrap().predictor;
        let batch = &task.validation(3)[0];
        let explanations = predictor.explanations(batch, &vec![1; batch.size]);
        let against = predictor.explanations(batch, &vec![0; batch.size]);
        for (explanation, against) in explanations.iter().zip(&against) {
            assert_eq!(explanation.relevance.len(), batch.size * batch.time, "{}", entry.name);
            for (one, other) in explanation.relevance.iter().zip(&against.relevance) {
                assert!((one + other).abs() < 1e-9, "{}: two classes share what is said", entry.name);
            }
            if explanation.name == "gradient-times-input" {
                // The intercept or prior is left, which is the same for all.
                let told = explanation.relevance.chunks(batch.time).map(|row| row.iter().sum::<f64>());
                let rest: Vec<f64> = log_odds(predictor.as_ref(), batch)
                    .iter()
                    .zip(told)
                    .map(|(odds, told)| odds - told)
                    .collect();
                let spread = rest.iter().map(|value| (value - rest[0]).abs()).fold(0.0, f64::max);
                // Predictions are single precision.
                assert!(spread < 1e-4, "{}: {spread}", entry.name);
                sums += 1;
            }
        }
    }
    assert!(sums >= 2, "naive Bayes and logistic regression are weighted sums");
}

/// Two classes of rows, of which the class of 20 is told.
struct Untold(Small);

impl Task for Untold {
    fn name(&self) -> &'static str {
        "untold"
    }

    fn version(&self) -> u32 {
        1
    }

    fn interface(&self) -> Interface {
        self.0.interface()
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        self.0.training_batch(seed, update, size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        self.0.validation(seed)
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        self.0.test(seed)
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        self.0.scores(batches, predictions)
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

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        let mut set = self.0.training_set(seed)?;
        set[0].loss_mask[20..].fill(false);
        if let Targets::Classes(classes) = &mut set[0].targets {
            classes[20..].fill(0);
        }
        Some(set)
    }
}

#[test]
fn examples_without_a_class_are_refused_unless_a_model_says_what_becomes_of_them() {
    let task = Untold(Small::of(Kind::CompleteRows));
    let fit = |entry: &ModelEntry, settings: serde_json::Value| {
        let size = Size { width: 8, body_parameters: None };
        let learner = (entry.build)(&settings, &TrainingConfig::default(), &size).unwrap();
        let budget = Budget { updates: 1, evaluate_every: 1 };
        let mut run = Run { budget, stop: StopRule::Budget, seed: 1, stopwatch: &Still, observer: None };
        learner.fit(&Dataset::new(&task, 1, 16), &mut run)
    };
    let mut able = 0;
    for (entry, _) in pairs().into_iter().filter(|(_, kind)| *kind == Kind::CompleteRows) {
        let refused = fit(entry, json!({})).err().unwrap().to_string();
        assert!(refused.contains("the class of 280 of its 300"), "{}: {refused}", entry.name);
        assert!(refused.contains(entry.name), "{}: {refused}", entry.name);
        if (entry.defaults)().get("unlabelled").is_none() {
            continue;
        }
        able += 1;
        let with = |others: &str| {
            let fit = fit(entry, json!({"unlabelled": others})).unwrap();
            assert!(
                fit.best_validation < 0.9 * ignorance(Kind::CompleteRows),
                "{}: {}",
                entry.name,
                fit.best_validation
            );
            fit.predictor.predict(&task.validation(1)[0]).values
        };
        assert_ne!(with("ignore"), with("learn"), "{}", entry.name);
    }
    assert_eq!(able, 3);
}

#[test]
fn an_endless_stream_is_refused() {
    for (entry, kind) in pairs() {
        let endless = Small { finite: false, ..Small::of(kind) };
        let size = Size { width: 8, body_parameters: None };
        let learner = (entry.build)(&json!({}), &TrainingConfig::default(), &size).unwrap();
        let budget = Budget { updates: 1, evaluate_every: 1 };
        let mut run = Run { budget, stop: StopRule::Budget, seed: 1, stopwatch: &Still, observer: None };
        let refused = learner.fit(&Dataset::new(&endless, 1, 16), &mut run).err().unwrap().to_string();
        assert!(refused.contains("an endless stream"), "{}: {refused}", entry.name);
    }
}
