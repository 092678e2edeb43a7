use proptest::prelude::*;

use super::*;
use crate::wire::http_head::{HeadLimits, MAX_HEADERS, is_websocket, parse};

pub(crate) const LIMITS: HeadLimits = HeadLimits { max_bytes: 16 << 10, max_headers: MAX_HEADERS };
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Builds an upgrade request. `changes` replace headers or remove them (None); `lines` follow as they are. Each
/// character is one byte.
pub(crate) fn upgrade(first: &str, changes: &[(&str, Option<&str>)], lines: &[&str]) -> Vec<u8> {
    let mut headers = vec![
        ("Host", Some("localhost")),
        ("Upgrade", Some("websocket")),
        ("Connection", Some("Upgrade")),
        ("Sec-WebSocket-Version", Some("13")),
        ("Sec-WebSocket-Key", Some(KEY)),
    ];
    for &(name, value) in changes {
        match headers.iter_mut().find(|(known, _)| *known == name) {
            Some(header) => header.1 = value,
            None => headers.push((name, value)),
        }
    }
    let headers = headers.iter().filter_map(|&(name, value)| Some(format!("{name}: {}", value?)));
    let lines = lines.iter().map(|&line| line.to_owned());
    let text: String =
        [first.to_owned()].into_iter().chain(headers).chain(lines).map(|line| line + "\r\n").collect::<String>()
            + "\r\n";
    text.chars().map(|char| char as u8).collect()
}

fn checked(first: &str, changes: &[(&str, Option<&str>)], lines: &[&str]) -> Result<Upgrade, Refusal> {
    let bytes = upgrade(first, changes, lines);
    check(&parse(&bytes, &LIMITS)?.unwrap(), &bytes)
}

fn with(changes: &[(&str, Option<&str>)], lines: &[&str]) -> Result<Upgrade, Refusal> {
    checked("GET / HTTP/1.1", changes, lines)
}

#[test]
fn a_good_one() {
    let plain = Upgrade {
        // The example of RFC 6455 section 1.3.
        accept_key: *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        host: "localhost".into(),
        origin: None,
        subprotocol: None,
    };
    assert_eq!(with(&[], &[]), Ok(plain.clone()));
    let more = with(&[], &["Origin: https://a", "Content-Length: 0", "X: 1", "X: 2"]);
    assert_eq!(more, Ok(Upgrade { origin: Some("https://a".into()), ..plain.clone() }));
    assert_eq!(checked("GET /a?b HTTP/1.1", &[], &[]), Ok(plain.clone()));
    let names = ["Host", "Sec-WebSocket-Version", "Sec-WebSocket-Key"].map(|name| (name, None));
    let lower = ["host: localhost", "sec-websocket-version: 13", &format!("sec-websocket-key: {KEY}")];
    assert_eq!(with(&names, &lower), Ok(plain));
}

#[test]
fn the_answer() {
    let upgrade = with(&[], &[]).unwrap();
    let start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    assert_eq!(switching(&upgrade.accept_key, None, None), format!("{start}\r\n").as_bytes());
    let named = switching(&upgrade.accept_key, Some("fanwire.v1.raw"), None);
    assert_eq!(named, format!("{start}Sec-WebSocket-Protocol: fanwire.v1.raw\r\n\r\n").as_bytes());
}

#[test]
fn bad_first_lines() {
    for line in [
        "POST / HTTP/1.1",
        "get / HTTP/1.1",
        "GETS / HTTP/1.1",
        "CONNECT x:80 HTTP/1.1",
        "GET / HTTP/1.0",
        "GET * HTTP/1.1",
        "GET http://localhost/ HTTP/1.1",
        "GET x:443 HTTP/1.1",
        "GET a HTTP/1.1",
        "GET ?a HTTP/1.1",
        "GET /\u{c3}\u{a9} HTTP/1.1",
        "GET /?q=\u{e2}\u{82}\u{ac} HTTP/1.1",
    ] {
        assert_eq!(
            checked(line, &[], &[]).unwrap_err(),
            Refusal::bad(checked(line, &[], &[]).unwrap_err().reason),
            "{line}"
        );
    }
}

