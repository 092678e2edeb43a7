//! How a connection of a shard begins.

use std::cmp::Reverse;

use crate::outbox::Outbox;
use crate::outbox::account::Account;
use crate::outbox::skipped::Skipped;
use crate::protocol::form::Form;
use crate::shard::conn::Conn;
use crate::shard::turns::Queued;
use crate::shard::{Link, Shard};
use crate::slots::ConnId;

impl<L: Link> Shard<L> {
    /// Adds a connection, with the timer of its pings.
    pub(super) fn open(&mut self, conn: ConnId, link: L, form: Form, has_session: bool, now_us: u64) {
        let limit = self.settings.connection_bytes;
        let outbox = match has_session {
            true => Outbox::of_session(limit, form, self.settings.replay_bytes),
            false => Outbox::new(limit, form),
        };
        let interval_us = self.settings.ping_interval_us;
        let mut slot = Conn {
            link: Some(link),
            reading: None,
            link_id: conn,
            outbox: if interval_us > 0 { outbox.with_probes(self.settings.probe_key.clone(), conn) } else { outbox },
            skipped: Skipped::new(form.codec.has_envelopes()),
            account: Account::default(),
            refusals: 0,
            place: Queued::default(),
            is_blocked: false,
            is_held: false,
            is_retired: false,
            is_slow: false,
            ping: None,
            written: 0,
            taken: None,
            due_us: now_us,
        };
        if interval_us > 0 {
            // Connections that came together must not ping together. The first ping falls anywhere in the interval, by
            // a hash of the id (Fibonacci hashing), and later pings keep that phase.
            let phase = conn.as_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15);
            slot.due_us = now_us + 1 + ((u128::from(phase) * u128::from(interval_us)) >> 64) as u64;
            self.timers.push(Reverse((slot.due_us, conn)));
        }
        self.slots.insert(conn, slot);
        self.stats.connections.set(self.slots.len() as u64);
    }
}
