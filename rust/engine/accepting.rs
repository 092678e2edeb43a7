//! Accepting connections: listeners, the requests of newcomers, and the host's answers to them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, mpsc};
use std::time::{Duration, Instant};

use mio::{Poll, Registry, Token, Waker};
use socket2::Socket;

use crate::admission::Admission;
use crate::engine::{CloseReason, Engine, EngineSettings, Handle, lock};
use crate::error::Error;
use crate::io::acceptor::{Acceptor, AcceptorCommand, Listener, Outage};
use crate::io::driver::WAKE;
use crate::io::link::{AnyLink, SocketLink};
use crate::limit::LIMITS;
use crate::newcomers::{Accepted, ListenerOptions, NewcomerEvent, Newcomers};
use crate::protocol::codec::Codec;
use crate::protocol::form::Form;
use crate::queues::command::{Command, Resume, Retired, Source, UNRESUMED};
use crate::queues::events::Events;
use crate::queues::queue::Queue;
use crate::slots::ConnId;
use crate::wire::refusal::Refusal;
use crate::wire::websocket_handshake::switching;

/// The engine's side of the acceptor.
#[derive(Debug)]
pub(super) struct AcceptorHandle {
    newcomers: Arc<Mutex<Newcomers<AnyLink>>>,
    queue: Arc<Queue<AcceptorCommand>>,
    waker: Waker,
    registry: Arc<Registry>,
    admission: Admission,
    /// The token of the next listener. Ids of newcomers are far larger, so the two never collide.
    next_token: AtomicUsize,
}

/// A newcomer on its way to a shard.
struct Admitted {
    conn: ConnId,
    link: AnyLink,
    greeting: Box<[u8]>,
    source: Source,
}

impl AcceptorHandle {
    /// Creates an acceptor, and the engine's side of it.
    pub(super) fn new(
        settings: &EngineSettings,
        events: &Arc<Events>,
        failure: &Arc<OnceLock<String>>,
        started: Instant,
    ) -> io::Result<(Self, Acceptor)> {
        let poll = Poll::new()?;
        let registry = Arc::new(poll.registry().try_clone()?);
        let waker = Waker::new(poll.registry(), WAKE)?;
        let queue = Arc::new(Queue::new(usize::MAX, usize::MAX));
        let admission = Admission::new(settings.admission);
        let newcomers = Newcomers::new(settings.newcomers.clone(), admission.clone(), Arc::clone(events));
        let newcomers = Arc::new(Mutex::new(newcomers));
        let acceptor = Acceptor {
            newcomers: Arc::clone(&newcomers),
            poll,
            registry: Arc::clone(&registry),
            queue: Arc::clone(&queue),
            events: Arc::clone(events),
            failure: Arc::clone(failure),
            started,
            outage: Outage::default(),
        };
        let next_token = AtomicUsize::new(WAKE.0 + 1);
        Ok((Self { newcomers, queue, waker, registry, admission, next_token }, acceptor))
    }

    pub(super) fn stop(&self) {
        if self.queue.stop() {
            self.wake();
        }
    }

    fn newcomers(&self) -> MutexGuard<'_, Newcomers<AnyLink>> {
        lock(&self.newcomers)
    }

    fn push(&self, command: AcceptorCommand) {
        if self.queue.push(command, 0) {
            self.wake();
        }
    }

    fn wake(&self) {
        // Fails only if the descriptor is broken; the thread then wakes at its next timer.
        let _ = self.waker.wake();
    }
}

impl Engine {
    /// Also accepts connections from this listening socket.
    pub fn listen(&self, fd: OwnedFd, options: ListenerOptions) -> Result<(), Error> {
        self.check()?;
        let token = Token(self.acceptor.next_token.fetch_add(1, Relaxed));
        let EngineSettings { unsent_bytes, write_timeout, .. } = self.settings;
        let listener = Listener::new(fd, options, token, &self.acceptor.registry, unsent_bytes, write_timeout)?;
        self.acceptor.push(AcceptorCommand::Listen(listener));
        Ok(())
    }

    /// Closes all listening sockets before it returns. Newcomers whose request head is incomplete are refused when it
    /// is complete.
    pub fn stop_listening(&self) -> Result<(), Error> {
        self.check()?;
        let (done, closed) = mpsc::sync_channel(1);
        self.acceptor.push(AcceptorCommand::Close(done));
        // An error means that the thread has ended, which also closes the sockets.
        let _ = closed.recv_timeout(CLOSE_TIMEOUT);
        Ok(())
    }

    /// Sets the answer to readiness checks: whether the server takes new clients.
    pub fn set_ready(&self, is_ready: bool) {
        self.acceptor.newcomers().set_ready(is_ready);
    }

    /// Returns the number of connections that count for `max_connections`: newcomers, and connections that were
    /// accepted here.
    pub fn connections(&self) -> usize {
        self.acceptor.admission.connections()
    }

    /// Returns the number of newcomers that the host has not decided about.
    pub fn waiting(&self) -> usize {
        self.acceptor.newcomers().waiting()
    }

    /// Returns how many requests were answered with each status; 101 means accepted.
    pub fn handshakes(&self) -> Vec<(u16, u64)> {
        self.acceptor.newcomers().report().statuses().iter().map(|(&status, &count)| (status, count)).collect()
    }

