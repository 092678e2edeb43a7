//! Counters and latency histograms. One thread writes each; any thread may read it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::limit::LIMITS;
use crate::stats::rules::RuleTable;
use crate::wire::table::skipped_reason;

/// A counter that one thread changes, by a plain add without a locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owner's thread may call it.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.value().wrapping_add(n), Relaxed);
    }

    /// Sets the value. Only the owner's thread may call it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Returns the value.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The counters of one shard.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections now.
    pub connections: Counter,
    /// Bytes handed to the kernel (or to the TLS layer).
    pub bytes: Counter,
    /// Messages of clients, refused ones included.
    pub received: Counter,
    /// Bytes read from links.
    pub received_bytes: Counter,
    /// Write calls.
    pub writes: Counter,
    /// Write calls that could not take everything.
    pub blocked: Counter,
    /// Connections now for which something waits for a window.
    pub held: Counter,
    /// Pings sent.
    pub pings: Counter,
    /// Connections closed because their queue was full.
    pub slow: Counter,
    /// Connections ended because no pong came.
    pub unanswered: Counter,
    /// How often clients exceeded a limit, in the order of [`LIMITS`].
    pub limits: [Counter; LIMITS.len()],
    /// Messages delivered and dropped, by the rules of their rooms.
    pub rules: RuleTable,
}

impl Stats {
    /// Returns how many messages were handed over completely.
    pub fn delivered(&self) -> u64 {
        self.rules.iter().map(|rule| rule.delivered.value()).sum()
    }

    /// Returns how many messages were dropped for a reason.
    pub fn drops(&self, reason: Drop) -> u64 {
        self.rules.iter().map(|rule| rule.drops[reason as usize].value()).sum()
    }
}

/// Why a message did not reach a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Drop {
    /// A newer message with the same key replaced it.
    Replaced,
    /// The oldest waiting message was dropped for a newer one.
    Oldest,
    /// There was no space for the new message.
    Newest,
    /// The whole engine was over its budget.
    Budget,
    /// The connection ended first.
    Closed,
    /// It was not for this member, by its attributes or its filter.
    Filtered,
    /// A newer message replaced it while it waited for a rate that the member has asked for.
    Rate,
}

/// All reasons with their names, in the order of their numbers.
pub const DROPS: [(Drop, &str); 7] = [
    (Drop::Replaced, skipped_reason::REPLACED),
    (Drop::Oldest, skipped_reason::OLDEST),
    (Drop::Newest, skipped_reason::NEWEST),
    (Drop::Budget, skipped_reason::BUDGET),
    (Drop::Closed, "closed"),
    (Drop::Filtered, "filtered"),
    (Drop::Rate, "rate"),
];

/// Counts durations by powers of two of microseconds, and their sum.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Histogram {
    sum_us: Counter,
    counts: [Counter; BUCKETS],
}

impl Histogram {
    /// Counts `count` equal durations in microseconds. Only the owner's thread may call it.
    #[inline]
    pub fn record(&self, us: u64, count: u64) {
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        self.counts[bucket.min(BUCKETS - 1)].add(count);
        self.sum_us.add(us.wrapping_mul(count));
    }

    /// Returns pairs of an exclusive upper bound in microseconds, and the count between it and the bound before.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().enumerate().map(|(bucket, count)| (1 << bucket, count.value()))
    }

    /// Returns the sum of all durations in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.value()
    }
}

/// The number of buckets; the last one takes everything from half a minute on.
const BUCKETS: usize = 26;

pub mod rules;
pub mod spread;
pub mod trace;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_powers_of_two() {
        let histogram = Histogram::default();
        for us in [0, 1, 2, 3, 4, 1000] {
            histogram.record(us, 1);
        }
        assert_eq!(histogram.sum_us(), 1010);
        histogram.record(u64::MAX, 1);
        let counts: Vec<_> = histogram.buckets().filter(|&(_, count)| count > 0).collect();
        assert_eq!(counts, [(1, 1), (2, 1), (4, 2), (8, 1), (1024, 1), (1 << 25, 1)]);
    }

    #[test]
    fn drops_stand_in_the_order_of_their_numbers() {
        for (place, (reason, _)) in DROPS.iter().enumerate() {
            assert_eq!(*reason as usize, place);
        }
    }
}
