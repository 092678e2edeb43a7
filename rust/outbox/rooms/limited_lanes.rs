//! Lanes with a limit on bytes a second, which a member has asked for. What waits for it is replaced by newer values, and
//! a lane without keys keeps what it may send in a second.

use std::sync::Arc;

use crate::message::{Message, RoomId};
use crate::outbox::rates::ByteBucket;
use crate::outbox::rooms::RoomLanes;
use crate::outbox::rooms::room_lane::RoomLane;

impl RoomLanes {
    /// Sets the limit of a room in bytes a second; 0: none.
    pub fn limit(&mut self, room: RoomId, name: Arc<str>, bytes: u64, now_us: u64) {
        let found = self.find(room);
        if bytes == 0 {
            if let Some(place) = found {
                self.limited -= u32::from(self.lanes[place].bucket.take().is_some());
                self.give_turn(place);
            }
            return;
        }
        let place = found.unwrap_or_else(|| {
            self.ids.push(room);
            self.lanes.push(RoomLane { name: Some(name), ..RoomLane::default() });
            self.lanes.len() - 1
        });
        let lane = &mut self.lanes[place];
        let mut bucket = Box::new(ByteBucket::new(bytes, now_us));
        // What waits was published before, and leaves at once.
        bucket.grant(lane.bytes());
        self.limited += u32::from(lane.bucket.replace(bucket).is_none());
        self.give_turn(place);
    }

    /// Ends all limits.
    pub fn unlimit(&mut self) {
        if std::mem::take(&mut self.limited) > 0 {
            for place in 0..self.lanes.len() {
                self.lanes[place].bucket = None;
                self.give_turn(place);
            }
        }
    }

    /// Lets the bytes of a message leave in addition to the limit of its room.
    pub fn grant(&mut self, message: &Message) {
        if self.limited > 0
            && let Some(place) = self.find(message.room())
            && let Some(bucket) = &mut self.lanes[place].bucket
        {
            bucket.grant(message.frame(self.form).len());
        }
    }

    /// Whether a room has a limit.
    pub fn is_limited(&mut self, room: RoomId) -> bool {
        self.limited > 0 && self.find(room).is_some_and(|place| self.lanes[place].bucket.is_some())
    }

    /// Takes the oldest message of a limited room in which more waits than may leave in a second.
    pub fn pop_late(&mut self, room: RoomId) -> Option<Arc<Message>> {
        let place = self.find(room).filter(|_| self.limited > 0)?;
        let lane = &mut self.lanes[place];
        let most = lane.bucket.as_ref()?.rate();
        if lane.lane.len() < 2 || lane.bytes() as u64 <= most {
            return None;
        }
        self.len -= 1;
        lane.pop(self.form)
    }

    /// Returns when the first of the lanes that wait for their limits may send, if no timer is set for then or before.
    /// The caller sets one.
    pub fn set_timer(&mut self) -> Option<u64> {
        if self.limited == 0 {
            return None;
        }
        let buckets = self.lanes.iter().filter(|lane| lane.is_held()).filter_map(|lane| lane.bucket.as_deref());
        let due_us = buckets.filter(|bucket| bucket.is_empty()).map(ByteBucket::due_us).min()?;
        let is_new = self.timed_us.is_none_or(|timed_us| due_us < timed_us);
        is_new.then(|| *self.timed_us.insert(due_us))
    }

    /// Whether everything that is held waits for the limit of its room.
    pub fn is_held_by_limits(&self) -> bool {
        let is_full = |lane: &RoomLane| lane.bucket.as_ref().is_some_and(|bucket| bucket.is_empty());
        self.limited > 0 && self.lanes.iter().filter(|lane| lane.is_held()).all(is_full)
    }

    /// Adds to the limits what has come since the last call.
    pub(super) fn fill(&mut self, now_us: u64) {
        self.timed_us.take_if(|timed_us| *timed_us <= now_us);
        for place in 0..self.lanes.len() {
            if let Some(bucket) = &mut self.lanes[place].bucket {
                bucket.fill(now_us);
                self.give_turn(place);
            }
        }
    }
}
