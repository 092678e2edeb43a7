//! Messages that are for some members of a room: by their attributes, and by their filters.

use std::sync::Arc;

use crate::interest::{MemberWish, Values};
use crate::message::{Message, RoomId};
use crate::outbox::Push;
use crate::queues::command::Cause;
use crate::room::members::Headcount;
use crate::shard::rates::RateTargets;
use crate::shard::{Link, Shard};
use crate::slots::ConnId;
use crate::stats::Drop;

impl<L: Link> Shard<L> {
    /// Queues a message for the members that it is for, except those in the sorted `except`. Counts the `others`.
    /// Nobody is told of messages that are for others: members of such a room know that numbers may be missing. Returns
    /// the work done.
    pub(super) fn publish_selected(
        &mut self,
        message: &Arc<Message>,
        recipients: &[ConnId],
        others: usize,
        except: &[ConnId],
        now_us: u64,
    ) -> usize {
        let Self { members, slots, dirty, stats, references, rate_timers: timers, .. } = self;
        let mut rated = members.of(message.room()).and_then(|room| room.rated.as_mut());
        let (mut slow, mut handled) = (Vec::new(), 0);
        dirty.begin_walk(message.priority());
        // Another recipient is the first each time.
        let (behind, ahead) = recipients.split_at(message.seq() as usize % recipients.len().max(1));
        for &conn in ahead.iter().chain(behind).filter(|conn| except.binary_search(conn).is_err()) {
            if let Some(rated) = &mut rated {
                let slow = &mut slow;
                let mut parts = RateTargets { slots, dirty, stats, references, timers, slow };
                if parts.publish(rated, message, Some(conn), &[], now_us).is_some() {
                    continue;
                }
            }
            handled += 1;
            if let Some(slot) = slots.get_mut(conn)
                && slot.push(conn, message, dirty, stats, references) == Push::Overflow
            {
                slow.push(conn);
            }
        }
        message.traces().iter().for_each(|trace| trace.queued(handled));
        if others > 0 {
            message.each_share(|share| stats.rules.dropped(share.times(others), Drop::Filtered));
        }
        for conn in slow {
            self.close_slow(conn, Cause::Slow, now_us);
        }
        recipients.len() + 1
    }

    /// Begins a membership, with the messages that come before the stream and are for this member. Returns the work done.
    pub(super) fn join(
        &mut self,
        conn: ConnId,
        room: RoomId,
        headcount: &Arc<Headcount>,
        before: &[Arc<Message>],
        wish: &MemberWish,
        now_us: u64,
    ) -> usize {
        let Some(slot) = self.slots.get_mut(conn) else {
            headcount.leave(self.index);
            return 1;
        };
        let has_session = slot.outbox.has_session();
        let is_new = self.members.join(room, conn, headcount);
        self.members.wish(room, conn, wish);
        if (is_new || has_session) && !before.is_empty() {
            if !is_new {
                self.end_waiting(conn, room, before, now_us);
            }
            self.push_wanted(conn, before, now_us);
            return before.len();
        }
        1
    }

    /// Queues the messages that come before the stream, without those that are not for this member.
    fn push_wanted(&mut self, conn: ConnId, before: &[Arc<Message>], now_us: u64) {
        if before.iter().all(|message| self.members.wants(conn, message)) {
            return self.push_snapshot(conn, before, now_us);
        }
        let wanted: Vec<_> = before.iter().filter(|message| self.members.wants(conn, message)).cloned().collect();
        self.push_snapshot(conn, &wanted, now_us);
    }

    /// Changes the attributes of a connection in a room.
    pub(super) fn change_attributes(&mut self, conn: ConnId, room: RoomId, change: Values) {
        if self.slots.get_mut(conn).is_some() {
            self.members.change_attributes(room, conn, change);
        }
    }
}
