//! Hostile connections by the clock, so many a second, and what became of them. Not what they do (`mix.rs`) and not what
//! others notice (`scenario/attack.rs`). The rule: bounded in rate, in number and in time, whatever the server does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Map, Value, json};

use crate::bench::{float, round};
use crate::clock::{self, Alarm, SECOND};
use crate::intruder::{Intruder, Next, Outcome};
use crate::mix::{Arsenal, KINDS};
use crate::pace::Pace;

const ALARM: Token = Token(usize::MAX);
const LEASH: Token = Token(usize::MAX - 1);
/// Receives of all connections.
const BUFFER: usize = 1 << 16;
/// The addresses they come from, 127.0.1.1 and on; bystanders come from 127.0.0.1.
const SOURCES: u64 = 20;
/// When a connection's time is up: whatever a plan waits for comes sooner.
const LIFE: u64 = 15 * SECOND;
/// Connections of one turn at most: who was held up must not come back as a flood of connects.
const TURN: u64 = 32;

/// How much of a raid there is to be.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Connections per second.
    pub rate: f64,
    /// Connections open at once; those that are due wait beyond it.
    pub most: usize,
}

/// A raid on one server.
#[derive(Debug)]
pub struct Raid {
    poll: Poll,
    alarm: Alarm,
    server: SocketAddr,
    arsenal: Arsenal,
    size: Size,
    /// Those open, each with how many used its place before it; a token carries that, too.
    places: Vec<(u32, Option<Intruder>)>,
    free: Vec<usize>,
    /// When something is due for a connection, by its token.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    buffer: Box<[u8]>,
    opened: u64,
    refused: u64,
    peak: usize,
    outcomes: Vec<BTreeMap<Outcome, u64>>,
}

impl Raid {
    /// Nobody there yet, to the server on `port` of the loopback.
    ///
    /// # Errors
    /// The operator's: no descriptors left.
    pub fn new(port: u16, arsenal: Arsenal, size: Size) -> Result<Self> {
        let poll = Poll::new()?;
        Ok(Self {
            alarm: Alarm::new(poll.registry(), ALARM)?,
            poll,
            server: (Ipv4Addr::LOCALHOST, port).into(),
            arsenal,
            size,
            places: Vec::new(),
            free: Vec::new(),
            due: BinaryHeap::new(),
            buffer: vec![0; BUFFER].into(),
            opened: 0,
            refused: 0,
            peak: 0,
            outcomes: vec![BTreeMap::new(); KINDS.len()],
        })
    }

