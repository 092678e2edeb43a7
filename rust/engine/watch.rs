//! New rooms that match a pattern: the host is told of them, and they keep their first messages for those who join.

use crate::engine::Engine;
use crate::error::Error;

impl Engine {
    /// Has the host told of each new room that matches, by an event.
    pub fn watch_rooms(&self, pattern: &str) -> Result<(), Error> {
        self.check()?;
        self.rooms.watch().add(pattern);
        Ok(())
    }

    /// Returns the names of rooms that match, from one part of all rooms after another, until it has looked at 1,000
    /// names, and the part to go on with; none if that was the last one. `part` is 0, or where the last call ended. Of a
    /// room that is made meanwhile one is told, if its pattern is watched, or it is listed, or both.
    pub fn matching_rooms(&self, pattern: &str, part: usize) -> Result<(Vec<Box<str>>, Option<usize>), Error> {
        self.check()?;
        Ok(self.rooms.matching(pattern, part, LOOKED))
    }

    /// Whether a room was made as one that is told of, and is not settled.
    pub fn is_new_room(&self, name: &str) -> bool {
        self.rooms.find(name, |entry| entry.room.keeps_first()).unwrap_or_default()
    }

    /// Ends the watch of a pattern.
    pub fn unwatch_rooms(&self, pattern: &str) {
        self.rooms.watch().remove(pattern);
    }

    /// Everybody who shall get the first messages of a new room has joined it: from now on it keeps what its rule says.
    pub fn settle_room(&self, name: &str) {
        self.rooms.find(name, |entry| entry.room.settle(self.rooms.kept()));
    }
}

/// Names that are compared with a pattern in one call: a fraction of a millisecond.
const LOOKED: usize = 1000;
