//! The way to a thread: what it is given, and what wakes it.

use std::io;

use mio::{Registry, Waker};

use crate::io::driver::WAKE;
use crate::queues::queue::Queue;

/// A queue to a thread that waits in a poll.
#[derive(Debug)]
pub struct Mailbox<T> {
    queue: Queue<T>,
    waker: Waker,
}

impl<T> Mailbox<T> {
    /// Creates an empty one, for the thread with this poll.
    pub fn new(registry: &Registry) -> io::Result<Self> {
        Ok(Self { queue: Queue::new(usize::MAX, usize::MAX), waker: Waker::new(registry, WAKE)? })
    }

    /// Gives the thread something.
    pub fn push(&self, item: T) {
        if self.queue.push(item, 0) {
            self.wake();
        }
    }

    /// Tells the thread to stop.
    pub fn stop(&self) {
        if self.queue.stop() {
            self.wake();
        }
    }

    /// Takes what the thread was given; see [`Queue::take`].
    pub(super) fn take(&self, into: &mut Vec<T>) -> bool {
        self.queue.take(into)
    }

    /// Whether the thread may sleep; see [`Queue::sleep`].
    pub(super) fn sleep(&self) -> bool {
        self.queue.sleep()
    }

    fn wake(&self) {
        // Fails only if the descriptor is broken; the thread then wakes at its next timer.
        let _ = self.waker.wake();
    }
}
