//! One answer of an HTTP server with a body of known size, as polls and POSTs get them. Pure: bytes in. Not a parser of
//! whatever servers may say: chunks are a fault here, because Fanwire's answers have none.

use crate::handshake::{self, header};

/// The head of an answer, and where its body lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Bytes of the head, its empty line included: the body begins there.
    pub head: usize,
    /// Bytes of head and body.
    pub size: usize,
    /// Whether the server closes the connection after it.
    pub closes: bool,
}

/// What came is no answer of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Reply {
    /// Reads the answer at the beginning of `bytes`; `None` while it is cut.
    ///
    /// # Errors
    /// [`Malformed`] is the server's.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(head) = handshake::head_size(bytes) else {
            return if bytes.len() > handshake::LIMIT { Err(Malformed) } else { Ok(None) };
        };
        let text = std::str::from_utf8(&bytes[..head]).map_err(|_| Malformed)?;
        let status: u16 = text
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|digits| digits.parse().ok())
            .ok_or(Malformed)?;
        let length = match header(text, "content-length") {
            Some(digits) => digits.parse().map_err(|_| Malformed)?,
            // RFC 9110 8.6: a 204 has no body and no length.
            None if status == 204 => 0,
            None => return Err(Malformed),
        };
        let closes = header(text, "connection").is_some_and(|word| word.eq_ignore_ascii_case("close"));
        let size = head.checked_add(length).ok_or(Malformed)?;
        Ok((bytes.len() >= size).then_some(Self { status, head, size, closes }))
    }
}

/// Whether `head` opens an event stream.
#[must_use]
pub fn is_event_stream(head: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(head) else { return false };
    text.starts_with("HTTP/1.1 200")
        && header(text, "content-type").is_some_and(|kind| kind.starts_with("text/event-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_once_it_is_whole() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabcHTTP";
        for cut in 0..bytes.len() - 4 {
            assert_eq!(Reply::read(&bytes[..cut]), Ok(None), "{cut}");
        }
        let head = bytes.len() - 7;
        assert_eq!(Reply::read(bytes), Ok(Some(Reply { status: 200, head, size: head + 3, closes: true })));
        let bytes = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(Reply::read(bytes), Ok(Some(Reply { status: 204, head: 27, size: 27, closes: false })));
    }

    #[test]
    fn what_has_no_known_size_is_refused() {
        assert_eq!(Reply::read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(Malformed));
        assert_eq!(Reply::read(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), Err(Malformed));
        assert_eq!(Reply::read(&[b'x'; handshake::LIMIT + 1]), Err(Malformed));
    }

    #[test]
    fn a_stream_is_opened_by_its_type() {
        assert!(is_event_stream(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"));
        assert!(!is_event_stream(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"));
        assert!(!is_event_stream(b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/event-stream\r\n\r\n"));
    }
}
