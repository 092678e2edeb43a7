//! Envelopes as a server writes them (docs/protocol.md), in the form of their connection. Pure functions on bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::codec::Codec;
use crate::document::{self, DEPTH_MAX};
use crate::form::Form;
use crate::framing::Framing;
use crate::wire::table::kind;

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
    /// A JSON document.
    Json,
}

impl Kind {
    /// Whether it is UTF-8.
    pub fn is_text(self) -> bool {
        self != Self::Binary
    }
}

/// The name of one message.
#[derive(Debug, Clone, Copy)]
pub enum Id<'a> {
    /// By whoever sent it.
    Given(&'a str),
    /// By its numbering and its place in it.
    Numbered(u64, u64),
}

/// One message with all that stands on it. Absent fields are left out.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the fields are those of the protocol")]
pub struct Envelope<'a> {
    pub label: &'a str,
    pub id: Id<'a>,
    pub ts_ms: u64,
    pub re: Option<&'a str>,
    pub room: Option<&'a str>,
    pub seq: Option<u64>,
    pub prev: Option<u64>,
    pub key: Option<&'a str>,
    pub ack: bool,
    pub kind: Kind,
    pub payload: &'a [u8],
}

impl Envelope<'_> {
    /// It in JSON.
    pub fn json(&self, framing: Framing) -> Box<[u8]> {
        let mut out = framing.begin(ENVELOPE + self.payload.len());
        self.write_json(out.bytes());
        out.finish(true)
    }

    /// It in JSON, without what stands around it.
    pub fn write_json(&self, buf: &mut Vec<u8>) {
        buf.extend_from_slice(b"{\"type\":\"");
        buf.extend_from_slice(self.label.as_bytes());
        buf.extend_from_slice(b"\",\"id\":");
        match self.id {
            Id::Given(id) => push_json_string(buf, id),
            Id::Numbered(epoch, seq) => {
                buf.push(b'"');
                push_hex(buf, epoch);
                buf.push(b'-');
                push_decimal(buf, seq);
                buf.push(b'"');
            }
        }
        buf.extend_from_slice(b",\"ts\":");
        push_decimal(buf, self.ts_ms);
        for (name, value) in [(&b",\"re\":"[..], self.re), (b",\"room\":", self.room), (b",\"key\":", self.key)] {
            if let Some(value) = value {
                buf.extend_from_slice(name);
                push_json_string(buf, value);
            }
        }
        for (name, value) in [(&b",\"seq\":"[..], self.seq), (b",\"prev\":", self.prev)] {
            if let Some(value) = value {
                buf.extend_from_slice(name);
                push_decimal(buf, value);
            }
        }
        if self.ack {
            buf.extend_from_slice(b",\"ack\":true");
        }
        match self.kind {
            Kind::Json if !self.has_payload() => {}
            Kind::Json => {
                buf.extend_from_slice(b",\"payload\":");
                buf.extend_from_slice(self.payload);
            }
            Kind::Text => {
                buf.extend_from_slice(b",\"payload\":");
                push_json_string(buf, &String::from_utf8_lossy(self.payload));
            }
            Kind::Binary => {
                buf.extend_from_slice(b",\"encoding\":\"base64\",\"payload\":\"");
                buf.extend_from_slice(BASE64.encode(self.payload).as_bytes());
                buf.push(b'"');
            }
        }
        buf.push(b'}');
    }

    /// It in MessagePack.
    pub fn msgpack(&self, framing: Framing) -> Box<[u8]> {
        let mut out = framing.begin(ENVELOPE + self.payload.len());
        self.write_msgpack(out.bytes());
        out.finish(false)
    }

    /// No JSON document is empty: then there is none.
    fn has_payload(&self) -> bool {
        self.kind != Kind::Json || !self.payload.is_empty()
    }

    /// It in MessagePack, without what stands around it.
    pub fn write_msgpack(&self, buf: &mut Vec<u8>) {
        let optional = [("re", self.re), ("room", self.room), ("key", self.key)];
        let numbers = [("seq", self.seq), ("prev", self.prev)];
        let fields = 3
            + usize::from(self.has_payload())
            + optional.iter().filter(|(_, value)| value.is_some()).count()
            + numbers.iter().filter(|(_, value)| value.is_some()).count()
            + usize::from(self.ack);
        // Writing to a vector cannot fail, so the results of all of these say nothing.
        let header = buf.len();
        let _ = rmp::encode::write_map_len(buf, fields as u32);
        push_pair(buf, "type", self.label);
        match self.id {
            Id::Given(id) => push_pair(buf, "id", id),
            Id::Numbered(epoch, seq) => push_pair(buf, "id", &format!("{epoch:x}-{seq}")),
        }
        let _ = rmp::encode::write_str(buf, "ts");
        let _ = rmp::encode::write_uint(buf, self.ts_ms);
        for (name, value) in optional {
            if let Some(value) = value {
                push_pair(buf, name, value);
            }
        }
        for (name, value) in numbers {
            if let Some(value) = value {
                let _ = rmp::encode::write_str(buf, name);
                let _ = rmp::encode::write_uint(buf, value);
            }
        }
        if self.ack {
            let _ = rmp::encode::write_str(buf, "ack");
            let _ = rmp::encode::write_bool(buf, true);
        }
        if !self.has_payload() {
            return;
        }
        let _ = rmp::encode::write_str(buf, "payload");
        match self.kind {
            Kind::Json => {
                if document::json_to_msgpack(self.payload, DEPTH_MAX, buf).is_err() {
                    // Every door checks its documents, so this one passed none. The receiver is told, and nothing is guessed.
                    let _ = rmp::encode::write_nil(buf);
                    push_pair(buf, "encoding", UNREADABLE);
                    buf[header] += 1;
                }
            }
            Kind::Text => drop(rmp::encode::write_str(buf, &String::from_utf8_lossy(self.payload))),
            Kind::Binary => drop(rmp::encode::write_bin(buf, self.payload)),
        }
    }
}

