//! The address of a client behind trusted proxies. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::error::Error;

/// The proxies that are trusted to name their clients.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    networks: Vec<IpNet>,
    /// Whether peers of Unix sockets, which have no address, are trusted.
    has_unix: bool,
}

impl Proxies {
    /// Creates them from addresses and networks, such as "10.0.0.0/8"; "unix" stands for all peers of Unix sockets.
    pub fn new<S: AsRef<str>>(networks: &[S]) -> Result<Self, Error> {
        let names = networks.iter().map(AsRef::as_ref);
        let has_unix = names.clone().any(|name| name == UNIX);
        let networks = names.filter(|&name| name != UNIX).map(network).collect::<Result<_, _>>()?;
        Ok(Self { networks, has_unix })
    }

    /// Whether a peer is a trusted proxy; a peer of a Unix socket has no address.
    pub fn trusts(&self, peer: impl Into<Option<IpAddr>>) -> bool {
        peer.into().map_or(self.has_unix, |address| {
            let address = address.to_canonical();
            self.networks.iter().any(|network| network.contains(&address))
        })
    }

    /// Returns the client's address.
    ///
    /// The last entry of `X-Forwarded-For` is what the nearest proxy has seen; earlier entries are what it was told. So
    /// the entries are read from the end, for as long as they name trusted proxies; the first other address is the
    /// client's. If an entry is no address, the proxy that sent it counts as the client, and its limits apply to all
    /// its clients.
    ///
    /// `forwarded` is the value of the header; several values are joined with commas, in order.
    pub fn client(&self, peer: Option<IpAddr>, forwarded: &str) -> Option<IpAddr> {
        let mut client = peer.map(|peer| peer.to_canonical());
        for entry in forwarded.rsplit(',') {
            if !self.trusts(client) {
                break;
            }
            match parse_address(entry.trim_ascii()) {
                Some(address) => client = Some(address),
                None => break,
            }
        }
        client
    }
}

/// The address or network that counts as one client: for IPv6 the /64, which a single household has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// An IPv4 address.
    V4(u32),
    /// The first half of an IPv6 address.
    V6(u64),
}

impl Network {
    /// Returns the network of an address. An IPv4 address that is written as IPv6 counts as IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(bits) => write!(f, "{}", Ipv4Addr::from_bits(bits)),
            Self::V6(bits) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(bits) << 64)),
        }
    }
}

/// Parses an address as proxies write it, perhaps with a port: `192.0.2.1`, `192.0.2.1:4711`, `::1`, `[::1]:4711`.
fn parse_address(text: &str) -> Option<IpAddr> {
    if text.len() > LONGEST {
        return None;
    }
    let text = if let Some(text) = text.strip_prefix('[') {
        text.split_once(']')?.0
    } else if text.bytes().filter(|&byte| byte == b':').count() == 1 {
        text.split_once(':')?.0
    } else {
        text
    };
    let address = match text.split_once('%') {
        // The zone of an address means something only on the proxy's machine (RFC 4007 section 11.2).
        Some((address, zone)) if !zone.is_empty() && !zone.contains('%') => address.parse::<Ipv6Addr>().ok()?.into(),
        Some(_) => return None,
        None => text.parse::<IpAddr>().ok()?,
    };
    Some(address.to_canonical())
}

fn network(text: &str) -> Result<IpNet, Error> {
    let is_wrong = |why: &str| Error::Invalid(format!("trusted_proxies are addresses or networks: {text:?} {why}"));
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| is_wrong("is neither"))?,
    };
    if network.trunc() != network {
        return Err(is_wrong("has bits set behind its prefix"));
    }
    // IPv4 addresses are compared as such, however they are written.
    Ok(match network {
        IpNet::V6(of) if of.prefix_len() >= MAPPED && of.addr().to_ipv4_mapped().is_some() => {
            match (of.addr().to_ipv4_mapped(), of.prefix_len() - MAPPED) {
                (Some(address), prefix) => Ipv4Net::new(address, prefix).map_err(|_| is_wrong("is neither"))?.into(),
                (None, _) => network,
            }
        }
        _ => network,
    })
}

/// The name for all peers of Unix sockets.
const UNIX: &str = "unix";

/// The limit on characters of an address with its port and zone.
const LONGEST: usize = 64;

/// Bits before an IPv4 address that is written as IPv6 (RFC 4291 section 2.5.5.2).
const MAPPED: u8 = 96;

#[cfg(test)]
mod tests;
