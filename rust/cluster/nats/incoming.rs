//! The events of a NATS connection that wait for the host.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use bytes::Bytes;

use super::OVERHEAD;
use crate::queues::wakeup::Wakeup;

/// An event of a NATS connection.
#[derive(Debug, PartialEq, Eq)]
pub enum NatsEvent {
    /// It is connected and all subscriptions are active.
    Up,
    /// It is disconnected; no messages come until [`Self::Up`].
    Down,
    /// It has ended, or never began; the text says why.
    Ended(String),
    /// NATS or the client reported an error.
    Complained(String),
    /// Everything sent before [`NatsConnection::sync`](super::NatsConnection::sync) has arrived.
    Synced(u64),
    /// The answer to [`NatsConnection::ask`](super::NatsConnection::ask), or why there is none.
    Answered(u64, Result<Vec<Reply>, String>),
    /// A message: the id of its subscription, and its payload.
    Heard(u64, Bytes),
    /// A message of a log: the id of its subscription, its number, the number of the room's message before it, and its
    /// payload.
    Stored(u64, u64, u64, Bytes),
    /// A room has missed some messages: the id of its subscription, how many, and the fault if there was one.
    Missed(u64, u64, Option<String>),
    /// Messages of a subscription were dropped because too many waited for the host.
    Lost(u64),
    /// Messages were dropped, and it is not known of which subscription.
    LostSome,
}

/// An answer of NATS.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status; 0 if it has none, which means success.
    pub status: u16,
    /// The headers, with the first value of each name.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub payload: Bytes,
}

/// A bounded queue of events, with a descriptor that is readable while there are some.
#[derive(Debug)]
pub struct Incoming {
    inner: Mutex<IncomingInner>,
    wakeup: Wakeup,
}

#[derive(Debug, Default)]
struct IncomingInner {
    events: VecDeque<NatsEvent>,
    bytes: usize,
    /// Summaries, so that a flood of losses takes no space: [`NatsEvent::Missed`] and [`NatsEvent::Lost`] by
    /// subscription.
    missed: BTreeMap<u64, (u64, Option<String>)>,
    lost: BTreeSet<u64>,
    has_lost_some: bool,
}

impl Incoming {
    /// Creates an empty queue.
    pub fn new() -> io::Result<Self> {
        Ok(Self { inner: Mutex::default(), wakeup: Wakeup::new()? })
    }

    /// Returns the descriptor.
    pub fn fd(&self) -> RawFd {
        self.wakeup.fd()
    }

    /// Adds an event. If more than `max_bytes` would wait, a message is dropped and reported as [`NatsEvent::Lost`].
    pub fn tell(&self, event: NatsEvent, max_bytes: usize) {
        let mut inner = self.lock();
        let was_empty = inner.is_empty();
        inner.push(event, max_bytes);
        if was_empty && !inner.is_empty() {
            self.wakeup.notify();
        }
    }

