//! One-way links: event streams, and links of polls.

use super::*;
use crate::protocol::codec::Codec;
use crate::queues::command::{Resume, Retired, UNRESUMED};

const SSE: Form = Form::event_stream(Codec::Json);

impl Harness {
    /// Opens a session with an event stream; it is a member of room 1.
    fn stream(&mut self) -> (ConnId, Fake) {
        let (conn, link) = self.open_as(UNLIMITED, SSE, true);
        self.join(conn, 1);
        (conn, link)
    }

    /// Opens a session whose client polls; it is a member of room 1.
    fn polls(&mut self) -> (ConnId, Fake) {
        let (conn, link) = (self.ids.take().unwrap(), Fake::polled());
        self.apply(Command::Open {
            conn,
            link: link.clone(),
            form: SSE,
            has_session: true,
            greeting: Greeting::Response((*b"HTTP/1.1 200 OK\r\n").into()),
            first: (*b"{}").into(),
            source: source(),
        });
        self.join(conn, 1);
        (conn, link)
    }

    /// Lets a client send messages of text.
    fn posts(&mut self, conn: ConnId, link: ConnId, lines: &[u8]) -> usize {
        let frames = crate::wire::posted::frames(lines, false).unwrap();
        let size = frames.len();
        self.apply(Command::Post { conn, link, frames: frames.into() });
        self.turn();
        size
    }

    fn poll(&mut self, conn: ConnId, link: ConnId, received: u64) {
        self.apply(Command::Poll { conn, link, received });
        self.turn();
    }

    fn moves(&mut self, conn: ConnId, received: u64, form: Form, link: &Fake) -> ConnId {
        let as_new = self.ids.take().unwrap();
        let resume = Resume {
            conn,
            link: link.clone(),
            as_new,
            retired: Retired { id: self.ids.take().unwrap(), code: 4503, reason: "moved".into() },
            form,
            received,
            refusals: 0,
            greeting: Greeting::Bytes(Box::default()),
            accepted: (*b"\"yes\"").into(),
            refused: UNRESUMED.map(|(_, reason)| format!("\"{reason}\"").into_bytes().into()),
            source: source(),
        };
        self.apply(Command::Resume(Box::new(resume)));
        self.turn();
        as_new
    }
}

/// The numbers of the messages in a text, in order.
fn seqs(text: &str) -> Vec<u64> {
    let after = text.split(r#""seq":"#).skip(1);
    after.map(|rest| rest.split(|it: char| !it.is_ascii_digit()).next().unwrap().parse().unwrap()).collect()
}

/// How many bytes were posted to a link and decoded.
fn read(events: &[Event], link: ConnId) -> usize {
    let bytes = |event: &Event| match event {
        Event::Read { conn, bytes } if *conn == link => *bytes,
        _ => 0,
    };
    events.iter().map(bytes).sum()
}

#[test]
fn a_client_without_a_session_gets_the_payload_with_its_number() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open_as(UNLIMITED, Form::event_stream(Codec::Raw), false);
    harness.join(conn, 1);
    harness.publish(1, 1);
    harness.turn();
    assert_eq!(link.text(), "id: 0-1\nevent: binary\ndata: AAAAAAAAAAE=\n\n");
}

#[test]
fn messages_that_were_joined_are_events_in_a_row() {
    let mut harness = Harness::new();
    let (_, link) = harness.stream();
    let parts = (1..=3).map(|seq| harness.message(1, seq, Delivery::Reliable, None, 8)).collect();
    let message = Arc::new(Message::join(parts, &harness.budget).unwrap());
    harness.apply(Command::Publish { message, except: Box::default() });
    harness.turn();
    let text = link.text();
    assert_eq!(seqs(&text), [1, 2, 3]);
    assert!(text.split_inclusive("\n\n").all(|event| event.starts_with("data: {") && event.ends_with("}\n\n")));
}

