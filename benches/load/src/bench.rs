//! One run against one server: its connections, and phases of publishing with a reading of the server on either side.
//! Not a scenario: those say which connections and which load. The rule: a phase begins and ends with nothing in
//! flight, so that all CPU between the two readings belongs to the deliveries between them.

use std::path::PathBuf;

use anyhow::Result;
use mio::Events;
use rustls::client::Resumption;
use serde_json::{Map, Value, json};

use crate::clock::{self, SECOND};
use crate::histogram::Histogram;
use crate::link::Role;
use crate::plan::{Load, Payload, Plan};
use crate::session::{Session, Sessions};
use crate::stat::Stat;
use crate::swarm::{Answers, Swarm, Traffic};
use crate::tally::{Order, Tally};
use crate::tokens::Tokens;
use crate::wire::{self, Version};

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
    /// Connect by TLS, of this version; any certificate will do.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "1.3")]
    pub tls: Option<Version>,
}

impl Common {
    /// No connections yet, as this run has them.
    ///
    /// # Errors
    /// The operator's: no descriptors left.
    pub fn swarm(&self) -> Result<Swarm> {
        let mut swarm = Swarm::new(self.port)?;
        if self.spin {
            swarm.spin();
        }
        if let Some(version) = self.tls {
            swarm.secure(wire::config(version, false, Resumption::disabled())?);
        }
        Ok(swarm)
    }

    /// The tokens of the file; none without a file.
    ///
    /// # Errors
    /// The operator's: there is no such file, or it is not one of tokens.
    pub fn tokens(&self) -> Result<Tokens> {
        self.tokens.as_deref().map_or_else(|| Ok(Tokens::default()), Tokens::read)
    }
}

/// What a phase has shown.
#[derive(Debug)]
pub struct Phase {
    /// Latency of all deliveries.
    pub latency: Histogram,
    order: Order,
    last: Histogram,
    answers: Answers,
    traffic: Traffic,
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
        let mut swarm = common.swarm()?;
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
        let (asked, heard) = (self.swarm.answers(), self.swarm.traffic());
        self.publish(common.seconds, common.drain, plan, recipients)?;
        let (end, used) = (clock::now(), clock::cpu() - cpu);
        let (woken, served) = self.swarm.wakes();
        let (answers, traffic) = (self.swarm.answers(), self.swarm.traffic());
        let after = self.stat()?;
        Ok(Phase {
            latency: self.tally.latency().clone(),
            last: self.tally.last().clone(),
            order: self.tally.order(),
            answers: Answers {
                polls: answers.polls - asked.polls,
                empty: answers.empty - asked.empty,
                posts: answers.posts - asked.posts,
            },
            traffic: Traffic {
                wire: traffic.wire - heard.wire,
                framed: traffic.framed - heard.framed,
                frames: traffic.frames - heard.frames,
                compressed: traffic.compressed - heard.compressed,
                batches: traffic.batches - heard.batches,
                decoded: traffic.decoded - heard.decoded,
            },
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
                        self.swarm.publish(publisher, plan.content.is_text(), payload.stamped(now, number));
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
                        self.swarm.publish(publisher, plan.content.is_text(), payload.stamped(due, number));
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
        let path = if plan.content.is_json() { "/pubjson" } else { plan.to.path() };
        let id = self.swarm.open([(path.to_owned(), Role::Talker)], 1, &mut self.tally)?.0[0];
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
        self.grown("loop_cpu")
    }

    /// By how much a number that the server tells has grown; `None` where it does not.
    fn grown(&self, name: &str) -> Option<f64> {
        let of = |stat: &Stat| stat.extra.get(name).and_then(Value::as_f64);
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
            // With TLS, of its records; of frames, their heads included.
            "wire_bytes_per_delivery": round(float(self.traffic.wire) / float(self.deliveries.max(1)), 1),
            "bytes_per_delivery": round(float(self.traffic.framed) / float(self.deliveries.max(1)), 1),
            "deliveries_per_frame": round(float(self.deliveries) / float(self.traffic.frames.max(1)), 2),
            // The server's own count; a write is a call of the system.
            "deliveries_per_write": self.grown("writes").map(|writes| round(float(self.deliveries) / writes.max(1.0), 2)),
            "compressed_frames": some(self.traffic.compressed),
            "batches": some(self.traffic.batches),
            "decoded": some(self.traffic.decoded),
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
            "posts": some(self.answers.posts),
            "polls": some(self.answers.polls + self.answers.empty),
            "messages_per_poll": some(self.answers.polls).map(|polls| round(float(self.deliveries) / float(polls), 2)),
        });
        let Value::Object(mut map) = value else { return Map::new() };
        map.retain(|_, v| !v.is_null());
        map
    }
}

/// A count that is shown only if there is something to count.
fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

/// Path and role of a reader of room `name`, or of the one room: a session joins it itself, on the same path.
#[must_use]
pub fn reader(sessions: Sessions, name: Option<&str>, next: u64) -> (String, Role) {
    let path = name.map_or_else(|| "/".to_owned(), |name| format!("/rooms/{name}"));
    let role = match sessions.subprotocol {
        Some(protocol) => {
            let session = Session::new(protocol, name.unwrap_or(ROOM), next).over(sessions.transport);
            Role::Session(session.with_batches(sessions.batch), sessions.deflate)
        }
        None => Role::Reader { next, transport: sessions.transport, deflate: sessions.deflate },
    };
    let path = if sessions.batch { path + "?batch=1" } else { path };
    (path, role)
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
