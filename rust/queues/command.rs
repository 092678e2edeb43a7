//! The values that threads exchange: commands to a shard, and events from it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::interest::{MemberWish, Values};
use crate::message::{Message, RoomId};
use crate::outbox::account::Account;
use crate::outbox::rates::MemberRates;
use crate::protocol::codec::Codec;
use crate::protocol::form::Form;
use crate::protocol::report::Report;
use crate::queues::batch::Messages;
use crate::queues::connection_reading::ConnectionReading;
use crate::queues::slow_readers::SlowReaders;
use crate::room::members::Headcount;
use crate::slots::ConnId;
use crate::wire::refusal::About;
use crate::wire::table::{self, welcome_reason};

/// A command to a shard.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields say nothing but their names")]
pub enum Command<L> {
    /// Opens a connection with or without a session. Its link starts with the greeting and, unless it is empty, the
    /// envelope `first`.
    Open { conn: ConnId, link: L, form: Form, has_session: bool, greeting: Greeting, first: Box<[u8]>, source: Source },
    /// Resumes a session over another link. The link that it still has is retired as by [`Command::Retire`].
    Resume(Box<Resume<L>>),
    /// Ends the link of a connection at once, as if the peer had reset it, if `link` still is its link.
    Cut { conn: ConnId, link: ConnId },
    /// Retires the link of a session, if `link` still is its link: it finishes the frame that it has begun and ends
    /// with a close frame. The session goes on without it or, if it `is_over`, ends, whatever link it has.
    Retire { conn: ConnId, link: ConnId, retired: Retired, is_over: bool },
    /// The peer reports what it has received. From the first report on that says what its application has taken, a
    /// window bounds the droppable messages of each room that are under way.
    Report { conn: ConnId, report: Box<Report> },
    /// Ends a connection and its session. A link that it still has is ended at once.
    Gone { conn: ConnId },
    /// Sends raw bytes ahead of all messages.
    Raw { conn: ConnId, bytes: Box<[u8]> },
    /// Sends an envelope that is no message, ahead of all messages.
    Control { conn: ConnId, codec: Codec, envelope: Box<[u8]> },
    /// Sends a message to one connection.
    Send { conn: ConnId, message: Arc<Message> },
    /// Sends a message to the members of its room, except those in the sorted `except`.
    Publish { message: Arc<Message>, except: Box<[ConnId]> },
    /// Messages of one room that are queued together before anything is written: each is a [`Command::Publish`].
    Together(Box<VecDeque<Self>>),
    /// Sends a message to every connection, except those in the sorted `except`.
    Broadcast { message: Arc<Message>, except: Box<[ConnId]> },
    /// Begins a membership, with the messages that come before the stream. A session gets these also if it is a member
    /// already.
    Join { conn: ConnId, room: RoomId, headcount: Arc<Headcount>, before: Box<[Arc<Message>]>, wish: MemberWish },
    /// Changes the attributes of a member that the change names, or keeps them for the join of the connection.
    Attributes { conn: ConnId, room: RoomId, change: Values },
    /// Changes what a member wants to get.
    Wish { conn: ConnId, room: RoomId, wish: MemberWish },
    /// Sets how often and how much of a room a member gets.
    Configure { conn: ConnId, room: RoomId, rates: MemberRates },
    /// Ends a membership.
    Leave { conn: ConnId, room: RoomId },
    /// Frames of a one-way link's client, which came by another request. A sign of life.
    Post { conn: ConnId, link: ConnId, frames: Box<[u8]> },
    /// A link of polls may write once, after what follows the first `received` messages. A sign of life.
    Poll { conn: ConnId, link: ConnId, received: u64 },
    /// The host has handled some messages of a connection, so more may be read.
    ReadOn { conn: ConnId },
    /// Stops or continues reading messages of a connection.
    Hold { conn: ConnId, is_held: bool },
    /// Closes a connection with a close frame, without a code an empty one. It comes after all that waits if `flush`.
    Close { conn: ConnId, code: Option<u16>, reason: Box<str>, flush: bool },
    /// Lists the `most` slowest readers. If nobody waits for the answer any more, it is dropped.
    Slowest { most: usize, answer: Sender<SlowReaders> },
    /// Tells what a connection is doing; none if there is no such connection.
    Describe { conn: ConnId, answer: Sender<Option<ConnectionReading>> },
    /// Runs a closure of a test on the thread.
    #[cfg(test)]
    Test(tests::Hook),
}