#[test]
fn what_the_client_sends_over_the_link_counts_for_nothing_and_has_a_limit() {
    let mut harness = Harness::new();
    let (conn, link) = harness.stream();
    let message = b"\x81\x82\0\0\0\0{}";
    link.0.borrow_mut().given = message.repeat(2_000);
    harness.shard.ready(conn, true, false, false);
    harness.turn();
    assert!(harness.events().is_empty());
    link.0.borrow_mut().given = message.repeat(100);
    harness.shard.ready(conn, true, false, false);
    harness.turn();
    assert_eq!(harness.events(), [Event::Parked { conn, cause: Cause::Reset }]);
}

#[test]
fn the_end_of_the_link_is_noticed() {
    let mut harness = Harness::new();
    let (conn, link) = harness.stream();
    let (plain, other) = harness.open_as(UNLIMITED, Form::event_stream(Codec::Raw), false);
    for (conn, link) in [(conn, &link), (plain, &other)] {
        link.0.borrow_mut().is_ended = true;
        harness.shard.ready(conn, true, true, false);
    }
    harness.turn();
    let (parked, closed) =
        (Event::Parked { conn, cause: Cause::Eof }, Event::Closed { conn: plain, cause: Cause::Eof });
    assert_eq!(harness.events(), [parked, closed]);
}

#[test]
fn messages_of_the_client_come_by_posts_and_are_reported_when_they_are_decoded() {
    let mut harness = Harness::new();
    let (conn, _link) = harness.stream();
    let size = harness.posts(conn, conn, b"{\"type\":\"a\"}\n{\"type\":\"b\"}\n");
    let events = harness.events();
    assert_eq!(read(&events, conn), size);
    let messages = events.iter().filter_map(|event| match event {
        Event::Messages { conn: link, of, messages } => {
            assert_eq!((*link, *of), (conn, conn));
            Some(messages.len())
        }
        _ => None,
    });
    assert_eq!(messages.sum::<usize>(), 2);
    // A report takes effect here.
    harness.publish(1, 1);
    harness.turn();
    assert_eq!(harness.shard.slots.get_mut(conn).unwrap().outbox.replay().unwrap().len(), 1);
    let report = br#"{"type":"received","payload":{"count":1}}"#;
    let size = harness.posts(conn, conn, report);
    assert_eq!(harness.events(), [Event::Read { conn, bytes: size }]);
    assert!(harness.shard.slots.get_mut(conn).unwrap().outbox.replay().unwrap().is_empty());
    // Neither another connection's link nor a WebSocket takes any.
    let (socket, _) = harness.open_as(UNLIMITED, Form::JSON, true);
    harness.posts(socket, socket, b"{}");
    harness.posts(conn, socket, b"{}");
    assert!(harness.events().is_empty());
}

#[test]
fn a_client_that_is_not_read_is_reported_later() {
    let mut harness = Harness::new();
    let (conn, _link) = harness.stream();
    harness.apply(Command::Hold { conn, is_held: true });
    let size = harness.posts(conn, conn, b"{\"type\":\"a\"}");
    assert!(harness.events().is_empty());
    harness.apply(Command::Hold { conn, is_held: false });
    harness.turn();
    assert_eq!(read(&harness.events(), conn), size);
}

#[test]
fn a_message_that_breaks_a_rule_closes_the_link_with_an_event() {
    let mut harness = Harness::new();
    let (conn, link) = harness.stream();
    harness.posts(conn, conn, &vec![b'x'; (1 << 20) + 1]);
    let events = harness.events();
    assert!(events.contains(&Event::Broke { conn, code: 1009, reason: "too large a message" }), "{events:?}");
    assert!(events.contains(&Event::Closed { conn, cause: Cause::Over }), "{events:?}");
    assert_eq!(link.text(), "event: close\ndata: {\"code\":1009,\"reason\":\"too large a message\"}\n\n");
}

