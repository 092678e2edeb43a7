//! The lane of one room in an outbox: the messages that wait, and which of them may leave.

use std::sync::Arc;

use crate::message::{Message, OVERHEAD, Priority};
use crate::outbox::lane::Lane;
use crate::outbox::rates::ByteBucket;
use crate::outbox::rooms::reported_window::ReportedWindow;
use crate::protocol::form::Form;

#[derive(Debug, Default)]
pub(super) struct RoomLane {
    pub(super) lane: Lane,
    pub(super) cost: usize,
    /// How many messages may leave now, computed by [`RoomLanes::plan`](crate::outbox::rooms::RoomLanes::plan).
    pub(super) planned: usize,
    pub(super) has_turn: bool,
    pub(super) priority: Priority,
    pub(super) name: Option<Arc<str>>,
    /// The window of the room, if the peer reports.
    pub(super) window: Option<Box<ReportedWindow>>,
    /// The bytes that may leave now, if the member has a limit on bytes a second.
    pub(super) bucket: Option<Box<ByteBucket>>,
}

impl RoomLane {
    /// Returns how many of its next messages the window admits, at most `most`.
    pub(super) fn admitted(&mut self, most: usize, form: Form) -> usize {
        let most = match &self.bucket {
            Some(bucket) => bucket.admits(self.lane.iter().take(most).map(|message| message.frame(form).len())),
            None => most,
        };
        let bytes = self.bytes();
        let Some(window) = self.window.as_mut().filter(|window| !window.fits(bytes)) else {
            return self.lane.len().min(most);
        };
        let mut ahead = 0;
        let admitted = self.lane.iter().take(most).take_while(|message| {
            let bytes = message.counted(form);
            let is_admitted = window.admits(ahead, bytes);
            ahead += bytes;
            is_admitted
        });
        admitted.count()
    }

    /// Returns the bytes of its messages on the wire.
    pub(super) fn bytes(&self) -> usize {
        self.cost - self.lane.len() * OVERHEAD
    }

    /// Returns the message at index `round`, if it is planned.
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
