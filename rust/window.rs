//! How many bytes may be under way to one reader that it has not taken: a window as that of a congestion control, which
//! keeps the queue on the way short, wherever it forms (the network, a kernel, the reader's own queue). Pure: time comes in.
//!
//! The window follows the delay from writing a message until it was taken, as Vegas, FAST and LEDBAT (RFC 6817) do, since
//! nothing is ever lost here that could say "too much". `base` is the delay without a queue. A queue of `target` more is
//! wanted, so that a reader never waits for us: the window goes to what the reader takes in `base + target`. As CoDel
//! (RFC 8289) does, it looks at the least delay in each round, for only a queue that stands is too much: what a reader
//! takes in bursts is not.
//!
//! What would be the base rises with our own queue, so nothing but a measurement raises it: one message goes alone, or
//! two where the first waits for what has been read before it ([`Reader::Probed`]).

use std::collections::VecDeque;

use crate::wire::table::limit;

/// How it is known what a reader has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// It says so when its application has taken it.
    Reporting,
    /// Its library answers pings. Many libraries read all there is, answer every ping in it, and read no more until the
    /// application has taken what they have read. So the delay of a message that goes alone is that of a queue which
    /// counts as taken already; only the second one in a row finds none.
    Probed,
}

/// See the module's head.
#[derive(Debug)]
pub struct Window {
    reader: Reader,
    size: usize,
    under_way: usize,
    /// What was written and not taken, oldest first.
    sent: VecDeque<Sent>,
    /// The index of what was written last.
    last: u64,
    /// The least delay that is known of; none was measured before the first.
    base_us: Option<u64>,
    /// A message goes alone next, or has gone, and its delay is the new base.
    is_measuring: bool,
    /// The one that went alone before it.
    alone: Option<Sample>,
    /// Whether a base was ever measured so.
    is_measured: bool,
    /// Something had to wait for room since the last step.
    is_limit: bool,
    round: Round,
    /// Rounds in a row whose delay was far more than is wanted.
    late: u32,
    /// When the base was confirmed last, or looked at.
    confirmed_us: u64,
}

/// A piece of what was written. One after another may be joined, which costs accuracy in bytes, not in time.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// The index of its last message.
    index: u64,
    bytes: usize,
    /// Bytes that were under way with it.
    under_way: usize,
    begun_us: u64,
    written_us: u64,
}

/// From one step to the next: until all is taken that was under way at its beginning.
#[derive(Debug)]
struct Round {
    /// None: it begins when the window is full, for until then the delay says nothing of it.
    end: Option<u64>,
    samples: u32,
    least: Option<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    delay_us: u64,
    under_way: usize,
}

impl Window {
    /// Nothing is under way. `now_us` is a time as in all calls, in microseconds, which never goes back.
    pub fn new(reader: Reader, now_us: u64) -> Self {
        Self {
            reader,
            size: INITIAL,
            under_way: 0,
            sent: VecDeque::new(),
            last: 0,
            base_us: None,
            is_measuring: false,
            alone: None,
            is_measured: false,
            is_limit: false,
            round: Round { end: Some(0), samples: 0, least: None },
            late: 0,
            confirmed_us: now_us,
        }
    }

    /// Bytes that may be under way; one message always may.
    pub fn size(&self) -> usize {
        if self.is_measuring { 1 } else { self.size }
    }

    /// Bytes under way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Whether so many bytes may be written.
    pub fn fits(&self, bytes: usize) -> bool {
        self.under_way + bytes <= self.size()
    }

    /// Whether a message of `bytes` may be written after `ahead` bytes of others that are about to be. Whatever its size, one
    /// is that comes after less than a [`part`]: the reader does not say when it has taken so little.
    pub fn admits(&mut self, ahead: usize, bytes: usize) -> bool {
        let before = self.under_way + ahead;
        let is_admitted = before == 0 || before + bytes <= self.size() || before < part(self.size());
        if !is_admitted {
            self.is_limit = true;
            self.round.end.get_or_insert(self.last);
        }
        is_admitted
    }

    /// A message was written, and its index marks it. Indexes rise.
    pub fn sent(&mut self, index: u64, bytes: usize, now_us: u64) {
        self.wrote(bytes);
        self.mark(index, bytes, now_us);
    }

    /// A message was written, and what marks it follows.
    pub fn wrote(&mut self, bytes: usize) {
        self.under_way += bytes;
    }

    /// This index marks the `bytes` that were written since the last one.
    pub fn mark(&mut self, index: u64, bytes: usize, now_us: u64) {
        self.last = index;
        let new = Sent { index, bytes, under_way: self.under_way, begun_us: now_us, written_us: now_us };
        let is_many = self.sent.len() >= 2 * PIECES;
        match self.sent.back_mut() {
            Some(piece)
                if piece.bytes + bytes <= self.size / PIECES
                    && (now_us.saturating_sub(piece.begun_us) < JOINED_US || is_many) =>
            {
                *piece = Sent { bytes: piece.bytes + bytes, begun_us: piece.begun_us, ..new };
            }
            _ => self.sent.push_back(new),
        }
    }

    /// The last index that marks something, if that was not taken.
    pub fn unanswered(&self) -> Option<u64> {
        self.sent.back().map(|piece| piece.index)
    }

