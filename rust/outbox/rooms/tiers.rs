//! Droppable messages by priority: the lanes of one priority send in turn, before those of the next.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::message::{Message, Priority};
use crate::outbox::rooms::{RoomLanes, in_turns};

impl RoomLanes {
    /// Whether this is so for the priorities of all rooms of which messages wait.
    pub fn all_waiting(&self, is_so: impl Fn(Priority) -> bool) -> bool {
        self.lanes.iter().filter(|lane| !lane.lane.is_empty()).all(|lane| is_so(lane.priority))
    }

    /// Puts the turns in the order of the priorities, so that the lanes of each one stand in a row.
    pub(super) fn sort_turns(&mut self) {
        let (lanes, is_turned) = (&self.lanes, self.is_turned);
        self.turns.make_contiguous().sort_by_key(|&place| rank(lanes[place].priority, is_turned));
    }

    /// Returns the places of each priority in the sorted turns, in the order of writing.
    pub(super) fn groups(&self) -> [Range<usize>; 3] {
        if !self.has_tiers {
            return [0..self.turns.len(), 0..0, 0..0];
        }
        let mut counts = [0; 3];
        for &place in &self.turns {
            counts[rank(self.lanes[place].priority, self.is_turned)] += 1;
        }
        let [first, second, third] = counts;
        [0..first, first..first + second, first + second..first + second + third]
    }

    /// Calls `each` with the messages of one priority that may leave, in the order of [`Self::pop`], until it breaks.
    pub fn try_each_of<'a>(
        &'a self,
        priority: Priority,
        each: impl FnMut(&'a Arc<Message>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let of = |range: Range<usize>| self.turns.range(range);
        let group = match self.has_tiers {
            true => self.groups()[rank(priority, self.is_turned)].clone(),
            false if priority == Priority::Normal => 0..self.turns.len(),
            false => 0..0,
        };
        let ahead: usize = of(0..group.start).map(|&place| self.lanes[place].planned).sum();
        in_turns(of(group), &self.lanes).take(self.planned.saturating_sub(ahead)).try_for_each(each)
    }

    /// Returns the priority of the message that [`Self::pop`] takes.
    pub fn next_priority(&self) -> Option<Priority> {
        let next = || self.turns.iter().map(|&place| &self.lanes[place]).find(|lane| lane.planned > 0);
        (self.planned > 0).then(next).flatten().map(|lane| lane.priority)
    }

    /// Gives the turn to the next lane of the same priority.
    pub(super) fn pass_turn(&mut self) {
        let Some(&place) = self.turns.front() else { return };
        let priority = self.lanes[place].priority;
        let count = self.turns.iter().take_while(|&&place| self.lanes[place].priority == priority).count();
        self.turns.pop_front();
        self.turns.insert(count - 1, place);
    }
}

/// Returns the place of a priority in the order of writing.
fn rank(priority: Priority, is_turned: bool) -> usize {
    if is_turned { Priority::Low as usize - priority as usize } else { priority as usize }
}
