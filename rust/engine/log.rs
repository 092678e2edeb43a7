//! Rooms that are numbered from outside, by a log that several nodes share. Their numbers only grow and may have holes,
//! because one log may hold several rooms.

use std::sync::Arc;

use mio::Waker;

use crate::engine::message_builder::{Draft, Stamp};
use crate::engine::publish::{delivery_of, wake_all};
use crate::engine::{Engine, FORGOTTEN};
use crate::error::Error;
use crate::message::{Delivery, Message, Metadata, kept_size};
use crate::recording::entry::FROM_LOG;
use crate::recording::queue::LeftOut;
use crate::room::forgotten::When;
use crate::room::table::RoomEntry;
use crate::room::{Position, Room};
use crate::slots::ConnId;
use crate::wire::frame;
use crate::wire::table::kind;

impl Engine {
    /// Moves a room to another position, with an empty history. Keeps its newest values. Creates the room if it does
    /// not exist.
    pub fn place(&self, name: &str, position: Position) -> Result<(), Error> {
        self.check()?;
        self.rooms.with(name, self.builder.now_us(), |RoomEntry { room, .. }| {
            room.place(position, self.rooms.kept());
            Ok(())
        })
    }

    /// Says that a room has no message up to this number, so that clients may join from there. Its history stays. Does
    /// nothing if the room is not there, has another epoch or a greater number.
    pub fn raise(&self, name: &str, position: Position) -> Result<(), Error> {
        self.check()?;
        self.rooms.find(name, |RoomEntry { room, .. }| {
            let now = room.position();
            if now.epoch == position.epoch && now.seq < position.seq {
                room.advance_to(position.seq);
            }
        });
        Ok(())
    }

    /// Publishes a message that already has its number and time. Returns false, and does nothing, if the room has
    /// reached that number.
    pub fn deliver(&self, name: &str, stamp: Stamp, draft: Draft<'_>, except: &[ConnId]) -> Result<bool, Error> {
        self.check()?;
        let mut wake = Vec::new();
        let is_new = self
            .enter(name, draft, FROM_LOG, except, &mut wake, |room| (stamp.seq > room.position().seq).then_some(stamp));
        wake_all(&mut wake);
        is_new
    }

    /// Publishes a message with the number and time that `stamp` returns under the room's lock. Does nothing if it
    /// returns none. `origin` is the node that it comes from, for recordings.
    pub(crate) fn enter(
        &self,
        name: &str,
        draft: Draft<'_>,
        origin: u64,
        except: &[ConnId],
        wake: &mut Vec<Arc<Waker>>,
        stamp: impl FnOnce(&Room) -> Option<Stamp>,
    ) -> Result<bool, Error> {
        self.check_state()?;
        self.builder.check_foreign(draft)?;
        let rule = self.rooms.with(name, self.builder.now_us(), |entry| match stamp(&entry.room) {
            Some(stamp) => {
                self.queue(entry, draft, Some(stamp), origin, except, wake)?;
                Ok(Some(entry.room.settings().rule))
            }
            None => Ok(None),
        })?;
        if let Some(rule) = rule {
            self.count_published(rule);
        }
        Ok(rule.is_some())
    }

