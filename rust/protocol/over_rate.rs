//! Refuses a session's message that is over its rate: reads what the refusal needs from the message, and builds the
//! answer. Pure.
//!
//! The payload is skipped. A message that is not a valid envelope goes to the host, which answers with the error. So
//! whatever is read here, the host would read with the same result.

use std::fmt;
use std::io::Cursor;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::protocol::codec::Codec;
use crate::protocol::envelope::{Envelope, Id, Kind};
use crate::protocol::strict::{ID_MAX, NAME_MAX, Text, fits, require, wrong};
use crate::wire::table::{UNCOUNTED, error_code, kind};

/// A message over its rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Surplus {
    /// A `ping` or `pong`, which is about the link alone. It is not counted, and over the rate it is not answered.
    AboutLink,
    /// Every other message. It is counted and refused.
    Refused(Refused),
}

/// A refused message, as far as the answer needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its id, if it has one.
    pub id: Option<Box<str>>,
    /// Its room, if it names one.
    pub room: Option<Box<str>>,
    /// Whether it is about the connection itself (`token`). Then the answer goes before messages that wait.
    pub is_urgent: bool,
}

impl Surplus {
    /// Reads a message; none if it is left to the host.
    pub fn read(envelope: &[u8], codec: Codec) -> Option<Self> {
        match codec {
            Codec::Raw => None,
            Codec::Json => {
                let mut document = serde_json::Deserializer::from_slice(envelope);
                let surplus = document.deserialize_map(Fields).ok()?;
                document.end().ok().map(|()| surplus)
            }
            Codec::Msgpack => {
                let mut document = rmp_serde::Deserializer::new(Cursor::new(envelope));
                document.set_max_depth(DEPTH);
                let surplus = document.deserialize_map(Fields).ok()?;
                (document.position() == envelope.len() as u64).then_some(surplus)
            }
        }
    }
}

