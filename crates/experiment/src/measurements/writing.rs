//! Train once and score every test set as `train` does, then let the model write by itself.
//!
//! Under teacher forcing a model reads the true target so far; here it reads what it has written: the likeliest class at each step, until
//! that is the end or the target is half as long again as the longest of its batch. The first sequences of each test set are written
//! so, and the task scores them.
//!
//! Of a task with an example, the weights of attention are kept of models that have it: how much each position of the example's target,
//! read so far as it is, looks at each of the source. The keys of these rows are the symbol that is `read` and the one that is `written`,
//! each with its place before it.

use record::Settings;
use record::cell::Row;
use sequence::{Batch, Inputs, Predictor, Score, Spelled, Targets, Task, Writing};
use serde::{Deserialize, Serialize};

use super::train::{self, Stop};
use super::{CellContext, Costs, MeasurementEntry, Schedule, Yield, Yielded, counted, first, row};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "writing",
    summary: "train at the tuned rate, score every test set once, then let the model write by itself",
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
    /// Updates at most.
    updates: u64,
    /// Validation every so many updates.
    evaluate_every: u64,
    /// What ends training before its budget.
    stop: Stop,
    /// Evaluations without improvement that end training, where `stop = "patience"`.
    patience: u32,
    /// Also yields the slope of the primary metric over the lengths of the test sets, such as `test@8` and `test@64`.
    slope: bool,
    /// Sequences of each test set that the model writes.
    sequences: usize,
}

impl Default for Config {
    fn default() -> Self {
        let train::Config { updates, evaluate_every, stop, patience, slope, .. } = train::Config::default();
        Self { updates, evaluate_every, stop, patience, slope, sequences: 100 }
    }
}

impl Config {
    fn training(&self) -> train::Config {
        let Self { updates, evaluate_every, stop, patience, slope, .. } = *self;
        train::Config { updates, evaluate_every, stop, patience, trace_test: false, slope }
    }
}

/// The split of the task's example.
const EXAMPLE: &str = "example";
/// The weight of attention.
const ATTENTION: &str = "attention";

fn check(settings: &Settings, facts: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    train::check_config(&config.training(), facts)?;
    if facts.written_metrics.is_empty() {
        return Err("this task has no target to write; measure `train` instead".to_owned());
    }
    if config.sequences == 0 {
        return Err("`sequences` must be at least 1".to_owned());
    }
    Ok(())
}

fn yields(settings: &Settings, facts: &Facts) -> Vec<Yielded> {
    let config: Config = parse(settings).unwrap_or_default();
    let mut all = train::yields_of(&config.training(), facts);
    for metric in &facts.written_metrics {
        all.extend(facts.test_sets.iter().map(|set| Yielded::new(set, *metric)));
    }
    // By models that have attention.
    if facts.spelled {
        all.push(Yielded::new(EXAMPLE, ATTENTION));
    }
    all
}

/// Writing reads a part of each test set again at every step: as measured, some two tests of the whole.
fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    train::seconds_of(&config.training(), cost) + 2.0 * cost(&Settings::new()).test
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let none = Settings::new();
    let task = context.task(&none)?;
    let (mut yielded, fit) = train::trained(context, &config.training(), task.as_ref())?;
    let failed = |reason: &str| {
        ExperimentError::Cell(format!("model `{}` on `{}`: {reason}", context.cell.model.name, task.name()))
    };
    let writing = task.writing().ok_or_else(|| failed("there is no target to write"))?;
    for set in task.test(context.cell.seed) {
        let scores = written(task.as_ref(), fit.predictor.as_ref(), writing, &set.batches, config.sequences);
        for Score { metric, value, count } in scores {
            yielded.rows.push(counted(&none, &set.name, metric, yielded.outcome, value, count));
        }
    }
    if let Some(example) = task.spelled(context.cell.seed)
        && let Some(weights) = fit.predictor.alignment(&example.batch)
    {
        let outcome = yielded.outcome;
        let weight = |setting: &Settings, value| row(setting, EXAMPLE, ATTENTION, outcome, value);
        yielded.rows.extend(aligned(&example, &weights, weight));
    }
    Ok(yielded)
}

