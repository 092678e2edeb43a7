//! Each delivery class at its limit: what leaves, what is reported, and what is counted.

use super::*;

/// Pushes the messages and flushes everything. Returns the last result, the numbers that left, and the reports.
fn run(limit: usize, messages: &[Arc<Message>]) -> (Push, Vec<u64>, Vec<(u64, Drop)>) {
    let mut outbox = Outbox::new(limit, Form::RAW);
    let mut dropped = Vec::new();
    let mut push = Push::Done;
    for message in messages {
        assert_eq!(push, Push::Done, "only the last may overflow");
        push = outbox.push(message, &mut into(&mut dropped));
    }
    let mut sink = LimitedSink::unlimited();
    flush(&mut outbox, &mut sink);
    assert_eq!(outbox.bytes(), 0);
    (push, seqs(&sink.taken), dropped)
}

#[test]
fn each_class_at_its_limit() {
    use super::Drop::{Newest, Oldest, Replaced};
    use super::Push::{Done, Overflow};
    let wide = |seq, key| message(seq, Delivery::Latest, Some(key), 1);
    // The limit is three messages.
    for (what, messages, push, left, dropped) in [
        ("reliable fits", vec![reliable(1), reliable(2), reliable(3)], Done, vec![1, 2, 3], vec![]),
        (
            "reliable overflows",
            vec![reliable(1), reliable(2), reliable(3), reliable(4)],
            Overflow,
            vec![1, 2, 3],
            vec![],
        ),
        (
            "reliable evicts the oldest droppable",
            vec![drop_oldest(1), drop_newest(2), reliable(3), reliable(4)],
            Done,
            vec![3, 4, 2],
            vec![(1, Oldest)],
        ),
        (
            "reliable evicts what is of the latest, too, before it overflows",
            vec![latest(1, 7), reliable(2), reliable(3), reliable(4), reliable(5)],
            Overflow,
            vec![2, 3, 4],
            vec![(1, Oldest)],
        ),
        (
            "latest is replaced and keeps its place",
            vec![latest(1, 7), latest(2, 8), latest(3, 7), latest(4, 9), latest(5, 8)],
            Done,
            vec![3, 5, 4],
            vec![(1, Replaced), (2, Replaced)],
        ),
        (
            "latest with more keys than fit drops the oldest",
            vec![latest(1, 7), latest(2, 8), latest(3, 9), latest(4, 10), latest(5, 7)],
            Done,
            vec![3, 4, 5],
            vec![(1, Oldest), (2, Oldest)],
        ),
        (
            "a wider value evicts the oldest",
            vec![latest(1, 7), latest(2, 8), latest(3, 9), wide(4, 9)],
            Done,
            vec![2, 4],
            vec![(3, Replaced), (1, Oldest)],
        ),
        (
            "a wider value may evict itself",
            vec![latest(1, 7), reliable(2), reliable(3), wide(4, 7)],
            Done,
            vec![2, 3],
            vec![(1, Replaced), (4, Oldest)],
        ),
        (
            "drop-oldest",
            vec![drop_oldest(1), drop_oldest(2), drop_oldest(3), drop_oldest(4)],
            Done,
            vec![2, 3, 4],
            vec![(1, Oldest)],
        ),
        (
            "drop-oldest never evicts what is reliable",
            vec![reliable(1), reliable(2), reliable(3), drop_oldest(4)],
            Done,
            vec![1, 2, 3],
            vec![(4, Newest)],
        ),
        (
            "drop-newest",
            vec![drop_newest(1), drop_newest(2), drop_newest(3), drop_newest(4)],
            Done,
            vec![1, 2, 3],
            vec![(4, Newest)],
        ),
        (
            "drop-newest gives way to the others",
            vec![drop_newest(1), drop_oldest(2), drop_oldest(3), drop_newest(4), drop_oldest(5)],
            Done,
            vec![2, 3, 5],
            vec![(4, Newest), (1, Oldest)],
        ),
    ] {
        assert_eq!(run(3 * COST, &messages), (push, left, dropped), "{what}");
    }
}

