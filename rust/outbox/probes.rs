//! Probes: pings behind the droppable messages of a peer that does not report what it has taken. A peer that answers a
//! probe has read everything before it. Pure except for the random key.

use std::hash::{BuildHasher, RandomState};

use crate::outbox::window::{Reader, Window, part};
use crate::slots::ConnId;
use crate::wire::frame::{self, Opcode};

/// The key that marks the payloads of probes, so that the answer to a probe can be told from an unsolicited pong, which
/// a peer could only guess. It has no mutable state, so any thread may use it.
#[derive(Debug, Clone, Default)]
pub struct ProbeKey(RandomState);

impl ProbeKey {
    /// Returns eight bytes: the number of a probe, and a tag that only this engine can compute.
    pub fn payload(&self, conn: ConnId, number: u64) -> [u8; 8] {
        (number << TAG_BITS | self.tag(conn, number)).to_be_bytes()
    }

    /// Returns the number of the probe that a pong with this payload answers; none if it answers none.
    pub fn number(&self, conn: ConnId, payload: &[u8]) -> Option<u64> {
        let word = u64::from_be_bytes(payload.try_into().ok()?);
        let number = word >> TAG_BITS;
        (word & TAG == self.tag(conn, number)).then_some(number)
    }

    fn tag(&self, conn: ConnId, number: u64) -> u64 {
        self.0.hash_one((conn, number)) & TAG
    }
}

/// The window of one connection, and the probes that measure it.
#[derive(Debug)]
pub struct Probes {
    window: Window,
    /// The number of messages written, and the bytes written since the last probe.
    count: u64,
    unmarked: usize,
}

impl Probes {
    /// Creates a window with nothing under way.
    pub fn new(now_us: u64) -> Self {
        Self { window: Window::new(Reader::Probed, now_us), count: 0, unmarked: 0 }
    }

    /// Whether a message of `bytes` may be written after `ahead` bytes that are about to be written. It may not if a
    /// probe has to be written first. A full window has two to four probes under way, so that it never runs dry.
    pub fn admits(&mut self, ahead: usize, bytes: usize) -> bool {
        let before = self.unmarked + ahead;
        let is_near = before == 0 || before + bytes <= part(self.window.size());
        self.window.admits(ahead, bytes, part(self.window.size())) && is_near
    }

    /// Whether `bytes` may be written without a probe between them.
    pub fn fits(&self, bytes: usize) -> bool {
        self.unmarked + bytes <= part(self.window.size()) && self.window.fits(bytes)
    }

    /// Notes that a message was written.
    pub fn wrote(&mut self, bytes: usize) {
        self.count += 1;
        self.unmarked += bytes;
        self.window.wrote(bytes);
    }

    /// Returns the number of the probe to write now; none if nothing was written since the last one.
    pub fn mark(&mut self, now_us: u64) -> Option<u64> {
        let bytes = std::mem::take(&mut self.unmarked);
        (bytes > 0).then(|| self.window.mark(self.count, bytes, now_us))?;
        Some(self.count)
    }

    /// Returns the number of the last probe, if it was not answered.
    pub fn unanswered(&self) -> Option<u64> {
        self.window.unanswered()
    }

    /// Notes that a probe was answered. An impossible number is ignored.
    pub fn answered(&mut self, number: u64, now_us: u64) {
        if number <= self.count {
            self.window.taken(number, now_us);
        }
    }
}

/// Returns the frame of a probe.
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
    fn a_payload_has_a_number_only_with_the_key_and_connection_that_it_was_made_with() {
        let (probe_key, other) = (ProbeKey::default(), ProbeKey::default());
        let (conn, stranger) = (ConnId::from_u64(7), ConnId::from_u64(8));
        // A random payload is right once in 16 million times.
        for number in [0, 1, 300, (1 << 40) - 1] {
            let payload = probe_key.payload(conn, number);
            assert_eq!(probe_key.number(conn, &payload), Some(number));
            let mut forged = payload;
            forged[4] ^= 1;
            assert_eq!(
                [probe_key.number(conn, &forged), probe_key.number(stranger, &payload), other.number(conn, &payload)],
                [None; 3]
            );
        }
        assert_eq!(
            [probe_key.number(conn, b""), probe_key.number(conn, b"seven b"), probe_key.number(conn, b"nine byte")],
            [None; 3]
        );
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
