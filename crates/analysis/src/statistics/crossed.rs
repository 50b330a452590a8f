//! The interval of a difference measured by several seeds on the same blocks of one text.

use super::{Estimate, StatisticsError};

/// The mean of `differences[seed][block]`, with seeds and blocks as crossed random effects.
///
/// In y(ij) = mu + seed(i) + block(j) + rest(ij) the grand mean over s seeds and b blocks has variance
/// var(seed) / s + var(block) / b + var(rest) / (s b), estimated without bias by (MS(seed) + MS(block) - MS(rest)) / (s b)
/// from the mean squares of the two-way table (Searle et al. 1992). The
/// estimate is kept at least as large as that of the seeds alone and of the blocks alone. Degrees of freedom:
/// min(s, b) - 1, as for errors clustered in two ways (Cameron, Gelbach & Miller 2011).
///
/// Blocks are contiguous stretches of the test text, long enough that neighbouring ones hardly depend on each
/// other. The interval speaks about texts like this one only as far as its blocks do.
///
/// # Errors
/// With fewer than two seeds or two blocks, seeds with different blocks, or a value that is not finite.
pub fn seeds_and_blocks(differences: &[impl AsRef<[f64]>], level: f64) -> Result<Estimate, StatisticsError> {
    let statistic = "an interval over seeds and blocks";
    let differences: Vec<&[f64]> = differences.iter().map(AsRef::as_ref).collect();
    let seeds = differences.len();
    let blocks = differences.first().map_or(0, |row| row.len());
    for (unit, found) in [("seeds", seeds), ("blocks", blocks)] {
        if found < 2 {
            return Err(StatisticsError::TooFew { statistic, unit, needed: 2, found });
        }
    }
    if let Some(other) = differences.iter().find(|row| row.len() != blocks) {
        return Err(StatisticsError::Unpaired { statistic, first: blocks, second: other.len() });
    }
    if let Some(&value) = differences.iter().copied().flatten().find(|value| !value.is_finite()) {
        return Err(StatisticsError::Value { statistic, value, reason: "it must be finite" });
    }

    let (s, b) = (seeds as f64, blocks as f64);
    let seed_means: Vec<f64> = differences.iter().map(|row| row.iter().sum::<f64>() / b).collect();
    // Row by row, as they lie in memory: this is done once for every seed that is left out.
    let mut block_means = vec![0.0; blocks];
    for row in &differences {
        for (sum, value) in block_means.iter_mut().zip(*row) {
            *sum += value;
        }
    }
    for sum in &mut block_means {
        *sum /= s;
    }
    let mean = seed_means.iter().sum::<f64>() / s;

    let spread = |means: &[f64]| means.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let seed_square = b * spread(&seed_means) / (s - 1.0);
    let block_square = s * spread(&block_means) / (b - 1.0);
    let rest: f64 = differences
        .iter()
        .zip(&seed_means)
        .flat_map(|(row, seed_mean)| {
            row.iter().zip(&block_means).map(move |(value, block_mean)| value - seed_mean - block_mean + mean)
        })
        .map(|residual| residual * residual)
        .sum();
    let rest_square = rest / ((s - 1.0) * (b - 1.0));

    let square = (seed_square + block_square - rest_square).max(seed_square).max(block_square);
    let standard_error = (square / (s * b)).sqrt();
    Ok(Estimate::by_t(mean, standard_error, s.min(b) - 1.0, seeds, level))
}

#[cfg(test)]
mod tests {
    use sequence::{Random, Stream};

    use super::super::mean;
    use super::*;

