//! Builds messages: checks their size, and gives them number, id and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::budget::Budget;
use crate::error::Error;
use crate::interest::Audience;
use crate::message::{Delivery, DeltaCounts, Message, Metadata, NO_ROOM, OVERHEAD, Role, delivery_name};
use crate::protocol::compression::Compression;
use crate::protocol::document;
use crate::protocol::envelope::Kind;
use crate::room::{Position, Room, RoomSettings, Unrecovered, unrecovered_name};
use crate::wire::frame;
use crate::wire::table::kind;

/// The content of a message that is to be built.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// What kind of payload it is.
    pub kind: Kind,
    /// The payload.
    pub payload: &'a [u8],
    /// Data, or another role.
    pub role: Role,
    /// Its id; only for a message to one connection.
    pub id: Option<&'a str>,
    /// Whether the receiver has to confirm that it processed the message.
    pub ack: bool,
    /// The key that it replaces in a `latest` room, where none means "".
    pub key: Option<&'a str>,
    /// A delivery class that overrides the one of the room.
    pub delivery: Option<Delivery>,
    /// Whom it is for, in a room with interest.
    pub audience: Option<&'a Arc<Audience>>,
}

/// The number and time of a message that was numbered elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// The number; see [`Metadata::seq`].
    pub seq: u64,
    /// The time; see [`Metadata::ts_ms`].
    pub ts_ms: u64,
    /// The number of the room's message before it; none: that is the room's position. A number above the room's position
    /// counts as that.
    pub prev: Option<u64>,
}

impl Stamp {
    /// Returns the number and time of a message that follows the room's position.
    pub fn new(seq: u64, ts_ms: u64) -> Self {
        Self { seq, ts_ms, prev: None }
    }
}

/// What a session is told when it joins a room.
#[derive(Debug, Clone, Copy)]
pub struct JoinReply<'a> {
    /// The id of the message that asked to join.
    pub re: Option<&'a str>,
    /// Further members of the JSON object in the payload, each after a comma.
    pub extra: &'a str,
    /// Whether they contain the state of the room at the position that the session joins from.
    pub is_state: bool,
}

/// The result of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// The position of the newest message before the stream.
    pub position: Position,
    /// Whether all messages after the requested position were sent. Without a requested position it is as if that was
    /// too old.
    pub recovered: Result<(), Unrecovered>,
    /// Of a join that asked for the last messages: the number after which they begin, and how many come.
    pub kept: Option<(u64, usize)>,
}

/// Builds messages. Thread-safe.
#[derive(Debug)]
pub struct MessageBuilder {
    /// The epoch of messages that belong to no room, and the number of the last one.
    epoch: u64,
    numbered: AtomicU64,
    started: Instant,
    started_us: u64,
    max_bytes: usize,
    max_nesting: usize,
    budget: Arc<Budget>,
    compression: Arc<Compression>,
    deltas: Arc<DeltaCounts>,
}

impl MessageBuilder {
    /// Creates a builder. Messages count for `budget`, and those of rooms that compress share `compression`. One message
    /// with its overhead may have `max_bytes`, and a document from outside `max_nesting` levels.
    pub fn new(
        epoch: u64,
        max_bytes: usize,
        max_nesting: usize,
        budget: Arc<Budget>,
        compression: Arc<Compression>,
    ) -> Self {
        let started_us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        let (numbered, started) = (AtomicU64::new(0), Instant::now());
        Self {
            epoch,
            numbered,
            started,
            started_us,
            max_bytes,
            max_nesting,
            budget,
            compression,
            deltas: Arc::default(),
        }
    }

    /// Returns the compression of messages.
    pub fn compression(&self) -> &Arc<Compression> {
        &self.compression
    }

    /// Returns the counts of deltas.
    pub fn deltas(&self) -> &Arc<DeltaCounts> {
        &self.deltas
    }

    /// Returns when its clock started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Returns when its clock started, in milliseconds since 1970.
    pub fn started_ms(&self) -> u64 {
        self.started_us / 1000
    }

    /// Builds a message that belongs to no room.
    pub fn message(&self, draft: Draft<'_>) -> Result<Arc<Message>, Error> {
        self.check(draft)?;
        let delivery = draft.delivery.unwrap_or(Delivery::Reliable);
        let metadata = Metadata {
            epoch: self.epoch,
            ts_ms: self.now_ms(),
            id: draft.id.map(Box::from),
            ack: draft.ack,
            ..Metadata::place(NO_ROOM, self.numbered.fetch_add(1, Relaxed) + 1, delivery)
        };
        Ok(self.build(draft.role, draft.kind, draft.payload, metadata))
    }

