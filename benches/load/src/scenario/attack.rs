//! A steady stream to bystanders, first in quiet and then under attack: what do they notice? The attackers are a process
//! of their own. Not a test of how each attack is answered, which `tests/hostile/` is; what each came to is only counted.

use std::env;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Common, Phase, WIDTH, float, reader, round};
use crate::mix::Arsenal;
use crate::plan::{Content, Load, Plan, To};
use crate::raid::{Raid, Size};
use crate::session::Sessions;

/// Bystanders of an attack.
#[derive(Debug, Args)]
pub struct Attack {
    #[command(flatten)]
    pub(super) common: Common,
    /// Bystanders, all rooms together.
    #[arg(long, default_value_t = 500)]
    subscribers: u64,
    /// Rooms they are in.
    #[arg(long, default_value_t = 1)]
    rooms: u64,
    /// Messages per second and room.
    #[arg(long, default_value_t = 20.0)]
    hz: f64,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Either interval, in quiet and under attack, is so many times `--seconds`: of some dozens of messages p99 would be
    /// the worst one.
    #[arg(long, default_value_t = 3.0)]
    stretch: f64,
    /// Seconds of the attack before that: those it holds for 5 s must have become as many as they will be.
    #[arg(long, default_value_t = 6.0)]
    build_up: f64,
    #[command(flatten)]
    sessions: Sessions,
    #[command(flatten)]
    raid: Hostility,
}

/// Attackers alone.
#[derive(Debug, Args)]
pub struct Hostile {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    raid: Hostility,
    /// End with standard input, which must be a pipe, if that is earlier.
    #[arg(long)]
    leash: bool,
}

#[derive(Debug, Args)]
struct Hostility {
    /// Hostile connections per second.
    #[arg(long, default_value_t = 2000.0)]
    rate: f64,
    /// Hostile connections open at once.
    #[arg(long, default_value_t = 8000)]
    most: usize,
    /// Of the mix.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these kinds, with commas.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<String>,
}

impl Attack {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let (common, rooms) = (&self.common, self.rooms.max(1));
        let members = self.subscribers / rooms;
        let mut bench = Bench::new(common, rooms)?;
        // Message n goes to room n modulo rooms, so the first of a room carries the room's own number.
        let wanted = (0..rooms * members).map(|i| reader(self.sessions, Some(&(i % rooms).to_string()), i % rooms));
        let (readers, _) = bench.swarm.open(wanted, WIDTH, &mut bench.tally)?;
        let refused = readers.len() - bench.swarm.alive(&readers);
        ensure!(refused == 0, "{refused} of {} bystanders were refused", readers.len());

        let load = Load::Paced { rate: self.hz * float(rooms), burst: 1 };
        let plan = Plan { load, size: self.size, to: To::Rooms(rooms), content: Content::Bytes };
        let recipients = u32::try_from(members)?;
        let calm = Common { seconds: common.seconds * self.stretch, ..common.clone() };
        let under = Common { warmup: self.build_up, ..calm.clone() };
        let quiet = bench.measure(&calm, &plan, recipients)?;
        let attackers = Attackers::start(&under, &self.raid)?;
        let attacked = bench.measure(&under, &plan, recipients)?;
        let mut attack = attackers.stop()?;
        attack["loop_cpu_us"] = json!(interpreter_us(&quiet, &attacked, attack["per_s"].as_f64()));

        let parameters = json!({
            "subscribers": rooms * members, "rooms": rooms, "hz": self.hz, "size": self.size, "rate": self.raid.rate,
            "stretch": self.stretch, "seed": self.raid.seed, "subprotocol": self.sessions.name(),
        });
        let p99 = |phase: &Phase| float(phase.latency.percentile(0.99).max(1));
        let mut map = super::head("attack", common, parameters);
        map.extend(attacked.json());
        map.insert("quiet".into(), quiet.json().into());
        map.insert("p99_to_quiet".into(), round(p99(&attacked) / p99(&quiet), 2).into());
        map.insert("disconnected".into(), (readers.len() - bench.swarm.alive(&readers)).into());
        map.insert("missed".into(), (quiet.missed() + attacked.missed()).into());
        map.insert("attack".into(), attack);
        bench.swarm.abort(&readers);
        Ok(map)
    }
}

/// Microseconds of the event loop's thread that each hostile connection took: what it used more than in quiet.
fn interpreter_us(quiet: &Phase, attacked: &Phase, per_s: Option<f64>) -> Option<f64> {
    let share = |phase: &Phase| Some(phase.loop_cpu()? / phase.between());
    let more = share(attacked)? - share(quiet)?;
    Some(round(more * 1e6 / per_s.filter(|&rate| rate > 0.0)?, 2))
}

impl Hostile {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let Hostility { rate, most, seed, kinds } = &self.raid;
        let arsenal = Arsenal::new(*seed, self.common.tokens()?, kinds)?;
        let mut raid = Raid::new(self.common.port, arsenal, Size { rate: *rate, most: *most })?;
        if self.leash {
            raid.leash(0)?;
        }
        let parameters = json!({"rate": rate, "most": most, "seed": seed, "kinds": kinds});
        let mut map = super::head("hostile", &self.common, parameters);
        map.extend(raid.run(self.common.seconds)?);
        Ok(map)
    }
}

/// The process of the attackers; it ends when this does.
struct Attackers(Option<Child>);

impl Attackers {
    /// Starts them on this process's CPU, where they get what it leaves: `SCHED_IDLE` (sched(7)) gives way at once to
    /// who measures, and needs no privilege. The server has another CPU, and notices nothing of that.
    fn start(common: &Common, raid: &Hostility) -> Result<Self> {
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(env::current_exe()?).args(["hostile", "--leash"]);
        let most = raid.most.to_string();
        let (port, rate, seed) = (common.port.to_string(), raid.rate.to_string(), raid.seed.to_string());
        // The leash ends them; this bound is for a leash that breaks.
        let seconds = (common.warmup + common.seconds + 2.0 * common.drain + 10.0).to_string();
        command.args(["--port", &port, "--rate", &rate, "--seed", &seed, "--most", &most, "--seconds", &seconds]);
        if !raid.kinds.is_empty() {
            command.args(["--kinds", &raid.kinds.join(",")]);
        }
        if let Some(tokens) = &common.tokens {
            command.arg("--tokens").arg(tokens);
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Ok(Self(Some(child.context("chrt, of util-linux, to start the attackers with")?)))
    }

    /// Calls them off; what became of their connections.
    fn stop(mut self) -> Result<Value> {
        let mut child = self.0.take().context("they are stopped once")?;
        drop(child.stdin.take());
        let done = child.wait_with_output()?;
        ensure!(done.status.success(), "the attackers failed: {}", done.status);
        Ok(serde_json::from_slice(&done.stdout)?)
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}
