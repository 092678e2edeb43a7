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

    /// Returns the reasons for which messages were dropped, with their counts.
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.drops.iter().flat_map(|drops| drops.iter().copied());
        DROPS.iter().map(|(_, name)| *name).zip(counts).filter(|&(_, count)| count > 0)
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
}
