//! Limits on the bytes of a room that leave in a second, which a member has asked for.

use std::sync::Arc;

use crate::message::{Message, RoomId};
use crate::outbox::Outbox;
use crate::stats::Drop;

impl Outbox {
    /// Sets how many bytes of droppable messages of a room may leave in a second; 0: no limit. What waits leaves at once.
    pub fn limit(&mut self, room: RoomId, name: Arc<str>, bytes: u64, now_us: u64) {
        self.droppable.limit(room, name, bytes, now_us);
    }

    /// Returns when messages that wait for the limit of their room may leave, if no timer is set for that. The caller sets
    /// one.
    pub fn set_timer(&mut self) -> Option<u64> {
        self.droppable.set_timer()
    }

    /// Whether messages wait for a window, which the peer has to open.
    pub fn waits_for_window(&self) -> bool {
        self.is_held() && !self.droppable.is_held_by_limits()
    }

    /// Drops what a member with a limit on bytes a second would get more than a second late.
    pub(super) fn drop_late(&mut self, room: RoomId, dropped: &mut impl FnMut(&Message, Drop)) {
        while let Some(oldest) = self.droppable.pop_late(room) {
            self.bytes -= oldest.cost(self.form);
            self.missed(&oldest);
            dropped(&oldest, Drop::Rate);
        }
    }
}
