//! The thread of one shard: it takes commands, lets the shard read and write, waits for sockets and timers.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use std::{io, thread};

use mio::{Poll, Token};

use crate::budget::Budget;
use crate::command::{Command, Event};
use crate::events::Events;
use crate::link::Wire;
use crate::priority;
use crate::queue::Queue;
use crate::runs;
use crate::shard::Shard;
use crate::slots::{ConnId, Ids};

/// What an engine's thread works on.
#[derive(Debug)]
pub struct Driver {
    /// The state machine.
    pub shard: Shard<Wire>,
    /// Where its links register; also woken through.
    pub poll: Poll,
    /// What it is told.
    pub queue: Arc<Queue<Command<Wire>>>,
    /// What it tells.
    pub events: Arc<Events>,
    /// Where ids go back to when their connections have ended.
    pub ids: Arc<Mutex<Ids>>,
    /// Set when the thread has failed; every later call of the engine says so.
    pub failure: Arc<OnceLock<String>>,
    /// Counts what is built here.
    pub budget: Arc<Budget>,
    /// Bytes that rooms keep on purpose, which nobody's slowness explains.
    pub kept: Arc<Budget>,
    /// When the engine's clock started.
    pub started: Instant,
}

impl Driver {
    /// Runs until the queue is stopped or something panics. A panic ends this shard's connections and is told
    /// as an event; it goes no further.
    pub fn run(mut self) {
        // Who publishes, and those who are read, wait for this thread on a core that it shares.
        priority::prompt();
        let result = catch_unwind(AssertUnwindSafe(|| self.work()));
        let what = match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(panic_text(&*panic)),
        };
        if let Some(what) = what {
            // Stopped, so that nobody waits for a thread that is gone.
            let _ = self.queue.stop();
            let _ = self.failure.set(what.clone());
            self.events.extend([Event::Failed { what }], &mut Vec::new());
        }
        // Dropping the shard closes its descriptors; a broken one may panic again on the way.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.shard.abort_all();
            self.tell(self.now_us());
        }));
    }

    fn work(&mut self) -> io::Result<()> {
        let mut taken = Vec::new();
        let mut pending = VecDeque::new();
        let mut ready = mio::Events::with_capacity(1024);
        let mut turns_since_poll = 0;
        let mut pending_bytes = 0;
        let mut courtesy = Courtesy::default();
        loop {
            if pending.is_empty() {
                pending_bytes = self.queue.bytes();
                if !self.queue.take(&mut taken) {
                    return Ok(());
                }
                pending.extend(taken.drain(..));
            } else if self.queue.is_stopped() {
                // What is left of a long list would be dropped at its end all the same.
                return Ok(());
            }
            let now_us = self.now_us();
            let mut work = 0;
            while work < APPLY_QUOTA
                && let Some(command) = runs::next(&mut pending, |room| self.shard.members(room), &self.budget)
            {
                work += self.shard.apply(command, now_us);
            }
            // What is due may depend on whether the host has asked meanwhile.
            self.shard.host(self.events.asked(), self.events.is_roomy());
            // Before the writes: a ping that was queued after them would wait for whatever wakes this thread next.
            self.shard.tick(now_us);
            let is_reading = self.shard.read(READ_QUOTA, now_us);
            // Also before: when a peer answers a close frame, the host has to know already why it was sent.
            self.tell(now_us);
            let is_busy = self.shard.flush(FLUSH_QUOTA, now_us) || is_reading || !pending.is_empty();
            if pending.is_empty() {
                pending_bytes = 0;
            }
            self.shard.settle(now_us, pending_bytes + self.queue.bytes() + self.kept.used());
            let next_us = self.shard.next_due_us();
            self.tell(now_us);

            turns_since_poll += 1;
            let wait = if is_busy || !self.queue.sleep() {
                // Sockets are looked at also when commands never cease, or a blocked one would wait for ever.
                // The host's loop may share our core, and mostly has less to do than we: it goes first, every turn.
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
                // Who woke us may have more to publish and share our core: let it, and the first write carries it all.
                courtesy.offer(|| self.now_us());
            }
            for event in ready.iter().filter(|event| event.token() != WAKE) {
                let conn = ConnId::from_u64(event.token().0 as u64);
                let is_hung_up = event.is_read_closed() || event.is_error();
                self.shard.ready(conn, event.is_readable(), is_hung_up, event.is_writable());
            }
        }
    }

    fn tell(&mut self, now_us: u64) {
        let (events, ended) = self.shard.take();
        // Ids first: who hears that a connection was closed may expect its place to be free.
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

/// Lets others on this core go first, as long as they have little to do: a busy one takes a whole time slice each time,
/// milliseconds, so it gets no more than half of the core in this way, and a round of some hundred writes is done first.
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

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let thread = thread::current();
    format!("panic in {}: {}", thread.name().unwrap_or("a thread"), text.unwrap_or("no message"))
}

/// Microseconds between yields: five hundred writes, and what a host's loop may have to wait.
const OURS_US: u64 = 2_000;

/// The token of the waker; no connection has this id.
pub const WAKE: Token = Token(0);

/// Connections written to in one turn: about 0.2 ms of system calls, after which new messages are looked for,
/// so that they still join the writes of the same round.
const FLUSH_QUOTA: usize = 32;

/// Connections read from in one turn: about 0.1 ms of system calls.
const READ_QUOTA: usize = 32;

/// References queued in one turn: about 1 ms, so that a flood of messages cannot keep the thread from writing.
const APPLY_QUOTA: usize = 65_536;

/// Turns of a busy thread between looks at its sockets: 2 ms, in which a blocked one may wait.
const POLL_EVERY: usize = 8;
