//! Sessions that move between framings and compressions: costs follow the form, and the client gets every reliable message once.

use proptest::prelude::*;

use super::*;
use crate::protocol::codec::Codec;
use crate::protocol::form::Deflate;

const SSE: Form = Form::event_stream(Codec::Json);

/// What the messages and frames that wait cost in the present form.
fn cost(outbox: &Outbox) -> usize {
    let of_begun = match &outbox.begun {
        Some(Begun { frame: Frame::Message(message), is_again: false, .. }) => message.cost(outbox.form),
        Some(Begun { frame: Frame::Own(bytes), .. }) => bytes.len(),
        _ => 0,
    };
    let control: usize = outbox.control.iter().map(|control| control.bytes.len()).sum();
    let messages = outbox.urgent.iter().chain(outbox.reliable.iter());
    let messages: usize = messages.map(|message| message.cost(outbox.form)).sum();
    of_begun + control + messages + outbox.droppable.cost()
}

#[test]
fn costs_follow_the_framing() {
    let droppable = |seq| message_of(seq, 100 + seq, Delivery::DropOldest, None, 0);
    let mut outbox = Outbox::of_session(100_000, Form::JSON, usize::MAX);
    let mut sink = LimitedSink::default();
    for seq in 1..=4 {
        outbox.push(&reliable(seq), &mut |_, _| {});
        outbox.push(&droppable(seq), &mut |_, _| {});
    }
    sink.left = reliable(1).frame(Form::JSON).len() + 1;
    flush(&mut outbox, &mut sink);
    outbox.park();
    assert!(outbox.resume(1, SSE));
    assert_eq!((outbox.form(), outbox.bytes()), (SSE, cost(&outbox)));
    let droppable: usize = (1..=4).map(|seq| droppable(seq).cost(SSE)).sum();
    assert_eq!(outbox.droppable.cost(), droppable);
    let mut sink = LimitedSink::unlimited();
    assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Empty);
    assert_eq!(numbers(SSE, &sink.taken), [2, 3, 4, 101, 102, 103, 104]);
    let kept = (2..=4).map(|seq| reliable(seq).cost(SSE)).sum::<usize>() + droppable;
    assert_eq!((outbox.bytes(), outbox.replay().unwrap().bytes()), (0, kept));
}

#[test]
fn base64_does_not_count() {
    let message = |seq| message_of(1, seq, Delivery::Reliable, None, 3_000);
    let (cost, binary) = (message(0).cost(Form::MSGPACK), Form::event_stream(Codec::Msgpack));
    assert!(message(0).frame(binary).len() > cost + 500);
    assert!(message(0).cost(binary) <= cost + 20);
    let mut outbox = Outbox::of_session(5 * cost + 100, Form::MSGPACK, usize::MAX);
    for seq in 0..4 {
        outbox.push(&message(seq), &mut |_, _| {});
    }
    outbox.park();
    assert!(outbox.resume(0, binary));
    assert_eq!(outbox.push(&message(4), &mut |_, _| {}), Push::Done);
    assert_eq!(outbox.push(&message(5), &mut |_, _| {}), Push::Overflow);
}

#[test]
fn a_message_that_is_larger_as_an_event_still_fits_alone() {
    let mut outbox = Outbox::new(1_000, Form::event_stream(Codec::Raw));
    let large = message_of(1, 1, Delivery::Reliable, None, 5_000);
    assert_eq!(outbox.push(&large, &mut |_, _| {}), Push::Done);
    assert_eq!(outbox.push(&large, &mut |_, _| {}), Push::Overflow);
    let mut outbox = Outbox::new(1_000, Form::RAW);
    assert_eq!(outbox.push(&large, &mut |_, _| {}), Push::Overflow);
}

#[test]
fn there_are_probes_over_a_websocket_only() {
    let mut outbox = Outbox::of_session(1 << 20, SSE, usize::MAX).with_probes(ProbeKey::default(), ConnId::from_u64(7));
    for (form, has_probes) in [(SSE, false), (Form::JSON, true), (SSE, false)] {
        outbox.park();
        let total = outbox.replay().unwrap().total();
        assert!(outbox.resume(total, form));
        for seq in 0..100 {
            outbox.push(&message(seq, Delivery::DropOldest, None, 1_000), &mut |_, _| {});
        }
        let progress = flush(&mut outbox, &mut LimitedSink::unlimited()).0;
        assert_eq!(progress == Progress::Held, has_probes, "{form:?}");
        outbox.clear_droppable(Drop::Budget, &mut |_, _| {});
        assert_eq!(outbox.ping_payload().is_some(), has_probes);
    }
}

#[test]
fn a_close_has_the_form_of_its_framing() {
    for form in [SSE, Form::JSON] {
        let mut outbox = Outbox::new(1_000, form);
        outbox.close(Some(4000), "x", false, &mut |_, _| {});
        let mut sink = LimitedSink::unlimited();
        assert_eq!(flush(&mut outbox, &mut sink).0, Progress::Closed);
        assert_eq!(*sink.taken, *form.framing.close(Some(4000), "x"));
    }
}

