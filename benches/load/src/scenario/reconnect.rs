//! All clients of a room lose their connections at the same moment and come back, while messages go on. Not the
//! protocol's client: it knows one room and never joins again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use mio::Events;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Common, WIDTH, float, round};
use crate::book::{Faults, Ledger};
use crate::client::{Book, Client};
use crate::clock::{self, SECOND};
use crate::histogram::Histogram;
use crate::link::{Role, State};
use crate::pace::{Dice, Pace, backoff};
use crate::stamp;

const ROOM: &str = "all";
/// An attempt that is not greeted within so long has failed.
const PATIENCE: u64 = 10 * SECOND;
/// Beyond the drain, nobody is waited for longer than this.
const LIMIT: u64 = 60 * SECOND;

/// How connections are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Cut {
    /// The network says so: RST.
    Rst,
    /// The process ends: FIN, or RST where something is unread.
    Fin,
}

/// A mass reconnect.
#[derive(Debug, Args)]
pub struct Reconnect {
    #[command(flatten)]
    pub(super) common: Common,
    /// Sessions, all in one room.
    #[arg(long, default_value_t = 9900)]
    clients: usize,
    /// Messages per second, all the time.
    #[arg(long, default_value_t = 8.0)]
    rate: f64,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Seconds within which the first attempt to come back happens, at random.
    #[arg(long, default_value_t = 1.0)]
    first: f64,
    /// Handshakes in progress at a time.
    #[arg(long, default_value_t = 256)]
    width: usize,
    /// How the connections are lost.
    #[arg(long, value_enum, default_value_t = Cut::Rst)]
    cut: Cut,
    /// Of the random waits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The publisher and its clock.
struct Source {
    id: usize,
    pace: Pace,
    payload: Vec<u8>,
    published: u64,
}

/// What coming back has shown.
#[derive(Default)]
struct Return {
    back: Histogram,
    handshake: Histogram,
    queued: Histogram,
    complete: usize,
    last_at: u64,
    greeted_last: u64,
    attempts: u64,
    failed: u64,
    lost_again: u64,
    wrong_received: u64,
    not_resumed: BTreeMap<String, u64>,
}

impl Reconnect {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let mut bench = Bench::new(&self.common, 1)?;
        let ids = join(&mut bench, self.clients, || Book::Stream(Ledger::default()), ROOM)?;
        let base = bench.swarm.client(ids[0]).and_then(|client| client.joined).unwrap_or(0);
        let talker = bench.swarm.open([("/pub".to_owned(), Role::Talker)], 1, &mut bench.tally)?.0[0];
        let mut source = Source::new(talker, self.rate, self.size);

        source.run(&mut bench, self.common.warmup)?;
        let calm = bench.stat()?;
        source.run(&mut bench, self.common.seconds)?;
        let (before, missed_from) = (bench.stat()?, source.published);

        let (start, cpu) = (clock::now(), clock::cpu());
        for &id in &ids {
            bench.swarm.cut(id, self.cut == Cut::Rst)?;
        }
        let cut = clock::now() - start;
        let found = self.come_back(&mut bench, &mut source, &ids, base, start)?;
        let (wall, used) = (clock::now() - start, clock::cpu() - cpu);
        let (after, missed) = (bench.stat()?, source.published - missed_from);

        source.run(&mut bench, 1.0)?;
        let last = base + source.published;
        let deadline = clock::now() + clock::nanos(self.common.drain);
        let caught_up = |bench: &Bench| ids.iter().all(|&id| ledger(bench, id).is_none_or(|l| l.next() > last));
        let mut events = Events::with_capacity(1024);
        while clock::now() < deadline && !caught_up(&bench) {
            bench.swarm.turn(&mut events, (clock::now() + SECOND / 50).min(deadline), &mut bench.tally)?;
        }
        let clients = || ids.iter().filter_map(|&id| bench.swarm.client(id));
        let books = ids.iter().filter_map(|&id| ledger(&bench, id)).map(|ledger| ledger.faults(last));
        let mut faults = books.fold(Faults::default(), Faults::and);
        faults.foreign = clients().map(|client| client.foreign).sum();
        let Value::Object(mut order) = json!(faults) else { bail!("faults are a map") };
        let strangers: u64 = found.not_resumed.values().sum();
        order.insert("not_resumed".into(), strangers.into());
        order.insert("not_back".into(), (self.clients - found.complete).into());
        order.insert("lost_again".into(), found.lost_again.into());
        order.insert("wrong_received".into(), found.wrong_received.into());

