//! How a newcomer is read until its first request is whole, and what becomes of that.

use std::io::ErrorKind;
use std::mem;
use std::net::{IpAddr, SocketAddr};

use crate::admission::entry::Asked;
use crate::limit::Limit;
use crate::newcomers::state::{Asking, Handed, Reading, State};
use crate::newcomers::timers::Row;
use crate::newcomers::{Newcomers, Request, Stream};
use crate::slots::ConnId;
use crate::wire::http_head::{self, RequestHead};
use crate::wire::proxy_header::{self, MAX_PROXY_HEADER};
use crate::wire::refusal::{Refusal, response};
use crate::wire::websocket_handshake::{self, Upgrade};

/// What a request is.
enum Decision {
    /// It asks to come in. All that stands behind the head follows it.
    Ask(RequestHead, Upgrade, Asked),
    /// Not ours.
    Http,
    /// A question of how the server is, and its answer.
    Probe(Vec<u8>),
}

impl<L: Stream> Newcomers<L> {
    /// Reads until the head is whole, or nothing more is there.
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
                // One that ends its side before it has asked wants no answer.
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

    /// Reads the header of the PROXY protocol, and nothing of the TLS behind it.
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
            // All of it is the header's if that is not whole. Taken, so that the end behind it is seen.
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

    /// The host speaks TLS with it from now on, and feeds what it decrypts.
    pub(super) fn begin_tls(&mut self, id: ConnId, mut reading: Reading<L>, now_us: u64) {
        let Ok((peer, fd)) = reading.peer.host(id, &self.host) else { return self.ids.release(id) };
        reading.options.is_tls = false;
        let due_us = now_us + self.settings.handshake_timeout_us;
        let reading = Reading { peer, fd: Some(fd), is_secure: true, due_us, ..reading };
        self.put_state(id, State::Reading(reading));
        self.add_timer(Row::Head, due_us, id);
        self.tell(id);
    }

    /// Something has come by TLS.
    pub(super) fn fed(&mut self, id: ConnId, reading: Reading<L>, bytes: &[u8], now_us: u64) {
        let is_first = reading.received.is_empty();
        let Some(mut reading) = self.hear(id, reading, bytes, now_us) else { return };
        if is_first {
            // Until now it was the TLS handshake that took its time.
            reading.due_us = now_us + self.settings.handshake_timeout_us;
            self.add_timer(Row::Head, reading.due_us, id);
        }
        self.put_state(id, State::Reading(reading));
    }

