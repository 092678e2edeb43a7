//! Request heads: bytes cut in any way give one head or refusal within the limits, and an accepted upgrade is
//! valid.
#![no_main]

use arbitrary::Arbitrary;
use fanwire::admission::entry::Entry;
use fanwire::admission::proxies::Proxies;
use fanwire::wire::http_head::{HeadLimits, RequestHead, is_websocket, parse};
use fanwire::wire::refusal::Refusal;
use fanwire::wire::table::SUBPROTOCOLS;
use fanwire::wire::websocket_handshake::{Upgrade, check, switching};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    max_bytes: u16,
    max_headers: u8,
    sizes: Vec<u8>,
    peer: [u8; 4],
    is_tls: bool,
    parts: Vec<Part<'a>>,
}

/// A part of what a peer sends: a part of a valid request, or anything.
#[derive(Debug, Arbitrary)]
enum Part<'a> {
    First(&'a str),
    Upgrade,
    Header(Name, &'a [u8]),
    Known(Name, Value),
    End,
    Any(&'a [u8]),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Name {
    Host,
    Origin,
    Protocol,
    Key,
    Version,
    Length,
    Encoding,
    For,
    Proto,
    Connection,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Value {
    Example,
    Page,
    Zero,
    Thirteen,
    Json,
    Address,
    Https,
    Upgrade,
}

fn name(name: Name) -> &'static str {
    match name {
        Name::Host => "Host",
        Name::Origin => "Origin",
        Name::Protocol => "Sec-WebSocket-Protocol",
        Name::Key => "Sec-WebSocket-Key",
        Name::Version => "Sec-WebSocket-Version",
        Name::Length => "Content-Length",
        Name::Encoding => "Transfer-Encoding",
        Name::For => "X-Forwarded-For",
        Name::Proto => "X-Forwarded-Proto",
        Name::Connection => "Connection",
    }
}

fn value(value: Value) -> &'static [u8] {
    match value {
        Value::Example => b"example.com:80",
        Value::Page => b"https://example.com",
        Value::Zero => b"0",
        Value::Thirteen => b"13",
        Value::Json => b"x, fanwire.v1.json",
        Value::Address => b"192.0.2.1, [::1]:80, 10.0.0.1",
        Value::Https => b"https",
        Value::Upgrade => b"close, upgrade",
    }
}

fn bytes_of(parts: &[Part<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        match *part {
            Part::First(target) => bytes.extend(format!("GET /{target} HTTP/1.1\r\n").into_bytes()),
            Part::Upgrade => bytes.extend(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            ),
            Part::Header(of, value) => bytes.extend([name(of).as_bytes(), b": ", value, b"\r\n"].concat()),
            Part::Known(of, is) => bytes.extend([name(of).as_bytes(), b": ", value(is), b"\r\n"].concat()),
            Part::End => bytes.extend(b"\r\n"),
            Part::Any(any) => bytes.extend(any),
        }
    }
    bytes.truncate(4096);
    bytes
}

/// The result for bytes in parts.
fn read(bytes: &[u8], limits: &HeadLimits, sizes: &mut dyn Iterator<Item = usize>) -> Result<Option<RequestHead>, u16> {
    let mut end = 0;
    while end < bytes.len() {
        end = (end + sizes.next().unwrap_or(bytes.len()).max(1)).min(bytes.len());
        match parse(&bytes[..end], limits) {
            Ok(None) => assert!(end <= limits.max_bytes),
            done => return done.map_err(|refusal| status_of(&refusal)),
        }
    }
    Ok(None)
}

/// The status of a refusal. Its response is one response, without anything that came from the peer.
fn status_of(refusal: &Refusal) -> u16 {
    let answer = String::from_utf8(refusal.response()).expect("text");
    assert!(answer.starts_with(&format!("HTTP/1.1 {} ", refusal.status)));
    assert_eq!(answer.matches("\r\n\r\n").count(), 1);
    assert!(answer.len() < 250 && refusal.headers.len() <= 2);
    refusal.status
}

/// Checks what holds for every accepted upgrade.
fn inspect(head: &RequestHead, bytes: &[u8], upgrade: &Upgrade) {
    let head_bytes = &bytes[..head.len];
    for forbidden in [b"\0".as_slice(), b"\n\n", b"\r\r"] {
        assert!(!head_bytes.windows(forbidden.len()).any(|window| window == forbidden));
    }
    for once in ["host", "upgrade", "sec-websocket-key", "sec-websocket-version"] {
        assert_eq!(head.values(bytes, once).count(), 1, "{once}");
    }
    assert_eq!(head.values(bytes, "transfer-encoding").count(), 0);
    assert!(head.values(bytes, "content-length").all(|length| length == b"0"));
    assert!(bytes[head.target.clone()].is_ascii() && bytes[head.target.start] == b'/');
    assert!(upgrade.subprotocol.is_none_or(|name| SUBPROTOCOLS.contains(&name)));
    let answer = String::from_utf8(switching(&upgrade.accept_key, upgrade.subprotocol, None)).expect("text");
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\n"));
}

fuzz_target!(|input: Input<'_>| {
    let bytes = bytes_of(&input.parts);
    let limits = HeadLimits { max_bytes: usize::from(input.max_bytes), max_headers: usize::from(input.max_headers) };
    let whole = read(&bytes, &limits, &mut std::iter::once(bytes.len()));
    assert_eq!(whole, read(&bytes, &limits, &mut std::iter::repeat(1)));
    assert_eq!(whole, read(&bytes, &limits, &mut input.sizes.iter().map(|&size| usize::from(size))));
    let Ok(Some(head)) = whole else { return };
    assert!(head.len <= limits.max_bytes && head.headers.len() <= limits.max_headers);
    if !is_websocket(&head, &bytes) {
        return;
    }
    match check(&head, &bytes) {
        Err(refusal) => assert!(matches!(status_of(&refusal), 400 | 426)),
        Ok(upgrade) => {
            inspect(&head, &bytes, &upgrade);
            let proxies = Proxies::new(&["10.0.0.0/8", "128.0.0.0/1"]).expect("networks");
            let hosts = input.is_tls.then(|| vec!["example.com".to_owned()]);
            let origins = (input.sizes.len() % 2 == 1).then(|| vec!["https://example.com".to_owned()]);
            let entry = Entry::new(hosts, origins, proxies);
            match entry.look(&head, &bytes, &upgrade.into(), Some(input.peer.into()), input.is_tls) {
                Ok(asked) => assert_eq!(asked.address.map(|address| address.to_string()), Some(asked.remote)),
                Err(refusal) => assert!(matches!(status_of(&refusal), 400 | 403 | 421)),
            }
        }
    }
});
