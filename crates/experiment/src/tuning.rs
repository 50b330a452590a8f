//! Which rate an arm is evaluated at: the one that solves the task soonest at every tuning seed, or else the one with the
//! best mean validation score.

use std::collections::BTreeMap;

use record::cell::{CellRecord, Outcome};

use crate::ExperimentError;
use crate::measurements::{FIT, VALIDATION};
use crate::plan::{Plan, PlannedCell, Rates};
use crate::tables::Records;

/// The scores of all arms, by task and model.
pub(crate) type ArmScores = BTreeMap<(String, String), Scores>;

/// Chooses the rate of every arm, extending the grid of a task while an arm wins at its edge.
///
/// `finish` is given all tuning cells so far and returns their scores, or none where they are not finished.
pub(crate) fn tune(
    plan: &Plan,
    mut finish: impl FnMut(&[PlannedCell]) -> Result<Option<ArmScores>, ExperimentError>,
) -> Result<Option<Rates>, ExperimentError> {
    let mut grids = plan.first_grids();
    loop {
        let Some(scores) = finish(&plan.tuning_cells(&grids))? else { return Ok(None) };
        let rates = winners(&scores, |task| plan.facts.get(task).is_some_and(|facts| facts.larger_is_better));
        let mut extended = false;
        for (task, grid) in &mut grids {
            let winners: Vec<f64> = rates
                .get(task)
                .into_iter()
                .flatten()
                .filter(|(model, _)| !is_even(&scores[&(task.clone(), (*model).clone())]))
                .map(|(_, rate)| *rate)
                .collect();
            extended |= grid.extend(&winners, plan.definition.tuning.extensions);
        }
        if !extended {
            return Ok(Some(rates));
        }
    }
}

/// Rates of one arm, ascending, with what they reached; none where a seed diverged or failed.
pub(crate) type Scores = Vec<(f64, Option<Score>)>;

/// What one rate reached: the mean over its seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score {
    /// The primary metric on validation.
    pub(crate) validation: f64,
    /// Updates until the task was solved; none unless every seed solved it.
    pub(crate) updates_to_solve: Option<f64>,
}

impl Score {
    /// Training ends when a task is solved, so beyond that point the score is chance, and only the updates compare.
    fn better_than(&self, other: &Self, larger_is_better: bool) -> bool {
        match (self.updates_to_solve, other.updates_to_solve) {
            (Some(own), Some(other)) => own < other,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) if larger_is_better => self.validation > other.validation,
            (None, None) => self.validation < other.validation,
        }
    }
}

/// Mean scores of all tuning cells, by task and model.
pub(crate) fn scores(cells: &[PlannedCell], records: &Records) -> ArmScores {
    let mut single = ArmScores::new();
    for cell in cells {
        let Some(rate) = cell.rate else { continue };
        let score = records.get(&cell.key).and_then(score);
        single.entry((cell.task.clone(), cell.model.clone())).or_default().push((rate, score));
    }
    single.into_iter().map(|(arm, scores)| (arm, means(scores))).collect()
}

/// The mean over the seeds of each rate.
fn means(mut single: Scores) -> Scores {
    single.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let mean = |seeds: &[(f64, Option<Score>)]| {
        let scores: Option<Vec<Score>> = seeds.iter().map(|(_, score)| *score).collect();
        let mean = scores.map(|scores| {
            let count = scores.len() as f64;
            let updates: Option<f64> = scores.iter().map(|score| score.updates_to_solve).sum();
            Score {
                validation: scores.iter().map(|score| score.validation).sum::<f64>() / count,
                updates_to_solve: updates.map(|updates| updates / count),
            }
        });
        (seeds[0].0, mean)
    };
    single.chunk_by(|(one, _), (other, _)| one == other).map(mean).collect()
}

/// The primary metric on validation, which is the first row, and the updates to solve; none for a run that diverged.
fn score(record: &CellRecord) -> Option<Score> {
    let value = |split: &str, metric: Option<&str>| {
        let row = record
            .rows
            .iter()
            .find(|row| row.split == split && metric.is_none_or(|metric| row.metric == metric))?;
        (row.outcome == Outcome::Ok && row.value.is_finite()).then_some(row.value)
    };
    let updates_to_solve = value(FIT, Some("updates-to-solve"));
    value(VALIDATION, None).map(|validation| Score { validation, updates_to_solve })
}

/// The best rate, the smaller of two as good; the smallest where no run survived.
fn winner(scores: &[(f64, Option<Score>)], larger_is_better: bool) -> Option<f64> {
    let mut best: Option<(f64, Score)> = None;
    for &(rate, score) in scores {
        let Some(score) = score else { continue };
        if best.is_none_or(|(_, other)| score.better_than(&other, larger_is_better)) {
            best = Some((rate, score));
        }
    }
    best.map(|(rate, _)| rate).or_else(|| scores.first().map(|(rate, _)| *rate))
}

/// Whether every rate scored the same, as where nothing is trained: no further rate would say more.
fn is_even(scores: &[(f64, Option<Score>)]) -> bool {
    scores.iter().all(|(_, score)| *score == scores[0].1)
}

/// The grid of rates of one task, which all its arms share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) rates: Vec<f64>,
    below: u32,
    above: u32,
}

impl Grid {
    pub(crate) fn new(rates: &[f64]) -> Self {
        Self { rates: rates.to_vec(), below: 0, above: 0 }
    }

