//! The client's connections and the one thread that serves them: open, read, write. Not a scenario: it does not know
//! why it sends. The rule: one receive per readable socket and no allocation per message, for the client must outrun
//! the server it measures.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockRef, Socket, Type};

use crate::client::Client;
use crate::clock::{self, Alarm};
use crate::link::{Link, Role, State};
use crate::session::Seen;
use crate::tally::Tally;
use crate::{frame, handshake};

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
    opened: Vec<u64>,
    failed: usize,
    closed: u64,
    replies: VecDeque<Vec<u8>>,
    sinks_on: bool,
    wakes: u64,
    events: u64,
    spins: bool,
    bearers: Rc<[String]>,
    borne: usize,
    sources: u8,
    begun: usize,
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
            opened: Vec::new(),
            failed: 0,
            closed: 0,
            replies: VecDeque::new(),
            sinks_on: false,
            wakes: 0,
            events: 0,
            spins: false,
            bearers: Rc::new([]),
            borne: 0,
            sources: 1,
            begun: 0,
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
        let (opened, failed) = (self.opened.len(), self.failed);
        let mut events = Events::with_capacity(1024);
        let deadline = clock::now() + OPEN_LIMIT;
        loop {
            let mut pending = ids.len() - (self.opened.len() - opened) - (self.failed - failed);
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
        if self.opened.len() == opened && !ids.is_empty() {
            bail!("no handshake succeeded with {}", self.address);
        }
        Ok((ids, self.opened[opened..].to_vec()))
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
            self.close(id);
        }
    }

    /// The oldest reply to a talker that nobody has taken yet.
    pub fn reply(&mut self) -> Option<Vec<u8>> {
        self.replies.pop_front()
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
                _ = SockRef::from(&self.links[id].stream).set_linger(Some(Duration::ZERO));
                self.shut(id);
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
            _ = SockRef::from(&link.stream).set_linger(Some(Duration::ZERO));
        }
        // A socket that was never connected takes its place; with the last descriptor its events end, too.
        link.stream = TcpStream::from_std(Socket::new(Domain::IPV4, Type::STREAM, None)?.into());
        link.state = State::Closed;
        Ok(())
    }

    /// Begins a new connection in the place of one that is closed, for its client. Only between two turns.
    ///
    /// # Errors
    /// The operator's: no descriptors or ports left.
    pub fn again(&mut self, id: usize) -> Result<()> {
        let role = std::mem::replace(&mut self.links[id].role, Role::Stalled);
        let Role::Client(mut client) = role else { bail!("connection {id} has no client") };
        let path = client.away();
        // The old descriptor first, so that there are never more than one for each client.
        self.cut(id, true)?;
        let mut link = self.link(&path, Role::Client(client))?;
        self.poll.registry().register(&mut link.stream, Token(id), Interest::READABLE | Interest::WRITABLE)?;
        self.links[id] = link;
        Ok(())
    }

    fn connect(&mut self, path: &str, role: Role) -> Result<usize> {
        let mut link = self.link(path, role)?;
        let id = self.links.len();
        self.poll.registry().register(&mut link.stream, Token(id), Interest::READABLE | Interest::WRITABLE)?;
        self.links.push(link);
        Ok(id)
    }

    fn link(&mut self, path: &str, role: Role) -> Result<Link> {
        let token = self.bearers.get(self.borne % self.bearers.len().max(1)).map(String::as_str);
        self.borne += 1;
        let source = u8::try_from(self.begun % usize::from(self.sources)).unwrap_or(0);
        self.begun += 1;
        let source = (self.sources > 1).then(|| Ipv4Addr::new(127, 0, 0, source.saturating_add(1)));
        Link::connect(self.address, source, path, role, token).context("connect: descriptors or ports")
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
        match self.links[id].state {
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
        let link = &mut self.links[id];
        let mut part = [0; 2048];
        loop {
            match link.stream.read(&mut part) {
                Ok(0) => return self.close(id),
                Ok(n) => link.carry.extend_from_slice(&part[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.close(id),
            }
            let Some(size) = handshake::head_size(&link.carry) else {
                if link.carry.len() > handshake::LIMIT {
                    return self.close(id);
                }
                continue;
            };
            if !handshake::accepted(&link.carry[..size], link.role.subprotocol()) {
                return self.close(id);
            }
            if matches!(link.role, Role::Session(_) | Role::Client(_)) {
                link.state = State::Joining;
            } else {
                link.state = State::Open;
                self.opened.push(clock::now() - link.started);
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
            if matches!(link.role, Role::Stalled) {
                _ = self.poll.registry().deregister(&mut link.stream);
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
        let Self { links, buffer, replies, opened, .. } = self;
        let link = &mut links[id];
        let mut fresh = link.state == State::Joining;
        let (mut ended, mut pings, waiting) = (false, Vec::new(), link.out.len());
        while !ended {
            let kept = link.carry.len();
            buffer[..kept].copy_from_slice(&link.carry);
            let filled = match link.stream.read(&mut buffer[kept..]) {
                Ok(0) => return self.close(id),
                Ok(n) => kept + n,
                // A greeting that came with the head may be all there is for now.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && fresh && kept > 0 => kept,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.close(id),
            };
            fresh = false;
            // One clock reading per receive: all of its frames became ours at this instant.
            let now = clock::now();
            let used = frame::walk(&buffer[..filled], |first, payload| match (first & 0x0F, &mut link.role) {
                (frame::CLOSE, _) => ended = true,
                (frame::PING, _) => pings.push(payload.to_vec()),
                (frame::PONG, _) => {}
                (_, Role::Reader(next)) => tally.deliver(id, next, payload, now),
                (_, Role::Session(session)) => match session.take(first, payload, &mut link.out) {
                    // What has no stamp is entered as nobody's.
                    Ok(Seen::Message(stamp)) => {
                        tally.deliver(id, &mut session.next, stamp.as_ref().map_or(&[], |s| &s[..]), now);
                    }
                    Ok(Seen::Joined) => {
                        link.state = State::Open;
                        opened.push(now - link.started);
                    }
                    Ok(Seen::Other) => {}
                    Err(_) => ended = true,
                },
                (_, Role::Client(client)) => match client.take(first, payload, now, &mut link.out) {
                    Ok(true) => {
                        link.state = State::Open;
                        opened.push(now - link.started);
                    }
                    Ok(false) => {}
                    Err(_) => ended = true,
                },
                (_, Role::Talker) => replies.push_back(payload.to_vec()),
                (_, Role::Visitor { .. }) => frame::push_masked(&mut link.out, frame::CLOSE, &NORMAL),
                (_, Role::Stalled | Role::Sink(_)) => {}
            });
            let Ok(used) = used else { return self.close(id) };
            link.carry.clear();
            link.carry.extend_from_slice(&buffer[used..filled]);
            if link.carry.len() == buffer.len() {
                return self.close(id);
            }
            // epoll(7): a short read of a stream means it is drained. Only an end that came along needs one more.
            if filled < buffer.len() && !to_end {
                break;
            }
        }
        if ended {
            return self.close(id);
        }
        if !pings.is_empty() && !matches!(link.role, Role::Sink(_)) {
            pings.iter().for_each(|ping| frame::push_masked(&mut link.out, frame::PONG, ping));
        }
        if link.out.len() > waiting {
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
        _ = self.poll.registry().deregister(&mut link.stream);
        _ = link.stream.shutdown(std::net::Shutdown::Both);
    }
}
