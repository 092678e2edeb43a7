use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { max_message: 70_000, max_fragments: 5 };
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A [`Decoded`] that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<Decoded<'_>> for Got {
    fn from(item: Decoded<'_>) -> Self {
        match item {
            Decoded::Text(text) => Self::Text(text.into()),
            Decoded::Binary(bytes) => Self::Binary(bytes.into()),
            Decoded::Ping(bytes) => Self::Ping(bytes.into()),
            Decoded::Pong(bytes) => Self::Pong(bytes.into()),
            Decoded::Close(code, reason) => Self::Close(code, reason.into()),
        }
    }
}

/// A frame as a client sends it. Written by hand, independent of the code under test.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xFFFF => bytes.extend([&[0xFE][..], &(len as u16).to_be_bytes()].concat()),
        len => bytes.extend([&[0xFF][..], &(len as u64).to_be_bytes()].concat()),
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    bytes
}

/// Decodes bytes in pieces of these sizes, repeated.
fn read(bytes: &[u8], sizes: &[usize]) -> (Vec<Got>, Result<(), Violation>) {
    read_with(Decoder::new(LIMITS), bytes, sizes)
}

fn read_with(mut decoder: Decoder, bytes: &[u8], sizes: &[usize]) -> (Vec<Got>, Result<(), Violation>) {
    let (mut got, mut rest) = (Vec::new(), bytes);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, left) = rest.split_at(rest.len().min(*size));
        rest = left;
        let mut piece = piece.to_vec();
        let taken = decoder.decode(&mut piece, &mut |item| {
            got.push(item.into());
            ControlFlow::Continue(())
        });
        match taken {
            Ok(taken) => assert_eq!(taken, piece.len()),
            Err(violation) => {
                assert!(decoder.is_over());
                return (got, Err(violation));
            }
        }
    }
    (got, Ok(()))
}

fn code(bytes: &[u8]) -> u16 {
    let whole = read(bytes, &[bytes.len()]);
    assert_eq!(read(bytes, &[1]), whole);
    whole.1.unwrap_err().code
}

fn message() -> impl Strategy<Value = (bool, Vec<u8>)> {
    prop_oneof![
        ".{0,40}".prop_map(|text| (true, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (false, bytes)),
        (65_530..65_540usize).prop_map(|len| (false, vec![7; len])),
    ]
}

proptest! {
    #[test]
    fn messages_come_as_they_were_sent_however_they_are_cut(
        messages in prop::collection::vec((message(), prop::collection::vec(any::<prop::sample::Index>(), 0..4)), 1..5),
        sizes in prop::collection::vec(1..5000usize, 1..5),
    ) {
        let (mut bytes, mut sent) = (Vec::new(), Vec::new());
        for ((is_text, payload), cuts) in messages {
            let mut edges: Vec<_> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
            edges.extend([0, payload.len()]);
            edges.sort_unstable();
            let last = edges.len() - 2;
            for (place, edge) in edges.windows(2).enumerate() {
                let opcode = if place > 0 { CONTINUATION } else if is_text { TEXT } else { BINARY };
                let fin = if place == last { FIN } else { 0 };
                bytes.extend(frame(fin | opcode, &payload[edge[0]..edge[1]]));
                if place < last {
                    // Control frames may come between fragments.
                    bytes.extend(frame(FIN | PING, &payload[..payload.len().min(place)]));
                    sent.push(Got::Ping(payload[..payload.len().min(place)].to_vec()));
                }
            }
            sent.push(match is_text {
                true => Got::Text(String::from_utf8(payload).unwrap()),
                false => Got::Binary(payload),
            });
        }
        prop_assert_eq!(read(&bytes, &sizes), (sent, Ok(())));
    }

    #[test]
    fn any_bytes_are_read_alike_however_they_are_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        first in prop_oneof![Just(0x81u8), Just(0x82), Just(0x01), Just(0x89), Just(0x88), Just(0x80)],
        size in 1..20usize,
    ) {
        let bytes = [frame(first, &bytes[..bytes.len() / 2]), bytes[bytes.len() / 2..].to_vec()].concat();
        prop_assert_eq!(read(&bytes, &[size]), read(&bytes, &[bytes.len()]));
    }
}

