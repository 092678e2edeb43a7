//! The entries of a block: rooms, messages and gaps. Pure. All numbers are little-endian.

use std::str;

use crate::message::Delivery;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// A message of UTF-8.
    Text,
    /// A message of any bytes.
    Binary,
    /// A message that is a JSON document.
    Json,
    /// The key of a room was forgotten.
    Forgotten,
}

/// A message of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it reached this node, in nanoseconds since 1970 by a clock that never jumps.
    pub time_ns: u64,
    /// Its time on the wire, in milliseconds since 1970.
    pub ts_ms: u64,
    /// The name of its room.
    pub room: &'a str,
    /// The epoch of its number.
    pub epoch: u64,
    /// Its number in the room.
    pub seq: u64,
    /// The number of the message before it.
    pub prev: u64,
    /// Its key.
    pub key: Option<&'a str>,
    /// What it is.
    pub kind: RecordKind,
    /// Its delivery class.
    pub delivery: Delivery,
    /// The node that it comes from: [`HERE`], [`FROM_LOG`], or the id of another node.
    pub origin: u64,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Messages that are not in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap<'a> {
    /// The name of their room; "" if they are of several rooms, or it is not known.
    pub room: &'a str,
    /// The epoch of their numbers.
    pub epoch: u64,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
    /// How many there are.
    pub count: u64,
    /// Why they are not there.
    pub reason: GapReason,
    /// The time of the first, in nanoseconds since 1970.
    pub from_ns: u64,
    /// The time of the last.
    pub to_ns: u64,
}

/// Why messages are not in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GapReason {
    /// The disk was too slow or full, and the queue had no space.
    Queue = 1,
    /// They were lost between nodes, and have never come to this node.
    Backplane = 2,
    /// The bytes of the file are damaged. Readers say so; no file contains it.
    Damaged = 3,
}

/// An entry that readers return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordEntry<'a> {
    /// A message.
    Message(Record<'a>),
    /// Messages that are missing here.
    Gap(Gap<'a>),
}

/// An entry that breaks the format although its checksum is right: it was written by something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Returns the name of a reason.
pub fn reason_name(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Queue => "queue",
        GapReason::Backplane => "backplane",
        GapReason::Damaged => "damaged",
    }
}

/// Returns the name of a kind.
pub fn kind_name(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Text => "text",
        RecordKind::Binary => "binary",
        RecordKind::Json => "json",
        RecordKind::Forgotten => "forgotten",
    }
}

/// Writes a room, whose number in the block is the count of rooms before it.
pub(super) fn write_room(into: &mut Vec<u8>, name: &str, epoch: u64) {
    begin(into, ROOM, 8 + name.len());
    into.extend(epoch.to_le_bytes());
    into.extend(name.as_bytes());
}

/// Writes a message of the room with this number in the block.
pub(super) fn write_message(into: &mut Vec<u8>, room: u32, record: &Record<'_>) {
    let key = record.key.unwrap_or_default().as_bytes();
    let len = MESSAGE_HEAD + key.len() + record.payload.len();
    // One piece: the vector looks for space three times, and not for each field.
    let mut head = [0; 4 + MESSAGE_HEAD];
    let mut place = 0;
    let mut put = |bytes: &[u8]| {
        head[place..place + bytes.len()].copy_from_slice(bytes);
        place += bytes.len();
    };
    put(&(len as u32).to_le_bytes());
    put(&[MESSAGE, record.kind as u8, record.delivery as u8, record.key.is_some().into()]);
    put(&room.to_le_bytes());
    for number in [record.time_ns, record.ts_ms, record.seq, record.prev, record.origin] {
        put(&number.to_le_bytes());
    }
    put(&(key.len() as u32).to_le_bytes());
    into.reserve(head.len() + key.len() + record.payload.len());
    into.extend_from_slice(&head);
    into.extend_from_slice(key);
    into.extend_from_slice(record.payload);
}

/// Writes a gap in the room with this number in the block.
pub(super) fn write_gap(into: &mut Vec<u8>, room: u32, gap: &Gap<'_>) {
    begin(into, GAP, GAP_LEN - 1);
    into.extend([gap.reason as u8, 0, 0]);
    into.extend(room.to_le_bytes());
    for number in [gap.from_ns, gap.to_ns, gap.first, gap.last, gap.count] {
        into.extend(number.to_le_bytes());
    }
}

