//! The table of all rooms. Publishers in different rooms seldom meet at a lock: the table is in parts, by hash
//! of the name, and what is done to a room is done under the lock of its part.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ages::BOUNDS_MS;
use crate::budget::Budget;
use crate::error::Error;
use crate::members::Headcount;
use crate::room::{Room, RoomSettings, Rules};

/// See the module's head.
#[derive(Debug)]
pub struct Rooms {
    rules: Mutex<Rules>,
    stripes: Box<[Mutex<Stripe>]>,
    hasher: RandomState,
    /// Source of room ids and key ids; 0 is none of them.
    next_id: AtomicU64,
    count: AtomicUsize,
    limit: usize,
    next_sweep: AtomicUsize,
    shards: usize,
    /// Bytes that rooms keep for those who come later.
    kept: Arc<Budget>,
    /// What the rooms' numberings are told apart by, also from those of other engines.
    epochs: RandomState,
}

/// A room, and how many members it has where.
#[derive(Debug)]
pub struct Entry {
    /// The room.
    pub room: Room,
    /// Its members, counted.
    pub headcount: Arc<Headcount>,
}

type Stripe = HashMap<Box<str>, Entry>;

impl Rooms {
    /// An empty table for at most `limit` rooms, whose members are in so many shards, and which keep about
    /// `kept_bytes` in their histories.
    pub fn new(limit: usize, shards: usize, kept_bytes: usize) -> Self {
        Self {
            rules: Mutex::default(),
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            next_id: AtomicU64::new(1),
            count: AtomicUsize::new(0),
            limit,
            next_sweep: AtomicUsize::new(0),
            shards,
            kept: Arc::new(Budget::new(kept_bytes)),
            epochs: RandomState::new(),
        }
    }

    /// Gives rooms that match a pattern their settings, unless an earlier rule does. Rooms that exist keep theirs.
    pub fn add_rule(&self, pattern: &str, settings: RoomSettings) {
        lock(&self.rules).add(pattern, settings);
    }

    /// How old what was taken was, by pattern; only of rules whose rooms have some. A pattern may come twice.
    pub fn ages(&self) -> Vec<(Box<str>, [u64; BOUNDS_MS.len() + 1], u64)> {
        let rules = lock(&self.rules);
        let ages = rules.ages().map(|(pattern, ages)| (pattern.into(), ages.counts()));
        ages.filter(|(_, (counts, _))| counts.iter().any(|&count| count > 0))
            .map(|(pattern, (counts, sum_ms))| (pattern, counts, sum_ms))
            .collect()
    }

    /// How many rooms there are.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether there is no room.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name and the number of members of each room. Locks one part of the table at a time, so publishers wait for a
    /// 64th of the rooms at most.
    pub fn sizes(&self) -> Vec<(Box<str>, usize)> {
        let mut sizes = Vec::with_capacity(self.len());
        for stripe in &self.stripes {
            sizes.extend(lock(stripe).iter().map(|(name, entry)| (name.clone(), entry.headcount.total())));
        }
        sizes
    }

    /// Bytes that rooms keep for those who come later.
    pub fn kept(&self) -> &Arc<Budget> {
        &self.kept
    }

    /// A number for a numbering, short enough to stand on every message.
    pub fn new_epoch(&self) -> u64 {
        self.epochs.hash_one(self.new_id()) >> EPOCH_SHIFT
    }

    /// An id that no room and no key has had.
    pub fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// Does something to a room under its lock, if it exists.
    pub fn find<R>(&self, name: &str, act: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        lock(self.stripe(name)).get_mut(name).map(act)
    }

    /// Does something to a room under its lock; makes the room if need be.
    pub fn with<R>(
        &self,
        name: &str,
        now_us: u64,
        act: impl FnOnce(&mut Entry) -> Result<R, Error>,
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
        let room = Room::new(self.new_id(), name, self.new_epoch(), settings);
        let headcount = Arc::new(Headcount::new(Arc::clone(room.name()), ages, self.shards));
        self.count.fetch_add(1, Relaxed);
        act(stripe.entry(name.into()).or_insert(Entry { room, headcount }))
    }

    /// Forgets rooms without members, history and values, which have nothing to lose but their number: in the stripe that the
    /// caller has locked, and in the next few that nobody is using, so that no call pays for the whole table.
    fn sweep(&self, stripe: &mut Stripe, now_us: u64) {
        let mut freed = forget_idle(stripe, now_us, &self.kept);
        for _ in 0..SWEEP {
            let next = self.next_sweep.fetch_add(1, Relaxed) % STRIPES;
            // Never waits: two that held one stripe each would wait for each other.
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

/// Forgets the rooms that nothing depends on; returns how many.
fn forget_idle(stripe: &mut Stripe, now_us: u64, kept: &Budget) -> usize {
    let before = stripe.len();
    stripe.retain(|_, entry| entry.headcount.total() > 0 || entry.room.holds_anything(now_us, kept));
    before - stripe.len()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A room is consistent at every point where code under its lock could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parts of the table.
const STRIPES: usize = 64;

/// Further parts that one call looks through for rooms to forget.
const SWEEP: usize = 4;

/// Leaves 40 bits of an epoch: ten hexadecimal digits. Two numberings of one room are alike once in a trillion.
const EPOCH_SHIFT: u32 = 24;

/// Bytes of a room's name: what fits a NATS subject once encoded, with room to spare.
const NAME_MAX: usize = 255;
