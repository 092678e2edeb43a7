//! Histograms of the age of messages when the clients' applications took them, one for each pattern of rooms. Clients
//! report it. Pure; the shards' threads count, and any thread may read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of the buckets in milliseconds: from a local network to an application that has stopped reading. One
/// more bucket takes older messages.
pub const BOUNDS_MS: [u64; 15] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

/// The largest age that is counted, in milliseconds. Clients may report anything, and one wrong report must not
/// dominate the sum.
pub const OLDEST_MS: u64 = 3_600_000;

/// The ages of messages in the rooms of one pattern.
#[derive(Debug, Default)]
pub struct Ages {
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_ms: AtomicU64,
}

impl Ages {
    /// Counts the age of a message; ages above [`OLDEST_MS`] count as that.
    pub fn note(&self, age_ms: u64) {
        let age_ms = age_ms.min(OLDEST_MS);
        self.counts[BOUNDS_MS.partition_point(|&bound| bound < age_ms)].fetch_add(1, Relaxed);
        self.sum_ms.fetch_add(age_ms, Relaxed);
    }

    /// Returns how many ages fell into each bucket of [`BOUNDS_MS`] and above, and the sum of the ages in milliseconds.
    pub fn counts(&self) -> ([u64; BOUNDS_MS.len() + 1], u64) {
        (self.counts.each_ref().map(|count| count.load(Relaxed)), self.sum_ms.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        for (place, bound) in BOUNDS_MS.into_iter().enumerate() {
            let ages = Ages::default();
            ages.note(bound);
            ages.note(bound + 1);
            let (counts, sum_ms) = ages.counts();
            assert_eq!(
                (counts[place], counts[place + 1], counts.iter().sum::<u64>(), sum_ms),
                (1, 1, 2, 2 * bound + 1)
            );
        }
    }

    #[test]
    fn what_cannot_be_counts_as_the_oldest_that_can() {
        let ages = Ages::default();
        ages.note(0);
        ages.note(u64::MAX);
        let (counts, sum_ms) = ages.counts();
        assert_eq!((counts[0], counts[BOUNDS_MS.len()], sum_ms), (1, 1, OLDEST_MS));
    }
}
