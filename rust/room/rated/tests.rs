use super::*;
use crate::budget::Budget;
use crate::engine::FORGOTTEN;
use crate::message::{Delivery, KeyId, Metadata, Role};
use crate::protocol::envelope::Kind;
use crate::room::rated::group::EXCEPT_MAX;
use crate::slots::Ids;

const INTERVAL: u64 = 250_000;

fn message(seq: u64, key: Option<KeyId>) -> Arc<Message> {
    let metadata = Metadata { key, ..Metadata::place(1, seq, Delivery::Latest) };
    Arc::new(Message::new(Role::Data, Kind::Binary, b"x", metadata, 0, &Arc::new(Budget::new(usize::MAX))))
}

fn named(seq: u64, id: KeyId, role: Role) -> Arc<Message> {
    let (key, key_name) = (Some(id), Some("k".into()));
    let metadata = Metadata { key, key_name, ..Metadata::place(1, seq, Delivery::Latest) };
    Arc::new(Message::new(role, Kind::Binary, b"x", metadata, 0, &Arc::new(Budget::new(usize::MAX))))
}

/// A room, its timers, and what its members got: the time and the number.
#[derive(Debug, Default)]
struct World {
    rated: RatedMembers,
    timers: Vec<(u64, GroupId)>,
    got: FxHashMap<ConnId, Vec<(u64, u64)>>,
    replaced: FxHashMap<ConnId, u64>,
    references: usize,
    now_us: u64,
}

impl World {
    fn publish(&mut self, seq: u64, key: Option<KeyId>, except: &[ConnId]) {
        self.take(&message(seq, key), except);
    }

    fn take(&mut self, message: &Arc<Message>, except: &[ConnId]) {
        let seq = message.seq();
        let Self { rated, timers, got, references, now_us, .. } = self;
        let send = |conn| got.entry(conn).or_default().push((*now_us, seq));
        let taken = rated.publish(message, None, except, *now_us, send, |due_us, id| timers.push((due_us, id)));
        *references += taken.unwrap().waits;
    }

    /// Runs the timers until a time.
    fn until(&mut self, until_us: u64) {
        while let Some(place) = (0..self.timers.len()).min_by_key(|&place| self.timers[place])
            && self.timers[place].0 <= until_us
        {
            let (due_us, id) = self.timers.swap_remove(place);
            self.now_us = self.now_us.max(due_us);
            let Some(mut edge) = self.rated.edge(id, due_us, self.now_us) else { continue };
            self.references -= edge.count();
            let (got, replaced, now_us) = (&mut self.got, &mut self.replaced, self.now_us);
            edge.each(|conn, count, messages| {
                *replaced.entry(conn).or_default() += count;
                got.entry(conn).or_default().extend(messages.map(|message| (now_us, message.seq())));
            });
            self.timers.extend(edge.next_us().map(|next_us| (next_us, id)));
        }
        self.now_us = until_us;
    }

    fn seqs(&self, conn: ConnId) -> Vec<u64> {
        self.got.get(&conn).into_iter().flatten().map(|&(_, seq)| seq).collect()
    }
}

fn ids(count: usize) -> Vec<ConnId> {
    let mut ids = Ids::new(0);
    (0..count).map(|_| ids.take().unwrap()).collect()
}

#[test]
fn the_first_value_leaves_at_once_and_later_ones_at_edges_with_the_newest() {
    let [conn] = ids(1)[..] else { panic!() };
    let mut world = World { now_us: 10_000_000, ..World::default() };
    world.rated.add(conn, INTERVAL, false, world.now_us);
    for seq in 1..=40 {
        world.publish(seq, Some(7), &[]);
        world.until(world.now_us + 50_000);
    }
    world.until(world.now_us + INTERVAL);
    let got = &world.got[&conn];
    assert_eq!((got[0], got.last().unwrap().1), ((10_000_000, 1), 40));
    for pair in got.windows(2) {
        let apart_us = pair[1].0 - pair[0].0;
        assert!((INTERVAL..2 * INTERVAL).contains(&apart_us) && pair[0].1 < pair[1].1, "{got:?}");
    }
    let edges: Vec<_> = got[1..].iter().map(|(at_us, _)| at_us % INTERVAL).collect();
    assert!(edges.iter().all(|edge| *edge == edges[0]), "one phase: {got:?}");
    assert_eq!(world.replaced[&conn] as usize, 40 - got.len());
    assert_eq!((world.references, world.timers.len()), (0, 0), "nothing is due when nothing waits");
}

