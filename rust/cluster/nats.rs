//! The connection to NATS. Messages for a room go straight to the engine through the room's [`Ingress`]. All other
//! messages wait for the host in a queue with a descriptor that the host's loop watches.
//!
//! The client is `async-nats`. It runs on a thread of its own that never holds the interpreter, and reconnects for
//! ever. Every method may be called from any thread, and none blocks. Commands are collected and start with the next
//! [`NatsConnection::flush`]: waking the thread is a system call, and the woken thread may take the processor.

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
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, oneshot};

use self::incoming::Incoming;
pub use self::incoming::{NatsEvent, Reply};
use crate::cluster::ingress::Ingress;
use crate::engine::wake_all;
use crate::process::Process;

/// The settings of a NATS connection.
#[derive(Debug, Clone, Default)]
pub struct NatsSettings {
    /// Addresses of the servers of one NATS cluster, without credentials.
    pub servers: Vec<String>,
    /// A token to authenticate with.
    pub token: Option<String>,
    /// A user name and a password.
    pub password: Option<(String, String)>,
    /// A credentials file with a user's JWT and its seed.
    pub credentials: Option<PathBuf>,
    /// A file of CA certificates that are trusted in addition to those of the system.
    pub ca: Option<PathBuf>,
    /// Files with the client certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The last token of the subjects that this node publishes to. Messages with this ending are our own, and are
    /// ignored.
    pub node: String,
    /// A subject that only this node uses. A message sent to it comes back after everything that was sent before it.
    pub echo: String,
    /// The timeout of one attempt to connect.
    pub timeout: Duration,
    /// The wait between two attempts to connect.
    pub retry: Duration,
    /// The interval between pings. The connection counts as lost after two pings without an answer.
    pub ping: Duration,
    /// The limit on bytes that wait to be sent, and also on bytes that wait for the host.
    pub max_bytes: usize,
}

/// Where the messages of a subscription go.
#[derive(Debug, Clone)]
pub enum Target {
    /// To a room of the engine.
    Ingress(Arc<Ingress>),
    /// To the host.
    Host,
    /// To the host, with their number in the log.
    Log,
}

/// A request to NATS.
#[derive(Debug)]
pub struct Question {
    /// The id of the request. The answer has the same id.
    pub ticket: u64,
    /// The subject that the request is sent to.
    pub subject: String,
    /// Headers of the request.
    pub headers: Vec<(String, String)>,
    /// The payload of the request.
    pub payload: Bytes,
    /// Whether several answers come; the last one has a status (NATS ADR-31).
    pub is_batch: bool,
}

/// A connection to NATS. Thread-safe; no method blocks except [`Self::close`].
#[derive(Debug)]
pub struct NatsConnection {
    shared: Arc<NatsShared>,
    waiting: Mutex<Vec<NatsCommand>>,
    commands: UnboundedSender<Vec<NatsCommand>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    owner: Process,
}

impl NatsConnection {
    /// Starts to connect. [`NatsEvent::Up`] or [`NatsEvent::Ended`] reports the result.
    pub fn open(settings: NatsSettings) -> io::Result<Self> {
        let (commands, receiver) = unbounded_channel();
        let shared = Arc::new(NatsShared::new(settings)?);
        let (theirs, sender) = (Arc::clone(&shared), commands.downgrade());
        let thread =
            thread::Builder::new().name("fanwire-nats".into()).spawn(|| worker::run(theirs, receiver, sender))?;
        Ok(Self {
            shared,
            waiting: Mutex::default(),
            commands,
            thread: Mutex::new(Some(thread)),
            owner: Process::here(),
        })
    }

    /// Returns the descriptor that is readable while [`Self::take`] has something to return.
    pub fn fd(&self) -> RawFd {
        self.shared.incoming.fd()
    }

    /// Returns at most `most` events. The descriptor stays readable if there are more.
    pub fn take(&self, most: usize) -> Vec<NatsEvent> {
        self.shared.incoming.take(most)
    }

    /// Whether the connection is up and all subscriptions are active.
    pub fn is_up(&self) -> bool {
        self.shared.is_up.load(Relaxed)
    }

    /// Sends a message. Returns false if there is no connection, or if more than `max_bytes` would wait.
    pub fn send(&self, subject: String, payload: &[u8]) -> bool {
        let size = payload.len() + OVERHEAD;
        if !self.is_up() || self.shared.outgoing.load(Relaxed) + size > self.shared.settings.max_bytes {
            return false;
        }
        self.shared.outgoing.fetch_add(size, Relaxed);
        self.enqueue(NatsCommand::Send { subject, payload: Bytes::copy_from_slice(payload) });
        true
    }

    /// Subscribes to a subject. The subscription is active after the next [`Self::sync`], and is restored after a
    /// reconnect. `id` names it and must not be reused.
    pub fn subscribe(&self, id: u64, subject: String, target: Target) {
        self.enqueue(NatsCommand::Subscribe { id, subject, target });
    }

    /// Ends the subscription `id`.
    pub fn unsubscribe(&self, id: u64) {
        self.enqueue(NatsCommand::Unsubscribe { id });
    }

    /// Asks for [`NatsEvent::Synced`], which comes when everything sent before has arrived. It never comes if the
    /// connection is lost meanwhile.
    pub fn sync(&self, ticket: u64) {
        self.enqueue(NatsCommand::Sync { ticket });
    }

