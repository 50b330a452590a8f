//! Fused sequence operations for the processor, each one burn operation with a hand-written backward pass.
//!
//! - [`recurrent`]: a whole recurrent sequence (simple, LSTM, GRU) in one operation.
//! - [`attention`]: tiled attention that never stores the `time x time` score matrix.
//! - [`additive_scores`]: the scores of additive attention.
//! - [`convolution`]: a causal convolution over time with its rectifier.
//! - [`layer_norm`]: layer normalisation.
//! - [`linear`]: a linear map with its bias and, if wanted, the rectifier.
//! - [`cross_entropy`]: the loss of a classifier, softmax included.
//! - [`adam`]: one update of the optimiser.
//! - [`rows`]: rows of a table by their numbers, as in an embedding.
//! - [`scan`]: a linear recurrence in rounds.
//! - [`cost`]: multiply-adds and bytes, counted while operations run.
//! - [`float_mode`]: the one scoped guard that flushes denormal numbers to zero.
//! - [`instruction_set`]: which vector instructions the fused implementations use.
//!
//! On the `flex` device the fused implementation runs; on every other device the same function is composed
//! of ordinary burn operations, and the tests hold the two against each other.

pub mod adam;
pub mod additive_scores;
pub mod attention;
pub mod convolution;
pub mod cost;
pub mod cross_entropy;
mod device;
mod flex;
pub mod float_mode;
pub mod instruction_set;
pub mod layer_norm;
pub mod linear;
pub mod recurrent;
pub mod rows;
pub mod scan;
mod vector;
