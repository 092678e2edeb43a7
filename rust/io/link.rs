//! The link of a connection: its socket, with or without TLS, or the polls of its client.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use mio::Registry;

use crate::admission::Place;
use crate::io::poll_link::PollLink;
use crate::io::socket_link::SocketLink;
use crate::io::tls_link::TlsLink;
use crate::newcomers::Stream;
use crate::outbox::Sink;
use crate::shard::Link;
use crate::shard::tcp_info::TcpInfo;
use crate::slots::ConnId;

/// The link of a connection.
#[derive(Debug)]
pub enum AnyLink {
    /// A socket.
    Socket(SocketLink),
    /// A socket with TLS.
    Tls(Box<TlsLink>),
    /// The client polls.
    Poll(PollLink<AnyLink>),
}

impl Sink for AnyLink {
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Socket(link) => link.write(bufs),
            Self::Tls(link) => link.write(bufs),
            Self::Poll(link) => link.write(bufs),
        }
    }
}

impl AnyLink {
    /// Keeps the connection counted until the link is dropped.
    pub fn keep(&mut self, place: Option<Place>) {
        match self {
            Self::Socket(link) => link.place = place,
            Self::Tls(link) => link.socket.place = place,
            Self::Poll(link) => link.place = place,
        }
    }

    /// From here on, another thread reads the link, with this registry of its poll.
    pub fn change_registry(&mut self, registry: &Arc<Registry>) {
        match self {
            Self::Socket(link) => link.change_registry(registry),
            Self::Tls(link) => link.socket.change_registry(registry),
            Self::Poll(_) => {}
        }
    }

    /// Returns the socket of a link without TLS; otherwise the link.
    pub fn into_fd(self) -> Result<OwnedFd, Self> {
        match self {
            Self::Socket(link) => Ok(link.into_fd()),
            link => Err(link),
        }
    }

    fn make_space(&self, bytes: usize) {
        match self {
            Self::Socket(link) => link.make_space(bytes),
            Self::Tls(link) => link.socket.make_space(bytes),
            Self::Poll(_) => {}
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
            Self::Socket(link) => link.peek(into),
            Self::Tls(link) => link.peek(into),
            Self::Poll(_) => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn answer(&mut self, bytes: &[u8]) {
        // A new socket takes some kilobytes, or is gone. Only the first envelope of a session may be longer.
        let written = self.write(&[IoSlice::new(bytes)]).unwrap_or(0);
        if (1..bytes.len()).contains(&written) || self.has_unsent() {
            self.make_space(bytes.len());
        }
        if (1..bytes.len()).contains(&written) {
            let _ = self.write(&[IoSlice::new(&bytes[written..])]);
        }
        self.finish();
    }
}

impl Link for AnyLink {
    fn watch(&mut self, conn: ConnId) -> io::Result<()> {
        match self {
            Self::Socket(link) => link.watch(conn),
            Self::Tls(link) => link.watch(conn),
            Self::Poll(_) => Ok(()),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(link) => link.read(into),
            Self::Tls(link) => link.read(into),
            Self::Poll(_) => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn has_more(&self) -> bool {
        match self {
            Self::Tls(link) => link.has_more(),
            Self::Socket(_) | Self::Poll(_) => false,
        }
    }

    fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Tls(link) => link.flush(),
            Self::Socket(_) | Self::Poll(_) => Ok(true),
        }
    }

    fn has_unsent(&self) -> bool {
        match self {
            Self::Tls(link) => link.has_unsent(),
            Self::Socket(_) | Self::Poll(_) => false,
        }
    }

    fn finish(&mut self) {
        match self {
            Self::Socket(link) => link.finish(),
            Self::Tls(link) => link.finish(),
            Self::Poll(_) => {}
        }
    }

    fn ends_when_dropped(&self) -> bool {
        match self {
            Self::Tls(link) => link.is_finished(),
            Self::Socket(_) | Self::Poll(_) => true,
        }
    }

    fn abort(&mut self) {
        match self {
            Self::Socket(link) => link.abort(),
            Self::Tls(link) => link.socket.abort(),
            Self::Poll(_) => {}
        }
    }

    fn grant(&mut self) {
        if let Self::Poll(link) = self {
            link.grant();
        }
    }

    fn poll(&mut self) -> bool {
        match self {
            Self::Poll(link) => link.poll(),
            Self::Socket(_) | Self::Tls(_) => return false,
        }
        true
    }

    fn answer(&mut self, response: &[u8]) {
        if let Self::Poll(link) = self {
            link.answer(response);
        }
    }

    fn tcp_info(&self) -> Option<TcpInfo> {
        match self {
            Self::Socket(link) => link.tcp_info(),
            Self::Tls(link) => link.tcp_info(),
            Self::Poll(_) => None,
        }
    }
}

// The locks of loom work only inside its models, so these tests do not run under loom.
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
