//! Refusals: the responses to requests that get no connection, as bytes.

use std::borrow::Cow;
use std::fmt::Write;

use crate::limit::Limit;

/// Why a request is refused, and the response to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status of the response.
    pub status: u16,
    /// The reason, only for the operator's log: it may quote what a peer should not see.
    pub reason: Cow<'static, str>,
    /// Header lines of the response, without their line ends.
    pub headers: Vec<Cow<'static, str>>,
    /// The limit that was exceeded, if there was one. It has not been counted yet.
    pub limit: Option<Limit>,
    /// Of the request that is refused, for the operator's log; empty if it is not known.
    pub asked: About,
}

/// What the log says about a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The path without its query, as it came.
    pub path: Box<str>,
    /// The header `User-Agent`.
    pub user_agent: Box<str>,
}

impl About {
    /// Creates it. At most 200 bytes of each are kept, about: a peer must not be able to fill the log.
    pub fn new(target: &[u8], user_agent: &[u8]) -> Self {
        let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(ABOUT_MAX)]).into();
        Self { path: text(path), user_agent: text(user_agent) }
    }
}

impl Refusal {
    /// Creates a refusal without additional headers.
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status, reason: reason.into(), headers: Vec::new(), limit: None, asked: About::default() }
    }

    /// Creates the refusal of a malformed request.
    pub fn bad(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, reason)
    }

    /// Adds the limit that was exceeded.
    pub fn over(self, limit: Limit) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Adds a header line.
    pub fn with(mut self, line: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push(line.into());
        self
    }

    /// Returns the whole response. It contains the status but not the reason, and closes the connection.
    pub fn response(&self) -> Vec<u8> {
        let mut body = phrase(self.status).to_owned();
        body.push('\n');
        let headers = self.headers.iter().map(AsRef::as_ref);
        // A 401 needs this header (RFC 9110 section 15.5.2).
        response(self.status, &body, headers.chain((self.status == 401).then_some("WWW-Authenticate: Bearer")))
    }
}

/// The bytes of a path or a `User-Agent` that are kept for the log.
const ABOUT_MAX: usize = 200;

/// Returns a response of plain text that closes the connection. Header lines with a line end or another control
/// character are left out, because they could be read as several headers.
pub fn response<'a>(status: u16, body: &str, headers: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n",
        phrase(status),
        body.len()
    );
    for line in headers.into_iter().filter(|line| !line.is_empty() && !line.contains(char::is_control)) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{line}\r\n");
    }
    let _ = write!(text, "\r\n{body}");
    text.into_bytes()
}

/// Returns the reason phrase of a status (RFC 9110 section 15, RFC 6585).
pub fn phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        // Clients read only the number (RFC 9112 section 4), so a phrase for the class is enough.
        300..=399 => "Redirect",
        402..=499 => "Client Error",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_the_status_and_nothing_of_the_reason() {
        let refusal = Refusal::new(429, "more connections from 192.0.2.1").over(Limit::AddressConnections);
        assert_eq!(
            refusal.with("Retry-After: 5").response(),
            b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 18\r\n\
              Connection: close\r\nRetry-After: 5\r\n\r\nToo Many Requests\n"
        );
    }

    #[test]
    fn an_unauthorized_peer_is_told_how_to_ask() {
        let answer = String::from_utf8(Refusal::new(401, "").response()).unwrap();
        assert!(answer.contains("\r\nWWW-Authenticate: Bearer\r\n\r\nUnauthorized\n"));
    }

    #[test]
    fn a_header_line_stays_one() {
        let refusal = Refusal::new(503, "").with("X: y\r\nSet-Cookie: z").with("").with("A: b\n").with("C: \u{e9}");
        let answer = String::from_utf8(refusal.response()).unwrap();
        assert!(answer.contains("Connection: close\r\nC: \u{e9}\r\n\r\nService Unavailable\n"), "{answer}");
    }

    #[test]
    fn every_status_has_a_phrase() {
        for status in 0..1000 {
            let is_plain = |byte: u8| byte.is_ascii_alphabetic() || byte == b' ';
            assert!(!phrase(status).is_empty() && phrase(status).bytes().all(is_plain));
        }
    }
}
