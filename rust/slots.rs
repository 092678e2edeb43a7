//! Connection ids, and the table that finds a connection by its id. An id names one connection for ever: when a slot is
//! used again its generation rises, so that a stale id finds nothing.

use std::fmt;

/// Names one connection of one engine, and tells which shard has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(u64);

impl ConnId {
    fn new(generation: u32, shard: usize, index: usize) -> Self {
        Self((generation as u64) << 32 | (shard as u64) << INDEX_BITS | index as u64)
    }

    /// Returns the shard of the connection.
    pub fn shard(self) -> usize {
        (self.0 as u32 >> INDEX_BITS) as usize
    }

    /// Returns the id as a number, for the border.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// Converts a number to an id. Any number is an id; most are stale.
    pub const fn from_u64(id: u64) -> Self {
        Self(id)
    }

    /// Returns the same number in a shard next to this one. The twin of the twin is the id itself.
    pub fn twin(self) -> Self {
        Self(self.0 ^ 1 << INDEX_BITS)
    }

    fn index(self) -> usize {
        (self.0 as u32 & INDEX_MASK) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.shard(), self.index(), self.generation())
    }
}

/// Gives out the ids of one shard.
#[derive(Debug)]
pub struct Ids {
    shard: usize,
    generations: Vec<u32>,
    free: Vec<u32>,
}

impl Ids {
    /// Creates it with no id taken.
    pub fn new(shard: usize) -> Self {
        debug_assert!(shard < MAX_SHARDS);
        Self { shard, generations: Vec::new(), free: Vec::new() }
    }

    /// Returns the number of ids taken.
    pub fn len(&self) -> usize {
        self.generations.len() - self.free.len()
    }

    /// Whether no id is taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes an id; none if four million are taken.
    pub fn take(&mut self) -> Option<ConnId> {
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None if self.generations.len() > INDEX_MASK as usize => return None,
            None => {
                // The first generation is 1, so that 0 is never an id.
                self.generations.push(1);
                self.generations.len() - 1
            }
        };
        Some(ConnId::new(self.generations[index], self.shard, index))
    }

    /// Gives an id back; it is stale from now on.
    pub fn release(&mut self, id: ConnId) {
        if let Some(generation) = self.generations.get_mut(id.index())
            && *generation == id.generation()
        {
            *generation = generation.wrapping_add(1).max(1);
            self.free.push(id.index() as u32);
        }
    }
}

/// The connections of a shard by id, found in constant time.
#[derive(Debug)]
pub struct Slots<T> {
    slots: Vec<Option<(u32, T)>>,
    len: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), len: 0 }
    }
}

impl<T> Slots<T> {
    /// Returns the number of connections.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a connection.
    pub fn insert(&mut self, id: ConnId, value: T) {
        if self.slots.len() <= id.index() {
            self.slots.resize_with(id.index() + 1, || None);
        }
        if self.slots[id.index()].replace((id.generation(), value)).is_none() {
            self.len += 1;
        }
    }

    /// Returns the connection; none if the id is stale.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        match self.slots.get_mut(id.index()) {
            Some(Some((generation, value))) if *generation == id.generation() => Some(value),
            _ => None,
        }
    }

    /// Removes the connection; none if the id is stale.
    pub fn remove(&mut self, id: ConnId) -> Option<T> {
        self.get_mut(id)?;
        self.len -= 1;
        self.slots[id.index()].take().map(|(_, value)| value)
    }

    /// Returns all connections with their ids; `shard` is the shard of this table.
    pub fn iter_mut(&mut self, shard: usize) -> impl Iterator<Item = (ConnId, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(move |(index, slot)| {
            slot.as_mut().map(|(generation, value)| (ConnId::new(*generation, shard, index), value))
        })
    }
}

/// The bits of an id that number the slots of a shard.
const INDEX_BITS: u32 = 22;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;

/// The number of shards that ids can tell apart.
pub const MAX_SHARDS: usize = 1 << (32 - INDEX_BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_ids_miss() {
        let mut ids = Ids::new(3);
        let mut slots = Slots::default();
        let first = ids.take().unwrap();
        slots.insert(first, "first");
        assert_eq!(slots.remove(first), Some("first"));
        ids.release(first);
        let second = ids.take().unwrap();
        assert_eq!(second.index(), first.index());
        assert_ne!(second, first);
        slots.insert(second, "second");
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
        assert_eq!((second.shard(), slots.len(), ids.len()), (3, 1, 1));
    }

    #[test]
    fn releasing_twice_frees_once() {
        let mut ids = Ids::new(0);
        let id = ids.take().unwrap();
        ids.release(id);
        ids.release(id);
        assert_ne!(ids.take().unwrap(), ids.take().unwrap());
    }

    #[test]
    fn any_number_is_an_id() {
        let mut slots = Slots::<()>::default();
        for number in [0, 1, u64::MAX] {
            assert_eq!(slots.get_mut(ConnId::from_u64(number)), None);
        }
    }
}
