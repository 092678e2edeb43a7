//! One run against one server: its connections, and phases of publishing with a reading of the server on either side.
//! Not a scenario: those say which connections and which load. The rule: a phase begins and ends with nothing in
//! flight, so that all CPU between the two readings belongs to the deliveries between them.

use std::path::PathBuf;

use anyhow::Result;
use mio::Events;
use serde_json::{Map, Value, json};

use crate::clock::{self, SECOND};
use crate::histogram::Histogram;
use crate::link::Role;
use crate::session::{Session, Sessions};
use crate::stamp;
use crate::stat::Stat;
use crate::swarm::Swarm;
use crate::tally::{Order, Tally};
use crate::tokens::Tokens;

/// Handshakes in progress at a time. Half a thousand keeps every server's accept queue short.
pub const WIDTH: usize = 256;

/// What the one room is called where its name is needed: by sessions.
const ROOM: &str = "all";

/// The room of latest values.
pub const LATEST: &str = "latest";

/// What every scenario can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Port of the server on 127.0.0.1.
    #[arg(long)]
    pub port: u16,
    /// The CPU this client keeps to.
    #[arg(long)]
    pub cpu: Option<usize>,
    /// Seconds of the measured interval.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds of the same load before it.
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    /// Seconds to wait, when nothing more is published, for what is still owed.
    #[arg(long, default_value_t = 10.0)]
    pub drain: f64,
    /// Never sleep, so that waking the client is not on the server's account.
    #[arg(long)]
    pub spin: bool,
    /// A file of tokens (see `tokens.rs`); each connection says who it is by the next of the `valid` ones.
    #[arg(long)]
    pub tokens: Option<PathBuf>,
}

impl Common {
    /// The tokens of the file; none without a file.
    ///
    /// # Errors
    /// The operator's: there is no such file, or it is not one of tokens.
    pub fn tokens(&self) -> Result<Tokens> {
        self.tokens.as_deref().map_or_else(|| Ok(Tokens::default()), Tokens::read)
    }
}

/// When messages are published.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// This many are always in flight; a message is done when all its recipients have it.
    Window(u64),
    /// `burst` messages together, `rate` a second, by the clock, whatever has become of the earlier ones.
    Paced {
        /// Messages per second.
        rate: f64,
        /// Messages of the same instant.
        burst: u64,
    },
}

/// Who publishes what.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// When.
    pub load: Load,
    /// Bytes of a payload.
    pub size: usize,
    /// Where to.
    pub to: To,
}

/// Where messages are published to.
#[derive(Debug, Clone, Copy)]
pub enum To {
    /// The one room, through `/pub`.
    Room,
    /// So many rooms in turn, through `/pubrooms`.
    Rooms(u64),
    /// So many keys of the room of latest values in turn, through `/publatest`.
    Keys(u64),
}

impl To {
    fn path(self) -> &'static str {
        match self {
            Self::Room => "/pub",
            Self::Rooms(_) => "/pubrooms",
            Self::Keys(_) => "/publatest",
        }
    }

    /// What goes before the payload: the name of a room, or of a key.
    fn name(self, number: u64) -> Option<String> {
        match self {
            Self::Room => None,
            Self::Rooms(count) | Self::Keys(count) => Some((number % count).to_string()),
        }
    }
}

/// What a phase has shown.
#[derive(Debug)]
pub struct Phase {
    /// Latency of all deliveries.
    pub latency: Histogram,
    order: Order,
    last: Histogram,
    published: u64,
    expected: u64,
    deliveries: u64,
    behind: Histogram,
    wall: u64,
    client: f64,
    events_per_wake: f64,
    before: Stat,
    after: Stat,
}

/// A server under test.
#[derive(Debug)]
pub struct Bench {
    /// The connections.
    pub swarm: Swarm,
    /// What they received.
    pub tally: Tally,
    /// Connection to `/pub` that asks `STAT?`; it never publishes, so its questions wait behind nothing of ours.
    control: usize,
    publisher: Option<usize>,
    /// How late messages were published, by their schedule.
    behind: Histogram,
}

