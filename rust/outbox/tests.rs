//! Helpers for the tests of the outbox: numbered messages, a sink with a limit, and a parser of frames.

mod batches;
mod compression;
mod framings;
mod limits;
mod model;
mod reports;
mod rooms;
mod table;
mod tiers;
mod wire;

use std::io::ErrorKind;

use super::*;
use crate::budget::Budget;
use crate::message::KeyId;
use crate::message::{Metadata, OVERHEAD, Priority, Role};
use crate::outbox::control::PONGS_MAX;
use crate::outbox::joins::Joins;
use crate::outbox::writing::{IOV_MAX, WRITE_MAX};
use crate::protocol::compression::Compression;
use crate::protocol::envelope::Kind;
use crate::protocol::framing::Framing;
use crate::wire::deflate::inflate;
use crate::wire::frame::{self, Opcode};

/// A message of room 1. Its payload is its number and `extra` more bytes.
fn message(seq: u64, delivery: Delivery, key: Option<KeyId>, extra: usize) -> Arc<Message> {
    message_of(1, seq, delivery, key, extra)
}

fn message_of(room: RoomId, seq: u64, delivery: Delivery, key: Option<KeyId>, extra: usize) -> Arc<Message> {
    message_with(Priority::Normal, room, seq, delivery, key, extra)
}

fn message_with(
    priority: Priority,
    room: RoomId,
    seq: u64,
    delivery: Delivery,
    key: Option<KeyId>,
    extra: usize,
) -> Arc<Message> {
    let mut payload = seq.to_be_bytes().to_vec();
    payload.resize(8 + extra, seq as u8);
    let room_name = Some(format!("room {room}").into());
    let compression = Arc::new(Compression::default());
    compression.set(6, MIN_BYTES).unwrap();
    let place = Metadata::place(room, seq, delivery);
    let metadata = Metadata { key, priority, room_name, compression: Some(compression), ..place };
    Arc::new(Message::new(Role::Data, Kind::Binary, &payload, metadata, seq, &Arc::new(Budget::new(usize::MAX))))
}

pub fn reliable(seq: u64) -> Arc<Message> {
    message(seq, Delivery::Reliable, None, 0)
}

pub fn latest(seq: u64, key: KeyId) -> Arc<Message> {
    message(seq, Delivery::Latest, Some(key), 0)
}

fn drop_oldest(seq: u64) -> Arc<Message> {
    message(seq, Delivery::DropOldest, None, 0)
}

fn drop_newest(seq: u64) -> Arc<Message> {
    message(seq, Delivery::DropNewest, None, 0)
}

/// The least bytes of a payload that is compressed, for those who have agreed to it.
const MIN_BYTES: usize = 200;

/// The cost of a message without extra bytes: header, number, overhead.
const COST: usize = 2 + 8 + OVERHEAD;

/// Takes `left` bytes, then blocks.
#[derive(Debug, Default)]
struct LimitedSink {
    left: usize,
    taken: Vec<u8>,
}

impl LimitedSink {
    fn unlimited() -> Self {
        Self { left: usize::MAX, taken: Vec::new() }
    }
}

impl Sink for LimitedSink {
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let before = self.taken.len();
        for buf in bufs {
            let take = buf.len().min(self.left);
            self.taken.extend_from_slice(&buf[..take]);
            self.left -= take;
        }
        Ok(self.taken.len() - before)
    }
}

fn joins() -> Joins {
    Joins::new(Arc::new(Budget::new(usize::MAX)))
}

/// Flushes until the sink blocks or nothing is left. Returns the state and the number of messages that left.
fn flush(outbox: &mut Outbox, sink: &mut LimitedSink) -> (Progress, usize) {
    flush_at(outbox, sink, 0)
}

fn flush_at(outbox: &mut Outbox, sink: &mut LimitedSink, now_us: u64) -> (Progress, usize) {
    let (mut messages, mut joins) = (0, joins());
    loop {
        let flushed = outbox.flush(sink, &mut joins, now_us, &mut |_, _| {}).unwrap();
        messages += flushed.messages;
        if flushed.progress != Progress::More {
            return (flushed.progress, messages);
        }
    }
}

/// Parses the frames in a stream of bytes, which must end with a whole frame.
fn parse(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (frames, rest) = split(bytes);
    assert_eq!(rest.len(), 0);
    frames
}

/// Parses the whole frames in a stream of bytes.
fn parse_whole(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    split(bytes).0
}

/// Parses the whole frames in a stream of bytes, and inflates what is compressed. Returns also the rest.
fn split(mut bytes: &[u8]) -> (Vec<(u8, Vec<u8>)>, &[u8]) {
    let mut frames = Vec::new();
    while bytes.len() >= 10 || (bytes.len() >= 2 && bytes.len() >= 2 + bytes[1] as usize) {
        let (header, len) = match bytes[1] {
            126 => (4, u16::from_be_bytes(bytes[2..4].try_into().unwrap()) as usize),
            127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
            len => (2, len as usize),
        };
        if bytes.len() < header + len {
            break;
        }
        let payload = &bytes[header..header + len];
        let payload = match bytes[0] & 0xF0 {
            0x80 => payload.to_vec(),
            0xC0 => inflate(payload, 1 << 20, <[u8]>::to_vec).unwrap(),
            _ => panic!("not final, or a reserved bit"),
        };
        frames.push((bytes[0] & 0xF, payload));
        bytes = &bytes[header + len..];
    }
    (frames, bytes)
}

/// The numbers of the messages in a stream of bytes.
fn seqs(bytes: &[u8]) -> Vec<u64> {
    let number = |payload: Vec<u8>| u64::from_be_bytes(payload[..8].try_into().unwrap());
    parse(bytes).into_iter().filter(|frame| frame.0 == 2).map(|frame| number(frame.1)).collect()
}

/// The numbers of the messages in the whole JSON documents of a stream of bytes.
fn numbers(form: Form, bytes: &[u8]) -> Vec<u64> {
    envelopes(form, bytes).iter().filter_map(|envelope| envelope["seq"].as_u64()).collect()
}

/// The whole JSON documents in a stream of bytes. Checks that there are batches only if the form says so, and none of
/// fewer than two.
fn envelopes(form: Form, bytes: &[u8]) -> Vec<serde_json::Value> {
    let messages = match form.framing {
        Framing::WebSocket => {
            parse_whole(bytes).into_iter().filter(|frame| frame.0 == 1).map(|frame| frame.1).collect()
        }
        Framing::EventStream => {
            let text = str::from_utf8(bytes).unwrap();
            let whole = text.rfind("\n\n").map_or(0, |at| at + 2);
            let events = text[..whole].split_terminator("\n\n").filter_map(|event| event.strip_prefix("data: "));
            events.map(|data| data.as_bytes().to_vec()).collect::<Vec<_>>()
        }
    };
    let envelopes =
        messages.iter().filter(|message| message.starts_with(b"{") || message.starts_with(b"[")).flat_map(|message| {
            match serde_json::from_slice(message).expect("it is JSON") {
                serde_json::Value::Array(envelopes) => {
                    assert!(form.is_batched && envelopes.len() > 1, "{form:?}");
                    envelopes
                }
                envelope => vec![envelope],
            }
        });
    envelopes.collect()
}

/// The same form with batches.
const fn batched(form: Form) -> Form {
    Form { is_batched: true, ..form }
}

/// Collects the reports of dropped messages.
fn into(reports: &mut Vec<(u64, Drop)>) -> impl FnMut(&Message, Drop) {
    |message, reason| reports.push((message.seq(), reason))
}
