//! What the first 16 bytes of every payload say: when it was sent (or should have been) and which message it is. Not
//! an envelope of Fanwire: servers pass it on unread.

/// Bytes a stamp takes; no payload of a bench is shorter.
pub const SIZE: usize = 16;

/// Writes the stamp over the beginning of `payload`, which must hold [`SIZE`] bytes.
pub fn write(payload: &mut [u8], sent: u64, number: u64) {
    payload[..8].copy_from_slice(&sent.to_le_bytes());
    payload[8..SIZE].copy_from_slice(&number.to_le_bytes());
}

/// The nanosecond of sending and the message's number; `None` if the payload is too short for a stamp.
#[inline]
#[must_use]
pub fn read(payload: &[u8]) -> Option<(u64, u64)> {
    let (sent, rest) = payload.split_first_chunk::<8>()?;
    let number = rest.first_chunk::<8>()?;
    Some((u64::from_le_bytes(*sent), u64::from_le_bytes(*number)))
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
}
