//! Counters by the rule of a room: the pattern by which the room got its settings. The number of rules is bounded, and
//! the number of rooms is not. One thread writes each table; any thread may read it.

use crate::stats::{Counter, DROPS, Drop, Histogram};

/// The number of a rule in the statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleId(u8);

impl RuleId {
    /// Messages that belong to no room: to one connection, or to all.
    pub const NO_ROOM: Self = Self(0);

    /// Rooms that no pattern matches, and rules beyond the limit [`RULES`].
    pub const OTHERS: Self = Self(1);

    /// Returns the number of the rule at a place in the list of rules.
    pub fn nth(place: usize) -> Self {
        u8::try_from(place.saturating_add(2)).map_or(Self::OTHERS, Self)
    }

    /// Returns its place in a table of [`RULES`] entries.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The limit on rules that are counted apart: a table takes 70 kB in each shard, and a scrape stays below a megabyte.
pub const RULES: usize = 1 << u8::BITS;

/// The counters of one rule in one shard.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct RuleStats {
    // What each write changes is first, on as few cache lines as possible.
    /// Messages handed to the kernel (or to the TLS layer) completely.
    pub delivered: Counter,
    /// Bytes of their payloads.
    pub bytes: Counter,
    /// The ages of messages when they were handed over for the first time.
    pub latency: Histogram,
    /// Messages dropped, by reason.
    pub drops: [Counter; DROPS.len()],
}

/// A message in the statistics, or those messages of a joined one that belong to one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The rule.
    pub rule: RuleId,
    /// How many messages.
    pub count: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// When the oldest of them was published, in microseconds since the engine started.
    pub published_us: u64,
}

impl Share {
    /// Returns what as many members count for.
    pub fn times(self, members: usize) -> Self {
        Self { count: self.count * members as u64, ..self }
    }
}

/// The counters of all rules in one shard.
#[derive(Debug)]
pub struct RuleTable(Box<[RuleStats]>);

impl Default for RuleTable {
    fn default() -> Self {
        Self((0..RULES).map(|_| RuleStats::default()).collect())
    }
}

impl RuleTable {
    /// Returns the counters of a rule.
    #[inline]
    pub fn of(&self, rule: RuleId) -> &RuleStats {
        &self.0[rule.index()]
    }

    /// Returns the counters of all rules, by [`RuleId::index`].
    pub fn iter(&self) -> impl Iterator<Item = &RuleStats> {
        self.0.iter()
    }

    /// Counts messages that were handed over; `age_us`, unless they were sent before. Only the owner's thread may call
    /// it.
    #[inline]
    pub fn delivered(&self, share: Share, age_us: Option<u64>) {
        let stats = self.of(share.rule);
        stats.delivered.add(share.count);
        stats.bytes.add(share.bytes);
        if let Some(age_us) = age_us {
            stats.latency.record(age_us, share.count);
        }
    }

    /// Counts messages that were dropped. Only the owner's thread may call it.
    pub fn dropped(&self, share: Share, reason: Drop) {
        self.of(share.rule).drops[reason as usize].add(share.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_beyond_the_limit_count_as_the_others() {
        assert_eq!(RuleId::nth(0).index(), 2);
        assert_eq!(RuleId::nth(RULES - 3).index(), RULES - 1);
        assert_eq!(RuleId::nth(RULES - 2), RuleId::OTHERS);
        assert_eq!(RuleId::nth(usize::MAX), RuleId::OTHERS);
    }

    #[test]
    fn each_rule_counts_apart() {
        let table = RuleTable::default();
        let share = Share { rule: RuleId::nth(0), count: 3, bytes: 30, published_us: 0 };
        table.delivered(share, Some(5));
        table.delivered(share, None);
        table.dropped(Share { rule: RuleId::OTHERS, ..share }, Drop::Oldest);
        let stats = table.of(share.rule);
        let latency: u64 = stats.latency.buckets().map(|(_, count)| count).sum();
        assert_eq!((stats.delivered.value(), stats.bytes.value(), latency, stats.latency.sum_us()), (6, 60, 3, 15));
        assert_eq!(table.of(RuleId::OTHERS).drops[Drop::Oldest as usize].value(), 3);
        assert_eq!(table.iter().map(|stats| stats.delivered.value()).sum::<u64>(), 6);
    }
}
