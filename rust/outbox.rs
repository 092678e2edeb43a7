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
use std::io::{self, ErrorKind, IoSlice};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::envelope::{self, Encoding};
use crate::frame::{self, Opcode};
use crate::lane::Lane;
use crate::message::{Delivery, Message, RoomId};
use crate::outbox::rooms::Rooms;
use crate::probes::{self, Seal};
use crate::replay::Replay;
use crate::slots::ConnId;

/// Where an outbox writes to: a socket, or a stand-in.
pub trait Sink {
    /// Writes as much as can be taken without waiting; `WouldBlock` when that is nothing.
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// Why a message did not reach a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Drop {
    /// A newer message with the same key took its place.
    Replaced,
    /// The oldest waiting message went, to make room.
    Oldest,
    /// There was no room for the new message.
    Newest,
    /// The whole engine was over its budget.
    Budget,
    /// The connection ended first.
    Closed,
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
    encoding: Encoding,
    replay: Option<Box<Replay>>,
    /// What probes are made with; none are written without.
    seal: Option<(Seal, ConnId)>,
}

impl Outbox {
    /// An empty queue for at most `limit` bytes of messages in this encoding.
    pub fn new(limit: usize, encoding: Encoding) -> Self {
        Self {
            begun: None,
            control: VecDeque::new(),
            urgent: VecDeque::new(),
            reliable: Lane::default(),
            droppable: Rooms::new(encoding),
            close: Close::Open,
            bytes: 0,
            limit,
            allowance: 0,
            encoding,
            replay: None,
            seal: None,
        }
    }

    /// The same for a session: at most `replay_limit` bytes of what was sent are kept until acknowledged.
    pub fn of_session(limit: usize, encoding: Encoding, replay_limit: usize) -> Self {
        let replay = Some(Box::new(Replay::new(replay_limit, encoding)));
        Self { replay, ..Self::new(limit, encoding) }
    }

    /// With probes behind droppable messages, until the peer tells what it has taken.
    pub fn with_probes(mut self, seal: Seal, conn: ConnId) -> Self {
        self.droppable.begin(true);
        Self { seal: Some((seal, conn)), ..self }
    }

    /// How its messages are written.
    pub fn encoding(&self) -> Encoding {
        self.encoding
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
        let cost = message.cost(self.encoding);
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
                    self.bytes = self.bytes + cost - old.cost(self.encoding);
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
        self.allowance += snapshot.iter().map(|message| message.cost(self.encoding)).sum::<usize>();
        let encoding = self.encoding;
        for message in snapshot.iter().filter(|message| message.speaks(encoding)) {
            if self.push(message, dropped) == Push::Overflow {
                return Push::Overflow;
            }
        }
        Push::Done
    }

    /// Queues bytes that are no message ahead of all messages; false when they do not fit, though all has been dropped that
    /// may be.
    pub fn push_raw(&mut self, bytes: Box<[u8]>, dropped: &mut impl FnMut(&Message, Drop)) -> bool {
        let is_taken = !self.is_closing() && self.make_room(bytes.len(), dropped);
        if is_taken {
            self.push_first(bytes);
        }
        is_taken
    }

    /// Queues what its link begins with: past the limit if need be, for it is small, and nothing may come without it.
    pub fn push_first(&mut self, bytes: Box<[u8]>) {
        // An empty frame would wait for a write of no bytes, over and over.
        if !bytes.is_empty() {
            self.push_control(Control { kind: Kind::Raw, bytes });
        }
    }

    /// What a ping carries now: it asks once more for the last answer that is missing, since a peer may answer only the
    /// newest of several pings (RFC 6455 section 5.5.3).
    pub fn ping_payload(&self) -> Option<[u8; 8]> {
        let (seal, conn) = self.seal.as_ref()?;
        Some(seal.payload(*conn, self.droppable.unanswered()?))
    }

    /// Queues a ping.
    pub fn push_ping(&mut self, frame: Box<[u8]>) {
        self.push_at_most(1, Control { kind: Kind::Ping, bytes: frame });
    }

    /// Queues a pong. At most [`PONGS_MAX`] wait, and then the oldest goes: an endpoint "MAY elect to send a Pong
    /// frame for only the most recently processed Ping" (RFC 6455 section 5.5.3), which bounds what a flood of pings
    /// can make us hold.
    pub fn push_pong(&mut self, frame: Box<[u8]>) {
        self.push_at_most(PONGS_MAX, Control { kind: Kind::Pong, bytes: frame });
    }

