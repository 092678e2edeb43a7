//! Newcomers that begin with TLS. Their links leave for the handshake, and come back.

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;

use crate::limit::Limit;
use crate::newcomers::reading::text_of;
use crate::newcomers::state::{Peer, Reading, Securing, State};
use crate::newcomers::{Insecure, ListenerOptions, Newcomers, Stream};
use crate::slots::ConnId;
use crate::tls::info::TlsInfo;
use crate::wire::refusal::Refusal;

/// Why a newcomer has no TLS.
#[derive(Debug)]
pub enum TlsFailure<L> {
    /// It has gone without a word, as health checks of load balancers do.
    Silent,
    /// The handshake was not over in time.
    Late,
    /// It speaks plain HTTP over this link.
    Http(L),
    /// The handshake failed, for this reason. The link is bare and has an alert for the peer to take.
    Failed(L, Cow<'static, str>),
    /// It ended during the handshake, for this reason.
    Gone(Cow<'static, str>),
}

impl<L: Stream> Newcomers<L> {
    /// Takes the newcomers whose TLS handshake has to begin since the last call.
    pub fn take_insecure(&mut self) -> Vec<Insecure<L>> {
        mem::take(&mut self.insecure)
    }

    /// Notes that a TLS handshake is over. What the client has sent behind it is read at once.
    pub fn secured(&mut self, id: ConnId, link: L, tls: TlsInfo, now_us: u64) {
        self.report.secured(tls.is_resumed);
        let Some(Securing { place, address }) = self.take_securing(id) else { return };
        let mut reading = Reading::new(link, ListenerOptions::default(), address);
        reading.peer.place = place;
        (reading.is_secure, reading.tls) = (true, Some(Arc::new(tls)));
        self.read(id, reading, now_us);
        self.count_ignored();
    }

    /// Notes that a TLS handshake has failed. The newcomer ends; one that speaks plain HTTP is told why.
    pub fn failed(&mut self, id: ConnId, failure: TlsFailure<L>, now_us: u64) {
        let Some(Securing { place, address }) = self.take_securing(id) else { return };
        let peer = |link| Peer { link, place, is_watched: false };
        let (link, reason) = match failure {
            TlsFailure::Silent => return self.ids.release(id),
            TlsFailure::Http(link) => {
                self.report.no_tls();
                return self.deny(id, peer(link), address, &plain(), now_us);
            }
            TlsFailure::Late => {
                self.report.passed([Limit::HandshakeTimeout]);
                (None, "it was not over in time".into())
            }
            TlsFailure::Failed(link, reason) => (Some(link), reason),
            TlsFailure::Gone(reason) => (None, reason),
        };
        self.events.extend(self.report.insecure(text_of(address), &reason, now_us));
        match link {
            Some(link) => self.linger(id, peer(link), now_us),
            None => self.ids.release(id),
        }
    }

    /// Lets another thread do the TLS handshake.
    pub(super) fn begin_tls(&mut self, id: ConnId, reading: Reading<L>, now_us: u64) {
        let Reading { peer, address, .. } = reading;
        self.put_state(id, State::Securing(Securing { place: peer.place, address }));
        self.insecure.push(Insecure { id, link: peer.link, since_us: now_us });
    }

    fn take_securing(&mut self, id: ConnId) -> Option<Securing> {
        match self.take_state(id)? {
            State::Securing(securing) => Some(securing),
            state => {
                self.put_state(id, state);
                None
            }
        }
    }
}

fn plain() -> Refusal {
    Refusal::bad("the client speaks plain HTTP to a port with TLS (http:// or ws:// instead of https:// or wss://)")
}
