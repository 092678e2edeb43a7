//! How a shard queues messages for its connections and writes to their links.

use std::sync::Arc;

use crate::message::Message;
use crate::outbox::{Outbox, Progress, Push};
use crate::protocol::codec::Codec;
use crate::protocol::form::Form;
use crate::queues::command::Cause;
use crate::shard::conn::{Conn, drop_message};
use crate::shard::{Link, Shard};
use crate::slots::ConnId;

impl<L: Link> Shard<L> {
    /// Queues the first bytes of a link, and an envelope unless it is empty.
    pub(super) fn greet(&mut self, conn: ConnId, greeting: Box<[u8]>, first: &[u8]) {
        self.with_outbox(conn, |outbox| {
            outbox.push_first(greeting);
            if !first.is_empty() {
                outbox.push_first(outbox.form().frame(first));
            }
        });
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
        self.references = self.references + outbox.references() - before;
        slot.mark_dirty(conn, &mut self.dirty);
        if pushed == Push::Overflow {
            self.close_slow(conn, Cause::Slow, now_us);
        }
    }

    pub(super) fn flush_one(&mut self, conn: ConnId, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        slot.is_dirty = false;
        let (false, Some(link)) = (slot.is_blocked, &mut slot.link) else { return };
        let before = slot.outbox.references();
        let flushed = match slot.outbox.flush(link, now_us) {
            Ok(flushed) => flushed,
            Err(_) => return self.write_failed(conn, now_us),
        };
        // Counts the change in the outbox: a message that has begun to leave no longer waits, and a session may keep
        // it.
        self.references = self.references + slot.outbox.references() - before;
        self.stats.writes.add(u64::from(flushed.bytes > 0 || flushed.progress == Progress::Blocked));
        self.stats.bytes.add(flushed.bytes as u64);
        slot.written += flushed.bytes as u64;
        self.stats.delivered.add(flushed.messages as u64);
        slot.account.wrote(flushed.messages, flushed.bytes);
        if slot.outbox.is_held() != slot.is_held {
            slot.is_held = !slot.is_held;
            let held = self.stats.held.value();
            self.stats.held.set(if slot.is_held { held + 1 } else { held - 1 });
        }
        if let Some(published_us) = flushed.oldest_us {
            self.stats.latency.record(now_us.saturating_sub(published_us));
        }
        match flushed.progress {
            Progress::Empty | Progress::Held if slot.skipped.is_empty() => {}
            Progress::Empty | Progress::Held => self.tell_skipped(conn, now_us),
            Progress::More => slot.mark_dirty(conn, &mut self.dirty),
            Progress::Closed => {
                let reading = slot.reading.as_ref();
                // Both close frames were sent, so the server ends the connection at once (RFC 6455 section 7.1.1).
                let is_over = link.ends_when_dropped() && reading.is_some_and(|reading| reading.is_done());
                if flushed.bytes > 0 && !is_over {
                    link.finish();
                }
                if is_over || reading.is_some_and(|reading| reading.is_ended) {
                    self.end_because(conn, Cause::Over);
                }
            }
            Progress::Blocked => {
                self.stats.blocked.add(1);
                slot.is_blocked = true;
            }
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
