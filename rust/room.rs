//! A room's own memory: its sequence and, in a room of latest values, the newest message of each key.
//! Pure; who is in the room is [`crate::members`]' business.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::Error;
use crate::message::{Delivery, KeyId, Message, RoomId};

/// What a room is like; the same for all rooms of one pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomSettings {
    /// What may happen to its messages when a reader is slow.
    pub delivery: Delivery,
    /// How many keys a room of latest values may hold.
    pub max_keys: usize,
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self { delivery: Delivery::Reliable, max_keys: MAX_KEYS }
    }
}

/// The settings of every room, by pattern. The first pattern that matches wins.
#[derive(Debug, Default)]
pub struct Rules(Vec<(Box<str>, RoomSettings)>);

impl Rules {
    /// Adds a rule after those that are there.
    pub fn add(&mut self, pattern: &str, settings: RoomSettings) {
        self.0.push((pattern.into(), settings));
    }

    /// The settings for a room; the defaults where no pattern matches.
    pub fn find(&self, name: &str) -> RoomSettings {
        let rule = self.0.iter().find(|(pattern, _)| matches(pattern, name));
        rule.map_or_else(RoomSettings::default, |&(_, settings)| settings)
    }
}

/// A room's sequence and newest values.
#[derive(Debug)]
pub struct Room {
    id: RoomId,
    settings: RoomSettings,
    seq: u64,
    latest: HashMap<Box<str>, Latest>,
}

#[derive(Debug)]
struct Latest {
    id: KeyId,
    message: Option<Arc<Message>>,
}

impl Room {
    /// A room in which nothing was published yet.
    pub fn new(id: RoomId, settings: RoomSettings) -> Self {
        Self { id, settings, seq: 0, latest: HashMap::new() }
    }

    /// Its id.
    pub fn id(&self) -> RoomId {
        self.id
    }

    /// Its settings.
    pub fn settings(&self) -> RoomSettings {
        self.settings
    }

    /// The number of the newest message; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Whether it holds values that a joiner would get.
    pub fn holds_values(&self) -> bool {
        !self.latest.is_empty()
    }

    /// The id of a key, from `next` when it is new. Fails when the room has as many keys as it may have.
    pub fn key(&mut self, key: &str, next: impl FnOnce() -> KeyId) -> Result<KeyId, Error> {
        if let Some(latest) = self.latest.get(key) {
            return Ok(latest.id);
        }
        if self.latest.len() >= self.settings.max_keys {
            return Err(Error::Overloaded { what: "the number of keys in the room", limit: self.settings.max_keys });
        }
        let id = next();
        self.latest.insert(key.into(), Latest { id, message: None });
        Ok(id)
    }

    /// Takes the next number.
    pub fn advance(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Keeps a message as the newest of its key.
    pub fn keep(&mut self, key: &str, message: &Arc<Message>) {
        if let Some(latest) = self.latest.get_mut(key) {
            latest.message = Some(Arc::clone(message));
        }
    }

    /// Forgets a key, so that joiners no longer get its value; false when it was not there.
    pub fn forget(&mut self, key: &str) -> bool {
        self.latest.remove(key).is_some()
    }

    /// The newest message of every key, oldest first: what a joiner has to have before the stream.
    pub fn snapshot(&self) -> Vec<Arc<Message>> {
        let mut messages: Vec<_> = self.latest.values().filter_map(|latest| latest.message.clone()).collect();
        messages.sort_unstable_by_key(|message| message.seq);
        messages
    }
}

/// Whether a name fits a pattern, in which `*` stands for any characters, none included.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<_> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(tail)
}

/// Default of [`RoomSettings::max_keys`]: every instrument of a large exchange, at about 30 MB of small values.
pub const MAX_KEYS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::frame::Opcode;
    use crate::message::Address;

    fn message(room: &mut Room, key: KeyId) -> Arc<Message> {
        let address = Address { room: room.id(), seq: room.advance(), delivery: Delivery::Latest, key: Some(key) };
        Arc::new(Message::new(Opcode::Binary, b"x", address, 0, &Arc::new(Budget::new(1 << 20))))
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a.*", "a.b.c", true),
            ("a.*", "a", false),
            ("*.b", "a.b", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("aa*aa", "aaa", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn first_rule_wins() {
        let mut rules = Rules::default();
        let latest = RoomSettings { delivery: Delivery::Latest, max_keys: 3 };
        rules.add("q.*", latest);
        let oldest = RoomSettings { delivery: Delivery::DropOldest, ..latest };
        rules.add("*", oldest);
        assert_eq!((rules.find("q.eur"), rules.find("x")), (latest, oldest));
        assert_eq!(Rules::default().find("x"), RoomSettings::default());
    }

    #[test]
    fn snapshot_has_the_newest_of_each_key_oldest_first() {
        let mut room = Room::new(1, RoomSettings { delivery: Delivery::Latest, max_keys: 2 });
        let a = room.key("a", || 10).unwrap();
        let b = room.key("b", || 11).unwrap();
        assert_eq!((a, b, room.key("a", || 12).unwrap()), (10, 11, 10));
        for (name, id) in [("a", a), ("b", b), ("a", a)] {
            let message = message(&mut room, id);
            room.keep(name, &message);
        }
        let seqs: Vec<_> = room.snapshot().iter().map(|message| message.seq).collect();
        assert_eq!(seqs, [2, 3]);
    }

    #[test]
    fn keys_are_bounded_and_can_be_forgotten() {
        let mut room = Room::new(1, RoomSettings { delivery: Delivery::Latest, max_keys: 1 });
        room.key("a", || 1).unwrap();
        assert!(matches!(room.key("b", || 2), Err(Error::Overloaded { limit: 1, .. })));
        assert!(room.forget("a"));
        assert!(!room.forget("a"));
        assert_eq!(room.key("b", || 2).unwrap(), 2);
    }
}
