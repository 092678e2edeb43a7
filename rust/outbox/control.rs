//! The control frames of an outbox: pings, pongs, replies and windows. They are not counted as messages, and go ahead
//! of them.

use crate::message::{Message, RoomId};
use crate::outbox::Outbox;
use crate::protocol::envelope;
use crate::stats::Drop;
use crate::wire::frame::{self, Opcode};

impl Outbox {
    /// Queues raw bytes ahead of all messages. Returns false if they do not fit, even after dropping all droppable
    /// messages.
    pub fn push_raw(&mut self, bytes: Box<[u8]>, dropped: &mut impl FnMut(&Message, Drop)) -> bool {
        let is_taken = !self.is_closing() && self.make_room(bytes.len(), dropped);
        if is_taken {
            self.push_first(bytes);
        }
        is_taken
    }

    /// Queues the first bytes of a link, past the limit if necessary: they are few, and must come before everything
    /// else.
    pub fn push_first(&mut self, bytes: Box<[u8]>) {
        // An empty frame would wait for a write of zero bytes, and never leave.
        if !bytes.is_empty() {
            self.push_control(Control { kind: ControlKind::Raw, bytes });
        }
    }

    /// Returns the payload for a ping of a WebSocket. It repeats the last unanswered probe, because a peer may answer only the newest
    /// of several pings (RFC 6455 section 5.5.3).
    pub(super) fn ping_payload(&self) -> Option<[u8; 8]> {
        let (probe_key, conn) = self.probe_key.as_ref()?;
        Some(probe_key.payload(*conn, self.droppable.unanswered()?))
    }

    /// Queues a ping.
    pub fn push_ping(&mut self) {
        let payload = self.ping_payload();
        let bytes = self.form.framing.ping(payload.as_ref().map_or(&[], |payload| payload));
        self.push_at_most(1, Control { kind: ControlKind::Ping, bytes });
    }

    /// Queues the answer to a ping of a WebSocket. At most `PONGS_MAX` wait; then the oldest is dropped. An endpoint
    /// "MAY elect to send a Pong frame for only the most recently processed Ping" (RFC 6455 section 5.5.3), so a flood
    /// of pings cannot fill memory.
    pub fn push_pong(&mut self, payload: &[u8]) {
        let bytes = frame::control(Opcode::Pong, payload);
        self.push_at_most(PONGS_MAX, Control { kind: ControlKind::Pong, bytes });
    }

    /// Queues a heartbeat that the peer's program sees, if the connection has envelopes.
    pub fn push_heartbeat(&mut self) {
        if let Some(bytes) = envelope::ping(self.form) {
            self.push_at_most(1, Control { kind: ControlKind::Heartbeat, bytes });
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
    pub(super) kind: ControlKind,
    pub(super) bytes: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlKind {
    Raw,
    Ping,
    Pong,
    Heartbeat,
    /// A ping of [`crate::outbox::probes`]. At most one waits, because nothing that it measures leaves before it.
    Probe,
    /// The size of a room's window.
    Window(RoomId),
}

/// The limit on pongs that wait: more than a client has pings under way that need an answer.
pub(super) const PONGS_MAX: usize = 16;
