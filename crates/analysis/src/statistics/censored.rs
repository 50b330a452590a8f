//! Times of runs that were stopped at a common budget before all of them had finished.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The mean of min(time, budget), which the mean time is at least (Royston & Parmar 2013).
///
/// It comes without an interval: claims about speed are judged by the wins of each seed, or where every run solved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestrictedMean {
    /// Mean of the times, each cut at the budget.
    pub value: f64,
    /// Runs in the mean.
    pub runs: usize,
    /// Runs that had not finished at the budget.
    pub censored: usize,
}

impl RestrictedMean {
    /// The restricted mean of `times`, where `None` had not finished when its own budget, at least `budget`, ended.
    ///
    /// A time above `budget` counts as not finished, so that arms with different budgets compare at the common
    /// one. `None` when there are no runs.
    #[must_use]
    pub fn of(times: &[Option<f64>], budget: f64) -> Option<Self> {
        let finished = |time: &Option<f64>| time.filter(|&time| time <= budget);
        let sum: f64 = times.iter().map(|time| finished(time).unwrap_or(budget)).sum();
        let runs = times.len();
        let censored = times.iter().filter(|time| finished(time).is_none()).count();
        (runs > 0).then(|| Self { value: sum / runs as f64, runs, censored })
    }

    /// Whether the mean time is known only to be at least `value`.
    #[must_use]
    pub fn is_censored(self) -> bool {
        self.censored > 0
    }
}

impl fmt::Display for RestrictedMean {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        if self.is_censored() {
            formatter.write_str("≥ ")?;
        }
        self.value.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_runs_count_at_the_budget_and_show() {
        let all = RestrictedMean::of(&[Some(200.0), Some(300.0)], 1500.0).unwrap();
        assert_eq!(format!("{all:.0}"), "250");
        let some = RestrictedMean::of(&[Some(200.0), None, None], 1500.0).unwrap();
        // By hand: (200 + 1500 + 1500) / 3.
        assert_eq!((format!("{some:.0}").as_str(), some.censored), ("≥ 1067", 2));
        assert_eq!(format!("{}", RestrictedMean::of(&[None], 1500.0).unwrap()), "≥ 1500");
        assert_eq!(RestrictedMean::of(&[], 1500.0), None);
    }

    #[test]
    fn a_longer_budget_of_one_arm_gives_it_no_advantage() {
        // Solved at 8,000 updates under a budget of 10,000, compared at 1,500: not solved there.
        let long = RestrictedMean::of(&[Some(8000.0), Some(500.0)], 1500.0).unwrap();
        assert_eq!(RestrictedMean::of(&[None, Some(500.0)], 1500.0), Some(long));
    }
}
