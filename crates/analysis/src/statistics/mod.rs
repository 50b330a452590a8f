//! Statistics and decisions, as the protocol words them. Pure functions of numbers: no table, no file.
//!
//! The unit is the seed: a statistic is computed for each seed and only then averaged, with a t interval on
//! its natural scale. [`Decision`] turns the interval of one regime into one of three answers, [`verdict`]
//! turns the regimes of a claim into its verdict.

mod censored;
mod crossed;
mod decision;
mod discrimination;
mod estimate;
mod mean;
mod proportion;
mod slope;

pub use censored::RestrictedMean;
pub use crossed::seeds_and_blocks;
pub use decision::{
    Crossing, Decision, Refutation, Regime, Shortfall, Verdict, conjunction, counter_example, is_fragile,
    shortfall, verdict,
};
pub use discrimination::{Concordance, MINIMUM_CLUSTERS, Scored};
pub use estimate::{Estimate, Interval, SHOWN_LEVEL, Scale, bonferroni};
pub use mean::{mean, paired_difference, ratio, welch};
pub use proportion::{
    LogOdds, MINIMUM_PAIRS, MINIMUM_TRIALS, clopper_pearson, fisher_exact, log_odds,
    proportion_standard_error, rate, sign_test, standard_error_of_mean, wilson,
};
pub use slope::{Slope, slope};

/// Why a statistic cannot be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StatisticsError {
    /// An interval needs more units.
    #[error("{statistic} needs at least {needed} {unit}, found {found}: add them to the definition")]
    TooFew {
        /// What should be computed.
        statistic: &'static str,
        /// What is counted, in the plural.
        unit: &'static str,
        /// How many it takes.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// Paired arms, or the blocks of two seeds, differ in number.
    #[error("{statistic} needs equally many values on both sides, found {first} and {second}")]
    Unpaired {
        /// What should be computed.
        statistic: &'static str,
        /// Values on the first side.
        first: usize,
        /// Values on the second side.
        second: usize,
    },
    /// A value is not finite, or has no place on the scale of the statistic.
    #[error("{statistic} cannot use the value {value}: {reason}")]
    Value {
        /// What should be computed.
        statistic: &'static str,
        /// The value.
        value: f64,
        /// What it would have to be.
        reason: &'static str,
    },
}
