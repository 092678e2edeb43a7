//! How a newcomer is read until its first request head is complete, and what the request leads to.

use std::io::ErrorKind;
use std::mem;
use std::net::{IpAddr, SocketAddr};

use crate::admission::entry::Asked;
use crate::limit::Limit;
use crate::newcomers::state::{Asking, Handed, Reading, State};
use crate::newcomers::timers::Row;
use crate::newcomers::{NewcomerSettings, Newcomers, Request, Stream};
use crate::slots::ConnId;
use crate::wire::deflate::Deflate;
use crate::wire::deflate_offer;
use crate::wire::http_head::{self, RequestHead};
use crate::wire::opening::{self, Opening, Wanted};
use crate::wire::proxy_header::{self, MAX_PROXY_HEADER};
use crate::wire::refusal::{About, Refusal, response};
use crate::wire::websocket_handshake;

/// What a request is.
enum Decision {
    /// A request for a connection. The bytes behind the head of an upgrade request belong to the connection.
    Ask(RequestHead, Wanted, Asked),
    /// A request that the host answers.
    Http,
    /// A health check, and its answer.
    Probe(Vec<u8>),
}

impl<L: Stream> Newcomers<L> {
    /// Reads until the head is complete, or nothing more has come.
    pub(super) fn read(&mut self, id: ConnId, reading: Reading<L>, now_us: u64) {
        if reading.options.is_tls {
            return self.read_header(id, reading, now_us);
        }
        let mut buffer = mem::take(&mut self.buffer);
        self.read_into(&mut buffer, id, reading, now_us);
        self.buffer = buffer;
    }

