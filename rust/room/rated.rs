//! The members of one room that get each of its keys at most so many times a second. Pure: the time is an argument.
//!
//! Members with one interval and one phase are a group. A group keeps what waits once for all of them, so a message
//! costs once for each group and not for each member. What waits leaves at the edges of the group's interval. A group is
//! filled before the next phase gets one, so that few members cost few edges, and many are spread over the interval.
//!
//! The rule it keeps: a message leaves at once if none of its key waits, and the last one has left an interval ago or
//! earlier. Otherwise it waits for the first edge from then on. So each member gets each key once in an interval at most, not
//! counting what it got when it joined.

use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::message::Message;
use crate::room::rated::group::{Except, Group, RateStep, WaitingValue, is_excluded};
use crate::slots::ConnId;

/// The number of a group in its room; never reused.
pub type GroupId = u64;

/// The rated members of one room.
#[derive(Debug, Default)]
pub struct RatedMembers {
    groups: IndexMap<GroupId, Group, FxBuildHasher>,
    /// The group of each member.
    of: FxHashMap<ConnId, GroupId>,
    /// The groups that take members, by interval and phase.
    open: FxHashMap<(u64, u64), GroupId>,
    last: GroupId,
    /// The id of the first member, so that rooms with few members do not all begin with the same phase.
    first: Option<ConnId>,
}

/// What a published message has led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RateCounts {
    /// The members that get it at once.
    pub sent: usize,
    /// Groups for which it waits, and has not replaced an older one.
    pub waits: usize,
    /// The members for which it has replaced an older one that waited.
    pub replaced: usize,
}

/// What leaves at an edge.
#[derive(Debug)]
pub struct Edge<'a> {
    group: &'a mut Group,
    messages: Vec<WaitingValue>,
}

/// What a member has not got, when it is no rated member any more.
#[derive(Debug, Default)]
pub struct Unrated {
    /// What waited for it, oldest first.
    pub waiting: Vec<Arc<Message>>,
    /// Replaced messages that were not counted for it yet.
    pub replaced: u64,
    /// References to messages that were given up, because it was the last member of its group.
    pub freed: usize,
}

impl RatedMembers {
    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Returns the number of groups.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Whether a connection is one of them.
    pub fn contains(&self, conn: ConnId) -> bool {
        self.of.contains_key(&conn)
    }

    /// Returns all members.
    pub fn iter(&self) -> impl Iterator<Item = ConnId> {
        self.groups.values().flat_map(|group| group.members.keys().copied())
    }

    /// Returns the interval of a member, in microseconds.
    pub fn interval_us(&self, conn: ConnId) -> Option<u64> {
        Some(self.groups.get(self.of.get(&conn)?)?.interval_us)
    }

    /// Adds a member that has got everything until now. The interval is not 0. With `is_alone` it has a group of its own,
    /// for [`Self::publish_to`].
    pub fn add(&mut self, conn: ConnId, interval_us: u64, is_alone: bool, now_us: u64) {
        self.first.get_or_insert(conn);
        let phases = phases(interval_us);
        let phase = if is_alone { phase_by_id(conn, phases) } else { self.phase_for(conn, interval_us) };
        let phase_us = phase * interval_us / phases;
        let open = self.open.get(&(interval_us, phase_us)).copied().filter(|_| !is_alone);
        let id = open.filter(|id| self.groups.get(id).is_some_and(|group| group.members.len() < GROUP_MAX));
        let id = id.unwrap_or_else(|| {
            self.last += 1;
            if !is_alone {
                self.open.insert((interval_us, phase_us), self.last);
            }
            self.groups.insert(self.last, Group::new(interval_us, phase_us, now_us));
            self.last
        });
        if let Some(group) = self.groups.get_mut(&id) {
            group.add(conn, now_us);
            self.of.insert(conn, id);
        }
    }

    /// Removes a member.
    pub fn remove(&mut self, conn: ConnId) -> Option<Unrated> {
        let id = self.of.remove(&conn)?;
        let group = self.groups.get_mut(&id)?;
        let mut unrated = group.remove(conn);
        if group.members.is_empty() {
            unrated.freed = group.waiting.len();
            let place = (group.interval_us, group.phase_us);
            self.groups.swap_remove(&id);
            if self.open.get(&place) == Some(&id) {
                self.open.remove(&place);
            }
        }
        Some(unrated)
    }

    /// Notes that a member has got everything until now, with what is returned. None: it is no member.
    pub fn begin_anew(&mut self, conn: ConnId, now_us: u64) -> Option<Unrated> {
        let group = self.groups.get_mut(self.of.get(&conn)?)?;
        Some(group.begin_anew(conn, now_us))
    }

