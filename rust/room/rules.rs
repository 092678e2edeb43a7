//! The settings of rooms, by patterns of their names. Pure.

use std::sync::Arc;

use crate::message::Delivery;
use crate::room::ages::Ages;

/// The settings of all rooms of one pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomSettings {
    /// The delivery class of its messages.
    pub delivery: Delivery,
    /// The limit on keys of a `latest` room.
    pub max_keys: usize,
    /// The limit on members.
    pub max_members: usize,
    /// The number of messages in its history; 0: it has no history.
    pub history: usize,
    /// The bytes of messages in its history.
    pub history_bytes: usize,
    /// How long its history keeps a message, in microseconds.
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

/// The settings and message ages of rooms by pattern. The first pattern that matches wins.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<(Box<str>, RoomSettings, Arc<Ages>)>,
    /// The ages for rooms that no pattern matches.
    others: Arc<Ages>,
}

impl Rules {
    /// Adds a rule after the existing ones.
    pub fn add(&mut self, pattern: &str, settings: RoomSettings) {
        self.rules.push((pattern.into(), settings, Arc::default()));
    }

    /// Returns the settings for a room; the defaults if no pattern matches.
    pub fn find(&self, name: &str) -> (RoomSettings, Arc<Ages>) {
        let rule = self.rules.iter().find(|(pattern, ..)| matches(pattern, name));
        rule.map_or_else(
            || (RoomSettings::default(), Arc::clone(&self.others)),
            |(_, settings, ages)| (*settings, Arc::clone(ages)),
        )
    }

    /// Returns the ages by pattern. `*` also stands for rooms that no pattern matches.
    pub fn ages(&self) -> impl Iterator<Item = (&str, &Ages)> {
        self.rules.iter().map(|(pattern, _, ages)| (&**pattern, &**ages)).chain([("*", &*self.others)])
    }
}

/// Whether a name matches a pattern, in which `*` stands for any characters or none.
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

/// The default of [`RoomSettings::max_keys`]: every instrument of a large exchange, about 30 MB with small values.
pub const MAX_KEYS: usize = 100_000;
