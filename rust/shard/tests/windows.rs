//! Windows: what is under way of droppable messages, and what is held back.

use super::*;
use crate::outbox::window::INITIAL;
use crate::queues::command::{Resume, Retired};

const JSON: Form = Form::JSON;
const LEN: usize = 1_000;

impl Harness {
    /// Opens a session in rooms 1 to `rooms` that reports what its application has taken.
    fn reporter(&mut self, rooms: u64) -> (ConnId, Fake) {
        let (conn, link) = self.open_as(UNLIMITED, JSON, true);
        (1..=rooms).for_each(|room| self.join(conn, room));
        self.took(conn, 0, 0);
        (conn, link)
    }

    fn took(&mut self, conn: ConnId, room: RoomId, count: u64) {
        let rooms = [(room, count)];
        self.report(conn, count, Some(if room == 0 { &[] } else { &rooms }));
        self.turn();
    }

    /// Publishes `count` values, each with its own key.
    fn values(&mut self, room: RoomId, count: u64) {
        for seq in 1..=count {
            let message = self.message(room, seq, Delivery::Latest, Some(1_000 * room + seq), LEN);
            self.apply(Command::Publish { message, except: Box::default() });
        }
        self.turn();
    }

    fn pong(&mut self, conn: ConnId, payload: &[u8]) {
        self.sends(conn, 0x8A, payload);
        self.turn();
    }
}

