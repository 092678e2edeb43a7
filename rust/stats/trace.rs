//! Traces: when a sampled message was written, and to how many connections. The host asks for each one before it
//! publishes, so that nothing is measured unless somebody wants it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::stats::spread::Measurement;

/// What is known of the delivery of one message. Thread-safe.
#[derive(Debug)]
pub struct Trace {
    /// The room.
    pub room: Box<str>,
    /// The number of the message in the room.
    pub seq: u64,
    /// When it was published, in microseconds since the engine started.
    pub published_us: u64,
    /// When the engine started. A trace reads the clock itself, and only when it is written: the time that a shard is
    /// given is that of its turn, in which it writes to many.
    started: Instant,
    /// What measures its spread, if it is one of these.
    sample: Option<Arc<Measurement>>,
    written: AtomicU64,
    last_us: AtomicU64,
}

impl Trace {
    /// Creates the trace of a message that nobody but `sample` asks for.
    pub fn sampled(sample: Arc<Measurement>, started: Instant) -> Self {
        let (written, last_us) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { room: Box::default(), seq: 0, published_us: 0, started, sample: Some(sample), written, last_us }
    }

    /// Counts a connection whose link has taken the message.
    pub fn wrote(&self) {
        self.wrote_at(self.started.elapsed().as_micros() as u64);
    }

    /// Notes that a shard has queued the message for `members`.
    pub fn queued(&self, members: usize) {
        self.sample.iter().for_each(|sample| sample.queued(members));
    }

    /// Notes that a member does not get the message.
    pub fn dropped(&self) {
        self.sample.iter().for_each(|sample| sample.dropped());
    }

    fn wrote_at(&self, now_us: u64) {
        self.written.fetch_add(1, Relaxed);
        self.last_us.fetch_max(now_us, Relaxed);
        self.sample.iter().for_each(|sample| sample.wrote(now_us));
    }

    /// Returns how many connections got it, and when the last of them did; 0 and 0 before the first one.
    pub fn written(&self) -> (u64, u64) {
        (self.written.load(Relaxed), self.last_us.load(Relaxed))
    }
}

/// The traces of one engine. Thread-safe.
#[derive(Debug, Default)]
pub struct Traces {
    /// The number of rooms in `TraceState::wanted`, so that a message costs one look while there are none.
    wanted: AtomicUsize,
    state: Mutex<TraceState>,
}

#[derive(Debug, Default)]
struct TraceState {
    wanted: HashSet<Box<str>>,
    running: Vec<Arc<Trace>>,
}

impl Traces {
    /// Traces the next message of a room. Returns false if too many are traced at once.
    pub fn want(&self, room: &str) -> bool {
        let mut state = self.lock();
        if state.wanted.len() + state.running.len() >= TRACES_MAX {
            return false;
        }
        state.wanted.insert(room.into());
        self.wanted.store(state.wanted.len(), Relaxed);
        true
    }

    /// Traces no further message of a room. Returns whether one is traced since [`Self::want`]; a message that was
    /// refused or that has no reader is not.
    pub fn unwant(&self, room: &str) -> bool {
        let mut state = self.lock();
        let was_wanted = state.wanted.remove(room);
        self.wanted.store(state.wanted.len(), Relaxed);
        !was_wanted
    }

    /// Begins the trace of a message that is published now, if one is wanted in its room or to measure its spread.
    pub fn begin(
        &self,
        room: &str,
        seq: u64,
        sample: Option<Arc<Measurement>>,
        published_us: u64,
        started: Instant,
    ) -> Option<Arc<Trace>> {
        let wanted = if self.wanted.load(Relaxed) > 0 { Some(self.lock()) } else { None };
        let Some(mut state) = wanted.filter(|state| state.wanted.contains(room)) else {
            return sample.map(|sample| Arc::new(Trace::sampled(sample, started)));
        };
        state.wanted.remove(room);
        self.wanted.store(state.wanted.len(), Relaxed);
        let (written, last_us) = (AtomicU64::new(0), AtomicU64::new(0));
        let trace = Arc::new(Trace { room: room.into(), seq, published_us, started, sample, written, last_us });
        state.running.push(Arc::clone(&trace));
        Some(trace)
    }

    /// Takes the traces that are over: no queue, history or value refers to the message any more, or it was published
    /// [`TRACE_US`] ago.
    pub fn take(&self, now_us: u64) -> Vec<Arc<Trace>> {
        let is_over = |trace: &mut Arc<Trace>| {
            Arc::strong_count(trace) == 1 || now_us.saturating_sub(trace.published_us) >= TRACE_US
        };
        self.lock().running.extract_if(.., is_over).collect()
    }

    fn lock(&self) -> MutexGuard<'_, TraceState> {
        // Each change is complete when it is made, so a poisoned lock is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limit on traces at once. Hundreds a second are enough to see how long deliveries take.
pub const TRACES_MAX: usize = 1024;

/// How long a message is traced whose room keeps it, or that waits for slow readers.
pub const TRACE_US: u64 = 5_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(traces: &Traces, room: &str, seq: u64, now_us: u64) -> Option<Arc<Trace>> {
        traces.begin(room, seq, None, now_us, Instant::now())
    }

    #[test]
    fn one_message_is_traced_until_nothing_refers_to_it() {
        let traces = Traces::default();
        assert!(begin(&traces, "a", 1, 5).is_none());
        assert!(traces.want("a"));
        assert!(begin(&traces, "b", 1, 5).is_none());
        let trace = begin(&traces, "a", 2, 7).unwrap();
        assert!(traces.unwant("a"));
        assert!(begin(&traces, "a", 3, 8).is_none());
        trace.wrote_at(20);
        trace.wrote_at(12);
        assert!(traces.take(100).is_empty());
        drop(trace);
        let over = traces.take(100);
        assert_eq!((over.len(), &*over[0].room, over[0].seq, over[0].written()), (1, "a", 2, (2, 20)));
        assert!(traces.take(100).is_empty());
    }

    #[test]
    fn what_a_room_keeps_is_traced_for_a_while() {
        let traces = Traces::default();
        traces.want("a");
        let _kept = begin(&traces, "a", 1, 1_000).unwrap();
        assert!(traces.take(TRACE_US + 999).is_empty());
        assert_eq!(traces.take(TRACE_US + 1_000).len(), 1);
    }

    #[test]
    fn the_number_of_traces_is_limited() {
        let traces = Traces::default();
        assert!((0..TRACES_MAX).all(|number| traces.want(&number.to_string())));
        assert!(!traces.want("one more"));
        assert!(!traces.unwant("0"));
        assert!(traces.want("one more"));
        assert!(begin(&traces, "0", 1, 0).is_none());
    }
}
