//! The thread of a recording. It takes what was published from the queue, builds blocks, and writes them. If the disk
//! refuses a block, it tries the same block again: what is published meanwhile waits in the queue, and is left out and
//! noted once the queue is full.

use std::io::{self, ErrorKind};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::{Poll, Waker};

use crate::io::driver::{WAKE, panic_text};
use crate::io::priority;
use crate::io::recording_files::{FileSettings, RecordingFiles, Rotated};
use crate::recording::block::{BLOCK_BYTES, BlockBuilder};
use crate::recording::entry::{Gap, GapReason};
use crate::recording::queue::{Item, LeftOut, Taken};
use crate::recording::recorder::Recorder;

/// The settings of a recording.
#[derive(Debug, Clone)]
pub struct RecorderSettings {
    /// The files.
    pub files: FileSettings,
    /// The bytes of messages that may wait to be written.
    pub queue_bytes: usize,
    /// How long a message waits for others before it is written.
    pub flush_interval: Duration,
    /// When the engine's clock started.
    pub started: Instant,
    /// The same in microseconds since 1970.
    pub started_us: u64,
}

/// Starts the thread. Fails if the first file cannot be written.
pub fn start(settings: RecorderSettings) -> io::Result<(Arc<Recorder>, JoinHandle<()>)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
    let recorder = Arc::new(Recorder::new(settings.queue_bytes, waker));
    let clock = RecorderClock { started: settings.started, started_us: settings.started_us };
    // Several blocks fit into a small file.
    let block_bytes = BLOCK_BYTES.min(usize::try_from(settings.files.rotate_bytes / 4).unwrap_or(BLOCK_BYTES));
    let (files, rotated) = RecordingFiles::open(settings.files, clock.now_ns(), clock.system_ns())?;
    let writer = RecordWriter {
        recorder: Arc::clone(&recorder),
        poll,
        files,
        clock,
        builder: BlockBuilder::default(),
        flush_interval: settings.flush_interval,
        taken: Taken::default(),
        block_bytes,
        due: None,
        retry: None,
    };
    writer.note(rotated);
    let thread = thread::Builder::new().name("fanwire-record".into()).spawn(move || writer.run())?;
    Ok((recorder, thread))
}

/// The engine's clock, which never jumps, beside the system's.
#[derive(Debug, Clone, Copy)]
struct RecorderClock {
    started: Instant,
    started_us: u64,
}

impl RecorderClock {
    fn now_ns(self) -> u64 {
        self.started_us.saturating_mul(1000).saturating_add(self.started.elapsed().as_nanos() as u64)
    }

    /// How far the system's clock is ahead.
    fn system_ns(self) -> i64 {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64;
        system.wrapping_sub(self.now_ns() as i64)
    }
}

#[derive(Debug)]
struct RecordWriter {
    recorder: Arc<Recorder>,
    poll: Poll,
    files: RecordingFiles,
    clock: RecorderClock,
    builder: BlockBuilder,
    flush_interval: Duration,
    /// What was taken from the queue, and is not in the block.
    taken: Taken,
    /// The bytes from which on a block is written.
    block_bytes: usize,
    /// When the block has to be written, though it is not full.
    due: Option<Instant>,
    /// When a block that the disk has refused is tried again.
    retry: Option<Instant>,
}

