//! Close frames, violations, and ends of links, as they are read.

use super::*;

#[test]
fn a_close_frame_and_the_end_at_once_are_answered_before_it_is_over() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, 0);
    harness.publish(1, 1);
    link.brings(&frame(0x88, b"\x03\xe9"));
    link.ends();
    harness.ready(conn, true);
    assert_eq!(harness.events(), [Event::PeerClosed { conn, code: Some(1001), reason: "".into() }]);
    // The answer has not been written yet.
    link.give(UNLIMITED);
    harness.shard.ready(conn, false, false, true);
    harness.turn();
    assert_eq!(link.frames(), [(8, b"\x03\xe9".to_vec())]);
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Over }]);
    harness.assert_empty();
}

#[test]
fn an_end_without_a_close_frame_ends_a_connection_and_parks_a_session() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open(UNLIMITED);
    let (session, other) = harness.open_as(UNLIMITED, Form::JSON, true);
    for (conn, link) in [(conn, &link), (session, &other)] {
        link.brings(&frame(FIN_TEXT, b"last"));
        link.ends();
        harness.ready(conn, true);
    }
    assert_eq!(
        harness.events(),
        [
            messages(conn, &["last"]),
            Event::Closed { conn, cause: Cause::Eof },
            messages(session, &["last"]),
            Event::Parked { conn: session, cause: Cause::Eof }
        ]
    );
    assert_eq!((link.calls(), other.calls()), (vec![], vec![]), "neither was reset");
    harness.apply(Command::Gone { conn: session });
    harness.assert_empty();
}

#[test]
fn a_violation_is_answered_and_nothing_after_it_counts() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open(UNLIMITED);
    link.brings(&frame(FIN_TEXT, b"good"));
    harness.ready(conn, false);
    harness.now_us += SECOND;
    link.brings(&[frame(0xC1, b"bad"), frame(FIN_TEXT, b"late")].concat());
    harness.ready(conn, false);
    let reason = "a reserved bit without an extension";
    assert_eq!(harness.events(), [messages(conn, &["good"]), Event::Broke { conn, code: 1002, reason }]);
    assert_eq!(link.frames(), [(8, [&[3, 0xEA], reason.as_bytes()].concat())]);
    link.brings(&frame(FIN_TEXT, b"later"));
    link.ends();
    harness.ready(conn, true);
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Over }]);
    harness.assert_empty();
}

#[test]
fn what_came_just_before_a_violation_may_be_answered_first_for_a_while() {
    for (is_in_time, is_one_read) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut harness = Harness::new();
        let (conn, link) = harness.open(UNLIMITED);
        link.brings(&frame(FIN_TEXT, b"good"));
        if !is_one_read {
            harness.ready(conn, false);
        }
        link.brings(&[frame(0xC1, b"bad"), frame(FIN_TEXT, b"late")].concat());
        harness.ready(conn, false);
        let reason = "a reserved bit without an extension";
        assert_eq!(harness.events(), [messages(conn, &["good"]), Event::Broke { conn, code: 1002, reason }]);
        assert_eq!(link.frames(), []);
        if is_in_time {
            harness.apply(Command::Close { conn, code: Some(1002), reason: "".into(), flush: true });
            harness.turn();
        }
        harness.now_us += SECOND;
        harness.turn();
        assert_eq!(link.frames()[0].1[..2], 1002u16.to_be_bytes());
        assert_eq!((link.frames().len(), link.calls()), (1, vec!["finish"]));
    }
}

#[test]
fn a_client_that_keeps_sending_after_its_violation_is_not_read_for_ever() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open(UNLIMITED);
    link.brings(&[frame(0xC1, b"bad"), vec![0; 1 << 20]].concat());
    harness.ready(conn, false);
    let left = link.0.borrow().given.len();
    assert!((500_000..1_000_000).contains(&left), "{left}");
    harness.now_us += 5 * SECOND;
    harness.turn();
    assert_eq!(harness.events().last(), Some(&Event::Closed { conn, cause: Cause::CloseTimeout }));
    assert_eq!(link.calls(), ["finish", "abort"]);
}

#[test]
fn by_some_codes_a_session_says_that_it_comes_back_and_the_host_answers() {
    let mut harness = Harness::new();
    for (code, is_answered) in [(1000u16, true), (4000, false), (4499, false), (4500, true)] {
        let (conn, link) = harness.open_as(UNLIMITED, Form::JSON, true);
        link.brings(&frame(0x88, &code.to_be_bytes()));
        harness.ready(conn, false);
        let closed = Event::PeerClosed { conn, code: Some(code), reason: "".into() };
        // A connection whose close frame was answered ends.
        let over = is_answered.then_some(Event::Closed { conn, cause: Cause::Over });
        assert_eq!(harness.events(), [closed].into_iter().chain(over).collect::<Vec<_>>());
        assert_eq!(!link.frames().is_empty(), is_answered, "{code}");
        harness.apply(Command::Gone { conn });
    }
    harness.assert_empty();
}

