//! How long cells take, before any has run: multiply-adds over a rate, plus what each update costs whatever its size.
//!
//! The constants were measured on one core of a server processor with AVX-512, at 10,000 and 30,000 body parameters,
//! batch 16 and 3 to 267 positions. They hold to within a factor of two: good for planning, and for refusing what is far
//! too large. What a run did cost stands in `timing.csv`.

use models::Reads;

use crate::facts::Facts;
use crate::measurements::StepCost;

/// Processor time of a kind of model.
struct Family {
    /// Seconds of one update that do not depend on sizes: recording the graph, the optimiser, one batch.
    update_seconds: f64,
    /// Multiply-adds a second in training.
    training: f64,
    /// Multiply-adds a second in evaluation, whose batches are larger.
    evaluation: f64,
}

/// Networks that read one position after the other through fused kernels.
const RECURRENT: Family = Family { update_seconds: 3e-4, training: 20e9, evaluation: 36e9 };
/// Networks of attention: more and smaller products, and softmax.
const ATTENTION: Family = Family { update_seconds: 2e-3, training: 9e9, evaluation: 10e9 };

/// Seconds in which a counting model counts a million characters.
const COUNTING_SECONDS: f64 = 0.5;
/// Seconds in which a model fits all examples of a small training set.
const TRAINING_SET_SECONDS: f64 = 0.05;
/// Positions a second at which a counting model looks up its answer.
const COUNTING_POSITIONS_A_SECOND: f64 = 1e6;
/// A backward pass computes two products for each one of the forward pass.
const TRAINING_PASSES: f64 = 3.0;

/// What the cost of an update depends on.
pub(crate) struct Work<'a> {
    /// The task.
    pub(crate) facts: &'a Facts,
    /// Whether each position of the model looks at those before it.
    pub(crate) attends: bool,
    /// Whether it trains at all.
    pub(crate) trains: bool,
    /// What it reads.
    pub(crate) reads: Reads,
    /// Parameters of its body, if a number was asked for.
    pub(crate) body_parameters: Option<usize>,
    /// Width of embedding and read-out.
    pub(crate) width: usize,
    /// Sequences a batch.
    pub(crate) batch: usize,
}

impl Work<'_> {
    /// The cost of one update, one validation and one test. A body uses each parameter once a position; attention adds
    /// its pairs of positions.
    pub(crate) fn cost(&self) -> StepCost {
        let facts = self.facts;
        let (validation, test) = (facts.validation_positions as f64, facts.test_positions as f64);
        if !self.trains {
            // A fit is one validation and no update.
            let counting = if matches!(self.reads, Reads::TrainingSet | Reads::Examples) {
                TRAINING_SET_SECONDS
            } else {
                COUNTING_SECONDS
            };
            let validation = counting + validation / COUNTING_POSITIONS_A_SECOND;
            return StepCost { update: 0.0, validation, test: test / COUNTING_POSITIONS_A_SECOND };
        }
        let family = if self.attends { ATTENTION } else { RECURRENT };
        let body = self.body_parameters.unwrap_or(8 * self.width * self.width) as f64;
        let read_out = facts.supervised * (self.width * facts.outputs) as f64;
        let pairs = if self.attends { pair_multiply_adds(body) * facts.time as f64 / 2.0 } else { 0.0 };
        let position = body + read_out + pairs;
        let positions = (self.batch * facts.time) as f64;
        StepCost {
            update: family.update_seconds + TRAINING_PASSES * positions * position / family.training,
            validation: validation * position / family.evaluation,
            test: test * position / family.evaluation,
        }
    }
}

/// Multiply-adds of one pair of positions: score and mixture over the width d of each of two blocks of 12 d^2
/// parameters.
fn pair_multiply_adds(body: f64) -> f64 {
    2.0 * 2.0 * (body / 24.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_costs_its_multiply_adds_and_a_constant() {
        let facts = crate::testing::facts();
        let work = Work {
            facts: &facts,
            attends: false,
            trains: true,
            reads: Reads::OneSequence,
            body_parameters: Some(9600),
            width: 32,
            batch: 16,
        };
        // By hand: of 20 positions 5% are supervised, with 8 classes: 9,600 + 0.05 * 256 a position, 320 positions.
        let expected = 3e-4 + 3.0 * 320.0 * 9_612.8 / 20e9;
        assert!((work.cost().update - expected).abs() < 1e-12, "{} {expected}", work.cost().update);
        // d = 20, so 80 for each of 10 pairs.
        let transformer = Work { attends: true, ..work };
        let expected = 2e-3 + 3.0 * 320.0 * (9_612.8 + 800.0) / 9e9;
        assert!((transformer.cost().update - expected).abs() < 1e-12);
        let counting = Work { trains: false, ..transformer };
        assert_eq!(counting.cost().update, 0.0);
        let at_once = Work { reads: Reads::TrainingSet, ..counting };
        assert!(at_once.cost().validation < counting.cost().validation);
    }
}
