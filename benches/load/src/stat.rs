//! The server's answer to `STAT?`. Not the client's own usage.

use anyhow::{Context, Result, bail};
use mio::Events;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::clock;
use crate::swarm::Swarm;
use crate::tally::Tally;

const QUESTION: &[u8] = b"STAT?";
/// An overloaded server answers behind all that it still has to send.
const LIMIT: u64 = 60 * clock::SECOND;

/// One reading. What a server does not report is absent, never 0.
#[derive(Debug, Clone, Deserialize)]
pub struct Stat {
    /// Seconds in user mode since the server began.
    pub cpu_user: f64,
    /// Seconds in the kernel since the server began.
    pub cpu_sys: f64,
    /// Greatest resident size in KB.
    pub maxrss_kb: u64,
    /// Resident size now in KB.
    pub rss_kb: Option<u64>,
    /// Messages received on `/sink` connections since the server began.
    pub inbound: Option<u64>,
    /// When the reading arrived.
    #[serde(skip)]
    pub at: u64,
    /// Whatever else the server says, shown as it is.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Stat {
    /// Asks on connection `talker` and waits for the answer.
    ///
    /// # Errors
    /// The server's: no answer within a minute, or none that fits the target contract.
    pub fn ask(swarm: &mut Swarm, talker: usize, tally: &mut Tally) -> Result<Self> {
        swarm.say(talker, QUESTION);
        swarm.flush(talker);
        let mut events = Events::with_capacity(1024);
        let deadline = clock::now() + LIMIT;
        loop {
            if let Some(reply) = swarm.reply() {
                let mut stat: Self = serde_json::from_slice(&reply).context("the answer to STAT? is malformed")?;
                stat.at = clock::now();
                return Ok(stat);
            }
            if swarm.alive(&[talker]) == 0 {
                bail!("the server closed the connection that asked STAT?");
            }
            if clock::now() > deadline {
                bail!("no answer to STAT? within a minute");
            }
            swarm.turn(&mut events, deadline, tally)?;
        }
    }

    /// CPU seconds between an earlier reading and this one.
    #[must_use]
    pub fn cpu_since(&self, earlier: &Self) -> f64 {
        self.cpu_user + self.cpu_sys - earlier.cpu_user - earlier.cpu_sys
    }

    /// Resident KB, the present size where the server knows it.
    #[must_use]
    pub fn resident_kb(&self) -> u64 {
        self.rss_kb.unwrap_or(self.maxrss_kb)
    }
}
