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
use crate::outbox::joins::Joins;
use crate::outbox::probes::ProbeKey;
use crate::outbox::{Push, Sink};
use crate::queues::command::{Cause, Command, Event};
use crate::room::members::Members;
use crate::shard::inbound::{InboundSettings, ReadOutcome};
use crate::shard::rate_limit::Rates;
use crate::shard::rates::{RateTargets, RateTimers};
use crate::shard::tcp_info::TcpInfo;
use crate::shard::turns::Turns;
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
    /// Whether there may be something to read that the poll does not announce.
    fn has_more(&self) -> bool;
    /// Sends what the link has taken and still holds. Returns whether that is all; otherwise [`Shard::ready`] tells when
    /// to go on.
    fn flush(&mut self) -> io::Result<bool>;
    /// Whether the link holds something of what it has taken, or of its own, that was not sent.
    fn has_unsent(&self) -> bool;
    /// Ends our side (FIN), after what was written.
    fn finish(&mut self);
    /// Whether dropping the link is enough to end it, so that what was written and the end (FIN) still reach the peer.
    fn ends_when_dropped(&self) -> bool;
    /// Makes the link end without waiting for the peer (RST) when it is dropped.
    fn abort(&mut self);
    /// Lets a link of polls take one write.
    fn grant(&mut self);
    /// Lets a link of polls take one write. If it may take one already, the host is told that the poll before is over.
    /// Returns false if it is another link.
    fn poll(&mut self) -> bool;
    /// Answers the request that has opened a link of polls, and ends that request's connection.
    fn answer(&mut self, response: &[u8]);
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
    /// Connections with something to write.
    dirty: Turns,
    timers: BinaryHeap<Reverse<(u64, ConnId)>>,
    rate_timers: RateTimers,
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
    /// The batches of the present round of writes.
    joins: Joins,
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
            joins: Joins::new(Arc::clone(&budget)),
            budget,
            stats,
            slots: Slots::default(),
            members: Members::new(index),
            dirty: Turns::default(),
            timers: BinaryHeap::new(),
            rate_timers: RateTimers::default(),
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
                let Self { members, slots, dirty, stats, references, rate_timers, .. } = self;
                let mut slow = Vec::new();
                let mut handled = 0;
                let Some(room) = members.of(message.room()) else { return 0 };
                if let Some((recipients, others)) = room.select(&message) {
                    return self.publish_selected(&message, &recipients, others, &except, now_us);
                }
                dirty.begin_walk(message.priority());
                room.walk(|conn| {
                    if except.binary_search(&conn).is_ok() {
                        if let Some(slot) = slots.get_mut(conn) {
                            slot.skip(conn, &message, dirty);
                        }
                        return;
                    }
                    handled += 1;
                    if let Some(slot) = slots.get_mut(conn)
                        && slot.push(conn, &message, dirty, stats, references) == Push::Overflow
                    {
                        slow.push(conn);
                    }
                });
                message.traces().iter().for_each(|trace| trace.queued(handled));
                if let Some(rated) = &mut room.rated {
                    let slow = &mut slow;
                    let mut parts = RateTargets { slots, dirty, stats, references, timers: rate_timers, slow };
                    handled += parts.publish(rated, &message, None, &except, now_us).unwrap_or_default();
                }
                for conn in slow {
                    self.close_slow(conn, Cause::Slow, now_us);
                }
                return handled;
            }
            Command::Together(commands) => {
                return commands.into_iter().map(|command| self.apply(command, now_us)).sum();
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
            Command::Join { conn, room, headcount, before, wish } => {
                return self.join(conn, room, &headcount, &before, &wish, now_us);
            }
            Command::Attributes { conn, room, change } => self.change_attributes(conn, room, change),
            Command::Wish { conn, room, wish } => self.members.wish(room, conn, &wish),
            Command::Configure { conn, room, rates } => self.configure(conn, room, rates, now_us),
            Command::Leave { conn, room } => {
                self.unrate(conn, room);
                self.members.leave(room, conn);
                self.forget_room(conn, room);
            }
            Command::ReadOn { conn } => self.change_reading(conn, |reading| reading.is_full = false),
            Command::Hold { conn, is_held } => self.change_reading(conn, |reading| reading.is_held = is_held),
            Command::Post { conn, link, frames } => self.post(conn, link, &frames),
            Command::Poll { conn, link, received } => self.poll(conn, link, received),
            Command::Close { conn, code, reason, flush } => self.close(conn, code, &reason, flush, now_us),
            Command::Slowest { most, answer } => {
                // Fails only if the asker has given up.
                let _ = answer.send(self.slowest(most, now_us));
                return self.slots.len();
            }
            Command::Describe { conn, answer } => {
                let _ = answer.send(self.connection_reading(conn, now_us));
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

    /// Notes that the link of a connection takes more again.
    pub fn writable(&mut self, conn: ConnId) {
        if let Some(slot) = self.slots.get_mut(conn)
            && slot.link.is_some()
        {
            slot.is_blocked = false;
            slot.mark_dirty(conn, &mut self.dirty);
        }
    }

    /// Runs the timers: pings, missing pongs, late closes, rates. Returns when it wants to be called again.
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
        self.keep_rates(now_us);
        self.next_due_us()
    }

    /// Returns when [`Self::tick`] has something to do next.
    pub fn next_due_us(&self) -> Option<u64> {
        let due = |timers: &BinaryHeap<Reverse<(u64, ConnId)>>| timers.peek().map(|&Reverse((due_us, _))| due_us);
        [due(&self.timers), due(&self.reading_timers), self.rate_timers.next_us()].into_iter().flatten().min()
    }

    /// Takes the events since the last call, and the ids that may be used again.
    pub fn take(&mut self) -> (Vec<Event>, Vec<ConnId>) {
        (std::mem::take(&mut self.events), std::mem::take(&mut self.ended))
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
mod interest;
mod opening;
mod pings;
pub mod rate_limit;
mod rates;
mod reading;
mod relief;
mod sessions;
mod slowest;
pub mod tcp_info;
mod turns;
mod writing;
#[cfg(test)]
pub(crate) mod tests;
