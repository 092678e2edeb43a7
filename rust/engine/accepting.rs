//! Accepting connections: listeners, the requests of newcomers, and the host's answers to them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, mpsc};
use std::time::Duration;

use mio::{Poll, Token, Waker};
use socket2::Socket;

use crate::admission::Admission;
use crate::engine::message_builder::MessageBuilder;
use crate::engine::{CloseReason, Engine, EngineSettings, Handle, lock};
use crate::error::Error;
use crate::io::acceptor::{Acceptor, AcceptorCommand, Listener, Outage};
use crate::io::driver::WAKE;
use crate::io::link::AnyLink;
use crate::io::lobby::Lobby;
use crate::io::mailbox::Mailbox;
use crate::io::poll_link::PollLink;
use crate::io::socket_link::SocketLink;
use crate::limit::LIMITS;
use crate::newcomers::{Accepted, Insecure, ListenerOptions, NewcomerEvent, Newcomers, TlsHandshakes};
use crate::protocol::codec::Codec;
use crate::protocol::form::{Deflate, Form};
use crate::protocol::framing::Framing;
use crate::queues::command::{Command, Greeting, Resume, Source, UNRESUMED};
use crate::queues::events::Events;
use crate::queues::queue::Queue;
use crate::slots::ConnId;
use crate::wire::opening::Opening;
use crate::wire::refusal::Refusal;

/// The engine's side of the acceptor.
#[derive(Debug)]
pub(super) struct AcceptorHandle {
    pub(super) lobby: Lobby,
    queue: Arc<Queue<AcceptorCommand>>,
    /// Where newcomers go whose listener has TLS.
    pub(super) insecure: Arc<OnceLock<Arc<Mailbox<Insecure<AnyLink>>>>>,
    admission: Admission,
    /// The token of the next listener. Ids of newcomers are far larger, so the two never collide.
    next_token: AtomicUsize,
}

/// A newcomer on its way to a shard.
struct Admitted {
    conn: ConnId,
    link: AnyLink,
    framing: Framing,
    deflate: Deflate,
    greeting: Greeting,
    source: Source,
}

impl AcceptorHandle {
    /// Creates an acceptor, and the engine's side of it.
    pub(super) fn new(
        settings: &EngineSettings,
        events: &Arc<Events>,
        failure: &Arc<OnceLock<String>>,
        builder: &MessageBuilder,
    ) -> io::Result<(Self, Acceptor)> {
        let poll = Poll::new()?;
        let registry = Arc::new(poll.registry().try_clone()?);
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let queue = Arc::new(Queue::new(usize::MAX, usize::MAX));
        let admission = Admission::new(settings.admission);
        let newcomers = Newcomers::new(settings.newcomers.clone(), admission.clone());
        let newcomers = newcomers.with_compression(Arc::clone(builder.compression()));
        let newcomers = Arc::new(Mutex::new(newcomers));
        let lobby = Lobby { newcomers, registry, waker, events: Arc::clone(events) };
        let insecure = Arc::default();
        let acceptor = Acceptor {
            lobby: lobby.clone(),
            poll,
            insecure: Arc::clone(&insecure),
            queue: Arc::clone(&queue),
            failure: Arc::clone(failure),
            started: builder.started(),
            outage: Outage::default(),
        };
        let next_token = AtomicUsize::new(WAKE.0 + 1);
        Ok((Self { lobby, queue, insecure, admission, next_token }, acceptor))
    }

    pub(super) fn stop(&self) {
        if self.queue.stop() {
            self.lobby.wake();
        }
    }

    fn newcomers(&self) -> MutexGuard<'_, Newcomers<AnyLink>> {
        self.lobby.lock()
    }

    fn push(&self, command: AcceptorCommand) {
        if self.queue.push(command, 0) {
            self.lobby.wake();
        }
    }
}