/// The envelopes of this type that a link has taken.
fn of_type(link: &Fake, label: &str) -> Vec<String> {
    let start = format!(r#"{{"type":"{label}""#);
    let frames = link.frames().into_iter().filter(|frame| frame.0 == 1 && frame.1.starts_with(start.as_bytes()));
    frames.map(|(_, payload)| String::from_utf8(payload).unwrap()).collect()
}

/// How many messages of a room a link has taken.
fn messages(link: &Fake, room: RoomId) -> u64 {
    let named = format!(r#""room":"room {room}""#);
    of_type(link, "message").iter().filter(|text| text.contains(&named)).count() as u64
}

fn pings(link: &Fake) -> Vec<Vec<u8>> {
    link.frames().into_iter().filter(|frame| frame.0 == 9).map(|frame| frame.1).collect()
}

fn settings() -> ShardSettings {
    ShardSettings { connection_bytes: 1 << 20, replay_bytes: 1 << 20, ..super::settings() }
}

fn pinging() -> ShardSettings {
    ShardSettings { ping_interval_us: 1_000 * SECOND, ..settings() }
}

#[test]
fn a_room_that_is_not_taken_is_held_and_no_other_and_nothing_reliable() {
    let mut harness = Harness::with(settings(), UNLIMITED);
    let (conn, link) = harness.reporter(2);
    harness.values(1, 100);
    let first = messages(&link, 1);
    assert!((10..30).contains(&first), "{first}");
    assert_eq!(harness.stats.held.value(), 1);
    harness.values(2, 5);
    harness.publish(1, 999);
    harness.turn();
    assert_eq!((messages(&link, 1), messages(&link, 2)), (first + 1, 5));
    // What waits is replaced, and held messages leave when there is space.
    harness.values(1, 100);
    assert_eq!(harness.drops(Drop::Replaced), 100 - first);
    harness.took(conn, 1, 10);
    assert_eq!(messages(&link, 1), first + 1 + 10);
    for _ in 0..20 {
        harness.now_us += 1_000;
        let count = link.frames().len() as u64 - of_type(&link, "window").len() as u64;
        harness.took(conn, 1, count);
    }
    assert_eq!((messages(&link, 1), harness.stats.held.value()), (first + 100 + 1, 0));
    assert_eq!(harness.events(), []);
    harness.apply(Command::Gone { conn });
    harness.assert_empty();
}

#[test]
fn a_peer_is_told_how_large_the_window_of_a_room_is_and_no_session_counts_that() {
    let mut harness = Harness::with(settings(), UNLIMITED);
    let (conn, link) = harness.reporter(1);
    for _ in 0..10 {
        harness.values(1, 10);
        harness.now_us += 1_000;
        harness.took(conn, 1, messages(&link, 1));
    }
    let told = of_type(&link, "window");
    // Once for a new window, and again when it grows.
    for (told, times) in told.iter().zip([1, 2]) {
        assert_eq!(*told, format!(r#"{{"type":"window","room":"room 1","payload":{{"bytes":{}}}}}"#, times * INITIAL));
    }
    assert!(told.len() > 1);
    let total = harness.shard.slots.get_mut(conn).unwrap().outbox.replay().unwrap().total();
    assert_eq!(total, messages(&link, 1));
}

#[test]
fn what_cannot_have_been_taken_is_ignored() {
    let mut harness = Harness::with(settings(), UNLIMITED);
    let (conn, link) = harness.reporter(1);
    harness.values(1, 100);
    let sent = messages(&link, 1);
    harness.took(conn, 1, sent + 1);
    harness.took(conn, 1, u64::MAX);
    harness.took(conn, 7, 1);
    harness.took(conn, 0, sent);
    assert_eq!(messages(&link, 1), sent);
    harness.took(conn, 1, 1);
    assert_eq!(messages(&link, 1), sent + 1);
    harness.took(conn, 1, 0);
    harness.took(conn, 1, 1);
    assert_eq!((messages(&link, 1), harness.events()), (sent + 1, vec![]));
}

#[test]
fn a_session_that_comes_back_has_windows_again_once_it_says_so() {
    let mut harness = Harness::with(settings(), UNLIMITED);
    let (conn, link) = harness.reporter(1);
    harness.values(1, 100);
    let sent = messages(&link, 1);
    let as_new = harness.ids.take().unwrap();
    let link = Fake::socket(UNLIMITED);
    let resume = Resume {
        conn,
        link: link.clone(),
        as_new,
        retired: Retired { id: harness.ids.take().unwrap(), code: 4503, reason: "".into() },
        form: JSON,
        received: sent,
        refusals: 0,
        greeting: Greeting::Bytes((*b"yes").into()),
        accepted: Box::default(),
        refused: Default::default(),
        source: source(),
    };
    harness.apply(Command::Resume(Box::new(resume)));
    harness.took(conn, 0, sent);
    link.0.borrow_mut().taken.drain(..3);
    let more = messages(&link, 1);
    assert!(more > 0 && sent + more < 100, "{more}");
    harness.took(conn, 1, sent + more);
    assert!(messages(&link, 1) > more);
    // Nothing more comes of the room that it has left, except what is under way.
    let came = messages(&link, 1);
    harness.apply(Command::Leave { conn, room: 1 });
    harness.took(conn, 1, sent + came);
    assert_eq!((messages(&link, 1), harness.drops(Drop::Closed)), (came, 100 - sent - came));
    assert_eq!(of_type(&link, "skipped").len(), 0);
    harness.apply(Command::Gone { conn });
    harness.turn();
    harness.apply(Command::Gone { conn: as_new });
}

#[test]
fn what_was_skipped_of_a_room_that_has_caught_up_is_told_while_another_is_held() {
    let mut harness = Harness::with(settings(), UNLIMITED);
    let (conn, link) = harness.reporter(2);
    harness.values(1, 100);
    harness.values(1, 100);
    harness.publish_except(2, 5, &[conn]);
    harness.turn();
    let told = of_type(&link, "skipped");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("room 2"));
}

#[test]
fn a_close_brings_what_was_held_with_it() {
    let mut harness = Harness::with(settings(), UNLIMITED);
    let (conn, link) = harness.reporter(1);
    harness.values(1, 100);
    harness.apply(Command::Close { conn, code: Some(1000), reason: "".into(), flush: true });
    harness.turn();
    assert_eq!((messages(&link, 1), link.frames().last().unwrap().0), (100, 8));
}

#[test]
fn who_is_held_gives_way_when_the_budget_is_over() {
    let mut harness = Harness::with(settings(), 200_000);
    let (_, link) = harness.reporter(1);
    harness.values(1, 100);
    assert_eq!((harness.drops(Drop::Budget), harness.events()), (100 - messages(&link, 1), vec![]));
}

#[test]
fn a_raw_peer_is_held_until_it_answers_what_comes_behind_the_messages() {
    let mut harness = Harness::with(pinging(), UNLIMITED);
    let (conn, link) = harness.member(1, UNLIMITED);
    harness.values(1, 100);
    let count = |link: &Fake| link.frames().iter().filter(|frame| frame.0 == 2).count();
    assert!((10..17).contains(&count(&link)), "{}", count(&link));
    let asked = pings(&link);
    assert!((4..=5).contains(&asked.len()) && asked.iter().all(|payload| payload.len() == 8), "{asked:?}");
    // A pong to a probe acknowledges what was written before it. Other pongs acknowledge nothing.
    harness.pong(conn, b"");
    harness.pong(conn, &[0xFF; 8]);
    harness.pong(conn, &7u64.to_be_bytes());
    assert_eq!(count(&link), count(&link));
    let before = count(&link);
    harness.now_us += 500;
    harness.pong(conn, &asked[1]);
    assert!(count(&link) > before);
    let mut answered = 2;
    while let Some(payload) = pings(&link).get(answered) {
        harness.now_us += 500;
        harness.pong(conn, payload);
        answered += 1;
    }
    assert_eq!((count(&link), harness.stats.held.value()), (100, 0));
    // Repeated and old pongs acknowledge nothing, but any pong keeps the connection alive.
    harness.pong(conn, &asked[0]);
    assert!(harness.shard.slots.get_mut(conn).unwrap().ping.is_none());
    harness.apply(Command::Gone { conn });
    harness.assert_empty();
}

#[test]
fn a_raw_peer_that_answers_the_newest_only_gets_all() {
    let mut harness = Harness::with(pinging(), UNLIMITED);
    let (conn, link) = harness.member(1, UNLIMITED);
    for _ in 0..5 {
        harness.values(1, 300);
    }
    for _ in 0..200 {
        harness.now_us += 3_000;
        let newest = pings(&link).pop().unwrap();
        harness.pong(conn, &newest);
    }
    assert_eq!((harness.stats.held.value(), harness.events()), (0, vec![]));
    let waits = harness.shard.slots.get_mut(conn).unwrap().outbox.messages();
    assert_eq!(waits, 0);
}

#[test]
fn without_pings_nothing_is_held() {
    let mut harness = Harness::with(settings(), UNLIMITED);
    let (_, raw) = harness.member(1, UNLIMITED);
    let (conn, session) = harness.open_as(UNLIMITED, JSON, true);
    harness.join(conn, 1);
    harness.values(1, 100);
    assert_eq!((raw.seqs().len(), messages(&session, 1)), (100, 100));
    assert_eq!((pings(&raw).len(), pings(&session).len()), (0, 0));
}

#[test]
fn a_session_that_does_not_say_what_it_takes_is_probed() {
    let mut harness = Harness::with(pinging(), UNLIMITED);
    let (conn, link) = harness.open_as(UNLIMITED, JSON, true);
    harness.join(conn, 1);
    harness.values(1, 100);
    let before = messages(&link, 1);
    assert!(before < 30, "{before}");
    harness.now_us += 500;
    let newest = pings(&link).pop().unwrap();
    harness.pong(conn, &newest);
    assert!(messages(&link, 1) > before);
    // From its first report on, its rooms have windows with nothing under way.
    let before = messages(&link, 1);
    harness.took(conn, 0, 0);
    let asked = pings(&link).len();
    assert!(messages(&link, 1) > before);
    harness.values(1, 100);
    assert_eq!(pings(&link).len(), asked);
}
