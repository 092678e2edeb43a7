//! Which rooms are recorded, by patterns of their names. Pure.

use std::sync::Arc;

use crate::recording::recorder::{Recorder, Recorders};
use crate::room::rules::matches;

/// The recordings of an engine.
#[derive(Debug, Default)]
pub struct Recorded {
    recordings: Vec<(u64, Vec<Box<str>>, Arc<Recorder>)>,
}

impl Recorded {
    /// Adds a recording of the rooms that match one of the patterns.
    pub fn add(&mut self, id: u64, patterns: Vec<Box<str>>, recorder: Arc<Recorder>) {
        self.recordings.push((id, patterns, recorder));
    }

    /// Removes a recording.
    pub fn remove(&mut self, id: u64) {
        self.recordings.retain(|(other, ..)| *other != id);
    }

    /// Returns the recordings of a room; none if there are none.
    pub fn of(&self, name: &str) -> Option<Recorders> {
        if self.recordings.is_empty() {
            return None;
        }
        let is_match = |patterns: &[Box<str>]| patterns.iter().any(|pattern| matches(pattern, name));
        let found: Vec<_> = self.recordings.iter().filter(|(_, patterns, _)| is_match(patterns)).collect();
        (!found.is_empty()).then(|| found.into_iter().map(|(.., recorder)| Arc::clone(recorder)).collect())
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use mio::{Poll, Token, Waker};

    use super::*;

    #[test]
    fn a_room_has_the_recordings_whose_patterns_match() {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let recorder = || Arc::new(Recorder::new(1, Arc::clone(&waker)));
        let mut recorded = Recorded::default();
        assert!(recorded.of("quotes.eur").is_none());
        recorded.add(1, vec!["quotes.*".into(), "trades".into()], recorder());
        recorded.add(2, vec!["*".into()], recorder());
        let count = |recorded: &Recorded, name| recorded.of(name).map_or(0, |found| found.len());
        assert_eq!(["quotes.eur", "trades", "other"].map(|name| count(&recorded, name)), [2, 2, 1]);
        recorded.remove(2);
        assert_eq!(["quotes.eur", "trades", "other"].map(|name| count(&recorded, name)), [1, 1, 0]);
    }
}
