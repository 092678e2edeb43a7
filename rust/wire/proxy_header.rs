//! The PROXY protocol, versions 1 and 2: the header in which a TCP proxy names its client. Pure.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::net::SocketAddr;

use memchr::memmem;
use ppp::{v1, v2};

use crate::wire::refusal::Refusal;

/// Parses a header at the beginning of what a proxy has sent.
///
/// None: the header is incomplete. Otherwise returns its length and the client's address; no address if the proxy
/// speaks for itself (LOCAL) or does not know one (UNKNOWN, a Unix socket, a datagram). Refusals are final.
pub fn parse(bytes: &[u8]) -> Result<Option<(usize, Option<SocketAddr>)>, Refusal> {
    if begins(bytes, SIGNATURE) {
        binary(bytes)
    } else if begins(bytes, TEXT) {
        text(bytes)
    } else {
        Err(bad())
    }
}

/// Whether these bytes begin with a mark, as far as they have come.
fn begins(bytes: &[u8], mark: &[u8]) -> bool {
    let len = bytes.len().min(mark.len());
    bytes[..len] == mark[..len]
}

fn text(bytes: &[u8]) -> Result<Option<(usize, Option<SocketAddr>)>, Refusal> {
    let within = &bytes[..bytes.len().min(MAX_TEXT)];
    let Some(end) = memmem::find(within, b"\r\n") else {
        return if bytes.len() < MAX_TEXT { Ok(None) } else { Err(bad()) };
    };
    let (len, line) = (end + 2, &within[..end]);
    // The rest of the line must be ignored.
    if line == UNKNOWN || line.strip_prefix(UNKNOWN).is_some_and(|rest| rest.starts_with(b" ")) {
        return Ok(Some((len, None)));
    }
    let source = match v1::Header::try_from(&within[..len]).map_err(|_| bad())?.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(ip) => Some(SocketAddr::new(ip.source_address.into(), ip.source_port)),
        v1::Addresses::Tcp6(ip) => Some(SocketAddr::new(ip.source_address.into(), ip.source_port)),
    };
    Ok(Some((len, source)))
}

fn binary(bytes: &[u8]) -> Result<Option<(usize, Option<SocketAddr>)>, Refusal> {
    let Some((start, _)) = bytes.split_first_chunk::<16>() else { return Ok(None) };
    let len = start.len() + usize::from(u16::from_be_bytes([start[14], start[15]]));
    if len > MAX_BINARY {
        return Err(bad());
    }
    let Some(header) = bytes.get(..len) else { return Ok(None) };
    // The proxy checks the server's health, and its addresses must be ignored.
    if start[12] == LOCAL {
        return Ok(Some((len, None)));
    }
    let header = v2::Header::try_from(header).map_err(|_| bad())?;
    let source = match header.addresses {
        v2::Addresses::IPv4(ip) if header.protocol == v2::Protocol::Stream => {
            Some(SocketAddr::new(ip.source_address.into(), ip.source_port))
        }
        v2::Addresses::IPv6(ip) if header.protocol == v2::Protocol::Stream => {
            Some(SocketAddr::new(ip.source_address.into(), ip.source_port))
        }
        _ => None,
    };
    Ok(Some((len, source)))
}

fn bad() -> Refusal {
    Refusal::bad("no header of the PROXY protocol")
}

/// The limit on bytes of a header, including its addresses and what follows them.
pub const MAX_PROXY_HEADER: usize = MAX_BINARY;

/// The limit on bytes of a header of version 1, by its specification.
const MAX_TEXT: usize = 107;

/// The limit on bytes of a header of version 2. Addresses have at most 216; certificates and names of the client follow
/// them.
const MAX_BINARY: usize = 4096;

const TEXT: &[u8] = b"PROXY ";
const UNKNOWN: &[u8] = b"PROXY UNKNOWN";
const SIGNATURE: &[u8] = v2::PROTOCOL_PREFIX;

/// Version 2, command LOCAL.
const LOCAL: u8 = 0x20;

#[cfg(test)]
mod tests;
