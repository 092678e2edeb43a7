//! One connection of a shard: its link, its outbox, and what is known of both.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::account::Account;
use crate::message::Message;
use crate::outbox::{Drop, Outbox, Push};
use crate::shard::pings::Ping;
use crate::shard::reading::Reading;
use crate::skips::Skips;
use crate::slots::ConnId;
use crate::stats::{DROPS, Stats};
use crate::wire::table::skipped_reason;

#[derive(Debug)]
pub(super) struct Conn<L> {
    /// None: the session is parked.
    pub(super) link: Option<L>,
    /// What is read of the link.
    pub(super) reading: Option<Box<Reading>>,
    /// See [`Event`].
    pub(super) link_id: ConnId,
    pub(super) outbox: Outbox,
    pub(super) skips: Skips,
    pub(super) account: Account,
    /// It stands in the list of those with something to write.
    pub(super) is_dirty: bool,
    /// The link takes nothing until it says so, or there is none.
    pub(super) is_blocked: bool,
    /// Something waited for a window when it was written to last.
    pub(super) is_held: bool,
    /// It is the former link of a session: it closes, and the host is told of its end alone.
    pub(super) is_retired: bool,
    /// It is closed because too much waits for it.
    pub(super) is_slow: bool,
    /// It was sent and no pong has come. A box, for most of the time there is none.
    pub(super) ping: Option<Box<Ping>>,
    /// Bytes that the link has taken.
    pub(super) written: u64,
    /// While closing: how many of them the peer had when that was last looked at.
    pub(super) taken: Option<u64>,
    /// When the next ping is due or, while closing, when the closing handshake has to be over.
    pub(super) due_us: u64,
}

impl<L> Conn<L> {
    /// See [`Event`].
    pub(super) fn name(&self, conn: ConnId) -> ConnId {
        if self.link.is_some() { self.link_id } else { conn }
    }

    /// Whether its link may end without it: of a session that is not closing.
    pub(super) fn may_retire(&self) -> bool {
        self.outbox.has_session() && !self.outbox.is_closing()
    }

    /// The publisher does not want it to have a message.
    pub(super) fn skip(&mut self, conn: ConnId, message: &Message, dirty: &mut VecDeque<ConnId>) {
        if self.outbox.form().codec.has_envelopes() && message.is_data() {
            self.skips.note(message, skipped_reason::EXCLUDED);
            self.mark_dirty(conn, dirty);
        }
    }

    pub(super) fn push(
        &mut self,
        conn: ConnId,
        message: &Arc<Message>,
        dirty: &mut VecDeque<ConnId>,
        stats: &Stats,
        references: &mut usize,
    ) -> Push {
        if !message.speaks(self.outbox.form().codec) {
            return Push::Done;
        }
        let Self { outbox, skips, account, .. } = self;
        let before = outbox.references();
        let pushed = outbox.push(message, &mut |message, reason| drop_message(stats, skips, account, message, reason));
        *references = *references + outbox.references() - before;
        self.mark_dirty(conn, dirty);
        pushed
    }

    pub(super) fn push_raw(
        &mut self,
        conn: ConnId,
        bytes: Box<[u8]>,
        dirty: &mut VecDeque<ConnId>,
        stats: &Stats,
        references: &mut usize,
    ) -> Push {
        let Self { outbox, skips, account, .. } = self;
        let before = outbox.references();
        let drop = &mut |message: &Message, reason| drop_message(stats, skips, account, message, reason);
        let is_taken = outbox.push_raw(bytes, drop);
        *references = *references + outbox.references() - before;
        self.mark_dirty(conn, dirty);
        if is_taken { Push::Done } else { Push::Overflow }
    }

    pub(super) fn mark_dirty(&mut self, conn: ConnId, dirty: &mut VecDeque<ConnId>) {
        if !self.is_dirty && !self.is_blocked {
            self.is_dirty = true;
            dirty.push_back(conn);
        }
    }
}

/// Counts a message that is not sent: for the operator, and for the connection that does not get it.
pub(super) fn drop_message(stats: &Stats, skips: &mut Skips, account: &mut Account, message: &Message, reason: Drop) {
    stats.drops[reason as usize].add(message.count() as u64);
    account.dropped(reason, message.count());
    // An end is no secret to a connection.
    if reason != Drop::Closed {
        skips.note(message, DROPS[reason as usize].1);
    }
}
