//! Which members share a group, and what becomes of what waits for it when memory is short.

use super::*;
use crate::room::rated::group::EXCLUDED_MAX;

#[test]
fn members_are_spread_over_the_interval_and_share_groups() {
    let mut world = World::default();
    for conn in ids(10_000) {
        world.rated.add(conn, INTERVAL, false, 0);
    }
    assert_eq!(world.rated.groups(), 62);
    world.publish(1, Some(1), &[]);
    world.publish(2, Some(1), &[]);
    world.until(2 * INTERVAL);
    let mut at: FxHashMap<u64, usize> = FxHashMap::default();
    for got in world.got.values() {
        *at.entry(got[1].0).or_default() += 1;
    }
    assert_eq!(at.len(), 62);
    assert!(at.values().all(|&count| count < 200), "{at:?}");
}

#[test]
fn few_members_share_few_groups_and_places_are_filled_again() {
    let mut rated = RatedMembers::default();
    let conns = ids(4 * GROUP_USUAL + 1);
    let (last, first) = conns.split_last().unwrap();
    first.iter().for_each(|&conn| rated.add(conn, 1_000_000, false, 0));
    let begin = rated.groups[0].phase_us;
    let after: Vec<_> = rated.groups.values().map(|group| (1_000_000 + group.phase_us - begin) % 1_000_000).collect();
    assert_eq!(after, [0, 500_000, 250_000, 750_000]);
    let others: Vec<_> = conns
        .iter()
        .map(|&conn| {
            let mut rated = RatedMembers::default();
            rated.add(conn, 1_000_000, false, 0);
            rated.groups[0].phase_us
        })
        .collect();
    assert!((0..PHASES).all(|phase| others.contains(&(phase * 1_000_000 / PHASES))), "rooms begin at different phases");
    assert!(rated.groups.values().all(|group| group.members.len() == GROUP_USUAL));
    rated.remove(conns[GROUP_USUAL]);
    rated.add(*last, 1_000_000, false, 0);
    assert_eq!((rated.groups(), rated.of[last]), (4, rated.of[&conns[GROUP_USUAL + 1]]));
}

#[test]
fn a_group_has_at_most_so_many_members() {
    let mut rated = RatedMembers::default();
    let conns = ids(GROUP_MAX * 2 + 1);
    conns.iter().for_each(|&conn| rated.add(conn, 1_000, false, 0));
    assert_eq!((rated.groups(), rated.len()), (3, conns.len()), "an interval of 1 ms has one phase");
    conns.iter().for_each(|&conn| assert!(rated.remove(conn).is_some()));
    assert!(rated.is_empty() && rated.groups() == 0 && rated.open.is_empty());
    assert!(rated.remove(conns[0]).is_none());
}

#[test]
fn what_is_taken_out_of_a_group_does_not_leave_and_what_comes_next_keeps_the_rate() {
    let conns = ids(2);
    let mut world = World::default();
    conns.iter().for_each(|&conn| world.rated.add(conn, INTERVAL, false, 0));
    world.publish(1, Some(7), &[]);
    world.publish(2, Some(7), &[]);
    world.publish(3, Some(7), &conns[..1]);
    world.publish(4, Some(7), &[]);
    let [(id, bytes)] = world.rated.waiting().collect::<Vec<_>>()[..] else { panic!() };
    let mut got = Vec::new();
    let mut out = world.rated.take_out(id).unwrap();
    assert!(bytes > 0 && out.count() == 2 && out.next_us().is_none());
    out.each(|conn, replaced, messages| got.push((conn, replaced, messages.map(|message| message.seq()).collect())));
    assert_eq!(got, [(conns[0], 1, vec![4]), (conns[1], 1, vec![3, 4])]);
    world.references -= 2;
    assert_eq!(world.rated.waiting().count(), 0);
    world.publish(5, Some(7), &[]);
    world.until(2 * INTERVAL);
    assert_eq!((world.seqs(conns[0]), world.seqs(conns[1])), (vec![1, 5], vec![1, 5]));
    assert!((INTERVAL..2 * INTERVAL).contains(&world.got[&conns[0]][1].0) && world.references == 0);
}

#[test]
fn lists_of_excluded_members_are_bounded_and_what_is_beyond_leaves_at_once() {
    let [conn, other] = ids(2)[..] else { panic!() };
    let mut world = World::default();
    world.rated.add(conn, INTERVAL, false, 0);
    world.publish(1, Some(7), &[]);
    let mut strangers: Vec<_> = (0..=EXCLUDED_MAX as u64).map(|id| ConnId::from_u64(other.as_u64() + id)).collect();
    world.publish(2, Some(7), &strangers);
    assert_eq!(world.seqs(conn), [1, 2]);
    strangers.truncate(EXCLUDED_MAX);
    world.publish(3, Some(8), &[]);
    world.publish(4, Some(8), &strangers);
    world.publish(5, Some(8), &strangers[..1]);
    assert_eq!(world.seqs(conn), [1, 2, 3, 5]);
    world.until(4 * INTERVAL);
    world.publish(6, Some(8), &[]);
    world.publish(7, Some(8), &strangers);
    assert_eq!(world.seqs(conn), [1, 2, 3, 5, 6], "4 is gone and not counted, so that 7 waits");
    world.until(8 * INTERVAL);
    assert_eq!(world.seqs(conn), [1, 2, 3, 5, 6, 7]);
}
