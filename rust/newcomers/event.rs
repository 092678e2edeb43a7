//! What the host is told of newcomers, and what it gets when it lets one in.

use std::os::fd::OwnedFd;

use crate::admission::Place;

/// News of a newcomer for the host.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of the fields say it all")]
pub enum NewcomerEvent {
    /// An upgrade request, which the host must accept or refuse.
    Request(Box<Request>),
    /// A plain HTTP request, which the host answers itself. It gets the bytes that have come, and the socket unless it
    /// has that already because it does the TLS.
    Http { fd: Option<OwnedFd>, data: Vec<u8>, peer: String, is_secure: bool },
    /// A TLS connection, for which the host must do the TLS.
    Tls { fd: OwnedFd, peer: String },
}

/// An upgrade request.
#[derive(Debug)]
pub struct Request {
    /// Its path and query, as [`Paths`](crate::wire::prefix::Paths) returns them.
    pub target: Box<[u8]>,
    /// Its header lines, unchanged.
    pub headers: Box<[u8]>,
    /// The client's address; "" for a Unix socket.
    pub remote: String,
    /// Whether the client speaks TLS, to us or to a trusted proxy.
    pub is_secure: bool,
    /// Whether the origin is allowed, so that cookies may count as the user's credentials.
    pub is_origin_allowed: bool,
    /// The subprotocol to answer with.
    pub subprotocol: Option<&'static str>,
}

/// A newcomer that was accepted.
#[derive(Debug)]
pub struct Accepted<L> {
    /// Its link. Nothing was written to it yet.
    pub link: L,
    /// Its place among the connections, to keep as long as the link.
    pub place: Option<Place>,
    /// The value of `Sec-WebSocket-Accept`.
    pub accept_key: [u8; 28],
    /// The subprotocol to answer with.
    pub subprotocol: Option<&'static str>,
    /// The bytes behind the head.
    pub rest: Box<[u8]>,
}
