//! The link of a newcomer.

use std::io;

use crate::slots::ConnId;

/// The link of a newcomer.
pub trait Stream: Sized {
    /// Asks for calls of [`Newcomers::ready`](crate::newcomers::Newcomers::ready) with this id when bytes have come or
    /// the peer has gone.
    fn watch(&mut self, id: ConnId) -> io::Result<()>;
    /// Reads without blocking; `WouldBlock` if nothing has come, 0 at the end.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// Reads without blocking, and leaves the bytes to be read again. It may leave out some.
    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// Writes a last answer without blocking, and ends our side (FIN).
    fn answer(&mut self, bytes: &[u8]);
}
