//! The state machine of one shard: commands and bytes in, writes and events out. It has no thread, no
//! socket and no clock of its own: time comes in as microseconds since the engine started.
//!
//! Fan-out and writing are two steps. A command only queues references; [`Shard::flush`] then writes
//! for a few connections and returns, so that what is published meanwhile joins the writes to come.
//! Under load batches form by themselves, and nobody waits for one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::account::Account;
use crate::budget::Budget;
use crate::command::{Cause, Command, Event};
use crate::envelope::Encoding;
use crate::frame;
use crate::inbound::{Heard, InboundSettings};
use crate::members::Members;
use crate::message::{Message, RoomId};
use crate::outbox::{Drop, Outbox, Progress, Push, Sink};
use crate::pace::Rates;
use crate::probes::Seal;
use crate::skips::Skips;
use crate::slots::{ConnId, Slots};
use crate::stats::{DROPS, Stats};
use crate::tcp_info::TcpInfo;

use self::pings::Ping;
use self::reading::Reading;

/// What carries one connection.
pub trait Link: Sink {
    /// Asks for [`Shard::ready`] by this id, whenever the link has something to read or takes more.
    fn watch(&mut self, conn: ConnId) -> io::Result<()>;
    /// Reads what has come, without waiting; `WouldBlock` when that is nothing, 0 at the end.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// So many of the bytes were read that were read elsewhere, and handed over by [`Command::Feed`].
    fn fed(&mut self, bytes: usize);
    /// Says that nothing more will be written (FIN), after what was written.
    fn finish(&mut self);
    /// Says that the peer will not send anything that counts.
    fn peer_closed(&mut self);
    /// Has the link end without waiting for the peer (RST) when it is dropped.
    fn abort(&mut self);
    /// Lets a link that is drained elsewhere take `bytes` more.
    fn grant(&mut self, bytes: usize);
    /// What the kernel knows of the peer; none where it cannot tell.
    fn tcp_info(&self) -> Option<TcpInfo>;
}

/// What all connections of a shard have in common. Times in microseconds.
#[derive(Debug, Clone)]
pub struct ShardSettings {
    /// Bytes that may wait for one connection.
    pub connection_bytes: usize,
    /// Bytes that a session keeps of what was sent and not acknowledged.
    pub replay_bytes: usize,
    /// What the clock of the world said when the engine's started, in milliseconds since 1970.
    pub started_ms: u64,
    /// From one ping to the next; 0 sends none.
    pub ping_interval_us: u64,
    /// From a ping to its pong.
    pub ping_timeout_us: u64,
    /// From the first thought of closing to the end, and again while the peer takes what waits.
    pub close_timeout_us: u64,
    /// For which a peer may take nothing of what waits for it.
    pub write_timeout_us: u64,
    /// Bytes a second that have to move, either way, for a peer that does not answer to count as alive.
    pub min_rate: u64,
    /// The close code for a connection that is too slow for its queue.
    pub slow_code: u16,
    /// What clients may send.
    pub inbound: InboundSettings,
    /// What probes are made with. They are sent where pings are.
    pub seal: Seal,
}

/// See the module's head.
#[derive(Debug)]
pub struct Shard<L> {
    index: usize,
    settings: ShardSettings,
    budget: Arc<Budget>,
    stats: Arc<Stats>,
    slots: Slots<Conn<L>>,
    members: Members,
    /// Connections with something to write; each stands here once.
    dirty: VecDeque<ConnId>,
    timers: BinaryHeap<Reverse<(u64, ConnId)>>,
    /// Connections with something to read; each stands here once.
    readable: VecDeque<ConnId>,
    reading_timers: BinaryHeap<Reverse<(u64, ConnId)>>,
    /// Retired links by their former names, see [`Conn::link_id`].
    retired: FxHashMap<ConnId, ConnId>,
    rates: Arc<Rates>,
    /// Bytes of all messages that are coming, in the whole engine.
    unfinished: Arc<Budget>,
    /// How often the host has asked for events; none: it has handled all that there were.
    asked: Option<u64>,
    /// Of the read under way.
    buffer: Box<[u8]>,
    heard: Vec<Heard>,
    /// References to messages in the outboxes of this shard.
    references: usize,
    /// How many of them the budget knows of.
    counted: usize,
    ended: Vec<ConnId>,
    events: Vec<Event>,
}

