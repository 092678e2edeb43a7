//! The queue of a recording: many threads push, the thread of the recording takes everything at once. It is bounded in
//! bytes: what does not fit is left out and noted, by room. The lock covers the decision to sleep, so no push is missed.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::message::{Message, NO_ROOM, RoomId};
use crate::protocol::form::Form;

/// The queue of a recording.
#[derive(Debug)]
pub struct RecordQueue {
    inner: Mutex<RecordQueueInner>,
    max_bytes: usize,
}

/// What waits to be written.
#[derive(Debug)]
pub enum Item {
    /// A message, and the node that it comes from.
    Message(Arc<Message>, u64),
    /// Numbers of a room that will never come here. Boxed: a queue of messages is small and close together.
    Missing(Box<LeftOut>),
}

/// Messages of one room that are not in the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The name of the room; none: of several rooms.
    pub room: Option<Arc<str>>,
    /// The epoch of the numbers.
    pub epoch: u64,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
    /// How many there are.
    pub count: u64,
    /// When the first was published, in microseconds since the engine started.
    pub from_us: u64,
    /// When the last was.
    pub to_us: u64,
}

/// What [`RecordQueue::take`] takes.
#[derive(Debug, Default)]
pub struct Taken {
    /// What was queued.
    pub items: VecDeque<Item>,
    /// What was left out after that, by room.
    pub left_out: Vec<LeftOut>,
}

/// What became of a message that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is queued.
    Queued,
    /// It is queued, and the taker sleeps: the caller has to wake it.
    Wake,
    /// It is left out.
    LeftOut,
}

#[derive(Debug, Default)]
struct RecordQueueInner {
    items: VecDeque<Item>,
    bytes: usize,
    /// What was left out since the queue was last taken. While there is any, nothing is queued, so that all of it comes
    /// after what is queued.
    left_out: IndexMap<(RoomId, u64), LeftOut, FxBuildHasher>,
    is_asleep: bool,
    is_stopped: bool,
}

impl RecordQueue {
    /// Creates an empty queue for messages of `max_bytes` together.
    pub fn new(max_bytes: usize) -> Self {
        Self { inner: Mutex::default(), max_bytes }
    }

    /// Adds a message, or notes that it is left out. Never waits for the disk.
    pub fn push(&self, message: &Arc<Message>, origin: u64) -> Pushed {
        let cost = message.cost(Form::RAW);
        let mut inner = self.lock();
        let is_full = inner.bytes > 0 && inner.bytes.saturating_add(cost) > self.max_bytes;
        if is_full || inner.is_stopped || !inner.left_out.is_empty() {
            inner.leave_out(message);
            return Pushed::LeftOut;
        }
        inner.bytes += cost;
        inner.items.push_back(Item::Message(Arc::clone(message), origin));
        if mem::take(&mut inner.is_asleep) { Pushed::Wake } else { Pushed::Queued }
    }

    /// Notes numbers that will never come, after what is queued. Returns whether the taker has to be woken.
    #[must_use = "a sleeping taker has to be woken"]
    pub fn missing(&self, missing: LeftOut) -> bool {
        let mut inner = self.lock();
        // Bounded like messages: between two of them there is one at most.
        if inner.items.len() < MOST_MISSING {
            inner.items.push_back(Item::Missing(Box::new(missing)));
        }
        mem::take(&mut inner.is_asleep)
    }

    /// Takes everything. Returns false once the queue was stopped.
    pub fn take(&self, into: &mut Taken) -> bool {
        debug_assert!(into.items.is_empty());
        let mut inner = self.lock();
        mem::swap(&mut inner.items, &mut into.items);
        into.left_out.extend(mem::take(&mut inner.left_out).into_values());
        inner.bytes = 0;
        inner.is_asleep = false;
        !inner.is_stopped
    }

    /// Whether the taker may sleep now. From here on, the next push says that it has to be woken.
    pub fn sleep(&self) -> bool {
        let mut inner = self.lock();
        inner.is_asleep = inner.items.is_empty() && inner.left_out.is_empty() && !inner.is_stopped;
        inner.is_asleep
    }

    /// Tells the taker to stop; what is pushed later is left out.
    pub fn stop(&self) {
        let mut inner = self.lock();
        inner.is_stopped = true;
        inner.is_asleep = false;
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    /// Returns the bytes that wait.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, RecordQueueInner> {
        // No code that can panic runs under this lock, so a poisoned lock is usable.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl RecordQueueInner {
    fn leave_out(&mut self, message: &Message) {
        let metadata = message.metadata();
        let (seq, time_us) = (metadata.seq, message.published_us);
        let mut place = (metadata.room, metadata.epoch);
        let mut room = metadata.room_name.clone();
        if self.left_out.len() >= MOST_ROOMS && !self.left_out.contains_key(&place) {
            (place, room) = ((NO_ROOM, 0), None);
        }
        let is_one_room = room.is_some();
        let gap = self.left_out.entry(place).or_insert_with(|| LeftOut {
            room,
            epoch: place.1,
            first: if is_one_room { seq } else { 0 },
            last: 0,
            count: 0,
            from_us: time_us,
            to_us: time_us,
        });
        if is_one_room {
            gap.last = seq;
        }
        gap.count += 1;
        gap.to_us = gap.to_us.max(time_us);
    }
}

/// Rooms whose numbers are noted one by one while the queue is full; the messages of further rooms are counted together.
const MOST_ROOMS: usize = 1024;

/// Items from which on missing numbers are not noted: a message after them shows by its `prev` that they are missing.
const MOST_MISSING: usize = 1 << 20;
