//! A random forest: the mean of the answers of many decision trees, each grown on examples and features drawn for it.
//!
//! ```text
//! tree b:          grown on n examples drawn with repeats (`bootstrap`), each question chosen among `features` features drawn anew
//! share_class(x) = mean over trees of the share of the class in the leaf where x goes
//! P(class | x)   = (trees share_class(x) + smoothing) / (trees + smoothing classes)
//! ```
//!
//! (Breiman 1996, 2001.) With all features it is bagging. Seeds of trees are drawn one after the other, so that the trees of a small forest
//! are the first ones of a large one of the same seed.

use sequence::{Batch, Dataset, Fit, LearnError, Learner, Predictions, Predictor, Random, Run, Stream};
use serde::{Deserialize, Serialize};

use crate::decision_tree::{Limits, Tree, check, log_smoothed, real_rows};
use crate::examples::{predictions, values};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::{Counting, Reads};

const NAME: &str = "random-forest";
const MOST_TREES: usize = 100_000;

/// Settings of a random forest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct RandomForestConfig {
    /// Number of trees.
    trees: usize,
    /// Questions of a tree before an answer at most; 0 is no limit.
    depth: usize,
    /// Examples that a leaf has at least.
    leaf: usize,
    /// Features among which each question is chosen; 0 is the square root of their number, rounded down.
    features: usize,
    /// Whether each tree draws its examples with repeats; otherwise it has them all.
    bootstrap: bool,
    /// Votes that each class has beforehand, so that none is impossible.
    smoothing: f64,
}

impl Default for RandomForestConfig {
    fn default() -> Self {
        Self { trees: 100, depth: 0, leaf: 1, features: 0, bootstrap: true, smoothing: 1.0 }
    }
}

impl Counting for RandomForestConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "random forest: the mean of many decision trees, each grown on examples and features drawn for it";
    const CITATION: &'static str = "Breiman 2001";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::TrainingSet;

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        if !(1..=MOST_TREES).contains(&self.trees) {
            let reason = format!("`trees` is {}, it must be from 1 to {MOST_TREES}", self.trees);
            return Err(LearnError::Setting { model: NAME, reason });
        }
        check(NAME, self.leaf, self.smoothing)?;
        Ok(Box::new(RandomForest { config: self }))
    }
}

struct RandomForest {
    config: RandomForestConfig,
}

impl Learner for RandomForest {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let (rows, labels, classes) = real_rows(data, NAME)?;
        let features =
            if self.config.features == 0 { rows.width.isqrt().max(1) } else { self.config.features };
        let limits = Limits { depth: self.config.depth, leaf: self.config.leaf, features };
        let mut seeds = Random::new(run.seed, Stream::Initialisation);
        let trees = (0..self.config.trees).map(|_| {
            let mut random = Random::new(seeds.bits(), Stream::Sampling);
            let draw = |example| if self.config.bootstrap { random.index(labels.len()) } else { example };
            let sample = (0..labels.len()).map(draw).collect();
            Tree::grow(&rows, &labels, classes, sample, limits, &mut random)
        });
        let forest = Fitted { trees: trees.collect(), smoothing: self.config.smoothing };
        Ok(fit_without_updates(Box::new(forest), data, run))
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        // A tree has at most two nodes an example.
        let examples: usize = data.training_set().iter().flatten().map(|batch| batch.size).sum();
        let classes = data.interface().outputs;
        let trees = self.config.trees * 2 * examples * (64 + 8 * classes);
        trees as u64 + 4 * crate::examples::bytes(data) + validation_bytes(data)
    }
}

struct Fitted {
    trees: Vec<Tree>,
    smoothing: f64,
}

impl Fitted {
    /// The sum over trees of the shares of the classes where this row goes.
    fn votes(&self, row: &[f64], classes: usize) -> Vec<f64> {
        let mut votes = vec![0.0; classes];
        for tree in &self.trees {
            let counts = tree.counts(row);
            let total: f64 = counts.iter().sum();
            votes.iter_mut().zip(counts).for_each(|(vote, count)| *vote += count / total);
        }
        votes
    }
}

impl Predictor for Fitted {
    fn predict(&self, batch: &Batch) -> Predictions {
        let values = values(batch);
        let (width, classes) = self.trees.first().map_or((0, 1), |tree| (tree.width(), tree.classes()));
        predictions(batch, classes, |row| {
            let votes = self.votes(&values[row * width..][..width], classes);
            log_smoothed(&votes, self.trees.len() as f64, self.smoothing)
        })
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.trees.iter().map(Tree::parameters).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::Rows;

    /// Trees of one feature with two classes, on examples 0 and 1 in the order given.
    fn tree(labels: &[usize]) -> Tree {
        let rows = Rows { width: 1, values: (0..labels.len()).map(|value| value as f64).collect() };
        let limits = Limits { depth: 0, leaf: 1, features: 0 };
        let sample = (0..labels.len()).collect();
        Tree::grow(&rows, labels, 2, sample, limits, &mut Random::new(1, Stream::Sampling))
    }

    #[test]
    fn the_answer_is_the_mean_of_the_trees() {
        let forest = Fitted { trees: vec![tree(&[0, 1]), tree(&[1, 1]), tree(&[1, 0])], smoothing: 1.0 };
        // By hand: at 0 the trees say class 0, 1 and 1; with a vote for each class (1 + 1) / (3 + 2) and (2 + 1) / (3 + 2).
        assert_eq!(forest.votes(&[0.0], 2), [1.0, 2.0]);
        let logs = log_smoothed(&forest.votes(&[0.0], 2), 3.0, forest.smoothing);
        assert!((logs[0].exp() - 0.4).abs() < 1e-12 && (logs[1].exp() - 0.6).abs() < 1e-12, "{logs:?}");
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let refusal = |config: RandomForestConfig| config.learner().err().unwrap().to_string();
        let default = RandomForestConfig::default();
        assert!(refusal(RandomForestConfig { trees: 0, ..default }).contains("`trees` is 0"));
        assert!(refusal(RandomForestConfig { leaf: 0, ..default }).contains("`leaf` is 0"));
    }
}
