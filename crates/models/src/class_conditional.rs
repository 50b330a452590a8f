//! A network as a generative classifier: a language model of each class, and Bayes' rule.
//!
//! ```text
//! log P(text, class) = log P(class) + sum_t log P(x_t | class, x_1 .. x_{t-1})
//! P(class | text)    = P(text, class) / sum over classes of P(text, class)
//! ```
//!
//! One language model serves all classes: it reads the class as a symbol before the text, and its body, embedding and read-out are those
//! that the same network has as a classifier. Training lowers the mean of `-log P(x_t | class, ..)` over the symbols of a text under
//! its own class, and nothing of the class given the text. P(class) is counted, with one added to each class, where the training set
//! is finite, and even where it is not. The length of a text is taken as given.
//!
//! Yogatama, Dyer, Ling and Blunsom 2017.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};
use sequence::{
    Batch, Dataset, Fit, InputKind, Inputs, Interface, LearnError, Learner, LossKind, Run, Targets,
};
use serde::{Deserialize, Serialize};
use training::{
    Body, BodyContext, Initialiser, Network, Positions, SequenceNetwork, TrainingConfig, device, fit,
};

use crate::architecture::{check_size, check_training, defaults, parse};
use crate::causal_convolution::CausalConvolution;
use crate::{Architecture, Gru, Lstm, ModelEntry, Offers, Reads, Rnn, Size};

const NAME: &str = "class-conditional";

pub(crate) const ENTRY: ModelEntry = ModelEntry {
    name: NAME,
    summary: "a language model of each class, and the class by Bayes' rule",
    citation: "Yogatama, Dyer, Ling and Blunsom 2017",
    version: 1,
    attends: false,
    reads_ahead: |_| Ok(false),
    reads: Reads::LabelledSequence,
    offers: Offers::NOTHING,
    defaults: defaults::<ClassConditional>,
    build,
};

/// Settings of a class-conditional language model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ClassConditional {
    /// The registered network whose body it has, at its default settings.
    body: BodyName,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BodyName {
    Rnn,
    #[default]
    Lstm,
    Gru,
    CausalConvolution,
}

fn build(
    settings: &serde_json::Value,
    training: &TrainingConfig,
    size: &Size,
) -> Result<Box<dyn Learner>, LearnError> {
    let settings: ClassConditional = parse(NAME, settings)?;
    check_training(NAME, training, size)?;
    match settings.body {
        BodyName::Rnn => learner(Rnn::default(), training, size),
        BodyName::Lstm => learner(Lstm::default(), training, size),
        BodyName::Gru => learner(Gru::default(), training, size),
        BodyName::CausalConvolution => learner(CausalConvolution::default(), training, size),
    }
}

fn learner<A: Architecture>(
    architecture: A,
    training: &TrainingConfig,
    size: &Size,
) -> Result<Box<dyn Learner>, LearnError> {
    let architecture = match size.body_parameters {
        Some(requested) => architecture.resized(size.width, requested),
        None => architecture,
    };
    check_size(NAME, architecture.body_parameters(size.width), size)?;
    Ok(Box::new(ClassConditionalLearner { architecture, training: training.clone(), width: size.width }))
}

/// A language model under classes.
#[derive(Module, Debug)]
struct ClassConditionalNetwork<B: Module> {
    /// Reads symbols, and after them classes, as symbols.
    language_model: SequenceNetwork<B>,
    /// One a class.
    #[module(skip)]
    log_priors: Vec<f64>,
    /// Symbols of the text.
    #[module(skip)]
    symbols: usize,
}

impl<B: Body> ClassConditionalNetwork<B> {
    /// The texts one step late, after their class, and as targets as they are.
    fn told(&self, batch: &Batch, class: impl Fn(usize) -> u32) -> Batch {
        let Inputs::Tokens(tokens) = &batch.inputs else {
            unreachable!("a task that is no text was refused")
        };
        let first = u32::try_from(self.symbols).expect("a vocabulary fits 32 bits");
        let mut inputs = Vec::with_capacity(tokens.len());
        let mut loss_mask = Vec::with_capacity(tokens.len());
        for (row, text) in tokens.chunks_exact(batch.time).enumerate() {
            inputs.push(first + class(row));
            inputs.extend_from_slice(&text[..batch.time - 1]);
            loss_mask.extend((0..batch.time).map(|position| position < batch.lengths[row]));
        }
        Batch {
            size: batch.size,
            time: batch.time,
            inputs: Inputs::Tokens(inputs),
            source: None,
            targets: Targets::Classes(tokens.clone()),
            loss_mask,
            lengths: batch.lengths.clone(),
        }
    }

