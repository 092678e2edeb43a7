//! Publishing. Under the lock of its room, a message is numbered, kept and queued. Also sends messages to one
//! connection or to all.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mio::Waker;

use crate::engine::forget::FORGOTTEN;
use crate::engine::membership::check_interest;
use crate::engine::message_builder::{Draft, Stamp};
use crate::engine::{Engine, Handle};
use crate::error::Error;
use crate::message::{Delivery, KeyId, Message, OVERHEAD, Role};
use crate::protocol::codec::Codec;
use crate::protocol::envelope::Kind;
use crate::protocol::form::Form;
use crate::queues::command::Command;
use crate::queues::queue::QueueLimit;
use crate::recording::entry::HERE;
use crate::recording::recorder::record;
use crate::room::Room;
use crate::room::forgotten::When;
use crate::room::members::Headcount;
use crate::room::table::RoomEntry;
use crate::slots::ConnId;
use crate::stats::rules::RuleId;

impl Engine {
    /// Sends a whole envelope to a session, ahead of all messages. The session does not count it as a message.
    pub fn send_control(&self, conn: ConnId, codec: Codec, envelope: &[u8]) -> Result<(), Error> {
        self.tell(conn, Command::Control { conn, codec, envelope: envelope.into() }, envelope.len())
    }

    /// Sends a whole envelope to a session. It is never refused, because it answers a message that was accepted. What
    /// waits is bounded by the messages that are read, and by the connection's limit. An urgent envelope goes ahead of
    /// what waits, and does not wait for the window.
    pub fn send_envelope(&self, conn: ConnId, codec: Codec, envelope: &[u8], is_urgent: bool) -> Result<(), Error> {
        let role = if is_urgent { Role::Urgent } else { Role::Whole };
        self.check()?;
        let message = self.builder.message(whole(codec, envelope, role))?;
        self.tell(conn, Command::Send { conn, message }, envelope.len() + OVERHEAD)
    }

    /// Sends a message to one connection.
    pub fn send(&self, conn: ConnId, draft: Draft<'_>) -> Result<(), Error> {
        self.check()?;
        let message = self.builder.message(draft)?;
        self.refuse_if_full(self.shard_of(conn))?;
        self.tell(conn, Command::Send { conn, message }, draft.payload.len() + OVERHEAD)
    }

    /// Sends a message to every connection except those in `except`, which is sorted.
    pub fn broadcast(&self, draft: Draft<'_>, except: &[ConnId]) -> Result<(), Error> {
        self.check()?;
        let message = self.builder.message(draft)?;
        self.refuse_if_full(&self.shards)?;
        for shard in &self.shards {
            let command = Command::Broadcast { message: Arc::clone(&message), except: except.into() };
            shard.push(command, draft.payload.len() + OVERHEAD);
        }
        self.count_published(RuleId::NO_ROOM);
        Ok(())
    }

    /// Sends a message to the members of a room except those in `except`, which is sorted. Returns its number in the
    /// room; 0: the room has a tick, and the message gets its number at the next edge. Every member gets the messages of
    /// a room in the order of their numbers, whichever threads published them.
    pub fn publish(&self, name: &str, draft: Draft<'_>, except: &[ConnId]) -> Result<u64, Error> {
        self.publish_for(name, draft, except, 0)
    }

    /// Publishes like [`Self::publish`]. If the message waits for a tick, [`Event::Numbered`] tells its number, with the
    /// `ticket`; 0: nobody wants to know it.
    ///
    /// [`Event::Numbered`]: crate::queues::command::Event::Numbered
    pub fn publish_for(&self, name: &str, draft: Draft<'_>, except: &[ConnId], ticket: u64) -> Result<u64, Error> {
        self.check()?;
        self.builder.check(draft)?;
        let mut wake = Vec::new();
        let result = self.rooms.with(name, self.builder.now_us(), |entry| {
            let settings = entry.room.settings();
            let seq = match settings.tick {
                0 => self.queue(entry, draft, None, HERE, except, &mut wake)?,
                _ => self.keep_waiting(entry, draft, None, HERE, except, ticket).map(|()| 0)?,
            };
            Ok((seq, settings.rule))
        });
        wake_all(&mut wake);
        let (seq, rule) = result?;
        self.count_published(rule);
        Ok(seq)
    }