/// Scores of the targets of the first sequences of some batches, as the model writes them.
fn written(
    task: &dyn Task,
    predictor: &dyn Predictor,
    writing: Writing,
    batches: &[Batch],
    sequences: usize,
) -> Vec<Score> {
    let mut left = sequences;
    let mut parts = Vec::new();
    for batch in batches {
        if left > 0 {
            let part = first(batch, left);
            left -= part.size;
            parts.push(part);
        }
    }
    let written: Vec<Vec<Vec<u32>>> = parts.iter().map(|batch| write(predictor, writing, batch)).collect();
    task.written_scores(&parts, &written)
}

/// The classes that a model writes for the sources of a batch, the end left out: `[size, length]`.
fn write(predictor: &dyn Predictor, writing: Writing, batch: &Batch) -> Vec<Vec<u32>> {
    let mut written: Vec<Vec<u32>> = vec![Vec::new(); batch.size];
    let mut ended = vec![false; batch.size];
    for time in 1..=batch.time + batch.time / 2 {
        let input = |classes: &Vec<u32>| {
            let mut tokens = vec![writing.start];
            tokens.extend(classes.iter().map(|class| class + writing.offset));
            // What has ended reads its start again, which nobody looks at.
            tokens.resize(time, writing.start);
            tokens
        };
        let so_far = Batch {
            size: batch.size,
            time,
            inputs: Inputs::Tokens(written.iter().flat_map(input).collect()),
            source: batch.source.clone(),
            targets: Targets::Classes(vec![0; batch.size * time]),
            loss_mask: (0..batch.size * time).map(|position| (position + 1) % time == 0).collect(),
            lengths: vec![time; batch.size],
        };
        let predictions = predictor.predict_supervised(&so_far);
        for (row, (classes, ended)) in
            written.iter_mut().zip(&mut ended).enumerate().filter(|(_, (_, ended))| !**ended)
        {
            let class = likeliest(predictions.at(row * time + time - 1), writing.unknown);
            if class == writing.end {
                *ended = true;
            } else {
                classes.push(class);
            }
        }
        if ended.iter().all(|ended| *ended) {
            break;
        }
    }
    written
}

/// The class with the largest log-probability, the first of equals, but for one that nobody writes.
fn likeliest(log_probabilities: &[f32], never: Option<u32>) -> u32 {
    let candidates = (0_u32..).zip(log_probabilities).filter(|(class, _)| Some(*class) != never);
    let better =
        |best: (u32, f32), (class, &value): (u32, &f32)| if value > best.1 { (class, value) } else { best };
    candidates.fold((0, f32::NEG_INFINITY), better).0
}

