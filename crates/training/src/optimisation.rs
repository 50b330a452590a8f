//! One update: global norm clipping and the update rule.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{
    AdamConfig, AdaptiveMomentumState, GradientsParams, LearningRate, ModuleOptimizer, Optimizer, SgdConfig,
};
use burn::tensor::{Device, Tensor};
use kernels::adam::{AdamUpdate, adam};

use crate::{Optimiser, TrainingConfig};

/// The update rule of `config`, with empty moments.
pub(crate) fn optimiser(config: &TrainingConfig) -> ModuleOptimizer {
    #[expect(clippy::cast_possible_truncation, reason = "burn keeps the strength in single precision")]
    let decay = config.weight_decay as f32;
    match config.optimiser {
        Optimiser::Adam => AdamConfig::new()
            .with_epsilon(1e-8)
            .with_weight_decay((decay > 0.0).then(|| WeightDecayConfig::new(decay)))
            .init(),
        Optimiser::Sgd => {
            SgdConfig::new().with_weight_decay((decay > 0.0).then(|| WeightDecayConfig::new(decay))).init()
        }
        Optimiser::AdamW => ModuleOptimizer::from(AdamW { decay }),
    }
}

/// burn's `AdamW`, to the last bit, with each parameter's update in one operation.
#[derive(Clone)]
struct AdamW {
    decay: f32,
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdaptiveMomentumState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let state = state
            .unwrap_or_else(|| AdaptiveMomentumState::new(0, gradient.zeros_like(), gradient.zeros_like()));
        let time = state.time + 1;
        #[expect(
            clippy::cast_possible_wrap,
            clippy::cast_possible_truncation,
            reason = "updates are far fewer"
        )]
        let update =
            AdamUpdate { rate, decay: self.decay, betas: [0.9, 0.999], epsilon: 1e-8, time: time as i32 };
        let (parameter, [first, second]) =
            adam(parameter, gradient, [state.moment_1, state.moment_2], update);
        (parameter, Some(AdaptiveMomentumState::new(time, first, second)))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.to_device(device)
    }
}

/// Scales all gradients so that their common Euclidean norm is at most `limit` (Pascanu, Mikolov and Bengio 2013), and
/// returns the norm before. burn's own clipping treats each tensor alone.
pub(crate) fn clip_global_norm<M: Module>(module: &M, gradients: &mut GradientsParams, limit: f64) -> f64 {
    let mut squares = SumOfSquares { gradients, sum: 0.0 };
    module.visit(&mut squares);
    let norm = squares.sum.sqrt();
    if norm > limit && norm.is_finite() {
        module.visit(&mut Scale { gradients, factor: limit / norm });
    }
    norm
}

struct SumOfSquares<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(parameter.id) else { return };
        let data = gradient.into_data();
        let values = data.as_slice::<f32>().expect("gradients are single precision");
        self.sum += values.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>();
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(parameter.id) else { return };
        self.gradients.register(parameter.id, gradient.mul_scalar(self.factor));
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::optim::AdamWConfig;

    use super::*;

    #[derive(Module, Debug)]
    struct TwoVectors {
        first: Param<Tensor<1>>,
        second: Param<Tensor<1>>,
    }

    fn vectors(first: [f32; 2], second: [f32; 2]) -> TwoVectors {
        let device = Device::flex().autodiff();
        TwoVectors { first: Param::from_data(first, &device), second: Param::from_data(second, &device) }
    }

    fn gradients(module: &TwoVectors, first: [f32; 2], second: [f32; 2]) -> GradientsParams {
        let device = Device::flex();
        let mut gradients = GradientsParams::new();
        gradients.register(module.first.id, Tensor::<1>::from_data(first, &device));
        gradients.register(module.second.id, Tensor::<1>::from_data(second, &device));
        gradients
    }

    fn values(tensor: Tensor<1>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn the_norm_is_taken_over_all_tensors_together() {
        let module = vectors([0.0; 2], [0.0; 2]);
        let clipped = |limit| {
            let mut gradients = gradients(&module, [3.0, 0.0], [0.0, -4.0]);
            let norm = clip_global_norm(&module, &mut gradients, limit);
            let first = values(gradients.get(module.first.id).unwrap());
            (norm, first, values(gradients.get(module.second.id).unwrap()))
        };
        // By hand: the norm is 5, so a limit of 1 divides by 5; per tensor it would give 1 and -1.
        let (norm, first, second) = clipped(1.0);
        assert_eq!(norm, 5.0);
        assert!((first[0] - 0.6).abs() < 1e-7 && (second[1] + 0.8).abs() < 1e-7, "{first:?} {second:?}");
        assert_eq!(clipped(5.0), (5.0, vec![3.0, 0.0], vec![0.0, -4.0]));
    }

    #[test]
    fn adam_takes_the_steps_of_burns_own() {
        for decay in [0.0, 0.1] {
            let config = TrainingConfig {
                optimiser: Optimiser::AdamW,
                weight_decay: decay,
                ..TrainingConfig::default()
            };
            #[expect(clippy::cast_possible_truncation, reason = "as in `optimiser`")]
            let theirs = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(decay as f32).init();
            let [ours, theirs] = [optimiser(&config), theirs].map(|mut optimiser| {
                let mut module = vectors([1.0, -0.3], [2.0, 1e-4]);
                for step in 1..=20_u8 {
                    let slope = (f32::from(step) * 0.7).sin();
                    let gradients = gradients(&module, [slope, 1e-5 * slope], [-0.2, slope * slope]);
                    module = optimiser.step(0.01, module, gradients);
                }
                [values(module.first.val()), values(module.second.val())].concat()
            });
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_gives_a_norm_that_is_not() {
        let module = vectors([0.0; 2], [0.0; 2]);
        let mut gradients = gradients(&module, [f32::NAN, 0.0], [1.0, 1.0]);
        assert!(clip_global_norm(&module, &mut gradients, 1.0).is_nan());
    }

    #[test]
    fn the_first_step_has_the_size_of_the_rate() {
        // By hand: after one step the corrected moments are g and g^2, so Adam moves by -rate g / (|g| + 1e-8).
        let step = |kind, decay| {
            let module = vectors([1.0, 1.0], [2.0, -2.0]);
            let gradients = gradients(&module, [0.5, -0.5], [0.25, 0.0]);
            let config = TrainingConfig { optimiser: kind, weight_decay: decay, ..TrainingConfig::default() };
            let module = optimiser(&config).step(0.1, module, gradients);
            [values(module.first.val()), values(module.second.val())].concat()
        };
        let close =
            |values: &[f32], by_hand: [f32; 4]| values.iter().zip(by_hand).all(|(a, b)| (a - b).abs() < 1e-5);
        for kind in [Optimiser::Adam, Optimiser::AdamW] {
            assert!(close(&step(kind, 0.0), [0.9, 1.1, 1.9, -2.0]));
        }
        // Apart from the gradient, decay 0.5 shrinks by 0.1 * 0.5 first; inside it, it turns the last gradient to -1.
        assert!(close(&step(Optimiser::AdamW, 0.5), [0.85, 1.05, 1.8, -1.9]));
        assert!(close(&step(Optimiser::Adam, 0.5), [0.9, 1.0, 1.9, -1.9]));
    }
}
