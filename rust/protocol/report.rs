//! What a client reports of what has come, and of what its application has taken: the message `received` of
//! docs/protocol.md, read from its bytes. Pure.
//!
//! Only a report that is right in every field is read. With any other the host decides, which says what is wrong: so
//! whatever is read here, the host would read as well, and alike.

use std::fmt;
use std::io::Cursor;

use rustc_hash::FxHashSet;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::protocol::codec::Codec;
use crate::protocol::strict::{ID_MAX, NAME_MAX, Text, fits, require, wrong};
use crate::wire::table::{kind, limit};

/// A report.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Counted messages that have come.
    pub count: u64,
    /// What the application has taken, by room; none: this client does not say.
    pub taken: Option<Vec<RoomReport>>,
}

/// What an application has taken of one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomReport {
    /// The room's name.
    pub room: Box<str>,
    /// All of the room among the session's first so many counted messages.
    pub count: u64,
    /// When the newest message that it has taken was published, in milliseconds since 1970; none: not said.
    pub ts_ms: Option<u64>,
}

impl Report {
    /// Reads a report; none: it is not one that is right.
    pub fn read(envelope: &[u8], codec: Codec) -> Option<Self> {
        match codec {
            Codec::Raw => None,
            Codec::Json => {
                let mut document = serde_json::Deserializer::from_slice(envelope);
                let report = document.deserialize_map(Envelope).ok()?;
                document.end().ok().map(|()| report)
            }
            Codec::Msgpack => {
                let mut document = rmp_serde::Deserializer::new(Cursor::new(envelope));
                let report = document.deserialize_map(Envelope).ok()?;
                (document.position() == envelope.len() as u64).then_some(report)
            }
        }
    }

    /// How many reports it counts as.
    pub fn weight(&self) -> usize {
        self.taken.as_ref().map_or(1, |taken| taken.len().div_ceil(ROOMS_FOR_ONE).max(1))
    }
}

struct Envelope;

impl<'de> Visitor<'de> for Envelope {
    type Value = Report;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a report")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Report, A::Error> {
        let (mut payload, mut has_type) = (None, false);
        while let Some(Text(field)) = map.next_key()? {
            match &*field {
                "type" => {
                    let Text(name) = map.next_value()?;
                    has_type = &*name == kind::RECEIVED;
                    require(has_type)?;
                }
                "id" | "re" => require(map.next_value::<Option<Text>>()?.is_none_or(|Text(id)| fits(&id, ID_MAX)))?,
                "room" | "key" => {
                    require(map.next_value::<Option<Text>>()?.is_none_or(|Text(name)| fits(&name, NAME_MAX)))?;
                }
                "encoding" => map.next_value::<()>()?,
                "payload" => {
                    require(payload.is_none())?;
                    payload = Some(map.next_value_seed(Map(Payload))?);
                }
                _ => map.next_value_seed(Unknown(DEPTH))?,
            }
        }
        payload.filter(|_| has_type).ok_or_else(wrong)
    }
}

struct Payload;

impl<'de> Visitor<'de> for Payload {
    type Value = Report;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count, and perhaps what was taken")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Report, A::Error> {
        let (mut count, mut taken) = (None, None);
        while let Some(Text(field)) = map.next_key()? {
            match &*field {
                "count" => count = Some(number(map.next_value()?)?),
                "taken" => {
                    require(taken.is_none())?;
                    taken = Some(map.next_value_seed(Nullable(Map(Rooms)))?);
                }
                _ => map.next_value_seed(Unknown(DEPTH))?,
            }
        }
        Ok(Report { count: count.ok_or_else(wrong)?, taken: taken.flatten() })
    }
}

struct Rooms;

impl<'de> Visitor<'de> for Rooms {
    type Value = Vec<RoomReport>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rooms")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<RoomReport>, A::Error> {
        let (mut rooms, mut names) = (Vec::new(), FxHashSet::default());
        while let Some(Text(room)) = map.next_key()? {
            let (count, ts_ms) = map.next_value_seed(Map(One))?;
            // Of a name that comes twice the last counts. The host sees to that.
            require(fits(&room, NAME_MAX) && rooms.len() < ROOMS_MAX && names.insert(room.clone()))?;
            rooms.push(RoomReport { room, count, ts_ms });
        }
        Ok(rooms)
    }
}

struct One;

impl<'de> Visitor<'de> for One {
    type Value = (u64, Option<u64>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was taken of a room")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut count, mut ts_ms) = (None, None);
        while let Some(Text(field)) = map.next_key()? {
            match &*field {
                "count" => count = Some(number(map.next_value()?)?),
                "ts" => ts_ms = map.next_value::<Option<u64>>()?.map(number).transpose()?,
                _ => map.next_value_seed(Unknown(DEPTH))?,
            }
        }
        Ok((count.ok_or_else(wrong)?, ts_ms))
    }
}

/// A map, and nothing that stands for one.
struct Map<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Map<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<V::Value, D::Error> {
        document.deserialize_map(self.0)
    }
}

/// The same, or null.
struct Nullable<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<Self::Value, D::Error> {
        document.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, document: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(document).map(Some)
    }
}

/// What the protocol does not know, of so many levels at most.
struct Unknown(usize);

impl Unknown {
    fn inner<E: de::Error>(&self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(wrong)
    }
}

impl<'de> DeserializeSeed<'de> for Unknown {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        document.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unknown {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self.inner()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<Text>()?.is_some() {
            map.next_value_seed(self.inner()?)?;
        }
        Ok(())
    }
}

fn number<E: de::Error>(number: u64) -> Result<u64, E> {
    require(number <= limit::SEQ_MAX).map(|()| number)
}

/// Rooms of one report. A client is in 128 by its own wish, and its application may have joined more for it.
const ROOMS_MAX: usize = limit::TAKEN_ROOMS;

/// Rooms that one report may name and count as one: with more, each of them costs as much as the report itself.
const ROOMS_FOR_ONE: usize = limit::REPORT_ROOMS;

/// Levels of what the protocol does not know, and nobody needs.
const DEPTH: usize = 16;

#[cfg(test)]
mod tests;
