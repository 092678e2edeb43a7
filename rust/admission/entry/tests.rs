use super::*;
use crate::wire::http_head::{is_websocket, parse};
use crate::wire::opening::Opening;
use crate::wire::websocket_handshake::check;
use crate::wire::websocket_handshake::tests::{KEY, LIMITS, upgrade};

fn entry(hosts: Option<&[&str]>, origins: Option<&[&str]>, proxies: &[&str]) -> Entry {
    let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    Entry::new(hosts.map(owned), origins.map(owned), Proxies::new(proxies).unwrap())
}

fn ask(entry: &Entry, host: &str, lines: &[&str], peer: &str, is_tls: bool) -> Result<Asked, u16> {
    ask_for(None, entry, host, lines, peer, is_tls)
}

fn ask_for(
    opening: Option<Opening>,
    entry: &Entry,
    host: &str,
    lines: &[&str],
    peer: &str,
    is_tls: bool,
) -> Result<Asked, u16> {
    let bytes = upgrade("GET / HTTP/1.1", &[("Host", Some(host))], lines);
    let head = parse(&bytes, &LIMITS).unwrap().unwrap();
    let peer = (!peer.is_empty()).then(|| peer.parse().unwrap());
    let mut wanted = Wanted::from(check(&head, &bytes).unwrap());
    wanted.opening = opening.unwrap_or(wanted.opening);
    entry.look(&head, &bytes, &wanted, peer, is_tls).map_err(|refusal| refusal.status)
}

fn status(entry: &Entry, host: &str, lines: &[&str]) -> u16 {
    ask(entry, host, lines, "192.0.2.1", false).err().unwrap_or(101)
}

#[test]
fn hosts() {
    let (some, any) = (entry(Some(&["Example.com", "[::1]"]), None, &[]), Entry::default());
    for (host, expected) in [
        ("example.com", 101),
        ("EXAMPLE.com:8000", 101),
        ("[::1]:80", 101),
        ("evil.org", 421),
        ("example.com.evil.org", 421),
        ("sub.example.com", 421),
        ("example.com.", 421),
        ("[::2]", 421),
    ] {
        assert_eq!((status(&some, host, &[]), status(&any, host, &[])), (expected, 101), "{host}");
    }
}

#[test]
fn origins() {
    let (some, any) = (entry(None, Some(&["https://a.com"]), &[]), Entry::default());
    for (line, expected) in [
        (Some("Origin: https://a.com"), 101),
        (None, 101),
        (Some("Origin: https://b.com"), 403),
        (Some("Origin: HTTPS://a.com"), 403),
        (Some("Origin: https://a.com:443"), 403),
        (Some("Origin: null"), 403),
        (Some("Origin:"), 403),
    ] {
        assert_eq!(status(&some, "x.org", line.as_slice()), expected, "{line:?}");
        // Without a list no page is refused, because the Origin alone protects nothing.
        assert_eq!(status(&any, "x.org", line.as_slice()), 101, "{line:?}");
    }
    assert_eq!(status(&entry(None, Some(&[]), &[]), "x.org", &["Origin: https://a.com"]), 403);
}

#[test]
fn cookies_are_believed_of_pages_that_are_let_in() {
    let (some, any) = (entry(None, Some(&["https://a.com"]), &[]), Entry::default());
    for (entry, line, is_tls, is_believed) in [
        (&any, Some("Origin: http://x.org"), false, true),
        (&any, Some("Origin: https://x.org"), false, true),
        (&any, Some("Origin: https://x.org"), true, true),
        (&any, Some("Origin: http://x.org"), true, false),
        (&any, Some("Origin: http://y.org"), false, false),
        (&any, Some("Origin: null"), false, false),
        (&any, None, false, false),
        (&some, Some("Origin: https://a.com"), false, true),
        (&some, None, false, false),
    ] {
        let asked = ask(entry, "x.org", line.as_slice(), "192.0.2.1", is_tls).unwrap();
        assert_eq!((asked.is_origin_allowed, asked.is_secure), (is_believed, is_tls), "{line:?} {is_tls}");
    }
}