#[test]
fn a_link_ends_with_the_close_event_behind_what_waits() {
    for is_socket in [true, false] {
        let mut harness = Harness::new();
        let (conn, link) = harness.stream();
        link.0.borrow_mut().is_socket = is_socket;
        harness.publish(1, 1);
        harness.apply(Command::Close { conn, code: Some(1001), reason: "bye".into(), flush: true });
        harness.turn();
        let text = link.text();
        assert!(text.ends_with("}\n\nevent: close\ndata: {\"code\":1001,\"reason\":\"bye\"}\n\n"), "{text}");
        assert_eq!(seqs(&text), [1]);
        // A link with a last word of its own gets the time for that.
        assert_eq!(link.calls(), if is_socket { vec![] } else { vec!["finish"] });
        assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Over }]);
        harness.assert_empty();
    }
}

#[test]
fn heartbeats_need_no_answer_without_a_session() {
    let mut harness = Harness::with(ShardSettings { ping_interval_us: 25 * SECOND, ..settings() }, UNLIMITED);
    let (_, plain) = harness.open_as(UNLIMITED, Form::event_stream(Codec::Raw), false);
    for _ in 0..10 {
        harness.now_us += 25 * SECOND;
        harness.turn();
    }
    let beats = plain.text();
    assert!(beats.len() >= 27 && beats.split_inclusive("\n\n").all(|event| event == ":\n\n"), "{beats}");
    assert!(harness.events().is_empty());
    assert_eq!(harness.stats.unanswered.value(), 0);
}

#[test]
fn a_session_has_to_answer_and_any_request_is_an_answer() {
    let mut harness = Harness::with(ShardSettings { ping_interval_us: 25 * SECOND, ..settings() }, UNLIMITED);
    let ((stream, link), (polls, _)) = (harness.stream(), harness.polls());
    for _ in 0..10 {
        for _ in 0..5 {
            harness.now_us += 5 * SECOND;
            harness.turn();
            harness.poll(polls, polls, 0);
        }
        harness.posts(stream, stream, b"{\"type\":\"pong\"}");
        harness.events();
        let beats = link.text();
        assert!(beats.split_inclusive("\n\n").all(|event| event == "data: {\"type\":\"ping\"}\n\n"), "{beats}");
    }
    assert_eq!(harness.stats.unanswered.value(), 0);
    for _ in 0..10 {
        harness.now_us += 5 * SECOND;
        harness.turn();
    }
    let lost = |conn| Event::Parked { conn, cause: Cause::Unanswered };
    let events = harness.events();
    assert!(events.contains(&lost(stream)) && events.contains(&lost(polls)), "{events:?}");
}

#[test]
fn the_request_that_opens_a_link_of_polls_is_answered_whole() {
    let mut harness = Harness::new();
    let (_, link) = harness.polls();
    let record = link.0.borrow();
    assert_eq!(record.answer, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ndata: {}\n\n");
    assert!(record.taken.is_empty());
}

#[test]
fn each_poll_gets_all_that_waits_and_what_was_lost_comes_again() {
    let mut harness = Harness::new();
    let (conn, link) = harness.polls();
    harness.publish(1, 1);
    harness.publish(1, 2);
    harness.turn();
    assert_eq!(link.text(), "");
    harness.poll(conn, conn, 0);
    assert_eq!(seqs(&link.text()), [1, 2]);
    harness.publish(1, 3);
    harness.turn();
    assert_eq!(link.text(), "");
    // The answer was lost, with all or some of its messages.
    harness.poll(conn, conn, 0);
    assert_eq!(seqs(&link.text()), [1, 2, 3]);
    harness.poll(conn, conn, 1);
    assert_eq!(seqs(&link.text()), [2, 3]);
    // It waits until there is something.
    harness.poll(conn, conn, 3);
    assert_eq!(link.text(), "");
    assert!(harness.shard.slots.get_mut(conn).unwrap().outbox.replay().unwrap().is_empty());
    harness.publish(1, 4);
    harness.turn();
    harness.publish(1, 5);
    harness.turn();
    assert_eq!(seqs(&link.text()), [4]);
    assert_eq!(link.0.borrow().writes.len(), 4);
    harness.poll(conn, conn, 4);
    assert_eq!(seqs(&link.text()), [5]);
    assert!(harness.events().is_empty());
}

#[test]
fn a_poll_with_a_count_that_cannot_be_loses_the_link() {
    for (received, settings) in [(2, settings()), (0, ShardSettings { replay_bytes: 0, ..settings() })] {
        let mut harness = Harness::with(settings, UNLIMITED);
        let (conn, link) = harness.polls();
        harness.poll(conn, conn, 0);
        harness.publish(1, 1);
        harness.turn();
        assert_eq!(seqs(&link.text()), [1]);
        harness.poll(conn, conn, received);
        assert_eq!(harness.events(), [Event::Parked { conn, cause: Cause::Reset }]);
        harness.poll(conn, conn, 1);
        assert_eq!(link.text(), "");
    }
}

#[test]
fn a_link_of_polls_that_closes_says_so_to_the_next_poll() {
    for flush in [true, false] {
        let mut harness = Harness::new();
        let (conn, link) = harness.polls();
        harness.publish(1, 1);
        harness.apply(Command::Close { conn, code: None, reason: "".into(), flush });
        harness.turn();
        assert_eq!((link.text(), harness.events()), (String::new(), vec![]));
        harness.poll(conn, conn, 0);
        let text = link.text();
        assert!(text.ends_with("event: close\ndata: {\"code\":1005,\"reason\":\"\"}\n\n"), "{text}");
        assert_eq!(seqs(&text).len(), usize::from(flush));
        assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Over }]);
        harness.assert_empty();
    }
}