/// How a session is resumed over another link.
#[derive(Debug)]
pub struct Resume<L> {
    /// The connection of the session.
    pub conn: ConnId,
    /// The new link.
    pub link: L,
    /// The id of the link, which is also the id of its own connection if the session cannot be resumed.
    pub as_new: ConnId,
    /// How the session's former link is retired.
    pub retired: Retired,
    /// The form that the client uses now.
    pub form: Form,
    /// How many messages of the session the client has received.
    pub received: u64,
    /// How many refusals of the session's messages the host has counted. The answers of later ones are
    /// withdrawn, because the client sends these messages again.
    pub refusals: u64,
    /// The beginning of the link.
    pub greeting: Greeting,
    /// The envelope that follows if the session is resumed.
    pub accepted: Box<[u8]>,
    /// The envelope that follows if it cannot be resumed, for each [`Unresumed`].
    pub refused: [Box<[u8]>; UNRESUMED.len()],
    /// How the link is read.
    pub source: Source,
}

/// Why a session cannot be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Unresumed {
    /// It has ended or is about to.
    Closed,
    /// Too much waited for it, or what its client has missed is no longer kept.
    Overflow,
    /// It has another codec.
    Codec,
}

impl Unresumed {
    /// Returns the reason as the protocol names it.
    pub fn name(self) -> &'static str {
        UNRESUMED[self as usize].1
    }
}

/// All reasons with their names, in the order of their numbers.
pub const UNRESUMED: [(Unresumed, &str); 3] = [
    (Unresumed::Closed, welcome_reason::CLOSED),
    (Unresumed::Overflow, welcome_reason::OVERFLOW),
    (Unresumed::Codec, welcome_reason::CODEC),
];

/// How a link is read.
#[derive(Debug)]
pub struct Source {
    /// Bytes that were already read of it.
    pub rest: Box<[u8]>,
    /// How many times the usual rates the client may send; 0: no limit.
    pub times: f64,
}

/// How the former link of a session is closed. The host is told only of its end, which comes within `close_timeout`.
#[derive(Debug)]
pub struct Retired {
    /// The id of the link from now on. It is given back at once if there is no link to retire.
    pub id: ConnId,
    /// The code of its close frame.
    pub code: u16,
    /// The reason in its close frame.
    pub reason: Box<str>,
}

/// The beginning of a link.
#[derive(Debug)]
pub enum Greeting {
    /// The first bytes, such as the head of a response.
    Bytes(Box<[u8]>),
    /// The head of a response that is complete with the first envelope, except for its length and the empty line. It
    /// does not belong to the link: [`Link::answer`](crate::shard::Link::answer) writes it.
    Response(Box<[u8]>),
}

/// Why the engine has ended or closes a connection or a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its queue reached the limit with messages that must not be dropped.
    Slow,
    /// The whole engine was over its budget, and this connection held most.
    Budget,
    /// No pong came in time.
    Unanswered,
    /// The closing handshake was not finished in time.
    CloseTimeout,
    /// The peer reset the connection, or the link had another error.
    Reset,
    /// The peer ended the connection without a close frame.
    Eof,
    /// The closing handshake is complete.
    Over,
    /// The host asked for it.
    Cut,
}

impl Cause {
    /// Whether the peer need not receive what was written.
    pub fn is_abrupt(self) -> bool {
        !matches!(self, Self::Eof | Self::Over)
    }
}

