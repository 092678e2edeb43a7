//! The lane of one room in an outbox: what waits in it, and what of that may leave.

use std::sync::Arc;

use crate::message::{Message, OVERHEAD};
use crate::outbox::lane::Lane;
use crate::outbox::window::Window;
use crate::protocol::form::Form;

#[derive(Debug, Default)]
pub(super) struct RoomLane {
    pub(super) lane: Lane,
    pub(super) cost: usize,
    /// How many messages may leave now, by [`Rooms::plan`](crate::outbox::rooms::Rooms::plan).
    pub(super) planned: usize,
    pub(super) has_turn: bool,
    pub(super) name: Option<Arc<str>>,
    /// What is under way, where the peer reports.
    pub(super) window: Option<Box<Told>>,
}

/// A window, and what the peer was told last of its size; 0: nothing.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) window: Window,
    pub(super) size: usize,
}

impl RoomLane {
    /// How many of its next messages its window admits, `most` at most.
    pub(super) fn admitted(&mut self, most: usize, form: Form) -> usize {
        let bytes = self.bytes();
        let Some(told) = self.window.as_mut().filter(|told| !told.window.fits(bytes)) else {
            return self.lane.len().min(most);
        };
        let mut ahead = 0;
        let admitted = self.lane.iter().take(most).take_while(|message| {
            let bytes = message.frame(form).len();
            let is_admitted = told.window.admits(ahead, bytes);
            ahead += bytes;
            is_admitted
        });
        admitted.count()
    }

    /// Bytes of its messages on the wire.
    pub(super) fn bytes(&self) -> usize {
        self.cost - self.lane.len() * OVERHEAD
    }

    /// The planned message with so many planned ones before it.
    pub(super) fn planned_at(&self, round: usize) -> Option<&Arc<Message>> {
        (round < self.planned).then(|| self.lane.get(round)).flatten()
    }

    pub(super) fn is_held(&self) -> bool {
        !self.has_turn && !self.lane.is_empty()
    }

    pub(super) fn pop(&mut self, form: Form) -> Option<Arc<Message>> {
        let message = self.lane.pop()?;
        self.cost -= message.cost(form);
        Some(message)
    }
}
