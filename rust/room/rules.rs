//! The settings of rooms, by patterns of their names. Pure.

use std::sync::Arc;

use crate::message::{Delivery, Priority};
use crate::room::ages::Ages;
use crate::stats::rules::{RULES, RuleId};

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
    /// Whether its messages are compressed for those who have agreed to it.
    pub compress: bool,
    /// Which messages of a connection leave first.
    pub priority: Priority,
    /// How many times a second its messages leave; 0: each at once.
    pub tick: u32,
    /// Whether members may have attributes and filters, and messages conditions.
    pub interest: bool,
    /// Whether a value may be sent as a delta to the one before of its key, to those who have agreed to it.
    pub delta: bool,
    /// The number of the rule that they come from, which [`Rules::add`] gives.
    pub rule: RuleId,
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
            compress: false,
            priority: Priority::Normal,
            tick: 0,
            interest: false,
            delta: false,
            rule: RuleId::OTHERS,
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
        let rule = RuleId::nth(self.rules.len());
        self.rules.push((pattern.into(), RoomSettings { rule, ..settings }, Arc::default()));
    }

    /// Returns the settings for a room; the defaults if no pattern matches.
    pub fn find(&self, name: &str) -> (RoomSettings, Arc<Ages>) {
        let rule = self.rules.iter().find(|(pattern, ..)| matches(pattern, name));
        rule.map_or_else(
            || (RoomSettings::default(), Arc::clone(&self.others)),
            |(_, settings, ages)| (*settings, Arc::clone(ages)),
        )
    }

    /// Returns the patterns by [`RuleId::index`], where "" stands for no room. They are at most [`RULES`].
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        ["", "*"].into_iter().chain(self.rules.iter().map(|(pattern, ..)| &**pattern)).take(RULES)
    }

    /// Returns the ages by pattern. `*` also stands for rooms that no pattern matches.
    pub fn ages(&self) -> impl Iterator<Item = (&str, &Ages)> {
        self.rules.iter().map(|(pattern, _, ages)| (&**pattern, &**ages)).chain([("*", &*self.others)])
    }
}

/// Whether a name matches a pattern, in which `*` stands for any characters or none.
pub fn matches(pattern: &str, name: &str) -> bool {
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
