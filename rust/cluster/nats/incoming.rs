//! What a line has to tell its host, until it is taken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use bytes::Bytes;

use super::OVERHEAD;
use crate::queues::wakeup::Bell;

/// What the host is told.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// Connected, and all that is subscribed to is heard.
    Up,
    /// Nothing comes any more, until [`Self::Up`].
    Down,
    /// It is over, or has never begun: why.
    Ended(String),
    /// NATS has complained.
    Complained(String),
    /// See [`Line::sync`].
    Synced(u64),
    /// See [`Line::ask`].
    Answered(u64, Result<Vec<Reply>, String>),
    /// A message, with the id of its subscription.
    Heard(u64, Bytes),
    /// A message of a log: the id of its subscription, its number, and that of the room's message before it.
    Stored(u64, u64, u64, Bytes),
    /// A room will not get some messages, and perhaps why.
    Missed(u64, u64, Option<String>),
    /// Messages of a subscription came faster than they were taken.
    Lost(u64),
    /// The same, and nobody knows of which.
    LostSome,
}

/// An answer of NATS.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// 0 if it has none, which is success.
    pub status: u16,
    /// The first of each name.
    pub headers: Vec<(String, String)>,
    /// The payload.
    pub payload: Bytes,
}

/// News in their order, bounded, and a descriptor that is readable while there are some.
#[derive(Debug)]
pub struct Inbox {
    inner: Mutex<Inner>,
    bell: Bell,
}

#[derive(Debug, Default)]
struct Inner {
    news: VecDeque<News>,
    bytes: usize,
    /// What would be told for each message, told once for all: by subscription, [`News::Missed`] and [`News::Lost`].
    missed: BTreeMap<u64, (u64, Option<String>)>,
    lost: BTreeSet<u64>,
    has_lost_some: bool,
}

impl Inbox {
    /// No news.
    pub fn new() -> io::Result<Self> {
        Ok(Self { inner: Mutex::default(), bell: Bell::new()? })
    }

    /// The descriptor.
    pub fn fd(&self) -> RawFd {
        self.bell.fd()
    }

    /// Adds something. Messages for which there is no space, because more than `max_bytes` wait, are [`News::Lost`].
    pub fn tell(&self, news: News, max_bytes: usize) {
        let mut inner = self.lock();
        let was_empty = inner.is_empty();
        inner.push(news, max_bytes);
        if was_empty && !inner.is_empty() {
            self.bell.ring();
        }
    }

    /// Takes the first of them, at most so many, and some summaries.
    pub fn take(&self, most: usize) -> Vec<News> {
        let mut inner = self.lock();
        let was_empty = inner.is_empty();
        let taken = inner.pop(most);
        if !was_empty && inner.is_empty() {
            self.bell.silence();
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under this lock, so a poisoned one is as good as any.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.news.is_empty() && self.missed.is_empty() && self.lost.is_empty() && !self.has_lost_some
    }

    fn push(&mut self, news: News, max_bytes: usize) {
        let size = match &news {
            News::Missed(id, count, fault) => {
                let (sum, why) = self.missed.entry(*id).or_default();
                *sum += count;
                if let Some(fault) = fault {
                    why.get_or_insert_with(|| fault.clone());
                }
                return;
            }
            News::LostSome => {
                self.has_lost_some = true;
                return;
            }
            news => news.size(),
        };
        if size > 0 && self.bytes + size > max_bytes {
            self.lost.extend(news.id());
            return;
        }
        self.bytes += size;
        self.news.push_back(news);
    }

    fn pop(&mut self, most: usize) -> Vec<News> {
        let count = self.news.len().min(most);
        let mut taken: Vec<_> = self.news.drain(..count).collect();
        self.bytes -= taken.iter().map(News::size).sum::<usize>();
        if self.news.is_empty() {
            // After what did fit: whoever asks for the rest has that already.
            let missed = mem::take(&mut self.missed).into_iter();
            taken.extend(missed.map(|(id, (count, fault))| News::Missed(id, count, fault)));
            taken.extend(mem::take(&mut self.lost).into_iter().map(News::Lost));
            taken.extend(mem::take(&mut self.has_lost_some).then_some(News::LostSome));
        }
        taken
    }
}

impl News {
    /// What it counts among what waits. What there is little of counts nothing, and is never lost.
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

#[cfg(all(test, not(loom)))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn heard(id: u64, len: usize) -> News {
        News::Heard(id, vec![0; len].into())
    }

    fn is_readable(inbox: &Inbox) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        use std::os::fd::BorrowedFd;
        // SAFETY: `inbox` keeps the descriptor open for the length of this call.
        let fd = unsafe { BorrowedFd::borrow_raw(inbox.fd()) };
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec::default())).unwrap() == 1
    }

    #[test]
    fn readable_until_all_is_taken() {
        let (inbox, max) = (Inbox::new().unwrap(), 10_000);
        assert!(!is_readable(&inbox));
        assert_eq!(inbox.take(9), []);
        for id in 1..=3 {
            inbox.tell(heard(id, 1), max);
        }
        assert!(is_readable(&inbox));
        assert_eq!(inbox.take(2), [heard(1, 1), heard(2, 1)]);
        assert!(is_readable(&inbox));
        assert_eq!(inbox.take(2), [heard(3, 1)]);
        assert!(!is_readable(&inbox));
        inbox.tell(News::Up, max);
        assert!(is_readable(&inbox));
    }

    #[test]
    fn what_does_not_fit_is_told_after_what_does() {
        let (inbox, max) = (Inbox::new().unwrap(), 2 * (OVERHEAD + 100));
        for id in [1, 2, 3, 3] {
            inbox.tell(heard(id, 100), max);
        }
        // These take no space.
        inbox.tell(News::Synced(7), max);
        assert_eq!(inbox.take(9), [heard(1, 100), heard(2, 100), News::Synced(7), News::Lost(3)]);
        assert!(!is_readable(&inbox));
        // There is space again.
        inbox.tell(heard(3, 100), max);
        assert_eq!(inbox.take(9), [heard(3, 100)]);
    }

    #[test]
    fn a_flood_of_losses_is_told_once() {
        let (inbox, max) = (Inbox::new().unwrap(), 0);
        for n in 0..1000 {
            inbox.tell(News::LostSome, max);
            inbox.tell(News::Missed(n % 2, 1, (n == 4).then(|| "why".into())), max);
            inbox.tell(heard(5, 1), max);
        }
        let why = Some("why".into());
        assert_eq!(
            inbox.take(9),
            [News::Missed(0, 500, why), News::Missed(1, 500, None), News::Lost(5), News::LostSome]
        );
        assert_eq!(inbox.take(9), []);
    }
}
