use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { max_bytes: 1024, max_headers: MAX_HEADERS };

/// The result for bytes: 100 if more must come, 200 for a head, or the status of the refusal.
fn status(bytes: &[u8]) -> u16 {
    match parse(bytes, &LIMITS) {
        Ok(None) => 100,
        Ok(Some(_)) => 200,
        Err(refusal) => refusal.status,
    }
}

/// The same for bytes that come one at a time.
fn status_one_by_one(bytes: &[u8]) -> u16 {
    (0..=bytes.len()).map(|len| status(&bytes[..len])).find(|&status| status != 100).unwrap_or(100)
}

fn head(bytes: &[u8]) -> RequestHead {
    parse(bytes, &LIMITS).unwrap().unwrap()
}

fn text<'a>(bytes: &'a [u8], at: &Range<usize>) -> &'a str {
    str::from_utf8(&bytes[at.clone()]).unwrap()
}

#[test]
fn the_parts_of_a_head() {
    let bytes = b"\r\nGET /a/b?c=d HTTP/1.1\r\nHost: x\r\nEmpty:\r\nSpaces: \t y z \t\r\nhost: \xff\r\n\r\nrest\n";
    let head = head(bytes);
    assert_eq!((&*head.method, text(bytes, &head.target), head.is_http11), ("GET", "/a/b?c=d", true));
    assert_eq!(&bytes[head.len..], b"rest\n");
    assert_eq!(&bytes[head.lines.clone()], b"Host: x\r\nEmpty:\r\nSpaces: \t y z \t\r\nhost: \xff\r\n");
    let names: Vec<_> = head.headers.iter().map(|(name, _)| text(bytes, name)).collect();
    assert_eq!(names, ["Host", "Empty", "Spaces", "host"]);
    let values = |name| head.values(bytes, name).collect::<Vec<_>>();
    assert_eq!(values("HOST"), [b"x".as_slice(), b"\xff"]);
    assert_eq!((values("empty"), values("spaces")), (vec![b"".as_slice()], vec![b"y z".as_slice()]));
    assert!(values("none").is_empty());
}

#[test]
fn a_head_without_headers() {
    let bytes = b"POST * HTTP/1.0\r\n\r\n";
    let head = head(bytes);
    assert_eq!((&*head.method, text(bytes, &head.target), head.is_http11), ("POST", "*", false));
    assert_eq!((head.len, head.lines, head.headers), (19, 17..17, vec![]));
}

#[test]
fn lines_that_are_none() {
    let around = |line: &str| format!("GET / HTTP/1.1\r\nA: b\r\n{line}\r\nC: d\r\n\r\n").into_bytes();
    assert_eq!(status(&around("X: y")), 200);
    for line in [
        " folded: x",
        "\tfolded: x",
        "   ",
        "Space : x",
        "Tab\t: x",
        "no colon",
        ": x",
        ":",
        "X: y\nZ: x",
        "X: y\rZ: x",
        "X: y\r\r\nZ: x",
        "X: y\n\rZ: x",
        "X: \0",
        "X: \x01",
        "X: \x08",
        "X: \x0b",
        "X: \x0c",
        "X: \x1b",
        "X: \x7f",
        "\u{e9}: x",
        "X\0Y: z",
        "X\x01Y: z",
        "X\x7fY: z",
        "X\"Y: z",
        "X(Y: z",
        "X,Y: z",
        "X/Y: z",
        "X;Y: z",
        "X=Y: z",
        "X@Y: z",
        "X[Y: z",
        "X{Y: z",
        "X: y\n",
        "\nX: y",
        "\rX: y",
    ] {
        assert_eq!(status(&around(line)), 400, "{line:?}");
        assert_eq!(status_one_by_one(&around(line)), 400, "{line:?}");
    }
}

#[test]
fn values_are_any_bytes_but_control_characters() {
    for byte in (0..=255).filter(|&byte| byte != b'\n') {
        let bytes = [b"GET / HTTP/1.1\r\nX: y", [byte].as_slice(), b"z\r\n\r\n"].concat();
        let is_good = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        assert_eq!(status(&bytes), if is_good { 200 } else { 400 }, "{byte:#x}");
    }
}

