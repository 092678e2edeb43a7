//! The budget: bytes held by the whole engine, each counted once however many queues refer to them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A shared count of bytes, with a limit that its users enforce.
///
/// A message adds itself when it is built and subtracts itself when its last reference is dropped, so a message that
/// waits for ten thousand readers counts once, as its memory does. The shard adds what each waiting reference costs.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    /// Of these, the bytes of messages that rooms keep, whether connections wait for them or not.
    kept: AtomicUsize,
    limit: usize,
}

impl Budget {
    /// Creates a budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), kept: AtomicUsize::new(0), limit }
    }

    /// Returns the bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Returns the bytes in use without those of messages that rooms keep, which would be there if nothing waited.
    pub fn waiting(&self) -> usize {
        self.used().saturating_sub(self.kept.load(Relaxed))
    }

    /// Returns the limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the limit is exceeded, without counting `aside` bytes.
    pub fn is_over(&self, aside: usize) -> bool {
        self.used() > self.limit.saturating_add(aside)
    }

    /// Whether seven eighths of the limit are exceeded, without counting `aside` bytes.
    pub fn is_near(&self, aside: usize) -> bool {
        self.used() > (self.limit - self.limit / 8).saturating_add(aside)
    }

    /// Adds bytes.
    pub fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Relaxed);
    }

    /// Notes that bytes in use belong to a message that a room keeps.
    pub fn note_kept(&self, bytes: usize) {
        self.kept.fetch_add(bytes, Relaxed);
    }

    /// Takes back what was noted before.
    pub fn unnote_kept(&self, bytes: usize) {
        self.kept.fetch_sub(bytes, Relaxed);
    }

    /// Subtracts bytes that were added before.
    pub fn subtract(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}
