use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use proptest::prelude::*;

use super::*;
use crate::wire::frame::{Opcode, encode, header_len};

const WINDOWS: [Deflate; 3] = [Deflate::Window9, Deflate::Window12, Deflate::Window15];

fn inflated(payload: &[u8], limit: usize) -> Result<Vec<u8>, InflateFault> {
    inflate(payload, limit, <[u8]>::to_vec)
}

/// Compresses with plain zlib, block by block.
fn blocks(parts: &[(&[u8], FlushCompress)]) -> Vec<u8> {
    let mut zlib = Compress::new(Compression::new(6), false);
    let mut bytes = Vec::with_capacity(4096);
    for (part, flush) in parts {
        zlib.compress_vec(part, &mut bytes, *flush).unwrap();
    }
    bytes
}

fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    assert!(bytes.ends_with(&TAIL));
    bytes.truncate(bytes.len() - TAIL.len());
    bytes
}

/// Text that compresses, and bytes that do not.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::collection::vec(prop::sample::select(&["price", "size", "\"bid\":", "0.1", "{", "AAPL"]), 0..600);
    prop_oneof![
        words.prop_map(|words| words.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..3000),
        (0..70_000usize, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_payload_inflates_to_itself_in_every_window_and_level(payload in payload(), level in 1..=9u32) {
        let plain = encode(Opcode::Text, &payload);
        for window in WINDOWS {
            let Some(frame) = compress(&plain, window, level) else { continue };
            prop_assert!(frame.len() < plain.len());
            prop_assert_eq!(frame[0], 0xC1);
            let compressed = frame::payload(&frame);
            prop_assert_eq!(frame.len(), header_len(compressed.len()) + compressed.len());
            prop_assert_eq!(inflated(compressed, payload.len()), Ok(payload.clone()));
            // A client that has asked for a window has no more memory than that.
            let mut zlib = Decompress::new_with_window_bits(false, window.bits().unwrap());
            let mut out = Vec::with_capacity(payload.len() + 1);
            let whole = [compressed, &TAIL].concat();
            prop_assert_eq!(zlib.decompress_vec(&whole, &mut out, FlushDecompress::Sync).unwrap(), Status::Ok);
            prop_assert_eq!(&out, &payload);
            if !payload.is_empty() {
                prop_assert_eq!(inflated(compressed, payload.len() - 1), Err(InflateFault::TooLarge));
            }
        }
    }

    #[test]
    fn no_bytes_make_inflating_fail_otherwise(payload in prop::collection::vec(any::<u8>(), 0..200), limit in 0..2000usize) {
        if let Ok(bytes) = inflated(&payload, limit) {
            prop_assert!(bytes.len() <= limit);
        }
    }

    #[test]
    fn what_was_cut_off_is_missed(words in prop::collection::vec(prop::sample::select(&["a", "bc", "price"]), 3..200), at in any::<prop::sample::Index>()) {
        let data = cut(blocks(&[(words.concat().as_bytes(), FlushCompress::Sync)]));
        prop_assert_eq!(inflated(&data[..at.index(data.len() - 1) + 1], 10_000).is_ok(), at.index(data.len() - 1) + 1 == data.len());
    }
}

#[test]
fn what_does_not_get_smaller_is_not_kept() {
    for payload in [&b""[..], b"x", b"ok", &(0..=255).collect::<Vec<u8>>()] {
        for window in WINDOWS {
            assert_eq!(compress(&encode(Opcode::Binary, payload), window, 6), None, "{payload:?}");
        }
    }
    assert_eq!(compress(&encode(Opcode::Binary, &[7; 1000]), Deflate::None, 6), None);
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

#[test]
fn what_does_not_get_smaller_leaves_nothing_for_the_next_message() {
    let text = b"the same again and again, ".repeat(4_000);
    for level in [1, 2, 6, 9] {
        for window in WINDOWS {
            for len in [1, 10, 300, 5_000, 40_000, 100_000] {
                // Bytes above 143 are those that take nine bits.
                let worst: Vec<u8> = noise(len).iter().map(|byte| byte % 112 + 144).collect();
                for bytes in [noise(len), worst] {
                    let frame = compress(&encode(Opcode::Binary, &bytes), window, level);
                    assert!(frame.is_none_or(|frame| inflated(frame::payload(&frame), len) == Ok(bytes)));
                    // All of it had space, or the compressor would have been given up.
                    assert!(
                        COMPRESSORS.with_borrow(|compressors| compressors[window as usize].is_some()),
                        "{len} at {level}"
                    );
                }
                for text in [&text[..len], &text] {
                    // Half of it is noise, so that much comes out, and it still gets smaller.
                    let payload = [&noise(text.len()), text].concat();
                    let Some(frame) = compress(&encode(Opcode::Binary, &payload), window, level) else {
                        assert!(len < 100, "{len} at {level}");
                        continue;
                    };
                    let inflated = inflated(frame::payload(&frame), payload.len());
                    assert!(inflated == Ok(payload), "{len} at {level}");
                }
            }
        }
    }
}

#[test]
fn lengths_of_all_forms() {
    // Noise keeps the compressed payload in each form of length.
    for (len, header) in [(50, 2), (1000, 4), (100_000, 10)] {
        let payload = [noise(len), vec![b'x'; 500]].concat();
        let frame = compress(&encode(Opcode::Binary, &payload), Deflate::Window15, 6).unwrap();
        assert_eq!(frame[0], 0xC2);
        assert_eq!(frame.len() - frame::payload(&frame).len(), header);
        assert_eq!(inflated(frame::payload(&frame), payload.len()), Ok(payload));
    }
}

#[test]
fn the_examples_of_the_specification() {
    for (name, data, expected) in [
        ("one block (7.2.3.1)", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &b"Hello"[..]),
        ("no compression (7.2.3.3)", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00], b"Hello"),
        ("the last block is marked (7.2.3.4)", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], b"Hello"),
        (
            "two blocks (7.2.3.5)",
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
            b"Hello",
        ),
        ("an empty message (7.2.3.6)", &[0x00], b""),
        ("an empty message of another encoder", &[0x02, 0x00], b""),
        ("no data", &[], b""),
        ("a last block and nothing more", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], b"Hello"),
        (
            "two whole streams",
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            b"HelloHello",
        ),
    ] {
        assert_eq!(inflated(data, 10).as_deref(), Ok(expected), "{name}");
        if !expected.is_empty() {
            assert_eq!(inflated(data, expected.len() - 1), Err(InflateFault::TooLarge), "{name}");
        }
    }
}

