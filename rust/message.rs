//! One published message, shared by everything that still has to send it, in every wire form that was asked for.

use std::sync::{Arc, OnceLock};

use crate::budget::Budget;
use crate::codec::Codec;
use crate::envelope::{Envelope, Id, Kind};
use crate::form::Form;
use crate::wire::table;

/// Which room a message belongs to; never reused while the engine lives. 0 is "no room": a message
/// to one connection or to all.
pub type RoomId = u64;

/// The id that no room has.
pub const NO_ROOM: RoomId = 0;

/// What a message replaces: one (room, key) pair; never reused while the engine lives.
pub type KeyId = u64;

/// What happens to a message when its reader is slower than its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Delivery {
    /// Never dropped while connected; over the limit the connection is closed, to reconnect.
    Reliable,
    /// A newer message with the same key replaces the one still waiting.
    Latest,
    /// Over the limit the oldest waiting message goes.
    DropOldest,
    /// Over the limit the new message is not queued.
    DropNewest,
}

/// The name of a delivery class, for people and protocols.
pub fn delivery_name(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Reliable => table::delivery::RELIABLE,
        Delivery::Latest => table::delivery::LATEST,
        Delivery::DropOldest => table::delivery::DROP_OLDEST,
        Delivery::DropNewest => table::delivery::DROP_NEWEST,
    }
}

/// What a message is to those who speak in envelopes, and to those who do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Data: the payload as it is, or in an envelope.
    Data,
    /// An envelope already, or bytes for a connection that knows what they are: as it is to everybody.
    Whole,
    /// The same, about the connection itself: it waits for no message of a room.
    Urgent,
    /// An event of this type: an envelope, and nothing to those who have none.
    Event(&'static str),
}

/// A message. It never changes; queues hold references to it. Each of its wire forms is built when the first
/// connection that speaks it has to have it, and shared from then on.
///
/// Messages that go the same way one after the other may be joined into one, whose forms are theirs in a row: what is
/// done per message and reader is done once for all of them.
#[derive(Debug)]
pub struct Message {
    /// By [`Form::index`]. [`Form::RAW`] of a single message is there from the start: it is where the payload is kept.
    forms: [OnceLock<Box<[u8]>>; Form::COUNT],
    /// What was joined; empty for a single message.
    parts: Box<[Arc<Message>]>,
    role: Role,
    kind: Kind,
    header: u8,
    about: About,
    /// When it was published, in microseconds since the engine started.
    pub published_us: u64,
    budget: Arc<Budget>,
}

impl Message {
    /// Frames `payload` once for all who will receive it.
    pub fn new(role: Role, kind: Kind, payload: &[u8], about: About, published_us: u64, budget: &Arc<Budget>) -> Self {
        let frame = Form::RAW.framing.frame(kind.is_text(), payload);
        budget.add(frame.len() + OVERHEAD);
        let header = (frame.len() - payload.len()) as u8;
        let mut forms = [const { OnceLock::new() }; Form::COUNT];
        forms[Form::RAW.index()] = OnceLock::from(frame);
        Self { forms, parts: Box::default(), role, kind, header, about, published_us, budget: Arc::clone(budget) }
    }

    /// Joins single messages of data, of one room and without keys, in their order.
    pub fn join(parts: Vec<Arc<Message>>, budget: &Arc<Budget>) -> Option<Self> {
        let (first, last) = (parts.first()?, parts.last()?);
        budget.add(OVERHEAD);
        let (kind, published_us, about) = (first.kind, first.published_us, last.about.clone());
        let (forms, parts, budget) = (Default::default(), parts.into(), Arc::clone(budget));
        Some(Self { forms, parts, role: Role::Data, kind, header: 0, about, published_us, budget })
    }

    /// The messages that it is made of, itself if it is a single one.
    pub fn parts(self: &Arc<Self>) -> &[Arc<Message>] {
        if self.parts.is_empty() { std::slice::from_ref(self) } else { &self.parts }
    }

    /// How many messages it is made of.
    pub fn count(&self) -> usize {
        self.parts.len().max(1)
    }

    /// The bytes to write to a connection: header and payload, or header and envelope.
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

