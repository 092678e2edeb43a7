//! A window and a reader that reports by the rule of the protocol: neither waits for the other.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// What is under way to the reader, in order.
#[derive(Debug)]
enum Sent {
    Message(usize),
    Window(usize),
}

/// A window, the messages that wait for it, its reader, and what is between them.
#[derive(Debug)]
struct Pair {
    window: ReportedWindow,
    waiting: VecDeque<usize>,
    index: u64,
    down: VecDeque<Sent>,
    up: VecDeque<u64>,
    /// What the reader knows: the size of the window, the messages that have come and are not taken, and what it has
    /// taken since the last report.
    known: usize,
    queue: VecDeque<usize>,
    taken: u64,
    untold: usize,
    now_us: u64,
}

impl Pair {
    /// The reader was told `told`, and nothing more since: the size is near to it.
    fn new(told: usize) -> Self {
        Self {
            window: ReportedWindow { told, ..ReportedWindow::new(0) },
            waiting: VecDeque::new(),
            index: 0,
            down: VecDeque::new(),
            up: VecDeque::new(),
            known: told,
            queue: VecDeque::new(),
            taken: 0,
            untold: 0,
            now_us: 0,
        }
    }

    fn write(&mut self) {
        while let Some(&bytes) = self.waiting.front().filter(|&&bytes| self.window.admits(0, bytes)) {
            self.waiting.pop_front();
            self.index += 1;
            self.window.sent(self.index, bytes, self.now_us);
            self.down.push_back(Sent::Message(bytes));
        }
    }

    fn publish(&mut self, bytes: usize) {
        self.waiting.push_back(bytes);
        self.write();
    }

    fn read(&mut self) {
        match self.down.pop_front() {
            Some(Sent::Message(bytes)) => self.queue.push_back(bytes),
            Some(Sent::Window(size)) => self.known = size,
            None => {}
        }
        self.report();
    }

    /// The reader counts `more` bytes than the server for each message.
    fn take(&mut self, more: usize) {
        if let Some(bytes) = self.queue.pop_front() {
            self.taken += 1;
            self.untold += bytes + more;
        }
        self.report();
    }

    fn report(&mut self) {
        if self.untold >= part(self.known).max(1) {
            self.untold = 0;
            self.up.push_back(self.taken);
        }
    }

    fn hear(&mut self) {
        let Some(count) = self.up.pop_front() else { return };
        if let Some(size) = self.window.taken(count, self.now_us, true) {
            self.down.push_back(Sent::Window(size));
        }
        self.write();
    }

    /// Everything under way arrives, and is taken. Each step takes some time.
    fn settle(&mut self, step_us: u64) {
        while !(self.down.is_empty() && self.queue.is_empty() && self.up.is_empty()) {
            self.now_us += step_us;
            self.read();
            self.take(0);
            self.hear();
        }
    }
}

#[test]
fn a_message_leaves_if_the_reader_has_nothing_to_report() {
    let mut window = ReportedWindow { told: window::INITIAL + 4_000, ..ReportedWindow::new(0) };
    window.sent(1, part(window::INITIAL), 0);
    assert!(window.admits(0, window::INITIAL), "a reader that was told more does not report so little");
    window.sent(2, part(window.told) - part(window::INITIAL), 0);
    assert!(!window.admits(0, window::INITIAL), "it reports now");
}

#[test]
fn a_report_in_the_middle_of_what_was_joined_counts() {
    let mut window = ReportedWindow::new(0);
    // Written at once, so the window keeps them as one.
    (1..=5).for_each(|index| window.sent(index, 100, 0));
    window.taken(4, 1_000, true);
    window.sent(6, part(window::INITIAL) - 101, 10_000);
    assert!(window.admits(0, window::INITIAL), "only 4,095 bytes are untold");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_waits_for_a_report_that_is_not_due(
        told in window::INITIAL * 2 / 3 + 1..window::INITIAL * 4 / 3,
        ops in prop::collection::vec((0..10u8, 1..400usize, 0..120u64), 1..400)
    ) {
        let mut pair = Pair::new(told);
        for (op, size, number) in ops {
            match op {
                0..=2 => pair.publish(size),
                3 => pair.publish(size * 50),
                4 => pair.now_us += number * number * 10,
                5 => (0..number / 8).for_each(|_| pair.read()),
                6 | 7 => (0..number / 8).for_each(|_| pair.take(size % 3)),
                8 => pair.hear(),
                _ => {
                    pair.settle(number * 50);
                    prop_assert!(pair.waiting.is_empty(), "a reader that is silent keeps a message waiting: {pair:?}");
                }
            }
        }
        pair.settle(100);
        prop_assert!(pair.waiting.is_empty(), "{pair:?}");
    }
}
