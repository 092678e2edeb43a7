//! The mask of client frames (RFC 6455 section 5.3).

/// Masks or unmasks `bytes`. The first of them is at `offset` in the payload of its frame.
pub fn unmask(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let mask = u32::from_le_bytes(mask).rotate_right((offset % 4 * 8) as u32);
    let wide = u64::from(mask) << 32 | u64::from(mask);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let mut eight = [0; 8];
        eight.copy_from_slice(word);
        word.copy_from_slice(&(u64::from_le_bytes(eight) ^ wide).to_le_bytes());
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(wide.to_le_bytes()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        // RFC 6455 section 5.7.
        let mut bytes = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        unmask(&mut bytes, [0x37, 0xfa, 0x21, 0x3d], 0);
        assert_eq!(&bytes, b"Hello");
    }

    #[test]
    fn pieces_are_masked_like_the_whole() {
        let whole: Vec<u8> = (0..100).collect();
        let mask = [1, 20, 130, 255];
        let mut expected = whole.clone();
        for (at, byte) in expected.iter_mut().enumerate() {
            *byte ^= mask[at % 4];
        }
        for cut in 0..=whole.len() {
            let mut bytes = whole.clone();
            let (first, second) = bytes.split_at_mut(cut);
            unmask(first, mask, 0);
            unmask(second, mask, cut);
            assert_eq!(bytes, expected, "cut at {cut}");
        }
    }
}
