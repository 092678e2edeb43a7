//! The link of a connection: its socket, or the host's event loop if the host speaks TLS there.

use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::net::RecvFlags;
use socket2::Socket;

use crate::admission::Place;
use crate::io::tcp_info::tcp_info;
use crate::newcomers::Stream;
use crate::outbox::Sink;
use crate::queues::command::Event;
use crate::queues::events::Events;
use crate::shard::Link;
use crate::shard::tcp_info::TcpInfo;
use crate::slots::ConnId;

/// The link of a connection.
#[derive(Debug)]
pub enum AnyLink {
    /// The engine reads and writes the socket.
    Socket(SocketLink),
    /// The host reads and writes it.
    Host(HostLink),
}

impl Sink for AnyLink {
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Socket(link) => link.write(bufs),
            Self::Host(link) => link.write(bufs),
        }
    }
}

impl AnyLink {
    /// Keeps the connection counted until the link is dropped.
    pub fn keep(&mut self, place: Option<Place>) {
        match self {
            Self::Socket(link) => link.place = place,
            Self::Host(link) => link.place = place,
        }
    }

    /// Gives a newcomer's link another id; from here on another thread reads it.
    pub fn rename(&mut self, conn: ConnId, registry: &Arc<Registry>) {
        match self {
            Self::Socket(link) => link.change_registry(registry),
            Self::Host(link) => link.conn = conn,
        }
    }
}

impl Stream for AnyLink {
    fn watch(&mut self, id: ConnId) -> io::Result<()> {
        Link::watch(self, id)
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Link::read(self, into)
    }

    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(link) => Ok(rustix::net::recv(&link.socket, into, RecvFlags::PEEK)?.0),
            Self::Host(_) => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn fed(&mut self, bytes: usize) {
        Link::fed(self, bytes);
    }

    fn answer(&mut self, bytes: &[u8]) {
        // A new socket takes a few hundred bytes, or is gone.
        let _ = self.write(&[IoSlice::new(bytes)]);
        self.finish();
        self.peer_closed();
    }

    fn host(self, id: ConnId, events: &Arc<Events>) -> io::Result<(Self, OwnedFd)> {
        let Self::Socket(mut link) = self else { return Err(ErrorKind::InvalidInput.into()) };
        link.unwatch();
        // The duplicate is only for asking the kernel. The link works without it.
        let (ours, fd) = (link.socket.try_clone().ok(), link.socket.into());
        let (events, place) = (Arc::clone(events), link.place);
        let link = HostLink { conn: id, events, window: HOST_WINDOW, ends: [false; 2], socket: ours, place };
        Ok((Self::Host(link), fd))
    }

    fn release(self) -> Option<OwnedFd> {
        match self {
            Self::Socket(mut link) => {
                link.unwatch();
                Some(link.socket.into())
            }
            Self::Host(_) => None,
        }
    }
}

