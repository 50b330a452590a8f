//! How well drawn examples stand for real ones, by distances alone.

/// The Euclidean distance of two rows.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    f64::from(a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>()).sqrt()
}

/// The mean distance of `row` from each of `rows`, which are `width` values each.
fn mean_distance(row: &[f32], rows: &[f32]) -> f64 {
    let width = row.len();
    rows.chunks_exact(width).map(|other| distance(row, other)).sum::<f64>() * width as f64 / rows.len() as f64
}

/// The energy score of each row: its mean distance from the samples, less half of the mean distance between two samples.
///
/// It is proper: in expectation no samples have less than those of the rows' own distribution (Gneiting and Raftery 2007), so that it
/// serves where a likelihood cannot be told.
///
/// # Panics
/// When there are fewer than two samples.
#[must_use]
pub fn energy_scores(rows: &[f32], samples: &[f32], width: usize) -> Vec<f64> {
    let between = mean_distance_between(samples, width);
    rows.chunks_exact(width).map(|row| mean_distance(row, samples) - 0.5 * between).collect()
}

/// The energy distance of two sets of rows, 0 in expectation if they have one distribution (Szekely and Rizzo 2013).
///
/// # Panics
/// When there are fewer than two rows on a side.
#[must_use]
pub fn energy_distance(rows: &[f32], samples: &[f32], width: usize) -> f64 {
    let scores = energy_scores(rows, samples, width);
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    2.0 * mean - mean_distance_between(rows, width)
}

/// The mean distance between two different rows.
fn mean_distance_between(rows: &[f32], width: usize) -> f64 {
    let count = rows.len() / width;
    assert!(count > 1, "a distance is between two rows");
    let sum: f64 = rows.chunks_exact(width).map(|row| mean_distance(row, rows)).sum();
    // A row is no distance from itself.
    sum / (count - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand_on_a_line() {
        // Samples 0 and 2: mean distance 2 between them. A row at 0 is at 1 on average, and scores 1 - 1 = 0.
        assert_eq!(energy_scores(&[0.0, 5.0], &[0.0, 2.0], 1), [0.0, 3.0]);
        // Twice the mean of 0 and 3, less the distance 5 between the rows, is -2: small sets may be below 0.
        assert_eq!(energy_distance(&[0.0, 5.0], &[0.0, 2.0], 1), -2.0);
    }

    #[test]
    fn a_shift_is_seen_and_no_shift_is_not() {
        let mut random = sequence::Random::new(5, sequence::Stream::Sampling);
        let mut normal = |shift: f32| -> Vec<f32> { (0..1000).map(|_| shift + random.normal()).collect() };
        let (one, same, other) = (normal(0.0), normal(0.0), normal(1.0));
        let (near, far) = (energy_distance(&one, &same, 2), energy_distance(&one, &other, 2));
        assert!(near.abs() < 0.03 && far > 0.3, "{near} {far}");
    }
}
