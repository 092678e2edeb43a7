//! Blocks, of which a file consists. Each can be read without the others, and its head alone tells its times and its
//! length. Pure.

use rustc_hash::FxHashMap;

use crate::message::{Message, Role};
use crate::protocol::envelope::Kind;
use crate::recording::entry::{FROM_LOG, Gap, HERE, Record, RecordKind, write_gap, write_message, write_room};
use crate::wire::table::kind::FORGOTTEN;

/// The head of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The bytes of the body.
    pub len: u32,
    /// The CRC-32 of the body.
    pub crc: u32,
    /// What it contains.
    pub kind: BlockKind,
    /// How many messages it contains.
    pub records: u32,
    /// The smallest time in it, in nanoseconds since 1970.
    pub first_ns: u64,
    /// The largest time in it.
    pub last_ns: u64,
    /// What has to be added to its times for those of the system's clock when it was written, in nanoseconds.
    pub clock_ns: i64,
}

/// What a block contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// The header of the file: a JSON document.
    Header,
    /// Entries.
    Entries,
    /// Something of a later version, to be passed over.
    Other(u8),
}

impl Head {
    /// Writes it.
    pub fn bytes(&self) -> [u8; HEAD_LEN] {
        let kind = match self.kind {
            BlockKind::Header => 1,
            BlockKind::Entries => 2,
            BlockKind::Other(kind) => kind,
        };
        let mut bytes = [0; HEAD_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.crc.to_le_bytes());
        bytes[16] = kind;
        bytes[20..24].copy_from_slice(&self.records.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_ns.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.last_ns.to_le_bytes());
        bytes[40..].copy_from_slice(&self.clock_ns.to_le_bytes());
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads it; none if it is not one.
    pub fn parse(bytes: &[u8; HEAD_LEN]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (head_crc, rest) = rest.split_first_chunk()?;
        if *magic != MAGIC || u32::from_le_bytes(*head_crc) != crc32fast::hash(rest) {
            return None;
        }
        let (len, rest) = rest.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (&[kind, _, _, _], rest) = rest.split_first_chunk()?;
        let (records, rest) = rest.split_first_chunk()?;
        let (first_ns, rest) = rest.split_first_chunk()?;
        let (last_ns, rest) = rest.split_first_chunk()?;
        let (clock_ns, _) = rest.split_first_chunk()?;
        let kind = match kind {
            1 => BlockKind::Header,
            2 => BlockKind::Entries,
            kind => BlockKind::Other(kind),
        };
        Some(Self {
            len: u32::from_le_bytes(*len),
            crc: u32::from_le_bytes(*crc),
            kind,
            records: u32::from_le_bytes(*records),
            first_ns: u64::from_le_bytes(*first_ns),
            last_ns: u64::from_le_bytes(*last_ns),
            clock_ns: i64::from_le_bytes(*clock_ns),
        })
    }
}

/// Returns the block that begins a file, after [`FILE_MAGIC`].
pub fn header_block(document: &[u8], now_ns: u64, clock_ns: i64) -> Vec<u8> {
    let head = Head {
        len: document.len() as u32,
        crc: crc32fast::hash(document),
        kind: BlockKind::Header,
        records: 0,
        first_ns: now_ns,
        last_ns: now_ns,
        clock_ns,
    };
    [&head.bytes(), document].concat()
}

/// Builds one block after the other, in one buffer.
#[derive(Debug)]
pub struct BlockBuilder {
    /// The space for the head, and the body so far.
    bytes: Vec<u8>,
    /// The rooms of the block: their numbers by name and epoch. The names are those of the messages, so that most are
    /// found by their address.
    rooms: FxHashMap<(Box<str>, u64), u32>,
    /// The room of the last entry, by the id in the engine.
    last: Option<(u64, u64, u32)>,
    by_id: FxHashMap<(u64, u64), u32>,
    records: u32,
    first_ns: u64,
    last_ns: u64,
}

impl Default for BlockBuilder {
    fn default() -> Self {
        Self {
            bytes: vec![0; HEAD_LEN],
            rooms: FxHashMap::default(),
            last: None,
            by_id: FxHashMap::default(),
            records: 0,
            first_ns: u64::MAX,
            last_ns: 0,
        }
    }
}

impl BlockBuilder {
    /// Returns the bytes of the block so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEAD_LEN
    }

