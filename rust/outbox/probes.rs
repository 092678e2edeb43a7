//! Pings behind the droppable messages of a peer that does not tell what it has taken: whoever answers one has read all
//! before it. Pure but for the key.

use std::hash::{BuildHasher, RandomState};

use crate::outbox::window::{Reader, Window, part};
use crate::slots::ConnId;
use crate::wire::frame::{self, Opcode};

/// What the payloads of probes are made with, so that an answer to one can be told from a pong that nobody asked for:
/// that a peer can only guess. Without a state of its own, so that any thread may ask.
#[derive(Debug, Clone, Default)]
pub struct Seal(RandomState);

impl Seal {
    /// Eight bytes: the number of a probe, and what only we can make of it.
    pub fn payload(&self, conn: ConnId, number: u64) -> [u8; 8] {
        (number << TAG_BITS | self.tag(conn, number)).to_be_bytes()
    }

    /// The number of the probe that a pong with this payload answers; none if it answers none.
    pub fn number(&self, conn: ConnId, payload: &[u8]) -> Option<u64> {
        let word = u64::from_be_bytes(payload.try_into().ok()?);
        let number = word >> TAG_BITS;
        (word & TAG == self.tag(conn, number)).then_some(number)
    }

    fn tag(&self, conn: ConnId, number: u64) -> u64 {
        self.0.hash_one((conn, number)) & TAG
    }
}

/// The window of one connection, and the probes that tell what was taken of it.
#[derive(Debug)]
pub struct Probes {
    window: Window,
    /// Messages that were written, and bytes of them that no probe is behind.
    count: u64,
    unmarked: usize,
}

impl Probes {
    /// Nothing was written.
    pub fn new(now_us: u64) -> Self {
        Self { window: Window::new(Reader::Probed, now_us), count: 0, unmarked: 0 }
    }

    /// Whether a message of `bytes` may be written after `ahead` bytes of others that are about to be. Where a probe has
    /// to be written first, it may not: two to four of them are under way in a full window, so that it never runs dry.
    pub fn admits(&mut self, ahead: usize, bytes: usize) -> bool {
        let before = self.unmarked + ahead;
        let is_near = before == 0 || before + bytes <= part(self.window.size());
        self.window.admits(ahead, bytes) && is_near
    }

    /// Whether so many bytes may be written without a probe between them.
    pub fn fits(&self, bytes: usize) -> bool {
        self.unmarked + bytes <= part(self.window.size()) && self.window.fits(bytes)
    }

    /// A message was written.
    pub fn wrote(&mut self, bytes: usize) {
        self.count += 1;
        self.unmarked += bytes;
        self.window.wrote(bytes);
    }

    /// The number of a probe to be written now; none if there is nothing that it would tell.
    pub fn mark(&mut self, now_us: u64) -> Option<u64> {
        let bytes = std::mem::take(&mut self.unmarked);
        (bytes > 0).then(|| self.window.mark(self.count, bytes, now_us))?;
        Some(self.count)
    }

    /// The number of the last probe, if it was not answered.
    pub fn unanswered(&self) -> Option<u64> {
        self.window.unanswered()
    }

    /// A probe was answered. A number that cannot be is ignored.
    pub fn answered(&mut self, number: u64, now_us: u64) {
        if number <= self.count {
            self.window.taken(number, now_us);
        }
    }
}

/// The frame of a probe.
pub fn frame(payload: [u8; 8]) -> Box<[u8]> {
    frame::control(Opcode::Ping, &payload)
}

/// Leaves 40 bits for the number: a trillion messages over one link.
const TAG_BITS: u32 = 24;
const TAG: u64 = (1 << TAG_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::window::INITIAL;

    #[test]
    fn a_payload_says_its_number_to_who_made_it_for_its_connection_only() {
        let (seal, other) = (Seal::default(), Seal::default());
        let (conn, stranger) = (ConnId::from_u64(7), ConnId::from_u64(8));
        // A payload is right by chance once in 16 million times.
        for number in [0, 1, 300, (1 << 40) - 1] {
            let payload = seal.payload(conn, number);
            assert_eq!(seal.number(conn, &payload), Some(number));
            let mut forged = payload;
            forged[4] ^= 1;
            assert_eq!(
                [seal.number(conn, &forged), seal.number(stranger, &payload), other.number(conn, &payload)],
                [None; 3]
            );
        }
        assert_eq!([seal.number(conn, b""), seal.number(conn, b"seven b"), seal.number(conn, b"nine byte")], [None; 3]);
    }

    #[test]
    fn a_probe_is_written_behind_each_quarter_and_its_answer_makes_room() {
        let mut probes = Probes::new(0);
        assert_eq!(probes.mark(0), None);
        let mut numbers = Vec::new();
        for _ in 0..4 {
            while probes.admits(0, 1024) {
                probes.wrote(1024);
            }
            numbers.extend(probes.mark(0));
        }
        assert_eq!(numbers, [4, 8, 12, 16]);
        assert_eq!(probes.window.under_way(), INITIAL);
        assert!(!probes.admits(0, 1));
        probes.answered(17, 1_000);
        assert!(!probes.admits(0, 1), "it was never asked");
        probes.answered(8, 1_000);
        probes.answered(4, 1_000);
        assert_eq!(probes.window.under_way(), INITIAL / 2);
        assert!(probes.admits(0, 1));
    }

    #[test]
    fn a_message_larger_than_a_quarter_goes_behind_a_probe() {
        let mut probes = Probes::new(0);
        assert!(probes.admits(0, INITIAL));
        probes.wrote(10);
        assert!(!probes.admits(0, INITIAL / 2));
        assert_eq!(probes.mark(0), Some(1));
        assert!(probes.admits(0, INITIAL / 2));
    }
}
