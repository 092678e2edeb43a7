//! Batches of several sessions: those at the same place share them, the others get their own.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const BATCHED: Form = Form { is_batched: true, ..Form::JSON };

/// The numbers in each frame of a link.
fn frames(link: &Fake) -> Vec<Vec<u64>> {
    let numbers = |(_, text): (u8, Vec<u8>)| {
        let document = serde_json::from_slice(&text).expect("it is JSON");
        let envelopes = if let serde_json::Value::Array(envelopes) = document { envelopes } else { vec![document] };
        envelopes.iter().map(|envelope| envelope["seq"].as_u64().expect("it has a number")).collect()
    };
    link.frames().into_iter().map(numbers).collect()
}

#[test]
fn those_at_the_same_place_share_the_bytes() {
    let used = |members: usize| {
        let mut harness = Harness::new();
        let links: Vec<_> = (0..members).map(|_| harness.open_as(UNLIMITED, BATCHED, true)).collect();
        let (plain, single) = harness.open_as(UNLIMITED, Form::JSON, true);
        harness.join(plain, 1);
        links.iter().for_each(|&(conn, _)| harness.join(conn, 1));
        for seq in 1..=20 {
            harness.publish(1, seq);
        }
        harness.turn();
        assert!(links.iter().all(|(_, link)| frames(link) == [(1..=20).collect::<Vec<_>>()]));
        assert_eq!(frames(&single).len(), 20);
        assert_eq!(harness.stats.delivered(), 20 * (members as u64 + 1));
        let used = harness.budget.used() - 16 * harness.shard.references;
        for conn in links.iter().map(|(conn, _)| *conn).chain([plain]) {
            harness.apply(Command::Gone { conn });
        }
        let counts: Vec<_> = harness.accounts().iter().map(|(_, account)| account.messages).collect();
        assert_eq!(counts, vec![20; members + 1]);
        harness.assert_empty();
        used
    };
    assert_eq!(used(1), used(20));
}

#[test]
fn nothing_is_kept_for_others_when_all_is_written() {
    let mut harness = Harness::new();
    let (conn, _) = harness.open_as(UNLIMITED, BATCHED, true);
    harness.join(conn, 1);
    for seq in 1..=3 {
        harness.publish(1, seq);
    }
    harness.turn();
    // The session keeps the batch until it is acknowledged.
    assert!(harness.budget.used() > 0);
    harness.report(conn, 3, None);
    harness.turn();
    assert_eq!((harness.budget.used(), harness.shard.references), (0, 0));
    harness.apply(Command::Gone { conn });
    assert_eq!(harness.accounts().len(), 1);
    harness.assert_empty();
}

#[test]
fn a_notice_of_what_was_skipped_comes_behind_the_batch() {
    let mut harness = Harness::new();
    let (conn, link) = harness.open_as(UNLIMITED, BATCHED, true);
    harness.join(conn, 1);
    harness.publish(1, 1);
    harness.publish_except(1, 2, &[conn]);
    harness.publish(1, 3);
    harness.turn();
    let texts: Vec<_> = link.frames().into_iter().map(|(_, text)| String::from_utf8(text).unwrap()).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts[0].starts_with('[') && texts[1].contains(r#""type":"skipped""#), "{texts:?}");
}

proptest! {
    #[test]
    fn each_session_gets_the_messages_of_its_rooms_whoever_shares_them(
        rooms in prop::collection::vec(prop::collection::btree_set(1..4u64, 0..4), 2..8),
        ops in prop::collection::vec(prop_oneof![4 => (1..4u64).prop_map(Some), 1 => Just(None)], 1..60)
    ) {
        let mut harness = Harness::with(ShardSettings { connection_bytes: UNLIMITED, ..settings() }, UNLIMITED);
        let of_rooms = |harness: &mut Harness, rooms: &BTreeSet<RoomId>| {
            let (conn, link) = harness.open_as(UNLIMITED, BATCHED, true);
            rooms.iter().for_each(|&room| harness.join(conn, room));
            link
        };
        let links: Vec<_> = rooms.iter().map(|rooms| of_rooms(&mut harness, rooms)).collect();
        let mut published = Vec::new();
        for op in ops {
            match op {
                Some(room) => {
                    published.push(room);
                    harness.publish(room, published.len() as u64);
                }
                None => {
                    harness.shard.flush(2, harness.now_us);
                }
            }
        }
        harness.turn();
        for (rooms, link) in rooms.iter().zip(&links) {
            let expected: Vec<_> =
                (1..).zip(&published).filter(|(_, room)| rooms.contains(room)).map(|(seq, _)| seq).collect();
            prop_assert_eq!(frames(link).concat(), expected);
        }
    }
}
