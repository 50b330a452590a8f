//! K-means: groups around centres, such that examples are near to the centre of their group.
//!
//! ```text
//! minimise   sum over examples of min over k of |x_i - m_k|^2
//! ```
//!
//! Each example goes to its nearest centre, each centre to the mean of its examples, until nobody moves (Lloyd 1982). Each of `restarts` fits
//! starts from centres drawn by k-means++ (Arthur and Vassilvitskii 2007), and the one of the smallest sum is kept. A group that
//! loses all its examples takes the one that is farthest from its centre. With `choose-groups` the number of groups is the one, from 2 to `groups`, of the
//! largest index of Calinski and Harabasz (1974): the variance between centres over the variance around them, each by its degrees of freedom.
//!
//! Nothing here is a distribution. An example can be put into a group, but not drawn, and it has no density.
//!
//! It is written here because restarts must draw from the fixed streams of the seed: smartcore keeps a generator to itself and starts once, and linfa
//! asks for one by the trait of rand 0.8, which that of this workspace does not implement.

use sequence::{Batch, Dataset, Fit, LearnError, Learner, Predictions, Predictor, Random, Run, Stream};
use serde::{Deserialize, Serialize};

use crate::examples::{Rows, density_rows, predictions, values};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::gaussian_mixture::{centres, squared_distance};
use crate::{Counting, Offers, Reads};

const NAME: &str = "k-means";

/// Iterations of one fit at most.
const ITERATIONS: usize = 1000;

/// Settings of k-means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct KMeansConfig {
    /// Groups, or the most of them where their number is chosen.
    groups: usize,
    /// Whether the number of groups is chosen.
    choose_groups: bool,
    /// Fits from other starts, of which the one with the smallest sum of squares is kept.
    restarts: usize,
}

impl Default for KMeansConfig {
    fn default() -> Self {
        Self { groups: 8, choose_groups: false, restarts: 10 }
    }
}

impl Counting for KMeansConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str = "k-means: groups of examples around centres, without a distribution";
    const CITATION: &'static str = "Lloyd 1982; Arthur and Vassilvitskii 2007";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::Examples;
    const OFFERS: Offers = Offers { groups: true, ..Offers::NOTHING };

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        let wrong = |reason: &str| Err(LearnError::Setting { model: NAME, reason: reason.to_owned() });
        if self.groups == 0 || self.restarts == 0 {
            return wrong("`groups` and `restarts` must be at least 1");
        }
        if self.choose_groups && self.groups < 2 {
            return wrong("`groups` must be at least 2 where `choose-groups` is set");
        }
        Ok(Box::new(KMeans { config: self }))
    }
}

struct KMeans {
    config: KMeansConfig,
}

impl Learner for KMeans {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let rows = density_rows(data, NAME)?;
        if rows.len() <= self.config.groups {
            let reason =
                format!("`groups` is {}, and there are {} training examples", self.config.groups, rows.len());
            return Err(LearnError::Unsuitable { model: NAME, reason });
        }
        let mut random = Random::new(run.seed, Stream::Initialisation);
        let fewest = if self.config.choose_groups { 2 } else { self.config.groups };
        let mut multiply_adds = 0;
        let mut best: Option<(f64, Grouping)> = None;
        for groups in fewest..=self.config.groups {
            let found = self.config.fit(&rows, groups, &mut random);
            multiply_adds += (found.iterations * groups * rows.values.len()) as u64;
            let index = found.index(&rows);
            if best.as_ref().is_none_or(|(most, _)| index > *most) {
                best = Some((index, found));
            }
        }
        let (_, centres) = best.expect("there is one number of groups at least");
        Ok(Fit { multiply_adds, ..fit_without_updates(Box::new(centres), data, run) })
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        2 * crate::examples::bytes(data) + validation_bytes(data)
    }
}

impl KMeansConfig {
    /// The best of several fits.
    fn fit(self, rows: &Rows, groups: usize, random: &mut Random) -> Grouping {
        let mut best = Grouping::from(rows, centres(rows, groups, random));
        let mut iterations = best.iterations;
        for _ in 1..self.restarts {
            let next = Grouping::from(rows, centres(rows, groups, random));
            iterations += next.iterations;
            if next.inertia < best.inertia {
                best = next;
            }
        }
        Grouping { iterations, ..best }
    }
}

/// Groups around their centres.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    /// A row each.
    pub(crate) centres: Vec<Vec<f64>>,
    /// The sum of squared distances of the training examples.
    pub(crate) inertia: f64,
    /// How often all examples were looked at.
    iterations: usize,
}