#[derive(Debug, Clone)]
enum Op {
    Push {
        room: RoomId,
        delivery: Delivery,
        key: KeyId,
    },
    Joined {
        count: u64,
    },
    Heartbeat,
    Flush {
        bytes: usize,
    },
    /// The link is lost, and with it some messages that the client has not seen.
    Move {
        unseen: u64,
        form: Form,
    },
    /// The client asks again over the same link, without some of the messages.
    Again {
        unseen: u64,
    },
    Acknowledge {
        but: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let delivery =
        prop::sample::select(&[Delivery::Reliable, Delivery::Reliable, Delivery::Latest, Delivery::DropOldest]);
    let compressed = |deflate| Form { deflate, ..Form::JSON };
    let forms = vec![
        Form::JSON,
        SSE,
        compressed(Deflate::Window9),
        compressed(Deflate::Window12),
        compressed(Deflate::Window15),
        batched(Form::JSON),
        batched(compressed(Deflate::Window15)),
        batched(SSE),
    ];
    let form = prop::sample::select(forms);
    prop_oneof![
        20 => (1..3u64, delivery, 0..4u64).prop_map(|(room, delivery, key)| Op::Push { room, delivery, key }),
        4 => (2..5u64).prop_map(|count| Op::Joined { count }),
        2 => Just(Op::Heartbeat),
        10 => (0..3_000usize).prop_map(|bytes| Op::Flush { bytes }),
        5 => (0..4u64, form).prop_map(|(unseen, form)| Op::Move { unseen, form }),
        3 => (0..4u64).prop_map(|unseen| Op::Again { unseen }),
        3 => (0..4u64).prop_map(|but| Op::Acknowledge { but }),
    ]
}

struct Model {
    outbox: Outbox,
    sink: LimitedSink,
    /// The numbers that the client has seen, in order.
    seen: Vec<u64>,
    /// How many of them came over links before this one.
    before: usize,
    acknowledged: usize,
    reliable: Vec<u64>,
    next: u64,
}

impl Model {
    fn message(&mut self, room: RoomId, delivery: Delivery, key: Option<KeyId>) -> Arc<Message> {
        self.next += 1;
        if delivery == Delivery::Reliable {
            self.reliable.push(self.next);
        }
        message_of(room, self.next, delivery, key, (self.next as usize * 37) % 300)
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Push { room, delivery, key } => {
                let message = self.message(room, delivery, (delivery == Delivery::Latest).then_some(10 * room + key));
                assert_eq!(self.outbox.push(&message, &mut |_, _| {}), Push::Done);
            }
            Op::Joined { count } => {
                let parts = (0..count).map(|_| self.message(1, Delivery::Reliable, None)).collect();
                let joined = Message::join(parts, &Arc::new(Budget::new(usize::MAX))).unwrap();
                assert_eq!(self.outbox.push(&Arc::new(joined), &mut |_, _| {}), Push::Done);
            }
            Op::Heartbeat => self.outbox.push_heartbeat(),
            Op::Flush { bytes } => self.flush(bytes),
            Op::Move { unseen, form } => {
                let received = self.unsee(unseen);
                self.outbox.park();
                assert!(self.outbox.resume(received, form));
                assert_eq!(self.outbox.form(), form);
            }
            // A link of polls has no message that has left in part.
            Op::Again { unseen } if self.outbox.begun.is_none() => {
                let received = self.unsee(unseen);
                assert!(self.outbox.again(received));
            }
            Op::Again { .. } => {}
            Op::Acknowledge { but } => {
                self.acknowledged = self.acknowledged.max(self.seen.len().saturating_sub(but as usize));
                self.outbox.replay().unwrap().acknowledge(self.acknowledged as u64);
            }
        }
        assert_eq!(self.outbox.bytes(), cost(&self.outbox));
    }

    fn flush(&mut self, bytes: usize) {
        self.sink.left = bytes;
        flush(&mut self.outbox, &mut self.sink);
        self.seen.truncate(self.before);
        self.seen.extend(numbers(self.outbox.form(), &self.sink.taken));
    }

    /// The client has not seen the last messages, and begins again after the others.
    fn unsee(&mut self, unseen: u64) -> u64 {
        let left = self.seen.len().saturating_sub(unseen as usize).max(self.acknowledged);
        self.seen.truncate(left);
        self.sink.taken.clear();
        (self.before, self.acknowledged) = (left, left);
        left as u64
    }
}

proptest! {
    #[test]
    fn every_reliable_message_comes_once_and_in_order_whatever_the_links(ops in prop::collection::vec(op(), 1..80)) {
        let mut model = Model {
            outbox: Outbox::of_session(1 << 20, Form::JSON, usize::MAX),
            sink: LimitedSink::default(),
            seen: Vec::new(),
            before: 0,
            acknowledged: 0,
            reliable: Vec::new(),
            next: 0,
        };
        for op in ops {
            model.run(op);
        }
        model.flush(usize::MAX);
        prop_assert!(model.outbox.is_empty());
        prop_assert_eq!(model.outbox.bytes(), 0);
        let reliable: Vec<_> =
            model.seen.iter().copied().filter(|seq| model.reliable.binary_search(seq).is_ok()).collect();
        prop_assert_eq!(reliable, model.reliable);
        let mut once = model.seen.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), model.seen.len());
    }
}
