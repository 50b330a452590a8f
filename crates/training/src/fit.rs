//! The one gradient loop.

use burn::optim::GradientsParams;
use kernels::float_mode::FlushToZero;
use sequence::{CurvePoint, Dataset, Fit, Outcome, Predictor, Run, StopRule};

use crate::optimisation::{clip_global_norm, optimiser};
use crate::{BodyContext, Network, NetworkPredictor, TrainingConfig};

/// Trains `network` on the dataset's stream until the run's budget or stop rule ends it.
///
/// The network must have been initialised on a device with gradients. Validation takes place at update 0, every
/// `evaluate_every` updates and at the end (`evaluate_every = 0`: only at the two ends). The predictor is the network at
/// its best validation, or at the deciding evaluation when solved. A loss or gradient that is not finite ends training
/// as [`Outcome::Diverged`], with the best predictor so far.
pub fn fit<N: Network>(network: N, config: &TrainingConfig, data: &Dataset, run: &mut Run) -> Fit {
    fit_keeping(network, config, data, run).0
}

/// [`fit`], and the network of its predictor, which keeps no gradients, for a model that makes more of it.
pub fn fit_keeping<N: Network>(
    mut network: N,
    config: &TrainingConfig,
    data: &Dataset,
    run: &mut Run,
) -> (Fit, N) {
    let _mode = FlushToZero::new();
    let kind = data.interface().loss;
    let mut optimiser = optimiser(config);
    let mut course = Course::new();
    let mut outcome = course.evaluate(&network, data, run).unwrap_or(Outcome::Finished);
    while outcome == Outcome::Finished
        && course.updates < run.budget.updates
        && !course.out_of_patience(run.stop)
    {
        let batch = data.training_batch(course.updates);
        let context = BodyContext::training(&batch.lengths, config, run.seed, course.updates);
        let loss = network.loss(&batch, kind, &context);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        let mut gradients = GradientsParams::from_grads(loss.backward(), &network);
        let norm = clip_global_norm(&network, &mut gradients, config.clip_norm);
        if !value.is_finite() || !norm.is_finite() {
            outcome = Outcome::Diverged { updates: course.updates };
            break;
        }
        network = optimiser.step(config.rate_at(course.updates), network, gradients);
        // The backward pass computes two products for each one of the forward pass.
        course.advance(value, 3 * network.multiply_adds(&batch));
        if course.updates.is_multiple_of(run.budget.evaluate_every) || course.updates == run.budget.updates {
            outcome = course.evaluate(&network, data, run).unwrap_or(Outcome::Finished);
        }
    }
    course.finish(outcome)
}

/// What has happened so far.
struct Course<N> {
    updates: u64,
    multiply_adds: u64,
    /// Sum and number of the training losses since the evaluation before.
    losses: (f64, u64),
    curve: Vec<CurvePoint>,
    best: Option<(f64, NetworkPredictor<N>)>,
    /// Evaluations since the best one.
    stale: u32,
    /// Consecutive evaluations at which the task was solved, and the updates made at the first of them.
    solved: (u32, u64),
}

impl<N: Network> Course<N> {
    fn new() -> Self {
        Self {
            updates: 0,
            multiply_adds: 0,
            losses: (0.0, 0),
            curve: Vec::new(),
            best: None,
            stale: 0,
            solved: (0, 0),
        }
    }

    fn advance(&mut self, loss: f64, multiply_adds: u64) {
        self.updates += 1;
        self.multiply_adds += multiply_adds;
        self.losses = (self.losses.0 + loss, self.losses.1 + 1);
    }

