//! A tunnel: the host answers plain HTTP requests, and over TLS it gets one end of a pair of sockets. The tunnel decrypts
//! and encrypts between the other end and the client.

use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use mio::Registry;
use socket2::Socket;

use crate::io::link::AnyLink;
use crate::io::socket_link::SocketLink;
use crate::outbox::Sink;
use crate::shard::Link;
use crate::slots::ConnId;

/// A tunnel between a client and the host.
#[derive(Debug)]
pub struct Tunnel {
    client: AnyLink,
    host: AnyLink,
    inward: Way,
    outward: Way,
    /// Whether the host has closed its end, so that it reads nothing more.
    is_left: bool,
}

/// One direction of a tunnel.
#[derive(Debug, Default)]
struct Way {
    /// Bytes that were read and not written: at most one read.
    held: Vec<u8>,
    /// Whether one end sends nothing more, and whether the other end was told.
    is_ended: bool,
    is_over: bool,
    /// Whether a write has failed.
    is_refused: bool,
}

/// What a tunnel needs to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelProgress {
    /// An end has to be ready.
    Waits,
    /// Nothing. It has had its turn.
    More,
    /// It is over.
    Over,
}

impl Tunnel {
    /// Creates a tunnel to a client whose socket is in no poll, and the host's end of it.
    pub fn new(mut client: AnyLink, registry: &Arc<Registry>) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        client.change_registry(registry);
        let host = AnyLink::Socket(SocketLink::accepted(Socket::from(OwnedFd::from(ours)), Arc::clone(registry)));
        Ok((Self { client, host, inward: Way::default(), outward: Way::default(), is_left: false }, theirs.into()))
    }

    /// Watches both ends, under two ids.
    pub(super) fn watch(&mut self, [client, host]: [ConnId; 2]) -> io::Result<()> {
        Link::watch(&mut self.client, client)?;
        Link::watch(&mut self.host, host)
    }

    /// Notes that the host has closed its end.
    pub(super) fn leave(&mut self) {
        self.is_left = true;
    }

    /// Goes on as far as that is possible without blocking, but not for long. Fails if an end is broken.
    pub(super) fn go_on(&mut self, buffer: &mut [u8]) -> io::Result<TunnelProgress> {
        let Self { client, host, inward, outward, is_left } = self;
        let passed = if *is_left { Ok(false) } else { inward.go_on(client, host, buffer) };
        // The poll may not have told yet that the host has closed its end. What it has written still goes to the client.
        *is_left |= inward.is_refused;
        let is_more_in = if *is_left { false } else { passed? };
        let mut passed = outward.go_on(host, client, buffer);
        if passed.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset) {
            // The kernel says so if the host has closed its end before it has read all, which the poll may not have told
            // yet. Nothing follows what it has written. If it is the client that was reset, the next write fails.
            (*is_left, outward.is_ended) = (true, true);
            passed = outward.go_on(host, client, buffer);
        }
        let is_more_out = passed?;
        let is_over = outward.is_over && (inward.is_over || *is_left) && !client.has_unsent();
        Ok(match (is_over, is_more_in || is_more_out) {
            (true, _) => TunnelProgress::Over,
            (false, true) => TunnelProgress::More,
            (false, false) => TunnelProgress::Waits,
        })
    }

    /// Whether the client was sent all that the host has written until now.
    pub(super) fn is_drained(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let Self { client, host, outward, .. } = self;
        while outward.go_on(host, client, buffer)? {}
        Ok(outward.held.is_empty() && !client.has_unsent())
    }

    /// Returns the client, and what has come from it that the host has not read from its end, `theirs`.
    pub(super) fn end(mut self, theirs: &OwnedFd, buffer: &mut [u8]) -> io::Result<(AnyLink, Vec<u8>)> {
        let mut unread = Vec::new();
        loop {
            match rustix::io::read(theirs, &mut *buffer) {
                Ok(0) => break,
                Ok(read) => unread.extend_from_slice(&buffer[..read]),
                Err(rustix::io::Errno::WOULDBLOCK) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        unread.append(&mut self.inward.held);
        Ok((self.client, unread))
    }
}

impl Way {
    /// Returns whether it could go on at once.
    fn go_on(&mut self, from: &mut AnyLink, to: &mut AnyLink, buffer: &mut [u8]) -> io::Result<bool> {
        for _ in 0..READS {
            if !to.flush()? {
                return Ok(false);
            }
            let held = mem::take(&mut self.held);
            if !self.pass(&held, to)? || self.is_over {
                return Ok(false);
            }
            if self.is_ended {
                self.is_over = true;
                to.finish();
                // If the client is gone, the last word cannot be sent, and no poll announces it again.
                to.flush()?;
                return Ok(false);
            }
            match Link::read(from, buffer) {
                Ok(0) => self.is_ended = true,
                Ok(read) => drop(self.pass(&buffer[..read], to)?),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Writes, and holds what cannot be written. Returns whether that is nothing.
    fn pass(&mut self, bytes: &[u8], to: &mut AnyLink) -> io::Result<bool> {
        let written = match bytes {
            [] => 0,
            bytes => match to.write(&[IoSlice::new(bytes)]) {
                Ok(written) => written,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
                Err(error) => {
                    self.is_refused = true;
                    return Err(error);
                }
            },
        };
        self.held = bytes[written..].to_vec();
        Ok(self.held.is_empty())
    }
}

/// Reads of one way before it is the turn of other tunnels.
const READS: usize = 8;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
