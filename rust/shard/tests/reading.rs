//! What is read, and when.

use super::*;
use crate::batch::tests::messages_of;
use crate::command::Retired;
use crate::limit::Limit;

const FIN_TEXT: u8 = 0x81;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    match len {
        0..126 => [&[first, 0x80 | len as u8, 0, 0, 0, 0], payload].concat(),
        _ => [&[first, 0xFE, (len >> 8) as u8, len as u8, 0, 0, 0, 0], payload].concat(),
    }
}

impl Fake {
    /// The peer sends bytes.
    fn brings(&self, bytes: &[u8]) {
        self.0.borrow_mut().given.extend_from_slice(bytes);
    }

    fn ends(&self) {
        self.0.borrow_mut().is_ended = true;
    }
}

impl House {
    /// The poll says that there is something to read.
    fn ready(&mut self, conn: ConnId, is_hung_up: bool) {
        self.shard.ready(conn, true, is_hung_up, false);
        self.turn();
    }
}

fn messages(conn: ConnId, texts: &[&str]) -> Event {
    Event::Messages { conn, of: conn, messages: messages_of(texts) }
}

#[test]
fn messages_come_up_and_control_frames_are_answered_where_they_are_seen() {
    let mut house = House::new();
    let (conn, link) = house.open(UNLIMITED);
    link.brings(&[frame(FIN_TEXT, b"one"), frame(0x89, b"ping"), frame(FIN_TEXT, b"two")].concat());
    house.ready(conn, false);
    assert_eq!(house.events(), [messages(conn, &["one"]), messages(conn, &["two"])]);
    assert_eq!(link.frames(), [(10, b"ping".to_vec())]);
}

#[test]
fn a_byte_at_a_time_is_as_good_as_all_at_once() {
    let mut house = House::new();
    let (conn, link) = house.open(UNLIMITED);
    for byte in [frame(FIN_TEXT, b"one"), frame(0x89, b"p"), frame(0x88, b"\x03\xe8bye")].concat() {
        link.brings(&[byte]);
        link.give(1);
        house.ready(conn, false);
        house.shard.ready(conn, false, false, true);
        house.turn();
    }
    for _ in 0..20 {
        link.give(1);
        house.shard.ready(conn, false, false, true);
        house.turn();
    }
    let closed = Event::PeerClosed { conn, code: Some(1000), reason: "bye".into() };
    assert_eq!(house.events(), [messages(conn, &["one"]), closed]);
    assert_eq!(link.frames(), [(10, b"p".to_vec()), (8, b"\x03\xe8bye".to_vec())]);
    assert_eq!(link.calls(), ["finish"]);
    link.ends();
    house.ready(conn, true);
    assert_eq!(house.events(), [Event::Closed { conn, cause: Cause::Over }]);
    assert_eq!(link.calls(), ["finish"]);
    house.assert_empty();
}

#[test]
fn a_close_frame_and_the_end_at_once_are_answered_before_it_is_over() {
    let mut house = House::new();
    let (conn, link) = house.member(1, 0);
    house.publish(1, 1);
    link.brings(&frame(0x88, b"\x03\xe9"));
    link.ends();
    house.ready(conn, true);
    assert_eq!(house.events(), [Event::PeerClosed { conn, code: Some(1001), reason: "".into() }]);
    // Its answer has not left yet.
    link.give(UNLIMITED);
    house.shard.ready(conn, false, false, true);
    house.turn();
    assert_eq!(link.frames(), [(8, b"\x03\xe9".to_vec())]);
    assert_eq!(house.events(), [Event::Closed { conn, cause: Cause::Over }]);
    house.assert_empty();
}

#[test]
fn an_end_without_a_close_frame_ends_a_connection_and_parks_a_session() {
    let mut house = House::new();
    let (conn, link) = house.open(UNLIMITED);
    let (session, other) = house.open_as(UNLIMITED, Form::JSON, true);
    for (conn, link) in [(conn, &link), (session, &other)] {
        link.brings(&frame(FIN_TEXT, b"last"));
        link.ends();
        house.ready(conn, true);
    }
    assert_eq!(
        house.events(),
        [
            messages(conn, &["last"]),
            Event::Closed { conn, cause: Cause::Eof },
            messages(session, &["last"]),
            Event::Parked { conn: session, cause: Cause::Eof }
        ]
    );
    assert_eq!((link.calls(), other.calls()), (vec![], vec![]), "neither was reset");
    house.apply(Command::Gone { conn: session });
    house.assert_empty();
}

