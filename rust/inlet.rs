//! Where messages that other nodes publish to a room enter this node's engine. Each node counts what it sends to each
//! room, so what did not get here is known, and members are told.

use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use mio::Waker;
use rustc_hash::FxBuildHasher;

use crate::engine::Engine;
use crate::error::Error;
use crate::parcel::Parcel;

/// See the module's head.
#[derive(Debug)]
pub struct Inlet {
    engine: Arc<Engine>,
    room: Box<str>,
    heard: Mutex<Heard>,
}

/// What has become of a parcel.
#[derive(Debug, Default)]
pub struct Taken {
    /// Messages of that node that members here will not get.
    pub missing: u64,
    /// Why this one is among them, unless something was full.
    pub fault: Option<Error>,
}

impl Inlet {
    /// For a room that is heard from `since_ms` on, in milliseconds since 1970.
    pub fn new(engine: Arc<Engine>, room: &str, since_ms: u64) -> Self {
        Self { engine, room: room.into(), heard: Mutex::new(Heard { since_ms, numbers: IndexMap::default() }) }
    }

    /// Takes what another node has sent. Who writes it may sleep: the caller wakes them all, soon.
    pub fn take(&self, data: &[u8], wake: &mut Vec<Arc<Waker>>) -> Taken {
        let parcel = match Parcel::unpack(data) {
            Ok(parcel) => parcel,
            Err(error) => return Taken { missing: 0, fault: Some(error) },
        };
        // One at a time: the numbers of messages are noted in the order in which they reach the engine.
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = match parcel.draft {
            Some(_) => heard.message(parcel.origin, parcel.number),
            None => heard.count(parcel.origin, parcel.number, parcel.ts_ms),
        };
        let mut fault = self.skip(missing, wake);
        if let Some(draft) = parcel.draft
            && let Err(error) = self.engine.publish_quietly(&self.room, draft, &[], wake)
        {
            missing += 1;
            let also = self.skip(1, wake);
            fault = fault.or(also).or(Some(error));
        }
        Taken { missing, fault: fault.filter(|error| !matches!(error, Error::Overloaded { .. } | Error::ShutDown)) }
    }

    fn skip(&self, count: u64, wake: &mut Vec<Arc<Waker>>) -> Option<Error> {
        self.engine.skip_quietly(&self.room, count, "backplane", wake).err()
    }
}

/// What has come from each node.
#[derive(Debug)]
struct Heard {
    since_ms: u64,
    numbers: IndexMap<u64, u64, FxBuildHasher>,
}

impl Heard {
    /// A message has come. Returns how many before it did not.
    fn message(&mut self, origin: u64, number: u64) -> u64 {
        match self.note(origin, number) {
            Some(last) => number.saturating_sub(last).saturating_sub(1),
            None => 0,
        }
    }

    /// A node says that it has sent so many, the last at that time. Returns how many did not come.
    fn count(&mut self, origin: u64, number: u64, ts_ms: u64) -> u64 {
        let last = self.numbers.get(&origin).copied();
        self.note(origin, number.max(last.unwrap_or(0)));
        match last {
            Some(last) => number.saturating_sub(last),
            // All before our time.
            None if ts_ms <= self.since_ms => 0,
            // Of a node that was never heard nobody knows how many came before our time: the last one did not.
            None => 1,
        }
    }

    fn note(&mut self, origin: u64, number: u64) -> Option<u64> {
        if self.numbers.len() >= ORIGINS && !self.numbers.contains_key(&origin) {
            // Nodes that came and went.
            self.numbers.shift_remove_index(0);
        }
        self.numbers.insert(origin, number)
    }
}

/// Nodes that are remembered for each room.
const ORIGINS: usize = 1024;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn heard(since_ms: u64) -> Heard {
        Heard { since_ms, numbers: IndexMap::default() }
    }

    #[test]
    fn messages_say_what_is_missing_before_them() {
        let mut heard = heard(0);
        // How many came before our time nobody knows.
        assert_eq!([5, 6, 9, 10].map(|number| heard.message(1, number)), [0, 0, 2, 0]);
        // Each node counts for itself.
        assert_eq!([1, 2, 4].map(|number| heard.message(2, number)), [0, 0, 1]);
        assert_eq!(heard.message(1, 11), 0);
        // What comes again is not missing.
        assert_eq!([11, 7].map(|number| heard.message(1, number)), [0, 0]);
    }

    #[test]
    fn a_count_says_what_is_missing_at_the_end() {
        let mut heard = heard(100);
        heard.message(1, 5);
        assert_eq!([5, 8, 8, 7].map(|number| heard.count(1, number, 200)), [0, 3, 0, 0]);
        assert_eq!(heard.message(1, 9), 0);
    }

    #[test]
    fn a_count_of_a_node_that_was_never_heard() {
        for (ts_ms, missing) in [(99, 0), (100, 0), (101, 1)] {
            let mut heard = heard(100);
            assert_eq!(heard.count(1, 7, ts_ms), missing);
            assert_eq!(heard.count(1, 7, ts_ms), 0);
            assert_eq!(heard.message(1, 9), 1);
        }
    }

    #[test]
    fn nodes_that_are_remembered_are_bounded() {
        let mut heard = heard(0);
        for origin in 0..=ORIGINS as u64 {
            heard.message(origin, 1);
        }
        assert_eq!(heard.numbers.len(), ORIGINS);
        assert_eq!(heard.message(1, 3), 1);
        // Forgotten, so new.
        assert_eq!(heard.message(0, 3), 0);
    }

    proptest! {
        /// Whoever heard the first message knows of each that did not come, at the latest by a count.
        #[test]
        fn all_that_is_missed_is_counted_once(arrives: Vec<bool>) {
            let mut heard = heard(0);
            heard.message(1, 1);
            let mut missing = 0;
            let mut number = 1;
            for &comes in &arrives {
                number += 1;
                if comes {
                    missing += heard.message(1, number);
                }
            }
            missing += heard.count(1, number, 2);
            prop_assert_eq!(missing, arrives.iter().filter(|&&comes| !comes).count() as u64);
            prop_assert_eq!(heard.count(1, number, 2), 0);
        }
    }
}