#[test]
fn bad_headers() {
    let key = |key: &str| vec![("Sec-WebSocket-Key", Some(key.to_owned()))];
    let line = |line: &str| (vec![], Some(line.to_owned()));
    let mut rows = vec![
        (vec![("Host", None)], None),
        (vec![("Sec-WebSocket-Version", None)], None),
        (vec![("Sec-WebSocket-Key", None)], None),
        line("Sec-WebSocket-Version: 13"),
        line("sec-websocket-version: 8"),
        line(&format!("SEC-WEBSOCKET-KEY: {KEY}")),
        line("host: localhost"),
        line("Host: y"),
        line("Upgrade: websocket"),
        line("Transfer-Encoding: chunked"),
        line("Transfer-Encoding: identity"),
        line("Transfer-Encoding:"),
        line("Content-Length: 0\r\nContent-Length: 0"),
        line("Content-Length: 0\r\nContent-Length: 5"),
        line("Sec-WebSocket-Protocol: \u{fc}"),
        line("Sec-WebSocket-Extensions: \u{ff}"),
        line("Sec-WebSocket-Whatever: \u{ff}"),
        line("Origin: \u{ff}"),
    ];
    for value in ["1", "00", "-0", "+0", "0x0", "0, 0", "0 0", "0.0", "zero", "0;x", "", "18446744073709551616"] {
        rows.push(line(&format!("Content-Length: {value}")));
    }
    for host in [
        "",
        "a, b",
        "a b",
        "user@a",
        "a:80:80",
        "a:",
        "a:x",
        "a:123456",
        "[::1",
        "::1",
        "*",
        "http://a",
        "a/",
        "a#",
        "a?",
        "a%00",
        "\u{fc}.org",
    ] {
        rows.push((vec![("Host", Some(host.to_owned()))], None));
    }
    for value in [
        "",
        "x",
        "***",
        "AAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        &KEY[..20],
        &KEY[..22],
        &KEY[..23],
        &format!("{KEY}="),
        &format!("{KEY}AAAA"),
        &format!("{KEY}{KEY}"),
        &format!("@{}", &KEY[1..]),
        &format!("-{}", &KEY[1..]),
        &format!("_{}", &KEY[1..]),
        &format!("{} {}", &KEY[..10], &KEY[10..]),
        &format!("\"{KEY}\""),
        "AAAAAAAAAAAAAAAAAAAAAA=A",
        "AAAAAAAAAAAAAAAAAAAAA===",
        &"A".repeat(10_000),
    ] {
        rows.push((key(value), None));
    }
    for name in SINGLE {
        rows.push(line(&format!("{name}: a\r\n{}: a", name.to_ascii_uppercase())));
    }
    for (changes, line) in &rows {
        let changes: Vec<_> = changes.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        let refusal = with(&changes, line.as_deref().as_slice()).unwrap_err();
        assert_eq!((refusal.status, refusal.headers.len(), refusal.limit), (400, 0, None), "{changes:?} {line:?}");
    }
}

#[test]
fn values_that_are_not_read_here_are_any_bytes() {
    for name in ["CF-IPCity", "Cookie", "Authorization", "X-Forwarded-For", "User-Agent", "Sec-WebSocket"] {
        for value in ["Z\u{c3}\u{bc}rich", "Z\u{fc}rich", "\u{ff}", "\u{ed}\u{a0}\u{80}"] {
            assert!(with(&[], &[&format!("{name}: {value}")]).is_ok(), "{name} {value}");
        }
    }
}

#[test]
fn other_versions_are_told_the_right_one() {
    for version in ["8", "12", "14", "130", "013", "-13", "13.0", "13, 8", "8, 13", "0x0d", "", &"1".repeat(10_000)] {
        let refusal = with(&[("Sec-WebSocket-Version", Some(version))], &[]).unwrap_err();
        assert_eq!((refusal.status, refusal.headers.len()), (426, 2), "{version}");
        let answer = String::from_utf8(refusal.response()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
        assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n"), "{answer}");
    }
}

#[test]
fn keys_whose_letters_were_made_up() {
    // The last letter has four bits that belong to no byte.
    let upgrade = with(&[("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZR=="))], &[]).unwrap();
    assert_ne!(upgrade.accept_key, *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn the_first_subprotocol_that_we_speak() {
    let many = ",".repeat(10_000) + "fanwire.v1.json";
    for (offers, subprotocol) in [
        ([Some("fanwire.v1.json"), None], Some("fanwire.v1.json")),
        ([Some("fanwire.v1.msgpack"), None], Some("fanwire.v1.msgpack")),
        ([Some("fanwire.v1.raw"), None], Some("fanwire.v1.raw")),
        ([Some("chat,fanwire.v1.msgpack , fanwire.v1.json"), None], Some("fanwire.v1.msgpack")),
        ([Some("chat"), Some("fanwire.v1.json")], Some("fanwire.v1.json")),
        ([Some("fanwire.token.abc, fanwire.v1.json"), None], Some("fanwire.v1.json")),
        // A token is no subprotocol, and is never sent back.
        ([Some("fanwire.token.abc"), None], None),
        ([Some("FANWIRE.V1.JSON"), None], None),
        ([Some("fanwire.v1.json;q=1"), None], None),
        ([Some("fanwire.v2.json"), None], None),
        ([Some("__proto__, constructor"), None], None),
        ([Some(",,, ,"), None], None),
        ([Some(""), None], None),
        ([None, None], None),
        ([Some(&many), None], Some("fanwire.v1.json")),
    ] {
        let lines: Vec<_> = offers.iter().flatten().map(|offer| format!("Sec-WebSocket-Protocol: {offer}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        assert_eq!(with(&[], &lines).unwrap().subprotocol, subprotocol, "{offers:?}");
    }
}

proptest! {
    #[test]
    fn no_head_is_more_than_bad(
        target in "[!-~\u{e9}]{1,20}",
        headers in prop::collection::vec((
            prop::sample::select(&["Host", "Sec-WebSocket-Version", "Sec-WebSocket-Key", "Origin", "Content-Length", "X"]),
            "[ -~\u{80}-\u{ff}]{0,30}",
        ), 0..6),
        has_key in any::<bool>(),
    ) {
        let key = ("Sec-WebSocket-Key", has_key.then_some(KEY));
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let bytes = upgrade(&format!("GET {target} HTTP/1.1"), &[key], &lines);
        let Ok(head) = parse(&bytes, &LIMITS) else { return Ok(()) };
        let head = head.unwrap();
        prop_assert!(is_websocket(&head, &bytes));
        if let Err(refusal) = check(&head, &bytes) {
            prop_assert!(matches!(refusal.status, 400 | 426));
            // Only our own headers are sent back.
            let ours = ["Sec-WebSocket-Version: 13", "Upgrade: websocket"];
            prop_assert!(refusal.headers.iter().all(|line| ours.contains(&&**line)));
        }
    }
}
