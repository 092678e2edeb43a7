//! How a shard queues messages for its connections and writes to their links.

use std::sync::Arc;

use crate::message::Message;
use crate::outbox::{Outbox, Progress, Push};
use crate::protocol::codec::Codec;
use crate::protocol::form::Form;
use crate::queues::command::{Cause, Greeting};
use crate::shard::conn::{Conn, drop_message};
use crate::shard::{Link, Shard};
use crate::slots::ConnId;
use crate::wire::opening;

impl<L: Link> Shard<L> {
    /// Writes for at most `quota` connections. Returns true if more have something to write.
    pub fn flush(&mut self, quota: usize, now_us: u64) -> bool {
        let mut written = 0;
        while written < quota
            && let Some((conn, priority)) = self.dirty.pop()
        {
            // Not if it was written to when the turn of another priority came.
            if self.slots.get_mut(conn).is_some_and(|slot| slot.place.leave(priority)) {
                self.flush_one(conn, now_us);
                written += 1;
            }
        }
        let is_done = self.dirty.is_empty();
        if is_done {
            self.joins.clear();
            self.dirty.rest();
        }
        !is_done
    }

    /// Queues the beginning of a link, and an envelope unless it is empty.
    pub(super) fn greet(&mut self, conn: ConnId, greeting: Greeting, first: &[u8]) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let first = if first.is_empty() { Box::default() } else { slot.outbox.form().frame(first) };
        match (greeting, &mut slot.link) {
            (Greeting::Bytes(greeting), _) => {
                self.with_outbox(conn, |outbox| {
                    outbox.push_first(greeting);
                    outbox.push_first(first);
                });
            }
            (Greeting::Response(head), Some(link)) => link.answer(&opening::response(&head, &first)),
            (Greeting::Response(_), None) => {}
        }
    }

    pub(super) fn deliver(&mut self, conn: ConnId, message: &Arc<Message>, now_us: u64) {
        let Self { slots, dirty, stats, references, .. } = self;
        if let Some(slot) = slots.get_mut(conn)
            && slot.push(conn, message, dirty, stats, references) == Push::Overflow
        {
            self.close_slow(conn, Cause::Slow, now_us);
        }
    }

    pub(super) fn push_raw(&mut self, conn: ConnId, bytes: Box<[u8]>, now_us: u64) {
        let Self { slots, dirty, stats, references, .. } = self;
        if let Some(slot) = slots.get_mut(conn)
            && slot.push_raw(conn, bytes, dirty, stats, references) == Push::Overflow
        {
            self.close_slow(conn, Cause::Slow, now_us);
        }
    }

    pub(super) fn push_control(&mut self, conn: ConnId, codec: Codec, envelope: &[u8], now_us: u64) {
        if let Some(slot) = self.slots.get_mut(conn) {
            let form = Form { codec, ..slot.outbox.form() };
            self.push_raw(conn, form.frame(envelope), now_us);
        }
    }

    pub(super) fn push_snapshot(&mut self, conn: ConnId, snapshot: &[Arc<Message>], now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let Conn { outbox, skipped, account, .. } = slot;
        let before = outbox.references();
        let pushed = outbox.push_snapshot(snapshot, &mut |message, reason| {
            drop_message(&self.stats, skipped, account, message, reason);
        });
        account.queued(outbox.bytes());
        self.references = self.references + outbox.references() - before;
        slot.mark_dirty(conn, &mut self.dirty);
        if pushed == Push::Overflow {
            self.close_slow(conn, Cause::Slow, now_us);
        }
    }

    pub(super) fn flush_one(&mut self, conn: ConnId, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        slot.place.written();
        let (false, Some(link)) = (slot.is_blocked, &mut slot.link) else { return };
        match link.flush() {
            Ok(true) => {}
            Ok(false) => {
                slot.is_blocked = true;
                return;
            }
            Err(_) => return self.write_failed(conn, now_us),
        }
        let before = slot.outbox.references();
        let rules = &self.stats.rules;
        let mut left = |message: &Message, is_again: bool| {
            if !is_again {
                message.traces().iter().for_each(|trace| trace.wrote());
            }
            message.each_share(|share| {
                rules.delivered(share, (!is_again).then(|| now_us.saturating_sub(share.published_us)));
            });
        };
        let flushed = match slot.outbox.flush(link, &mut self.joins, now_us, &mut left) {
            Ok(flushed) => flushed,
            Err(_) => return self.write_failed(conn, now_us),
        };
        // Counts the change in the outbox: a message that has begun to leave no longer waits, and a session may keep
        // it.
        self.references = self.references + slot.outbox.references() - before;
        self.stats.writes.add(u64::from(flushed.bytes > 0 || flushed.progress == Progress::Blocked));
        self.stats.bytes.add(flushed.bytes as u64);
        slot.written += flushed.bytes as u64;
        slot.account.wrote(flushed.messages, flushed.bytes);
        if flushed.progress == Progress::Held
            && let Some(due_us) = slot.outbox.set_timer()
        {
            self.rate_timers.set(due_us, conn);
        }
        if slot.outbox.waits_for_window() != slot.is_held {
            slot.is_held = !slot.is_held;
            let held = self.stats.held.value();
            self.stats.held.set(if slot.is_held { held + 1 } else { held - 1 });
        }
        // The link may hold the rest of what it has taken.
        slot.is_blocked = flushed.progress == Progress::Blocked || link.has_unsent();
        self.stats.blocked.add(u64::from(slot.is_blocked));
        match flushed.progress {
            Progress::Empty | Progress::Held if slot.skipped.is_empty() => {}
            Progress::Empty | Progress::Held => self.tell_skipped(conn, now_us),
            Progress::More => slot.mark_dirty(conn, &mut self.dirty),
            Progress::Closed => {
                let reading = slot.reading.as_ref();
                let is_one_way = slot.outbox.form().framing.is_one_way();
                // Both close frames were sent, so the server ends the connection at once (RFC 6455 section 7.1.1). The
                // peer of a one-way link sends none.
                let is_done = reading.is_some_and(|reading| reading.is_done(is_one_way));
                let ends = link.ends_when_dropped();
                // Over TLS a peer may take the end of our side for the end of both (RFC 5246 section 7.2.1), and drop
                // what it has not read. So our side ends there only when the peer has nothing more to say.
                let has_said_all = is_one_way || reading.is_some_and(|reading| reading.has_said_all());
                let is_first = !is_done && ends && flushed.bytes > 0;
                if is_first || (has_said_all && !ends) {
                    link.finish();
                    slot.is_blocked = link.has_unsent();
                }
                let is_over = is_done && link.ends_when_dropped();
                if is_over || (reading.is_some_and(|reading| reading.is_ended) && !link.has_unsent()) {
                    self.end_because(conn, Cause::Over);
                }
            }
            Progress::Blocked => {}
        }
    }

    /// Changes the outbox of a connection and updates the counts; none if the id is stale.
    pub(super) fn with_outbox<R>(&mut self, conn: ConnId, change: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
        let slot = self.slots.get_mut(conn)?;
        let before = slot.outbox.references();
        let result = change(&mut slot.outbox);
        self.references = self.references + slot.outbox.references() - before;
        if !slot.outbox.is_empty() {
            slot.mark_dirty(conn, &mut self.dirty);
        }
        Some(result)
    }
}
