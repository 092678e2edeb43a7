//! The rules of a port: which hosts and origins are accepted, and which proxies are trusted. Pure.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::admission::proxies::Proxies;
use crate::wire::http_head::RequestHead;
use crate::wire::opening::{Opening, Wanted};
use crate::wire::origin::{is_same_origin, name_of};
use crate::wire::refusal::Refusal;

/// The rules of a port.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// The accepted names in `Host`, in lower case; none: any.
    hosts: Option<Vec<String>>,
    /// The accepted values of `Origin`.
    origins: Option<Vec<String>>,
    /// The trusted proxies.
    pub proxies: Proxies,
}

/// What the rules say about an accepted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The client's address, behind trusted proxies the one that they name; none for a Unix socket.
    pub address: Option<IpAddr>,
    /// The same as text; "" for a Unix socket.
    pub remote: String,
    /// Whether the client speaks TLS, to us or to a trusted proxy.
    pub is_secure: bool,
    /// Whether its cookies may be trusted: its page has the server's own origin or a configured one.
    pub is_origin_allowed: bool,
}

impl Entry {
    /// Creates rules.
    ///
    /// `hosts` are the accepted names in `Host`; none: any. `origins` are the accepted values of `Origin`, compared
    /// exactly; none: all, but cookies are trusted only from the server's own origin. A request without `Origin` does
    /// not come from a browser and is accepted. `proxies` are the trusted proxies.
    pub fn new(hosts: Option<Vec<String>>, origins: Option<Vec<String>>, proxies: Proxies) -> Self {
        let hosts = hosts.map(|hosts| hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect());
        Self { hosts, origins, proxies }
    }

    /// Checks a request.
    ///
    /// The refusal has the status 421 for another host, 403 for an origin that is not accepted, and 400 if a trusted
    /// proxy has forwarded a value that is not ASCII.
    pub fn look(
        &self,
        head: &RequestHead,
        bytes: &[u8],
        wanted: &Wanted,
        peer: Option<IpAddr>,
        is_tls: bool,
    ) -> Result<Asked, Refusal> {
        if self.hosts.as_ref().is_some_and(|hosts| !hosts.contains(&name_of(&wanted.host))) {
            return Err(Refusal::new(421, format!("host {} is not one of hosts", wanted.host)));
        }
        let (mut address, mut is_secure) = (peer.map(|peer| peer.to_canonical()), is_tls);
        if self.proxies.trusts(address) {
            let forwarded_for = joined(head, bytes, "x-forwarded-for")?;
            let forwarded_proto = joined(head, bytes, "x-forwarded-proto")?;
            if !forwarded_for.is_empty() {
                address = self.proxies.client(address, &forwarded_for);
            }
            let proto = forwarded_proto.trim_ascii();
            is_secure |= proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss");
        }
        let is_ours = |origin: &str| is_same_origin(origin, &wanted.host, is_secure);
        let is_origin_allowed = match (&self.origins, wanted.origin.as_deref()) {
            // A page names no origin when it fetches from its own. The browser alone writes this header, which only
            // clients without a user can make up (Fetch Metadata Request Headers).
            // With an upgrade every browser names its origin.
            (origins, None)
                if !matches!(wanted.opening, Opening::WebSocket { .. })
                    && head.values(bytes, "sec-fetch-site").eq([b"same-origin"]) =>
            {
                origins.as_ref().is_none_or(|origins| origins.iter().any(|origin| is_ours(origin)))
            }
            (_, None) => false,
            (None, Some(origin)) => is_ours(origin),
            (Some(origins), Some(origin)) => {
                if !origins.iter().any(|allowed| allowed == origin) {
                    return Err(Refusal::new(403, format!("origin {origin} is not one of origins")));
                }
                true
            }
        };
        let remote = address.map(|address| address.to_string()).unwrap_or_default();
        Ok(Asked { address, remote, is_secure, is_origin_allowed })
    }

    /// Returns the header lines that let a page read the answer to its request (CORS). None for a page whose origin is
    /// not accepted, and for a request that names none. Where all origins are accepted, a page of another one is let in
    /// without cookies.
    pub fn cors(&self, head: &RequestHead, bytes: &[u8]) -> Vec<Cow<'static, str>> {
        let mut values = head.values(bytes, "origin").map(str::from_utf8);
        let (Some(Ok(origin)), None) = (values.next(), values.next()) else { return Vec::new() };
        let mut lines: Vec<Cow<'static, str>> = match &self.origins {
            None => vec!["Access-Control-Allow-Origin: *".into()],
            Some(origins) if origins.iter().any(|allowed| allowed == origin) => vec![
                format!("Access-Control-Allow-Origin: {origin}").into(),
                "Access-Control-Allow-Credentials: true".into(),
                "Vary: Origin".into(),
            ],
            Some(_) => return Vec::new(),
        };
        lines.push("Access-Control-Expose-Headers: Retry-After".into());
        lines
    }
}

/// Joins the values of a header of a trusted proxy with commas.
fn joined(head: &RequestHead, bytes: &[u8], name: &'static str) -> Result<String, Refusal> {
    let mut all = String::new();
    for value in head.values(bytes, name) {
        if !value.is_ascii() {
            return Err(Refusal::bad(format!("header {name} is not ASCII")));
        }
        if !all.is_empty() {
            all.push(',');
        }
        all.extend(value.iter().map(|&byte| char::from(byte)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
