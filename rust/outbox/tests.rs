//! Helpers for the tests of the outbox: numbered messages, a sink with a limit, and a parser of frames.

mod model;
mod rooms;
mod table;
mod wire;

use std::io::ErrorKind;

use super::*;
use crate::budget::Budget;
use crate::message::KeyId;
use crate::message::{Metadata, OVERHEAD, Role};
use crate::outbox::control::PONGS_MAX;
use crate::outbox::writing::{IOV_MAX, WRITE_MAX};
use crate::protocol::envelope::Kind;
use crate::wire::frame::{self, Opcode};

/// A message of room 1. Its payload is its number and `extra` more bytes.
fn message(seq: u64, delivery: Delivery, key: Option<KeyId>, extra: usize) -> Arc<Message> {
    message_of(1, seq, delivery, key, extra)
}

fn message_of(room: RoomId, seq: u64, delivery: Delivery, key: Option<KeyId>, extra: usize) -> Arc<Message> {
    let mut payload = seq.to_be_bytes().to_vec();
    payload.resize(8 + extra, seq as u8);
    let room_name = Some(format!("room {room}").into());
    let metadata = Metadata { key, room_name, ..Metadata::place(room, seq, delivery) };
    Arc::new(Message::new(Role::Data, Kind::Binary, &payload, metadata, seq, &Arc::new(Budget::new(usize::MAX))))
}

pub fn reliable(seq: u64) -> Arc<Message> {
    message(seq, Delivery::Reliable, None, 0)
}

fn latest(seq: u64, key: KeyId) -> Arc<Message> {
    message(seq, Delivery::Latest, Some(key), 0)
}

fn drop_oldest(seq: u64) -> Arc<Message> {
    message(seq, Delivery::DropOldest, None, 0)
}

fn drop_newest(seq: u64) -> Arc<Message> {
    message(seq, Delivery::DropNewest, None, 0)
}

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

/// Flushes until the sink blocks or nothing is left. Returns the state and the number of messages that left.
fn flush(outbox: &mut Outbox, sink: &mut LimitedSink) -> (Progress, usize) {
    flush_at(outbox, sink, 0)
}

fn flush_at(outbox: &mut Outbox, sink: &mut LimitedSink, now_us: u64) -> (Progress, usize) {
    let mut messages = 0;
    loop {
        let flushed = outbox.flush(sink, now_us).unwrap();
        messages += flushed.messages;
        if flushed.progress != Progress::More {
            return (flushed.progress, messages);
        }
    }
}

/// Parses the frames in a stream of bytes, which must end with a whole frame.
fn parse(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let frames = parse_whole(bytes);
    let len: usize = frames.iter().map(|frame| frame::header_len(frame.1.len()) + frame.1.len()).sum();
    assert_eq!(len, bytes.len());
    frames
}

/// Parses the whole frames in a stream of bytes.
fn parse_whole(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while bytes.len() >= 10 || (bytes.len() >= 2 && bytes.len() >= 2 + bytes[1] as usize) {
        let (header, len) = match bytes[1] {
            126 => (4, u16::from_be_bytes(bytes[2..4].try_into().unwrap()) as usize),
            127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
            len => (2, len as usize),
        };
        assert_eq!(bytes[0] & 0xF0, 0x80, "final, no reserved bit");
        if bytes.len() < header + len {
            break;
        }
        frames.push((bytes[0] & 0xF, bytes[header..header + len].to_vec()));
        bytes = &bytes[header + len..];
    }
    frames
}

/// The numbers of the messages in a stream of bytes.
fn seqs(bytes: &[u8]) -> Vec<u64> {
    let number = |payload: Vec<u8>| u64::from_be_bytes(payload[..8].try_into().unwrap());
    parse(bytes).into_iter().filter(|frame| frame.0 == 2).map(|frame| number(frame.1)).collect()
}

/// Collects the reports of dropped messages.
fn into(reports: &mut Vec<(u64, Drop)>) -> impl FnMut(&Message, Drop) {
    |message, reason| reports.push((message.seq(), reason))
}
