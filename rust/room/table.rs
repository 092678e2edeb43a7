//! The table of all rooms. It has many parts, chosen by the hash of the name, each with a lock of its own, so
//! publishers in different rooms seldom wait for each other.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::Budget;
use crate::error::Error;
use crate::room::ages::BOUNDS_MS;
use crate::room::busiest::{Busiest, BusyRoom};
use crate::room::members::Headcount;
use crate::room::recorded::Recorded;
use crate::room::rules::matches;
use crate::room::watch::Watch;
use crate::room::{Room, RoomSettings, Rules};

/// The table of all rooms. Thread-safe.
#[derive(Debug)]
pub struct RoomTable {
    rules: Mutex<Rules>,
    /// The recordings, by the rooms that they record.
    recorded: Mutex<Recorded>,
    stripes: Box<[Mutex<Stripe>]>,
    hasher: RandomState,
    /// The next id for a room or key; 0 is never used.
    next_id: AtomicU64,
    count: AtomicUsize,
    limit: usize,
    next_sweep: AtomicUsize,
    shards: usize,
    /// The budget for histories and values of all rooms.
    kept: Arc<Budget>,
    /// Random keys, so that epochs differ from each other and from those of other engines.
    epochs: RandomState,
    watch: Watch,
}

/// A room and the count of its members.
#[derive(Debug)]
pub struct RoomEntry {
    /// The room.
    pub room: Room,
    /// The number of its members in each shard.
    pub headcount: Arc<Headcount>,
}

type Stripe = HashMap<Box<str>, RoomEntry>;

impl RoomTable {
    /// Creates an empty table for at most `limit` rooms with members in `shards` shards. All rooms together keep about
    /// `kept_bytes`.
    pub fn new(limit: usize, shards: usize, kept_bytes: usize) -> Self {
        Self {
            rules: Mutex::default(),
            recorded: Mutex::default(),
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            next_id: AtomicU64::new(1),
            count: AtomicUsize::new(0),
            limit,
            next_sweep: AtomicUsize::new(0),
            shards,
            kept: Arc::new(Budget::new(kept_bytes)),
            epochs: RandomState::new(),
            watch: Watch::default(),
        }
    }

    /// Gives rooms that match a pattern their settings, unless an earlier rule does. Existing rooms keep their
    /// settings.
    pub fn add_rule(&self, pattern: &str, settings: RoomSettings) {
        lock(&self.rules).add(pattern, settings);
    }

    /// Changes the recordings, and tells all rooms. What is published from now on goes to the new ones.
    pub fn change_recorded(&self, change: impl FnOnce(&mut Recorded)) {
        change(&mut lock(&self.recorded));
        for stripe in &self.stripes {
            // A room that is created meanwhile looks by itself: its part of the table is locked before the recordings.
            for (name, RoomEntry { room, .. }) in &mut *lock(stripe) {
                room.set_recorders(lock(&self.recorded).of(name));
            }
        }
    }

    /// Returns the patterns of rules; see [`Rules::patterns`].
    pub fn patterns(&self) -> Vec<Box<str>> {
        lock(&self.rules).patterns().map(Box::from).collect()
    }

    /// Returns the ages of messages by pattern, without patterns that have none. A pattern may occur twice.
    pub fn ages(&self) -> Vec<(Box<str>, [u64; BOUNDS_MS.len() + 1], u64)> {
        let rules = lock(&self.rules);
        let ages = rules.ages().map(|(pattern, ages)| (pattern.into(), ages.counts()));
        ages.filter(|(_, (counts, _))| counts.iter().any(|&count| count > 0))
            .map(|(pattern, (counts, sum_ms))| (pattern, counts, sum_ms))
            .collect()
    }

    /// Returns the number of rooms.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether there are no rooms.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the name and the number of members of each room. Locks one part of the table at a time, so publishers wait for a
    /// 64th of the rooms at most.
    pub fn sizes(&self) -> Vec<(Box<str>, usize)> {
        let mut sizes = Vec::with_capacity(self.len());
        for stripe in &self.stripes {
            sizes.extend(lock(stripe).iter().map(|(name, entry)| (name.clone(), entry.headcount.total())));
        }
        sizes
    }

    /// Returns the `most` rooms with most deliveries since the last call, and then those with most members. Locks one
    /// part of the table at a time, as [`Self::sizes`].
    pub fn busiest(&self, most: usize) -> Vec<BusyRoom> {
        let mut busiest = Busiest::new(most);
        for stripe in &self.stripes {
            for (name, RoomEntry { room, headcount }) in &mut *lock(stripe) {
                busiest.take(name, headcount.total(), room.growth());
            }
        }
        busiest.into_list()
    }

