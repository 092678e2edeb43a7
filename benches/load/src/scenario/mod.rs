//! The scenarios by name. Each returns the one JSON object its run prints.

mod attack;
mod beside;
mod broadcast;
mod crowd;
mod echo;
mod handshakes;
mod inbound;
mod latest;
mod reconnect;
mod rooms;
mod secure;
mod stalled;

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Map, Value};

use crate::bench::Common;

/// A kind of load and its numbers.
#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// A fixed number of messages in flight (closed loop).
    Inflight(broadcast::Inflight),
    /// Bursts by the clock (open loop).
    Bursts(broadcast::Bursts),
    /// Single messages by the clock to a very large room; shows what publishing does to the server's event loop.
    Stall(broadcast::Stall),
    /// Some readers that never read, and what the others notice of them.
    Stalled(stalled::Stalled),
    /// Many small rooms, smoothly paced.
    Rooms(rooms::Rooms),
    /// Opening many connections as fast as the server lets in.
    Storm(crowd::Storm),
    /// Memory of connections that do nothing.
    Idle(crowd::Idle),
    /// Messages from clients to the server.
    Inbound(inbound::Inbound),
    /// One message there and back, and then the next one.
    Echo(echo::Echo),
    /// All clients of a room lose their connections at the same moment and come back.
    Reconnect(reconnect::Reconnect),
    /// Sessions that join a large room of latest values while it changes.
    LatestJoin(latest::LatestJoin),
    /// A steady stream to bystanders, first in quiet and then while others attack the server.
    Attack(attack::Attack),
    /// The attackers alone.
    Hostile(attack::Hostile),
    /// What a handshake costs the server, with a token or without.
    Handshakes(handshakes::Handshakes),
    /// Handshakes of TLS and nothing after them.
    Secure(secure::Secure),
    /// Deliveries while others shake hands, and without them.
    Beside(beside::Beside),
}

impl Scenario {
    /// Runs it.
    ///
    /// # Errors
    /// The operator's (no server, no descriptors) or the server's (it stops answering).
    pub fn run(&self) -> Result<Map<String, Value>> {
        match self {
            Self::Inflight(s) => s.run(),
            Self::Bursts(s) => s.run(),
            Self::Stall(s) => s.run(),
            Self::Stalled(s) => s.run(),
            Self::Rooms(s) => s.run(),
            Self::Storm(s) => s.run(),
            Self::Idle(s) => s.run(),
            Self::Inbound(s) => s.run(),
            Self::Echo(s) => s.run(),
            Self::Reconnect(s) => s.run(),
            Self::LatestJoin(s) => s.run(),
            Self::Attack(s) => s.run(),
            Self::Hostile(s) => s.run(),
            Self::Handshakes(s) => s.run(),
            Self::Secure(s) => s.run(),
            Self::Beside(s) => s.run(),
        }
    }

    /// What every scenario can be told.
    #[must_use]
    pub fn common(&self) -> &Common {
        match self {
            Self::Inflight(s) => &s.common,
            Self::Bursts(s) => &s.common,
            Self::Stall(s) => &s.common,
            Self::Stalled(s) => &s.common,
            Self::Rooms(s) => &s.common,
            Self::Storm(s) => &s.common,
            Self::Idle(s) => &s.common,
            Self::Inbound(s) => &s.common,
            Self::Echo(s) => &s.common,
            Self::Reconnect(s) => &s.common,
            Self::LatestJoin(s) => &s.common,
            Self::Attack(s) => &s.common,
            Self::Hostile(s) => &s.common,
            Self::Handshakes(s) => &s.common,
            Self::Secure(s) => &s.common,
            Self::Beside(s) => &s.common,
        }
    }
}

/// The object every scenario begins with.
fn head(name: &str, common: &Common, parameters: Value) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("scenario".into(), name.into());
    map.insert("seconds".into(), common.seconds.into());
    map.insert("parameters".into(), parameters);
    map
}
