//! A token bucket. Pure: the clock is an argument.
//!
//! A bucket is stored as in the generic cell rate algorithm (ITU-T I.371): one number, the time at which it is full
//! again, so that nothing has to be refilled.

/// The rate and burst of a bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Microseconds for each unit; 0: no limit.
    cost: f64,
    /// Microseconds to fill an empty bucket.
    pub depth: f64,
}

impl Rate {
    /// Creates the rate of a bucket that holds `burst` and fills by `per_second`; 0: no limit.
    pub fn new(per_second: f64, burst: f64) -> Self {
        let cost = if per_second > 0.0 { 1e6 / per_second } else { 0.0 };
        Self { cost, depth: burst * cost }
    }

    /// Whether there is no limit.
    pub fn is_unlimited(self) -> bool {
        self.cost == 0.0
    }
}

/// One bucket; it is full at first.
#[derive(Debug, Default, Clone, Copy)]
pub struct TokenBucket {
    full_us: f64,
}

impl TokenBucket {
    /// Returns the microseconds until there is anything in it; none if there is something now.
    pub fn wait(&self, rate: Rate, now_us: f64) -> Option<f64> {
        // Anything in the bucket is enough, however little, because a bucket smaller than one message must not block
        // that message for ever.
        let wait = self.full_us.max(now_us) - now_us - rate.depth + rate.cost * EDGE;
        (wait >= 0.0 && rate.cost > 0.0).then_some(wait)
    }

    /// Takes `amount` in any case. Returns the microseconds until the bucket is no longer overdrawn.
    pub fn charge(&mut self, rate: Rate, now_us: f64, amount: f64) -> f64 {
        self.full_us = self.full_us.max(now_us) + amount * rate.cost;
        (self.full_us - now_us - rate.depth).max(0.0)
    }

    /// Takes one, on credit if less than one is there. If nothing is there, takes nothing and returns the microseconds
    /// until there is something.
    pub fn take(&mut self, rate: Rate, now_us: f64) -> Result<(), f64> {
        match self.wait(rate, now_us) {
            Some(wait) => Err(wait),
            None => {
                self.charge(rate, now_us, 1.0);
                Ok(())
            }
        }
    }

    /// Whether it is as full as a new one.
    pub fn is_full(&self, now_us: f64) -> bool {
        self.full_us <= now_us
    }
}

/// The error of floating point sums, in units.
const EDGE: f64 = 1e-3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: f64 = 1e6;

    fn taken(bucket: &mut TokenBucket, rate: Rate, now: f64) -> usize {
        (0..1000).take_while(|_| bucket.take(rate, now).is_ok()).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (mut bucket, rate, now) = (TokenBucket::default(), Rate::new(2.0, 3.0), 100.0 * SECOND);
        assert_eq!(taken(&mut bucket, rate, now), 3);
        // The second was taken on credit, so the first wait is short and the next one is as long as the rate requires.
        let wait = bucket.take(rate, now).unwrap_err();
        assert!(0.0 < wait && wait < 0.01 * SECOND, "{wait}");
        // A refusal takes nothing: the wait is the same.
        assert_eq!(bucket.take(rate, now), Err(wait));
        assert_eq!(bucket.take(rate, now + 2.0 * wait), Ok(()));
        let wait = bucket.take(rate, now + 2.0 * wait).unwrap_err();
        assert!((wait - 0.5 * SECOND).abs() < 0.01 * SECOND, "{wait}");
    }

    #[test]
    fn after_a_silence_no_more_than_the_burst() {
        let (mut bucket, rate) = (TokenBucket::default(), Rate::new(10.0, 5.0));
        assert_eq!(taken(&mut bucket, rate, 1000.0 * SECOND), 5);
        assert_eq!(taken(&mut bucket, rate, 2000.0 * SECOND), 5);
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        let (mut bucket, rate) = (TokenBucket::default(), Rate::new(0.0, 1.0));
        assert!(rate.is_unlimited() && !Rate::new(1.0, 1.0).is_unlimited());
        for _ in 0..1000 {
            assert_eq!((bucket.take(rate, 5.0), bucket.charge(rate, 5.0, 1e9)), (Ok(()), 0.0));
        }
        assert!(bucket.is_full(5.0));
    }

    #[test]
    fn what_is_larger_than_the_bucket_goes_on_credit() {
        let (mut bucket, rate) = (TokenBucket::default(), Rate::new(10.0, 10.0));
        assert_eq!(bucket.wait(rate, 0.0), None);
        assert!((bucket.charge(rate, 0.0, 100.0) - 9.0 * SECOND).abs() < 1.0);
        let wait = bucket.wait(rate, 0.0).unwrap();
        assert!((wait - 9.0 * SECOND).abs() < 0.01 * SECOND, "{wait}");
        assert_eq!(bucket.wait(rate, 9.1 * SECOND), None);
    }

    #[test]
    fn a_charge_is_taken_in_any_case() {
        let (mut bucket, rate) = (TokenBucket::default(), Rate::new(10.0, 10.0));
        let mut charge = |now: f64, amount| (bucket.charge(rate, now * SECOND, amount) / 1e4).round() / 100.0;
        assert_eq!(charge(0.0, 10.0), 0.0);
        assert_eq!(charge(0.0, 5.0), 0.5);
        assert_eq!(charge(0.0, 5.0), 1.0);
        assert_eq!(charge(1.0, 0.0), 0.0);
        assert_eq!(charge(3.0, 0.0), 0.0);
    }

    #[test]
    fn it_is_full_again_after_a_while() {
        let (mut bucket, rate) = (TokenBucket::default(), Rate::new(10.0, 10.0));
        assert!(bucket.is_full(50.0 * SECOND));
        bucket.charge(rate, 50.0 * SECOND, 5.0);
        assert!(!bucket.is_full(50.4 * SECOND));
        assert!(bucket.is_full(50.6 * SECOND));
    }

    proptest! {
        #[test]
        fn it_lets_through_what_a_refilled_number_does(
            per_second in 0.1..1000.0,
            burst in 1..50u32,
            takes in prop::collection::vec((0.0..5.0, 1..20u32), 0..50),
        ) {
            let (mut bucket, rate) = (TokenBucket::default(), Rate::new(per_second, f64::from(burst)));
            let (mut now, mut left) = (1.0, f64::from(burst));
            for (step, amount) in takes {
                now += step;
                left = f64::min(f64::from(burst), left + step * per_second);
                // At the edge, floating point may decide either way.
                if left.abs() < 0.01 {
                    continue;
                }
                let is_taken = bucket.wait(rate, now * SECOND).is_none();
                prop_assert_eq!(is_taken, left > 0.0);
                if is_taken {
                    bucket.charge(rate, now * SECOND, f64::from(amount));
                    left -= f64::from(amount);
                }
            }
        }

        #[test]
        fn a_client_that_waits_as_told_is_accepted(per_second in 0.1..1000.0, burst in 1..50u32, amount in 1..200u32) {
            let (mut bucket, rate) = (TokenBucket::default(), Rate::new(per_second, f64::from(burst)));
            let mut now = 10.0 * SECOND;
            for _ in 0..5 {
                while let Some(wait) = bucket.wait(rate, now) {
                    // Clients are told whole microseconds, rounded up.
                    now += wait.ceil().max(1.0);
                }
                bucket.charge(rate, now, f64::from(amount));
            }
        }
    }
}
