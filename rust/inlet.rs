//! Where messages that other nodes publish to a room enter this node's engine. Each node counts what it sends to each
//! room, so what did not get here is known, and members are told.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;
use mio::Waker;
use rustc_hash::FxBuildHasher;

use crate::engine::Engine;
use crate::error::Error;
use crate::mint::Stamp;
use crate::parcel::Parcel;
use crate::room::Room;
use crate::wire::table::skipped_reason;

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
        let missing = match parcel.draft {
            Some(_) => heard.message(parcel.origin, parcel.number),
            None => Some(heard.count(parcel.origin, parcel.number, parcel.ts_ms)),
        };
        let Some(mut missing) = missing else {
            // Members have had it, or were told that they will not get it.
            self.engine.late().fetch_add(1, Relaxed);
            return Taken::default();
        };
        let mut fault = self.skip(missing, wake);
        if let Err(error) = self.enter(&parcel, wake) {
            missing += 1;
            let also = self.skip(1, wake);
            fault = fault.or(also).or(Some(error));
        }
        Taken { missing, fault: fault.filter(|error| !matches!(error, Error::Overloaded { .. } | Error::ShutDown)) }
    }

    fn enter(&self, parcel: &Parcel<'_>, wake: &mut Vec<Arc<Waker>>) -> Result<(), Error> {
        let Parcel { ts_ms, draft, forgotten_us, .. } = *parcel;
        match (draft, forgotten_us) {
            (None, _) => Ok(()),
            (Some(draft), Some(us)) => {
                self.engine.forget_quietly(&self.room, draft.key.unwrap_or_default(), us, wake).map(drop)
            }
            (Some(draft), None) => {
                // Which of two values is newer is a matter of when they were published.
                let stamp = |room: &Room| Some(Stamp { seq: room.position().seq + 1, ts_ms });
                self.engine.enter(&self.room, draft, &[], wake, stamp).map(drop)
            }
        }
    }

    fn skip(&self, count: u64, wake: &mut Vec<Arc<Waker>>) -> Option<Error> {
        self.engine.skip_quietly(&self.room, count, skipped_reason::BACKPLANE, wake).err()
    }
}

/// What has come from each node.
#[derive(Debug)]
struct Heard {
    since_ms: u64,
    numbers: IndexMap<u64, u64, FxBuildHasher>,
}

impl Heard {
    /// A message has come. Returns how many before it did not; none, if it has come before, or was taken for lost.
    fn message(&mut self, origin: u64, number: u64) -> Option<u64> {
        let last = self.numbers.get(&origin).copied();
        if last.is_some_and(|last| number <= last) {
            return None;
        }
        self.note(origin, number);
        Some(last.map_or(0, |last| number - last - 1))
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
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn heard(since_ms: u64) -> Heard {
        Heard { since_ms, numbers: IndexMap::default() }
    }

    #[test]
    fn messages_say_what_is_missing_before_them() {
        let mut heard = heard(0);
        // How many came before our time nobody knows.
        assert_eq!([5, 6, 9, 10].map(|number| heard.message(1, number)), [0, 0, 2, 0].map(Some));
        // Each node counts for itself.
        assert_eq!([1, 2, 4].map(|number| heard.message(2, number)), [0, 0, 1].map(Some));
        assert_eq!(heard.message(1, 11), Some(0));
    }

    #[test]
    fn what_comes_again_or_late_is_dropped_and_moves_nothing() {
        let mut heard = heard(0);
        assert_eq!([5, 9].map(|number| heard.message(1, number)), [Some(0), Some(3)]);
        assert_eq!([9, 7, 5, 1].map(|number| heard.message(1, number)), [None; 4]);
        assert_eq!(heard.message(1, 10), Some(0));
        // What a count has told as lost does not come after that.
        assert_eq!(heard.count(1, 12, 1), 2);
        assert_eq!([11, 12, 13].map(|number| heard.message(1, number)), [None, None, Some(0)]);
    }

    #[test]
    fn a_count_says_what_is_missing_at_the_end() {
        let mut heard = heard(100);
        heard.message(1, 5);
        assert_eq!([5, 8, 8, 7].map(|number| heard.count(1, number, 200)), [0, 3, 0, 0]);
        assert_eq!(heard.message(1, 9), Some(0));
    }

    #[test]
    fn a_count_of_a_node_that_was_never_heard() {
        for (ts_ms, missing) in [(99, 0), (100, 0), (101, 1)] {
            let mut heard = heard(100);
            assert_eq!(heard.count(1, 7, ts_ms), missing);
            assert_eq!(heard.count(1, 7, ts_ms), 0);
            assert_eq!(heard.message(1, 9), Some(1));
        }
    }

    #[test]
    fn nodes_that_are_remembered_are_bounded() {
        let mut heard = heard(0);
        for origin in 0..=ORIGINS as u64 {
            heard.message(origin, 1);
        }
        assert_eq!(heard.numbers.len(), ORIGINS);
        assert_eq!(heard.message(1, 3), Some(1));
        // Forgotten, so new.
        assert_eq!(heard.message(0, 3), Some(0));
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
                    missing += heard.message(1, number).unwrap();
                }
            }
            missing += heard.count(1, number, 2);
            prop_assert_eq!(missing, arrives.iter().filter(|&&comes| !comes).count() as u64);
            prop_assert_eq!(heard.count(1, number, 2), 0);
        }
    }
}
