//! The messages that a session was sent and has not acknowledged; they are sent again after its link is lost. Pure. It
//! counts messages from the start of the session, as its peer does; nothing on the wire carries the count.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::Message;
use crate::protocol::form::Form;

/// The sent messages of one session. Bounded in bytes: the oldest are forgotten first, acknowledged or not.
#[derive(Debug)]
pub struct Replay {
    /// Messages, single or joined, with the bytes that each counts for.
    ring: VecDeque<(Arc<Message>, usize)>,
    /// The number of single messages before the first in the ring.
    base: u64,
    /// The number of entries, from the front of the ring, that were written completely over the present link.
    written: usize,
    /// The number of single messages in these entries.
    written_count: u64,
    bytes: usize,
    limit: usize,
    form: Form,
}

impl Replay {
    /// Creates an empty replay that keeps at most `limit` bytes.
    pub fn new(limit: usize, form: Form) -> Self {
        Self { ring: VecDeque::new(), base: 0, written: 0, written_count: 0, bytes: 0, limit, form }
    }

    /// Returns the number of messages written since the session began.
    pub fn total(&self) -> u64 {
        self.base + self.written_count
    }

    /// Returns the number of messages that it refers to.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Returns the bytes that [`Self::forget`] would free.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of entries that have to be sent again, ahead of new messages.
    pub fn pending(&self) -> usize {
        self.ring.len() - self.written
    }

    /// Returns these entries, oldest first.
    pub fn iter_pending(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.ring.range(self.written..).map(|(message, _)| message)
    }

    /// Returns the first of these entries.
    pub fn first_pending(&self) -> Option<&Arc<Message>> {
        self.ring.get(self.written).map(|(message, _)| message)
    }

    /// Notes that the first pending entry was written.
    pub fn wrote_pending(&mut self) {
        if let Some((message, _)) = self.ring.get(self.written) {
            self.written_count += message.count() as u64;
            self.written += 1;
        }
    }

    /// Removes those of these entries for which `keep` returns false. They count no more.
    pub fn retain_pending(&mut self, keep: impl Fn(&Arc<Message>) -> bool) {
        let mut place = 0;
        self.ring.retain(|(message, cost)| {
            let is_kept = place < self.written || keep(message);
            place += 1;
            self.bytes -= if is_kept { 0 } else { *cost };
            is_kept
        });
    }

    /// Puts a message in the place of the first `count` pending entries, of which it is joined.
    pub fn join_pending(&mut self, joined: &Arc<Message>, count: usize) {
        if count < 2 {
            return;
        }
        for (_, cost) in self.ring.drain(self.written..self.written + count) {
            self.bytes -= cost;
        }
        let cost = joined.cost(self.form);
        self.bytes += cost;
        self.ring.insert(self.written, (Arc::clone(joined), cost));
    }

    /// Notes that a new message with this cost was written. Nothing may be pending.
    pub fn wrote(&mut self, message: Arc<Message>, cost: usize) {
        self.bytes += cost;
        self.written_count += message.count() as u64;
        self.written += 1;
        self.ring.push_back((message, cost));
        while self.bytes > self.limit && self.written > 0 {
            self.pop();
        }
    }

    /// Notes that the link was lost after `written` bytes of a message, which was pending (`is_again`) or new. Parts of
    /// it that left completely may have been received; the part that was cut was not. A batch leaves as a whole. All of
    /// it is kept, whatever the limit is.
    pub fn interrupted(&mut self, message: Arc<Message>, mut written: usize, is_again: bool) {
        if self.form.is_batched {
            let is_whole = written >= message.frame(self.form).len();
            if !is_again {
                let cost = message.cost(self.form);
                self.bytes += cost;
                self.ring.push_back((message, cost));
            }
            if is_whole {
                self.wrote_pending();
            }
            return;
        }
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

    /// Notes that the peer has received `count` messages in all. An impossible count is ignored.
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

    /// Makes everything after the first `received` messages pending. Returns false if some of it was forgotten, or if
    /// `received` is more than was sent.
    pub fn rewind(&mut self, received: u64) -> bool {
        if !(self.base..=self.total()).contains(&received) {
            return false;
        }
        self.acknowledge(received);
        self.written = 0;
        self.written_count = 0;
        true
    }

    /// Changes the form of all messages.
    pub fn reframe(&mut self, form: Form) {
        self.form = form;
        for (message, cost) in &mut self.ring {
            *cost = message.cost(form);
        }
        self.bytes = self.ring.iter().map(|(_, cost)| cost).sum();
    }

    /// Forgets what was written. The session cannot be resumed from before this point any more.
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

    /// Replaces a joined message by its parts.
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

/// The capacity that stays for the next messages.
const KEEP: usize = 64;

#[cfg(test)]
mod tests {
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

    /// The messages `from` to `to`, joined into one.
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
        // The link is lost again, and only a part of what was sent again was received.
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
    fn whole_parts_of_a_joined_message_that_was_cut_may_have_been_received() {
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