    #[test]
    fn a_small_table_by_hand() {
        // Rows 1 2 3 and 3 4 8: seed means 2 and 5, block means 2, 3, 5.5, mean 3.5.
        // MS(seed) = 3 (2.25 + 2.25) / 1 = 13.5; MS(block) = 2 (2.25 + 0.25 + 4) / 2 = 6.5;
        // residuals +-0.5, +-0.5, -+1: MS(rest) = 2 (0.25 + 0.25 + 1) / 2 = 1.5; variance 18.5 / 6.
        let estimate = seeds_and_blocks(&[vec![1.0, 2.0, 3.0], vec![3.0, 4.0, 8.0]], 0.95).unwrap();
        assert!((estimate.value - 3.5).abs() < 1e-12);
        assert!((estimate.standard_error - (18.5_f64 / 6.0).sqrt()).abs() < 1e-12);
        assert_eq!(estimate.units, 2);
    }

    #[test]
    fn seeds_that_agree_about_unlike_blocks_still_leave_a_width() {
        let row: Vec<f64> = (0..50).map(|block| f64::from(block % 7)).collect();
        let table = vec![row; 8];
        assert!(seeds_and_blocks(&table, 0.95).unwrap().interval95.width() > 0.5);
        // The twin: averaging each seed first hides what another text could change.
        let seed_means: Vec<f64> = table.iter().map(|row| row.iter().sum::<f64>() / 50.0).collect();
        assert!(mean(&seed_means, 0.95, 0.0).unwrap().interval95.width() < 1e-9);
    }

    #[test]
    fn uneven_and_small_tables_are_refused() {
        let message = |table: &[Vec<f64>]| seeds_and_blocks(table, 0.95).unwrap_err().to_string();
        assert!(message(&[]).contains("2 seeds, found 0"));
        assert!(message(&[vec![1.0], vec![2.0]]).contains("2 blocks, found 1"));
        assert!(message(&[vec![1.0, 2.0], vec![2.0]]).contains("found 2 and 1"));
        assert!(message(&[vec![1.0, 2.0], vec![2.0, f64::NAN]]).contains("NaN"));
    }

    /// Shares of 2,000 simulated tables whose interval holds the truth: over seeds and blocks, over seeds alone.
    fn coverage(seeds: usize, seed_spread: f64, block_spread: f64, rest_spread: f64) -> (f64, f64) {
        let mut random = Random::new(31, Stream::Test);
        let mut normal = || f64::from(random.normal());
        let (mut both, mut seeds_alone) = (0, 0);
        for _ in 0..2000 {
            let block_effects: Vec<f64> = (0..50).map(|_| block_spread * normal()).collect();
            let table: Vec<Vec<f64>> = (0..seeds)
                .map(|_| {
                    let seed_effect = seed_spread * normal();
                    block_effects.iter().map(|block| seed_effect + block + rest_spread * normal()).collect()
                })
                .collect();
            let seed_means: Vec<f64> = table.iter().map(|row| row.iter().sum::<f64>() / 50.0).collect();
            both += i32::from(seeds_and_blocks(&table, 0.95).unwrap().interval95.contains(0.0));
            seeds_alone += i32::from(mean(&seed_means, 0.95, 0.0).unwrap().interval95.contains(0.0));
        }
        (f64::from(both) / 2000.0, f64::from(seeds_alone) / 2000.0)
    }

    #[test]
    fn the_interval_covers_whichever_effect_dominates() {
        // Standard error of the simulation: 0.5%. The degrees of freedom are those of the seeds, so where the blocks dominate
        // it covers more than it says.
        for (seed_spread, block_spread, rest_spread) in
            [(1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (0.3, 1.0, 0.5), (0.0, 0.0, 1.0)]
        {
            for seeds in [5, 8] {
                let (both, _) = coverage(seeds, seed_spread, block_spread, rest_spread);
                let most = if seed_spread > block_spread { 0.97 } else { 1.0 };
                let case = format!("{seeds} {seed_spread} {block_spread} {rest_spread}");
                assert!((0.93..=most).contains(&both), "{case}: {both}");
            }
        }
        // The twin: over seeds alone, the blocks' share of the error is missed.
        let (_, seeds_alone) = coverage(8, 0.0, 1.0, 0.1);
        assert!(seeds_alone < 0.5, "{seeds_alone}");
    }
}
