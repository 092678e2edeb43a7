//! The outgoing queue of one connection. Pure: it writes to a [`Sink`] and knows no socket.
//!
//! It sends in this order: control frames, urgent messages, reliable messages, droppable messages, and a close frame
//! last. Messages of rooms go by their priority first (`tiers`). Droppable messages have a lane for each room
//! (`RoomLanes`). Order holds within a lane. A frame that has begun to leave is finished first, because frames must not
//! be interleaved (RFC 6455 section 5.4).
//!
//! The outbox of a session also keeps what it has sent ([`Replay`]). After a lost link it sends again what the peer has
//! missed, ahead of all other messages.
//!
//! A window bounds the droppable messages that are under way, because only messages that wait here can be replaced or
//! dropped. Reliable messages have no window: it would not make them fresher.
//!
//! A connection may take batches. Then what waits is joined when it is written ([`Joins`](joins::Joins)).
//!
//! The queue is bounded in bytes. At the bound, the delivery class of each message decides ([`Delivery`]). Every
//! message that does not leave is reported to the caller with a [`Drop`] reason.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::message::{Delivery, Message, Priority, RoomId};
use crate::outbox::control::{Control, ControlKind};
use crate::outbox::deltas::Deltas;
use crate::outbox::ending::Close;
use crate::outbox::lane::Lane;
use crate::outbox::probes::ProbeKey;
use crate::outbox::replay::Replay;
use crate::outbox::rooms::RoomLanes;
use crate::outbox::tiers::Tiers;
use crate::outbox::writing::{Begun, Frame};
use crate::protocol::envelope;
use crate::protocol::form::Form;
use crate::protocol::framing::Framing;
use crate::slots::ConnId;
use crate::stats::Drop;

/// Where an outbox writes: a socket, or a fake in tests.
pub trait Sink {
    /// Writes as much as can be taken without blocking; `WouldBlock` if that is nothing.
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// The result of [`Outbox::push`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// The message waits, or was dropped by its delivery class and reported.
    Done,
    /// The message must not be dropped and does not fit: the connection has to be closed.
    Overflow,
}

/// The state after [`Outbox::flush`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to write.
    Empty,
    /// The sink takes no more for now.
    Blocked,
    /// More waits than one write carries; the sink may take it.
    More,
    /// All that may leave has left; the rest waits for a window.
    Held,
    /// The close frame has left, and nothing may follow it.
    Closed,
}

/// The result of one flush.
#[derive(Debug, Clone, Copy)]
pub struct Flushed {
    /// The state afterwards.
    pub progress: Progress,
    /// Messages that left completely.
    pub messages: usize,
    /// Bytes written.
    pub bytes: usize,
}

/// The outgoing queue of one connection.
#[derive(Debug)]
pub struct Outbox {
    begun: Option<Begun>,
    control: VecDeque<Control>,
    urgent: VecDeque<Arc<Message>>,
    reliable: Lane,
    /// Only if there are messages of another than the usual priority.
    tiers: Option<Box<Tiers>>,
    droppable: RoomLanes,
    close: Close,
    bytes: usize,
    limit: usize,
    allowance: usize,
    form: Form,
    has_session: bool,
    /// What was sent and not acknowledged; only while it has a session.
    replay: Option<Box<Replay>>,
    /// The key for probes; none if no probes are sent.
    probe_key: Option<(ProbeKey, ConnId)>,
    /// Which values the peer has; only if it takes deltas.
    deltas: Option<Box<Deltas>>,
}

impl Outbox {
    /// Creates an empty queue for at most `limit` bytes of messages in this form.
    pub fn new(limit: usize, form: Form) -> Self {
        Self {
            begun: None,
            control: VecDeque::new(),
            urgent: VecDeque::new(),
            reliable: Lane::default(),
            tiers: None,
            droppable: RoomLanes::new(form),
            close: Close::Open,
            bytes: 0,
            limit,
            allowance: 0,
            form,
            has_session: false,
            replay: None,
            probe_key: None,
            deltas: form.has_deltas.then(Box::default),
        }
    }

    /// Creates the queue of a session, which keeps at most `replay_limit` bytes of sent messages until they are
    /// acknowledged.
    pub fn of_session(limit: usize, form: Form, replay_limit: usize) -> Self {
        let replay = Some(Box::new(Replay::new(replay_limit, form)));
        Self { has_session: true, replay, ..Self::new(limit, form) }
    }

    /// Sends probes after droppable messages, until the peer reports what its application has taken. Only over a
    /// WebSocket, because only its pings are answered.
    pub fn with_probes(mut self, probe_key: ProbeKey, conn: ConnId) -> Self {
        self.probe_key = Some((probe_key, conn));
        self.droppable.begin(self.has_probes());
        self
    }

    /// Returns the form in which messages are written.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whether it belongs to a session, which survives the loss of its link.
    pub fn has_session(&self) -> bool {
        self.has_session
    }

    /// Returns what was sent and may have to be sent again; only of a session.
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

    /// Returns the number of messages that wait and have not begun to leave.
    pub fn messages(&self) -> usize {
        self.new_messages() + self.replay.as_ref().map_or(0, |replay| replay.pending())
    }

    /// Returns the number of messages that it refers to.
    pub fn references(&self) -> usize {
        self.new_messages() + self.replay.as_ref().map_or(0, |replay| replay.len())
    }

    /// Returns the bytes that wait, overhead included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns when the oldest message that waits was published, in microseconds since the engine started; none if no
    /// message waits.
    pub fn oldest_us(&self) -> Option<u64> {
        let begun = match &self.begun {
            Some(Begun { frame: Frame::Message(message), .. }) => Some(message),
            _ => None,
        };
        let again = self.replay.as_ref().and_then(|replay| replay.first_pending());
        let tiers = self.tiers.iter().flat_map(|tiers| tiers.high.get(0).into_iter().chain(tiers.low.get(0)));
        let lanes = self.urgent.front().into_iter().chain(self.reliable.get(0)).chain(tiers);
        let first = begun.into_iter().chain(again).chain(lanes).chain(self.droppable.first());
        first.map(|message| message.published_us).min()
    }

