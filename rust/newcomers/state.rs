//! The states of a newcomer.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use crate::admission::Place;
use crate::newcomers::{ListenerOptions, Request, Stream};
use crate::slots::ConnId;
use crate::tls::info::TlsInfo;
use crate::wire::opening::Opening;
use crate::wire::refusal::Refusal;

#[derive(Debug)]
pub(super) enum State<L> {
    Securing(Securing),
    Reading(Reading<L>),
    Asking(Asking<L>),
    Lingering(Lingering<L>),
    Handed(Handed<L>),
}

#[derive(Debug)]
pub(super) struct Peer<L> {
    pub(super) link: L,
    pub(super) place: Option<Place>,
    pub(super) is_watched: bool,
}

/// A newcomer whose TLS handshake is being done elsewhere.
#[derive(Debug)]
pub(super) struct Securing {
    pub(super) place: Option<Place>,
    pub(super) address: Option<IpAddr>,
}

/// A newcomer whose request head is incomplete.
#[derive(Debug)]
pub(super) struct Reading<L> {
    pub(super) peer: Peer<L>,
    pub(super) address: Option<IpAddr>,
    pub(super) is_secure: bool,
    pub(super) tls: Option<Arc<TlsInfo>>,
    pub(super) options: ListenerOptions,
    /// Whether the host had it, and has given it back because its request opens a connection.
    pub(super) is_back: bool,
    /// The header lines of an answer that let a page read it, once the request is known.
    pub(super) cors: Vec<Cow<'static, str>>,
    /// The length of the PROXY header, which stands before the request head.
    pub(super) header_len: usize,
    /// The refusal, if it was refused when it was accepted. The answer is sent after its request was read: unread bytes
    /// would make the kernel reset the connection, and the answer would be lost.
    pub(super) refusal: Option<Box<Refusal>>,
    /// The bytes that have come.
    pub(super) received: Vec<u8>,
    pub(super) due_us: u64,
}

/// A newcomer that waits for the host's answer.
#[derive(Debug)]
pub(super) struct Asking<L> {
    pub(super) peer: Peer<L>,
    pub(super) address: Option<IpAddr>,
    /// The request, until the host has fetched it.
    pub(super) request: Option<Box<Request>>,
    pub(super) opening: Opening,
    pub(super) subprotocol: Option<&'static str>,
    /// The header lines of the answer that let a page read it.
    pub(super) cors: Vec<Cow<'static, str>>,
    /// The bytes behind the head.
    pub(super) rest: Vec<u8>,
    /// When the request was complete.
    pub(super) asked_us: u64,
    pub(super) due_us: u64,
}

/// A newcomer that was answered, and has time to take the answer.
#[derive(Debug)]
pub(super) struct Lingering<L> {
    pub(super) peer: Peer<L>,
    /// Bytes that may still be read.
    pub(super) left: usize,
    pub(super) due_us: u64,
}

/// A newcomer that was handed to the host.
#[derive(Debug)]
pub(super) struct Handed<L> {
    pub(super) place: Option<Place>,
    pub(super) address: Option<IpAddr>,
    pub(super) is_secure: bool,
    pub(super) tls: Option<Arc<TlsInfo>>,
    /// Its link and the bytes that have come, until the host has fetched them.
    pub(super) news: Option<(L, Vec<u8>)>,
}

impl<L> State<L> {
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self, Self::Securing(_) | Self::Reading(_) | Self::Asking(_))
    }

    pub(super) fn is_leaving(&self) -> bool {
        match self {
            Self::Reading(reading) => reading.refusal.is_some(),
            Self::Lingering(_) => true,
            Self::Securing(_) | Self::Asking(_) | Self::Handed(_) => false,
        }
    }

    pub(super) fn due_us(&self) -> Option<u64> {
        match self {
            Self::Reading(reading) => Some(reading.due_us),
            Self::Asking(asking) => Some(asking.due_us),
            Self::Lingering(lingering) => Some(lingering.due_us),
            // Others do its handshake in time.
            Self::Securing(_) | Self::Handed(_) => None,
        }
    }
}

impl<L> Reading<L> {
    pub(super) fn new(link: L, options: ListenerOptions, address: Option<IpAddr>) -> Self {
        Self {
            peer: Peer { link, place: None, is_watched: false },
            address,
            is_secure: false,
            tls: None,
            options,
            is_back: false,
            cors: Vec::new(),
            header_len: 0,
            refusal: None,
            received: Vec::new(),
            due_us: 0,
        }
    }
}

impl<L: Stream> Peer<L> {
    /// Watches the socket. Returns false if that fails.
    pub(super) fn watch(&mut self, id: ConnId) -> bool {
        self.is_watched = self.is_watched || self.link.watch(id).is_ok();
        self.is_watched
    }
}
