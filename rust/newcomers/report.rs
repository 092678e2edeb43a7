//! What became of newcomers: counts for the operator, and lines for the log. The lines have a rate, so that peers
//! cannot fill the log.

use std::collections::BTreeMap;
use std::mem;

use crate::admission::token_bucket::{Rate, TokenBucket};
use crate::limit::{LIMITS, Limit};
use crate::queues::command::Event;
use crate::wire::refusal::Refusal;

/// The counts of newcomers by status and limit, and the rate of log lines.
#[derive(Debug)]
pub struct HandshakeReport {
    statuses: BTreeMap<u16, u64>,
    limits: [u64; LIMITS.len()],
    rate: Rate,
    bucket: TokenBucket,
    suppressed: u64,
}

impl Default for HandshakeReport {
    fn default() -> Self {
        Self {
            statuses: BTreeMap::new(),
            limits: [0; LIMITS.len()],
            rate: Rate::new(LINES_PER_SECOND, LINES),
            bucket: TokenBucket::default(),
            suppressed: 0,
        }
    }
}

impl HandshakeReport {
    /// Returns how many requests were answered with each status. 101 stands for accepted ones.
    pub fn statuses(&self) -> &BTreeMap<u16, u64> {
        &self.statuses
    }

    /// Returns how often each limit was passed, in the order of [`LIMITS`].
    pub fn limits(&self) -> &[u64; LIMITS.len()] {
        &self.limits
    }

    pub(super) fn accepted(&mut self) {
        *self.statuses.entry(101).or_default() += 1;
    }

    pub(super) fn passed(&mut self, limits: impl IntoIterator<Item = Limit>) {
        for limit in limits {
            self.limits[limit as usize] += 1;
        }
    }

    /// Counts a refusal. Returns an event for the log, unless there were too many.
    pub(super) fn refused(&mut self, remote: String, refusal: &Refusal, now_us: u64) -> Option<Event> {
        let Refusal { status, reason, limit, .. } = refusal;
        *self.statuses.entry(*status).or_default() += 1;
        self.passed(*limit);
        if self.bucket.take(self.rate, now_us as f64).is_err() {
            self.suppressed += 1;
            return None;
        }
        let suppressed = mem::take(&mut self.suppressed);
        Some(Event::TurnedAway { remote, status: *status, reason: reason.clone(), suppressed })
    }
}

/// Log lines at once, and then in each second.
const LINES: f64 = 50.0;
const LINES_PER_SECOND: f64 = 1.0;
