//! The spread of deliveries by rule: from the first member's write of a message to the last member's. A message is
//! measured now and then, so a delivery costs nothing unless its message is one of these.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::stats::Histogram;
use crate::stats::rules::{RULES, RuleId};

/// The spreads of one engine. Thread-safe.
#[derive(Debug)]
pub struct Spreads {
    /// For each rule: from when on a message is measured, in microseconds since the engine started.
    due_us: Box<[AtomicU64]>,
    state: Mutex<SpreadState>,
}

#[derive(Debug)]
struct SpreadState {
    /// Written under the lock, by whichever thread.
    histograms: Box<[Histogram]>,
    /// The messages that are measured, oldest first.
    running: VecDeque<(u64, Weak<Measurement>)>,
}

/// One message that is measured. Thread-safe.
#[derive(Debug)]
pub struct Measurement {
    spreads: Weak<Spreads>,
    rule: RuleId,
    /// Members that have not got it, and [`SHARD`] for each shard that has not queued it for its members.
    outstanding: AtomicU64,
    written: AtomicU64,
    first_us: AtomicU64,
    last_us: AtomicU64,
    is_over: AtomicBool,
}

impl Default for Spreads {
    fn default() -> Self {
        let histograms = (0..RULES).map(|_| Histogram::default()).collect();
        let state = SpreadState { histograms, running: VecDeque::new() };
        Self { due_us: (0..RULES).map(|_| AtomicU64::new(0)).collect(), state: Mutex::new(state) }
    }
}

impl Spreads {
    /// Whether a message of a rule that is published now is to be measured.
    #[inline]
    pub fn is_due(&self, rule: RuleId, now_us: u64) -> bool {
        now_us >= self.due_us[rule.index()].load(Relaxed)
    }

