//! The only clock. Libraries see it as a [`Stopwatch`] and a [`Machine`].

use std::time::Instant;

use experiment::{Machine, machine};
use sequence::Stopwatch;

/// A clock that starts when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Stopwatch for Clock {
    fn wall_seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// Where the system does not tell, wall time stands for it: workers have one thread each.
    fn processor_seconds(&self) -> f64 {
        machine::processor_seconds().unwrap_or_else(|| self.wall_seconds())
    }
}

impl Machine for Clock {}
