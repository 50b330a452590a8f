//! Training steps of one network on command, for `steps.py` to time beside PyTorch's.
//!
//! The only argument is JSON: `{"model": .., "settings": {..}, "width": .., "parameters": .., "batch": .., "time": ..}`
//! (`parameters` may be null). Each line on standard input is a number of steps; the answer is one line with the processor
//! and the wall seconds that they took together. A step is what an experiment trains: forward, backward, clipping, update.
//! Drawing the batch is not part of it.
#![expect(clippy::print_stdout, reason = "the answers are the purpose")]

use std::io::BufRead;
use std::sync::Mutex;
use std::time::Instant;

use experiment::machine::processor_seconds;
use models::{Size, model};
use sequence::{
    Batch, Budget, Dataset, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Run, Score,
    StopRule, Stopwatch, Stream, Targets, Task, TestSet,
};
use serde_json::Value;
use training::TrainingConfig;

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Characters of the corpus of `experiments/lstm-vs-transformer.toml`.
const SYMBOLS: u32 = 65;

fn main() -> anyhow::Result<()> {
    let arm = std::env::args().nth(1).unwrap_or_default();
    let arm: Value = serde_json::from_str(&arm)?;
    let number = |key: &str| arm[key].as_u64().and_then(|number| usize::try_from(number).ok());
    let wanted = |key: &'static str| number(key).ok_or_else(|| anyhow::anyhow!("`{key}` must be a number"));
    let task = NextSymbol::new(wanted("batch")?, wanted("time")?);
    let size = Size { width: wanted("width")?, body_parameters: number("parameters") };
    let config = TrainingConfig { rate: 3e-3, ..TrainingConfig::default() };
    let learner =
        (model(arm["model"].as_str().unwrap_or_default())?.build)(&arm["settings"], &config, &size)?;
    let mut run = Run {
        budget: Budget { updates: u64::MAX, evaluate_every: u64::MAX },
        stop: StopRule::Budget,
        seed: 0,
        stopwatch: &Unread,
        observer: None,
    };
    learner.fit(&Dataset::new(&task, 0, task.batch.size), &mut run)?;
    Ok(())
}

/// Random symbols to be followed by random symbols. Training goes on for as long as it hands out batches, and it does
/// that for as many steps as standard input asks for.
struct NextSymbol {
    batch: Batch,
    state: Mutex<State>,
}

/// What was asked for last.
#[derive(Default)]
struct State {
    steps_left: u64,
    started: Option<(f64, Instant)>,
}

impl NextSymbol {
    fn new(size: usize, time: usize) -> Self {
        let mut random = Random::new(0, Stream::Order);
        let mut symbols = || (0..size * time).map(|_| random.below(SYMBOLS)).collect::<Vec<u32>>();
        let batch = Batch {
            size,
            time,
            inputs: Inputs::Tokens(symbols()),
            source: None,
            targets: Targets::Classes(symbols()),
            loss_mask: vec![true; size * time],
            lengths: vec![time; size],
        };
        Self { batch, state: Mutex::default() }
    }
}

impl Task for NextSymbol {
    fn training_batch(&self, _: u64, _: u64, _: usize) -> Batch {
        let mut state = self.state.lock().expect("one thread trains");
        let batch = self.batch.clone();
        if state.steps_left == 0 {
            if let Some((processor, wall)) = state.started {
                let processor = processor_seconds().unwrap_or_default() - processor;
                println!("{processor} {}", wall.elapsed().as_secs_f64());
            }
            let line = std::io::stdin().lock().lines().next().and_then(Result::ok).unwrap_or_default();
            // At the end of the input there is nothing more to do.
            let Ok(steps) = line.trim().parse() else { std::process::exit(0) };
            state.steps_left = steps;
            state.started = Some((processor_seconds().unwrap_or_default(), Instant::now()));
        }
        state.steps_left -= 1;
        batch
    }

    fn name(&self) -> &'static str {
        "next-symbol"
    }

    fn version(&self) -> u32 {
        1
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Tokens { vocabulary: SYMBOLS as usize },
            outputs: SYMBOLS as usize,
            loss: LossKind::CrossEntropy,
            maximum_time: self.batch.time,
        }
    }

    fn validation(&self, _: u64) -> Vec<Batch> {
        Vec::new()
    }

    fn test(&self, _: u64) -> Vec<TestSet> {
        Vec::new()
    }

    fn scores(&self, _: &[Batch], _: &[Predictions]) -> Vec<Score> {
        vec![Score { metric: "none", value: 0.0, count: 1 }]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    fn floors(&self) -> Vec<Floor> {
        Vec::new()
    }
}

/// Training needs a clock only to pass it on.
struct Unread;

impl Stopwatch for Unread {
    fn wall_seconds(&self) -> f64 {
        0.0
    }

    fn processor_seconds(&self) -> f64 {
        0.0
    }
}
