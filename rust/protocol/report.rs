//! Reads a client's report, the message `received` of docs/protocol.md: how many messages have come, and what the
//! application has taken. Pure.
//!
//! Only a report with no error in any field is read here. Every other goes to the host, which answers with the error.
//! So whatever is read here, the host would read with the same result.

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
    /// The number of counted messages that have come.
    pub count: u64,
    /// What the application has taken, by room; none if the client does not report it.
    pub taken: Option<Vec<RoomReport>>,
}

/// What an application has taken of one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomReport {
    /// The room's name.
    pub room: Box<str>,
    /// The application has taken all messages of the room among the session's first `count` counted messages.
    pub count: u64,
    /// When the newest message taken was published, in milliseconds since 1970; none if the client does not say.
    pub ts_ms: Option<u64>,
}

impl Report {
    /// Reads a report; none if the envelope is not a valid one.
    pub fn read(envelope: &[u8], codec: Codec) -> Option<Self> {
        match codec {
            Codec::Raw => None,
            Codec::Json => {
                let mut document = serde_json::Deserializer::from_slice(envelope);
                let report = document.deserialize_map(ReportEnvelope).ok()?;
                document.end().ok().map(|()| report)
            }
            Codec::Msgpack => {
                let mut document = rmp_serde::Deserializer::new(Cursor::new(envelope));
                let report = document.deserialize_map(ReportEnvelope).ok()?;
                (document.position() == envelope.len() as u64).then_some(report)
            }
        }
    }

    /// Returns the number of reports that the rate limit counts it as.
    pub fn weight(&self) -> usize {
        self.taken.as_ref().map_or(1, |taken| taken.len().div_ceil(ROOMS_FOR_ONE).max(1))
    }
}

struct ReportEnvelope;

impl<'de> Visitor<'de> for ReportEnvelope {
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
        f.write_str("a map with count and optionally taken")
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
        f.write_str("a map of rooms")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<RoomReport>, A::Error> {
        let (mut rooms, mut names) = (Vec::new(), FxHashSet::default());
        while let Some(Text(room)) = map.next_key()? {
            let (count, ts_ms) = map.next_value_seed(Map(One))?;
            // A name that comes twice is left to the host, where the last one counts.
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
        f.write_str("a map with count and optionally ts")
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

/// A map. Serde would also read a struct from a list.
struct Map<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Map<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<V::Value, D::Error> {
        document.deserialize_map(self.0)
    }
}

/// A value or null.
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

/// A field that the protocol does not define. It is skipped, if it has at most this many levels.
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

/// The limit on rooms in one report. A client may join 128 rooms itself, and the server may join it to more.
const ROOMS_MAX: usize = limit::TAKEN_ROOMS;

/// Rooms for which a report counts as one more. So many rooms cost as much as a report without any.
const ROOMS_FOR_ONE: usize = limit::REPORT_ROOMS;

/// The limit on levels of fields that the protocol does not define. It bounds the recursion.
const DEPTH: usize = 16;

#[cfg(test)]
mod tests;