#[test]
fn a_violation_is_answered_and_nothing_after_it_counts() {
    let mut house = House::new();
    let (conn, link) = house.open(UNLIMITED);
    link.brings(&frame(FIN_TEXT, b"good"));
    house.ready(conn, false);
    link.brings(&[frame(0xC1, b"bad"), frame(FIN_TEXT, b"late")].concat());
    house.ready(conn, false);
    let reason = "a reserved bit without an extension";
    assert_eq!(house.events(), [messages(conn, &["good"]), Event::Broke { conn, code: 1002, reason }]);
    assert_eq!(link.frames(), [(8, [&[3, 0xEA], reason.as_bytes()].concat())]);
    link.brings(&frame(FIN_TEXT, b"later"));
    link.ends();
    house.ready(conn, true);
    assert_eq!(house.events(), [Event::Closed { conn, cause: Cause::Over }]);
    house.assert_empty();
}

#[test]
fn what_came_just_before_a_violation_may_be_answered_first_for_a_while() {
    for is_in_time in [true, false] {
        let mut house = House::new();
        let (conn, link) = house.open(UNLIMITED);
        link.brings(&[frame(FIN_TEXT, b"good"), frame(0xC1, b"bad"), frame(FIN_TEXT, b"late")].concat());
        house.ready(conn, false);
        let reason = "a reserved bit without an extension";
        assert_eq!(house.events(), [messages(conn, &["good"]), Event::Broke { conn, code: 1002, reason }]);
        assert_eq!(link.frames(), []);
        if is_in_time {
            house.apply(Command::Close { conn, frame: close_frame(1002), flush: true });
            house.turn();
        }
        house.now_us += SECOND;
        house.turn();
        assert_eq!(link.frames()[0].1[..2], 1002u16.to_be_bytes());
        assert_eq!((link.frames().len(), link.calls()), (1, vec!["finish"]));
    }
}

#[test]
fn who_goes_on_sending_after_its_violation_is_not_read_for_ever() {
    let mut house = House::new();
    let (conn, link) = house.open(UNLIMITED);
    link.brings(&[frame(0xC1, b"bad"), vec![0; 1 << 20]].concat());
    house.ready(conn, false);
    let left = link.0.borrow().given.len();
    assert!((500_000..1_000_000).contains(&left), "{left}");
    house.now_us += 5 * SECOND;
    house.turn();
    assert_eq!(house.events().last(), Some(&Event::Closed { conn, cause: Cause::CloseTimeout }));
    assert_eq!(link.calls(), ["finish", "abort"]);
}

#[test]
fn by_some_codes_a_session_says_that_it_comes_back_and_the_host_answers() {
    let mut house = House::new();
    for (code, is_answered) in [(1000u16, true), (4000, false), (4499, false), (4500, true)] {
        let (conn, link) = house.open_as(UNLIMITED, Form::JSON, true);
        link.brings(&frame(0x88, &code.to_be_bytes()));
        house.ready(conn, false);
        let closed = Event::PeerClosed { conn, code: Some(code), reason: "".into() };
        // One that was answered is over with that.
        let over = is_answered.then_some(Event::Closed { conn, cause: Cause::Over });
        assert_eq!(house.events(), [closed].into_iter().chain(over).collect::<Vec<_>>());
        assert_eq!(!link.frames().is_empty(), is_answered, "{code}");
        house.apply(Command::Gone { conn });
    }
    house.assert_empty();
}