    /// Adds a rate at each end where an arm won, at most `extensions` times each. Says whether it did. A single rate is
    /// given and not tuned.
    pub(crate) fn extend(&mut self, winners: &[f64], extensions: u32) -> bool {
        let [first, .., last] = self.rates[..] else { return false };
        let lower = self.below < extensions && winners.contains(&first);
        let higher = self.above < extensions && winners.contains(&last);
        if lower {
            self.below += 1;
            self.rates.insert(0, neighbour(first, -1));
        }
        if higher {
            self.above += 1;
            self.rates.push(neighbour(last, 1));
        }
        lower || higher
    }
}

/// About a factor of the square root of 10 away: the nearest of 1 and 3 times a power of ten, as people write rates.
fn neighbour(rate: f64, direction: i32) -> f64 {
    let target = rate.log10() + 0.5 * f64::from(direction);
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a rate is small")]
    let exponent = target.floor() as i32;
    let candidates = [format!("1e{exponent}"), format!("3e{exponent}"), format!("1e{}", exponent + 1)];
    let rates = candidates.iter().map(|text| text.parse::<f64>().expect("a decimal number"));
    let distance = |rate: &f64| (rate.log10() - target).abs();
    rates.min_by(|one, other| distance(one).total_cmp(&distance(other))).expect("three candidates")
}

/// The winner of every arm.
fn winners(scores: &ArmScores, larger_is_better: impl Fn(&str) -> bool) -> Rates {
    let mut rates = Rates::new();
    for ((task, model), scores) in scores {
        if let Some(rate) = winner(scores, larger_is_better(task)) {
            rates.entry(task.clone()).or_default().insert(model.clone(), rate);
        }
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(validation: f64, updates_to_solve: Option<f64>) -> Score {
        Score { validation, updates_to_solve }
    }

    #[test]
    fn the_best_mean_wins_and_ties_go_to_the_smaller_rate() {
        let of = |validation| Some(reached(validation, None));
        let scores = [(0.001, of(0.7)), (0.003, of(0.9)), (0.01, of(0.9)), (0.03, None)];
        assert_eq!(winner(&scores, true), Some(0.003));
        assert_eq!(winner(&scores, false), Some(0.001));
        // Where every run diverged, the smallest rate is the best guess.
        assert_eq!(winner(&[(0.001, None), (0.01, None)], true), Some(0.001));
        assert_eq!(winner(&[], true), None);
    }

    #[test]
    fn of_rates_that_solve_the_task_the_soonest_wins() {
        let scores = [
            (0.001, Some(reached(1.0, Some(400.0)))),
            (0.003, Some(reached(0.96, Some(150.0)))),
            (0.01, Some(reached(0.999, None))),
            (0.03, Some(reached(0.97, Some(150.0)))),
        ];
        assert_eq!(winner(&scores, true), Some(0.003));
        assert_eq!(winner(&scores[..1], true), Some(0.001));
        assert_eq!(winner(&scores[2..3], true), Some(0.01));
    }

    #[test]
    fn a_rate_at_which_one_seed_diverged_has_no_score_and_one_that_one_seed_solved_did_not_solve() {
        let single = vec![
            (0.01, Some(reached(0.5, None))),
            (0.001, Some(reached(0.25, Some(50.0)))),
            (0.001, Some(reached(0.75, None))),
            (0.01, None),
            (0.1, Some(reached(1.0, Some(50.0)))),
            (0.1, Some(reached(1.0, Some(100.0)))),
        ];
        assert_eq!(
            means(single),
            [(0.001, Some(reached(0.5, None))), (0.01, None), (0.1, Some(reached(1.0, Some(75.0))))]
        );
    }

    #[test]
    fn a_winner_at_the_edge_extends_the_grid_for_every_arm() {
        let mut grid = Grid::new(&[3e-4, 1e-3, 3e-3, 1e-2, 3e-2]);
        assert!(!grid.extend(&[1e-3, 1e-2], 1));
        assert!(grid.extend(&[1e-3, 3e-2], 1));
        assert_eq!(grid.rates, [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1]);
        // One extension at this end was allowed, and was used; the other end has its own.
        assert!(!grid.extend(&[0.1], 1));
        assert!(grid.extend(&[3e-4], 1));
        assert_eq!(grid.rates[0], 1e-4);
        assert!(!Grid::new(&[1e-3, 3e-3]).extend(&[1e-3], 0));
        assert!(!Grid::new(&[1e-3]).extend(&[1e-3], 1));
    }

    #[test]
    fn an_arm_that_scores_the_same_at_every_rate_asks_for_no_further_one() {
        let even = Some(reached(0.25, None));
        assert!(is_even(&[(0.001, even), (0.003, even)]) && is_even(&[(0.001, None), (0.003, None)]));
        assert!(!is_even(&[(0.001, even), (0.003, Some(reached(0.26, None)))]));
        assert!(!is_even(&[(0.001, even), (0.003, None)]));
    }

    #[test]
    fn neighbours_are_round_numbers() {
        // By hand: a factor of 3.16 up or down, rounded to 1 or 3 times a power of ten.
        assert_eq!(
            [neighbour(3e-2, 1), neighbour(1e-2, 1), neighbour(3e-4, -1), neighbour(1e-3, -1)],
            [0.1, 0.03, 1e-4, 3e-4]
        );
        assert_eq!(neighbour(2e-3, 1), 0.01);
    }
}
