//! Which connections get which messages.

use super::*;

#[test]
fn a_publish_reaches_the_members_of_its_room_and_nobody_else() {
    let mut house = House::new();
    let (_, a) = house.member(1, UNLIMITED);
    let (both, b) = house.member(1, UNLIMITED);
    house.join(both, 2);
    let (_, c) = house.member(2, UNLIMITED);
    let (_, alone) = house.open(UNLIMITED);
    assert_eq!((house.publish(1, 10), house.publish(2, 20), house.publish(3, 30)), (2, 2, 0));
    house.turn();
    assert_eq!((a.seqs(), b.seqs(), c.seqs(), alone.seqs()), (vec![10], vec![10, 20], vec![20], vec![]));
    assert_eq!(house.stats.delivered.value(), 4);
}

#[test]
fn what_waits_for_one_connection_leaves_in_one_write() {
    let mut house = House::new();
    let (_, link) = house.member(1, UNLIMITED);
    for seq in 1..=50 {
        house.publish(1, seq);
    }
    house.turn();
    assert_eq!((link.seqs().len(), house.stats.writes.value()), (50, 1));
}

#[test]
fn those_excepted_are_left_out() {
    let mut house = House::new();
    let members: Vec<_> = (0..5).map(|_| house.member(1, UNLIMITED)).collect();
    let stale = ConnId::from_u64(u64::MAX);
    let mut except = [members[3].0, members[1].0, stale];
    except.sort_unstable();
    assert_eq!(house.publish_except(1, 1, &except), 3);
    let message = house.message(0, 2, Delivery::Reliable, None, 8);
    house.apply(Command::Broadcast { message, except: except.into() });
    house.turn();
    let received: Vec<_> = members.iter().map(|(_, link)| link.seqs().len()).collect();
    assert_eq!(received, [2, 0, 2, 0, 2]);
}

#[test]
fn broadcast_and_send_need_no_room() {
    let mut house = House::new();
    let (a, a_link) = house.open(UNLIMITED);
    let (_, b_link) = house.open(UNLIMITED);
    let message = house.message(0, 1, Delivery::Reliable, None, 8);
    assert_eq!(house.apply(Command::Broadcast { message, except: Box::default() }), 2);
    let message = house.message(0, 2, Delivery::Reliable, None, 8);
    house.apply(Command::Send { conn: a, message });
    house.turn();
    assert_eq!((a_link.seqs(), b_link.seqs()), (vec![1, 2], vec![1]));
}

#[test]
fn raw_bytes_go_ahead_of_messages() {
    let mut house = House::new();
    let (conn, link) = house.member(1, UNLIMITED);
    house.publish(1, 1);
    house.apply(Command::Raw { conn, bytes: frame::encode(crate::wire::frame::Opcode::Text, b"101") });
    house.turn();
    assert_eq!(link.frames()[0], (1, b"101".to_vec()));
    // Raw bytes that do not fit close the connection, because they cannot be dropped.
    house.apply(Command::Raw { conn, bytes: vec![0; 30_000].into() });
    assert_eq!(house.events(), [Event::Closing { conn, cause: Cause::Slow }]);
}

#[test]
fn a_snapshot_comes_once_and_before_the_stream() {
    let mut house = House::new();
    let (conn, link) = house.open(UNLIMITED);
    let snapshot: Vec<_> = (1..=3).map(|seq| house.message(1, seq, Delivery::Latest, Some(seq), 8)).collect();
    house.join_with(conn, 1, &snapshot);
    house.publish(1, 4);
    house.join_with(conn, 1, &snapshot);
    house.turn();
    // Reliable messages of the stream have a lane ahead of the values, and each value comes once.
    assert_eq!(link.seqs(), [4, 1, 2, 3]);
    assert_eq!(house.headcount(1), 1);
}

#[test]
fn a_ping_of_the_peer_is_answered() {
    let mut house = House::new();
    let (conn, link) = house.open(UNLIMITED);
    house.sends(conn, 0x89, b"one");
    house.sends(conn, 0x89, b"two");
    house.turn();
    assert_eq!(link.frames(), [(10, b"one".to_vec()), (10, b"two".to_vec())]);
}

#[test]
fn stale_ids_are_no_ops() {
    let mut house = House::new();
    let (old, old_link) = house.member(1, UNLIMITED);
    house.apply(Command::Gone { conn: old });
    house.events();
    let (new, new_link) = house.open(UNLIMITED);
    assert_eq!(new.as_u64() as u32, old.as_u64() as u32, "the place is used again");
    for conn in [old, ConnId::from_u64(0), ConnId::from_u64(u64::MAX)] {
        let message = house.message(0, 1, Delivery::Reliable, None, 8);
        house.join_with(conn, 1, std::slice::from_ref(&message));
        house.apply(Command::Send { conn, message });
        house.apply(Command::Raw { conn, bytes: Box::new([1]) });
        house.apply(Command::Leave { conn, room: 1 });
        house.sends(conn, 0x89, b"");
        house.sends(conn, 0x8A, b"");
        house.apply(Command::Grant { conn, bytes: 1 });
        house.apply(Command::Close { conn, frame: close_frame(1000), flush: true });
        house.apply(Command::Gone { conn });
        house.shard.writable(conn);
    }
    house.publish(1, 2);
    house.turn();
    assert_eq!(house.events(), []);
    assert_eq!((old_link.frames().len(), new_link.frames().len(), new_link.calls().len()), (0, 0, 0));
    assert_eq!((house.headcount(1), house.ids.len()), (0, 1));
    house.apply(Command::Gone { conn: new });
    house.assert_empty();
}

#[test]
fn join_and_leave_twice_count_once() {
    let mut house = House::new();
    let (conn, link) = house.member(1, UNLIMITED);
    house.join(conn, 1);
    assert_eq!((house.publish(1, 1), house.headcount(1)), (1, 1));
    house.apply(Command::Leave { conn, room: 1 });
    house.apply(Command::Leave { conn, room: 1 });
    house.apply(Command::Leave { conn, room: 2 });
    assert_eq!((house.publish(1, 2), house.headcount(1)), (0, 0));
    house.turn();
    assert_eq!(link.seqs(), [1]);
}

#[test]
fn whatever_ends_a_connection_ends_its_memberships() {
    type End = fn(&mut House, ConnId, &Fake);
    let ends: [(&str, End); 5] = [
        ("gone", |house, conn, _| {
            house.apply(Command::Gone { conn });
        }),
        ("reset while writing", |house, _, link| {
            link.reset();
            house.publish(1, 9);
            house.turn();
        }),
        ("close deadline", |house, conn, _| {
            house.apply(Command::Close { conn, frame: close_frame(1000), flush: true });
            house.turn();
            house.now_us += 5 * SECOND;
            house.turn();
        }),
        ("slow, then the deadline", |house, _, link| {
            link.give(0);
            house.publish_as(1, 9, Delivery::Reliable, 12_000);
            house.publish_as(1, 10, Delivery::Reliable, 12_000);
            house.turn();
            house.now_us += 5 * SECOND;
            house.turn();
        }),
        ("abort_all", |house, _, _| house.shard.abort_all()),
    ];
    for (what, end) in ends {
        let mut house = House::new();
        let (conn, link) = house.member(1, UNLIMITED);
        house.join(conn, 2);
        house.publish(1, 1);
        end(&mut house, conn, &link);
        assert_eq!((house.headcount(1), house.headcount(2)), (0, 0), "{what}");
        house.assert_empty();
    }
}
