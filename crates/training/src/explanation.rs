//! What a network says of an answer by itself: which positions speak for it.
//!
//! ```text
//! gradient times input   x_t . d/dx_t log (p / (1 - p))           x_t [width] the embedded input at t, p the probability of the class
//! attention              mean over layers and heads of A[last, t]  A [time, time] the weights of attention, rows sum to 1
//! rollout                R[last, t], R = product over layers, later ones at the left, of (mean over heads of A + I) / 2
//! ```
//!
//! The first is linear in nothing but the inputs: of a model that is a weighted sum of them it is weight times value. Attention and rollout
//! know no class. Gradient times input: Shrikumar, Greenside and Kundaje 2017; rollout: Abnar and Zuidema 2020.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use sequence::{Batch, Explanation, Random};

use crate::probe::Widen;
use crate::{Body, BodyContext, Positions, SequenceNetwork};

/// What is done to the weights of attention of a layer, `[batch, heads, time, time]`.
pub type Rewrite<'a> = dyn FnMut(Tensor<4>) -> Tensor<4> + 'a;

/// See [`sequence::Predictor::explanations`].
pub(crate) fn explanations<B: Body>(
    network: &SequenceNetwork<B>,
    batch: &Batch,
    classes: &[u32],
) -> Vec<Explanation> {
    let mut all = Vec::new();
    if let Some(layers) = attention(network, batch) {
        all.push(Explanation { name: "attention", relevance: mean_of_last(&layers, batch) });
        all.push(Explanation { name: "attention-rollout", relevance: rollout_of_last(&layers, batch) });
    }
    let relevance = gradient_times_input(network, batch, classes);
    all.push(Explanation { name: "gradient-times-input", relevance });
    all
}

/// The weights of attention of each layer, the mean over heads: `[batch, time, time]`, row-major. `None` without attention.
fn attention<B: Body>(network: &SequenceNetwork<B>, batch: &Batch) -> Option<Vec<Vec<f32>>> {
    let mut layers = Vec::new();
    let mut keep = |weights: Tensor<4>| {
        let mean: Tensor<3> = weights.clone().mean_dim(1).squeeze_dim(1);
        layers.push(mean.into_data().try_into_vec().expect("weights are single precision"));
        weights
    };
    let context = BodyContext::evaluation(&batch.lengths);
    network.body().forward_attending(network.embed(batch), &context, &mut keep)?;
    Some(layers)
}

/// Of each sequence what its last position attends to, the mean over layers: `[size, time]`.
fn mean_of_last(layers: &[Vec<f32>], batch: &Batch) -> Vec<f64> {
    let time = batch.time;
    let of_sequence = |(sequence, &length): (usize, &usize)| {
        let start = (sequence * time + length - 1) * time;
        let of_position = move |position: usize| {
            let sum: f64 = layers.iter().map(|layer| f64::from(layer[start + position])).sum();
            sum / layers.len() as f64
        };
        (0..time).map(of_position).collect::<Vec<f64>>()
    };
    batch.lengths.iter().enumerate().flat_map(of_sequence).collect()
}

/// Of each sequence the last row of the rollout: `[size, time]`.
fn rollout_of_last(layers: &[Vec<f32>], batch: &Batch) -> Vec<f64> {
    let time = batch.time;
    let of_sequence = |(sequence, &length): (usize, &usize)| {
        let mut row = vec![0.0; time];
        row[length - 1] = 1.0;
        for layer in layers.iter().rev() {
            let mut before = vec![0.0; time];
            for (from, &share) in row.iter().enumerate() {
                before[from] += 0.5 * share;
                let weights = &layer[(sequence * time + from) * time..][..time];
                before
                    .iter_mut()
                    .zip(weights)
                    .for_each(|(slot, weight)| *slot += 0.5 * share * f64::from(*weight));
            }
            row = before;
        }
        row
    };
    batch.lengths.iter().enumerate().flat_map(of_sequence).collect()
}

