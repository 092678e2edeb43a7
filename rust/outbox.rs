//! One connection's outgoing queue. A pure value: it writes to a [`Sink`] and knows no socket.
//!
//! In this order: control frames, messages about the connection itself, reliable messages, and droppable messages, which
//! have a lane for each room ([`Rooms`]). Within a lane order holds. A frame that has begun to leave is finished first, whatever comes
//! meanwhile: two frames must never mix on the wire (RFC 6455 section 5.4). A close frame leaves last.
//!
//! The outbox of a session also keeps what it has sent ([`Replay`]), and after a lost connection writes again,
//! ahead of all lanes of messages, what its peer has missed.
//!
//! Of droppable messages only so much is under way as a window lets out, for only what waits here can be replaced or
//! dropped. Reliable ones have none: it would not make them fresher.
//!
//! The queue is bounded in bytes. What happens at the bound is each message's own rule
//! ([`Delivery`]); every message that does not leave is reported to the caller with a [`Drop`] reason.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::message::{Delivery, Message, RoomId};
use crate::outbox::control::{Control, Kind};
use crate::outbox::lane::Lane;
use crate::outbox::probes::Seal;
use crate::outbox::replay::Replay;
use crate::outbox::rooms::Rooms;
use crate::outbox::writing::{Begun, Frame};
use crate::protocol::envelope;
use crate::protocol::form::Form;
use crate::slots::ConnId;
use crate::stats::Drop;

/// Where an outbox writes to: a socket, or a stand-in.
pub trait Sink {
    /// Writes as much as can be taken without waiting; `WouldBlock` when that is nothing.
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// What became of a message handed to [`Outbox::push`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// It waits, or has been dropped by its own rule and reported.
    Done,
    /// It must not be dropped and does not fit: the connection has to be closed.
    Overflow,
}

/// How far [`Outbox::flush`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to write.
    Empty,
    /// The sink takes no more for now.
    Blocked,
    /// More waits than one write carries; the sink may take it.
    More,
    /// All that may leave has left; what is left waits for a window.
    Held,
    /// The close frame has left; nothing may follow it.
    Closed,
}

/// What one flush wrote.
#[derive(Debug, Clone, Copy)]
pub struct Flushed {
    /// How far it came.
    pub progress: Progress,
    /// Messages that left completely.
    pub messages: usize,
    /// Bytes written.
    pub bytes: usize,
    /// When the first of these messages was published.
    pub oldest_us: Option<u64>,
}

/// The queue. See the module's head for its rules.
#[derive(Debug)]
pub struct Outbox {
    begun: Option<Begun>,
    control: VecDeque<Control>,
    urgent: VecDeque<Arc<Message>>,
    reliable: Lane,
    droppable: Rooms,
    close: Close,
    bytes: usize,
    limit: usize,
    allowance: usize,
    form: Form,
    has_session: bool,
    /// Of a session, until it ends.
    replay: Option<Box<Replay>>,
    /// What probes are made with; none are written without.
    seal: Option<(Seal, ConnId)>,
}

impl Outbox {
    /// An empty queue for at most `limit` bytes of messages in this form.
    pub fn new(limit: usize, form: Form) -> Self {
        Self {
            begun: None,
            control: VecDeque::new(),
            urgent: VecDeque::new(),
            reliable: Lane::default(),
            droppable: Rooms::new(form),
            close: Close::Open,
            bytes: 0,
            limit,
            allowance: 0,
            form,
            has_session: false,
            replay: None,
            seal: None,
        }
    }

    /// The same for a session: at most `replay_limit` bytes of what was sent are kept until acknowledged.
    pub fn of_session(limit: usize, form: Form, replay_limit: usize) -> Self {
        let replay = Some(Box::new(Replay::new(replay_limit, form)));
        Self { has_session: true, replay, ..Self::new(limit, form) }
    }

    /// With probes behind droppable messages, until the peer tells what it has taken.
    pub fn with_probes(mut self, seal: Seal, conn: ConnId) -> Self {
        self.droppable.begin(true);
        Self { seal: Some((seal, conn)), ..self }
    }

