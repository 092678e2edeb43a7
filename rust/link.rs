//! The two ways out of a connection: its socket, or the host's loop where TLS is spoken there.

use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::Socket;

use crate::command::Event;
use crate::events::Events;
use crate::outbox::Sink;
use crate::shard::Link;
use crate::slots::ConnId;
use crate::tcp_info::TcpInfo;

/// A way out.
#[derive(Debug)]
pub enum Wire {
    /// Written here.
    Socket(SocketLink),
    /// Written by the host.
    Host(HostLink),
}

impl Sink for Wire {
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Socket(link) => link.write(bufs),
            Self::Host(link) => link.write(bufs),
        }
    }
}

impl Link for Wire {
    fn arm(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(link) => link.arm(),
            // The host grants more when it can.
            Self::Host(_) => Ok(()),
        }
    }

    fn finish(&mut self) {
        match self {
            // Fails when the peer is gone already, which is as finished as can be.
            Self::Socket(link) => drop(link.socket.shutdown(Shutdown::Write)),
            Self::Host(link) => link.events.extend([Event::Finish { conn: link.conn }]),
        }
    }

    fn abort(&mut self) {
        match self {
            Self::Socket(link) => link.abort(),
            // The host ends its transport when it hears that the connection was closed.
            Self::Host(_) => {}
        }
    }

    fn grant(&mut self, bytes: usize) {
        match self {
            Self::Socket(_) => {}
            Self::Host(link) => link.window += bytes,
        }
    }

    fn serve(&mut self, conn: ConnId) {
        match self {
            Self::Socket(link) => link.serve(conn),
            // Its events name the link.
            Self::Host(_) => {}
        }
    }

    fn tcp_info(&self) -> Option<TcpInfo> {
        match self {
            Self::Socket(link) => TcpInfo::of(link.socket.as_fd()),
            Self::Host(link) => TcpInfo::of(link.socket.as_ref()?.as_fd()),
        }
    }
}

/// A socket, by a descriptor of our own: the host's may be closed at any moment, and its number given to
/// the next connection, where a late write would leak one user's data to another.
#[derive(Debug)]
pub struct SocketLink {
    socket: Socket,
    registry: Arc<Registry>,
    token: Token,
    is_armed: bool,
}

impl SocketLink {
    /// Takes a connected TCP socket and sets what the engine relies on.
    ///
    /// `unsent_bytes` bounds what the kernel holds unsent (`TCP_NOTSENT_LOWAT`, tcp(7)), so that what to drop
    /// is decided late and in our queue; `write_timeout` ends a connection whose peer acknowledges nothing
    /// or opens no window for so long (`TCP_USER_TIMEOUT`, where there is one).
    pub fn new(
        fd: OwnedFd,
        conn: ConnId,
        registry: Arc<Registry>,
        unsent_bytes: u32,
        write_timeout: Duration,
    ) -> io::Result<Self> {
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        // A socket pair, as a test may use, has none of these options, and needs none.
        if socket.set_tcp_nodelay(true).is_ok() {
            #[cfg(target_os = "linux")]
            {
                socket.set_tcp_notsent_lowat(unsent_bytes)?;
                socket.set_tcp_user_timeout(Some(write_timeout))?;
            }
        }
        #[cfg(target_vendor = "apple")]
        socket.set_nosigpipe(true)?;
        #[cfg(not(target_os = "linux"))]
        let _ = (unsent_bytes, write_timeout);
        Ok(Self { socket, registry, token: Token(conn.as_u64() as usize), is_armed: false })
    }

    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match bufs {
            [buf] => self.socket.send_with_flags(buf, SEND_FLAGS),
            bufs => self.socket.send_vectored_with_flags(bufs, SEND_FLAGS),
        }
    }

    fn serve(&mut self, conn: ConnId) {
        self.token = Token(conn.as_u64() as usize);
        if self.is_armed {
            // Fails only if the socket is gone, which the next write notices.
            let _ = self.registry.reregister(&mut SourceFd(&self.socket.as_raw_fd()), self.token, Interest::WRITABLE);
        }
    }

    /// Edge-triggered, and for good: registered at the first full socket buffer, so that readers who keep
    /// up never cost a system call here.
    fn arm(&mut self) -> io::Result<()> {
        if !self.is_armed {
            self.registry.register(&mut SourceFd(&self.socket.as_raw_fd()), self.token, Interest::WRITABLE)?;
            self.is_armed = true;
        }
        Ok(())
    }

    /// Closing our descriptor alone would end nothing, for the host holds another: `shutdown` makes the host's
    /// loop see the end, and without linger the last close then resets, whatever the peer's window is.
    fn abort(&mut self) {
        // Both fail only when the connection is gone already.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Drop for SocketLink {
    fn drop(&mut self) {
        if self.is_armed {
            // Must precede the close: with the host's descriptor still open, epoll would keep the entry.
            let _ = self.registry.deregister(&mut SourceFd(&self.socket.as_raw_fd()));
        }
    }
}

/// A connection that the host writes to, because it speaks TLS there: bytes go as events, as many as the
/// host has granted.
#[derive(Debug)]
pub struct HostLink {
    conn: ConnId,
    events: Arc<Events>,
    window: usize,
    /// A descriptor of our own, which is only asked about.
    socket: Option<Socket>,
}

impl HostLink {
    /// A link that may have `window` bytes under way. With the socket below it, `write_timeout` holds there, too.
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
        Ok(Self { conn, events, window, socket })
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
        self.events.extend([Event::Data { conn: self.conn, bytes: bytes.into() }]);
        Ok(written)
    }
}

/// A write to a peer that is gone must be an error, not a signal that ends the process.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SEND_FLAGS: i32 = rustix::net::SendFlags::NOSIGNAL.bits() as i32;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEND_FLAGS: i32 = 0;
