//! The states of a newcomer.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::admission::Place;
use crate::newcomers::{ListenerOptions, Request, Stream};
use crate::queues::events::Events;
use crate::slots::ConnId;
use crate::wire::refusal::Refusal;

#[derive(Debug)]
pub(super) enum State<L> {
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
    /// Whether the host reads and writes it.
    pub(super) is_hosted: bool,
}

/// A newcomer whose request head is incomplete.
#[derive(Debug)]
pub(super) struct Reading<L> {
    pub(super) peer: Peer<L>,
    pub(super) address: Option<IpAddr>,
    pub(super) is_secure: bool,
    pub(super) options: ListenerOptions,
    /// Whether the host had it, and has given it back because of an upgrade request.
    pub(super) is_back: bool,
    /// The length of the PROXY header, which stands before the request head.
    pub(super) header_len: usize,
    /// The refusal, if it was refused when it was accepted. The answer is sent after its request was read: unread bytes
    /// would make the kernel reset the connection, and the answer would be lost.
    pub(super) refusal: Option<Box<Refusal>>,
    /// The bytes that have come.
    pub(super) received: Vec<u8>,
    /// The descriptor for the host, which does the TLS, until the host has fetched it.
    pub(super) fd: Option<OwnedFd>,
    pub(super) due_us: u64,
}

/// A newcomer that waits for the host's answer.
#[derive(Debug)]
pub(super) struct Asking<L> {
    pub(super) peer: Peer<L>,
    pub(super) address: Option<IpAddr>,
    /// The request, until the host has fetched it.
    pub(super) request: Option<Box<Request>>,
    pub(super) accept_key: [u8; 28],
    pub(super) subprotocol: Option<&'static str>,
    /// The bytes behind the head.
    pub(super) rest: Vec<u8>,
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
    /// Its link, the bytes that have come, and whether they came by TLS, until the host has fetched them.
    pub(super) news: Option<(L, Vec<u8>, bool)>,
}

impl<L> State<L> {
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self, Self::Reading(_) | Self::Asking(_))
    }

    pub(super) fn is_leaving(&self) -> bool {
        match self {
            Self::Reading(reading) => reading.refusal.is_some(),
            Self::Lingering(_) => true,
            Self::Asking(_) | Self::Handed(_) => false,
        }
    }

    pub(super) fn due_us(&self) -> Option<u64> {
        match self {
            Self::Reading(reading) => Some(reading.due_us),
            Self::Asking(asking) => Some(asking.due_us),
            Self::Lingering(lingering) => Some(lingering.due_us),
            Self::Handed(_) => None,
        }
    }
}

impl<L> Reading<L> {
    pub(super) fn new(link: L, options: ListenerOptions, address: Option<IpAddr>) -> Self {
        Self {
            peer: Peer { link, place: None, is_watched: false, is_hosted: false },
            address,
            is_secure: false,
            options,
            is_back: false,
            header_len: 0,
            refusal: None,
            received: Vec::new(),
            fd: None,
            due_us: 0,
        }
    }
}

impl<L: Stream> Peer<L> {
    /// Watches the socket, unless the host reads it. Returns false if that fails.
    pub(super) fn watch(&mut self, id: ConnId) -> bool {
        self.is_watched = self.is_watched || self.is_hosted || self.link.watch(id).is_ok();
        self.is_watched
    }

    pub(super) fn host(self, id: ConnId, events: &Arc<Events>) -> io::Result<(Self, OwnedFd)> {
        let (link, fd) = self.link.host(id, events)?;
        Ok((Self { link, place: self.place, is_watched: true, is_hosted: true }, fd))
    }
}
