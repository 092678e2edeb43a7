//! Slow readers, alone and together.

use super::*;

#[test]
fn a_blocked_link_is_armed_once_and_resumed_by_writable() {
    let mut house = House::new();
    let (conn, link) = house.member(1, 5);
    for seq in 1..=3 {
        house.publish(1, seq);
        house.turn();
    }
    assert_eq!((link.calls(), link.0.borrow().taken.len()), (vec![], 5));
    link.give(UNLIMITED);
    house.turn();
    assert_eq!(link.0.borrow().taken.len(), 5, "not before it says so");
    house.shard.writable(conn);
    house.turn();
    assert_eq!((link.seqs(), link.calls()), (vec![1, 2, 3], vec![]));
    assert_eq!(house.stats.delivered.value(), 3);
    house.apply(Command::Gone { conn });
    house.assert_empty();
}

#[test]
fn a_link_that_is_drained_elsewhere_is_resumed_by_a_grant() {
    let mut house = House::new();
    let (conn, link) = house.member(1, 5);
    house.publish(1, 1);
    house.turn();
    house.apply(Command::Grant { conn, bytes: 100 });
    house.turn();
    assert_eq!((link.seqs(), link.calls()), (vec![1], vec!["grant"]));
}

#[test]
fn overflow_closes_with_the_slow_code_and_hurts_nobody_else() {
    let mut house = House::new();
    let (slow, slow_link) = house.member(1, 5);
    let (_, fast_link) = house.member(1, UNLIMITED);
    // 266 bytes each with overhead; 20,000 may wait, and one more has begun to leave.
    let mut published = 0;
    while house.stats.slow.value() == 0 {
        published += 1;
        house.publish(1, published);
        house.turn();
    }
    assert_eq!(published, 20_000 / 266 + 1);
    assert_eq!(house.events(), [Event::Closing { conn: slow, cause: Cause::Slow }]);
    assert_eq!(fast_link.seqs(), (1..=published).collect::<Vec<_>>());
    // The begun message is finished, what waited is dropped, the close frame follows.
    slow_link.give(UNLIMITED);
    house.shard.writable(slow);
    house.turn();
    assert_eq!(slow_link.seqs(), [1]);
    let (opcode, payload) = slow_link.frames().pop().unwrap();
    assert_eq!((opcode, &payload[..2]), (8, &4008u16.to_be_bytes()[..]));
    assert_eq!(slow_link.calls(), ["finish"]);
    assert_eq!(house.drops(Drop::Closed), published - 2, "the one that overflowed is the reason, not a drop");
    house.publish(1, published + 1);
    house.apply(Command::Gone { conn: slow });
    house.turn();
    assert_eq!((house.headcount(1), house.events()), (1, vec![]));
    let (conn, account) = house.accounts().pop().unwrap();
    assert_eq!((conn, account.messages), (slow, 1));
    assert_eq!(account.bytes as usize, slow_link.0.borrow().taken.len());
    assert_eq!(account.drops().collect::<Vec<_>>(), [("closed", published - 1)], "one came after the end had begun");
}

#[test]
fn an_error_of_the_link_ends_the_connection() {
    let mut house = House::new();
    let (conn, link) = house.member(1, UNLIMITED);
    link.reset();
    house.publish(1, 1);
    house.turn();
    assert_eq!(house.events(), [Event::Closed { conn, cause: Cause::Reset }]);
    assert_eq!((link.calls(), house.drops(Drop::Closed)), (vec!["abort"], 1));
    house.assert_empty();
}

#[test]
fn an_end_in_the_middle_of_a_message_leaves_no_reference() {
    let mut house = House::new();
    let (conn, _) = house.member(1, 5);
    house.publish(1, 1);
    house.publish(1, 2);
    house.turn();
    house.apply(Command::Gone { conn });
    assert_eq!(house.drops(Drop::Closed), 2);
    house.assert_empty();
}

/// Blocked members of room 1, of which the first has most to read, and one member that keeps up.
fn crowd(engine_bytes: usize, delivery: Delivery) -> (House, Vec<(ConnId, Fake)>, Fake) {
    let mut house = House::with(ShardSettings { connection_bytes: 1 << 20, ..settings() }, engine_bytes);
    let (_, fast) = house.member(1, UNLIMITED);
    let mut slow = Vec::new();
    for room in [2, 3, 4] {
        let (conn, link) = house.member(1, 0);
        house.join(conn, room);
        slow.push((conn, link));
    }
    // All block on a first byte; then 30, 20 and 10 messages of their own wait.
    house.publish(1, 1);
    house.turn();
    for (room, count) in [(2, 30), (3, 20), (4, 10)] {
        for seq in 0..count {
            house.publish_as(room, seq, delivery, 1_000);
            house.turn();
        }
    }
    (house, slow, fast)
}

