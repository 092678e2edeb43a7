//! The engine: rooms, shards and their threads. Every method may be called from any thread, and none waits
//! for a reader; only [`Engine::shutdown`] waits, for the threads, up to a deadline.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Poll, Registry, Waker};

use crate::admission::AdmissionSettings;
use crate::ages::BOUNDS_MS;
use crate::arrivals::Credit;
use crate::budget::Budget;
use crate::codec::Codec;
use crate::command::{Command, Event, Resume, Retired, Source, UNRESUMED};
use crate::driver::{Driver, WAKE};
use crate::engine::accepting::Gate;
pub use crate::engine::forget::{FORGOTTEN, forgetting};
use crate::envelope::Kind;
use crate::error::Error;
use crate::events::Events;
use crate::forgotten::When;
use crate::form::Form;
use crate::frame;
use crate::link::{HostLink, SocketLink, Wire};
use crate::members::Headcount;
use crate::message::{Delivery, KeyId, Message, OVERHEAD, Role};
use crate::mint::{Draft, JoinReply, Joined, Mint, Stamp};
use crate::newcomers::{self, NewcomerSettings};
use crate::process::Process;
use crate::queue::Queue;
use crate::report::Report;
use crate::room::{Position, Room, RoomSettings, Unrecovered};
use crate::rooms::{Entry, Rooms};
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
    /// See [`SocketLink::new`].
    pub unsent_bytes: u32,
    /// See [`SocketLink::new`].
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

