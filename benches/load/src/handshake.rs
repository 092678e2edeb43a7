//! The opening handshake (RFC 6455 4) of both ends, as far as a bench needs it. Not a validator of hostile peers.

use tungstenite::handshake::derive_accept_key;

/// The nonce of the RFC's own example (1.3) and what it must be answered with. One for all connections: a nonce only
/// defends against caches, and a constant spares the client ten thousand SHA-1 sums in a connect storm.
pub const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// No head of a handshake here is longer; one that is ends the connection.
pub const LIMIT: usize = 8192;

/// A client's request for `path`, with the subprotocol it wants and the token that says who it is.
#[must_use]
pub fn request(path: &str, subprotocol: Option<&str>, token: Option<&str>) -> Vec<u8> {
    offering(path, subprotocol, token, None)
}

/// The same with the extensions that the client offers.
#[must_use]
pub fn offering(path: &str, subprotocol: Option<&str>, token: Option<&str>, extensions: Option<&str>) -> Vec<u8> {
    let wanted = subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
    let offered = extensions.map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n")).unwrap_or_default();
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {NONCE}\r\nSec-WebSocket-Version: 13\r\n{wanted}{offered}{bearer}\r\n"
    )
    .into_bytes()
}

/// How long the head at the beginning of `bytes` is, its empty line included; `None` while it is cut.
#[must_use]
pub fn head_size(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

/// Whether `head` is the 101 that answers [`request`] with the same subprotocol.
#[must_use]
pub fn accepted(head: &[u8], subprotocol: Option<&str>) -> bool {
    let Ok(text) = std::str::from_utf8(head) else { return false };
    text.starts_with("HTTP/1.1 101")
        && header(text, "sec-websocket-accept") == Some(ACCEPT)
        && header(text, "sec-websocket-protocol") == subprotocol
}

/// The path and the 101 for a client's `head`; `None` when it asks for no WebSocket.
#[must_use]
pub fn response(head: &[u8]) -> Option<(String, Vec<u8>)> {
    let text = std::str::from_utf8(head).ok()?;
    let path = text.strip_prefix("GET ")?.split(' ').next()?.to_owned();
    let accept = derive_accept_key(header(text, "sec-websocket-key")?.as_bytes());
    let reply = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Some((path, reply.into_bytes()))
}

/// The value of a field of a head.
#[must_use]
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_request_is_answered_and_our_answer_is_accepted() {
        let (path, reply) = response(&request("/rooms/7", None, Some("a.b.c"))).unwrap_or_default();
        assert_eq!(path, "/rooms/7");
        assert_eq!(head_size(&reply), Some(reply.len()));
        assert!(accepted(&reply, None));
        // A server that knows no subprotocols speaks raw, which a session cannot.
        assert!(!accepted(&reply, Some("a")));
    }

    #[test]
    fn a_refusal_a_wrong_accept_and_a_cut_head_are_none() {
        assert!(!accepted(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", None));
        assert!(!accepted(b"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: AAAA\r\n\r\n", None));
        assert_eq!(head_size(b"HTTP/1.1 101 X\r\n\r"), None);
        assert!(response(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").is_none());
    }
}
