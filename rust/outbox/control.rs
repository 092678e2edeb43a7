//! What an outbox sends that is no message: pings, pongs, replies, windows. It is not counted, and goes ahead of messages.

use crate::message::{Message, RoomId};
use crate::outbox::Outbox;
use crate::protocol::envelope;
use crate::stats::Drop;

impl Outbox {
    /// Queues bytes that are no message ahead of all messages; false when they do not fit, though all has been dropped that
    /// may be.
    pub fn push_raw(&mut self, bytes: Box<[u8]>, dropped: &mut impl FnMut(&Message, Drop)) -> bool {
        let is_taken = !self.is_closing() && self.make_room(bytes.len(), dropped);
        if is_taken {
            self.push_first(bytes);
        }
        is_taken
    }

    /// Queues what its link begins with: past the limit if need be, for it is small, and nothing may come without it.
    pub fn push_first(&mut self, bytes: Box<[u8]>) {
        // An empty frame would wait for a write of no bytes, over and over.
        if !bytes.is_empty() {
            self.push_control(Control { kind: Kind::Raw, bytes });
        }
    }

    /// What a ping carries now: it asks once more for the last answer that is missing, since a peer may answer only the
    /// newest of several pings (RFC 6455 section 5.5.3).
    pub fn ping_payload(&self) -> Option<[u8; 8]> {
        let (seal, conn) = self.seal.as_ref()?;
        Some(seal.payload(*conn, self.droppable.unanswered()?))
    }

    /// Queues a ping.
    pub fn push_ping(&mut self, frame: Box<[u8]>) {
        self.push_at_most(1, Control { kind: Kind::Ping, bytes: frame });
    }

    /// Queues a pong. At most [`PONGS_MAX`] wait, and then the oldest goes: an endpoint "MAY elect to send a Pong
    /// frame for only the most recently processed Ping" (RFC 6455 section 5.5.3), which bounds what a flood of pings
    /// can make us hold.
    pub fn push_pong(&mut self, frame: Box<[u8]>) {
        self.push_at_most(PONGS_MAX, Control { kind: Kind::Pong, bytes: frame });
    }

    /// Queues a heartbeat that the peer's program sees, where there are envelopes.
    pub fn push_heartbeat(&mut self) {
        if let Some(bytes) = envelope::ping(self.form) {
            self.push_at_most(1, Control { kind: Kind::Heartbeat, bytes });
        }
    }

    pub(super) fn push_at_most(&mut self, most: usize, frame: Control) {
        if self.is_closing() {
            return;
        }
        let mut waiting = self.control.iter().enumerate().filter(|(_, waiting)| waiting.kind == frame.kind);
        let oldest = waiting.next().map(|(place, _)| place);
        if waiting.count() + 1 >= most
            && let Some(oldest) = oldest.and_then(|place| self.control.remove(place))
        {
            self.bytes -= oldest.bytes.len();
        }
        self.push_control(frame);
    }

    pub(super) fn push_control(&mut self, frame: Control) {
        self.bytes += frame.bytes.len();
        self.control.push_back(frame);
    }
}

#[derive(Debug)]
pub(super) struct Control {
    pub(super) kind: Kind,
    pub(super) bytes: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Raw,
    Ping,
    Pong,
    Heartbeat,
    /// See [`crate::outbox::probes`]. No more than one waits: nothing that it would tell of leaves before it.
    Probe,
    /// How large the window of a room is.
    Window(RoomId),
}

/// Pongs that may wait: more than any client has pings under way that wants them answered.
pub(super) const PONGS_MAX: usize = 16;
