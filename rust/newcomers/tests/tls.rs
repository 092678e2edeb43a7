//! Newcomers that begin with TLS.

use super::*;
use crate::wire::refusal::About;

const TLS: ListenerOptions = ListenerOptions { is_tls: true, has_proxy_header: false };

pub(super) fn info() -> TlsInfo {
    TlsInfo {
        version: "TLSv1.3",
        cipher: "TLS_AES_128_GCM_SHA256".into(),
        server_name: Some("example.com".into()),
        alpn: None,
        is_resumed: false,
        client_certificate: None,
    }
}

/// Lets one come whose handshake has to begin.
fn arrive(gate: &mut Gate) -> (Far, Insecure<Near>) {
    let far = Far::says(b"\x16\x03\x01");
    gate.arrive_at(&far, TLS, Some("192.0.2.7"));
    assert_eq!(gate.insecure.len(), 1);
    // What has come is left for the handshake.
    assert_eq!(far.0.borrow().given, b"\x16\x03\x01");
    (far, gate.insecure.remove(0))
}

/// Lets one come whose handshake is over.
fn secured(gate: &mut Gate, says: &[u8]) -> (Far, ConnId) {
    let (far, Insecure { id, link, .. }) = arrive(gate);
    far.0.borrow_mut().given = says.into();
    gate.newcomers.secured(id, link, info(), gate.now_us);
    gate.listen();
    (far, id)
}

fn fail(gate: &mut Gate, id: ConnId, failure: TlsFailure<Near>) {
    gate.newcomers.failed(id, failure, gate.now_us);
    gate.listen();
}

#[test]
fn a_request_by_tls() {
    let mut gate = gate();
    let (far, id) = secured(&mut gate, &upgrade("/", "")[..9]);
    far.say(&[&upgrade("/", "")[9..], b"rest"].concat());
    gate.wake(&far, false);
    assert_eq!(gate.announced(), id);
    let Some(NewcomerEvent::Request(request)) = gate.newcomers.news(id) else { panic!() };
    assert_eq!((request.is_secure, request.tls.as_deref()), (true, Some(&info())));
    assert_eq!(&*gate.newcomers.accept(id, gate.now_us).unwrap().rest, b"rest");
    assert_eq!(gate.newcomers.report().tls(), TlsHandshakes { full: 1, ..TlsHandshakes::default() });
}

#[test]
fn a_plain_request_by_tls_goes_to_the_host_and_comes_back_as_secure() {
    let mut gate = gate();
    let (_far, id) = secured(&mut gate, &get("/"));
    let Some(NewcomerEvent::Http { is_secure: true, tls, .. }) = gate.newcomers.news(id) else { panic!() };
    assert_eq!(tls.as_deref(), Some(&info()));
    gate.announced();
    let far = Far::default();
    gate.newcomers.take_back(id, Near(far.clone()), &upgrade("/", ""), gate.now_us);
    gate.listen();
    gate.announced();
    let Some(NewcomerEvent::Request(request)) = gate.newcomers.news(id) else { panic!() };
    assert_eq!((request.is_secure, request.tls.as_deref()), (true, Some(&info())));
}

#[test]
fn handshakes_are_counted_by_how_they_end() {
    let mut gate = gate();
    let (far, Insecure { id, link, .. }) = arrive(&mut gate);
    far.0.borrow_mut().given.clear();
    gate.newcomers.secured(id, link, TlsInfo { is_resumed: true, ..info() }, gate.now_us);
    let (silent, Insecure { id, .. }) = arrive(&mut gate);
    fail(&mut gate, id, TlsFailure::Silent);
    assert!(silent.is_closed() && gate.lines.is_empty());
    let (late, Insecure { id, .. }) = arrive(&mut gate);
    fail(&mut gate, id, TlsFailure::Late);
    assert!(late.is_closed() && gate.passed(Limit::HandshakeTimeout) == 1);
    let (_, Insecure { id, .. }) = arrive(&mut gate);
    fail(&mut gate, id, TlsFailure::Gone("it ended".into()));
    assert_eq!(gate.lines, [(0, 0), (0, 0)]);
    assert_eq!(gate.newcomers.report().tls(), TlsHandshakes { full: 0, resumed: 1, failed: 2 });
    // A late word about one that has gone does nothing.
    fail(&mut gate, id, TlsFailure::Late);
    gate.newcomers.secured(id, Near(Far::default()), info(), gate.now_us);
    assert_eq!((gate.lines.len(), gate.connections()), (2, 1));
}

#[test]
fn the_log_names_the_peer_and_the_reason() {
    let mut gate = gate();
    let (_, Insecure { id, .. }) = arrive(&mut gate);
    gate.newcomers.failed(id, TlsFailure::Late, gate.now_us);
    let reason = "the TLS handshake with 192.0.2.7 failed: it was not over in time".into();
    let expected =
        Event::TurnedAway { remote: "192.0.2.7".into(), status: 0, reason, suppressed: 0, asked: About::default() };
    assert_eq!(gate.newcomers.take(), [expected]);
}

#[test]
fn one_that_fails_has_time_to_take_the_alert() {
    let mut gate = gate();
    let (far, Insecure { id, link, .. }) = arrive(&mut gate);
    fail(&mut gate, id, TlsFailure::Failed(link, "it has no certificate".into()));
    assert_eq!((far.is_closed(), gate.newcomers.waiting(), gate.lines.len()), (false, 0, 1));
    far.say(b"more of its flight");
    gate.wake(&far, false);
    assert!(far.0.borrow().given.is_empty() && !far.is_closed());
    gate.pass(SECOND);
    assert_eq!((far.is_closed(), gate.connections()), (true, 0));
}

