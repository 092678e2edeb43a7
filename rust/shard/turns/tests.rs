use super::*;
use crate::slots::Ids;

/// Turns, and what a shard knows of each connection.
struct Harness {
    turns: Turns,
    conns: Vec<ConnId>,
    places: Vec<Queued>,
}

impl Harness {
    fn new(count: usize) -> Self {
        let mut ids = Ids::new(0);
        let conns = (0..count).map(|_| ids.take().unwrap()).collect();
        Self { turns: Turns::default(), conns, places: vec![Queued::default(); count] }
    }

    fn add(&mut self, index: usize, priority: Priority) {
        self.turns.add(self.conns[index], &mut self.places[index], priority);
    }

    /// Publishes to these connections, in this order.
    fn publish(&mut self, members: impl IntoIterator<Item = usize>, priority: Priority) {
        self.turns.begin_walk(priority);
        members.into_iter().for_each(|index| self.add(index, priority));
    }

    /// Writes for up to `quota` connections. Returns which.
    fn write(&mut self, quota: usize) -> Vec<usize> {
        let mut written = Vec::new();
        while written.len() < quota
            && let Some((conn, priority)) = self.turns.pop()
        {
            let index = self.conns.iter().position(|&known| known == conn).unwrap();
            if self.places[index].leave(priority) {
                self.places[index].written();
                written.push(index);
            }
        }
        if self.turns.is_empty() {
            self.turns.rest();
        }
        written
    }
}

/// The members of a room, from another one each time.
fn walk(count: usize, publish: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |place| (place + publish) % count)
}

#[test]
fn without_a_backlog_the_order_is_that_of_the_publish() {
    let mut harness = Harness::new(5);
    for publish in 0..20 {
        harness.publish(walk(5, publish), Priority::Normal);
        assert_eq!(harness.write(32), walk(5, publish).collect::<Vec<_>>());
    }
}

#[test]
fn under_load_everybody_is_first_about_as_often() {
    // A publish comes after every 32 writes, so that the round never ends; 64 members are the worst case for a fixed
    // order, in which two of them would always be first.
    for count in [33, 64, 100, 320] {
        let mut harness = Harness::new(count);
        let mut first = vec![0; count];
        let publishes = 200 * count;
        for publish in 0..publishes {
            harness.publish(walk(count, publish), Priority::Normal);
            first[harness.write(32)[0]] += 1;
        }
        let (least, most) = (first.iter().min().unwrap(), first.iter().max().unwrap());
        assert!(*least >= 100 && *most <= 400, "{count} members: {least} to {most} times, 200 expected");
    }
}

#[test]
fn under_load_everybody_is_written_in_each_second_round() {
    let mut harness = Harness::new(64);
    let mut last = [0; 64];
    for turn in 1..1000 {
        harness.publish(walk(64, turn), Priority::Normal);
        for index in harness.write(32) {
            assert!(turn - last[index] <= 4, "{index} has waited for {} turns", turn - last[index]);
            last[index] = turn;
        }
    }
}

#[test]
fn a_member_of_many_rooms_is_not_ahead_of_those_of_one() {
    let mut harness = Harness::new(4);
    let mut first = [0; 4];
    for publish in 0..4000 {
        // The first room has one member, the second all.
        harness.publish([0], Priority::Normal);
        harness.publish(walk(4, publish), Priority::Normal);
        first[harness.write(32)[0]] += 1;
    }
    assert!(first.iter().all(|&count| (800..1200).contains(&count)), "{first:?}");
}

#[test]
fn high_goes_first_and_low_last() {
    let mut harness = Harness::new(6);
    harness.publish([0, 1], Priority::Low);
    harness.publish([2, 3], Priority::Normal);
    harness.publish([4, 5], Priority::High);
    assert_eq!(harness.write(32), [4, 5, 2, 3, 0, 1]);
}

#[test]
fn what_waits_is_moved_ahead_by_a_higher_priority_and_written_once() {
    let mut harness = Harness::new(3);
    harness.publish([0, 1, 2], Priority::Low);
    harness.publish([2], Priority::High);
    harness.publish([1, 2], Priority::Normal);
    assert_eq!(harness.write(32), [2, 1, 0]);
    assert!(harness.turns.is_empty() && harness.places.iter().all(|place| !place.wants()));
    // The places are free again.
    harness.publish([1, 0], Priority::Low);
    assert_eq!(harness.write(32), [1, 0]);
}

#[test]
fn one_of_eight_writes_goes_to_a_lower_priority() {
    let mut harness = Harness::new(30);
    let mut counts = [0; 3];
    for _ in 0..640 {
        harness.publish(0..10, Priority::High);
        harness.publish(10..20, Priority::Normal);
        harness.publish(20..30, Priority::Low);
        counts[harness.write(1)[0] / 10] += 1;
    }
    assert_eq!(counts, [560, 70, 10]);
}

#[test]
fn each_waits_at_most_once_in_each_queue() {
    let mut harness = Harness::new(8);
    for round in 0..1000_usize {
        for (index, priority) in (0..8).zip([0, 1, 2].into_iter().cycle().skip(round)) {
            harness.add(index, PRIORITIES[priority].0);
        }
        harness.write(1);
        let waiting: usize = harness.turns.rings.iter().map(|ring| ring.round.len() + ring.next.len()).sum();
        assert!(waiting <= 3 * 8);
    }
    let wanting = harness.places.iter().filter(|place| place.wants()).count();
    assert_eq!(harness.write(32).len(), wanting);
}
