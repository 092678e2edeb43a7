//! Timers: pings, missing pongs and late closes.

use super::*;

const INTERVAL: u64 = 20 * SECOND;

fn pinging() -> Harness {
    Harness::with(ShardSettings { ping_interval_us: INTERVAL, ..settings() }, UNLIMITED)
}

fn pings(link: &Fake) -> usize {
    link.frames().iter().filter(|frame| frame.0 == 9).count()
}

#[test]
fn connections_opened_together_ping_within_one_interval_but_not_together() {
    let mut harness = pinging();
    let links: Vec<_> = (0..10_000).map(|_| harness.open(UNLIMITED).1).collect();
    let mut largest = 0;
    let mut before = 0;
    for _ in 0..INTERVAL / 100_000 {
        harness.now_us += 100_000;
        harness.turn();
        let sent = harness.stats.pings.value();
        largest = largest.max(sent - before);
        before = sent;
    }
    assert_eq!(before, 10_000);
    assert!(links.iter().all(|link| pings(link) == 1));
    // Spread evenly, it would be 50 in each tenth of a second.
    assert!(largest <= 100, "{largest} pings at once");
}

#[test]
fn without_an_interval_nothing_is_due() {
    let mut harness = Harness::new();
    harness.open(UNLIMITED);
    harness.now_us = 1_000 * SECOND;
    assert_eq!(harness.turn(), None);
    assert_eq!(harness.stats.pings.value(), 0);
}

#[test]
fn a_pong_leads_to_the_next_ping() {
    let mut harness = pinging();
    let (conn, link) = harness.open(UNLIMITED);
    let mut next = harness.turn();
    let first = next.unwrap();
    while pings(&link) < 5 {
        harness.now_us = next.expect("a timer stands");
        next = harness.turn();
        harness.sends(conn, 0x8A, b"");
    }
    assert_eq!(harness.now_us, first + 4 * INTERVAL, "one interval from ping to ping");
    assert_eq!((harness.events(), link.calls()), (vec![], vec![]));
}

#[test]
fn a_missing_pong_ends_the_connection_at_the_timeout() {
    let mut harness = pinging();
    let (conn, link) = harness.member(1, UNLIMITED);
    harness.now_us = harness.turn().unwrap();
    let timeout = harness.turn().unwrap();
    assert_eq!((pings(&link), timeout), (1, harness.now_us + 10 * SECOND));
    harness.now_us = timeout - 1;
    harness.turn();
    assert_eq!(harness.events(), []);
    harness.now_us = timeout;
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Unanswered }]);
    assert_eq!((link.calls(), harness.stats.unanswered.value()), (vec!["abort"], 1));
    harness.assert_empty();
}

#[test]
fn a_timer_of_a_connection_that_is_gone_does_not_hit_the_next_in_its_place() {
    let mut harness = pinging();
    let (old, _) = harness.open(UNLIMITED);
    harness.now_us = harness.turn().unwrap();
    harness.turn();
    harness.apply(Command::Gone { conn: old });
    harness.events();
    let (new, link) = harness.open(UNLIMITED);
    for _ in 0..100 {
        harness.now_us += SECOND;
        harness.turn();
        harness.sends(new, 0x8A, b"");
    }
    assert_eq!((harness.events(), link.calls()), (vec![], vec![]));
    assert_eq!(pings(&link), 5);
}

#[test]
fn a_close_frame_is_followed_by_fin_and_at_the_deadline_by_the_end() {
    let mut harness = pinging();
    let (conn, link) = harness.member(1, UNLIMITED);
    link.0.borrow_mut().is_socket = true;
    harness.publish(1, 1);
    harness.apply(Command::Close { conn, code: Some(1001), reason: "".into(), flush: true });
    harness.publish(1, 2);
    harness.turn();
    assert_eq!((link.seqs(), link.calls()), (vec![1], vec!["finish"]));
    assert_eq!(link.frames().last().unwrap(), &(8, 1001u16.to_be_bytes().to_vec()));
    // What comes after the close changes nothing, and does not move the deadline.
    harness.now_us += SECOND;
    harness.apply(Command::Close { conn, code: Some(1000), reason: "".into(), flush: false });
    harness.sends(conn, 0x89, b"");
    harness.turn();
    assert_eq!((link.frames().len(), link.calls()), (2, vec!["finish"]));
    harness.now_us = 5 * SECOND - 1;
    harness.turn();
    assert_eq!(harness.events(), []);
    harness.now_us = 5 * SECOND;
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::CloseTimeout }]);
    assert_eq!((link.calls(), harness.drops(Drop::Closed)), (vec!["finish", "abort"], 1));
    harness.assert_empty();
}

