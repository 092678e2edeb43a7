//! Slow readers, alone and together.

use super::*;

#[test]
fn a_blocked_link_is_armed_once_and_resumed_by_writable() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, 5);
    for seq in 1..=3 {
        harness.publish(1, seq);
        harness.turn();
    }
    assert_eq!((link.calls(), link.0.borrow().taken.len()), (vec![], 5));
    link.give(UNLIMITED);
    harness.turn();
    assert_eq!(link.0.borrow().taken.len(), 5, "not before it says so");
    harness.shard.writable(conn);
    harness.turn();
    assert_eq!((link.seqs(), link.calls()), (vec![1, 2, 3], vec![]));
    assert_eq!(harness.stats.delivered(), 3);
    harness.apply(Command::Gone { conn });
    harness.assert_empty();
}

#[test]
fn what_a_link_holds_goes_before_all_that_follows() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    link.0.borrow_mut().holds = true;
    for seq in 1..=2 {
        harness.publish(1, seq);
        harness.turn();
    }
    assert_eq!((link.seqs(), harness.stats.delivered()), (vec![1], 1));
    // It may have said something of its own as well, such as a ticket.
    harness.shard.ready(conn, false, false, true);
    harness.turn();
    assert_eq!(link.seqs(), [1], "it still holds the first");
    link.let_out();
    harness.shard.ready(conn, false, false, true);
    harness.turn();
    assert_eq!(link.seqs(), [1, 2]);
    link.reset();
    harness.shard.ready(conn, false, false, true);
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Reset }]);
    harness.assert_empty();
}

#[test]
fn overflow_closes_with_the_slow_code_and_hurts_nobody_else() {
    let mut harness = Harness::new();
    let (slow, slow_link) = harness.member(1, 5);
    slow_link.0.borrow_mut().is_socket = true;
    let (_, fast_link) = harness.member(1, UNLIMITED);
    // 266 bytes each with overhead; 20,000 may wait, and one more has begun to leave.
    let mut published = 0;
    while harness.stats.slow.value() == 0 {
        published += 1;
        harness.publish(1, published);
        harness.turn();
    }
    assert_eq!(published, 20_000 / 266 + 1);
    assert_eq!(harness.events(), [Event::Closing { conn: slow, cause: Cause::Slow }]);
    assert_eq!(fast_link.seqs(), (1..=published).collect::<Vec<_>>());
    // The begun message is finished, what waited is dropped, the close frame follows.
    slow_link.give(UNLIMITED);
    harness.shard.writable(slow);
    harness.turn();
    assert_eq!(slow_link.seqs(), [1]);
    let (opcode, payload) = slow_link.frames().pop().unwrap();
    assert_eq!((opcode, &payload[..2]), (8, &4008u16.to_be_bytes()[..]));
    assert_eq!(slow_link.calls(), ["finish"]);
    assert_eq!(harness.drops(Drop::Closed), published - 2, "the one that overflowed is the reason, not a drop");
    harness.publish(1, published + 1);
    harness.apply(Command::Gone { conn: slow });
    harness.turn();
    assert_eq!((harness.headcount(1), harness.events()), (1, vec![]));
    let (conn, account) = harness.accounts().pop().unwrap();
    assert_eq!((conn, account.messages), (slow, 1));
    assert_eq!(account.bytes as usize, slow_link.0.borrow().taken.len());
    assert_eq!(account.drops().collect::<Vec<_>>(), [("closed", published - 1)], "one came after the end had begun");
}

#[test]
fn an_error_of_the_link_ends_the_connection() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    link.reset();
    harness.publish(1, 1);
    harness.turn();
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::Reset }]);
    assert_eq!((link.calls(), harness.drops(Drop::Closed)), (vec!["abort"], 1));
    harness.assert_empty();
}

#[test]
fn an_end_in_the_middle_of_a_message_leaves_no_reference() {
    let mut harness = Harness::new();
    let (conn, _) = harness.member(1, 5);
    harness.publish(1, 1);
    harness.publish(1, 2);
    harness.turn();
    harness.apply(Command::Gone { conn });
    assert_eq!(harness.drops(Drop::Closed), 2);
    harness.assert_empty();
}

/// Blocked members of room 1, of which the first has most to read, and one member that keeps up.
fn crowd(engine_bytes: usize, delivery: Delivery) -> (Harness, Vec<(ConnId, Fake)>, Fake) {
    let mut harness = Harness::with(ShardSettings { connection_bytes: 1 << 20, ..settings() }, engine_bytes);
    let (_, fast) = harness.member(1, UNLIMITED);
    let mut slow = Vec::new();
    for room in [2, 3, 4] {
        let (conn, link) = harness.member(1, 0);
        harness.join(conn, room);
        slow.push((conn, link));
    }
    // All block on a first byte; then 30, 20 and 10 messages of their own wait.
    harness.publish(1, 1);
    harness.turn();
    for (room, count) in [(2, 30), (3, 20), (4, 10)] {
        for seq in 0..count {
            harness.publish_as(room, seq, delivery, 1_000);
            harness.turn();
        }
    }
    (harness, slow, fast)
}

