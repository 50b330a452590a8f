//! What the system tells about this process and about the machine it shares.
//!
//! Linux tells it in `/proc`; elsewhere it is unknown, and said to be.

use std::fs;
use std::path::Path;

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

/// Processor time of this process, in seconds, to the nanosecond; none where `/proc` does not tell.
///
/// Threads that have ended are not counted, so it is meant for processes whose threads stay.
#[must_use]
pub fn processor_seconds() -> Option<f64> {
    let mut nanoseconds = 0_u64;
    for thread in fs::read_dir("/proc/self/task").ok()? {
        // A thread may end between the listing and the reading.
        let Some(of_thread) = thread_nanoseconds(&thread.ok()?.path()) else { continue };
        nanoseconds += of_thread;
    }
    Some(nanoseconds as f64 * 1e-9)
}

/// Processor time of one thread, from the first field of its `schedstat`.
fn thread_nanoseconds(folder: &Path) -> Option<u64> {
    fs::read_to_string(folder.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
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
    #[cfg(target_os = "linux")]
    fn a_thread_never_loses_time_and_the_process_has_at_least_as_much() {
        // The sum over all threads may fall here, where other tests end theirs; this thread stays.
        let this_thread = || thread_nanoseconds(Path::new("/proc/thread-self")).unwrap();
        let mut before = this_thread();
        for _ in 0..1000 {
            let after = this_thread();
            assert!(after >= before, "{after} after {before}");
            let process = processor_seconds().unwrap();
            assert!(process >= after as f64 * 1e-9, "{process} s in all, {after} ns here");
            before = after;
        }
        assert!(before > 0);
    }
}
