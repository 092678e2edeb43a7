//! How the outbox of a session moves from one link to the next.

use crate::outbox::Outbox;
use crate::outbox::control::ControlKind;
use crate::outbox::writing::{Begun, Frame};

impl Outbox {
    /// Returns what a link must get before its close frame: the rest of a frame that has begun to leave, and raw bytes
    /// such as a handshake reply.
    pub fn owed(&self) -> Box<[u8]> {
        let begun = self.begun.iter().map(|begun| &begun.frame.bytes(self.form)[begun.written..]);
        let raw = self.control.iter().filter(|control| control.kind == ControlKind::Raw).map(|control| &*control.bytes);
        begun.chain(raw).collect::<Vec<_>>().concat().into()
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
        self.droppable.begin(self.probe_key.is_some());
    }

    /// Resumes over another link. The client has received the first `received` messages. Returns false if that is not
    /// possible.
    pub fn resume(&mut self, received: u64) -> bool {
        let goes_on = !self.is_closing() && self.replay.as_mut().is_some_and(|replay| replay.rewind(received));
        if goes_on {
            // Frames queued since then, such as answers to the last pings, belong to the lost link.
            self.park();
        }
        goes_on
    }
}
