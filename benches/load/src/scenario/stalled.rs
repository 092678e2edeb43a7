//! The same load twice, first without and then with readers that never read: what do the others notice? Not a test of
//! what becomes of the stalled ones, which is the server's policy; the report only says what memory they cost.

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Common, Load, Plan, To, WIDTH, float, round};
use crate::link::Role;
use crate::session::Sessions;

/// Some readers that never read.
#[derive(Debug, Args)]
pub struct Stalled {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections that never read.
    #[arg(long, default_value_t = 10)]
    stalled: usize,
    /// All connections.
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    /// Bytes of a payload. With 1 KB a hundred times a second the sockets of the stalled are full within a second or
    /// two, so that most of the second phase shows what the server does then.
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// Messages per second.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
}

impl Stalled {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let common = &self.common;
        let plan = Plan { load: Load::Paced { rate: self.rate, burst: 1 }, size: self.size, to: To::Room };
        let mut bench = Bench::new(common, 1)?;
        let readers = bench.readers(self.subscribers.saturating_sub(self.stalled), Sessions::default(), None)?;
        let recipients = u32::try_from(bench.swarm.alive(&readers))?;
        let without = bench.measure(common, &plan, recipients)?;
        let wanted = (0..self.stalled).map(|_| ("/".to_owned(), Role::Stalled));
        let (stalled, _) = bench.swarm.open(wanted, WIDTH, &mut bench.tally)?;
        let with = bench.measure(common, &plan, recipients)?;

        let parameters = json!({
            "stalled": self.stalled, "subscribers": self.subscribers, "size": self.size, "rate": self.rate,
        });
        let mut map = super::head("stalled", common, parameters);
        map.extend(with.json());
        let p99 = |h: &crate::histogram::Histogram| float(h.percentile(0.99).max(1));
        map.insert("without".into(), without.json().into());
        map.insert("p99_ratio".into(), round(p99(&with.latency) / p99(&without.latency), 2).into());
        map.insert("closed".into(), bench.swarm.closed().into());
        bench.swarm.abort(&readers);
        bench.swarm.abort(&stalled);
        Ok(map)
    }
}
