#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::command::Cause;
use crate::inbound::Payload;
use proptest::prelude::*;

const CREDIT: Credit = Credit { messages: 10, bytes: 10_000, total: 100_000 };

fn link(number: u64) -> ConnId {
    ConnId::from_u64(number)
}

fn message(number: u8) -> Received {
    Received { payload: Payload::Binary(Box::new([number])), over: None }
}

/// What one push adds.
fn arrive(arrivals: &mut Arrivals, number: u64, count: usize) -> Vec<ConnId> {
    let mut full = Vec::new();
    let messages = (0..count).map(|place| message(place as u8)).collect();
    arrivals.push(Event::Messages { conn: link(number), of: link(number), size: count, messages }, &mut full);
    full
}

fn ended(arrivals: &mut Arrivals, number: u64) {
    arrivals.push(Event::Closed { conn: link(number), cause: Cause::Reset }, &mut Vec::new());
}

fn take(arrivals: &mut Arrivals, most: usize) -> (Vec<(u64, usize)>, Vec<ConnId>) {
    let mut again = Vec::new();
    let taken = arrivals.take(most, 0, &mut again);
    let told = taken.iter().map(|event| match event {
        Event::Messages { conn, messages, .. } => (conn.as_u64(), messages.len()),
        Event::Closed { conn, .. } => (conn.as_u64(), 0),
        other => panic!("{other:?}"),
    });
    (told.collect(), again)
}

#[test]
fn links_take_turns() {
    let mut arrivals = Arrivals::new(CREDIT);
    arrive(&mut arrivals, 1, 40);
    arrive(&mut arrivals, 2, 1);
    arrive(&mut arrivals, 3, 9);
    assert_eq!(take(&mut arrivals, 20).0, [(1, 8), (2, 1), (3, 8), (1, 8)]);
    // One that had nothing goes before them, and soon they have their turn again.
    for number in 4..9 {
        arrive(&mut arrivals, number, 1);
    }
    assert_eq!(take(&mut arrivals, 10).0, [(4, 1), (5, 1), (6, 1), (3, 1), (7, 1), (8, 1), (1, 8)]);
    assert_eq!(take(&mut arrivals, 1000).0, [(1, 8), (1, 8)]);
    assert!(!arrivals.is_empty());
    assert_eq!(take(&mut arrivals, 1000).0, []);
    assert!(arrivals.is_empty() && arrivals.bytes() == 0 && arrivals.links.is_empty());
}

#[test]
fn credit_comes_back_when_half_is_handled() {
    let mut arrivals = Arrivals::new(CREDIT);
    assert_eq!(arrive(&mut arrivals, 1, 9), []);
    assert_eq!(arrive(&mut arrivals, 1, 3), [link(1)]);
    // It is told once.
    assert_eq!(arrive(&mut arrivals, 1, 1), []);
    assert_eq!(take(&mut arrivals, 1), (vec![(1, 8)], vec![]));
    // Of 13 on their way 8 are handled now.
    assert_eq!(take(&mut arrivals, 1), (vec![(1, 5)], vec![link(1)]));
    assert_eq!(arrive(&mut arrivals, 1, 5), [link(1)]);
}

#[test]
fn bytes_are_credit_too() {
    let mut arrivals = Arrivals::new(CREDIT);
    let large = Received { payload: Payload::Binary(vec![0; 20_000].into()), over: None };
    let mut full = Vec::new();
    arrivals.push(Event::Messages { conn: link(1), of: link(7), size: 20_000, messages: vec![large] }, &mut full);
    assert_eq!(full, [link(7)]);
    take(&mut arrivals, 1);
    assert_eq!(take(&mut arrivals, 1).1, [link(7)]);
}

#[test]
fn over_the_total_only_those_go_on_that_have_nothing_waiting() {
    let mut arrivals = Arrivals::new(Credit { total: 1000, ..CREDIT });
    assert_eq!(arrive(&mut arrivals, 1, 1), []);
    let mut again = Vec::new();
    // The host holds much.
    arrivals.take(1, 5000, &mut again);
    assert_eq!(arrive(&mut arrivals, 1, 3), [link(1)]);
    arrivals.take(1, 5000, &mut again);
    assert_eq!(again, []);
    arrivals.take(1, 5000, &mut again);
    assert_eq!(again, [link(1)]);
}

#[test]
fn an_end_comes_after_the_messages_before_it() {
    let mut arrivals = Arrivals::new(CREDIT);
    arrive(&mut arrivals, 1, 9);
    ended(&mut arrivals, 1);
    ended(&mut arrivals, 2);
    assert_eq!(take(&mut arrivals, 3).0, [(2, 0), (1, 8)]);
    assert_eq!(take(&mut arrivals, 3).0, [(1, 1), (1, 0)]);
    assert_eq!(take(&mut arrivals, 3).0, []);
    assert!(arrivals.links.is_empty());
    // Taken, but perhaps not handled: the end need not wait for that, for the host is told in order.
    arrive(&mut arrivals, 1, 1);
    assert_eq!(take(&mut arrivals, 3).0, [(1, 1)]);
    ended(&mut arrivals, 1);
    assert_eq!(take(&mut arrivals, 3).0, [(1, 0)]);
    assert!(arrivals.links.is_empty() && arrivals.is_empty());
}

proptest! {
    /// Whatever comes when, everything is told once and in order, and who is full hears that it is not.
    #[test]
    fn nothing_is_lost_or_turned_around(steps in prop::collection::vec((0..4u64, 0..30usize, 0..40usize), 1..60)) {
        let mut arrivals = Arrivals::new(CREDIT);
        let (mut sent, mut got) = (vec![0usize; 4], vec![0usize; 4]);
        let mut is_full = [false; 4];
        for (number, count, most) in steps.into_iter().chain((0..200).map(|_| (0, 0, 50))) {
            let mut full = Vec::new();
            let messages = (0..count).map(|place| message((sent[number as usize] + place) as u8)).collect();
            sent[number as usize] += count;
            arrivals.push(Event::Messages { conn: link(number), of: link(number), size: count, messages }, &mut full);
            for conn in full {
                prop_assert!(!std::mem::replace(&mut is_full[conn.as_u64() as usize], true));
            }
            let mut again = Vec::new();
            for event in arrivals.take(most, 0, &mut again) {
                let Event::Messages { conn, size, messages, .. } = event else { panic!("{event:?}") };
                prop_assert_eq!(size, messages.len());
                for received in messages {
                    let place = &mut got[conn.as_u64() as usize];
                    prop_assert_eq!(received, message(*place as u8));
                    *place += 1;
                }
            }
            for conn in again {
                prop_assert!(std::mem::replace(&mut is_full[conn.as_u64() as usize], false));
            }
        }
        prop_assert_eq!(sent, got);
        prop_assert_eq!(is_full, [false; 4]);
        prop_assert!(arrivals.is_empty() && arrivals.links.is_empty() && arrivals.bytes() == 0);
    }
}
