//! What a model that knows how examples come about writes, and what the true source says of it.
//!
//! A model of the joint distribution of text and class writes texts of a class, symbol by symbol: a symbol has the probability of the text
//! with it over that of the text before it. For tasks that know the probability of a text under a class, the mean of its negative logarithm
//! by symbol is compared with that of test texts, whose expectation is the entropy of the source: far more says that the texts are not those of
//! the source, far less that only its commonest texts are written. The texts are also given back to the source: how often it
//! names the class that they were written for.
//!
//! A model that says how likely a class is given the text, and nothing of the text, cannot write; its numbers read not attempted.

use record::Settings;
use record::cell::Outcome;
use sequence::{
    Batch, Budget, InputKind, Inputs, Outcome as Ending, Predictor, Random, StopRule, Stream, Targets, Task,
};
use serde::{Deserialize, Serialize};

use super::{
    CellContext, Costs, FIT, MeasurementEntry, Schedule, TEST, VALIDATION, Yield, Yielded, counted, curve,
    row, scores, test_scores,
};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "sampling",
    summary: "train, score, and have the true source judge texts that the model writes",
    version: 1,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::Tuned,
    check,
    over: |_| None,
    yields,
    seconds,
    run,
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Updates, all of which are made.
    updates: u64,
    /// Validation every so many updates.
    evaluate_every: u64,
    /// Texts written.
    texts: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { updates: 1000, evaluate_every: 50, texts: 200 }
    }
}

/// Whether the model can write, 1 or 0.
const WRITES: &str = "writes";
/// Nats a symbol of written texts, by the source.
const WRITTEN: &str = "written-nats";
/// The same of test texts.
const TRUE: &str = "true-nats";
/// The one less the other.
const EXCESS: &str = "written-excess";
/// Nats a symbol of test texts, by the model, more than by the source: an estimate of the divergence.
const DIVERGENCE: &str = "model-excess";
/// How often the source names the class that a text was written for.
const NAMED: &str = "written-named";
/// The same of test texts.
const TRUE_NAMED: &str = "true-named";

const OF_WRITERS: [&str; 4] = [WRITTEN, EXCESS, DIVERGENCE, NAMED];

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    if config.updates == 0 || config.evaluate_every == 0 || config.texts == 0 {
        return Err("`updates`, `evaluate-every` and `texts` must be at least 1".to_owned());
    }
    if !facts.metrics.contains(&"accuracy") || facts.outputs < 2 {
        return Err("it needs a task that asks for the class of a text, and this is another one".to_owned());
    }
    Ok(())
}

fn yields(_: &Settings, facts: &Facts) -> Vec<Yielded> {
    let mut all: Vec<Yielded> = OF_WRITERS
        .into_iter()
        .chain([WRITES, TRUE, TRUE_NAMED])
        .map(|metric| Yielded::new(TEST, metric))
        .collect();
    all.extend(
        ["updates", "multiply-adds", "body-parameters", "total-parameters"]
            .map(|metric| Yielded::new(FIT, metric)),
    );
    for metric in &facts.metrics {
        all.push(Yielded::new(VALIDATION, *metric));
        all.extend(facts.test_sets.iter().map(|set| Yielded::new(set, *metric)));
    }
    all
}

