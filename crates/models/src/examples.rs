//! A finite training set as the classifiers that fit it whole see it: one example a sequence, one class an example.
//!
//! The class is asked for at the one supervised position of each sequence. What precedes it is either symbols, of which the
//! order may matter, or a single position of features, of which some may be missing (`NaN`). A row of features without a supervised
//! position is an example whose class is not told.

use sequence::{
    Batch, Column, Dataset, InputKind, Inputs, LearnError, LossKind, Predictions, Random, Samples, Targets,
};

use serde::{Deserialize, Serialize};

use crate::architecture::NOTHING_TO_ANSWER;

/// The labelled examples of a task.
pub(crate) struct Examples {
    /// What each example is.
    pub(crate) inputs: ExampleInputs,
    /// What the columns of rows hold; none of symbols.
    pub(crate) columns: Vec<Column>,
    /// The class of each.
    pub(crate) labels: Vec<usize>,
    /// How many classes there are.
    pub(crate) classes: usize,
}

/// What is known of each example.
pub(crate) enum ExampleInputs {
    /// Symbols in order.
    Symbols(Vec<Vec<u32>>),
    /// A row of values.
    Rows(Rows),
}

/// Rows of values, row-major.
pub(crate) struct Rows {
    /// Values a row.
    pub(crate) width: usize,
    /// The values, `[examples, width]`; a missing one is `NaN`.
    pub(crate) values: Vec<f64>,
}

impl Rows {
    /// Each example.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[f64]> + Clone {
        self.values.chunks_exact(self.width.max(1))
    }

    /// The mean of each column.
    pub(crate) fn means(&self) -> Vec<f64> {
        let mut means = vec![0.0; self.width];
        for row in self.iter() {
            means.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        for sum in &mut means {
            *sum /= self.len() as f64;
        }
        means
    }

    /// The covariance around the means, `[width, width]`, with the number of rows as divisor, as the likelihood has it.
    pub(crate) fn covariance(&self, means: &[f64]) -> Vec<f64> {
        let width = self.width;
        let mut covariance = vec![0.0; width * width];
        for row in self.iter() {
            for a in 0..width {
                let off = row[a] - means[a];
                for b in 0..=a {
                    covariance[a * width + b] += off * (row[b] - means[b]);
                }
            }
        }
        for a in 0..width {
            for b in 0..=a {
                let mean = covariance[a * width + b] / self.len() as f64;
                covariance[a * width + b] = mean;
                covariance[b * width + a] = mean;
            }
        }
        covariance
    }

    /// The variance of each column.
    pub(crate) fn variances(&self) -> Vec<f64> {
        let count = self.len() as f64;
        let of_column = |column: usize| {
            let values = || self.iter().map(|row| row[column]);
            let mean = values().sum::<f64>() / count;
            values().map(|value| (value - mean).powi(2)).sum::<f64>() / count
        };
        (0..self.width).map(of_column).collect()
    }

    /// How many examples there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }
}

/// What becomes of training examples of which the class is not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unlabelled {
    /// A task that has such examples is refused.
    #[default]
    Refuse,
    /// They are left out.
    Ignore,
    /// The model learns from them, in the way that it describes.
    Learn,
}

impl Examples {
    /// The training set of a classification task.
    ///
    /// # Errors
    /// When the task asks for values or for nothing, has no finite training set, or asks for more than one class a sequence.
    pub(crate) fn of(data: &Dataset, model: &'static str) -> Result<Self, LearnError> {
        match data.interface().loss {
            LossKind::Density => Err(LearnError::Unsuitable { model, reason: NOTHING_TO_ANSWER.to_owned() }),
            _ => Self::of_any(data, model),
        }
    }

    /// The training set of a classification task, or of one of density, whose examples are all of one class.
    ///
    /// # Errors
    /// When the task asks for values, has no finite training set, or asks for more than one class a sequence.
    pub(crate) fn of_any(data: &Dataset, model: &'static str) -> Result<Self, LearnError> {
        Self::told_and_others(data, model, Unlabelled::Refuse).map(|(told, _)| told)
    }