impl Bench {
    /// Opens the control connection.
    ///
    /// # Errors
    /// The operator's: there is no server at the port.
    pub fn new(common: &Common, rooms: u64) -> Result<Self> {
        let mut swarm = Swarm::new(common.port)?;
        if common.spin {
            swarm.spin();
        }
        swarm.bear(common.tokens()?.of("valid"));
        let mut tally = Tally::new(rooms);
        let (ids, _) = swarm.open([("/pub".to_owned(), Role::Talker)], 1, &mut tally)?;
        Ok(Self { swarm, tally, control: ids[0], publisher: None, behind: Histogram::default() })
    }

    /// Opens `count` readers of room `name`, or of the one room, at [`WIDTH`] handshakes at a time.
    ///
    /// # Errors
    /// As [`Swarm::open`].
    pub fn readers(&mut self, count: usize, sessions: Sessions, name: Option<&str>) -> Result<Vec<usize>> {
        let next = self.tally.next();
        let wanted = (0..count).map(|_| reader(sessions, name, next));
        Ok(self.swarm.open(wanted, WIDTH, &mut self.tally)?.0)
    }

    /// A reading of the server.
    ///
    /// # Errors
    /// As [`Stat::ask`].
    pub fn stat(&mut self) -> Result<Stat> {
        Stat::ask(&mut self.swarm, self.control, &mut self.tally)
    }

    /// Warms up and measures: each message is owed to `recipients` connections.
    ///
    /// # Errors
    /// The server's: it does not answer any more.
    pub fn measure(&mut self, common: &Common, plan: &Plan, recipients: u32) -> Result<Phase> {
        self.publish(common.warmup, common.drain, plan, recipients)?;
        self.tally.begin();
        self.behind = Histogram::default();
        let before = self.stat()?;
        let (start, cpu, (wakes, events)) = (clock::now(), clock::cpu(), self.swarm.wakes());
        self.publish(common.seconds, common.drain, plan, recipients)?;
        let (end, used) = (clock::now(), clock::cpu() - cpu);
        let (woken, served) = self.swarm.wakes();
        let after = self.stat()?;
        Ok(Phase {
            latency: self.tally.latency().clone(),
            last: self.tally.last().clone(),
            order: self.tally.order(),
            published: self.tally.published(),
            expected: self.tally.expected(),
            deliveries: self.tally.deliveries(),
            behind: self.behind.clone(),
            wall: self.tally.last_at().saturating_sub(start),
            client: float(used) / float(end - start),
            events_per_wake: float(served - events) / float((woken - wakes).max(1)),
            before,
            after,
        })
    }

    /// Publishes for `seconds`, then waits up to `drain` more for the deliveries owed.
    ///
    /// # Errors
    /// The poll's own.
    pub fn publish(&mut self, seconds: f64, drain: f64, plan: &Plan, recipients: u32) -> Result<()> {
        let publisher = self.publisher(plan)?;
        let mut events = Events::with_capacity(1024);
        let mut payload = Payload::new(plan);
        let start = clock::now();
        let end = start + clock::nanos(seconds);
        let deadline = end + clock::nanos(drain);
        let first = self.tally.published();
        loop {
            let now = clock::now();
            let due = match plan.load {
                Load::Window(width) if now < end => {
                    for _ in self.tally.in_flight()..width {
                        let number = self.tally.publish(recipients);
                        self.swarm.say(publisher, payload.stamped(now, number));
                    }
                    end
                }
                Load::Paced { rate, burst } => loop {
                    // The schedule, not the sending, is what latency counts from: a publisher that is held up must
                    // not hide the wait of those who needed the message (coordinated omission).
                    let sent = (self.tally.published() - first) / burst;
                    let due = start + clock::nanos(float(sent * burst) / rate);
                    if due >= end {
                        break end;
                    }
                    let at = clock::now();
                    if due > at {
                        break due;
                    }
                    self.behind.record(at - due);
                    for _ in 0..burst {
                        let number = self.tally.publish(recipients);
                        self.swarm.say(publisher, payload.stamped(due, number));
                    }
                },
                Load::Window(_) => deadline,
            };
            self.swarm.flush(publisher);
            if now >= deadline || (now >= end && self.tally.in_flight() == 0) {
                return Ok(());
            }
            let until = if now >= end { deadline } else { due };
            self.swarm.turn(&mut events, until, &mut self.tally)?;
        }
    }

