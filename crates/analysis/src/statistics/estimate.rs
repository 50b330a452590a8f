//! An estimate and its two intervals: one to show, one to decide by.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Level of the intervals that are shown.
pub const SHOWN_LEVEL: f64 = 0.95;

/// Power at which [`Estimate::smallest_detectable`] is computed.
const POWER: f64 = 0.8;

/// Level at which a definition with `claims` interval claims decides each of them, so that all its intervals
/// cover together with probability 0.95 or more: 1 - 0.05 / m (Bonferroni; Dunn 1961).
#[must_use]
pub fn bonferroni(claims: usize) -> f64 {
    1.0 - (1.0 - SHOWN_LEVEL) / claims.max(1) as f64
}

/// All values from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// The interval `centre` ± `half_width`.
    #[must_use]
    pub fn around(centre: f64, half_width: f64) -> Self {
        Self { low: centre - half_width, high: centre + half_width }
    }

    /// Distance between the ends.
    #[must_use]
    pub fn width(self) -> f64 {
        self.high - self.low
    }

    /// Whether `value` lies inside, ends included.
    #[must_use]
    pub fn contains(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// The interval of the opposite effect: what favours one side, seen from the other.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { low: -self.high, high: -self.low }
    }

    /// The interval seen from `reference`.
    #[must_use]
    pub fn relative_to(self, reference: f64) -> Self {
        self.map(|end| end - reference)
    }

    fn map(self, increasing: impl Fn(f64) -> f64) -> Self {
        Self { low: increasing(self.low), high: increasing(self.high) }
    }
}

/// A number estimated from several units, mostly seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its interval at level 0.95, which is shown.
    pub interval95: Interval,
    /// Its interval at `level`, which decides.
    pub decision: Interval,
    /// Level of `decision`: see [`bonferroni`].
    pub level: f64,
    /// Independent units behind it.
    pub units: usize,
    /// Standard error of `value`, on the scale on which the interval was computed.
    pub standard_error: f64,
    /// The smallest true effect that `decision` would exclude 0 for in four runs of five:
    /// (t at the level + t at power 0.8) standard errors (Bloom 1995), on the scale of `standard_error`.
    pub smallest_detectable: f64,
}

impl Estimate {
    /// The t interval around `value`.
    pub(super) fn by_t(
        value: f64,
        standard_error: f64,
        degrees_of_freedom: f64,
        units: usize,
        level: f64,
    ) -> Self {
        let t = |probability| t_quantile(probability, degrees_of_freedom);
        let half_width = |level: f64| t(two_sided(level)) * standard_error;
        Self {
            value,
            interval95: Interval::around(value, half_width(SHOWN_LEVEL)),
            decision: Interval::around(value, half_width(level)),
            level,
            units,
            standard_error,
            smallest_detectable: half_width(level) + t(POWER) * standard_error,
        }
    }

    /// The estimate of the opposite effect.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            value: -self.value,
            interval95: self.interval95.reversed(),
            decision: self.decision.reversed(),
            ..self
        }
    }

    /// The estimate as an effect above `reference`, such as a threshold that a claim names.
    #[must_use]
    pub fn relative_to(self, reference: f64) -> Self {
        Self {
            value: self.value - reference,
            interval95: self.interval95.relative_to(reference),
            decision: self.decision.relative_to(reference),
            ..self
        }
    }

    /// Value and intervals in the units of the measurement, for an estimate made on `scale`.
    ///
    /// `standard_error` and `smallest_detectable` stay on the scale on which the interval was computed.
    #[must_use]
    pub fn from_scale(self, scale: Scale) -> Self {
        Self {
            value: scale.invert(self.value),
            interval95: self.interval95.map(|end| scale.invert(end)),
            decision: self.decision.map(|end| scale.invert(end)),
            ..self
        }
    }
}