    /// The examples whose class is told, as [`of_any`](Self::of_any), and beside them the rows of the others, if there are any and the
    /// model learns from them.
    ///
    /// # Errors
    /// As [`of_any`](Self::of_any), and when the class of an example is not told and the model refuses such.
    pub(crate) fn told_and_others(
        data: &Dataset,
        model: &'static str,
        others: Unlabelled,
    ) -> Result<(Self, Option<Rows>), LearnError> {
        let unsuitable = |reason: &str| LearnError::Unsuitable { model, reason: reason.to_owned() };
        let interface = data.interface();
        if interface.loss == LossKind::MeanSquaredError {
            return Err(unsuitable("it chooses between classes, and this task asks for a value"));
        }
        let batches = data.training_set().ok_or_else(|| {
            unsuitable("it fits all examples at once, and this task is an endless stream of them")
        })?;
        let asked = |batch: &Batch| -> Vec<usize> {
            let counted = |row: &[bool]| row.iter().filter(|counts| **counts).count();
            batch.loss_mask.chunks_exact(batch.time.max(1)).map(counted).collect()
        };
        let asked: Vec<usize> = batches.iter().flat_map(asked).collect();
        if asked.iter().any(|&answers| answers > 1) {
            return Err(unsuitable("it answers once a sequence, and this task asks more often"));
        }
        let untold = asked.iter().filter(|&&answers| answers == 0).count();
        if untold > 0 && others == Unlabelled::Refuse {
            let reason = format!(
                "the class of {untold} of its {} training examples is not told; a model with the setting `unlabelled` can leave them \
                 out (`\"ignore\"`) or learn from them (`\"learn\"`)",
                asked.len()
            );
            return Err(LearnError::Unsuitable { model, reason });
        }
        if matches!(interface.inputs, InputKind::Features { .. })
            && batches.iter().any(|batch| batch.time != 1)
        {
            return Err(unsuitable(
                "it reads one row of features an example, and this task has sequences of them",
            ));
        }
        let labels = batches.iter().flat_map(labels).collect();
        let mut rest = None;
        let inputs = match interface.inputs {
            InputKind::Tokens { .. } if untold > 0 => {
                return Err(unsuitable("of sequences of symbols it needs every class to be told"));
            }
            InputKind::Tokens { .. } => ExampleInputs::Symbols(batches.iter().flat_map(symbols).collect()),
            InputKind::Features { width } => {
                let values: Vec<f64> = batches.iter().flat_map(values).collect();
                let with = |answers: usize| {
                    let rows = values.chunks_exact(width.max(1)).zip(&asked);
                    rows.filter(move |(_, of_row)| **of_row == answers).flat_map(|(row, _)| row.to_vec())
                };
                if untold > 0 {
                    let learnt = others == Unlabelled::Learn;
                    rest = learnt.then(|| Rows { width, values: with(0).collect() });
                    ExampleInputs::Rows(Rows { width, values: with(1).collect() })
                } else {
                    ExampleInputs::Rows(Rows { width, values })
                }
            }
            InputKind::Conditioned { .. } => {
                return Err(unsuitable("it reads one sequence, and this task has two"));
            }
        };
        Ok((Self { inputs, columns: data.columns(), labels, classes: interface.outputs }, rest))
    }

    /// How many examples each class has.
    pub(crate) fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes];
        for &label in &self.labels {
            counts[label] += 1;
        }
        counts
    }
}

/// The training rows of a task that asks for nothing but a model of them.
///
/// # Errors
/// When the task asks for something else, when a column holds categories, or when a value is missing.
pub(crate) fn density_rows(data: &Dataset, model: &'static str) -> Result<Rows, LearnError> {
    let unsuitable = |reason: &str| LearnError::Unsuitable { model, reason: reason.to_owned() };
    let examples = Examples::of_any(data, model)?;
    let real = examples.columns.iter().all(|column| *column == Column::Real);
    let (true, 1, ExampleInputs::Rows(rows)) = (real, examples.classes, examples.inputs) else {
        return Err(unsuitable("it models rows of real numbers, and this task asks for something else"));
    };
    if rows.values.iter().any(|value| value.is_nan()) {
        return Err(unsuitable("it needs every value, and in this task some are missing"));
    }
    Ok(rows)
}

/// The class asked for in each sequence.
fn labels(batch: &Batch) -> Vec<usize> {
    let Targets::Classes(classes) = &batch.targets else { return Vec::new() };
    let supervised = classes.iter().zip(&batch.loss_mask).filter(|(_, counts)| **counts);
    supervised.map(|(&class, _)| class as usize).collect()
}