#[test]
fn proxies_are_believed_if_they_are_trusted() {
    let entry = entry(None, None, &["10.0.0.0/8"]);
    let asked = |lines: &[&str], peer, is_tls| {
        let asked = ask(&entry, "x.org", lines, peer, is_tls).unwrap();
        assert_eq!(asked.address.map(|address| address.to_string()).unwrap_or_default(), asked.remote);
        (asked.remote, asked.is_secure)
    };
    let forwarded = ["X-Forwarded-For: 1.1.1.1", "x-forwarded-for: 198.51.100.1", "X-Forwarded-Proto: HTTPS"];
    for (lines, peer, is_tls, remote, is_secure) in [
        (forwarded.as_slice(), "192.0.2.1", false, "192.0.2.1", false),
        (&forwarded, "10.0.0.1", false, "198.51.100.1", true),
        (&forwarded, "::ffff:10.0.0.1", false, "198.51.100.1", true),
        (&[], "10.0.0.1", true, "10.0.0.1", true),
        (&["X-Forwarded-For: 1.1.1.1", "X-Forwarded-For:"], "10.0.0.1", false, "10.0.0.1", false),
        (&["X-Forwarded-For:", "X-Forwarded-For: 1.1.1.1"], "10.0.0.1", false, "1.1.1.1", false),
        (&["X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 10.0.0.2"], "10.0.0.1", false, "1.1.1.1", false),
        (&["X-Forwarded-For: [::1]:4711"], "10.0.0.1", false, "::1", false),
        (&["X-Forwarded-Proto: wss"], "10.0.0.1", false, "10.0.0.1", true),
        (&["X-Forwarded-Proto: http"], "10.0.0.1", true, "10.0.0.1", true),
        (&["X-Forwarded-Proto: https, http"], "10.0.0.1", false, "10.0.0.1", false),
        // A Unix socket has no address, and does not count as a proxy.
        (&forwarded, "", false, "", false),
        (&[], "::ffff:192.0.2.1", false, "192.0.2.1", false),
    ] {
        assert_eq!(asked(lines, peer, is_tls), (remote.to_owned(), is_secure), "{lines:?} {peer}");
    }
}

#[test]
fn a_proxy_that_speaks_tls_for_us_makes_http_pages_foreign() {
    let entry = entry(None, None, &["10.0.0.1"]);
    let is_allowed = |lines: &[&str]| ask(&entry, "x.org", lines, "10.0.0.1", false).unwrap().is_origin_allowed;
    assert!(is_allowed(&["Origin: http://x.org"]));
    assert!(!is_allowed(&["Origin: http://x.org", "X-Forwarded-Proto: https"]));
}

#[test]
fn what_a_trusted_proxy_forwards_is_ascii() {
    for name in ["X-Forwarded-For", "X-Forwarded-Proto"] {
        let line = format!("{name}: \u{fc}");
        assert_eq!(status(&entry(None, None, &["192.0.2.1"]), "x.org", &[&line]), 400);
        // The header is not read from other peers.
        assert_eq!(ask(&Entry::default(), "x.org", &[&line], "192.0.2.1", false).unwrap().remote, "192.0.2.1");
    }
}

/// The result for the bytes of a peer: 100 if more must come, 200 for a request that is no upgrade, 101 for an upgrade,
/// or the status of the refusal.
fn whole(entry: &Entry, bytes: &[u8]) -> u16 {
    let result = parse(bytes, &LIMITS).and_then(|head| match head {
        None => Ok(100),
        Some(head) if !is_websocket(&head, bytes) => Ok(200),
        Some(head) => entry.look(&head, bytes, &check(&head, bytes)?.into(), None, false).map(|_| 101),
    });
    result.unwrap_or_else(|refusal| refusal.status)
}

/// Checks that these bytes have this result, whole and in parts.
fn assert_outcome(bytes: &[u8], status: u16) {
    let entry = entry(Some(&["localhost", "127.0.0.1"]), None, &[]);
    let name = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
    assert_eq!(whole(&entry, bytes), status, "{name}");
    let step = 1 + bytes.len() / 200;
    let ends = (0..bytes.len()).step_by(step).chain([bytes.len()]);
    let first = ends.map(|end| whole(&entry, &bytes[..end])).find(|&status| status != 100);
    assert_eq!(first.unwrap_or(100), status, "in parts: {name}");
}

