//! What the first 16 bytes of every payload say: when it was sent (or should have been) and which message it is. Not
//! an envelope of Fanwire: servers pass it on unread.

use std::io::Write;

/// Bytes a stamp takes; no payload of a bench is shorter.
pub const SIZE: usize = 16;

/// Writes the stamp over the beginning of `payload`, which must hold [`SIZE`] bytes.
pub fn write(payload: &mut [u8], sent: u64, number: u64) {
    payload[..8].copy_from_slice(&sent.to_le_bytes());
    payload[8..SIZE].copy_from_slice(&number.to_le_bytes());
}

/// Characters that a stamp takes as base64 (RFC 4648 4), which is what text begins with.
pub const TEXT: usize = 24;

/// The same as text, over the beginning of `payload`, which must hold [`TEXT`] bytes.
pub fn write_text(payload: &mut [u8], sent: u64, number: u64) {
    let mut bytes = [0; SIZE + 2];
    write(&mut bytes, sent, number);
    for (three, four) in bytes.chunks_exact(3).zip(payload.chunks_exact_mut(4)) {
        let sum = three.iter().fold(0u32, |sum, &byte| sum << 8 | u32::from(byte));
        for (at, letter) in four.iter_mut().enumerate() {
            *letter = ALPHABET[(sum >> (18 - 6 * at)) as usize & 63];
        }
    }
    // 16 bytes are 22 characters and two of padding.
    payload[TEXT - 2..TEXT].fill(b'=');
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The nanosecond of sending and the message's number; `None` if the payload is too short for a stamp.
#[inline]
#[must_use]
pub fn read(payload: &[u8]) -> Option<(u64, u64)> {
    let (sent, rest) = payload.split_first_chunk::<8>()?;
    let number = rest.first_chunk::<8>()?;
    Some((u64::from_le_bytes(*sent), u64::from_le_bytes(*number)))
}

/// The nanoseconds since 1970 that a stamp in JSON shows for an instant of the monotonic clock: of a day without meaning.
#[must_use]
pub fn epoch(sent: u64) -> u64 {
    DAY + sent
}

const DAY: u64 = 1_795_910_400_000_000_000;
const SENT: &[u8] = b"{\"ts\":";
const NUMBER: &[u8] = b",\"seq\":";

/// The same as the first two fields of a JSON object, to the end of `out`: a feed has a time and a number, too.
pub fn write_json(out: &mut Vec<u8>, sent: u64, number: u64) {
    // A vector takes all that is written.
    _ = write!(out, "{{\"ts\":{},\"seq\":{number}", epoch(sent));
}

/// What [`write_json`] has written at the beginning of `object`.
#[inline]
#[must_use]
pub fn read_json(object: &[u8]) -> Option<(u64, u64)> {
    let (time, rest) = digits(object.strip_prefix(SENT)?)?;
    let (number, _) = digits(rest.strip_prefix(NUMBER)?)?;
    Some((time.checked_sub(DAY)?, number))
}

#[inline]
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let size = text.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(size);
    let value = number.iter().try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    (size > 0).then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_and_a_short_payload_has_none() {
        let mut payload = [0; 20];
        write(&mut payload, 7, u64::MAX);
        assert_eq!(read(&payload), Some((7, u64::MAX)));
        assert_eq!(read(&payload[..15]), None);
    }

    #[test]
    fn json_is_the_same_in_digits() {
        let mut out = Vec::new();
        write_json(&mut out, 7, 12);
        assert_eq!(read_json(&out), Some((7, 12)));
        assert_eq!(read_json(b"{\"ts\":1,\"seq\":2}"), None);
        assert_eq!(read_json(b"{\"ts\":99999999999999999999,\"seq\":2}"), None);
    }

    #[test]
    fn text_is_the_same_in_base64() {
        let mut payload = [b'.'; 26];
        write_text(&mut payload, 0x0807_0605_0403_0201, 0xFFFF_FFFF_FFFF_FF00);
        assert_eq!(&payload, b"AQIDBAUGBwgA/////////w==..");
    }
}
