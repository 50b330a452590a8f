//! A sequence as a bag of n-grams: which words and pairs of words it has, and not in which order.
//!
//! The n-grams are those of the training set, numbered as they were met; others are passed over. With `counts` a value is how
//! often the n-gram occurs, without it 1 (Wang and Manning 2012 found presence to be better than counts for sentences).

use std::ops::Range;

use hashbrown::HashMap;
use sequence::{Batch, LearnError};

use crate::examples::symbols;

/// Longest n-gram of a bag.
const MAXIMUM_ORDER: usize = 4;

/// What weight times value is where a score is a weighted sum: an explanation that networks have, too.
pub(crate) const GRADIENT_TIMES_INPUT: &str = "gradient-times-input";

/// How symbols become features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BagConfig {
    /// Symbols of the longest n-gram: 1 for words alone, 2 for pairs beside them.
    pub(crate) order: usize,
    /// Whether a value is how often the n-gram occurs, and not just that it does.
    pub(crate) counts: bool,
}

impl Default for BagConfig {
    fn default() -> Self {
        Self { order: 1, counts: false }
    }
}

impl BagConfig {
    /// # Errors
    /// When the order is outside its range.
    pub(crate) fn check(self, model: &'static str) -> Result<(), LearnError> {
        if (1..=MAXIMUM_ORDER).contains(&self.order) {
            return Ok(());
        }
        let reason = format!("`order` is {}, it must be from 1 to {MAXIMUM_ORDER}", self.order);
        Err(LearnError::Setting { model, reason })
    }
}

/// Rows with few values that are not 0, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct SparseRows {
    /// Where each row starts; one entry more than there are rows.
    pub(crate) starts: Vec<usize>,
    /// The features of each row, ascending.
    pub(crate) features: Vec<u32>,
    /// Their values.
    pub(crate) values: Vec<f64>,
}

impl SparseRows {
    pub(crate) fn new() -> Self {
        Self { starts: vec![0], ..Self::default() }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The features of a row and their values.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (usize, f64)> + Clone {
        let range = self.starts[row]..self.starts[row + 1];
        let features = self.features[range.clone()].iter().map(|&feature| feature as usize);
        features.zip(self.values[range].iter().copied())
    }

    /// Adds a row with these features, of which one may occur several times, and empties the list.
    fn push_bag(&mut self, features: &mut Vec<u32>, counts: bool) {
        features.sort_unstable();
        for same in features.chunk_by(|a, b| a == b) {
            self.features.push(same[0]);
            self.values.push(if counts { same.len() as f64 } else { 1.0 });
        }
        features.clear();
        self.starts.push(self.features.len());
    }

    /// Adds a row with these features, ascending, and values.
    pub(crate) fn push(&mut self, row: impl Iterator<Item = (usize, f64)>) {
        for (feature, value) in row.filter(|(_, value)| *value != 0.0) {
            self.features.push(u32::try_from(feature).expect("there are fewer than 2^32 features"));
            self.values.push(value);
        }
        self.starts.push(self.features.len());
    }

    /// The rows with these indices.
    pub(crate) fn subset(&self, rows: &[usize]) -> Self {
        let mut subset = Self::new();
        for &row in rows {
            let range = self.starts[row]..self.starts[row + 1];
            subset.features.extend_from_slice(&self.features[range.clone()]);
            subset.values.extend_from_slice(&self.values[range]);
            subset.starts.push(subset.features.len());
        }
        subset
    }
}

/// The n-grams of a training set, by number.
#[derive(Clone, Debug)]
pub(crate) struct NGramBag {
    config: BagConfig,
    /// The number of an n-gram, by what precedes its last symbol (0 for nothing, otherwise 1 more than the number of
    /// that) and its last symbol.
    numbers: HashMap<(u32, u32), u32>,
}

impl NGramBag {
    /// The n-grams of `sequences`, and the bag of each sequence.
    pub(crate) fn fit(config: BagConfig, sequences: &[Vec<u32>]) -> (Self, SparseRows) {
        let mut numbers = HashMap::new();
        let mut rows = SparseRows::new();
        let mut found = Vec::new();
        for sequence in sequences {
            for start in 0..sequence.len() {
                let mut preceding = 0;
                for &symbol in sequence[start..].iter().take(config.order) {
                    let next = u32::try_from(numbers.len()).expect("there are fewer than 2^32 n-grams");
                    let number = *numbers.entry((preceding, symbol)).or_insert(next);
                    found.push(number);
                    preceding = number + 1;
                }
            }
            rows.push_bag(&mut found, config.counts);
        }
        (Self { config, numbers }, rows)
    }

    /// The bags of other sequences, in which n-grams not seen before are passed over.
    pub(crate) fn rows(&self, sequences: &[Vec<u32>]) -> SparseRows {
        let mut rows = SparseRows::new();
        let mut found = Vec::new();
        for sequence in sequences {
            for start in 0..sequence.len() {
                let mut preceding = 0;
                for &symbol in sequence[start..].iter().take(self.config.order) {
                    // What is longer than an n-gram not seen has not been seen either.
                    let Some(&number) = self.numbers.get(&(preceding, symbol)) else { break };
                    found.push(number);
                    preceding = number + 1;
                }
            }
            rows.push_bag(&mut found, self.config.counts);
        }
        rows
    }

