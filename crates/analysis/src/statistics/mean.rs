//! Means, paired differences, ratios and unpaired differences, each with a t interval over seeds.

use super::{Estimate, Scale, StatisticsError};

/// The mean of one value a seed: mean ± t(n - 1) s / sqrt(n).
///
/// `standard_error_floor` is the standard error that the evaluation set alone leaves, or 0 where it is not known.
///
/// # Errors
/// With fewer than two values, or one that is not finite.
pub fn mean(values: &[f64], level: f64, standard_error_floor: f64) -> Result<Estimate, StatisticsError> {
    let sample = Sample::of("a mean with its interval", values)?;
    Ok(sample.estimate(level, standard_error_floor))
}

/// The mean of `first - second`, paired seed by seed.
///
/// Of two arms with floors f and g, the floor of the difference is at most `f.hypot(g)`.
///
/// # Errors
/// As [`mean`], and when the arms differ in length.
pub fn paired_difference(
    first: &[f64],
    second: &[f64],
    level: f64,
    standard_error_floor: f64,
) -> Result<Estimate, StatisticsError> {
    let statistic = "a paired difference";
    let differences = paired(statistic, first, second, |(a, b)| a - b)?;
    Ok(Sample::of(statistic, &differences)?.estimate(level, standard_error_floor))
}

/// The geometric mean of `first / second`, paired seed by seed, on the [log scale](Scale::Log), as is the floor.
///
/// # Errors
/// As [`mean`], when the arms differ in length, or when a value is not positive.
pub fn ratio(
    first: &[f64],
    second: &[f64],
    level: f64,
    standard_error_floor: f64,
) -> Result<Estimate, StatisticsError> {
    let statistic = "a ratio";
    if let Some(&value) = first.iter().chain(second).find(|&&value| !value.is_finite() || value <= 0.0) {
        return Err(StatisticsError::Value { statistic, value, reason: "both sides must be positive" });
    }
    let logarithms = paired(statistic, first, second, |(a, b)| Scale::Log.apply(a) - Scale::Log.apply(b))?;
    Ok(Sample::of(statistic, &logarithms)?.estimate(level, standard_error_floor))
}

/// The difference of the means of two independent samples, variances not assumed equal (Welch 1947).
///
/// Degrees of freedom by Satterthwaite (1946). `units` is the size of the smaller sample.
///
/// # Errors
/// With fewer than two values in a sample, or one that is not finite.
pub fn welch(
    first: &[f64],
    second: &[f64],
    level: f64,
    standard_error_floor: f64,
) -> Result<Estimate, StatisticsError> {
    let statistic = "a difference of two samples";
    let (first, second) = (Sample::of(statistic, first)?, Sample::of(statistic, second)?);
    let parts =
        [first, second].map(|sample| (sample.variance / sample.size as f64, sample.size as f64 - 1.0));
    let variance: f64 = parts.iter().map(|(variance, _)| variance).sum();
    let fourth: f64 = parts.iter().map(|(variance, freedom)| variance * variance / freedom).sum();
    let fewest = first.size.min(second.size);
    let degrees_of_freedom = if fourth > 0.0 { variance * variance / fourth } else { fewest as f64 - 1.0 };
    let standard_error = variance.sqrt().max(standard_error_floor);
    Ok(Estimate::by_t(first.mean - second.mean, standard_error, degrees_of_freedom, fewest, level))
}

fn paired(
    statistic: &'static str,
    first: &[f64],
    second: &[f64],
    combine: impl Fn((f64, f64)) -> f64,
) -> Result<Vec<f64>, StatisticsError> {
    if first.len() != second.len() {
        return Err(StatisticsError::Unpaired { statistic, first: first.len(), second: second.len() });
    }
    Ok(first.iter().copied().zip(second.iter().copied()).map(combine).collect())
}

#[derive(Clone, Copy)]
struct Sample {
    size: usize,
    mean: f64,
    /// Sum of squared deviations over n - 1.
    variance: f64,
}

