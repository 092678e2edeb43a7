//! The keys of a room that were forgotten recently, and when. A late message that is older must not bring a key back.
//! Pure.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

/// The forgotten keys, at most `most`. Beyond that, the key that was forgotten first is removed.
#[derive(Debug, Default)]
pub struct Forgotten(IndexMap<Box<str>, When, FxBuildHasher>);

/// When a key was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// The time in microseconds since 1970, by the clock of the node that forgot it.
    pub ts_us: u64,
    /// The number in the room of the message that said so; 0 if there is none.
    pub seq: u64,
}

impl When {
    /// Creates it from that message's number and its time in milliseconds since 1970.
    pub fn at(seq: u64, ts_ms: u64) -> Self {
        Self { ts_us: ts_ms.saturating_mul(1000), seq }
    }
}

impl Forgotten {
    /// Notes that a key was forgotten. The latest time wins.
    pub fn note(&mut self, key: &str, when: When, most: usize) {
        if let Some(known) = self.0.get_mut(key) {
            *known = When { ts_us: known.ts_us.max(when.ts_us), seq: known.seq.max(when.seq) };
            return;
        }
        if self.0.len() >= most {
            self.0.shift_remove_index(0);
        }
        self.0.insert(key.into(), when);
    }

    /// Returns when a key was forgotten, if that is known.
    pub fn when(&self, key: &str) -> Option<When> {
        self.0.get(key).copied()
    }

    /// Resets the numbers, because those of the old epoch mean nothing in the new one.
    pub fn renumber(&mut self) {
        self.0.values_mut().for_each(|when| when.seq = 0);
    }
}

/// The limit on forgotten keys of a room in addition to those in its history; each takes about 100 bytes. An order to
/// forget a key reaches nodes within seconds, or within an hour if they are cut off. Beyond this limit only the clocks
/// decide.
pub const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_time_counts() {
        let mut forgotten = Forgotten::default();
        assert_eq!(forgotten.when("a"), None);
        for (ts_us, seq) in [(5, 2), (9, 1), (7, 3)] {
            forgotten.note("a", When { ts_us, seq }, 10);
        }
        assert_eq!(forgotten.when("a"), Some(When { ts_us: 9, seq: 3 }));
        forgotten.renumber();
        assert_eq!(forgotten.when("a"), Some(When { ts_us: 9, seq: 0 }));
    }

    #[test]
    fn the_first_goes_when_there_are_too_many() {
        let mut forgotten = Forgotten::default();
        for key in ["a", "b", "a", "c"] {
            forgotten.note(key, When { ts_us: 1, seq: 0 }, 2);
        }
        assert_eq!(["a", "b", "c"].map(|key| forgotten.when(key).is_some()), [false, true, true]);
    }
}