#[test]
fn upgrades_with_one_thing_wrong() {
    let first = |line: &str| upgrade(line, &[], &[]);
    let more = |lines: &[&str]| upgrade("GET / HTTP/1.1", &[], lines);
    let changed = |name: &str, value: &str| upgrade("GET / HTTP/1.1", &[(name, Some(value))], &[]);
    let long = |start: &str, end: &str| format!("{start}{}{end}", "x".repeat(20_000));

    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "HEAD", "PATCH", "PROPFIND", "FROB", "get"] {
        assert_outcome(&first(&format!("{method} / HTTP/1.1")), 400);
    }
    assert_outcome(&first(&format!("{} / HTTP/1.1", "GET".repeat(3000))), 400);
    assert_outcome(&first("GET / HTTP/1.0"), 400);
    assert_outcome(&first("GET http://localhost/ HTTP/1.1"), 400);
    assert_outcome(&first(&long("GET /", " HTTP/1.1")), 431);
    assert_outcome(&first(&long("GET /?", " HTTP/1.1")), 431);
    assert_outcome(&changed("Sec-WebSocket-Version", &"9".repeat(5000)), 426);
    assert_outcome(&changed("Sec-WebSocket-Key", &"A".repeat(10_000)), 400);
    assert_outcome(&changed("Host", &"x".repeat(10_000)), 400);
    for host in ["evil.org", "localhost.evil.org", "evil-localhost", "localhost.", "[::1]", "0", "127.1", "2130706433"]
    {
        assert_outcome(&changed("Host", host), 421);
    }
    assert_outcome(&[changed("Content-Length", "5"), b"hello".to_vec()].concat(), 400);
    assert_outcome(&[changed("Transfer-Encoding", "chunked"), b"0\r\n\r\n".to_vec()].concat(), 400);
    assert_outcome(&changed("Transfer-Encoding", "\tchunked"), 400);
    assert_outcome(&more(&["Transfer-Encoding : chunked"]), 400);
    assert_outcome(&more(&["X: y", " Transfer-Encoding: chunked"]), 400);
    assert_outcome(&more(&["X: y", "Host: evil.org"]), 400);
    assert_outcome(&more(&[&long("X-Long: ", "")]), 431);
    assert_outcome(&more(&[&long("", ": y")]), 431);
    assert_outcome(&more(&["X-Same: y"; 95]), 101);
    assert_outcome(&more(&["X-Same: y"; 96]), 431);
    assert_outcome(&more(&["X:"; 3000]), 431);
    assert_outcome(&b"\r\n".repeat(10_000), 431);
    assert_outcome(&[b'A'; 20_000], 400);
}

#[test]
fn what_a_client_may_well_send() {
    let more = |lines: &[&str]| upgrade("GET / HTTP/1.1", &[], lines);
    for lines in [
        vec!["Content-Length: 0"],
        vec!["Expect: 100-continue"],
        vec!["Connection: keep-alive"],
        vec!["a:b", "c:", "d: e"],
        vec!["X:    y   "],
        vec!["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"],
        vec!["Sec-WebSocket-Extensions: x; y=\"\\\\\\"],
        vec!["Sec-WebSocket-Protocol: __proto__, constructor"],
        vec!["X: \u{80}", "X: \u{ff}", "X: \u{ed}\u{a0}\u{80}"],
        vec!["Cookie: a=\u{e9}"],
        vec!["Authorization: Bearer \u{e9}"],
        vec!["X-Forwarded-For: 1.1.1.1, 2.2.2.2", "Forwarded: for=1.1.1.1"],
        vec!["X-Forwarded-Host: evil.org"],
    ] {
        assert_outcome(&more(&lines), 101);
    }
    for line in [
        format!("Cookie: {}", "a=b; ".repeat(3000)),
        format!("Sec-WebSocket-Protocol: {}", ",".repeat(8000)),
        format!("Sec-WebSocket-Protocol: a{}b", " ".repeat(8000)),
        format!("X-Forwarded-For: {}", "1.1.1.1,".repeat(1900)),
    ] {
        assert_outcome(&more(&[&line]), 101);
    }
    assert_outcome(&[b"\r\n".to_vec(), more(&[])].concat(), 101);
    assert_outcome(&upgrade(&format!("GET /?{} HTTP/1.1", "%".repeat(15_000)), &[], &[]), 101);
    let capitals = [("Upgrade", Some("WEBSOCKET")), ("Connection", Some("UPGRADE")), ("Host", Some("LOCALHOST:1"))];
    assert_outcome(&upgrade("GET / HTTP/1.1", &capitals, &[]), 101);
}

