//! What bounds the bytes of droppable messages under way: probes, or the windows of rooms that the peer reports.

use std::sync::Arc;

use crate::message::{Message, RoomId};
use crate::outbox::probes::Probes;
use crate::outbox::rooms::RoomLanes;
use crate::outbox::window;
use crate::protocol::form::Form;

/// What bounds the bytes under way.
#[derive(Debug, Default)]
pub(super) enum Flow {
    #[default]
    Open,
    /// Allocated when first needed: most connections get no droppable messages.
    Probes(Option<Box<Probes>>),
    Reports,
}

impl RoomLanes {
    /// Starts again with nothing under way. What may leave is bounded by probes, or not at all, until the peer reports.
    pub fn begin(&mut self, has_probes: bool) {
        self.flow = if has_probes { Flow::Probes(None) } else { Flow::Open };
        for place in 0..self.lanes.len() {
            self.lanes[place].window = None;
            self.give_turn(place);
        }
    }

    /// Switches from probes to reports, because the peer has sent one.
    pub fn begin_reports(&mut self) {
        self.flow = Flow::Reports;
    }

    /// Notes that the application has taken the messages of a room among the first `count` messages of the session.
    /// Returns the room's name and window size if the peer has to be told.
    pub fn taken(&mut self, room: RoomId, count: u64, now_us: u64) -> Option<(Arc<str>, usize)> {
        let place = self.find(room)?;
        let lane = &mut self.lanes[place];
        let size = lane.window.as_mut()?.taken(count, now_us, lane.name.is_some());
        let news = lane.name.clone().zip(size);
        self.give_turn(place);
        news
    }

    /// Returns the rooms whose window is new since the last call, with its size.
    pub fn take_new(&mut self) -> impl Iterator<Item = (RoomId, Arc<str>, usize)> + use<> {
        std::mem::take(&mut self.new).into_iter().map(|(room, name)| (room, name, window::INITIAL))
    }

    /// Returns the number of the last probe, if it was not answered.
    pub fn unanswered(&self) -> Option<u64> {
        match &self.flow {
            Flow::Probes(Some(probes)) => probes.unanswered(),
            _ => None,
        }
    }

    /// Notes that the peer has answered a probe.
    pub fn answered(&mut self, number: u64, now_us: u64) {
        if let Flow::Probes(Some(probes)) = &mut self.flow {
            probes.answered(number, now_us);
        }
    }
}

/// Returns how many of these messages the probes admit, from the first on.
pub(super) fn admitted_by<'a>(
    probes: &mut Probes,
    messages: impl Iterator<Item = &'a Arc<Message>>,
    form: Form,
) -> usize {
    let mut ahead = 0;
    let admitted = messages.take_while(|message| {
        let bytes = message.frame(form).len();
        let is_admitted = probes.admits(ahead, bytes);
        ahead += bytes;
        is_admitted
    });
    admitted.count()
}
