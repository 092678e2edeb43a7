//! Newcomers with which the host speaks TLS.

use super::*;

const TLS: ListenerOptions = ListenerOptions { is_tls: true, has_proxy_header: false };

fn arrive(gate: &mut Gate) -> (Far, ConnId) {
    let far = Far::says(b"\x16\x03\x01");
    gate.arrive_at(&far, TLS, Some("192.0.2.7"));
    let id = gate.announced();
    let Some(NewcomerEvent::Tls { peer, .. }) = gate.newcomers.news(id) else { panic!() };
    assert_eq!(peer, "192.0.2.7");
    // The bytes that have come are left for the host.
    assert_eq!(far.0.borrow().given, b"\x16\x03\x01");
    (far, id)
}

fn feed(gate: &mut Gate, id: ConnId, bytes: &[u8]) {
    gate.newcomers.feed(id, Some(bytes), gate.now_us);
    gate.listen();
}

#[test]
fn a_request_by_tls() {
    let mut gate = gate();
    let (far, id) = arrive(&mut gate);
    let head = upgrade("/", "");
    feed(&mut gate, id, &head[..9]);
    feed(&mut gate, id, &[&head[9..], b"re"].concat());
    assert_eq!(gate.announced(), id);
    let Some(NewcomerEvent::Request(request)) = gate.newcomers.news(id) else { panic!() };
    assert!(request.is_secure);
    // Bytes that the host had read already are kept for the shard, which reports them later.
    feed(&mut gate, id, b"st");
    assert_eq!(far.0.borrow().fed, head.len());
    assert_eq!(&*gate.newcomers.accept(id).unwrap().rest, b"rest");
}

#[test]
fn the_end_of_a_request_by_tls() {
    let mut gate = gate();
    let (far, id) = arrive(&mut gate);
    feed(&mut gate, id, &upgrade("/", ""));
    assert!(gate.newcomers.news(id).is_some());
    gate.newcomers.feed(id, None, gate.now_us);
    gate.listen();
    assert_eq!((gate.gone.clone(), far.is_closed(), gate.connections()), (vec![id], true, 0));
}