#[test]
fn a_socket_is_closed_with_the_answer_to_a_close_frame_unless_something_is_unread() {
    let reason: Box<str> = "".into();
    for (is_socket, has_more) in [(true, false), (true, true), (false, false)] {
        let mut house = House::new();
        let (conn, link) = house.open(UNLIMITED);
        link.0.borrow_mut().is_socket = is_socket;
        let more = if has_more { vec![0; 1 << 20] } else { Vec::new() };
        link.brings(&[frame(0x88, &1000u16.to_be_bytes()), more].concat());
        house.ready(conn, false);
        let closed = Event::PeerClosed { conn, code: Some(1000), reason: reason.clone() };
        assert_eq!(link.frames(), [(8, 1000u16.to_be_bytes().to_vec())]);
        if is_socket && !has_more {
            assert_eq!(house.events(), [closed, Event::Closed { conn, cause: Cause::Over }]);
            assert_eq!(link.calls(), [] as [&str; 0]);
        } else {
            assert_eq!(house.events(), [closed]);
            assert_eq!(link.calls(), ["finish"]);
            link.0.borrow_mut().given.clear();
            link.ends();
            house.ready(conn, true);
            house.now_us += settings().close_timeout_us;
            house.turn();
            let cause = if has_more { Cause::CloseTimeout } else { Cause::Over };
            assert_eq!(house.events(), [Event::Closed { conn, cause }]);
        }
        house.assert_empty();
    }
}

#[test]
fn a_peer_that_has_closed_has_no_more_time_however_much_it_takes() {
    let mut house = House::new();
    let (conn, link) = house.open(0);
    link.0.borrow_mut().is_socket = true;
    link.brings(&frame(0x88, &1000u16.to_be_bytes()));
    house.ready(conn, false);
    house.events();
    link.0.borrow_mut().info = Some(TcpInfo { unacked: 0, received: 9, unread: 0, silent_us: 0 });
    house.now_us += settings().close_timeout_us;
    house.turn();
    assert_eq!(house.events(), [Event::Closed { conn, cause: Cause::CloseTimeout }]);
    house.assert_empty();
}

#[test]
fn while_the_host_has_too_many_nothing_is_read_and_nobody_is_taken_for_dead() {
    let mut house = House::with(ShardSettings { ping_interval_us: 20 * SECOND, ..settings() }, UNLIMITED);
    let (conn, link) = house.open_as(UNLIMITED, Form::JSON, true);
    link.brings(&frame(FIN_TEXT, b"one"));
    house.ready(conn, false);
    assert_eq!(house.events(), [messages(conn, &["one"])]);
    house.shard.full(conn, house.now_us);
    link.brings(&frame(FIN_TEXT, b"two"));
    house.ready(conn, false);
    for _ in 0..100 {
        house.now_us += SECOND;
        house.turn();
        assert_eq!(house.events(), []);
    }
    // It was told that the server lives.
    let pong = |frame: &(u8, Vec<u8>)| frame.1 == br#"{"type":"pong"}"#;
    assert!(link.frames().iter().filter(|&frame| pong(frame)).count() > 50);
    house.apply(Command::ReadOn { conn });
    house.turn();
    assert_eq!(house.events(), [messages(conn, &["two"])]);
    // The host holds it back for reasons of its own.
    house.apply(Command::Hold { conn, is_held: true });
    link.brings(&frame(FIN_TEXT, b"three"));
    house.ready(conn, false);
    assert_eq!(house.events(), []);
    house.apply(Command::Hold { conn, is_held: false });
    house.turn();
    assert_eq!(house.events(), [messages(conn, &["three"])]);
}

#[test]
fn a_host_that_does_not_ask_is_vouched_for_and_one_that_has_nothing_left_is_not() {
    let mut house = House::new();
    let (conn, link) = house.open_as(UNLIMITED, Form::MSGPACK, true);
    house.shard.host(Some(7), true);
    link.brings(&frame(0x82, b"\x81\xa4type\xa4ping"));
    house.ready(conn, false);
    for _ in 0..5 {
        house.now_us += SECOND;
        house.turn();
    }
    assert_eq!(link.frames(), vec![(2, b"\x81\xa4type\xa4pong".to_vec()); 4]);
    house.shard.host(None, true);
    for _ in 0..5 {
        house.now_us += SECOND;
        house.turn();
    }
    assert_eq!(link.frames().len(), 4);
}

