//! Tests of deltas: whatever is dropped, replaced, sent again or joined anew, a peer that applies each delta to the value
//! that it has gets the values that were published.

use std::collections::HashMap;
use std::io::{self, IoSlice};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::budget::Budget;
use crate::message::{Delivery, Metadata, Role};
use crate::outbox::joins::Joins;
use crate::outbox::{Outbox, Sink};
use crate::protocol::codec::Codec;
use crate::protocol::envelope::Kind;
use crate::protocol::form::Form;
use crate::protocol::framing::Framing;
use crate::stats::Drop;
use crate::wire::frame;

const ROOM: RoomId = 1;

/// A room with the newest value of each key, as the engine has it.
#[derive(Default)]
struct Publisher {
    seq: u64,
    newest: HashMap<KeyId, Arc<Message>>,
}

impl Publisher {
    fn value(&self, seq: u64, key: KeyId) -> Arc<Message> {
        let [room, name] = [ROOM, key].map(|number| Some(Arc::from(number.to_string())));
        let place = Metadata::place(ROOM, seq, Delivery::Latest);
        let metadata = Metadata { room_name: room, key_name: name, key: Some(key), ..place };
        let payload = format!(r#"{{"still":"{}","n":{seq}}}"#, "x".repeat(90));
        let budget = Arc::new(Budget::new(usize::MAX));
        Arc::new(Message::new(Role::Data, Kind::Json, payload.as_bytes(), metadata, seq, &budget))
    }

    fn publish(&mut self, key: KeyId) -> Arc<Message> {
        self.seq += 1;
        let whole = self.value(self.seq, key);
        match self.newest.insert(key, Arc::clone(&whole)) {
            Some(base) => Arc::new(Message::delta(&whole, &base, &Arc::default())),
            None => whole,
        }
    }

    /// What a joiner gets.
    fn snapshot(&self) -> Vec<Arc<Message>> {
        let metadata = Metadata { id: Some("j".into()), ..Metadata::place(ROOM, self.seq, Delivery::Reliable) };
        let budget = Arc::new(Budget::new(usize::MAX));
        let joined = Message::new(Role::Event("joined"), Kind::Json, b"{}", metadata, 0, &budget);
        let mut values: Vec<_> = self.newest.values().cloned().collect();
        values.sort_by_key(|message| message.seq());
        std::iter::once(Arc::new(joined)).chain(values).collect()
    }
}

/// Takes `left` bytes, then blocks.
#[derive(Default)]
struct Wire {
    left: usize,
    bytes: Vec<u8>,
}

impl Sink for Wire {
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let all = bufs.iter().flat_map(|buf| buf.iter().copied()).collect::<Vec<u8>>();
        let taken = all.len().min(self.left);
        self.left -= taken;
        self.bytes.extend_from_slice(&all[..taken]);
        if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }
}

/// A peer that keeps the newest value of each key, and counts what it gets.
#[derive(Default)]
struct Peer {
    received: u64,
    values: HashMap<String, (u64, Value)>,
    deltas: usize,
    wholes: usize,
}

impl Peer {
    /// Reads the whole frames at the front.
    fn read(&mut self, bytes: &mut Vec<u8>, form: Form) {
        loop {
            let found = match form.framing {
                Framing::WebSocket => frame_of(bytes),
                Framing::EventStream => event_of(bytes),
            };
            let Some((len, text)) = found else { return };
            bytes.drain(..len);
            match serde_json::from_str(&text).unwrap() {
                Value::Array(envelopes) => envelopes.into_iter().for_each(|envelope| self.take(envelope)),
                envelope => self.take(envelope),
            }
        }
    }

    fn take(&mut self, envelope: Value) {
        self.received += 1;
        if envelope["type"] != "message" {
            return;
        }
        let (key, seq) = (envelope["key"].as_str().unwrap().to_owned(), envelope["seq"].as_u64().unwrap());
        let mut value = envelope["payload"].clone();
        if let Some(base) = envelope.get("base") {
            let (known, before) = &self.values[&key];
            assert_eq!(base.as_u64(), Some(*known), "a delta to a value that the peer does not have");
            value = before.clone();
            value.as_object_mut().unwrap().extend(envelope["payload"].as_object().unwrap().clone());
            self.deltas += 1;
        } else {
            self.wholes += 1;
        }
        assert_eq!(value["n"].as_u64(), Some(seq));
        assert_eq!(value["still"].as_str().map(str::len), Some(90));
        self.values.insert(key, (seq, value));
    }
}

