//! Newcomers behind proxies.

use super::*;

const PROXIED: ListenerOptions = ListenerOptions { is_tls: false, has_proxy_header: true };

fn limited() -> Gate {
    Gate::new(trusting("10.0.0.0/8"), AdmissionSettings { max_address_connections: 1, ..AdmissionSettings::default() })
}

fn remote(gate: &mut Gate) -> String {
    let id = gate.announced();
    let Some(NewcomerEvent::Request(request)) = gate.newcomers.news(id) else { panic!() };
    request.remote
}

#[test]
fn those_behind_a_proxy_count_for_themselves() {
    let mut gate = limited();
    for client in ["192.0.2.1", "192.0.2.2"] {
        let far = Far::says(&upgrade("/", &format!("X-Forwarded-For: {client}\r\n")));
        gate.arrive_at(&far, ListenerOptions::default(), Some("10.0.0.1"));
        assert_eq!(remote(&mut gate), client);
    }
    let again = Far::says(&upgrade("/", "X-Forwarded-For: 192.0.2.1\r\n"));
    gate.arrive_at(&again, ListenerOptions::default(), Some("10.0.0.1"));
    assert_eq!(again.status(), 429);
}

#[test]
fn the_header_of_the_proxy_protocol_names_the_client() {
    for step in [1, 10, 1000] {
        let mut gate = limited();
        let far = Far::default();
        gate.arrive_at(&far, PROXIED, Some("10.0.0.1"));
        let bytes = [&b"PROXY TCP4 192.0.2.1 10.0.0.2 4711 80\r\n"[..], &upgrade("/a", ""), b"rest"].concat();
        for piece in bytes.chunks(step) {
            far.say(piece);
            gate.wake(&far, false);
            if !gate.announced.is_empty() {
                break;
            }
        }
        let id = *gate.announced.first().unwrap();
        assert_eq!(remote(&mut gate), "192.0.2.1");
        let accepted = gate.newcomers.accept(id, gate.now_us).unwrap();
        assert!(b"rest".starts_with(&accepted.rest[..]));
        // The connection counts for this address.
        let again = Far::says(&bytes);
        gate.arrive_at(&again, PROXIED, Some("10.0.0.1"));
        assert_eq!(again.status(), 429);
    }
}

#[test]
fn a_header_and_a_request_of_the_http_server() {
    let mut gate = limited();
    let far = Far::says(b"PROXY TCP4 192.0.2.1 10.0.0.2 4711 80\r\nGET / HTTP/1.1\r\n\r\n");
    gate.arrive_at(&far, PROXIED, Some("10.0.0.1"));
    let id = gate.announced();
    let Some(NewcomerEvent::Http { data, peer, .. }) = gate.newcomers.news(id) else { panic!() };
    assert_eq!((&*data, &*peer), (&b"GET / HTTP/1.1\r\n\r\n"[..], "192.0.2.1"));
}

#[test]
fn a_proxy_may_speak_for_itself() {
    let mut gate = limited();
    let far = Far::says(&[&b"PROXY UNKNOWN\r\n"[..], &upgrade("/", "")].concat());
    gate.arrive_at(&far, PROXIED, Some("10.0.0.1"));
    assert_eq!(remote(&mut gate), "10.0.0.1");
}

#[test]
fn what_is_no_such_header_is_refused() {
    let mut gate = limited();
    let far = Far::says(&upgrade("/", ""));
    gate.arrive_at(&far, PROXIED, Some("10.0.0.1"));
    assert_eq!(far.status(), 400);
}

#[test]
fn only_trusted_proxies_are_believed() {
    let mut gate = limited();
    let bytes = [&b"PROXY TCP4 192.0.2.1 10.0.0.2 4711 80\r\n"[..], &upgrade("/", "")].concat();
    let far = Far::says(&bytes);
    gate.arrive_at(&far, PROXIED, Some("192.0.2.9"));
    assert_eq!(far.status(), 403);
    let far = Far::says(&bytes);
    gate.arrive_at(&far, PROXIED, None);
    assert_eq!(far.status(), 403);
}

#[test]
fn peers_of_unix_sockets_may_be_trusted() {
    let mut gate = Gate::new(trusting("unix"), AdmissionSettings::default());
    let request = upgrade("/", "X-Forwarded-For: 192.0.2.1\r\n");
    gate.arrive_at(&Far::says(&request), ListenerOptions::default(), None);
    assert_eq!(remote(&mut gate), "192.0.2.1");
    let bytes = [&b"PROXY TCP4 192.0.2.2 10.0.0.2 4711 80\r\n"[..], &upgrade("/", "")].concat();
    gate.arrive_at(&Far::says(&bytes), PROXIED, None);
    assert_eq!(remote(&mut gate), "192.0.2.2");
}
