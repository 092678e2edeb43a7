//! How a connection of a shard ends.

use std::cmp::Reverse;

use crate::message::RoomId;
use crate::queues::command::{Cause, Event};
use crate::shard::conn::{Conn, drop_message};
use crate::shard::pings::bytes_in;
use crate::shard::{Link, Shard};
use crate::slots::ConnId;

impl<L: Link> Shard<L> {
    /// Ends every connection at once.
    pub fn abort_all(&mut self) {
        let all: Vec<_> = self.slots.iter_mut(self.index).map(|(conn, _)| conn).collect();
        for conn in all {
            self.end_because(conn, Cause::Cut);
        }
        self.count();
    }

    /// Ends a connection that the host has given up.
    pub(super) fn gone(&mut self, conn: ConnId) {
        match self.slots.get_mut(conn) {
            Some(slot) if slot.link.is_some() => self.end_because(conn, Cause::Cut),
            _ => self.end(conn),
        }
        self.overflowed.remove(&conn);
    }

    /// Removes a connection. Drops its link and what waited for it.
    pub(super) fn end(&mut self, conn: ConnId) {
        let Some(mut slot) = self.slots.remove(conn) else { return };
        self.forget_reading(slot.reading.take());
        if slot.is_retired {
            self.retired.remove(&slot.link_id);
        }
        if slot.is_slow && slot.outbox.has_session() {
            self.overflowed.insert(conn);
        }
        self.references -= slot.outbox.references();
        self.stats.held.set(self.stats.held.value() - u64::from(slot.is_held));
        let Conn { outbox, skipped, account, .. } = &mut slot;
        outbox.end(&mut |message, reason| drop_message(&self.stats, skipped, account, message, reason));
        self.unrate_all(conn, &mut slot.account);
        self.members.leave_all(conn);
        self.ended.push(conn);
        if !slot.is_retired {
            self.events.push(Event::Ended { conn, account: slot.account });
        }
        self.stats.connections.set(self.slots.len() as u64);
    }

    pub(super) fn end_because(&mut self, conn: ConnId, cause: Cause) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let name = slot.name(conn);
        if let Some(link) = &mut slot.link
            && cause.is_abrupt()
        {
            link.abort();
        }
        self.end(conn);
        self.events.push(Event::Closed { conn: name, cause });
    }

    pub(super) fn close(&mut self, conn: ConnId, code: Option<u16>, reason: &str, flush: bool, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        if !slot.outbox.is_closing() {
            let timeout_us = self.settings.close_timeout_us;
            slot.due_us = now_us + timeout_us;
            // The kernel is asked only if so much is under way that taking it would show progress.
            let most = slot.written + CLOSE;
            if !slot.outbox.is_empty() || most >= bytes_in(self.settings.min_rate, timeout_us) {
                slot.taken = slot.taken(slot.link.as_ref().and_then(Link::tcp_info));
            }
            self.timers.push(Reverse((slot.due_us, conn)));
        }
        let Conn { outbox, skipped, account, .. } = slot;
        let before = outbox.references();
        let dropped = &mut |message: &_, reason| drop_message(&self.stats, skipped, account, message, reason);
        outbox.close(code, reason, flush, dropped);
        self.references = self.references + outbox.references() - before;
        if !outbox.is_empty() {
            slot.mark_dirty(conn, &mut self.dirty);
        }
    }

    /// Closes a connection that does not keep up. What waits for it is dropped, because it would not read that either.
    pub(super) fn close_slow(&mut self, conn: ConnId, cause: Cause, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn).filter(|slot| !slot.outbox.is_closing()) else { return };
        let name = slot.name(conn);
        slot.is_slow = true;
        self.stats.slow.add(1);
        if slot.link.is_none() {
            return self.end_because(conn, cause);
        }
        self.events.push(Event::Closing { conn: name, cause });
        self.close(conn, Some(self.settings.slow_code), "too slow, reconnect", false, now_us);
    }

    /// Ends a membership: nothing more of the room is sent.
    pub(super) fn forget_room(&mut self, conn: ConnId, room: RoomId) {
        let Some(Conn { outbox, skipped, account, .. }) = self.slots.get_mut(conn) else { return };
        let before = outbox.references();
        outbox.leave(room, &mut |message, reason| drop_message(&self.stats, skipped, account, message, reason));
        skipped.forget(room);
        self.references = self.references + outbox.references() - before;
    }
}

/// The bytes of a close frame, about.
const CLOSE: u64 = 32;
