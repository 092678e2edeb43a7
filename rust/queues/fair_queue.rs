//! What waits for the host: events, and the messages of clients, with credit for each connection and a fair order.
//!
//! A connection has so many messages and bytes on their way; then nothing more is read from it until the host has handled
//! some. Connections with something waiting take turns, so that a flood of one delays the others by a few messages. Who had
//! nothing on its way goes before those that always have, three times of four.
//!
//! What the host has taken counts as handled when it asks for more. Pure: no threads, no descriptor.

use std::collections::VecDeque;
use std::mem;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::queues::batch::{Messages, Piece};
use crate::queues::command::Event;
use crate::slots::ConnId;

/// How much may be on its way to the host.
#[derive(Debug, Clone, Copy)]
pub struct Credit {
    /// Messages of one connection.
    pub messages: usize,
    /// Bytes of the same.
    pub bytes: usize,
    /// Bytes of all connections, with what the host holds of theirs. Beyond it only those go on that have none.
    pub total: usize,
}

/// See the module's head.
#[derive(Debug)]
pub struct FairQueue {
    credit: Credit,
    /// What waits behind no message.
    events: Vec<Event>,
    /// Newcomers of which there is something to say, and those of them that have not gone since.
    newcomers: VecDeque<ConnId>,
    there: FxHashSet<ConnId>,
    links: FxHashMap<ConnId, Waiting>,
    /// Links with something that waits; each stands in one of them, once: those that had nothing on their way, and others.
    fresh: VecDeque<ConnId>,
    ring: VecDeque<ConnId>,
    turns: usize,
    /// What the host has taken and may not have handled: links, messages, bytes.
    given: Vec<(ConnId, usize, usize)>,
    bytes: usize,
    /// Bytes that the host holds, as it last said.
    held: usize,
}

/// What waits of one link.
#[derive(Debug)]
struct Waiting {
    /// The connection, as the shard knows it.
    conn: ConnId,
    items: VecDeque<Item>,
    /// Messages on their way, and their bytes.
    messages: usize,
    bytes: usize,
    /// Its shard was told that it has no credit left.
    is_full: bool,
}

#[derive(Debug)]
enum Item {
    Messages(Piece),
    Event(Box<Event>),
}

impl FairQueue {
    /// Nothing waits.
    pub fn new(credit: Credit) -> Self {
        Self {
            credit,
            events: Vec::new(),
            newcomers: VecDeque::new(),
            there: FxHashSet::default(),
            links: FxHashMap::default(),
            fresh: VecDeque::new(),
            ring: VecDeque::new(),
            turns: 0,
            given: Vec::new(),
            bytes: 0,
            held: 0,
        }
    }

    /// Whether there is nothing to take, and all that was taken counts as handled.
    pub fn is_empty(&self) -> bool {
        let Self { events, there, ring, fresh, given, .. } = self;
        events.is_empty() && there.is_empty() && ring.is_empty() && fresh.is_empty() && given.is_empty()
    }

    /// Bytes of messages that are on their way.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds what has happened. Connections that have no credit left are added to `full`; they are to be read again when
    /// [`Self::take`] names them.
    pub fn push(&mut self, event: Event, full: &mut Vec<ConnId>) {
        match event {
            Event::Messages { conn, of, messages } => self.push_messages(conn, of, messages, full),
            // One that is told of twice is asked once what there is to say.
            Event::Newcomer { conn } => {
                if self.there.insert(conn) {
                    self.newcomers.push_back(conn);
                }
            }
            Event::NewcomerGone { conn } if self.there.remove(&conn) => self.forget_newcomers(),
            event => match event.follows().and_then(|link| self.links.get_mut(&link)) {
                Some(waiting) if !waiting.items.is_empty() => waiting.items.push_back(Item::Event(Box::new(event))),
                _ => self.events.push(event),
            },
        }
    }

    /// Those that have gone keep no memory, however long nobody asks for the others.
    fn forget_newcomers(&mut self) {
        if self.newcomers.len() > 2 * self.there.len() + GONE {
            self.newcomers.retain(|conn| self.there.contains(conn));
        }
    }

    fn push_messages(&mut self, link: ConnId, conn: ConnId, messages: Messages, full: &mut Vec<ConnId>) {
        let fresh = || Waiting { conn, items: VecDeque::new(), messages: 0, bytes: 0, is_full: false };
        let waiting = self.links.entry(link).or_insert_with(fresh);
        if waiting.items.is_empty() {
            let row = if waiting.messages == 0 { &mut self.fresh } else { &mut self.ring };
            row.push_back(link);
        }
        let cost = cost(messages.len(), messages.size());
        waiting.messages += messages.len();
        waiting.bytes += cost;
        self.bytes += cost;
        waiting.items.extend(messages.into_pieces().map(Item::Messages));
        let Credit { messages, bytes, total } = self.credit;
        let is_spent = waiting.messages >= messages || waiting.bytes >= bytes || self.bytes + self.held > total;
        if is_spent && !waiting.is_full {
            waiting.is_full = true;
            full.push(conn);
        }
    }