#[test]
fn a_peer_with_a_closed_window_is_ended_by_the_deadline() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, 5);
    harness.publish(1, 1);
    harness.apply(Command::Close { conn, code: Some(1000), reason: "".into(), flush: true });
    let deadline = harness.turn().unwrap();
    assert_eq!(link.calls(), [""; 0]);
    harness.now_us = deadline;
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::CloseTimeout }]);
    assert_eq!(link.calls(), ["abort"]);
    assert_eq!(harness.drops(Drop::Closed), 1, "a message of which a part had left is no delivery");
    harness.assert_empty();
}

#[test]
fn while_closing_nothing_is_pinged() {
    let mut harness = Harness::with(
        ShardSettings { ping_interval_us: SECOND, close_timeout_us: 100 * SECOND, ..settings() },
        UNLIMITED,
    );
    let (conn, link) = harness.open(UNLIMITED);
    harness.apply(Command::Close { conn, code: Some(1000), reason: "".into(), flush: true });
    for _ in 0..50 {
        harness.now_us += SECOND;
        harness.turn();
    }
    assert_eq!((pings(&link), harness.events()), (0, vec![]));
}

/// Opens a connection about which the kernel knows something, and pings it. Also returns when the ping counts as
/// unanswered.
fn pinged(harness: &mut Harness, info: TcpInfo, room: usize) -> (ConnId, Fake, u64) {
    let (conn, link) = harness.member(1, room);
    link.0.borrow_mut().info = Some(info);
    harness.now_us = harness.turn().unwrap();
    let timeout = harness.turn().unwrap();
    assert_eq!(timeout, harness.now_us + 10 * SECOND);
    (conn, link, timeout)
}

/// Everything has arrived, and the peer's kernel answers.
const QUIET: TcpInfo = TcpInfo { unacked: 0, received: 0, unread: 0, silent_us: 0 };

#[test]
fn a_peer_whose_kernel_has_the_ping_and_that_is_silent_is_ended_at_the_timeout() {
    let mut harness = pinging();
    let (conn, _, timeout) = pinged(&mut harness, QUIET, UNLIMITED);
    harness.now_us = timeout;
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Unanswered }]);
}

#[test]
fn a_pong_that_the_host_has_not_read_yet_is_no_missing_pong() {
    let mut harness = pinging();
    let (conn, link, timeout) = pinged(&mut harness, QUIET, UNLIMITED);
    link.0.borrow_mut().info = Some(TcpInfo { received: 6, unread: 6, ..QUIET });
    harness.now_us = timeout;
    let timeout = harness.turn().unwrap();
    assert_eq!(harness.events(), []);
    link.0.borrow_mut().info = Some(TcpInfo { received: 6, ..QUIET });
    harness.now_us = timeout;
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Unanswered }]);
}

#[test]
fn a_peer_that_sends_a_large_message_is_not_ended_by_the_pong_behind_it() {
    let mut harness = pinging();
    let (conn, link, mut timeout) = pinged(&mut harness, QUIET, UNLIMITED);
    for _ in 0..10 {
        link.0.borrow_mut().info.as_mut().unwrap().received += 20 * 1024;
        harness.now_us = timeout;
        timeout = harness.turn().unwrap();
        assert_eq!(harness.events(), []);
    }
    // Pings go on at the usual interval.
    assert!(pings(&link) >= 4, "{}", pings(&link));
    // A byte a second does not count as alive.
    link.0.borrow_mut().info.as_mut().unwrap().received += 10;
    harness.now_us = timeout;
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Unanswered }]);
}

