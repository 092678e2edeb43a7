//! The members of rooms within one shard. Pure; joining and leaving take constant time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use indexmap::IndexSet;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::interest::{RoomInterest, Values};
use crate::message::RoomId;
use crate::room::ages::Ages;
use crate::room::rated::{GroupId, RatedMembers, Unrated};
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

/// The members of one room within one shard.
#[derive(Debug)]
pub struct RoomMembers {
    /// Those that get every message.
    pub plain: Set<ConnId>,
    /// Those that get each key at a limited rate. Boxed, because most rooms have none.
    pub rated: Option<Box<RatedMembers>>,
    headcount: Arc<Headcount>,
    /// The member with which the next walk begins.
    first: usize,
    /// None: every message is for every member.
    interest: Option<Box<RoomInterest>>,
}

/// The members of every room within one shard.
#[derive(Debug)]
pub struct Members {
    shard: usize,
    rooms: FxHashMap<RoomId, RoomMembers>,
    joined: FxHashMap<ConnId, Set<RoomId>>,
    /// Attributes for rooms that a connection has not joined yet; see [`Self::change_attributes`].
    ahead: FxHashMap<ConnId, Vec<(RoomId, Values)>>,
    /// The rooms that have members, by name.
    names: FxHashMap<Arc<str>, RoomId>,
    /// The number of rated memberships.
    rated: usize,
}

impl RoomMembers {
    /// Returns the number of all members.
    pub fn count(&self) -> usize {
        self.plain.len() + self.rated.as_ref().map_or(0, |rated| rated.len())
    }

    /// Whether a connection is a member.
    fn contains(&self, conn: ConnId) -> bool {
        self.plain.contains(&conn) || self.rated.as_ref().is_some_and(|rated| rated.contains(conn))
    }

    /// Calls `each` with the members that get every message, beginning with another one each time, so that each of them
    /// is first as often as the others. The order is that of the memory, in two pieces.
    #[inline]
    pub fn walk(&mut self, mut each: impl FnMut(ConnId)) {
        let members = self.plain.as_slice();
        let start = if self.first < members.len() { self.first } else { 0 };
        self.first = start + 1;
        let (behind, ahead) = members.split_at(start);
        // One place that calls `each`, so that it is compiled into the loop.
        for part in [ahead, behind] {
            for &conn in part {
                each(conn);
            }
        }
    }
}

impl Members {
    /// Creates a table without members.
    pub fn new(shard: usize) -> Self {
        let (rooms, joined, ahead, names) = Default::default();
        Self { shard, rooms, joined, ahead, names, rated: 0 }
    }

    /// Makes a connection a member. Returns false if it is one already. The caller has counted it in `headcount`.
    pub fn join(&mut self, room: RoomId, conn: ConnId, headcount: &Arc<Headcount>) -> bool {
        let members = self.rooms.entry(room).or_insert_with(|| {
            self.names.insert(Arc::clone(&headcount.name), room);
            let headcount = Arc::clone(headcount);
            RoomMembers { plain: Set::default(), first: 0, rated: None, interest: None, headcount }
        });
        let is_new = !members.rated.as_ref().is_some_and(|rated| rated.contains(conn)) && members.plain.insert(conn);
        if is_new {
            self.joined.entry(conn).or_default().insert(room);
            if let Some(interest) = &mut members.interest {
                interest.joined(conn);
            }
            if !self.ahead.is_empty() {
                self.take_ahead(room, conn);
            }
        } else {
            headcount.leave(self.shard);
        }
        is_new
    }

    /// Ends a membership. A rated member is made a plain one before. Returns false if there was none.
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

    /// Ends all memberships of a connection. Where it is a rated member it is made a plain one before.
    pub fn leave_all(&mut self, conn: ConnId) {
        for room in self.joined.remove(&conn).into_iter().flatten() {
            self.take_out(room, conn);
        }
        self.ahead.remove(&conn);
    }

    /// Returns the members of a room; none if it has no members.
    pub fn of(&mut self, room: RoomId) -> Option<&mut RoomMembers> {
        self.rooms.get_mut(&room)
    }

    /// Makes a member a rated one: it gets each key once in an interval at most, from now on. With
    /// `is_alone` it shares nothing with others, because it may get other messages than they. Returns the name of the
    /// room; none if the connection is no member.
    pub fn rate(
        &mut self,
        room: RoomId,
        conn: ConnId,
        interval_us: u64,
        is_alone: bool,
        now_us: u64,
    ) -> Option<Arc<str>> {
        let members = self.rooms.get_mut(&room)?;
        members.plain.swap_remove(&conn).then(|| {
            members.rated.get_or_insert_default().add(conn, interval_us, is_alone, now_us);
            self.rated += 1;
            Arc::clone(&members.headcount.name)
        })
    }