    /// How its messages are written.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whether it is a session's, which goes on when the link is lost.
    pub fn has_session(&self) -> bool {
        self.has_session
    }

    /// What was sent and may have to be sent again, of a session.
    pub fn replay(&mut self) -> Option<&mut Replay> {
        self.replay.as_deref_mut()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.begun.is_none()
            && self.control.is_empty()
            && self.messages() == 0
            && !matches!(self.close, Close::Queued(_))
    }

    /// Messages that wait and have not begun to leave.
    pub fn messages(&self) -> usize {
        self.new_messages() + self.replay.as_ref().map_or(0, |replay| replay.pending())
    }

    /// Messages that it refers to.
    pub fn references(&self) -> usize {
        self.new_messages() + self.replay.as_ref().map_or(0, |replay| replay.len())
    }

    /// Bytes that wait, overhead included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether some of what waits waits for a window.
    pub fn is_held(&self) -> bool {
        self.droppable.is_held()
    }

    /// Whether droppable messages of a room wait.
    pub fn waits(&self, room: RoomId) -> bool {
        self.droppable.waits(room)
    }

    /// Whether a close frame was queued or sent; nothing more is accepted then.
    pub fn is_closing(&self) -> bool {
        !matches!(self.close, Close::Open)
    }

    /// Queues a message by its rule.
    pub fn push(&mut self, message: &Arc<Message>, dropped: &mut impl FnMut(&Message, Drop)) -> Push {
        if self.is_closing() {
            dropped(message, Drop::Closed);
            return Push::Done;
        }
        let cost = message.cost(self.form);
        match message.delivery() {
            Delivery::Reliable => {
                if !self.make_room(cost, dropped) {
                    return Push::Overflow;
                }
                self.bytes += cost;
                if message.is_urgent() {
                    self.urgent.push_back(Arc::clone(message));
                } else {
                    self.reliable.push(Arc::clone(message));
                }
            }
            Delivery::Latest | Delivery::DropOldest => {
                if message.key().is_some()
                    && let Some(old) = self.droppable.replace(message, cost)
                {
                    self.bytes = self.bytes + cost - old.cost(self.form);
                    dropped(&old, Drop::Replaced);
                    // A value may be larger than the one it replaced.
                    self.make_room(0, dropped);
                } else if self.make_room(cost, dropped) {
                    self.bytes += cost;
                    self.droppable.push(message, cost);
                } else {
                    dropped(message, Drop::Newest);
                }
            }
            Delivery::DropNewest => {
                // What other rooms have waiting is no reason to drop it.
                while !self.fits(cost) && !self.droppable.has_most(message.room()) && self.drop_oldest(dropped) {}
                if self.fits(cost) {
                    self.bytes += cost;
                    self.droppable.push(message, cost);
                } else {
                    dropped(message, Drop::Newest);
                }
            }
        }
        Push::Done
    }

    /// Queues what a joiner has to have before the stream, beyond the limit if need be: it is bounded by
    /// the room it comes from, and a part of it would be a gap. The limit is back when all has left.
    pub fn push_snapshot(&mut self, snapshot: &[Arc<Message>], dropped: &mut impl FnMut(&Message, Drop)) -> Push {
        self.allowance += snapshot.iter().map(|message| message.cost(self.form)).sum::<usize>();
        let codec = self.form.codec;
        for message in snapshot.iter().filter(|message| message.speaks(codec)) {
            if self.push(message, dropped) == Push::Overflow {
                return Push::Overflow;
            }
        }
        Push::Done
    }

