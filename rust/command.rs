//! What a shard is told, and what it tells: the words between the threads.

use std::borrow::Cow;
use std::sync::Arc;

use crate::account::Account;
use crate::batch::Messages;
use crate::codec::Codec;
use crate::form::Form;
use crate::members::Headcount;
use crate::message::{Message, RoomId};
use crate::report::Report;
use crate::slots::ConnId;
use crate::wire::table::{self, welcome_reason};

/// What a shard is told.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields say nothing but their names")]
pub enum Command<L> {
    /// A connection begins, with a session or without. Its link begins with the bytes of `greeting` and, unless it is
    /// empty, the envelope `first`.
    Open { conn: ConnId, link: L, form: Form, has_session: bool, greeting: Box<[u8]>, first: Box<[u8]>, source: Source },
    /// A session goes on over another link. The link that it still has is retired, as by [`Command::Retire`].
    Resume(Box<Resume<L>>),
    /// The link of a connection is ended at once, if it still is this one, as if its peer had reset it.
    Cut { conn: ConnId, link: ConnId },
    /// The link of a session is retired, if it still is this one: it finishes the frame that it has begun, and ends with
    /// a close frame. The session goes on without it or, if it `is_over`, ends, whatever link it has.
    Retire { conn: ConnId, link: ConnId, retired: Retired, is_over: bool },
    /// What the peer reports of what has come. From the first report on that says what its application has taken, only so
    /// much of each room's droppable messages is under way to it as its window lets out.
    Report { conn: ConnId, report: Box<Report> },
    /// The host wants no more of a connection, and of its session. A link that it still has is ended at once.
    Gone { conn: ConnId },
    /// Bytes that are no message, ahead of all messages.
    Raw { conn: ConnId, bytes: Box<[u8]> },
    /// An envelope that is no message, ahead of all messages.
    Control { conn: ConnId, codec: Codec, envelope: Box<[u8]> },
    /// A message to one connection.
    Send { conn: ConnId, message: Arc<Message> },
    /// A message to the members of its room, less the sorted `except`.
    Publish { message: Arc<Message>, except: Box<[ConnId]> },
    /// A message to every connection, less the sorted `except`.
    Broadcast { message: Arc<Message>, except: Box<[ConnId]> },
    /// A membership begins, with what has to come before the stream. Sessions get that also when it has begun already.
    Join { conn: ConnId, room: RoomId, headcount: Arc<Headcount>, before: Box<[Arc<Message>]> },
    /// A membership ends.
    Leave { conn: ConnId, room: RoomId },
    /// What was read of a link that is read elsewhere; none: its end.
    Feed { conn: ConnId, link: ConnId, bytes: Option<Box<[u8]>> },
    /// The host has handled some of the messages of a connection: more may be read.
    ReadOn { conn: ConnId },
    /// The host wants no more messages of a connection for now, or wants them again.
    Hold { conn: ConnId, is_held: bool },
    /// Close with this frame; `flush`: after all that waits.
    Close { conn: ConnId, frame: Box<[u8]>, flush: bool },
    /// See [`Link::grant`].
    Grant { conn: ConnId, bytes: usize },
    /// What a test wants to happen on the thread.
    #[cfg(test)]
    Test(crate::shard::tests::Hook),
}

/// How a session goes on over another link.
#[derive(Debug)]
pub struct Resume<L> {
    /// The session's connection.
    pub conn: ConnId,
    /// The link.
    pub link: L,
    /// The link's name, and the connection that it is when the session cannot go on.
    pub as_new: ConnId,
    /// What becomes of the link that the session still has.
    pub retired: Retired,
    /// How the client speaks now.
    pub form: Form,
    /// How many messages of the session the client has received.
    pub received: u64,
    /// Bytes that the link begins with.
    pub greeting: Box<[u8]>,
    /// The envelope that follows them when the session goes on.
    pub accepted: Box<[u8]>,
    /// The one that follows when it cannot, by [`Unresumed`].
    pub refused: [Box<[u8]>; UNRESUMED.len()],
    /// What the link has to be read for.
    pub source: Source,
}

/// Why a session cannot go on over another link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Unresumed {
    /// It has ended, or is about to.
    Closed,
    /// More waited for it than may, or what its client lacks is no longer kept.
    Overflow,
    /// It speaks another codec.
    Codec,
}

impl Unresumed {
    /// The word of the protocol.
    pub fn name(self) -> &'static str {
        UNRESUMED[self as usize].1
    }
}

