//! Tests the event queue under every interleaving that loom finds, and with real threads and random waits.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --profile loom --lib events` runs the first, a plain `cargo test` the second.

use super::*;
use crate::queues::batch::tests::messages_of;
use crate::queues::command::Cause;

fn link(number: u64) -> ConnId {
    ConnId::from_u64(number)
}

/// `count` messages of a link with consecutive numbers.
fn messages(number: u64, first: u64, count: u64) -> Event {
    let messages = messages_of((first..first + count).map(u64::to_be_bytes));
    Event::Messages { conn: link(number), of: link(number), messages }
}

fn closed(number: u64) -> Event {
    Event::Closed { conn: link(number), cause: Cause::Reset }
}

/// What the host has of each link: the number of messages, and whether it has ended. Each message must be the next one.
#[derive(Debug, Default)]
struct Host {
    links: std::collections::BTreeMap<u64, (u64, bool)>,
}

impl Host {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Messages { conn, messages, .. } => {
                let (next, has_ended) = self.links.entry(conn.as_u64()).or_default();
                for message in messages.iter() {
                    assert_eq!(message.payload, next.to_be_bytes(), "{conn:?}: nothing lost, doubled or turned around");
                    *next += 1;
                }
                assert!(!*has_ended, "{conn:?}: a message behind the end");
            }
            Event::Closed { conn, .. } => {
                let (_, has_ended) = self.links.entry(conn.as_u64()).or_default();
                assert!(!std::mem::replace(has_ended, true), "{conn:?}: two ends");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(loom)]
mod every_interleaving {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    fn model(test: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        // Two shards and a host have too many interleavings for a complete search; most faults need two switches.
        builder.preemption_bound = Some(3);
        builder.check(test);
    }

    /// A host that takes only when the descriptor is readable finds everything.
    #[test]
    fn the_bell_is_never_silent_while_something_waits() {
        model(|| {
            let credit = Credit { messages: 2, bytes: usize::MAX, total: usize::MAX };
            let events = Arc::new(Events::new(credit).unwrap());
            let shards = [1, 2].map(|number| {
                let events = Arc::clone(&events);
                thread::spawn(move || {
                    let mut full = Vec::new();
                    events.extend([messages(number, 0, 2)], &mut full);
                    events.extend([closed(number)], &mut full);
                    full
                })
            });
            let (mut host, mut again) = (Host::default(), Vec::new());
            // The host takes a few times beside the shards, readable or not.
            for _ in 0..2 {
                events.take(1, 0, &mut again).into_iter().for_each(|event| host.hear(event));
            }
            let full: Vec<_> = shards.into_iter().flat_map(|shard| shard.join().unwrap()).collect();
            while events.wakeup.is_ringing() {
                assert!(events.asked().is_some());
                events.take(1, 0, &mut again).into_iter().for_each(|event| host.hear(event));
            }
            assert_eq!(host.links.into_values().collect::<Vec<_>>(), [(2, true); 2]);
            // Each was full once, and may be read again.
            assert_eq!((full.len(), again.len(), events.bytes(), events.asked()), (2, 2, 0, None));
        });
    }

    /// An event that is added while the host finds nothing and clears the wakeup makes it readable again.
    #[test]
    fn what_comes_while_it_is_silenced_is_found() {
        model(|| {
            let credit = Credit { messages: 9, bytes: usize::MAX, total: usize::MAX };
            let events = Arc::new(Events::new(credit).unwrap());
            let shard = {
                let events = Arc::clone(&events);
                thread::spawn(move || (0..3).for_each(|at| events.extend([messages(1, at, 1)], &mut Vec::new())))
            };
            let mut host = Host::default();
            for _ in 0..3 {
                events.take(9, 0, &mut Vec::new()).into_iter().for_each(|event| host.hear(event));
            }
            shard.join().unwrap();
            while events.wakeup.is_ringing() {
                events.take(9, 0, &mut Vec::new()).into_iter().for_each(|event| host.hear(event));
            }
            assert_eq!(host.links[&1], (3, false));
        });
    }
}

#[cfg(not(loom))]
mod plain {
    use super::*;
    use crate::queues::batch::{Batch, Messages, Piece};
    use std::collections::BTreeMap;
    use std::os::fd::BorrowedFd;
    use std::thread;
    use std::time::{Duration, Instant};

