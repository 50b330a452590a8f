//! From single sequences to padded batches.

use sequence::{Batch, Inputs, Random, Targets};

/// Sequences that validation and each test set hold.
pub(crate) const EVALUATED: usize = 1000;

/// Sequences in a batch of validation or test examples; bounds the memory of an evaluation.
pub(crate) const EVALUATION_BATCH: usize = 100;

/// One sequence of tokens before padding. The three parts have the same length.
pub(crate) struct TokenSequence {
    /// Symbols read.
    pub(crate) inputs: Vec<u32>,
    /// Class to answer at each position, 0 where none is asked.
    pub(crate) targets: Vec<u32>,
    /// Whether a position counts in loss and metrics.
    pub(crate) counts: Vec<bool>,
}

/// Pads sequences at the end to the longest of them; padding reads `pad` and does not count.
pub(crate) fn collate(sequences: &[TokenSequence], pad: u32) -> Batch {
    let time = sequences.iter().map(|sequence| sequence.inputs.len()).max().unwrap_or(0);
    let positions = sequences.len() * time;
    let mut inputs = Vec::with_capacity(positions);
    let mut targets = Vec::with_capacity(positions);
    let mut loss_mask = Vec::with_capacity(positions);
    for (row, sequence) in sequences.iter().enumerate() {
        inputs.extend_from_slice(&sequence.inputs);
        targets.extend_from_slice(&sequence.targets);
        loss_mask.extend_from_slice(&sequence.counts);
        inputs.resize((row + 1) * time, pad);
        targets.resize((row + 1) * time, 0);
        loss_mask.resize((row + 1) * time, false);
    }
    let batch = Batch {
        size: sequences.len(),
        time,
        inputs: Inputs::Tokens(inputs),
        source: None,
        targets: Targets::Classes(targets),
        loss_mask,
        lengths: sequences.iter().map(|sequence| sequence.inputs.len()).collect(),
    };
    batch.assert_consistent();
    batch
}

/// A batch of rows of `width` features and one class each: sequences of one position.
pub(crate) fn feature_rows(width: usize, values: Vec<f32>, classes: Vec<u32>) -> Batch {
    let size = classes.len();
    let batch = Batch {
        size,
        time: 1,
        inputs: Inputs::Features { width, values },
        source: None,
        targets: Targets::Classes(classes),
        loss_mask: vec![true; size],
        lengths: vec![1; size],
    };
    batch.assert_consistent();
    batch
}

/// The batch of rows, of which only the first `labelled` tell their class.
pub(crate) fn tell_first(mut batch: Batch, labelled: usize) -> Batch {
    let kept = labelled.min(batch.size);
    batch.loss_mask[kept..].fill(false);
    if let Targets::Classes(classes) = &mut batch.targets {
        classes[kept..].fill(0);
    }
    batch
}

/// A batch of `size` rows of another, drawn with repeats.
///
/// # Panics
/// When the other is no batch of rows with classes.
pub(crate) fn draw_rows(all: &Batch, random: &mut Random, size: usize) -> Batch {
    let (Inputs::Features { width, values }, Targets::Classes(classes)) = (&all.inputs, &all.targets) else {
        panic!("the batch holds rows of features and classes");
    };
    let drawn: Vec<usize> = (0..size).map(|_| random.index(all.size)).collect();
    let rows = drawn.iter().flat_map(|&row| values[row * width..][..*width].iter().copied());
    feature_rows(*width, rows.collect(), drawn.iter().map(|&row| classes[row]).collect())
}

/// The batch with the sequences of another to condition on, one each.
pub(crate) fn with_sources(batch: Batch, sources: Batch) -> Batch {
    let batch = Batch { source: Some(Box::new(sources)), ..batch };
    batch.assert_consistent();
    batch
}

/// The [`EVALUATED`] sequences of a validation or test set, in batches that `draw` makes of a given size.
pub(crate) fn evaluation(mut draw: impl FnMut(usize) -> Batch) -> Vec<Batch> {
    (0..EVALUATED / EVALUATION_BATCH).map(|_| draw(EVALUATION_BATCH)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_sequences_are_padded_at_the_end() {
        let of = |length: u32| TokenSequence {
            inputs: (1..=length).collect(),
            targets: vec![7; length as usize],
            counts: vec![true; length as usize],
        };
        let batch = collate(&[of(1), of(3)], 9);
        assert_eq!(batch.inputs, Inputs::Tokens(vec![1, 9, 9, 1, 2, 3]));
        assert_eq!(batch.targets, Targets::Classes(vec![7, 0, 0, 7, 7, 7]));
        assert_eq!(batch.loss_mask, [true, false, false, true, true, true]);
        assert_eq!(batch.lengths, [1, 3]);
    }
}