    /// Builds the `joined` message for a session that joins.
    pub fn joined(&self, room: &Room, since: Option<Position>, joined: Joined, reply: JoinReply<'_>) -> Arc<Message> {
        let mut metadata = self.metadata(room, Delivery::Reliable, Some(self.next_id("j")));
        metadata.re = reply.re.map(Box::from);
        let recovered = joined.recovered.is_ok() && !reply.is_state;
        if let (true, Some(since)) = (reply.is_state, since) {
            metadata.seq = since.seq;
        }
        let reason = match joined.recovered {
            Err(why) if since.is_some() => format!(r#","reason":"{}""#, unrecovered_name(why)),
            _ => String::new(),
        };
        let filtered = if room.settings().interest { r#","filtered":true"# } else { "" };
        let delta = if room.settings().delta { r#","delta":true"# } else { "" };
        let kept = match joined.kept {
            Some((after, count)) => format!(r#","after":{after},"last":{count}"#),
            None => String::new(),
        };
        let payload = format!(
            r#"{{"epoch":"{:x}","recovered":{recovered}{reason}{kept},"delivery":"{}"{filtered}{delta}{}}}"#,
            joined.position.epoch,
            delivery_name(room.settings().delivery),
            reply.extra,
        );
        self.build(Role::Event(kind::JOINED), Kind::Json, payload.as_bytes(), metadata)
    }

    /// Returns the metadata of a message at the room's present position. A message with an `id` has no position of its
    /// own.
    pub fn metadata(&self, room: &Room, delivery: Delivery, id: Option<Box<str>>) -> Metadata {
        let Position { epoch, seq } = room.position();
        let room_name = Some(Arc::clone(room.name()));
        let RoomSettings { compress, rule, priority, .. } = room.settings();
        let compression = compress.then(|| Arc::clone(&self.compression));
        let place = Metadata::place(room.id(), seq, delivery);
        Metadata { rule, priority, epoch, room_name, ts_ms: self.now_ms(), id, compression, ..place }
    }

    /// Returns an id for a message that has no position.
    pub fn next_id(&self, prefix: &str) -> Box<str> {
        format!("{prefix}{:x}-{}", self.epoch, self.numbered.fetch_add(1, Relaxed) + 1).into()
    }

    /// Builds a message.
    pub fn build(&self, role: Role, kind: Kind, payload: &[u8], metadata: Metadata) -> Arc<Message> {
        Arc::new(Message::new(role, kind, payload, metadata, self.now_us(), &self.budget))
    }

    /// Builds a message that is published at `now_us`.
    pub fn build_at(&self, draft: Draft<'_>, metadata: Metadata, now_us: u64) -> Arc<Message> {
        Arc::new(Message::new(draft.role, draft.kind, draft.payload, metadata, now_us, &self.budget))
    }

    /// Builds a message that was published `age_us` ago, or when the engine started if that was later.
    pub fn build_old(&self, draft: Draft<'_>, metadata: Metadata, age_us: u64) -> Arc<Message> {
        let published_us = self.now_us().saturating_sub(age_us);
        Arc::new(Message::new(draft.role, draft.kind, draft.payload, metadata, published_us, &self.budget))
    }

    /// Returns how many microseconds ago `ts_ms` was; 0 for a time in the future.
    pub fn age_us(&self, ts_ms: u64) -> u64 {
        self.now_ms().saturating_sub(ts_ms).saturating_mul(1000)
    }

    /// Returns microseconds since the engine started.
    pub fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// Returns milliseconds since 1970, by a clock that never jumps: the system clock was read once, when the engine
    /// started.
    pub fn now_ms(&self) -> u64 {
        self.unix_us(self.now_us()) / 1000
    }

    /// Converts microseconds since the engine's start to microseconds since 1970, by the same clock.
    pub fn unix_us(&self, us: u64) -> u64 {
        self.started_us + us
    }

    /// Fails if the message is too large to ever wait for a connection.
    pub fn check(&self, draft: Draft<'_>) -> Result<(), Error> {
        let cost = frame::header_len(draft.payload.len()) + draft.payload.len() + OVERHEAD;
        let limit = self.max_bytes;
        if cost > limit {
            return Err(Error::Invalid(format!(
                "a message of {} bytes is too large: with its overhead it takes {cost} bytes, and connection_bytes \
                 allows {limit}",
                draft.payload.len()
            )));
        }
        Ok(())
    }

    /// Checks a message from outside this process, which may claim to be a document without being one.
    pub fn check_foreign(&self, draft: Draft<'_>) -> Result<(), Error> {
        self.check(draft)?;
        // A message that forgets a key has no document.
        if draft.role == Role::Data
            && draft.kind == Kind::Json
            && let Err(fault) = document::check_json(draft.payload, self.max_nesting)
        {
            return Err(Error::Invalid(format!("{} of a message {}", fault.path(), fault.text)));
        }
        Ok(())
    }
}
