//! How a shard reports to the budget, and frees memory when the engine is over it.

use std::sync::Arc;

use crate::queues::command::Cause;
use crate::shard::conn::{Conn, drop_message};
use crate::shard::{Link, Shard};
use crate::stats::Drop;

impl<L: Link> Shard<L> {
    /// Reports the changes of this turn to the budget, and frees memory when the budget is exceeded. `queued` bytes are
    /// still on their way to this shard; they are no reader's fault and have a limit of their own.
    pub fn settle(&mut self, now_us: u64, queued: usize) {
        self.count();
        if self.budget.is_over(queued) {
            self.relieve(now_us, queued);
        }
    }

    /// Reports the number of references to the budget.
    pub(super) fn count(&mut self) {
        if self.references > self.counted {
            self.budget.add((self.references - self.counted) * REFERENCE_BYTES);
        } else {
            self.budget.subtract((self.counted - self.references) * REFERENCE_BYTES);
        }
        self.counted = self.references;
    }

    /// Frees memory because the engine is over its budget. Readers that keep up hold next to nothing, so this starts
    /// with the slowest. First it drops droppable messages (values with a newer one were replaced before), then what
    /// waits for rates; only then does it close connections.
    pub(super) fn relieve(&mut self, now_us: u64, queued: usize) {
        self.joins.clear();
        self.forget_sent(queued);
        let mut worst: Vec<_> = self
            .slots
            .iter_mut(self.index)
            .filter(|(_, slot)| (slot.is_blocked || slot.outbox.is_held()) && slot.outbox.messages() > 0)
            .map(|(conn, slot)| (slot.outbox.bytes(), conn))
            .collect();
        worst.sort_unstable_by(|a, b| b.cmp(a));
        let stats = Arc::clone(&self.stats);
        for &(_, conn) in &worst {
            if !self.budget.is_over(queued) {
                return;
            }
            if let Some(Conn { outbox, skipped, account, .. }) = self.slots.get_mut(conn) {
                let before = outbox.references();
                outbox.clear_droppable(Drop::Budget, &mut |message, reason| {
                    drop_message(&stats, skipped, account, message, reason);
                });
                self.references = self.references + outbox.references() - before;
            }
            self.count();
        }
        for (_, room, group) in self.members.waiting() {
            if !self.budget.is_over(queued) {
                return;
            }
            self.drop_waiting(room, group);
            self.count();
        }
        for &(_, conn) in &worst {
            if !self.budget.is_over(queued) {
                return;
            }
            if self.slots.get_mut(conn).is_some_and(|slot| slot.outbox.messages() > 0) {
                self.close_slow(conn, Cause::Budget, now_us);
                self.count();
            }
        }
    }

    /// First drops what sessions keep of sent messages. That affects only sessions that lose their link now, and they
    /// are told.
    pub(super) fn forget_sent(&mut self, queued: usize) {
        let sent = |slot: &mut Conn<L>| slot.outbox.replay().map_or(0, |replay| replay.bytes());
        let mut most: Vec<_> = self
            .slots
            .iter_mut(self.index)
            .map(|(conn, slot)| (sent(slot), conn))
            .filter(|&(bytes, _)| bytes > 0)
            .collect();
        most.sort_unstable_by(|a, b| b.cmp(a));
        for (_, conn) in most {
            // Stops well below the limit, because this looks at every connection and must not run again at once.
            if !self.budget.is_near(queued) {
                return;
            }
            self.with_outbox(conn, |outbox| outbox.replay().into_iter().for_each(|replay| replay.forget()));
            self.count();
        }
    }
}

/// The memory of one reference in a queue: its entry, and its share of the key index.
const REFERENCE_BYTES: usize = 16;
