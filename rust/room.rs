//! One room: its numbering, its history and, in a `latest` room, the newest message of each key. Pure. Its members are
//! in [`crate::room::members`].

use std::collections::HashMap;
use std::sync::Arc;

use crate::budget::Budget;
use crate::error::Error;
use crate::message::{KeyId, Message, RoomId};
use crate::protocol::envelope::Kind;
use crate::recording::recorder::Recorders;
use crate::room::forgotten::{Forgotten, MOST, When};
use crate::room::history::History;
use crate::room::pending::Pending;
pub use crate::room::rules::{MAX_KEYS, RoomSettings, Rules, matches};
use crate::wire::table::joined_reason;

/// A position in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The epoch, which names the numbering.
    pub epoch: u64,
    /// The number of a message; 0 is before the first.
    pub seq: u64,
}

/// Why a room cannot return the messages after a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrecovered {
    /// The position is of another epoch.
    Epoch,
    /// Some of the messages are no longer kept.
    History,
    /// The position is newer than the room.
    Position,
}

/// Returns the name of a reason in the protocol.
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
    /// The number when [`Self::growth`] was last called.
    seen: u64,
    latest: HashMap<Arc<str>, Latest>,
    history: History,
    forgotten: Forgotten,
    /// The recordings of what is published here; most often none.
    recorders: Option<Recorders>,
    /// What waits for the next tick; only in a room with a tick.
    pending: Option<Box<Pending>>,
    /// The settings from its rule, while it keeps its first messages.
    settled: Option<Box<RoomSettings>>,
}

#[derive(Debug)]
struct Latest {
    id: KeyId,
    message: Option<Arc<Message>>,
    /// Whether the members got it when it became the newest.
    is_spread: bool,
}

impl Room {
    /// Creates a room without messages.
    pub fn new(id: RoomId, name: &str, epoch: u64, settings: RoomSettings) -> Self {
        let (latest, history, forgotten) = (HashMap::new(), History::default(), Forgotten::default());
        let (name, recorders) = (name.into(), None);
        let pending = (settings.tick > 0).then(Box::default);
        Self {
            id,
            name,
            epoch,
            settings,
            seq: 0,
            seen: 0,
            latest,
            history,
            forgotten,
            recorders,
            pending,
            settled: None,
        }
    }

    /// Sets the recordings of what is published here.
    pub fn set_recorders(&mut self, recorders: Option<Recorders>) {
        self.recorders = recorders;
    }

    /// Returns them; none if there are none.
    pub fn recorders(&self) -> Option<&Recorders> {
        self.recorders.as_ref()
    }

    /// Returns its id.
    pub fn id(&self) -> RoomId {
        self.id
    }

    /// Returns its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns its settings.
    pub fn settings(&self) -> RoomSettings {
        self.settings
    }

    /// Returns what waits for the next tick; none if the room has no tick.
    pub fn pending(&mut self) -> Option<&mut Pending> {
        self.pending.as_deref_mut()
    }

