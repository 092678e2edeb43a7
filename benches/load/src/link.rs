//! One connection of the client: its socket, what it is for, and what it still has to send. Not its place in the poll:
//! that is the swarm's. The rule: a write takes what the socket takes and never waits.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use crate::client::Client;
use crate::session::{Protocol, Session};
use crate::{clock, handshake};

/// What a connection is for.
#[derive(Debug, Clone)]
pub enum Role {
    /// Counts what it receives; its first message should have this number.
    Reader(u64),
    /// The same as a session, open once it has joined its room.
    Session(Session),
    /// A session that may come back, open once it is greeted; its scenario says when it joins.
    Client(Box<Client>),
    /// Sends messages of ours and keeps the replies.
    Talker,
    /// Never reads after the handshake.
    Stalled,
    /// Sends this block of frames over and over, as fast as the socket takes it.
    Sink(Rc<[u8]>),
    /// Sends one message when it is open, and closes; the message is this frame.
    Visitor {
        /// The frame of the message.
        message: Rc<[u8]>,
        /// Whether it waits for an answer before it closes.
        waits: bool,
    },
}

impl Role {
    pub(crate) fn subprotocol(&self) -> Option<&'static str> {
        match self {
            Self::Session(session) => Some(session.protocol.name()),
            Self::Client(_) => Some(Protocol::Json.name()),
            _ => None,
        }
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No connection yet.
    Connecting,
    /// The handshake is under way.
    Upgrading,
    /// A session is greeted or joins.
    Joining,
    /// It does what it is for.
    Open,
    /// Refused, ended or cut.
    Closed,
}

/// The peer is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gone;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    pub(crate) role: Role,
    pub(crate) state: State,
    pub(crate) started: u64,
    /// Bytes of a frame (or head) that has not arrived whole.
    pub(crate) carry: Vec<u8>,
    pub(crate) out: Vec<u8>,
    /// How much of `out`, or of a sink's block, the socket has taken.
    sent: usize,
}

impl Link {
    /// Begins to connect from `source`; the request for `path` waits in `out`, with the token that says who asks.
    ///
    /// # Errors
    /// The operator's: no descriptors or ports left.
    pub(crate) fn connect(
        address: SocketAddr,
        source: Option<Ipv4Addr>,
        path: &str,
        role: Role,
        token: Option<&str>,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::from((source, 0)).into())?;
        }
        socket.set_tcp_nodelay(true)?;
        match role {
            Role::Stalled => {
                // A reader far away: a small window, and the segment size of Ethernet. With the loopback's 64 KB
                // segments the server's kernel would take 2.6 MB before it says "would block".
                socket.set_recv_buffer_size(4096)?;
                socket.set_tcp_mss(1460)?;
            }
            // Without a bound a thousand sinks could put gigabytes into the kernel ahead of a slow server.
            Role::Sink(_) => socket.set_send_buffer_size(65_536)?,
            Role::Reader(_) | Role::Session(_) | Role::Client(_) | Role::Talker | Role::Visitor { .. } => {}
        }
        match socket.connect(&address.into()) {
            Err(e) if e.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => return Err(e),
            _ => {}
        }
        let out = handshake::request(path, role.subprotocol(), token);
        Ok(Self {
            stream: TcpStream::from_std(socket.into()),
            role,
            state: State::Connecting,
            started: clock::now(),
            carry: Vec::new(),
            out,
            sent: 0,
        })
    }

    /// Gives the socket what it takes of `out`.
    pub(crate) fn flush(&mut self) -> Result<(), Gone> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Gives the socket what it takes of a sink's block, round and round.
    pub(crate) fn pour(&mut self) -> Result<(), Gone> {
        let Role::Sink(block) = &self.role else { return Ok(()) };
        while self.state == State::Open {
            match self.stream.write(&block[self.sent..]) {
                Ok(n) => self.sent = (self.sent + n) % block.len(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }
}
