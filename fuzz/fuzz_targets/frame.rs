//! Frames of every kind, encoded by the crate and decoded by a parser that shares nothing with it.
#![no_main]

mod wire;

use arbitrary::Arbitrary;
use fanwire::wire::frame::{CLOSE_REASON_MAX, CONTROL_PAYLOAD_MAX, Opcode, close, control, encode, header, header_len};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Data {
        is_text: bool,
        payload: &'a [u8],
    },
    /// Lengths that no input could have, around the limits between the header's forms.
    Long {
        is_text: bool,
        len: Length,
        off: i8,
        byte: u8,
    },
    Control {
        is_pong: bool,
        payload: &'a [u8],
    },
    Close {
        code: Option<u16>,
        reason: &'a str,
    },
    Length(usize),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Length {
    Short = 125,
    Middle = 0xFFFF,
    Long = 0x2_0000,
}

fn data(is_text: bool) -> Opcode {
    if is_text { Opcode::Text } else { Opcode::Binary }
}

fn check(opcode: Opcode, bytes: &[u8], payload: &[u8]) {
    let frame = wire::only(bytes);
    assert_eq!(frame.first, 0x80 | opcode as u8);
    assert_eq!(frame.payload, payload);
    assert_eq!(bytes.len(), header_len(payload.len()) + payload.len());
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Data { is_text, payload } => check(data(is_text), &encode(data(is_text), payload), payload),
        Input::Long { is_text, len, off, byte } => {
            let payload = vec![byte; (len as usize).saturating_add_signed(off.into())];
            check(data(is_text), &encode(data(is_text), &payload), &payload);
            let mut bytes = header(data(is_text), payload.len());
            bytes.extend_from_slice(&payload);
            check(data(is_text), &bytes, &payload);
        }
        Input::Control { is_pong, payload } => {
            let opcode = if is_pong { Opcode::Pong } else { Opcode::Ping };
            check(opcode, &control(opcode, payload), &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)]);
        }
        Input::Close { code: None, reason } => check(Opcode::Close, &close(None, reason), b""),
        Input::Close { code: Some(code), reason } => {
            let bytes = close(Some(code), reason);
            let frame = wire::only(&bytes);
            let kept = std::str::from_utf8(&frame.payload[2..]).expect("a reason cut between characters");
            check(Opcode::Close, &bytes, &[&code.to_be_bytes(), kept.as_bytes()].concat());
            // The longest beginning of whole characters that fits.
            let left = reason.strip_prefix(kept).expect("a beginning of the reason");
            let next = left.chars().next().map_or(CLOSE_REASON_MAX, char::len_utf8);
            assert!(left.is_empty() || kept.len() + next > CLOSE_REASON_MAX, "cut at {} too early", kept.len());
        }
        Input::Length(len) => {
            let more = if len > 0xFFFF { 8 } else { 2 * usize::from(len > 125) };
            assert_eq!(header_len(len), 2 + more);
        }
    }
});