    /// For each position the natural logarithm of the probability of the text so far, `[batch * time]`, the padding read as text.
    fn log_probabilities(&self, told: &Batch, context: &BodyContext) -> Vec<f64> {
        let outputs = log_softmax(self.language_model.outputs(told, Positions::All, context), 1);
        let values: Vec<f32> = outputs.into_data().try_into_vec().expect("outputs are single precision");
        let Targets::Classes(symbols) = &told.targets else { unreachable!("the targets are symbols") };
        let of_symbol = values.chunks_exact(self.symbols).zip(symbols);
        let mut sums: Vec<f64> =
            of_symbol.map(|(outputs, &symbol)| f64::from(outputs[symbol as usize])).collect();
        sums.chunks_exact_mut(told.time).for_each(accumulate);
        sums
    }
}

/// Each value becomes the sum of those up to it.
fn accumulate(values: &mut [f64]) {
    let mut sum = 0.0;
    for value in values {
        sum += *value;
        *value = sum;
    }
}

/// The logarithms of P(text, class), each less the largest, from those of P(class) and, by class and place, of P(text given class).
#[expect(clippy::cast_possible_truncation, reason = "outputs are single precision")]
fn joint(log_priors: &[f64], of_text: &[Vec<f64>], place: usize) -> Vec<f32> {
    let joint: Vec<f64> = log_priors.iter().zip(of_text).map(|(prior, text)| prior + text[place]).collect();
    let largest = joint.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    joint.into_iter().map(|value| (value - largest) as f32).collect()
}

/// The class asked for in each sequence.
fn classes(batch: &Batch) -> Vec<u32> {
    let Targets::Classes(classes) = &batch.targets else {
        unreachable!("a task that asks for values was refused")
    };
    let rows = classes.chunks_exact(batch.time).zip(batch.loss_mask.chunks_exact(batch.time));
    let asked = |(classes, mask): (&[u32], &[bool])| {
        mask.iter().position(|&counts| counts).map_or(0, |at| classes[at])
    };
    rows.map(asked).collect()
}

impl<B: Body> Network for ClassConditionalNetwork<B> {
    /// Of the text up to each position, by Bayes' rule; for evaluation, so without a gradient.
    fn outputs(&self, batch: &Batch, positions: Positions, context: &BodyContext) -> Tensor<2> {
        let of_class = |class| self.log_probabilities(&self.told(batch, |_| class), context);
        let of_text: Vec<Vec<f64>> = (0..).take(self.log_priors.len()).map(of_class).collect();
        let wanted = |place: &usize| positions == Positions::All || batch.loss_mask[*place];
        let places: Vec<usize> = (0..batch.size * batch.time).filter(wanted).collect();
        let values: Vec<f32> =
            places.iter().flat_map(|&place| joint(&self.log_priors, &of_text, place)).collect();
        let data = TensorData::new(values, [places.len(), self.log_priors.len()]);
        Tensor::from_data(data, &self.language_model.devices()[0])
    }

    fn loss(&self, batch: &Batch, kind: LossKind, context: &BodyContext) -> Tensor<1> {
        let classes = classes(batch);
        self.language_model.loss(&self.told(batch, |row| classes[row]), kind, context)
    }

    fn log_joint(&self, batch: &Batch) -> Option<Vec<f64>> {
        let classes = classes(batch);
        let told = self.told(batch, |row| classes[row]);
        let sums = self.log_probabilities(&told, &BodyContext::evaluation(&batch.lengths));
        let of_row = |(row, &class): (usize, &u32)| {
            let text = batch.lengths[row].checked_sub(1).map_or(0.0, |last| sums[row * batch.time + last]);
            self.log_priors[class as usize] + text
        };
        Some(classes.iter().enumerate().map(of_row).collect())
    }

    fn body_parameters(&self) -> usize {
        self.language_model.body_parameters()
    }

    fn multiply_adds(&self, batch: &Batch) -> u64 {
        self.language_model.multiply_adds(&self.told(batch, |_| 0))
    }
}

