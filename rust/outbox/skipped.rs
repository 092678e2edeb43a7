//! The messages of rooms that a connection did not get, until it is told. Pure. Bounded by the number of its rooms.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::message::{Message, RoomId};

/// The skipped messages of one connection.
#[derive(Debug)]
pub struct Skipped {
    is_told: bool,
    /// Allocated when first needed: most connections never miss a message.
    skipped: Option<Box<FxHashMap<(RoomId, &'static str), SkippedRange>>>,
}

/// Messages of one room that were skipped for one reason.
#[derive(Debug, PartialEq, Eq)]
pub struct SkippedRange {
    /// The id of the room.
    pub room: RoomId,
    /// The name of the room.
    pub name: Arc<str>,
    /// The reason.
    pub reason: &'static str,
    /// The number of messages.
    pub count: u64,
    /// The lowest of their numbers.
    pub first: u64,
    /// The highest of their numbers.
    pub last: u64,
}

impl Skipped {
    /// Creates an empty record. Without `is_told` nothing is recorded, because the connection cannot be told.
    pub fn new(is_told: bool) -> Self {
        Self { is_told, skipped: None }
    }

    /// Records a message that is not sent, if it has a position in a room.
    pub fn note(&mut self, message: &Message, reason: &'static str) {
        let (true, Some(name)) = (self.is_told, &message.metadata().room_name) else { return };
        let (room, seq) = (message.room(), message.seq());
        let range = self.skipped.get_or_insert_default().entry((room, reason)).or_insert_with(|| SkippedRange {
            room,
            name: Arc::clone(name),
            reason,
            count: 0,
            first: seq,
            last: seq,
        });
        range.count += 1;
        range.first = range.first.min(seq);
        range.last = range.last.max(seq);
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.skipped.is_none()
    }

    /// Takes what is to be told, by room. Rooms for which `waits` returns true stay.
    pub fn take(&mut self, waits: impl Fn(RoomId) -> bool) -> Vec<SkippedRange> {
        let Some(skipped) = &mut self.skipped else { return Vec::new() };
        let mut skipped: Vec<_> = skipped.extract_if(|&(room, _), _| !waits(room)).map(|(_, range)| range).collect();
        self.forget_none();
        skipped.sort_unstable_by_key(|range| (range.room, range.first));
        skipped
    }

    /// Forgets a room that the connection has left.
    pub fn forget(&mut self, room: RoomId) {
        if let Some(skipped) = &mut self.skipped {
            skipped.retain(|&(id, _), _| id != room);
        }
        self.forget_none();
    }

    fn forget_none(&mut self) {
        self.skipped.take_if(|skipped| skipped.is_empty());
    }
}
