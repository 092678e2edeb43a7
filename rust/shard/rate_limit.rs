//! The rate limits of one client: token buckets. Pure: the clock is an argument.

use crate::admission::token_bucket::{Rate, TokenBucket};
use crate::limit::Limit;

/// The rates that apply to a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    messages: Rate,
    reports: Rate,
    bytes: Rate,
    pings: Rate,
    refused: Rate,
}

/// The configured rates: each a second, and the burst at once.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "named as the fields of the configuration")]
pub struct RateSettings {
    pub message_rate: f64,
    pub message_burst: f64,
    pub byte_rate: f64,
    pub byte_burst: f64,
    pub ping_rate: f64,
    pub ping_burst: f64,
    pub max_refused: f64,
}

impl Rates {
    /// Creates the rates of a client that may send `times` as much as others; 0: no limit.
    pub fn new(settings: &RateSettings, times: f64) -> Self {
        let (rate, burst) = (times * settings.message_rate, times * settings.message_burst);
        let reports = if rate > 0.0 { rate.max(REPORTS) } else { 0.0 };
        Self {
            messages: Rate::new(rate, burst),
            reports: Rate::new(reports, burst.max(2.0 * REPORTS)),
            bytes: Rate::new(times * settings.byte_rate, times * settings.byte_burst),
            pings: Rate::new(settings.ping_rate, settings.ping_burst),
            // A client that keeps sending twice its rate ignores the refusals.
            refused: Rate::new(rate.max(FORGIVEN), settings.max_refused),
        }
    }
}

/// A limit was exceeded: which one, and how many microseconds the client should wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say nothing but their names")]
pub struct Over {
    pub limit: Limit,
    pub wait_us: u64,
}

/// The token buckets of one client.
#[derive(Debug, Default)]
pub struct RateLimits {
    messages: TokenBucket,
    reports: TokenBucket,
    bytes: TokenBucket,
    pings: TokenBucket,
    refused: TokenBucket,
}

impl RateLimits {
    /// Counts a message of a client that can be told to wait. A message over its rate takes nothing from the buckets,
    /// and the returned wait is long enough that trying again makes sense.
    pub fn message(&mut self, rates: &Rates, size: usize, now_us: u64) -> Option<Over> {
        let now = now_us as f64;
        let over = |limit, wait: f64, rate: Rate| Some(Over { limit, wait_us: (wait + rate.depth / SOME) as u64 });
        if let Some(wait) = self.messages.wait(rates.messages, now) {
            return over(Limit::MessageRate, wait, rates.messages);
        }
        if let Some(wait) = self.bytes.wait(rates.bytes, now) {
            return over(Limit::ByteRate, wait, rates.bytes);
        }
        self.messages.charge(rates.messages, now, 1.0);
        self.bytes.charge(rates.bytes, now, size as f64);
        None
    }

    /// Counts messages of a client that cannot be told. They count in any case, and nothing more should be read from
    /// the client for the returned wait. Reports have a bucket of their own.
    pub fn flow(&mut self, rates: &Rates, messages: usize, reports: usize, size: usize, now_us: u64) -> Option<Over> {
        let now = now_us as f64;
        let messages = self.messages.charge(rates.messages, now, messages as f64);
        let messages = messages.max(self.reports.charge(rates.reports, now, reports as f64));
        let bytes = self.bytes.charge(rates.bytes, now, size as f64);
        let (limit, wait) = if bytes > messages { (Limit::ByteRate, bytes) } else { (Limit::MessageRate, messages) };
        (wait > 0.0).then_some(Over { limit, wait_us: wait.ceil() as u64 })
    }

    /// Counts a ping or pong. Returns whether it is within its rate.
    pub fn ping(&mut self, rates: &Rates, now_us: u64) -> bool {
        let is_within = self.pings.wait(rates.pings, now_us as f64).is_none();
        if is_within {
            self.pings.charge(rates.pings, now_us as f64, 1.0);
        }
        is_within
    }

    /// Counts a refusal. Returns false if there were too many.
    pub fn refused(&mut self, rates: &Rates, weight: f64, now_us: u64) -> bool {
        let is_borne = self.refused.wait(rates.refused, now_us as f64).is_none();
        if is_borne {
            self.refused.charge(rates.refused, now_us as f64, weight);
        }
        is_borne
    }
}

/// How many refusals a ping over its rate counts for: applications send no pings, so this is no accident.
pub const PING_WEIGHT: f64 = 10.0;

