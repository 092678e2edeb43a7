//! The droppable messages of an outbox, in a lane for each room. The lanes send in turn, one message each. Windows
//! bound what may leave: one window for each room if the peer reports what its application has taken; otherwise one for
//! all rooms, measured with probes.

use std::collections::{VecDeque, vec_deque};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::message::{Message, Priority, RoomId};
use crate::outbox::probes::Probes;
use crate::outbox::rooms::flow::{Flow, admitted_by};
use crate::outbox::rooms::reported_window::ReportedWindow;
use crate::outbox::rooms::room_lane::RoomLane;
use crate::protocol::form::Form;

/// The lanes of all rooms. Costs are those of [`Message::cost`]; bytes are bytes on the wire.
#[derive(Debug)]
pub struct RoomLanes {
    form: Form,
    /// The room ids of the lanes, in a vector of their own: usually one, rarely a hundred, which then fill only a few
    /// cache lines.
    ids: Vec<RoomId>,
    lanes: Vec<RoomLane>,
    /// The lane that was found last.
    recent: usize,
    /// The lanes with messages that may leave, in the order of their turns.
    turns: VecDeque<usize>,
    len: usize,
    /// How many messages may leave now, computed by [`Self::plan`].
    planned: usize,
    /// Whether something waits for a window, computed by [`Self::plan`].
    is_held: bool,
    /// Whether there is a lane of another than the usual priority.
    has_tiers: bool,
    /// Whether the lowest priority comes first.
    pub(super) is_turned: bool,
    /// The number of lanes with a limit on bytes a second.
    limited: u32,
    /// The timer that is set for lanes that wait for their limits.
    timed_us: Option<u64>,
    /// Rooms with a new window, which the peer has to be told.
    new: Vec<(RoomId, Arc<str>)>,
    flow: Flow,
}

impl RoomLanes {
    /// Creates lanes without messages and without windows.
    pub fn new(form: Form) -> Self {
        Self {
            form,
            ids: Vec::new(),
            lanes: Vec::new(),
            recent: 0,
            turns: VecDeque::new(),
            len: 0,
            planned: 0,
            is_held: false,
            has_tiers: false,
            is_turned: false,
            limited: 0,
            timed_us: None,
            new: Vec::new(),
            flow: Flow::Open,
        }
    }

    /// Returns the number of messages that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether some of them wait for a window or a limit.
    pub fn is_held(&self) -> bool {
        self.is_held && self.len > 0
    }

    /// Returns the first message of each lane.
    pub fn first(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.lanes.iter().filter_map(|lane| lane.lane.get(0))
    }

    /// Whether messages of a room wait.
    pub fn waits(&self, room: RoomId) -> bool {
        self.ids.iter().position(|&id| id == room).is_some_and(|place| !self.lanes[place].lane.is_empty())
    }

    /// Adds a message at the end of its room's lane.
    pub fn push(&mut self, message: &Arc<Message>, cost: usize) {
        let place = self.place(message);
        let lane = &mut self.lanes[place];
        if lane.priority != message.priority() && lane.lane.is_empty() {
            lane.priority = message.priority();
            self.has_tiers |= lane.priority != Priority::Normal;
        }
        lane.lane.push(Arc::clone(message));
        lane.cost += cost;
        self.len += 1;
        self.give_turn(place);
    }

    /// Replaces the waiting message with the same key. Returns the replaced one.
    pub fn replace(&mut self, message: &Arc<Message>, cost: usize) -> Option<Arc<Message>> {
        let place = self.find(message.room())?;
        let lane = &mut self.lanes[place];
        let old = lane.lane.replace(message)?;
        lane.cost = lane.cost + cost - old.cost(self.form);
        Some(old)
    }

    /// Whether no other room has more bytes waiting than this one.
    pub fn has_most(&self, room: RoomId) -> bool {
        let most = self.lanes.iter().map(|lane| lane.cost).max().unwrap_or(0);
        most == 0 || self.ids.iter().zip(&self.lanes).any(|(&id, lane)| id == room && lane.cost == most)
    }

