//! Requests, and the host's answers to them.

use super::*;
use crate::wire::deflate::Deflate;

#[test]
fn a_request_goes_up_whole_and_is_not_watched() {
    let mut gate = gate();
    let mut bytes = upgrade("/chat?a=1", "Origin: https://example.com\r\nSec-WebSocket-Protocol: fanwire.v1.json\r\n");
    bytes.extend_from_slice(b"\x82\x80");
    let far = Far::says(&bytes);
    gate.arrive(&far);
    let id = gate.announced();
    assert_eq!(gate.newcomers.waiting(), 1);
    gate.pass(700);
    let Some(NewcomerEvent::Request(request)) = gate.newcomers.news(id) else { panic!() };
    assert_eq!(&*request.target, b"/chat?a=1");
    assert!(request.headers.starts_with(b"Host: example.com\r\n"));
    assert!(request.headers.ends_with(b"Sec-WebSocket-Protocol: fanwire.v1.json\r\n"));
    assert_eq!((&*request.remote, request.is_secure, request.is_origin_allowed), ("192.0.2.7", false, true));
    assert_eq!((request.subprotocol, request.transport), (Some("fanwire.v1.json"), "websocket"));
    // The news is there once.
    assert!(gate.newcomers.news(id).is_none());
    assert_eq!(far.watched(), None);
    let accepted = gate.newcomers.accept(id, gate.now_us).unwrap();
    let head = str::from_utf8(&accepted.head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    assert_eq!(&*accepted.rest, b"\x82\x80");
    assert_eq!((gate.newcomers.waiting(), gate.connections(), far.answer()), (0, 1, String::new()));
    assert_eq!(gate.newcomers.report().statuses().get(&101), Some(&1));
    let durations: Vec<_> = gate.newcomers.report().durations().buckets().filter(|&(_, count)| count > 0).collect();
    assert_eq!((durations, gate.newcomers.report().durations().sum_us()), (vec![(1024, 1)], 700));
    drop(accepted);
    assert_eq!(gate.connections(), 0);
}

#[test]
fn one_that_waits_is_watched_after_a_while() {
    let mut gate = gate();
    let (far, id) = gate.ask();
    gate.pass(99_999);
    assert_eq!(far.watched(), None);
    gate.pass(1);
    assert_eq!(far.watched(), Some(id));
    // No timer is left, so the host may take its time.
    assert_eq!(gate.newcomers.tick(gate.now_us), None);
    // Bytes that come meanwhile are left to the shard, and so is the end behind them.
    far.say(b"\x82\x80");
    gate.wake(&far, false);
    far.end();
    gate.wake(&far, false);
    assert!(gate.gone.is_empty());
    assert!(gate.newcomers.accept(id, gate.now_us).is_some());
}

#[test]
fn one_that_ends_its_side_behind_the_request_has_gone() {
    // It goes while it is watched, before it is, and behind a head that came in two parts.
    for (parts, wait_us) in [(1, SECOND), (1, 0), (2, 0)] {
        let mut gate = gate();
        let head = upgrade("/", "");
        let far = Far::says(&head[..head.len() / parts]);
        gate.arrive(&far);
        far.say(&head[head.len() / parts..]);
        if parts > 1 {
            far.end();
        }
        gate.wake(&far, false);
        let id = gate.announced();
        assert!(gate.newcomers.news(id).is_some());
        gate.pass(wait_us);
        far.end();
        if wait_us > 0 {
            gate.wake(&far, false);
        } else {
            gate.pass(100_000);
        }
        assert_eq!((gate.gone.clone(), far.is_closed()), (vec![id], true));
        assert_eq!((gate.newcomers.waiting(), gate.connections()), (0, 0));
        assert!(gate.newcomers.accept(id, gate.now_us).is_none());
    }
}

#[test]
fn one_that_has_sent_more_and_ended_its_side_is_heard() {
    for more in [&b""[..], b"\x82\x80"] {
        let mut gate = gate();
        let far = Far::says(&[upgrade("/", ""), b"\x82\x80".into()].concat());
        gate.arrive(&far);
        let id = gate.announced();
        assert!(gate.newcomers.news(id).is_some());
        far.say(more);
        far.end();
        gate.pass(SECOND);
        gate.wake(&far, false);
        assert!(gate.gone.is_empty());
        assert_eq!(&*gate.newcomers.accept(id, gate.now_us).unwrap().rest, b"\x82\x80");
    }
}

#[test]
fn one_that_has_gone_is_told_of() {
    let mut gate = gate();
    let (far, id) = gate.ask();
    gate.pass(SECOND);
    far.reset();
    gate.wake(&far, true);
    assert_eq!(gate.gone, [id]);
    assert!(far.is_closed());
    assert_eq!(gate.connections(), 0);
    assert!(gate.newcomers.accept(id, gate.now_us).is_none());
}

#[test]
fn one_that_has_gone_before_the_host_has_heard_of_it_is_nothing() {
    let mut gate = gate();
    let far = Far::says(&upgrade("/", ""));
    gate.arrive(&far);
    let id = gate.announced();
    gate.pass(SECOND);
    gate.wake(&far, true);
    // The host is told, and the news of the newcomer is gone.
    assert_eq!(gate.gone, [id]);
    assert!(gate.newcomers.news(id).is_none());
    assert_eq!(gate.newcomers.waiting(), 0);
}

#[test]
fn stale_ids_do_nothing() {
    let mut gate = gate();
    let (_far, id) = gate.ask();
    let accepted = gate.newcomers.accept(id, gate.now_us).unwrap();
    // Another newcomer has its place now.
    let (other, next) = gate.ask();
    assert_ne!(id, next);
    assert!(gate.newcomers.accept(id, gate.now_us).is_none());
    gate.newcomers.refuse(id, Refusal::new(401, ""), gate.now_us);
    gate.newcomers.left(id);
    gate.newcomers.ready(id, true, gate.now_us);
    assert!(gate.newcomers.news(id).is_none());
    for number in [0, 1, u64::MAX] {
        gate.newcomers.ready(ConnId::from_u64(number), true, gate.now_us);
    }
    assert_eq!((other.answer(), gate.newcomers.waiting(), gate.connections()), (String::new(), 1, 2));
    drop(accepted);
}

#[test]
fn other_requests_go_to_the_host_with_all_that_has_come() {
    let mut gate = gate();
    let request = b"POST /rooms/a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 9\r\n\r\n012";
    let far = Far::says(request);
    gate.arrive(&far);
    let id = gate.announced();
    let Some(NewcomerEvent::Http { stream, data, peer, is_secure, tls: None }) = gate.newcomers.news(id) else {
        panic!()
    };
    assert!(!far.is_closed());
    drop(stream);
    assert_eq!((&*data, &*peer, is_secure), (&request[..], "192.0.2.7", false));
    assert!(gate.newcomers.news(id).is_none());
    // It no longer waits for a decision, but keeps its place until the host has finished.
    assert_eq!((gate.newcomers.waiting(), gate.connections()), (0, 1));
    assert!(gate.newcomers.accept(id, gate.now_us).is_none());
    gate.newcomers.left(id);
    assert_eq!(gate.connections(), 0);
    gate.newcomers.left(id);
}

#[test]
fn one_that_the_host_has_may_ask_to_come_in_later() {
    let limits = AdmissionSettings { max_address_connections: 1, ..AdmissionSettings::default() };
    let mut gate = Gate::new(NewcomerSettings::default(), limits);
    gate.arrive(&Far::says(&get("/")));
    let id = gate.announced();
    assert!(gate.newcomers.news(id).is_some());
    // The head comes in two parts, of which the host has read the first.
    let head = upgrade("/a", "");
    let far = Far::default();
    gate.newcomers.take_back(id, Near(far.clone()), &head[..10], gate.now_us);
    assert_eq!((gate.newcomers.waiting(), gate.connections()), (1, 1));
    far.say(&head[10..]);
    gate.wake(&far, false);
    assert_eq!(gate.announced(), id);
    let Some(NewcomerEvent::Request(request)) = gate.newcomers.news(id) else { panic!() };
    assert_eq!((&*request.target, &*request.remote), (&b"/a"[..], "192.0.2.7"));
    drop(gate.newcomers.accept(id, gate.now_us).unwrap());
    assert_eq!(gate.connections(), 0);
    // Once it was accepted it cannot be taken back.
    let late = Far::default();
    gate.newcomers.take_back(id, Near(late.clone()), &head, gate.now_us);
    assert!(late.is_closed());
}

#[test]
fn what_the_host_has_taken_for_an_upgrade_and_is_none_does_not_go_to_it_again() {
    let connect = b"CONNECT / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n".to_vec();
    for request in [get("/"), connect] {
        let mut gate = gate();
        gate.arrive(&Far::says(&get("/")));
        let id = gate.announced();
        assert!(gate.newcomers.news(id).is_some());
        let far = Far::default();
        gate.newcomers.take_back(id, Near(far.clone()), &request, gate.now_us);
        gate.listen();
        assert!(gate.announced.is_empty());
        assert_eq!(far.status(), 400);
    }
}

#[test]
fn a_socket_that_the_host_never_took_is_closed() {
    let mut gate = gate();
    let far = Far::says(&get("/"));
    gate.arrive(&far);
    gate.newcomers.abort();
    assert!(far.is_closed());
    assert_eq!(gate.connections(), 0);
    let id = gate.announced();
    assert!(gate.newcomers.news(id).is_none());
}

#[test]
fn only_what_is_mounted_is_ours() {
    let mut gate = Gate::new(
        NewcomerSettings { paths: paths("/site", "/fanwire"), ..NewcomerSettings::default() },
        AdmissionSettings::default(),
    );
    for (target, ours) in [
        ("/fanwire", Some("/")),
        ("/site/fanwire/a?b", Some("/a?b")),
        ("/site/fanwire?b", Some("/?b")),
        ("/fanwires", None),
        ("/site", None),
        ("/a", None),
        ("http://example.com/fanwire", None),
    ] {
        // A request that belongs to the application is not checked.
        let bad = upgrade(target, if ours.is_none() { "Content-Length: 9\r\n" } else { "" });
        gate.arrive(&Far::says(&bad));
        let id = gate.announced();
        match (gate.newcomers.news(id), ours) {
            (Some(NewcomerEvent::Request(request)), Some(ours)) => assert_eq!(&*request.target, ours.as_bytes()),
            (Some(NewcomerEvent::Http { data, .. }), None) => assert_eq!(data, bad),
            (news, _) => panic!("{target}: {news:?}"),
        }
    }
}

#[test]
fn compression_is_agreed_to_once_it_is_switched_on() {
    let compression = Arc::new(Compression::default());
    let mut gate = gate();
    gate.newcomers = gate.newcomers.with_compression(Arc::clone(&compression));
    for (is_on, lines, extensions) in [
        (false, "permessage-deflate", None),
        // What is not read cannot be malformed.
        (false, "permessage-deflate; \"", None),
        (true, "", None),
        (true, "permessage-deflate; server_max_window_bits=8", None),
        (true, "permessage-deflate; client_max_window_bits", Some("")),
        (true, "a\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10", Some("9")),
    ] {
        if is_on {
            compression.set(6, 256).unwrap();
        }
        gate.arrive(&Far::says(&upgrade("/", &format!("Sec-WebSocket-Extensions: {lines}\r\n"))));
        let id = gate.announced();
        let Some(NewcomerEvent::Request(request)) = gate.newcomers.news(id) else { panic!() };
        assert_eq!(request.compression, extensions.is_some(), "{lines}");
        let accepted = gate.newcomers.accept(id, gate.now_us).unwrap();
        let head = str::from_utf8(&accepted.head).unwrap();
        let line = extensions.map(|window| {
            let window = if window.is_empty() { "" } else { &format!("; server_max_window_bits={window}") };
            let takeover = "server_no_context_takeover; client_no_context_takeover";
            format!("\r\nSec-WebSocket-Extensions: permessage-deflate; {takeover}{window}\r\n")
        });
        assert!(line.is_none_or(|line| head.contains(&line)), "{head}");
        assert_eq!(head.contains("Extensions"), extensions.is_some(), "{head}");
        let window = extensions.map_or(Deflate::None, |window| Deflate::within(window.parse().unwrap_or(15)));
        assert_eq!(accepted.opening.deflate(), window);
    }
    // A fallback transport has none.
    let stream = get("/?transport=sse&protocol=fanwire.v1.json");
    let stream = [&stream[..stream.len() - 2], b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"].concat();
    gate.arrive(&Far::says(&stream));
    let id = gate.announced();
    assert_eq!(gate.newcomers.accept(id, gate.now_us).unwrap().opening.deflate(), Deflate::None);
    // A malformed header is refused, as RFC 6455 section 9.1 says.
    let far = Far::says(&upgrade("/", "Sec-WebSocket-Extensions: permessage-deflate; \"\r\n"));
    gate.arrive(&far);
    assert!(far.answer().starts_with("HTTP/1.1 400 "), "{}", far.answer());
}