    /// Takes a published message for all members or, with `to`, for one that has a group of its own; none: it is no such
    /// member. Calls `send` with each member that gets it at once, and `set` with the time of an edge for which a timer
    /// has to be set.
    pub fn publish(
        &mut self,
        message: &Arc<Message>,
        to: Option<ConnId>,
        except: &[ConnId],
        now_us: u64,
        mut send: impl FnMut(ConnId),
        mut set: impl FnMut(u64, GroupId),
    ) -> Option<RateCounts> {
        let except: Except = (!except.is_empty()).then(|| except.into());
        let mut taken = RateCounts::default();
        let its = match to {
            Some(conn) => {
                let place = self.groups.get_index_of(self.of.get(&conn)?)?;
                (self.groups.get_index(place)?.1.members.len() == 1).then_some(place..place + 1)?
            }
            None => 0..self.groups.len(),
        };
        for (&id, group) in self.groups.get_range_mut(its)? {
            match group.take(message, &except, now_us) {
                RateStep::Leaves => {
                    for &conn in group.members.keys().filter(|conn| !is_excluded(&except, **conn)) {
                        taken.sent += 1;
                        send(conn);
                    }
                }
                RateStep::Replaces => {
                    taken.replaced += group.members.len();
                }
                RateStep::Waits(due_us) => {
                    taken.waits += 1;
                    if group.due_us.is_none_or(|set_us| due_us < set_us) {
                        group.due_us = Some(due_us);
                        set(due_us, id);
                    }
                }
            }
        }
        Some(taken)
    }

    /// Begins an interval of a group, if its timer was set for `due_us`.
    pub fn edge(&mut self, id: GroupId, due_us: u64, now_us: u64) -> Option<Edge<'_>> {
        let group = self.groups.get_mut(&id).filter(|group| group.due_us == Some(due_us))?;
        let messages = group.begin(now_us);
        Some(Edge { group, messages })
    }

    /// Returns the groups for which something waits, with the bytes of it.
    pub fn waiting(&self) -> impl Iterator<Item = (GroupId, usize)> {
        let waiting = self.groups.iter().filter(|(_, group)| !group.waiting.is_empty());
        waiting.map(|(&id, group)| (id, group.waiting.iter().map(|waiting| waiting.message.size()).sum()))
    }

    /// Takes out all that waits for a group.
    pub fn take_out(&mut self, id: GroupId) -> Option<Edge<'_>> {
        let group = self.groups.get_mut(&id)?;
        let messages = group.take_out();
        Some(Edge { group, messages })
    }

    /// Returns the phase for a new member: the first that has a place in a group of the usual size, or one by the id.
    fn phase_for(&self, conn: ConnId, interval_us: u64) -> u64 {
        let phases = phases(interval_us);
        let begin = phase_by_id(self.first.unwrap_or(conn), phases);
        // The bits in reverse order are spread over the interval, however many of them are used.
        let spread = (0..PHASES as u8).map(|place| (u64::from(place.reverse_bits()) * PHASES) >> u8::BITS);
        let mut spread = spread.filter(|&phase| phase < phases).map(|phase| (begin + phase) % phases);
        let has_place = |phase: &u64| {
            let group = self.open.get(&(interval_us, phase * interval_us / phases)).and_then(|id| self.groups.get(id));
            group.is_none_or(|group| group.members.len() < GROUP_USUAL)
        };
        spread.find(has_place).unwrap_or_else(|| phase_by_id(conn, phases))
    }
}

impl Edge<'_> {
    /// Returns the number of messages that leave.
    pub fn count(&self) -> usize {
        self.messages.len()
    }

    /// Calls `each` with each member and the number of messages that newer ones have replaced for it, and then with the
    /// messages that leave to it.
    pub fn each(&mut self, mut each: impl FnMut(ConnId, u64, &mut dyn Iterator<Item = &Arc<Message>>)) {
        let Self { group, messages } = self;
        for (&conn, member) in &mut group.members {
            let replaced = group.replaced - std::mem::replace(&mut member.counted, group.replaced);
            let member = *member;
            let its = messages.iter().filter(|waiting| !waiting.is_excluded(conn) && member.wants(waiting));
            each(conn, replaced, &mut its.map(|waiting| &waiting.message));
        }
    }

    /// Returns the next edge at which something leaves.
    pub fn next_us(&self) -> Option<u64> {
        self.group.due_us
    }
}

/// Returns the number of phases of an interval.
fn phases(interval_us: u64) -> u64 {
    (interval_us / PHASE_US).clamp(1, PHASES)
}

/// Returns one of so many phases, by a hash of an id (Fibonacci hashing).
fn phase_by_id(conn: ConnId, phases: u64) -> u64 {
    let hash = conn.as_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((u128::from(hash) * u128::from(phases)) >> 64) as u64
}

/// The phases of an interval, at most: with 10,000 members at 4 values a second, 156 members have an edge every 4 ms.
const PHASES: u64 = 64;

/// Microseconds between two phases, at least: the resolution of the timers is 1 ms.
const PHASE_US: u64 = 4_000;

/// The members of a group before the next phase gets one: an edge writes to them for about 1 ms.
const GROUP_USUAL: usize = 128;

/// The members of a group, at most, so that an edge takes no longer than other work of a shard's turn.
const GROUP_MAX: usize = 512;

mod group;

#[cfg(test)]
mod tests;
