//! What a pass over longer and longer sequences costs: multiply-adds, bytes and seconds, and by which power of the length
//! they grow.
//!
//! At each length the body of an untrained model is passed through forward and backward, and then, where a model has it
//! ([`sequence::Pass::Mixing`]), only the part that lets positions see each other. Multiply-adds are those of the forward
//! pass, counted where they ran; so are the steps along the sequence that
//! wait for each other; bytes are the most that both passes held at once; seconds are those of the processor for
//! both, the median of several passes with the machine to itself. How these grow with the length: [`growth`](super::growth).

use record::Settings;
use record::cell::Outcome;
use sequence::{Batch, Pass, PassCost, Predictor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::growth::{AtLength, check_lengths, grown, growth};
use super::repeat::{Reading, Repeat, median};
use super::untrained::untrained;
use super::{CellContext, Costs, MeasurementEntry, Schedule, Yield, Yielded};
use crate::ExperimentError;
use crate::facts::Facts;
use crate::settings::{defaults, parse};

pub(super) const ENTRY: MeasurementEntry = MeasurementEntry {
    name: "pass-cost",
    summary: "multiply-adds, bytes and seconds of a pass, and the power of the length by which they grow",
    version: 2,
    defaults: defaults::<Config>,
    of_one_model: &[],
    schedule: Schedule::Alone,
    check,
    over: |settings| Some(parse::<Config>(settings).unwrap_or_default().over),
    yields,
    seconds,
    run,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// The task setting that is the length of a sequence.
    over: String,
    /// Its values, which a plan fills in.
    ladder: Vec<Value>,
    /// Seconds that the passes at a length last together, at least, of which the median counts.
    repeat_seconds: f64,
    /// Tries of a length until one is undisturbed.
    tries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { over: "length".to_owned(), ladder: Vec::new(), repeat_seconds: 0.05, tries: 3 }
    }
}

/// What is measured of the body and of its mixing part alone; the latter's metrics have this prefix.
const MIXING: &str = "mixing-";
/// Multiply-adds of the forward pass.
const MULTIPLY_ADDS: &str = "multiply-adds";
/// Steps of the forward pass that wait for each other.
const WAITS: &str = "waiting-steps";
/// Most bytes of forward and backward pass.
const BYTES: &str = "bytes";
/// Processor seconds of forward and backward pass. What ends so depends on the machine, and has a table of its own.
const SECONDS: &str = "seconds";
/// The fraction of a body's cost that is its mixing part's.
const SHARE: &str = "share-of-";

fn check(settings: &Settings, _: &Facts) -> Result<(), String> {
    let config: Config = parse(settings)?;
    check_lengths(&config.over, &config.ladder)?;
    if config.tries == 0 || !(config.repeat_seconds >= 0.0 && config.repeat_seconds.is_finite()) {
        return Err("`tries` must be at least 1 and `repeat-seconds` 0 or more".to_owned());
    }
    Ok(())
}

fn yields(_: &Settings, _: &Facts) -> Vec<Yielded> {
    let costs = [MULTIPLY_ADDS, BYTES, SECONDS];
    let parts = costs.iter().flat_map(|cost| ["", MIXING].map(|part| grown(&format!("{part}{cost}"))));
    let shares = costs.iter().flat_map(|cost| grown(&format!("{SHARE}{cost}")));
    parts.flatten().chain(shares).chain(grown(WAITS)).collect()
}

fn seconds(settings: &Settings, cost: &Costs) -> f64 {
    let config: Config = parse(settings).unwrap_or_default();
    let at = |length: &Value| cost(&Settings::from([(config.over.clone(), length.clone())])).update;
    // A pass to warm up and one to time, of the body and of a part of it.
    config.ladder.iter().map(|length| 4.0 * at(length) + 2.0 * config.repeat_seconds).sum()
}

fn run(context: &CellContext) -> Result<Yield, ExperimentError> {
    let config: Config = context.settings()?;
    let mut found: Vec<AtLength> = Vec::new();
    let mut disturbed = Vec::new();
    let setting = |value: &Value| Settings::from([(config.over.clone(), value.clone())]);
    // One model for all lengths: its parameters do not depend on them.
    let predictor = untrained(context, &config.ladder.last().map(setting).unwrap_or_default())?;
    for value in &config.ladder {
        let setting = setting(value);
        let mut batch = context.task(&setting)?.training_batch(context.cell.seed, 0, context.batch_size());
        batch.lengths.fill(batch.time);
        let mut costs = Vec::new();
        for (part, pass) in [("", Pass::Body), (MIXING, Pass::Mixing)] {
            let Some((cost, seconds)) = measured(context, &config, predictor.as_ref(), &batch, pass) else {
                continue;
            };
            costs.push((format!("{part}{MULTIPLY_ADDS}"), cost.multiply_adds as f64));
            // A body that waits for nothing has no power by which that grows.
            let waits = (pass == Pass::Body && cost.waits > 0).then_some(cost.waits as f64);
            costs.extend(waits.map(|waits| (WAITS.to_owned(), waits)));
            costs.extend(cost.peak_bytes.map(|bytes| (format!("{part}{BYTES}"), bytes as f64)));
            match seconds {
                Ok(seconds) => costs.push((format!("{part}{SECONDS}"), seconds)),
                Err(reason) => disturbed.push(reason),
            }
        }
        if costs.is_empty() {
            return Err(ExperimentError::Cell(format!(
                "model `{}` has no body to pass through",
                context.cell.model.name
            )));
        }
        let mut at = AtLength { length: batch.time, setting, costs };
        for cost in [MULTIPLY_ADDS, BYTES, SECONDS] {
            if let (Some(part), Some(whole)) = (at.cost(&format!("{MIXING}{cost}")), at.cost(cost)) {
                at.costs.push((format!("{SHARE}{cost}"), part / whole));
            }
        }
        found.push(at);
    }
    let message = (!disturbed.is_empty()).then(|| format!("no clean repeat: {}", disturbed.join("; ")));
    if let Some(message) = &message {
        tracing::warn!(model = context.cell.model.name, message, "cost of a pass");
    }
    Ok(Yield {
        outcome: Outcome::Ok,
        message,
        rows: growth(&found),
        curve: Vec::new(),
        step_seconds: Vec::new(),
    })
}

/// The cost of a pass, and its median seconds or why there are none; `None` for a model without such a part.
fn measured(
    context: &CellContext,
    config: &Config,
    predictor: &dyn Predictor,
    batch: &Batch,
    pass: Pass,
) -> Option<(PassCost, Result<f64, String>)> {
    let once = || predictor.pass(batch, pass, context.machine);
    // The first pass warms up, and its memory counts: later ones may find caches filled.
    let cost = once()?;
    let mut reason = String::new();
    for _ in 0..config.tries {
        let first = Reading::of(context.machine);
        let mut times = vec![once()?.seconds];
        while times.iter().sum::<f64>() < config.repeat_seconds {
            times.push(once()?.seconds);
        }
        match Repeat::between(first, Reading::of(context.machine)).unclean() {
            None => return Some((cost, Ok(median(times)))),
            Some(why) => reason = why,
        }
    }
    Some((cost, Err(reason)))
}
