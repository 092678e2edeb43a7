//! How newcomers leave that are refused: with an answer, and with time to take it.

use std::io::ErrorKind;
use std::net::IpAddr;

use crate::newcomers::reading::text_of;
use crate::newcomers::state::{Lingering, Peer, State};
use crate::newcomers::timers::Row;
use crate::newcomers::{Newcomers, Stream, is_live};
use crate::slots::ConnId;
use crate::wire::refusal::Refusal;

impl<L: Stream> Newcomers<L> {
    /// Refuses one without a word, whose link the caller drops: it expects TLS, and has not begun it.
    pub(super) fn turn_away(&mut self, id: ConnId, address: Option<IpAddr>, refusal: &Refusal, now_us: u64) {
        self.events.extend(self.report.refused(text_of(address), refusal, now_us));
        self.ids.release(id);
    }

    pub(super) fn deny(
        &mut self,
        id: ConnId,
        mut peer: Peer<L>,
        address: Option<IpAddr>,
        refusal: &Refusal,
        now_us: u64,
    ) {
        self.events.extend(self.report.refused(text_of(address), refusal, now_us));
        peer.link.answer(&refusal.response());
        self.linger(id, peer, now_us);
    }

    /// Waits for the peer to take its answer: when a socket is closed from which not all was read, the peer is reset.
    pub(super) fn linger(&mut self, id: ConnId, mut peer: Peer<L>, now_us: u64) {
        if !peer.watch(id) {
            return self.ids.release(id);
        }
        let due_us = now_us + LINGER_US;
        self.add_timer(Row::Linger, due_us, id);
        self.put_state(id, State::Lingering(Lingering { peer, left: LINGER, due_us }));
        self.make_room();
    }

    /// Reads what has come after the answer, and throws it away.
    pub(super) fn drain(&mut self, id: ConnId, mut lingering: Lingering<L>) {
        while lingering.left > 0 {
            match lingering.peer.link.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => lingering.left = lingering.left.saturating_sub(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.put_state(id, State::Lingering(lingering));
                }
                Err(_) => break,
            }
        }
        self.ids.release(id);
    }

    /// Those that are leaving have no place that bounds their number: the oldest goes.
    pub(super) fn make_room(&mut self) {
        while self.leaving > MAX_LEAVING {
            let mut oldest = |row| self.timers.oldest(row, is_live(&mut self.slots));
            let Some(id) = oldest(Row::Linger).or_else(|| oldest(Row::Refused)) else { return };
            self.end(id);
        }
    }
}

/// Microseconds for a peer that was answered to take the answer and end its side.
const LINGER_US: u64 = 1_000_000;

/// Bytes that are read of it meanwhile.
pub(super) const LINGER: usize = 256 << 10;

/// Peers that are to take an answer, or are refused and have not asked: half of the descriptors that a server has by default
/// (1024).
pub(super) const MAX_LEAVING: usize = 512;
