//! Outboxes with batches: what is joined and what is not, cuts at every byte, and links that take batches or do not.

use super::*;
use crate::outbox::joins::RUN_MAX;
use crate::protocol::codec::Codec;

const BATCHED: Form = batched(Form::JSON);

fn outbox() -> Outbox {
    Outbox::of_session(1 << 20, BATCHED, usize::MAX)
}

fn push(outbox: &mut Outbox, messages: impl IntoIterator<Item = Arc<Message>>) {
    for message in messages {
        assert_eq!(outbox.push(&message, &mut |_, _| {}), Push::Done);
    }
}

/// A message that is a whole envelope.
fn whole(role: Role, text: &str) -> Arc<Message> {
    let metadata = Metadata::place(0, 0, Delivery::Reliable);
    Arc::new(Message::new(role, Kind::Text, text.as_bytes(), metadata, 0, &Arc::new(Budget::new(usize::MAX))))
}

/// The numbers in each text frame; none for one that has no numbers.
fn frames(bytes: &[u8]) -> Vec<Vec<u64>> {
    let frame = |(opcode, payload): (u8, Vec<u8>)| {
        let numbers = |payload: &[u8]| numbers(BATCHED, &frame::encode(Opcode::Text, payload));
        if opcode == 1 { numbers(&payload) } else { vec![u64::from(opcode) + 1_000] }
    };
    parse(bytes).into_iter().map(frame).collect()
}

#[test]
fn what_waits_is_one_array_in_the_order_of_the_lanes() {
    let mut outbox = outbox();
    let mut sink = LimitedSink::unlimited();
    push(&mut outbox, [latest(4, 1), message_of(2, 5, Delivery::DropOldest, None, 0), latest(6, 2)]);
    push(&mut outbox, [reliable(1), message_of(3, 2, Delivery::Reliable, None, 10), reliable(3)]);
    outbox.push_ping();
    outbox.close(Some(1000), "", true, &mut |_, _| {});
    let mut left = 0;
    let mut leave = |message: &Message, is_again| left += if is_again { 100 } else { message.count() };
    let flushed = outbox.flush(&mut sink, &mut joins(), 0, &mut leave).unwrap();
    assert_eq!(frames(&sink.taken), [vec![1_009], vec![1, 2, 3, 4, 5, 6], vec![1_008]]);
    assert_eq!((flushed.progress, flushed.messages, left), (Progress::Closed, 6, 6));
    assert_eq!((outbox.bytes(), outbox.messages()), (0, 0));
}

#[test]
fn a_single_message_stands_alone_and_so_do_whole_ones() {
    let mut outbox = outbox();
    let mut sink = LimitedSink::unlimited();
    push(&mut outbox, [reliable(1)]);
    flush(&mut outbox, &mut sink);
    assert_eq!(sink.taken, reliable(1).frame(Form::JSON));
    sink.taken.clear();
    push(&mut outbox, [reliable(2), reliable(3), whole(Role::Whole, "{\"seq\":4}"), reliable(5)]);
    push(&mut outbox, [whole(Role::Urgent, "{\"seq\":0}"), latest(6, 1)]);
    flush(&mut outbox, &mut sink);
    assert_eq!(frames(&sink.taken), [vec![0], vec![2, 3], vec![4], vec![5, 6]]);
    assert_eq!(outbox.replay().unwrap().total(), 7);
}

#[test]
fn codecs_and_framings_have_their_arrays() {
    for form in [Form::MSGPACK, Form::event_stream(Codec::Json), Form::event_stream(Codec::Msgpack)] {
        let mut outbox = Outbox::of_session(1 << 20, batched(form), usize::MAX);
        let mut sink = LimitedSink::unlimited();
        push(&mut outbox, (1..4).map(reliable));
        flush(&mut outbox, &mut sink);
        let joined = Message::join((1..4).map(reliable).collect(), &Arc::new(Budget::new(usize::MAX))).unwrap();
        assert_eq!(sink.taken, joined.frame(batched(form)), "{form:?}");
    }
}

#[test]
fn a_backlog_leaves_in_bounded_batches() {
    let mut outbox = Outbox::of_session(1 << 30, BATCHED, usize::MAX);
    let mut sink = LimitedSink::unlimited();
    push(&mut outbox, (0..1_000).map(reliable));
    push(&mut outbox, (1_000..1_100).map(drop_oldest));
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Empty, 1_100));
    let frames = frames(&sink.taken);
    assert!(frames.iter().all(|frame| frame.len() <= RUN_MAX));
    assert!(frames.len() < 20, "{}", frames.len());
    assert_eq!(frames.concat(), (0..1_100).collect::<Vec<_>>());
}

