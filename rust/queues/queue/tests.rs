//! Tests the queue under every interleaving that loom finds, and with real threads.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --profile loom --lib queue` runs the first, a plain `cargo test` the second.

use super::Queue;

#[cfg(loom)]
use loom::{
    sync::{Arc, Condvar, Mutex},
    thread,
};
#[cfg(not(loom))]
use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// Stands for the poll in which a taker sleeps. As with an eventfd, a wakeup before the wait is not lost.
#[derive(Debug)]
struct Wakeup {
    is_rung: Mutex<bool>,
    changed: Condvar,
}

impl Wakeup {
    fn new() -> Self {
        Self { is_rung: Mutex::new(false), changed: Condvar::new() }
    }

    fn notify(&self) {
        *self.is_rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut is_rung = self.is_rung.lock().unwrap();
        while !*is_rung {
            is_rung = self.changed.wait(is_rung).unwrap();
        }
        *is_rung = false;
    }
}

type Shared = Arc<(Queue<(usize, usize)>, Wakeup)>;

fn shared() -> Shared {
    Arc::new((Queue::new(usize::MAX, usize::MAX), Wakeup::new()))
}

/// Pushes the numbers below `count`, and wakes the taker when told to.
fn produce(shared: &Shared, producer: usize, count: usize) {
    for number in 0..count {
        if shared.0.push((producer, number), 1) {
            shared.1.notify();
        }
    }
}

#[cfg(loom)]
fn stop(shared: &Shared) {
    if shared.0.stop() {
        shared.1.notify();
    }
}

/// Takes as the thread of a shard does, until it has `expected` items or the queue was stopped. A missed wakeup leaves
/// it asleep for ever: loom reports a deadlock.
fn take(shared: &Shared, expected: usize) -> Vec<(usize, usize)> {
    let (mut items, mut taken) = (Vec::new(), Vec::new());
    while items.len() < expected {
        let goes_on = shared.0.take(&mut taken);
        items.append(&mut taken);
        if !goes_on {
            break;
        }
        if items.len() < expected && shared.0.sleep() {
            shared.1.wait();
        }
    }
    items
}

fn assert_whole(items: &[(usize, usize)], producers: usize, count: usize) {
    assert_eq!(items.len(), producers * count);
    for producer in 0..producers {
        let numbers = items.iter().filter(|item| item.0 == producer).map(|item| item.1);
        assert!(numbers.eq(0..count), "producer {producer}: nothing lost, in order");
    }
}

#[cfg(loom)]
mod every_interleaving {
    use super::*;

    fn model(test: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        // Two threads and a taker have too many interleavings for a complete search; most faults need two switches.
        builder.preemption_bound = Some(3);
        builder.check(test);
    }

    #[test]
    fn nothing_is_lost_and_no_wake_up_missed() {
        model(|| {
            let shared = shared();
            let producers: Vec<_> = (0..2)
                .map(|producer| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || produce(&shared, producer, 2))
                })
                .collect();
            assert_whole(&take(&shared, 4), 2, 2);
            for producer in producers {
                producer.join().unwrap();
            }
        });
    }

    #[test]
    fn stop_wakes_and_loses_nothing_that_came_before() {
        model(|| {
            let shared = shared();
            let producer = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    produce(&shared, 0, 1);
                    stop(&shared);
                })
            };
            assert_whole(&take(&shared, usize::MAX), 1, 1);
            producer.join().unwrap();
        });
    }

    #[test]
    fn stop_by_another_thread_wakes() {
        model(|| {
            let shared = shared();
            let threads = [0, 1].map(|n| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || if n == 0 { produce(&shared, 0, 1) } else { stop(&shared) })
            });
            assert!(take(&shared, usize::MAX).len() <= 1);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

#[cfg(not(loom))]
mod plain {
    use super::*;
    use crate::queues::queue::QueueLimit;

    #[test]
    fn eight_threads_lose_nothing_and_always_wake() {
        const COUNT: usize = 20_000;
        let shared = shared();
        let items = thread::scope(|scope| {
            for producer in 0..8 {
                let shared = &shared;
                scope.spawn(move || produce(shared, producer, COUNT));
            }
            take(&shared, 8 * COUNT)
        });
        assert_whole(&items, 8, COUNT);
    }

    #[test]
    fn only_the_first_push_to_a_sleeper_wakes() {
        let queue = Queue::new(10, 10);
        let mut taken = Vec::new();
        assert!(!queue.push(1, 0), "it was awake");
        assert!(!queue.sleep(), "something waits");
        assert!(queue.take(&mut taken));
        assert!(queue.sleep());
        assert!(queue.push(2, 0));
        assert!(!queue.push(3, 0));
        taken.clear();
        assert!(queue.take(&mut taken));
        assert_eq!(taken, [2, 3]);
    }

    #[test]
    fn stopped_it_never_sleeps_and_still_hands_over() {
        let queue = Queue::new(10, 10);
        assert!(queue.sleep());
        assert!(queue.stop(), "wakes a sleeper");
        assert!(!queue.stop());
        assert!(!queue.sleep());
        assert!(!queue.push(1, 0));
        let mut taken = Vec::new();
        assert!(!queue.take(&mut taken));
        assert_eq!(taken, [1]);
    }

    #[test]
    fn it_is_full_at_either_limit_and_takes_more_all_the_same() {
        let queue = Queue::new(2, 10);
        let items = Some(QueueLimit::Items(2));
        for (item, bytes, full) in [(1, 9, None), (2, 0, items), (3, 0, items)] {
            let _ = queue.push(item, bytes);
            assert_eq!(queue.full(), full);
        }
        let mut taken = Vec::new();
        queue.take(&mut taken);
        assert_eq!((taken.len(), queue.full()), (3, None));
        let _ = queue.push(4, 10);
        assert_eq!(queue.full(), Some(QueueLimit::Bytes(10)));
    }
}