#[test]
fn a_message_larger_than_the_limit() {
    for (delivery, push, dropped) in [
        (Delivery::Reliable, Push::Overflow, vec![]),
        (Delivery::Latest, Push::Done, vec![(1, Drop::Newest)]),
        (Delivery::DropOldest, Push::Done, vec![(1, Drop::Newest)]),
        (Delivery::DropNewest, Push::Done, vec![(1, Drop::Newest)]),
    ] {
        assert_eq!(run(COST, &[message(1, delivery, None, 1)]), (push, vec![], dropped), "{delivery:?}");
    }
}

#[test]
fn a_snapshot_may_exceed_the_limit_which_is_back_when_all_has_left() {
    let mut outbox = Outbox::new(2 * COST, Form::RAW);
    let mut dropped = Vec::new();
    assert_eq!(outbox.push(&reliable(1), &mut into(&mut dropped)), Push::Done);
    let snapshot: Vec<_> = (2..12).map(|seq| latest(seq, seq)).collect();
    assert_eq!(outbox.push_snapshot(&snapshot, &mut into(&mut dropped)), Push::Done);
    assert_eq!((outbox.messages(), outbox.bytes()), (11, 11 * COST));
    // The stream that follows has the same space as without the snapshot.
    assert_eq!(outbox.push(&reliable(12), &mut into(&mut dropped)), Push::Done);
    assert_eq!(dropped, []);
    assert_eq!(outbox.push(&reliable(13), &mut into(&mut dropped)), Push::Done);
    assert_eq!(dropped, [(2, Drop::Oldest)]);

    let mut sink = LimitedSink { left: 100, ..LimitedSink::default() };
    assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Blocked);
    assert_eq!(outbox.allowance, 10 * COST);
    sink.left = usize::MAX;
    assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Empty);
    assert_eq!(seqs(&sink.taken)[..3], [1, 12, 13]);
    for seq in 20..22 {
        assert_eq!(outbox.push(&reliable(seq), &mut into(&mut dropped)), Push::Done);
    }
    assert_eq!(outbox.push(&reliable(22), &mut into(&mut dropped)), Push::Overflow);
}

#[test]
fn raw_bytes_count_and_are_refused_at_the_limit() {
    let mut outbox = Outbox::new(COST, Form::RAW);
    assert!(!outbox.push_raw(vec![0; COST + 1].into(), &mut |_, _| {}));
    assert!(outbox.push_raw(vec![0; COST - 1].into(), &mut |_, _| {}));
    assert!(outbox.push_raw(vec![0; 1].into(), &mut |_, _| {}));
    assert!(!outbox.push_raw(vec![0; 1].into(), &mut |_, _| {}));
    assert_eq!(outbox.push(&reliable(1), &mut |_, _| {}), Push::Overflow);
    assert_eq!(outbox.bytes(), COST);
    outbox.close(None, "", false, &mut |_, _| {});
    assert!(!outbox.push_raw(Box::default(), &mut |_, _| {}), "nothing is accepted after a close");
    let mut sink = LimitedSink::unlimited();
    assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Closed);
    assert_eq!((sink.taken.len(), outbox.bytes()), (COST + 2, 0), "a handshake reply is not dropped by a close");
}

#[test]
fn control_frames_are_bounded_without_being_limited() {
    let mut outbox = Outbox::new(0, Form::RAW);
    for n in 0..1000 {
        outbox.push_pong(&vec![0; n % 126]);
        outbox.push_ping();
        assert!(outbox.bytes() <= (PONGS_MAX + 1) * 127);
    }
    let mut sink = LimitedSink::unlimited();
    flush(&mut outbox, &mut sink);
    let pongs = (1000 - PONGS_MAX..1000).map(|n| (10, vec![0; n % 126]));
    assert_eq!(parse(&sink.taken), pongs.chain([(9, vec![])]).collect::<Vec<_>>());
}