#[derive(Debug)]
struct Conn<L> {
    /// None: the session is parked.
    link: Option<L>,
    /// What is read of the link.
    reading: Option<Box<Reading>>,
    /// See [`Event`].
    link_id: ConnId,
    outbox: Outbox,
    skips: Skips,
    account: Account,
    /// It stands in the list of those with something to write.
    is_dirty: bool,
    /// The link takes nothing until it says so, or there is none.
    is_blocked: bool,
    /// Something waited for a window when it was written to last.
    is_held: bool,
    /// It is the former link of a session: it closes, and the host is told of its end alone.
    is_retired: bool,
    /// It was sent and no pong has come. A box, for most of the time there is none.
    ping: Option<Box<Ping>>,
    /// Bytes that the link has taken.
    written: u64,
    /// While closing: how many of them the peer had when that was last looked at.
    taken: Option<u64>,
    /// When the next ping is due or, while closing, when the closing handshake has to be over.
    due_us: u64,
}

impl<L: Link> Shard<L> {
    /// A shard without connections.
    pub fn new(
        index: usize,
        settings: ShardSettings,
        budget: Arc<Budget>,
        unfinished: Arc<Budget>,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            readable: VecDeque::new(),
            reading_timers: BinaryHeap::new(),
            retired: FxHashMap::default(),
            rates: Arc::new(Rates::new(&settings.inbound.rates, 1.0)),
            unfinished,
            asked: None,
            buffer: vec![0; READ_MAX].into(),
            heard: Vec::new(),
            index,
            settings,
            budget,
            stats,
            slots: Slots::default(),
            members: Members::new(index),
            dirty: VecDeque::new(),
            timers: BinaryHeap::new(),
            references: 0,
            counted: 0,
            ended: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Takes a command. Messages are queued here and written by [`Self::flush`]. Returns how many references
    /// to messages it has handled, the measure of its work; what makes system calls counts as [`CALLS_WORK`].
    pub fn apply(&mut self, command: Command<L>, now_us: u64) -> usize {
        match command {
            Command::Open { conn, link, encoding, greeting, source } => {
                self.open(conn, link, encoding, now_us);
                if !greeting.is_empty() {
                    self.with_outbox(conn, |outbox| outbox.push_first(greeting));
                }
                self.begin(conn, source);
                return CALLS_WORK;
            }
            Command::Resume { conn, link, as_new, retired, encoding, received, accepted, refused, source } => {
                self.retire(conn, retired, now_us);
                let conn = self.resume(conn, link, as_new, encoding, received, [accepted, refused], now_us);
                self.begin(conn, source);
                return CALLS_WORK;
            }
            Command::Retire { conn, link, retired, is_over } => {
                if self.slots.get_mut(conn).is_some_and(|slot| slot.link_id == link) {
                    self.retire(conn, retired, now_us);
                } else {
                    self.ended.push(retired.id);
                }
                if is_over {
                    self.gone(conn);
                }
                return CALLS_WORK;
            }
            Command::Cut { conn, link } => {
                if let Some(conn) = self.carried_by(conn, link) {
                    self.lose(conn, Cause::Cut);
                }
                return CALLS_WORK;
            }
            Command::Received { conn, count } => {
                if let Some(slot) = self.slots.get_mut(conn) {
                    let before = slot.outbox.references();
                    slot.outbox.replay().into_iter().for_each(|replay| replay.acknowledge(count));
                    self.references = self.references + slot.outbox.references() - before;
                }
            }
            Command::Charge { conn, reports } => self.charge(conn, reports, now_us),
            Command::Taken { conn, room, count } => {
                self.with_outbox(conn, |outbox| outbox.taken(room, count, now_us));
            }
            Command::Gone { conn } => {
                self.gone(conn);
                return CALLS_WORK;
            }
            Command::Raw { conn, bytes } => self.push_raw(conn, bytes, now_us),
            Command::Send { conn, message } => self.deliver(conn, &message, now_us),
            Command::Publish { message, except } => {
                let Self { members, slots, dirty, stats, references, .. } = self;
                let mut slow = Vec::new();
                let mut handled = 0;
                for conn in members.of(message.room()) {
                    if except.binary_search(&conn).is_ok() {
                        if let Some(slot) = slots.get_mut(conn) {
                            slot.skip(conn, &message, dirty);
                        }
                        continue;
                    }
                    handled += 1;
                    if let Some(slot) = slots.get_mut(conn)
                        && slot.push(conn, &message, dirty, stats, references) == Push::Overflow
                    {
                        slow.push(conn);
                    }
                }
                for conn in slow {
                    self.close_slow(conn, Cause::Slow, now_us);
                }
                return handled;
            }
            Command::Broadcast { message, except } => {
                let all = self.slots.iter_mut(self.index).filter(|(_, slot)| !slot.is_retired);
                let all: Vec<_> = all.map(|(conn, _)| conn).collect();
                let handled = all.len();
                for conn in all.into_iter().filter(|conn| except.binary_search(conn).is_err()) {
                    self.deliver(conn, &message, now_us);
                }
                return handled;
            }
            Command::Join { conn, room, headcount, before } => {
                let Some(slot) = self.slots.get_mut(conn) else {
                    headcount.leave(self.index);
                    return 1;
                };
                let is_session = slot.outbox.encoding() != Encoding::Raw;
                if (self.members.join(room, conn, &headcount) || is_session) && !before.is_empty() {
                    self.push_snapshot(conn, &before, now_us);
                    return before.len();
                }
            }
            Command::Leave { conn, room } => {
                self.members.leave(room, conn);
                self.forget_room(conn, room);
            }
            Command::Feed { conn, link, bytes } => self.feed(conn, link, bytes, now_us),
            Command::ReadOn { conn } => self.change_reading(conn, |reading| reading.is_full = false),
            Command::Hold { conn, is_held } => self.change_reading(conn, |reading| reading.is_held = is_held),
            Command::Close { conn, frame, flush } => self.close(conn, frame, flush, now_us),
            Command::Grant { conn, bytes } => {
                if let Some(link) = self.slots.get_mut(conn).and_then(|slot| slot.link.as_mut()) {
                    link.grant(bytes);
                    self.writable(conn);
                }
            }
            #[cfg(test)]
            Command::Test(hook) => (hook.0)(),
        }
        1
    }

    /// How many members a room has here.
    pub fn members(&self, room: RoomId) -> usize {
        self.members.count(room)
    }

    /// Writes for at most `quota` connections; true when more have something to write.
    pub fn flush(&mut self, quota: usize, now_us: u64) -> bool {
        for _ in 0..quota {
            let Some(conn) = self.dirty.pop_front() else { break };
            self.flush_one(conn, now_us);
        }
        !self.dirty.is_empty()
    }

    /// The link of a connection takes more again.
    pub fn writable(&mut self, conn: ConnId) {
        if let Some(slot) = self.slots.get_mut(conn)
            && slot.link.is_some()
        {
            slot.is_blocked = false;
            slot.mark_dirty(conn, &mut self.dirty);
        }
    }

    /// Does what is due: pings, missing pongs, late closes. Returns when it wants to be called again.
    pub fn tick(&mut self, now_us: u64) -> Option<u64> {
        while let Some(&Reverse((due_us, conn))) = self.timers.peek()
            && due_us <= now_us
        {
            self.timers.pop();
            self.fire(conn, now_us);
        }
        while let Some(&Reverse((due_us, conn))) = self.reading_timers.peek()
            && due_us <= now_us
        {
            self.reading_timers.pop();
            self.look_at(conn, now_us);
        }
        self.next_due_us()
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_due_us(&self) -> Option<u64> {
        let due = |timers: &BinaryHeap<Reverse<(u64, ConnId)>>| timers.peek().map(|&Reverse((due_us, _))| due_us);
        [due(&self.timers), due(&self.reading_timers)].into_iter().flatten().min()
    }

    /// Tells the budget what this turn has changed, and makes the slowest give way when it is over.
    /// `queued` bytes are still on their way here: nobody's fault, and bounded on their own.
    pub fn settle(&mut self, now_us: u64, queued: usize) {
        self.count();
        if self.budget.is_over(queued) {
            self.relieve(now_us, queued);
        }
    }

    /// Takes what is to be told since the last call, and the ids that may be used again.
    pub fn take(&mut self) -> (Vec<Event>, Vec<ConnId>) {
        (std::mem::take(&mut self.events), std::mem::take(&mut self.ended))
    }

    /// Ends every connection at once.
    pub fn abort_all(&mut self) {
        let all: Vec<_> = self.slots.iter_mut(self.index).map(|(conn, _)| conn).collect();
        for conn in all {
            self.end_because(conn, Cause::Cut);
        }
        self.count();
    }

    fn open(&mut self, conn: ConnId, link: L, encoding: Encoding, now_us: u64) {
        let limit = self.settings.connection_bytes;
        let outbox = match encoding {
            Encoding::Raw => Outbox::new(limit, encoding),
            _ => Outbox::of_session(limit, encoding, self.settings.replay_bytes),
        };
        let interval_us = self.settings.ping_interval_us;
        let mut slot = Conn {
            link: Some(link),
            reading: None,
            link_id: conn,
            outbox: if interval_us > 0 { outbox.with_probes(self.settings.seal.clone(), conn) } else { outbox },
            skips: Skips::new(encoding != Encoding::Raw),
            account: Account::default(),
            is_dirty: false,
            is_blocked: false,
            is_held: false,
            is_retired: false,
            ping: None,
            written: 0,
            taken: None,
            due_us: now_us,
        };
        if interval_us > 0 {
            // Connections that came together must not ping together: the first ping falls anywhere in the
            // interval, by a hash of the id (Fibonacci hashing), and the others keep that phase.
            let phase = conn.as_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15);
            slot.due_us = now_us + 1 + ((u128::from(phase) * u128::from(interval_us)) >> 64) as u64;
            self.timers.push(Reverse((slot.due_us, conn)));
        }
        self.slots.insert(conn, slot);
        self.stats.connections.set(self.slots.len() as u64);
    }

    /// The host wants no more of a connection.
    fn gone(&mut self, conn: ConnId) {
        match self.slots.get_mut(conn) {
            Some(slot) if slot.link.is_some() => self.end_because(conn, Cause::Cut),
            _ => self.end(conn),
        }
    }

    /// Forgets a connection; what waited for it is dropped, and its link with it.
    fn end(&mut self, conn: ConnId) {
        let Some(mut slot) = self.slots.remove(conn) else { return };
        self.forget_reading(slot.reading.take());
        if slot.is_retired {
            self.retired.remove(&slot.link_id);
        }
        self.references -= slot.outbox.references();
        self.stats.held.set(self.stats.held.value() - u64::from(slot.is_held));
        let Conn { outbox, skips, account, .. } = &mut slot;
        outbox.end(&mut |message, reason| drop_message(&self.stats, skips, account, message, reason));
        self.members.leave_all(conn);
        self.ended.push(conn);
        if !slot.is_retired {
            self.events.push(Event::Ended { conn, account: slot.account });
        }
        self.stats.connections.set(self.slots.len() as u64);
    }

    fn end_because(&mut self, conn: ConnId, cause: Cause) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let name = slot.name(conn);
        if let Some(link) = &mut slot.link
            && cause.is_abrupt()
        {
            link.abort();
        }
        self.end(conn);
        self.events.push(Event::Closed { conn: name, cause });
    }

