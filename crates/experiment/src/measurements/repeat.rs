//! Whether a timed repeat had the machine to itself (PROTOCOL: timing).

use crate::machine::{Load, Machine};

/// Processor time over wall time that a clean repeat has at least; a cell computes on one thread.
const OWN_SHARE: f64 = 0.95;
/// Fraction of the machine that others use at most in a clean repeat.
const OTHERS_SHARE: f64 = 0.05;
/// The load of the machine is counted in ticks of 0.01 s; two of them are not held against a repeat.
const TICKS_SECONDS: f64 = 0.02;

/// What the clocks showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) wall: f64,
    pub(super) processor: f64,
    pub(super) load: Option<Load>,
}

impl Reading {
    pub(super) fn of(machine: &dyn Machine) -> Self {
        Self { wall: machine.wall_seconds(), processor: machine.processor_seconds(), load: machine.load() }
    }
}

/// What the machine did during a repeat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeat {
    wall: f64,
    processor: f64,
    load: Option<Load>,
}

impl Repeat {
    pub(super) fn between(first: Reading, last: Reading) -> Self {
        let load = first.load.zip(last.load).map(|(first, last)| Load {
            busy_seconds: last.busy_seconds - first.busy_seconds,
            idle_seconds: last.idle_seconds - first.idle_seconds,
        });
        Self { wall: last.wall - first.wall, processor: last.processor - first.processor, load }
    }

    /// Why the repeat does not count, if it does not. Where the load is unknown, it is not held against it.
    pub(super) fn unclean(&self) -> Option<String> {
        if self.processor < OWN_SHARE * self.wall {
            return Some(format!(
                "the process ran for {:.0}% of the time",
                100.0 * self.processor / self.wall
            ));
        }
        let Some(load) = self.load else {
            tracing::info!(
                "the load of the machine is unknown, so a disturbed repeat cannot be told from a clean one"
            );
            return None;
        };
        let others = load.busy_seconds - self.processor;
        let whole = load.busy_seconds + load.idle_seconds;
        (others > OTHERS_SHARE * whole + TICKS_SECONDS)
            .then(|| format!("others used {:.0}% of the machine", 100.0 * others / whole))
    }
}

/// The middle of the values, or the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { values[middle - 1].midpoint(values[middle]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbed_repeat_is_told_from_a_clean_one() {
        // Two processors for 10 s: the machine could work for 20 s.
        let repeat = |processor: f64, busy: f64| Repeat {
            wall: 10.0,
            processor,
            load: Some(Load { busy_seconds: busy, idle_seconds: 20.0 - busy }),
        };
        assert_eq!(repeat(9.6, 10.5).unclean(), None);
        assert_eq!(repeat(9.4, 9.4).unclean().unwrap(), "the process ran for 94% of the time");
        assert_eq!(repeat(10.0, 12.0).unclean().unwrap(), "others used 10% of the machine");
        assert_eq!(Repeat { load: None, ..repeat(10.0, 0.0) }.unclean(), None);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
