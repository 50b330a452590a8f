//! Points from narrow normal distributions on a circle: what is there to learn is where they are.
//!
//! ```text
//! mode k   radius (cos 2 pi k / modes, sin 2 pi k / modes), each equally likely
//! x        its mode + deviation times standard normal noise, in two dimensions
//! ```
//!
//! The test bed of Metz et al. (2017) for generative models, with the density known. Nothing is asked of a point. Beside `test` there are two sets of
//! points that do not belong: `near`, on the circle in the middle between two modes and as narrow as they are, and `far`, twice to
//! four times the radius from the centre. Modes are at least ten deviations apart, so that they hardly overlap and the entropy is, to all digits,
//! that of one of them and of the choice.

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{draw_rows, feature_rows};
use crate::metrics::own_loss;
use crate::{DataError, settings};

const NAME: &str = "gaussian-ring";
const EVALUATED: usize = 2000;

/// Deviations between neighbouring modes at least.
const APART: f32 = 10.0;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "model points from narrow normal distributions on a circle",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(GaussianRing::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training examples.
    examples: usize,
    /// Normal distributions.
    modes: usize,
    /// Of the circle.
    radius: f32,
    /// Of each normal distribution, in each dimension.
    deviation: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { examples: 2000, modes: 8, radius: 2.0, deviation: 0.1 }
    }
}

/// Where a point is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Mode,
    Near,
    Far,
}

struct GaussianRing {
    config: Config,
}

fn on_circle(turn: f32, radius: f32) -> [f32; 2] {
    let angle = std::f32::consts::TAU * turn;
    [radius * libm::cosf(angle), radius * libm::sinf(angle)]
}

impl GaussianRing {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "examples", &config.examples, 1..=1_000_000)?;
        settings::within(NAME, "modes", &config.modes, 2..=1000)?;
        settings::within(NAME, "radius", &config.radius, 1e-3..=1e3)?;
        let apart = 2.0 * config.radius * libm::sinf(std::f32::consts::PI / config.modes as f32);
        settings::within(NAME, "deviation", &config.deviation, 1e-6..=apart / APART)?;
        Ok(Self { config })
    }

    fn batch(&self, seed: u64, stream: Stream, count: usize, place: Place) -> Batch {
        let Config { modes, radius, deviation, .. } = self.config;
        let mut random = Random::new(seed, stream);
        // A stream of their own, or outliers would be moved test examples.
        if place != Place::Mode {
            random = Random::new(random.bits() ^ place as u64, Stream::Order);
        }
        let mut values = Vec::with_capacity(2 * count);
        for _ in 0..count {
            let mode = random.index(modes) as f32;
            let [x, y] = match place {
                Place::Mode => on_circle(mode / modes as f32, radius),
                Place::Near => on_circle((mode + 0.5) / modes as f32, radius),
                Place::Far => on_circle(random.unit(), random.uniform(2.0 * radius, 4.0 * radius)),
            };
            let spread = if place == Place::Far { 0.0 } else { deviation };
            values.extend([x + spread * random.normal(), y + spread * random.normal()]);
        }
        feature_rows(2, values, vec![0; count])
    }

    fn training(&self, seed: u64) -> Batch {
        self.batch(seed, Stream::Training(0), self.config.examples, Place::Mode)
    }
}

impl Task for GaussianRing {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Features { width: 2 },
            outputs: 1,
            loss: LossKind::Density,
            maximum_time: 1,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        draw_rows(&self.training(seed), &mut Random::new(seed, Stream::Training(update + 1)), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![self.batch(seed, Stream::Validation, EVALUATED, Place::Mode)]
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        let set = |name: &str, place| TestSet {
            name: name.to_owned(),
            batches: vec![self.batch(seed, Stream::Test, EVALUATED, place)],
        };
        vec![set("test", Place::Mode), set("near", Place::Near), set("far", Place::Far)]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        vec![own_loss(batches, predictions)]
    }