fn frame_of(bytes: &[u8]) -> Option<(usize, String)> {
    let &short = bytes.get(1)?;
    let (header, len) = match short {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        _ => (2, usize::from(short)),
    };
    let text = bytes.get(header..header + len)?;
    assert_eq!(frame::header_len(len), header);
    Some((header + len, String::from_utf8(text.to_vec()).unwrap()))
}

fn event_of(bytes: &[u8]) -> Option<(usize, String)> {
    let end = bytes.windows(2).position(|two| two == b"\n\n")? + 2;
    let text = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Some((end, text.lines().filter_map(|line| line.strip_prefix("data:")).collect()))
}

#[derive(Debug, Clone)]
enum Op {
    Publish(KeyId),
    /// Published, and not for this peer.
    Exclude(KeyId),
    /// Published, and this outbox is not even told.
    Lose(KeyId),
    Flush(usize),
    Relieve,
    JoinAgain,
    Leave,
    Resume {
        framing: Framing,
        is_batched: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => (0..40_u64).prop_map(|key| Op::Publish(if key < 20 { key % 3 } else { key })),
        1 => (0..3_u64).prop_map(Op::Exclude),
        1 => (0..3_u64).prop_map(Op::Lose),
        20 => (0..1_500_usize).prop_map(Op::Flush),
        1 => Just(Op::Relieve),
        1 => Just(Op::JoinAgain),
        1 => Just(Op::Leave),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(is_stream, is_batched)| {
            let framing = if is_stream { Framing::EventStream } else { Framing::WebSocket };
            Op::Resume { framing, is_batched }
        }),
    ]
}

fn form(framing: Framing, is_batched: bool) -> Form {
    Form { has_deltas: true, is_batched, ..Form::plain(Codec::Json, framing) }
}

struct Model {
    publisher: Publisher,
    outbox: Outbox,
    wire: Wire,
    peer: Peer,
    is_member: bool,
}

impl Model {
    fn new(limit: usize) -> Self {
        let outbox = Outbox::of_session(limit, form(Framing::WebSocket, false), usize::MAX);
        let (publisher, wire, peer) = Default::default();
        Self { publisher, outbox, wire, peer, is_member: false }
    }

    fn run(&mut self, op: Op) {
        let dropped = &mut |_: &Message, _: Drop| {};
        match op {
            Op::Publish(key) => {
                let message = self.publisher.publish(key);
                if self.is_member {
                    self.outbox.push(&message, dropped);
                }
            }
            Op::Exclude(key) => {
                let message = self.publisher.publish(key);
                if self.is_member {
                    self.outbox.missed(&message);
                }
            }
            Op::Lose(key) => drop(self.publisher.publish(key)),
            Op::Flush(bytes) => self.flush(bytes),
            Op::Relieve => self.outbox.clear_droppable(Drop::Budget, dropped),
            Op::JoinAgain => {
                self.outbox.push_snapshot(&self.publisher.snapshot(), dropped);
                self.is_member = true;
            }
            Op::Leave => {
                self.outbox.leave(ROOM, dropped);
                self.is_member = false;
            }
            Op::Resume { framing, is_batched } => {
                self.outbox.park();
                self.wire.bytes.clear();
                assert!(self.outbox.resume(self.peer.received, form(framing, is_batched)));
            }
        }
    }

    fn flush(&mut self, bytes: usize) {
        self.wire.left = bytes;
        let mut joins = Joins::new(Arc::new(Budget::new(usize::MAX)));
        while self.wire.left > 0 && !self.outbox.is_empty() {
            let flushed = self.outbox.flush(&mut self.wire, &mut joins, 0, &mut |_, _| {}).unwrap();
            if flushed.bytes == 0 {
                break;
            }
        }
        self.peer.read(&mut self.wire.bytes, self.outbox.form());
    }
}

proptest! {
    #[test]
    fn a_peer_has_every_base_whatever_happens(ops in proptest::collection::vec(op(), 1..200), limit in 600..8_000_usize) {
        let mut model = Model::new(limit);
        model.run(Op::JoinAgain);
        ops.into_iter().for_each(|op| model.run(op));
        model.flush(usize::MAX);
        prop_assert!(model.outbox.is_empty());
    }
}

