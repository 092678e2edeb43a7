//! Who is in a room: joins with what came before, and leaves.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::message_builder::{JoinReply, Joined};
use crate::error::Error;
use crate::message::{Delivery, Message};
use crate::queues::command::Command;
use crate::room::table::Entry;
use crate::room::{Position, Unrecovered};
use crate::slots::ConnId;

/// From where a membership is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entrance {
    /// What came after this comes first.
    pub since: Option<Position>,
    /// There is no joining without all of that.
    pub only_whole: bool,
    /// The connection is a member already, and wants what it has missed.
    pub again: bool,
}

impl Engine {
    /// Makes a connection a member of a room. What came after `since` comes first, if all of that is kept; otherwise, in a
    /// room of latest values, the newest of every key. Then comes the stream, with nothing between and nothing twice.
    ///
    /// A session gets a `joined` message ahead of all that, by `reply`.
    pub fn join(
        &self,
        conn: ConnId,
        name: &str,
        Entrance { since, only_whole, again }: Entrance,
        reply: Option<JoinReply<'_>>,
    ) -> Result<Joined, Error> {
        self.check()?;
        let shard = self.shard_of(conn);
        self.refuse_if_full(shard)?;
        let now_us = self.mint.now_us();
        self.rooms.with(name, now_us, |Entry { room, headcount }| {
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
                before.insert(0, self.mint.joined(room, since, joined, reply));
            }
            headcount.join(conn.shard());
            let headcount = Arc::clone(headcount);
            shard.push(Command::Join { conn, room: room.id(), headcount, before: before.into() }, 0);
            Ok(joined)
        })
    }

    /// Where a room is now; makes the room if need be.
    pub fn position(&self, name: &str) -> Result<Position, Error> {
        self.check()?;
        self.rooms.with(name, self.mint.now_us(), |entry| Ok(entry.room.position()))
    }

    /// Ends a membership.
    pub fn leave(&self, conn: ConnId, name: &str) -> Result<(), Error> {
        self.check()?;
        match self.rooms.find(name, |entry| entry.room.id()) {
            Some(room) => self.tell(conn, Command::Leave { conn, room }, 0),
            None => Ok(()),
        }
    }

    /// How many members a room has.
    pub fn members(&self, name: &str) -> usize {
        self.rooms.find(name, |entry| entry.headcount.total()).unwrap_or_default()
    }

    /// The newest message of each key of a room.
    pub fn snapshot(&self, name: &str) -> Vec<Arc<Message>> {
        self.rooms.find(name, |entry| entry.room.snapshot()).unwrap_or_default()
    }
}
