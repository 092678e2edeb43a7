//! RFC 6455 frames as both ends of a bench need them: pure functions on bytes. Not a full endpoint: no messages of
//! several frames, no UTF-8, no extensions. The rule: payloads are seen in place and nothing is allocated per frame.

use std::fmt;

/// Opcode of a continuation frame.
pub const CONTINUATION: u8 = 0x0;
/// Opcode of a text frame.
pub const TEXT: u8 = 0x1;
/// Opcode of a binary frame.
pub const BINARY: u8 = 0x2;
/// Opcode of a close frame.
pub const CLOSE: u8 = 0x8;
/// Opcode of a ping.
pub const PING: u8 = 0x9;
/// Opcode of a pong.
pub const PONG: u8 = 0xA;

/// The masking key of every client frame. A constant, because nothing between two loopback sockets can be poisoned
/// (RFC 6455 10.3 is about proxies); not zero, so that a server that skips work for zero keys wins nothing.
pub const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// The peer broke the framing; the connection is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A server frame was masked, or a client frame was not (RFC 6455 5.1).
    Mask,
    /// The 64-bit length has its top bit set (RFC 6455 5.2).
    Length,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mask => "mask bit is wrong for this direction",
            Self::Length => "frame length is beyond 63 bits",
        })
    }
}

impl std::error::Error for Fault {}

/// Calls `each` with the first byte (FIN, reserved bits, opcode) and the payload of every whole server frame, and
/// returns how many bytes those frames take. The rest is the beginning of a frame.
///
/// # Errors
/// [`Fault`] is the peer's.
#[inline]
pub fn walk(bytes: &[u8], mut each: impl FnMut(u8, &[u8])) -> Result<usize, Fault> {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let Some(&[first, second]) = rest.first_chunk::<2>() else { return Ok(at) };
        if second & 0x80 != 0 {
            return Err(Fault::Mask);
        }
        let Some((head, size)) = extent(rest, second)? else { return Ok(at) };
        let Some(payload) = rest[head..].get(..size) else { return Ok(at) };
        each(first, payload);
        at += head + size;
    }
}

/// As [`walk`], for client frames: payloads are unmasked in place first.
///
/// # Errors
/// [`Fault`] is the peer's.
pub fn walk_masked(bytes: &mut [u8], mut each: impl FnMut(u8, &[u8])) -> Result<usize, Fault> {
    let mut at = 0;
    loop {
        let rest = &mut bytes[at..];
        let Some(&[first, second]) = rest.first_chunk::<2>() else { return Ok(at) };
        if second & 0x80 == 0 {
            return Err(Fault::Mask);
        }
        let Some((head, size)) = extent(rest, second)? else { return Ok(at) };
        let Some(&key) = rest[head..].first_chunk::<4>() else { return Ok(at) };
        let Some(payload) = rest[head + 4..].get_mut(..size) else { return Ok(at) };
        mask(payload, key);
        each(first, payload);
        at += head + 4 + size;
    }
}

/// Appends one unmasked frame, as a server sends it.
pub fn push(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    head(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

/// Appends one frame masked with [`KEY`], as a client must send it.
pub fn push_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    head(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&KEY);
    let start = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[start..], KEY);
}

/// Where the payload (or the masking key) begins and how long the payload is; `None` while the header is cut.
#[inline]
fn extent(rest: &[u8], second: u8) -> Result<Option<(usize, usize)>, Fault> {
    Ok(match second & 0x7F {
        126 => rest.get(2..4).and_then(|b| b.try_into().ok()).map(|b| (4, usize::from(u16::from_be_bytes(b)))),
        127 => match rest.get(2..10).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes) {
            None => None,
            // 2^63 - 1 is the RFC's bound; a usize of 64 bits holds it, and `head + size` cannot overflow.
            Some(size) if size >> 63 == 0 => usize::try_from(size).ok().map(|size| (10, size)),
            Some(_) => return Err(Fault::Length),
        },
        short => Some((2, usize::from(short))),
    })
}

