//! Which connections get which messages.

use super::*;
use crate::queues::slow_readers::WaitsFor;

#[test]
fn a_publish_reaches_the_members_of_its_room_and_nobody_else() {
    let mut harness = Harness::new();
    let (_, a) = harness.member(1, UNLIMITED);
    let (both, b) = harness.member(1, UNLIMITED);
    harness.join(both, 2);
    let (_, c) = harness.member(2, UNLIMITED);
    let (_, alone) = harness.open(UNLIMITED);
    assert_eq!((harness.publish(1, 10), harness.publish(2, 20), harness.publish(3, 30)), (2, 2, 0));
    harness.turn();
    assert_eq!((a.seqs(), b.seqs(), c.seqs(), alone.seqs()), (vec![10], vec![10, 20], vec![20], vec![]));
    assert_eq!(harness.stats.delivered(), 4);
}

#[test]
fn what_waits_for_one_connection_leaves_in_one_write() {
    let mut harness = Harness::new();
    let (_, link) = harness.member(1, UNLIMITED);
    for seq in 1..=50 {
        harness.publish(1, seq);
    }
    harness.turn();
    assert_eq!((link.seqs().len(), harness.stats.writes.value()), (50, 1));
}

#[test]
fn those_excepted_are_left_out() {
    let mut harness = Harness::new();
    let members: Vec<_> = (0..5).map(|_| harness.member(1, UNLIMITED)).collect();
    let stale = ConnId::from_u64(u64::MAX);
    let mut except = [members[3].0, members[1].0, stale];
    except.sort_unstable();
    assert_eq!(harness.publish_except(1, 1, &except), 3);
    let message = harness.message(0, 2, Delivery::Reliable, None, 8);
    harness.apply(Command::Broadcast { message, except: except.into() });
    harness.turn();
    let received: Vec<_> = members.iter().map(|(_, link)| link.seqs().len()).collect();
    assert_eq!(received, [2, 0, 2, 0, 2]);
}

#[test]
fn broadcast_and_send_need_no_room() {
    let mut harness = Harness::new();
    let (a, a_link) = harness.open(UNLIMITED);
    let (_, b_link) = harness.open(UNLIMITED);
    let message = harness.message(0, 1, Delivery::Reliable, None, 8);
    assert_eq!(harness.apply(Command::Broadcast { message, except: Box::default() }), 2);
    let message = harness.message(0, 2, Delivery::Reliable, None, 8);
    harness.apply(Command::Send { conn: a, message });
    harness.turn();
    assert_eq!((a_link.seqs(), b_link.seqs()), (vec![1, 2], vec![1]));
}

#[test]
fn raw_bytes_go_ahead_of_messages() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    harness.publish(1, 1);
    harness.apply(Command::Raw { conn, bytes: frame::encode(crate::wire::frame::Opcode::Text, b"101") });
    harness.turn();
    assert_eq!(link.frames()[0], (1, b"101".to_vec()));
    // Raw bytes that do not fit close the connection, because they cannot be dropped.
    harness.apply(Command::Raw { conn, bytes: vec![0; 30_000].into() });
    assert_eq!(harness.events(), [Event::Closing { conn, cause: Cause::Slow }]);
}

#[test]
fn a_snapshot_comes_once_and_before_the_stream() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open(UNLIMITED);
    let snapshot: Vec<_> = (1..=3).map(|seq| harness.message(1, seq, Delivery::Latest, Some(seq), 8)).collect();
    harness.join_with(conn, 1, &snapshot);
    harness.publish(1, 4);
    harness.join_with(conn, 1, &snapshot);
    harness.turn();
    // Reliable messages of the stream have a lane ahead of the values, and each value comes once.
    assert_eq!(link.seqs(), [4, 1, 2, 3]);
    assert_eq!(harness.headcount(1), 1);
}

#[test]
fn a_ping_of_the_peer_is_answered() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open(UNLIMITED);
    harness.sends(conn, 0x89, b"one");
    harness.sends(conn, 0x89, b"two");
    harness.turn();
    assert_eq!(link.frames(), [(10, b"one".to_vec()), (10, b"two".to_vec())]);
}