/// A row for each pair of positions of an example, from weights `[time, source time]`.
fn aligned(example: &Spelled, weights: &[f32], row: impl Fn(&Settings, f64) -> Row) -> Vec<Row> {
    let named = |place: usize, word: &str| format!("{:02}:{word}", place + 1).into();
    let mut rows = Vec::new();
    for (time, target) in example.target.iter().enumerate() {
        for (place, source) in example.source.iter().enumerate() {
            let setting = Settings::from([
                ("read".to_owned(), named(place, source)),
                ("written".to_owned(), named(time, target)),
            ]);
            rows.push(row(&setting, f64::from(weights[time * example.source.len() + place])));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use sequence::Predictions;

    use super::*;

    /// Writes the tokens of the source one after the other and the end after them; after the token 4 it repeats itself for ever.
    struct Copies;

    impl Predictor for Copies {
        fn predict(&self, batch: &Batch) -> Predictions {
            let Inputs::Tokens(inputs) = &batch.inputs else { unreachable!() };
            let source = batch.source.as_ref().unwrap();
            let Inputs::Tokens(read) = &source.inputs else { unreachable!() };
            let answer = |row: usize, time: usize| {
                if inputs[row * batch.time + time] == 4 {
                    return 3;
                }
                if time < source.lengths[row] { read[row * source.time + time] - 1 } else { 0 }
            };
            let values = (0..batch.size * batch.time).flat_map(|position| {
                let class = answer(position / batch.time, position % batch.time);
                (0..5).map(move |other| if other == class { 0.0 } else { f32::NEG_INFINITY })
            });
            Predictions { outputs: 5, values: values.collect() }
        }

        fn body_parameters(&self) -> usize {
            0
        }

        fn total_parameters(&self) -> usize {
            0
        }
    }

    fn tokens(time: usize, inputs: Vec<u32>, lengths: Vec<usize>) -> Batch {
        Batch {
            size: lengths.len(),
            time,
            targets: Targets::Classes(vec![0; inputs.len()]),
            loss_mask: vec![true; inputs.len()],
            inputs: Inputs::Tokens(inputs),
            source: None,
            lengths,
        }
    }

    const WRITING: Writing = Writing { start: 1, end: 0, unknown: None, offset: 1 };

    #[test]
    fn a_model_reads_what_it_has_written_until_it_ends() {
        let source = tokens(3, vec![2, 3, 5, 5, 0, 0, 2, 4, 3], vec![3, 1, 3]);
        let batch = Batch { source: Some(Box::new(source)), ..tokens(4, vec![1; 12], vec![4, 2, 4]) };
        // The third reads its 4 and writes it again, until it is half as long again as the longest.
        let written = write(&Copies, WRITING, &batch);
        assert_eq!(written, [vec![1, 2, 4], vec![4], vec![1, 3, 3, 3, 3, 3]]);
    }

    #[test]
    fn what_nobody_writes_is_not_written() {
        let values = [-3.0, -0.1, -1.0, -2.0];
        assert_eq!((likeliest(&values, None), likeliest(&values, Some(1))), (1, 2));
        // Not a number is never larger.
        assert_eq!(likeliest(&[f32::NAN; 3], None), 0);
    }

    #[test]
    fn weights_are_kept_by_the_words_on_both_sides() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let example = Spelled {
            batch: tokens(2, vec![1, 2], vec![2]),
            source: words(&["de", "kat", "end"]),
            target: words(&["cat", "end"]),
        };
        let weights = [0.25, 0.5, 0.25, 0.0, 0.0, 1.0];
        let rows = aligned(&example, &weights, |setting, value| {
            row(setting, EXAMPLE, ATTENTION, record::cell::Outcome::Ok, value)
        });
        assert_eq!(record::label(&rows[1].setting), "read=02:kat written=01:cat");
        assert_eq!((rows.len(), rows[1].value, rows[5].value), (6, 0.5, 1.0));
    }

    #[test]
    fn a_task_without_a_target_to_write_is_refused() {
        let facts = crate::testing::facts();
        assert!(check(&Settings::new(), &facts).unwrap_err().contains("measure `train` instead"));
        let writes = Facts { written_metrics: vec!["accuracy-free-running"], ..facts };
        assert!(check(&Settings::new(), &writes).is_ok());
        let none = Settings::from([("sequences".to_owned(), 0.into())]);
        assert!(check(&none, &writes).unwrap_err().contains("`sequences` must be"));
        let metrics = |facts: &Facts| {
            yields(&Settings::new(), facts).into_iter().map(|yielded| yielded.metric).collect::<Vec<_>>()
        };
        assert!(metrics(&writes).contains(&"accuracy-free-running".to_owned()));
        assert!(!metrics(&writes).contains(&ATTENTION.to_owned()));
        assert!(metrics(&Facts { spelled: true, ..writes }).contains(&ATTENTION.to_owned()));
    }
}
