//! What carries a client's messages and the server's, and the requests of those transports that are no WebSocket
//! (docs/transports.md). Pure: bytes out. Not the answers, which are `reply.rs` and `event_stream.rs`.

/// A transport of Fanwire's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// Frames in both directions.
    #[default]
    #[value(name = "websocket")]
    WebSocket,
    /// An event stream, and POSTs for what the client says.
    #[value(name = "sse")]
    Sse,
    /// GETs that wait, and POSTs for what the client says.
    #[value(name = "long-poll")]
    LongPoll,
}

impl Transport {
    /// Its name in requests and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::LongPoll => "long-poll",
        }
    }
}

/// Asks for a link of `transport` at `path`, for the subprotocol `protocol`, or raw without one.
#[must_use]
pub fn opening(path: &str, transport: Transport, protocol: Option<&str>, token: Option<&str>) -> Vec<u8> {
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let protocol = protocol.unwrap_or("fanwire.v1.raw");
    format!(
        "GET {path}?transport={}&protocol={protocol} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n{bearer}\r\n",
        transport.name()
    )
    .into_bytes()
}

/// Asks a long-polling link for what came after the first `received` counted messages, which it acknowledges.
#[must_use]
pub fn poll(path: &str, link: &str, received: u64) -> Vec<u8> {
    format!("GET {path}?link={link}&received={received} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n")
        .into_bytes()
}

/// Carries lines of the client's messages, as the POST with this number of the link.
#[must_use]
pub fn post(path: &str, link: &str, number: u64, lines: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path}?link={link}&number={number} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n",
        lines.len()
    );
    [head.as_bytes(), lines].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_protocols() {
        let opened = opening("/rooms/7", Transport::Sse, None, Some("a.b"));
        let wanted =
            b"GET /rooms/7?transport=sse&protocol=fanwire.v1.raw HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\
            Authorization: Bearer a.b\r\n\r\n";
        assert_eq!(opened, wanted);
        let opened = opening("/", Transport::LongPoll, Some("fanwire.v1.json"), None);
        assert!(opened.starts_with(b"GET /?transport=long-poll&protocol=fanwire.v1.json HTTP/1.1\r\n"));
        assert!(poll("/", "n.1", 7).starts_with(b"GET /?link=n.1&received=7 HTTP/1.1\r\n"));
        let posted = post("/", "n.1", 2, b"{}\n");
        assert!(posted.starts_with(b"POST /?link=n.1&number=2 HTTP/1.1\r\n"));
        assert!(posted.ends_with(b"\r\nContent-Length: 3\r\n\r\n{}\n"));
    }
}
