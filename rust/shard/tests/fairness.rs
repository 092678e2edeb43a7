//! Who is written to first: each member in its turn, and connections with high messages before the others.

use super::*;
use crate::message::Priority;

impl Harness {
    fn prioritized(&mut self, priority: Priority, room: RoomId, seq: u64) {
        let metadata = Metadata { priority, ..Metadata::place(room, seq, Delivery::Reliable) };
        let payload = seq.to_be_bytes();
        let message = Message::new(Role::Data, Kind::Binary, &payload, metadata, self.now_us, &self.budget);
        self.apply(Command::Publish { message: Arc::new(message), except: Box::default() });
    }
}

/// Which of the links have got a message since the last call.
fn written(links: &[(ConnId, Fake)], before: &mut [usize]) -> Vec<usize> {
    let mut found = Vec::new();
    for (place, (_, link)) in links.iter().enumerate() {
        let now = link.seqs().len();
        found.extend((now > before[place]).then_some(place));
        before[place] = now;
    }
    found
}

#[test]
fn each_member_is_first_equally_often() {
    let mut harness = Harness::new();
    let members: Vec<_> = (0..5).map(|_| harness.member(1, UNLIMITED)).collect();
    let mut before = [0; 5];
    harness.turn();
    let mut places = [[0; 5]; 5];
    for seq in 1..=40 {
        harness.publish(1, seq);
        for place in &mut places {
            harness.shard.flush(1, 0);
            let [member] = written(&members, &mut before)[..] else { panic!("one write at a time") };
            place[member] += 1;
        }
    }
    assert_eq!(places, [[8; 5]; 5]);
}

#[test]
fn batches_under_load_do_not_undo_it() {
    // Each publish comes while the one before is half written, so that a fixed order would never change.
    let mut harness = Harness::new();
    let members: Vec<_> = (0..6).map(|_| harness.member(1, UNLIMITED)).collect();
    let mut before = [0; 6];
    harness.turn();
    let mut first = [0; 6];
    for seq in 1..=600 {
        harness.publish(1, seq);
        harness.shard.flush(1, 0);
        first[written(&members, &mut before)[0]] += 1;
        harness.shard.flush(2, 0);
        written(&members, &mut before);
    }
    assert!(first.iter().all(|count| (50..=200).contains(count)), "100 expected: {first:?}");
    harness.turn();
    assert!(members.iter().all(|(_, link)| link.seqs() == (1..=600).collect::<Vec<_>>()));
}

#[test]
fn connections_with_high_messages_are_written_first_and_low_ones_get_their_share() {
    let mut harness = Harness::new();
    let (low, normal, high) =
        (harness.member(1, UNLIMITED), harness.member(2, UNLIMITED), harness.member(3, UNLIMITED));
    harness.turn();
    harness.prioritized(Priority::Low, 1, 1);
    harness.prioritized(Priority::Normal, 2, 2);
    harness.prioritized(Priority::High, 3, 3);
    let links = [low, normal, high];
    let mut before = [0; 3];
    let mut order = Vec::new();
    while harness.shard.flush(1, 0) {
        order.extend(written(&links, &mut before));
    }
    order.extend(written(&links, &mut before));
    assert_eq!(order, [2, 1, 0]);
    // High messages never cease.
    harness.prioritized(Priority::Low, 1, 4);
    let mut waited = 0;
    while links[0].1.seqs().len() < 2 {
        waited += 1;
        harness.prioritized(Priority::High, 3, 4 + waited);
        harness.shard.flush(1, 0);
    }
    assert!((7..=8).contains(&waited), "{waited}");
}

#[test]
fn a_high_message_takes_what_waits_along_in_one_write() {
    let mut harness = Harness::new();
    let (conn, link) = harness.member(1, UNLIMITED);
    harness.join(conn, 2);
    harness.turn();
    let before = harness.stats.writes.value();
    harness.prioritized(Priority::Low, 1, 1);
    harness.prioritized(Priority::High, 2, 2);
    harness.turn();
    assert_eq!((link.seqs(), harness.stats.writes.value() - before), (vec![2, 1], 1));
}
