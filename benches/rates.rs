//! What members with a rate cost a shard: 10,000 members at 4 values a second of each of 100 keys, from 2,000 messages a
//! second; the same published by hand, the newest of each key once an interval; and every message to every member.
//!
//! `cargo bench --bench rates` takes less than a minute. The links take everything and count it, so that our own work is
//! measured and not the kernel's. The figures are the CPU time of the thread for one second of the shard's time.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark has no documentation, and ends with its first error")]

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

use fanwire::budget::Budget;
use fanwire::interest::MemberWish;
use fanwire::message::{Delivery, Message, Metadata, Role};
use fanwire::outbox::Sink;
use fanwire::outbox::probes::ProbeKey;
use fanwire::outbox::rates::MemberRates;
use fanwire::protocol::envelope::Kind;
use fanwire::protocol::form::Form;
use fanwire::queues::command::{Command, Greeting, Source};
use fanwire::room::members::Headcount;
use fanwire::shard::inbound::InboundSettings;
use fanwire::shard::rate_limit::RateSettings;
use fanwire::shard::tcp_info::TcpInfo;
use fanwire::shard::{Link, Shard, ShardSettings};
use fanwire::slots::{ConnId, Ids};
use fanwire::stats::Stats;
use fanwire::wire::decoder::Limits;

const ROOM: u64 = 1;
const SECOND: u64 = 1_000_000;
const KEYS: u64 = 100;
const PUBLISHES: u64 = 2_000;
const RATE: u64 = 4;
const PAYLOAD: [u8; 64] = [b'x'; 64];
const RUNS: usize = 5;
const SECONDS: u64 = 3;

/// Takes everything, and counts the writes.
#[derive(Debug, Clone)]
struct Null(Rc<Cell<u64>>);

impl Sink for Null {
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.set(self.0.get() + 1);
        Ok(bufs.iter().map(|buf| buf.len()).sum())
    }
}

impl Link for Null {
    fn watch(&mut self, _: ConnId) -> io::Result<()> {
        Ok(())
    }
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    fn has_more(&self) -> bool {
        false
    }
    fn flush(&mut self) -> io::Result<bool> {
        Ok(true)
    }
    fn has_unsent(&self) -> bool {
        false
    }
    fn ends_when_dropped(&self) -> bool {
        true
    }
    fn finish(&mut self) {}
    fn abort(&mut self) {}
    fn grant(&mut self) {}
    fn poll(&mut self) -> bool {
        false
    }
    fn answer(&mut self, _: &[u8]) {}
    fn tcp_info(&self) -> Option<TcpInfo> {
        None
    }
}

struct World {
    shard: Shard<Null>,
    budget: Arc<Budget>,
    stats: Arc<Stats>,
    writes: Rc<Cell<u64>>,
    seq: u64,
}

impl World {
    fn new(members: usize, rates: Option<MemberRates>) -> Self {
        let budget = Arc::new(Budget::new(usize::MAX));
        let stats = Arc::<Stats>::default();
        let unfinished = Arc::new(Budget::new(1 << 20));
        let mut shard = Shard::new(0, settings(), Arc::clone(&budget), unfinished, Arc::clone(&stats));
        let mut ids = Ids::new(0);
        let headcount = Arc::new(Headcount::new("room".into(), Arc::default(), 1));
        let writes = Rc::new(Cell::new(0));
        for _ in 0..members {
            let conn = ids.take().expect("a free id");
            let greeting = Greeting::Bytes(Box::default());
            let source = Source { rest: Box::default(), times: 1.0 };
            let link = Null(Rc::clone(&writes));
            let first = Box::default();
            shard.apply(Command::Open { conn, link, form: Form::RAW, has_session: false, greeting, first, source }, 0);
            headcount.join(0);
            let (headcount, before) = (Arc::clone(&headcount), Box::default());
            shard.apply(Command::Join { conn, room: ROOM, headcount, before, wish: MemberWish::Keep }, 0);
            if let Some(rates) = rates {
                shard.apply(Command::Configure { conn, room: ROOM, rates }, 0);
            }
        }
        Self { shard, budget, stats, writes, seq: 0 }
    }

