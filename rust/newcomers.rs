//! Newcomers: connections from the moment they were accepted to the answer to their first request.
//!
//! A TLS handshake comes first, if the listener has TLS; another thread does it. Then the head of the request is read,
//! limited in bytes and time. If a limit or a rule refuses the request, it is answered
//! here, and the peer has a second to take the answer. A request that opens no connection (a WebSocket, an event stream,
//! a session whose client polls) goes to the host with its socket. One that does waits until the host accepts or refuses
//! it, and nothing more is read from it meanwhile.
//!
//! A state machine: it has no thread, its links are a parameter, and time is an argument.

use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use crate::admission::Admission;
use crate::admission::entry::Entry;
use crate::limit::Limit;
use crate::protocol::compression::Compression;
use crate::queues::command::Event;
use crate::slots::{ConnId, Ids, MAX_SHARDS, Slots};
use crate::wire::http_head::{HeadLimits, MAX_HEADERS};
use crate::wire::prefix::Paths;
use crate::wire::proxy_header::MAX_PROXY_HEADER;
use crate::wire::refusal::Refusal;

pub use self::event::{Accepted, Insecure, NewcomerEvent, Request};
use self::reading::{late, text_of};
use self::report::HandshakeReport;
pub use self::report::TlsHandshakes;
pub use self::securing::TlsFailure;
use self::state::{Handed, Reading, State};
pub use self::stream::Stream;
use self::timers::{Row, Timers};

/// The settings that all newcomers share.
#[derive(Debug, Clone)]
pub struct NewcomerSettings {
    /// The limit on bytes of a request head.
    pub max_head: usize,
    /// Microseconds in which the head must arrive.
    pub handshake_timeout_us: u64,
    /// The rules of the port for `Host`, `Origin` and proxies.
    pub entry: Entry,
    /// The paths that belong to the server.
    pub paths: Paths,
}

impl Default for NewcomerSettings {
    fn default() -> Self {
        let (entry, paths) = (Entry::default(), Paths::default());
        Self { max_head: 16 << 10, handshake_timeout_us: 5_000_000, entry, paths }
    }
}

/// How the connections of a listener begin.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListenerOptions {
    /// Whether they begin with TLS.
    pub is_tls: bool,
    /// Whether they begin with a header of the PROXY protocol.
    pub has_proxy_header: bool,
}

/// The state machine of all newcomers.
#[derive(Debug)]
pub struct Newcomers<L> {
    settings: NewcomerSettings,
    limits: HeadLimits,
    admission: Admission,
    /// The compression. While it is off, offers of it are not read.
    compression: Arc<Compression>,
    ids: Ids,
    slots: Slots<State<L>>,
    timers: Timers,
    /// The time that [`Self::tick`] has returned; 0 if a timer is due earlier.
    next_us: u64,
    /// Newcomers that are neither accepted, nor refused, nor handed to the host.
    undecided: usize,
    /// Newcomers that were refused and are still connected.
    leaving: usize,
    /// Whether new requests are let in.
    is_open: bool,
    /// What `/readyz` answers.
    is_ready: bool,
    report: HandshakeReport,
    /// Limits that were passed in a dry run, without a consequence.
    ignored: Vec<Limit>,
    /// The buffer of the present read.
    buffer: Box<[u8]>,
    /// Newcomers whose TLS handshake has to begin.
    insecure: Vec<Insecure<L>>,
    events: Vec<Event>,
}

