//! Points from a few normal distributions on a circle, round or not: what is there to find is which points belong together.
//!
//! ```text
//! cluster j    at the angle 2 pi j / clusters, each equally likely; neighbouring centres are `apart` from each other
//! deviations   s_j sqrt(stretch) along the circle and s_j / sqrt(stretch) across it
//! s_j          from 1 / sqrt(sizes) in the first cluster to sqrt(sizes) in the last, in equal ratios
//! ```
//!
//! With `stretch` and `sizes` of 1 all clusters are round and equal. With `stretch` above 1 each is as large, but long in a direction of
//! its own; with `sizes` above 1 they stay round, and the last has so many times the deviation of the first. Nothing is asked of a point, and no cluster is shown; of the test
//! points the task knows the cluster, and the one that is likeliest given the point.

use sequence::{
    Batch, Floor, Groups, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{draw_rows, feature_rows};
use crate::metrics::own_loss;
use crate::{DataError, settings};

const NAME: &str = "gaussian-clusters";
const EVALUATED: usize = 2000;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "find out which points of a plane belong together",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(GaussianClusters::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Training points.
    examples: usize,
    /// Clusters.
    clusters: usize,
    /// Distance between neighbouring centres.
    apart: f32,
    /// The longest deviation of a cluster over its shortest.
    stretch: f32,
    /// The deviation of the last cluster over that of the first.
    sizes: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { examples: 1000, clusters: 4, apart: 5.0, stretch: 1.0, sizes: 1.0 }
    }
}

/// One normal distribution.
struct Cluster {
    centre: [f32; 2],
    /// The unit vector along the circle.
    along: [f32; 2],
    /// Deviations along the circle and across it.
    deviations: [f32; 2],
}

impl Cluster {
    /// The logarithm of the density, up to a constant.
    fn log_density(&self, point: &[f32]) -> f32 {
        let [x, y] = [point[0] - self.centre[0], point[1] - self.centre[1]];
        let [along, across] = self.deviations;
        let one = (x * self.along[0] + y * self.along[1]) / along;
        let other = (x * self.along[1] - y * self.along[0]) / across;
        -0.5 * (one * one + other * other) - libm::logf(along * across)
    }
}

struct GaussianClusters {
    config: Config,
    clusters: Vec<Cluster>,
}

impl GaussianClusters {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "examples", &config.examples, 1..=1_000_000)?;
        settings::within(NAME, "clusters", &config.clusters, 2..=100)?;
        settings::within(NAME, "apart", &config.apart, 0.0..=1e3)?;
        settings::within(NAME, "stretch", &config.stretch, 1.0..=1e3)?;
        settings::within(NAME, "sizes", &config.sizes, 1.0..=1e3)?;
        let count = config.clusters as f32;
        let radius = config.apart / (2.0 * libm::sinf(std::f32::consts::PI / count));
        let cluster = |index: usize| {
            let angle = std::f32::consts::TAU * index as f32 / count;
            let (cosine, sine) = (libm::cosf(angle), libm::sinf(angle));
            let size = libm::powf(config.sizes, index as f32 / (count - 1.0) - 0.5);
            let root = libm::sqrtf(config.stretch);
            Cluster {
                centre: [radius * cosine, radius * sine],
                along: [-sine, cosine],
                deviations: [size * root, size / root],
            }
        };
        let clusters = (0..config.clusters).map(cluster).collect();
        Ok(Self { config, clusters })
    }

    /// Points, and of each its cluster.
    fn drawn(&self, seed: u64, stream: Stream, count: usize) -> (Vec<f32>, Vec<u32>) {
        let mut random = Random::new(seed, stream);
        let mut values = Vec::with_capacity(2 * count);
        let mut drawn = Vec::with_capacity(count);
        for _ in 0..count {
            let index = random.index(self.clusters.len());
            let Cluster { centre, along, deviations } = &self.clusters[index];
            let (one, other) = (deviations[0] * random.normal(), deviations[1] * random.normal());
            values.push(centre[0] + one * along[0] + other * along[1]);
            values.push(centre[1] + one * along[1] - other * along[0]);
            drawn.push(u32::try_from(index).expect("clusters are few"));
        }
        (values, drawn)
    }

    fn batch(&self, seed: u64, stream: Stream, count: usize) -> Batch {
        feature_rows(2, self.drawn(seed, stream, count).0, vec![0; count])
    }
}

