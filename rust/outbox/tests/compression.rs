//! Compressed messages: what is built and when, and what is sent again of messages that were cut.

use std::thread;

use super::*;
use crate::protocol::compression::Compressed;
use crate::protocol::form::Deflate;

const RAW: Form = Form { deflate: Deflate::Window15, ..Form::RAW };
const JSON: Form = Form { deflate: Deflate::Window15, ..Form::JSON };

/// What was compressed for a message.
fn built(message: &Message) -> Compressed {
    message.metadata().compression.as_ref().unwrap().compressed()
}

fn joined(parts: Vec<Arc<Message>>) -> Arc<Message> {
    Arc::new(Message::join(parts, &Arc::new(Budget::new(usize::MAX))).unwrap())
}

/// A message that is large enough to be compressed.
fn large(seq: u64) -> Arc<Message> {
    message(seq, Delivery::Reliable, None, 1_000)
}

/// Bytes that do not get smaller.
fn noise() -> Arc<Message> {
    let payload: Vec<u8> = (0..=255).collect();
    let metadata = large(1).metadata().clone();
    Arc::new(Message::new(Role::Data, Kind::Binary, &payload, metadata, 0, &Arc::new(Budget::new(usize::MAX))))
}

#[test]
fn a_message_has_each_compressed_form_once_whoever_asks_first() {
    let message = large(1);
    thread::scope(|scope| {
        for _ in 0..4 {
            for deflate in [Deflate::Window15, Deflate::Window9] {
                let message = &message;
                scope.spawn(move || message.frame(Form { deflate, ..Form::JSON }).len());
            }
        }
    });
    assert_eq!(built(&message).messages, 2);
    let (plain, compressed) = (message.frame(Form::JSON), message.frame(JSON));
    assert!(compressed.len() < plain.len() / 3);
    assert_eq!(parse(compressed), parse(plain));
}

#[test]
fn what_is_small_or_does_not_get_smaller_is_sent_as_it_is() {
    let (small, noise) = (message(1, Delivery::Reliable, None, 0), noise());
    for message in [&small, &noise] {
        for _ in 0..2 {
            assert_eq!(message.frame(RAW).as_ptr(), message.frame(Form::RAW).as_ptr());
        }
    }
    let none = Compressed { messages: 0, bytes_before: 0, bytes_after: 0, not_smaller: 0 };
    assert_eq!((built(&small), built(&noise)), (none, Compressed { not_smaller: 1, ..none }));
}

#[test]
fn only_data_of_rooms_that_compress_and_only_over_a_websocket() {
    let budget = Arc::new(Budget::new(usize::MAX));
    let (compressing, place) = (large(1).metadata().clone(), Metadata::place(1, 1, Delivery::Reliable));
    let payload = vec![b'x'; 1_000];
    let build = |role, metadata: &Metadata| Message::new(role, Kind::Text, &payload, metadata.clone(), 0, &budget);
    for message in [
        build(Role::Data, &place),
        build(Role::Whole, &compressing),
        build(Role::Urgent, &compressing),
        build(Role::Event("joined"), &compressing),
    ] {
        assert_eq!(message.frame(JSON), message.frame(Form::JSON));
        assert_eq!(message.frame(RAW), message.frame(Form::RAW));
    }
    let message = build(Role::Data, &compressing);
    let stream = Form::event_stream(crate::protocol::codec::Codec::Json);
    assert_eq!(message.frame(Form { deflate: Deflate::Window15, ..stream }), message.frame(stream));
    assert!(message.frame(RAW).len() < message.frame(Form::RAW).len());
}

#[test]
fn joined_messages_are_compressed_one_by_one_and_a_batch_as_one() {
    let parts: Vec<_> = (1..=3).map(large).chain([noise(), message(5, Delivery::Reliable, None, 0)]).collect();
    let whole = joined(parts.clone());
    let frames: Vec<_> = parts.iter().map(|part| part.frame(RAW)).collect();
    assert_eq!(whole.frame(RAW), frames.concat());
    assert_eq!(parse(whole.frame(RAW)), parse(whole.frame(Form::RAW)));
    let batch = Form { is_batched: true, ..JSON };
    let array = Form { is_batched: true, ..Form::JSON };
    let compressed = whole.frame(batch).len();
    assert_eq!(parse(whole.frame(batch)), parse(whole.frame(array)));
    assert!(compressed < whole.frame(JSON).len());
    // What must not be compressed is not, wherever it stands among others.
    let secret = |seq| {
        let message = large(seq);
        let metadata = Metadata { compression: None, ..message.metadata().clone() };
        let budget = Arc::new(Budget::new(usize::MAX));
        Arc::new(Message::new(Role::Data, Kind::Binary, message.payload(), metadata, 0, &budget))
    };
    for parts in [vec![secret(1), large(2)], vec![large(1), secret(2)], vec![large(1), secret(2), large(3)]] {
        let mixed = joined(parts.clone());
        assert_eq!(mixed.frame(batch), mixed.frame(array));
        assert_eq!(mixed.frame(RAW), parts.iter().map(|part| part.frame(RAW)).collect::<Vec<_>>().concat());
        assert_ne!(mixed.frame(RAW), mixed.frame(Form::RAW));
    }
    // Events of a room are not data, and a batch of them is not either.
    let event = || {
        let (metadata, budget) = (large(1).metadata().clone(), Arc::new(Budget::new(usize::MAX)));
        Arc::new(Message::new(Role::Event("joined"), Kind::Text, &[b'x'; 1_000], metadata, 0, &budget))
    };
    let events = joined(vec![event(), event()]);
    assert_eq!((events.frame(batch), events.frame(JSON)), (events.frame(array), events.frame(Form::JSON)));
    // All that does not get smaller is in its plain form.
    let same = joined(vec![noise(), noise()]);
    assert_eq!(same.frame(RAW).as_ptr(), same.frame(Form::RAW).as_ptr());
}

