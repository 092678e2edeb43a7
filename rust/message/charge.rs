//! What a message counts for in the budget of the engine, and in the history of its room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::budget::Budget;
use crate::interest::Audience;
use crate::message::{Message, OVERHEAD};
use crate::protocol::form::Form;

/// The bytes of one message in the budget. While its room keeps the message, they are noted there as kept: the message
/// would have them if no connection waited for it.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    /// How many times the room keeps it: in its history, and as the newest of its key.
    keepers: AtomicUsize,
    /// Its bytes that are noted as kept.
    kept: AtomicUsize,
}

impl Charge {
    /// Counts the first bytes of a message.
    pub(super) fn new(budget: &Arc<Budget>, bytes: usize) -> Self {
        budget.add(bytes);
        Self { budget: Arc::clone(budget), keepers: AtomicUsize::new(0), kept: AtomicUsize::new(0) }
    }

    /// Returns the charge of another message in the same budget.
    pub(super) fn another(&self, bytes: usize) -> Self {
        Self::new(&self.budget, bytes)
    }

    /// Counts further bytes of the message.
    pub(super) fn add(&self, bytes: usize) {
        self.budget.add(bytes);
        if self.keepers.load(Relaxed) > 0 {
            self.note(bytes);
        }
    }

    /// Counts the message no more.
    pub(super) fn end(&self, size: usize) {
        self.budget.unnote_kept(self.kept.swap(0, Relaxed));
        self.budget.subtract(size);
    }

    fn note(&self, bytes: usize) {
        self.kept.fetch_add(bytes, Relaxed);
        self.budget.note_kept(bytes);
    }
}

impl Message {
    /// Notes that its room keeps it, once more if it does already. A form that is built at this moment may stay out of
    /// what is noted.
    pub fn keep(&self) {
        let size = self.size();
        if self.charge.keepers.fetch_add(1, Relaxed) == 0 {
            self.charge.note(size);
        }
    }

    /// Notes that its room keeps it once less.
    pub fn release(&self) {
        if self.charge.keepers.fetch_sub(1, Relaxed) == 1 {
            self.charge.budget.unnote_kept(self.charge.kept.swap(0, Relaxed));
        }
    }

    /// Returns the bytes charged to the room's history for this message: the payload, and one envelope around it, which
    /// may be built later.
    pub fn kept_size(&self) -> usize {
        kept_size(self.frame(Form::RAW).len(), self.metadata.audience.as_deref())
    }
}

/// Returns [`Message::kept_size`] for a message with this audience whose raw form has `raw` bytes.
pub fn kept_size(raw: usize, audience: Option<&Audience>) -> usize {
    2 * raw + OVERHEAD + audience.map_or(0, Audience::size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Delivery, Metadata, Role};
    use crate::protocol::envelope::Kind;

    #[test]
    fn what_a_room_keeps_does_not_wait_in_any_form() {
        let budget = Arc::new(Budget::new(1 << 20));
        let metadata = Metadata { room_name: Some("r".into()), ..Metadata::place(1, 1, Delivery::Reliable) };
        let message = Message::new(Role::Data, Kind::Json, b"[1,2,3]", metadata, 0, &budget);
        message.frame(Form::JSON);
        assert_eq!(budget.waiting(), message.size());
        message.keep();
        message.keep();
        assert_eq!((budget.waiting(), budget.used()), (0, message.size()));
        message.frame(Form::MSGPACK);
        assert_eq!((budget.waiting(), budget.used()), (0, message.size()));
        message.release();
        assert_eq!(budget.waiting(), 0);
        message.release();
        assert_eq!(budget.waiting(), message.size());
        message.keep();
        drop(message);
        assert_eq!((budget.waiting(), budget.used()), (0, 0));
        budget.add(7);
        assert_eq!(budget.waiting(), 7);
    }
}