    /// Puts older messages before those in a room's history, as many of the newest as it has space for. `messages` are
    /// in the order of their numbers, and are all messages after `from`; those after the room's [`Self::floor`] are
    /// ignored. Does nothing if the room does not exist, keeps no history, or has another epoch than `from`.
    pub fn extend(&self, name: &str, from: Position, messages: &[(Stamp, Draft<'_>)]) -> Result<(), Error> {
        self.check()?;
        if !messages.is_sorted_by(|(one, _), (next, _)| one.seq < next.seq) {
            return Err(Error::Invalid("the messages must be in the order of their numbers".into()));
        }
        for &(_, draft) in messages {
            self.builder.check(draft)?;
        }
        // A message that no member could read is left out, so what is before it must not count as kept.
        let (mut from, mut messages) = (from, messages);
        if let Some(last) = messages.iter().rposition(|&(_, draft)| self.builder.check_foreign(draft).is_err()) {
            from.seq = messages[last].0.seq;
            messages = &messages[last + 1..];
        }
        let extended = self.rooms.find(name, |RoomEntry { room, .. }| self.extend_room(room, from, messages));
        extended.unwrap_or(Ok(()))
    }

    /// Skips `count` numbers of a room that will never come. Later joiners cannot recover messages from before them,
    /// and the sessions in the room are told. Does nothing if the room does not exist.
    pub fn skip(&self, name: &str, count: u64, reason: &'static str) -> Result<(), Error> {
        self.check()?;
        let mut wake = Vec::new();
        let result = self.skip_quietly(name, count, reason, &mut wake);
        wake_all(&mut wake);
        result
    }

    /// Skips numbers like [`Self::skip`], but wakes no threads: it adds them to `wake`, and the caller wakes them with
    /// [`wake_all`]. Only threads that do not exist in a forked child may call it, so the process is not checked.
    pub fn skip_quietly(
        &self,
        name: &str,
        count: u64,
        reason: &'static str,
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<(), Error> {
        self.check_state()?;
        if count == 0 {
            return Ok(());
        }
        self.rooms.find(name, |RoomEntry { room, headcount }| {
            let Position { epoch, seq } = room.position();
            let (first, last) = (seq.saturating_add(1), seq.saturating_add(count));
            room.place(Position { epoch, seq: last }, self.rooms.kept());
            for recorder in room.recorders().into_iter().flat_map(|recorders| recorders.iter()) {
                let now_us = self.builder.now_us();
                let room = Some(Arc::clone(room.name()));
                recorder.missing(LeftOut { room, epoch, first, last, count, from_us: now_us, to_us: now_us }, wake);
            }
            let payload = format!(r#"{{"reason":"{reason}","count":{count},"first":{first},"last":{last}}}"#);
            self.tell_room(room, headcount, kind::SKIPPED, &payload, &[], wake);
        });
        Ok(())
    }

    /// Returns the position after which the room keeps every message. Creates the room if it does not exist.
    pub fn floor(&self, name: &str) -> Result<Position, Error> {
        self.check()?;
        let now_us = self.builder.now_us();
        self.rooms.with(name, now_us, |RoomEntry { room, .. }| Ok(room.floor(now_us, self.rooms.kept())))
    }

    fn extend_room(&self, room: &mut Room, from: Position, messages: &[(Stamp, Draft<'_>)]) -> Result<(), Error> {
        let kept = self.rooms.kept();
        let top = room.floor(self.builder.now_us(), kept);
        if from.epoch != top.epoch || from.seq >= top.seq || room.settings().history == 0 {
            return Ok(());
        }
        let place_of = |seq| messages.partition_point(|(stamp, _)| stamp.seq <= seq);
        let messages = &messages[place_of(from.seq)..place_of(top.seq)];
        for (_, draft) in messages {
            delivery_of(room, draft)?;
        }
        let mut floor = from.seq;
        for (place, &(stamp, draft)) in messages.iter().enumerate().rev() {
            let prev = place.checked_sub(1).map_or(from.seq, |before| messages[before].0.seq);
            let Some(message) = self.older(room, stamp, prev, draft) else {
                floor = stamp.seq;
                break;
            };
            room.keep_older(&message, kept);
        }
        room.lower(floor);
        Ok(())
    }

    /// Adds one older message to a room's history, if the room has space for it and its key.
    fn older(
        &self,
        room: &mut Room,
        Stamp { seq, ts_ms, .. }: Stamp,
        prev: u64,
        draft: Draft<'_>,
    ) -> Option<Arc<Message>> {
        let (len, age_us) = (draft.payload.len(), self.builder.age_us(ts_ms));
        if !room.takes_older(
            kept_size(frame::header_len(len) + len, draft.audience.map(|audience| &**audience)),
            age_us,
            self.rooms.kept(),
        ) {
            return None;
        }
        let delivery = draft.delivery.unwrap_or(room.settings().delivery);
        let name = draft.key.unwrap_or_default();
        let (key, key_name) = if draft.role == FORGOTTEN {
            let when = When::at(seq, ts_ms);
            (room.forget_before(name, when, self.rooms.kept()), Some(Arc::from(name)))
        } else if delivery == Delivery::Latest && room.forgotten(name).is_some_and(|when| when.seq > seq) {
            // It belongs to the history only, and is not the newest value of its key.
            (None, Some(Arc::from(name)))
        } else {
            self.key(room, draft, delivery).ok()?.unzip()
        };
        let metadata = self.builder.metadata(room, delivery, None);
        let audience = draft.audience.map(Arc::clone);
        let metadata = Metadata { seq, ts_ms, prev: Some(prev), key, key_name, audience, ..metadata };
        Some(self.builder.build_old(draft, metadata, age_us))
    }
}
