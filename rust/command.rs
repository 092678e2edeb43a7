//! What a shard is told, and what it tells: the words between the threads.

use std::sync::Arc;

use crate::account::Account;
use crate::envelope::Encoding;
use crate::inbound::Received;
use crate::members::Headcount;
use crate::message::{Message, RoomId};
use crate::slots::ConnId;

/// What a shard is told.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields say nothing but their names")]
pub enum Command<L> {
    /// A connection begins; one that speaks in envelopes has a session. Its link begins with `greeting`.
    Open { conn: ConnId, link: L, encoding: Encoding, greeting: Box<[u8]>, source: Source },
    /// A session goes on over another link, `as_new` by its name, after the first `received` messages. The link begins
    /// with `accepted`. When the session cannot go on the link begins with `refused` and is the connection `as_new`.
    /// The link that the session still has is retired, as by [`Command::Retire`].
    Resume {
        conn: ConnId,
        link: L,
        as_new: ConnId,
        retired: Retired,
        encoding: Encoding,
        received: u64,
        accepted: Box<[u8]>,
        refused: Box<[u8]>,
        source: Source,
    },
    /// The link of a connection is ended at once, if it still is this one, as if its peer had reset it.
    Cut { conn: ConnId, link: ConnId },
    /// The link of a session is retired, if it still is this one: it finishes the frame that it has begun, and ends with
    /// a close frame. The session goes on without it or, if it `is_over`, ends, whatever link it has.
    Retire { conn: ConnId, link: ConnId, retired: Retired, is_over: bool },
    /// The peer has received so many messages of its session.
    Received { conn: ConnId, count: u64 },
    /// A report of the peer counts as so many more.
    Charge { conn: ConnId, reports: usize },
    /// Its application has taken what a room (0: none) has among the first `count` messages of the session. From the first
    /// on, only so much of each room's droppable messages is under way to it as its window lets out.
    Taken { conn: ConnId, room: RoomId, count: u64 },
    /// The host wants no more of a connection, and of its session. A link that it still has is ended at once.
    Gone { conn: ConnId },
    /// Bytes that are no message, ahead of all messages.
    Raw { conn: ConnId, bytes: Box<[u8]> },
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
    Refused { conn: ConnId, link: ConnId },
    /// Bytes for a link that is drained elsewhere.
    Data { conn: ConnId, bytes: Box<[u8]> },
    /// Such a link has had all its bytes, and its peer has closed it.
    Finish { conn: ConnId },
    /// So many bytes of what was fed of such a link were read.
    Read { conn: ConnId, bytes: usize },
    /// Messages of the peer: of the link `conn`, and the connection `of`, with `size` bytes in all.
    Messages { conn: ConnId, of: ConnId, size: usize, messages: Vec<Received> },
    /// The peer has sent a close frame. It was answered, unless it has one of the codes that [`Event::may_ask`] names.
    PeerClosed { conn: ConnId, code: Option<u16>, reason: Box<str> },
    /// The peer broke a rule, and its connection is closed with this code.
    Broke { conn: ConnId, code: u16, reason: &'static str },
    /// The shard's thread has panicked.
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

    /// Whether a client says by a close code that it comes back, so that the host decides about its session, and answers.
    pub fn may_ask(code: Option<u16>) -> bool {
        code.is_some_and(|code| (4000..4500).contains(&code))
    }
}