    /// The application has taken what a room has (0: none is named) among the first `count` messages of the session. From the
    /// first call on each room has a window. The peer is told when that of the room has changed. A count that cannot be is
    /// ignored.
    pub fn taken(&mut self, room: RoomId, count: u64, now_us: u64) {
        let Some(replay) = &self.replay else { return };
        let is_possible = count <= replay.total();
        if self.is_closing() {
            return;
        }
        self.droppable.begin_reports();
        if is_possible
            && let Some((name, bytes)) = self.droppable.taken(room, count, now_us)
            && let Some(frame) = envelope::window(self.form, &name, bytes)
        {
            self.push_at_most(1, Control { kind: Kind::Window(room), bytes: frame });
        }
    }

    /// The peer has answered a probe.
    pub fn answered(&mut self, probe: u64, now_us: u64) {
        self.droppable.answered(probe, now_us);
    }

    /// A membership has ended: what waits of the room and may be dropped is.
    pub fn leave(&mut self, room: RoomId, dropped: &mut impl FnMut(&Message, Drop)) {
        for message in self.droppable.leave(room) {
            self.bytes -= message.cost(self.form);
            dropped(&message, Drop::Closed);
        }
    }

    /// Queues the close frame. With `flush` it leaves after all that waits; without, what has not begun
    /// to leave is dropped. A second call can only withdraw the flush; the first close frame stays.
    pub fn close(&mut self, frame: Box<[u8]>, flush: bool, dropped: &mut impl FnMut(&Message, Drop)) {
        if !flush {
            self.clear(Drop::Closed, dropped);
        }
        if !self.is_closing() {
            self.close = Close::Queued(frame);
            // No more comes, and the close frame waits behind what there is.
            self.droppable.begin(false);
        }
    }

    /// Drops what waits and has not begun to leave, handshake replies excepted.
    pub fn clear(&mut self, reason: Drop, dropped: &mut impl FnMut(&Message, Drop)) {
        while let Some(message) = self.urgent.pop_front().or_else(|| self.reliable.pop()) {
            self.bytes -= message.cost(self.form);
            dropped(&message, reason);
        }
        self.clear_droppable(reason, dropped);
        self.replay = None;
    }

    /// Drops what may be dropped.
    pub fn clear_droppable(&mut self, reason: Drop, dropped: &mut impl FnMut(&Message, Drop)) {
        self.droppable.clear(|message| {
            self.bytes -= message.cost(self.form);
            dropped(&message, reason);
        });
    }

    /// Drops all that waits, for the connection has ended; a message of which only a part has left, too.
    pub fn end(&mut self, dropped: &mut impl FnMut(&Message, Drop)) {
        if let Some(Begun { frame: Frame::Message(message), is_again: false, .. }) = self.begun.take() {
            self.bytes -= message.cost(self.form);
            dropped(&message, Drop::Closed);
        }
        self.clear(Drop::Closed, dropped);
    }

    /// Messages that were never sent.
    fn new_messages(&self) -> usize {
        self.urgent.len() + self.reliable.len() + self.droppable.len()
    }

    fn fits(&self, cost: usize) -> bool {
        // A message that was let in may be larger in its envelope. It must not wait for room that can never be.
        let is_alone = self.form.codec.has_envelopes() && self.messages() == 0;
        self.bytes + cost <= self.limit + self.allowance || is_alone
    }

    /// Drops the oldest droppable messages until `cost` more bytes fit; false when that is not enough.
    fn make_room(&mut self, cost: usize, dropped: &mut impl FnMut(&Message, Drop)) -> bool {
        while !self.fits(cost) {
            if !self.drop_oldest(dropped) {
                return false;
            }
        }
        true
    }

    fn drop_oldest(&mut self, dropped: &mut impl FnMut(&Message, Drop)) -> bool {
        let Some(oldest) = self.droppable.pop_oldest() else { return false };
        self.bytes -= oldest.cost(self.form);
        dropped(&oldest, Drop::Oldest);
        true
    }
}

#[derive(Debug)]
enum Close {
    Open,
    Queued(Box<[u8]>),
    Sent,
}

pub mod account;
mod control;
mod handover;
pub mod lane;
pub mod probes;
pub mod replay;
mod rooms;
pub mod skipped;
pub mod window;
mod writing;
#[cfg(test)]
pub(crate) mod tests;