#[test]
fn each_key_has_its_own_rate_and_what_has_no_key_is_one_value() {
    let [conn] = ids(1)[..] else { panic!() };
    let mut world = World::default();
    world.rated.add(conn, INTERVAL, false, 0);
    for (seq, key) in [(1, Some(1)), (2, Some(2)), (3, None), (4, Some(1)), (5, None), (6, None)] {
        world.publish(seq, key, &[]);
    }
    assert_eq!(world.seqs(conn), [1, 2, 3]);
    world.until(2 * INTERVAL);
    assert_eq!(world.seqs(conn)[3..], [4, 6]);
}

#[test]
fn a_forgotten_key_keeps_its_rate_and_its_order() {
    let [conn] = ids(1)[..] else { panic!() };
    let mut world = World { now_us: 10 * INTERVAL, ..World::default() };
    world.rated.add(conn, INTERVAL, false, world.now_us);
    let mut seq = 0;
    let mut take = |world: &mut World, id, role| {
        seq += 1;
        world.take(&named(seq, id, role), &[]);
        seq
    };
    // After a key is forgotten, its next value has another id. Of all the newest leaves, a value or that there is none.
    take(&mut world, 1, Role::Data);
    for id in 1..5 {
        take(&mut world, id, Role::Data);
        take(&mut world, id, FORGOTTEN);
        take(&mut world, id + 1, Role::Data);
        assert_eq!(world.seqs(conn), [1]);
    }
    world.until(world.now_us + 2 * INTERVAL);
    assert_eq!(world.seqs(conn), [1, 13]);
    take(&mut world, 5, FORGOTTEN);
    take(&mut world, 6, Role::Data);
    let newest = take(&mut world, 6, FORGOTTEN);
    // The edge is late, by more than the time for which keys are remembered.
    world.now_us += 5 * INTERVAL;
    let later = take(&mut world, 7, Role::Data);
    assert_eq!(world.seqs(conn), [1, 13], "{newest} waits, so {later} does not overtake it");
    world.until(world.now_us + 2 * INTERVAL);
    assert_eq!(world.seqs(conn), [1, 13, later]);
    world.until(world.now_us + 4 * INTERVAL);
    let alone = take(&mut world, 8, Role::Data);
    assert_eq!(world.seqs(conn)[3..], [alone]);
}

#[test]
fn a_member_alone_is_not_told_what_is_for_others_and_keeps_the_rule() {
    let conns = ids(3);
    let mut rated = RatedMembers::default();
    rated.add(conns[0], 1_000, true, 0);
    rated.add(conns[1], 1_000, true, 0);
    let mut edges = Vec::new();
    let mut take = |rated: &mut RatedMembers, seq| {
        rated.publish(&message(seq, Some(1)), Some(conns[0]), &[], 0, |_| (), |due_us, id| edges.push((due_us, id)))
    };
    assert_eq!(take(&mut rated, 1), Some(RateCounts { sent: 1, ..RateCounts::default() }));
    assert_eq!(take(&mut rated, 2), Some(RateCounts { waits: 1, ..RateCounts::default() }));
    assert_eq!(take(&mut rated, 3), Some(RateCounts { replaced: 1, ..RateCounts::default() }));
    let [(due_us, id)] = edges[..] else { panic!("{edges:?}") };
    let mut got = Vec::new();
    rated.edge(id, due_us, due_us).unwrap().each(|conn, replaced, messages| {
        got.extend(messages.map(|message| (conn, replaced, message.seq())));
    });
    assert_eq!(got, [(conns[0], 1, 3)]);
    assert_eq!(
        rated.publish(&message(4, None), Some(conns[2]), &[], 0, |_| (), |_, _| ()),
        None,
        "it is no rated member"
    );
    assert_eq!(rated.groups(), 2);
}

