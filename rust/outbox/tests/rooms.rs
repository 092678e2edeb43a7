//! Rooms send in turn and do not hold each other up.

use super::*;
use crate::outbox::window::INITIAL;

fn value(room: RoomId, seq: u64, extra: usize) -> Arc<Message> {
    message_of(room, seq, Delivery::DropOldest, None, extra)
}

fn pushed(outbox: &mut Outbox, messages: impl IntoIterator<Item = (RoomId, u64)>, extra: usize) {
    for (room, seq) in messages {
        assert_eq!(outbox.push(&value(room, seq, extra), &mut |_, _| {}), Push::Done);
    }
}

/// A session that reports.
fn reporter() -> Outbox {
    let mut outbox = Outbox::of_session(1 << 30, Form::RAW, 1 << 30);
    outbox.taken(0, 0, 0);
    outbox
}

#[test]
fn rooms_have_their_turns_wherever_writes_are_cut() {
    let messages = [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (3, 31), (1, 13)];
    let turns = [10, 20, 30, 11, 31, 12, 13];
    for ration in 1..=12 * turns.len() {
        for mut outbox in [Outbox::new(1 << 20, Form::RAW), reporter()] {
            pushed(&mut outbox, messages, 0);
            let mut sink = LimitedSink::default();
            let mut progress = Progress::Blocked;
            while progress == Progress::Blocked {
                sink.left = ration;
                progress = flush(&mut outbox, &mut sink).0;
            }
            assert_eq!((progress, seqs(&sink.taken)), (Progress::Empty, turns.to_vec()), "{ration} bytes at a time");
        }
    }
}

#[test]
fn a_close_frame_comes_behind_all_rooms() {
    let mut outbox = Outbox::new(1 << 30, Form::RAW);
    pushed(&mut outbox, [(2, 1), (3, 2)], 0);
    pushed(&mut outbox, (10..300).map(|seq| (1, seq)), 0);
    outbox.close(None, "", true, &mut |_, _| {});
    let mut sink = LimitedSink::unlimited();
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Closed, 292));
    assert_eq!((seqs(&sink.taken).len(), parse(&sink.taken).last().unwrap().0), (292, 8));
}

#[test]
fn a_room_with_much_to_say_does_not_keep_another_waiting() {
    let mut outbox = Outbox::new(1 << 30, Form::RAW);
    pushed(&mut outbox, (0..1_000).map(|seq| (1, seq)), 0);
    pushed(&mut outbox, [(2, 5_000)], 0);
    let mut sink = LimitedSink::unlimited();
    assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Empty);
    let seqs = seqs(&sink.taken);
    assert_eq!((seqs.len(), seqs[1]), (1_001, 5_000));
}

#[test]
fn while_one_room_is_held_all_of_the_others_leaves() {
    let mut outbox = reporter();
    pushed(&mut outbox, (0..100).map(|seq| (1, seq)), 1_000);
    let mut sink = LimitedSink::unlimited();
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Held, INITIAL / 1_012));
    pushed(&mut outbox, (0..500).map(|seq| (2, seq)), 10);
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Held, 500));
    assert!(outbox.waits(1) && !outbox.waits(2) && outbox.is_held());
    // A value that replaces another may be larger or smaller.
    outbox.leave(2, &mut |_, _| panic!("nothing waits"));
    outbox.leave(1, &mut |_, reason| assert_eq!(reason, Drop::Closed));
    assert_eq!((outbox.messages(), outbox.bytes(), outbox.is_held()), (0, 0, false));
    // A connection that joins again starts again.
    pushed(&mut outbox, [(1, 1)], 1_000);
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Empty, 1));
}

