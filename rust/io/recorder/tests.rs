use std::env::temp_dir;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process;

use super::*;
use crate::budget::Budget;
use crate::io::recording_files::Sync;
use crate::message::{Delivery, Message, Metadata, Role};
use crate::protocol::envelope::Kind;
use crate::recording::entry::{HERE, RecordEntries, RecordEntry};
use crate::recording::reader::{Found, RecordingReader};

fn settings(name: &str) -> RecorderSettings {
    let files = FileSettings {
        directory: temp_dir().join(format!("fanwire-recorder-{}-{name}", process::id())),
        name: "r".into(),
        rotate_bytes: 1 << 20,
        rotate_ns: u64::MAX,
        keep_bytes: 0,
        sync: Sync::Never,
        about: String::new(),
    };
    let flush_interval = Duration::from_millis(1);
    RecorderSettings { files, queue_bytes: 1 << 20, flush_interval, started: Instant::now(), started_us: 1_000 }
}

fn message(seq: u64, budget: &Arc<Budget>) -> Arc<Message> {
    let metadata = Metadata { room_name: Some("a".into()), ..Metadata::place(1, seq, Delivery::Reliable) };
    Arc::new(Message::new(Role::Data, Kind::Binary, &[7; 1_000], metadata, seq, budget))
}

/// The numbers of the messages in all files, and of those that gaps tell.
fn read(directory: &PathBuf) -> (Vec<u64>, u64) {
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "fanwire"));
    paths.sort_unstable();
    let (mut seqs, mut missing, mut body) = (Vec::new(), 0, Vec::new());
    for path in paths {
        let mut reader = RecordingReader::open(File::open(path).unwrap(), 0, u64::MAX).unwrap();
        while let Found::Block(_) = reader.next_block(&mut body).unwrap() {
            for entry in RecordEntries::new(&body) {
                match entry.unwrap() {
                    RecordEntry::Message(record) => seqs.push(record.seq),
                    RecordEntry::Gap(gap) => missing += gap.count,
                }
            }
        }
    }
    (seqs, missing)
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn all_that_was_pushed_before_the_stop_is_in_the_files() {
    let settings = settings("all");
    let directory = settings.files.directory.clone();
    let budget = Arc::new(Budget::new(1 << 30));
    let (recorder, thread) = start(RecorderSettings { queue_bytes: 1 << 30, ..settings }).unwrap();
    let mut wake = Vec::new();
    for seq in 1..=5_000 {
        recorder.push(&message(seq, &budget), HERE, &mut wake);
        wake.drain(..).for_each(|waker| waker.wake().unwrap());
    }
    recorder.stop();
    thread.join().unwrap();
    assert_eq!(read(&directory), ((1..=5_000).collect(), 0));
    assert!(recorder.counts.is_ended());
    assert_eq!(recorder.counts.messages.load(Relaxed), 5_000);
    // 5 MB in files of 1 MiB.
    assert!(recorder.counts.files.load(Relaxed) >= 5);
    assert_eq!(budget.used(), 0);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_message_is_written_soon_after_it_was_pushed() {
    let settings = settings("soon");
    let directory = settings.files.directory.clone();
    let (recorder, thread) = start(settings).unwrap();
    let budget = Arc::new(Budget::new(1 << 30));
    for seq in 1..=3 {
        let mut wake = Vec::new();
        recorder.push(&message(seq, &budget), HERE, &mut wake);
        wake.drain(..).for_each(|waker| waker.wake().unwrap());
        wait("it is written", || read(&directory).0.len() as u64 == seq);
    }
    recorder.stop();
    thread.join().unwrap();
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_full_queue_leaves_out_and_the_file_says_so() {
    let settings = settings("full");
    let directory = settings.files.directory.clone();
    let budget = Arc::new(Budget::new(1 << 30));
    let (recorder, thread) = start(RecorderSettings { queue_bytes: 4_000, ..settings }).unwrap();
    // No waking: the thread sleeps while the queue becomes full, or takes some of it.
    let mut wake = Vec::new();
    for seq in 1..=1_000 {
        recorder.push(&message(seq, &budget), HERE, &mut wake);
    }
    recorder.stop();
    thread.join().unwrap();
    let (seqs, missing) = read(&directory);
    assert!(seqs.len() >= 3 && missing > 0);
    assert_eq!(seqs.len() as u64 + missing, 1_000);
    assert_eq!(recorder.counts.left_out.load(Relaxed), missing);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_disk_that_refuses_is_told_and_tried_again_and_nothing_is_lost() {
    let settings = settings("refuses");
    let directory = settings.files.directory.clone();
    let (recorder, thread) =
        start(RecorderSettings { files: FileSettings { rotate_bytes: 1, ..settings.files.clone() }, ..settings })
            .unwrap();
    let budget = Arc::new(Budget::new(1 << 30));
    let push = |seq| {
        let mut wake = Vec::new();
        recorder.push(&message(seq, &budget), HERE, &mut wake);
        wake.drain(..).for_each(|waker| waker.wake().unwrap());
    };
    push(1);
    wait("the first is written", || read(&directory).0 == [1]);
    // The next file cannot be made: there is no directory.
    let aside = directory.with_extension("aside");
    fs::rename(&directory, &aside).unwrap();
    push(2);
    wait("it is told", || recorder.counts.place().failure.is_some());
    assert!(recorder.counts.errors.load(Relaxed) > 0);
    push(3);
    fs::rename(&aside, &directory).unwrap();
    wait("all is written", || read(&directory).0 == [1, 2, 3]);
    wait("it is told", || recorder.counts.place().failure.is_none());
    recorder.stop();
    thread.join().unwrap();
    assert_eq!(recorder.counts.left_out.load(Relaxed), 0);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn all_that_a_disk_refuses_at_the_end_is_counted_as_left_out() {
    let settings = settings("end");
    let directory = settings.files.directory.clone();
    let (recorder, thread) =
        start(RecorderSettings { files: FileSettings { rotate_bytes: 1, ..settings.files.clone() }, ..settings })
            .unwrap();
    let budget = Arc::new(Budget::new(1 << 30));
    let push = |seq| {
        let mut wake = Vec::new();
        recorder.push(&message(seq, &budget), HERE, &mut wake);
        wake.drain(..).for_each(|waker| waker.wake().unwrap());
    };
    push(1);
    wait("the first is written", || read(&directory).0 == [1]);
    let aside = directory.with_extension("aside");
    fs::rename(&directory, &aside).unwrap();
    push(2);
    wait("it is refused", || recorder.counts.errors.load(Relaxed) > 0);
    // These wait in the queue.
    push(3);
    push(4);
    recorder.stop();
    thread.join().unwrap();
    assert_eq!((read(&aside).0, recorder.counts.left_out.load(Relaxed)), (vec![1], 3));
    assert_eq!(budget.used(), 0);
    fs::remove_dir_all(aside).unwrap();
}