/// The symbols of each sequence, padding left out.
pub(crate) fn symbols(batch: &Batch) -> Vec<Vec<u32>> {
    let Inputs::Tokens(tokens) = &batch.inputs else { return Vec::new() };
    let sequence = |(row, &length): (usize, &usize)| tokens[row * batch.time..][..length].to_vec();
    batch.lengths.iter().enumerate().map(sequence).collect()
}

/// The sequences of a batch with the symbol that follows each, if the targets ask for the next symbol and for nothing else. A
/// position may be left out, as where the next symbol was not seen; a batch in which nothing says what is asked for has none.
pub(crate) fn next_symbols(batch: &Batch) -> Option<Vec<Vec<u32>>> {
    let Targets::Classes(classes) = &batch.targets else { return None };
    let mut texts = symbols(batch);
    let mut confirmed = false;
    for (row, text) in texts.iter_mut().enumerate() {
        let length = text.len();
        for at in (0..length).filter(|at| batch.loss_mask[row * batch.time + at]) {
            let target = classes[row * batch.time + at];
            match text.get(at + 1) {
                Some(&next) if next == target => confirmed = true,
                Some(_) => return None,
                None => text.push(target),
            }
        }
    }
    confirmed.then_some(texts)
}

/// The features of a batch in double precision.
pub(crate) fn values(batch: &Batch) -> Vec<f64> {
    let Inputs::Features { values, .. } = &batch.inputs else { return Vec::new() };
    values.iter().copied().map(f64::from).collect()
}

/// Predictions that say `answer(row)`, natural log-probabilities of the classes, at every position of a row.
#[expect(clippy::cast_possible_truncation, reason = "predictions are f32")]
pub(crate) fn predictions(
    batch: &Batch,
    classes: usize,
    mut answer: impl FnMut(usize) -> Vec<f64>,
) -> Predictions {
    let mut values = Vec::with_capacity(batch.size * batch.time * classes);
    for row in 0..batch.size {
        let log_probabilities: Vec<f32> = answer(row).into_iter().map(|value| value as f32).collect();
        for _ in 0..batch.time {
            values.extend_from_slice(&log_probabilities);
        }
    }
    Predictions { outputs: classes, values }
}

/// Log-probabilities from values that are each a constant too large: x - ln sum e^x.
pub(crate) fn log_normalised(mut values: Vec<f64>) -> Vec<f64> {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values.iter().map(|value| (value - largest).exp()).sum();
    let constant = largest + sum.ln();
    for value in &mut values {
        *value -= constant;
    }
    values
}

/// What a generative model answers from the joint log-probabilities of an example with each class: the log-probabilities of the classes; of
/// one class, which is all that a task of density has, the log-density itself.
pub(crate) fn answers(joint: Vec<f64>) -> Vec<f64> {
    if joint.len() == 1 { joint } else { log_normalised(joint) }
}

/// The natural logarithm of the sum of exponentials.
pub(crate) fn log_sum(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + logs.iter().map(|log| (log - largest).exp()).sum::<f64>().ln()
}

/// An index drawn with a probability in proportion to its weight; any of them where all weights are 0.
pub(crate) fn drawn_from(weights: &[f64], random: &mut Random) -> usize {
    let total: f64 = weights.iter().sum();
    let mut rest = f64::from(random.unit()) * total;
    let last = weights.iter().rposition(|weight| *weight > 0.0);
    for (index, weight) in weights.iter().enumerate() {
        rest -= weight;
        if rest < 0.0 || Some(index) == last {
            return index;
        }
    }
    random.index(weights.len())
}

/// Examples of a model of classes with these natural log-probabilities: a class each, and then a row of it.
#[expect(clippy::cast_possible_truncation, reason = "examples are f32, and classes are few")]
pub(crate) fn sampled(
    log_priors: &[f64],
    size: usize,
    random: &mut Random,
    mut row: impl FnMut(usize, &mut Random) -> Vec<f64>,
) -> Samples {
    let priors: Vec<f64> = log_priors.iter().map(|log| log.exp()).collect();
    let mut values = Vec::new();
    let mut classes = Vec::with_capacity(size);
    for _ in 0..size {
        let class = drawn_from(&priors, random);
        classes.push(class as u32);
        values.extend(row(class, random).into_iter().map(|value| value as f32));
    }
    Samples { values, classes: (priors.len() > 1).then_some(classes) }
}

