//! The engine: rooms, shards and their threads. Every method may be called from any thread, and none waits
//! for a reader; only [`Engine::shutdown`] waits, for the threads, up to a deadline.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Poll, Registry, Waker};

use crate::admission::AdmissionSettings;
use crate::budget::Budget;
use crate::engine::accepting::Gate;
pub use crate::engine::forget::{FORGOTTEN, forgetting};
pub use crate::engine::links::{Farewell, Way};
pub use crate::engine::membership::Entrance;
use crate::engine::message_builder::Mint;
pub use crate::engine::publish::ring;
use crate::error::Error;
use crate::io::driver::{Driver, WAKE};
use crate::io::link::Wire;
use crate::message::Message;
use crate::newcomers::NewcomerSettings;
use crate::process::Process;
use crate::queues::command::{Command, Event};
use crate::queues::events::Events;
use crate::queues::fair_queue::Credit;
use crate::queues::queue::Queue;
use crate::room::ages::BOUNDS_MS;
use crate::room::table::{Entry, Rooms};
use crate::room::{Position, RoomSettings};
use crate::shard::{Shard, ShardSettings};
use crate::slots::{ConnId, Ids, MAX_SHARDS};
use crate::stats::Stats;

/// What an engine is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads that read and write.
    pub shards: usize,
    /// Bytes that may wait for all connections together.
    pub engine_bytes: usize,
    /// Bytes that all rooms together may keep in their histories.
    pub history_bytes: usize,
    /// Rooms that may exist at once.
    pub max_rooms: usize,
    /// Commands that may wait for one shard.
    pub queue_items: usize,
    /// Bytes of messages that may wait for one shard.
    pub queue_bytes: usize,
    /// Levels of lists and maps in a message from another node.
    pub max_nesting: usize,
    /// See [`SocketLink::new`](crate::io::link::SocketLink::new).
    pub unsent_bytes: u32,
    /// See [`SocketLink::new`](crate::io::link::SocketLink::new).
    pub write_timeout: Duration,
    /// How much of what clients send may be on its way to the host.
    pub credit: Credit,
    /// How many may come in.
    pub admission: AdmissionSettings,
    /// What holds for those who want to.
    pub newcomers: NewcomerSettings,
    /// What holds for each connection.
    pub shard: ShardSettings,
}

/// The engine. See the module's head.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    budget: Arc<Budget>,
    unfinished: Arc<Budget>,
    events: Arc<Events>,
    gate: Gate,
    shards: Vec<Handle>,
    rooms: Rooms,
    mint: Mint,
    published: AtomicU64,
    refused: AtomicU64,
    late: AtomicU64,
    is_shut_down: AtomicBool,
    failure: Arc<OnceLock<String>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    owner: Process,
}

/// What the engine holds of a shard.
#[derive(Debug)]
struct Handle {
    queue: Arc<Queue<Command<Wire>>>,
    waker: Arc<Waker>,
    registry: Arc<Registry>,
    ids: Arc<Mutex<Ids>>,
    stats: Arc<Stats>,
}

impl Engine {
    /// Starts the threads.
    pub fn start(settings: Settings) -> Result<Self, Error> {
        // One number is that of newcomers.
        let most = MAX_SHARDS - 1;
        if !(1..=most).contains(&settings.shards) {
            return Err(Error::Invalid(format!("shards must be 1 to {most}, not {}", settings.shards)));
        }
        let budget = Arc::new(Budget::new(settings.engine_bytes));
        let events = Arc::new(Events::new(settings.credit)?);
        let rooms = Rooms::new(settings.max_rooms, settings.shards, settings.history_bytes);
        let mint =
            Mint::new(rooms.new_epoch(), settings.shard.connection_bytes, settings.max_nesting, Arc::clone(&budget));
        let settings =
            Settings { shard: ShardSettings { started_ms: mint.started_ms(), ..settings.shard }, ..settings };
        let failure = Arc::default();
        let (gate, acceptor) = Gate::new(&settings, &events, &failure, mint.started())?;
        let mut engine = Self {
            budget,
            unfinished: Arc::new(Budget::new(settings.credit.total)),
            events,
            gate,
            shards: Vec::new(),
            mint,
            rooms,
            published: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            late: AtomicU64::new(0),
            is_shut_down: AtomicBool::new(false),
            failure,
            threads: Mutex::default(),
            owner: Process::here(),
            settings,
        };
        for index in 0..engine.settings.shards {
            // On failure the engine is dropped, which stops the threads that run already.
            engine.start_shard(index)?;
        }
        let thread = thread::Builder::new().name("fanwire-accept".into()).spawn(|| acceptor.run())?;
        lock(&engine.threads).push(thread);
        Ok(engine)
    }

