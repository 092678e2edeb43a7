//! What the engine does for rooms whose numbering comes from outside: from a log that several engines share. Numbers
//! only grow there, and may have holes, for a log may be that of several rooms.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mio::Waker;

use crate::engine::{Engine, FORGOTTEN, delivery_of, ring};
use crate::error::Error;
use crate::forgotten::When;
use crate::frame;
use crate::message::{About, Delivery, Message, kept_size};
use crate::mint::{Draft, Stamp};
use crate::room::{Position, Room};
use crate::rooms::Entry;
use crate::slots::ConnId;
use crate::wire::table::kind;

impl Engine {
    /// A room goes on from another place, with an empty history; makes the room if need be. The newest values stay.
    pub fn place(&self, name: &str, position: Position) -> Result<(), Error> {
        self.check()?;
        self.rooms.with(name, self.mint.now_us(), |Entry { room, .. }| {
            room.place(position, self.rooms.kept());
            Ok(())
        })
    }

    /// The same as [`Self::publish`] for a message that has its number and its time already; false, and nothing is
    /// done, if the room has had that number or a greater one.
    pub fn deliver(&self, name: &str, stamp: Stamp, draft: Draft<'_>, except: &[ConnId]) -> Result<bool, Error> {
        self.check()?;
        let mut wake = Vec::new();
        let is_new =
            self.enter(name, draft, except, &mut wake, |room| (stamp.seq > room.position().seq).then_some(stamp));
        ring(&mut wake);
        is_new
    }

    /// Publishes a message with a number and a time from outside, if `stamp` finds some under the room's lock.
    pub(crate) fn enter(
        &self,
        name: &str,
        draft: Draft<'_>,
        except: &[ConnId],
        wake: &mut Vec<Arc<Waker>>,
        stamp: impl FnOnce(&Room) -> Option<Stamp>,
    ) -> Result<bool, Error> {
        self.check_state()?;
        self.mint.check_foreign(draft)?;
        let is_new = self.rooms.with(name, self.mint.now_us(), |entry| match stamp(&entry.room) {
            Some(stamp) => self.queue(entry, draft, Some(stamp), except, wake).map(|_| true),
            None => Ok(false),
        })?;
        self.published.fetch_add(u64::from(is_new), Relaxed);
        Ok(is_new)
    }

    /// Puts messages before those in the history of a room, as many of the newest as it has space for. They are in the
    /// order of their numbers, and all that there are after `from`; those after the room's [`Self::floor`] do not count.
    /// Does nothing where there is no such room or no history, and if `from` is of another numbering than the room.
    pub fn extend(&self, name: &str, from: Position, messages: &[(Stamp, Draft<'_>)]) -> Result<(), Error> {
        self.check()?;
        if !messages.is_sorted_by(|(one, _), (next, _)| one.seq < next.seq) {
            return Err(Error::Invalid("the messages are not in the order of their numbers".into()));
        }
        for &(_, draft) in messages {
            self.mint.check(draft)?;
        }
        // What no member could read is not there, and nothing before it is missed in silence.
        let (mut from, mut messages) = (from, messages);
        if let Some(last) = messages.iter().rposition(|&(_, draft)| self.mint.check_foreign(draft).is_err()) {
            from.seq = messages[last].0.seq;
            messages = &messages[last + 1..];
        }
        let extended = self.rooms.find(name, |Entry { room, .. }| self.extend_room(room, from, messages));
        extended.unwrap_or(Ok(()))
    }

    /// Numbers of a room that will not come are over: those who come later cannot have what had them, and the sessions in
    /// the room are told. Does nothing where there is no such room.
    pub fn skip(&self, name: &str, count: u64, reason: &'static str) -> Result<(), Error> {
        self.check()?;
        let mut wake = Vec::new();
        let result = self.skip_quietly(name, count, reason, &mut wake);
        ring(&mut wake);
        result
    }

    /// The same, but see [`Self::publish_quietly`].
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
        self.rooms.find(name, |Entry { room, headcount }| {
            let Position { epoch, seq } = room.position();
            let (first, last) = (seq.saturating_add(1), seq.saturating_add(count));
            room.place(Position { epoch, seq: last }, self.rooms.kept());
            let payload = format!(r#"{{"reason":"{reason}","count":{count},"first":{first},"last":{last}}}"#);
            self.tell_room(room, headcount, kind::SKIPPED, &payload, &[], wake);
        });
        Ok(())
    }

    /// After which number a room keeps every message; makes the room if need be.
    pub fn floor(&self, name: &str) -> Result<Position, Error> {
        self.check()?;
        let now_us = self.mint.now_us();
        self.rooms.with(name, now_us, |Entry { room, .. }| Ok(room.floor(now_us, self.rooms.kept())))
    }

    fn extend_room(&self, room: &mut Room, from: Position, messages: &[(Stamp, Draft<'_>)]) -> Result<(), Error> {
        let kept = self.rooms.kept();
        let top = room.floor(self.mint.now_us(), kept);
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

    /// A message from before those in a room's history, if the room has space for it and for its key.
    fn older(&self, room: &mut Room, Stamp { seq, ts_ms }: Stamp, prev: u64, draft: Draft<'_>) -> Option<Arc<Message>> {
        let (len, age_us) = (draft.payload.len(), self.mint.age_us(ts_ms));
        if !room.takes_older(kept_size(frame::header_len(len) + len), age_us, self.rooms.kept()) {
            return None;
        }
        let delivery = draft.delivery.unwrap_or(room.settings().delivery);
        let name = draft.key.unwrap_or_default();
        let (key, key_name) = if draft.role == FORGOTTEN {
            let when = When::at(seq, ts_ms);
            (room.forget_before(name, when, self.rooms.kept()), Some(Arc::from(name)))
        } else if delivery == Delivery::Latest && room.forgotten(name).is_some_and(|when| when.seq > seq) {
            // It is part of the history, and nobody's newest value.
            (None, Some(Arc::from(name)))
        } else {
            self.key(room, draft, delivery).ok()?.unzip()
        };
        let about = self.mint.about(room, delivery, None);
        let about = About { seq, ts_ms, prev: Some(prev), key, key_name, ..about };
        Some(self.mint.build_old(draft, about, age_us))
    }
}
