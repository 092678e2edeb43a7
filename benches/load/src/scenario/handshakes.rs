//! What a handshake costs the server, from the first byte to the end of its connection. Not how many it can take at once:
//! that is the storm's. Connections come in batches, with a reading of the server before, between and after. With
//! `--message` each of them sends one message and then closes by itself, and there is no reading between.

use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use mio::Events;
use serde_json::{Map, Value, json};

use crate::bench::{Bench, Common, float, reader, round};
use crate::clock::{self, SECOND};
use crate::frame;
use crate::histogram::Histogram;
use crate::link::Role;
use crate::session::Sessions;

/// A close is answered at once, by whoever answers.
const LIMIT: u64 = 10 * SECOND;

/// What a connection does between opening and closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Message {
    /// Nothing, until all of the batch are open.
    None,
    /// It sends one message, which nobody answers, and its close right behind that.
    Sink,
    /// It sends one message and closes when that came back.
    Echo,
}

/// Handshakes, one after the other.
#[derive(Debug, Args)]
pub struct Handshakes {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections, all batches together.
    #[arg(long, default_value_t = 20_000)]
    connects: usize,
    /// Connections from reading to reading.
    #[arg(long, default_value_t = 200)]
    batch: usize,
    /// Handshakes in progress at a time.
    #[arg(long, default_value_t = 32)]
    width: usize,
    /// What each sends before it closes. Not for sessions.
    #[arg(long, value_enum, default_value_t = Message::None, conflicts_with = "subprotocol")]
    message: Message,
    /// Bytes of that message.
    #[arg(long, default_value_t = 100)]
    size: usize,
    #[command(flatten)]
    sessions: Sessions,
}

/// Microseconds of server CPU for one connection, batch by batch.
#[derive(Default)]
struct Costs {
    open: Vec<f64>,
    close: Vec<f64>,
    both: Vec<f64>,
}

impl Handshakes {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let batch = self.batch.max(1);
        let mut bench = Bench::new(&self.common, 1)?;
        let tokens = self.common.tokens()?.of("valid");
        let mut latency = Histogram::default();
        let mut costs = Costs::default();
        let (mut done, mut opening) = (0, 0);
        // Those of a batch are a stretch of all, so that no two connections say the same while there are enough.
        let stretch = |number: usize| -> Vec<String> {
            let from = number * batch % tokens.len().max(1);
            tokens.iter().cycle().skip(from).take(batch.min(tokens.len())).cloned().collect()
        };
        // The first batch warms up.
        self.batch(&mut bench, &stretch(0), &mut Histogram::default(), &mut Costs::default())?;
        let (start, cpu) = (clock::now(), clock::cpu());
        for number in 0..self.connects.div_ceil(batch) {
            opening += self.batch(&mut bench, &stretch(number + 1), &mut latency, &mut costs)?;
            done += batch;
        }
        let (wall, used) = (clock::now() - start, clock::cpu() - cpu);
        let after = bench.stat()?;

        let client = float(used) / float(wall);
        let parameters = json!({
            "connects": done, "batch": batch, "width": self.width, "tokens": tokens.len(),
            "subprotocol": self.sessions.name(), "message": self.message.name(), "size": self.size,
        });
        let mut map = super::head("handshakes", &self.common, parameters);
        let Value::Object(found) = json!({
            "handshakes": done,
            "handshakes_per_s": round(float(done as u64) * float(SECOND) / float(opening), 0),
            "cpu_us_per_handshake": at(&mut costs.both, 0.5),
            "cpu_us": {
                "open": summary(&mut costs.open), "close": summary(&mut costs.close), "both": summary(&mut costs.both),
            },
            "latency_us": latency.summary(),
            "wall_s": round(float(wall) / float(SECOND), 3),
            "client_cpu": round(client, 3),
            "saturated": client > 0.9,
            "maxrss_kb": after.maxrss_kb,
            "conns": after.extra.get("conns"),
        }) else {
            return Ok(map);
        };
        map.extend(found);
        Ok(map)
    }

    /// Opens and closes one batch; returns how long the opening took. The connections and their descriptors end with it.
    fn batch(&self, bench: &mut Bench, tokens: &[String], latency: &mut Histogram, costs: &mut Costs) -> Result<u64> {
        let mut swarm = self.common.swarm()?;
        swarm.bear(tokens.into());
        let count = self.batch.max(1);
        let before = bench.stat()?;
        let start = clock::now();
        let visitor = self.visitor();
        let wanted = (0..count).map(|_| visitor.clone().unwrap_or_else(|| reader(self.sessions, None, 0)));
        let (ids, opened) = swarm.open(wanted, self.width.max(1), &mut bench.tally)?;
        let wall = clock::now() - start;
        ensure!(opened.len() == count, "{} of {count} handshakes were refused", count - opened.len());
        opened.iter().for_each(|&nanos| latency.record(nanos));
        let between = visitor.is_none().then(|| bench.stat()).transpose()?;

        if visitor.is_none() {
            swarm.leave(&ids);
        }
        let mut events = Events::with_capacity(1024);
        let deadline = clock::now() + LIMIT;
        while swarm.alive(&ids) > 0 {
            ensure!(clock::now() < deadline, "{} connections were not closed", swarm.alive(&ids));
            swarm.turn(&mut events, deadline, &mut bench.tally)?;
        }
        let after = bench.stat().context("after a batch")?;
        let each = |seconds: f64| seconds * 1e6 / float(count as u64);
        if let Some(between) = between {
            costs.open.push(each(between.cpu_since(&before)));
            costs.close.push(each(after.cpu_since(&between)));
        }
        costs.both.push(each(after.cpu_since(&before)));
        Ok(wall)
    }

    /// The path and the role of one that sends a message; `None` without one.
    fn visitor(&self) -> Option<(String, Role)> {
        let name = self.message.name()?;
        let mut frame = Vec::new();
        frame::push_masked(&mut frame, frame::BINARY, &vec![b'.'; self.size]);
        let message: Rc<[u8]> = frame.into();
        Some((format!("/{name}"), Role::Visitor { message, waits: self.message == Message::Echo }))
    }
}

impl Message {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Sink => Some("sink"),
            Self::Echo => Some("echo"),
        }
    }
}

/// The value that `share` of all do not exceed.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a short list")]
fn at(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let place = (share * float(last as u64)).round() as usize;
    round(values.get(place).copied().unwrap_or(0.0), 2)
}

fn summary(values: &mut [f64]) -> Option<Value> {
    (!values.is_empty()).then(|| json!({"p50": at(values, 0.5), "p90": at(values, 0.9), "mean": mean(values)}))
}

fn mean(values: &[f64]) -> f64 {
    round(values.iter().sum::<f64>() / float((values.len() as u64).max(1)), 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_of_nothing_is_nothing() {
        assert_eq!((at(&mut [9.0, 1.0, 5.0], 0.5), at(&mut [9.0, 1.0, 5.0], 1.0), at(&mut [], 0.5)), (5.0, 9.0, 0.0));
        assert_eq!((mean(&[1.0, 2.0]), mean(&[])), (1.5, 0.0));
    }
}
