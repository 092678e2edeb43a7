//! Recordings of rooms: their start, their end, and what can be read of them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::engine::{Engine, lock};
use crate::error::Error;
use crate::io::recorder::{self, RecorderSettings};
use crate::io::recording_files::FileSettings;
use crate::recording::recorder::{Recorder, RecorderPlace};

/// A recording that was started. It stays after its end until it is removed, so that it can be read.
#[derive(Debug)]
pub(super) struct Recording {
    id: u64,
    name: String,
    recorder: Arc<Recorder>,
    thread: Option<JoinHandle<()>>,
}

/// The recordings of an engine.
#[derive(Debug, Default)]
pub(super) struct Recordings {
    open: Vec<Recording>,
    /// The sums of those that were stopped.
    stopped: RecordingReading,
}

/// What is known of a recording.
#[derive(Debug, Clone, Default)]
pub struct RecordingReading {
    /// The id that [`Engine::record`] has returned.
    pub id: u64,
    /// The first part of the names of its files.
    pub name: String,
    /// The file that is written.
    pub file: String,
    /// Why nothing can be written now; none: it can.
    pub failure: Option<String>,
    /// Whether it has ended.
    pub is_ended: bool,
    /// Messages in files.
    pub messages: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Messages that were left out.
    pub left_out: u64,
    /// Bytes of messages that wait to be written.
    pub queue_bytes: usize,
    /// Writes that failed.
    pub errors: u64,
    /// Files that were begun.
    pub files: u64,
    /// Files that were deleted.
    pub deleted: u64,
}

impl Engine {
    /// Records what is published in rooms that match one of the patterns, from now on: what a publish that returned
    /// before has published is not in it. Returns the id of the recording.
    pub fn record(
        &self,
        patterns: Vec<Box<str>>,
        files: FileSettings,
        queue_bytes: usize,
        flush_interval: Duration,
    ) -> Result<u64, Error> {
        self.check()?;
        lock(&self.recordings).check()?;
        let name = files.name.clone();
        let (started, started_us) = (self.builder.started(), self.builder.unix_us(0));
        let (recorder, thread) =
            recorder::start(RecorderSettings { files, queue_bytes, flush_interval, started, started_us })?;
        // The disk may have taken long, and whoever asks about recordings must not wait for it.
        let mut recordings = lock(&self.recordings);
        self.check().and_then(|()| recordings.check()).inspect_err(|_| recorder.stop())?;
        let id = self.rooms.new_id();
        self.rooms.change_recorded(|recorded| recorded.add(id, patterns, Arc::clone(&recorder)));
        recordings.open.push(Recording { id, name, recorder, thread: Some(thread) });
        Ok(id)
    }

    /// Ends a recording: what was published before is written. Returns what is known of it then; none if there is no
    /// such recording. Waits for its thread up to `timeout`.
    pub fn stop_recording(&self, id: u64, timeout: Duration) -> Result<Option<RecordingReading>, Error> {
        self.check_process()?;
        self.rooms.change_recorded(|recorded| recorded.remove(id));
        let found = {
            let recordings = lock(&self.recordings);
            recordings.open.iter().find(|recording| recording.id == id).map(|recording| Arc::clone(&recording.recorder))
        };
        let Some(recorder) = found else { return Ok(None) };
        recorder.stop();
        let deadline = Instant::now() + timeout;
        while !recorder.counts.is_ended() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let mut recordings = lock(&self.recordings);
        let Some(place) = recordings.open.iter().position(|recording| recording.id == id) else { return Ok(None) };
        let reading = recordings.open[place].reading();
        if reading.is_ended {
            recordings.stopped.add(&reading);
            recordings.open.swap_remove(place).join();
        }
        Ok(Some(reading))
    }

    /// Returns what is known of the recordings.
    pub fn recordings(&self) -> Vec<RecordingReading> {
        lock(&self.recordings).open.iter().map(Recording::reading).collect()
    }

    /// Returns the sums of all recordings, those included that have ended.
    pub fn recorded(&self) -> RecordingReading {
        let recordings = lock(&self.recordings);
        let mut sum = recordings.stopped.clone();
        recordings.open.iter().for_each(|recording| sum.add(&recording.reading()));
        sum
    }

    /// Ends all recordings at the end of the engine, up to a deadline. Returns whether all have ended.
    pub(super) fn end_recordings(&self, deadline: Instant) -> bool {
        // None is added from here on, because the engine has ended.
        lock(&self.recordings).open.iter().for_each(|recording| recording.recorder.stop());
        let is_over = |recording: &Recording| recording.thread.as_ref().is_none_or(JoinHandle::is_finished);
        while !lock(&self.recordings).open.iter().all(is_over) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let mut recordings = lock(&self.recordings);
        for recording in recordings.open.iter_mut().filter(|recording| is_over(recording)) {
            // A panic of the thread was already noted as its failure.
            let _ = recording.thread.take().map(JoinHandle::join);
        }
        recordings.open.iter().all(is_over)
    }
}

impl Recordings {
    /// Fails if there are too many for another one.
    fn check(&self) -> Result<(), Error> {
        if self.open.len() >= MOST_RECORDINGS {
            let (what, limit) = ("the number of recordings", MOST_RECORDINGS);
            return Err(Error::Overloaded { what, limit, field: "recordings" });
        }
        Ok(())
    }
}

impl RecordingReading {
    /// Adds the counts of another one.
    fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.left_out += other.left_out;
        self.queue_bytes += other.queue_bytes;
        self.errors += other.errors;
        self.files += other.files;
        self.deleted += other.deleted;
    }
}

impl Recording {
    fn reading(&self) -> RecordingReading {
        let counts = &self.recorder.counts;
        let RecorderPlace { file, failure } = counts.place();
        RecordingReading {
            id: self.id,
            name: self.name.clone(),
            file,
            failure,
            is_ended: counts.is_ended(),
            messages: counts.messages.load(Relaxed),
            bytes: counts.bytes.load(Relaxed),
            left_out: counts.left_out.load(Relaxed),
            queue_bytes: self.recorder.queue.bytes(),
            errors: counts.errors.load(Relaxed),
            files: counts.files.load(Relaxed),
            deleted: counts.deleted.load(Relaxed),
        }
    }

    fn join(self) {
        // A panic of the thread was already noted as its failure.
        let _ = self.thread.map(JoinHandle::join);
    }
}

/// Recordings at once: each has a thread, and a queue of its own.
pub const MOST_RECORDINGS: usize = 16;