#[test]
fn a_value_is_replaced_until_its_batch_begins_to_leave() {
    for cut in [0, 1] {
        let mut outbox = outbox();
        let mut sink = LimitedSink { left: cut, ..LimitedSink::default() };
        push(&mut outbox, [latest(1, 1), latest(2, 2)]);
        assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Blocked);
        push(&mut outbox, [latest(3, 1)]);
        sink.left = usize::MAX;
        flush(&mut outbox, &mut sink);
        let expected = if cut == 0 { vec![vec![3, 2]] } else { vec![vec![1, 2], vec![3]] };
        assert_eq!(frames(&sink.taken), expected);
    }
}

/// Whatever was written of a batch, the client has received all of it or nothing, over the present link and the next.
#[test]
fn a_link_that_is_lost_at_any_byte_of_a_batch() {
    let len = {
        let mut outbox = outbox();
        let mut sink = LimitedSink::unlimited();
        push(&mut outbox, (1..=4).map(reliable).chain([latest(5, 1)]));
        flush(&mut outbox, &mut sink);
        sink.taken.len()
    };
    let forms = [Form::JSON, BATCHED, Form::event_stream(Codec::Json), batched(Form::event_stream(Codec::Json))];
    for next in forms {
        for cut in 0..=len {
            let mut outbox = outbox();
            let mut sink = LimitedSink { left: cut, ..LimitedSink::default() };
            push(&mut outbox, (1..=4).map(reliable).chain([latest(5, 1)]));
            flush(&mut outbox, &mut sink);
            let received = if cut == len { 5 } else { 0 };
            assert_eq!(numbers(BATCHED, &sink.taken).len(), received, "{cut}");
            // What came meanwhile follows, and is lost in part once more.
            push(&mut outbox, [reliable(6)]);
            outbox.park();
            assert!(outbox.resume(received as u64, next));
            let mut second = LimitedSink { left: cut, ..LimitedSink::default() };
            flush(&mut outbox, &mut second);
            let again = numbers(next, whole_part(next, &second.taken));
            outbox.park();
            assert!(outbox.resume((received + again.len()) as u64, BATCHED));
            let mut third = LimitedSink::unlimited();
            flush(&mut outbox, &mut third);
            let mut all = numbers(BATCHED, &sink.taken);
            all.extend(again);
            all.extend(numbers(BATCHED, &third.taken));
            // The value that never began to leave goes behind all reliable messages.
            all.sort_unstable();
            assert_eq!(all, [1, 2, 3, 4, 5, 6], "{next:?} {cut}");
            assert_eq!((outbox.bytes(), outbox.messages()), (0, 0));
        }
    }
}

fn whole_part(form: Form, bytes: &[u8]) -> &[u8] {
    match form.framing {
        Framing::WebSocket => bytes,
        Framing::EventStream => &bytes[..bytes.windows(2).rposition(|end| end == b"\n\n").map_or(0, |at| at + 2)],
    }
}

#[test]
fn what_is_sent_again_is_joined_again_and_not_with_what_is_new() {
    let mut outbox = outbox();
    let mut sink = LimitedSink::unlimited();
    for seq in 1..=3 {
        push(&mut outbox, [reliable(seq)]);
        flush(&mut outbox, &mut sink);
    }
    assert_eq!(frames(&sink.taken), [[1], [2], [3]]);
    outbox.park();
    push(&mut outbox, [reliable(4), reliable(5)]);
    assert!(outbox.resume(1, BATCHED));
    sink.taken.clear();
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Empty, 4));
    assert_eq!(frames(&sink.taken), [[2, 3], [4, 5]]);
    // The client has received a part of a batch, by its count.
    outbox.park();
    assert!(outbox.resume(4, BATCHED));
    sink.taken.clear();
    flush(&mut outbox, &mut sink);
    assert_eq!(frames(&sink.taken), [[5]]);
    assert_eq!(outbox.replay().unwrap().total(), 5);
    outbox.replay().unwrap().acknowledge(5);
    assert_eq!(outbox.references(), 0);
}

#[test]
fn windows_count_each_message_of_a_batch() {
    let mut outbox = outbox();
    let mut sink = LimitedSink::unlimited();
    outbox.taken(0, 0, 0);
    let large = |seq| message_of(1, seq, Delivery::DropOldest, None, 2_000);
    push(&mut outbox, [reliable(1)].into_iter().chain((2..40).map(large)));
    let (progress, first) = flush(&mut outbox, &mut sink);
    assert_eq!(progress, Progress::Held);
    // As many messages as leave without batches.
    let mut plain = Outbox::of_session(1 << 20, Form::JSON, usize::MAX);
    plain.taken(0, 0, 0);
    push(&mut plain, [reliable(1)].into_iter().chain((2..40).map(large)));
    assert_eq!(flush(&mut plain, &mut LimitedSink::unlimited()), (progress, first));
    for count in [first / 2, first] {
        outbox.taken(1, count as u64, 1_000);
        plain.taken(1, count as u64, 1_000);
        let both = [&mut outbox, &mut plain].map(|outbox| flush(outbox, &mut LimitedSink::unlimited()).1);
        assert_eq!(both[0], both[1]);
        assert!(both[0] > 0);
    }
}
