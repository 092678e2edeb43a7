//! What rooms are like, by patterns of their names. Pure.

use std::sync::Arc;

use crate::message::Delivery;
use crate::room::ages::Ages;

/// What a room is like; the same for all rooms of one pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomSettings {
    /// What may happen to its messages when a reader is slow.
    pub delivery: Delivery,
    /// How many keys a room of latest values may hold.
    pub max_keys: usize,
    /// How many members it may have.
    pub max_members: usize,
    /// How many messages its history keeps; 0: it has none.
    pub history: usize,
    /// How many bytes of messages its history keeps.
    pub history_bytes: usize,
    /// For how long its history keeps a message, in microseconds.
    pub history_age_us: u64,
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self {
            delivery: Delivery::Reliable,
            max_keys: MAX_KEYS,
            max_members: usize::MAX,
            history: 0,
            history_bytes: usize::MAX,
            history_age_us: u64::MAX,
        }
    }
}

/// The settings of every room, by pattern, and how old what was taken in such rooms was. The first pattern that matches
/// wins.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<(Box<str>, RoomSettings, Arc<Ages>)>,
    /// Of rooms that no pattern matches.
    others: Arc<Ages>,
}

impl Rules {
    /// Adds a rule after those that are there.
    pub fn add(&mut self, pattern: &str, settings: RoomSettings) {
        self.rules.push((pattern.into(), settings, Arc::default()));
    }

    /// The settings for a room; the defaults where no pattern matches.
    pub fn find(&self, name: &str) -> (RoomSettings, Arc<Ages>) {
        let rule = self.rules.iter().find(|(pattern, ..)| matches(pattern, name));
        rule.map_or_else(
            || (RoomSettings::default(), Arc::clone(&self.others)),
            |(_, settings, ages)| (*settings, Arc::clone(ages)),
        )
    }

    /// The ages by pattern; `*` stands for rooms that no pattern matches, too.
    pub fn ages(&self) -> impl Iterator<Item = (&str, &Ages)> {
        self.rules.iter().map(|(pattern, _, ages)| (&**pattern, &**ages)).chain([("*", &*self.others)])
    }
}

/// Whether a name fits a pattern, in which `*` stands for any characters, none included.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
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
