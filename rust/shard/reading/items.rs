//! What was read takes effect: reports, messages over their rate, control frames, the close frame, violations.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::message::{Delivery, Message, Metadata, NO_ROOM, Role};
use crate::protocol::envelope::Kind;
use crate::protocol::over_rate::Refused;
use crate::protocol::report::{Report, RoomReport};
use crate::queues::command::Event;
use crate::shard::inbound::InboundItem;
use crate::shard::{Link, Shard};
use crate::slots::ConnId;
use crate::wire::decoder::Violation;

impl<L: Link> Shard<L> {
    /// Takes the report of a session. Rooms that the session is not in are ignored: it may have left them since.
    pub(in crate::shard) fn take_report(&mut self, conn: ConnId, report: &Report, now_us: u64) {
        let Self { slots, members, references, dirty, settings, .. } = self;
        let Some(slot) = slots.get_mut(conn) else { return };
        let outbox = &mut slot.outbox;
        let before = outbox.references();
        outbox.replay().into_iter().for_each(|replay| replay.acknowledge(report.count));
        if let Some(taken) = &report.taken {
            let now_ms = settings.started_ms + now_us / 1000;
            let mut is_told = false;
            for RoomReport { room, count, ts_ms } in taken {
                let Some((room, ages)) = members.find(conn, room) else { continue };
                is_told = true;
                outbox.taken(room, (*count).min(report.count), now_us);
                if let Some(age_ms) = ts_ms.map(|ts_ms| now_ms.saturating_sub(ts_ms)) {
                    ages.note(age_ms);
                    slot.account.took(age_ms);
                }
            }
            if !is_told {
                // A session that has taken nothing yet has a window too.
                outbox.taken(NO_ROOM, 0, now_us);
            }
        }
        *references = *references + outbox.references() - before;
        if !outbox.is_empty() {
            slot.mark_dirty(conn, dirty);
        }
        self.charge(conn, report.weight() - 1, now_us);
    }

    /// Charges a connection for `reports` more reports.
    fn charge(&mut self, conn: ConnId, reports: usize, now_us: u64) {
        let Some(reading) = self.slots.get_mut(conn).and_then(|slot| slot.reading.as_mut()) else { return };
        if reports == 0 {
            return;
        }
        if let Some(limit) = reading.inbound.charge(&self.settings.inbound, 0, reports, 0, now_us) {
            self.stats.limits[limit as usize].add(1);
        }
        if let Some(due_us) = reading.slow_down(now_us) {
            self.reading_timers.push(Reverse((due_us, conn)));
        }
    }

    /// Acts on anything but messages.
    pub(super) fn take_control(&mut self, conn: ConnId, what: InboundItem, now_us: u64) {
        match what {
            InboundItem::Messages(_) => {}
            InboundItem::Report(report) => self.take_report(conn, &report, now_us),
            InboundItem::Refused(refused, wait_us) => self.refuse(conn, &refused, wait_us, now_us),
            InboundItem::Ping(payload) => {
                self.with_outbox(conn, |outbox| outbox.push_pong(&payload));
            }
            InboundItem::Pong(payload) => {
                if let Some(slot) = self.slots.get_mut(conn) {
                    slot.ping = None;
                }
                if let Some(probe) = self.settings.probe_key.number(conn, &payload) {
                    self.with_outbox(conn, |outbox| outbox.answered(probe, now_us));
                }
            }
            InboundItem::Close(code, reason) => self.peer_closes(conn, code, reason, now_us),
            InboundItem::Broke(violation) => self.fail(conn, violation, now_us),
            InboundItem::Passed(limit) => self.stats.limits[limit as usize].add(1),
        }
    }

    /// Answers a message over its rate, so that the host need not.
    fn refuse(&mut self, conn: ConnId, refused: &Refused, wait_us: u64, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let codec = slot.outbox.form().codec;
        self.answers += 1;
        let ts_ms = self.settings.started_ms + now_us / 1000;
        let answer = refused.answer(codec, &format!("r{:x}-{:x}", conn.as_u64(), self.answers), ts_ms, wait_us);
        slot.refusals += 1;
        let role = Role::Refusal { number: slot.refusals, is_urgent: refused.is_urgent };
        let kind = if codec.is_text() { Kind::Text } else { Kind::Binary };
        let about = Metadata::place(NO_ROOM, 0, Delivery::Reliable);
        let message = Message::new(role, kind, &answer, about, now_us, &self.budget);
        self.deliver(conn, &Arc::new(message), now_us);
    }

    /// Answers the peer's close frame with the same code (RFC 6455 section 5.5.1). The host answers it instead if the
    /// code says that the client will resume its session.
    fn peer_closes(&mut self, conn: ConnId, code: Option<u16>, reason: Box<str>, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let (name, is_retired) = (slot.name(conn), slot.is_retired);
        if is_retired {
            return;
        }
        if !(slot.may_retire() && Event::may_ask(code)) {
            self.close(conn, code, &reason, false, now_us);
        }
        self.events.push(Event::PeerClosed { conn: name, code, reason });
    }

    /// Fails a connection (RFC 6455 section 7.1.7).
    pub(super) fn fail(&mut self, conn: ConnId, Violation { code, reason, limit }: Violation, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let (name, was_open) = (slot.name(conn), !slot.outbox.is_closing());
        let is_retired = slot.is_retired;
        if let Some(reading) = &mut slot.reading {
            self.unfinished.subtract(reading.end());
        }
        if is_retired {
            return;
        }
        if let Some(limit) = limit.filter(|_| was_open) {
            self.stats.limits[limit as usize].add(1);
        }
        self.close(conn, Some(code), reason, false, now_us);
        self.events.push(Event::Broke { conn: name, code, reason });
    }

    /// Lets the host fail a connection after it has handled the messages before the violation. The shard does it after
    /// [`PATIENCE_US`].
    pub(super) fn fail_soon(&mut self, conn: ConnId, violation: Violation, now_us: u64) {
        let Violation { code, reason, limit } = violation;
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let (name, is_open) = (slot.name(conn), !slot.outbox.is_closing());
        let (true, Some(reading)) = (is_open, &mut slot.reading) else { return self.fail(conn, violation, now_us) };
        self.unfinished.subtract(reading.end());
        reading.failing = Some((now_us + PATIENCE_US, code, reason));
        self.reading_timers.push(Reverse((now_us + PATIENCE_US, conn)));
        if let Some(limit) = limit {
            self.stats.limits[limit as usize].add(1);
        }
        self.events.push(Event::Broke { conn: name, code, reason });
    }
}

/// Microseconds that the host has to handle the messages before a violation.
pub(super) const PATIENCE_US: u64 = 500_000;