fn waiting(house: &mut House, conn: ConnId) -> usize {
    house.shard.slots.get_mut(conn).map_or(0, |slot| slot.outbox.messages())
}

#[test]
fn over_the_budget_what_may_be_dropped_goes_first_from_the_worst() {
    let (mut house, slow, fast) = crowd(80_000, Delivery::DropOldest);
    assert_eq!(house.drops(Drop::Budget), 0);
    for seq in 0..20 {
        house.publish_as(4, 100 + seq, Delivery::Reliable, 1_000);
        house.turn();
    }
    // The slowest has lost its droppable messages and nothing else. No connection was closed.
    assert_eq!(house.drops(Drop::Budget), 30);
    let left: Vec<_> = slow.iter().map(|&(conn, _)| waiting(&mut house, conn)).collect();
    assert_eq!((left, house.events()), (vec![1, 21, 31], vec![]));
    assert!(!house.budget.is_over(0));
    house.publish(1, 2);
    house.turn();
    assert_eq!(fast.seqs(), [1, 2]);
}

#[test]
fn over_the_budget_of_reliable_messages_the_worst_is_closed_first() {
    let (mut house, slow, fast) = crowd(80_000, Delivery::Reliable);
    for seq in 0..20 {
        house.publish_as(4, 100 + seq, Delivery::Reliable, 1_000);
        house.turn();
    }
    assert_eq!(house.events(), [Event::Closing { conn: slow[0].0, cause: Cause::Budget }]);
    let left: Vec<_> = slow.iter().map(|&(conn, _)| waiting(&mut house, conn)).collect();
    assert_eq!(left, [0, 21, 31]);
    house.publish(1, 2);
    house.turn();
    assert_eq!(fast.seqs(), [1, 2]);
}

#[test]
fn shared_messages_count_once_and_relief_stops_when_it_is_enough() {
    // Ten messages for a thousand slow readers: the messages cost nothing, the references 160,000 bytes.
    let mut house = House::with(settings(), 100_000);
    let members: Vec<_> = (0..1_000).map(|_| house.member(1, 0)).collect();
    let (_, fast) = house.member(1, UNLIMITED);
    house.publish(1, 0);
    house.turn();
    for seq in 1..=10 {
        house.publish_as(1, seq, Delivery::DropOldest, 8);
    }
    house.turn();
    let dropped = house.drops(Drop::Budget);
    assert!(!house.budget.is_over(0));
    assert!((4_000..=6_000).contains(&dropped), "{dropped} of 10,000 dropped, where about half is enough");
    assert_eq!((house.events(), house.stats.slow.value()), (vec![], 0));
    assert_eq!(fast.seqs().len(), 11);
    for (conn, _) in members {
        house.apply(Command::Gone { conn });
    }
    house.shard.abort_all();
    house.assert_empty();
}

#[test]
fn readers_that_keep_up_are_not_touched_when_others_fill_the_budget() {
    let mut house = House::with(settings(), 1_000);
    let (_, fast) = house.member(1, UNLIMITED);
    let held: Vec<_> = (0..10).map(|seq| house.message(9, seq, Delivery::Reliable, None, 1_000)).collect();
    assert!(house.budget.is_over(0));
    for seq in 1..=20 {
        house.publish_as(1, seq, Delivery::DropOldest, 8);
        house.turn();
    }
    assert_eq!((fast.seqs().len(), house.events(), house.drops(Drop::Budget)), (20, vec![], 0));
    drop(held);
    house.shard.abort_all();
    house.assert_empty();
}

#[test]
fn what_is_still_queued_is_nobodys_fault() {
    let (mut house, slow, _) = crowd(80_000, Delivery::Reliable);
    let queued: Vec<_> = (0..50).map(|seq| house.message(9, seq, Delivery::Reliable, None, 1_000)).collect();
    assert!(house.budget.is_over(0));
    let now_us = house.now_us;
    house.shard.settle(now_us, queued.iter().map(|message| message.cost(Form::RAW)).sum());
    assert_eq!(house.events(), []);
    house.shard.settle(now_us, 0);
    assert_eq!(house.events()[0], Event::Closing { conn: slow[0].0, cause: Cause::Budget });
}

#[test]
fn nobody_is_closed_who_holds_nothing() {
    let mut house = House::with(settings(), 50_000);
    let (conn, _) = house.member(1, 0);
    for seq in 0..10 {
        house.publish_as(1, seq, Delivery::DropOldest, 100);
    }
    house.turn();
    assert_eq!(waiting(&mut house, conn), 10);
    let _held: Vec<_> = (0..90).map(|seq| house.message(9, seq, Delivery::Reliable, None, 1_000)).collect();
    house.turn();
    // All droppable messages were dropped, which was not enough. Closing a connection would free nothing.
    assert_eq!((waiting(&mut house, conn), house.drops(Drop::Budget), house.events()), (0, 10, vec![]));
}