/// From where a membership is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entrance {
    /// What came after this comes first.
    pub since: Option<Position>,
    /// There is no joining without all of that.
    pub only_whole: bool,
    /// The connection is a member already, and wants what it has missed.
    pub again: bool,
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

    /// The host wants no more messages of a connection for now, or wants them again.
    pub fn hold(&self, conn: ConnId, is_held: bool) -> Result<(), Error> {
        self.tell(conn, Command::Hold { conn, is_held }, 0)
    }

    /// What the host has read of a link that it reads; none: its end.
    pub fn feed(&self, conn: ConnId, link: ConnId, bytes: Option<&[u8]>) -> Result<(), Error> {
        if conn.shard() == newcomers::SHARD {
            self.check_process()?;
            self.feed_newcomer(conn, bytes);
            return Ok(());
        }
        let size = bytes.map_or(0, <[u8]>::len);
        self.tell(conn, Command::Feed { conn, link, bytes: bytes.map(Into::into) }, size)
    }

    /// Gives every room that matches `pattern` these settings, unless an earlier pattern matches it. Rooms
    /// that exist keep theirs.
    pub fn add_rule(&self, pattern: &str, settings: RoomSettings) -> Result<(), Error> {
        self.check()?;
        self.rooms.add_rule(pattern, settings);
        Ok(())
    }

    /// Takes a connection, with a session or without. It is sent `greeting` and, as a message, `first`.
    pub fn open(
        &self,
        way: Way,
        form: Form,
        has_session: bool,
        [greeting, first]: [&[u8]; 2],
        source: Source,
    ) -> Result<ConnId, Error> {
        self.check()?;
        let shard = self.emptiest()?;
        let (conn, link) = self.link(way, shard)?;
        let [greeting, first] = [greeting, first].map(Into::into);
        shard.push(Command::Open { conn, link, form, has_session, greeting, first, source }, 0);
        Ok(conn)
    }

    /// Goes on with the session of a connection over another link, after the first `received` messages of it. The link
    /// begins with the bytes of `greeting` and the envelope `accepted`. Where the session cannot go on the envelope is the one
    /// of `refused` for the reason, and the link is a connection of its own by the id that is returned. [`Event::Resumed`] or [`Event::Refused`] says which.
    #[expect(clippy::too_many_arguments, reason = "the session, the link and what it begins with")]
    pub fn resume(
        &self,
        conn: ConnId,
        way: Way,
        form: Form,
        received: u64,
        [greeting, accepted]: [&[u8]; 2],
        refused: [Box<[u8]>; UNRESUMED.len()],
        farewell: Farewell<'_>,
        source: Source,
    ) -> Result<ConnId, Error> {
        self.check()?;
        let Some(shard) = self.shard_of(conn) else {
            return Err(Error::Invalid(format!("{conn:?} is no connection")));
        };
        let retired = Retired { id: shard.take_id()?, frame: farewell.frame() };
        let (as_new, link) = self.link(way, shard).inspect_err(|_| lock(&shard.ids).release(retired.id))?;
        let [greeting, accepted] = [greeting, accepted].map(Into::into);
        let resume = Resume { conn, link, as_new, retired, form, received, greeting, accepted, refused, source };
        shard.push(Command::Resume(Box::new(resume)), 0);
        Ok(as_new)
    }

    /// The link of a session is closed with a farewell, if it still is this one. The session goes on without a link or,
    /// if it `is_over`, ends as by [`Self::gone`].
    pub fn retire(&self, conn: ConnId, link: ConnId, farewell: Farewell<'_>, is_over: bool) -> Result<(), Error> {
        self.check()?;
        let Some(shard) = self.shard_of(conn) else { return Ok(()) };
        let command = match shard.take_id() {
            Ok(id) => Command::Retire { conn, link, retired: Retired { id, frame: farewell.frame() }, is_over },
            // No place is left for the link, which ends without a word. The session is not touched by that.
            Err(_) if is_over => Command::Gone { conn },
            Err(_) => Command::Cut { conn, link },
        };
        shard.push(command, 0);
        Ok(())
    }

    /// Ends a link at once; a session goes on without one until it is resumed, or [`Self::gone`].
    pub fn cut(&self, conn: ConnId, link: ConnId) -> Result<(), Error> {
        self.tell(conn, Command::Cut { conn, link }, 0)
    }

    /// What the peer reports, where the host has read it.
    pub fn report(&self, conn: ConnId, report: Report) -> Result<(), Error> {
        self.tell(conn, Command::Report { conn, report: Box::new(report) }, 0)
    }

    /// How old what was taken was, by pattern of rooms: see [`crate::ages::Ages::counts`]. A pattern may come twice.
    pub fn ages(&self) -> Vec<(Box<str>, [u64; BOUNDS_MS.len() + 1], u64)> {
        self.rooms.ages()
    }

    /// A connection is over, and its session with it. A link that it still has is ended at once.
    pub fn gone(&self, conn: ConnId) -> Result<(), Error> {
        self.tell(conn, Command::Gone { conn }, 0)
    }

    /// Sends bytes that are no message, such as a handshake reply, ahead of all messages.
    pub fn send_raw(&self, conn: ConnId, bytes: &[u8]) -> Result<(), Error> {
        self.tell(conn, Command::Raw { conn, bytes: bytes.into() }, bytes.len())
    }

    /// Sends a whole envelope to a session, ahead of all messages and not counted among them.
    pub fn send_control(&self, conn: ConnId, codec: Codec, envelope: &[u8]) -> Result<(), Error> {
        self.tell(conn, Command::Control { conn, codec, envelope: envelope.into() }, envelope.len())
    }

    /// Sends a whole envelope to a session. Never refused, for it answers a message that was taken; what waits is
    /// bounded by the messages that are read, and by the connection's limit.
    /// What is `is_urgent` goes ahead of what waits, and does not wait for the peer's application.
    pub fn send_envelope(&self, conn: ConnId, codec: Codec, envelope: &[u8], is_urgent: bool) -> Result<(), Error> {
        let role = if is_urgent { Role::Urgent } else { Role::Whole };
        let kind = if codec.is_text() { Kind::Text } else { Kind::Binary };
        let draft = Draft { kind, payload: envelope, role, id: None, ack: false, key: None, delivery: None };
        self.check()?;
        let message = self.mint.message(draft)?;
        self.tell(conn, Command::Send { conn, message }, envelope.len() + OVERHEAD)
    }

    /// Sends a message to one connection.
    pub fn send(&self, conn: ConnId, draft: Draft<'_>) -> Result<(), Error> {
        self.check()?;
        let message = self.mint.message(draft)?;
        self.refuse_if_full(self.shard_of(conn))?;
        self.tell(conn, Command::Send { conn, message }, draft.payload.len() + OVERHEAD)
    }

    /// Sends a message to every connection except some.
    pub fn broadcast(&self, draft: Draft<'_>, except: &[ConnId]) -> Result<(), Error> {
        self.check()?;
        let message = self.mint.message(draft)?;
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
        self.check()?;
        let mut wake = Vec::new();
        let result = self.publish_quietly(name, draft, except, &mut wake);
        ring(&mut wake);
        result
    }

    /// The same, but the threads that write may sleep on: the caller has more to publish, and wakes them with [`ring`].
    /// The caller is a thread that no fork copies, so it need not be asked for its process.
    pub fn publish_quietly(
        &self,
        name: &str,
        draft: Draft<'_>,
        except: &[ConnId],
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<u64, Error> {
        self.check_state()?;
        self.mint.check(draft)?;
        let seq = self.rooms.with(name, self.mint.now_us(), |entry| self.queue(entry, draft, None, except, wake))?;
        self.published.fetch_add(1, Relaxed);
        Ok(seq)
    }

    /// Makes a connection a member of a room. What came after `since` comes first, if all of that is kept; otherwise, in a
    /// room of latest values, the newest of every key. Then comes the stream, with nothing between and nothing twice.
    ///
    /// A session gets a `joined` message ahead of all that, by `reply`.
    pub fn join(
        &self,
        conn: ConnId,
        name: &str,
        Entrance { since, only_whole, again }: Entrance,
        reply: Option<JoinReply<'_>>,
    ) -> Result<Joined, Error> {
        self.check()?;
        let shard = self.shard_of(conn);
        self.refuse_if_full(shard)?;
        let now_us = self.mint.now_us();
        self.rooms.with(name, now_us, |Entry { room, headcount }| {
            let max = room.settings().max_members;
            if !again && headcount.total() >= max {
                return Err(Error::Full { what: "the room", limit: max });
            }
            let position = room.position();
            let found = since.map_or(Err(Unrecovered::History), |since| room.since(since, now_us, self.rooms.kept()));
            let joined = Joined { position, recovered: found.as_ref().map(|_| ()).map_err(|&why| why) };
            let (Some(shard), false) = (shard, only_whole && found.is_err()) else { return Ok(joined) };
            let mut before = match found {
                Ok(missed) => missed,
                Err(_) if room.settings().delivery == Delivery::Latest => room.snapshot(),
                Err(_) => Vec::new(),
            };
            if let Some(reply) = reply {
                before.insert(0, self.mint.joined(room, since, joined, reply));
            }
            headcount.join(conn.shard());
            let headcount = Arc::clone(headcount);
            shard.push(Command::Join { conn, room: room.id(), headcount, before: before.into() }, 0);
            Ok(joined)
        })
    }

    /// Where a room is now; makes the room if need be.
    pub fn position(&self, name: &str) -> Result<Position, Error> {
        self.check()?;
        self.rooms.with(name, self.mint.now_us(), |entry| Ok(entry.room.position()))
    }

    /// Tells the sessions in a room of an event, which has no number of its own and is not kept.
    pub fn notify(&self, name: &str, label: &'static str, payload: &str, except: &[ConnId]) -> Result<(), Error> {
        self.check()?;
        let mut wake = Vec::new();
        self.rooms.find(name, |Entry { room, headcount }| {
            self.tell_room(room, headcount, label, payload, except, &mut wake);
        });
        ring(&mut wake);
        Ok(())
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

    /// The newest message of each key of a room.
    pub fn snapshot(&self, name: &str) -> Vec<Arc<Message>> {
        self.rooms.find(name, |entry| entry.room.snapshot()).unwrap_or_default()
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

    fn link(&self, way: Way, shard: &Handle) -> Result<(ConnId, Wire), Error> {
        let id = shard.take_id()?;
        let Settings { unsent_bytes, write_timeout, .. } = self.settings;
        let link = match way {
            Way::Hosted { window, fd } => {
                HostLink::new(id, Arc::clone(&self.events), window, fd, write_timeout).map(Wire::Host)
            }
            Way::Socket(fd) => {
                SocketLink::new(fd, Arc::clone(&shard.registry), unsent_bytes, write_timeout).map(Wire::Socket)
            }
        };
        match link {
            Ok(link) => Ok((id, link)),
            Err(error) => {
                lock(&shard.ids).release(id);
                Err(error.into())
            }
        }
    }

    fn tell(&self, conn: ConnId, command: Command<Wire>, bytes: usize) -> Result<(), Error> {
        self.check()?;
        if let Some(shard) = self.shard_of(conn) {
            shard.push(command, bytes);
        }
        Ok(())
    }

    fn refuse_if_full<'a>(&self, shards: impl IntoIterator<Item = &'a Handle>) -> Result<(), Error> {
        for shard in shards {
            if shard.queue.is_full() {
                self.refused.fetch_add(1, Relaxed);
                let (what, limit) = ("the queue of a shard", shard.queue.max_items());
                return Err(Error::Overloaded { what, limit, field: "queue_bytes" });
            }
        }
        Ok(())
    }

    /// Numbers a message, unless it has its number already, and queues it, under its room's lock; adds the shards that
    /// have to be woken to `wake`.
    fn queue(
        &self,
        Entry { room, headcount }: &mut Entry,
        draft: Draft<'_>,
        stamp: Option<Stamp>,
        except: &[ConnId],
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<u64, Error> {
        let delivery = delivery_of(room, &draft)?;
        let has_members = headcount.total() > 0;
        let shards = || self.shards.iter().enumerate().filter(|&(index, _)| headcount.in_shard(index) > 0);
        self.refuse_if_full(shards().map(|(_, shard)| shard))?;
        let prev = room.position().seq;
        let seq = stamp.map_or(prev + 1, |stamp| stamp.seq);
        let is_forgetting = draft.role == FORGOTTEN;
        let (key, key_name) = if is_forgetting {
            let name = draft.key.unwrap_or_default();
            let (key, name) = room.forget(name, self.rooms.kept());
            if let Some(Stamp { ts_ms, .. }) = stamp {
                room.note_forgotten(&name, When::at(seq, ts_ms));
            }
            (key, Some(name))
        } else {
            self.key(room, draft, delivery)?.unzip()
        };
        room.advance_to(seq);
        let is_kept = (key_name.is_some() && !is_forgetting) || room.settings().history > 0;
        if is_kept || has_members {
            let mut about = self.mint.about(room, delivery, None);
            (about.key, about.key_name) = (key, key_name);
            if let Some(Stamp { ts_ms, .. }) = stamp {
                (about.ts_ms, about.prev) = (ts_ms, Some(prev));
            }
            let message = self.mint.build(draft.role, draft.kind, draft.payload, about);
            self.spread(&message, headcount, except, wake);
            if is_kept {
                room.keep(&message, self.rooms.kept());
            }
        }
        Ok(seq)
    }

    /// What a message replaces, if anything.
    fn key(&self, room: &mut Room, draft: Draft<'_>, delivery: Delivery) -> Result<Option<(KeyId, Arc<str>)>, Error> {
        match delivery {
            Delivery::Latest => room.key(draft.key.unwrap_or_default(), || self.rooms.new_id()).map(Some),
            _ => Ok(None),
        }
    }

    /// Queues an event for the sessions in a room, under the room's lock.
    fn tell_room(
        &self,
        room: &Room,
        headcount: &Headcount,
        label: &'static str,
        payload: &str,
        except: &[ConnId],
        wake: &mut Vec<Arc<Waker>>,
    ) {
        let about = self.mint.about(room, Delivery::Reliable, Some(self.mint.next_id("e")));
        let message = self.mint.build(Role::Event(label), Kind::Json, payload.as_bytes(), about);
        self.spread(&message, headcount, except, wake);
    }

    /// Queues a message for the members of its room, under the room's lock.
    fn spread(&self, message: &Arc<Message>, headcount: &Headcount, except: &[ConnId], wake: &mut Vec<Arc<Waker>>) {
        for (_, shard) in self.shards.iter().enumerate().filter(|&(index, _)| headcount.in_shard(index) > 0) {
            let command = Command::Publish { message: Arc::clone(message), except: except.into() };
            if shard.queue.push(command, message.cost(Form::RAW)) {
                wake.push(Arc::clone(&shard.waker));
            }
        }
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

/// Wakes threads that write. Not under a room's lock: a system call, after which the woken thread may have the processor.
pub fn ring(wake: &mut Vec<Arc<Waker>>) {
    for waker in wake.drain(..) {
        // Fails only if the descriptor is broken; the thread then looks at its next timer.
        let _ = waker.wake();
    }
}

/// The delivery class of a message in a room, which has to suit its key.
fn delivery_of(room: &Room, draft: &Draft<'_>) -> Result<Delivery, Error> {
    let delivery = draft.delivery.unwrap_or(room.settings().delivery);
    if draft.key.is_some() && delivery != Delivery::Latest {
        let name = room.name();
        return Err(Error::Invalid(format!("a key needs the delivery class `latest`; room {name:?} has another one")));
    }
    Ok(delivery)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is consistent at every point where code under them could panic.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What the last frame of a link says, when it is closed and its session is not.
#[derive(Debug, Clone, Copy)]
pub struct Farewell<'a> {
    code: u16,
    reason: &'a str,
}

impl<'a> Farewell<'a> {
    /// An error if the code may not be sent.
    pub fn new(code: u16, reason: &'a str) -> Result<Self, Error> {
        match frame::is_sendable_code(code) {
            true => Ok(Self { code, reason }),
            false => Err(Error::Invalid(format!("{code} is no close code that may be sent (RFC 6455 section 7.4)"))),
        }
    }

    fn frame(self) -> Box<[u8]> {
        frame::close(Some(self.code), self.reason)
    }
}

/// The way out of a new connection.
#[derive(Debug)]
pub enum Way {
    /// Its socket, which nobody else reads or writes from here on.
    Socket(OwnedFd),
    /// The host reads and writes: bytes go as events, `window` at a time, and come by [`Engine::feed`].
    Hosted {
        /// Bytes.
        window: usize,
        /// The socket below, to ask the kernel about.
        fd: Option<OwnedFd>,
    },
}

mod accepting;
mod forget;
mod log;
// Not under loom, whose locks work only inside its models.
#[cfg(all(test, not(loom)))]
mod tests;