#[test]
fn line_ends_are_crlf() {
    let good = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(status(good.as_bytes()), 200);
    for bad in [
        good.replace("\r\n", "\n"),
        good.replace("\r\n", "\r"),
        good.replace("\r\n", "\n\r"),
        good.replacen("\r\n", "\n", 1),
        good.replace("x\r\n\r\n", "x\n\n"),
        good.replace("x\r\n\r\n", "x\r\n\n"),
        good.replace("x\r\n\r\n", "x\n\r\n"),
        good.replace("\r\nHost", "\r\r\nHost"),
        format!("\n{good}"),
        format!("\r{good}"),
        format!("\r\n\n{good}"),
        format!("\n\r{good}"),
    ] {
        // A bare CR at the end may still become a line end.
        assert_eq!(status(bad.as_bytes()), 400, "{bad:?}");
        assert_eq!(status_one_by_one(bad.as_bytes()), 400, "{bad:?}");
    }
    // What follows a head is not checked.
    assert_eq!(status(format!("{good}\nx\n").as_bytes()), 200);
}

#[test]
fn first_lines_that_are_none() {
    for line in [
        " / HTTP/1.1",
        "GET  HTTP/1.1",
        "GET / ",
        "GET /",
        "GET",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.1 x",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/9.9",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTP/-1.1",
        "GET / http/1.1",
        "GET / HTPP/1.1",
        "GET / RTSP/1.0",
        "G\0T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET /a\0b HTTP/1.1",
        "GET /a\x7fb HTTP/1.1",
        "GET /a\rb HTTP/1.1",
        "GET /a\nb HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "{\"type\":\"join\"}",
        "HTTP/1.1 200 OK",
        "SSH-2.0-OpenSSH_9.6",
        "EHLO evil.org",
        "*1",
        "PRI * HTTP/2.0",
        "PROXY TCP4 1.1.1.1 2.2.2.2 1 2",
        "GE\u{e9}T / HTTP/1.1",
        "\u{feff}GET / HTTP/1.1",
    ] {
        let bytes = format!("{line}\r\nHost: x\r\n\r\n");
        assert_eq!(status(bytes.as_bytes()), 400, "{line:?}");
        assert_eq!(status_one_by_one(bytes.as_bytes()), 400, "{line:?}");
    }
    assert_eq!(status(b"GET /\xff\xfe HTTP/1.1\r\n\r\n"), 400);
}

#[test]
fn other_protocols_are_known_by_their_first_bytes() {
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"\x05\x01\x00",
        b"\x81\x85\x37\xfa\x21\x3d",
        &[0; 64],
        &[0xff; 64],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
        &[b'A'; 64],
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ] {
        assert_eq!(status(bytes), 400, "{bytes:?}");
        assert_eq!(status_one_by_one(bytes), 400, "{bytes:?}");
    }
}

#[test]
fn a_head_has_as_many_bytes_as_the_limit_and_none_more() {
    let sized = |len: usize| {
        let start = "GET / HTTP/1.1\r\nX: ";
        format!("{start}{}\r\n\r\n", "y".repeat(len - start.len() - 4)).into_bytes()
    };
    assert_eq!(status(&sized(1023)), 200);
    assert_eq!(status(&sized(1024)), 200);
    assert_eq!(status(&[sized(1024), vec![0; 2000]].concat()), 200);
    assert_eq!(status(&sized(1025)), 431);
    assert_eq!(status_one_by_one(&sized(1025)), 431);
    let refusal = parse(&sized(1025), &LIMITS).unwrap_err();
    assert_eq!(refusal.limit, Some(Limit::Head));
    // An incomplete head may be as long.
    assert_eq!(status(&sized(2000)[..1024]), 100);
    assert_eq!(status(&sized(2000)[..1025]), 431);
    // Empty lines before it count.
    assert_eq!(status(&[b"\r\n".as_slice(), &sized(1022)].concat()), 200);
    assert_eq!(status(&[b"\r\n".as_slice(), &sized(1023)].concat()), 431);
    assert_eq!(status(&b"\r\n".repeat(512)), 100);
    assert_eq!(status(&b"\r\n".repeat(513)), 431);
    // A limit of zero, and limits that cut the head anywhere.
    for max_bytes in 0..40 {
        let limits = HeadLimits { max_bytes, ..LIMITS };
        assert_eq!(parse(&sized(40), &limits).unwrap_err().status, 431);
    }
}

#[test]
fn a_head_has_as_many_headers_as_the_limit_and_none_more() {
    let with = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(count)).into_bytes();
    assert_eq!((status(&with(100)), status_one_by_one(&with(100))), (200, 200));
    assert_eq!((status(&with(101)), status_one_by_one(&with(101))), (431, 431));
    assert_eq!(parse(&with(101), &LIMITS).unwrap_err().limit, Some(Limit::Head));
    let few = HeadLimits { max_headers: 2, ..LIMITS };
    assert!(parse(&with(2), &few).is_ok() && parse(&with(3), &few).is_err());
    let many = HeadLimits { max_headers: 1000, ..LIMITS };
    assert!(parse(&with(100), &many).is_ok() && parse(&with(101), &many).is_err());
}

