//! A listening socket.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use socket2::Socket;

use crate::error::Error;
use crate::io::link::set_options;
use crate::newcomers::ListenerOptions;

/// A socket that listens, and how its peers begin.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    options: ListenerOptions,
    pub(super) token: Token,
    /// There may be connections to accept.
    pub(super) is_ready: bool,
    /// When to try again, where the system had no descriptor or memory left.
    pub(super) retry_us: Option<u64>,
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Arrived {
    /// Its socket, in non-blocking mode.
    pub socket: Socket,
    /// How it begins.
    pub options: ListenerOptions,
    /// The peer's address; none for a Unix socket.
    pub address: Option<IpAddr>,
}

impl Listener {
    /// Takes a listening socket, TCP or Unix, and sets on it what those need that it accepts.
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
            return Err(Error::Invalid("the socket does not listen".into()));
        }
        socket.set_nonblocking(true)?;
        set_options(&socket, unsent_bytes, write_timeout)?;
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { socket, options, token, is_ready: true, retry_us: None })
    }

    /// There is something to accept.
    pub(super) fn wake(&mut self) {
        // What comes while there is no descriptor for it waits in the kernel.
        self.is_ready = self.retry_us.is_none();
    }

    /// Accepts at most `most` connections. An error says that the system has nothing left for more; the next is tried in a
    /// second.
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
                Err(error) if is_exhausted(&error) => {
                    (self.retry_us, self.is_ready) = (Some(now_us + RETRY_US), false);
                    return Err(error);
                }
                // The peer's own error, which accept(2) hands on.
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Non-blocking, and closed in processes that are started; with no further system call for that.
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

/// Whether it is this process or its machine that cannot take more (accept(2)).
fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Microseconds after which there may be descriptors again.
const RETRY_US: u64 = 1_000_000;