        let parameters = json!({
            "clients": self.clients, "rate": self.rate, "size": self.size, "first": self.first, "width": self.width,
            "cut": if self.cut == Cut::Rst { "rst" } else { "fin" }, "seed": self.seed,
        });
        let client = float(used) / float(wall);
        let seconds = |nanos: u64| round(float(nanos) / float(SECOND), 3);
        let mut map = super::head("reconnect", &self.common, parameters);
        let Value::Object(more) = json!({
            "clients": self.clients,
            "complete": found.complete,
            "last_back_s": seconds(found.last_at.saturating_sub(start)),
            "last_welcome_s": seconds(found.greeted_last.saturating_sub(start)),
            "cut_s": seconds(cut),
            // From the cut, the random wait included; the same of the handshake alone; the wait for the width.
            "latency_us": found.back.summary(),
            "handshake_us": found.handshake.summary(),
            "queued_us": found.queued.summary(),
            "attempts": found.attempts,
            "refused": found.failed,
            "not_resumed": found.not_resumed,
            "published": source.published,
            "published_meanwhile": missed,
            "order": order,
            "wall_s": seconds(wall),
            "server_cpu_s": round(after.cpu_since(&before), 3),
            "cpu_us_per_return": round(after.cpu_since(&before) * 1e6 / float((found.complete as u64).max(1)), 2),
            "server_cpu": round(after.cpu_since(&before) * float(SECOND) / float(after.at - before.at), 3),
            "server_cpu_calm": round(before.cpu_since(&calm) * float(SECOND) / float(before.at - calm.at), 3),
            "loop_late_ms": after.extra.get("loop_late_ms"),
            "loop_late_calm_ms": before.extra.get("loop_late_ms"),
            "client_cpu": round(client, 3),
            "saturated": client > 0.9,
            "maxrss_kb": after.maxrss_kb,
            "conns": after.extra.get("conns"),
        }) else {
            return Ok(map);
        };
        map.extend(more);
        bench.swarm.abort(&ids);
        Ok(map)
    }

    fn come_back(
        &self,
        bench: &mut Bench,
        source: &mut Source,
        ids: &[usize],
        base: u64,
        start: u64,
    ) -> Result<Return> {
        let mut found = Return::default();
        let mut dice = Dice::new(self.seed);
        let first = clock::nanos(self.first);
        let mut tries: BTreeMap<usize, u32> = BTreeMap::new();
        let mut due: BinaryHeap<_> =
            ids.iter().map(|&id| Reverse((start + backoff(&mut dice, first, 0), id))).collect();
        // Those in a handshake and since when; those greeted and the number that makes them complete.
        let mut knocking: Vec<(usize, u64)> = Vec::new();
        let mut catching: Vec<(usize, u64)> = Vec::new();
        let mut events = Events::with_capacity(1024);
        let deadline = start + clock::nanos(self.common.drain) + LIMIT;
        loop {
            source.step(bench);
            let now = clock::now();
            while knocking.len() < self.width.max(1) {
                let Some(&Reverse((at, id))) = due.peek().filter(|Reverse((at, _))| *at <= now) else { break };
                due.pop();
                found.queued.record(now - at);
                found.attempts += 1;
                bench.swarm.again(id)?;
                knocking.push((id, clock::now()));
            }
            if (knocking.is_empty() && catching.is_empty() && due.is_empty()) || now >= deadline {
                return Ok(found);
            }
            let waiting = due.peek().filter(|_| knocking.len() < self.width.max(1)).map_or(deadline, |next| next.0.0);
            bench.swarm.turn(&mut events, waiting.min(source.pace.due()).min(now + SECOND), &mut bench.tally)?;

            let now = clock::now();
            let mut retry = Vec::new();
            knocking.retain(|&(id, since)| {
                let greeting = bench.swarm.client(id).and_then(|client| client.greeting.as_ref());
                match (bench.swarm.state(id), greeting) {
                    (_, Some(greeting)) if !greeting.resumed => {
                        let reason = greeting.reason.clone().unwrap_or_else(|| "no reason".to_owned());
                        *found.not_resumed.entry(reason).or_default() += 1;
                    }
                    (State::Open, Some(greeting)) => {
                        // Its one counted message was the join.
                        found.wrong_received += u64::from(greeting.received != 1);
                        found.handshake.record(now - since);
                        found.greeted_last = now;
                        catching.push((id, base + source.published));
                    }
                    (State::Closed, _) => {
                        found.failed += 1;
                        retry.push(id);
                    }
                    _ if now > since + PATIENCE => {
                        found.failed += 1;
                        retry.push(id);
                    }
                    _ => return true,
                }
                false
            });
            catching.retain(|&(id, owed)| {
                if ledger(bench, id).is_some_and(|ledger| ledger.next() > owed) {
                    // What it missed may have been nothing, and then it was back with its greeting.
                    let seen = bench.swarm.client(id).map_or(now, |client| client.seen);
                    let at = if seen > start { seen } else { now };
                    found.back.record(at - start);
                    found.last_at = found.last_at.max(at);
                    found.complete += 1;
                } else if bench.swarm.state(id) == State::Closed {
                    found.lost_again += 1;
                    retry.push(id);
                } else {
                    return true;
                }
                false
            });
            for id in retry {
                let tried = tries.entry(id).or_default();
                *tried += 1;
                due.push(Reverse((now + backoff(&mut dice, first, *tried), id)));
            }
        }
    }
}

