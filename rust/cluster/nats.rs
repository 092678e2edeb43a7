//! The connection to NATS. What other nodes publish to a room goes straight to the engine, through the room's [`Inlet`];
//! everything else that comes waits for the host, announced by one descriptor that its loop watches.
//!
//! The client is `async-nats`, on a thread of its own that never holds the interpreter (`work`). It connects again by
//! itself, for ever. Every method may be called from any thread, and none waits. What it is told to do is done from the
//! next [`Line::flush`] on: to wake the thread is a system call, after which it may have the processor.

use std::fmt;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

use async_nats::Client;
use bytes::Bytes;
use mio::Waker;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use self::incoming::Inbox;
pub use self::incoming::{News, Reply};
use crate::cluster::ingress::Inlet;
use crate::engine::ring;
use crate::process::Process;

/// What a line is opened with.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Addresses of servers of one cluster, without credentials.
    pub servers: Vec<String>,
    /// A token.
    pub token: Option<String>,
    /// A user and a password.
    pub password: Option<(String, String)>,
    /// A file with a user's JWT and its seed.
    pub credentials: Option<PathBuf>,
    /// A file of certificates that are believed besides the system's.
    pub ca: Option<PathBuf>,
    /// Files with our own certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// What ends the subjects of our own messages: they are not heard.
    pub node: String,
    /// A subject that is ours alone. What is sent to it comes back when all that was sent before has arrived.
    pub echo: String,
    /// For an attempt to connect.
    pub timeout: Duration,
    /// Between two attempts.
    pub retry: Duration,
    /// Between pings; two without an answer, and the connection counts as lost.
    pub ping: Duration,
    /// Bytes that may wait to be sent, and as many may wait for the host.
    pub max_bytes: usize,
}

/// Where what comes to a subject goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// To a room of the engine.
    Inlet(Arc<Inlet>),
    /// To the host.
    Host,
    /// To the host, with its number in a log.
    Log,
}

/// What NATS is asked.
#[derive(Debug)]
pub struct Question {
    /// Names it, and its answer.
    pub ticket: u64,
    /// Whom.
    pub subject: String,
    /// Any.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub payload: Bytes,
    /// There are several answers, of which the last has a status (NATS ADR-31).
    pub is_batch: bool,
}

/// See the module's head.
#[derive(Debug)]
pub struct Line {
    shared: Arc<Shared>,
    waiting: Mutex<Vec<Command>>,
    commands: UnboundedSender<Vec<Command>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    owner: Process,
}

impl Line {
    /// Starts to connect; [`News::Up`] or [`News::Ended`] says how that went.
    pub fn open(settings: Settings) -> io::Result<Self> {
        let (commands, orders) = unbounded_channel();
        let shared = Arc::new(Shared::new(settings)?);
        let (theirs, sender) = (Arc::clone(&shared), commands.downgrade());
        let thread =
            thread::Builder::new().name("fanwire-nats".into()).spawn(|| worker::run(theirs, orders, sender))?;
        Ok(Self {
            shared,
            waiting: Mutex::default(),
            commands,
            thread: Mutex::new(Some(thread)),
            owner: Process::here(),
        })
    }

    /// The descriptor that becomes readable when [`Self::take`] has something.
    pub fn fd(&self) -> RawFd {
        self.shared.inbox.fd()
    }

    /// What has happened since, at most so much of it; the descriptor stays readable if there is more.
    pub fn take(&self, most: usize) -> Vec<News> {
        self.shared.inbox.take(most)
    }

    /// Whether it is connected, and hears.
    pub fn is_up(&self) -> bool {
        self.shared.is_up.load(Relaxed)
    }

    /// Sends a message; false if it was not even tried, for there is no connection or too much waits.
    pub fn send(&self, subject: String, payload: &[u8]) -> bool {
        let size = payload.len() + OVERHEAD;
        if !self.is_up() || self.shared.outgoing.load(Relaxed) + size > self.shared.settings.max_bytes {
            return false;
        }
        self.shared.outgoing.fetch_add(size, Relaxed);
        self.order(Command::Send { subject, payload: Bytes::copy_from_slice(payload) });
        true
    }

    /// From the next [`Self::sync`] on, what is sent to a subject is heard, also after the connection was lost. `id` names
    /// it, and is used once.
    pub fn subscribe(&self, id: u64, subject: String, target: Target) {
        self.order(Command::Subscribe { id, subject, target });
    }

    /// Ends that.
    pub fn unsubscribe(&self, id: u64) {
        self.order(Command::Unsubscribe { id });
    }

    /// When all that was done before has arrived, [`News::Synced`] says so; never, if the connection is lost meanwhile.
    pub fn sync(&self, ticket: u64) {
        self.order(Command::Sync { ticket });
    }

