//! What a shard is told, and what it tells: the words between the threads.

use std::sync::Arc;

use crate::account::Account;
use crate::envelope::Encoding;
use crate::members::Headcount;
use crate::message::{Message, RoomId};
use crate::slots::ConnId;

/// What a shard is told.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields say nothing but their names")]
pub enum Command<L> {
    /// A connection begins; one that speaks in envelopes has a session.
    Open { conn: ConnId, link: L, encoding: Encoding },
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
    },
    /// The link of a session is lost, if it still is this one; the session goes on without.
    Park { conn: ConnId, link: ConnId },
    /// The link of a session is retired, if it still is this one: it finishes the frame that it has begun, and ends with
    /// a close frame. The session goes on without it or, if it `is_over`, ends, whatever link it has.
    Retire { conn: ConnId, link: ConnId, retired: Retired, is_over: bool },
    /// The peer has received so many messages of its session.
    Received { conn: ConnId, count: u64 },
    /// Its application has taken what a room (0: none) has among the first `count` messages of the session. From the first
    /// on, only so much of each room's droppable messages is under way to it as its window lets out.
    Taken { conn: ConnId, room: RoomId, count: u64 },
    /// The peer is gone; nothing can be written any more.
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
    /// The peer has sent a ping.
    Ping { conn: ConnId, payload: Box<[u8]> },
    /// The peer has sent a pong; to one of the probes behind droppable messages, with the number of it.
    Pong { conn: ConnId, probe: Option<u64> },
    /// Close with this frame; `flush`: after all that waits.
    Close { conn: ConnId, frame: Box<[u8]>, flush: bool },
    /// See [`Link::grant`].
    Grant { conn: ConnId, bytes: usize },
    /// What a test wants to happen on the thread.
    #[cfg(test)]
    Test(crate::shard::tests::Hook),
}

/// How a link ends that no longer is its session's. Nothing is told of it, and it is over after `close_timeout` at the
/// latest.
#[derive(Debug)]
pub struct Retired {
    /// Its id from now on. Given back at once where there is no link to retire.
    pub id: ConnId,
    /// The close frame.
    pub frame: Box<[u8]>,
}

/// Why the engine ended a connection, or is about to.
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
    /// Such a link has had all its bytes.
    Finish { conn: ConnId },
    /// The shard's thread has panicked.
    Failed { what: String },
}