#[test]
fn a_flood_of_one_has_a_short_read_before_each_of_the_others() {
    let mut house = House::new();
    let (flood, link) = house.open(UNLIMITED);
    link.brings(&frame(FIN_TEXT, b"x").repeat(100_000));
    let (quiet, other) = house.open(UNLIMITED);
    other.brings(&frame(FIN_TEXT, b"y"));
    house.shard.ready(flood, true, false, false);
    house.shard.ready(quiet, true, false, false);
    assert!(house.shard.read(4, house.now_us));
    let events = house.events();
    let counts: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Messages { conn, messages, .. } => (*conn, messages.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(counts[0].0 == flood && counts[0].1 < 2000, "{counts:?}");
    assert_eq!(counts[1], (quiet, 1));
}

#[test]
fn a_client_that_is_too_fast_is_read_again_when_its_time_has_come() {
    let rates = RateSettings { message_rate: 10.0, message_burst: 1.0, ..inbound_settings().rates };
    let inbound = InboundSettings { rates, ..inbound_settings() };
    let mut house = House::with(ShardSettings { inbound, ..settings() }, UNLIMITED);
    let (conn, link) = house.open(UNLIMITED);
    link.brings(&frame(FIN_TEXT, b"x").repeat(3));
    house.ready(conn, false);
    link.brings(&frame(FIN_TEXT, b"y"));
    house.ready(conn, false);
    assert_eq!(house.events(), [messages(conn, &["x"; 3])]);
    assert_eq!(house.stats.limits[Limit::MessageRate as usize].value(), 1);
    house.now_us = 2 * SECOND / 10;
    house.turn();
    assert_eq!(house.events(), [messages(conn, &["y"])]);
}

#[test]
fn a_message_over_the_rate_is_answered_at_once_and_the_host_is_told_to_count_it() {
    let rates = RateSettings { message_rate: 10.0, message_burst: 1.0, max_refused: 9.0, ..inbound_settings().rates };
    let inbound = InboundSettings { rates, ..inbound_settings() };
    let mut house = House::with(ShardSettings { inbound, ..settings() }, UNLIMITED);
    let (conn, link) = house.open_as(UNLIMITED, Form::JSON, true);
    let own = frame(FIN_TEXT, br#"{"type":"own","id":"c1","room":"a"}"#);
    link.brings(&own.repeat(3));
    house.ready(conn, false);
    let events = house.events();
    assert_eq!(events.iter().map(Event::refused).collect::<Vec<_>>(), [None, Some(2)]);
    let answers: Vec<_> = link.frames().into_iter().map(|(_, text)| String::from_utf8(text).unwrap()).collect();
    assert_eq!(answers.len(), 2);
    for (number, answer) in (1..).zip(answers) {
        let begin = format!(r#"{{"type":"error","id":"r{:x}-{number}","ts":"#, conn.as_u64());
        assert!(answer.starts_with(&begin), "{answer}");
        assert!(answer.contains(r#","re":"c1","room":"a","payload":{"code":"rate_limited","#), "{answer}");
    }
}

#[test]
fn a_session_whose_reports_count_for_too_much_is_read_again_when_its_time_has_come() {
    let rates = RateSettings { message_rate: 10.0, message_burst: 1.0, ..inbound_settings().rates };
    let inbound = InboundSettings { rates, ..inbound_settings() };
    let mut house = House::with(ShardSettings { inbound, ..settings() }, UNLIMITED);
    let (conn, link) = house.open_as(UNLIMITED, Form::JSON, true);
    // There is room for two hundred, and for a hundred more each second.
    house.report(conn, 0, Some(&(0..16 * 301).map(|room| (room, 0)).collect::<Vec<_>>()));
    link.brings(&frame(FIN_TEXT, b"x"));
    house.ready(conn, false);
    assert_eq!(house.events(), []);
    assert_eq!(house.stats.limits[Limit::MessageRate as usize].value(), 1);
    house.now_us = SECOND;
    house.turn();
    assert_eq!(house.events(), [messages(conn, &["x"])]);
}

#[test]
fn reports_are_taken_where_they_are_read_and_wrong_ones_by_the_host() {
    let mut house = House::new();
    let (conn, link) = house.open_as(UNLIMITED, Form::JSON, true);
    house.join(conn, 1);
    for seq in 1..=5 {
        house.publish(1, seq);
    }
    house.turn();
    assert_eq!(house.shard.references, 5);
    let right = br#"{"type":"received","payload":{"count":4,"taken":{"room 1":{"count":4,"ts":1699999999990},"x":{"count":1}}}}"#;
    let wrong = r#"{"type":"received","payload":{"count":"5"}}"#;
    link.brings(&[frame(FIN_TEXT, b"one"), frame(FIN_TEXT, right), frame(FIN_TEXT, wrong.as_bytes())].concat());
    house.ready(conn, false);
    assert_eq!(house.events(), [messages(conn, &["one"]), messages(conn, &[wrong])]);
    assert_eq!(house.shard.references, 1);
    let (counts, sum_ms) = house.shard.members.find(conn, "room 1").unwrap().1.counts();
    assert_eq!((counts.iter().sum::<u64>(), sum_ms), (1, 10));
    // Nothing waits for the host because of reports alone.
    link.brings(&frame(FIN_TEXT, br#"{"type":"received","payload":{"count":5}}"#));
    house.ready(conn, false);
    assert_eq!((house.events(), house.shard.references), (vec![], 0));
}

#[test]
fn a_message_that_does_not_end_is_failed_and_memory_is_bounded() {
    let mut house = House::new();
    let (conn, link) = house.open(UNLIMITED);
    link.brings(&frame(0x01, b"begin"));
    house.ready(conn, false);
    house.now_us = 31 * SECOND;
    house.turn();
    assert!(matches!(house.events()[..], [Event::Broke { code: 1008, .. }]));
    assert_eq!(house.stats.limits[Limit::MessageTimeout as usize].value(), 1);
    house.apply(Command::Gone { conn });
    // All together may have a mebibyte under way.
    let (conn, link) = house.open(UNLIMITED);
    let (other, second) = house.open(UNLIMITED);
    let header = [&[0x02, 0xFF][..], &1_000_000u64.to_be_bytes(), &[0; 4]].concat();
    for (conn, link) in [(conn, &link), (other, &second)] {
        link.brings(&[&header[..], &[0; 900_000]].concat());
        house.ready(conn, false);
    }
    assert!(house.events().iter().any(|event| matches!(event, Event::Broke { code: 1013, .. })));
    house.apply(Command::Gone { conn });
    house.apply(Command::Gone { conn: other });
    assert_eq!(house.shard.unfinished.used(), 0);
    house.assert_empty();
}

#[test]
fn what_came_before_a_write_failed_still_counts() {
    let mut house = House::new();
    let (conn, link) = house.member(1, UNLIMITED);
    link.brings(&[frame(FIN_TEXT, b"last"), frame(0x88, b"\x03\xe8")].concat());
    link.reset();
    house.publish(1, 1);
    house.turn();
    let closed = Event::PeerClosed { conn, code: Some(1000), reason: "".into() };
    assert_eq!(house.events(), [messages(conn, &["last"]), closed, Event::Closed { conn, cause: Cause::Reset }]);
    house.assert_empty();
}

#[test]
fn what_is_read_elsewhere_counts_alike_and_its_end_comes_last() {
    let mut house = House::new();
    let (conn, _) = house.open(UNLIMITED);
    house.apply(Command::Feed { conn, link: conn, bytes: Some(frame(FIN_TEXT, b"one").into()) });
    house.apply(Command::Feed { conn, link: conn, bytes: None });
    house.turn();
    assert_eq!(house.events(), [messages(conn, &["one"]), Event::Closed { conn, cause: Cause::Eof }]);
    house.assert_empty();
}

#[test]
fn a_retired_link_is_read_to_its_end_and_counts_for_nothing() {
    let mut house = House::new();
    let (conn, link) = house.open_as(UNLIMITED, Form::JSON, true);
    link.brings(&frame(0x01, b"half a message"));
    house.ready(conn, false);
    let retired = Retired { id: house.ids.take().unwrap(), frame: close_frame(4503) };
    let id = retired.id;
    house.apply(Command::Retire { conn, link: conn, retired, is_over: false });
    house.turn();
    house.sends_over(conn, conn, &[frame(0x80, b"."), frame(FIN_TEXT, b"late"), frame(0x88, b"")].concat());
    assert_eq!((house.events(), link.calls()), (vec![], vec!["grant", "finish"]));
    link.ends();
    house.ready(id, true);
    assert_eq!(house.events(), [Event::Closed { conn, cause: Cause::Over }]);
    house.apply(Command::Gone { conn });
    house.assert_empty();
}
