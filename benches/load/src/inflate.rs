//! The reader's end of `permessage-deflate` (RFC 7692): what it offers, what was agreed to, and inflating. Not
//! compressing: a client of a bench sends its messages as they are, which the RFC allows.

use flate2::{Decompress, FlushDecompress, Status};

use crate::handshake::header;

/// RSV1 of a frame's first byte: its message is compressed (RFC 7692 6).
pub const COMPRESSED: u8 = 0x40;
/// What a sender takes off the end of each message (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];
/// No message of a bench is longer.
const LIMIT: usize = 1 << 20;

/// What a reader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Offer {
    /// Each message by itself, so that readers may share one form.
    Alone,
    /// What browsers ask for; a server may then use what it has sent before.
    Browser,
}

/// What a server agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreed {
    /// Each message stands by itself.
    Alone,
    /// A message may refer to those before it.
    Takeover,
}

/// A compressed message is broken, or longer than a bench's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

/// Inflates messages into one buffer.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    plain: Vec<u8>,
}

impl Offer {
    /// The value of `Sec-WebSocket-Extensions`.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Self::Alone => "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            Self::Browser => "permessage-deflate; client_max_window_bits",
        }
    }

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Browser => "browser",
        }
    }
}

impl Agreed {
    /// What the answer in `head` agrees to; `None` when that is nothing.
    #[must_use]
    pub fn read(head: &[u8]) -> Option<Self> {
        let value = header(std::str::from_utf8(head).ok()?, "sec-websocket-extensions")?;
        let mut parts = value.split(';').map(str::trim);
        if parts.next() != Some("permessage-deflate") {
            return None;
        }
        Some(if parts.any(|part| part == "server_no_context_takeover") { Self::Alone } else { Self::Takeover })
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self { stream: Decompress::new(false), plain: Vec::new() }
    }
}

impl Inflater {
    /// The message whose compressed form is `payload`, which stands by itself if it `is_alone`.
    ///
    /// # Errors
    /// [`Corrupt`] is the server's.
    pub fn open(&mut self, payload: &[u8], is_alone: bool) -> Result<&[u8], Corrupt> {
        if is_alone {
            self.stream.reset(false);
        }
        self.plain.clear();
        for part in [payload, &TAIL] {
            let mut used = 0;
            loop {
                if self.plain.len() == self.plain.capacity() {
                    if self.plain.len() > LIMIT {
                        return Err(Corrupt);
                    }
                    self.plain.reserve(4096.max(self.plain.len()));
                }
                let before = self.stream.total_in();
                let status = self.stream.decompress_vec(&part[used..], &mut self.plain, FlushDecompress::Sync);
                used += usize::try_from(self.stream.total_in() - before).map_err(|_| Corrupt)?;
                match status {
                    // The end of a stream, which a sender may write (RFC 7692 7.2.3.5), is no end of the connection's.
                    Ok(Status::StreamEnd) => return Ok(&self.plain),
                    // Room is left, so all that came has been taken.
                    Ok(_) if self.plain.len() < self.plain.capacity() => break,
                    Ok(_) => {}
                    Err(_) => return Err(Corrupt),
                }
            }
        }
        Ok(&self.plain)
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn squeeze(stream: &mut Compress, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * plain.len() + 64);
        assert!(stream.compress_vec(plain, &mut out, FlushCompress::Sync).is_ok());
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }

    #[test]
    fn messages_are_inflated_alone_and_after_others() {
        let words = "a quote and a quote and another ".repeat(1000);
        let mut inflater = Inflater::default();
        for size in [0, 1, 500, 4096, 4097, 30_000] {
            let plain = &words.as_bytes()[..size];
            let packed = squeeze(&mut Compress::new(Compression::best(), false), plain);
            assert_eq!(inflater.open(&packed, true), Ok(plain));
        }
        let (mut stream, mut inflater) = (Compress::new(Compression::fast(), false), Inflater::default());
        let sizes: Vec<usize> = (0..3)
            .map(|_| {
                let packed = squeeze(&mut stream, &words.as_bytes()[..500]);
                assert_eq!(inflater.open(&packed, false), Ok(&words.as_bytes()[..500]));
                packed.len()
            })
            .collect();
        assert!(sizes[1] < sizes[0]);
        assert_eq!(inflater.open(&[0xFF; 20], true), Err(Corrupt));
    }

    #[test]
    fn what_was_agreed_to_is_read_from_the_answer() {
        let head = |value: &str| format!("HTTP/1.1 101 X\r\nSec-WebSocket-Extensions: {value}\r\n\r\n").into_bytes();
        assert_eq!(Agreed::read(&head("permessage-deflate; server_no_context_takeover")), Some(Agreed::Alone));
        assert_eq!(Agreed::read(&head("permessage-deflate;client_max_window_bits=12")), Some(Agreed::Takeover));
        assert_eq!(Agreed::read(&head("other")), None);
        assert_eq!(Agreed::read(b"HTTP/1.1 101 X\r\n\r\n"), None);
    }
}
