use super::*;
use crate::queues::batch::tests::messages_of;
use crate::queues::command::Cause;
use proptest::prelude::*;

const CREDIT: Credit = Credit { messages: 10, bytes: 10_000, total: 100_000 };

fn link(number: u64) -> ConnId {
    ConnId::from_u64(number)
}

fn messages(number: u64, first: usize, count: usize) -> Event {
    let messages = messages_of((first..first + count).map(|place| [place as u8]));
    Event::Messages { conn: link(number), of: link(number), messages }
}

/// Adds messages of a link. Returns the connections that have used up their credit.
fn arrive(fair_queue: &mut FairQueue, number: u64, count: usize) -> Vec<ConnId> {
    let mut full = Vec::new();
    fair_queue.push(messages(number, 0, count), &mut full);
    full
}

fn ended(fair_queue: &mut FairQueue, number: u64) {
    fair_queue.push(Event::Closed { conn: link(number), cause: Cause::Reset }, &mut Vec::new());
}

fn take(fair_queue: &mut FairQueue, most: usize) -> (Vec<(u64, usize)>, Vec<ConnId>) {
    let mut again = Vec::new();
    let taken = fair_queue.take(most, 0, &mut again);
    let told = taken.iter().map(|event| match event {
        Event::Messages { conn, messages, .. } => (conn.as_u64(), messages.len()),
        Event::Closed { conn, .. } => (conn.as_u64(), 0),
        other => panic!("{other:?}"),
    });
    (told.collect(), again)
}

#[test]
fn links_take_turns() {
    let mut fair_queue = FairQueue::new(CREDIT);
    arrive(&mut fair_queue, 1, 40);
    arrive(&mut fair_queue, 2, 1);
    arrive(&mut fair_queue, 3, 9);
    assert_eq!(take(&mut fair_queue, 20).0, [(1, 8), (2, 1), (3, 8), (1, 8)]);
    // Links that had nothing go first, but every fourth turn belongs to the others.
    for number in 4..9 {
        arrive(&mut fair_queue, number, 1);
    }
    assert_eq!(take(&mut fair_queue, 10).0, [(4, 1), (5, 1), (6, 1), (3, 1), (7, 1), (8, 1), (1, 8)]);
    // No link waits that had nothing, so the shares are larger.
    assert_eq!(take(&mut fair_queue, 1000).0, [(1, 16)]);
    assert!(!fair_queue.is_empty());
    assert_eq!(take(&mut fair_queue, 1000).0, []);
    assert!(fair_queue.is_empty() && fair_queue.bytes() == 0 && fair_queue.links.is_empty());
}

#[test]
fn credit_comes_back_when_half_is_handled() {
    let mut fair_queue = FairQueue::new(CREDIT);
    assert_eq!(arrive(&mut fair_queue, 1, 9), []);
    assert_eq!(arrive(&mut fair_queue, 1, 3), [link(1)]);
    // The shard is told each time.
    assert_eq!(arrive(&mut fair_queue, 1, 1), [link(1)]);
    assert_eq!(take(&mut fair_queue, 1), (vec![(1, 8)], vec![]));
    // 8 of the 13 on their way are handled now.
    assert_eq!(take(&mut fair_queue, 1), (vec![(1, 5)], vec![link(1)]));
    assert_eq!(arrive(&mut fair_queue, 1, 5), [link(1)]);
}

#[test]
fn the_credit_of_a_former_link_does_not_let_the_next_one_go_on() {
    let mut fair_queue = FairQueue::new(CREDIT);
    let arrive = |fair_queue: &mut FairQueue, number, count| {
        let (messages, mut full) = (messages_of((0..count).map(|place| [place])), Vec::new());
        fair_queue.push(Event::Messages { conn: link(number), of: link(7), messages }, &mut full);
        full
    };
    assert_eq!(arrive(&mut fair_queue, 7, 10), [link(7)]);
    assert_eq!(arrive(&mut fair_queue, 8, 10), [link(7)]);
    assert_eq!(take(&mut fair_queue, 1), (vec![(7, 8)], vec![]));
    // The connection is read until the shard hears that its present link has no credit.
    assert_eq!(take(&mut fair_queue, 1), (vec![(8, 8)], vec![link(7)]));
    assert_eq!(arrive(&mut fair_queue, 8, 10), [link(7)]);
    assert_eq!(take(&mut fair_queue, 100), (vec![(7, 2), (8, 12)], vec![]));
    assert_eq!(take(&mut fair_queue, 100), (vec![], vec![link(7)]));
    assert!(fair_queue.is_empty() && fair_queue.links.is_empty());
}

