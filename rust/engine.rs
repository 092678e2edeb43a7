//! The engine: rooms, shards and their threads. Every method may be called from any thread, and none waits
//! for a reader; only [`Engine::shutdown`] waits, for the threads, up to a deadline.

use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, process};

use mio::{Poll, Registry, Waker};

use crate::budget::Budget;
use crate::command::{Command, Event};
use crate::driver::{Driver, WAKE};
use crate::error::Error;
use crate::events::Events;
use crate::frame::{self, Opcode};
use crate::link::{HostLink, SocketLink, Wire};
use crate::message::{Address, Delivery, Message, OVERHEAD, RoomId};
use crate::queue::Queue;
use crate::room::RoomSettings;
use crate::rooms::{Entry, Rooms};
use crate::shard::{Shard, ShardSettings};
use crate::slots::{ConnId, Ids, MAX_SHARDS};
use crate::stats::Stats;

/// What an engine is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads that write.
    pub shards: usize,
    /// Bytes that may wait for all connections together.
    pub engine_bytes: usize,
    /// Rooms that may exist at once.
    pub max_rooms: usize,
    /// Commands that may wait for one shard.
    pub queue_items: usize,
    /// Bytes of messages that may wait for one shard.
    pub queue_bytes: usize,
    /// See [`SocketLink::new`].
    pub unsent_bytes: u32,
    /// See [`SocketLink::new`].
    pub write_timeout: Duration,
    /// What holds for each connection.
    pub shard: ShardSettings,
}

/// What a message is made of.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// Text or binary.
    pub opcode: Opcode,
    /// The payload; of a text message, UTF-8.
    pub payload: &'a [u8],
    /// What it replaces in a room of latest values; there, none stands for "".
    pub key: Option<&'a str>,
    /// Another delivery class than its room's.
    pub delivery: Option<Delivery>,
}

/// The engine. See the module's head.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    budget: Arc<Budget>,
    events: Arc<Events>,
    shards: Vec<Handle>,
    rooms: Rooms,
    published: AtomicU64,
    refused: AtomicU64,
    is_shut_down: AtomicBool,
    failure: Arc<OnceLock<String>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    started: Instant,
    owner: u32,
}

/// What the engine holds of a shard.
#[derive(Debug)]
struct Handle {
    queue: Arc<Queue<Command<Wire>>>,
    waker: Waker,
    registry: Arc<Registry>,
    ids: Arc<Mutex<Ids>>,
    stats: Arc<Stats>,
}

impl Engine {
    /// Starts the threads.
    pub fn start(settings: Settings) -> Result<Self, Error> {
        if !(1..=MAX_SHARDS).contains(&settings.shards) {
            return Err(Error::Invalid(format!("shards must be 1 to {MAX_SHARDS}, not {}", settings.shards)));
        }
        let budget = Arc::new(Budget::new(settings.engine_bytes));
        let events = Arc::new(Events::new()?);
        let started = Instant::now();
        let mut engine = Self {
            budget,
            events,
            shards: Vec::new(),
            rooms: Rooms::new(settings.max_rooms, settings.shards),
            published: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            is_shut_down: AtomicBool::new(false),
            failure: Arc::default(),
            threads: Mutex::default(),
            started,
            owner: process::id(),
            settings,
        };
        for index in 0..engine.settings.shards {
            // On failure the engine is dropped, which stops the threads that run already.
            engine.start_shard(index)?;
        }
        Ok(engine)
    }

    /// The descriptor that becomes readable when [`Self::events`] has something.
    pub fn fd(&self) -> RawFd {
        self.events.fd()
    }

    /// What has happened since the last call.
    pub fn events(&self) -> Vec<Event> {
        self.events.take()
    }

    /// Gives every room that matches `pattern` these settings, unless an earlier pattern matches it. Rooms
    /// that exist keep theirs.
    pub fn add_rule(&self, pattern: &str, settings: RoomSettings) -> Result<(), Error> {
        self.check()?;
        self.rooms.add_rule(pattern, settings);
        Ok(())
    }

    /// Takes a connection by its socket. The descriptor is the engine's own from here on.
    pub fn open(&self, fd: OwnedFd) -> Result<ConnId, Error> {
        self.open_with(|conn, shard, settings| {
            let registry = Arc::clone(&shard.registry);
            let link = SocketLink::new(fd, conn, registry, settings.unsent_bytes, settings.write_timeout)?;
            Ok(Wire::Socket(link))
        })
    }

    /// Takes a connection that the host writes to: its bytes come as events, `window` at a time.
    pub fn open_hosted(&self, window: usize) -> Result<ConnId, Error> {
        let events = Arc::clone(&self.events);
        self.open_with(|conn, _, _| Ok(Wire::Host(HostLink::new(conn, events, window))))
    }

    /// The peer of a connection is gone.
    pub fn gone(&self, conn: ConnId) -> Result<(), Error> {
        self.tell(conn, Command::Gone { conn }, 0)
    }

    /// Sends bytes that are no message, such as a handshake reply, ahead of all messages.
    pub fn send_raw(&self, conn: ConnId, bytes: &[u8]) -> Result<(), Error> {
        self.tell(conn, Command::Raw { conn, bytes: bytes.into() }, bytes.len())
    }

