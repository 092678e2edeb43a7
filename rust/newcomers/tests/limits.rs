//! Newcomers that a limit refuses when they are accepted.

use super::*;

fn full() -> (Gate, Far) {
    let mut gate = Gate::new(
        NewcomerSettings::default(),
        AdmissionSettings { max_connections: 1, ..AdmissionSettings::default() },
    );
    let (far, _) = gate.ask();
    (gate, far)
}

#[test]
fn it_is_told_once_it_has_asked() {
    let (mut gate, _first) = full();
    let far = Far::default();
    gate.arrive(&far);
    assert_eq!((far.answer(), gate.connections()), (String::new(), 1));
    far.say(b"GET / HTTP/1.1\r\n");
    gate.wake(&far, false);
    assert_eq!(far.answer(), "");
    far.say(b"\r\n");
    gate.wake(&far, false);
    assert_eq!(far.status(), 503);
    assert!(String::from_utf8_lossy(&far.0.borrow().answer).contains("\r\nRetry-After: 5\r\n"));
    assert_eq!(gate.passed(Limit::Connections), 1);
    // The request makes no difference.
    for bytes in [&upgrade("/", ""), &get("/"), &b"nonsense\r\n\r\n"[..]] {
        let far = Far::says(bytes);
        gate.arrive(&far);
        assert_eq!(far.status(), 503);
    }
    assert_eq!(gate.passed(Limit::Connections), 4);
}

#[test]
fn it_is_ended_when_it_does_not_ask() {
    let (mut gate, _first) = full();
    let far = Far::says(b"GET /");
    gate.arrive(&far);
    gate.pass(SECOND - 1);
    assert!(!far.is_closed());
    gate.pass(1);
    assert_eq!((far.is_closed(), far.answer()), (true, String::new()));
}

#[test]
fn it_may_ask_how_the_server_is() {
    let (mut gate, _first) = full();
    gate.newcomers.settings.paths = paths("/rt", "");
    let mut ask = |target: &str, is_ready: bool| {
        gate.newcomers.set_ready(is_ready);
        let far = Far::says(&get(target));
        gate.arrive(&far);
        far.status()
    };
    assert_eq!([ask("/healthz", false), ask("/rt/healthz", false)], [200, 200]);
    assert_eq!([ask("/readyz", false), ask("/readyz", true), ask("/rt/readyz", true)], [503, 200, 200]);
    assert_eq!([ask("/metrics", true), ask("/healthz/", true)], [503, 503]);
    assert!(gate.lines.iter().all(|&(status, _)| status == 503));
}

#[test]
fn it_is_the_application_that_may_be_asked_where_there_is_a_mount() {
    let (mut gate, _first) = full();
    gate.newcomers.settings.paths = paths("", "/fanwire");
    for (target, status) in [("/healthz", 503), ("/fanwire/healthz", 200)] {
        let far = Far::says(&get(target));
        gate.arrive(&far);
        assert_eq!(far.status(), status);
    }
}

#[test]
fn addresses_are_limited_each() {
    let limits = AdmissionSettings { max_address_connections: 1, ..AdmissionSettings::default() };
    let mut gate = Gate::new(NewcomerSettings::default(), limits);
    for (address, status) in [
        (Some("192.0.2.1"), 0),
        (Some("192.0.2.1"), 429),
        (Some("::ffff:192.0.2.1"), 429),
        (Some("192.0.2.2"), 0),
        (None, 0),
        (None, 0),
    ] {
        let far = Far::says(&upgrade("/", ""));
        gate.arrive_at(&far, ListenerOptions::default(), address);
        assert_eq!(far.status(), status, "{address:?}");
    }
    assert_eq!(gate.passed(Limit::AddressConnections), 2);
}

#[test]
fn in_a_dry_run_limits_are_only_counted() {
    let limits = AdmissionSettings { max_connections: 1, dry_run: true, ..AdmissionSettings::default() };
    let mut gate = Gate::new(NewcomerSettings::default(), limits);
    let _first = gate.ask();
    let _second = gate.ask();
    assert_eq!(gate.passed(Limit::Connections), 1);
}