/// Writing is less than another test.
fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let cost = cost(&Settings::new());
    let during = if cost.update == 0.0 { 0 } else { config.updates / config.evaluate_every.max(1) };
    config.updates as f64 * cost.update + (during as f64 + 2.0) * cost.validation + 2.0 * cost.test
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let learner = context.learner(&none, None)?;
    let seed = context.cell.seed;
    let budget = Budget { updates: config.updates, evaluate_every: config.evaluate_every };
    let fit = context.fit(task.as_ref(), learner.as_ref(), budget, StopRule::Budget, None)?;
    let predictor = fit.predictor.as_ref();
    let outcome = match fit.outcome {
        Ending::Diverged { .. } => Outcome::Diverged,
        Ending::Finished | Ending::Solved { .. } => Outcome::Ok,
    };

    let mut rows = Vec::new();
    for score in scores(task.as_ref(), predictor, &task.validation(seed)) {
        rows.push(counted(&none, VALIDATION, score.metric, outcome, score.value, score.count));
    }
    let tests = task.test(seed);
    for (set, scores) in tests.iter().zip(test_scores(task.as_ref(), predictor, &tests)) {
        for score in scores {
            rows.push(counted(&none, &set.name, score.metric, outcome, score.value, score.count));
        }
    }
    let wrong = |message: &str| ExperimentError::Cell(format!("task `{}` {message}", task.name()));
    let InputKind::Tokens { vocabulary } = task.interface().inputs else {
        return Err(wrong("has no text"));
    };
    let unknown = || wrong("does not know the probabilities of its texts");
    let shape = Shape { symbols: vocabulary, classes: task.interface().outputs };
    let of_test: Vec<&Batch> = tests.iter().flat_map(|set| &set.batches).collect();
    let truth = Judged::of(task.as_ref(), &of_test, shape).ok_or_else(unknown)?;
    rows.push(counted(&none, TEST, TRUE, Outcome::Ok, truth.nats, truth.texts));
    rows.push(counted(&none, TEST, TRUE_NAMED, Outcome::Ok, truth.named, truth.texts));

    let length = task.interface().maximum_time;
    let mut random = Random::new(seed, Stream::Sampling);
    let written = write(predictor, shape, config.texts, length, &mut random);
    rows.push(row(&none, TEST, WRITES, Outcome::Ok, f64::from(u8::from(written.is_some()))));
    let model = of_test.iter().map(|batch| nats_by(predictor, batch, shape)).collect::<Option<Vec<f64>>>();
    if let (Some(written), Some(model)) = (&written, model) {
        let judged = Judged::of(task.as_ref(), &[written], shape).ok_or_else(unknown)?;
        let model = model.iter().sum::<f64>() / truth.symbols - truth.nats;
        let values = [judged.nats, judged.nats - truth.nats, model, judged.named];
        for (metric, value) in OF_WRITERS.into_iter().zip(values) {
            rows.push(counted(&none, TEST, metric, outcome, value, judged.texts));
        }
    } else {
        rows.extend(OF_WRITERS.map(|metric| row(&none, TEST, metric, Outcome::NotAttempted, f64::NAN)));
    }
    rows.push(row(&none, FIT, "updates", outcome, fit.updates as f64));
    rows.push(row(&none, FIT, "multiply-adds", outcome, fit.multiply_adds as f64));
    rows.push(row(&none, FIT, "body-parameters", Outcome::Ok, predictor.body_parameters() as f64));
    rows.push(row(&none, FIT, "total-parameters", Outcome::Ok, predictor.total_parameters() as f64));
    Ok(Yield { outcome, message: None, rows, curve: curve(&none, &fit), step_seconds: Vec::new() })
}

/// How many symbols and classes there are.
#[derive(Clone, Copy)]
struct Shape {
    symbols: usize,
    classes: usize,
}

/// What the source says of texts.
#[derive(Debug)]
struct Judged {
    texts: usize,
    symbols: f64,
    /// Nats a symbol under the class that each is said to be of.
    nats: f64,
    /// How often that class is the likeliest; shared among equals.
    named: f64,
}

impl Judged {
    fn of(task: &dyn Task, batches: &[&Batch], shape: Shape) -> Option<Self> {
        let (mut texts, mut symbols, mut nats, mut named) = (0, 0, 0.0, 0.0);
        for batch in batches {
            let of_class: Vec<Vec<f64>> =
                class_numbers(shape).map(|class| task.log_joint(&of(batch, class))).collect::<Option<_>>()?;
            for (row, class) in classes(batch).into_iter().enumerate() {
                let own = of_class[class as usize][row];
                // Of as many classes, each as likely before anything is read.
                nats -= own + (shape.classes as f64).ln();
                let as_likely = |other: &&Vec<f64>| (other[row] - own).abs() < 1e-9;
                if of_class.iter().all(|other| other[row] < own + 1e-9) {
                    named += 1.0 / of_class.iter().filter(as_likely).count() as f64;
                }
            }
            texts += batch.size;
            symbols += batch.lengths.iter().sum::<usize>();
        }
        let symbols = symbols as f64;
        Some(Self { texts, symbols, nats: nats / symbols, named: named / texts as f64 })
    }
}

/// The numbers of the classes.
fn class_numbers(shape: Shape) -> impl Iterator<Item = u32> {
    (0..).take(shape.classes)
}

/// Nats of all texts of a batch, by a model, under the class that each is said to be of.
fn nats_by(predictor: &dyn Predictor, batch: &Batch, shape: Shape) -> Option<f64> {
    let joint = predictor.log_joint(batch)?;
    // What the model holds for the share of a class is taken out by its sum over the texts of one empty of symbols.
    let prior = log_priors(predictor, shape)?;
    Some(classes(batch).into_iter().zip(joint).map(|(class, joint)| prior[class as usize] - joint).sum())
}