#[test]
fn a_member_that_comes_gets_nothing_that_was_published_before() {
    let conns = ids(2);
    let mut world = World::default();
    world.rated.add(conns[0], 1_000, false, 0);
    world.publish(1, Some(1), &[]);
    world.publish(2, Some(1), &[]);
    world.rated.add(conns[1], 1_000, false, 0);
    world.publish(3, Some(2), &[]);
    world.publish(4, Some(2), &[]);
    world.until(10_000);
    assert_eq!((world.seqs(conns[0]), world.seqs(conns[1])), (vec![1, 3, 2, 4], vec![3, 4]));
    // The numbering may begin anew.
    world.publish(1, Some(3), &[]);
    world.publish(2, Some(3), &[]);
    world.until(20_000);
    assert_eq!(world.seqs(conns[1])[2..], [1, 2]);
}

#[test]
fn a_member_that_goes_is_given_what_waits_for_it() {
    let conns = ids(2);
    let mut world = World::default();
    conns.iter().for_each(|&conn| world.rated.add(conn, 1_000, false, 0));
    for seq in 1..=4 {
        world.publish(seq, Some(1), &[]);
    }
    let unrated = world.rated.remove(conns[0]).unwrap();
    let waiting: Vec<_> = unrated.waiting.iter().map(|message| message.seq()).collect();
    assert_eq!((waiting, unrated.replaced, unrated.freed), (vec![4], 2, 0));
    assert_eq!(world.rated.remove(conns[1]).unwrap().freed, 1);
    world.until(10_000);
    assert_eq!(world.seqs(conns[1]), [1], "a timer of a group that is gone does nothing");
}

#[test]
fn an_excluded_member_gets_what_was_published_before_and_the_others_the_newest() {
    let conns = ids(2);
    let mut world = World::default();
    conns.iter().for_each(|&conn| world.rated.add(conn, 1_000, false, 0));
    let except = [conns[0]];
    world.publish(1, Some(1), &[]);
    world.publish(2, Some(1), &[]);
    world.publish(3, Some(1), &except);
    world.publish(4, Some(1), &except);
    world.until(10_000);
    assert_eq!((world.seqs(conns[0]), world.seqs(conns[1])), (vec![1, 2], vec![1, 2, 4]));
    // The newest comes last, whatever place the older one had.
    world.publish(5, Some(1), &[]);
    world.publish(6, Some(1), &[]);
    world.publish(7, Some(1), &except);
    world.publish(8, Some(1), &[]);
    world.until(20_000);
    assert_eq!((world.seqs(conns[0])[2..].to_vec(), world.seqs(conns[1])[3..].to_vec()), (vec![5, 8], vec![5, 7, 8]));
    // Nothing overtakes what waits, also when its key may leave at once.
    world.now_us = 30_000;
    world.publish(9, Some(1), &[]);
    world.publish(10, Some(1), &except);
    world.now_us = 31_000;
    world.publish(11, Some(1), &[]);
    assert_eq!(world.seqs(conns[1]).last(), Some(&9));
    world.until(40_000);
    assert_eq!(world.seqs(conns[1])[6..], [9, 10, 11]);
}

#[test]
fn a_late_timer_lets_everything_leave_once_and_the_rate_holds_afterwards() {
    let [conn] = ids(1)[..] else { panic!() };
    let mut world = World::default();
    world.rated.add(conn, INTERVAL, false, 0);
    world.publish(1, Some(1), &[]);
    world.publish(2, Some(1), &[]);
    world.now_us = 40 * INTERVAL + 1_000;
    world.until(world.now_us);
    assert_eq!(world.got[&conn], [(0, 1), (world.now_us, 2)]);
    world.publish(3, Some(1), &[]);
    assert_eq!(world.seqs(conn), [1, 2]);
}

/// Against a naive model: each member gets for each key a series of rising numbers, ends with the newest, never two
/// within an interval, and never waits longer than two intervals.
#[test]
fn random_members_and_keys_keep_the_rule() {
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |most: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % most
    };
    for _ in 0..50 {
        let conns = ids(8);
        let mut world = World::default();
        let intervals = [1_000, 10_000, 333_334];
        let interval: Vec<_> = conns.iter().map(|_| intervals[random(3) as usize]).collect();
        conns.iter().zip(&interval).for_each(|(&conn, &us)| world.rated.add(conn, us, false, 0));
        let mut published: Vec<(u64, u64)> = Vec::new();
        for seq in 1..=300 {
            let key = random(4);
            published.push((world.now_us, key));
            world.publish(seq, Some(key), &[]);
            let step = [0, 300, 5_000, 90_000, 700_000][random(5) as usize];
            world.until(world.now_us + step);
        }
        world.until(world.now_us + 1_000_000);
        for (&conn, &us) in conns.iter().zip(&interval) {
            for key in 0..4 {
                let of_key = |&(_, seq): &(u64, u64)| published[seq as usize - 1].1 == key;
                let got: Vec<_> = world.got[&conn].iter().copied().filter(of_key).collect();
                assert!(
                    got.windows(2).all(|pair| pair[0].1 < pair[1].1 && pair[1].0 - pair[0].0 >= us),
                    "{us} {got:?}"
                );
                let newest = published.iter().rposition(|&(_, of)| of == key).map(|place| place as u64 + 1);
                assert_eq!(got.last().map(|&(_, seq)| seq), newest);
                assert!(
                    got.iter().all(|&(at_us, seq)| at_us - published[seq as usize - 1].0 <= 2 * us),
                    "{us} {got:?}"
                );
            }
        }
        assert_eq!(world.references, 0);
    }
}