    /// Validates, records, keeps the best, and says whether the task now counts as solved.
    fn evaluate(&mut self, network: &N, data: &Dataset, run: &mut Run) -> Option<Outcome> {
        let predictor = NetworkPredictor::new(network, data.interface());
        let predictions: Vec<_> =
            data.validation().iter().map(|batch| predictor.predict_supervised(batch)).collect();
        let scores = data.validation_scores(&predictions);
        let validation = scores.first().expect("a task has a primary metric").value;
        let point = CurvePoint {
            updates: self.updates,
            multiply_adds: self.multiply_adds,
            training_loss: self.losses.0 / self.losses.1 as f64,
            validation,
        };
        tracing::debug!(updates = point.updates, loss = point.training_loss, validation, "evaluated");
        self.losses = (0.0, 0);
        self.curve.push(point);
        if let Some(observer) = run.observer.as_mut() {
            observer(&point, &predictor);
        }

        let better =
            |value: f64, than: f64| if data.larger_is_better() { value > than } else { value < than };
        if self.best.as_ref().is_none_or(|(best, _)| better(validation, *best) || best.is_nan()) {
            self.best = Some((validation, predictor.clone()));
            self.stale = 0;
        } else {
            self.stale += 1;
        }

        let StopRule::Solved { evaluations } = run.stop else { return None };
        let reached = data.solved_at().is_some_and(|score| validation == score || better(validation, score));
        self.solved = match (reached, self.solved) {
            (false, _) => (0, 0),
            (true, (0, _)) => (1, self.updates),
            (true, (times, first)) => (times + 1, first),
        };
        let (times, updates) = self.solved;
        if times == 0 || times < evaluations {
            return None;
        }
        self.best = Some((validation, predictor));
        Some(Outcome::Solved { updates })
    }

    fn out_of_patience(&self, stop: StopRule) -> bool {
        matches!(stop, StopRule::Patience { evaluations } if self.stale >= evaluations)
    }

    fn finish(self, outcome: Outcome) -> (Fit, N) {
        let (best_validation, predictor) = self.best.expect("update 0 was evaluated");
        let network = predictor.network().clone();
        let fit = Fit {
            predictor: Box::new(predictor),
            outcome,
            updates: self.updates,
            multiply_adds: self.multiply_adds,
            best_validation,
            curve: self.curve,
        };
        (fit, network)
    }
}

#[cfg(test)]
mod tests {
    use sequence::Task;

    use super::*;
    use crate::test_support::{Labels, SYMBOLS, Successor, brisk, network, run, train};

    const TRUE: Successor = Successor { labels: Labels::True };

