//! Counters and a latency histogram. Each is written by one thread and may be read by any.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::limit::LIMITS;
use crate::outbox::Drop;
use crate::wire::table::skipped_reason;

/// A count that only its owner's thread changes: a plain add, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; only the owner's thread may call it.
    pub fn add(&self, n: u64) {
        self.0.store(self.value().wrapping_add(n), Relaxed);
    }

    /// Sets the value; only the owner's thread may call it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one shard has done since it started.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections now.
    pub connections: Counter,
    /// Messages handed to the kernel (or to the TLS layer) completely.
    pub delivered: Counter,
    /// Bytes handed over.
    pub bytes: Counter,
    /// Write calls.
    pub writes: Counter,
    /// Write calls that could not take everything.
    pub blocked: Counter,
    /// Connections now for which something waits for a window.
    pub held: Counter,
    /// Pings sent.
    pub pings: Counter,
    /// Connections closed for being slower than their queue allows.
    pub slow: Counter,
    /// Connections ended because no pong came.
    pub unanswered: Counter,
    /// Messages that did not leave, by reason.
    pub drops: [Counter; DROPS.len()],
    /// How often clients passed a limit, in the order of [`LIMITS`].
    pub limits: [Counter; LIMITS.len()],
    /// Age of the oldest message of each write when it was handed over.
    pub latency: Histogram,
}

/// The reasons for a drop with their names, in the order of [`Stats::drops`].
pub const DROPS: [(Drop, &str); 5] = [
    (Drop::Replaced, skipped_reason::REPLACED),
    (Drop::Oldest, skipped_reason::OLDEST),
    (Drop::Newest, skipped_reason::NEWEST),
    (Drop::Budget, skipped_reason::BUDGET),
    (Drop::Closed, "closed"),
];

/// How often a duration fell into each power of two of microseconds, and the sum of all durations.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [Counter; BUCKETS],
    sum_us: Counter,
}

impl Histogram {
    /// Counts a duration in microseconds; only the owner's thread may call it.
    pub fn record(&self, us: u64) {
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        self.counts[bucket.min(BUCKETS - 1)].add(1);
        self.sum_us.add(us);
    }

    /// Pairs of an upper bound (microseconds, exclusive) and the count below it and not below the previous one.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().enumerate().map(|(bucket, count)| (1 << bucket, count.value()))
    }

    /// The sum of all durations, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.value()
    }
}

/// The last bucket takes everything from half a minute on.
const BUCKETS: usize = 26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_powers_of_two() {
        let histogram = Histogram::default();
        for us in [0, 1, 2, 3, 4, 1000] {
            histogram.record(us);
        }
        assert_eq!(histogram.sum_us(), 1010);
        histogram.record(u64::MAX);
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