/// One reliable message begun, one waiting, one droppable waiting.
fn busy(sink: &mut LimitedSink) -> Outbox {
    let mut outbox = Outbox::new(1 << 20, Form::RAW);
    outbox.push(&reliable(1), &mut |_, _| {});
    sink.left = 3;
    flush(&mut outbox, sink);
    sink.left = usize::MAX;
    outbox.push(&reliable(2), &mut |_, _| {});
    outbox.push(&latest(3, 7), &mut |_, _| {});
    outbox.push_ping();
    outbox
}

#[test]
fn close_flushes_or_drops_and_the_second_can_only_drop() {
    use super::Drop::Closed;
    for (flushes, left, reports) in [
        (vec![true], vec![1, 2, 3], vec![]),
        (vec![false], vec![1], vec![(2, Closed), (3, Closed)]),
        (vec![true, true], vec![1, 2, 3], vec![]),
        (vec![true, false], vec![1], vec![(2, Closed), (3, Closed)]),
        (vec![false, true], vec![1], vec![(2, Closed), (3, Closed)]),
    ] {
        let mut sink = LimitedSink::default();
        let mut outbox = busy(&mut sink);
        let mut dropped = Vec::new();
        for (n, &flush) in flushes.iter().enumerate() {
            outbox.close(Some(4000 + n as u16), "", flush, &mut into(&mut dropped));
            assert!(outbox.is_closing());
        }
        assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Closed);
        assert_eq!((seqs(&sink.taken), &dropped), (left, &reports), "{flushes:?}");
        let frames = parse(&sink.taken);
        assert!(frames.contains(&(9, vec![])), "control frames that waited still leave");
        assert_eq!(frames.last(), Some(&(8, 4000u16.to_be_bytes().to_vec())), "the first close frame stays");
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
    }
}

#[test]
fn nothing_is_accepted_after_a_close() {
    let mut sink = LimitedSink::unlimited();
    let mut outbox = Outbox::new(1 << 20, Form::RAW);
    outbox.close(Some(1000), "", true, &mut |_, _| {});
    for has_left in [false, true] {
        let mut dropped = Vec::new();
        for message in [reliable(1), latest(2, 7), drop_oldest(3), drop_newest(4)] {
            assert_eq!(outbox.push(&message, &mut into(&mut dropped)), Push::Done);
        }
        assert_eq!(dropped, [1, 2, 3, 4].map(|seq| (seq, Drop::Closed)));
        outbox.push_ping();
        outbox.push_pong(b"");
        assert_eq!(outbox.is_empty(), has_left);
        assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Closed);
    }
    assert_eq!(parse(&sink.taken).len(), 1);
}

#[test]
fn clearing_what_may_be_dropped_leaves_the_rest() {
    let mut sink = LimitedSink::default();
    let mut outbox = busy(&mut sink);
    let mut dropped = Vec::new();
    outbox.clear_droppable(Drop::Budget, &mut into(&mut dropped));
    assert_eq!(dropped, [(3, Drop::Budget)]);
    // A dropped key is forgotten: the next value waits at the end, not in a place that is gone.
    outbox.push(&drop_oldest(4), &mut into(&mut dropped));
    outbox.push(&latest(5, 7), &mut into(&mut dropped));
    flush(&mut outbox, &mut sink);
    assert_eq!(seqs(&sink.taken), [1, 2, 4, 5]);
}

#[test]
fn an_empty_outbox_keeps_little_memory() {
    let mut outbox = Outbox::new(usize::MAX, Form::RAW);
    for seq in 0..10_000 {
        outbox.push(&latest(seq, seq), &mut |_, _| {});
        outbox.push(&reliable(seq), &mut |_, _| {});
    }
    flush(&mut outbox, &mut LimitedSink::unlimited());
    assert!(outbox.reliable.capacity() <= 128 && outbox.droppable.capacity() <= 128);
}
