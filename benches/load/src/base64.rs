//! Base64 (RFC 4648 section 4) of one size: that of a stamp.

use crate::stamp;

/// The first 16 bytes of what 22 characters of base64 (RFC 4648 4) stand for; the last has four bits too many.
#[inline]
pub fn decode(text: &[u8; 22]) -> Option<[u8; stamp::SIZE]> {
    let mut sum = 0u128;
    let mut wrong = 0;
    for &letter in &text[..21] {
        let value = VALUES[usize::from(letter)];
        wrong |= value;
        sum = sum << 6 | u128::from(value & 63);
    }
    let last = VALUES[usize::from(text[21])];
    // 21 letters are 126 bits.
    sum = sum << 2 | u128::from(last >> 4 & 3);
    (wrong | last < 64).then(|| sum.to_be_bytes())
}

pub(crate) const VALUES: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [0xFF; 256];
    let mut value = 0;
    while value < 64 {
        values[alphabet[value as usize] as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_rfc() {
        // "abcdefghijklmnop", by coreutils.
        assert_eq!(decode(b"YWJjZGVmZ2hpamtsbW5vcA"), Some(*b"abcdefghijklmnop"));
        assert_eq!(decode(b"/////////////////////w"), Some([0xFF; 16]));
        assert_eq!(decode(b"YWJjZGVmZ2hpamts\"W5vcA"), None);
    }
}