    /// Queues a heartbeat that the peer's program sees, of a session.
    pub fn push_heartbeat(&mut self) {
        let frame = match self.encoding {
            Encoding::Raw => return,
            Encoding::Json => frame::encode(Opcode::Text, br#"{"type":"ping"}"#),
            Encoding::Msgpack => frame::encode(Opcode::Binary, b"\x81\xa4type\xa4ping"),
        };
        self.push_at_most(1, Control { kind: Kind::Heartbeat, bytes: frame });
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
            && let Some(frame) = envelope::window(self.encoding, &name, bytes)
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
            self.bytes -= message.cost(self.encoding);
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
            self.bytes -= message.cost(self.encoding);
            dropped(&message, reason);
        }
        self.clear_droppable(reason, dropped);
        self.replay = None;
    }

    /// Drops what may be dropped.
    pub fn clear_droppable(&mut self, reason: Drop, dropped: &mut impl FnMut(&Message, Drop)) {
        self.droppable.clear(|message| {
            self.bytes -= message.cost(self.encoding);
            dropped(&message, reason);
        });
    }

    /// Drops all that waits, for the connection has ended; a message of which only a part has left, too.
    pub fn end(&mut self, dropped: &mut impl FnMut(&Message, Drop)) {
        if let Some(Begun { frame: Frame::Message(message), is_again: false, .. }) = self.begun.take() {
            self.bytes -= message.cost(self.encoding);
            dropped(&message, Drop::Closed);
        }
        self.clear(Drop::Closed, dropped);
    }