    /// Returns its epoch and the number of its newest message.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.seq }
    }

    /// Returns how far its numbers have grown since the last call. There is one caller, [`table::RoomTable::busiest`].
    pub fn growth(&mut self) -> u64 {
        let before = std::mem::replace(&mut self.seen, self.seq);
        self.seq.saturating_sub(before)
    }

    /// Returns the position after which every message is kept.
    pub fn floor(&mut self, now_us: u64, kept: &Budget) -> Position {
        self.age(now_us, kept);
        Position { epoch: self.epoch, seq: self.history.floor }
    }

    /// Moves the room to another position, with an empty history. The newest values stay.
    pub fn place(&mut self, Position { epoch, seq }: Position, kept: &Budget) {
        while self.history.pop(kept).is_some() {}
        if epoch != self.epoch {
            self.forgotten.renumber();
        }
        (self.epoch, self.seq, self.seen, self.history.floor) = (epoch, seq, seq, seq);
    }

    /// Whether the room holds anything that a joiner could get.
    pub fn holds_anything(&mut self, now_us: u64, kept: &Budget) -> bool {
        self.age(now_us, kept);
        let waits = self.pending.as_ref().is_some_and(|pending| !pending.is_empty());
        waits || !self.latest.is_empty() || !self.history.messages.is_empty()
    }

    /// Returns the id of a key; takes it from `next` if the key is new. Fails if the room has `max_keys` keys.
    pub fn key(&mut self, key: &str, next: impl FnOnce() -> KeyId) -> Result<(KeyId, Arc<str>), Error> {
        if let Some((name, latest)) = self.latest.get_key_value(key) {
            return Ok((latest.id, Arc::clone(name)));
        }
        if self.latest.len() >= self.settings.max_keys {
            let (what, limit) = ("the number of keys in the room", self.settings.max_keys);
            return Err(Error::Overloaded { what, limit, field: "max_keys" });
        }
        let (id, name) = (next(), Arc::<str>::from(key));
        self.latest.insert(Arc::clone(&name), Latest { id, message: None, is_spread: false });
        Ok((id, name))
    }

    /// Takes the next number.
    pub fn advance(&mut self) -> u64 {
        self.advance_to(self.seq + 1);
        self.seq
    }

    /// Takes a greater number. No message has a number in between.
    pub fn advance_to(&mut self, seq: u64) {
        self.seq = seq;
        if self.settings.history == 0 {
            self.history.floor = seq;
        }
    }

    /// Keeps a message in the history, and as the newest of its key. `kept` counts what all rooms keep; when it is over
    /// its limit, the room that publishes drops as much as it adds.
    pub fn keep(&mut self, message: &Arc<Message>, kept: &Budget) {
        self.keep_latest(message, true, kept);
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
                // The history is empty if the message is larger than everything that the room may keep.
                let Some(size) = self.history.pop(kept) else { break };
                freed += size;
            }
        }
    }

    /// Whether the history has space for one more older message of this size and age. Older messages never evict newer
    /// ones.
    pub fn takes_older(&self, size: usize, age_us: u64, kept: &Budget) -> bool {
        let RoomSettings { history, history_bytes, history_age_us, .. } = self.settings;
        self.history.messages.len() < history
            && self.history.bytes + size <= history_bytes
            && age_us <= history_age_us
            && kept.used() + size <= kept.limit()
    }

    /// Keeps a message from before those in the history, and as the newest of its key if it is that. Call
    /// [`Self::lower`] when all messages after it are kept.
    pub fn keep_older(&mut self, message: &Arc<Message>, kept: &Budget) {
        if message.is_data()
            && let Some(key) = &message.metadata().key_name
        {
            let newest = self.latest.get(&**key).and_then(|latest| latest.message.as_ref());
            // A value of another epoch is older than this epoch.
            if newest.is_none_or(|newest| newest.metadata().epoch != self.epoch || newest.seq() < message.seq()) {
                self.keep_latest(message, false, kept);
            }
        }
        self.history.push_older(Arc::clone(message), kept);
    }

    /// Lowers the number after which every message is kept.
    pub fn lower(&mut self, floor: u64) {
        self.history.floor = floor;
    }

    /// Forgets a key, so that joiners no longer get its value. Returns its id, if it had one, and its name.
    pub fn forget(&mut self, key: &str, kept: &Budget) -> (Option<KeyId>, Arc<str>) {
        let Some((name, latest)) = self.latest.remove_entry(key) else { return (None, key.into()) };
        if let Some(message) = latest.message {
            history::uncharge(&message, kept);
        }
        (Some(latest.id), name)
    }

    /// Notes that a key was forgotten, so that an older message does not bring it back.
    pub fn note_forgotten(&mut self, key: &str, when: When) {
        // Each forgetting in the history stays noted as long as it is there, because older messages may be added before
        // it.
        self.forgotten.note(key, when, MOST + self.settings.history);
    }

    /// Returns when a key was forgotten, if that is known.
    pub fn forgotten(&self, key: &str) -> Option<When> {
        self.forgotten.when(key)
    }

    /// Notes a forgetting from before the history. The value of the key is removed, unless it is newer.
    pub fn forget_before(&mut self, key: &str, when: When, kept: &Budget) -> Option<KeyId> {
        self.note_forgotten(key, when);
        let newest = self.value(key)?;
        let is_older = newest.metadata().epoch != self.epoch || newest.seq() < when.seq;
        if is_older { self.forget(key, kept).0 } else { None }
    }

    /// Returns every message after a position, oldest first. Fails if some of them are not kept.
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

    /// Returns at most `limit` messages of the history, oldest first: the first after a position or, without one, the
    /// newest. After a position of another epoch it begins with the oldest message. With `before` only messages with
    /// lower numbers count.
    pub fn kept_after(
        &mut self,
        after: Option<Position>,
        before: Option<u64>,
        limit: usize,
        now_us: u64,
        kept: &Budget,
    ) -> Vec<Arc<Message>> {
        self.age(now_us, kept);
        let messages = &self.history.messages;
        let end = before.map_or(messages.len(), |before| messages.partition_point(|message| message.seq() < before));
        let start = match after {
            None => end.saturating_sub(limit),
            Some(after) if after.epoch == self.epoch => messages.partition_point(|message| message.seq() <= after.seq),
            Some(_) => 0,
        };
        messages.range(start.min(end)..end).take(limit).cloned().collect()
    }

    /// Returns the position before the last `most` messages of the history, or before the oldest if it has fewer.
    pub fn before_last(&mut self, most: usize, now_us: u64, kept: &Budget) -> Position {
        self.age(now_us, kept);
        let History { messages, floor, .. } = &self.history;
        let place = messages.len().checked_sub(most).and_then(|first| first.checked_sub(1));
        let seq = place.and_then(|place| messages.get(place)).map_or(*floor, |message| message.seq());
        Position { epoch: self.epoch, seq }
    }

    /// Returns the bytes of the messages after a position. Fails as [`Self::since`] does.
    pub fn bytes_since(&mut self, from: Position, now_us: u64, kept: &Budget) -> Result<usize, Unrecovered> {
        Ok(self.since(from, now_us, kept)?.iter().map(|message| message.kept_size()).sum())
    }

    /// Returns the newest message of every key, oldest first. A joiner gets them before the stream.
    pub fn snapshot(&self) -> Vec<Arc<Message>> {
        let mut messages: Vec<_> = self.latest.values().filter_map(|latest| latest.message.clone()).collect();
        messages.sort_unstable_by_key(|message| message.seq());
        messages
    }

    /// Returns the newest message of a key.
    pub fn value(&self, key: &str) -> Option<&Arc<Message>> {
        self.latest.get(key)?.message.as_ref()
    }

    /// Returns the message to whose value a new one of its key may be a delta: members have it, or get it when they join.
    pub fn base(&self, message: &Message) -> Option<&Arc<Message>> {
        let is_json = |message: &Message| message.is_data() && message.kind() == Kind::Json;
        let key = message.metadata().key_name.as_deref().filter(|_| self.settings.delta && is_json(message))?;
        let latest = self.latest.get(key).filter(|latest| latest.is_spread)?;
        latest.message.as_ref().filter(|base| is_json(base) && base.metadata().epoch == self.epoch)
    }

    /// Keeps a message as the newest of its key, which the room knows.
    fn keep_latest(&mut self, message: &Arc<Message>, is_spread: bool, kept: &Budget) {
        if let Some(key) = &message.metadata().key_name
            && let Some(latest) = self.latest.get_mut(&**key)
        {
            history::charge(message, kept);
            latest.is_spread = is_spread;
            if let Some(old) = latest.message.replace(Arc::clone(message)) {
                history::uncharge(&old, kept);
            }
        }
    }

    /// Removes messages that have become too old.
    fn age(&mut self, now_us: u64, kept: &Budget) {
        let oldest_us = now_us.saturating_sub(self.settings.history_age_us);
        while self.history.messages.front().is_some_and(|message| message.published_us < oldest_us) {
            self.history.pop(kept);
        }
    }
}

pub mod ages;
pub mod busiest;
mod first;
pub mod forgotten;
mod history;
pub mod members;
pub mod pending;
pub mod rated;
pub mod recorded;
mod rules;
pub mod table;
pub mod ticks;
pub mod watch;

#[cfg(test)]
mod tests;
