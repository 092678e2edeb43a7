//! Simulates a link and a reader behind it, step by step, with or without a window. Deterministic.

use std::collections::{BTreeMap, VecDeque};

use crate::outbox::window::{Reader, Window, part};

/// A tenth of a millisecond.
const STEP_US: u64 = 100;

/// The link, the reader and the publisher of one simulation.
#[derive(Debug, Clone)]
pub struct Case {
    pub seconds: u64,
    /// Bytes of a message.
    pub bytes: usize,
    /// Messages published in a second; none: as many as there is space for.
    pub rate: Option<f64>,
    /// Bursts of messages in addition: every so many milliseconds, so many messages.
    pub bursts: Option<(u64, usize)>,
    /// Bytes that the link carries in a second.
    pub link_rate: f64,
    /// Microseconds of the way to the reader, and of the way back, at a given time.
    pub one_way_us: fn(u64) -> u64,
    /// Microseconds that the reader takes for a message, at a given time.
    pub service_us: fn(u64) -> u64,
    /// Whether the reader takes nothing at a given time.
    pub is_away: fn(u64) -> bool,
    /// The limit on messages that wait here. The oldest is dropped, as with values of so many keys.
    pub backlog: usize,
    /// A library that answers pings: it reads everything when its queue is nearly empty, and stops at so many messages.
    /// None: the reader reports.
    pub library: Option<usize>,
    /// Whether a window is used.
    pub is_bounded: bool,
}

/// The result. Times are in microseconds.
#[derive(Debug)]
pub struct Outcome {
    /// For each message that was taken: when, its delay since it was written, and its age since it was published.
    pub taken: Vec<(u64, u64, u64)>,
    /// The size of the window at each second.
    pub sizes: Vec<usize>,
}

impl Case {
    /// A nearby reader that takes everything at once.
    pub fn fast() -> Self {
        Self {
            seconds: 30,
            bytes: 130,
            rate: None,
            bursts: None,
            link_rate: 100e6,
            one_way_us: |_| 500,
            service_us: |_| 20,
            is_away: |_| false,
            backlog: 500,
            library: None,
            is_bounded: true,
        }
    }

    pub fn run(&self) -> Outcome {
        let reader = if self.library.is_some() { Reader::Probed } else { Reader::Reporting };
        let mut window = Window::new(reader, 0);
        let mut outcome = Outcome { taken: Vec::new(), sizes: Vec::new() };
        // What waits here: when each message was published.
        let mut waiting: VecDeque<u64> = VecDeque::new();
        // Messages on the way there: arrival, index, time written, time published. The link is busy until the last
        // arrival.
        let mut link: VecDeque<(u64, u64, u64, u64)> = VecDeque::new();
        let mut link_free = 0.0_f64;
        let mut queue: VecDeque<(u64, u64, u64)> = VecDeque::new();
        // What the library has not read.
        let (mut kernel, mut is_paused) = (VecDeque::new(), false);
        // In order of time: what takes effect there (the size of the window) and here (an index).
        let (mut there, mut here) = (BTreeMap::<u64, usize>::new(), BTreeMap::<u64, u64>::new());
        let (mut told, mut known, mut unreported, mut free_at) = (window.size(), window.size(), 0, 0.0_f64);
        let (mut index, mut last_taken, mut owed) = (0, 0, 0.0);
        for now in (0..self.seconds * 1_000_000).step_by(STEP_US as usize) {
            if now % 1_000_000 == 0 {
                outcome.sizes.push(window.size());
            }
            if let Some(rate) = self.rate {
                owed += rate * STEP_US as f64 / 1e6;
            } else if waiting.len() < self.backlog {
                owed = (self.backlog - waiting.len()) as f64;
            }
            if let Some((every_ms, count)) = self.bursts
                && now % (every_ms * 1000) == 0
            {
                owed += count as f64;
            }
            while owed >= 1.0 {
                owed -= 1.0;
                waiting.push_back(now);
                if waiting.len() > self.backlog {
                    waiting.pop_front();
                }
            }
            while here.first_key_value().is_some_and(|(&at, _)| at <= now) {
                let (_, count) = here.pop_first().expect("it is there");
                window.taken(count, now);
            }
            if window.size() * 2 >= 3 * told || window.size() * 4 <= 3 * told {
                told = window.size();
                there.insert(now + (self.one_way_us)(now), told);
            }
            while !waiting.is_empty() && (!self.is_bounded || window.admits(0, self.bytes, part(told))) {
                let published = waiting.pop_front().expect("not empty");
                index += 1;
                window.sent(index, self.bytes, now);
                link_free = link_free.max(now as f64) + self.bytes as f64 / self.link_rate * 1e6;
                link.push_back((link_free as u64 + (self.one_way_us)(now), index, now, published));
            }
            while link.front().is_some_and(|&(at, ..)| at <= now) {
                let (_, index, written, published) = link.pop_front().expect("it is there");
                kernel.push_back((index, written, published));
            }
            if let Some(most) = self.library {
                is_paused = queue.len() > if is_paused { most / 4 } else { most };
            }
            while !is_paused && let Some(message) = kernel.pop_front() {
                if self.library.is_some() {
                    here.insert(now + (self.one_way_us)(now), message.0);
                }
                queue.push_back(message);
            }
            while there.first_key_value().is_some_and(|(&at, _)| at <= now) {
                known = there.pop_first().expect("it is there").1;
            }
            while !(self.is_away)(now) && free_at <= now as f64 {
                let Some((index, written, published)) = queue.pop_front() else { break };
                free_at = free_at.max((now - STEP_US.min(now)) as f64) + (self.service_us)(now) as f64;
                let at = free_at as u64;
                outcome.taken.push((at, at.saturating_sub(written), at.saturating_sub(published)));
                if self.library.is_some() {
                    continue;
                }
                unreported += self.bytes;
                last_taken = index;
                if unreported >= part(known) {
                    unreported = 0;
                    here.insert(at.max(now) + (self.one_way_us)(now), index);
                }
            }
            if unreported > 0 && unreported >= part(known) {
                unreported = 0;
                here.insert(now + (self.one_way_us)(now), last_taken);
            }
        }
        outcome
    }
}

impl Outcome {
    /// Messages taken in a second, between two times in seconds.
    pub fn rate(&self, from: u64, to: u64) -> f64 {
        let count = self.taken.iter().filter(|(at, ..)| (from * 1_000_000..to * 1_000_000).contains(at)).count();
        count as f64 / (to - from) as f64
    }

    /// A quantile (0.5: the median) of the delays between two times in seconds, in milliseconds.
    pub fn delay(&self, from: u64, to: u64, part: f64) -> f64 {
        let within = self.taken.iter().filter(|(at, ..)| (from * 1_000_000..to * 1_000_000).contains(at));
        let mut delays: Vec<_> = within.map(|&(_, delay, _)| delay).collect();
        delays.sort_unstable();
        delays.get(((delays.len() as f64 - 1.0) * part) as usize).map_or(f64::INFINITY, |&us| us as f64 / 1000.0)
    }

    /// A quantile of the ages, likewise.
    pub fn age(&self, from: u64, to: u64, part: f64) -> f64 {
        let ages = self.taken.iter().map(|&(at, _, age)| (at, age, 0)).collect();
        Self { taken: ages, sizes: Vec::new() }.delay(from, to, part)
    }
}