    /// The descriptor that becomes readable when [`Self::events`] has something.
    pub fn fd(&self) -> RawFd {
        self.events.fd()
    }

    /// What has happened: events, and about `most` messages, a few of each connection at a time. Messages that were
    /// returned before count as handled. The host holds `held` bytes of messages.
    pub fn events(&self, most: usize, held: usize) -> Vec<Event> {
        let mut again = Vec::new();
        let events = self.events.take(most, held, &mut again);
        for conn in again {
            if let Some(shard) = self.shard_of(conn) {
                shard.push(Command::ReadOn { conn }, 0);
            }
        }
        events
    }

    /// Bytes of messages that are coming or on their way to the host.
    pub fn inbound_bytes(&self) -> usize {
        self.unfinished.used() + self.events.bytes()
    }

    /// Gives every room that matches `pattern` these settings, unless an earlier pattern matches it. Rooms
    /// that exist keep theirs.
    pub fn add_rule(&self, pattern: &str, settings: RoomSettings) -> Result<(), Error> {
        self.check()?;
        self.rooms.add_rule(pattern, settings);
        Ok(())
    }

    /// How old what was taken was, by pattern of rooms: see [`crate::room::ages::Ages::counts`]. A pattern may come twice.
    pub fn ages(&self) -> Vec<(Box<str>, [u64; BOUNDS_MS.len() + 1], u64)> {
        self.rooms.ages()
    }

    /// The name and the number of members of each room.
    pub fn room_sizes(&self) -> Result<Vec<(Box<str>, usize)>, Error> {
        self.check()?;
        Ok(self.rooms.sizes())
    }

    /// What the history of a room keeps, see [`Room::kept_after`], and the epoch of its numbers; 0 if there is no such room.
    pub fn history(
        &self,
        name: &str,
        after: Option<Position>,
        limit: usize,
    ) -> Result<(u64, Vec<Arc<Message>>), Error> {
        self.check()?;
        let found = self.rooms.find(name, |Entry { room, .. }| {
            (room.position().epoch, room.kept_after(after, limit, self.mint.now_us(), self.rooms.kept()))
        });
        Ok(found.unwrap_or_default())
    }

    /// Messages published, and messages refused because something was full.
    pub fn published(&self) -> (u64, u64) {
        (self.published.load(Relaxed), self.refused.load(Relaxed))
    }

    /// Messages of other nodes that came twice, or after later ones, and were dropped.
    pub fn late(&self) -> &AtomicU64 {
        &self.late
    }

    /// Rooms that exist.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Bytes that wait, and how many may.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Bytes that rooms keep for those who come later.
    pub fn kept(&self) -> &Budget {
        self.rooms.kept()
    }

    /// What each shard has done.
    pub fn stats(&self) -> impl Iterator<Item = &Stats> {
        self.shards.iter().map(|shard| &*shard.stats)
    }