#[test]
fn a_socket_is_closed_with_the_answer_to_a_close_frame_unless_something_is_unread() {
    let reason: Box<str> = "".into();
    for (is_socket, has_more) in [(true, false), (true, true), (false, false)] {
        let mut harness = Harness::new();
        let (conn, link) = harness.open(UNLIMITED);
        link.0.borrow_mut().is_socket = is_socket;
        let more = if has_more { vec![0; 1 << 20] } else { Vec::new() };
        link.brings(&[frame(0x88, &1000u16.to_be_bytes()), more].concat());
        harness.ready(conn, false);
        let closed = Event::PeerClosed { conn, code: Some(1000), reason: reason.clone() };
        assert_eq!(link.frames(), [(8, 1000u16.to_be_bytes().to_vec())]);
        if !has_more {
            assert_eq!(harness.events(), [closed, Event::Closed { conn, cause: Cause::Over }]);
            assert_eq!(link.calls(), if is_socket { &[][..] } else { &["finish"] });
        } else {
            assert_eq!(harness.events(), [closed]);
            assert_eq!(link.calls(), ["finish"]);
            link.0.borrow_mut().given.clear();
            link.ends();
            harness.ready(conn, true);
            harness.now_us += settings().close_timeout_us;
            harness.turn();
            let cause = if has_more { Cause::CloseTimeout } else { Cause::Over };
            assert_eq!(harness.events(), [Event::Closed { conn, cause }]);
        }
        harness.assert_empty();
    }
}

#[test]
fn a_peer_that_has_closed_has_no_more_time_however_much_it_takes() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open(0);
    link.0.borrow_mut().is_socket = true;
    link.brings(&frame(0x88, &1000u16.to_be_bytes()));
    harness.ready(conn, false);
    harness.events();
    link.0.borrow_mut().info = Some(TcpInfo { unacked: 0, received: 9, unread: 0, silent_us: 0 });
    harness.now_us += settings().close_timeout_us;
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::CloseTimeout }]);
    harness.assert_empty();
}

#[test]
fn what_came_before_a_write_failed_still_counts() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    link.brings(&[frame(FIN_TEXT, b"last"), frame(0x88, b"\x03\xe8")].concat());
    link.reset();
    harness.publish(1, 1);
    harness.turn();
    let closed = Event::PeerClosed { conn, code: Some(1000), reason: "".into() };
    assert_eq!(harness.events(), [messages(conn, &["last"]), closed, Event::Closed { conn, cause: Cause::Reset }]);
    harness.assert_empty();
}

#[test]
fn a_link_that_holds_the_answer_to_a_close_frame_has_time_to_send_it() {
    for is_ended in [false, true] {
        let mut harness = Harness::new();
        let (conn, link) = harness.open(UNLIMITED);
        link.0.borrow_mut().holds = true;
        link.brings(&frame(0x88, &1000u16.to_be_bytes()));
        if is_ended {
            link.ends();
        }
        harness.ready(conn, is_ended);
        let closed = Event::PeerClosed { conn, code: Some(1000), reason: "".into() };
        assert_eq!((harness.events(), link.calls()), (vec![closed], vec!["finish"]));
        link.let_out();
        harness.shard.ready(conn, false, false, true);
        harness.turn();
        assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Over }]);
        harness.assert_empty();
    }
}

#[test]
fn what_a_link_has_besides_what_the_poll_announces_is_read() {
    let mut harness = Harness::new();
    let conn = harness.ids.take().unwrap();
    let link = Fake::new(UNLIMITED);
    link.brings(&frame(FIN_TEXT, b"one"));
    link.0.borrow_mut().has_more = true;
    let (greeting, first) = (Greeting::Bytes(Box::default()), Box::default());
    let (form, link_of) = (Form::RAW, link.clone());
    harness.apply(Command::Open { conn, link: link_of, form, has_session: false, greeting, first, source: source() });
    harness.turn();
    assert_eq!(harness.events(), [messages(conn, &["one"])]);
    // After a short read, too.
    link.brings(&frame(FIN_TEXT, b"two"));
    harness.shard.ready(conn, true, false, false);
    harness.turn();
    link.brings(&frame(FIN_TEXT, b"three"));
    harness.turn();
    assert_eq!(harness.events(), [messages(conn, &["two"])], "the poll has to announce this one");
    link.0.borrow_mut().has_more = false;
    harness.apply(Command::Gone { conn });
    harness.events();
    harness.assert_empty();
}

#[test]
fn a_retired_link_is_read_to_its_end_and_counts_for_nothing() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open_as(UNLIMITED, Form::JSON, true);
    link.brings(&frame(0x01, b"half a message"));
    harness.ready(conn, false);
    let retired = Retired { id: harness.ids.take().unwrap(), code: 4503, reason: "".into() };
    let id = retired.id;
    harness.apply(Command::Retire { conn, link: conn, retired, is_over: false });
    harness.turn();
    harness.sends_over(conn, conn, &[frame(0x80, b"."), frame(FIN_TEXT, b"late"), frame(0x88, b"")].concat());
    assert_eq!((harness.events(), link.calls()), (vec![], vec!["grant", "finish"]));
    link.ends();
    harness.ready(id, true);
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Over }]);
    harness.apply(Command::Gone { conn });
    harness.assert_empty();
}
