//! Timers of a connection's reading: failures, late messages, and pongs to clients that are not read.

use std::cmp::Reverse;

use crate::limit::Limit;
use crate::protocol::envelope;
use crate::shard::{Link, Shard};
use crate::slots::ConnId;
use crate::wire::decoder::Violation;
use crate::wire::table::close_code;

impl<L: Link> Shard<L> {
    /// Does what is due for the reading side of a connection, when one of its timers fires.
    pub(in crate::shard) fn look_at(&mut self, conn: ConnId, now_us: u64) {
        let Self { slots, settings, asked, .. } = self;
        let Some(slot) = slots.get_mut(conn) else { return };
        let is_open = !slot.outbox.is_closing();
        let form = slot.outbox.form();
        let Some(reading) = &mut slot.reading else { return };
        if let Some((due_us, code, reason)) = reading.failing.take() {
            match due_us > now_us {
                true => reading.failing = Some((due_us, code, reason)),
                false => return self.close(conn, Some(code), reason, false, now_us),
            }
        }
        let mut is_late = false;
        if reading.has_deadline {
            match reading.inbound.deadline_us(&settings.inbound).filter(|_| is_open) {
                None => reading.has_deadline = false,
                Some(due_us) if due_us <= now_us => is_late = true,
                Some(due_us) => self.reading_timers.push(Reverse((due_us, conn))),
            }
        }
        let (mut must_vouch, mut goes_on) = (false, false);
        if reading.vouch_us > 0 && reading.vouch_us <= now_us {
            reading.vouch_us = 0;
            let is_waiting = asked.is_some() && reading.asked == *asked;
            must_vouch = is_open && (reading.is_unheard(now_us) || is_waiting);
            goes_on = must_vouch || (is_open && asked.is_some());
            reading.asked = *asked;
        }
        if must_vouch && let Some(pong) = envelope::pong(form) {
            self.push_raw(conn, pong, now_us);
        }
        if goes_on {
            self.vouch_soon(conn, now_us);
        }
        if is_late {
            let reason = "the message took too long to arrive";
            self.fail(conn, Violation { code: close_code::POLICY, reason, limit: Some(Limit::MessageTimeout) }, now_us);
        }
        self.change_reading(conn, |_| {});
    }

    /// Sets the timer after which a session gets a pong if its messages still wait, because its own ping may be among
    /// them.
    pub(super) fn vouch_soon(&mut self, conn: ConnId, now_us: u64) {
        let wait_us = (self.settings.ping_timeout_us / 2).clamp(1, VOUCH_US);
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let is_session = slot.outbox.has_session();
        if let Some(reading) = &mut slot.reading
            && reading.vouch_us == 0
            && is_session
        {
            reading.vouch_us = now_us + wait_us;
            self.reading_timers.push(Reverse((reading.vouch_us, conn)));
        }
    }
}

/// Microseconds between pongs to a client that is not read. Clients wait some seconds for an answer.
const VOUCH_US: u64 = 1_000_000;
