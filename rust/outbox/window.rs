//! The window of one reader: how many bytes may be under way that it has not taken. It works like a congestion window
//! and keeps queues on the way short, wherever they form: in the network, in a kernel, or in the reader. Pure: the time
//! is an argument.
//!
//! The window follows the delay from writing a message until it is taken, as Vegas, FAST and LEDBAT (RFC 6817) do;
//! nothing is ever lost here, so loss is no signal. `base` is the delay without a queue. A delay of `base + target` is
//! wanted, so that a reader never runs dry: the window becomes what the reader takes in that time. As in CoDel (RFC
//! 8289), the least delay of each round counts, because only a standing queue is too much; bursts are not.
//!
//! Our own queue raises every delay, so only a measurement raises `base`: one message goes alone, or two if the first
//! waits for what was read before it ([`Reader::Probed`]).

use std::collections::VecDeque;

use crate::wire::table::limit;

/// How the engine learns what a reader has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The reader reports when its application has taken a message.
    Reporting,
    /// The reader's library answers pings. Many libraries read all there is, answer every ping in it, and read no more
    /// until the application has taken it. So the delay of a message that goes alone includes a queue that counts as
    /// taken; only the second message in a row finds no queue.
    Probed,
}

/// The window of one reader.
#[derive(Debug)]
pub struct Window {
    reader: Reader,
    size: usize,
    under_way: usize,
    /// What was written and not taken, oldest first.
    sent: VecDeque<Sent>,
    /// The index of the last message written.
    last: u64,
    /// The least known delay; none before the first measurement.
    base_us: Option<u64>,
    /// Whether a message goes alone next, or has gone, and its delay becomes the new base.
    is_measuring: bool,
    /// The sample of the message that went alone before it.
    alone: Option<Sample>,
    /// Whether a base was ever measured this way.
    is_measured: bool,
    /// Whether something had to wait for the window since the last step.
    is_limit: bool,
    round: Round,
    /// The number of rounds in a row with a delay far above the target.
    late: u32,
    /// When the base was last confirmed or checked.
    confirmed_us: u64,
}

/// A part of what was written. Neighbours may be joined, which loses accuracy in bytes but not in time.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// The index of its last message.
    index: u64,
    bytes: usize,
    /// The bytes of its last message.
    newest: usize,
    /// The bytes that were under way including it.
    under_way: usize,
    begun_us: u64,
    written_us: u64,
}

/// The time from one step to the next: until everything is taken that was under way at its start.
#[derive(Debug)]
struct Round {
    /// Where the round ends; none: it starts when the window is full, because before that the delay tells nothing about
    /// the window.
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
    /// Creates a window with nothing under way. `now_us` is in microseconds here and in all calls, and never goes back.
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

    /// Returns the bytes that may be under way. One message always may, whatever its size.
    pub fn size(&self) -> usize {
        if self.is_measuring { 1 } else { self.size }
    }

    /// Returns the bytes under way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Returns the bytes under way that no answer covers, whatever it was: parts may be joined, and an answer may be in
    /// the middle of one.
    fn untold(&self) -> usize {
        self.under_way - self.sent.front().map_or(0, |piece| piece.bytes - piece.newest)
    }

    /// Whether `bytes` may be written.
    pub fn fits(&self, bytes: usize) -> bool {
        self.under_way + bytes <= self.size()
    }

    /// Whether a message of `bytes` may be written after `ahead` bytes that are about to be written. A message of any
    /// size may if less than `answered` bytes are before it, because the reader does not answer so few: they are the
    /// [`part`] of the size that it knows, and nothing may wait for an answer that does not come.
    pub fn admits(&mut self, ahead: usize, bytes: usize, answered: usize) -> bool {
        let before = self.under_way + ahead;
        let is_admitted = before == 0 || before + bytes <= self.size() || self.untold() + ahead < answered;
        if !is_admitted {
            self.is_limit = true;
            self.round.end.get_or_insert(self.last);
        }
        is_admitted
    }

    /// Notes a message that was written. Indexes rise.
    pub fn sent(&mut self, index: u64, bytes: usize, now_us: u64) {
        self.wrote(bytes);
        self.mark(index, bytes, now_us);
    }

    /// Notes a message that was written; a later [`Self::mark`] gives the index.
    pub fn wrote(&mut self, bytes: usize) {
        self.under_way += bytes;
    }

    /// Gives the index for the `bytes` that were written since the last one.
    pub fn mark(&mut self, index: u64, bytes: usize, now_us: u64) {
        self.last = index;
        let new = Sent { index, bytes, newest: bytes, under_way: self.under_way, begun_us: now_us, written_us: now_us };
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

    /// Returns the last index, if it was not taken.
    pub fn unanswered(&self) -> Option<u64> {
        self.sent.back().map(|piece| piece.index)
    }

    /// Notes that everything up to an index was taken. It may be known already.
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

    /// Ends a round, with its last sample.
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

    /// Starts a measurement: nothing leaves until everything is taken, and then one message. The bytes that the reader
    /// takes in the delay of `sample` are known; the new base gives the rest.
    fn measure(&mut self, sample: Sample) {
        self.is_measuring = true;
        self.round.least = Some(sample);
    }

    /// Uses the sample of a message that went alone.
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
    /// Returns the bytes that the reader takes in the wanted delay, if it took these bytes in this delay.
    fn suits(self, base_us: u64) -> usize {
        let wanted_us = u128::from(base_us + target(base_us));
        (self.under_way as u128 * wanted_us / u128::from(self.delay_us)) as usize
    }
}

/// Returns how far a delay may be above its base.
fn target(base_us: u64) -> u64 {
    TARGET_US + base_us / 2
}

/// Returns the bytes between two answers for a window of `size`, small enough that the answers come before it is full.
pub fn part(size: usize) -> usize {
    if size < FREE { size / 4 } else { (size / 4).max(FREE / 2) }
}

/// The initial size in bytes: a hundred small messages, or a third of a second over a link of 50 KB/s.
pub const INITIAL: usize = limit::INITIAL_WINDOW;

/// The size up to which the window grows freely: what a reader that becomes slow has to take before anything fresh.
const FREE: usize = 64 << 10;

/// The largest size in bytes: 10 MB/s over 100 ms.
const MAX: usize = 1 << 20;

/// Microseconds of queue that are wanted in addition to half the base: longer than a reader's loop is usually busy with
/// other work.
const TARGET_US: u64 = 25_000;

/// The number of parts of a full window, about. Each part takes memory.
const PIECES: usize = 32;

/// Messages written within so many microseconds are one part.
const JOINED_US: u64 = 2_000;

/// The base moves a quarter of the way to a lower delay, and to that of a message that went alone, because a single
/// delay may be low or high by chance.
const STEP: u64 = 4;

/// The least number of delays in a round.
const SAMPLES: u32 = 4;

/// The number of late rounds after which the base is measured again.
const LATE_MAX: u32 = 3;

/// Microseconds for which a base is valid without confirmation.
const CONFIRM_US: u64 = 10_000_000;

#[cfg(test)]
mod tests;