#[test]
fn a_method_has_a_length_that_methods_have() {
    let with = |len: usize| format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(len)).into_bytes();
    assert_eq!((status(&with(32)), status_one_by_one(&with(32))), (200, 200));
    assert_eq!((status(&with(33)), status_one_by_one(&with(33))), (400, 400));
    assert_eq!(status(&[b'A'; 2000]), 400);
}

#[test]
fn requests_that_want_to_become_a_websocket() {
    for (lines, is) in [
        ("Upgrade: websocket\r\nConnection: Upgrade", true),
        ("UPGRADE: WEBSOCKET\r\nCONNECTION: UPGRADE", true),
        ("Upgrade: websocket\r\nConnection: keep-alive, Upgrade", true),
        ("Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: upgrade", true),
        ("Upgrade: websocket\r\nConnection: ,,upgrade\t,", true),
        ("Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: upgrade", true),
        ("Upgrade: websocket", false),
        ("Connection: Upgrade", false),
        ("Upgrade: websocket\r\nConnection: keep-alive", false),
        ("Upgrade: websocket\r\nConnection: upgrades, up grade", false),
        ("Upgrade: h2c\r\nConnection: Upgrade", false),
        ("Upgrade: websocket, h2c\r\nConnection: Upgrade", false),
        ("Upgrade: websockets\r\nConnection: Upgrade", false),
        ("Upgrade:\r\nConnection: Upgrade", false),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n").into_bytes();
        assert_eq!(is_websocket(&head(&bytes), &bytes), is, "{lines}");
    }
}

#[rustfmt::skip]
const PIECES: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n", b"GET /a?b HTTP/1.0\r\n", b"POST ", b"/", b" ", b"HTTP/1.1", b"\r\n", b"\r\n", b"\r\n\r\n", b"\n",
    b"\r", b":", b"Host: x\r\n", b"X: ", b"Connection: upgrade\r\n", b"Upgrade: websocket\r\n", b"\t", b"\0", b"\x7f",
    b"\xff", b"\xc3\xa9", b"A", b"a:b\r\n", b"MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM", b" folded\r\n",
];

/// Parts of heads, valid and invalid.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(PIECES);
    let piece = prop_oneof![8 => known.prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 0..8)];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn how_bytes_are_cut_makes_no_difference(bytes in pieces(), max_bytes in 0..120usize, max_headers in 0..5usize) {
        let limits = HeadLimits { max_bytes, max_headers };
        let whole = parse(&bytes, &limits);
        let first = (0..=bytes.len()).map(|len| parse(&bytes[..len], &limits)).find(|result| !matches!(result, Ok(None)));
        match (whole, first.unwrap_or(Ok(None))) {
            // If there are two mistakes, the reported one may depend on what has come.
            (Err(whole), Err(first)) => prop_assert_eq!((whole.status, whole.limit), (first.status, first.limit)),
            (whole, first) => prop_assert_eq!(whole, first),
        }
    }

    #[test]
    fn a_head_is_within_its_bytes_and_limits(bytes in pieces(), max_bytes in 0..120usize, max_headers in 0..5usize) {
        match parse(&bytes, &HeadLimits { max_bytes, max_headers }) {
            Ok(None) => prop_assert!(bytes.len() <= max_bytes),
            Ok(Some(head)) => {
                prop_assert!(head.len <= max_bytes && head.headers.len() <= max_headers);
                prop_assert!(bytes[..head.len].ends_with(b"\r\n\r\n"));
                let mut lines = Vec::new();
                for (name, value) in &head.headers {
                    prop_assert!(head.lines.start <= name.start && name.end < value.start + 1 && value.end <= head.lines.end);
                    lines.push((&bytes[name.clone()], &bytes[value.clone()]));
                }
                // A simple independent parser of the lines finds the same.
                let block = &bytes[head.lines.clone()];
                let mut found = Vec::new();
                for line in block.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                    let colon = line.iter().position(|&byte| byte == b':').unwrap();
                    found.push((&line[..colon], line[colon + 1..].trim_ascii()));
                }
                prop_assert_eq!(lines, found);
            }
            Err(refusal) => prop_assert!(matches!(refusal.status, 400 | 431)),
        }
    }
}
