//! What a shard does for sessions: they outlive their links, and are told what they did not get.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::account::Account;
use crate::command::{Cause, Event, Retired};
use crate::envelope::{Encoding, Kind};
use crate::message::{About, Delivery, Message, Role};
use crate::outbox::Outbox;
use crate::shard::{Conn, Link, Reading, Shard};
use crate::skips::{Skip, Skips};
use crate::slots::ConnId;

impl<L: Link> Shard<L> {
    /// The link failed. It takes the connection with it, unless there is a session, which waits for the next link.
    pub(super) fn lose(&mut self, conn: ConnId, cause: Cause) {
        match self.slots.get_mut(conn) {
            Some(slot) if slot.outbox.encoding() != Encoding::Raw && !slot.outbox.is_closing() => {
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

    /// Takes the link from a session, which goes on without; none where there is no link.
    fn unlink(&mut self, conn: ConnId) -> Option<(L, Option<Box<Reading>>)> {
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

    /// Takes the link from a session and closes it with a close frame, after what must come before. A session that is
    /// closing keeps its link, which has a close frame of its own.
    pub(super) fn retire(&mut self, conn: ConnId, Retired { id, frame }: Retired, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn).filter(|slot| slot.may_retire()) else {
            return self.ended.push(id);
        };
        let rest = slot.outbox.owed();
        let link_id = slot.link_id;
        let Some((mut link, reading)) = self.unlink(conn) else { return self.ended.push(id) };
        // Fails only if the socket is gone, which the next write notices.
        let _ = link.watch(id);
        // Bounded by one message, and not by what the host has granted: that belongs to the session.
        link.grant(rest.len() + frame.len());
        let mut outbox = Outbox::new(rest.len(), Encoding::Raw);
        outbox.push_first(rest);
        outbox.close(frame, true, &mut |_, _| {});
        let mut slot = Conn {
            link: Some(link),
            reading,
            link_id,
            outbox,
            skips: Skips::new(false),
            account: Account::default(),
            is_dirty: false,
            is_blocked: false,
            is_held: false,
            is_retired: true,
            ping: None,
            written: 0,
            taken: None,
            due_us: now_us + self.settings.close_timeout_us,
        };
        self.timers.push(Reverse((slot.due_us, id)));
        slot.mark_dirty(id, &mut self.dirty);
        self.retired.insert(link_id, id);
        self.slots.insert(id, slot);
        self.change_reading(id, Reading::retire);
        self.stats.connections.set(self.slots.len() as u64);
    }

    /// Returns what the link carries now.
    #[expect(clippy::too_many_arguments, reason = "the fields of a command")]
    pub(super) fn resume(
        &mut self,
        conn: ConnId,
        link: L,
        as_new: ConnId,
        encoding: Encoding,
        received: u64,
        [accepted, refused]: [Box<[u8]>; 2],
        now_us: u64,
    ) -> ConnId {
        let Some(slot) = self.slots.get_mut(conn) else {
            return self.refuse(conn, link, as_new, encoding, refused, now_us);
        };
        let before = slot.outbox.references();
        if slot.outbox.encoding() != encoding || !slot.outbox.resume(received) {
            return self.refuse(conn, link, as_new, encoding, refused, now_us);
        }
        self.references = self.references + slot.outbox.references() - before;
        slot.link = Some(link);
        slot.link_id = as_new;
        slot.is_blocked = false;
        slot.written = 0;
        slot.outbox.push_first(accepted);
        slot.mark_dirty(conn, &mut self.dirty);
        self.ended.push(as_new);
        self.events.push(Event::Resumed { conn, link: as_new });
        conn
    }

    fn refuse(
        &mut self,
        conn: ConnId,
        link: L,
        as_new: ConnId,
        encoding: Encoding,
        reply: Box<[u8]>,
        now_us: u64,
    ) -> ConnId {
        self.open(as_new, link, encoding, now_us);
        self.with_outbox(as_new, |outbox| outbox.push_first(reply));
        self.events.push(Event::Refused { conn, link: as_new });
        as_new
    }

    /// Tells a connection what it did not get of the rooms in which it has caught up.
    pub(super) fn tell_skips(&mut self, conn: ConnId, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let ts_ms = self.settings.started_ms + now_us / 1000;
        let Conn { outbox, skips, .. } = slot;
        let skips = skips.take(|room| outbox.waits(room));
        for (place, Skip { room, name, reason, count, first, last }) in skips.into_iter().enumerate() {
            let payload = format!(r#"{{"reason":"{reason}","count":{count},"first":{first},"last":{last}}}"#);
            let about = About {
                room_name: Some(name),
                ts_ms,
                id: Some(format!("k{:x}-{now_us:x}-{place}", conn.as_u64()).into()),
                ..About::place(room, last, Delivery::Reliable)
            };
            let role = Role::Event("skipped");
            let notice = Message::new(role, Kind::Json, payload.as_bytes(), about, now_us, &self.budget);
            self.deliver(conn, &Arc::new(notice), now_us);
        }
    }

    /// What sessions keep of what was sent is given up first: that hurts only those who lose their connection now, and
    /// they are told.
    pub(super) fn forget_sent(&mut self, queued: usize) {
        let sent = |slot: &mut Conn<L>| slot.outbox.replay().map_or(0, |replay| replay.bytes());
        let mut most: Vec<_> = self
            .slots
            .iter_mut(self.index)
            .map(|(conn, slot)| (sent(slot), conn))
            .filter(|&(bytes, _)| bytes > 0)
            .collect();
        most.sort_unstable_by(|a, b| b.cmp(a));
        for (_, conn) in most {
            // Well below the limit: this looks at every connection, and must not be done again at once.
            if !self.budget.is_near(queued) {
                return;
            }
            self.with_outbox(conn, |outbox| outbox.replay().into_iter().for_each(|replay| replay.forget()));
            self.count();
        }
    }
}
