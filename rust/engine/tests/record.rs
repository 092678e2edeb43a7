use std::env::temp_dir;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::mpsc;

use super::*;
use crate::engine::record::MOST_RECORDINGS;
use crate::io::recording_files::{FileSettings, Sync};
use crate::recording::entry::{RecordEntries, RecordEntry};
use crate::recording::reader::{Found, RecordingReader};

fn settings(directory: &Path, name: &str) -> FileSettings {
    FileSettings {
        directory: directory.into(),
        name: name.into(),
        rotate_bytes: 1 << 30,
        rotate_ns: u64::MAX,
        keep_bytes: 0,
        sync: Sync::Never,
        about: String::new(),
    }
}

fn directory(name: &str) -> PathBuf {
    temp_dir().join(format!("fanwire-engine-{}-{name}", process::id()))
}

/// Room, number, number before it, payload or "gap".
fn read(file: &str) -> Vec<(String, u64, u64, Vec<u8>)> {
    let mut reader = RecordingReader::open(File::open(file).unwrap(), 0, u64::MAX).unwrap();
    let (mut found, mut body) = (Vec::new(), Vec::new());
    while let Found::Block(_) = reader.next_block(&mut body).unwrap() {
        found.extend(RecordEntries::new(&body).map(|entry| match entry.unwrap() {
            RecordEntry::Message(record) => (record.room.to_owned(), record.seq, record.prev, record.payload.to_vec()),
            RecordEntry::Gap(gap) => (gap.room.to_owned(), gap.first, gap.last, b"gap".to_vec()),
        }));
    }
    found
}

#[test]
fn rooms_are_recorded_from_the_start_to_the_end_of_a_recording() {
    let (engine, directory) = (start(1), directory("rooms"));
    let publish = |room, payload: &[u8]| engine.publish(room, draft(payload), &[]).unwrap();
    publish("a.old", b"before");
    let id = engine.record(vec!["a.*".into()], settings(&directory, "r"), 1 << 20, Duration::from_millis(1)).unwrap();
    publish("a.old", b"1");
    publish("a.new", b"2");
    publish("b", b"another room");
    engine.skip("a.new", 3, "backplane").unwrap();
    publish("a.new", b"3");
    let reading = engine.stop_recording(id, Duration::from_secs(20)).unwrap().unwrap();
    publish("a.old", b"after");
    assert!(reading.is_ended && reading.failure.is_none());
    assert_eq!((reading.messages, reading.left_out, engine.recorded().messages), (3, 0, 3));
    let row = |room: &str, seq, prev, payload: &[u8]| (room.to_owned(), seq, prev, payload.to_vec());
    let expected =
        [row("a.old", 2, 1, b"1"), row("a.new", 1, 0, b"2"), row("a.new", 2, 4, b"gap"), row("a.new", 5, 4, b"3")];
    assert_eq!(read(&reading.file), expected);
    assert!(engine.stop_recording(id, Duration::ZERO).unwrap().is_none());
    assert!(engine.recordings().is_empty());
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn recordings_are_bounded_and_end_with_the_engine() {
    let (engine, directory) = (start(1), directory("bounded"));
    let begin =
        |name: &str| engine.record(vec!["*".into()], settings(&directory, name), 1 << 20, Duration::from_secs(60));
    for place in 0..MOST_RECORDINGS {
        begin(&format!("r{place}")).unwrap();
    }
    assert!(matches!(begin("more"), Err(Error::Overloaded { .. })));
    engine.publish("a", draft(b"1"), &[]).unwrap();
    // It would wait for a minute; the end writes it.
    assert!(engine.shutdown(Duration::from_secs(20)));
    for reading in engine.recordings() {
        assert!(reading.is_ended);
        assert_eq!(read(&reading.file).len(), 1);
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_room_with_a_tick_is_recorded_as_it_leaves_each_message_once() {
    let (engine, directory) = (start(1), directory("ticks"));
    let latest = RoomSettings { delivery: Delivery::Latest, tick: 10, history: 5, ..RoomSettings::default() };
    engine.add_rule("t", latest).unwrap();
    let _member = member(&engine, "t");
    let id = engine.record(vec!["t".into()], settings(&directory, "r"), 1 << 20, Duration::from_millis(1)).unwrap();
    for (key, payload) in [("a", b"1"), ("b", b"2"), ("a", b"3")] {
        engine.publish("t", Draft { key: Some(key), ..draft(payload) }, &[]).unwrap();
    }
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 2);
    engine.publish("t", Draft { key: Some("b"), ..draft(b"4") }, &[]).unwrap();
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 1);
    let reading = engine.stop_recording(id, Duration::from_secs(20)).unwrap().unwrap();
    let row = |seq, payload: &[u8]| ("t".to_owned(), seq, seq - 1, payload.to_vec());
    assert_eq!((reading.messages, read(&reading.file)), (3, vec![row(1, b"3"), row(2, b"2"), row(3, b"4")]));
    fs::remove_dir_all(directory).unwrap();
}

/// Returns what is known of the recordings, unless the engine does not answer.
fn ask(engine: &Arc<Engine>) -> Vec<u64> {
    let (answer, answered) = mpsc::channel();
    let engine = Arc::clone(engine);
    thread::spawn(move || answer.send(engine.recordings().iter().map(|reading| reading.id).collect()));
    answered.recv_timeout(Duration::from_secs(20)).expect("the engine answers")
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_disk_that_does_not_answer_delays_nobody_who_asks_about_recordings() {
    let (engine, directory) = (Arc::new(start(1)), directory("stalls"));
    fs::create_dir_all(&directory).unwrap();
    // A file that cannot be opened for writing until somebody reads it.
    let pipe = directory.join("r.new");
    assert!(process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (theirs, files) = (Arc::clone(&engine), settings(&directory, "r"));
    let starting = thread::spawn(move || theirs.record(vec!["*".into()], files, 1 << 20, Duration::from_millis(1)));
    wait("the start has come to the pipe", || directory.join("r.lock").exists());
    let found = ask(&engine);
    let reader = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe).unwrap();
    assert!(found.is_empty());
    let _ = starting.join().unwrap();
    drop(reader);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn an_engine_that_waits_for_a_disk_to_end_delays_nobody_who_asks_about_recordings() {
    let (engine, directory) = (Arc::new(start(1)), directory("ends"));
    let files = FileSettings { rotate_bytes: 1, ..settings(&directory, "r") };
    let id = engine.record(vec!["*".into()], files, 1 << 20, Duration::from_millis(1)).unwrap();
    engine.publish("a", draft(b"1"), &[]).unwrap();
    wait("the first is written", || engine.recorded().messages == 1);
    let pipe = directory.join("r.new");
    assert!(process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    engine.publish("a", draft(b"2"), &[]).unwrap();
    let recorder = engine.rooms.find("a", |entry| Arc::clone(&entry.room.recorders().unwrap()[0])).unwrap();
    let theirs = Arc::clone(&engine);
    let ending = thread::spawn(move || theirs.shutdown(Duration::from_secs(600)));
    wait("the recording ends", || recorder.queue.is_stopped());
    let found = ask(&engine);
    let reader = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe).unwrap();
    assert_eq!(found, [id]);
    ending.join().unwrap();
    drop(reader);
    fs::remove_dir_all(directory).unwrap();
}
