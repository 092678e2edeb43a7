//! A log-linear histogram of nanoseconds: one array increment per value. Not a general one: fixed range, 1.6 % wide
//! buckets. It exists because a delivery is recorded five million times a second beside the frame walk; see the
//! measurement in `benches/load/README.md`.

/// Buckets per power of two. 64 keep every percentile within 1/64 of the truth.
const SUB: u64 = 1 << SUB_BITS;
const SUB_BITS: u32 = 6;
/// Values of 2^40 ns (18 minutes) and more share the last bucket; no run lasts that long.
const TOP_BITS: u32 = 40;
const BUCKETS: usize = ((TOP_BITS - SUB_BITS + 1) as usize) << SUB_BITS;

/// Counts by size, with the exact greatest value.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// How many values were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The greatest value, exactly; 0 when there is none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that `share` (0 to 1) of all values do not exceed, rounded up to its bucket's end; 0 when empty.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank of 2^52 values would take centuries"
    )]
    pub fn percentile(&self, share: f64) -> u64 {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return last_of(index).min(self.max);
            }
        }
        self.max
    }

    /// The percentiles of the reports in microseconds, under the names of the reports.
    #[must_use]
    pub fn summary(&self) -> serde_json::Value {
        serde_json::json!({
            "p50": micros(self.percentile(0.5)),
            "p99": micros(self.percentile(0.99)),
            "p999": micros(self.percentile(0.999)),
            "max": micros(self.max),
        })
    }
}

#[inline]
fn bucket(value: u64) -> usize {
    let value = value.min((1 << TOP_BITS) - 1);
    // Below SUB the buckets are one wide; above, the top bit picks the octave and the next six the bucket in it.
    let octave = (63 - (value | (SUB - 1)).leading_zeros()) - (SUB_BITS - 1);
    let index = if octave == 0 { value } else { (u64::from(octave) << SUB_BITS) + (value >> (octave - 1)) - SUB };
    usize::try_from(index).unwrap_or(BUCKETS - 1).min(BUCKETS - 1)
}

fn last_of(index: usize) -> u64 {
    let index = index as u64;
    match index >> SUB_BITS {
        0 => index,
        octave => ((((index & (SUB - 1)) + SUB) + 1) << (octave - 1)) - 1,
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn micros(nanos: u64) -> f64 {
    (nanos as f64 / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_ends_where_the_next_begins() {
        for index in 0..BUCKETS - 1 {
            let last = last_of(index);
            assert_eq!(bucket(last), index, "{last}");
            assert_eq!(bucket(last + 1), index + 1, "{last}");
        }
    }

    #[test]
    fn percentiles_are_within_a_bucket_of_the_truth() {
        let mut h = Histogram::default();
        (1..=100_000).for_each(|i| h.record(i * 100));
        for (share, truth) in [(0.5, 5_000_000u64), (0.99, 9_900_000), (0.999, 9_990_000)] {
            let found = h.percentile(share);
            assert!(found >= truth && found <= truth + truth / 64 + 1, "{share}: {found}");
        }
        assert_eq!(h.max(), 10_000_000);
        assert_eq!(h.percentile(1.0), 10_000_000);
    }

    #[test]
    fn an_empty_one_says_zero_and_a_giant_value_stays_in_range() {
        let mut h = Histogram::default();
        assert_eq!(h.percentile(0.99), 0);
        h.record(u64::MAX);
        assert_eq!((h.total(), h.max()), (1, u64::MAX));
    }
}