impl RecordWriter {
    /// Runs until it is told to stop. A panic ends the recording, and nothing else.
    fn run(mut self) {
        priority::patient();
        let recorder = Arc::clone(&self.recorder);
        let failure = match catch_unwind(AssertUnwindSafe(|| self.work())) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(format!("{}; this is a bug in fanwire", panic_text(&*panic))),
        };
        if failure.is_some() {
            recorder.counts.set_failure(failure);
        }
        // What is published from here on is left out, and counted where it is pushed.
        recorder.queue.stop();
        self.leave_out_rest();
        recorder.counts.end();
    }

    fn work(&mut self) -> io::Result<()> {
        let mut ready = mio::Events::with_capacity(4);
        loop {
            let goes_on = if self.taken.items.is_empty() && self.taken.left_out.is_empty() {
                self.recorder.queue.take(&mut self.taken)
            } else {
                !self.recorder.queue.is_stopped()
            };
            if !goes_on {
                return self.finish();
            }
            if self.retry.is_none_or(|retry| retry <= Instant::now()) && self.build() {
                let is_due = self.due.is_some_and(|due| due <= Instant::now());
                if is_due {
                    self.write();
                }
            }
            let wait = self.wait();
            match self.poll.poll(&mut ready, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns how long to wait; none: until a publisher wakes this thread. While messages come it naps, so that no
    /// publisher has to.
    fn wait(&self) -> Option<Duration> {
        let until = |time: Instant| time.saturating_duration_since(Instant::now());
        match (self.retry, self.due) {
            (Some(retry), _) => Some(until(retry)),
            (None, Some(due)) => Some(until(due).min(NAP)),
            (None, None) if self.recorder.queue.sleep() => None,
            (None, None) => Some(Duration::ZERO),
        }
    }

    /// Puts what was taken into blocks, and writes those that are full. Returns false if the disk has refused one.
    fn build(&mut self) -> bool {
        let started_us = self.clock.started_us;
        loop {
            if self.builder.len() >= self.block_bytes && !self.write() {
                return false;
            }
            // A message is let go as soon as it is in the block, while the processor still has it.
            match self.taken.items.pop_front() {
                Some(Item::Message(message, origin)) => self.builder.add(&message, origin, started_us),
                Some(Item::Missing(missing)) => {
                    self.builder.add_gap(&gap_of(&missing, GapReason::Backplane, started_us));
                }
                None => break,
            }
        }
        for left_out in &self.taken.left_out {
            self.builder.add_gap(&gap_of(left_out, GapReason::Queue, started_us));
        }
        self.taken.left_out.clear();
        if self.due.is_none() && !self.builder.is_empty() {
            self.due = Some(Instant::now() + self.flush_interval);
        }
        true
    }

    /// Writes the block. Returns false, and tries it again later, if the disk refuses it.
    fn write(&mut self) -> bool {
        let counts = &self.recorder.counts;
        let records = self.builder.records();
        let block = self.builder.finish(self.clock.system_ns());
        let len = block.len() as u64;
        match self.files.write(block, self.clock.now_ns(), self.clock.system_ns()) {
            Ok(rotated) => {
                counts.messages.fetch_add(records.into(), Relaxed);
                counts.bytes.fetch_add(len, Relaxed);
                self.note(rotated);
                if self.retry.take().is_some() {
                    self.recorder.counts.set_failure(None);
                }
                self.builder.clear();
                self.due = None;
                true
            }
            Err(error) => {
                counts.errors.fetch_add(1, Relaxed);
                counts.set_failure(Some(format!("cannot write {}: {error}", self.files.path().display())));
                self.retry = Some(Instant::now() + RETRY);
                false
            }
        }
    }

    /// Writes all that is left, and ends the file. What the disk refuses now is left out.
    fn finish(&mut self) -> io::Result<()> {
        loop {
            if !self.build() || (!self.builder.is_empty() && !self.write()) {
                break;
            }
            self.recorder.queue.take(&mut self.taken);
            if self.taken.items.is_empty() && self.taken.left_out.is_empty() {
                return self.files.close();
            }
        }
        // The failure is that of the block.
        let _ = self.files.close();
        Ok(())
    }

    /// Counts what was queued and is in no file. What found no space in the queue is counted already.
    fn leave_out_rest(&mut self) {
        let items = mem::take(&mut self.taken.items);
        self.recorder.queue.take(&mut self.taken);
        let is_message = |item: &&Item| matches!(item, Item::Message(..));
        let waiting = items.iter().chain(&self.taken.items).filter(is_message).count();
        let lost = u64::from(self.builder.records()) + waiting as u64;
        self.recorder.counts.left_out.fetch_add(lost, Relaxed);
    }

    fn note(&self, rotated: Rotated) {
        let counts = &self.recorder.counts;
        counts.deleted.fetch_add(rotated.deleted, Relaxed);
        counts.bytes.fetch_add(rotated.header, Relaxed);
        if rotated.is_new {
            counts.files.fetch_add(1, Relaxed);
            counts.set_file(self.files.path().display().to_string());
        }
    }
}

fn gap_of(left_out: &LeftOut, reason: GapReason, started_us: u64) -> Gap<'_> {
    let LeftOut { room, epoch, first, last, count, from_us, to_us } = left_out;
    let ns = |us: u64| started_us.saturating_add(us).saturating_mul(1000);
    let (from_ns, to_ns) = (ns(*from_us), ns(*to_us));
    let room = room.as_deref().unwrap_or_default();
    Gap { room, epoch: *epoch, first: *first, last: *last, count: *count, reason, from_ns, to_ns }
}

/// How long the thread sleeps while messages come: long enough to take many at once, and far shorter than the queue lasts.
const NAP: Duration = Duration::from_millis(5);

/// How long after a failed write the next one is tried: a disk does not become empty faster.
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