/// `[size, time]`, in double precision as [`crate::probe`] has it.
pub(crate) fn gradient_times_input<B: Body>(
    network: &SequenceNetwork<B>,
    batch: &Batch,
    classes: &[u32],
) -> Vec<f64> {
    let inputs = network.embed(batch).inner().cast(DType::F64).autodiff().require_grad();
    let [_, _, width] = inputs.dims();
    let network = network.valid().map(&mut Widen { track: false });
    let context = BodyContext::evaluation(&batch.lengths);
    let outputs = network.outputs_of(inputs.clone(), batch, Positions::Supervised, &context);
    let gradients = log_odds(outputs, classes).sum().backward();
    let gradient = inputs.grad(&gradients).expect("the answer depends on the inputs");
    let products = (gradient * inputs.inner()).into_data();
    let values = products.as_slice::<f64>().expect("double precision, as the inputs");
    values.chunks_exact(width).map(|row| row.iter().sum()).collect()
}

/// The log-odds of one class of each row of `outputs`, `[rows, classes]` before the softmax: `[rows, 1]`.
fn log_odds(outputs: Tensor<2>, classes: &[u32]) -> Tensor<2> {
    let [rows, outcomes] = outputs.dims();
    assert_eq!(rows, classes.len(), "one supervised position a sequence, and one class");
    let chosen: Vec<f64> = classes
        .iter()
        .flat_map(|&class| (0..outcomes).map(move |outcome| f64::from(u8::from(outcome == class as usize))))
        .collect();
    let chosen =
        Tensor::<2>::from_data(TensorData::new(chosen, [rows, outcomes]), (&outputs.device(), DType::F64));
    let own = (outputs.clone() * chosen.clone()).sum_dim(1);
    // What a constant takes away for safety it gives back.
    let highest = outputs.clone().detach().max_dim(1);
    let others = ((outputs - highest.clone()).exp() * (chosen.neg() + 1.0)).sum_dim(1).log() + highest;
    own - others
}

/// See [`Network::outputs_permuted`].
pub(crate) fn outputs_permuted<B: Body>(
    network: &SequenceNetwork<B>,
    batch: &Batch,
    random: &mut Random,
) -> Option<Tensor<2>> {
    let mut permute = |weights: Tensor<4>| permuted(weights, &batch.lengths, random);
    let context = BodyContext::evaluation(&batch.lengths);
    let hidden = network.body().forward_attending(network.embed(batch), &context, &mut permute)?;
    Some(network.read(hidden, batch, Positions::All))
}

/// `weights` `[batch, heads, time, time]`, with those of each sequence's last position in random order.
fn permuted(weights: Tensor<4>, lengths: &[usize], random: &mut Random) -> Tensor<4> {
    let shape = weights.dims();
    let [_, heads, time, _] = shape;
    let device: Device = weights.device();
    let mut values: Vec<f32> = weights.into_data().try_into_vec().expect("weights are single precision");
    for (sequence, &length) in lengths.iter().enumerate() {
        for head in 0..heads {
            let start = ((sequence * heads + head) * time + length - 1) * time;
            random.shuffle(&mut values[start..][..length]);
        }
    }
    Tensor::from_data(TensorData::new(values, shape), &device)
}

#[cfg(test)]
mod tests {
    use sequence::{Stream, Task};

    use super::*;
    use crate::test_support::{Labels, Successor, network};

    /// Two sequences of three and two positions.
    fn batch() -> Batch {
        Batch {
            size: 2,
            time: 3,
            inputs: sequence::Inputs::Tokens(vec![0; 6]),
            source: None,
            targets: sequence::Targets::Classes(vec![0; 6]),
            loss_mask: vec![false, false, true, false, true, false],
            lengths: vec![3, 2],
        }
    }

    const LOWER: [f32; 18] = [
        1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.2, 0.3, 0.5, //
        1.0, 0.0, 0.0, 0.25, 0.75, 0.0, 0.0, 0.0, 1.0,
    ];