    /// Takes the oldest message of the lane that holds most.
    pub fn pop_oldest(&mut self) -> Option<Arc<Message>> {
        let lane = self.lanes.iter_mut().max_by_key(|lane| lane.cost)?;
        let message = lane.pop(self.form)?;
        self.len -= 1;
        Some(message)
    }

    /// Takes everything that waits.
    pub fn clear(&mut self, mut each: impl FnMut(Arc<Message>)) {
        for lane in &mut self.lanes {
            while let Some(message) = lane.pop(self.form) {
                each(message);
            }
        }
        self.len = 0;
    }

    /// Removes the lane of a room. Returns what waited in it.
    pub fn leave(&mut self, room: RoomId) -> impl Iterator<Item = Arc<Message>> + use<> {
        let mut left = None;
        if let Some(place) = self.ids.iter().position(|&id| id == room) {
            self.ids.swap_remove(place);
            let lane = self.lanes.swap_remove(place);
            self.limited -= u32::from(lane.bucket.is_some());
            self.len -= lane.lane.len();
            self.turns.retain(|&turn| turn != place);
            // The last lane has moved to the removed place.
            self.turns.iter_mut().filter(|turn| **turn == self.lanes.len()).for_each(|turn| *turn = place);
            left = Some(lane.lane);
        }
        left.into_iter().flat_map(|mut lane| std::iter::from_fn(move || lane.pop()))
    }

    /// Changes the form of all messages. Returns what they cost before and what they cost now.
    pub fn reframe(&mut self, form: Form) -> (usize, usize) {
        self.form = form;
        let (mut before, mut after) = (0, 0);
        for lane in &mut self.lanes {
            before += lane.cost;
            lane.cost = lane.lane.iter().map(|message| message.cost(form)).sum();
            after += lane.cost;
        }
        (before, after)
    }

    /// Computes what may leave now: about `most` messages. Returns the number of a probe that has to leave first.
    pub fn plan(&mut self, most: usize, now_us: u64) -> Option<u64> {
        self.planned = 0;
        self.is_held = false;
        if self.len == 0 {
            return None;
        }
        if self.limited > 0 {
            self.fill(now_us);
        }
        // Lanes of different priority do not share: the higher one may fill a write.
        let each = if self.has_tiers { most } else { (most / self.turns.len().max(1)).max(1) };
        for _ in 0..self.turns.len() {
            let Some(place) = self.turns.pop_front() else { break };
            let lane = &mut self.lanes[place];
            // A message to this client alone has no room that the client could report.
            if matches!(self.flow, Flow::Reports) && lane.name.is_some() && lane.window.is_none() {
                lane.window = Some(Box::new(ReportedWindow::new(now_us)));
                self.new.extend(lane.name.clone().map(|name| (self.ids[place], name)));
            }
            lane.planned = lane.admitted(each, self.form);
            lane.has_turn = lane.planned > 0;
            if lane.has_turn {
                self.planned += lane.planned;
                self.turns.push_back(place);
            }
        }
        if self.has_tiers {
            self.sort_turns();
        }
        let groups = self.groups();
        self.is_held =
            (self.limited > 0 || matches!(self.flow, Flow::Reports)) && self.lanes.iter().any(RoomLane::is_held);
        let Flow::Probes(probes) = &mut self.flow else { return None };
        if self.planned == 0 && self.is_held {
            return None;
        }
        let probes = probes.get_or_insert_with(|| Box::new(Probes::new(now_us)));
        // Usually everything fits, and the messages need not be looked at one by one.
        if probes.fits(self.lanes.iter().map(RoomLane::bytes).sum()) {
            return None;
        }
        let (turns, lanes) = (&self.turns, &self.lanes);
        let waiting = || groups.iter().flat_map(|group| in_turns(turns.range(group.clone()), lanes));
        let mut admitted = admitted_by(probes, waiting(), self.form);
        let mut number = None;
        if admitted == 0 {
            number = probes.mark(now_us);
            admitted = admitted_by(probes, waiting(), self.form);
        }
        self.planned = self.planned.min(admitted);
        self.is_held |= admitted == 0;
        number
    }

    /// Whether everything that waits may leave, by [`Self::plan`].
    pub fn is_all_planned(&self) -> bool {
        self.planned == self.len
    }

