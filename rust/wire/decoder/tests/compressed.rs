//! Messages of a client that has agreed to compress them.

use flate2::{Compress, Compression, FlushCompress};

use super::*;

const RSV1: u8 = 0x40;
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn decoder() -> Decoder {
    Decoder::new(LIMITS).inflating(true)
}

/// Decodes bytes of a client that has agreed to compress, whole and a byte at a time.
fn inflated(bytes: &[u8]) -> (Vec<Got>, Result<(), Violation>) {
    let whole = read_with(decoder(), bytes, &[bytes.len()]);
    assert_eq!(read_with(decoder(), bytes, &[1]), whole);
    whole
}

fn code_of(bytes: &[u8]) -> u16 {
    inflated(bytes).1.unwrap_err().code
}

fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 1000);
    Compress::new(Compression::new(6), false).compress_vec(payload, &mut bytes, FlushCompress::Sync).unwrap();
    bytes.truncate(bytes.len() - 4);
    bytes
}

proptest! {
    #[test]
    fn compressed_and_other_messages_come_as_they_were_sent_however_they_are_cut(
        messages in prop::collection::vec((message(), any::<bool>(), prop::collection::vec(any::<prop::sample::Index>(), 0..4)), 1..5),
        sizes in prop::collection::vec(1..5000usize, 1..5),
    ) {
        let (mut bytes, mut sent) = (Vec::new(), Vec::new());
        for ((is_text, payload), is_compressed, cuts) in messages {
            let data = if is_compressed { deflated(&payload) } else { payload.clone() };
            let mut edges: Vec<_> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
            edges.extend([0, data.len()]);
            edges.sort_unstable();
            let last = edges.len() - 2;
            for (place, edge) in edges.windows(2).enumerate() {
                let opcode = if place > 0 { CONTINUATION } else if is_text { TEXT } else { BINARY };
                let bit = if place == 0 && is_compressed { RSV1 } else { 0 };
                bytes.extend(frame(if place == last { FIN } else { 0 } | bit | opcode, &data[edge[0]..edge[1]]));
                if place < last {
                    bytes.extend(frame(FIN | PING, b"between"));
                    sent.push(Got::Ping(b"between".to_vec()));
                }
            }
            sent.push(match is_text {
                true => Got::Text(String::from_utf8(payload).unwrap()),
                false => Got::Binary(payload),
            });
        }
        prop_assert_eq!(read_with(decoder(), &bytes, &sizes), (sent, Ok(())));
    }
}

#[test]
fn the_examples_of_the_specification() {
    let hello = [Got::Text("Hello".into())];
    let [first, second] = [&HELLO[..3], &HELLO[3..]];
    for bytes in [
        frame(0xC1, &HELLO),
        [frame(0x41, first), frame(0x80, second)].concat(),
        [frame(0x41, b""), frame(0x00, first), frame(0x89, b""), frame(0x80, second)].concat(),
        frame(0xC1, &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]),
        frame(0xC1, &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
        frame(0xC1, &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]),
    ] {
        let (got, result) = inflated(&bytes);
        let texts: Vec<_> = got.into_iter().filter(|got| matches!(got, Got::Text(_))).collect();
        assert_eq!((&texts[..], result), (&hello[..], Ok(())));
    }
    for empty in [frame(0xC2, &[0x00]), [frame(0x42, &[0x00]), frame(0x80, b"")].concat(), frame(0xC2, b"")] {
        assert_eq!(inflated(&empty), (vec![Got::Binary(Vec::new())], Ok(())));
    }
}

#[test]
fn where_the_bit_must_not_be() {
    for (name, bytes) in [
        ("on a ping", frame(0xC9, b"")),
        ("on a close", frame(0xC8, b"")),
        ("on a continuation", [frame(0x41, &HELLO[..3]), frame(0xC0, &HELLO[3..])].concat()),
        ("on a continuation of a plain message", [frame(0x01, b"x"), frame(0xC0, b"x")].concat()),
        ("another one", frame(0xA1, b"x")),
        ("another one beside it", frame(0xD1, &HELLO)),
        ("on an opcode that does not exist", frame(0xC3, b"x")),
    ] {
        assert_eq!(code_of(&bytes), 1002, "{name}");
    }
    // Without an agreement nowhere.
    assert_eq!(code(&frame(0xC1, &HELLO)), 1002);
}

