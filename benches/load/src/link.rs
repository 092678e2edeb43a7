//! One connection of the client: its socket, what it is for, and what it still has to send. Not its place in the poll:
//! that is the swarm's. The rule: a write takes what the socket takes and never waits.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::ClientConfig;
use socket2::{Domain, Socket, Type};

use crate::client::Client;
use crate::fallback::Fallback;
use crate::inflate::{Inflater, Offer};
use crate::protocol::Protocol;
use crate::session::Session;
use crate::transport::{self, Transport};
use crate::wire::Wire;
use crate::{clock, handshake};

/// What a connection is for.
#[derive(Debug, Clone)]
pub enum Role {
    /// Counts what it receives.
    Reader {
        /// The number its next message should have.
        next: u64,
        /// What carries them.
        transport: Transport,
        /// What compression it asks for.
        deflate: Option<Offer>,
    },
    /// The same as a session, open once it has joined its room.
    Session(Session, Option<Offer>),
    /// A session that may come back, open once it is greeted; its scenario says when it joins.
    Client(Box<Client>),
    /// Sends messages of ours and keeps the replies.
    Talker,
    /// Never reads after the handshake.
    Stalled {
        /// Whether it is far away: with a small window, and the segment size of Ethernet.
        is_far: bool,
    },
    /// Sends this block of frames over and over, as fast as the socket takes it.
    Sink(Rc<[u8]>),
    /// Sends one message when it is open, and closes; the message is this frame.
    Visitor {
        /// The frame of the message.
        message: Rc<[u8]>,
        /// Whether it waits for an answer before it closes.
        waits: bool,
    },
    /// Carries POSTs for the session at this place in the swarm.
    Courier(usize),
}

impl Role {
    pub(crate) fn subprotocol(&self) -> Option<&'static str> {
        match self {
            Self::Session(session, _) => Some(session.protocol.name()),
            Self::Client(_) => Some(Protocol::Json.name()),
            _ => None,
        }
    }

    pub(crate) fn transport(&self) -> Transport {
        match self {
            Self::Reader { transport, .. } => *transport,
            Self::Session(session, _) => session.transport,
            _ => Transport::WebSocket,
        }
    }

    pub(crate) fn offer(&self) -> Option<Offer> {
        match self {
            Self::Reader { deflate, .. } | Self::Session(_, deflate) => *deflate,
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

/// How a link's messages are inflated.
#[derive(Debug)]
pub(crate) enum Inflate {
    /// By the swarm's inflater: each stands by itself.
    Alone,
    /// By its own, which knows what came before.
    Takeover(Box<Inflater>),
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) wire: Wire,
    pub(crate) role: Role,
    pub(crate) state: State,
    pub(crate) started: u64,
    /// Bytes of a frame (or head) that has not arrived whole.
    pub(crate) carry: Vec<u8>,
    pub(crate) out: Vec<u8>,
    /// What there is beside the stream, if that is no WebSocket.
    pub(crate) fallback: Option<Box<Fallback>>,
    /// How its messages are compressed, if they may be.
    pub(crate) inflate: Option<Inflate>,
    address: (SocketAddr, Option<Ipv4Addr>),
    secure: Option<Arc<ClientConfig>>,
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
        secure: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        let socket = socket(source)?;
        match role {
            Role::Stalled { is_far: true } => {
                // With the loopback's 64 KB segments the server's kernel would take 2.6 MB before it says "would block".
                socket.set_recv_buffer_size(4096)?;
                socket.set_tcp_mss(1460)?;
            }
            // Without a bound a thousand sinks could put gigabytes into the kernel ahead of a slow server.
            Role::Sink(_) => socket.set_send_buffer_size(65_536)?,
            _ => {}
        }
        let transport = role.transport();
        let out = match (&role, transport) {
            (Role::Courier(_), _) => Vec::new(),
            (_, Transport::WebSocket) => {
                handshake::offering(path, role.subprotocol(), token, role.offer().map(Offer::value))
            }
            _ => transport::opening(path, transport, role.subprotocol(), token),
        };
        Ok(Self {
            wire: Wire::new(begin(socket, address)?, secure)?,
            inflate: None,
            secure: secure.cloned(),
            fallback: (transport != Transport::WebSocket).then(|| Fallback::new(path).into()),
            address: (address, source),
            role,
            state: State::Connecting,
            started: clock::now(),
            carry: Vec::new(),
            out,
            sent: 0,
        })
    }

    /// Begins a new connection in the place of one that is over, which is to carry `request`.
    ///
    /// # Errors
    /// The operator's: no descriptors or ports left.
    pub(crate) fn renew(&mut self, request: Vec<u8>) -> io::Result<()> {
        let (address, source) = self.address;
        self.wire = Wire::new(begin(socket(source)?, address)?, self.secure.as_ref())?;
        self.carry.clear();
        (self.out, self.sent) = (request, 0);
        Ok(())
    }

    /// Gives the socket what it takes of `out`.
    pub(crate) fn flush(&mut self) -> Result<(), Gone> {
        self.wire.flush().map_err(|_| Gone)?;
        while self.sent < self.out.len() {
            match self.wire.write(&self.out[self.sent..]) {
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
            match self.wire.write(&block[self.sent..]) {
                Ok(n) => self.sent = (self.sent + n) % block.len(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }
}

fn socket(source: Option<Ipv4Addr>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

fn begin(socket: Socket, address: SocketAddr) -> io::Result<TcpStream> {
    match socket.connect(&address.into()) {
        Err(e) if e.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => Err(e),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}
