//! The client's connections and the one thread that serves them: open, read, write. Not a scenario: it does not know
//! why it sends. The rule: one receive per readable socket and no allocation per message, for the client must outrun
//! the server it measures.

mod ear;
mod requests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;
use socket2::{Domain, SockRef, Socket, Type};

use crate::client::Client;
use crate::clock::{self, Alarm};
use crate::inflate::{Agreed, Inflater};
use crate::link::{Inflate, Link, Role, State};
use crate::protocol::Protocol;
use crate::tally::Tally;
use crate::transport::Transport;
use crate::wire::Wire;
use crate::{event_stream, frame, handshake, reply};
use ear::{Common, Ear};

pub use ear::Traffic;
pub use requests::Answers;

/// The one receive buffer. It bounds the size of a frame; reads of a busy run fill some tens of KB of it, which stay
/// in the second-level cache.
const BUFFER: usize = 1 << 20;
/// The code of a close for no particular reason (RFC 6455 7.4.1).
const NORMAL: [u8; 2] = 1000u16.to_be_bytes();
const ALARM: Token = Token(usize::MAX);
/// A connection that takes longer to open has failed.
const OPEN_LIMIT: u64 = 60 * clock::SECOND;

/// All connections of a run.
#[derive(Debug)]
pub struct Swarm {
    poll: Poll,
    alarm: Alarm,
    address: SocketAddr,
    links: Vec<Link>,
    buffer: Box<[u8]>,
    /// Through which encrypted bytes pass.
    scratch: Box<[u8]>,
    secure: Option<Arc<ClientConfig>>,
    common: Common,
    failed: usize,
    closed: u64,
    sinks_on: bool,
    wakes: u64,
    events: u64,
    spins: bool,
    bearers: Rc<[String]>,
    borne: usize,
    sources: u8,
    begun: usize,
    answers: Answers,
}

impl Swarm {
    /// No connections yet, to the server on `port` of the loopback.
    ///
    /// # Errors
    /// The operator's: no descriptors left.
    pub fn new(port: u16) -> Result<Self> {
        let poll = Poll::new()?;
        Ok(Self {
            alarm: Alarm::new(poll.registry(), ALARM)?,
            poll,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            links: Vec::new(),
            buffer: vec![0; BUFFER].into(),
            scratch: Box::new([]),
            secure: None,
            common: Common::default(),
            failed: 0,
            closed: 0,
            sinks_on: false,
            wakes: 0,
            events: 0,
            spins: false,
            bearers: Rc::new([]),
            borne: 0,
            sources: 1,
            begun: 0,
            answers: Answers::default(),
        })
    }

    /// Opens one connection per entry, at most `width` handshakes at a time, and returns the ids of those entered and
    /// how many nanoseconds each finished handshake took.
    ///
    /// # Errors
    /// The operator's: no descriptors or ports left, or no server. Single refusals are only counted.
    pub fn open(
        &mut self,
        wanted: impl IntoIterator<Item = (String, Role)>,
        width: usize,
        tally: &mut Tally,
    ) -> Result<(Vec<usize>, Vec<u64>)> {
        let mut wanted = wanted.into_iter();
        let mut ids = Vec::new();
        let (opened, failed) = (self.common.opened.len(), self.failed);
        let mut events = Events::with_capacity(1024);
        let deadline = clock::now() + OPEN_LIMIT;
        loop {
            let mut pending = ids.len() - (self.common.opened.len() - opened) - (self.failed - failed);
            while pending < width {
                let Some((path, role)) = wanted.next() else { break };
                ids.push(self.connect(&path, role)?);
                pending += 1;
            }
            if pending == 0 {
                break;
            }
            if clock::now() > deadline {
                bail!("{pending} handshakes unanswered after a minute");
            }
            self.turn(&mut events, deadline, tally)?;
        }
        if self.common.opened.len() == opened && !ids.is_empty() {
            bail!("no handshake succeeded with {}", self.address);
        }
        Ok((ids, self.common.opened[opened..].to_vec()))
    }

