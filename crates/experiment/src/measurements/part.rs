//! A task of which only some training rows, or some columns, are seen: what cross-validation and the choice of features work on.

use sequence::{
    Batch, Budget, Column, Dataset, Fit, Floor, InputKind, Inputs, Interface, Learner, Predictions,
    Predictor, Random, Run, Score, StopRule, Stream, Targets, Task, TestSet,
};

use super::{CellContext, scores};
use crate::ExperimentError;

/// A task with other training rows, or with some of its columns.
pub(super) struct Part<'a> {
    task: &'a dyn Task,
    training: Batch,
    columns: Option<&'a [usize]>,
}

impl<'a> Part<'a> {
    /// The task with these training rows and columns; all columns without a list. `training` has the columns already.
    pub(super) fn new(task: &'a dyn Task, training: Batch, columns: Option<&'a [usize]>) -> Self {
        Self { task, training, columns }
    }
}

impl Task for Part<'_> {
    fn name(&self) -> &'static str {
        self.task.name()
    }

    fn version(&self) -> u32 {
        self.task.version()
    }

    fn interface(&self) -> Interface {
        let interface = self.task.interface();
        match self.columns {
            Some(columns) => Interface { inputs: InputKind::Features { width: columns.len() }, ..interface },
            None => interface,
        }
    }

    fn training_batch(&self, _: u64, _: u64, _: usize) -> Batch {
        self.training.clone()
    }

    /// One row of training: whoever fits a part chooses nothing by validation, and all rows would cost more than the fit.
    fn validation(&self, _: u64) -> Vec<Batch> {
        vec![rows(&self.training, &[0], None)]
    }

    fn test(&self, _: u64) -> Vec<TestSet> {
        Vec::new()
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        self.task.scores(batches, predictions)
    }

    fn larger_is_better(&self) -> bool {
        self.task.larger_is_better()
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    fn floors(&self) -> Vec<Floor> {
        Vec::new()
    }

    fn training_set(&self, _: u64) -> Option<Vec<Batch>> {
        Some(vec![self.training.clone()])
    }

    fn columns(&self) -> Option<Vec<Column>> {
        let all = self.task.columns()?;
        Some(
            self.columns
                .map_or_else(|| all.clone(), |columns| columns.iter().map(|&column| all[column]).collect()),
        )
    }
}

/// All training rows of a task in one batch.
///
/// # Errors
/// When the task has no finite training set of rows, or the class of one is not told.
pub(super) fn training_rows(task: &dyn Task, seed: u64) -> Result<Batch, ExperimentError> {
    let wrong = |what: &str| ExperimentError::Cell(format!("task `{}` {what}", task.name()));
    let batches = task.training_set(seed).ok_or_else(|| wrong("has no finite training set"))?;
    let joined = joined(&batches).ok_or_else(|| wrong("has no rows of features"))?;
    if joined.size == 0 {
        return Err(wrong("has no training examples"));
    }
    if joined.supervised() < joined.size {
        return Err(wrong("has training examples whose class is not told"));
    }
    Ok(joined)
}

/// Batches of rows as one; `None` if they hold anything else.
pub(super) fn joined(batches: &[Batch]) -> Option<Batch> {
    let mut all = batches.first()?.clone();
    for batch in batches {
        if batch.time != 1 || !matches!(batch.inputs, Inputs::Features { .. }) {
            return None;
        }
    }
    for batch in &batches[1..] {
        match (&mut all.inputs, &batch.inputs) {
            (Inputs::Features { values, .. }, Inputs::Features { values: more, .. }) => values.extend(more),
            _ => return None,
        }
        match (&mut all.targets, &batch.targets) {
            (Targets::Classes(classes), Targets::Classes(more)) => classes.extend(more),
            (Targets::Values(values), Targets::Values(more)) => values.extend(more),
            _ => return None,
        }
        all.size += batch.size;
        all.loss_mask.extend(&batch.loss_mask);
        all.lengths.extend(&batch.lengths);
    }
    Some(all)
}