impl Task for GaussianClusters {
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
        let all = self.batch(seed, Stream::Training(0), self.config.examples);
        draw_rows(&all, &mut Random::new(seed, Stream::Training(update + 1)), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        vec![self.batch(seed, Stream::Validation, EVALUATED)]
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        vec![TestSet { name: "test".to_owned(), batches: vec![self.batch(seed, Stream::Test, EVALUATED)] }]
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

    fn floors(&self) -> Vec<Floor> {
        vec![Floor { metric: "adjusted-rand-index", name: "chance", value: 0.0 }]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(vec![self.batch(seed, Stream::Training(0), self.config.examples)])
    }

    fn groups(&self, seed: u64) -> Option<Groups> {
        let (values, drawn) = self.drawn(seed, Stream::Test, EVALUATED);
        let likeliest = |point: &[f32]| {
            let densities = self.clusters.iter().map(|cluster| cluster.log_density(point));
            let most = densities.zip(0..).max_by(|(a, _), (b, _)| a.total_cmp(b));
            most.expect("there are clusters").1
        };
        Some(Groups { likeliest: values.chunks_exact(2).map(likeliest).collect(), drawn })
    }
}

#[cfg(test)]
mod tests {
    use sequence::Inputs;

    use super::*;
    use crate::testing;

    fn task(stretch: f32, sizes: f32) -> GaussianClusters {
        GaussianClusters::new(Config { stretch, sizes, ..Config::default() }).unwrap()
    }

    #[test]
    fn clusters_have_the_deviations_asked_for() {
        let task = task(4.0, 9.0);
        let (values, drawn) = task.drawn(3, Stream::Test, 40_000);
        // s is 1/3, 3^(-1/3), 3^(1/3) and 3; along the circle twice that, across it half.
        for (index, size) in [1.0 / 3.0, 0.693_361, 1.442_25, 3.0].into_iter().enumerate() {
            // Four centres 5 apart are at a radius of 5 / sqrt 2, on the axes in turn.
            let radius = 5.0 * 0.5_f32.sqrt();
            let centre = [[radius, 0.0], [0.0, radius], [-radius, 0.0], [0.0, -radius]][index];
            let of_cluster: Vec<&[f32]> = values
                .chunks(2)
                .zip(&drawn)
                .filter(|(_, of)| **of as usize == index)
                .map(|(point, _)| point)
                .collect();
            let count = of_cluster.len() as f32;
            assert!((count - 10_000.0).abs() < 350.0, "{count}");
            for axis in 0..2 {
                // The circle runs along y through the first and third, along x through the others.
                let along = axis != index % 2;
                let expected = if along { 2.0 * size } else { 0.5 * size };
                let mean = of_cluster.iter().map(|point| point[axis]).sum::<f32>() / count;
                let square =
                    of_cluster.iter().map(|point| (point[axis] - centre[axis]).powi(2)).sum::<f32>() / count;
                // Standard errors are 1% of a deviation for the mean and 0.7% of it for the deviation.
                assert!((mean - centre[axis]).abs() < 0.04 * expected, "{index} {axis}: {mean}");
                assert!((square.sqrt() / expected - 1.0).abs() < 0.03, "{index} {axis}: {}", square.sqrt());
            }
        }
    }

    #[test]
    fn groups_are_those_of_the_test_points_and_the_likeliest_is_nearly_always_right() {
        for (stretch, sizes) in [(1.0, 1.0), (8.0, 1.0), (1.0, 4.0)] {
            let task = task(stretch, sizes);
            let Groups { drawn, likeliest } = task.groups(5).unwrap();
            let Inputs::Features { values, .. } = &task.test(5)[0].batches[0].inputs else {
                panic!("the inputs are features")
            };
            assert_eq!(*values, task.drawn(5, Stream::Test, EVALUATED).0);
            let right = drawn.iter().zip(&likeliest).filter(|(one, other)| one == other).count();
            // Of round clusters 5 deviations apart, those beyond 2.5 towards either neighbour are wrong: 1.2%.
            assert!(right > 1850 && right < 2000, "{stretch} {sizes}: {right}");
        }
    }

    #[test]
    fn training_draws_from_a_finite_set_that_no_other_split_shares() {
        let task = task(1.0, 1.0);
        let set = task.training_set(1).unwrap();
        assert_eq!(testing::shared(&set, &[task.training_batch(1, 3, 200)]), 200);
        assert_eq!(testing::shared(&set, &task.validation(1)), 0);
        assert_eq!(testing::shared(&set, &task.test(1)[0].batches), 0);
    }

    #[test]
    fn samples_are_the_same_on_every_machine() {
        // A record of what was drawn first. A change needs a new version.
        assert_eq!(testing::digest(&task(2.0, 3.0)), "649767a779dda612");
    }
}