#[test]
fn one_that_speaks_plain_http_is_told_so() {
    let mut gate = gate();
    let (far, Insecure { id, link, .. }) = arrive(&mut gate);
    fail(&mut gate, id, TlsFailure::Http(link));
    assert_eq!((far.status(), far.is_finished(), gate.lines.clone()), (400, true, vec![(400, 0)]));
    assert_eq!(gate.newcomers.report().tls().failed, 1);
}

#[test]
fn a_refusal_by_tls() {
    let mut gate = gate();
    let (far, _) = secured(&mut gate, b"nonsense\r\n\r\n");
    assert_eq!((far.status(), far.is_finished()), (400, true));
    far.end();
    gate.wake(&far, true);
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
        let (first, id) = secured(&mut gate, b"");
        for count in 1..=2 * MAX_LEAVING as u64 {
            let far = Far::says(b"\x16\x03\x01");
            gate.arrive_at(&far, TLS, Some("192.0.2.7"));
            assert!(far.is_closed() && gate.insecure.is_empty());
            assert_eq!((far.answer(), gate.announced.len()), (String::new(), 0));
            assert_eq!(gate.newcomers.report().statuses().get(&status), Some(&count));
            assert_eq!(gate.passed(limit), count);
            assert_eq!((gate.newcomers.waiting(), gate.connections()), (1, 1));
        }
        // A newcomer that was accepted before is not affected.
        first.say(&upgrade("/", ""));
        gate.wake(&first, false);
        assert_eq!(gate.announced(), id);
        assert!(gate.newcomers.accept(id, gate.now_us).is_some() && first.answer().is_empty());
    }
}

#[test]
fn no_tls_is_spoken_with_the_client_of_a_proxy_that_a_limit_refuses() {
    let limits = AdmissionSettings { max_address_connections: 1, ..AdmissionSettings::default() };
    let mut gate = Gate::new(trusting("10.0.0.0/8"), limits);
    let options = ListenerOptions { is_tls: true, has_proxy_header: true };
    let header = b"PROXY TCP4 192.0.2.1 10.0.0.2 4711 443\r\n\x16\x03\x01";
    gate.arrive_at(&Far::says(header), options, Some("10.0.0.1"));
    assert_eq!(gate.insecure.len(), 1);
    let far = Far::says(header);
    gate.arrive_at(&far, options, Some("10.0.0.1"));
    assert!(far.is_closed() && gate.insecure.len() == 1);
    assert_eq!((gate.lines.clone(), gate.connections()), (vec![(429, 0)], 1));
    // The peer is no trusted proxy.
    let far = Far::default();
    gate.arrive_at(&far, options, Some("192.0.2.9"));
    assert!(far.is_closed() && gate.insecure.len() == 1);
    assert_eq!((gate.lines.clone(), gate.connections()), (vec![(429, 0), (403, 0)], 1));
}

#[test]
fn the_head_has_its_own_time_after_the_handshake() {
    let mut gate = gate();
    let (far, Insecure { id, link, since_us }) = arrive(&mut gate);
    assert_eq!(since_us, gate.now_us);
    // The thread of the handshake keeps its deadline.
    gate.pass(60 * SECOND);
    assert!(!far.is_closed());
    far.0.borrow_mut().given = b"GET ".into();
    gate.newcomers.secured(id, link, info(), gate.now_us);
    gate.pass(5 * SECOND - 1);
    assert_eq!(far.answer(), "");
    gate.pass(1);
    assert_eq!(far.status(), 408);
    // The peer has a second to end its side.
    assert!(!far.is_closed());
    gate.pass(SECOND);
    assert!(far.is_closed());
}

#[test]
fn a_proxy_may_pass_tls_on() {
    let mut gate = Gate::new(trusting("10.0.0.0/8"), AdmissionSettings::default());
    let far = Far::default();
    gate.arrive_at(&far, ListenerOptions { is_tls: true, has_proxy_header: true }, Some("10.0.0.1"));
    for byte in b"PROXY TCP4 192.0.2.1 10.0.0.2 4711 443\r" {
        far.say(&[*byte]);
        gate.wake(&far, false);
        assert!(gate.insecure.is_empty());
    }
    far.say(b"\n\x16\x03\x01");
    gate.wake(&far, false);
    let Insecure { id, link, .. } = gate.insecure.remove(0);
    assert_eq!(far.0.borrow().given, b"\x16\x03\x01");
    far.0.borrow_mut().given = upgrade("/", "");
    gate.newcomers.secured(id, link, info(), gate.now_us);
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

#[test]
fn one_whose_proxy_is_late_with_its_header_gets_no_answer_without_tls() {
    let mut gate = Gate::new(trusting("10.0.0.0/8"), AdmissionSettings::default());
    let far = Far::says(b"PROXY TCP4 192.0");
    gate.arrive_at(&far, ListenerOptions { is_tls: true, has_proxy_header: true }, Some("10.0.0.1"));
    gate.pass(5 * SECOND);
    assert_eq!((far.answer(), far.is_closed()), (String::new(), true));
    assert_eq!((gate.lines.clone(), gate.passed(Limit::HandshakeTimeout)), (vec![(408, 0)], 1));
}
