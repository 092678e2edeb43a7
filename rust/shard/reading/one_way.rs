//! One-way links: the server's messages leave over the link, and the client's come by other requests, which the host
//! reads. What the client sends over the link itself counts for nothing; its end ends the link.

use crate::queues::command::Cause;
use crate::shard::{Link, Shard};
use crate::slots::ConnId;

impl<L: Link> Shard<L> {
    /// Takes frames of the client.
    pub(in crate::shard) fn post(&mut self, conn: ConnId, link: ConnId, frames: &[u8]) {
        let Some(conn) = self.carried_by(conn, link).filter(|&conn| self.is_one_way(conn)) else { return };
        self.heard_of(conn);
        self.change_reading(conn, |reading| reading.fed.extend_from_slice(frames));
    }

    /// Lets a link of polls write once, after what follows the first `received` messages.
    pub(in crate::shard) fn poll(&mut self, conn: ConnId, link: ConnId, received: u64) {
        let Some(conn) = self.carried_by(conn, link) else { return };
        let link = self.slots.get_mut(conn).and_then(|slot| slot.link.as_mut());
        if !link.is_some_and(Link::poll) {
            return;
        }
        self.heard_of(conn);
        match self.with_outbox(conn, |outbox| outbox.again(received)) {
            Some(true) => self.writable(conn),
            _ => self.lose(conn, Cause::Reset),
        }
    }

    /// Notes that the client lives: no answer to the last ping is missing.
    fn heard_of(&mut self, conn: ConnId) {
        if let Some(slot) = self.slots.get_mut(conn) {
            slot.ping = None;
        }
    }

    pub(super) fn is_one_way(&mut self, conn: ConnId) -> bool {
        self.slots.get_mut(conn).is_some_and(|slot| slot.outbox.form().framing.is_one_way())
    }

    /// Drops bytes that the client has sent over the link.
    pub(super) fn stray(&mut self, conn: ConnId, bytes: usize) {
        let Some(reading) = self.slots.get_mut(conn).and_then(|slot| slot.reading.as_mut()) else { return };
        reading.stray += bytes;
        if reading.stray > STRAY_MAX {
            self.lose(conn, Cause::Reset);
        }
    }
}

/// The limit on bytes that the client of a one-way link may send over it. None have a meaning.
const STRAY_MAX: usize = 16 << 10;
