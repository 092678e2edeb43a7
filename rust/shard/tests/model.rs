//! Random histories: every member receives exactly what was published between its join and its leave.

use crate::message::RoomId;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Open { takes: usize },
    Join { conn: usize, room: RoomId },
    Leave { conn: usize, room: RoomId },
    Gone { conn: usize },
    Publish { room: RoomId, except: Option<usize> },
    Broadcast,
    Send { conn: usize },
    Flush { quota: usize },
    Writable { conn: usize, takes: usize },
}

fn op() -> impl Strategy<Value = Op> {
    // Few places and rooms, so that most operations hit something.
    let (conn, room) = (0..12usize, 1..4u64);
    prop_oneof![
        3 => prop_oneof![Just(UNLIMITED), 0..100usize].prop_map(|takes| Op::Open { takes }),
        6 => (conn.clone(), room.clone()).prop_map(|(conn, room)| Op::Join { conn, room }),
        3 => (conn.clone(), room.clone()).prop_map(|(conn, room)| Op::Leave { conn, room }),
        1 => conn.clone().prop_map(|conn| Op::Gone { conn }),
        12 => (room, prop::option::of(conn.clone())).prop_map(|(room, except)| Op::Publish { room, except }),
        1 => Just(Op::Broadcast),
        1 => conn.clone().prop_map(|conn| Op::Send { conn }),
        5 => (1..5usize).prop_map(|quota| Op::Flush { quota }),
        3 => (conn, 0..200usize).prop_map(|(conn, takes)| Op::Writable { conn, takes }),
    ]
}

/// A connection as the model sees it: what it should have received.
struct Peer {
    conn: ConnId,
    link: Fake,
    rooms: BTreeSet<RoomId>,
    expected: Vec<u64>,
    is_gone: bool,
}

proptest! {
    #[test]
    fn members_receive_what_was_published_while_they_were_members(ops in prop::collection::vec(op(), 1..150)) {
        let mut house = House::with(ShardSettings { connection_bytes: UNLIMITED, ..settings() }, UNLIMITED);
        let mut peers: Vec<Peer> = Vec::new();
        let mut seq = 0;
        for op in ops {
            seq += 1;
            match op {
                Op::Open { takes } => {
                    let (conn, link) = house.open(takes);
                    peers.push(Peer { conn, link, rooms: BTreeSet::new(), expected: Vec::new(), is_gone: false });
                }
                Op::Join { conn, room } => if let Some(peer) = peers.get_mut(conn) {
                    house.join(peer.conn, room);
                    if !peer.is_gone {
                        peer.rooms.insert(room);
                    }
                },
                Op::Leave { conn, room } => if let Some(peer) = peers.get_mut(conn) {
                    house.apply(Command::Leave { conn: peer.conn, room });
                    peer.rooms.remove(&room);
                },
                Op::Gone { conn } => if let Some(peer) = peers.get_mut(conn) {
                    house.apply(Command::Gone { conn: peer.conn });
                    house.events();
                    peer.is_gone = true;
                    peer.rooms.clear();
                },
                Op::Publish { room, except } => {
                    let except = except.and_then(|except| peers.get(except)).map(|peer| peer.conn);
                    house.publish_except(room, seq, except.as_slice());
                    let members = peers.iter_mut().filter(|peer| peer.rooms.contains(&room));
                    members.filter(|peer| Some(peer.conn) != except).for_each(|peer| peer.expected.push(seq));
                }
                Op::Broadcast => {
                    let message = house.message(0, seq, Delivery::Reliable, None, 8);
                    house.apply(Command::Broadcast { message, except: Box::default() });
                    peers.iter_mut().filter(|peer| !peer.is_gone).for_each(|peer| peer.expected.push(seq));
                }
                Op::Send { conn } => if let Some(peer) = peers.get_mut(conn) {
                    let message = house.message(0, seq, Delivery::Reliable, None, 8);
                    house.apply(Command::Send { conn: peer.conn, message });
                    if !peer.is_gone {
                        peer.expected.push(seq);
                    }
                },
                Op::Flush { quota } => {
                    house.shard.flush(quota, house.now_us);
                    house.shard.settle(house.now_us, 0);
                }
                Op::Writable { conn, takes } => if let Some(peer) = peers.get(conn) {
                    peer.link.give(takes);
                    house.shard.writable(peer.conn);
                },
            }
            for room in house.rooms.keys() {
                let members = peers.iter().filter(|peer| peer.rooms.contains(room)).count();
                prop_assert_eq!(house.headcount(*room), members);
            }
        }
        for peer in &peers {
            if !peer.is_gone {
                peer.link.give(UNLIMITED);
                house.shard.writable(peer.conn);
            }
        }
        house.turn();
        for peer in &peers {
            if peer.is_gone {
                // Its last frame may be cut off; whatever left before is a prefix of what it was to get.
                let whole = peer.link.0.borrow().taken.len() / 10 * 10;
                peer.link.0.borrow_mut().taken.truncate(whole);
                prop_assert!(peer.expected.starts_with(&peer.link.seqs()));
            } else {
                prop_assert_eq!(&peer.link.seqs(), &peer.expected);
            }
            prop_assert!(!peer.link.calls().contains(&"abort"));
            house.apply(Command::Gone { conn: peer.conn });
        }
        prop_assert_eq!(house.events(), []);
        house.assert_empty();
    }
}
