//! A link for the tests of the shard.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use crate::outbox::Sink;
use crate::shard::Link;
use crate::shard::tcp_info::TcpInfo;
use crate::slots::ConnId;

/// A link that records what it is told, and takes as many bytes as it has space for.
#[derive(Debug, Clone)]
pub(super) struct Fake(pub(super) Rc<RefCell<Record>>);

#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) room: usize,
    pub(super) taken: Vec<u8>,
    pub(super) calls: Vec<&'static str>,
    pub(super) is_reset: bool,
    /// The bytes to read, and whether the end follows them.
    pub(super) given: Vec<u8>,
    pub(super) is_ended: bool,
    /// Whether it is a bare socket, so that dropping it ends it well. Otherwise it has a last word of its own, as TLS has.
    pub(super) is_socket: bool,
    /// What it has taken and holds, until [`Fake::let_out`] if `holds`.
    pub(super) unsent: usize,
    pub(super) holds: bool,
    /// Whether it has more to read than the poll announces.
    pub(super) has_more: bool,
    /// Whether it is a link of polls: it takes one write for each poll.
    pub(super) is_polled: bool,
    /// The answer to the request that has opened it.
    pub(super) answer: Vec<u8>,
    /// The sizes of writes, of a link of polls.
    pub(super) writes: Vec<usize>,
    pub(super) info: Option<TcpInfo>,
}

impl Sink for Fake {
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut record = self.0.borrow_mut();
        if record.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        assert!(!record.calls.contains(&"finish") && !record.calls.contains(&"abort"), "written to after its end");
        if record.room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let before = record.taken.len();
        for buf in bufs {
            let take = buf.len().min(record.room);
            record.taken.extend_from_slice(&buf[..take]);
            record.room -= take;
        }
        let written = record.taken.len() - before;
        record.unsent += if record.holds { written } else { 0 };
        if record.is_polled {
            record.room = 0;
            record.writes.push(written);
        }
        Ok(written)
    }
}

impl Link for Fake {
    fn watch(&mut self, _: ConnId) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut record = self.0.borrow_mut();
        let read = into.len().min(record.given.len());
        match read {
            0 if record.is_ended => Ok(0),
            0 if record.is_reset => Err(ErrorKind::ConnectionReset.into()),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => {
                into[..read].copy_from_slice(&record.given[..read]);
                record.given.drain(..read);
                Ok(read)
            }
        }
    }

    fn has_more(&self) -> bool {
        self.0.borrow().has_more
    }

    fn flush(&mut self) -> io::Result<bool> {
        let record = self.0.borrow();
        if record.is_reset { Err(ErrorKind::ConnectionReset.into()) } else { Ok(record.unsent == 0) }
    }

    fn has_unsent(&self) -> bool {
        self.0.borrow().unsent > 0
    }

    fn ends_when_dropped(&self) -> bool {
        let record = self.0.borrow();
        record.is_socket || (record.calls.contains(&"finish") && record.unsent == 0)
    }

    fn finish(&mut self) {
        self.0.borrow_mut().calls.push("finish");
    }

    fn abort(&mut self) {
        self.0.borrow_mut().calls.push("abort");
    }

    fn poll(&mut self) -> bool {
        let mut record = self.0.borrow_mut();
        if record.is_polled {
            record.room = usize::MAX;
        }
        record.is_polled
    }

    fn answer(&mut self, response: &[u8]) {
        let mut record = self.0.borrow_mut();
        assert!(record.answer.is_empty(), "answered twice");
        record.answer = response.into();
    }

    fn grant(&mut self) {
        let mut record = self.0.borrow_mut();
        if record.is_polled {
            record.room = usize::MAX;
        }
        record.calls.push("grant");
    }

    fn tcp_info(&self) -> Option<TcpInfo> {
        self.0.borrow().info
    }
}

impl Fake {
    /// A link that takes `room` bytes.
    pub(super) fn new(room: usize) -> Self {
        Self(Rc::new(RefCell::new(Record { room, ..Record::default() })))
    }

    pub(super) fn calls(&self) -> Vec<&'static str> {
        self.0.borrow().calls.clone()
    }

    /// Lets it send what it holds.
    pub(super) fn let_out(&self) {
        self.0.borrow_mut().unsent = 0;
    }

    pub(super) fn give(&self, bytes: usize) {
        self.0.borrow_mut().room = bytes;
    }

    pub(super) fn socket(room: usize) -> Self {
        let link = Self::new(room);
        link.0.borrow_mut().is_socket = true;
        link
    }

    /// A link of polls.
    pub(super) fn polled() -> Self {
        let link = Self::socket(0);
        link.0.borrow_mut().is_polled = true;
        link
    }

    /// Takes the text that was written since the last call.
    pub(super) fn text(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.borrow_mut().taken)).unwrap()
    }

    pub(super) fn reset(&self) {
        self.0.borrow_mut().is_reset = true;
    }

    /// The opcode and payload of the frames taken so far.
    pub(super) fn frames(&self) -> Vec<(u8, Vec<u8>)> {
        let record = self.0.borrow();
        let mut bytes = &record.taken[..];
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let (header, len) = match bytes[1] {
                126 => (4, u16::from_be_bytes(bytes[2..4].try_into().unwrap()) as usize),
                len => (2, len as usize),
            };
            frames.push((bytes[0] & 0xF, bytes[header..header + len].to_vec()));
            bytes = &bytes[header + len..];
        }
        frames
    }

    /// The numbers of the messages taken so far.
    pub(super) fn seqs(&self) -> Vec<u64> {
        let number = |payload: Vec<u8>| u64::from_be_bytes(payload[..8].try_into().unwrap());
        self.frames().into_iter().filter(|frame| frame.0 == 2).map(|frame| number(frame.1)).collect()
    }
}
