//! Bytes held by the whole engine, counted once however many queues refer to them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A shared count of bytes with a limit that its users enforce.
///
/// Messages add themselves when built and subtract themselves when the last reference goes, so the
/// count is what the memory really costs: a message waiting for ten thousand readers counts once.
/// What each waiting reference costs on top is added by the shard that holds it.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether more is in use than allowed, `aside` bytes not counted.
    pub fn is_over(&self, aside: usize) -> bool {
        self.used() > self.limit.saturating_add(aside)
    }

    /// Whether more than seven eighths of what is allowed are in use, `aside` bytes not counted.
    pub fn is_near(&self, aside: usize) -> bool {
        self.used() > (self.limit - self.limit / 8).saturating_add(aside)
    }

    /// Counts `bytes` more.
    pub fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Relaxed);
    }

    /// Counts `bytes` fewer; they were added before.
    pub fn subtract(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}
