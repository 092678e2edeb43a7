//! The rated members that get the same at the same time, and what waits for them.

use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::message::{KeyId, Message};
use crate::room::rated::Unrated;
use crate::slots::ConnId;

/// Members that get the same at the same time.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) interval_us: u64,
    pub(super) phase_us: u64,
    pub(super) members: IndexMap<ConnId, Member, FxBuildHasher>,
    /// The number of the present interval.
    pub(super) cell: u64,
    /// When the last message of a key has left, in the present interval and in the one before it. Earlier ones do not
    /// matter.
    left: [FxHashMap<Option<KeyId>, u64>; 2],
    /// The first ids of keys that were forgotten, as long as `left` goes back: the next value of a key has another one.
    first_ids: [FxHashMap<Arc<str>, KeyId>; 2],
    pub(super) waiting: Vec<WaitingValue>,
    /// The places of what waits. What different members are excluded from does not replace each other.
    places: FxHashMap<(Option<KeyId>, Except), usize>,
    /// How many members are excluded from what has waited since nothing with excluded members waited.
    excluded: usize,
    /// How many messages newer ones have replaced.
    pub(super) replaced: u64,
    /// The edge that a timer is set for.
    pub(super) due_us: Option<u64>,
}

/// The members that are excluded from a message; none: no member is.
pub(super) type Except = Option<Arc<[ConnId]>>;

#[derive(Debug)]
pub(super) struct WaitingValue {
    pub(super) message: Arc<Message>,
    /// Its key, see [`Group::key_of`].
    key: Option<KeyId>,
    except: Except,
    /// The members that still need it, because a newer one has left to the others; none: all members do.
    only: Except,
    /// The interval at whose start it leaves.
    pub(super) cell: u64,
}

/// One member of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// The replaced messages that were counted for it.
    pub(super) counted: u64,
    /// What waited when it came has lower numbers, and it has got that before; until this interval.
    after: u64,
    until: u64,
}

/// What becomes of a message in a group.
pub(super) enum RateStep {
    Leaves,
    /// It waits in the place of an older one.
    Replaces,
    /// It waits for the edge at this time.
    Waits(u64),
}

impl Group {
    pub(super) fn new(interval_us: u64, phase_us: u64, now_us: u64) -> Self {
        let mut group = Self {
            interval_us,
            phase_us,
            members: IndexMap::default(),
            cell: 0,
            left: Default::default(),
            first_ids: Default::default(),
            waiting: Vec::new(),
            places: FxHashMap::default(),
            excluded: 0,
            replaced: 0,
            due_us: None,
        };
        group.cell = group.cell_at(now_us);
        group
    }

    /// Returns the number of the interval that has begun last.
    fn cell_at(&self, now_us: u64) -> u64 {
        (now_us + self.interval_us - self.phase_us) / self.interval_us
    }

    /// Returns when an interval begins.
    fn begins_us(&self, cell: u64) -> u64 {
        (cell * self.interval_us + self.phase_us).saturating_sub(self.interval_us)
    }

    pub(super) fn add(&mut self, conn: ConnId, now_us: u64) {
        // Nothing waits for longer than until the beginning of the interval after the next.
        let until = self.cell_at(now_us) + 2;
        let after = self.waiting.iter().map(|waiting| waiting.message.seq()).max().unwrap_or(0);
        self.members.insert(conn, Member { counted: self.replaced, after, until });
    }

    pub(super) fn remove(&mut self, conn: ConnId) -> Unrated {
        let Some(member) = self.members.swap_remove(&conn) else { return Unrated::default() };
        let its = self.waiting.iter();
        let its = its.filter(|waiting| !waiting.is_excluded(conn) && member.wants(waiting));
        let mut waiting: Vec<_> = its.map(|waiting| Arc::clone(&waiting.message)).collect();
        // One that has replaced an older one may be in a place before one of the same key.
        waiting.sort_by_key(|message| message.seq());
        Unrated { waiting, replaced: self.replaced - member.counted, freed: 0 }
    }

    /// Lets a member begin anew. Returns what it has not got.
    pub(super) fn begin_anew(&mut self, conn: ConnId, now_us: u64) -> Unrated {
        let unrated = self.remove(conn);
        self.add(conn, now_us);
        unrated
    }

    pub(super) fn take(&mut self, message: &Arc<Message>, except: &Except, now_us: u64) -> RateStep {
        self.turn(self.cell_at(now_us));
        let key = self.key_of(message);
        if let Some(&place) = self.places.get(&(key, except.clone()))
            && let Some(waiting) = self.waiting.get_mut(place)
        {
            waiting.message = Arc::clone(message);
            waiting.only = None;
            self.replaced += 1;
            return RateStep::Replaces;
        }
        let last_us = self.left[0].get(&key).or_else(|| self.left[1].get(&key)).copied();
        let may_us = last_us.map_or(0, |last_us| last_us + self.interval_us);
        // What is behind others of its key leaves with them, and not before.
        let ahead = self.waiting.iter().filter(|waiting| self.excluded > 0 && waiting.key == key);
        let ahead = ahead.map(|waiting| waiting.cell).max();
        let more = except.as_ref().map_or(0, |except| except.len());
        let is_over = more > 0 && (self.waiting.len() >= EXCEPT_MAX || self.excluded + more > EXCLUDED_MAX);
        if (may_us <= now_us && ahead.is_none()) || is_over {
            if let Some(except) = except {
                self.overtake(key, except);
            }
            self.left[0].insert(key, now_us);
            return RateStep::Leaves;
        }
        self.excluded += more;
        let cell = ahead.unwrap_or_else(|| self.cell_at(may_us.max(now_us) + self.interval_us - 1));
        self.places.insert((key, except.clone()), self.waiting.len());
        let (message, except) = (Arc::clone(message), except.clone());
        self.waiting.push(WaitingValue { message, key, except, only: None, cell });
        RateStep::Waits(self.begins_us(cell))
    }