/// The network before it has seen data.
struct ClassConditionalLearner<A> {
    architecture: A,
    training: TrainingConfig,
    width: usize,
}

/// Symbols and classes of a task that such a network can answer.
fn sizes(data: &Dataset) -> Result<[usize; 2], LearnError> {
    let unsuitable = |reason: &str| Err(LearnError::Unsuitable { model: NAME, reason: reason.to_owned() });
    let interface = data.interface();
    if let Some(reason) = Reads::LabelledSequence.misfit(interface.inputs) {
        return unsuitable(reason);
    }
    let one_answer = |batch: &Batch| batch.supervised() == batch.size;
    match (interface.inputs, interface.loss, interface.outputs) {
        (_, LossKind::MeanSquaredError, _) => {
            unsuitable("it asks for a value, and this network knows classes")
        }
        (_, _, 0 | 1) => unsuitable("Bayes' rule needs two classes or more"),
        (InputKind::Tokens { vocabulary }, _, outputs) if vocabulary > 0 => {
            if !data.validation().iter().chain([&data.training_batch(0)]).all(one_answer) {
                return unsuitable(
                    "it asks more than once a sequence, and this network has one class a text",
                );
            }
            Ok([vocabulary, outputs])
        }
        (InputKind::Tokens { .. }, ..) => unsuitable("its vocabulary is empty"),
        _ => unsuitable("its inputs are numbers, and this network writes symbols"),
    }
}

/// The logarithm of each class's share of the training set, one being added to each count; even without a finite set.
fn log_priors(data: &Dataset, outputs: usize) -> Vec<f64> {
    let mut counts = vec![1.0_f64; outputs];
    for batch in data.training_set().iter().flatten() {
        for class in classes(batch) {
            counts[class as usize] += 1.0;
        }
    }
    let all: f64 = counts.iter().sum();
    counts.into_iter().map(|count| (count / all).ln()).collect()
}

impl<A: Architecture> ClassConditionalLearner<A> {
    fn network(
        &self,
        data: &Dataset,
        initialiser: &mut Initialiser,
    ) -> Result<ClassConditionalNetwork<A::Body>, LearnError> {
        let [symbols, outputs] = sizes(data)?;
        let interface = Interface {
            inputs: InputKind::Tokens { vocabulary: symbols + outputs },
            outputs: symbols,
            loss: LossKind::CrossEntropy,
            maximum_time: data.interface().maximum_time,
        };
        let language_model = SequenceNetwork::new(&interface, self.width, initialiser, |initialiser| {
            self.architecture.init(self.width, &interface, initialiser)
        });
        Ok(ClassConditionalNetwork { language_model, log_priors: log_priors(data, outputs), symbols })
    }
}

impl<A: Architecture> Learner for ClassConditionalLearner<A> {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let device = device(&self.training.device)
            .map_err(|error| LearnError::Setting { model: NAME, reason: error.to_string() })?
            .autodiff();
        let network = self.network(data, &mut Initialiser::new(run.seed, &device))?;
        Ok(fit(network, &self.training, data, run))
    }

    /// As for the network that is a classifier, and the log-probabilities of each class.
    fn peak_bytes(&self, data: &Dataset) -> u64 {
        let training = data.batch_size() * data.interface().maximum_time;
        let validation =
            data.validation().iter().map(|batch| batch.size * batch.time).max().unwrap_or_default();
        let kept = 12 * validation * data.interface().outputs;
        let body = self.architecture.body_parameters(self.width);
        training::peak_bytes(body, training, validation) + kept as u64
    }
}

#[cfg(test)]
mod tests {
    use sequence::{Budget, StopRule, Task};
    use serde_json::{Value, json};

    use super::*;
    use crate::conformance_of_examples::{Kind, Small, Still};
    use crate::examples::log_normalised;

    const BODIES: [&str; 4] = ["rnn", "lstm", "gru", "causal-convolution"];
    const WIDTH: usize = 8;

    fn training() -> TrainingConfig {
        TrainingConfig { rate: 0.01, warmup_updates: 10, ..TrainingConfig::default() }
    }

    fn built(settings: &Value, parameters: usize) -> Result<Box<dyn Learner>, LearnError> {
        build(settings, &training(), &Size { width: WIDTH, body_parameters: Some(parameters) })
    }

