//! What happens by the clock.

use super::*;

const INTERVAL: u64 = 20 * SECOND;

fn pinging() -> House {
    House::with(ShardSettings { ping_interval_us: INTERVAL, ..settings() }, UNLIMITED)
}

fn pings(link: &Fake) -> usize {
    link.frames().iter().filter(|frame| frame.0 == 9).count()
}

#[test]
fn connections_opened_together_ping_within_one_interval_but_not_together() {
    let mut house = pinging();
    let links: Vec<_> = (0..10_000).map(|_| house.open(UNLIMITED).1).collect();
    let mut largest = 0;
    let mut before = 0;
    for _ in 0..INTERVAL / 100_000 {
        house.now_us += 100_000;
        house.turn();
        let sent = house.stats.pings.value();
        largest = largest.max(sent - before);
        before = sent;
    }
    assert_eq!(before, 10_000);
    assert!(links.iter().all(|link| pings(link) == 1));
    // Evenly spread it would be 50 in each tenth of a second.
    assert!(largest <= 100, "{largest} pings at once");
}

#[test]
fn without_an_interval_nothing_is_due() {
    let mut house = House::new();
    house.open(UNLIMITED);
    house.now_us = 1_000 * SECOND;
    assert_eq!(house.turn(), None);
    assert_eq!(house.stats.pings.value(), 0);
}

#[test]
fn a_pong_leads_to_the_next_ping() {
    let mut house = pinging();
    let (conn, link) = house.open(UNLIMITED);
    let mut next = house.turn();
    let first = next.unwrap();
    while pings(&link) < 5 {
        house.now_us = next.expect("a timer stands");
        next = house.turn();
        house.apply(Command::Pong { conn });
    }
    assert_eq!(house.now_us, first + 4 * INTERVAL, "one interval from ping to ping");
    assert_eq!((house.events(), link.calls()), (vec![], vec![]));
}

#[test]
fn a_missing_pong_ends_the_connection_at_the_timeout() {
    let mut house = pinging();
    let (conn, link) = house.member(1, UNLIMITED);
    house.now_us = house.turn().unwrap();
    let timeout = house.turn().unwrap();
    assert_eq!((pings(&link), timeout), (1, house.now_us + 10 * SECOND));
    house.now_us = timeout - 1;
    house.turn();
    assert_eq!(house.events(), []);
    house.now_us = timeout;
    house.turn();
    assert_eq!(house.events(), [Event::Closed { conn, cause: Cause::Unanswered }]);
    assert_eq!((link.calls(), house.stats.unanswered.value()), (vec!["abort"], 1));
    house.assert_empty();
}

#[test]
fn a_timer_of_a_connection_that_is_gone_does_not_hit_the_next_in_its_place() {
    let mut house = pinging();
    let (old, _) = house.open(UNLIMITED);
    house.now_us = house.turn().unwrap();
    house.turn();
    house.apply(Command::Gone { conn: old });
    house.events();
    let (new, link) = house.open(UNLIMITED);
    for _ in 0..100 {
        house.now_us += SECOND;
        house.turn();
        house.apply(Command::Pong { conn: new });
    }
    assert_eq!((house.events(), link.calls()), (vec![], vec![]));
    assert_eq!(pings(&link), 5);
}

#[test]
fn a_close_frame_is_followed_by_fin_and_at_the_deadline_by_the_end() {
    let mut house = pinging();
    let (conn, link) = house.member(1, UNLIMITED);
    house.publish(1, 1);
    house.apply(Command::Close { conn, frame: close_frame(1001), flush: true });
    house.publish(1, 2);
    house.turn();
    assert_eq!((link.seqs(), link.calls()), (vec![1], vec!["finish"]));
    assert_eq!(link.frames().last().unwrap(), &(8, 1001u16.to_be_bytes().to_vec()));
    // What comes after changes nothing, nor does it move the deadline.
    house.now_us += SECOND;
    house.apply(Command::Close { conn, frame: close_frame(1000), flush: false });
    house.apply(Command::Ping { conn, payload: Box::default() });
    house.turn();
    assert_eq!((link.frames().len(), link.calls()), (2, vec!["finish"]));
    house.now_us = 5 * SECOND - 1;
    house.turn();
    assert_eq!(house.events(), []);
    house.now_us = 5 * SECOND;
    house.turn();
    assert_eq!(house.events(), [Event::Closed { conn, cause: Cause::CloseTimeout }]);
    assert_eq!((link.calls(), house.drops(Drop::Closed)), (vec!["finish", "abort"], 1));
    house.assert_empty();
}

#[test]
fn a_peer_that_answers_the_close_is_not_reported() {
    let mut house = House::new();
    let (conn, link) = house.open(UNLIMITED);
    house.apply(Command::Close { conn, frame: close_frame(1000), flush: true });
    house.turn();
    house.apply(Command::Gone { conn });
    house.now_us += 100 * SECOND;
    house.turn();
    assert_eq!((house.events(), link.calls()), (vec![], vec!["finish"]));
    house.assert_empty();
}

#[test]
fn a_peer_with_a_closed_window_is_ended_by_the_deadline() {
    let mut house = House::new();
    let (conn, link) = house.member(1, 5);
    house.publish(1, 1);
    house.apply(Command::Close { conn, frame: close_frame(1000), flush: true });
    let deadline = house.turn().unwrap();
    assert_eq!(link.calls(), ["arm"]);
    house.now_us = deadline;
    house.turn();
    assert_eq!(house.events(), [Event::Closed { conn, cause: Cause::CloseTimeout }]);
    assert_eq!(link.calls(), ["arm", "abort"]);
    assert_eq!(house.drops(Drop::Closed), 1, "a message of which a part had left is no delivery");
    house.assert_empty();
}

#[test]
fn while_closing_nothing_is_pinged() {
    let mut house = House::with(
        ShardSettings { ping_interval_us: SECOND, close_timeout_us: 100 * SECOND, ..settings() },
        UNLIMITED,
    );
    let (conn, link) = house.open(UNLIMITED);
    house.apply(Command::Close { conn, frame: close_frame(1000), flush: true });
    for _ in 0..50 {
        house.now_us += SECOND;
        house.turn();
    }
    assert_eq!((pings(&link), house.events()), (0, vec![]));
}
