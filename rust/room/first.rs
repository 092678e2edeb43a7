//! The first messages of a new room, which are kept for members who are still to join.

use crate::budget::Budget;
use crate::room::Room;

impl Room {
    /// Keeps the first messages, up to [`FIRST`], until [`Self::settle`] is called.
    pub fn keep_first(&mut self) {
        let settings = self.settings;
        self.settled = Some(Box::new(settings));
        if settings.history < FIRST {
            let is_none = settings.history == 0;
            self.settings.history = FIRST;
            self.settings.history_bytes = if is_none { FIRST_BYTES } else { settings.history_bytes.max(FIRST_BYTES) };
            self.settings.history_age_us =
                if is_none { FIRST_AGE_US } else { settings.history_age_us.max(FIRST_AGE_US) };
        }
    }

    /// Whether it keeps them still.
    pub fn keeps_first(&self) -> bool {
        self.settled.is_some()
    }

    /// From now on it keeps what its rule says.
    pub fn settle(&mut self, kept: &Budget) {
        let Some(settings) = self.settled.take() else { return };
        self.settings = *settings;
        while self.history.messages.len() > settings.history || self.history.bytes > settings.history_bytes {
            if self.history.pop(kept).is_none() {
                break;
            }
        }
        if settings.history == 0 {
            self.history.floor = self.seq;
        }
    }
}

/// The first messages that a new room keeps for members who are still to join: a second of a fast room.
const FIRST: usize = 1024;
/// The bytes of them.
const FIRST_BYTES: usize = 1 << 20;
/// How long they are kept: longer than `authorize` may take, in microseconds.
const FIRST_AGE_US: u64 = 60_000_000;
