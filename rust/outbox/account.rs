//! What one connection was sent and what was dropped for it, for the record at its end. Pure.

use crate::stats::DROPS;
use crate::stats::Drop;

/// Counts over the whole life of a connection. Those of a session include all its links.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Account {
    /// Messages that were handed to the kernel (or to the TLS layer) completely.
    pub messages: u64,
    /// Bytes that were handed over.
    pub bytes: u64,
    /// Messages that were dropped, in the order of [`DROPS`]. Allocated when first needed: most connections never lose
    /// one.
    drops: Option<Box<[u64; DROPS.len()]>>,
    /// The most bytes that have waited at once.
    pub highest_queue: usize,
    /// How many messages of each age its application has taken. Allocated with the first report of an age.
    ages: Option<Box<[u32; AGES]>>,
}

impl Account {
    /// Counts the result of one write.
    pub fn wrote(&mut self, messages: usize, bytes: usize) {
        self.messages += messages as u64;
        self.bytes += bytes as u64;
    }

    /// Counts dropped messages.
    pub fn dropped(&mut self, reason: Drop, messages: usize) {
        self.drops.get_or_insert_default()[reason as usize] += messages as u64;
    }

    /// Notes the bytes that wait.
    pub fn queued(&mut self, bytes: usize) {
        self.highest_queue = self.highest_queue.max(bytes);
    }

    /// Counts the age of a message when the client's application took it, as the client reports it.
    pub fn took(&mut self, age_ms: u64) {
        let ages = self.ages.get_or_insert_with(|| Box::new([0; AGES]));
        let count = &mut ages[bucket(age_ms)];
        *count = count.saturating_add(1);
    }

    /// Returns the median of these ages in milliseconds, within a quarter of it; none if no age was reported.
    pub fn median_age_ms(&self) -> Option<f64> {
        let ages = self.ages.as_deref()?;
        let half = ages.iter().map(|&count| u64::from(count)).sum::<u64>() as f64 / 2.0;
        let mut below = 0.0;
        for (place, count) in ages.iter().map(|&count| f64::from(count)).enumerate() {
            if count > 0.0 && below + count >= half {
                let (from, to) = (lowest(place) as f64, lowest(place + 1) as f64);
                return Some(from + (to - from) * (half - below) / count);
            }
            below += count;
        }
        None
    }

    /// Returns the reasons for which messages were dropped, with their counts.
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.drops.iter().flat_map(|drops| drops.iter().copied());
        DROPS.iter().map(|(_, name)| *name).zip(counts).filter(|&(_, count)| count > 0)
    }
}

/// Buckets of ages, two for each power of two of milliseconds: the last one begins at 52 minutes.
const AGES: usize = 44;

/// The bucket of an age.
fn bucket(age_ms: u64) -> usize {
    if age_ms < 2 {
        return age_ms as usize;
    }
    let power = age_ms.ilog2() as usize;
    (2 * power + (age_ms >> (power - 1) & 1) as usize).min(AGES - 1)
}

/// The lowest age of a bucket.
fn lowest(bucket: usize) -> u64 {
    match bucket {
        0 | 1 => bucket as u64,
        _ => (2 + (bucket as u64 & 1)) << (bucket / 2 - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reasons_that_occurred_are_listed() {
        let mut account = Account::default();
        assert_eq!(account.drops().count(), 0);
        account.wrote(2, 100);
        account.wrote(0, 5);
        account.dropped(Drop::Oldest, 3);
        account.dropped(Drop::Closed, 1);
        account.dropped(Drop::Oldest, 1);
        assert_eq!((account.messages, account.bytes), (2, 105));
        assert_eq!(account.drops().collect::<Vec<_>>(), [("oldest", 4), ("closed", 1)]);
    }

    #[test]
    fn the_most_that_has_waited_stays() {
        let mut account = Account::default();
        for bytes in [10, 300, 20] {
            account.queued(bytes);
        }
        assert_eq!(account.highest_queue, 300);
    }

    #[test]
    fn a_bucket_begins_where_the_one_below_it_ends() {
        for place in 0..AGES {
            assert_eq!(bucket(lowest(place)), place);
            assert_eq!(bucket(lowest(place + 1) - 1), place);
        }
        assert_eq!(bucket(u64::MAX), AGES - 1);
    }

    #[test]
    fn the_median_age_is_within_a_quarter_of_the_true_one() {
        assert_eq!(Account::default().median_age_ms(), None);
        for median in [1_u64, 3, 40, 700, 9_000, 1_000_000] {
            let mut account = Account::default();
            for age_ms in [0, median, median, median, u64::MAX] {
                account.took(age_ms);
            }
            let found = account.median_age_ms().unwrap();
            let wrong = (found - median as f64).abs();
            assert!(wrong <= 1.0 || wrong <= median as f64 / 4.0, "{found} is not about {median}");
        }
    }
}
