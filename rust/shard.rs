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

use rustc_hash::{FxHashMap, FxHashSet};

use crate::account::Account;
use crate::budget::Budget;
use crate::command::{Cause, Command, Event};
use crate::form::Form;
use crate::inbound::{Heard, InboundSettings};
use crate::members::Members;
use crate::message::RoomId;
use crate::outbox::{Outbox, Push, Sink};
use crate::pace::Rates;
use crate::probes::Seal;
use crate::skips::Skips;
use crate::slots::{ConnId, Slots};
use crate::stats::Stats;
use crate::tcp_info::TcpInfo;

use self::conn::Conn;
use self::reading::Reading;

/// What carries one connection.
pub trait Link: Sink {
    /// Asks for [`Shard::ready`] by this id, if the link has something to read, and whenever it has, or takes more.
    fn watch(&mut self, conn: ConnId) -> io::Result<()>;
    /// Reads what has come, without waiting; `WouldBlock` when that is nothing, 0 at the end.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// So many of the bytes were read that were read elsewhere, and handed over by [`Command::Feed`].
    fn fed(&mut self, bytes: usize);
    /// Says that nothing more will be written (FIN), after what was written.
    fn finish(&mut self);
    /// Whether dropping it is enough to end it: what was written and the end (FIN) still reach the peer.
    fn ends_when_dropped(&self) -> bool;
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
    /// Sessions that ended because too much waited for them, until the host says that they are gone: one whose client comes
    /// back before the host knows is told why.
    overflowed: FxHashSet<ConnId>,
    rates: Arc<Rates>,
    /// Bytes of all messages that are coming, in the whole engine.
    unfinished: Arc<Budget>,
    /// How often the host has asked for events; none: it has handled all that there were.
    asked: Option<u64>,
    /// What waits for the host is far from all that may.
    is_roomy: bool,
    /// Of the read under way.
    buffer: Box<[u8]>,
    heard: Heard,
    /// References to messages in the outboxes of this shard.
    references: usize,
    /// How many of them the budget knows of.
    counted: usize,
    ended: Vec<ConnId>,
    events: Vec<Event>,
    /// Messages over their rate that were answered: their number names the answer.
    answers: u64,
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
            overflowed: FxHashSet::default(),
            rates: Arc::new(Rates::new(&settings.inbound.rates, 1.0)),
            unfinished,
            asked: None,
            is_roomy: true,
            buffer: vec![0; READ_MAX].into(),
            heard: Heard::default(),
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
            answers: 0,
        }
    }

    /// Takes a command. Messages are queued here and written by [`Self::flush`]. Returns how many references
    /// to messages it has handled, the measure of its work; what makes system calls counts as [`CALLS_WORK`].
    pub fn apply(&mut self, command: Command<L>, now_us: u64) -> usize {
        match command {
            Command::Open { conn, link, form, has_session, greeting, first, source } => {
                self.open(conn, link, form, has_session, now_us);
                self.greet(conn, greeting, &first);
                self.begin(conn, source);
                return CALLS_WORK;
            }
            Command::Resume(resume) => {
                self.resume(*resume, now_us);
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
            Command::Report { conn, report } => self.take_report(conn, &report, now_us),
            Command::Gone { conn } => {
                self.gone(conn);
                return CALLS_WORK;
            }
            Command::Raw { conn, bytes } => self.push_raw(conn, bytes, now_us),
            Command::Control { conn, codec, envelope } => self.push_control(conn, codec, &envelope, now_us),
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
                let has_session = slot.outbox.has_session();
                if (self.members.join(room, conn, &headcount) || has_session) && !before.is_empty() {
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

    fn open(&mut self, conn: ConnId, link: L, form: Form, has_session: bool, now_us: u64) {
        let limit = self.settings.connection_bytes;
        let outbox = match has_session {
            true => Outbox::of_session(limit, form, self.settings.replay_bytes),
            false => Outbox::new(limit, form),
        };
        let interval_us = self.settings.ping_interval_us;
        let mut slot = Conn {
            link: Some(link),
            reading: None,
            link_id: conn,
            outbox: if interval_us > 0 { outbox.with_probes(self.settings.seal.clone(), conn) } else { outbox },
            skips: Skips::new(form.codec.has_envelopes()),
            account: Account::default(),
            is_dirty: false,
            is_blocked: false,
            is_held: false,
            is_retired: false,
            is_slow: false,
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
}

/// A few system calls, in references: some microseconds. When thousands come or go at once the thread yields in between.
const CALLS_WORK: usize = 512;

/// Bytes of a read at most, of which each shard has one at a time.
const READ_MAX: usize = 64 << 10;

mod conn;
mod endings;
mod pings;
mod reading;
mod relief;
mod sessions;
mod writing;
#[cfg(test)]
pub(crate) mod tests;