    /// Takes at most `most` events from the front, and the summaries when the queue is empty.
    pub fn take(&self, most: usize) -> Vec<NatsEvent> {
        let mut inner = self.lock();
        let was_empty = inner.is_empty();
        let taken = inner.pop(most);
        if !was_empty && inner.is_empty() {
            self.wakeup.clear();
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, IncomingInner> {
        // No code that can panic runs under this lock, so a poisoned lock is usable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IncomingInner {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.missed.is_empty() && self.lost.is_empty() && !self.has_lost_some
    }

    fn push(&mut self, event: NatsEvent, max_bytes: usize) {
        let size = match &event {
            NatsEvent::Missed(id, count, fault) => {
                let (sum, why) = self.missed.entry(*id).or_default();
                *sum += count;
                if let Some(fault) = fault {
                    why.get_or_insert_with(|| fault.clone());
                }
                return;
            }
            NatsEvent::LostSome => {
                self.has_lost_some = true;
                return;
            }
            event => event.size(),
        };
        if size > 0 && self.bytes + size > max_bytes {
            self.lost.extend(event.id());
            return;
        }
        self.bytes += size;
        self.events.push_back(event);
    }

    fn pop(&mut self, most: usize) -> Vec<NatsEvent> {
        let count = self.events.len().min(most);
        let mut taken: Vec<_> = self.events.drain(..count).collect();
        self.bytes -= taken.iter().map(NatsEvent::size).sum::<usize>();
        if self.events.is_empty() {
            // The summaries come last: a host that asks for the missing messages has the others by then.
            let missed = mem::take(&mut self.missed).into_iter();
            taken.extend(missed.map(|(id, (count, fault))| NatsEvent::Missed(id, count, fault)));
            taken.extend(mem::take(&mut self.lost).into_iter().map(NatsEvent::Lost));
            taken.extend(mem::take(&mut self.has_lost_some).then_some(NatsEvent::LostSome));
        }
        taken
    }
}

impl NatsEvent {
    /// The bytes charged for it. Rare events cost nothing and are never dropped.
    fn size(&self) -> usize {
        match self {
            Self::Heard(_, data) | Self::Stored(.., data) => data.len() + OVERHEAD,
            Self::Complained(text) => text.len() + OVERHEAD,
            _ => 0,
        }
    }

    fn id(&self) -> Option<u64> {
        match *self {
            Self::Heard(id, _) | Self::Stored(id, ..) => Some(id),
            _ => None,
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn heard(id: u64, len: usize) -> NatsEvent {
        NatsEvent::Heard(id, vec![0; len].into())
    }

    fn is_readable(incoming: &Incoming) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        use std::os::fd::BorrowedFd;
        // SAFETY: `incoming` keeps the descriptor open for the length of this call.
        let fd = unsafe { BorrowedFd::borrow_raw(incoming.fd()) };
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec::default())).unwrap() == 1
    }

    #[test]
    fn readable_until_all_is_taken() {
        let (incoming, max) = (Incoming::new().unwrap(), 10_000);
        assert!(!is_readable(&incoming));
        assert_eq!(incoming.take(9), []);
        for id in 1..=3 {
            incoming.tell(heard(id, 1), max);
        }
        assert!(is_readable(&incoming));
        assert_eq!(incoming.take(2), [heard(1, 1), heard(2, 1)]);
        assert!(is_readable(&incoming));
        assert_eq!(incoming.take(2), [heard(3, 1)]);
        assert!(!is_readable(&incoming));
        incoming.tell(NatsEvent::Up, max);
        assert!(is_readable(&incoming));
    }

    #[test]
    fn what_does_not_fit_is_told_after_what_does() {
        let (incoming, max) = (Incoming::new().unwrap(), 2 * (OVERHEAD + 100));
        for id in [1, 2, 3, 3] {
            incoming.tell(heard(id, 100), max);
        }
        // This event costs nothing.
        incoming.tell(NatsEvent::Synced(7), max);
        assert_eq!(incoming.take(9), [heard(1, 100), heard(2, 100), NatsEvent::Synced(7), NatsEvent::Lost(3)]);
        assert!(!is_readable(&incoming));
        // There is space again.
        incoming.tell(heard(3, 100), max);
        assert_eq!(incoming.take(9), [heard(3, 100)]);
    }

    #[test]
    fn a_flood_of_losses_is_told_once() {
        let (incoming, max) = (Incoming::new().unwrap(), 0);
        for n in 0..1000 {
            incoming.tell(NatsEvent::LostSome, max);
            incoming.tell(NatsEvent::Missed(n % 2, 1, (n == 4).then(|| "why".into())), max);
            incoming.tell(heard(5, 1), max);
        }
        let why = Some("why".into());
        assert_eq!(
            incoming.take(9),
            [NatsEvent::Missed(0, 500, why), NatsEvent::Missed(1, 500, None), NatsEvent::Lost(5), NatsEvent::LostSome]
        );
        assert_eq!(incoming.take(9), []);
    }
}
