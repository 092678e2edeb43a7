//! Messages from clients to the server, as many as it takes. Not a broadcast: nobody receives anything.

use std::rc::Rc;

use anyhow::{Context, Result};
use clap::Args;
use mio::Events;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Common, WIDTH, float, round};
use crate::clock::{self, SECOND};
use crate::frame;
use crate::link::Role;
use crate::stat::Stat;

/// One write offers this much, made of whole frames.
const BLOCK: usize = 65_536;

/// Messages from clients.
#[derive(Debug, Args)]
pub struct Inbound {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections that send.
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 100)]
    size: usize,
}

impl Inbound {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let mut bench = Bench::new(&self.common, 1)?;
        let mut block = Vec::new();
        let payload = vec![b'.'; self.size];
        while block.is_empty() || block.len() + self.size + 14 <= BLOCK {
            frame::push_masked(&mut block, frame::BINARY, &payload);
        }
        let block: Rc<[u8]> = block.into();
        let wanted = (0..self.clients).map(|_| ("/sink".to_owned(), Role::Sink(Rc::clone(&block))));
        let (ids, _) = bench.swarm.open(wanted, WIDTH, &mut bench.tally)?;

        bench.swarm.pour(true);
        run_for(&mut bench, self.common.warmup)?;
        let before = bench.stat()?;
        let (start, cpu) = (clock::now(), clock::cpu());
        run_for(&mut bench, self.common.seconds)?;
        let (wall, used) = (clock::now() - start, clock::cpu() - cpu);
        // Readings are taken under way, so the rate counts from reading to reading.
        let after = bench.stat()?;
        bench.swarm.pour(false);

        let messages = count(&after)?.saturating_sub(count(&before)?);
        let between = float(after.at - before.at) / float(SECOND);
        let client = float(used) / float(wall);
        let parameters = json!({"clients": self.clients, "size": self.size});
        let mut map = super::head("inbound", &self.common, parameters);
        let Value::Object(found) = json!({
            "messages": messages,
            "messages_per_s": round(float(messages) / between, 0),
            "cpu_us_per_message": round(after.cpu_since(&before) * 1e6 / float(messages.max(1)), 4),
            "wall_s": round(between, 3),
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

fn run_for(bench: &mut Bench, seconds: f64) -> Result<()> {
    let mut events = Events::with_capacity(1024);
    let until = clock::now() + clock::nanos(seconds);
    while clock::now() < until {
        bench.swarm.turn(&mut events, until, &mut bench.tally)?;
    }
    Ok(())
}

fn count(stat: &Stat) -> Result<u64> {
    stat.inbound.context("the server counts no messages on /sink")
}
