//! What a model pays for one position more, when it reads or writes a sequence one position after the other.
//!
//! An untrained model reads sequences position by position with what it remembers of those before ([`sequence::Stepwise`]): keys
//! and values, or a state. Beside it stands what the same position costs without memory, which is a pass over all
//! positions so far. At each length: multiply-adds of that position, bytes remembered, processor seconds (the median of the
//! positions before it), and how these grow with the length ([`growth`](super::growth)). And how far the outputs of both ways
//! lie apart.

use record::Settings;
use record::cell::Outcome;
use sequence::Pass;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::growth::{AtLength, check_lengths, grown, growth};
use super::repeat::{Reading, Repeat, median};
use super::untrained::untrained;
use super::{CellContext, Costs, MeasurementEntry, Schedule, TEST, Yield, Yielded, row};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "decoding-cost",
    summary: "what one position more costs, with and without memory of those before",
    version: 1,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::Alone,
    check,
    over: |settings| Some(parse::<Config>(settings).unwrap_or_default().over),
    yields,
    seconds,
    run,
};

/// Positions up to a length whose median time counts, at most.
const AROUND: usize = 32;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// The task setting that is the length of a sequence.
    over: String,
    /// Its values, which a plan fills in.
    ladder: Vec<Value>,
    /// Tries until one is undisturbed.
    tries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { over: "length".to_owned(), ladder: Vec::new(), tries: 3 }
    }
}

const MULTIPLY_ADDS: &str = "multiply-adds";
const MEMORY: &str = "memory-bytes";
const SECONDS: &str = "seconds";
/// The same without memory: a pass over all positions so far.
const AGAIN_MULTIPLY_ADDS: &str = "multiply-adds-without-memory";
const AGAIN_SECONDS: &str = "without-memory-seconds";
/// The largest difference of an output value of the two ways.
const DIFFERENCE: &str = "largest-difference";
const COSTS: [&str; 5] = [MULTIPLY_ADDS, MEMORY, SECONDS, AGAIN_MULTIPLY_ADDS, AGAIN_SECONDS];

fn check(settings: &Settings, _: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    check_lengths(&config.over, &config.ladder)?;
    if config.tries == 0 { Err("`tries` must be at least 1".to_owned()) } else { Ok(()) }
}

fn yields(_: &Settings, _: &Facts) -> Vec<Yielded> {
    let mut all: Vec<Yielded> = COSTS.iter().flat_map(|cost| grown(cost)).collect();
    all.push(Yielded::new(TEST, DIFFERENCE));
    all
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let at = |length: &Value| cost(&Settings::from([(config.over.clone(), length.clone())])).update;
    config.ladder.iter().map(|length| 4.0 * at(length)).sum()
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let setting = |value: &Value| Settings::from([(config.over.clone(), value.clone())]);
    let largest = config.ladder.last().map(setting).unwrap_or_default();
    let predictor = untrained(context, &largest)?;
    let mut batch = context.task(&largest)?.training_batch(context.cell.seed, 0, context.batch_size());
    batch.lengths.fill(batch.time);
    let all_at_once = || {
        ExperimentError::Cell(format!(
            "model `{}` needs all positions at once and cannot read them one by one",
            context.cell.model.name
        ))
    };
    let mut steps = None;
    let mut disturbed = None;
    for _ in 0..config.tries {
        let first = Reading::of(context.machine);
        steps = Some(predictor.steps(&batch, context.machine).ok_or_else(all_at_once)?);
        disturbed = Repeat::between(first, Reading::of(context.machine)).unclean();
        if disturbed.is_none() {
            break;
        }
    }
    let steps = steps.ok_or_else(all_at_once)?;
    let mut found: Vec<AtLength> = Vec::new();
    for value in &config.ladder {
        let setting = setting(value);
        let mut batch = context.task(&setting)?.training_batch(context.cell.seed, 0, context.batch_size());
        batch.lengths.fill(batch.time);
        let Some(before) = steps.positions.get(..batch.time) else { continue };
        let (first, last) = (Reading::of(context.machine), &before[batch.time - 1]);
        let again = predictor.pass(&batch, Pass::Body, context.machine).ok_or_else(all_at_once)?;
        let unclean = Repeat::between(first, Reading::of(context.machine)).unclean();
        let mut costs = vec![
            (MULTIPLY_ADDS.to_owned(), last.multiply_adds as f64),
            (MEMORY.to_owned(), last.memory_bytes as f64),
            (AGAIN_MULTIPLY_ADDS.to_owned(), again.multiply_adds as f64),
        ];
        if disturbed.is_none() {
            let around = &before[batch.time.saturating_sub(AROUND)..];
            costs.push((SECONDS.to_owned(), median(around.iter().map(|step| step.seconds).collect())));
        }
        if unclean.is_none() {
            costs.push((AGAIN_SECONDS.to_owned(), again.forward_seconds));
        }
        found.push(AtLength { length: batch.time, setting, costs });
    }
    let mut rows = growth(&found);
    // Where the longest is: the outputs of all shorter ones are among its own.
    rows.push(row(&largest, TEST, DIFFERENCE, Outcome::Ok, steps.largest_difference));
    let message = disturbed.map(|reason| format!("no clean repeat: {reason}"));
    Ok(Yield { outcome: Outcome::Ok, message, rows, curve: Vec::new(), step_seconds: Vec::new() })
}