#[test]
fn what_cannot_be_inflated_is_failed_with_its_code() {
    let max = LIMITS.max_message;
    for (name, bytes, expected) in [
        ("no data", frame(0xC1, &[0xff, 0xff]), 1007),
        ("half of it", frame(0xC1, &HELLO[..4]), 1007),
        ("half of it in two", [frame(0x41, &HELLO[..2]), frame(0x80, &HELLO[2..4])].concat(), 1007),
        ("Latin-1", frame(0xC1, &deflated(b"M\xfcnchen")), 1007),
        ("a character cut at the end", frame(0xC1, &deflated(b"\xe2\x82")), 1007),
        ("a byte too many", frame(0xC2, &deflated(&vec![7; max + 1])), 1009),
        ("a bomb", frame(0xC1, &deflated(&vec![b'x'; 100 * max])), 1009),
        ("a bomb that ends in noise", frame(0xC1, &[deflated(&vec![b'x'; 100 * max]), vec![0xff; 9]].concat()), 1009),
        ("too much before it is inflated", frame(0xC2, &vec![0; 2 * max])[..14].to_vec(), 1009),
        (
            "too much in fragments",
            [frame(0x42, &vec![0; 50_000]), frame(0x00, &vec![0; 50_000])[..8].to_vec()].concat(),
            1009,
        ),
        ("six fragments", [vec![frame(0x42, b"")], vec![frame(0x00, b""); 5]].concat().concat(), 1009),
    ] {
        assert_eq!(code_of(&bytes), expected, "{name}");
    }
    assert_eq!(inflated(&frame(0xC2, &deflated(&vec![7; max]))).0, [Got::Binary(vec![7; max])]);
}

#[test]
fn noise_of_the_largest_size_is_let_through() {
    let noise: Vec<u8> =
        (0..LIMITS.max_message as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut stored = Vec::with_capacity(100_000);
    Compress::new(Compression::none(), false).compress_vec(&noise, &mut stored, FlushCompress::Sync).unwrap();
    stored.truncate(stored.len() - 4);
    assert!(stored.len() > noise.len());
    assert_eq!(inflated(&frame(0xC2, &stored)).0, [Got::Binary(noise)]);
}

#[test]
fn data_without_content_is_counted() {
    // Stored blocks of no bytes.
    let nothing = [[0, 0, 0, 0xff, 0xff].repeat(1000), vec![0]].concat();
    let mut decoder = decoder();
    let mut got = Vec::new();
    let mut bytes = [frame(0xC2, &nothing), frame(0xC1, &deflated(b"xxxxxxxxxxxxxxxxxxxxxxxx"))].concat();
    decoder
        .decode(&mut bytes, &mut |item| {
            got.push(Got::from(item));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(got[0], Got::Binary(Vec::new()));
    assert_eq!((decoder.take_surplus(), decoder.take_surplus()), (5001, 0));
}

#[test]
fn nothing_is_kept_between_compressed_messages() {
    let mut decoder = decoder();
    let data = deflated(&[7; 60_000]);
    let mut bytes = [frame(0x42, &data[..10]), frame(0x80, &data[10..])].concat();
    let (first, second) = bytes.split_at_mut(20);
    decoder.decode(first, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(decoder.is_within_message() && decoder.held() >= 10 && decoder.held() < 1000);
    decoder.decode(second, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((decoder.is_within_message(), decoder.held()), (false, 0));
    // A plain message follows.
    assert_eq!(inflated(&[frame(0xC1, &HELLO), frame(0x81, &HELLO[..0])].concat()).0.len(), 2);
}
