//! The link of a connection over a socket, without TLS.

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
use crate::shard::tcp_info::TcpInfo;
use crate::slots::ConnId;

/// A socket that only the engine reads and writes. Dropping it removes it from the poll and closes it.
#[derive(Debug)]
pub struct SocketLink {
    socket: Socket,
    registry: Arc<Registry>,
    watched: Option<(ConnId, Interest)>,
    pub(super) place: Option<Place>,
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

    pub(super) fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
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

    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(&self.socket, into, RecvFlags::empty())?.0)
    }

    /// The registration is edge-triggered and stays. It includes writing only after the socket has first taken less
    /// than it was given: a new socket always has space, and reporting that would wake the thread for nothing.
    pub(super) fn watch(&mut self, conn: ConnId) -> io::Result<()> {
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

    pub(super) fn unwatch(&mut self) {
        if self.watched.take().is_some() {
            // Fails only if the descriptor is broken.
            let _ = self.registry.deregister(&mut SourceFd(&self.socket.as_raw_fd()));
        }
    }

    pub(super) fn change_registry(&mut self, registry: &Arc<Registry>) {
        self.unwatch();
        self.registry = Arc::clone(registry);
    }

    /// Reads, and leaves the bytes to be read again.
    pub(super) fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(&self.socket, into, RecvFlags::PEEK)?.0)
    }

    /// Ends our side (FIN).
    pub(super) fn finish(&self) {
        // Fails if the peer is gone already, and then nothing is left to finish.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Makes space in the kernel for so many bytes to send.
    pub(super) fn make_space(&self, bytes: usize) {
        // Then fewer bytes fit, which the caller sees.
        let _ = self.socket.set_send_buffer_size(2 * bytes);
    }

    pub(super) fn tcp_info(&self) -> Option<TcpInfo> {
        tcp_info(self.socket.as_fd())
    }

    /// Returns the socket, which is not watched any more.
    pub(super) fn into_fd(mut self) -> OwnedFd {
        self.unwatch();
        self.socket.into()
    }

    /// Without lingering, the close that follows sends a reset, even if the peer's window is closed.
    pub(super) fn abort(&mut self) {
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

/// A write to a peer that is gone must return an error, not end the process by a signal.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SEND_FLAGS: i32 = rustix::net::SendFlags::NOSIGNAL.bits() as i32;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEND_FLAGS: i32 = 0;