/// The logarithm of the probability of each class before anything is read: the sum over all first symbols.
fn log_priors(predictor: &dyn Predictor, shape: Shape) -> Option<Vec<f64>> {
    let first: Vec<Vec<u32>> = (0..).take(shape.symbols).map(|symbol| vec![symbol]).collect();
    let of_class = |class| {
        let joint = predictor.log_joint(&texts(&first, class))?;
        Some(joint.into_iter().map(f64::exp).sum::<f64>().ln())
    };
    class_numbers(shape).map(of_class).collect()
}

/// Texts of a length, as many of each class, that the model writes; `None` if it does not know how texts come about.
fn write(
    predictor: &dyn Predictor,
    shape: Shape,
    count: usize,
    length: usize,
    random: &mut Random,
) -> Option<Batch> {
    let mut all: Option<Batch> = None;
    for class in class_numbers(shape) {
        let mut written: Vec<Vec<u32>> = vec![Vec::new(); count.div_ceil(shape.classes)];
        for _ in 0..length {
            let symbols = || (0..).take(shape.symbols);
            let longer =
                |text: &Vec<u32>| symbols().map(|symbol| [text.as_slice(), &[symbol]].concat()).collect();
            let candidates: Vec<Vec<u32>> = written.iter().flat_map::<Vec<Vec<u32>>, _>(longer).collect();
            let joint = predictor.log_joint(&texts(&candidates, class))?;
            for (text, joint) in written.iter_mut().zip(joint.chunks_exact(shape.symbols)) {
                text.push(drawn(joint, f64::from(random.unit())));
            }
        }
        let of_class = texts(&written, class);
        all = Some(match all {
            Some(all) => joined(all, of_class),
            None => of_class,
        });
    }
    all
}

/// The symbol at which the sum of probabilities first exceeds `unit` of all.
fn drawn(log_probabilities: &[f64], unit: f64) -> u32 {
    let largest = log_probabilities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let probabilities: Vec<f64> = log_probabilities.iter().map(|log| (log - largest).exp()).collect();
    let mut left = unit * probabilities.iter().sum::<f64>();
    let mut last = 0;
    for (symbol, probability) in (0..).zip(probabilities).filter(|(_, probability)| *probability > 0.0) {
        last = symbol;
        if left < probability {
            break;
        }
        left -= probability;
    }
    last
}

/// Texts of one length and one class, which is asked for at the last symbol.
fn texts(texts: &[Vec<u32>], class: u32) -> Batch {
    let time = texts.first().map_or(0, Vec::len);
    let places = texts.len() * time;
    Batch {
        size: texts.len(),
        time,
        inputs: Inputs::Tokens(texts.concat()),
        source: None,
        targets: Targets::Classes(vec![class; places]),
        loss_mask: (0..places).map(|place| place % time == time - 1).collect(),
        lengths: vec![time; texts.len()],
    }
}

/// Both batches, whose texts are of one length, in one.
fn joined(mut batch: Batch, other: Batch) -> Batch {
    if let (Inputs::Tokens(tokens), Inputs::Tokens(more)) = (&mut batch.inputs, other.inputs) {
        tokens.extend(more);
    }
    if let (Targets::Classes(classes), Targets::Classes(more)) = (&mut batch.targets, other.targets) {
        classes.extend(more);
    }
    batch.size += other.size;
    batch.loss_mask.extend(other.loss_mask);
    batch.lengths.extend(other.lengths);
    batch
}

/// The same texts, said to be of one class.
fn of(batch: &Batch, class: u32) -> Batch {
    Batch { targets: Targets::Classes(vec![class; batch.size * batch.time]), ..batch.clone() }
}

/// The class of each text.
fn classes(batch: &Batch) -> Vec<u32> {
    let Targets::Classes(classes) = &batch.targets else { return Vec::new() };
    classes.iter().zip(&batch.loss_mask).filter(|(_, counts)| **counts).map(|(&class, _)| class).collect()
}

#[cfg(test)]
mod tests {
    use sequence::Predictions;

    use super::*;

    /// Symbol 1 with probability 3/4 under class 0 and 1/4 under class 1, whatever came before; class 1 has probability 1/3.
    struct Coins;

    impl Predictor for Coins {
        fn predict(&self, batch: &Batch) -> Predictions {
            Predictions { outputs: 2, values: vec![0.0; 2 * batch.size * batch.time] }
        }

