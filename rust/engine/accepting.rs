//! How connections come in: listeners, the requests of newcomers, and the host's answers to them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, mpsc};
use std::time::{Duration, Instant};

use mio::{Poll, Registry, Token, Waker};
use socket2::Socket;

use crate::admission::Admission;
use crate::engine::{Engine, Farewell, Handle, Settings, lock};
use crate::error::Error;
use crate::io::acceptor::{Acceptor, Listener, Outage, Told};
use crate::io::driver::WAKE;
use crate::io::link::{SocketLink, Wire};
use crate::limit::LIMITS;
use crate::newcomers::{Accepted, Door, Newcomers, News};
use crate::protocol::codec::Codec;
use crate::protocol::form::Form;
use crate::queues::command::{Command, Resume, Retired, Source, UNRESUMED};
use crate::queues::events::Events;
use crate::queues::queue::Queue;
use crate::slots::ConnId;
use crate::wire::refusal::Refusal;
use crate::wire::websocket_handshake::switching;

/// What the engine holds of its acceptor.
#[derive(Debug)]
pub(super) struct Gate {
    newcomers: Arc<Mutex<Newcomers<Wire>>>,
    queue: Arc<Queue<Told>>,
    waker: Waker,
    registry: Arc<Registry>,
    admission: Admission,
    /// The token of the next listener; ids of newcomers are larger by far.
    next_token: AtomicUsize,
}

/// A newcomer on its way to a shard.
struct Entrant {
    conn: ConnId,
    link: Wire,
    greeting: Box<[u8]>,
    source: Source,
}

impl Gate {
    /// An acceptor, and what the engine holds of it.
    pub(super) fn new(
        settings: &Settings,
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

    fn newcomers(&self) -> MutexGuard<'_, Newcomers<Wire>> {
        lock(&self.newcomers)
    }

    fn push(&self, told: Told) {
        if self.queue.push(told, 0) {
            self.wake();
        }
    }

    fn wake(&self) {
        // Fails only if the descriptor is broken; the thread then looks at its next timer.
        let _ = self.waker.wake();
    }
}

impl Engine {
    /// Accepts connections from a listening socket as well.
    pub fn listen(&self, fd: OwnedFd, door: Door) -> Result<(), Error> {
        self.check()?;
        let token = Token(self.gate.next_token.fetch_add(1, Relaxed));
        let Settings { unsent_bytes, write_timeout, .. } = self.settings;
        let listener = Listener::new(fd, door, token, &self.gate.registry, unsent_bytes, write_timeout)?;
        self.gate.push(Told::Listen(listener));
        Ok(())
    }

    /// Accepts no more, and closes all listening sockets before it returns. Newcomers whose head is not whole are refused when it
    /// is.
    pub fn stop_listening(&self) -> Result<(), Error> {
        self.check()?;
        let (done, closed) = mpsc::sync_channel(1);
        self.gate.push(Told::Close(done));
        // An error says that the thread has ended, which closes them as well.
        let _ = closed.recv_timeout(CLOSE_TIMEOUT);
        Ok(())
    }

    /// What those are told who ask whether the server takes new clients, and are refused themselves.
    pub fn set_ready(&self, is_ready: bool) {
        self.gate.newcomers().set_ready(is_ready);
    }

    /// Connections that hold a place: newcomers, and those that came in as such.
    pub fn connections(&self) -> usize {
        self.gate.admission.connections()
    }

    /// Newcomers that are not decided.
    pub fn waiting(&self) -> usize {
        self.gate.newcomers().waiting()
    }

    /// How many requests were answered with each status; 101: they were accepted.
    pub fn handshakes(&self) -> Vec<(u16, u64)> {
        self.gate.newcomers().report().statuses().iter().map(|(&status, &count)| (status, count)).collect()
    }

    /// How often each limit was passed, in the order of [`LIMITS`].
    pub fn passed(&self) -> [u64; LIMITS.len()] {
        let mut passed = *self.gate.newcomers().report().limits();
        for stats in self.stats() {
            for (sum, count) in passed.iter_mut().zip(&stats.limits) {
                *sum += count.value();
            }
        }
        passed
    }

    /// What there is to say of a newcomer that an event has named; none if it has gone since.
    pub fn news(&self, request: ConnId) -> Option<News> {
        self.gate.newcomers().news(request)
    }