    /// Returns the patterns whose new rooms are told.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Returns the names of rooms that match a pattern, and the part of the table to go on with; none if that was the
    /// last one. Begins with `part`, and ends with the part in which it has looked at `most` names. Locks one part at a
    /// time.
    pub fn matching(&self, pattern: &str, part: usize, most: usize) -> (Vec<Box<str>>, Option<usize>) {
        let (mut found, mut looked) = (Vec::new(), 0);
        for (index, stripe) in self.stripes.iter().enumerate().skip(part) {
            if looked >= most {
                return (found, Some(index));
            }
            let stripe = lock(stripe);
            looked += stripe.len();
            found.extend(stripe.keys().filter(|name| matches(pattern, name)).cloned());
        }
        (found, None)
    }

    /// Returns the budget for histories and values of all rooms.
    pub fn kept(&self) -> &Arc<Budget> {
        &self.kept
    }

    /// Returns a new epoch, short because it stands on every message.
    pub fn new_epoch(&self) -> u64 {
        self.epochs.hash_one(self.new_id()) >> EPOCH_SHIFT
    }

    /// Returns an id that no room and no key has had.
    pub fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// Calls `act` with a room under its lock, if the room exists.
    pub fn find<R>(&self, name: &str, act: impl FnOnce(&mut RoomEntry) -> R) -> Option<R> {
        lock(self.stripe(name)).get_mut(name).map(act)
    }

    /// Calls `act` with a room under its lock. Creates the room if it does not exist.
    pub fn with<R>(
        &self,
        name: &str,
        now_us: u64,
        act: impl FnOnce(&mut RoomEntry) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut stripe = lock(self.stripe(name));
        if let Some(entry) = stripe.get_mut(name) {
            return act(entry);
        }
        if name.is_empty() || name.len() > NAME_MAX {
            let len = name.len();
            return Err(Error::Invalid(format!("a room's name has 1 to {NAME_MAX} bytes, not {len}")));
        }
        if self.len() >= self.limit {
            self.sweep(&mut stripe, now_us);
            if self.len() >= self.limit {
                let (what, limit) = ("the number of rooms", self.limit);
                return Err(Error::Overloaded { what, limit, field: "max_rooms" });
            }
        }
        let (settings, ages) = lock(&self.rules).find(name);
        let mut room = Room::new(self.new_id(), name, self.new_epoch(), settings);
        room.set_recorders(lock(&self.recorded).of(name));
        if self.watch.look(name) {
            room.keep_first();
        }
        let headcount = Arc::new(Headcount::new(Arc::clone(room.name()), ages, self.shards));
        self.count.fetch_add(1, Relaxed);
        act(stripe.entry(name.into()).or_insert(RoomEntry { room, headcount }))
    }

    /// Removes rooms without members, history and values, which lose nothing but their number. Looks through the locked
    /// stripe and the next few that are not locked, so that no call pays for the whole table.
    fn sweep(&self, stripe: &mut Stripe, now_us: u64) {
        let mut freed = forget_idle(stripe, now_us, &self.kept);
        for _ in 0..SWEEP {
            let next = self.next_sweep.fetch_add(1, Relaxed) % STRIPES;
            // Never waits: two callers that each hold one stripe would wait for each other.
            if let Ok(mut other) = self.stripes[next].try_lock() {
                freed += forget_idle(&mut other, now_us, &self.kept);
            }
        }
        self.count.fetch_sub(freed, Relaxed);
    }

    fn stripe(&self, name: &str) -> &Mutex<Stripe> {
        &self.stripes[self.hasher.hash_one(name) as usize % STRIPES]
    }
}

/// Removes the rooms of a stripe that nothing depends on. Returns how many.
fn forget_idle(stripe: &mut Stripe, now_us: u64, kept: &Budget) -> usize {
    let before = stripe.len();
    stripe.retain(|_, entry| entry.headcount.total() > 0 || entry.room.holds_anything(now_us, kept));
    before - stripe.len()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A room is consistent wherever code under its lock can panic, so a poisoned lock is usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of parts of the table.
const STRIPES: usize = 64;

/// How many other parts one call looks through for rooms to remove.
const SWEEP: usize = 4;

/// Leaves 40 bits of an epoch: ten hexadecimal digits. Two epochs of one room are equal once in a trillion.
const EPOCH_SHIFT: u32 = 24;

/// The limit on bytes of a room's name: encoded, it fits a NATS subject with space to spare.
const NAME_MAX: usize = 255;