impl Sample {
    fn of(statistic: &'static str, values: &[f64]) -> Result<Self, StatisticsError> {
        let size = values.len();
        if size < 2 {
            return Err(StatisticsError::TooFew { statistic, unit: "seeds", needed: 2, found: size });
        }
        if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
            return Err(StatisticsError::Value { statistic, value, reason: "it must be finite" });
        }
        let mean = values.iter().sum::<f64>() / size as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Ok(Self { size, mean, variance: squares / (size as f64 - 1.0) })
    }

    fn estimate(self, level: f64, standard_error_floor: f64) -> Estimate {
        let units = self.size as f64;
        let standard_error = (self.variance / units).sqrt().max(standard_error_floor);
        Estimate::by_t(self.mean, standard_error, units - 1.0, self.size, level)
    }
}

#[cfg(test)]
mod tests {
    use sequence::{Random, Stream};

    use super::super::{
        Decision, SHOWN_LEVEL, bonferroni, proportion_standard_error, standard_error_of_mean,
    };
    use super::*;

    const FIRST: [f64; 5] = [1.2, 0.9, 1.5, 1.1, 1.4];
    const SECOND: [f64; 8] = [0.7, 1.0, 0.6, 0.95, 0.8, 0.75, 0.9, 0.65];

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    }

    #[test]
    fn paired_difference_equals_scipy() {
        // scipy 1.17: stats.ttest_rel(first, second[:5]).confidence_interval(0.95), stats.sem(first - second[:5])
        let estimate = paired_difference(&FIRST, &SECOND[..5], 0.99, 0.0).unwrap();
        close(estimate.value, 0.41);
        close(estimate.interval95.low, -0.075_679_535_412_610_97);
        close(estimate.interval95.high, 0.895_679_535_412_611);
        close(estimate.standard_error, 0.174_928_556_845_358_96);
        assert_eq!(estimate.units, 5);
    }

    #[test]
    fn welch_equals_scipy() {
        // scipy 1.17: stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95 and 0.99)
        let estimate = welch(&FIRST, &SECOND, 0.99, 0.0).unwrap();
        close(estimate.value, 0.426_25);
        close(estimate.interval95.low, 0.134_976_537_888_751_58);
        close(estimate.decision.high, 0.869_113_694_474_940_9);
        assert_eq!(estimate.units, 5);
    }

    #[test]
    fn ratio_of_a_constant_factor_is_that_factor() {
        let doubled = FIRST.map(|value| 2.0 * value);
        let estimate = ratio(&doubled, &FIRST, 0.95, 0.0).unwrap();
        close(estimate.value, 2_f64.ln());
        close(estimate.from_scale(Scale::Log).value, 2.0);
        // The interval of a ratio and of its inverse are the same statement.
        let one_way = ratio(&FIRST, &SECOND[..5], 0.95, 0.0).unwrap();
        let other_way = ratio(&SECOND[..5], &FIRST, 0.95, 0.0).unwrap();
        close(one_way.interval95.low, other_way.reversed().interval95.low);
    }

    #[test]
    fn perfect_scores_still_have_a_width() {
        let seeds = [1.0; 8];
        let each = [proportion_standard_error(1.0, 1000); 8];
        let floor = standard_error_of_mean(&each);
        assert!(mean(&seeds, 0.95, floor).unwrap().interval95.width() > 0.0);
        // The twin: without the floor, eight perfect seeds would claim certainty.
        assert_eq!(mean(&seeds, 0.95, 0.0).unwrap().interval95.width(), 0.0);
        assert!(welch(&seeds, &seeds, 0.95, floor).unwrap().interval95.width() > 0.0);
        // A floor below the spread changes nothing.
        assert_eq!(mean(&FIRST, 0.95, 1e-6), mean(&FIRST, 0.95, 0.0));
    }

    #[test]
    fn unusable_values_are_named() {
        let message = |result: Result<Estimate, StatisticsError>| result.unwrap_err().to_string();
        assert_eq!(
            message(mean(&[1.0], 0.95, 0.0)),
            "a mean with its interval needs at least 2 seeds, found 1: add them to the definition"
        );
        assert!(message(mean(&[1.0, f64::NAN], 0.95, 0.0)).contains("NaN"));
        assert!(message(ratio(&[1.0, 0.0], &[1.0, 1.0], 0.95, 0.0)).contains("must be positive"));
        assert!(message(paired_difference(&FIRST, &SECOND, 0.95, 0.0)).contains("found 5 and 8"));
    }

    /// The share of 2,000 simulated experiments whose interval contains the truth.
    fn coverage(seeds: usize, truth: f64, draw: fn(f64) -> f64, covers: fn(&[f64], f64) -> bool) -> f64 {
        let mut random = Random::new(11, Stream::Test);
        let experiments = 2000;
        let covered = (0..experiments).filter(|_| {
            let values: Vec<f64> = (0..seeds).map(|_| draw(f64::from(random.normal()))).collect();
            covers(&values, truth)
        });
        covered.count() as f64 / f64::from(experiments)
    }

    fn t_covers(values: &[f64], truth: f64) -> bool {
        mean(values, 0.95, 0.0).unwrap().interval95.contains(truth)
    }

    /// The careless interval: mean ± 1.96 standard errors, whatever the number of seeds.
    fn z_covers(values: &[f64], truth: f64) -> bool {
        let estimate = mean(values, 0.95, 0.0).unwrap();
        (estimate.value - truth).abs() <= 1.96 * estimate.standard_error
    }

    #[test]
    fn intervals_cover_as_often_as_they_say() {
        for seeds in [5, 8] {
            let normal = coverage(seeds, 0.0, |deviate| deviate, t_covers);
            assert!((0.93..=0.97).contains(&normal), "{seeds} normal seeds: {normal}");
            // Log-normal, sigma 0.3, skewness 0.95; its mean is exp(0.3^2 / 2). Skew costs about a percent.
            let skewed = coverage(seeds, 0.045_f64.exp(), |deviate| (0.3 * deviate).exp(), t_covers);
            assert!((0.92..=0.97).contains(&skewed), "{seeds} skewed seeds: {skewed}");
            // On the log scale the same values are normal, and the coverage is exact again.
            let on_log_scale = coverage(
                seeds,
                0.0,
                |deviate| (0.3 * deviate).exp(),
                |values, truth| {
                    ratio(values, &vec![1.0; values.len()], 0.95, 0.0).unwrap().interval95.contains(truth)
                },
            );
            assert!((0.93..=0.97).contains(&on_log_scale), "{seeds} seeds on the log scale: {on_log_scale}");
        }
    }

    #[test]
    fn normal_quantiles_would_cover_too_seldom() {
        // The twin: with 5 seeds, P(|t| < 1.96 with 4 degrees of freedom) = 0.878.
        let careless = coverage(5, 0.0, |deviate| deviate, z_covers);
        assert!(!(0.93..=0.97).contains(&careless), "{careless}");
    }

    /// The share of 2,000 comparisons of two copies of one model that are called different.
    fn called_different(
        seeds: usize,
        margin: f64,
        level: f64,
        noise: impl Fn(f64) -> f64,
        floor: f64,
    ) -> f64 {
        let mut random = Random::new(23, Stream::Test);
        let experiments = 2000;
        let different = (0..experiments).filter(|_| {
            let mut copy = || (0..seeds).map(|_| noise(f64::from(random.normal()))).collect::<Vec<f64>>();
            let estimate = paired_difference(&copy(), &copy(), level, floor).unwrap();
            Decision::of(estimate.decision, margin) == Decision::Supported
                || Decision::of(estimate.decision.reversed(), margin) == Decision::Supported
        });
        different.count() as f64 / f64::from(experiments)
    }

    #[test]
    fn two_copies_of_one_model_are_seldom_called_different() {
        for seeds in [5, 8] {
            // A margin of a quarter of the spread between seeds, and the level of a definition with two claims.
            assert!(called_different(seeds, 0.25, SHOWN_LEVEL, |deviate| deviate, 0.0) <= 0.05);
            assert!(called_different(seeds, 0.0, bonferroni(2), |deviate| deviate, 0.0) <= 0.05);
            // No margin at level 0.95 errs in exactly 5%; three standard errors of the simulation are 1.5%.
            assert!(called_different(seeds, 0.0, SHOWN_LEVEL, |deviate| deviate, 0.0) <= 0.065);
            // Accuracies of 98% on 1,000 examples, differing by evaluation noise only.
            let each = proportion_standard_error(0.98, 1000);
            let floor =
                standard_error_of_mean(&vec![each; seeds]).hypot(standard_error_of_mean(&vec![each; seeds]));
            assert!(
                called_different(seeds, 0.0, SHOWN_LEVEL, |deviate| 0.98 + each * deviate, floor) <= 0.05
            );
        }
        // The twin: an interval at level 0.8 calls every fifth pair of copies different.
        assert!(called_different(8, 0.0, 0.8, |deviate| deviate, 0.0) > 0.15);
    }
}
