//! The state machine of one shard: commands and bytes come in, writes and events go out. It has no thread, no socket
//! and no clock: the time is an argument, in microseconds since the engine started.
//!
//! Fan-out and writing are two steps. A command only queues references. [`Shard::flush`] then writes for a few
//! connections and returns, so that messages published meanwhile join later writes. Under load this forms batches
//! without waiting for them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::budget::Budget;
use crate::message::RoomId;
use crate::outbox::account::Account;
use crate::outbox::probes::ProbeKey;
use crate::outbox::skipped::Skipped;
use crate::outbox::{Outbox, Push, Sink};
use crate::protocol::form::Form;
use crate::queues::command::{Cause, Command, Event};
use crate::room::members::Members;
use crate::shard::inbound::{InboundSettings, ReadOutcome};
use crate::shard::rate_limit::Rates;
use crate::shard::tcp_info::TcpInfo;
use crate::slots::{ConnId, Slots};
use crate::stats::Stats;

use self::conn::Conn;
use self::reading::ReadingSide;

/// The link of one connection.
pub trait Link: Sink {
    /// Asks for calls of [`Shard::ready`] with this id when the link can be read or takes more, also now if it can be
    /// read.
    fn watch(&mut self, conn: ConnId) -> io::Result<()>;
    /// Reads without blocking; `WouldBlock` if nothing has come, 0 at the end.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// Notes that `bytes` were decoded of what the host has read and handed over by [`Command::Feed`].
    fn fed(&mut self, bytes: usize);
    /// Ends our side (FIN), after what was written.
    fn finish(&mut self);
    /// Whether dropping the link is enough to end it, so that what was written and the end (FIN) still reach the peer.
    fn ends_when_dropped(&self) -> bool;
    /// Notes that the peer will send nothing more that counts.
    fn peer_closed(&mut self);
    /// Makes the link end without waiting for the peer (RST) when it is dropped.
    fn abort(&mut self);
    /// Lets a link that the host writes take `bytes` more.
    fn grant(&mut self, bytes: usize);
    /// Returns what the kernel knows of the peer; none if it knows nothing.
    fn tcp_info(&self) -> Option<TcpInfo>;
}

/// The settings that all connections of a shard share. Times are in microseconds.
#[derive(Debug, Clone)]
pub struct ShardSettings {
    /// Bytes that may wait for one connection.
    pub connection_bytes: usize,
    /// Bytes that a session keeps of what was sent and not acknowledged.
    pub replay_bytes: usize,
    /// When the engine's clock started, in milliseconds since 1970.
    pub started_ms: u64,
    /// From one ping to the next; 0: no pings.
    pub ping_interval_us: u64,
    /// From a ping to its pong.
    pub ping_timeout_us: u64,
    /// From the start of closing to the end; again as long while the peer takes what waits.
    pub close_timeout_us: u64,
    /// How long a peer may take nothing of what waits for it.
    pub write_timeout_us: u64,
    /// Bytes a second, in either direction, at which a peer that does not answer counts as alive.
    pub min_rate: u64,
    /// The close code for a connection that is too slow.
    pub slow_code: u16,
    /// The limits on what clients send.
    pub inbound: InboundSettings,
    /// The key for probes. They are sent to connections that are sent pings.
    pub probe_key: ProbeKey,
}

/// The state of one shard.
#[derive(Debug)]
pub struct Shard<L> {
    index: usize,
    settings: ShardSettings,
    budget: Arc<Budget>,
    stats: Arc<Stats>,
    slots: Slots<Conn<L>>,
    members: Members,
    /// Connections with something to write, each at most once.
    dirty: VecDeque<ConnId>,
    timers: BinaryHeap<Reverse<(u64, ConnId)>>,
    /// Connections with something to read, each at most once.
    readable: VecDeque<ConnId>,
    reading_timers: BinaryHeap<Reverse<(u64, ConnId)>>,
    /// Retired links by their former ids; see [`Conn::link_id`].
    retired: FxHashMap<ConnId, ConnId>,
    /// Sessions that ended because too much waited for them, until the host calls `gone`. A client that resumes before
    /// that is told the reason.
    overflowed: FxHashSet<ConnId>,
    rates: Arc<Rates>,
    /// Bytes of all incomplete messages in the whole engine.
    unfinished: Arc<Budget>,
    /// How often the host has asked for events; none if it has handled all of them.
    asked: Option<u64>,
    /// Whether much less waits for the host than may.
    is_roomy: bool,
    /// The buffer of the present read.
    buffer: Box<[u8]>,
    heard: ReadOutcome,
    /// The references to messages in the outboxes of this shard.
    references: usize,
    /// How many of them the budget counts.
    counted: usize,
    ended: Vec<ConnId>,
    events: Vec<Event>,
    /// Messages over their rate that were answered: their number names the answer.
    answers: u64,
}

impl<L: Link> Shard<L> {
    /// Creates a shard without connections.
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
            heard: ReadOutcome::default(),
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

    /// Applies a command. Messages are only queued; [`Self::flush`] writes them. Returns the work done, in references
    /// to messages; commands that make system calls count as `CALLS_WORK`.
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

    /// Returns the number of members of a room in this shard.
    pub fn members(&self, room: RoomId) -> usize {
        self.members.count(room)
    }

    /// Writes for at most `quota` connections. Returns true if more have something to write.
    pub fn flush(&mut self, quota: usize, now_us: u64) -> bool {
        for _ in 0..quota {
            let Some(conn) = self.dirty.pop_front() else { break };
            self.flush_one(conn, now_us);
        }
        !self.dirty.is_empty()
    }

    /// Notes that the link of a connection takes more again.
    pub fn writable(&mut self, conn: ConnId) {
        if let Some(slot) = self.slots.get_mut(conn)
            && slot.link.is_some()
        {
            slot.is_blocked = false;
            slot.mark_dirty(conn, &mut self.dirty);
        }
    }

    /// Runs the timers: pings, missing pongs, late closes. Returns when it wants to be called again.
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

    /// Returns when [`Self::tick`] has something to do next.
    pub fn next_due_us(&self) -> Option<u64> {
        let due = |timers: &BinaryHeap<Reverse<(u64, ConnId)>>| timers.peek().map(|&Reverse((due_us, _))| due_us);
        [due(&self.timers), due(&self.reading_timers)].into_iter().flatten().min()
    }

    /// Takes the events since the last call, and the ids that may be used again.
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
            outbox: if interval_us > 0 { outbox.with_probes(self.settings.probe_key.clone(), conn) } else { outbox },
            skipped: Skipped::new(form.codec.has_envelopes()),
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
            // Connections that came together must not ping together. The first ping falls anywhere in the interval, by
            // a hash of the id (Fibonacci hashing), and later pings keep that phase.
            let phase = conn.as_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15);
            slot.due_us = now_us + 1 + ((u128::from(phase) * u128::from(interval_us)) >> 64) as u64;
            self.timers.push(Reverse((slot.due_us, conn)));
        }
        self.slots.insert(conn, slot);
        self.stats.connections.set(self.slots.len() as u64);
    }
}

/// The work of a few system calls, in references: some microseconds. It makes the thread yield when thousands of
/// connections come or go at once.
const CALLS_WORK: usize = 512;

/// The limit on bytes of one read. Each shard has one buffer of this size.
const READ_MAX: usize = 64 << 10;

pub mod coalesce;
mod conn;
mod endings;
pub mod inbound;
mod pings;
pub mod rate_limit;
mod reading;
mod relief;
mod sessions;
pub mod tcp_info;
mod writing;
#[cfg(test)]
pub(crate) mod tests;
