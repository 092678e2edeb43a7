//! Priorities: high messages leave first, low ones last, and none waits for ever.

use super::*;
use crate::message::PRIORITIES;
use crate::outbox::tiers::PASSED_MAX;
use crate::outbox::window::INITIAL;

const HIGH: RoomId = 1;
const NORMAL: RoomId = 2;
const LOW: RoomId = 3;

fn prioritized(room: RoomId, seq: u64, delivery: Delivery, extra: usize) -> Arc<Message> {
    message_with(PRIORITIES[room as usize - 1].0, room, seq, delivery, None, extra)
}

fn push(outbox: &mut Outbox, room: RoomId, seq: u64, delivery: Delivery) {
    assert_eq!(outbox.push(&prioritized(room, seq, delivery, 0), &mut |_, _| {}), Push::Done);
}

fn outboxes() -> [Outbox; 3] {
    let mut reporter = Outbox::of_session(1 << 30, Form::RAW, 1 << 30);
    reporter.taken(0, 0, 0);
    let probing = Outbox::new(1 << 30, Form::RAW).with_probes(ProbeKey::default(), ConnId::from_u64(7));
    [Outbox::new(1 << 30, Form::RAW), reporter, probing]
}

#[test]
fn high_goes_ahead_of_normal_and_low_ahead_of_nothing() {
    use Delivery::{DropOldest, Reliable};
    for mut outbox in outboxes() {
        for (room, seq, delivery) in [
            (LOW, 30, Reliable),
            (NORMAL, 20, DropOldest),
            (LOW, 31, DropOldest),
            (NORMAL, 21, Reliable),
            (HIGH, 10, DropOldest),
            (HIGH, 11, Reliable),
            (HIGH, 12, Reliable),
            (HIGH, 13, DropOldest),
        ] {
            push(&mut outbox, room, seq, delivery);
        }
        // A write is cut within the first message, and the next one goes on with it.
        let mut sink = LimitedSink { left: 1, ..Default::default() };
        assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Blocked);
        push(&mut outbox, HIGH, 14, Reliable);
        sink.left = usize::MAX;
        assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Empty);
        assert_eq!(seqs(&sink.taken), [11, 12, 14, 10, 13, 21, 20, 30, 31]);
        assert_eq!(outbox.bytes(), 0);
    }
}

#[test]
fn batches_keep_the_order_of_priorities() {
    for form in [batched(Form::JSON), batched(Form::event_stream(crate::protocol::codec::Codec::Json))] {
        let mut outbox = Outbox::new(1 << 20, form);
        for (room, seq) in [(LOW, 30), (NORMAL, 20), (HIGH, 10), (LOW, 31), (HIGH, 11)] {
            push(&mut outbox, room, seq, Delivery::Reliable);
        }
        let mut sink = LimitedSink::unlimited();
        assert_eq!(flush(&mut outbox, &mut sink), (Progress::Empty, 5));
        assert_eq!(numbers(form, &sink.taken), [10, 11, 20, 30, 31]);
    }
}

#[test]
fn in_a_backlog_every_eighth_write_begins_with_the_lowest() {
    for delivery in [Delivery::Reliable, Delivery::DropOldest] {
        let mut outbox = Outbox::new(1 << 30, Form::RAW);
        let (mut sink, mut joins) = (LimitedSink::default(), joins());
        let mut seq = 0;
        for write in 0..80 {
            for room in [LOW, NORMAL, HIGH] {
                seq += 1;
                push(&mut outbox, room, 10 * seq + room, delivery);
            }
            // Space for one message.
            sink.left = 10;
            let flushed = outbox.flush(&mut sink, &mut joins, write, &mut |_, _| {}).unwrap();
            assert_eq!(flushed.messages, 1);
        }
        let rooms: Vec<_> = seqs(&sink.taken).into_iter().map(|seq| seq % 10).collect();
        let expected: Vec<_> = (1..=80).map(|write| if write % 8 == 0 { LOW } else { HIGH }).collect();
        assert_eq!((PASSED_MAX, rooms), (7, expected));
    }
}

#[test]
fn a_closed_window_of_a_high_room_does_not_hold_the_others_up() {
    let mut outbox = Outbox::of_session(1 << 30, Form::RAW, 1 << 30);
    outbox.taken(0, 0, 0);
    for seq in 10..20 {
        let message = prioritized(HIGH, seq, Delivery::DropOldest, INITIAL / 2);
        assert_eq!(outbox.push(&message, &mut |_, _| {}), Push::Done);
    }
    push(&mut outbox, LOW, 30, Delivery::DropOldest);
    push(&mut outbox, NORMAL, 20, Delivery::DropOldest);
    let mut sink = LimitedSink::unlimited();
    assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Held);
    let left = seqs(&sink.taken);
    assert_eq!(left[left.len() - 2..], [20, 30]);
    assert!(left.len() < 12);
}

#[test]
fn the_priority_is_that_of_the_first_message() {
    for delivery in [Delivery::Reliable, Delivery::Latest] {
        let mut outbox = Outbox::new(1 << 20, Form::RAW);
        assert_eq!(outbox.priority(), Priority::Normal);
        push(&mut outbox, LOW, 1, delivery);
        assert_eq!(outbox.priority(), Priority::Low);
        push(&mut outbox, NORMAL, 2, delivery);
        assert_eq!(outbox.priority(), Priority::Normal);
        push(&mut outbox, HIGH, 3, delivery);
        assert_eq!(outbox.priority(), Priority::High);
        outbox.clear(Drop::Closed, &mut |_, _| {});
        assert_eq!((outbox.messages(), outbox.bytes()), (0, 0));
        outbox.push_ping();
        push(&mut outbox, LOW, 4, delivery);
        assert_eq!(outbox.priority(), Priority::Normal, "a ping is no low message");
    }
}

#[test]
fn a_room_with_a_limit_keeps_its_priority() {
    let mut outbox = Outbox::new(1 << 20, Form::RAW);
    outbox.limit(LOW, "low".into(), 1 << 20, 0);
    outbox.limit(HIGH, "high".into(), 1 << 20, 0);
    for (room, seq) in [(LOW, 30), (NORMAL, 20), (HIGH, 10), (LOW, 31), (HIGH, 11)] {
        push(&mut outbox, room, seq, Delivery::DropOldest);
    }
    assert_eq!(outbox.priority(), Priority::High);
    let mut sink = LimitedSink::unlimited();
    assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Empty);
    assert_eq!(seqs(&sink.taken), [10, 11, 20, 30, 31]);
}
