//! PROXY headers: bytes cut in any way give one header within its limits, and a header built by the
//! specification is read as it was built.
#![no_main]

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use arbitrary::Arbitrary;
use fanwire::wire::proxy_header::{MAX_PROXY_HEADER, parse};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Any(&'a [u8]),
    Text(&'a [u8]),
    Binary { command: u8, family: u8, payload: &'a [u8] },
    Good { is_text: bool, source: Address, destination: Address, more: &'a [u8] },
}

#[derive(Debug, Arbitrary)]
enum Address {
    V4([u8; 4], u16),
    V6([u16; 8], u16),
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

type Parsed = Result<Option<(usize, Option<SocketAddr>)>, u16>;

fn parsed(bytes: &[u8]) -> Parsed {
    parse(bytes).map_err(|refusal| refusal.status)
}

fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[command, family], &(payload.len() as u16).to_be_bytes(), payload].concat()
}

/// A header and its source. Both addresses are of the family of the first.
fn good(is_text: bool, source: &Address, destination: &Address, more: &[u8]) -> (Vec<u8>, SocketAddr) {
    let (from, to): (SocketAddr, SocketAddr) = match (source, destination) {
        (&Address::V4(from, port), &Address::V4(to, _)) => {
            (SocketAddrV4::new(from.into(), port).into(), SocketAddrV4::new(to.into(), 1).into())
        }
        (&Address::V4(from, port), _) => (SocketAddrV4::new(from.into(), port).into(), ([1, 1, 1, 1], 1).into()),
        (&Address::V6(from, port), _) => {
            (SocketAddrV6::new(from.into(), port, 0, 0).into(), ([0, 0, 0, 0, 0, 0, 0, 1u16], 1).into())
        }
    };
    if is_text {
        let name = if from.is_ipv4() { "TCP4" } else { "TCP6" };
        let line = format!("PROXY {name} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
        return (line.into_bytes(), from);
    }
    let mut payload = Vec::new();
    for address in [from, to] {
        match address {
            SocketAddr::V4(address) => payload.extend(address.ip().octets()),
            SocketAddr::V6(address) => payload.extend(address.ip().octets()),
        }
    }
    payload.extend(from.port().to_be_bytes());
    payload.extend(to.port().to_be_bytes());
    payload.extend(more);
    (binary(0x21, if from.is_ipv4() { 0x11 } else { 0x21 }, &payload), from)
}

fuzz_target!(|input: Input<'_>| {
    let bytes = match input {
        Input::Any(any) => any.to_vec(),
        Input::Text(text) => [b"PROXY ", text, b"\r\n"].concat(),
        Input::Binary { command, family, payload } => binary(command, family, &payload[..payload.len().min(5000)]),
        Input::Good { is_text, source, destination, more } => {
            let (bytes, from) = good(is_text, &source, &destination, &more[..more.len().min(1000)]);
            assert_eq!(parsed(&bytes), Ok(Some((bytes.len(), Some(from)))));
            [&bytes, more].concat()
        }
    };
    let whole = parsed(&bytes);
    let first = (0..=bytes.len()).map(|len| parsed(&bytes[..len])).find(|result| *result != Ok(None));
    assert_eq!(whole, first.unwrap_or(Ok(None)));
    match whole {
        Ok(None) => assert!(bytes.len() < MAX_PROXY_HEADER),
        Ok(Some((len, _))) => assert!(len <= bytes.len().min(MAX_PROXY_HEADER)),
        Err(status) => assert_eq!(status, 400),
    }
});