    fn deliver(&mut self, conn: ConnId, message: &Arc<Message>, now_us: u64) {
        let Self { slots, dirty, stats, references, .. } = self;
        if let Some(slot) = slots.get_mut(conn)
            && slot.push(conn, message, dirty, stats, references) == Push::Overflow
        {
            self.close_slow(conn, Cause::Slow, now_us);
        }
    }

    fn push_raw(&mut self, conn: ConnId, bytes: Box<[u8]>, now_us: u64) {
        let Self { slots, dirty, stats, references, .. } = self;
        if let Some(slot) = slots.get_mut(conn)
            && slot.push_raw(conn, bytes, dirty, stats, references) == Push::Overflow
        {
            self.close_slow(conn, Cause::Slow, now_us);
        }
    }

    fn push_snapshot(&mut self, conn: ConnId, snapshot: &[Arc<Message>], now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let Conn { outbox, skips, account, .. } = slot;
        let before = outbox.references();
        let pushed = outbox.push_snapshot(snapshot, &mut |message, reason| {
            drop_message(&self.stats, skips, account, message, reason);
        });
        self.references = self.references + outbox.references() - before;
        slot.mark_dirty(conn, &mut self.dirty);
        if pushed == Push::Overflow {
            self.close_slow(conn, Cause::Slow, now_us);
        }
    }

