//! The last messages of a room, in the order of their numbers. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::budget::Budget;
use crate::message::Message;

/// The last messages, oldest first: every message with a number above `floor`. The numbers may have holes.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) messages: VecDeque<Arc<Message>>,
    pub(super) bytes: usize,
    pub(super) floor: u64,
}

impl History {
    pub(super) fn push(&mut self, message: Arc<Message>, kept: &Budget) {
        self.charge(&message, kept);
        self.messages.push_back(message);
    }

    pub(super) fn push_older(&mut self, message: Arc<Message>, kept: &Budget) {
        self.charge(&message, kept);
        self.messages.push_front(message);
    }

    /// Removes the oldest message. Returns the bytes that were freed.
    pub(super) fn pop(&mut self, kept: &Budget) -> Option<usize> {
        let message = self.messages.pop_front()?;
        let size = message.kept_size();
        self.floor = message.seq();
        self.bytes -= size;
        uncharge(&message, kept);
        Some(size)
    }

    fn charge(&mut self, message: &Message, kept: &Budget) {
        self.bytes += message.kept_size();
        charge(message, kept);
    }
}

/// Counts a message that a room begins to keep.
pub(super) fn charge(message: &Message, kept: &Budget) {
    kept.add(message.kept_size());
    message.keep();
}

/// Counts a message that a room kept, and keeps no more.
pub(super) fn uncharge(message: &Message, kept: &Budget) {
    kept.subtract(message.kept_size());
    message.release();
}
