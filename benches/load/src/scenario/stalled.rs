//! The same load twice, first without and then with readers that never read: what do the others notice? Not a test of
//! what becomes of the stalled ones, which is the server's policy; the report only says what memory they cost.

use std::process::Command;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Common, WIDTH, float, round};
use crate::link::Role;
use crate::plan::{Content, Load, Plan, To};
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
    /// Those that never read are on this machine, with the windows and segments of the loopback.
    #[arg(long)]
    near: bool,
}

/// Bytes of the kernel's that each of the server's sockets to these ports holds, as `ss` of iproute2 has it (ss(8),
/// `skmem`): with what is set aside for it, and those that are queued to be sent. Means; `None` where there is no `ss`.
fn kernel(server: u16, ports: &[u16]) -> Option<(f64, f64)> {
    let filter = format!("sport = :{server}");
    let done = Command::new("ss").args(["-tmnHO", &filter]).output().ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    let held: Vec<(u64, u64)> = text.lines().filter_map(|line| memory(line, ports)).collect();
    let mean = |of: fn(&(u64, u64)) -> u64| float(held.iter().map(of).sum()) / float(held.len() as u64);
    (!held.is_empty()).then(|| (mean(|of| of.0), mean(|of| of.1)))
}

/// One line: `ESTAB 0 8192 127.0.0.1:80 127.0.0.1:4711 skmem:(r0,rb131072,t0,tb2626560,f1024,w9216,o0,bl0,d0)`.
fn memory(line: &str, ports: &[u16]) -> Option<(u64, u64)> {
    let peer = line.split_whitespace().nth(4)?.rsplit(':').next()?.parse().ok()?;
    if !ports.contains(&peer) {
        return None;
    }
    let fields = line.split_once("skmem:(")?.1.split(')').next()?;
    let of = |name: &str| fields.split(',').find_map(|field| field.strip_prefix(name)?.parse::<u64>().ok());
    Some((of("r")? + of("f")? + of("w")?, of("w")?))
}

impl Stalled {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let common = &self.common;
        let plan = Plan {
            load: Load::Paced { rate: self.rate, burst: 1 },
            size: self.size,
            to: To::Room,
            content: Content::Bytes,
        };
        let mut bench = Bench::new(common, 1)?;
        let readers = bench.readers(self.subscribers.saturating_sub(self.stalled), Sessions::default(), None)?;
        let recipients = u32::try_from(bench.swarm.alive(&readers))?;
        let without = bench.measure(common, &plan, recipients)?;
        let wanted = (0..self.stalled).map(|_| ("/".to_owned(), Role::Stalled { is_far: !self.near }));
        let (stalled, _) = bench.swarm.open(wanted, WIDTH, &mut bench.tally)?;
        let with = bench.measure(common, &plan, recipients)?;

        let parameters = json!({
            "stalled": self.stalled, "subscribers": self.subscribers, "size": self.size, "rate": self.rate,
            "near": self.near,
        });
        let mut map = super::head("stalled", common, parameters);
        map.extend(with.json());
        let kernel = kernel(common.port, &bench.swarm.ports(&stalled));
        let kilobytes = |bytes: f64| round(bytes / 1024.0, 1);
        map.insert("kernel_kb_per_stalled".into(), kernel.map(|(held, _)| kilobytes(held)).into());
        map.insert("queued_kb_per_stalled".into(), kernel.map(|(_, queued)| kilobytes(queued)).into());
        let p99 = |h: &crate::histogram::Histogram| float(h.percentile(0.99).max(1));
        map.insert("without".into(), without.json().into());
        map.insert("p99_ratio".into(), round(p99(&with.latency) / p99(&without.latency), 2).into());
        map.insert("closed".into(), bench.swarm.closed().into());
        bench.swarm.abort(&readers);
        bench.swarm.abort(&stalled);
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_of_the_ports_that_were_asked_for() {
        let line = "ESTAB 0 8192 127.0.0.1:80 127.0.0.1:4711 skmem:(r1,rb131072,t0,tb2626560,f1024,w9216,o0,bl0,d0)";
        assert_eq!((memory(line, &[4711]), memory(line, &[4712])), (Some((10_241, 9216)), None));
    }
}
