//! Checks an upgrade request, and builds the response that accepts it (RFC 6455 sections 4.1 and 4.2). Pure.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

use crate::wire::deflate_offer::Agreement;
use crate::wire::http_head::RequestHead;
use crate::wire::origin::split_host;
use crate::wire::refusal::Refusal;
use crate::wire::table::SUBPROTOCOLS;

/// A valid upgrade request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`, in ASCII.
    pub accept_key: [u8; 28],
    /// Its `Host`: a name or address, perhaps with a port.
    pub host: Box<str>,
    /// Its `Origin`; none if it does not come from a browser.
    pub origin: Option<Box<str>>,
    /// The subprotocol to answer with; none if it offered none that we support.
    pub subprotocol: Option<&'static str>,
}

/// Checks a request for a WebSocket.
///
/// The refusal has the status 426 for another version of the protocol, and 400 for everything else.
pub fn check(head: &RequestHead, bytes: &[u8]) -> Result<Upgrade, Refusal> {
    if &*head.method != "GET" || !head.is_http11 {
        return Err(Refusal::bad("an upgrade is a GET of HTTP/1.1"));
    }
    check_parts(head, bytes)?;
    let host = one(head, bytes, "host")?;
    if split_host(host).is_none() {
        return Err(Refusal::bad("the Host is not a name or an address"));
    }
    if one(head, bytes, "sec-websocket-version")? != "13" {
        return Err(Refusal::new(426, "Sec-WebSocket-Version must be 13")
            .with("Sec-WebSocket-Version: 13")
            .with("Upgrade: websocket"));
    }
    let accept_key = accept_key(one(head, bytes, "sec-websocket-key")?)?;
    let origin = head.values(bytes, "origin").next().and_then(|value| str::from_utf8(value).ok()).map(Into::into);
    let offers = head.values(bytes, "sec-websocket-protocol").flat_map(|value| value.split(|&byte| byte == b','));
    // The first of the client's offers that we support: their order is its preference (RFC 6455 section 4.1).
    let subprotocol =
        offers.map(<[u8]>::trim_ascii).find_map(|offer| SUBPROTOCOLS.into_iter().find(|name| name.as_bytes() == offer));
    Ok(Upgrade { accept_key, host: host.into(), origin, subprotocol })
}

/// Checks the parts that any request for a connection has: its target, its headers, and that it has no body.
pub fn check_parts(head: &RequestHead, bytes: &[u8]) -> Result<(), Refusal> {
    for (name, value) in &head.headers {
        let (name, value) = (&bytes[name.clone()], &bytes[value.clone()]);
        if !value.is_ascii() && is_read_here(name) {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            return Err(Refusal::bad(format!("header {name} is not ASCII")));
        }
    }
    let target = &bytes[head.target.clone()];
    if !target.is_ascii() || !target.starts_with(b"/") || target.contains(&b'#') {
        return Err(Refusal::bad("the target is not an ASCII path"));
    }
    let is_length = |value: &[u8]| value == b"0";
    if head.values(bytes, "transfer-encoding").next().is_some()
        || head.values(bytes, "content-length").count() > 1
        || !head.values(bytes, "content-length").all(is_length)
    {
        // One reader would take what follows for a body and another for frames: request smuggling.
        return Err(Refusal::bad("a request for a connection has no body"));
    }
    for name in SINGLE {
        if head.values(bytes, name).count() > 1 {
            // A proxy may have read another of these headers than we would.
            return Err(Refusal::bad(format!("more than one header {name}")));
        }
    }
    Ok(())
}

/// Returns the 101 response that accepts a request (RFC 6455 section 4.2.2).
pub fn switching(accept_key: &[u8; 28], subprotocol: Option<&str>, agreement: Option<Agreement>) -> Vec<u8> {
    let mut answer = Vec::with_capacity(192);
    answer.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    answer.extend_from_slice(accept_key);
    if let Some(subprotocol) = subprotocol {
        answer.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        answer.extend_from_slice(subprotocol.as_bytes());
    }
    if let Some(agreement) = agreement {
        answer.extend_from_slice(format!("\r\nSec-WebSocket-Extensions: {agreement}").as_bytes());
    }
    answer.extend_from_slice(b"\r\n\r\n");
    answer
}

/// Returns the value of a header that must occur exactly once.
fn one<'a>(head: &'a RequestHead, bytes: &'a [u8], name: &'static str) -> Result<&'a str, Refusal> {
    let mut values = head.values(bytes, name);
    match (values.next().map(str::from_utf8), values.count()) {
        (Some(Ok(value)), 0) => Ok(value),
        (None, _) => Err(Refusal::bad(format!("no header {name}"))),
        _ => Err(Refusal::bad(format!("more than one header {name}"))),
    }
}

fn accept_key(key: &str) -> Result<[u8; 28], Refusal> {
    let mut nonce = [0; 18];
    match NONCE.decode_slice(key, &mut nonce) {
        Ok(16) => {}
        _ => return Err(Refusal::bad("the key is not base64 of 16 bytes")),
    }
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    match base64::engine::general_purpose::STANDARD.encode_slice(hash, &mut accept) {
        Ok(28) => Ok(accept),
        _ => Err(Refusal::new(500, "the key could not be answered")),
    }
}

/// Whether this module reads a header. Values of other headers may have any bytes (RFC 9110 section 5.5): a proxy adds
/// the city of its client, a website a cookie in its own language.
fn is_read_here(name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    ["host", "origin", "upgrade", "connection", "content-length", "transfer-encoding"].into_iter().any(is)
        || name.get(..SEC.len()).is_some_and(|start| start.eq_ignore_ascii_case(SEC))
}

/// Headers that may occur at most once.
const SINGLE: [&str; 5] = ["host", "origin", "authorization", "upgrade", "x-forwarded-proto"];

const SEC: &[u8] = b"sec-websocket-";

/// The text that RFC 6455 section 1.3 appends to a key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Some clients make up the letters of a key, so that bits are set that belong to no byte. This is harmless, so it is
/// accepted.
const NONCE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

#[cfg(test)]
pub(crate) mod tests;