    /// Sends a message to one connection.
    pub fn send(&self, conn: ConnId, draft: Draft<'_>) -> Result<(), Error> {
        let message = self.message(draft)?;
        self.refuse_if_full(self.shard_of(conn))?;
        self.tell(conn, Command::Send { conn, message }, draft.payload.len() + OVERHEAD)
    }

    /// Sends a message to every connection except some.
    pub fn broadcast(&self, draft: Draft<'_>, except: &[ConnId]) -> Result<(), Error> {
        let message = self.message(draft)?;
        self.refuse_if_full(&self.shards)?;
        for shard in &self.shards {
            let command = Command::Broadcast { message: Arc::clone(&message), except: except.into() };
            shard.push(command, draft.payload.len() + OVERHEAD);
        }
        self.published.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Sends a message to the members of a room except some, sorted; returns its number in the room. Every
    /// member sees the messages of a room in the order of their numbers, whichever threads published them.
    pub fn publish(&self, name: &str, draft: Draft<'_>, except: &[ConnId]) -> Result<u64, Error> {
        self.check_size(draft)?;
        let mut wake = Vec::new();
        let seq = self.rooms.with(name, |entry| self.queue(entry, name, draft, except, &mut wake))?;
        // Not under the room's lock: a system call, after which the woken thread may have the processor.
        for index in wake {
            self.shards[index].wake();
        }
        self.published.fetch_add(1, Relaxed);
        Ok(seq)
    }

    /// Makes a connection a member of a room; returns the number of the last message before it. In a room of
    /// latest values it gets the newest of every key first and then the stream, with nothing between.
    pub fn join(&self, conn: ConnId, name: &str) -> Result<u64, Error> {
        let shard = self.shard_of(conn);
        self.refuse_if_full(shard)?;
        let Some(shard) = shard else { return Ok(0) };
        self.rooms.with(name, |Entry { room, headcount }| {
            let snapshot: Box<[_]> = match room.settings().delivery {
                Delivery::Latest => room.snapshot().into(),
                _ => Box::default(),
            };
            headcount.join(conn.shard());
            shard.push(Command::Join { conn, room: room.id(), headcount: Arc::clone(headcount), snapshot }, 0);
            Ok(room.seq())
        })
    }

    /// Ends a membership.
    pub fn leave(&self, conn: ConnId, name: &str) -> Result<(), Error> {
        self.check()?;
        match self.rooms.find(name, |entry| entry.room.id()) {
            Some(room) => self.tell(conn, Command::Leave { conn, room }, 0),
            None => Ok(()),
        }
    }

    /// How many members a room has.
    pub fn members(&self, name: &str) -> usize {
        self.rooms.find(name, |entry| entry.headcount.total()).unwrap_or_default()
    }

    /// Forgets the newest value of a key; false when there was none.
    pub fn forget(&self, name: &str, key: &str) -> Result<bool, Error> {
        self.check()?;
        Ok(self.rooms.find(name, |entry| entry.room.forget(key)).unwrap_or_default())
    }

    /// The peer has sent a ping; it is answered.
    pub fn ping_received(&self, conn: ConnId, payload: &[u8]) -> Result<(), Error> {
        // A flood of pings is answered as fast as we write, not as fast as it comes (RFC 6455 section 5.5.3).
        if self.shard_of(conn).is_some_and(|shard| shard.queue.is_full()) {
            return self.check();
        }
        self.tell(conn, Command::Ping { conn, payload: payload.into() }, payload.len())
    }

    /// The peer has sent a pong: it lives.
    pub fn pong_received(&self, conn: ConnId) -> Result<(), Error> {
        self.tell(conn, Command::Pong { conn }, 0)
    }

    /// Closes a connection with a close frame, after all that waits (`flush`) or before it.
    pub fn close(&self, conn: ConnId, code: Option<u16>, reason: &str, flush: bool) -> Result<(), Error> {
        if let Some(code) = code
            && !frame::is_sendable_code(code)
        {
            return Err(Error::Invalid(format!("{code} is no close code that may be sent (RFC 6455 section 7.4)")));
        }
        self.tell(conn, Command::Close { conn, frame: frame::close(code, reason), flush }, 0)
    }

    /// The host has handed over bytes of a connection that it writes to, and takes as many more.
    pub fn grant(&self, conn: ConnId, bytes: usize) -> Result<(), Error> {
        self.tell(conn, Command::Grant { conn, bytes }, 0)
    }

    /// Messages published, and messages refused because something was full.
    pub fn published(&self) -> (u64, u64) {
        (self.published.load(Relaxed), self.refused.load(Relaxed))
    }

    /// Rooms that exist.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Bytes that wait, and how many may.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What each shard has done.
    pub fn stats(&self) -> impl Iterator<Item = &Stats> {
        self.shards.iter().map(|shard| &*shard.stats)
    }

    /// Ends all connections and threads; false if a thread was not done in time. May be called twice.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        if self.owner != process::id() {
            return true;
        }
        self.is_shut_down.store(true, Relaxed);
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
        if self.owner != process::id() {
            Err(Error::Forked { owner: self.owner })
        } else if self.is_shut_down.load(Relaxed) {
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
            waker: Waker::new(poll.registry(), WAKE)?,
            registry: Arc::new(poll.registry().try_clone()?),
            ids: Arc::new(Mutex::new(Ids::new(index))),
            stats: Arc::default(),
        };
        let budget = Arc::clone(&self.budget);
        let driver = Driver {
            shard: Shard::new(index, settings.shard.clone(), budget, Arc::clone(&handle.stats)),
            poll,
            queue: Arc::clone(&handle.queue),
            events: Arc::clone(&self.events),
            ids: Arc::clone(&handle.ids),
            failure: Arc::clone(&self.failure),
            started: self.started,
        };
        let thread = thread::Builder::new().name(format!("fanwire-{index}")).spawn(|| driver.run())?;
        lock(&self.threads).push(thread);
        self.shards.push(handle);
        Ok(())
    }

    fn open_with(&self, link: impl FnOnce(ConnId, &Handle, &Settings) -> io::Result<Wire>) -> Result<ConnId, Error> {
        self.check()?;
        let shard = self.shards.iter().min_by_key(|shard| lock(&shard.ids).len());
        let conn = shard.and_then(|shard| lock(&shard.ids).take().map(|conn| (conn, shard)));
        let Some((conn, shard)) = conn else {
            return Err(Error::Overloaded { what: "the table of connections", limit: 1 << 22 });
        };
        match link(conn, shard, &self.settings) {
            Ok(link) => shard.push(Command::Open { conn, link }, 0),
            Err(error) => {
                lock(&shard.ids).release(conn);
                return Err(error.into());
            }
        }
        Ok(conn)
    }

    fn tell(&self, conn: ConnId, command: Command<Wire>, bytes: usize) -> Result<(), Error> {
        self.check()?;
        if let Some(shard) = self.shard_of(conn) {
            shard.push(command, bytes);
        }
        Ok(())
    }

    fn refuse_if_full<'a>(&self, shards: impl IntoIterator<Item = &'a Handle>) -> Result<(), Error> {
        self.check()?;
        for shard in shards {
            if shard.queue.is_full() {
                self.refused.fetch_add(1, Relaxed);
                let limit = shard.queue.max_items();
                return Err(Error::Overloaded { what: "the queue of a shard", limit });
            }
        }
        Ok(())
    }

    /// Numbers a message and queues it, under its room's lock; adds the shards that have to be woken to `wake`.
    fn queue(
        &self,
        Entry { room, headcount }: &mut Entry,
        name: &str,
        draft: Draft<'_>,
        except: &[ConnId],
        wake: &mut Vec<usize>,
    ) -> Result<u64, Error> {
        let delivery = draft.delivery.unwrap_or(room.settings().delivery);
        if draft.key.is_some() && delivery != Delivery::Latest {
            return Err(Error::Invalid(format!(
                "a key needs the delivery class `latest`; room {name:?} has another one"
            )));
        }
        let shards = || self.shards.iter().enumerate().filter(|&(index, _)| headcount.in_shard(index) > 0);
        self.refuse_if_full(shards().map(|(_, shard)| shard))?;
        let key_name = draft.key.unwrap_or_default();
        let key = match delivery {
            Delivery::Latest => Some(room.key(key_name, || self.rooms.new_id())?),
            _ => None,
        };
        let address = Address { room: room.id(), seq: room.advance(), delivery, key };
        if key.is_some() || shards().next().is_some() {
            let message = self.build(draft, address);
            for (index, shard) in shards() {
                let command = Command::Publish { message: Arc::clone(&message), except: except.into() };
                if shard.queue.push(command, draft.payload.len() + OVERHEAD) {
                    wake.push(index);
                }
            }
            if key.is_some() {
                room.keep(key_name, &message);
            }
        }
        Ok(address.seq)
    }

    /// A message that belongs to no room.
    fn message(&self, draft: Draft<'_>) -> Result<Arc<Message>, Error> {
        self.check_size(draft)?;
        let delivery = draft.delivery.unwrap_or(Delivery::Reliable);
        Ok(self.build(draft, Address { room: NO_ROOM, seq: 0, delivery, key: None }))
    }

    fn build(&self, draft: Draft<'_>, address: Address) -> Arc<Message> {
        let now_us = self.started.elapsed().as_micros() as u64;
        Arc::new(Message::new(draft.opcode, draft.payload, address, now_us, &self.budget))
    }

    fn check_size(&self, draft: Draft<'_>) -> Result<(), Error> {
        self.check()?;
        let cost = frame::header_len(draft.payload.len()) + draft.payload.len() + OVERHEAD;
        let limit = self.settings.shard.connection_bytes;
        if cost > limit {
            return Err(Error::Invalid(format!(
                "a message of {} bytes can never be sent: with its overhead it takes {cost}, and {limit} may wait \
                 for one connection",
                draft.payload.len()
            )));
        }
        Ok(())
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

const NO_ROOM: RoomId = 0;

// Not under loom, whose locks work only inside its models.
#[cfg(all(test, not(loom)))]
mod tests;
