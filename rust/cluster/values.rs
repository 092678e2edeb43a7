//! The newest values of a room, for nodes that begin to hear it: what they have is what they have heard, and values change
//! when they like.

use crate::cluster::node_message::{self, Parcel};
use crate::engine::message_builder::Stamp;
use crate::engine::{Engine, ring};
use crate::error::Error;

impl Engine {
    /// The newest value of each key of a room, packed.
    pub fn values(&self, name: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.check()?;
        // Packed without the room's lock.
        let messages = self.snapshot(name);
        Ok(messages.iter().filter_map(|message| node_message::pack(message)).collect())
    }

    /// Takes values of another node for a room that is heard since `since_ms`, in milliseconds since 1970: those whose keys
    /// have none here, or an older one from before that time. Members get them as if they were published now, but for the
    /// time on them. Returns how many they were; what is no value, or does not fit, is none.
    pub fn take_values(&self, name: &str, since_ms: u64, values: &[&[u8]]) -> Result<usize, Error> {
        self.check()?;
        let mut wake = Vec::new();
        let mut taken = 0;
        for data in values {
            if let Ok(Parcel { ts_ms, draft: Some(draft), .. }) = Parcel::unpack(data)
                && let Some(key) = draft.key
            {
                let found = self.enter(name, draft, &[], &mut wake, |room| {
                    if room.forgotten(key).is_some_and(|when| ts_ms < when.ts_us / 1000) {
                        return None;
                    }
                    let is_wanted = room.value(key).is_none_or(|old| {
                        let old_ms = old.about().ts_ms;
                        old_ms < since_ms && old_ms < ts_ms && old.payload() != draft.payload
                    });
                    is_wanted.then_some(Stamp { seq: room.position().seq + 1, ts_ms })
                });
                taken += usize::from(found.is_ok_and(|is_new| is_new));
            }
        }
        ring(&mut wake);
        Ok(taken)
    }
}
