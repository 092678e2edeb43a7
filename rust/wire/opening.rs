//! What a request opens: a WebSocket, an event stream, or a session whose client polls. Recognizes and checks requests
//! for the latter two, the fallback transports, and builds the heads of the responses. Pure.

use std::borrow::Cow;

use crate::wire::deflate::Deflate;
use crate::wire::deflate_offer::Agreement;
use crate::wire::http_head::RequestHead;
use crate::wire::origin::split_host;
use crate::wire::refusal::Refusal;
use crate::wire::table::{SUBPROTOCOLS, subprotocol};
use crate::wire::websocket_handshake::{self, Upgrade, switching};

/// What a request opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// A WebSocket.
    WebSocket {
        /// The value of `Sec-WebSocket-Accept`, in ASCII.
        accept_key: [u8; 28],
        /// What was agreed to about compression.
        agreement: Option<Agreement>,
    },
    /// An event stream, which is the response to the request.
    Stream,
    /// A session whose client polls. The response has its first envelope only.
    Poll,
}

/// A valid request for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it opens.
    pub opening: Opening,
    /// Its `Host`: a name or address, perhaps with a port; "" if a request of HTTP/1.0 has none.
    pub host: Box<str>,
    /// Its `Origin`; none if it does not come from another site's page.
    pub origin: Option<Box<str>>,
    /// The subprotocol to answer with.
    pub subprotocol: Option<&'static str>,
}

impl From<Upgrade> for Wanted {
    fn from(Upgrade { accept_key, host, origin, subprotocol }: Upgrade) -> Self {
        let opening = Opening::WebSocket { accept_key, agreement: None };
        Self { opening, host, origin, subprotocol }
    }
}

impl Wanted {
    /// Notes what is agreed to about the compression of a WebSocket.
    pub fn agree(&mut self, agreed: Option<Agreement>) {
        if let Opening::WebSocket { agreement, .. } = &mut self.opening {
            *agreement = agreed;
        }
    }
}

impl Opening {
    /// Returns its name: that of the transport.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket { .. } => "websocket",
            Self::Stream => SSE,
            Self::Poll => LONG_POLL,
        }
    }

    /// Returns how messages may be compressed.
    pub fn deflate(self) -> Deflate {
        match self {
            Self::WebSocket { agreement: Some(agreement), .. } => agreement.deflate,
            _ => Deflate::None,
        }
    }

    /// Returns the status of the response that accepts it.
    pub fn status(self) -> u16 {
        if matches!(self, Self::WebSocket { .. }) { 101 } else { 200 }
    }

    /// Returns the head of the response that accepts it, with more header lines for a fallback transport. That of a
    /// session whose client polls lacks what [`response`] adds.
    pub fn head(self, subprotocol: Option<&str>, lines: &[Cow<'static, str>]) -> Box<[u8]> {
        let (begin, end) = match self {
            Self::WebSocket { accept_key, agreement } => {
                return switching(&accept_key, subprotocol, agreement).into();
            }
            Self::Stream => (STREAM, "\r\n"),
            Self::Poll => (POLL, ""),
        };
        let lines = lines.iter().flat_map(|line| [line, "\r\n"]);
        [begin].into_iter().chain(lines).chain([end]).collect::<String>().into_bytes().into()
    }
}

/// Returns what a request asks for: a stream, or a session whose client polls. None: it is another request.
///
/// `target` is path and query as [`Paths`](crate::wire::prefix::Paths) returns them.
pub fn of(head: &RequestHead, bytes: &[u8], target: &[u8]) -> Option<Opening> {
    // A poll of a link that is open: it names the link.
    if &*head.method != "GET" || parameter(target, b"link").is_some() {
        return None;
    }
    match parameter(target, b"transport") {
        Some(value) if value == SSE.as_bytes() => Some(Opening::Stream),
        Some(value) if value == LONG_POLL.as_bytes() => Some(Opening::Poll),
        Some(_) => None,
        None => (is_room(target) && takes_stream(head, bytes)).then_some(Opening::Stream),
    }
}

/// Checks a request that asks for a fallback transport. The refusal has the status 400.
pub fn check(opening: Opening, head: &RequestHead, bytes: &[u8], target: &[u8]) -> Result<Wanted, Refusal> {
    websocket_handshake::check_parts(head, bytes)?;
    let text = |name| head.values(bytes, name).next().and_then(|value| str::from_utf8(value).ok());
    let host = text("host");
    if host.is_some_and(|host| split_host(host).is_none()) || (host.is_none() && head.is_http11) {
        return Err(Refusal::bad("the Host is not a name or an address"));
    }
    let subprotocol = match parameter(target, b"protocol") {
        None => subprotocol::RAW,
        Some(asked) => match SUBPROTOCOLS.into_iter().find(|name| name.as_bytes() == asked) {
            Some(name) => name,
            None => return Err(Refusal::bad("protocol is none that the server speaks")),
        },
    };
    if opening == Opening::Poll && subprotocol == subprotocol::RAW {
        return Err(Refusal::bad("without a session there is no long-poll"));
    }
    let (host, origin) = (host.unwrap_or_default().into(), text("origin").map(Into::into));
    Ok(Wanted { opening, host, origin, subprotocol: Some(subprotocol) })
}

