//! Time: the monotonic clock, this process's CPU clock, and an alarm that wakes a poll. Not a scheduler.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};

/// One second in the unit of this module.
pub const SECOND: u64 = 1_000_000_000;

/// Nanoseconds of `CLOCK_MONOTONIC`: one clock for all processes of a machine, so a server may compare as well.
#[must_use]
pub fn now() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Nanoseconds of user and system time this process has used.
#[must_use]
pub fn cpu() -> u64 {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// Seconds as nanoseconds; negative and NaN become 0.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float casts saturate")]
pub fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// A `timerfd` in the poll. The timeout of `epoll_wait` counts whole milliseconds, which is coarser than the gaps
/// between messages in the smooth scenarios; spinning instead would falsify the client's own utilisation.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    at: u64,
}

impl Alarm {
    /// A timer registered under `token`.
    ///
    /// # Errors
    /// The operator's: no descriptors left.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer = TimerFd::new(TimerClock::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { timer, at: 0 })
    }

    /// Wakes the poll at `at` nanoseconds of [`now`], or at once when that has passed.
    ///
    /// # Errors
    /// As the kernel says; none is expected.
    pub fn set(&mut self, at: u64) -> io::Result<()> {
        // An instant that has fired must be set again, one that is still ahead need not.
        if at == self.at && at > now() {
            return Ok(());
        }
        self.at = at;
        let spec = TimeSpec::from_duration(std::time::Duration::from_nanos(at.max(1)));
        self.timer.set(Expiration::OneShot(spec), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        Ok(())
    }
}

#[expect(clippy::cast_sign_loss, reason = "neither clock is ever negative")]
fn read(id: ClockId) -> u64 {
    // These clocks always exist on Linux; 0 would show at once as an absurd latency.
    clock_gettime(id).map_or(0, |t| t.tv_sec() as u64 * SECOND + t.tv_nsec() as u64)
}