#[test]
fn forms_give_their_memory_back() {
    let budget = Arc::new(Budget::new(usize::MAX));
    let metadata = large(1).metadata().clone();
    let part = || Arc::new(Message::new(Role::Data, Kind::Binary, &[7; 1_000], metadata.clone(), 0, &budget));
    let whole = Message::join(vec![part(), part()], &budget).unwrap();
    for is_batched in [false, true] {
        for deflate in [Deflate::Window9, Deflate::Window12, Deflate::Window15, Deflate::None] {
            whole.frame(Form { is_batched, deflate, ..Form::JSON });
        }
    }
    assert!(budget.used() > 3_000);
    drop(whole);
    assert_eq!(budget.used(), 0);
}

#[test]
fn what_is_dropped_or_replaced_is_not_compressed() {
    let cost = large(0).cost(RAW);
    let mut outbox = Outbox::new(3 * cost, RAW);
    let values: Vec<_> = (0..5).map(|seq| message(seq, Delivery::Latest, Some(1), 1_000)).collect();
    let others: Vec<_> = (5..10).map(|seq| message(seq, Delivery::DropOldest, None, 1_000)).collect();
    let mut reports = Vec::new();
    for message in values.iter().chain(&others) {
        outbox.push(message, &mut into(&mut reports));
    }
    assert_eq!(reports.len(), 7);
    let mut sink = LimitedSink::unlimited();
    flush(&mut outbox, &mut sink);
    assert_eq!(seqs(&sink.taken), [7, 8, 9]);
    for message in values.iter().chain(&others) {
        let has_left = message.seq() >= 7;
        assert_eq!(built(message).messages, u64::from(has_left), "{}", message.seq());
    }
}

#[test]
fn settings_that_change_in_the_middle_of_a_message_change_nothing_of_it() {
    let (first, second) = (large(1), large(2));
    let mut outbox = Outbox::new(1 << 20, RAW);
    outbox.push(&first, &mut |_, _| {});
    outbox.push(&second, &mut |_, _| {});
    let mut sink = LimitedSink { left: 5, taken: Vec::new() };
    flush(&mut outbox, &mut sink);
    for message in [&first, &second] {
        message.metadata().compression.as_ref().unwrap().set(1, 1 << 20).unwrap();
    }
    sink.left = usize::MAX;
    flush(&mut outbox, &mut sink);
    assert_eq!(seqs(&sink.taken), [1, 2]);
}

#[test]
fn a_link_may_be_lost_anywhere_in_a_compressed_run() {
    let parts: Vec<_> = (1..=3).map(large).chain([noise(), message(5, Delivery::Reliable, None, 0)]).collect();
    let len = joined(parts.clone()).frame(JSON).len();
    let mut ends: Vec<usize> = Vec::new();
    for part in &parts {
        ends.push(ends.last().unwrap_or(&0) + part.frame(JSON).len());
    }
    assert_eq!(*ends.last().unwrap(), len);
    for cut in 0..=len {
        // Over the next link in another form, and then again.
        for next in [Form::JSON, Form { deflate: Deflate::Window9, ..Form::JSON }] {
            let mut outbox = Outbox::of_session(1 << 20, JSON, usize::MAX);
            outbox.push(&joined(parts.clone()), &mut |_, _| {});
            flush(&mut outbox, &mut LimitedSink { left: cut, taken: Vec::new() });
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            outbox.park();
            assert!(!outbox.resume(whole as u64 + 1, next));
            assert!(outbox.resume(whole as u64, next));
            let mut sink = LimitedSink::unlimited();
            flush(&mut outbox, &mut sink);
            let expected: Vec<_> = parts[whole..].iter().flat_map(|part| parse(part.frame(Form::JSON))).collect();
            assert_eq!(parse(&sink.taken), expected);
        }
    }
}
