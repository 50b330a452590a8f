//! Rates of success: intervals to show and to decide by, and exact tests.

use statrs::distribution::{Beta, Binomial, ContinuousCDF, Discrete, DiscreteCDF, Hypergeometric, Normal};

use super::estimate::two_sided;
use super::{Estimate, Interval, SHOWN_LEVEL, StatisticsError};

/// A rate is decided over at least so many seeds: of 5 solved in 5, Clopper-Pearson says only "above 48%".
pub const MINIMUM_TRIALS: usize = 10;

/// A sign test takes at least so many pairs: 5 wins in 5 have p = 0.06.
pub const MINIMUM_PAIRS: usize = 8;

/// The rate `successes / trials`: Wilson's interval to show, Clopper and Pearson's to decide.
///
/// # Errors
/// With fewer than [`MINIMUM_TRIALS`] trials.
pub fn rate(successes: usize, trials: usize, level: f64) -> Result<Estimate, StatisticsError> {
    if trials < MINIMUM_TRIALS {
        return Err(StatisticsError::TooFew {
            statistic: "a rate that decides",
            unit: "seeds",
            needed: MINIMUM_TRIALS,
            found: trials,
        });
    }
    let value = successes as f64 / trials as f64;
    let standard_error = proportion_standard_error(value, trials);
    Ok(Estimate {
        value,
        interval95: wilson(successes, trials, SHOWN_LEVEL),
        decision: clopper_pearson(successes, trials, level),
        level,
        units: trials,
        standard_error,
        smallest_detectable: (normal_quantile(two_sided(level)) + normal_quantile(0.8)) * standard_error,
    })
}

