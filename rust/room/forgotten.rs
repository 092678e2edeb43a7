//! Keys of a room that were forgotten lately, and when: what is older must not bring them back, however late it comes.
//! Pure.

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

/// See the module's head. Bounded: beyond `most` the key that was forgotten first is no longer remembered.
#[derive(Debug, Default)]
pub struct Forgotten(IndexMap<Box<str>, When, FxBuildHasher>);

/// When a key was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// In microseconds since 1970, by the clock of the node that forgot it.
    pub ts_us: u64,
    /// The number of the forgetting in the room; 0 if it has none.
    pub seq: u64,
}

impl When {
    /// By a message with that number and time, in milliseconds since 1970.
    pub fn at(seq: u64, ts_ms: u64) -> Self {
        Self { ts_us: ts_ms.saturating_mul(1000), seq }
    }
}

impl Forgotten {
    /// Remembers that a key was forgotten. The latest time counts, whatever comes first.
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

    /// When a key was forgotten, if that is remembered.
    pub fn when(&self, key: &str) -> Option<When> {
        self.0.get(key).copied()
    }

    /// The room's numbers begin anew, so those from before say nothing.
    pub fn renumber(&mut self) {
        self.0.values_mut().for_each(|when| when.seq = 0);
    }
}

/// Keys that are remembered of a room, besides those in its history: each takes about 100 bytes. An order to forget a key
/// reaches nodes within seconds, or within an hour if they are cut off; beyond this many the clocks alone decide.
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
