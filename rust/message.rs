//! One published message, shared by everything that still has to send it.

use std::sync::Arc;

use crate::budget::Budget;
use crate::frame::{self, Opcode};

/// Which room a message belongs to; never reused while the engine lives. 0 is "no room": a message
/// to one connection or to all.
pub type RoomId = u64;

/// What a message replaces: one (room, key) pair; never reused while the engine lives.
pub type KeyId = u64;

/// What happens to a message when its reader is slower than its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Delivery {
    /// Never dropped while connected; over the limit the connection is closed, to reconnect.
    Reliable,
    /// A newer message with the same key replaces the one still waiting.
    Latest,
    /// Over the limit the oldest waiting message goes.
    DropOldest,
    /// Over the limit the new message is not queued.
    DropNewest,
}

/// A message in wire form. It is built once and never changes; queues hold references to it.
#[derive(Debug)]
pub struct Message {
    frame: Box<[u8]>,
    /// The room it was published to.
    pub room: RoomId,
    /// Its place in that room, from 1.
    pub seq: u64,
    /// What may happen to it.
    pub delivery: Delivery,
    /// What it replaces, in a room of the latest values.
    pub key: Option<KeyId>,
    /// When it was published, in microseconds since the engine started.
    pub published_us: u64,
    budget: Arc<Budget>,
}

impl Message {
    /// Frames `payload` once for all who will receive it.
    pub fn new(opcode: Opcode, payload: &[u8], address: Address, published_us: u64, budget: &Arc<Budget>) -> Self {
        let frame = frame::encode(opcode, payload);
        budget.add(frame.len() + OVERHEAD);
        let Address { room, seq, delivery, key } = address;
        Self { frame, room, seq, delivery, key, published_us, budget: Arc::clone(budget) }
    }

    /// The bytes to write: header and payload.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// What it counts for in the queue of one connection: its bytes, and what a small one costs besides.
    /// Without the second part a limit in bytes would allow millions of empty messages.
    pub fn cost(&self) -> usize {
        self.frame.len() + OVERHEAD
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.budget.subtract(self.frame.len() + OVERHEAD);
    }
}

/// Where a message belongs and how it may be treated.
#[derive(Debug, Clone, Copy)]
pub struct Address {
    /// See [`Message::room`].
    pub room: RoomId,
    /// See [`Message::seq`].
    pub seq: u64,
    /// See [`Message::delivery`].
    pub delivery: Delivery,
    /// See [`Message::key`].
    pub key: Option<KeyId>,
}

/// Bytes of one message besides its frame: the two allocations and their bookkeeping.
pub const OVERHEAD: usize = 128;
