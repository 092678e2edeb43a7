//! A room's own memory: its sequence, its history and, in a room of latest values, the newest message of each key.
//! Pure; who is in the room is [`crate::members`]' business.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::ages::Ages;
use crate::budget::Budget;
use crate::error::Error;
use crate::forgotten::{Forgotten, MOST, When};
use crate::message::{Delivery, KeyId, Message, RoomId};
use crate::wire::table::joined_reason;

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

/// The last messages, oldest first: every one with a number after `floor`. Between the numbers may be holes.
#[derive(Debug, Default)]
struct History {
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
    floor: u64,
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

impl History {
    fn push(&mut self, message: Arc<Message>, kept: &Budget) {
        self.bytes += message.kept_size();
        kept.add(message.kept_size());
        self.messages.push_back(message);
    }

    fn push_older(&mut self, message: Arc<Message>, kept: &Budget) {
        self.bytes += message.kept_size();
        kept.add(message.kept_size());
        self.messages.push_front(message);
    }

    /// Forgets the oldest message; returns the bytes that were freed.
    fn pop(&mut self, kept: &Budget) -> Option<usize> {
        let message = self.messages.pop_front()?;
        let size = message.kept_size();
        self.floor = message.seq();
        self.bytes -= size;
        kept.subtract(size);
        Some(size)
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
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::envelope::Kind;
    use crate::message::{About, Role};

    const LATEST: RoomSettings = RoomSettings {
        delivery: Delivery::Latest,
        max_keys: 2,
        max_members: usize::MAX,
        history: 0,
        history_bytes: usize::MAX,
        history_age_us: u64::MAX,
    };

    /// A message with this number, which follows another.
    fn message(seq: u64, prev: u64, now_us: u64) -> Arc<Message> {
        let about = About { epoch: 7, prev: Some(prev), ..About::place(1, seq, Delivery::Reliable) };
        Arc::new(Message::new(Role::Data, Kind::Binary, b"x", about, now_us, &Arc::new(unlimited())))
    }

    /// Publishes a message that has its number.
    fn deliver(room: &mut Room, seq: u64, now_us: u64, kept: &Budget) {
        let prev = room.position().seq;
        room.advance_to(seq);
        room.keep(&message(seq, prev, now_us), kept);
    }

    /// Publishes a message at a time and returns what it costs to keep.
    fn publish(room: &mut Room, key: Option<&str>, now_us: u64, kept: &Budget) -> usize {
        let key = key.map(|key| room.key(key, || key.len() as u64).unwrap());
        let place = About::place(room.id(), room.advance(), room.settings().delivery);
        let about = About {
            key: key.as_ref().map(|key| key.0),
            room_name: Some(Arc::clone(room.name())),
            key_name: key.map(|key| key.1),
            ..place
        };
        let budget = Arc::new(Budget::new(usize::MAX));
        let message = Arc::new(Message::new(Role::Data, Kind::Binary, b"x", about, now_us, &budget));
        room.keep(&message, kept);
        message.kept_size()
    }

    fn since(room: &mut Room, seq: u64, now_us: u64, kept: &Budget) -> Result<Vec<u64>, Unrecovered> {
        let messages = room.since(Position { epoch: 7, seq }, now_us, kept)?;
        Ok(messages.iter().map(|message| message.seq()).collect())
    }

    fn unlimited() -> Budget {
        Budget::new(usize::MAX)
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
        rules.add("q.*", LATEST);
        let oldest = RoomSettings { delivery: Delivery::DropOldest, ..LATEST };
        rules.add("*", oldest);
        assert_eq!((rules.find("q.eur").0, rules.find("x").0), (LATEST, oldest));
        assert_eq!(Rules::default().find("x").0, RoomSettings::default());
        rules.find("q.eur").1.note(7);
        let sums: Vec<_> = rules.ages().map(|(pattern, ages)| (pattern, ages.counts().1)).collect();
        assert_eq!(sums, [("q.*", 7), ("*", 0), ("*", 0)]);
    }

    #[test]
    fn snapshot_has_the_newest_of_each_key_oldest_first() {
        let (mut room, kept) = (Room::new(1, "q", 7, LATEST), unlimited());
        let sizes: Vec<_> = ["a", "bb", "a"].map(|key| publish(&mut room, Some(key), 0, &kept)).into();
        let seqs: Vec<_> = room.snapshot().iter().map(|message| message.seq()).collect();
        assert_eq!(seqs, [2, 3]);
        assert_eq!(kept.used(), sizes[1] + sizes[2]);
    }

    #[test]
    fn keys_are_bounded_and_can_be_forgotten() {
        let (mut room, kept) = (Room::new(1, "q", 7, RoomSettings { max_keys: 1, ..LATEST }), unlimited());
        publish(&mut room, Some("a"), 0, &kept);
        assert!(matches!(room.key("b", || 2), Err(Error::Overloaded { limit: 1, field: "max_keys", .. })));
        assert!(room.holds_anything(0, &kept));
        assert!(room.forget("a", &kept).0.is_some());
        assert!(room.forget("a", &kept).0.is_none());
        assert!(!room.holds_anything(0, &kept));
        assert_eq!(kept.used(), 0);
        assert_eq!(room.key("b", || 2).unwrap().0, 2);
    }

    #[test]
    fn a_history_is_read_in_pages() {
        let settings = RoomSettings { history: 4, history_age_us: 100, ..RoomSettings::default() };
        let (mut room, kept) = (Room::new(1, "r", 7, settings), unlimited());
        for now_us in [0, 0, 50, 50, 50] {
            publish(&mut room, None, now_us, &kept);
        }
        let after = |epoch, seq| Some(Position { epoch, seq });
        for (from, limit, now_us, expected) in [
            (None, 2, 50, vec![4, 5]),
            (None, 9, 50, vec![2, 3, 4, 5]),
            (after(7, 0), 2, 50, vec![2, 3]),
            (after(7, 3), 2, 50, vec![4, 5]),
            (after(7, 5), 2, 50, vec![]),
            (after(7, 9), 2, 50, vec![]),
            (after(8, 3), 2, 50, vec![2, 3]),
            (None, 9, 101, vec![3, 4, 5]),
        ] {
            let page = room.kept_after(from, limit, now_us, &kept);
            assert_eq!(page.iter().map(|message| message.seq()).collect::<Vec<_>>(), expected, "{from:?} {limit}");
        }
    }

    #[test]
    fn history_gives_exactly_what_came_after_a_position() {
        let settings = RoomSettings { history: 3, ..RoomSettings::default() };
        let (mut room, kept) = (Room::new(1, "r", 7, settings), unlimited());
        assert_eq!(since(&mut room, 0, 0, &kept), Ok(vec![]));
        for _ in 0..5 {
            publish(&mut room, None, 0, &kept);
        }
        for (seq, expected) in [
            (5, Ok(vec![])),
            (3, Ok(vec![4, 5])),
            (2, Ok(vec![3, 4, 5])),
            (1, Err(Unrecovered::History)),
            (0, Err(Unrecovered::History)),
            (6, Err(Unrecovered::Position)),
        ] {
            assert_eq!(since(&mut room, seq, 0, &kept), expected, "{seq}");
        }
        assert_eq!(room.since(Position { epoch: 8, seq: 5 }, 0, &kept).unwrap_err(), Unrecovered::Epoch);
    }

    #[test]
    fn without_history_only_those_who_missed_nothing_recover() {
        let (mut room, kept) = (Room::new(1, "r", 7, RoomSettings::default()), unlimited());
        publish(&mut room, None, 0, &kept);
        assert_eq!(since(&mut room, 1, 0, &kept), Ok(vec![]));
        assert_eq!(since(&mut room, 0, 0, &kept), Err(Unrecovered::History));
        assert_eq!(kept.used(), 0);
    }

    #[test]
    fn history_is_bounded_by_bytes_and_age() {
        let settings = RoomSettings { history: 100, history_age_us: 10, ..RoomSettings::default() };
        let (mut room, kept) = (Room::new(1, "r", 7, settings), unlimited());
        let size = (0..4).map(|now_us| publish(&mut room, None, now_us * 5, &kept)).max().unwrap();
        assert_eq!(since(&mut room, 1, 15, &kept), Ok(vec![2, 3, 4]));
        assert_eq!(since(&mut room, 1, 16, &kept), Err(Unrecovered::History));
        assert_eq!(kept.used(), 2 * size);
        assert!(!room.holds_anything(100, &kept));
        assert_eq!(kept.used(), 0);

        let settings = RoomSettings { history: 100, history_bytes: 2 * size, ..RoomSettings::default() };
        let mut room = Room::new(2, "s", 7, settings);
        for _ in 0..4 {
            publish(&mut room, None, 0, &kept);
        }
        assert_eq!((since(&mut room, 2, 0, &kept), kept.used()), (Ok(vec![3, 4]), 2 * size));
    }

    #[test]
    fn over_the_limit_of_all_rooms_the_one_that_publishes_gives_back() {
        let settings = RoomSettings { history: 100, ..RoomSettings::default() };
        let (mut quiet, mut busy) = (Room::new(1, "q", 7, settings), Room::new(2, "b", 7, settings));
        let size = publish(&mut quiet, None, 0, &unlimited());
        let kept = Budget::new(3 * size);
        kept.add(size);
        for _ in 0..10 {
            publish(&mut busy, None, 0, &kept);
        }
        assert_eq!(since(&mut busy, 8, 0, &kept), Ok(vec![9, 10]));
        assert_eq!(since(&mut quiet, 0, 0, &kept), Ok(vec![1]));
        assert_eq!(kept.used(), 3 * size);
    }

    #[test]
    fn numbers_may_have_holes() {
        let settings = RoomSettings { history: 3, history_age_us: 10, ..RoomSettings::default() };
        let (mut room, kept) = (Room::new(1, "r", 7, settings), unlimited());
        room.place(Position { epoch: 7, seq: 10 }, &kept);
        assert_eq!(room.floor(0, &kept), Position { epoch: 7, seq: 10 });
        for (seq, now_us) in [(12, 0), (15, 5), (20, 10)] {
            deliver(&mut room, seq, now_us, &kept);
        }
        for (seq, expected) in [
            (9, Err(Unrecovered::History)),
            (10, Ok(vec![12, 15, 20])),
            (11, Ok(vec![12, 15, 20])),
            (12, Ok(vec![15, 20])),
            (17, Ok(vec![20])),
            (20, Ok(vec![])),
            (21, Err(Unrecovered::Position)),
        ] {
            assert_eq!(since(&mut room, seq, 10, &kept), expected, "{seq}");
        }
        // By number, by age, and by age without anything coming.
        deliver(&mut room, 30, 10, &kept);
        assert_eq!((since(&mut room, 11, 10, &kept), room.floor(10, &kept).seq), (Err(Unrecovered::History), 12));
        assert_eq!((room.floor(16, &kept).seq, since(&mut room, 15, 16, &kept)), (15, Ok(vec![20, 30])));
        assert_eq!((since(&mut room, 30, 99, &kept), room.floor(99, &kept).seq, kept.used()), (Ok(vec![]), 30, 0));
    }

    #[test]
    fn without_history_nothing_before_the_newest_is_kept() {
        let (mut room, kept) = (Room::new(1, "r", 7, RoomSettings::default()), unlimited());
        room.place(Position { epoch: 7, seq: 10 }, &kept);
        assert_eq!((room.advance(), room.floor(0, &kept).seq), (11, 11));
        room.advance_to(20);
        assert_eq!((room.position().seq, room.floor(0, &kept).seq, kept.used()), (20, 20, 0));
        assert!(!room.takes_older(0, 0, &kept));
    }

    #[test]
    fn a_place_begins_anew() {
        let settings = RoomSettings { history: 3, ..RoomSettings::default() };
        let (mut room, kept) = (Room::new(1, "r", 7, settings), unlimited());
        publish(&mut room, None, 0, &kept);
        room.place(Position { epoch: 8, seq: 5 }, &kept);
        assert_eq!((room.position(), kept.used()), (Position { epoch: 8, seq: 5 }, 0));
        assert_eq!(since(&mut room, 1, 0, &kept), Err(Unrecovered::Epoch));
        assert_eq!(room.since(Position { epoch: 8, seq: 5 }, 0, &kept).map(|found| found.len()), Ok(0));
        assert_eq!(room.since(Position { epoch: 8, seq: 4 }, 0, &kept).unwrap_err(), Unrecovered::History);
    }

    #[test]
    fn older_messages_go_before_those_kept_while_there_is_space() {
        let size = message(1, 0, 0).kept_size();
        let settings = RoomSettings { history: 3, history_bytes: 3 * size, history_age_us: 10, ..LATEST };
        let (mut room, kept) = (Room::new(1, "r", 7, settings), Budget::new(3 * size));
        room.place(Position { epoch: 7, seq: 10 }, &kept);
        deliver(&mut room, 12, 9, &kept);
        assert!(!room.takes_older(size, 11, &kept) && !room.takes_older(2 * size + 1, 0, &kept));
        for (seq, prev) in [(8, 5), (5, 2)] {
            assert!(room.takes_older(size, 10, &kept));
            room.keep_older(&message(seq, prev, 5), &kept);
            assert_eq!(since(&mut room, 10, 9, &kept), Ok(vec![12]));
        }
        assert!(!room.takes_older(size, 0, &kept));
        room.lower(2);
        assert_eq!((since(&mut room, 1, 9, &kept), kept.used()), (Err(Unrecovered::History), 3 * size));
        assert_eq!(since(&mut room, 2, 9, &kept), Ok(vec![5, 8, 12]));
        // They age like all others.
        assert_eq!((since(&mut room, 8, 16, &kept), room.floor(16, &kept).seq), (Ok(vec![12]), 8));
        room.place(Position { epoch: 7, seq: 12 }, &kept);
        assert_eq!(kept.used(), 0);
    }

    #[test]
    fn a_message_larger_than_its_rooms_history_has_nothing_to_give_back() {
        let settings = RoomSettings { history: 3, history_bytes: 1, ..RoomSettings::default() };
        let (mut room, kept) = (Room::new(1, "r", 7, settings), Budget::new(10));
        kept.add(100);
        publish(&mut room, None, 0, &kept);
        assert_eq!((since(&mut room, 0, 0, &kept), kept.used()), (Err(Unrecovered::History), 100));
    }
}
