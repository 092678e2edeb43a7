//! Request heads (RFC 9112), parsed within limits. Pure: no socket, no clock.
//!
//! `httparse` checks the syntax. It accepts more than we do: lines that end with a bare LF, and methods of any length.
//! These are refused, because requests are smuggled where two readers of a request disagree.

use std::ops::Range;

use httparse::{EMPTY_HEADER, Error, Request, Status};
use memchr::memchr_iter;

use crate::limit::Limit;
use crate::wire::refusal::Refusal;

/// The limits on a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// The limit on bytes, including the empty line at its end and any before it.
    pub max_bytes: usize,
    /// The limit on header lines; at most [`MAX_HEADERS`].
    pub max_headers: usize,
}

/// A head: the places of its parts in the bytes that it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// Its bytes, including the empty line at its end.
    pub len: usize,
    /// The method, a token.
    pub method: Box<str>,
    /// The request target: UTF-8 without spaces and control characters.
    pub target: Range<usize>,
    /// Whether it is HTTP/1.1, not HTTP/1.0.
    pub is_http11: bool,
    /// Names and values in order; values have no white space around them.
    pub headers: Vec<(Range<usize>, Range<usize>)>,
    /// All header lines with their line ends, without the empty line.
    pub lines: Range<usize>,
}

/// Parses a head at the beginning of what a peer has sent. Skips empty lines before it (RFC 9112 section 2.2).
///
/// None: the head is incomplete; call again with everything that has come. The refusal has the status 431 for a head
/// that is too large, and 400 for one that is malformed. Refusals are final, and do not depend on how the bytes were
/// cut.
pub fn parse(bytes: &[u8], limits: &HeadLimits) -> Result<Option<RequestHead>, Refusal> {
    let within = &bytes[..bytes.len().min(limits.max_bytes)];
    let empty = within.chunks_exact(2).take_while(|line| line == b"\r\n").count() * 2;
    let rest = &within[empty..];
    let bare = memchr_iter(b'\n', rest).find(|&at| at == 0 || rest[at - 1] != b'\r');
    let strict = &rest[..bare.unwrap_or(rest.len())];

    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers[..limits.max_headers.min(MAX_HEADERS)]);
    let status = request.parse(strict);
    if request.method.map_or(strict.len(), str::len) > MAX_METHOD {
        return Err(Refusal::bad("no method is as long"));
    }
    let status = status.map_err(|error| match error {
        Error::TooManyHeaders => too_large("too many headers"),
        _ => Refusal::bad(reason(error)),
    })?;
    let (Status::Complete(len), Some(method), Some(path)) = (status, request.method, request.path) else {
        return if bare.is_some() {
            Err(Refusal::bad("a line ends with a bare LF"))
        } else if bytes.len() > limits.max_bytes {
            Err(too_large("the request head is larger than max_head"))
        } else {
            Ok(None)
        };
    };

    let len = empty + len;
    let place = |part: &[u8]| {
        let start = (part.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
        start..start + part.len()
    };
    let target = place(path.as_bytes());
    // " HTTP/1.1" and a line end follow the target.
    let lines = target.end + REST_OF_LINE..len - 2;
    let headers = request.headers.iter().map(|header| (place(header.name.as_bytes()), place(header.value))).collect();
    Ok(Some(RequestHead { len, method: method.into(), target, is_http11: request.version == Some(1), headers, lines }))
}

impl RequestHead {
    /// Returns the values of all headers with this name, in order; case does not matter.
    pub fn values<'a>(&'a self, bytes: &'a [u8], name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a {
        let is_named = move |at: &Range<usize>| bytes[at.clone()].eq_ignore_ascii_case(name.as_bytes());
        self.headers.iter().filter(move |(at, _)| is_named(at)).map(move |(_, value)| &bytes[value.clone()])
    }
}

/// Whether a request asks for a WebSocket (RFC 9110 section 7.8). A request that also offers other protocols is left to
/// the HTTP server, which ignores the offer.
pub fn is_websocket(head: &RequestHead, bytes: &[u8]) -> bool {
    let is_upgrade = |token: &[u8]| token.trim_ascii().eq_ignore_ascii_case(b"upgrade");
    head.values(bytes, "upgrade").any(|value| value.eq_ignore_ascii_case(b"websocket"))
        && head.values(bytes, "connection").any(|value| value.split(|&byte| byte == b',').any(is_upgrade))
}

fn too_large(reason: &'static str) -> Refusal {
    Refusal::new(431, reason).over(Limit::Head)
}

fn reason(error: Error) -> &'static str {
    match error {
        Error::HeaderName => "a header has no name, or no colon behind it",
        Error::HeaderValue => "a header's value has a control character",
        Error::NewLine => "a line does not end with CRLF",
        Error::Token => "the first line is not a request line",
        Error::Version => "the version is not HTTP/1.1 or HTTP/1.0",
        Error::Status | Error::TooManyHeaders => "the request head is malformed",
    }
}

/// The limit on header lines of a head. A browser sends about 15.
pub const MAX_HEADERS: usize = 100;

/// The limit on bytes of a method. The longest registered one, UPDATEREDIRECTREF, has 17.
const MAX_METHOD: usize = 32;

const REST_OF_LINE: usize = " HTTP/1.1\r\n".len();

#[cfg(test)]
mod tests;