        fn body_parameters(&self) -> usize {
            0
        }

        fn total_parameters(&self) -> usize {
            0
        }

        fn log_joint(&self, batch: &Batch) -> Option<Vec<f64>> {
            let Inputs::Tokens(tokens) = &batch.inputs else { return None };
            let of_text = |(text, class): (&[u32], u32)| {
                let of_symbol =
                    |symbol: &u32| if *symbol == 1 - class { 0.75_f64.ln() } else { 0.25_f64.ln() };
                (f64::from(2 - class) / 3.0).ln() + text.iter().map(of_symbol).sum::<f64>()
            };
            Some(tokens.chunks(batch.time).zip(classes(batch)).map(of_text).collect())
        }
    }

    struct Mute;

    impl Predictor for Mute {
        fn predict(&self, batch: &Batch) -> Predictions {
            Coins.predict(batch)
        }

        fn body_parameters(&self) -> usize {
            0
        }

        fn total_parameters(&self) -> usize {
            0
        }
    }

    const SHAPE: Shape = Shape { symbols: 2, classes: 2 };

    #[test]
    fn symbols_are_drawn_as_often_as_they_are_likely() {
        let written = write(&Coins, SHAPE, 2000, 10, &mut Random::new(1, Stream::Sampling)).unwrap();
        let Inputs::Tokens(tokens) = &written.inputs else { unreachable!() };
        let share = |texts: &[u32]| f64::from(texts.iter().sum::<u32>()) / texts.len() as f64;
        let (zero, one) = tokens.split_at(10_000);
        // Four standard errors of 10,000 draws are 0.017.
        assert!((share(zero) - 0.75).abs() < 0.018 && (share(one) - 0.25).abs() < 0.018);
        assert_eq!(classes(&written), [[0; 1000], [1; 1000]].concat());
        assert!(write(&Mute, SHAPE, 10, 3, &mut Random::new(1, Stream::Sampling)).is_none());
    }

    #[test]
    fn a_draw_takes_the_symbol_in_whose_share_it_falls() {
        // By hand: shares of 1/4, 0 and 3/4.
        let logs = [0.25_f64.ln(), f64::NEG_INFINITY, 0.75_f64.ln()];
        assert_eq!([0.0, 0.24, 0.26, 0.99].map(|unit| drawn(&logs, unit)), [0, 0, 2, 2]);
        assert_eq!(drawn(&[-1000.0, -2000.0], 0.5), 0);
    }

    #[test]
    fn what_a_model_holds_for_the_classes_is_no_part_of_the_text() {
        let priors = log_priors(&Coins, SHAPE).unwrap();
        assert!((priors[0].exp() - 2.0 / 3.0).abs() < 1e-12 && (priors[1].exp() - 1.0 / 3.0).abs() < 1e-12);
        // By hand: 1, 1, 0 under class 0 has 3/4, 3/4 and 1/4.
        let nats = nats_by(&Coins, &texts(&[vec![1, 1, 0]], 0), SHAPE).unwrap();
        assert!((nats + (9.0_f64 / 64.0).ln()).abs() < 1e-12, "{nats}");
        assert!(nats_by(&Mute, &texts(&[vec![1]], 0), SHAPE).is_none());
    }

    #[test]
    fn the_source_names_whom_it_finds_likelier() {
        let corpora = data::Corpora { search: Vec::new(), cache: "nowhere".into() };
        let source = (data::task("two-authors").unwrap().build)(&serde_json::json!({}), &corpora).unwrap();
        let shape = Shape { symbols: 8, classes: 2 };
        let judged = |text: &[u32]| {
            let batch = joined(texts(&[text.to_vec()], 0), texts(&[text.to_vec()], 0));
            Judged::of(source.as_ref(), &[&batch], shape).unwrap()
        };
        // Steps 1 and 2 are those of author 0, with probability 9/40 each; the first symbol has 1/8.
        let own = judged(&[0, 1, 3]);
        let by_hand = -((1.0_f64 / 8.0).ln() + 2.0 * (9.0_f64 / 40.0).ln()) / 3.0;
        assert!((own.nats - by_hand).abs() < 1e-6, "{} {by_hand}", own.nats);
        assert_eq!((own.named, own.texts), (1.0, 2));
        // Steps 3 and 4 are those of the other, and step 0 of neither.
        assert_eq!(judged(&[0, 3, 7]).named, 0.0);
        assert_eq!(judged(&[5, 5, 5]).named, 0.5);
    }
}
