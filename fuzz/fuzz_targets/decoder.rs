//! Bytes of a client, decoded whole, in pieces, and by a model that shares nothing with the decoder.
#![no_main]

use std::ops::ControlFlow;

use arbitrary::Arbitrary;
use fanwire::wire::decoder::{Decoded, Decoder, Limits};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    parts: Vec<Part<'a>>,
    sizes: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Part<'a> {
    /// A valid frame, except for its first byte.
    Frame {
        first: u8,
        mask: [u8; 4],
        payload: &'a [u8],
    },
    /// A valid frame, so that inputs get deeper.
    Good {
        opcode: Opcode,
        fin: bool,
        text: &'a str,
    },
    Any(&'a [u8]),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Ping = 9,
    Pong = 10,
}

const LIMITS: Limits = Limits { max_message: 300, max_fragments: 5 };

fn put(bytes: &mut Vec<u8>, first: u8, mask: [u8; 4], payload: &[u8]) {
    bytes.push(first);
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0xFE);
            bytes.extend((len as u16).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

fn told(item: Decoded<'_>) -> (u8, Vec<u8>) {
    match item {
        Decoded::Text(text) => (1, text.into()),
        Decoded::Binary(bytes) => (2, bytes.into()),
        Decoded::Ping(bytes) => (9, bytes.into()),
        Decoded::Pong(bytes) => (10, bytes.into()),
        Decoded::Close(code, reason) => {
            let code = code.map(u16::to_be_bytes);
            (8, [code.as_ref().map_or(&[][..], |code| code), reason.as_bytes()].concat())
        }
    }
}

/// The decoded messages, and the code of the violation that ended them.
fn read(bytes: &[u8], mut sizes: impl Iterator<Item = usize>) -> (Vec<(u8, Vec<u8>)>, Option<u16>) {
    let (mut decoder, mut out, mut rest) = (Decoder::new(LIMITS), Vec::new(), bytes);
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
        rest = left;
        let result = decoder.decode(&mut piece.to_vec(), &mut |item| {
            out.push(told(item));
            ControlFlow::Continue(())
        });
        assert!(decoder.held() <= 2 * LIMITS.max_message);
        if let Err(violation) = result {
            return (out, Some(violation.code));
        }
    }
    (out, None)
}

/// RFC 6455 on a whole stream, without regard to memory or to failing early.
fn model(mut bytes: &[u8]) -> (Vec<(u8, Vec<u8>)>, Option<u16>) {
    let mut out = Vec::new();
    let mut message: Option<(u8, Vec<u8>, usize)> = None;
    while let [first, second, rest @ ..] = bytes {
        let (opcode, fin) = (first & 15, first & 128 != 0);
        let is_control = opcode >= 8;
        let is_known = matches!(opcode, 0..=2 | 8..=10);
        let is_misplaced = !is_control && (opcode == 0) != message.is_some();
        let short = usize::from(second & 127);
        if first & 0x70 != 0 || !is_known || (is_control && (!fin || short > 125)) || is_misplaced || second & 128 == 0
        {
            return (out, Some(1002));
        }
        let width = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.len() < width + 4 {
            break;
        }
        let len = if width == 0 {
            short as u64
        } else {
            rest[..width].iter().fold(0, |len, &byte| len << 8 | u64::from(byte))
        };
        if (width == 2 && len < 126) || (width == 8 && (len < 65_536 || len >> 63 != 0)) {
            return (out, Some(1002));
        }
        let mask = &rest[width..width + 4];
        let held = message.as_ref().map_or((0, 0), |(_, bytes, count)| (bytes.len(), *count));
        if !is_control && (held.0 as u64 + len > LIMITS.max_message as u64 || held.1 + 1 > LIMITS.max_fragments) {
            return (out, Some(1009));
        }
        let body = &rest[width + 4..];
        let come = (len as usize).min(body.len());
        let payload: Vec<u8> = body[..come].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        let is_whole = come as u64 == len;
        if is_control {
            if !is_whole {
                break;
            }
            if opcode == 8 {
                let is_code = |code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
                match payload[..] {
                    [] => {}
                    [_] => return (out, Some(1002)),
                    [high, low, ..] if !is_code(u16::from_be_bytes([high, low])) => return (out, Some(1002)),
                    _ if std::str::from_utf8(&payload[2..]).is_err() => return (out, Some(1007)),
                    _ => {}
                }
                out.push((8, payload));
                return (out, None);
            }
            out.push((opcode, payload));
        } else {
            let (kind, mut all, count) = message.take().unwrap_or((opcode, Vec::new(), 0));
            all.extend(&payload);
            if kind == 1 {
                match std::str::from_utf8(&all) {
                    Ok(_) => {}
                    Err(error) if error.error_len().is_none() && !(fin && is_whole) => {}
                    // A frame in one piece is checked when it is whole; the code is 1007 either way.
                    Err(_) => return (out, Some(1007)),
                }
            }
            if !is_whole {
                break;
            }
            if fin {
                out.push((kind, all));
            } else {
                message = Some((kind, all, count + 1));
            }
        }
        bytes = &body[come..];
    }
    // One byte may be enough to know.
    if let [first] = bytes {
        let opcode = first & 15;
        let is_known = matches!(opcode, 0..=2 | 8..=10);
        let is_misplaced = opcode < 8 && (opcode == 0) != message.is_some();
        if first & 0x70 != 0 || !is_known || (opcode >= 8 && first & 128 == 0) || is_misplaced {
            return (out, Some(1002));
        }
    }
    (out, None)
}

fuzz_target!(|input: Input<'_>| {
    let mut bytes = Vec::new();
    for part in &input.parts {
        match *part {
            Part::Frame { first, mask, payload } => put(&mut bytes, first, mask, &payload[..payload.len().min(400)]),
            Part::Good { opcode, fin, text } => {
                let fin = fin || opcode as u8 >= 8;
                let mut len = text.len().min(if opcode as u8 >= 8 { 125 } else { 400 });
                while !text.is_char_boundary(len) {
                    len -= 1;
                }
                put(&mut bytes, u8::from(fin) << 7 | opcode as u8, [1, 2, 3, 4], &text.as_bytes()[..len]);
            }
            Part::Any(more) => bytes.extend(more),
        }
    }
    let whole = read(&bytes, std::iter::once(bytes.len()));
    assert_eq!(whole, model(&bytes));
    assert_eq!(whole, read(&bytes, std::iter::repeat(1)));
    let sizes = input.sizes.iter().map(|&size| usize::from(size));
    assert_eq!(whole, read(&bytes, sizes));
});