    pub(super) fn count_published(&self, rule: RuleId) {
        self.published.fetch_add(1, Relaxed);
        self.published_by_rule[rule.index()].fetch_add(1, Relaxed);
    }

    /// Sends an event to the sessions in a room. It has no number of its own and is not kept.
    pub fn notify(&self, name: &str, label: &'static str, payload: &str, except: &[ConnId]) -> Result<(), Error> {
        self.check()?;
        let mut wake = Vec::new();
        self.rooms.find(name, |RoomEntry { room, headcount }| {
            self.tell_room(room, headcount, label, payload, except, &mut wake);
        });
        wake_all(&mut wake);
        Ok(())
    }

    pub(super) fn refuse_if_full<'a>(&self, shards: impl IntoIterator<Item = &'a Handle>) -> Result<(), Error> {
        for shard in shards {
            let (what, limit, field) = match shard.queue.full() {
                None => continue,
                Some(QueueLimit::Items(limit)) => ("the queue of a shard", limit, "queue_items"),
                Some(QueueLimit::Bytes(limit)) => ("the queue of a shard (in bytes)", limit, "queue_bytes"),
            };
            self.refused.fetch_add(1, Relaxed);
            return Err(Error::Overloaded { what, limit, field });
        }
        Ok(())
    }

    /// Numbers a message, unless `stamp` has its number, and queues it, under its room's lock. Adds the threads that
    /// have to be woken to `wake`. `origin` is the node that it comes from, for recordings.
    pub(super) fn queue(
        &self,
        RoomEntry { room, headcount }: &mut RoomEntry,
        draft: Draft<'_>,
        stamp: Option<Stamp>,
        origin: u64,
        except: &[ConnId],
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<u64, Error> {
        // A wrong message is the caller's error, also when a queue is full.
        checked(room, &draft, stamp.is_some())?;
        self.refuse_if_full(self.shards_with(headcount))?;
        let (seq, message) = self.number(room, headcount, draft, stamp, origin, wake)?;
        if let Some(message) = message {
            self.spread(&message, headcount, except, wake);
        }
        Ok(seq)
    }

    /// Returns the shards that have members of a room.
    pub(super) fn shards_with<'a>(&'a self, headcount: &'a Headcount) -> impl Iterator<Item = &'a Handle> + Clone {
        let shards = self.shards.iter().enumerate();
        shards.filter(|&(index, _)| headcount.in_shard(index) > 0).map(|(_, shard)| shard)
    }

    /// Numbers a message, unless `stamp` has its number, builds it, keeps it in its room and gives it to the recordings,
    /// under the room's lock. Returns no message if nobody would get it.
    pub(super) fn number(
        &self,
        room: &mut Room,
        headcount: &Headcount,
        draft: Draft<'_>,
        stamp: Option<Stamp>,
        origin: u64,
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<(u64, Option<Arc<Message>>), Error> {
        let has_members = headcount.total() > 0;
        let delivery = checked(room, &draft, stamp.is_some())?;
        let position = room.position().seq;
        let seq = stamp.map_or(position + 1, |stamp| stamp.seq);
        let is_forgetting = draft.role == FORGOTTEN;
        let (key, key_name) = if is_forgetting {
            let name = draft.key.unwrap_or_default();
            let (key, name) = room.forget(name, self.rooms.kept());
            if let Some(Stamp { ts_ms, .. }) = stamp {
                room.note_forgotten(&name, When::at(seq, ts_ms));
            }
            // Also of a key without a value here: it must not be taken for another one.
            (Some(key.unwrap_or_else(|| self.rooms.new_id())), Some(name))
        } else {
            self.key(room, draft, delivery)?.unzip()
        };
        room.advance_to(seq);
        let is_kept = (key_name.is_some() && !is_forgetting) || room.settings().history > 0;
        let mut built = None;
        if is_kept || has_members || room.recorders().is_some() {
            let mut metadata = self.builder.metadata(room, delivery, None);
            (metadata.key, metadata.key_name) = (key, key_name);
            if let Some(Stamp { ts_ms, prev, .. }) = stamp {
                (metadata.ts_ms, metadata.prev) = (ts_ms, Some(prev.map_or(position, |prev| prev.min(position))));
            }
            metadata.audience = draft.audience.map(Arc::clone);
            let now_us = self.builder.now_us();
            let rule = room.settings().rule;
            // Of one member there is no spread.
            let sample = (self.spreads.is_due(rule, now_us) && headcount.total() > 1)
                .then(|| self.spreads.begin(rule, self.shards_with(headcount).count(), now_us))
                .flatten();
            metadata.trace = self.traces.begin(room.name(), seq, sample, now_us, self.builder.started());
            let message = self.builder.build_at(draft, metadata, now_us);
            record(room.recorders(), &message, origin, wake);
            let delta = room.base(&message).filter(|_| has_members);
            let delta = delta.map(|base| Arc::new(Message::delta(&message, base, self.builder.deltas())));
            if is_kept {
                room.keep(&message, self.rooms.kept());
            }
            built = Some(delta.unwrap_or(message));
        }
        Ok((seq, built))
    }

    /// Returns the key of a message in a `latest` room, which is what it replaces.
    pub(super) fn key(
        &self,
        room: &mut Room,
        draft: Draft<'_>,
        delivery: Delivery,
    ) -> Result<Option<(KeyId, Arc<str>)>, Error> {
        match delivery {
            Delivery::Latest => room.key(draft.key.unwrap_or_default(), || self.rooms.new_id()).map(Some),
            _ => Ok(None),
        }
    }

    /// Queues an event for the sessions in a room, under the room's lock.
    pub(super) fn tell_room(
        &self,
        room: &Room,
        headcount: &Headcount,
        label: &'static str,
        payload: &str,
        except: &[ConnId],
        wake: &mut Vec<Arc<Waker>>,
    ) {
        let metadata = self.builder.metadata(room, Delivery::Reliable, Some(self.builder.next_id("e")));
        let message = self.builder.build(Role::Event(label), Kind::Json, payload.as_bytes(), metadata);
        self.spread(&message, headcount, except, wake);
    }

    /// Queues a message for the members of its room, under the room's lock.
    pub(super) fn spread(
        &self,
        message: &Arc<Message>,
        headcount: &Headcount,
        except: &[ConnId],
        wake: &mut Vec<Arc<Waker>>,
    ) {
        let shards = self.shards_with(headcount);
        // Another shard is the first each time, so that the members in none of them always are.
        let count = if self.shards.len() > 1 { shards.clone().count() } else { 1 };
        let first = message.seq() as usize % count.max(1);
        for shard in shards.clone().skip(first).chain(shards.take(first)) {
            let command = Command::Publish { message: Arc::clone(message), except: except.into() };
            if shard.queue.push(command, message.cost(Form::RAW)) {
                wake.push(Arc::clone(&shard.waker));
            }
        }
    }
}

/// Returns the draft of a whole envelope.
pub(super) fn whole(codec: Codec, envelope: &[u8], role: Role) -> Draft<'_> {
    let kind = if codec.is_text() { Kind::Text } else { Kind::Binary };
    Draft { kind, payload: envelope, role, id: None, ack: false, key: None, delivery: None, audience: None }
}

