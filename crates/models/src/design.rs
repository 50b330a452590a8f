//! Examples as rows of numbers, which models of weighted sums read: symbols become bags of n-grams, real numbers are standardised, and
//! categories become one indicator each.

use sequence::{Batch, Column};
use serde::{Deserialize, Serialize};

use crate::examples::{ExampleInputs, Examples, Rows, symbols, values};
use crate::n_gram_bag::{BagConfig, NGramBag, SparseRows};

/// What stands for a missing value. A missing category sets none of its indicators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Missing {
    /// The mean of the column.
    Mean,
    /// 0.
    Zero,
    /// The mean of the column, and a further feature that says that it was missing.
    Indicator,
    /// Training examples with a missing value are dropped; in others the mean stands for it.
    CompleteCases,
}

/// How examples become features.
#[derive(Clone, Debug)]
pub(crate) enum Features {
    /// Of symbols.
    Bag(NGramBag),
    /// Of rows.
    Columns(Scales),
}

impl Features {
    /// The features of a training set, and its rows.
    pub(crate) fn fit(examples: &Examples, bag: BagConfig, missing: Missing) -> (Self, SparseRows) {
        match &examples.inputs {
            ExampleInputs::Symbols(sequences) => {
                let (bag, rows) = NGramBag::fit(bag, sequences);
                (Self::Bag(bag), rows)
            }
            ExampleInputs::Rows(rows) => {
                let scales = Scales::of(rows, &examples.columns, missing);
                let design = scales.rows(rows);
                (Self::Columns(scales), design)
            }
        }
    }

    /// Number of features.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Bag(bag) => bag.len(),
            Self::Columns(scales) => scales.width(),
        }
    }

    /// The examples of a batch.
    pub(crate) fn rows(&self, batch: &Batch) -> SparseRows {
        match self {
            Self::Bag(bag) => bag.rows(&symbols(batch)),
            Self::Columns(scales) => {
                scales.rows(&Rows { width: scales.columns.len(), values: values(batch) })
            }
        }
    }
}

/// How columns become features: filled in, standardised, one indicator a category.
#[derive(Clone, Debug)]
pub(crate) struct Scales {
    columns: Vec<Scale>,
    indicators: bool,
}

#[derive(Clone, Copy, Debug)]
enum Scale {
    Real { filled: f64, mean: f64, deviation: f64 },
    Category { levels: usize },
}

impl Scales {
    pub(crate) fn of(rows: &Rows, columns: &[Column], missing: Missing) -> Self {
        let scale = |(index, column): (usize, &Column)| match *column {
            Column::Category { levels } => Scale::Category { levels },
            Column::Real => {
                let values = || rows.iter().map(|row| row[index]);
                let (sum, count) = values()
                    .filter(|value| !value.is_nan())
                    .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
                let filled = if missing == Missing::Zero { 0.0 } else { sum / f64::max(count, 1.0) };
                let complete = || values().map(|value| if value.is_nan() { filled } else { value });
                let n = f64::max(complete().count() as f64, 1.0);
                let mean = complete().sum::<f64>() / n;
                let variance = complete().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
                let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
                Scale::Real { filled, mean, deviation }
            }
        };
        let columns = columns.iter().enumerate().map(scale).collect();
        Self { columns, indicators: missing == Missing::Indicator }
    }

    /// Number of features.
    pub(crate) fn width(&self) -> usize {
        let of_scale = |scale: &Scale| match scale {
            Scale::Real { .. } => 1,
            Scale::Category { levels } => *levels,
        };
        let indicators = if self.indicators { self.columns.len() } else { 0 };
        self.columns.iter().map(of_scale).sum::<usize>() + indicators
    }

    pub(crate) fn rows(&self, rows: &Rows) -> SparseRows {
        let mut design = SparseRows::new();
        let mut features = Vec::with_capacity(self.width());
        for row in rows.iter() {
            features.clear();
            let mut first = 0;
            for (scale, &value) in self.columns.iter().zip(row) {
                match *scale {
                    Scale::Real { filled, mean, deviation } => {
                        let value = if value.is_nan() { filled } else { value };
                        features.push((first, (value - mean) / deviation));
                        first += 1;
                    }
                    Scale::Category { levels } => {
                        let level = (0..levels).find(|&level| level as f64 == value);
                        features.extend(level.map(|level| (first + level, 1.0)));
                        first += levels;
                    }
                }
            }
            if self.indicators {
                let missing = row.iter().enumerate().filter(|(_, value)| value.is_nan());
                features.extend(missing.map(|(column, _)| (first + column, 1.0)));
            }
            design.push(features.iter().copied());
        }
        design
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_are_filled_in_as_asked() {
        let training = Rows { width: 2, values: vec![1.0, 0.0, 3.0, 1.0, f64::NAN, f64::NAN] };
        let features = |missing| -> Vec<Vec<(usize, f64)>> {
            let columns = [Column::Real, Column::Category { levels: 2 }];
            let design = Scales::of(&training, &columns, missing).rows(&training);
            (0..3).map(|row| design.row(row).collect()).collect()
        };
        // By hand: 1, 3 and the mean 2 have mean 2 and variance 2/3; the mean itself becomes 0, which a sparse row leaves out.
        let deviation = (2.0_f64 / 3.0).sqrt();
        assert_eq!(
            features(Missing::Mean),
            [vec![(0, -1.0 / deviation), (1, 1.0)], vec![(0, 1.0 / deviation), (2, 1.0)], vec![]]
        );
        // Flags of both columns come after the features.
        assert_eq!(features(Missing::Indicator)[2], [(3, 1.0), (4, 1.0)]);
        // 1, 3 and 0 have mean 4/3 and variance 14/9.
        let zero = features(Missing::Zero)[2].clone();
        assert!(
            (zero[0].1 + 4.0 / 3.0 / (14.0_f64 / 9.0).sqrt()).abs() < 1e-12 && zero.len() == 1,
            "{zero:?}"
        );
    }
}