/// An event of a shard or the acceptor. A connection is named by its link: by its own id or, after its session was
/// resumed, by the id of the new link ([`Command::Resume`]). A session without a link is named by its own id.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say nothing but their names")]
pub enum Event {
    /// The engine has begun to close a connection for a reason of its own.
    Closing { conn: ConnId, cause: Cause },
    /// A connection has ended for any reason. It is named by its own id. Comes once, before [`Event::Closed`] if that
    /// follows.
    Ended { conn: ConnId, account: Account },
    /// The engine has ended a connection; its id is stale from now on.
    Closed { conn: ConnId, cause: Cause },
    /// A session has lost its link and goes on without it.
    Parked { conn: ConnId, cause: Cause },
    /// A session was resumed over this link.
    Resumed { conn: ConnId, link: ConnId },
    /// A session could not be resumed; the link is a connection of its own.
    Refused { conn: ConnId, link: ConnId, why: Unresumed },
    /// The answer to a poll. A link of polls has one such event for each poll; it is empty if the next poll came first.
    Data { conn: ConnId, bytes: Box<[u8]> },
    /// This many of the bytes that were posted for a one-way link were decoded.
    Read { conn: ConnId, bytes: usize },
    /// Messages of the peer: `conn` is the link, `of` the connection.
    Messages { conn: ConnId, of: ConnId, messages: Messages },
    /// The peer has sent a close frame. It was answered, unless it has one of the codes of [`Event::may_ask`].
    PeerClosed { conn: ConnId, code: Option<u16>, reason: Box<str> },
    /// The peer broke a rule, and its connection is closed with this code.
    Broke { conn: ConnId, code: u16, reason: &'static str },
    /// There is news of a newcomer; see [`Newcomers::news`](crate::newcomers::Newcomers::news).
    Newcomer { conn: ConnId },
    /// A newcomer has gone. The host is told only if it knows of the newcomer.
    NewcomerGone { conn: ConnId },
    /// For the log: a newcomer was refused, and `suppressed` refusals before it were not reported. Status 0:
    /// connections cannot be accepted, or can be again.
    TurnedAway { remote: String, status: u16, reason: Cow<'static, str>, suppressed: u64, asked: About },
    /// Messages have left with the tick of their room: pairs of a ticket and a number in the room.
    Numbered { numbers: Vec<(u64, u64)> },
    /// The edge of this number of a rate that the host leads.
    Tick { hz: u32, number: u64 },
    /// A room was made that matches a pattern; see [`Engine::watch_rooms`](crate::engine::Engine::watch_rooms).
    Room { name: Box<str> },
    /// A thread has panicked.
    Failed { what: String },
}

impl Event {
    /// Returns the link whose messages have to come before this event.
    pub fn follows(&self) -> Option<ConnId> {
        match *self {
            Self::Closed { conn, .. }
            | Self::Parked { conn, .. }
            | Self::PeerClosed { conn, .. }
            | Self::Broke { conn, .. } => Some(conn),
            _ => None,
        }
    }

    /// Returns how many messages of a client were refused already, if the event tells of nothing else.
    pub fn refused(&self) -> Option<usize> {
        match self {
            Self::Messages { messages, .. } => messages.refused(),
            _ => None,
        }
    }

    /// Whether a close code says that the client may come back, so that the host decides about its session and answers.
    /// Browsers close with 1001 by themselves when a page is loaded again, Firefox before any script can tell another code.
    pub fn may_ask(code: Option<u16>) -> bool {
        code.is_some_and(|code| table::RECONNECT.contains(&code) || code == table::close_code::GOING_AWAY)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A closure that the thread of a shard runs, by [`Command::Test`].
    pub struct Hook(pub Box<dyn FnOnce() + Send>);

    impl std::fmt::Debug for Hook {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Hook")
        }
    }

    #[test]
    fn reasons_stand_in_the_order_of_their_numbers() {
        for (place, (why, _)) in UNRESUMED.iter().enumerate() {
            assert_eq!(*why as usize, place);
        }
    }
}
