//! How the outbox of a session goes from one link to the next.

use crate::outbox::Outbox;
use crate::outbox::control::Kind;
use crate::outbox::writing::{Begun, Frame};

impl Outbox {
    /// What its link must have before a close frame: the rest of the frame that has begun to leave, and what is no
    /// message, such as a handshake reply.
    pub fn owed(&self) -> Box<[u8]> {
        let begun = self.begun.iter().map(|begun| &begun.frame.bytes(self.form)[begun.written..]);
        let raw = self.control.iter().filter(|control| control.kind == Kind::Raw).map(|control| &*control.bytes);
        begun.chain(raw).collect::<Vec<_>>().concat().into()
    }

    /// The link is lost and the session goes on: messages stay, what belonged to the link goes.
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
        self.droppable.begin(self.seal.is_some());
    }

    /// Goes on over another link after the first `received` messages of the session; false when that is not possible.
    pub fn resume(&mut self, received: u64) -> bool {
        let goes_on = !self.is_closing() && self.replay.as_mut().is_some_and(|replay| replay.rewind(received));
        if goes_on {
            // What has come since for the link that was lost, as answers to its last pings, is not for this one.
            self.park();
        }
        goes_on
    }
}
