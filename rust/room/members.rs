//! The members of rooms within one shard. Pure; joining and leaving take constant time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use indexmap::IndexSet;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::message::RoomId;
use crate::room::ages::Ages;
use crate::slots::ConnId;

/// The number of members of a room in each shard, so that a publisher wakes only shards with members. Also holds what
/// shards need to know of the room.
///
/// The count rises when a join is queued and falls when the member has left, so it is never too small.
#[derive(Debug)]
pub struct Headcount {
    name: Arc<str>,
    /// The ages of messages in rooms of the same pattern.
    ages: Arc<Ages>,
    shards: Box<[AtomicU32]>,
}

impl Headcount {
    /// Creates a count without members.
    pub fn new(name: Arc<str>, ages: Arc<Ages>, shards: usize) -> Self {
        Self { name, ages, shards: (0..shards).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Counts a new member in a shard.
    pub fn join(&self, shard: usize) {
        self.shards[shard].fetch_add(1, Relaxed);
    }

    /// Counts a member less in a shard.
    pub fn leave(&self, shard: usize) {
        self.shards[shard].fetch_sub(1, Relaxed);
    }

    /// Returns the number of members in one shard.
    pub fn in_shard(&self, shard: usize) -> usize {
        self.shards[shard].load(Relaxed) as usize
    }

    /// Returns the number of members in all shards.
    pub fn total(&self) -> usize {
        self.shards.iter().map(|count| count.load(Relaxed) as usize).sum()
    }
}

type Set<T> = IndexSet<T, FxBuildHasher>;

/// The members of every room within one shard.
#[derive(Debug)]
pub struct Members {
    shard: usize,
    rooms: FxHashMap<RoomId, (Set<ConnId>, Arc<Headcount>)>,
    joined: FxHashMap<ConnId, Set<RoomId>>,
    /// The rooms that have members, by name.
    names: FxHashMap<Arc<str>, RoomId>,
}

impl Members {
    /// Creates a table without members.
    pub fn new(shard: usize) -> Self {
        Self { shard, rooms: FxHashMap::default(), joined: FxHashMap::default(), names: FxHashMap::default() }
    }

    /// Makes a connection a member. Returns false if it is one already. The caller has counted it in `headcount`.
    pub fn join(&mut self, room: RoomId, conn: ConnId, headcount: &Arc<Headcount>) -> bool {
        let (members, _) = self.rooms.entry(room).or_insert_with(|| {
            self.names.insert(Arc::clone(&headcount.name), room);
            (Set::default(), Arc::clone(headcount))
        });
        let is_new = members.insert(conn);
        if is_new {
            self.joined.entry(conn).or_default().insert(room);
        } else {
            headcount.leave(self.shard);
        }
        is_new
    }

    /// Ends a membership. Returns false if there was none.
    pub fn leave(&mut self, room: RoomId, conn: ConnId) -> bool {
        let Some(rooms) = self.joined.get_mut(&conn) else { return false };
        if !rooms.swap_remove(&room) {
            return false;
        }
        if rooms.is_empty() {
            self.joined.remove(&conn);
        }
        self.take_out(room, conn);
        true
    }

    /// Ends all memberships of a connection.
    pub fn leave_all(&mut self, conn: ConnId) {
        for room in self.joined.remove(&conn).into_iter().flatten() {
            self.take_out(room, conn);
        }
    }

    /// Returns the members of a room.
    pub fn of(&self, room: RoomId) -> impl Iterator<Item = ConnId> {
        self.rooms.get(&room).into_iter().flat_map(|(members, _)| members.iter().copied())
    }

    /// Returns the id and the ages of the room with this name, if the connection is a member.
    pub fn find(&self, conn: ConnId, name: &str) -> Option<(RoomId, &Ages)> {
        let &room = self.names.get(name)?;
        let (members, headcount) = self.rooms.get(&room)?;
        members.contains(&conn).then_some((room, &headcount.ages))
    }

    /// Returns the number of members of a room.
    pub fn count(&self, room: RoomId) -> usize {
        self.rooms.get(&room).map_or(0, |(members, _)| members.len())
    }

    fn take_out(&mut self, room: RoomId, conn: ConnId) {
        let Some((members, headcount)) = self.rooms.get_mut(&room) else { return };
        members.swap_remove(&conn);
        headcount.leave(self.shard);
        if members.is_empty() {
            // A room that was forgotten and created again has another id.
            if self.names.get(&headcount.name) == Some(&room) {
                self.names.remove(&headcount.name);
            }
            self.rooms.remove(&room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Ids;

    #[test]
    fn join_and_leave_keep_the_headcount() {
        let mut ids = Ids::new(1);
        let (a, b) = (ids.take().unwrap(), ids.take().unwrap());
        let headcount = Arc::new(Headcount::new("r".into(), Arc::default(), 2));
        let mut members = Members::new(1);
        for (conn, is_new) in [(a, true), (b, true), (a, false)] {
            headcount.join(1);
            assert_eq!(members.join(7, conn, &headcount), is_new);
        }
        assert_eq!((headcount.in_shard(1), headcount.in_shard(0), headcount.total()), (2, 0, 2));
        assert!(members.leave(7, a));
        assert!(!members.leave(7, a));
        assert!(!members.leave(8, b));
        assert_eq!(members.of(7).collect::<Vec<_>>(), [b]);
        let find = |members: &Members, conn, name| members.find(conn, name).map(|(room, _)| room);
        assert_eq!(
            [(a, "r"), (b, "r"), (b, "x")].map(|(conn, name)| find(&members, conn, name)),
            [None, Some(7), None]
        );
        members.leave_all(b);
        members.leave_all(b);
        assert_eq!(headcount.total(), 0);
        assert!(members.rooms.is_empty() && members.joined.is_empty() && members.names.is_empty());
    }
}
