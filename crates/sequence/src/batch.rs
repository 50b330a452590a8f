//! One padded batch of sequences, and what a model says about it.

/// The inputs of a batch, row-major over `[batch, time]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Inputs {
    /// One symbol a position: `[batch, time]`, each below the task's vocabulary size.
    Tokens(Vec<u32>),
    /// `width` real values a position: `[batch, time, width]`.
    Features {
        /// Values a position.
        width: usize,
        /// The values, row-major.
        values: Vec<f32>,
    },
}

/// What should be answered at each position, row-major over `[batch, time]`.
///
/// Positions outside the loss mask hold 0 and mean nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// A class a position.
    Classes(Vec<u32>),
    /// A real number a position.
    Values(Vec<f32>),
}

/// A batch of sequences, padded at the end to a common length.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Number of sequences.
    pub size: usize,
    /// Positions a sequence, padding included.
    pub time: usize,
    /// What the model reads.
    pub inputs: Inputs,
    /// A second sequence to condition on, for sequence-to-sequence tasks.
    pub source: Option<Box<Batch>>,
    /// What the model should answer.
    pub targets: Targets,
    /// Whether a position counts in loss and metrics: `[batch, time]`.
    pub loss_mask: Vec<bool>,
    /// Positions before the padding starts, one a sequence.
    pub lengths: Vec<usize>,
}

impl Batch {
    /// Number of positions that count in the loss.
    #[must_use]
    pub fn supervised(&self) -> usize {
        self.loss_mask.iter().filter(|&&counts| counts).count()
    }

    /// Whether each answer is the symbol that the next position reads, so that a model that reads ahead has it before its eyes.
    #[must_use]
    pub fn asks_for_the_next_symbol(&self) -> bool {
        let (Inputs::Tokens(tokens), Targets::Classes(classes)) = (&self.inputs, &self.targets) else {
            return false;
        };
        let followed = |&place: &usize| self.loss_mask[place] && (place + 1) % self.time != 0;
        let mut answers = (0..classes.len()).filter(followed).peekable();
        answers.peek().is_some() && answers.all(|place| classes[place] == tokens[place + 1])
    }

    /// Checks that every part has the shape the others say.
    ///
    /// # Panics
    /// When a generator built an inconsistent batch, which is a bug in that generator.
    pub fn assert_consistent(&self) {
        let positions = self.size * self.time;
        let inputs = match &self.inputs {
            Inputs::Tokens(tokens) => tokens.len(),
            Inputs::Features { width, values } => {
                assert_eq!(values.len(), positions * width, "features of a batch");
                positions
            }
        };
        let targets = match &self.targets {
            Targets::Classes(classes) => classes.len(),
            Targets::Values(values) => values.len(),
        };
        assert_eq!(inputs, positions, "inputs of a batch");
        assert_eq!(targets, positions, "targets of a batch");
        assert_eq!(self.loss_mask.len(), positions, "loss mask of a batch");
        assert_eq!(self.lengths.len(), self.size, "lengths of a batch");
        assert!(
            self.lengths.iter().all(|&length| length <= self.time),
            "a sequence is longer than its batch"
        );
        if let Some(source) = &self.source {
            assert_eq!(source.size, self.size, "sources of a batch");
            source.assert_consistent();
        }
    }
}

/// A model's outputs for a batch: `[batch, time, outputs]`, row-major.
///
/// For classes these are log-probabilities (natural logarithm); for values, the predicted values.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// Values a position.
    pub outputs: usize,
    /// The values.
    pub values: Vec<f32>,
}

impl Predictions {
    /// The outputs at one position of the flattened `[batch, time]` axis.
    #[must_use]
    pub fn at(&self, position: usize) -> &[f32] {
        &self.values[position * self.outputs..(position + 1) * self.outputs]
    }
}
