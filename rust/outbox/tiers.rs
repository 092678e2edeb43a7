//! What an outbox does with priorities: high messages leave first and low ones last. The messages of one room have one
//! priority, so their order stays.
//!
//! In a backlog every [`PASSED_MAX`] + 1st write begins with the lowest priority, so that none waits for ever.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::message::{Message, Priority};
use crate::outbox::Outbox;
use crate::outbox::lane::Lane;

/// The reliable messages of other than the usual priority. Allocated with the first of them, because most connections
/// get none.
#[derive(Debug, Default)]
pub(super) struct Tiers {
    pub(super) high: Lane,
    pub(super) low: Lane,
    /// How many writes in a row have left something behind.
    passed: u8,
    is_turned: bool,
}

impl Tiers {
    /// Returns the number of messages in its lanes.
    pub(super) fn len(&self) -> usize {
        self.high.len() + self.low.len()
    }

    /// Takes a message of its lanes.
    pub(super) fn pop(&mut self) -> Option<Arc<Message>> {
        self.high.pop().or_else(|| self.low.pop())
    }

    /// Returns the messages of its lanes.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.high.iter().chain(self.low.iter())
    }

    /// Frees memory after a backlog.
    pub(super) fn shrink(&mut self) {
        self.high.shrink();
        self.low.shrink();
    }

    /// Notes that a write has left something behind, or nothing. Returns whether the next one begins with the lowest
    /// priority.
    fn wrote(&mut self, is_empty: bool) -> bool {
        self.passed = if is_empty || self.is_turned { 0 } else { self.passed + 1 };
        self.is_turned = self.passed == PASSED_MAX;
        self.is_turned
    }

    fn order(&self) -> [Priority; 3] {
        use Priority::{High, Low, Normal};
        if self.is_turned { [Low, Normal, High] } else { [High, Normal, Low] }
    }
}

impl Outbox {
    /// Returns the highest priority of what waits.
    pub fn priority(&self) -> Priority {
        let Some(tiers) = &self.tiers else { return Priority::Normal };
        let is_lower = |priority| self.droppable.all_waiting(|waiting| waiting > priority);
        if !tiers.high.is_empty() || !is_lower(Priority::High) {
            Priority::High
        } else if tiers.low.len() + self.droppable.len() < self.messages()
            || !self.control.is_empty()
            || !is_lower(Priority::Normal)
        {
            Priority::Normal
        } else {
            Priority::Low
        }
    }

    /// Returns the number of messages that were never sent.
    #[inline]
    pub(super) fn new_messages(&self) -> usize {
        let others = self.tiers.as_ref().map_or(0, |tiers| tiers.len());
        self.urgent.len() + self.reliable.len() + self.droppable.len() + others
    }

    /// Makes lanes for other than the usual priority, unless there are some.
    #[cold]
    pub(super) fn expect_tiers(&mut self) {
        self.tiers.get_or_insert_default();
    }

    /// Returns the lane of reliable messages with the priority of this one.
    #[cold]
    pub(super) fn lane_of(&mut self, message: &Message) -> &mut Lane {
        match (message.priority(), self.tiers.as_deref_mut()) {
            (Priority::High, Some(tiers)) => &mut tiers.high,
            (Priority::Low, Some(tiers)) => &mut tiers.low,
            _ => &mut self.reliable,
        }
    }

    /// Calls `each` with the messages of rooms that were never sent and may leave, in the order of [`Self::pop_room`],
    /// until it breaks.
    #[inline]
    pub(super) fn try_each_room<'a>(
        &'a self,
        mut each: impl FnMut(&'a Arc<Message>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(tiers) = &self.tiers else {
            self.reliable.iter().try_for_each(&mut each)?;
            return self.droppable.try_each(each);
        };
        for priority in tiers.order() {
            let lane = match priority {
                Priority::High => &tiers.high,
                Priority::Normal => &self.reliable,
                Priority::Low => &tiers.low,
            };
            lane.iter().try_for_each(&mut each)?;
            self.droppable.try_each_of(priority, &mut each)?;
        }
        ControlFlow::Continue(())
    }

    /// Takes the next message of a room that was never sent and may leave. `index` is its number in the session.
    #[inline]
    pub(super) fn pop_room(&mut self, index: u64, now_us: u64) -> Option<Arc<Message>> {
        let Some(tiers) = &mut self.tiers else {
            return self.reliable.pop().or_else(|| self.droppable.pop(index, now_us));
        };
        for priority in tiers.order() {
            let lane = match priority {
                Priority::High => &mut tiers.high,
                Priority::Normal => &mut self.reliable,
                Priority::Low => &mut tiers.low,
            };
            if let Some(message) = lane.pop() {
                return Some(message);
            }
            if self.droppable.next_priority() == Some(priority) {
                return self.droppable.pop(index, now_us);
            }
        }
        None
    }

    /// Decides with which priority the next write begins, after one that has sent something.
    pub(super) fn turn_tiers(&mut self) {
        let is_empty = self.messages() == 0;
        if let Some(tiers) = &mut self.tiers {
            self.droppable.is_turned = tiers.wrote(is_empty);
        }
    }
}

/// How many writes in a row may pass over lower priorities: they get an eighth of the writes of a slow reader.
pub const PASSED_MAX: u8 = 7;