    /// Whether some messages wait for a window.
    pub fn is_held(&self) -> bool {
        self.droppable.is_held()
    }

    /// Whether droppable messages of a room wait.
    pub fn waits(&self, room: RoomId) -> bool {
        self.droppable.waits(room)
    }

    /// Whether a close frame was queued or sent. Nothing more is accepted then.
    pub fn is_closing(&self) -> bool {
        !matches!(self.close, Close::Open)
    }

    /// Queues a message by its delivery class.
    pub fn push(&mut self, message: &Arc<Message>, dropped: &mut impl FnMut(&Message, Drop)) -> Push {
        if self.is_closing() {
            dropped(message, Drop::Closed);
            return Push::Done;
        }
        let cost = message.cost(self.form);
        let is_normal = message.priority() == Priority::Normal;
        if !is_normal {
            self.expect_tiers();
        }
        let message = self.deltas.as_mut().map_or(message.whole(), |deltas| deltas.choose(message));
        match message.delivery() {
            Delivery::Reliable => {
                if !self.make_room(cost, dropped) {
                    return Push::Overflow;
                }
                self.bytes += cost;
                if message.is_urgent() {
                    self.urgent.push_back(Arc::clone(message));
                } else {
                    let lane = if is_normal { &mut self.reliable } else { self.lane_of(message) };
                    lane.push(Arc::clone(message));
                }
            }
            Delivery::Latest | Delivery::DropOldest => {
                if message.key().is_some()
                    // A delta to the value that it replaces would be a delta to one that never leaves.
                    && let Some(old) = self.droppable.replace(message.whole(), cost)
                {
                    self.bytes = self.bytes + cost - old.cost(self.form);
                    let is_limited = self.droppable.is_limited(message.room());
                    dropped(&old, if is_limited { Drop::Rate } else { Drop::Replaced });
                    // A value may be larger than the one that it replaced.
                    self.make_room(0, dropped);
                } else if self.make_room(cost, dropped) {
                    self.bytes += cost;
                    self.droppable.push(message, cost);
                    if message.key().is_none() {
                        self.drop_late(message.room(), dropped);
                    }
                } else {
                    self.missed(message);
                    dropped(message, Drop::Newest);
                }
            }
            Delivery::DropNewest => {
                // A message must not be dropped because of what other rooms have waiting.
                while !self.fits(cost) && !self.droppable.has_most(message.room()) && self.drop_oldest(dropped) {}
                if self.fits(cost) {
                    self.bytes += cost;
                    self.droppable.push(message, cost);
                    self.drop_late(message.room(), dropped);
                } else {
                    dropped(message, Drop::Newest);
                }
            }
        }
        Push::Done
    }

    /// Queues the snapshot that a joiner gets before the stream, past the limit if necessary: it is bounded by its
    /// room, and a part of it would be a gap. The limit holds again when all of it has left.
    pub fn push_snapshot(&mut self, snapshot: &[Arc<Message>], dropped: &mut impl FnMut(&Message, Drop)) -> Push {
        self.allowance += snapshot.iter().map(|message| message.cost(self.form)).sum::<usize>();
        self.deltas.iter_mut().for_each(|deltas| deltas.joined(snapshot));
        let codec = self.form.codec;
        for message in snapshot.iter().filter(|message| message.speaks(codec)) {
            self.droppable.grant(message);
            if self.push(message, dropped) == Push::Overflow {
                return Push::Overflow;
            }
        }
        Push::Done
    }

    /// Notes that the application has taken the messages of a room (0: no room is named) among the first `count`
    /// messages of the session. From the first call on, each room has a window, and the peer is told when its size
    /// changes. An impossible count is ignored.
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
            self.push_at_most(1, Control { kind: ControlKind::Window(room), bytes: frame });
        }
    }

    /// Notes that the peer has answered a probe.
    pub fn answered(&mut self, probe: u64, now_us: u64) {
        self.droppable.answered(probe, now_us);
    }

    /// Drops the droppable messages of a room that the connection has left.
    pub fn leave(&mut self, room: RoomId, dropped: &mut impl FnMut(&Message, Drop)) {
        self.deltas.iter_mut().for_each(|deltas| deltas.left(room));
        for message in self.droppable.leave(room) {
            self.bytes -= message.cost(self.form);
            dropped(&message, Drop::Closed);
        }
    }

    fn has_probes(&self) -> bool {
        self.probe_key.is_some() && !self.form.framing.is_one_way()
    }

    fn fits(&self, cost: usize) -> bool {
        // A message that was accepted may be larger in its envelope, or as an event. It must not wait for space that will
        // never exist.
        let is_larger = self.form.codec.has_envelopes() || self.form.framing == Framing::EventStream;
        let is_alone = is_larger && self.messages() == 0;
        self.bytes + cost <= self.limit + self.allowance || is_alone
    }

    /// Drops the oldest droppable messages until `cost` more bytes fit. Returns false if that is not enough.
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
        self.missed(&oldest);
        dropped(&oldest, Drop::Oldest);
        true
    }
}

pub mod account;
mod control;
mod deltas;
mod ending;
mod handover;
pub mod joins;
pub mod lane;
mod limits;
pub mod probes;
pub mod rates;
pub mod replay;
mod rooms;
pub mod skipped;
mod tiers;
pub mod window;
mod writing;
#[cfg(test)]
pub(crate) mod tests;
