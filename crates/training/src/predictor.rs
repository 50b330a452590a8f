//! A trained network as a predictor and, for text, as a density.

use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use sequence::{
    Batch, Density, Explanation, Generative, InputKind, Inputs, Interface, LossKind, Pass, PassCost,
    Predictions, Predictor, Random, Stepwise, Stopwatch, Stream, Targets,
};

use crate::probe::{parameter_gradients, weights};
use crate::{BodyContext, Network, Positions};

/// Positions that one forward pass of an evaluation holds at most, unless one sequence is longer.
pub(crate) const EVALUATION_POSITIONS: usize = 16_384;

/// A network with fixed parameters.
#[derive(Clone, Debug)]
pub struct NetworkPredictor<N> {
    network: N,
    interface: Interface,
}

impl<N: Network> NetworkPredictor<N> {
    /// A snapshot of `network`, which is to answer tasks with this interface. It keeps no gradients.
    #[must_use]
    pub fn new(network: &N, interface: Interface) -> Self {
        Self { network: network.valid(), interface }
    }

    /// The network, without gradients.
    #[must_use]
    pub fn network(&self) -> &N {
        &self.network
    }

    /// Outputs at the wanted positions, row-major, a bounded number of positions at a time.
    fn values(&self, batch: &Batch, positions: Positions) -> Vec<f32> {
        let step = (EVALUATION_POSITIONS / batch.time.max(1)).max(1);
        if batch.size <= step {
            return self.values_of(batch, positions);
        }
        let starts = (0..batch.size).step_by(step);
        starts
            .flat_map(|start| {
                self.values_of(&sequences(batch, start..(start + step).min(batch.size)), positions)
            })
            .collect()
    }

    fn values_of(&self, batch: &Batch, positions: Positions) -> Vec<f32> {
        if positions == Positions::Supervised && batch.supervised() == 0 {
            return Vec::new();
        }
        self.answers(self.network.outputs(batch, positions, &BodyContext::evaluation(&batch.lengths)))
    }

    /// What is predicted by outputs of the network.
    fn answers(&self, outputs: Tensor<2>) -> Vec<f32> {
        let outputs: Tensor<2> = match self.interface.loss {
            LossKind::CrossEntropy => log_softmax(outputs, 1),
            LossKind::MeanSquaredError | LossKind::Density => outputs,
        };
        outputs.into_data().try_into_vec().expect("outputs are single precision")
    }
}

impl<N: Network> Predictor for NetworkPredictor<N> {
    fn predict(&self, batch: &Batch) -> Predictions {
        Predictions { outputs: self.interface.outputs, values: self.values(batch, Positions::All) }
    }

    /// With zeros at the other positions.
    fn predict_supervised(&self, batch: &Batch) -> Predictions {
        let mut rows = self.values(batch, Positions::Supervised).into_iter();
        let outputs = self.interface.outputs;
        let mut values = vec![0.0; batch.loss_mask.len() * outputs];
        for (row, _) in values.chunks_exact_mut(outputs).zip(&batch.loss_mask).filter(|(_, counts)| **counts)
        {
            row.iter_mut().zip(&mut rows).for_each(|(slot, value)| *slot = value);
        }
        Predictions { outputs, values }
    }

    fn body_parameters(&self) -> usize {
        self.network.body_parameters()
    }

    fn total_parameters(&self) -> usize {
        self.network.num_params()
    }

    fn input_gradients(&self, batch: &Batch, scale: f64, seed: u64) -> Option<Vec<f64>> {
        self.network.input_gradients(batch, scale, &Random::new(seed, Stream::Probe))
    }

    fn loss_gradients(&self, batch: &Batch) -> Option<Vec<f64>> {
        self.network.loss_gradients(batch, self.interface.loss)
    }

    fn parameter_gradients(&self, batch: &Batch) -> Option<Vec<(String, f64)>> {
        Some(parameter_gradients(&self.network, batch, self.interface.loss))
    }

    fn weights(&self) -> Vec<(String, Vec<f32>)> {
        weights(&self.network)
    }

    fn states(&self, batch: &Batch) -> Option<Vec<f32>> {
        let states = self.network.states(batch, &BodyContext::evaluation(&batch.lengths))?;
        Some(states.into_data().try_into_vec().expect("states are single precision"))
    }

    fn alignment(&self, batch: &Batch) -> Option<Vec<f32>> {
        let weights = self.network.alignment(batch, &BodyContext::evaluation(&batch.lengths))?;
        Some(weights.into_data().try_into_vec().expect("weights are single precision"))
    }

    fn explanations(&self, batch: &Batch, classes: &[u32]) -> Vec<Explanation> {
        self.network.explanations(batch, classes)
    }

    fn predict_permuted(&self, batch: &Batch, random: &mut Random) -> Option<Predictions> {
        let values = self.answers(self.network.outputs_permuted(batch, random)?);
        Some(Predictions { outputs: self.interface.outputs, values })
    }

    fn pass(&self, batch: &Batch, pass: Pass, stopwatch: &dyn Stopwatch) -> Option<PassCost> {
        self.network.pass(batch, pass, stopwatch)
    }

