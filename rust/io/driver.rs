//! The thread of one shard: it takes commands, lets the shard read and write, waits for sockets and timers.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use std::{hint, io, thread};

use mio::{Poll, Token};

use crate::budget::Budget;
use crate::io::link::AnyLink;
use crate::io::priority;
use crate::io::spin::{LOOKS, Spin};
use crate::queues::command::{Command, Event};
use crate::queues::events::Events;
use crate::queues::queue::Queue;
use crate::shard::Shard;
use crate::shard::coalesce;
use crate::slots::{ConnId, Ids};

/// The thread of one shard, and what it works on.
#[derive(Debug)]
pub struct Driver {
    /// The state machine.
    pub shard: Shard<AnyLink>,
    /// The poll of the shard's links and the waker.
    pub poll: Poll,
    /// Commands to the shard.
    pub queue: Arc<Queue<Command<AnyLink>>>,
    /// Events to the host.
    pub events: Arc<Events>,
    /// Takes back the ids of connections that have ended.
    pub ids: Arc<Mutex<Ids>>,
    /// The reason, if a thread of the engine has failed. Every later call of the engine returns it.
    pub failure: Arc<OnceLock<String>>,
    /// Counts the memory of messages that are built here.
    pub budget: Arc<Budget>,
    /// Bytes of the rooms' histories, which are not due to slow connections.
    pub kept: Arc<Budget>,
    /// Whether the thread spins before it sleeps.
    pub spin: Spin,
    /// The processor of the thread; none: the system chooses.
    pub core: Option<usize>,
    /// When the engine's clock started.
    pub started: Instant,
}

