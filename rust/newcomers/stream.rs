//! The link of a newcomer.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::queues::events::Events;
use crate::slots::ConnId;

/// The link of a newcomer.
pub trait Stream: Sized {
    /// Asks for calls of [`Newcomers::ready`](crate::newcomers::Newcomers::ready) with this id when bytes have come or
    /// the peer has gone.
    fn watch(&mut self, id: ConnId) -> io::Result<()>;
    /// Reads without blocking; `WouldBlock` if nothing has come, 0 at the end.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// Reads without blocking, and leaves the bytes to be read again.
    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// Notes that `bytes` were parsed of what the host has read.
    fn fed(&mut self, bytes: usize);
    /// Writes a last answer without blocking, and ends our side (FIN).
    fn answer(&mut self, bytes: &[u8]);
    /// Lets the host read and write the socket, because it does the TLS. Returns the socket's descriptor for the host.
    fn host(self, id: ConnId, events: &Arc<Events>) -> io::Result<(Self, OwnedFd)>;
    /// Returns the socket; none if the host has it already.
    fn release(self) -> Option<OwnedFd>;
}
