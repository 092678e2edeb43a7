//! Where messages come from: sizes checked, numbered, named, dated, and framed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::budget::Budget;
use crate::document;
use crate::envelope::Kind;
use crate::error::Error;
use crate::frame;
use crate::message::{About, Delivery, Message, NO_ROOM, OVERHEAD, Role, delivery_name};
use crate::room::{Position, Room, Unrecovered, unrecovered_name};
use crate::wire::table::kind;

/// What a message is made of.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// The payload.
    pub payload: &'a [u8],
    /// What it is to a session: data, or something else.
    pub role: Role,
    /// A name that is more than its place; of a message to one connection.
    pub id: Option<&'a str>,
    /// The receiver has to say when it has processed it.
    pub ack: bool,
    /// What it replaces in a room of latest values; there, none stands for "".
    pub key: Option<&'a str>,
    /// Another delivery class than its room's.
    pub delivery: Option<Delivery>,
}

/// The number and the time of a message that has both from outside.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// See [`About::seq`].
    pub seq: u64,
    /// See [`About::ts_ms`].
    pub ts_ms: u64,
}

/// What a session is told when it joins.
#[derive(Debug, Clone, Copy)]
pub struct JoinReply<'a> {
    /// The message that asked for it.
    pub re: Option<&'a str>,
    /// Members of a JSON object to stand in the payload, each behind a comma.
    pub extra: &'a str,
    /// They hold the state at the position that the session joins from.
    pub is_state: bool,
}

/// Where a membership has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// The newest message before the stream.
    pub position: Position,
    /// Whether all that came after the position asked for is on its way; if none was, as if it was too old.
    pub recovered: Result<(), Unrecovered>,
}

/// See the module's head.
#[derive(Debug)]
pub struct Mint {
    /// The numbering of messages to no room, and the last number.
    epoch: u64,
    numbered: AtomicU64,
    started: Instant,
    started_us: u64,
    max_bytes: usize,
    max_nesting: usize,
    budget: Arc<Budget>,
}

impl Mint {
    /// For messages that count in `budget`, and of which one, overhead included, may have `max_bytes`, and as a document
    /// so many levels.
    pub fn new(epoch: u64, max_bytes: usize, max_nesting: usize, budget: Arc<Budget>) -> Self {
        let started_us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        let (numbered, started) = (AtomicU64::new(0), Instant::now());
        Self { epoch, numbered, started, started_us, max_bytes, max_nesting, budget }
    }

    /// When its clock started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// What the clock of the world said then, in milliseconds since 1970.
    pub fn started_ms(&self) -> u64 {
        self.started_us / 1000
    }

    /// A message that belongs to no room.
    pub fn message(&self, draft: Draft<'_>) -> Result<Arc<Message>, Error> {
        self.check(draft)?;
        let delivery = draft.delivery.unwrap_or(Delivery::Reliable);
        let about = About {
            epoch: self.epoch,
            ts_ms: self.now_ms(),
            id: draft.id.map(Box::from),
            ack: draft.ack,
            ..About::place(NO_ROOM, self.numbered.fetch_add(1, Relaxed) + 1, delivery)
        };
        Ok(self.build(draft.role, draft.kind, draft.payload, about))
    }

    /// The answer to a session that joins.
    pub fn joined(&self, room: &Room, since: Option<Position>, joined: Joined, reply: JoinReply<'_>) -> Arc<Message> {
        let mut about = self.about(room, Delivery::Reliable, Some(self.next_id("j")));
        about.re = reply.re.map(Box::from);
        let recovered = joined.recovered.is_ok() && !reply.is_state;
        if let (true, Some(since)) = (reply.is_state, since) {
            about.seq = since.seq;
        }
        let reason = match joined.recovered {
            Err(why) if since.is_some() => format!(r#","reason":"{}""#, unrecovered_name(why)),
            _ => String::new(),
        };
        let payload = format!(
            r#"{{"epoch":"{:x}","recovered":{recovered}{reason},"delivery":"{}"{}}}"#,
            joined.position.epoch,
            delivery_name(room.settings().delivery),
            reply.extra,
        );
        self.build(Role::Event(kind::JOINED), Kind::Json, payload.as_bytes(), about)
    }

    /// What stands on a message of a room: by its present place, unless it has a name of its own.
    pub fn about(&self, room: &Room, delivery: Delivery, id: Option<Box<str>>) -> About {
        let Position { epoch, seq } = room.position();
        let room_name = Some(Arc::clone(room.name()));
        About { epoch, room_name, ts_ms: self.now_ms(), id, ..About::place(room.id(), seq, delivery) }
    }

    /// A name for a message that has no place.
    pub fn next_id(&self, prefix: &str) -> Box<str> {
        format!("{prefix}{:x}-{}", self.epoch, self.numbered.fetch_add(1, Relaxed) + 1).into()
    }

    /// Builds a message.
    pub fn build(&self, role: Role, kind: Kind, payload: &[u8], about: About) -> Arc<Message> {
        Arc::new(Message::new(role, kind, payload, about, self.now_us(), &self.budget))
    }

    /// Builds a message from before: it was published that long ago, or when the engine started if that was later.
    pub fn build_old(&self, draft: Draft<'_>, about: About, age_us: u64) -> Arc<Message> {
        let published_us = self.now_us().saturating_sub(age_us);
        Arc::new(Message::new(draft.role, draft.kind, draft.payload, about, published_us, &self.budget))
    }

    /// How many microseconds ago that was, in milliseconds since 1970; none if it is still to come.
    pub fn age_us(&self, ts_ms: u64) -> u64 {
        self.now_ms().saturating_sub(ts_ms).saturating_mul(1000)
    }

    /// Microseconds since the engine started.
    pub fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// Milliseconds since 1970 by a clock that never jumps: it follows the world's as of the engine's start.
    pub fn now_ms(&self) -> u64 {
        self.unix_us(self.now_us()) / 1000
    }

    /// What is counted from the engine's start, in microseconds since 1970 by the same clock.
    pub fn unix_us(&self, us: u64) -> u64 {
        self.started_us + us
    }

    /// Fails when a message could never wait for a connection.
    pub fn check(&self, draft: Draft<'_>) -> Result<(), Error> {
        let cost = frame::header_len(draft.payload.len()) + draft.payload.len() + OVERHEAD;
        let limit = self.max_bytes;
        if cost > limit {
            return Err(Error::Invalid(format!(
                "a message of {} bytes can never be sent: with its overhead it takes {cost}, and {limit} may wait \
                 for one connection",
                draft.payload.len()
            )));
        }
        Ok(())
    }

    /// The same for a message from outside of this process, which may be no document though it says so.
    pub fn check_foreign(&self, draft: Draft<'_>) -> Result<(), Error> {
        self.check(draft)?;
        // That a key is forgotten is said without a document.
        if draft.role == Role::Data
            && draft.kind == Kind::Json
            && let Err(fault) = document::check_json(draft.payload, self.max_nesting)
        {
            return Err(Error::Invalid(format!("{} of a message {}", fault.path(), fault.text)));
        }
        Ok(())
    }
}
