//! What a connection was sent and has not acknowledged: what its session needs to go on after the connection is lost.
//! Pure. It counts messages from the session's beginning, as its peer does; nothing on the wire carries the count.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::envelope::Encoding;
use crate::message::Message;

/// See the module's head. Bounded in bytes: what was sent long ago is forgotten first, acknowledged or not.
#[derive(Debug)]
pub struct Replay {
    ring: VecDeque<Arc<Message>>,
    /// How many messages came before the first of the ring.
    base: u64,
    /// How many of the ring, from its front, were written completely since the link is there.
    written: usize,
    bytes: usize,
    limit: usize,
    encoding: Encoding,
}

impl Replay {
    /// Nothing was sent yet. At most `limit` bytes are kept.
    pub fn new(limit: usize, encoding: Encoding) -> Self {
        Self { ring: VecDeque::new(), base: 0, written: 0, bytes: 0, limit, encoding }
    }

    /// Messages that it holds.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Bytes that could be given back by [`Self::forget`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that have to be written again, before all that is new.
    pub fn pending(&self) -> usize {
        self.ring.len() - self.written
    }

    /// The same, oldest first.
    pub fn iter_pending(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.ring.range(self.written..)
    }

    /// The first of them.
    pub fn first_pending(&self) -> Option<&Arc<Message>> {
        self.ring.get(self.written)
    }

    /// The first of those that were pending has been written.
    pub fn wrote_pending(&mut self) {
        self.written += 1;
    }

    /// A new message has been written; nothing was pending.
    pub fn wrote(&mut self, message: Arc<Message>) {
        self.bytes += message.cost(self.encoding);
        self.ring.push_back(message);
        self.written += 1;
        while self.bytes > self.limit && self.written > 0 {
            self.pop();
        }
    }

    /// A new message has left in part when the link was lost; nothing was pending. It cannot have been received.
    pub fn interrupted(&mut self, message: Arc<Message>) {
        self.bytes += message.cost(self.encoding);
        self.ring.push_back(message);
    }

    /// The peer has received `count` messages in all. A count that cannot be is ignored.
    pub fn acknowledge(&mut self, count: u64) {
        if count <= self.base + self.written as u64 {
            while self.base < count {
                self.pop();
            }
        }
        if self.ring.capacity() > KEEP && self.ring.len() < KEEP / 2 {
            self.ring.shrink_to(KEEP);
        }
    }

    /// Makes everything after the first `received` messages pending; false when that is not possible, because some of
    /// it was forgotten or `received` is more than was sent.
    pub fn rewind(&mut self, received: u64) -> bool {
        if !(self.base..=self.base + self.written as u64).contains(&received) {
            return false;
        }
        self.acknowledge(received);
        self.written = 0;
        true
    }

    /// Forgets what was written: the session cannot go on from before this point any more.
    pub fn forget(&mut self) {
        while self.written > 0 {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(message) = self.ring.pop_front() {
            self.bytes -= message.cost(self.encoding);
            self.base += 1;
            self.written -= 1;
        }
    }
}

/// Places that stay for the next messages.
const KEEP: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::outbox::tests::reliable;

    fn numbers(replay: &Replay) -> Vec<u64> {
        replay.iter_pending().map(|message| message.seq()).collect()
    }

    fn sent(count: u64) -> Replay {
        let mut replay = Replay::new(usize::MAX, Encoding::Raw);
        for seq in 0..count {
            replay.wrote(reliable(seq));
        }
        replay
    }

    #[test]
    fn what_was_not_received_is_pending_after_a_rewind() {
        let mut replay = sent(5);
        assert!(replay.rewind(2));
        assert_eq!(numbers(&replay), [2, 3, 4]);
        replay.wrote_pending();
        assert_eq!(replay.first_pending().unwrap().seq(), 3);
        // Lost again, and what was sent again was received only now and then.
        assert!(replay.rewind(3));
        assert_eq!(numbers(&replay), [3, 4]);
        replay.wrote_pending();
        replay.wrote_pending();
        replay.wrote(reliable(5));
        assert!(replay.rewind(6));
        assert_eq!((replay.pending(), replay.len()), (0, 0));
    }

    #[test]
    fn counts_that_cannot_be() {
        let mut replay = sent(3);
        replay.acknowledge(4);
        assert_eq!(replay.len(), 3);
        assert!(!replay.rewind(4));
        replay.acknowledge(2);
        replay.acknowledge(1);
        assert_eq!(replay.len(), 1);
        assert!(!replay.rewind(1));
        assert!(replay.rewind(2));
        // What is pending has not been received, whatever the peer says.
        assert!(!replay.rewind(3));
    }

    #[test]
    fn a_message_that_left_in_part_is_pending_and_cannot_have_been_received() {
        let mut replay = sent(1);
        replay.interrupted(reliable(1));
        assert!(!replay.rewind(2));
        assert!(replay.rewind(1));
        assert_eq!(numbers(&replay), [1]);
    }

    #[test]
    fn over_the_limit_the_oldest_are_forgotten_but_nothing_that_is_pending() {
        let cost = reliable(0).cost(Encoding::Raw);
        let mut replay = Replay::new(2 * cost, Encoding::Raw);
        for seq in 0..5 {
            replay.wrote(reliable(seq));
        }
        assert_eq!((replay.len(), replay.bytes()), (2, 2 * cost));
        assert!(!replay.rewind(2));
        assert!(replay.rewind(3));
        replay.wrote_pending();
        replay.forget();
        assert_eq!(numbers(&replay), [4]);
        assert!(!replay.rewind(3));
        assert!(replay.rewind(4));
    }
}
