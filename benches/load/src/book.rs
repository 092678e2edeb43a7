//! What one member of a room has received, held against what docs/protocol.md promises. Pure, and not a connection: the
//! books go on when a connection is replaced.

use serde::Serialize;

/// The books of a room whose numbers all arrive.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The number that should come next; 0 before the room is joined.
    next: u64,
    /// Numbers passed over, as ranges with both ends.
    missing: Vec<(u64, u64)>,
    /// What came more than once.
    doubled: u64,
    /// What came after a greater number.
    late: u64,
    /// What `skipped` told of.
    skipped: u64,
}

/// Mistakes of delivery, summed up over members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Numbers that never came.
    pub lost: u64,
    /// Deliveries of what had come before.
    pub doubled: u64,
    /// Deliveries after that of a greater number.
    pub out_of_order: u64,
    /// Numbers that the server said it would not deliver.
    pub skipped: u64,
    /// Messages that are not the one their number says.
    pub foreign: u64,
}

impl Ledger {
    /// The room is joined and its newest message has the number `seq`.
    pub fn join(&mut self, seq: u64) {
        self.next = seq + 1;
    }

    /// The number that should come next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The message `seq` has come.
    pub fn take(&mut self, seq: u64) {
        if seq >= self.next {
            if seq > self.next {
                self.missing.push((self.next, seq - 1));
            }
            self.next = seq + 1;
            return;
        }
        let Some(at) = self.missing.iter().position(|&(first, last)| (first..=last).contains(&seq)) else {
            self.doubled += 1;
            return;
        };
        self.late += 1;
        let (first, last) = self.missing.swap_remove(at);
        self.missing.extend([(first, seq - 1), (seq + 1, last)].into_iter().filter(|(first, last)| first <= last));
    }

    /// The server tells of `count` messages that do not come.
    pub fn skip(&mut self, count: u64) {
        self.skipped += count;
    }

    /// The mistakes, if `last` was the last message.
    #[must_use]
    pub fn faults(&self, last: u64) -> Faults {
        let passed: u64 = self.missing.iter().map(|(first, last)| last - first + 1).sum();
        Faults {
            lost: passed + (last + 1).saturating_sub(self.next),
            doubled: self.doubled,
            out_of_order: self.late,
            skipped: self.skipped,
            foreign: 0,
        }
    }
}

impl Faults {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            out_of_order: self.out_of_order + other.out_of_order,
            skipped: self.skipped + other.skipped,
            foreign: self.foreign + other.foreign,
        }
    }
}

/// The books of a room of latest values whose keys are the numbers below a bound.
#[derive(Debug, Clone, Default)]
pub struct Values {
    /// The newest message when the room was joined.
    joined: u64,
    /// The number of each key's value; 0 before there is one.
    newest: Vec<u64>,
    /// Keys that have a value.
    known: usize,
    /// A bit for each number after `joined` that came.
    came: Vec<u64>,
    /// How many those are.
    delivered: u64,
    /// Values as of joining that came.
    snapshot: u64,
    /// What `skipped` told of, values as of joining included: how many, and first and last of each telling.
    told: u64,
    ranges: Vec<(u64, u64)>,
    faults: ValueFaults,
}

/// Mistakes in a room of latest values, summed up over members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ValueFaults {
    /// Numbers after joining, and values as of joining, that neither came nor were told of.
    pub untold: u64,
    /// Numbers that `skipped` counted though they came, or counted twice.
    pub told_too_many: u64,
    /// Numbers that are missing and lie in no range of any `skipped`.
    pub outside_ranges: u64,
    /// Deliveries of what had come before.
    pub doubled: u64,
    /// A key's value followed by an older one.
    pub backwards: u64,
    /// Keys without a value at the end.
    pub absent: u64,
    /// Keys whose value at the end is not the last one published.
    pub stale: u64,
    /// Messages without a known key, or before the room was joined.
    pub foreign: u64,
    /// `skipped` with more than its range holds.
    pub odd_skips: u64,
}