impl Engine {
    /// Also accepts connections from this listening socket. Fails if it has TLS, for which there are no settings.
    pub fn listen(&self, fd: OwnedFd, options: ListenerOptions) -> Result<(), Error> {
        self.check()?;
        if options.is_tls && self.acceptor.insecure.get().is_none() {
            return Err(Error::Invalid("there is no certificate for TLS; call set_tls() first".into()));
        }
        let token = Token(self.acceptor.next_token.fetch_add(1, Relaxed));
        let EngineSettings { unsent_bytes, write_timeout, .. } = self.settings;
        let listener = Listener::new(fd, options, token, &self.acceptor.lobby.registry, unsent_bytes, write_timeout)?;
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

    /// Returns how long the host took to answer requests; see
    /// [`HandshakeReport::durations`](crate::newcomers::report::HandshakeReport::durations).
    pub fn handshake_durations(&self) -> (Vec<(u64, u64)>, u64) {
        let newcomers = self.acceptor.newcomers();
        let durations = newcomers.report().durations();
        (durations.buckets().collect(), durations.sum_us())
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

    /// Returns how many TLS handshakes ended how.
    pub fn tls_handshakes(&self) -> TlsHandshakes {
        self.acceptor.newcomers().report().tls()
    }

    /// Returns the details of a newcomer that an event named; none if it has gone. A plain HTTP request comes with a
    /// socket: that of the client or, if the client speaks TLS, one end of a tunnel to it.
    pub fn news(&self, request: ConnId) -> Option<NewcomerEvent<OwnedFd>> {
        let news = self.acceptor.newcomers().news(request)?;
        match news {
            NewcomerEvent::Request(request) => Some(NewcomerEvent::Request(request)),
            NewcomerEvent::Http { stream, data, peer, is_secure, tls } => {
                match stream.into_fd().or_else(|link| self.begin_tunnel(request, link)) {
                    Ok(stream) => Some(NewcomerEvent::Http { stream, data, peer, is_secure, tls }),
                    Err(_) => {
                        // The process has no descriptor left. Without an answer the client tries again.
                        self.acceptor.newcomers().left(request);
                        None
                    }
                }
            }
        }
    }

    /// Accepts a newcomer: sends the head of the response and, as a message, `first`. With a codec it gets a session,
    /// if it `is_batched` batches, and if it `has_deltas` deltas. Returns the id of the connection; none if the newcomer has gone.
    pub fn accept(
        &self,
        request: ConnId,
        session: Option<Codec>,
        first: &[u8],
        times: f64,
        is_batched: bool,
        has_deltas: bool,
    ) -> Result<Option<ConnId>, Error> {
        self.check()?;
        let shard = self.emptiest()?;
        let Some(Admitted { conn, link, framing, deflate, greeting, source }) = self.admit(request, shard, times)?
        else {
            return Ok(None);
        };
        let has_deltas = has_deltas && session.is_some();
        let form = Form { deflate, is_batched, has_deltas, ..Form::plain(session.unwrap_or(Codec::Raw), framing) };
        let has_session = session.is_some();
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
        [received, refusals]: [u64; 2],
        accepted: &[u8],
        refused: [Box<[u8]>; UNRESUMED.len()],
        close: CloseReason<'_>,
        times: f64,
        is_batched: bool,
        has_deltas: bool,
    ) -> Result<Option<ConnId>, Error> {
        self.check()?;
        let shard = self.shard_of(conn).ok_or_else(|| Error::Invalid(format!("there is no connection {conn:?}")))?;
        let retired = close.retire(shard.take_id()?);
        let admitted = self.admit(request, shard, times);
        if !matches!(admitted, Ok(Some(_))) {
            lock(&shard.ids).release(retired.id);
        }
        let Some(Admitted { conn: as_new, link, framing, deflate, greeting, source }) = admitted? else {
            return Ok(None);
        };
        let (form, accepted) =
            (Form { deflate, is_batched, has_deltas, ..Form::plain(codec, framing) }, accepted.into());
        let resume =
            Resume { conn, link, as_new, retired, form, received, refusals, greeting, accepted, refused, source };
        shard.push(Command::Resume(Box::new(resume)), 0);
        Ok(Some(as_new))
    }

    /// Refuses a newcomer. Does nothing if it has gone.
    pub fn refuse(&self, request: ConnId, refusal: Refusal) -> Result<(), Error> {
        self.check()?;
        self.acceptor.push(AcceptorCommand::Refuse(request, refusal));
        Ok(())
    }

    /// Reports that the host has closed a newcomer that it was given. One with TLS counts until its tunnel is over,
    /// because its client may not have been sent all.
    pub fn left(&self, request: ConnId) {
        let mut newcomers = self.acceptor.newcomers();
        if !newcomers.has_tls(request) {
            newcomers.left(request);
        }
    }

    /// Takes back a newcomer that was given to the host and now asks for a connection. `fd` is a duplicate of the socket
    /// that the host got, and `received` is what the host has read of the request. It still counts as the same connection.
    pub fn take_back(&self, request: ConnId, fd: OwnedFd, received: &[u8]) -> Result<(), Error> {
        self.check()?;
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        if self.acceptor.newcomers().has_tls(request) {
            self.end_tunnel(request, socket.into(), received.into());
            return Ok(());
        }
        let link = AnyLink::Socket(SocketLink::accepted(socket, Arc::clone(&self.acceptor.lobby.registry)));
        let now_us = self.builder.now_us();
        self.acceptor.lobby.change(|newcomers| newcomers.take_back(request, link, received, now_us));
        Ok(())
    }

    /// Takes a newcomer from the acceptor; none if it has gone.
    fn admit(&self, request: ConnId, shard: &Handle, times: f64) -> Result<Option<Admitted>, Error> {
        let conn = shard.take_id()?;
        let accepted = self.acceptor.newcomers().accept(request, self.builder.now_us());
        let Some(Accepted { mut link, place, opening, head, rest }) = accepted else {
            lock(&shard.ids).release(conn);
            return Ok(None);
        };
        let (source, deflate) = (Source { rest, times }, opening.deflate());
        if opening == Opening::Poll {
            let mut link = AnyLink::Poll(PollLink::new(conn, Arc::clone(&self.events), link));
            link.keep(place);
            let (framing, greeting) = (Framing::EventStream, Greeting::Response(head));
            return Ok(Some(Admitted { conn, link, framing, deflate, greeting, source }));
        }
        link.keep(place);
        link.change_registry(&shard.registry);
        let framing = if opening == Opening::Stream { Framing::EventStream } else { Framing::WebSocket };
        Ok(Some(Admitted { conn, link, framing, deflate, greeting: Greeting::Bytes(head), source }))
    }
}

/// How long the acceptor may take to close its listeners. It never blocks, so a second is plenty.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
