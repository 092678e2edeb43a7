//! Compressed messages of a client: whole, in fragments, damaged, bombs, or any bytes. Decoded whole and in pieces, and
//! compared with what was compressed and with plain inflating, which knows no limit.
#![no_main]

use std::cell::RefCell;
use std::ops::ControlFlow;

use arbitrary::Arbitrary;
use fanwire::wire::decoder::{Decoded, Decoder, Limits};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    messages: Vec<Sent<'a>>,
    sizes: Vec<u8>,
}

/// A message, with the places where it is cut into fragments.
#[derive(Arbitrary, Debug)]
struct Sent<'a> {
    is_text: bool,
    data: Data<'a>,
    cuts: [u16; 3],
    fragments: u8,
}

#[derive(Arbitrary, Debug)]
enum Data<'a> {
    /// A valid message: pieces that are repeated, each flushed in its own way.
    Good { pieces: Vec<Piece<'a>>, level: u8 },
    /// The same with a byte changed, or bytes left out or added.
    Damaged { pieces: Vec<Piece<'a>>, level: u8, at: u16, change: u8 },
    /// Bytes that are called compressed.
    Any(&'a [u8]),
    /// A message that is not compressed.
    Plain(&'a [u8]),
    /// A ping in between.
    Ping,
}

#[derive(Arbitrary, Debug)]
struct Piece<'a> {
    bytes: &'a [u8],
    times: u16,
    flush: u8,
}

const LIMITS: Limits = Limits { max_message: 20_000, max_fragments: 4 };

/// The most bytes of a compressed message.
const COMPRESSED_MAX: usize = 20_000 + 20_000 / 8 + 64;

/// The most bytes that a piece has and that plain inflating gives.
const PIECE_MAX: usize = 8_000;
const INFLATED_MAX: usize = 64 << 10;

thread_local! {
    /// Compressors by level, for the next input.
    static COMPRESSORS: RefCell<[Option<Compress>; 10]> = const { RefCell::new([const { None }; 10]) };
}

const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// What a decoder has told.
type Told = (Vec<(u8, Vec<u8>)>, Option<u16>);

/// Compresses pieces. Returns also what they are.
fn compressed(pieces: &[Piece<'_>], level: u8) -> (Vec<u8>, Vec<u8>) {
    let level = usize::from(level % 10);
    let zlib = COMPRESSORS.with_borrow_mut(|all| all[level].take());
    let mut zlib = zlib.unwrap_or_else(|| Compress::new(Compression::new(level as u32), false));
    zlib.reset();
    let (mut data, mut plain) = (Vec::new(), Vec::new());
    let flushes = [FlushCompress::None, FlushCompress::Partial, FlushCompress::Sync, FlushCompress::Full];
    let last = Piece { bytes: b"", times: 0, flush: 2 };
    for Piece { bytes, times, flush } in pieces.iter().take(4).chain([&last]) {
        let most = PIECE_MAX / bytes.len().max(1);
        let piece = bytes.repeat(usize::from(*times).min(most));
        let before = zlib.total_in();
        loop {
            data.reserve(1000 + piece.len());
            let done = (zlib.total_in() - before) as usize;
            zlib.compress_vec(&piece[done..], &mut data, flushes[usize::from(*flush) % 4]).expect("it compresses");
            if (zlib.total_in() - before) as usize == piece.len() && data.len() < data.capacity() {
                break;
            }
        }
        plain.extend(piece);
    }
    COMPRESSORS.with_borrow_mut(|all| all[level] = Some(zlib));
    if data.ends_with(&TAIL) {
        data.truncate(data.len() - TAIL.len());
    } else {
        // Nothing was left to flush, because the last piece was flushed itself.
        data.push(0);
    }
    (data, plain)
}

/// Inflates with plain zlib, a byte at a time, and several whole streams in a row; none if that is not possible. The
/// data ends with the end that every message gets, and an empty last block.
fn model(payload: &[u8]) -> Option<Vec<u8>> {
    let data = [payload, &TAIL, &[1, 0, 0, 0xFF, 0xFF]].concat();
    let mut out = Vec::with_capacity(INFLATED_MAX);
    let (mut zlib, mut at) = (Decompress::new(false), 0);
    if payload.is_empty() {
        return Some(out);
    }
    while at < data.len() && out.len() < INFLATED_MAX {
        let before = zlib.total_in();
        let status = zlib.decompress_vec(&data[at..at + 1], &mut out, FlushDecompress::None).ok()?;
        at += (zlib.total_in() - before) as usize;
        if status == Status::StreamEnd {
            if at == payload.len() || at == data.len() {
                return Some(out);
            }
            if at > payload.len() {
                return None;
            }
            zlib = Decompress::new(false);
        }
    }
    (out.len() == INFLATED_MAX).then_some(out)
}

fn put(bytes: &mut Vec<u8>, first: u8, payload: &[u8]) {
    bytes.push(first);
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            bytes.push(0xFE);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0xFF);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    let mask = [7, 0, 0x55, 0xFF];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

fn read(bytes: &[u8], mut sizes: impl Iterator<Item = usize>) -> Told {
    let (mut decoder, mut out, mut rest) = (Decoder::new(LIMITS).inflating(true), Vec::new(), bytes);
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(sizes.next().unwrap_or(1000).clamp(1, rest.len()));
        rest = left;
        let result = decoder.decode(&mut piece.to_vec(), &mut |item| {
            out.push(match item {
                Decoded::Text(text) => (1, text.into()),
                Decoded::Binary(bytes) => (2, bytes.into()),
                Decoded::Ping(bytes) => (9, bytes.into()),
                other => panic!("{other:?} was not sent"),
            });
            ControlFlow::Continue(())
        });
        assert!(decoder.held() <= 2 * COMPRESSED_MAX);
        assert!(decoder.take_surplus() <= COMPRESSED_MAX * (out.len() + 1));
        if let Err(violation) = result {
            return (out, Some(violation.code));
        }
    }
    (out, None)
}

fuzz_target!(|input: Input<'_>| {
    let (mut bytes, mut told): (Vec<u8>, Told) = Default::default();
    for Sent { is_text, data, cuts, fragments } in input.messages.iter().take(4) {
        let (payload, plain, bit) = match data {
            Data::Good { pieces, level } => {
                let (payload, plain) = compressed(pieces, *level);
                assert_eq!(model(&payload).as_ref(), Some(&plain), "the model fails");
                (payload, Some(plain), 0x40)
            }
            Data::Damaged { pieces, level, at, change } => {
                let mut payload = compressed(pieces, *level).0;
                let at = usize::from(*at) % payload.len();
                match change % 4 {
                    0 => payload.truncate(at),
                    1 => payload.insert(at, *change),
                    2 => drop(payload.remove(at)),
                    _ => payload[at] ^= change | 1,
                }
                let plain = model(&payload);
                (payload, plain, 0x40)
            }
            Data::Any(payload) => (payload.to_vec(), model(payload), 0x40),
            Data::Plain(payload) => (payload.to_vec(), Some(payload.to_vec()), 0),
            Data::Ping => {
                put(&mut bytes, 0x89, b"p");
                if told.1.is_none() {
                    told.0.push((9, b"p".into()));
                }
                continue;
            }
        };
        let count = usize::from(fragments % 4);
        let mut edges: Vec<_> = cuts[..count].iter().map(|&cut| usize::from(cut) % (payload.len() + 1)).collect();
        edges.extend([0, payload.len()]);
        edges.sort_unstable();
        for (place, edge) in edges.windows(2).enumerate() {
            let opcode = if place > 0 { 0 } else { bit | if *is_text { 1 } else { 2 } };
            put(&mut bytes, if place == count { 0x80 } else { 0 } | opcode, &payload[edge[0]..edge[1]]);
        }
        if told.1.is_some() {
            continue;
        }
        let max = if bit == 0 { LIMITS.max_message } else { COMPRESSED_MAX };
        told.1 = match plain {
            _ if payload.len() > max => Some(1009),
            None => Some(1007),
            Some(plain) if plain.len() > LIMITS.max_message => Some(1009),
            Some(plain) if *is_text && std::str::from_utf8(&plain).is_err() => Some(1007),
            Some(plain) => {
                told.0.push((if *is_text { 1 } else { 2 }, plain));
                None
            }
        };
    }
    let sizes = || input.sizes.iter().map(|&size| usize::from(size));
    let readings =
        [read(&bytes, std::iter::once(bytes.len())), read(&bytes, sizes()), read(&bytes, std::iter::repeat(97))];
    for reading in readings {
        assert_eq!(reading.0, told.0);
        // Data that is damaged behind the limit is over it all the same.
        assert!(reading.1 == told.1 || (reading.1, told.1) == (Some(1009), Some(1007)), "{:?} {:?}", reading.1, told.1);
    }
});
