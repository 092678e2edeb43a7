//! Files of recordings: no bytes make the reader panic or run for ever, and what was written is read again, whatever
//! follows it.
#![no_main]

use arbitrary::Arbitrary;
use fanwire::message::Delivery;
use fanwire::recording::block::{BlockBuilder, BlockKind, FILE_MAGIC, Head, header_block};
use fanwire::recording::entry::{Gap, GapReason, Record, RecordEntries, RecordEntry, RecordKind};
use fanwire::recording::reader::{Found, RecordingReader};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    blocks: Vec<Vec<Any<'a>>>,
    /// Bytes of a block whose checksums are right, and which is none.
    foreign: &'a [u8],
    after: &'a [u8],
    since_ns: u64,
}

#[derive(Debug, Arbitrary)]
struct Any<'a> {
    room: &'a str,
    epoch: u8,
    numbers: [u64; 5],
    key: Option<&'a str>,
    kind: u8,
    payload: &'a [u8],
    text: &'a str,
}

impl<'a> Any<'a> {
    fn entry(&self) -> RecordEntry<'a> {
        let [time_ns, ts_ms, seq, prev, origin] = self.numbers;
        let (room, epoch) = (self.room, u64::from(self.epoch));
        let (kind, payload) = match self.kind % 5 {
            0 => (RecordKind::Text, self.text.as_bytes()),
            1 => (RecordKind::Binary, self.payload),
            2 => (RecordKind::Json, self.text.as_bytes()),
            3 => (RecordKind::Forgotten, &b""[..]),
            _ => {
                let (first, last, count, reason) = (seq, prev, origin, GapReason::Queue);
                return RecordEntry::Gap(Gap {
                    room,
                    epoch,
                    first,
                    last,
                    count,
                    reason,
                    from_ns: time_ns,
                    to_ns: ts_ms,
                });
            }
        };
        let (key, delivery) = (self.key, Delivery::DropOldest);
        RecordEntry::Message(Record { time_ns, ts_ms, room, epoch, seq, prev, key, kind, delivery, origin, payload })
    }
}

/// Reads a file to its end, at most so many blocks.
fn read(file: &[u8], since_ns: u64, mut each: impl FnMut(&[u8])) {
    let Ok(mut reader) = RecordingReader::open(file, since_ns, u64::MAX) else { return };
    let mut body = Vec::new();
    for _ in 0..=file.len() {
        match reader.next_block(&mut body).expect("bytes can be read") {
            Found::Block(_) => each(&body),
            Found::Damaged { bytes, .. } => assert!(bytes > 0),
            Found::End { .. } => return,
        }
    }
    panic!("the file has no end");
}

fuzz_target!(|input: Input<'_>| {
    let mut file = [&FILE_MAGIC[..], &header_block(b"{}", 0, 0)].concat();
    let mut builder = BlockBuilder::default();
    let entries: Vec<Vec<_>> = input.blocks.iter().map(|block| block.iter().map(Any::entry).collect()).collect();
    for block in entries.iter().filter(|block| !block.is_empty()) {
        for entry in block {
            match entry {
                RecordEntry::Message(record) => builder.add_plain(record),
                RecordEntry::Gap(gap) => builder.add_gap(gap),
            }
        }
        file.extend(builder.finish(0));
        builder.clear();
    }
    let mut expected = entries.iter().filter(|block| !block.is_empty());
    read(&file, 0, |body| {
        let found: Vec<_> = RecordEntries::new(body).map(|entry| entry.expect("it was written so")).collect();
        assert_eq!(Some(&found), expected.next());
    });
    assert!(expected.next().is_none());
    let head = Head {
        len: input.foreign.len() as u32,
        crc: crc32fast::hash(input.foreign),
        kind: BlockKind::Entries,
        records: 1,
        first_ns: 0,
        last_ns: u64::MAX,
        clock_ns: 0,
    };
    file.extend(head.bytes());
    file.extend(input.foreign);
    file.extend(input.after);
    read(&file, input.since_ns, |body| RecordEntries::new(body).for_each(drop));
    read(input.after, 0, |body| RecordEntries::new(body).for_each(drop));
});
