//! How much memory training needs, for the scheduler.

use crate::predictor::EVALUATION_POSITIONS;

/// Bytes that training a body of `parameters` needs at most, the process itself included, when an update holds
/// `training` padded positions and validation `validation` of them.
///
/// A dense body of p parameters has some sqrt(p) values a position in each of its steps: measured on the registered
/// networks at 30,000 parameters, training keeps about 6 sqrt(p) values a position for the backward pass, and one
/// forward pass holds 4 sqrt(p) at once. The estimate is twice that. Each parameter has a value, a gradient, two
/// moments, a best copy and their temporaries.
#[must_use]
pub fn peak_bytes(parameters: usize, training: usize, validation: usize) -> u64 {
    const PROCESS: f64 = 32e6;
    let evaluation = validation.min(EVALUATION_POSITIONS).max(training);
    let values = (parameters as f64).sqrt() * (12 * training + 8 * evaluation) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive estimate, rounded down"
    )]
    let bytes = (PROCESS + 4.0 * (values + 10.0 * parameters as f64)) as u64;
    bytes
}
