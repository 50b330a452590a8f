//! What the tests of several tasks share: reading batches back, made-up predictors, leak checks.

use std::collections::HashSet;

use sequence::{Batch, Inputs, Predictions, Random, Stream, Targets, Task};
use sha2::{Digest, Sha256};

use crate::corpora::hexadecimal;

/// The tokens of each sequence, padding left out.
pub(crate) fn rows(batch: &Batch) -> Vec<Vec<u32>> {
    let Inputs::Tokens(tokens) = &batch.inputs else { panic!("the inputs are tokens") };
    let row = |(index, &length): (usize, &usize)| tokens[index * batch.time..][..length].to_vec();
    batch.lengths.iter().enumerate().map(row).collect()
}

/// The target classes, padding included: `[batch, time]`.
pub(crate) fn classes(batch: &Batch) -> &[u32] {
    let Targets::Classes(classes) = &batch.targets else { panic!("the targets are classes") };
    classes
}

/// Predictions given by a function of (sequence, time).
pub(crate) fn predict(
    batch: &Batch,
    outputs: usize,
    mut answer: impl FnMut(usize, usize) -> Vec<f32>,
) -> Predictions {
    let positions = 0..batch.size * batch.time;
    let values = positions.flat_map(|position| answer(position / batch.time, position % batch.time));
    Predictions { outputs, values: values.collect() }
}

/// Log-probabilities of a predictor that is sure of one class.
pub(crate) fn certain(outputs: usize, class: u32) -> Vec<f32> {
    even(outputs, [class as usize])
}

/// Log-probabilities of a predictor that holds some classes for equally likely and the rest for impossible.
pub(crate) fn even(outputs: usize, possible: impl IntoIterator<Item = usize>) -> Vec<f32> {
    let possible: Vec<usize> = possible.into_iter().collect();
    let mut values = vec![f32::NEG_INFINITY; outputs];
    for &class in &possible {
        values[class] = -(possible.len() as f32).ln();
    }
    values
}

/// The batch with the targets of its supervised positions in random order.
pub(crate) fn shuffle_labels(batch: &Batch) -> Batch {
    let mut shuffled = batch.clone();
    let Targets::Classes(targets) = &mut shuffled.targets else { panic!("the targets are classes") };
    let places: Vec<usize> = (0..targets.len()).filter(|&place| batch.loss_mask[place]).collect();
    let mut labels: Vec<u32> = places.iter().map(|&place| targets[place]).collect();
    Random::new(1, Stream::Order).shuffle(&mut labels);
    for (place, label) in places.into_iter().zip(labels) {
        targets[place] = label;
    }
    shuffled
}

/// Each sequence of the batches as the bits of its inputs, padding left out.
fn sequences(batches: &[Batch]) -> Vec<Vec<u32>> {
    let of = |batch: &Batch| match &batch.inputs {
        Inputs::Tokens(_) => rows(batch),
        Inputs::Features { width, values } => values
            .chunks(batch.time * width)
            .map(|row| row.iter().map(|value| value.to_bits()).collect())
            .collect(),
    };
    batches.iter().flat_map(of).collect()
}

/// How many sequences of `held_out` also occur in `seen`.
pub(crate) fn shared(seen: &[Batch], held_out: &[Batch]) -> usize {
    let seen: HashSet<_> = sequences(seen).into_iter().collect();
    sequences(held_out).iter().filter(|sequence| seen.contains(*sequence)).count()
}

/// The first 16 digits of the sha256 of 1,000 training, all validation and all test examples under seed 1.
pub(crate) fn digest(task: &dyn Task) -> String {
    let mut sha = Sha256::new();
    let training = [task.training_batch(1, 0, 1000)];
    let test = task.test(1).into_iter().flat_map(|set| set.batches);
    for batch in training.into_iter().chain(task.validation(1)).chain(test) {
        batch.assert_consistent();
        let mut write = |word: u32| sha.update(word.to_le_bytes());
        if let Some(Inputs::Tokens(tokens)) = batch.source.as_ref().map(|source| &source.inputs) {
            for &token in tokens {
                write(token);
            }
        }
        match &batch.inputs {
            Inputs::Tokens(tokens) => tokens.iter().for_each(|&token| write(token)),
            Inputs::Features { values, .. } => values.iter().for_each(|value| write(value.to_bits())),
        }
        match &batch.targets {
            Targets::Classes(classes) => classes.iter().for_each(|&class| write(class)),
            Targets::Values(values) => values.iter().for_each(|value| write(value.to_bits())),
        }
        batch.loss_mask.iter().for_each(|&counts| write(u32::from(counts)));
        batch.lengths.iter().for_each(|&length| write(u32::try_from(length).unwrap()));
    }
    hexadecimal(&sha.finalize())[..16].to_owned()
}
