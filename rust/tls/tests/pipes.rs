//! What a session reads from and writes to.

use std::io::{self, ErrorKind, Read, Write};

/// A buffer that a session reads. When it is empty, reading blocks.
pub(super) struct Source<'a>(pub(super) &'a [u8]);

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { self.0.read(into) }
    }
}

/// Takes so many bytes, and blocks then.
pub(super) struct Narrow(pub(super) Vec<u8>, pub(super) usize);

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = bytes.len().min(self.1);
        self.1 -= take;
        self.0.extend_from_slice(&bytes[..take]);
        if take == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(take) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
