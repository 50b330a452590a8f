//! One gradient loop for every network.
//!
//! - [`Body`] and [`Network`] are what a model implements; [`SequenceNetwork`] is the standard network around a
//!   body, with the embedding and read-out that all arms of an experiment share.
//! - [`fit`](fn@fit) trains a network by [`TrainingConfig`]; [`NetworkPredictor`] is the result.
//! - [`Initialiser`] draws every initial value from the run's seed, and [`device`](fn@device) names the devices.
//!
//! The trainer knows no task: it sees batches, a loss kind and a mask.

mod config;
mod cost;
mod devices;
mod explanation;
mod fit;
mod initialiser;
mod libtorch;
mod loss;
mod memory;
mod network;
mod optimisation;
mod predictor;
mod probe;

#[cfg(test)]
mod test_support;

pub use config::{Optimiser, TrainingConfig};
pub use devices::device;
pub use explanation::Rewrite;
pub use fit::{fit, fit_keeping};
pub use initialiser::{Initialiser, LAYER_NORM_EPSILON, orthogonal};
pub use memory::peak_bytes;
pub use network::{Body, BodyContext, Memory, Network, Positions, SequenceNetwork, mapped};
pub use predictor::NetworkPredictor;

/// Why training could not start. Divergence is not an error but an outcome.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// There is no device of that name.
    #[error("unknown device `{name}`; known devices: {known}")]
    UnknownDevice {
        /// Requested name.
        name: String,
        /// Names that [`device`](fn@device) accepts.
        known: String,
    },
    /// The device is not compiled in, or not on this machine.
    #[error("device `{name}` {reason}")]
    MissingDevice {
        /// Requested name.
        name: String,
        /// What it needs.
        reason: &'static str,
    },
    /// A training setting has a value that makes no sense.
    #[error("training setting `{key}` = {value}: {reason}")]
    Setting {
        /// Name of the setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        reason: &'static str,
    },
}
