//! What a body costs: a pass over whole sequences, and reading them one position after the other.

use burn::module::{ModuleMapper, Param};
use burn::tensor::Tensor;
use kernels::cost::{multiply_adds, peak_bytes, waits};
use kernels::float_mode::FlushToZero;
use sequence::{Pass, PassCost, PositionCost, Stepwise, Stopwatch};

use crate::{Body, BodyContext, Memory};

/// A forward pass over `inputs` `[batch, time, width]`, and the backward pass to parameters and inputs.
pub(crate) fn pass<B: Body>(
    body: &B,
    inputs: Tensor<3>,
    pass: Pass,
    lengths: &[usize],
    stopwatch: &dyn Stopwatch,
) -> Option<PassCost> {
    let body = body.valid().map(&mut Track);
    let inputs = inputs.inner().autodiff().require_grad();
    let context = BodyContext::evaluation(lengths);
    let _flush = FlushToZero::new();
    let clock = || stopwatch.processor_seconds();
    let start = clock();
    let (passed, peak_bytes) = peak_bytes(|| {
        let ((outputs, multiply_adds), waits) = waits(|| {
            multiply_adds(|| match pass {
                Pass::Body => Some(body.forward(inputs, &context)),
                Pass::Mixing => body.mix(inputs),
            })
        });
        let outputs = outputs?;
        let forward_seconds = clock() - start;
        // Not a plain sum, whose gradient is one number repeated without memory of its own.
        drop((outputs.clone() * outputs).sum().backward());
        Some((multiply_adds, waits, forward_seconds))
    });
    let (multiply_adds, waits, forward_seconds) = passed?;
    Some(PassCost { multiply_adds, waits, peak_bytes, forward_seconds, seconds: clock() - start })
}

/// Reads sequences position by position, and holds the outputs against those of one pass.
pub(crate) fn steps<B: Body>(
    body: &B,
    inputs: Tensor<3>,
    lengths: &[usize],
    stopwatch: &dyn Stopwatch,
) -> Option<Stepwise> {
    let body = body.valid();
    let inputs = inputs.inner();
    let [_, time, _] = inputs.dims();
    let mut memory = Memory::default();
    let (mut outputs, mut positions) = (Vec::with_capacity(time), Vec::with_capacity(time));
    for position in 0..time {
        let input = inputs.clone().narrow(1, position, 1);
        let start = stopwatch.processor_seconds();
        let (output, multiply_adds) = multiply_adds(|| body.step(input, &mut memory));
        let seconds = stopwatch.processor_seconds() - start;
        outputs.push(output?);
        positions.push(PositionCost { multiply_adds, memory_bytes: memory.bytes(), seconds });
    }
    let at_once = body.forward(inputs, &BodyContext::evaluation(lengths));
    let largest_difference = (Tensor::cat(outputs, 1) - at_once).abs().max().into_scalar::<f32>();
    Some(Stepwise { positions, largest_difference: f64::from(largest_difference) })
}

/// Lets gradients reach the parameters.
struct Track;

impl ModuleMapper for Track {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        parameter.map(|value| value.autodiff().require_grad())
    }
}