/// Wakes writing threads. Must not be called under a room's lock: it is a system call, and the woken thread may take
/// the processor.
pub fn wake_all(wake: &mut Vec<Arc<Waker>>) {
    for waker in wake.drain(..) {
        // Fails only if the descriptor is broken; the thread then wakes at its next timer.
        let _ = waker.wake();
    }
}

/// Returns the delivery class of a message in its room, if the room takes it. What comes from other nodes or a log keeps
/// its audience, whatever the rule says here.
pub(super) fn checked(room: &Room, draft: &Draft<'_>, is_foreign: bool) -> Result<Delivery, Error> {
    if draft.audience.is_some() && !is_foreign {
        check_interest(room, "a message with `where` or `tags`")?;
    }
    delivery_of(room, draft)
}

/// Returns the delivery class of a message in its room. Fails if the message has a key and the class is not `latest`.
pub(super) fn delivery_of(room: &Room, draft: &Draft<'_>) -> Result<Delivery, Error> {
    let delivery = draft.delivery.unwrap_or(room.settings().delivery);
    if draft.key.is_some() && delivery != Delivery::Latest {
        let name = room.name();
        return Err(Error::Invalid(format!(
            "a key needs the delivery class `latest`, but this message to room {name:?} has another one"
        )));
    }
    Ok(delivery)
}
