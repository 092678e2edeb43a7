//! The ingress of a room: messages that other nodes publish enter this node's engine here. Each node numbers its
//! messages to a room, so this node knows which messages it missed, and tells the members.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use mio::Waker;
use rustc_hash::FxBuildHasher;

use crate::cluster::node_message::NodeMessage;
use crate::engine::Engine;
use crate::engine::message_builder::Draft;
use crate::error::Error;
use crate::wire::table::skipped_reason;

/// The ingress of one room. Thread-safe.
#[derive(Debug)]
pub struct Ingress {
    engine: Arc<Engine>,
    room: Box<str>,
    numbers: Mutex<Numbers>,
}

/// The result of [`Ingress::take`].
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many messages of the other node the members of this node will not get.
    pub missing: u64,
    /// Why the message itself is one of them; none if a queue was full.
    pub fault: Option<Error>,
}

impl Ingress {
    /// Creates the ingress of a room that this node subscribed to at `since_ms`, in milliseconds since 1970.
    pub fn new(engine: Arc<Engine>, room: &str, since_ms: u64) -> Self {
        Self { engine, room: room.into(), numbers: Mutex::new(Numbers { since_ms, last: IndexMap::default() }) }
    }

    /// Takes a message of another node. Adds the writing threads that have to be woken to `wake`; the caller wakes
    /// them.
    pub fn take(&self, data: &[u8], wake: &mut Vec<Arc<Waker>>) -> Outcome {
        let message = match NodeMessage::unpack(data) {
            Ok(message) => message,
            Err(error) => return Outcome { missing: 0, fault: Some(error) },
        };
        // Held until the engine has the message, so that numbers are noted in the order in which messages reach the
        // engine.
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = match message.draft {
            Some(_) => numbers.message(message.origin, message.number),
            None => Some(numbers.count(message.origin, message.number, message.ts_ms)),
        };
        let Some(mut missing) = missing else {
            // The message was delivered before, or was already reported as missed.
            self.engine.late().fetch_add(1, Relaxed);
            return Outcome::default();
        };
        let mut fault = self.skip(missing, wake);
        if let Err(error) = self.enter(&message, wake) {
            missing += 1;
            let also = self.skip(1, wake);
            fault = fault.or(also).or(Some(error));
        }
        Outcome { missing, fault: fault.filter(|error| !matches!(error, Error::Overloaded { .. } | Error::ShutDown)) }
    }

    fn enter(&self, message: &NodeMessage<'_>, wake: &mut Vec<Arc<Waker>>) -> Result<(), Error> {
        let NodeMessage { ts_ms, origin, draft, ref audience, forgotten_us, .. } = *message;
        match (draft, forgotten_us) {
            (None, _) => Ok(()),
            (Some(draft), Some(us)) => {
                self.engine.forget_quietly(&self.room, draft.key.unwrap_or_default(), us, origin, wake).map(drop)
            }
            (Some(draft), None) => {
                // The time of publishing decides which of two values is newer.
                let draft = Draft { audience: audience.as_ref(), ..draft };
                self.engine.enter_live(&self.room, draft, ts_ms, origin, wake)
            }
        }
    }

    fn skip(&self, count: u64, wake: &mut Vec<Arc<Waker>>) -> Option<Error> {
        self.engine.skip_quietly(&self.room, count, skipped_reason::BACKPLANE, wake).err()
    }
}

/// The last message number of each node.
#[derive(Debug)]
struct Numbers {
    since_ms: u64,
    last: IndexMap<u64, u64, FxBuildHasher>,
}

impl Numbers {
    /// Notes a message. Returns how many messages before it are missing; none if it is a duplicate or was reported as
    /// missed.
    fn message(&mut self, origin: u64, number: u64) -> Option<u64> {
        let last = self.last.get(&origin).copied();
        if last.is_some_and(|last| number <= last) {
            return None;
        }
        self.note(origin, number);
        Some(last.map_or(0, |last| number - last - 1))
    }

