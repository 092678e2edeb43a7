//! The exact bytes on the wire, wherever a write is cut off.

use super::*;

/// Messages in every lane, pushed in another order than they must leave in.
fn full() -> (Outbox, Vec<u8>) {
    let mut outbox = Outbox::new(1 << 20, Form::RAW);
    let mut none = |_: &Message, reason| panic!("dropped: {reason:?}");
    let droppable = [latest(1, 7), drop_oldest(2), message(3, Delivery::DropNewest, None, 200)];
    let reliable = [message(4, Delivery::Reliable, None, 200), reliable(5)];
    for message in droppable.iter().chain(&reliable) {
        assert_eq!(outbox.push(message, &mut none), Push::Done);
    }
    assert!(outbox.push_raw((*b"HTTP/1.1 101").into(), &mut |_, _| {}));
    outbox.push_pong(b"old");
    outbox.push_ping();
    outbox.push_pong(b"new");
    outbox.close(Some(1001), "bye", true, &mut none);

    let mut stream = b"HTTP/1.1 101\x8A\x03old\x89\x00\x8A\x03new".to_vec();
    for message in reliable.iter().chain(&droppable) {
        stream.extend_from_slice(message.frame(Form::RAW));
    }
    stream.extend_from_slice(&frame::close(Some(1001), "bye"));
    (outbox, stream)
}

#[test]
fn frames_leave_whole_and_in_order_however_small_the_writes() {
    let total = full().1.len();
    for ration in 1..=total {
        let (mut outbox, stream) = full();
        let mut sink = LimitedSink::default();
        let mut messages = 0;
        let end = loop {
            sink.left = ration;
            let (progress, left) = flush(&mut outbox, &mut sink);
            messages += left;
            assert!(stream.starts_with(&sink.taken), "{ration} bytes at a time");
            if progress != Progress::Blocked {
                break progress;
            }
        };
        assert_eq!((end, messages, outbox.bytes()), (Progress::Closed, 5, 0), "{ration} bytes at a time");
        assert_eq!(sink.taken, stream, "{ration} bytes at a time");
    }
}

#[test]
fn a_begun_frame_is_finished_before_anything_else() {
    let long = message(1, Delivery::Latest, Some(7), 150);
    for cut in 0..=long.frame(Form::RAW).len() {
        let mut outbox = Outbox::new(1 << 20, Form::RAW);
        let mut dropped = Vec::new();
        outbox.push(&long, &mut into(&mut dropped));
        let mut sink = LimitedSink { left: cut, ..LimitedSink::default() };
        flush(&mut outbox, &mut sink);
        outbox.push_ping();
        outbox.push_pong(b"p");
        outbox.push(&latest(2, 7), &mut into(&mut dropped));
        outbox.push(&reliable(3), &mut into(&mut dropped));
        sink.left = usize::MAX;
        assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Empty);
        let opcodes: Vec<_> = parse(&sink.taken).iter().map(|frame| frame.0).collect();
        if cut == 0 {
            // It had not begun to leave, so the newer value replaced it.
            assert_eq!(dropped, [(1, Drop::Replaced)]);
            assert_eq!((opcodes, seqs(&sink.taken)), (vec![9, 10, 2, 2], vec![3, 2]));
        } else {
            assert_eq!(dropped, [], "cut at {cut}");
            assert_eq!((opcodes, seqs(&sink.taken)), (vec![2, 9, 10, 2, 2], vec![1, 3, 2]), "cut at {cut}");
        }
        assert_eq!(outbox.bytes(), 0);
    }
}

#[test]
fn a_begun_pong_is_finished_and_the_newest_are_kept() {
    let mut outbox = Outbox::new(1 << 20, Form::RAW);
    let mut sink = LimitedSink { left: 3, ..LimitedSink::default() };
    outbox.push_pong(b"first");
    flush(&mut outbox, &mut sink);
    for n in 0..PONGS_MAX as u8 + 3 {
        outbox.push_pong(&[n]);
    }
    sink.left = usize::MAX;
    flush(&mut outbox, &mut sink);
    let newest = (3..PONGS_MAX as u8 + 3).map(|n| (10, vec![n]));
    assert_eq!(parse(&sink.taken), [(10, b"first".to_vec())].into_iter().chain(newest).collect::<Vec<_>>());
}

#[test]
fn one_write_carries_a_bounded_number_of_frames_and_bytes() {
    let mut outbox = Outbox::new(1 << 30, Form::RAW);
    for seq in 0..600 {
        outbox.push(&reliable(seq), &mut |_, _| {});
    }
    let mut sink = LimitedSink::unlimited();
    let first = outbox.flush(&mut sink, &mut joins(), 0, &mut |_, _| {}).unwrap();
    assert_eq!((first.progress, first.messages), (Progress::More, IOV_MAX));
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Empty, 600 - IOV_MAX));
    assert_eq!(seqs(&sink.taken), (0..600).collect::<Vec<_>>());

    for seq in 0..3 {
        outbox.push(&message(seq, Delivery::Reliable, None, WRITE_MAX), &mut |_, _| {});
    }
    assert_eq!(outbox.flush(&mut sink, &mut joins(), 0, &mut |_, _| {}).unwrap().messages, 1);
    assert_eq!(flush(&mut outbox, &mut sink), (Progress::Empty, 2));
}

#[test]
fn nothing_waits_means_nothing_is_written() {
    struct Never;
    impl Sink for Never {
        fn write(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
            panic!("written to")
        }
    }
    let mut outbox = Outbox::new(100, Form::RAW);
    assert_eq!(outbox.flush(&mut Never, &mut joins(), 0, &mut |_, _| {}).unwrap().progress, Progress::Empty);
    assert!(outbox.push_raw(Box::default(), &mut |_, _| {}), "no bytes always fit");
    assert!(outbox.is_empty());
    assert_eq!(outbox.flush(&mut Never, &mut joins(), 0, &mut |_, _| {}).unwrap().progress, Progress::Empty);
}

#[test]
fn errors_of_the_sink_are_passed_on_except_an_interruption() {
    struct Failing(ErrorKind);
    impl Sink for Failing {
        fn write(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
            Err(self.0.into())
        }
    }
    let mut outbox = Outbox::new(1 << 10, Form::RAW);
    outbox.push(&reliable(1), &mut |_, _| {});
    assert_eq!(
        outbox.flush(&mut Failing(ErrorKind::Interrupted), &mut joins(), 0, &mut |_, _| {}).unwrap().progress,
        Progress::More
    );
    assert_eq!(
        outbox.flush(&mut Failing(ErrorKind::WouldBlock), &mut joins(), 0, &mut |_, _| {}).unwrap().progress,
        Progress::Blocked
    );
    assert_eq!(
        outbox.flush(&mut Failing(ErrorKind::BrokenPipe), &mut joins(), 0, &mut |_, _| {}).unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    assert_eq!(outbox.messages(), 1);
}

#[test]
fn a_resumed_link_begins_with_its_reply_whatever_was_answered_before_it() {
    let mut outbox = Outbox::of_session(1 << 20, Form::JSON, 1 << 20);
    outbox.park();
    assert!(outbox.push_raw((*b"a late answer").into(), &mut |_, _| {}));
    assert!(outbox.resume(0, Form::JSON));
    outbox.push_first((*b"HTTP/1.1 101").into());
    let mut sink = LimitedSink::unlimited();
    flush(&mut outbox, &mut sink);
    assert_eq!(sink.taken, b"HTTP/1.1 101");
    assert_eq!(outbox.bytes(), 0);
}