#[test]
fn what_is_no_upgrade_is_left_to_the_http_server() {
    for change in [
        ("Upgrade", None),
        ("Connection", None),
        ("Connection", Some("keep-alive")),
        ("Upgrade", Some("h2c")),
        ("Upgrade", Some("websocket, h2c")),
        ("Upgrade", Some("websockets")),
    ] {
        assert_outcome(&upgrade("GET / HTTP/1.1", &[change], &[]), 200);
    }
    assert_outcome(&[b"GET /x HTTP/1.1\r\n\r\n".to_vec(), upgrade("GET / HTTP/1.1", &[], &[])].concat(), 200);
    let body = format!("POST /rooms/a HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nkey={KEY}\n\n");
    assert_outcome(body.as_bytes(), 200);
}

#[test]
fn a_page_that_fetches_from_its_own_origin_names_none() {
    let (any, ours, other) =
        (Entry::default(), entry(None, Some(&["http://x.org"]), &[]), entry(None, Some(&["https://a.com"]), &[]));
    for (line, expected) in [
        ("Sec-Fetch-Site: same-origin", [true, true, false]),
        ("Sec-Fetch-Site: same-site", [false; 3]),
        ("Sec-Fetch-Site: cross-site", [false; 3]),
        ("Sec-Fetch-Site: none", [false; 3]),
        ("X: y", [false; 3]),
    ] {
        let allowed = |opening| {
            [&any, &ours, &other]
                .map(|entry| ask_for(opening, entry, "x.org", &[line], "192.0.2.1", false).unwrap().is_origin_allowed)
        };
        assert_eq!(allowed(Some(Opening::Stream)), expected, "{line}");
        assert_eq!(allowed(Some(Opening::Poll)), expected, "{line}");
        // Browsers name the origin in every request for an upgrade.
        assert_eq!(allowed(None), [false; 3], "{line}");
    }
    // The origin that is named counts.
    let lines = ["Sec-Fetch-Site: same-origin", "Origin: https://b.com"];
    assert!(!ask(&any, "x.org", &lines, "192.0.2.1", false).unwrap().is_origin_allowed);
    assert_eq!(ask(&ours, "x.org", &lines, "192.0.2.1", false), Err(403));
}

#[test]
fn pages_whose_origin_is_accepted_may_read_the_answer() {
    let lines = |entry: &Entry, headers: &[&str]| {
        let bytes = upgrade("GET / HTTP/1.1", &[], headers);
        let head = parse(&bytes, &LIMITS).unwrap().unwrap();
        entry.cors(&head, &bytes).join("|")
    };
    let (any, some) = (Entry::default(), entry(None, Some(&["https://a.com", "https://b.com"]), &[]));
    let expose = "|Access-Control-Expose-Headers: Retry-After";
    assert_eq!(lines(&any, &["Origin: https://c.com"]), format!("Access-Control-Allow-Origin: *{expose}"));
    assert_eq!(
        lines(&some, &["Origin: https://b.com"]),
        format!(
            "Access-Control-Allow-Origin: https://b.com|Access-Control-Allow-Credentials: true|Vary: Origin{expose}"
        )
    );
    for headers in [&["Origin: https://c.com"][..], &[], &["Origin: https://b.com", "Origin: https://b.com"]] {
        assert_eq!(lines(&some, headers), "", "{headers:?}");
    }
}