    fn read_into(&mut self, buffer: &mut [u8], id: ConnId, mut reading: Reading<L>, now_us: u64) {
        loop {
            match reading.peer.link.read(buffer) {
                // A peer that ends its side before its request is complete wants no answer.
                Ok(0) => return self.ids.release(id),
                Ok(read) => match self.hear(id, reading, &buffer[..read], now_us) {
                    Some(unheard) => reading = unheard,
                    None => return,
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.await_head(id, reading, now_us),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.ids.release(id),
            }
        }
    }

    /// Reads the header of the PROXY protocol, but not the TLS behind it.
    fn read_header(&mut self, id: ConnId, mut reading: Reading<L>, now_us: u64) {
        let mut header = [0; MAX_PROXY_HEADER];
        loop {
            let come = reading.received.len();
            header[..come].copy_from_slice(&reading.received);
            let most = match reading.peer.link.peek(&mut header[come..]) {
                Ok(0) => return self.ids.release(id),
                Ok(peeked) => come + peeked,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.await_head(id, reading, now_us),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.ids.release(id),
            };
            let found = match proxy_header::parse(&header[..most]) {
                Ok(found) => found,
                Err(refusal) => return self.turn_away(id, reading.address, &refusal, now_us),
            };
            // An incomplete header has all of the bytes. They are read, so that the end behind them can be seen.
            let len = found.as_ref().map_or(most, |&(len, _)| len);
            if !reading.peer.link.read(&mut header[come..len]).is_ok_and(|read| read == len - come) {
                return self.ids.release(id);
            }
            let Some((_, source)) = found else {
                reading.received = header[..len].into();
                continue;
            };
            reading.received = Vec::new();
            reading.options.has_proxy_header = false;
            return match self.reveal(&mut reading, source, now_us) {
                Ok(()) => self.begin_tls(id, reading, now_us),
                Err(refusal) => self.turn_away(id, reading.address, &refusal, now_us),
            };
        }
    }

    /// Takes bytes. Returns the newcomer if its head is still incomplete.
    pub(super) fn hear(&mut self, id: ConnId, mut reading: Reading<L>, new: &[u8], now_us: u64) -> Option<Reading<L>> {
        // Mostly the whole head comes at once, and is not copied.
        let mut received = mem::take(&mut reading.received);
        let bytes = if received.is_empty() {
            new
        } else {
            received.extend_from_slice(new);
            &received
        };
        let decision = self.decide(&mut reading, bytes, now_us);
        let bytes = &bytes[reading.header_len..];
        match decision {
            Ok(None) => {
                reading.received = if received.is_empty() { new.into() } else { received };
                return Some(reading);
            }
            Ok(Some(Decision::Ask(head, wanted, asked))) => {
                let (bytes, mut rest) = bytes.split_at(head.len);
                if !matches!(wanted.opening, Opening::WebSocket { .. }) {
                    // Nothing that follows the request counts.
                    rest = &[];
                }
                let headers = bytes[head.lines].into();
                let target = self.settings.paths.ours(&bytes[head.target]).unwrap_or_default().into();
                self.ask(id, reading, [target, headers], wanted, asked, rest.into(), now_us);
            }
            Ok(Some(Decision::Http)) => {
                self.hand_over(id, reading, bytes.into());
            }
            Ok(Some(Decision::Probe(answer))) => {
                reading.peer.link.answer(&answer);
                self.linger(id, reading.peer, now_us);
            }
            Err(mut refusal) => {
                if let Ok(Some(head)) = http_head::parse(bytes, &self.limits) {
                    let user_agent = head.values(bytes, "user-agent").next().unwrap_or_default();
                    refusal.asked = About::new(&bytes[head.target.clone()], user_agent);
                }
                self.deny(id, reading.peer, reading.address, &refusal, now_us);
            }
        }
        None
    }

    fn decide(&mut self, reading: &mut Reading<L>, bytes: &[u8], now_us: u64) -> Result<Option<Decision>, Refusal> {
        let decision = self.decide_anew(reading, bytes, now_us);
        let decision = match (&reading.refusal, &decision) {
            // It was refused when it was accepted. Only a health check is answered all the same.
            (Some(refusal), Err(_) | Ok(Some(Decision::Ask(..) | Decision::Http))) => Err((**refusal).clone()),
            // The host took this request for an upgrade and the engine does not. It would go back and forth for ever.
            (None, Ok(Some(Decision::Http))) if reading.is_back => {
                Err(Refusal::bad("the request does not open a connection"))
            }
            _ => decision,
        };
        decision.map_err(|mut refusal| {
            refusal.headers.append(&mut reading.cors);
            refusal
        })
    }

    fn decide_anew(
        &mut self,
        reading: &mut Reading<L>,
        bytes: &[u8],
        now_us: u64,
    ) -> Result<Option<Decision>, Refusal> {
        if reading.options.has_proxy_header && reading.header_len == 0 {
            let Some((len, source)) = proxy_header::parse(bytes)? else { return Ok(None) };
            reading.header_len = len;
            self.reveal(reading, source, now_us)?;
        }
        let bytes = &bytes[reading.header_len..];
        let Some(head) = http_head::parse(bytes, &self.limits)? else { return Ok(None) };
        let Self { settings: NewcomerSettings { entry, paths, .. }, compression, .. } = self;
        let ours = paths.ours(&bytes[head.target.clone()]);
        let is_websocket = http_head::is_websocket(&head, bytes);
        if ours.is_some() && !is_websocket {
            reading.cors = entry.cors(&head, bytes);
        }
        if reading.refusal.is_some() || !self.is_open {
            let answer = ours.filter(|_| &*head.method == "GET").and_then(|path| self.probe(&path));
            return answer.map(|answer| Some(Decision::Probe(answer))).ok_or_else(closing);
        }
        let Some(target) = ours else { return Ok(Some(Decision::Http)) };
        let wanted = if is_websocket {
            let mut wanted: Wanted = websocket_handshake::check(&head, bytes)?.into();
            if compression.is_on() {
                wanted.agree(deflate_offer::choose(head.values(bytes, "sec-websocket-extensions"))?);
            }
            wanted
        } else {
            let Some(opening) = opening::of(&head, bytes, &target) else { return Ok(Some(Decision::Http)) };
            opening::check(opening, &head, bytes, &target)?
        };
        let asked = entry.look(&head, bytes, &wanted, reading.address, reading.is_secure)?;
        if let Some(address) = asked.address {
            self.locate(reading, address, now_us)?;
        }
        Ok(Some(Decision::Ask(head, wanted, asked)))
    }

    /// Takes the client's address from the header of the PROXY protocol.
    fn reveal(&mut self, reading: &mut Reading<L>, source: Option<SocketAddr>, now_us: u64) -> Result<(), Refusal> {
        // A connection that was refused may not come from a trusted proxy.
        let (Some(source), None) = (source, &reading.refusal) else { return Ok(()) };
        let address = source.ip().to_canonical();
        reading.address = Some(address);
        // If this address is a trusted proxy too, the request head names the client.
        if self.settings.entry.proxies.trusts(address) { Ok(()) } else { self.locate(reading, address, now_us) }
    }

    /// Applies the limits for the client's address, once it is known.
    pub(super) fn locate(&mut self, reading: &mut Reading<L>, address: IpAddr, now_us: u64) -> Result<(), Refusal> {
        reading.address = Some(address);
        match &mut reading.peer.place {
            Some(place) if !place.is_located() => self.admission.locate(place, address, now_us, &mut self.ignored),
            _ => Ok(()),
        }
    }

    /// Returns the answer to a health check; none if the path is not one.
    fn probe(&self, path: &[u8]) -> Option<Vec<u8>> {
        match path {
            b"/healthz" => Some(response(200, "ok\n", [])),
            b"/readyz" if self.is_ready && self.is_open => Some(response(200, "ready\n", [])),
            b"/readyz" => Some(response(503, "not ready\n", [])),
            _ => None,
        }
    }

    fn await_head(&mut self, id: ConnId, mut reading: Reading<L>, now_us: u64) {
        if !reading.peer.watch(id) {
            return self.ids.release(id);
        }
        if reading.due_us == 0 {
            let timeout_us = self.settings.handshake_timeout_us;
            let (row, wait_us) = match reading.refusal {
                Some(_) => (Row::Refused, timeout_us.min(REFUSED_US)),
                None => (Row::Head, timeout_us),
            };
            reading.due_us = now_us + wait_us;
            self.add_timer(row, reading.due_us, id);
        }
        self.put_state(id, State::Reading(reading));
        self.make_room();
    }

    /// Asks the host whether to accept a newcomer.
    #[expect(clippy::too_many_arguments, reason = "the parts of a request")]
    fn ask(
        &mut self,
        id: ConnId,
        reading: Reading<L>,
        [target, headers]: [Box<[u8]>; 2],
        Wanted { opening, subprotocol, .. }: Wanted,
        Asked { remote, is_secure, is_origin_allowed, .. }: Asked,
        rest: Vec<u8>,
        now_us: u64,
    ) {
        let Reading { peer, address, cors, tls, .. } = reading;
        let transport = opening.name();
        let compression = opening.deflate() != Deflate::None;
        let request =
            Request { target, headers, remote, is_secure, is_origin_allowed, subprotocol, transport, tls, compression };
        let due_us = now_us + ANSWER_US;
        self.add_timer(Row::Answer, due_us, id);
        let request = Some(Box::new(request));
        let asking = Asking { peer, address, request, opening, subprotocol, cors, rest, asked_us: now_us, due_us };
        self.put_state(id, State::Asking(asking));
        self.tell(id);
    }

    /// Hands a newcomer to the host.
    fn hand_over(&mut self, id: ConnId, reading: Reading<L>, data: Vec<u8>) {
        let Reading { peer, address, is_secure, tls, .. } = reading;
        let news = Some((peer.link, data));
        self.put_state(id, State::Handed(Handed { place: peer.place, address, is_secure, tls, news }));
        self.tell(id);
    }
}

/// Returns an address for the log; "" if there is none.
pub(super) fn text_of(address: Option<IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

pub(super) fn late() -> Refusal {
    Refusal::new(408, "the request head did not arrive in time").over(Limit::HandshakeTimeout)
}

fn closing() -> Refusal {
    Refusal::new(503, "the server is shutting down").with("Retry-After: 1")
}

/// Microseconds in which a newcomer that was refused when it was accepted must send its request, to be answered.
const REFUSED_US: u64 = 1_000_000;

/// Microseconds after which a newcomer that waits for the host is watched. Mostly the host answers earlier, which saves
/// the system call.
const ANSWER_US: u64 = 100_000;
