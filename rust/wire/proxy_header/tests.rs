use proptest::prelude::*;

use super::*;

type Parsed = Result<Option<(usize, Option<SocketAddr>)>, u16>;

fn parsed(bytes: &[u8]) -> Parsed {
    parse(bytes).map_err(|refusal| refusal.status)
}

/// The same for bytes that come one at a time.
fn one_by_one(bytes: &[u8]) -> Parsed {
    (0..=bytes.len()).map(|len| parsed(&bytes[..len])).find(|result| *result != Ok(None)).unwrap_or(Ok(None))
}

/// A header of version 2.
fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &len, payload].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 0, 80];

fn v6() -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    [address("2001:db8::7").as_slice(), &address("::1"), &4711u16.to_be_bytes(), &80u16.to_be_bytes()].concat()
}

#[test]
fn text_headers() {
    let longest = format!("PROXY UNKNOWN {0} {0} 65535 65535\r\n", "ffff:".repeat(7) + "ffff");
    for (line, source) in [
        ("PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\n", Some("192.0.2.1:4711")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Some("255.255.255.255:65535")),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 0 0\r\n", Some("1.1.1.1:0")),
        ("PROXY TCP6 2001:db8::7 ::1 4711 80\r\n", Some("[2001:db8::7]:4711")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 80\r\n", Some("[::ffff:192.0.2.1]:4711")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN anything at all, of any number of words \0\u{e9}\r\n", None),
        (&longest, None),
    ] {
        let expected = Ok(Some((line.len(), source.map(|source| source.parse().unwrap()))));
        assert_eq!(parsed(line.as_bytes()), expected, "{line:?}");
        assert_eq!(one_by_one(line.as_bytes()), expected, "{line:?}");
        assert_eq!(parsed(&[line.as_bytes(), b"GET / HTTP/1.1\r\n\r\n"].concat()), expected, "{line:?}");
    }
    assert_eq!(longest.len(), MAX_TEXT);
}

#[test]
fn what_is_no_text_header() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY\tTCP4\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
        "PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 \r\n",
        "PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 -2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n\r\n",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r \r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP4 \u{e9} 2.2.2.2 1 2\r\n",
    ] {
        assert_eq!(parsed(line.as_bytes()), Err(400), "{line:?}");
        assert_eq!(one_by_one(line.as_bytes()), Err(400), "{line:?}");
    }
}

#[test]
fn a_text_header_is_bounded() {
    let with = |len: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(len - 16)).into_bytes();
    assert_eq!(parsed(&with(107)), Ok(Some((107, None))));
    assert_eq!((parsed(&with(108)), one_by_one(&with(108))), (Err(400), Err(400)));
    assert_eq!(parsed(&with(10_000)[..106]), Ok(None));
    assert_eq!(parsed(&with(10_000)[..107]), Err(400));
}

#[test]
fn binary_headers() {
    let v6 = v6();
    // An authority, and an element that does nothing.
    let more = [1, 0, 3, b'a', b'.', b'b', 4, 0, 1, 0];
    let unix = [0; 216];
    for (bytes, source) in [
        (v2(0x21, 0x11, &V4), Some("192.0.2.1:4711")),
        (v2(0x21, 0x11, &[V4.as_slice(), &more].concat()), Some("192.0.2.1:4711")),
        (v2(0x21, 0x21, &v6), Some("[2001:db8::7]:4711")),
        (v2(0x21, 0x21, &[v6.as_slice(), &more].concat()), Some("[2001:db8::7]:4711")),
        // The proxy speaks for itself, so its other fields are ignored.
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0x11, &V4), None),
        (v2(0x20, 0x11, &[]), None),
        (v2(0x20, 0xff, &more), None),
        // There is no network address.
        (v2(0x21, 0x00, &[]), None),
        (v2(0x21, 0x00, &more), None),
        (v2(0x21, 0x31, &unix), None),
        (v2(0x21, 0x12, &V4), None),
        (v2(0x21, 0x22, &v6), None),
        (v2(0x21, 0x10, &V4), None),
    ] {
        let expected = Ok(Some((bytes.len(), source.map(|source| source.parse().unwrap()))));
        assert_eq!(parsed(&bytes), expected, "{bytes:?}");
        assert_eq!(one_by_one(&bytes), expected, "{bytes:?}");
        assert_eq!(parsed(&[bytes.as_slice(), b"GET / HTTP/1.1\r\n\r\n"].concat()), expected, "{bytes:?}");
    }
}

#[test]
fn what_is_no_binary_header() {
    for bytes in [
        v2(0x11, 0x11, &V4),
        v2(0x31, 0x11, &V4),
        v2(0x22, 0x11, &V4),
        v2(0x2f, 0x11, &V4),
        v2(0x21, 0x41, &V4),
        v2(0x21, 0x13, &V4),
        v2(0x21, 0x11, &V4[..11]),
        v2(0x21, 0x11, &[]),
        v2(0x21, 0x21, &V4),
        v2(0x21, 0x31, &V4),
        b"\r\n\r\n\0\r\nQUIT\r\x21\x11\0\0".to_vec(),
        b"\r\nGET / HTTP/1.1\r\n".to_vec(),
        b"\0".to_vec(),
    ] {
        assert_eq!(parsed(&bytes), Err(400), "{bytes:?}");
        assert_eq!(one_by_one(&bytes), Err(400), "{bytes:?}");
    }
}

#[test]
fn a_binary_header_is_bounded() {
    let with = |len: usize| v2(0x21, 0x11, &[V4.as_slice(), &vec![4; len - 28]].concat());
    assert_eq!(parsed(&with(MAX_BINARY)).unwrap().unwrap().0, MAX_BINARY);
    assert_eq!((parsed(&with(MAX_BINARY + 1)), one_by_one(&with(MAX_BINARY + 1))), (Err(400), Err(400)));
    // It is refused after its first bytes.
    assert_eq!(parsed(&v2(0x21, 0x11, &vec![0; 65_535])[..16]), Err(400));
}

#[rustfmt::skip]
const STARTS: &[&[u8]] = &[
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2", b"PROXY TCP4 ", b"PROXY TCP6 ::1 ", b"PROXY UNKNOWN", b"PROXY ", b"PROX", SIGNATURE,
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b"",
];

proptest! {
    #[test]
    fn how_bytes_are_cut_makes_no_difference(
        start in prop::sample::select(STARTS),
        more in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..130),
            "[ .:0-9a-f\r\n]{0,130}".prop_map(String::into_bytes),
        ],
        end in prop::sample::select(&["", "\r\n"]),
    ) {
        let bytes = [start, &more, end.as_bytes()].concat();
        let whole = parsed(&bytes);
        prop_assert_eq!(whole, one_by_one(&bytes));
        match whole {
            Ok(None) => prop_assert!(bytes.len() < MAX_BINARY),
            Ok(Some((len, _))) => prop_assert!(len <= bytes.len() && len <= MAX_BINARY),
            Err(status) => prop_assert_eq!(status, 400),
        }
    }
}