    /// What it counts for in the queue of one connection: its bytes, and what a small one costs besides.
    /// Without the second part a limit in bytes would allow millions of empty messages.
    pub fn cost(&self, form: Form) -> usize {
        self.frame(form).len() + OVERHEAD
    }

    /// Bytes that it holds, in all its forms.
    pub fn size(&self) -> usize {
        self.forms.iter().filter_map(OnceLock::get).map(|form| form.len()).sum::<usize>() + OVERHEAD
    }

    /// What keeping it for those who come later is taken to cost: the payload, and one envelope around it, which may
    /// be built when it is kept already.
    pub fn kept_size(&self) -> usize {
        kept_size(self.frame(Form::RAW).len())
    }

    /// Whether a connection with this codec gets it at all.
    pub fn speaks(&self, codec: Codec) -> bool {
        codec.has_envelopes() || !matches!(self.role, Role::Event(_))
    }

    /// Whether it goes ahead of other messages.
    pub fn is_urgent(&self) -> bool {
        self.role == Role::Urgent
    }

    /// Whether it is data, which has a place of its own in its room.
    pub fn is_data(&self) -> bool {
        self.role == Role::Data
    }

    /// What its payload is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its payload; of a joined one, nothing that means anything.
    pub fn payload(&self) -> &[u8] {
        &self.frame(Form::RAW)[self.header as usize..]
    }

    /// Where it belongs and how it may be treated.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// See [`About::room`].
    pub fn room(&self) -> RoomId {
        self.about.room
    }

    /// See [`About::seq`].
    pub fn seq(&self) -> u64 {
        self.about.seq
    }

    /// See [`About::delivery`].
    pub fn delivery(&self) -> Delivery {
        self.about.delivery
    }

    /// See [`About::key`].
    pub fn key(&self) -> Option<KeyId> {
        self.about.key
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
        let About { epoch, seq, prev, id, .. } = &self.about;
        let label = match self.role {
            Role::Event(label) => label,
            Role::Data | Role::Whole | Role::Urgent => table::kind::MESSAGE,
        };
        Envelope {
            label,
            id: id.as_deref().map_or(Id::Numbered(*epoch, *seq), Id::Given),
            ts_ms: self.about.ts_ms,
            re: self.about.re.as_deref(),
            room: self.about.room_name.as_deref(),
            seq: self.about.room_name.as_ref().map(|_| *seq),
            // Without a hole it says nothing that the number does not.
            prev: prev.filter(|prev| prev + 1 != *seq),
            key: self.about.key_name.as_deref().filter(|key| !key.is_empty()),
            ack: self.about.ack,
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
pub struct About {
    /// The room it was published to.
    pub room: RoomId,
    /// Its place in that room, from 1; of a message to no room, its place among those.
    pub seq: u64,
    /// In a room whose numbers may have holes: no message has a number between this one and `seq`.
    pub prev: Option<u64>,
    /// The numbering that `seq` belongs to.
    pub epoch: u64,
    /// What may happen to it.
    pub delivery: Delivery,
    /// What it replaces, in a room of the latest values.
    pub key: Option<KeyId>,
    /// The name of the room.
    pub room_name: Option<Arc<str>>,
    /// The name of the key.
    pub key_name: Option<Arc<str>>,
    /// When it was published, in milliseconds since 1970.
    pub ts_ms: u64,
    /// The name of the message that it answers.
    pub re: Option<Box<str>>,
    /// Its own name, where numbering and number are not enough.
    pub id: Option<Box<str>>,
    /// The receiver has to say when it has processed it.
    pub ack: bool,
}

impl About {
    /// A place in a room, and nothing else.
    pub fn place(room: RoomId, seq: u64, delivery: Delivery) -> Self {
        let (key, room_name, key_name, id, re) = (None, None, None, None, None);
        Self { room, seq, prev: None, epoch: 0, delivery, key, room_name, key_name, ts_ms: 0, id, re, ack: false }
    }
}

/// See [`Message::kept_size`]; of a message whose raw form has so many bytes.
pub fn kept_size(raw: usize) -> usize {
    2 * raw + OVERHEAD
}

/// Bytes of one message besides its wire forms: the allocations and their bookkeeping.
pub const OVERHEAD: usize = 256;
