//! The link of a session whose client polls: no socket. The host writes what a poll gets, one write for each poll.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use crate::admission::Place;
use crate::newcomers::Stream;
use crate::queues::command::Event;
use crate::queues::events::Events;
use crate::slots::ConnId;

/// The link of a session whose client polls. `L` is the link of a newcomer.
#[derive(Debug)]
pub struct PollLink<L> {
    conn: ConnId,
    events: Arc<Events>,
    /// Whether a poll waits, and takes the next write.
    is_waiting: bool,
    /// The connection of the request that has opened the link, until it is answered.
    opening: Option<Box<L>>,
    pub(super) place: Option<Place>,
}

impl<L: Stream> PollLink<L> {
    /// Creates a link that takes nothing before the first poll. `opening` is the connection of the request that opens
    /// it.
    pub fn new(conn: ConnId, events: Arc<Events>, opening: L) -> Self {
        Self { conn, events, is_waiting: false, opening: Some(Box::new(opening)), place: None }
    }

    /// Takes all that is offered, which one poll gets.
    pub(super) fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.is_waiting {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.is_waiting = false;
        let bytes = bufs.iter().flat_map(|buf| buf.iter().copied()).collect::<Box<[u8]>>();
        let written = bytes.len();
        self.tell(bytes);
        Ok(written)
    }

    pub(super) fn grant(&mut self) {
        self.is_waiting = true;
    }

    /// Each poll has one event, so that the host knows which bytes are whose.
    pub(super) fn poll(&mut self) {
        if self.is_waiting {
            self.tell(Box::default());
        }
        self.is_waiting = true;
    }

    pub(super) fn answer(&mut self, response: &[u8]) {
        if let Some(mut opening) = self.opening.take() {
            opening.answer(response);
        }
    }

    fn tell(&self, bytes: Box<[u8]>) {
        // Only messages count for the credit of a connection, and this is none.
        self.events.extend([Event::Data { conn: self.conn, bytes }], &mut Vec::new());
    }
}