/// Completes the response to the request that has opened a session whose client polls.
pub fn response(head: &[u8], body: &[u8]) -> Vec<u8> {
    [head, format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// Returns the value of a parameter in the query of a target, as it stands there.
fn parameter<'a>(target: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = target.iter().position(|&byte| byte == b'?')?;
    let mut pairs = target[at + 1..].split(|&byte| byte == b'&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

/// Whether a target is the path of a room.
fn is_room(target: &[u8]) -> bool {
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    path.strip_prefix(b"/rooms/").is_some_and(|name| !name.is_empty() && !name.contains(&b'/'))
}

/// Whether a request prefers an event stream, or has no preference, as a program such as curl.
fn takes_stream(head: &RequestHead, bytes: &[u8]) -> bool {
    let mut values = head.values(bytes, "accept").peekable();
    let is_open = values.peek().is_none_or(|value| *value == b"*/*");
    let is_stream = |kind: &[u8]| {
        let kind = kind.split(|&byte| byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    };
    is_open || values.any(|value| value.split(|&byte| byte == b',').any(is_stream))
}

const SSE: &str = "sse";
const LONG_POLL: &str = "long-poll";

/// The body ends with the connection. Neither caches nor proxies may keep or change it: compression delays events, and
/// nginx buffers responses that do not forbid it.
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
                      Cache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\nConnection: close\r\n";

const POLL: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n\
                    Connection: close\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http_head::{HeadLimits, MAX_HEADERS, parse};

    fn parsed(bytes: &[u8]) -> RequestHead {
        parse(bytes, &HeadLimits { max_bytes: 16 << 10, max_headers: MAX_HEADERS }).unwrap().unwrap()
    }

    fn asks(line: &str, headers: &str) -> Option<Opening> {
        let bytes = format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}\r\n").into_bytes();
        let head = parsed(&bytes);
        of(&head, &bytes, &bytes[head.target.clone()])
    }

    fn checked(line: &str, headers: &str) -> Result<Wanted, Refusal> {
        let bytes = format!("{line}\r\n{headers}\r\n").into_bytes();
        let head = parsed(&bytes);
        let target = &bytes[head.target.clone()];
        check(of(&head, &bytes, target).unwrap(), &head, &bytes, target)
    }

    #[test]
    fn the_query_names_the_transport() {
        for (line, opening) in [
            ("GET /?transport=sse", Some(Opening::Stream)),
            ("GET /any/path?a=b&transport=sse&c", Some(Opening::Stream)),
            ("GET /rooms/a/b?transport=sse", Some(Opening::Stream)),
            ("GET /?transport=long-poll&session=x", Some(Opening::Poll)),
            ("GET /?transport=websocket", None),
            ("GET /?transport=", None),
            ("GET /?transport", None),
            ("GET /?xtransport=sse", None),
            ("GET /transport=sse", None),
            ("GET /?link=x&received=1", None),
            ("GET /rooms/a?link=x&received=1", None),
            ("GET /?transport=sse&link=x", None),
            ("HEAD /?transport=sse", None),
            ("POST /?transport=sse", None),
            ("OPTIONS /?transport=long-poll", None),
        ] {
            assert_eq!(asks(line, "Accept: text/event-stream\r\n"), opening, "{line}");
        }
    }

    #[test]
    fn a_room_without_a_transport_is_a_stream_for_those_who_take_one() {
        for (line, headers, is_stream) in [
            ("GET /rooms/a", "Accept: text/event-stream\r\n", true),
            ("GET /rooms/a?key=x", "Accept: text/html, TEXT/Event-Stream;q=0.5\r\n", true),
            ("GET /rooms/a", "Accept: text/html\r\nAccept: text/event-stream\r\n", true),
            ("GET /rooms/a", "Accept: */*\r\n", true),
            ("GET /rooms/a", "", true),
            ("GET /rooms/a", "Accept: text/html,*/*;q=0.8\r\n", false),
            ("GET /rooms/a", "Accept: application/json\r\n", false),
            ("GET /rooms/", "Accept: */*\r\n", false),
            ("GET /rooms/a/b", "Accept: text/event-stream\r\n", false),
            ("GET /rooms", "Accept: text/event-stream\r\n", false),
            ("GET /?a=/rooms/a", "Accept: text/event-stream\r\n", false),
            ("GET /rooms/a?transport=websocket", "Accept: text/event-stream\r\n", false),
            ("POST /rooms/a", "Accept: */*\r\n", false),
        ] {
            assert_eq!(asks(line, headers), is_stream.then_some(Opening::Stream), "{line} {headers}");
        }
    }

    #[test]
    fn the_query_names_the_subprotocol() {
        let of = |query: &str| checked(&format!("GET /?{query} HTTP/1.1"), "Host: a:80\r\nOrigin: https://b\r\n");
        for (query, opening, subprotocol) in [
            ("transport=sse", Opening::Stream, "fanwire.v1.raw"),
            ("transport=sse&protocol=fanwire.v1.msgpack", Opening::Stream, "fanwire.v1.msgpack"),
            ("protocol=fanwire.v1.json&transport=long-poll", Opening::Poll, "fanwire.v1.json"),
        ] {
            let wanted = of(query).unwrap();
            assert_eq!((wanted.opening, wanted.subprotocol), (opening, Some(subprotocol)));
            assert_eq!((&*wanted.host, wanted.origin.as_deref()), ("a:80", Some("https://b")));
        }
        for query in ["transport=sse&protocol=mqtt", "transport=sse&protocol=", "transport=long-poll"] {
            assert_eq!(of(query).unwrap_err().status, 400, "{query}");
        }
        assert_eq!(of("transport=long-poll&protocol=fanwire.v1.raw").unwrap_err().status, 400);
    }

    #[test]
    fn what_a_request_must_not_have() {
        for (line, headers) in [
            ("GET /?transport=sse HTTP/1.1", ""),
            ("GET /?transport=sse HTTP/1.1", "Host: a b\r\n"),
            ("GET /?transport=sse HTTP/1.1", "Host: a\r\nHost: a\r\n"),
            ("GET /?transport=sse HTTP/1.0", "Host: a\r\nHost: b\r\n"),
            ("GET /?transport=sse HTTP/1.1", "Host: a\r\nContent-Length: 1\r\n"),
            ("GET /?transport=sse HTTP/1.1", "Host: a\r\nTransfer-Encoding: chunked\r\n"),
            ("GET /?transport=sse HTTP/1.1", "Host: a\r\nOrigin: x\r\nOrigin: y\r\n"),
            ("GET /?transport=sse HTTP/1.1", "Host: a\r\nAuthorization: x\r\nAuthorization: y\r\n"),
            ("GET /?transport=sse HTTP/1.1", "Host: a\r\nOrigin: \u{e9}\r\n"),
            ("GET /?transport=sse&\u{e9} HTTP/1.1", "Host: a\r\n"),
        ] {
            assert_eq!(checked(line, headers).unwrap_err().status, 400, "{line} {headers}");
        }
    }

    #[test]
    fn http_1_0_needs_no_host() {
        let wanted = checked("GET /?transport=sse HTTP/1.0", "").unwrap();
        assert_eq!((&*wanted.host, wanted.origin), ("", None));
        assert_eq!(&*checked("GET /?transport=sse HTTP/1.0", "Host: a\r\n").unwrap().host, "a");
    }

    #[test]
    fn heads() {
        let stream = Opening::Stream.head(Some("fanwire.v1.json"), &["A: b".into(), "C: d".into()]);
        let text = str::from_utf8(&stream).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream"), "{text}");
        assert!(text.ends_with("\r\nConnection: close\r\nA: b\r\nC: d\r\n\r\n"), "{text}");
        assert!(!text.contains("Content-Length") && !text.contains("Transfer-Encoding"));
        let whole = String::from_utf8(response(&Opening::Poll.head(None, &["A: b".into()]), b"data: x\n\n")).unwrap();
        assert!(whole.ends_with("Connection: close\r\nA: b\r\nContent-Length: 9\r\n\r\ndata: x\n\n"), "{whole}");
        let upgrade = Opening::WebSocket { accept_key: [b'k'; 28], agreement: None };
        assert_eq!(*upgrade.head(Some("p"), &["A: b".into()]), *switching(&[b'k'; 28], Some("p"), None));
        assert_eq!(upgrade.deflate(), Deflate::None);
        let agreement = Agreement { deflate: Deflate::Window9, is_window_asked: true };
        let upgrade = Opening::WebSocket { accept_key: [b'k'; 28], agreement: Some(agreement) };
        let head = String::from_utf8(upgrade.head(None, &[]).into()).unwrap();
        assert!(head.contains(&format!("\r\nSec-WebSocket-Extensions: {agreement}\r\n")), "{head}");
        assert_eq!(upgrade.deflate(), Deflate::Window9);
        let names = [upgrade, Opening::Stream, Opening::Poll].map(|opening| (opening.name(), opening.status()));
        assert_eq!(names, [("websocket", 101), ("sse", 200), ("long-poll", 200)]);
    }
}