    /// Waits for the descriptor as a loop does. Returns false if it was not readable for so long.
    fn is_readable(events: &Events, patience: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        // SAFETY: `events` is borrowed and keeps the descriptor open during this call.
        let wakeup = unsafe { BorrowedFd::borrow_raw(events.fd()) };
        let patience = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        poll(&mut [PollFd::new(&wakeup, PollFlags::IN)], Some(&patience)).unwrap() == 1
    }

    #[test]
    fn readable_until_the_host_has_found_nothing() {
        let events = Events::new(Credit { messages: 1, bytes: 1, total: 1 }).unwrap();
        let is_readable = || is_readable(&events, Duration::ZERO);
        let (mut full, mut again) = (Vec::new(), Vec::new());
        assert!(!is_readable());
        events.extend([], &mut full);
        assert!(!is_readable());
        events.extend([closed(1), closed(2)], &mut full);
        events.extend([closed(3)], &mut full);
        assert!(is_readable());
        assert_eq!(events.take(9, 0, &mut again), [closed(1), closed(2), closed(3)]);
        assert!(!is_readable());
        events.extend([messages(1, 0, 1)], &mut full);
        assert_eq!(events.take(9, 0, &mut again).len(), 1);
        // The messages may not be handled yet.
        assert!(is_readable());
        assert_eq!(events.asked(), Some(2));
        assert_eq!((events.take(9, 0, &mut again), again, full), (vec![], vec![link(1)], vec![link(1)]));
        assert!(!is_readable());
        assert_eq!(events.asked(), None);
    }

    fn refused(number: u64, count: usize) -> Event {
        let mut batch = Batch::default();
        for _ in 0..count {
            batch.refuse(1);
        }
        let messages = Messages::new(Piece::new(batch).unwrap());
        Event::Messages { conn: link(number), of: link(number), messages }
    }

    #[test]
    fn what_was_refused_already_wakes_the_host_only_with_others_or_as_some() {
        let events = Events::new(Credit { messages: 99, bytes: 1 << 20, total: 1 << 20 }).unwrap();
        let is_readable = || is_readable(&events, Duration::ZERO);
        let (mut full, mut again) = (Vec::new(), Vec::new());
        events.extend([refused(1, QUIET - 1)], &mut full);
        assert!(!is_readable() && events.asked().is_none());
        // Among other events it comes in order.
        events.extend([messages(1, 0, 1)], &mut full);
        assert!(is_readable());
        let taken = events.take(9, 0, &mut again);
        assert!(matches!(&taken[..], [Event::Messages { messages, .. }] if messages.len() == 2), "{taken:?}");
        assert_eq!(events.take(9, 0, &mut again), []);
        assert!(!is_readable());
        // Together they are enough to wake the host.
        events.extend([refused(1, 1), refused(2, QUIET - 2)], &mut full);
        assert!(!is_readable());
        events.extend([refused(1, 1)], &mut full);
        assert!(is_readable());
        assert_eq!(events.take(9, 0, &mut again).len(), 2);
        assert_eq!((events.take(9, 0, &mut again), events.asked()), (vec![], None));
        assert!(!is_readable());
    }

    #[test]
    fn a_host_that_must_give_credit_back_is_woken() {
        let events = Events::new(Credit { messages: 2, bytes: 1 << 20, total: 1 << 20 }).unwrap();
        let mut full = Vec::new();
        events.extend([refused(1, 1)], &mut full);
        assert!(full.is_empty() && !is_readable(&events, Duration::ZERO));
        events.extend([refused(1, 1)], &mut full);
        assert!(full == [link(1)] && is_readable(&events, Duration::ZERO));
    }

    /// Random numbers by xorshift, as in Marsaglia's paper of 2003.
    struct Random(u64);

    impl Random {
        fn below(&mut self, most: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % most
        }

        /// Continues at once, yields, spins or sleeps; it sleeps `laziness` times of 64.
        fn pause(&mut self, laziness: u64) {
            match self.below(64) {
                turn if turn < laziness => thread::sleep(Duration::from_micros(self.below(100))),
                turn if turn < 32 => thread::yield_now(),
                turn => (0..turn).for_each(|_| std::hint::spin_loop()),
            }
        }
    }

