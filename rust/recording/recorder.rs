//! A recording, as publishers see it: its queue, the waker of its thread, and what it has counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use crate::message::Message;
use crate::recording::queue::{LeftOut, Pushed, RecordQueue};

/// A recording. Thread-safe.
#[derive(Debug)]
pub struct Recorder {
    /// What waits to be written.
    pub queue: RecordQueue,
    /// What it has counted.
    pub counts: RecorderCounts,
    waker: Arc<Waker>,
}

/// The recordings of a room.
pub type Recorders = Arc<[Arc<Recorder>]>;

/// Gives a message to the recordings of its room, under the room's lock.
pub fn record(recorders: Option<&Recorders>, message: &Arc<Message>, origin: u64, wake: &mut Vec<Arc<Waker>>) {
    for recorder in recorders.into_iter().flat_map(|recorders| recorders.iter()) {
        recorder.push(message, origin, wake);
    }
}

/// What a recording has counted. Written by its thread and by publishers.
#[derive(Debug, Default)]
pub struct RecorderCounts {
    /// Messages in files.
    pub messages: AtomicU64,
    /// Bytes of files.
    pub bytes: AtomicU64,
    /// Messages that were left out.
    pub left_out: AtomicU64,
    /// Writes that failed, each attempt counted.
    pub errors: AtomicU64,
    /// Files that were begun.
    pub files: AtomicU64,
    /// Files that were deleted because of the limit on their bytes.
    pub deleted: AtomicU64,
    is_ended: AtomicBool,
    place: Mutex<RecorderPlace>,
}

/// Where a recording is.
#[derive(Debug, Clone, Default)]
pub struct RecorderPlace {
    /// The path of the file that is written.
    pub file: String,
    /// Why nothing can be written now; none: it can.
    pub failure: Option<String>,
}

impl Recorder {
    /// Creates a recording whose queue holds `max_bytes`, and whose thread is woken by `waker`.
    pub fn new(max_bytes: usize, waker: Arc<Waker>) -> Self {
        Self { queue: RecordQueue::new(max_bytes), counts: RecorderCounts::default(), waker }
    }

    /// Queues a message, under its room's lock. Adds the thread to `wake` if it has to be woken.
    pub fn push(&self, message: &Arc<Message>, origin: u64, wake: &mut Vec<Arc<Waker>>) {
        match self.queue.push(message, origin) {
            Pushed::Queued => {}
            Pushed::Wake => wake.push(Arc::clone(&self.waker)),
            Pushed::LeftOut => {
                self.counts.left_out.fetch_add(1, Relaxed);
            }
        }
    }

    /// Notes numbers that will never come, under their room's lock.
    pub fn missing(&self, missing: LeftOut, wake: &mut Vec<Arc<Waker>>) {
        if self.queue.missing(missing) {
            wake.push(Arc::clone(&self.waker));
        }
    }

    /// Tells its thread to write what waits, and to end.
    pub fn stop(&self) {
        self.queue.stop();
        // Fails only if the descriptor is broken; the thread then wakes at its next timer.
        let _ = self.waker.wake();
    }
}

impl RecorderCounts {
    /// Returns where it is.
    pub fn place(&self) -> RecorderPlace {
        self.lock().clone()
    }

    /// Notes the file that is written.
    pub fn set_file(&self, file: String) {
        self.lock().file = file;
    }

    /// Notes why nothing can be written; none: it can.
    pub fn set_failure(&self, failure: Option<String>) {
        self.lock().failure = failure;
    }

    /// Notes that its thread has ended.
    pub fn end(&self) {
        self.is_ended.store(true, Relaxed);
    }

    /// Whether its thread has ended.
    pub fn is_ended(&self) -> bool {
        self.is_ended.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, RecorderPlace> {
        // No code that can panic runs under this lock.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
