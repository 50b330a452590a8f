//! Initial parameters, drawn from the run's seed and from nothing else.

use burn::module::Param;
use burn::nn::{Embedding, LayerNorm, LayerNormConfig, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use sequence::{Random, Stream};

/// What layer normalisation adds to the variance, as in PyTorch.
pub const LAYER_NORM_EPSILON: f64 = 1e-5;

/// Draws initial parameters onto a device, one after the other from one stream.
#[derive(Debug)]
pub struct Initialiser {
    random: Random,
    device: Device,
}

impl Initialiser {
    /// The initialisation stream of `seed`. Parameters get gradients if `device` has them.
    #[must_use]
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { random: Random::new(seed, Stream::Initialisation), device: device.clone() }
    }

    /// The device that parameters are put on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The stream, for draws that have no method here.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// A parameter with given values, row-major.
    ///
    /// # Panics
    /// When the number of values is not the product of `shape`.
    #[must_use]
    pub fn parameter<const D: usize>(&self, shape: [usize; D], values: Vec<f32>) -> Param<Tensor<D>> {
        Param::from_data(TensorData::new(values, shape), &self.device)
    }

    /// All values `value`.
    #[must_use]
    pub fn constant<const D: usize>(&self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.parameter(shape, vec![value; shape.iter().product()])
    }

    /// Uniform over [-bound, bound).
    #[must_use]
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f32) -> Param<Tensor<D>> {
        let values = (0..shape.iter().product()).map(|_| self.random.uniform(-bound, bound)).collect();
        self.parameter(shape, values)
    }

    /// Normal with mean 0.
    #[must_use]
    pub fn normal<const D: usize>(&mut self, shape: [usize; D], standard_deviation: f32) -> Param<Tensor<D>> {
        let values = (0..shape.iter().product()).map(|_| standard_deviation * self.random.normal()).collect();
        self.parameter(shape, values)
    }

    /// `[size, blocks * size]`: `blocks` independent [`orthogonal`] matrices side by side, one a gate.
    #[must_use]
    pub fn orthogonal_blocks(&mut self, size: usize, blocks: usize) -> Param<Tensor<2>> {
        let matrices: Vec<Vec<f32>> = (0..blocks).map(|_| orthogonal(size, &mut self.random)).collect();
        let mut values = Vec::with_capacity(blocks * size * size);
        for row in 0..size {
            for matrix in &matrices {
                values.extend_from_slice(&matrix[row * size..(row + 1) * size]);
            }
        }
        self.parameter([size, blocks * size], values)
    }

    /// Ones on the diagonal and zeros elsewhere: the identity where it is square.
    #[must_use]
    pub fn identity(&self, [rows, columns]: [usize; 2]) -> Param<Tensor<2>> {
        let mut values = vec![0.0; rows * columns];
        for diagonal in 0..rows.min(columns) {
            values[diagonal * columns + diagonal] = 1.0;
        }
        self.parameter([rows, columns], values)
    }

    /// A linear layer: weight `[inputs, outputs]` and bias uniform over ±1/sqrt(inputs).
    #[must_use]
    pub fn linear(&mut self, inputs: usize, outputs: usize) -> Linear {
        let bound = 1.0 / (inputs as f32).sqrt();
        Linear { weight: self.uniform([inputs, outputs], bound), bias: Some(self.uniform([outputs], bound)) }
    }

    /// A table of `symbols` standard normal vectors of `width` values.
    #[must_use]
    pub fn embedding(&mut self, symbols: usize, width: usize) -> Embedding {
        Embedding { weight: self.normal([symbols, width], 1.0) }
    }

    /// Layer normalisation with scale 1 and shift 0 (Ba, Kiros and Hinton 2016), epsilon [`LAYER_NORM_EPSILON`].
    #[must_use]
    pub fn layer_norm(&self, width: usize) -> LayerNorm {
        LayerNormConfig::new(width).with_epsilon(LAYER_NORM_EPSILON).init(&self.device)
    }
}

