//! What is known of a message besides its payload.

use std::sync::Arc;

use crate::interest::Audience;
use crate::message::{Delivery, KeyId, Priority, RoomId};
use crate::protocol::compression::Compression;
use crate::stats::rules::RuleId;
use crate::stats::trace::Trace;

/// Where a message belongs, and how it may be treated.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The room that it was published to.
    pub room: RoomId,
    /// The rule of that room, in the statistics.
    pub rule: RuleId,
    /// Its number in that room, from 1; for a message to no room, its number among those.
    pub seq: u64,
    /// In a room whose numbers may have holes: no message has a number between this one and `seq`.
    pub prev: Option<u64>,
    /// The epoch that `seq` belongs to.
    pub epoch: u64,
    /// Its delivery class.
    pub delivery: Delivery,
    /// Which messages it goes ahead of.
    pub priority: Priority,
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
    /// The compression of its engine, if its room is one that compresses; see [`Message::compression`](crate::message::Message::compression).
    pub compression: Option<Arc<Compression>>,
    /// Whom it is for; none: for every member whose filter lets messages without tags through.
    pub audience: Option<Arc<Audience>>,
    /// Measures its delivery, if the host has asked for that.
    pub trace: Option<Arc<Trace>>,
}

impl Metadata {
    /// Creates metadata with a position in a room, and nothing else.
    pub fn place(room: RoomId, seq: u64, delivery: Delivery) -> Self {
        Self {
            room,
            rule: RuleId::NO_ROOM,
            seq,
            prev: None,
            epoch: 0,
            delivery,
            priority: Priority::Normal,
            key: None,
            room_name: None,
            key_name: None,
            ts_ms: 0,
            re: None,
            id: None,
            ack: false,
            compression: None,
            audience: None,
            trace: None,
        }
    }
}
