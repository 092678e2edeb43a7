//! Sessions: parked, resumed, refused, and told what was skipped.

mod over_rate;
mod refused;
mod retired;

use super::*;
use crate::queues::command::{Resume, Retired, UNRESUMED, Unresumed};

const JSON: Form = Form::JSON;

/// The numbers in the messages that a client got over one link, in order.
fn numbers(link: &Fake) -> Vec<u64> {
    texts(link)
        .iter()
        .filter(|text| text.contains(r#""type":"message""#))
        .map(|text| number(text, r#""seq":"#))
        .collect()
}

fn texts(link: &Fake) -> Vec<String> {
    let frames = link.frames().into_iter().filter(|frame| frame.0 == 1);
    frames.map(|(_, payload)| String::from_utf8(payload).unwrap()).collect()
}

fn number(text: &str, after: &str) -> u64 {
    let at = text.find(after).unwrap() + after.len();
    text[at..].chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

impl Harness {
    /// Opens a session that is a member of room 1.
    fn session(&mut self, takes: usize) -> (ConnId, Fake) {
        let (conn, link) = self.open_as(takes, JSON, true);
        self.join(conn, 1);
        (conn, link)
    }

    fn retired(&mut self) -> Retired {
        Retired { id: self.ids.take().unwrap(), code: 4503, reason: "".into() }
    }

    /// Closes the link of a session. Returns the id that the link has from then on.
    fn retire(&mut self, conn: ConnId, link: ConnId, is_over: bool) -> ConnId {
        let retired = self.retired();
        let id = retired.id;
        self.apply(Command::Retire { conn, link, retired, is_over });
        self.turn();
        id
    }

    fn park(&mut self, conn: ConnId, link: ConnId) {
        self.apply(Command::Cut { conn, link });
    }

    /// Resumes after `received` messages. Returns the new link and its id.
    fn resume(&mut self, conn: ConnId, received: u64, takes: usize) -> (ConnId, Fake) {
        self.resume_as(conn, received, JSON, takes)
    }

    fn resume_as(&mut self, conn: ConnId, received: u64, form: Form, takes: usize) -> (ConnId, Fake) {
        self.resume_after(conn, [received, 0], form, takes)
    }

    fn resume_after(&mut self, conn: ConnId, counts: [u64; 2], form: Form, takes: usize) -> (ConnId, Fake) {
        let [received, refusals] = counts;
        let as_new = self.ids.take().unwrap();
        let link = Fake::socket(takes);
        let resume = Resume {
            conn,
            link: link.clone(),
            as_new,
            retired: self.retired(),
            form,
            received,
            refusals,
            greeting: Greeting::Bytes(Box::default()),
            accepted: (*b"yes").into(),
            refused: UNRESUMED.map(|(_, reason)| reason.as_bytes().into()),
            source: source(),
        };
        self.apply(Command::Resume(Box::new(resume)));
        self.turn();
        (as_new, link)
    }
}

fn greeting(link: &Fake) -> Vec<u8> {
    link.frames().remove(0).1
}

#[test]
fn a_session_gets_exactly_what_it_missed_over_its_next_link() {
    let mut harness = Harness::new();
    let (conn, first) = harness.session(UNLIMITED);
    for seq in 1..=3 {
        harness.publish(1, seq);
    }
    harness.turn();
    harness.park(conn, conn);
    assert_eq!(first.calls(), ["abort"]);
    for seq in 4..=5 {
        harness.publish(1, seq);
    }
    harness.turn();
    assert_eq!((numbers(&first), harness.headcount(1)), (vec![1, 2, 3], 1));
    let (link, second) = harness.resume(conn, 2, UNLIMITED);
    assert_eq!(harness.events(), [Event::Resumed { conn, link }]);
    assert_eq!((greeting(&second), numbers(&second)), (b"yes".to_vec(), vec![3, 4, 5]));
    harness.publish(1, 6);
    harness.turn();
    assert_eq!(numbers(&second), [3, 4, 5, 6]);
    harness.apply(Command::Gone { conn });
    // Three over the first link and four over the second, the first of which had been sent before.
    let accounts: Vec<_> = harness.accounts().into_iter().map(|(conn, account)| (conn, account.messages)).collect();
    assert_eq!(accounts, [(conn, 7)]);
    harness.assert_empty();
}

#[test]
fn answers_for_a_link_that_is_lost_do_not_come_before_the_reply_of_the_next() {
    let mut harness = Harness::new();
    let (conn, _) = harness.session(UNLIMITED);
    harness.park(conn, conn);
    harness.apply(Command::Raw { conn, bytes: frame::encode(crate::wire::frame::Opcode::Pong, b"late") });
    let (_, second) = harness.resume(conn, 0, UNLIMITED);
    assert_eq!(second.frames(), [(1, b"yes".to_vec())]);
}

#[test]
fn a_message_that_left_in_part_comes_again_as_a_whole() {
    let size = {
        let mut harness = Harness::new();
        let (_, link) = harness.session(UNLIMITED);
        harness.publish(1, 1);
        harness.turn();
        link.0.borrow().taken.len()
    };
    for cut in 0..size {
        let mut harness = Harness::new();
        let (conn, first) = harness.session(size + cut);
        harness.publish(1, 1);
        harness.publish(1, 2);
        harness.turn();
        harness.publish(1, 3);
        // The link is also cut while the message is sent again, after the greeting.
        let (_, second) = harness.resume(conn, 1, 5 + cut);
        let (_, third) = harness.resume(conn, 1, UNLIMITED);
        assert_eq!(numbers(&third), [2, 3], "cut at {cut}");
        harness.now_us += 5 * SECOND;
        harness.turn();
        assert!(first.calls().contains(&"abort") && second.calls().contains(&"abort"));
        harness.apply(Command::Gone { conn });
        harness.assert_empty();
    }
}

#[test]
fn an_error_of_the_link_parks_a_session() {
    let mut harness = Harness::new();
    let (conn, link) = harness.session(UNLIMITED);
    link.reset();
    harness.publish(1, 1);
    harness.turn();
    assert_eq!(harness.events(), [Event::Parked { conn, cause: Cause::Reset }]);
    let (second, link) = harness.resume(conn, 0, UNLIMITED);
    assert_eq!(numbers(&link), [1]);
    // A late command for the first link does not affect the second.
    harness.park(conn, conn);
    harness.publish(1, 2);
    harness.turn();
    assert_eq!(numbers(&link), [1, 2]);
    harness.events();
    harness.park(conn, second);
    harness.publish(1, 3);
    harness.turn();
    assert_eq!(numbers(&link), [1, 2]);
}

#[test]
fn a_missing_pong_parks_a_session_which_is_pinged_again_when_it_is_back() {
    let mut harness = Harness::with(ShardSettings { ping_interval_us: 30 * SECOND, ..settings() }, UNLIMITED);
    let (conn, _) = harness.session(UNLIMITED);
    while harness.stats.unanswered.value() == 0 {
        harness.now_us = harness.turn().unwrap();
    }
    assert_eq!(harness.events(), [Event::Parked { conn, cause: Cause::Unanswered }]);
    harness.now_us += 600 * SECOND;
    harness.turn();
    assert_eq!(harness.events(), []);
    let (_, link) = harness.resume(conn, 0, UNLIMITED);
    harness.now_us += 30 * SECOND;
    harness.turn();
    assert!(link.frames().iter().any(|frame| frame.0 == 9));
    assert!(texts(&link).contains(&r#"{"type":"ping"}"#.to_string()));
    harness.sends(conn, 0x8A, b"");
    harness.now_us += 20 * SECOND;
    harness.turn();
    harness.apply(Command::Gone { conn });
    harness.assert_empty();
}

#[test]
fn a_parked_session_over_its_limit_ends_and_the_host_is_told() {
    let mut harness = Harness::new();
    let (conn, _) = harness.session(UNLIMITED);
    harness.park(conn, conn);
    for seq in 1..=100 {
        harness.publish(1, seq);
    }
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Slow }]);
    harness.assert_empty();
}

#[test]
fn a_session_needs_no_envelopes_and_envelopes_need_no_session() {
    let mut harness = Harness::new();
    let (conn, first) = harness.open_as(UNLIMITED, Form::RAW, true);
    harness.join(conn, 1);
    harness.publish(1, 1);
    harness.turn();
    harness.park(conn, conn);
    let (link, second) = harness.resume_as(conn, 0, Form::RAW, UNLIMITED);
    assert_eq!(harness.events(), [Event::Resumed { conn, link }]);
    // The reply, and then the message again.
    assert_eq!((first.frames().len(), second.frames().len()), (1, 2));
    let (conn, link) = harness.open_as(UNLIMITED, JSON, false);
    harness.join(conn, 1);
    harness.publish(1, 2);
    harness.turn();
    assert_eq!(numbers(&link), [2]);
    harness.apply(Command::Cut { conn, link: conn });
    // Without a session the connection ends with its link.
    assert_eq!(harness.accounts().into_iter().map(|(conn, _)| conn).collect::<Vec<_>>(), [conn]);
}

#[test]
fn what_was_skipped_is_told_when_the_rest_has_left() {
    let mut harness = Harness::new();
    let (conn, link) = harness.session(0);
    for seq in 1..=4 {
        let message = harness.message(1, seq, Delivery::Latest, Some(7), 8);
        harness.apply(Command::Publish { message, except: Box::default() });
    }
    harness.turn();
    harness.publish_except(1, 5, &[conn]);
    harness.turn();
    assert_eq!(texts(&link).len(), 0);
    link.give(UNLIMITED);
    harness.shard.writable(conn);
    harness.turn();
    let texts = texts(&link);
    assert_eq!(texts.len(), 3);
    assert!(texts[0].contains(r#""seq":4"#));
    assert!(texts[1].contains(r#"{"reason":"replaced","count":3,"first":1,"last":3}"#) && texts[1].contains("room 1"));
    assert!(texts[2].contains(r#"{"reason":"excluded","count":1,"first":5,"last":5}"#));
}

#[test]
fn raw_connections_get_no_events() {
    let mut harness = Harness::new();
    let (_, raw) = harness.member(1, UNLIMITED);
    let (conn, link) = harness.session(UNLIMITED);
    let metadata = Metadata { room_name: Some("room 1".into()), ..Metadata::place(1, 0, Delivery::Reliable) };
    let message = Arc::new(Message::new(Role::Event("member_left"), Kind::Json, b"{}", metadata, 0, &harness.budget));
    harness.apply(Command::Publish { message, except: Box::default() });
    harness.turn();
    assert_eq!((raw.frames().len(), texts(&link).len()), (0, 1));
    harness.apply(Command::Gone { conn });
}

#[test]
fn each_form_is_built_once_and_only_where_it_is_spoken() {
    let mut harness = Harness::new();
    let (_, _raw) = harness.member(1, UNLIMITED);
    let message = harness.message(1, 1, Delivery::Reliable, None, 8);
    let raw_size = message.size();
    harness.apply(Command::Publish { message: Arc::clone(&message), except: Box::default() });
    harness.turn();
    assert_eq!(message.size(), raw_size);
    let links: Vec<_> = (0..3).map(|_| harness.session(UNLIMITED).1).collect();
    harness.apply(Command::Publish { message: Arc::clone(&message), except: Box::default() });
    harness.turn();
    let json_size = message.size();
    assert_eq!(json_size - raw_size, links[0].0.borrow().taken.len());
    assert!(links.iter().all(|link| link.0.borrow().taken == links[0].0.borrow().taken));
    assert_eq!(message.frame(JSON).as_ptr(), message.frame(JSON).as_ptr());
    assert_eq!(message.size(), json_size);
}
