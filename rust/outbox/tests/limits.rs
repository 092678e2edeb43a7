//! Limits on bytes a second of a room.

use super::*;

/// An outbox with a limit for room 1: a quarter of it leaves at once.
fn limited(bytes: usize) -> Outbox {
    let mut outbox = Outbox::of_session(1 << 20, Form::RAW, 1 << 20);
    outbox.limit(1, "room 1".into(), bytes as u64, 0);
    outbox
}

/// The bytes of a message on the wire.
const BYTES: usize = COST - OVERHEAD;

#[test]
fn what_is_over_the_limit_waits_and_newer_values_replace_it() {
    let mut outbox = limited(8 * BYTES);
    let (mut sink, mut drops) = (LimitedSink::unlimited(), Vec::new());
    for seq in 1..=4 {
        outbox.push(&latest(seq, seq), &mut into(&mut drops));
    }
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Held, 2));
    let due_us = outbox.set_timer().expect("a timer is needed");
    assert_eq!((due_us, outbox.set_timer()), (12_500, None), "once");
    assert!(!outbox.waits_for_window());
    outbox.push(&latest(5, 3), &mut into(&mut drops));
    assert_eq!(drops, [(3, Drop::Rate)]);
    assert_eq!(flush_at(&mut outbox, &mut sink, due_us - 1), (Progress::Held, 0));
    assert_eq!(flush_at(&mut outbox, &mut sink, due_us), (Progress::Held, 1));
    let due_us = outbox.set_timer().expect("again");
    assert_eq!(flush_at(&mut outbox, &mut sink, due_us), (Progress::Empty, 1));
    assert_eq!(seqs(&sink.taken), [1, 2, 5, 4]);
}

#[test]
fn other_rooms_and_reliable_messages_do_not_wait() {
    let mut outbox = limited(4);
    let mut sink = LimitedSink::unlimited();
    for message in [latest(1, 1), latest(2, 2), message_of(2, 3, Delivery::Latest, Some(1), 0), reliable(4)] {
        outbox.push(&message, &mut |_, _| {});
    }
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Held, 3));
    let mut left = seqs(&sink.taken);
    left.sort_unstable();
    assert_eq!(left, [1, 3, 4]);
}

#[test]
fn a_snapshot_leaves_at_once() {
    let mut outbox = limited(4);
    let mut sink = LimitedSink::unlimited();
    let snapshot: Vec<_> = (1..=20).map(|seq| latest(seq, seq)).collect();
    outbox.push_snapshot(&snapshot, &mut |_, _| {});
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Empty, 20));
}

#[test]
fn a_room_without_keys_keeps_what_may_leave_in_a_second() {
    for make in [drop_oldest, drop_newest] {
        let mut outbox = limited(4 * BYTES);
        let (mut sink, mut drops) = (LimitedSink::unlimited(), Vec::new());
        for seq in 1..=10 {
            outbox.push(&make(seq), &mut into(&mut drops));
        }
        assert_eq!(drops, [1, 2, 3, 4, 5, 6].map(|seq| (seq, Drop::Rate)));
        assert_eq!(flush(&mut outbox, &mut sink), (Progress::Held, 1));
        assert_eq!((seqs(&sink.taken), outbox.messages()), (vec![7], 3));
    }
}

#[test]
fn a_limit_that_is_taken_away_or_raised_lets_everything_leave() {
    for bytes in [0, 1_000] {
        let mut outbox = limited(4);
        let mut sink = LimitedSink::unlimited();
        (1..=9).for_each(|seq| assert_eq!(outbox.push(&latest(seq, seq), &mut |_, _| {}), Push::Done));
        assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Held);
        outbox.limit(1, "room 1".into(), bytes, 1);
        assert_eq!(flush_at(&mut outbox, &mut sink, 1).0, Progress::Empty);
        assert_eq!(outbox.set_timer(), None);
    }
}

