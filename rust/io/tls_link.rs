//! The link of a connection with TLS: a socket and its session.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::ServerConfig;

use crate::io::socket_link::SocketLink;
use crate::shard::tcp_info::TcpInfo;
use crate::slots::ConnId;
use crate::tls::info::TlsInfo;
use crate::tls::session::Session;

/// A socket with TLS. The kernel may take a part of a record, or of a few: the rest waits here, and goes before all that
/// follows.
#[derive(Debug)]
pub struct TlsLink {
    pub(super) socket: SocketLink,
    session: Session,
    /// Whether the end of our side was said.
    is_finishing: bool,
    /// Whether the last read stopped before the socket was empty, or before the end that was seen.
    has_more: bool,
}

impl TlsLink {
    /// Begins a session over a socket.
    pub fn new(socket: SocketLink, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self { socket, session: Session::new(config)?, is_finishing: false, has_more: false })
    }

    /// Goes on with the handshake, as far as it can without blocking. Returns what is known of the session once the
    /// handshake is over. What the client has sent behind it is not lost.
    pub fn shake_hands(&mut self) -> io::Result<Option<TlsInfo>> {
        loop {
            self.flush()?;
            if !self.session.is_handshaking() {
                self.has_more = true;
                return Ok(Some(self.session.info()));
            }
            match self.take() {
                Ok((0, _)) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes all in one record, if it fits into one. Otherwise it goes on with several at once as long as the socket takes
    /// them whole.
    pub(super) fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.flush()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let size = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        let mut written = self.session.write(bufs, 1)?;
        if !self.flush()? || written == size {
            return Ok(written);
        }
        let mut left = bufs.to_vec();
        let mut left = &mut left[..];
        IoSlice::advance_slices(&mut left, written);
        while written < size {
            let made = self.session.write(left, RECORDS)?;
            IoSlice::advance_slices(&mut left, made);
            written += made;
            if !self.flush()? {
                break;
            }
        }
        Ok(written)
    }

    /// Fills `into`, unless the socket is empty first or the records are small; see [`Self::has_more`].
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (mut read, mut taken, mut is_empty) = (0, 0, false);
        loop {
            if self.session.held() > 0 {
                read += self.session.read(&mut into[read..])?;
            }
            // Small records cost much, so their ciphertext is limited as well.
            let is_enough = read == into.len() || (read > 0 && taken >= into.len());
            if is_enough || is_empty || self.session.is_ended() {
                break;
            }
            match self.take() {
                Ok((bytes, is_short)) => (taken, is_empty) = (taken + bytes, is_short),
                Err(error) if error.kind() == ErrorKind::WouldBlock => is_empty = true,
                Err(error) if read == 0 => return Err(error),
                // What came before counts. The next read fails.
                Err(_) => break,
            }
        }
        self.has_more = !is_empty || self.session.held() > 0 || self.session.is_ended();
        match read {
            0 if self.session.is_ended() || into.is_empty() => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }

    /// Whether there may be something to read that the poll does not announce.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Returns 1 if something can be read, and 0 at the end. `into` stays as it is.
    pub(super) fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.session.held() == 0 && !self.session.is_ended() {
            self.take()?;
        }
        self.has_more = true;
        Ok(self.session.held().min(into.len()).min(1))
    }

    pub(super) fn watch(&mut self, conn: ConnId) -> io::Result<()> {
        self.socket.watch(conn)?;
        // If that blocks, the socket is watched for space, too.
        self.flush().map(drop)
    }

    /// Sends what waits here. Returns whether that is all.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        if self.session.has_unsent() {
            let mut socket = Tap { socket: &mut self.socket, is_short: false };
            match self.session.send(&mut socket) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.is_finishing {
                self.socket.finish();
            }
        }
        Ok(true)
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.session.has_unsent()
    }

    /// Says that nothing follows, and ends our side (FIN), as soon as all was sent.
    pub(super) fn finish(&mut self) {
        if !self.is_finishing {
            self.is_finishing = true;
            self.session.finish();
        }
        // Fails if the peer is gone already, and then nothing is left to finish.
        let _ = self.flush();
    }

    /// Whether the end of our side was sent.
    pub(super) fn is_finished(&self) -> bool {
        self.is_finishing && !self.has_unsent()
    }

    /// Returns the socket. The session ends without a word, except for those that wait to be sent.
    pub(super) fn into_socket(mut self) -> SocketLink {
        let _ = self.flush();
        self.socket
    }

    pub(super) fn tcp_info(&self) -> Option<TcpInfo> {
        let info = self.socket.tcp_info()?;
        // The kernel counts records, which are a little longer than what is in them.
        Some(TcpInfo { unacked: info.unacked + self.session.unsent() as u64, ..info })
    }

    /// Takes ciphertext once, and sends what the session says to it. Returns its length; 0: the end. Then: whether that
    /// has emptied the socket.
    fn take(&mut self) -> io::Result<(usize, bool)> {
        let mut socket = Tap { socket: &mut self.socket, is_short: false };
        let taken = self.session.take(&mut socket);
        let is_short = socket.is_short;
        // What has come counts even if nothing can be sent any more, which the next write notices.
        let _ = self.flush();
        Ok((taken?, is_short))
    }
}

/// A socket as the session needs it. It notes that a read did not fill its buffer, and saves the call that would only
/// say that the socket is full.
struct Tap<'a> {
    socket: &'a mut SocketLink,
    is_short: bool,
}

impl Read for Tap<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.read(into)?;
        self.is_short = read < into.len();
        Ok(read)
    }
}

impl Write for Tap<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_short {
            return Err(ErrorKind::WouldBlock.into());
        }
        let written = self.socket.write(bufs)?;
        self.is_short = written < bufs.iter().map(|buf| buf.len()).sum();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The records that are sent by one call, once the socket has taken one whole: the calls cost more than the encryption.
/// So many may wait here for a socket that takes no more.
const RECORDS: usize = 4;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
