//! One published message. Everything that still has to send it shares it, in every form that was needed.

use std::sync::{Arc, OnceLock};

use serde::de::IgnoredAny;

use crate::budget::Budget;
use crate::interest::Audience;
use crate::message::charge::Charge;
pub use crate::message::charge::kept_size;
pub use crate::message::delivery::{Delivery, delivery_name};
use crate::message::delta::Delta;
pub use crate::message::delta::DeltaCounts;
pub use crate::message::metadata::Metadata;
use crate::message::other_forms::OtherForms;
use crate::message::parts::Parts;
pub use crate::message::priority::{PRIORITIES, Priority};
pub use crate::message::role::Role;
use crate::protocol::codec::Codec;
use crate::protocol::compression::Compression;
use crate::protocol::envelope::{self, Envelope, Id, Kind};
use crate::protocol::form::{Deflate, Form};
use crate::protocol::framing::Framing;
use crate::stats::rules::Share;
use crate::stats::trace::Trace;
use crate::wire::{event_stream, table};

/// The id of a message's room; never reused while the engine lives. 0 means "no room": a message to one connection or
/// to all.
pub type RoomId = u64;

/// The id for a message that belongs to no room.
pub const NO_ROOM: RoomId = 0;

/// The id of a key in a room; never reused while the engine lives. A message replaces the waiting one with the same id.
pub type KeyId = u64;

