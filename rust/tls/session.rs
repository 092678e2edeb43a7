//! One TLS session of the server: ciphertext in, plaintext out, and the other way. No socket: it reads from and writes
//! to what its caller passes, without waiting.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use crate::tls::info::TlsInfo;

/// A TLS session. What it holds is bounded: less than 64 KiB that were decrypted and not read, and the records of one
/// [`Session::write`] that were encrypted and not sent.
#[derive(Debug)]
pub struct Session {
    conn: ServerConnection,
    /// Bytes that were decrypted and not read.
    held: usize,
    /// Bytes of plaintext in the records that were made last.
    made: usize,
    /// Whether nothing more comes.
    is_ended: bool,
    /// Whether the client broke a rule.
    is_broken: bool,
}

impl Session {
    /// Begins a session.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let conn = ServerConnection::new(config)?;
        Ok(Self { conn, held: 0, made: 0, is_ended: false, is_broken: false })
    }

    /// Whether the handshake is not over.
    pub fn is_handshaking(&self) -> bool {
        self.conn.is_handshaking()
    }

    /// Returns what is known once the handshake is over.
    pub fn info(&self) -> TlsInfo {
        TlsInfo::of(&self.conn)
    }

    /// Reads ciphertext once, and decrypts what is complete. Returns how much was read; 0: the end. Call it only while
    /// nothing is held. Fails with [`ErrorKind::InvalidData`] and a [`rustls::Error`] if the client broke a rule; an
    /// alert for it then waits to be sent.
    pub fn take(&mut self, from: &mut dyn Read) -> io::Result<usize> {
        if self.is_ended {
            return Ok(0);
        }
        let taken = if self.is_broken { 0 } else { self.conn.read_tls(from)? };
        let state = self.conn.process_new_packets().map_err(|error| {
            self.is_broken = true;
            io::Error::new(ErrorKind::InvalidData, error)
        })?;
        self.held = state.plaintext_bytes_to_read();
        self.is_ended = taken == 0 || state.peer_has_closed();
        Ok(taken)
    }

    /// Reads what was decrypted; `WouldBlock` if nothing is held, 0 at the end. An end without a close_notify alert
    /// counts as one: what the sessions carry says itself where it ends.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.held {
            0 if self.is_ended => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => {
                let read = self.conn.reader().read(into)?;
                self.held -= read;
                Ok(read)
            }
        }
    }

    /// Returns how many bytes were decrypted and not read.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether nothing more comes but what is held.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Makes at most so many records of the beginning of `bufs`. Returns how much that is, at most [`RECORD`] for each.
    /// Call it only while nothing is unsent.
    pub fn write(&mut self, bufs: &[IoSlice<'_>], records: usize) -> io::Result<usize> {
        self.conn.set_buffer_limit(Some(records * RECORD));
        self.made = self.conn.writer().write_vectored(bufs)?;
        Ok(self.made)
    }

    /// Says by an alert that nothing follows. That waits behind what is unsent.
    pub fn finish(&mut self) {
        self.conn.send_close_notify();
    }

    /// Whether something waits to be sent: a record, or what the session says by itself.
    pub fn has_unsent(&self) -> bool {
        self.conn.wants_write()
    }

    /// Returns about how many bytes of plaintext wait to be sent.
    pub fn unsent(&self) -> usize {
        if self.has_unsent() { self.made } else { 0 }
    }

    /// Writes all that is unsent, or as much as is taken.
    pub fn send(&mut self, to: &mut dyn Write) -> io::Result<()> {
        while self.conn.wants_write() {
            if self.conn.write_tls(to)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

/// The limit on plaintext in one record (RFC 8446 section 5.1).
pub const RECORD: usize = 1 << 14;
