//! A decision tree: the class from questions about one feature at a time, each chosen by what it tells apart (CART).
//!
//! ```text
//! node:   x_feature <= threshold ?   the feature and threshold with the least  n_left G_left + n_right G_right,
//!         G = 1 - sum_class share_class^2   (Gini)
//! leaf:   P(class | x) = (count_class + smoothing) / (count + smoothing classes)
//! ```
//!
//! (Breiman, Friedman, Olshen and Stone 1984.) A node asks as long as it holds two classes and both sides of the answer keep `leaf` examples,
//! even where no question lowers the impurity, because the next one may: an exclusive or is learnt so. A threshold lies midway between
//! two values that occur. Of equally good questions the first feature's lowest threshold is taken. Where values are missing, both sides are tried
//! for them; one that was never missing in training goes where more examples went.
//!
//! Of a sequence of symbols it asks which of them occur. An answer is explained by its path: each question moves the probability of the class, and the
//! positions of the symbol that was asked for share that among them; where the symbol does not occur, none has it. With the probability
//! at the root all moves sum to the answer (Saabas 2014).
//!
//! It is written here because the libraries do not give what is needed: smartcore's forest says classes without probabilities, hides its trees
//! and draws from a generator whose stream may change, linfa's trees say classes and read no missing values.

use sequence::{
    Batch, Column, Dataset, Explanation, Fit, InputKind, LearnError, Learner, Predictions, Predictor, Random,
    Run, Stream,
};
use serde::{Deserialize, Serialize};

use crate::examples::{ExampleInputs, Examples, Rows, predictions, symbols, values};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::n_gram_bag::{BagConfig, NGramBag, SparseRows};
use crate::{Counting, Reads};

const NAME: &str = "decision-tree";

/// Most values of a training set whose symbols become one column each.
const MOST_VALUES: usize = 20_000_000;

/// Settings of a decision tree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct DecisionTreeConfig {
    /// Questions before an answer at most; 0 is no limit.
    depth: usize,
    /// Examples that a leaf has at least.
    leaf: usize,
    /// Added to each count of a leaf, so that no class is impossible (Laplace).
    smoothing: f64,
}

impl Default for DecisionTreeConfig {
    fn default() -> Self {
        Self { depth: 4, leaf: 1, smoothing: 1.0 }
    }
}

impl Counting for DecisionTreeConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "decision tree: the class from questions about one feature at a time (CART)";
    const CITATION: &'static str = "Breiman, Friedman, Olshen and Stone 1984";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::TrainingSet;

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        check(NAME, self.leaf, self.smoothing)?;
        Ok(Box::new(DecisionTree { config: self }))
    }
}

/// Checks the settings that trees and forests share.
///
/// # Errors
/// When one makes no sense.
pub(crate) fn check(model: &'static str, leaf: usize, smoothing: f64) -> Result<(), LearnError> {
    let wrong = |reason: String| Err(LearnError::Setting { model, reason });
    if leaf == 0 {
        return wrong("`leaf` is 0, it must be at least 1".to_owned());
    }
    if !(smoothing.is_finite() && smoothing >= 0.0) {
        return wrong(format!("`smoothing` is {smoothing}, it must be 0 or more"));
    }
    Ok(())
}

/// The rows of a training set that trees can read, with their classes and the number of these.
///
/// # Errors
/// When the task has no rows of real numbers with one class each.
pub(crate) fn real_rows(
    data: &Dataset,
    model: &'static str,
) -> Result<(Rows, Vec<usize>, usize), LearnError> {
    let unsuitable = |reason: &str| LearnError::Unsuitable { model, reason: reason.to_owned() };
    let examples = Examples::of(data, model)?;
    if examples.columns.iter().any(|column| *column != Column::Real) {
        return Err(unsuitable("it reads real numbers, and this task has categories"));
    }
    let ExampleInputs::Rows(rows) = examples.inputs else {
        return Err(unsuitable("it reads rows of real numbers, and this task has symbols"));
    };
    Ok((rows, examples.labels, examples.classes))
}

struct DecisionTree {
    config: DecisionTreeConfig,
}

/// The training set as rows, and how symbols became these.
type Read = (Rows, Vec<usize>, usize, Option<NGramBag>);