    /// Takes all events that wait behind no message, a few newcomers, and about `most` messages, of [`TAKEN`] bytes or a
    /// little more; a few of each link and then of the next. What was taken before counts as handled. The host holds `held`
    /// bytes of messages.
    ///
    /// Connections that have credit again are added to `again`.
    pub fn take(&mut self, most: usize, held: usize, again: &mut Vec<ConnId>) -> Vec<Event> {
        self.held = held;
        self.settle(again);
        let mut taken = mem::take(&mut self.events);
        let (mut count, mut bytes) = (0, 0);
        while count < most
            && bytes < TAKEN
            && let Some(link) = self.next()
        {
            let Some(waiting) = self.links.get_mut(&link) else { continue };
            // While all that wait send much, larger shares are as fair, and cost less.
            let share = if self.fresh.is_empty() { SHARE.max(most / 4) } else { SHARE };
            let (messages, last) = waiting.pop(share);
            let is_done = waiting.items.is_empty();
            if !is_done {
                self.ring.push_back(link);
            }
            if let Some(messages) = messages {
                let (len, cost) = (messages.len(), cost(messages.len(), messages.size()));
                (count, bytes) = (count + len, bytes + cost);
                self.given.push((link, len, cost));
                taken.push(Event::Messages { conn: link, of: waiting.conn, messages });
            } else {
                count += 1;
            }
            taken.extend(last);
            if is_done && waiting.messages == 0 {
                self.links.remove(&link);
            }
        }
        // Newcomers delay messages, so they are few only if there are messages.
        let newcomers = if count == 0 { NEWCOMERS } else { (most / NEWCOMER).clamp(1, NEWCOMERS) };
        for _ in 0..newcomers {
            let Some(conn) = self.next_newcomer() else { break };
            taken.push(Event::Newcomer { conn });
        }
        taken
    }

    fn next_newcomer(&mut self) -> Option<ConnId> {
        while let Some(conn) = self.newcomers.pop_front() {
            if self.there.remove(&conn) {
                return Some(conn);
            }
        }
        None
    }

    fn next(&mut self) -> Option<ConnId> {
        self.turns += 1;
        if self.turns.is_multiple_of(OTHERS) {
            self.ring.pop_front().or_else(|| self.fresh.pop_front())
        } else {
            self.fresh.pop_front().or_else(|| self.ring.pop_front())
        }
    }

    /// Gives back the credit for what was taken before.
    fn settle(&mut self, again: &mut Vec<ConnId>) {
        let Credit { messages: most, bytes: most_bytes, total } = self.credit;
        for (link, messages, bytes) in self.given.drain(..) {
            self.bytes -= bytes;
            let Some(waiting) = self.links.get_mut(&link) else { continue };
            waiting.messages -= messages;
            waiting.bytes -= bytes;
            let is_half = waiting.messages * 2 <= most && waiting.bytes * 2 <= most_bytes;
            if waiting.is_full && is_half && (waiting.messages == 0 || self.bytes + self.held <= total) {
                waiting.is_full = false;
                again.push(waiting.conn);
            }
            if waiting.items.is_empty() && waiting.messages == 0 {
                self.links.remove(&link);
            }
        }
    }
}

impl Waiting {
    /// Takes the first messages, at most `share`, and the event behind them if nothing is between.
    fn pop(&mut self, share: usize) -> (Option<Messages>, Option<Event>) {
        let (mut messages, mut left) = (None::<Messages>, share);
        while left > 0
            && let Some(item) = self.items.pop_front()
        {
            let piece = match item {
                Item::Messages(piece) => piece,
                Item::Event(event) => return (messages, Some(*event)),
            };
            let (piece, rest) = piece.split(left);
            left -= piece.len();
            if let Some(rest) = rest {
                self.items.push_front(Item::Messages(rest));
            }
            match &mut messages {
                None => messages = Some(Messages::new(piece)),
                Some(messages) => messages.push(piece),
            }
        }
        (messages, None)
    }
}

/// What messages cost while they wait.
fn cost(messages: usize, size: usize) -> usize {
    size + messages * OVERHEAD
}

/// One turn in so many is of those that always have something.
const OTHERS: usize = 4;

/// Newcomers that the host is told of at once, at most, and as how many messages each of them counts: those who are in must not
/// wait for all of those who want to be.
const NEWCOMERS: usize = 4;
const NEWCOMER: usize = 8;

/// Newcomers that have gone and still stand in the queue, besides as many as have not.
const GONE: usize = 64;

/// Messages of one link before those of the next, while some wait that had nothing.
const SHARE: usize = 8;

/// Bytes that are taken at once.
const TAKEN: usize = 1 << 20;

/// Bytes of memory for a message besides its own.
const OVERHEAD: usize = 64;

#[cfg(test)]
mod tests;