    fn bits(fit: &Fit) -> Vec<u32> {
        let predictions = fit.predictor.predict(&TRUE.validation(7)[0]);
        predictions.values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn it_learns_and_shuffled_labels_do_not() {
        let fit = train(TRUE, &brisk(), run(150, 50, StopRule::Budget, 1));
        assert_eq!((fit.outcome, fit.updates), (Outcome::Finished, 150));
        assert_eq!(fit.best_validation, 1.0);
        let shuffled = Successor { labels: Labels::Shuffled };
        let fit = train(shuffled, &brisk(), run(150, 150, StopRule::Budget, 1));
        // Chance is 1/5. The map has only 5 inputs, so its accuracy is a multiple of about 1/5; all 5 right has
        // probability 5^-5 by chance.
        let last = fit.curve.last().unwrap().validation;
        assert!(last < 0.7, "learnt from shuffled labels: {last}");
    }

    #[test]
    fn one_batch_can_be_fitted_exactly() {
        let data = Dataset::new(&TRUE, 1, 4);
        let batch = data.training_batch(0);
        let mut network = network(3, &data.interface());
        let config = brisk();
        let mut optimiser = optimiser(&config);
        let mut last = f32::INFINITY;
        for _ in 0..200 {
            let loss = network.loss(&batch, data.interface().loss, &BodyContext::evaluation(&batch.lengths));
            last = loss.clone().into_scalar();
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimiser.step(config.rate, network, gradients);
        }
        assert!(last < 1e-2, "{last}");
    }

    #[test]
    fn the_seed_decides_every_bit() {
        let config = TrainingConfig { dropout: 0.2, ..brisk() };
        let fits = [5, 5, 6].map(|seed| train(TRUE, &config, run(20, 10, StopRule::Budget, seed)));
        assert_eq!(bits(&fits[0]), bits(&fits[1]));
        assert_eq!(fits[0].curve.last(), fits[1].curve.last());
        assert_ne!(bits(&fits[0]), bits(&fits[2]));
    }

    #[test]
    fn the_curve_starts_at_update_0_and_ends_at_the_budget() {
        let mut seen = Vec::new();
        let mut observer = |point: &CurvePoint, predictor: &dyn Predictor| {
            seen.push((point.updates, predictor.body_parameters()));
        };
        let mut run = run(25, 10, StopRule::Budget, 1);
        run.observer = Some(&mut observer);
        let data = Dataset::new(&TRUE, 1, 16);
        let fit = fit(network(1, &data.interface()), &brisk(), &data, &mut run);
        let updates: Vec<u64> = fit.curve.iter().map(|point| point.updates).collect();
        assert_eq!(updates, [0, 10, 20, 25]);
        assert!(fit.curve[0].training_loss.is_nan() && fit.curve[0].multiply_adds == 0);
        // 8 x 8 weights and 8 biases.
        assert_eq!(seen, [(0, 72), (10, 72), (20, 72), (25, 72)]);
    }

    #[test]
    fn multiply_adds_are_three_forward_passes_a_step() {
        let fit = train(TRUE, &brisk(), run(2, 0, StopRule::Budget, 1));
        let supervised: u64 =
            (0..2).map(|update| TRUE.training_batch(1, update, 16).supervised() as u64).sum();
        // By hand: 16 sequences of 6 positions through 8 x 8 weights, twice; each supervised position through 8 x 5.
        assert_eq!(fit.multiply_adds, 3 * (2 * 16 * 6 * 64 + supervised * 8 * u64::from(SYMBOLS)));
    }

    #[test]
    fn a_loss_that_is_not_finite_is_an_outcome() {
        let config = TrainingConfig { rate: 1e38, ..brisk() };
        let fit = train(TRUE, &config, run(50, 10, StopRule::Budget, 1));
        assert_eq!(fit.outcome, Outcome::Diverged { updates: 1 });
        // The predictor is the one of update 0.
        assert!(fit.predictor.predict(&TRUE.validation(1)[0]).values.iter().all(|value| value.is_finite()));
        assert_eq!(fit.best_validation, fit.curve[0].validation);
    }

    #[test]
    fn training_stops_at_the_second_of_two_solved_evaluations() {
        let full = train(TRUE, &brisk(), run(200, 5, StopRule::Budget, 1));
        let solved: Vec<bool> = full.curve.iter().map(|point| point.validation >= 0.95).collect();
        let first = solved.windows(2).position(|pair| pair[0] && pair[1]).unwrap();
        let fit = train(TRUE, &brisk(), run(200, 5, StopRule::Solved { evaluations: 2 }, 1));
        assert_eq!(fit.outcome, Outcome::Solved { updates: full.curve[first].updates });
        assert_eq!(fit.updates, full.curve[first + 1].updates);
        assert_eq!(fit.curve[1..], full.curve[1..first + 2]);
        // Twin: more evaluations than there are do not solve.
        let never = train(TRUE, &brisk(), run(20, 5, StopRule::Solved { evaluations: 6 }, 1));
        assert_eq!(never.outcome, Outcome::Finished);
    }

    #[test]
    fn patience_ends_training_and_the_best_predictor_is_kept() {
        let contradicted = Successor { labels: Labels::Contradicted };
        let fit = train(contradicted, &brisk(), run(500, 10, StopRule::Patience { evaluations: 3 }, 1));
        let best = fit.curve.iter().map(|point| point.validation).fold(0.0, f64::max);
        let at = fit.curve.iter().position(|point| point.validation == best).unwrap();
        assert_eq!(fit.curve.len(), at + 4);
        assert!(fit.curve.last().unwrap().validation < best);
        let validation = TRUE.validation(1);
        let scores = TRUE.scores(&validation, &[fit.predictor.predict(&validation[0])]);
        assert_eq!((scores[0].value, fit.best_validation), (best, best));
    }
}