    fn close(&mut self, conn: ConnId, frame: Box<[u8]>, flush: bool, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        if !slot.outbox.is_closing() {
            slot.due_us = now_us + self.settings.close_timeout_us;
            slot.taken = slot.taken(slot.link.as_ref().and_then(Link::tcp_info));
            self.timers.push(Reverse((slot.due_us, conn)));
        }
        let Conn { outbox, skips, account, .. } = slot;
        let before = outbox.references();
        outbox.close(frame, flush, &mut |message, reason| drop_message(&self.stats, skips, account, message, reason));
        self.references = self.references + outbox.references() - before;
        if !outbox.is_empty() {
            slot.mark_dirty(conn, &mut self.dirty);
        }
    }

    /// Closes a connection that does not keep up. What waits for it is dropped: it would not read it either.
    fn close_slow(&mut self, conn: ConnId, cause: Cause, now_us: u64) {
        let name = match self.slots.get_mut(conn) {
            Some(slot) if !slot.outbox.is_closing() => slot.name(conn),
            _ => return,
        };
        self.stats.slow.add(1);
        if self.slots.get_mut(conn).is_some_and(|slot| slot.link.is_none()) {
            return self.end_because(conn, cause);
        }
        self.events.push(Event::Closing { conn: name, cause });
        let frame = frame::close(Some(self.settings.slow_code), "too slow, reconnect");
        self.close(conn, frame, false, now_us);
    }

