//! The order in which a shard writes to its connections: by priority, and fair within each priority. Pure.
//!
//! A connection is written once in each round. Nobody is always first: publishes walk the members of a room from another
//! one each time (`Members::walk`), and a round that several publishes have
//! filled begins at another place each time.
//!
//! Of [`SHARE`] writes at least one goes to a lower priority that waits.

use std::collections::VecDeque;

use crate::message::{PRIORITIES, Priority};
use crate::slots::ConnId;

/// The connections with something to write. Each is at most once in the queue of each priority.
#[derive(Debug, Default)]
pub struct Turns {
    rings: [Ring; 3],
    /// For each priority: how often it was served in a row while a lower one waited.
    served: [u8; 3],
}

/// The places of one connection in the queues, as bits, and whether it has something to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queued(u8);

/// The connections of one priority.
#[derive(Debug, Default)]
struct Ring {
    /// The rest of the present round.
    round: VecDeque<ConnId>,
    /// The next round.
    next: VecDeque<ConnId>,
    /// How many publishes have filled the next round.
    walks: usize,
    /// Whether connections were added while others were written to.
    is_busy: bool,
    /// A number that is spread evenly over all numbers from round to round (a Weyl sequence).
    phase: u64,
}

impl Turns {
    /// Notes that a publish begins to add members.
    pub fn begin_walk(&mut self, priority: Priority) {
        self.rings[priority as usize].walks += 1;
    }

    /// Adds a connection with something of this priority to write, unless it waits already.
    #[inline]
    pub fn add(&mut self, conn: ConnId, place: &mut Queued, priority: Priority) {
        // Nothing to do if it waits in this queue or in one ahead of it.
        if place.0 & (WANTS | AHEAD[priority as usize]) <= WANTS {
            self.enqueue(conn, place, priority);
        }
    }

    fn enqueue(&mut self, conn: ConnId, place: &mut Queued, priority: Priority) {
        let bit = 1 << priority as u8;
        if place.0 & bit == 0 {
            self.rings[priority as usize].next.push_back(conn);
        }
        place.0 |= bit | WANTS;
    }

    /// Takes the next connection, with the priority of the queue in which it has waited. It may have been written to
    /// since; see [`Queued::leave`].
    pub fn pop(&mut self) -> Option<(ConnId, Priority)> {
        let waits = |rings: &[Ring; 3], from: usize| (from..rings.len()).find(|&place| !rings[place].is_empty());
        let mut place = waits(&self.rings, 0)?;
        while let Some(lower) = waits(&self.rings, place + 1) {
            self.served[place] += 1;
            if self.served[place] < SHARE {
                break;
            }
            self.served[place] = 0;
            place = lower;
        }
        let (priority, _) = PRIORITIES[place];
        self.rings[place].pop().map(|conn| (conn, priority))
    }

    /// Whether no connection waits.
    pub fn is_empty(&self) -> bool {
        self.rings.iter().all(Ring::is_empty)
    }

    /// Notes that there is nothing to write now, so that the next publish begins with the member whose turn it is.
    pub fn rest(&mut self) {
        self.rings.iter_mut().for_each(|ring| ring.is_busy = false);
    }
}

impl Queued {
    /// Notes that it has left the queue of a priority. Returns whether it has something to write.
    pub fn leave(&mut self, priority: Priority) -> bool {
        self.0 &= !(1 << priority as u8);
        self.0 & WANTS != 0
    }

    /// Notes that it is written to now.
    pub fn written(&mut self) {
        self.0 &= !WANTS;
    }

    /// Whether it has something to write.
    #[cfg(test)]
    pub fn wants(self) -> bool {
        self.0 & WANTS != 0
    }
}

impl Ring {
    fn is_empty(&self) -> bool {
        self.round.is_empty() && self.next.is_empty()
    }

    fn pop(&mut self) -> Option<ConnId> {
        if self.round.is_empty() {
            std::mem::swap(&mut self.round, &mut self.next);
            if (self.is_busy || self.walks > 1) && !self.round.is_empty() {
                self.phase = self.phase.wrapping_add(STEP);
                let first = (u128::from(self.phase) * self.round.len() as u128) >> u64::BITS;
                self.round.rotate_left(first as usize);
            }
            (self.walks, self.is_busy) = (0, true);
        }
        self.round.pop_front()
    }
}

/// Of this many writes at least one goes to a lower priority that waits: high ones wait for few others, and low ones
/// get an eighth even if high ones never cease.
pub const SHARE: u8 = 8;

/// Set while a connection has something to write.
const WANTS: u8 = 1 << 3;

/// For each priority: the bits of its queue and of those ahead of it.
const AHEAD: [u8; 3] = [0b001, 0b011, 0b111];

/// 2^64 divided by the golden ratio.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests;