impl Link for AnyLink {
    fn watch(&mut self, conn: ConnId) -> io::Result<()> {
        match self {
            Self::Socket(link) => link.watch(conn),
            // The host reads it, and its events name it by this id.
            Self::Host(_) => Ok(()),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(link) => link.read(into),
            Self::Host(_) => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn fed(&mut self, bytes: usize) {
        if let Self::Host(link) = self {
            link.tell(Event::Read { conn: link.conn, bytes });
        }
    }

    fn finish(&mut self) {
        match self {
            // Fails if the peer is gone already, and then nothing is left to finish.
            Self::Socket(link) => drop(link.socket.shutdown(Shutdown::Write)),
            Self::Host(link) => link.finish(false),
        }
    }

    fn ends_when_dropped(&self) -> bool {
        matches!(self, Self::Socket(_))
    }

    fn peer_closed(&mut self) {
        if let Self::Host(link) = self {
            link.finish(true);
        }
    }

    fn abort(&mut self) {
        match self {
            Self::Socket(link) => link.abort(),
            // The host ends its transport when it is told that the connection was closed.
            Self::Host(_) => {}
        }
    }

    fn grant(&mut self, bytes: usize) {
        match self {
            Self::Socket(_) => {}
            Self::Host(link) => link.window += bytes,
        }
    }

    fn tcp_info(&self) -> Option<TcpInfo> {
        match self {
            Self::Socket(link) => tcp_info(link.socket.as_fd()),
            Self::Host(link) => tcp_info(link.socket.as_ref()?.as_fd()),
        }
    }
}

/// A socket that only the engine reads and writes. Dropping it removes it from the poll and closes it.
#[derive(Debug)]
pub struct SocketLink {
    socket: Socket,
    registry: Arc<Registry>,
    watched: Option<(ConnId, Interest)>,
    place: Option<Place>,
}

impl SocketLink {
    /// Takes a connected TCP socket and sets the options that the engine relies on.
    ///
    /// `unsent_bytes` bounds what the kernel holds unsent (`TCP_NOTSENT_LOWAT`, tcp(7)), so that messages are dropped
    /// late and in our queue. `write_timeout` ends a connection whose peer acknowledges nothing, or keeps its window
    /// closed, for so long (`TCP_USER_TIMEOUT`, on systems that have it).
    pub fn new(fd: OwnedFd, registry: Arc<Registry>, unsent_bytes: u32, write_timeout: Duration) -> io::Result<Self> {
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        set_options(&socket, unsent_bytes, write_timeout)?;
        #[cfg(target_vendor = "apple")]
        socket.set_nosigpipe(true)?;
        Ok(Self::accepted(socket, registry))
    }

    /// Takes a socket that has these options from its listener.
    pub fn accepted(socket: Socket, registry: Arc<Registry>) -> Self {
        Self { socket, registry, watched: None, place: None }
    }

    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match bufs {
            [buf] => self.socket.send_with_flags(buf, SEND_FLAGS),
            bufs => self.socket.send_vectored_with_flags(bufs, SEND_FLAGS),
        };
        let is_blocked = match &written {
            Ok(written) => *written < bufs.iter().map(|buf| buf.len()).sum(),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        if is_blocked && let Some((conn, Interest::READABLE)) = self.watched {
            self.watch_for(conn, Interest::READABLE | Interest::WRITABLE)?;
        }
        written
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(&self.socket, into, RecvFlags::empty())?.0)
    }

    /// The registration is edge-triggered and stays. It includes writing only after the socket has first taken less
    /// than it was given: a new socket always has space, and reporting that would wake the thread for nothing.
    fn watch(&mut self, conn: ConnId) -> io::Result<()> {
        let interest = self.watched.map_or(Interest::READABLE, |(_, interest)| interest);
        self.watch_for(conn, interest)
    }

    fn watch_for(&mut self, conn: ConnId, interest: Interest) -> io::Result<()> {
        let token = Token(conn.as_u64() as usize);
        let fd = self.socket.as_raw_fd();
        let mut source = SourceFd(&fd);
        match self.watched {
            Some(_) => self.registry.reregister(&mut source, token, interest)?,
            None => self.registry.register(&mut source, token, interest)?,
        }
        self.watched = Some((conn, interest));
        Ok(())
    }

    fn unwatch(&mut self) {
        if self.watched.take().is_some() {
            // Fails only if the descriptor is broken.
            let _ = self.registry.deregister(&mut SourceFd(&self.socket.as_raw_fd()));
        }
    }

    fn change_registry(&mut self, registry: &Arc<Registry>) {
        self.unwatch();
        self.registry = Arc::clone(registry);
    }

    /// Without lingering, the close that follows sends a reset, even if the peer's window is closed.
    fn abort(&mut self) {
        // Fails only if the connection is gone already.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }
}

/// Sets the options of a TCP socket. Sockets accepted from a listener inherit its options (tcp(7)).
pub fn set_options(socket: &Socket, unsent_bytes: u32, write_timeout: Duration) -> io::Result<()> {
    // Unix sockets have none of these options and need none.
    if socket.set_tcp_nodelay(true).is_ok() {
        #[cfg(target_os = "linux")]
        {
            socket.set_tcp_notsent_lowat(unsent_bytes)?;
            socket.set_tcp_user_timeout(Some(write_timeout))?;
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (unsent_bytes, write_timeout);
    Ok(())
}

/// A connection that the host reads and writes, because it speaks TLS there. Bytes to write become events, as many as
/// the host has granted.
#[derive(Debug)]
pub struct HostLink {
    conn: ConnId,
    events: Arc<Events>,
    window: usize,
    /// Whether everything was written, and whether the peer has closed.
    ends: [bool; 2],
    /// A duplicate of the socket, only for asking the kernel.
    socket: Option<Socket>,
    place: Option<Place>,
}

impl HostLink {
    /// Creates a link that may have `window` bytes on their way to the host. With a socket, `write_timeout` applies to
    /// it.
    pub fn new(
        conn: ConnId,
        events: Arc<Events>,
        window: usize,
        fd: Option<OwnedFd>,
        write_timeout: Duration,
    ) -> io::Result<Self> {
        let socket = fd.map(Socket::from);
        #[cfg(target_os = "linux")]
        if let Some(socket) = &socket
            && socket.set_tcp_nodelay(true).is_ok()
        {
            socket.set_tcp_user_timeout(Some(write_timeout))?;
        }
        #[cfg(not(target_os = "linux"))]
        let _ = write_timeout;
        Ok(Self { conn, events, window, ends: [false; 2], socket, place: None })
    }

    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.window == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut bytes = Vec::with_capacity(self.window.min(bufs.iter().map(|buf| buf.len()).sum()));
        for buf in bufs {
            let left = self.window - bytes.len();
            bytes.extend_from_slice(&buf[..buf.len().min(left)]);
        }
        let written = bytes.len();
        self.window -= written;
        self.tell(Event::Data { conn: self.conn, bytes: bytes.into() });
        Ok(written)
    }

    /// TLS has no half-closed connections, so it ends when both sides have closed.
    fn finish(&mut self, is_peer: bool) {
        let was_over = self.ends == [true; 2];
        self.ends[usize::from(is_peer)] = true;
        if !was_over && self.ends == [true; 2] {
            self.tell(Event::Finish { conn: self.conn });
        }
    }

    fn tell(&self, event: Event) {
        // Only messages count for the credit of a connection, and this is none.
        self.events.extend([event], &mut Vec::new());
    }
}

/// The bytes of a new connection that may be on their way to the host.
const HOST_WINDOW: usize = 64 << 10;

/// A write to a peer that is gone must return an error, not end the process by a signal.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SEND_FLAGS: i32 = rustix::net::SendFlags::NOSIGNAL.bits() as i32;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEND_FLAGS: i32 = 0;