    /// Waits for events or for `until`, and serves what there is.
    ///
    /// # Errors
    /// The poll's own; a connection's fault closes that connection only.
    pub fn turn(&mut self, events: &mut Events, until: u64, tally: &mut Tally) -> Result<()> {
        // A turn that is already due looks without waiting and without arming the timer.
        let timeout = if self.spins || until <= clock::now() {
            Some(Duration::ZERO)
        } else {
            self.alarm.set(until)?;
            None
        };
        match self.poll.poll(events, timeout) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other.context("poll")?,
        }
        self.wakes += 1;
        for event in events.iter().filter(|event| event.token() != ALARM) {
            self.events += 1;
            self.serve(event, tally);
        }
        Ok(())
    }

    /// Never sleeps from here on: a sleeper is woken by whoever sends to it, on the sender's account.
    pub fn spin(&mut self) {
        self.spins = true;
    }

    /// Each connection from here on says who it is by the next of these tokens, round and round.
    pub fn bear(&mut self, tokens: Rc<[String]>) {
        (self.bearers, self.borne) = (tokens, 0);
    }

    /// Connections from here on are secured, by these settings.
    pub fn secure(&mut self, config: Arc<ClientConfig>) {
        self.scratch = vec![0; BUFFER].into();
        self.secure = Some(config);
    }

    /// What readers have received.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.common.traffic
    }

    /// Connections from here on come from so many addresses in turn, 127.0.0.1 and on: one has 28,000 ports.
    pub fn spread(&mut self, sources: u8) {
        self.sources = sources.max(1);
    }

    /// Queues one binary message on a talker; [`Swarm::flush`] sends it.
    pub fn say(&mut self, id: usize, payload: &[u8]) {
        frame::push_masked(&mut self.links[id].out, frame::BINARY, payload);
    }

    /// Gives a connection's socket what it takes now; the rest follows when the socket is writable.
    pub fn flush(&mut self, id: usize) {
        if self.links[id].flush().is_err() {
            self.lost(id);
        }
    }

    /// The oldest reply to a talker that nobody has taken yet.
    pub fn reply(&mut self) -> Option<Vec<u8>> {
        self.common.replies.pop_front()
    }

    /// Lets the sinks send, or makes them pause.
    pub fn pour(&mut self, on: bool) {
        self.sinks_on = on;
        for id in 0..self.links.len() {
            self.serve_sink(id);
        }
    }

    /// How many of these connections are open.
    #[must_use]
    pub fn alive(&self, ids: &[usize]) -> usize {
        ids.iter().filter(|&&id| self.links[id].state == State::Open).count()
    }

    /// The ports of these connections on this side.
    #[must_use]
    pub fn ports(&self, ids: &[usize]) -> Vec<u16> {
        let local = ids.iter().filter_map(|&id| self.links[id].wire.stream().local_addr().ok());
        local.map(|address| address.port()).collect()
    }

    /// Open connections the server has closed.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.closed
    }

    /// How often the poll returned and how many events it brought, since the beginning.
    #[must_use]
    pub fn wakes(&self) -> (u64, u64) {
        (self.wakes, self.events)
    }

    /// Handshakes that were refused.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Ends these connections at once, with a reset: thousands of sockets in TIME_WAIT would take the ports of the
    /// next run.
    pub fn abort(&mut self, ids: &[usize]) {
        for &id in ids {
            if self.links[id].state != State::Closed {
                _ = SockRef::from(self.links[id].wire.stream()).set_linger(Some(Duration::ZERO));
                self.shut(id);
            }
            if let Some(courier) = self.links[id].fallback.as_ref().and_then(|fallback| fallback.courier) {
                self.abort(&[courier]);
            }
        }
    }

    /// Asks the server to close these connections (RFC 6455 7.1.2); it has done so when [`Swarm::closed`] counts them.
    pub fn leave(&mut self, ids: &[usize]) {
        for &id in ids {
            if self.links[id].state == State::Open {
                frame::push_masked(&mut self.links[id].out, frame::CLOSE, &NORMAL);
                self.flush(id);
            }
        }
    }

    /// The client on a connection; `None` when that is for something else.
    #[must_use]
    pub fn client(&self, id: usize) -> Option<&Client> {
        match &self.links[id].role {
            Role::Client(client) => Some(client),
            _ => None,
        }
    }

    /// Queues one message of either kind on a talker.
    pub fn publish(&mut self, id: usize, text: bool, payload: &[u8]) {
        if text { self.write(id, payload) } else { self.say(id, payload) }
    }

    /// Queues one text message; [`Swarm::flush`] sends it.
    pub fn write(&mut self, id: usize, text: &[u8]) {
        frame::push_masked(&mut self.links[id].out, frame::TEXT, text);
    }

    /// How far a connection has come.
    #[must_use]
    pub fn state(&self, id: usize) -> State {
        self.links[id].state
    }

    /// Closes a connection without a close frame, and its descriptor: with a reset, or as a process does that ends.
    ///
    /// # Errors
    /// The operator's: no descriptors left.
    pub fn cut(&mut self, id: usize, reset: bool) -> Result<()> {
        let link = &mut self.links[id];
        if reset {
            _ = SockRef::from(link.wire.stream()).set_linger(Some(Duration::ZERO));
        }
        // A socket that was never connected takes its place; with the last descriptor its events end, too.
        link.wire = Wire::Plain(TcpStream::from_std(Socket::new(Domain::IPV4, Type::STREAM, None)?.into()));
        link.state = State::Closed;
        Ok(())
    }

    /// Begins a new connection in the place of one that is closed, for its client. Only between two turns.
    ///
    /// # Errors
    /// The operator's: no descriptors or ports left.
    pub fn again(&mut self, id: usize) -> Result<()> {
        let role = std::mem::replace(&mut self.links[id].role, Role::Talker);
        let Role::Client(mut client) = role else { bail!("connection {id} has no client") };
        let path = client.away();
        // The old descriptor first, so that there are never more than one for each client.
        self.cut(id, true)?;
        let mut link = self.link(&path, Role::Client(client))?;
        self.poll.registry().register(link.wire.stream_mut(), Token(id), Interest::READABLE | Interest::WRITABLE)?;
        self.links[id] = link;
        Ok(())
    }

    fn connect(&mut self, path: &str, role: Role) -> Result<usize> {
        let mut link = self.link(path, role)?;
        let id = self.links.len();
        self.poll.registry().register(link.wire.stream_mut(), Token(id), Interest::READABLE | Interest::WRITABLE)?;
        self.links.push(link);
        Ok(id)
    }

    fn link(&mut self, path: &str, role: Role) -> Result<Link> {
        if let Role::Session(session, _) = &role {
            let is_socket = session.transport == Transport::WebSocket;
            if (session.takes_batches || !is_socket) && session.protocol != Protocol::Json {
                let what = if is_socket { "in batches" } else { session.transport.name() };
                bail!("{what}, this client speaks {} only", Protocol::Json.name());
            }
        }
        if role.transport() != Transport::WebSocket && role.offer().is_some() {
            bail!("only WebSockets are compressed");
        }
        let token = self.bearers.get(self.borne % self.bearers.len().max(1)).map(String::as_str);
        self.borne += 1;
        let source = u8::try_from(self.begun % usize::from(self.sources)).unwrap_or(0);
        self.begun += 1;
        let source = (self.sources > 1).then(|| Ipv4Addr::new(127, 0, 0, source.saturating_add(1)));
        let secure = self.secure.as_ref();
        Link::connect(self.address, source, path, role, token, secure).context("connect: descriptors or ports")
    }

    fn serve(&mut self, event: &Event, tally: &mut Tally) {
        let id = event.token().0;
        let Some(link) = self.links.get_mut(id) else { return };
        if link.state == State::Connecting {
            // The first event of a connect tells its outcome; a refused one fails in the write.
            link.state = State::Upgrading;
            self.flush(id);
        }
        let readable = event.is_readable() || event.is_read_closed() || event.is_error();
        let link = &self.links[id];
        match link.state {
            State::Open if readable && matches!(link.role, Role::Courier(_)) => self.read_posts(id),
            State::Upgrading | State::Joining | State::Open
                if readable && link.role.transport() == Transport::LongPoll =>
            {
                self.read_polls(id, tally);
            }
            State::Upgrading if readable => self.upgrade(id, event, tally),
            State::Joining | State::Open if readable => {
                self.read(id, event.is_read_closed() || event.is_error(), tally)
            }
            _ => {}
        }
        let link = &self.links[id];
        if matches!(link.state, State::Joining | State::Open) && event.is_writable() {
            if !link.out.is_empty() {
                self.flush(id);
            }
            self.serve_sink(id);
        }
    }

    fn upgrade(&mut self, id: usize, event: &Event, tally: &mut Tally) {
        let Self { links, buffer, scratch, .. } = self;
        let link = &mut links[id];
        loop {
            match link.wire.read(buffer, scratch) {
                Ok(got) if got.size == 0 => return self.close(id),
                Ok(got) => link.carry.extend_from_slice(&buffer[..got.size]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return self.flush(id),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.close(id),
            }
            let Some(size) = handshake::head_size(&link.carry) else {
                if link.carry.len() > handshake::LIMIT {
                    return self.close(id);
                }
                continue;
            };
            let head = &link.carry[..size];
            let is_accepted = match link.role.transport() {
                Transport::WebSocket => {
                    link.inflate = match Agreed::read(head) {
                        Some(Agreed::Alone) => Some(Inflate::Alone),
                        Some(Agreed::Takeover) => Some(Inflate::Takeover(Inflater::default().into())),
                        None => None,
                    };
                    // What was not asked for must not be, and a reader that asked is here to get it.
                    handshake::accepted(head, link.role.subprotocol())
                        && link.inflate.is_some() == link.role.offer().is_some()
                }
                Transport::Sse | Transport::LongPoll => reply::is_event_stream(head),
            };
            if !is_accepted {
                return self.close(id);
            }
            if matches!(link.role, Role::Session(..) | Role::Client(_)) {
                link.state = State::Joining;
            } else {
                link.state = State::Open;
                self.common.opened.push(clock::now() - link.started);
            }
            link.carry.drain(..size);
            if let Role::Visitor { message, waits } = &link.role {
                link.out.extend_from_slice(message);
                if !waits {
                    frame::push_masked(&mut link.out, frame::CLOSE, &NORMAL);
                }
                self.flush(id);
                // Nothing can have come with the head: a visitor is told nothing that it has not asked for.
                return;
            }
            if matches!(link.role, Role::Stalled { .. }) {
                _ = self.poll.registry().deregister(link.wire.stream_mut());
                return;
            }
            if link.carry.is_empty() {
                link.carry = Vec::new();
            }
            // Frames may have come with the head, and the edge for them will not come again.
            return self.read(id, event.is_read_closed(), tally);
        }
    }

    fn read(&mut self, id: usize, to_end: bool, tally: &mut Tally) {
        let Self { links, buffer, scratch, common, .. } = self;
        let link = &mut links[id];
        let mut fresh = link.state == State::Joining;
        let is_stream = link.role.transport() == Transport::Sse;
        let is_reader = matches!(link.role, Role::Reader { .. } | Role::Session(..));
        let waiting = link.out.len();
        loop {
            let kept = link.carry.len();
            buffer[..kept].copy_from_slice(&link.carry);
            let (filled, drained) = match link.wire.read(&mut buffer[kept..], scratch) {
                Ok(got) if got.size == 0 => return self.close(id),
                Ok(got) => {
                    common.traffic.wire += if is_reader { got.wire as u64 } else { 0 };
                    (kept + got.size, got.drained)
                }
                // A greeting that came with the head may be all there is for now.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && fresh && kept > 0 => (kept, false),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.close(id),
            };
            fresh = false;
            // One clock reading per receive: all of its frames became ours at this instant.
            let now = clock::now();
            let Link { role, state, out, inflate, started, .. } = link;
            let started = *started;
            let mut ear = Ear { id, now, is_stream, role, state, out, inflate, started, common, tally, ended: false };
            let each = |first: u8, payload: &[u8]| ear.hear(first, payload);
            let used = if is_stream {
                event_stream::walk(&buffer[..filled], each).ok()
            } else {
                frame::walk(&buffer[..filled], each).ok()
            };
            let ended = ear.ended;
            let Some(used) = used.filter(|_| !ended) else { return self.close(id) };
            common.traffic.framed += if is_reader { used as u64 } else { 0 };
            link.carry.clear();
            link.carry.extend_from_slice(&buffer[used..filled]);
            if link.carry.len() == buffer.len() {
                return self.close(id);
            }
            // Only an end that came along needs one more read.
            if drained && !to_end {
                break;
            }
        }
        if link.fallback.is_some() {
            self.post(id);
        } else if link.out.len() > waiting {
            self.flush(id);
        }
    }

    /// A pause takes effect wherever the socket stands; the rest of a frame follows with the next start.
    fn serve_sink(&mut self, id: usize) {
        if self.sinks_on && self.links[id].pour().is_err() {
            self.close(id);
        }
    }

    fn close(&mut self, id: usize) {
        if let Role::Courier(owner) = self.links[id].role {
            return self.courier_lost(id, owner);
        }
        match self.links[id].state {
            State::Open => self.closed += 1,
            State::Connecting | State::Upgrading | State::Joining => self.failed += 1,
            State::Closed => return,
        }
        self.shut(id);
    }

    /// The descriptor lives on until the run ends, so its token cannot come to mean another connection.
    fn shut(&mut self, id: usize) {
        let link = &mut self.links[id];
        link.state = State::Closed;
        _ = self.poll.registry().deregister(link.wire.stream_mut());
        _ = link.wire.stream().shutdown(std::net::Shutdown::Both);
    }
}
