//! A steady stream to readers, first in quiet and then while others do nothing but shake hands, all of them in full: what do
//! the readers notice, and how late is the host? Those others are a process of their own, as in an attack.

use std::env;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Common, Phase, float, round};
use crate::plan::{Content, Load, Plan, To};
use crate::session::Sessions;
use crate::wire::Version;

/// Deliveries beside handshakes.
#[derive(Debug, Args)]
pub struct Beside {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections in the room.
    #[arg(long, default_value_t = 100)]
    subscribers: usize,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Messages per second.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// How many others shake hands at a time.
    #[arg(long, default_value_t = 16)]
    width: u64,
    #[command(flatten)]
    sessions: Sessions,
}

impl Beside {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let common = &self.common;
        let load = Load::Paced { rate: self.rate, burst: 1 };
        let plan = Plan { load, size: self.size, to: To::Room, content: Content::Bytes };
        let mut bench = Bench::new(common, 1)?;
        let readers = bench.readers(self.subscribers, self.sessions, None)?;
        let alive = bench.swarm.alive(&readers);
        ensure!(alive == self.subscribers, "{} readers were refused", self.subscribers - alive);
        let recipients = u32::try_from(alive)?;
        let quiet = bench.measure(common, &plan, recipients)?;
        let crowd = Crowd::start(common, self.width)?;
        let beside = bench.measure(common, &plan, recipients)?;
        let storm = crowd.stop()?;

        let parameters = json!({
            "subscribers": self.subscribers, "size": self.size, "rate": self.rate, "width": self.width,
            "subprotocol": self.sessions.name(),
        });
        let p99 = |phase: &Phase| float(phase.latency.percentile(0.99).max(1));
        let mut map = super::head("beside", common, parameters);
        map.extend(beside.json());
        map.insert("quiet".into(), quiet.json().into());
        map.insert("p99_to_quiet".into(), round(p99(&beside) / p99(&quiet), 2).into());
        map.insert("disconnected".into(), (alive - bench.swarm.alive(&readers)).into());
        map.insert("missed".into(), (quiet.missed() + beside.missed()).into());
        map.insert("storm".into(), storm);
        bench.swarm.abort(&readers);
        Ok(map)
    }
}

/// The process of those who shake hands; it ends when this does.
struct Crowd(Option<Child>);

impl Crowd {
    /// Starts them on this process's CPU, where they get what it leaves (`SCHED_IDLE`, sched(7)).
    fn start(common: &Common, width: u64) -> Result<Self> {
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(env::current_exe()?).args(["secure", "--leash"]);
        // The leash ends them; this bound is for a leash that breaks.
        let seconds = (common.warmup + common.seconds + 2.0 * common.drain + 10.0).to_string();
        command.args(["--port", &common.port.to_string(), "--width", &width.to_string(), "--seconds", &seconds]);
        command.args(["--connects", "100000000"]);
        match common.tls {
            Some(Version::Tls12) => command.args(["--tls", "1.2"]),
            Some(Version::Tls13) => command.args(["--tls", "1.3"]),
            None => command.arg("--plain"),
        };
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Ok(Self(Some(child.context("chrt, of util-linux, to start the others with")?)))
    }

    /// Ends them; what their handshakes came to.
    fn stop(mut self) -> Result<Value> {
        let mut child = self.0.take().context("they are stopped once")?;
        drop(child.stdin.take());
        let done = child.wait_with_output()?;
        ensure!(done.status.success(), "those who shake hands failed: {}", done.status);
        Ok(serde_json::from_slice(&done.stdout)?)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}
