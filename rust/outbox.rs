//! One connection's outgoing queue. A pure value: it writes to a [`Sink`] and knows no socket.
//!
//! Four lanes, written in this order: control frames, messages about the connection itself, reliable messages,
//! droppable messages. Within a lane order holds. A frame that has begun to leave is finished first, whatever comes
//! meanwhile: two frames must never mix on the wire (RFC 6455 section 5.4). A close frame leaves last.
//!
//! The outbox of a session also keeps what it has sent ([`Replay`]), and after a lost connection writes again,
//! ahead of all lanes of messages, what its peer has missed. Where the peer tells what its application has taken, no more
//! than what is kept is under way to it; the rest waits here.
//!
//! The queue is bounded in bytes. What happens at the bound is each message's own rule
//! ([`Delivery`]); every message that does not leave is reported to the caller with a [`Drop`] reason.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use crate::envelope::Encoding;
use crate::frame::{self, Opcode};
use crate::lane::Lane;
use crate::message::{Delivery, Message};
use crate::replay::Replay;

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
    /// What waits may not be sent before the peer has taken more of what it was sent.
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
    droppable: Lane,
    close: Close,
    bytes: usize,
    limit: usize,
    allowance: usize,
    encoding: Encoding,
    replay: Option<Box<Replay>>,
}

impl Outbox {
    /// An empty queue for at most `limit` bytes of messages in this encoding.
    pub fn new(limit: usize, encoding: Encoding) -> Self {
        Self {
            begun: None,
            control: VecDeque::new(),
            urgent: VecDeque::new(),
            reliable: Lane::default(),
            droppable: Lane::default(),
            close: Close::Open,
            bytes: 0,
            limit,
            allowance: 0,
            encoding,
            replay: None,
        }
    }

