//! What waits for the host: events, and the messages of clients, with credit for each connection and a fair order.
//!
//! A connection has so many messages and bytes on their way; then nothing more is read from it until the host has handled
//! some. Connections with something waiting take turns, so that a flood of one delays the others by a few messages. Who had
//! nothing on its way goes before those that always have, three times of four.
//!
//! What the host has taken counts as handled when it asks for more. Pure: no threads, no descriptor.

use std::collections::VecDeque;
use std::mem;

use rustc_hash::FxHashMap;

use crate::command::Event;
use crate::inbound::Received;
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
pub struct Arrivals {
    credit: Credit,
    /// What waits behind no message.
    events: Vec<Event>,
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
    Message(Received),
    Event(Box<Event>),
}

impl Arrivals {
    /// Nothing waits.
    pub fn new(credit: Credit) -> Self {
        Self {
            credit,
            events: Vec::new(),
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
        self.events.is_empty() && self.ring.is_empty() && self.fresh.is_empty() && self.given.is_empty()
    }

    /// Bytes of messages that are on their way.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds what has happened. Connections that have no credit left are added to `full`; they are to be read again when
    /// [`Self::take`] names them.
    pub fn push(&mut self, event: Event, full: &mut Vec<ConnId>) {
        match event {
            Event::Messages { conn, of, messages, .. } => self.push_messages(conn, of, messages, full),
            event => match event.follows().and_then(|link| self.links.get_mut(&link)) {
                Some(waiting) if !waiting.items.is_empty() => waiting.items.push_back(Item::Event(Box::new(event))),
                _ => self.events.push(event),
            },
        }
    }

    fn push_messages(&mut self, link: ConnId, conn: ConnId, messages: Vec<Received>, full: &mut Vec<ConnId>) {
        if messages.is_empty() {
            return;
        }
        let fresh = || Waiting { conn, items: VecDeque::new(), messages: 0, bytes: 0, is_full: false };
        let waiting = self.links.entry(link).or_insert_with(fresh);
        if waiting.items.is_empty() {
            let row = if waiting.messages == 0 { &mut self.fresh } else { &mut self.ring };
            row.push_back(link);
        }
        for message in messages {
            let cost = cost(&message);
            waiting.messages += 1;
            waiting.bytes += cost;
            self.bytes += cost;
            waiting.items.push_back(Item::Message(message));
        }
        let Credit { messages, bytes, total } = self.credit;
        let is_spent = waiting.messages >= messages || waiting.bytes >= bytes || self.bytes + self.held > total;
        if is_spent && !waiting.is_full {
            waiting.is_full = true;
            full.push(conn);
        }
    }

    /// Takes all events that wait behind no message, and about `most` messages; a few of each link and then of the next.
    /// What was taken before counts as handled. The host holds `held` bytes of messages.
    ///
    /// Connections that have credit again are added to `again`.
    pub fn take(&mut self, most: usize, held: usize, again: &mut Vec<ConnId>) -> Vec<Event> {
        self.held = held;
        self.settle(again);
        let mut taken = mem::take(&mut self.events);
        let mut count = 0;
        while count < most
            && let Some(link) = self.next()
        {
            let Some(waiting) = self.links.get_mut(&link) else { continue };
            let (mut messages, mut size, mut spent) = (Vec::new(), 0, 0);
            let mut last = None;
            while messages.len() < SHARE
                && let Some(item) = waiting.items.pop_front()
            {
                match item {
                    Item::Message(message) => {
                        size += message.size();
                        spent += cost(&message);
                        messages.push(message);
                    }
                    Item::Event(event) => {
                        last = Some(*event);
                        break;
                    }
                }
            }
            let is_done = waiting.items.is_empty();
            if !is_done {
                self.ring.push_back(link);
            }
            count += messages.len().max(1);
            if !messages.is_empty() {
                self.given.push((link, messages.len(), spent));
                taken.push(Event::Messages { conn: link, of: waiting.conn, size, messages });
            }
            taken.extend(last);
            if is_done && waiting.messages == 0 {
                self.links.remove(&link);
            }
        }
        taken
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

/// What a message costs while it waits.
fn cost(message: &Received) -> usize {
    message.size() + OVERHEAD
}

/// One turn in so many is of those that always have something.
const OTHERS: usize = 4;

/// Messages of one link before those of the next.
const SHARE: usize = 8;

/// Bytes of memory for a message besides its own.
const OVERHEAD: usize = 64;

#[cfg(test)]
mod tests;
