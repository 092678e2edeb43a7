//! The thread that accepts connections. Newcomers are read here, and not by the threads of the shards, so that they delay no
//! message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use mio::{Poll, Registry};

use crate::command::Event;
use crate::driver::{WAKE, panic_text};
use crate::events::Events;
use crate::link::{SocketLink, Wire};
use crate::newcomers::{Newcomers, SHARD};
use crate::priority;
use crate::queue::Queue;
use crate::slots::ConnId;
use crate::wire::refusal::Refusal;

pub use self::listener::{Arrived, Listener};
pub use self::outage::Outage;

/// What the acceptor works on.
#[derive(Debug)]
pub struct Acceptor {
    /// The state machine, which the host's threads use as well. Nothing that waits is done while it is locked.
    pub newcomers: Arc<Mutex<Newcomers<Wire>>>,
    /// Where listeners and newcomers register; also woken through.
    pub poll: Poll,
    /// The same.
    pub registry: Arc<Registry>,
    /// What it is told.
    pub queue: Arc<Queue<Told>>,
    /// What it tells.
    pub events: Arc<Events>,
    /// Set when a thread has failed.
    pub failure: Arc<OnceLock<String>>,
    /// When the engine's clock started.
    pub started: Instant,
    /// What was said of connections that cannot be accepted.
    pub outage: Outage,
}

/// What an acceptor is told.
#[derive(Debug)]
pub enum Told {
    /// Accept from this one as well.
    Listen(Listener),
    /// Accept no more, and say when that is done.
    Close(SyncSender<()>),
    /// The host does not let a newcomer in.
    Refuse(ConnId, Refusal),
}

impl Acceptor {
    /// Runs until the queue is stopped or something panics, and ends all newcomers.
    pub fn run(mut self) {
        // Those who want to come in do not interrupt those who are.
        priority::patient();
        let mut listeners = Vec::new();
        let result = catch_unwind(AssertUnwindSafe(|| self.work(&mut listeners)));
        let what = match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(panic_text(&*panic)),
        };
        if let Some(what) = what {
            let _ = self.queue.stop();
            let _ = self.failure.set(what.clone());
            self.tell([Event::Failed { what }]);
        }
        // What is left of a broken state may panic again on the way.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            lock(&self.newcomers).abort();
            drop(listeners);
        }));
    }

    fn work(&mut self, listeners: &mut Vec<Listener>) -> io::Result<()> {
        let mut told = Vec::new();
        let mut ready = mio::Events::with_capacity(256);
        loop {
            if !self.queue.take(&mut told) {
                return Ok(());
            }
            let now_us = self.now_us();
            for told in told.drain(..) {
                match told {
                    Told::Listen(listener) => listeners.push(listener),
                    Told::Refuse(id, refusal) => lock(&self.newcomers).refuse(id, &refusal, now_us),
                    Told::Close(done) => {
                        self.close(mem::take(listeners));
                        // The other side waits no longer, perhaps.
                        let _ = done.try_send(());
                    }
                }
            }
            let (is_busy, retry_us) = self.accept(listeners, now_us);
            let (next_us, events) = {
                let mut newcomers = lock(&self.newcomers);
                (newcomers.tick(now_us), newcomers.take())
            };
            self.tell(events);
            let wait = if is_busy || !self.queue.sleep() {
                // The host and the shards may share our core, and have the ones to serve that are in.
                thread::yield_now();
                Some(Duration::ZERO)
            } else {
                let next_us = [next_us, retry_us].into_iter().flatten().min();
                next_us.map(|next_us| Duration::from_micros(next_us.saturating_sub(now_us)))
            };
            match self.poll.poll(&mut ready, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let now_us = self.now_us();
            for event in ready.iter().filter(|event| event.token() != WAKE) {
                let id = ConnId::from_u64(event.token().0 as u64);
                if id.shard() == SHARD {
                    let is_gone = event.is_error() || event.is_write_closed();
                    lock(&self.newcomers).ready(id, is_gone, now_us);
                } else if let Some(listener) = listeners.iter_mut().find(|listener| listener.token == event.token()) {
                    listener.wake();
                }
            }
        }
    }

    /// Accepts a few. Returns whether there are more, and when to try again where there could be none.
    fn accept(&mut self, listeners: &mut [Listener], now_us: u64) -> (bool, Option<u64>) {
        let mut arrived = Vec::new();
        let mut retry_us: Option<u64> = None;
        for listener in listeners.iter_mut() {
            match listener.accept(ACCEPTS, &mut arrived, now_us) {
                Ok(()) => {}
                Err(error) => {
                    let what = self.outage.failed(&error, now_us);
                    self.say(what);
                }
            }
            retry_us = retry_us.into_iter().chain(listener.retry_us).min();
        }
        let what = self.outage.ended(now_us);
        self.say(what);
        retry_us = retry_us.into_iter().chain(self.outage.due_us()).min();
        for Arrived { socket, door, address } in arrived {
            let link = Wire::Socket(SocketLink::accepted(socket, Arc::clone(&self.registry)));
            lock(&self.newcomers).arrive(link, door, address, now_us);
        }
        (listeners.iter().any(|listener| listener.is_ready), retry_us)
    }

    /// Listens no more. Those who wait in the kernel would be reset by that: they are taken, and told if they have asked.
    fn close(&mut self, mut listeners: Vec<Listener>) {
        lock(&self.newcomers).close();
        for listener in &mut listeners {
            listener.is_ready = true;
        }
        let mut left = LAST;
        while left > 0 && self.accept(&mut listeners, self.now_us()).0 {
            left -= 1;
        }
        drop(listeners);
        let events = lock(&self.newcomers).take();
        self.tell(events);
    }

    fn say(&self, what: Option<String>) {
        self.tell(what.map(|what| Event::TurnedAway {
            remote: String::new(),
            status: 0,
            reason: what.into(),
            suppressed: 0,
        }));
    }

    fn tell(&self, events: impl IntoIterator<Item = Event>) {
        // Only messages fill anything.
        self.events.extend(events, &mut Vec::new());
    }

    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

fn lock(newcomers: &Mutex<Newcomers<Wire>>) -> MutexGuard<'_, Newcomers<Wire>> {
    // After a panic the acceptor ends all newcomers, whatever they are.
    newcomers.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Connections accepted from one listener before others have their turn.
const ACCEPTS: usize = 16;

/// Turns in which the last ones are accepted: as many as a backlog has, at most.
const LAST: usize = 4096;

mod listener;
mod outage;
