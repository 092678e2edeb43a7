//! How often and how much of a room one member gets. Pure: the time is an argument.

use crate::wire::table::limit;

/// The rates of one member of one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemberRates {
    /// Microseconds from one message of a key to the next, at least; 0: none.
    pub interval_us: u64,
    /// Bytes a second at most; 0: no limit.
    pub bytes: u64,
    /// Whether it may get other messages of the room than other members do, so that what waits for it is its own.
    pub is_alone: bool,
}

impl MemberRates {
    /// Takes messages of each key a second, and bytes a second; none: no limit. Fails if one of them is out of range.
    pub fn new(max_rate: Option<f64>, max_bytes: Option<u64>) -> Result<Self, String> {
        let interval_us = match max_rate {
            None => 0,
            Some(rate) if (1.0 / limit::RATE_INTERVAL_MAX as f64..=limit::RATE_MAX as f64).contains(&rate) => {
                (1e6 / rate).ceil() as u64
            }
            Some(rate) => {
                let (longest, most) = (limit::RATE_INTERVAL_MAX, limit::RATE_MAX);
                return Err(format!("max_rate must be 1/{longest} to {most}, got {rate}"));
            }
        };
        let most = limit::RATE_BYTES_MAX as u64;
        match max_bytes {
            Some(bytes) if !(1..=most).contains(&bytes) => Err(format!("max_bytes must be 1 to {most}, got {bytes}")),
            _ => Ok(Self { interval_us, bytes: max_bytes.unwrap_or(0), is_alone: false }),
        }
    }
}

/// A token bucket of bytes. A message may leave while there are tokens, and takes as many as it has bytes, so that a
/// large one leaves, too. After that the bucket has to fill again.
#[derive(Debug)]
pub struct ByteBucket {
    /// Bytes a second.
    rate: u64,
    tokens: i64,
    /// Until when it was filled.
    filled_us: u64,
}

impl ByteBucket {
    /// Creates a full bucket for so many bytes a second, at least 1.
    pub fn new(rate: u64, now_us: u64) -> Self {
        let rate = rate.max(1);
        Self { rate, tokens: most(rate), filled_us: now_us }
    }

    /// Returns the bytes a second.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Adds what has come since the last call. What was [granted](Self::grant) stays.
    pub fn fill(&mut self, now_us: u64) {
        let us = now_us.saturating_sub(self.filled_us);
        let bytes = u128::from(self.rate) * u128::from(us) / 1_000_000;
        if self.tokens >= most(self.rate) || bytes >= u128::from(u32::MAX) {
            (self.tokens, self.filled_us) = (self.tokens.max(most(self.rate)), now_us);
            return;
        }
        self.tokens = (self.tokens + bytes as i64).min(most(self.rate));
        // The rest of a byte is kept.
        self.filled_us += (bytes * 1_000_000 / u128::from(self.rate)) as u64;
    }

    /// Returns how many messages with these sizes may leave, from the first on.
    pub fn admits(&self, sizes: impl Iterator<Item = usize>) -> usize {
        let mut tokens = self.tokens;
        let admitted = sizes.take_while(|&size| {
            let is_admitted = tokens > 0;
            tokens -= size as i64;
            is_admitted
        });
        admitted.count()
    }

    /// Whether nothing may leave.
    pub fn is_empty(&self) -> bool {
        self.tokens <= 0
    }

    /// Notes that a message has left.
    pub fn sent(&mut self, bytes: usize) {
        self.tokens -= bytes as i64;
    }

    /// Allows so many bytes in addition.
    pub fn grant(&mut self, bytes: usize) {
        self.tokens = self.tokens.max(0) + bytes as i64;
    }

    /// Returns when a message may leave.
    pub fn due_us(&self) -> u64 {
        let missing = u128::from((1 - self.tokens).max(0).unsigned_abs());
        self.filled_us + (missing * 1_000_000).div_ceil(u128::from(self.rate)) as u64
    }
}

/// The tokens of a full bucket: a quarter of a second, so that a burst of small values leaves together.
fn most(rate: u64) -> i64 {
    (rate / 4).max(1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_become_an_interval_and_what_is_out_of_range_is_refused() {
        assert_eq!(MemberRates::new(None, None), Ok(MemberRates::default()));
        assert_eq!(
            MemberRates::new(Some(4.0), Some(10)),
            Ok(MemberRates { interval_us: 250_000, bytes: 10, is_alone: false })
        );
        assert_eq!(MemberRates::new(Some(3.0), None).unwrap().interval_us, 333_334, "no more than 3 in a second");
        for rate in [0.0, 0.009, 1000.1, f64::NAN, f64::INFINITY, -1.0] {
            assert!(MemberRates::new(Some(rate), None).is_err(), "{rate}");
        }
        assert!(MemberRates::new(None, Some(0)).is_err() && MemberRates::new(None, Some(1_000_000_001)).is_err());
    }

    #[test]
    fn a_bucket_lets_a_quarter_of_a_second_leave_at_once_and_then_its_rate() {
        let mut bucket = ByteBucket::new(1_000, 0);
        assert_eq!(bucket.admits([100; 9].into_iter()), 3);
        (0..3).for_each(|_| bucket.sent(100));
        assert!(bucket.is_empty());
        assert_eq!(bucket.due_us(), 51_000);
        bucket.fill(50_000);
        assert!(bucket.is_empty());
        bucket.fill(51_000);
        assert_eq!(bucket.admits([100; 9].into_iter()), 1);
        bucket.fill(9_000_000);
        assert_eq!(bucket.admits([100; 9].into_iter()), 3, "it holds no more");
    }

    #[test]
    fn a_message_of_any_size_leaves_and_is_paid_for_afterwards() {
        let mut bucket = ByteBucket::new(1_000, 0);
        assert_eq!(bucket.admits([1_000_000, 1].into_iter()), 1);
        bucket.sent(1_000_250);
        assert_eq!(bucket.due_us(), 1_000_001_000);
        bucket.fill(1_000_000_000);
        assert!(bucket.is_empty());
        bucket.fill(bucket.due_us());
        assert!(!bucket.is_empty());
    }

    #[test]
    fn what_is_granted_leaves_in_addition() {
        let mut bucket = ByteBucket::new(1_000, 0);
        bucket.grant(5_000);
        bucket.fill(1_000_000);
        assert_eq!(bucket.admits([1_000; 9].into_iter()), 6);
        let mut slow = ByteBucket::new(3, 0);
        (1..=1_000_000).for_each(|us| slow.fill(us));
        assert_eq!(slow.due_us(), slow.filled_us);
    }
}
