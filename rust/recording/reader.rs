//! Reads a file of a recording: block after block, passing over those outside of a time. A file that a crash has cut is
//! readable up to its last whole block; damaged bytes in the middle are told, and reading goes on behind them. Pure: the
//! bytes come from a [`RecordingSource`].

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use crate::recording::block::{BlockKind, FILE_MAGIC, HEAD_LEN, Head, MAGIC};

/// The bytes of a file, which may still grow.
pub trait RecordingSource {
    /// Reads bytes from an offset on; fewer at the end.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Returns how many bytes there are now.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are none.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Reads the blocks of a file.
#[derive(Debug)]
pub struct RecordingReader<S> {
    source: S,
    offset: u64,
    header: Vec<u8>,
    /// Blocks with nothing from this time on, or nothing before the other, are passed over.
    since_ns: u64,
    until_ns: u64,
}

/// What [`RecordingReader::next_block`] has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A block of entries, in the buffer.
    Block(Head),
    /// Bytes that are damaged, and how many messages they contained if that is known.
    Damaged {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        bytes: u64,
        /// The messages in them; 0: not known.
        records: u64,
        /// The time of the first; 0: not known.
        first_ns: u64,
        /// The time of the last; 0: not known.
        last_ns: u64,
    },
    /// The end, for now: the file may still be written. `torn` bytes at the end are no whole block.
    End {
        /// See above.
        torn: u64,
    },
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is something else.
    #[error("this is no recording: it does not begin with FANWREC1 and a header")]
    NotARecording,
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<S: RecordingSource> RecordingReader<S> {
    /// Reads the header of a file.
    pub fn open(source: S, since_ns: u64, until_ns: u64) -> Result<Self, ReadError> {
        let mut magic = [0; FILE_MAGIC.len()];
        if fill(&source, &mut magic, 0)? < magic.len() || magic != FILE_MAGIC {
            return Err(ReadError::NotARecording);
        }
        let mut reader = Self { source, offset: magic.len() as u64, header: Vec::new(), since_ns, until_ns };
        let mut header = Vec::new();
        match reader.head()? {
            Some(head) if head.kind == BlockKind::Header && reader.body(head, &mut header)? => {
                reader.offset += HEAD_LEN as u64 + u64::from(head.len);
            }
            _ => return Err(ReadError::NotARecording),
        }
        reader.header = header;
        Ok(reader)
    }

    /// Returns the JSON document of the header.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Returns where the next block begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next block of entries into `body`.
    pub fn next_block(&mut self, body: &mut Vec<u8>) -> io::Result<Found> {
        loop {
            let left = self.source.len()?.saturating_sub(self.offset);
            let Some(head) = self.head()? else { return self.behind(left) };
            let size = HEAD_LEN as u64 + u64::from(head.len);
            if size > left {
                return Ok(Found::End { torn: left });
            }
            let is_wanted =
                head.kind == BlockKind::Entries && head.last_ns >= self.since_ns && head.first_ns < self.until_ns;
            if is_wanted {
                let is_right = self.body(head, body)?;
                let offset = self.offset;
                if !is_right && self.is_last(size)? {
                    // The system has stored the head of the last block, and not all of its body.
                    return Ok(Found::End { torn: left });
                }
                self.offset += size;
                let Head { records, first_ns, last_ns, .. } = head;
                return Ok(if is_right {
                    Found::Block(head)
                } else {
                    Found::Damaged { offset, bytes: size, records: records.into(), first_ns, last_ns }
                });
            }
            self.offset += size;
        }
    }

    /// Reads the head of the next block, and passes over its body: what a file contains is found out by its heads. Does not
    /// find blocks behind damaged bytes. None at the end.
    pub fn skim(&mut self) -> io::Result<Option<Head>> {
        let left = self.source.len()?.saturating_sub(self.offset);
        let Some(head) = self.head()? else { return Ok(None) };
        let size = HEAD_LEN as u64 + u64::from(head.len);
        if size > left {
            return Ok(None);
        }
        self.offset += size;
        Ok(Some(head))
    }

    /// Reads the head of the next block; none if there is none.
    fn head(&self) -> io::Result<Option<Head>> {
        let mut bytes = [0; HEAD_LEN];
        let is_whole = fill(&self.source, &mut bytes, self.offset)? == HEAD_LEN;
        Ok(if is_whole { Head::parse(&bytes) } else { None })
    }

    /// Reads the body of the next block. Returns whether its checksum is right.
    fn body(&self, head: Head, body: &mut Vec<u8>) -> io::Result<bool> {
        body.clear();
        let start = self.offset + HEAD_LEN as u64;
        // The length is only as good as a checksum: no more memory than there are bytes.
        if self.source.len()?.saturating_sub(start) < head.len.into() {
            return Ok(false);
        }
        body.resize(head.len as usize, 0);
        let read = fill(&self.source, body, start)?;
        Ok(read == body.len() && crc32fast::hash(body) == head.crc)
    }

    /// Whether the block of `size` bytes at the offset is the last whole one.
    fn is_last(&self, size: u64) -> io::Result<bool> {
        let mut bytes = [0; HEAD_LEN];
        let next = self.offset + size;
        Ok(fill(&self.source, &mut bytes, next)? < HEAD_LEN || Head::parse(&bytes).is_none())
    }

    /// Goes to the next block behind `left` bytes or fewer that are none.
    fn behind(&mut self, left: u64) -> io::Result<Found> {
        let (offset, end) = (self.offset, self.offset + left);
        let mut chunk = vec![0; CHUNK];
        let mut at = offset + 1;
        while at + (HEAD_LEN as u64) <= end {
            let read = fill(&self.source, &mut chunk, at)?;
            for place in memchr::memmem::find_iter(&chunk[..read], &MAGIC) {
                let found = at + place as u64;
                let mut head = [0; HEAD_LEN];
                if fill(&self.source, &mut head, found)? == HEAD_LEN && Head::parse(&head).is_some() {
                    self.offset = found;
                    let bytes = found - offset;
                    return Ok(Found::Damaged { offset, bytes, records: 0, first_ns: 0, last_ns: 0 });
                }
            }
            // The last bytes may be the beginning of a head.
            at += read.saturating_sub(MAGIC.len() - 1).max(1) as u64;
        }
        Ok(Found::End { torn: left })
    }
}

impl RecordingSource for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl RecordingSource for &[u8] {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn len(&self) -> io::Result<u64> {
        Ok((**self).len() as u64)
    }
}

/// Reads as many bytes as there are.
fn fill(source: &impl RecordingSource, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut count = 0;
    while count < bytes.len() {
        match source.read_at(&mut bytes[count..], offset + count as u64) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Bytes that are looked through at once for the next block.
const CHUNK: usize = 64 << 10;
