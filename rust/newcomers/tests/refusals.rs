//! How refusals reach the peer.

use super::*;

#[test]
fn a_refusal_is_answered_and_waits_for_the_end() {
    let mut gate = gate();
    let (far, id) = gate.ask();
    let refusal = Refusal::new(429, "too many devices").with("Retry-After: 9");
    gate.newcomers.refuse(id, refusal, gate.now_us);
    gate.listen();
    assert_eq!((far.status(), far.is_finished(), far.is_closed()), (429, true, false));
    assert!(String::from_utf8_lossy(&far.0.borrow().answer).contains("\r\nRetry-After: 9\r\n"));
    assert_eq!(gate.lines, [(429, 0)]);
    // It no longer waits for a decision, but keeps its place until it has gone.
    assert_eq!((gate.newcomers.waiting(), gate.connections()), (0, 1));
    far.say(b"what came behind the head");
    gate.wake(&far, false);
    assert!(!far.is_closed());
    far.end();
    gate.wake(&far, false);
    assert_eq!((far.is_closed(), gate.connections()), (true, 0));
    assert_eq!(gate.newcomers.report().statuses().get(&429), Some(&1));
}

#[test]
fn one_that_does_not_end_is_ended() {
    let mut gate = gate();
    let (far, id) = gate.ask();
    gate.newcomers.refuse(id, Refusal::new(401, ""), gate.now_us);
    gate.pass(SECOND - 1);
    assert!(!far.is_closed());
    gate.pass(1);
    assert!(far.is_closed());
}

#[test]
fn one_that_goes_on_and_on_is_ended() {
    let mut gate = gate();
    let (far, id) = gate.ask();
    gate.newcomers.refuse(id, Refusal::new(401, ""), gate.now_us);
    far.say(&vec![0; LINGER - 1]);
    gate.wake(&far, false);
    assert!(!far.is_closed());
    far.say(&[0]);
    gate.wake(&far, false);
    assert!(far.is_closed());
}

#[test]
fn bad_requests_are_refused_here() {
    for (bytes, status) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], 400),
        (b"GET / HTTP/1.1\n\n", 400),
        (&upgrade("/", "Content-Length: 1\r\n"), 400),
        (&upgrade("/", "Origin: https://example.org\r\n"), 403),
        (
            b"GET / HTTP/1.1\r\nHost: example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            421,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
           Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            426,
        ),
    ] {
        let entry =
            Entry::new(Some(vec!["example.com".into()]), Some(vec!["https://example.com".into()]), Proxies::default());
        let mut gate =
            Gate::new(NewcomerSettings { entry, ..NewcomerSettings::default() }, AdmissionSettings::default());
        let far = Far::says(bytes);
        gate.arrive(&far);
        assert_eq!((far.status(), gate.announced.len()), (status, 0), "{}", String::from_utf8_lossy(bytes));
        assert_eq!(gate.lines, [(status, 0)]);
    }
}

#[test]
fn lines_for_the_log_are_few() {
    let mut gate = gate();
    let refused = |gate: &mut Gate, count: usize| {
        for _ in 0..count {
            let far = Far::says(b"nonsense\r\n\r\n");
            gate.arrive(&far);
            far.end();
            gate.wake(&far, false);
        }
    };
    refused(&mut gate, 60);
    assert_eq!(gate.lines.len(), 50);
    gate.pass(SECOND);
    gate.lines.clear();
    refused(&mut gate, 5);
    assert_eq!(gate.lines, [(400, 10)]);
    assert_eq!(gate.newcomers.report().statuses().get(&400), Some(&65));
}

#[test]
fn those_that_are_leaving_are_bounded() {
    let mut gate = gate();
    let mut fars = Vec::new();
    for _ in 0..MAX_LEAVING + 10 {
        let far = Far::says(b"nonsense\r\n\r\n");
        gate.arrive(&far);
        fars.push(far);
    }
    // The oldest go first.
    assert!(fars.iter().enumerate().all(|(number, far)| far.is_closed() == (number < 10)));
    assert_eq!(gate.connections(), MAX_LEAVING);
    gate.pass(SECOND);
    assert_eq!(gate.connections(), 0);
}