impl Values {
    /// The books of a room of so many keys.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self { newest: vec![0; keys], ..Self::default() }
    }

    /// The room is joined and its newest message has the number `seq`.
    pub fn join(&mut self, seq: u64) {
        self.joined = seq;
    }

    /// The message `seq` of `key` has come.
    pub fn take(&mut self, key: Option<usize>, seq: u64) {
        let Some(newest) = key.and_then(|key| self.newest.get_mut(key)).filter(|_| seq > 0) else {
            self.faults.foreign += 1;
            return;
        };
        if *newest == 0 {
            self.known += 1;
        }
        match seq.cmp(newest) {
            std::cmp::Ordering::Less => self.faults.backwards += 1,
            std::cmp::Ordering::Equal => self.faults.doubled += 1,
            std::cmp::Ordering::Greater => *newest = seq,
        }
        if seq <= self.joined {
            self.snapshot += 1;
            return;
        }
        let (word, bit) = self.place(seq);
        if self.came.len() <= word {
            self.came.resize(word + 1, 0);
        }
        if self.came[word] & bit == 0 {
            self.came[word] |= bit;
            self.delivered += 1;
        }
    }

    /// The server tells of `count` messages between `first` and `last` that do not come.
    pub fn skip(&mut self, count: u64, first: u64, last: u64) {
        if last < first || count > last - first + 1 {
            self.faults.odd_skips += 1;
        }
        self.told += count;
        self.ranges.push((first, last));
    }

    /// Whether every key has a value.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.known == self.newest.len()
    }

    /// Values as of joining, values from afterwards, and messages told of.
    #[must_use]
    pub fn sums(&self) -> (u64, u64, u64) {
        (self.snapshot, self.delivered, self.told)
    }

    /// Whether every number up to `last` has come or was told of.
    #[must_use]
    pub fn settled(&self, last: u64) -> bool {
        self.whole() && self.snapshot + self.delivered + self.told >= self.owed(last)
    }

    /// The mistakes, if `newest` are the last values published and `last` the last of them.
    #[must_use]
    pub fn faults(&self, newest: &[u64], last: u64) -> ValueFaults {
        let (accounted, owed) = (self.snapshot + self.delivered + self.told, self.owed(last));
        let mut ranges = self.ranges.clone();
        ranges.sort_unstable();
        let (mut ranges, mut reach, mut outside) = (ranges.into_iter().peekable(), 0, 0);
        for seq in self.joined + 1..=last {
            while let Some((_, last)) = ranges.next_if(|&(first, _)| first <= seq) {
                reach = reach.max(last);
            }
            let (word, bit) = self.place(seq);
            let came = self.came.get(word).is_some_and(|word| word & bit != 0);
            outside += u64::from(!came && reach < seq);
        }
        let differing = || self.newest.iter().zip(newest).filter(|(own, true_)| own != true_);
        ValueFaults {
            untold: owed.saturating_sub(accounted),
            told_too_many: accounted.saturating_sub(owed),
            outside_ranges: outside,
            absent: (self.newest.len() - self.known) as u64,
            stale: differing().filter(|(own, _)| **own != 0).count() as u64,
            ..self.faults
        }
    }

    /// A value of each key as of joining, every one of which was there, and all that came after.
    fn owed(&self, last: u64) -> u64 {
        self.newest.len() as u64 + last.saturating_sub(self.joined)
    }

    fn place(&self, seq: u64) -> (usize, u64) {
        let at = seq.saturating_sub(self.joined + 1);
        (usize::try_from(at / 64).unwrap_or(usize::MAX), 1 << (at % 64))
    }
}

impl ValueFaults {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            untold: self.untold + other.untold,
            told_too_many: self.told_too_many + other.told_too_many,
            outside_ranges: self.outside_ranges + other.outside_ranges,
            doubled: self.doubled + other.doubled,
            backwards: self.backwards + other.backwards,
            absent: self.absent + other.absent,
            stale: self.stale + other.stale,
            foreign: self.foreign + other.foreign,
            odd_skips: self.odd_skips + other.odd_skips,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(joined: u64, numbers: &[u64]) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.join(joined);
        numbers.iter().for_each(|&seq| ledger.take(seq));
        ledger
    }

    #[test]
    fn all_in_order_is_no_fault() {
        assert_eq!(ledger(2, &[3, 4, 5]).faults(5), Faults::default());
        assert_eq!(ledger(0, &[]).faults(0), Faults::default());
    }

    #[test]
    fn lost_doubled_and_late_are_told_apart() {
        let found = ledger(0, &[1, 5, 3, 3, 1, 6]).faults(8);
        // 2 and 4 in the middle, 7 and 8 at the end; the second 3 and the second 1; the first 3.
        assert_eq!(found, Faults { lost: 4, doubled: 2, out_of_order: 1, ..Faults::default() });
    }

    #[test]
    fn what_comes_late_after_all_is_not_lost() {
        let found = ledger(0, &[4, 1, 3, 2]);
        assert_eq!(found.faults(4), Faults { out_of_order: 3, ..Faults::default() });
        assert_eq!(found.next(), 5);
    }

    fn values() -> Values {
        let mut values = Values::new(3);
        values.join(10);
        values
    }

    #[test]
    fn a_snapshot_and_a_stream_with_replaced_values_are_no_fault() {
        let mut values = values();
        // Key 2 had been replaced by 12 before it was sent; 11 by 13.
        [(0, 8), (1, 10), (2, 12), (0, 13)].iter().for_each(|&(key, seq)| values.take(Some(key), seq));
        assert!(values.whole() && !values.settled(13));
        // The 11, and the 9 that key 2 had when the room was joined.
        values.skip(2, 9, 11);
        assert!(values.settled(13));
        assert_eq!(values.faults(&[13, 10, 12], 13), ValueFaults::default());
        assert_eq!(values.sums(), (2, 2, 2));
    }

    #[test]
    fn what_is_missing_doubled_old_or_stale_is_counted() {
        let mut values = values();
        [(0, 11), (0, 11), (1, 14), (1, 12)].iter().for_each(|&(key, seq)| values.take(Some(key), seq));
        values.take(None, 15);
        values.take(Some(3), 15);
        values.skip(2, 15, 15);
        let found = values.faults(&[11, 16, 9], 16);
        let wanted = ValueFaults {
            // Of three values as of joining and six numbers, 11, 12 and 14 came and two were told of.
            untold: 4,
            // 13 and 16.
            outside_ranges: 2,
            doubled: 1,
            backwards: 1,
            absent: 1,
            stale: 1,
            foreign: 2,
            odd_skips: 1,
            told_too_many: 0,
        };
        assert_eq!(found, wanted);
    }

    #[test]
    fn telling_of_what_came_is_told_too_much() {
        let mut values = values();
        [(0, 11), (1, 12), (2, 13)].iter().for_each(|&(key, seq)| values.take(Some(key), seq));
        values.skip(4, 8, 12);
        assert_eq!(values.faults(&[11, 12, 13], 13), ValueFaults { told_too_many: 1, ..ValueFaults::default() });
    }
}