fn begin(into: &mut Vec<u8>, kind: u8, len: usize) {
    into.extend((len as u32 + 1).to_le_bytes());
    into.push(kind);
}

/// The entries of the body of a block, in order.
#[derive(Debug, Clone)]
pub struct RecordEntries<'a> {
    rest: &'a [u8],
    rooms: Vec<(&'a str, u64)>,
}

impl<'a> RecordEntries<'a> {
    /// Reads a body whose checksum is right.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body, rooms: Vec::new() }
    }

    /// Reads up to the next message or gap. Entries of other types are of a later version, and are passed over.
    fn read(&mut self) -> Option<Option<RecordEntry<'a>>> {
        let (size, rest) = self.rest.split_first_chunk()?;
        let (entry, rest) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        self.rest = rest;
        let (&kind, fields) = entry.split_first()?;
        match kind {
            ROOM => {
                let (epoch, name) = number(fields)?;
                self.rooms.push((str::from_utf8(name).ok()?, epoch));
                Some(None)
            }
            MESSAGE => Some(Some(RecordEntry::Message(self.message(fields)?))),
            GAP => Some(Some(RecordEntry::Gap(self.gap(fields)?))),
            _ => Some(None),
        }
    }

    fn message(&self, fields: &'a [u8]) -> Option<Record<'a>> {
        let (&[kind, delivery, has_key], rest) = fields.split_first_chunk()?;
        let ((room, epoch), rest) = self.room(rest)?;
        let (time_ns, rest) = number(rest)?;
        let (ts_ms, rest) = number(rest)?;
        let (seq, rest) = number(rest)?;
        let (prev, rest) = number(rest)?;
        let (origin, rest) = number(rest)?;
        let (size, rest) = rest.split_first_chunk()?;
        let (key, payload) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        let key = str::from_utf8(key).ok()?;
        let kind = match kind {
            0 => RecordKind::Text,
            1 => RecordKind::Binary,
            2 => RecordKind::Json,
            3 => RecordKind::Forgotten,
            _ => return None,
        };
        let delivery = match delivery {
            0 => Delivery::Reliable,
            1 => Delivery::Latest,
            2 => Delivery::DropOldest,
            3 => Delivery::DropNewest,
            _ => return None,
        };
        if kind != RecordKind::Binary {
            str::from_utf8(payload).ok()?;
        }
        let key = (has_key != 0).then_some(key);
        Some(Record { time_ns, ts_ms, room, epoch, seq, prev, key, kind, delivery, origin, payload })
    }

    fn gap(&self, fields: &'a [u8]) -> Option<Gap<'a>> {
        let (&[reason, _, _], rest) = fields.split_first_chunk()?;
        let ((room, epoch), rest) = self.room(rest)?;
        let (from_ns, rest) = number(rest)?;
        let (to_ns, rest) = number(rest)?;
        let (first, rest) = number(rest)?;
        let (last, rest) = number(rest)?;
        let (count, _) = number(rest)?;
        let reason = match reason {
            1 => GapReason::Queue,
            2 => GapReason::Backplane,
            _ => return None,
        };
        Some(Gap { room, epoch, first, last, count, reason, from_ns, to_ns })
    }

    fn room(&self, fields: &'a [u8]) -> Option<((&'a str, u64), &'a [u8])> {
        let (place, rest) = fields.split_first_chunk()?;
        let room = self.rooms.get(u32::from_le_bytes(*place) as usize)?;
        Some((*room, rest))
    }
}

impl<'a> Iterator for RecordEntries<'a> {
    type Item = Result<RecordEntry<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.read() {
                Some(Some(entry)) => return Some(Ok(entry)),
                Some(None) => {}
                None => {
                    self.rest = &[];
                    return Some(Err(Malformed));
                }
            }
        }
        None
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// The origin of a message that was published at this node.
pub const HERE: u64 = 0;

/// The origin of a message that came from a log that nodes share, which does not say who published it.
pub const FROM_LOG: u64 = u64::MAX;

const ROOM: u8 = 1;
const MESSAGE: u8 = 2;
const GAP: u8 = 3;

/// The bytes of a message before its key.
const MESSAGE_HEAD: usize = 52;

/// The bytes of a gap.
const GAP_LEN: usize = 48;