#[test]
fn a_peer_that_takes_what_lies_before_the_ping_is_not_ended_by_the_pong_that_cannot_come() {
    let mut harness = pinging();
    let (conn, link, mut timeout) = pinged(&mut harness, TcpInfo { unacked: 600_000, ..QUIET }, UNLIMITED);
    for left in (0..25).rev() {
        harness.shard.slots.get_mut(conn).unwrap().written = 600_000;
        link.0.borrow_mut().info.as_mut().unwrap().unacked = left * 24_000;
        harness.now_us = timeout;
        timeout = harness.turn().unwrap();
        assert_eq!(harness.events(), []);
    }
    // The peer's kernel has everything. What lies between it and the peer may take as long as a write; then the
    // connection ends.
    let taken_us = harness.now_us;
    while harness.events().is_empty() {
        assert!(harness.now_us <= taken_us + 40 * SECOND);
        harness.now_us = timeout;
        timeout = harness.turn().unwrap_or(0);
    }
    assert!(harness.now_us > taken_us + 20 * SECOND);
    assert!(harness.shard.slots.get_mut(conn).is_none());
}

#[test]
fn what_the_kernel_of_a_silent_peer_takes_is_no_sign_of_life() {
    let mut harness = pinging();
    let (conn, link, timeout) = pinged(&mut harness, QUIET, UNLIMITED);
    harness.publish_as(1, 1, Delivery::Reliable, 15_000);
    harness.turn();
    assert!(link.frames().len() > 1);
    harness.now_us = timeout;
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Unanswered }]);
}

#[test]
fn a_dead_peer_with_much_under_way_is_ended_at_the_timeout() {
    let mut harness = pinging();
    let info = TcpInfo { unacked: 600_000, silent_us: 12 * SECOND, ..QUIET };
    let (conn, _, timeout) = pinged(&mut harness, info, UNLIMITED);
    harness.now_us = timeout;
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Unanswered }]);
}

#[test]
fn a_peer_that_keeps_its_window_shut_has_the_patience_of_a_write() {
    let mut harness = pinging();
    let (conn, _, mut timeout) = pinged(&mut harness, TcpInfo { unacked: 600_000, ..QUIET }, UNLIMITED);
    let pinged_us = harness.now_us;
    while harness.events().is_empty() {
        harness.now_us = timeout;
        timeout = harness.turn().unwrap_or(0);
    }
    assert!(harness.now_us - pinged_us <= 50 * SECOND);
    assert!(harness.shard.slots.get_mut(conn).is_none());
}

#[test]
fn a_peer_that_takes_what_waits_for_it_has_more_time_to_close() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    harness.publish_as(1, 1, Delivery::Reliable, 15_000);
    harness.turn();
    link.0.borrow_mut().info = Some(TcpInfo { unacked: 15_000, ..QUIET });
    harness.apply(Command::Close { conn, code: Some(1000), reason: "".into(), flush: true });
    let mut due = harness.turn().unwrap();
    for left in [9_000, 3_000] {
        link.0.borrow_mut().info.as_mut().unwrap().unacked = left;
        harness.now_us = due;
        due = harness.turn().unwrap();
        assert_eq!(harness.events(), []);
    }
    harness.now_us = due;
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::CloseTimeout }]);
}

#[test]
fn what_ends_a_connection_and_is_not_acknowledged_is_no_progress_of_a_close() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    harness.publish_as(1, 1, Delivery::Reliable, 15_000);
    harness.turn();
    link.0.borrow_mut().info = Some(QUIET);
    harness.apply(Command::Close { conn, code: Some(1000), reason: "".into(), flush: true });
    let due = harness.turn().unwrap();
    // More than the close frame: the kernel counts FIN, and TLS adds its own.
    link.0.borrow_mut().info = Some(TcpInfo { unacked: 40, ..QUIET });
    harness.now_us = due;
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::CloseTimeout }]);
}