fn head(out: &mut Vec<u8>, opcode: u8, size: usize, mask: u8) {
    out.push(0x80 | opcode);
    match (u8::try_from(size), u16::try_from(size)) {
        (Ok(short), _) if short < 126 => out.push(mask | short),
        (_, Ok(medium)) => {
            out.push(mask | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
}

/// XOR is its own inverse, so this masks and unmasks. Eight bytes at a time are plenty for the sizes here.
fn mask(payload: &mut [u8], key: [u8; 4]) {
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let (chunks, tail) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 9] = [0, 1, 5, 125, 126, 128, 1000, 65_535, 65_536];

    fn payload(size: usize) -> Vec<u8> {
        (0..size).map(|i| u8::try_from(i % 251).unwrap_or(0)).collect()
    }

    #[test]
    fn server_frames_of_every_length_form_are_walked_in_place() {
        let mut bytes = Vec::new();
        SIZES.iter().for_each(|&size| push(&mut bytes, BINARY, &payload(size)));
        let mut seen = Vec::new();
        let used = walk(&bytes, |first, body| {
            assert_eq!(first, 0x82);
            assert_eq!(body, payload(body.len()));
            seen.push(body.len());
        });
        assert_eq!(used, Ok(bytes.len()));
        assert_eq!(seen, SIZES);
    }

    #[test]
    fn frames_cut_at_every_offset_come_out_whole_and_once() {
        let mut bytes = Vec::new();
        [0, 3, 125, 126, 300].iter().for_each(|&size| push(&mut bytes, BINARY, &payload(size)));
        for cut in 0..=bytes.len() {
            let mut seen = Vec::new();
            let first = walk(&bytes[..cut], |_, body| seen.push(body.len())).unwrap_or(usize::MAX);
            assert!(first <= cut);
            // What the client does with a tail: it is put in front of what arrives next.
            let second = walk(&bytes[first..], |_, body| seen.push(body.len()));
            assert_eq!(second.map(|n| n + first), Ok(bytes.len()), "cut at {cut}");
            assert_eq!(seen, [0, 3, 125, 126, 300], "cut at {cut}");
        }
    }

    #[test]
    fn client_frames_cut_at_every_offset_are_unmasked_whole_and_once() {
        let mut whole = Vec::new();
        [0, 7, 125, 126, 300].iter().for_each(|&size| push_masked(&mut whole, BINARY, &payload(size)));
        for cut in 0..=whole.len() {
            let mut bytes = whole.clone();
            let mut seen = Vec::new();
            let mut note = |_: u8, body: &[u8]| {
                assert_eq!(body, payload(body.len()));
                seen.push(body.len());
            };
            let first = walk_masked(&mut bytes[..cut], &mut note).unwrap_or(usize::MAX);
            let second = walk_masked(&mut bytes[first..], &mut note);
            assert_eq!(second.map(|n| n + first), Ok(whole.len()), "cut at {cut}");
            assert_eq!(seen, [0, 7, 125, 126, 300], "cut at {cut}");
        }
    }

    #[test]
    fn masking_matches_the_example_of_the_rfc() {
        // RFC 6455 5.7: a single-frame masked text message "Hello".
        let mut bytes = vec![0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let mut text = Vec::new();
        assert_eq!(walk_masked(&mut bytes, |_, body| text.extend_from_slice(body)), Ok(11));
        assert_eq!(text, b"Hello");
    }

    #[test]
    fn a_wrong_mask_bit_is_a_fault_in_both_directions() {
        let mut bytes = Vec::new();
        push_masked(&mut bytes, BINARY, b"x");
        assert_eq!(walk(&bytes, |_, _| ()), Err(Fault::Mask));
        bytes.clear();
        push(&mut bytes, BINARY, b"x");
        assert_eq!(walk_masked(&mut bytes, |_, _| ()), Err(Fault::Mask));
    }

    #[test]
    fn a_length_beyond_63_bits_is_a_fault_and_one_below_waits() {
        let mut bytes = vec![0x82, 127];
        bytes.extend_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(walk(&bytes, |_, _| ()), Err(Fault::Length));
        bytes[2] = 0x7F;
        assert_eq!(walk(&bytes, |_, _| ()), Ok(0));
    }
}