/// An orthogonal matrix, uniform over all of them: `[size, size]`, row-major.
///
/// The Q of a standard normal matrix's QR decomposition with a positive diagonal in R (Mezzadri 2007), by modified
/// Gram-Schmidt in double precision, each row orthogonalised twice. As initial recurrent weights: Saxe et
/// al. 2014.
///
/// # Panics
/// Never in practice: a row drawn inside the span of the others has probability 0.
#[must_use]
pub fn orthogonal(size: usize, random: &mut Random) -> Vec<f32> {
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(size);
    for _ in 0..size {
        let mut row: Vec<f64> = (0..size).map(|_| f64::from(random.normal())).collect();
        for _ in 0..2 {
            for other in &rows {
                let projection: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                row.iter_mut().zip(other).for_each(|(value, b)| *value -= projection * b);
            }
        }
        let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        assert!(norm > 0.0, "a normal row is linearly independent of the others");
        for value in &mut row {
            *value /= norm;
        }
        rows.push(row);
    }
    #[expect(clippy::cast_possible_truncation, reason = "parameters are single precision")]
    rows.iter().flatten().map(|&value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const D: usize>(parameter: &Param<Tensor<D>>) -> Vec<f32> {
        parameter.val().into_data().try_to_vec().unwrap()
    }

    #[test]
    fn an_orthogonal_matrix_times_its_transpose_is_the_identity() {
        let size = 24;
        let matrix = orthogonal(size, &mut Random::new(3, Stream::Initialisation));
        for i in 0..size {
            for j in 0..size {
                let dot: f32 = (0..size).map(|k| matrix[i * size + k] * matrix[j * size + k]).sum();
                assert!((dot - f32::from(u8::from(i == j))).abs() < 1e-5, "{i} {j} {dot}");
            }
        }
    }

    #[test]
    fn blocks_lie_side_by_side_and_are_orthogonal_each() {
        let size = 3;
        let blocks = values(&Initialiser::new(5, &Device::flex()).orthogonal_blocks(size, 2));
        let mut random = Random::new(5, Stream::Initialisation);
        let (first, second) = (orthogonal(size, &mut random), orthogonal(size, &mut random));
        for row in 0..size {
            assert_eq!(blocks[row * 6..row * 6 + 3], first[row * 3..row * 3 + 3]);
            assert_eq!(blocks[row * 6 + 3..row * 6 + 6], second[row * 3..row * 3 + 3]);
        }
    }

    #[test]
    fn the_seed_decides_every_value() {
        let draw = |seed| {
            let mut initialiser = Initialiser::new(seed, &Device::flex());
            let linear = initialiser.linear(7, 5);
            (
                values(&linear.weight),
                values(&linear.bias.unwrap()),
                values(&initialiser.embedding(3, 4).weight),
            )
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn draws_keep_their_bounds_and_moments() {
        let mut initialiser = Initialiser::new(9, &Device::flex());
        let uniform = values(&initialiser.uniform([100, 100], 0.5));
        assert!(uniform.iter().all(|value| (-0.5..0.5).contains(value)));
        // Variance of U(-b, b) is b^2 / 3; 10,000 draws put it within 5%.
        let variance =
            |draws: &[f32]| draws.iter().map(|value| value * value).sum::<f32>() / draws.len() as f32;
        assert!((variance(&uniform) * 12.0 - 1.0).abs() < 0.05);
        let normal = values(&initialiser.normal([100, 100], 0.1));
        assert!((variance(&normal) * 100.0 - 1.0).abs() < 0.05);
    }

    #[test]
    fn identity_and_constant_are_what_they_say() {
        let initialiser = Initialiser::new(0, &Device::flex());
        assert_eq!(values(&initialiser.identity([2, 2])), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(values(&initialiser.identity([2, 3])), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(values(&initialiser.constant([1, 3], 2.5)), [2.5; 3]);
    }
}
