//! One lane of an outbox: messages in order, of which the waiting one of a key is found, and replaced, at once.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::message::{KeyId, Message};

/// See the module's head. Of each key at most one message waits.
#[derive(Debug, Default)]
pub struct Lane {
    queue: VecDeque<Arc<Message>>,
    /// How many messages have left the front; the number of a place is this and its index in the queue.
    gone: u64,
    places: FxHashMap<KeyId, u64>,
}

impl Lane {
    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.queue.iter()
    }

    /// The message with so many before it.
    pub fn get(&self, place: usize) -> Option<&Arc<Message>> {
        self.queue.get(place)
    }

    /// Adds a message at the end. None with its key may wait; see [`Self::replace`].
    pub fn push(&mut self, message: Arc<Message>) {
        if let Some(key) = message.key() {
            self.places.insert(key, self.gone + self.queue.len() as u64);
        }
        self.queue.push_back(message);
    }

    /// Puts the message in the place of the waiting one with its key, and returns that one.
    pub fn replace(&mut self, message: &Arc<Message>) -> Option<Arc<Message>> {
        let place = *self.places.get(&message.key()?)?;
        let waiting = self.queue.get_mut((place - self.gone) as usize)?;
        Some(mem::replace(waiting, Arc::clone(message)))
    }

    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<Arc<Message>> {
        let message = self.queue.pop_front()?;
        if let Some(key) = message.key() {
            self.places.remove(&key);
        }
        self.gone += 1;
        Some(message)
    }

    /// Gives memory back after a backlog.
    pub fn shrink(&mut self) {
        if self.queue.capacity() > KEEP {
            self.queue.shrink_to(KEEP);
            self.places = FxHashMap::default();
        }
    }

    /// Messages that find a place without new memory.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.queue.capacity().max(self.places.capacity())
    }
}

/// Places that an empty lane keeps for the next messages.
const KEEP: usize = 64;