#[test]
fn a_limit_goes_on_over_the_next_link_and_with_windows_and_ends_with_the_room_and_before_a_close_frame() {
    let mut outbox = limited(4);
    let mut sink = LimitedSink::unlimited();
    outbox.taken(1, 0, 0);
    outbox.push(&latest(1, 1), &mut |_, _| {});
    outbox.push(&latest(2, 2), &mut |_, _| {});
    assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Held);
    assert!(!outbox.waits_for_window());
    outbox.park();
    assert!(outbox.resume(1, Form::RAW));
    assert_eq!(flush_at(&mut outbox, &mut sink, 1), (Progress::Held, 0));
    outbox.leave(1, &mut |_, _| {});
    outbox.push(&latest(3, 1), &mut |_, _| {});
    outbox.push(&latest(4, 2), &mut |_, _| {});
    assert_eq!(flush_at(&mut outbox, &mut sink, 2), (Progress::Empty, 2));
    outbox.limit(1, "room 1".into(), 4, 2);
    (5..=9).for_each(|seq| assert_eq!(outbox.push(&latest(seq, seq), &mut |_, _| {}), Push::Done));
    outbox.close(None, "", true, &mut |_, _| {});
    assert_eq!(flush_at(&mut outbox, &mut sink, 3).0, Progress::Closed);
}

#[test]
fn probes_and_limits_hold_together() {
    let mut ids = crate::slots::Ids::new(0);
    let conn = ids.take().unwrap();
    let mut outbox = Outbox::new(1 << 20, Form::RAW).with_probes(ProbeKey::default(), conn);
    outbox.limit(1, "room 1".into(), 4 * BYTES as u64, 0);
    let mut sink = LimitedSink::unlimited();
    (1..=6).for_each(|seq| assert_eq!(outbox.push(&latest(seq, seq), &mut |_, _| {}), Push::Done));
    let mut now_us = 0;
    let mut progress = flush_at(&mut outbox, &mut sink, now_us);
    let mut turns = 0;
    while progress.0 == Progress::Held {
        assert!(!outbox.waits_for_window());
        now_us = outbox.set_timer().expect("a timer");
        progress = flush_at(&mut outbox, &mut sink, now_us);
        turns += 1;
    }
    assert_eq!((progress.0, turns, seqs(&sink.taken)), (Progress::Empty, 5, vec![1, 2, 3, 4, 5, 6]));
    assert!((1_000_000..1_300_000).contains(&now_us), "{now_us}");
}

#[test]
fn a_snapshot_that_waits_for_the_bytes_before_it_leaves_in_time() {
    let mut outbox = limited(8 * BYTES);
    let mut sink = LimitedSink::unlimited();
    for message in [latest(1, 1), latest(2, 2), message_of(1, 3, Delivery::Latest, Some(3), 16 * BYTES)] {
        assert_eq!(outbox.push(&message, &mut |_, _| {}), Push::Done);
    }
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Held, 2));
    let first_us = outbox.set_timer().expect("a timer is needed");
    outbox.push_snapshot(&[latest(4, 4)], &mut |_, _| {});
    assert_eq!(flush_at(&mut outbox, &mut sink, 1), (Progress::Held, 1));
    let next_us = outbox.set_timer().unwrap_or(first_us);
    assert_eq!(flush_at(&mut outbox, &mut sink, next_us), (Progress::Held, 0));
    let last_us = outbox.set_timer().expect("a timer is needed");
    assert!((1_900_000..2_200_000).contains(&last_us), "{last_us}");
    assert_eq!(flush_at(&mut outbox, &mut sink, last_us), (Progress::Empty, 1));
    assert_eq!(seqs(&sink.taken), [1, 2, 3, 4]);
}

#[test]
fn each_of_several_rooms_leaves_in_time() {
    let mut outbox = limited(8 * BYTES);
    outbox.limit(2, "room 2".into(), 4 * BYTES as u64, 0);
    let mut sink = LimitedSink::unlimited();
    for seq in 1..=6 {
        let message = message_of(1 + seq % 2, seq, Delivery::Latest, Some(seq), 0);
        assert_eq!(outbox.push(&message, &mut |_, _| {}), Push::Done);
    }
    let (mut progress, mut now_us) = (flush(&mut outbox, &mut sink).0, 0);
    while progress == Progress::Held {
        now_us = outbox.set_timer().expect("a timer is needed");
        progress = flush_at(&mut outbox, &mut sink, now_us).0;
    }
    assert_eq!((progress, outbox.messages()), (Progress::Empty, 0));
    assert!(now_us < 1_000_000, "{now_us}");
}
