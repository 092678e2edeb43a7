//! A room's own memory: its sequence, its history and, in a room of latest values, the newest message of each key.
//! Pure; who is in the room is [`crate::room::members`]' business.

use std::collections::HashMap;
use std::sync::Arc;

use crate::budget::Budget;
use crate::error::Error;
use crate::message::{KeyId, Message, RoomId};
use crate::room::forgotten::{Forgotten, MOST, When};
use crate::room::history::History;
pub use crate::room::rules::{MAX_KEYS, RoomSettings, Rules};
use crate::wire::table::joined_reason;

/// A place in a room's numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which numbering.
    pub epoch: u64,
    /// The number of a message; 0 is before the first.
    pub seq: u64,
}

/// Why a room cannot give what came after a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrecovered {
    /// The position is of another numbering.
    Epoch,
    /// Some of it is no longer kept.
    History,
    /// The position is newer than the room.
    Position,
}

/// The name of a reason, for people and protocols.
pub fn unrecovered_name(why: Unrecovered) -> &'static str {
    match why {
        Unrecovered::Epoch => joined_reason::EPOCH,
        Unrecovered::History => joined_reason::HISTORY,
        Unrecovered::Position => joined_reason::POSITION,
    }
}

/// A room's numbering, history and newest values.
#[derive(Debug)]
pub struct Room {
    id: RoomId,
    name: Arc<str>,
    epoch: u64,
    settings: RoomSettings,
    seq: u64,
    latest: HashMap<Arc<str>, Latest>,
    history: History,
    forgotten: Forgotten,
}

#[derive(Debug)]
struct Latest {
    id: KeyId,
    message: Option<Arc<Message>>,
}

impl Room {
    /// A room in which nothing was published yet.
    pub fn new(id: RoomId, name: &str, epoch: u64, settings: RoomSettings) -> Self {
        let (latest, history, forgotten) = (HashMap::new(), History::default(), Forgotten::default());
        Self { id, name: name.into(), epoch, settings, seq: 0, latest, history, forgotten }
    }

    /// Its id.
    pub fn id(&self) -> RoomId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its settings.
    pub fn settings(&self) -> RoomSettings {
        self.settings
    }

