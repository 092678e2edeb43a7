//! Members that get less of a room than is published.

use super::*;
use crate::outbox::rates::MemberRates;
use crate::protocol::codec::Codec;

const INTERVAL: u64 = 250_000;

impl Harness {
    fn rate(&mut self, conn: ConnId, interval_us: u64, bytes: u64) {
        self.apply(Command::Configure { conn, room: 1, rates: MemberRates { interval_us, bytes, is_alone: false } });
    }

    fn value(&mut self, seq: u64, key: KeyId, except: &[ConnId]) {
        let message = self.message(1, seq, Delivery::Latest, Some(key), 8);
        self.apply(Command::Publish { message, except: except.into() });
    }

    /// Goes on to a time, and does what is due until then.
    fn until(&mut self, until_us: u64) {
        self.turn();
        while let Some(due_us) = self.shard.next_due_us().filter(|&due_us| due_us <= until_us) {
            self.now_us = due_us.max(self.now_us);
            self.turn();
        }
        self.now_us = until_us;
        self.turn();
    }
}

fn seqs(link: &Fake) -> Vec<u64> {
    let frames = link.frames();
    let number = |payload: &[u8]| u64::from_be_bytes(payload[..8].try_into().unwrap());
    frames.iter().filter(|frame| frame.0 == 2).map(|frame| number(&frame.1)).collect()
}

#[test]
fn a_rated_member_gets_the_newest_value_once_an_interval_and_another_all() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    let (_, other) = harness.member(1, UNLIMITED);
    harness.rate(conn, INTERVAL, 0);
    for seq in 1..=40 {
        harness.value(seq, 7, &[]);
        harness.until(harness.now_us + 50_000);
    }
    harness.until(harness.now_us + INTERVAL);
    let got = seqs(&link);
    assert_eq!((got[0], got.last(), seqs(&other).len()), (1, Some(&40), 40));
    assert!((8..=9).contains(&got.len()), "{got:?}");
    assert_eq!(harness.drops(Drop::Rate) as usize, 40 - got.len());
    assert_eq!(harness.turn(), None, "nothing is due when nothing waits");
    harness.apply(Command::Gone { conn });
    let accounts = harness.accounts();
    let drops: Vec<_> = accounts[0].1.drops().collect();
    assert_eq!((accounts[0].0, drops), (conn, vec![("rate", 40 - got.len() as u64)]));
}

#[test]
fn what_must_not_be_left_out_comes_at_once() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    harness.rate(conn, INTERVAL, 0);
    harness.value(1, 7, &[]);
    harness.value(2, 7, &[]);
    for seq in 3..=5 {
        harness.publish(1, seq);
    }
    harness.publish_except(1, 6, &[conn]);
    harness.turn();
    let mut got = seqs(&link);
    got.sort_unstable();
    assert_eq!(got, [1, 3, 4, 5]);
}

#[test]
fn a_change_takes_effect_at_once_and_nothing_is_lost() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    harness.rate(conn, INTERVAL, 0);
    for seq in 1..=3 {
        harness.value(seq, 7, &[]);
    }
    harness.rate(conn, INTERVAL, 0);
    harness.turn();
    assert_eq!(seqs(&link), [1], "the same rate changes nothing");
    harness.rate(conn, 0, 0);
    harness.value(4, 7, &[]);
    harness.turn();
    assert_eq!(seqs(&link).last(), Some(&4));
    harness.rate(conn, 1_000, 0);
    harness.value(5, 7, &[]);
    harness.value(6, 7, &[]);
    harness.rate(conn, 2 * INTERVAL, 0);
    harness.turn();
    assert_eq!(seqs(&link).last(), Some(&6), "what waited for the former rate");
    harness.apply(Command::Leave { conn, room: 1 });
    harness.join(conn, 1);
    harness.value(7, 7, &[]);
    harness.value(8, 8, &[]);
    harness.value(9, 7, &[]);
    harness.turn();
    assert_eq!(seqs(&link)[3..], [9, 8], "a new membership has no rate");
}

#[test]
fn a_snapshot_comes_at_once_and_is_not_repeated() {
    let mut harness = Harness::new();
    let (first, _) = harness.member(1, UNLIMITED);
    harness.rate(first, 1_000, 0);
    harness.value(1, 7, &[]);
    harness.value(2, 7, &[]);
    let (conn, link) = harness.open(UNLIMITED);
    let snapshot = [harness.message(1, 2, Delivery::Latest, Some(7), 8)];
    harness.join_with(conn, 1, &snapshot);
    harness.rate(conn, 1_000, 5);
    harness.until(10_000);
    assert_eq!(seqs(&link), [2]);
}

#[test]
fn edges_of_ten_thousand_members_are_spread_over_the_interval() {
    let mut harness = Harness::new();
    let members: Vec<_> = (0..10_000).map(|_| harness.member(1, UNLIMITED)).collect();
    members.iter().for_each(|&(conn, _)| harness.rate(conn, INTERVAL, 0));
    harness.value(1, 7, &[]);
    harness.value(2, 7, &[]);
    harness.turn();
    let (mut largest, mut before) = (0, 10_000);
    for step in 1..=100 {
        harness.until(step * INTERVAL / 50);
        let sent = harness.stats.delivered();
        largest = largest.max(sent - before);
        before = sent;
    }
    assert_eq!(before, 20_000);
    // Evenly, it would be 200 in each fiftieth of the interval.
    assert!(largest <= 500, "{largest} at once");
}