impl Grouping {
    /// From these centres until no example changes its group.
    pub(crate) fn from(rows: &Rows, mut centres: Vec<Vec<f64>>) -> Self {
        let mut assigned: Vec<usize> = Vec::new();
        let mut iterations = 0;
        loop {
            iterations += 1;
            let found: Vec<(usize, f64)> = rows.iter().map(|row| nearest(row, &centres)).collect();
            let next: Vec<usize> = found.iter().map(|(group, _)| *group).collect();
            if next == assigned || iterations == ITERATIONS {
                return Self { centres, inertia: found.iter().map(|(_, squared)| squared).sum(), iterations };
            }
            assigned = next;
            centres = means(rows, &assigned, centres.len());
            let mut far: Vec<(f64, &[f64])> =
                found.iter().map(|(_, squared)| *squared).zip(rows.iter()).collect();
            far.sort_by(|one, other| one.0.total_cmp(&other.0));
            for centre in centres.iter_mut().filter(|centre| centre.is_empty()) {
                *centre = far.pop().map_or_else(|| vec![0.0; rows.width], |(_, row)| row.to_vec());
            }
        }
    }

    /// The index of Calinski and Harabasz; of one group, for which it says nothing, 0.
    pub(crate) fn index(&self, rows: &Rows) -> f64 {
        let (groups, count) = (self.centres.len() as f64, rows.len() as f64);
        if groups < 2.0 {
            return 0.0;
        }
        let means = rows.means();
        let total: f64 = rows.iter().map(|row| squared_distance(row, &means)).sum();
        ((total - self.inertia) / (groups - 1.0)) / (self.inertia.max(f64::MIN_POSITIVE) / (count - groups))
    }

    /// The group of each example.
    #[cfg(test)]
    pub(crate) fn assigned(&self, rows: &Rows) -> Vec<usize> {
        rows.iter().map(|row| nearest(row, &self.centres).0).collect()
    }

    fn of_batch(&self, batch: &Batch) -> Vec<(usize, f64)> {
        let rows = Rows { width: self.centres[0].len(), values: values(batch) };
        rows.iter().map(|row| nearest(row, &self.centres)).collect()
    }
}

/// The nearest centre, the first of equals, and its squared distance.
fn nearest(row: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let distances = centres.iter().map(|centre| squared_distance(row, centre)).enumerate();
    distances.min_by(|(_, a), (_, b)| a.total_cmp(b)).expect("there is a centre")
}

/// The mean of each group; empty of one without examples.
fn means(rows: &Rows, assigned: &[usize], groups: usize) -> Vec<Vec<f64>> {
    let mut counts = vec![0_usize; groups];
    let mut sums = vec![vec![0.0; rows.width]; groups];
    for (row, &group) in rows.iter().zip(assigned) {
        counts[group] += 1;
        sums[group].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        if count == 0 {
            sum.clear();
        }
        for value in sum {
            *value /= count as f64;
        }
    }
    sums
}

impl Predictor for Grouping {
    /// The negative squared distance from the nearest centre.
    fn predict(&self, batch: &Batch) -> Predictions {
        let mut found = self.of_batch(batch).into_iter();
        predictions(batch, 1, |_| found.next().map(|(_, squared)| -squared).into_iter().collect())
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.centres.iter().map(Vec::len).sum()
    }

    #[expect(clippy::cast_possible_truncation, reason = "groups are few")]
    fn groups(&self, batch: &Batch) -> Option<Vec<u32>> {
        Some(self.of_batch(batch).into_iter().map(|(group, _)| group as u32).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_groups_on_a_line_are_by_hand() {
        let rows = Rows { width: 1, values: vec![0.0, 1.0, 2.0, 10.0, 12.0] };
        // From 0 and 1: {0} and the rest, whose mean is 6.25, then {0, 1, 2} and {10, 12}.
        let found = Grouping::from(&rows, vec![vec![0.0], vec![1.0]]);
        assert_eq!(found.centres, [[1.0], [11.0]]);
        assert_eq!((found.inertia, found.iterations), (4.0, 3));
        // Around the mean of 5 they have 124: 120 between over 1, and 4 around over 3.
        assert_eq!(found.index(&rows), 90.0);
    }

    #[test]
    fn a_group_without_examples_takes_the_farthest() {
        let rows = Rows { width: 1, values: vec![0.0, 1.0, 9.0] };
        let found = Grouping::from(&rows, vec![vec![0.0], vec![100.0]]);
        assert_eq!(found.centres, [[0.5], [9.0]]);
    }

    #[test]
    fn the_number_of_groups_is_found_where_they_lie_apart() {
        let values = [0.0, 20.0, 40.0].iter().flat_map(|centre| [centre - 1.0, *centre, centre + 1.0]);
        let rows = Rows { width: 1, values: values.collect() };
        let config = KMeansConfig { groups: 6, choose_groups: true, restarts: 10 };
        let mut random = Random::new(1, Stream::Initialisation);
        let indices: Vec<f64> =
            (2..=6).map(|groups| config.fit(&rows, groups, &mut random).index(&rows)).collect();
        assert!(indices.iter().all(|index| *index <= indices[1]), "{indices:?}");
    }
}
