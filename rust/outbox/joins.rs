//! What waits, joined into batches. Connections that are at the same place share the joined messages, and so their
//! bytes. Pure.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::ops::ControlFlow;
use std::sync::Arc;

use rustc_hash::FxHasher;

use crate::budget::Budget;
use crate::message::{Message, OVERHEAD};
use crate::protocol::form::{Deflate, Form};

/// The joined messages that were made last. They are kept for the next connections of this round.
#[derive(Debug)]
pub struct Joins {
    budget: Arc<Budget>,
    /// Each at a place that follows from its run.
    recent: [Option<Join>; PLACES],
    is_empty: bool,
}

#[derive(Debug)]
struct Join {
    run: Box<[Arc<Message>]>,
    joined: Arc<Message>,
}

impl Joins {
    /// Creates an empty record; the budget counts the joined messages.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, recent: [const { None }; PLACES], is_empty: true }
    }

    /// Returns messages joined into one; a single one is returned as it is.
    fn join(&mut self, run: &[&Arc<Message>]) -> Option<Arc<Message>> {
        let (&first, &last) = (run.first()?, run.last()?);
        if run.len() == 1 {
            return Some(Arc::clone(first));
        }
        let hash = BuildHasherDefault::<FxHasher>::default().hash_one((Arc::as_ptr(first), Arc::as_ptr(last)));
        let place = &mut self.recent[hash as usize % PLACES];
        if let Some(Join { run: known, joined }) = place
            && known.len() == run.len()
            && known.iter().zip(run).all(|(known, message)| Arc::ptr_eq(known, message))
        {
            return Some(Arc::clone(joined));
        }
        let parts = run.iter().flat_map(|message| message.parts()).map(Arc::clone).collect();
        let joined = Arc::new(Message::join(parts, &self.budget)?);
        let run = run.iter().map(|&message| Arc::clone(message)).collect();
        *place = Some(Join { run, joined: Arc::clone(&joined) });
        self.is_empty = false;
        Some(joined)
    }

    /// Forgets all joined messages.
    pub fn clear(&mut self) {
        if !std::mem::replace(&mut self.is_empty, true) {
            self.recent = [const { None }; PLACES];
        }
    }
}

/// A message that leaves in place of those that it consists of.
#[derive(Debug)]
pub(super) struct Run {
    /// Joined, or a single one that waits in front of or behind others that cannot be joined with it.
    pub(super) message: Arc<Message>,
    /// How many messages wait in its place.
    pub(super) count: usize,
}

/// Makes batches of messages that are added in their order.
pub(super) struct Batcher<'a, 'j> {
    joins: &'j mut Joins,
    form: Form,
    run: Vec<&'a Arc<Message>>,
    run_count: usize,
    run_bytes: usize,
    bytes: usize,
    batches: Vec<Run>,
}

impl<'a, 'j> Batcher<'a, 'j> {
    pub(super) fn new(joins: &'j mut Joins, form: Form) -> Self {
        Self { joins, form, run: Vec::new(), run_count: 0, run_bytes: 0, bytes: 0, batches: Vec::new() }
    }

    /// Adds the next message. Breaks when the batches have as many bytes as a write should have.
    pub(super) fn add(&mut self, message: &'a Arc<Message>) -> ControlFlow<()> {
        let (bytes, count) = (message.cost(self.form) - OVERHEAD, message.count());
        // A long one leaves alone in any case, so it need not be read.
        let is_joinable = message.is_joinable() && (bytes > BYTES_MAX || message.is_readable());
        // What must not be compressed is not compressed together with others either.
        let is_like_others = self.form.deflate == Deflate::None
            || self.run.last().is_none_or(|last| last.is_compressible() == message.is_compressible());
        if !is_joinable || !is_like_others || self.run_bytes + bytes > BYTES_MAX || self.run_count + count > RUN_MAX {
            self.cut();
        }
        self.run.push(message);
        self.run_count += count;
        self.run_bytes += bytes;
        self.bytes += bytes;
        if !is_joinable {
            self.cut();
        }
        if self.bytes < WRITTEN_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Ends a batch; the next message begins another.
    pub(super) fn cut(&mut self) {
        if let Some(message) = self.joins.join(&self.run) {
            self.batches.push(Run { message, count: self.run.len() });
        }
        self.run.clear();
        (self.run_count, self.run_bytes) = (0, 0);
    }

    pub(super) fn finish(mut self) -> Vec<Run> {
        self.cut();
        self.batches
    }
}

/// The limit on messages joined into one, so that the limits of slow readers still act on small units.
pub const RUN_MAX: usize = 128;

/// The limit on bytes joined into one. Beyond that, a further buffer in a write costs next to nothing.
pub const BYTES_MAX: usize = 32 << 10;

/// The approximate limit on bytes in a write of batches. What a slow reader does not take has been joined in vain.
const WRITTEN_MAX: usize = 2 * BYTES_MAX;

/// The number of joined messages that are kept.
const PLACES: usize = 32;

#[cfg(test)]
mod tests;