#[test]
fn what_is_no_data_or_not_all_of_it() {
    for (name, data) in [
        ("a block of a type that does not exist", &[0x07][..]),
        ("a stored block whose lengths differ", &[0x00, 0x05, 0x00, 0x00, 0x00, b'x']),
        ("a distance before the beginning (7.2.3.2)", &[0xf2, 0x00, 0x11, 0x00, 0x00]),
        ("half of Hello", &[0xf2, 0x48, 0xcd]),
        ("a stored block that lacks more than the end", &[0x00, 0x20, 0x00, 0xdf, 0xff, b'x']),
        ("the end was sent as well", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff]),
        ("a last block, and noise", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x07]),
        (
            "a second stream that refers to the first",
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2, 0x00, 0x11, 0x00, 0x00],
        ),
    ] {
        assert_eq!(inflated(data, 1000), Err(InflateFault::Corrupt), "{name}");
    }
    // Nothing is left of it for the next message.
    assert_eq!(inflated(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 5).as_deref(), Ok(&b"Hello"[..]));
}

#[test]
fn several_blocks_of_every_kind() {
    use FlushCompress::{Full, None, Partial, Sync};
    let parts: &[(&[u8], _)] =
        &[(b"one ", None), (b"two ", Partial), (b"three ", Sync), (b"four ", Full), (b"five", Sync)];
    assert_eq!(inflated(&cut(blocks(parts)), 100).as_deref(), Ok(&b"one two three four five"[..]));
    let stored = {
        let mut zlib = Compress::new(Compression::none(), false);
        let mut bytes = Vec::with_capacity(200_000);
        zlib.compress_vec(&vec![b'x'; 150_000], &mut bytes, Sync).unwrap();
        cut(bytes)
    };
    assert!(stored.len() > 150_000);
    assert_eq!(inflated(&stored, 150_000), Ok(vec![b'x'; 150_000]));
}

#[test]
fn a_bomb_is_stopped_at_the_limit_and_leaves_no_memory() {
    let bomb = cut({
        let mut zlib = Compress::new(Compression::best(), false);
        let mut bytes = Vec::with_capacity(200_000);
        zlib.compress_vec(&vec![0; 100 << 20], &mut bytes, FlushCompress::Sync).unwrap();
        bytes
    });
    assert!(bomb.len() < 200_000);
    for limit in [0, 1, BEGINNING - 1, BEGINNING, 1 << 20] {
        assert_eq!(inflated(&bomb, limit), Err(InflateFault::TooLarge));
        assert_eq!(
            inflated(&cut(blocks(&[(&vec![b'x'; limit], FlushCompress::Sync)])), limit).map(|it| it.len()),
            Ok(limit)
        );
        let kept = INFLATER.take().unwrap();
        assert!(kept.out.capacity() <= KEEP);
        INFLATER.set(Some(kept));
    }
}

#[test]
fn a_message_may_be_inflated_while_another_is_looked_at() {
    let hello = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let both = inflate(hello, 5, |outer| inflate(hello, 5, |inner| [outer, inner].concat()).unwrap());
    assert_eq!(both.as_deref(), Ok(&b"HelloHello"[..]));
}