/// The least rate of reports a second, with a burst of twice as many. A client has to report what it is sent, however
/// little it may send: with a strict `message_rate` the window of a fast reader would stay closed.
const REPORTS: f64 = 100.0;

/// A client is told to wait until one part in so many of its burst is free again.
const SOME: f64 = 10.0;

/// The least number of refusals a second that are forgiven: a client that is too fast now and then is no attacker.
const FORGIVEN: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const SETTINGS: RateSettings = RateSettings {
        message_rate: 10.0,
        message_burst: 20.0,
        byte_rate: 1000.0,
        byte_burst: 2000.0,
        ping_rate: 1.0,
        ping_burst: 3.0,
        max_refused: 5.0,
    };

    fn most(mut is_within: impl FnMut() -> bool) -> usize {
        (0..1000).take_while(|_| is_within()).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (rates, mut limits) = (Rates::new(&SETTINGS, 1.0), RateLimits::default());
        assert_eq!(most(|| limits.message(&rates, 1, 5).is_none()), 20);
        let over = limits.message(&rates, 1, 5).unwrap();
        assert_eq!(over.limit, Limit::MessageRate);
        // The wait is at least the time of a tenth of the burst.
        assert!((200_000..400_000).contains(&over.wait_us), "{over:?}");
        assert_eq!(most(|| limits.message(&rates, 1, SECOND).is_none()), 10);
        // The bucket holds no more than the burst, however long the client waits.
        assert_eq!(most(|| limits.message(&rates, 1, 100 * SECOND).is_none()), 20);
    }

    #[test]
    fn bytes_have_a_rate_and_one_large_message_is_let_through() {
        let (rates, mut limits) = (Rates::new(&SETTINGS, 1.0), RateLimits::default());
        assert_eq!(limits.message(&rates, 1_000_000, 0), None);
        assert_eq!(limits.message(&rates, 1, SECOND).unwrap().limit, Limit::ByteRate);
        assert_eq!(limits.message(&rates, 1, 1000 * SECOND), None);
    }

    #[test]
    fn a_client_that_cannot_be_told_waits_until_it_is_within_its_rate() {
        let (rates, mut limits) = (Rates::new(&SETTINGS, 1.0), RateLimits::default());
        assert_eq!(limits.flow(&rates, 20, 20, 10, 0), None);
        assert_eq!(limits.flow(&rates, 5, 0, 10, 0), Some(Over { limit: Limit::MessageRate, wait_us: SECOND / 2 }));
        assert_eq!(limits.flow(&rates, 0, 0, 10_000, 0).unwrap().limit, Limit::ByteRate);
    }

    #[test]
    fn reports_have_the_rate_of_messages_or_their_own_least() {
        for (message_rate, rate) in [(10.0, REPORTS), (200.0, 200.0)] {
            let settings = RateSettings { message_rate, message_burst: 2.0 * message_rate, ..SETTINGS };
            let (rates, mut limits) = (Rates::new(&settings, 1.0), RateLimits::default());
            assert_eq!(limits.flow(&rates, 0, 2 * rate as usize, 0, 0), None);
            let over = Some(Over { limit: Limit::MessageRate, wait_us: SECOND });
            assert_eq!(limits.flow(&rates, 0, rate as usize, 0, 0), over);
            // Reports take nothing from the rate of messages.
            assert_eq!(limits.message(&rates, 1, 0), None);
        }
    }

    #[test]
    fn an_identity_may_have_more_or_no_limit() {
        let (double, none) = (Rates::new(&SETTINGS, 2.0), Rates::new(&SETTINGS, 0.0));
        let (mut limits, mut free) = (RateLimits::default(), RateLimits::default());
        assert_eq!(most(|| limits.message(&double, 1, 0).is_none()), 40);
        assert_eq!(most(|| free.message(&none, 1_000_000, 0).is_none()), 1000);
        assert_eq!(free.flow(&none, 1_000_000, 0, 1 << 40, 0), None);
    }

    #[test]
    fn pings_and_refusals_are_borne_for_a_while() {
        let (rates, mut limits) = (Rates::new(&SETTINGS, 1.0), RateLimits::default());
        assert_eq!(most(|| limits.ping(&rates, 0)), 3);
        assert!(limits.ping(&rates, SECOND));
        assert_eq!(most(|| limits.refused(&rates, 1.0, 0)), 5);
        assert!(!limits.refused(&rates, PING_WEIGHT, 0) && limits.refused(&rates, PING_WEIGHT, SECOND));
    }
}