    /// All up to an index was taken, which may be known already.
    pub fn taken(&mut self, index: u64, now_us: u64) {
        let mut newest = None;
        while let Some(&piece) = self.sent.front().filter(|piece| piece.index <= index) {
            self.sent.pop_front();
            self.under_way -= piece.bytes;
            newest = Some(piece);
        }
        if self.sent.is_empty() {
            self.sent.shrink_to(PIECES);
        }
        let Some(piece) = newest else { return };
        let is_alone = piece.under_way == piece.bytes;
        let delay_us = now_us.saturating_sub(piece.written_us).max(1);
        let sample = Sample { delay_us, under_way: piece.under_way };
        match self.is_measuring {
            true if is_alone => self.measured(sample, now_us),
            true => {}
            false => self.look_at(sample, is_alone, index, now_us),
        }
    }

    fn look_at(&mut self, sample: Sample, is_alone: bool, index: u64, now_us: u64) {
        let base_us = self.base_us.get_or_insert(sample.delay_us);
        if sample.delay_us <= *base_us + target(*base_us) / 8 {
            self.confirmed_us = now_us;
        }
        if is_alone && self.reader == Reader::Reporting {
            *base_us += sample.delay_us.saturating_sub(*base_us) / STEP;
        }
        if !self.is_measured && self.is_limit && sample.delay_us > TARGET_US {
            return self.measure(sample);
        }
        let Some(end) = self.round.end else { return };
        self.round.samples += 1;
        if self.round.least.is_none_or(|least| sample.delay_us <= least.delay_us) {
            self.round.least = Some(sample);
        }
        if index >= end && self.round.samples >= SAMPLES {
            self.step(sample, now_us);
        }
    }

    /// The end of a round, and the last sample of it.
    fn step(&mut self, last: Sample, now_us: u64) {
        let round = std::mem::replace(&mut self.round, Round { end: Some(self.last), samples: 0, least: None });
        let (Some(least), Some(base_us)) = (round.least, &mut self.base_us) else { return };
        *base_us -= base_us.saturating_sub(least.delay_us).div_ceil(STEP);
        let (base_us, target_us) = (*base_us, target(*base_us));
        let is_limit = std::mem::take(&mut self.is_limit);
        self.late = if least.delay_us > base_us + 2 * target_us { self.late + 1 } else { 0 };
        if least.delay_us > base_us + target_us {
            self.size = least.suits(base_us).clamp(self.size / 2, self.size).max(1);
        } else if !is_limit {
            self.size = self.size.max((2 * self.size).min(FREE));
        } else if last.delay_us <= base_us + target_us / 4 {
            self.size = (2 * self.size).min(MAX);
        } else {
            self.size = last.suits(base_us).clamp(self.size, 2 * self.size).min(MAX);
        }
        let is_old = now_us.saturating_sub(self.confirmed_us) > CONFIRM_US;
        if self.late >= LATE_MAX || (is_limit && is_old) {
            self.measure(least);
        }
    }

    /// Lets nothing out until all is taken, and then one message. What the reader takes in the delay of `sample` is known;
    /// the rest follows from the base.
    fn measure(&mut self, sample: Sample) {
        self.is_measuring = true;
        self.round.least = Some(sample);
    }

    /// A message went alone.
    fn measured(&mut self, alone: Sample, now_us: u64) {
        if self.reader == Reader::Probed && self.alone.is_none() {
            self.alone = Some(alone);
            return;
        }
        let alone = self.alone.take().filter(|before| before.delay_us < alone.delay_us).unwrap_or(alone);
        self.is_measuring = false;
        self.is_measured = true;
        self.base_us = Some(alone.delay_us);
        self.confirmed_us = now_us;
        self.late = 0;
        if let Some(sample) = self.round.least {
            self.size = sample.suits(alone.delay_us).clamp(1, (2 * self.size).min(MAX));
        }
        self.round = Round { end: None, samples: 0, least: None };
    }
}

impl Sample {
    /// The bytes that the reader takes in the delay that is wanted, if it took these in this one.
    fn suits(self, base_us: u64) -> usize {
        let wanted_us = u128::from(base_us + target(base_us));
        (self.under_way as u128 * wanted_us / u128::from(self.delay_us)) as usize
    }
}

/// What a delay may be more than its base.
fn target(base_us: u64) -> u64 {
    TARGET_US + base_us / 2
}

/// Bytes of a window of `size` that are taken between two answers, so that the next ones are there before it is full.
pub fn part(size: usize) -> usize {
    if size < FREE { size / 4 } else { (size / 4).max(FREE / 2) }
}

/// Bytes at first: a hundred small messages, and a third of a second over a link of 50 KB/s.
pub const INITIAL: usize = limit::INITIAL_WINDOW;

/// Bytes up to which it grows without need: what a reader that becomes slow has to take before anything fresh.
const FREE: usize = 64 << 10;

/// Bytes at most: 10 MB/s over 100 ms.
const MAX: usize = 1 << 20;

/// Microseconds of queue that are wanted besides half of the base: more than a reader's loop is busy with others.
const TARGET_US: u64 = 25_000;

/// Pieces of a full window, about: each is memory.
const PIECES: usize = 32;

/// Microseconds within which what was written is one piece.
const JOINED_US: u64 = 2_000;

/// The base goes a quarter of the way to a lower delay, and to that of a message that was alone: one is low, or high, by
/// chance.
const STEP: u64 = 4;

/// Delays that a round has at least.
const SAMPLES: u32 = 4;

/// Rounds that are far too late until the base is doubted.
const LATE_MAX: u32 = 3;

/// Microseconds for which a base holds that no message has confirmed.
const CONFIRM_US: u64 = 10_000_000;

#[cfg(test)]
mod tests;
