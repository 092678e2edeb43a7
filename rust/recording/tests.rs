use std::sync::Arc;

use proptest::prelude::*;

use crate::budget::Budget;
use crate::message::{Delivery, Message, Metadata, Role};
use crate::protocol::envelope::Kind;
use crate::recording::block::{BlockBuilder, BlockKind, FILE_MAGIC, HEAD_LEN, Head, header_block};
use crate::recording::entry::{FROM_LOG, Gap, GapReason, HERE, Record, RecordEntries, RecordEntry, RecordKind};
use crate::recording::queue::{Item, LeftOut, Pushed, RecordQueue, Taken};
use crate::recording::reader::{Found, ReadError, RecordingReader};
use crate::wire::table::kind::FORGOTTEN;

fn record(room: &'static str, seq: u64, payload: &'static [u8]) -> Record<'static> {
    Record {
        time_ns: 1_000 + seq,
        ts_ms: 1,
        room,
        epoch: 0xe,
        seq,
        prev: seq - 1,
        key: None,
        kind: RecordKind::Binary,
        delivery: Delivery::Reliable,
        origin: HERE,
        payload,
    }
}

/// A file of blocks with these messages.
fn file(blocks: &[&[Record<'_>]]) -> Vec<u8> {
    let mut file = [&FILE_MAGIC[..], &header_block(b"{}", 5, 6)].concat();
    let mut builder = BlockBuilder::default();
    for records in blocks {
        records.iter().for_each(|record| builder.add_plain(record));
        file.extend(builder.finish(7));
        builder.clear();
    }
    file
}

/// The numbers of all messages that can be read, "damaged" parts, and the torn bytes.
fn read(file: &[u8], since_ns: u64, until_ns: u64) -> (Vec<u64>, usize, u64) {
    let mut reader = RecordingReader::open(file, since_ns, until_ns).unwrap();
    let (mut seqs, mut damaged, mut body) = (Vec::new(), 0, Vec::new());
    loop {
        match reader.next_block(&mut body).unwrap() {
            Found::Block(_) => seqs.extend(RecordEntries::new(&body).map(|entry| match entry.unwrap() {
                RecordEntry::Message(record) => record.seq,
                RecordEntry::Gap(gap) => gap.first,
            })),
            Found::Damaged { .. } => damaged += 1,
            Found::End { torn } => return (seqs, damaged, torn),
        }
    }
}

fn three() -> (Vec<u8>, usize) {
    let two = file(&[&[record("a", 1, b"one"), record("b", 2, b"two")], &[record("a", 3, b"three")]]);
    let three = file(&[
        &[record("a", 1, b"one"), record("b", 2, b"two")],
        &[record("a", 3, b"three")],
        &[record("a", 4, b"four"), record("c", 5, b"five")],
    ]);
    (three, two.len())
}

#[test]
fn a_file_that_is_cut_at_any_byte_is_readable_up_to_there() {
    let (file, before) = three();
    assert_eq!(read(&file, 0, u64::MAX), (vec![1, 2, 3, 4, 5], 0, 0));
    for len in before..file.len() {
        assert_eq!(read(&file[..len], 0, u64::MAX), (vec![1, 2, 3], 0, (len - before) as u64), "{len}");
    }
    // A system that has stored the length and not the bytes.
    for len in before + 1..file.len() {
        let mut zeros = file.clone();
        zeros[len..].fill(0);
        assert_eq!(read(&zeros, 0, u64::MAX).0, [1, 2, 3], "{len}");
    }
}

#[test]
fn a_damaged_block_is_told_and_the_rest_is_read() {
    let (file, _) = three();
    let begin = FILE_MAGIC.len() + HEAD_LEN + 2;
    let (whole, middle) = (read(&file, 0, u64::MAX).0, begin..file.len());
    for place in middle {
        let mut damaged = file.clone();
        damaged[place] ^= 0x10;
        let (seqs, count, torn) = read(&damaged, 0, u64::MAX);
        assert!(seqs.len() < whole.len(), "{place}");
        assert!(seqs.iter().all(|seq| whole.contains(seq)));
        // The last block may as well have been cut.
        assert!((count == 1 && torn == 0) || (count == 0 && torn > 0 && seqs == [1, 2, 3]), "{place}");
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    let (file, _) = three();
    let header = FILE_MAGIC.len() + HEAD_LEN + 2;
    for len in 0..header {
        assert!(matches!(RecordingReader::open(&file[..len], 0, 1), Err(ReadError::NotARecording)), "{len}");
    }
    for place in 0..header {
        let mut damaged = file.clone();
        damaged[place] ^= 1;
        assert!(matches!(RecordingReader::open(&damaged[..], 0, 1), Err(ReadError::NotARecording)), "{place}");
    }
}

#[test]
fn blocks_outside_of_a_time_are_passed_over() {
    let (file, _) = three();
    assert_eq!(read(&file, 1_003, u64::MAX).0, [3, 4, 5]);
    assert_eq!(read(&file, 0, 1_003).0, [1, 2]);
    assert_eq!(read(&file, 1_006, u64::MAX).0, [] as [u64; 0]);
    let mut reader = RecordingReader::open(&file[..], 0, 0).unwrap();
    let mut records = 0;
    while let Some(head) = reader.skim().unwrap() {
        records += head.records;
    }
    assert_eq!((records, reader.header()), (5, &b"{}"[..]));
}

#[test]
fn messages_of_the_engine_are_recorded_with_all_that_is_known() {
    let budget = Arc::new(Budget::new(1 << 20));
    let build = |role, kind, payload: &[u8], prev, key: Option<&str>| {
        let place = Metadata::place(9, 7, Delivery::Latest);
        let metadata = Metadata {
            prev,
            epoch: 0xabc,
            ts_ms: 11,
            room_name: Some("quotes".into()),
            key_name: key.map(Into::into),
            ..place
        };
        Message::new(role, kind, payload, metadata, 250, &budget)
    };
    let mut builder = BlockBuilder::default();
    builder.add(&build(Role::Data, Kind::Json, b"{}", None, Some("EUR")), HERE, 1_000_000);
    builder.add(&build(Role::Event(FORGOTTEN), Kind::Json, b"", Some(6), Some("EUR")), HERE, 0);
    builder.add(&build(Role::Data, Kind::Text, b"x", Some(3), None), HERE, 0);
    builder.add(&build(Role::Data, Kind::Binary, b"\xff", Some(3), Some("")), 0x99, 0);
    let block = builder.finish(-5).to_vec();
    let head = Head::parse(block[..HEAD_LEN].try_into().unwrap()).unwrap();
    assert_eq!((head.kind, head.records, head.clock_ns), (BlockKind::Entries, 4, -5));
    assert_eq!((head.first_ns, head.last_ns), (250_000, 1_000_250_000));
    let entries: Vec<_> = RecordEntries::new(&block[HEAD_LEN..]).map(Result::unwrap).collect();
    let first = Record {
        time_ns: 1_000_250_000,
        ts_ms: 11,
        room: "quotes",
        epoch: 0xabc,
        seq: 7,
        prev: 6,
        key: Some("EUR"),
        kind: RecordKind::Json,
        delivery: Delivery::Latest,
        origin: HERE,
        payload: b"{}",
    };
    let later = Record { time_ns: 250_000, ..first };
    let forgotten = Record { kind: RecordKind::Forgotten, payload: b"", ..later };
    let text = Record { kind: RecordKind::Text, payload: b"x", key: None, prev: 3, origin: FROM_LOG, ..later };
    let binary = Record { kind: RecordKind::Binary, payload: b"\xff", key: Some(""), prev: 3, origin: 0x99, ..later };
    assert_eq!(entries, [first, forgotten, text, binary].map(RecordEntry::Message));
}

fn message(seq: u64, len: usize, budget: &Arc<Budget>) -> Arc<Message> {
    let metadata = Metadata { room_name: Some("r".into()), ..Metadata::place(1, seq, Delivery::Reliable) };
    Arc::new(Message::new(Role::Data, Kind::Binary, &vec![0; len], metadata, seq, budget))
}

#[test]
fn what_does_not_fit_into_the_queue_is_left_out_and_noted_after_it() {
    let budget = Arc::new(Budget::new(1 << 20));
    let queue = RecordQueue::new(1_000);
    let mut taken = Taken::default();
    assert!(queue.sleep());
    assert_eq!(queue.push(&message(1, 300, &budget), HERE), Pushed::Wake);
    assert_eq!(queue.push(&message(2, 9_000, &budget), HERE), Pushed::LeftOut);
    // It would fit; but then it would stand before what was left out.
    assert_eq!(queue.push(&message(3, 1, &budget), HERE), Pushed::LeftOut);
    assert!(queue.take(&mut taken));
    assert!(matches!(taken.items.make_contiguous(), [Item::Message(message, HERE)] if message.seq() == 1));
    let left_out = LeftOut { room: Some("r".into()), epoch: 0, first: 2, last: 3, count: 2, from_us: 2, to_us: 3 };
    assert_eq!(taken.left_out, [left_out]);
    let mut taken = Taken::default();
    // A message that is larger than the whole queue fits into an empty one.
    assert_eq!(queue.push(&message(4, 9_000, &budget), HERE), Pushed::Queued);
    queue.stop();
    assert_eq!(queue.push(&message(5, 1, &budget), HERE), Pushed::LeftOut);
    assert!(!queue.sleep());
    assert!(!queue.take(&mut taken));
    assert_eq!((taken.items.len(), taken.left_out.len(), queue.bytes()), (1, 1, 0));
}

#[test]
fn rooms_that_are_noted_one_by_one_are_bounded() {
    let budget = Arc::new(Budget::new(1 << 20));
    let queue = RecordQueue::new(0);
    queue.stop();
    for room in 1..=1_030 {
        let metadata = Metadata { room_name: Some("r".into()), ..Metadata::place(room, 1, Delivery::Reliable) };
        queue.push(&Arc::new(Message::new(Role::Data, Kind::Binary, b"", metadata, 0, &budget)), HERE);
    }
    let mut taken = Taken::default();
    queue.take(&mut taken);
    assert_eq!(taken.left_out.iter().map(|gap| gap.count).sum::<u64>(), 1_030);
    let others = taken.left_out.last().unwrap();
    assert_eq!((taken.left_out.len(), &others.room, others.count, others.first), (1_025, &None, 6, 0));
}

fn any_entry() -> impl Strategy<Value = (String, u64, [u64; 6], Option<String>, u8, Vec<u8>)> {
    let name = prop_oneof![Just("a".to_owned()), Just("room.b".to_owned()), any::<String>()];
    (name, 0..3u64, any::<[u64; 6]>(), any::<Option<String>>(), 0..5u8, any::<Vec<u8>>())
}

proptest! {
    /// What is written is read, whatever it is.
    #[test]
    fn a_round_trip_changes_nothing(parts in proptest::collection::vec(any_entry(), 0..20)) {
        let text: Vec<_> = parts.iter().map(|part| String::from_utf8_lossy(&part.5).into_owned()).collect();
        let entries: Vec<_> = parts.iter().zip(&text).map(|((room, epoch, numbers, key, kind, bytes), text)| {
            let &[time_ns, ts_ms, seq, prev, origin, last] = numbers;
            let (room, epoch) = (room.as_str(), *epoch);
            let (kind, payload) = match kind {
                0 => (RecordKind::Text, text.as_bytes()),
                1 => (RecordKind::Json, text.as_bytes()),
                2 => (RecordKind::Forgotten, &b""[..]),
                3 => (RecordKind::Binary, &bytes[..]),
                _ => {
                    let (first, count, reason) = (seq, prev, GapReason::Queue);
                    let gap = Gap { room, epoch, first, last, count, reason, from_ns: time_ns, to_ns: ts_ms };
                    return RecordEntry::Gap(gap);
                }
            };
            let (key, delivery) = (key.as_deref(), Delivery::Latest);
            RecordEntry::Message(Record { time_ns, ts_ms, room, epoch, seq, prev, key, kind, delivery, origin, payload })
        }).collect();
        let mut builder = BlockBuilder::default();
        for entry in &entries {
            match entry {
                RecordEntry::Message(record) => builder.add_plain(record),
                RecordEntry::Gap(gap) => builder.add_gap(gap),
            }
        }
        let block = builder.finish(0).to_vec();
        let read: Vec<_> = RecordEntries::new(&block[HEAD_LEN..]).map(Result::unwrap).collect();
        prop_assert_eq!(read, entries);
    }

    /// No bytes make the reader panic, and it always comes to an end.
    #[test]
    fn any_bytes_are_read_to_an_end(bytes: Vec<u8>, at in 0..400usize, is_right: bool) {
        for entry in RecordEntries::new(&bytes) {
            let _ = entry;
        }
        let (mut file, _) = three();
        let at = at.min(file.len());
        file.splice(at..at, bytes.iter().copied());
        if is_right {
            // A block whose checksums are right, and which is none.
            let head = Head {
                len: bytes.len() as u32,
                crc: crc32fast::hash(&bytes),
                kind: BlockKind::Entries,
                records: 1,
                first_ns: 0,
                last_ns: u64::MAX,
                clock_ns: 0,
            };
            file.extend(head.bytes());
            file.extend(&bytes);
        }
        if let Ok(mut reader) = RecordingReader::open(&file[..], 0, u64::MAX) {
            let mut body = Vec::new();
            for _ in 0..100 {
                match reader.next_block(&mut body).unwrap() {
                    Found::Block(_) => RecordEntries::new(&body).for_each(drop),
                    Found::Damaged { .. } => {}
                    Found::End { .. } => return Ok(()),
                }
            }
            prop_assert!(false, "no end");
        }
    }
}
