//! Memberships: joining a room with the messages that were missed, and leaving it.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::message_builder::{JoinReply, Joined};
use crate::error::Error;
use crate::message::{Delivery, Message};
use crate::queues::command::Command;
use crate::room::table::RoomEntry;
use crate::room::{Position, Unrecovered};
use crate::slots::ConnId;

/// How a connection joins a room.
#[derive(Debug, Clone, Copy, Default)]
pub struct JoinOptions {
    /// The position of the client: the messages after it are sent first.
    pub since: Option<Position>,
    /// Whether the join fails unless all of them are kept.
    pub only_whole: bool,
    /// Whether the connection is a member already, and only wants the messages that it missed.
    pub again: bool,
}

impl Engine {
    /// Makes a connection a member of a room. If all messages after `since` are kept, they are sent first. Otherwise,
    /// in a `latest` room, the newest value of every key is. Then the stream follows without a gap or a duplicate.
    ///
    /// A session first gets a `joined` message, which `reply` describes.
    pub fn join(
        &self,
        conn: ConnId,
        name: &str,
        JoinOptions { since, only_whole, again }: JoinOptions,
        reply: Option<JoinReply<'_>>,
    ) -> Result<Joined, Error> {
        self.check()?;
        let shard = self.shard_of(conn);
        self.refuse_if_full(shard)?;
        let now_us = self.builder.now_us();
        self.rooms.with(name, now_us, |RoomEntry { room, headcount }| {
            let max = room.settings().max_members;
            if !again && headcount.total() >= max {
                return Err(Error::Full { what: "the room", limit: max });
            }
            let position = room.position();
            let found = since.map_or(Err(Unrecovered::History), |since| room.since(since, now_us, self.rooms.kept()));
            let joined = Joined { position, recovered: found.as_ref().map(|_| ()).map_err(|&why| why) };
            let (Some(shard), false) = (shard, only_whole && found.is_err()) else { return Ok(joined) };
            let mut before = match found {
                Ok(missed) => missed,
                Err(_) if room.settings().delivery == Delivery::Latest => room.snapshot(),
                Err(_) => Vec::new(),
            };
            if let Some(reply) = reply {
                before.insert(0, self.builder.joined(room, since, joined, reply));
            }
            headcount.join(conn.shard());
            let headcount = Arc::clone(headcount);
            shard.push(Command::Join { conn, room: room.id(), headcount, before: before.into() }, 0);
            Ok(joined)
        })
    }

    /// Returns the position of a room. Creates the room if it does not exist.
    pub fn position(&self, name: &str) -> Result<Position, Error> {
        self.check()?;
        self.rooms.with(name, self.builder.now_us(), |entry| Ok(entry.room.position()))
    }

    /// Ends a membership.
    pub fn leave(&self, conn: ConnId, name: &str) -> Result<(), Error> {
        self.check()?;
        match self.rooms.find(name, |entry| entry.room.id()) {
            Some(room) => self.tell(conn, Command::Leave { conn, room }, 0),
            None => Ok(()),
        }
    }

    /// Returns the number of members of a room.
    pub fn members(&self, name: &str) -> usize {
        self.rooms.find(name, |entry| entry.headcount.total()).unwrap_or_default()
    }

    /// Returns the newest message of each key of a room.
    pub fn snapshot(&self, name: &str) -> Vec<Arc<Message>> {
        self.rooms.find(name, |entry| entry.room.snapshot()).unwrap_or_default()
    }
}