    /// Whether anything may leave, by [`Self::plan`].
    pub fn is_ready(&self) -> bool {
        self.planned > 0
    }

    /// Calls `each` with the messages that may leave, in the order of [`Self::pop`], until it breaks.
    pub fn try_each<'a>(&'a self, mut each: impl FnMut(&'a Arc<Message>) -> ControlFlow<()>) -> ControlFlow<()> {
        match self.turns.front() {
            // Usually there is one lane.
            Some(&place) if self.turns.len() == 1 => {
                self.lanes[place].lane.iter().take(self.planned).try_for_each(&mut each)
            }
            _ => in_turns(self.turns.iter(), &self.lanes).take(self.planned).try_for_each(&mut each),
        }
    }

    /// Takes the next message that may leave. `index` is its number in the session.
    pub fn pop(&mut self, index: u64, now_us: u64) -> Option<Arc<Message>> {
        self.planned = self.planned.checked_sub(1)?;
        // Each lane that has a turn has planned at least one message; lanes that have sent theirs are last.
        while let Some(&place) = self.turns.front() {
            let lane = &mut self.lanes[place];
            if lane.planned == 0 {
                self.turns.rotate_left(1);
                continue;
            }
            lane.planned -= 1;
            let message = lane.pop(self.form)?;
            self.len -= 1;
            if let Some(bucket) = &mut lane.bucket {
                bucket.sent(message.frame(self.form).len());
            }
            if let Flow::Probes(Some(probes)) = &mut self.flow {
                probes.wrote(message.frame(self.form).len());
            } else if let Some(window) = &mut lane.window {
                window.sent(index, message.counted(self.form), now_us);
            }
            lane.has_turn = !lane.lane.is_empty();
            if !lane.has_turn {
                self.turns.pop_front();
                lane.lane.shrink();
            } else if self.has_tiers {
                self.pass_turn();
            } else if self.turns.len() > 1 {
                self.turns.rotate_left(1);
            }
            return Some(message);
        }
        None
    }

    /// Frees memory when nothing waits. Lanes with a window or a limit stay, because they know what is under way.
    pub fn shrink(&mut self) {
        if self.lanes.len() > KEEP && self.limited == 0 && !matches!(self.flow, Flow::Reports) {
            self.ids = Vec::new();
            self.lanes = Vec::new();
            self.turns = VecDeque::new();
        }
    }

    /// Returns what all that waits costs.
    #[cfg(test)]
    pub fn cost(&self) -> usize {
        self.lanes.iter().map(|lane| lane.cost).sum()
    }

    /// Returns how many messages fit without new memory.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.lanes.iter().map(|lane| lane.lane.capacity()).sum()
    }

    fn give_turn(&mut self, place: usize) {
        let lane = &mut self.lanes[place];
        if !lane.has_turn && lane.admitted(1, self.form) > 0 {
            lane.has_turn = true;
            self.turns.push_back(place);
        }
    }

    fn find(&mut self, room: RoomId) -> Option<usize> {
        if self.ids.get(self.recent) != Some(&room) {
            self.recent = self.ids.iter().position(|&id| id == room)?;
        }
        Some(self.recent)
    }

    fn place(&mut self, message: &Message) -> usize {
        self.find(message.room()).unwrap_or_else(|| {
            let name = message.metadata().room_name.clone();
            self.ids.push(message.room());
            self.lanes.push(RoomLane { name, ..RoomLane::default() });
            self.recent = self.lanes.len() - 1;
            self.recent
        })
    }
}

/// Returns the planned messages of lanes, one of each in turn.
fn in_turns<'a>(turns: vec_deque::Iter<'a, usize>, lanes: &'a [RoomLane]) -> impl Iterator<Item = &'a Arc<Message>> {
    let rounds = turns.clone().map(|&place| lanes[place].planned).max().unwrap_or(0);
    let of_round = move |round| turns.clone().filter_map(move |&place| lanes[place].planned_at(round));
    (0..rounds).flat_map(of_round)
}

/// The number of lanes that stay when nothing waits.
const KEEP: usize = 8;

mod flow;
mod limited_lanes;
mod reported_window;
mod room_lane;
mod tiers;