/// A message. It never changes, and queues hold references to it. Each form is built when a connection first needs it,
/// and is shared from then on.
///
/// Consecutive messages to the same members may be joined into one, whose forms are theirs in a row: the work for each
/// message and reader is then done once for all of them.
#[derive(Debug)]
pub struct Message {
    /// The plain forms, by [`Form::index`]. [`Form::RAW`] of a single message exists from the start, because the payload
    /// is kept there.
    forms: [OnceLock<Box<[u8]>>; Form::PLAIN],
    /// The other forms, which most messages do not need.
    others: OtherForms,
    /// What was joined; none for a single message.
    joined: Option<Box<Parts<Message>>>,
    /// What its value is a delta to; none for a message that is only sent whole.
    delta: Option<Box<Delta>>,
    /// See [`Self::is_readable`], once it was asked for.
    readable: OnceLock<bool>,
    role: Role,
    kind: Kind,
    header: u8,
    metadata: Metadata,
    /// When it was published, in microseconds since the engine started.
    pub published_us: u64,
    /// What it counts for in the statistics, if all of it belongs to one rule. Here and not in `joined`, because each
    /// write reads it.
    share: Share,
    /// What it counts for in the budget.
    charge: Charge,
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
        let charge = Charge::new(budget, frame.len() + OVERHEAD);
        let header = (frame.len() - payload.len()) as u8;
        let mut forms = [const { OnceLock::new() }; Form::PLAIN];
        forms[Form::RAW.index()] = OnceLock::from(frame);
        let (others, joined, delta, readable) = (OtherForms::default(), None, None, OnceLock::new());
        let share = Share { rule: metadata.rule, count: 1, bytes: payload.len() as u64, published_us };
        Self { forms, others, joined, delta, readable, role, kind, header, metadata, published_us, share, charge }
    }

    /// Joins single messages that [may be joined](Self::is_joinable), in their order; none if there are none. Its
    /// metadata is that of the last. With messages of several rooms it is only for one connection's queue, after the
    /// messages of rooms with a lane of their own have left it.
    pub fn join(parts: Vec<Arc<Message>>, budget: &Arc<Budget>) -> Option<Self> {
        let (first, last) = (parts.first()?, parts.last()?);
        let (kind, published_us) = (first.kind, first.published_us);
        // Their forms in a row are compressed in part if any of them is.
        let compression = parts.iter().find_map(|part| part.compression()).cloned();
        let metadata = Metadata { compression, trace: None, ..last.metadata.clone() };
        let joined =
            Box::new(Parts::new(parts, |part| (part.share, part.metadata.trace.clone(), part.delta.is_some())));
        let share = *joined.shares.first()?;
        let (forms, others, joined, delta) = (Default::default(), OtherForms::default(), Some(joined), None);
        let (role, header, readable, charge) = (Role::Data, 0, OnceLock::new(), Charge::new(budget, OVERHEAD));
        Some(Self { forms, others, joined, delta, readable, role, kind, header, metadata, published_us, share, charge })
    }

    /// Returns the messages that it consists of; itself if it is a single one.
    pub fn parts(self: &Arc<Self>) -> &[Arc<Message>] {
        self.joined.as_ref().map_or(std::slice::from_ref(self), |joined| &joined.parts)
    }

    /// Returns how many messages it consists of.
    pub fn count(&self) -> usize {
        self.joined.as_ref().map_or(1, |joined| joined.parts.len())
    }

    /// Returns what it counts for in the statistics: one share for each rule among its messages.
    #[inline]
    pub fn each_share(&self, mut act: impl FnMut(Share)) {
        match &self.joined {
            Some(joined) if self.share.count < joined.parts.len() as u64 => {
                joined.shares.iter().for_each(|&share| act(share));
            }
            _ => act(self.share),
        }
    }

    /// Returns the traces of its messages.
    #[inline]
    pub fn traces(&self) -> &[Arc<Trace>] {
        match &self.joined {
            None => self.metadata.trace.as_slice(),
            Some(joined) => &joined.traces,
        }
    }

    /// Returns the bytes for a connection: header and payload, or header and envelope.
    pub fn frame(&self, form: Form) -> &[u8] {
        let form = self.needed(form);
        if let Some(delta) = &self.delta
            && !form.has_deltas
        {
            return delta.whole.frame(form);
        }
        let count = |bytes: Box<[u8]>| {
            self.charge.add(bytes.len());
            bytes
        };
        if form.is_plain() {
            return self.forms[form.index()].get_or_init(|| count(self.build(form)));
        }
        let build = || match form.deflate {
            Deflate::None => Some(self.build(form)),
            _ => self.build_compressed(form),
        };
        match self.others.get(form, || build().map(count)) {
            Some(bytes) => bytes,
            None => self.frame(Form { deflate: Deflate::None, ..form }),
        }
    }

    /// Returns what it counts for in the queue of a connection: its bytes plus an overhead. Without the overhead a
    /// limit in bytes would allow millions of empty messages. Base64 does not count: a message that was accepted by its
    /// bytes must fit for readers of event streams, too. Neither do batches and compression: what waits may be dropped,
    /// and need not be built before it leaves.
    pub fn cost(&self, form: Form) -> usize {
        self.plain_cost(Form::plain(form.codec, form.framing)) + OVERHEAD
    }

    fn plain_cost(&self, form: Form) -> usize {
        if let Some(Parts { parts, costs, .. }) = self.joined.as_deref() {
            return *costs[form.index()].get_or_init(|| parts.iter().map(|part| part.plain_cost(form)).sum());
        }
        let len = self.frame(form).len();
        let is_base64 = form.framing == Framing::EventStream && form.codec != Codec::Json;
        if is_base64 { len / 4 * 3 } else { len }
    }

    /// Returns the bytes that it holds in all its forms.
    pub fn size(&self) -> usize {
        let plain = self.forms.iter().filter_map(OnceLock::get).map(|form| form.len());
        let patch = self.delta.as_ref().map_or(0, |delta| delta.size());
        OVERHEAD + plain.sum::<usize>() + self.others.size() + patch
    }

    /// Returns whom it is for; none: for every member whose filter lets messages without tags through.
    pub fn audience(&self) -> Option<&Arc<Audience>> {
        self.metadata.audience.as_ref()
    }

    /// Whether connections with this codec get it.
    pub fn speaks(&self, codec: Codec) -> bool {
        codec.has_envelopes() || !matches!(self.role, Role::Event(_))
    }

    /// Whether it goes ahead of other messages.
    pub fn is_urgent(&self) -> bool {
        self.role.is_urgent()
    }

    /// Returns the number of the refusal that it is; none if it is another message.
    pub fn refusal(&self) -> Option<u64> {
        self.role.refusal()
    }

    /// Whether it may be joined with others: it has an envelope of its own for connections with envelopes.
    pub fn is_joinable(&self) -> bool {
        !self.role.is_whole()
    }

    /// Whether its payload, if it is JSON, is a document: the publisher may have promised what is not so. Alone, one that
    /// is not costs its receiver one message; in a batch it would cost all.
    pub fn is_readable(&self) -> bool {
        *self.readable.get_or_init(|| match &self.joined {
            Some(joined) => joined.parts.iter().all(|part| part.is_readable()),
            None if self.delta.is_some() => self.delta.iter().all(|delta| delta.whole.is_readable()),
            None if self.kind != Kind::Json || self.payload().is_empty() => true,
            None => serde_json::from_slice::<IgnoredAny>(self.payload()).is_ok(),
        })
    }

    /// Whether it is data, which has its own position in its room.
    pub fn is_data(&self) -> bool {
        self.role == Role::Data
    }

    /// Returns how it is compressed for those who have agreed to it; none: for nobody.
    pub fn compression(&self) -> Option<&Arc<Compression>> {
        self.metadata.compression.as_ref().filter(|_| self.is_data())
    }

    /// Whether it is compressed for connections that have agreed to that.
    pub fn is_compressible(&self) -> bool {
        self.compression().is_some()
    }

    /// Returns its role.
    pub fn role(&self) -> Role {
        self.role
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

    /// Returns [`Metadata::priority`].
    #[inline]
    pub fn priority(&self) -> Priority {
        self.metadata.priority
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

    /// Returns the form that this message has for a connection with `form`.
    fn needed(&self, mut form: Form) -> Form {
        if !self.is_joinable() {
            form.codec = Codec::Raw;
        }
        if form.has_deltas {
            form.has_deltas = form.codec.has_envelopes() && self.has_patch();
        }
        form.is_batched = form.is_batched && self.count() > 1 && form.codec.has_envelopes() && self.is_readable();
        if form.deflate != Deflate::None && (!self.is_compressible() || form.framing != Framing::WebSocket) {
            form.deflate = Deflate::None;
        }
        form
    }

    fn build(&self, form: Form) -> Box<[u8]> {
        if let Some(Parts { parts, .. }) = self.joined.as_deref() {
            let envelopes = parts.iter().map(|part| part.envelope(form.has_deltas));
            return match form.codec {
                Codec::Json if form.is_batched => envelope::json_array(envelopes, form.framing),
                _ if form.is_batched => envelope::msgpack_array(envelopes, form.framing),
                _ => parts.iter().map(|part| part.frame(form)).collect::<Vec<_>>().concat().into(),
            };
        }
        match form.codec {
            Codec::Json => self.envelope(form.has_deltas).json(form.framing),
            Codec::Msgpack => self.envelope(form.has_deltas).msgpack(form.framing),
            // A client without a session finds its place in the room by the id of the last event.
            Codec::Raw if form.framing == Framing::EventStream && self.is_data() && self.room() != NO_ROOM => {
                let Metadata { epoch, seq, .. } = self.metadata;
                event_stream::numbered(epoch, seq, self.kind.is_text(), self.payload())
            }
            Codec::Raw => form.framing.frame(self.kind.is_text(), self.payload()),
        }
    }

    /// Builds a compressed form; none if it is the same as without compression. That is decided once for each form, so
    /// that a connection that has written a part of it finds the rest.
    fn build_compressed(&self, form: Form) -> Option<Box<[u8]>> {
        let plain = Form { deflate: Deflate::None, ..form };
        if let Some(Parts { parts, .. }) = self.joined.as_deref().filter(|_| !form.is_batched) {
            let frames: Vec<_> = parts.iter().map(|part| part.frame(form)).collect();
            let is_smaller = frames.iter().zip(parts).any(|(frame, part)| frame.len() < part.frame(plain).len());
            return is_smaller.then(|| frames.concat().into());
        }
        let compression = self.compression()?;
        if plain.is_plain() {
            return compression.frame(self.frame(plain), form.deflate);
        }
        if !form.is_batched {
            return compression.frame(&self.build(plain), form.deflate);
        }
        // What must not be compressed must not be compressed with others either: their size would tell about it. The
        // array is not kept besides its compressed form.
        let is_all = self.joined.iter().flat_map(|joined| &joined.parts).all(|part| part.is_compressible());
        is_all.then(|| compression.frame(&self.build(plain), form.deflate)).flatten()
    }

    /// Returns its envelope, with its patch if it has one and `is_delta`.
    fn envelope(&self, is_delta: bool) -> Envelope<'_> {
        let delta = self.delta.as_ref().filter(|_| is_delta);
        let patch = delta.and_then(|delta| Some((delta.patch(&self.charge)?, delta.base_seq)));
        let Metadata { epoch, seq, prev, id, .. } = &self.metadata;
        let label = match self.role {
            Role::Event(label) => label,
            Role::Data | Role::Whole | Role::Urgent | Role::Refusal { .. } => table::kind::MESSAGE,
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
            base: patch.map(|(_, base)| base),
            key: self.metadata.key_name.as_deref().filter(|key| !key.is_empty()),
            ack: self.metadata.ack,
            kind: self.kind,
            payload: patch.map_or_else(|| self.payload(), |(patch, _)| patch),
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.charge.end(self.size());
    }
}

/// The memory of one message in addition to its forms: the allocations and their bookkeeping.
pub const OVERHEAD: usize = 256;

mod charge;
mod counted;
mod delivery;
mod delta;
mod metadata;
mod other_forms;
mod parts;
mod priority;
mod role;
