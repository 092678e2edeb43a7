//! How refused newcomers leave: they get an answer, and time to take it.

use std::io::ErrorKind;
use std::net::IpAddr;

use crate::newcomers::reading::text_of;
use crate::newcomers::state::{Lingering, Peer, State};
use crate::newcomers::timers::Row;
use crate::newcomers::{Newcomers, Stream, is_live};
use crate::slots::ConnId;
use crate::wire::refusal::Refusal;

impl<L: Stream> Newcomers<L> {
    /// Refuses a newcomer without an answer, because it expects TLS, which has not begun. The caller drops its link.
    pub(super) fn turn_away(&mut self, id: ConnId, address: Option<IpAddr>, refusal: &Refusal, now_us: u64) {
        self.events.extend(self.report.refused(text_of(address), refusal, now_us));
        self.ids.release(id);
    }

    /// Refuses a newcomer with an answer.
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

    /// Waits for the peer to take its answer. If a socket is closed with unread bytes, the kernel resets the
    /// connection, and the answer is lost.
    pub(super) fn linger(&mut self, id: ConnId, mut peer: Peer<L>, now_us: u64) {
        if !peer.watch(id) {
            return self.ids.release(id);
        }
        let due_us = now_us + LINGER_US;
        self.add_timer(Row::Linger, due_us, id);
        self.put_state(id, State::Lingering(Lingering { peer, left: LINGER, due_us }));
        self.make_room();
    }

    /// Reads what has come since the answer, and throws it away.
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

    /// Ends the oldest newcomers that are leaving, if there are too many. The limits on connections do not count them.
    pub(super) fn make_room(&mut self) {
        while self.leaving > MAX_LEAVING {
            let mut oldest = |row| self.timers.oldest(row, is_live(&mut self.slots));
            let Some(id) = oldest(Row::Linger).or_else(|| oldest(Row::Refused)) else { return };
            self.end(id);
        }
    }
}

/// Microseconds in which a peer must take its answer and end its side.
const LINGER_US: u64 = 1_000_000;

/// The limit on bytes that are read meanwhile.
pub(super) const LINGER: usize = 256 << 10;

/// The limit on refused newcomers that are still connected: half of the descriptors that a process has by default
/// (1024).
pub(super) const MAX_LEAVING: usize = 512;