/// Rows of real numbers as they are, and of sequences of symbols which occur.
fn read(data: &Dataset) -> Result<Read, LearnError> {
    if !matches!(data.interface().inputs, InputKind::Tokens { .. }) {
        return real_rows(data, NAME).map(|(rows, labels, classes)| (rows, labels, classes, None));
    }
    let examples = Examples::of(data, NAME)?;
    let ExampleInputs::Symbols(sequences) = &examples.inputs else { unreachable!("tokens are symbols") };
    let (bag, occurring) = NGramBag::fit(BagConfig::default(), sequences);
    if occurring.len() * bag.len() > MOST_VALUES {
        let reason = format!(
            "{} examples of {} symbols are more than {MOST_VALUES} values",
            occurring.len(),
            bag.len()
        );
        return Err(LearnError::Unsuitable { model: NAME, reason });
    }
    Ok((dense(&occurring, bag.len()), examples.labels, examples.classes, Some(bag)))
}

fn dense(sparse: &SparseRows, width: usize) -> Rows {
    let mut values = vec![0.0; sparse.len() * width];
    for row in 0..sparse.len() {
        for (feature, value) in sparse.row(row) {
            values[row * width + feature] = value;
        }
    }
    Rows { width, values }
}

impl Learner for DecisionTree {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let (rows, labels, classes, bag) = read(data)?;
        let limits = Limits { depth: self.config.depth, leaf: self.config.leaf, features: 0 };
        let sample = (0..labels.len()).collect();
        // Nothing is drawn, because every question may ask for every feature.
        let mut random = Random::new(run.seed, Stream::Initialisation);
        let tree = Tree::grow(&rows, &labels, classes, sample, limits, &mut random);
        Ok(fit_without_updates(Box::new(Fitted { tree, smoothing: self.config.smoothing, bag }), data, run))
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        let columns = match data.interface().inputs {
            InputKind::Tokens { vocabulary } => {
                let examples: usize = data.training_set().iter().flatten().map(|batch| batch.size).sum();
                8 * (examples * vocabulary).min(MOST_VALUES)
            }
            _ => 0,
        };
        columns as u64 + 4 * crate::examples::bytes(data) + validation_bytes(data)
    }
}

struct Fitted {
    tree: Tree,
    smoothing: f64,
    /// Of symbols.
    bag: Option<NGramBag>,
}

impl Fitted {
    /// The rows of a batch, row-major.
    fn values(&self, batch: &Batch) -> Vec<f64> {
        match &self.bag {
            Some(bag) => dense(&bag.rows(&symbols(batch)), self.tree.width).values,
            None => values(batch),
        }
    }
}

impl Predictor for Fitted {
    fn predict(&self, batch: &Batch) -> Predictions {
        let (values, width) = (self.values(batch), self.tree.width);
        predictions(batch, self.tree.classes, |row| {
            let counts = self.tree.counts(&values[row * width..][..width]);
            log_smoothed(counts, counts.iter().sum(), self.smoothing)
        })
    }

    fn explanations(&self, batch: &Batch, classes: &[u32]) -> Vec<Explanation> {
        let Some(bag) = &self.bag else { return Vec::new() };
        let (values, width) = (self.values(batch), self.tree.width);
        let held = self.tree.held();
        let mut relevance = Vec::with_capacity(batch.size * batch.time);
        for ((row, sequence), &class) in symbols(batch).iter().enumerate().zip(classes) {
            let mut moves = vec![0.0; width];
            for (feature, change) in
                self.tree.path(&values[row * width..][..width], &held, class as usize, self.smoothing)
            {
                moves[feature] += change;
            }
            let mut of_sequence = bag.relevance(sequence, |feature| moves[feature]);
            of_sequence.resize(batch.time, 0.0);
            relevance.extend(of_sequence);
        }
        vec![Explanation { name: "path", relevance }]
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.tree.parameters()
    }
}

/// ln ((count + s) / (total + s classes)) of each class.
pub(crate) fn log_smoothed(counts: &[f64], total: f64, smoothing: f64) -> Vec<f64> {
    let whole = total + smoothing * counts.len() as f64;
    counts.iter().map(|count| ((count + smoothing) / whole).ln()).collect()
}