impl<L: Stream> Newcomers<L> {
    /// Creates a state machine without newcomers.
    pub fn new(settings: NewcomerSettings, admission: Admission) -> Self {
        Self {
            limits: HeadLimits { max_bytes: settings.max_head, max_headers: MAX_HEADERS },
            buffer: vec![0; settings.max_head.clamp(MAX_PROXY_HEADER, READ_MAX)].into(),
            settings,
            admission,
            compression: Arc::default(),
            ids: Ids::new(SHARD),
            slots: Slots::default(),
            timers: Timers::default(),
            next_us: 0,
            undecided: 0,
            leaving: 0,
            is_open: true,
            is_ready: false,
            report: HandshakeReport::default(),
            ignored: Vec::new(),
            insecure: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Agrees to compress messages as soon as this compression is switched on.
    pub fn with_compression(self, compression: Arc<Compression>) -> Self {
        Self { compression, ..self }
    }

    /// Adds a connection that was accepted, and reads it at once, because mostly its request has come already.
    pub fn arrive(&mut self, link: L, options: ListenerOptions, address: Option<IpAddr>, now_us: u64) {
        // The ids are used up at four million newcomers. Then the connection is dropped.
        let Some(id) = self.ids.take() else { return };
        let mut reading = Reading::new(link, options, address.map(|address| address.to_canonical()));
        match self.admit(&mut reading, now_us) {
            // An answer would need a TLS handshake, which costs more than the limit saves. The client cannot read one
            // without TLS.
            Err(refusal) if options.is_tls => self.turn_away(id, reading.address, &refusal, now_us),
            Ok(()) if options.is_tls && !options.has_proxy_header => self.begin_tls(id, reading, now_us),
            admitted => {
                reading.refusal = admitted.err().map(Box::new);
                self.read(id, reading, now_us);
            }
        }
        self.count_ignored();
    }

    /// Notes that a newcomer can be read. `is_gone`: it was reset, or both sides are closed.
    pub fn ready(&mut self, id: ConnId, is_gone: bool, now_us: u64) {
        match self.take_state(id) {
            Some(State::Reading(reading)) => self.read(id, reading, now_us),
            Some(State::Asking(_)) if is_gone => self.lose(id),
            Some(State::Asking(asking)) => self.look(id, asking),
            Some(State::Lingering(lingering)) => self.drain(id, lingering),
            Some(state) => self.put_state(id, state),
            None => {}
        }
        self.count_ignored();
    }

    /// Notes that a newcomer that was handed to the host is gone.
    pub fn left(&mut self, id: ConnId) {
        if self.take_state(id).is_some() {
            self.ids.release(id);
        }
    }

    /// Whether a newcomer that was handed to the host speaks TLS to us.
    pub fn has_tls(&mut self, id: ConnId) -> bool {
        matches!(self.slots.get_mut(id), Some(State::Handed(handed)) if handed.tls.is_some())
    }

    /// Takes back a newcomer that was handed to the host and asks for a connection over the same link. The host
    /// has read `received` of that request. The newcomer keeps its place. Does nothing if it is gone.
    pub fn take_back(&mut self, id: ConnId, link: L, received: &[u8], now_us: u64) {
        match self.take_state(id) {
            Some(State::Handed(Handed { place, address, is_secure, tls, news: None })) => {
                let mut reading = Reading::new(link, ListenerOptions::default(), address);
                reading.peer.place = place;
                (reading.is_back, reading.is_secure, reading.tls) = (true, is_secure, tls);
                if let Some(reading) = self.hear(id, reading, received, now_us) {
                    self.read(id, reading, now_us);
                }
            }
            Some(state) => self.put_state(id, state),
            None => {}
        }
        self.count_ignored();
    }

    /// Returns the news of a newcomer that [`Event::Newcomer`] names; none if it has gone since.
    pub fn news(&mut self, id: ConnId) -> Option<NewcomerEvent<L>> {
        match self.slots.get_mut(id)? {
            State::Asking(asking) => asking.request.take().map(NewcomerEvent::Request),
            State::Handed(handed) => handed.news.take().map(|(stream, data)| NewcomerEvent::Http {
                stream,
                data,
                peer: text_of(handed.address),
                is_secure: handed.is_secure,
                tls: handed.tls.clone(),
            }),
            State::Securing(_) | State::Reading(_) | State::Lingering(_) => None,
        }
    }

    /// Does what is due. Returns when to call it again.
    pub fn tick(&mut self, now_us: u64) -> Option<u64> {
        loop {
            match self.timers.due(now_us, is_live(&mut self.slots)) {
                Ok(id) => self.fire(id, now_us),
                Err(next_us) => {
                    self.next_us = next_us.unwrap_or(u64::MAX);
                    return next_us;
                }
            }
        }
    }

    /// Whether [`Self::tick`] must be called before the time that it has returned.
    pub fn is_early(&self) -> bool {
        self.next_us == 0
    }

    /// Refuses all further requests, also those whose head is incomplete, once it is complete. A client that gets an
    /// answer knows that it may try again; one whose connection is just closed does not.
    pub fn close(&mut self) {
        self.is_open = false;
    }

    /// Ends all newcomers, also those that the host has not fetched yet.
    pub fn abort(&mut self) {
        self.is_open = false;
        for id in self.slots.iter_mut(SHARD).map(|(id, _)| id).collect::<Vec<_>>() {
            self.end(id);
        }
    }

    /// Sets what `/readyz` answers.
    pub fn set_ready(&mut self, is_ready: bool) {
        self.is_ready = is_ready;
    }

    /// Returns the number of newcomers that wait for a decision.
    pub fn waiting(&self) -> usize {
        self.undecided
    }

    /// Returns the counts of what became of newcomers.
    pub fn report(&self) -> &HandshakeReport {
        &self.report
    }

    /// Takes the events since the last call.
    pub fn take(&mut self) -> Vec<Event> {
        mem::take(&mut self.events)
    }

    fn admit(&mut self, reading: &mut Reading<L>, now_us: u64) -> Result<(), Refusal> {
        reading.peer.place = Some(self.admission.arrive(now_us, &mut self.ignored)?);
        if self.settings.entry.proxies.trusts(reading.address) {
            return Ok(());
        }
        if reading.options.has_proxy_header {
            return Err(Refusal::new(403, "the peer is not among trusted_proxies"));
        }
        reading.address.map_or(Ok(()), |address| self.locate(reading, address, now_us))
    }

    /// Does what a due timer stands for.
    fn fire(&mut self, id: ConnId, now_us: u64) {
        match self.take_state(id) {
            Some(State::Reading(Reading { peer, address, refusal, options, .. })) => match refusal {
                Some(_) => self.ids.release(id),
                None if options.is_tls => self.turn_away(id, address, &late(), now_us),
                None => self.deny(id, peer, address, &late(), now_us),
            },
            Some(State::Asking(mut asking)) => {
                // From now on its end is noticed. It may have ended already.
                asking.due_us = u64::MAX;
                asking.peer.watch(id);
                self.look(id, asking);
            }
            Some(State::Lingering(_)) => self.ids.release(id),
            Some(state) => self.put_state(id, state),
            None => {}
        }
    }

    fn end(&mut self, id: ConnId) {
        self.take_state(id);
        self.ids.release(id);
    }

    fn tell(&mut self, id: ConnId) {
        self.events.push(Event::Newcomer { conn: id });
    }

    fn count_ignored(&mut self) {
        self.report.passed(self.ignored.drain(..));
    }

    fn take_state(&mut self, id: ConnId) -> Option<State<L>> {
        let state = self.slots.remove(id)?;
        self.undecided -= usize::from(state.is_undecided());
        self.leaving -= usize::from(state.is_leaving());
        Some(state)
    }

    fn put_state(&mut self, id: ConnId, state: State<L>) {
        self.undecided += usize::from(state.is_undecided());
        self.leaving += usize::from(state.is_leaving());
        self.slots.insert(id, state);
    }

    fn add_timer(&mut self, row: Row, due_us: u64, id: ConnId) {
        self.timers.add(row, due_us, id, is_live(&mut self.slots));
        if due_us < self.next_us {
            self.next_us = 0;
        }
    }
}

/// Returns a function that says whether a timer still counts.
fn is_live<L>(slots: &mut Slots<State<L>>) -> impl FnMut(ConnId, u64) -> bool {
    |id, due_us| slots.get_mut(id).and_then(|state| state.due_us()) == Some(due_us)
}

/// The shard number in the ids of newcomers. No shard has it.
pub const SHARD: usize = MAX_SHARDS - 1;

/// The limit on bytes of one read, and on bytes behind the head.
const READ_MAX: usize = 64 << 10;

mod asking;
mod event;
mod leaving;
mod reading;
mod report;
mod securing;
mod state;
mod stream;
mod timers;
#[cfg(test)]
mod tests;
