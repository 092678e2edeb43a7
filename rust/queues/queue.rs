//! The queue from any thread to one. Many threads push; one takes everything at once, and sleeps when there is nothing.
//! The lock covers the decision to sleep, so no push is missed, and a taker that is awake is never woken.

#[cfg(loom)]
use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering::Acquire, Ordering::Release},
};
use std::mem;
#[cfg(not(loom))]
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering::Acquire, Ordering::Release},
};

/// A queue from many threads to one.
#[derive(Debug)]
pub struct Queue<T> {
    inner: Mutex<QueueInner<T>>,
    /// Whether there may be something to take; changed under the lock.
    has_news: AtomicBool,
    max_items: usize,
    max_bytes: usize,
}

/// A limit of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueLimit {
    /// On the number of items.
    Items(usize),
    /// On their bytes.
    Bytes(usize),
}

#[derive(Debug)]
struct QueueInner<T> {
    items: Vec<T>,
    bytes: usize,
    is_asleep: bool,
    is_stopped: bool,
}

impl<T> Queue<T> {
    /// Creates an empty queue that is full from `max_items` or `max_bytes` on; see [`Self::full`].
    pub fn new(max_items: usize, max_bytes: usize) -> Self {
        let inner = QueueInner { items: Vec::new(), bytes: 0, is_asleep: false, is_stopped: false };
        Self { inner: Mutex::new(inner), has_news: AtomicBool::new(false), max_items, max_bytes }
    }

    /// Returns the limit that is reached, if one is: callers should then refuse what may be refused. What must not be
    /// lost is pushed even so, and is bounded by the number of connections.
    pub fn full(&self) -> Option<QueueLimit> {
        let inner = self.lock();
        if inner.items.len() >= self.max_items {
            Some(QueueLimit::Items(self.max_items))
        } else {
            (inner.bytes >= self.max_bytes).then_some(QueueLimit::Bytes(self.max_bytes))
        }
    }

    /// Adds an item. Returns true if the taker sleeps and the caller has to wake it.
    #[must_use = "a sleeping taker has to be woken"]
    pub fn push(&self, item: T, bytes: usize) -> bool {
        let mut inner = self.lock();
        inner.items.push(item);
        inner.bytes += bytes;
        self.has_news.store(true, Release);
        mem::take(&mut inner.is_asleep)
    }

    /// Adds an item like [`Self::push`], but lets a taker that sleeps sleep on until `most` items wait.
    #[must_use = "a sleeping taker has to be woken"]
    pub fn push_lazily(&self, item: T, bytes: usize, most: usize) -> bool {
        let mut inner = self.lock();
        inner.items.push(item);
        inner.bytes += bytes;
        inner.items.len() >= most && mem::take(&mut inner.is_asleep)
    }

    /// Tells the taker to stop. Returns true if it sleeps and has to be woken.
    #[must_use = "a sleeping taker has to be woken"]
    pub fn stop(&self) -> bool {
        let mut inner = self.lock();
        inner.is_stopped = true;
        self.has_news.store(true, Release);
        mem::take(&mut inner.is_asleep)
    }

    /// Whether the queue was stopped.
    pub fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    /// Returns the bytes that wait.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Swaps all items into `into`, which must be empty. Returns false once the queue was stopped.
    pub fn take(&self, into: &mut Vec<T>) -> bool {
        debug_assert!(into.is_empty());
        let mut inner = self.lock();
        mem::swap(&mut inner.items, into);
        inner.bytes = 0;
        self.has_news.store(inner.is_stopped, Release);
        // Something else may have woken the taker.
        inner.is_asleep = false;
        !inner.is_stopped
    }

    /// Whether there is something to take, or the queue was stopped. Takes no lock, so that a taker that spins does not
    /// slow down those that push.
    pub fn has_news(&self) -> bool {
        self.has_news.load(Acquire)
    }

    /// Whether the taker may sleep now. From here on, the next push reports that it has to be woken.
    pub fn sleep(&self) -> bool {
        let mut inner = self.lock();
        inner.is_asleep = inner.items.is_empty() && !inner.is_stopped;
        inner.is_asleep
    }

    fn lock(&self) -> MutexGuard<'_, QueueInner<T>> {
        // No code that can panic runs under this lock, so a poisoned lock is usable.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests;