    /// Notes that a node has sent `number` messages, the last one at `ts_ms`. Returns how many of them are missing.
    fn count(&mut self, origin: u64, number: u64, ts_ms: u64) -> u64 {
        let last = self.last.get(&origin).copied();
        self.note(origin, number.max(last.unwrap_or(0)));
        match last {
            Some(last) => number.saturating_sub(last),
            // All of them were sent before this node subscribed.
            None if ts_ms <= self.since_ms => 0,
            // No message of this node has come, so only the last one is known to be missing.
            None => 1,
        }
    }

    fn note(&mut self, origin: u64, number: u64) -> Option<u64> {
        if self.last.len() >= ORIGINS && !self.last.contains_key(&origin) {
            // Forgets the node that was added first, to stay within the limit.
            self.last.shift_remove_index(0);
        }
        self.last.insert(origin, number)
    }
}

/// Nodes remembered for each room. Nodes that restart get new ids, so old ids pile up.
const ORIGINS: usize = 1024;

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn none_before(since_ms: u64) -> Numbers {
        Numbers { since_ms, last: IndexMap::default() }
    }

    #[test]
    fn messages_say_what_is_missing_before_them() {
        let mut numbers = none_before(0);
        // The first message of a node does not tell how many came before the subscription.
        assert_eq!([5, 6, 9, 10].map(|number| numbers.message(1, number)), [0, 0, 2, 0].map(Some));
        // Each node has its own numbers.
        assert_eq!([1, 2, 4].map(|number| numbers.message(2, number)), [0, 0, 1].map(Some));
        assert_eq!(numbers.message(1, 11), Some(0));
    }

    #[test]
    fn what_comes_again_or_late_is_dropped_and_moves_nothing() {
        let mut numbers = none_before(0);
        assert_eq!([5, 9].map(|number| numbers.message(1, number)), [Some(0), Some(3)]);
        assert_eq!([9, 7, 5, 1].map(|number| numbers.message(1, number)), [None; 4]);
        assert_eq!(numbers.message(1, 10), Some(0));
        // Messages that a count has reported as missing are dropped if they come later.
        assert_eq!(numbers.count(1, 12, 1), 2);
        assert_eq!([11, 12, 13].map(|number| numbers.message(1, number)), [None, None, Some(0)]);
    }

    #[test]
    fn a_count_says_what_is_missing_at_the_end() {
        let mut numbers = none_before(100);
        numbers.message(1, 5);
        assert_eq!([5, 8, 8, 7].map(|number| numbers.count(1, number, 200)), [0, 3, 0, 0]);
        assert_eq!(numbers.message(1, 9), Some(0));
    }

    #[test]
    fn a_count_of_a_node_that_was_never_heard() {
        for (ts_ms, missing) in [(99, 0), (100, 0), (101, 1)] {
            let mut numbers = none_before(100);
            assert_eq!(numbers.count(1, 7, ts_ms), missing);
            assert_eq!(numbers.count(1, 7, ts_ms), 0);
            assert_eq!(numbers.message(1, 9), Some(1));
        }
    }

    #[test]
    fn nodes_that_are_remembered_are_bounded() {
        let mut numbers = none_before(0);
        for origin in 0..=ORIGINS as u64 {
            numbers.message(origin, 1);
        }
        assert_eq!(numbers.last.len(), ORIGINS);
        assert_eq!(numbers.message(1, 3), Some(1));
        // Node 0 was forgotten, so its message counts as its first.
        assert_eq!(numbers.message(0, 3), Some(0));
    }

    proptest! {
        /// Every message missed after the first one is counted once, at the latest by a count.
        #[test]
        fn all_that_is_missed_is_counted_once(arrives: Vec<bool>) {
            let mut numbers = none_before(0);
            numbers.message(1, 1);
            let mut missing = 0;
            let mut number = 1;
            for &comes in &arrives {
                number += 1;
                if comes {
                    missing += numbers.message(1, number).unwrap();
                }
            }
            missing += numbers.count(1, number, 2);
            prop_assert_eq!(missing, arrives.iter().filter(|&&comes| !comes).count() as u64);
            prop_assert_eq!(numbers.count(1, number, 2), 0);
        }
    }
}
