//! When something is due: messages by a steady clock, attempts after a random wait. Not a clock and not a loop.

use crate::bench::float;
use crate::clock;

/// Messages by the clock, whatever has become of the earlier ones.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    start: u64,
    rate: f64,
    sent: u64,
}

impl Pace {
    /// `rate` a second from the instant `start` on.
    #[must_use]
    pub fn new(start: u64, rate: f64) -> Self {
        Self { start, rate, sent: 0 }
    }

    /// When the next one is due.
    #[must_use]
    pub fn due(&self) -> u64 {
        self.start + clock::nanos(float(self.sent) / self.rate)
    }

    /// Whether one is due at `now`; then it counts as sent.
    pub fn step(&mut self, now: u64) -> bool {
        let due = self.due() <= now;
        self.sent += u64::from(due);
        due
    }
}

/// Random numbers that are the same in every run (SplitMix64).
#[derive(Debug, Clone, Copy)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of the numbers below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // The high half of the product: even enough for bounds far below 2^64.
        u64::try_from((u128::from(z) * u128::from(bound)) >> 64).unwrap_or(0)
    }
}

/// The wait before attempt `attempt` (the first is 0): anything up to `first` nanoseconds doubled so often, 30 s at most.
#[must_use]
pub fn backoff(dice: &mut Dice, first: u64, attempt: u32) -> u64 {
    let most = 30 * clock::SECOND;
    dice.below(first.saturating_mul(1 << attempt.min(16)).min(most.max(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_counts_from_its_start() {
        let mut pace = Pace::new(1000, 1e6);
        assert!(!pace.step(999));
        assert!(pace.step(1000) && !pace.step(1000));
        assert_eq!(pace.due(), 2000);
        assert!(pace.step(9000) && pace.step(9000), "what was missed is made up for");
    }

    #[test]
    fn dice_are_even_and_keep_to_their_bound() {
        let mut dice = Dice::new(1);
        let mut counts = [0; 10];
        (0..100_000).for_each(|_| counts[usize::try_from(dice.below(10)).unwrap()] += 1);
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert_eq!(dice.below(0), 0);
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let mut dice = Dice::new(2);
        let mut most = |attempt| (0..1000).map(|_| backoff(&mut dice, clock::SECOND, attempt)).max().unwrap();
        for (attempt, bound) in [(0, 1), (1, 2), (3, 8), (10, 30), (40, 30)] {
            let (found, bound) = (most(attempt), bound * clock::SECOND);
            assert!(found <= bound && found > bound / 100 * 95, "{attempt}: {found}");
        }
    }
}
