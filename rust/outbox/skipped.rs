//! What a connection did not get of its rooms, until it is told. Pure. Bounded by the rooms it is in.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::message::{Message, RoomId};

/// See the module's head.
#[derive(Debug)]
pub struct Skips {
    is_told: bool,
    /// Made when first needed: most connections never miss anything.
    skips: Option<Box<FxHashMap<(RoomId, &'static str), Skip>>>,
}

/// Messages of one room that were not sent for one reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Skip {
    /// The room's id.
    pub room: RoomId,
    /// Its name.
    pub name: Arc<str>,
    /// Why.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
    /// The lowest of their numbers.
    pub first: u64,
    /// The highest of their numbers.
    pub last: u64,
}

impl Skips {
    /// Nothing was skipped. Of a connection that cannot be told, nothing is kept.
    pub fn new(is_told: bool) -> Self {
        Self { is_told, skips: None }
    }

    /// Counts a message that is not sent, if it has a place in a room.
    pub fn note(&mut self, message: &Message, reason: &'static str) {
        let (true, Some(name)) = (self.is_told, &message.about().room_name) else { return };
        let (room, seq) = (message.room(), message.seq());
        let skip = self.skips.get_or_insert_default().entry((room, reason)).or_insert_with(|| Skip {
            room,
            name: Arc::clone(name),
            reason,
            count: 0,
            first: seq,
            last: seq,
        });
        skip.count += 1;
        skip.first = skip.first.min(seq);
        skip.last = skip.last.max(seq);
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.skips.is_none()
    }

    /// Takes what is to be told, room by room; not of a room that `waits`.
    pub fn take(&mut self, waits: impl Fn(RoomId) -> bool) -> Vec<Skip> {
        let Some(skips) = &mut self.skips else { return Vec::new() };
        let mut skips: Vec<_> = skips.extract_if(|&(room, _), _| !waits(room)).map(|(_, skip)| skip).collect();
        self.forget_none();
        skips.sort_unstable_by_key(|skip| (skip.room, skip.first));
        skips
    }

    /// Its membership has ended: of this room nothing more is told.
    pub fn forget(&mut self, room: RoomId) {
        if let Some(skips) = &mut self.skips {
            skips.retain(|&(id, _), _| id != room);
        }
        self.forget_none();
    }

    fn forget_none(&mut self) {
        self.skips.take_if(|skips| skips.is_empty());
    }
}