    /// Ends all connections and threads; false if a thread was not done in time. May be called twice.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        if !self.owner.is_here() {
            return true;
        }
        self.is_shut_down.store(true, Relaxed);
        // First, so that a shard that has ended gets no more connections.
        self.gate.stop();
        for shard in &self.shards {
            if shard.queue.stop() {
                shard.wake();
            }
        }
        let deadline = Instant::now() + timeout;
        let mut threads = lock(&self.threads);
        while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let is_done = threads.iter().all(|thread| thread.is_finished());
        for thread in threads.extract_if(.., |thread| thread.is_finished()) {
            // Its panic, if any, was told as an event.
            let _ = thread.join();
        }
        is_done
    }

    /// Fails after a fork, after shutdown, and after a thread has failed.
    pub fn check(&self) -> Result<(), Error> {
        self.check_process()?;
        self.check_state()
    }

    /// Whether the engine's threads are here. In the child of a fork they are not, and whatever they held locked then stays
    /// so for ever. True of an engine that has ended.
    pub fn check_process(&self) -> Result<(), Error> {
        if self.owner.is_here() { Ok(()) } else { Err(Error::Forked { owner: self.owner.id() }) }
    }

    /// The same, but for the fork.
    fn check_state(&self) -> Result<(), Error> {
        if self.is_shut_down.load(Relaxed) {
            Err(Error::ShutDown)
        } else if let Some(what) = self.failure.get() {
            Err(Error::Failed(what.clone()))
        } else {
            Ok(())
        }
    }

    fn start_shard(&mut self, index: usize) -> io::Result<()> {
        let poll = Poll::new()?;
        let settings = &self.settings;
        let handle = Handle {
            queue: Arc::new(Queue::new(settings.queue_items, settings.queue_bytes)),
            waker: Arc::new(Waker::new(poll.registry(), WAKE)?),
            registry: Arc::new(poll.registry().try_clone()?),
            ids: Arc::new(Mutex::new(Ids::new(index))),
            stats: Arc::default(),
        };
        let budget = Arc::clone(&self.budget);
        let driver = Driver {
            shard: Shard::new(
                index,
                settings.shard.clone(),
                Arc::clone(&budget),
                Arc::clone(&self.unfinished),
                Arc::clone(&handle.stats),
            ),
            budget,
            poll,
            queue: Arc::clone(&handle.queue),
            events: Arc::clone(&self.events),
            ids: Arc::clone(&handle.ids),
            failure: Arc::clone(&self.failure),
            kept: Arc::clone(self.rooms.kept()),
            started: self.mint.started(),
        };
        let thread = thread::Builder::new().name(format!("fanwire-{index}")).spawn(|| driver.run())?;
        lock(&self.threads).push(thread);
        self.shards.push(handle);
        Ok(())
    }

    fn tell(&self, conn: ConnId, command: Command<Wire>, bytes: usize) -> Result<(), Error> {
        self.check()?;
        if let Some(shard) = self.shard_of(conn) {
            shard.push(command, bytes);
        }
        Ok(())
    }

    /// The shard with the fewest connections.
    fn emptiest(&self) -> Result<&Handle, Error> {
        let emptiest = self.shards.iter().min_by_key(|shard| lock(&shard.ids).len());
        emptiest.ok_or_else(|| Error::Invalid("the engine has no shards".into()))
    }

    fn shard_of(&self, conn: ConnId) -> Option<&Handle> {
        self.shards.get(conn.shard())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shutdown(Duration::from_secs(1));
    }
}

impl Handle {
    fn take_id(&self) -> Result<ConnId, Error> {
        let (what, limit) = ("the table of connections", 1 << 22);
        lock(&self.ids).take().ok_or(Error::Overloaded { what, limit, field: "max_connections" })
    }

    fn push(&self, command: Command<Wire>, bytes: usize) {
        if self.queue.push(command, bytes) {
            self.wake();
        }
    }

    fn wake(&self) {
        // Fails only if the descriptor is broken; the thread then looks at its next timer.
        let _ = self.waker.wake();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is consistent at every point where code under them could panic.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

mod accepting;
mod forget;
mod links;
mod log;
mod membership;
pub mod message_builder;
mod publish;
// Not under loom, whose locks work only inside its models.
#[cfg(all(test, not(loom)))]
mod tests;
