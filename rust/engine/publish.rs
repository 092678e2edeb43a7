//! Publishing. Under the lock of its room, a message is numbered, kept and queued. Also sends messages to one
//! connection or to all.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mio::Waker;

use crate::engine::forget::FORGOTTEN;
use crate::engine::message_builder::{Draft, Stamp};
use crate::engine::{Engine, Handle};
use crate::error::Error;
use crate::message::{Delivery, KeyId, Message, OVERHEAD, Role};
use crate::protocol::codec::Codec;
use crate::protocol::envelope::Kind;
use crate::protocol::form::Form;
use crate::queues::command::Command;
use crate::room::Room;
use crate::room::forgotten::When;
use crate::room::members::Headcount;
use crate::room::table::RoomEntry;
use crate::slots::ConnId;

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
        let kind = if codec.is_text() { Kind::Text } else { Kind::Binary };
        let draft = Draft { kind, payload: envelope, role, id: None, ack: false, key: None, delivery: None };
        self.check()?;
        let message = self.builder.message(draft)?;
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
        self.published.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Sends a message to the members of a room except those in `except`, which is sorted. Returns its number in the
    /// room. Every member gets the messages of a room in the order of their numbers, whichever threads published them.
    pub fn publish(&self, name: &str, draft: Draft<'_>, except: &[ConnId]) -> Result<u64, Error> {
        self.check()?;
        let mut wake = Vec::new();
        let result = self.publish_quietly(name, draft, except, &mut wake);
        wake_all(&mut wake);
        result
    }

    /// Publishes like [`Self::publish`], but wakes no threads: it adds them to `wake`, and the caller wakes them with
    /// [`wake_all`] after its last message. Only threads that do not exist in a forked child may call it, so the
    /// process is not checked.
    pub fn publish_quietly(
        &self,
        name: &str,
        draft: Draft<'_>,
        except: &[ConnId],
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<u64, Error> {
        self.check_state()?;
        self.builder.check(draft)?;
        let seq = self.rooms.with(name, self.builder.now_us(), |entry| self.queue(entry, draft, None, except, wake))?;
        self.published.fetch_add(1, Relaxed);
        Ok(seq)
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
            if shard.queue.is_full() {
                self.refused.fetch_add(1, Relaxed);
                let (what, limit) = ("the queue of a shard", shard.queue.max_items());
                return Err(Error::Overloaded { what, limit, field: "queue_bytes" });
            }
        }
        Ok(())
    }

    /// Numbers a message, unless `stamp` has its number, and queues it, under its room's lock. Adds the threads that
    /// have to be woken to `wake`.
    pub(super) fn queue(
        &self,
        RoomEntry { room, headcount }: &mut RoomEntry,
        draft: Draft<'_>,
        stamp: Option<Stamp>,
        except: &[ConnId],
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<u64, Error> {
        let delivery = delivery_of(room, &draft)?;
        let has_members = headcount.total() > 0;
        let shards = || self.shards.iter().enumerate().filter(|&(index, _)| headcount.in_shard(index) > 0);
        self.refuse_if_full(shards().map(|(_, shard)| shard))?;
        let prev = room.position().seq;
        let seq = stamp.map_or(prev + 1, |stamp| stamp.seq);
        let is_forgetting = draft.role == FORGOTTEN;
        let (key, key_name) = if is_forgetting {
            let name = draft.key.unwrap_or_default();
            let (key, name) = room.forget(name, self.rooms.kept());
            if let Some(Stamp { ts_ms, .. }) = stamp {
                room.note_forgotten(&name, When::at(seq, ts_ms));
            }
            (key, Some(name))
        } else {
            self.key(room, draft, delivery)?.unzip()
        };
        room.advance_to(seq);
        let is_kept = (key_name.is_some() && !is_forgetting) || room.settings().history > 0;
        if is_kept || has_members {
            let mut metadata = self.builder.metadata(room, delivery, None);
            (metadata.key, metadata.key_name) = (key, key_name);
            if let Some(Stamp { ts_ms, .. }) = stamp {
                (metadata.ts_ms, metadata.prev) = (ts_ms, Some(prev));
            }
            let message = self.builder.build(draft.role, draft.kind, draft.payload, metadata);
            self.spread(&message, headcount, except, wake);
            if is_kept {
                room.keep(&message, self.rooms.kept());
            }
        }
        Ok(seq)
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
        for (_, shard) in self.shards.iter().enumerate().filter(|&(index, _)| headcount.in_shard(index) > 0) {
            let command = Command::Publish { message: Arc::clone(message), except: except.into() };
            if shard.queue.push(command, message.cost(Form::RAW)) {
                wake.push(Arc::clone(&shard.waker));
            }
        }
    }
}

/// Wakes writing threads. Must not be called under a room's lock: it is a system call, and the woken thread may take
/// the processor.
pub fn wake_all(wake: &mut Vec<Arc<Waker>>) {
    for waker in wake.drain(..) {
        // Fails only if the descriptor is broken; the thread then wakes at its next timer.
        let _ = waker.wake();
    }
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