/// Wilson's score interval (1927): the rates that a normal test does not reject. Never empty, inside [0, 1].
///
/// # Panics
/// When there are more successes than trials, or no trials.
#[must_use]
pub fn wilson(successes: usize, trials: usize, level: f64) -> Interval {
    assert!(successes <= trials && trials > 0, "{successes} successes in {trials} trials");
    let (n, z) = (trials as f64, normal_quantile(two_sided(level)));
    let rate = successes as f64 / n;
    let centre = (rate + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half_width = z * (rate * (1.0 - rate) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
    // At 0 and at n the formula meets the end exactly, which rounding must not spoil.
    Interval {
        low: if successes == 0 { 0.0 } else { centre - half_width },
        high: if successes == trials { 1.0 } else { centre + half_width },
    }
}

/// Clopper and Pearson's interval (1934): covers with at least `level`, whatever the rate.
///
/// # Panics
/// When there are more successes than trials, or no trials.
#[must_use]
pub fn clopper_pearson(successes: usize, trials: usize, level: f64) -> Interval {
    assert!(successes <= trials && trials > 0, "{successes} successes in {trials} trials");
    let (wins, losses) = (successes as f64, (trials - successes) as f64);
    let beta = |a, b, probability| {
        Beta::new(a, b).expect("both counts of a beta quantile are positive").inverse_cdf(probability)
    };
    Interval {
        low: if successes == 0 { 0.0 } else { beta(wins, losses + 1.0, 1.0 - two_sided(level)) },
        high: if successes == trials { 1.0 } else { beta(wins + 1.0, losses, two_sided(level)) },
    }
}

/// Fisher's exact test (1922) that two rates are equal: the two-sided p-value.
///
/// It sums the tables with the same margins that are no more likely than this one. Each side is (successes, trials).
///
/// # Panics
/// When a side has more successes than trials.
#[must_use]
pub fn fisher_exact(first: (usize, usize), second: (usize, usize)) -> f64 {
    for (successes, trials) in [first, second] {
        assert!(successes <= trials, "{successes} successes in {trials} trials");
    }
    let (successes, trials) = (first.0 + second.0, first.1 + second.1);
    let tables = Hypergeometric::new(trials as u64, successes as u64, first.1 as u64)
        .expect("neither the successes nor the trials of one side exceed all trials");
    // Tables that are exactly as likely may differ in the last digits.
    let observed = tables.pmf(first.0 as u64) * (1.0 + 1e-7);
    let possible = first.1.saturating_sub(trials - successes)..=first.1.min(successes);
    possible
        .map(|count| tables.pmf(count as u64))
        .filter(|&likelihood| likelihood <= observed)
        .sum::<f64>()
        .min(1.0)
}

/// The sign test (Dixon & Mood 1946) that wins and losses are equally likely: the exact two-sided p-value.
///
/// Ties favour nobody and are left out, but they count as pairs that were run.
///
/// # Errors
/// With fewer than [`MINIMUM_PAIRS`] pairs.
pub fn sign_test(wins: usize, losses: usize, ties: usize) -> Result<f64, StatisticsError> {
    let pairs = wins + losses + ties;
    if pairs < MINIMUM_PAIRS {
        return Err(StatisticsError::TooFew {
            statistic: "a sign test",
            unit: "pairs",
            needed: MINIMUM_PAIRS,
            found: pairs,
        });
    }
    Ok((2.0 * heads_at_most(wins.min(losses), wins + losses)).min(1.0))
}

/// Standard error of a proportion measured on `count` independent examples, never 0: that of
/// (x + 2) / (n + 4), which keeps its meaning at 0 and 1 (Agresti & Coull 1998).
#[must_use]
pub fn proportion_standard_error(proportion: f64, count: usize) -> f64 {
    let adjusted_count = count as f64 + 4.0;
    let adjusted = (proportion * count as f64 + 2.0) / adjusted_count;
    (adjusted * (1.0 - adjusted) / adjusted_count).sqrt()
}

/// Standard error of the mean of values that have these independent standard errors, such as the scores of seeds
/// that each drew their own test set.
#[must_use]
pub fn standard_error_of_mean(each: &[f64]) -> f64 {
    each.iter().map(|error| error * error).sum::<f64>().sqrt() / each.len().max(1) as f64
}

/// A rate on the [logit scale](super::Scale::Logit), finite at 0 and at 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogOdds {
    /// ln((x + 1/2) / (n - x + 1/2)).
    pub value: f64,
    /// Its standard error from the `n` examples alone.
    pub standard_error: f64,
}

/// The empirical log odds of `successes` in `trials` (Haldane 1956; variance by Gart & Zweifel 1967).
///
/// # Panics
/// When there are more successes than trials.
#[must_use]
pub fn log_odds(successes: usize, trials: usize) -> LogOdds {
    assert!(successes <= trials, "{successes} successes in {trials} trials");
    let (wins, losses) = (successes as f64 + 0.5, (trials - successes) as f64 + 0.5);
    LogOdds { value: (wins / losses).ln(), standard_error: (1.0 / wins + 1.0 / losses).sqrt() }
}

/// The probability of at most `heads` in `tosses` of a fair coin.
fn heads_at_most(heads: usize, tosses: usize) -> f64 {
    Binomial::new(0.5, tosses as u64).expect("one half is a probability").cdf(heads as u64)
}

fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

#[cfg(test)]
mod tests {
    use super::super::Scale;
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    }

    #[test]
    fn wilson_equals_scipy_and_the_published_example() {
        // scipy 1.17: stats.binomtest(successes, trials).proportion_ci(level, "wilson")
        for (successes, trials, level, low, high) in [
            (179, 200, 0.95, 0.844_819_680_088_769_6, 0.930_292_512_073_189_9),
            (10, 10, 0.95, 0.722_467_200_137_110_9, 1.0),
            (0, 10, 0.95, 0.0, 0.277_532_799_862_889_26),
            (1, 1000, 0.99, 0.000_117_416_353_618_321_65, 0.008_460_566_219_981_695),
        ] {
            let interval = wilson(successes, trials, level);
            close(interval.low, low);
            close(interval.high, high);
        }
    }

    #[test]
    fn clopper_pearson_equals_scipy() {
        // scipy 1.17: stats.beta.ppf(alpha / 2, x, n - x + 1), stats.beta.ppf(1 - alpha / 2, x + 1, n - x)
        for (successes, trials, level, low, high) in [
            (10, 10, 0.95, 0.691_502_892_181_239_2, 1.0),
            (0, 10, 0.95, 0.0, 0.308_497_107_818_760_7),
            (3, 10, 0.95, 0.066_739_511_177_734_5, 0.652_452_850_059_997_3),
            (7, 12, 1.0 - 0.05 / 7.0, 0.197_045_083_940_246_06, 0.904_289_767_760_618_4),
            (1, 1000, 0.99, 5.012_529_260_777_51e-6, 0.007_406_286_938_352_937),
        ] {
            let interval = clopper_pearson(successes, trials, level);
            close(interval.low, low);
            close(interval.high, high);
        }
    }

    #[test]
    fn nothing_and_everything_solved_have_a_width() {
        for trials in [1, 2, 10, 1000] {
            for successes in [0, trials] {
                assert!(wilson(successes, trials, 0.95).width() > 0.0);
                assert!(clopper_pearson(successes, trials, 0.95).width() > 0.0);
                assert!(proportion_standard_error(successes as f64 / trials as f64, trials) > 0.0);
                assert!(log_odds(successes, trials).value.is_finite());
            }
        }
        // The twin: the textbook standard error of a proportion vanishes there.
        assert_eq!((1.0_f64 * (1.0 - 1.0) / 10.0).sqrt(), 0.0);
    }

    #[test]
    fn clopper_pearson_covers_at_least_its_level_and_wilson_about() {
        let coverage = |rate: f64, interval: fn(usize, usize, f64) -> Interval| {
            let outcomes = Binomial::new(rate, 10).unwrap();
            let covered = (0..=10).filter(|&count| interval(count, 10, 0.95).contains(rate));
            covered.map(|count| outcomes.pmf(count as u64)).sum::<f64>()
        };
        let rates = || (1..100).map(|percent| f64::from(percent) / 100.0);
        assert!(rates().all(|rate| coverage(rate, clopper_pearson) >= 0.95));
        let average = rates().map(|rate| coverage(rate, wilson)).sum::<f64>() / 99.0;
        assert!((0.94..0.97).contains(&average), "{average}");
        // The twin: at single rates Wilson covers less than it says, which is why it does not decide.
        assert!(rates().any(|rate| coverage(rate, wilson) < 0.93));
    }

    #[test]
    fn a_rate_shows_one_interval_and_decides_by_the_other() {
        let estimate = rate(10, 10, 0.95).unwrap();
        assert_eq!(estimate.interval95, wilson(10, 10, 0.95));
        assert_eq!(estimate.decision, clopper_pearson(10, 10, 0.95));
        let message = rate(5, 5, 0.95).unwrap_err().to_string();
        assert!(message.contains("at least 10 seeds, found 5"), "{message}");
        close(clopper_pearson(5, 5, 0.95).low, 0.025_f64.powf(0.2));
    }

    #[test]
    fn fisher_equals_scipy() {
        // scipy 1.17: stats.fisher_exact([[a, b], [c, d]]), a and c successes, b and d failures
        for (first, second, expected) in [
            ((8, 10), (1, 6), 0.034_965_034_965_034_975),
            ((10, 10), (3, 10), 0.003_095_975_232_198_142_6),
            ((3, 4), (1, 4), 0.485_714_285_714_285_65),
            ((10, 10), (0, 10), 1.082_508_822_446_903e-5),
            ((5, 10), (5, 10), 1.0),
            ((0, 10), (0, 10), 1.0),
        ] {
            close(fisher_exact(first, second), expected);
            close(fisher_exact(second, first), expected);
        }
    }

    #[test]
    fn sign_test_equals_the_binomial() {
        // scipy 1.17: stats.binomtest(wins, wins + losses).pvalue
        for (wins, losses, expected) in
            [(8, 0, 0.007_812_5), (7, 1, 0.070_312_5), (9, 3, 0.145_996_093_75), (4, 4, 1.0)]
        {
            close(sign_test(wins, losses, 0).unwrap(), expected);
            close(sign_test(losses, wins, 5).unwrap(), expected);
        }
        close(sign_test(0, 0, 8).unwrap(), 1.0);
        assert!(sign_test(7, 0, 0).unwrap_err().to_string().contains("at least 8 pairs, found 7"));
    }

    #[test]
    fn log_odds_approach_the_logit() {
        let odds = log_odds(300_000, 1_000_000);
        assert!((odds.value - Scale::Logit.apply(0.3)).abs() < 1e-5);
        // Delta method: 1 / sqrt(n p (1 - p)).
        assert!((odds.standard_error * (1e6_f64 * 0.21).sqrt() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn errors_of_a_mean_shrink_with_the_number_of_seeds() {
        close(standard_error_of_mean(&[0.3; 9]), 0.1);
        close(standard_error_of_mean(&[3.0, 4.0]), 2.5);
    }
}
