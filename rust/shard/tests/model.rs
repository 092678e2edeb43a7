//! Random histories: every member gets exactly what was published between its join and its leave, except droppable
//! messages that wait when it leaves.

use crate::message::RoomId;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Open { takes: usize },
    Join { conn: usize, room: RoomId },
    Leave { conn: usize, room: RoomId },
    Gone { conn: usize },
    Publish { room: RoomId, except: Option<usize> },
    Value { room: RoomId },
    Broadcast,
    Send { conn: usize },
    Flush { quota: usize },
    Writable { conn: usize, takes: usize },
}

fn op() -> impl Strategy<Value = Op> {
    // Few ids and rooms, so that most operations affect something.
    let (conn, room) = (0..12usize, 1..4u64);
    prop_oneof![
        3 => prop_oneof![Just(UNLIMITED), 0..100usize].prop_map(|takes| Op::Open { takes }),
        6 => (conn.clone(), room.clone()).prop_map(|(conn, room)| Op::Join { conn, room }),
        3 => (conn.clone(), room.clone()).prop_map(|(conn, room)| Op::Leave { conn, room }),
        1 => conn.clone().prop_map(|conn| Op::Gone { conn }),
        6 => room.clone().prop_map(|room| Op::Value { room }),
        12 => (room, prop::option::of(conn.clone())).prop_map(|(room, except)| Op::Publish { room, except }),
        1 => Just(Op::Broadcast),
        1 => conn.clone().prop_map(|conn| Op::Send { conn }),
        5 => (1..5usize).prop_map(|quota| Op::Flush { quota }),
        3 => (conn, 0..200usize).prop_map(|(conn, takes)| Op::Writable { conn, takes }),
    ]
}

/// A connection in the model: what it should have received.
struct Peer {
    conn: ConnId,
    link: Fake,
    rooms: BTreeSet<RoomId>,
    expected: Vec<u64>,
    /// Droppable messages by room, and whether some of them may have been dropped because it left.
    values: BTreeMap<RoomId, (Vec<u64>, bool)>,
    is_gone: bool,
}

proptest! {
    #[test]
    fn members_receive_what_was_published_while_they_were_members(ops in prop::collection::vec(op(), 1..150)) {
        let mut harness = Harness::with(ShardSettings { connection_bytes: UNLIMITED, ..settings() }, UNLIMITED);
        let mut peers: Vec<Peer> = Vec::new();
        let mut seq = 0;
        for op in ops {
            seq += 1;
            match op {
                Op::Open { takes } => {
                    let (conn, link) = harness.open(takes);
                    let (rooms, expected, values) = Default::default();
                    peers.push(Peer { conn, link, rooms, expected, values, is_gone: false });
                }
                Op::Join { conn, room } => if let Some(peer) = peers.get_mut(conn) {
                    harness.join(peer.conn, room);
                    if !peer.is_gone {
                        peer.rooms.insert(room);
                    }
                },
                Op::Leave { conn, room } => if let Some(peer) = peers.get_mut(conn) {
                    harness.apply(Command::Leave { conn: peer.conn, room });
                    if peer.rooms.remove(&room) {
                        peer.values.entry(room).or_default().1 = true;
                    }
                },
                Op::Gone { conn } => if let Some(peer) = peers.get_mut(conn) {
                    harness.apply(Command::Gone { conn: peer.conn });
                    harness.events();
                    peer.is_gone = true;
                    peer.rooms.clear();
                },
                Op::Publish { room, except } => {
                    let except = except.and_then(|except| peers.get(except)).map(|peer| peer.conn);
                    harness.publish_except(room, seq, except.as_slice());
                    let members = peers.iter_mut().filter(|peer| peer.rooms.contains(&room));
                    members.filter(|peer| Some(peer.conn) != except).for_each(|peer| peer.expected.push(seq));
                }
                Op::Value { room } => {
                    harness.publish_as(room, seq, Delivery::DropOldest, 8);
                    for peer in peers.iter_mut().filter(|peer| peer.rooms.contains(&room)) {
                        peer.values.entry(room).or_default().0.push(seq);
                    }
                }
                Op::Broadcast => {
                    let message = harness.message(0, seq, Delivery::Reliable, None, 8);
                    harness.apply(Command::Broadcast { message, except: Box::default() });
                    peers.iter_mut().filter(|peer| !peer.is_gone).for_each(|peer| peer.expected.push(seq));
                }
                Op::Send { conn } => if let Some(peer) = peers.get_mut(conn) {
                    let message = harness.message(0, seq, Delivery::Reliable, None, 8);
                    harness.apply(Command::Send { conn: peer.conn, message });
                    if !peer.is_gone {
                        peer.expected.push(seq);
                    }
                },
                Op::Flush { quota } => {
                    harness.shard.flush(quota, harness.now_us);
                    harness.shard.settle(harness.now_us, 0);
                }
                Op::Writable { conn, takes } => if let Some(peer) = peers.get(conn) {
                    peer.link.give(takes);
                    harness.shard.writable(peer.conn);
                },
            }
            for room in harness.rooms.keys() {
                let members = peers.iter().filter(|peer| peer.rooms.contains(room)).count();
                prop_assert_eq!(harness.headcount(*room), members);
            }
        }
        for peer in &peers {
            if !peer.is_gone {
                peer.link.give(UNLIMITED);
                harness.shard.writable(peer.conn);
            }
        }
        harness.turn();
        for peer in &peers {
            if peer.is_gone {
                // The last frame may be cut off. What left before it is a prefix of what it should get.
                let whole = peer.link.0.borrow().taken.len() / 10 * 10;
                peer.link.0.borrow_mut().taken.truncate(whole);
            }
            let values: BTreeSet<_> = peer.values.values().flat_map(|(seqs, _)| seqs.iter().copied()).collect();
            let (droppable, reliable): (Vec<_>, Vec<_>) =
                peer.link.seqs().into_iter().partition(|seq| values.contains(seq));
            prop_assert!(peer.expected.starts_with(&reliable));
            prop_assert!(peer.is_gone || peer.expected == reliable);
            for (seqs, has_left) in peer.values.values() {
                let came: Vec<_> = droppable.iter().copied().filter(|seq| seqs.contains(seq)).collect();
                prop_assert!(came.is_sorted());
                prop_assert!(came == *seqs || *has_left || (peer.is_gone && seqs.starts_with(&came)));
            }
            prop_assert!(peer.is_gone || !peer.link.calls().contains(&"abort"));
            harness.apply(Command::Gone { conn: peer.conn });
        }
        prop_assert_eq!(harness.events(), []);
        harness.assert_empty();
    }
}
