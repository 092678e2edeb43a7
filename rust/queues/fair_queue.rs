//! What waits for the host: events, and the messages of clients, in a fair order and with credit for each connection.
//!
//! Credit limits the messages and bytes that a connection may have on their way. Once it is used up, the connection is
//! not read until the host has handled some. Connections with waiting messages take turns, so that a flood of one
//! delays the others by a few messages. In three turns of four, a connection that had nothing on its way goes first.
//!
//! What the host has taken counts as handled when it asks for more. Pure: no threads, no descriptor.

use std::collections::VecDeque;
use std::mem;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::queues::batch::{Messages, Piece};
use crate::queues::command::Event;
use crate::slots::ConnId;

/// The limits on what is on its way to the host.
#[derive(Debug, Clone, Copy)]
pub struct Credit {
    /// Messages of one connection.
    pub messages: usize,
    /// Bytes of one connection.
    pub bytes: usize,
    /// Bytes of all connections, with those that the host holds. Over this limit, a connection is read only while it
    /// has nothing on its way.
    pub total: usize,
}

/// The queue to the host, without its lock.
#[derive(Debug)]
pub struct FairQueue {
    credit: Credit,
    /// Events that wait behind no message.
    events: Vec<Event>,
    /// Newcomers with news for the host, in order. Those that have gone since may still stand here, but not in `there`.
    newcomers: VecDeque<ConnId>,
    there: FxHashSet<ConnId>,
    links: FxHashMap<ConnId, Waiting>,
    /// Links with waiting messages; each stands once in one of the two. `fresh` has those that had nothing on their
    /// way.
    fresh: VecDeque<ConnId>,
    ring: VecDeque<ConnId>,
    turns: usize,
    /// What the host has taken and may not have handled yet: link, messages and bytes.
    given: Vec<(ConnId, usize, usize)>,
    /// Bytes of all messages that are on their way.
    bytes: usize,
    /// Bytes that the host holds, as it last said.
    held: usize,
}

/// The messages of one link that are on their way.
#[derive(Debug)]
struct Waiting {
    /// The id under which the shard keeps the connection.
    conn: ConnId,
    items: VecDeque<QueuedItem>,
    /// The number of messages on their way, and their bytes. Some of them may be with the host.
    messages: usize,
    bytes: usize,
    /// Whether the shard was told that the credit is used up.
    is_full: bool,
}

#[derive(Debug)]
enum QueuedItem {
    Messages(Piece),
    Event(Box<Event>),
}

impl FairQueue {
    /// Creates an empty queue.
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

    /// Whether there is nothing to take, and everything that was taken counts as handled.
    pub fn is_empty(&self) -> bool {
        let Self { events, there, ring, fresh, given, .. } = self;
        events.is_empty() && there.is_empty() && ring.is_empty() && fresh.is_empty() && given.is_empty()
    }

    /// Returns the bytes of messages that are on their way.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an event. A connection that has used up its credit is added to `full`, and must not be read until
    /// [`Self::take`] names it.
    pub fn push(&mut self, event: Event, full: &mut Vec<ConnId>) {
        match event {
            Event::Messages { conn, of, messages } => self.push_messages(conn, of, messages, full),
            // A newcomer with two pieces of news is announced once: the host asks for all of them.
            Event::Newcomer { conn } => {
                if self.there.insert(conn) {
                    self.newcomers.push_back(conn);
                }
            }
            Event::NewcomerGone { conn } if self.there.remove(&conn) => self.forget_newcomers(),
            event => match event.follows().and_then(|link| self.links.get_mut(&link)) {
                Some(waiting) if !waiting.items.is_empty() => {
                    waiting.items.push_back(QueuedItem::Event(Box::new(event)))
                }
                _ => self.events.push(event),
            },
        }
    }

    /// Frees the places of newcomers that have gone, so that they take no memory while the host is busy.
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
        waiting.items.extend(messages.into_pieces().map(QueuedItem::Messages));
        let Credit { messages, bytes, total } = self.credit;
        let is_spent = waiting.messages >= messages || waiting.bytes >= bytes || self.bytes + self.held > total;
        if is_spent {
            waiting.is_full = true;
            // Each time: the credit of a former link of the same connection may have let it go on.
            full.push(conn);
        }
    }

    /// Takes all events that wait behind no message, a few newcomers, and about `most` messages, with hardly more than
    /// `TAKEN` bytes: a few of one link and then of the next. What was taken before counts as handled. The host holds
    /// `held` bytes of messages.
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
            // If all links that wait send much, larger shares are as fair and cost less.
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
                QueuedItem::Messages(piece) => piece,
                QueuedItem::Event(event) => return (messages, Some(*event)),
            };
            let (piece, rest) = piece.split(left);
            left -= piece.len();
            if let Some(rest) = rest {
                self.items.push_front(QueuedItem::Messages(rest));
            }
            match &mut messages {
                None => messages = Some(Messages::new(piece)),
                Some(messages) => messages.push(piece),
            }
        }
        (messages, None)
    }
}

/// The bytes that messages are charged while they are on their way.
fn cost(messages: usize, size: usize) -> usize {
    size + messages * OVERHEAD
}

/// Every fourth turn serves a link that already had messages on their way, so that new ones cannot starve it.
const OTHERS: usize = 4;

/// The limit on newcomers in one batch, so that messages of clients do not wait for a rush of newcomers.
const NEWCOMERS: usize = 4;

/// The messages that one newcomer counts as, of those that the host asks for. It counts only if there are messages.
const NEWCOMER: usize = 8;

/// Places in the queue that newcomers may keep after they have gone, besides one for each newcomer that has not.
const GONE: usize = 64;

/// Messages of one link before those of the next, while links wait that had nothing on their way.
const SHARE: usize = 8;

/// The limit on bytes in one batch; the last share may pass it.
const TAKEN: usize = 1 << 20;

/// Bytes of memory that a message takes besides its payload.
const OVERHEAD: usize = 64;

#[cfg(test)]
mod tests;
