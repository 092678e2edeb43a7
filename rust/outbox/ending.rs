//! The end of an outbox: the close frame, and the end of what waits.

use crate::message::Message;
use crate::outbox::Outbox;
use crate::outbox::writing::{Begun, Frame};
use crate::stats::Drop;

#[derive(Debug)]
pub(super) enum Close {
    Open,
    Queued(Box<[u8]>),
    Sent,
}

impl Outbox {
    /// Queues the close frame, without a code an empty one. With `flush` it leaves after all that waits;
    /// without, everything that has not begun to leave is dropped. A second call can only cancel the flush; the first
    /// close frame stays.
    pub fn close(&mut self, code: Option<u16>, reason: &str, flush: bool, dropped: &mut impl FnMut(&Message, Drop)) {
        if !flush {
            self.clear(Drop::Closed, dropped);
        }
        if !self.is_closing() {
            self.close = Close::Queued(self.form.framing.close(code, reason));
            // No more messages come, and the close frame waits behind the others, so there is no window now.
            self.droppable.unlimit();
            self.droppable.begin(false);
        }
    }

    /// Drops everything that waits and has not begun to leave, except handshake replies.
    pub fn clear(&mut self, reason: Drop, dropped: &mut impl FnMut(&Message, Drop)) {
        let tiers = &mut self.tiers;
        let mut next = || {
            let reliable = self.urgent.pop_front().or_else(|| self.reliable.pop());
            reliable.or_else(|| tiers.as_mut().and_then(|tiers| tiers.pop()))
        };
        while let Some(message) = next() {
            self.bytes -= message.cost(self.form);
            dropped(&message, reason);
        }
        self.clear_droppable(reason, dropped);
        self.replay = None;
    }

    /// Drops all droppable messages.
    pub fn clear_droppable(&mut self, reason: Drop, dropped: &mut impl FnMut(&Message, Drop)) {
        self.deltas.iter_mut().for_each(|deltas| deltas.forget());
        self.droppable.clear(|message| {
            self.bytes -= message.cost(self.form);
            dropped(&message, reason);
        });
    }

    /// Drops everything because the connection has ended, including a message that has left only in part.
    pub fn end(&mut self, dropped: &mut impl FnMut(&Message, Drop)) {
        if let Some(Begun { frame: Frame::Message(message), is_again: false, .. }) = self.begun.take() {
            self.bytes -= message.cost(self.form);
            dropped(&message, Drop::Closed);
        }
        self.clear(Drop::Closed, dropped);
    }
}