    /// Its numbering and the number of its newest message.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.seq }
    }

    /// Its numbering and the number after which every message is kept.
    pub fn floor(&mut self, now_us: u64, kept: &Budget) -> Position {
        self.age(now_us, kept);
        Position { epoch: self.epoch, seq: self.history.floor }
    }

    /// Goes on from another place, from where on nothing is kept yet. The newest values stay the newest.
    pub fn place(&mut self, Position { epoch, seq }: Position, kept: &Budget) {
        while self.history.pop(kept).is_some() {}
        if epoch != self.epoch {
            self.forgotten.renumber();
        }
        (self.epoch, self.seq, self.history.floor) = (epoch, seq, seq);
    }

    /// Whether it holds anything that a joiner could get.
    pub fn holds_anything(&mut self, now_us: u64, kept: &Budget) -> bool {
        self.age(now_us, kept);
        !self.latest.is_empty() || !self.history.messages.is_empty()
    }

    /// The id of a key, from `next` when it is new. Fails when the room has as many keys as it may have.
    pub fn key(&mut self, key: &str, next: impl FnOnce() -> KeyId) -> Result<(KeyId, Arc<str>), Error> {
        if let Some((name, latest)) = self.latest.get_key_value(key) {
            return Ok((latest.id, Arc::clone(name)));
        }
        if self.latest.len() >= self.settings.max_keys {
            let (what, limit) = ("the number of keys in the room", self.settings.max_keys);
            return Err(Error::Overloaded { what, limit, field: "max_keys" });
        }
        let (id, name) = (next(), Arc::<str>::from(key));
        self.latest.insert(Arc::clone(&name), Latest { id, message: None });
        Ok((id, name))
    }

    /// Takes the next number.
    pub fn advance(&mut self) -> u64 {
        self.advance_to(self.seq + 1);
        self.seq
    }

    /// Takes a number greater than all before; no message has a number in between.
    pub fn advance_to(&mut self, seq: u64) {
        self.seq = seq;
        if self.settings.history == 0 {
            self.history.floor = seq;
        }
    }

    /// Keeps a message for those who come later: in the history, and as the newest of its key. `kept` counts what is
    /// kept so in all rooms; over its limit the room that publishes gives back what it takes.
    pub fn keep(&mut self, message: &Arc<Message>, kept: &Budget) {
        self.keep_latest(message, kept);
        if self.settings.history > 0 {
            self.history.push(Arc::clone(message), kept);
            while self.history.messages.len() > self.settings.history
                || self.history.bytes > self.settings.history_bytes
            {
                self.history.pop(kept);
            }
            self.age(message.published_us, kept);
            let mut freed = 0;
            while kept.is_over(0) && freed < message.kept_size() {
                // It may be gone already, if it is larger than all that the room may keep.
                let Some(size) = self.history.pop(kept) else { break };
                freed += size;
            }
        }
    }

    /// Whether its history has space for one more message from before those in it, of that size and age. Such ones
    /// take nobody's place, for others are worth more.
    pub fn takes_older(&self, size: usize, age_us: u64, kept: &Budget) -> bool {
        let RoomSettings { history, history_bytes, history_age_us, .. } = self.settings;
        self.history.messages.len() < history
            && self.history.bytes + size <= history_bytes
            && age_us <= history_age_us
            && kept.used() + size <= kept.limit()
    }

    /// Keeps a message from before those in its history, and as the newest of its key if it is. It counts once
    /// [`Self::lower`] says that there is none after it that is not kept.
    pub fn keep_older(&mut self, message: &Arc<Message>, kept: &Budget) {
        if message.is_data()
            && let Some(key) = &message.about().key_name
        {
            let newest = self.latest.get(&**key).and_then(|latest| latest.message.as_ref());
            // What is from another numbering was there before this one began.
            if newest.is_none_or(|newest| newest.about().epoch != self.epoch || newest.seq() < message.seq()) {
                self.keep_latest(message, kept);
            }
        }
        self.history.push_older(Arc::clone(message), kept);
    }

    /// Every message after this number is kept.
    pub fn lower(&mut self, floor: u64) {
        self.history.floor = floor;
    }

    /// Forgets a key, so that joiners no longer get its value; returns its id, if it was there, and its name.
    pub fn forget(&mut self, key: &str, kept: &Budget) -> (Option<KeyId>, Arc<str>) {
        let Some((name, latest)) = self.latest.remove_entry(key) else { return (None, key.into()) };
        if let Some(message) = latest.message {
            kept.subtract(message.kept_size());
        }
        (Some(latest.id), name)
    }

    /// Remembers that a key was forgotten, so that what is older does not bring it back.
    pub fn note_forgotten(&mut self, key: &str, when: When) {
        // Each forgetting in the history has to be known while it is there: older messages may be put before it.
        self.forgotten.note(key, when, MOST + self.settings.history);
    }

    /// When a key was forgotten, if that is remembered.
    pub fn forgotten(&self, key: &str) -> Option<When> {
        self.forgotten.when(key)
    }

    /// A forgetting from before those in the history: the value of the key goes, unless it is newer.
    pub fn forget_before(&mut self, key: &str, when: When, kept: &Budget) -> Option<KeyId> {
        self.note_forgotten(key, when);
        let newest = self.value(key)?;
        let is_older = newest.about().epoch != self.epoch || newest.seq() < when.seq;
        if is_older { self.forget(key, kept).0 } else { None }
    }

    /// Every message after a position, oldest first, if all of them are kept.
    pub fn since(&mut self, from: Position, now_us: u64, kept: &Budget) -> Result<Vec<Arc<Message>>, Unrecovered> {
        if from.epoch != self.epoch {
            return Err(Unrecovered::Epoch);
        }
        if from.seq > self.seq {
            return Err(Unrecovered::Position);
        }
        self.age(now_us, kept);
        if from.seq < self.history.floor {
            return Err(Unrecovered::History);
        }
        let start = self.history.messages.partition_point(|message| message.seq() <= from.seq);
        Ok(self.history.messages.range(start..).cloned().collect())
    }

    /// What the history keeps, oldest first, at most `limit` messages: the first after a position or, without one, the
    /// newest. After a position of another numbering, from the first that is kept.
    pub fn kept_after(
        &mut self,
        after: Option<Position>,
        limit: usize,
        now_us: u64,
        kept: &Budget,
    ) -> Vec<Arc<Message>> {
        self.age(now_us, kept);
        let messages = &self.history.messages;
        let start = match after {
            None => messages.len().saturating_sub(limit),
            Some(after) if after.epoch == self.epoch => messages.partition_point(|message| message.seq() <= after.seq),
            Some(_) => 0,
        };
        messages.range(start..).take(limit).cloned().collect()
    }

    /// The newest message of every key, oldest first: what a joiner has to have before the stream.
    pub fn snapshot(&self) -> Vec<Arc<Message>> {
        let mut messages: Vec<_> = self.latest.values().filter_map(|latest| latest.message.clone()).collect();
        messages.sort_unstable_by_key(|message| message.seq());
        messages
    }

    /// The newest message of a key.
    pub fn value(&self, key: &str) -> Option<&Arc<Message>> {
        self.latest.get(key)?.message.as_ref()
    }

    /// Keeps a message as the newest of its key, which the room has.
    fn keep_latest(&mut self, message: &Arc<Message>, kept: &Budget) {
        if let Some(key) = &message.about().key_name
            && let Some(latest) = self.latest.get_mut(&**key)
        {
            kept.add(message.kept_size());
            if let Some(old) = latest.message.replace(Arc::clone(message)) {
                kept.subtract(old.kept_size());
            }
        }
    }

    /// Forgets what has become too old.
    fn age(&mut self, now_us: u64, kept: &Budget) {
        let oldest_us = now_us.saturating_sub(self.settings.history_age_us);
        while self.history.messages.front().is_some_and(|message| message.published_us < oldest_us) {
            self.history.pop(kept);
        }
    }
}

pub mod ages;
pub mod forgotten;
mod history;
pub mod members;
mod rules;
pub mod table;
#[cfg(test)]
mod tests;