    /// What a shard keeps of one of its links.
    #[derive(Debug, Default, Clone, Copy)]
    struct Line {
        sent: u64,
        is_full: bool,
        is_over: bool,
    }

    /// A shard with some links. It sends for those that are not full, in bursts, until everything is sent. The host
    /// adds links that may be read to `again`, as to a shard's queue.
    fn shard(events: &Events, again: &Mutex<Vec<ConnId>>, links: &[u64], random: &mut Random) {
        let laziness = random.below(32);
        let until = Instant::now() + 2 * PATIENCE;
        let mut lines: BTreeMap<u64, Line> = links.iter().map(|&number| (number, Line::default())).collect();
        while lines.values().any(|line| !line.is_over) {
            assert!(Instant::now() < until, "the host has gone");
            for conn in std::mem::take(&mut *again.lock().unwrap()) {
                let line = lines.get_mut(&conn.as_u64()).unwrap();
                assert!(std::mem::replace(&mut line.is_full, false), "{conn:?} was not full");
            }
            let (mut told, mut full) = (Vec::new(), Vec::new());
            for _ in 0..=random.below(3) {
                let number = links[random.below(links.len() as u64) as usize];
                let line = lines.get_mut(&number).unwrap();
                if line.is_over || line.is_full {
                    continue;
                }
                let most = if random.below(8) == 0 { 100 } else { 8 };
                let count = (1 + random.below(most)).min(MESSAGES - line.sent);
                told.push(messages(number, line.sent, count));
                line.sent += count;
                if line.sent == MESSAGES {
                    told.push(closed(number));
                    line.is_over = true;
                }
            }
            events.extend(told, &mut full);
            for conn in full {
                lines.get_mut(&conn.as_u64()).unwrap().is_full = true;
            }
            random.pause(laziness);
        }
    }

    #[test]
    fn several_shards_and_a_host_with_random_waits() {
        let credit = Credit { messages: 64, bytes: 64 * 100, total: 64 * 400 };
        // FANWIRE_STRESS=10000 takes some minutes.
        let rounds = std::env::var("FANWIRE_STRESS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
        for seed in 1..=rounds {
            let events = Events::new(credit).unwrap();
            let again: Vec<Mutex<Vec<ConnId>>> = (0..SHARDS).map(|_| Mutex::default()).collect();
            let host = thread::scope(|scope| {
                for (index, again) in again.iter().enumerate() {
                    let (events, mut random) = (&events, Random(seed * 1000 + index as u64));
                    let links: Vec<u64> = (0..LINKS).map(|number| index as u64 * LINKS + number).collect();
                    scope.spawn(move || shard(events, again, &links, &mut random));
                }
                let (mut host, mut random) = (Host::default(), Random(seed));
                let (mut ends, laziness) = (0, random.below(8));
                while ends < SHARDS * LINKS {
                    assert!(is_readable(&events, PATIENCE), "silent, and something waits: {host:?}");
                    let mut resumed = Vec::new();
                    for event in events.take(1 + random.below(64) as usize, 0, &mut resumed) {
                        ends += u64::from(matches!(event, Event::Closed { .. }));
                        host.hear(event);
                    }
                    for conn in resumed {
                        again[(conn.as_u64() / LINKS) as usize].lock().unwrap().push(conn);
                    }
                    random.pause(laziness);
                }
                host
            });
            assert_eq!(host.links.len() as u64, SHARDS * LINKS);
            assert!(host.links.values().all(|&found| found == (MESSAGES, true)));
            let until = Instant::now() + PATIENCE;
            while is_readable(&events, Duration::ZERO) {
                assert_eq!(events.take(9, 0, &mut Vec::new()), []);
                assert!(Instant::now() < until, "it rings, and nothing waits");
            }
            assert_eq!((events.bytes(), events.asked()), (0, None));
        }
    }

    const ROUNDS: u64 = 50;
    const SHARDS: u64 = 4;
    const LINKS: u64 = 3;
    /// The messages of a link.
    const MESSAGES: u64 = 1_000;
    /// A descriptor that is not readable for so long while something waits never will be.
    const PATIENCE: Duration = Duration::from_secs(20);
}
