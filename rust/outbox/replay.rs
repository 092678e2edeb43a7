//! What a connection was sent and has not acknowledged: what its session needs to go on after the connection is lost.
//! Pure. It counts messages from the session's beginning, as its peer does; nothing on the wire carries the count.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::Message;
use crate::protocol::form::Form;

/// See the module's head. Bounded in bytes: what was sent long ago is forgotten first, acknowledged or not.
#[derive(Debug)]
pub struct Replay {
    /// Messages, joined ones among them, with what each counts for.
    ring: VecDeque<(Arc<Message>, usize)>,
    /// How many single messages came before the first of the ring.
    base: u64,
    /// How many entries of the ring, from its front, were written completely since the link is there.
    written: usize,
    /// How many single messages these are.
    written_count: u64,
    bytes: usize,
    limit: usize,
    form: Form,
}

impl Replay {
    /// Nothing was sent yet. At most `limit` bytes are kept.
    pub fn new(limit: usize, form: Form) -> Self {
        Self { ring: VecDeque::new(), base: 0, written: 0, written_count: 0, bytes: 0, limit, form }
    }

    /// How many messages were written, since the session began.
    pub fn total(&self) -> u64 {
        self.base + self.written_count
    }

    /// References that it holds.
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

    /// Entries that have to be written again, before all that is new.
    pub fn pending(&self) -> usize {
        self.ring.len() - self.written
    }

    /// The same, oldest first.
    pub fn iter_pending(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.ring.range(self.written..).map(|(message, _)| message)
    }

    /// The first of them.
    pub fn first_pending(&self) -> Option<&Arc<Message>> {
        self.ring.get(self.written).map(|(message, _)| message)
    }

    /// The first of those that were pending has been written.
    pub fn wrote_pending(&mut self) {
        if let Some((message, _)) = self.ring.get(self.written) {
            self.written_count += message.count() as u64;
            self.written += 1;
        }
    }

    /// A new message, which counts for `cost`, has been written; nothing was pending.
    pub fn wrote(&mut self, message: Arc<Message>, cost: usize) {
        self.bytes += cost;
        self.written_count += message.count() as u64;
        self.written += 1;
        self.ring.push_back((message, cost));
        while self.bytes > self.limit && self.written > 0 {
            self.pop();
        }
    }

    /// The link was lost when `written` bytes of a message had left, which is pending if it `is_again`, and otherwise
    /// new. Those of its parts that have left completely may have been received; the one that was cut cannot have been.
    pub fn interrupted(&mut self, message: Arc<Message>, mut written: usize, is_again: bool) {
        if is_again {
            self.split(self.written);
        } else {
            for part in message.parts() {
                let cost = part.cost(self.form);
                self.bytes += cost;
                self.ring.push_back((Arc::clone(part), cost));
            }
        }
        for part in message.parts() {
            match written.checked_sub(part.frame(self.form).len()) {
                Some(left) => written = left,
                None => break,
            }
            self.wrote_pending();
        }
    }

    /// The peer has received `count` messages in all. A count that cannot be is ignored.
    pub fn acknowledge(&mut self, count: u64) {
        if count > self.total() {
            return;
        }
        while self.base < count {
            if self.ring.front().is_some_and(|(message, _)| self.base + message.count() as u64 > count) {
                self.split(0);
            }
            self.pop();
        }
        if self.ring.capacity() > KEEP && self.ring.len() < KEEP / 2 {
            self.ring.shrink_to(KEEP);
        }
    }

    /// Makes everything after the first `received` messages pending; false when that is not possible, because some of
    /// it was forgotten or `received` is more than was sent.
    pub fn rewind(&mut self, received: u64) -> bool {
        if !(self.base..=self.total()).contains(&received) {
            return false;
        }
        self.acknowledge(received);
        self.written = 0;
        self.written_count = 0;
        true
    }

    /// Forgets what was written: the session cannot go on from before this point any more.
    pub fn forget(&mut self) {
        while self.written > 0 {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((message, cost)) = self.ring.pop_front() {
            let count = message.count() as u64;
            self.bytes -= cost;
            self.base += count;
            self.written -= 1;
            self.written_count -= count;
        }
    }

    /// Puts the parts of a joined message in its place.
    fn split(&mut self, place: usize) {
        let Some((message, cost)) = self.ring.remove(place) else { return };
        self.bytes -= cost;
        if place < self.written {
            self.written += message.count() - 1;
        }
        for (offset, part) in message.parts().iter().enumerate() {
            let cost = part.cost(self.form);
            self.bytes += cost;
            self.ring.insert(place + offset, (Arc::clone(part), cost));
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

    fn wrote(replay: &mut Replay, seq: u64) {
        let message = reliable(seq);
        let cost = message.cost(Form::RAW);
        replay.wrote(message, cost);
    }

    /// Numbers `from` to `to` as one.
    fn joined(from: u64, to: u64) -> Arc<Message> {
        let budget = Arc::new(crate::budget::Budget::new(usize::MAX));
        Arc::new(Message::join((from..=to).map(reliable).collect(), &budget).unwrap())
    }

    fn sent(count: u64) -> Replay {
        let mut replay = Replay::new(usize::MAX, Form::RAW);
        for seq in 0..count {
            wrote(&mut replay, seq);
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
        wrote(&mut replay, 5);
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
        replay.interrupted(reliable(1), 9, false);
        assert!(!replay.rewind(2));
        assert!(replay.rewind(1));
        assert_eq!(numbers(&replay), [1]);
    }

    #[test]
    fn over_the_limit_the_oldest_are_forgotten_but_nothing_that_is_pending() {
        let cost = reliable(0).cost(Form::RAW);
        let mut replay = Replay::new(2 * cost, Form::RAW);
        for seq in 0..5 {
            wrote(&mut replay, seq);
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

    #[test]
    fn joined_messages_count_as_what_they_are_made_of() {
        for received in 1..=7 {
            let mut replay = sent(1);
            for (from, to) in [(1, 3), (4, 6)] {
                let message = joined(from, to);
                let cost = message.cost(Form::RAW);
                replay.wrote(message, cost);
            }
            assert_eq!(replay.len(), 3);
            replay.acknowledge(1);
            assert!(!replay.rewind(8));
            assert!(replay.rewind(received));
            let seqs: Vec<_> =
                replay.iter_pending().flat_map(|message| message.parts()).map(|part| part.seq()).collect();
            assert_eq!(seqs, (received..=6).collect::<Vec<_>>());
            replay.wrote_pending();
            replay.forget();
        }
    }

    #[test]
    fn of_a_joined_message_that_was_cut_the_whole_parts_may_have_been_received() {
        let frame = reliable(0).frame(Form::RAW).len();
        for is_again in [false, true] {
            for (written, whole) in [(0, 0), (frame - 1, 0), (frame, 1), (2 * frame + 1, 2)] {
                let mut replay = sent(1);
                let message = joined(1, 3);
                if is_again {
                    let cost = message.cost(Form::RAW);
                    replay.wrote(Arc::clone(&message), cost);
                    assert!(replay.rewind(1));
                }
                replay.interrupted(message, written, is_again);
                assert!(!replay.rewind(2 + whole), "{written}");
                assert!(replay.rewind(1 + whole));
                assert_eq!(numbers(&replay), (1 + whole..=3).collect::<Vec<_>>());
            }
        }
    }
}
