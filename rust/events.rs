//! The way back to the host's loop: events in batches, announced by one descriptor that the loop watches.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard};

use crate::command::Event;

/// Events that wait for the host. Each connection has at most a few, so their number is bounded by that of
/// the connections.
#[derive(Debug)]
pub struct Events {
    waiting: Mutex<Vec<Event>>,
    bell: Bell,
}

impl Events {
    /// No events.
    pub fn new() -> io::Result<Self> {
        Ok(Self { waiting: Mutex::new(Vec::new()), bell: Bell::new()? })
    }

    /// The descriptor that becomes readable when there are events.
    pub fn fd(&self) -> RawFd {
        self.bell.fd()
    }

    /// Adds events and rings once per batch that the host takes.
    pub fn extend(&self, events: impl IntoIterator<Item = Event>) {
        let mut waiting = self.lock();
        let was_empty = waiting.is_empty();
        waiting.extend(events);
        if was_empty && !waiting.is_empty() {
            self.bell.ring();
        }
    }

    /// Takes all events and silences the bell.
    pub fn take(&self) -> Vec<Event> {
        let mut waiting = self.lock();
        if !waiting.is_empty() {
            self.bell.silence();
        }
        mem::take(&mut waiting)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        // No code that can panic runs under this lock, so a poisoned one is as good as any.
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// An eventfd; a pipe where there is none.
#[derive(Debug)]
pub struct Bell {
    reader: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    writer: OwnedFd,
}

impl Bell {
    /// A silent one.
    #[cfg(target_os = "linux")]
    pub fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Self { reader: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// A silent one.
    #[cfg(not(target_os = "linux"))]
    pub fn new() -> io::Result<Self> {
        // Never more than one ring waits, so neither end can block.
        let (reader, writer) = io::pipe()?;
        Ok(Self { reader: reader.into(), writer: writer.into() })
    }

    /// The descriptor that is readable from a ring on.
    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Fails only if the descriptor is broken, and then nobody could be told. Not twice without [`Self::silence`] between.
    pub fn ring(&self) {
        #[cfg(target_os = "linux")]
        let writer = &self.reader;
        #[cfg(not(target_os = "linux"))]
        let writer = &self.writer;
        let _ = write(writer, &1u64.to_ne_bytes());
    }

    /// Makes it readable no longer.
    pub fn silence(&self) {
        let _ = read(&self.reader, &mut [0; 8]);
    }
}

fn write(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, bytes)?)
}

fn read(fd: impl AsFd, bytes: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Cause;
    use crate::slots::ConnId;

    fn closed(number: u64) -> Event {
        Event::Closed { conn: ConnId::from_u64(number), cause: Cause::Reset }
    }

    fn is_readable(events: &Events) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&events.bell.reader, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
    }

    #[test]
    fn readable_while_events_wait() {
        let events = Events::new().unwrap();
        assert!(!is_readable(&events));
        events.extend([]);
        assert!(!is_readable(&events));
        events.extend([closed(1), closed(2)]);
        events.extend([closed(3)]);
        assert!(is_readable(&events));
        assert_eq!(events.take(), [closed(1), closed(2), closed(3)]);
        assert!(!is_readable(&events));
        assert_eq!(events.take(), []);
        events.extend([closed(4)]);
        assert!(is_readable(&events));
    }
}