    /// What its link must have before a close frame: the rest of the frame that has begun to leave, and what is no
    /// message, such as a handshake reply.
    pub fn owed(&self) -> Box<[u8]> {
        let begun = self.begun.iter().map(|begun| &begun.frame.bytes(self.encoding)[begun.written..]);
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
                    self.bytes -= message.cost(self.encoding);
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

    /// Writes what waits, as much as one call of the sink may carry.
    pub fn flush(&mut self, sink: &mut impl Sink, now_us: u64) -> io::Result<Flushed> {
        let mut flushed = Flushed { progress: Progress::More, messages: 0, bytes: 0, oldest_us: None };
        self.plan(now_us);
        if self.may_leave() {
            // Zeroing a large array costs more than a small write's own work.
            let (offered, result) = match self.messages() {
                0..=7 => self.write::<12>(sink),
                _ => self.write::<IOV_MAX>(sink),
            };
            match result {
                Ok(written) => flushed.bytes = written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(flushed),
                Err(error) => return Err(error),
            }
            self.advance(flushed.bytes, &mut flushed, now_us);
            if flushed.bytes < offered {
                flushed.progress = Progress::Blocked;
                return Ok(flushed);
            }
            self.plan(now_us);
        }
        if self.is_empty() {
            self.allowance = 0;
            self.reliable.shrink();
            self.droppable.shrink();
            flushed.progress = if self.is_closing() { Progress::Closed } else { Progress::Empty };
        } else if !self.may_leave() {
            flushed.progress = Progress::Held;
        }
        Ok(flushed)
    }

    /// Offers the next frames to the sink; returns the bytes offered and the sink's answer.
    fn write<const N: usize>(&self, sink: &mut impl Sink) -> (usize, io::Result<usize>) {
        let begun = self.begun.iter().map(|begun| &begun.frame.bytes(self.encoding)[begun.written..]);
        let control = self.control.iter().map(|control| &*control.bytes);
        // What is being written again is still the first that is pending.
        let skip = usize::from(self.begun.as_ref().is_some_and(|begun| begun.is_again));
        let again = self.replay.iter().flat_map(|replay| replay.iter_pending().skip(skip));
        let messages =
            again.chain(&self.urgent).chain(self.reliable.iter()).map(|message| message.frame(self.encoding));
        let mut bufs = [IoSlice::new(&[]); N];
        let (mut count, mut offered) = (0, 0);
        let mut offer = |bytes| {
            bufs[count] = IoSlice::new(bytes);
            count += 1;
            offered += bytes.len();
            if count < N && offered < WRITE_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        // Not a loop: a chain is several times as fast from within.
        let mut flow = begun.chain(control).chain(messages).try_for_each(&mut offer);
        if flow.is_continue() {
            flow = self.droppable.try_each(|message| offer(message.frame(self.encoding)));
        }
        if let Close::Queued(frame) = &self.close
            && flow.is_continue()
            && self.droppable.is_all_planned()
        {
            bufs[count] = IoSlice::new(frame);
            count += 1;
            offered += frame.len();
        }
        (offered, sink.write(&bufs[..count]))
    }

    /// Takes `written` bytes off the front, in the order in which [`Self::write`] offered them.
    fn advance(&mut self, mut written: usize, flushed: &mut Flushed, now_us: u64) {
        while written > 0 {
            let Some(mut next) = self.begun.take().or_else(|| self.pop(now_us)) else { return };
            let left = next.frame.bytes(self.encoding).len() - next.written;
            if written < left {
                next.written += written;
                self.begun = Some(next);
                return;
            }
            written -= left;
            match next.frame {
                Frame::Own(bytes) => self.bytes -= bytes.len(),
                Frame::Message(message) => {
                    flushed.messages += message.count();
                    if next.is_again {
                        self.replay.iter_mut().for_each(|replay| replay.wrote_pending());
                        continue;
                    }
                    flushed.oldest_us = flushed.oldest_us.or(Some(message.published_us));
                    let cost = message.cost(self.encoding);
                    self.bytes -= cost;
                    if let Some(replay) = &mut self.replay {
                        replay.wrote(message, cost);
                    }
                }
            }
        }
    }

    fn pop(&mut self, now_us: u64) -> Option<Begun> {
        let mut is_again = false;
        let frame = if let Some(control) = self.control.pop_front() {
            Frame::Own(control.bytes)
        } else if let Some(message) = self.replay.as_ref().and_then(|replay| replay.first_pending()) {
            is_again = true;
            Frame::Message(Arc::clone(message))
        } else if let Some(message) = self.urgent.pop_front() {
            Frame::Message(message)
        } else if let Some(message) = self.reliable.pop() {
            Frame::Message(message)
        } else if let Some(message) = self.droppable.pop(self.next_index(), now_us) {
            Frame::Message(message)
        } else if let Close::Queued(frame) = &mut self.close
            && self.droppable.len() == 0
        {
            let frame = std::mem::take(frame);
            self.close = Close::Sent;
            self.bytes += frame.len();
            Frame::Own(frame)
        } else {
            return None;
        };
        Some(Begun { frame, written: 0, is_again })
    }

    /// Finds out which droppable messages may leave, and queues a probe if one has to come first.
    fn plan(&mut self, now_us: u64) {
        let probe = self.droppable.plan(IOV_MAX, now_us);
        for (room, name, bytes) in self.droppable.take_new() {
            if let Some(frame) = envelope::window(self.encoding, &name, bytes) {
                self.push_at_most(1, Control { kind: Kind::Window(room), bytes: frame });
            }
        }
        if let Some(probe) = probe
            && let Some((seal, conn)) = &self.seal
        {
            let frame = probes::frame(seal.payload(*conn, probe));
            self.push_control(Control { kind: Kind::Probe, bytes: frame });
        }
    }

    /// Whether anything waits that may be sent now.
    fn may_leave(&self) -> bool {
        !self.is_empty() && (!self.droppable.is_held() || self.droppable.is_ready() || self.has_others())
    }

    /// Whether anything but droppable messages may be sent.
    fn has_others(&self) -> bool {
        self.begun.is_some() || !self.control.is_empty() || self.messages() > self.droppable.len()
    }

    /// The number in the session that the next new message will have.
    fn next_index(&self) -> u64 {
        self.replay.as_ref().map_or(0, |replay| replay.total()) + 1
    }

    /// Messages that were never sent.
    fn new_messages(&self) -> usize {
        self.urgent.len() + self.reliable.len() + self.droppable.len()
    }

    fn push_at_most(&mut self, most: usize, frame: Control) {
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

    fn push_control(&mut self, frame: Control) {
        self.bytes += frame.bytes.len();
        self.control.push_back(frame);
    }

    fn fits(&self, cost: usize) -> bool {
        // A message that was let in may be larger in its envelope. It must not wait for room that can never be.
        let is_alone = self.encoding != Encoding::Raw && self.messages() == 0;
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
        self.bytes -= oldest.cost(self.encoding);
        dropped(&oldest, Drop::Oldest);
        true
    }
}

/// A frame that is being written.
#[derive(Debug)]
struct Begun {
    frame: Frame,
    written: usize,
    /// It was sent before, and stays where it is kept until it is written.
    is_again: bool,
}

#[derive(Debug)]
enum Frame {
    Message(Arc<Message>),
    Own(Box<[u8]>),
}

impl Frame {
    fn bytes(&self, encoding: Encoding) -> &[u8] {
        match self {
            Self::Message(message) => message.frame(encoding),
            Self::Own(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
struct Control {
    kind: Kind,
    bytes: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Raw,
    Ping,
    Pong,
    Heartbeat,
    /// See [`crate::probes`]. No more than one waits: nothing that it would tell of leaves before it.
    Probe,
    /// How large the window of a room is.
    Window(RoomId),
}

#[derive(Debug)]
enum Close {
    Open,
    Queued(Box<[u8]>),
    Sent,
}

/// Pongs that may wait: more than any client has pings under way that wants them answered.
const PONGS_MAX: usize = 16;

/// Buffers in one vectored write. The kernel takes 1,024; past 256 its price per frame no longer falls.
const IOV_MAX: usize = 256;

/// Bytes in one write, about: enough to make the call itself cheap, and no long wait for the next connection.
const WRITE_MAX: usize = 256 << 10;

mod rooms;
#[cfg(test)]
pub(crate) mod tests;