#[test]
fn a_peer_that_keeps_up_gets_deltas_from_its_join_on() {
    let mut model = Model::new(1 << 40);
    (0..5).for_each(|key| model.run(Op::Publish(key)));
    model.run(Op::JoinAgain);
    model.flush(usize::MAX);
    for key in [0, 1, 0, 4, 0] {
        model.run(Op::Publish(key));
        model.flush(usize::MAX);
    }
    assert_eq!((model.peer.wholes, model.peer.deltas), (5, 5));
}

#[test]
fn what_replaces_a_waiting_value_is_whole_and_the_next_is_a_delta_again() {
    let mut model = Model::new(1 << 40);
    model.run(Op::Publish(1));
    model.run(Op::JoinAgain);
    model.flush(usize::MAX);
    for _ in 0..2 {
        model.run(Op::Publish(1));
    }
    model.flush(usize::MAX);
    assert_eq!((model.peer.wholes, model.peer.deltas), (2, 0));
    model.run(Op::Publish(1));
    model.flush(usize::MAX);
    assert_eq!((model.peer.wholes, model.peer.deltas), (2, 1));
}

#[test]
fn an_excluded_message_costs_only_its_key_a_whole_value() {
    let mut model = Model::new(1 << 40);
    (0..2).for_each(|key| model.run(Op::Publish(key)));
    model.run(Op::JoinAgain);
    for op in [Op::Exclude(0), Op::Publish(1), Op::Publish(0), Op::Publish(0)] {
        model.run(op);
        model.flush(usize::MAX);
    }
    assert_eq!((model.peer.wholes, model.peer.deltas), (2 + 1, 2));
}

#[test]
fn a_link_without_deltas_gets_what_waits_whole_and_so_do_later_ones() {
    let mut model = Model::new(1 << 40);
    model.run(Op::Publish(1));
    model.run(Op::JoinAgain);
    model.flush(usize::MAX);
    model.run(Op::Publish(1));
    for has_deltas in [false, true] {
        let form = Form { has_deltas, ..Form::JSON };
        assert!(model.outbox.resume(model.peer.received, form));
        assert!(!model.outbox.form().has_deltas);
        model.flush(usize::MAX);
        model.run(Op::Publish(1));
    }
    model.flush(usize::MAX);
    assert_eq!((model.peer.wholes, model.peer.deltas), (4, 0));
}

#[test]
fn the_keys_that_are_missing_are_bounded() {
    let (mut deltas, mut publisher) = (Deltas::default(), Publisher::default());
    deltas.joined(&publisher.snapshot());
    for key in 0..1_000 {
        deltas.missed(&publisher.publish(key));
        assert!(deltas.0[&ROOM].missing.len() <= MISSING_MAX);
    }
    for key in 0..1_000 {
        let message = publisher.publish(key);
        assert!(deltas.choose(&message).base().is_none(), "{key}");
    }
    let message = publisher.publish(7);
    assert!(deltas.choose(&message).base().is_some());
}

#[test]
fn a_value_that_a_limit_on_bytes_has_dropped_is_no_base() {
    let mut model = Model::new(1 << 40);
    (0..2).for_each(|key| model.run(Op::Publish(key)));
    model.run(Op::JoinAgain);
    model.flush(usize::MAX);
    model.outbox.limit(ROOM, "1".into(), 100, 0);
    for key in [0, 1] {
        model.run(Op::Publish(key));
    }
    model.publisher.seq += 1;
    let place = Metadata::place(ROOM, model.publisher.seq, Delivery::DropOldest);
    let budget = Arc::new(Budget::new(usize::MAX));
    let metadata = Metadata { room_name: Some("1".into()), ..place };
    let large = format!(r#"{{"still":"{}","n":{}}}"#, "x".repeat(90), model.publisher.seq);
    let unkeyed = Arc::new(Message::new(Role::Data, Kind::Json, large.as_bytes(), metadata, 0, &budget));
    let mut drops = Vec::new();
    model.outbox.push(&unkeyed, &mut |message, reason| drops.push((message.seq(), reason)));
    assert_eq!(drops, [(3, Drop::Rate), (4, Drop::Rate)]);
    model.outbox.limit(ROOM, "1".into(), 0, 0);
    let mut wire = Wire { left: usize::MAX, bytes: Vec::new() };
    let mut joins = Joins::new(budget);
    model.outbox.flush(&mut wire, &mut joins, 0, &mut |_, _| {}).unwrap();
    for _ in 0..2 {
        (0..2).for_each(|key| model.run(Op::Publish(key)));
        model.flush(usize::MAX);
    }
    assert_eq!((model.peer.wholes, model.peer.deltas), (2 + 2, 2));
}
