//! What a process asks of the machine: a CPU of its own, descriptors, and what it has used. Not a measurement.

use std::io;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;

/// CPU time and memory of this process so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Seconds in user mode.
    pub cpu_user: f64,
    /// Seconds in the kernel.
    pub cpu_sys: f64,
    /// Resident KB now; `None` where `/proc` does not say.
    pub rss_kb: Option<u64>,
    /// Greatest resident KB so far. Not `ru_maxrss`: that keeps the size of the process this one was forked from.
    pub maxrss_kb: Option<u64>,
}

/// Keeps this process on one CPU.
///
/// # Errors
/// The operator's: there is no such CPU, or it is not ours.
pub fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Raises the limit of open files to the hard one and returns it.
///
/// # Errors
/// As the kernel says; none is expected.
pub fn raise_files() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// What this process has used.
///
/// # Errors
/// As the kernel says; none is expected.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a run fit in 52 bits")]
pub fn usage() -> io::Result<Usage> {
    let used = getrusage(UsageWho::RUSAGE_SELF)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    Ok(Usage {
        cpu_user: used.user_time().num_microseconds() as f64 / 1e6,
        cpu_sys: used.system_time().num_microseconds() as f64 / 1e6,
        rss_kb: kilobytes(&status, "VmRSS:"),
        maxrss_kb: kilobytes(&status, "VmHWM:"),
    })
}

fn kilobytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_peak_at_least_its_size() {
        let used = usage().ok();
        let (now, peak) = (used.and_then(|u| u.rss_kb), used.and_then(|u| u.maxrss_kb));
        assert!(now.is_some_and(|now| now > 0) && peak.is_some_and(|peak| peak > 0));
    }
}
