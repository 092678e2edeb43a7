//! A listening socket, and the connections that it accepts.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::Socket;

use crate::error::Error;
use crate::io::socket_link::set_options;
use crate::newcomers::ListenerOptions;

/// A listening socket, and how its connections begin.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    options: ListenerOptions,
    pub(super) token: Token,
    /// Whether there may be connections to accept.
    pub(super) is_ready: bool,
    /// When to try again after an error that lasts.
    pub(super) retry_us: Option<u64>,
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Arrived {
    /// Its socket, in non-blocking mode.
    pub socket: Socket,
    /// How the connection begins.
    pub options: ListenerOptions,
    /// The peer's address; none for a Unix socket.
    pub address: Option<IpAddr>,
}

impl Listener {
    /// Takes a listening socket, TCP or Unix, and sets the options that accepted sockets inherit.
    pub fn new(
        fd: OwnedFd,
        options: ListenerOptions,
        token: Token,
        registry: &Registry,
        unsent_bytes: u32,
        write_timeout: Duration,
    ) -> Result<Self, Error> {
        let socket = Socket::from(fd);
        if !socket.is_listener()? {
            return Err(Error::Invalid("the socket does not listen; call listen() on it first".into()));
        }
        socket.set_nonblocking(true)?;
        set_options(&socket, unsent_bytes, write_timeout)?;
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { socket, options, token, is_ready: true, retry_us: None })
    }

    /// Notes that there is a connection to accept.
    pub(super) fn wake(&mut self) {
        // While the system has no descriptor left, connections wait in the kernel until the next try.
        self.is_ready = self.retry_us.is_none();
    }

    /// Accepts at most `most` connections. Fails if the system has no descriptor or memory left, or if somebody who has
    /// the socket, too, has shut it down; the next try is in a second.
    pub(super) fn accept(&mut self, most: usize, into: &mut Vec<Arrived>, now_us: u64) -> io::Result<()> {
        if self.retry_us.is_some_and(|retry_us| retry_us <= now_us) {
            (self.retry_us, self.is_ready) = (None, true);
        }
        for _ in 0..most {
            if !self.is_ready {
                break;
            }
            match accept(&self.socket) {
                Ok((socket, address)) => into.push(Arrived { socket, options: self.options, address }),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_ready = false,
                Err(error) if is_lasting(&error) => {
                    (self.retry_us, self.is_ready) = (Some(now_us + RETRY_US), false);
                    return Err(error);
                }
                // accept(2) also returns errors of the peer's connection. They concern only that one.
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Accepts a connection, non-blocking and closed on exec, in one system call.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn accept(socket: &Socket) -> io::Result<(Socket, Option<IpAddr>)> {
    use rustix::net::{SocketFlags, acceptfrom_with};

    let (fd, address) = acceptfrom_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let address = address.and_then(|address| SocketAddr::try_from(address).ok());
    Ok((fd.into(), address.map(|address| address.ip())))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn accept(socket: &Socket) -> io::Result<(Socket, Option<IpAddr>)> {
    let (socket, address) = socket.accept()?;
    socket.set_nonblocking(true)?;
    #[cfg(target_vendor = "apple")]
    socket.set_nosigpipe(true)?;
    Ok((socket, address.as_socket().map(|address| address.ip())))
}

/// Whether an error does not concern one connection alone (accept(2)): the process or the system has no descriptor or
/// memory left, or the socket does not listen.
fn is_lasting(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EINVAL))
}

/// Microseconds until the next try to accept.
const RETRY_US: u64 = 1_000_000;

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::net::{Shutdown, TcpListener};

    use super::*;

    #[test]
    fn a_socket_that_somebody_has_shut_down_is_tried_once_a_second() {
        let poll = mio::Poll::new().unwrap();
        let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = theirs.try_clone().unwrap().into();
        let options = ListenerOptions::default();
        let mut listener = Listener::new(ours, options, Token(1), poll.registry(), 1 << 14, TIMEOUT).unwrap();
        socket2::SockRef::from(&theirs).shutdown(Shutdown::Both).unwrap();
        assert!(listener.accept(16, &mut Vec::new(), 5).is_err());
        assert_eq!((listener.is_ready, listener.retry_us), (false, Some(5 + RETRY_US)));
    }

    const TIMEOUT: Duration = Duration::from_secs(1);
}
