//! One client that sends a message and waits until it comes back, again and again. Not a measure of throughput: with one
//! message in flight it shows how long the way through the server is.

use anyhow::{Result, bail};
use clap::Args;
use mio::Events;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Common, float, round};
use crate::clock::{self, SECOND};
use crate::histogram::Histogram;
use crate::link::Role;

/// An answer that takes longer does not come.
const LIMIT: u64 = 10 * SECOND;

/// Round trips.
#[derive(Debug, Args)]
pub struct Echo {
    #[command(flatten)]
    pub(super) common: Common,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 100)]
    size: usize,
}

impl Echo {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let mut bench = Bench::new(&self.common, 1)?;
        let id = bench.swarm.open([("/echo".to_owned(), Role::Talker)], 1, &mut bench.tally)?.0[0];
        self.trips(&mut bench, id, self.common.warmup)?;
        let before = bench.stat()?;
        let (start, cpu) = (clock::now(), clock::cpu());
        let latency = self.trips(&mut bench, id, self.common.seconds)?;
        let (wall, used) = (clock::now() - start, clock::cpu() - cpu);
        let after = bench.stat()?;

        let messages = latency.total();
        let client = float(used) / float(wall);
        let mut map = super::head("echo", &self.common, json!({"size": self.size}));
        let Value::Object(found) = json!({
            "messages": messages,
            "messages_per_s": round(float(messages) * float(SECOND) / float(wall), 0),
            "cpu_us_per_message": round(after.cpu_since(&before) * 1e6 / float(messages.max(1)), 3),
            "latency_us": latency.summary(),
            "wall_s": round(float(wall) / float(SECOND), 3),
            "client_cpu": round(client, 3),
            "saturated": client > 0.9,
            "maxrss_kb": after.maxrss_kb,
        }) else {
            return Ok(map);
        };
        map.extend(found);
        bench.swarm.abort(&[id]);
        Ok(map)
    }

    /// Goes there and back for so many seconds.
    fn trips(&self, bench: &mut Bench, id: usize, seconds: f64) -> Result<Histogram> {
        let mut events = Events::with_capacity(64);
        let mut latency = Histogram::default();
        let payload = vec![b'.'; self.size];
        let end = clock::now() + clock::nanos(seconds);
        loop {
            let sent = clock::now();
            if sent >= end {
                return Ok(latency);
            }
            bench.swarm.say(id, &payload);
            bench.swarm.flush(id);
            let deadline = sent + LIMIT;
            let reply = loop {
                bench.swarm.turn(&mut events, deadline, &mut bench.tally)?;
                match bench.swarm.reply() {
                    Some(reply) => break reply,
                    None if clock::now() > deadline || bench.swarm.alive(&[id]) == 0 => {
                        bail!("a message had no answer")
                    }
                    None => {}
                }
            };
            latency.record(clock::now() - sent);
            if reply != payload {
                bail!("another message came back than was sent");
            }
        }
    }
}
