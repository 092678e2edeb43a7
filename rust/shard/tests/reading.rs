//! Which connections are read, and when.

mod endings;

use super::*;
use crate::limit::Limit;
use crate::protocol::form::Deflate;
use crate::queues::batch::tests::messages_of;
use crate::queues::command::Retired;

pub(super) const FIN_TEXT: u8 = 0x81;

pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    match len {
        0..126 => [&[first, 0x80 | len as u8, 0, 0, 0, 0], payload].concat(),
        _ => [&[first, 0xFE, (len >> 8) as u8, len as u8, 0, 0, 0, 0], payload].concat(),
    }
}

impl Fake {
    /// The peer sends bytes.
    pub(super) fn brings(&self, bytes: &[u8]) {
        self.0.borrow_mut().given.extend_from_slice(bytes);
    }

    fn ends(&self) {
        self.0.borrow_mut().is_ended = true;
    }
}

impl Harness {
    /// The poll says that there is something to read.
    pub(super) fn ready(&mut self, conn: ConnId, is_hung_up: bool) {
        self.shard.ready(conn, true, is_hung_up, false);
        self.turn();
    }
}

fn messages(conn: ConnId, texts: &[&str]) -> Event {
    Event::Messages { conn, of: conn, messages: messages_of(texts) }
}

#[test]
fn messages_come_up_and_control_frames_are_answered_where_they_are_seen() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open(UNLIMITED);
    link.brings(&[frame(FIN_TEXT, b"one"), frame(0x89, b"ping"), frame(FIN_TEXT, b"two")].concat());
    harness.ready(conn, false);
    assert_eq!(harness.events(), [messages(conn, &["one"]), messages(conn, &["two"])]);
    assert_eq!(link.frames(), [(10, b"ping".to_vec())]);
}

#[test]
fn a_byte_at_a_time_is_as_good_as_all_at_once() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open(UNLIMITED);
    for byte in [frame(FIN_TEXT, b"one"), frame(0x89, b"p"), frame(0x88, b"\x03\xe8bye")].concat() {
        link.brings(&[byte]);
        link.give(1);
        harness.ready(conn, false);
        harness.shard.ready(conn, false, false, true);
        harness.turn();
    }
    for _ in 0..20 {
        link.give(1);
        harness.shard.ready(conn, false, false, true);
        harness.turn();
    }
    let closed = Event::PeerClosed { conn, code: Some(1000), reason: "bye".into() };
    assert_eq!(harness.events(), [messages(conn, &["one"]), closed, Event::Closed { conn, cause: Cause::Over }]);
    assert_eq!(link.frames(), [(10, b"p".to_vec()), (8, b"\x03\xe8bye".to_vec())]);
    assert_eq!(link.calls(), ["finish"]);
    harness.assert_empty();
}

#[test]
fn a_link_that_is_no_bare_socket_ends_when_the_peer_has_said_all() {
    for answer in [frame(0x88, b"\x03\xe8"), frame(0xF1, b"a frame that breaks a rule")] {
        let mut harness = Harness::new();
        let (conn, link) = harness.open(UNLIMITED);
        harness.apply(Command::Close { conn, code: Some(1000), reason: "".into(), flush: true });
        harness.turn();
        assert_eq!(link.frames(), [(8, b"\x03\xe8".to_vec())]);
        // The peer may take our end for the end of both, and drop what it has not read.
        assert!(link.calls().is_empty());
        link.brings(&frame(0x89, b"ping"));
        harness.ready(conn, false);
        assert!(link.calls().is_empty());
        link.brings(&answer);
        harness.ready(conn, false);
        assert_eq!(link.calls(), ["finish"]);
    }
}

#[test]
fn a_connection_whose_credit_is_used_up_is_not_read_and_not_taken_for_dead() {
    let mut harness = Harness::with(ShardSettings { ping_interval_us: 20 * SECOND, ..settings() }, UNLIMITED);
    let (conn, link) = harness.open_as(UNLIMITED, Form::JSON, true);
    link.brings(&frame(FIN_TEXT, b"one"));
    harness.ready(conn, false);
    assert_eq!(harness.events(), [messages(conn, &["one"])]);
    harness.shard.full(conn, harness.now_us);
    link.brings(&frame(FIN_TEXT, b"two"));
    harness.ready(conn, false);
    for _ in 0..100 {
        harness.now_us += SECOND;
        harness.turn();
        assert_eq!(harness.events(), []);
    }
    // Pongs told it that the server lives.
    let pong = |frame: &(u8, Vec<u8>)| frame.1 == br#"{"type":"pong"}"#;
    assert!(link.frames().iter().filter(|&frame| pong(frame)).count() > 50);
    harness.apply(Command::ReadOn { conn });
    harness.turn();
    assert_eq!(harness.events(), [messages(conn, &["two"])]);
    // The host may hold a connection back too.
    harness.apply(Command::Hold { conn, is_held: true });
    link.brings(&frame(FIN_TEXT, b"three"));
    harness.ready(conn, false);
    assert_eq!(harness.events(), []);
    harness.apply(Command::Hold { conn, is_held: false });
    harness.turn();
    assert_eq!(harness.events(), [messages(conn, &["three"])]);
}

