//! The newest values of a `latest` room, for a node that has just subscribed to it. Such a node knows only the values
//! that changed since then, so it asks another node for the rest.

use crate::cluster::node_message::{self, NodeMessage};
use crate::engine::message_builder::{Draft, Stamp};
use crate::engine::{Engine, wake_all};
use crate::error::Error;

impl Engine {
    /// Returns the newest value of each key of a room, packed.
    pub fn values(&self, name: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.check()?;
        // Packs the messages after the room's lock is released.
        let messages = self.snapshot(name);
        Ok(messages.iter().filter_map(|message| node_message::pack(message)).collect())
    }

    /// Takes the packed values of another node. `since_ms` is when this node subscribed to the room, in milliseconds
    /// since 1970. A value is used if its key has no value here, or one that is older than both the new value and
    /// `since_ms`. Members get it as a message published now, with its original time. Returns the number of values
    /// used. Skips values that cannot be decoded or do not fit.
    pub fn take_values(&self, name: &str, since_ms: u64, values: &[&[u8]]) -> Result<usize, Error> {
        self.check()?;
        let mut wake = Vec::new();
        let mut taken = 0;
        for data in values {
            if let Ok(NodeMessage { ts_ms, origin, draft: Some(draft), audience, .. }) = NodeMessage::unpack(data)
                && let Some(key) = draft.key
            {
                let draft = Draft { audience: audience.as_ref(), ..draft };
                let found = self.enter(name, draft, origin, &[], &mut wake, |room| {
                    if room.forgotten(key).is_some_and(|when| ts_ms < when.ts_us / 1000) {
                        return None;
                    }
                    let is_wanted = room.value(key).is_none_or(|old| {
                        let old_ms = old.metadata().ts_ms;
                        old_ms < since_ms && old_ms < ts_ms && old.payload() != draft.payload
                    });
                    is_wanted.then_some(Stamp::new(room.position().seq + 1, ts_ms))
                });
                taken += usize::from(found.is_ok_and(|is_new| is_new));
            }
        }
        wake_all(&mut wake);
        Ok(taken)
    }
}
