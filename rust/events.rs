//! The way back to the host's loop: events in batches, announced by one descriptor that the loop watches.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use crate::arrivals::{Arrivals, Credit};
use crate::command::Event;
use crate::slots::ConnId;

/// What waits for the host. Each connection has at most a few events, and messages within its credit, so it is bounded by
/// the number of connections.
#[derive(Debug)]
pub struct Events {
    inner: Mutex<Inner>,
    bell: Bell,
    /// How often the host has asked, times two; odd while there is something for it.
    asked: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    arrivals: Arrivals,
    is_ringing: bool,
}

impl Events {
    /// No events.
    pub fn new(credit: Credit) -> io::Result<Self> {
        let inner = Inner { arrivals: Arrivals::new(credit), is_ringing: false };
        Ok(Self { inner: Mutex::new(inner), bell: Bell::new()?, asked: AtomicU64::new(0) })
    }

    /// The descriptor that is readable until [`Self::take`] has returned nothing.
    pub fn fd(&self) -> RawFd {
        self.bell.fd()
    }

    /// Adds events. Connections that may have no more messages on their way are added to `full`, until
    /// [`Self::take`] names them.
    pub fn extend(&self, events: impl IntoIterator<Item = Event>, full: &mut Vec<ConnId>) {
        let mut inner = self.lock();
        for event in events {
            inner.arrivals.push(event, full);
        }
        if !inner.is_ringing && !inner.arrivals.is_empty() {
            inner.is_ringing = true;
            self.asked.fetch_or(1, Relaxed);
            self.bell.ring();
        }
    }

    /// Takes what waits, see [`Arrivals::take`]. When that is nothing the bell is silent.
    pub fn take(&self, most: usize, held: usize, again: &mut Vec<ConnId>) -> Vec<Event> {
        let mut inner = self.lock();
        self.asked.fetch_add(2, Relaxed);
        let taken = inner.arrivals.take(most, held, again);
        if inner.is_ringing && inner.arrivals.is_empty() {
            inner.is_ringing = false;
            self.asked.fetch_and(!1, Relaxed);
            self.bell.silence();
        }
        taken
    }

    /// How often the host has called [`Self::take`]: it is busy with other things as long as that stays the same. None
    /// where it has handled all that there was.
    pub fn asked(&self) -> Option<u64> {
        let asked = self.asked.load(Relaxed);
        (asked % 2 == 1).then_some(asked / 2)
    }

    /// Bytes of messages that are on their way.
    pub fn bytes(&self) -> usize {
        self.lock().arrivals.bytes()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under this lock, so a poisoned one is as good as any.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
    use crate::inbound::{Payload, Received};

    fn closed(number: u64) -> Event {
        Event::Closed { conn: ConnId::from_u64(number), cause: Cause::Reset }
    }

    fn is_readable(events: &Events) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&events.bell.reader, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
    }

    #[test]
    fn readable_until_the_host_has_found_nothing() {
        let events = Events::new(Credit { messages: 1, bytes: 1, total: 1 }).unwrap();
        let (mut full, mut again) = (Vec::new(), Vec::new());
        assert!(!is_readable(&events));
        events.extend([], &mut full);
        assert!(!is_readable(&events));
        events.extend([closed(1), closed(2)], &mut full);
        events.extend([closed(3)], &mut full);
        assert!(is_readable(&events));
        assert_eq!(events.take(9, 0, &mut again), [closed(1), closed(2), closed(3)]);
        assert!(!is_readable(&events));
        let received = Received { payload: Payload::Binary(Box::default()), over: None };
        let conn = ConnId::from_u64(1);
        events.extend([Event::Messages { conn, of: conn, size: 0, messages: vec![received] }], &mut full);
        assert_eq!(events.take(9, 0, &mut again).len(), 1);
        // The messages may not be handled yet.
        assert!(is_readable(&events));
        assert_eq!(events.asked(), Some(2));
        assert_eq!((events.take(9, 0, &mut again), again, full), (vec![], vec![conn], vec![conn]));
        assert!(!is_readable(&events));
        assert_eq!(events.asked(), None);
    }
}