#[test]
fn a_host_that_does_not_ask_is_vouched_for_and_one_that_has_nothing_left_is_not() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open_as(UNLIMITED, Form::MSGPACK, true);
    harness.shard.host(Some(7), true);
    link.brings(&frame(0x82, b"\x81\xa4type\xa4ping"));
    harness.ready(conn, false);
    for _ in 0..5 {
        harness.now_us += SECOND;
        harness.turn();
    }
    assert_eq!(link.frames(), vec![(2, b"\x81\xa4type\xa4pong".to_vec()); 4]);
    harness.shard.host(None, true);
    for _ in 0..5 {
        harness.now_us += SECOND;
        harness.turn();
    }
    assert_eq!(link.frames().len(), 4);
}

#[test]
fn a_flood_of_one_has_a_short_read_before_each_of_the_others() {
    let mut harness = Harness::new();
    let (flood, link) = harness.open(UNLIMITED);
    link.brings(&frame(FIN_TEXT, b"x").repeat(100_000));
    let (quiet, other) = harness.open(UNLIMITED);
    other.brings(&frame(FIN_TEXT, b"y"));
    harness.shard.ready(flood, true, false, false);
    harness.shard.ready(quiet, true, false, false);
    assert!(harness.shard.read(4, harness.now_us));
    let events = harness.events();
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
    let mut harness = Harness::with(ShardSettings { inbound, ..settings() }, UNLIMITED);
    let (conn, link) = harness.open(UNLIMITED);
    link.brings(&frame(FIN_TEXT, b"x").repeat(3));
    harness.ready(conn, false);
    link.brings(&frame(FIN_TEXT, b"y"));
    harness.ready(conn, false);
    assert_eq!(harness.events(), [messages(conn, &["x"; 3])]);
    assert_eq!(harness.stats.limits[Limit::MessageRate as usize].value(), 1);
    harness.now_us = 2 * SECOND / 10;
    harness.turn();
    assert_eq!(harness.events(), [messages(conn, &["y"])]);
}

