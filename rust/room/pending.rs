//! What waits in a room for the edge of its tick: of each key the newest value, and all messages without a key in their
//! order. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::interest::Audience;
use crate::message::Delivery;
use crate::protocol::envelope::Kind;
use crate::slots::ConnId;

/// A message that waits. It gets its number at the edge.
#[derive(Debug)]
pub struct Held {
    /// What kind of payload it is.
    pub kind: Kind,
    /// The payload.
    pub payload: Box<[u8]>,
    /// The key that it replaces in a `latest` room; none: its class has no keys.
    pub key: Option<Arc<str>>,
    /// A delivery class that overrides the one of the room.
    pub delivery: Option<Delivery>,
    /// The connections that do not get it, sorted.
    pub except: Box<[ConnId]>,
    /// When it came, in microseconds since 1970.
    pub held_us: u64,
    /// When another node has published it, in milliseconds since 1970; none: this node has.
    pub foreign_ms: Option<u64>,
    /// The node that it comes from, for recordings.
    pub origin: u64,
    /// The members that it is for; none: all.
    pub audience: Option<Arc<Audience>>,
    /// Who wants to know its number.
    pub tickets: Vec<u64>,
}

impl Held {
    /// Returns when it was published, in microseconds since 1970.
    pub fn made_us(&self) -> u64 {
        self.foreign_ms.map_or(self.held_us, |ms| ms.saturating_mul(1000))
    }

    /// Returns the bytes that it takes.
    pub fn size(&self) -> usize {
        OVERHEAD + self.payload.len() + self.audience.as_ref().map_or(0, |audience| audience.size())
    }
}

/// The messages that wait in one room.
#[derive(Debug, Default)]
pub struct Pending {
    /// Whether the room waits for the application, also at the edges of its tick.
    pub is_stopped: bool,
    /// A forgotten value leaves its place empty.
    messages: Vec<Option<Held>>,
    places: HashMap<Arc<str>, usize>,
}

impl Pending {
    /// Whether nothing waits. Then the room is not on the list of its rate.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns the value that a message with this key would replace.
    pub fn value(&self, key: &str) -> Option<&Held> {
        self.messages.get(*self.places.get(key)?)?.as_ref()
    }

    /// Returns the number of places that are taken.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Adds a message. A value takes the place of the one with its key, so that what is published after the older value
    /// still comes after a value. Who wants to know the number of the older one gets that of the newer one. Returns
    /// whether one was replaced.
    pub fn hold(&mut self, mut message: Held) -> bool {
        if let Some(key) = &message.key
            && let Some(&place) = self.places.get(key)
            && let Some(old) = self.messages.get_mut(place)
        {
            if let Some(old) = old.as_mut().filter(|old| !old.tickets.is_empty()) {
                old.tickets.append(&mut message.tickets);
                std::mem::swap(&mut old.tickets, &mut message.tickets);
            }
            return old.replace(message).is_some();
        }
        if let Some(key) = &message.key {
            self.places.insert(Arc::clone(key), self.messages.len());
        }
        self.messages.push(Some(message));
        false
    }

    /// Removes the value of a key, which was forgotten.
    pub fn forget(&mut self, key: &str) -> Option<Held> {
        let place = self.places.remove(key)?;
        self.messages.get_mut(place)?.take()
    }

    /// Takes all messages, in their order.
    pub fn take(&mut self) -> Vec<Held> {
        self.places.clear();
        std::mem::take(&mut self.messages).into_iter().flatten().collect()
    }
}

/// Bytes that one waiting message takes besides its payload.
const OVERHEAD: usize = size_of::<Held>() + 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(key: Option<&str>, payload: &str, tickets: &[u64]) -> Held {
        Held {
            kind: Kind::Text,
            payload: payload.as_bytes().into(),
            key: key.map(Arc::from),
            delivery: None,
            except: Box::default(),
            held_us: 0,
            foreign_ms: None,
            origin: 0,
            audience: None,
            tickets: tickets.into(),
        }
    }

    fn texts(messages: &[Held]) -> Vec<&str> {
        messages.iter().map(|message| std::str::from_utf8(&message.payload).unwrap()).collect()
    }

    #[test]
    fn the_newest_value_of_a_key_stays_at_the_place_of_the_first() {
        let mut pending = Pending::default();
        assert!(!pending.hold(waiting(Some("a"), "a1", &[1])));
        assert!(!pending.hold(waiting(None, "x", &[])));
        assert!(pending.hold(waiting(Some("a"), "a2", &[])));
        assert!(!pending.hold(waiting(None, "x", &[])));
        assert!(pending.hold(waiting(Some("a"), "a3", &[2, 3])));
        assert_eq!((pending.len(), pending.value("a").unwrap().payload.len()), (3, 2));
        let taken = pending.take();
        assert_eq!(texts(&taken), ["a3", "x", "x"]);
        assert_eq!(taken[0].tickets, [1, 2, 3]);
        assert!(pending.is_empty() && pending.take().is_empty() && pending.value("a").is_none());
    }

    #[test]
    fn a_forgotten_value_does_not_leave_and_its_key_may_come_again() {
        let mut pending = Pending::default();
        pending.hold(waiting(Some("a"), "a1", &[1]));
        pending.hold(waiting(Some("b"), "b1", &[]));
        assert_eq!(pending.forget("a").unwrap().tickets, [1]);
        assert!(pending.forget("a").is_none() && pending.forget("c").is_none());
        assert!(!pending.hold(waiting(Some("a"), "a2", &[])));
        assert_eq!(texts(&pending.take()), ["b1", "a2"]);
    }
}
