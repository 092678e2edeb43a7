//! What was decoded once is known by its bytes: all readers of a room get the same, and inflating it for each would make
//! the client slower than the server. Every message counted has been decoded, or equals one that was, byte for byte.

/// Messages kept, by the number that was expected when they came: more than are ever in flight.
const SLOTS: usize = 1024;

/// What one message holds.
#[derive(Debug, Clone, Default)]
pub struct Known {
    expected: u64,
    first: u8,
    bytes: Vec<u8>,
    /// When each of its messages was sent, and its number.
    pub stamps: Vec<(u64, u64)>,
    /// Bytes of its envelopes.
    pub size: u64,
}

/// What was decoded lately.
#[derive(Debug)]
pub struct Memo(Vec<Known>);

impl Default for Memo {
    fn default() -> Self {
        Self(vec![Known::default(); SLOTS])
    }
}

impl Memo {
    /// What this message holds, if it has been decoded; it came where the number `expected` should.
    #[inline]
    #[must_use]
    pub fn recall(&self, expected: u64, first: u8, bytes: &[u8]) -> Option<&Known> {
        let known = &self.0[slot(expected)];
        (known.expected == expected && known.first == first && known.bytes == bytes).then_some(known)
    }

    /// Keeps what this message holds.
    pub fn learn(&mut self, expected: u64, first: u8, bytes: &[u8], stamps: &[(u64, u64)], size: u64) {
        let known = &mut self.0[slot(expected)];
        (known.expected, known.first, known.size) = (expected, first, size);
        known.bytes.clear();
        known.bytes.extend_from_slice(bytes);
        known.stamps.clear();
        known.stamps.extend_from_slice(stamps);
    }
}

fn slot(expected: u64) -> usize {
    usize::try_from(expected % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_at_the_same_place_are_known() {
        let mut memo = Memo::default();
        memo.learn(7, 0xC1, b"abc", &[(1, 7), (1, 8)], 3);
        assert_eq!(memo.recall(7, 0xC1, b"abc").map(|known| known.stamps.len()), Some(2));
        assert!(memo.recall(7, 0xC1, b"abd").is_none());
        assert!(memo.recall(7, 0x81, b"abc").is_none());
        assert!(memo.recall(7 + SLOTS as u64, 0xC1, b"abc").is_none());
    }
}