/// What bounds the growth of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Questions before an answer at most; 0 is no limit.
    pub(crate) depth: usize,
    /// Examples that a leaf has at least.
    pub(crate) leaf: usize,
    /// Features among which each question is chosen, drawn anew for each; 0 is all.
    pub(crate) features: usize,
}

/// A grown tree.
#[derive(Debug)]
pub(crate) struct Tree {
    width: usize,
    classes: usize,
    /// The first is the root.
    nodes: Vec<Node>,
}

#[derive(Debug, PartialEq)]
enum Node {
    Question {
        question: Question,
        /// Where those go whose value is at most the threshold.
        left: usize,
        right: usize,
    },
    /// How many training examples of each class came here.
    Leaf(Vec<f64>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Question {
    feature: usize,
    threshold: f64,
    /// Where a missing value goes.
    missing_left: bool,
}

impl Question {
    fn left(self, row: &[f64]) -> bool {
        let value = row[self.feature];
        if value.is_nan() { self.missing_left } else { value <= self.threshold }
    }
}

/// A node that is still to be decided: what it holds of the sample, and how deep it lies.
struct Open {
    node: usize,
    start: usize,
    end: usize,
    depth: usize,
}

impl Tree {
    /// Grows a tree on `sample`, the numbers of examples, of which some may occur more than once.
    pub(crate) fn grow(
        rows: &Rows,
        labels: &[usize],
        classes: usize,
        mut sample: Vec<usize>,
        limits: Limits,
        random: &mut Random,
    ) -> Self {
        let mut nodes = vec![Node::Leaf(Vec::new())];
        let mut search =
            Search { rows, labels, classes, limits, values: Vec::new(), order: (0..rows.width).collect() };
        // A stack of its own, because a tree without limit may be as deep as there are examples.
        let mut open = vec![Open { node: 0, start: 0, end: sample.len(), depth: 0 }];
        while let Some(Open { node, start, end, depth }) = open.pop() {
            let held = &mut sample[start..end];
            let counts = counts_of(held.iter().map(|&example| labels[example]), classes);
            let pure = counts.iter().filter(|count| **count > 0.0).count() < 2;
            let bottom = limits.depth > 0 && depth >= limits.depth;
            let question = if pure || bottom { None } else { search.best(held, &counts, random) };
            let Some(question) = question else {
                nodes[node] = Node::Leaf(counts);
                continue;
            };
            let width = rows.width;
            // Stable, so that the order of examples does not depend on how they were partitioned before.
            held.sort_by_key(|&example| !question.left(&rows.values[example * width..][..width]));
            let middle = start
                + sample[start..end]
                    .iter()
                    .filter(|&&example| question.left(&rows.values[example * width..][..width]))
                    .count();
            let (left, right) = (nodes.len(), nodes.len() + 1);
            nodes.extend([Node::Leaf(Vec::new()), Node::Leaf(Vec::new())]);
            nodes[node] = Node::Question { question, left, right };
            open.push(Open { node: right, start: middle, end, depth: depth + 1 });
            open.push(Open { node: left, start, end: middle, depth: depth + 1 });
        }
        Self { width: rows.width, classes, nodes }
    }

    /// How many training examples of each class came to the leaf where this row goes.
    pub(crate) fn counts(&self, row: &[f64]) -> &[f64] {
        let mut node = 0;
        loop {
            match &self.nodes[node] {
                Node::Question { question, left, right } => {
                    node = if question.left(row) { *left } else { *right };
                }
                Node::Leaf(counts) => return counts,
            }
        }
    }

    /// How many training examples of each class came to each node.
    fn held(&self) -> Vec<Vec<f64>> {
        let mut held = vec![Vec::new(); self.nodes.len()];
        // Those below a node come after it.
        for (node, kind) in self.nodes.iter().enumerate().rev() {
            held[node] = match kind {
                Node::Leaf(counts) => counts.clone(),
                Node::Question { left, right, .. } => {
                    held[*left].iter().zip(&held[*right]).map(|(left, right)| left + right).collect()
                }
            };
        }
        held
    }

    /// The feature of each question that this row is asked, and by how much the answer moves the probability of a class.
    fn path(&self, row: &[f64], held: &[Vec<f64>], class: usize, smoothing: f64) -> Vec<(usize, f64)> {
        let probability = |node: usize| {
            let counts = &held[node];
            log_smoothed(counts, counts.iter().sum(), smoothing)[class].exp()
        };
        let (mut node, mut moves) = (0, Vec::new());
        while let Node::Question { question, left, right } = &self.nodes[node] {
            let next = if question.left(row) { *left } else { *right };
            moves.push((question.feature, probability(next) - probability(node)));
            node = next;
        }
        moves
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// A feature and a threshold a question, and the counts of the leaves.
    pub(crate) fn parameters(&self) -> usize {
        let of = |node: &Node| match node {
            Node::Question { .. } => 2,
            Node::Leaf(counts) => counts.len(),
        };
        self.nodes.iter().map(of).sum()
    }
}

fn counts_of(labels: impl Iterator<Item = usize>, classes: usize) -> Vec<f64> {
    let mut counts = vec![0.0; classes];
    for label in labels {
        counts[label] += 1.0;
    }
    counts
}

/// n times the sum of squared shares of the classes; the more, the purer.
fn purity(counts: &[f64]) -> f64 {
    let total: f64 = counts.iter().sum();
    if total > 0.0 { counts.iter().map(|count| count * count).sum::<f64>() / total } else { 0.0 }
}

/// The search for a question, with the memory that it uses again and again.
struct Search<'a> {
    rows: &'a Rows,
    labels: &'a [usize],
    classes: usize,
    limits: Limits,
    /// Value and class of those held.
    values: Vec<(f64, usize)>,
    /// The features, in the order in which they were last drawn.
    order: Vec<usize>,
}

impl Search<'_> {
    /// The best question about the examples held, if any leaves enough of them on both sides.
    fn best(&mut self, held: &[usize], counts: &[f64], random: &mut Random) -> Option<Question> {
        let width = self.rows.width;
        let draws = self.limits.features > 0 && self.limits.features < width;
        let wanted = if draws { self.limits.features } else { width };
        let mut best: Option<(f64, Question)> = None;
        let mut asked = 0;
        for place in 0..width {
            if asked == wanted {
                break;
            }
            if draws {
                let other = place + random.index(width - place);
                self.order.swap(place, other);
            }
            let feature = if draws { self.order[place] } else { place };
            // A feature without two values is no choice, and does not count as one.
            if let Some(found) = self.of_feature(feature, held, counts) {
                asked += 1;
                let better =
                    |(purity, _): &(f64, Question)| found.as_ref().is_some_and(|found| found.0 > *purity);
                if best.as_ref().is_none_or(better) && found.is_some() {
                    best = found;
                }
            }
        }
        best.map(|(_, question)| question)
    }

    /// The best question about one feature and the purity that it leads to, if there is a valid one; `None` of a feature that is the same everywhere.
    #[expect(
        clippy::option_option,
        reason = "a feature that cannot be asked for differs from one that may not"
    )]
    fn of_feature(
        &mut self,
        feature: usize,
        held: &[usize],
        counts: &[f64],
    ) -> Option<Option<(f64, Question)>> {
        let width = self.rows.width;
        self.values.clear();
        self.values.extend(
            held.iter().map(|&example| (self.rows.values[example * width + feature], self.labels[example])),
        );
        // Missing values come last.
        self.values.sort_unstable_by(|a, b| a.0.is_nan().cmp(&b.0.is_nan()).then(a.0.total_cmp(&b.0)));
        let known = self.values.partition_point(|(value, _)| !value.is_nan());
        let missing = counts_of(self.values[known..].iter().map(|(_, class)| *class), self.classes);
        let lost = self.values.len() - known;
        if known == 0 || (lost == 0 && self.values[0].0 == self.values[known - 1].0) {
            return None;
        }
        let mut best: Option<(f64, Question)> = None;
        let mut consider = |left: &[f64], threshold: f64, missing_left: bool| {
            let right: Vec<f64> = counts.iter().zip(left).map(|(all, left)| all - left).collect();
            let least = self.limits.leaf as f64;
            let (on_left, on_right) = (left.iter().sum::<f64>(), right.iter().sum::<f64>());
            let purity = purity(left) + purity(&right);
            if on_left >= least && on_right >= least && best.as_ref().is_none_or(|(found, _)| purity > *found)
            {
                let missing_left = if lost > 0 { missing_left } else { on_left > on_right };
                best = Some((purity, Question { feature, threshold, missing_left }));
            }
        };
        let mut left = vec![0.0; self.classes];
        for place in 0..known {
            let (value, class) = self.values[place];
            left[class] += 1.0;
            let next = if place + 1 < known { self.values[place + 1].0 } else { f64::INFINITY };
            // After the last known value the question is whether there is one.
            if next == value || (place + 1 == known && lost == 0) {
                continue;
            }
            let middle = value.midpoint(next);
            let threshold = if next == f64::INFINITY {
                next
            } else if middle < next {
                middle
            } else {
                // Rounding has put it onto the upper value, which belongs to the right.
                value
            };
            consider(&left, threshold, false);
            if lost > 0 && place + 1 < known {
                let with: Vec<f64> =
                    left.iter().zip(&missing).map(|(left, missing)| left + missing).collect();
                consider(&with, threshold, true);
            }
        }
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(width: usize, values: &[f64], labels: &[usize], limits: Limits) -> Tree {
        let rows = Rows { width, values: values.to_vec() };
        let sample = (0..labels.len()).collect();
        Tree::grow(&rows, labels, 2, sample, limits, &mut Random::new(1, Stream::Initialisation))
    }

    const NONE: Limits = Limits { depth: 0, leaf: 1, features: 0 };

    fn root(tree: &Tree) -> Option<(usize, f64)> {
        match &tree.nodes[0] {
            Node::Question { question, .. } => Some((question.feature, question.threshold)),
            Node::Leaf(_) => None,
        }
    }

    #[test]
    fn the_first_question_is_the_purest() {
        // By hand: feature 0 puts one of class 0 on the wrong side, feature 1 none at 2.5.
        let values = [1.0, 1.0, 2.0, 3.0, 3.0, 2.0, 4.0, 4.0];
        let tree = grown(2, &values, &[0, 1, 0, 1], NONE);
        assert_eq!(root(&tree), Some((1, 2.5)));
        assert_eq!(tree.counts(&[0.0, 2.5]), [2.0, 0.0]);
        assert_eq!(tree.counts(&[0.0, 2.6]), [0.0, 2.0]);
    }

    #[test]
    fn a_path_leads_from_the_root_to_the_answer() {
        let values = [1.0, 1.0, 2.0, 3.0, 3.0, 2.0, 4.0, 4.0, 0.5, 3.5];
        let tree = grown(2, &values, &[0, 1, 0, 1, 0], NONE);
        let held = tree.held();
        assert_eq!(held[0], [3.0, 2.0]);
        for row in values.chunks(2) {
            for class in 0..2 {
                let path = tree.path(row, &held, class, 1.0);
                let moves: f64 = path.iter().map(|(_, change)| change).sum();
                // By hand: (3 + 1) / (5 + 2) and (2 + 1) / (5 + 2) at the root.
                let root = [4.0 / 7.0, 3.0 / 7.0][class];
                let counts = tree.counts(row);
                let answer = log_smoothed(counts, counts.iter().sum(), 1.0)[class].exp();
                assert!((root + moves - answer).abs() < 1e-12 && !path.is_empty(), "{row:?}, {class}");
            }
        }
    }

    #[test]
    fn an_exclusive_or_is_learnt_though_no_first_question_helps() {
        let values = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
        let labels = [0, 1, 1, 0];
        let tree = grown(2, &values, &labels, NONE);
        for (row, label) in values.chunks(2).zip(labels) {
            assert_eq!(tree.counts(row)[label], 1.0, "{row:?}");
        }
        // With one question two of each class are left together.
        let stump = grown(2, &values, &labels, Limits { depth: 1, ..NONE });
        assert_eq!(stump.counts(&[0.0, 0.0]), [1.0, 1.0]);
    }

    #[test]
    fn leaves_keep_enough_examples() {
        let values = [1.0, 2.0, 3.0, 4.0];
        // The purest question would cut the first off; with two on each side there is one threshold.
        assert_eq!(root(&grown(1, &values, &[1, 0, 0, 0], NONE)), Some((0, 1.5)));
        assert_eq!(root(&grown(1, &values, &[1, 0, 0, 0], Limits { leaf: 2, ..NONE })), Some((0, 2.5)));
        assert_eq!(root(&grown(1, &values, &[1, 0, 0, 0], Limits { leaf: 3, ..NONE })), None);
    }

    #[test]
    fn missing_values_go_where_they_belong() {
        // All of class 1 are missing: the question is whether there is a value.
        let tree = grown(1, &[1.0, 2.0, f64::NAN, f64::NAN], &[0, 0, 1, 1], NONE);
        assert_eq!((tree.counts(&[9.0]), tree.counts(&[f64::NAN])), (&[2.0, 0.0][..], &[0.0, 2.0][..]));
        // The missing one is of the class of the low values.
        let tree = grown(1, &[1.0, 2.0, 3.0, f64::NAN], &[0, 1, 1, 0], NONE);
        assert_eq!((root(&tree), tree.counts(&[f64::NAN])), (Some((0, 1.5)), &[2.0, 0.0][..]));
        // Never missing before: where more went.
        let tree = grown(1, &[1.0, 2.0, 3.0], &[0, 1, 1], NONE);
        assert_eq!(tree.counts(&[f64::NAN]), [0.0, 2.0]);
    }

    #[test]
    fn neighbouring_numbers_are_told_apart() {
        let (low, high) = (1.0_f64, 1.0 + f64::EPSILON);
        let tree = grown(1, &[low, high], &[0, 1], NONE);
        assert_eq!((tree.counts(&[low])[0], tree.counts(&[high])[1]), (1.0, 1.0));
    }

    #[test]
    fn trees_are_those_of_scikit_learn() {
        // From `fixtures/trees.py`.
        let cases: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../fixtures/trees.json")).unwrap();
        assert_eq!(cases.len(), 5);
        for (index, case) in cases.iter().enumerate() {
            let number = |key: &str| usize::try_from(case[key].as_u64().unwrap()).unwrap();
            let flat = |key: &str| -> Vec<f64> {
                let entries = case[key].as_array().unwrap().iter();
                entries.map(|entry| entry.as_f64().unwrap_or(f64::NAN)).collect()
            };
            let labels: Vec<usize> = serde_json::from_value(case["labels"].clone()).unwrap();
            let (classes, width) = (number("classes"), number("width"));
            let rows = Rows { width, values: flat("training") };
            let limits = Limits { depth: number("depth"), leaf: number("leaf"), features: 0 };
            let sample = (0..labels.len()).collect();
            let mut random = Random::new(1, Stream::Initialisation);
            let tree = Tree::grow(&rows, &labels, classes, sample, limits, &mut random);
            let test = flat("test");
            let ours = test.chunks(width).flat_map(|row| {
                log_smoothed(tree.counts(row), tree.counts(row).iter().sum(), 0.0).into_iter().map(f64::exp)
            });
            let theirs = flat("probabilities");
            assert_eq!(ours.clone().count(), theirs.len());
            for (place, (ours, theirs)) in ours.zip(theirs).enumerate() {
                assert!((ours - theirs).abs() < 1e-8, "case {index}, {place}: {ours}, theirs {theirs}");
            }
        }
    }

    #[test]
    fn smoothing_is_laplace() {
        // By hand: (3 + 1) / (4 + 2) and (1 + 1) / (4 + 2).
        let smoothed = log_smoothed(&[3.0, 1.0], 4.0, 1.0);
        assert!(
            (smoothed[0].exp() - 2.0 / 3.0).abs() < 1e-12 && (smoothed[1].exp() - 1.0 / 3.0).abs() < 1e-12
        );
        assert_eq!(log_smoothed(&[2.0, 0.0], 2.0, 0.0), [0.0, f64::NEG_INFINITY]);
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let refusal = |config: DecisionTreeConfig| config.learner().err().unwrap().to_string();
        let default = DecisionTreeConfig::default();
        assert!(refusal(DecisionTreeConfig { leaf: 0, ..default }).contains("`leaf` is 0"));
        assert!(refusal(DecisionTreeConfig { smoothing: -1.0, ..default }).contains("`smoothing` is -1"));
    }
}