    /// Makes a rated member a plain one. Returns what it has not got; none if it was no rated member.
    pub fn unrate(&mut self, room: RoomId, conn: ConnId) -> Option<Unrated> {
        if self.rated == 0 {
            return None;
        }
        let members = self.rooms.get_mut(&room)?;
        let unrated = members.rated.as_mut()?.remove(conn)?;
        members.rated.take_if(|rated| rated.is_empty());
        members.plain.insert(conn);
        self.rated -= 1;
        Some(unrated)
    }

    /// Notes that a rated member has got everything until now, with what is returned. None: it is no rated member.
    pub fn begin_anew(&mut self, room: RoomId, conn: ConnId, now_us: u64) -> Option<Unrated> {
        self.rooms.get_mut(&room)?.rated.as_mut()?.begin_anew(conn, now_us)
    }

    /// Returns the rooms of a connection, if any member of this shard is a rated one.
    pub fn perhaps_rated(&self, conn: ConnId) -> Vec<RoomId> {
        match self.joined.get(&conn) {
            Some(rooms) if self.rated > 0 => rooms.iter().copied().collect(),
            _ => Vec::new(),
        }
    }

    /// Returns what waits for rated members, with its bytes, the most first.
    pub fn waiting(&self) -> Vec<(usize, RoomId, GroupId)> {
        if self.rated == 0 {
            return Vec::new();
        }
        let mut waiting = Vec::new();
        for (&room, members) in &self.rooms {
            let rated = members.rated.iter().flat_map(|rated| rated.waiting());
            waiting.extend(rated.map(|(group, bytes)| (bytes, room, group)));
        }
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        waiting
    }

    /// Returns the name of a room, and the interval of a member, 0 for a plain one; none if it is no member.
    pub fn rate_of(&self, room: RoomId, conn: ConnId) -> Option<(Arc<str>, u64)> {
        let members = self.rooms.get(&room)?;
        let rated = members.rated.as_ref().and_then(|rated| rated.interval_us(conn));
        let interval_us = rated.or_else(|| members.plain.contains(&conn).then_some(0))?;
        Some((Arc::clone(&members.headcount.name), interval_us))
    }

    /// Returns the id and the ages of the room with this name, if the connection is a member.
    pub fn find(&self, conn: ConnId, name: &str) -> Option<(RoomId, &Ages)> {
        let &room = self.names.get(name)?;
        let members = self.rooms.get(&room)?;
        members.contains(conn).then_some((room, &members.headcount.ages))
    }

    /// Returns the number of members of a room.
    pub fn count(&self, room: RoomId) -> usize {
        self.rooms.get(&room).map_or(0, RoomMembers::count)
    }

    fn take_out(&mut self, room: RoomId, conn: ConnId) {
        let Some(members) = self.rooms.get_mut(&room) else { return };
        members.plain.swap_remove(&conn);
        members.headcount.leave(self.shard);
        if members.count() == 0 {
            // A room that was forgotten and created again has another id.
            if self.names.get(&members.headcount.name) == Some(&room) {
                self.names.remove(&members.headcount.name);
            }
            self.rooms.remove(&room);
        } else if let Some(interest) = &mut members.interest {
            interest.left(conn);
            members.settle();
        }
    }
}

mod interested;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Ids;

    fn walk(members: &mut Members, room: RoomId) -> Vec<ConnId> {
        let mut walked = Vec::new();
        members.of(room).into_iter().for_each(|room| room.walk(|conn| walked.push(conn)));
        walked
    }

    #[test]
    fn each_member_is_first_equally_often_and_none_is_left_out() {
        let mut ids = Ids::new(0);
        let headcount = Arc::new(Headcount::new("r".into(), Arc::default(), 1));
        let mut members = Members::new(0);
        let all: Vec<_> = (0..5).map(|_| ids.take().unwrap()).collect();
        for &conn in &all {
            headcount.join(0);
            members.join(7, conn, &headcount);
        }
        // Another room does not disturb the order.
        headcount.join(0);
        members.join(8, all[0], &headcount);
        let mut places = [[0; 5]; 5];
        for _ in 0..40 {
            assert_eq!(walk(&mut members, 8), [all[0]]);
            for (place, conn) in walk(&mut members, 7).into_iter().enumerate() {
                places[place][all.iter().position(|&known| known == conn).unwrap()] += 1;
            }
        }
        assert_eq!(places, [[8; 5]; 5]);
        // Members that leave between two walks change nothing else.
        for (left, &conn) in all.iter().enumerate().take(4) {
            members.leave(7, conn);
            assert_eq!(walk(&mut members, 7).len(), 4 - left);
        }
        assert!(walk(&mut members, 9).is_empty());
    }

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
        assert_eq!(walk(&mut members, 7), [b]);
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