    /// Sends a request. [`NatsEvent::Answered`] brings the answer, or an error after at most twice the timeout.
    pub fn ask(&self, question: Question) {
        self.enqueue(NatsCommand::Ask(question));
    }

    /// Drops the connection and connects again.
    pub fn reconnect(&self) {
        self.enqueue(NatsCommand::Reconnect);
    }

    /// Returns the number of messages received, of bytes received, and of connects.
    pub fn counts(&self) -> [u64; 3] {
        self.shared.client.get().map_or([0; 3], |client| {
            let statistics = client.statistics();
            [&statistics.in_messages, &statistics.in_bytes, &statistics.connects].map(|count| count.load(Relaxed))
        })
    }

    /// Returns the largest message that the server accepts, in bytes with headers; none before the first connect.
    pub fn max_payload(&self) -> Option<usize> {
        self.shared.client.get().map(Client::max_payload)
    }

    /// Sends what waits and ends the thread. Returns false if that takes longer than the timeout. May be called twice.
    pub fn close(&self, timeout: Duration) -> bool {
        if !self.owner.is_here() {
            return true;
        }
        self.enqueue(NatsCommand::Close);
        self.flush();
        self.shared.closing.notify_one();
        let deadline = Instant::now() + timeout;
        let mut place = lock(&self.thread);
        while place.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let Some(thread) = place.take_if(|thread| thread.is_finished()) else { return place.is_none() };
        // A panic of the thread was already reported as an event.
        let _ = thread.join();
        true
    }

    /// Starts all commands that were collected since the last call.
    pub fn flush(&self) {
        let mut waiting = lock(&self.waiting);
        if !waiting.is_empty() {
            // The lock is held so that commands keep their order. Sending fails only if the thread has ended, which was
            // reported.
            let _ = self.commands.send(mem::take(&mut waiting));
        }
    }

    fn enqueue(&self, command: NatsCommand) {
        lock(&self.waiting).push(command);
    }
}

impl Drop for NatsConnection {
    fn drop(&mut self) {
        self.close(Duration::from_secs(1));
    }
}

/// A command to the thread.
#[derive(Debug)]
enum NatsCommand {
    Send {
        subject: String,
        payload: Bytes,
    },
    Subscribe {
        id: u64,
        subject: String,
        target: Target,
    },
    Unsubscribe {
        id: u64,
    },
    Sync {
        ticket: u64,
    },
    Ask(Question),
    /// It is the turn of a request.
    Begin(oneshot::Sender<()>),
    Look,
    Reconnect,
    Close,
}

/// The state that the thread and its callers share.
struct NatsShared {
    settings: NatsSettings,
    is_up: AtomicBool,
    /// Bytes that were accepted by `send` and not yet given to the client.
    outgoing: AtomicUsize,
    /// The number of the connection that was reported last as up, of those that the client has made. An echo with
    /// another number than the client's newest was sent over a former connection, and is ignored.
    connects: AtomicU64,
    client: OnceLock<Client>,
    /// Notified when the thread must end, even if it waits for something.
    closing: Notify,
    incoming: Incoming,
    /// Engine threads that sleep and have something to write.
    wake: Mutex<Wake>,
}

#[derive(Default)]
struct Wake {
    threads: Vec<Arc<Waker>>,
    messages: usize,
}

impl NatsShared {
    fn new(settings: NatsSettings) -> io::Result<Self> {
        Ok(Self {
            settings,
            is_up: AtomicBool::new(false),
            outgoing: AtomicUsize::new(0),
            connects: AtomicU64::new(0),
            client: OnceLock::new(),
            closing: Notify::new(),
            incoming: Incoming::new()?,
            wake: Mutex::default(),
        })
    }

    fn tell(&self, event: NatsEvent) {
        self.incoming.tell(event, self.settings.max_bytes);
    }

    fn go_down(&self) {
        if self.is_up.swap(false, Relaxed) {
            self.tell(NatsEvent::Down);
        }
    }

    /// Gives a message to the engine.
    fn enter(&self, id: u64, ingress: &Ingress, data: &[u8]) {
        let mut wake = lock(&self.wake);
        let outcome = ingress.take(data, &mut wake.threads);
        wake.messages += 1;
        if wake.messages >= BATCH {
            wake.flush();
        }
        drop(wake);
        if outcome.missing > 0 || outcome.fault.is_some() {
            self.tell(NatsEvent::Missed(id, outcome.missing, outcome.fault.map(|error| error.to_string())));
        }
    }

    /// Wakes the writing threads, because no more messages are there to read.
    fn settle(&self) {
        lock(&self.wake).flush();
    }
}

impl fmt::Debug for NatsShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Leaves out the credentials.
        f.debug_struct("NatsShared").field("servers", &self.settings.servers).field("is_up", &self.is_up).finish()
    }
}

impl Wake {
    fn flush(&mut self) {
        self.messages = 0;
        wake_all(&mut self.threads);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data behind these locks is consistent wherever code under them can panic, so a poisoned lock is usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes charged for a message in addition to its payload.
const OVERHEAD: usize = 200;

/// Messages read in a row before the writing threads are woken: at most a millisecond of messages, which each member
/// then gets with one write.
const BATCH: usize = 1024;

mod incoming;
mod worker;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
