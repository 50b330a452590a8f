//! Sines and cosines by which a position is told from others.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// What a recurrent network is told of positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddedPositions {
    /// Nothing: it reads them in order.
    #[default]
    None,
    /// Sines and cosines are added to the inputs, as in a Transformer (Vaswani et al. 2017).
    Sinusoidal,
}

/// `hidden` `[batch, time, d]`, to which those of the positions from `first` are added.
pub(crate) fn with_sinusoids(hidden: &Tensor<3>, first: usize) -> Tensor<3> {
    let [_, time, d] = hidden.dims();
    let table = TensorData::new(sinusoids(first..first + time, d), [1, time, d]);
    let table = Tensor::<3>::from_data(table, &hidden.device());
    hidden.clone() + table.cast(hidden.dtype())
}

/// A row of d values for each position t: sin(t / 10000^(2i/d)) at even values 2i, cos of the same at odd ones (Vaswani et
/// al. 2017, section 3.5).
fn sinusoids(positions: Range<usize>, d: usize) -> Vec<f32> {
    let frequencies: Vec<f64> =
        (0..d).map(|value| 10_000_f64.powf(-((value / 2 * 2) as f64) / d as f64)).collect();
    #[expect(clippy::cast_possible_truncation, reason = "hidden values are single precision")]
    positions
        .flat_map(|t| {
            frequencies.iter().enumerate().map(move |(value, frequency)| {
                let angle = t as f64 * frequency;
                (if value % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinusoids_by_hand() {
        // Position 1 of width 4: sin 1, cos 1, sin 0.01, cos 0.01.
        let table = sinusoids(0..2, 4);
        assert_eq!(table[..4], [0.0, 1.0, 0.0, 1.0]);
        assert_eq!(table[4..], sinusoids(1..2, 4));
        for (value, by_hand) in table[4..].iter().zip([0.841_471, 0.540_302_3, 0.009_999_833, 0.999_95]) {
            assert!((value - by_hand).abs() < 1e-6, "{value} {by_hand}");
        }
    }
}