    fn publisher(&mut self, plan: &Plan) -> Result<usize> {
        if let Some(id) = self.publisher {
            return Ok(id);
        }
        let id = self.swarm.open([(plan.to.path().to_owned(), Role::Talker)], 1, &mut self.tally)?.0[0];
        self.publisher = Some(id);
        Ok(id)
    }
}

impl Phase {
    /// Deliveries that never came.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.expected.saturating_sub(self.deliveries)
    }

    /// Seconds of CPU that the event loop's thread used; `None` where the server does not say.
    #[must_use]
    pub fn loop_cpu(&self) -> Option<f64> {
        let of = |stat: &Stat| stat.extra.get("loop_cpu").and_then(Value::as_f64);
        Some(of(&self.after)? - of(&self.before)?)
    }

    /// Seconds between the two readings.
    #[must_use]
    pub fn between(&self) -> f64 {
        float(self.after.at - self.before.at) / float(SECOND)
    }

    /// The phase under the names of the reports.
    #[must_use]
    pub fn json(&self) -> Map<String, Value> {
        let cpu = self.after.cpu_since(&self.before);
        let wall = float(self.wall.max(1)) / float(SECOND);
        let value = json!({
            "published": self.published,
            "deliveries": self.deliveries,
            "expected": self.expected,
            "undelivered": self.missed(),
            "wall_s": round(wall, 3),
            "deliveries_per_s": round(float(self.deliveries) / wall, 0),
            "cpu_us_per_delivery": round(cpu * 1e6 / float(self.deliveries.max(1)), 4),
            "server_cpu_s": round(cpu, 3),
            "latency_us": self.latency.summary(),
            "last_recipient_us": self.last.summary(),
            "order": self.order,
            "server_cpu": round(cpu * float(SECOND) / float(self.after.at - self.before.at), 3),
            // By the client's own clock, so it shows how long the client waited for its CPU.
            "publisher_late_us": self.behind.summary(),
            "client_cpu": round(self.client, 3),
            // Near 1 the client keeps pace, however busy it is: it finds one socket at a time, just served. Hundreds
            // mean that sockets wait for the client.
            "client_events_per_wake": round(self.events_per_wake, 1),
            "saturated": self.client > 0.9,
            "maxrss_kb": self.after.maxrss_kb,
            "rss_kb": self.after.rss_kb,
            "conns": self.after.extra.get("conns"),
            "loop_cpu_s": self.loop_cpu().map(|seconds| round(seconds, 3)),
            "loop_late_ms": self.after.extra.get("loop_late_ms"),
            "publish_us": self.after.extra.get("publish_us"),
        });
        let Value::Object(mut map) = value else { return Map::new() };
        map.retain(|_, v| !v.is_null());
        map
    }
}

/// Path and role of a reader of room `name`, or of the one room: a session joins it itself, on the same path.
#[must_use]
pub fn reader(sessions: Sessions, name: Option<&str>, next: u64) -> (String, Role) {
    let path = name.map_or_else(|| "/".to_owned(), |name| format!("/rooms/{name}"));
    let role = match sessions.subprotocol {
        Some(protocol) => Role::Session(Session::new(protocol, name.unwrap_or(ROOM), next)),
        None => Role::Reader(next),
    };
    (path, role)
}

/// One payload, written over for each message, and the name that goes before it.
struct Payload {
    bytes: Vec<u8>,
    to: To,
    size: usize,
}

impl Payload {
    fn new(plan: &Plan) -> Self {
        let size = plan.size.max(stamp::SIZE);
        Self { bytes: vec![b'.'; size], to: plan.to, size }
    }

    fn stamped(&mut self, sent: u64, number: u64) -> &[u8] {
        if let Some(name) = self.to.name(number) {
            self.bytes.clear();
            self.bytes.extend_from_slice(&u16::try_from(name.len()).unwrap_or(0).to_be_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.resize(2 + name.len() + self.size, b'.');
        }
        let start = self.bytes.len() - self.size;
        stamp::write(&mut self.bytes[start..], sent, number);
        &self.bytes
    }
}

/// A count as a number to divide.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of a run fit in 52 bits")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// Decimals worth showing.
#[must_use]
pub fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
