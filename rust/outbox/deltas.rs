//! Which values a peer has, so that the next ones may be deltas to them. Pure.
//!
//! Usually a peer has got every message of a room, and has the values before all of them. So no list of keys is kept:
//! only the number up to which it may have missed some, and the few keys whose newest value was dropped.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::message::{KeyId, Message, NO_ROOM, RoomId};
use crate::outbox::Outbox;

/// The values that one peer has, by room. Bounded by the rooms that it is in.
#[derive(Debug, Default)]
pub(super) struct Deltas(FxHashMap<RoomId, RoomValues>);

/// The values of one room.
#[derive(Debug)]
struct RoomValues {
    epoch: u64,
    /// The number of the newest message of the room that was seen here.
    last: u64,
    /// The peer may have missed messages with numbers up to this one.
    floor: u64,
    /// The keys whose newest value it does not have, although its number is above `floor`.
    missing: Vec<KeyId>,
}

impl RoomValues {
    /// Notes that nothing is known of the values any more.
    fn forget(&mut self) {
        self.floor = self.last;
        self.missing.clear();
    }
}

impl Deltas {
    /// Returns how a message is sent: as it is, or whole if it is a delta to a value that the peer does not have. The peer
    /// has its value afterwards.
    pub(super) fn choose<'a>(&mut self, message: &'a Arc<Message>) -> &'a Arc<Message> {
        let Some(values) = self.saw(message) else { return message.whole() };
        let Some(key) = message.key() else { return message.whole() };
        let missing = values.missing.iter().position(|&missing| missing == key);
        if let Some(place) = missing {
            values.missing.swap_remove(place);
        }
        let is_known = missing.is_none() && message.base().is_some_and(|base| base > values.floor);
        if is_known { message } else { message.whole() }
    }

    /// Notes that the peer does not get a message, or gets it no more.
    pub(super) fn missed(&mut self, message: &Message) {
        self.saw(message);
        let Some(values) = self.0.get_mut(&message.room()) else { return };
        let Some(key) = message.key().filter(|key| !values.missing.contains(key)) else { return };
        if values.missing.len() < MISSING_MAX {
            values.missing.push(key);
        } else {
            values.forget();
        }
    }

    /// Notes that the peer joins a room, and gets these messages: every newest value from the first of their numbers on,
    /// in the order of their numbers. With none, the room had no values, or the peer says that it has them; it may have
    /// lost them since.
    pub(super) fn joined(&mut self, before: &[Arc<Message>]) {
        let Some(room) = before.first().map(|message| message.room()) else { return };
        // The first is the answer to the join, if there is one. Values of an earlier epoch are no base of later ones.
        let epoch = before.first().map_or(0, |message| message.metadata().epoch);
        let present = || before.iter().filter(|message| message.metadata().epoch == epoch);
        let last = present().map(|message| message.seq()).max().unwrap_or_default();
        let first = present().find(|message| message.is_data()).map_or(last + 1, |message| message.seq());
        self.0.insert(room, RoomValues { epoch, last, floor: first.saturating_sub(1), missing: Vec::new() });
    }

    /// Notes that nothing is known of the values any more.
    pub(super) fn forget(&mut self) {
        self.0.values_mut().for_each(RoomValues::forget);
    }

    /// Notes that the peer has left a room.
    pub(super) fn left(&mut self, room: RoomId) {
        self.0.remove(&room);
    }

    /// Notes the number of a message. Returns what is known of its room, if the message is newer than all before.
    fn saw(&mut self, message: &Message) -> Option<&mut RoomValues> {
        let metadata = message.metadata();
        // A message with an id has no number of its own.
        if metadata.room == NO_ROOM || metadata.id.is_some() {
            return None;
        }
        let (epoch, seq) = (metadata.epoch, metadata.seq);
        let prev = message.first_prev();
        let values = self.0.entry(metadata.room).or_insert_with(|| RoomValues {
            epoch,
            last: prev,
            floor: prev,
            missing: Vec::new(),
        });
        if values.epoch == epoch && seq <= values.last {
            return None;
        }
        if values.epoch != epoch || prev > values.last {
            // What is between was not seen here, so nothing is known of the values up to it.
            *values = RoomValues { epoch, last: prev, floor: prev, missing: Vec::new() };
        }
        values.last = seq;
        Some(values)
    }
}

impl Outbox {
    /// Notes that a message of a room that the peer is in is not sent to it.
    pub fn missed(&mut self, message: &Message) {
        self.deltas.iter_mut().for_each(|deltas| deltas.missed(message));
    }
}

/// The limit on keys of a room that are remembered as missing. A peer that misses more is far behind, and gets each value
/// whole once.
const MISSING_MAX: usize = 32;

#[cfg(test)]
mod tests;
