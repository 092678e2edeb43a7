//! One published message. Everything that still has to send it shares it, in every form that was needed.

use std::sync::{Arc, OnceLock};

use crate::budget::Budget;
use crate::protocol::codec::Codec;
use crate::protocol::envelope::{Envelope, Id, Kind};
use crate::protocol::form::Form;
use crate::wire::table;

/// The id of a message's room; never reused while the engine lives. 0 means "no room": a message to one connection or
/// to all.
pub type RoomId = u64;

/// The id for a message that belongs to no room.
pub const NO_ROOM: RoomId = 0;

/// The id of a key in a room; never reused while the engine lives. A message replaces the waiting one with the same id.
pub type KeyId = u64;

/// The delivery class: what happens to a message when its reader is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Delivery {
    /// Never dropped while connected. Over the limit the connection is closed, and has to reconnect.
    Reliable,
    /// A newer message with the same key replaces the waiting one.
    Latest,
    /// Over the limit the oldest waiting message is dropped.
    DropOldest,
    /// Over the limit the new message is dropped.
    DropNewest,
}

/// Returns the name of a delivery class in the protocol.
pub fn delivery_name(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Reliable => table::delivery::RELIABLE,
        Delivery::Latest => table::delivery::LATEST,
        Delivery::DropOldest => table::delivery::DROP_OLDEST,
        Delivery::DropNewest => table::delivery::DROP_NEWEST,
    }
}

/// How a message is sent to connections with and without envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Data: the payload, raw or in an envelope.
    Data,
    /// A whole envelope, or bytes for a connection that knows their meaning. Sent as it is.
    Whole,
    /// Like [`Self::Whole`], but about the connection itself: it goes ahead of the messages of rooms.
    Urgent,
    /// An event of this type: an envelope. Raw clients do not get it.
    Event(&'static str),
}

/// A message. It never changes, and queues hold references to it. Each form is built when a connection first needs it,
/// and is shared from then on.
///
/// Consecutive messages to the same members may be joined into one, whose forms are theirs in a row: the work for each
/// message and reader is then done once for all of them.
#[derive(Debug)]
pub struct Message {
    /// Indexed by [`Form::index`]. [`Form::RAW`] of a single message exists from the start, because the payload is kept
    /// there.
    forms: [OnceLock<Box<[u8]>>; Form::COUNT],
    /// The messages that were joined; empty for a single message.
    parts: Box<[Arc<Message>]>,
    role: Role,
    kind: Kind,
    header: u8,
    metadata: Metadata,
    /// When it was published, in microseconds since the engine started.
    pub published_us: u64,
    budget: Arc<Budget>,
}

impl Message {
    /// Creates a message; `payload` is framed once for all receivers.
    pub fn new(
        role: Role,
        kind: Kind,
        payload: &[u8],
        metadata: Metadata,
        published_us: u64,
        budget: &Arc<Budget>,
    ) -> Self {
        let frame = Form::RAW.framing.frame(kind.is_text(), payload);
        budget.add(frame.len() + OVERHEAD);
        let header = (frame.len() - payload.len()) as u8;
        let mut forms = [const { OnceLock::new() }; Form::COUNT];
        forms[Form::RAW.index()] = OnceLock::from(frame);
        Self { forms, parts: Box::default(), role, kind, header, metadata, published_us, budget: Arc::clone(budget) }
    }

    /// Joins single data messages of one room without keys, in their order. None if they cannot be joined.
    pub fn join(parts: Vec<Arc<Message>>, budget: &Arc<Budget>) -> Option<Self> {
        let (first, last) = (parts.first()?, parts.last()?);
        budget.add(OVERHEAD);
        let (kind, published_us, metadata) = (first.kind, first.published_us, last.metadata.clone());
        let (forms, parts, budget) = (Default::default(), parts.into(), Arc::clone(budget));
        Some(Self { forms, parts, role: Role::Data, kind, header: 0, metadata, published_us, budget })
    }

    /// Returns the messages that it consists of; itself if it is a single one.
    pub fn parts(self: &Arc<Self>) -> &[Arc<Message>] {
        if self.parts.is_empty() { std::slice::from_ref(self) } else { &self.parts }
    }

    /// Returns how many messages it consists of.
    pub fn count(&self) -> usize {
        self.parts.len().max(1)
    }

    /// Returns the bytes for a connection: header and payload, or header and envelope.
    pub fn frame(&self, mut form: Form) -> &[u8] {
        if matches!(self.role, Role::Whole | Role::Urgent) {
            form.codec = Codec::Raw;
        }
        self.forms[form.index()].get_or_init(|| {
            let bytes = self.build(form);
            self.budget.add(bytes.len());
            bytes
        })
    }

    /// Returns what it counts for in the queue of a connection: its bytes plus an overhead. Without the overhead a
    /// limit in bytes would allow millions of empty messages.
    pub fn cost(&self, form: Form) -> usize {
        self.frame(form).len() + OVERHEAD
    }