    /// Returns how often each limit was exceeded, in the order of [`LIMITS`].
    pub fn passed(&self) -> [u64; LIMITS.len()] {
        let mut passed = *self.acceptor.newcomers().report().limits();
        for stats in self.stats() {
            for (sum, count) in passed.iter_mut().zip(&stats.limits) {
                *sum += count.value();
            }
        }
        passed
    }

    /// Returns the details of a newcomer that an event named; none if it has gone.
    pub fn news(&self, request: ConnId) -> Option<NewcomerEvent> {
        self.acceptor.newcomers().news(request)
    }

    /// Accepts a newcomer: sends the 101 and, as a message, `first`. With a codec it gets a session. Returns the id of
    /// the connection; none if the newcomer has gone.
    pub fn accept(
        &self,
        request: ConnId,
        session: Option<Codec>,
        first: &[u8],
        times: f64,
    ) -> Result<Option<ConnId>, Error> {
        self.check()?;
        let shard = self.emptiest()?;
        let Some(Admitted { conn, link, greeting, source }) = self.admit(request, shard, times)? else {
            return Ok(None);
        };
        let (form, has_session) = (Form::websocket(session.unwrap_or(Codec::Raw)), session.is_some());
        shard.push(Command::Open { conn, link, form, has_session, greeting, first: first.into(), source }, 0);
        Ok(Some(conn))
    }

    /// Accepts a newcomer as the next link of a session; see [`Self::resume`]. Returns the id of the link; none if the
    /// newcomer has gone.
    #[expect(clippy::too_many_arguments, reason = "the session, the link and what it begins with")]
    pub fn accept_again(
        &self,
        conn: ConnId,
        request: ConnId,
        codec: Codec,
        received: u64,
        accepted: &[u8],
        refused: [Box<[u8]>; UNRESUMED.len()],
        close: CloseReason<'_>,
        times: f64,
    ) -> Result<Option<ConnId>, Error> {
        self.check()?;
        let shard = self.shard_of(conn).ok_or_else(|| Error::Invalid(format!("there is no connection {conn:?}")))?;
        let retired = Retired { id: shard.take_id()?, frame: close.frame() };
        let admitted = self.admit(request, shard, times);
        if !matches!(admitted, Ok(Some(_))) {
            lock(&shard.ids).release(retired.id);
        }
        let Some(Admitted { conn: as_new, link, greeting, source }) = admitted? else { return Ok(None) };
        let (form, accepted) = (Form::websocket(codec), accepted.into());
        let resume = Resume { conn, link, as_new, retired, form, received, greeting, accepted, refused, source };
        shard.push(Command::Resume(Box::new(resume)), 0);
        Ok(Some(as_new))
    }

    /// Refuses a newcomer. Does nothing if it has gone.
    pub fn refuse(&self, request: ConnId, refusal: Refusal) -> Result<(), Error> {
        self.check()?;
        self.acceptor.push(AcceptorCommand::Refuse(request, refusal));
        Ok(())
    }

    /// Reports that a newcomer that was given to the host has ended.
    pub fn left(&self, request: ConnId) {
        self.acceptor.newcomers().left(request);
    }

    /// Takes back a newcomer that was given to the host and now asks for a WebSocket. `fd` is a duplicate of its
    /// socket, and `received` is what the host has read of its request. It still counts as the same connection.
    pub fn take_back(&self, request: ConnId, fd: OwnedFd, received: &[u8]) -> Result<(), Error> {
        self.check()?;
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        let link = AnyLink::Socket(SocketLink::accepted(socket, Arc::clone(&self.acceptor.registry)));
        let now_us = self.builder.now_us();
        self.with_newcomers(|newcomers| newcomers.take_back(request, link, received, now_us));
        Ok(())
    }

    /// Takes bytes that the host has read of a newcomer; none: the newcomer has ended.
    pub(super) fn feed_newcomer(&self, id: ConnId, bytes: Option<&[u8]>) {
        let now_us = self.builder.now_us();
        self.with_newcomers(|newcomers| newcomers.feed(id, bytes, now_us));
    }

    fn with_newcomers(&self, change: impl FnOnce(&mut Newcomers<AnyLink>)) {
        let (events, is_early) = {
            let mut newcomers = self.acceptor.newcomers();
            change(&mut newcomers);
            (newcomers.take(), newcomers.is_early())
        };
        // Only messages count for the credit of a connection, and these events are none.
        self.events.extend(events, &mut Vec::new());
        if is_early {
            self.acceptor.wake();
        }
    }

    /// Takes a newcomer from the acceptor; none if it has gone.
    fn admit(&self, request: ConnId, shard: &Handle, times: f64) -> Result<Option<Admitted>, Error> {
        let conn = shard.take_id()?;
        let accepted = self.acceptor.newcomers().accept(request);
        let Some(Accepted { mut link, place, accept_key, subprotocol, rest }) = accepted else {
            lock(&shard.ids).release(conn);
            return Ok(None);
        };
        link.keep(place);
        link.rename(conn, &shard.registry);
        let greeting = switching(&accept_key, subprotocol).into();
        Ok(Some(Admitted { conn, link, greeting, source: Source { rest, times } }))
    }
}

/// How long the acceptor may take to close its listeners. It never blocks, so a second is plenty.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