    fn publish(&mut self, key: Option<u64>, now_us: u64) {
        self.seq += 1;
        let delivery = if key.is_some() { Delivery::Latest } else { Delivery::Reliable };
        let metadata = Metadata { key, ..Metadata::place(ROOM, self.seq, delivery) };
        let message = Message::new(Role::Data, Kind::Binary, &PAYLOAD, metadata, now_us, &self.budget);
        self.shard.apply(Command::Publish { message: Arc::new(message), except: Box::default() }, now_us);
    }

    fn turn(&mut self, now_us: u64) {
        self.shard.tick(now_us);
        while self.shard.flush(32, now_us) {}
        self.shard.settle(now_us, 0);
    }

    /// Works for a second of its own time.
    fn second(&mut self, from_us: u64, is_by_hand: bool) {
        let step_us = SECOND / PUBLISHES;
        for step in 0..PUBLISHES {
            let now_us = from_us + step * step_us;
            if !is_by_hand {
                self.publish(Some(1 + step % KEYS), now_us);
            } else if now_us.is_multiple_of(SECOND / RATE) {
                (1..=KEYS).for_each(|key| self.publish(Some(key), now_us));
            }
            self.turn(now_us);
        }
    }
}

fn measure(name: &str, members: usize, rates: Option<MemberRates>, is_by_hand: bool) -> f64 {
    let mut world = World::new(members, rates);
    // The first interval has the first values, at once.
    world.second(SECOND, is_by_hand);
    let mut runs = Vec::new();
    for run in 0..RUNS as u64 {
        let (delivered, writes, began) = (world.stats.delivered(), world.writes.get(), cpu_us());
        for second in 0..SECONDS {
            world.second((2 + run * SECONDS + second) * SECOND, is_by_hand);
        }
        let ms = (cpu_us() - began) as f64 / 1e3 / SECONDS as f64;
        runs.push((ms, (world.stats.delivered() - delivered) / SECONDS, (world.writes.get() - writes) / SECONDS));
    }
    runs.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ms, delivered, writes) = runs[RUNS / 2];
    let us = ms * 1e3 / delivered as f64;
    println!("{name:36} {ms:8.1} ms CPU a second, {delivered:>9} deliveries, {writes:>8} writes, {us:.4} us each");
    ms
}

/// Publishes to plain members, as everybody without a rate does: 64 reliable messages at a time to 1,000 members.
fn plain() {
    let mut runs = Vec::new();
    for key in [None, Some(1)] {
        let mut world = World::new(1_000, None);
        for _ in 0..RUNS {
            let began = cpu_us();
            for round in 0..200 {
                (0..64).for_each(|step| world.publish(key.map(|key| key + step), round * 1_000));
                world.turn(round * 1_000);
            }
            runs.push((cpu_us() - began) as f64 / (200.0 * 64.0 * 1_000.0));
        }
        runs.sort_by(f64::total_cmp);
        println!("plain, 64 at a time, keys: {:5}         {:.4} us a delivery", key.is_some(), runs[RUNS / 2]);
        runs.clear();
    }
}

fn main() {
    plain();
    let rates = MemberRates::new(Some(RATE as f64), None).expect("it is in range");
    let hand = measure("10,000 members, 4 Hz by hand", 10_000, None, true);
    let rated = measure("10,000 members, max_rate=4", 10_000, Some(rates), false);
    measure("1,000 members, every message", 1_000, None, false);
    println!("max_rate / by hand: {:.2} (goal: at most 1.3)", rated / hand);
}

/// The CPU time of this process in microseconds.
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).expect("a number") / 1_000
}

fn settings() -> ShardSettings {
    ShardSettings {
        connection_bytes: 1 << 20,
        replay_bytes: 0,
        started_ms: 0,
        ping_interval_us: 0,
        ping_timeout_us: 10 * SECOND,
        close_timeout_us: 5 * SECOND,
        write_timeout_us: 30 * SECOND,
        min_rate: 1024,
        slow_code: 4008,
        inbound: InboundSettings {
            limits: Limits { max_message: 1 << 20, max_fragments: 1000 },
            rates: RateSettings {
                message_rate: 0.0,
                message_burst: 1.0,
                byte_rate: 0.0,
                byte_burst: 1.0,
                ping_rate: 0.0,
                ping_burst: 1.0,
                max_refused: 1.0,
            },
            message_timeout_us: 30 * SECOND,
            min_rate: 1024,
            dry_run: false,
        },
        probe_key: ProbeKey::default(),
    }
}
