//! The droppable messages of an outbox: a lane for each room, which have their turns, one message each. What may leave of
//! them is bounded by windows: one for each room where the peer tells what its application has taken, or one for all,
//! with probes, where it does not.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::message::{Message, RoomId};
use crate::outbox::probes::Probes;
use crate::outbox::rooms::room_lane::{RoomLane, Told};
use crate::outbox::window::{self, Reader, Window};
use crate::protocol::form::Form;

/// See the module's head. Costs are those of [`Message::cost`], bytes those on the wire.
#[derive(Debug)]
pub struct Rooms {
    form: Form,
    /// The rooms of the lanes, for themselves: mostly one, rarely a hundred, and then they are in a few lines of the cache.
    ids: Vec<RoomId>,
    lanes: Vec<RoomLane>,
    /// The lane that was found last.
    recent: usize,
    /// Lanes with messages that may leave, as far as is known, in the order of their turns.
    turns: VecDeque<usize>,
    len: usize,
    /// How many messages may leave now, by [`Self::plan`].
    planned: usize,
    /// Something waits for a window, by the same.
    is_held: bool,
    /// Rooms whose window is new, which the peer has to be told.
    new: Vec<(RoomId, Arc<str>)>,
    flow: Flow,
}

/// What bounds the bytes under way.
#[derive(Debug, Default)]
enum Flow {
    #[default]
    Open,
    /// Made when first needed: most connections are sent nothing droppable.
    Probes(Option<Box<Probes>>),
    Reports,
}