    /// Returns the bytes that it holds in all its forms.
    pub fn size(&self) -> usize {
        self.forms.iter().filter_map(OnceLock::get).map(|form| form.len()).sum::<usize>() + OVERHEAD
    }

    /// Returns the bytes charged to the room's history for this message: the payload, and one envelope around it, which
    /// may be built later.
    pub fn kept_size(&self) -> usize {
        kept_size(self.frame(Form::RAW).len())
    }

    /// Whether connections with this codec get it.
    pub fn speaks(&self, codec: Codec) -> bool {
        codec.has_envelopes() || !matches!(self.role, Role::Event(_))
    }

    /// Whether it goes ahead of other messages.
    pub fn is_urgent(&self) -> bool {
        self.role == Role::Urgent
    }

    /// Whether it is data, which has its own position in its room.
    pub fn is_data(&self) -> bool {
        self.role == Role::Data
    }

    /// Returns the kind of its payload.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns its payload; meaningless for a joined message.
    pub fn payload(&self) -> &[u8] {
        &self.frame(Form::RAW)[self.header as usize..]
    }

    /// Returns its metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns [`Metadata::room`].
    pub fn room(&self) -> RoomId {
        self.metadata.room
    }

    /// Returns [`Metadata::seq`].
    pub fn seq(&self) -> u64 {
        self.metadata.seq
    }

    /// Returns [`Metadata::delivery`].
    pub fn delivery(&self) -> Delivery {
        self.metadata.delivery
    }

    /// Returns [`Metadata::key`].
    pub fn key(&self) -> Option<KeyId> {
        self.metadata.key
    }

    fn build(&self, form: Form) -> Box<[u8]> {
        if !self.parts.is_empty() {
            let frames: Vec<_> = self.parts.iter().map(|part| part.frame(form)).collect();
            return frames.concat().into();
        }
        match form.codec {
            Codec::Json => self.envelope().json(form.framing),
            Codec::Msgpack => self.envelope().msgpack(form.framing),
            Codec::Raw => form.framing.frame(self.kind.is_text(), self.payload()),
        }
    }

    fn envelope(&self) -> Envelope<'_> {
        let Metadata { epoch, seq, prev, id, .. } = &self.metadata;
        let label = match self.role {
            Role::Event(label) => label,
            Role::Data | Role::Whole | Role::Urgent => table::kind::MESSAGE,
        };
        Envelope {
            label,
            id: id.as_deref().map_or(Id::Numbered(*epoch, *seq), Id::Given),
            ts_ms: self.metadata.ts_ms,
            re: self.metadata.re.as_deref(),
            room: self.metadata.room_name.as_deref(),
            seq: self.metadata.room_name.as_ref().map(|_| *seq),
            // Without a hole, the number before it follows from its own number, so it is left out.
            prev: prev.filter(|prev| prev + 1 != *seq),
            key: self.metadata.key_name.as_deref().filter(|key| !key.is_empty()),
            ack: self.metadata.ack,
            kind: self.kind,
            payload: self.payload(),
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.budget.subtract(self.size());
    }
}

/// Where a message belongs, and how it may be treated.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The room that it was published to.
    pub room: RoomId,
    /// Its number in that room, from 1; for a message to no room, its number among those.
    pub seq: u64,
    /// In a room whose numbers may have holes: no message has a number between this one and `seq`.
    pub prev: Option<u64>,
    /// The epoch that `seq` belongs to.
    pub epoch: u64,
    /// Its delivery class.
    pub delivery: Delivery,
    /// Its key, in a `latest` room.
    pub key: Option<KeyId>,
    /// The name of the room.
    pub room_name: Option<Arc<str>>,
    /// The name of the key.
    pub key_name: Option<Arc<str>>,
    /// When it was published, in milliseconds since 1970.
    pub ts_ms: u64,
    /// The id of the message that it answers.
    pub re: Option<Box<str>>,
    /// Its own id, if epoch and number are not enough.
    pub id: Option<Box<str>>,
    /// Whether the receiver has to confirm that it processed the message.
    pub ack: bool,
}

impl Metadata {
    /// Creates metadata with a position in a room, and nothing else.
    pub fn place(room: RoomId, seq: u64, delivery: Delivery) -> Self {
        let (key, room_name, key_name, id, re) = (None, None, None, None, None);
        Self { room, seq, prev: None, epoch: 0, delivery, key, room_name, key_name, ts_ms: 0, id, re, ack: false }
    }
}

/// Returns [`Message::kept_size`] for a message whose raw form has `raw` bytes.
pub fn kept_size(raw: usize) -> usize {
    2 * raw + OVERHEAD
}

/// The memory of one message in addition to its forms: the allocations and their bookkeeping.
pub const OVERHEAD: usize = 256;
