//! The engine: rooms, shards and their threads. Every method may be called from any thread, and none waits for a
//! reader. Only [`Engine::shutdown`] waits for the threads, up to a deadline.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Poll, Registry, Waker};

use crate::admission::AdmissionSettings;
use crate::budget::Budget;
use crate::engine::accepting::AcceptorHandle;
pub use crate::engine::forget::{FORGOTTEN, forgetting};
pub use crate::engine::links::CloseReason;
pub use crate::engine::membership::JoinOptions;
use crate::engine::message_builder::MessageBuilder;
pub use crate::engine::publish::wake_all;
use crate::engine::record::Recordings;
use crate::engine::ticks::Ticker;
use crate::engine::tls::TlsHandle;
use crate::error::Error;
use crate::io::driver::{Driver, WAKE};
use crate::io::link::AnyLink;
use crate::io::spin::{Spin, SpinSettings};
use crate::message::Message;
use crate::newcomers::NewcomerSettings;
use crate::process::Process;
use crate::queues::command::{Command, Event};
use crate::queues::events::Events;
use crate::queues::fair_queue::Credit;
use crate::queues::queue::Queue;
use crate::room::table::{RoomEntry, RoomTable};
use crate::room::{Position, RoomSettings};
use crate::shard::{Shard, ShardSettings};
use crate::slots::{ConnId, Ids, MAX_SHARDS};
use crate::stats::Stats;
use crate::stats::rules::RULES;
use crate::stats::spread::Spreads;
use crate::stats::trace::Traces;

/// The settings of an engine.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Threads that read and write.
    pub shards: usize,
    /// Whether they spin, and where they run.
    pub spin: SpinSettings,
    /// Bytes that may wait for all connections together.
    pub engine_bytes: usize,
    /// Bytes that the histories of all rooms may hold together.
    pub history_bytes: usize,
    /// Rooms that may exist at once.
    pub max_rooms: usize,
    /// Commands that may wait for one shard.
    pub queue_items: usize,
    /// Bytes of messages that may wait for one shard.
    pub queue_bytes: usize,
    /// Levels of lists and maps that a message from another node may have.
    pub max_nesting: usize,
    /// Bytes that the kernel may hold unsent for one socket; see [`SocketLink::new`](crate::io::socket_link::SocketLink::new).
    pub unsent_bytes: u32,
    /// How long a peer may acknowledge nothing; see [`SocketLink::new`](crate::io::socket_link::SocketLink::new).
    pub write_timeout: Duration,
    /// How many messages and bytes of clients may be on their way to the host.
    pub credit: Credit,
    /// The limits on connections.
    pub admission: AdmissionSettings,
    /// The settings of connections before they are accepted.
    pub newcomers: NewcomerSettings,
    /// The settings of connections after they were accepted.
    pub shard: ShardSettings,
}

/// The engine. Thread-safe; the last reference to be dropped shuts it down.
#[derive(Debug)]
pub struct Engine {
    settings: EngineSettings,
    budget: Arc<Budget>,
    unfinished: Arc<Budget>,
    events: Arc<Events>,
    acceptor: AcceptorHandle,
    tls: TlsHandle,
    shards: Vec<Handle>,
    rooms: RoomTable,
    ticker: Arc<Ticker>,
    builder: MessageBuilder,
    published: AtomicU64,
    /// The same by the rule of the room, see [`RuleId::index`](crate::stats::rules::RuleId::index).
    published_by_rule: Box<[AtomicU64]>,
    /// The number of published messages when the host last asked for events.
    published_before: AtomicU64,
    traces: Traces,
    spreads: Arc<Spreads>,
    recordings: Mutex<Recordings>,
    refused: AtomicU64,
    late: AtomicU64,
    is_shut_down: AtomicBool,
    failure: Arc<OnceLock<String>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    owner: Process,
}

/// The engine's side of a shard.
#[derive(Debug)]
struct Handle {
    queue: Arc<Queue<Command<AnyLink>>>,
    waker: Arc<Waker>,
    registry: Arc<Registry>,
    ids: Arc<Mutex<Ids>>,
    stats: Arc<Stats>,
}