impl Refused {
    /// Builds the error `rate_limited` of docs/protocol.md: an envelope without its frame. It tells the client to try
    /// again in `wait_us`.
    pub fn answer(&self, codec: Codec, id: &str, ts_ms: u64, wait_us: u64) -> Vec<u8> {
        let wait_ms = wait_us.div_ceil(1000).min(LONGEST_MS);
        let code = error_code::RATE_LIMITED;
        let payload = format!(
            r#"{{"code":"{code}","text":"the client sends too fast","retry":true,"retry_after_ms":{wait_ms}}}"#
        );
        let envelope = Envelope {
            label: kind::ERROR,
            id: Id::Given(id),
            ts_ms,
            re: self.id.as_deref(),
            room: self.room.as_deref(),
            seq: None,
            prev: None,
            base: None,
            key: None,
            ack: false,
            kind: Kind::Json,
            payload: payload.as_bytes(),
        };
        let mut answer = Vec::new();
        match codec {
            Codec::Msgpack => envelope.write_msgpack(&mut answer),
            Codec::Json | Codec::Raw => envelope.write_json(&mut answer),
        }
        answer
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Surplus;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Surplus, A::Error> {
        let (mut label, mut id, mut room) = (None, None, None);
        while let Some(Text(field)) = map.next_key()? {
            match &*field {
                "type" => {
                    let Text(name) = map.next_value()?;
                    require(label.is_none() && fits(&name, ID_MAX))?;
                    label = Some(name);
                }
                // A field that comes twice is left to the host, where the last one counts.
                "id" => {
                    require(id.is_none())?;
                    id = Some(map.next_value::<Option<Text>>()?);
                }
                "room" => {
                    require(room.is_none())?;
                    room = Some(map.next_value::<Option<Text>>()?);
                }
                "re" => require(map.next_value::<Option<Text>>()?.is_none_or(|Text(id)| fits(&id, ID_MAX)))?,
                "key" => require(map.next_value::<Option<Text>>()?.is_none_or(|Text(name)| fits(&name, NAME_MAX)))?,
                "encoding" => drop(map.next_value::<Option<Text>>()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let (id, room) = (id.flatten().map(|Text(id)| id), room.flatten().map(|Text(room)| room));
        let has_right = |text: &Option<Box<str>>, most| text.as_deref().is_none_or(|text| fits(text, most));
        require(has_right(&id, ID_MAX) && has_right(&room, NAME_MAX))?;
        match &*label.ok_or_else(wrong)? {
            kind::PING | kind::PONG => Ok(Surplus::AboutLink),
            // Whether these are counted, and how they are answered, depends on their payload, which is not read here.
            label if UNCOUNTED.contains(&label) => Err(wrong()),
            label => Ok(Surplus::Refused(Refused { id, room, is_urgent: label == kind::TOKEN })),
        }
    }
}

/// The limit on levels of lists and maps in MessagePack, which is read with recursion. It is more than a payload may
/// have by default. JSON is skipped without recursion.
const DEPTH: usize = 128;

/// The limit on the milliseconds that a client is told to wait: 30 years, as in the host's answers.
const LONGEST_MS: u64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is read of a document. Both codecs must agree.
    fn read(document: &Value) -> Option<Surplus> {
        let json = Surplus::read(document.to_string().as_bytes(), Codec::Json);
        let msgpack = Surplus::read(&rmp_serde::to_vec(document).unwrap(), Codec::Msgpack);
        assert_eq!(json, msgpack, "{document}");
        json
    }

    fn refused(id: Option<&str>, room: Option<&str>, is_urgent: bool) -> Option<Surplus> {
        Some(Surplus::Refused(Refused { id: id.map(Box::from), room: room.map(Box::from), is_urgent }))
    }

    #[test]
    fn what_an_answer_has_to_say_is_read() {
        assert_eq!(read(&json!({"type": "own"})), refused(None, None, false));
        assert_eq!(read(&json!({"type": "own", "id": null, "room": null})), refused(None, None, false));
        let document = json!({"type": "publish", "id": "1", "room": "ü".repeat(255), "key": "k", "re": "x",
            "encoding": "any", "payload": {"id": "2", "more": [1, 1.5, "x", null, true]}, "other": {"room": 1}});
        assert_eq!(read(&document), refused(Some("1"), Some(&"ü".repeat(255)), false));
        assert_eq!(read(&json!({"type": "token", "id": "1", "payload": 1})), refused(Some("1"), None, true));
        assert_eq!(read(&json!({"type": "ack", "id": "1", "re": "2"})), refused(Some("1"), None, false));
        for about_link in ["ping", "pong"] {
            assert_eq!(read(&json!({"type": about_link, "id": "1"})), Some(Surplus::AboutLink));
        }
        let bytes = b"\x83\xa4type\xa3own\xa2id\xa11\xa7payload\xc4\x02\xff\xff";
        assert_eq!(Surplus::read(bytes, Codec::Msgpack), refused(Some("1"), None, false));
    }

    #[test]
    fn what_is_wrong_or_not_counted_is_left_to_the_host() {
        for document in [
            json!(null),
            json!([]),
            json!({}),
            json!({"id": "1"}),
            json!({"type": ""}),
            json!({"type": 1}),
            json!({"type": null}),
            json!({"type": "x".repeat(65)}),
            json!({"type": "own", "id": ""}),
            json!({"type": "own", "id": 1}),
            json!({"type": "own", "id": "x".repeat(65)}),
            json!({"type": "own", "room": "ü".repeat(256)}),
            json!({"type": "own", "room": ["a"]}),
            json!({"type": "own", "key": ""}),
            json!({"type": "own", "re": 1}),
            json!({"type": "own", "encoding": 1}),
            json!({"type": "received", "payload": {"count": 1}}),
            json!({"type": "welcome"}),
            json!({"type": "window"}),
        ] {
            assert_eq!(read(&document), None, "{document}");
        }
        for text in [
            "",
            "{",
            r#"{"type":"own"}x"#,
            r#"{"type":"own","type":"ping"}"#,
            r#"{"type":"own","id":"1","id":"2"}"#,
            r#"{"type":"own","id":null,"id":"2"}"#,
            r#"{"type":"own","room":"1","room":"2"}"#,
            r#"{"type":"own","id":"\ud800"}"#,
            r#"{"type":"own","payload":[}"#,
        ] {
            assert_eq!(Surplus::read(text.as_bytes(), Codec::Json), None, "{text}");
        }
        for wrong in [
            &b"\x81\xa4type\xa3own\x00"[..],
            b"\x82\xa4type\xa3own",
            b"\x81\xa4type\xc4\x03own",
            b"\x82\xa4type\xa3own\xa2id\xc4\x011",
            b"\x82\xa4type\xa3own\xa2id\xa1\xff",
            b"\x82\xa4type\xa3own\x01\x01",
            &[&b"\x82\xa4type\xa3own\xa1x"[..], &[0x91; 100_000], b"\xc0"].concat(),
        ] {
            assert_eq!(Surplus::read(wrong, Codec::Msgpack), None);
        }
        assert_eq!(Surplus::read(br#"{"type":"own"}"#, Codec::Raw), None);
        // A payload of JSON takes no stack, however deep it is.
        let deep = format!(r#"{{"type":"own","payload":{}{}}}"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(Surplus::read(deep.as_bytes(), Codec::Json), refused(None, None, false));
    }

    #[test]
    fn the_answer_is_that_of_the_protocol_in_either_codec() {
        let refused = Refused { id: Some("c\"1".into()), room: Some("a".into()), is_urgent: false };
        let json = refused.answer(Codec::Json, "r1-2", 17, 1);
        let expected = concat!(
            r#"{"type":"error","id":"r1-2","ts":17,"re":"c\"1","room":"a","payload":{"code":"rate_limited","#,
            r#""text":"the client sends too fast","retry":true,"retry_after_ms":1}}"#
        );
        assert_eq!(String::from_utf8(json).unwrap(), expected);
        let msgpack = refused.answer(Codec::Msgpack, "r1-2", 17, 1);
        assert_eq!(rmp_serde::from_slice::<Value>(&msgpack).unwrap(), serde_json::from_str::<Value>(expected).unwrap());
        let nameless = Refused { id: None, room: None, is_urgent: false };
        let json: Value = serde_json::from_slice(&nameless.answer(Codec::Json, "r", 17, u64::MAX)).unwrap();
        assert_eq!(json["payload"]["retry_after_ms"], LONGEST_MS);
        assert!(json.get("re").is_none() && json.get("room").is_none());
    }
}