impl Driver {
    /// Runs until the queue is stopped, the poll fails or something panics. A panic ends the shard's connections, is
    /// told as an event, and goes no further.
    pub fn run(mut self) {
        // Publishers and readers wait for this thread, and it may share its core with them.
        priority::prompt();
        let result = catch_unwind(AssertUnwindSafe(|| self.work()));
        let what = match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(panic_text(&*panic)),
        };
        if let Some(what) = what {
            // Stops the queue, so that no caller waits for this thread.
            let _ = self.queue.stop();
            let _ = self.failure.set(what.clone());
            self.events.extend([Event::Failed { what }], &mut Vec::new());
        }
        // Dropping the shard closes its descriptors. After a panic its state may be broken, and panic again.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.shard.abort_all();
            self.tell(self.now_us());
        }));
    }

    fn work(&mut self) -> io::Result<()> {
        if let Some(core) = self.core {
            priority::pin(core)?;
        }
        let mut taken = Vec::new();
        let mut pending = VecDeque::new();
        let mut ready = mio::Events::with_capacity(1024);
        let mut turns_since_poll = 0;
        let mut pending_bytes = 0;
        let mut courtesy = Courtesy::default();
        let mut has_heard = false;
        loop {
            if pending.is_empty() {
                pending_bytes = self.queue.bytes();
                if !self.queue.take(&mut taken) {
                    return Ok(());
                }
                pending.extend(taken.drain(..));
            } else if self.queue.is_stopped() {
                // The remaining commands have no effect, because all connections end now.
                return Ok(());
            }
            let now_us = self.now_us();
            let mut work = 0;
            while work < APPLY_QUOTA
                && let Some(command) = coalesce::next(&mut pending, |room| self.shard.members(room), &self.budget)
            {
                work += self.apply(command, now_us);
            }
            // The timers depend on whether the host has asked for events since.
            self.shard.host(self.events.asked(), self.events.is_roomy());
            // Timers come before the writes. A ping that was queued after them would wait until this thread wakes
            // again.
            self.shard.tick(now_us);
            let is_reading = self.shard.read(READ_QUOTA, now_us);
            // Events come before the writes too. When a peer answers a close frame, the host must know why it was sent.
            self.tell(now_us);
            let is_busy = self.shard.flush(FLUSH_QUOTA, now_us) || is_reading || !pending.is_empty();
            if pending.is_empty() {
                pending_bytes = 0;
            }
            self.shard.settle(now_us, pending_bytes + self.queue.bytes() + self.kept.used());
            let next_us = self.shard.next_due_us();
            self.tell(now_us);

            turns_since_poll += 1;
            if work > 0 || is_busy || has_heard {
                self.spin.worked(now_us);
            }
            has_heard = false;
            if !is_busy && self.spin.is_on() && self.look_around(&mut ready, next_us)? {
                (turns_since_poll, has_heard) = (0, self.hear(&ready));
                continue;
            }
            let wait = if is_busy || !self.queue.sleep() {
                // The host's loop may share this core, and mostly has less to do, so it goes first. Sockets are polled
                // even if commands never cease, or a blocked one would wait for ever.
                courtesy.offer(|| self.now_us());
                if turns_since_poll < POLL_EVERY {
                    continue;
                }
                Some(Duration::ZERO)
            } else {
                next_us.map(|next_us| Duration::from_micros(next_us.saturating_sub(now_us)))
            };
            turns_since_poll = 0;
            match self.poll.poll(&mut ready, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if wait != Some(Duration::ZERO) {
                // The thread that woke this one may share its core, and have more to publish. If it goes first, one
                // write carries all of it.
                courtesy.offer(|| self.now_us());
            }
            has_heard = self.hear(&ready);
        }
    }

    /// Spins while the settings allow it and there is nothing to do. Returns whether there is: commands, or the sockets
    /// in `ready`.
    fn look_around(&mut self, ready: &mut mio::Events, due_us: Option<u64>) -> io::Result<bool> {
        while self.spin.goes_on(self.now_us(), due_us) {
            for _ in 0..LOOKS {
                if self.queue.has_news() {
                    ready.clear();
                    return Ok(true);
                }
                hint::spin_loop();
            }
            match self.poll.poll(ready, Some(Duration::ZERO)) {
                Ok(()) if ready.is_empty() => {}
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            // Where a core has other work after all, that goes first.
            thread::yield_now();
        }
        Ok(false)
    }

    /// Passes on what the poll has told of sockets. Returns whether that was anything.
    fn hear(&mut self, ready: &mio::Events) -> bool {
        for event in ready.iter().filter(|event| event.token() != WAKE) {
            let conn = ConnId::from_u64(event.token().0 as u64);
            let is_hung_up = event.is_read_closed() || event.is_error();
            self.shard.ready(conn, event.is_readable(), is_hung_up, event.is_writable());
        }
        !ready.is_empty()
    }

    fn apply(&mut self, command: Command<AnyLink>, now_us: u64) -> usize {
        let Command::Together(mut commands) = command else { return self.shard.apply(command, now_us) };
        let mut work = 0;
        while let Some(command) = coalesce::next(&mut commands, |room| self.shard.members(room), &self.budget) {
            work += self.shard.apply(command, now_us);
        }
        work
    }

    fn tell(&mut self, now_us: u64) {
        let (events, ended) = self.shard.take();
        // Ids come first. When the host is told that a connection has ended, its place must be free.
        if !ended.is_empty() {
            let mut ids = self.ids.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            for conn in ended {
                ids.release(conn);
            }
        }
        if !events.is_empty() {
            let mut full = Vec::new();
            self.events.extend(events, &mut full);
            for conn in full {
                self.shard.full(conn, now_us);
            }
        }
    }

    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

/// Yields to other threads on this core, but not too often. A busy thread takes a whole time slice of some milliseconds
/// after each yield. So this thread works for as long as the last yield took, and at least [`OURS_US`], before the
/// next: others get no more than half of the core in this way.
#[derive(Debug, Default)]
struct Courtesy {
    ours_until_us: u64,
}

impl Courtesy {
    fn offer(&mut self, now_us: impl Fn() -> u64) {
        let before = now_us();
        if before < self.ours_until_us {
            return;
        }
        thread::yield_now();
        let after = now_us();
        self.ours_until_us = after + (after - before).max(OURS_US);
    }
}

/// Runs a thread's work. If that fails or panics, stops what feeds it, and tells the host.
pub fn guarded(
    work: impl FnOnce() -> io::Result<()>,
    failure: &OnceLock<String>,
    events: &Events,
    stop: impl FnOnce(),
) {
    let what = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic_text(&*panic),
    };
    // So that no caller waits for this thread.
    stop();
    let _ = failure.set(what.clone());
    events.extend([Event::Failed { what }], &mut Vec::new());
}

/// Returns the text of a panic, with the name of the thread.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let thread = thread::current();
    format!("panic in {}: {}", thread.name().unwrap_or("a thread"), text.unwrap_or("no message"))
}

/// Microseconds between yields: the time of about five hundred writes, and how long the host's loop may have to wait.
const OURS_US: u64 = 2_000;

/// The token of the waker; no connection has this id.
pub const WAKE: Token = Token(0);

/// Connections written to in one turn: about 0.2 ms of system calls. Messages that come meanwhile join the writes of
/// the same round.
const FLUSH_QUOTA: usize = 32;

/// Connections read from in one turn: about 0.1 ms of system calls.
const READ_QUOTA: usize = 32;

/// References queued in one turn: about 1 ms, so that a flood of messages cannot keep the thread from writing.
const APPLY_QUOTA: usize = 65_536;

/// Turns of a busy thread between polls: about 2 ms, for which a blocked socket may have to wait.
const POLL_EVERY: usize = 8;
