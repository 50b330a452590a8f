//! Scores that tasks share.
//!
//! A score averages over supervised positions, but those of one sequence are not independent of each
//! other: its count, which bounds the standard error from below, is the number of sequences.

use sequence::{Batch, Predictions, Score, Targets};

/// How well classes were predicted, summed over the positions that count.
pub(crate) struct Classification {
    sequences: usize,
    positions: usize,
    correct: usize,
    nats: f64,
}

impl Classification {
    /// Compares predictions with targets at the supervised positions for which `counts(length of the
    /// sequence, time)` holds.
    ///
    /// # Panics
    /// When batches and predictions are not those of one classification task.
    pub(crate) fn over(
        batches: &[Batch],
        predictions: &[Predictions],
        counts: impl Fn(usize, usize) -> bool,
    ) -> Self {
        assert_eq!(batches.len(), predictions.len(), "one prediction a batch");
        let mut sum = Self { sequences: 0, positions: 0, correct: 0, nats: 0.0 };
        for (batch, predictions) in batches.iter().zip(predictions) {
            let Targets::Classes(targets) = &batch.targets else { panic!("the targets are classes") };
            sum.sequences += batch.size;
            for (position, &target) in targets.iter().enumerate() {
                let (row, time) = (position / batch.time, position % batch.time);
                if batch.loss_mask[position] && counts(batch.lengths[row], time) {
                    let log_probabilities = predictions.at(position);
                    sum.positions += 1;
                    sum.correct += usize::from(most_likely(log_probabilities) == Some(target as usize));
                    sum.nats -= f64::from(log_probabilities[target as usize]);
                }
            }
        }
        sum
    }

    /// Fraction of positions at which the target was the most likely class.
    pub(crate) fn accuracy(&self, metric: &'static str) -> Score {
        Score { metric, value: self.correct as f64 / self.positions as f64, count: self.sequences }
    }

    /// Mean negative log-probability of the target, in nats.
    pub(crate) fn cross_entropy(&self) -> Score {
        Score { metric: "cross-entropy", value: self.nats / self.positions as f64, count: self.sequences }
    }
}

/// What classifiers of whole examples are scored by: accuracy, cross-entropy and calibration error.
///
/// # Panics
/// When batches and predictions are not those of one classification task.
pub(crate) fn classification_scores(batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
    let answers = Classification::over(batches, predictions, |_, _| true);
    vec![answers.accuracy("accuracy"), answers.cross_entropy(), calibration_error(batches, predictions)]
}

/// What models of the examples themselves descend, a example: the mean of the negative predictions. Of a model with a likelihood it is the
/// negative log-likelihood or a bound of it, and of others a number that compares with no other model's.
pub(crate) fn own_loss(batches: &[Batch], predictions: &[Predictions]) -> Score {
    assert_eq!(batches.len(), predictions.len(), "one prediction a batch");
    let count: usize = batches.iter().map(|batch| batch.size).sum();
    let values = predictions.iter().flat_map(|predictions| &predictions.values);
    let sum: f64 = values.map(|&value| f64::from(value)).sum();
    Score { metric: "own-loss", value: -sum / count.max(1) as f64, count }
}

/// Bins of the calibration error, of equal width.
const CALIBRATION_BINS: usize = 15;

/// How far the probability of the likeliest class is from how often it is right: the mean over examples of the difference
/// within bins of equal probability (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017). An answer that is not a
/// number is off by 1.
fn calibration_error(batches: &[Batch], predictions: &[Predictions]) -> Score {
    let mut bins = [(0.0_f64, 0.0_f64); CALIBRATION_BINS];
    let (mut examples, mut lost) = (0_usize, 0.0_f64);
    for (batch, predictions) in batches.iter().zip(predictions) {
        let Targets::Classes(targets) = &batch.targets else { panic!("the targets are classes") };
        for (position, &target) in
            targets.iter().enumerate().filter(|(position, _)| batch.loss_mask[*position])
        {
            examples += 1;
            let log_probabilities = predictions.at(position);
            let Some(class) = most_likely(log_probabilities) else {
                lost += 1.0;
                continue;
            };
            let probability = libm::exp(f64::from(log_probabilities[class])).min(1.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a probability times 15"
            )]
            let bin = ((probability * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1);
            bins[bin].0 += probability;
            bins[bin].1 += f64::from(u8::from(class == target as usize));
        }
    }
    let off: f64 = bins.iter().map(|(expected, right)| (expected - right).abs()).sum();
    Score { metric: "calibration-error", value: (off + lost) / examples.max(1) as f64, count: examples }
}

/// Fraction of sequences whose target was the most likely class at every supervised position.
///
/// # Panics
/// When batches and predictions are not those of one classification task.
pub(crate) fn sequence_accuracy(batches: &[Batch], predictions: &[Predictions]) -> Score {
    assert_eq!(batches.len(), predictions.len(), "one prediction a batch");
    let (mut right, mut sequences) = (0, 0);
    for (batch, predictions) in batches.iter().zip(predictions) {
        let Targets::Classes(targets) = &batch.targets else { panic!("the targets are classes") };
        let correct =
            |position: usize| most_likely(predictions.at(position)) == Some(targets[position] as usize);
        let whole = |row: &usize| {
            let positions = row * batch.time..(row + 1) * batch.time;
            positions.into_iter().all(|position| !batch.loss_mask[position] || correct(position))
        };
        right += (0..batch.size).filter(whole).count();
        sequences += batch.size;
    }
    Score { metric: "sequence-accuracy", value: right as f64 / sequences as f64, count: sequences }
}