/// The scale on which units are averaged and on which the interval is symmetric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// As measured.
    Linear,
    /// Natural logarithm, for ratios and times.
    Log,
    /// ln(p / (1 - p)), for rates; see [`log_odds`](super::log_odds) where a rate may be 0 or 1.
    Logit,
}

impl Scale {
    /// The place of a measured value on the scale; not finite where it has none.
    #[must_use]
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.ln(),
            Self::Logit => (value / (1.0 - value)).ln(),
        }
    }

    /// The measured value at a place on the scale.
    #[must_use]
    pub fn invert(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::Log => place.exp(),
            Self::Logit => 1.0 / (1.0 + (-place).exp()),
        }
    }
}

/// The probability below the upper end of a two-sided interval.
pub(super) fn two_sided(level: f64) -> f64 {
    f64::midpoint(1.0, level)
}

/// Quantile of Student's t distribution.
pub(super) fn t_quantile(probability: f64, degrees_of_freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees_of_freedom)
        .expect("an interval has at least two units, so its degrees of freedom are positive")
        .inverse_cdf(probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_quantiles_equal_scipy() {
        // scipy 1.17: stats.t.ppf(probability, degrees_of_freedom)
        for (probability, degrees_of_freedom, expected) in [
            (0.975, 4.0, 2.776_445_105_197_793_4),
            (0.975, 7.0, 2.364_624_251_592_784),
            (0.975, 1.0, 12.706_204_736_174_694),
            (0.9975, 4.0, 5.597_568_367_075_492),
            (0.996_43, 7.0, 3.753_003_637_516_188_4),
            (0.8, 7.0, 0.896_029_644_313_765_3),
            (0.975, 2.5, 3.574_654_842_003_681_7),
            (0.975, 1000.0, 1.962_339_080_826_408_3),
            (0.9999, 4.0, 13.033_671_720_896_821),
        ] {
            let quantile = t_quantile(probability, degrees_of_freedom);
            assert!(
                (quantile / expected - 1.0).abs() < 1e-9,
                "{probability} {degrees_of_freedom}: {quantile}"
            );
        }
    }

    #[test]
    fn bonferroni_shares_the_error_between_the_claims() {
        assert_eq!(bonferroni(1), SHOWN_LEVEL);
        assert!((bonferroni(5) - 0.99).abs() < 1e-15);
        // A definition without interval claims still shows intervals.
        assert_eq!(bonferroni(0), SHOWN_LEVEL);
    }

    #[test]
    fn smallest_detectable_effect_adds_the_power_quantile() {
        let estimate = Estimate::by_t(0.0, 2.0, 7.0, 8, 0.95);
        // By hand: (2.364624 + 0.896030) * 2, quantiles from the test above.
        assert!((estimate.smallest_detectable - 6.521_307_791).abs() < 1e-8);
        assert!(estimate.smallest_detectable > estimate.decision.high);
    }

    #[test]
    fn scales_invert_each_other_and_keep_the_order() {
        for scale in [Scale::Linear, Scale::Log, Scale::Logit] {
            for value in [0.01, 0.3, 0.5, 0.99] {
                assert!((scale.invert(scale.apply(value)) - value).abs() < 1e-12, "{scale:?} {value}");
            }
            let shown = Estimate::by_t(scale.apply(0.5), 0.1, 4.0, 5, 0.99).from_scale(scale);
            assert!(shown.decision.low < shown.interval95.low && shown.interval95.low < shown.value);
            assert!(shown.value < shown.interval95.high && shown.interval95.high < shown.decision.high);
        }
        assert!(!Scale::Log.apply(0.0).is_finite() && !Scale::Logit.apply(1.0).is_finite());
    }

    #[test]
    fn reversing_swaps_the_sides() {
        let estimate = Estimate::by_t(1.0, 0.5, 4.0, 5, 0.99);
        let reversed = estimate.reversed();
        assert_eq!((reversed.value, reversed.decision.low), (-1.0, -estimate.decision.high));
        assert_eq!(reversed.reversed(), estimate);
    }
}
