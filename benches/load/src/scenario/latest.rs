//! Sessions that join a large room of latest values while its values change. Not a broadcast: what counts is that each
//! has one whole snapshot, and then every change or the word that it was replaced.

use anyhow::{Result, bail};
use clap::Args;
use mio::Events;
use serde_json::{Map, Value, json};

use super::reconnect::{ask, greet};
use crate::bench::{Bench, Common, LATEST, float, round};
use crate::book::{ValueFaults, Values};
use crate::client::Book;
use crate::clock::{self, SECOND};
use crate::histogram::Histogram;
use crate::link::{Role, State};
use crate::pace::{Dice, Pace};
use crate::stamp;
use crate::stat::Stat;

/// Nobody waits longer for a snapshot.
const LIMIT: u64 = 60 * SECOND;

/// Joining a room of latest values.
#[derive(Debug, Args)]
pub struct LatestJoin {
    #[command(flatten)]
    pub(super) common: Common,
    /// Keys of the room, each of which has a value before anybody joins.
    #[arg(long, default_value_t = 10_000)]
    keys: usize,
    /// Sessions that join at once.
    #[arg(long, default_value_t = 200)]
    joiners: usize,
    /// New values per second, of random keys.
    #[arg(long, default_value_t = 5000.0)]
    rate: f64,
    /// Bytes of a value.
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Of the random keys.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Publishes values, and knows the last of each key by the bench's numbers.
struct Source {
    id: usize,
    message: Vec<u8>,
    size: usize,
    newest: Vec<u64>,
    published: u64,
}

impl LatestJoin {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        if self.keys == 0 {
            bail!("there must be a key");
        }
        let mut bench = Bench::new(&self.common, 1)?;
        let id = bench.swarm.open([("/publatest".to_owned(), Role::Talker)], 1, &mut bench.tally)?.0[0];
        let newest = vec![0; self.keys];
        let mut source = Source { id, message: Vec::new(), size: self.size.max(stamp::SIZE), newest, published: 0 };
        (0..self.keys).for_each(|key| source.publish(&mut bench, key, clock::now()));
        // The answer comes behind all of them.
        Stat::ask(&mut bench.swarm, id, &mut bench.tally)?;
        let ids = greet(&mut bench, self.joiners, || Book::Latest(Values::new(self.keys), None))?;

        let (mut pace, mut dice) = (Pace::new(clock::now(), self.rate), Dice::new(self.seed));
        let mut run = |bench: &mut Bench, source: &mut Source, seconds: f64, done: &dyn Fn(&Bench) -> bool| {
            let mut events = Events::with_capacity(1024);
            let start = clock::now();
            let (until, limit) = (start + clock::nanos(seconds), start + clock::nanos(seconds) + LIMIT);
            while clock::now() < until || (!done(bench) && clock::now() < limit) {
                let now = clock::now();
                while pace.step(now) {
                    let key = usize::try_from(dice.below(source.newest.len() as u64)).unwrap_or(0);
                    source.publish(bench, key, now);
                }
                bench.swarm.flush(source.id);
                bench.swarm.turn(&mut events, pace.due(), &mut bench.tally)?;
            }
            anyhow::Ok(())
        };
        run(&mut bench, &mut source, self.common.warmup, &|_| true)?;
        let (before, already) = (bench.stat()?, source.published);
        let (start, cpu) = (clock::now(), clock::cpu());
        ask(&mut bench, &ids, LATEST);
        let whole = |bench: &Bench| ids.iter().all(|&id| values(bench, id).is_none_or(|(_, whole)| whole.is_some()));
        run(&mut bench, &mut source, 0.0, &whole)?;
        let (wall, used) = (clock::now() - start, clock::cpu() - cpu);
        let joined = bench.stat()?;
        run(&mut bench, &mut source, self.common.seconds, &|_| true)?;
        let (stream_wall, stream_used) = (clock::now() - start - wall, clock::cpu() - cpu - used);
        let after = bench.stat()?;