    fn fitted(body: &str, task: &Small, seed: u64, updates: u64) -> Result<Fit, LearnError> {
        let learner = built(&json!({ "body": body }), 2000)?;
        let data = Dataset::new(task, seed, 100);
        assert!(learner.peak_bytes(&data) > 0);
        let budget = Budget { updates, evaluate_every: 50 };
        learner
            .fit(&data, &mut Run { budget, stop: StopRule::Budget, seed, stopwatch: &Still, observer: None })
    }

    /// Untrained, over the 8 symbols and 2 classes of `Small`.
    fn network() -> ClassConditionalNetwork<<Lstm as Architecture>::Body> {
        let task = Small::of(Kind::Symbols);
        let learner = ClassConditionalLearner {
            architecture: Lstm { hidden: 4, ..Lstm::default() },
            training: training(),
            width: WIDTH,
        };
        let device = device("flex").unwrap();
        learner.network(&Dataset::new(&task, 1, 4), &mut Initialiser::new(1, &device)).unwrap()
    }

    /// Texts of a length, each under a class.
    fn batch(texts: &[Vec<u32>], class: u32) -> Batch {
        let time = texts[0].len();
        Batch {
            size: texts.len(),
            time,
            inputs: Inputs::Tokens(texts.concat()),
            source: None,
            targets: Targets::Classes(vec![class; texts.len() * time]),
            loss_mask: (0..texts.len() * time).map(|place| place % time == time - 1).collect(),
            lengths: vec![time; texts.len()],
        }
    }