#[test]
fn what_breaks_the_rules_is_failed_with_its_code() {
    for (name, bytes, expected) in [
        ("no mask", b"\x81\x01x".to_vec(), 1002),
        ("a reserved bit", frame(0xC1, b"x"), 1002),
        ("an unknown opcode", frame(0x83, b""), 1002),
        ("a fragmented ping", frame(0x09, b""), 1002),
        ("a ping of 126 bytes", frame(0x89, &[0; 126]), 1002),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        ("text within text", [frame(0x01, b"x"), frame(0x81, b"y")].concat(), 1002),
        ("5 bytes in 16 bits", b"\x81\xfe\x00\x05zzzz".to_vec(), 1002),
        ("200 bytes in 64 bits", b"\x82\xff\0\0\0\0\0\0\0\xc8zzzz".to_vec(), 1002),
        ("2^63 bytes", b"\x82\xff\x80\0\0\0\0\0\0\0zzzz".to_vec(), 1002),
        ("a byte too many", frame(0x82, &vec![0; 70_001])[..14].to_vec(), 1009),
        ("a byte too many in two", [frame(0x02, &[0; 1]), frame(0x80, &vec![0; 70_000])].concat(), 1009),
        (
            "a sum that overflows",
            [frame(0x02, b"x"), b"\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xffzzzz".to_vec()].concat(),
            1009,
        ),
        ("six fragments", [vec![frame(0x02, b"")], vec![frame(0x00, b""); 5]].concat().concat(), 1009),
        ("Latin-1", frame(0x81, b"M\xfcnchen"), 1007),
        ("a character in two, wrong", [frame(0x01, b"\xe2\x82"), frame(0x00, b"x")].concat(), 1007),
        ("a character cut at the end", frame(0x81, b"\xe2\x82"), 1007),
        ("a close of one byte", frame(0x88, b"\x03"), 1002),
        ("a close with 1005", frame(0x88, b"\x03\xed"), 1002),
        ("a close whose reason is no text", frame(0x88, b"\x03\xe8\xff"), 1007),
    ] {
        assert_eq!(code(&bytes), expected, "{name}");
    }
}

#[test]
fn text_fails_at_the_byte_that_is_wrong() {
    let bytes = frame(0x81, b"ok \xff and much more that has not come");
    assert_eq!(read(&bytes[..bytes.len() - 30], &[1]).1.unwrap_err().code, 1007);
}

#[test]
fn nothing_counts_after_the_close_frame() {
    let bytes = [frame(0x88, b"\x03\xe8bye"), frame(0x81, b"late"), b"\xff\xff".to_vec()].concat();
    for size in [1, bytes.len()] {
        assert_eq!(read(&bytes, &[size]), (vec![Got::Close(Some(1000), "bye".into())], Ok(())));
    }
    assert_eq!(read(&frame(0x88, b""), &[1]).0, [Got::Close(None, String::new())]);
}

#[test]
fn a_reader_that_stops_is_given_the_rest_later() {
    let mut bytes = [frame(0x81, b"one"), frame(0x81, b"two"), frame(0x81, b"three")].concat();
    let mut decoder = Decoder::new(LIMITS);
    let (mut got, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        at += decoder
            .decode(&mut bytes[at..], &mut |item| {
                got.push(Got::from(item));
                ControlFlow::Break(())
            })
            .unwrap();
    }
    assert_eq!(got, ["one", "two", "three"].map(|text| Got::Text(text.into())));
}

mod compressed;

#[test]
fn nothing_is_kept_between_messages() {
    let mut decoder = Decoder::new(LIMITS);
    let mut bytes = [frame(0x02, &[1; 5000]), frame(0x80, &[1; 5000])].concat();
    let (first, second) = bytes.split_at_mut(6000);
    decoder.decode(first, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(decoder.is_within_message() && decoder.held() >= 5000);
    decoder.decode(second, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(!decoder.is_within_message());
    assert_eq!(decoder.held(), 0);
}
