//! Forgetting keys. The message that says so is a message of the room: it has a number and is kept in the history.
//! Sessions get it in order, and it replaces a waiting value of its key.

use std::sync::Arc;

use mio::Waker;

use crate::engine::message_builder::{Draft, Stamp};
use crate::engine::{Engine, wake_all};
use crate::error::Error;
use crate::message::{Delivery, Message, Role};
use crate::protocol::envelope::Kind;
use crate::recording::entry::{FROM_LOG, HERE};
use crate::recording::recorder::record;
use crate::room::forgotten::When;
use crate::room::table::RoomEntry;
use crate::wire::table::kind;

/// Returns the message that says that a key has no value any more.
pub fn forgetting(key: &str) -> Draft<'_> {
    let (id, ack, delivery) = (None, false, Some(Delivery::Latest));
    Draft { kind: Kind::Json, payload: b"", role: FORGOTTEN, id, ack, key: Some(key), delivery, audience: None }
}

impl Engine {
    /// Forgets the newest value of a key, so that joiners no longer get it, and tells the sessions in the room. Returns
    /// whether there was a value, and the time in microseconds since 1970, which is later than that of the value.
    pub fn forget(&self, name: &str, key: &str) -> Result<(bool, u64), Error> {
        self.check()?;
        let mut wake = Vec::new();
        let now_us = self.builder.unix_us(self.builder.now_us());
        let found = self.rooms.find(name, |entry| {
            let Some(old) = entry.room.value(key) else {
                let was_waiting = self.drop_waiting(entry, key, u64::MAX);
                if was_waiting {
                    entry.room.forget(key, self.rooms.kept());
                }
                entry.room.note_forgotten(key, When { ts_us: now_us, seq: 0 });
                return Ok((was_waiting, now_us));
            };
            let ts_us = now_us.max(self.made_us(old));
            let stamp = Stamp::new(entry.room.position().seq + 1, ts_us / 1000);
            self.queue(entry, forgetting(key), Some(stamp), HERE, &[], &mut wake)?;
            self.drop_waiting(entry, key, u64::MAX);
            entry.room.note_forgotten(key, When { ts_us, seq: 0 });
            Ok((true, ts_us))
        });
        wake_all(&mut wake);
        found.unwrap_or(Ok((false, now_us)))
    }

    /// Forgets a key that another node has forgotten at `ts_us`, unless its value here is newer. Does nothing if that
    /// is known already. If `is_numbered`, it takes a number of the room; otherwise the room is numbered from outside
    /// and gets an event.
    pub fn forget_older(&self, name: &str, key: &str, ts_us: u64, is_numbered: bool) -> Result<bool, Error> {
        self.check()?;
        let mut wake = Vec::new();
        let result = self.rooms.find(name, |entry| {
            if entry.room.forgotten(key).is_some_and(|when| when.ts_us >= ts_us) {
                return Ok(false);
            }
            self.forget_if(entry, key, ts_us, is_numbered, FROM_LOG, &mut wake)
        });
        wake_all(&mut wake);
        result.unwrap_or(Ok(false))
    }

    /// Forgets a key that another node has forgotten, in the order of that node's messages; see
    /// [`Self::skip_quietly`].
    pub fn forget_quietly(
        &self,
        name: &str,
        key: &str,
        ts_us: u64,
        origin: u64,
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<bool, Error> {
        self.check_state()?;
        // Creates the room if it does not exist, because older values may be on their way to it.
        self.rooms.with(name, self.builder.now_us(), |entry| self.forget_if(entry, key, ts_us, true, origin, wake))
    }

    fn forget_if(
        &self,
        entry: &mut RoomEntry,
        key: &str,
        ts_us: u64,
        is_numbered: bool,
        origin: u64,
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<bool, Error> {
        let is_there = entry.room.value(key).is_some_and(|old| match self.published_here_us(old) {
            Some(made_us) => made_us <= ts_us,
            // Within the same millisecond, the later arrival wins.
            None => old.metadata().ts_ms <= ts_us / 1000,
        });
        if is_there && is_numbered {
            let stamp = Stamp::new(entry.room.position().seq + 1, ts_us / 1000);
            self.queue(entry, forgetting(key), Some(stamp), origin, &[], wake)?;
        } else if is_there {
            self.refuse_if_full(&self.shards)?;
            let RoomEntry { room, headcount } = &mut *entry;
            let (key_id, key_name) = room.forget(key, self.rooms.kept());
            let mut metadata = self.builder.metadata(room, Delivery::Latest, Some(self.builder.next_id("e")));
            (metadata.key, metadata.key_name) = (key_id, Some(key_name));
            let message = self.builder.build(FORGOTTEN, Kind::Json, b"", metadata);
            self.spread(&message, headcount, &[], wake);
            record(room.recorders(), &message, origin, wake);
        }
        let was_waiting = self.drop_waiting(entry, key, ts_us);
        if was_waiting && entry.room.value(key).is_none() {
            entry.room.forget(key, self.rooms.kept());
        }
        entry.room.note_forgotten(key, When { ts_us, seq: 0 });
        Ok(is_there || was_waiting)
    }

    /// Returns milliseconds since 1970, by the clock that dates messages here.
    pub fn now_ms(&self) -> u64 {
        self.builder.now_ms()
    }

    /// Whether a key has a value.
    pub fn has_value(&self, name: &str, key: &str) -> bool {
        self.rooms.find(name, |entry| entry.room.value(key).is_some()).unwrap_or_default()
    }

    /// When a value was published, in microseconds since 1970, as exactly as it is known, and never too early.
    fn made_us(&self, value: &Message) -> u64 {
        self.published_here_us(value).unwrap_or(value.metadata().ts_ms.saturating_mul(1000).saturating_add(999))
    }

    /// When a value was published, if it was published at this node.
    fn published_here_us(&self, value: &Message) -> Option<u64> {
        // Only messages from outside bring a number or a time with them.
        value.metadata().prev.is_none().then(|| self.builder.unix_us(value.published_us))
    }
}

/// The role of a message that forgets a key. Raw clients do not get it.
pub const FORGOTTEN: Role = Role::Event(kind::FORGOTTEN);