    fn flush_one(&mut self, conn: ConnId, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        slot.is_dirty = false;
        let (false, Some(link)) = (slot.is_blocked, &mut slot.link) else { return };
        let before = slot.outbox.references();
        let flushed = match slot.outbox.flush(link, now_us) {
            Ok(flushed) => flushed,
            Err(_) => return self.write_failed(conn, now_us),
        };
        // Not what has left: a message that has begun to leave waits no more, and a session keeps it.
        self.references = self.references + slot.outbox.references() - before;
        self.stats.writes.add(u64::from(flushed.bytes > 0 || flushed.progress == Progress::Blocked));
        self.stats.bytes.add(flushed.bytes as u64);
        slot.written += flushed.bytes as u64;
        self.stats.delivered.add(flushed.messages as u64);
        slot.account.wrote(flushed.messages, flushed.bytes);
        if slot.outbox.is_held() != slot.is_held {
            slot.is_held = !slot.is_held;
            let held = self.stats.held.value();
            self.stats.held.set(if slot.is_held { held + 1 } else { held - 1 });
        }
        if let Some(published_us) = flushed.oldest_us {
            self.stats.latency.record(now_us.saturating_sub(published_us));
        }
        match flushed.progress {
            Progress::Empty | Progress::Held if slot.skips.is_empty() => {}
            Progress::Empty | Progress::Held => self.tell_skips(conn, now_us),
            Progress::More => slot.mark_dirty(conn, &mut self.dirty),
            Progress::Closed => {
                if flushed.bytes > 0 {
                    link.finish();
                }
                if slot.reading.as_ref().is_some_and(|reading| reading.is_ended) {
                    self.end_because(conn, Cause::Over);
                }
            }
            Progress::Blocked => {
                self.stats.blocked.add(1);
                slot.is_blocked = true;
            }
        }
    }

