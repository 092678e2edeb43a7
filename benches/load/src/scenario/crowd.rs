//! Connections that come in great number: how fast they are let in, and what they cost while they do nothing.

use anyhow::Result;
use clap::Args;
use mio::Events;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Common, float, reader, round};
use crate::clock::{self, SECOND};
use crate::histogram::Histogram;
use crate::session::Sessions;
use crate::stat::Stat;

/// A connect storm.
#[derive(Debug, Args)]
pub struct Storm {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections to open.
    #[arg(long, default_value_t = 5000)]
    subscribers: usize,
    /// Handshakes in progress at a time.
    #[arg(long, default_value_t = 256)]
    width: usize,
    #[command(flatten)]
    sessions: Sessions,
}

/// Connections that do nothing.
#[derive(Debug, Args)]
pub struct Idle {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections to open.
    #[arg(long, default_value_t = 9000)]
    subscribers: usize,
    /// Seconds to wait before the second reading.
    #[arg(long, default_value_t = 2.0)]
    settle: f64,
    /// Addresses that they come from; one has not ports enough for more than some 28,000.
    #[arg(long, default_value_t = 1)]
    sources: u8,
    #[command(flatten)]
    sessions: Sessions,
}

impl Storm {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let mut bench = Bench::new(&self.common, 1)?;
        let before = bench.stat()?;
        let (start, cpu) = (clock::now(), clock::cpu());
        let wanted = (0..self.subscribers).map(|_| reader(self.sessions, None, 0));
        let (ids, opened) = bench.swarm.open(wanted, self.width.max(1), &mut bench.tally)?;
        let (wall, used) = (clock::now() - start, clock::cpu() - cpu);
        let after = bench.stat()?;

        let mut latency = Histogram::default();
        opened.iter().for_each(|&nanos| latency.record(nanos));
        let done = opened.len() as u64;
        let client = float(used) / float(wall);
        let parameters = json!({
            "subscribers": self.subscribers, "width": self.width, "subprotocol": self.sessions.name(),
        });
        let mut map = super::head("storm", &self.common, parameters);
        let Value::Object(found) = json!({
            "handshakes": done,
            "handshakes_per_s": round(float(done) * float(SECOND) / float(wall), 0),
            "cpu_us_per_handshake": round(after.cpu_since(&before) * 1e6 / float(done.max(1)), 2),
            "latency_us": latency.summary(),
            "wall_s": round(float(wall) / float(SECOND), 3),
            "client_cpu": round(client, 3),
            "saturated": client > 0.9,
            "maxrss_kb": after.maxrss_kb,
            "refused": bench.swarm.failed(),
            "closed": bench.swarm.closed(),
        }) else {
            return Ok(map);
        };
        map.extend(found);
        bench.swarm.abort(&ids);
        Ok(map)
    }
}

impl Idle {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let mut bench = Bench::new(&self.common, 1)?;
        bench.swarm.spread(self.sources);
        let before = bench.stat()?;
        let ids = bench.readers(self.subscribers, self.sessions, None)?;
        let mut events = Events::with_capacity(64);
        let until = clock::now() + clock::nanos(self.settle);
        while clock::now() < until {
            bench.swarm.turn(&mut events, until, &mut bench.tally)?;
        }
        let after = bench.stat()?;
        let alive = bench.swarm.alive(&ids);
        let grown = float(after.resident_kb()) - float(before.resident_kb());

        let parameters = json!({
            "subscribers": self.subscribers, "settle": self.settle, "sources": self.sources,
            "subprotocol": self.sessions.name(),
        });
        let mut map = super::head("idle", &self.common, parameters);
        let Value::Object(found) = json!({
            "connections": alive,
            "bytes_per_connection": round(grown * 1024.0 / float(alive.max(1) as u64), 0),
            "files_per_connection": files(&before, &after, alive),
            // The greatest size also counts what opening needed for a moment, and pages the server had before.
            "measured_as": if after.rss_kb.is_some() { "rss_kb" } else { "maxrss_kb" },
            "before_kb": before.resident_kb(),
            "after_kb": after.resident_kb(),
            "maxrss_kb": after.maxrss_kb,
            "refused": bench.swarm.failed(),
            "closed": bench.swarm.closed(),
        }) else {
            return Ok(map);
        };
        map.extend(found);
        bench.swarm.abort(&ids);
        Ok(map)
    }
}

/// Descriptors that the server has for each connection; `None` where it does not say.
fn files(before: &Stat, after: &Stat, alive: usize) -> Option<f64> {
    let of = |stat: &Stat| stat.extra.get("files").and_then(Value::as_f64);
    Some(round((of(after)? - of(before)?) / float(alive.max(1) as u64), 2))
}