    /// Begins to measure a message that is published now, to members in `shards` shards. None if too many are measured.
    pub fn begin(self: &Arc<Self>, rule: RuleId, shards: usize, now_us: u64) -> Option<Arc<Measurement>> {
        self.due_us[rule.index()].store(now_us.saturating_add(INTERVAL_US), Relaxed);
        self.expire(now_us);
        let mut state = self.lock();
        if state.running.len() >= SAMPLES_MAX {
            return None;
        }
        let sample = Arc::new(Measurement {
            spreads: Arc::downgrade(self),
            rule,
            outstanding: AtomicU64::new(shards as u64 * SHARD),
            written: AtomicU64::new(0),
            first_us: AtomicU64::new(u64::MAX),
            last_us: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        state.running.push_back((now_us, Arc::downgrade(&sample)));
        Some(sample)
    }

    /// Returns the histogram of each rule, by [`RuleId::index`]: pairs of an exclusive upper bound in microseconds and a
    /// count, and the sum in microseconds. Empty for a rule without a measured message.
    pub fn read(&self, now_us: u64) -> Vec<(Vec<(u64, u64)>, u64)> {
        self.expire(now_us);
        let read = |histogram: &Histogram| {
            let buckets: Vec<_> = histogram.buckets().collect();
            let has_any = buckets.iter().any(|&(_, count)| count > 0);
            (if has_any { buckets } else { Vec::new() }, histogram.sum_us())
        };
        self.lock().histograms.iter().map(read).collect()
    }

    /// Ends the measurement of messages that some members have not got for too long: the others count.
    fn expire(&self, now_us: u64) {
        let mut over = Vec::new();
        // A finished message is not removed from the middle, only when those before it are over.
        let mut state = self.lock();
        while let Some((begun_us, sample)) = state.running.front() {
            let sample = sample.upgrade().filter(|sample| !sample.is_over.load(Acquire));
            if sample.is_some() && now_us.saturating_sub(*begun_us) < SAMPLE_US {
                break;
            }
            over.extend(sample);
            state.running.pop_front();
        }
        drop(state);
        over.iter().for_each(|sample| sample.finish());
    }

    fn lock(&self) -> MutexGuard<'_, SpreadState> {
        // Each change is complete when it is made, so a poisoned lock is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measurement {
    /// Notes that a shard has queued it for `members`.
    pub fn queued(&self, members: usize) {
        self.outstanding.fetch_add(members as u64, AcqRel);
        self.subtract(SHARD);
    }

    /// Notes that a member's link has taken it.
    pub fn wrote(&self, now_us: u64) {
        self.written.fetch_add(1, Relaxed);
        self.first_us.fetch_min(now_us, Relaxed);
        self.last_us.fetch_max(now_us, Relaxed);
        self.subtract(1);
    }

    /// Notes that a member does not get it.
    pub fn dropped(&self) {
        self.subtract(1);
    }

    fn subtract(&self, count: u64) {
        if self.outstanding.fetch_sub(count, AcqRel) == count {
            self.finish();
        }
    }

    /// Counts the spread, once. One member alone has none.
    fn finish(&self) {
        if !self.is_over.swap(true, AcqRel)
            && self.written.load(Acquire) > 1
            && let Some(spreads) = self.spreads.upgrade()
        {
            let us = self.last_us.load(Relaxed).saturating_sub(self.first_us.load(Relaxed));
            spreads.lock().histograms[self.rule.index()].record(us, 1);
        }
    }
}

/// From one measured message of a rule to the next: 20 a second show a percentile within a minute, and cost 20 messages
/// a second some atomic additions for each member.
pub const INTERVAL_US: u64 = 50_000;

/// How long a message is measured. Members who have lost their links may take much longer.
pub const SAMPLE_US: u64 = 5_000_000;

/// The limit on messages that are measured at once: enough for ten busy rules whose messages all take 5 s.
pub const SAMPLES_MAX: usize = 1024;

/// Stands for a shard; more than there are connections.
const SHARD: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: RuleId = RuleId::OTHERS;

    fn counts(spreads: &Spreads, now_us: u64) -> (Vec<(u64, u64)>, u64) {
        let (buckets, sum_us) = spreads.read(now_us).swap_remove(RULE.index());
        (buckets.into_iter().filter(|&(_, count)| count > 0).collect(), sum_us)
    }

    #[test]
    fn a_spread_is_from_the_first_write_to_the_last_in_all_shards() {
        let spreads = Arc::new(Spreads::default());
        let sample = spreads.begin(RULE, 2, 0).unwrap();
        sample.queued(2);
        sample.wrote(100);
        sample.wrote(140);
        assert_eq!(counts(&spreads, 150), (vec![], 0), "another shard has not queued it");
        // One of its members is dropped before all are queued.
        sample.dropped();
        sample.queued(2);
        sample.wrote(90);
        assert_eq!(counts(&spreads, 150), (vec![(64, 1)], 50));
        sample.wrote(900);
        assert_eq!(counts(&spreads, SAMPLE_US), (vec![(64, 1)], 50), "it counts once");
    }

    #[test]
    fn one_member_alone_has_no_spread() {
        let spreads = Arc::new(Spreads::default());
        let sample = spreads.begin(RULE, 1, 0).unwrap();
        sample.queued(2);
        sample.dropped();
        sample.wrote(100);
        assert_eq!(counts(&spreads, SAMPLE_US), (vec![], 0));
    }

    #[test]
    fn members_who_get_it_late_do_not_count() {
        let spreads = Arc::new(Spreads::default());
        let sample = spreads.begin(RULE, 1, 1_000).unwrap();
        sample.queued(3);
        sample.wrote(2_000);
        sample.wrote(2_003);
        assert_eq!(counts(&spreads, SAMPLE_US + 999), (vec![], 0));
        assert_eq!(counts(&spreads, SAMPLE_US + 1_000), (vec![(4, 1)], 3));
        sample.wrote(9_000_000);
        assert_eq!(counts(&spreads, 9_000_000), (vec![(4, 1)], 3));
    }

    #[test]
    fn messages_are_measured_now_and_then_by_rule_and_not_without_limit() {
        let spreads = Arc::new(Spreads::default());
        assert!(spreads.is_due(RULE, 0));
        let _first = spreads.begin(RULE, 1, 0).unwrap();
        assert!(!spreads.is_due(RULE, INTERVAL_US - 1));
        assert!(spreads.is_due(RULE, INTERVAL_US) && spreads.is_due(RuleId::NO_ROOM, 0));
        let samples: Vec<_> = (1..SAMPLES_MAX).map(|_| spreads.begin(RULE, 1, 0).unwrap()).collect();
        assert!(spreads.begin(RULE, 1, 0).is_none());
        assert!(spreads.begin(RULE, 1, SAMPLE_US).is_some(), "the others are over");
        drop(samples);
        // What nothing refers to any more is forgotten.
        assert!((0..2 * SAMPLES_MAX).all(|_| spreads.begin(RULE, 1, SAMPLE_US).is_some()));
    }
}