    /// Ends the raid when this descriptor, a pipe, has ended.
    ///
    /// # Errors
    /// The operator's: it is no pipe.
    pub fn leash(&self, descriptor: i32) -> Result<()> {
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&descriptor), LEASH, Interest::READABLE).context("the leash must be a pipe")
    }

    /// Comes for `seconds`, or until the leash is pulled; then recalls who is still there.
    ///
    /// # Errors
    /// The operator's: no descriptors or ports left.
    pub fn run(&mut self, seconds: f64) -> Result<Map<String, Value>> {
        let (start, cpu) = (clock::now(), clock::cpu());
        let until = start + clock::nanos(seconds);
        let mut events = Events::with_capacity(1024);
        let mut pace = Pace::new(start, self.size.rate);
        let mut is_held = true;
        while is_held && clock::now() < until {
            let now = clock::now();
            let mut left = TURN;
            while left > 0 && self.open() < self.size.most && pace.step(now) {
                self.connect(now)?;
                left -= 1;
            }
            self.keep_time(now);
            let next = if self.open() < self.size.most { pace.due() } else { until };
            is_held = self.turn(&mut events, self.first_due().min(next).min(until))?;
        }
        let (wall, used) = (clock::now() - start, clock::cpu() - cpu);
        for place in 0..self.places.len() {
            self.end(place, Outcome::Recalled);
        }
        Ok(self.report(wall, used))
    }

    fn open(&self) -> usize {
        self.places.len() - self.free.len()
    }

    fn first_due(&self) -> u64 {
        self.due.peek().map_or(u64::MAX, |next| next.0.0)
    }

    fn connect(&mut self, now: u64) -> Result<()> {
        let (kind, plan) = self.arsenal.draw();
        let host = u8::try_from(self.opened % SOURCES).unwrap_or(0) + 1;
        self.opened += 1;
        let source = (Ipv4Addr::new(127, 0, 1, host), 0).into();
        let mut intruder = match Intruder::connect(source, self.server, kind, plan) {
            Ok(intruder) => intruder,
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                self.refused += 1;
                return Ok(());
            }
            Err(e) => return Err(e).context("connect: descriptors or ports"),
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            self.places.len() - 1
        });
        self.places[place].0 = self.places[place].0.wrapping_add(1);
        let token = self.token(place);
        self.poll.registry().register(&mut intruder.stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.places[place].1 = Some(intruder);
        self.peak = self.peak.max(self.open());
        self.due.push(Reverse((now + LIFE, token.0)));
        self.advance(place, now);
        Ok(())
    }

    /// Waits for events or for `until`, and serves what there is; false when the leash was pulled.
    fn turn(&mut self, events: &mut Events, until: u64) -> Result<bool> {
        let timeout = if until <= clock::now() {
            Some(Duration::ZERO)
        } else {
            self.alarm.set(until)?;
            None
        };
        match self.poll.poll(events, timeout) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(true),
            other => other.context("poll")?,
        }
        let mut is_held = true;
        for event in events.iter() {
            match event.token() {
                ALARM => {}
                LEASH => is_held = false,
                Token(token) => self.serve(token, event),
            }
        }
        Ok(is_held)
    }

    fn serve(&mut self, token: usize, event: &Event) {
        let Some(place) = self.place(token) else { return };
        let Some(intruder) = &mut self.places[place].1 else { return };
        let is_over = event.is_error() || event.is_write_closed();
        if is_over || event.is_readable() || event.is_read_closed() {
            let found = intruder.read(&mut self.buffer, event.is_read_closed() || is_over);
            // A deaf one does not read, and so learns only what the kernel knows.
            if let Some(outcome) = found.or(is_over.then_some(Outcome::Cut)) {
                return self.end(place, outcome);
            }
        }
        self.advance(place, clock::now());
    }

    fn advance(&mut self, place: usize, now: u64) {
        let token = self.token(place);
        let Some(intruder) = &mut self.places[place].1 else { return };
        match intruder.advance(now, &mut self.buffer) {
            Next::Socket => {}
            Next::At(at) => {
                // Most are asked again and again before that: one entry is enough.
                if intruder.alarm != at {
                    intruder.alarm = at;
                    self.due.push(Reverse((at, token.0)));
                }
            }
            Next::Done(outcome) => self.end(place, outcome),
        }
    }

    fn keep_time(&mut self, now: u64) {
        while let Some(&Reverse((at, token))) = self.due.peek().filter(|next| next.0.0 <= now) {
            self.due.pop();
            let Some(place) = self.place(token) else { continue };
            let Some(intruder) = &self.places[place].1 else { continue };
            if at >= intruder.born + LIFE {
                self.end(place, Outcome::Unanswered);
            } else {
                self.advance(place, now);
            }
        }
    }

    fn end(&mut self, place: usize, outcome: Outcome) {
        let Some(mut intruder) = self.places[place].1.take() else { return };
        if outcome != Outcome::Left {
            intruder.reset();
        }
        _ = self.poll.registry().deregister(&mut intruder.stream);
        *self.outcomes[intruder.kind].entry(outcome).or_default() += 1;
        self.free.push(place);
    }

    fn token(&self, place: usize) -> Token {
        Token(place | (self.places[place].0 as usize) << 24)
    }

    /// The place of a token, if it still is who it was.
    fn place(&self, token: usize) -> Option<usize> {
        let place = token & 0xFF_FFFF;
        (self.places.get(place)?.0 as usize == token >> 24).then_some(place)
    }

    fn report(&self, wall: u64, used: u64) -> Map<String, Value> {
        let kinds: Map<String, Value> = KINDS
            .iter()
            .zip(&self.outcomes)
            .filter(|(_, outcomes)| !outcomes.is_empty())
            .map(|(kind, outcomes)| {
                let named = outcomes.iter().map(|(outcome, count)| (outcome.to_string(), Value::from(*count)));
                (kind.name.to_owned(), Value::Object(named.collect()))
            })
            .collect();
        let Value::Object(map) = json!({
            "opened": self.opened,
            "per_s": round(float(self.opened) * float(SECOND) / float(wall.max(1)), 0),
            "wall_s": round(float(wall) / float(SECOND), 3),
            "refused": self.refused,
            "most_open": self.peak,
            "cpu": round(float(used) / float(wall.max(1)), 3),
            "outcomes": kinds,
        }) else {
            return Map::new();
        };
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use crate::tokens::Tokens;

    /// Runs a raid of one kind on a server that answers each first read with `answer` and ends the connection.
    fn raid(kind: &str, answer: &'static [u8], most: usize) -> (Map<String, Value>, Map<String, Value>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if stream.read(&mut [0; 65_536]).is_ok_and(|n| n > 0) {
                    _ = stream.write_all(answer);
                }
            }
        });
        let arsenal = Arsenal::new(1, Tokens::default(), &[kind.to_owned()]).unwrap();
        let found = Raid::new(port, arsenal, Size { rate: 200.0, most }).unwrap().run(1.0).unwrap();
        let outcomes = found["outcomes"][kind].as_object().unwrap().clone();
        (found, outcomes)
    }

    #[test]
    fn a_refusal_is_told_by_its_status() {
        let (found, outcomes) = raid("no-token", b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n", 100);
        let count = outcomes["401"].as_u64().unwrap();
        assert!(count > 0 && count <= found["opened"].as_u64().unwrap(), "{found:?}");
    }

    #[test]
    fn a_close_frame_is_told_by_its_code() {
        let answer = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x82\x01x\x88\x02\x03\xEA";
        let (_, outcomes) = raid("unmasked", answer, 100);
        assert!(outcomes["1002"].as_u64().unwrap() > 0, "{outcomes:?}");
    }

    #[test]
    fn no_more_are_open_than_may_be() {
        // Nobody is answered before it has sent something, and these send nothing.
        let (found, outcomes) = raid("silence", b"", 7);
        assert_eq!((&found["most_open"], &outcomes["recalled"]), (&json!(7), &json!(7)));
    }
}