#[test]
fn a_newer_value_never_comes_before_an_older_one_of_its_key() {
    let conns = ids(2);
    for leaves_group in [false, true] {
        let mut world = World::default();
        conns.iter().for_each(|&conn| world.rated.add(conn, 1_000, false, 0));
        for (seq, is_for_all) in [(1, true), (2, false), (3, true), (4, false)] {
            world.publish(seq, Some(7), if is_for_all { &[] } else { &conns[..1] });
        }
        if leaves_group {
            let waiting = world.rated.remove(conns[1]).unwrap().waiting;
            assert_eq!(waiting.iter().map(|message| message.seq()).collect::<Vec<_>>(), [3, 4]);
        } else {
            world.until(10_000);
            assert_eq!((world.seqs(conns[0]), world.seqs(conns[1])), (vec![1, 3], vec![1, 3, 4]));
        }
    }
}

#[test]
fn an_edge_that_comes_late_keeps_the_order() {
    let conns = ids(2);
    let mut world = World::default();
    conns.iter().for_each(|&conn| world.rated.add(conn, 1_000, false, 0));
    world.publish(1, Some(7), &[]);
    world.publish(2, Some(7), &conns[..1]);
    world.now_us = 5_500;
    world.publish(3, Some(7), &[]);
    world.publish(4, Some(7), &conns[..1]);
    world.until(10_000);
    assert_eq!((world.seqs(conns[0]), world.seqs(conns[1])), (vec![1, 3], vec![1, 3, 4]));
}

#[test]
fn what_leaves_at_once_because_much_waits_makes_older_values_of_its_key_superfluous() {
    let conns = ids(3);
    let mut world = World::default();
    conns.iter().for_each(|&conn| world.rated.add(conn, 1_000, false, 0));
    let keys = EXCEPT_MAX as u64;
    (0..2 * keys).for_each(|seq| world.publish(1 + seq, Some(seq % keys), &[]));
    let newest = 2 * keys + 1;
    world.publish(newest, Some(0), &conns[..2]);
    world.publish(newest + 1, Some(0), &conns[1..]);
    world.until(10_000);
    let last_of_key = |conn: ConnId| {
        let seqs = world.seqs(conn);
        seqs.into_iter().filter(|&seq| seq == 1 || seq == keys + 1 || seq >= newest).collect::<Vec<_>>()
    };
    assert_eq!(last_of_key(conns[0]), [1, newest + 1]);
    assert_eq!(last_of_key(conns[1]), [1, keys + 1], "it got neither of the newer ones");
    assert_eq!(last_of_key(conns[2]), [1, newest]);
}

mod groups;

#[test]
fn what_a_member_got_before_it_was_rated_is_not_sent_again_at_a_late_edge() {
    let conns = ids(3);
    let mut world = World { now_us: 50_000, ..World::default() };
    world.rated.add(conns[0], 1_000, false, world.now_us);
    world.publish(1, Some(7), &[]);
    world.publish(2, Some(7), &[]);
    conns[1..].iter().for_each(|&conn| world.rated.add(conn, 1_000, false, world.now_us));
    world.now_us += 5_000;
    world.publish(3, Some(8), &[]);
    let unrated = world.rated.remove(conns[1]).unwrap();
    assert_eq!(unrated.waiting.len(), 0);
    world.until(world.now_us);
    assert_eq!((world.seqs(conns[0]), world.seqs(conns[2])), (vec![1, 3, 2], vec![3]));
}