    /// The same for a session: at most `replay_limit` bytes of what was sent are kept until acknowledged.
    pub fn of_session(limit: usize, encoding: Encoding, replay_limit: usize) -> Self {
        let replay = Some(Box::new(Replay::new(replay_limit, encoding)));
        Self { replay, ..Self::new(limit, encoding) }
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

    /// Whether new messages wait until the peer has taken more of what it was sent.
    pub fn is_held(&self) -> bool {
        self.room() == 0 && self.reliable.len() + self.droppable.len() > 0
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
                if let Some(old) = self.droppable.replace(message) {
                    self.bytes = self.bytes + cost - old.cost(self.encoding);
                    dropped(&old, Drop::Replaced);
                    // A value may be larger than the one it replaced.
                    self.make_room(0, dropped);
                } else if self.make_room(cost, dropped) {
                    self.bytes += cost;
                    self.droppable.push(Arc::clone(message));
                } else {
                    dropped(message, Drop::Newest);
                }
            }
            Delivery::DropNewest => {
                if self.fits(cost) {
                    self.bytes += cost;
                    self.droppable.push(Arc::clone(message));
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

    /// Queues bytes that are no message (a handshake reply) ahead of all messages; false when they do not fit.
    pub fn push_raw(&mut self, bytes: Box<[u8]>) -> bool {
        if self.is_closing() || !self.fits(bytes.len()) {
            return false;
        }
        // An empty frame would wait for a write of no bytes, over and over.
        if !bytes.is_empty() {
            self.push_control(Control { kind: Kind::Raw, bytes });
        }
        true
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

    /// Queues the close frame. With `flush` it leaves after all that waits; without, what has not begun
    /// to leave is dropped. A second call can only withdraw the flush; the first close frame stays.
    pub fn close(&mut self, frame: Box<[u8]>, flush: bool, dropped: &mut impl FnMut(&Message, Drop)) {
        if !flush {
            self.clear(Drop::Closed, dropped);
        }
        if !self.is_closing() {
            self.close = Close::Queued(frame);
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
        while let Some(message) = self.droppable.pop() {
            self.bytes -= message.cost(self.encoding);
            dropped(&message, reason);
        }
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
    }

    /// Goes on over another link after the first `received` messages of the session; false when that is not possible.
    pub fn resume(&mut self, received: u64) -> bool {
        !self.is_closing() && self.replay.as_mut().is_some_and(|replay| replay.rewind(received))
    }

    /// Writes what waits, as much as one call of the sink may carry.
    pub fn flush(&mut self, sink: &mut impl Sink) -> io::Result<Flushed> {
        let mut flushed = Flushed { progress: Progress::More, messages: 0, bytes: 0, oldest_us: None };
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
            self.advance(flushed.bytes, &mut flushed);
            if flushed.bytes < offered {
                flushed.progress = Progress::Blocked;
                return Ok(flushed);
            }
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
        let again = again.chain(&self.urgent).map(|message| message.frame(self.encoding));
        let urgent = self.urgent.iter().map(|message| message.cost(self.encoding)).sum();
        let mut room = self.room().saturating_sub(urgent);
        let mut is_held = false;
        let new = self.reliable.iter().chain(self.droppable.iter()).map_while(|message| {
            is_held = room == 0;
            room = room.saturating_sub(message.cost(self.encoding));
            (!is_held).then(|| message.frame(self.encoding))
        });
        let mut bufs = [IoSlice::new(&[]); N];
        let (mut count, mut offered) = (0, 0);
        for bytes in begun.chain(control).chain(again).chain(new).take(N) {
            bufs[count] = IoSlice::new(bytes);
            count += 1;
            offered += bytes.len();
            if offered >= WRITE_MAX {
                break;
            }
        }
        if let Close::Queued(frame) = &self.close
            && count < N
            && offered < WRITE_MAX
            && !is_held
        {
            bufs[count] = IoSlice::new(frame);
            count += 1;
            offered += frame.len();
        }
        (offered, sink.write(&bufs[..count]))
    }

    /// Takes `written` bytes off the front, in the order in which [`Self::write`] offered them.
    fn advance(&mut self, mut written: usize, flushed: &mut Flushed) {
        while written > 0 {
            let Some(mut next) = self.begun.take().or_else(|| self.pop()) else { return };
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

    fn pop(&mut self) -> Option<Begun> {
        let mut is_again = false;
        let frame = if let Some(control) = self.control.pop_front() {
            Frame::Own(control.bytes)
        } else if let Some(message) = self.replay.as_ref().and_then(|replay| replay.first_pending()) {
            is_again = true;
            Frame::Message(Arc::clone(message))
        } else if let Some(message) = self.urgent.pop_front() {
            Frame::Message(message)
        } else if self.is_held() {
            return None;
        } else if let Some(message) = self.reliable.pop().or_else(|| self.droppable.pop()) {
            Frame::Message(message)
        } else if let Close::Queued(frame) = &mut self.close {
            let frame = std::mem::take(frame);
            self.close = Close::Sent;
            self.bytes += frame.len();
            Frame::Own(frame)
        } else {
            return None;
        };
        Some(Begun { frame, written: 0, is_again })
    }

    /// Whether anything waits that may be sent now.
    fn may_leave(&self) -> bool {
        let is_again = self.replay.as_ref().is_some_and(|replay| replay.pending() > 0);
        let is_ahead = self.begun.is_some() || !self.control.is_empty() || !self.urgent.is_empty() || is_again;
        !self.is_empty() && (is_ahead || !self.is_held())
    }

    /// Messages that were never sent.
    fn new_messages(&self) -> usize {
        self.urgent.len() + self.reliable.len() + self.droppable.len()
    }

    /// Bytes of new messages that may be sent. What has begun to leave is not in the replay yet. Once it is closing nothing
    /// is held back: no more comes, and the close frame waits behind it.
    fn room(&self) -> usize {
        if self.is_closing() {
            return usize::MAX;
        }
        let begun = match &self.begun {
            Some(Begun { frame: Frame::Message(message), is_again: false, .. }) => message.cost(self.encoding),
            _ => 0,
        };
        self.replay.as_ref().map_or(usize::MAX, |replay| replay.room().saturating_sub(begun))
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
            let Some(oldest) = self.droppable.pop() else { return false };
            self.bytes -= oldest.cost(self.encoding);
            dropped(&oldest, Drop::Oldest);
        }
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

#[cfg(test)]
pub(crate) mod tests;
