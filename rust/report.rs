//! What a client reports of what has come, and of what its application has taken: the message `received` of
//! docs/protocol.md, read from its bytes. Pure.
//!
//! Only a report that is right in every field is read. With any other the host decides, which says what is wrong: so
//! whatever is read here, the host would read as well, and alike.

use std::fmt;
use std::io::Cursor;

use rustc_hash::FxHashSet;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::codec::Codec;
use crate::strict::{ID_MAX, NAME_MAX, Text, fits, require, wrong};
use crate::wire::table::{kind, limit};

/// A report.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Counted messages that have come.
    pub count: u64,
    /// What the application has taken, by room; none: this client does not say.
    pub taken: Option<Vec<Taken>>,
}

/// What an application has taken of one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
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
    type Value = Vec<Taken>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rooms")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Taken>, A::Error> {
        let (mut rooms, mut names) = (Vec::new(), FxHashSet::default());
        while let Some(Text(room)) = map.next_key()? {
            let (count, ts_ms) = map.next_value_seed(Map(One))?;
            // Of a name that comes twice the last counts. The host sees to that.
            require(fits(&room, NAME_MAX) && rooms.len() < ROOMS_MAX && names.insert(room.clone()))?;
            rooms.push(Taken { room, count, ts_ms });
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
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The report of a document by either codec, which must agree.
    fn read(document: &Value) -> Option<Report> {
        let json = Report::read(document.to_string().as_bytes(), Codec::Json);
        let msgpack = Report::read(&rmp_serde::to_vec(document).unwrap(), Codec::Msgpack);
        assert_eq!(json, msgpack, "{document}");
        json
    }

    fn with(payload: Value) -> Value {
        json!({"type": "received", "payload": payload})
    }

    fn taken(room: &str, count: u64, ts_ms: Option<u64>) -> Taken {
        Taken { room: room.into(), count, ts_ms }
    }

    #[test]
    fn a_count_and_what_was_taken_room_by_room() {
        assert_eq!(read(&with(json!({"count": 3}))), Some(Report { count: 3, taken: None }));
        assert_eq!(read(&with(json!({"count": 3, "taken": null}))), Some(Report { count: 3, taken: None }));
        assert_eq!(read(&with(json!({"count": 0, "taken": {}}))), Some(Report { count: 0, taken: Some(vec![]) }));
        let payload =
            json!({"count": 9, "taken": {"a.1": {"count": 5, "ts": 40}, "b": {"count": i64::MAX, "ts": null}}});
        let rooms = vec![taken("a.1", 5, Some(40)), taken("b", i64::MAX as u64, None)];
        assert_eq!(read(&with(payload)), Some(Report { count: 9, taken: Some(rooms) }));
    }

    #[test]
    fn what_else_an_envelope_may_have_changes_nothing() {
        let payload = json!({"count": 3, "more": [1, {"count": 4}]});
        let document = json!({"id": "1", "re": null, "room": "ü".repeat(255), "key": "k", "encoding": null,
            "other": {"payload": 1}, "payload": payload, "type": "received"});
        assert_eq!(read(&document).map(|report| report.count), Some(3));
        let spaced = br#" { "type" : "rec\u0065ived" , "payload" : { "count" : 3 } } "#;
        assert_eq!(Report::read(spaced, Codec::Json).map(|report| report.count), Some(3));
    }

    #[test]
    fn whatever_is_wrong_is_left_to_the_host() {
        let names: serde_json::Map<_, _> =
            (0..=ROOMS_MAX).map(|name| (name.to_string(), json!({"count": 1}))).collect();
        for payload in [
            json!(null),
            json!([3]),
            json!(3),
            json!({}),
            json!({"count": "1"}),
            json!({"count": -1}),
            json!({"count": 1.0}),
            json!({"count": true}),
            json!({"count": 1_u64 << 63}),
            json!({"count": null}),
            json!({"count": 1, "taken": 1}),
            json!({"count": 1, "taken": [["b", {"count": 1}]]}),
            json!({"count": 1, "taken": {"b": 1}}),
            json!({"count": 1, "taken": {"b": {}}}),
            json!({"count": 1, "taken": {"b": [1]}}),
            json!({"count": 1, "taken": {"b": {"count": 1, "ts": -1}}}),
            json!({"count": 1, "taken": {"b": {"count": 1, "ts": 0.5}}}),
            json!({"count": 1, "taken": {"": {"count": 1}}}),
            json!({"count": 1, "taken": {"n".repeat(256): {"count": 1}}}),
            json!({"count": 1, "taken": names}),
        ] {
            assert_eq!(read(&with(payload.clone())), None, "{payload}");
        }
        let right = json!({"count": 1});
        for document in [
            json!(["received", right]),
            json!({"type": "received"}),
            json!({"payload": right}),
            json!({"type": "join", "payload": right}),
            json!({"type": 1, "payload": right}),
            json!({"type": "received", "payload": right, "id": ""}),
            json!({"type": "received", "payload": right, "id": 1}),
            json!({"type": "received", "payload": right, "re": "x".repeat(65)}),
            json!({"type": "received", "payload": right, "room": "ü".repeat(256)}),
            json!({"type": "received", "payload": right, "encoding": "base64"}),
        ] {
            assert_eq!(read(&document), None, "{document}");
        }
    }

    #[test]
    fn what_a_document_of_json_cannot_be_either() {
        for text in [
            r#"{"type":"received","payload":{"count":1}}x"#,
            r#"{"type":"received","payload":{"count":1}"#,
            r#"{"type":"received","type":"join","payload":{"count":1}}"#,
            r#"{"type":"received","payload":{"count":1},"payload":{"count":2}}"#,
            r#"{"type":"received","payload":{"count":1,"taken":{},"taken":{}}}"#,
            r#"{"type":"received","payload":{"count":1,"taken":{"a":{"count":1},"a":{"count":1}}}}"#,
            r#"{"type":"received","payload":{"count":01}}"#,
            r#"{"type":"received","payload":{"count":1e2}}"#,
        ] {
            assert_eq!(Report::read(text.as_bytes(), Codec::Json), None, "{text}");
        }
        assert_eq!(Report::read(br#"{"type":"received","payload":{"count":1}}"#, Codec::Raw), None);
    }

    #[test]
    fn what_a_document_of_messagepack_cannot_be_either() {
        let right = b"\x82\xa4type\xa8received\xa7payload\x81\xa5count\x01";
        assert!(Report::read(right, Codec::Msgpack).is_some());
        for wrong in [
            &[&right[..], b"\x00"].concat()[..],
            &right[..right.len() - 1],
            // Bytes instead of a text, as a value and as a key.
            b"\x82\xa4type\xc4\x08received\xa7payload\x81\xa5count\x01",
            b"\x82\xa4type\xa8received\xa7payload\x81\xc4\x05count\x01",
            b"\x82\xa4type\xa8received\xa7payload\x82\xa5count\x01\xa5taken\x81\xc4\x01a\x81\xa5count\x01",
            // No UTF-8.
            b"\x82\xa4type\xa8received\xa7payload\x82\xa5count\x01\xa5taken\x81\xa1\xff\x81\xa5count\x01",
            // A number of floating point, and an extension.
            b"\x82\xa4type\xa8received\xa7payload\x81\xa5count\xca\x3f\x80\x00\x00",
            b"\x82\xa4type\xa8received\xa7payload\x81\xa5count\xd4\x01\x01",
        ] {
            assert_eq!(Report::read(wrong, Codec::Msgpack), None, "{wrong:x?}");
        }
        let deep =
            [&b"\x83\xa4type\xa8received\xa1x"[..], &[0x91; 100_000], b"\xc0\xa7payload\x81\xa5count\x01"].concat();
        assert_eq!(Report::read(&deep, Codec::Msgpack), None);
        let (open, close) = ("[".repeat(100), "]".repeat(100));
        let deep = format!(r#"{{"type":"received","x":{open}{close},"payload":{{"count":1}}}}"#);
        assert_eq!(Report::read(deep.as_bytes(), Codec::Json), None);
    }

    #[test]
    fn one_that_names_many_rooms_counts_as_several() {
        let weight = |rooms| Report { count: 1, taken: Some(vec![taken("r", 1, None); rooms]) }.weight();
        assert_eq!([0, 1, 16, 17, 1024].map(weight), [1, 1, 1, 2, 64]);
        assert_eq!(Report::default().weight(), 1);
    }
}
