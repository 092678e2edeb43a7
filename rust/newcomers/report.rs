//! What became of newcomers: counts for the operator, and lines for the log. The lines have a rate, so that peers
//! cannot fill the log.

use std::collections::BTreeMap;
use std::mem;

use crate::admission::token_bucket::{Rate, TokenBucket};
use crate::limit::{LIMITS, Limit};
use crate::queues::command::Event;
use crate::stats::Histogram;
use crate::wire::refusal::{About, Refusal};

/// The counts of newcomers by status and limit, and the rate of log lines.
#[derive(Debug)]
pub struct HandshakeReport {
    statuses: BTreeMap<u16, u64>,
    limits: [u64; LIMITS.len()],
    tls: TlsHandshakes,
    durations: Histogram,
    rate: Rate,
    bucket: TokenBucket,
    suppressed: u64,
}

/// How many TLS handshakes ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TlsHandshakes {
    /// With certificates.
    pub full: u64,
    /// With a ticket.
    pub resumed: u64,
    /// Without a session.
    pub failed: u64,
}

impl Default for HandshakeReport {
    fn default() -> Self {
        Self {
            statuses: BTreeMap::new(),
            limits: [0; LIMITS.len()],
            tls: TlsHandshakes::default(),
            durations: Histogram::default(),
            rate: Rate::new(LINES_PER_SECOND, LINES),
            bucket: TokenBucket::default(),
            suppressed: 0,
        }
    }
}

impl HandshakeReport {
    /// Returns how many requests were answered with each status. 101 stands for accepted upgrades, 200 for accepted
    /// requests for a fallback transport.
    pub fn statuses(&self) -> &BTreeMap<u16, u64> {
        &self.statuses
    }

    /// Returns how often each limit was passed, in the order of [`LIMITS`].
    pub fn limits(&self) -> &[u64; LIMITS.len()] {
        &self.limits
    }

    /// Returns how many TLS handshakes ended how.
    pub fn tls(&self) -> TlsHandshakes {
        self.tls
    }

    /// Returns how long the host took to answer requests, from a complete request to its answer.
    pub fn durations(&self) -> &Histogram {
        &self.durations
    }

    pub(super) fn answered(&mut self, us: u64) {
        self.durations.record(us, 1);
    }

    pub(super) fn accepted(&mut self, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
    }

    pub(super) fn passed(&mut self, limits: impl IntoIterator<Item = Limit>) {
        for limit in limits {
            self.limits[limit as usize] += 1;
        }
    }

    /// Counts a refusal. Returns an event for the log, unless there were too many.
    pub(super) fn refused(&mut self, remote: String, refusal: &Refusal, now_us: u64) -> Option<Event> {
        let Refusal { status, reason, limit, asked, .. } = refusal;
        *self.statuses.entry(*status).or_default() += 1;
        self.passed(*limit);
        self.line(remote, *status, reason, asked, now_us)
    }

    pub(super) fn secured(&mut self, is_resumed: bool) {
        let count = if is_resumed { &mut self.tls.resumed } else { &mut self.tls.full };
        *count += 1;
    }

    pub(super) fn no_tls(&mut self) {
        self.tls.failed += 1;
    }

    /// Counts a failed TLS handshake. Returns an event for the log, unless there were too many.
    pub(super) fn insecure(&mut self, remote: String, reason: &str, now_us: u64) -> Option<Event> {
        self.no_tls();
        let who = if remote.is_empty() { "a peer" } else { &remote };
        let reason = format!("the TLS handshake with {who} failed: {reason}");
        self.line(remote, 0, &reason, &About::default(), now_us)
    }

    fn line(&mut self, remote: String, status: u16, reason: &str, asked: &About, now_us: u64) -> Option<Event> {
        if self.bucket.take(self.rate, now_us as f64).is_err() {
            self.suppressed += 1;
            return None;
        }
        let suppressed = mem::take(&mut self.suppressed);
        Some(Event::TurnedAway { remote, status, reason: reason.to_owned().into(), suppressed, asked: asked.clone() })
    }
}

/// Log lines at once, and then in each second.
const LINES: f64 = 50.0;
const LINES_PER_SECOND: f64 = 1.0;