#[test]
fn what_comes_before_the_host_takes_a_request_of_its_own_is_not_lost() {
    let mut gate = gate();
    let (_far, id) = arrive(&mut gate);
    feed(&mut gate, id, b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab");
    feed(&mut gate, id, b"cd");
    assert_eq!(gate.announced(), id);
    let Some(NewcomerEvent::Http { fd, data, is_secure, .. }) = gate.newcomers.news(id) else { panic!() };
    assert!(fd.is_none() && is_secure);
    assert!(data.ends_with(b"abcd"));
    gate.newcomers.feed(id, None, gate.now_us);
    assert_eq!(gate.connections(), 1);
    gate.newcomers.left(id);
    assert_eq!(gate.connections(), 0);
}

#[test]
fn a_refusal_by_tls() {
    let mut gate = gate();
    let (far, id) = arrive(&mut gate);
    gate.pass(0);
    feed(&mut gate, id, b"nonsense\r\n\r\n");
    assert_eq!((far.status(), far.is_finished(), far.0.borrow().fed), (400, true, 12));
    // Its time is shorter than that for a head, so the timer is due earlier.
    assert!(gate.newcomers.is_early());
    gate.pass(0);
    assert!(!gate.newcomers.is_early());
    feed(&mut gate, id, b"more");
    assert_eq!(far.0.borrow().fed, 16);
    gate.newcomers.feed(id, None, gate.now_us);
    assert_eq!((far.is_closed(), gate.connections()), (true, 0));
}

#[test]
fn no_tls_is_spoken_with_one_that_a_limit_refuses() {
    let limits = AdmissionSettings::default();
    for (limits, limit, status) in [
        (AdmissionSettings { max_connections: 1, ..limits }, Limit::Connections, 503),
        (AdmissionSettings { max_address_connections: 1, ..limits }, Limit::AddressConnections, 429),
        (AdmissionSettings { handshake_rate: 0.1, handshake_burst: 1.0, ..limits }, Limit::HandshakeRate, 503),
    ] {
        let mut gate = Gate::new(NewcomerSettings::default(), limits);
        let (first, id) = arrive(&mut gate);
        for count in 1..=2 * MAX_LEAVING as u64 {
            let far = Far::says(b"\x16\x03\x01");
            gate.arrive_at(&far, TLS, Some("192.0.2.7"));
            assert!(far.is_closed() && !far.0.borrow().is_hosted);
            assert_eq!((far.answer(), gate.announced.len()), (String::new(), 0));
            assert_eq!(gate.newcomers.report().statuses().get(&status), Some(&count));
            assert_eq!(gate.passed(limit), count);
            assert_eq!((gate.newcomers.waiting(), gate.connections()), (1, 1));
        }
        // A newcomer that was accepted before is not affected.
        feed(&mut gate, id, &upgrade("/", ""));
        let id = gate.announced();
        assert!(gate.newcomers.accept(id).is_some() && first.answer().is_empty());
    }
}

#[test]
fn no_tls_is_spoken_with_the_client_of_a_proxy_that_a_limit_refuses() {
    let limits = AdmissionSettings { max_address_connections: 1, ..AdmissionSettings::default() };
    let mut gate = Gate::new(trusting("10.0.0.0/8"), limits);
    let options = ListenerOptions { is_tls: true, has_proxy_header: true };
    let header = b"PROXY TCP4 192.0.2.1 10.0.0.2 4711 443\r\n\x16\x03\x01";
    gate.arrive_at(&Far::says(header), options, Some("10.0.0.1"));
    gate.announced();
    let far = Far::says(header);
    gate.arrive_at(&far, options, Some("10.0.0.1"));
    assert!(far.is_closed() && !far.0.borrow().is_hosted && gate.announced.is_empty());
    assert_eq!((gate.lines.clone(), gate.connections()), (vec![(429, 0)], 1));
    // The peer is no trusted proxy.
    let far = Far::default();
    gate.arrive_at(&far, options, Some("192.0.2.9"));
    assert!(far.is_closed() && gate.announced.is_empty());
    assert_eq!((gate.lines.clone(), gate.connections()), (vec![(429, 0), (403, 0)], 1));
}

#[test]
fn the_handshake_and_the_head_have_their_time_each() {
    let mut gate = gate();
    let (far, id) = arrive(&mut gate);
    gate.pass(4 * SECOND);
    feed(&mut gate, id, b"GET ");
    gate.pass(4 * SECOND);
    feed(&mut gate, id, b"/");
    assert_eq!(far.answer(), "");
    gate.pass(SECOND);
    assert_eq!(far.status(), 408);
    // The peer has a second to end its side.
    assert!(!far.is_closed());
    gate.pass(SECOND);
    assert!(far.is_closed());
}

#[test]
fn one_that_waits_for_the_host_is_not_late() {
    let mut gate = gate();
    let far = Far::default();
    gate.arrive_at(&far, TLS, Some("192.0.2.7"));
    gate.pass(60 * SECOND);
    assert!(!far.is_closed());
    let id = gate.announced();
    assert!(matches!(gate.newcomers.news(id), Some(NewcomerEvent::Tls { .. })));
    gate.pass(5 * SECOND);
    assert_eq!(far.status(), 408);
}

#[test]
fn a_proxy_may_pass_tls_on() {
    let mut gate = Gate::new(trusting("10.0.0.0/8"), AdmissionSettings::default());
    let far = Far::default();
    gate.arrive_at(&far, ListenerOptions { is_tls: true, has_proxy_header: true }, Some("10.0.0.1"));
    for byte in b"PROXY TCP4 192.0.2.1 10.0.0.2 4711 443\r" {
        far.say(&[*byte]);
        gate.wake(&far, false);
        assert!(gate.announced.is_empty());
    }
    far.say(b"\n\x16\x03\x01");
    gate.wake(&far, false);
    let id = gate.announced();
    let Some(NewcomerEvent::Tls { peer, .. }) = gate.newcomers.news(id) else { panic!() };
    assert_eq!(peer, "192.0.2.1");
    assert_eq!(far.0.borrow().given, b"\x16\x03\x01");
    feed(&mut gate, id, &upgrade("/", ""));
    let Some(NewcomerEvent::Request(request)) = gate.newcomers.news(id) else { panic!() };
    assert_eq!((&*request.remote, request.is_secure), ("192.0.2.1", true));
}

#[test]
fn a_proxy_that_ends_its_side_within_its_header_has_gone() {
    for header in [&b""[..], b"PROXY TCP4 192.0", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0"] {
        let mut gate = Gate::new(trusting("10.0.0.0/8"), AdmissionSettings::default());
        let far = Far::default();
        gate.arrive_at(&far, ListenerOptions { is_tls: true, has_proxy_header: true }, Some("10.0.0.1"));
        far.say(header);
        gate.wake(&far, false);
        assert_eq!((far.is_closed(), gate.newcomers.waiting()), (false, 1));
        far.end();
        gate.wake(&far, false);
        assert_eq!((far.is_closed(), gate.newcomers.waiting(), gate.connections()), (true, 0, 0));
    }
}

#[test]
fn one_without_the_header_of_its_proxy_is_closed() {
    let mut gate = Gate::new(trusting("10.0.0.0/8"), AdmissionSettings::default());
    let far = Far::says(b"\x16\x03\x01");
    gate.arrive_at(&far, ListenerOptions { is_tls: true, has_proxy_header: true }, Some("10.0.0.1"));
    assert_eq!((far.is_closed(), far.answer()), (true, String::new()));
    assert_eq!(gate.lines, [(400, 0)]);
}
