//! One connection of a shard: its link, its outbox, and its state.

use std::sync::Arc;

use crate::message::{Message, Priority};
use crate::outbox::account::Account;
use crate::outbox::skipped::Skipped;
use crate::outbox::{Outbox, Push};
use crate::shard::pings::Ping;
use crate::shard::reading::ReadingSide;
use crate::shard::turns::{Queued, Turns};
use crate::slots::ConnId;
use crate::stats::Drop;
use crate::stats::{DROPS, Stats};
use crate::wire::table::skipped_reason;

#[derive(Debug)]
pub(super) struct Conn<L> {
    /// None: the session is parked.
    pub(super) link: Option<L>,
    /// The state of reading from the link.
    pub(super) reading: Option<Box<ReadingSide>>,
    /// The id of the present link; see [`Event`](crate::queues::command::Event).
    pub(super) link_id: ConnId,
    pub(super) outbox: Outbox,
    pub(super) skipped: Skipped,
    pub(super) account: Account,
    /// How many messages of the session were refused because they came too fast.
    pub(super) refusals: u64,
    /// Where it waits until it is written to.
    pub(super) place: Queued,
    /// Whether the link takes nothing until it reports that it does, or there is none.
    pub(super) is_blocked: bool,
    /// Whether something waited for a window at the last write.
    pub(super) is_held: bool,
    /// Whether it is the former link of a session, which is closing; the host is told only of its end.
    pub(super) is_retired: bool,
    /// Whether it is closed because too much waits for it.
    pub(super) is_slow: bool,
    /// The ping without a pong. Boxed, because most of the time there is none.
    pub(super) ping: Option<Box<Ping>>,
    /// The bytes that the link has taken.
    pub(super) written: u64,
    /// While closing: how many of them the peer had taken at the last check.
    pub(super) taken: Option<u64>,
    /// When the next ping is due; while closing, the deadline of the closing handshake.
    pub(super) due_us: u64,
}

impl<L> Conn<L> {
    /// Returns the id by which events name it; see [`Event`](crate::queues::command::Event).
    pub(super) fn name(&self, conn: ConnId) -> ConnId {
        if self.link.is_some() { self.link_id } else { conn }
    }

    /// Whether its link may end without it: it has a session and is not closing.
    pub(super) fn may_retire(&self) -> bool {
        self.outbox.has_session() && !self.outbox.is_closing()
    }

    /// Notes that the publisher has excluded it from a message.
    pub(super) fn skip(&mut self, conn: ConnId, message: &Message, dirty: &mut Turns) {
        self.outbox.missed(message);
        if self.outbox.form().codec.has_envelopes() && message.is_data() {
            self.skipped.note(message, skipped_reason::EXCLUDED);
            self.mark_dirty(conn, dirty);
        }
    }

    pub(super) fn push(
        &mut self,
        conn: ConnId,
        message: &Arc<Message>,
        dirty: &mut Turns,
        stats: &Stats,
        references: &mut usize,
    ) -> Push {
        if !message.speaks(self.outbox.form().codec) {
            return Push::Done;
        }
        let Self { outbox, skipped, account, .. } = self;
        let before = outbox.references();
        let pushed =
            outbox.push(message, &mut |message, reason| drop_message(stats, skipped, account, message, reason));
        account.queued(outbox.bytes());
        *references = *references + outbox.references() - before;
        self.mark(conn, message.priority(), dirty);
        pushed
    }

    pub(super) fn push_raw(
        &mut self,
        conn: ConnId,
        bytes: Box<[u8]>,
        dirty: &mut Turns,
        stats: &Stats,
        references: &mut usize,
    ) -> Push {
        let Self { outbox, skipped, account, .. } = self;
        let before = outbox.references();
        let drop = &mut |message: &Message, reason| drop_message(stats, skipped, account, message, reason);
        let is_taken = outbox.push_raw(bytes, drop);
        account.queued(outbox.bytes());
        *references = *references + outbox.references() - before;
        self.mark_dirty(conn, dirty);
        if is_taken { Push::Done } else { Push::Overflow }
    }

    pub(super) fn mark_dirty(&mut self, conn: ConnId, dirty: &mut Turns) {
        self.mark(conn, self.outbox.priority(), dirty);
    }

    fn mark(&mut self, conn: ConnId, priority: Priority, dirty: &mut Turns) {
        if !self.is_blocked {
            dirty.add(conn, &mut self.place, priority);
        }
    }
}

/// Counts a message that is not sent: in the statistics, and for the connection that does not get it.
pub(super) fn drop_message(
    stats: &Stats,
    skipped: &mut Skipped,
    account: &mut Account,
    message: &Message,
    reason: Drop,
) {
    message.each_share(|share| stats.rules.dropped(share, reason));
    message.traces().iter().for_each(|trace| trace.dropped());
    account.dropped(reason, message.count());
    // A connection need not be told of messages dropped by its own end, or by a rate that it has asked for.
    if !matches!(reason, Drop::Closed | Drop::Rate) {
        skipped.note(message, DROPS[reason as usize].1);
    }
}
