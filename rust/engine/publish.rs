//! Publishing: a message is numbered, kept and queued under its room's lock. And messages to one connection, or to all.

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
use crate::room::table::Entry;
use crate::slots::ConnId;

impl Engine {
    /// Sends a whole envelope to a session, ahead of all messages and not counted among them.
    pub fn send_control(&self, conn: ConnId, codec: Codec, envelope: &[u8]) -> Result<(), Error> {
        self.tell(conn, Command::Control { conn, codec, envelope: envelope.into() }, envelope.len())
    }

    /// Sends a whole envelope to a session. Never refused, for it answers a message that was taken; what waits is
    /// bounded by the messages that are read, and by the connection's limit.
    /// What is `is_urgent` goes ahead of what waits, and does not wait for the peer's application.
    pub fn send_envelope(&self, conn: ConnId, codec: Codec, envelope: &[u8], is_urgent: bool) -> Result<(), Error> {
        let role = if is_urgent { Role::Urgent } else { Role::Whole };
        let kind = if codec.is_text() { Kind::Text } else { Kind::Binary };
        let draft = Draft { kind, payload: envelope, role, id: None, ack: false, key: None, delivery: None };
        self.check()?;
        let message = self.mint.message(draft)?;
        self.tell(conn, Command::Send { conn, message }, envelope.len() + OVERHEAD)
    }

    /// Sends a message to one connection.
    pub fn send(&self, conn: ConnId, draft: Draft<'_>) -> Result<(), Error> {
        self.check()?;
        let message = self.mint.message(draft)?;
        self.refuse_if_full(self.shard_of(conn))?;
        self.tell(conn, Command::Send { conn, message }, draft.payload.len() + OVERHEAD)
    }

    /// Sends a message to every connection except some.
    pub fn broadcast(&self, draft: Draft<'_>, except: &[ConnId]) -> Result<(), Error> {
        self.check()?;
        let message = self.mint.message(draft)?;
        self.refuse_if_full(&self.shards)?;
        for shard in &self.shards {
            let command = Command::Broadcast { message: Arc::clone(&message), except: except.into() };
            shard.push(command, draft.payload.len() + OVERHEAD);
        }
        self.published.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Sends a message to the members of a room except some, sorted; returns its number in the room. Every
    /// member sees the messages of a room in the order of their numbers, whichever threads published them.
    pub fn publish(&self, name: &str, draft: Draft<'_>, except: &[ConnId]) -> Result<u64, Error> {
        self.check()?;
        let mut wake = Vec::new();
        let result = self.publish_quietly(name, draft, except, &mut wake);
        ring(&mut wake);
        result
    }

    /// The same, but the threads that write may sleep on: the caller has more to publish, and wakes them with [`ring`].
    /// The caller is a thread that no fork copies, so it need not be asked for its process.
    pub fn publish_quietly(
        &self,
        name: &str,
        draft: Draft<'_>,
        except: &[ConnId],
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<u64, Error> {
        self.check_state()?;
        self.mint.check(draft)?;
        let seq = self.rooms.with(name, self.mint.now_us(), |entry| self.queue(entry, draft, None, except, wake))?;
        self.published.fetch_add(1, Relaxed);
        Ok(seq)
    }

    /// Tells the sessions in a room of an event, which has no number of its own and is not kept.
    pub fn notify(&self, name: &str, label: &'static str, payload: &str, except: &[ConnId]) -> Result<(), Error> {
        self.check()?;
        let mut wake = Vec::new();
        self.rooms.find(name, |Entry { room, headcount }| {
            self.tell_room(room, headcount, label, payload, except, &mut wake);
        });
        ring(&mut wake);
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

    /// Numbers a message, unless it has its number already, and queues it, under its room's lock; adds the shards that
    /// have to be woken to `wake`.
    pub(super) fn queue(
        &self,
        Entry { room, headcount }: &mut Entry,
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
            let mut about = self.mint.about(room, delivery, None);
            (about.key, about.key_name) = (key, key_name);
            if let Some(Stamp { ts_ms, .. }) = stamp {
                (about.ts_ms, about.prev) = (ts_ms, Some(prev));
            }
            let message = self.mint.build(draft.role, draft.kind, draft.payload, about);
            self.spread(&message, headcount, except, wake);
            if is_kept {
                room.keep(&message, self.rooms.kept());
            }
        }
        Ok(seq)
    }

    /// What a message replaces, if anything.
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
        let about = self.mint.about(room, Delivery::Reliable, Some(self.mint.next_id("e")));
        let message = self.mint.build(Role::Event(label), Kind::Json, payload.as_bytes(), about);
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

/// Wakes threads that write. Not under a room's lock: a system call, after which the woken thread may have the processor.
pub fn ring(wake: &mut Vec<Arc<Waker>>) {
    for waker in wake.drain(..) {
        // Fails only if the descriptor is broken; the thread then looks at its next timer.
        let _ = waker.wake();
    }
}

/// The delivery class of a message in a room, which has to suit its key.
pub(super) fn delivery_of(room: &Room, draft: &Draft<'_>) -> Result<Delivery, Error> {
    let delivery = draft.delivery.unwrap_or(room.settings().delivery);
    if draft.key.is_some() && delivery != Delivery::Latest {
        let name = room.name();
        return Err(Error::Invalid(format!("a key needs the delivery class `latest`; room {name:?} has another one")));
    }
    Ok(delivery)
}
