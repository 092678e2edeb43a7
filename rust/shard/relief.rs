//! What a shard tells the budget, and gives up when the engine is over it.

use std::sync::Arc;

use crate::queues::command::Cause;
use crate::shard::conn::{Conn, drop_message};
use crate::shard::{Link, Shard};
use crate::stats::Drop;

impl<L: Link> Shard<L> {
    /// Tells the budget what this turn has changed, and makes the slowest give way when it is over.
    /// `queued` bytes are still on their way here: nobody's fault, and bounded on their own.
    pub fn settle(&mut self, now_us: u64, queued: usize) {
        self.count();
        if self.budget.is_over(queued) {
            self.relieve(now_us, queued);
        }
    }

    /// Tells the budget how many references there are.
    pub(super) fn count(&mut self) {
        if self.references > self.counted {
            self.budget.add((self.references - self.counted) * REFERENCE_BYTES);
        } else {
            self.budget.subtract((self.counted - self.references) * REFERENCE_BYTES);
        }
        self.counted = self.references;
    }

    /// The engine is over its budget. Readers that keep up hold next to nothing, so the way back leads
    /// through those that do not, the worst first: what may be dropped is dropped (what could be replaced
    /// by key has been, on arrival), and only then are connections closed.
    pub(super) fn relieve(&mut self, now_us: u64, queued: usize) {
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
            if let Some(Conn { outbox, skips, account, .. }) = self.slots.get_mut(conn) {
                let before = outbox.references();
                outbox.clear_droppable(Drop::Budget, &mut |message, reason| {
                    drop_message(&stats, skips, account, message, reason);
                });
                self.references = self.references + outbox.references() - before;
            }
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

    /// What sessions keep of what was sent is given up first: that hurts only those who lose their connection now, and
    /// they are told.
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
            // Well below the limit: this looks at every connection, and must not be done again at once.
            if !self.budget.is_near(queued) {
                return;
            }
            self.with_outbox(conn, |outbox| outbox.replay().into_iter().for_each(|replay| replay.forget()));
            self.count();
        }
    }
}

/// What one reference in a queue costs: its place, and its share of the key index.
const REFERENCE_BYTES: usize = 16;