#[test]
fn a_message_over_the_rate_is_answered_at_once_and_the_host_is_told_to_count_it() {
    let rates = RateSettings { message_rate: 10.0, message_burst: 1.0, max_refused: 9.0, ..inbound_settings().rates };
    let inbound = InboundSettings { rates, ..inbound_settings() };
    let mut harness = Harness::with(ShardSettings { inbound, ..settings() }, UNLIMITED);
    let (conn, link) = harness.open_as(UNLIMITED, Form::JSON, true);
    let own = frame(FIN_TEXT, br#"{"type":"own","id":"c1","room":"a"}"#);
    link.brings(&own.repeat(3));
    harness.ready(conn, false);
    let events = harness.events();
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
    let mut harness = Harness::with(ShardSettings { inbound, ..settings() }, UNLIMITED);
    let (conn, link) = harness.open_as(UNLIMITED, Form::JSON, true);
    // The burst of reports is two hundred, and the rate a hundred each second.
    harness.report(conn, 0, Some(&(0..16 * 301).map(|room| (room, 0)).collect::<Vec<_>>()));
    link.brings(&frame(FIN_TEXT, b"x"));
    harness.ready(conn, false);
    assert_eq!(harness.events(), []);
    assert_eq!(harness.stats.limits[Limit::MessageRate as usize].value(), 1);
    harness.now_us = SECOND;
    harness.turn();
    assert_eq!(harness.events(), [messages(conn, &["x"])]);
}

#[test]
fn reports_are_taken_where_they_are_read_and_wrong_ones_by_the_host() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open_as(UNLIMITED, Form::JSON, true);
    harness.join(conn, 1);
    for seq in 1..=5 {
        harness.publish(1, seq);
    }
    harness.turn();
    assert_eq!(harness.shard.references, 5);
    let right = br#"{"type":"received","payload":{"count":4,"taken":{"room 1":{"count":4,"ts":1699999999990},"x":{"count":1}}}}"#;
    let wrong = r#"{"type":"received","payload":{"count":"5"}}"#;
    link.brings(&[frame(FIN_TEXT, b"one"), frame(FIN_TEXT, right), frame(FIN_TEXT, wrong.as_bytes())].concat());
    harness.ready(conn, false);
    assert_eq!(harness.events(), [messages(conn, &["one"]), messages(conn, &[wrong])]);
    assert_eq!(harness.shard.references, 1);
    let (counts, sum_ms) = harness.shard.members.find(conn, "room 1").unwrap().1.counts();
    assert_eq!((counts.iter().sum::<u64>(), sum_ms), (1, 10));
    // A read with nothing but reports has no event for the host.
    link.brings(&frame(FIN_TEXT, br#"{"type":"received","payload":{"count":5}}"#));
    harness.ready(conn, false);
    assert_eq!((harness.events(), harness.shard.references), (vec![], 0));
}

#[test]
fn a_message_that_does_not_end_is_failed_and_memory_is_bounded() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open(UNLIMITED);
    link.brings(&frame(0x01, b"begin"));
    harness.ready(conn, false);
    harness.now_us = 31 * SECOND;
    harness.turn();
    assert!(matches!(harness.events()[..], [Event::Broke { code: 1008, .. }]));
    assert_eq!(harness.stats.limits[Limit::MessageTimeout as usize].value(), 1);
    harness.apply(Command::Gone { conn });
    // Incomplete messages of all connections may take a mebibyte.
    let (conn, link) = harness.open(UNLIMITED);
    let (other, second) = harness.open(UNLIMITED);
    let header = [&[0x02, 0xFF][..], &1_000_000u64.to_be_bytes(), &[0; 4]].concat();
    for (conn, link) in [(conn, &link), (other, &second)] {
        link.brings(&[&header[..], &[0; 900_000]].concat());
        harness.ready(conn, false);
    }
    assert!(harness.events().iter().any(|event| matches!(event, Event::Broke { code: 1013, .. })));
    harness.apply(Command::Gone { conn });
    harness.apply(Command::Gone { conn: other });
    assert_eq!(harness.shard.unfinished.used(), 0);
    harness.assert_empty();
}

/// A text message of so many bytes, compressed.
fn compressed(len: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(len + 100);
    let mut zlib = flate2::Compress::new(flate2::Compression::new(6), false);
    zlib.compress_vec(&vec![b'x'; len], &mut data, flate2::FlushCompress::Sync).unwrap();
    data.truncate(data.len() - 4);
    frame(0xC1, &data)
}

#[test]
fn a_read_of_bombs_is_handed_up_a_few_at_a_time_and_waits_for_credit() {
    let mut harness = Harness::new();
    let form = Form { deflate: Deflate::Window15, ..Form::JSON };
    let (conn, link) = harness.open_as(UNLIMITED, form, true);
    let sizes = |harness: &mut Harness| -> Vec<usize> {
        let messages = harness.events().into_iter().map(|event| match event {
            Event::Messages { messages, .. } => messages.size(),
            event => panic!("{event:?}"),
        });
        messages.collect()
    };
    let large = compressed(60_000);
    link.brings(&large.repeat(7));
    link.brings(&frame(0x89, b"ping"));
    harness.shard.ready(conn, true, false, false);
    for rest in [true, true, true] {
        // One read, however little it was on the wire.
        assert_eq!(harness.shard.read(1, harness.now_us), rest);
        assert_eq!(sizes(&mut harness), [120_000]);
    }
    // Without credit the rest is not inflated, and the end of the link is not taken for its end.
    harness.shard.full(conn, harness.now_us);
    link.ends();
    harness.ready(conn, true);
    assert_eq!(harness.events(), []);
    harness.apply(Command::ReadOn { conn });
    harness.turn();
    let events = harness.events();
    assert!(
        matches!(&events[..], [Event::Messages { messages, .. }, Event::Parked { .. }] if messages.size() == 60_000)
    );
    // Nothing is left of them for the next link, which has agreed to nothing.
    let plain = harness.open_as(UNLIMITED, Form::JSON, true);
    plain.1.brings(&large);
    harness.ready(plain.0, false);
    assert!(harness.events().iter().any(|event| matches!(event, Event::Broke { code: 1002, .. })));
}

#[test]
fn inflated_bytes_are_work() {
    let mut harness = Harness::new();
    let form = Form { deflate: Deflate::Window15, ..Form::RAW };
    let links: Vec<_> = (0..3).map(|_| harness.open_as(UNLIMITED, form, false)).collect();
    for (conn, link) in &links {
        link.brings(&compressed(60_000));
        harness.shard.ready(*conn, true, false, false);
    }
    // Each is as much as fourteen short reads.
    assert!(harness.shard.read(14, harness.now_us));
    assert_eq!(harness.events().len(), 1);
    assert!(!harness.shard.read(28, harness.now_us));
    assert_eq!(harness.events().len(), 2);
}
