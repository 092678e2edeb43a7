//! An outage: a time in which the system has no descriptors or memory for more connections. The log gets one line when
//! it begins and one when it is over, and not one for each failure: a descriptor that comes free is mostly taken at
//! once, and the next connection fails again. Pure: the clock is an argument.

use std::io;

/// The present outage, if there is one.
#[derive(Debug, Default)]
pub struct Outage(Option<Span>);

#[derive(Debug)]
struct Span {
    begun_us: u64,
    /// When a connection last could not be accepted.
    last_us: u64,
}

impl Outage {
    /// Notes that a connection could not be accepted. Returns a line for the log if this begins an outage.
    pub(super) fn failed(&mut self, error: &io::Error, now_us: u64) -> Option<String> {
        if let Outage(Some(span)) = self {
            span.last_us = now_us;
            return None;
        }
        self.0 = Some(Span { begun_us: now_us, last_us: now_us });
        Some(format!("cannot accept connections, retrying every second: {error}"))
    }

    /// Returns a line for the log if the outage is over.
    pub(super) fn ended(&mut self, now_us: u64) -> Option<String> {
        let span = self.0.take_if(|span| now_us >= span.last_us + QUIET_US)?;
        let seconds = (span.last_us - span.begun_us) / 1_000_000;
        Some(format!("connections are accepted again, after {seconds} s in which some had to wait"))
    }

    /// Returns when to call [`Self::ended`] again.
    pub(super) fn due_us(&self) -> Option<u64> {
        self.0.as_ref().map(|span| span.last_us + QUIET_US)
    }
}

/// Microseconds without a failure after which an outage is over. While it lasts, there is a try every second.
const QUIET_US: u64 = 5_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn it_is_told_once_and_once_that_it_is_over() {
        let mut outage = Outage::default();
        assert_eq!((outage.ended(0), outage.due_us()), (None, None));
        for _ in 0..2 {
            let error = io::Error::from_raw_os_error(libc::EMFILE);
            let told = outage.failed(&error, SECOND).unwrap_or_default();
            assert!(told.contains("cannot accept connections") && told.contains("open files"), "{told}");
            // Failures go on, with pauses that are too short to end the outage.
            for second in 2..100 {
                assert_eq!(outage.failed(&error, second * SECOND), None);
                assert_eq!(outage.ended(second * SECOND + SECOND / 2), None);
            }
            assert_eq!(outage.due_us(), Some(104 * SECOND));
            assert_eq!(outage.ended(104 * SECOND - 1), None);
            let told = outage.ended(104 * SECOND).unwrap_or_default();
            assert!(told.contains("accepted again, after 98 s"), "{told}");
            assert_eq!((outage.ended(200 * SECOND), outage.due_us()), (None, None));
        }
    }
}
