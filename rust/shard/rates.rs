//! Members that get less of a room than is published, because they have asked for it.
//!
//! A rate of values is kept in [`RatedMembers`], which many members share. A limit on bytes is kept in each outbox.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::message::{Delivery, Message, RoomId};
use crate::outbox::Push;
use crate::outbox::account::Account;
use crate::outbox::rates::MemberRates;
use crate::queues::command::Cause;
use crate::room::rated::{GroupId, RatedMembers, Unrated};
use crate::shard::conn::{Conn, drop_message};
use crate::shard::turns::Turns;
use crate::shard::{Link, Shard};
use crate::slots::{ConnId, Slots};
use crate::stats::{Drop, Stats};

/// The timers of rates, earliest first.
#[derive(Debug, Default)]
pub(super) struct RateTimers {
    /// Edges of groups.
    edges: BinaryHeap<Reverse<(u64, RoomId, GroupId)>>,
    /// Connections that wait for a limit on bytes.
    limits: BinaryHeap<Reverse<(u64, ConnId)>>,
}

impl RateTimers {
    /// Returns when the next one is due.
    pub(super) fn next_us(&self) -> Option<u64> {
        let edge_us = self.edges.peek().map(|&Reverse((due_us, ..))| due_us);
        let limit_us = self.limits.peek().map(|&Reverse((due_us, _))| due_us);
        edge_us.into_iter().chain(limit_us).min()
    }

    /// Sets a timer for a connection that waits for a limit on bytes.
    pub(super) fn set(&mut self, due_us: u64, conn: ConnId) {
        self.limits.push(Reverse((due_us, conn)));
    }
}

/// The parts of a shard that a published message changes.
pub(super) struct RateTargets<'a, L> {
    pub(super) slots: &'a mut Slots<Conn<L>>,
    pub(super) dirty: &'a mut Turns,
    pub(super) stats: &'a Stats,
    pub(super) references: &'a mut usize,
    pub(super) timers: &'a mut RateTimers,
    /// Connections whose outbox is full.
    pub(super) slow: &'a mut Vec<ConnId>,
}

impl<L> RateTargets<'_, L> {
    fn push(&mut self, conn: ConnId, message: &Arc<Message>) {
        if let Some(slot) = self.slots.get_mut(conn)
            && slot.push(conn, message, self.dirty, self.stats, self.references) == Push::Overflow
        {
            self.slow.push(conn);
        }
    }

    /// Takes a message for the rated members of its room or, with `to`, for one that has a group of its own. Returns the
    /// work done, in references; none: it gets this message like a plain member.
    pub(super) fn publish(
        &mut self,
        rated: &mut RatedMembers,
        message: &Arc<Message>,
        to: Option<ConnId>,
        except: &[ConnId],
        now_us: u64,
    ) -> Option<usize> {
        for &conn in except.iter().filter(|&&conn| rated.contains(conn)) {
            if let Some(slot) = self.slots.get_mut(conn) {
                slot.skip(conn, message, self.dirty);
            }
        }
        if message.delivery() == Delivery::Reliable {
            if to.is_some() {
                return None;
            }
            for conn in rated.iter().filter(|conn| except.binary_search(conn).is_err()) {
                self.push(conn, message);
            }
            return Some(rated.len());
        }
        let mut edges = Vec::new();
        let set = |due_us, group| edges.push(Reverse((due_us, message.room(), group)));
        let taken = rated.publish(message, to, except, now_us, |conn| self.push(conn, message), set)?;
        self.timers.edges.extend(edges);
        *self.references += taken.waits;
        if taken.replaced > 0 {
            // The message that it has replaced is of the same room, and so of the same rule.
            message.each_share(|share| self.stats.rules.dropped(share.times(taken.replaced), Drop::Rate));
        }
        Some(1 + taken.sent + if to.is_some() { 0 } else { rated.groups() })
    }
}

impl<L: Link> Shard<L> {
    /// Sets the rates of a member. What waits for a former rate leaves at once.
    pub(super) fn configure(&mut self, conn: ConnId, room: RoomId, rates: MemberRates, now_us: u64) {
        let Some((name, interval_us)) = self.members.rate_of(room, conn) else { return };
        if rates.interval_us != interval_us {
            if let Some(unrated) = self.members.unrate(room, conn) {
                self.references -= unrated.freed;
                for message in &unrated.waiting {
                    self.deliver(conn, message, now_us);
                }
                if let Some(slot) = self.slots.get_mut(conn) {
                    count(&mut slot.account, unrated.replaced);
                }
            }
            if rates.interval_us > 0 {
                self.members.rate(room, conn, rates.interval_us, rates.is_alone, now_us);
            }
        }
        self.with_outbox(conn, |outbox| outbox.limit(room, name, rates.bytes, now_us));
    }