    #[test]
    fn the_class_follows_from_priors_and_texts_by_bayes_rule() {
        // By hand: P(0) = 1/4, P(1) = 3/4; the two symbols have 1/2 and 1/2 under class 0, 1/2 and 1/6 under class 1, so that the
        // text has 1/4 and 1/12, the joint is 1/16 and 1/16, and the classes are as likely; after the first symbol 1/8 and 3/8.
        let logs = |values: [f64; 2]| {
            let mut logs = values.map(f64::ln).to_vec();
            accumulate(&mut logs);
            logs
        };
        let of_text = [logs([0.5, 0.5]), logs([0.5, 1.0 / 6.0])];
        let priors = [0.25_f64.ln(), 0.75_f64.ln()];
        let answer = |place| {
            let joint = joint(&priors, &of_text, place).into_iter().map(f64::from).collect();
            log_normalised(joint).into_iter().map(f64::exp).collect::<Vec<_>>()
        };
        let near =
            |found: &[f64], by_hand: [f64; 2]| found.iter().zip(by_hand).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(&answer(0), [0.25, 0.75]), "{:?}", answer(0));
        assert!(near(&answer(1), [0.5, 0.5]), "{:?}", answer(1));
    }

    #[test]
    fn texts_and_classes_have_probabilities_that_sum_to_one() {
        let texts: Vec<Vec<u32>> = (0..64).map(|text| vec![text / 8, text % 8]).collect();
        let network = network();
        let sum: f64 = [0, 1]
            .into_iter()
            .flat_map(|class| network.log_joint(&batch(&texts, class)).unwrap())
            .map(f64::exp)
            .sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }

    #[test]
    fn the_answer_is_the_joint_probability_over_its_sum() {
        let texts = vec![vec![3, 1, 4], vec![1, 5, 7], vec![2, 6, 5]];
        let network = network();
        let joint: Vec<Vec<f64>> =
            [0, 1].into_iter().map(|class| network.log_joint(&batch(&texts, class)).unwrap()).collect();
        let asked = batch(&texts, 0);
        let outputs =
            network.outputs(&asked, Positions::Supervised, &BodyContext::evaluation(&asked.lengths));
        let outputs: Vec<f32> = outputs.into_data().try_into_vec().unwrap();
        for (row, found) in outputs.chunks(2).enumerate() {
            let difference = joint[0][row] - joint[1][row];
            assert!((f64::from(found[0] - found[1]) - difference).abs() < 1e-5, "{found:?} {difference}");
            assert!(difference != 0.0);
        }
    }

    #[test]
    fn the_loss_is_the_mean_of_the_negative_log_probabilities_of_the_symbols() {
        let texts = vec![vec![3, 1, 4, 1], vec![5, 2, 6, 5]];
        let network = network();
        for class in [0, 1] {
            let mut batch = batch(&texts, class);
            // The second text ends after three symbols.
            batch.lengths[1] = 3;
            batch.loss_mask[6..].copy_from_slice(&[true, false]);
            let joint: f64 = network.log_joint(&batch).unwrap().iter().sum();
            let priors = 2.0 * network.log_priors[class as usize];
            let context = BodyContext::evaluation(&batch.lengths);
            let loss: f32 = network.loss(&batch, LossKind::CrossEntropy, &context).into_scalar();
            let mean = -(joint - priors) / 7.0;
            assert!((f64::from(loss) - mean).abs() < 1e-5, "{loss} {mean}");
        }
    }

    #[test]
    fn an_answer_depends_on_what_came_before_and_on_nothing_after() {
        let network = network();
        let outputs = |text: Vec<u32>| -> Vec<f32> {
            let batch = batch(&[text], 0);
            let outputs = network.outputs(&batch, Positions::All, &BodyContext::evaluation(&batch.lengths));
            outputs.into_data().try_into_vec().unwrap()
        };
        let (one, other) = (outputs(vec![3, 1, 4, 1, 5]), outputs(vec![3, 1, 2, 1, 5]));
        assert_eq!(one[..4], other[..4]);
        assert!((2..5).all(|time| one[2 * time..2 * time + 2] != other[2 * time..2 * time + 2]));
    }

    #[test]
    fn priors_are_the_shares_of_the_classes() {
        let finite = Small::of(Kind::Symbols);
        let data = Dataset::new(&finite, 1, 4);
        let ones = data.training_set().unwrap().iter().flat_map(classes).filter(|&class| class == 1).count();
        // One added to each of two counts of 300.
        let share = (ones as f64 + 1.0) / 302.0;
        assert!((log_priors(&data, 2)[1] - share.ln()).abs() < 1e-12);
        let endless = Small { finite: false, ..finite };
        assert_eq!(log_priors(&Dataset::new(&endless, 1, 4), 2), [0.5_f64.ln(); 2]);
    }

    #[test]
    fn bodies_have_the_requested_size_and_the_seed_decides_every_bit() {
        let task = Small::of(Kind::Symbols);
        for body in BODIES {
            let bits = |seed| -> Vec<u32> {
                let predictor = fitted(body, &task, seed, 3).unwrap().predictor;
                assert!(predictor.body_parameters().abs_diff(2000) <= 100, "{body}");
                // Embedding of 8 symbols and 2 classes, read-out of 8 symbols.
                let shared = 10 * WIDTH + WIDTH * 8 + 8;
                assert_eq!(predictor.total_parameters(), predictor.body_parameters() + shared, "{body}");
                predictor.predict(&task.validation(9)[0]).values.into_iter().map(f32::to_bits).collect()
            };
            assert_eq!(bits(1), bits(1), "{body}");
            assert_ne!(bits(1), bits(2), "{body}");
        }
    }

    #[test]
    fn it_learns_and_nothing_is_learnt_from_shuffled_labels() {
        for body in BODIES {
            let loss = fitted(body, &Small::of(Kind::Symbols), 1, 150).unwrap().best_validation;
            assert!(loss < 0.8 * std::f64::consts::LN_2, "{body}: {loss}");
            let shuffled = Small { shuffled: true, ..Small::of(Kind::Symbols) };
            let loss = fitted(body, &shuffled, 1, 150).unwrap().best_validation;
            assert!(loss > 0.95 * std::f64::consts::LN_2, "{body}: {loss}");
        }
    }

    #[test]
    fn what_it_cannot_answer_is_refused() {
        for (kind, message) in [(Kind::Rows, "its inputs are numbers"), (Kind::Curve, "it asks for a value")]
        {
            let refused = fitted("lstm", &Small::of(kind), 1, 1).err().unwrap().to_string();
            assert!(refused.contains(message), "{refused}");
        }
        let refused = built(&json!({"body": "lstmm"}), 2000).err().unwrap().to_string();
        assert!(refused.contains("lstmm") && refused.contains("causal-convolution"), "{refused}");
        let refused = built(&json!({}), 7).err().unwrap();
        assert!(matches!(refused, LearnError::Size { requested: 7, .. }), "{refused}");
    }
}
