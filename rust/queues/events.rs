//! The events to the host's loop, in batches, announced by a descriptor that the loop watches.

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

use crate::queues::command::Event;
use crate::queues::fair_queue::{Credit, FairQueue};
use crate::queues::wakeup::Wakeup;
use crate::slots::ConnId;

/// The queue to the host. Each connection has at most a few events, and messages within its credit, so the queue is
/// bounded by the number of connections.
#[derive(Debug)]
pub struct Events {
    inner: Mutex<EventsInner>,
    wakeup: Wakeup,
    /// Twice the number of times that the host has asked; odd while something waits for it.
    asked: AtomicU64,
    /// The bytes of messages on their way to the host, and half of their limit.
    bytes: AtomicUsize,
    half: usize,
}

#[derive(Debug)]
struct EventsInner {
    fair_queue: FairQueue,
    is_ringing: bool,
    /// Messages that were refused already and wait to be counted, while nothing else does.
    refused: usize,
}

impl Events {
    /// Creates an empty queue.
    pub fn new(credit: Credit) -> io::Result<Self> {
        let inner = EventsInner { fair_queue: FairQueue::new(credit), is_ringing: false, refused: 0 };
        let (inner, wakeup, half) = (Mutex::new(inner), Wakeup::new()?, credit.total / 2);
        Ok(Self { inner, wakeup, asked: AtomicU64::new(0), bytes: AtomicUsize::new(0), half })
    }

    /// Returns the descriptor that is readable until [`Self::take`] has returned nothing.
    pub fn fd(&self) -> RawFd {
        self.wakeup.fd()
    }

    /// Adds events, and wakes the host if one of them needs it. Connections that have used up their credit are added to
    /// `full`, until [`Self::take`] names them again.
    pub fn extend(&self, events: impl IntoIterator<Item = Event>, full: &mut Vec<ConnId>) {
        let mut inner = self.lock();
        let mut is_loud = false;
        for event in events {
            match event.refused() {
                // The host only counts refused messages, which is not worth waking it for a few.
                Some(count) => inner.refused += count,
                None => is_loud = true,
            }
            inner.fair_queue.push(event, full);
        }
        self.bytes.store(inner.fair_queue.bytes(), Relaxed);
        is_loud |= inner.refused >= QUIET || !full.is_empty();
        let must_ring = is_loud && !inner.is_ringing && !inner.fair_queue.is_empty();
        if must_ring {
            inner.is_ringing = true;
            self.asked.fetch_or(1, Relaxed);
        }
        // Not under the lock, because the host may run at once and would wait for it.
        drop(inner);
        if must_ring {
            self.wakeup.notify();
        }
    }

    /// Takes what waits; see [`FairQueue::take`]. The descriptor is no longer readable if that is nothing.
    pub fn take(&self, most: usize, held: usize, again: &mut Vec<ConnId>) -> Vec<Event> {
        let mut inner = self.lock();
        self.asked.fetch_add(2, Relaxed);
        let taken = inner.fair_queue.take(most, held, again);
        inner.refused = 0;
        self.bytes.store(inner.fair_queue.bytes(), Relaxed);
        // If nothing was taken, the wakeup may have been for what was taken before.
        if inner.fair_queue.is_empty() && (inner.is_ringing || taken.is_empty()) {
            inner.is_ringing = false;
            self.asked.fetch_and(!1, Relaxed);
            self.wakeup.clear();
        }
        taken
    }

    /// Returns how often the host has called [`Self::take`]; while that stays the same, the host is busy. None if it
    /// has handled everything.
    pub fn asked(&self) -> Option<u64> {
        let asked = self.asked.load(Relaxed);
        (asked % 2 == 1).then_some(asked / 2)
    }

    /// Returns the bytes of messages on their way to the host.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Whether they are less than half of their limit.
    pub fn is_roomy(&self) -> bool {
        self.bytes() < self.half
    }

    fn lock(&self) -> MutexGuard<'_, EventsInner> {
        // No code that can panic runs under this lock, so a poisoned lock is usable.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Refused messages that wake the host. It is less than 32, the number of own messages after which a session is told
/// that they have come.
const QUIET: usize = 16;

#[cfg(test)]
mod tests;