    fn steps(&self, batch: &Batch, stopwatch: &dyn Stopwatch) -> Option<Stepwise> {
        self.network.steps(batch, stopwatch)
    }

    fn generative(&self) -> Option<&dyn Generative> {
        self.network.generative()
    }

    /// A bounded number of positions at a time.
    fn log_joint(&self, batch: &Batch) -> Option<Vec<f64>> {
        let step = (EVALUATION_POSITIONS / batch.time.max(1)).max(1);
        let mut all = Vec::with_capacity(batch.size);
        for start in (0..batch.size).step_by(step) {
            all.extend(self.network.log_joint(&sequences(batch, start..(start + step).min(batch.size)))?);
        }
        Some(all)
    }

    fn density(&self) -> Option<&dyn Density> {
        let text = matches!(self.interface.inputs, InputKind::Tokens { vocabulary } if vocabulary == self.interface.outputs)
            && self.interface.loss == LossKind::CrossEntropy;
        text.then_some(self)
    }
}

impl<N: Network> Density for NetworkPredictor<N> {
    /// The context is cut to the longest that training had; with none, every symbol is equally likely, because the
    /// network has no answer before its first input.
    fn next_log_probabilities(&self, context: &[u32]) -> Vec<f32> {
        let outputs = self.interface.outputs;
        let time = context.len().min(self.interface.maximum_time);
        if time == 0 {
            return vec![-(outputs as f32).ln(); outputs];
        }
        let mut loss_mask = vec![false; time];
        loss_mask[time - 1] = true;
        let batch = Batch {
            size: 1,
            time,
            inputs: Inputs::Tokens(context[context.len() - time..].to_vec()),
            source: None,
            targets: Targets::Classes(vec![0; time]),
            loss_mask,
            lengths: vec![time],
        };
        self.values_of(&batch, Positions::Supervised)
    }
}

/// Some sequences of a batch, as a batch.
fn sequences(batch: &Batch, range: Range<usize>) -> Batch {
    let positions = range.start * batch.time..range.end * batch.time;
    Batch {
        size: range.len(),
        time: batch.time,
        inputs: match &batch.inputs {
            Inputs::Tokens(tokens) => Inputs::Tokens(tokens[positions.clone()].to_vec()),
            Inputs::Features { width, values } => Inputs::Features {
                width: *width,
                values: values[positions.start * width..positions.end * width].to_vec(),
            },
        },
        source: batch.source.as_ref().map(|source| Box::new(sequences(source, range.clone()))),
        targets: match &batch.targets {
            Targets::Classes(classes) => Targets::Classes(classes[positions.clone()].to_vec()),
            Targets::Values(values) => Targets::Values(values[positions.clone()].to_vec()),
        },
        loss_mask: batch.loss_mask[positions].to_vec(),
        lengths: batch.lengths[range].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use sequence::Task;

    use super::*;
    use crate::SequenceNetwork;
    use crate::test_support::{Labels, Positionwise, SYMBOLS, Successor, network};

    const TASK: Successor = Successor { labels: Labels::True };

    fn predictor() -> NetworkPredictor<SequenceNetwork<Positionwise>> {
        NetworkPredictor::new(&network(1, &TASK.interface()), TASK.interface())
    }

    #[test]
    fn outputs_are_log_probabilities() {
        let batch = &TASK.validation(1)[0];
        let predictions = predictor().predict(batch);
        for position in 0..batch.loss_mask.len() {
            let sum: f32 = predictions.at(position).iter().map(|value| value.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
    }

    #[test]
    fn supervised_predictions_are_all_predictions_with_zeros_elsewhere() {
        let batch = &TASK.validation(1)[0];
        let (all, supervised) = (predictor().predict(batch), predictor().predict_supervised(batch));
        for (position, &counts) in batch.loss_mask.iter().enumerate() {
            let expected = if counts { all.at(position) } else { &[0.0; 5] };
            assert_eq!(supervised.at(position), expected);
        }
    }

    #[test]
    fn a_large_batch_is_predicted_in_parts_with_the_same_result() {
        let size = EVALUATION_POSITIONS / 6 + 3;
        let batch = TASK.training_batch(1, 0, size);
        let last = sequences(&batch, size - 2..size);
        let (all, part) = (predictor().predict(&batch), predictor().predict(&last));
        assert_eq!(all.values.len(), batch.loss_mask.len() * 5);
        assert_eq!(all.values[all.values.len() - part.values.len()..], part.values);
        assert_eq!(predictor().predict_supervised(&batch).values.len(), all.values.len());
    }

    #[test]
    fn a_density_cuts_its_context_and_has_no_opinion_without_one() {
        let predictor = predictor();
        let density = predictor.density().unwrap();
        let uniform = density.next_log_probabilities(&[]);
        assert_eq!(uniform, vec![-(SYMBOLS as f32).ln(); 5]);
        let long = density.next_log_probabilities(&[4, 4, 4, 0, 1, 2, 3, 0, 1, 2]);
        assert_eq!(long, density.next_log_probabilities(&[1, 2, 3, 0, 1, 2]));
        assert_ne!(long, uniform);
        assert_eq!(predictor.total_parameters(), 5 * 8 + (8 * 8 + 8) + (8 * 5 + 5));
    }
}
