//! Memberships: joining a room with the messages that were missed, and leaving it.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::message_builder::{JoinReply, Joined};
use crate::error::Error;
use crate::interest::{MemberWish, Values};
use crate::message::{Delivery, Message};
use crate::outbox::rates::MemberRates;
use crate::queues::command::Command;
use crate::room::table::RoomEntry;
use crate::room::{Position, Room, Unrecovered};
use crate::slots::ConnId;

/// How a connection joins a room.
#[derive(Debug, Clone, Default)]
pub struct JoinOptions {
    /// The position of the client: the messages after it are sent first.
    pub since: Option<Position>,
    /// Whether the join fails unless all of them are kept.
    pub only_whole: bool,
    /// Whether the connection is a member already, and only wants the messages that it missed.
    pub again: bool,
    /// Which messages it wants.
    pub wish: MemberWish,
    /// Without a position: so many of the newest messages that are kept are sent first.
    pub last: Option<usize>,
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
        JoinOptions { since, only_whole, again, wish, last }: JoinOptions,
        reply: Option<JoinReply<'_>>,
    ) -> Result<Joined, Error> {
        self.check()?;
        let shard = self.shard_of(conn);
        self.refuse_if_full(shard)?;
        let now_us = self.builder.now_us();
        self.rooms.with(name, now_us, |RoomEntry { room, headcount }| {
            if matches!(wish, MemberWish::Filter(Some(_))) {
                check_interest(room, "a filter")?;
            }
            let max = room.settings().max_members;
            if !again && headcount.total() >= max {
                return Err(Error::Full { what: "the room", limit: max });
            }
            let position = room.position();
            let last = last.filter(|_| since.is_none()).map(|most| room.before_last(most, now_us, self.rooms.kept()));
            let since = since.or(last);
            let found = since.map_or(Err(Unrecovered::History), |since| room.since(since, now_us, self.rooms.kept()));
            let kept = last.and_then(|before| found.as_ref().ok().map(|missed| (before.seq, missed.len())));
            let joined = Joined { position, recovered: found.as_ref().map(|_| ()).map_err(|&why| why), kept };
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
            shard.push(Command::Join { conn, room: room.id(), headcount, before: before.into(), wish }, 0);
            Ok(joined)
        })
    }

    /// Changes the attributes of a connection in a room that the change names, at once or when it joins. Creates the
    /// room if it does not exist. Does not wake the shard for it: the next message does, or many changes.
    pub fn change_attributes(&self, conn: ConnId, name: &str, change: Values) -> Result<(), Error> {
        self.check()?;
        let Some(shard) = self.shard_of(conn) else { return Ok(()) };
        self.refuse_if_full([shard])?;
        self.rooms.with(name, self.builder.now_us(), |RoomEntry { room, .. }| {
            check_interest(room, "attributes")?;
            let command = Command::Attributes { conn, room: room.id(), change };
            if shard.queue.push_lazily(command, ATTRIBUTES_BYTES, LAZY) {
                // Fails only if the descriptor is broken; the thread then wakes at its next timer.
                let _ = shard.waker.wake();
            }
            Ok(())
        })
    }

    /// Changes which messages a member wants.
    pub fn wish(&self, conn: ConnId, name: &str, wish: MemberWish) -> Result<(), Error> {
        self.check()?;
        let room = self.rooms.with(name, self.builder.now_us(), |RoomEntry { room, .. }| {
            if matches!(wish, MemberWish::Filter(Some(_))) {
                check_interest(room, "a filter")?;
            }
            Ok(room.id())
        })?;
        self.tell(conn, Command::Wish { conn, room, wish }, 0)
    }

    /// Sets how often and how much of a room a member gets.
    pub fn configure(&self, conn: ConnId, name: &str, rates: MemberRates) -> Result<(), Error> {
        self.check()?;
        match self.rooms.find(name, |entry| (entry.room.id(), entry.room.settings().interest)) {
            Some((room, is_alone)) => {
                let rates = MemberRates { is_alone, ..rates };
                self.tell(conn, Command::Configure { conn, room, rates }, 0)
            }
            None => Ok(()),
        }
    }

    /// Returns the position of a room. Creates the room if it does not exist.
    pub fn position(&self, name: &str) -> Result<Position, Error> {
        self.check()?;
        self.rooms.with(name, self.builder.now_us(), |entry| Ok(entry.room.position()))
    }

    /// Returns the bytes of the messages after a position, which a member that joins from there gets first. Fails if
    /// some of them are not kept.
    pub fn bytes_since(&self, name: &str, since: Position) -> Result<Result<usize, Unrecovered>, Error> {
        self.check()?;
        let now_us = self.builder.now_us();
        self.rooms.with(name, now_us, |entry| Ok(entry.room.bytes_since(since, now_us, self.rooms.kept())))
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

/// Fails unless the rule of a room allows attributes, conditions and filters.
pub(super) fn check_interest(room: &Room, what: &str) -> Result<(), Error> {
    if room.settings().interest {
        return Ok(());
    }
    let name = room.name();
    Err(Error::Invalid(format!("{what} needs a room with interest, and the rule of room {name:?} does not have it")))
}

/// Changes of attributes that may wait for a shard that sleeps.
const LAZY: usize = 256;

/// What a change of attributes counts for in the queue of a shard.
const ATTRIBUTES_BYTES: usize = 128;