    /// Something has come. Returns the newcomer if its head is not whole.
    pub(super) fn hear(&mut self, id: ConnId, mut reading: Reading<L>, new: &[u8], now_us: u64) -> Option<Reading<L>> {
        // Mostly all comes at once, and is not copied.
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
                reading.peer.link.fed(new.len());
                reading.received = if received.is_empty() { new.into() } else { received };
                return Some(reading);
            }
            Ok(Some(Decision::Ask(head, upgrade, asked))) => {
                let (bytes, rest) = bytes.split_at(head.len);
                // The shard says the same of what follows.
                reading.peer.link.fed(new.len().saturating_sub(rest.len()));
                let headers = bytes[head.lines].into();
                let target = self.settings.paths.ours(&bytes[head.target]).unwrap_or_default().into();
                self.ask(id, reading, [target, headers], upgrade, asked, rest.into(), now_us);
            }
            Ok(Some(Decision::Http)) => {
                reading.peer.link.fed(new.len());
                self.hand_over(id, reading, bytes.into());
            }
            Ok(Some(Decision::Probe(answer))) => {
                reading.peer.link.fed(new.len());
                reading.peer.link.answer(&answer);
                self.linger(id, reading.peer, now_us);
            }
            Err(refusal) => {
                reading.peer.link.fed(new.len());
                self.deny(id, reading.peer, reading.address, &refusal, now_us);
            }
        }
        None
    }

    fn decide(&mut self, reading: &mut Reading<L>, bytes: &[u8], now_us: u64) -> Result<Option<Decision>, Refusal> {
        let decision = self.decide_anew(reading, bytes, now_us);
        match (&reading.refusal, &decision) {
            // It was refused when it came: what it asks makes no difference, if it is not how the server is.
            (Some(refusal), Err(_) | Ok(Some(Decision::Ask(..) | Decision::Http))) => Err((**refusal).clone()),
            // Two readers of one request disagree: it would go back and forth for ever.
            (None, Ok(Some(Decision::Http))) if reading.is_back => Err(Refusal::bad("it is no upgrade to us")),
            _ => decision,
        }
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
        let ours = self.settings.paths.ours(&bytes[head.target.clone()]);
        if reading.refusal.is_some() || !self.is_open {
            let answer = ours.filter(|_| &*head.method == "GET").and_then(|path| self.probe(&path));
            return answer.map(|answer| Some(Decision::Probe(answer))).ok_or_else(closing);
        }
        if ours.is_none() || !http_head::is_websocket(&head, bytes) {
            return Ok(Some(Decision::Http));
        }
        let upgrade = websocket_handshake::check(&head, bytes)?;
        let asked = self.settings.entry.look(&head, bytes, &upgrade, reading.address, reading.is_secure)?;
        if let Some(address) = asked.address {
            self.locate(reading, address, now_us)?;
        }
        Ok(Some(Decision::Ask(head, upgrade, asked)))
    }

    /// A proxy has said whom it speaks for.
    fn reveal(&mut self, reading: &mut Reading<L>, source: Option<SocketAddr>, now_us: u64) -> Result<(), Refusal> {
        // One that is refused may not be a proxy that is trusted.
        let (Some(source), None) = (source, &reading.refusal) else { return Ok(()) };
        let address = source.ip().to_canonical();
        reading.address = Some(address);
        // One that is a proxy as well says in the head whom it speaks for.
        if self.settings.entry.proxies.trusts(address) { Ok(()) } else { self.locate(reading, address, now_us) }
    }

    /// The address of the client is known.
    pub(super) fn locate(&mut self, reading: &mut Reading<L>, address: IpAddr, now_us: u64) -> Result<(), Refusal> {
        reading.address = Some(address);
        match &mut reading.peer.place {
            Some(place) if !place.is_located() => self.admission.locate(place, address, now_us, &mut self.ignored),
            _ => Ok(()),
        }
    }

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

    #[expect(clippy::too_many_arguments, reason = "the parts of a request")]
    fn ask(
        &mut self,
        id: ConnId,
        reading: Reading<L>,
        [target, headers]: [Box<[u8]>; 2],
        Upgrade { accept_key, subprotocol, .. }: Upgrade,
        Asked { remote, is_secure, is_origin_allowed, .. }: Asked,
        rest: Vec<u8>,
        now_us: u64,
    ) {
        let Reading { peer, address, .. } = reading;
        let request = Box::new(Request { target, headers, remote, is_secure, is_origin_allowed, subprotocol });
        // Of one that the host reads, the host says when it ends. One that is watched may have ended before this, unnoticed.
        let due_us = if peer.is_hosted { u64::MAX } else { now_us + ANSWER_US };
        if due_us < u64::MAX {
            self.add_timer(Row::Answer, due_us, id);
        }
        let asking = Asking { peer, address, request: Some(request), accept_key, subprotocol, rest, due_us };
        self.put_state(id, State::Asking(asking));
        self.tell(id);
    }

    fn hand_over(&mut self, id: ConnId, reading: Reading<L>, data: Vec<u8>) {
        let Reading { peer, address, is_secure, .. } = reading;
        let news = Some((peer.link, data, is_secure));
        self.put_state(id, State::Handed(Handed { place: peer.place, address, news }));
        self.tell(id);
    }
}

/// An address for the log.
pub(super) fn text_of(address: Option<IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

pub(super) fn late() -> Refusal {
    Refusal::new(408, "the head did not come in time").over(Limit::HandshakeTimeout)
}

fn closing() -> Refusal {
    Refusal::new(503, "the server is shutting down").with("Retry-After: 1")
}

/// Microseconds in which one that is refused in any case has to ask, to be told why.
const REFUSED_US: u64 = 1_000_000;

/// Microseconds before one is watched that waits for the host: mostly it is answered earlier, and costs no call.
const ANSWER_US: u64 = 100_000;