/// All of them with their names, in the order of their numbers.
pub const UNRESUMED: [(Unresumed, &str); 3] = [
    (Unresumed::Closed, welcome_reason::CLOSED),
    (Unresumed::Overflow, welcome_reason::OVERFLOW),
    (Unresumed::Codec, welcome_reason::CODEC),
];

/// What a link has to be read for.
#[derive(Debug)]
pub struct Source {
    /// What was read of it already.
    pub rest: Box<[u8]>,
    /// How many times as much as others the client may send; 0: as much as it likes.
    pub times: f64,
}

/// How a link ends that no longer is its session's. Nothing is told of it but its end, which comes within `close_timeout`.
#[derive(Debug)]
pub struct Retired {
    /// Its id from now on. Given back at once where there is no link to retire.
    pub id: ConnId,
    /// The close frame.
    pub frame: Box<[u8]>,
}

/// Why the engine ended a connection or a link, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its queue reached its limit with messages that must not be dropped.
    Slow,
    /// The whole engine was over its budget, and this connection held the most.
    Budget,
    /// No pong came in time.
    Unanswered,
    /// The closing handshake was not finished in time.
    CloseTimeout,
    /// The peer reset the connection, or another error of the link.
    Reset,
    /// The peer ended the connection without a close frame.
    Eof,
    /// The closing handshake is over.
    Over,
    /// The host wanted it.
    Cut,
}

impl Cause {
    /// Whether the peer need not take what was written.
    pub fn is_abrupt(self) -> bool {
        !matches!(self, Self::Eof | Self::Over)
    }
}

/// What a shard tells. A connection is named by its link here: by its id or, once its session has gone on over
/// another link, by the id that this was given ([`Command::Resume`]); a session without a link by its id.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say nothing but their names")]
pub enum Event {
    /// The engine has begun to close a connection on its own account.
    Closing { conn: ConnId, cause: Cause },
    /// A connection has ended, whoever ended it. Named by its id, and told once, before [`Event::Closed`] if that follows.
    Ended { conn: ConnId, account: Account },
    /// The engine has ended a connection; its id is stale from now on.
    Closed { conn: ConnId, cause: Cause },
    /// The link of a session was lost; the session goes on without.
    Parked { conn: ConnId, cause: Cause },
    /// A session goes on over this link.
    Resumed { conn: ConnId, link: ConnId },
    /// A session cannot go on; the link is a connection of its own.
    Refused { conn: ConnId, link: ConnId, why: Unresumed },
    /// Bytes for a link that is drained elsewhere.
    Data { conn: ConnId, bytes: Box<[u8]> },
    /// Such a link has had all its bytes, and its peer has closed it.
    Finish { conn: ConnId },
    /// So many bytes of what was fed of such a link were read.
    Read { conn: ConnId, bytes: usize },
    /// Messages of the peer: of the link `conn`, and the connection `of`.
    Messages { conn: ConnId, of: ConnId, messages: Messages },
    /// The peer has sent a close frame. It was answered, unless it has one of the codes that [`Event::may_ask`] names.
    PeerClosed { conn: ConnId, code: Option<u16>, reason: Box<str> },
    /// The peer broke a rule, and its connection is closed with this code.
    Broke { conn: ConnId, code: u16, reason: &'static str },
    /// There is something to say of a newcomer: see [`Newcomers::news`](crate::newcomers::Newcomers::news).
    Newcomer { conn: ConnId },
    /// A newcomer has gone. Tells the host only if it was told of it.
    NewcomerGone { conn: ConnId },
    /// For the log: a newcomer was refused; so many before it were not told of. Status 0: none can be accepted,
    /// or they can again.
    TurnedAway { remote: String, status: u16, reason: Cow<'static, str>, suppressed: u64 },
    /// A thread has panicked.
    Failed { what: String },
}

impl Event {
    /// The link whose messages it comes after.
    pub fn follows(&self) -> Option<ConnId> {
        match *self {
            Self::Closed { conn, .. }
            | Self::Parked { conn, .. }
            | Self::PeerClosed { conn, .. }
            | Self::Broke { conn, .. } => Some(conn),
            _ => None,
        }
    }

    /// How many messages of a client were refused already, if it tells of nothing else.
    pub fn refused(&self) -> Option<usize> {
        match self {
            Self::Messages { messages, .. } => messages.refused(),
            _ => None,
        }
    }

    /// Whether a client says by a close code that it comes back, so that the host decides about its session, and answers.
    pub fn may_ask(code: Option<u16>) -> bool {
        code.is_some_and(|code| table::RECONNECT.contains(&code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_in_the_order_of_their_numbers() {
        for (place, (why, _)) in UNRESUMED.iter().enumerate() {
            assert_eq!(*why as usize, place);
        }
    }
}
