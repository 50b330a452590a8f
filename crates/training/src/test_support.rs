//! A small task, a small body and a still clock for the tests of this crate.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use sequence::{
    Batch, Budget, Dataset, Fit, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Run,
    Score, StopRule, Stopwatch, Stream, Targets, Task, TestSet,
};

use crate::{Body, BodyContext, Initialiser, SequenceNetwork, TrainingConfig, fit};

/// Answer each symbol with the next one, at the positions that the mask supervises: about two thirds of them.
#[derive(Clone, Copy)]
pub(crate) struct Successor {
    /// How the labels of the training stream relate to the true ones.
    pub(crate) labels: Labels,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Labels {
    True,
    /// Drawn apart from the inputs.
    Shuffled,
    /// The predecessor: what validation asks is unlearnt.
    Contradicted,
}

pub(crate) const SYMBOLS: u32 = 5;
pub(crate) const TIME: usize = 6;

impl Successor {
    fn batch(random: &mut Random, size: usize, labels: Labels) -> Batch {
        let inputs: Vec<u32> = (0..size * TIME).map(|_| random.below(SYMBOLS)).collect();
        let loss_mask: Vec<bool> = (0..size * TIME).map(|_| random.below(3) > 0).collect();
        let targets = inputs
            .iter()
            .zip(&loss_mask)
            .map(|(&symbol, &counts)| match (counts, labels) {
                (false, _) => 0,
                (true, Labels::True) => (symbol + 1) % SYMBOLS,
                (true, Labels::Shuffled) => random.below(SYMBOLS),
                (true, Labels::Contradicted) => (symbol + SYMBOLS - 1) % SYMBOLS,
            })
            .collect();
        Batch {
            size,
            time: TIME,
            inputs: Inputs::Tokens(inputs),
            source: None,
            targets: Targets::Classes(targets),
            loss_mask,
            lengths: vec![TIME; size],
        }
    }
}

impl Task for Successor {
    fn name(&self) -> &'static str {
        "successor"
    }

    fn version(&self) -> u32 {
        1
    }

    fn interface(&self) -> Interface {
        let symbols = SYMBOLS as usize;
        Interface {
            inputs: InputKind::Tokens { vocabulary: symbols },
            outputs: symbols,
            loss: LossKind::CrossEntropy,
            maximum_time: TIME,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        Self::batch(&mut Random::new(seed, Stream::Training(update)), size, self.labels)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![Self::batch(&mut Random::new(seed, Stream::Validation), 100, Labels::True)]
    }

    fn test(&self, _: u64) -> Vec<TestSet> {
        Vec::new()
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        let (mut right, mut count) = (0, 0);
        for (batch, prediction) in batches.iter().zip(predictions) {
            let Targets::Classes(classes) = &batch.targets else { unreachable!() };
            for position in (0..classes.len()).filter(|&position| batch.loss_mask[position]) {
                let row = prediction.at(position);
                let answer = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
                right += usize::from(answer == classes[position] as usize);
                count += 1;
            }
        }
        vec![Score { metric: "accuracy", value: right as f64 / count as f64, count }]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        Some(0.95)
    }

    fn floors(&self) -> Vec<Floor> {
        Vec::new()
    }
}

/// A body without memory: one linear map a position.
#[derive(Module, Debug)]
pub(crate) struct Positionwise {
    linear: Linear,
}

impl Body for Positionwise {
    fn forward(&self, inputs: Tensor<3>, context: &BodyContext) -> Tensor<3> {
        context.dropout(self.linear.forward(inputs))
    }

    fn multiply_adds(&self, time: usize) -> u64 {
        (time * self.linear.weight.shape().num_elements()) as u64
    }
}

pub(crate) const WIDTH: usize = 8;

pub(crate) fn network(seed: u64, interface: &Interface) -> SequenceNetwork<Positionwise> {
    let mut initialiser = Initialiser::new(seed, &Device::flex().autodiff());
    SequenceNetwork::new(interface, WIDTH, &mut initialiser, |initialiser| Positionwise {
        linear: initialiser.linear(WIDTH, WIDTH),
    })
}

/// A clock that stands still.
pub(crate) struct Still;

impl Stopwatch for Still {
    fn wall_seconds(&self) -> f64 {
        0.0
    }

    fn processor_seconds(&self) -> f64 {
        0.0
    }
}

pub(crate) fn run<'a>(updates: u64, evaluate_every: u64, stop: StopRule, seed: u64) -> Run<'a> {
    Run { budget: Budget { updates, evaluate_every }, stop, seed, stopwatch: &Still, observer: None }
}

pub(crate) fn train(task: Successor, config: &TrainingConfig, mut run: Run) -> Fit {
    let data = Dataset::new(&task, run.seed, 16);
    fit(network(run.seed, &data.interface()), config, &data, &mut run)
}

/// Fast training without warm-up.
pub(crate) fn brisk() -> TrainingConfig {
    TrainingConfig { rate: 0.03, warmup_updates: 0, ..TrainingConfig::default() }
}