/// The rows of a batch that are named, with all columns or those named.
pub(super) fn rows(batch: &Batch, named: &[usize], columns: Option<&[usize]>) -> Batch {
    let inputs = match &batch.inputs {
        Inputs::Features { width, values } => {
            let mut chosen = Vec::with_capacity(named.len() * columns.map_or(*width, <[usize]>::len));
            for row in named.iter().map(|&row| &values[row * width..][..*width]) {
                match columns {
                    Some(columns) => chosen.extend(columns.iter().map(|&column| row[column])),
                    None => chosen.extend_from_slice(row),
                }
            }
            Inputs::Features { width: columns.map_or(*width, <[usize]>::len), values: chosen }
        }
        Inputs::Tokens(tokens) => Inputs::Tokens(named.iter().map(|&row| tokens[row]).collect()),
    };
    let targets = match &batch.targets {
        Targets::Classes(classes) => Targets::Classes(named.iter().map(|&row| classes[row]).collect()),
        Targets::Values(values) => Targets::Values(named.iter().map(|&row| values[row]).collect()),
    };
    Batch {
        size: named.len(),
        time: 1,
        inputs,
        source: None,
        targets,
        loss_mask: vec![true; named.len()],
        lengths: vec![1; named.len()],
    }
}

/// The numbers 0 to `count` - 1 in `folds` folds of nearly equal size, drawn at random.
pub(super) fn folds(count: usize, folds: usize, random: &mut Random) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..count).collect();
    random.shuffle(&mut order);
    (0..folds).map(|fold| order.iter().copied().skip(fold).step_by(folds).collect()).collect()
}

/// All of the folds but one.
pub(super) fn others(folds: &[Vec<usize>], without: usize) -> Vec<usize> {
    let kept = folds.iter().enumerate().filter(|(fold, _)| *fold != without);
    kept.flat_map(|(_, members)| members.iter().copied()).collect()
}

/// The error that counts: 1 less the primary metric where more of that is better, otherwise the metric itself; and on how many examples.
pub(super) fn error(task: &dyn Task, predictor: &dyn Predictor, batches: &[Batch]) -> (f64, usize) {
    let score = scores(task, predictor, batches).into_iter().next();
    let value = score.as_ref().map_or(f64::NAN, |score| score.value);
    (if task.larger_is_better() { 1.0 - value } else { value }, score.map_or(0, |score| score.count))
}

impl CellContext<'_> {
    /// A fit to other examples than the cell's, from a seed.
    pub(super) fn fit_to(
        &self,
        task: &dyn Task,
        learner: &dyn Learner,
        seed: u64,
    ) -> Result<Fit, ExperimentError> {
        let data = Dataset::new(task, self.cell.seed, self.batch_size());
        let budget = Budget { updates: 1, evaluate_every: 1 };
        let mut run = Run { budget, stop: StopRule::Budget, seed, stopwatch: self.machine, observer: None };
        Ok(learner.fit(&data, &mut run)?)
    }

    /// The mean error over folds, each predicted by a fit to the others.
    pub(super) fn cross_validated(
        &self,
        task: &dyn Task,
        learner: &dyn Learner,
        training: &Batch,
        folds: &[Vec<usize>],
        columns: Option<&[usize]>,
    ) -> Result<f64, ExperimentError> {
        let (mut sum, mut count) = (0.0, 0.0);
        for (fold, members) in folds.iter().enumerate() {
            let part = Part::new(task, rows(training, &others(folds, fold), columns), columns);
            let fit = self.fit_to(&part, learner, self.cell.seed)?;
            let held_out = [rows(training, members, columns)];
            let examples = members.len() as f64;
            sum += error(&part, fit.predictor.as_ref(), &held_out).0 * examples;
            count += examples;
        }
        Ok(sum / count)
    }
}

/// The stream from which a cell draws its folds.
pub(super) fn fold_random(seed: u64) -> Random {
    Random::new(seed, Stream::Order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(values: &[f32], targets: &[f32]) -> Batch {
        let size = targets.len();
        Batch {
            size,
            time: 1,
            inputs: Inputs::Features { width: values.len() / size, values: values.to_vec() },
            source: None,
            targets: Targets::Values(targets.to_vec()),
            loss_mask: vec![true; size],
            lengths: vec![1; size],
        }
    }

    #[test]
    fn rows_and_columns_are_those_named() {
        let all = batch(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[10.0, 20.0]);
        assert_eq!(rows(&all, &[1], Some(&[2, 0])), batch(&[6.0, 4.0], &[20.0]));
        assert_eq!(rows(&all, &[1, 0], None), batch(&[4.0, 5.0, 6.0, 1.0, 2.0, 3.0], &[20.0, 10.0]));
        assert_eq!(joined(&[rows(&all, &[0], None), rows(&all, &[1], None)]), Some(all));
    }

    #[test]
    fn every_row_is_held_out_once() {
        let folds = folds(11, 3, &mut fold_random(1));
        assert_eq!(folds.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 3]);
        for fold in 0..3 {
            let mut all = [others(&folds, fold), folds[fold].clone()].concat();
            all.sort_unstable();
            assert_eq!(all, (0..11).collect::<Vec<_>>());
        }
    }
}