    /// A membership has ended: nothing of the room comes any more.
    fn forget_room(&mut self, conn: ConnId, room: RoomId) {
        let Some(Conn { outbox, skips, account, .. }) = self.slots.get_mut(conn) else { return };
        let before = outbox.references();
        outbox.leave(room, &mut |message, reason| drop_message(&self.stats, skips, account, message, reason));
        skips.forget(room);
        self.references = self.references + outbox.references() - before;
    }

    /// Changes the outbox of a connection and keeps the books; none when the id is stale.
    fn with_outbox<R>(&mut self, conn: ConnId, change: impl FnOnce(&mut Outbox) -> R) -> Option<R> {
        let slot = self.slots.get_mut(conn)?;
        let before = slot.outbox.references();
        let result = change(&mut slot.outbox);
        self.references = self.references + slot.outbox.references() - before;
        if !slot.outbox.is_empty() {
            slot.mark_dirty(conn, &mut self.dirty);
        }
        Some(result)
    }

    /// Tells the budget how many references there are.
    fn count(&mut self) {
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
    fn relieve(&mut self, now_us: u64, queued: usize) {
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
}

/// Counts a message that is not sent: for the operator, and for the connection that does not get it.
fn drop_message(stats: &Stats, skips: &mut Skips, account: &mut Account, message: &Message, reason: Drop) {
    stats.drops[reason as usize].add(message.count() as u64);
    account.dropped(reason, message.count());
    // An end is no secret to a connection.
    if reason != Drop::Closed {
        skips.note(message, DROPS[reason as usize].1);
    }
}

impl<L> Conn<L> {
    /// See [`Event`].
    fn name(&self, conn: ConnId) -> ConnId {
        if self.link.is_some() { self.link_id } else { conn }
    }

    /// Whether its link may end without it: of a session that is not closing.
    fn may_retire(&self) -> bool {
        self.outbox.encoding() != Encoding::Raw && !self.outbox.is_closing()
    }

    /// The publisher does not want it to have a message.
    fn skip(&mut self, conn: ConnId, message: &Message, dirty: &mut VecDeque<ConnId>) {
        if self.outbox.encoding() != Encoding::Raw && message.is_data() {
            self.skips.note(message, "excluded");
            self.mark_dirty(conn, dirty);
        }
    }

    fn push(
        &mut self,
        conn: ConnId,
        message: &Arc<Message>,
        dirty: &mut VecDeque<ConnId>,
        stats: &Stats,
        references: &mut usize,
    ) -> Push {
        if !message.speaks(self.outbox.encoding()) {
            return Push::Done;
        }
        let Self { outbox, skips, account, .. } = self;
        let before = outbox.references();
        let pushed = outbox.push(message, &mut |message, reason| drop_message(stats, skips, account, message, reason));
        *references = *references + outbox.references() - before;
        self.mark_dirty(conn, dirty);
        pushed
    }

    fn push_raw(
        &mut self,
        conn: ConnId,
        bytes: Box<[u8]>,
        dirty: &mut VecDeque<ConnId>,
        stats: &Stats,
        references: &mut usize,
    ) -> Push {
        let Self { outbox, skips, account, .. } = self;
        let before = outbox.references();
        let drop = &mut |message: &Message, reason| drop_message(stats, skips, account, message, reason);
        let is_taken = outbox.push_raw(bytes, drop);
        *references = *references + outbox.references() - before;
        self.mark_dirty(conn, dirty);
        if is_taken { Push::Done } else { Push::Overflow }
    }

    fn mark_dirty(&mut self, conn: ConnId, dirty: &mut VecDeque<ConnId>) {
        if !self.is_dirty && !self.is_blocked {
            self.is_dirty = true;
            dirty.push_back(conn);
        }
    }
}

/// A few system calls, in references: some microseconds. When thousands come or go at once the thread yields in between.
const CALLS_WORK: usize = 512;

/// Bytes of a read at most, of which each shard has one at a time.
const READ_MAX: usize = 64 << 10;

/// What one reference in a queue costs: its place, and its share of the key index.
const REFERENCE_BYTES: usize = 16;

mod pings;
mod reading;
mod sessions;
#[cfg(test)]
pub(crate) mod tests;
