//! How the outbox of a session moves from one link to the next.

use std::sync::Arc;

use crate::message::Message;
use crate::outbox::Outbox;
use crate::outbox::control::ControlKind;
use crate::outbox::writing::{Begun, Frame};
use crate::protocol::form::Form;

impl Outbox {
    /// Takes what a link must get before its close frame: the rest of a frame that has begun to leave, and raw bytes
    /// such as a handshake reply. The frame counts as written: the client may get all of it.
    pub fn take_owed(&mut self) -> Box<[u8]> {
        let Self { begun, control, form, .. } = self;
        let rest = begun.iter_mut().map(|begun| {
            let bytes = begun.frame.bytes(*form);
            &bytes[std::mem::replace(&mut begun.written, bytes.len())..]
        });
        let raw = control.iter().filter(|control| control.kind == ControlKind::Raw).map(|control| &*control.bytes);
        rest.chain(raw).collect::<Vec<_>>().concat().into()
    }

    /// Parks the outbox: the link is lost, the session continues. Messages stay; what belonged to the link is dropped.
    pub fn park(&mut self) {
        for control in self.control.drain(..) {
            self.bytes -= control.bytes.len();
        }
        match self.begun.take() {
            Some(Begun { frame: Frame::Message(message), is_again, written }) => {
                if !is_again {
                    self.bytes -= message.cost(self.form);
                }
                if let Some(replay) = &mut self.replay {
                    replay.interrupted(message, written, is_again);
                }
            }
            Some(Begun { frame: Frame::Own(bytes), .. }) => self.bytes -= bytes.len(),
            None => {}
        }
        self.droppable.begin(self.has_probes());
    }

    /// Resumes over another link, whose form has the same codec and may have another framing and compression. Deltas end
    /// with the first link without them: what was sent meanwhile is known only to a peer that keeps values without them. The client
    /// has received the first `received` messages. Returns false if that is not possible.
    pub fn resume(&mut self, received: u64, mut form: Form) -> bool {
        let goes_on = !self.is_closing() && self.replay.as_mut().is_some_and(|replay| replay.rewind(received));
        if goes_on {
            // Frames queued since then, such as answers to the last pings, belong to the lost link.
            self.park();
            form.has_deltas &= self.form.has_deltas;
            if !form.has_deltas {
                self.deltas = None;
            }
            if form != self.form {
                self.reframe(form);
            }
        }
        goes_on
    }

    /// Removes the refusals after the first `count` of the session. None of them may have begun to leave over the present
    /// link.
    pub fn withdraw_refusals(&mut self, count: u64) {
        let is_kept = |message: &Arc<Message>| message.refusal().is_none_or(|number| number <= count);
        self.replay.iter_mut().for_each(|replay| replay.retain_pending(is_kept));
        let Self { urgent, reliable, bytes, form, .. } = self;
        let mut keep = |message: &Arc<Message>| {
            let is_kept = is_kept(message);
            *bytes -= if is_kept { 0 } else { message.cost(*form) };
            is_kept
        };
        urgent.retain(&mut keep);
        reliable.retain(keep);
    }

    /// Sends what follows the first `received` messages over the present link, of which the client has received no
    /// others. Returns false if that cannot be, or if some of it is no longer kept.
    pub fn again(&mut self, received: u64) -> bool {
        // A connection that is closing at once has forgotten its messages, and still sends its close frame.
        self.replay.as_mut().is_none_or(|replay| replay.rewind(received))
    }

    /// Changes the form of all messages. They may cost more than the limit then; that is no fault of the client, so it
    /// is allowed until all have left.
    fn reframe(&mut self, form: Form) {
        let before = self.bytes;
        let others = self.tiers.iter().flat_map(|tiers| tiers.iter());
        for message in self.urgent.iter().chain(self.reliable.iter()).chain(others) {
            self.bytes = self.bytes + message.cost(form) - message.cost(self.form);
        }
        let (old, new) = self.droppable.reframe(form);
        self.bytes = self.bytes + new - old;
        self.replay.iter_mut().for_each(|replay| replay.reframe(form));
        self.form = form;
        self.allowance += self.bytes.saturating_sub(before);
        self.droppable.begin(self.has_probes());
    }
}