/// The class with the largest log-probability, the first of equals; none if any is not a number.
fn most_likely(log_probabilities: &[f32]) -> Option<usize> {
    let mut best = 0;
    for (class, &value) in log_probabilities.iter().enumerate() {
        if value.is_nan() {
            return None;
        }
        if value > log_probabilities[best] {
            best = class;
        }
    }
    Some(best)
}

/// Mean squared difference between target and first output at the supervised positions.
///
/// # Panics
/// When batches and predictions are not those of one regression task.
pub(crate) fn mean_squared_error(batches: &[Batch], predictions: &[Predictions]) -> Score {
    assert_eq!(batches.len(), predictions.len(), "one prediction a batch");
    let (mut sum, mut positions) = (0.0, 0);
    for (batch, predictions) in batches.iter().zip(predictions) {
        let Targets::Values(targets) = &batch.targets else { panic!("the targets are values") };
        for (position, &target) in targets.iter().enumerate() {
            if batch.loss_mask[position] {
                let difference = f64::from(predictions.at(position)[0]) - f64::from(target);
                sum += difference * difference;
                positions += 1;
            }
        }
    }
    Score {
        metric: "mean-squared-error",
        value: sum / f64::from(positions),
        count: batches.iter().map(|batch| batch.size).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sequence::Inputs;
    use std::slice;

    /// Two sequences of two positions, the last of them padding.
    fn batch(targets: Targets) -> Batch {
        Batch {
            size: 2,
            time: 2,
            inputs: Inputs::Tokens(vec![0; 4]),
            source: None,
            targets,
            loss_mask: vec![true, true, true, false],
            lengths: vec![2, 1],
        }
    }

    #[test]
    fn classes_are_compared_where_they_count() {
        let batch = batch(Targets::Classes(vec![1, 0, 1, 0]));
        let (likely, unlikely) = (0.75_f32.ln(), 0.25_f32.ln());
        let predictions = Predictions {
            outputs: 2,
            values: vec![unlikely, likely, unlikely, likely, unlikely, likely, f32::NAN, f32::NAN],
        };
        let all = Classification::over(slice::from_ref(&batch), slice::from_ref(&predictions), |_, _| true);
        // By hand: right, wrong, right; -(2 ln 0.75 + ln 0.25) / 3.
        assert_eq!(all.accuracy("accuracy"), Score { metric: "accuracy", value: 2.0 / 3.0, count: 2 });
        let nats = -(2.0 * 0.75_f64.ln() + 0.25_f64.ln()) / 3.0;
        assert!((all.cross_entropy().value - nats).abs() < 1e-7);
        let sequences = sequence_accuracy(slice::from_ref(&batch), slice::from_ref(&predictions));
        // Of the two the first is wrong at its second position; the padding of the other does not count.
        assert_eq!(sequences, Score { metric: "sequence-accuracy", value: 0.5, count: 2 });
        let last = Classification::over(&[batch], &[predictions], |length, time| time + 1 == length);
        assert_eq!(last.accuracy("accuracy").value, 0.5);
    }

    #[test]
    fn calibration_compares_confidence_with_success() {
        let batch = |classes: Vec<u32>| Batch {
            size: 4,
            time: 1,
            inputs: Inputs::Tokens(vec![0; 4]),
            source: None,
            targets: Targets::Classes(classes),
            loss_mask: vec![true; 4],
            lengths: vec![1; 4],
        };
        let sure = |probability: f32| vec![probability.ln(), (1.0 - probability).ln()];
        let of = |classes: Vec<u32>, values: Vec<f32>| {
            calibration_error(&[batch(classes)], &[Predictions { outputs: 2, values }]).value
        };
        // By hand: sure to 0.75 and right three times of four.
        assert!(of(vec![0, 0, 0, 1], sure(0.75).repeat(4)) < 1e-7);
        // Sure to 0.9 and right twice of four: off by 0.4.
        assert!((of(vec![0, 0, 1, 1], sure(0.9).repeat(4)) - 0.4).abs() < 1e-7);
        // Two bins: 0.9 always right is off by 0.1, 0.6 never right by 0.6; half of the examples each.
        let values = [sure(0.9), sure(0.9), sure(0.6), sure(0.6)].concat();
        assert!((of(vec![0, 0, 1, 1], values) - 0.35).abs() < 1e-6);
        assert_eq!(of(vec![0; 4], vec![f32::NAN; 8]), 1.0);
    }

    #[test]
    fn a_prediction_that_is_not_a_number_is_wrong() {
        assert_eq!(most_likely(&[-1.0, -0.5, -0.5]), Some(1));
        assert_eq!(most_likely(&[f32::NAN, -0.5]), None);
        assert_eq!(most_likely(&[-0.5, f32::NAN]), None);
    }

    #[test]
    fn squared_errors_are_averaged_where_they_count() {
        let batch = batch(Targets::Values(vec![1.0, 2.0, 3.0, 0.0]));
        let predictions = Predictions { outputs: 1, values: vec![1.0, 0.0, 2.0, 99.0] };
        // By hand: (0 + 4 + 1) / 3.
        let expected = Score { metric: "mean-squared-error", value: 5.0 / 3.0, count: 2 };
        assert_eq!(mean_squared_error(&[batch], &[predictions]), expected);
    }
}
