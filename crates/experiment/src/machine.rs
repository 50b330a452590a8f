//! What the system tells about this process and about the machine it shares.
//!
//! Memory and load Linux tells in `/proc`; elsewhere they are unknown, and said to be.

use std::fs;

use sequence::Stopwatch;

/// A clock that also knows memory and the load of the machine. The binary implements it; the defaults read `/proc`.
pub trait Machine: Stopwatch + Send + Sync {
    /// Largest resident memory of this process so far, in bytes; 0 where unknown.
    fn peak_bytes(&self) -> u64 {
        fs::read_to_string("/proc/self/status").ok().and_then(|text| parse_peak_bytes(&text)).unwrap_or(0)
    }

    /// How long all processors together have worked and rested; none where unknown.
    fn load(&self) -> Option<Load> {
        fs::read_to_string("/proc/stat").ok().and_then(|text| parse_load(&text))
    }
}

/// Processor time of the whole machine since it started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Seconds of work, all processes together.
    pub busy_seconds: f64,
    /// Seconds of rest.
    pub idle_seconds: f64,
}

/// Processor time of this process, in seconds, threads that have ended included; none where the system has no such clock.
#[must_use]
pub fn processor_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Some(time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64)
    }
    #[cfg(not(unix))]
    None
}

/// `VmHWM` of `/proc/self/status`, which is in KiB.
fn parse_peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, in ticks of 1/100 s.
fn parse_load(stat: &str) -> Option<Load> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let &[user, nice, system, idle, waiting, interrupts, soft_interrupts, stolen, ..] = ticks.as_slice()
    else {
        return None;
    };
    Some(Load {
        busy_seconds: (user + nice + system + interrupts + soft_interrupts + stolen) / 100.0,
        idle_seconds: (idle + waiting) / 100.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_linux_are_read() {
        let status = "Name:\tseqlab\nVmPeak:\t  99 kB\nVmHWM:\t  2048 kB\n";
        assert_eq!(parse_peak_bytes(status), Some(2 * 1024 * 1024));
        // proc(5): user nice system idle iowait irq softirq steal guest guest_nice.
        let load = parse_load("cpu  100 20 30 4000 50 1 2 7 0 0\ncpu0 1 2 3\n").unwrap();
        assert_eq!(load, Load { busy_seconds: 1.6, idle_seconds: 40.5 });
        assert_eq!(parse_load("cpu0 1 2 3"), None);
        assert_eq!(parse_peak_bytes("Name:\tseqlab\n"), None);
    }

    #[test]
    #[cfg(unix)]
    fn the_process_never_loses_time_and_work_takes_some() {
        let start = processor_seconds().unwrap();
        let mut before = start;
        // Threads end while it is read, which must not take their time back.
        while before < start + 0.02 {
            std::thread::spawn(|| std::hint::black_box((0..100_000).sum::<u64>())).join().unwrap();
            let after = processor_seconds().unwrap();
            assert!(after >= before, "{after} s after {before} s");
            before = after;
        }
    }
}