    /// Returns how many messages it has.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Adds a message of the engine, whose clock started at `started_us` since 1970. `origin` is the node that it came
    /// from.
    pub fn add(&mut self, message: &Message, origin: u64, started_us: u64) {
        let metadata = message.metadata();
        let name = metadata.room_name.as_deref().unwrap_or_default();
        let kind = match (message.role(), message.kind()) {
            (Role::Event(FORGOTTEN), _) => RecordKind::Forgotten,
            (_, Kind::Text) => RecordKind::Text,
            (_, Kind::Binary) => RecordKind::Binary,
            (_, Kind::Json) => RecordKind::Json,
        };
        let is_elsewhere = metadata.prev.is_some() && kind != RecordKind::Forgotten;
        let room = self.room_by_id(metadata.room, name, metadata.epoch);
        self.add_record(
            room,
            &Record {
                time_ns: started_us.saturating_add(message.published_us).saturating_mul(1000),
                ts_ms: metadata.ts_ms,
                room: name,
                epoch: metadata.epoch,
                seq: metadata.seq,
                prev: metadata.prev.unwrap_or(metadata.seq.saturating_sub(1)),
                key: metadata.key_name.as_deref(),
                kind,
                delivery: metadata.delivery,
                origin: if origin == HERE && is_elsewhere { FROM_LOG } else { origin },
                payload: message.payload(),
            },
        );
    }

    /// Adds a message.
    pub fn add_plain(&mut self, record: &Record<'_>) {
        let room = self.room(record.room, record.epoch);
        self.add_record(room, record);
    }

    /// Adds a gap.
    pub fn add_gap(&mut self, gap: &Gap<'_>) {
        let room = self.room(gap.room, gap.epoch);
        self.note(gap.from_ns);
        self.note(gap.to_ns);
        write_gap(&mut self.bytes, room, gap);
    }

    /// Ends the block: returns its bytes, which hold until [`Self::clear`].
    pub fn finish(&mut self, clock_ns: i64) -> &[u8] {
        let body = &self.bytes[HEAD_LEN..];
        let head = Head {
            len: body.len() as u32,
            crc: crc32fast::hash(body),
            kind: BlockKind::Entries,
            records: self.records,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            clock_ns,
        };
        let head = head.bytes();
        self.bytes[..HEAD_LEN].copy_from_slice(&head);
        &self.bytes
    }

    /// Begins a new block.
    pub fn clear(&mut self) {
        self.bytes.truncate(HEAD_LEN);
        // A message of some megabytes does not hold its memory for ever.
        self.bytes.shrink_to(2 * BLOCK_BYTES);
        self.rooms.clear();
        self.by_id.clear();
        (self.last, self.records, self.first_ns, self.last_ns) = (None, 0, u64::MAX, 0);
    }

    fn add_record(&mut self, room: u32, record: &Record<'_>) {
        self.records += 1;
        self.note(record.time_ns);
        write_message(&mut self.bytes, room, record);
    }

    fn note(&mut self, time_ns: u64) {
        self.first_ns = self.first_ns.min(time_ns);
        self.last_ns = self.last_ns.max(time_ns);
    }

    fn room_by_id(&mut self, id: u64, name: &str, epoch: u64) -> u32 {
        if let Some((last, of, number)) = self.last
            && (last, of) == (id, epoch)
        {
            return number;
        }
        let number = match self.by_id.get(&(id, epoch)) {
            Some(&number) => number,
            None => {
                let number = self.room(name, epoch);
                self.by_id.insert((id, epoch), number);
                number
            }
        };
        self.last = Some((id, epoch, number));
        number
    }

    fn room(&mut self, name: &str, epoch: u64) -> u32 {
        let next = self.rooms.len() as u32;
        let bytes = &mut self.bytes;
        *self.rooms.entry((name.into(), epoch)).or_insert_with(|| {
            write_room(bytes, name, epoch);
            next
        })
    }
}

/// The first bytes of a file: the name of the format and its version.
pub const FILE_MAGIC: [u8; 8] = *b"FANWREC1";

/// The first bytes of a block.
pub const MAGIC: [u8; 4] = *b"FWB1";

/// The bytes of the head of a block.
pub const HEAD_LEN: usize = 48;

/// The bytes from which on a block is written: large enough that the system call and the head do not count, small enough
/// that a reader that begins in the middle reads little in vain.
pub const BLOCK_BYTES: usize = 256 << 10;