        let offset = ids.iter().find_map(|&id| bench.swarm.client(id)?.offset).unwrap_or(0);
        let last = source.published.wrapping_add(offset);
        let newest: Vec<_> = source.newest.iter().map(|number| number.wrapping_add(offset)).collect();
        let deadline = clock::now() + clock::nanos(self.common.drain);
        let stopped = clock::now();
        let settled = |bench: &Bench| ids.iter().all(|&id| values(bench, id).is_none_or(|(v, _)| v.settled(last)));
        let mut events = Events::with_capacity(1024);
        while clock::now() < deadline && !settled(&bench) {
            bench.swarm.turn(&mut events, (clock::now() + SECOND / 50).min(deadline), &mut bench.tally)?;
        }
        let settling = clock::now() - stopped;

        let books = || ids.iter().filter_map(|&id| values(&bench, id));
        let mut faults = books().map(|(v, _)| v.faults(&newest, last)).fold(ValueFaults::default(), ValueFaults::and);
        faults.foreign += ids.iter().filter_map(|&id| bench.swarm.client(id)).map(|c| c.foreign).sum::<u64>();
        let sums = books().map(|(values, _)| values.sums());
        let (snapshot, delivered, told) = sums.fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
        let mut latency = Histogram::default();
        books().filter_map(|(_, whole)| *whole).for_each(|at| latency.record(at.saturating_sub(start)));
        let lost = ids.iter().filter(|&&id| bench.swarm.state(id) == State::Closed).count();

        let client = float(used) / float(wall);
        let parameters = json!({
            "keys": self.keys, "joiners": self.joiners, "rate": self.rate, "size": self.size, "seed": self.seed,
        });
        let seconds = |nanos: u64| round(float(nanos) / float(SECOND), 3);
        let share = |spent: f64, from: &Stat, to: &Stat| round(spent * float(SECOND) / float(to.at - from.at), 3);
        let mut map = super::head("latest-join", &self.common, parameters);
        let Value::Object(more) = json!({
            "joiners": self.joiners,
            "complete": latency.total(),
            // From the first join sent to the moment when every key has a value.
            "latency_us": latency.summary(),
            "wall_s": seconds(wall),
            "snapshot_values_per_s": round(float(latency.total() * self.keys as u64) * 1e9 / float(wall), 0),
            "published_meanwhile": source.published - already,
            "snapshot_values": snapshot,
            "stream_values": delivered,
            "told_of": told,
            "settled_s": seconds(settling),
            "order": faults,
            "server_cpu_s": round(joined.cpu_since(&before), 3),
            "server_cpu": share(joined.cpu_since(&before), &before, &joined),
            "server_cpu_stream": share(after.cpu_since(&joined), &joined, &after),
            "loop_late_ms": joined.extra.get("loop_late_ms"),
            "loop_late_stream_ms": after.extra.get("loop_late_ms"),
            "client_cpu": round(client, 3),
            "client_cpu_stream": round(float(stream_used) / float(stream_wall.max(1)), 3),
            "saturated": client > 0.9,
            "maxrss_kb": after.maxrss_kb,
            "closed": lost,
        }) else {
            return Ok(map);
        };
        map.extend(more);
        bench.swarm.abort(&ids);
        Ok(map)
    }
}

impl Source {
    fn publish(&mut self, bench: &mut Bench, key: usize, now: u64) {
        self.published += 1;
        self.newest[key] = self.published;
        let key = key.to_string();
        self.message.clear();
        self.message.extend_from_slice(&u16::try_from(key.len()).unwrap_or(0).to_be_bytes());
        self.message.extend_from_slice(key.as_bytes());
        let start = self.message.len();
        self.message.resize(start + self.size, b'.');
        stamp::write(&mut self.message[start..], now, self.published);
        bench.swarm.say(self.id, &self.message);
    }
}

fn values(bench: &Bench, id: usize) -> Option<(&Values, &Option<u64>)> {
    match &bench.swarm.client(id)?.book {
        Book::Latest(values, whole) => Some((values, whole)),
        Book::Stream(_) => None,
    }
}
