//! Envelopes in both codecs.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::protocol::form::Form;

const PLAIN: Envelope<'_> = Envelope {
    label: "message",
    id: Id::Numbered(0x5f, 7),
    ts_ms: 1_700_000_000_000,
    re: None,
    room: None,
    seq: None,
    prev: None,
    base: None,
    key: None,
    ack: false,
    kind: Kind::Json,
    payload: b"null",
};

/// The payload of a frame.
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
    for value in [from_json(&envelope.json(Framing::WebSocket)), from_msgpack(&envelope.msgpack(Framing::WebSocket))] {
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