/// Checks a share of the second of two classes, 0 standing for that of the training set.
///
/// # Errors
/// When it is no share.
pub(crate) fn check_prior(model: &'static str, prior: f64) -> Result<(), LearnError> {
    if (0.0..1.0).contains(&prior) {
        return Ok(());
    }
    Err(LearnError::Setting {
        model,
        reason: format!("`prior` is {prior}, it must be 0 or more and less than 1"),
    })
}

/// Checks what an example whose class is not told counts.
///
/// # Errors
/// When it is no weight.
pub(crate) fn check_weight(model: &'static str, weight: f64) -> Result<(), LearnError> {
    if weight > 0.0 && weight.is_finite() {
        return Ok(());
    }
    let reason = format!(
        "`unlabelled-weight` is {weight}, it must be more than 0; `unlabelled = \"ignore\"` leaves such examples out"
    );
    Err(LearnError::Setting { model, reason })
}

/// Bytes of a training set and of what is counted of it, at most.
pub(crate) fn bytes(data: &Dataset) -> u64 {
    let of_batch = |batch: &Batch| match &batch.inputs {
        // A symbol, its n-grams with their values, and for each of them an entry of the dictionary and weights.
        Inputs::Tokens(tokens) => 200 * tokens.len(),
        Inputs::Features { values, .. } => 40 * values.len(),
    };
    data.training_set().iter().flatten().map(of_batch).sum::<usize>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_their_weights() {
        let mut random = Random::new(3, sequence::Stream::Sampling);
        let mut counts = [0_u32; 4];
        for _ in 0..10_000 {
            counts[drawn_from(&[1.0, 0.0, 3.0, 0.0], &mut random)] += 1;
        }
        // A quarter of 10,000, with a standard error of 43; four of them.
        assert!(counts[0].abs_diff(2500) < 173 && counts[1] == 0 && counts[3] == 0, "{counts:?}");
        assert!(drawn_from(&[0.0, 0.0], &mut random) < 2);
        assert_eq!(log_sum(&[f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
        assert!((log_sum(&[0.0, 3.0_f64.ln()]) - 4.0_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn the_next_symbols_are_told_from_other_targets() {
        let batch = |tokens: [u32; 6], targets: [u32; 6], loss_mask: [bool; 6]| Batch {
            size: 2,
            time: 3,
            inputs: Inputs::Tokens(tokens.to_vec()),
            source: None,
            targets: Targets::Classes(targets.to_vec()),
            loss_mask: loss_mask.to_vec(),
            lengths: vec![3, 2],
        };
        let asked = [true, true, true, true, true, false];
        let texts = next_symbols(&batch([1, 2, 3, 4, 5, 0], [2, 3, 9, 5, 8, 0], asked));
        assert_eq!(texts, Some(vec![vec![1, 2, 3, 9], vec![4, 5, 8]]));
        // The last is not asked for, and one within neither.
        let fewer = [true, false, false, false, true, false];
        let texts = next_symbols(&batch([1, 2, 3, 4, 5, 0], [2, 0, 0, 0, 8, 0], fewer));
        assert_eq!(texts, Some(vec![vec![1, 2, 3], vec![4, 5, 8]]));
        // Anything else is no next symbol; nor is it known what the last positions alone ask for.
        assert_eq!(next_symbols(&batch([1, 2, 3, 4, 5, 0], [2, 2, 9, 5, 8, 0], asked)), None);
        let last = [false, false, true, false, true, false];
        assert_eq!(next_symbols(&batch([1, 2, 3, 4, 5, 0], [0, 0, 9, 0, 8, 0], last)), None);
    }

    #[test]
    fn log_probabilities_sum_to_one_whatever_their_size() {
        for values in [vec![0.0, 1.0], vec![-1e5, -1e5 + 1.0], vec![1e5, 1e5 + 1.0]] {
            let normalised = log_normalised(values);
            // By hand: 1 / (1 + e) and e / (1 + e).
            assert!((normalised[0].exp() - 0.268_941_421_369_995_1).abs() < 1e-9, "{normalised:?}");
            assert!((normalised[1].exp() - 0.731_058_578_630_004_9).abs() < 1e-9, "{normalised:?}");
        }
        assert_eq!(log_normalised(vec![f64::NEG_INFINITY, 0.0]), [f64::NEG_INFINITY, 0.0]);
    }
}
