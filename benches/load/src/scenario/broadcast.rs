//! One room, one publisher: in flight, bursts, and the very large room. Not the small rooms.

use std::num::NonZeroU64;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Common, LATEST};
use crate::inflate::Offer;
use crate::plan::{Content, Load, Plan, To};
use crate::session::Sessions;

/// A fixed number of messages in flight.
#[derive(Debug, Args)]
pub struct Inflight {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    room: Room,
    /// Messages in flight.
    #[arg(long, default_value_t = 1)]
    window: u64,
}

/// Bursts by the clock.
#[derive(Debug, Args)]
pub struct Bursts {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    room: Room,
    /// Messages per second.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Messages of one instant.
    #[arg(long, default_value_t = 20)]
    burst: u64,
}

/// Single messages by the clock. The default is what 20,000 descriptors allow a server that needs two for each
/// connection.
#[derive(Debug, Args)]
pub struct Stall {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections in the room.
    #[arg(long, default_value_t = 9900)]
    subscribers: usize,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Messages per second.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    #[command(flatten)]
    sessions: Sessions,
}

#[derive(Debug, Args)]
struct Room {
    /// Connections in the room.
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Publish so many keys in turn in the room of latest values, and read that room. With fewer keys than messages
    /// under way values are replaced, and never come.
    #[arg(long)]
    keys: Option<NonZeroU64>,
    /// Publish text, which is the same in all forms; bytes are base64 in JSON and in event streams.
    #[arg(long, conflicts_with = "keys")]
    text: bool,
    /// Publish quotes, JSON of 500 bytes of which each is another.
    #[arg(long, conflicts_with_all = ["keys", "text", "size"])]
    quotes: bool,
    /// Of the quotes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    sessions: Sessions,
}

impl Room {
    fn content(&self) -> Content {
        match (self.quotes, self.text) {
            (true, _) => Content::Quotes { seed: self.seed, is_json: self.sessions.subprotocol.is_some() },
            (false, true) => Content::Text,
            (false, false) => Content::Bytes,
        }
    }

    fn parameters(&self, more: Value) -> Value {
        let Self { subscribers, size, keys, text, quotes, seed, sessions } = self;
        let mut all = json!({
            "subscribers": subscribers, "size": size, "keys": keys, "text": text, "subprotocol": sessions.name(),
            "transport": sessions.transport.name(), "deflate": sessions.deflate.map(Offer::name),
            "batch": sessions.batch,
        });
        if *quotes {
            (all["quotes"], all["seed"], all["size"]) = (true.into(), (*seed).into(), Value::Null);
        }
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
        all
    }
}

fn to(keys: Option<NonZeroU64>) -> To {
    keys.map_or(To::Room, |keys| To::Keys(keys.get()))
}

impl Inflight {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let Room { subscribers, size, keys, sessions, .. } = self.room;
        let parameters = self.room.parameters(json!({"window": self.window}));
        let head = super::head("inflight", &self.common, parameters);
        let plan = Plan { load: Load::Window(self.window), size, to: to(keys), content: self.room.content() };
        broadcast(head, &self.common, subscribers, sessions, &plan)
    }
}

impl Bursts {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let Room { subscribers, size, keys, sessions, .. } = self.room;
        let (rate, burst) = (self.rate, self.burst.max(1));
        let parameters = self.room.parameters(json!({"rate": rate, "burst": burst}));
        let head = super::head("bursts", &self.common, parameters);
        let plan = Plan { load: Load::Paced { rate, burst }, size, to: to(keys), content: self.room.content() };
        broadcast(head, &self.common, subscribers, sessions, &plan)
    }
}

impl Stall {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let Self { subscribers, size, rate, sessions, .. } = *self;
        let parameters = json!({
            "rate": rate, "subscribers": subscribers, "size": size,
            "subprotocol": sessions.name(), "transport": sessions.transport.name(),
        });
        let head = super::head("stall", &self.common, parameters);
        broadcast(
            head,
            &self.common,
            subscribers,
            sessions,
            &Plan { load: Load::Paced { rate, burst: 1 }, size, to: To::Room, content: Content::Bytes },
        )
    }
}

fn broadcast(
    head: Map<String, Value>,
    common: &Common,
    subscribers: usize,
    sessions: Sessions,
    plan: &Plan,
) -> Result<Map<String, Value>> {
    let mut bench = Bench::new(common, 1)?;
    let name = matches!(plan.to, To::Keys(_)).then_some(LATEST);
    let readers = bench.readers(subscribers, sessions, name)?;
    // A refused reader is reported, and owed nothing: otherwise one refusal would stop a closed loop for good.
    let alive = bench.swarm.alive(&readers);
    let phase = bench.measure(common, plan, u32::try_from(alive)?)?;
    let mut map = head;
    map.extend(phase.json());
    map.insert("refused".into(), (subscribers - alive).into());
    map.insert("closed".into(), bench.swarm.closed().into());
    bench.swarm.abort(&readers);
    Ok(map)
}