    /// Returns the key of a message: that of the messages before it, even if the key was forgotten in between.
    fn key_of(&mut self, message: &Message) -> Option<KeyId> {
        let key = message.key()?;
        let is_value = message.is_data();
        if is_value && self.first_ids.iter().all(FxHashMap::is_empty) {
            return Some(key);
        }
        let Some(name) = &message.metadata().key_name else { return Some(key) };
        let first = self.first_ids.iter().find_map(|ids| ids.get(name)).copied();
        if is_value && first.is_none() {
            return Some(key);
        }
        let first = first.unwrap_or(key);
        self.first_ids[0].insert(Arc::clone(name), first);
        Some(first)
    }

    /// Notes that a newer message of a key has left to all members but these: only they still need what waits of it.
    fn overtake(&mut self, key: Option<KeyId>, except: &Arc<[ConnId]>) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.key == key) {
            let only = waiting.only.as_ref().unwrap_or(except).iter();
            waiting.only = Some(only.filter(|conn| except.binary_search(conn).is_ok()).copied().collect());
        }
    }

    /// Begins an interval. Returns what leaves.
    pub(super) fn begin(&mut self, now_us: u64) -> Vec<WaitingValue> {
        let cell = self.cell_at(now_us);
        self.turn(cell);
        let (mut leaves, stays): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.cell <= cell);
        self.places.clear();
        self.waiting = stays;
        for (place, waiting) in self.waiting.iter().enumerate() {
            self.places.insert((waiting.key, waiting.except.clone()), place);
        }
        let begun_us = self.begins_us(cell);
        self.left[0].extend(leaves.iter().map(|waiting| (waiting.key, begun_us)));
        if self.excluded > 0 {
            // A message that has replaced an older one is in its place, which may be before one of the same key for
            // other members.
            leaves.sort_by_key(|waiting| waiting.message.seq());
            self.excluded = self.waiting.iter().flat_map(|waiting| &waiting.except).map(|except| except.len()).sum();
        }
        self.due_us = self.waiting.iter().map(|waiting| waiting.cell).min().map(|cell| self.begins_us(cell));
        leaves
    }

    /// Takes out all that waits, oldest first. The timer that is set does nothing.
    pub(super) fn take_out(&mut self) -> Vec<WaitingValue> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|waiting| waiting.message.seq());
        self.places = FxHashMap::default();
        (self.excluded, self.due_us) = (0, None);
        waiting
    }

    /// Moves on to an interval.
    fn turn(&mut self, cell: u64) {
        if cell == self.cell {
            return;
        }
        let is_next = cell == self.cell + 1;
        turn(&mut self.left, is_next);
        if !self.first_ids.iter().all(FxHashMap::is_empty) {
            turn(&mut self.first_ids, is_next);
            // What waits for an edge that is late still has its place.
            for WaitingValue { message, key, .. } in &self.waiting {
                if let (Some(name), &Some(first)) = (&message.metadata().key_name, key)
                    && (!message.is_data() || message.key() != Some(first))
                {
                    self.first_ids[0].insert(Arc::clone(name), first);
                }
            }
        }
        self.cell = cell;
    }
}

impl WaitingValue {
    pub(super) fn is_excluded(&self, conn: ConnId) -> bool {
        is_excluded(&self.except, conn) || self.only.as_ref().is_some_and(|only| only.binary_search(&conn).is_err())
    }
}

impl Member {
    /// Whether it has not got a value before it came. A late edge changes nothing.
    pub(super) fn wants(&self, waiting: &WaitingValue) -> bool {
        waiting.cell > self.until || waiting.message.seq() > self.after
    }
}

/// Moves a table of the present interval and the one before on to an interval.
fn turn<K, V>(tables: &mut [FxHashMap<K, V>; 2], is_next: bool) {
    tables.swap(0, 1);
    tables[0].clear();
    if !is_next {
        tables[1].clear();
    }
    for table in tables.iter_mut().filter(|table| table.is_empty() && table.capacity() > KEEP) {
        *table = FxHashMap::default();
    }
}

pub(super) fn is_excluded(except: &Except, conn: ConnId) -> bool {
    except.as_ref().is_some_and(|except| except.binary_search(&conn).is_ok())
}

/// The messages that may wait when one comes from which members are excluded: as many keys as rooms usually have. Keys
/// are bounded, and sets of excluded members are not. Beyond this it leaves at once.
pub(super) const EXCEPT_MAX: usize = 4_096;

/// How many members may be excluded from what waits, counted for each message. Beyond this it leaves at once.
pub(super) const EXCLUDED_MAX: usize = 65_536;

/// The capacity that an empty table of keys keeps.
const KEEP: usize = 1_024;
