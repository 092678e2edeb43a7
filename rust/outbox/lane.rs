//! One lane of an outbox: messages in order. The waiting message of a key is found and replaced in constant time.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::message::{KeyId, Message};

/// A lane. At most one message of each key waits.
#[derive(Debug, Default)]
pub struct Lane {
    queue: VecDeque<Arc<Message>>,
    /// The number of messages that have left the front. The number of a place is this plus its index in the queue.
    gone: u64,
    places: FxHashMap<KeyId, u64>,
}

impl Lane {
    /// Returns the number of messages that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns the messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.queue.iter()
    }

    /// Returns the message at an index.
    pub fn get(&self, place: usize) -> Option<&Arc<Message>> {
        self.queue.get(place)
    }

    /// Adds a message at the end. No message with its key may wait; see [`Self::replace`].
    pub fn push(&mut self, message: Arc<Message>) {
        if let Some(key) = message.key() {
            self.places.insert(key, self.gone + self.queue.len() as u64);
        }
        self.queue.push_back(message);
    }

    /// Replaces the waiting message with the same key. Returns the replaced one.
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

    /// Removes the messages for which `keep` returns false.
    pub fn retain(&mut self, keep: impl FnMut(&Arc<Message>) -> bool) {
        let before = self.queue.len();
        self.queue.retain(keep);
        if self.queue.len() < before {
            let keys =
                self.queue.iter().enumerate().filter_map(|(place, message)| Some((message.key()?, place as u64)));
            self.places = keys.map(|(key, place)| (key, self.gone + place)).collect();
        }
    }

    /// Frees memory after a backlog.
    pub fn shrink(&mut self) {
        if self.queue.capacity() > KEEP {
            self.queue.shrink_to(KEEP);
            self.places = FxHashMap::default();
        }
    }

    /// Returns how many messages fit without new memory.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.queue.capacity().max(self.places.capacity())
    }
}

/// The capacity that an empty lane keeps.
const KEEP: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::tests::latest;

    #[test]
    fn keys_are_found_after_messages_were_removed() {
        let mut lane = Lane::default();
        (1..=4).for_each(|seq| lane.push(latest(seq, seq)));
        assert_eq!(lane.pop().unwrap().seq(), 1);
        lane.retain(|message| message.seq() != 3);
        assert!(lane.replace(&latest(9, 3)).is_none());
        assert_eq!(lane.replace(&latest(10, 4)).unwrap().seq(), 4);
        assert_eq!(lane.iter().map(|message| message.seq()).collect::<Vec<_>>(), [2, 10]);
    }
}