impl Rooms {
    /// Nothing waits, and nothing bounds what may leave.
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
            new: Vec::new(),
            flow: Flow::Open,
        }
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether some of them wait for a window.
    pub fn is_held(&self) -> bool {
        self.is_held && self.len > 0
    }

    /// Whether messages of a room wait.
    pub fn waits(&self, room: RoomId) -> bool {
        self.ids.iter().position(|&id| id == room).is_some_and(|place| !self.lanes[place].lane.is_empty())
    }

    /// Nothing is known of what is under way. It is bounded by probes, or not at all, until the peer tells what it has taken.
    pub fn begin(&mut self, has_probes: bool) {
        self.flow = if has_probes { Flow::Probes(None) } else { Flow::Open };
        for place in 0..self.lanes.len() {
            self.lanes[place].window = None;
            self.give_turn(place);
        }
    }

    /// From now on the peer tells what its application has taken.
    pub fn begin_reports(&mut self) {
        self.flow = Flow::Reports;
    }

    /// Adds a message at the end of its room's lane.
    pub fn push(&mut self, message: &Arc<Message>, cost: usize) {
        let place = self.place(message);
        let lane = &mut self.lanes[place];
        lane.lane.push(Arc::clone(message));
        lane.cost += cost;
        self.len += 1;
        self.give_turn(place);
    }

    /// Puts the message in the place of the waiting one with its key, and returns that one.
    pub fn replace(&mut self, message: &Arc<Message>, cost: usize) -> Option<Arc<Message>> {
        let place = self.find(message.room())?;
        let lane = &mut self.lanes[place];
        let old = lane.lane.replace(message)?;
        lane.cost = lane.cost + cost - old.cost(self.form);
        Some(old)
    }

    /// Whether no room has more waiting than this one.
    pub fn has_most(&self, room: RoomId) -> bool {
        let most = self.lanes.iter().map(|lane| lane.cost).max().unwrap_or(0);
        most == 0 || self.ids.iter().zip(&self.lanes).any(|(&id, lane)| id == room && lane.cost == most)
    }

    /// Takes the oldest message of the lane that holds the most.
    pub fn pop_oldest(&mut self) -> Option<Arc<Message>> {
        let lane = self.lanes.iter_mut().max_by_key(|lane| lane.cost)?;
        let message = lane.pop(self.form)?;
        self.len -= 1;
        Some(message)
    }

    /// Takes all that waits.
    pub fn clear(&mut self, mut each: impl FnMut(Arc<Message>)) {
        for lane in &mut self.lanes {
            while let Some(message) = lane.pop(self.form) {
                each(message);
            }
        }
        self.len = 0;
    }

    /// Ends the lane of a room, and returns what waited in it.
    pub fn leave(&mut self, room: RoomId) -> impl Iterator<Item = Arc<Message>> + use<> {
        let mut left = None;
        if let Some(place) = self.ids.iter().position(|&id| id == room) {
            self.ids.swap_remove(place);
            let lane = self.lanes.swap_remove(place);
            self.len -= lane.lane.len();
            self.turns.retain(|&turn| turn != place);
            // The last lane has its place now.
            self.turns.iter_mut().filter(|turn| **turn == self.lanes.len()).for_each(|turn| *turn = place);
            left = Some(lane.lane);
        }
        left.into_iter().flat_map(|mut lane| std::iter::from_fn(move || lane.pop()))
    }

    /// The application has taken what a room has among the first `count` messages of the session. Returns what the peer
    /// has to be told: the room's name, and the size of its window.
    pub fn taken(&mut self, room: RoomId, count: u64, now_us: u64) -> Option<(Arc<str>, usize)> {
        let place = self.find(room)?;
        let lane = &mut self.lanes[place];
        let told = lane.window.as_mut()?;
        told.window.taken(count, now_us);
        let size = told.window.size();
        // The peer tells of each quarter, so it need not know exactly.
        let news = (size * 4 <= told.size * 3 || size * 2 >= told.size * 3).then(|| lane.name.clone()).flatten();
        if news.is_some() {
            told.size = size;
        }
        self.give_turn(place);
        news.map(|name| (name, size))
    }

    /// The rooms whose window is new since the last call, with its size.
    pub fn take_new(&mut self) -> impl Iterator<Item = (RoomId, Arc<str>, usize)> + use<> {
        std::mem::take(&mut self.new).into_iter().map(|(room, name)| (room, name, window::INITIAL))
    }

    /// The number of the last probe, if it was not answered.
    pub fn unanswered(&self) -> Option<u64> {
        match &self.flow {
            Flow::Probes(Some(probes)) => probes.unanswered(),
            _ => None,
        }
    }

    /// The peer has answered a probe.
    pub fn answered(&mut self, number: u64, now_us: u64) {
        if let Flow::Probes(Some(probes)) = &mut self.flow {
            probes.answered(number, now_us);
        }
    }

    /// Finds out what may leave now, at most `most` messages or a little more. Returns the number of a probe that has to
    /// leave first.
    pub fn plan(&mut self, most: usize, now_us: u64) -> Option<u64> {
        self.planned = 0;
        self.is_held = false;
        if self.len == 0 {
            return None;
        }
        let each = (most / self.turns.len().max(1)).max(1);
        for _ in 0..self.turns.len() {
            let Some(place) = self.turns.pop_front() else { break };
            let lane = &mut self.lanes[place];
            // What is to this client alone is in no room that it could tell of.
            if matches!(self.flow, Flow::Reports) && lane.name.is_some() && lane.window.is_none() {
                lane.window =
                    Some(Box::new(Told { window: Window::new(Reader::Reporting, now_us), size: window::INITIAL }));
                self.new.extend(lane.name.clone().map(|name| (self.ids[place], name)));
            }
            lane.planned = lane.admitted(each, self.form);
            lane.has_turn = lane.planned > 0;
            if lane.has_turn {
                self.planned += lane.planned;
                self.turns.push_back(place);
            }
        }
        let Flow::Probes(probes) = &mut self.flow else {
            self.is_held = matches!(self.flow, Flow::Reports) && self.lanes.iter().any(RoomLane::is_held);
            return None;
        };
        let probes = probes.get_or_insert_with(|| Box::new(Probes::new(now_us)));
        // Mostly there is no need to look at each message.
        if probes.fits(self.lanes.iter().map(RoomLane::bytes).sum()) {
            return None;
        }
        let waiting = || in_turns(&self.turns, &self.lanes);
        let mut admitted = admitted_by(probes, waiting(), self.form);
        let mut number = None;
        if admitted == 0 {
            number = probes.mark(now_us);
            admitted = admitted_by(probes, waiting(), self.form);
        }
        self.planned = self.planned.min(admitted);
        self.is_held = admitted == 0;
        number
    }

    /// Whether all that waits may leave, by [`Self::plan`].
    pub fn is_all_planned(&self) -> bool {
        self.planned == self.len
    }

    /// Whether anything may leave, by [`Self::plan`].
    pub fn is_ready(&self) -> bool {
        self.planned > 0
    }

    /// Calls `each` with what may leave, in the order in which [`Self::pop`] takes it, until it breaks.
    pub fn try_each<'a>(&'a self, mut each: impl FnMut(&'a Message) -> ControlFlow<()>) -> ControlFlow<()> {
        match self.turns.front() {
            // Mostly there is one lane.
            Some(&place) if self.turns.len() == 1 => {
                self.lanes[place].lane.iter().take(self.planned).try_for_each(|message| each(message))
            }
            _ => in_turns(&self.turns, &self.lanes).take(self.planned).try_for_each(|message| each(message)),
        }
    }

    /// Takes the next message that may leave; `index` will be its number in the session.
    pub fn pop(&mut self, index: u64, now_us: u64) -> Option<Arc<Message>> {
        self.planned = self.planned.checked_sub(1)?;
        // Each lane that has a turn has planned at least one message; those that have had them all come last.
        while let Some(&place) = self.turns.front() {
            let lane = &mut self.lanes[place];
            if lane.planned == 0 {
                self.turns.rotate_left(1);
                continue;
            }
            lane.planned -= 1;
            let message = lane.pop(self.form)?;
            self.len -= 1;
            if let Flow::Probes(Some(probes)) = &mut self.flow {
                probes.wrote(message.frame(self.form).len());
            } else if let Some(told) = &mut lane.window {
                told.window.sent(index, message.frame(self.form).len(), now_us);
            }
            lane.has_turn = !lane.lane.is_empty();
            if !lane.has_turn {
                self.turns.pop_front();
                lane.lane.shrink();
            } else if self.turns.len() > 1 {
                self.turns.rotate_left(1);
            }
            return Some(message);
        }
        None
    }

    /// Gives memory back when nothing waits: lanes of rooms that are told of stay, for they know what is under way.
    pub fn shrink(&mut self) {
        if self.lanes.len() > KEEP && !matches!(self.flow, Flow::Reports) {
            self.ids = Vec::new();
            self.lanes = Vec::new();
            self.turns = VecDeque::new();
        }
    }

    /// Messages that find a place without new memory.
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
            let name = message.about().room_name.clone();
            self.ids.push(message.room());
            self.lanes.push(RoomLane { name, ..RoomLane::default() });
            self.recent = self.lanes.len() - 1;
            self.recent
        })
    }
}

/// The planned messages of lanes, one of each in turn.
fn in_turns<'a>(turns: &'a VecDeque<usize>, lanes: &'a [RoomLane]) -> impl Iterator<Item = &'a Arc<Message>> {
    let rounds = turns.iter().map(|&place| lanes[place].planned).max().unwrap_or(0);
    let of_round = move |round| turns.iter().filter_map(move |&place| lanes[place].planned_at(round));
    (0..rounds).flat_map(of_round)
}

/// How many of these messages, from the first, the probes admit.
fn admitted_by<'a>(probes: &mut Probes, messages: impl Iterator<Item = &'a Arc<Message>>, form: Form) -> usize {
    let mut ahead = 0;
    let admitted = messages.take_while(|message| {
        let bytes = message.frame(form).len();
        let is_admitted = probes.admits(ahead, bytes);
        ahead += bytes;
        is_admitted
    });
    admitted.count()
}

/// Lanes that stay when nothing waits.
const KEEP: usize = 8;

mod room_lane;