    #[test]
    fn rollout_and_attention_by_hand() {
        let layers = [LOWER.to_vec(), LOWER.to_vec()];
        let close = |ours: Vec<f64>, by_hand: [f64; 6]| {
            for (ours, by_hand) in ours.iter().zip(by_hand) {
                assert!((ours - by_hand).abs() < 1e-6, "{ours} {by_hand}");
            }
        };
        close(mean_of_last(&layers, &batch()), [0.2, 0.3, 0.5, 0.25, 0.75, 0.0]);
        // With B = (A + I) / 2 of the first sequence, rows [1, 0, 0], [0.25, 0.75, 0], [0.1, 0.15, 0.75]: the last row of B B is
        // 0.1 + 0.15 x 0.25 + 0.75 x 0.1, 0.15 x 0.75 + 0.75 x 0.15, 0.75 x 0.75. Of the second, rows [1, 0] and [0.125, 0.875].
        let by_hand = [0.2125, 0.225, 0.5625, 0.125 + 0.875 * 0.125, 0.875 * 0.875, 0.0];
        close(rollout_of_last(&layers, &batch()), by_hand);
        for row in rollout_of_last(&layers, &batch()).chunks(3) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{row:?}");
        }
    }

    #[test]
    fn only_the_last_row_is_permuted_and_within_the_sequence() {
        let device = Device::flex();
        let weights = Tensor::<4>::from_data(TensorData::new(LOWER.to_vec(), [2, 1, 3, 3]), &device);
        let mut random = Random::new(3, Stream::Sampling);
        let mut moved = false;
        for _ in 0..10 {
            let now: Vec<f32> =
                permuted(weights.clone(), &[3, 2], &mut random).into_data().try_into_vec().unwrap();
            // All rows but the third of the first sequence and the second of the second one.
            for at in [0..6, 9..12, 15..18] {
                assert_eq!(now[at.clone()], LOWER[at]);
            }
            let mut last = now[6..9].to_vec();
            last.sort_by(f32::total_cmp);
            assert_eq!(last, [0.2, 0.3, 0.5]);
            // What is hidden from the second sequence's last position stays hidden.
            assert_eq!(now[14], 0.0);
            moved |= now[6..9] != LOWER[6..9];
        }
        assert!(moved);
    }

    #[test]
    fn log_odds_by_hand() {
        let device = Device::flex();
        let outputs = Tensor::<2>::from_data(
            TensorData::new(vec![1.0_f64, 2.0, 0.5, 3.0], [2, 2]),
            (&device, DType::F64),
        );
        let odds = log_odds(outputs, &[1, 0]).into_data();
        let odds = odds.as_slice::<f64>().unwrap();
        assert!((odds[0] - 1.0).abs() < 1e-12 && (odds[1] + 2.5).abs() < 1e-12, "{odds:?}");
    }

    #[test]
    fn gradient_times_input_is_the_derivative_by_a_factor_on_the_input() {
        // d/ds of the log-odds where the embedded input is multiplied by s, at s = 1, by central differences.
        let task = Successor { labels: Labels::True };
        let mut batch = task.training_batch(1, 0, 3);
        batch.loss_mask = (0..batch.loss_mask.len()).map(|at| at % batch.time == batch.time - 1).collect();
        let classes = [2, 0, 4];
        let network = network(1, &task.interface());
        let ours = gradient_times_input(&network, &batch, &classes);
        assert_eq!(ours.len(), batch.size * batch.time);
        let wide = network.valid().map(&mut Widen { track: false });
        let embedded = network.embed(&batch).inner().cast(DType::F64).autodiff();
        let [size, time, _] = embedded.dims();
        let context = BodyContext::evaluation(&batch.lengths);
        let scaled = |place: usize, factor: f64| -> f64 {
            let mut factors = vec![1.0; size * time];
            factors[place] = factor;
            let factors = Tensor::<3>::from_data(
                TensorData::new(factors, [size, time, 1]),
                (&embedded.device(), DType::F64),
            );
            let inputs = embedded.clone() * factors;
            let outputs = wide.outputs_of(inputs, &batch, Positions::Supervised, &context);
            log_odds(outputs, &classes).sum().into_data().as_slice::<f64>().unwrap()[0]
        };
        for (place, ours) in ours.iter().enumerate() {
            let difference = (scaled(place, 1.0 + 1e-5) - scaled(place, 1.0 - 1e-5)) / 2e-5;
            assert!((ours - difference).abs() < 1e-8, "{place}: {ours} {difference}");
        }
        assert!(ours.iter().any(|value| value.abs() > 1e-3), "{ours:?}");
    }
}
