//! The files of a recording: the one that is written, those that are full, and the limit on all of them together. They
//! are known by their names, `NAME-NANOSECONDS.fanwire`; no other file is touched.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::recording::block::{FILE_MAGIC, header_block};

/// Where a recording is written, and how.
#[derive(Debug, Clone)]
pub struct FileSettings {
    /// The directory; it is created if it does not exist.
    pub directory: PathBuf,
    /// The first part of the names of files.
    pub name: String,
    /// The bytes after which a new file begins.
    pub rotate_bytes: u64,
    /// The nanoseconds after which a new file begins.
    pub rotate_ns: u64,
    /// The bytes of all files together; the oldest are deleted. 0: there is no limit.
    pub keep_bytes: u64,
    /// When the system is asked to store what was written.
    pub sync: Sync,
    /// Further members of the header, each after a comma.
    pub about: String,
}

/// When the system is asked to store what was written, so that a crash of the whole machine does not lose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Never: when the system wants to.
    Never,
    /// When a file is full or the recording ends.
    Close,
    /// After each write.
    Write,
}

/// The files of one recording.
#[derive(Debug)]
pub struct RecordingFiles {
    settings: FileSettings,
    /// Holds the lock on the name, until it is dropped.
    _lock: File,
    file: File,
    path: PathBuf,
    len: u64,
    /// Whether anything follows the header.
    has_blocks: bool,
    began_ns: u64,
    /// Full files, oldest first: path and bytes.
    full: Vec<(PathBuf, u64)>,
    /// What no successful write has told yet.
    rotated: Rotated,
}

/// What a write has changed besides.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// Whether a new file has begun.
    pub is_new: bool,
    /// How many old files were deleted.
    pub deleted: u64,
    /// Bytes of the header of a new file.
    pub header: u64,
}

impl RecordingFiles {
    /// Begins the first file. Fails if the directory cannot be used, or another recording uses the name.
    pub fn open(settings: FileSettings, now_ns: u64, clock_ns: i64) -> io::Result<(Self, Rotated)> {
        fs::create_dir_all(&settings.directory)?;
        let lock = settings.directory.join(format!("{}.lock", settings.name));
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(MODE).open(lock)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            let text = format!("another recording writes files named {:?} in this directory", settings.name);
            if error == rustix::io::Errno::WOULDBLOCK { io::Error::other(text) } else { error.into() }
        })?;
        let mut full = Vec::new();
        for entry in fs::read_dir(&settings.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_file()
                && let Some(began_ns) = began_of(&name.to_string_lossy(), &settings.name)
            {
                full.push((began_ns, entry.path(), entry.metadata()?.len()));
            }
        }
        full.sort_unstable();
        let full = full.into_iter().map(|(_, path, len)| (path, len)).collect();
        let (file, path, len) = begin(&settings, now_ns, clock_ns)?;
        let has_blocks = false;
        let rotated = Rotated::default();
        let mut files = Self { settings, _lock: lock, file, path, len, has_blocks, began_ns: now_ns, full, rotated };
        let rotated = Rotated { is_new: true, deleted: files.trim(), header: len };
        Ok((files, rotated))
    }

    /// Writes a block, to a new file if the present one is full. After an error the same block may be written again, and
    /// then replaces what was written in part. What a new file has changed is told once something is written to it.
    pub fn write(&mut self, block: &[u8], now_ns: u64, clock_ns: i64) -> io::Result<Rotated> {
        let is_full = self.len.saturating_add(block.len() as u64) > self.settings.rotate_bytes;
        let is_old = now_ns.saturating_sub(self.began_ns) >= self.settings.rotate_ns;
        if self.has_blocks && (is_full || is_old) {
            // The name of the next file is later, even if the clock was set back.
            let now_ns = now_ns.max(self.began_ns + 1);
            // Before the next one is there: if this fails, each further attempt would leave an empty file.
            self.close()?;
            let (file, path, len) = begin(&self.settings, now_ns, clock_ns)?;
            self.full.push((std::mem::replace(&mut self.path, path), self.len));
            (self.file, self.len, self.has_blocks, self.began_ns) = (file, len, false, now_ns);
            self.rotated = Rotated { is_new: true, deleted: self.trim(), header: len };
        }
        self.file.write_all_at(block, self.len)?;
        if self.settings.sync == Sync::Write {
            self.file.sync_data()?;
        }
        self.len += block.len() as u64;
        self.has_blocks = true;
        Ok(std::mem::take(&mut self.rotated))
    }

    /// Ends the last file.
    pub fn close(&mut self) -> io::Result<()> {
        // What a failed write has left behind it.
        self.file.set_len(self.len)?;
        if self.settings.sync == Sync::Never { Ok(()) } else { self.file.sync_all() }
    }

    /// Returns the path of the file that is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes the oldest files, so that the present one can become full. Returns how many were deleted.
    fn trim(&mut self) -> u64 {
        let keep = match self.settings.keep_bytes {
            0 => return 0,
            bytes => bytes.saturating_sub(self.settings.rotate_bytes),
        };
        let mut sum: u64 = self.full.iter().map(|(_, len)| len).sum();
        let mut deleted = 0;
        let mut is_over = |(path, len): &(PathBuf, u64)| {
            let is_over = sum > keep;
            if is_over {
                sum -= len;
                // A file that somebody has deleted or protected counts no more.
                deleted += u64::from(fs::remove_file(path).is_ok());
            }
            is_over
        };
        let over = self.full.iter().take_while(|file| is_over(file)).count();
        self.full.drain(..over);
        deleted
    }
}

/// Begins a file. It gets its name when it has its header, so whoever finds it can read it.
fn begin(settings: &FileSettings, now_ns: u64, clock_ns: i64) -> io::Result<(File, PathBuf, u64)> {
    let path = settings.directory.join(format!("{}-{now_ns:019}.{EXTENSION}", settings.name));
    if path.try_exists()? {
        // Nobody else takes the name meanwhile: there is a lock on it.
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // One name for all of them, so that a crash leaves at most one behind.
    let unnamed = settings.directory.join(format!("{}.new", settings.name));
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&unnamed)?;
    let document = format!(r#"{{"format":"fanwire-recording","version":1,"began_ns":{now_ns}{}}}"#, settings.about);
    let header = [&FILE_MAGIC[..], &header_block(document.as_bytes(), now_ns, clock_ns)].concat();
    if let Err(error) = file.write_all_at(&header, 0).and_then(|()| fs::rename(&unnamed, &path)) {
        let _ = fs::remove_file(&unnamed);
        return Err(error);
    }
    Ok((file, path, header.len() as u64))
}

/// Returns when a file of the recording `name` began; none if it is another file.
fn began_of(file: &str, name: &str) -> Option<u64> {
    let digits = file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    let is_number = (19..=20).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// The last part of the names of files.
pub const EXTENSION: &str = "fanwire";

/// The permissions of files: what was published may be secret, so others cannot read it.
const MODE: u32 = 0o640;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