#[test]
fn bytes_are_credit_too() {
    let mut fair_queue = FairQueue::new(CREDIT);
    let mut full = Vec::new();
    let messages = messages_of([vec![b'x'; 20_000]]);
    fair_queue.push(Event::Messages { conn: link(1), of: link(7), messages }, &mut full);
    assert_eq!(full, [link(7)]);
    take(&mut fair_queue, 1);
    assert_eq!(take(&mut fair_queue, 1).1, [link(7)]);
}

#[test]
fn over_the_total_only_those_go_on_that_have_nothing_waiting() {
    let mut fair_queue = FairQueue::new(Credit { total: 1000, ..CREDIT });
    assert_eq!(arrive(&mut fair_queue, 1, 1), []);
    let mut again = Vec::new();
    // The host holds much.
    fair_queue.take(1, 5000, &mut again);
    assert_eq!(arrive(&mut fair_queue, 1, 3), [link(1)]);
    fair_queue.take(1, 5000, &mut again);
    assert_eq!(again, []);
    fair_queue.take(1, 5000, &mut again);
    assert_eq!(again, [link(1)]);
}

#[test]
fn large_messages_are_taken_a_few_at_a_time() {
    let mut fair_queue = FairQueue::new(Credit { messages: 100, bytes: 1 << 30, total: 1 << 30 });
    for number in 0..8 {
        let messages = messages_of(vec![vec![b'x'; TAKEN / 2]; 2]);
        fair_queue.push(Event::Messages { conn: link(number), of: link(number), messages }, &mut Vec::new());
    }
    assert_eq!(take(&mut fair_queue, 1000).0, [(0, 2)]);
    assert_eq!(take(&mut fair_queue, 1000).0, [(1, 2)]);
}

#[test]
fn an_end_comes_after_the_messages_before_it() {
    let mut fair_queue = FairQueue::new(CREDIT);
    arrive(&mut fair_queue, 1, 9);
    ended(&mut fair_queue, 1);
    ended(&mut fair_queue, 2);
    assert_eq!(take(&mut fair_queue, 3).0, [(2, 0), (1, 8)]);
    assert_eq!(take(&mut fair_queue, 3).0, [(1, 1), (1, 0)]);
    assert_eq!(take(&mut fair_queue, 3).0, []);
    assert!(fair_queue.links.is_empty());
    // The end need not wait until taken messages are handled, because the host keeps the order.
    arrive(&mut fair_queue, 1, 1);
    assert_eq!(take(&mut fair_queue, 3).0, [(1, 1)]);
    ended(&mut fair_queue, 1);
    assert_eq!(take(&mut fair_queue, 3).0, [(1, 0)]);
    assert!(fair_queue.links.is_empty() && fair_queue.is_empty());
}

proptest! {
    /// In every order of events, each message is taken once and in order, and each full connection gets credit again.
    #[test]
    fn nothing_is_lost_or_turned_around(steps in prop::collection::vec((0..4u64, 0..30usize, 0..40usize), 1..60)) {
        let mut fair_queue = FairQueue::new(CREDIT);
        let (mut sent, mut got) = (vec![0usize; 4], vec![0usize; 4]);
        let mut is_full = [false; 4];
        for (number, count, most) in steps.into_iter().chain((0..200).map(|_| (0, 0, 50))) {
            let mut full = Vec::new();
            if count > 0 {
                fair_queue.push(messages(number, sent[number as usize], count), &mut full);
                sent[number as usize] += count;
            }
            for conn in full {
                is_full[conn.as_u64() as usize] = true;
            }
            let mut again = Vec::new();
            for event in fair_queue.take(most, 0, &mut again) {
                let Event::Messages { conn, messages, .. } = event else { panic!("{event:?}") };
                prop_assert_eq!(messages.size(), messages.len());
                for received in messages.iter() {
                    let place = &mut got[conn.as_u64() as usize];
                    prop_assert_eq!(received.payload, [*place as u8]);
                    *place += 1;
                }
            }
            for conn in again {
                prop_assert!(std::mem::replace(&mut is_full[conn.as_u64() as usize], false));
            }
        }
        prop_assert_eq!(sent, got);
        prop_assert_eq!(is_full, [false; 4]);
        prop_assert!(fair_queue.is_empty() && fair_queue.links.is_empty() && fair_queue.bytes() == 0);
    }
}

