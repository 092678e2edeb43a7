//! What carries a connection: its socket, or the host's loop where TLS is spoken there.

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

/// A link.
#[derive(Debug)]
pub enum Wire {
    /// Read and written here.
    Socket(SocketLink),
    /// Read and written by the host.
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
    fn watch(&mut self, conn: ConnId) -> io::Result<()> {
        match self {
            Self::Socket(link) => link.watch(conn),
            // Its events name the link, and it is fed what is read.
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
            // Fails when the peer is gone already, which is as finished as can be.
            Self::Socket(link) => drop(link.socket.shutdown(Shutdown::Write)),
            Self::Host(link) => link.finish(false),
        }
    }

    fn peer_closed(&mut self) {
        if let Self::Host(link) = self {
            link.finish(true);
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

    fn tcp_info(&self) -> Option<TcpInfo> {
        match self {
            Self::Socket(link) => TcpInfo::of(link.socket.as_fd()),
            Self::Host(link) => TcpInfo::of(link.socket.as_ref()?.as_fd()),
        }
    }
}

/// A socket, which nobody else reads or writes. It leaves the poll when it is dropped, and its descriptor closed.
#[derive(Debug)]
pub struct SocketLink {
    socket: Socket,
    registry: Arc<Registry>,
    is_watched: bool,
}

impl SocketLink {
    /// Takes a connected TCP socket and sets what the engine relies on.
    ///
    /// `unsent_bytes` bounds what the kernel holds unsent (`TCP_NOTSENT_LOWAT`, tcp(7)), so that what to drop
    /// is decided late and in our queue; `write_timeout` ends a connection whose peer acknowledges nothing
    /// or opens no window for so long (`TCP_USER_TIMEOUT`, where there is one).
    pub fn new(fd: OwnedFd, registry: Arc<Registry>, unsent_bytes: u32, write_timeout: Duration) -> io::Result<Self> {
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
        Ok(Self { socket, registry, is_watched: false })
    }

    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match bufs {
            [buf] => self.socket.send_with_flags(buf, SEND_FLAGS),
            bufs => self.socket.send_vectored_with_flags(bufs, SEND_FLAGS),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(&self.socket, into, rustix::net::RecvFlags::empty())?.0)
    }

    /// Edge-triggered, in both directions and for good: readers who keep up never cost another system call here.
    fn watch(&mut self, conn: ConnId) -> io::Result<()> {
        let (token, interest) = (Token(conn.as_u64() as usize), Interest::READABLE | Interest::WRITABLE);
        let fd = self.socket.as_raw_fd();
        let mut source = SourceFd(&fd);
        if self.is_watched {
            return self.registry.reregister(&mut source, token, interest);
        }
        self.registry.register(&mut source, token, interest)?;
        self.is_watched = true;
        Ok(())
    }

    /// Without linger the close that follows resets, whatever the peer's window is.
    fn abort(&mut self) {
        // Fails only when the connection is gone already.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }
}

/// A connection that the host reads and writes, because it speaks TLS there: bytes go as events, as many as the host has
/// granted.
#[derive(Debug)]
pub struct HostLink {
    conn: ConnId,
    events: Arc<Events>,
    window: usize,
    /// All was written, and the peer has closed.
    ends: [bool; 2],
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
        Ok(Self { conn, events, window, ends: [false; 2], socket })
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

    /// TLS has no half-closed connections: it ends when both sides have closed.
    fn finish(&mut self, is_peer: bool) {
        let was_over = self.ends == [true; 2];
        self.ends[usize::from(is_peer)] = true;
        if !was_over && self.ends == [true; 2] {
            self.tell(Event::Finish { conn: self.conn });
        }
    }

    fn tell(&self, event: Event) {
        // Only messages fill anything.
        self.events.extend([event], &mut Vec::new());
    }
}

/// A write to a peer that is gone must be an error, not a signal that ends the process.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SEND_FLAGS: i32 = rustix::net::SendFlags::NOSIGNAL.bits() as i32;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEND_FLAGS: i32 = 0;