impl Engine {
    /// Starts the engine and its threads.
    pub fn start(settings: EngineSettings) -> Result<Self, Error> {
        // One shard number is reserved for newcomers.
        let most = MAX_SHARDS - 1;
        if !(1..=most).contains(&settings.shards) {
            return Err(Error::Invalid(format!("shards must be 1 to {most}, not {}", settings.shards)));
        }
        let cores = settings.spin.cores.len();
        if cores != 0 && cores != settings.shards {
            return Err(Error::Invalid(format!("shard_cores has {cores} processors for {} shards", settings.shards)));
        }
        let budget = Arc::new(Budget::new(settings.engine_bytes));
        let events = Arc::new(Events::new(settings.credit)?);
        let rooms = RoomTable::new(settings.max_rooms, settings.shards, settings.history_bytes);
        let told = Arc::clone(&events);
        rooms.watch().tell(Box::new(move |name| told.extend([Event::Room { name: name.into() }], &mut Vec::new())));
        let builder = MessageBuilder::new(
            rooms.new_epoch(),
            settings.shard.connection_bytes,
            settings.max_nesting,
            Arc::clone(&budget),
            Arc::default(),
        );
        let settings =
            EngineSettings { shard: ShardSettings { started_ms: builder.started_ms(), ..settings.shard }, ..settings };
        let failure = Arc::default();
        let (acceptor, runner) = AcceptorHandle::new(&settings, &events, &failure, &builder)?;
        let mut engine = Self {
            budget,
            unfinished: Arc::new(Budget::new(settings.credit.total)),
            events,
            acceptor,
            tls: TlsHandle::default(),
            shards: Vec::new(),
            builder,
            rooms,
            ticker: Arc::default(),
            published: AtomicU64::new(0),
            published_by_rule: (0..RULES).map(|_| AtomicU64::new(0)).collect(),
            published_before: AtomicU64::new(0),
            traces: Traces::default(),
            spreads: Arc::default(),
            recordings: Mutex::default(),
            refused: AtomicU64::new(0),
            late: AtomicU64::new(0),
            is_shut_down: AtomicBool::new(false),
            failure,
            threads: Mutex::default(),
            owner: Process::here(),
            settings,
        };
        for index in 0..engine.settings.shards {
            // On failure the engine is dropped, which stops the threads that were started.
            engine.start_shard(index)?;
        }
        let thread = thread::Builder::new().name("fanwire-accept".into()).spawn(|| runner.run())?;
        lock(&engine.threads).push(thread);
        Ok(engine)
    }

    /// Returns the descriptor that is readable while [`Self::events`] has something to return.
    pub fn fd(&self) -> RawFd {
        self.events.fd()
    }

    /// Returns all events, and about `most` messages, a few of each connection at a time. Messages that were returned
    /// before count as handled. `held` is how many bytes of messages the host still holds.
    pub fn events(&self, most: usize, held: usize) -> Vec<Event> {
        let published = self.published.load(Relaxed);
        if self.published_before.swap(published, Relaxed) != published {
            // The shards may share the host's core: new messages leave now, and not at the next tick of the scheduler.
            thread::yield_now();
        }
        let mut again = Vec::new();
        let events = self.events.take(most, held, &mut again);
        for conn in again {
            if let Some(shard) = self.shard_of(conn) {
                shard.push(Command::ReadOn { conn }, 0);
            }
        }
        events
    }

    /// Gives every room that matches `pattern` these settings, unless an earlier pattern matches it. Existing rooms
    /// keep their settings.
    pub fn add_rule(&self, pattern: &str, settings: RoomSettings) -> Result<(), Error> {
        self.check()?;
        self.rooms.add_rule(pattern, settings);
        Ok(())
    }