#[test]
fn bytes_a_second_are_kept_and_a_timer_lets_the_rest_leave() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    harness.rate(conn, 0, 40);
    for seq in 1..=5 {
        harness.value(seq, seq, &[]);
    }
    harness.turn();
    assert_eq!((seqs(&link), harness.stats.held.value()), (vec![1], 0));
    harness.value(6, 5, &[]);
    assert_eq!(harness.drops(Drop::Rate), 1);
    harness.until(SECOND);
    assert_eq!(seqs(&link), [1, 2, 3, 4, 6]);
    harness.apply(Command::Gone { conn });
    harness.assert_empty();
}

#[test]
fn a_session_without_a_link_keeps_its_rate_and_gets_the_newest_when_it_is_back() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open_as(UNLIMITED, Form::RAW, true);
    harness.join(conn, 1);
    harness.rate(conn, INTERVAL, 0);
    harness.value(1, 7, &[]);
    harness.turn();
    harness.apply(Command::Cut { conn, link: conn });
    for seq in 2..=40 {
        harness.value(seq, 7, &[]);
        harness.until(harness.now_us + 50_000);
    }
    assert_eq!(seqs(&link), [1]);
    let slot = harness.shard.slots.get_mut(conn).unwrap();
    assert!(slot.outbox.messages() <= 2);
    harness.apply(Command::Gone { conn });
    harness.assert_empty();
}

#[test]
fn members_that_end_with_values_waiting_leave_nothing_behind() {
    let mut harness = Harness::new();
    let members: Vec<_> = (0..20).map(|_| harness.member(1, UNLIMITED).0).collect();
    for (place, &conn) in members.iter().enumerate() {
        harness.rate(conn, 1_000 * (1 + place as u64 % 3), 100 * (place as u64 % 2));
    }
    for seq in 1..=10 {
        harness.value(seq, seq % 2, &[members[0]]);
    }
    harness.rate(ConnId::from_u64(999), 1_000, 0);
    for conn in members {
        harness.apply(Command::Gone { conn });
    }
    assert!(harness.shard.members.perhaps_rated(ConnId::from_u64(1)).is_empty());
    harness.until(SECOND);
    harness.assert_empty();
}

#[test]
fn over_the_budget_what_waits_for_rates_is_dropped_and_members_are_told() {
    let mut harness = Harness::with(settings(), 60_000);
    let form = Form { codec: Codec::Json, ..Form::RAW };
    let (told, link) = harness.open_as(UNLIMITED, form, false);
    let (raw, other) = harness.member(1, UNLIMITED);
    harness.join(told, 1);
    for conn in [told, raw] {
        harness.rate(conn, INTERVAL, 0);
    }
    for seq in 1..=60 {
        let message = harness.message(1, seq, Delivery::Latest, Some(seq % 30), 1_000);
        harness.apply(Command::Publish { message, except: Box::default() });
        harness.turn();
    }
    assert_eq!((harness.drops(Drop::Budget), harness.shard.references), (0, 30));
    let held: Vec<_> = (0..30).map(|seq| harness.message(9, seq, Delivery::Reliable, None, 1_000)).collect();
    assert!(harness.budget.is_over(0));
    harness.turn();
    assert!(!harness.budget.is_over(0), "what waits was counted, and is freed");
    assert_eq!((harness.drops(Drop::Budget), harness.shard.references), (60, 0));
    drop(held);
    harness.until(2 * INTERVAL);
    assert_eq!((seqs(&other).len(), harness.events()), (30, vec![]), "no connection is closed");
    let texts: Vec<_> = link.frames().into_iter().map(|(_, text)| String::from_utf8(text).unwrap()).collect();
    assert!(texts.iter().any(|text| text.contains(r#""type":"skipped""#) && text.contains("budget")), "{texts:?}");
    harness.value(61, 1, &[]);
    harness.until(3 * INTERVAL);
    assert_eq!(seqs(&other).last(), Some(&61));
}

#[test]
fn a_rated_session_that_joins_again_gets_what_waits_once() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open_as(UNLIMITED, Form::RAW, true);
    harness.join(conn, 1);
    harness.rate(conn, INTERVAL, 0);
    for (seq, key) in [(1, 7), (2, 8), (3, 8), (4, 7), (5, 7)] {
        harness.value(seq, key, &[]);
    }
    harness.turn();
    // Of what waits, the messages before the stream have one and not the other.
    let snapshot = [harness.message(1, 5, Delivery::Latest, Some(7), 8)];
    harness.join_with(conn, 1, &snapshot);
    harness.rate(conn, INTERVAL, 0);
    harness.turn();
    assert_eq!(seqs(&link), [1, 2, 3, 5]);
    harness.value(6, 7, &[]);
    harness.until(2 * INTERVAL);
    assert_eq!(seqs(&link), [1, 2, 3, 5, 6]);
    harness.apply(Command::Gone { conn });
    assert_eq!(harness.accounts().len(), 1);
    drop(snapshot);
    harness.assert_empty();
}
