//! Forgetting keys. A forgetting is a message of the room like any other: it has a number, stands in the history, and comes
//! to the sessions in the room in the order of the values, where it takes the place of a waiting value of its key.

use std::sync::Arc;

use mio::Waker;

use crate::engine::{Engine, ring};
use crate::envelope::Kind;
use crate::error::Error;
use crate::forgotten::When;
use crate::message::{Delivery, Message, Role};
use crate::mint::{Draft, Stamp};
use crate::rooms::Entry;
use crate::wire::table::kind;

/// The message that says that a key has no value any more.
pub fn forgetting(key: &str) -> Draft<'_> {
    let (id, ack, delivery) = (None, false, Some(Delivery::Latest));
    Draft { kind: Kind::Json, payload: b"", role: FORGOTTEN, id, ack, key: Some(key), delivery }
}

impl Engine {
    /// Forgets the newest value of a key, so that joiners no longer get it, and tells the sessions in the room. Returns
    /// whether there was one, and the moment in microseconds since 1970: later than that of the value.
    pub fn forget(&self, name: &str, key: &str) -> Result<(bool, u64), Error> {
        self.check()?;
        let mut wake = Vec::new();
        let now_us = self.mint.unix_us(self.mint.now_us());
        let found = self.rooms.find(name, |entry| {
            let Some(old) = entry.room.value(key) else {
                entry.room.note_forgotten(key, When { ts_us: now_us, seq: 0 });
                return Ok((false, now_us));
            };
            let ts_us = now_us.max(self.made_us(old));
            let stamp = Stamp { seq: entry.room.position().seq + 1, ts_ms: ts_us / 1000 };
            self.queue(entry, forgetting(key), Some(stamp), &[], &mut wake)?;
            entry.room.note_forgotten(key, When { ts_us, seq: 0 });
            Ok((true, ts_us))
        });
        ring(&mut wake);
        found.unwrap_or(Ok((false, now_us)))
    }

    /// The same for a key that another node has forgotten at `ts_us`, unless its value is newer. If that is known already,
    /// nothing is done. `is_numbered`: it takes a number here; otherwise the room's numbers come from outside, and it is
    /// told as an event.
    pub fn forget_older(&self, name: &str, key: &str, ts_us: u64, is_numbered: bool) -> Result<bool, Error> {
        self.check()?;
        let mut wake = Vec::new();
        let result = self.rooms.find(name, |entry| {
            if entry.room.forgotten(key).is_some_and(|when| when.ts_us >= ts_us) {
                return Ok(false);
            }
            self.forget_if(entry, key, ts_us, is_numbered, &mut wake)
        });
        ring(&mut wake);
        result.unwrap_or(Ok(false))
    }

    /// The same as it comes in the order of that node's messages; see [`Self::publish_quietly`].
    pub fn forget_quietly(&self, name: &str, key: &str, ts_us: u64, wake: &mut Vec<Arc<Waker>>) -> Result<bool, Error> {
        self.check_state()?;
        // The room is made if need be: values that are on their way to it may be older.
        self.rooms.with(name, self.mint.now_us(), |entry| self.forget_if(entry, key, ts_us, true, wake))
    }

    fn forget_if(
        &self,
        entry: &mut Entry,
        key: &str,
        ts_us: u64,
        is_numbered: bool,
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<bool, Error> {
        let is_there = entry.room.value(key).is_some_and(|old| match self.published_here_us(old) {
            Some(made_us) => made_us <= ts_us,
            // Of the same millisecond the one that has come last counts.
            None => old.about().ts_ms <= ts_us / 1000,
        });
        if is_there && is_numbered {
            let stamp = Stamp { seq: entry.room.position().seq + 1, ts_ms: ts_us / 1000 };
            self.queue(entry, forgetting(key), Some(stamp), &[], wake)?;
        } else if is_there {
            self.refuse_if_full(&self.shards)?;
            let Entry { room, headcount } = &mut *entry;
            let (key_id, key_name) = room.forget(key, self.rooms.kept());
            let mut about = self.mint.about(room, Delivery::Latest, Some(self.mint.next_id("e")));
            (about.key, about.key_name) = (key_id, Some(key_name));
            let message = self.mint.build(FORGOTTEN, Kind::Json, b"", about);
            self.spread(&message, headcount, &[], wake);
        }
        entry.room.note_forgotten(key, When { ts_us, seq: 0 });
        Ok(is_there)
    }

    /// Milliseconds since 1970, by the clock that dates messages here.
    pub fn now_ms(&self) -> u64 {
        self.mint.now_ms()
    }

    /// Whether a key has a value.
    pub fn has_value(&self, name: &str, key: &str) -> bool {
        self.rooms.find(name, |entry| entry.room.value(key).is_some()).unwrap_or_default()
    }

    /// When a value was published, in microseconds since 1970, as exactly as that is known, and not earlier.
    fn made_us(&self, value: &Message) -> u64 {
        self.published_here_us(value).unwrap_or(value.about().ts_ms.saturating_mul(1000).saturating_add(999))
    }

    /// The same of one that was published at this node.
    fn published_here_us(&self, value: &Message) -> Option<u64> {
        // What has come from elsewhere has brought its number or its time with it.
        value.about().prev.is_none().then(|| self.mint.unix_us(value.published_us))
    }
}

/// What a forgetting is to sessions; those who speak no envelopes are not told.
pub const FORGOTTEN: Role = Role::Event(kind::FORGOTTEN);