impl Source {
    fn new(id: usize, rate: f64, size: usize) -> Self {
        let payload = vec![b'.'; size.max(stamp::SIZE)];
        Self { id, pace: Pace::new(clock::now(), rate), payload, published: 0 }
    }

    /// Publishes what is due.
    fn step(&mut self, bench: &mut Bench) {
        let now = clock::now();
        while self.pace.step(now) {
            self.published += 1;
            stamp::write(&mut self.payload, now, self.published);
            bench.swarm.say(self.id, &self.payload);
        }
        bench.swarm.flush(self.id);
    }

    fn run(&mut self, bench: &mut Bench, seconds: f64) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let until = clock::now() + clock::nanos(seconds);
        while clock::now() < until {
            self.step(bench);
            bench.swarm.turn(&mut events, until.min(self.pace.due()), &mut bench.tally)?;
        }
        Ok(())
    }
}

/// Opens `count` clients and lets them join `room` once all of them are greeted; returns when all have joined.
///
/// # Errors
/// The server's: it refuses one of them, or does not answer.
pub(super) fn join(bench: &mut Bench, count: usize, book: impl Fn() -> Book, room: &str) -> Result<Vec<usize>> {
    let ids = greet(bench, count, book)?;
    ask(bench, &ids, room);
    let mut events = Events::with_capacity(1024);
    let deadline = clock::now() + LIMIT;
    let joined = |bench: &Bench| ids.iter().all(|&id| bench.swarm.client(id).is_some_and(|c| c.joined.is_some()));
    while !joined(bench) {
        if clock::now() > deadline || bench.swarm.closed() > 0 {
            bail!("not all clients could join");
        }
        bench.swarm.turn(&mut events, deadline, &mut bench.tally)?;
    }
    Ok(ids)
}

/// Opens `count` clients that have joined nothing.
pub(super) fn greet(bench: &mut Bench, count: usize, book: impl Fn() -> Book) -> Result<Vec<usize>> {
    let wanted = (0..count).map(|_| ("/".to_owned(), Role::Client(Box::new(Client::new(book())))));
    let (ids, _) = bench.swarm.open(wanted, WIDTH, &mut bench.tally)?;
    if bench.swarm.failed() > 0 || ids.is_empty() {
        bail!("{} of {count} sessions were refused", bench.swarm.failed());
    }
    Ok(ids)
}

/// Sends the join of every one of these clients.
pub(super) fn ask(bench: &mut Bench, ids: &[usize], room: &str) {
    let join = Client::join(room);
    for &id in ids {
        bench.swarm.write(id, &join);
        bench.swarm.flush(id);
    }
}

fn ledger(bench: &Bench, id: usize) -> Option<&Ledger> {
    match &bench.swarm.client(id)?.book {
        Book::Stream(ledger) => Some(ledger),
        Book::Latest(..) => None,
    }
}