    /// Lets what waits for a rated member that joins again leave at once. What is also in `before` comes with that.
    pub(super) fn end_waiting(&mut self, conn: ConnId, room: RoomId, before: &[Arc<Message>], now_us: u64) {
        let Some(unrated) = self.members.begin_anew(room, conn, now_us) else { return };
        if let Some(slot) = self.slots.get_mut(conn) {
            count(&mut slot.account, unrated.replaced);
        }
        if unrated.waiting.is_empty() {
            return;
        }
        let place = |message: &Arc<Message>| (message.seq(), message.key());
        let others = before.iter().filter(|message| message.delivery() != Delivery::Reliable);
        let others: FxHashSet<_> = others.map(place).collect();
        for message in unrated.waiting.iter().filter(|message| !others.contains(&place(message))) {
            self.deliver(conn, message, now_us);
        }
    }

    /// Makes a member that leaves a plain one. What waits for it is dropped.
    pub(super) fn unrate(&mut self, conn: ConnId, room: RoomId) {
        let Some(unrated) = self.members.unrate(room, conn) else { return };
        let account = self.slots.get_mut(conn).map(|slot| &mut slot.account);
        self.references -= unrated.freed;
        forget(&self.stats, account, &unrated);
    }

    /// Makes a connection that ends a plain member of all its rooms.
    pub(super) fn unrate_all(&mut self, conn: ConnId, account: &mut Account) {
        for room in self.members.perhaps_rated(conn) {
            if let Some(unrated) = self.members.unrate(room, conn) {
                self.references -= unrated.freed;
                forget(&self.stats, Some(account), &unrated);
            }
        }
    }

    /// Runs the timers of rates.
    pub(super) fn keep_rates(&mut self, now_us: u64) {
        while let Some(&Reverse((due_us, conn))) = self.rate_timers.limits.peek()
            && due_us <= now_us
        {
            self.rate_timers.limits.pop();
            if let Some(slot) = self.slots.get_mut(conn) {
                slot.mark_dirty(conn, &mut self.dirty);
            }
        }
        let mut work = 0;
        while let Some(&Reverse((due_us, room, group))) = self.rate_timers.edges.peek()
            && due_us <= now_us
            && work < WORK_MAX
        {
            self.rate_timers.edges.pop();
            work += self.edge(room, group, due_us, now_us);
        }
    }

    /// Lets leave what has waited for an edge of a group. Returns the work done, in references.
    fn edge(&mut self, room: RoomId, group: GroupId, due_us: u64, now_us: u64) -> usize {
        let Self { members, slots, dirty, stats, references, rate_timers, .. } = self;
        let Some(rated) = members.of(room).and_then(|members| members.rated.as_mut()) else { return 1 };
        let Some(mut edge) = rated.edge(group, due_us, now_us) else { return 1 };
        *references -= edge.count();
        if let Some(next_us) = edge.next_us() {
            rate_timers.edges.push(Reverse((next_us, room, group)));
        }
        let (mut work, mut slow) = (1, Vec::new());
        edge.each(|conn, replaced, messages| {
            let Some(slot) = slots.get_mut(conn) else { return };
            count(&mut slot.account, replaced);
            let mut is_slow = false;
            for message in messages {
                work += 1;
                is_slow |= slot.push(conn, message, dirty, stats, references) == Push::Overflow;
            }
            if is_slow {
                slow.push(conn);
            }
        });
        for conn in slow {
            self.close_slow(conn, Cause::Slow, now_us);
        }
        work
    }
}

impl<L: Link> Shard<L> {
    /// Drops what waits for a group of rated members, because the engine is over its budget.
    pub(super) fn drop_waiting(&mut self, room: RoomId, group: GroupId) {
        let Self { members, slots, dirty, stats, references, .. } = self;
        let Some(rated) = members.of(room).and_then(|members| members.rated.as_mut()) else { return };
        let Some(mut waiting) = rated.take_out(group) else { return };
        *references -= waiting.count();
        waiting.each(|conn, replaced, messages| {
            let Some(slot) = slots.get_mut(conn) else { return };
            count(&mut slot.account, replaced);
            for message in messages {
                slot.outbox.missed(message);
                drop_message(stats, &mut slot.skipped, &mut slot.account, message, Drop::Budget);
            }
            slot.mark_dirty(conn, dirty);
        });
    }
}

/// Counts messages that newer ones have replaced for a connection.
fn count(account: &mut Account, replaced: u64) {
    if replaced > 0 {
        account.dropped(Drop::Rate, replaced as usize);
    }
}

/// Counts what a member has not got because it has left.
fn forget(stats: &Stats, account: Option<&mut Account>, unrated: &Unrated) {
    for message in &unrated.waiting {
        message.each_share(|share| stats.rules.dropped(share, Drop::Closed));
    }
    if let Some(account) = account {
        count(account, unrated.replaced);
        let closed: usize = unrated.waiting.iter().map(|message| message.count()).sum();
        if closed > 0 {
            account.dropped(Drop::Closed, closed);
        }
    }
}

/// The work of the edges of one turn, in references: about 1 ms.
const WORK_MAX: usize = 65_536;