    fn larger_is_better(&self) -> bool {
        false
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    /// The entropy of the points, which no model goes below on average: ln modes + ln(2 pi e deviation^2).
    fn floors(&self) -> Vec<Floor> {
        let Config { modes, deviation, .. } = self.config;
        let of_mode =
            libm::log(std::f64::consts::TAU * std::f64::consts::E) + 2.0 * libm::log(f64::from(deviation));
        let value = libm::log(modes as f64) + of_mode;
        vec![Floor { metric: "negative-log-likelihood", name: "best", value }]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(vec![self.training(seed)])
    }

    fn clusters(&self) -> Option<(Vec<f32>, f32)> {
        let Config { modes, radius, deviation, .. } = self.config;
        let centres = (0..modes).flat_map(|mode| on_circle(mode as f32 / modes as f32, radius));
        Some((centres.collect(), deviation))
    }
}

#[cfg(test)]
mod tests {
    use sequence::Inputs;

    use super::*;
    use crate::testing;

    fn ring() -> GaussianRing {
        GaussianRing::new(Config::default()).unwrap()
    }

    fn points(batch: &Batch) -> Vec<[f32; 2]> {
        let Inputs::Features { values, .. } = &batch.inputs else { panic!("the inputs are features") };
        values.chunks(2).map(|point| [point[0], point[1]]).collect()
    }

    #[test]
    fn points_are_around_their_modes_and_outliers_are_not() {
        let task = ring();
        let (centres, deviation) = task.clusters().unwrap();
        let nearest = |point: &[f32; 2]| {
            let distances =
                centres.chunks(2).map(|centre| (point[0] - centre[0]).hypot(point[1] - centre[1]));
            distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
        };
        let sets = task.test(3);
        let mut counts = [0_u32; 8];
        let mut squares = 0.0;
        for point in points(&sets[0].batches[0]) {
            let (mode, distance) = nearest(&point);
            counts[mode] += 1;
            squares += distance * distance;
        }
        // 250 a mode with a standard error of 15. A squared distance is 0.02 on average and deviates as much, which is a standard
        // error of 0.000 45 over 2,000.
        assert!(counts.iter().all(|count| count.abs_diff(250) < 60), "{counts:?}");
        assert!((squares / 2000.0 - 2.0 * deviation * deviation).abs() < 0.002, "{squares}");
        // In the middle between two modes, which are 1.53 apart; at least a radius outside the circle.
        assert!(points(&sets[1].batches[0]).iter().all(|point| nearest(point).1 > 0.3));
        assert!(points(&sets[2].batches[0]).iter().all(|point| point[0].hypot(point[1]) >= 3.999));
    }

    #[test]
    fn the_entropy_is_the_mean_negative_log_density() {
        let task = ring();
        let (centres, deviation) = task.clusters().unwrap();
        let density = |point: &[f32; 2]| -> f64 {
            let of_mode = |centre: &[f32]| {
                let squared = (point[0] - centre[0]).powi(2) + (point[1] - centre[1]).powi(2);
                f64::from(-0.5 * squared / deviation.powi(2)).exp()
            };
            centres.chunks(2).map(of_mode).sum::<f64>()
                / 8.0
                / std::f64::consts::TAU
                / f64::from(deviation).powi(2)
        };
        let all = points(&task.test(1)[0].batches[0]);
        let mean = -all.iter().map(|point| density(point).ln()).sum::<f64>() / all.len() as f64;
        // The deviation of a log-density is 1, its standard error 0.022.
        assert!((mean - task.floors()[0].value).abs() < 0.09, "{mean} {}", task.floors()[0].value);
    }

    #[test]
    fn training_draws_from_a_finite_set_that_no_other_split_shares() {
        let task = ring();
        let set = task.training_set(1).unwrap();
        assert_eq!(testing::shared(&set, &[task.training_batch(1, 3, 200)]), 200);
        assert_eq!(testing::shared(&set, &task.validation(1)), 0);
        assert_eq!(testing::shared(&set, &task.test(1)[0].batches), 0);
    }

    #[test]
    fn modes_that_overlap_are_refused() {
        let wide = Config { deviation: 0.2, ..Config::default() };
        assert!(GaussianRing::new(wide).err().unwrap().to_string().contains("deviation"));
    }
}
