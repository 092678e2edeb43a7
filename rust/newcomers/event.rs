//! What the host is told of newcomers, and what it gets when it lets one in.

use std::os::fd::OwnedFd;

use crate::admission::Place;

/// What the host is told of a newcomer.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields say nothing but their names")]
pub enum NewcomerEvent {
    /// It asks to come in.
    Request(Box<Request>),
    /// It speaks plain HTTP, and is the host's: by its socket, unless the host speaks TLS with it, and with what has come.
    Http { fd: Option<OwnedFd>, data: Vec<u8>, peer: String, is_secure: bool },
    /// The host is to speak TLS with it.
    Tls { fd: OwnedFd, peer: String },
}

/// An upgrade request.
#[derive(Debug)]
pub struct Request {
    /// Its path and query, as [`Paths`] has them.
    pub target: Box<[u8]>,
    /// Its header lines, as they came.
    pub headers: Box<[u8]>,
    /// The client's address; "" for a Unix socket.
    pub remote: String,
    /// Whether the client speaks TLS, to us or to a trusted proxy.
    pub is_secure: bool,
    /// Whether the client's cookies may be believed.
    pub is_origin_allowed: bool,
    /// The one to answer with.
    pub subprotocol: Option<&'static str>,
}

/// A newcomer that was let in.
#[derive(Debug)]
pub struct Accepted<L> {
    /// Its link, to which nothing was written.
    pub link: L,
    /// Its place, for as long as the link lives.
    pub place: Option<Place>,
    /// The value of `Sec-WebSocket-Accept`.
    pub accept_key: [u8; 28],
    /// The subprotocol to answer with.
    pub subprotocol: Option<&'static str>,
    /// What followed the head.
    pub rest: Box<[u8]>,
}