    /// The n-grams of a sequence that have been seen: the number of each, and which positions it takes.
    fn occurrences(&self, sequence: &[u32]) -> Vec<(u32, Range<usize>)> {
        let mut found = Vec::new();
        for start in 0..sequence.len() {
            let mut preceding = 0;
            for (place, &symbol) in sequence.iter().enumerate().skip(start).take(self.config.order) {
                let Some(&number) = self.numbers.get(&(preceding, symbol)) else { break };
                found.push((number, start..place + 1));
                preceding = number + 1;
            }
        }
        found
    }

    /// What each position of a sequence adds to a sum over features of weight times value, `weight(feature)` being asked for: a
    /// feature's share is divided evenly among the places where it occurs, and among the positions of each.
    pub(crate) fn relevance(&self, sequence: &[u32], weight: impl Fn(usize) -> f64) -> Vec<f64> {
        let occurrences = self.occurrences(sequence);
        let mut times: HashMap<u32, usize> = HashMap::new();
        for (number, _) in &occurrences {
            *times.entry(*number).or_default() += 1;
        }
        let mut relevance = vec![0.0; sequence.len()];
        for (number, positions) in occurrences {
            let places = if self.config.counts { 1 } else { times[&number] };
            let share = weight(number as usize) / (places * positions.len()) as f64;
            relevance[positions].iter_mut().for_each(|sum| *sum += share);
        }
        relevance
    }

    /// How much each position of a batch of sequences speaks for one class of each, `[size, time]`, in a model that adds `weight(feature,
    /// class)` for each feature to the score of a class: for the class, against the mean of the others.
    pub(crate) fn relevance_for(
        &self,
        batch: &Batch,
        classes: &[u32],
        outcomes: usize,
        weight: impl Fn(usize, usize) -> f64,
    ) -> Vec<f64> {
        let mut all = Vec::with_capacity(batch.size * batch.time);
        for (sequence, &class) in symbols(batch).iter().zip(classes) {
            let for_class = |feature: usize| {
                let own = weight(feature, class as usize);
                let sum: f64 = (0..outcomes).map(|other| weight(feature, other)).sum();
                own - (sum - own) / (outcomes.max(2) - 1) as f64
            };
            let mut relevance = self.relevance(sequence, for_class);
            relevance.resize(batch.time, 0.0);
            all.extend(relevance);
        }
        all
    }

    /// Number of different n-grams.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rows: &SparseRows, row: usize) -> Vec<(usize, f64)> {
        rows.row(row).collect()
    }

    #[test]
    fn a_bag_holds_words_and_pairs() {
        let sequences = [vec![7, 8, 7, 8], vec![8, 8]];
        let (bag, rows) = NGramBag::fit(BagConfig { order: 2, counts: true }, &sequences);
        // In the order in which they are met: 7, 7 8, 8, 8 7, and in the second sequence 8 8.
        assert_eq!(row(&rows, 0), [(0, 2.0), (1, 2.0), (2, 2.0), (3, 1.0)]);
        assert_eq!(row(&rows, 1), [(2, 2.0), (4, 1.0)]);
        assert_eq!(bag.len(), 5);
        // Symbol 9 and the pairs with it were not seen.
        let others = bag.rows(&[vec![8, 9, 7, 8], vec![]]);
        assert_eq!(row(&others, 0), [(0, 1.0), (1, 1.0), (2, 2.0)]);
        assert_eq!(row(&others, 1), []);
    }

    #[test]
    fn relevance_is_shared_out_and_none_is_lost() {
        let sequences = [vec![7, 8, 7, 8], vec![8, 8]];
        // 7, 7 8, 8, 8 7, 8 8 weigh 1, 10, 100, 1000 and 10,000.
        let weight = |feature: usize| 10_f64.powi(i32::try_from(feature).unwrap());
        let (bag, _) = NGramBag::fit(BagConfig { order: 2, counts: false }, &sequences);
        // By hand: 7 has half of 1 at each of its places, and so on; 7 8 stands twice, and takes two positions each time.
        let by_hand = [0.5 + 2.5, 50.0 + 2.5 + 500.0, 0.5 + 500.0 + 2.5, 50.0 + 2.5];
        assert_eq!(bag.relevance(&sequences[0], weight), by_hand);
        for counts in [false, true] {
            let (bag, rows) = NGramBag::fit(BagConfig { order: 2, counts }, &sequences);
            for (index, sequence) in sequences.iter().enumerate() {
                let sum: f64 = rows.row(index).map(|(feature, value)| value * weight(feature)).sum();
                assert_eq!(bag.relevance(sequence, weight).iter().sum::<f64>(), sum);
            }
        }
        // What has not been seen says nothing.
        assert_eq!(bag.relevance(&[9, 7], weight), [0.0, 1.0]);
    }

    #[test]
    fn without_counts_a_word_is_there_or_not() {
        let (_, rows) = NGramBag::fit(BagConfig::default(), &[vec![5, 5, 6]]);
        assert_eq!(row(&rows, 0), [(0, 1.0), (1, 1.0)]);
        assert_eq!(row(&rows.subset(&[0, 0]), 1), row(&rows, 0));
    }
}