    /// Lets a newcomer in: it is sent the 101 and, as a message, `first`. With a codec it has a session. Returns the
    /// connection's id; none if the newcomer has gone.
    pub fn accept(
        &self,
        request: ConnId,
        session: Option<Codec>,
        first: &[u8],
        times: f64,
    ) -> Result<Option<ConnId>, Error> {
        self.check()?;
        let shard = self.emptiest()?;
        let Some(Entrant { conn, link, greeting, source }) = self.admit(request, shard, times)? else {
            return Ok(None);
        };
        let (form, has_session) = (Form::websocket(session.unwrap_or(Codec::Raw)), session.is_some());
        shard.push(Command::Open { conn, link, form, has_session, greeting, first: first.into(), source }, 0);
        Ok(Some(conn))
    }

    /// Lets a newcomer in as the next link of a session, see [`Self::resume`]. Returns the link's id; none if the
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
        farewell: Farewell<'_>,
        times: f64,
    ) -> Result<Option<ConnId>, Error> {
        self.check()?;
        let shard = self.shard_of(conn).ok_or_else(|| Error::Invalid(format!("{conn:?} is no connection")))?;
        let retired = Retired { id: shard.take_id()?, frame: farewell.frame() };
        let entrant = self.admit(request, shard, times);
        if !matches!(entrant, Ok(Some(_))) {
            lock(&shard.ids).release(retired.id);
        }
        let Some(Entrant { conn: as_new, link, greeting, source }) = entrant? else { return Ok(None) };
        let (form, accepted) = (Form::websocket(codec), accepted.into());
        let resume = Resume { conn, link, as_new, retired, form, received, greeting, accepted, refused, source };
        shard.push(Command::Resume(Box::new(resume)), 0);
        Ok(Some(as_new))
    }

    /// Does not let a newcomer in, if it has not gone.
    pub fn refuse(&self, request: ConnId, refusal: Refusal) -> Result<(), Error> {
        self.check()?;
        self.gate.push(Told::Refuse(request, refusal));
        Ok(())
    }

    /// A newcomer that was given to the host is gone.
    pub fn left(&self, request: ConnId) {
        self.gate.newcomers().left(request);
    }

    /// A newcomer that was given to the host asks to come in, over the same socket, by this duplicate: `received` is what the
    /// host has read of its request. It is a newcomer again, in the place that it has.
    pub fn take_back(&self, request: ConnId, fd: OwnedFd, received: &[u8]) -> Result<(), Error> {
        self.check()?;
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        let link = Wire::Socket(SocketLink::accepted(socket, Arc::clone(&self.gate.registry)));
        let now_us = self.mint.now_us();
        self.with_newcomers(|newcomers| newcomers.take_back(request, link, received, now_us));
        Ok(())
    }

    /// What the host has read of a newcomer that it reads; none: its end.
    pub(super) fn feed_newcomer(&self, id: ConnId, bytes: Option<&[u8]>) {
        let now_us = self.mint.now_us();
        self.with_newcomers(|newcomers| newcomers.feed(id, bytes, now_us));
    }

    fn with_newcomers(&self, change: impl FnOnce(&mut Newcomers<Wire>)) {
        let (events, is_early) = {
            let mut newcomers = self.gate.newcomers();
            change(&mut newcomers);
            (newcomers.take(), newcomers.is_early())
        };
        // Only messages fill anything.
        self.events.extend(events, &mut Vec::new());
        if is_early {
            self.gate.wake();
        }
    }

    /// Takes a newcomer from the acceptor; none if it has gone.
    fn admit(&self, request: ConnId, shard: &Handle, times: f64) -> Result<Option<Entrant>, Error> {
        let conn = shard.take_id()?;
        let accepted = self.gate.newcomers().accept(request);
        let Some(Accepted { mut link, place, accept_key, subprotocol, rest }) = accepted else {
            lock(&shard.ids).release(conn);
            return Ok(None);
        };
        link.keep(place);
        link.rename(conn, &shard.registry);
        let greeting = switching(&accept_key, subprotocol).into();
        Ok(Some(Entrant { conn, link, greeting, source: Source { rest, times } }))
    }
}

/// How long the acceptor may take to close its listeners: it never waits for anything.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
