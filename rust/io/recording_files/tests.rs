use std::env::temp_dir;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// An empty directory that is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = temp_dir().join(format!("fanwire-files-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed)));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn settings(&self) -> FileSettings {
        FileSettings {
            directory: self.0.clone(),
            name: "r".into(),
            rotate_bytes: 1_000,
            rotate_ns: 1_000_000,
            keep_bytes: 0,
            sync: Sync::Close,
            about: r#","more":1"#.into(),
        }
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const BEGAN: u64 = 1_700_000_000_000_000_000;

#[test]
fn a_new_file_begins_when_one_is_full_or_old() {
    let directory = Directory::new();
    let (mut files, first) = RecordingFiles::open(directory.settings(), BEGAN, 0).unwrap();
    assert!(first.is_new && first.header > 0);
    let is_new = |rotated: io::Result<Rotated>| rotated.unwrap().is_new;
    assert!(!is_new(files.write(&[1; 600], BEGAN + 1, 0)));
    assert!(is_new(files.write(&[2; 600], BEGAN + 2, 0)));
    assert!(!is_new(files.write(&[3; 10], BEGAN + 3, 0)));
    assert!(is_new(files.write(&[4; 10], BEGAN + 2 + 1_000_000, 0)));
    // A block that is larger than a file has a file of its own, even if the clock was set back.
    assert!(is_new(files.write(&[5; 5_000], BEGAN, 0)));
    assert!(is_new(files.write(&[6; 1], BEGAN, 0)));
    files.close().unwrap();
    assert_eq!(directory.names().len(), 6);
    let sizes: Vec<_> =
        directory.names()[..5].iter().map(|name| fs::metadata(directory.0.join(name)).unwrap().len()).collect();
    assert_eq!(sizes, [600, 610, 10, 5_000, 1].map(|len| len + first.header));
}

#[test]
fn the_oldest_files_of_the_same_name_are_deleted_and_no_others() {
    let directory = Directory::new();
    let others =
        ["r-1.fanwire", "s-1700000000000000000.fanwire", "r-1700000000000000000.txt", "rr-1700000000000000000.fanwire"];
    for other in others {
        fs::write(directory.0.join(other), [0; 5_000]).unwrap();
    }
    fs::write(directory.0.join("r-1600000000000000000.fanwire"), [0; 900]).unwrap();
    let settings = FileSettings { keep_bytes: 3_000, ..directory.settings() };
    let (mut files, first) = RecordingFiles::open(settings, BEGAN, 0).unwrap();
    assert_eq!(first.deleted, 0);
    let deleted: u64 = (1..10).map(|n| files.write(&[1; 800], BEGAN + n, 0).unwrap().deleted).sum();
    assert_eq!(deleted, 7);
    let mut names = directory.names();
    names.retain(|name| !others.contains(&name.as_str()));
    assert_eq!(names.len(), 4, "{names:?}");
    let sum: u64 = names.iter().map(|name| fs::metadata(directory.0.join(name)).unwrap().len()).sum();
    assert!(sum <= 3_000, "{sum}");
}

#[test]
fn a_name_has_one_recording_at_a_time() {
    let directory = Directory::new();
    let (files, _) = RecordingFiles::open(directory.settings(), BEGAN, 0).unwrap();
    let error = RecordingFiles::open(directory.settings(), BEGAN + 1, 0).unwrap_err();
    assert!(error.to_string().contains("another recording"), "{error}");
    let other = FileSettings { name: "q".into(), ..directory.settings() };
    RecordingFiles::open(other, BEGAN, 0).unwrap();
    drop(files);
    RecordingFiles::open(directory.settings(), BEGAN + 1, 0).unwrap();
}

#[test]
fn a_file_has_its_header_before_its_name() {
    let directory = Directory::new();
    // The file before its name cannot be made, so there is none with a name, either.
    let unnamed = directory.0.join("r.new");
    fs::create_dir(&unnamed).unwrap();
    assert!(RecordingFiles::open(directory.settings(), BEGAN, 0).is_err());
    assert_eq!(directory.names(), ["r.lock", "r.new"]);
    fs::remove_dir(&unnamed).unwrap();
    // What a crash has left is replaced.
    fs::write(&unnamed, [1; 5_000]).unwrap();
    let (mut files, first) = RecordingFiles::open(directory.settings(), BEGAN, 0).unwrap();
    assert_eq!(fs::metadata(files.path()).unwrap().len(), first.header);
    files.write(&[1; 800], BEGAN + 1, 0).unwrap();
    files.write(&[2; 800], BEGAN + 2, 0).unwrap();
    let name = |end: u64| format!("r-{}.fanwire", BEGAN + end);
    assert_eq!(directory.names(), [name(0), name(2), "r.lock".into()]);
}

#[test]
fn a_file_that_is_there_is_not_replaced() {
    let directory = Directory::new();
    let there = directory.0.join(format!("r-{BEGAN}.fanwire"));
    fs::write(&there, "there").unwrap();
    let error = RecordingFiles::open(directory.settings(), BEGAN, 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&there).unwrap(), b"there");
}

#[test]
fn a_new_file_is_told_even_if_the_first_write_to_it_fails() {
    let directory = Directory::new();
    let settings = FileSettings { keep_bytes: 1_500, sync: Sync::Write, ..directory.settings() };
    let (mut files, first) = RecordingFiles::open(settings, BEGAN, 0).unwrap();
    files.write(&[1; 800], BEGAN + 1, 0).unwrap();
    // The next file is one that cannot be synchronized.
    std::os::unix::fs::symlink("/dev/null", directory.0.join("r.new")).unwrap();
    assert!(files.write(&[2; 800], BEGAN + 2, 0).is_err());
    assert!(files.path().ends_with(format!("r-{}.fanwire", BEGAN + 2)));
    files.settings.sync = Sync::Never;
    let rotated = files.write(&[2; 800], BEGAN + 3, 0).unwrap();
    assert_eq!(rotated, Rotated { is_new: true, deleted: 1, header: first.header });
    assert_eq!(files.write(&[3; 8], BEGAN + 4, 0).unwrap(), Rotated::default(), "it is told once");
}