#[test]
fn a_value_that_grows_while_it_waits_still_fits_its_window_or_waits() {
    let mut outbox = reporter();
    let mut sink = LimitedSink::unlimited();
    pushed(&mut outbox, [(1, 1)], INITIAL - 1_000);
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Empty, 1));
    let value = |seq, extra| message(seq, Delivery::Latest, Some(7), extra);
    outbox.push(&value(2, 10), &mut |_, _| {});
    outbox.push(&value(3, 2_000), &mut |_, _| {});
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Held, 0));
    outbox.taken(1, 1, 1);
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Empty, 1));
    assert_eq!(seqs(&sink.taken), [1, 3]);
}

#[test]
fn the_room_that_holds_the_most_gives_way() {
    let mut outbox = Outbox::new(5 * COST, Form::RAW);
    pushed(&mut outbox, [(1, 1), (2, 2), (2, 3), (2, 4), (3, 5)], 0);
    let mut dropped = Vec::new();
    assert_eq!(outbox.push(&value(1, 6, 0), &mut into(&mut dropped)), Push::Done);
    assert_eq!(dropped, [(2, Drop::Oldest)]);
}

#[test]
fn lanes_of_rooms_that_are_over_are_given_back() {
    let mut outbox = Outbox::new(1 << 20, Form::RAW);
    pushed(&mut outbox, (1..1_000).map(|room| (room, room)), 0);
    let mut sink = LimitedSink::unlimited();
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Empty, 999));
    assert_eq!(outbox.droppable.capacity(), 0);
    pushed(&mut outbox, [(1, 1), (2, 2)], 0);
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Empty, 2));
}

#[test]
fn a_room_that_drops_what_is_new_does_so_for_what_it_has_itself() {
    let newest = |seq| message_of(2, seq, Delivery::DropNewest, None, 0);
    let mut outbox = Outbox::new(10 * newest(0).cost(Form::RAW), Form::RAW);
    for seq in 0..10 {
        outbox.push(&message_of(1, seq, Delivery::DropOldest, None, 0), &mut |_, _| panic!("there is room"));
    }
    let mut dropped = Vec::new();
    for seq in 0..8 {
        outbox.push(&newest(seq), &mut |message, reason| dropped.push((message.room(), message.seq(), reason)));
    }
    // Until each room has a half.
    let others = (0..5).map(|seq| (1, seq, Drop::Oldest));
    assert_eq!(dropped, others.chain((5..8).map(|seq| (2, seq, Drop::Newest))).collect::<Vec<_>>());
}

#[test]
fn what_is_no_message_has_the_place_of_what_may_be_dropped() {
    let mut outbox = reporter();
    outbox.limit = 2 * value(1, 1, 0).cost(Form::RAW);
    pushed(&mut outbox, [(1, 1), (1, 2)], 0);
    let mut dropped = Vec::new();
    assert!(outbox.push_raw([0; 5].into(), &mut |message, reason| dropped.push((message.seq(), reason))));
    assert_eq!(dropped, [(1, Drop::Oldest)]);
    assert!(!outbox.push_raw(vec![0; outbox.limit].into(), &mut |_, _| {}));
    // The first bytes of a link always come.
    let mut sink = LimitedSink::unlimited();
    outbox.push_first(vec![7; 10_000].into());
    flush(&mut outbox, &mut sink);
    assert_eq!(sink.taken.len(), 5 + 10_000);
}

#[test]
fn a_ping_asks_for_the_last_answer_that_is_missing() {
    let probe_key = ProbeKey::default();
    let conn = ConnId::from_u64(3);
    let mut outbox = Outbox::new(1 << 20, Form::RAW).with_probes(probe_key.clone(), conn);
    assert_eq!(outbox.ping_payload(), None);
    pushed(&mut outbox, (0..100).map(|seq| (1, seq)), 1_000);
    while flush(&mut outbox, &mut LimitedSink::unlimited()).1 > 0 {}
    let number = probe_key.number(conn, &outbox.ping_payload().unwrap()).unwrap();
    assert!(outbox.is_held());
    outbox.answered(number, 1_000);
    assert_eq!(outbox.ping_payload(), None);
    assert!(flush(&mut outbox, &mut LimitedSink::unlimited()).1 > 0);
}
