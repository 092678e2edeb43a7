//! What a shard is told, and what it tells: the words between the threads.

use std::sync::Arc;

use crate::members::Headcount;
use crate::message::{Message, RoomId};
use crate::slots::ConnId;

/// What a shard is told.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields say nothing but their names")]
pub enum Command<L> {
    /// A connection begins.
    Open { conn: ConnId, link: L },
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
    /// A membership begins, with what has to come before the stream.
    Join { conn: ConnId, room: RoomId, headcount: Arc<Headcount>, snapshot: Box<[Arc<Message>]> },
    /// A membership ends.
    Leave { conn: ConnId, room: RoomId },
    /// The peer has sent a ping.
    Ping { conn: ConnId, payload: Box<[u8]> },
    /// The peer has sent a pong.
    Pong { conn: ConnId },
    /// Close with this frame; `flush`: after all that waits.
    Close { conn: ConnId, frame: Box<[u8]>, flush: bool },
    /// See [`Link::grant`].
    Grant { conn: ConnId, bytes: usize },
    /// What a test wants to happen on the thread.
    #[cfg(test)]
    Test(crate::shard::tests::Hook),
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

/// What a shard tells.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say nothing but their names")]
pub enum Event {
    /// The engine has begun to close a connection on its own account.
    Closing { conn: ConnId, cause: Cause },
    /// The engine has ended a connection; its id is stale from now on.
    Closed { conn: ConnId, cause: Cause },
    /// Bytes for a link that is drained elsewhere.
    Data { conn: ConnId, bytes: Box<[u8]> },
    /// Such a link has had all its bytes.
    Finish { conn: ConnId },
    /// The shard's thread has panicked.
    Failed { what: String },
}
