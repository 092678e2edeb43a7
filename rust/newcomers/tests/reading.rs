//! Heads that come in pieces, late or never.

use super::*;

#[test]
fn a_head_may_come_byte_by_byte() {
    let mut gate = gate();
    let far = Far::default();
    gate.arrive(&far);
    let bytes = upgrade("/a", "");
    for byte in &bytes {
        assert!(gate.announced.is_empty());
        far.say(&[*byte]);
        gate.wake(&far, false);
    }
    let id = gate.announced();
    let Some(NewcomerEvent::Request(request)) = gate.newcomers.news(id) else { panic!() };
    assert_eq!(&*request.target, b"/a");
    // It is watched already. Its end is checked once more, because it may have come with the last byte.
    gate.pass(100_000);
    assert_eq!(gate.newcomers.tick(gate.now_us), None);
    assert!(gate.newcomers.accept(id, gate.now_us).is_some());
}

#[test]
fn what_comes_in_one_piece_needs_one_read() {
    let mut gate = gate();
    let far = Far::says(&upgrade("/", ""));
    far.reset();
    // Only a second read would see the reset.
    gate.arrive(&far);
    assert_eq!(gate.newcomers.waiting(), 1);
}

#[test]
fn a_head_that_does_not_come_in_time_is_answered() {
    for said in [&b""[..], b"GET / HTT"] {
        let mut gate = gate();
        let far = Far::says(said);
        gate.arrive(&far);
        assert_eq!(gate.newcomers.tick(gate.now_us), Some(gate.now_us + 5 * SECOND));
        gate.pass(3 * SECOND);
        far.say(if said.is_empty() { b"G" } else { b"P" });
        gate.wake(&far, false);
        gate.pass(2 * SECOND - 1);
        assert_eq!((far.answer(), gate.newcomers.waiting()), (String::new(), 1));
        gate.pass(1);
        assert_eq!((far.status(), far.is_finished(), gate.newcomers.waiting()), (408, true, 0));
        assert_eq!(gate.passed(Limit::HandshakeTimeout), 1);
    }
}

#[test]
fn one_that_ends_before_it_has_asked_is_nothing() {
    for said in [&b""[..], b"GET / HTT"] {
        let mut gate = gate();
        let far = Far::says(said);
        far.end();
        gate.arrive(&far);
        assert_eq!((far.is_closed(), far.answer(), gate.connections()), (true, String::new(), 0));
        assert!(gate.lines.is_empty());
    }
}

#[test]
fn one_that_ends_its_side_after_it_has_asked_is_heard() {
    let mut gate = gate();
    let far = Far::says(&upgrade("/", ""));
    far.end();
    gate.arrive(&far);
    let id = gate.announced();
    assert!(gate.newcomers.accept(id, gate.now_us).is_some());
}

#[test]
fn one_that_is_reset_is_forgotten() {
    let mut gate = gate();
    let far = Far::default();
    gate.arrive(&far);
    far.reset();
    gate.wake(&far, true);
    assert_eq!((far.is_closed(), gate.newcomers.waiting(), gate.connections()), (true, 0, 0));
}

#[test]
fn what_is_too_large_is_refused_whenever_that_is_seen() {
    let head = upgrade("/", &format!("X: {}\r\n", "x".repeat(1024)));
    for step in [1, 7, 100, head.len()] {
        let mut gate =
            Gate::new(NewcomerSettings { max_head: 1024, ..NewcomerSettings::default() }, AdmissionSettings::default());
        let far = Far::default();
        gate.arrive(&far);
        for piece in head.chunks(step) {
            far.say(piece);
            gate.wake(&far, false);
        }
        assert_eq!(far.status(), 431);
        assert_eq!(gate.passed(Limit::Head), 1);
        assert!(gate.announced.is_empty());
    }
}

#[test]
fn incomplete_heads_take_no_more_than_they_have() {
    let mut gate = gate();
    let fars: Vec<_> = (0..100).map(|_| Far::says(b"GET / HTTP/1.1\r\n")).collect();
    fars.iter().for_each(|far| gate.arrive(far));
    for (_, state) in gate.newcomers.slots.iter_mut(SHARD) {
        let State::Reading(reading) = state else { panic!() };
        assert!(reading.received.capacity() <= 64);
    }
}

#[test]
fn a_closed_gate_lets_in_those_that_had_asked() {
    let mut gate = gate();
    let (asking, id) = gate.ask();
    let half = Far::says(b"GET /");
    gate.arrive(&half);
    gate.newcomers.close();
    half.say(b" HTTP/1.1\r\n\r\n");
    gate.wake(&half, false);
    assert_eq!(half.status(), 503);
    let (late, http) = (Far::says(&upgrade("/", "")), Far::says(&get("/")));
    gate.newcomers.set_ready(true);
    let ready = Far::says(&get("/readyz"));
    for far in [&late, &http, &ready] {
        gate.arrive(far);
        assert_eq!(far.status(), 503);
    }
    assert!(String::from_utf8_lossy(&late.0.borrow().answer).contains("\r\nRetry-After: 1\r\n"));
    assert!(gate.announced.is_empty());
    assert!(gate.newcomers.accept(id, gate.now_us).is_some());
    assert_eq!(asking.answer(), "");
}
