//! The link of a newcomer.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::queues::events::Events;
use crate::slots::ConnId;

/// What carries a newcomer.
pub trait Stream: Sized {
    /// Asks for [`Newcomers::ready`] by this id whenever something has come, or the peer has gone.
    fn watch(&mut self, id: ConnId) -> io::Result<()>;
    /// Reads what has come, without waiting; `WouldBlock` when that is nothing, 0 at the end.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// The same, and leaves it to be read again.
    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// So many bytes were looked at that were read by the host.
    fn fed(&mut self, bytes: usize);
    /// Writes a last answer, without waiting, and says that nothing follows it (FIN).
    fn answer(&mut self, bytes: &[u8]);
    /// From now on the host reads and writes it, as it speaks TLS there, by the descriptor that is returned.
    fn host(self, id: ConnId, events: &Arc<Events>) -> io::Result<(Self, OwnedFd)>;
    /// Gives the socket away; none if the host has it already.
    fn release(self) -> Option<OwnedFd>;
}
