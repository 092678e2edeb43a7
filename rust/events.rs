//! The way back to the host's loop: events in batches, announced by one descriptor that the loop watches.

#[cfg(loom)]
use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};
use std::io;
use std::os::fd::RawFd;
#[cfg(not(loom))]
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use crate::arrivals::{Arrivals, Credit};
use crate::bell::Bell;
use crate::command::Event;
use crate::slots::ConnId;

/// What waits for the host. Each connection has at most a few events, and messages within its credit, so it is bounded by
/// the number of connections.
#[derive(Debug)]
pub struct Events {
    inner: Mutex<Inner>,
    bell: Bell,
    /// How often the host has asked, times two; odd while there is something for it.
    asked: AtomicU64,
    /// Bytes of messages that are on their way, and how many of them are half of what may be.
    bytes: AtomicUsize,
    half: usize,
}

#[derive(Debug)]
struct Inner {
    arrivals: Arrivals,
    is_ringing: bool,
    /// Messages that were refused already and wait to be counted, while nothing else does.
    refused: usize,
}

impl Events {
    /// No events.
    pub fn new(credit: Credit) -> io::Result<Self> {
        let inner = Inner { arrivals: Arrivals::new(credit), is_ringing: false, refused: 0 };
        let (inner, bell, half) = (Mutex::new(inner), Bell::new()?, credit.total / 2);
        Ok(Self { inner, bell, asked: AtomicU64::new(0), bytes: AtomicUsize::new(0), half })
    }

    /// The descriptor that is readable until [`Self::take`] has returned nothing.
    pub fn fd(&self) -> RawFd {
        self.bell.fd()
    }

    /// Adds events, and rings if there is something to do about one. Connections that may have no more messages on their way are added to `full`, until
    /// [`Self::take`] names them.
    pub fn extend(&self, events: impl IntoIterator<Item = Event>, full: &mut Vec<ConnId>) {
        let mut inner = self.lock();
        let mut is_loud = false;
        for event in events {
            match event.refused() {
                // The host has nothing to do but count them: it does so when it is awake, or for some at once.
                Some(count) => inner.refused += count,
                None => is_loud = true,
            }
            inner.arrivals.push(event, full);
        }
        self.bytes.store(inner.arrivals.bytes(), Relaxed);
        is_loud |= inner.refused >= QUIET || !full.is_empty();
        let must_ring = is_loud && !inner.is_ringing && !inner.arrivals.is_empty();
        if must_ring {
            inner.is_ringing = true;
            self.asked.fetch_or(1, Relaxed);
        }
        // Not under the lock: the host may run at once, and would wait for it.
        drop(inner);
        if must_ring {
            self.bell.ring();
        }
    }

    /// Takes what waits, see [`Arrivals::take`]. When that is nothing the bell is silent.
    pub fn take(&self, most: usize, held: usize, again: &mut Vec<ConnId>) -> Vec<Event> {
        let mut inner = self.lock();
        self.asked.fetch_add(2, Relaxed);
        let taken = inner.arrivals.take(most, held, again);
        inner.refused = 0;
        self.bytes.store(inner.arrivals.bytes(), Relaxed);
        // Where nothing was taken, the bell may have been rung for what was taken before.
        if inner.arrivals.is_empty() && (inner.is_ringing || taken.is_empty()) {
            inner.is_ringing = false;
            self.asked.fetch_and(!1, Relaxed);
            self.bell.silence();
        }
        taken
    }

    /// How often the host has called [`Self::take`]: it is busy with other things as long as that stays the same. None
    /// where it has handled all that there was.
    pub fn asked(&self) -> Option<u64> {
        let asked = self.asked.load(Relaxed);
        (asked % 2 == 1).then_some(asked / 2)
    }

    /// Bytes of messages that are on their way.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Whether these are less than half of what may be.
    pub fn is_roomy(&self) -> bool {
        self.bytes() < self.half
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under this lock, so a poisoned one is as good as any.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Refused messages that do not wake the host. A session is told of every 32 messages of its own that they have come.
const QUIET: usize = 16;

#[cfg(test)]
mod tests;
