//! What can be read of an engine: counts, budgets, ages.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::budget::Budget;
use crate::engine::{ConnId, Engine};
use crate::error::Error;
use crate::protocol::compression::Compressed;
use crate::queues::command::Command;
use crate::queues::connection_reading::ConnectionReading;
use crate::queues::slow_readers::SlowReaders;
use crate::room::ages::BOUNDS_MS;
use crate::room::busiest::BusyRoom;
use crate::stats::Stats;
use crate::stats::rules::RuleStats;
use crate::stats::trace::Traces;

impl Engine {
    /// Returns the bytes of messages that are incomplete or on their way to the host.
    pub fn inbound_bytes(&self) -> usize {
        self.unfinished.used() + self.events.bytes()
    }

    /// Returns the counts of deltas; see [`DeltaCounts::read`](crate::message::DeltaCounts::read).
    pub fn deltas(&self) -> [u64; 4] {
        self.builder.deltas().read()
    }

    /// Returns what was compressed.
    pub fn compressed(&self) -> Compressed {
        self.builder.compression().compressed()
    }

    /// Returns the ages of messages when applications took them, by pattern of rooms; see
    /// [`crate::room::ages::Ages::counts`]. A pattern may occur twice.
    pub fn ages(&self) -> Vec<(Box<str>, [u64; BOUNDS_MS.len() + 1], u64)> {
        self.rooms.ages()
    }

    /// Returns how many messages were published, and how many were refused because something was full.
    pub fn published(&self) -> (u64, u64) {
        (self.published.load(Relaxed), self.refused.load(Relaxed))
    }

    /// Returns the rules that are counted: the pattern, the messages published, and the counters of each shard. A
    /// pattern may occur twice; "" stands for messages to no room, and "*" also for rooms that no pattern matches.
    pub fn rules(&self) -> impl Iterator<Item = (Box<str>, u64, Vec<&RuleStats>)> {
        self.rooms.patterns().into_iter().enumerate().map(|(place, pattern)| {
            let shards = self.stats().filter_map(|stats| stats.rules.iter().nth(place)).collect();
            (pattern, self.published_by_rule[place].load(Relaxed), shards)
        })
    }

    /// Returns by rule, as [`Self::rules`] lists them, from when to when members were written a message; see
    /// [`Spreads::read`](crate::stats::spread::Spreads::read).
    pub fn spreads(&self) -> Vec<(Vec<(u64, u64)>, u64)> {
        self.spreads.read(self.builder.now_us())
    }

    /// Returns the traces of messages.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Takes the traces that are over: the room and the number of a message, when it was published, how many connections
    /// got it, and when the last of them did; both times in microseconds since 1970. Without a connection, the second is
    /// the first.
    pub fn finished_traces(&self) -> Vec<(String, u64, u64, u64, u64)> {
        let unix_us = |us| self.builder.unix_us(us);
        let finished = self.traces.take(self.builder.now_us()).into_iter().map(|trace| {
            let (count, last_us) = trace.written();
            let last_us = last_us.max(trace.published_us);
            (trace.room.to_string(), trace.seq, unix_us(trace.published_us), count, unix_us(last_us))
        });
        finished.collect()
    }

    /// Counts messages of other nodes that were dropped because they came twice or out of order.
    pub fn late(&self) -> &AtomicU64 {
        &self.late
    }

    /// Returns the number of rooms.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Returns the `most` rooms with most deliveries since the last call, and then those with most members.
    pub fn busy_rooms(&self, most: usize) -> Result<Vec<BusyRoom>, Error> {
        self.check()?;
        Ok(self.rooms.busiest(most))
    }

    /// Asks each shard for its slowest readers, and waits for the answers for at most `timeout`. A shard that has not
    /// answered by then is left out.
    pub fn slow_readers(&self, most: usize, timeout: Duration) -> Result<SlowReaders, Error> {
        self.check()?;
        let deadline = Instant::now() + timeout;
        let (answer, answers) = mpsc::channel();
        for shard in &self.shards {
            shard.push(Command::Slowest { most, answer: answer.clone() }, 0);
        }
        drop(answer);
        let mut all = SlowReaders::default();
        while let Ok(found) = answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            all.join(found, most);
        }
        Ok(all)
    }

    /// Asks the shard of a connection what it is doing, and waits for the answer for at most `timeout`. None: there is
    /// no such connection, or the shard has not answered in time.
    pub fn connection_reading(&self, conn: ConnId, timeout: Duration) -> Result<Option<ConnectionReading>, Error> {
        let (answer, answers) = mpsc::channel();
        self.tell(conn, Command::Describe { conn, answer }, 0)?;
        Ok(answers.recv_timeout(timeout).ok().flatten())
    }

    /// Returns the budget for what waits for connections.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Returns the budget for histories and values of rooms.
    pub fn kept(&self) -> &Budget {
        self.rooms.kept()
    }

    /// Returns the counters of each shard.
    pub fn stats(&self) -> impl Iterator<Item = &Stats> {
        self.shards.iter().map(|shard| &*shard.stats)
    }
}
