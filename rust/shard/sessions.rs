//! Sessions in a shard: they outlive their links, and are told which messages they did not get.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::message::{Delivery, Message, Metadata, Role};
use crate::outbox::Outbox;
use crate::outbox::account::Account;
use crate::outbox::skipped::{Skipped, SkippedRange};
use crate::protocol::codec::Codec;
use crate::protocol::envelope::Kind;
use crate::protocol::form::Form;
use crate::queues::command::{Cause, Event, Resume, Retired, Unresumed};
use crate::shard::turns::Queued;
use crate::shard::{Conn, Link, ReadingSide, Shard};
use crate::slots::ConnId;
use crate::wire::table::kind;

impl<L: Link> Shard<L> {
    /// Handles the failure of a link. The connection ends with it, unless it has a session, which is parked.
    pub(super) fn lose(&mut self, conn: ConnId, cause: Cause) {
        match self.slots.get_mut(conn) {
            Some(slot) if slot.outbox.has_session() && !slot.outbox.is_closing() => {
                let name = slot.name(conn);
                if let Some((mut link, reading)) = self.unlink(conn) {
                    self.forget_reading(reading);
                    if cause.is_abrupt() {
                        link.abort();
                    }
                    self.events.push(Event::Parked { conn: name, cause });
                }
            }
            _ => self.end_because(conn, cause),
        }
    }

    /// Takes the link from a session, which goes on without it; none if it has no link.
    fn unlink(&mut self, conn: ConnId) -> Option<(L, Option<Box<ReadingSide>>)> {
        let slot = self.slots.get_mut(conn)?;
        let link = slot.link.take()?;
        slot.is_blocked = true;
        slot.ping = None;
        if std::mem::take(&mut slot.is_held) {
            self.stats.held.set(self.stats.held.value() - 1);
        }
        let before = slot.outbox.references();
        slot.outbox.park();
        self.references = self.references + slot.outbox.references() - before;
        Some((link, slot.reading.take()))
    }

    /// Takes the link from a session and closes it with a close frame, after what must come before that. A session that
    /// is closing keeps its link, which has its own close frame.
    pub(super) fn retire(&mut self, conn: ConnId, Retired { id, code, reason }: Retired, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn).filter(|slot| slot.may_retire()) else {
            return self.ended.push(id);
        };
        let (rest, framing) = (slot.outbox.take_owed(), slot.outbox.form().framing);
        let link_id = slot.link_id;
        let Some((mut link, reading)) = self.unlink(conn) else { return self.ended.push(id) };
        // Fails only if the socket is gone, which the next write notices.
        let _ = link.watch(id);
        let mut outbox = Outbox::new(rest.len(), Form::plain(Codec::Raw, framing));
        outbox.push_first(rest);
        outbox.close(Some(code), &reason, true, &mut |_, _| {});
        // Bounded by one message.
        link.grant();
        let mut slot = Conn {
            link: Some(link),
            reading,
            link_id,
            outbox,
            skipped: Skipped::new(false),
            account: Account::default(),
            refusals: 0,
            place: Queued::default(),
            is_blocked: false,
            is_held: false,
            is_retired: true,
            is_slow: false,
            ping: None,
            written: 0,
            taken: None,
            due_us: now_us + self.settings.close_timeout_us,
        };
        self.timers.push(Reverse((slot.due_us, id)));
        slot.mark_dirty(id, &mut self.dirty);
        self.retired.insert(link_id, id);
        self.slots.insert(id, slot);
        self.change_reading(id, ReadingSide::retire);
        self.stats.connections.set(self.slots.len() as u64);
    }

    /// Resumes a session over another link, or makes that link a connection of its own.
    pub(super) fn resume(&mut self, resume: Resume<L>, now_us: u64) {
        let Resume { conn, link, as_new, retired, form, received, refusals, greeting, accepted, refused, source } =
            resume;
        self.retire(conn, retired, now_us);
        if let Err(why) = self.rewind(conn, form, received) {
            self.open(as_new, link, form, true, now_us);
            self.greet(as_new, greeting, &refused[why as usize]);
            self.events.push(Event::Refused { conn, link: as_new, why });
            return self.begin(as_new, source);
        }
        if let Some(slot) = self.slots.get_mut(conn) {
            slot.link = Some(link);
            slot.link_id = as_new;
            slot.is_blocked = false;
            slot.written = 0;
            if std::mem::replace(&mut slot.refusals, refusals) > refusals {
                // The greeting does not count their messages, so the client sends them again, and gets other answers.
                self.with_outbox(conn, |outbox| outbox.withdraw_refusals(refusals));
            }
        }
        self.greet(conn, greeting, &accepted);
        self.ended.push(as_new);
        self.events.push(Event::Resumed { conn, link: as_new });
        self.begin(conn, source);
    }

    /// Rewinds a session to the first `received` messages.
    fn rewind(&mut self, conn: ConnId, form: Form, received: u64) -> Result<(), Unresumed> {
        let Some(slot) = self.slots.get_mut(conn) else {
            return Err(if self.overflowed.contains(&conn) { Unresumed::Overflow } else { Unresumed::Closed });
        };
        if slot.is_slow {
            return Err(Unresumed::Overflow);
        }
        if !slot.outbox.has_session() || slot.outbox.is_closing() {
            return Err(Unresumed::Closed);
        }
        if slot.outbox.form().codec != form.codec {
            return Err(Unresumed::Codec);
        }
        match self.with_outbox(conn, |outbox| outbox.resume(received, form)) {
            Some(true) => Ok(()),
            _ => Err(Unresumed::Overflow),
        }
    }

    /// Tells a connection what was skipped in the rooms in which nothing waits any more.
    pub(super) fn tell_skipped(&mut self, conn: ConnId, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let ts_ms = self.settings.started_ms + now_us / 1000;
        let Conn { outbox, skipped, .. } = slot;
        let skipped = skipped.take(|room| outbox.waits(room));
        for (place, SkippedRange { room, name, reason, count, first, last }) in skipped.into_iter().enumerate() {
            let payload = format!(r#"{{"reason":"{reason}","count":{count},"first":{first},"last":{last}}}"#);
            let metadata = Metadata {
                room_name: Some(name),
                ts_ms,
                id: Some(format!("k{:x}-{now_us:x}-{place}", conn.as_u64()).into()),
                ..Metadata::place(room, last, Delivery::Reliable)
            };
            let role = Role::Event(kind::SKIPPED);
            let notice = Message::new(role, Kind::Json, payload.as_bytes(), metadata, now_us, &self.budget);
            self.deliver(conn, &Arc::new(notice), now_us);
        }
    }
}