    /// Compresses messages of rooms that are to be compressed, for connections from now on whose clients have offered
    /// it. The level is zlib's, 1 to 9. What has fewer than `min_bytes` is not compressed.
    pub fn set_compression(&self, level: u32, min_bytes: usize) -> Result<(), Error> {
        self.check()?;
        self.builder.compression().set(level, min_bytes)
    }

    /// Returns the name and the number of members of each room.
    pub fn room_sizes(&self) -> Result<Vec<(Box<str>, usize)>, Error> {
        self.check()?;
        Ok(self.rooms.sizes())
    }

    /// Returns a part of a room's history, as [`crate::room::Room::kept_after`] does, and the epoch of its numbers; 0 if
    /// there is no such room.
    pub fn history(
        &self,
        name: &str,
        after: Option<Position>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<(u64, Vec<Arc<Message>>), Error> {
        self.check()?;
        let found = self.rooms.find(name, |RoomEntry { room, .. }| {
            let kept = room.kept_after(after, before, limit, self.builder.now_us(), self.rooms.kept());
            (room.position().epoch, kept)
        });
        Ok(found.unwrap_or_default())
    }

    /// Ends all connections and threads. Returns false if a thread did not end in time. May be called twice.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        if !self.owner.is_here() {
            return true;
        }
        self.is_shut_down.store(true, Relaxed);
        // The acceptor stops first, so that a shard that has ended gets no new connections.
        self.acceptor.stop();
        self.ticker.stop();
        for shard in &self.shards {
            if shard.queue.stop() {
                shard.wake();
            }
        }
        let deadline = Instant::now() + timeout;
        let mut threads = lock(&self.threads);
        self.stop_tls();
        // The thread of the ticks may be the one that drops the engine.
        let here = thread::current().id();
        threads.retain(|thread| thread.thread().id() != here);
        while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        // What was published is written, so they end after the rest; at least they get a moment.
        let recordings_end = deadline.max(Instant::now() + Duration::from_millis(500));
        let is_done = self.end_recordings(recordings_end) && threads.iter().all(|thread| thread.is_finished());
        for thread in threads.extract_if(.., |thread| thread.is_finished()) {
            // A panic of the thread was already reported as an event.
            let _ = thread.join();
        }
        is_done
    }

    /// Fails after a fork, after shutdown, and after a thread has failed.
    pub fn check(&self) -> Result<(), Error> {
        self.check_process()?;
        self.check_state()
    }

    /// Fails in the child of a fork: the threads of the engine are not there, and locks that they held stay locked for
    /// ever. Does not fail for an engine that was shut down.
    pub fn check_process(&self) -> Result<(), Error> {
        if self.owner.is_here() { Ok(()) } else { Err(Error::Forked { owner: self.owner.id() }) }
    }

    /// Checks what [`Self::check`] does, except for the fork.
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
            spin: Spin::new(settings.spin.for_us),
            core: settings.spin.cores.get(index).copied(),
            started: self.builder.started(),
        };
        let thread = thread::Builder::new().name(format!("fanwire-{index}")).spawn(|| driver.run())?;
        lock(&self.threads).push(thread);
        self.shards.push(handle);
        Ok(())
    }

    fn tell(&self, conn: ConnId, command: Command<AnyLink>, bytes: usize) -> Result<(), Error> {
        self.check()?;
        if let Some(shard) = self.shard_of(conn) {
            shard.push(command, bytes);
        }
        Ok(())
    }

    /// Returns the shard with the fewest connections.
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

    fn push(&self, command: Command<AnyLink>, bytes: usize) {
        if self.queue.push(command, bytes) {
            self.wake();
        }
    }

    fn wake(&self) {
        // Fails only if the descriptor is broken; the thread then wakes at its next timer.
        let _ = self.waker.wake();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data behind these locks is consistent wherever code under them can panic, so a poisoned lock is usable.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

mod accepting;
mod forget;
mod links;
mod log;
mod membership;
pub mod message_builder;
mod publish;
mod readings;
pub mod record;
mod ticks;
mod tls;
mod watch;
// The locks of loom work only inside its models, so these tests do not run under loom.
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
