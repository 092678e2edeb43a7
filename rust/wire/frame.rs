//! Encodes RFC 6455 frames as a server sends them: final and unmasked. Pure functions on bytes.

/// The kind of a frame (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A text message; the payload is UTF-8.
    Text = 0x1,
    /// A binary message.
    Binary = 0x2,
    /// The connection is closing.
    Close = 0x8,
    /// A ping, which asks for an answer.
    Ping = 0x9,
    /// The answer to a ping.
    Pong = 0xA,
}

/// The longest payload of a control frame (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD_MAX: usize = 125;

/// The longest reason of a close frame: a control payload without the two bytes of the code.
pub const CLOSE_REASON_MAX: usize = CONTROL_PAYLOAD_MAX - 2;

/// Returns one frame: header and payload in a single allocation, ready to be written.
pub fn encode(opcode: Opcode, payload: &[u8]) -> Box<[u8]> {
    let mut bytes = header(opcode, payload.len());
    bytes.extend_from_slice(payload);
    bytes.into_boxed_slice()
}

/// Returns the header of a frame, with capacity for its payload of `len` bytes.
pub fn header(opcode: Opcode, len: usize) -> Vec<u8> {
    header_of(FIN | opcode as u8, len)
}

/// Returns the header of a frame with this first byte, with capacity for its payload of `len` bytes.
pub fn header_of(first: u8, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(header_len(len) + len);
    bytes.push(first);
    // The length takes the fewest bytes that hold it: "the minimal number of bytes MUST be used" (section 5.2).
    match len {
        n @ 0..=125 => bytes.push(n as u8),
        n @ 126..=0xFFFF => {
            bytes.push(126);
            bytes.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            bytes.push(127);
            bytes.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    bytes
}

/// Returns the payload of a whole frame of a server.
pub fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    frame.get(header..).unwrap_or_default()
}

/// Returns the bytes of the payloads of whole frames of a server.
pub fn payload_len(mut frames: &[u8]) -> usize {
    let mut total = 0;
    while !frames.is_empty() {
        let len = match *frames {
            [_, 126, high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
            [_, 127, ..] => {
                frames.get(2..10).and_then(|len| len.try_into().ok()).map_or(0, u64::from_be_bytes) as usize
            }
            _ => frames.get(1).copied().unwrap_or(0).into(),
        };
        total += len;
        frames = frames.get(header_len(len) + len..).unwrap_or_default();
    }
    total
}

/// Appends a frame as a client sends it, with the mask that changes nothing.
pub fn push_unmasked(bytes: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let header = header(opcode, payload.len());
    bytes.extend_from_slice(&[header[0], MASKED | header[1]]);
    bytes.extend_from_slice(&header[2..]);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
}

/// Returns a control frame. A payload over 125 bytes is cut.
pub fn control(opcode: Opcode, payload: &[u8]) -> Box<[u8]> {
    encode(opcode, &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)])
}

/// Returns a close frame. Without a code its payload is empty: 1005 means "no code" and must never be sent (RFC 6455
/// section 7.4.1). A reason over 123 bytes is cut after the last whole character.
pub fn close(code: Option<u16>, reason: &str) -> Box<[u8]> {
    let Some(code) = code else {
        return encode(Opcode::Close, &[]);
    };
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(cut(reason).as_bytes());
    encode(Opcode::Close, &payload)
}

/// Cuts the reason of a close to what a close frame can hold, after the last whole character.
pub fn cut(reason: &str) -> &str {
    let cut = (0..=reason.len().min(CLOSE_REASON_MAX)).rev().find(|&at| reason.is_char_boundary(at));
    &reason[..cut.unwrap_or(0)]
}

/// Whether an endpoint may send this code in a close frame (RFC 6455 section 7.4; 1012 to 1014 are in its IANA
/// registry).
pub fn is_sendable_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Returns the length of the header for a payload of `len` bytes.
pub fn header_len(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// The bit of a message that is compressed, in the first byte of its first frame (RFC 7692 section 6).
pub const RSV1: u8 = 0x40;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_takes_the_fewest_bytes() {
        for (len, header) in [
            (0, vec![0x82, 0]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_535, vec![0x82, 126, 0xFF, 0xFF]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = encode(Opcode::Binary, &vec![7; len]);
            assert_eq!(frame[..header.len()], header[..], "length {len}");
            assert_eq!(frame.len(), header_len(len) + len);
            assert!(frame[header.len()..].iter().all(|&b| b == 7));
        }
    }

    #[test]
    fn control_payload_is_cut_at_125() {
        assert_eq!(control(Opcode::Pong, &[0; 300]).len(), 2 + 125);
        assert_eq!(*control(Opcode::Ping, b"hi"), [0x89, 2, b'h', b'i']);
    }

    #[test]
    fn close_without_code_is_empty() {
        assert_eq!(*close(None, "ignored"), [0x88, 0]);
        assert_eq!(*close(Some(1001), "bye"), [0x88, 5, 0x03, 0xE9, b'b', b'y', b'e']);
    }

    #[test]
    fn close_reason_is_cut_at_a_character() {
        let frame = close(Some(1000), &"é".repeat(100));
        // 123 bytes hold 61 two-byte characters and half of one, which must not be sent.
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }

    #[test]
    fn reserved_codes_are_not_sendable() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert!(!is_sendable_code(code), "{code}");
        }
        for code in [1000, 1003, 1007, 1014, 3000, 4999] {
            assert!(is_sendable_code(code), "{code}");
        }
    }
}