/// Says how large the window of a room is; none without envelopes.
pub fn window(form: Form, room: &str, bytes: usize) -> Option<Box<[u8]>> {
    let mut buf = Vec::with_capacity(ENVELOPE);
    match form.codec {
        Codec::Raw => return None,
        Codec::Json => {
            buf.extend_from_slice(b"{\"type\":\"window\",\"room\":");
            push_json_string(&mut buf, room);
            buf.extend_from_slice(b",\"payload\":{\"bytes\":");
            push_decimal(&mut buf, bytes as u64);
            buf.extend_from_slice(b"}}");
        }
        Codec::Msgpack => {
            // Writing to a vector cannot fail.
            let _ = rmp::encode::write_map_len(&mut buf, 3);
            push_pair(&mut buf, "type", kind::WINDOW);
            push_pair(&mut buf, "room", room);
            let _ = rmp::encode::write_str(&mut buf, "payload");
            let _ = rmp::encode::write_map_len(&mut buf, 1);
            let _ = rmp::encode::write_str(&mut buf, "bytes");
            let _ = rmp::encode::write_uint(&mut buf, bytes as u64);
        }
    }
    Some(form.frame(&buf))
}

/// A ping that the client's program sees; none without envelopes.
pub fn ping(form: Form) -> Option<Box<[u8]>> {
    match form.codec {
        Codec::Raw => None,
        Codec::Json => Some(form.frame(br#"{"type":"ping"}"#)),
        Codec::Msgpack => Some(form.frame(b"\x81\xa4type\xa4ping")),
    }
}

/// The answer to such a ping, or what says without one that the server lives. It has no time: where it answers none it
/// tells nothing of how long the way is.
pub fn pong(form: Form) -> Option<Box<[u8]>> {
    match form.codec {
        Codec::Raw => None,
        Codec::Json => Some(form.frame(br#"{"type":"pong"}"#)),
        Codec::Msgpack => Some(form.frame(b"\x81\xa4type\xa4pong")),
    }
}

fn push_pair(buf: &mut Vec<u8>, name: &str, value: &str) {
    let _ = rmp::encode::write_str(buf, name);
    let _ = rmp::encode::write_str(buf, value);
}

fn push_json_string(buf: &mut Vec<u8>, text: &str) {
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(buf, text);
}

fn push_decimal(buf: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    buf.extend_from_slice(&digits[at..]);
}

fn push_hex(buf: &mut Vec<u8>, number: u64) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    buf.extend((0..digits).rev().map(|digit| b"0123456789abcdef"[(number >> (4 * digit)) as usize & 0xF]));
}

/// What stands as the encoding of a payload that is no document.
const UNREADABLE: &str = "unreadable";

/// Bytes of an envelope around its payload, usually.
const ENVELOPE: usize = 160;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const PLAIN: Envelope<'_> = Envelope {
        label: "message",
        id: Id::Numbered(0x5f, 7),
        ts_ms: 1_700_000_000_000,
        re: None,
        room: None,
        seq: None,
        prev: None,
        key: None,
        ack: false,
        kind: Kind::Json,
        payload: b"null",
    };

    /// The document in a frame.
    fn payload(frame: &[u8]) -> &[u8] {
        match frame[1] {
            126 => &frame[4..],
            127 => &frame[10..],
            len => {
                assert_eq!(frame.len(), 2 + len as usize);
                &frame[2..]
            }
        }
    }

    fn from_json(frame: &[u8]) -> Value {
        assert_eq!(frame[0], 0x81);
        serde_json::from_slice(payload(frame)).unwrap()
    }

    fn from_msgpack(frame: &[u8]) -> Value {
        assert_eq!(frame[0], 0x82);
        rmp_serde::from_slice(payload(frame)).unwrap()
    }

    #[test]
    fn absent_fields_are_left_out() {
        let expected = json!({"type": "message", "id": "5f-7", "ts": 1_700_000_000_000_u64, "payload": null});
        assert_eq!(from_json(&PLAIN.json(Framing::WebSocket)), expected);
        assert_eq!(from_msgpack(&PLAIN.msgpack(Framing::WebSocket)), expected);
    }

    #[test]
    fn the_size_of_a_window() {
        let expected = json!({"type": "window", "room": "r\u{e9}\"", "payload": {"bytes": 300}});
        assert_eq!(from_json(&window(Form::JSON, "r\u{e9}\"", 300).unwrap()), expected);
        assert_eq!(from_msgpack(&window(Form::MSGPACK, "r\u{e9}\"", 300).unwrap()), expected);
        assert_eq!(window(Form::RAW, "r", 300), None);
    }

    #[test]
    fn all_fields() {
        let envelope = Envelope {
            id: Id::Given("a\"b"),
            re: Some("c1"),
            room: Some("r\u{e9}\n"),
            seq: Some(u64::MAX),
            prev: Some(300),
            key: Some("eur"),
            ack: true,
            kind: Kind::Text,
            payload: "\u{1F600} \"quoted\"".as_bytes(),
            ..PLAIN
        };
        let expected = json!({
            "type": "message", "id": "a\"b", "ts": 1_700_000_000_000_u64, "re": "c1", "room": "r\u{e9}\n", "key": "eur",
            "seq": u64::MAX, "prev": 300, "ack": true, "payload": "\u{1F600} \"quoted\"",
        });
        assert_eq!(from_json(&envelope.json(Framing::WebSocket)), expected);
        assert_eq!(from_msgpack(&envelope.msgpack(Framing::WebSocket)), expected);
    }

    #[test]
    fn the_number_before_stands_behind_the_number() {
        let envelope = Envelope { room: Some("r"), seq: Some(9), prev: Some(4), ..PLAIN };
        assert!(
            String::from_utf8_lossy(&envelope.json(Framing::WebSocket))
                .contains(r#""room":"r","seq":9,"prev":4,"payload":null"#)
        );
        assert!(envelope.msgpack(Framing::WebSocket).windows(11).any(|bytes| bytes == b"\xA3seq\x09\xA4prev\x04"));
    }

    #[test]
    fn bytes_are_base64_in_json_and_bytes_in_msgpack() {
        let envelope = Envelope { kind: Kind::Binary, payload: &[0, 255, 1], ..PLAIN };
        let value = from_json(&envelope.json(Framing::WebSocket));
        assert_eq!((&value["encoding"], &value["payload"]), (&json!("base64"), &json!("AP8B")));
        let frame = envelope.msgpack(Framing::WebSocket);
        assert!(frame.ends_with(&[0xC4, 3, 0, 255, 1]));
    }

    #[test]
    fn a_payload_that_is_no_document_is_unreadable_in_msgpack() {
        for payload in [&b"{\"a\":"[..], b"1 2", b"[1,{\"a\":1e999}]", b"\xff"] {
            let value = from_msgpack(&Envelope { payload, ..PLAIN }.msgpack(Framing::WebSocket));
            let expected = json!({
                "type": "message", "id": "5f-7", "ts": 1_700_000_000_000_u64, "payload": null, "encoding": "unreadable",
            });
            assert_eq!(value, expected);
        }
    }

    #[test]
    fn without_a_document_there_is_no_payload() {
        let envelope = Envelope { payload: b"", ..PLAIN };
        for value in
            [from_json(&envelope.json(Framing::WebSocket)), from_msgpack(&envelope.msgpack(Framing::WebSocket))]
        {
            assert_eq!((value.get("payload"), &value["seq"]), (None, &json!(envelope.seq)));
        }
    }

    #[test]
    fn headers_of_every_length() {
        for len in [0, 10, 100, 1_000, 70_000] {
            let text = vec![b'x'; len];
            let envelope = Envelope { kind: Kind::Text, payload: &text, ..PLAIN };
            assert_eq!(from_json(&envelope.json(Framing::WebSocket))["payload"].as_str().unwrap().len(), len);
            assert_eq!(from_msgpack(&envelope.msgpack(Framing::WebSocket))["payload"].as_str().unwrap().len(), len);
        }
    }

    proptest! {
        #[test]
        fn both_encodings_say_the_same(
            number: i64, text in ".*", room in ".{1,40}", seq: u64, prev: Option<u64>, epoch: u64
        ) {
            let payload = json!({"n": number, "t": text, "list": [1.5, true, null, {"deep": [[]]}]});
            let bytes = payload.to_string();
            let envelope = Envelope {
                id: Id::Numbered(epoch, seq), room: Some(&room), seq: Some(seq), prev, payload: bytes.as_bytes(), ..PLAIN
            };
            let value = from_json(&envelope.json(Framing::WebSocket));
            prop_assert_eq!(&value["payload"], &payload);
            prop_assert_eq!(value.get("prev").and_then(Value::as_u64), prev);
            prop_assert_eq!(&value["id"], &json!(format!("{epoch:x}-{seq}")));
            prop_assert_eq!(value, from_msgpack(&envelope.msgpack(Framing::WebSocket)));
        }
    }
}
