//! The compression of an engine: its settings, and counts of what it has done.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::error::Error;
use crate::wire::deflate::{Deflate, compress};
use crate::wire::frame;

/// The settings and counts that all messages of an engine share. It is off until [`Self::set`] is called.
#[derive(Debug, Default)]
pub struct Compression {
    /// The level of zlib; 0: off.
    level: AtomicU32,
    min_bytes: AtomicUsize,
    messages: AtomicU64,
    bytes_before: AtomicU64,
    bytes_after: AtomicU64,
    not_smaller: AtomicU64,
}

/// What was compressed: frames, once each, however many connections got them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compressed {
    /// Frames that got smaller.
    pub messages: u64,
    /// The bytes that they had.
    pub bytes_before: u64,
    /// The bytes that they have.
    pub bytes_after: u64,
    /// Frames that would not have got smaller.
    pub not_smaller: u64,
}

impl Compression {
    /// Switches it on, or changes it for what is compressed from now on. The level is zlib's; what has fewer than
    /// `min_bytes` is not compressed.
    pub fn set(&self, level: u32, min_bytes: usize) -> Result<(), Error> {
        if !(1..=9).contains(&level) {
            return Err(Error::Invalid(format!("the level of compression must be 1 to 9, got {level}")));
        }
        self.min_bytes.store(min_bytes, Relaxed);
        self.level.store(level, Relaxed);
        Ok(())
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.level.load(Relaxed) > 0
    }

    /// Returns what was compressed.
    pub fn compressed(&self) -> Compressed {
        Compressed {
            messages: self.messages.load(Relaxed),
            bytes_before: self.bytes_before.load(Relaxed),
            bytes_after: self.bytes_after.load(Relaxed),
            not_smaller: self.not_smaller.load(Relaxed),
        }
    }

    /// Compresses a whole WebSocket frame; none if it is too small for that, or would not get smaller.
    pub fn frame(&self, plain: &[u8], deflate: Deflate) -> Option<Box<[u8]>> {
        if !self.is_on() || frame::payload(plain).len() < self.min_bytes.load(Relaxed) {
            return None;
        }
        let Some(compressed) = compress(plain, deflate, self.level.load(Relaxed)) else {
            self.not_smaller.fetch_add(1, Relaxed);
            return None;
        };
        self.messages.fetch_add(1, Relaxed);
        self.bytes_before.fetch_add(plain.len() as u64, Relaxed);
        self.bytes_after.fetch_add(compressed.len() as u64, Relaxed);
        Some(compressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{Opcode, encode};

    #[test]
    fn it_is_off_until_it_is_set_and_counts_what_it_does() {
        let compression = Compression::default();
        let [small, large] = [99, 100].map(|len| encode(Opcode::Text, &vec![b'x'; len]));
        assert!(!compression.is_on() && compression.frame(&large, Deflate::Window15).is_none());
        for level in [0, 10] {
            assert!(compression.set(level, 0).is_err());
        }
        compression.set(6, 100).unwrap();
        assert!(compression.is_on());
        assert_eq!(compression.frame(&small, Deflate::Window15), None);
        let frame = compression.frame(&large, Deflate::Window9).unwrap();
        let noise: Vec<u8> = (0..=255).collect();
        assert_eq!(compression.frame(&encode(Opcode::Binary, &noise), Deflate::Window15), None);
        let (bytes_before, bytes_after) = (large.len() as u64, frame.len() as u64);
        let expected = Compressed { messages: 1, bytes_before, bytes_after, not_smaller: 1 };
        assert_eq!(compression.compressed(), expected);
    }
}