#[test]
fn stale_ids_are_no_ops() {
    let mut harness = Harness::new();
    let (old, old_link) = harness.member(1, UNLIMITED);
    harness.apply(Command::Gone { conn: old });
    harness.events();
    let (new, new_link) = harness.open(UNLIMITED);
    assert_eq!(new.as_u64() as u32, old.as_u64() as u32, "the place is used again");
    for conn in [old, ConnId::from_u64(0), ConnId::from_u64(u64::MAX)] {
        let message = harness.message(0, 1, Delivery::Reliable, None, 8);
        harness.join_with(conn, 1, std::slice::from_ref(&message));
        harness.apply(Command::Send { conn, message });
        harness.apply(Command::Raw { conn, bytes: Box::new([1]) });
        harness.apply(Command::Leave { conn, room: 1 });
        harness.sends(conn, 0x89, b"");
        harness.sends(conn, 0x8A, b"");
        harness.apply(Command::Close { conn, code: Some(1000), reason: "".into(), flush: true });
        harness.apply(Command::Gone { conn });
        harness.shard.writable(conn);
    }
    harness.publish(1, 2);
    harness.turn();
    assert_eq!(harness.events(), []);
    assert_eq!((old_link.frames().len(), new_link.frames().len(), new_link.calls().len()), (0, 0, 0));
    assert_eq!((harness.headcount(1), harness.ids.len()), (0, 1));
    harness.apply(Command::Gone { conn: new });
    harness.assert_empty();
}

#[test]
fn join_and_leave_twice_count_once() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    harness.join(conn, 1);
    assert_eq!((harness.publish(1, 1), harness.headcount(1)), (1, 1));
    harness.apply(Command::Leave { conn, room: 1 });
    harness.apply(Command::Leave { conn, room: 1 });
    harness.apply(Command::Leave { conn, room: 2 });
    assert_eq!((harness.publish(1, 2), harness.headcount(1)), (0, 0));
    harness.turn();
    assert_eq!(link.seqs(), [1]);
}

#[test]
fn whatever_ends_a_connection_ends_its_memberships() {
    type End = fn(&mut Harness, ConnId, &Fake);
    let ends: [(&str, End); 5] = [
        ("gone", |harness, conn, _| {
            harness.apply(Command::Gone { conn });
        }),
        ("reset while writing", |harness, _, link| {
            link.reset();
            harness.publish(1, 9);
            harness.turn();
        }),
        ("close deadline", |harness, conn, _| {
            harness.apply(Command::Close { conn, code: Some(1000), reason: "".into(), flush: true });
            harness.turn();
            harness.now_us += 5 * SECOND;
            harness.turn();
        }),
        ("slow, then the deadline", |harness, _, link| {
            link.give(0);
            harness.publish_as(1, 9, Delivery::Reliable, 12_000);
            harness.publish_as(1, 10, Delivery::Reliable, 12_000);
            harness.turn();
            harness.now_us += 5 * SECOND;
            harness.turn();
        }),
        ("abort_all", |harness, _, _| harness.shard.abort_all()),
    ];
    for (what, end) in ends {
        let mut harness = Harness::new();
        let (conn, link) = harness.member(1, UNLIMITED);
        harness.join(conn, 2);
        harness.publish(1, 1);
        end(&mut harness, conn, &link);
        assert_eq!((harness.headcount(1), harness.headcount(2)), (0, 0), "{what}");
        harness.assert_empty();
    }
}

#[test]
fn readers_for_which_most_waits_are_listed_with_the_age_of_the_oldest_message() {
    let mut harness = Harness::new();
    let (small, _) = harness.member(1, 0);
    let (large, _) = harness.member(1, 0);
    let (fast, _) = harness.member(1, UNLIMITED);
    harness.join(large, 2);
    harness.publish(1, 1);
    harness.turn();
    harness.now_us += 2 * SECOND;
    harness.publish(2, 2);
    harness.turn();
    harness.now_us += SECOND;
    let mut listed = |most| {
        let (answer, answers) = std::sync::mpsc::channel();
        harness.apply(Command::Slowest { most, answer });
        answers.try_recv().unwrap()
    };
    let all = listed(9);
    let found: Vec<_> = all.most.iter().map(|reader| (reader.conn, reader.messages, reader.age_us)).collect();
    assert_eq!((all.count, found), (2, vec![(large, 2, 3 * SECOND), (small, 1, 3 * SECOND)]));
    assert!(all.most.iter().all(|reader| reader.waits_for == WaitsFor::Socket && reader.dropped == 0));
    assert!(all.most[0].bytes > all.most[1].bytes);
    let first = listed(1);
    assert_eq!((first.count, first.most.len(), first.most[0].conn), (2, 1, large));
    let mut looked = |conn| {
        let (answer, answers) = std::sync::mpsc::channel();
        harness.apply(Command::Describe { conn, answer });
        answers.try_recv().unwrap()
    };
    let (slow, quick) = (looked(large).unwrap(), looked(fast).unwrap());
    assert_eq!((slow.waiting_messages, slow.age_us, slow.waits_for), (2, 3 * SECOND, Some(WaitsFor::Socket)));
    assert_eq!((slow.account.messages, slow.account.highest_queue >= slow.waiting_bytes), (0, true));
    assert_eq!((quick.waiting_bytes, quick.waits_for, quick.account.messages), (0, None, 1));
    assert_eq!(looked(crate::slots::ConnId::from_u64(large.as_u64() + 77)), None);
}