    /// [`News::Answered`] brings the answer, or says that there is none, after twice the timeout at most.
    pub fn ask(&self, question: Question) {
        self.order(Command::Ask(question));
    }

    /// Lets go of the connection, and makes another.
    pub fn reconnect(&self) {
        self.order(Command::Reconnect);
    }

    /// Messages and bytes that have come, and how often it has connected.
    pub fn counts(&self) -> [u64; 3] {
        self.shared.client.get().map_or([0; 3], |client| {
            let statistics = client.statistics();
            [&statistics.in_messages, &statistics.in_bytes, &statistics.connects].map(|count| count.load(Relaxed))
        })
    }

    /// Bytes of a message, headers included, that the server takes at most; none before it was connected.
    pub fn max_payload(&self) -> Option<usize> {
        self.shared.client.get().map(Client::max_payload)
    }

    /// Sends what waits and ends the thread; false if that was not done in time. May be called twice.
    pub fn close(&self, timeout: Duration) -> bool {
        if !self.owner.is_here() {
            return true;
        }
        self.order(Command::Close);
        self.flush();
        self.shared.closing.notify_one();
        let deadline = Instant::now() + timeout;
        let mut place = lock(&self.thread);
        while place.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let Some(thread) = place.take_if(|thread| thread.is_finished()) else { return place.is_none() };
        // Its panic, if any, was told.
        let _ = thread.join();
        true
    }

    /// Has all that was ordered done.
    pub fn flush(&self) {
        let mut waiting = lock(&self.waiting);
        if !waiting.is_empty() {
            // Under the lock, which keeps the order. Fails only when the thread has ended, which was told.
            let _ = self.commands.send(mem::take(&mut waiting));
        }
    }

    fn order(&self, command: Command) {
        lock(&self.waiting).push(command);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.close(Duration::from_secs(1));
    }
}

/// What the thread is told.
#[derive(Debug)]
enum Command {
    Send { subject: String, payload: Bytes },
    Subscribe { id: u64, subject: String, target: Target },
    Unsubscribe { id: u64 },
    Sync { ticket: u64 },
    Ask(Question),
    Connected,
    Remind,
    Reconnect,
    Close,
}

/// What both sides see.
struct Shared {
    settings: Settings,
    is_up: AtomicBool,
    /// Bytes that were taken and that the client has not.
    outgoing: AtomicUsize,
    /// How often it was connected: what is on its way from before means nothing.
    connects: AtomicU64,
    client: OnceLock<Client>,
    /// Notified when it is to end, whatever it waits for.
    closing: Notify,
    inbox: Inbox,
    /// Threads of the engine that sleep and have something to write.
    wake: Mutex<Wake>,
}

#[derive(Default)]
struct Wake {
    threads: Vec<Arc<Waker>>,
    messages: usize,
}

impl Shared {
    fn new(settings: Settings) -> io::Result<Self> {
        Ok(Self {
            settings,
            is_up: AtomicBool::new(false),
            outgoing: AtomicUsize::new(0),
            connects: AtomicU64::new(0),
            client: OnceLock::new(),
            closing: Notify::new(),
            inbox: Inbox::new()?,
            wake: Mutex::default(),
        })
    }

    fn tell(&self, news: News) {
        self.inbox.tell(news, self.settings.max_bytes);
    }

    fn go_down(&self) {
        if self.is_up.swap(false, Relaxed) {
            self.tell(News::Down);
        }
    }

    /// A message has come to the engine.
    fn enter(&self, id: u64, inlet: &Inlet, data: &[u8]) {
        let mut wake = lock(&self.wake);
        let taken = inlet.take(data, &mut wake.threads);
        wake.messages += 1;
        if wake.messages >= BATCH {
            wake.ring();
        }
        drop(wake);
        if taken.missing > 0 || taken.fault.is_some() {
            self.tell(News::Missed(id, taken.missing, taken.fault.map(|error| error.to_string())));
        }
    }

    /// Nothing more has come: what did is written.
    fn settle(&self) {
        lock(&self.wake).ring();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No credentials.
        f.debug_struct("Shared").field("servers", &self.settings.servers).field("is_up", &self.is_up).finish()
    }
}

impl Wake {
    fn ring(&mut self) {
        self.messages = 0;
        ring(&mut self.threads);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is consistent at every point where code under them could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that a message takes besides its own.
const OVERHEAD: usize = 200;

/// Messages that come in a row before those who write them are woken: a millisecond's at most, and one write to each
/// member carries them all.
const BATCH: usize = 1024;

mod incoming;
mod worker;