fn waiting(harness: &mut Harness, conn: ConnId) -> usize {
    harness.shard.slots.get_mut(conn).map_or(0, |slot| slot.outbox.messages())
}

#[test]
fn over_the_budget_what_may_be_dropped_goes_first_from_the_worst() {
    let (mut harness, slow, fast) = crowd(80_000, Delivery::DropOldest);
    assert_eq!(harness.drops(Drop::Budget), 0);
    for seq in 0..20 {
        harness.publish_as(4, 100 + seq, Delivery::Reliable, 1_000);
        harness.turn();
    }
    // The slowest has lost its droppable messages and nothing else. No connection was closed.
    assert_eq!(harness.drops(Drop::Budget), 30);
    let left: Vec<_> = slow.iter().map(|&(conn, _)| waiting(&mut harness, conn)).collect();
    assert_eq!((left, harness.events()), (vec![1, 21, 31], vec![]));
    assert!(!harness.budget.is_over(0));
    harness.publish(1, 2);
    harness.turn();
    assert_eq!(fast.seqs(), [1, 2]);
}

#[test]
fn over_the_budget_of_reliable_messages_the_worst_is_closed_first() {
    let (mut harness, slow, fast) = crowd(80_000, Delivery::Reliable);
    for seq in 0..20 {
        harness.publish_as(4, 100 + seq, Delivery::Reliable, 1_000);
        harness.turn();
    }
    assert_eq!(harness.events(), [Event::Closing { conn: slow[0].0, cause: Cause::Budget }]);
    let left: Vec<_> = slow.iter().map(|&(conn, _)| waiting(&mut harness, conn)).collect();
    assert_eq!(left, [0, 21, 31]);
    harness.publish(1, 2);
    harness.turn();
    assert_eq!(fast.seqs(), [1, 2]);
}

#[test]
fn shared_messages_count_once_and_relief_stops_when_it_is_enough() {
    // Ten messages for a thousand slow readers: the messages cost nothing, the references 160,000 bytes.
    let mut harness = Harness::with(settings(), 100_000);
    let members: Vec<_> = (0..1_000).map(|_| harness.member(1, 0)).collect();
    let (_, fast) = harness.member(1, UNLIMITED);
    harness.publish(1, 0);
    harness.turn();
    for seq in 1..=10 {
        harness.publish_as(1, seq, Delivery::DropOldest, 8);
    }
    harness.turn();
    let dropped = harness.drops(Drop::Budget);
    assert!(!harness.budget.is_over(0));
    assert!((4_000..=6_000).contains(&dropped), "{dropped} of 10,000 dropped, where about half is enough");
    assert_eq!((harness.events(), harness.stats.slow.value()), (vec![], 0));
    assert_eq!(fast.seqs().len(), 11);
    for (conn, _) in members {
        harness.apply(Command::Gone { conn });
    }
    harness.shard.abort_all();
    harness.assert_empty();
}

#[test]
fn readers_that_keep_up_are_not_touched_when_others_fill_the_budget() {
    let mut harness = Harness::with(settings(), 1_000);
    let (_, fast) = harness.member(1, UNLIMITED);
    let held: Vec<_> = (0..10).map(|seq| harness.message(9, seq, Delivery::Reliable, None, 1_000)).collect();
    assert!(harness.budget.is_over(0));
    for seq in 1..=20 {
        harness.publish_as(1, seq, Delivery::DropOldest, 8);
        harness.turn();
    }
    assert_eq!((fast.seqs().len(), harness.events(), harness.drops(Drop::Budget)), (20, vec![], 0));
    drop(held);
    harness.shard.abort_all();
    harness.assert_empty();
}

#[test]
fn what_is_still_queued_is_nobodys_fault() {
    let (mut harness, slow, _) = crowd(80_000, Delivery::Reliable);
    let queued: Vec<_> = (0..50).map(|seq| harness.message(9, seq, Delivery::Reliable, None, 1_000)).collect();
    assert!(harness.budget.is_over(0));
    let now_us = harness.now_us;
    harness.shard.settle(now_us, queued.iter().map(|message| message.cost(Form::RAW)).sum());
    assert_eq!(harness.events(), []);
    harness.shard.settle(now_us, 0);
    assert_eq!(harness.events()[0], Event::Closing { conn: slow[0].0, cause: Cause::Budget });
}

#[test]
fn nobody_is_closed_who_holds_nothing() {
    let mut harness = Harness::with(settings(), 50_000);
    let (conn, _) = harness.member(1, 0);
    for seq in 0..10 {
        harness.publish_as(1, seq, Delivery::DropOldest, 100);
    }
    harness.turn();
    assert_eq!(waiting(&mut harness, conn), 10);
    let _held: Vec<_> = (0..90).map(|seq| harness.message(9, seq, Delivery::Reliable, None, 1_000)).collect();
    harness.turn();
    // All droppable messages were dropped, which was not enough. Closing a connection would free nothing.
    assert_eq!((waiting(&mut harness, conn), harness.drops(Drop::Budget), harness.events()), (0, 10, vec![]));
}