#[test]
fn a_session_moves_between_framings_without_loss() {
    let mut harness = Harness::new();
    let (conn, socket) = harness.open_as(UNLIMITED, Form::JSON, true);
    harness.join(conn, 1);
    harness.publish(1, 1);
    harness.turn();
    assert_eq!(socket.frames().len(), 1);

    // The old link gets the close frame of its own framing.
    let stream = Fake::socket(UNLIMITED);
    let as_stream = harness.moves(conn, 0, SSE, &stream);
    assert_eq!(socket.frames().last().unwrap().0, 8);
    let text = stream.text();
    assert!(text.starts_with("data: \"yes\"\n\ndata: {"), "{text}");
    assert_eq!(seqs(&text), [1]);
    harness.publish(1, 2);
    harness.turn();
    assert_eq!(seqs(&stream.text()), [2]);

    let polls = Fake::polled();
    let as_polls = harness.moves(conn, 1, SSE, &polls);
    assert_eq!(stream.text(), "event: close\ndata: {\"code\":4503,\"reason\":\"moved\"}\n\n");
    harness.publish(1, 3);
    harness.poll(conn, as_polls, 1);
    let text = polls.text();
    assert!(text.starts_with("data: \"yes\"\n\n"), "{text}");
    assert_eq!(seqs(&text), [2, 3]);

    // The retired link needs no poll to be closed.
    let socket = Fake::socket(UNLIMITED);
    let as_socket = harness.moves(conn, 2, Form::JSON, &socket);
    assert_eq!(polls.text(), "event: close\ndata: {\"code\":4503,\"reason\":\"moved\"}\n\n");
    let texts: String = socket.frames().into_iter().map(|(_, text)| String::from_utf8(text).unwrap()).collect();
    assert_eq!(seqs(&texts), [3]);

    let resumed = |link| Event::Resumed { conn, link };
    let events = harness.events();
    assert!([as_stream, as_polls, as_socket].iter().all(|&link| events.contains(&resumed(link))), "{events:?}");
    let closed = |link| Event::Closed { conn: link, cause: Cause::Over };
    assert!([as_stream, as_polls].iter().all(|&link| events.contains(&closed(link))), "{events:?}");
}

#[test]
fn another_codec_is_refused_over_any_framing() {
    let mut harness = Harness::new();
    let (conn, _link) = harness.stream();
    let link = Fake::socket(UNLIMITED);
    harness.moves(conn, 0, Form::event_stream(Codec::Msgpack), &link);
    assert_eq!(link.text(), "event: binary\ndata: ImNvZGVjIg==\n\n");
}