/// A queue in which twelve newcomers wait.
fn rush() -> FairQueue {
    let mut fair_queue = FairQueue::new(CREDIT);
    for number in 10..22 {
        fair_queue.push(Event::Newcomer { conn: link(number) }, &mut Vec::new());
    }
    fair_queue
}

fn newcomers_taken(fair_queue: &mut FairQueue, most: usize) -> usize {
    let taken = fair_queue.take(most, 0, &mut Vec::new());
    taken.iter().filter(|event| matches!(event, Event::Newcomer { .. })).count()
}

#[test]
fn a_host_that_asks_for_few_messages_is_told_of_few_newcomers() {
    for (most, newcomers) in [(1, 1), (8, 1), (16, 2), (32, 4), (512, 4)] {
        let mut fair_queue = rush();
        arrive(&mut fair_queue, 1, 1);
        assert_eq!(newcomers_taken(&mut fair_queue, most), newcomers, "{most}");
    }
}

#[test]
fn newcomers_that_delay_no_message_come_several_at_once() {
    for most in [1, 8, 512] {
        let mut fair_queue = rush();
        assert_eq!(newcomers_taken(&mut fair_queue, most), NEWCOMERS, "{most}");
        // A message that waits makes them few again.
        arrive(&mut fair_queue, 1, 1);
        let fewer = (most / NEWCOMER).clamp(1, NEWCOMERS);
        assert_eq!(newcomers_taken(&mut fair_queue, most), fewer, "{most}");
        assert_eq!(newcomers_taken(&mut fair_queue, most), NEWCOMERS, "{most}");
    }
}

#[test]
fn newcomers_that_have_gone_take_no_turn_and_no_memory() {
    let mut fair_queue = FairQueue::new(CREDIT);
    let push = |fair_queue: &mut FairQueue, event| fair_queue.push(event, &mut Vec::new());
    let take = |fair_queue: &mut FairQueue| -> Vec<_> {
        let told = fair_queue.take(1000, 0, &mut Vec::new()).into_iter();
        told.map(|event| match event {
            Event::Newcomer { conn } => conn.as_u64(),
            other => panic!("{other:?}"),
        })
        .collect()
    };
    // While the host is busy, many newcomers come and go, and five stay. One of them has two pieces of news.
    for number in 0..10_000 {
        push(&mut fair_queue, Event::Newcomer { conn: link(number) });
        if number % 2000 != 1000 {
            push(&mut fair_queue, Event::NewcomerGone { conn: link(number) });
        }
        assert!(fair_queue.newcomers.len() <= GONE + 2 * 5 + 2);
    }
    push(&mut fair_queue, Event::Newcomer { conn: link(1000) });
    assert_eq!(take(&mut fair_queue), [1000, 3000, 5000, 7000]);
    assert_eq!(take(&mut fair_queue), [9000]);
    assert_eq!((take(&mut fair_queue), fair_queue.is_empty()), (vec![], true));
    // The host is told of the end of a newcomer that it knows.
    push(&mut fair_queue, Event::NewcomerGone { conn: link(1000) });
    let told = fair_queue.take(1000, 0, &mut Vec::new());
    assert!(matches!(told[..], [Event::NewcomerGone { conn }] if conn == link(1000)));
    // A newcomer that has gone before it was announced leaves no news.
    push(&mut fair_queue, Event::Newcomer { conn: link(1) });
    push(&mut fair_queue, Event::NewcomerGone { conn: link(1) });
    assert!(fair_queue.is_empty() && take(&mut fair_queue).is_empty());
}
