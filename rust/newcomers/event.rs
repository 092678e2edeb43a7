//! What the host is told of newcomers, and what it gets when it lets one in.

use std::sync::Arc;

use crate::admission::Place;
use crate::slots::ConnId;
use crate::tls::info::TlsInfo;
use crate::wire::opening::Opening;

/// News of a newcomer for the host. `S` is what a plain HTTP request is answered over.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of the fields say it all")]
pub enum NewcomerEvent<S> {
    /// A request for a connection, which the host must accept or refuse.
    Request(Box<Request>),
    /// A plain HTTP request, which the host answers itself. It gets the bytes that have come, too.
    Http { stream: S, data: Vec<u8>, peer: String, is_secure: bool, tls: Option<Arc<TlsInfo>> },
}

/// A newcomer whose TLS handshake has to be done elsewhere, because it takes much longer than all else here.
#[derive(Debug)]
pub struct Insecure<L> {
    /// The newcomer, for [`Newcomers::secured`](crate::newcomers::Newcomers::secured) or
    /// [`Newcomers::failed`](crate::newcomers::Newcomers::failed).
    pub id: ConnId,
    /// Its link, of which nothing of the handshake was read.
    pub link: L,
    /// When it came.
    pub since_us: u64,
}

/// A request for a connection.
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
    /// The transport; see [`Opening::name`].
    pub transport: &'static str,
    /// What is known of the TLS between the client and us.
    pub tls: Option<Arc<TlsInfo>>,
    /// Whether messages may be compressed, in both directions.
    pub compression: bool,
}

/// A newcomer that was accepted.
#[derive(Debug)]
pub struct Accepted<L> {
    /// Its link. Nothing was written to it yet.
    pub link: L,
    /// Its place among the connections, to keep as long as the link.
    pub place: Option<Place>,
    /// What its request opens.
    pub opening: Opening,
    /// The head of the response; see [`Opening::head`].
    pub head: Box<[u8]>,
    /// The bytes behind the head.
    pub rest: Box<[u8]>,
}
